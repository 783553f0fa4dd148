//! What became of the requests in one situation under one strategy.

use std::collections::BTreeMap;

use crate::contract::{self, Outcome, Place};
use crate::session::Session;
use crate::strategy::interrupt::{self, Point, Told};
use crate::wire::refusal::RefusalKind;

/// The requests of one situation under one strategy. Counts are of cuts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Cuts that fall into it.
    pub cuts: u64,
    /// Accepted in every world.
    pub accepted: u64,
    /// Accepted after the strategy changed something.
    pub repaired: u64,
    /// Refused in every world.
    pub refused: u64,
    /// Accepted in some worlds.
    pub depends: u64,
    /// The session does not hold what is needed to tell.
    pub unknown: u64,
    /// Cuts after which the strategy would send the same request for ever.
    pub loops: u64,
    /// Cuts after which it calls a tool aborted that had ended.
    pub with_falsehoods: u64,
    /// The most calls of which it says so in one request.
    pub false_statements: u32,
    /// Cuts after which it replaces or leaves out a real output.
    pub outputs_lost: u64,
    /// The most items it leaves out of one request.
    pub items_lost: u32,
    /// The most requests it takes to get through, or to give up.
    pub requests: u32,
    /// How many requests were judged for it: one for each state, not for each cut.
    pub requests_judged: u64,
    /// The rules it is refused by, with how many cuts each.
    pub rules: BTreeMap<&'static str, u64>,
    /// The policies it depends on.
    pub policies: BTreeMap<&'static str, u64>,
    /// The smallest cut that fails.
    pub smallest: Option<Example>,
    /// The smallest cut after which something false is said or a real output lost.
    pub smallest_false: Option<Example>,
}

/// One cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The exchange's number; `None` for a rollout.
    pub exchange: Option<u32>,
    /// The line of the request, or of the last item of a rollout.
    pub line: u32,
    /// The event behind which it falls; `None` where no event had come, or events are not on file.
    pub event: Option<u32>,
    /// Who made it, where it is a first cut.
    pub who: Option<&'static str>,
    /// The first cut, in whose next answer this one falls.
    pub behind: Option<Box<Example>>,
    /// The call it is about.
    pub call_id: Option<String>,
    /// What the endpoint says, if it refuses.
    pub message: Option<String>,
    /// The rule.
    pub rule: Option<&'static str>,
    /// Whether some worlds accept it.
    pub depends: bool,
    /// The policies it depends on, with the values that accept.
    pub accepting: Vec<String>,
    /// Whether the strategy would loop.
    pub loops: bool,
}

/// What a cell says in one sign, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Every request is accepted as it stands.
    Accepted,
    /// Every request is accepted, some after a repair.
    Repaired,
    /// Accepted, but a tool that had ended is called aborted, or a real output is left out.
    False,
    /// It cannot be told.
    Unknown,
    /// Some worlds refuse.
    Depends,
    /// A call has no output.
    MissingOutput,
    /// An output has no call.
    OrphanOutput,
    /// Refused for something else.
    Refused,
    /// The strategy would send the same request for ever.
    Loops,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Repaired,
        Self::False,
        Self::Unknown,
        Self::Depends,
        Self::MissingOutput,
        Self::OrphanOutput,
        Self::Refused,
        Self::Loops,
    ];

    /// One letter; small where it holds for some of the cuts only.
    pub fn letter(self, all: bool) -> char {
        let letter = match self {
            Self::Accepted => return '·',
            Self::Repaired => return '+',
            Self::False => 'F',
            Self::Unknown => 'U',
            Self::Depends => 'D',
            Self::MissingOutput => 'O',
            Self::OrphanOutput => 'C',
            Self::Refused => 'R',
            Self::Loops => 'L',
        };
        if all {
            letter
        } else {
            letter.to_ascii_lowercase()
        }
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Repaired => "repaired",
            Self::False => "false",
            Self::Unknown => "unknown",
            Self::Depends => "depends",
            Self::MissingOutput => "missing_output",
            Self::OrphanOutput => "orphan_output",
            Self::Refused => "refused",
            Self::Loops => "loops",
        }
    }

    /// What it means.
    pub fn words(self) -> &'static str {
        match self {
            Self::Accepted => "accepted as it stands",
            Self::Repaired => "accepted after a repair",
            Self::False => {
                "accepted, but says \"aborted\" of a tool that had ended, or leaves its output out"
            }
            Self::Unknown => "cannot be told from the session",
            Self::Depends => "depends on what is not known of the API",
            Self::MissingOutput => "refused: no tool output found (a call is open)",
            Self::OrphanOutput => "refused: no tool call found (an output without its call)",
            Self::Refused => "refused for something else",
            Self::Loops => "refused, and the strategy would try for ever",
        }
    }
}

