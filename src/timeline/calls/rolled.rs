//! Open calls of a rollout.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, OpenCall, Tool};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::ledger::Ledger;
use crate::rollout::effective::Effective;
use crate::rollout::{Previous, Rollout, Step};
use crate::wire::item::{Author, Flags, ItemKind};

pub(super) fn open_calls(rollout: &Rollout) -> Vec<OpenCall> {
    let raw = raw_ledger(rollout);
    let short: BTreeSet<CallKey> = raw
        .extra_calls()
        .iter()
        .copied()
        .filter(|&key| raw.pair(key).unanswered() > 0)
        .collect();
    let mut calls: BTreeMap<ItemIndex, CallKey> = BTreeMap::new();
    for key in raw.open().values().copied().chain(short) {
        // outputs answer calls in order: those left over are the last ones
        let left = raw.pair(key).unanswered() as usize;
        for (_, slot) in raw
            .uses(key)
            .filter(|(_, slot)| slot.kind.is_call())
            .take(left)
        {
            calls.insert(slot.item, key);
        }
    }
    if let Some(kept) = replaced_ledger(rollout) {
        // what a replacement brought along; a call on a line of its own was looked at above
        let known: BTreeSet<CallKey> = calls.values().copied().collect();
        let brought = replacements(rollout);
        for &key in kept.open().values().filter(|key| !known.contains(key)) {
            for (_, slot) in kept.uses(key).filter(|(_, slot)| slot.kind.is_call()) {
                let before = brought.range(..=slot.item).next_back();
                if before.is_some_and(|(_, end)| slot.item < *end) {
                    calls.insert(slot.item, key);
                }
            }
        }
    }
    let mut unfinished = outputs_left_behind(rollout);
    for (item, (key, _)) in &unfinished {
        calls.insert(*item, *key);
    }
    if calls.is_empty() {
        return Vec::new();
    }
    let effective = effective_items(rollout, &calls);
    let files = rollout.file_of_items(calls.keys());
    let evidence = Evidence::read(rollout, &calls);
    calls
        .into_iter()
        .filter_map(|(index, call)| {
            let item = rollout.items.get(index)?;
            let in_effect = effective.contains(&index);
            let cause = match unfinished.remove(&index) {
                Some((_, line)) => Cause::SentInUnfinishedResponse {
                    exchange: None,
                    line,
                },
                None if !in_effect => Cause::Hidden,
                None => evidence.cause(rollout, index, call, &raw),
            };
            let tool = match cause {
                Cause::SentInUnfinishedResponse { line, .. } => Tool::Finished(line),
                _ => evidence.tool(call),
            };
            Some(OpenCall {
                call,
                kind: item.kind,
                item: index,
                lane: 0,
                exchange: None,
                answered: true,
                line: item.line,
                file: files.get(&index).copied().unwrap_or(0),
                cause,
                tool,
                effective: in_effect,
            })
        })
        .collect()
}

/// The pairing over all item lines, rolled back or not.
pub(crate) fn raw_ledger(rollout: &Rollout) -> Ledger {
    let mut ledger = Ledger::for_items(&rollout.items);
    for step in &rollout.steps {
        if let Step::Item(index) = step
            && let Some(item) = rollout.items.get(*index)
        {
            ledger.push(*index, item);
        }
    }
    ledger
}

/// The pairing over what the next request would carry, where a compaction put items of its own there.
pub(crate) fn replaced_ledger(rollout: &Rollout) -> Option<Ledger> {
    let replaces = |step: &Step| matches!(step, Step::Replaced { .. } | Step::Summarised(..));
    if !rollout.steps.iter().any(replaces) {
        return None;
    }
    let mut effective = Effective::new(rollout.era);
    for step in &rollout.steps {
        effective.apply(&rollout.items, step);
    }
    let mut ledger = Ledger::default();
    for &index in effective.path() {
        if let Some(item) = rollout.items.get(index) {
            ledger.push(index, item);
        }
    }
    Some(ledger)
}

/// The items that came in replacements of the history: the first of each and the one behind its last.
fn replacements(rollout: &Rollout) -> BTreeMap<ItemIndex, ItemIndex> {
    let ranges = rollout.steps.iter().filter_map(|step| match *step {
        Step::Replaced { first, count, .. } => {
            Some((first, ItemIndex(first.0.saturating_add(count))))
        }
        _ => None,
    });
    ranges.collect()
}

/// Those of `calls` that the next request would carry.
fn effective_items(rollout: &Rollout, calls: &BTreeMap<ItemIndex, CallKey>) -> BTreeSet<ItemIndex> {
    let mut effective = Effective::new(rollout.era);
    for step in &rollout.steps {
        effective.apply(&rollout.items, step);
    }
    let path = effective.path().iter().copied();
    path.filter(|index| calls.contains_key(index)).collect()
}

