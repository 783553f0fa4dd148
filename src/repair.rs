//! Makes a rollout whole: a copy in which no call is open, which today's Codex can resume.
//!
//! A file is read as lines of today's envelope format, whatever its era (`repair::lines`); the walk over its history finds at
//! every request which calls would be refused ([`plan`](fn@plan)); the copy is then written line by line
//! ([`Plan::write`]). Every step reads the source anew and holds one line at a time, so that size is no matter. Lines that need no
//! change keep every byte; what leaves the conversation is handed to a second writer. Nothing is made up in silence: an
//! output that is not on file says so in its own words, together with what is known of its tool.

mod lines;
mod splice;
mod texts;
mod walk;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use crate::ids::{ItemIndex, LineNo};
use crate::rollout::reader::{self, ReadError};
use crate::rollout::{Era, Library, Rollout};
use crate::wire::item::ItemKind;
use crate::wire::lines::Reason;

pub use lines::Assumed;
pub(crate) use lines::made_id;
pub(crate) use splice::with;
pub use write::Written;

use lines::{AsRead, Envelopes, Places};
use walk::{Answer, Decision};

/// What the output of a call says that has none on file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Words {
    /// What is known of the call.
    #[default]
    Honest,
    /// `aborted`, as Codex says it.
    Aborted,
}

/// How a rollout is made whole.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What outputs say that are made up.
    pub words: Words,
    /// What stands in for facts that the file does not hold.
    pub assumed: Assumed,
}

/// What was done at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A call without output got one that says what is known of it.
    Answered,
    /// A call without output got the one that stands in the record of its tool.
    Restored,
    /// An output was put directly behind its call.
    Moved,
    /// An output of another kind than its call was given the kind of its call.
    Retyped,
    /// A call id that stood twice, or was too long or empty, was replaced in call and output.
    Renamed,
    /// An item id that stood twice was left out at the second place.
    IdDropped,
    /// An item left the conversation; it stands in the side file.
    Removed,
    /// A line, or part of one, that is no JSON; it stands in the side file.
    Torn,
    /// Several values of one line were put on lines of their own.
    Split,
    /// A value was spelled so that Codex reads it.
    Mended,
    /// What Codex insists on was added to the meta line.
    Completed,
}

impl What {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Restored => "restored",
            Self::Moved => "moved",
            Self::Retyped => "retyped",
            Self::Renamed => "renamed",
            Self::IdDropped => "id_dropped",
            Self::Removed => "removed",
            Self::Torn => "torn",
            Self::Split => "split",
            Self::Mended => "mended",
            Self::Completed => "completed",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The line of the original it concerns, from 1.
    pub line: LineNo,
    /// What was done.
    pub what: What,
    /// The call it is about.
    pub call_id: Option<String>,
    /// The item it is about.
    pub item_type: Option<ItemKind>,
    /// Why, or what was put there, in words.
    pub detail: String,
}

/// Something that does not stand in the copy as it stood in the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The line of the original it stood on.
    pub line: LineNo,
    /// Why it was put aside.
    pub reason: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why a rollout was not made whole.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The source failed while it was read again.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is nothing safe to be done; the sentence says why.
    #[error("{reason}")]
    Refused {
        /// The line of the original, or 0.
        line: LineNo,
        /// Why.
        reason: String,
    },
}

/// What is to be done to make a rollout whole.
#[derive(Debug)]
pub struct Plan {
    options: Options,
    /// The rollout, as its lines are written.
    rollout: Rollout,
    places: Places,
    decisions: BTreeMap<ItemIndex, Decision>,
    /// Answers of calls of another file, which stand in front of this file's own history.
    at_start: Vec<ItemIndex>,
    /// Payloads of items that are put elsewhere, and the words of what tools left behind.
    texts: texts::Texts,
    /// The era of the original.
    pub era: Era,
    /// How many lines were put into envelopes.
    pub wrapped: u64,
    /// How many state lines of the old format were left out.
    pub states: u64,
    /// What is done, by line.
    pub changes: Vec<Change>,
}

