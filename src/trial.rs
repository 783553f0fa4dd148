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
use crate::strategy::interrupt::{Point, Stage};

pub use command::{Template, TemplateError};
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

/// A place in the recording at which a client is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The exchange's number in the recording.
    pub exchange: u32,
    /// Which request of the client that is, from 1.
    pub request: u32,
    /// The event behind which it falls; `None`: nothing is answered.
    pub event: Option<u32>,
    /// How far things have come there.
    pub stage: String,
    /// Whether that request carried outputs.
    pub carries_outputs: bool,
    /// Whether the whole answer is sent.
    pub over: bool,
    /// Whether only half of that event arrives.
    #[serde(default)]
    pub half: bool,
}

impl Place {
    /// As it is told to commands: `2:response 7`, in the words of `serve --cut`.
    pub fn cut(&self) -> String {
        match self.event {
            Some(event) if self.half => format!("{}:{event}=half-line", self.request),
            Some(event) => format!("{}:{event}", self.request),
            None => format!("{}:byte:0", self.request),
        }
    }
}

/// The places of a recording at which a client can be cut, from the points of its sweep.
///
/// Only the lane of its first request counts. With `every_event` there is a place for each event, and one inside of an
/// event for each stage of each request.
pub fn places(points: &[Point], every_event: bool) -> Vec<Place> {
    let mut found = Vec::new();
    let lane = points.first().map(|point| point.lane);
    let mut numbers: Vec<u32> = Vec::new();
    for point in points.iter().filter(|point| Some(point.lane) == lane) {
        let Some(exchange) = point.exchange else {
            continue;
        };
        if numbers.last() != Some(&exchange) {
            numbers.push(exchange);
        }
        // a client cannot be told which of its tools should have ended
        if point.stage == Stage::SomeOutputs {
            continue;
        }
        let over = matches!(point.stage, Stage::InTool | Stage::Idle);
        let last = if every_event && !over && point.event.is_some() {
            point.cuts
        } else {
            1
        };
        let place = Place {
            exchange,
            request: numbers.len() as u32,
            event: point.event,
            stage: point.stage.name().to_owned(),
            carries_outputs: point.carries_outputs,
            over,
            half: false,
        };
        let is_first = |it: &Place| it.exchange != exchange || it.stage != place.stage;
        if every_event && !over && point.event.is_some() && found.iter().all(is_first) {
            // what arrives by half leaves what the event before it left
            found.push(Place {
                event: point.event.map(|event| event + 1),
                half: true,
                ..place.clone()
            });
        }
        for further in 0..last {
            found.push(Place {
                event: point.event.map(|event| event + further),
                ..place.clone()
            });
        }
    }
    found
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
    /// The recording was over, or the client ended, before the cut was reached.
    NotReached,
    /// A request was refused, and a later one got through.
    Refused,
    /// It was refused to the end.
    Stuck,
    /// A command could not be started.
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
            // nothing is under way that the endpoint could break off
            if *interrupt == Interrupt::Hangup && place.over {
                continue;
            }
            // a client that is waited for with a signal has taken in whole events only
            if *interrupt != Interrupt::Hangup && place.half {
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
    one::check(plan).map_err(TrialError::Session)?;
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
        if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
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
