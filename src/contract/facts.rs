//! What the rules look at in one request.

use std::collections::BTreeMap;

use crate::ids::{CallKey, ItemIndex, ResponseKey};
use crate::ledger::{Edits, Ledger, Pair, Slot, Touched};
use crate::wire::item::{Author, Flags, ItemKind};
use crate::wire::refusal::RefusalKind;

/// Where the text of an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In an item.
    Item(ItemIndex),
    /// In an item, and in the reasoning that led to it.
    Led {
        /// The item.
        item: ItemIndex,
        /// Its reasoning.
        reasoning: ItemIndex,
    },
    /// A response id of the session.
    Response(ResponseKey),
}

/// One thing for which a request can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule.
    pub kind: RefusalKind,
    /// The kind of the item it names.
    pub item: ItemKind,
    /// The pair it names.
    pub call: Option<CallKey>,
    /// The item's place in the effective context; for faults of form, in `input`.
    pub position: u32,
    /// Where the id stands that the message names, if it is no call id.
    pub place: Option<Place>,
    /// Whether `store` was true, where the words depend on it.
    pub stored: bool,
}

/// The first and the last of several faults of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The one that stands first.
    pub first: Option<Fault>,
    /// The one that stands last.
    pub last: Option<Fault>,
}

impl Ends {
    fn add(&mut self, fault: Fault) {
        if self
            .first
            .is_none_or(|first| fault.position < first.position)
        {
            self.first = Some(fault);
        }
        if self.last.is_none_or(|last| fault.position >= last.position) {
            self.last = Some(fault);
        }
    }
}

/// Everything in a request, together with what the server holds for it, that some world refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// An id or call id of a wrong form.
    pub ill_formed: Option<Fault>,
    /// An item id that stands twice.
    pub duplicate_item: Option<Fault>,
    /// A previous response that is not stored.
    pub previous_not_found: Option<Fault>,
    /// A referenced item that is not stored.
    pub item_not_found: Option<Fault>,
    /// Calls without output.
    pub open: Ends,
    /// Approval requests without answer.
    pub approvals: Ends,
    /// Outputs without call.
    pub orphans: Ends,
    /// Calls whose output stands before them.
    pub early: Ends,
    /// A second output for one call.
    pub extra_output: Option<Fault>,
    /// A second call with one id.
    pub extra_call: Option<Fault>,
    /// A reasoning item that its follower does not follow.
    pub lone_reasoning: Option<Fault>,
    /// An item that stands without the reasoning that led to it.
    pub unled: Option<Fault>,
    /// It refers to state of the server that the session does not hold.
    pub unknown_state: bool,
    /// That state is an item the request refers to, of which nothing is known.
    pub unknown_reference: bool,
}

/// What of a request's ids is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// Items from this place on stand in `input`; those before it are held by the server.
    pub input_from: u32,
    /// Whether the ids of items are those that were really sent.
    pub exact_ids: bool,
}

impl Facts {
    /// Reads the facts off a context with `edits` made to it.
    pub fn read(ledger: &Ledger, edits: &Edits, reads: Reads) -> Self {
        let mut facts = Self::of_pairs(ledger, edits);
        facts.read_form(ledger, edits, reads);
        facts
    }

