//! Judging one request in all worlds, with a strategy's changes made to it.

mod answers;

use answers::Answers;

use crate::contract::{self, Decision, Facts, Fault, Outcome, Policy, Reads, World, WorldSet};
use crate::endpoint::{Context, Lookup};
use crate::ids::{CallKey, ResponseKey};
use crate::ledger::{Edits, Ledger};
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

impl Retry {
    /// Whether a refusal on record is one that is answered, with an output for the call it names.
    pub(super) fn answers(self, refusal: &RecordedRefusal) -> bool {
        let Some(named) = &refusal.named else {
            return false;
        };
        if named.kind != RefusalKind::MissingOutput {
            return false;
        }
        match self {
            Self::No => false,
            Self::ErrorBody => named.item_type.is_some_and(|it| it.answer_kind().is_some()),
            Self::ErrorBody1610 => {
                named.item_type == Some(ItemKind::FunctionCall) && named.id.contains("call_")
            }
        }
    }
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

impl Judgement {
    fn of(outcome: Outcome, agrees: Option<bool>, shown: Attempted, world: World) -> Self {
        Self {
            outcome,
            agrees,
            edits: shown.edits,
            refusal: shown.refusal,
            sends: shown.sends,
            loops: shown.loops,
            variant: world.stored() as usize,
        }
    }
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
        let hides = |variant: &Variant<'_>| variant.state.partial || variant.state.unknown;
        let names_orphan = matches!(recorded, Recorded::Refused(refusal)
            if refusal.named.as_ref().is_some_and(|named| named.kind == RefusalKind::OrphanOutput));
        if names_orphan && self.variants.iter().any(hides) {
            // such a refusal tells that the call does not stand in front of what is on file
            let mut kept = *worlds;
            let facts = self.facts(Sight::Whole);
            let judged = self.judge_facts(items, &mut kept, recorded, retry, &facts);
            if judged.agrees == Some(true) {
                *worlds = kept;
                return judged;
            }
        }
        let facts = self.facts(Sight::OfFile);
        self.judge_facts(items, worlds, recorded, retry, &facts)
    }

    /// The same, where the facts of the three variants are known.
    pub(super) fn judge_facts(
        &self,
        items: &Items,
        worlds: &mut WorldSet,
        recorded: Recorded<'_>,
        retry: Retry,
        facts: &[Facts; 3],
    ) -> Judgement {
        let nearest = worlds.iter().next();
        let mut relevant = contract::relevant(facts);
        let clean = relevant.is_empty()
            && facts
                .iter()
                .all(|f| contract::decide(f, World::DEFAULT) == Decision::Accepted);
        if let (true, Some(nearest), Recorded::Nothing) = (clean, nearest, recorded) {
            let sent = self.attempt(items, facts, nearest, Retry::No);
            return Judgement::of(Outcome::Accepted, None, sent, nearest);
        }
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
        let mut attempts: Vec<(World, Attempted)> = worlds
            .groups(&relevant)
            .into_iter()
            .map(|world| (world, self.attempt(items, facts, world, retry)))
            .collect();
        let agrees = match recorded {
            Recorded::Nothing => None,
            _ if relevant.is_empty() => {
                let decision = match attempts.first() {
                    Some((_, attempted)) => attempted.decision,
                    None => self.attempt(items, facts, World::DEFAULT, retry).decision,
                };
                Some(gives(items, decision, recorded))
            }
            _ => {
                let given = |it: &(World, Attempted)| gives(items, it.1.decision, recorded);
                let possible = attempts.iter().any(given);
                if possible {
                    attempts.retain(given);
                    worlds.retain(|world| {
                        let same = |other: World| {
                            relevant
                                .iter()
                                .all(|&p| p.values().len() < 2 || world.value(p) == other.value(p))
                        };
                        attempts.iter().any(|(other, _)| same(*other))
                    });
                }
                Some(possible)
            }
        };
        let decisions: Vec<(World, Decision)> = attempts
            .iter()
            .map(|(world, attempted)| (*world, attempted.decision))
            .collect();
        let outcome = contract::conclude(&decisions, &relevant);
        let shown = match &outcome {
            // show a world that does what is said
            Outcome::Refused(_) | Outcome::Depends { .. } => decisions
                .iter()
                .position(|(_, decision)| matches!(decision, Decision::Refused(_)))
                .unwrap_or(0),
            _ => 0,
        };
        // the first group is that of the world nearest to the defaults
        let (world, shown) = if shown < attempts.len() {
            attempts.swap_remove(shown)
        } else {
            let world = World::DEFAULT;
            (world, self.attempt(items, facts, world, retry))
        };
        Judgement::of(outcome, agrees, shown, world)
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
        facts.unknown_state = sight == Sight::OfFile && variant.state.unknown;
        if sight == Sight::OfFile && variant.state.partial && facts.orphans.first.is_some() {
            // the calls may stand in front of what is on file
            facts.unknown_state = true;
        }
        facts.unknown_reference = variant.state.unknown_reference;
        facts
    }

    /// Sends, and sends again as the strategy would, in one world.
    fn attempt(&self, items: &Items, facts: &[Facts; 3], world: World, retry: Retry) -> Attempted {
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
        let Decision::Refused(mut fault) = tried.decision else {
            return tried;
        };
        tried.refusal = Some(fault);
        if retry == Retry::No || !variant.edits.is_empty() {
            return tried;
        }
        let mut answers = Answers::new(variant.ledger, variant.input_from, &first);
        while let Some((call, kind)) = answer(retry, items, &fault) {
            if answers.has(call) {
                tried.loops = retry == Retry::ErrorBody1610;
                break;
            }
            if !answers.add(call, kind) {
                break;
            }
            tried.sends += 1;
            tried.decision = contract::decide(&answers.facts(), world);
            match tried.decision {
                Decision::Refused(next) => fault = next,
                _ => break,
            }
            tried.refusal = Some(fault);
        }
        tried.edits = answers.into_edits();
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
fn answer(retry: Retry, items: &Items, fault: &Fault) -> Option<(CallKey, ItemKind)> {
    let call = fault.call?;
    match retry {
        Retry::No => None,
        Retry::ErrorBody => Some((call, contract::answer_to(fault)?)),
        Retry::ErrorBody1610 => {
            let known = fault.kind == RefusalKind::MissingOutput
                && fault.item == ItemKind::FunctionCall
                && items.call_id(call).contains("call_");
            known.then_some((call, ItemKind::FunctionCallOutput))
        }
    }
}

/// Whether a decision is the recorded answer, or could be.
fn gives(items: &Items, decision: Decision, recorded: Recorded<'_>) -> bool {
    match (decision, recorded) {
        (Decision::Unknown, Recorded::Refused(refusal)) => refusal.named.is_some(),
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
