//! A WebSocket as lines: one exchange for each `response.create`, a frame for everything else (responses-api.md 4).

use std::collections::VecDeque;

use hyper::header::{HeaderMap, UPGRADE};

use super::Head;
use super::exchange::in_body;
use super::scribe::{Gap, Scribe};
use super::told::{Brief, Told};
use crate::session::exchange::EndCause;
use crate::session::format::{
    Cause, ConnectionEndLine, ConnectionLine, FrameLine, GapLine, HeaderLines, RequestLine,
};
use crate::wire::raw;
use crate::wire::websocket::{Message, Opcode, Reader, close_code};

/// A connection that is open.
pub(super) struct Socket {
    number: u32,
    up: Reader,
    down: Reader,
    /// Exchanges whose terminal event has not come, oldest first.
    open: VecDeque<Open>,
    /// The newest exchange whose terminal event has come, and its lane.
    last: Option<(u32, Option<String>)>,
    close: Option<(u16, String)>,
    path: String,
    /// Bytes of a protocol that is no WebSocket.
    foreign: Option<Gap>,
    absent: bool,
}

struct Open {
    exchange: u32,
    lane: Option<String>,
    at_us: u64,
    frames: u64,
    bytes: u64,
}

impl Socket {
    /// Writes that the connection was opened.
    pub(super) fn open(
        scribe: &mut Scribe,
        number: u32,
        at_us: u64,
        head: &Head,
        answer: &HeaderMap,
    ) -> Self {
        let headers = scribe.headers(&head.headers, &mut Vec::new());
        let response_headers = scribe.headers(answer, &mut Vec::new());
        let path = scribe.redactor.target(&head.target).into_owned();
        let extensions = answer
            .get("sec-websocket-extensions")
            .and_then(|it| it.to_str().ok());
        let written = scribe.writer.connection(ConnectionLine {
            connection: number,
            at_us,
            method: Some(&head.method),
            path: Some(&path),
            headers: Some(HeaderLines(&headers)),
            status: Some(101),
            response_headers: Some(HeaderLines(&response_headers)),
            extensions,
        });
        scribe.lost_if(&written);
        let deflate = extensions.is_some_and(|it| it.contains("permessage-deflate"));
        let websocket = answer
            .get(UPGRADE)
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"));
        Self {
            number,
            up: Reader::new(deflate),
            down: Reader::new(deflate),
            open: VecDeque::new(),
            last: None,
            close: None,
            path,
            foreign: (!websocket).then(Gap::default),
            absent: written.is_err(),
        }
    }

    /// Takes bytes of one direction.
    pub(super) fn bytes(
        &mut self,
        scribe: &mut Scribe,
        at_us: u64,
        from_client: bool,
        bytes: &[u8],
    ) {
        let total = if from_client {
            &mut scribe.totals.sent
        } else {
            &mut scribe.totals.received
        };
        *total += bytes.len() as u64;
        if let Some(foreign) = &mut self.foreign {
            foreign.chunks += 1;
            foreign.bytes += bytes.len() as u64;
            return;
        }
        let mut found = Vec::new();
        let reader = if from_client {
            &mut self.up
        } else {
            &mut self.down
        };
        reader.read(bytes, &mut found);
        for message in found {
            match message {
                Message::Whole { opcode, payload } => {
                    if opcode == Opcode::Close && self.close.is_none() {
                        self.close = close_code(&payload).map(|(code, why)| (code, why.to_owned()));
                    }
                    self.message(scribe, at_us, from_client, opcode, &payload);
                }
                Message::TooLarge { bytes } => {
                    let gap = Gap { chunks: 1, bytes };
                    self.gap(scribe, at_us, gap, "the message is too large");
                }
                Message::Broken { why } => {
                    self.gap(scribe, at_us, Gap::default(), why);
                }
            }
        }
    }

    fn message(
        &mut self,
        scribe: &mut Scribe,
        at_us: u64,
        from_client: bool,
        opcode: Opcode,
        payload: &[u8],
    ) {
        if self.absent {
            scribe.unwritten += 1;
            return;
        }
        let kind = (opcode == Opcode::Text)
            .then(|| std::str::from_utf8(payload).ok().and_then(kind_of))
            .flatten();
        if let Some((kind, lane, _)) = &kind
            && from_client
            && kind == "response.create"
        {
            return self.create(scribe, at_us, lane.clone(), payload);
        }
        let exchange = match &kind {
            Some((_, lane, _)) if !from_client => self.belongs(lane.as_deref(), payload.len()),
            _ => None,
        };
        let payload = scribe.redactor.text(payload).into_owned();
        let line = FrameLine {
            connection: self.number,
            exchange,
            at_us,
            from: if from_client { "client" } else { "server" },
            r#type: opcode.name(),
            text: None,
            base64: None,
        };
        let written = scribe.writer.frame(line, &payload);
        scribe.lost_if(&written);
        if let Some((kind, lane, wrapped)) = kind
            && !from_client
            && is_terminal(&kind, wrapped)
        {
            self.over(scribe, at_us, lane.as_deref(), EndCause::Complete);
        }
    }

