//! Reading the answers of a recording: their bytes and times, which a session does not keep.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;

use super::{Take, Tapes};
use crate::session::body::{Bases, Stored, stored};
use crate::session::exchanges;
use crate::session::lanes::{Headers, identity, is_responses_path};
use crate::session::{Kind, ReadError, sniff};
use crate::wire::event::{ResponseFold, Terminal};
use crate::wire::lines::{LineReader, Values, trim};
use crate::wire::raw::{Object, string};
use crate::wire::request::RequestHead;
use crate::wire::sse::{Mode, frames};

/// Something that answers are read from.
pub trait ReadTape {
    /// Reads all answers, and returns how many there are.
    ///
    /// # Errors
    /// If it cannot be read, or is nothing that holds answers.
    fn read_tape(&mut self, bytes: &[u8]) -> Result<usize, ReadError>;
}

impl ReadTape for Tapes {
    fn read_tape(&mut self, bytes: &[u8]) -> Result<usize, ReadError> {
        let before = self.len();
        match sniff(bytes) {
            Kind::Recording => each(bytes, |open| self.take(open))?,
            Kind::Exchanges => {
                let mut number = 0;
                let mut found = Vec::new();
                exchanges::each(bytes, |line, _| {
                    number += 1;
                    if let Ok(line) = line {
                        found.push((number, line));
                    }
                })?;
                for (number, line) in found {
                    let mode = line.mode();
                    let mut open = Open::new(number, line.request.into_bytes(), String::new());
                    open.status = line.status.unwrap_or(200);
                    open.bytes = line.body.into_bytes();
                    open.tolerant = mode == Mode::Tolerant;
                    if line.method == "POST" && is_responses_path(&line.path) {
                        self.take(open);
                    }
                }
            }
            kind => return Err(ReadError::OtherKind(kind)),
        }
        Ok(self.len() - before)
    }
}

/// An exchange while it is read.
struct Open {
    number: u32,
    body: Vec<u8>,
    thread: String,
    at_us: u64,
    status: u16,
    content_type: String,
    bytes: Vec<u8>,
    chunks: Vec<(u32, u64)>,
    connection: Option<u32>,
    tolerant: bool,
}

impl Open {
    fn new(number: u32, body: Vec<u8>, thread: String) -> Self {
        Self {
            number,
            body,
            thread,
            at_us: 0,
            status: 200,
            content_type: String::new(),
            bytes: Vec::new(),
            chunks: Vec::new(),
            connection: None,
            tolerant: false,
        }
    }

    fn chunk(&mut self, bytes: &[u8], at_us: u64) {
        self.bytes.extend_from_slice(bytes);
        let at = at_us.saturating_sub(self.at_us);
        self.chunks.push((self.bytes.len() as u32, at));
    }
}

/// Whether the data of a WebSocket frame is the last of its response.
fn ends(data: &str) -> bool {
    let mut fold = ResponseFold::default();
    fold.data(data);
    fold.terminal.is_some()
}

/// Hands each exchange of a recording to `take`, in the order of the requests: an answer may end late, when its client has
/// long gone on.
fn each<R: Read>(reader: R, mut take: impl FnMut(Open)) -> Result<(), ReadError> {
    let mut lines = LineReader::new(reader);
    let mut bases = Bases::default();
    let mut open: BTreeMap<u32, Open> = BTreeMap::new();
    let mut over: BTreeMap<u32, Open> = BTreeMap::new();
    let mut connections: BTreeMap<u32, Headers<'static>> = BTreeMap::new();
    let mut current: BTreeMap<u32, u32> = BTreeMap::new();
    while let Some(line) = lines.next_line()? {
        let (bytes, _) = trim(&line);
        let text = String::from_utf8_lossy(bytes);
        for value in Values::new(&text).filter_map(Result::ok) {
            let Some(object) = Object::read(value) else {
                continue;
            };
            let kind = object.text("kind").unwrap_or_default();
            let number = object.small("exchange");
            let at_us = object.number("at_us").unwrap_or(0);
            let connection = object.small("connection");
            match kind.as_ref() {
                "request" => {
                    let Some(number) = number else { continue };
                    let Ok(Stored::Bytes(body)) = stored(&object, &mut bases, number) else {
                        continue;
                    };
                    let websocket = object.text("transport").as_deref() == Some("websocket");
                    let path = object.text("path").unwrap_or_default();
                    let method = object.text("method").unwrap_or_default();
                    if !websocket && (method != "POST" || !is_responses_path(&path)) {
                        continue;
                    }
                    let text = String::from_utf8_lossy(&body);
                    let head = RequestHead::read(&text);
                    if head.as_ref().is_some_and(|it| !it.is_create()) {
                        continue;
                    }
                    let headers = Headers::read(&object, "headers");
                    let outer = connection.and_then(|it| connections.get(&it));
                    let thread = identity(&headers, outer, head.as_ref()).thread;
                    drop(text);
                    let mut new = Open::new(number, body, thread.unwrap_or_default());
                    new.at_us = at_us;
                    new.connection = connection.filter(|_| websocket);
                    if let Some(connection) = connection {
                        current.insert(connection, number);
                    }
                    open.insert(number, new);
                }
                "connection" => {
                    if let Some(connection) = connection {
                        let headers = Headers::read(&object, "headers").into_owned();
                        connections.insert(connection, headers);
                    }
                }
                "response" => {
                    if let Some(found) = number.and_then(|it| open.get_mut(&it)) {
                        let status = object.number("status");
                        found.status = status.and_then(|it| u16::try_from(it).ok()).unwrap_or(200);
                        let headers = Headers::read(&object, "headers");
                        let kind = headers.get("content-type").unwrap_or("");
                        kind.clone_into(&mut found.content_type);
                    }
                }
                "chunk" if object.flag("encoded") != Some(true) => {
                    if let (Some(found), Some(bytes)) =
                        (number.and_then(|it| open.get_mut(&it)), bytes_of(&object))
                    {
                        found.chunk(&bytes, at_us);
                    }
                }
                "frame" if object.text("from").as_deref() == Some("server") => {
                    let number = number.or_else(|| current.get(&connection?).copied());
                    if let (Some(number), Some(data)) = (number, object.text("text"))
                        && let Some(found) = open.get_mut(&number)
                    {
                        found.chunk(format!("data: {data}\n\n").as_bytes(), at_us);
                        if ends(&data)
                            && let Some(found) = open.remove(&number)
                        {
                            over.insert(found.number, found);
                        }
                    }
                }
                "end" => {
                    if let Some(found) = number.and_then(|it| open.remove(&it)) {
                        over.insert(found.number, found);
                    }
                }
                "connection_end" => {
                    let number = connection.and_then(|it| current.remove(&it));
                    if let Some(found) = number.and_then(|it| open.remove(&it)) {
                        over.insert(found.number, found);
                    }
                }
                _ => {}
            }
        }
    }
    // cut by the recorder's own death
    over.append(&mut open);
    for (_, found) in over {
        take(found);
    }
    Ok(())
}

