//! A sweep for people (text), for programs (JSON) and for the eye (one page with a picture).

mod html;
mod json;
mod text;
pub mod trial;

pub use html::html;
pub use json::json;
pub use text::text;

use crate::contract::lock::Citation;
use crate::strategy::Strategy;
use crate::sweep::{Cell, Example, Situation, Sweep};

/// A sweep with what is said around it.
#[derive(Clone, Copy, Debug)]
pub struct Swept<'a> {
    /// The session's name.
    pub path: &'a str,
    /// What kind of file it is.
    pub source: &'a str,
    /// What was found.
    pub sweep: &'a Sweep,
    /// The strategy that decides.
    pub chosen: Strategy,
    /// Keys of cells that failed in an older sweep, if there is one to compare with.
    pub known: Option<&'a [String]>,
    /// The contract of an endpoint under which it was judged; `None` for the API's.
    pub contract: Option<&'a Citation>,
}

/// What a strategy costs, over all cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Cuts behind which its next request does not get through in every world.
    pub fails: u64,
    /// Cuts behind which a real output is contradicted or left out.
    pub lost: u64,
    /// Cuts behind which "aborted" is said of a tool that had ended.
    pub false_statements: u64,
    /// The most requests that it takes to get through, or to give up.
    pub requests: u32,
}

impl Swept<'_> {
    /// What a strategy costs.
    pub fn score(&self, strategy: Strategy) -> Score {
        let mut score = Score::default();
        for (_, cell) in self.sweep.column(strategy) {
            score.fails += (cell.refused + cell.depends).max(cell.loops);
            score.lost += cell.outputs_lost;
            score.false_statements += cell.with_falsehoods;
            score.requests = score.requests.max(cell.requests);
        }
        score
    }

    /// The cells of the deciding strategy that fail and did not fail before.
    pub fn failing(&self) -> impl Iterator<Item = (&Situation, &Cell)> {
        self.sweep
            .column(self.chosen)
            .filter(|(_, cell)| cell.fails())
            .filter(|(situation, _)| !self.is_known(situation))
    }

    /// Whether a cell of the deciding strategy failed in the older sweep.
    pub(super) fn is_known(&self, situation: &Situation) -> bool {
        let key = self.sweep.key(situation, self.chosen);
        self.known.is_some_and(|known| known.contains(&key))
    }

    /// Whether some of its cells cannot be told.
    pub fn is_unknown(&self) -> bool {
        let mut cells = self.sweep.column(self.chosen);
        cells.any(|(_, cell)| cell.unknown > 0)
    }
}

/// Where a cut falls, in words: `exchange 2, behind event 7`.
pub(super) fn place(example: &Example) -> String {
    if let Some(first) = &example.behind {
        let event = example.event.map_or_else(
            || "behind its call".to_owned(),
            |event| format!("behind event {event}"),
        );
        let who = first.who.unwrap_or("client");
        return format!(
            "{event} of the next answer, {who} cut first {}",
            place(first)
        );
    }
    match (&example.exchange, example.event) {
        (Some(exchange), Some(event)) => format!("exchange {exchange}, behind event {event}"),
        (Some(exchange), None) => format!("exchange {exchange}, before any event"),
        (None, _) => format!("behind line {}", example.line),
    }
}
