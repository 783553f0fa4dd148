//! E0: the one JSON document that the TypeScript CLI wrote anew on every save (2025-04 to 2025-08, removed by #2048).
//!
//! Items carry the number of the line on which they begin, counted in the file's text, and their place among the items
//! that begin on that line (a document written without line breaks has them all on line 1).

use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::fields::{Fields, Object};
use super::line::{Line, with_mended};
use super::{Rollout, Step};
use crate::ids::LineNo;
use crate::wire::lenient::Text;
use crate::wire::lines::{MAX_LINE, Problem, Reason};
use crate::wire::raw::range_in;

/// Whether a file that begins with these bytes is such a document: an object that begins with an object `session` or a list
/// `items`.
pub fn begins(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Some(rest) = bytes.trim_ascii_start().strip_prefix(b"{") else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    let keys = [(&b"\"session\""[..], b'{'), (b"\"items\"", b'[')];
    keys.iter().any(|(key, value)| {
        rest.strip_prefix(*key)
            .and_then(|rest| rest.trim_ascii_start().strip_prefix(b":"))
            .is_some_and(|rest| rest.trim_ascii_start().first().unwrap_or(value) == value)
    })
}

#[derive(Default)]
struct Session {
    id: Option<String>,
    timestamp: Option<String>,
}

impl<'de> Fields<'de> for Session {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        let slot = match key {
            "id" => &mut self.id,
            "timestamp" => &mut self.timestamp,
            _ => return Ok(false),
        };
        *slot = map.next_value::<Text<'de>>()?.0.map(Into::into);
        Ok(true)
    }
}

/// The document, as far as it could be read: what stands before a tear is kept.
#[derive(Default)]
struct Document<'a> {
    session: Session,
    items: Vec<&'a RawValue>,
}

impl<'de> Fields<'de> for Document<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "session" => {
                map.next_value_seed(Object(&mut self.session))?;
            }
            "items" => map.next_value_seed(RawItems(&mut self.items))?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

struct RawItems<'t, 'a>(&'t mut Vec<&'a RawValue>);

impl<'de> DeserializeSeed<'de> for RawItems<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> serde::de::Visitor<'de> for RawItems<'_, 'de> {
    type Value = ();
    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an array of items")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            self.0.push(item);
        }
        Ok(())
    }
}

/// The parts of a document as text.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    /// The object `session`.
    pub session: Option<&'a str>,
    /// The items, with the line on which each begins.
    pub items: Vec<(LineNo, &'a str)>,
    /// What stands behind the last item that could be read, where the document is damaged there, and its line.
    pub torn: Option<(LineNo, &'a str)>,
}

/// The parts of the document in `text`; of a damaged one those in front of the damage.
pub fn parts(text: &str) -> Parts<'_> {
    #[derive(Default)]
    struct Raw<'a> {
        session: Option<&'a RawValue>,
        items: Vec<&'a RawValue>,
    }
    impl<'de> Fields<'de> for Raw<'de> {
        fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
            match key {
                "session" => self.session = Some(map.next_value()?),
                "items" => map.next_value_seed(RawItems(&mut self.items))?,
                _ => return Ok(false),
            }
            Ok(true)
        }
    }
    let mut raw = Raw::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Object(&mut raw)
        .deserialize(&mut deserializer)
        .and_then(|_| deserializer.end());
    let mut places = Places::new(text);
    let items: Vec<(LineNo, &str)> = raw
        .items
        .into_iter()
        .map(|item| (places.of(item).0, item.get()))
        .collect();
    let torn = read.is_err().then(|| {
        let last = items.last().map(|(_, item)| *item);
        let last = last.or(raw.session.map(RawValue::get));
        let end = last
            .and_then(|last| range_in(text, last))
            .map_or(0, |range| range.end);
        let (before, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() as LineNo + 1;
        (line, rest)
    });
    Parts {
        session: raw.session.map(RawValue::get),
        items,
        torn,
    }
}

/// Reads the document; what can be read of a damaged one is.
pub(super) fn read<R: Read>(reader: R, rollout: &mut Rollout) -> io::Result<()> {
    let mut bytes = Vec::new();
    let limit = MAX_LINE as u64;
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    rollout.bytes = bytes.len() as u64;
    let mut note = |line, reason| rollout.problems.push(Problem { line, reason });
    if rollout.bytes > limit {
        note(0, Reason::TooLong(rollout.bytes));
    }
    let mut bytes = bytes.as_slice();
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        note(1, Reason::ByteOrderMark);
        bytes = rest;
    }
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        note(0, Reason::NotUtf8);
    }
    let text = text.trim_end_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    let mut places = Places::new(text);
    rollout.lines = text.lines().count() as LineNo;

    let mut document = Document::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Object(&mut document)
        .deserialize(&mut deserializer)
        .and_then(|_| deserializer.end());
    rollout.meta.thread_id = document.session.id;
    rollout.meta.timestamp = document.session.timestamp;
    for raw in document.items {
        let (line, part) = places.of(raw);
        match Line::read(raw.get()) {
            Ok(item) => add(rollout, &item, line, part),
            Err(_) => with_mended(raw.get(), |item| match item {
                Ok(item) => add(rollout, &item, line, part),
                Err(error) => rollout.problems.push(Problem {
                    line,
                    reason: Reason::UnknownShape(format!("an item: {error}")),
                }),
            }),
        }
    }
    if let Err(error) = read {
        let reason = if error.is_eof() {
            Reason::TornTail
        } else {
            Reason::NotJson(error.to_string())
        };
        rollout.problems.push(Problem {
            line: error.line() as LineNo,
            reason,
        });
    }
    Ok(())
}

fn add(rollout: &mut Rollout, item: &Line<'_>, line: LineNo, part: u32) {
    if item.is_object {
        let index = rollout.items.add(&item.item.head, line, part);
        rollout.steps.push(Step::Item(index));
    } else {
        rollout.problems.push(Problem {
            line,
            reason: Reason::UnknownShape("an item that is no object".into()),
        });
    }
}

/// Finds the lines of values that come in the order of the text.
struct Places<'a> {
    text: &'a str,
    offset: usize,
    line: LineNo,
    part: u32,
    any: bool,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            offset: 0,
            line: 1,
            part: 0,
            any: false,
        }
    }

    /// The line on which `value`, a part of the text, begins, and its place among the values asked for on that line.
    fn of(&mut self, value: &RawValue) -> (LineNo, u32) {
        let at = (value.get().as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let passed = self.text.as_bytes().get(self.offset..at).unwrap_or(&[]);
        let breaks = memchr::memchr_iter(b'\n', passed).count() as LineNo;
        self.offset = self.offset.max(at.min(self.text.len()));
        self.part = if breaks == 0 && self.any {
            self.part + 1
        } else {
            0
        };
        self.any = true;
        self.line += breaks;
        (self.line, self.part)
    }
}
