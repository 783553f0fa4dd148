//! Which calls are open after each item: the pairing of calls and outputs, kept up to date item by item.
//!
//! A [`Ledger`] holds one sequence of items and answers at any moment which calls have no output, which outputs no call,
//! which came too early or twice. Adding or taking back an item costs no more than the items of the same call id, so a
//! session of any length is judged request by request without being read again. [`Edits`] are answered without being
//! carried out. Pairs follow responses-api.md 2.1 and codex.md 2.2: outputs are a multiset per id, kinds must match,
//! nothing is paired by adjacency.

mod edits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{CallKey, ItemIndex, ItemKey};
use crate::wire::item::{Author, Flags, Item, ItemKind, Items};

pub use edits::{Edits, Insert, Touched};

const NONE: u32 = u32::MAX;

/// One item in its place.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Which item it is.
    pub item: ItemIndex,
    call: u32,
    id: u32,
    prev_use: u32,
    /// Its kind.
    pub kind: ItemKind,
    /// Who made it.
    pub author: Author,
    /// Its flags.
    pub flags: Flags,
}

impl Slot {
    /// The pair the item belongs to.
    pub fn call(&self) -> Option<CallKey> {
        (self.call != NONE).then_some(CallKey::new(self.call))
    }

    /// The item's id.
    pub fn id(&self) -> Option<ItemKey> {
        (self.id != NONE).then_some(ItemKey::new(self.id))
    }
}

/// How the calls and outputs of one id stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// How many calls there are.
    pub calls: u32,
    /// How many outputs there are.
    pub outputs: u32,
    /// The place of the first call.
    pub first_call: u32,
    /// The place of the first output.
    pub first_output: u32,
    last_use: u32,
    call_kinds: u8,
    output_kinds: u8,
}

const APPROVAL: u8 = 4;

const EMPTY: Pair = Pair {
    calls: 0,
    outputs: 0,
    first_call: NONE,
    first_output: NONE,
    last_use: NONE,
    call_kinds: 0,
    output_kinds: 0,
};

/// Bit of a local shell call or of its own kind of output, and of approvals; everything else is bit 1 of its family.
fn kind_bit(kind: ItemKind) -> u8 {
    match kind {
        ItemKind::LocalShellCall | ItemKind::LocalShellCallOutput => 2,
        ItemKind::McpApprovalRequest | ItemKind::McpApprovalResponse => APPROVAL,
        _ => 1,
    }
}

impl Default for Pair {
    fn default() -> Self {
        EMPTY
    }
}

impl Pair {
    /// Counts an item of its id.
    pub(crate) fn add(&mut self, position: u32, kind: ItemKind) {
        if kind.is_call() {
            self.calls += 1;
            self.first_call = self.first_call.min(position);
            self.call_kinds |= kind_bit(kind);
        } else {
            self.outputs += 1;
            self.first_output = self.first_output.min(position);
            self.output_kinds |= kind_bit(kind);
        }
    }

    /// The same pair with its first items at other places.
    #[must_use]
    pub fn at(self, first_call: u32, first_output: u32) -> Self {
        Self {
            first_call,
            first_output,
            ..self
        }
    }

    fn is_open_approval(&self) -> bool {
        self.call_kinds & APPROVAL != 0 && self.is_open()
    }

    /// Whether a call has no output that answers its kind.
    ///
    /// Only a `function_call` beside nothing but `local_shell_call_output`s tells this apart from "no output at all".
    pub fn is_open(&self) -> bool {
        self.calls > 0
            && (self.outputs == 0 || (self.call_kinds & 1 != 0 && self.output_kinds & 1 == 0))
    }

    /// Whether an output has no call.
    pub fn is_orphan(&self) -> bool {
        self.outputs > 0 && (self.calls == 0 || self.has_stray_shell_output())
    }

