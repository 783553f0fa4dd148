//! What a run of a session under one strategy found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Strategy;
use super::live::{Live, LiveResult};
use crate::contract::{DependsOn, Fault, Outcome, Place, WorldSet};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::ledger::{Edits, Ledger, Slot};
use crate::session::Session;
use crate::session::exchange::{RecordedRefusal, Transport};
use crate::wire::item::{Flags, ItemKind};
use crate::wire::refusal::RefusalKind;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the file.
    #[default]
    Recorded,
    /// It was rebuilt from a rollout.
    Rebuilt,
    /// It is the request the client would send next.
    Probe,
}

impl Origin {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Rebuilt => "rebuilt",
            Self::Probe => "probe",
        }
    }
}

/// An output that a strategy made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The call it answers.
    pub call: CallKey,
    /// Its kind.
    pub kind: ItemKind,
    /// Its place in `input`.
    pub position: u32,
    /// Whether the session shows that the tool had finished: "aborted" is then false.
    pub is_false: bool,
}

/// An item near the fault of a request that did not get through, for a picture of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the effective context.
    pub position: u32,
    /// The item; one that stands in no file (a probe's message) has an index outside of the session.
    pub item: ItemIndex,
    /// Its kind.
    pub kind: ItemKind,
    /// The pair it belongs to.
    pub call: Option<CallKey>,
    /// Whether the server held it; otherwise it stands in `input`.
    pub held: bool,
    /// Whether it is what the fault is about.
    pub at_fault: bool,
}

/// How many items around a fault, and at the end of the request, a picture shows.
const AROUND: u32 = 2;

/// The items around a fault and those at the end of the request.
pub(super) fn picture(ledger: &Ledger, fault: &Fault, input_from: u32) -> Vec<Shown> {
    let at = match fault.call {
        Some(call) => {
            let pair = ledger.pair(call);
            if fault.item.is_call() {
                pair.first_call
            } else {
                pair.first_output
            }
        }
        // such a fault knows its item, not its place
        None if fault.kind == RefusalKind::ItemNotFound => {
            let is = |slot: &Slot| fault.place == Some(Place::Item(slot.item));
            let found = ledger.slots().iter().rposition(is);
            found.map_or(fault.position, |at| at as u32)
        }
        None => fault.position,
    };
    let length = ledger.len();
    let near = at.saturating_sub(AROUND)..(at.saturating_add(AROUND + 1)).min(length);
    let input = input_from..(input_from + AROUND).min(length);
    let end = length.saturating_sub(AROUND)..length;
    let places: BTreeSet<u32> = near.chain(input).chain(end).collect();
    places
        .into_iter()
        .filter_map(|position| {
            let slot = ledger.slot(position)?;
            Some(Shown {
                position,
                item: slot.item,
                kind: slot.kind,
                call: slot.call(),
                held: position < input_from,
                at_fault: match (fault.call, fault.place) {
                    (Some(call), _) => {
                        let stray = fault.item == ItemKind::LocalShellCallOutput;
                        slot.call() == Some(call) && (!stray || slot.kind == fault.item)
                    }
                    (None, Some(Place::Response(_))) => false,
                    (None, _) => position == at,
                },
            })
        })
        .collect()
}

/// Whether the history holds a real output of a call: one that does not merely say "aborted".
pub(super) fn is_finished(history: &Ledger, call: CallKey) -> bool {
    history
        .uses(call)
        .any(|(_, slot)| slot.kind.is_output() && !slot.flags.has(Flags::ABORTED))
}

/// The insertions, with the places in `input` they end up at and whether they are false.
pub(super) fn injected(
    edits: &Edits,
    input_from: u32,
    finished: &dyn Fn(CallKey) -> bool,
) -> Vec<Injected> {
    edits
        .inserts
        .iter()
        .enumerate()
        .map(|(index, insert)| Injected {
            call: insert.call,
            kind: insert.kind,
            position: edits.place_of(index).saturating_sub(input_from),
            is_false: finished(insert.call),
        })
        .collect()
}

/// One request and what the contract says of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The lane, an index into the recording's lanes; 0 for a rollout.
    pub lane: u32,
    /// The exchange's number in the recording.
    pub exchange: Option<u32>,
    /// The turn, from 1; 0 where it belongs to none.
    pub turn: u32,
    /// The line it stands on, or, rebuilt, the line in front of which it stands; 0 for a probe.
    pub line: LineNo,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it is what went over the wire, byte for byte.
    pub exact: bool,
    /// How many items it carries in `input`.
    pub input_items: u32,
    /// How it travelled.
    pub transport: Transport,
    /// What the contract says.
    pub outcome: Outcome,
    /// The status that was recorded.
    pub recorded_status: Option<u16>,
    /// The refusal that was recorded.
    pub recorded: Option<RecordedRefusal>,
    /// Whether the recorded answer is possible under the contract.
    pub agrees: Option<bool>,
    /// How often it was sent.
    pub attempts: u32,
    /// The last refusal seen, kept if a later attempt was accepted.
    pub refusal: Option<Fault>,
    /// What the strategy put in. Requests that are changed alike share the list.
    pub injected: Arc<[Injected]>,
    /// Places of the items it left out, shared in the same way.
    pub removed: Arc<[u32]>,
    /// Whether the strategy changed the request in any way.
    pub changed: bool,
    /// Whether the strategy would send the same request for ever.
    pub loops: bool,
    /// The items around the fault; only for the first request of a run that does not get through.
    pub shown: Vec<Shown>,
    /// What a real endpoint said; the fields above then hold what the contract says of the same request.
    pub live: Option<Box<Live>>,
}

