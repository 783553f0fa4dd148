//! Bytes that come in chunks, and leave in the same chunks without their secrets.

use std::collections::VecDeque;
use std::ops::Range;

use super::scan::{self, Found};
use super::value::Value;
use super::{Edit, Redactor, patterns};

/// More bytes than this are never held back: 1 MiB.
pub const MAX_HELD: usize = 1 << 20;

/// More room than this is not kept for later.
const MAX_KEPT: usize = 64 << 10;

/// More chunks than this are never held back.
pub const MAX_CHUNKS: usize = 4096;

/// One stream of bytes, the body of an answer for example.
///
/// As many chunks leave as come, in their order, each with its mark. A chunk leaves as soon as it is certain that no
/// secret begins in it and goes on behind it: at once, unless it ends inside of a name or of a value that is to be
/// hidden, or, where there are patterns, inside of a line. What is hidden is replaced in the chunk in which it begins and
/// missing in the following ones, which may become empty.
///
/// What would have to be held back beyond [`MAX_HELD`] bytes or [`MAX_CHUNKS`] chunks is hidden up to its end: such a
/// value, and with patterns such a string or line.
#[derive(Debug)]
pub struct Stream<T, B> {
    /// What is held back; their bytes are those of `held`.
    chunks: VecDeque<Chunk<T, B>>,
    held: Vec<u8>,
    /// Up to here the rules have looked.
    at: usize,
    /// Up to here the patterns have.
    lines: usize,
    /// Up to here line ends were looked for.
    seen: usize,
    /// The value whose end is looked for, and its name.
    value: Option<(Value, Range<usize>)>,
    edits: Vec<Edit>,
    /// What was too long to be held: all up to its end is dropped.
    dropped: Option<Value>,
    /// What of it may be the beginning of its end.
    carry: Vec<u8>,
    /// Whether `held` begins with the closing quote of a string.
    in_text: bool,
    max_held: usize,
}

#[derive(Debug)]
struct Chunk<T, B> {
    mark: T,
    bytes: B,
    /// Where it ends in what is held.
    end: usize,
}

impl<T, B> Default for Stream<T, B> {
    fn default() -> Self {
        Self::with_max(MAX_HELD)
    }
}

impl<T, B> Stream<T, B> {
    /// A stream at its beginning that holds back up to so many bytes.
    pub fn with_max(max_held: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            held: Vec::new(),
            at: 0,
            lines: 0,
            seen: 0,
            value: None,
            edits: Vec::new(),
            dropped: None,
            carry: Vec::new(),
            in_text: false,
            max_held,
        }
    }
}

impl<T, B: AsRef<[u8]> + From<Vec<u8>>> Stream<T, B> {
    /// A stream at its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next chunk and appends to `out` those that can leave. `redactor` must be the same for all of a file.
    pub fn push(&mut self, redactor: &mut Redactor, mark: T, bytes: B, out: &mut Vec<(T, B)>) {
        let bytes = match self.drop(bytes) {
            Ok(bytes) => bytes,
            Err(nothing) => {
                out.push((mark, nothing));
                return;
            }
        };
        if self.chunks.is_empty() && self.value.is_none() && !redactor.has_patterns() {
            let found = scan::next(bytes.as_ref(), 0, false);
            if matches!(found, Found::Nothing { hold } if hold == bytes.as_ref().len()) {
                out.push((mark, bytes));
                return;
            }
        }
        self.held.extend_from_slice(bytes.as_ref());
        let end = self.held.len();
        self.chunks.push_back(Chunk { mark, bytes, end });
        let hold = self.look(redactor, false);
        self.release(hold, out);
        if self.held.len() > self.max_held || self.chunks.len() > MAX_CHUNKS {
            self.overflow(redactor, out);
        }
    }

