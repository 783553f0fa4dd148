//! Reads a recording, format 1.
//!
//! A recording is evidence that may have been cut anywhere: what stands is read, the rest becomes problems. Bodies are
//! rebuilt one after another; only those that later deltas may build on are held ([`super::body::Bases`]).

use std::io::{self, Read};

use serde_json::value::RawValue;
use thiserror::Error;

use super::body::{Bases, Stored, stored};
use super::build::{Body, Builder, Seen};
use super::exchange::{EndCause, Header, Note, NoteKind, Origin, Recording, Transport};
use super::format::cause_of;
use super::kept::Kept;
use super::lanes::Headers;
use super::sniff::{Foreign, Kind, foreign, sniff};
use crate::events;
use crate::ids::LineNo;
use crate::wire::lines::{Line, LineReader, Reason, Values, trim};
use crate::wire::raw::{Object, string};

/// Why something could not be read as a session.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The reader failed.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is something else that has a name.
    #[error("this is {0}, not a session")]
    Foreign(Foreign),
    /// It is a session, but of another kind than the reader reads.
    #[error("this is {0}")]
    OtherKind(Kind),
    /// It is nothing this program knows.
    #[error("line {line} is no line of a recording: {why}")]
    NoSession {
        /// The line.
        line: LineNo,
        /// Why not.
        why: String,
    },
    /// It was written by a newer program.
    #[error("the recording has format {format}; this program reads format 1")]
    NewerFormat {
        /// The format it says it has.
        format: u64,
    },
    /// A request body is not JSON.
    #[error("not JSON: {why}")]
    NotJson {
        /// Where it stops being JSON.
        why: String,
    },
    /// A request body names nothing that could be sent.
    #[error("the request has no `input`")]
    NoInput,
}

/// Reads a recording.
///
/// # Errors
/// If the reader fails, or if what it gives is no recording of a format this program knows.
pub fn read<R: Read>(reader: R) -> Result<Recording, ReadError> {
    read_into(reader, None)
}

/// The same, with the texts of its requests, so that they can be sent again.
///
/// # Errors
/// As [`read`].
pub fn read_kept<R: Read>(reader: R, kept: &mut Kept) -> Result<Recording, ReadError> {
    read_into(reader, Some(kept))
}

fn read_into<R: Read>(reader: R, kept: Option<&mut Kept>) -> Result<Recording, ReadError> {
    let mut lines = LineReader::new(reader);
    let mut builder = Builder::new(Origin::Recorded);
    builder.kept = kept.is_some().then(Kept::default);
    let mut state = State {
        builder,
        bases: Bases::default(),
        events: events::Reader::default(),
        known: false,
        requests: 0,
    };
    let mut last = 0;
    let mut any = false;
    while let Some(line) = lines.next_line()? {
        last = line.number;
        any |= line.length > 0;
        state.line(&line)?;
    }
    if !any {
        return Err(ReadError::Empty);
    }
    let mut builder = state.builder;
    builder.recording.lines = last;
    let converted = builder.recording.header.converted_from.is_some();
    let (recording, texts) = builder.finish(converted.then_some(EndCause::NotHeld));
    if let (Some(kept), Some(texts)) = (kept, texts) {
        *kept = texts;
    }
    Ok(recording)
}

struct State {
    builder: Builder,
    bases: Bases,
    events: events::Reader,
    /// Whether a line of a recording was seen.
    known: bool,
    requests: u32,
}

