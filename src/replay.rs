//! `replay`: runs sessions under strategies and judges the answers.
//!
//! By default inside the process: requests are judged by the contract without sockets and without being built. The
//! endpoint is then a model of the real one, except where a recorded answer settles what it does; reports say so.

use crate::check::Finding;
use crate::contract::{self, Fault, Place};
use crate::ids::ItemIndex;
use crate::session::exchange::Origin;
use crate::session::label::Labels;
use crate::session::{Client, Session};
use crate::strategy::{self, Options, Run, Strategy, Verdict};
use crate::timeline::{self, OpenCall};
use crate::wire::refusal::Refusal;

/// What is said of one session.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Where it came from, as the user named it.
    pub path: String,
    /// `recording`, `rollout` or `converted`.
    pub source: &'static str,
    /// The era of a rollout.
    pub era: Option<&'static str>,
    /// The client that made it.
    pub client: Client,
    /// The runs; the first one decides verdict and exit.
    pub runs: Vec<Run>,
    /// The calls open at its end.
    pub open_calls: Vec<OpenCall>,
    /// What the client says of itself, and where sources disagree ([`crate::check::beside`]), where that was asked for.
    pub findings: Vec<Finding>,
    /// The session.
    pub session: Session,
    /// Labels of the items a report shows.
    pub labels: Labels,
}

impl SessionReport {
    /// The verdict of the first run.
    pub fn verdict(&self) -> Verdict {
        self.runs.first().map_or(Verdict::Clean, |run| run.verdict)
    }

    /// Whether there was nothing to judge.
    pub fn is_empty(&self) -> bool {
        self.runs.iter().all(|run| run.requests.is_empty())
    }

    /// The path of another file that part of a rollout's history stands in; `None` for its own.
    pub fn other_file(&self, file: u32) -> Option<&str> {
        match &self.session {
            Session::Rollout(rollout) if file > 0 => rollout
                .files
                .get(file as usize)
                .map(|file| file.path.as_str()),
            _ => None,
        }
    }

    /// The name of a lane.
    pub fn lane_name(&self, lane: u32) -> &str {
        match &self.session {
            Session::Rollout(rollout) => rollout.meta.thread_id.as_deref().unwrap_or("main"),
            Session::Recording(recording) => recording
                .lanes
                .get(lane as usize)
                .map_or("main", |lane| &lane.name),
        }
    }

    /// The refusal a fault leads to, with the texts of ids read from the labels.
    pub fn refusal(&self, fault: &Fault) -> Refusal {
        let text = |place: &Place| match place {
            Place::Item(item) | Place::Led { item, .. } => {
                self.labels.get(item)?.id.as_deref().map(str::to_owned)
            }
            Place::Response(key) => {
                let responses = match &self.session {
                    Session::Rollout(rollout) => &rollout.responses,
                    Session::Recording(recording) => &recording.responses,
                };
                Some(String::from_utf8_lossy(responses.text(key.0)).into_owned())
            }
        };
        contract::refusal(fault, crate::check::items(&self.session), &text)
    }

    /// The items whose labels the report shows.
    pub fn wanted(&self) -> Vec<ItemIndex> {
        let mut wanted: Vec<ItemIndex> = self.open_calls.iter().map(|open| open.item).collect();
        for run in &self.runs {
            for request in &run.requests {
                wanted.extend(request.shown.iter().map(|shown| shown.item));
                match request.refusal.and_then(|fault| fault.place) {
                    Some(Place::Item(item)) => wanted.push(item),
                    Some(Place::Led { item, reasoning }) => wanted.extend([item, reasoning]),
                    Some(Place::Response(_)) | None => {}
                }
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}

/// Runs a session under `strategies`, or, where none is named, under the default ones: `none` for recordings, `as-client`
/// and beside it `none` for rollouts.
pub fn replay(
    path: &str,
    session: Session,
    strategies: &[Strategy],
    options: &Options,
) -> SessionReport {
    let default = strategy::default_for(&session);
    let mut chosen: Vec<Strategy> = strategies.to_vec();
    if chosen.is_empty() {
        chosen.push(default);
        if default != Strategy::None {
            chosen.push(Strategy::None);
        }
    }
    let runs: Vec<Run> = chosen
        .into_iter()
        .map(|strategy| strategy::run(&session, strategy, options))
        .collect();
    let (source, era) = match &session {
        Session::Rollout(rollout) => ("rollout", Some(rollout.era.name())),
        Session::Recording(recording) => match recording.origin {
            Origin::Recorded => ("recording", None),
            Origin::Converted | Origin::Request => ("converted", None),
            Origin::Events => ("events", None),
        },
    };
    SessionReport {
        path: path.to_owned(),
        source,
        era,
        client: client(&session),
        open_calls: timeline::open_calls(&session),
        runs,
        findings: Vec::new(),
        session,
        labels: Labels::new(),
    }
}

/// The strategies that a table of all of them shows beside `runs`.
pub fn others(runs: &[Run]) -> Vec<Strategy> {
    Strategy::ALL
        .into_iter()
        .filter(|strategy| *strategy != Strategy::AsClient)
        .filter(|strategy| {
            !runs
                .iter()
                .any(|run| run.strategy == *strategy || run.resolved == *strategy)
        })
        .collect()
}

/// The client a session belongs to.
pub fn client(session: &Session) -> Client {
    match session {
        Session::Recording(recording) => recording.client.clone(),
        Session::Rollout(rollout) => {
            let typescript = rollout.era == crate::rollout::Era::E0
                || rollout.meta.originator.as_deref() == Some("codex_cli_ts");
            let name = if typescript {
                "codex-typescript"
            } else {
                "codex"
            };
            Client {
                name: Some(name.to_owned()),
                version: rollout.meta.cli_version.clone(),
            }
        }
    }
}
