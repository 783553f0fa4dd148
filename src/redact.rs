//! What must not reach the disk: keys, tokens, cookies, ids of accounts and machines.
//!
//! A [`Redactor`] replaces values by `<redacted:N>`, equal values by the same one, and leaves every other byte as it is.
//! Which values: those under names that promise a secret, in headers, in JSON, in JSON inside strings of JSON, in the
//! queries and users of URLs; and what the user's own patterns match. `docs/format.md` says what is hidden and what is
//! not. Ids that tell lanes, turns and calls apart stay.
//!
//! A [`Stream`] does the same to bytes that come in chunks, and keeps the chunks. It knows no file and no protocol.

mod lookout;
mod names;
mod patterns;
mod places;
mod scan;
mod stream;
mod value;

use std::borrow::Cow;
use std::ops::Range;

use regex::bytes::Regex;

use crate::ids::HashInterner;
use scan::Found;
use value::{End, Value, unescape};

pub use lookout::{Lookout, Shape, Sighting};
pub use stream::{MAX_CHUNKS, MAX_HELD, Stream};

/// What is hidden beside the rules, and what is not.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whatever these match is hidden too, wherever it stands.
    pub patterns: Vec<Regex>,
    /// The names of headers to which the rules do not apply; patterns still do.
    pub keep_headers: Vec<String>,
    /// The highest number among the placeholders that a file has already, so that none is given out twice.
    pub taken: u32,
}

/// Replaces the secrets of one file.
///
/// Of a secret no more is held than a hash.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    options: Options,
    values: HashInterner,
}

/// A text after its secrets were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The text; borrowed if it held none.
    pub bytes: Cow<'a, [u8]>,
    /// Where values were replaced: the keys that lead there, joined by dots. Each place once, and not more than 64.
    pub places: Vec<String>,
}

/// One replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    range: Range<usize>,
    with: Vec<u8>,
    /// Where its name stands; empty for the match of a pattern.
    name: Range<usize>,
}

