//! The timeline of a recording.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::draft::{Asked, Draft};
use super::entry::{Entry, Marks, NONE, Place, What};
use super::state::{Closing, Happened};
use super::{beside, chunk};
use crate::endpoint::{Cursor, References};
use crate::ids::{CallKey, ItemIndex, LineNo, ResponseKey};
use crate::session::exchange::{Exchange, NO_LANE, Purpose, Recording};
use crate::session::tree::{Node, Tree};
use crate::wire::event::{EventHead, ResponseFold, Terminal};
use crate::wire::item::{ItemHead, ItemKind};
use crate::wire::lines::{Line, LineReader, Values, trim};
use crate::wire::raw::Object;
use crate::wire::sse::Framer;

/// Builds the timeline of a recording; `reader` gives its file once more.
pub(super) fn read<R: Read>(recording: &Recording, reader: R) -> io::Result<Draft> {
    let mut walk = Walk::new(recording);
    let mut lines = LineReader::new(reader);
    while let Some(line) = lines.next_line()? {
        if line.number > recording.lines && recording.lines > 0 {
            break;
        }
        walk.draft.lines.push(line.offset, line.length, line.ended);
        walk.line(&line);
    }
    walk.finish();
    let mut draft = walk.draft;
    draft.lines.shrink();
    Ok(draft)
}

/// An exchange whose answer is still coming.
#[derive(Default)]
struct Live {
    at: usize,
    /// Whether its answer is an event stream, once that is known.
    stream: Option<bool>,
    framer: Framer,
    fold: ResponseFold,
    /// Chunk lines whose bytes are not all told yet: line, first byte, length.
    chunks: Vec<(LineNo, u64, u64)>,
    bytes: u64,
    done: usize,
    /// Calls that were begun and are not whole yet.
    half: Vec<(Option<u64>, u32)>,
    last: u32,
}

/// A call within its lane.
#[derive(Clone, Copy)]
struct Known {
    call: u32,
    open: bool,
    effective: bool,
    /// Whether it was whole once.
    whole: bool,
}

struct Lane {
    exchanges: Vec<usize>,
    by_response: BTreeMap<ResponseKey, usize>,
    known: BTreeMap<CallKey, Known>,
    carried: BTreeSet<CallKey>,
    cursor: Cursor,
    /// The context the cursor is at.
    node: Node,
    /// The input of the last request.
    input: Node,
    turn: u32,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            exchanges: Vec::new(),
            by_response: BTreeMap::new(),
            known: BTreeMap::new(),
            carried: BTreeSet::new(),
            cursor: Cursor::default(),
            node: Node::ROOT,
            input: Node::ROOT,
            turn: 0,
        }
    }
}

struct Walk<'a> {
    recording: &'a Recording,
    draft: Draft,
    references: References,
    lanes: Vec<Lane>,
    /// For each exchange the one it goes on from, and its context with what it was answered.
    base: Vec<Option<usize>>,
    after: Vec<Node>,
    live: BTreeMap<u32, Live>,
    /// The newest exchange of each connection.
    current: BTreeMap<u32, u32>,
    next: usize,
    problems: BTreeSet<LineNo>,
}

