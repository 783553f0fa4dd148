//! The walk over a history: which calls would be open when a request was made, and what each of them needs.
//!
//! Requests stand where the strategies put them: in front of each run of model-made items, and at the end. At each of them
//! every call must have its output behind it, every output its call in front, every id must be its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::texts::Texts;
use super::{Change, Places, What};
use crate::ids::{CallKey, ItemIndex, ItemKey, LineNo};
use crate::rollout::effective::{Change as Step2, Effective};
use crate::rollout::{Rollout, Step};
use crate::wire::item::{Author, Flags, Item, ItemKind};

/// What is done to one item.
#[derive(Clone, Debug, Default)]
pub(super) struct Decision {
    /// It leaves its place, for this reason; an output that is put behind its call is written there.
    pub(super) drop: Option<Why>,
    /// Its call id is replaced.
    pub(super) rename: Option<Arc<str>>,
    /// Its `id` is left out.
    pub(super) strip_id: bool,
    /// Its `type` is replaced.
    pub(super) retype: Option<ItemKind>,
    /// It is a call, and this is put directly behind it.
    pub(super) answer: Option<Answer>,
}

/// Why an item leaves its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is put behind its call.
    Moved,
    /// An output without call.
    Orphan,
    /// A second output of one call.
    Extra,
    /// It said "aborted", and the real output is on file.
    Superseded,
    /// The same item stands in front of it.
    Copy,
    /// Reasoning that the model's next item does not follow.
    LoneReasoning,
    /// A call that only its user can answer.
    Unanswerable,
}

impl Why {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Moved => "put directly behind its call",
            Self::Orphan => "an output whose call is not on file",
            Self::Extra => "a second output of a call that has one",
            Self::Superseded => "it said \"aborted\", and the call's real output is on file",
            Self::Copy => "the same item stands in front of it",
            Self::LoneReasoning => "reasoning that nothing of the model's follows",
            Self::Unanswerable => "a call without output, and none can be made up for its kind",
        }
    }
}

/// What answers a call that would be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This output, which stands elsewhere.
    Real(ItemIndex),
    /// One that is made up.
    Made,
}

