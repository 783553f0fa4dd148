//! What a recording holds, in a few numbers.

use std::io::Read;

use crate::session::Session;
use crate::session::exchange::{NoteKind, Purpose, Recording};
use crate::session::reader::{self, ReadError};
use crate::timeline::open_calls;

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests that the contract is about.
    pub requests: u32,
    /// All other exchanges.
    pub others: u32,
    /// Answers that broke off before they said that they are over.
    pub cuts: Vec<u32>,
    /// Refused exchanges with their message, in order.
    pub refusals: Vec<(u32, String)>,
    /// Ids of calls that are open at the end.
    pub open_calls: Vec<String>,
    /// Lines of rollouts.
    pub rollout_lines: u32,
    /// Lines of the client's event log.
    pub client_events: u32,
}

impl Summary {
    /// Reads a recording and sums it up.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(file: impl Read) -> Result<Self, ReadError> {
        Ok(Self::of(reader::read(file)?))
    }

    fn of(recording: Recording) -> Self {
        let mut summary = Self::default();
        for exchange in &recording.exchanges {
            if exchange.purpose == Purpose::NotJudged {
                summary.others += 1;
                continue;
            }
            summary.requests += 1;
            if exchange.answer.is_cut() {
                summary.cuts.push(exchange.number);
            }
            if let Some(refusal) = &exchange.answer.refusal
                && (400..500).contains(&refusal.status)
            {
                let message = refusal.message.chars().take(300).collect();
                summary.refusals.push((exchange.number, message));
            }
        }
        let count = |kind: NoteKind| {
            let found = recording.notes.iter().filter(|it| it.kind == kind);
            found.count() as u32
        };
        summary.rollout_lines = count(NoteKind::Rollout);
        summary.client_events = count(NoteKind::ClientEvent);
        let session = Session::Recording(recording);
        let open = open_calls(&session);
        let Session::Recording(recording) = &session else {
            return summary;
        };
        summary.open_calls = open
            .iter()
            .map(|it| recording.items.call_id(it.call).to_owned())
            .collect();
        summary
    }
}
