use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::wire::item::{ItemHead, ItemKind, Items};

fn head(json: &str) -> ItemHead<'_> {
    serde_json::from_str(json).unwrap()
}

fn ledger_of(lines: &[&str]) -> (Items, Ledger) {
    let mut items = Items::default();
    let mut ledger = Ledger::default();
    for (n, json) in lines.iter().enumerate() {
        let index = items.add(&head(json), n as u32 + 1, 0);
        ledger.push(index, items.get(index).unwrap());
    }
    (items, ledger)
}

fn ids<'a>(items: &'a Items, map: &BTreeMap<u32, CallKey>) -> Vec<(u32, &'a str)> {
    map.iter()
        .map(|(at, key)| (*at, items.call_id(*key)))
        .collect()
}

const CALL: &str = r#"{"type":"function_call","call_id":"a"}"#;
const OUTPUT: &str = r#"{"type":"function_call_output","call_id":"a","output":"ok"}"#;
const USER: &str = r#"{"type":"message","role":"user","content":"go"}"#;

#[test]
fn a_call_is_open_until_its_output_comes() {
    let (items, mut ledger) = ledger_of(&[USER, CALL]);
    assert_eq!(ids(&items, ledger.open()), [(1, "a")]);
    let (mut more, _) = ledger_of(&[]);
    let _ = more.add(&head(OUTPUT), 3, 0);
    let (items, full) = ledger_of(&[USER, CALL, OUTPUT]);
    assert!(full.open().is_empty() && full.orphans().is_empty());
    assert_eq!(items.call_count(), 1);
    ledger.truncate(1);
    assert!(ledger.open().is_empty());
}

#[test]
fn an_output_alone_is_an_orphan_and_becomes_early_when_its_call_comes() {
    let (items, ledger) = ledger_of(&[OUTPUT]);
    assert_eq!(ids(&items, ledger.orphans()), [(0, "a")]);
    let (items, ledger) = ledger_of(&[OUTPUT, CALL]);
    assert!(ledger.orphans().is_empty());
    assert_eq!(ids(&items, ledger.early()), [(1, "a")]);
}