/// Calls of the last named response whose output stands in the file, while that response is still the last one named
/// behind a later user message: the output's request never completed (design 4, "rebuilt, chained").
fn outputs_left_behind(rollout: &Rollout) -> BTreeMap<ItemIndex, (CallKey, LineNo)> {
    let mut found = BTreeMap::new();
    let mut last = None;
    let mut run: Vec<(ItemIndex, CallKey)> = Vec::new();
    let mut in_run = false;
    let mut outputs: Vec<(CallKey, LineNo)> = Vec::new();
    for step in &rollout.steps {
        match step {
            Step::State(_, Previous::Response(key)) if last != Some(*key) => {
                (last, in_run) = (Some(*key), true);
                run.clear();
                outputs.clear();
                found.clear();
            }
            Step::Item(index) if last.is_some() => {
                let Some(item) = rollout.items.get(*index) else {
                    continue;
                };
                if in_run && item.author == Author::Model {
                    run.extend(
                        item.call
                            .filter(|_| item.kind.is_call())
                            .map(|call| (*index, call)),
                    );
                    continue;
                }
                in_run = false;
                if item.author == Author::User {
                    // what stood before this message went out in an earlier request, which left no new id
                    for (item, call) in &run {
                        if let Some((_, line)) =
                            outputs.iter().find(|(answered, _)| answered == call)
                        {
                            found.insert(*item, (*call, *line));
                        }
                    }
                } else if let (true, Some(call)) = (item.kind.is_output(), item.call) {
                    outputs.push((call, item.line));
                }
            }
            _ => {}
        }
    }
    found
}

/// What stands behind the open calls.
struct Evidence {
    began: BTreeMap<CallKey, LineNo>,
    ended: BTreeMap<CallKey, LineNo>,
    /// For each open call, the first thing behind it that tells.
    behind: BTreeMap<ItemIndex, Cause>,
}

impl Evidence {
    fn read(rollout: &Rollout, calls: &BTreeMap<ItemIndex, CallKey>) -> Self {
        let mut evidence = Self {
            began: BTreeMap::new(),
            ended: BTreeMap::new(),
            behind: BTreeMap::new(),
        };
        let mut waiting: Vec<ItemIndex> = Vec::new();
        for step in &rollout.steps {
            let cause = match step {
                Step::ToolBegan(line, call) => {
                    evidence.began.insert(*call, *line);
                    continue;
                }
                Step::ToolEnded(line, call) => {
                    evidence.ended.insert(*call, *line);
                    continue;
                }
                Step::Item(index) => {
                    if calls.contains_key(index) {
                        waiting.push(*index);
                        continue;
                    }
                    let Some(item) = rollout.items.get(*index) else {
                        continue;
                    };
                    if item.kind == ItemKind::Message && item.flags.has(Flags::ABORTED) {
                        Cause::Interrupted
                    } else if item.author == Author::User
                        || (item.author == Author::Model && item.kind == ItemKind::Message)
                    {
                        // the conversation went on
                        Cause::Unknown
                    } else {
                        // tools of one response end at their own time; this may be a neighbour's output
                        continue;
                    }
                }
                Step::Replaced { first, count, .. } => {
                    let brought = (first.0..first.0.saturating_add(*count)).map(ItemIndex);
                    waiting.extend(brought.filter(|index| calls.contains_key(index)));
                    continue;
                }
                Step::TurnAborted(..) => Cause::Interrupted,
                Step::TurnStarted(_) | Step::Meta(_) => Cause::ProcessEnded,
                Step::TurnComplete(..) => Cause::Unknown,
                _ => continue,
            };
            for index in waiting.drain(..) {
                evidence.behind.insert(index, cause);
            }
        }
        for index in waiting {
            evidence.behind.insert(index, Cause::InFlight);
        }
        evidence
    }

    fn cause(&self, rollout: &Rollout, index: ItemIndex, call: CallKey, raw: &Ledger) -> Cause {
        let wrong_kind = rollout
            .items
            .same_id(call)
            .into_iter()
            .any(|other| raw.pair(other).is_orphan());
        if wrong_kind || raw.pair(call).is_orphan() {
            return Cause::WrongKind;
        }
        let behind = self.behind.get(&index).copied().unwrap_or(Cause::Unknown);
        if self.tool_ended(rollout, call).is_some() && behind != Cause::InFlight {
            return Cause::OutputLost;
        }
        behind
    }

    fn tool_ended(&self, rollout: &Rollout, call: CallKey) -> Option<LineNo> {
        let same = rollout.items.same_id(call);
        std::iter::once(call)
            .chain(same)
            .find_map(|key| self.ended.get(&key).copied())
    }

    fn tool(&self, call: CallKey) -> Tool {
        match (self.ended.get(&call), self.began.get(&call)) {
            (Some(&line), _) => Tool::Finished(line),
            (None, Some(&line)) => Tool::Started(line),
            (None, None) => Tool::Unknown,
        }
    }
}