impl<'a> Walk<'a> {
    fn new(recording: &'a Recording) -> Self {
        let mut draft = Draft::new();
        draft.tree = recording.tree.clone();
        for lane in &recording.lanes {
            draft.lane(lane.name.clone(), lane.parent.clone());
        }
        let count = recording.exchanges.len();
        Self {
            recording,
            draft,
            references: References::new(&recording.items),
            lanes: recording.lanes.iter().map(|_| Lane::default()).collect(),
            base: vec![None; count],
            after: vec![Node::ROOT; count],
            live: BTreeMap::new(),
            current: BTreeMap::new(),
            next: 0,
            problems: recording.problems.iter().map(|it| it.line).collect(),
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        let (bytes, _) = trim(line);
        if bytes.is_empty() && line.length == 0 {
            return;
        }
        let before = self.draft.entries.len();
        let text = String::from_utf8_lossy(bytes);
        for value in Values::new(&text).flatten() {
            self.value(value, line.number);
        }
        if self.draft.entries.len() == before && self.problems.contains(&line.number) {
            let entry = self.draft.entry(What::Unreadable, line.number, "");
            self.draft.push(entry);
        }
        if self.problems.contains(&line.number) {
            for entry in self.draft.entries.get_mut(before..).unwrap_or(&mut []) {
                entry.marks.set(Marks::PROBLEM);
            }
        }
    }

    fn value(&mut self, value: &str, line: LineNo) {
        let Some(object) = Object::read(value) else {
            return;
        };
        let kind = object.text("kind").unwrap_or(Cow::Borrowed(""));
        let time = object.number("at_us").and_then(|it| i64::try_from(it).ok());
        let number = object.small("exchange");
        match &*kind {
            "session" => self.plain(What::Session, line, "session", Some(0)),
            "request" => self.request(&object, line, time),
            "response" => self.response(&object, line, time, number),
            "chunk" => self.chunk(&object, line, time, number),
            "client_closed" | "end" => {
                let what = if kind == "end" {
                    What::End
                } else {
                    What::ClientClosed
                };
                let cause = object.text("cause");
                self.ended(what, cause.as_deref().unwrap_or(&kind), line, time, number);
            }
            "connection" => self.plain(What::Connection, line, "connection", time),
            "connection_end" => self.connection_end(&object, line, time),
            "frame" => self.frame(&object, line, time, number),
            "gap" => self.plain(What::Gap, line, "gap", time),
            "rollout_file" | "rollout" | "client_event" => self.beside(&kind, &object, line, time),
            other => {
                let name = other.to_owned();
                self.plain(What::Other, line, &name, time);
            }
        }
    }

    fn plain(&mut self, what: What, line: LineNo, name: &str, time: Option<i64>) {
        let mut entry = self.draft.entry(what, line, name);
        entry.time = time.unwrap_or(i64::MIN);
        self.draft.push(entry);
    }

    /// An entry of an exchange.
    fn of_exchange(
        &mut self,
        what: What,
        name: &str,
        line: LineNo,
        time: Option<i64>,
        number: u32,
    ) -> Entry {
        let mut entry = self.draft.entry(what, line, name);
        entry.time = time.unwrap_or(i64::MIN);
        entry.exchange = number;
        let at = self.live.get(&number).map(|live| live.at);
        let exchange = at.and_then(|at| self.recording.exchanges.get(at));
        if let Some(exchange) = exchange {
            (entry.lane, entry.turn) = (lane_of(exchange), exchange.turn);
        }
        entry
    }

    fn request(&mut self, object: &Object<'_>, line: LineNo, time: Option<i64>) {
        let Some(number) = object.small("exchange") else {
            return;
        };
        let at = self.next;
        let Some(exchange) = self
            .recording
            .exchanges
            .get(at)
            .filter(|it| it.line == line)
        else {
            return;
        };
        self.next += 1;
        self.live.insert(
            number,
            Live {
                at,
                ..Live::default()
            },
        );
        let name = match exchange.purpose {
            Purpose::Turn => "request",
            Purpose::WarmUp => "warm-up",
            Purpose::Side => "side request",
            Purpose::NotJudged => "other request",
        };
        let entry = self.of_exchange(What::Request, name, line, time, number);
        let entry = self.draft.push(entry);
        if let Some(connection) = exchange
            .connection
            .filter(|_| exchange.purpose != Purpose::NotJudged)
        {
            self.current.insert(connection, number);
        }
        if exchange.purpose == Purpose::NotJudged || exchange.lane == NO_LANE {
            return;
        }
        self.asks(at, exchange, entry);
    }

    /// Moves a lane to the context of a request.
    fn asks(&mut self, at: usize, exchange: &Exchange, entry: u32) {
        let Some(lane) = self.lanes.get_mut(exchange.lane as usize) else {
            return;
        };
        let first_of_turn = exchange.turn > 0 && exchange.turn != lane.turn;
        if first_of_turn {
            lane.turn = exchange.turn;
        }
        let base = match (exchange.request.previous, exchange.request.conversation) {
            (Some(previous), _) => lane.by_response.get(&previous).copied(),
            (None, Some(conversation)) => lane.exchanges.iter().copied().rfind(|before| {
                let before = self.recording.exchanges.get(*before);
                before.is_some_and(|it| {
                    it.request.conversation == Some(conversation)
                        && it.answer.terminal == Some(Terminal::Completed)
                })
            }),
            (None, None) => None,
        };
        lane.exchanges.push(at);
        let shared = common(&self.recording.tree, lane.input, exchange.request.input);
        lane.input = exchange.request.input;
        let fresh = self
            .recording
            .tree
            .nodes_since(shared, exchange.request.input);
        let mut touched = BTreeSet::new();
        let mut carries = false;
        let mut brought = Vec::new();
        for (_, index) in fresh {
            let Some(item) = self.recording.items.get(index) else {
                continue;
            };
            let Some(key) = item.call else { continue };
            touched.insert(key);
            if item.kind.is_output() {
                lane.carried.insert(key);
                carries = true;
            } else {
                brought.push((key, item.kind, index));
            }
        }
        for (key, kind, index) in brought {
            self.know(exchange.lane, key, kind, index, entry, true);
        }
        if let Some(slot) = self.base.get_mut(at) {
            *slot = base;
        }
        let node = self.context(at, 0);
        if let Some(slot) = self.after.get_mut(at) {
            *slot = node;
        }
        let mut marks = Marks::default();
        if carries {
            marks.set(Marks::OUTPUT);
        }
        if first_of_turn {
            marks.set(Marks::TURN);
        }
        self.mark(entry, marks);
        let asked = Asked {
            entry,
            exchange: at as u32,
            input: exchange.request.input,
        };
        self.draft.asked(lane_of(exchange), asked);
        self.go(exchange.lane, node, touched, entry, Closing::Sent);
    }

    /// The context of an exchange with the first `done` items it was answered.
    fn context(&mut self, at: usize, done: usize) -> Node {
        let Some(exchange) = self.recording.exchanges.get(at) else {
            return Node::ROOT;
        };
        let base = self.base.get(at).copied().flatten();
        let mut node = match base.and_then(|base| self.after.get(base)) {
            Some(base) => {
                let items = self.recording.tree.items(exchange.request.input);
                items
                    .into_iter()
                    .fold(*base, |node, item| self.draft.tree.push(node, item))
            }
            None => exchange.request.input,
        };
        for item in exchange.answer.done.iter().take(done) {
            node = self.draft.tree.push(node, *item);
        }
        node
    }

    /// Notes a call of a lane, whole or half; returns its number.
    fn know(
        &mut self,
        lane: u32,
        key: CallKey,
        kind: ItemKind,
        item: ItemIndex,
        entry: u32,
        whole: bool,
    ) -> Option<u32> {
        let known = &mut self.lanes.get_mut(lane as usize)?.known;
        if let Some(known) = known.get_mut(&key) {
            if whole && !known.whole {
                known.whole = true;
                if let Some(call) = self.draft.calls.get_mut(known.call as usize) {
                    call.item = item;
                }
            }
            return Some(known.call);
        }
        let call = self.draft.call(key, kind, item, lane as u16, entry);
        known.insert(
            key,
            Known {
                call,
                open: false,
                effective: true,
                whole,
            },
        );
        Some(call)
    }

    /// Moves a lane's context and says which calls are open and closed by that. `touched` are looked at in any case.
    fn go(
        &mut self,
        lane: u32,
        node: Node,
        mut touched: BTreeSet<CallKey>,
        entry: u32,
        closing: Closing,
    ) {
        let items = &self.recording.items;
        let references = &self.references;
        let get = |index: ItemIndex| references.get(items, index);
        let Some(state) = self.lanes.get_mut(lane as usize) else {
            return;
        };
        let tree = &self.draft.tree;
        let shared = common(tree, state.node, node);
        for end in [state.node, node] {
            for (_, index) in tree.nodes_since(shared, end) {
                touched.extend(get(index).and_then(|item| item.call));
            }
        }
        state.node = node;
        let ledger = state.cursor.go(tree, &get, node);
        let mut news = Vec::new();
        for key in touched {
            let Some(known) = state.known.get_mut(&key).filter(|known| known.whole) else {
                continue;
            };
            let pair = ledger.pair(key);
            let effective = pair.calls > 0;
            let open = if effective {
                pair.is_open()
            } else {
                !state.carried.contains(&key)
            };
            if open != known.open {
                let what = if open {
                    Happened::Opened
                } else {
                    Happened::Closed(closing)
                };
                news.push((known.call, what));
                if open && !effective {
                    news.push((known.call, Happened::Hidden));
                }
                if open && state.carried.contains(&key) {
                    // it was answered once: the tool did finish
                    news.push((known.call, Happened::ToolEnded));
                }
            } else if open && effective != known.effective {
                let what = if effective {
                    Happened::Shown
                } else {
                    Happened::Hidden
                };
                news.push((known.call, what));
            }
            (known.open, known.effective) = (open, effective);
        }
        for (call, what) in news {
            self.draft.happened(entry, call, what);
        }
        self.draft.history(lane as u16, entry, node);
    }

    fn mark(&mut self, at: u32, marks: Marks) {
        if let Some(entry) = self.draft.entry_mut(at) {
            entry.marks.set(marks);
        }
    }

    fn response(
        &mut self,
        object: &Object<'_>,
        line: LineNo,
        time: Option<i64>,
        number: Option<u32>,
    ) {
        let Some(number) = number else { return };
        let status = object.number("status").unwrap_or(0);
        let mut entry = self.of_exchange(
            What::Response,
            &format!("response {status}"),
            line,
            time,
            number,
        );
        if status >= 400 {
            entry.marks.set(Marks::REFUSAL);
        }
        let at = self.draft.push(entry);
        if let Some(live) = self.live.get_mut(&number) {
            live.last = at;
            if status >= 400 {
                live.stream = Some(false);
            }
        }
    }

    fn chunk(&mut self, object: &Object<'_>, line: LineNo, time: Option<i64>, number: Option<u32>) {
        let Some(number) = number else { return };
        let Some(bytes) = chunk::bytes(object) else {
            return;
        };
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        if live.stream.is_none() {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            live.stream = first.map(|first| !matches!(first, b'{' | b'[' | b'<' | b'"'));
        }
        if live.stream == Some(false) {
            let entry = self.of_exchange(What::Body, "body", line, time, number);
            let at = self.draft.push(entry);
            if let Some(live) = self.live.get_mut(&number) {
                live.last = at;
            }
            return;
        }
        live.chunks.push((line, live.bytes, bytes.len() as u64));
        live.bytes += bytes.len() as u64;
        let frames = live.framer.push(&bytes);
        for frame in frames {
            self.told(number, &frame, line, time);
        }
        // what was told needs no chunk any more
        if let Some(live) = self.live.get_mut(&number) {
            let told = live.framer.told();
            live.chunks
                .retain(|(_, start, length)| start + length > told);
        }
    }

    /// Takes a frame of a stream.
    fn told(
        &mut self,
        number: u32,
        frame: &crate::wire::sse::Frame,
        line: LineNo,
        time: Option<i64>,
    ) {
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        let chunk = live
            .chunks
            .iter()
            .find(|(_, start, length)| frame.raw.start < start + length)
            .copied();
        let place = chunk.map(|(from, start, _)| Place {
            from,
            skip: (frame.raw.start - start) as u32,
            length: (frame.raw.end - frame.raw.start) as u32,
        });
        match &frame.data {
            Some(data) => self.event(number, data, frame.event.as_deref(), line, time, place),
            None => {
                let mut entry = self.of_exchange(What::Event, ":", line, time, number);
                entry.marks.set(Marks::DELTA);
                self.placed(entry, place);
            }
        }
    }

    fn placed(&mut self, mut entry: Entry, place: Option<Place>) -> u32 {
        if let Some(place) = place {
            entry.place = self.draft.places.len() as u32;
            self.draft.places.push(place);
        }
        self.draft.push(entry)
    }

    /// Takes one event of a response.
    fn event(
        &mut self,
        number: u32,
        data: &str,
        named: Option<&str>,
        line: LineNo,
        time: Option<i64>,
        place: Option<Place>,
    ) {
        let head = EventHead::read(data);
        let kind = head.as_ref().and_then(|head| head.kind.as_deref());
        let name = kind
            .or(named)
            .unwrap_or(if head.is_some() { "error" } else { "data" });
        let mut entry = self.of_exchange(What::Event, name, line, time, number);
        if name.ends_with(".delta") {
            entry.marks.set(Marks::DELTA);
        }
        if let Some(index) = head.as_ref().and_then(|head| head.output_index) {
            entry.part = u32::try_from(index).unwrap_or(NONE);
        }
        let at = self.placed(entry, place);
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        live.last = at;
        let Some(exchange) = self.recording.exchanges.get(live.at) else {
            return;
        };
        let lane = exchange.lane;
        let (begun, response) = (live.fold.half.len(), live.fold.id.is_none());
        let Some(head) = &head else { return };
        live.fold.place = line;
        live.fold.event(head, data);
        if matches!(kind, Some("error" | "response.failed")) || kind.is_none() {
            let marks = if exchange.answer.refusal.is_some() {
                Marks::REFUSAL
            } else {
                Marks::CUT
            };
            if live.fold.error.is_some() {
                self.mark(at, marks);
            }
        }
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        if response
            && live.fold.id.is_some()
            && let Some(key) = exchange.answer.response
            && let Some(lane) = self.lanes.get_mut(lane as usize)
        {
            lane.by_response.insert(key, live.at);
        }
        if live.fold.half.len() > begun
            && let Some(raw) = head.item
            && let Ok(item) = serde_json::from_str::<ItemHead<'_>>(raw.get())
        {
            self.begun(number, lane, &item, head.output_index, at);
        }
        self.done(number, at);
    }

    /// An item was begun.
    fn begun(&mut self, number: u32, lane: u32, item: &ItemHead<'_>, index: Option<u64>, at: u32) {
        let kind = item.item_kind();
        let id = item.call_id.as_deref().or(item.id.as_deref());
        let (true, Some(family), Some(id)) = (kind.is_call(), kind.family(), id) else {
            return;
        };
        let Some(key) = self.recording.items.find_call(family, id) else {
            return;
        };
        let known = self
            .lanes
            .get(lane as usize)
            .is_some_and(|lane| lane.known.contains_key(&key));
        let Some(call) = self.know(lane, key, kind, ItemIndex(NONE), at, false) else {
            return;
        };
        if !known {
            self.draft.happened(at, call, Happened::Begun);
        }
        if let Some(entry) = self.draft.entry_mut(at) {
            entry.call = call;
        }
        if let Some(live) = self.live.get_mut(&number) {
            live.half.push((index, call));
        }
    }

    /// Takes what an exchange's fold says is finished and was not told yet.
    fn done(&mut self, number: u32, at: u32) {
        loop {
            let Some(live) = self.live.get_mut(&number) else {
                return;
            };
            let Some(exchange) = self.recording.exchanges.get(live.at) else {
                return;
            };
            let Some(folded) = live.fold.done.get(live.done) else {
                return;
            };
            let Some(&index) = exchange.answer.done.get(live.done) else {
                return;
            };
            let place = folded.output_index;
            live.done += 1;
            let (exchange_at, lane) = (live.at, exchange.lane);
            if let Some(half) = live.half.iter().position(|(it, _)| *it == place) {
                live.half.remove(half);
            }
            let item = self.recording.items.get(index).copied();
            if let Some(entry) = self.draft.entry_mut(at) {
                entry.item = index.0;
            }
            let mut touched = BTreeSet::new();
            if let Some(item) = item
                && let (true, Some(key)) = (item.kind.is_call(), item.call)
            {
                let call = self.know(lane, key, item.kind, index, at, true);
                touched.insert(key);
                if let Some(entry) = self.draft.entry_mut(at) {
                    entry.call = call.unwrap_or(NONE);
                    entry.marks.set(Marks::CALL);
                }
            }
            self.grow(exchange_at, index, lane, touched, at);
        }
    }

    /// Adds an item to the context of an exchange, and moves the lane if its newest request stands upon it.
    fn grow(
        &mut self,
        exchange: usize,
        item: ItemIndex,
        lane: u32,
        touched: BTreeSet<CallKey>,
        at: u32,
    ) {
        if let Some(after) = self.after.get_mut(exchange) {
            *after = self.draft.tree.push(*after, item);
        }
        let Some(last) = self
            .lanes
            .get(lane as usize)
            .and_then(|lane| lane.exchanges.last().copied())
        else {
            return;
        };
        // the exchanges between the newest one and this one, if it stands upon it
        let mut way = vec![last];
        while way.last() != Some(&exchange) {
            let Some(base) = way
                .last()
                .and_then(|at| self.base.get(*at).copied().flatten())
            else {
                break;
            };
            if way.contains(&base) {
                break;
            }
            way.push(base);
        }
        if way.last() == Some(&exchange) {
            for &at in way.iter().rev().skip(1) {
                let done = self
                    .live
                    .values()
                    .find(|live| live.at == at)
                    .map_or(usize::MAX, |live| live.done);
                let node = self.context(at, done);
                if let Some(after) = self.after.get_mut(at) {
                    *after = node;
                }
            }
        }
        let node = self.after.get(last).copied().unwrap_or(Node::ROOT);
        self.go(lane, node, touched, at, Closing::Sent);
    }

    fn ended(
        &mut self,
        what: What,
        cause: &str,
        line: LineNo,
        time: Option<i64>,
        number: Option<u32>,
    ) {
        let Some(number) = number else { return };
        if what == What::End
            && self
                .live
                .get(&number)
                .is_some_and(|live| live.stream != Some(false))
        {
            let rest = self
                .live
                .get_mut(&number)
                .map(|live| live.framer.finish())
                .unwrap_or_default();
            for frame in rest {
                self.told(number, &frame, line, time);
            }
        }
        let mut entry = self.of_exchange(what, cause, line, time, number);
        let exchange = self
            .live
            .get(&number)
            .and_then(|live| self.recording.exchanges.get(live.at));
        if let Some(exchange) = exchange {
            let over = self
                .live
                .get(&number)
                .is_some_and(|live| live.fold.terminal.is_some());
            let cut = match what {
                What::ClientClosed => !over,
                _ => exchange.answer.is_cut() && exchange.purpose != Purpose::NotJudged,
            };
            if cut {
                entry.marks.set(Marks::CUT);
            }
        }
        let at = self.draft.push(entry);
        if what == What::End {
            self.over(number, at);
        }
    }

    /// An exchange is over: what a whole body brought is told, what was half stays so.
    fn over(&mut self, number: u32, at: u32) {
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        let Some(exchange) = self.recording.exchanges.get(live.at) else {
            return;
        };
        // items of a body that is no stream stand nowhere else
        while live.fold.done.len() < exchange.answer.done.len() {
            live.fold.done.push(crate::wire::event::Folded {
                output_index: None,
                raw: "".into(),
                place: 0,
            });
        }
        if live.fold.id.is_none()
            && let Some(key) = exchange.answer.response
            && let Some(lane) = self.lanes.get_mut(exchange.lane as usize)
        {
            lane.by_response.insert(key, live.at);
        }
        self.done(number, at);
        let Some(live) = self.live.remove(&number) else {
            return;
        };
        for (_, call) in live.half {
            let whole = self
                .draft
                .calls
                .get(call as usize)
                .is_some_and(|call| call.opened != NONE);
            if !whole {
                self.draft
                    .happened(at, call, Happened::Closed(Closing::Broken));
            }
        }
    }

    fn frame(&mut self, object: &Object<'_>, line: LineNo, time: Option<i64>, number: Option<u32>) {
        let from = object.text("from").unwrap_or_default();
        let kind = object.text("type").unwrap_or_default();
        let connection = object.small("connection");
        let number = number.or_else(|| self.current.get(&connection?).copied());
        let bytes = chunk::bytes(object);
        let (true, Some(number), Some(bytes)) = (from == "server" && kind == "text", number, bytes)
        else {
            let name = format!("{from} {kind}");
            let mut entry = self.draft.entry(What::Connection, line, &name);
            entry.time = time.unwrap_or(i64::MIN);
            entry.marks.set(if kind == "close" {
                Marks::default()
            } else {
                Marks::DELTA
            });
            self.draft.push(entry);
            return;
        };
        let text = String::from_utf8_lossy(&bytes);
        self.event(number, &text, None, line, time, None);
        let at = self.draft.entries.len() as u32 - 1;
        if self
            .live
            .get(&number)
            .is_some_and(|live| live.fold.terminal.is_some())
        {
            self.over(number, at);
        }
    }

    fn connection_end(&mut self, object: &Object<'_>, line: LineNo, time: Option<i64>) {
        let cause = object.text("cause").unwrap_or_default();
        let mut entry =
            self.draft
                .entry(What::Connection, line, &format!("connection_end {cause}"));
        entry.time = time.unwrap_or(i64::MIN);
        let connection = object.small("connection");
        let here = |live: &Live| {
            let exchange = self.recording.exchanges.get(live.at);
            exchange.is_some_and(|it| it.connection.is_some() && it.connection == connection)
        };
        let open: Vec<u32> = self
            .live
            .iter()
            .filter(|(_, live)| here(live))
            .map(|(number, _)| *number)
            .collect();
        if !open.is_empty() {
            entry.marks.set(Marks::CUT);
        }
        let at = self.draft.push(entry);
        for number in open {
            self.over(number, at);
        }
    }

    /// A line that was recorded beside the wire.
    fn beside(&mut self, kind: &str, object: &Object<'_>, line: LineNo, time: Option<i64>) {
        let told = beside::read(kind, object);
        let what = if kind == "client_event" {
            What::ClientEvent
        } else {
            What::RolloutLine
        };
        let mut entry = self.draft.entry(what, line, &told.name);
        entry.time = time.unwrap_or(i64::MIN);
        if told.interrupt {
            entry.marks.set(Marks::CUT);
        }
        let found = told.call_id.as_deref().and_then(|id| self.find_call(id));
        if let Some((call, lane)) = found {
            (entry.call, entry.lane) = (call, lane);
        }
        let at = self.draft.push(entry);
        if let Some((asking, id, asks)) = told.ask {
            self.draft.ask(asking, id, asks, at);
        }
        if let (Some((call, _)), Some(what)) = (found, told.happened) {
            self.draft.happened(at, call, what);
        }
    }

    /// The newest call with an id, in any lane.
    fn find_call(&self, id: &str) -> Option<(u32, u16)> {
        use crate::wire::item::Family;
        let families = [
            Family::Function,
            Family::Custom,
            Family::Shell,
            Family::ApplyPatch,
            Family::Computer,
        ];
        let keys = families
            .into_iter()
            .filter_map(|family| self.recording.items.find_call(family, id));
        keys.flat_map(|key| {
            self.lanes
                .iter()
                .enumerate()
                .map(move |(lane, state)| (key, lane, state))
        })
        .filter_map(|(key, lane, state)| Some((state.known.get(&key)?.call, lane as u16)))
        .max()
    }

    /// Marks the last entries of exchanges that nothing ended.
    fn finish(&mut self) {
        let open: Vec<(u32, u32)> = self
            .live
            .iter()
            .map(|(number, live)| (*number, live.last))
            .collect();
        for (number, last) in open {
            let rest = self
                .live
                .get_mut(&number)
                .map(|live| live.framer.finish())
                .unwrap_or_default();
            let line = self.recording.lines;
            for frame in rest {
                self.told(number, &frame, line, None);
            }
            let at = self.live.get(&number).map_or(last, |live| live.last);
            let cut = self
                .live
                .get(&number)
                .and_then(|live| self.recording.exchanges.get(live.at));
            if cut.is_some_and(|it| it.answer.is_cut() && it.purpose != Purpose::NotJudged)
                && at > 0
            {
                self.mark(at, Marks::CUT);
            }
        }
    }
}

fn lane_of(exchange: &Exchange) -> u16 {
    u16::try_from(exchange.lane).unwrap_or(u16::MAX)
}

/// The last node that two sequences share.
fn common(tree: &Tree, mut a: Node, mut b: Node) -> Node {
    while a != b {
        let longer = if tree.len(a) >= tree.len(b) {
            &mut a
        } else {
            &mut b
        };
        match tree.pop(*longer) {
            Some((before, _)) => *longer = before,
            None => return Node::ROOT,
        }
    }
    a
}