impl Redactor {
    /// A redactor for one file.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            values: HashInterner::default(),
        }
    }

    /// Whether there are patterns beside the rules.
    pub fn has_patterns(&self) -> bool {
        !self.options.patterns.is_empty()
    }

    /// How many different secrets were found.
    pub fn secrets(&self) -> usize {
        self.values.len()
    }

    /// The value of a header; borrowed if it is no secret and holds none.
    ///
    /// Cookies keep their names.
    pub fn header<'a>(&mut self, name: &str, value: &'a str) -> Cow<'a, str> {
        let bytes = value.as_bytes();
        let keep = &self.options.keep_headers;
        let edits = if keep.iter().any(|it| names::same_header(it, name)) {
            Vec::new()
        } else if names::is_cookie(name) {
            let only_first = !name.eq_ignore_ascii_case("cookie");
            self.cookies(bytes, only_first)
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            self.protocols(bytes)
        } else if names::is_header(name) {
            let all = 0..bytes.len();
            // the token is what is equal elsewhere
            let token = bytes.strip_prefix(b"Bearer ").unwrap_or(bytes);
            self.edit(bytes, all, token).into_iter().collect()
        } else {
            self.named(bytes)
        };
        self.finish_text(value, edits)
    }

    /// The path and query of a request; borrowed if it holds no secret.
    pub fn target<'a>(&mut self, target: &'a str) -> Cow<'a, str> {
        let edits = self.query(target.as_bytes());
        self.finish_text(target, edits)
    }

    /// A URL, which may name a user; borrowed if it holds no secret.
    pub fn url<'a>(&mut self, url: &'a str) -> Cow<'a, str> {
        self.target(url)
    }

    /// The arguments of a command: `--api-key X`, `--api-key=X`, `KEY=X`, headers, URLs and JSON among them.
    pub fn arguments<S: AsRef<str>>(&mut self, arguments: &[S]) -> Vec<String> {
        let mut follows = false;
        let mut redacted = Vec::new();
        for argument in arguments {
            let argument = argument.as_ref();
            let bytes = argument.as_bytes();
            let is_option = argument.starts_with('-');
            let (name, value) = match memchr::memchr(b'=', bytes) {
                Some(at) => bytes.split_at(at),
                None => (bytes, &[][..]),
            };
            let dashes = name.iter().take_while(|it| **it == b'-').count();
            let tells = names::is_key(name.get(dashes..).unwrap_or(&[]));
            let edits = if follows && !is_option {
                self.edit(bytes, 0..bytes.len(), bytes)
                    .into_iter()
                    .collect()
            } else if tells && !value.is_empty() {
                let range = name.len() + 1..bytes.len();
                let secret = bytes.get(range.clone()).unwrap_or(&[]);
                self.edit(bytes, range, secret).into_iter().collect()
            } else {
                self.query(bytes)
            };
            follows = is_option && tells && value.is_empty();
            redacted.push(self.finish_text(argument, edits).into_owned());
        }
        redacted
    }

    /// A whole body, with the places where something was replaced.
    pub fn body<'a>(&mut self, body: &'a [u8]) -> Redacted<'a> {
        let edits = self.named(body);
        let edits = self.with_patterns(body, edits);
        let places = places::of(body, &edits);
        Redacted {
            bytes: apply(body, &edits),
            places,
        }
    }

    /// Any other whole text: a message of a WebSocket, a line of a log.
    pub fn text<'a>(&mut self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let edits = self.named(text);
        let edits = self.with_patterns(text, edits);
        apply(text, &edits)
    }

    /// The JSON of a member of an object, whose key may tell.
    pub fn member<'a>(&mut self, key: &str, json: &'a str) -> Cow<'a, str> {
        let mut whole = serde_json::to_string(key).unwrap_or_default();
        whole.push(':');
        let before = whole.len();
        whole.push_str(json);
        let mut edits = self.named(whole.as_bytes());
        edits.retain_mut(|edit| {
            let inside = edit.range.start >= before;
            if inside {
                edit.range = edit.range.start - before..edit.range.end - before;
            }
            inside
        });
        self.finish_text(json, edits)
    }

    /// What the rules say of a whole text.
    fn named(&mut self, bytes: &[u8]) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut at = 0;
        while let Found::Value { mut value, name } = scan::next(bytes, at, true) {
            let Some(end) = value.end(bytes, true) else {
                break;
            };
            edits.extend(self.replace(bytes, &value, end, name));
            at = end.at.max(at + 1);
        }
        edits
    }

    /// The replacement of a value that was found.
    fn replace(
        &mut self,
        bytes: &[u8],
        value: &Value,
        end: End,
        name: Range<usize>,
    ) -> Option<Edit> {
        let range = value.start..end.at;
        let content = unescape(bytes.get(range.clone())?, value.escapes());
        let mut edit = self.edit(bytes, range, &content)?;
        edit.name = name;
        if value.is_bare() {
            edit.with = [&value.quote[..], &edit.with, &value.quote].concat();
        }
        Some(edit)
    }

    /// Replaces a range by the placeholder of a secret, if it is none already.
    fn edit(&mut self, bytes: &[u8], range: Range<usize>, secret: &[u8]) -> Option<Edit> {
        let there = bytes.get(range.clone())?;
        if there.is_empty() || is_placeholder(there) {
            return None;
        }
        Some(Edit {
            range,
            with: self.placeholder(secret),
            name: 0..0,
        })
    }

    /// The placeholder of a secret.
    fn placeholder(&mut self, secret: &[u8]) -> Vec<u8> {
        let number = u64::from(self.options.taken) + u64::from(self.values.intern(secret)) + 1;
        format!("<redacted:{number}>").into_bytes()
    }

    fn cookies(&mut self, bytes: &[u8], only_first: bool) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut at = 0;
        for pair in bytes.split(|it| *it == b';') {
            let value = memchr::memchr(b'=', pair).map_or(0, |it| it + 1);
            let value = value + spaces(pair.get(value..).unwrap_or(&[]));
            let range = at + value..at + pair.len();
            let secret = bytes.get(range.clone()).unwrap_or(&[]);
            edits.extend(self.edit(bytes, range, secret));
            at += pair.len() + 1;
            if only_first {
                break;
            }
        }
        edits
    }

    /// Browsers send their key among the names of protocols (`openai-insecure-api-key.sk-…`).
    fn protocols(&mut self, bytes: &[u8]) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut at = 0;
        for name in bytes.split(|it| *it == b',') {
            let begin = spaces(name);
            let text = name.get(begin..).unwrap_or(&[]);
            for prefix in [
                "openai-insecure-api-key.",
                "openai-organization.",
                "openai-project.",
            ] {
                if text.starts_with(prefix.as_bytes()) {
                    let range = at + begin + prefix.len()..at + name.len();
                    let secret = bytes.get(range.clone()).unwrap_or(&[]);
                    edits.extend(self.edit(bytes, range, secret));
                }
            }
            at += name.len() + 1;
        }
        edits
    }

    /// The parameters of a query, and what the rules say of the rest.
    fn query(&mut self, bytes: &[u8]) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut at = memchr::memchr2(b'?', b'#', bytes).map_or(bytes.len(), |it| it + 1);
        let query = bytes.get(at..).unwrap_or(&[]);
        for pair in query.split(|it| matches!(it, b'&' | b'?' | b'#')) {
            if let Some(equals) = memchr::memchr(b'=', pair)
                && names::is_parameter(pair.get(..equals).unwrap_or(&[]), false)
            {
                let range = at + equals + 1..at + pair.len();
                let secret = bytes.get(range.clone()).unwrap_or(&[]);
                edits.extend(self.edit(bytes, range, secret));
            }
            at += pair.len() + 1;
        }
        let mut others = self.named(bytes);
        others.retain(|it| !edits.iter().any(|edit| overlap(&it.range, &edit.range)));
        edits.extend(others);
        edits.sort_by_key(|it| it.range.start);
        edits
    }

    /// Adds what the patterns match outside of these replacements.
    fn with_patterns(&mut self, bytes: &[u8], mut edits: Vec<Edit>) -> Vec<Edit> {
        if self.has_patterns() {
            let taken: Vec<Range<usize>> = edits.iter().map(|it| it.range.clone()).collect();
            for hit in patterns::find(&self.options.patterns, bytes, &taken) {
                let with = self.placeholder(&hit.value);
                edits.push(Edit {
                    range: hit.range,
                    with: [&hit.quote[..], &with, &hit.quote].concat(),
                    name: 0..0,
                });
            }
            edits.sort_by_key(|it| it.range.start);
        }
        edits
    }

    fn finish_text<'a>(&mut self, text: &'a str, edits: Vec<Edit>) -> Cow<'a, str> {
        let edits = self.with_patterns(text.as_bytes(), edits);
        match apply(text.as_bytes(), &edits) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

