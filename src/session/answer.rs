//! An answer while it comes in: which bytes are a stream, what its events add up to so far.

use crate::ids::LineNo;
use crate::wire::event::ResponseFold;
use crate::wire::sse::{Frame, Framer};

/// Bodies that are no event stream are held up to this size: 64 MiB.
const MAX_BODY: usize = 64 << 20;

/// How much of a stream's text is held, for refusals that are plain text.
const MAX_HEAD: usize = 4096;

/// How a body's bytes are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Undecided,
    Stream,
    Text,
}

/// An exchange whose answer is still coming.
pub(super) struct Open {
    pub(super) at: usize,
    pub(super) lane: u32,
    pub(super) style: Style,
    /// Whether the bytes are a dump, which may have lost blank lines and its last line end.
    pub(super) dump: bool,
    pub(super) framer: Framer,
    pub(super) fold: ResponseFold,
    pub(super) text: Vec<u8>,
    pub(super) cut_text: bool,
    pub(super) published: usize,
    pub(super) line: LineNo,
}

impl Open {
    pub(super) fn new(at: usize, lane: u32, line: LineNo) -> Self {
        Self {
            at,
            lane,
            style: Style::Undecided,
            dump: false,
            framer: Framer::default(),
            fold: ResponseFold::default(),
            text: Vec::new(),
            cut_text: false,
            published: 0,
            line,
        }
    }

    /// Takes the next bytes of the body.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.style == Style::Undecided {
            self.text.extend_from_slice(bytes);
            let Some(first) = self.text.iter().find(|byte| !byte.is_ascii_whitespace()) else {
                return;
            };
            // no line of an event stream begins like this
            if matches!(first, b'{' | b'[' | b'<' | b'"') {
                self.style = Style::Text;
                return;
            }
            self.style = Style::Stream;
            let text = std::mem::take(&mut self.text);
            return self.stream(&text);
        }
        if self.style == Style::Stream {
            return self.stream(bytes);
        }
        let room = MAX_BODY.saturating_sub(self.text.len());
        self.cut_text |= bytes.len() > room;
        self.text
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn stream(&mut self, bytes: &[u8]) {
        // a plain-text body, such as a gateway's `Bad gateway`, is no stream but looks like one field
        if self.text.len() < MAX_HEAD {
            let room = MAX_HEAD - self.text.len();
            self.text
                .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        for frame in self.framer.push(bytes) {
            self.fold_frame(&frame);
        }
    }

    fn fold_frame(&mut self, frame: &Frame) {
        if let Some(data) = &frame.data {
            self.fold.named(frame.event.as_deref(), data);
        }
    }

    /// Reads what stands at the end of the body.
    pub(super) fn finish(&mut self) {
        match self.style {
            Style::Stream => {
                for frame in self.framer.finish() {
                    // the standard drops what has no blank line behind it; dumps lose that line
                    if frame.whole || self.dump {
                        self.fold_frame(&frame);
                    }
                }
            }
            Style::Text => {
                self.fold.place = self.line;
                let text = String::from_utf8_lossy(&self.text);
                self.fold.whole(&text);
            }
            Style::Undecided => {}
        }
    }
}
