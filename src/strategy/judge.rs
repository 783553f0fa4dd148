//! Judging one request in all worlds, with a strategy's changes made to it.

use std::collections::BTreeSet;

use crate::contract::{self, Decision, Facts, Fault, Outcome, Policy, Reads, World, WorldSet};
use crate::endpoint::{Context, Lookup};
use crate::ids::{CallKey, ResponseKey};
use crate::ledger::{Edits, Insert, Ledger};
use crate::session::exchange::RecordedRefusal;
use crate::wire::item::{ItemKind, Items};
use crate::wire::refusal::RefusalKind;

/// What a strategy does when it reads a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Nothing.
    No,
    /// Adds the right output and tries again, with a bound.
    ErrorBody,
    /// As PR #1610: function calls with `call_` in their id only, without a bound.
    ErrorBody1610,
}

/// The request as one of the three servers sees it.
pub(super) struct Variant<'a> {
    pub(super) ledger: &'a Ledger,
    /// What the server held; the input begins here.
    pub(super) input_from: u32,
    /// Changes the strategy makes before sending.
    pub(super) edits: Edits,
    /// A fault that does not lie in the items.
    pub(super) state: StateFault,
}

/// What a request refers to on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StateFault {
    pub(super) previous: Option<Fault>,
    pub(super) item: Option<Fault>,
    pub(super) unknown: bool,
    /// Items that are not on file may stand in front.
    pub(super) partial: bool,
    pub(super) unknown_reference: bool,
}

impl StateFault {
    /// Reads it off a context.
    pub(super) fn of(context: &Context, previous: Option<ResponseKey>, stored: bool) -> Self {
        let fault = |kind, item, place| Fault {
            kind,
            item,
            call: None,
            position: 0,
            place: Some(place),
            stored,
        };
        let mut found = Self {
            partial: context.partial,
            ..Self::default()
        };
        match context.previous {
            Lookup::Found => {}
            Lookup::Unknown => found.unknown = true,
            Lookup::NotFound => {
                found.previous = previous.map(|key| {
                    let place = contract::Place::Response(key);
                    fault(
                        RefusalKind::PreviousResponseNotFound,
                        ItemKind::Other,
                        place,
                    )
                });
            }
        }
        match context.reference {
            Some((item, Lookup::NotFound)) => {
                let place = contract::Place::Item(item);
                found.item = Some(fault(
                    RefusalKind::ItemNotFound,
                    ItemKind::ItemReference,
                    place,
                ));
            }
            Some((_, Lookup::Unknown)) => {
                (found.unknown, found.unknown_reference) = (true, true);
            }
            _ => {}
        }
        found
    }
}

/// What is taken to stand in front of a conversation that began before the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Anything: only what is on file is known.
    OfFile,
    /// Nothing that matters.
    Whole,
}

/// A request with its variants, ready to be judged.
pub(super) struct Case<'a> {
    pub(super) variants: [Variant<'a>; 3],
    pub(super) exact_ids: bool,
    pub(super) retry: Retry,
}

/// What was recorded of the answer, as far as the contract cares.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recorded<'a> {
    /// Nothing, or an answer that is no word of the contract.
    Nothing,
    /// The request was accepted.
    Accepted,
    /// It was refused.
    Refused(&'a RecordedRefusal),
}

/// What judging found.
pub(super) struct Judgement {
    pub(super) outcome: Outcome,
    /// Whether some world gives the recorded answer.
    pub(super) agrees: Option<bool>,
    /// The changes made in the world nearest to the defaults.
    pub(super) edits: Edits,
    /// The refusal seen last in that world, also if a further attempt got through.
    pub(super) refusal: Option<Fault>,
    /// How many requests it took.
    pub(super) sends: u32,
    pub(super) loops: bool,
    /// The server (index of [`contract::Stored::ALL`]) of that world.
    pub(super) variant: usize,
}

struct Attempted {
    decision: Decision,
    edits: Edits,
    refusal: Option<Fault>,
    sends: u32,
    loops: bool,
}