    /// The stream has ended: appends what was held back. Another stream can begin then.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<(T, B)>) {
        let hold = self.look(redactor, true);
        self.release(hold, out);
        *self = Self::with_max(self.max_held);
    }

    /// Appends what is held back, because it cannot be held any longer: what is not certain is hidden.
    pub fn give_up(&mut self, redactor: &mut Redactor, out: &mut Vec<(T, B)>) {
        if !self.chunks.is_empty() {
            self.overflow(redactor, out);
        }
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Drops what belongs to a value that was too long. `Err` with an empty chunk if nothing is left of it.
    fn drop(&mut self, bytes: B) -> Result<B, B> {
        let Some(value) = &mut self.dropped else {
            return Ok(bytes);
        };
        let mut all = std::mem::take(&mut self.carry);
        all.extend_from_slice(bytes.as_ref());
        let Some(end) = value.end(&all, false) else {
            let looked_at = value.looked_at();
            self.carry = all.split_off(looked_at);
            value.shift(looked_at);
            return Err(B::from(Vec::new()));
        };
        self.in_text = value.is_text();
        self.dropped = None;
        let mut rest = vec![b'\\'; end.missing];
        rest.extend_from_slice(all.get(end.at..).unwrap_or(&[]));
        Ok(B::from(rest))
    }

    /// Looks at what is held, and returns up to where it is certain.
    fn look(&mut self, redactor: &mut Redactor, ended: bool) -> usize {
        let hold = self.rules(redactor, ended);
        if !redactor.has_patterns() {
            return hold;
        }
        // only whole lines are certain
        let fresh = self.held.get(self.seen..hold).unwrap_or(&[]);
        let lines = match memchr::memrchr2(b'\n', b'\r', fresh) {
            _ if ended => hold,
            Some(at) => self.seen + at + 1,
            None => self.lines,
        };
        self.seen = self.seen.max(hold);
        self.patterns(redactor, lines);
        lines
    }

    fn rules(&mut self, redactor: &mut Redactor, ended: bool) -> usize {
        loop {
            let (mut value, name) = match self.value.take() {
                Some(open) => open,
                None => match scan::next(&self.held, self.at, ended) {
                    Found::Value { value, name } => (value, name),
                    Found::Nothing { hold } => {
                        self.at = hold;
                        return hold;
                    }
                },
            };
            let Some(end) = value.end(&self.held, ended) else {
                let start = value.start;
                self.value = Some((value, name));
                return start;
            };
            self.edits
                .extend(redactor.replace(&self.held, &value, end, name));
            self.at = end.at;
        }
    }

    /// Lets the patterns look at everything up to the end of a line.
    fn patterns(&mut self, redactor: &mut Redactor, end: usize) {
        let mut from = self.lines;
        if end <= from {
            return;
        }
        if std::mem::take(&mut self.in_text) {
            let quote = memchr::memchr(b'"', &self.held);
            from = from.max(quote.map_or(from, |it| it + 1)).min(end);
        }
        self.lines = end;
        let behind = self.edits.iter().filter(|it| it.range.end > from);
        let taken: Vec<Range<usize>> = behind
            .map(|it| it.range.start.saturating_sub(from)..it.range.end - from)
            .collect();
        let text = self.held.get(from..end).unwrap_or(&[]);
        for hit in patterns::find(&redactor.options.patterns, text, &taken) {
            let with = redactor.placeholder(&hit.value);
            self.edits.push(Edit {
                range: hit.range.start + from..hit.range.end + from,
                with: [&hit.quote[..], &with, &hit.quote].concat(),
                name: 0..0,
            });
        }
        self.edits.sort_by_key(|it| it.range.start);
    }

    /// Lets go the chunks that end at or before `hold`.
    fn release(&mut self, hold: usize, out: &mut Vec<(T, B)>) {
        let mut start = 0;
        let mut edits = self.edits.iter().peekable();
        while self.chunks.front().is_some_and(|it| it.end <= hold) {
            let Some(chunk) = self.chunks.pop_front() else {
                break;
            };
            let mut at = start;
            let mut text = Vec::new();
            let mut changed = false;
            while let Some(edit) = edits.peek().filter(|it| it.range.start < chunk.end) {
                changed = true;
                if edit.range.start >= start {
                    text.extend_from_slice(self.held.get(at..edit.range.start).unwrap_or(&[]));
                    text.extend_from_slice(&edit.with);
                }
                at = edit.range.end.min(chunk.end);
                if edit.range.end > chunk.end {
                    break;
                }
                edits.next();
            }
            start = chunk.end;
            let bytes = if changed {
                text.extend_from_slice(self.held.get(at..chunk.end).unwrap_or(&[]));
                B::from(text)
            } else {
                chunk.bytes
            };
            out.push((chunk.mark, bytes));
        }
        self.forget(start);
    }

    /// Forgets the first bytes of what is held, which have left.
    fn forget(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.held.drain(..bytes.min(self.held.len()));
        if self.held.is_empty() {
            // a long value is no reason to keep its room
            self.held.shrink_to(MAX_KEPT);
        }
        self.at = self.at.saturating_sub(bytes);
        self.lines = self.lines.saturating_sub(bytes);
        self.seen = self.seen.saturating_sub(bytes);
        for chunk in &mut self.chunks {
            chunk.end -= bytes;
        }
        self.edits.retain_mut(|edit| {
            let range = &edit.range;
            if range.start < bytes {
                // its placeholder has left
                edit.with.clear();
            }
            edit.range = range.start.saturating_sub(bytes)..range.end.saturating_sub(bytes);
            !edit.range.is_empty()
        });
        if let Some((value, name)) = &mut self.value {
            value.shift(bytes);
            *name = name.start.saturating_sub(bytes)..name.end.saturating_sub(bytes);
        }
    }

    /// Lets everything go, because too much would have to be held: what is not certain is hidden.
    fn overflow(&mut self, redactor: &mut Redactor, out: &mut Vec<(T, B)>) {
        let length = self.held.len();
        let long = match self.value.take() {
            Some((value, _)) => Some(value),
            None if redactor.has_patterns() => self.unfinished(),
            None => None,
        };
        if let Some(value) = long {
            let start = value.start;
            self.patterns(redactor, start);
            let secret = self.held.get(start..).unwrap_or(&[]);
            let with = redactor.placeholder(secret);
            let quote = if value.is_bare() {
                &value.quote[..]
            } else {
                &[]
            };
            self.edits.retain(|it| it.range.start < start);
            self.edits.push(Edit {
                range: start..length,
                with: [quote, &with, quote].concat(),
                name: 0..0,
            });
            self.dropped = Some(value);
        } else {
            // a name that is held is too far from its value
            self.at = length;
            self.patterns(redactor, length);
        }
        if let Some(value) = &mut self.dropped {
            // the beginning of its closing quote may be there already
            let looked_at = value.looked_at().min(length);
            self.carry = self.held.get(looked_at..).unwrap_or(&[]).to_vec();
            value.shift(looked_at);
        }
        self.release(length, out);
    }

    /// What the last line ends in: a string of JSON, or text.
    fn unfinished(&self) -> Option<Value> {
        let start = memchr::memrchr2(b'\n', b'\r', &self.held).map_or(0, |it| it + 1);
        let line = self.held.get(start..)?;
        let data = line.strip_prefix(b"data:").unwrap_or(line);
        let is_json = matches!(data.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'));
        if !(is_json || start == 0 && self.in_text) {
            let mut value = Value::line(start);
            value.end(&self.held, false);
            return Some(value);
        }
        let mut at = start;
        if start == 0 && self.in_text {
            at = memchr::memchr(b'"', line)? + 1;
        }
        loop {
            let quote = memchr::memchr(b'"', self.held.get(at..)?)?;
            let mut value = Value::text(at + quote + 1, 0, b"");
            match value.end(&self.held, false) {
                Some(end) => at = end.at + 1,
                None => return Some(value),
            }
        }
    }
}
