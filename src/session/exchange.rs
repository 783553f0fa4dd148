//! Requests and answers as they went over the wire.

use super::Client;
use super::label::Label;
use super::tree::{Node, Tree};
use crate::events::Log;
use crate::ids::{Interner, ItemIndex, LineNo, ResponseKey};
use crate::wire::item::Items;
use crate::wire::lines::Problem;
use crate::wire::refusal::Named;

pub use crate::wire::event::Terminal;

/// A session that holds requests as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The first line, where there is one.
    pub header: Header,
    /// Where it came from.
    pub origin: Origin,
    /// The program that sent the requests, as far as headers tell.
    pub client: Client,
    /// All items, of inputs and of answers. An item that is sent again unchanged is the same item.
    pub items: Items,
    /// A fingerprint of each item's meaning (kind, ids, role and text; not its spelling), by item index. Two items of
    /// one meaning spelled differently have the same fingerprint.
    pub fingerprints: Vec<u64>,
    /// What people see of each item, by item index.
    pub labels: Vec<Label>,
    /// The sequences of items that requests carried.
    pub tree: Tree,
    /// The conversation threads.
    pub lanes: Vec<Lane>,
    /// The exchanges, in the order of their requests.
    pub exchanges: Vec<Exchange>,
    /// Response ids.
    pub responses: Interner,
    /// Conversation ids.
    pub conversations: Interner,
    /// Lines that are neither requests nor answers, in file order.
    pub notes: Vec<Note>,
    /// What the lines beside the wire say: client events, and rollout lines as far as they tell of turns, tools and
    /// messages.
    pub events: Log,
    /// What could not be read as it should be.
    pub problems: Vec<Problem>,
    /// How many lines the file has.
    pub lines: LineNo,
}

/// A line that was recorded beside the wire; its text stays in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is.
    pub kind: NoteKind,
    /// Its line.
    pub line: LineNo,
    /// Microseconds since the session line, where the line says it.
    pub at_us: Option<u64>,
    /// How many requests stand before it.
    pub after: u32,
}

/// What a [`Note`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// A rollout that was followed from some place on (`rollout_file`).
    RolloutFile,
    /// A line of a rollout (`rollout`).
    Rollout,
    /// A line of the client's own event log (`client_event`).
    ClientEvent,
    /// Something that could not be recorded (`gap`).
    Gap,
    /// A connection was opened or closed.
    Connection,
    /// A kind this version does not know.
    Unknown,
}

/// The `session` line of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The format; 1.
    pub format: Option<u64>,
    /// The recording's id.
    pub id: Option<String>,
    /// When it was begun, RFC 3339.
    pub created_at: Option<String>,
    /// What wrote it.
    pub recorder: Option<String>,
    /// The endpoint that was recorded.
    pub upstream: Option<String>,
    /// The command that was recorded.
    pub command: Vec<String>,
    /// What kind of log it was converted from, if it was.
    pub converted_from: Option<String>,
    /// What that log did not hold, in words.
    pub not_held: Vec<String>,
}

/// How a recording came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// `replay record` wrote it.
    #[default]
    Recorded,
    /// Made from another tool's log; bytes and times are as far as that log held them.
    Converted,
    /// A bare request body or item array: one request, no answer.
    Request,
    /// A client's event log: no request at all.
    Events,
}

/// The lane of an exchange that belongs to no conversation (a list of models, an analytics call): no index of
/// [`Recording::lanes`].
pub const NO_LANE: u32 = u32::MAX;

/// One conversation thread. Its name is a thread id, or `lane-1`, `lane-2`, … where nothing names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The name.
    pub name: String,
    /// The lane its thread was spawned from, if a header says so.
    pub parent: Option<String>,
}

/// How an exchange travelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// A request of its own.
    #[default]
    Http,
    /// A `response.create` on a WebSocket.
    WebSocket,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Part of a turn.
    #[default]
    Turn,
    /// `generate: false`: opens a response id, wants no output.
    WarmUp,
    /// A title, memory or other side request (by its headers).
    Side,
    /// Not `POST …/responses`: kept, not judged.
    NotJudged,
}

