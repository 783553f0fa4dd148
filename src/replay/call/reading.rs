//! An answer while it is read: events, or the text of a body.

use std::time::Duration;

use hyper::header::HeaderMap;

use super::{Ended, Got, Leave, MAX_ANSWER, MAX_TEXT};
use crate::wire::event::{EventHead, ResponseFold};
use crate::wire::sse::{Frame, Framer};

/// An answer while it is read.
#[derive(Debug, Default)]
pub(in crate::replay) struct Reading {
    fold: ResponseFold,
    framer: Framer,
    text: Vec<u8>,
    streamed: Option<bool>,
    done_sentinel: bool,
    bytes: usize,
    pub(super) was_over: bool,
}

impl Reading {
    /// Takes the next bytes; returns how to go on.
    pub(in crate::replay) fn take(&mut self, bytes: &[u8], leave: Leave) -> Option<Ended> {
        self.bytes += bytes.len();
        let Some(streamed) = self.streamed else {
            self.text.extend_from_slice(bytes);
            let first = self.text.iter().find(|byte| !byte.is_ascii_whitespace())?;
            // no line of an event stream begins like this
            let streamed = !matches!(first, b'{' | b'[' | b'<' | b'"');
            self.streamed = Some(streamed);
            if streamed {
                let text = std::mem::take(&mut self.text);
                self.keep(&text);
                return self.frames(&text, leave);
            }
            return None;
        };
        self.keep(bytes);
        if streamed {
            return self.frames(bytes, leave);
        }
        (self.bytes > MAX_ANSWER).then_some(Ended::TooMuch("bytes"))
    }

    /// Keeps the text of what may be no event stream.
    fn keep(&mut self, bytes: &[u8]) {
        // a plain-text body looks like one field of a stream
        let most = if self.streamed == Some(true) {
            4096
        } else {
            MAX_TEXT
        };
        let room = most.saturating_sub(self.text.len());
        self.text
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn frames(&mut self, bytes: &[u8], leave: Leave) -> Option<Ended> {
        let mut frames = self.framer.push(bytes).into_iter();
        while let Some(frame) = frames.next() {
            if let Some(ended) = self.frame(&frame, leave) {
                // the client has not seen the rest, but it is here
                self.was_over |= frames.any(|frame| ends(&frame));
                return Some(ended);
            }
        }
        (self.bytes > MAX_ANSWER).then_some(Ended::TooMuch("bytes"))
    }

    fn frame(&mut self, frame: &Frame, leave: Leave) -> Option<Ended> {
        let data = frame.data.as_deref()?;
        self.data(data, leave)
    }

    /// Takes the data of one event.
    pub(in crate::replay) fn data(&mut self, data: &str, leave: Leave) -> Option<Ended> {
        if data.trim() == "[DONE]" {
            self.done_sentinel = true;
            return None;
        }
        self.fold.data(data);
        let left = match leave {
            Leave::Never => false,
            Leave::Behind(events) => self.fold.events >= events.max(1),
            Leave::At(kind) => {
                EventHead::read(data).is_some_and(|head| head.kind.as_deref() == Some(kind))
            }
            Leave::AtCall(kind) => EventHead::read(data).is_some_and(|head| {
                let is_call = head
                    .item_head()
                    .is_some_and(|item| item.item_kind().is_call());
                is_call && head.kind.as_deref() == Some(kind)
            }),
        };
        left.then_some(Ended::Left)
    }

    /// Whether the response said that it is over.
    pub(in crate::replay) fn is_over(&self) -> bool {
        self.fold.terminal.is_some()
    }

    /// The status inside an error frame.
    pub(in crate::replay) fn error_status(&self) -> Option<u16> {
        self.fold.error.as_ref()?.status
    }

    /// The answer, which ended like this.
    pub(in crate::replay) fn end(mut self, status: u16, headers: &HeaderMap, ended: Ended) -> Got {
        let streamed = self.streamed == Some(true) && self.fold.events > 0;
        if self.streamed == Some(false) {
            let text = String::from_utf8_lossy(&self.text).into_owned();
            self.fold.whole(&text);
        } else {
            let last = self.framer.finish();
            for frame in last.iter().filter(|frame| frame.whole) {
                let _ended = self.frame(frame, Leave::Never);
            }
        }
        let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
        Got {
            status,
            content_type: header("content-type").unwrap_or("").to_owned(),
            retry_after: retry_after(headers),
            location: header("location").map(str::to_owned),
            text: if streamed {
                String::new()
            } else {
                String::from_utf8_lossy(&self.text).into_owned()
            },
            fold: self.fold,
            streamed,
            done_sentinel: self.done_sentinel,
            was_over: self.was_over,
            ended,
        }
    }

    /// Looks whether the end of an answer that we leave has come already.
    pub(super) fn peek(&mut self, bytes: &[u8]) {
        self.was_over |= self.framer.push(bytes).iter().any(ends);
    }
}

/// Whether a frame is the last of its response.
fn ends(frame: &Frame) -> bool {
    let mut fold = ResponseFold::default();
    if let Some(data) = &frame.data {
        fold.data(data);
    }
    fold.terminal.is_some()
}

/// How long an endpoint asks to wait: `retry-after-ms`, or `retry-after` in seconds. A date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms")
        .map(|ms| ms / 1000.0)
        .or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}
