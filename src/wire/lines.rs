//! Lines of a JSONL file, as they really are: torn, doubled, with a byte order mark, longer than memory.
//!
//! [`LineReader`] hands out one line after another from any reader, in a buffer it uses again, with its number and place.
//! [`Values`] then takes apart what stands on one line. Whatever is wrong becomes a [`Problem`] with the line's number; a
//! good line is never hidden by a bad neighbour.

use std::fmt;
use std::io::{self, Read};

use crate::ids::LineNo;

/// Lines longer than this are skimmed, not held: 256 MiB.
pub const MAX_LINE: usize = 256 << 20;

/// Something that could not be read as it should be. Reading goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line it concerns, from 1; 0 if it concerns the file as a whole.
    pub line: LineNo,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a line or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The text is not JSON (the message says where it stops being so).
    NotJson(String),
    /// The last line of the file ends in the middle of a value.
    TornTail,
    /// The line holds several JSON values; all were read, in order.
    SeveralValues(u32),
    /// Bytes that are not UTF-8; they were read as the replacement character.
    NotUtf8,
    /// The file begins with a byte order mark; it was skipped.
    ByteOrderMark,
    /// NUL bytes around the line's value; they were skipped.
    NulBytes,
    /// The line is longer than [`MAX_LINE`]; only its length was read.
    TooLong(u64),
    /// The line is JSON but not of a shape the format knows.
    UnknownShape(String),
    /// The same line stands twice in a row (reported for items only).
    Repeated,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "not valid JSON: {why}"),
            Self::TornTail => f.write_str("the file ends in the middle of this line"),
            Self::SeveralValues(n) => write!(f, "{n} JSON values on one line"),
            Self::NotUtf8 => f.write_str("not valid UTF-8"),
            Self::ByteOrderMark => f.write_str("byte order mark"),
            Self::NulBytes => f.write_str("NUL bytes"),
            Self::TooLong(bytes) => write!(f, "{bytes} bytes long, more than is read of one line"),
            Self::UnknownShape(what) => write!(f, "unknown shape: {what}"),
            Self::Repeated => f.write_str("the same item line twice in a row"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// One line and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: LineNo,
    /// The byte of the file at which it begins.
    pub offset: u64,
    /// Its bytes without the line end; empty if it was too long to be held.
    pub bytes: &'a [u8],
    /// Its length without the line end, also where it was too long to be held.
    pub length: u64,
    /// Whether a line end follows it (only the last line of a file may have none).
    pub ended: bool,
}

/// Splits what a reader gives into lines, holding one line at a time.
#[derive(Debug)]
pub struct LineReader<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    scanned: usize,
    offset: u64,
    number: LineNo,
    eof: bool,
    max_line: usize,
}

const CHUNK: usize = 256 << 10;

/// A buffer that is too small for a line grows by no more than this at once.
const MAX_GROWTH: usize = 16 << 20;

impl<R: Read> LineReader<R> {
    /// Reads lines from `reader`, which need not be buffered.
    pub fn new(reader: R) -> Self {
        Self::with_max(reader, MAX_LINE)
    }

