//! Finds values that are to be hidden, in any text: JSON, JSON inside strings of JSON, event streams, torn bodies.
//!
//! Nothing is parsed as a whole. One pass looks for the fragments that every sensitive name contains; only around those
//! it is looked whether a key, a parameter or a header of a command stands there. What a text without them costs is that
//! pass.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input};

use super::names::{self, FRAGMENTS, LONGEST, is_name_byte};
use super::value::{DEEPEST, UNICODE_QUOTE, Value, backslashes, is_word, level, own};

/// How far behind a key the beginning of its value may be, and what shows an object to be a schema.
const REACH: usize = 1024;

/// An ampersand as some programs write it in strings, behind its backslash.
const UNICODE_AND: &[u8] = b"u0026";

/// What the values of a schema can be.
const TYPES: [&[u8]; 7] = [
    b"string", b"number", b"integer", b"boolean", b"object", b"array", b"null",
];

/// Longer user names and passwords in a URL are none.
const LONGEST_USER: usize = 256;

/// A user of a URL without password that is as long as this is a token.
const TOKEN: usize = 20;

/// What comes next in a text.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing. With the bytes that follow, what begins at `hold` may become something.
    Nothing {
        /// Nothing before it matters any more.
        hold: usize,
    },
    /// A value.
    Value {
        /// Its end is to be looked for.
        value: Value,
        /// Its name.
        name: Range<usize>,
    },
}

/// Why there is no value.
enum Stop {
    /// There is none; it can be looked further from here.
    None,
    /// The text ends before it can be told.
    More,
}

static FINDER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(FRAGMENTS)
        .ok()
});

/// Where the next fragment stands.
fn fragment(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    if let Some(finder) = FINDER.as_ref() {
        let found = finder.find(Input::new(bytes).range(from.min(bytes.len())..))?;
        return Some(found.range());
    }
    (from..bytes.len()).find_map(|at| {
        let rest = bytes.get(at..)?;
        let found = FRAGMENTS.iter().find(|it| {
            let begin = rest.get(..it.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(it.as_bytes()))
        })?;
        Some(at..at + found.len())
    })
}

/// Returns the next value at or behind `from`. `ended` says that nothing follows the bytes.
pub(super) fn next(bytes: &[u8], from: usize, ended: bool) -> Found {
    let mut at = from;
    while let Some(found) = fragment(bytes, at) {
        let text = Text { bytes, from, ended };
        let name = text.name(&found, at);
        let result = if bytes.get(found.clone()) == Some(b"://") {
            at = found.end;
            text.user(found.end).map(|value| (value, found.clone()))
        } else if name.end - name.start > LONGEST {
            at = name.end;
            continue;
        } else {
            at = name.end.max(found.end);
            text.named(&name)
        };
        match result {
            Ok((value, name)) => return Found::Value { value, name },
            Err(Stop::More) if !ended => {
                let hold = text.begin(name.start);
                return Found::Nothing { hold };
            }
            Err(_) => {}
        }
    }
    let text = Text { bytes, from, ended };
    Found::Nothing {
        hold: if ended { bytes.len() } else { text.tail() },
    }
}

/// Where the string stands that is the value of the name around `at`, if that promises a credential: as a member of
/// JSON, or as a header's pair.
pub(super) fn credential(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let text = Text {
        bytes,
        from: 0,
        ended: true,
    };
    let run = text.name(&(at..at + 1), 0);
    let name = bytes.get(run.clone())?;
    if run.len() > LONGEST || !names::is_credential(name) {
        return None;
    }
    let pair = match text.before(run.start) {
        Some(b'"') if text.before(run.start - 1) == Some(b'[') && !name.contains(&b'.') => {
            let rest = bytes.get(run.end..)?.strip_prefix(b"\",")?;
            let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
            Some(Value::text(bytes.len() - rest.len(), 0, b""))
        }
        _ => None,
    };
    if let Some(mut value) = pair {
        let end = value.end(bytes, true)?.at;
        // a list of names is none of pairs
        return bytes
            .get(end..)?
            .starts_with(b"\"]")
            .then_some((value.start, end));
    }
    let mut value = text.named(&run).ok()?.0;
    if value.is_bare() {
        return None;
    }
    let end = value.end(bytes, true)?;
    Some((value.start, end.at))
}

