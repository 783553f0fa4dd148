//! Where a value ends that may be torn, and may stand in JSON inside strings of JSON.
//!
//! A quote of JSON that stands in a string of JSON is written `\"`, one level deeper `\\\"`; some programs write
//! `\u0022`. The number of backslashes tells the level of any quote, so that no text around it has to be parsed.

use super::names::is_name_byte;

/// Deeper levels are not looked into.
pub(super) const DEEPEST: u32 = 6;

/// The escape that some programs write in place of a quote, behind its backslash.
pub(super) const UNICODE_QUOTE: &[u8] = b"u0022";

/// The level of a quote behind `run` backslashes: 0 for the outermost JSON. `None` if it is no quote at all.
pub(super) fn level(run: usize, unicode: bool) -> Option<u32> {
    if !unicode {
        return Some(run.trailing_ones());
    }
    if run == 0 {
        return None;
    }
    let before = run.trailing_zeros() + 1;
    Some(before + run.checked_shr(before).unwrap_or(0).trailing_ones())
}

/// How many of `run` backslashes before a quote of this level belong to it; the others are text before it.
pub(super) fn own(run: usize, level: u32) -> usize {
    run & ((1 << level) - 1)
}

/// How many backslashes stand directly before `at`, no further back than `limit`.
pub(super) fn backslashes(bytes: &[u8], at: usize, limit: usize) -> usize {
    let before = bytes.get(limit..at).unwrap_or(&[]);
    before.iter().rev().take_while(|it| **it == b'\\').count()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A string; its content is the value.
    Text,
    /// An array or object.
    Nest { depth: usize, in_text: bool },
    /// A number, or what begins as one.
    Number,
    /// Text without spaces and quotes: a parameter, a token behind `Bearer`.
    Word,
    /// What is known to end here.
    Known(usize),
    /// All up to the end of the line.
    Line,
}

/// A value whose end is looked for, and can be looked for again when more bytes are there.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// Where it begins; for a string, behind its quote.
    pub(super) start: usize,
    /// How quotes are written at its level.
    pub(super) quote: Vec<u8>,
    kind: Kind,
    level: u32,
    /// What is looked at next.
    at: usize,
    /// The backslashes directly before that.
    run: usize,
    /// Whether only line ends stand between the last line end and that.
    blank: bool,
}

/// Where a value ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Behind its last byte.
    pub(super) at: usize,
    /// How many backslashes of the quote behind it are missing, because they were let go with what was before.
    pub(super) missing: usize,
}

/// What a quote is to the value it was found in.
enum Quote {
    /// It belongs to a string around the value, which ends here.
    Outer,
    /// It is of the value's own level; so many backslashes are part of it.
    Own(usize),
    /// It is part of a text.
    Inner,
    /// More bytes are needed to tell.
    Unknown,
}

impl Value {
    fn new(kind: Kind, start: usize, level: u32, quote: &[u8]) -> Self {
        Self {
            start,
            quote: quote.to_vec(),
            kind,
            level,
            at: start,
            run: 0,
            blank: false,
        }
    }

    /// The value that begins at `at`, which is behind its quote if it is a string.
    pub(super) fn text(at: usize, level: u32, quote: &[u8]) -> Self {
        Self::new(Kind::Text, at, level, quote)
    }

    /// The array, object or number that begins with the byte at `at`, if one does.
    pub(super) fn other(first: u8, at: usize, level: u32, quote: &[u8]) -> Option<Self> {
        let kind = match first {
            b'[' | b'{' => Kind::Nest {
                depth: 0,
                in_text: false,
            },
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => return None,
        };
        Some(Self::new(kind, at, level, quote))
    }

    /// The word that begins at `at`.
    pub(super) fn word(at: usize) -> Self {
        Self::new(Kind::Word, at, 0, b"")
    }

    /// The word of a length that is known.
    pub(super) fn known(at: usize, length: usize) -> Self {
        Self::new(Kind::Known(at + length), at, 0, b"")
    }

    /// The rest of the line from `at` on.
    pub(super) fn line(at: usize) -> Self {
        Self::new(Kind::Line, at, 0, b"")
    }

    /// Up to where its end was looked for.
    pub(super) fn looked_at(&self) -> usize {
        self.at
    }