impl State {
    fn line(&mut self, line: &Line<'_>) -> Result<(), ReadError> {
        let number = line.number;
        if line.bytes.is_empty() && line.length > 1 {
            self.builder.problem(number, Reason::TooLong(line.length));
            return Ok(());
        }
        let (bytes, found) = trim(line);
        if let Some(reason) = found {
            self.builder.problem(number, reason);
        }
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) && line.ended {
            self.builder.problem(number, Reason::NotUtf8);
        }
        let mut count = 0;
        for value in Values::new(&text) {
            match value {
                Ok(value) => {
                    count += 1;
                    self.value(value, number)?;
                }
                Err(why) => {
                    if !self.known {
                        unknown_file(&text, line, &why)?;
                    }
                    let torn = !line.ended;
                    let reason = if torn {
                        Reason::TornTail
                    } else {
                        Reason::NotJson(why)
                    };
                    self.builder.problem(number, reason);
                }
            }
        }
        if count > 1 {
            self.builder.problem(number, Reason::SeveralValues(count));
        }
        Ok(())
    }

    fn value(&mut self, value: &str, line: LineNo) -> Result<(), ReadError> {
        let object = Object::read(value);
        let kind = object.as_ref().and_then(|it| it.text("kind"));
        let (Some(object), Some(kind)) = (object, kind) else {
            if self.known {
                let what = "no object with a `kind`".to_owned();
                self.builder.problem(line, Reason::UnknownShape(what));
                return Ok(());
            }
            return Err(refuse(value, line, "it has no `kind`"));
        };
        if !self.known {
            if sniff(value.as_bytes()) != Kind::Recording {
                return Err(refuse(value, line, "its first line is none of a recording"));
            }
            self.known = true;
        }
        self.kind(&kind, &object, line)
    }

    fn kind(&mut self, kind: &str, object: &Object<'_>, line: LineNo) -> Result<(), ReadError> {
        let number = object.small("exchange");
        let belongs = match kind {
            "session" => {
                self.session(object)?;
                true
            }
            "request" => self.request(object, line),
            "response" => {
                let status = object.number("status").and_then(|n| u16::try_from(n).ok());
                number.is_some_and(|it| self.builder.status(it, status))
            }
            "chunk" => match (number, bytes_of(object)) {
                // what could not be decoded is evidence, but no text
                (Some(number), Some(_)) if object.flag("encoded") == Some(true) => {
                    self.builder.bytes(number, &[], line)
                }
                (Some(number), Some(bytes)) => self.builder.bytes(number, &bytes, line),
                _ => false,
            },
            "client_closed" => number.is_some_and(|it| self.builder.client_left(it)),
            "end" => {
                let cause = object.text("cause").as_deref().and_then(cause_of);
                if let Some(number) = number {
                    self.builder.ended_at(number, object.number("at_us"));
                }
                number.is_some_and(|it| self.builder.end(it, cause, line))
            }
            "connection" => {
                self.note(NoteKind::Connection, object, line);
                let headers = Headers::read(object, "headers");
                let number = object.small("connection");
                number
                    .map(|it| self.builder.connection(it, headers))
                    .is_some()
            }
            "frame" => self.frame(object, line),
            "connection_end" => {
                self.note(NoteKind::Connection, object, line);
                let cause = object.text("cause").as_deref().and_then(cause_of);
                let number = object.small("connection");
                let cause = cause.unwrap_or(EndCause::UpstreamClosed);
                number
                    .map(|it| self.builder.connection_end(it, cause, line))
                    .is_some()
            }
            "gap" => {
                self.note(NoteKind::Gap, object, line);
                let what = format!(
                    "{} chunks, {} bytes were not recorded: {}",
                    object.number("chunks").unwrap_or(0),
                    object.number("bytes").unwrap_or(0),
                    object.text("reason").unwrap_or_default()
                );
                self.builder.problem(line, Reason::Other(what));
                true
            }
            _ => {
                let kind = match kind {
                    "rollout_file" => NoteKind::RolloutFile,
                    "rollout" => NoteKind::Rollout,
                    "client_event" => NoteKind::ClientEvent,
                    _ => NoteKind::Unknown,
                };
                self.note(kind, object, line);
                self.tells(kind, object, line);
                true
            }
        };
        if !belongs {
            let what = match number {
                Some(number) => format!("`{kind}` of exchange {number}, which is not open"),
                None => format!("`{kind}` without what it needs"),
            };
            self.builder.problem(line, Reason::UnknownShape(what));
        }
        Ok(())
    }

    fn note(&mut self, kind: NoteKind, object: &Object<'_>, line: LineNo) {
        self.builder.recording.notes.push(Note {
            kind,
            line,
            at_us: object.number("at_us"),
            after: self.requests,
        });
    }

    /// Takes what a line beside the wire says.
    fn tells(&mut self, kind: NoteKind, object: &Object<'_>, line: LineNo) {
        let log = &mut self.builder.recording.events;
        let time = object.number("at_us").and_then(|it| i64::try_from(it).ok());
        match kind {
            NoteKind::ClientEvent => {
                let Some(value) = object.value("value") else {
                    return;
                };
                let source = object.text("source");
                let source = source.as_deref().and_then(events::Source::by_name);
                let inwards = object.text("direction").map(|it| it == "in");
                for told in self.events.read(value, source, inwards) {
                    log.push(&told, line, time, 0);
                }
            }
            NoteKind::Rollout => {
                let Some(value) = object.object("value") else {
                    return;
                };
                let path = object.text("path").unwrap_or_default();
                if value.text("type").as_deref() == Some("session_meta")
                    && let Some(thread) = thread_of(&path)
                {
                    let meta = value.object("payload").unwrap_or_default();
                    let parent = parent_of(&meta);
                    let stream = log.stream_of(&path);
                    log.begins(stream, thread, parent.as_deref());
                }
                let Some(mut told) = events::rollout_line(&value) else {
                    return;
                };
                let stream = log.stream_of(&path);
                // a file is named for its thread
                told.thread = thread_of(&path).map(std::borrow::Cow::Borrowed);
                log.push(&told, line, time, stream);
                if let Some(last) = log.events.last_mut() {
                    last.own_line = object.small("line").unwrap_or(0);
                }
            }
            _ => {}
        }
    }

    fn session(&mut self, object: &Object<'_>) -> Result<(), ReadError> {
        let format = object.number("format");
        if let Some(format) = format.filter(|it| *it > 1) {
            return Err(ReadError::NewerFormat { format });
        }
        let text = |key: &str| object.text(key).map(std::borrow::Cow::into_owned);
        let not_held = object.array("not_held").unwrap_or_default();
        let recording = &mut self.builder.recording;
        recording.header = Header {
            format,
            id: text("id"),
            created_at: text("created_at"),
            recorder: text("recorder"),
            upstream: text("upstream"),
            command: object
                .array("command")
                .unwrap_or_default()
                .into_iter()
                .filter_map(|raw| string(raw.get()).map(std::borrow::Cow::into_owned))
                .collect(),
            converted_from: text("converted_from"),
            not_held: not_held
                .into_iter()
                .filter_map(|raw| string(raw.get()).map(std::borrow::Cow::into_owned))
                .collect(),
        };
        if recording.header.converted_from.is_some() {
            recording.origin = Origin::Converted;
        }
        Ok(())
    }

    fn request(&mut self, object: &Object<'_>, line: LineNo) -> bool {
        let Some(number) = object.small("exchange") else {
            return false;
        };
        self.requests += 1;
        let headers = Headers::read(object, "headers");
        let websocket = object.text("transport").as_deref() == Some("websocket");
        let (bytes, lost) = match stored(object, &mut self.bases, number) {
            Ok(Stored::Nothing) => (None, false),
            Ok(Stored::Omitted) => {
                let what = "the request's body was too large to be recorded".to_owned();
                self.builder.problem(line, Reason::Other(what));
                (None, true)
            }
            Ok(Stored::Bytes(bytes)) => (Some(bytes), false),
            Err(error) => {
                self.builder.problem(line, Reason::Other(error.to_string()));
                (None, true)
            }
        };
        let text = bytes.as_deref().map(String::from_utf8_lossy);
        if matches!(text, Some(std::borrow::Cow::Owned(_))) {
            self.builder.problem(line, Reason::NotUtf8);
        }
        self.builder.request(&Seen {
            number,
            line,
            at_us: object.number("at_us").unwrap_or(0),
            transport: if websocket {
                Transport::WebSocket
            } else {
                Transport::Http
            },
            connection: object.small("connection"),
            method: object.text("method").as_deref().unwrap_or("POST"),
            path: object.text("path").as_deref().unwrap_or("/v1/responses"),
            headers: &headers,
            body: text.as_deref().map_or(Body::None, Body::Text),
            whole: !lost
                && object.flag("body_complete") != Some(false)
                && object.flag("body_not_held") != Some(true),
            item_lines: &[],
        });
        true
    }

    fn frame(&mut self, object: &Object<'_>, line: LineNo) -> bool {
        let Some(connection) = object.small("connection") else {
            return false;
        };
        if object.text("from").as_deref() != Some("server") {
            return true;
        }
        let Some(bytes) = bytes_of(object) else {
            return object.text("type").as_deref() != Some("text");
        };
        let text = String::from_utf8_lossy(&bytes);
        let number = object.small("exchange");
        if let Some(number) = number {
            self.builder.ended_at(number, object.number("at_us"));
        }
        self.builder.frame(connection, number, &text, line)
    }
}

