//! What each strategy sends in place of a request.

use std::collections::BTreeSet;

use super::Strategy;
use super::judge::Retry;
use crate::ids::CallKey;
use crate::ledger::{Edits, Insert, Ledger};
use crate::wire::item::{Author, Flags, ItemKind};

/// What a client remembers between requests, in memory only.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Codex #1387: calls of the last response, since its `response.created`.
    pending: Vec<(CallKey, ItemKind)>,
    /// Codex TypeScript: calls since the turn began.
    aborts: Vec<(CallKey, ItemKind)>,
    /// What the turn's first request carried of them; a further attempt carries the same.
    carried: Vec<(CallKey, ItemKind)>,
    /// Whether the last answer left something to do: it was cut, or it asked for tools.
    unfinished: bool,
}

impl Memory {
    /// A request for a new turn goes out: what the last turn left is carried once, then forgotten.
    pub(super) fn sent(&mut self, new_turn: bool) {
        if new_turn {
            let aborts = std::mem::take(&mut self.aborts);
            self.carried = if self.unfinished { aborts } else { Vec::new() };
        }
    }

    /// A request that is no further attempt of the last one goes out.
    pub(super) fn goes_on(&mut self) {
        self.carried.clear();
    }

    /// `response.created` arrived.
    pub(super) fn created(&mut self) {
        self.pending.clear();
    }

    /// A call arrived whole.
    pub(super) fn called(&mut self, call: CallKey, kind: ItemKind) {
        self.pending.push((call, kind));
        self.aborts.push((call, kind));
    }

    /// Every call that is noted.
    pub(super) fn noted(&self) -> impl Iterator<Item = CallKey> {
        let all = self.pending.iter().chain(&self.aborts).chain(&self.carried);
        all.map(|(call, _)| *call)
    }

    /// Whether a call that was noted since the turn began has no output.
    pub(super) fn left_open(&self, ledger: &Ledger) -> bool {
        let mut noted = self.aborts.iter();
        noted.any(|(call, _)| ledger.pair(*call).is_open())
    }

    /// The answer is over; `unfinished` if it was cut or holds calls.
    pub(super) fn over(&mut self, unfinished: bool) {
        self.unfinished = unfinished;
        if !unfinished {
            self.aborts.clear();
        }
    }
}

/// What a strategy needs to see of a request.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what holds of a request, each by itself"
)]
pub(super) struct View<'a> {
    /// The history as the client knows it, the request's own items included.
    pub(super) logical: &'a Ledger,
    /// Calls that the request's own input answers.
    pub(super) answered: &'a BTreeSet<CallKey>,
    /// Whether the request begins a new turn.
    pub(super) new_turn: bool,
    /// Whether the request is a further attempt of the last one.
    pub(super) again: bool,
    /// Whether the request is sent with a previous response or conversation, or leaves out part of the logical history.
    pub(super) partial: bool,
    pub(super) memory: &'a Memory,
    /// Whether all of the history is on file: otherwise the call of an output may be in the rest.
    pub(super) sees_all: bool,
}

/// What is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// The whole logical history in place of the request.
    pub(super) whole_history: bool,
    /// Outputs in front of the request's input.
    pub(super) front: Vec<(CallKey, ItemKind)>,
    /// Changes to the logical history.
    pub(super) edits: Edits,
    /// Items left out that nothing replaces.
    pub(super) lost: u32,
}

impl Plan {
    /// Outputs in front, as changes to a context whose input begins at `input_from`.
    pub(super) fn front_edits(&self, input_from: u32) -> Edits {
        let inserts = self
            .front
            .iter()
            .map(|&(call, kind)| Insert {
                before: input_from,
                kind,
                call,
            })
            .collect();
        Edits {
            inserts,
            removed: Vec::new(),
        }
    }
}

/// What the strategy does on a refusal.
pub(super) fn retry(strategy: Strategy) -> Retry {
    match strategy {
        Strategy::ErrorBody => Retry::ErrorBody,
        Strategy::ErrorBody1610 => Retry::ErrorBody1610,
        _ => Retry::No,
    }
}