impl Judged {
    /// Whether it is refused and stays so.
    pub fn is_refused(&self) -> bool {
        match &self.live {
            Some(live) => live.result == LiveResult::Refused,
            None => matches!(self.outcome, Outcome::Refused(_)),
        }
    }

    /// Whether it was refused on record for something the contract knows, but what it goes on from is not on file.
    pub fn is_refused_on_record(&self) -> bool {
        let named = self
            .recorded
            .as_ref()
            .filter(|_| self.live.is_none())
            .is_some_and(|refusal| refusal.named.is_some());
        self.outcome == Outcome::Unknown && named && !self.changed
    }

    /// The policies it depends on.
    pub fn depends_on(&self) -> &[DependsOn] {
        match &self.outcome {
            Outcome::Depends { on, .. } => on,
            _ => &[],
        }
    }
}

/// The verdict on a session under one strategy, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The endpoint could not be reached or broke off.
    Failed,
    /// A recorded answer contradicts the contract.
    Disagrees,
    /// A request was refused and stayed refused.
    Refused,
    /// Accepted in some worlds only.
    Depends,
    /// The evidence is not on file.
    CannotTell,
    /// A real endpoint answered differently.
    Diverged,
    /// A strategy changed something, then every request was accepted.
    Recovered,
    /// Every request was accepted as it stood.
    Clean,
}

impl Verdict {
    /// All verdicts, worst first.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::Disagrees,
        Self::Refused,
        Self::Depends,
        Self::CannotTell,
        Self::Diverged,
        Self::Recovered,
        Self::Clean,
    ];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Disagrees => "disagrees",
            Self::Refused => "refused",
            Self::Depends => "depends",
            Self::CannotTell => "cannot_tell",
            Self::Diverged => "diverged",
            Self::Recovered => "recovered",
            Self::Clean => "clean",
        }
    }

    /// The exit status it leads to.
    pub fn exit(self) -> u8 {
        match self {
            Self::Failed | Self::CannotTell => 4,
            Self::Disagrees | Self::Refused | Self::Depends | Self::Diverged => 1,
            Self::Recovered | Self::Clean => 0,
        }
    }

    /// Finds a verdict by its name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// What a strategy costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Whether every request was accepted.
    pub accepted: bool,
    /// Whether no finished tool's output was replaced or left out by the strategy.
    pub real_outputs_kept: bool,
    /// Outputs that say "aborted" of a tool that had finished; each call counts once.
    pub false_statements: u32,
    /// Items the strategy left out; each counts once.
    pub items_lost: u32,
    /// How many requests were sent.
    pub requests_sent: u32,
}

/// A session under one strategy.
#[derive(Clone, Debug)]
pub struct Run {
    /// The strategy that was asked for.
    pub strategy: Strategy,
    /// The strategy that was used.
    pub resolved: Strategy,
    /// The verdict.
    pub verdict: Verdict,
    /// For a recording whose recorded refusal the contract confirms: true.
    pub reproduced: Option<bool>,
    /// What must be said beside the verdict.
    pub note: Option<String>,
    /// What the strategy costs.
    pub score: Score,
    /// The requests, in order.
    pub requests: Vec<Judged>,
    /// How long the client would have waited between attempts; nothing really waits.
    pub waited: Duration,
    /// The worlds that the recorded answers left.
    pub worlds: WorldSet,
    /// Whether a user message stands in the file that nothing answers.
    pub unanswered_user: Option<LineNo>,
    /// The line on which a turn ended without an answer and without an error.
    pub silent_end: Option<LineNo>,
    /// Whether anything on file explains why a message may be unanswered: an open call, an orphan or a chain.
    pub explained: bool,
}

impl Run {
    /// Puts verdict, score and note together from the requests.
    pub(crate) fn conclude(requests: Vec<Judged>, worlds: WorldSet, mut score: Score) -> Self {
        let mut verdict = Verdict::Clean;
        let mut reproduced = None;
        let mut note = None;
        score.accepted = requests
            .iter()
            .all(|request| request.outcome == Outcome::Accepted);
        for request in &requests {
            let of_this = verdict_of(request);
            verdict = verdict.min(of_this);
            if request.is_refused() && request.recorded.is_some() {
                reproduced = Some(reproduced.unwrap_or(true) && request.agrees == Some(true));
            }
            if request.is_refused_on_record() {
                reproduced = Some(false);
            }
            if request.loops {
                note = Some("would loop: the refusal names the same call again and again, and the strategy has no bound".to_owned());
            }
        }
        Self {
            strategy: Strategy::None,
            resolved: Strategy::None,
            verdict,
            reproduced: if verdict == Verdict::Refused {
                reproduced
            } else {
                None
            },
            note,
            score,
            requests,
            worlds,
            waited: Duration::ZERO,
            unanswered_user: None,
            silent_end: None,
            explained: false,
        }
    }

