//! The timeline of a rollout.

mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};

use super::draft::{Asked, Draft};
use super::entry::{Marks, NONE, Place, What};
use super::lines::{head, micros};
use super::state::{Closing, Happened};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::ledger::{Ledger, Pair};
use crate::rollout::effective::Effective;
use crate::rollout::{Era, Rollout, Step};
use crate::session::tree::Node;
use crate::wire::item::{Author, Flags, Item, ItemKind};
use crate::wire::lines::{Line, LineReader, trim};
use crate::wire::raw::{Object, range_in};
use crate::wire::refusal::find;

/// Builds the timeline of a rollout; `reader` gives its own file once more.
pub(super) fn read<R: Read>(rollout: &Rollout, mut reader: R) -> io::Result<Draft> {
    let mut walk = Walk::new(rollout);
    let mut document = Vec::new();
    if rollout.era == Era::E0 {
        // one value over many lines: it was held as a whole when it was read
        reader.read_to_end(&mut document)?;
        walk.draft.places = items_of(&document);
    }
    let mut lines = LineReader::new(Cursor::new(document).chain(reader));
    while let Some(line) = lines.next_line()? {
        // what was appended since the session was read is for the next reading
        if line.number > rollout.lines && rollout.lines > 0 {
            break;
        }
        walk.draft.lines.push(line.offset, line.length, line.ended);
        if rollout.era != Era::E0 {
            walk.line(&line);
        }
    }
    walk.rest();
    let mut draft = walk.draft;
    draft.lines.shrink();
    Ok(draft)
}

/// Where the items of an E0 document stand, if it is whole.
fn items_of(document: &[u8]) -> Vec<Place> {
    let Ok(text) = std::str::from_utf8(document) else {
        return Vec::new();
    };
    let whole = text.trim_start_matches('\u{feff}');
    let items = Object::read(whole).and_then(|it| it.array("items"));
    let places = items.unwrap_or_default().into_iter().map(|item| {
        let range = range_in(text, item.get()).unwrap_or(0..0);
        Place {
            from: 1,
            skip: range.start as u32,
            length: range.len() as u32,
            output_index: NONE,
        }
    });
    places.collect()
}

/// What a call of the rollout has come to.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a reason of its own to be open"
)]
#[derive(Clone, Copy, Debug)]
struct Known {
    call: u32,
    /// Whether its line has no output line.
    raw: bool,
    /// Whether its output was sent in a request that never completed.
    behind: bool,
    /// Whether a compaction brought it along, and the history holds no output for it.
    brought: bool,
    /// What was said of it last.
    open: bool,
    /// Whether the history that would be sent holds it.
    effective: bool,
}

impl Known {
    fn new(call: u32) -> Self {
        Self {
            call,
            raw: false,
            behind: false,
            brought: false,
            open: false,
            effective: true,
        }
    }
}

/// The calls and outputs of one id, as far as lines were read.
#[derive(Clone, Copy, Debug, Default)]
struct Paired {
    pair: Pair,
    /// The first call's item.
    first: u32,
    /// How many calls there are.
    calls: u32,
    /// How many of them, the last ones, have no output.
    left: u32,
}

struct Walk<'a> {
    rollout: &'a Rollout,
    draft: Draft,
    /// The next step.
    at: usize,
    /// The file of the steps, an index into the rollout's files.
    file: u32,
    time: i64,
    turn: u32,
    effective: Effective,
    node: Node,
    /// Whether the last item was made by the model.
    model_run: bool,
    /// The pairs by number; the calls behind the first one of an id stand in `doubles`.
    pairs: Vec<Paired>,
    doubles: BTreeMap<CallKey, Vec<ItemIndex>>,
    known: BTreeMap<ItemIndex, Known>,
    /// Calls with a place in the history, by place.
    placed: BTreeMap<u32, ItemIndex>,
    /// The pairing of the history, once a compaction has put items of its own there.
    kept: Option<Ledger>,
    brought: BTreeMap<CallKey, Vec<ItemIndex>>,
    chained: Chained,
    problems: BTreeSet<LineNo>,
}

/// The calls of the last named response, for clients that chain (as in `calls::rolled`).
#[derive(Default)]
struct Chained {
    last: Option<crate::ids::ResponseKey>,
    in_run: bool,
    run: Vec<(ItemIndex, CallKey)>,
    outputs: BTreeSet<CallKey>,
    found: BTreeSet<ItemIndex>,
}

