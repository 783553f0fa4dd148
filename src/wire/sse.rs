//! Server-sent events: bytes in, frames out, nothing lost.
//!
//! [`Framer`] takes bytes however they were chopped and returns the frames they hold. The byte ranges of the frames follow
//! each other without a gap, so a recording can say of each byte to which frame it belongs. Comments and frames without
//! data (keep-alives) are frames too; what the stream ended in the middle of is handed out by [`Framer::finish`].

use std::ops::Range;

/// JSON that is spread over so many `data:` lines is not looked at again with each further line.
const MAX_TRIED: u32 = 64;

/// Frames longer than this are passed over and only measured: 64 MiB.
pub const MAX_FRAME: usize = 64 << 20;

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// `event:`.
    pub event: Option<String>,
    /// All `data:` lines, joined by line feeds; `None` if there was none.
    pub data: Option<String>,
    /// `id:`.
    pub id: Option<String>,
    /// `retry:`, where it is a number.
    pub retry: Option<u64>,
    /// Comment lines without their colon.
    pub comments: Vec<String>,
    /// The bytes of the stream that make up the frame, its blank line included.
    pub raw: Range<u64>,
    /// Whether the frame is whole; `false` only for what the stream ended in.
    pub whole: bool,
    /// Whether it was longer than [`MAX_FRAME`]; then its text is not held.
    pub too_long: bool,
    /// Whether some of its bytes were no UTF-8 and were replaced.
    pub not_utf8: bool,
}

/// How frames are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By blank lines, as the standard says.
    #[default]
    Strict,
    /// A `data:` or `event:` behind data that is a whole JSON value also begins a new frame, even on the same line: for
    /// dumps that lost their blank lines or line ends.
    Tolerant,
}