    /// The part of the facts that lies in calls and outputs.
    pub(crate) fn of_pairs(ledger: &Ledger, edits: &Edits) -> Self {
        let touched = if edits.is_empty() {
            Vec::new()
        } else {
            edits.touched(ledger)
        };
        let mut facts = Self::default();
        let untouched = |key: &CallKey| {
            touched
                .binary_search_by_key(key, |touched| touched.key)
                .is_err()
        };
        // where every pair of a set is touched there is nothing to look for
        let any_left = |set: &BTreeMap<u32, CallKey>, is: fn(&Pair) -> bool| {
            let was = |touched: &&Touched| is(&ledger.pair(touched.key));
            touched.len() < set.len()
                || (!set.is_empty() && touched.iter().filter(was).count() < set.len())
        };
        for (set, which, is) in [
            (
                ledger.orphans(),
                Which::Orphan,
                Pair::is_orphan as fn(&Pair) -> bool,
            ),
            (ledger.early(), Which::Early, Pair::is_early),
        ] {
            if !any_left(set, is) {
                continue;
            }
            // only the ends matter, and only touched pairs stand between an end and the first that counts
            let first = set.iter().find(|(_, key)| untouched(key));
            let last = set.iter().rev().find(|(_, key)| untouched(key));
            for (_, &key) in first.into_iter().chain(last) {
                facts.add_pair(ledger, edits, key, ledger.pair(key), which);
            }
        }
        if any_left(ledger.open(), Pair::is_open) {
            // approvals and other calls share one set; look on until one of each was seen
            let approvals = ledger.open_approvals();
            let others = ledger.open().len() - approvals;
            let kinds = [(true, approvals), (false, others)];
            for (other_than, _) in kinds.into_iter().filter(|(_, count)| *count > 0) {
                let is = |key: &CallKey| {
                    untouched(key)
                        && (ledger.open_kind(*key) == ItemKind::McpApprovalRequest) == other_than
                };
                let first = ledger.open().values().find(|key| is(key)).copied();
                let last = ledger.open().values().rev().find(|key| is(key)).copied();
                for key in first.into_iter().chain(last) {
                    facts.add_pair(ledger, edits, key, ledger.pair(key), Which::Open);
                }
            }
        }
        for (which, set) in [
            (Which::ExtraOutput, ledger.extra_outputs()),
            (Which::ExtraCall, ledger.extra_calls()),
        ] {
            if let Some(&key) = set.iter().find(|key| untouched(key)) {
                facts.add_pair(ledger, edits, key, ledger.pair(key), which);
            }
        }
        for touched in &touched {
            let Touched {
                key,
                pair,
                inserted,
            } = *touched;
            let kinds = [
                (pair.is_open(), Which::Open),
                (pair.is_orphan(), Which::Orphan),
                (pair.is_early(), Which::Early),
                (pair.has_extra_output(), Which::ExtraOutput),
                (pair.has_extra_call(), Which::ExtraCall),
            ];
            for (holds, which) in kinds {
                if holds {
                    facts.add_touched(ledger, edits, key, pair, which, inserted);
                }
            }
        }
        for (index, insert) in edits
            .inserts
            .iter()
            .enumerate()
            .filter(|(_, insert)| insert.is_foreign(ledger))
        {
            facts.orphans.add(Fault {
                kind: RefusalKind::OrphanOutput,
                item: insert.kind,
                call: Some(insert.call),
                position: edits.place_of(index),
                place: None,
                stored: true,
            });
        }
        facts
    }

    /// Adds the part of the facts that does not lie in calls and outputs.
    pub(crate) fn read_form(&mut self, ledger: &Ledger, edits: &Edits, reads: Reads) {
        let kept = |position: &u32| edits.removed.binary_search(position).is_err();
        let at = |position: u32, kind: RefusalKind| {
            let slot = ledger.slot(position)?;
            Some(Fault {
                kind,
                item: slot.kind,
                call: slot.call(),
                position: edits.moved(position),
                place: Some(Place::Item(slot.item)),
                stored: true,
            })
        };
        if reads.exact_ids {
            let ill = ledger
                .ill_formed()
                .range(reads.input_from..)
                .find(|position| kept(position));
            self.ill_formed = ill.and_then(|&position| {
                let long = ledger.slot(position)?.flags.has(Flags::LONG_CALL_ID);
                let kind = if long {
                    RefusalKind::CallIdTooLong
                } else {
                    RefusalKind::BadItemId
                };
                let fault = at(position, kind)?;
                Some(Fault {
                    position: fault.position.saturating_sub(reads.input_from),
                    ..fault
                })
            });
        } else {
            // a client may leave item ids out, but it cannot shorten a call id
            let long = ledger
                .too_long()
                .range(reads.input_from..)
                .find(|position| kept(position));
            self.ill_formed = long.and_then(|&position| {
                let fault = at(position, RefusalKind::CallIdTooLong)?;
                Some(Fault {
                    position: fault.position.saturating_sub(reads.input_from),
                    ..fault
                })
            });
        }
        // a client that rebuilds its requests may leave out ids that are no good (codex #32312)
        self.duplicate_item = ledger
            .duplicate_ids()
            .range(reads.input_from..)
            .take_while(|_| reads.exact_ids)
            .find(|(position, _)| kept(position) && stands_before(ledger, edits, **position))
            .and_then(|(&position, _)| at(position, RefusalKind::DuplicateItem))
            .map(|fault| Fault {
                call: None,
                ..fault
            });
        self.unled = ledger
            .unled()
            .range(reads.input_from..)
            .take_while(|_| reads.exact_ids)
            .find(|(position, _)| kept(position))
            .and_then(|(&position, &reasoning)| {
                let fault = at(position, RefusalKind::ItemWithoutReasoning)?;
                let item = ledger.slot(position)?.item;
                // it names items, not calls
                Some(Fault {
                    call: None,
                    place: Some(Place::Led { item, reasoning }),
                    ..fault
                })
            });
        let lone = ledger
            .lone_reasoning()
            .range(reads.input_from..)
            .copied()
            .chain(ledger.trailing_reasoning())
            .find(|position| kept(position) && is_lone(ledger, edits, *position));
        // edits can also part what stood together
        let places = edits.removed.iter().copied();
        let parted = places
            .chain(edits.inserts.iter().map(|insert| insert.before))
            .filter_map(|place| {
                (0..place)
                    .rev()
                    .find(kept)
                    .filter(|position| is_lone(ledger, edits, *position))
            });
        self.lone_reasoning = parted
            .chain(lone)
            .filter(|position| *position >= reads.input_from)
            .min()
            .and_then(|position| at(position, RefusalKind::ReasoningWithoutFollower));
    }

