//! Random requests: the ledger's facts lead to what the naive judge says, in every world, edits carried out or not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::naive::{self, Asked};
use crate::contract::{self, Decision, Facts, Outcome, Place, Policy, Reads, World, WorldSet};
use crate::ids::ItemIndex;
use crate::ledger::{Edits, Insert, Ledger};
use crate::wire::item::{ItemHead, ItemKind, Items};
use crate::wire::refusal::RefusalKind;

/// Items of every kind that a rule speaks of. Local shell calls have ids of their own: which of two outputs answers
/// which of two calls of different kinds and one id is told only as far as [`crate::ledger::Pair`] says.
pub(crate) fn any_item() -> impl Strategy<Value = Value> {
    let pairs = prop_oneof![
        4 => Just(("function_call", "c")),
        4 => Just(("function_call_output", "c")),
        2 => Just(("custom_tool_call", "c")),
        2 => Just(("custom_tool_call_output", "c")),
        1 => Just(("local_shell_call", "l")),
        1 => Just(("local_shell_call_output", "l")),
        1 => Just(("function_call_output", "l")),
        1 => Just(("shell_call", "c")),
        1 => Just(("shell_call_output", "c")),
        1 => Just(("tool_search_call", "c")),
        1 => Just(("tool_search_output", "c")),
        2 => Just(("mcp_approval_request", "m")),
        1 => Just(("mcp_approval_response", "m")),
        1 => Just(("function_call", "x123456789012345678901234567890123456789012345678901234567890123")),
        1 => Just(("function_call_output", "")),
    ];
    let pair = (
        pairs,
        0..4_u8,
        prop::option::weighted(0.15, 0..6_u8),
        any::<bool>(),
    )
        .prop_map(|((kind, name), number, id, server)| {
            let mut item = json!({"type": kind});
            let call = format!("{name}{number}");
            match kind {
                "mcp_approval_request" => item["id"] = call.into(),
                "mcp_approval_response" => item["approval_request_id"] = call.into(),
                _ if name.is_empty() => {}
                _ => item["call_id"] = call.into(),
            }
            if kind.starts_with("tool_search") {
                item["execution"] = if server { "server" } else { "client" }.into();
            }
            if let (Some(id), "function_call" | "custom_tool_call") = (id, kind) {
                let prefix = match (id, kind) {
                    (0, _) => "call",
                    (_, "function_call") => "fc",
                    _ => "ctc",
                };
                item["id"] = format!("{prefix}_{id}").into();
            }
            item
        });
    let other = (0..4_u8, prop::option::weighted(0.4, 0..6_u8)).prop_map(|(kind, id)| {
        let mut item = match kind {
            0 => json!({"type": "message", "role": "user", "content": "go"}),
            1 => json!({"type": "message", "role": "assistant", "content": "ok"}),
            2 => json!({"type": "reasoning"}),
            _ => json!({"type": "web_search_call"}),
        };
        if let Some(id) = id {
            let prefix = match kind {
                2 => "rs",
                3 => "ws",
                _ => "msg",
            };
            item["id"] = format!("{prefix}_{id}").into();
        }
        item
    });
    prop_oneof![3 => pair, 1 => other]
}

fn ledger_of(values: &[Value]) -> (Items, Ledger) {
    let mut items = Items::default();
    let mut ledger = Ledger::default();
    for value in values {
        let text = value.to_string();
        let head: ItemHead<'_> = serde_json::from_str(&text).unwrap();
        let index = items.add(&head, 1, 0);
        ledger.push(index, items.get(index).unwrap());
    }
    (items, ledger)
}

/// Every world, as far as it matters here: what a cut response leaves is the same in all.
fn worlds() -> impl Iterator<Item = World> {
    WorldSet::fixed(&[(Policy::StoredAfterCut, 0)])
        .iter()
        .collect::<Vec<_>>()
        .into_iter()
}

