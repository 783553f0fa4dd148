//! Writes what was queued: the thread that owns the file.

use std::collections::BTreeMap;
use std::io;
use std::thread::JoinHandle;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::decode::{Decoded, Decoder};
use super::file::Output;
use super::socket::Socket;
use super::{Event, Feed, Head};
use crate::redact::{Redactor, Stream};
use crate::session::body::MAX_STORED;
use crate::session::exchange::EndCause;
use crate::session::format::{
    Cause, ClientEventLine, EndLine, FORMAT, GapLine, HeaderLines, RequestLine, ResponseLine,
    RolloutFileLine, RolloutLine, SessionLine,
};
use crate::session::lanes::Headers;
use crate::session::writer::Writer;
use crate::wire::raw;

/// How many bytes are collected before they are written.
const BATCH: usize = 256 << 10;

/// How many bytes of requests that are not whole yet, and of answers that overtook them, are held for all exchanges.
const MAX_HELD: usize = 256 << 20;

/// What the first line says.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// The recording's id.
    pub id: String,
    /// When it is begun, RFC 3339.
    pub created_at: String,
    /// What writes it.
    pub recorder: String,
    /// The command that is recorded.
    pub command: Vec<String>,
    /// The endpoint, or several with blanks between them.
    pub upstream: String,
    /// Whether answers are read to their end when their client has left.
    pub drain: bool,
}

/// What is told while recording.
#[derive(Clone, Debug)]
pub enum Told {
    /// An exchange has ended.
    Exchange(Brief),
    /// The file does not take what it should. Told once, and again after it took something.
    Trouble(String),
}

/// One exchange in short.
#[derive(Clone, Debug)]
pub struct Brief {
    /// Its number in the file.
    pub number: u32,
    /// Its method; `WS` for a message.
    pub method: String,
    /// Its path, redacted.
    pub path: String,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// From the request to the end, in microseconds.
    pub took_us: u64,
    /// How many chunks or frames came.
    pub chunks: u64,
    /// How many bytes came, as they were on the wire.
    pub bytes: u64,
    /// How it ended.
    pub cause: EndCause,
    /// More about the end.
    pub detail: Option<String>,
}

/// What was written altogether.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Exchanges.
    pub exchanges: u32,
    /// WebSocket connections.
    pub connections: u32,
    /// Bytes of requests on the wire.
    pub sent: u64,
    /// Bytes of answers on the wire.
    pub received: u64,
    /// Bytes of the file.
    pub written: u64,
    /// Chunks and frames that are not in the file.
    pub lost: u64,
    /// Why the file is not whole, if it is not.
    pub failed: Option<String>,
}

/// Starts the thread that writes what comes out of `feed`. It ends with [`Event::Stop`], or when the queue is gone.
///
/// # Errors
/// If no thread can be started.
pub fn start(
    feed: Feed,
    output: Output,
    opening: Opening,
    redactor: Redactor,
    told: Box<dyn FnMut(Told) + Send>,
) -> io::Result<JoinHandle<Totals>> {
    std::thread::Builder::new()
        .name("scribe".to_owned())
        .spawn(move || {
            let scribe = Scribe {
                writer: Writer::new(output),
                redactor,
                told,
                requests: BTreeMap::new(),
                sockets: BTreeMap::new(),
                exchanges: 0,
                held: 0,
                totals: Totals::default(),
                failing: false,
                unwritten: 0,
                now: 0,
                waiting: Vec::new(),
            };
            scribe.run(&feed, &opening)
        })
}

/// Where a chunk came from, for the time it is held back.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at_us: u64,
    wire_bytes: Option<u64>,
    encoded: bool,
}

/// A request that has not ended.
struct Request {
    head: Head,
    head_at_us: u64,
    body: Vec<Bytes>,
    size: usize,
    /// The hash, once it is too large to be kept.
    hash: Option<Sha256>,
    /// Whether pieces of the body were lost.
    torn: bool,
    /// Its number, once its line is written.
    number: Option<u32>,
    /// Whether its line could not be written.
    absent: bool,
    early: Vec<Event>,
    early_size: usize,
    decoder: Decoder,
    stream: Stream<Mark, Bytes>,
    gap: Gap,
    brief: (u64, u64, Option<u16>, String),
}

/// What was not written of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
}