/// The thread that a rollout's first line names as the parent of its own.
fn parent_of<'a>(meta: &Object<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let named = meta.text("parent_thread_id");
    named.or_else(|| {
        let spawned = meta.object("source")?.object("subagent")?;
        spawned.object("thread_spawn")?.text("parent_thread_id")
    })
}

/// The thread of a rollout, by the UUID at the end of its name (codex.md 1.1).
fn thread_of(path: &str) -> Option<&str> {
    let name = path.strip_suffix(".zst").unwrap_or(path);
    let stem = name
        .strip_suffix(".jsonl")
        .or_else(|| name.strip_suffix(".json"))?;
    let id = stem.get(stem.len().checked_sub(36)?..)?;
    uuid::Uuid::try_parse(id).is_ok().then_some(id)
}

/// The first text of the file is no JSON: only a recording cut inside its first line goes on.
fn unknown_file(text: &str, line: &Line<'_>, why: &str) -> Result<(), ReadError> {
    if !line.ended && sniff(text.as_bytes()) == Kind::Recording {
        return Ok(());
    }
    Err(refuse(text, line.number, why))
}

fn refuse(text: &str, line: LineNo, why: &str) -> ReadError {
    if let Some(foreign) = foreign(text.as_bytes()) {
        return ReadError::Foreign(foreign);
    }
    match sniff(text.as_bytes()) {
        Kind::Unknown | Kind::Recording => ReadError::NoSession {
            line,
            why: why.to_owned(),
        },
        kind => ReadError::OtherKind(kind),
    }
}

/// The bytes of a chunk or frame.
fn bytes_of(object: &Object<'_>) -> Option<Vec<u8>> {
    use base64::Engine as _;
    if let Some(text) = object.text("text") {
        return Some(text.into_owned().into_bytes());
    }
    let raw = object.get("base64").map(RawValue::get)?;
    let text = string(raw)?;
    base64::engine::general_purpose::STANDARD
        .decode(text.as_bytes())
        .ok()
}

#[cfg(test)]
mod tests;
