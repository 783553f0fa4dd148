//! The tool-call contract of the Responses API: which request is refused, with which words, and what that depends on.
//!
//! The rules are those of responses-api.md 1.1 and 2. Where the real API's behaviour is not known, the rule is a named
//! [`Policy`], and a request is judged in every [`World`]: one choice for every policy. Pure: takes a ledger, returns a
//! value.

pub mod facts;
pub mod policy;

use crate::wire::item::{ItemKind, Items};
use crate::wire::refusal::{Refusal, RefusalKind};
use facts::Ends;

pub use facts::{Facts, Fault, Place, Reads};
pub use policy::{Policy, Stored, World, WorldSet};

/// What one world's endpoint does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It answers.
    Accepted,
    /// It refuses.
    Refused(Fault),
    /// It depends on state the session does not hold.
    Unknown,
}

/// What the contract says of a request in all worlds together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted in every world.
    Accepted,
    /// Refused in every world; the fault is that of the world nearest to the defaults.
    Refused(Fault),
    /// Accepted in some worlds only.
    Depends {
        /// What the worlds that refuse say.
        fault: Fault,
        /// The policies that decide, each with what its values lead to.
        on: Vec<DependsOn>,
    },
    /// The session does not hold what is needed to tell.
    Unknown,
}

/// A policy that decides, and what each of its values leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependsOn {
    /// The policy.
    pub policy: Policy,
    /// For each value that is still possible: its name, and whether the request is accepted.
    pub values: Vec<(&'static str, bool)>,
}

/// What the endpoint of one world does, in the order of checks of responses-api.md 5.
pub fn decide(facts: &Facts, world: World) -> Decision {
    match first_fault(facts, world) {
        Some(fault) => Decision::Refused(fault),
        None if facts.unknown_state => Decision::Unknown,
        None => Decision::Accepted,
    }
}

fn first_fault(facts: &Facts, world: World) -> Option<Fault> {
    if let Some(fault) = facts.ill_formed.or(facts.duplicate_item) {
        return Some(fault);
    }
    if let Some(fault) = facts.previous_not_found.or(facts.item_not_found) {
        return Some(fault);
    }
    let end = |ends: Ends| {
        if world.missing_last() {
            ends.last
        } else {
            ends.first
        }
    };
    // the call of an output may be held where the session cannot see it; a reference may be to anything
    let sees_calls = !facts.unknown_state;
    let sees_items = !facts.unknown_reference;
    let mut open = end(facts.open).filter(|_| sees_items);
    if world.refuses(Policy::OutputBeforeCall) && sees_calls {
        open = nearer(open, end(facts.early), world.missing_last());
    }
    if world.refuses(Policy::UnansweredApproval) && sees_items {
        open = nearer(open, end(facts.approvals), world.missing_last());
    }
    let orphan = end(facts.orphans).filter(|_| sees_calls);
    let pairs = if world.orphan_first() {
        orphan.or(open)
    } else {
        open.or(orphan)
    };
    pairs
        .or(facts
            .extra_output
            .filter(|_| world.refuses(Policy::DuplicateOutput)))
        .or(facts
            .extra_call
            .filter(|_| world.refuses(Policy::DuplicateCall)))
        .or(facts
            .lone_reasoning
            .or(facts.unled)
            .filter(|_| world.refuses(Policy::ReasoningPairs) && sees_items))
}

/// The fault that stands first (or last) in the request.
fn nearer(a: Option<Fault>, b: Option<Fault>, last: bool) -> Option<Fault> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if (a.position <= b.position) == last {
            b
        } else {
            a
        }),
        (a, b) => a.or(b),
    }
}

/// The policies whose value can change what is decided on these facts.
pub fn relevant(facts: &[Facts; 3]) -> Vec<Policy> {
    let mut found = Vec::new();
    let [nothing, sent, all] = facts;
    if nothing != sent || sent != all {
        found.push(Policy::StoredAfterCut);
    }
    let any = |has: fn(&Facts) -> bool| facts.iter().any(has);
    if any(|f| f.early.first.is_some()) {
        found.push(Policy::OutputBeforeCall);
    }
    if any(|f| f.extra_output.is_some()) {
        found.push(Policy::DuplicateOutput);
    }
    if any(|f| f.extra_call.is_some()) {
        found.push(Policy::DuplicateCall);
    }
    if any(|f| f.lone_reasoning.is_some() || f.unled.is_some()) {
        found.push(Policy::ReasoningPairs);
    }
    if any(|f| f.approvals.first.is_some()) {
        found.push(Policy::UnansweredApproval);
    }
    if any(|f| {
        f.open.first != f.open.last
            || f.orphans.first != f.orphans.last
            || f.early.first.is_some()
            || f.approvals.first.is_some()
    }) {
        found.push(Policy::MissingIdChoice);
    }
    if any(|f| f.orphans.first.is_some()) {
        found.push(Policy::FaultOrder);
    }
    found
}

