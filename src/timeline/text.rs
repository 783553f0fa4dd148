//! The texts of entries, read again from where they stand.
//!
//! A timeline keeps no text: whoever shows an entry reads its line by its place in the file. [`Source`] is a file that can
//! be read at any place; limits bound how much of a line is read.

use std::io::{self, Read, Seek, SeekFrom};

use serde_json::Value;

use super::chunk;
use super::entry::{Entry, NONE, Place, What};
use super::index::Timeline;
use crate::rollout::Era;
use crate::session::Session;
use crate::session::body::{Bases, Stored, stored};
use crate::wire::raw::Object;

/// A file that can be read at any place.
pub trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// At most so much of a line is read to be shown: 4 MiB.
pub const MAX_SHOWN: u64 = 4 << 20;

/// At most so many lines are read for one event.
const MAX_LINES: u32 = 10_000;

/// A text and whether it is the whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The text, or as much as is shown.
    pub text: String,
    /// How many bytes there are.
    pub length: u64,
    /// Whether all of it is here.
    pub whole: bool,
}

/// Reads `range` of a source, no more than `max` bytes of it.
///
/// # Errors
/// What reading returns.
pub fn bytes(
    source: &mut dyn Source,
    range: &std::ops::Range<u64>,
    max: u64,
) -> io::Result<Vec<u8>> {
    let length = (range.end - range.start).min(max);
    source.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::with_capacity(length as usize);
    source.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Timeline {
    /// The line of an entry as it stands in its file, up to `max` bytes. Empty where the file is not at hand.
    ///
    /// # Errors
    /// What reading returns.
    pub fn line(&self, entry: &Entry, source: &mut dyn Source, max: u64) -> io::Result<Text> {
        let Some(range) = self.range(entry) else {
            return Ok(Text {
                whole: true,
                ..Text::default()
            });
        };
        let bytes = bytes(source, &range, max)?;
        Ok(Text {
            length: range.end - range.start,
            whole: bytes.len() as u64 == range.end - range.start,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// Where the line of an entry stands in its file.
    pub fn range(&self, entry: &Entry) -> Option<std::ops::Range<u64>> {
        let file = self.files.get(entry.file as usize)?;
        if entry.place != NONE && self.is_document(entry) {
            let place = self.places.get(entry.place as usize)?;
            let start = u64::from(place.skip);
            return Some(start..start + u64::from(place.length));
        }
        file.lines.range(entry.line)
    }

    /// Where the text of an event stands, for those that are no line of their own.
    pub fn place(&self, entry: &Entry) -> Option<Place> {
        if entry.what != What::Event {
            return None;
        }
        self.places.get(entry.place as usize).copied()
    }

    fn is_document(&self, entry: &Entry) -> bool {
        let session = self
            .files
            .get(entry.file as usize)
            .map(|file| &file.session);
        matches!(session, Some(Session::Rollout(rollout)) if rollout.era == Era::E0)
    }

    /// What an entry says: the data of an event, the item of a line of E0, the line itself otherwise.
    ///
    /// # Errors
    /// What reading returns.
    pub fn text(&self, entry: &Entry, source: &mut dyn Source, max: u64) -> io::Result<Text> {
        if entry.place != NONE && self.is_document(entry) {
            // what stands in a document that is torn is not found again
            let range = self.range(entry).unwrap_or(0..0);
            let found = bytes(source, &range, max)?;
            return Ok(Text {
                length: range.end - range.start,
                whole: found.len() as u64 == range.end - range.start,
                text: String::from_utf8_lossy(&found).into_owned(),
            });
        }
        let place = self.place(entry);
        if place.is_some_and(|place| place.length > 0) {
            return self.streamed(entry, source, max);
        }
        let line = self.line(entry, source, max)?;
        if !line.whole || !matches!(entry.what, What::Event | What::Body | What::Connection) {
            return Ok(line);
        }
        let decoded = Object::read(&line.text).and_then(|it| chunk::bytes(&it));
        Ok(match decoded {
            Some(bytes) => whole(String::from_utf8_lossy(&bytes).into_owned()),
            None => line,
        })
    }

    /// The data of an event of a stream.
    fn streamed(&self, entry: &Entry, source: &mut dyn Source, max: u64) -> io::Result<Text> {
        let (Some(place), Some(file)) = (self.place(entry), self.files.get(entry.file as usize))
        else {
            return Ok(Text::default());
        };
        let wanted = u64::from(place.skip) + u64::from(place.length);
        let limit = wanted.min(u64::from(place.skip) + max);
        let mut raw = Vec::new();
        for number in (place.from..=entry.line).take(MAX_LINES as usize) {
            if raw.len() as u64 >= limit {
                break;
            }
            let Some(range) = file.lines.range(number) else {
                continue;
            };
            let line = bytes(source, &range, MAX_SHOWN * 4)?;
            let line = String::from_utf8_lossy(&line);
            let Some(object) = Object::read(&line) else {
                continue;
            };
            if object.text("kind").as_deref() == Some("chunk")
                && object.small("exchange") == Some(entry.exchange)
            {
                raw.extend(chunk::bytes(&object).unwrap_or_default());
            }
        }
        let frame = raw
            .get(place.skip as usize..(wanted as usize).min(raw.len()))
            .unwrap_or(&[]);
        let mut data = String::new();
        let mut other = String::new();
        for line in String::from_utf8_lossy(frame).split(['\n', '\r']) {
            match line.strip_prefix("data:") {
                Some(text) => {
                    if !data.is_empty() {
                        data.push('\n');
                    }
                    data.push_str(text.strip_prefix(' ').unwrap_or(text));
                }
                None => other.push_str(line),
            }
        }
        let text = if data.is_empty() { other } else { data };
        Ok(Text {
            length: u64::from(place.length),
            whole: wanted <= limit,
            text,
        })
    }

    /// The body of a request, made whole from the bodies it builds on; `None` if it is not on file or cannot be rebuilt.
    ///
    /// # Errors
    /// What reading returns.
    pub fn body(&self, entry: &Entry, source: &mut dyn Source) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.files.get(entry.file as usize) else {
            return Ok(None);
        };
        let Session::Recording(recording) = &file.session else {
            return Ok(None);
        };
        // the chain of bodies down to a whole one, newest first
        let mut chain = Vec::new();
        let mut line = entry.line;
        loop {
            let Some(range) = file.lines.range(line) else {
                return Ok(None);
            };
            let text = bytes(source, &range, u64::MAX)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            let base = Object::read(&text)
                .and_then(|it| it.object("body_delta"))
                .and_then(|it| it.small("base"));
            chain.push(text);
            let Some(base) = base else { break };
            let older = recording
                .exchanges
                .iter()
                .rev()
                .find(|it| it.number == base && it.line < line);
            match older {
                Some(older) if chain.len() < 1000 => line = older.line,
                _ => return Ok(None),
            }
        }
        let mut bases = Bases::default();
        let mut body = None;
        for text in chain.iter().rev() {
            let Some(object) = Object::read(text) else {
                return Ok(None);
            };
            let number = object.small("exchange").unwrap_or(0);
            body = match stored(&object, &mut bases, number) {
                Ok(Stored::Bytes(bytes)) => Some(bytes),
                _ => return Ok(None),
            };
        }
        Ok(body)
    }
}

fn whole(text: String) -> Text {
    Text {
        length: text.len() as u64,
        whole: true,
        text,
    }
}

/// The item that an entry's text holds: an event's, a rollout line's payload, a bare item.
pub fn item_of(value: &Value) -> Option<&Value> {
    if let Some(item) = value.get("item").filter(|it| it.get("type").is_some()) {
        return Some(item);
    }
    match value.get("payload") {
        Some(payload) => Some(payload),
        None if value.get("type").is_some() || value.get("role").is_some() => Some(value),
        None => None,
    }
}
