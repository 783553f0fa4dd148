//! The timeline of a recording.

mod answers;
mod contexts;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};

use super::draft::{Asked, Draft};
use super::entry::{Entry, Marks, What};
use super::state::Closing;
use super::{beside, chunk};
use crate::endpoint::{Cursor, References};
use crate::ids::{CallKey, LineNo, ResponseKey};
use crate::session::exchange::{Exchange, NO_LANE, Origin, Purpose, Recording};
use crate::session::tree::{Node, Tree};
use crate::wire::event::{ResponseFold, Terminal};
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
    draft.asks = beside::asks(&recording.events, &walk.entry_of_event);
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
    chunks: VecDeque<(LineNo, u64, u64)>,
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
    /// The next event of the recording's log, and the entries of those before it.
    next_event: usize,
    entry_of_event: Vec<u32>,
    /// In a client's event log: the lane of the last event that named one, and the turns of each lane.
    event_lane: u16,
    event_turns: BTreeMap<u16, u32>,
    lane_numbers: BTreeMap<&'a str, u16>,
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
            next_event: 0,
            entry_of_event: Vec::new(),
            event_lane: 0,
            event_turns: BTreeMap::new(),
            lane_numbers: recording
                .lanes
                .iter()
                .enumerate()
                .filter_map(|(at, lane)| Some((lane.name.as_str(), u16::try_from(at).ok()?)))
                .collect(),
            problems: recording.problems.iter().map(|it| it.line).collect(),
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        let (bytes, _) = trim(line);
        if bytes.is_empty() && line.length == 0 {
            return;
        }
        let before = self.draft.entries.len();
        if self.recording.origin == Origin::Events {
            let events = &self.recording.events.events;
            while events
                .get(self.next_event)
                .is_some_and(|it| it.line <= line.number)
            {
                self.next_event += 1;
                self.client_event(self.next_event - 1, None);
            }
        } else {
            let text = String::from_utf8_lossy(bytes);
            for value in Values::new(&text).flatten() {
                self.value(value, line.number);
            }
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

    fn mark(&mut self, at: u32, marks: Marks) {
        if let Some(entry) = self.draft.entry_mut(at) {
            entry.marks.set(marks);
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
