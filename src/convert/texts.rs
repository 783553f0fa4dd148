//! Answers alone: the text of event streams, lists of events, whole responses. Their requests are not held.
//!
//! Several responses behind each other are exchanges of their own: one begins where a `response.created` follows a terminal
//! event, or another `response.created`; events of other kinds directly in front of it are its first.

use std::borrow::Cow;
use std::io::{Read, Write};

use super::log::{Bytes, Hop, Log, Reply, Sent, end_frame, is_whole};
use super::{ConvertError, Converted};
use crate::session::ReadError;
use crate::session::exchange::EndCause;
use crate::session::format::{Cause, EndLine, GapLine, RequestLine};
use crate::session::writer::Writer;
use crate::wire::event::EventHead;
use crate::wire::lines::{LineReader, Reason, Values, trim};
use crate::wire::raw::{Object, array, compact, string};
use crate::wire::sse::{Frame, Framer, MAX_FRAME, Mode, frames};

const NOT_HELD: [&str; 5] = [
    "requests",
    "status",
    "headers",
    "times",
    "ends of transports",
];

/// Writes answers one after another.
struct Answers<'a, 'w, W: Write> {
    log: &'a mut Log<'w, W>,
    open: Option<u32>,
    created: bool,
    over: bool,
    /// Behind an answer that is over: events that are none of a response's own, such as rate limits. They may be the
    /// first of the next answer.
    between: Vec<Vec<u8>>,
}

/// More events between two answers than this belong to the one before.
const MAX_BETWEEN: usize = 64;

impl<W: Write> Answers<'_, '_, W> {
    /// Takes the bytes of one frame.
    fn frame(&mut self, frame: &Frame, bytes: &[u8]) -> Result<(), ConvertError> {
        let data = frame.data.as_deref().unwrap_or("");
        let head = EventHead::read_named(data, frame.event.as_deref());
        let kind = head.as_ref().and_then(|it| it.kind.as_deref());
        let created = kind == Some("response.created");
        let foreign =
            kind.is_some_and(|it| !it.is_empty() && !it.starts_with("response.") && it != "error");
        if created && (self.over || self.created) {
            let between = std::mem::take(&mut self.between);
            self.close()?;
            self.put(&between)?;
        } else if (self.over && foreign || !self.between.is_empty() && frame.data.is_none())
            && self.between.len() < MAX_BETWEEN
        {
            self.between.push(bytes.to_vec());
            return Ok(());
        } else if !self.between.is_empty() {
            let between = std::mem::take(&mut self.between);
            self.put(&between)?;
        }
        self.created |= created;
        self.over |= matches!(
            kind,
            Some(
                "response.completed" | "response.done" | "response.incomplete" | "response.failed"
            )
        );
        let number = self.begin()?;
        let written = self.log.writer.chunk(number, 0, bytes, None);
        written.map_err(ConvertError::Write)
    }

    fn put(&mut self, frames: &[Vec<u8>]) -> Result<(), ConvertError> {
        for bytes in frames {
            let number = self.begin()?;
            let written = self.log.writer.chunk(number, 0, bytes, None);
            written.map_err(ConvertError::Write)?;
        }
        Ok(())
    }

    /// A frame that is too long to be kept.
    fn gap(&mut self, bytes: u64) -> Result<(), ConvertError> {
        let exchange = self.begin()?;
        let line = GapLine {
            exchange: Some(exchange),
            at_us: 0,
            chunks: 1,
            bytes,
            reason: "an event is longer than is read",
        };
        self.log.writer.gap(line).map_err(ConvertError::Write)
    }

    fn begin(&mut self) -> Result<u32, ConvertError> {
        if let Some(number) = self.open {
            return Ok(number);
        }
        let number = self.log.number(None);
        self.open = Some(number);
        let line = RequestLine {
            exchange: number,
            connection: None,
            at_us: 0,
            head_at_us: None,
            transport: "http",
            http: None,
            method: Some("POST"),
            path: Some("/v1/responses"),
            headers: None,
            body_complete: None,
            body_encoded: None,
            redacted: Vec::new(),
        };
        let written = self.log.writer.request_not_held(line, None);
        written.map_err(ConvertError::Write)?;
        Ok(number)
    }

    fn close(&mut self) -> Result<(), ConvertError> {
        let between = std::mem::take(&mut self.between);
        self.put(&between)?;
        (self.created, self.over) = (false, false);
        let Some(exchange) = self.open.take() else {
            return Ok(());
        };
        let end = EndLine {
            exchange,
            at_us: 0,
            cause: Cause(EndCause::NotHeld),
            detail: None,
            trailers: None,
        };
        self.log.writer.end(end).map_err(ConvertError::Write)
    }
}

