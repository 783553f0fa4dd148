//! Recorded answers, and which of them belongs to a request.
//!
//! The recorded requests run through a server of their own ([`Live`]), so that a conversation has the same keys whether it
//! was recorded or comes in now. An answer is found by what was said up to here, never by the order of arrival.

mod read;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::Rules;
use super::journal::Miss;
use super::live::{Key, Live};
use super::stream::{Frames, Made};
use crate::ids::ItemIndex;
use crate::session::tree::Node;
use crate::wire::event::ResponseFold;
use crate::wire::raw::Object;
use crate::wire::sse::{Mode, frames};

pub use read::ReadTape;

/// How a request is held against recorded ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// All items must be equal but for ids.
    Strict,
    /// What the user, the model and the tools did must be equal.
    #[default]
    Conversation,
    /// The n-th request of a thread gets the n-th answer of a recorded one.
    Sequence,
}

impl Match {
    /// All ways with their names.
    pub const ALL: [(&'static str, Self); 3] = [
        ("strict", Self::Strict),
        ("conversation", Self::Conversation),
        ("sequence", Self::Sequence),
    ];
}

/// One recorded answer.
#[derive(Clone, Debug)]
pub struct Take {
    /// Its exchange.
    pub exchange: u32,
    /// The thread its request named, else an empty text.
    pub thread: String,
    /// The status.
    pub status: u16,
    /// `content-type`.
    pub content_type: String,
    /// Its bytes: an event stream, or a body.
    pub bytes: Bytes,
    /// Where each chunk ends, and when it came: microseconds since the request.
    pub chunks: Vec<(u32, u64)>,
    /// Whether the answer reached its end.
    pub complete: bool,
    /// The response's id.
    pub response: Option<String>,
    /// The id of the response that the request went on from.
    pub previous: Option<String>,
    /// The finished items.
    pub done: Vec<String>,
    /// Whether its request asked for no output (`generate: false`).
    pub warm_up: bool,
    key: Key,
    node: Node,
}

/// What was found for a request.
#[derive(Clone, Debug)]
pub enum Found {
    /// This answer.
    Take(usize),
    /// None, and why.
    Miss(Miss),
}

/// All recorded answers.
#[derive(Debug)]
pub struct Tapes {
    takes: Vec<Take>,
    live: Live,
    lenient: BTreeMap<u64, Vec<usize>>,
    strict: BTreeMap<u64, Vec<usize>>,
    /// For each beginning of a recorded conversation, one that has it.
    beginnings: BTreeMap<u64, usize>,
    threads: Vec<String>,
    way: Match,
    faults: bool,
    attempts: BTreeMap<(String, u64), usize>,
    turns: BTreeMap<String, usize>,
    live_threads: Vec<String>,
    /// The last exchange whose answer is played.
    through: Option<u32>,
}

impl Tapes {
    /// No recorded answer yet. `faults` plays answers that failed or were cut, too.
    pub fn new(way: Match, faults: bool) -> Self {
        Self {
            takes: Vec::new(),
            live: Live::new(Rules::default()),
            lenient: BTreeMap::new(),
            strict: BTreeMap::new(),
            beginnings: BTreeMap::new(),
            threads: Vec::new(),
            way,
            faults,
            attempts: BTreeMap::new(),
            turns: BTreeMap::new(),
            live_threads: Vec::new(),
            through: None,
        }
    }