    /// The kind of the output that has no call, where the first of all outputs is of kind `first`.
    pub fn orphan_kind(&self, first: ItemKind) -> ItemKind {
        if self.calls > 0 {
            ItemKind::LocalShellCallOutput
        } else {
            first
        }
    }

    /// Whether a `local_shell_call_output` stands where only calls of other kinds have its id.
    pub fn has_stray_shell_output(&self) -> bool {
        self.output_kinds & 2 != 0 && self.call_kinds & 2 == 0
    }

    /// Whether the first output stands before the first call.
    pub fn is_early(&self) -> bool {
        self.calls > 0 && self.outputs > 0 && self.first_output < self.first_call
    }

    /// Whether there are more outputs than calls.
    pub fn has_extra_output(&self) -> bool {
        self.calls > 0 && self.outputs > self.calls
    }

    /// Whether there is more than one call.
    pub fn has_extra_call(&self) -> bool {
        self.calls > 1
    }

    /// How many calls are left over when outputs are counted against them one by one.
    pub fn unanswered(&self) -> u32 {
        if self.is_open() {
            self.calls
        } else {
            self.calls.saturating_sub(self.outputs)
        }
    }
}

/// The reasoning that led to an item, by the item's id: the id of the reasoning, and where it stands. Known of answers that
/// a server stored.
pub type Led = BTreeMap<ItemKey, (ItemKey, ItemIndex)>;

/// A sequence of items and how its calls and outputs pair up.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    slots: Vec<Slot>,
    pairs: Vec<Pair>,
    id_counts: Vec<u32>,
    open: BTreeMap<u32, CallKey>,
    open_approvals: usize,
    orphans: BTreeMap<u32, CallKey>,
    early: BTreeMap<u32, CallKey>,
    extra_outputs: BTreeSet<CallKey>,
    extra_calls: BTreeSet<CallKey>,
    duplicate_ids: BTreeMap<u32, ItemKey>,
    ill_formed: BTreeSet<u32>,
    too_long: BTreeSet<u32>,
    lone_reasoning: BTreeSet<u32>,
    led: Arc<Led>,
    unled: BTreeMap<u32, ItemIndex>,
}

impl Ledger {
    /// An empty ledger with room for all items of a session, so that a large one is never moved.
    pub fn for_items(items: &Items) -> Self {
        Self {
            // a probe adds one more
            slots: Vec::with_capacity(items.len() + 1),
            pairs: Vec::with_capacity(items.call_count()),
            id_counts: Vec::with_capacity(items.id_count()),
            ..Self::default()
        }
    }

    /// An empty ledger that knows which reasoning led to which item.
    pub fn knowing(led: Arc<Led>) -> Self {
        Self {
            led,
            ..Self::default()
        }
    }

    /// How many items there are.
    pub fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The item at a place.
    pub fn slot(&self, position: u32) -> Option<&Slot> {
        self.slots.get(position as usize)
    }

    /// All items, first to last.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// How the calls and outputs of one id stand.
    pub fn pair(&self, key: CallKey) -> Pair {
        self.pairs.get(key.index()).copied().unwrap_or(EMPTY)
    }

    /// Calls without an output, by the place of the first call.
    pub fn open(&self) -> &BTreeMap<u32, CallKey> {
        &self.open
    }

    /// How many of the open calls are approval requests.
    pub fn open_approvals(&self) -> usize {
        self.open_approvals
    }

    /// Outputs without a call, by the place of the first output.
    pub fn orphans(&self) -> &BTreeMap<u32, CallKey> {
        &self.orphans
    }

    /// Ids whose first output stands before their first call, by the place of that call.
    pub fn early(&self) -> &BTreeMap<u32, CallKey> {
        &self.early
    }

    /// Ids with more outputs than calls.
    pub fn extra_outputs(&self) -> &BTreeSet<CallKey> {
        &self.extra_outputs
    }

    /// Ids with more than one call.
    pub fn extra_calls(&self) -> &BTreeSet<CallKey> {
        &self.extra_calls
    }

