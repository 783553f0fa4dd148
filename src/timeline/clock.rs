//! Times for a log that has none, or whose clock is another one: by what it shares with the other files of a session.
//!
//! `exec --json` says no times, `proto` neither; a driver's log counts seconds from its own beginning. What such a log
//! shares with a recording or rollout are ids (calls, turns) and texts (messages of the user and of the model, commands).
//! Walking both in their order, an event that has an anchor gets the anchor's time; the events between two anchors get
//! that of the first. Order within a file is never changed.

use std::collections::{BTreeMap, VecDeque};

use super::entry::Entry;
use super::index::{Clock, Timeline};
use crate::events::{Event, Log, What};
use crate::session::Session;
use crate::session::exchange::Origin;
use crate::wire::item::{Author, ItemKind};

/// Earlier times are none of the world's: microseconds of a clock that began with its log (2001-09-09).
const EPOCH: i64 = 1_000_000_000_000_000;

/// What two files share, in words that compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Began,
    Ended,
    User,
    Agent,
    Turn,
}

type Anchors = BTreeMap<(Mark, String), VecDeque<i64>>;

/// A clock that differs by less is the same one: what a file says of an event may come seconds later than another.
const SAME: i64 = 60_000_000;

/// Moves event logs whose clock is another one than that of the rest (another machine, another zone) by how much they differ,
/// as the middle one of all turns, calls and, without these, messages says that they share.
pub(super) fn shift(parts: &mut [Timeline]) {
    for at in 0..parts.len() {
        let Some(part) = parts.get(at).filter(|it| log(it).is_some() && !needs(it)) else {
            continue;
        };
        let own = live(std::iter::once(part));
        let others = parts.iter().enumerate();
        let others = others.filter(|(other, it)| *other != at && log(it).is_none());
        let theirs = live(others.map(|(_, it)| it));
        let by = |wanted: fn(Mark) -> bool| {
            let shared = own.iter().filter(|((mark, _), _)| wanted(*mark));
            let found = shared.filter_map(|(key, time)| Some(theirs.get(key)? - time));
            let mut found: Vec<i64> = found.collect();
            found.sort_unstable();
            found.get(found.len() / 2).copied()
        };
        let is_id = |mark| matches!(mark, Mark::Turn | Mark::Began | Mark::Ended);
        let is_text = |mark| matches!(mark, Mark::User | Mark::Agent);
        let Some(by) = by(is_id).or_else(|| by(is_text)) else {
            continue;
        };
        if by.abs() < SAME {
            continue;
        }
        if let Some(part) = parts.get_mut(at) {
            for entry in &mut part.entries {
                if entry.time != i64::MIN {
                    entry.time = entry.time.saturating_add(by);
                }
            }
            if let Some(file) = part.files.first_mut() {
                file.clock = Clock::Shifted;
            }
        }
    }
}

/// When what can be shared was first told, while it happened: a request may repeat it hours later.
fn live<'a>(parts: impl Iterator<Item = &'a Timeline>) -> BTreeMap<(Mark, String), i64> {
    let mut found = BTreeMap::new();
    for part in parts {
        let Some(file) = part.files.first() else {
            continue;
        };
        let log = match &file.session {
            Session::Rollout(rollout) => &rollout.events,
            Session::Recording(recording) => &recording.events,
        };
        let base = part.begun();
        let by_line = times_by_line(part);
        for event in &log.events {
            let known = by_line.get(&event.line).copied();
            let time = known.or_else(|| event.time().map(|time| time + base));
            if let (Some(time), Some(mark)) = (time, mark_of(log, event)) {
                let first = found.entry(mark).or_insert(time);
                *first = time.min(*first);
            }
        }
    }
    found
}

/// Gives event logs without a clock of the world the times of what they share with the others.
pub(super) fn align(parts: &mut [Timeline]) {
    let mut anchors: Option<Anchors> = None;
    for at in 0..parts.len() {
        if !parts.get(at).is_some_and(needs) {
            continue;
        }
        let known = anchors.get_or_insert_with(|| collect(parts)).clone();
        if let Some(part) = parts.get_mut(at) {
            place(part, known);
        }
    }
}

fn log(part: &Timeline) -> Option<&Log> {
    match &part.files.first()?.session {
        Session::Recording(recording) if recording.origin == Origin::Events => {
            Some(&recording.events)
        }
        _ => None,
    }
}

fn needs(part: &Timeline) -> bool {
    log(part).is_some() && !part.entries.iter().any(|entry| entry.time >= EPOCH)
}

