//! The history as Codex rebuilds it when it resumes a rollout, step by step.
//!
//! [`Effective`] is fed a rollout's steps in order and always holds what a resume at that point would send again, before
//! the repairs of the prompt (codex #5473). What Codex does backwards over the file (`rollout_reconstruction.rs`) comes
//! to the same, walked forwards: a replacement takes the place of all before it, a rollback drops the last instruction
//! turns of what is there. One corner is decided otherwise: when a rollback takes back the very turn that compacted
//! first, one upstream version loses what stood before that compaction; here the replacement stays and the rollback
//! is applied to it, as upstream does wherever an older replacement exists.

use super::{Era, Step};
use crate::ids::ItemIndex;
use crate::wire::item::{Author, Flags, Item, ItemKind, Items};

/// What one step changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// This item was added at the end.
    Pushed(ItemIndex),
    /// The history was cut to this length.
    Truncated(usize),
    /// The history was replaced as a whole.
    Replaced,
}

/// The history that would be sent again.
#[derive(Clone, Debug)]
pub struct Effective {
    era: Era,
    path: Vec<ItemIndex>,
    /// Where instruction turns begin in `path`.
    turns: Vec<u32>,
}

impl Effective {
    /// An empty history of a rollout of an era.
    pub fn new(era: Era) -> Self {
        Self {
            era,
            path: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// The items, in the order in which they would be sent.
    pub fn path(&self) -> &[ItemIndex] {
        &self.path
    }

    /// Takes one step further.
    pub fn apply(&mut self, items: &Items, step: &Step) -> Change {
        match *step {
            Step::Item(index) => match items.get(index) {
                Some(item) if self.is_sent(item) => {
                    self.push(index, item);
                    Change::Pushed(index)
                }
                _ => Change::None,
            },
            Step::Replaced { first, count, .. } => {
                self.path.clear();
                self.turns.clear();
                for index in (first.0..first.0.saturating_add(count)).map(ItemIndex) {
                    if let Some(item) = items.get(index).filter(|item| self.is_sent(item)) {
                        self.push(index, item);
                    }
                }
                Change::Replaced
            }
            Step::Summarised(_, summary) => {
                self.path.retain(|index| {
                    items.get(*index).is_some_and(|item| {
                        item.kind == ItemKind::Message && item.author == Author::User
                    })
                });
                self.path.push(summary);
                // the summary is a user message to Codex, so it begins a turn
                self.turns = (0..self.path.len() as u32).collect();
                Change::Replaced
            }
            Step::RolledBack(_, turns) => self.roll_back(items, turns as usize),
            _ => Change::None,
        }
    }

    fn push(&mut self, index: ItemIndex, item: &Item) {
        if begins_turn(item) {
            self.turns.push(self.path.len() as u32);
        }
        self.path.push(index);
    }

    /// Whether an item is sent again: not what is only ever request control or history of the file (codex #19481,
    /// #22809, #27946), not what the loader does not know or skips. The TypeScript CLI (E0) has no loader that skips.
    fn is_sent(&self, item: &Item) -> bool {
        let control = matches!(
            item.kind,
            ItemKind::AdditionalTools
                | ItemKind::CompactionTrigger
                | ItemKind::GhostSnapshot
                | ItemKind::Other
        );
        !control && (self.era == Era::E0 || !item.flags.has(Flags::UNREADABLE_BY_CLIENT))
    }

    /// Drops the last `count` instruction turns and the context that was added for them; what stands before the first
    /// instruction stays.
    fn roll_back(&mut self, items: &Items, count: usize) -> Change {
        let kept = self.turns.len().saturating_sub(count);
        let (Some(&first), Some(&cut)) = (self.turns.first(), self.turns.get(kept)) else {
            return Change::None;
        };
        let last_kept = kept.checked_sub(1).and_then(|last| self.turns.get(last));
        let floor = last_kept.map_or(first, |last| last + 1) as usize;
        let mut cut = cut as usize;
        while cut > floor
            && self
                .path
                .get(cut - 1)
                .is_some_and(|index| is_context(items, *index))
        {
            cut -= 1;
        }
        self.path.truncate(cut);
        self.turns.truncate(kept);
        Change::Truncated(cut)
    }
}

/// Whether an item begins an instruction turn: a user's message, or another agent's.
fn begins_turn(item: &Item) -> bool {
    match item.kind {
        ItemKind::Message => item.author == Author::User,
        ItemKind::AgentMessage => true,
        _ => false,
    }
}

/// Context that Codex adds before an instruction: environment, permissions, markers. Developer messages count as such
/// whatever they say; an item does not keep its text.
fn is_context(items: &Items, index: ItemIndex) -> bool {
    items
        .get(index)
        .is_some_and(|item| item.kind == ItemKind::Message && item.author == Author::Client)
}

#[cfg(test)]
mod corpus_test;
#[cfg(test)]
mod tests;