/// Compares what the facts lead to with what the naive judge says of the items as they are sent.
fn compare(
    values: &[Value],
    items: &Items,
    facts: &Facts,
    sent: &Asked<'_>,
) -> Result<(), TestCaseError> {
    for world in worlds() {
        let expected = naive::judge(sent, world);
        match (contract::decide(facts, world), &expected) {
            (Decision::Accepted, None) => {}
            (Decision::Refused(fault), Some(expected)) => {
                prop_assert_eq!(fault.kind, expected.kind, "{:?} {:?}", fault, sent.items);
                if matches!(
                    fault.kind,
                    RefusalKind::DuplicateOutput | RefusalKind::DuplicateCall
                ) {
                    // which one is named first is nobody's word
                    continue;
                }
                let id = |place: &Place| match place {
                    Place::Item(ItemIndex(at))
                    | Place::Led {
                        item: ItemIndex(at),
                        ..
                    } => Some(values.get(*at as usize)?["id"].as_str()?.to_owned()),
                    Place::Response(_) => None,
                };
                let found = contract::refusal(&fault, items, &id);
                prop_assert_eq!(&found.message, &expected.message, "{:?}", sent.items);
            }
            (found, expected) => {
                return Err(TestCaseError::fail(format!(
                    "{found:?}, but {expected:?} of {:?}",
                    sent.items
                )));
            }
        }
    }
    Ok(())
}

/// A world that has the defaults in everything that is not in `relevant`.
fn representative(world: World, relevant: &[Policy]) -> World {
    let changed = Policy::ALL.into_iter().filter(|it| !relevant.contains(it));
    changed.fold(world, |world, policy| world.with(policy, 0))
}

fn answer_of(kind: u8) -> ItemKind {
    match kind {
        0 => ItemKind::FunctionCallOutput,
        1 => ItemKind::CustomToolCallOutput,
        _ => ItemKind::ShellCallOutput,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn the_facts_lead_to_what_the_naive_judge_says(
        values in prop::collection::vec(any_item(), 0..14),
        held in 0..6_usize,
        exact_ids in any::<bool>(),
    ) {
        let (items, ledger) = ledger_of(&values);
        let held = held.min(values.len());
        let reads = Reads { input_from: held as u32, exact_ids };
        let facts = Facts::read(&ledger, &Edits::default(), reads);
        compare(&values, &items, &facts, &Asked { items: &values, held, exact_ids, not_found: None })?;
    }

    #[test]
    fn only_relevant_policies_change_a_decision(values in prop::collection::vec(any_item(), 0..10)) {
        let (_, ledger) = ledger_of(&values);
        let facts = Facts::read(&ledger, &Edits::default(), Reads { input_from: 0, exact_ids: false });
        let relevant = contract::relevant(&[facts; 3]);
        for world in worlds() {
            let other = representative(world, &relevant);
            prop_assert_eq!(contract::decide(&facts, world), contract::decide(&facts, other), "{:?}", values);
        }
        let outcome = contract::judge(&WorldSet::default(), &relevant, |world| contract::decide(&facts, world));
        let refusing = worlds().filter(|world| contract::decide(&facts, *world) != Decision::Accepted).count();
        match outcome {
            Outcome::Accepted => prop_assert_eq!(refusing, 0),
            Outcome::Refused(_) => prop_assert_eq!(refusing, worlds().count()),
            Outcome::Depends { on, .. } => {
                prop_assert!(refusing > 0 && refusing < worlds().count());
                prop_assert!(!on.is_empty() && on.iter().all(|it| !it.policy.is_wording()));
            }
            Outcome::Unknown => prop_assert!(false),
        }
    }

    #[test]
    fn edits_answered_lead_to_what_edits_carried_out_lead_to(
        values in prop::collection::vec(any_item(), 1..12),
        removed in prop::collection::btree_set(0..12_u32, 0..4),
        inserts in prop::collection::vec((0..13_u32, 0..4_u8, 0..3_u8), 0..4),
    ) {
        let (mut items, ledger) = ledger_of(&values);
        let len = values.len() as u32;
        let mut edits = Edits {
            removed: removed.into_iter().filter(|at| *at < len).collect(),
            inserts: Vec::new(),
        };
        let mut added = Vec::new();
        for (before, number, kind) in inserts {
            let kind = answer_of(kind);
            let id = format!("c{number}");
            let call = items.call_key(kind.family().unwrap(), &id);
            added.push((Insert { before: before.min(len), kind, call }, id));
        }
        added.sort_by_key(|(insert, _)| insert.before);
        edits.inserts = added.iter().map(|(insert, _)| *insert).collect();
        let mut sent = Vec::new();
        for at in 0..=len {
            for (insert, id) in added.iter().filter(|(insert, _)| insert.before == at) {
                sent.push(json!({"type": insert.kind.name(), "call_id": id}));
            }
            if at < len && !edits.removed.contains(&at) {
                sent.push(values[at as usize].clone());
            }
        }
        let facts = Facts::read(&ledger, &edits, Reads { input_from: 0, exact_ids: false });
        compare(&values, &items, &facts, &Asked { items: &sent, held: 0, exact_ids: false, not_found: None })?;
    }
}
