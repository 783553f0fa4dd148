//! Every request that came, and what became of it.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::wire::failure::Failure;

/// How many requests are kept.
const ENTRIES: usize = 10_000;
/// How many bytes of bodies are kept: 64 MiB.
const BYTES: usize = 64 << 20;

/// Where an answer came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// No answer was made.
    #[default]
    None,
    /// The smallest valid one.
    Minimal,
    /// A turn of the script, from 1.
    Script(u32),
    /// An exchange of a recording, by its number.
    Recording(u32),
    /// The upstream.
    Upstream,
    /// A fault that was asked for.
    Fault,
    /// The server's own resources (a list of models, a stored response).
    Resource,
}

impl Source {
    fn name(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Minimal => "minimal".to_owned(),
            Self::Script(turn) => format!("script turn {turn}"),
            Self::Recording(exchange) => format!("exchange {exchange}"),
            Self::Upstream => "upstream".to_owned(),
            Self::Fault => "fault".to_owned(),
            Self::Resource => "resource".to_owned(),
        }
    }
}

/// Why no recorded answer was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The recorded request that is nearest.
    pub nearest: Option<u32>,
    /// The first path in which the two differ.
    pub path: Option<String>,
    /// All of it in a sentence.
    pub text: String,
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u32,
    /// Milliseconds since the server was started.
    pub at_ms: u64,
    /// The method, or `WS`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The thread it belongs to, if it names one.
    pub lane: Option<String>,
    /// The status, once it is known.
    pub status: Option<u16>,
    /// Whether the contract was asked.
    pub judged: bool,
    /// Why it was refused.
    pub refused: Option<Failure>,
    /// Where the answer came from.
    pub source: Source,
    /// Why no recorded answer was found.
    pub miss: Option<Miss>,
    /// `complete`, `cut` or `client_closed`, once it is over.
    pub end: Option<&'static str>,
    /// How many events were sent.
    pub events: u32,
    /// The body.
    pub body: Bytes,
}

impl Entry {
    /// Whether a rule of the contract refused it.
    pub fn broke_contract(&self) -> bool {
        self.judged && self.refused.is_some()
    }

    /// The word for what the contract says.
    pub fn verdict(&self) -> &'static str {
        match (self.judged, &self.refused) {
            (false, _) => "not_judged",
            (true, None) => "accepted",
            (true, Some(_)) => "refused",
        }
    }

    /// One line for people; the text in it is hostile.
    pub fn line(&self) -> String {
        use std::fmt::Write as _;
        let mut line = format!("{} {} {}", self.number, self.method, self.path);
        match self.status {
            Some(status) => {
                let _ = write!(line, " {status}");
            }
            None => line.push_str(" -"),
        }
        let _ = write!(line, " {}", self.source.name());
        if self.events > 0 {
            let _ = write!(line, ", {} events", self.events);
        }
        if let Some(end) = self.end.filter(|end| *end != "complete") {
            let _ = write!(line, ", {end}");
        }
        if let Some(refused) = &self.refused {
            let _ = write!(line, ": {}", refused.message);
        }
        if let Some(miss) = &self.miss {
            let _ = write!(line, ": {}", miss.text);
        }
        line
    }

    fn json(&self) -> Value {
        let body = std::str::from_utf8(&self.body).unwrap_or("");
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|_not_json| Value::from(body.to_owned()));
        json!({
            "number": self.number,
            "at_ms": self.at_ms,
            "method": self.method,
            "path": self.path,
            "lane": self.lane,
            "status": self.status,
            "verdict": self.verdict(),
            "refusal": self.refused.as_ref().map(|it| json!({
                "rule": it.rule,
                "status": it.status,
                "message": it.message,
                "param": it.param,
                "code": it.code,
            })),
            "answer": self.source.name(),
            "miss": self.miss.as_ref().map(|it| json!({"nearest": it.nearest, "path": it.path, "text": it.text})),
            "end": self.end,
            "events": self.events,
            "body": body,
        })
    }
}

/// How many requests there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub requests: u32,
    /// Those that the contract was asked about.
    pub judged: u32,
    /// Those that it refused.
    pub refused: u32,
    /// Those for which no recorded answer was found.
    pub missed: u32,
}

/// The newest requests.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    entries: VecDeque<Entry>,
    bytes: usize,
    counts: Counts,
    /// The first refusals, kept for the summary.
    first_refused: Vec<Entry>,
}

impl Journal {
    /// Takes a request and gives it its number.
    pub fn push(&mut self, mut entry: Entry) -> u32 {
        self.counts.requests += 1;
        let number = self.counts.requests;
        entry.number = number;
        self.bytes += entry.body.len();
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES || (self.bytes > BYTES && self.entries.len() > 1) {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.body.len();
            }
        }
        number
    }

    /// Changes a request that is still kept.
    pub fn change(&mut self, number: u32, change: impl FnOnce(&mut Entry)) {
        let first = self.entries.front().map_or(1, |it| it.number);
        let Some(entry) = number
            .checked_sub(first)
            .and_then(|at| self.entries.get_mut(at as usize))
        else {
            return;
        };
        let before = (entry.judged, entry.broke_contract(), entry.miss.is_some());
        change(entry);
        self.counts.judged += u32::from(entry.judged && !before.0);
        self.counts.missed += u32::from(entry.miss.is_some() && !before.2);
        if entry.broke_contract() && !before.1 {
            self.counts.refused += 1;
            if self.first_refused.len() < 20 {
                self.first_refused.push(entry.clone());
            }
        }
    }

    /// A request that is still kept.
    pub fn get(&self, number: u32) -> Option<&Entry> {
        let first = self.entries.front()?.number;
        self.entries.get(number.checked_sub(first)? as usize)
    }

    /// How many requests there were.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The requests that are still kept, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The first requests that were refused.
    pub fn refused(&self) -> &[Entry] {
        &self.first_refused
    }

    /// Forgets all requests.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The document of `GET /_replay/requests`.
    pub fn document(&self) -> Value {
        json!({
            "schema": 1,
            "counts": {
                "requests": self.counts.requests,
                "judged": self.counts.judged,
                "refused": self.counts.refused,
                "missed": self.counts.missed,
            },
            "requests": self.entries.iter().map(Entry::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_once_and_the_newest_kept() {
        let mut journal = Journal::default();
        for _ in 0..ENTRIES + 5 {
            journal.push(Entry::default());
        }
        assert!(journal.get(5).is_none() && journal.get(6).is_some());
        for _ in 0..2 {
            journal.change(9, |entry| {
                entry.judged = true;
                entry.refused = Some(Failure::invalid("no").rule("missing_output"));
            });
        }
        journal.change(1, |entry| entry.judged = true);
        let counts = journal.counts();
        assert_eq!((counts.judged, counts.refused), (1, 1));
        assert_eq!(journal.refused().len(), 1);
        assert!(journal.get(9).unwrap().line().contains(": no"));
        let document = journal.document();
        assert_eq!(document["requests"][3]["verdict"], "refused");
        assert_eq!(document["counts"]["requests"], (ENTRIES + 5) as u64);
    }
}
