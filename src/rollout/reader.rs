//! Reading a rollout, whatever its era and however damaged.
//!
//! One line is held at a time. A line that cannot be read becomes a problem with its number; every other line is read
//! all the same. A file that is no rollout is refused by name.

mod build;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use super::line::{Line, with_mended};
use super::sort::Foreign;
use super::{Era, Library, Rollout, document};
use crate::ids::LineNo;
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

/// Decompresses what begins as a zstd frame does (cold rollouts, codex #25087) and passes anything else through. A frame
/// that breaks off is readable up to there, and ends in a line that does.
///
/// # Errors
/// What the reader returns, or the decoder on its first bytes.
pub fn maybe_zstd<'r, R: Read + 'r>(mut reader: R) -> io::Result<Box<dyn Read + 'r>> {
    let (first, whole) = begun(&mut reader)?;
    let whole = whole.chain(reader);
    Ok(if first == ZSTD {
        Box::new(Cut::new(zstd::Decoder::new(whole)?, b'\n'))
    } else {
        Box::new(whole)
    })
}

/// The same for what begins as zstd or gzip do: people pack their captures with either.
///
/// # Errors
/// What the reader returns, or the decoder on its first bytes.
pub fn maybe_packed<'r, R: Read + 'r>(mut reader: R) -> io::Result<Box<dyn Read + 'r>> {
    let (first, whole) = begun(&mut reader)?;
    let whole = whole.chain(reader);
    // the third byte is the method, and there is but one
    if first.starts_with(&[0x1f, 0x8b, 8]) {
        let inner = flate2::read::MultiGzDecoder::new(whole);
        return Ok(Box::new(Cut::new(inner, 0)));
    }
    maybe_zstd(whole)
}

/// How a zstd frame begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The first bytes, and the same to be read again.
fn begun(reader: &mut impl Read) -> io::Result<(Vec<u8>, Cursor<Vec<u8>>)> {
    let mut first = Vec::with_capacity(ZSTD.len());
    reader.take(ZSTD.len() as u64).read_to_end(&mut first)?;
    Ok((first.clone(), Cursor::new(first)))
}

/// A compressed reader whose end may be missing.
struct Cut<R> {
    inner: R,
    last: u8,
    ended: bool,
}

impl<R> Cut<R> {
    fn new(inner: R, last: u8) -> Self {
        Self {
            inner,
            last,
            ended: false,
        }
    }
}

impl<R: Read> Read for Cut<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        match self.inner.read(into) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
                // a cut between two lines shall not look like the end of the file: what was to come began a line
                match into.first_mut().filter(|_| self.last == b'\n') {
                    Some(first) => {
                        *first = b'{';
                        Ok(1)
                    }
                    None => Ok(0),
                }
            }
            Ok(count) => {
                self.last = into
                    .get(..count)
                    .and_then(<[u8]>::last)
                    .copied()
                    .unwrap_or(self.last);
                Ok(count)
            }
            error => error,
        }
    }
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

/// More problems of one file than this are counted, not listed.
const MAX_PROBLEMS: usize = 100_000;

/// More different unknown types than this are told as one.
const MAX_UNKNOWN: usize = 1000;

/// A file without a single line of a rollout among so many problems is none.
const MAX_HOPE: usize = 10_000;

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
    unlisted: u64,
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
            unlisted: 0,
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
        if self.only_quotes() {
            return Err(ReadError::NotARollout {
                what: "a text with lines of a rollout in it",
                hint: "cut those lines out into a file of their own",
            });
        }
        for ((file, what), (line, count)) in std::mem::take(&mut self.unknown) {
            let times = match count {
                1 => String::new(),
                n => format!(" ({n} lines)"),
            };
            self.file = file;
            self.note(line, Reason::UnknownShape(format!("{what}{times}")));
        }
        let mut rollout = self.rollout;
        if self.unlisted > 0 {
            rollout.problems.push(Problem {
                line: 0,
                reason: Reason::Other(format!("{} more problems are not listed", self.unlisted)),
            });
        }
        rollout.era = era;
        rollout.lines = end.lines;
        rollout.bytes = end.bytes;
        rollout.problems.sort_by_key(|problem| problem.line);
        rollout.steps.shrink_to_fit();
        rollout.items.finish();
        Ok(rollout)
    }

    /// Whether the file begins as something else, and has many more lines of that than of a rollout.
    fn only_quotes(&self) -> bool {
        let not_json = |it: &&Problem| matches!(it.reason, Reason::NotJson(_));
        let problems = &self.rollout.problems;
        let begins = problems
            .iter()
            .find(not_json)
            .is_some_and(|it| it.line == 1);
        begins && problems.iter().filter(not_json).count() >= 4 * self.rollout.steps.len().max(1)
    }

    /// Notes a problem; one in another file than the rollout's own says where.
    fn note(&mut self, line: LineNo, reason: Reason) {
        if self.rollout.problems.len() >= MAX_PROBLEMS {
            self.unlisted += 1;
            return;
        }
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
        let what = if self.unknown.len() < MAX_UNKNOWN {
            what
        } else {
            "of still other types".to_owned()
        };
        self.unknown.entry((self.file, what)).or_insert((line, 0)).1 += 1;
    }

    fn read_lines<R: Read>(&mut self, mut reader: LineReader<R>) -> io::Result<End> {
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
            let text = if let Ok(text) = std::str::from_utf8(bytes) {
                Cow::Borrowed(text)
            } else {
                self.note(line.number, Reason::NotUtf8);
                String::from_utf8_lossy(bytes)
            };
            let items = self.rollout.items.len();
            self.read_text(&text, line.number, line.ended);
            self.compare(bytes, line.number, self.rollout.items.len() > items);
            let hopeless = self.foreign.is_some() || self.rollout.problems.len() > MAX_HOPE;
            if self.unfit || (self.era.is_none() && hopeless) {
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

    fn read_text(&mut self, text: &str, line: LineNo, ended: bool) {
        match Line::read(text) {
            Ok(value) => self.add(&value, line, &mut 0),
            Err(_) => self.read_values(text, line, ended),
        }
    }

    /// Reads a line that is not exactly one well-formed value.
    fn read_values(&mut self, text: &str, line: LineNo, ended: bool) {
        let values: Vec<Result<&str, String>> = Values::new(text).collect();
        let whole = values.iter().filter(|value| value.is_ok()).count();
        let mut part = 0;
        // the session that wrote them held them all; only Codex's loader skips such a line (codex #3380)
        for value in values {
            match value {
                Ok(value) => self.read_value(value, line, &mut part),
                Err(_) if !ended => self.note(line, Reason::TornTail),
                Err(why) => self.note(line, Reason::NotJson(why)),
            }
        }
        if whole > 1 {
            self.note(line, Reason::SeveralValues(whole as u32));
        }
    }

    fn read_value(&mut self, text: &str, line: LineNo, part: &mut u32) {
        match Line::read(text) {
            Ok(value) => self.add(&value, line, part),
            Err(_) => with_mended(text, |value| match value {
                Ok(value) => self.add(&value, line, part),
                Err(error) => {
                    self.note(line, Reason::UnknownShape(error.to_string()));
                }
            }),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
