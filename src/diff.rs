//! Where two conversations part.
//!
//! A session is read as one [`Sequence`] of events with meaning: requests with what they add to the conversation and what
//! they leave out, the items of answers with their streamed pieces put together, refusals, ends. Two sequences are held
//! against each other by what counts ([`Rules`]), and ids under one consistent renaming: `call_a` here may be `call_b`
//! there as long as every use agrees. A broken correspondence is a difference.
//!
//! ```
//! use responses_replay::diff::{self, Op, Options, Reading};
//! use responses_replay::session::{reader, Session};
//!
//! let text = |call: &str, output: &str| format!(concat!(
//!     r#"{{"kind":"session","format":1}}"#, "\n",
//!     r#"{{"kind":"request","exchange":1,"path":"/v1/responses","body":{{"input":["#,
//!     r#"{{"type":"function_call","call_id":"{0}","name":"shell","arguments":"{{}}"}},"#,
//!     r#"{{"type":"function_call_output","call_id":"{0}","output":"{1}"}}]}}}}"#, "\n"), call, output);
//! let read = |text: &str| -> Result<diff::Sequence, Box<dyn std::error::Error>> {
//!     let session = Session::Recording(reader::read(text.as_bytes())?);
//!     Ok(diff::read(&session, text.as_bytes(), &Reading::default())?)
//! };
//! let left = read(&text("call_1", "ok"))?;
//! let renamed = read(&text("call_9", "ok"))?;
//! assert!(diff::diff(&left, &renamed, &Options::default()).equal);
//!
//! let changed = read(&text("call_9", "failed"))?;
//! let found = diff::diff(&left, &changed, &Options::default());
//! let first = found.changes.iter().find(|it| it.op != Op::Equal).expect("a difference");
//! assert_eq!(first.details[0].path, "output");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod align;
mod answer;
mod bind;
mod compare;
mod disk;
mod history;
mod json;
mod lens;
mod measured;
mod named;
mod normal;
mod order;
pub mod requests;
mod rules;
mod sequence;
mod structure;
mod wire;
pub mod words;

use std::io::{self, Read};
use std::ops::Range;
use std::time::Instant;

use crate::session::Session;

pub use rules::{ROWS, Row, RuleError, Rules};
pub use sequence::{Event, Lane, NO_LANE, Origin, Sequence, Side, What};
pub use structure::{Detail, Kind, MAX_DETAILS};

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layer {
    /// What events mean: streamed pieces are put together.
    #[default]
    Meaning,
    /// Every streamed event by itself.
    Events,
    /// Request bodies, chunks and frames as they came.
    Bytes,
}

/// How a session is read as a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is compared.
    pub layer: Layer,
    /// Only this exchange, from 1, with its whole input.
    pub exchange: Option<u32>,
    /// Finished items in the order in which they were finished, not in that of their places in the output.
    pub ordered: bool,
}

/// Until when a difference is searched for.
#[derive(Clone, Copy)]
pub struct Deadline<'a> {
    /// When the search ends.
    pub at: Instant,
    /// What time it is.
    pub now: &'a dyn Fn() -> Instant,
}

impl Deadline<'_> {
    fn is_over(&self) -> bool {
        (self.now)() >= self.at
    }
}

impl std::fmt::Debug for Deadline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deadline")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// How two sequences are compared.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// What is set aside.
    pub rules: Rules,
    /// Everything in file order: lanes are not told apart, answers to parallel calls keep their order.
    pub ordered: bool,
    /// When the search ends; what is found until then is told. Without it the search takes as long as it takes.
    pub deadline: Option<Deadline<'a>>,
}

/// What became of a run of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// The same on both sides.
    Equal,
    /// Only on the left.
    Delete,
    /// Only on the right.
    Insert,
    /// One event on both sides that differs.
    Replace,
}

impl Op {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Delete => "delete",
            Self::Insert => "insert",
            Self::Replace => "replace",
        }
    }
}

/// A run of events, by their places in [`Difference::left`] and [`Difference::right`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What became of them.
    pub op: Op,
    /// The places on the left, half-open.
    pub left: Range<u32>,
    /// The places on the right, half-open.
    pub right: Range<u32>,
    /// For [`Op::Replace`]: what differs.
    pub details: Vec<Detail>,
    /// How many further details are not listed: there are more than [`MAX_DETAILS`], or the time was over.
    pub more: usize,
}

/// What differs between two sequences.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Whether nothing does.
    pub equal: bool,
    /// The changes, equal runs included, in the order of both sides.
    pub changes: Vec<Change>,
    /// The events of the left sequence in the order in which they were compared.
    pub left: Vec<u32>,
    /// The events of the right sequence in the order in which they were compared.
    pub right: Vec<u32>,
    /// Ids that are each other's.
    pub ids: Vec<(String, String)>,
    /// Whether the deadline was reached: there may be fewer differences than are told, never more.
    pub stopped: bool,
}

