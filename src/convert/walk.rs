//! A recording exchange by exchange, with its bytes: what a session does not keep, and other forms are made of.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::summary::Tally;
use crate::ids::LineNo;
use crate::session::ReadError;
use crate::session::body::{Bases, Stored, stored};
use crate::session::lanes::Headers;
use crate::wire::lines::{LineReader, Problem, Reason, Values, trim};
use crate::wire::raw::{Object, string};

/// The body of a request, as far as it is on file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It is not on file; why.
    NotHeld(String),
}

/// A chunk of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// When it came.
    pub at_us: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it could not be decoded.
    pub encoded: bool,
    /// Whether it only says what the source says.
    pub rebuilt: bool,
}

/// One exchange with all its bytes.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// Its number.
    pub number: u32,
    /// The line of its request.
    pub line: LineNo,
    /// When its request was whole.
    pub at_us: u64,
    /// The connection, for a WebSocket message.
    pub connection: Option<u32>,
    /// `POST` and the like.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The version of HTTP, where it is held.
    pub http: Option<String>,
    /// The headers, where they are held.
    pub headers: Option<Headers<'static>>,
    /// The body.
    pub body: Body,
    /// When the answer's head came.
    pub head_us: Option<u64>,
    /// The status.
    pub status: Option<u16>,
    /// The headers of the answer, where they are held.
    pub response_headers: Option<Headers<'static>>,
    /// The answer's body.
    pub chunks: Vec<Chunk>,
    /// The messages of the answer, on a WebSocket.
    pub frames: Vec<(u64, String)>,
    /// What was counted of its bytes, which are not held then ([`walk_counted`]).
    pub tally: Option<Box<Tally>>,
    /// Why its transport ended, by name.
    pub end: Option<String>,
    /// When it ended.
    pub end_us: Option<u64>,
    /// More about the end.
    pub detail: Option<String>,
}

impl Whole {
    /// The answer's body as one piece, without what could not be decoded.
    pub fn answer(&self) -> Vec<u8> {
        let decoded = self.chunks.iter().filter(|it| !it.encoded);
        decoded.flat_map(|it| it.bytes.iter().copied()).collect()
    }

    /// Whether the answer's body is an event stream.
    pub fn is_stream(&self) -> bool {
        let bytes = self.chunks.iter().filter(|it| !it.encoded);
        let mut bytes = bytes.flat_map(|it| it.bytes.iter());
        let first = bytes.find(|byte| !byte.is_ascii_whitespace());
        first.is_some_and(|it| !matches!(it, b'{' | b'[' | b'<' | b'"'))
    }
}

/// A WebSocket connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The path of its handshake.
    pub path: String,
    /// The headers of its handshake.
    pub headers: Headers<'static>,
    /// The status of the handshake's answer.
    pub status: Option<u16>,
    /// The headers of that answer, where they are held.
    pub response_headers: Option<Headers<'static>>,
    /// When it was opened.
    pub at_us: u64,
    /// Why it ended, by name.
    pub end: Option<String>,
    /// When it ended.
    pub end_us: Option<u64>,
}

/// What stands beside the exchanges.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// `created_at` of the session line.
    pub created_at: Option<String>,
    /// `upstream` of the session line.
    pub upstream: Option<String>,
    /// `converted_from` of the session line.
    pub converted_from: Option<String>,
    /// `not_held` of the session line.
    pub not_held: Vec<String>,
    /// Connections by number.
    pub connections: BTreeMap<u32, Connection>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Reads a recording and hands on its exchanges in the order of their requests, each when it and those before it are over.
///
/// # Errors
/// If the reader fails, or what `take` returns.
pub fn walk<R: Read, E: From<ReadError>>(
    reader: R,
    take: &mut dyn FnMut(Whole, &Walked) -> Result<(), E>,
) -> Result<Walked, E> {
    walk_on(Walk::default(), reader, take)
}