    /// Places of items whose id stood there before.
    pub fn duplicate_ids(&self) -> &BTreeMap<u32, ItemKey> {
        &self.duplicate_ids
    }

    /// Places of items with an id or call id of a wrong form.
    pub fn ill_formed(&self) -> &BTreeSet<u32> {
        &self.ill_formed
    }

    /// Those of [`Ledger::ill_formed`] whose call id is too long.
    pub fn too_long(&self) -> &BTreeSet<u32> {
        &self.too_long
    }

    /// Places of reasoning items with an id that something else than the model's next item follows. Reasoning at the
    /// very end is not among them: what follows it may still come.
    pub fn lone_reasoning(&self) -> &BTreeSet<u32> {
        &self.lone_reasoning
    }

    /// Places of items before which the reasoning that led to them does not stand, with that reasoning.
    pub fn unled(&self) -> &BTreeMap<u32, ItemIndex> {
        &self.unled
    }

    /// The last item's place if it is a reasoning item with an id.
    pub fn trailing_reasoning(&self) -> Option<u32> {
        let last = self.slots.last()?;
        (last.kind == ItemKind::Reasoning && last.id != NONE).then(|| self.len() - 1)
    }

    /// The places of all calls and outputs of one id, last to first.
    pub fn uses(&self, key: CallKey) -> Uses<'_> {
        Uses {
            ledger: self,
            at: self.pair(key).last_use,
        }
    }

    /// Adds an item at the end.
    pub fn push(&mut self, index: ItemIndex, item: &Item) {
        let position = self.len();
        let call = item.call.map_or(NONE, CallKey::number);
        let id = match item.id {
            // these name another item's id; they have none of their own
            Some(id)
                if !matches!(
                    item.kind,
                    ItemKind::ItemReference | ItemKind::LocalShellCallOutput
                ) =>
            {
                id.number()
            }
            _ => NONE,
        };
        if let Some(before) = self.trailing_reasoning()
            && item.author != Author::Model
        {
            self.lone_reasoning.insert(before);
        }
        let mut prev_use = NONE;
        if let Some(key) = item.call {
            let old = self.pair(key);
            prev_use = old.last_use;
            let mut new = old;
            new.add(position, item.kind);
            new.last_use = position;
            self.set_pair(key, old, new);
        }
        if id != NONE {
            let count = self.count_id(id, 1);
            if count > 1 {
                self.duplicate_ids.insert(position, ItemKey::new(id));
            }
            if let Some((reasoning, at)) = self.led.get(&ItemKey::new(id))
                && self
                    .id_counts
                    .get(reasoning.number() as usize)
                    .copied()
                    .unwrap_or(0)
                    == 0
            {
                self.unled.insert(position, *at);
            }
        }
        if item.flags.has(Flags::BAD_ID) || item.flags.has(Flags::LONG_CALL_ID) {
            self.ill_formed.insert(position);
        }
        if item.flags.has(Flags::LONG_CALL_ID) {
            self.too_long.insert(position);
        }
        self.slots.push(Slot {
            item: index,
            call,
            id,
            prev_use,
            kind: item.kind,
            author: item.author,
            flags: item.flags,
        });
    }

    /// Takes back items from the end until `length` are left.
    pub fn truncate(&mut self, length: u32) {
        while self.len() > length {
            let Some(slot) = self.slots.pop() else { return };
            let position = self.len();
            if let Some(key) = slot.call() {
                let old = self.pair(key);
                let new = self.without_last(&old, &slot, position);
                self.set_pair(key, old, new);
            }
            if slot.id != NONE {
                self.count_id(slot.id, -1);
                self.duplicate_ids.remove(&position);
                self.unled.remove(&position);
            }
            self.ill_formed.remove(&position);
            self.too_long.remove(&position);
            if let Some(before) = position.checked_sub(1) {
                self.lone_reasoning.remove(&before);
            }
        }
    }

    /// The pair as it was before its last use at `position` was added.
    fn without_last(&self, pair: &Pair, slot: &Slot, position: u32) -> Pair {
        let mut new = *pair;
        new.last_use = slot.prev_use;
        if slot.kind.is_call() {
            new.calls -= 1;
            if new.first_call == position {
                new.first_call = NONE;
            }
        } else {
            new.outputs -= 1;
            if new.first_output == position {
                new.first_output = NONE;
            }
        }
        // the kind bits are unions: look at what is left only where two kinds share one family
        if new.calls == 0 {
            new.call_kinds = 0;
        }
        if new.outputs == 0 {
            new.output_kinds = 0;
        }
        if new.call_kinds == 3 || new.output_kinds == 3 {
            (new.call_kinds, new.output_kinds) = (0, 0);
            let mut at = new.last_use;
            while let Some(other) = self.slot(at) {
                let bits = if other.kind.is_call() {
                    &mut new.call_kinds
                } else {
                    &mut new.output_kinds
                };
                *bits |= kind_bit(other.kind);
                if new.call_kinds == 3 && new.output_kinds == 3 {
                    break;
                }
                at = other.prev_use;
            }
        }
        new
    }

    fn count_id(&mut self, id: u32, change: i32) -> u32 {
        let at = id as usize;
        if self.id_counts.len() <= at {
            self.id_counts.resize(at + 1, 0);
        }
        match self.id_counts.get_mut(at) {
            Some(count) => {
                *count = count.saturating_add_signed(change);
                *count
            }
            None => 0,
        }
    }

    fn set_pair(&mut self, key: CallKey, old: Pair, new: Pair) {
        let at = key.index();
        if self.pairs.len() <= at {
            self.pairs.resize(at + 1, EMPTY);
        }
        if let Some(slot) = self.pairs.get_mut(at) {
            *slot = new;
        }
        self.open_approvals += usize::from(new.is_open_approval());
        self.open_approvals -= usize::from(old.is_open_approval());
        replace(
            &mut self.open,
            key,
            old.is_open().then_some(old.first_call),
            new.is_open().then_some(new.first_call),
        );
        replace(
            &mut self.orphans,
            key,
            old.is_orphan().then_some(old.first_output),
            new.is_orphan().then_some(new.first_output),
        );
        replace(
            &mut self.early,
            key,
            old.is_early().then_some(old.first_call),
            new.is_early().then_some(new.first_call),
        );
        toggle(
            &mut self.extra_outputs,
            key,
            old.has_extra_output(),
            new.has_extra_output(),
        );
        toggle(
            &mut self.extra_calls,
            key,
            old.has_extra_call(),
            new.has_extra_call(),
        );
    }

    /// The kind of the call of an open pair that is unanswered.
    pub fn open_kind(&self, key: CallKey) -> ItemKind {
        let pair = self.pair(key);
        self.slot(pair.first_call)
            .map_or(ItemKind::Other, |slot| slot.kind)
    }
}

fn replace(map: &mut BTreeMap<u32, CallKey>, key: CallKey, old: Option<u32>, new: Option<u32>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        map.remove(&old);
    }
    if let Some(new) = new {
        map.insert(new, key);
    }
}

fn toggle(set: &mut BTreeSet<CallKey>, key: CallKey, old: bool, new: bool) {
    match (old, new) {
        (false, true) => {
            set.insert(key);
        }
        (true, false) => {
            set.remove(&key);
        }
        _ => {}
    }
}

/// The places of one id's items, last to first. Made by [`Ledger::uses`].
#[derive(Clone, Debug)]
pub struct Uses<'a> {
    ledger: &'a Ledger,
    at: u32,
}

impl<'a> Iterator for Uses<'a> {
    type Item = (u32, &'a Slot);

    fn next(&mut self) -> Option<Self::Item> {
        let slot = self.ledger.slot(self.at)?;
        let position = self.at;
        self.at = slot.prev_use;
        Some((position, slot))
    }
}

#[cfg(test)]
mod tests;
