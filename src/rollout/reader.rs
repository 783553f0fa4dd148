//! Reading a rollout, whatever its era and however damaged.
//!
//! One line is held at a time. A line that cannot be read becomes a problem with its number; every other line is read
//! all the same. A file that is no rollout is refused by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use super::line::{Foreign, ItemText, Line, Payload, PreviousText, Sort, with_mended};
use super::{Era, File, Library, Meta, Previous, Rollout, Step, document, event};
use crate::ids::{ItemIndex, LineNo, ResponseKey};
use crate::wire::item::{Author, Flags, Item, ItemKind};
use crate::wire::lines::{self, LineReader, Problem, Reason, Values};

/// Files that begin in files that begin in files: more of them than this are taken for a mistake.
pub const MAX_BASES: usize = 32;

/// Why a file was not read as a rollout.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The reader failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// The file is something else.
    #[error("this is {what}, not a rollout: {hint}")]
    NotARollout {
        /// What it is.
        what: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
}

/// Reads a rollout; the files it begins in are opened through `library` (codex #35220).
///
/// Compressed bytes are refused; see [`maybe_zstd`].
///
/// # Errors
/// [`ReadError::Io`] if the reader fails, [`ReadError::Empty`] and [`ReadError::NotARollout`] if there is no rollout.
pub fn read<R: Read>(mut reader: R, library: &dyn Library) -> Result<Rollout, ReadError> {
    let beginning = take_beginning(&mut reader)?;
    let is_document = document::begins(&beginning);
    let reader = Cursor::new(beginning).chain(reader);
    if is_document {
        let mut rollout = Rollout::new(Era::E0);
        document::read(reader, &mut rollout)?;
        return Ok(rollout);
    }
    let mut builder = Builder::new(library);
    let end = builder.read_lines(LineReader::new(reader))?;
    builder.finish(end)
}

const BEGINNING: usize = 1024;

