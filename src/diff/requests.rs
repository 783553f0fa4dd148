//! From one request to the next: what a client added, left out and changed, and what the history would have demanded.

use std::collections::{BTreeMap, BTreeSet};

use super::bind::{Bound, Votes};
use super::compare::on_part;
use super::json::{Node, parse};
use super::lens::{IdAt, Lens};
use super::rules::{Path, Rules};
use super::sequence::{Event, Sequence, Side, What};
use super::structure::{Compare, Detail};
use crate::wire::raw::Object;

/// What one request did, held against the one before it in its lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The request: an index into [`Sequence::events`].
    pub request: u32,
    /// The request before it in its lane; `None` for the first.
    pub before: Option<u32>,
    /// Items that it carries and the conversation did not hold: indices into [`Sequence::events`].
    pub added: Vec<u32>,
    /// Items that the conversation holds and it leaves out.
    pub dropped: Vec<u32>,
    /// Items of an answer that was cut, which it leaves out: no client is held to them.
    pub forgotten: Vec<u32>,
    /// Outputs that it adds for calls that it does not carry and no response before it holds.
    pub orphans: Vec<u32>,
    /// Calls that had no output yet and get none with it: the events that opened them.
    pub owed: Vec<u32>,
    /// Members of the request that changed. That a chained request names the response before it is no change.
    pub changed: Vec<Detail>,
    /// Whether it sends its history whole, or goes on from a response.
    pub chained: bool,
}

impl Step {
    /// Whether the request is what the history would demand: nothing left out, nothing owed, nothing answered that was not
    /// asked. Members may change.
    pub fn is_as_demanded(&self) -> bool {
        self.dropped.is_empty() && self.owed.is_empty() && self.orphans.is_empty()
    }
}

#[derive(Default)]
struct Lane {
    last: Option<u32>,
    /// Calls without output: the event that opened each, and whether its response was completed.
    open: BTreeMap<u32, (u32, bool)>,
    /// Calls that the context holds.
    calls: BTreeSet<u32>,
    /// Calls of the answer that is coming in.
    fresh: Vec<u32>,
    response: Option<String>,
}

impl Lane {
    /// Takes an item of a request that belongs to a call.
    fn moved(&mut self, call: u32, event: &Event, at: u32) {
        match (event.what, event.is_call) {
            (What::Item, true) => {
                self.open.insert(call, (at, true));
                self.calls.insert(call);
            }
            (What::Item, false) => {
                self.open.remove(&call);
            }
            (_, true) => {
                self.open.remove(&call);
                self.calls.remove(&call);
            }
            _ => {}
        }
    }
}

/// Whether what a request leaves out came in an answer that was cut.
fn of_cut_answer(sequence: &Sequence, event: &Event) -> bool {
    sequence.parts(event).any(|(name, _)| name == "answer")
}

