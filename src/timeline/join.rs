//! Event logs on the timeline of the session they belong to: its threads are theirs, and so are its calls.

use std::collections::BTreeMap;

use super::beside;
use super::entry::{Marks, NONE, What};
use super::index::{Timeline, is_log};
use super::state::Change;
use crate::events::canonical;
use crate::session::Session;
use crate::session::exchange::Origin;

/// Entries of event logs whose thread is a lane of another file: its number in `parts` and the lane's, by log and lane.
pub(super) type Lanes = BTreeMap<(usize, u16), (usize, u16)>;

/// Finds the lanes of event logs that another file has as well. A log whose lanes are all known brings none of its own.
pub(super) fn lanes(parts: &mut [Timeline]) -> Lanes {
    let mut known: BTreeMap<String, (usize, u16)> = BTreeMap::new();
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| !is_log(part)) {
        for (lane, named) in part.lanes.iter().enumerate() {
            let name = canonical(&named.name).into_owned();
            known.entry(name).or_insert((at, lane as u16));
        }
    }
    // a log that names no thread, or another, belongs to the only one there is
    let only = (known.len() == 1)
        .then(|| known.values().next().copied())
        .flatten();
    let mut found = Lanes::new();
    for (at, part) in parts
        .iter_mut()
        .enumerate()
        .filter(|(_, part)| is_log(part))
    {
        let count = part.lanes.len();
        for (lane, named) in part.lanes.iter().enumerate() {
            if let Some(&other) = known.get(&*canonical(&named.name)) {
                found.insert((at, lane as u16), other);
            }
        }
        if count == 0
            && let Some(only) = only
        {
            found.insert((at, u16::MAX), only);
        }
        if found.range((at, 0)..(at, u16::MAX)).count() == count {
            part.lanes.clear();
            part.histories_mut().clear();
        }
        // turns are counted by the file that holds their requests
        for entry in &mut part.entries {
            if found.contains_key(&(at, entry.lane)) {
                entry.marks.unset(Marks::TURN);
                entry.turn = 0;
            }
        }
    }
    found
}

/// Ties the entries of event logs to the calls they speak of, and returns what they say of them.
pub(super) fn calls(all: &mut Timeline) -> Vec<Change> {
    let is_log = |session: &Session| matches!(session, Session::Recording(it) if it.origin == Origin::Events);
    if !all.files.iter().any(|file| is_log(&file.session)) {
        return Vec::new();
    }
    let mut by_id: BTreeMap<String, u32> = BTreeMap::new();
    for call in 0..all.calls.len() as u32 {
        by_id.insert(all.call_id(call).to_owned(), call);
    }
    let mut next = vec![0_usize; all.files.len()];
    let mut changes = Vec::new();
    for (at, entry) in all.entries.iter_mut().enumerate() {
        let file = entry.file as usize;
        let Some(Session::Recording(recording)) = all.files.get(file).map(|file| &file.session)
        else {
            continue;
        };
        if recording.origin != Origin::Events || entry.what != What::ClientEvent {
            continue;
        }
        // an entry is made for each event, in their order
        let Some(number) = next.get_mut(file) else {
            continue;
        };
        let event = recording.events.events.get(*number);
        *number += 1;
        let call = event.and_then(|event| {
            let id = recording.events.text(event.call?);
            Some((by_id.get(id).copied()?, event.what))
        });
        let Some((call, what)) = call else { continue };
        if entry.call == NONE {
            entry.call = call;
        }
        if let Some(what) = beside::happened(what) {
            changes.push(Change {
                entry: at as u32,
                call,
                what,
            });
        }
    }
    changes
}