/// The same, but answers are counted while they are read, and none of their bytes is held: they may be gigabytes long.
///
/// # Errors
/// If the reader fails, or what `take` returns.
pub fn walk_counted<R: Read, E: From<ReadError>>(
    reader: R,
    take: &mut dyn FnMut(Whole, &Walked) -> Result<(), E>,
) -> Result<Walked, E> {
    let walk = Walk {
        counts: true,
        ..Walk::default()
    };
    walk_on(walk, reader, take)
}

fn walk_on<R: Read, E: From<ReadError>>(
    mut walk: Walk,
    reader: R,
    take: &mut dyn FnMut(Whole, &Walked) -> Result<(), E>,
) -> Result<Walked, E> {
    let mut lines = LineReader::new(reader);
    while let Some(line) = lines.next_line().map_err(|it| E::from(it.into()))? {
        let (bytes, _) = trim(&line);
        let text = String::from_utf8_lossy(bytes);
        for value in Values::new(&text) {
            match value {
                Ok(value) => walk.value(value, line.number),
                Err(_) if !line.ended => walk.problem(line.number, Reason::TornTail),
                Err(why) => walk.problem(line.number, Reason::NotJson(why)),
            }
        }
        while walk.waiting.front().is_some_and(|(_, over)| *over) {
            if let Some((whole, _)) = walk.waiting.pop_front() {
                walk.before += 1;
                take(whole, &walk.walked)?;
            }
        }
    }
    for (whole, _) in std::mem::take(&mut walk.waiting) {
        take(whole, &walk.walked)?;
    }
    Ok(walk.walked)
}

#[derive(Default)]
struct Walk {
    walked: Walked,
    /// Whether answers are only counted.
    counts: bool,
    bases: Bases,
    /// Exchanges that are not handed on yet, and whether they are over.
    waiting: VecDeque<(Whole, bool)>,
    /// How many were handed on.
    before: usize,
    /// Where an exchange stands among all.
    places: BTreeMap<u32, usize>,
    /// The newest exchange of each connection.
    current: BTreeMap<u32, u32>,
}

impl Walk {
    fn problem(&mut self, line: LineNo, reason: Reason) {
        self.walked.problems.push(Problem { line, reason });
    }

    fn of(&mut self, number: Option<u32>) -> Option<&mut (Whole, bool)> {
        let place = *self.places.get(&number?)?;
        self.waiting.get_mut(place.checked_sub(self.before)?)
    }

    fn value(&mut self, value: &str, line: LineNo) {
        let Some(object) = Object::read(value) else {
            return;
        };
        let number = object.small("exchange");
        let at_us = object.number("at_us").unwrap_or(0);
        match object.text("kind").as_deref().unwrap_or("") {
            "session" => {
                let text = |key: &str| object.text(key).map(std::borrow::Cow::into_owned);
                self.walked.created_at = text("created_at");
                self.walked.upstream = text("upstream");
                self.walked.converted_from = text("converted_from");
                let not_held = object.array("not_held").unwrap_or_default();
                self.walked.not_held = not_held
                    .iter()
                    .filter_map(|raw| string(raw.get()).map(std::borrow::Cow::into_owned))
                    .collect();
            }
            "request" => self.request(&object, number, at_us, line),
            "response" => {
                let status = object
                    .number("status")
                    .and_then(|it| u16::try_from(it).ok());
                let headers = headers(&object, "headers");
                if let Some((whole, _)) = self.of(number) {
                    (whole.status, whole.response_headers) = (status, headers);
                    whole.head_us = Some(at_us);
                }
            }
            "chunk" => {
                let chunk = Chunk {
                    at_us,
                    bytes: bytes(&object).unwrap_or_default(),
                    encoded: object.flag("encoded") == Some(true),
                    rebuilt: object.flag("rebuilt") == Some(true),
                };
                if let Some((whole, _)) = self.of(number) {
                    match &mut whole.tally {
                        Some(tally) => tally.chunk(&chunk),
                        None => whole.chunks.push(chunk),
                    }
                }
            }
            "end" => {
                let cause = object.text("cause").map(std::borrow::Cow::into_owned);
                let detail = object.text("detail").map(std::borrow::Cow::into_owned);
                if let Some((whole, over)) = self.of(number) {
                    *over = true;
                    (whole.end, whole.detail, whole.end_us) = (cause, detail, Some(at_us));
                }
            }
            "connection" => {
                let connection = Connection {
                    path: object.text("path").unwrap_or_default().into_owned(),
                    headers: Headers::read(&object, "headers").into_owned(),
                    status: object
                        .number("status")
                        .and_then(|it| u16::try_from(it).ok()),
                    response_headers: headers(&object, "response_headers"),
                    at_us,
                    end: None,
                    end_us: None,
                };
                if let Some(number) = object.small("connection") {
                    self.walked.connections.insert(number, connection);
                }
            }
            "frame" => self.frame(&object, number, at_us),
            "connection_end" => {
                let cause = object.text("cause").map(std::borrow::Cow::into_owned);
                let connection = object.small("connection");
                let ended = connection.and_then(|it| self.walked.connections.get_mut(&it));
                if let Some(ended) = ended {
                    (ended.end, ended.end_us) = (cause.clone(), Some(at_us));
                }
                let current = connection.and_then(|it| self.current.remove(&it));
                if let Some((whole, over)) = self.of(current) {
                    *over = true;
                    (whole.end, whole.end_us) = (cause, Some(at_us));
                }
            }
            _ => {}
        }
    }

