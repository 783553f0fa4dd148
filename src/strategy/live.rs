//! What a real endpoint said of a request.

use crate::wire::item::ItemKind;
use crate::wire::refusal::Named;

/// What a real endpoint said of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// What became of it.
    pub result: LiveResult,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// The message of a refusal or failure, innermost.
    pub message: Option<String>,
    /// What the message says was refused, where it is one the contract knows.
    pub named: Option<Named>,
    /// Who put what around the message.
    pub wrapper: Option<&'static str>,
    /// Whether the refusal is the one on file; `None` where there is none on file.
    pub is_recorded_one: Option<bool>,
    /// What must be said beside it.
    pub note: Option<String>,
    /// The first thing in which answer and recorded answer differ.
    pub divergence: Option<Divergence>,
    /// Outputs that the strategy put in.
    pub injected: Vec<MadeUp>,
    /// How many items were left out: by the strategy, or because only the server that made them knows them.
    pub left_out: u32,
    /// How many bytes the body had.
    pub bytes: u64,
    /// Whether the recorded body was sent, byte for byte.
    pub exact: bool,
    /// Whether it was sent with nothing changed but the model.
    pub other_model: bool,
    /// How many items its `input` had.
    pub input_items: u32,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiveResult {
    /// It was accepted.
    Accepted,
    /// It was refused and stayed so.
    Refused,
    /// No answer that is a word of the contract came.
    Failed,
    /// It was not sent, because what it goes on from is not on file; the note says what.
    #[default]
    NotSent,
    /// It was not sent, because the conversation had taken another way before.
    Parted,
    /// It was not sent, because there is no such request on this transport; that says nothing about the session.
    Skipped,
}

impl LiveResult {
    /// Whether nothing was sent.
    pub fn is_unsent(self) -> bool {
        matches!(self, Self::NotSent | Self::Parted | Self::Skipped)
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NotSent | Self::Parted | Self::Skipped => "unknown",
        }
    }
}

/// The first thing in which an answer differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// `acceptance`, `end` or `calls`.
    pub what: &'static str,
    /// What is on file.
    pub recorded: String,
    /// What came now.
    pub now: String,
}

/// An output that a strategy put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeUp {
    /// The call it answers, by the id the endpoint knows.
    pub call_id: String,
    /// Its kind.
    pub kind: ItemKind,
    /// Its place in `input`.
    pub position: u32,
    /// Whether the session shows that the tool had finished: "aborted" is then false.
    pub is_false: bool,
}

impl MadeUp {
    /// An output for `call_id` at `position`, of which nothing shows that it is false.
    pub fn new(call_id: &str, kind: ItemKind, position: usize) -> Self {
        Self {
            call_id: call_id.to_owned(),
            kind,
            position: position as u32,
            is_false: false,
        }
    }
}