    /// Plays no answer behind that of this exchange, and that one as far as it goes.
    pub fn play_through(&mut self, exchange: u32) {
        self.through = Some(exchange);
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.takes.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.takes.len()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&Take> {
        self.takes.get(index)
    }

    /// Whether an answer is played as it stands, although it may have failed or been cut.
    pub fn plays_cut(&self, take: &Take) -> bool {
        self.faults || (self.through == Some(take.exchange) && take.status < 400)
    }

    /// Begins all conversations anew.
    pub fn rewind(&mut self) {
        self.attempts.clear();
        self.turns.clear();
        self.live_threads.clear();
    }

    fn add(&mut self, take: Take) {
        let index = self.takes.len();
        self.lenient
            .entry(take.key.lenient)
            .or_default()
            .push(index);
        self.strict.entry(take.key.strict).or_default().push(index);
        if !self.threads.contains(&take.thread) {
            self.threads.push(take.thread.clone());
        }
        let mut at = take.node;
        loop {
            let key = self.live.key(at).lenient;
            if self.beginnings.contains_key(&key) {
                break;
            }
            self.beginnings.insert(key, index);
            match self.live.before(at) {
                Some(before) => at = before,
                None => break,
            }
        }
        self.takes.push(take);
    }

    /// Whether an answer is played as it stands.
    fn plays(&self, take: &Take) -> bool {
        let in_time = self.through.is_none_or(|last| take.exchange <= last);
        in_time && (self.plays_cut(take) || (take.complete && take.status < 400))
    }

    /// Finds the answer for a request with this context. `thread` is what it names as its own.
    pub fn find(&mut self, live: &mut Live, node: Node, held: u32, thread: Option<&str>) -> Found {
        let thread = thread.unwrap_or("");
        let key = live.key(node);
        let found = match self.way {
            Match::Strict => self.attempt(thread, key.strict, true),
            Match::Conversation => self.attempt(thread, key.lenient, false),
            Match::Sequence => self.next_of(thread),
        };
        match found {
            Some(index) => Found::Take(index),
            None if self.way == Match::Sequence => Found::Miss(Miss {
                nearest: None,
                path: None,
                text: "the recorded thread has no further answer".to_owned(),
            }),
            None => Found::Miss(self.explain(live, node, held)),
        }
    }

    /// The next attempt at a conversation. Behind a complete one the next equal request begins anew.
    fn attempt(&mut self, thread: &str, key: u64, strict: bool) -> Option<usize> {
        let table = if strict { &self.strict } else { &self.lenient };
        let all = table.get(&key)?;
        let mut playable: Vec<usize> = all
            .iter()
            .copied()
            .filter(|index| self.takes.get(*index).is_some_and(|it| self.plays(it)))
            .collect();
        if playable.is_empty() {
            // none was whole: what was finished of one is
            let any = |index: &&usize| {
                let take = self.takes.get(**index);
                take.is_some_and(|it| !it.done.is_empty() && it.status < 400)
            };
            playable.extend(all.iter().find(any));
        }
        // attempts of the same thread come first
        let own: Vec<usize> = playable
            .iter()
            .copied()
            .filter(|index| self.takes.get(*index).is_some_and(|it| it.thread == thread))
            .collect();
        let choice = if own.is_empty() { playable } else { own };
        let count = self.attempts.entry((thread.to_owned(), key)).or_default();
        let index = choice.get(*count).or(choice.last()).copied()?;
        let take = self.takes.get(index)?;
        if take.complete && *count + 1 >= choice.len() {
            *count = 0;
        } else {
            *count += 1;
        }
        Some(index)
    }

    fn next_of(&mut self, thread: &str) -> Option<usize> {
        let place = self.live_threads.iter().position(|it| it == thread);
        let place = place.unwrap_or_else(|| {
            self.live_threads.push(thread.to_owned());
            self.live_threads.len() - 1
        });
        // the recorded thread of the same name, else the one in the same place
        let recorded = self
            .threads
            .iter()
            .find(|it| it.as_str() == thread)
            .or_else(|| self.threads.get(place))?
            .clone();
        let turn = self.turns.get(thread).copied().unwrap_or(0);
        let of_thread = |it: &usize| {
            self.takes
                .get(*it)
                // a warm-up is answered without looking here
                .is_some_and(|take| take.thread == recorded && !take.warm_up && self.plays(take))
        };
        let found = (0..self.takes.len()).filter(of_thread).nth(turn);
        self.turns.insert(thread.to_owned(), turn + 1);
        found
    }

    fn explain(&mut self, live: &mut Live, node: Node, held: u32) -> Miss {
        if self.takes.is_empty() {
            return Miss {
                nearest: None,
                path: None,
                text: "nothing is recorded".to_owned(),
            };
        }
        // the longest beginning that is on tape
        let mut at = node;
        let shared = loop {
            let key = live.key(at);
            if let Some(index) = self.beginnings.get(&key.lenient) {
                break Some((*index, key.count));
            }
            match live.before(at) {
                Some(before) => at = before,
                None => break None,
            }
        };
        let (index, count) = shared.unwrap_or((0, 0));
        let Some(take) = self.takes.get(index) else {
            return Miss {
                nearest: None,
                path: None,
                text: "no recorded request is like it".to_owned(),
            };
        };
        let (nearest, taken) = (take.exchange, take.node);
        let strict = self.way == Match::Strict;
        let path = first_difference(live, node, held, &self.live, taken, count, strict);
        let text = format!(
            "no recorded request is equal; exchange {nearest} is nearest, the first difference is {path}"
        );
        Miss {
            nearest: Some(nearest),
            path: Some(path),
            text,
        }
    }

    /// The frames of an answer with another response id put in, if it was given out already, and the response that the
    /// live request goes on from.
    pub fn frames(&self, take: &Take, id: Option<&str>, previous: Option<&str>) -> Frames {
        let mut bytes = take.bytes.to_vec();
        for (old, new) in [
            (take.response.as_deref(), id),
            (take.previous.as_deref(), previous),
        ] {
            if let (Some(old), Some(new)) = (old, new)
                && old != new
            {
                bytes = replace(&bytes, old.as_bytes(), new.as_bytes());
            }
        }
        let bytes = Bytes::from(bytes);
        if !take.content_type.contains("event-stream") {
            return Frames {
                ends: vec![bytes.len() as u32],
                items: take
                    .done
                    .iter()
                    .map(|raw| Made {
                        raw: raw.clone(),
                        added: 0,
                        done: 0,
                    })
                    .collect(),
                object: bytes.clone(),
                bytes,
                ..Frames::default()
            };
        }
        stream_frames(bytes)
    }
}

/// Cuts an event stream into its frames and finds its items.
pub fn stream_frames(bytes: Bytes) -> Frames {
    let mut found = Frames::default();
    let mut fold = ResponseFold::default();
    let mut object = Bytes::new();
    let mut begun: Vec<u32> = Vec::new();
    for (at, frame) in frames(&bytes, Mode::Strict).into_iter().enumerate() {
        found.ends.push(frame.raw.end as u32);
        let Some(data) = &frame.data else { continue };
        let before = (fold.done.len(), fold.half.len());
        fold.data(data);
        if fold.half.len() > before.1 {
            begun.push(at as u32);
        }
        for item in fold.done.iter().skip(before.0) {
            let added = item
                .output_index
                .and_then(|index| begun.get(index as usize));
            found.items.push(Made {
                raw: item.raw.to_string(),
                added: added.copied().unwrap_or(at as u32),
                done: at as u32,
            });
        }
        let response = Object::read(data).and_then(|it| it.get("response"));
        if let Some(response) = response {
            object = Bytes::copy_from_slice(response.get().as_bytes());
        }
    }
    (found.bytes, found.object) = (bytes, object);
    found
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for place in memchr::memmem::find_iter(bytes, old) {
        out.extend_from_slice(bytes.get(at..place).unwrap_or(&[]));
        out.extend_from_slice(new);
        at = place + old.len();
    }
    out.extend_from_slice(bytes.get(at..).unwrap_or(&[]));
    out
}

/// The first path in which a request differs from a recorded one, behind `count` items that count and are equal.
fn first_difference(
    live: &Live,
    node: Node,
    held: u32,
    tape: &Live,
    taken: Node,
    count: u32,
    strict: bool,
) -> String {
    let place = |position: usize| {
        position.checked_sub(held as usize).map_or_else(
            || format!("context[{position}]"),
            |at| format!("input[{at}]"),
        )
    };
    let select = |of: &Live, node: Node| -> Vec<(usize, ItemIndex)> {
        let items = of.items_of(node).into_iter().enumerate();
        items.filter(|(_, it)| strict || of.counts(*it)).collect()
    };
    let (left, right) = (select(live, node), select(tape, taken));
    let skip = if strict { 0 } else { count as usize };
    for at in skip..left.len().max(right.len()) {
        match (left.get(at), right.get(at)) {
            (Some((position, ours)), Some((_, theirs))) => {
                let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
                let (ours, theirs) = (read(live.text(*ours)), read(tape.text(*theirs)));
                if let Some(path) = differs(&ours, &theirs, &place(*position)) {
                    return path;
                }
            }
            (Some((position, _)), None) => {
                return format!("{} (it is not recorded)", place(*position));
            }
            (None, Some((position, _))) => {
                return format!(
                    "the end (item {position} of the recorded conversation is missing)"
                );
            }
            (None, None) => break,
        }
    }
    "none that can be shown".to_owned()
}

fn differs(ours: &Value, theirs: &Value, path: &str) -> Option<String> {
    const IDS: [&str; 4] = ["id", "call_id", "status", "approval_request_id"];
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left
                .keys()
                .chain(right.keys().filter(|it| !left.contains_key(*it)));
            keys.filter(|key| !IDS.contains(&key.as_str()))
                .find_map(|key| {
                    let path = format!("{path}.{key}");
                    match (left.get(key), right.get(key)) {
                        (Some(left), Some(right)) => differs(left, right, &path),
                        _ => Some(path),
                    }
                })
        }
        (Value::Array(left), Value::Array(right)) => {
            let longest = left.len().max(right.len());
            (0..longest).find_map(|at| {
                let path = format!("{path}[{at}]");
                match (left.get(at), right.get(at)) {
                    (Some(left), Some(right)) => differs(left, right, &path),
                    _ => Some(path),
                }
            })
        }
        _ => (ours != theirs).then(|| path.to_owned()),
    }
}
