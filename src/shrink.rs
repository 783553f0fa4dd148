//! Makes a session small: the least that is still refused in the same way.
//!
//! A session is taken as its lines, as the items in them, as the members of these, and as texts; at each of these levels
//! parts are left out as long as an [`Oracle`] says that the refusal stays what it was (delta debugging). Calls and their
//! outputs go together, so that no refusal comes about that was not there. It ends when nothing more can go: every part that
//! is left was tried once more at the end, and [`Shrunk::kept`] says what happens without it. Equal sessions shrink equally.

mod document;
mod fields;
mod oracle;
mod reduce;

pub use oracle::{Contract, NoRefusal, Same};

use std::io::{self, Read as _};

use crate::rollout::Library;
use crate::rollout::reader::MAX_BASES;
use crate::wire::raw::Object;
use document::Document;

/// What becomes of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is refused as the session was.
    Same,
    /// It is not; in words, what happens instead.
    Other(String),
}

/// Says whether a candidate still fails in the same way: the contract, a command, a live endpoint.
pub trait Oracle {
    /// Judges one candidate, the text of a session.
    fn judge(&mut self, candidate: &str) -> Answer;
}

/// A part that has to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its line in the result, from 1.
    pub line: u32,
    /// What it is, in words.
    pub part: String,
    /// What happens without it.
    pub without: String,
}

/// A session made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Its text.
    pub text: String,
    /// The parts that were tried last, and are all needed.
    pub kept: Vec<Kept>,
    /// How many candidates were judged.
    pub tried: u64,
    /// Whether it came to its end; otherwise the limit on candidates stopped it.
    pub minimal: bool,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// No more candidates than this are judged.
    pub candidates: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            candidates: 1_000_000,
        }
    }
}

/// An oracle that counts.
struct Judge<'o> {
    oracle: &'o mut dyn Oracle,
    tried: u64,
    limit: u64,
}

impl Judge<'_> {
    fn is_same(&mut self, candidate: &str) -> bool {
        self.answer(candidate) == Answer::Same
    }

    fn answer(&mut self, candidate: &str) -> Answer {
        if self.tried >= self.limit {
            return Answer::Other("not tried".to_owned());
        }
        self.tried += 1;
        self.oracle.judge(candidate)
    }

    fn is_spent(&self) -> bool {
        self.tried >= self.limit
    }
}

/// Shrinks the session in `text`; `None` if the oracle does not find the failure in it, or it is no text of a session.
pub fn shrink(text: &str, oracle: &mut dyn Oracle, limits: Limits) -> Option<Shrunk> {
    let mut judge = Judge {
        oracle,
        tried: 0,
        limit: limits.candidates.max(1),
    };
    let mut document = Document::read(text);
    if !judge.is_same(&document.text()) {
        return None;
    }
    loop {
        let mut changed = reduce::lines(&mut document, &mut judge);
        changed |= reduce::items(&mut document, &mut judge);
        changed |= fields::reduce(&mut document, &mut judge);
        if !changed || judge.is_spent() {
            break;
        }
    }
    let minimal = !judge.is_spent();
    let counted = document.counted();
    if judge.is_same(&counted.text()) {
        document = counted;
    }
    let kept = reduce::reasons(&document, &mut judge);
    Some(Shrunk {
        text: document.text(),
        kept,
        tried: judge.tried,
        minimal,
    })
}

/// A rollout whose history begins in other files as one text that stands for itself; any other text as it is.
///
/// # Errors
/// If one of these files is missing or cannot be read.
pub fn flatten(text: String, library: &dyn Library) -> io::Result<String> {
    flatten_within(text, library, 0)
}

fn flatten_within(text: String, library: &dyn Library, depth: usize) -> io::Result<String> {
    let Some((meta, rest)) = text.split_once('\n') else {
        return Ok(text);
    };
    let payload = Object::read(meta)
        .filter(|line| line.text("type").as_deref() == Some("session_meta"))
        .and_then(|line| line.get("payload"))
        .map(serde_json::value::RawValue::get);
    let base = payload.and_then(Object::read).and_then(|fields| {
        let base = fields.object("history_base")?;
        Some((
            base.text("thread_id")?.into_owned(),
            base.number("end_byte_offset")?,
        ))
    });
    let (Some(payload), Some((thread, end))) = (payload, base) else {
        return Ok(text);
    };
    if depth >= MAX_BASES {
        return Err(io::Error::other(
            "more files begin in one another than are followed",
        ));
    }
    let Some((_, reader)) = library.open(&thread)? else {
        return Err(io::Error::other(format!(
            "its history begins in thread {thread}, whose rollout was not found"
        )));
    };
    let mut bytes = Vec::new();
    reader.take(end).read_to_end(&mut bytes)?;
    let before = flatten_within(
        String::from_utf8_lossy(&bytes).into_owned(),
        library,
        depth + 1,
    )?;
    let before = before.split_once('\n').map_or("", |(_, lines)| lines);
    let payload = crate::repair::with(payload, &[("history_base", None)]);
    let meta = crate::repair::with(meta, &[("payload", Some(&payload))]);
    Ok(format!("{meta}\n{}\n{rest}", before.trim_end_matches('\n')))
}

/// Whether nothing can be left out of a session any more: every part is tried once. For tests of the result.
pub fn is_minimal(text: &str, oracle: &mut dyn Oracle) -> bool {
    let mut judge = Judge {
        oracle,
        tried: 0,
        limit: u64::MAX,
    };
    let mut document = Document::read(text);
    let lines = reduce::singles(&mut document, &mut judge);
    let items = reduce::single_items(&mut document, &mut judge);
    !lines && !items && !fields::reduce(&mut document, &mut judge)
}

#[cfg(test)]
mod tests;
