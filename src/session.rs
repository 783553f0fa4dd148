//! A conversation as a value, wherever it was read from.
//!
//! [`Session`] is a [`Rollout`] or a [`Recording`]. A recording comes from format 1 (design in `docs/format.md`), from a
//! bare request body, from `{request,status,body}` lines or from another tool's log; what a source does not hold is
//! marked as not held. This room reads from readers and writes to writers; whoever has a path opens it.

mod answer;
pub mod body;
mod build;
mod clients;
pub mod delta;
pub mod event_log;
pub mod exchange;
pub mod exchanges;
pub(crate) mod fingerprint;
pub mod format;
pub mod label;
pub mod lanes;
pub mod reader;
mod refused;
pub mod request_file;
pub mod sniff;
pub mod tree;
mod turns;
pub mod writer;

use crate::ids::LineNo;
use crate::rollout::Rollout;
use crate::wire::lines::Problem;

pub use exchange::Recording;
pub use reader::ReadError;
pub use sniff::{Kind, sniff};

/// One conversation.
#[derive(Clone, Debug)]
pub enum Session {
    /// Read from a Codex rollout.
    Rollout(Rollout),
    /// Read from a recording, or from anything that holds requests as they were sent.
    Recording(Recording),
}

/// The program a session belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// `codex`, `codex-typescript`, `openai-agents-python`, …; `None` where nothing tells.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

impl Session {
    /// What could not be read as it should be.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Rollout(rollout) => &rollout.problems,
            Self::Recording(recording) => &recording.problems,
        }
    }

    /// How many lines the file has.
    pub fn lines(&self) -> LineNo {
        match self {
            Self::Rollout(rollout) => rollout.lines,
            Self::Recording(recording) => recording.lines,
        }
    }
}