    /// The same with another limit on the length of a line, for tests.
    pub fn with_max(reader: R, max_line: usize) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            offset: 0,
            number: 0,
            eof: false,
            max_line,
        }
    }

    /// Returns the next line, or `None` at the end.
    ///
    /// # Errors
    /// What the reader returns.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let fresh = self.buffer.get(self.scanned..self.end).unwrap_or(&[]);
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let newline = self.scanned + at;
                let (from, offset) = (self.start, self.offset);
                let length = (newline - from) as u64;
                self.start = newline + 1;
                self.scanned = self.start;
                self.offset += length + 1;
                self.number += 1;
                // one read may bring a line that is too long, and its end, at once
                let is_held = newline - from <= self.max_line;
                let from = if is_held { from } else { newline };
                return Ok(Some(self.line(from, newline, offset, length, true)));
            }
            self.scanned = self.end;
            if self.end - self.start > self.max_line {
                return self.skim().map(Some);
            }
            if self.eof {
                if self.start == self.end {
                    return Ok(None);
                }
                let (from, to, offset) = (self.start, self.end, self.offset);
                let length = (to - from) as u64;
                self.start = to;
                self.offset += length;
                self.number += 1;
                return Ok(Some(self.line(from, to, offset, length, false)));
            }
            self.fill()?;
        }
    }

    fn line(&self, from: usize, to: usize, offset: u64, length: u64, ended: bool) -> Line<'_> {
        let bytes = self.buffer.get(from..to).unwrap_or(&[]);
        Line {
            number: self.number,
            offset,
            bytes: bytes.strip_suffix(b"\r").unwrap_or(bytes),
            length,
            ended,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < CHUNK {
            let more = (self.buffer.len() / 2).clamp(CHUNK, MAX_GROWTH);
            self.buffer.resize(self.end + more, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        loop {
            match self.reader.read(room) {
                Ok(0) => {
                    self.eof = true;
                    return Ok(());
                }
                Ok(n) => {
                    self.end += n;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Passes over the rest of a line that is too long to be held.
    fn skim(&mut self) -> io::Result<Line<'_>> {
        let offset = self.offset;
        let mut length = (self.end - self.start) as u64;
        self.buffer = Vec::new();
        (self.start, self.end, self.scanned) = (0, 0, 0);
        let mut ended = false;
        while !self.eof && !ended {
            self.fill()?;
            let fresh = self.buffer.get(..self.end).unwrap_or(&[]);
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                length += at as u64;
                self.start = at + 1;
                self.scanned = self.start;
                ended = true;
            } else {
                length += self.end as u64;
                self.end = 0;
                self.scanned = 0;
            }
        }
        self.offset = offset + length + u64::from(ended);
        self.number += 1;
        Ok(Line {
            number: self.number,
            offset,
            bytes: &[],
            length,
            ended,
        })
    }
}

/// Removes what does not belong to the values of a line: byte order mark, NUL bytes, white space.
///
/// Returns the rest and what was found.
pub fn trim<'a>(line: &Line<'a>) -> (&'a [u8], Option<Reason>) {
    let mut bytes = line.bytes;
    let mut found = None;
    if line.number == 1
        && let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf")
    {
        bytes = rest;
        found = Some(Reason::ByteOrderMark);
    }
    let before = bytes.len();
    bytes = bytes.trim_ascii();
    if bytes.first() == Some(&0) || bytes.last() == Some(&0) {
        while let [0 | b' ' | b'\t' | b'\r', rest @ ..] = bytes {
            bytes = rest;
        }
        while let [rest @ .., 0 | b' ' | b'\t' | b'\r'] = bytes {
            bytes = rest;
        }
        if bytes.len() < before {
            found = Some(Reason::NulBytes);
        }
    }
    (bytes, found)
}

/// The JSON values that stand on one line, one after another.
///
/// A well-formed line gives exactly one. The iterator stops behind the first text that is no JSON and returns it as the
/// error; the values before it stand.
#[derive(Debug)]
pub struct Values<'a> {
    rest: &'a str,
    dead: bool,
}

impl<'a> Values<'a> {
    /// Takes apart `text`.
    pub fn new(text: &'a str) -> Self {
        Self {
            rest: text.trim(),
            dead: false,
        }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<&'a str, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.dead || self.rest.is_empty() {
            return None;
        }
        let mut stream =
            serde_json::Deserializer::from_str(self.rest).into_iter::<serde::de::IgnoredAny>();
        match stream.next() {
            Some(Ok(_)) => {
                let (value, rest) = self.rest.split_at(stream.byte_offset());
                self.rest = rest.trim_start();
                Some(Ok(value))
            }
            Some(Err(error)) => {
                self.dead = true;
                Some(Err(error.to_string()))
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(bytes: &[u8], max: usize) -> Vec<(LineNo, u64, Vec<u8>, u64, bool)> {
        let mut reader = LineReader::with_max(bytes, max);
        let mut found = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            found.push((
                line.number,
                line.offset,
                line.bytes.to_vec(),
                line.length,
                line.ended,
            ));
        }
        found
    }

    #[test]
    fn lines_carry_number_place_and_end() {
        assert_eq!(
            lines(b"a\r\n\nbc", 100),
            vec![
                (1, 0, b"a".to_vec(), 2, true),
                (2, 3, b"".to_vec(), 0, true),
                (3, 4, b"bc".to_vec(), 2, false),
            ]
        );
        assert_eq!(lines(b"", 100), vec![]);
    }

    #[test]
    fn a_line_too_long_is_skimmed_and_the_next_one_read() {
        let mut bytes = vec![b'x'; CHUNK * 3];
        bytes.extend_from_slice(b"\nnext\n");
        let found = lines(&bytes, 1000);
        assert_eq!(found[0], (1, 0, vec![], (CHUNK * 3) as u64, true));
        assert_eq!(found[1].2, b"next");
        assert_eq!(found[1].1, (CHUNK * 3 + 1) as u64);
    }

    #[test]
    fn a_line_too_long_is_not_held_where_its_end_came_with_it() {
        let mut bytes = vec![b'x'; 1001];
        bytes.extend_from_slice(b"\nnext\n");
        let found = lines(&bytes, 1000);
        assert_eq!(found[0], (1, 0, vec![], 1001, true));
        assert_eq!(found[1], (2, 1002, b"next".to_vec(), 4, true));
    }

    #[test]
    fn trim_removes_mark_and_nul() {
        let line = |number, bytes| Line {
            number,
            offset: 0,
            bytes,
            length: 0,
            ended: true,
        };
        assert_eq!(
            trim(&line(1, b"\xef\xbb\xbf{}")),
            (&b"{}"[..], Some(Reason::ByteOrderMark))
        );
        assert_eq!(
            trim(&line(2, b"\0\0{} \0")),
            (&b"{}"[..], Some(Reason::NulBytes))
        );
        assert_eq!(trim(&line(2, b" {} ")), (&b"{}"[..], None));
    }

    #[test]
    fn several_values_on_a_line_are_read_in_order() {
        let found: Vec<_> = Values::new(r#"{"a":1}{"b":2} 3 {"c"#).collect();
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], Ok(r#"{"a":1}"#));
        assert_eq!(found[1], Ok(r#"{"b":2}"#));
        assert_eq!(found[2], Ok("3"));
        assert!(found[3].is_err());
        assert_eq!(Values::new("  ").count(), 0);
    }

    #[test]
    fn deep_nesting_is_no_problem() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            Values::new(&deep).collect::<Vec<_>>(),
            vec![Ok(deep.as_str())]
        );
    }

    proptest! {
        #[test]
        fn lines_put_together_give_the_bytes_back(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..300)) {
            let mut reader = LineReader::new(bytes.as_slice());
            let mut at = 0_u64;
            let mut count = 0;
            while let Some(line) = reader.next_line().unwrap() {
                count += 1;
                prop_assert_eq!(line.number, count);
                prop_assert_eq!(line.offset, at);
                let from = line.offset as usize;
                let whole = &bytes[from..from + line.length as usize];
                prop_assert_eq!(whole.strip_suffix(b"\r").unwrap_or(whole), line.bytes);
                at += line.length + u64::from(line.ended);
            }
            prop_assert_eq!(at, bytes.len() as u64);
        }
    }
}
