//! The calls that are open at the end of a session, and why (design 4).
//!
//! On disk a call closes when a line with its output appears; on the wire when a request carries its output and that
//! request's response becomes part of the chain. Absence of a start event proves nothing in eras that do not persist one,
//! so a tool's state is only said where there is a line for it.

mod recorded;
mod rolled;

pub(crate) use rolled::{raw_ledger, replaced_ledger};

use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::session::Session;
use crate::wire::item::ItemKind;

/// Why a call is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An abort event or marker follows it.
    Interrupted,
    /// The client says that the turn was aborted, and made no request after that.
    InterruptedAtEnd,
    /// The stream that made it was broken off.
    StreamCut,
    /// The client's process ended while it was open.
    ProcessEnded,
    /// The tool finished, but no output line follows.
    OutputLost,
    /// Its output was sent only in a request whose response never completed (the exchange's number, or the output's line).
    SentInUnfinishedResponse {
        /// The exchange that carried the output; `None` for a rollout.
        exchange: Option<u32>,
        /// The line of the output.
        line: LineNo,
    },
    /// Its output was sent and answered, but the chain went back to a response before that exchange.
    ChainWentBack {
        /// The exchange that carried the output.
        exchange: u32,
        /// Its line.
        line: LineNo,
    },
    /// Its output was sent and answered, but a later request that carries the whole history leaves it out.
    LeftOut {
        /// The exchange that carried the output.
        exchange: u32,
        /// Its line.
        line: LineNo,
    },
    /// An output of another kind has its id.
    WrongKind,
    /// A compaction or rollback took it out of the history, or the client forgot its turn.
    Hidden,
    /// Nothing follows it: the session was copied or killed while it ran.
    InFlight,
    /// Nothing on file tells.
    Unknown,
}

impl Cause {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupted | Self::InterruptedAtEnd => "interrupted",
            Self::StreamCut => "stream_cut",
            Self::ProcessEnded => "process_ended",
            Self::OutputLost | Self::LeftOut { .. } => "output_lost",
            Self::SentInUnfinishedResponse { .. } => "sent_in_unfinished_response",
            Self::ChainWentBack { .. } => "chain_went_back",
            Self::WrongKind => "wrong_kind",
            Self::Hidden => "hidden",
            Self::InFlight => "in_flight",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing was sent after the call: that it is open is no fault yet.
    pub fn is_at_end(self) -> bool {
        matches!(self, Self::InFlight | Self::InterruptedAtEnd)
    }

    /// Whether an output was sent that the chain goes on without.
    pub fn leaves_output_behind(self) -> bool {
        matches!(
            self,
            Self::SentInUnfinishedResponse { .. } | Self::ChainWentBack { .. }
        )
    }

    /// The same for people.
    pub fn words(self) -> String {
        match self {
            Self::Interrupted => "the turn was aborted before its output came".into(),
            Self::InterruptedAtEnd => {
                "the turn was aborted, and no request was made after that".into()
            }
            Self::StreamCut => "the stream that made it was broken off".into(),
            Self::ProcessEnded => "the client's process ended while it was open".into(),
            Self::OutputLost => "the tool finished, but its output never reached the file".into(),
            Self::SentInUnfinishedResponse {
                exchange: Some(exchange),
                ..
            } => {
                format!(
                    "its output was sent only in exchange {exchange}, whose response never completed"
                )
            }
            Self::SentInUnfinishedResponse {
                exchange: None,
                line,
            } => {
                format!(
                    "its output (line {line}) was sent only in a request whose response never completed"
                )
            }
            Self::ChainWentBack { exchange, .. } => {
                format!(
                    "its output was sent in exchange {exchange}, but the chain went back to before it"
                )
            }
            Self::LeftOut { exchange, .. } => {
                format!(
                    "its output was sent in exchange {exchange}, but later requests leave it out"
                )
            }
            Self::WrongKind => "an output of another kind has its id".into(),
            Self::Hidden => {
                "the history behind it leaves it out (a compaction, a rollback, a forgotten turn)"
                    .into()
            }
            Self::InFlight => "nothing follows it: copied or killed while it ran".into(),
            Self::Unknown => "nothing on file says why".into(),
        }
    }
}

/// What is known of the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// It was never begun: its call did not arrive whole.
    NotStarted,
    /// It began (the line that says so).
    Started(LineNo),
    /// It finished (the line that says so).
    Finished(LineNo),
    /// Nothing on file tells.
    Unknown,
}

impl Tool {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Started(_) => "started",
            Self::Finished(_) => "finished",
            Self::Unknown => "unknown",
        }
    }

    /// The line of the evidence.
    pub fn evidence(self) -> Option<LineNo> {
        match self {
            Self::Started(line) | Self::Finished(line) => Some(line),
            _ => None,
        }
    }
}

/// A call without output.
#[derive(Clone, Copy, Debug)]
pub struct OpenCall {
    /// The pair.
    pub call: CallKey,
    /// The call's kind.
    pub kind: ItemKind,
    /// The item.
    pub item: ItemIndex,
    /// Its lane, an index into a recording's lanes; 0 for a rollout.
    pub lane: u32,
    /// The exchange that opened it, for recordings.
    pub exchange: Option<u32>,
    /// Whether the model was seen making it; otherwise a request brought it along.
    pub answered: bool,
    /// The line it stands on; for recordings, the line of the exchange's request.
    pub line: LineNo,
    /// The file that line is of, an index into a rollout's files; 0 is the session's own.
    pub file: u32,
    /// Why it is open.
    pub cause: Cause,
    /// What is known of the tool.
    pub tool: Tool,
    /// Whether the next request's context would still hold it.
    pub effective: bool,
}

/// Every call of a session that is open at its end, in the order in which they were opened.
pub fn open_calls(session: &Session) -> Vec<OpenCall> {
    match session {
        Session::Rollout(rollout) => rolled::open_calls(rollout),
        Session::Recording(recording) => recorded::open_calls(recording),
    }
}
