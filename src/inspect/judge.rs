//! What each strategy would send at the cursor's request.

use crate::contract::Outcome;
use crate::session::Session;
use crate::strategy::{self, Judged, Options, Strategy, run};
use crate::timeline::{Asked, NONE, Timeline};

/// One strategy at one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The strategy.
    pub name: &'static str,
    /// Whether the session's own client uses it.
    pub own: bool,
    /// What the contract says: `accepted`, `refused`, `depends`, `unknown`; `no request` where it would send none.
    pub outcome: &'static str,
    /// What it puts in and leaves out, a line each.
    pub changes: Vec<String>,
}

/// The request that is looked at: the one whose exchange an entry belongs to, else the next one of the lane, else the
/// last one.
pub(super) fn request(timeline: &Timeline, lane: u16, entry: u32) -> Option<Asked> {
    let own = timeline.entries.get(entry as usize);
    if let Some(exchange) = own.and_then(|own| timeline.exchange(own)) {
        let of_lane = timeline.requests(lane).iter();
        let mut same = of_lane.filter(|asked| {
            let request = timeline.entries.get(asked.entry as usize);
            request.is_some_and(|request| request.line == exchange.line)
        });
        if let Some(asked) = same.next() {
            return Some(*asked);
        }
    }
    let (before, after) = timeline.requests_around(lane, entry);
    match (before, after) {
        (Some(before), _) if before.entry == entry => Some(before),
        (_, Some(after)) => Some(after),
        // behind the last one of a rollout stands the request that would come next
        (Some(before), None) if before.exchange != NONE => Some(before),
        _ => None,
    }
}

/// Judges the request of a lane at an entry under every strategy.
pub(super) fn judge(timeline: &Timeline, file: u16, lane: u16, entry: u32) -> Vec<Judgement> {
    let Some(of) = timeline.files.get(file as usize) else {
        return Vec::new();
    };
    let asked = request(timeline, lane, entry);
    let (number, line) = match (&of.session, asked) {
        (Session::Recording(recording), Some(asked)) => {
            let exchange = recording.exchanges.get(asked.exchange as usize);
            (exchange.map(|it| first_attempt(recording, it)), None)
        }
        (_, Some(asked)) => (
            None,
            timeline.entries.get(asked.entry as usize).map(|it| it.line),
        ),
        (_, None) => (None, Some(0)),
    };
    let options = Options::default();
    let own = strategy::as_client::resolve(&of.session);
    let items = crate::check::items(&of.session);
    Strategy::ALL
        .into_iter()
        .filter(|strategy| *strategy != Strategy::AsClient)
        .map(|strategy| {
            let found = run(&of.session, strategy, &options);
            let here = found.requests.iter().find(|it| is_it(it, number, line));
            let Some(here) = here else {
                return Judgement {
                    name: strategy.name(),
                    own: own == strategy,
                    outcome: "no request",
                    changes: Vec::new(),
                };
            };
            let mut changes: Vec<String> = here
                .injected
                .iter()
                .map(|it| {
                    let kind = it.kind.answer_kind().unwrap_or(it.kind).name();
                    let falsely = if it.is_false {
                        ", although the tool finished"
                    } else {
                        ""
                    };
                    format!(
                        "+ {kind} {} at input[{}]{falsely}",
                        items.call_id(it.call),
                        it.position
                    )
                })
                .collect();
            changes.extend(here.removed.iter().map(|at| format!("- input[{at}]")));
            if changes.is_empty() && here.changed {
                changes.push("sends it in another form, invents nothing".to_owned());
            }
            if here.loops {
                changes.push("would send it again for ever".to_owned());
            }
            Judgement {
                name: strategy.name(),
                own: own == strategy,
                outcome: words(&here.outcome),
                changes,
            }
        })
        .collect()
}

fn first_attempt(
    recording: &crate::session::exchange::Recording,
    exchange: &crate::session::exchange::Exchange,
) -> u32 {
    let first = recording.exchanges.get(exchange.first_attempt as usize);
    first.map_or(exchange.number, |it| it.number)
}

fn is_it(judged: &Judged, number: Option<u32>, line: Option<u32>) -> bool {
    match (number, line) {
        (Some(number), _) => judged.exchange == Some(number),
        (None, Some(line)) => judged.exchange.is_none() && judged.line == line,
        (None, None) => false,
    }
}

fn words(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::Depends { .. } => "depends",
        Outcome::Unknown => "unknown",
    }
}
