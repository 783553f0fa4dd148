//! Real clients, cut where a recording says, and what they send next.
//!
//! Each case has a served endpoint, a home and a folder to work in of its own. The first command runs until the endpoint
//! has answered as far as the cut; there it is interrupted, and when it has ended the next command runs. Every request
//! behind the cut is judged by the endpoint; what the client says of tools that had ended is held against what it said
//! before. Only process groups that were started here are ever ended.

mod command;
mod judge;
mod one;
pub mod oracle;
mod places;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::contract::Policy;

pub use command::{Template, TemplateError};
pub use places::{Place, Playable};
pub use state::{State, StateError};

/// How a client is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interrupt {
    /// The endpoint closes the connection; the client goes on as it likes.
    Hangup,
    /// SIGINT to its process group, as Ctrl-C in a terminal.
    Sigint,
    /// SIGTERM to its process group.
    Sigterm,
    /// SIGKILL to its process group.
    Sigkill,
}

impl Interrupt {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hangup, Self::Sigint, Self::Sigterm, Self::Sigkill];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::Sigint => "sigint",
            Self::Sigterm => "sigterm",
            Self::Sigkill => "sigkill",
        }
    }

    /// Whether a client can be interrupted like this at a place.
    pub fn is_for(self, place: &Place) -> bool {
        match self {
            // behind a whole answer nothing is under way that the endpoint could break off
            Self::Hangup => !place.over,
            // a client that is waited for with a signal has taken in whole events only
            Self::Sigint | Self::Sigterm | Self::Sigkill => !place.half,
        }
    }
}

/// What is done with a client.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The recording whose answers are played, as it stands in the file.
    pub session: Bytes,
    /// Starts the client's first turn.
    pub first: Template,
    /// Starts its next turn; without it the first command goes on by itself.
    pub next: Option<Template>,
    /// Runs in each fresh home before the client.
    pub prepare: Option<Template>,
    /// How it is interrupted.
    pub interrupts: Vec<Interrupt>,
    /// How often each case is tried.
    pub repeat: u32,
    /// The longest a command may run.
    pub limit: Duration,
    /// What passes between the cut and the signal, so that the client has taken in what was sent.
    pub settle: Duration,
    /// How many cases run at the same time.
    pub jobs: usize,
    /// Policies with a fixed value.
    pub policies: Vec<(Policy, usize)>,
    /// Where the folders of cases are made.
    pub scratch: PathBuf,
    /// Whether they are kept.
    pub keep: bool,
    /// Variables that every command is given.
    pub environment: Vec<(String, String)>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Where it is cut.
    pub place: Place,
    /// How.
    pub interrupt: Interrupt,
    /// Which try it is, from 1.
    pub repeat: u32,
}

impl Case {
    /// What names it in a state file.
    pub fn key(&self) -> String {
        let over = if self.place.over { " over" } else { "" };
        format!(
            "{}{over} {} {}",
            self.place.cut(),
            self.interrupt.name(),
            self.repeat
        )
    }
}

/// What the client did behind the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// Every request was accepted.
    Accepted,
    /// Accepted, but what the user said first is gone.
    Forgets,
    /// Accepted, but something that is not so was said, or a real output was left out.
    Untrue,
    /// Some worlds would refuse a request.
    Depends,
    /// It sent no further request.
    Silent,
    /// The client ended, or its time was over, before the cut was reached; or it asked for what cannot be cut there.
    NotReached,
    /// A request was refused, and a later one got through.
    Refused,
    /// It was refused to the end.
    Stuck,
    /// A command could not be started, or the preparation failed.
    Failed,
}