#[test]
fn an_output_of_the_wrong_kind_leaves_both_alone() {
    let (items, ledger) = ledger_of(&[CALL, r#"{"type":"custom_tool_call_output","call_id":"a"}"#]);
    assert_eq!(ids(&items, ledger.open()), [(0, "a")]);
    assert_eq!(ids(&items, ledger.orphans()), [(1, "a")]);
    let (_, ledger) = ledger_of(&[CALL, r#"{"type":"local_shell_call_output","call_id":"a"}"#]);
    assert_eq!((ledger.open().len(), ledger.orphans().len()), (1, 1));
    let (_, ledger) = ledger_of(&[r#"{"type":"local_shell_call","call_id":"a"}"#, OUTPUT]);
    assert_eq!((ledger.open().len(), ledger.orphans().len()), (0, 0));
}

#[test]
fn outputs_are_counted_against_calls_one_by_one() {
    let (items, ledger) = ledger_of(&[CALL, CALL, OUTPUT]);
    let key = items
        .find_call(crate::wire::item::Family::Function, "a")
        .unwrap();
    assert!(ledger.open().is_empty());
    assert_eq!(ledger.pair(key).unanswered(), 1);
    assert!(ledger.extra_calls().contains(&key));
    let (_, ledger) = ledger_of(&[CALL, OUTPUT, OUTPUT]);
    assert!(ledger.extra_outputs().contains(&key));
}

#[test]
fn reasoning_with_an_id_wants_the_models_next_item() {
    let reasoning = r#"{"type":"reasoning","id":"rs_1"}"#;
    let (_, ledger) = ledger_of(&[reasoning, CALL]);
    assert!(ledger.lone_reasoning().is_empty());
    let (_, mut ledger) = ledger_of(&[reasoning, USER]);
    assert_eq!(
        ledger.lone_reasoning().iter().copied().collect::<Vec<_>>(),
        [0]
    );
    ledger.truncate(1);
    assert!(ledger.lone_reasoning().is_empty());
    assert_eq!(ledger.trailing_reasoning(), Some(0));
    let (_, ledger) = ledger_of(&[r#"{"type":"reasoning"}"#, USER]);
    assert!(ledger.lone_reasoning().is_empty());
}

#[test]
fn an_item_wants_the_reasoning_that_led_to_it() {
    let reasoning = r#"{"type":"reasoning","id":"rs_1"}"#;
    let call = r#"{"type":"function_call","id":"fc_1","call_id":"a"}"#;
    let places = |texts: &[&str]| {
        let (items, plain) = ledger_of(texts);
        let led = items
            .iter()
            .find(|it| it.kind == ItemKind::FunctionCall)
            .unwrap();
        let reasoning = items
            .iter()
            .position(|it| it.kind == ItemKind::Reasoning)
            .unwrap();
        let key = items.get(ItemIndex(reasoning as u32)).unwrap().id.unwrap();
        let led = Led::from([(led.id.unwrap(), (key, ItemIndex(reasoning as u32)))]);
        let mut ledger = Ledger::knowing(Arc::new(led));
        for slot in plain.slots() {
            ledger.push(slot.item, items.get(slot.item).unwrap());
        }
        let found: Vec<u32> = ledger.unled().keys().copied().collect();
        ledger.truncate(0);
        assert!(ledger.unled().is_empty());
        found
    };
    assert!(places(&[reasoning, call]).is_empty());
    assert!(places(&[reasoning, USER, call]).is_empty());
    assert_eq!(places(&[call, reasoning]), [0]);
    assert_eq!(places(&[USER, call, USER, reasoning, call]), [1]);
}

#[test]
fn an_id_that_comes_twice_is_found_where_it_comes_again() {
    let message = r#"{"type":"message","role":"user","id":"msg_1","content":"x"}"#;
    let (_, mut ledger) = ledger_of(&[message, USER, message]);
    assert_eq!(
        ledger.duplicate_ids().keys().copied().collect::<Vec<_>>(),
        [2]
    );
    ledger.truncate(2);
    assert!(ledger.duplicate_ids().is_empty());
}

/// What a ledger says, without the order in which it was told.
#[derive(Debug, PartialEq)]
struct Said {
    open: BTreeMap<u32, CallKey>,
    orphans: BTreeMap<u32, CallKey>,
    early: BTreeMap<u32, CallKey>,
    extra_outputs: BTreeSet<CallKey>,
    extra_calls: BTreeSet<CallKey>,
    duplicate_ids: BTreeMap<u32, ItemKey>,
    lone_reasoning: BTreeSet<u32>,
}

fn said(ledger: &Ledger) -> Said {
    Said {
        open: ledger.open.clone(),
        orphans: ledger.orphans.clone(),
        early: ledger.early.clone(),
        extra_outputs: ledger.extra_outputs.clone(),
        extra_calls: ledger.extra_calls.clone(),
        duplicate_ids: ledger.duplicate_ids.clone(),
        lone_reasoning: ledger.lone_reasoning.clone(),
    }
}

/// The same by looking at the whole list for every question.
fn naive(slots: &[Item]) -> Said {
    let keys: BTreeSet<CallKey> = slots.iter().filter_map(|item| item.call).collect();
    let mut said = Said {
        open: BTreeMap::new(),
        orphans: BTreeMap::new(),
        early: BTreeMap::new(),
        extra_outputs: BTreeSet::new(),
        extra_calls: BTreeSet::new(),
        duplicate_ids: BTreeMap::new(),
        lone_reasoning: BTreeSet::new(),
    };
    for key in keys {
        let of = |call: bool| -> Vec<(u32, ItemKind)> {
            slots
                .iter()
                .enumerate()
                .filter(|(_, item)| item.call == Some(key) && item.kind.is_call() == call)
                .map(|(at, item)| (at as u32, item.kind))
                .collect()
        };
        let (calls, outputs) = (of(true), of(false));
        let open = calls
            .iter()
            .any(|(_, call)| !outputs.iter().any(|(_, output)| output.answers(*call)));
        if open {
            said.open.insert(calls[0].0, key);
        }
        let orphan = outputs
            .iter()
            .any(|(_, output)| !calls.iter().any(|(_, call)| output.answers(*call)));
        if orphan {
            said.orphans.insert(outputs[0].0, key);
        }
        if let (Some(call), Some(output)) = (calls.first(), outputs.first())
            && output.0 < call.0
        {
            said.early.insert(call.0, key);
        }
        if !calls.is_empty() && outputs.len() > calls.len() {
            said.extra_outputs.insert(key);
        }
        if calls.len() > 1 {
            said.extra_calls.insert(key);
        }
    }
    for (at, item) in slots.iter().enumerate() {
        // the id of such an output is its call's
        let own = |item: &Item| {
            item.id
                .filter(|_| item.kind != ItemKind::LocalShellCallOutput)
        };
        if let Some(id) = own(item)
            && slots[..at].iter().any(|other| own(other) == Some(id))
        {
            said.duplicate_ids.insert(at as u32, id);
        }
        let lone = item.kind == ItemKind::Reasoning
            && item.id.is_some()
            && slots
                .get(at + 1)
                .is_some_and(|next| next.author != Author::Model);
        if lone {
            said.lone_reasoning.insert(at as u32);
        }
    }
    said
}

fn any_item() -> impl Strategy<Value = String> {
    let kinds = prop_oneof![
        Just("function_call"),
        Just("function_call_output"),
        Just("local_shell_call"),
        Just("local_shell_call_output"),
        Just("custom_tool_call"),
        Just("custom_tool_call_output"),
        Just("reasoning"),
        Just("message"),
    ];
    (kinds, 0..4_u8, proptest::option::of(0..5_u8)).prop_map(|(kind, call, id)| {
        let id = id
            .map(|id| format!(r#","id":"x_{id}""#))
            .unwrap_or_default();
        match kind {
            "message" => format!(r#"{{"type":"message","role":"user","content":"x"{id}}}"#),
            "reasoning" => format!(r#"{{"type":"reasoning"{id}}}"#),
            _ => format!(r#"{{"type":"{kind}","call_id":"c{call}"{id}}}"#),
        }
    })
}

#[derive(Clone, Debug)]
enum Op {
    Push(String),
    Truncate(usize),
}

proptest! {
    #[test]
    fn pushing_and_taking_back_equals_the_naive_model(
        ops in proptest::collection::vec(
            prop_oneof![4 => any_item().prop_map(Op::Push), 1 => (0..6_usize).prop_map(Op::Truncate)],
            0..60,
        )
    ) {
        let mut items = Items::default();
        let mut ledger = Ledger::default();
        let mut model: Vec<Item> = Vec::new();
        for op in ops {
            match op {
                Op::Push(json) => {
                    let index = items.add(&head(&json), 1, 0);
                    let item = *items.get(index).unwrap();
                    ledger.push(index, &item);
                    model.push(item);
                }
                Op::Truncate(n) => {
                    let left = model.len().saturating_sub(n);
                    model.truncate(left);
                    ledger.truncate(left as u32);
                }
            }
            prop_assert_eq!(said(&ledger), naive(&model));
        }
    }

    #[test]
    fn edits_answered_equal_edits_done(
        json in proptest::collection::vec(any_item(), 1..25),
        removed in proptest::collection::btree_set(0..25_u32, 0..6),
        inserts in proptest::collection::vec((0..25_u32, 0..4_u8, any::<bool>()), 0..6),
    ) {
        let refs: Vec<&str> = json.iter().map(String::as_str).collect();
        let (mut items, ledger) = ledger_of(&refs);
        let len = ledger.len();
        let mut edits = Edits { removed: removed.into_iter().filter(|at| *at < len).collect(), inserts: vec![] };
        for (before, call, custom) in inserts {
            let kind = if custom { ItemKind::CustomToolCallOutput } else { ItemKind::FunctionCallOutput };
            let call = items.call_key(kind.family().unwrap(), &format!("c{call}"));
            edits.inserts.push(Insert { before: before.min(len), kind, call });
        }
        edits.inserts.sort_by_key(|insert| insert.before);
        let mut done: Vec<Item> = Vec::new();
        for at in 0..=len {
            for insert in edits.inserts.iter().filter(|insert| insert.before == at) {
                let mut item = *items.get(ItemIndex(0)).unwrap();
                (item.kind, item.call, item.id, item.author) = (insert.kind, Some(insert.call), None, Author::Client);
                done.push(item);
            }
            if at < len && !edits.removed.contains(&at) {
                done.push(*items.get(ItemIndex(at)).unwrap());
            }
        }
        let said = naive(&done);
        for Touched { key, pair, .. } in edits.touched(&ledger) {
            prop_assert_eq!(pair.is_open(), said.open.values().any(|k| *k == key));
            prop_assert_eq!(pair.is_orphan(), said.orphans.values().any(|k| *k == key));
            prop_assert_eq!(pair.is_early(), said.early.values().any(|k| *k == key));
            prop_assert_eq!(pair.has_extra_output(), said.extra_outputs.contains(&key));
            if pair.is_open() {
                prop_assert_eq!(said.open.get(&pair.first_call), Some(&key));
            }
        }
    }
}
