//! Writes exchanges as a source holds them: its lines, in the order of their times.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::Converted;
use super::decode::{Decoded, decode};
use crate::ids::LineNo;
use crate::session::exchange::EndCause;
use crate::session::format::{
    Cause, ConnectionEndLine, ConnectionLine, EndLine, FrameLine, HeaderLines, RequestLine,
    ResponseLine, SessionLine,
};
use crate::session::lanes::{Headers, is_responses_path};
use crate::session::writer::Writer;
use crate::wire::lines::{Problem, Reason};
use crate::wire::sse::{Frame, Mode, frames};

/// What writes a converted recording.
pub(super) const RECORDER: &str = concat!("replay ", env!("CARGO_PKG_VERSION"));

/// The body of a request.
#[derive(Clone, Debug, Default)]
pub(super) enum Sent<'a> {
    /// The source says that there is none.
    #[default]
    None,
    /// The source does not hold it; what it says of the request instead, as JSON.
    NotHeld(Option<Cow<'a, str>>),
    /// Its bytes.
    Bytes(Cow<'a, [u8]>),
}

/// How true the bytes of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    /// They are those of the wire.
    Exact,
    /// They come from a dump, which may have lost line ends.
    Dump,
    /// They say what the source says.
    Rebuilt,
}

/// The answer, as far as a source holds it.
#[derive(Clone, Debug)]
pub(super) struct Reply<'a> {
    /// When its head came.
    pub(super) at_us: u64,
    pub(super) status: Option<u16>,
    pub(super) headers: Option<Headers<'a>>,
    pub(super) body: Cow<'a, [u8]>,
    pub(super) bytes: Bytes,
    /// When so many bytes of the body had come, where the source says it.
    pub(super) parts: Vec<(u64, usize)>,
}

/// One exchange.
#[derive(Clone, Debug)]
pub(super) struct Hop<'a> {
    /// Where it stands in the source.
    pub(super) line: LineNo,
    /// What it is called in problems, such as `entry 3`.
    pub(super) name: String,
    pub(super) at_us: u64,
    pub(super) method: Cow<'a, str>,
    pub(super) path: Cow<'a, str>,
    pub(super) http: Option<&'a str>,
    pub(super) websocket: Option<u32>,
    pub(super) headers: Option<Headers<'a>>,
    pub(super) body: Sent<'a>,
    pub(super) reply: Option<Reply<'a>>,
    /// `None` if the source knows that nothing is on file about it.
    pub(super) end: Option<EndCause>,
    pub(super) end_us: u64,
    pub(super) detail: Option<Cow<'a, str>>,
    /// The number it had in the recording that the source was made of.
    pub(super) number: Option<u32>,
}

impl Default for Hop<'_> {
    fn default() -> Self {
        Self {
            line: 0,
            name: String::new(),
            at_us: 0,
            method: "POST".into(),
            path: "/v1/responses".into(),
            http: None,
            websocket: None,
            headers: None,
            body: Sent::None,
            reply: None,
            end: Some(EndCause::NotHeld),
            end_us: 0,
            detail: None,
            number: None,
        }
    }
}

/// A line that waits for its time.
enum Waiting {
    Response(u32, u16, Option<Headers<'static>>),
    Chunk(u32, Vec<u8>, Bytes),
    Encoded(u32, Vec<u8>),
    End(u32, EndCause, Option<String>),
    /// Any other whole line.
    Event(String),
    /// A WebSocket is opened.
    Opened(Box<Opened>),
    /// A message on one.
    Message(Message),
    /// It ends.
    Closed(u32, EndCause),
}

/// A WebSocket connection.
pub(super) struct Opened {
    pub(super) connection: u32,
    pub(super) path: String,
    pub(super) headers: Headers<'static>,
    pub(super) status: Option<u32>,
    pub(super) response_headers: Option<Headers<'static>>,
    /// The numbers its exchanges had in the recording that the source was made of, last first.
    pub(super) numbers: Vec<u32>,
}

/// A message on a WebSocket.
pub(super) struct Message {
    pub(super) connection: u32,
    pub(super) from_client: bool,
    /// Its kind, by the name of the format.
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// The recording that is written.
pub(super) struct Log<'a, W: Write> {
    pub(super) writer: &'a mut Writer<W>,
    pub(super) done: Converted,
    waiting: BTreeMap<(u64, u64), Waiting>,
    sequence: u64,
    begun: bool,
    /// The newest exchange of each connection.
    current: BTreeMap<u32, u32>,
    /// The numbers of exchanges that are taken, and those that the exchanges of connections are to have, last first.
    taken: BTreeSet<u32>,
    wanted: BTreeMap<u32, Vec<u32>>,
    /// When the last exchange began.
    last_us: u64,
}

impl<'a, W: Write> Log<'a, W> {
    pub(super) fn new(writer: &'a mut Writer<W>) -> Self {
        Self {
            writer,
            done: Converted::default(),
            waiting: BTreeMap::new(),
            sequence: 0,
            begun: false,
            current: BTreeMap::new(),
            taken: BTreeSet::new(),
            wanted: BTreeMap::new(),
            last_us: 0,
        }
    }

