//! The walk over a history: which calls would be open when a request was made, and what each of them needs.
//!
//! Requests stand where the strategies put them: in front of each run of model-made items, and at the end. At each of them
//! every call must have its output behind it, every output its call in front, every id must be its own.

mod answers;
mod decision;
mod pushes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{CallKey, ItemIndex, ItemKey};
use crate::rollout::effective::{Change as Step2, Effective};
use crate::rollout::{Rollout, Step};
use crate::wire::item::{Author, Item, ItemKind};

pub(super) use decision::{Answer, Decision, Stop, Walked, Why, changes};

/// Items that share their call id or item id with an earlier one of their kind: whether they are the same item has to be
/// looked up.
pub(super) fn twice(rollout: &Rollout) -> BTreeSet<ItemIndex> {
    let mut calls: BTreeMap<CallKey, ItemIndex> = BTreeMap::new();
    let mut ids: BTreeMap<ItemKey, ItemIndex> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (at, item) in rollout.items.iter().enumerate() {
        let index = ItemIndex(at as u32);
        let call = item.call.filter(|_| item.kind.is_call());
        let same_call = call.and_then(|key| calls.insert(key, index));
        let same_id = item.id.and_then(|key| ids.insert(key, index));
        for other in same_call.into_iter().chain(same_id) {
            found.insert(other);
            found.insert(index);
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Entry {
    Nothing,
    Call(CallKey),
    Output(CallKey, usize),
}

/// One call of the history as it is.
#[derive(Clone)]
struct Slot {
    call: ItemIndex,
    kind: ItemKind,
    answered: bool,
    /// The last output it had, also if that was taken back.
    output: Option<ItemIndex>,
    output_aborted: bool,
    rename: Option<Arc<str>>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what was seen of a turn, each by itself"
)]
struct Walk<'a> {
    rollout: &'a Rollout,
    hashes: &'a BTreeMap<ItemIndex, u64>,
    out: Walked,
    uses: BTreeMap<CallKey, Vec<ItemIndex>>,
    /// The file of each item that is not of the own file.
    foreign: BTreeMap<ItemIndex, u32>,
    path: Vec<(Entry, Option<ItemKey>)>,
    slots: BTreeMap<CallKey, Vec<Slot>>,
    ids: BTreeMap<ItemKey, ItemIndex>,
    /// How many items have an id.
    id_uses: BTreeMap<ItemKey, u32>,
    /// Outputs that stand in front of their calls, by call.
    early: BTreeMap<ItemIndex, ItemIndex>,
    /// Outputs that belong to a call, with it.
    owned: BTreeMap<ItemIndex, ItemIndex>,
    names: BTreeSet<String>,
    reasoning: Option<ItemIndex>,
    /// Calls since the last request.
    fresh: Vec<CallKey>,
    all: bool,
    file: u32,
    in_run: bool,
    since_run: bool,
    response_over: bool,
    stop: Option<Stop>,
}

/// Walks a rollout.
pub(super) fn walk(rollout: &Rollout, hashes: &BTreeMap<ItemIndex, u64>) -> Result<Walked, Stop> {
    let mut walk = Walk {
        rollout,
        hashes,
        out: Walked::default(),
        uses: BTreeMap::new(),
        foreign: BTreeMap::new(),
        path: Vec::new(),
        slots: BTreeMap::new(),
        ids: BTreeMap::new(),
        id_uses: BTreeMap::new(),
        early: BTreeMap::new(),
        owned: BTreeMap::new(),
        names: BTreeSet::new(),
        reasoning: None,
        fresh: Vec::new(),
        all: false,
        file: 0,
        in_run: false,
        since_run: false,
        response_over: false,
        stop: None,
    };
    for (at, item) in rollout.items.iter().enumerate() {
        if let Some(id) = item.id {
            *walk.id_uses.entry(id).or_default() += 1;
        }
        if let Some(key) = item.call {
            walk.uses.entry(key).or_default().push(ItemIndex(at as u32));
        }
    }
    walk.read_files();
    walk.steps();
    match walk.stop {
        Some(stop) => Err(stop),
        None => Ok(walk.out),
    }
}

impl Walk<'_> {
    fn item(&self, index: ItemIndex) -> Option<Item> {
        self.rollout.items.get(index).copied()
    }

    /// Which items stand in other files, and what the own file says of tools.
    fn read_files(&mut self) {
        let mut file = 0;
        for step in &self.rollout.steps {
            match *step {
                Step::File(index) => file = index,
                Step::Item(index) if file != 0 => {
                    self.foreign.insert(index, file);
                }
                Step::Replaced { first, count, .. } if file != 0 => {
                    let items = (first.0..first.0.saturating_add(count)).map(ItemIndex);
                    self.foreign.extend(items.map(|index| (index, file)));
                }
                Step::ToolBegan(line, key) if file == 0 => {
                    self.out.began.insert(key, line);
                }
                Step::ToolEnded(line, key) if file == 0 => {
                    self.out.ended.insert(key, line);
                }
                _ => {}
            }
        }
    }

    fn steps(&mut self) {
        let mut effective = Effective::new(self.rollout.era);
        for step in &self.rollout.steps {
            match step {
                Step::File(file) => self.file = *file,
                Step::Item(index) => self.before(*index),
                Step::Meta(_)
                | Step::TurnStarted(_)
                | Step::TurnAborted(..)
                | Step::TurnComplete(..) => {
                    self.in_run = false;
                }
                Step::ResponseEnded(..) => self.response_over = true,
                _ => {}
            }
            match effective.apply(&self.rollout.items, step) {
                Step2::None => {}
                Step2::Pushed(index) => self.push(index),
                Step2::Truncated(length) => self.truncate(length),
                Step2::Replaced => {
                    // a request stood in front of the compaction
                    self.request();
                    self.path.clear();
                    self.slots.clear();
                    self.ids.clear();
                    self.reasoning = None;
                    for index in effective.path() {
                        self.push(*index);
                    }
                    self.all = true;
                    self.in_run = false;
                }
            }
            if self.stop.is_some() {
                return;
            }
        }
        self.file = 0;
        self.request();
        self.drop_reasoning();
        self.settle();
    }

    /// An output that was to be put behind a call which then left the history has no place.
    fn settle(&mut self) {
        let written: BTreeSet<ItemIndex> = self
            .out
            .decisions
            .values()
            .filter(|decision| decision.drop.is_none())
            .filter_map(|decision| match decision.answer {
                Some(Answer::Real(output)) => Some(output),
                _ => None,
            })
            .collect();
        for (index, decision) in &mut self.out.decisions {
            if decision.drop == Some(Why::Moved) && !written.contains(index) {
                decision.drop = Some(Why::Orphan);
            }
        }
    }

    fn before(&mut self, index: ItemIndex) {
        let Some(item) = self.item(index) else { return };
        match item.author {
            Author::Model => {
                if self.begins_run() {
                    self.request();
                }
                self.in_run = true;
                self.since_run = false;
                self.response_over = false;
            }
            Author::User => self.in_run = false,
            Author::Client => self.since_run = true,
        }
    }

    /// As the strategies see it: a client does not ask again while its tools run.
    fn begins_run(&mut self) -> bool {
        if !self.in_run || self.response_over {
            return true;
        }
        if !self.since_run {
            return false;
        }
        while let Some(&key) = self.fresh.last() {
            if self.is_open(key) {
                return false;
            }
            self.fresh.pop();
        }
        true
    }

    fn is_open(&self, key: CallKey) -> bool {
        let slots = self.slots.get(&key);
        slots.is_some_and(|slots| slots.iter().any(|slot| !slot.answered))
    }

    /// A request stands here: nothing may be open.
    fn request(&mut self) {
        let keys = if std::mem::take(&mut self.all) {
            self.fresh.clear();
            self.slots.keys().copied().collect()
        } else {
            std::mem::take(&mut self.fresh)
        };
        for key in keys {
            let open: Vec<Slot> = self.slots.get_mut(&key).map_or_else(Vec::new, |slots| {
                let open = slots.iter_mut().filter(|slot| !slot.answered);
                open.map(|slot| {
                    slot.answered = true;
                    slot.clone()
                })
                .collect()
            });
            for slot in open {
                self.answer(key, &slot);
            }
        }
    }

    fn decision(&mut self, index: ItemIndex) -> &mut Decision {
        if let Some(&file) = self.foreign.get(&index)
            && self.stop.is_none()
        {
            let path = self
                .rollout
                .files
                .get(file as usize)
                .map_or("", |file| file.path.as_str());
            let line = self.rollout.items.get(index).map_or(0, |item| item.line);
            self.stop = Some(Stop {
                file,
                line,
                reason: format!(
                    "what needs a change stands in another file, in which this history begins: {path}, line {line}; recover that one"
                ),
            });
        }
        self.out.decisions.entry(index).or_default()
    }

    fn is_gone(&self, index: ItemIndex) -> bool {
        let decision = self.out.decisions.get(&index);
        decision.is_some_and(|decision| decision.drop.is_some())
    }

    fn drop(&mut self, index: ItemIndex, why: Why) {
        self.decision(index).drop = Some(why);
    }

    fn drop_reasoning(&mut self) {
        if let Some(lone) = self.reasoning.take() {
            self.drop(lone, Why::LoneReasoning);
        }
    }
    fn truncate(&mut self, length: usize) {
        while self.path.len() > length {
            let Some((entry, id)) = self.path.pop() else {
                break;
            };
            if let Some(id) = id {
                self.ids.remove(&id);
            }
            match entry {
                Entry::Nothing => {}
                Entry::Call(key) => {
                    if let Some(slots) = self.slots.get_mut(&key) {
                        slots.pop();
                        if slots.is_empty() {
                            self.slots.remove(&key);
                        }
                    }
                }
                Entry::Output(key, at) => {
                    let slot = self.slots.get_mut(&key).and_then(|slots| slots.get_mut(at));
                    if let Some(slot) = slot {
                        slot.answered = false;
                    }
                }
            }
        }
        self.reasoning = None;
        self.all = true;
        self.in_run = false;
    }
}