/// The requests of a recording, lane by lane.
pub fn requests(sequence: &Sequence, rules: &Rules) -> Vec<Step> {
    let bound = itself(sequence);
    let mut lanes: BTreeMap<u32, Lane> = BTreeMap::new();
    let mut found: Vec<Step> = Vec::new();
    let mut at = 0;
    while let Some(event) = sequence.events.get(at) {
        let lane = lanes.entry(event.lane).or_default();
        let index = at as u32;
        at += 1;
        if event.row.is_some() {
            continue;
        }
        match event.what {
            What::Request => {
                let mut step = Step {
                    request: index,
                    before: lane.last,
                    chained: member(sequence, index, "previous_response_id").is_some(),
                    ..Step::default()
                };
                while let Some(next) = sequence.events.get(at) {
                    match (next.what, next.side) {
                        (What::Dropped, _) if of_cut_answer(sequence, next) => {
                            step.forgotten.push(at as u32);
                        }
                        (What::Dropped, _) => step.dropped.push(at as u32),
                        (What::Item, Side::Sent) => step.added.push(at as u32),
                        _ => break,
                    }
                    if let Some(call) = next.call {
                        lane.moved(call, next, at as u32);
                    }
                    at += 1;
                }
                let known = &lane.calls;
                step.orphans = step
                    .added
                    .iter()
                    .copied()
                    .filter(|at| {
                        let event = sequence.events.get(*at as usize);
                        event.is_some_and(|it| {
                            !it.is_call && it.call.is_some_and(|call| !known.contains(&call))
                        })
                    })
                    .collect();
                step.owed = lane
                    .open
                    .values()
                    .filter(|(_, firm)| *firm)
                    .map(|(event, _)| *event)
                    .collect();
                step.owed.sort_unstable();
                if let Some(before) = lane.last {
                    step.changed = changed(
                        sequence,
                        rules,
                        &bound,
                        (before, index),
                        lane.response.as_deref(),
                    );
                }
                lane.last = Some(index);
                lane.fresh.clear();
                found.push(step);
            }
            What::Item if event.side == Side::Received && event.is_call => {
                if let Some(call) = event.call {
                    lane.open.insert(call, (index, true));
                    lane.calls.insert(call);
                    lane.fresh.push(call);
                }
            }
            What::Cut => {
                // whether the server stored what it had sent is not known
                for call in &lane.fresh {
                    if let Some((_, firm)) = lane.open.get_mut(call) {
                        *firm = false;
                    }
                }
            }
            What::Response => {
                let raw = sequence.parts(event).next().map_or("", |(_, raw)| raw);
                lane.response = Object::read(raw)
                    .and_then(|it| it.text("id").map(std::borrow::Cow::into_owned));
            }
            _ => {}
        }
    }
    found
}

/// Within one recording an id is itself.
fn itself(sequence: &Sequence) -> Bound {
    let mut votes = Votes::default();
    let count = sequence.known.len();
    for id in 0..count as u32 {
        let own = [IdAt { place: 0, id }];
        votes.take(&own, &own);
    }
    votes.count(count, count, |_, _| true)
}

fn member(sequence: &Sequence, event: u32, name: &str) -> Option<String> {
    let event = sequence.events.get(event as usize)?;
    let raw = sequence.parts(event).find(|(member, _)| *member == name)?.1;
    crate::wire::raw::string(raw).map(std::borrow::Cow::into_owned)
}

fn changed(
    sequence: &Sequence,
    rules: &Rules,
    bound: &Bound,
    (before, now): (u32, u32),
    response: Option<&str>,
) -> Vec<Detail> {
    let lens = Lens {
        rules,
        known: &sequence.known,
    };
    let mut compare = Compare {
        left: lens,
        right: lens,
        bound,
        found: Vec::new(),
        more: 0,
    };
    let parts = |event: u32| -> Vec<&super::sequence::Part> {
        let event = sequence.events.get(event as usize);
        let numbers = event.map(|it| sequence.part_numbers(it).collect::<Vec<_>>());
        let numbers = numbers.unwrap_or_default();
        numbers
            .iter()
            .filter_map(|it| sequence.parts.get(*it as usize))
            .collect()
    };
    let (old, new) = (parts(before), parts(now));
    let skips = |path: &Path<'_>, node: &Node<'_>| {
        rules.aside(path, false) || rules.nothing(node, false) || path.name() == "attempt"
    };
    for own in &old {
        on_part(sequence, own, |path, node| {
            let Some(node) = node.filter(|it| !skips(path, it)) else {
                return;
            };
            match new.iter().find(|it| it.name == own.name) {
                Some(other) if other.raw == own.raw => {}
                Some(other) => {
                    if let Some(found) = parse(&other.raw) {
                        compare.values(node, &found, path, false);
                    }
                }
                None => compare.one_sided(path, node, true),
            }
        });
    }
    for own in new
        .iter()
        .filter(|own| old.iter().all(|it| it.name != own.name))
    {
        on_part(sequence, own, |path, node| {
            if let Some(node) = node.filter(|it| !skips(path, it)) {
                compare.one_sided(path, node, false);
            }
        });
    }
    let mut found = compare.found;
    found.retain(|it| {
        it.path != "previous_response_id" || it.right.is_none() || it.right.as_deref() != response
    });
    found
}