struct Text<'a> {
    bytes: &'a [u8],
    /// What is before it is done with.
    from: usize,
    ended: bool,
}

impl Text<'_> {
    fn get(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn before(&self, at: usize) -> Option<u8> {
        if at > self.from {
            self.get(at - 1)
        } else {
            None
        }
    }

    /// The run of name bytes around a fragment.
    fn name(&self, fragment: &Range<usize>, from: usize) -> Range<usize> {
        let first = from.max(fragment.start.saturating_sub(LONGEST + UNICODE_QUOTE.len()));
        let before = self.bytes.get(first..fragment.start).unwrap_or(&[]);
        let before = before.iter().rev().take_while(|it| is_name_byte(**it));
        let rest = self.bytes.get(fragment.start..).unwrap_or(&[]);
        let behind = rest.iter().take_while(|it| is_name_byte(**it));
        fragment.start - before.count()..fragment.start + behind.count()
    }

    /// Where the quote or sign before a name begins.
    fn begin(&self, name: usize) -> usize {
        let quote = match self.before(name) {
            Some(b'"' | b'?' | b'&' | b'\\') => name - 1,
            _ => return name,
        };
        let limit = self.from.max(quote.saturating_sub(LONGEST));
        quote - backslashes(self.bytes, quote, limit)
    }

    /// From where on the end of the text may be the beginning of something.
    fn tail(&self) -> usize {
        let length = self.bytes.len();
        let first = self
            .from
            .max(length.saturating_sub(LONGEST + UNICODE_QUOTE.len()));
        let run = self.bytes.get(first..).unwrap_or(&[]);
        let name = length - run.iter().rev().take_while(|it| is_name_byte(**it)).count();
        let begin = self.begin(name);
        if begin < name {
            return begin;
        }
        let part = |whole: &str| {
            let whole = whole.as_bytes();
            (1..whole.len()).rev().find(|count| {
                let end = length
                    .checked_sub(*count)
                    .and_then(|at| self.bytes.get(at..));
                end.zip(whole.get(..*count))
                    .is_some_and(|(end, whole)| end.eq_ignore_ascii_case(whole))
            })
        };
        if let Some(count) = part("://") {
            return (length - count).max(self.from);
        }
        if part("authorization").is_some() {
            return name;
        }
        length
    }

    /// The user and password of a URL.
    fn user(&self, at: usize) -> Result<Value, Stop> {
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        let length = rest
            .iter()
            .take(LONGEST_USER)
            .position(|byte| !byte.is_ascii_graphic() || b"/?#@\"'\\<>`,()[]{}|".contains(byte));
        match length.and_then(|it| Some((it, rest.get(it)?))) {
            Some((length, b'@')) => {
                let user = rest.get(..length).unwrap_or(&[]);
                let password = memchr::memchr(b':', user).is_some_and(|it| it + 1 < user.len());
                if !password && length < TOKEN {
                    return Err(Stop::None);
                }
                Ok(Value::known(at, length))
            }
            None if !self.ended && rest.len() < LONGEST_USER => Err(Stop::More),
            _ => Err(Stop::None),
        }
    }

    /// The value of a name.
    fn named(&self, run: &Range<usize>) -> Result<(Value, Range<usize>), Stop> {
        if run.end == self.bytes.len() && !self.ended {
            return Err(Stop::More);
        }
        let mut name = run.clone();
        let mut sign = self.before(run.start);
        let mut quote = None;
        if sign == Some(b'\\') {
            let rest = self.bytes.get(run.clone()).unwrap_or(&[]);
            let limit = self.from.max(run.start.saturating_sub(LONGEST));
            let count = backslashes(self.bytes, run.start, limit);
            if rest.starts_with(UNICODE_QUOTE) {
                name.start += UNICODE_QUOTE.len();
                quote = level(count, true).map(|it| (it, run.start - own(count, it)));
            } else if rest.starts_with(UNICODE_AND) {
                name.start += UNICODE_AND.len();
                sign = Some(b'&');
            }
        } else if sign == Some(b'"') {
            let at = run.start - 1;
            let limit = self.from.max(at.saturating_sub(LONGEST));
            let count = backslashes(self.bytes, at, limit);
            quote = level(count, false).map(|it| (it, at - own(count, it)));
        }
        let text = self.bytes.get(name.clone()).unwrap_or(&[]);
        if let Some((level, start)) = quote.filter(|it| it.0 <= DEEPEST && names::is_key(text)) {
            let quote = self.bytes.get(start..name.start).unwrap_or(&[]);
            match self.behind(name.end, level).value(quote) {
                Err(Stop::None) => {}
                done => return done.map(|value| (value, name)),
            }
        }
        if matches!(sign, Some(b'?' | b'&'))
            && self.get(name.end) == Some(b'=')
            && names::is_parameter(text, true)
        {
            let mut reader = self.behind(name.end + 1, 0);
            return reader.word().map(|value| (value, name));
        }
        if names::is_authorization(text) {
            let mut reader = self.behind(name.end, 0);
            return reader.credentials().map(|value| (value, name));
        }
        Err(Stop::None)
    }

    fn behind(&self, at: usize, level: u32) -> Reader<'_> {
        Reader {
            bytes: self.bytes,
            at,
            last: at + REACH,
            level,
            ended: self.ended,
        }
    }
}