pub(super) struct Scribe {
    pub(super) writer: Writer<Output>,
    pub(super) redactor: Redactor,
    pub(super) told: Box<dyn FnMut(Told) + Send>,
    requests: BTreeMap<u64, Request>,
    sockets: BTreeMap<u64, Socket>,
    /// How many exchanges have a line.
    pub(super) exchanges: u32,
    held: usize,
    pub(super) totals: Totals,
    failing: bool,
    /// Lines that found no room and belong to no exchange that has a line.
    pub(super) unwritten: u64,
    now: u64,
    /// Who wants to know when what is collected is on file.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Scribe {
    fn run(mut self, feed: &Feed, opening: &Opening) -> Totals {
        let opened = self.open(opening);
        self.lost_if(&opened);
        self.commit();
        'queue: while let Some(event) = feed.wait() {
            let mut next = Some(event);
            while let Some(event) = next {
                if let Event::Stop { at_us } = event {
                    self.stop(at_us);
                    break 'queue;
                }
                self.event(event);
                if self.writer.get_ref().waiting() > BATCH {
                    break;
                }
                next = feed.next();
            }
            self.unwritten += feed.lost();
            self.tell_unwritten();
            self.commit();
        }
        self.tell_unwritten();
        self.commit();
        let waiting = self.writer.get_ref().waiting();
        if waiting > 0 {
            self.totals.failed = Some(format!("{waiting} bytes could not be written"));
        }
        self.totals.exchanges = self.exchanges;
        self.totals.written = self.writer.get_ref().written();
        self.totals
    }

    fn open(&mut self, opening: &Opening) -> io::Result<()> {
        let command: Vec<String> = self.redactor.arguments(&opening.command);
        let upstream = self.redactor.url(&opening.upstream).into_owned();
        self.writer.session(&SessionLine {
            format: FORMAT,
            id: Some(&opening.id),
            created_at: Some(&opening.created_at),
            recorder: Some(&opening.recorder),
            command: command.iter().map(String::as_str).collect(),
            upstream: Some(&upstream),
            drain: opening.drain.then_some(true),
            ..SessionLine::default()
        })
    }

    fn commit(&mut self) {
        let committed = self.writer.get_mut().commit();
        for waiting in self.waiting.drain(..) {
            // it has waited long enough, or is told now: by what failed, too
            let _gone = waiting.send(());
        }
        match committed {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    (self.told)(Told::Trouble(format!(
                        "the recording cannot be written: {error}; traffic goes on, and what is missing will be marked as a gap"
                    )));
                }
            }
        }
    }

    pub(super) fn lost_if(&mut self, written: &io::Result<()>) {
        if written.is_err() {
            self.unwritten += 1;
        }
    }

    fn tell_unwritten(&mut self) {
        if self.unwritten == 0 {
            return;
        }
        let line = GapLine {
            exchange: None,
            at_us: self.now,
            chunks: self.unwritten,
            bytes: 0,
            reason: self.reason(),
        };
        if self.writer.gap(line).is_ok() {
            self.totals.lost += std::mem::take(&mut self.unwritten);
        }
    }

    fn reason(&self) -> &'static str {
        if self.failing {
            "the file could not be written"
        } else {
            "more came than the disk could take"
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Request { id, at_us, head } => self.request(id, at_us, *head),
            Event::Body { id, bytes } => self.body(id, bytes),
            Event::BodyEnd {
                id,
                at_us,
                complete,
            } => self.body_end(id, at_us, complete),
            Event::Response { id, .. }
            | Event::Chunk { id, .. }
            | Event::ClientClosed { id, .. }
            | Event::End { id, .. } => self.of_answer(id, event),
            Event::Lost {
                id: Some(id),
                chunks,
                bytes,
                at_us,
            } => self.lost(id, at_us, Gap { chunks, bytes }),
            Event::Lost { chunks, .. } => self.unwritten += chunks,
            Event::Connection {
                id,
                at_us,
                head,
                headers,
            } => {
                self.requests.remove(&id);
                self.totals.connections += 1;
                let number = self.totals.connections;
                let socket = Socket::open(self, number, at_us, &head, &headers);
                self.sockets.insert(id, socket);
            }
            Event::Socket {
                id,
                at_us,
                from_client,
                bytes,
            } => self.with_socket(id, |socket, scribe| {
                socket.bytes(scribe, at_us, from_client, &bytes);
            }),
            Event::ConnectionEnd { id, at_us, cause } => {
                if let Some(mut socket) = self.sockets.remove(&id) {
                    socket.end(self, at_us, cause);
                }
            }
            Event::RolloutFile { path, line, byte } => {
                let path = self.plain(&path);
                let written = self.writer.rollout_file(&RolloutFileLine {
                    path: &path,
                    line,
                    byte,
                });
                self.lost_if(&written);
            }
            Event::Rollout {
                at_us,
                path,
                line,
                bytes,
            } => {
                let path = self.plain(&path);
                let bytes = self.redactor.text(&bytes);
                let text = String::from_utf8_lossy(&bytes);
                let (value, text) = value_or_text(&text);
                let written = self.writer.rollout(RolloutLine {
                    at_us,
                    path: &path,
                    line,
                    value,
                    text,
                });
                self.lost_if(&written);
            }
            Event::ClientEvent {
                at_us,
                source,
                direction,
                bytes,
            } => {
                let bytes = self.redactor.text(&bytes);
                let text = String::from_utf8_lossy(&bytes);
                let (value, text) = value_or_text(&text);
                let written = self.writer.client_event(ClientEventLine {
                    at_us,
                    source,
                    direction,
                    value,
                    text,
                });
                self.lost_if(&written);
            }
            Event::Stop { .. } => {}
        }
    }

    /// A short text without secrets.
    pub(super) fn plain(&mut self, text: &str) -> String {
        let text = self.redactor.text(text.as_bytes());
        String::from_utf8_lossy(&text).into_owned()
    }

    fn with_socket(&mut self, id: u64, act: impl FnOnce(&mut Socket, &mut Self)) {
        if let Some(mut socket) = self.sockets.remove(&id) {
            act(&mut socket, self);
            self.sockets.insert(id, socket);
        }
    }

    fn request(&mut self, id: u64, at_us: u64, head: Head) {
        let request = Request {
            head,
            head_at_us: at_us,
            body: Vec::new(),
            size: 0,
            hash: None,
            torn: false,
            number: None,
            absent: false,
            early: Vec::new(),
            early_size: 0,
            decoder: Decoder::new(None),
            stream: Stream::new(),
            gap: Gap::default(),
            brief: (0, 0, None, String::new()),
        };
        self.requests.insert(id, request);
    }

    fn body(&mut self, id: u64, bytes: Bytes) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        self.totals.sent += bytes.len() as u64;
        request.size += bytes.len();
        if request.hash.is_none()
            && (request.size > MAX_STORED || self.held + bytes.len() > MAX_HELD)
        {
            let mut hash = Sha256::new();
            for part in request.body.drain(..) {
                self.held -= part.len();
                hash.update(&part);
            }
            request.hash = Some(hash);
        }
        match &mut request.hash {
            Some(hash) => hash.update(&bytes),
            None => {
                self.held += bytes.len();
                request.body.push(bytes);
            }
        }
    }

    /// Writes the line of a request, and what overtook it.
    fn body_end(&mut self, id: u64, at_us: u64, complete: bool) {
        self.now = self.now.max(at_us);
        let Some(mut request) = self.requests.remove(&id) else {
            return;
        };
        if request.number.is_some() {
            self.requests.insert(id, request);
            return;
        }
        let number = self.exchanges + 1;
        let written = self.request_line(&mut request, number, at_us, complete);
        request.number = Some(number);
        if written.is_ok() {
            self.exchanges = number;
        } else {
            request.absent = true;
            self.unwritten += 1;
        }
        let early = std::mem::take(&mut request.early);
        self.held = self.held.saturating_sub(request.early_size);
        self.requests.insert(id, request);
        for event in early {
            self.of_answer(id, event);
        }
    }

    fn request_line(
        &mut self,
        request: &mut Request,
        number: u32,
        at_us: u64,
        complete: bool,
    ) -> io::Result<()> {
        let mut places = Vec::new();
        let headers = self.headers(&request.head.headers, &mut places);
        let target = self.redactor.target(&request.head.target).into_owned();
        if target != request.head.target {
            places.push("path".to_owned());
        }
        request.brief.3.clone_from(&target);
        let mut size = 0;
        let mut body = Vec::new();
        for part in request.body.drain(..) {
            size += part.len();
            body.extend_from_slice(&part);
        }
        self.held -= size;
        let mut encoded = false;
        let encoding = encoding(&request.head.headers);
        if !body.is_empty() && request.hash.is_none() {
            match Decoder::new(encoding).decode(&body) {
                Decoded::Plain => {}
                Decoded::Bytes(decoded) => body = decoded,
                Decoded::Failed(_) => encoded = true,
            }
            if !encoded {
                let redacted = self.redactor.body(&body);
                places.extend(redacted.places.iter().map(|it| format!("body.{it}")));
                let redacted = redacted.bytes.into_owned();
                body = redacted;
            }
        }
        let line = RequestLine {
            exchange: number,
            connection: None,
            at_us,
            head_at_us: Some(request.head_at_us),
            transport: "http",
            http: Some(request.head.http),
            method: Some(&request.head.method),
            path: Some(&target),
            headers: Some(HeaderLines(&headers)),
            body_complete: (!complete || request.torn).then_some(false),
            body_encoded: encoded.then_some(true),
            redacted: places.iter().map(String::as_str).collect(),
        };
        match request.hash.take() {
            Some(hash) => self
                .writer
                .request_omitted(line, request.size as u64, &hex(hash)),
            None => self.writer.request(line, body),
        }
    }

    /// Headers as they are written; places where values were replaced are added to `places`.
    pub(super) fn headers(
        &mut self,
        headers: &HeaderMap,
        places: &mut Vec<String>,
    ) -> Headers<'static> {
        let lines: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| {
                let text = String::from_utf8_lossy(value.as_bytes());
                let kept = self.redactor.header(name.as_str(), &text);
                if kept != text {
                    let place = format!("headers.{name}");
                    if !places.contains(&place) {
                        places.push(place);
                    }
                }
                (name.as_str().to_owned(), kept.into_owned())
            })
            .collect();
        Headers::new(lines)
    }

    fn of_answer(&mut self, id: u64, event: Event) {
        let Some(mut request) = self.requests.remove(&id) else {
            return;
        };
        let Some(number) = request.number else {
            let size = super::cost(&event);
            if self.held + size > MAX_HELD && matches!(event, Event::Chunk { .. }) {
                request.gap.chunks += 1;
                request.gap.bytes += (size - super::EVENT_COST) as u64;
            } else {
                self.held += size;
                request.early_size += size;
                request.early.push(event);
            }
            self.requests.insert(id, request);
            return;
        };
        let over = self.answer(&mut request, number, event);
        if !over {
            self.requests.insert(id, request);
        }
    }

    /// Writes what an answer brings. Returns whether the exchange is over.
    fn answer(&mut self, request: &mut Request, number: u32, event: Event) -> bool {
        match event {
            Event::Response {
                at_us,
                status,
                headers,
                ..
            } => {
                request.decoder = Decoder::new(encoding(&headers));
                request.brief.2 = Some(status);
                let headers = self.headers(&headers, &mut Vec::new());
                self.line(request, at_us, 0, |writer, at_us| {
                    writer.response(ResponseLine {
                        exchange: number,
                        at_us,
                        status: u32::from(status),
                        headers: Some(HeaderLines(&headers)),
                    })
                });
            }
            Event::Chunk { at_us, bytes, .. } => self.chunk(request, number, at_us, bytes),
            Event::ClientClosed { at_us, .. } => {
                self.line(request, at_us, 0, |writer, at_us| {
                    writer.client_closed(number, at_us)
                });
            }
            Event::End {
                at_us,
                cause,
                detail,
                trailers,
                written,
                ..
            } => {
                self.release(request, number);
                let trailers = trailers.map(|it| self.headers(&it, &mut Vec::new()));
                self.line(request, at_us, 0, |writer, at_us| {
                    writer.end(EndLine {
                        exchange: number,
                        at_us,
                        cause: Cause(cause),
                        detail: detail.as_deref(),
                        trailers: trailers.as_ref().map(HeaderLines),
                    })
                });
                self.waiting.extend(written);
                let (chunks, bytes, status, path) = std::mem::take(&mut request.brief);
                (self.told)(Told::Exchange(Brief {
                    number,
                    method: request.head.method.clone(),
                    path,
                    status,
                    took_us: at_us.saturating_sub(request.head_at_us),
                    chunks,
                    bytes,
                    cause,
                    detail,
                }));
                return true;
            }
            _ => {}
        }
        false
    }

    fn chunk(&mut self, request: &mut Request, number: u32, at_us: u64, bytes: Bytes) {
        request.brief.0 += 1;
        request.brief.1 += bytes.len() as u64;
        self.totals.received += bytes.len() as u64;
        let decoded = request.decoder.decode(&bytes);
        let size = bytes.len() as u64;
        let mut out = Vec::new();
        let mut mark = Mark {
            at_us,
            wire_bytes: None,
            encoded: false,
        };
        match decoded {
            Decoded::Plain => request
                .stream
                .push(&mut self.redactor, mark, bytes, &mut out),
            Decoded::Bytes(decoded) => {
                mark.wire_bytes = Some(size);
                request
                    .stream
                    .push(&mut self.redactor, mark, decoded.into(), &mut out);
            }
            Decoded::Failed(mut raw) => {
                // nobody can look into it
                mark.encoded = true;
                request.stream.finish(&mut self.redactor, &mut out);
                raw.extend_from_slice(&bytes);
                out.push((mark, raw.into()));
            }
        }
        self.chunks(request, number, &out);
    }

    /// Writes what was held back.
    fn release(&mut self, request: &mut Request, number: u32) {
        let mut out = Vec::new();
        request.stream.finish(&mut self.redactor, &mut out);
        self.chunks(request, number, &out);
    }

    fn chunks(&mut self, request: &mut Request, number: u32, chunks: &[(Mark, Bytes)]) {
        for (mark, bytes) in chunks {
            self.line(request, mark.at_us, bytes.len(), |writer, at_us| {
                if mark.encoded {
                    writer.encoded_chunk(number, at_us, bytes)
                } else {
                    writer.chunk(number, at_us, bytes, mark.wire_bytes)
                }
            });
        }
    }

    /// Writes a line of an exchange; if it finds no room it becomes part of a gap.
    fn line(
        &mut self,
        request: &mut Request,
        at_us: u64,
        size: usize,
        write: impl FnOnce(&mut Writer<Output>, u64) -> io::Result<()>,
    ) {
        self.now = self.now.max(at_us);
        if request.absent {
            self.unwritten += 1;
            return;
        }
        self.tell_gap(request, at_us);
        let written = if request.gap.chunks > 0 {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            write(&mut self.writer, at_us)
        };
        if written.is_err() {
            request.gap.chunks += 1;
            request.gap.bytes += size as u64;
        }
    }

    fn tell_gap(&mut self, request: &mut Request, at_us: u64) {
        if request.gap.chunks == 0 {
            return;
        }
        let line = GapLine {
            exchange: request.number,
            at_us,
            chunks: request.gap.chunks,
            bytes: request.gap.bytes,
            reason: self.reason(),
        };
        if self.writer.gap(line).is_ok() {
            self.totals.lost += request.gap.chunks;
            request.gap = Gap::default();
        }
    }

    fn lost(&mut self, id: u64, at_us: u64, gap: Gap) {
        if let Some(mut request) = self.requests.remove(&id) {
            if request.number.is_none() {
                // what is lost before the line is written is the body's
                request.torn = true;
                self.unwritten += gap.chunks;
            } else {
                request.gap.chunks += gap.chunks;
                request.gap.bytes += gap.bytes;
                self.tell_gap(&mut request, at_us);
            }
            self.requests.insert(id, request);
        } else {
            self.with_socket(id, |socket, scribe| socket.lost(scribe, at_us, gap));
        }
    }

    /// Ends what is open.
    fn stop(&mut self, at_us: u64) {
        self.now = self.now.max(at_us);
        let ids: Vec<u64> = self.requests.keys().copied().collect();
        for id in ids {
            self.body_end(id, at_us, false);
            let end = Event::End {
                id,
                at_us,
                cause: EndCause::RecorderStopped,
                detail: None,
                trailers: None,
                written: None,
            };
            self.of_answer(id, end);
        }
        let sockets = std::mem::take(&mut self.sockets);
        for mut socket in sockets.into_values() {
            socket.end(self, at_us, EndCause::RecorderStopped);
        }
    }
}

fn encoding(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(CONTENT_ENCODING)
        .map(|it| it.to_str().unwrap_or("?"))
}

fn hex(hash: Sha256) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // writing to a string cannot fail
        let _ok = write!(text, "{byte:02x}");
    }
    text
}

/// A line as JSON where it is some, else as text.
fn value_or_text(text: &str) -> (Option<&serde_json::value::RawValue>, Option<&str>) {
    match serde_json::from_str(text) {
        Ok(value) => (Some(value), None),
        Err(_) => (None, Some(text)),
    }
}

/// The kind of a message, and the lane it is for.
pub(super) fn kind_of(text: &str) -> Option<(String, Option<String>, bool)> {
    let object = raw::Object::read(text)?;
    let kind = object.text("type")?.into_owned();
    let lane = object.text("stream_id").map(std::borrow::Cow::into_owned);
    let wrapped = object.get("status").is_some() || object.get("status_code").is_some();
    Some((kind, lane, wrapped))
}