impl<'a> Walk<'a> {
    fn new(rollout: &'a Rollout) -> Self {
        let mut draft = Draft::new();
        draft.reserve(rollout.lines as usize);
        let name = rollout.meta.thread_id.clone();
        draft.lane(
            name.unwrap_or_else(|| "lane-1".to_owned()),
            rollout.meta.parent_thread.clone(),
        );
        Self {
            rollout,
            draft,
            at: 0,
            file: 0,
            time: i64::MIN,
            turn: 0,
            effective: Effective::new(rollout.era),
            node: Node::ROOT,
            model_run: false,
            pairs: vec![Paired::default(); rollout.items.call_count()],
            doubles: BTreeMap::new(),
            known: BTreeMap::new(),
            placed: BTreeMap::new(),
            kept: None,
            brought: BTreeMap::new(),
            chained: Chained::default(),
            problems: rollout.problems.iter().map(|it| it.line).collect(),
        }
    }

    /// Takes a line of the rollout's own file.
    fn line(&mut self, line: &Line<'_>) {
        // what stands in files that this one begins in comes first
        while let Some(step) = self.rollout.steps.get(self.at) {
            match step {
                Step::File(_) => self.step(line.number),
                _ if self.file != 0 => self.step(line.number),
                _ => break,
            }
        }
        let (bytes, _) = trim(line);
        if bytes.is_empty() && line.length == 0 {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let slow;
        let found = if let Some(found) = head(&text) {
            found
        } else {
            slow = Slow::read(&text);
            slow.head()
        };
        self.time = found.time.and_then(micros).unwrap_or(i64::MIN);
        let name = match (found.kind, found.payload) {
            (Some("event_msg" | "response_item"), Some(payload)) => payload,
            (Some(kind), _) => kind,
            (None, _) => "",
        };
        let what = match found.kind {
            Some("event_msg") => What::EventLine,
            Some("response_item") => What::Item,
            Some("session_meta") => What::Meta,
            Some("turn_context") => What::TurnContext,
            Some("compacted") => What::Compacted,
            Some(_) => What::Other,
            None => What::Unreadable,
        };
        let before = self.draft.entries.len();
        while let Some(step) = self.rollout.steps.get(self.at) {
            let here = self.line_of(step).is_some_and(|it| it == line.number);
            if !here || self.file != 0 || matches!(step, Step::File(_)) {
                break;
            }
            self.step(line.number);
        }
        let mut marks = Marks::default();
        if self.problems.contains(&line.number) {
            marks.set(Marks::PROBLEM);
        }
        if what == What::EventLine && matches!(name, "error" | "stream_error" | "background_event")
        {
            let named = find::find(&text);
            if named.named.is_some() || named.status.is_some_and(|it| it >= 400) {
                marks.set(Marks::REFUSAL);
            }
        }
        if self.draft.entries.len() == before {
            let mut entry = self.draft.entry(what, line.number, name);
            (entry.lane, entry.turn, entry.time) = (0, self.turn, self.time);
            self.draft.push(entry);
        }
        let number = self.draft.names.number(name);
        let added = self.draft.entries.get_mut(before..).unwrap_or(&mut []);
        for entry in added {
            entry.marks.set(marks);
            entry.time = self.time;
            if entry.what == What::EventLine {
                entry.name = number;
            }
        }
    }

    /// Takes the steps that no line of the own file brought (E0; files that only refer to others).
    fn rest(&mut self) {
        while self.at < self.rollout.steps.len() {
            self.step(0);
        }
    }

    fn line_of(&self, step: &Step) -> Option<LineNo> {
        Some(match step {
            Step::Item(index) | Step::Summarised(_, index) => self.rollout.items.get(*index)?.line,
            Step::State(line, _)
            | Step::Meta(line)
            | Step::TurnContext(line)
            | Step::TurnStarted(line)
            | Step::TurnComplete(line, _)
            | Step::TurnAborted(line, _)
            | Step::RolledBack(line, _)
            | Step::Replaced { line, .. }
            | Step::ToolBegan(line, _)
            | Step::ToolEnded(line, _)
            | Step::ResponseEnded(line, _) => *line,
            Step::File(_) => return None,
        })
    }

    /// Takes the next step.
    fn step(&mut self, line: LineNo) {
        let Some(step) = self.rollout.steps.get(self.at).copied() else {
            return;
        };
        self.at += 1;
        if let Step::File(file) = step {
            self.file = file;
            return;
        }
        // a line of a file that this one begins in has no text here
        let own = if self.file == 0 {
            self.line_of(&step).unwrap_or(line)
        } else {
            0
        };
        let (what, name) = described(self.rollout, &step);
        let mut entry = self.draft.entry(what, own, name);
        (entry.lane, entry.turn, entry.time) = (0, self.turn, self.time);
        let at = self.draft.push(entry);
        match step {
            Step::Item(index) => self.item(index, at),
            Step::ToolBegan(_, key) => self.tool(key, at, Happened::ToolBegan),
            Step::ToolEnded(_, key) => self.tool(key, at, Happened::ToolEnded),
            Step::TurnAborted(..) => self.mark(at, Marks::CUT),
            Step::TurnComplete(_, Some(error)) => {
                let text = self.rollout.errors.get(error as usize);
                let found = text.map(|text| find::find(text));
                if found.is_some_and(|it| it.named.is_some() || it.status.is_some_and(|n| n >= 400))
                {
                    self.mark(at, Marks::REFUSAL);
                }
            }
            _ => {}
        }
        self.history(&step, at);
        if let Step::Item(index) = step
            && let Some(key) = self.rollout.items.get(index).and_then(|item| item.call)
        {
            self.weigh(key, at);
        }
        self.chain(&step, at);
        if let Some(entry) = self.draft.entry_mut(at) {
            entry.turn = self.turn;
        }
    }

    fn mark(&mut self, at: u32, marks: Marks) {
        if let Some(entry) = self.draft.entry_mut(at) {
            entry.marks.set(marks);
        }
    }

    fn tool(&mut self, key: CallKey, at: u32, what: Happened) {
        // several calls of one id: the newest one
        let count = self.pairs.get(key.index()).map_or(0, |it| it.calls);
        let newest = count
            .checked_sub(1)
            .and_then(|last| self.call_at(key, last as usize));
        let call = newest
            .and_then(|item| self.known.get(&item))
            .map(|it| it.call);
        if let Some(call) = call {
            self.draft.happened(at, call, what);
            if let Some(entry) = self.draft.entry_mut(at) {
                entry.call = call;
            }
        }
    }

    /// Takes an item line into the pairing of the file.
    fn item(&mut self, index: ItemIndex, at: u32) {
        let Some(item) = self.rollout.items.get(index).copied() else {
            return;
        };
        if let Some(entry) = self.draft.entry_mut(at) {
            entry.item = index.0;
            if self.rollout.era == Era::E0 {
                entry.place = index.0;
            }
        }
        if begins_turn(&item) {
            self.turn += 1;
            self.mark(at, Marks::TURN);
        }
        if item.kind == ItemKind::Message && item.flags.has(Flags::ABORTED) {
            self.mark(at, Marks::CUT);
        }
        let model = item.author == Author::Model;
        if model && !self.model_run {
            let asked = Asked {
                entry: at,
                exchange: NONE,
                input: self.node,
            };
            self.draft.asked(0, asked);
        }
        self.model_run = model;
        let Some(key) = item.call else { return };
        if item.kind.is_call() {
            self.mark(at, Marks::CALL);
            let call = self.draft.call(key, item.kind, index, 0, at);
            self.known.insert(index, Known::new(call));
            if let Some(entry) = self.draft.entry_mut(at) {
                entry.call = call;
            }
        } else {
            self.mark(at, Marks::OUTPUT);
        }
        let Some(paired) = self.pairs.get_mut(key.index()) else {
            return;
        };
        // outputs answer calls in order: those left over are the last ones
        let end = paired.calls as usize;
        let was = end.saturating_sub(paired.left as usize)..end;
        if item.kind.is_call() {
            if paired.calls == 0 {
                paired.first = index.0;
            } else {
                self.doubles.entry(key).or_default().push(index);
            }
            paired.calls += 1;
        }
        paired.pair.add(0, item.kind);
        paired.left = paired.pair.unanswered().min(paired.calls);
        let end = paired.calls as usize;
        let is = end - paired.left as usize..end;
        let touched: Vec<(ItemIndex, bool)> = (was.start.min(is.start)..was.start.max(is.start))
            .chain(was.end..is.end)
            .filter(|place| was.contains(place) != is.contains(place))
            .filter_map(|place| Some((self.call_at(key, place)?, is.contains(&place))))
            .collect();
        let answered = end.checked_sub(1).and_then(|last| self.call_at(key, last));
        let mut told = None;
        for (item, open) in touched {
            self.settle(item, at, Closing::Written, |known| known.raw = open);
            if !open {
                told = Some(item);
            }
        }
        if !item.kind.is_call()
            && let Some(call) = told
                .or(answered)
                .and_then(|item| self.known.get(&item))
                .map(|it| it.call)
            && let Some(entry) = self.draft.entry_mut(at)
        {
            entry.call = call;
        }
    }

    /// The item of one of the calls of an id.
    fn call_at(&self, key: CallKey, place: usize) -> Option<ItemIndex> {
        match place.checked_sub(1) {
            None => Some(ItemIndex(self.pairs.get(key.index())?.first)),
            Some(behind) => self.doubles.get(&key)?.get(behind).copied(),
        }
    }

    /// Changes what is known of a call, and says so where it is open or closed by that.
    fn settle(
        &mut self,
        item: ItemIndex,
        at: u32,
        closing: Closing,
        change: impl FnOnce(&mut Known),
    ) {
        let Some(known) = self.known.get_mut(&item) else {
            return;
        };
        change(known);
        let open = known.raw || known.behind || known.brought;
        if open == known.open {
            return;
        }
        known.open = open;
        let (call, hidden) = (known.call, !known.effective);
        let what = if open {
            Happened::Opened
        } else {
            Happened::Closed(closing)
        };
        self.draft.happened(at, call, what);
        if open && hidden {
            self.draft.happened(at, call, Happened::Hidden);
        }
    }

    fn show(&mut self, item: ItemIndex, at: u32, effective: bool) {
        let Some(known) = self
            .known
            .get_mut(&item)
            .filter(|known| known.effective != effective)
        else {
            return;
        };
        known.effective = effective;
        if known.open {
            let what = if effective {
                Happened::Shown
            } else {
                Happened::Hidden
            };
            let call = known.call;
            self.draft.happened(at, call, what);
        }
    }
}

fn begins_turn(item: &Item) -> bool {
    match item.kind {
        ItemKind::Message => item.author == Author::User,
        ItemKind::AgentMessage => true,
        _ => false,
    }
}

fn described(rollout: &Rollout, step: &Step) -> (What, &'static str) {
    match step {
        Step::Item(index) => {
            let kind = rollout
                .items
                .get(*index)
                .map_or(ItemKind::Other, |it| it.kind);
            (What::Item, kind.name())
        }
        Step::State(..) => (What::State, "state"),
        Step::Meta(_) => (What::Meta, "session_meta"),
        Step::TurnContext(_) => (What::TurnContext, "turn_context"),
        Step::TurnStarted(_) => (What::EventLine, "task_started"),
        Step::TurnComplete(..) => (What::EventLine, "task_complete"),
        Step::TurnAborted(..) => (What::EventLine, "turn_aborted"),
        Step::RolledBack(..) => (What::EventLine, "thread_rolled_back"),
        Step::Replaced { .. } | Step::Summarised(..) => (What::Compacted, "compacted"),
        Step::ToolBegan(..) => (What::EventLine, "tool_began"),
        Step::ToolEnded(..) => (What::EventLine, "tool_ended"),
        Step::ResponseEnded(..) => (What::Other, "token_usage_record"),
        Step::File(_) => (What::Other, "file"),
    }
}

/// The beginning of a line that is not written as Codex writes them.
struct Slow {
    time: Option<String>,
    kind: Option<String>,
    payload: Option<String>,
}

impl Slow {
    fn read(text: &str) -> Self {
        let Some(object) = Object::read(text) else {
            return Self {
                time: None,
                kind: None,
                payload: None,
            };
        };
        let owned =
            |object: &Object<'_>, key: &str| object.text(key).map(std::borrow::Cow::into_owned);
        let payload = object.object("payload").and_then(|it| owned(&it, "type"));
        let kind = owned(&object, "type").or_else(|| owned(&object, "record_type"));
        // meta lines of E1 and E2 have an id and a time alone
        let meta = object.get("payload").is_none() && object.get("timestamp").is_some();
        Self {
            time: owned(&object, "timestamp"),
            kind: kind.or_else(|| Some(if meta { "session_meta" } else { "other" }.to_owned())),
            payload,
        }
    }

    fn head(&self) -> super::lines::Head<'_> {
        super::lines::Head {
            time: self.time.as_deref(),
            kind: self.kind.as_deref(),
            payload: self.payload.as_deref(),
        }
    }
}