impl Case<'_> {
    /// Judges, and keeps in `worlds` only those that give the recorded answer (all, if none does).
    pub(super) fn judge(
        &self,
        items: &Items,
        worlds: &mut WorldSet,
        recorded: Recorded<'_>,
    ) -> Judgement {
        self.judge_as(items, worlds, recorded, self.retry)
    }

    fn judge_as(
        &self,
        items: &Items,
        worlds: &mut WorldSet,
        recorded: Recorded<'_>,
        retry: Retry,
    ) -> Judgement {
        let before = *worlds;
        let judged = self.judge_seeing(items, worlds, recorded, retry, Sight::OfFile);
        let hides = self.variants.iter().any(|variant| variant.state.partial);
        if judged.agrees != Some(false) || !hides {
            return judged;
        }
        // a recorded refusal of an output tells that its call does not stand in front of what is on file
        let mut kept = before;
        let again = self.judge_seeing(items, &mut kept, recorded, retry, Sight::Whole);
        if again.agrees == Some(true) {
            *worlds = kept;
            return again;
        }
        judged
    }

    fn judge_seeing(
        &self,
        items: &Items,
        worlds: &mut WorldSet,
        recorded: Recorded<'_>,
        retry: Retry,
        sight: Sight,
    ) -> Judgement {
        let facts = self.facts(sight);
        let mut relevant = contract::relevant(&facts);
        let clean = relevant.is_empty()
            && facts
                .iter()
                .all(|f| contract::decide(f, World::DEFAULT) == Decision::Accepted);
        if retry != Retry::No && !clean {
            // outputs put in front of their calls, or beside real ones, bring these into play
            for policy in [
                Policy::OutputBeforeCall,
                Policy::DuplicateOutput,
                Policy::MissingIdChoice,
                Policy::FaultOrder,
            ] {
                if !relevant.contains(&policy) {
                    relevant.push(policy);
                }
            }
        }
        let decision = |world: World| self.attempt(items, &facts, world, retry, sight).decision;
        let agrees = match recorded {
            Recorded::Nothing => None,
            _ if relevant.is_empty() => {
                let world = worlds.iter().next().unwrap_or(World::DEFAULT);
                Some(gives(items, decision(world), recorded))
            }
            _ => {
                let mut kept = *worlds;
                let known: Vec<(World, bool)> = worlds
                    .groups(&relevant)
                    .into_iter()
                    .map(|world| (world, gives(items, decision(world), recorded)))
                    .collect();
                kept.retain(|world| {
                    let same = |other: World| {
                        relevant
                            .iter()
                            .all(|&p| p.values().len() < 2 || world.value(p) == other.value(p))
                    };
                    known.iter().any(|&(other, gives)| gives && same(other))
                });
                let possible = !kept.is_empty();
                if possible {
                    *worlds = kept;
                }
                Some(possible)
            }
        };
        let outcome = contract::judge(worlds, &relevant, decision);
        let nearest = worlds.iter().next().unwrap_or(World::DEFAULT);
        let world = match &outcome {
            // show a world that does what is said
            Outcome::Refused(_) | Outcome::Depends { .. } => worlds
                .groups(&relevant)
                .into_iter()
                .find(|&world| matches!(decision(world), Decision::Refused(_)))
                .unwrap_or(nearest),
            _ => nearest,
        };
        let shown = self.attempt(items, &facts, world, retry, sight);
        Judgement {
            outcome,
            agrees,
            edits: shown.edits,
            refusal: shown.refusal,
            sends: shown.sends,
            loops: shown.loops,
            variant: world.stored() as usize,
        }
    }

    /// The same without the strategy's answers to refusals.
    pub(super) fn judge_first(
        &self,
        items: &Items,
        worlds: &mut WorldSet,
        recorded: Recorded<'_>,
    ) -> Judgement {
        self.judge_as(items, worlds, recorded, Retry::No)
    }

    fn facts(&self, sight: Sight) -> [Facts; 3] {
        let [nothing, sent, all] = &self.variants;
        let first = self.facts_of(nothing, &nothing.edits, sight);
        let same = |a: &Variant<'_>, b: &Variant<'_>| {
            std::ptr::eq(a.ledger, b.ledger)
                && a.input_from == b.input_from
                && a.edits == b.edits
                && a.state == b.state
        };
        let second = if same(nothing, sent) {
            first
        } else {
            self.facts_of(sent, &sent.edits, sight)
        };
        let third = if same(sent, all) {
            second
        } else {
            self.facts_of(all, &all.edits, sight)
        };
        [first, second, third]
    }

    fn facts_of(&self, variant: &Variant<'_>, edits: &Edits, sight: Sight) -> Facts {
        let reads = Reads {
            input_from: variant.input_from,
            exact_ids: self.exact_ids,
        };
        let mut facts = Facts::read(variant.ledger, edits, reads);
        facts.previous_not_found = variant.state.previous;
        facts.item_not_found = variant.state.item;
        facts.unknown_state = variant.state.unknown;
        if sight == Sight::OfFile && variant.state.partial && facts.orphans.first.is_some() {
            // the calls may stand in front of what is on file
            facts.unknown_state = true;
        }
        facts.unknown_reference = variant.state.unknown_reference;
        facts
    }

    /// Sends, and sends again as the strategy would, in one world.
    fn attempt(
        &self,
        items: &Items,
        facts: &[Facts; 3],
        world: World,
        retry: Retry,
        sight: Sight,
    ) -> Attempted {
        let index = world.stored() as usize;
        let [nothing, sent, all] = &self.variants;
        let variant = [nothing, sent, all].get(index).copied().unwrap_or(nothing);
        let first = facts.get(index).copied().unwrap_or_default();
        let mut tried = Attempted {
            decision: contract::decide(&first, world),
            edits: variant.edits.clone(),
            refusal: None,
            sends: 1,
            loops: false,
        };
        let mut answered: BTreeSet<CallKey> = BTreeSet::new();
        while let Decision::Refused(fault) = tried.decision {
            tried.refusal = Some(fault);
            let Some(insert) = answer(retry, items, &fault, variant.input_from) else {
                break;
            };
            if !answered.insert(insert.call) {
                tried.loops = retry == Retry::ErrorBody1610;
                break;
            }
            let at = tried
                .edits
                .inserts
                .partition_point(|other| other.before < insert.before);
            tried.edits.inserts.insert(at, insert);
            tried.sends += 1;
            tried.decision = contract::decide(&self.facts_of(variant, &tried.edits, sight), world);
        }
        tried
    }
}

