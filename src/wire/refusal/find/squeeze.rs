//! A text without its blanks, so that no line break of a terminal can hide a sentence.
//!
//! A terminal breaks a line where its width ends, in the middle of a word if need be (responses-api.md 1.4, Codex Rust
//! text). Where the blanks are taken out, a sentence reads the same however it was broken; what stood between two bytes
//! is kept beside them, because an unquoted id ends at the next blank.

/// What stood before a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// Nothing: the byte follows the one before it.
    None,
    /// Blanks within a line.
    Blank,
    /// One line break: perhaps the width of a terminal.
    Line,
    /// An empty line: no terminal puts one inside a sentence.
    Paragraph,
}

impl Gap {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Line, Self::Line) => Self::Paragraph,
            _ => self.max(other),
        }
    }
}

/// The bytes of a text that are no blanks, each with the gap before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Squeezed {
    bytes: Vec<u8>,
    gaps: Vec<Gap>,
}

impl Squeezed {
    /// Takes the blanks, frame characters and colour sequences out of `text`.
    pub(super) fn new(text: &str) -> Self {
        let mut squeezed = Self {
            bytes: Vec::with_capacity(text.len()),
            gaps: Vec::with_capacity(text.len()),
        };
        let mut gap = Gap::None;
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '\u{1b}' => skip_sequence(&mut chars),
                _ => squeezed.take(char, &mut gap),
            }
        }
        squeezed
    }

    fn take(&mut self, char: char, gap: &mut Gap) {
        if let Some(blank) = blank(char) {
            *gap = gap.and(blank);
            return;
        }
        let mut buffer = [0; 4];
        for byte in char.encode_utf8(&mut buffer).bytes() {
            self.bytes.push(byte);
            self.gaps.push(*gap);
            *gap = Gap::None;
        }
    }

    /// The text with one level of escapes resolved, JSON's and Rust's alike; `None` if it has none.
    pub(super) fn unescape(&self) -> Option<Self> {
        memchr::memchr(b'\\', &self.bytes)?;
        let mut plain = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            gaps: Vec::with_capacity(self.bytes.len()),
        };
        let (mut at, mut gap, mut changed) = (0, Gap::None, false);
        while let Some((byte, before)) = self.get(at) {
            gap = gap.and(before);
            let escape = (byte == b'\\').then(|| self.escape(at + 1)).flatten();
            if let Some((char, end)) = escape {
                changed = true;
                at = end;
                plain.take(char, &mut gap);
            } else {
                at += 1;
                plain.bytes.push(byte);
                plain.gaps.push(gap);
                gap = Gap::None;
            }
        }
        changed.then_some(plain)
    }

    /// What the escape behind a backslash stands for, and where it ends.
    fn escape(&self, at: usize) -> Option<(char, usize)> {
        let (letter, _) = self.get(at)?;
        let char = match letter {
            b'n' => '\n',
            b'r' | b't' => ' ',
            b'"' | b'\'' | b'\\' | b'/' => char::from(letter),
            b'u' => {
                let digits = self.bytes.get(at + 1..at + 5)?;
                let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
                return Some((char::from_u32(code)?, at + 5));
            }
            _ => return None,
        };
        Some((char, at + 1))
    }

    /// The text again, with one space for every gap.
    pub(super) fn joined(&self) -> String {
        let mut text = Vec::with_capacity(self.bytes.len() + self.bytes.len() / 4);
        for (byte, gap) in self.bytes.iter().zip(&self.gaps) {
            if *gap != Gap::None && !text.is_empty() {
                text.push(b' ');
            }
            text.push(*byte);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The byte at `at` and the gap before it.
    pub(super) fn get(&self, at: usize) -> Option<(u8, Gap)> {
        Some((*self.bytes.get(at)?, *self.gaps.get(at)?))
    }

    /// The bytes from `start` to `end` as text.
    pub(super) fn text(&self, start: usize, end: usize) -> String {
        String::from_utf8_lossy(self.bytes.get(start..end).unwrap_or(&[])).into_owned()
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the text stands on one line.
    pub(super) fn is_one_line(&self) -> bool {
        self.gaps.iter().all(|gap| *gap < Gap::Line)
    }

    /// Where `words`, without their spaces, stand from `at` on: the position behind them.
    pub(super) fn skip(&self, at: usize, words: &str) -> Option<usize> {
        words
            .bytes()
            .filter(|byte| *byte != b' ')
            .try_fold(at, |at, byte| {
                (self.bytes.get(at) == Some(&byte)).then_some(at + 1)
            })
    }

    /// All places where `words` begin.
    pub(super) fn places(&self, words: &str) -> Vec<usize> {
        let needle: Vec<u8> = words.bytes().filter(|byte| *byte != b' ').collect();
        memchr::memmem::find_iter(&self.bytes, &needle).collect()
    }
}

/// The gap a character makes, if it is one that only separates.
fn blank(char: char) -> Option<Gap> {
    match char {
        '\n' => Some(Gap::Line),
        // the frame Codex draws, and marks that show nothing
        '│' | '┃' | '║' | '▌' | '\u{feff}' | '\u{200b}' => Some(Gap::Blank),
        _ if char.is_whitespace() || char.is_control() => Some(Gap::Blank),
        _ => None,
    }
}

/// Passes over the rest of a terminal's control sequence (`ESC [ … letter`).
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    let mut ahead = chars.clone();
    if ahead.next() != Some('[') {
        return;
    }
    // a real sequence is short; anything longer is text behind a stray escape
    for _ in 0..32 {
        match ahead.next() {
            Some('0'..='9' | ';' | ':' | '?') => {}
            Some(_) => {
                *chars = ahead;
                return;
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_colours_and_breaks_become_gaps() {
        use Gap::{Blank, Line, None, Paragraph};
        let squeezed = Squeezed::new("\u{1b}[31mNo\u{1b}[0m to  │\n│ol\n\nx");
        assert_eq!(squeezed.bytes(), b"Notoolx");
        let gaps: Vec<Gap> = (0..7).map(|at| squeezed.get(at).unwrap().1).collect();
        assert_eq!(gaps, [None, None, Blank, None, Line, None, Paragraph]);
        assert_eq!(squeezed.joined(), "No to ol x");
        assert!(!squeezed.is_one_line());
    }

    #[test]
    fn escapes_are_resolved_level_by_level() {
        let once = Squeezed::new(r#"a\\nb\"c\u0027 \d"#).unescape().unwrap();
        assert_eq!(once.bytes(), br#"a\nb"c'\d"#);
        let twice = once.unescape().unwrap();
        assert_eq!(twice.bytes(), br#"ab"c'\d"#);
        assert_eq!(twice.get(1), Some((b'b', Gap::Line)));
        assert!(twice.unescape().is_none());
    }
}
