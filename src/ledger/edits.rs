//! What a strategy would add to a sequence and take from it, answered without doing it.

use std::collections::BTreeMap;

use super::{EMPTY, Ledger, Pair};
use crate::ids::CallKey;
use crate::wire::item::ItemKind;

/// An output that is put into the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert {
    /// It stands before the item that was at this place.
    pub before: u32,
    /// Its kind.
    pub kind: ItemKind,
    /// The pair it belongs to. A key of another family than `kind`'s answers nothing.
    pub call: CallKey,
}

impl Insert {
    /// Whether its kind is of another family than the calls of its id: it answers nothing and is an orphan itself.
    pub fn is_foreign(&self, ledger: &Ledger) -> bool {
        let known = ledger.uses(self.call).next();
        known.is_some_and(|(_, slot)| slot.kind.family() != self.kind.family())
    }
}

/// Insertions and removals, in terms of the places before any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// What is put in, ordered by place; equal places in the order of the list.
    pub inserts: Vec<Insert>,
    /// Places of the items that are left out, ascending.
    pub removed: Vec<u32>,
}

impl Edits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.inserts.is_empty() && self.removed.is_empty()
    }

    /// The place a position has after the edits.
    pub fn moved(&self, position: u32) -> u32 {
        let before = self
            .inserts
            .partition_point(|insert| insert.before <= position) as u32;
        let gone = self.removed.partition_point(|&removed| removed < position) as u32;
        position + before - gone
    }

    /// The place the insertion at `index` of the list has after the edits.
    pub fn place_of(&self, index: usize) -> u32 {
        let before = self.inserts.get(index).map_or(0, |insert| insert.before);
        let gone = self.removed.partition_point(|&removed| removed < before) as u32;
        before + index as u32 - gone
    }

    /// The pairs that the edits touch, as they stand afterwards. Places are those after the edits, doubled in resolution
    /// by nothing: only their order counts, so an insertion before place `p` stands between `p - 1` and `p`.
    pub fn touched(&self, ledger: &Ledger) -> BTreeMap<CallKey, Pair> {
        let mut touched: BTreeMap<CallKey, Pair> = self
            .removed
            .iter()
            .filter_map(|&at| ledger.slot(at)?.call())
            .map(|key| (key, EMPTY))
            .collect();
        for (index, insert) in self.inserts.iter().enumerate() {
            if !insert.is_foreign(ledger) {
                let pair = touched.entry(insert.call).or_insert(EMPTY);
                pair.add(self.place_of(index), insert.kind);
            }
        }
        for (key, pair) in &mut touched {
            for (position, slot) in ledger.uses(*key) {
                if self.removed.binary_search(&position).is_err() {
                    pair.add(self.moved(position), slot.kind);
                }
            }
        }
        touched
    }
}