/// Judges; a strategy that answers refusals meets the recorded one first and then goes its own way.
pub(super) fn judge_case(
    items: &Items,
    worlds: &mut WorldSet,
    case: &Case<'_>,
    recorded: Recorded<'_>,
) -> Judgement {
    if case.retry == Retry::No || !matches!(recorded, Recorded::Refused(_)) {
        return case.judge(items, worlds, recorded);
    }
    let first = case.judge_first(items, worlds, recorded);
    if first.agrees == Some(false) {
        return first;
    }
    Judgement {
        agrees: first.agrees,
        ..case.judge(items, worlds, Recorded::Nothing)
    }
}

/// The output that a strategy adds after reading a refusal.
fn answer(retry: Retry, items: &Items, fault: &Fault, input_from: u32) -> Option<Insert> {
    let call = fault.call?;
    let kind = match retry {
        Retry::No => return None,
        Retry::ErrorBody => contract::answer_to(fault)?,
        Retry::ErrorBody1610 => {
            let known = fault.kind == RefusalKind::MissingOutput
                && fault.item == ItemKind::FunctionCall
                && items.call_id(call).contains("call_");
            if !known {
                return None;
            }
            ItemKind::FunctionCallOutput
        }
    };
    Some(Insert {
        before: input_from,
        kind,
        call,
    })
}

/// Whether a decision is the recorded answer, or could be.
fn gives(items: &Items, decision: Decision, recorded: Recorded<'_>) -> bool {
    match (decision, recorded) {
        (Decision::Unknown, _)
        | (_, Recorded::Nothing)
        | (Decision::Accepted, Recorded::Accepted) => true,
        (Decision::Refused(fault), Recorded::Refused(refusal)) => {
            refusal.named.as_ref().is_some_and(|named| {
                // these name an item's id or place, not a call
                let by_item = matches!(
                    fault.kind,
                    RefusalKind::DuplicateItem
                        | RefusalKind::BadItemId
                        | RefusalKind::CallIdTooLong
                );
                let call = fault.call.filter(|_| !by_item);
                named.kind == fault.kind
                    && (named.item_type.is_none()
                        || call.is_none()
                        || named.item_type == Some(fault.item))
                    && call.is_none_or(|call| items.call_id(call) == named.id)
            })
        }
        _ => false,
    }
}