fn overlap(left: &Range<usize>, right: &Range<usize>) -> bool {
    left.start < right.end && right.start < left.end
}

fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|it| **it == b' ').count()
}

/// A text with replacements, which are in order.
fn apply<'a>(text: &'a [u8], edits: &[Edit]) -> Cow<'a, [u8]> {
    if edits.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        out.extend_from_slice(text.get(at..edit.range.start).unwrap_or(&[]));
        out.extend_from_slice(&edit.with);
        at = edit.range.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or(&[]));
    Cow::Owned(out)
}

const MARK: &[u8] = b"<redacted";

/// Where placeholders stand in a text: `<redacted:7>`, or `<redacted>` as other programs write.
fn placeholders(text: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    memchr::memmem::find_iter(text, MARK).filter_map(|start| {
        let rest = text.get(start + MARK.len()..)?;
        let digits = match rest.strip_prefix(b":") {
            Some(rest) => 1 + rest.iter().take_while(|it| it.is_ascii_digit()).count(),
            None => 0,
        };
        let end = start + MARK.len() + digits;
        (digits != 1 && digits < 12 && text.get(end) == Some(&b'>')).then_some(start..end + 1)
    })
}

/// Whether a value is a placeholder, and nothing else.
pub fn is_placeholder(value: &[u8]) -> bool {
    placeholders(value).next() == Some(0..value.len())
}

/// The highest number among the placeholders of a text.
pub fn highest(text: &[u8]) -> u32 {
    placeholders(text)
        .filter_map(|it| {
            let number = text.get(it.start + MARK.len() + 1..it.end - 1)?;
            std::str::from_utf8(number).ok()?.parse().ok()
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