fn take_beginning<R: Read>(reader: &mut R) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::with_capacity(BEGINNING);
    reader
        .by_ref()
        .take(BEGINNING as u64)
        .read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Decompresses what begins as a zstd frame does (cold rollouts, codex #25087) and passes anything else through.
///
/// # Errors
/// What the reader returns, or the decoder on its first bytes.
pub fn maybe_zstd<'r, R: Read + 'r>(mut reader: R) -> io::Result<Box<dyn Read + 'r>> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let mut first = Vec::with_capacity(MAGIC.len());
    reader
        .by_ref()
        .take(MAGIC.len() as u64)
        .read_to_end(&mut first)?;
    let compressed = first == MAGIC;
    let whole = Cursor::new(first).chain(reader);
    Ok(if compressed {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

/// Where a file ended.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    lines: LineNo,
    bytes: u64,
}

/// The line before, to notice an item written twice.
#[derive(Default)]
struct Before {
    bytes: Vec<u8>,
    was_item: bool,
}

/// Longer lines are not compared with their neighbours.
const MAX_COMPARED: usize = 4 << 20;

struct Builder<'l> {
    rollout: Rollout,
    library: &'l dyn Library,
    era: Option<Era>,
    /// What the first value is that belongs to another kind of file.
    foreign: Option<Foreign>,
    /// The threads of the files that are open, the outermost first.
    open: Vec<String>,
    /// The file that is being read, in [`Rollout::files`].
    file: u32,
    meta_seen: bool,
    any_text: bool,
    before: Before,
    unknown: BTreeMap<(u32, String), (LineNo, u64)>,
    /// A base that is not paginated is not read (codex #35220).
    unfit: bool,
}

impl<'l> Builder<'l> {
    fn new(library: &'l dyn Library) -> Self {
        Self {
            rollout: Rollout::new(Era::E3),
            library,
            era: None,
            foreign: None,
            open: Vec::new(),
            file: 0,
            meta_seen: false,
            any_text: false,
            before: Before::default(),
            unknown: BTreeMap::new(),
            unfit: false,
        }
    }

    fn finish(mut self, end: End) -> Result<Rollout, ReadError> {
        let Some(era) = self.era else {
            return Err(match self.foreign {
                Some(Foreign { what, hint }) => ReadError::NotARollout { what, hint },
                None if self.any_text => ReadError::NotARollout {
                    what: "something else",
                    hint: "no line of it is one that Codex writes into a rollout",
                },
                None => ReadError::Empty,
            });
        };
        for ((file, what), (line, count)) in std::mem::take(&mut self.unknown) {
            let times = match count {
                1 => String::new(),
                n => format!(" ({n} lines)"),
            };
            self.file = file;
            self.note(line, Reason::UnknownShape(format!("{what}{times}")));
        }
        let mut rollout = self.rollout;
        rollout.era = era;
        rollout.lines = end.lines;
        rollout.bytes = end.bytes;
        rollout.problems.sort_by_key(|problem| problem.line);
        rollout.steps.shrink_to_fit();
        Ok(rollout)
    }

    /// Notes a problem; one in another file than the rollout's own says where.
    fn note(&mut self, line: LineNo, reason: Reason) {
        let problem = match self.rollout.files.get(self.file as usize) {
            Some(file) if self.file > 0 => Problem {
                line: 0,
                reason: Reason::Other(format!("in {}, line {line}: {reason}", file.path)),
            },
            _ => Problem { line, reason },
        };
        self.rollout.problems.push(problem);
    }

    fn unknown(&mut self, line: LineNo, what: String) {
        self.unknown.entry((self.file, what)).or_insert((line, 0)).1 += 1;
    }

    fn read_lines<R: Read>(&mut self, mut reader: LineReader<R>) -> Result<End, ReadError> {
        let mut end = End::default();
        while let Some(line) = reader.next_line()? {
            end.lines = line.number;
            end.bytes = line.offset + line.length + u64::from(line.ended);
            if line.bytes.is_empty() && line.length > lines::MAX_LINE as u64 {
                self.any_text = true;
                self.note(line.number, Reason::TooLong(line.length));
                continue;
            }
            let (bytes, found) = lines::trim(&line);
            if let Some(reason) = found {
                self.note(line.number, reason);
            }
            if bytes.is_empty() {
                continue;
            }
            self.any_text = true;
            let text = match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => {
                    self.note(line.number, Reason::NotUtf8);
                    String::from_utf8_lossy(bytes)
                }
            };
            let items = self.rollout.items.len();
            self.read_text(&text, line.number, line.ended)?;
            self.compare(bytes, line.number, self.rollout.items.len() > items);
            if self.unfit || (self.era.is_none() && self.foreign.is_some()) {
                break;
            }
        }
        Ok(end)
    }

    /// Notes an item line that stands twice in a row.
    fn compare(&mut self, bytes: &[u8], line: LineNo, is_item: bool) {
        if is_item && self.before.was_item && self.before.bytes == bytes {
            self.note(line, Reason::Repeated);
        }
        self.before.was_item = is_item && bytes.len() <= MAX_COMPARED;
        if self.before.was_item {
            self.before.bytes.clear();
            self.before.bytes.extend_from_slice(bytes);
        }
    }

    fn read_text(&mut self, text: &str, line: LineNo, ended: bool) -> Result<(), ReadError> {
        match Line::read(text) {
            Ok(value) => self.add(&value, line, &mut 0, false),
            Err(_) => self.read_values(text, line, ended),
        }
    }

    /// Reads a line that is not exactly one well-formed value.
    fn read_values(&mut self, text: &str, line: LineNo, ended: bool) -> Result<(), ReadError> {
        let values: Vec<Result<&str, String>> = Values::new(text).collect();
        let whole = values.iter().filter(|value| value.is_ok()).count();
        let torn = values.len() > whole;
        let mut part = 0;
        // Codex reads a line as one value: it skips this line (codex #3380)
        let skipped = values.len() > 1;
        for value in values {
            match value {
                Ok(value) => self.read_value(value, line, &mut part, skipped)?,
                Err(_) if !ended => self.note(line, Reason::TornTail),
                Err(why) => self.note(line, Reason::NotJson(why)),
            }
        }
        if whole > 1 || (whole == 1 && torn) {
            self.note(
                line,
                Reason::SeveralValues((whole + usize::from(torn)) as u32),
            );
        }
        Ok(())
    }

    fn read_value(
        &mut self,
        text: &str,
        line: LineNo,
        part: &mut u32,
        skipped: bool,
    ) -> Result<(), ReadError> {
        match Line::read(text) {
            Ok(value) => self.add(&value, line, part, skipped),
            Err(_) => with_mended(text, |value| match value {
                Ok(value) => self.add(&value, line, part, skipped),
                Err(error) => {
                    self.note(line, Reason::UnknownShape(error.to_string()));
                    Ok(())
                }
            }),
        }
    }

    fn add(
        &mut self,
        value: &Line<'_>,
        line: LineNo,
        part: &mut u32,
        skipped: bool,
    ) -> Result<(), ReadError> {
        let sort = value.sort();
        let era = value.era().filter(|era| *era != Era::E0);
        self.era = self.era.max(era);
        match sort {
            Sort::Envelope => self.envelope(value, line, part, skipped)?,
            Sort::BareMeta if self.meta_seen => self.rollout.steps.push(Step::Meta(line)),
            Sort::BareMeta => {
                self.meta_seen = true;
                self.rollout.meta = Meta {
                    thread_id: owned(&value.item.head.id),
                    timestamp: owned(&value.timestamp),
                    ..Meta::default()
                };
            }
            Sort::BareItem => self.item(&value.item, line, part, skipped),
            Sort::State => self.state(value, line),
            Sort::Foreign(foreign) if self.era.is_none() => self.foreign = Some(foreign),
            Sort::Foreign(_) | Sort::Unknown | Sort::Document => {
                if value.item.head.role.is_some() && self.era.is_some_and(|era| era <= Era::E2) {
                    self.item(&value.item, line, part, skipped);
                    return Ok(());
                }
                let what = match value.item.head.kind.as_deref() {
                    _ if !value.is_object => "a value that is no object".to_owned(),
                    Some(kind) => format!("type {kind} without payload"),
                    None => "an object without type".to_owned(),
                };
                self.unknown(line, what);
            }
        }
        Ok(())
    }

    fn state(&mut self, value: &Line<'_>, line: LineNo) {
        if value.record_type.as_deref() != Some("state") {
            let kind = value.record_type.as_deref().unwrap_or("");
            self.unknown(line, format!("record_type {kind}"));
            return;
        }
        let previous = match &value.previous {
            PreviousText::NoKey => Previous::NoKey,
            PreviousText::Null => Previous::Null,
            PreviousText::Response(id) => Previous::Response(self.response(id)),
        };
        self.rollout.steps.push(Step::State(line, previous));
    }

    fn response(&mut self, id: &str) -> ResponseKey {
        ResponseKey(self.rollout.responses.intern(id.as_bytes()))
    }

    fn envelope(
        &mut self,
        value: &Line<'_>,
        line: LineNo,
        part: &mut u32,
        skipped: bool,
    ) -> Result<(), ReadError> {
        let kind = value.item.head.kind.as_deref().unwrap_or("");
        let Some(payload) = &value.payload else {
            self.unknown(line, format!("{kind} whose payload is no object"));
            return Ok(());
        };
        match kind {
            "response_item" => self.item(&payload.item, line, part, skipped),
            "event_msg" => event::add(&mut self.rollout, payload, line),
            "turn_context" => self.rollout.steps.push(Step::TurnContext(line)),
            "session_meta" => self.meta(value, payload, line)?,
            "compacted" => self.compacted(payload, line, skipped),
            "token_usage_record" => {
                if let Some(id) = payload.response_id.as_deref() {
                    let key = self.response(id);
                    self.rollout.steps.push(Step::ResponseEnded(line, key));
                }
            }
            "inter_agent_communication" => {
                let mut item = payload.item.head.clone();
                item.kind = Some(Cow::Borrowed(ItemKind::AgentMessage.name()));
                let item = self.rollout.items.describe(&item, line, *part);
                self.push(item, part, skipped);
            }
            "inter_agent_communication_metadata"
            | "world_state"
            | "retained_context"
            | "security_risk_score"
            | "realtime_item"
            | "rollout_reference"
            | "dynamic_tools_updated" => {}
            _ => self.unknown(line, format!("type {kind}")),
        }
        Ok(())
    }

    fn item(&mut self, text: &ItemText<'_>, line: LineNo, part: &mut u32, skipped: bool) {
        let unreadable = text.unreadable_field();
        if let Some(field) = unreadable {
            let what = format!("{field} of another type than Codex reads: it skips this line");
            self.note(line, Reason::UnknownShape(what));
        }
        let item = self.rollout.items.describe(&text.head, line, *part);
        self.push(item, part, skipped || unreadable.is_some());
    }

    fn push(&mut self, mut item: Item, part: &mut u32, skipped: bool) {
        if skipped {
            item.flags.set(Flags::UNREADABLE_BY_CLIENT);
        }
        let index = self.rollout.items.push(item);
        self.rollout.steps.push(Step::Item(index));
        *part += 1;
    }

    /// `compacted`: with `replacement_history` (codex #6795) the items replace all before; without, the message does
    /// together with the user's own.
    fn compacted(&mut self, payload: &Payload<'_>, line: LineNo, skipped: bool) {
        if skipped {
            return;
        }
        let Some(items) = &payload.replacement else {
            if !payload.message {
                self.unknown(
                    line,
                    "compacted without message and replacement_history".into(),
                );
                return;
            }
            let summary = self.rollout.items.push(Item {
                kind: ItemKind::Message,
                author: Author::Client,
                flags: Flags::default(),
                call: None,
                id: None,
                line,
                part: 0,
            });
            self.rollout.steps.push(Step::Summarised(line, summary));
            return;
        };
        let first = ItemIndex(self.rollout.items.len() as u32);
        for (part, text) in items.iter().enumerate() {
            // dropped by the loader, inside a replacement too (codex #19481)
            if text.head.item_kind() == ItemKind::GhostSnapshot {
                continue;
            }
            let mut item = self.rollout.items.describe(&text.head, line, part as u32);
            if text.unreadable_field().is_some() {
                item.flags.set(Flags::UNREADABLE_BY_CLIENT);
            }
            self.rollout.items.push(item);
        }
        let count = self.rollout.items.len() as u32 - first.0;
        self.rollout
            .steps
            .push(Step::Replaced { line, first, count });
    }

    fn meta(
        &mut self,
        value: &Line<'_>,
        payload: &Payload<'_>,
        line: LineNo,
    ) -> Result<(), ReadError> {
        if self.meta_seen {
            self.rollout.steps.push(Step::Meta(line));
            return Ok(());
        }
        self.meta_seen = true;
        let meta = meta_of(value, payload);
        let (base, thread, paginated) = (meta.base.clone(), meta.thread_id.clone(), meta.paginated);
        if let Some(file) = self.rollout.files.get_mut(self.file as usize) {
            file.thread_id.clone_from(&thread);
        }
        if self.file == 0 {
            self.rollout.meta = meta;
        } else if !paginated {
            self.unfit = true;
            self.rollout.incomplete = true;
            self.note(
                line,
                Reason::Other("this file is not paginated; Codex refuses it as a beginning".into()),
            );
            return Ok(());
        }
        self.open.extend(thread);
        if let Some(base) = base {
            self.base(&base.thread_id, base.end_byte_offset, line)?;
        }
        Ok(())
    }

    /// Reads the file in which this one begins, as far as it belongs to this history (codex #33930, #35220).
    fn base(&mut self, thread: &str, end: u64, line: LineNo) -> Result<(), ReadError> {
        let refusal = if self.open.iter().any(|open| open == thread) {
            Some(format!(
                "the history begins in thread {thread}, which begins in this one"
            ))
        } else if self.rollout.files.len() > MAX_BASES {
            Some(format!("more than {MAX_BASES} files begin in one another"))
        } else {
            None
        };
        let opened = match refusal {
            Some(why) => Err(why),
            None => match self.library.open(thread) {
                Ok(Some(opened)) => Ok(opened),
                Ok(None) => Err(format!(
                    "the history begins in thread {thread}, whose rollout was not found"
                )),
                Err(error) => Err(format!(
                    "the history begins in thread {thread}, whose rollout cannot be opened: {error}"
                )),
            },
        };
        let (path, reader) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                self.rollout.incomplete = true;
                self.note(line, Reason::Other(why));
                return Ok(());
            }
        };
        let own = self.file;
        let before = std::mem::take(&mut self.before);
        self.file = self.rollout.files.len() as u32;
        self.rollout.files.push(File {
            path,
            thread_id: Some(thread.to_owned()),
        });
        self.rollout.steps.push(Step::File(self.file));
        self.meta_seen = false;
        let read = self.read_lines(LineReader::new(reader.take(end)));
        match read {
            Ok(read) if read.bytes < end && !self.unfit => {
                self.rollout.incomplete = true;
                let what = format!(
                    "the file has {} bytes, {end} belong to this history",
                    read.bytes
                );
                self.note(read.lines, Reason::Other(what));
            }
            Ok(_) => {}
            Err(error) => {
                self.rollout.incomplete = true;
                self.note(0, Reason::Other(format!("cannot be read: {error}")));
            }
        }
        self.meta_seen = true;
        self.unfit = false;
        self.open.retain(|open| open != thread);
        self.before = before;
        self.file = own;
        self.rollout.steps.push(Step::File(own));
        Ok(())
    }
}

fn owned(word: &Option<Cow<'_, str>>) -> Option<String> {
    word.as_deref().map(str::to_owned)
}

fn meta_of(value: &Line<'_>, payload: &Payload<'_>) -> Meta {
    let none = super::line::MetaText::default();
    let text = payload.meta.as_deref().unwrap_or(&none);
    Meta {
        thread_id: owned(&payload.item.head.id),
        forked_from: owned(&text.forked_from),
        parent_thread: owned(&text.parent_thread),
        originator: owned(&text.originator),
        cli_version: owned(&text.cli_version),
        timestamp: owned(&payload.timestamp).or_else(|| owned(&value.timestamp)),
        base: text.history_base(),
        paginated: text.history_mode.as_deref() == Some("paginated"),
        own_history_from: text.own_history_from,
    }
}

#[cfg(test)]
mod tests;