    /// What became of the requests at a real endpoint. `self` is the same run as the contract sees it; `lives` are in the
    /// order of its requests, which may go on behind what was sent.
    #[must_use]
    pub fn at_endpoint(mut self, lives: Vec<(Live, u32)>, waited: Duration) -> Self {
        self.requests.truncate(lives.len());
        let mut verdict = Verdict::Clean;
        self.reproduced = None;
        self.score.accepted = true;
        self.score.requests_sent = 0;
        let mut false_calls: BTreeSet<String> = BTreeSet::new();
        self.waited = waited;
        for (request, (live, sends)) in self.requests.iter_mut().zip(lives) {
            verdict = verdict.min(verdict_at_endpoint(request, &live));
            self.score.accepted &=
                matches!(live.result, LiveResult::Accepted | LiveResult::Skipped);
            self.score.requests_sent += sends;
            for made_up in live.injected.iter().filter(|it| it.is_false) {
                false_calls.insert(made_up.call_id.clone());
            }
            request.attempts = sends;
            request.agrees = live.is_recorded_one;
            request.loops = false;
            if live.result == LiveResult::Refused
                && let Some(same) = live.is_recorded_one
            {
                self.reproduced = Some(self.reproduced.unwrap_or(true) && same);
            }
            request.live = Some(Box::new(live));
        }
        self.score.false_statements = false_calls.len() as u32;
        self.score.real_outputs_kept &= false_calls.is_empty();
        if self.score.requests_sent == 0 {
            // what was not asked is not known
            verdict = verdict.min(Verdict::CannotTell);
            self.score.accepted = false;
        }
        if verdict != Verdict::Refused {
            self.reproduced = None;
        }
        self.verdict = verdict;
        self.note = None;
        self
    }

    /// Turns a green verdict into [`Verdict::CannotTell`] where the session's beginning stands in a file that was not found.
    pub(crate) fn apply_incomplete(&mut self, session: &Session) {
        let incomplete = matches!(session, Session::Rollout(rollout) if rollout.incomplete);
        if incomplete && matches!(self.verdict, Verdict::Clean | Verdict::Recovered) {
            self.verdict = Verdict::CannotTell;
            self.note = Some(
                "its history begins in another rollout that was not found: what stands there is not judged"
                    .to_owned(),
            );
        }
    }

    /// Turns a green verdict into [`Verdict::CannotTell`] where the file's era cannot show what would contradict it.
    pub(crate) fn apply_cannot_tell(&mut self, session: &Session) {
        if !matches!(self.verdict, Verdict::Clean | Verdict::Recovered) {
            return;
        }
        let why = match (self.silent_end, self.unanswered_user) {
            (Some(line), _) => format!(
                "a turn ended on line {line} without an answer, and the file says no error: whether a request was refused is not on disk"
            ),
            (None, Some(line)) if !self.explained && super::forgets_interrupted_turns(session) => {
                format!(
                    "nothing answers the user message on line {line}, and this client's files keep nothing of an interrupted turn: whether a request was refused is not on disk"
                )
            }
            _ => return,
        };
        self.verdict = Verdict::CannotTell;
        self.note = Some(format!("{why}. Record the session to find out."));
    }
}

fn verdict_at_endpoint(request: &Judged, live: &Live) -> Verdict {
    let differs = live
        .divergence
        .as_ref()
        .is_some_and(|it| it.what != "acceptance");
    match live.result {
        LiveResult::Failed => Verdict::Failed,
        LiveResult::Refused => Verdict::Refused,
        LiveResult::NotSent => Verdict::CannotTell,
        LiveResult::Parted => Verdict::Diverged,
        LiveResult::Accepted if differs => Verdict::Diverged,
        LiveResult::Accepted if request.changed || !live.injected.is_empty() => Verdict::Recovered,
        LiveResult::Accepted | LiveResult::Skipped => Verdict::Clean,
    }
}

fn verdict_of(request: &Judged) -> Verdict {
    if request.agrees == Some(false) {
        return Verdict::Disagrees;
    }
    match &request.outcome {
        Outcome::Refused(_) => Verdict::Refused,
        Outcome::Depends { .. } => Verdict::Depends,
        // refused on record, and nothing on file speaks against it
        Outcome::Unknown if request.is_refused_on_record() => Verdict::Refused,
        Outcome::Unknown => Verdict::CannotTell,
        Outcome::Accepted if request.changed => Verdict::Recovered,
        Outcome::Accepted => Verdict::Clean,
    }
}