/// What the strategy sends in place of a request.
pub(super) fn plan(strategy: Strategy, view: &View<'_>) -> Plan {
    match strategy {
        Strategy::None | Strategy::AsClient | Strategy::ErrorBody | Strategy::ErrorBody1610 => {
            Plan::default()
        }
        Strategy::PendingAborts => pending_aborts(view),
        Strategy::PendingIds => pending_ids(view),
        Strategy::HistoryScan => history_scan(view, false),
        Strategy::HistoryScan045 => history_scan(view, true),
        Strategy::Normalize => normalize(view),
        Strategy::FullHistory => Plan {
            whole_history: view.partial,
            ..Plan::default()
        },
        Strategy::DropTurn => drop_turn(view),
    }
}

/// A TypeScript client adds what it noted in this turn, finished or not, when the turn did not end by itself.
fn pending_aborts(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    if view.again {
        plan.front = unsent(&view.memory.carried, view);
    } else if view.new_turn && view.memory.unfinished {
        plan.front = unsent(&view.memory.aborts, view);
    }
    plan
}

fn pending_ids(view: &View<'_>) -> Plan {
    Plan {
        front: unsent(&view.memory.pending, view),
        ..Plan::default()
    }
}

fn unsent(calls: &[(CallKey, ItemKind)], view: &View<'_>) -> Vec<(CallKey, ItemKind)> {
    calls
        .iter()
        .filter(|(call, _)| !view.answered.contains(call))
        // these clients knew one kind of output only
        .map(|(call, _)| (*call, ItemKind::FunctionCallOutput))
        .collect()
}

fn history_scan(view: &View<'_>, custom: bool) -> Plan {
    let mut plan = Plan {
        whole_history: view.partial,
        ..Plan::default()
    };
    for &call in view.logical.open().values() {
        let kind = view.logical.open_kind(call);
        let covered =
            kind == ItemKind::FunctionCall || (custom && kind == ItemKind::CustomToolCall);
        if covered {
            let kind = if custom {
                ItemKind::CustomToolCallOutput
            } else {
                ItemKind::FunctionCallOutput
            };
            plan.edits.inserts.push(Insert {
                before: 0,
                kind,
                call,
            });
        }
    }
    plan
}

fn normalize(view: &View<'_>) -> Plan {
    let ledger = view.logical;
    let mut plan = Plan {
        whole_history: view.partial,
        ..Plan::default()
    };
    for &call in ledger.open().values() {
        for (position, slot) in ledger.uses(call) {
            // a local shell call without `call_id` gets nothing (codex.md 3.1)
            if slot.flags.has(Flags::NO_CALL_ID) {
                continue;
            }
            if let Some(kind) = slot.kind.answer_kind() {
                plan.edits.inserts.push(Insert {
                    before: position + 1,
                    kind,
                    call,
                });
            }
        }
    }
    plan.edits.inserts.sort_by_key(|insert| insert.before);
    for &call in ledger.orphans().values().filter(|_| view.sees_all) {
        let alone = ledger.pair(call).calls == 0;
        let outputs = ledger.uses(call).filter(|(_, slot)| {
            slot.kind.is_output() && (alone || slot.kind == ItemKind::LocalShellCallOutput)
        });
        plan.edits
            .removed
            .extend(outputs.map(|(position, _)| position));
    }
    plan.edits.removed.sort_unstable();
    plan.lost = plan.edits.removed.len() as u32;
    plan
}

/// The answer that holds an open call is forgotten whole, with the outputs of its other calls.
fn drop_turn(view: &View<'_>) -> Plan {
    let ledger = view.logical;
    let mut plan = Plan {
        whole_history: view.partial,
        ..Plan::default()
    };
    let mut removed = BTreeSet::new();
    for &position in ledger.open().keys() {
        if removed.contains(&position) {
            continue;
        }
        let mut from = position;
        while let Some(before) = from.checked_sub(1)
            && ledger
                .slot(before)
                .is_some_and(|slot| slot.author == Author::Model)
        {
            from = before;
        }
        let mut at = from;
        while let Some(slot) = ledger.slot(at)
            && slot.author != Author::User
        {
            if slot.author == Author::Model || slot.kind.is_output() {
                removed.insert(at);
            }
            at += 1;
        }
    }
    plan.lost = removed.len() as u32;
    plan.edits.removed = removed.into_iter().collect();
    plan
}