/// Cuts a stream into frames.
#[derive(Clone, Debug)]
pub struct Framer {
    mode: Mode,
    max: usize,
    line: Vec<u8>,
    line_start: u64,
    line_length: u64,
    after_cr: bool,
    frame: Frame,
    begun: bool,
    size: usize,
    /// How often the data of this frame was looked at for being whole.
    tried: u32,
    at: u64,
    ready: Vec<Frame>,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(Mode::Strict)
    }
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(mode: Mode) -> Self {
        Self::with_max(mode, MAX_FRAME)
    }

    /// The same with another limit on the length of a frame, for tests.
    pub fn with_max(mode: Mode, max: usize) -> Self {
        Self {
            mode,
            max,
            line: Vec::new(),
            line_start: 0,
            line_length: 0,
            after_cr: false,
            frame: Frame::default(),
            begun: false,
            size: 0,
            tried: 0,
            at: 0,
            ready: Vec::new(),
        }
    }

    /// Takes the next bytes and returns the frames that are whole now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.after_cr {
                if let Some(behind) = rest.strip_prefix(b"\n") {
                    self.at += 1;
                    rest = behind;
                }
                self.end_line();
                continue;
            }
            let found = memchr::memchr2(b'\n', b'\r', rest);
            let (text, behind) = rest.split_at(found.unwrap_or(rest.len()));
            self.take(text);
            rest = behind;
            match rest.split_first() {
                Some((b'\r', behind)) => {
                    self.at += 1;
                    self.after_cr = true;
                    rest = behind;
                }
                Some((_, behind)) => {
                    self.at += 1;
                    rest = behind;
                    self.end_line();
                }
                None => {}
            }
        }
        std::mem::take(&mut self.ready)
    }

    /// How many bytes of the stream belong to frames that were handed out.
    pub fn told(&self) -> u64 {
        self.frame.raw.start
    }

    /// Ends the stream and returns what it ended in: in strict mode at most one frame that is not whole.
    pub fn finish(&mut self) -> Vec<Frame> {
        if self.after_cr {
            self.end_line();
        }
        if self.line_length > 0 {
            self.end_line();
        }
        if self.at > self.frame.raw.start {
            let at = self.at;
            self.end_frame(at, false);
        }
        std::mem::take(&mut self.ready)
    }

    fn take(&mut self, text: &[u8]) {
        self.at += text.len() as u64;
        self.line_length += text.len() as u64;
        self.size += text.len();
        if self.size > self.max {
            self.frame.too_long = true;
            self.frame.data = None;
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(text);
        }
    }

    fn end_line(&mut self) {
        self.after_cr = false;
        let line = std::mem::take(&mut self.line);
        let blank = self.line_length == 0;
        let start = self.line_start;
        self.line_start = self.at;
        self.line_length = 0;
        if blank {
            if self.begun {
                let at = self.at;
                self.end_frame(at, true);
            }
            return;
        }
        if self.frame.too_long {
            self.begun = true;
            // without blank lines nothing else would end it
            if self.mode == Mode::Tolerant {
                let at = self.at;
                self.end_frame(at, true);
            }
            return;
        }
        let whole = line.len();
        let mut line = match start {
            0 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line),
            _ => line.as_slice(),
        };
        // the byte order mark belongs to the first frame
        let mut at = start + (whole - line.len()) as u64;
        if self.mode == Mode::Tolerant {
            while let Some((first, rest)) = glued(line) {
                self.text_line(first, at);
                at += first.len() as u64;
                line = rest;
            }
        }
        self.text_line(line, at);
    }

    fn text_line(&mut self, line: &[u8], start: u64) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(at) => (line.get(..at), line.get(at + 1..)),
            None => (Some(line), None),
        };
        let (name, value) = (name.unwrap_or(&[]), value.unwrap_or(&[]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if self.mode == Mode::Tolerant
            && matches!(name, b"data" | b"event")
            && self.tried < MAX_TRIED
            && self.frame.data.is_some()
        {
            self.tried += 1;
            if self.frame.data.as_deref().is_some_and(is_json) {
                self.end_frame(start, true);
                self.size = line.len();
            }
        }
        self.begun = true;
        self.field(name, value);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let frame = &mut self.frame;
        if matches!(text, std::borrow::Cow::Owned(_)) {
            frame.not_utf8 = true;
        }
        match name {
            b"data" => match &mut frame.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&text);
                }
                None => frame.data = Some(text.into_owned()),
            },
            b"event" => frame.event = Some(text.into_owned()),
            b"id" => frame.id = Some(text.into_owned()),
            b"retry" => frame.retry = text.parse().ok(),
            b"" => frame.comments.push(text.into_owned()),
            _ => {}
        }
    }

    fn end_frame(&mut self, at: u64, whole: bool) {
        let mut frame = std::mem::take(&mut self.frame);
        frame.raw.end = at;
        frame.whole = whole;
        self.frame.raw.start = at;
        self.begun = false;
        self.size = 0;
        self.tried = 0;
        self.ready.push(frame);
    }
}

/// Parts a line in which the next field follows a whole JSON value without a line end.
fn glued(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = line.strip_prefix(b"data:")?;
    let near = [&b"}data:"[..], b"}event:"];
    near.iter()
        .any(|it| memchr::memmem::find(value, it).is_some())
        .then_some(())?;
    let mut values =
        serde_json::Deserializer::from_slice(value).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    let (first, rest) = line.split_at_checked(line.len() - value.len() + values.byte_offset())?;
    (rest.starts_with(b"data:") || rest.starts_with(b"event:")).then_some((first, rest))
}