/// Judges in all worlds of `worlds`; `decision` is what one world does.
///
/// Only worlds that differ in a policy of `relevant` are looked at apart.
pub fn judge(
    worlds: &WorldSet,
    relevant: &[Policy],
    mut decision: impl FnMut(World) -> Decision,
) -> Outcome {
    let groups = worlds.groups(relevant);
    let decisions: Vec<(World, Decision)> = groups
        .iter()
        .map(|&world| (world, decision(world)))
        .collect();
    conclude(&decisions, relevant)
}

/// Puts together what one world of each group does, the groups nearest to the defaults first.
pub fn conclude(decisions: &[(World, Decision)], relevant: &[Policy]) -> Outcome {
    let refused = decisions.iter().find_map(|(_, decision)| match decision {
        Decision::Refused(fault) => Some(*fault),
        _ => None,
    });
    let accepted = decisions
        .iter()
        .any(|(_, decision)| *decision == Decision::Accepted);
    let unknown = decisions
        .iter()
        .any(|(_, decision)| *decision == Decision::Unknown);
    match refused {
        None if unknown || decisions.is_empty() => Outcome::Unknown,
        None => Outcome::Accepted,
        Some(fault) if !accepted && !unknown => Outcome::Refused(fault),
        Some(_) if !accepted => Outcome::Unknown,
        Some(fault) => Outcome::Depends {
            fault,
            on: deciding(decisions, relevant),
        },
    }
}

/// The policies of which a flip alone turns acceptance into refusal somewhere; if none does alone, all relevant ones.
fn deciding(decisions: &[(World, Decision)], relevant: &[Policy]) -> Vec<DependsOn> {
    let accepts = |decision: &Decision| *decision == Decision::Accepted;
    let mut found = Vec::new();
    for &policy in relevant {
        // the world nearest to the defaults in which this policy alone turns the decision
        let turning = decisions.iter().find(|(world, decision)| {
            decisions.iter().any(|(other, others)| {
                world.equal_but_for(*other, policy, relevant)
                    && accepts(decision) != accepts(others)
            })
        });
        let Some((world, own)) = turning else {
            continue;
        };
        let values = policy
            .values()
            .iter()
            .enumerate()
            .filter_map(|(value, name)| {
                if world.value(policy) == value {
                    return Some((*name, accepts(own)));
                }
                let at = decisions.iter().find(|(other, _)| {
                    other.value(policy) == value && world.equal_but_for(*other, policy, relevant)
                })?;
                Some((*name, accepts(&at.1)))
            })
            .collect();
        found.push(DependsOn { policy, values });
    }
    if found.is_empty() {
        found = relevant
            .iter()
            .filter(|policy| !policy.is_wording())
            .map(|&policy| DependsOn {
                policy,
                values: Vec::new(),
            })
            .collect();
    }
    found
}

/// The refusal a fault leads to, in the API's words. `id_text` reads an item's id again from where it stands.
pub fn refusal(
    fault: &Fault,
    items: &Items,
    id_text: &dyn Fn(&Place) -> Option<String>,
) -> Refusal {
    let call_id = fault.call.map_or("", |key| items.call_id(key));
    let id = || fault.place.as_ref().and_then(id_text).unwrap_or_default();
    match fault.kind {
        RefusalKind::MissingOutput => Refusal::missing_output(fault.item, call_id),
        RefusalKind::OrphanOutput => Refusal::orphan_output(fault.item, call_id),
        RefusalKind::DuplicateItem => Refusal::duplicate_item(fault.item, &id()),
        RefusalKind::ReasoningWithoutFollower => Refusal::reasoning_without_follower(&id()),
        RefusalKind::ItemWithoutReasoning => {
            let reasoning = match fault.place {
                Some(Place::Led { reasoning, .. }) => id_text(&Place::Item(reasoning)),
                _ => None,
            };
            Refusal::item_without_reasoning(fault.item, &id(), &reasoning.unwrap_or_default())
        }
        RefusalKind::ItemNotFound => Refusal::item_not_found(&id(), fault.stored),
        RefusalKind::PreviousResponseNotFound => Refusal::previous_response_not_found(&id()),
        RefusalKind::BadItemId => Refusal::bad_item_id(
            fault.item,
            fault.position,
            &id(),
            fault.item.id_prefix().unwrap_or(""),
        ),
        RefusalKind::CallIdTooLong => {
            Refusal::call_id_too_long(fault.item, fault.position, call_id)
        }
        RefusalKind::DuplicateOutput => Refusal::duplicate_output(fault.item, call_id),
        RefusalKind::DuplicateCall => Refusal::duplicate_call(fault.item, call_id),
    }
}

/// Whether two faults are the same refusal: same kind, same id.
pub fn same_fault(a: &Fault, b: &Fault) -> bool {
    a.kind == b.kind && a.call == b.call && (a.call.is_some() || a.position == b.position)
}

/// The kind of output that answers a refused call, where there is one.
pub fn answer_to(fault: &Fault) -> Option<ItemKind> {
    (fault.kind == RefusalKind::MissingOutput).then(|| fault.item.answer_kind())?
}

#[cfg(test)]
pub(crate) mod tests;
