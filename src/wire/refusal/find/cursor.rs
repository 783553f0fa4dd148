//! Reads along a sentence of the API, wherever a terminal broke it, and notes its regular wording.
//!
//! What is hard to read in a refusal is an id without quotes: it ends at a dot that ids may have too.

use super::squeeze::{Gap, Squeezed};
use crate::wire::item::ItemKind;

/// The longest id that is believed in running text; ids of 64 and more characters are real, whole files are not.
const MAX_ID: usize = 1024;

/// How many lines an id may be broken into.
const MAX_PARTS: usize = 8;

/// The words of a kind.
pub(super) type Row = (&'static str, Option<ItemKind>);

/// Where a sentence comes from; it decides how an id is read that has no quotes around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A string of its own.
    Exact,
    /// Somewhere in a text that others wrote around it.
    Running,
}

/// Whether a sentence that ends in an id has a dot behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    Always,
    Perhaps,
}

/// Reads a sentence and notes its regular wording.
pub(super) struct Cursor<'a> {
    text: &'a Squeezed,
    pub(super) at: usize,
    source: Source,
    /// The quote right before the sentence: it is then a string of JSON, of Python or of Rust.
    quote: Option<u8>,
    /// The `n` of `input[n]`, where the sentence has one.
    pub(super) position: Option<u32>,
    /// The sentence so far as the API would have written it.
    pub(super) said: String,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a Squeezed, at: usize, source: Source) -> Self {
        let before = text.bytes().get(..at).unwrap_or(&[]);
        let quote = before
            .iter()
            .rev()
            .find(|byte| **byte != b'\\')
            .copied()
            .filter(|byte| matches!(byte, b'"' | b'\''));
        Self {
            text,
            at,
            source,
            quote,
            position: None,
            said: String::new(),
        }
    }

    /// Passes over `words`, wherever their spaces are, and says whether they stood there.
    pub(super) fn words(&mut self, words: &str) -> bool {
        let Some(end) = self.text.skip(self.at, words) else {
            return false;
        };
        self.at = end;
        self.said.push_str(words);
        true
    }

    pub(super) fn one_of(&mut self, table: &'static [Row]) -> Option<&'static Row> {
        table.iter().find(|(words, _)| self.words(words))
    }

    /// Passes over up to four words of which the last is "call": a kind that is not in the reference.
    pub(super) fn unknown_call(&mut self) -> bool {
        let (at, said) = (self.at, self.said.len());
        for word in 0..4 {
            let start = self.at;
            let end = self.run_end(start, |byte| byte.is_ascii_lowercase());
            if end == start {
                break;
            }
            if word > 0 {
                self.said.push(' ');
            }
            let text = self.text.text(start, end);
            self.said.push_str(&text);
            self.at = end;
            if text == "call" {
                return true;
            }
        }
        self.at = at;
        self.said.truncate(said);
        false
    }

    /// Reads up to the closing quote, which is left in place. Quotes show where an id ends, so a break is no question.
    pub(super) fn quoted(&mut self) -> Option<String> {
        let start = self.at;
        let mut end = start;
        loop {
            let (byte, gap) = self.text.get(end)?;
            if byte == b'\'' {
                break;
            }
            let apart = end > start && matches!(gap, Gap::Blank | Gap::Paragraph);
            // an escape in an id is a line break that the next level of escapes shows as one
            let escaped = byte == b'\\' && self.source == Source::Running;
            if apart || escaped || end - start > MAX_ID {
                return None;
            }
            end += 1;
        }
        let text = self.text.text(start, end);
        self.said.push_str(&text);
        self.at = end;
        Some(text)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        let end = self.run_end(self.at, |byte| byte.is_ascii_digit());
        let text = self.text.text(self.at, end);
        let number = text.parse().ok()?;
        self.said.push_str(&text);
        self.at = end;
        Some(number)
    }

    /// Where the bytes of one kind end that follow each other without a gap from `start` on.
    fn run_end(&self, start: usize, is_part: impl Fn(u8) -> bool) -> usize {
        let mut end = start;
        while end - start <= MAX_ID
            && let Some((byte, gap)) = self.text.get(end)
            && is_part(byte)
            && (end == start || gap == Gap::None)
        {
            end += 1;
        }
        end
    }

    /// Reads an id that only a dot, a blank or a quote ends.
    pub(super) fn id(&mut self, dot: Dot) -> Option<String> {
        if self.text.get(self.at)?.1 == Gap::None {
            return None;
        }
        let end = match self.source {
            Source::Exact => self.exact_end(),
            Source::Running => self.running_end(dot)?,
        };
        let raw = self.text.text(self.at, end);
        let stripped = match self.dots(end) {
            2 => raw.strip_suffix("..").or_else(|| raw.strip_suffix('.')),
            _ => raw.strip_suffix('.'),
        };
        let id = match stripped {
            Some(id) => id,
            // "… tool call call_X: try again" ends in a colon that is not the id's
            None if self.source == Source::Running => raw.strip_suffix(':').unwrap_or(&raw),
            None => &raw,
        };
        if id.is_empty() && stripped.is_none() {
            return None;
        }
        self.said.push_str(id);
        if stripped.is_some() {
            self.said.push('.');
        }
        self.at = end;
        Some(id.to_owned())
    }

    fn exact_end(&self) -> usize {
        let mut end = self.at;
        while let Some((_, gap)) = self.text.get(end)
            && (end == self.at || gap == Gap::None)
        {
            end += 1;
        }
        end
    }

    /// Where an id of running text ends, and that is a guess only where a line break stands inside it.
    ///
    /// If the sentence is a string, the id goes on to the closing quote. Otherwise a line that does not end in the
    /// sentence's dot goes on in the next one if that is a single word which does. In all other cases the id ends with
    /// its line.
    fn running_end(&self, dot: Dot) -> Option<usize> {
        let mut ends: Vec<usize> = Vec::new();
        let mut start = self.at;
        while ends.len() < MAX_PARTS && !self.goes_on_at(start) {
            let end = self.run_end(start, is_id_byte);
            if end == start || end - self.at > MAX_ID {
                break;
            }
            ends.push(end);
            match self.text.get(end) {
                Some((_, Gap::Line)) => start = end,
                _ => break,
            }
        }
        let first = *ends.first()?;
        let ends_in_dot = |end: usize| {
            let last = end.checked_sub(1).and_then(|last| self.text.get(last));
            matches!(last, Some((b'.', _)))
        };
        if self.is_closed_at(first) {
            return Some(first);
        }
        let closing = ends
            .iter()
            .find(|end| self.is_closed_at(**end) && (dot == Dot::Perhaps || ends_in_dot(**end)));
        let dotted = || match dot {
            Dot::Always => ends.iter().find(|end| ends_in_dot(**end)),
            Dot::Perhaps => None,
        };
        Some(closing.or_else(dotted).copied().unwrap_or(first))
    }

    /// Whether the sentence goes on at `at` behind its id, which only E14 does; an escaped line break may stand between.
    fn goes_on_at(&self, at: usize) -> bool {
        const NEXT: &str = "Remove duplicate items";
        let mut next = at;
        while let Some((b'\\', _)) = self.text.get(next) {
            next += 1;
        }
        self.text.skip(next, NEXT).is_some()
            || next > at
                && self
                    .text
                    .skip(next, "n")
                    .is_some_and(|next| self.text.skip(next, NEXT).is_some())
    }

    /// Whether the string that the sentence stands in ends at `at`.
    fn is_closed_at(&self, at: usize) -> bool {
        let rest = self.text.bytes().get(at..).unwrap_or(&[]);
        let next = rest.iter().find(|byte| **byte != b'\\').copied();
        self.quote.is_some() && next == self.quote
    }

    /// How many dots behind an id are not the id's: one ends the sentence, and a text that quotes the sentence without
    /// quotes may have put its own behind it (`call_X.. Please verify your settings`, the TypeScript Codex).
    fn dots(&self, end: usize) -> usize {
        let whole = self.source == Source::Exact || self.is_closed_at(end) || self.goes_on_at(end);
        if whole { 1 } else { 2 }
    }
}

/// Characters of ids that were seen in reality, and a few more that no sentence puts behind an id.
///
/// `|` joins call id and item id in some clients.
pub(super) fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'.' | b':' | b'/' | b'-' | b'|' | b'+' | b'=' | b'@' | b'~'
        )
}