/// The anchors of all files that have a clock, in the order of time.
fn collect(parts: &[Timeline]) -> Anchors {
    let mut found: Vec<(i64, Mark, String)> = Vec::new();
    for part in parts.iter().filter(|part| !needs(part)) {
        let Some(file) = part.files.first() else {
            continue;
        };
        for entry in &part.entries {
            if let (Some(time), Some(item)) = (entry.time(), part.item(entry.file, entry.item)) {
                let label = match &file.session {
                    Session::Recording(recording) => recording.labels.get(entry.item as usize),
                    Session::Rollout(_) => None,
                };
                if let Some(call) = item.call {
                    let mark = if item.kind.is_call() {
                        Mark::Began
                    } else {
                        Mark::Ended
                    };
                    found.push((time, mark, part.key_id(entry.file, call).to_owned()));
                } else if let (ItemKind::Message, Author::Model, Some(label)) =
                    (item.kind, item.author, label)
                {
                    found.push((
                        time,
                        Mark::Agent,
                        crate::events::brief(&label.text).to_owned(),
                    ));
                }
            }
        }
        let session_log = match &file.session {
            Session::Rollout(rollout) => &rollout.events,
            Session::Recording(recording) => &recording.events,
        };
        let base = part.begun();
        let by_line = times_by_line(part);
        let thread = match &file.session {
            Session::Rollout(rollout) => rollout.meta.thread_id.as_deref().unwrap_or(""),
            Session::Recording(_) => "",
        };
        let numbered = turns(session_log, thread);
        for (at, event) in session_log.events.iter().enumerate() {
            let time = by_line
                .get(&event.line)
                .copied()
                .or_else(|| event.time().map(|time| time + base));
            let Some(time) = time else { continue };
            if let Some(name) = numbered.get(&at) {
                found.push((time, Mark::Turn, name.clone()));
            }
            if let Some(mark) = mark_of(session_log, event) {
                found.push((time, mark.0, mark.1));
            }
        }
    }
    found.sort();
    let mut anchors = Anchors::new();
    for (time, mark, text) in found {
        let times = anchors.entry((mark, text)).or_default();
        if times.back() != Some(&time) {
            times.push_back(time);
        }
    }
    anchors
}

fn times_by_line(part: &Timeline) -> BTreeMap<u32, i64> {
    let timed = |entry: &Entry| Some((entry.line, entry.time()?));
    part.entries.iter().filter_map(timed).collect()
}

fn mark_of(log: &Log, event: &Event) -> Option<(Mark, String)> {
    let text = |id: Option<crate::events::Id>| id.map(|it| log.text(it).to_owned());
    let (mark, text) = match event.what {
        What::ToolBegan(_) | What::Asked(_) => (Mark::Began, text(event.call)?),
        What::ToolEnded(..) => (Mark::Ended, text(event.call)?),
        What::MessageAsked | What::MessageShown | What::History => (Mark::User, text(event.text)?),
        What::AgentText => (Mark::Agent, text(event.text)?),
        What::TurnStarted => (Mark::Turn, text(event.turn)?),
        _ => return None,
    };
    Some((mark, text))
}

/// Beginnings and ends of turns by number, by event. The counts of all are part of it: a log of one run is not laid over
/// a file of two.
fn turns(log: &Log, thread: &str) -> BTreeMap<usize, String> {
    let kind = |event: &Event| match event.what {
        What::TurnStarted => Some("begins"),
        What::TurnEnded(_) => Some("ends"),
        _ => None,
    };
    let mut current = thread.to_owned();
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (at, event) in log.events.iter().enumerate() {
        if let Some(id) = event.thread {
            log.text(id).clone_into(&mut current);
        }
        if let Some(kind) = kind(event) {
            let key = format!("{current} {kind}");
            *counts.entry(key.clone()).or_default() += 1;
            found.push((at, key));
        }
    }
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let named = found.into_iter().map(|(at, key)| {
        let number = numbers.entry(key.clone()).or_default();
        *number += 1;
        let all = counts.get(&key).copied().unwrap_or(0);
        (at, format!("{key} {number} of {all}"))
    });
    named.collect()
}

/// Gives the entries of a log the times of their anchors.
fn place(part: &mut Timeline, mut anchors: Anchors) {
    let Some(found) = log(part) else { return };
    let mut by_line: BTreeMap<u32, i64> = BTreeMap::new();
    let mut now = i64::MIN;
    let mut first = None;
    let numbered = turns(found, "");
    for (at, event) in found.events.iter().enumerate() {
        let by_number = numbered.get(&at).map(|name| (Mark::Turn, name.clone()));
        let known = mark_of(found, event).filter(|mark| anchors.contains_key(mark));
        if let Some(mark) = known.or(by_number)
            && let Some(times) = anchors.get_mut(&mark)
        {
            // an anchor before what was placed already is one that came earlier in the other file
            while times.front().is_some_and(|time| *time < now) {
                times.pop_front();
            }
            if let Some(time) = times.pop_front() {
                now = time;
                first.get_or_insert((event.line, time));
            }
        }
        by_line.insert(event.line, now);
    }
    let Some((line, time)) = first else {
        // nothing is shared: it stands in front, as what has no time does
        if let Some(file) = part.files.first_mut() {
            file.clock = Clock::None;
        }
        for entry in &mut part.entries {
            entry.time = i64::MIN;
        }
        return;
    };
    for entry in &mut part.entries {
        let placed = by_line.get(&entry.line).copied().unwrap_or(i64::MIN);
        entry.time = if entry.line < line { time } else { placed };
    }
    if let Some(file) = part.files.first_mut() {
        file.clock = Clock::Matched;
    }
}
