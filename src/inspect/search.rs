//! Searching the files as they stand.

use std::io::{self, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};

use regex::bytes::{Regex, RegexBuilder};

use crate::timeline::{LineIndex, Source};

/// So much is searched at once.
const BLOCK: usize = 4 << 20;

/// More matching lines than this are not kept.
pub(super) const MAX_HITS: usize = 200_000;

/// A regular expression as it is typed: letters match both cases unless it holds a capital, as in less -i.
///
/// # Errors
/// What is wrong with it.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    let capital = text.chars().any(char::is_uppercase);
    RegexBuilder::new(text)
        .case_insensitive(!capital)
        .unicode(!text.is_ascii() || text.contains("\\p"))
        .multi_line(true)
        .size_limit(4 << 20)
        .build()
        .map_err(|error| match error {
            regex::Error::Syntax(text) => text
                .lines()
                .last()
                .unwrap_or("no regular expression")
                .to_owned(),
            other => other.to_string(),
        })
}

/// Searches one file. `found` takes matching lines and how far the search is, in bytes.
///
/// # Errors
/// What reading returns.
pub(super) fn search(
    source: &mut dyn Source,
    lines: &LineIndex,
    pattern: &Regex,
    cancel: &AtomicBool,
    found: &mut dyn FnMut(Vec<u32>, u64),
) -> io::Result<()> {
    source.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; BLOCK];
    let mut held = 0;
    let mut offset = 0_u64;
    while !cancel.load(Ordering::Relaxed) {
        if held == buffer.len() {
            // one line fills all of it; a line is searched in whole up to the limit of lines
            buffer.resize(buffer.len() + BLOCK, 0);
        }
        let count = source.read(buffer.get_mut(held..).unwrap_or(&mut []))?;
        let end = held + count;
        let block = buffer.get(..end).unwrap_or(&[]);
        let whole = if count == 0 {
            end
        } else {
            let Some(at) = memchr::memrchr(b'\n', block) else {
                held = end;
                continue;
            };
            at + 1
        };
        let text = block.get(..whole).unwrap_or(&[]);
        let mut hits: Vec<u32> = Vec::new();
        let mut at = 0;
        while let Some(hit) = text.get(at..).and_then(|rest| pattern.find(rest)) {
            let start = at + hit.start();
            let line = lines.line_at(offset + start as u64);
            hits.push(line);
            // the next line, as this one is found already
            let rest = text.get(start..).unwrap_or(&[]);
            match memchr::memchr(b'\n', rest) {
                Some(newline) => at = start + newline + 1,
                None => break,
            }
        }
        offset += whole as u64;
        found(hits, offset);
        buffer.copy_within(whole..end, 0);
        held = end - whole;
        if count == 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(text: &str, what: &str) -> Vec<u32> {
        let mut lines = LineIndex::default();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            lines.push(
                at,
                line.trim_end_matches('\n').len() as u64,
                line.ends_with('\n'),
            );
            at += line.len() as u64;
        }
        let mut source = io::Cursor::new(text.as_bytes().to_vec());
        let mut all = Vec::new();
        search(
            &mut source,
            &lines,
            &pattern(what).unwrap(),
            &AtomicBool::new(false),
            &mut |found, _| all.extend(found),
        )
        .unwrap();
        all
    }

    #[test]
    fn each_matching_line_is_found_once() {
        let text = "one two\ntwo two\nthree\n\nTWO\nlast two";
        assert_eq!(hits(text, "two"), [1, 2, 5, 6]);
        assert_eq!(hits(text, "TWO"), [5]);
        assert_eq!(hits(text, "^t"), [2, 3, 5]);
        assert_eq!(hits(text, "nothing"), [] as [u32; 0]);
        assert_eq!(hits("", "x"), [] as [u32; 0]);
    }

    #[test]
    fn a_search_that_is_cancelled_stops() {
        let mut source = io::Cursor::new(b"a\na\n".to_vec());
        let mut calls = 0;
        search(
            &mut source,
            &LineIndex::default(),
            &pattern("a").unwrap(),
            &AtomicBool::new(true),
            &mut |_, _| calls += 1,
        )
        .unwrap();
        assert_eq!(calls, 0);
    }

    #[test]
    fn nonsense_is_told() {
        assert!(pattern("(").is_err());
        assert!(pattern("a{1000000}{1000000}").is_err());
    }
}
