//! An exchange as lines: the request once its body is whole, then what the answer brings.

use std::io;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use sha2::{Digest as _, Sha256};

use super::decode::{Decoded, Decoder};
use super::file::Output;
use super::scribe::{Gap, Scribe};
use super::told::{Brief, Told};
use super::{EVENT_COST, Event, Head, cost};
use crate::redact::Stream;
use crate::session::body::{MAX_STORED, hex};
use crate::session::format::{Cause, EndLine, GapLine, HeaderLines, RequestLine, ResponseLine};
use crate::session::lanes::Headers;
use crate::session::writer::Writer;

/// How many bytes of requests that are not whole yet, and of answers that overtook them, are held for all exchanges.
const MAX_HELD: usize = 256 << 20;

/// Where a chunk came from, for the time it is held back.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at_us: u64,
    wire_bytes: Option<u64>,
    encoded: bool,
}

/// A request that has not ended.
pub(super) struct Request {
    head: Head,
    head_at_us: u64,
    body: Vec<Bytes>,
    size: usize,
    /// The hash, once it is too large to be kept.
    hash: Option<Sha256>,
    /// Whether pieces of the body were lost.
    pub(super) torn: bool,
    /// Its number, once its line is written.
    pub(super) number: Option<u32>,
    /// Whether its line could not be written.
    absent: bool,
    early: Vec<Event>,
    early_size: usize,
    decoder: Decoder,
    stream: Stream<Mark, Bytes>,
    pub(super) gap: Gap,
    brief: (u64, u64, Option<u16>, String),
}

impl Scribe {
    pub(super) fn request(&mut self, id: u64, at_us: u64, head: Head) {
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

    pub(super) fn body(&mut self, id: u64, bytes: Bytes) {
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
        if let Some(hash) = &mut request.hash {
            hash.update(&bytes);
        } else {
            self.held += bytes.len();
            request.body.push(bytes);
        }
    }

    /// Writes the line of a request, and what overtook it.
    pub(super) fn body_end(&mut self, id: u64, at_us: u64, complete: bool) {
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
                places.extend(redacted.places.iter().map(|it| in_body(it)));
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
            Some(hash) => {
                self.writer
                    .request_omitted(line, request.size as u64, &hex(&hash.finalize()))
            }
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

    pub(super) fn of_answer(&mut self, id: u64, event: Event) {
        let Some(mut request) = self.requests.remove(&id) else {
            return;
        };
        let Some(number) = request.number else {
            let size = cost(&event);
            if self.held + size > MAX_HELD && matches!(event, Event::Chunk { .. }) {
                request.gap.chunks += 1;
                request.gap.bytes += (size - EVENT_COST) as u64;
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

    pub(super) fn tell_gap(&mut self, request: &mut Request, at_us: u64) {
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
}

fn encoding(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(CONTENT_ENCODING)
        .map(|it| it.to_str().unwrap_or("?"))
}

/// The place of a replacement in a body, as a request line names it.
pub(super) fn in_body(place: &str) -> String {
    if place.is_empty() {
        "body".to_owned()
    } else {
        format!("body.{place}")
    }
}
