//! What a request adds to the conversation and what it leaves out, held against what was said before in its lane.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp};

use super::sequence::{Draft, Sequence};
use crate::ids::{ItemIndex, ResponseKey};
use crate::session::exchange::{Exchange, Recording, Terminal};

/// Larger differences between a history and a request are matched in order, not at best.
const MAX_SEARCH: usize = 4_000_000;

/// What a request does with its conversation, in the order in which it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The conversation holds it, the request does not carry it; `firm` says that it was sent before, or that its response
    /// was completed.
    Dropped { item: ItemIndex, firm: bool },
    /// It is new: the part of `input` it is. `placed` says where.
    Added {
        part: usize,
        item: ItemIndex,
        placed: Placed,
    },
}

/// Where a new item was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Behind all that is known.
    AtEnd,
    /// In front of it.
    InFront,
    /// Inside of it, behind this part of `input`.
    Behind(usize),
}

#[derive(Clone, Copy)]
struct Known {
    item: ItemIndex,
    /// Whether the client is held to it: it was sent, or its response was completed.
    firm: bool,
}

#[derive(Default)]
struct Lane {
    history: Vec<Known>,
    ends: BTreeMap<ResponseKey, usize>,
    pending: Option<usize>,
}

/// The conversations of a recording while it is read.
pub(super) struct History<'a> {
    recording: &'a Recording,
    lanes: BTreeMap<u32, Lane>,
    /// The part of the sequence in which an item stands, by its index.
    texts: BTreeMap<ItemIndex, u32>,
}

impl<'a> History<'a> {
    pub(super) fn new(recording: &'a Recording) -> Self {
        Self {
            recording,
            lanes: BTreeMap::new(),
            texts: BTreeMap::new(),
        }
    }

    fn print(&self, item: ItemIndex) -> u64 {
        let print = self.recording.fingerprints.get(item.0 as usize);
        print.copied().unwrap_or(0)
    }

    /// Takes the next request of its lane. `alone`: without regard to what was before.
    pub(super) fn request(&mut self, at: usize, exchange: &Exchange, alone: bool) -> Vec<Told> {
        let recording = self.recording;
        let mut lane = self.lanes.remove(&exchange.lane).unwrap_or_default();
        let answer = lane.history.len();
        if let Some(before) = lane
            .pending
            .take()
            .and_then(|it| recording.exchanges.get(it))
        {
            let answer = &before.answer;
            let firm = matches!(
                answer.terminal,
                Some(Terminal::Completed | Terminal::Incomplete)
            );
            lane.history
                .extend(answer.done.iter().map(|item| Known { item: *item, firm }));
            if let Some(response) = answer.response {
                lane.ends.insert(response, lane.history.len());
            }
        }
        let base = match (exchange.request.previous, exchange.request.conversation) {
            (Some(previous), _) => lane
                .ends
                .get(&previous)
                .copied()
                .unwrap_or(lane.history.len()),
            (None, Some(_)) => lane.history.len(),
            (None, None) => 0,
        };
        let base = base.min(lane.history.len());
        let input = recording.tree.items(exchange.request.input);
        let known = lane.history.get(base..).unwrap_or(&[]);
        let (told, same) = if alone {
            (whole(&input), vec![None; input.len()])
        } else {
            self.against(known, answer.saturating_sub(base), &input)
        };
        let next: Vec<Known> = input
            .iter()
            .zip(same)
            .map(|(item, same)| Known {
                // an item that is spelled anew goes by its first spelling
                item: same
                    .and_then(|at| known.get(at))
                    .map_or(*item, |it| it.item),
                firm: true,
            })
            .collect();
        lane.history.truncate(base);
        lane.history.extend(next);
        lane.pending = Some(at);
        self.lanes.insert(exchange.lane, lane);
        told
    }

