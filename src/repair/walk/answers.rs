//! What answers a call that is open when a request is made.

use super::decision::{Answer, Why};
use super::{Slot, Walk};
use crate::ids::{CallKey, ItemIndex};
use crate::wire::item::ItemKind;

impl Walk<'_> {
    /// Takes an output from its place; where it goes its id may stand already.
    pub(super) fn take_away(&mut self, output: ItemIndex) {
        self.drop(output, Why::Moved);
        let id = self.item(output).and_then(|item| item.id);
        if id.is_some_and(|id| self.id_uses.get(&id).is_some_and(|uses| *uses > 1)) {
            self.decision(output).strip_id = true;
        }
    }

    /// Gives an open call its output: one that stands elsewhere, else one that is made up.
    pub(super) fn answer(&mut self, key: CallKey, slot: &Slot) {
        let found = slot
            .output
            .filter(|output| !self.is_gone(*output))
            .or_else(|| self.later_output(key, slot.call))
            .or_else(|| self.output_of_other_kind(key, slot));
        let answer = match found {
            Some(output) => {
                self.take_away(output);
                self.owned.insert(output, slot.call);
                if let Some(item) = self.item(output)
                    && !item.kind.answers(slot.kind)
                {
                    self.decision(output).retype = slot.kind.answer_kind();
                }
                if slot.rename.is_some() {
                    self.decision(output).rename.clone_from(&slot.rename);
                }
                Answer::Real(output)
            }
            None if matches!(
                slot.kind,
                ItemKind::ComputerCall | ItemKind::McpApprovalRequest
            ) =>
            {
                self.drop(slot.call, Why::Unanswerable);
                return;
            }
            None => Answer::Made,
        };
        if self.foreign.contains_key(&slot.call) && self.file == 0 {
            self.out.decisions.entry(slot.call).or_default().answer = Some(answer);
            self.out.at_start.push(slot.call);
            return;
        }
        self.decision(slot.call).answer = Some(answer);
    }

    /// The first output of a call behind it that no other call with this id stands in front of.
    pub(super) fn later_output(&self, key: CallKey, call: ItemIndex) -> Option<ItemIndex> {
        let uses = self.uses.get(&key)?;
        let from = uses.partition_point(|index| *index <= call);
        let next = uses.get(from..)?;
        let output = next
            .iter()
            .take_while(|index| self.item(**index).is_some_and(|item| item.kind.is_output()))
            .find(|index| !self.is_gone(**index) && self.is_free(**index, call));
        output.copied()
    }

    /// An output with the same id whose kind belongs to no call on file.
    fn output_of_other_kind(&self, key: CallKey, slot: &Slot) -> Option<ItemIndex> {
        let text = |kind: ItemKind| {
            matches!(
                kind,
                ItemKind::FunctionCallOutput
                    | ItemKind::CustomToolCallOutput
                    | ItemKind::LocalShellCallOutput
            )
        };
        if !slot.kind.answer_kind().is_some_and(text) {
            return None;
        }
        self.rollout
            .items
            .same_id(key)
            .into_iter()
            .find_map(|other| {
                let uses = self.uses.get(&other)?;
                let kind = |index: &ItemIndex| self.item(*index).map(|item| item.kind);
                if uses.iter().filter_map(kind).any(ItemKind::is_call) {
                    return None;
                }
                let mut outputs = uses.iter().filter(|index| kind(index).is_some_and(text));
                outputs
                    .find(|index| !self.is_gone(**index) || self.is_orphan(**index))
                    .copied()
            })
    }

    /// Whether an output belongs to no other call.
    fn is_free(&self, output: ItemIndex, call: ItemIndex) -> bool {
        self.owned.get(&output).is_none_or(|owner| *owner == call)
    }

    fn is_orphan(&self, index: ItemIndex) -> bool {
        let decision = self.out.decisions.get(&index);
        decision.is_some_and(|decision| decision.drop == Some(Why::Orphan))
    }
}