    /// The number of the next exchange: the one it had, if it had one and that is free, else the next.
    pub(super) fn number(&mut self, had: Option<u32>) -> u32 {
        self.done.requests += 1;
        let next = self.taken.last().map_or(1, |it| it.saturating_add(1));
        let had = had.filter(|it| *it > 0 && !self.taken.contains(it));
        let number = had.unwrap_or(next);
        self.taken.insert(number);
        number
    }

    /// Writes the first line, unless it is written.
    pub(super) fn begin(
        &mut self,
        from: &str,
        not_held: &[&str],
        created_at: Option<&str>,
    ) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.writer.session(&SessionLine {
            recorder: Some(RECORDER),
            converted_from: Some(from),
            not_held: not_held.to_vec(),
            created_at,
            ..SessionLine::default()
        })
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn problem(&mut self, line: LineNo, reason: Reason) {
        self.done.problems.push(Problem { line, reason });
    }

    pub(super) fn says(&mut self, line: LineNo, what: impl Into<String>) {
        self.problem(line, Reason::Other(what.into()));
    }

    /// Writes an exchange and returns its number.
    pub(super) fn put(&mut self, hop: Hop<'_>) -> io::Result<u32> {
        if hop.at_us < self.last_us {
            let name = &hop.name;
            let what =
                format!("{name} began before what stands in front of it; its times are not kept");
            self.says(hop.line, what);
        }
        self.last_us = self.last_us.max(hop.at_us);
        self.flush(hop.at_us)?;
        let number = self.number(hop.number);
        self.request(number, &hop)?;
        let Hop {
            line,
            name,
            at_us,
            reply,
            end,
            end_us,
            detail,
            ..
        } = hop;
        let parts = reply
            .iter()
            .flat_map(|it| it.parts.iter().map(|(at, _)| *at));
        let last_us = parts.chain(reply.iter().map(|it| it.at_us)).max();
        let end_us = end_us.max(at_us).max(last_us.unwrap_or(0));
        if let Some(reply) = reply {
            self.reply(number, line, &name, at_us, reply)?;
        }
        let detail = detail.map(Cow::into_owned);
        if let Some(end) = end {
            self.wait(end_us, Waiting::End(number, end, detail));
        }
        self.flush(at_us)?;
        Ok(number)
    }

    fn request(&mut self, number: u32, hop: &Hop<'_>) -> io::Result<()> {
        let mut line = RequestLine {
            exchange: number,
            connection: hop.websocket,
            at_us: hop.at_us,
            head_at_us: None,
            transport: if hop.websocket.is_some() {
                "websocket"
            } else {
                "http"
            },
            http: hop.http,
            method: hop.websocket.is_none().then_some(&*hop.method),
            path: hop.websocket.is_none().then_some(&*hop.path),
            headers: hop.headers.as_ref().map(HeaderLines),
            body_complete: None,
            body_encoded: None,
            redacted: Vec::new(),
        };
        let posts = &*hop.method == "POST" && is_responses_path(&hop.path);
        match &hop.body {
            Sent::NotHeld(told) => self.writer.request_not_held(line, told.as_deref()),
            Sent::Bytes(bytes) if !bytes.is_empty() => {
                let encoding = hop
                    .headers
                    .as_ref()
                    .and_then(|it| it.get("content-encoding"));
                match decode(Cow::Borrowed(bytes), encoding) {
                    Decoded::Plain(bytes) => self.writer.request(line, bytes.into_owned()),
                    Decoded::Encoded(why) => {
                        self.says(
                            hop.line,
                            format!("{}: the request's body stands as it came: {why}", hop.name),
                        );
                        line.body_encoded = Some(true);
                        self.writer.request(line, bytes.to_vec())
                    }
                }
            }
            // no request to the Responses API goes without a body: it was left out
            _ if posts => self.writer.request_not_held(line, None),
            _ => self.writer.request(line, Vec::new()),
        }
    }

