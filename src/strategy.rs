//! How clients repair their history, each exactly as its original behaves, and what it earns them.
//!
//! A [`Strategy`] turns a request into what that client would have sent in its place; a run judges every request of a
//! session under one strategy, inside the process, without building request bodies. Nothing is written or sent.

pub mod as_client;
mod chained;
mod full;
pub mod interrupt;
mod judge;
mod plan;
mod retries;
pub mod run;
mod script;
mod wire;

use crate::contract::{Policy, WorldSet};
use crate::rollout::Era;
use crate::session::Session;

pub use run::{Judged, Origin, Run, Score, Verdict};

/// A way to repair a history before or after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Sends what is there.
    None,
    /// The strategy of the session's own client.
    AsClient,
    /// Codex TypeScript, April 2025.
    PendingAborts,
    /// Codex #1387, to 0.8.
    PendingIds,
    /// PR #1610, made safe.
    ErrorBody,
    /// PR #1610 as written (never merged).
    ErrorBody1610,
    /// Codex #1641, 0.20.0.
    HistoryScan,
    /// Codex 0.45.0.
    HistoryScan045,
    /// Codex since #5473.
    Normalize,
    /// The fix for chained clients.
    FullHistory,
    /// Codex 0.9 to 0.46 in memory.
    DropTurn,
}

impl Strategy {
    /// All strategies.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::AsClient,
        Self::PendingAborts,
        Self::PendingIds,
        Self::ErrorBody,
        Self::ErrorBody1610,
        Self::HistoryScan,
        Self::HistoryScan045,
        Self::Normalize,
        Self::FullHistory,
        Self::DropTurn,
    ];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AsClient => "as-client",
            Self::PendingAborts => "pending-aborts",
            Self::PendingIds => "pending-ids",
            Self::ErrorBody => "error-body",
            Self::ErrorBody1610 => "error-body-1610",
            Self::HistoryScan => "history-scan",
            Self::HistoryScan045 => "history-scan-0.45",
            Self::Normalize => "normalize",
            Self::FullHistory => "full-history",
            Self::DropTurn => "drop-turn",
        }
    }

    /// What it does, in one line.
    pub fn summary(self) -> &'static str {
        match self {
            Self::None => "sends what is there",
            Self::AsClient => "the strategy of the client and version that wrote the file",
            Self::PendingAborts => {
                "outputs that say \"aborted\" in front, chained (Codex TypeScript, April 2025)"
            }
            Self::PendingIds => {
                "answers the calls of the last response it saw, in front, chained (Codex #1387, to 0.8)"
            }
            Self::ErrorBody => {
                "reads the call id out of the 400, adds the right output, tries again (PR #1610, made safe)"
            }
            Self::ErrorBody1610 => {
                "the same as PR #1610 wrote it: function calls and call_ ids only, no bound"
            }
            Self::HistoryScan => {
                "scans the history for unanswered function calls, outputs in front (Codex #1641, 0.20.0)"
            }
            Self::HistoryScan045 => {
                "the same, answering with custom_tool_call_output (Codex 0.45.0)"
            }
            Self::Normalize => {
                "each missing output directly behind its call, orphans dropped (Codex since #5473)"
            }
            Self::FullHistory => {
                "drops previous_response_id and sends the whole history, nothing invented"
            }
            Self::DropTurn => {
                "forgets the answer that was interrupted (Codex 0.9 to 0.46 in memory)"
            }
        }
    }

    /// Finds a strategy by its name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.name() == name)
    }
}

/// How a session is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Policies with a fixed value.
    pub policies: Vec<(Policy, usize)>,
    /// Whether a further request is asked at the end.
    pub probe: Probe,
}

/// Whether and how a session is probed at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Rollouts where a call is open or a user message unanswered at the end; recordings not.
    Auto,
    /// The same, and recordings too.
    Always,
    /// Never.
    Never,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            probe: Probe::Auto,
        }
    }
}

/// Runs a session under one strategy.
///
/// The result has no requests if the session holds none and none can be rebuilt.
pub fn run(session: &Session, strategy: Strategy, options: &Options) -> Run {
    run_keeping(session, strategy, options, Keep::All)
}

/// The same, but of requests in a row of which the same is to be said only the first is sure to be in the result.
pub fn run_briefly(session: &Session, strategy: Strategy, options: &Options) -> Run {
    run_keeping(session, strategy, options, Keep::First)
}

/// Which requests a run lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    All,
    /// Of those in a row that are alike, the first; none that is accepted as it stands.
    First,
}

fn run_keeping(session: &Session, strategy: Strategy, options: &Options, keep: Keep) -> Run {
    let worlds = WorldSet::fixed(&options.policies);
    let resolved = if strategy == Strategy::AsClient {
        as_client::resolve(session)
    } else {
        strategy
    };
    let mut run = match session {
        Session::Recording(recording) => wire::run(
            recording,
            resolved,
            worlds,
            options,
            strategy == Strategy::AsClient,
        ),
        Session::Rollout(rollout) if chained::is_chained(rollout) => {
            let rebuilt = chained::rebuild(rollout, options);
            wire::run_rebuilt(&rebuilt, resolved, worlds)
        }
        Session::Rollout(rollout) => full::run(
            rollout,
            resolved,
            worlds,
            options,
            // what was answered before a file was made whole says nothing of the file as it is
            strategy == Strategy::AsClient && !rollout.meta.recovered,
            keep,
        ),
    };
    run.strategy = strategy;
    run.resolved = resolved;
    run.apply_incomplete(session);
    let recovered = matches!(session, Session::Rollout(rollout) if rollout.meta.recovered);
    if strategy == default_for(session) && !recovered {
        run.apply_cannot_tell(session);
    }
    run
}

/// The strategy of a session's first run: `none` for recordings, `as-client` for rollouts.
pub fn default_for(session: &Session) -> Strategy {
    match session {
        Session::Recording(_) => Strategy::None,
        Session::Rollout(_) => Strategy::AsClient,
    }
}

/// Whether a rollout's era keeps nothing of an interrupted turn (0.9 to 0.46), or too little (E1, E2).
pub(crate) fn forgets_interrupted_turns(session: &Session) -> bool {
    match session {
        Session::Rollout(rollout) => match rollout.era {
            Era::E1 | Era::E2 => true,
            Era::E3 => as_client::before_normalize(rollout),
            Era::E0 | Era::E4 => false,
        },
        Session::Recording(_) => false,
    }
}

#[cfg(test)]
mod tests;
