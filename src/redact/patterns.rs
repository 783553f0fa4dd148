//! What the user wants hidden beside the rules.
//!
//! A pattern is matched inside one line, and where the line is JSON, inside one of its strings as it reads without its
//! escapes, so that no match tears JSON apart. A number is replaced whole, by a string. What is a placeholder already is
//! never matched.

use std::ops::Range;

use regex::bytes::Regex;
use serde::de::IgnoredAny;

use super::value::{DEEPEST, Decoded, Value};

/// One match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Where it stands.
    pub(super) range: Range<usize>,
    /// What it says, without escapes.
    pub(super) value: Vec<u8>,
    /// How quotes are written, if its placeholder needs some.
    pub(super) quote: Vec<u8>,
}

/// Finds all matches in a whole text; those in `taken`, which is in order, are left out.
pub(super) fn find(patterns: &[Regex], text: &[u8], taken: &[Range<usize>]) -> Vec<Hit> {
    if patterns.is_empty() {
        return Vec::new();
    }
    let mut search = Search {
        patterns,
        hits: Vec::new(),
    };
    if is_json(text) {
        search.json(text, &Map::Offset(0), 0);
    } else {
        let mut from = 0;
        while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            search.line(rest.get(..length).unwrap_or(rest), from);
            from += length + 1;
        }
    }
    search.finish(taken)
}

/// Where in the whole text the bytes of a part come from.
enum Map {
    Offset(usize),
    Table(Vec<usize>),
}

impl Map {
    fn at(&self, at: usize) -> usize {
        match self {
            Self::Offset(offset) => offset + at,
            Self::Table(table) => table.get(at).or(table.last()).copied().unwrap_or(0),
        }
    }
}

struct Search<'p> {
    patterns: &'p [Regex],
    hits: Vec<Hit>,
}

impl Search<'_> {
    fn line(&mut self, line: &[u8], from: usize) {
        let data = line.strip_prefix(b"data:").unwrap_or(line);
        if is_json(data) {
            self.json(data, &Map::Offset(from + line.len() - data.len()), 0);
            return;
        }
        self.plain(line, &Map::Offset(from));
        // it may be a part of JSON
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'"', line.get(at..).unwrap_or(&[])) {
            at = self.string(line, at + found + 1, &Map::Offset(from), DEEPEST) + 1;
        }
    }

    /// Searches a text that is JSON.
    fn json(&mut self, text: &[u8], map: &Map, level: u32) {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if byte == b'"' {
                at = self.string(text, at + 1, map, level) + 1;
                continue;
            }
            let rest = text.get(at..).unwrap_or(&[]);
            let length = rest.iter().take_while(|it| is_scalar(**it)).count();
            let scalar = rest.get(..length).unwrap_or(&[]);
            if matches!(byte, b'-' | b'0'..=b'9') && self.matches(scalar) {
                let mut quote = vec![b'\\'; (1 << level) - 1];
                quote.push(b'"');
                self.hits.push(Hit {
                    range: map.at(at)..map.at(at + length),
                    value: scalar.to_vec(),
                    quote,
                });
            }
            at += length.max(1);
        }
    }

    fn matches(&self, text: &[u8]) -> bool {
        self.patterns
            .iter()
            .any(|it| it.find(text).is_some_and(|it| !it.is_empty()))
    }

    /// Searches the string whose content begins at `at`, and returns where it ends.
    fn string(&mut self, text: &[u8], at: usize, map: &Map, level: u32) -> usize {
        let mut value = Value::text(at, 0, b"");
        let end = value.end(text, true).map_or(text.len(), |it| it.at);
        let raw = text.get(at..end).unwrap_or(&[]);
        let (decoded, map) = if memchr::memchr(b'\\', raw).is_some() {
            let decoded = Decoded::new(raw);
            let table = decoded.from.iter().map(|it| map.at(at + it)).collect();
            (decoded.bytes, Map::Table(table))
        } else {
            let map = match map {
                Map::Offset(offset) => Map::Offset(offset + at),
                Map::Table(table) => Map::Table(table.get(at..=end).unwrap_or(&[]).to_vec()),
            };
            (raw.to_vec(), map)
        };
        if level < DEEPEST && matches!(decoded.first(), Some(b'{' | b'[')) && is_json(&decoded) {
            self.json(&decoded, &map, level + 1);
        } else {
            self.plain(&decoded, &map);
        }
        end
    }

    fn plain(&mut self, text: &[u8], map: &Map) {
        let mut from = 0;
        for taken in super::placeholders(text).chain(std::iter::once(text.len()..text.len())) {
            let piece = text.get(from..taken.start).unwrap_or(&[]);
            for found in self.patterns.iter().flat_map(|it| it.find_iter(piece)) {
                if !found.is_empty() {
                    self.hits.push(Hit {
                        range: map.at(from + found.start())..map.at(from + found.end()),
                        value: found.as_bytes().to_vec(),
                        quote: Vec::new(),
                    });
                }
            }
            from = taken.end;
        }
    }

    /// The matches in order, none over another and none over what is taken.
    fn finish(mut self, taken: &[Range<usize>]) -> Vec<Hit> {
        self.hits
            .sort_by_key(|hit| (hit.range.start, usize::MAX - hit.range.end));
        let mut kept: Vec<Hit> = Vec::new();
        let mut taken = taken.iter().peekable();
        for mut hit in self.hits {
            if let Some(last) = kept.last_mut()
                && hit.range.start < last.range.end
            {
                if hit.range.end <= last.range.end {
                    continue;
                }
                // what two patterns share is hidden once
                hit.range.start = last.range.end;
            }
            while taken.next_if(|it| it.end <= hit.range.start).is_some() {}
            // around what is taken
            let mut over = taken.clone();
            while let Some(other) = over.next_if(|it| it.start < hit.range.end) {
                if hit.range.start < other.start {
                    kept.push(Hit {
                        range: hit.range.start..other.start,
                        ..hit.clone()
                    });
                }
                hit.range.start = other.end;
            }
            if hit.range.start < hit.range.end {
                kept.push(hit);
            }
        }
        kept
    }
}