    fn reply(
        &mut self,
        number: u32,
        line: LineNo,
        name: &str,
        begun_us: u64,
        reply: Reply<'_>,
    ) -> io::Result<()> {
        let at_us = reply.at_us.max(begun_us);
        let encoding = reply
            .headers
            .as_ref()
            .and_then(|it| it.get("content-encoding"))
            .map(str::to_owned);
        if let Some(status) = reply.status {
            let headers = reply.headers.map(Headers::into_owned);
            self.wait(at_us, Waiting::Response(number, status, headers));
        }
        let body = match decode(Cow::Borrowed(&reply.body), encoding.as_deref()) {
            Decoded::Plain(body) => body,
            Decoded::Encoded(why) => {
                self.says(
                    line,
                    format!("{name}: the answer's body stands as it came: {why}"),
                );
                self.wait(at_us, Waiting::Encoded(number, reply.body.into_owned()));
                return Ok(());
            }
        };
        if body.is_empty() {
            return Ok(());
        }
        if !reply.parts.is_empty() && reply.parts.iter().map(|it| it.1).sum::<usize>() == body.len()
        {
            let mut rest: &[u8] = &body;
            for (at, length) in reply.parts {
                let (now, later) = rest.split_at(length.min(rest.len()));
                self.wait(
                    at.max(at_us),
                    Waiting::Chunk(number, now.to_vec(), reply.bytes),
                );
                rest = later;
            }
            return self.flush(begun_us);
        }
        let trimmed = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
        let first = trimmed.iter().find(|byte| !byte.is_ascii_whitespace());
        if matches!(first, Some(b'{' | b'[')) && breaks_off(trimmed) {
            let what = format!("{name}: the answer's body ends in the middle of its JSON");
            self.says(line, what);
        }
        if matches!(first, None | Some(b'{' | b'[' | b'<' | b'"')) {
            self.wait(
                at_us,
                Waiting::Chunk(number, body.into_owned(), reply.bytes),
            );
            return self.flush(begun_us);
        }
        let mode = match reply.bytes {
            Bytes::Dump => Mode::Tolerant,
            Bytes::Exact | Bytes::Rebuilt => Mode::Strict,
        };
        for frame in frames(&body, mode) {
            if let Some(data) = frame.data.as_deref().filter(|it| !is_whole(it)) {
                let what = match (frame.whole, data.starts_with('{')) {
                    (false, true) => "the stream ends in the middle of an event",
                    _ => "an event of the stream is no JSON",
                };
                self.says(line, format!("{name}: {what}"));
            }
            let range = frame.raw.start as usize..frame.raw.end as usize;
            let mut bytes = body.get(range).unwrap_or(&[]).to_vec();
            if reply.bytes == Bytes::Dump {
                end_frame(&mut bytes, &frame);
            }
            self.wait(at_us, Waiting::Chunk(number, bytes, reply.bytes));
        }
        self.flush(begun_us)
    }

    /// A line of its own that belongs to no exchange, without `at_us`, which is set when it is written.
    pub(super) fn event(&mut self, at_us: u64, json: String) {
        self.wait(at_us, Waiting::Event(json));
    }

    pub(super) fn opened(&mut self, at_us: u64, opened: Opened) {
        self.wait(at_us, Waiting::Opened(Box::new(opened)));
    }

    pub(super) fn message(&mut self, at_us: u64, message: Message) {
        self.wait(at_us, Waiting::Message(message));
    }

    pub(super) fn closed(&mut self, at_us: u64, connection: u32, cause: EndCause) {
        self.wait(at_us, Waiting::Closed(connection, cause));
    }

    fn wait(&mut self, at_us: u64, line: Waiting) {
        self.sequence += 1;
        self.waiting.insert((at_us, self.sequence), line);
    }

