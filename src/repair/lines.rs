//! The lines of a rollout of any era as lines of today's envelope format.
//!
//! What can be read comes out as one value a line; what cannot is handed aside with the number of its line. Lines that
//! are as they should be keep every byte.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Cursor, Read};

use super::splice::{quoted, with};
use super::{Change, Lost, What};
use crate::ids::LineNo;
use crate::rollout::{Shape, document, mend_surrogates, shape};
use crate::wire::item::{ItemHead, is_context_text};
use crate::wire::lines::{self, LineReader, Values};
use crate::wire::raw::{Object, array, string};

/// What stands in for facts that a file does not hold.
#[derive(Clone, Debug, Default)]
pub struct Assumed {
    /// The thread id of a file that names none, as its name has it.
    pub thread_id: Option<String>,
    /// The working folder, which E0 to E2 did not write down.
    pub cwd: String,
    /// The thread id that the copy gets in place of its own.
    pub new_id: Option<String>,
}

/// The time of what has none.
const NO_TIME: &str = "1970-01-01T00:00:00.000Z";

/// Who wrote a meta line that was made up here.
pub(crate) const ORIGINATOR: &str = "replay_recover";

/// One line as it is to be written.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// The line of the original it comes from.
    pub(super) from: LineNo,
    /// Its text, without line end.
    pub(super) text: String,
}

/// Hands out the lines of a rollout one by one.
pub(super) struct Envelopes<'a> {
    source: Source<'a>,
    assumed: &'a Assumed,
    ready: VecDeque<Made>,
    /// Whether a meta line was handed out.
    started: bool,
    /// Whether lines of the envelope format were seen.
    enveloped: bool,
    /// The time of the last line that has one.
    time: String,
    /// What was handed aside since this was last emptied.
    pub(super) lost: Vec<Lost>,
    /// What was changed since this was last emptied.
    pub(super) changes: Vec<Change>,
    /// How many lines were put into envelopes.
    pub(super) wrapped: u64,
    /// How many state lines were left out.
    pub(super) states: u64,
}

enum Source<'a> {
    Lines(LineReader<Box<dyn Read + 'a>>),
    Document(Option<String>),
}

const BEGINNING: u64 = 1024;