    /// What is told of a request (`answer`: where in `known` the last answer begins), and for each of its items the place of the known one that it is.
    fn against(
        &self,
        known: &[Known],
        answer: usize,
        input: &[ItemIndex],
    ) -> (Vec<Told>, Vec<Option<usize>>) {
        let same = |known: &Known, item: &ItemIndex| {
            known.item == *item || self.print(known.item) == self.print(*item)
        };
        let front = known
            .iter()
            .zip(input)
            .take_while(|(known, item)| same(known, item))
            .count();
        let rest = known.get(front..).unwrap_or(&[]);
        let more = input.get(front..).unwrap_or(&[]);
        let left: Vec<u64> = rest.iter().map(|it| self.print(it.item)).collect();
        let right: Vec<u64> = more.iter().map(|it| self.print(*it)).collect();
        let mut kept = matches(&left, &right);
        let mut told = Vec::new();
        let mut is_kept = vec![false; rest.len()];
        for at in kept.iter().flatten() {
            if let Some(slot) = is_kept.get_mut(*at) {
                *slot = true;
            }
        }
        // what one answer brought may come back in another order: clients order it by place, or as it was finished
        // and stands behind all that was before it
        let answer = answer.saturating_sub(front);
        let behind = kept.iter().rposition(|it| it.is_some_and(|at| at < answer));
        let behind = behind.map_or(0, |at| at + 1);
        let pairs = (right.len() - behind.min(right.len()))
            .saturating_mul(left.len().saturating_sub(answer));
        let again = if pairs <= MAX_SEARCH {
            behind
        } else {
            right.len()
        };
        for (slot, print) in kept.iter_mut().zip(&right).skip(again) {
            if slot.is_some() {
                continue;
            }
            let free = is_kept.iter().zip(&left).enumerate().skip(answer);
            let found = free
                .filter(|(_, (kept, _))| !**kept)
                .find(|(_, (_, other))| *other == print);
            if let Some((at, _)) = found {
                *slot = Some(at);
                if let Some(slot) = is_kept.get_mut(at) {
                    *slot = true;
                }
            }
        }
        for (known, kept) in rest.iter().zip(&is_kept) {
            if !kept {
                told.push(Told::Dropped {
                    item: known.item,
                    firm: known.firm,
                });
            }
        }
        let last_kept = kept.iter().rposition(Option::is_some);
        for (at, found) in kept.iter().enumerate() {
            if found.is_some() {
                continue;
            }
            let part = front + at;
            let Some(&item) = input.get(part) else {
                continue;
            };
            let placed = match part.checked_sub(1) {
                _ if last_kept.is_none_or(|last| at > last) => Placed::AtEnd,
                None => Placed::InFront,
                Some(before) => Placed::Behind(before),
            };
            told.push(Told::Added { part, item, placed });
        }
        let same = (0..front)
            .map(Some)
            .chain(kept.iter().map(|it| it.map(|at| front + at)));
        (told, same.collect())
    }

    /// Remembers in which part of the sequence an item stands.
    pub(super) fn stands(&mut self, item: ItemIndex, draft: &Draft) {
        if let Some(part) = draft.parts.first() {
            self.texts.entry(item).or_insert(*part);
        }
    }

    /// The same for the n-th item that an answer finished.
    pub(super) fn answered(&mut self, exchange: &Exchange, drafts: &[Draft]) {
        for draft in drafts {
            let item = draft
                .nth
                .and_then(|nth| exchange.answer.done.get(nth as usize));
            if let Some(item) = item {
                self.stands(*item, draft);
            }
        }
    }

    /// How an item is spelled.
    pub(super) fn text(&self, item: ItemIndex, from: &Sequence) -> String {
        let part = self
            .texts
            .get(&item)
            .and_then(|it| from.parts.get(*it as usize));
        if let Some(part) = part {
            return part.raw.to_string();
        }
        let kind = self
            .recording
            .items
            .get(item)
            .map_or("item", |it| it.kind.name());
        serde_json::json!({"type": kind}).to_string()
    }
}

fn whole(input: &[ItemIndex]) -> Vec<Told> {
    let added = |(part, item): (usize, &ItemIndex)| Told::Added {
        part,
        item: *item,
        placed: Placed::AtEnd,
    };
    input.iter().enumerate().map(added).collect()
}

/// For each element on the right the one on the left it is.
fn matches(left: &[u64], right: &[u64]) -> Vec<Option<usize>> {
    let mut found = vec![None; right.len()];
    let mut set = |at: usize, from: usize| {
        if let Some(slot) = found.get_mut(at) {
            *slot = Some(from);
        }
    };
    if left.len().saturating_mul(right.len()) <= MAX_SEARCH {
        for op in similar::capture_diff_slices(Algorithm::Myers, left, right) {
            if let DiffOp::Equal {
                old_index,
                new_index,
                len,
            } = op
            {
                (0..len).for_each(|at| set(new_index + at, old_index + at));
            }
        }
        return found;
    }
    let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, print) in left.iter().enumerate() {
        places.entry(*print).or_default().push(at);
    }
    let mut from = 0;
    for (at, print) in right.iter().enumerate() {
        let Some(places) = places.get(print) else {
            continue;
        };
        let next = places.partition_point(|it| *it < from);
        if let Some(place) = places.get(next) {
            set(at, *place);
            from = place + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_in_order() {
        assert_eq!(
            matches(&[1, 2, 3], &[9, 1, 3, 4]),
            [None, Some(0), Some(2), None]
        );
        assert_eq!(matches(&[], &[1]), [None]);
        let left: Vec<u64> = (0..3000).collect();
        let right: Vec<u64> = (1..3001).collect();
        let found = matches(&left, &right);
        assert_eq!(
            (found[0], found[2998], found[2999]),
            (Some(1), Some(2999), None)
        );
    }
}