/// Writes a recording out of the text of event streams; memory holds one frame.
pub(super) fn from_sse<R: Read, W: Write>(
    mut reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let mut log = Log::new(writer);
    let mut framer = Framer::new(Mode::Tolerant);
    let mut block = vec![0; 256 << 10];
    // bytes of the stream from `from` on
    let (mut held, mut from): (Vec<u8>, u64) = (Vec::new(), 0);
    let mut line = 1_u32;
    // lines of a frame that is too long and not over yet, which `line` counts already
    let mut skipped = 0;
    let mut answers = Answers {
        log: &mut log,
        open: None,
        created: false,
        over: false,
        between: Vec::new(),
    };
    let mut ended = false;
    while !ended {
        let count = match reader.read(&mut block) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ReadError::Io(error).into()),
        };
        let bytes = block.get(..count).unwrap_or(&[]);
        held.extend_from_slice(bytes);
        let found = if count == 0 {
            ended = true;
            framer.finish()
        } else {
            framer.push(bytes)
        };
        let mut used = 0;
        for frame in found {
            if !answers.log.has_begun() {
                let mut not_held = NOT_HELD.to_vec();
                not_held.push("line ends that the text has lost");
                let begun = answers
                    .log
                    .begin("text of an event stream", &not_held, None);
                begun.map_err(ConvertError::Write)?;
            }
            let range = frame.raw.start.saturating_sub(from) as usize
                ..frame.raw.end.saturating_sub(from) as usize;
            used = range.end;
            let mut raw = held.get(range).unwrap_or(&[]).to_vec();
            let lines = memchr::memchr_iter(b'\n', &raw).count() as u32;
            if frame.too_long {
                let length = frame.raw.end - frame.raw.start;
                answers.log.problem(line - skipped, Reason::TooLong(length));
                answers.gap(length)?;
                (line, skipped) = (line + lines, 0);
                continue;
            }
            if let Some(data) = &frame.data
                && !is_whole(data)
            {
                let reason = match (
                    frame.whole,
                    serde_json::from_str::<serde::de::IgnoredAny>(data),
                ) {
                    (false, Err(error)) if error.is_eof() => Reason::TornTail,
                    (_, Err(error)) => Reason::NotJson(error.to_string()),
                    (_, Ok(_)) => Reason::TornTail,
                };
                answers.log.problem(line, reason);
            }
            if !frame.whole && frame.data.is_none() && frame.event.is_some() {
                // an event of which only the name came
                answers.log.problem(line, Reason::TornTail);
            }
            if frame.not_utf8 {
                answers.log.problem(line, Reason::NotUtf8);
            }
            end_frame(&mut raw, &frame);
            answers.frame(&frame, &raw)?;
            line += lines;
        }
        held.drain(..used.min(held.len()));
        from += used as u64;
        if held.len() > MAX_FRAME + block.len() {
            // the framer has given this frame up; its bytes are only counted
            let lines = memchr::memchr_iter(b'\n', &held).count() as u32;
            (line, skipped) = (line + lines, skipped + lines);
            from += held.len() as u64;
            held.clear();
        }
    }
    answers.close()?;
    if log.done.requests == 0 {
        return Err(ReadError::Empty.into());
    }
    log.done.lines = line;
    log.finish().map_err(ConvertError::Write)
}

/// Writes a recording out of events as JSON: one a line, in an array, or in envelopes `{event,data}`.
pub(super) fn from_events<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let mut lines = LineReader::new(reader);
    let mut log = Log::new(writer);
    let mut not_held = NOT_HELD.to_vec();
    not_held.push("bytes of events (their JSON stands as it is)");
    let begun = log.begin("list of response events", &not_held, None);
    begun.map_err(ConvertError::Write)?;
    let mut answers = Answers {
        log: &mut log,
        open: None,
        created: false,
        over: false,
        between: Vec::new(),
    };
    let mut last = 0;
    // an array may be spread over lines
    let mut whole: Option<Vec<u8>> = None;
    while let Some(line) = lines.next_line().map_err(ReadError::Io)? {
        last = line.number;
        let (bytes, found) = trim(&line);
        if let Some(reason) = found {
            answers.log.problem(last, reason);
        }
        if let Some(whole) = &mut whole {
            whole.extend_from_slice(bytes);
            whole.push(b'\n');
            if whole.len() > crate::wire::lines::MAX_LINE {
                answers
                    .log
                    .problem(last, Reason::TooLong(whole.len() as u64));
                break;
            }
            continue;
        }
        if last == 1 && bytes.starts_with(b"[") && !bytes.ends_with(b"]") {
            whole = Some([bytes, b"\n"].concat());
            continue;
        }
        let text = String::from_utf8_lossy(bytes);
        let mut broken = None;
        let mut at = 0;
        for value in Values::new(&text) {
            match value {
                Ok(value) => {
                    at += value.len();
                    events(value, &mut |data, name| spelled(&mut answers, data, name))?;
                }
                Err(why) => broken = Some(why),
            }
        }
        if let Some(why) = broken {
            let reason = if line.ended {
                Reason::NotJson(why)
            } else {
                Reason::TornTail
            };
            answers.log.problem(last, reason);
            let rest = text.get(at..).unwrap_or(&text).trim();
            if line.ended {
                // it was an event once: it counts as one that cannot be read
                spelled(&mut answers, rest, None)?;
            }
        }
    }
    if let Some(whole) = whole {
        let text = String::from_utf8_lossy(&whole);
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => events(text.trim(), &mut |data, name| {
                spelled(&mut answers, data, name)
            })?,
            Err(error) => answers
                .log
                .problem(last, Reason::NotJson(error.to_string())),
        }
    }
    answers.close()?;
    if log.done.requests == 0 {
        return Err(ReadError::Empty.into());
    }
    log.done.lines = last;
    log.finish().map_err(ConvertError::Write)
}

