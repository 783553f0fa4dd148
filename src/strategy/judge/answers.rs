//! The facts of a request that grows by one output after another in front of its input.
//!
//! A strategy that answers refusals sends a request with a hundred open calls a hundred times. Each time the facts are
//! those of the time before but for one pair, and everything behind the new output stands one place further on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::contract::facts::{Ends, Facts, Fault};
use crate::ids::CallKey;
use crate::ledger::{Edits, Insert, Ledger, Touched};
use crate::wire::item::ItemKind;
use crate::wire::refusal::RefusalKind;

/// A request and the outputs added in front of it so far.
pub(super) struct Answers<'a> {
    ledger: &'a Ledger,
    input_from: u32,
    base: Facts,
    inserts: Vec<Insert>,
    touched: BTreeSet<CallKey>,
    calls: Scan<'a>,
    approvals: Scan<'a>,
    orphans: Scan<'a>,
    early: Scan<'a>,
    extra_outputs: Option<Bound<CallKey>>,
    extra_calls: Option<Bound<CallKey>>,
    mended: Mended,
}

/// What is found of touched pairs.
#[derive(Default)]
struct Mended {
    calls: Outer,
    approvals: Outer,
    orphans: Outer,
    early: Outer,
    extra_output: Option<(Place, Fault)>,
    extra_call: Option<(Place, Fault)>,
}

/// Where an item stands, in an order that further outputs do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The server holds it, before the input.
    Held(u32),
    /// An added output, by how many had been added before; the last one added stands first.
    Added(std::cmp::Reverse<u32>),
    /// In the input.
    Input(u32),
}

/// The first and the last of some faults.
#[derive(Clone, Copy, Default)]
struct Outer {
    first: Option<(Place, Fault)>,
    last: Option<(Place, Fault)>,
}

impl Outer {
    fn add(&mut self, place: Place, fault: Fault) {
        self.first = Some(nearest(self.first, place, fault));
        if self.last.is_none_or(|(last, _)| place >= last) {
            self.last = Some((place, fault));
        }
    }
}

fn nearest(old: Option<(Place, Fault)>, place: Place, fault: Fault) -> (Place, Fault) {
    match old {
        Some(old) if old.0 <= place => old,
        _ => (place, fault),
    }
}

/// The first and the last of a map that no output was added for. What was passed over is not looked at again.
struct Scan<'a> {
    map: &'a BTreeMap<u32, CallKey>,
    from: Option<u32>,
    to: Option<u32>,
}

impl<'a> Scan<'a> {
    fn new(map: &'a BTreeMap<u32, CallKey>) -> Self {
        Self {
            map,
            from: map.keys().next().copied(),
            to: map.keys().next_back().copied(),
        }
    }

    fn none(map: &'a BTreeMap<u32, CallKey>) -> Self {
        let (from, to) = (None, None);
        Self { map, from, to }
    }

    fn ends(&mut self, wanted: impl Fn(CallKey) -> bool) -> [Option<CallKey>; 2] {
        let wanted = |&(_, key): &(&u32, &CallKey)| wanted(*key);
        let first = self
            .from
            .and_then(|from| self.map.range(from..).find(wanted));
        let last = self
            .to
            .and_then(|to| self.map.range(..=to).rev().find(wanted));
        (self.from, self.to) = (first.map(|it| *it.0), last.map(|it| *it.0));
        [first.map(|it| *it.1), last.map(|it| *it.1)]
    }
}

impl<'a> Answers<'a> {
    /// A request whose facts, with nothing added, are `base`.
    pub(super) fn new(ledger: &'a Ledger, input_from: u32, base: &Facts) -> Self {
        let scan_if = |any: bool| {
            if any {
                Scan::new(ledger.open())
            } else {
                Scan::none(ledger.open())
            }
        };
        let approvals = ledger.open_approvals();
        Self {
            ledger,
            input_from,
            base: *base,
            inserts: Vec::new(),
            touched: BTreeSet::new(),
            calls: scan_if(approvals < ledger.open().len()),
            approvals: scan_if(approvals > 0),
            orphans: Scan::new(ledger.orphans()),
            early: Scan::new(ledger.early()),
            extra_outputs: Some(Bound::Unbounded),
            extra_calls: Some(Bound::Unbounded),
            mended: Mended::default(),
        }
    }

    /// Whether an output was added for a call.
    pub(super) fn has(&self, call: CallKey) -> bool {
        self.touched.contains(&call)
    }

    /// All additions, as changes to the request.
    pub(super) fn into_edits(self) -> Edits {
        Edits {
            inserts: self.inserts.into_iter().rev().collect(),
            removed: Vec::new(),
        }
    }

