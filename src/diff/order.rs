//! In which order events are compared: lane by lane, and what runs in parallel in the order of its calls.

use std::collections::{BTreeMap, VecDeque};

use super::rules::Rules;
use super::sequence::{NO_LANE, Sequence, What};

/// The events of a lane on both sides, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
}

/// The lanes of a sequence in an order that does not depend on which of them was first.
fn canonical(sequence: &Sequence) -> Vec<u32> {
    let mut order: Vec<u32> = (0..sequence.lanes.len() as u32).collect();
    order.sort_by_key(|at| {
        let lane = sequence.lanes.get(*at as usize);
        lane.map(|lane| (lane.side, lane.child, lane.beginning.as_str()))
    });
    order
}

/// By what a lane is known: whether it is a side lane, whether it is a child, a text.
type Mark<'l> = (bool, bool, &'l str);

/// Which lane on the right is which on the left, in the order in which they are compared.
fn pairs(left: &Sequence, right: &Sequence) -> Vec<(Option<u32>, Option<u32>)> {
    let mut pairs: Vec<(u32, Option<u32>)> =
        canonical(left).into_iter().map(|it| (it, None)).collect();
    let free = canonical(right);
    let mut taken = vec![false; right.lanes.len()];
    // what must be the same, the most telling first; `None` where a lane has no such mark
    let marks: [fn(&super::Lane) -> Option<Mark<'_>>; 4] = [
        |it| {
            let is_named = !it.name.starts_with("lane-") && it.name != "main";
            is_named.then_some((false, false, &it.name))
        },
        |it| Some((it.side, it.child, &it.beginning)),
        |it| Some((it.side, it.child, "")),
        |it| Some((it.side, false, "")),
    ];
    for mark in marks {
        let mut waiting: BTreeMap<Mark<'_>, VecDeque<u32>> = BTreeMap::new();
        for other in &free {
            let is_taken = taken.get(*other as usize) == Some(&true);
            let lane = right.lanes.get(*other as usize).filter(|_| !is_taken);
            if let Some(mark) = lane.and_then(mark) {
                waiting.entry(mark).or_default().push_back(*other);
            }
        }
        for (lane, slot) in pairs.iter_mut().filter(|(_, slot)| slot.is_none()) {
            let own = left.lanes.get(*lane as usize).and_then(mark);
            *slot = own.and_then(|own| waiting.get_mut(&own)?.pop_front());
            if let Some(taken) = slot.and_then(|it| taken.get_mut(it as usize)) {
                *taken = true;
            }
        }
    }
    let mut all: Vec<(Option<u32>, Option<u32>)> =
        pairs.into_iter().map(|(a, b)| (Some(a), b)).collect();
    let left_over = free
        .into_iter()
        .filter(|it| taken.get(*it as usize) == Some(&false));
    all.extend(left_over.map(|it| (None, Some(it))));
    all.push((Some(NO_LANE), Some(NO_LANE)));
    all
}

/// The blocks that are compared one after another.
pub(super) fn blocks(
    left: &Sequence,
    right: &Sequence,
    rules: &Rules,
    ordered: bool,
) -> Vec<Block> {
    if ordered {
        return vec![Block {
            left: counted(left, rules),
            right: counted(right, rules),
        }];
    }
    let (mut of_left, mut of_right) = (by_lane(left, rules), by_lane(right, rules));
    pairs(left, right)
        .into_iter()
        .map(|(a, b)| Block {
            left: a.and_then(|it| of_left.remove(&it)).unwrap_or_default(),
            right: b.and_then(|it| of_right.remove(&it)).unwrap_or_default(),
        })
        .filter(|block| !block.left.is_empty() || !block.right.is_empty())
        .collect()
}

/// The events of one sequence in canonical order.
pub(super) fn alone(sequence: &Sequence, rules: &Rules, ordered: bool) -> Vec<u32> {
    if ordered {
        return counted(sequence, rules);
    }
    let mut lanes = by_lane(sequence, rules);
    let order = canonical(sequence).into_iter().chain([NO_LANE]);
    order
        .filter_map(|lane| lanes.remove(&lane))
        .flatten()
        .collect()
}

fn counts(sequence: &Sequence, at: usize, rules: &Rules) -> bool {
    sequence.events.get(at).is_some_and(|event| {
        if rules.disk {
            return event.what == What::Item && event.row.is_none();
        }
        !event.row.is_some_and(|row| rules.row_at(row))
    })
}

fn counted(sequence: &Sequence, rules: &Rules) -> Vec<u32> {
    (0..sequence.events.len())
        .filter(|at| counts(sequence, *at, rules))
        .map(|at| at as u32)
        .collect()
}

fn by_lane(sequence: &Sequence, rules: &Rules) -> BTreeMap<u32, Vec<u32>> {
    let mut lanes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for at in counted(sequence, rules) {
        if let Some(event) = sequence.events.get(at as usize) {
            lanes.entry(event.lane).or_default().push(at);
        }
    }
    for events in lanes.values_mut() {
        by_call(sequence, events);
    }
    lanes
}

/// Puts what answers parallel calls into the order of the calls. Everything else keeps its place.
fn by_call(sequence: &Sequence, events: &mut [u32]) {
    let mut opened: BTreeMap<u32, usize> = BTreeMap::new();
    let mut slots: Vec<usize> = Vec::new();
    for at in 0..=events.len() {
        let event = events
            .get(at)
            .and_then(|it| sequence.events.get(*it as usize));
        match event {
            Some(event) if event.call.is_some() && !event.is_call && event.what != What::Half => {
                slots.push(at);
                continue;
            }
            Some(event) if event.what == What::Line => continue,
            Some(event) => {
                if let Some(call) = event.call {
                    let count = opened.len();
                    opened.entry(call).or_insert(count);
                }
            }
            None => {}
        }
        sort_slots(sequence, events, &slots, &opened);
        slots.clear();
    }
}

fn sort_slots(
    sequence: &Sequence,
    events: &mut [u32],
    slots: &[usize],
    opened: &BTreeMap<u32, usize>,
) {
    if slots.len() < 2 {
        return;
    }
    let mut held: Vec<u32> = slots
        .iter()
        .filter_map(|at| events.get(*at).copied())
        .collect();
    held.sort_by_key(|at| {
        let call = sequence.events.get(*at as usize).and_then(|it| it.call);
        call.and_then(|it| opened.get(&it))
            .copied()
            .unwrap_or(usize::MAX)
    });
    for (slot, event) in slots.iter().zip(held) {
        if let Some(slot) = events.get_mut(*slot) {
            *slot = event;
        }
    }
}