/// Takes an event's data, and the name its envelope gives it.
type Take<'a> = dyn FnMut(&str, Option<&str>) -> Result<(), ConvertError> + 'a;

/// How deep envelopes are opened.
const MAX_ENVELOPES: usize = 4;

/// Hands each event that a value holds to `take`.
fn events(value: &str, take: &mut Take<'_>) -> Result<(), ConvertError> {
    opened(value, None, MAX_ENVELOPES, take)
}

fn opened(
    value: &str,
    name: Option<&str>,
    depth: usize,
    take: &mut Take<'_>,
) -> Result<(), ConvertError> {
    let Some(depth) = depth.checked_sub(1) else {
        return take(value, name);
    };
    if let Some(elements) = array(value) {
        for element in elements {
            opened(element.get(), None, depth, take)?;
        }
        return Ok(());
    }
    if let Some(text) = string(value) {
        if text.trim_start().starts_with(['{', '[']) || text.trim() == "[DONE]" {
            return opened(text.trim(), name, depth, take);
        }
        for frame in frames(text.as_bytes(), Mode::Tolerant) {
            if let Some(data) = &frame.data {
                take(data, frame.event.as_deref())?;
            }
        }
        return Ok(());
    }
    if let Some(object) = Object::read(value)
        && object.get("type").is_none()
        && let Some(data) = object.value("data")
    {
        let name = object.text("event");
        return opened(data, name.as_deref(), depth, take);
    }
    take(value, name)
}

fn spelled<W: Write>(
    answers: &mut Answers<'_, '_, W>,
    data: &str,
    name: Option<&str>,
) -> Result<(), ConvertError> {
    let data = if data.contains(['\n', '\r']) {
        Cow::Owned(compact(data))
    } else {
        Cow::Borrowed(data)
    };
    let head = EventHead::read_named(&data, name);
    let mut text = String::new();
    if let Some(kind) = head.as_ref().and_then(|it| it.kind.as_deref()) {
        text = format!("event: {}\n", kind.replace(['\n', '\r'], " "));
    }
    text.push_str("data: ");
    text.push_str(&data.replace(['\n', '\r'], " "));
    text.push_str("\n\n");
    let frame = Frame {
        data: Some(data.into_owned()),
        event: name.map(str::to_owned),
        whole: true,
        ..Frame::default()
    };
    answers.frame(&frame, text.as_bytes())
}

/// A file that is read as a whole may be as large as this: 256 MiB.
const MAX_FILE: u64 = 256 << 20;

/// The text of a file that is read as a whole, without the mark of its byte order.
pub(super) fn whole<R: Read>(reader: R) -> Result<String, ConvertError> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    let mut text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    text.drain(..mark);
    Ok(text)
}