impl Plan {
    /// The thread id of the copy.
    pub fn thread_id(&self) -> Option<&str> {
        self.rollout.meta.thread_id.as_deref()
    }

    /// The time in its meta line.
    pub fn timestamp(&self) -> Option<&str> {
        self.rollout.meta.timestamp.as_deref()
    }

    /// The era of the copy: E3 for everything older.
    pub fn era_after(&self) -> Era {
        self.rollout.era
    }

    /// Whether lines stay as they are whose shape is not known here: whether Codex reads them cannot be said.
    pub fn has_unknown_lines(&self) -> bool {
        let mut problems = self.rollout.problems.iter();
        problems.any(|problem| matches!(problem.reason, Reason::UnknownShape(_)))
    }

    /// Whether the copy is the original, byte for byte but for line ends.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.wrapped == 0
    }
}

/// Opens the source anew, decompressed.
pub type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a;

/// Finds out what has to be done to the rollout that `open` gives.
///
/// # Errors
/// [`RepairError::Read`] if it is no rollout, [`RepairError::Refused`] if nothing safe can be done.
pub fn plan(
    open: &Open<'_>,
    library: &dyn Library,
    options: &Options,
) -> Result<Plan, RepairError> {
    let era = reader::read(open()?, library)?.era;
    let mut lines = Envelopes::new(open()?, &options.assumed)?;
    let mut as_read = AsRead::new(&mut lines);
    let rollout = reader::read(&mut as_read, library)?;
    let places = as_read.places;
    if rollout.incomplete {
        let problem = rollout
            .problems
            .iter()
            .find(|problem| matches!(&problem.reason, Reason::Other(_)));
        let why = problem.map_or_else(String::new, |problem| format!(": {}", problem.reason));
        return Err(RepairError::Refused {
            line: 0,
            reason: format!("part of its history could not be read{why}"),
        });
    }
    let mut changes = std::mem::take(&mut lines.changes);
    let (wrapped, states) = (lines.wrapped, lines.states);
    let twice = walk::twice(&rollout);
    let hashes = if twice.is_empty() {
        BTreeMap::new()
    } else {
        texts::hashes(Envelopes::new(open()?, &options.assumed)?, &rollout, &twice)?
    };
    let walked = walk::walk(&rollout, &hashes).map_err(|stop| RepairError::Refused {
        line: if stop.file == 0 {
            places.original(stop.line)
        } else {
            0
        },
        reason: stop.reason,
    })?;
    let texts = texts::collect(
        Envelopes::new(open()?, &options.assumed)?,
        &rollout,
        &walked,
        &places,
        options.words,
    )?;
    if let Some(first) = rollout.meta.own_history_from
        && let Some(line) = texts.edited_before_ordinal(&rollout, &walked.decisions, first)
    {
        return Err(RepairError::Refused {
            line: places.original(line),
            reason: format!(
                "the lines before ordinal {first} are inherited from another thread, and this one needs a change; recover that thread"
            ),
        });
    }
    changes.extend(walk::changes(&rollout, &walked, &places, &texts));
    changes.sort_by_key(|change| (change.line, change.what));
    Ok(Plan {
        options: options.clone(),
        era,
        rollout,
        places,
        decisions: walked.decisions,
        at_start: walked.at_start,
        texts,
        wrapped,
        states,
        changes,
    })
}

/// The items that a decision moves elsewhere.
fn moved(decisions: &BTreeMap<ItemIndex, Decision>) -> BTreeSet<ItemIndex> {
    let outputs = decisions
        .values()
        .filter_map(|decision| match decision.answer {
            Some(Answer::Real(output)) => Some(output),
            _ => None,
        });
    outputs.collect()
}

#[cfg(test)]
mod tests;
