//! A client's event log as a file of its own.

use std::io::{self, Read};

use super::Source;
use super::log::Log;
use super::reader::Reader;
use crate::wire::lines::{LineReader, Problem, Reason, Values, trim};
use crate::wire::raw::Object;

/// How many lines are looked at to tell what a file is.
const FIRST_LINES: usize = 40;

/// Says which event log a file is, by its first bytes; `None` if it is none.
///
/// Logs begin with anything (settings, an error, a prompt): the first line that only one kind of log has decides.
pub fn sniff(head: &[u8]) -> Option<Source> {
    let text = String::from_utf8_lossy(head);
    let mut early = false;
    for line in text.lines().take(FIRST_LINES) {
        let Some(object) = Object::read(line.trim_matches(['\u{feff}', '\0', ' ', '\t', '\r']))
        else {
            continue;
        };
        let has = |key: &str| object.get(key).is_some();
        if has("ts") && has("dir") {
            return Some(Source::TuiLog);
        }
        if has("t") && (object.object("event").is_some() || object.object("submit").is_some()) {
            return Some(Source::Proto);
        }
        if has("argv") && has("stdout") {
            return Some(Source::ExecJson);
        }
        if object.object("msg").is_some() && (has("id") || has("conversationId")) {
            return Some(if early {
                Source::ExecJson
            } else {
                Source::Proto
            });
        }
        if object.object("op").is_some() && has("id") {
            return Some(Source::Proto);
        }
        let method = object.text("method").is_some();
        if has("jsonrpc") && (method || has("id")) {
            return Some(Source::Mcp);
        }
        if method && (has("params") || has("id")) && !has("path") {
            return Some(Source::AppServer);
        }
        let kind = object.text("type").unwrap_or_default();
        let dotted = ["thread.", "turn.", "item.", "session.created"];
        if dotted.iter().any(|it| kind.starts_with(it)) {
            return Some(Source::ExecJson);
        }
        early |= has("workdir") && has("model") || has("prompt") && early;
        // what another file has on its first line is none of ours
        let known =
            early || kind == "error" || kind.is_empty() && (has("id") || has("removed_lines"));
        if !known {
            return None;
        }
    }
    None
}

/// Reads a log. What is no JSON becomes a problem; reading goes on behind it.
///
/// # Errors
/// What the reader returns.
pub fn read<R: Read>(reader: R, source: Option<Source>) -> io::Result<Log> {
    let mut log = Log {
        source,
        ..Log::default()
    };
    let mut lines = LineReader::new(reader);
    let mut events = Reader::default();
    while let Some(line) = lines.next_line()? {
        log.lines = line.number;
        let mut problem = |reason: Reason| {
            log.problems.push(Problem {
                line: line.number,
                reason,
            });
        };
        if line.bytes.is_empty() && line.length > 1 {
            problem(Reason::TooLong(line.length));
            continue;
        }
        let (bytes, found) = trim(&line);
        if let Some(reason) = found {
            problem(reason);
        }
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) && line.ended {
            problem(Reason::NotUtf8);
        }
        let mut values = 0;
        let mut told = Vec::new();
        for value in Values::new(&text) {
            match value {
                Ok(value) => {
                    values += 1;
                    let read = events.read(value, source_of(source), None);
                    if read.is_empty() {
                        problem(Reason::UnknownShape("no object".to_owned()));
                    }
                    told.extend(read);
                }
                Err(_) if !line.ended => problem(Reason::TornTail),
                Err(why) => problem(Reason::NotJson(why)),
            }
        }
        if values > 1 {
            problem(Reason::SeveralValues(values));
        }
        for one in &told {
            log.push(one, line.number, None, 0);
        }
    }
    forward(&mut log);
    Ok(log)
}

/// The source of a line of a file whose source is known: early `exec --json` and JSON-RPC tell more themselves.
fn source_of(source: Option<Source>) -> Option<Source> {
    source.filter(|it| matches!(it, Source::AppServer | Source::Mcp | Source::TuiLog))
}

/// Gives events without a time the time of the one before, and lets no time go backwards: the order of a file is known,
/// the clocks of its writers are not.
fn forward(log: &mut Log) {
    let mut last = i64::MIN;
    for event in &mut log.events {
        last = last.max(event.time);
        event.time = last;
    }
}
