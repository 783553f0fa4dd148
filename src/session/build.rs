//! Builds a recording out of requests and answers as they are read, whatever file they stand in.

use std::collections::BTreeMap;

use super::Client;
use super::answer::{Open, Style};
use super::clients::client_of;
use super::exchange::{
    EndCause, Exchange, Mark, Milestone, NO_LANE, Origin, Purpose, Recording, Request, Transport,
};
use super::fingerprint;
use super::label::Label;
use super::lanes::{Arrival, Headers, Lanes, identity, purpose};
use super::refused::{of_stream, read_refusal};
use super::tree::Node;
use super::turns;
use crate::ids::{self, ItemIndex, LineNo, ResponseKey};
use crate::wire::event::{self, ResponseFold};
use crate::wire::item::{Item, ItemHead};
use crate::wire::lines::{Problem, Reason};
use crate::wire::request::RequestHead;
use crate::wire::sse::{Framer, Mode};

/// A request as a reader found it.
pub(super) struct Seen<'a> {
    pub(super) number: u32,
    pub(super) line: LineNo,
    pub(super) at_us: u64,
    pub(super) transport: Transport,
    pub(super) connection: Option<u32>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a Headers<'a>,
    pub(super) body: Body<'a>,
    pub(super) whole: bool,
    /// The line each item stands on, where items have lines of their own.
    pub(super) item_lines: &'a [LineNo],
}

