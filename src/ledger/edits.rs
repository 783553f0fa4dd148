//! What a strategy would add to a sequence and take from it, answered without doing it.

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

    /// The pairs that the edits touch, as they stand afterwards, each once and in the order of their keys. Places are
    /// those after the edits.
    pub fn touched(&self, ledger: &Ledger) -> Vec<Touched> {
        let removed = self.removed.iter().filter_map(|&at| {
            let key = ledger.slot(at)?.call()?;
            Some((key, 0, None))
        });
        let inserted = self
            .inserts
            .iter()
            .enumerate()
            .filter(|(_, insert)| !insert.is_foreign(ledger))
            .map(|(index, insert)| (insert.call, self.place_of(index), Some(insert.kind)));
        let mut changes: Vec<(CallKey, u32, Option<ItemKind>)> = removed.chain(inserted).collect();
        // most often there are two runs in order already
        changes.sort_by_key(|(key, ..)| *key);
        changes
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(|of_one| {
                let key = of_one.first()?.0;
                let mut pair = EMPTY;
                let mut inserted = None;
                for &(_, place, kind) in of_one {
                    if let Some(kind) = kind {
                        inserted.get_or_insert(kind);
                        pair.add(place, kind);
                    }
                }
                for (position, slot) in ledger.uses(key) {
                    if self.removed.binary_search(&position).is_err() {
                        pair.add(self.moved(position), slot.kind);
                    }
                }
                Some(Touched {
                    key,
                    pair,
                    inserted,
                })
            })
            .collect()
    }
}

/// A pair that [`Edits`] touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The pair.
    pub key: CallKey,
    /// As it stands afterwards.
    pub pair: Pair,
    /// The kind of the first output that is put in for it.
    pub inserted: Option<ItemKind>,
}
