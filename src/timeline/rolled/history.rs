//! What the history of a rollout does to its calls: rollbacks, compactions, chains of responses.

use super::{Chained, Known, Walk};
use crate::ids::{CallKey, ItemIndex};
use crate::ledger::Ledger;
use crate::rollout::effective::Change;
use crate::rollout::{Previous, Step};
use crate::session::tree::Node;
use crate::timeline::state::{Closing, Happened};
use crate::wire::item::Author;

impl Walk<'_> {
    /// Takes a step into the history that would be sent next.
    pub(super) fn history(&mut self, step: &Step, at: u32) {
        let change = self.effective.apply(&self.rollout.items, step);
        match change {
            Change::None => {
                if let Step::Item(index) = step {
                    // never sent again, so no later request carries it
                    self.show(*index, at, false);
                }
                return;
            }
            Change::Pushed(index) => {
                let place = self.effective.path().len() as u32 - 1;
                self.node = self.draft.tree.push(self.node, index);
                if self.known.contains_key(&index) {
                    self.placed.insert(place, index);
                }
                if let (Some(kept), Some(item)) = (&mut self.kept, self.rollout.items.get(index)) {
                    kept.push(index, item);
                }
            }
            Change::Truncated(length) => {
                while self.draft.tree.len(self.node) as usize > length {
                    let Some((before, _)) = self.draft.tree.pop(self.node) else {
                        break;
                    };
                    self.node = before;
                }
                for (_, item) in self.placed.split_off(&(length as u32)) {
                    self.show(item, at, false);
                }
                if let Some(kept) = &mut self.kept {
                    kept.truncate(length as u32);
                    let keys: Vec<CallKey> = self.brought.keys().copied().collect();
                    for key in keys {
                        self.weigh(key, at);
                    }
                }
            }
            Change::Replaced => self.replaced(step, at),
        }
        self.draft.history(0, at, self.node);
    }

    fn replaced(&mut self, step: &Step, at: u32) {
        for (_, item) in std::mem::take(&mut self.placed) {
            self.show(item, at, false);
        }
        for (_, items) in std::mem::take(&mut self.brought) {
            for item in items {
                self.settle(item, at, Closing::Gone, |known| known.brought = false);
            }
        }
        let mut kept = Ledger::default();
        self.node = Node::ROOT;
        let path: Vec<ItemIndex> = self.effective.path().to_vec();
        for (place, &index) in path.iter().enumerate() {
            self.node = self.draft.tree.push(self.node, index);
            let Some(item) = self.rollout.items.get(index) else {
                continue;
            };
            kept.push(index, item);
            let brings = match *step {
                Step::Replaced { first, count, .. } => {
                    index >= first && index.0 < first.0.saturating_add(count)
                }
                _ => false,
            };
            if let (true, true, Some(key)) = (brings, item.kind.is_call(), item.call) {
                let call = self.draft.call(key, item.kind, index, 0, at);
                self.known.insert(index, Known::new(call));
                self.placed.insert(place as u32, index);
                self.brought.entry(key).or_default().push(index);
            }
        }
        self.kept = Some(kept);
        let keys: Vec<CallKey> = self.brought.keys().copied().collect();
        for key in keys {
            self.weigh(key, at);
        }
    }

    /// Looks whether the calls that a compaction brought along are open: they are if the history holds no output for
    /// them, and no line of the file has the same call open.
    pub(super) fn weigh(&mut self, key: CallKey, at: u32) {
        let Some(items) = self.brought.get(&key).cloned() else {
            return;
        };
        let on_file = self.pairs.get(key.index()).is_some_and(|it| it.left > 0);
        let open = self
            .kept
            .as_ref()
            .is_some_and(|kept| kept.pair(key).is_open());
        for item in items {
            let brought = |known: &mut Known| known.brought = open && !on_file && known.effective;
            self.settle(item, at, Closing::Written, brought);
        }
    }

    /// Takes a step into the chain of responses: an output that stands in the file while a later message still goes on
    /// from the response that asked for it was sent in a request that never completed.
    pub(super) fn chain(&mut self, step: &Step, at: u32) {
        match step {
            Step::State(_, Previous::Response(key)) if self.chained.last != Some(*key) => {
                let found = std::mem::take(&mut self.chained.found);
                self.chained = Chained {
                    last: Some(*key),
                    in_run: true,
                    ..Chained::default()
                };
                for item in found {
                    self.settle(item, at, Closing::Sent, |known| known.behind = false);
                }
            }
            Step::Item(index) if self.chained.last.is_some() => {
                let Some(item) = self.rollout.items.get(*index) else {
                    return;
                };
                let chained = &mut self.chained;
                if chained.in_run && item.author == Author::Model {
                    let call = item.call.filter(|_| item.kind.is_call());
                    chained.run.extend(call.map(|call| (*index, call)));
                    return;
                }
                chained.in_run = false;
                if item.author == Author::User {
                    let behind: Vec<ItemIndex> = chained
                        .run
                        .iter()
                        .filter(|(_, call)| chained.outputs.contains(call))
                        .map(|(item, _)| *item)
                        .collect();
                    for item in behind {
                        if self.chained.found.insert(item) {
                            self.settle(item, at, Closing::Sent, |known| known.behind = true);
                            let call = self.known.get(&item).map(|it| it.call);
                            if let Some(call) = call {
                                self.draft.happened(at, call, Happened::ToolEnded);
                            }
                        }
                    }
                } else if let (true, Some(call)) = (item.kind.is_output(), item.call) {
                    chained.outputs.insert(call);
                }
            }
            _ => {}
        }
    }
}