impl Did {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Forgets,
        Self::Untrue,
        Self::Depends,
        Self::Silent,
        Self::NotReached,
        Self::Refused,
        Self::Stuck,
        Self::Failed,
    ];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Forgets => "forgets",
            Self::Untrue => "untrue",
            Self::Depends => "depends",
            Self::Silent => "silent",
            Self::NotReached => "not_reached",
            Self::Refused => "refused",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
        }
    }

    /// Whether the client failed.
    pub fn fails(self) -> bool {
        matches!(self, Self::Refused | Self::Stuck | Self::Depends)
    }
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Result {
    /// What the client did.
    pub did: Did,
    /// Requests it sent behind the cut.
    pub requests: u32,
    /// How many of them were refused.
    pub refused: u32,
    /// The first refusal.
    pub message: Option<String>,
    /// Calls it calls aborted although it had sent their real output.
    pub falsehoods: Vec<String>,
    /// Calls whose real output it had sent and leaves out of its history.
    pub outputs_lost: Vec<String>,
    /// Whether its last request holds nothing of what the user said first.
    pub history_lost: bool,
    /// Policies a request depends on.
    pub depends_on: Vec<String>,
    /// Whether a command had to be ended because its time was over.
    pub timed_out: bool,
    /// What went wrong beside that.
    pub note: Option<String>,
}

/// Cases with their results, in the order of the cases.
pub type Results = Vec<(Case, Result)>;

/// Why no trial could be made.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The runtime cannot be started.
    #[error("cannot start: {0}")]
    Runtime(#[source] std::io::Error),
    /// The session's answers cannot be played.
    #[error("the session cannot be played: {0}")]
    Session(String),
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// All cases of a plan.
pub fn cases(plan: &Plan, places: &[Place]) -> Vec<Case> {
    let mut found = Vec::new();
    for place in places {
        for interrupt in &plan.interrupts {
            if !interrupt.is_for(place) {
                continue;
            }
            for repeat in 1..=plan.repeat.max(1) {
                found.push(Case {
                    place: place.clone(),
                    interrupt: *interrupt,
                    repeat,
                });
            }
        }
    }
    found
}

/// Tries all cases that `state` does not know yet. `told` hears of each as it is done; `stop` ends the trial behind the
/// cases that run.
///
/// # Errors
/// See [`TrialError`]. What goes wrong with one case is part of its result.
pub fn run(
    plan: &Plan,
    cases: &[Case],
    state: &mut State,
    stop: &Arc<AtomicBool>,
    told: &(dyn Fn(usize, usize, &Case, &Result) + Sync),
) -> std::result::Result<Results, TrialError> {
    Playable::read(&plan.session).map_err(TrialError::Session)?;
    let runtime: Runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("trial")
        .build()
        .map_err(TrialError::Runtime)?;
    // what is started here has groups of its own: Ctrl-C reaches this process alone
    let signals = Arc::clone(stop);
    drop(runtime.spawn(async move {
        stopped().await;
        signals.store(true, Ordering::Relaxed);
    }));
    let waiting: Vec<&Case> = cases.iter().filter(|case| !state.knows(case)).collect();
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(cases.len() - waiting.len());
    let wrong: Mutex<Option<StateError>> = Mutex::new(None);
    let shared = Mutex::new(state);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(case) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            let Some(result) = runtime.block_on(one::run(plan, case, stop)) else {
                return;
            };
            let kept = {
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                state.keep(case, &result)
            };
            if let Err(error) = kept {
                *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return;
            }
            told(
                done.fetch_add(1, Ordering::Relaxed) + 1,
                cases.len(),
                case,
                &result,
            );
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.jobs.clamp(1, waiting.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error.into());
    }
    let state = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(cases
        .iter()
        .filter_map(|case| Some((case.clone(), state.result(case)?.clone())))
        .collect())
}

/// Waits for a signal that asks to stop.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate());
        let interrupt = signal(SignalKind::interrupt());
        let hangup = signal(SignalKind::hangup());
        if let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
            (terminate, interrupt, hangup)
        {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // where signals cannot be caught, they end this process
        std::future::pending::<()>().await;
    }
}

/// Results by situation: the stage, whether it is the second stream, and how the client was interrupted.
pub fn by_situation(results: &Results) -> BTreeMap<(String, Interrupt), Vec<(&Case, &Result)>> {
    let mut found: BTreeMap<(String, Interrupt), Vec<(&Case, &Result)>> = BTreeMap::new();
    for (case, result) in results {
        let mut name = case.place.stage.clone();
        if case.place.carries_outputs {
            name.push_str(", second stream");
        }
        let key = (name, case.interrupt);
        found.entry(key).or_default().push((case, result));
    }
    found
}