    /// Adds an output for a call of which [`Answers::has`] says no. Returns false, and adds nothing, where the output
    /// answers none of the request's calls.
    pub(super) fn add(&mut self, call: CallKey, kind: ItemKind) -> bool {
        let insert = Insert {
            before: self.input_from,
            kind,
            call,
        };
        if insert.is_foreign(self.ledger) {
            return false;
        }
        let alone = Edits {
            inserts: vec![insert],
            removed: Vec::new(),
        };
        let Some(Touched { pair, .. }) = alone.touched(self.ledger).first().copied() else {
            return false;
        };
        let order = self.inserts.len() as u32;
        self.inserts.push(insert);
        self.touched.insert(call);
        let old = self.ledger.pair(call);
        let first_call = self.place(old.first_call);
        let first_output = match self.place(old.first_output) {
            held @ Place::Held(_) => held,
            _ => Place::Added(std::cmp::Reverse(order)),
        };
        let (mut call_kind, mut output_kind) = (ItemKind::Other, ItemKind::Other);
        for (_, slot) in self.ledger.uses(call) {
            if slot.kind.is_call() {
                call_kind = slot.kind;
            } else {
                output_kind = slot.kind;
            }
        }
        if output_kind == ItemKind::Other {
            output_kind = kind;
        }
        let fault = |kind: RefusalKind, item: ItemKind| Fault {
            kind,
            item,
            call: Some(call),
            position: 0,
            place: None,
            stored: true,
        };
        let missing = fault(RefusalKind::MissingOutput, call_kind);
        let mended = &mut self.mended;
        if pair.is_open() {
            let open = if call_kind == ItemKind::McpApprovalRequest {
                &mut mended.approvals
            } else {
                &mut mended.calls
            };
            open.add(first_call, missing);
        }
        if pair.is_orphan() {
            let orphan = fault(RefusalKind::OrphanOutput, pair.orphan_kind(output_kind));
            mended.orphans.add(first_output, orphan);
        }
        if pair.is_early() {
            mended.early.add(first_call, missing);
        }
        if pair.has_extra_output() {
            let extra = fault(RefusalKind::DuplicateOutput, output_kind);
            mended.extra_output = Some(nearest(mended.extra_output, first_output, extra));
        }
        if pair.has_extra_call() {
            let extra = fault(RefusalKind::DuplicateCall, call_kind);
            mended.extra_call = Some(nearest(mended.extra_call, first_call, extra));
        }
        true
    }

    fn place(&self, position: u32) -> Place {
        if position < self.input_from {
            Place::Held(position)
        } else {
            Place::Input(position)
        }
    }