    fn request(&mut self, object: &Object<'_>, number: Option<u32>, at_us: u64, line: LineNo) {
        let Some(number) = number else { return };
        let body = match stored(object, &mut self.bases, number) {
            _ if object.flag("body_not_held") == Some(true) => {
                Body::NotHeld("the log this was converted from does not hold it".to_owned())
            }
            Ok(Stored::Nothing) => Body::None,
            Ok(Stored::Bytes(bytes)) => Body::Bytes(bytes),
            Ok(Stored::Omitted) => Body::NotHeld("it was too large to be recorded".to_owned()),
            Err(error) => Body::NotHeld(error.to_string()),
        };
        let connection = object.small("connection");
        if let Some(connection) = connection
            && let Some(before) = self.current.insert(connection, number)
            && let Some((_, over)) = self.of(Some(before))
        {
            *over = true;
        }
        let of_connection = connection.and_then(|it| self.walked.connections.get(&it));
        let path = object.text("path").map(std::borrow::Cow::into_owned);
        let whole = Whole {
            number,
            line,
            at_us,
            connection,
            method: object.text("method").unwrap_or_default().into_owned(),
            path: path
                .or_else(|| of_connection.map(|it| it.path.clone()))
                .unwrap_or_default(),
            http: object.text("http").map(std::borrow::Cow::into_owned),
            headers: headers(object, "headers"),
            body,
            tally: self.counts.then(Box::default),
            ..Whole::default()
        };
        let place = self.before + self.waiting.len();
        self.places.insert(number, place);
        self.waiting.push_back((whole, false));
    }

    fn frame(&mut self, object: &Object<'_>, number: Option<u32>, at_us: u64) {
        if object.text("from").as_deref() != Some("server") {
            return;
        }
        let connection = object.small("connection");
        let current = connection.and_then(|it| self.current.get(&it).copied());
        let Some(text) = object.text("text") else {
            return;
        };
        if let Some((whole, _)) = self.of(number.or(current)) {
            match &mut whole.tally {
                Some(tally) => tally.message(&text),
                None => whole.frames.push((at_us, text.into_owned())),
            }
        }
    }
}

fn headers(object: &Object<'_>, key: &str) -> Option<Headers<'static>> {
    object.array(key)?;
    Some(Headers::read(object, key).into_owned())
}

fn bytes(object: &Object<'_>) -> Option<Vec<u8>> {
    match object.text("text") {
        Some(text) => Some(text.into_owned().into_bytes()),
        None => STANDARD.decode(object.text("base64")?.as_bytes()).ok(),
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other.to_string()),
        }
    }
}
