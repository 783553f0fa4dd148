//! What becomes of an item that joins the history.

use std::sync::Arc;

use super::decision::{Answer, Why};
use super::{Entry, Slot, Walk};
use crate::ids::{CallKey, ItemIndex};
use crate::wire::item::{Author, Family, Flags, Item, ItemKind};

impl Walk<'_> {
    pub(super) fn push(&mut self, index: ItemIndex) {
        let Some(item) = self.item(index) else { return };
        if self.is_gone(index) {
            self.path.push((Entry::Nothing, None));
            return;
        }
        if item.author != Author::Model {
            self.drop_reasoning();
        }
        let same_text = |walk: &Self, other: ItemIndex| {
            let hash = walk.hashes.get(&index);
            hash.is_some() && hash == walk.hashes.get(&other)
        };
        let mut own_id = None;
        if let Some(id) = item.id {
            match self.ids.get(&id).copied() {
                Some(other) if other != index && same_text(self, other) => {
                    self.drop(index, Why::Copy);
                    self.path.push((Entry::Nothing, None));
                    return;
                }
                Some(other) if other != index => self.decision(index).strip_id = true,
                _ => {
                    self.ids.insert(id, index);
                    own_id = Some(id);
                }
            }
        }
        let entry = match item.call {
            Some(key) if item.kind.is_call() => self.push_call(index, &item, key, &same_text),
            Some(key) if item.kind.is_output() => self.push_output(index, &item, key),
            _ => Entry::Nothing,
        };
        if !self.is_gone(index) {
            let with_id = item.kind == ItemKind::Reasoning && item.id.is_some();
            let keeps_id = !self.out.decisions.get(&index).is_some_and(|it| it.strip_id);
            self.reasoning = (with_id && keeps_id).then_some(index);
        }
        self.path.push((entry, own_id));
    }

    fn push_call(
        &mut self,
        index: ItemIndex,
        item: &Item,
        key: CallKey,
        same_text: &dyn Fn(&Self, ItemIndex) -> bool,
    ) -> Entry {
        let before = self
            .slots
            .get(&key)
            .and_then(|slots| slots.last())
            .map(|slot| slot.call);
        if let Some(before) = before
            && same_text(self, before)
        {
            self.drop(index, Why::Copy);
            return Entry::Nothing;
        }
        let long = item.flags.has(Flags::LONG_CALL_ID) || item.flags.has(Flags::EMPTY_CALL_ID);
        let rename = (before.is_some() || long).then(|| self.new_name(key));
        if rename.is_some() {
            self.decision(index).rename.clone_from(&rename);
        }
        let early = self.early.get(&index).copied();
        if let Some(output) = early {
            self.decision(index).answer = Some(Answer::Real(output));
            self.decision(output).rename.clone_from(&rename);
        }
        self.slots.entry(key).or_default().push(Slot {
            call: index,
            kind: item.kind,
            answered: early.is_some(),
            output: early,
            output_aborted: false,
            rename,
        });
        self.fresh.push(key);
        Entry::Call(key)
    }

    /// A call id that no other call has.
    fn new_name(&mut self, key: CallKey) -> Arc<str> {
        let old = self.rollout.items.call_id(key);
        let base: String = if old.is_empty() {
            "call".to_owned()
        } else {
            old.chars().take(48).collect()
        };
        let mut number = 2_u64;
        loop {
            let name = format!("{base}_{number}");
            if !self.is_taken(&name) {
                self.names.insert(name.clone());
                return name.into();
            }
            number += 1;
        }
    }

    fn is_taken(&self, name: &str) -> bool {
        let families = [
            Family::Function,
            Family::Custom,
            Family::ToolSearch,
            Family::Shell,
            Family::ApplyPatch,
            Family::Computer,
        ];
        self.names.contains(name)
            || families
                .into_iter()
                .any(|family| self.rollout.items.find_call(family, name).is_some())
    }

    fn push_output(&mut self, index: ItemIndex, item: &Item, key: CallKey) -> Entry {
        let aborted = item.flags.has(Flags::ABORTED);
        let slots = self.slots.entry(key).or_default();
        if let Some(at) = slots.iter().position(|slot| !slot.answered) {
            let Some(slot) = slots.get_mut(at) else {
                return Entry::Nothing;
            };
            slot.answered = true;
            slot.output = Some(index);
            slot.output_aborted = aborted;
            let (rename, kind, call) = (slot.rename.clone(), slot.kind, slot.call);
            self.owned.insert(index, call);
            if rename.is_some() {
                self.decision(index).rename = rename;
            }
            if !item.kind.answers(kind) {
                self.decision(index).retype = kind.answer_kind();
            }
            return Entry::Output(key, at);
        }
        if let Some(slot) = slots.last_mut() {
            let superseded = slot.output.filter(|_| slot.output_aborted && !aborted);
            if let Some(earlier) = superseded {
                let call = slot.call;
                (slot.output, slot.output_aborted) = (Some(index), false);
                let rename = slot.rename.clone();
                let is_early = self.early.contains_key(&call);
                if !is_early {
                    self.drop(earlier, Why::Superseded);
                    self.take_away(index);
                    if rename.is_some() {
                        self.decision(index).rename = rename;
                    }
                    self.decision(call).answer = Some(Answer::Real(index));
                    return Entry::Nothing;
                }
            }
            self.drop(index, Why::Extra);
            return Entry::Nothing;
        }
        self.slots.remove(&key);
        // its call may come yet
        let uses = self.uses.get(&key).map_or(&[][..], Vec::as_slice);
        let from = uses.partition_point(|other| *other <= index);
        let call = uses
            .get(from..)
            .unwrap_or(&[])
            .iter()
            .copied()
            .find(|other| {
                self.item(*other).is_some_and(|item| item.kind.is_call())
                    && self.later_output(key, *other).is_none()
                    && !self.early.contains_key(other)
            });
        if let Some(call) = call {
            self.take_away(index);
            self.early.insert(call, index);
            self.owned.insert(index, call);
            return Entry::Nothing;
        }
        self.drop(index, Why::Orphan);
        Entry::Nothing
    }
}