    /// Whether it is a string.
    pub(super) fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }

    /// Whether a placeholder in its place must bring its own quotes.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self.kind, Kind::Nest { .. } | Kind::Number)
    }

    /// How often its content is escaped.
    pub(super) fn escapes(&self) -> u32 {
        match self.kind {
            Kind::Text => self.level + 1,
            Kind::Nest { .. } | Kind::Number => self.level,
            Kind::Word | Kind::Known(_) | Kind::Line => 0,
        }
    }

    /// Moves it by so many bytes towards the beginning, because that many were let go.
    pub(super) fn shift(&mut self, bytes: usize) {
        self.start = self.start.saturating_sub(bytes);
        self.at = self.at.saturating_sub(bytes);
    }

    /// Looks for the end; `None` if more bytes are needed. `ended` says that there are none.
    pub(super) fn end(&mut self, bytes: &[u8], ended: bool) -> Option<End> {
        while let Some(&byte) = bytes.get(self.at) {
            if self.run == 0 && matches!(self.kind, Kind::Text) {
                let rest = bytes.get(self.at..).unwrap_or(&[]);
                let quoted = memchr::memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len());
                let carriage = memchr::memchr(b'\r', rest.get(..quoted).unwrap_or(&[]));
                if let Some(skip) = Some(carriage.unwrap_or(quoted)).filter(|it| *it > 0) {
                    self.at += skip;
                    continue;
                }
            }
            let here = Some(End {
                at: self.at,
                missing: 0,
            });
            match self.kind {
                Kind::Word if !is_word(byte) => return here,
                Kind::Number if !(is_name_byte(byte) || byte == b'+') => return here,
                Kind::Line if matches!(byte, b'\n' | b'\r') => return here,
                Kind::Known(end) if self.at >= end => return here,
                Kind::Word | Kind::Known(_) | Kind::Number | Kind::Line => {}
                Kind::Text => match self.quote_at(bytes, byte, ended) {
                    Some(Quote::Outer) => return here,
                    Some(Quote::Own(own)) => {
                        return Some(End {
                            at: self.at.saturating_sub(own),
                            missing: own.saturating_sub(self.at),
                        });
                    }
                    Some(Quote::Unknown) => return None,
                    // no string of JSON goes over a line end
                    None if matches!(byte, b'\n' | b'\r') => return here,
                    Some(Quote::Inner) | None => {}
                },
                Kind::Nest { depth, in_text } => {
                    match self.quote_at(bytes, byte, ended) {
                        Some(Quote::Outer) => return here,
                        Some(Quote::Own(_)) => {
                            self.kind = Kind::Nest {
                                depth,
                                in_text: !in_text,
                            };
                        }
                        Some(Quote::Unknown) => return None,
                        Some(Quote::Inner) => {}
                        None => {
                            if matches!(byte, b'\n' | b'\r')
                                && (in_text || self.level > 0 || (self.blank && byte == b'\n'))
                            {
                                return here;
                            }
                            if !in_text && self.nest(depth, byte) {
                                self.at += 1;
                                return Some(End {
                                    at: self.at,
                                    missing: 0,
                                });
                            }
                        }
                    }
                    self.blank = byte == b'\n' || self.blank && byte == b'\r';
                }
            }
            self.run = if byte == b'\\' { self.run + 1 } else { 0 };
            self.at += 1;
        }
        ended.then_some(End {
            at: bytes.len(),
            missing: 0,
        })
    }

    /// Counts a bracket; whether it closes the value.
    fn nest(&mut self, depth: usize, byte: u8) -> bool {
        let depth = match byte {
            b'[' | b'{' => depth + 1,
            b']' | b'}' => depth.saturating_sub(1),
            _ => return false,
        };
        self.kind = Kind::Nest {
            depth,
            in_text: false,
        };
        depth == 0
    }

    /// What the quote at the present place is; `None` if there is none.
    fn quote_at(&self, bytes: &[u8], byte: u8, ended: bool) -> Option<Quote> {
        let unicode = match byte {
            b'"' => false,
            b'u' if self.run > 0 => {
                let rest = bytes.get(self.at..).unwrap_or(&[]);
                if rest.len() < UNICODE_QUOTE.len() && !ended && UNICODE_QUOTE.starts_with(rest) {
                    return Some(Quote::Unknown);
                }
                if !rest.starts_with(UNICODE_QUOTE) {
                    return None;
                }
                true
            }
            _ => return None,
        };
        let level = level(self.run, unicode)?;
        Some(match level.cmp(&self.level) {
            std::cmp::Ordering::Less => Quote::Outer,
            std::cmp::Ordering::Equal => Quote::Own(own(self.run, level)),
            std::cmp::Ordering::Greater => Quote::Inner,
        })
    }
}

/// Whether a byte can be part of a token, or of the value of a parameter.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=%:!*@$".contains(&byte)
}

/// The text behind so many levels of escapes, to compare values with. What is no escape stays.
pub(super) fn unescape(bytes: &[u8], levels: u32) -> Vec<u8> {
    let mut text = bytes.to_vec();
    for _ in 0..levels {
        if memchr::memchr(b'\\', &text).is_none() {
            break;
        }
        text = Decoded::new(&text).bytes;
    }
    text
}

/// The text of a string of JSON, and where each of its bytes comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoded {
    /// The text.
    pub(super) bytes: Vec<u8>,
    /// For each byte, where its spelling begins; then the end.
    pub(super) from: Vec<usize>,
}