/// One request and its answer.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Its number in the file, from 1.
    pub number: u32,
    /// Its lane, an index into [`Recording::lanes`], or [`NO_LANE`] (only where `purpose` is [`Purpose::NotJudged`]).
    pub lane: u32,
    /// The line of its request.
    pub line: LineNo,
    /// The line of its end, 0 if it has none.
    pub end_line: LineNo,
    /// Microseconds since the session line.
    pub at_us: u64,
    /// How it travelled.
    pub transport: Transport,
    /// The connection, for WebSocket.
    pub connection: Option<u32>,
    /// What it is for.
    pub purpose: Purpose,
    /// The turn it belongs to within its lane, from 1; 0 where it belongs to none.
    pub turn: u32,
    /// Which sending of the same request this is, from 1.
    pub attempt: u32,
    /// The index of the first sending of the same request; its own index if it is the first.
    pub first_attempt: u32,
    /// The request.
    pub request: Request,
    /// The answer, as far as it came.
    pub answer: Answer,
}

/// What a request says, as far as the contract reads it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `previous_response_id`.
    pub previous: Option<ResponseKey>,
    /// `conversation`, an index into [`Recording::conversations`].
    pub conversation: Option<u32>,
    /// `store`; the API's default is `true`.
    pub store: Option<bool>,
    /// `input` as a sequence of its own; a plain string is one user message.
    pub input: Node,
    /// Whether the whole body was read.
    pub whole: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            previous: None,
            conversation: None,
            store: None,
            input: Node::ROOT,
            whole: false,
        }
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The HTTP status, or the status inside a WebSocket error frame.
    pub status: Option<u16>,
    /// The refusal, if the answer is one (HTTP 4xx and 5xx bodies, SSE or WebSocket errors).
    pub refusal: Option<RecordedRefusal>,
    /// The response's id, once it was named.
    pub response: Option<ResponseKey>,
    /// Items that were finished (`output_item.done`, or the `output` of a whole response), in order.
    pub done: Vec<ItemIndex>,
    /// Items that were begun and never finished.
    pub half: Vec<ItemIndex>,
    /// The terminal event or status.
    pub terminal: Option<Terminal>,
    /// How the transport ended; `None` if no end is on file.
    pub end: Option<EndCause>,
    /// Whether the client left before the response was over (it may have been read on without it).
    pub client_left: bool,
    /// How many events came.
    pub events: u32,
    /// Whether sequence numbers had a gap or went backwards.
    pub bad_sequence: bool,
    /// The events that changed what the client holds, in order; none where the answer came in one piece.
    pub marks: Vec<Mark>,
}

/// An event that changes what a client holds of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its place in the stream, from 0.
    pub event: u32,
    /// What it brings.
    pub what: Milestone,
}

/// What a [`Mark`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// The response has an id.
    Named,
    /// An item begins. Where it is finished later, it is that item.
    Begun(ItemIndex),
    /// The next item of [`Answer::done`] is finished.
    Done(ItemIndex),
    /// The response says that it is over.
    Over,
}

/// A recorded refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRefusal {
    /// The status it came with.
    pub status: u16,
    /// The innermost message that was found, or the beginning of the body.
    pub message: String,
    /// What the message says, where it is one the contract knows.
    pub named: Option<Named>,
    /// Whether `message` is the whole of an API envelope (no gateway wrapped it).
    pub plain: bool,
}

/// Why the transport ended (design: format 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the format's own")]
pub enum EndCause {
    Complete,
    ClientClosed,
    UpstreamClosed,
    UpstreamError,
    Timeout,
    RecorderStopped,
    /// The log this was converted from does not say.
    NotHeld,
}

impl Answer {
    /// Whether the stream was broken off before it said that it is over. An answer of which a log holds no more than that
    /// it was given is none.
    pub fn is_cut(&self) -> bool {
        self.terminal.is_none() && self.refusal.is_none() && !self.is_only_told()
    }

    /// Whether a log says that there was an answer, and holds nothing of it.
    fn is_only_told(&self) -> bool {
        let accepted = self.status.is_some_and(|it| (200..300).contains(&it));
        accepted && self.end == Some(EndCause::NotHeld) && self.events == 0 && self.done.is_empty()
    }
}