    fn create(&mut self, scribe: &mut Scribe, at_us: u64, lane: Option<String>, payload: &[u8]) {
        let redacted = scribe.redactor.body(payload);
        let places: Vec<String> = redacted.places.iter().map(|it| in_body(it)).collect();
        let exchange = scribe.exchanges + 1;
        let line = RequestLine {
            exchange,
            connection: Some(self.number),
            at_us,
            head_at_us: None,
            transport: "websocket",
            http: None,
            method: None,
            path: None,
            headers: None,
            body_complete: None,
            body_encoded: None,
            redacted: places.iter().map(String::as_str).collect(),
        };
        let written = scribe.writer.request(line, redacted.bytes.into_owned());
        scribe.lost_if(&written);
        if written.is_ok() {
            scribe.exchanges = exchange;
            self.open.push_back(Open {
                exchange,
                lane,
                at_us,
                frames: 0,
                bytes: 0,
            });
        }
    }

    /// The exchange that a message of this lane belongs to: the oldest that has not ended, else the one that ended last.
    fn belongs(&mut self, lane: Option<&str>, size: usize) -> Option<u32> {
        if let Some(open) = self.open.iter_mut().find(|it| it.lane.as_deref() == lane) {
            open.frames += 1;
            open.bytes += size as u64;
            return Some(open.exchange);
        }
        let last = self.last.as_ref()?;
        (last.1.as_deref() == lane).then_some(last.0)
    }

    fn over(&mut self, scribe: &mut Scribe, at_us: u64, lane: Option<&str>, cause: EndCause) {
        let found = self.open.iter().position(|it| it.lane.as_deref() == lane);
        if let Some(open) = found.and_then(|at| self.open.remove(at)) {
            self.last = Some((open.exchange, open.lane.clone()));
            self.tell(scribe, &open, at_us, cause);
        }
    }

    fn tell(&self, scribe: &mut Scribe, open: &Open, at_us: u64, cause: EndCause) {
        (scribe.told)(Told::Exchange(Brief {
            number: open.exchange,
            method: "WS".to_owned(),
            path: self.path.clone(),
            status: None,
            took_us: at_us.saturating_sub(open.at_us),
            chunks: open.frames,
            bytes: open.bytes,
            cause,
            detail: None,
        }));
    }

    /// Notes what was not queued.
    pub(super) fn lost(&mut self, scribe: &mut Scribe, at_us: u64, gap: Gap) {
        // bytes are missing in the middle: where the next message begins is not known
        for reader in [&mut self.up, &mut self.down] {
            *reader = Reader::broken();
        }
        self.gap(
            scribe,
            at_us,
            gap,
            "more came than the disk could take; the rest of this connection cannot be read",
        );
    }

    fn gap(&mut self, scribe: &mut Scribe, at_us: u64, gap: Gap, reason: &str) {
        scribe.totals.lost += gap.chunks;
        let written = scribe.writer.gap(GapLine {
            exchange: self.open.front().map(|it| it.exchange),
            at_us,
            chunks: gap.chunks,
            bytes: gap.bytes,
            reason,
        });
        scribe.lost_if(&written);
    }

    /// Writes that the connection ended.
    pub(super) fn end(&mut self, scribe: &mut Scribe, at_us: u64, cause: EndCause) {
        if let Some(foreign) = self.foreign {
            self.gap(scribe, at_us, foreign, "not a WebSocket");
        }
        for (side, reader) in [("client", &self.up), ("server", &self.down)] {
            if reader.is_inside() {
                let reason = format!("the {side}'s last message broke off");
                let written = scribe.writer.gap(GapLine {
                    exchange: self.open.front().map(|it| it.exchange),
                    at_us,
                    chunks: 1,
                    bytes: 0,
                    reason: &reason,
                });
                scribe.lost_if(&written);
            }
        }
        while let Some(open) = self.open.pop_front() {
            self.tell(scribe, &open, at_us, cause);
        }
        let (code, reason) = match &self.close {
            Some((code, reason)) => (Some(u32::from(*code)), Some(reason.as_str())),
            None => (None, None),
        };
        let reason = reason.map(|it| scribe.plain(it));
        let written = scribe.writer.connection_end(ConnectionEndLine {
            connection: self.number,
            at_us,
            cause: Cause(cause),
            code,
            reason: reason.as_deref(),
        });
        scribe.lost_if(&written);
    }
}

/// Whether nothing more of its response follows a message. An `error` with a status is an answer of its own; one
/// without is followed by `response.failed` (responses-api.md 1.3).
fn is_terminal(kind: &str, wrapped: bool) -> bool {
    match kind {
        "response.completed" | "response.failed" | "response.incomplete" => true,
        "error" => wrapped,
        _ => false,
    }
}

/// The kind of a message, and the lane it is for.
fn kind_of(text: &str) -> Option<(String, Option<String>, bool)> {
    let object = raw::Object::read(text)?;
    let kind = object.text("type")?.into_owned();
    let lane = object.text("stream_id").map(std::borrow::Cow::into_owned);
    let wrapped = object.get("status").is_some() || object.get("status_code").is_some();
    Some((kind, lane, wrapped))
}