impl Decoded {
    /// Reads what stands between the quotes of a string. What is no escape stays as it is.
    pub(super) fn new(raw: &[u8]) -> Self {
        let mut text = Self::default();
        let mut at = 0;
        while let Some(&byte) = raw.get(at) {
            let (length, decoded) = match (byte, raw.get(at + 1)) {
                (b'\\', Some(next)) => escape(*next, raw, at),
                _ => (1, Some(char::from(byte)).filter(char::is_ascii)),
            };
            let mut buffer = [0; 4];
            let spelled: &[u8] = match decoded {
                Some(c) => c.encode_utf8(&mut buffer).as_bytes(),
                None => raw.get(at..at + length).unwrap_or(&[]),
            };
            text.bytes.extend_from_slice(spelled);
            text.from.extend(spelled.iter().map(|_| at));
            at += length;
        }
        text.from.push(raw.len());
        text
    }
}

/// The length of the escape at `at` and its character, `None` where it is none.
fn escape(next: u8, raw: &[u8], at: usize) -> (usize, Option<char>) {
    let simple = |c| (2, Some(c));
    match next {
        b'"' | b'\\' | b'/' => simple(char::from(next)),
        b'n' => simple('\n'),
        b't' => simple('\t'),
        b'r' => simple('\r'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'u' => match (hex(raw, at + 2), hex(raw, at + 8)) {
            (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000))
                if raw.get(at + 6..at + 8) == Some(b"\\u") =>
            {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (12, char::from_u32(code))
            }
            (Some(code), _) => (6, char::from_u32(code)),
            (None, _) => (1, None),
        },
        _ => (1, None),
    }
}

fn hex(raw: &[u8], at: usize) -> Option<u32> {
    let digits = std::str::from_utf8(raw.get(at..at + 4)?).ok()?;
    if !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(mut value: Value, text: &str) -> usize {
        let at_once = value.clone().end(text.as_bytes(), true).unwrap();
        // the same one byte after another
        for so_far in 0..=text.len() {
            if let Some(end) = value.end(&text.as_bytes()[..so_far], false) {
                assert_eq!(end, at_once, "{text}");
                return end.at;
            }
        }
        at_once.at
    }

    #[test]
    fn backslashes_tell_the_level() {
        let plain: Vec<_> = [0, 1, 3, 7, 2, 5].map(|run| level(run, false)).into();
        assert_eq!(
            plain,
            [Some(0), Some(1), Some(2), Some(3), Some(0), Some(1)]
        );
        let unicode: Vec<_> = [0, 1, 2, 4, 3].map(|run| level(run, true)).into();
        assert_eq!(unicode, [None, Some(1), Some(2), Some(3), Some(2)]);
        assert_eq!((own(5, 1), own(3, 2), own(2, 0)), (1, 3, 0));
    }

    #[test]
    fn strings_end_at_their_own_quote() {
        assert_eq!(end(Value::text(0, 0, b""), r#"ab\"c\\","#), 7);
        assert_eq!(end(Value::text(0, 1, b""), r#"ab\\\"c\",\"d"#), 7);
        assert_eq!(end(Value::text(0, 1, b""), r#"ab\\\\\","#), 6);
        assert_eq!(end(Value::text(0, 1, b""), r"ab\u0022,"), 2);
        // the string around it ends first
        assert_eq!(end(Value::text(0, 1, b""), r#"torn","x""#), 4);
        assert_eq!(end(Value::text(0, 0, b""), "torn\n\ndata: \"x\""), 4);
        assert_eq!(end(Value::text(0, 0, b""), "torn"), 4);
    }

    #[test]
    fn brackets_in_strings_are_text() {
        let nest = |text: &str| end(Value::other(text.as_bytes()[0], 0, 0, b"").unwrap(), text);
        assert_eq!(nest(r#"{"a":["}",1]},2"#), 13);
        assert_eq!(nest("[\n1,\n2]\n]"), 7);
        assert_eq!(nest("[1,\r\n\r\n2]"), 6);
        assert_eq!(nest("-1.5e3,"), 6);
        assert_eq!(
            end(Value::other(b'{', 0, 1, b"").unwrap(), r#"{\"a\":1"}"#),
            8
        );
    }

    #[test]
    fn decoded_text_knows_where_it_comes_from() {
        let text = Decoded::new(br"a\u00e9\ud83d\ude00\n\q\ud800");
        assert_eq!(text.bytes, "aé😀\n\\q\\ud800".as_bytes());
        assert_eq!(text.from.first(), Some(&0));
        assert_eq!(text.from.get(1..4), Some(&[1, 1, 7][..]));
        assert_eq!(text.from.len(), text.bytes.len() + 1);
        assert_eq!(unescape(br#"a\\\"b"#, 2), b"a\"b");
    }
}