fn is_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
        && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Vec<String> {
        let patterns = [Regex::new(pattern).unwrap()];
        let hits = find(&patterns, text.as_bytes(), &[]);
        hits.into_iter()
            .map(|hit| String::from_utf8_lossy(&text.as_bytes()[hit.range]).into_owned())
            .collect()
    }

    #[test]
    fn a_match_stays_inside_one_string() {
        assert_eq!(
            found("secret.*", r#"{"a":"my secret is","b":"x"}"#),
            ["secret is"]
        );
        assert_eq!(found(".+", r#"{"a":[1,"x"]}"#), ["a", "1", "x"]);
        assert_eq!(found("345", r#"{"a":123456,"b":true}"#), ["123456"]);
        assert_eq!(
            found(
                "secret.*",
                "data: {\"a\":\"secret\",\"b\":1}\n\ndata: secret 2\n"
            ),
            ["secret", "secret 2"]
        );
    }

    #[test]
    fn escapes_are_looked_through_and_never_cut() {
        assert_eq!(found(r#"p"w"#, r#"{"a":"p\"w"}"#), [r#"p\"w"#]);
        assert_eq!(found(r"C:\\U\w+", r#"{"a":"C:\\User x"}"#), [r"C:\\User"]);
        assert_eq!(found("n", r#"{"a":"\n"}"#), Vec::<String>::new());
        assert_eq!(found("é", r#"{"a":"\u00e9"}"#), [r"\u00e9"]);
        let inner = r#"{"arguments":"{\"a\":\"p\\\"w\",\"b\":77}"}"#;
        assert_eq!(found(r#"p"w"#, inner), [r#"p\\\"w"#]);
        assert_eq!(found("7", inner), ["77"]);
        assert_eq!(found("my secret", r#"{"a":"{my secret"}"#), ["my secret"]);
    }

    #[test]
    fn placeholders_are_never_matched() {
        assert_eq!(found(r"[a-z0-9]+", "x <redacted:12> y"), ["x", "y"]);
        assert_eq!(found("secret", r#"{"torn":"a secret"#), ["secret"]);
    }
}