/// Why nothing safe can be done.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) file: u32,
    pub(super) line: LineNo,
    pub(super) reason: String,
}

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) decisions: BTreeMap<ItemIndex, Decision>,
    /// Calls of other files whose answer stands in front of the own history.
    pub(super) at_start: Vec<ItemIndex>,
    /// What the file says of tools: that they began, that they ended.
    pub(super) began: BTreeMap<CallKey, LineNo>,
    pub(super) ended: BTreeMap<CallKey, LineNo>,
}

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

    /// Takes an output from its place; where it goes its id may stand already.
    fn take_away(&mut self, output: ItemIndex) {
        self.drop(output, Why::Moved);
        let id = self.item(output).and_then(|item| item.id);
        if id.is_some_and(|id| self.id_uses.get(&id).is_some_and(|uses| *uses > 1)) {
            self.decision(output).strip_id = true;
        }
    }

    /// Gives an open call its output: one that stands elsewhere, else one that is made up.
    fn answer(&mut self, key: CallKey, slot: &Slot) {
        let found = slot
            .output
            .filter(|output| !self.is_gone(*output))
            .or_else(|| self.later_output(key, slot.call))
            .or_else(|| self.output_of_other_kind(key, slot));
        let answer = match found {
            Some(output) => {
                self.take_away(output);
                self.owned.insert(output, slot.call);
                if let Some(item) = self.item(output)
                    && !item.kind.answers(slot.kind)
                {
                    self.decision(output).retype = slot.kind.answer_kind();
                }
                if slot.rename.is_some() {
                    self.decision(output).rename.clone_from(&slot.rename);
                }
                Answer::Real(output)
            }
            None if matches!(
                slot.kind,
                ItemKind::ComputerCall | ItemKind::McpApprovalRequest
            ) =>
            {
                self.drop(slot.call, Why::Unanswerable);
                return;
            }
            None => Answer::Made,
        };
        if self.foreign.contains_key(&slot.call) && self.file == 0 {
            self.out.decisions.entry(slot.call).or_default().answer = Some(answer);
            self.out.at_start.push(slot.call);
            return;
        }
        self.decision(slot.call).answer = Some(answer);
    }

    /// The first output of a call behind it that no other call with this id stands in front of.
    fn later_output(&self, key: CallKey, call: ItemIndex) -> Option<ItemIndex> {
        let uses = self.uses.get(&key)?;
        let from = uses.partition_point(|index| *index <= call);
        let next = uses.get(from..)?;
        let output = next
            .iter()
            .take_while(|index| self.item(**index).is_some_and(|item| item.kind.is_output()))
            .find(|index| !self.is_gone(**index) && self.is_free(**index, call));
        output.copied()
    }

    /// An output with the same id whose kind belongs to no call on file.
    fn output_of_other_kind(&self, key: CallKey, slot: &Slot) -> Option<ItemIndex> {
        let text = |kind: ItemKind| {
            matches!(
                kind,
                ItemKind::FunctionCallOutput
                    | ItemKind::CustomToolCallOutput
                    | ItemKind::LocalShellCallOutput
            )
        };
        if !slot.kind.answer_kind().is_some_and(text) {
            return None;
        }
        self.rollout
            .items
            .same_id(key)
            .into_iter()
            .find_map(|other| {
                let uses = self.uses.get(&other)?;
                let kind = |index: &ItemIndex| self.item(*index).map(|item| item.kind);
                if uses.iter().filter_map(kind).any(ItemKind::is_call) {
                    return None;
                }
                let mut outputs = uses.iter().filter(|index| kind(index).is_some_and(text));
                outputs
                    .find(|index| !self.is_gone(**index) || self.is_orphan(**index))
                    .copied()
            })
    }

    /// Whether an output belongs to no other call.
    fn is_free(&self, output: ItemIndex, call: ItemIndex) -> bool {
        self.owned.get(&output).is_none_or(|owner| *owner == call)
    }

    fn is_orphan(&self, index: ItemIndex) -> bool {
        let decision = self.out.decisions.get(&index);
        decision.is_some_and(|decision| decision.drop == Some(Why::Orphan))
    }

    fn push(&mut self, index: ItemIndex) {
        let Some(item) = self.item(index) else { return };
        if self.is_gone(index) {
            self.path.push((Entry::Nothing, None));
            return;
        }
        if item.author != Author::Model {
            self.drop_reasoning();
        }
        let same_text = |walk: &Self, other: ItemIndex| {
            let hash = walk.hashes.get(&index);
            hash.is_some() && hash == walk.hashes.get(&other)
        };
        let mut own_id = None;
        if let Some(id) = item.id {
            match self.ids.get(&id).copied() {
                Some(other) if other != index && same_text(self, other) => {
                    self.drop(index, Why::Copy);
                    self.path.push((Entry::Nothing, None));
                    return;
                }
                Some(other) if other != index => self.decision(index).strip_id = true,
                _ => {
                    self.ids.insert(id, index);
                    own_id = Some(id);
                }
            }
        }
        let entry = match item.call {
            Some(key) if item.kind.is_call() => self.push_call(index, &item, key, &same_text),
            Some(key) if item.kind.is_output() => self.push_output(index, &item, key),
            _ => Entry::Nothing,
        };
        if !self.is_gone(index) {
            let with_id = item.kind == ItemKind::Reasoning && item.id.is_some();
            let keeps_id = !self.out.decisions.get(&index).is_some_and(|it| it.strip_id);
            self.reasoning = (with_id && keeps_id).then_some(index);
        }
        self.path.push((entry, own_id));
    }

    fn drop_reasoning(&mut self) {
        if let Some(lone) = self.reasoning.take() {
            self.drop(lone, Why::LoneReasoning);
        }
    }

    fn push_call(
        &mut self,
        index: ItemIndex,
        item: &Item,
        key: CallKey,
        same_text: &dyn Fn(&Self, ItemIndex) -> bool,
    ) -> Entry {
        let before = self
            .slots
            .get(&key)
            .and_then(|slots| slots.last())
            .map(|slot| slot.call);
        if let Some(before) = before
            && same_text(self, before)
        {
            self.drop(index, Why::Copy);
            return Entry::Nothing;
        }
        let long = item.flags.has(Flags::LONG_CALL_ID) || item.flags.has(Flags::EMPTY_CALL_ID);
        let rename = (before.is_some() || long).then(|| self.new_name(key));
        if rename.is_some() {
            self.decision(index).rename.clone_from(&rename);
        }
        let early = self.early.get(&index).copied();
        if let Some(output) = early {
            self.decision(index).answer = Some(Answer::Real(output));
            self.decision(output).rename.clone_from(&rename);
        }
        self.slots.entry(key).or_default().push(Slot {
            call: index,
            kind: item.kind,
            answered: early.is_some(),
            output: early,
            output_aborted: false,
            rename,
        });
        self.fresh.push(key);
        Entry::Call(key)
    }

    /// A call id that no other call has.
    fn new_name(&mut self, key: CallKey) -> Arc<str> {
        let old = self.rollout.items.call_id(key);
        let base: String = if old.is_empty() {
            "call".to_owned()
        } else {
            old.chars().take(48).collect()
        };
        let mut number = 2_u64;
        loop {
            let name = format!("{base}_{number}");
            if !self.is_taken(&name) {
                self.names.insert(name.clone());
                return name.into();
            }
            number += 1;
        }
    }

    fn is_taken(&self, name: &str) -> bool {
        use crate::wire::item::Family;
        let families = [
            Family::Function,
            Family::Custom,
            Family::ToolSearch,
            Family::Shell,
            Family::ApplyPatch,
            Family::Computer,
        ];
        self.names.contains(name)
            || families
                .into_iter()
                .any(|family| self.rollout.items.find_call(family, name).is_some())
    }

    fn push_output(&mut self, index: ItemIndex, item: &Item, key: CallKey) -> Entry {
        let aborted = item.flags.has(Flags::ABORTED);
        let slots = self.slots.entry(key).or_default();
        if let Some(at) = slots.iter().position(|slot| !slot.answered) {
            let Some(slot) = slots.get_mut(at) else {
                return Entry::Nothing;
            };
            slot.answered = true;
            slot.output = Some(index);
            slot.output_aborted = aborted;
            let (rename, kind, call) = (slot.rename.clone(), slot.kind, slot.call);
            self.owned.insert(index, call);
            if rename.is_some() {
                self.decision(index).rename = rename;
            }
            if !item.kind.answers(kind) {
                self.decision(index).retype = kind.answer_kind();
            }
            return Entry::Output(key, at);
        }
        if let Some(slot) = slots.last_mut() {
            let superseded = slot.output.filter(|_| slot.output_aborted && !aborted);
            if let Some(earlier) = superseded {
                let call = slot.call;
                (slot.output, slot.output_aborted) = (Some(index), false);
                let rename = slot.rename.clone();
                let is_early = self.early.contains_key(&call);
                if !is_early {
                    self.drop(earlier, Why::Superseded);
                    self.take_away(index);
                    if rename.is_some() {
                        self.decision(index).rename = rename;
                    }
                    self.decision(call).answer = Some(Answer::Real(index));
                    return Entry::Nothing;
                }
            }
            self.drop(index, Why::Extra);
            return Entry::Nothing;
        }
        self.slots.remove(&key);
        // its call may come yet
        let uses = self.uses.get(&key).map_or(&[][..], Vec::as_slice);
        let from = uses.partition_point(|other| *other <= index);
        let call = uses
            .get(from..)
            .unwrap_or(&[])
            .iter()
            .copied()
            .find(|other| {
                self.item(*other).is_some_and(|item| item.kind.is_call())
                    && self.later_output(key, *other).is_none()
                    && !self.early.contains_key(other)
            });
        if let Some(call) = call {
            self.take_away(index);
            self.early.insert(call, index);
            self.owned.insert(index, call);
            return Entry::Nothing;
        }
        self.drop(index, Why::Orphan);
        Entry::Nothing
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

/// The decisions in words.
pub(super) fn changes(
    rollout: &Rollout,
    walked: &Walked,
    places: &Places,
    texts: &Texts,
) -> Vec<Change> {
    let mut found = Vec::new();
    for (&index, decision) in &walked.decisions {
        let Some(item) = rollout.items.get(index) else {
            continue;
        };
        let here = walked.at_start.contains(&index);
        let mut add = |what: What, detail: String| {
            found.push(Change {
                line: if here { 1 } else { places.original(item.line) },
                what,
                call_id: item.call.map(|key| rollout.items.call_id(key).to_owned()),
                item_type: Some(item.kind),
                detail,
            });
        };
        if let Some(new) = &decision.rename {
            add(What::Renamed, format!("its call id is now {new}"));
        }
        if decision.strip_id {
            add(
                What::IdDropped,
                "its id stands in front of it already".to_owned(),
            );
        }
        if let Some(kind) = decision.retype {
            add(What::Retyped, format!("it is now a {}", kind.name()));
        }
        match decision.drop {
            Some(Why::Moved) => add(What::Moved, Why::Moved.words().to_owned()),
            Some(why) => add(What::Removed, why.words().to_owned()),
            None => {}
        }
        if decision.answer == Some(Answer::Made) {
            let (what, detail) = texts.said(index);
            add(what, detail);
        }
    }
    found
}