impl Tapes {
    /// Takes an answer that came just now; returns where it is.
    pub fn learn(
        &mut self,
        body: &[u8],
        thread: &str,
        status: u16,
        content_type: &str,
        bytes: &[u8],
    ) -> Option<usize> {
        let number = self.len() as u32 + 1;
        let mut open = Open::new(number, body.to_vec(), thread.to_owned());
        open.status = status;
        content_type.clone_into(&mut open.content_type);
        open.bytes = bytes.to_vec();
        let before = self.len();
        self.take(open);
        (self.len() > before).then_some(before)
    }

    fn take(&mut self, open: Open) {
        let body = String::from_utf8_lossy(&open.body);
        let Some(mut head) = RequestHead::read(&body) else {
            return;
        };
        let text = String::from_utf8_lossy(&open.bytes);
        let is_json = text.trim_start().starts_with('{');
        let mut fold = ResponseFold::default();
        let mut bytes = open.bytes.clone();
        if is_json {
            fold.whole(&text);
        } else {
            let mode = if open.tolerant {
                Mode::Tolerant
            } else {
                Mode::Strict
            };
            let mut solid = String::new();
            for frame in frames(&open.bytes, mode) {
                if let Some(data) = &frame.data {
                    fold.data(data);
                    solid.push_str("data: ");
                    solid.push_str(data);
                    solid.push_str("\n\n");
                }
            }
            if open.tolerant {
                bytes = solid.into_bytes();
            }
        }
        // what was recorded is what the server held, whatever it was told to store
        head.store = Some(true);
        let ticket = self.live.arrive(&head, None, 0);
        let complete = matches!(
            fold.terminal,
            Some(Terminal::Completed | Terminal::Incomplete)
        ) && open.status < 400;
        let done: Vec<String> = fold.done.iter().map(|it| it.raw.to_string()).collect();
        if let Some(id) = fold.id.as_deref().filter(|_| complete || !done.is_empty()) {
            self.live.answered(&ticket, id, true, &done, &[]);
        }
        let key = self.live.key(ticket.node());
        let status = match fold.error.as_ref().and_then(|it| it.status) {
            Some(status) if open.connection.is_some() => status,
            _ => open.status,
        };
        let content_type = if open.content_type.is_empty() {
            if is_json {
                "application/json"
            } else {
                "text/event-stream"
            }
            .to_owned()
        } else {
            open.content_type
        };
        let take = Take {
            exchange: open.number,
            thread: open.thread,
            status,
            content_type,
            chunks: if open.tolerant {
                Vec::new()
            } else {
                open.chunks
            },
            bytes: bytes.into(),
            complete,
            response: fold.id,
            previous: head.previous.as_deref().map(str::to_owned),
            done,
            warm_up: head.generate == Some(false),
            key,
            node: ticket.node(),
        };
        self.add(take);
    }
}

/// The bytes of a chunk.
fn bytes_of(object: &Object<'_>) -> Option<Vec<u8>> {
    if let Some(text) = object.text("text") {
        return Some(text.into_owned().into_bytes());
    }
    let text = string(object.get("base64")?.get())?;
    base64::engine::general_purpose::STANDARD
        .decode(text.as_bytes())
        .ok()
}

#[cfg(test)]
mod tests;