impl<'a> Envelopes<'a> {
    pub(super) fn new(mut reader: Box<dyn Read + 'a>, assumed: &'a Assumed) -> io::Result<Self> {
        let mut beginning = Vec::new();
        reader
            .by_ref()
            .take(BEGINNING)
            .read_to_end(&mut beginning)?;
        let is_document = document::begins(&beginning);
        let whole = Cursor::new(beginning).chain(reader);
        let source = if is_document {
            let mut bytes = Vec::new();
            whole.take(lines::MAX_LINE as u64).read_to_end(&mut bytes)?;
            Source::Document(Some(String::from_utf8_lossy(&bytes).into_owned()))
        } else {
            Source::Lines(LineReader::new(Box::new(whole)))
        };
        Ok(Self {
            source,
            assumed,
            ready: VecDeque::new(),
            started: false,
            enveloped: false,
            time: NO_TIME.to_owned(),
            lost: Vec::new(),
            changes: Vec::new(),
            wrapped: 0,
            states: 0,
        })
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Made>> {
        loop {
            if let Some(made) = self.ready.pop_front() {
                return Ok(Some(made));
            }
            let more = match &mut self.source {
                Source::Lines(_) => self.read_line()?,
                Source::Document(text) => match text.take() {
                    Some(text) => {
                        self.document(&text);
                        true
                    }
                    None => false,
                },
            };
            if !more {
                return Ok(None);
            }
        }
    }

    fn read_line(&mut self) -> io::Result<bool> {
        let Source::Lines(reader) = &mut self.source else {
            return Ok(false);
        };
        let Some(line) = reader.next_line()? else {
            return Ok(false);
        };
        if line.bytes.is_empty() && line.length > lines::MAX_LINE as u64 {
            return Err(io::Error::other(format!(
                "line {} has {} bytes, more than is held of one line: nothing safe can be done with it",
                line.number, line.length
            )));
        }
        let (number, ended) = (line.number, line.ended);
        let (bytes, odd) = lines::trim(&line);
        let bytes = bytes.to_vec();
        let bytes = bytes.as_slice();
        if bytes.is_empty() {
            if self.started && odd.is_none() {
                self.emit(number, String::new());
            }
            return Ok(true);
        }
        if let Some(odd) = odd {
            self.change(number, What::Mended, odd.to_string());
        }
        let text = String::from_utf8_lossy(bytes);
        if let Cow::Owned(_) = text {
            self.lost.push(Lost {
                line: number,
                reason: "bytes that are not UTF-8; the copy has the replacement character in their place".to_owned(),
                bytes: bytes.to_vec(),
            });
            self.change(number, What::Mended, "bytes that are not UTF-8".to_owned());
        }
        self.text(&text, number, ended);
        Ok(true)
    }

    /// Takes what stands on one line.
    fn text(&mut self, text: &str, line: LineNo, ended: bool) {
        if let Some(shape) = shape(text) {
            self.value(text, shape, line);
            return;
        }
        let values: Vec<Result<&str, String>> = Values::new(text).collect();
        let whole: Vec<&str> = values
            .iter()
            .filter_map(|value| value.as_ref().ok().copied())
            .collect();
        let torn = values.iter().any(Result::is_err);
        if whole.len() > 1 || (torn && !whole.is_empty()) {
            self.change(
                line,
                What::Split,
                format!("{} values on one line", whole.len()),
            );
        }
        for value in &whole {
            if let Some(shape) = shape(value) {
                self.value(value, shape, line);
                continue;
            }
            let mended = mend_surrogates(value);
            if let Some(shape) = shape(&mended) {
                self.change(line, What::Mended, "half of a surrogate pair".to_owned());
                self.lose(
                    line,
                    "half of a surrogate pair was mended; the line as it was",
                    text,
                );
                self.value(&mended, shape, line);
            } else {
                self.aside(line, What::Torn, "no line of a rollout", value);
            }
        }
        if torn {
            // the part behind the last whole value
            let end = whole
                .last()
                .and_then(|last| crate::wire::raw::range_in(text, last))
                .map_or(0, |range| range.end);
            let rest = text.split_at_checked(end).map_or(text, |(_, rest)| rest);
            let reason = if ended {
                "not valid JSON"
            } else {
                "the file ends in the middle of this line"
            };
            self.aside(line, What::Torn, reason, rest.trim());
        }
    }

    fn value(&mut self, text: &str, shape: Shape, line: LineNo) {
        match shape {
            Shape::Envelope(unreadable) => self.envelope(text, unreadable, line),
            Shape::Meta => {
                let Some(object) = Object::read(text) else {
                    return;
                };
                if let Some(time) = object.text("timestamp") {
                    self.time = time.into_owned();
                }
                self.wrapped += 1;
                let payload = self.meta(text);
                self.meta_line(line, &payload);
            }
            Shape::Item(unreadable) => {
                let mended = unreadable.map(|field| self.mend(text, field, line));
                self.bare_item(mended.as_deref().unwrap_or(text), line);
            }
            Shape::State(names_response) => {
                self.states += 1;
                if names_response {
                    self.lose(line, "a state line: today's format has none", text);
                }
            }
            Shape::Other if self.enveloped => self.emit(line, text.to_owned()),
            Shape::Other => self.aside(line, What::Removed, "no line of a rollout", text),
        }
    }

    fn envelope(&mut self, text: &str, unreadable: Option<&'static str>, line: LineNo) {
        self.enveloped = true;
        let Some(object) = Object::read(text) else {
            return;
        };
        if let Some(time) = object.text("timestamp") {
            self.time = time.into_owned();
        }
        let kind = object.text("type");
        if self.started {
            match (unreadable, object.get("payload")) {
                (Some(field), Some(payload)) => {
                    let payload = self.mend(payload.get(), field, line);
                    self.emit(line, with(text, &[("payload", Some(&payload))]));
                }
                _ => self.emit(line, text.to_owned()),
            }
            return;
        }
        if kind.as_deref() != Some("session_meta") {
            self.missing_meta(line);
            self.envelope(text, unreadable, line);
            return;
        }
        let payload = object.get("payload").map_or("{}", |raw| raw.get());
        let missing = self.missing(payload);
        let mut changes: Vec<(&str, Option<&str>)> = missing
            .iter()
            .map(|(key, value)| (*key, Some(value.as_str())))
            .collect();
        let new_id = self.assumed.new_id.as_deref().map(quoted);
        if let (Some(new), Some(fields)) = (&new_id, Object::read(payload)) {
            let own = fields.text("id");
            if fields
                .text("session_id")
                .is_some_and(|session| Some(session) == own)
            {
                changes.push(("session_id", Some(new)));
            }
            changes.push(("id", Some(new)));
        }
        self.started = true;
        if changes.is_empty() {
            self.emit(line, text.to_owned());
            return;
        }
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|(key, _)| *key).collect();
            self.change(
                line,
                What::Completed,
                format!("session_meta had no {}", names.join(", ")),
            );
        }
        let payload = with(payload, &changes);
        self.emit(line, with(text, &[("payload", Some(&payload))]));
    }

    /// The members that Codex insists on and a `session_meta` does not have.
    fn missing(&self, payload: &str) -> Vec<(&'static str, String)> {
        let object = Object::read(payload).unwrap_or_default();
        let wanted = [
            (
                "id",
                self.assumed
                    .thread_id
                    .clone()
                    .unwrap_or_else(|| made_id(&self.time)),
            ),
            ("timestamp", self.time.clone()),
            ("cwd", self.assumed.cwd.clone()),
            ("originator", ORIGINATOR.to_owned()),
            ("cli_version", "0.0.0".to_owned()),
        ];
        wanted
            .into_iter()
            .filter(|(key, _)| object.text(key).is_none())
            .map(|(key, value)| (key, quoted(&value)))
            .collect()
    }

    /// The payload of a `session_meta` line for a bare meta line, whose own members are kept.
    fn meta(&self, bare: &str) -> String {
        let missing = self.missing(bare);
        let id = Object::read(bare)
            .and_then(|object| object.text("id").map(Cow::into_owned))
            .map(|id| as_uuid(&id));
        let id = self.assumed.new_id.clone().or(id).map(|id| quoted(&id));
        let mut changes: Vec<(&str, Option<&str>)> = vec![("source", Some("\"cli\""))];
        changes.extend(
            missing
                .iter()
                .map(|(key, value)| (*key, Some(value.as_str()))),
        );
        if let Some(id) = &id {
            changes.retain(|(key, _)| *key != "id");
            changes.push(("id", Some(id)));
        }
        with(bare, &changes)
    }

    fn meta_line(&mut self, line: LineNo, payload: &str) {
        self.started = true;
        let time = quoted(&self.time);
        self.emit(
            line,
            format!(r#"{{"timestamp":{time},"type":"session_meta","payload":{payload}}}"#),
        );
    }

    /// A file that does not begin with its meta line gets one.
    fn missing_meta(&mut self, line: LineNo) {
        self.change(
            line,
            What::Completed,
            "the file has no session_meta in front".to_owned(),
        );
        let payload = self.meta("{}");
        self.meta_line(line, &payload);
    }

    fn bare_item(&mut self, text: &str, line: LineNo) {
        if !self.started {
            self.missing_meta(line);
        }
        let head: ItemHead<'_> = serde_json::from_str(text).unwrap_or_default();
        let typed = head
            .kind
            .is_none()
            .then(|| with(text, &[("type", Some("\"message\""))]));
        let text = typed.as_deref().unwrap_or(text);
        self.wrapped += 1;
        let time = quoted(&self.time);
        self.emit(
            line,
            format!(r#"{{"timestamp":{time},"type":"response_item","payload":{text}}}"#),
        );
        // Codex lists and shows sessions by these events
        let event = match (head.kind.as_deref(), head.role.as_deref()) {
            (Some("message") | None, Some("user")) => "user_message",
            (Some("message") | None, Some("assistant")) => "agent_message",
            _ => return,
        };
        let said = content(text);
        if !said.is_empty() && !is_context_text(&said) {
            let said = quoted(&said);
            self.emit(
                line,
                format!(r#"{{"timestamp":{time},"type":"event_msg","payload":{{"type":"{event}","message":{said}}}}}"#),
            );
        }
    }

    /// An item whose field is of a type that Codex does not read: the field as the text it stands for.
    fn mend(&mut self, payload: &str, field: &'static str, line: LineNo) -> String {
        let object = Object::read(payload).unwrap_or_default();
        let raw = object.get(field).map_or("null", |raw| raw.get());
        let content =
            Object::read(raw).and_then(|value| value.text("content").map(Cow::into_owned));
        let text = content.unwrap_or_else(|| {
            if raw == "null" {
                String::new()
            } else {
                raw.to_owned()
            }
        });
        self.lose(
            line,
            "a field of a type that Codex does not read; the item as it was",
            payload,
        );
        self.change(
            line,
            What::Mended,
            format!("{field} was no text, so Codex skipped the line"),
        );
        with(payload, &[(field, Some(&quoted(&text)))])
    }

    fn document(&mut self, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.trim_end_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
        let mended = mend_surrogates(text);
        let parts = document::parts(&mended);
        let session = parts.session.unwrap_or("{}");
        if let Some(time) =
            Object::read(session).and_then(|object| object.text("timestamp").map(Cow::into_owned))
        {
            self.time = time;
        }
        self.wrapped += 1;
        let payload = self.meta(session);
        self.meta_line(1, &payload);
        for (line, item) in &parts.items {
            let item = crate::wire::raw::compact(item);
            match shape(&item) {
                Some(Shape::Item(unreadable)) => self.value(&item, Shape::Item(unreadable), *line),
                _ => self.aside(*line, What::Removed, "no item", &item),
            }
        }
        if let Some((line, rest)) = parts.torn {
            self.aside(
                line,
                What::Torn,
                "the document is damaged from here on",
                rest,
            );
        }
    }

    fn emit(&mut self, from: LineNo, text: String) {
        self.ready.push_back(Made { from, text });
    }

    fn change(&mut self, line: LineNo, what: What, detail: String) {
        self.changes.push(Change {
            line,
            what,
            call_id: None,
            item_type: None,
            detail,
        });
    }

    fn lose(&mut self, line: LineNo, reason: &str, text: &str) {
        self.lost.push(Lost {
            line,
            reason: reason.to_owned(),
            bytes: text.as_bytes().to_vec(),
        });
    }

    fn aside(&mut self, line: LineNo, what: What, reason: &str, text: &str) {
        self.lose(line, reason, text);
        self.change(line, what, reason.to_owned());
    }
}

/// All texts of a message's `content`.
fn content(item: &str) -> String {
    let Some(object) = Object::read(item) else {
        return String::new();
    };
    let Some(raw) = object.get("content") else {
        return String::new();
    };
    if let Some(text) = string(raw.get()) {
        return text.into_owned();
    }
    let parts = array(raw.get()).unwrap_or_default();
    let texts: Vec<String> = parts
        .into_iter()
        .filter_map(|part| Object::read(part.get())?.text("text").map(Cow::into_owned))
        .collect();
    texts.join("\n")
}

/// An id of the form Codex insists on: a UUID as it is, in its usual spelling; anything else as one made from it.
pub(crate) fn as_uuid(id: &str) -> String {
    uuid::Uuid::try_parse(id).map_or_else(|_| made_id(id), |id| id.to_string())
}

/// A UUID made from a text: equal texts give equal ids.
pub(crate) fn made_id(text: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

/// The lines as a reader, for those that read rollouts. Remembers where each line comes from.
pub(super) struct AsRead<'e, 'a> {
    pub(super) lines: &'e mut Envelopes<'a>,
    buffer: Vec<u8>,
    at: usize,
    /// How many lines were handed out.
    count: LineNo,
    /// Lines (of what is handed out) from which on the original's number differs by another amount.
    pub(super) places: Places,
}

impl<'e, 'a> AsRead<'e, 'a> {
    pub(super) fn new(lines: &'e mut Envelopes<'a>) -> Self {
        Self {
            lines,
            buffer: Vec::new(),
            at: 0,
            count: 0,
            places: Places::default(),
        }
    }
}

impl Read for AsRead<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            while self.buffer.len() < 64 << 10 {
                let Some(made) = self.lines.next()? else {
                    break;
                };
                self.count += 1;
                self.places.add(self.count, made.from);
                self.buffer.extend_from_slice(made.text.as_bytes());
                self.buffer.push(b'\n');
            }
        }
        let rest = self.buffer.get(self.at..).unwrap_or(&[]);
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

/// From the numbers of lines as they are written to those of the original.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The first written line of each stretch, and the original line it comes from; `bool`: all lines of the stretch
    /// come from that one.
    starts: Vec<(LineNo, LineNo)>,
    last: LineNo,
}

impl Places {
    fn add(&mut self, written: LineNo, from: LineNo) {
        let follows = self
            .starts
            .last()
            .is_some_and(|(start, original)| original + (written - start) == from);
        if !follows {
            self.starts.push((written, from));
        }
        self.last = from;
    }

    /// The line of the original that a written line comes from.
    pub(super) fn original(&self, written: LineNo) -> LineNo {
        let at = self.starts.partition_point(|(start, _)| *start <= written);
        match at.checked_sub(1).and_then(|at| self.starts.get(at)) {
            Some((start, original)) => original + (written - start),
            None => written,
        }
    }
}