/// Writes a recording out of JSON responses, one or several behind each other.
pub(super) fn from_responses<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let text = whole(reader)?;
    let text = text.as_str();
    let mut log = Log::new(writer);
    let begun = log.begin("body of a response", &NOT_HELD, None);
    begun.map_err(ConvertError::Write)?;
    let lines = text.lines().count() as u32;
    for value in Values::new(text) {
        match value {
            Ok(value) => {
                let hop = Hop {
                    body: Sent::NotHeld(None),
                    reply: Some(Reply {
                        at_us: 0,
                        status: None,
                        headers: None,
                        body: Cow::Borrowed(value.as_bytes()),
                        bytes: Bytes::Exact,
                        parts: Vec::new(),
                    }),
                    ..Hop::default()
                };
                log.put(hop).map_err(ConvertError::Write)?;
            }
            Err(why) => log.problem(lines, Reason::NotJson(why)),
        }
    }
    if log.done.requests == 0 {
        return Err(ReadError::NotJson {
            why: "no JSON response is in it".to_owned(),
        }
        .into());
    }
    log.done.lines = lines;
    log.finish().map_err(ConvertError::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::summary::{Counts, count};
    use crate::convert::walk::{Walked, Whole, walk};
    use proptest::prelude::*;

    fn counted(recording: &[u8]) -> Vec<Counts> {
        let mut found = Vec::new();
        walk(recording, &mut |whole: Whole, _: &Walked| {
            found.push(count(whole));
            Ok::<(), ReadError>(())
        })
        .unwrap();
        found
    }

    fn sse(text: &[u8]) -> Vec<Counts> {
        let mut writer = Writer::new(Vec::new());
        match from_sse(text, &mut writer) {
            Ok(_) => counted(&writer.into_inner()),
            Err(_) => Vec::new(),
        }
    }

    fn stream() -> impl Strategy<Value = String> {
        let event = prop_oneof![
            Just(r#"{"type":"response.created","response":{"id":"r"}}"#.to_owned()),
            Just(r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call"}}"#.to_owned()),
            Just(r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"é"}}"#.to_owned()),
            Just(r#"{"type":"response.completed","response":{"id":"r"}}"#.to_owned()),
            Just("[DONE]".to_owned()),
        ];
        let end = prop_oneof![
            Just("\n\n"),
            Just("\n"),
            Just("\r\n\r\n"),
            Just("\n: c\n\n")
        ];
        proptest::collection::vec((event, end, any::<bool>()), 0..12).prop_map(|events| {
            let mut text = String::new();
            for (event, end, space) in events {
                text.push_str(if space { "data: " } else { "data:" });
                text.push_str(&event);
                text.push_str(end);
            }
            text
        })
    }

    proptest! {
        #[test]
        fn a_text_that_is_cut_anywhere_gives_a_prefix(text in stream(), at in 0.0..1.0_f64) {
            let whole = sse(text.as_bytes());
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "any place will do"
            )]
            let cut = (text.len() as f64 * at) as usize;
            let part = sse(&text.as_bytes()[..cut]);
            prop_assert!(part.len() <= whole.len());
            for (part, whole) in part.iter().zip(&whole) {
                prop_assert!(part.events <= whole.events);
                prop_assert!(part.closed_items <= whole.closed_items);
                prop_assert!(part.terminal.is_none() || part.terminal == whole.terminal);
            }
            let before = part.len().saturating_sub(1);
            prop_assert_eq!(&part[..before], &whole[..before]);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in crate::convert::Capture::ALL {
                if !kind.is_folder() {
                    let mut writer = Writer::new(Vec::new());
                    let _maybe = crate::convert::from_file(kind, bytes.as_slice(), &mut writer);
                }
            }
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_measured_and_not_kept() {
        let head = b"data: {\"type\":\"response.created\"}\n\ndata: \"";
        let long = std::io::repeat(b'a').take(MAX_FRAME as u64 + (2 << 20));
        let rest = b"\"\ndata: {\"type\":\"response.completed\"}\n";
        let mut writer = Writer::new(Vec::new());
        let done = from_sse(head.chain(long).chain(rest.as_slice()), &mut writer).unwrap();
        let written = writer.into_inner();
        assert!(written.len() < 4096, "{}", written.len());
        assert_eq!(done.problems.len(), 1);
        assert_eq!(done.problems[0].line, 3);
        let found = counted(&written);
        assert_eq!((found[0].events, found.len()), (2, 1));
    }

    #[test]
    fn an_answer_begins_where_the_one_before_is_over() {
        let one =
            "data: {\"type\":\"response.created\"}\n\ndata: {\"type\":\"response.completed\"}\n\n";
        let cut = "data: {\"type\":\"response.created\"}\n\n";
        let found = sse([one, one, cut, one].concat().as_bytes());
        let events: Vec<u32> = found.iter().map(|it| it.events).collect();
        assert_eq!(events, [2, 2, 1, 2]);
        // what stands between two answers is the beginning of the second, at the end it belongs to the last
        let other = "data: {\"type\":\"codex.rate_limits\"}\n\n: next\n\n";
        let found = sse([one, "data: [DONE]\n\n", other, one, other]
            .concat()
            .as_bytes());
        let events: Vec<u32> = found.iter().map(|it| it.events).collect();
        assert_eq!(events, [2, 4]);
    }
}