    fn add_pair(&mut self, ledger: &Ledger, edits: &Edits, key: CallKey, pair: Pair, which: Which) {
        let moved = pair.at(
            moved(edits, pair.first_call),
            moved(edits, pair.first_output),
        );
        let kinds = (
            slot_kind(ledger, pair.first_call),
            slot_kind(ledger, pair.first_output),
        );
        self.add(key, moved, which, kinds);
    }

    fn add_touched(
        &mut self,
        ledger: &Ledger,
        edits: &Edits,
        key: CallKey,
        pair: Pair,
        which: Which,
        inserted: Option<ItemKind>,
    ) {
        let mut call_kind = ItemKind::Other;
        let mut output_kind = ItemKind::Other;
        for (position, slot) in ledger.uses(key) {
            if edits.removed.binary_search(&position).is_ok() {
                continue;
            }
            if slot.kind.is_call() {
                call_kind = slot.kind;
            } else {
                output_kind = slot.kind;
            }
        }
        if output_kind == ItemKind::Other {
            output_kind = inserted.unwrap_or(output_kind);
        }
        self.add(key, pair, which, (call_kind, output_kind));
    }

    fn add(
        &mut self,
        key: CallKey,
        pair: Pair,
        which: Which,
        (call_kind, output_kind): (ItemKind, ItemKind),
    ) {
        let fault = |kind: RefusalKind, item: ItemKind, position: u32| Fault {
            kind,
            item,
            call: Some(key),
            position,
            place: None,
            stored: true,
        };
        let missing = fault(RefusalKind::MissingOutput, call_kind, pair.first_call);
        match which {
            Which::Open if call_kind == ItemKind::McpApprovalRequest => self.approvals.add(missing),
            Which::Open => self.open.add(missing),
            Which::Early => self.early.add(missing),
            Which::Orphan => {
                let kind = pair.orphan_kind(output_kind);
                self.orphans
                    .add(fault(RefusalKind::OrphanOutput, kind, pair.first_output));
            }
            Which::ExtraOutput => {
                let found = fault(RefusalKind::DuplicateOutput, output_kind, pair.first_output);
                self.extra_output = Some(earlier(self.extra_output, found));
            }
            Which::ExtraCall => {
                let found = fault(RefusalKind::DuplicateCall, call_kind, pair.first_call);
                self.extra_call = Some(earlier(self.extra_call, found));
            }
        }
    }
}

/// Whether the id of an item that had it second still stands before it.
fn stands_before(ledger: &Ledger, edits: &Edits, position: u32) -> bool {
    let id_at = |at: u32| ledger.slot(at).and_then(Slot::id);
    let id = id_at(position);
    if !edits.removed.iter().any(|&removed| id_at(removed) == id) {
        return true;
    }
    (0..position).any(|at| id_at(at) == id && edits.removed.binary_search(&at).is_err())
}

/// Whether an item is reasoning with an id that the model's next item does not follow, once the edits are made.
fn is_lone(ledger: &Ledger, edits: &Edits, position: u32) -> bool {
    let reasoning = |slot: &Slot| slot.kind == ItemKind::Reasoning && slot.id().is_some();
    if !ledger.slot(position).is_some_and(reasoning) {
        return false;
    }
    let mut next = position + 1;
    while edits.removed.binary_search(&next).is_ok() {
        next += 1;
    }
    let first = edits
        .inserts
        .partition_point(|insert| insert.before <= position);
    let parted = edits
        .inserts
        .get(first)
        .is_some_and(|insert| insert.before <= next);
    parted
        || ledger
            .slot(next)
            .is_none_or(|slot| slot.author != Author::Model)
}

#[derive(Clone, Copy)]
enum Which {
    Open,
    Orphan,
    Early,
    ExtraOutput,
    ExtraCall,
}

fn earlier(old: Option<Fault>, new: Fault) -> Fault {
    match old {
        Some(old) if old.position <= new.position => old,
        _ => new,
    }
}

fn moved(edits: &Edits, position: u32) -> u32 {
    if position == u32::MAX {
        position
    } else {
        edits.moved(position)
    }
}

fn slot_kind(ledger: &Ledger, position: u32) -> ItemKind {
    ledger
        .slot(position)
        .map_or(ItemKind::Other, |slot| slot.kind)
}