/// The body of a [`Seen`] request.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// There is none, or it could not be rebuilt.
    None,
    /// Its text.
    Text(&'a str),
    /// An item array that stands for a body.
    Items(&'a str),
}

/// A WebSocket connection.
#[derive(Default)]
struct Connection {
    headers: Headers<'static>,
    current: Option<u32>,
}

/// The builder.
pub(super) struct Builder {
    pub(super) recording: Recording,
    texts: BTreeMap<u64, ItemIndex>,
    lanes: Lanes,
    open: BTreeMap<u32, Open>,
    index: BTreeMap<u32, usize>,
    connections: BTreeMap<u32, Connection>,
    bodies: Vec<u64>,
    clients: [Client; 3],
}

impl Builder {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            recording: Recording {
                origin,
                ..Recording::default()
            },
            texts: BTreeMap::new(),
            lanes: Lanes::default(),
            open: BTreeMap::new(),
            index: BTreeMap::new(),
            connections: BTreeMap::new(),
            bodies: Vec::new(),
            clients: [const {
                Client {
                    name: None,
                    version: None,
                }
            }; 3],
        }
    }

    pub(super) fn problem(&mut self, line: LineNo, reason: Reason) {
        self.recording.problems.push(Problem { line, reason });
    }

    /// Notes the headers a WebSocket connection was opened with.
    pub(super) fn connection(&mut self, number: u32, headers: Headers<'_>) {
        self.connections.entry(number).or_default().headers = headers.into_owned();
    }

    /// Ends what is still open on a connection.
    pub(super) fn connection_end(&mut self, number: u32, cause: EndCause, line: LineNo) {
        let here = |open: &Open| {
            let exchange = self.recording.exchanges.get(open.at);
            exchange.is_some_and(|it| it.connection == Some(number))
        };
        let numbers: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, open)| here(open))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            if cause == EndCause::ClientClosed {
                self.client_left(number);
            }
            self.end(number, Some(cause), line);
        }
    }

    /// Takes a request.
    pub(super) fn request(&mut self, seen: &Seen<'_>) {
        let head = match seen.body {
            Body::Text(text) => RequestHead::read(text),
            Body::Items(text) => RequestHead::from_items(text),
            Body::None => None,
        };
        let connection = seen.connection.and_then(|it| self.connections.get(&it));
        let connection = connection.map(|it| &it.headers);
        let identity = identity(seen.headers, connection, head.as_ref());
        let purpose = purpose(
            seen.transport,
            seen.method,
            seen.path,
            head.as_ref(),
            &identity,
        );
        self.know_client(seen, purpose);
        let mut request = Request {
            whole: seen.whole,
            ..Request::default()
        };
        let (lane, print) = match &head {
            _ if purpose == Purpose::NotJudged => {
                (self.lanes.known(&identity).unwrap_or(NO_LANE), 0)
            }
            None => {
                let arrival = Arrival {
                    identity: &identity,
                    previous: None,
                    conversation: None,
                    stream: seen.connection.map(|it| (it, String::new())),
                    input: &[],
                };
                let (items, prints) = (&self.recording.items, &self.recording.fingerprints);
                (self.lanes.assign(&arrival, items, prints), 0)
            }
            Some(head) => {
                let recording = &mut self.recording;
                let id = |name: &Option<std::borrow::Cow<'_, str>>, table: &mut ids::Interner| {
                    name.as_deref().map(|it| table.intern(it.as_bytes()))
                };
                let previous = id(&head.previous, &mut recording.responses);
                request.previous = previous.map(ResponseKey);
                request.conversation = id(&head.conversation, &mut recording.conversations);
                request.store = head.store;
                let texts = head.input.items();
                let mut input = Vec::with_capacity(texts.len());
                for (part, raw) in texts.iter().enumerate() {
                    let line = seen.item_lines.get(part).copied().unwrap_or(seen.line);
                    input.push(self.item(raw, line, part as u32));
                }
                let arrival = Arrival {
                    identity: &identity,
                    previous,
                    conversation: request.conversation,
                    stream: seen
                        .connection
                        .map(|it| (it, head.stream_id.as_deref().unwrap_or("").to_owned())),
                    input: &input,
                };
                let (items, prints) = (&self.recording.items, &self.recording.fingerprints);
                let lane = self.lanes.assign(&arrival, items, prints);
                request.input = self.grow(lane, &input);
                let print = turns::body_print(head, &input, &self.recording.fingerprints);
                (lane, print)
            }
        };
        let at = self.recording.exchanges.len();
        self.recording.exchanges.push(Exchange {
            number: seen.number,
            lane,
            line: seen.line,
            at_us: seen.at_us,
            transport: seen.transport,
            connection: seen.connection,
            purpose,
            request,
            ..Exchange::default()
        });
        self.bodies.push(print);
        if self.index.insert(seen.number, at).is_some() {
            self.open.remove(&seen.number);
            let what = format!("exchange {} was begun before", seen.number);
            self.problem(seen.line, Reason::Other(what));
        }
        if let Some(connection) = seen.connection
            && purpose != Purpose::NotJudged
        {
            self.connections.entry(connection).or_default().current = Some(seen.number);
        }
        self.open
            .insert(seen.number, Open::new(at, lane, seen.line));
    }

    /// Takes the status of an answer. Returns whether the exchange is open.
    pub(super) fn status(&mut self, number: u32, status: Option<u16>) -> bool {
        let Some(open) = self.open.get(&number) else {
            return false;
        };
        if let Some(exchange) = self.recording.exchanges.get_mut(open.at) {
            exchange.answer.status = status;
        }
        true
    }

    /// Says that an answer's bytes come from a dump that may have lost line ends.
    pub(super) fn dump(&mut self, number: u32, mode: Mode) {
        if let Some(open) = self.open.get_mut(&number) {
            open.dump = true;
            open.framer = Framer::new(mode);
        }
    }

    /// Takes bytes of an answer's body. Returns whether the exchange is open.
    pub(super) fn bytes(&mut self, number: u32, bytes: &[u8], line: LineNo) -> bool {
        let Some(open) = self.open.get_mut(&number) else {
            return false;
        };
        open.line = line;
        open.fold.place = line;
        open.take(bytes);
        self.publish(number);
        true
    }

    /// Takes a WebSocket frame from the server, for an exchange or for the newest one of the connection. Returns whether
    /// there is one it belongs to.
    pub(super) fn frame(
        &mut self,
        connection: u32,
        number: Option<u32>,
        text: &str,
        line: LineNo,
    ) -> bool {
        let current = || self.connections.get(&connection).and_then(|it| it.current);
        let Some(number) = number.or_else(current) else {
            return false;
        };
        let Some(open) = self.open.get_mut(&number) else {
            // what comes behind the terminal event (rate limits, keep-alives) belongs to no exchange
            return self.index.contains_key(&number);
        };
        open.line = line;
        open.fold.place = line;
        open.fold.data(text);
        let over = open.fold.terminal.is_some();
        self.publish(number);
        if over {
            self.end(number, Some(EndCause::Complete), line);
        }
        true
    }

    /// Notes that the client left. Returns whether there is such an exchange.
    pub(super) fn client_left(&mut self, number: u32) -> bool {
        let Some(at) = self.index.get(&number) else {
            return false;
        };
        let open = self.open.get(&number);
        let over = open.is_none_or(|open| open.fold.terminal.is_some());
        if let Some(exchange) = self.recording.exchanges.get_mut(*at) {
            exchange.answer.client_left |= !over;
        }
        true
    }

    /// Ends an exchange. Returns whether it was open.
    pub(super) fn end(&mut self, number: u32, cause: Option<EndCause>, line: LineNo) -> bool {
        if let Some(open) = self.open.get_mut(&number) {
            open.finish();
        }
        self.publish(number);
        let Some(open) = self.open.remove(&number) else {
            return false;
        };
        let half: Vec<ItemIndex> = open
            .fold
            .half
            .iter()
            .enumerate()
            .map(|(part, item)| self.item(&item.raw, item.place, part as u32))
            .collect();
        if open.cut_text {
            let what = format!("the answer of exchange {number} is longer than is held");
            self.problem(open.line, Reason::Other(what));
        }
        let Some(exchange) = self.recording.exchanges.get_mut(open.at) else {
            return false;
        };
        exchange.end_line = if cause.is_some() { line } else { 0 };
        let answer = &mut exchange.answer;
        answer.marks = marks_of(&open.fold, &answer.done, &half);
        answer.half = half;
        answer.end = cause;
        answer.terminal = open.fold.terminal;
        answer.client_left |= cause == Some(EndCause::ClientClosed) && answer.terminal.is_none();
        answer.events = open.fold.events;
        answer.bad_sequence = open.fold.bad_sequence;
        let text = String::from_utf8_lossy(&open.text);
        if let Some(status) = answer.status.filter(|status| *status >= 400) {
            let text = match &open.fold.error {
                Some(error) if open.style == Style::Stream => error.text.as_str(),
                _ => text.as_ref(),
            };
            answer.refusal = Some(read_refusal(status, text));
            answer.terminal = None;
        } else if let Some(error) = &open.fold.error {
            answer.refusal = of_stream(error, answer.status);
            if exchange.transport == Transport::WebSocket {
                answer.status = error.status.or(answer.status);
            }
        }
        true
    }

    /// Ends everything that is open with `cause` and returns the recording.
    pub(super) fn finish(mut self, cause: Option<EndCause>) -> Recording {
        let numbers: Vec<u32> = self.open.keys().copied().collect();
        for number in numbers {
            self.end(number, cause, 0);
        }
        self.recording.lanes = self.lanes.into_lanes();
        let found = self
            .clients
            .into_iter()
            .find(|client| client.name.is_some());
        self.recording.client = found.unwrap_or_default();
        turns::number(&mut self.recording, &self.bodies);
        self.recording
    }

    /// Returns the item spelled `raw`, new or known.
    fn item(&mut self, raw: &str, line: LineNo, part: u32) -> ItemIndex {
        let hash = ids::fingerprint(raw.as_bytes());
        if let Some(found) = self.texts.get(&hash) {
            return *found;
        }
        let head: ItemHead<'_> = serde_json::from_str(raw).unwrap_or_default();
        let index = self.recording.items.add(&head, line, part);
        self.recording
            .fingerprints
            .push(fingerprint::of_item(raw, &head));
        self.recording.labels.push(Label::of(raw));
        self.texts.insert(hash, index);
        index
    }

    /// Returns the sequence `input`, sharing its beginning with the lane's last request.
    fn grow(&mut self, lane: u32, input: &[ItemIndex]) -> Node {
        let before = self.lanes.path(lane);
        let shared = before
            .iter()
            .zip(input)
            .take_while(|((_, left), right)| left == *right)
            .count();
        let mut path = before.get(..shared).unwrap_or(&[]).to_vec();
        path.reserve(input.len() - shared);
        let mut node = path.last().map_or(Node::ROOT, |(node, _)| *node);
        for item in input.iter().skip(shared) {
            node = self.recording.tree.push(node, *item);
            path.push((node, *item));
        }
        let (items, prints) = (&self.recording.items, &self.recording.fingerprints);
        self.lanes.sent(lane, path, items, prints);
        node
    }

    /// Makes known what an answer says so far, so that requests behind it find their lane.
    fn publish(&mut self, number: u32) {
        let Some(open) = self.open.get_mut(&number) else {
            return;
        };
        let (at, lane) = (open.at, open.lane);
        let response = open.fold.id.clone();
        let conversation = open.fold.conversation.clone();
        let fresh: Vec<_> = open
            .fold
            .done
            .iter()
            .skip(open.published)
            .cloned()
            .collect();
        let first = open.published;
        open.published += fresh.len();
        let mut done = Vec::with_capacity(fresh.len());
        for (part, item) in fresh.iter().enumerate() {
            let index = self.item(&item.raw, item.place, (first + part) as u32);
            if let Some(Item {
                kind,
                call: Some(call),
                ..
            }) = self.recording.items.get(index)
                && kind.is_call()
            {
                self.lanes.called(lane, call.number());
            }
            done.push(index);
        }
        if let Some(conversation) = conversation {
            self.recording.conversations.intern(conversation.as_bytes());
        }
        let key = response.map(|id| self.recording.responses.intern(id.as_bytes()));
        let Some(exchange) = self.recording.exchanges.get_mut(at) else {
            return;
        };
        exchange.answer.done.append(&mut done);
        if let Some(key) = key
            && exchange.answer.response.is_none()
        {
            exchange.answer.response = Some(ResponseKey(key));
            if lane != NO_LANE {
                self.lanes.answered(lane, key);
            }
        }
    }

    /// Keeps the best hint at the client: of a turn's own request, else of its connection, else of any other request.
    fn know_client(&mut self, seen: &Seen<'_>, purpose: Purpose) {
        let rank = match purpose {
            Purpose::Turn | Purpose::WarmUp | Purpose::Side => 0,
            Purpose::NotJudged => 2,
        };
        let [own, of_connection, other] = &mut self.clients;
        let connection = seen.connection.and_then(|it| self.connections.get(&it));
        if let Some(connection) = connection
            && of_connection.name.is_none()
        {
            *of_connection = client_of(&connection.headers);
        }
        let slot = if rank == 0 { own } else { other };
        if slot.name.is_none() {
            *slot = client_of(seen.headers);
        }
    }
}

/// The marks of an answer, in terms of its items.
fn marks_of(fold: &ResponseFold, done: &[ItemIndex], half: &[ItemIndex]) -> Vec<Mark> {
    let mut begun: BTreeMap<u32, ItemIndex> = BTreeMap::new();
    for (began, item) in fold.half_begun().iter().zip(half) {
        begun.insert(*began, *item);
    }
    for mark in &fold.marks {
        if let event::Milestone::Done(at, Some(began)) = mark.what
            && let Some(item) = done.get(at as usize)
        {
            begun.insert(began, *item);
        }
    }
    let what = |what| match what {
        event::Milestone::Named => Some(Milestone::Named),
        event::Milestone::Begun(began) => begun.get(&began).map(|item| Milestone::Begun(*item)),
        event::Milestone::Done(at, _) => done.get(at as usize).map(|item| Milestone::Done(*item)),
        event::Milestone::Over => Some(Milestone::Over),
    };
    let marks = fold.marks.iter();
    marks
        .filter_map(|mark| {
            Some(Mark {
                event: mark.event,
                what: what(mark.what)?,
            })
        })
        .collect()
}