    /// The facts with everything that was added.
    pub(super) fn facts(&mut self) -> Facts {
        let ledger = self.ledger;
        let added = self.inserts.len() as u32;
        let input_from = self.input_from;
        let settle = |(place, fault): (Place, Fault)| Fault {
            position: match place {
                Place::Held(position) => position,
                Place::Added(order) => input_from + (added - 1 - order.0),
                Place::Input(position) => position.saturating_add(added),
            },
            ..fault
        };
        let place = |position: u32| {
            if position < input_from {
                Place::Held(position)
            } else {
                Place::Input(position)
            }
        };
        let kind = |position: u32| {
            ledger
                .slot(position)
                .map_or(ItemKind::Other, |slot| slot.kind)
        };
        let fault = |rule: RefusalKind, key: CallKey, position: u32| {
            let fault = Fault {
                kind: rule,
                item: kind(position),
                call: Some(key),
                position,
                place: None,
                stored: true,
            };
            (place(position), fault)
        };
        let missing = |key| fault(RefusalKind::MissingOutput, key, ledger.pair(key).first_call);
        let orphan = |key| {
            let pair = ledger.pair(key);
            let (place, fault) = fault(RefusalKind::OrphanOutput, key, pair.first_output);
            let item = pair.orphan_kind(fault.item);
            (place, Fault { item, ..fault })
        };
        let touched = &self.touched;
        let untouched = |key: CallKey| !touched.contains(&key);
        let is_approval = |key: CallKey| ledger.open_kind(key) == ItemKind::McpApprovalRequest;
        let ends = |mended: Outer, found: [Option<(Place, Fault)>; 2]| {
            let mut outer = mended;
            for (place, fault) in found.into_iter().flatten() {
                outer.add(place, fault);
            }
            Ends {
                first: outer.first.map(settle),
                last: outer.last.map(settle),
            }
        };
        let calls = self.calls.ends(|key| untouched(key) && !is_approval(key));
        let approvals = self
            .approvals
            .ends(|key| untouched(key) && is_approval(key));
        let orphans = self.orphans.ends(untouched);
        let early = self.early.ends(untouched);
        let next = |set: &BTreeSet<CallKey>, from: &mut Option<Bound<CallKey>>| {
            let found = from.and_then(|from| {
                let mut rest = set.range((from, Bound::Unbounded));
                rest.find(|key| untouched(**key)).copied()
            });
            *from = found.map(Bound::Included);
            found
        };
        let extra_output = next(ledger.extra_outputs(), &mut self.extra_outputs).map(|key| {
            fault(
                RefusalKind::DuplicateOutput,
                key,
                ledger.pair(key).first_output,
            )
        });
        let extra_call = next(ledger.extra_calls(), &mut self.extra_calls)
            .map(|key| fault(RefusalKind::DuplicateCall, key, ledger.pair(key).first_call));
        let one = |mended: Option<(Place, Fault)>, found: Option<(Place, Fault)>| {
            let both = match found {
                Some((place, fault)) => Some(nearest(mended, place, fault)),
                None => mended,
            };
            both.map(settle)
        };
        let behind =
            |fault: Option<Fault>| fault.map(|fault| settle((place(fault.position), fault)));
        Facts {
            duplicate_item: behind(self.base.duplicate_item),
            lone_reasoning: behind(self.base.lone_reasoning),
            unled: behind(self.base.unled),
            open: ends(self.mended.calls, calls.map(|key| key.map(missing))),
            approvals: ends(self.mended.approvals, approvals.map(|key| key.map(missing))),
            orphans: ends(self.mended.orphans, orphans.map(|key| key.map(orphan))),
            early: ends(self.mended.early, early.map(|key| key.map(missing))),
            extra_output: one(self.mended.extra_output, extra_output),
            extra_call: one(self.mended.extra_call, extra_call),
            ..self.base
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Reads;
    use crate::wire::item::{ItemHead, Items};
    use proptest::prelude::*;

    fn any_item() -> impl Strategy<Value = String> {
        let kinds = prop::sample::select(vec![
            r#""type":"function_call""#,
            r#""type":"function_call_output""#,
            r#""type":"local_shell_call""#,
            r#""type":"local_shell_call_output""#,
            r#""type":"custom_tool_call""#,
            r#""type":"custom_tool_call_output""#,
            r#""type":"mcp_approval_request""#,
            r#""type":"reasoning","id":"rs_1""#,
            r#""type":"message","role":"user""#,
        ]);
        (kinds, 0..6_u8).prop_map(|(kind, call)| {
            if kind.contains("mcp") {
                format!(r#"{{{kind},"id":"c{call}"}}"#)
            } else {
                format!(r#"{{{kind},"call_id":"c{call}"}}"#)
            }
        })
    }

    proptest! {
        #[test]
        fn facts_equal_those_read_with_all_outputs_added(
            json in proptest::collection::vec(any_item(), 1..25),
            input_from in 0..25_u32,
            calls in proptest::collection::btree_set(0..12_usize, 0..8),
        ) {
            let mut items = Items::default();
            let mut ledger = Ledger::default();
            for text in &json {
                let head: ItemHead<'_> = serde_json::from_str(text).unwrap();
                let index = items.add(&head, 1, 0);
                ledger.push(index, items.get(index).unwrap());
            }
            let input_from = input_from.min(ledger.len());
            let reads = Reads { input_from, exact_ids: false };
            let base = Facts::read(&ledger, &Edits::default(), reads);
            let mut answers = Answers::new(&ledger, input_from, &base);
            let mut edits = Edits::default();
            prop_assert_eq!(answers.facts(), base);
            for call in calls {
                let key = CallKey::new((call % items.call_count().max(1)) as u32);
                let Some((_, slot)) = ledger.uses(key).next() else { continue };
                let kind = match slot.kind.family() {
                    Some(family) if family == ItemKind::CustomToolCall.family().unwrap() => ItemKind::CustomToolCallOutput,
                    Some(family) if family == ItemKind::McpApprovalRequest.family().unwrap() => ItemKind::McpApprovalResponse,
                    _ => ItemKind::FunctionCallOutput,
                };
                if answers.has(key) || !answers.add(key, kind) {
                    continue;
                }
                edits.inserts.insert(0, Insert { before: input_from, kind, call: key });
                prop_assert_eq!(answers.facts(), Facts::read(&ledger, &edits, reads));
            }
            prop_assert_eq!(answers.into_edits(), edits);
        }
    }
}