fn is_json(text: &str) -> bool {
    text == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Returns all frames of a whole stream.
pub fn frames(bytes: &[u8], mode: Mode) -> Vec<Frame> {
    let mut framer = Framer::new(mode);
    let mut found = framer.push(bytes);
    found.append(&mut framer.finish());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strict(text: &str) -> Vec<Frame> {
        frames(text.as_bytes(), Mode::Strict)
    }

    #[test]
    fn every_line_end_and_field() {
        let found = strict(
            "\u{feff}event: a\ndata: {\"x\":1}\n\n: keep\r\n\r\nid:7\rretry: 50\rdata:1\rdata: 2\r\rdata",
        );
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].event.as_deref(), Some("a"));
        assert_eq!(found[0].data.as_deref(), Some("{\"x\":1}"));
        assert_eq!(found[1].comments, ["keep"]);
        assert_eq!(found[1].data, None);
        assert_eq!(found[2].id.as_deref(), Some("7"));
        assert_eq!(found[2].retry, Some(50));
        assert_eq!(found[2].data.as_deref(), Some("1\n2"));
        assert_eq!(found[3].data.as_deref(), Some(""));
        assert!(found[2].whole && !found[3].whole);
    }

    #[test]
    fn tolerant_mode_parts_lines_without_blank_lines() {
        let text =
            "data: {\"a\":1}\ndata: {\"a\":2}\nevent: x\ndata: {\"a\":\ndata: 3}\ndata: [DONE]\n";
        let data: Vec<_> = frames(text.as_bytes(), Mode::Tolerant)
            .into_iter()
            .map(|frame| frame.data.unwrap())
            .collect();
        assert_eq!(data, ["{\"a\":1}", "{\"a\":2}", "{\"a\":\n3}", "[DONE]"]);
        assert_eq!(strict(text).len(), 1);
    }

    #[test]
    fn tolerant_mode_parts_what_is_glued() {
        let text = "\u{feff}event: a\ndata: {\"a\":\"}data:\"}data:{\"a\":2}event: b\ndata:{\"a\":3}data: {";
        let found = frames(text.as_bytes(), Mode::Tolerant);
        let data: Vec<_> = found.iter().map(|it| it.data.as_deref().unwrap()).collect();
        assert_eq!(data, ["{\"a\":\"}data:\"}", "{\"a\":2}", "{\"a\":3}", "{"]);
        assert_eq!(found[2].event.as_deref(), Some("b"));
        let first = &text.as_bytes()[..found[0].raw.end as usize];
        assert!(first.ends_with(b"\"}data:\"}"));
        assert_eq!(found[3].raw.end, text.len() as u64);
    }

    #[test]
    fn a_frame_too_long_is_measured_and_the_next_one_read() {
        let mut framer = Framer::with_max(Mode::Strict, 20);
        let mut found =
            framer.push(b"data: 123456789012345678901234567890\ndata: more\n\ndata: x\n\n");
        found.append(&mut framer.finish());
        assert_eq!(found.len(), 2);
        assert!(found[0].too_long && found[0].data.is_none());
        assert_eq!(found[1].data.as_deref(), Some("x"));
        assert_eq!(found[0].raw.end, found[1].raw.start);
    }

    #[test]
    fn without_blank_lines_a_frame_too_long_ends_with_its_line() {
        let mut framer = Framer::with_max(Mode::Tolerant, 20);
        let found = framer.push(b"data: 123456789012345678901234567890\ndata: x\ndata: y\n\n");
        let data: Vec<_> = found.iter().map(|it| it.data.as_deref()).collect();
        assert_eq!(data, [None, Some("x\ny")]);
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"data: {\"t\":\"\xc3\xa9\xf0\x9f\x98\x80\"}".to_vec()),
            Just(b"event: response.created".to_vec()),
            Just(b"data: {\"a\":1}data: {\"a\":2}event: x".to_vec()),
            Just(b": keep-alive".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(b"\xff".to_vec()),
            Just(b"\xef\xbb\xbf".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(bytes in stream(), cuts in proptest::collection::vec(1_usize..9, 1..20), tolerant: bool) {
            let mode = if tolerant { Mode::Tolerant } else { Mode::Strict };
            let whole = frames(&bytes, mode);
            let mut framer = Framer::new(mode);
            let mut found = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                found.append(&mut framer.push(now));
                rest = later;
            }
            found.append(&mut framer.finish());
            prop_assert_eq!(&found, &whole);
            let mut at = 0;
            for frame in &found {
                prop_assert_eq!(frame.raw.start, at);
                at = frame.raw.end;
            }
            prop_assert_eq!(at, bytes.len() as u64);
        }
    }
}