    /// Writes what waits for this time or an earlier one.
    pub(super) fn flush(&mut self, until: u64) -> io::Result<()> {
        while let Some(first) = self.waiting.first_entry() {
            let (at_us, _) = *first.key();
            if at_us > until {
                return Ok(());
            }
            let line = first.remove();
            self.write(at_us, line)?;
        }
        Ok(())
    }

    fn write(&mut self, at_us: u64, line: Waiting) -> io::Result<()> {
        match line {
            Waiting::Response(exchange, status, headers) => self.writer.response(ResponseLine {
                exchange,
                at_us,
                status: status.into(),
                headers: headers.as_ref().map(HeaderLines),
            }),
            Waiting::Chunk(exchange, bytes, Bytes::Rebuilt) => {
                let text = String::from_utf8_lossy(&bytes);
                self.writer.rebuilt_chunk(exchange, at_us, &text)
            }
            Waiting::Chunk(exchange, bytes, _) => self.writer.chunk(exchange, at_us, &bytes, None),
            Waiting::Encoded(exchange, bytes) => self.writer.encoded_chunk(exchange, at_us, &bytes),
            Waiting::End(exchange, cause, detail) => self.writer.end(EndLine {
                exchange,
                at_us,
                cause: Cause(cause),
                detail: detail.as_deref(),
                trailers: None,
            }),
            Waiting::Opened(mut opened) => {
                let numbers = std::mem::take(&mut opened.numbers);
                self.wanted.insert(opened.connection, numbers);
                self.writer.connection(ConnectionLine {
                    connection: opened.connection,
                    at_us,
                    method: Some("GET"),
                    path: Some(&opened.path),
                    headers: Some(HeaderLines(&opened.headers)),
                    status: opened.status,
                    response_headers: opened.response_headers.as_ref().map(HeaderLines),
                    extensions: None,
                })
            }
            Waiting::Message(message) => self.write_message(at_us, message),
            Waiting::Closed(connection, cause) => self.writer.connection_end(ConnectionEndLine {
                connection,
                at_us,
                cause: Cause(cause),
                code: None,
                reason: None,
            }),
            Waiting::Event(json) => {
                let value = serde_json::from_str::<Box<serde_json::value::RawValue>>(&json).ok();
                self.writer
                    .client_event(crate::session::format::ClientEventLine {
                        at_us,
                        source: "codex-trace",
                        direction: "out",
                        text: value.is_none().then_some(json.as_str()),
                        value: value.as_deref(),
                    })
            }
        }
    }

    /// What the client sends as text begins an exchange.
    fn write_message(&mut self, at_us: u64, message: Message) -> io::Result<()> {
        let connection = message.connection;
        if message.from_client && message.kind == "text" {
            let had = self.wanted.get_mut(&connection).and_then(Vec::pop);
            let number = self.number(had);
            self.current.insert(connection, number);
            let line = RequestLine {
                exchange: number,
                connection: Some(connection),
                at_us,
                head_at_us: None,
                transport: "websocket",
                http: None,
                method: None,
                path: None,
                headers: None,
                body_complete: None,
                body_encoded: None,
                redacted: Vec::new(),
            };
            return self.writer.request(line, message.bytes);
        }
        let line = FrameLine {
            connection,
            exchange: self.current.get(&connection).copied(),
            at_us,
            from: if message.from_client {
                "client"
            } else {
                "server"
            },
            r#type: message.kind,
            text: None,
            base64: None,
        };
        self.writer.frame(line, &message.bytes)
    }

    /// Writes what still waits, and returns what was converted.
    pub(super) fn finish(mut self) -> io::Result<Converted> {
        self.flush(u64::MAX)?;
        Ok(self.done)
    }
}

/// Gives a frame of a dump the blank line back that it lost. What broke off inside its data stays torn.
pub(super) fn end_frame(bytes: &mut Vec<u8>, frame: &Frame) {
    let Some(data) = &frame.data else { return };
    let ended = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r", b"\n\r\n"];
    if ended.iter().any(|it| bytes.ends_with(it)) || !frame.whole && !is_whole(data) {
        return;
    }
    while bytes.last().is_some_and(u8::is_ascii_whitespace) {
        bytes.pop();
    }
    bytes.extend_from_slice(b"\n\n");
}

fn breaks_off(json: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(json).is_err_and(|error| error.is_eof())
}

/// Whether the data of an event is one.
pub(super) fn is_whole(data: &str) -> bool {
    data.trim() == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok()
}