/// Reads on behind a name, at one level of escapes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    last: usize,
    level: u32,
    ended: bool,
}

/// What stands in a text next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Quote,
    Space,
    Byte(u8),
}

impl Reader<'_> {
    fn byte(&self, at: usize) -> Result<u8, Stop> {
        match self.bytes.get(at) {
            _ if at > self.last => Err(Stop::None),
            Some(byte) => Ok(*byte),
            None if self.ended => Err(Stop::None),
            None => Err(Stop::More),
        }
    }

    /// What comes next, and how long it is.
    fn sign(&self) -> Result<(Sign, usize), Stop> {
        let mut run = 0;
        while self.byte(self.at + run)? == b'\\' {
            run += 1;
        }
        let byte = self.byte(self.at + run)?;
        let quote = |unicode, length| match level(run, unicode) {
            Some(level) if level == self.level && own(run, level) == run => {
                Ok((Sign::Quote, run + length))
            }
            _ => Err(Stop::None),
        };
        match byte {
            b'"' => quote(false, 1),
            b'u' if run > 0 => {
                for (at, expected) in UNICODE_QUOTE.iter().enumerate() {
                    if self.byte(self.at + run + at)? != *expected {
                        return Err(Stop::None);
                    }
                }
                quote(true, UNICODE_QUOTE.len())
            }
            b'n' | b'r' | b't' if self.level > 0 && run == 1 << (self.level - 1) => {
                Ok((Sign::Space, run + 1))
            }
            _ if run > 0 => Err(Stop::None),
            b' ' => Ok((Sign::Space, 1)),
            b'\n' | b'\r' | b'\t' if self.level == 0 => Ok((Sign::Space, 1)),
            byte => Ok((Sign::Byte(byte), 1)),
        }
    }

    /// Passes over white space and returns what follows it, which is passed over too.
    fn token(&mut self) -> Result<Sign, Stop> {
        loop {
            let (sign, length) = self.sign()?;
            self.at += length;
            if sign != Sign::Space {
                return Ok(sign);
            }
        }
    }

    /// What is left of `"key": value` behind the key's text.
    fn value(mut self, quote: &[u8]) -> Result<Value, Stop> {
        if self.sign()?.0 != Sign::Quote {
            return Err(Stop::None);
        }
        self.token()?;
        if !matches!(self.token()?, Sign::Byte(b':' | b'=')) {
            return Err(Stop::None);
        }
        match self.token()? {
            Sign::Quote => Ok(Value::text(self.at, self.level, quote)),
            Sign::Byte(first) => {
                let start = self.at - 1;
                let value = Value::other(first, start, self.level, quote);
                if first == b'{' && self.schema()? {
                    return Err(Stop::None);
                }
                value.ok_or(Stop::None)
            }
            Sign::Space => Err(Stop::None),
        }
    }

    /// Whether the object whose brace was just read describes values of the name, as the schemas of tools do.
    fn schema(&mut self) -> Result<bool, Stop> {
        // what would be found only further behind is not waited for
        match self.member() {
            Err(Stop::None) => Ok(false),
            done => done,
        }
    }

    fn member(&mut self) -> Result<bool, Stop> {
        loop {
            if self.token()? != Sign::Quote {
                return Ok(false);
            }
            let start = self.at;
            while is_name_byte(self.byte(self.at)?) || self.byte(self.at)? == b'$' {
                self.at += 1;
            }
            let name = self.bytes.get(start..self.at).unwrap_or(&[]);
            if self.token()? != Sign::Quote || self.token()? != Sign::Byte(b':') {
                return Ok(false);
            }
            let value = self.token()?;
            match (name, value) {
                (b"type" | b"anyOf" | b"oneOf" | b"allOf" | b"enum", Sign::Byte(b'[')) => {
                    return Ok(true);
                }
                (b"$ref", Sign::Quote) => return Ok(true),
                (b"type", Sign::Quote) => {
                    let start = self.at;
                    while is_name_byte(self.byte(self.at)?) {
                        self.at += 1;
                    }
                    let name = self.bytes.get(start..self.at).unwrap_or(&[]);
                    return Ok(TYPES.contains(&name) && self.token()? == Sign::Quote);
                }
                (b"description" | b"title" | b"format" | b"pattern", Sign::Quote) => {
                    let mut text = Value::text(self.at, self.level, b"");
                    let window = self.bytes.get(..self.last.min(self.bytes.len()));
                    match text.end(window.unwrap_or(&[]), false) {
                        Some(end) => self.at = end.at,
                        None if self.bytes.len() > self.last || self.ended => return Ok(false),
                        None => return Err(Stop::More),
                    }
                    if self.token()? != Sign::Quote || self.token()? != Sign::Byte(b',') {
                        return Ok(false);
                    }
                }
                _ => return Ok(false),
            }
        }
    }

    /// A word, unless it is the name of a variable.
    fn word(&mut self) -> Result<Value, Stop> {
        let first = self.byte(self.at)?;
        if !is_word(first) || matches!(first, b'$' | b'%') {
            return Err(Stop::None);
        }
        Ok(Value::word(self.at))
    }

    /// What is left of `authorization: Bearer …` behind the name, in whatever quotes.
    fn credentials(&mut self) -> Result<Value, Stop> {
        let quotes = |byte| matches!(byte, b'"' | b'\'' | b'\\' | b' ');
        self.pass(quotes)?;
        if !matches!(self.byte(self.at)?, b':' | b'=') {
            return Err(Stop::None);
        }
        self.at += 1;
        self.pass(quotes)?;
        let start = self.at;
        while self.byte(self.at)?.is_ascii_alphabetic() && self.at < start + 8 {
            self.at += 1;
        }
        let scheme = self.bytes.get(start..self.at).unwrap_or(&[]);
        let known = [&b"bearer"[..], b"basic", b"token"];
        if self.byte(self.at)? != b' ' || !known.iter().any(|it| scheme.eq_ignore_ascii_case(it)) {
            return Err(Stop::None);
        }
        self.pass(|byte| byte == b' ')?;
        self.word()
    }

    fn pass(&mut self, which: impl Fn(u8) -> bool) -> Result<(), Stop> {
        let last = self.at + 16;
        while which(self.byte(self.at)?) {
            self.at += 1;
            if self.at > last {
                return Err(Stop::None);
            }
        }
        Ok(())
    }
}