impl Difference {
    /// The event at a place on the left.
    pub fn left_event<'s>(&self, at: u32, left: &'s Sequence) -> Option<&'s Event> {
        left.events.get(*self.left.get(at as usize)? as usize)
    }

    /// The event at a place on the right.
    pub fn right_event<'s>(&self, at: u32, right: &'s Sequence) -> Option<&'s Event> {
        right.events.get(*self.right.get(at as usize)? as usize)
    }

    /// The places of the first difference, left and right.
    pub fn first(&self) -> Option<(u32, u32)> {
        let first = self.changes.iter().find(|it| it.op != Op::Equal)?;
        Some((first.left.start, first.right.start))
    }

    /// The normalised lines of the right side, made from those of the left: what is equal is taken from there, with its
    /// ids renamed, the rest from the right.
    pub fn apply(&self, left: &Sequence, right: &Sequence, options: &Options<'_>) -> Vec<String> {
        let mut lines = Vec::with_capacity(self.right.len());
        let renamed: std::collections::BTreeMap<&str, &str> = self
            .ids
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let mut from_left = |id: &str| {
            renamed
                .get(id)
                .map_or_else(|| format!("{id}?"), |it| (*it).to_owned())
        };
        for change in &self.changes {
            if change.op == Op::Equal {
                let events = change
                    .left
                    .clone()
                    .filter_map(|at| self.left_event(at, left));
                lines
                    .extend(events.map(|event| normal::line(left, event, options, &mut from_left)));
            } else {
                let events = change
                    .right
                    .clone()
                    .filter_map(|at| self.right_event(at, right));
                lines.extend(
                    events.map(|event| normal::line(right, event, options, &mut str::to_owned)),
                );
            }
        }
        lines
    }

    /// The lines of the right side as [`Difference::apply`] makes them, made from the right side alone.
    pub fn target(&self, right: &Sequence, options: &Options<'_>) -> Vec<String> {
        let events = self
            .right
            .iter()
            .filter_map(|at| right.events.get(*at as usize));
        events
            .map(|event| normal::line(right, event, options, &mut str::to_owned))
            .collect()
    }
}

/// Reads a session as a sequence; `reader` gives the text it was read from once more, decompressed.
///
/// # Errors
/// What the reader returns.
pub fn read<R: Read>(session: &Session, reader: R, reading: &Reading) -> io::Result<Sequence> {
    match session {
        Session::Recording(recording) => wire::read(recording, reader, reading),
        Session::Rollout(rollout) => disk::read(rollout, reader),
    }
}

/// Reads the rollout lines that a recording holds as a sequence, a lane for each file.
///
/// # Errors
/// What the reader returns.
pub fn read_beside<R: Read>(reader: R) -> io::Result<Sequence> {
    disk::read_beside(reader)
}

/// Compares two sequences. A recording is held against a rollout by their items alone.
pub fn diff(left: &Sequence, right: &Sequence, options: &Options<'_>) -> Difference {
    let one_is_disk = (left.origin == Origin::Rollout) != (right.origin == Origin::Rollout);
    let one_is_converted =
        left.origin != right.origin && [left.origin, right.origin].contains(&Origin::Converted);
    if one_is_converted && !one_is_disk {
        // logs of other tools do not say who broke a stream off
        let mut options = options.clone();
        let _known_path: Result<(), RuleError> = options.rules.ignore("cut.*");
        return compare::compare(left, right, &options);
    }
    if one_is_disk && !options.rules.disk {
        let mut options = options.clone();
        options.rules.disk = true;
        return compare::compare(left, right, &options);
    }
    compare::compare(left, right, options)
}

/// The normalised lines of a sequence: the same bytes for the same conversation, wherever and whenever it was held.
///
/// One line an event: what it is, then what counts of it as JSON with sorted members. Ids are numbered in the order of
/// their appearance (`call#1`, `resp#1`, `id#1`); what [`Options::rules`] sets aside is left out.
///
/// In tests, with [insta](https://insta.rs):
///
/// ```
/// use responses_replay::diff::{self, Options, Reading};
/// use responses_replay::session::{reader, Session};
///
/// # let recorded = |call: &str, seconds: &str, at_us: u32| format!(concat!(
/// #     r#"{{"kind":"session","format":1}}"#, "\n",
/// #     r#"{{"kind":"request","exchange":1,"at_us":{2},"path":"/v1/responses","body":{{"model":"m","instructions":"You are.","input":["#,
/// #     r#"{{"type":"function_call","call_id":"{0}","name":"shell","arguments":"{{\"cmd\":\"echo hi\"}}"}},"#,
/// #     r#"{{"type":"function_call_output","call_id":"{0}","output":"Wall time: {1} seconds\nOutput:\nhi"}}]}}}}"#, "\n",
/// #     r#"{{"kind":"end","exchange":1,"at_us":{2},"cause":"client_closed"}}"#, "\n"), call, seconds, at_us);
/// # let (monday, tuesday) = (recorded("call_a", "0.1", 5), recorded("call_b", "0.7", 9000));
/// let conversation = |recording: &str| -> Result<String, Box<dyn std::error::Error>> {
///     let session = Session::Recording(reader::read(recording.as_bytes())?);
///     let sequence = diff::read(&session, recording.as_bytes(), &Reading::default())?;
///     let mut options = Options::default();
///     options.rules.ignore("instructions")?;
///     Ok(diff::normalised(&sequence, &options))
/// };
/// // recorded twice, with other ids and times
/// insta::assert_snapshot!(conversation(&monday)?, @r##"
/// request model="m"
/// function_call shell {"arguments":"{\"cmd\":\"echo hi\"}","call_id":"call#1","name":"shell","type":"function_call"}
/// function_call_output {"call_id":"call#1","output":"Wall time: …\nOutput:\nhi","type":"function_call_output"}
/// cut {"cause":"client_closed","client_left":true}
/// "##);
/// assert_eq!(conversation(&monday)?, conversation(&tuesday)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn normalised(sequence: &Sequence, options: &Options<'_>) -> String {
    let mut text = String::new();
    for line in normal::lines(sequence, options) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