impl Cell {
    /// Whether a request of it does not get through in every world.
    pub fn fails(&self) -> bool {
        self.refused + self.depends + self.loops > 0
    }

    /// Its worst, and whether that holds for every cut.
    pub fn mark(&self) -> (Mark, bool) {
        let of = |rule: RefusalKind| self.rules.get(rule.name()).copied().unwrap_or(0);
        let missing = of(RefusalKind::MissingOutput);
        let orphan = of(RefusalKind::OrphanOutput);
        let other = self.refused.saturating_sub(missing + orphan);
        let untrue = self.untrue();
        let found = [
            (Mark::Loops, self.loops),
            (Mark::Refused, other),
            (Mark::OrphanOutput, orphan),
            (Mark::MissingOutput, missing),
            (Mark::Depends, self.depends),
            (Mark::Unknown, self.unknown),
            (Mark::False, untrue),
            (Mark::Repaired, self.repaired),
        ];
        match found.into_iter().find(|(_, count)| *count > 0) {
            Some((mark, count)) => (mark, count == self.cuts),
            None => (Mark::Accepted, true),
        }
    }

    /// Cuts after which something false is said or a real output is gone.
    fn untrue(&self) -> u64 {
        self.with_falsehoods.max(self.outputs_lost)
    }

    /// Counts a point.
    pub(super) fn add(
        &mut self,
        session: &Session,
        point: &Point,
        behind: Option<&Example>,
        told: &Told,
    ) {
        let cuts = u64::from(point.cuts);
        self.cuts += cuts;
        self.requests_judged += 1;
        let example = || example(session, point, behind, told);
        match &told.outcome {
            Outcome::Accepted => {
                self.accepted += cuts;
                self.repaired += if told.changed { cuts } else { 0 };
            }
            Outcome::Refused(fault) => {
                self.refused += cuts;
                *self.rules.entry(fault.kind.name()).or_default() += cuts;
                self.smallest.get_or_insert_with(example);
            }
            Outcome::Depends { on, .. } => {
                self.depends += cuts;
                for policy in on {
                    *self.policies.entry(policy.policy.name()).or_default() += cuts;
                }
                self.smallest.get_or_insert_with(example);
            }
            Outcome::Unknown => self.unknown += cuts,
        }
        if told.loops {
            self.loops += cuts;
            self.smallest.get_or_insert_with(example);
        }
        if told.false_statements > 0 || !told.real_outputs_kept {
            self.smallest_false.get_or_insert_with(example);
        }
        self.with_falsehoods += if told.false_statements > 0 { cuts } else { 0 };
        self.outputs_lost += if told.real_outputs_kept { 0 } else { cuts };
        self.false_statements = self.false_statements.max(told.false_statements);
        self.items_lost = self.items_lost.max(told.lost);
        self.requests = self.requests.max(told.sends);
    }
}

pub(super) fn example(
    session: &Session,
    point: &Point,
    behind: Option<&Example>,
    told: &Told,
) -> Example {
    let items = interrupt::items(session);
    let fault = match &told.outcome {
        Outcome::Refused(fault) | Outcome::Depends { fault, .. } => Some(*fault),
        Outcome::Accepted | Outcome::Unknown => told.refusal.filter(|_| told.loops),
    };
    let text = |place: &Place| match place {
        // ids of items stay in the file
        Place::Item(index) | Place::Led { item: index, .. } => items
            .get(*index)
            .map(|item| format!("the id on line {}", item.line)),
        Place::Response(key) => {
            let responses = match session {
                Session::Rollout(rollout) => &rollout.responses,
                Session::Recording(recording) => &recording.responses,
            };
            Some(String::from_utf8_lossy(responses.text(key.0)).into_owned())
        }
    };
    let call = fault.and_then(|fault| fault.call).or(point.call);
    let accepting = match &told.outcome {
        Outcome::Depends { on, .. } => on
            .iter()
            .flat_map(|on| {
                let accepts = on.values.iter().filter(|(_, accepted)| *accepted);
                accepts.map(|(value, _)| format!("{}={value}", on.policy.name()))
            })
            .collect(),
        _ => Vec::new(),
    };
    Example {
        exchange: point.exchange,
        line: point.line,
        event: point.event,
        who: None,
        behind: behind.map(|it| Box::new(it.clone())),
        call_id: call.map(|call| items.call_id(call).to_owned()),
        message: fault.map(|fault| contract::refusal(&fault, items, &text).message),
        rule: fault.map(|fault| fault.kind.name()),
        depends: matches!(told.outcome, Outcome::Depends { .. }),
        accepting,
        loops: told.loops,
    }
}
