//! One line, or one event of a line, as the timeline keeps it.

use std::collections::BTreeMap;

use crate::ids::LineNo;

/// No number.
pub const NONE: u32 = u32::MAX;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The first line of a recording.
    Session,
    /// A request.
    Request,
    /// The head of an answer.
    Response,
    /// One event of a response, streamed or in a frame.
    Event,
    /// A piece of an answer that is no event stream.
    Body,
    /// The client left.
    ClientClosed,
    /// The end of an exchange.
    End,
    /// A WebSocket was opened or closed, or a frame that is no event.
    Connection,
    /// A line of a rollout inside of a recording, or the note that one is followed.
    RolloutLine,
    /// A line of the client's own event log.
    ClientEvent,
    /// Something that could not be recorded.
    Gap,
    /// A meta line of a rollout.
    Meta,
    /// An item of a rollout.
    Item,
    /// A state line of E2.
    State,
    /// A `turn_context` line.
    TurnContext,
    /// An `event_msg` line.
    EventLine,
    /// A compaction.
    Compacted,
    /// Anything else.
    Other,
    /// A line that could not be read.
    Unreadable,
}

impl What {
    /// All of them, in the order in which filters name them.
    pub const ALL: [Self; 19] = [
        Self::Session,
        Self::Request,
        Self::Response,
        Self::Event,
        Self::Body,
        Self::ClientClosed,
        Self::End,
        Self::Connection,
        Self::RolloutLine,
        Self::ClientEvent,
        Self::Gap,
        Self::Meta,
        Self::Item,
        Self::State,
        Self::TurnContext,
        Self::EventLine,
        Self::Compacted,
        Self::Other,
        Self::Unreadable,
    ];

    /// The name in filters and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Request => "request",
            Self::Response => "response",
            Self::Event => "event",
            Self::Body => "body",
            Self::ClientClosed => "client_closed",
            Self::End => "end",
            Self::Connection => "connection",
            Self::RolloutLine => "rollout",
            Self::ClientEvent => "client_event",
            Self::Gap => "gap",
            Self::Meta => "meta",
            Self::Item => "item",
            Self::State => "state",
            Self::TurnContext => "turn_context",
            Self::EventLine => "event_msg",
            Self::Compacted => "compacted",
            Self::Other => "other",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Marks of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// A piece of an item that is still streamed (`….delta`).
    pub const DELTA: Self = Self(1);
    /// The first entry of a turn.
    pub const TURN: Self = Self(2);
    /// A refusal, or any other answer of status 400 and above.
    pub const REFUSAL: Self = Self(4);
    /// The stream was broken off here, or the turn was aborted.
    pub const CUT: Self = Self(8);
    /// A call.
    pub const CALL: Self = Self(16);
    /// An output, or a request that carries one.
    pub const OUTPUT: Self = Self(32);
    /// A call that stands here is open at the end.
    pub const OPEN: Self = Self(64);
    /// The line has a problem.
    pub const PROBLEM: Self = Self(128);

    /// Whether one of the marks of `other` is set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Sets the marks of `other`.
    pub fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes the marks of `other` away.
    pub(super) fn unset(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// The marks as a number, for what is drawn elsewhere.
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One entry of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Microseconds since the epoch for rollouts, since the first line for recordings; `None` as [`i64::MIN`].
    pub time: i64,
    /// Its line, from 1.
    pub line: LineNo,
    /// Its item in the file's session, or [`NONE`].
    pub item: u32,
    /// Its call, an index into [`super::Timeline::calls`], or [`NONE`].
    pub call: u32,
    /// The number of its exchange in the file; 0 where it belongs to none.
    pub exchange: u32,
    /// Its turn within its lane, from 1; 0 where it belongs to none.
    pub turn: u32,
    /// Where its text stands: an index into [`super::Timeline::places`], or [`NONE`] for the whole line. In a rollout of
    /// era E0 the number of its item.
    pub place: u32,
    /// Its name, an index into [`Names`].
    pub name: u16,
    /// Its lane, an index into [`super::Timeline::lanes`], or `u16::MAX`.
    pub lane: u16,
    /// Its file, an index into [`super::Timeline::files`].
    pub file: u16,
    /// What it is.
    pub what: What,
    /// Its marks.
    pub marks: Marks,
}

impl Entry {
    /// An entry for a line.
    pub fn new(what: What, line: LineNo) -> Self {
        Self {
            time: i64::MIN,
            line,
            item: NONE,
            call: NONE,
            exchange: 0,
            turn: 0,
            place: NONE,
            name: 0,
            lane: u16::MAX,
            file: 0,
            what,
            marks: Marks::default(),
        }
    }

    /// Its time, if the file says it.
    pub fn time(&self) -> Option<i64> {
        (self.time != i64::MIN).then_some(self.time)
    }
}

/// Where the text of a streamed event stands: the bytes `[skip, skip + length)` of the text that the chunk lines of its
/// exchange between two lines make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first chunk line.
    pub from: LineNo,
    /// Bytes of that chunk before it.
    pub skip: u32,
    /// Its length in bytes; 0 for an event that is a line of its own.
    pub length: u32,
    /// The `output_index` of the event, or [`NONE`].
    pub output_index: u32,
}

/// Names of kinds of lines and events, each kept once.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<Box<str>>,
    known: BTreeMap<Box<str>, u16>,
}

/// More different names than this are told as one: a file with so many makes them up.
const MAX_NAMES: usize = 4096;

/// Longer names are clipped, in bytes.
const MAX_NAME: usize = 80;

impl Names {
    /// The number of a name, new or known.
    pub fn number(&mut self, name: &str) -> u16 {
        let mut end = name.len().min(MAX_NAME);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let name = name.get(..end).unwrap_or("");
        if let Some(found) = self.known.get(name) {
            return *found;
        }
        if self.names.len() >= MAX_NAMES {
            return self.known.get("…").copied().unwrap_or(0);
        }
        if self.names.len() + 1 == MAX_NAMES {
            self.known.insert("…".into(), self.names.len() as u16);
            self.names.push("…".into());
            return self.names.len() as u16 - 1;
        }
        let number = self.names.len() as u16;
        self.names.push(name.into());
        self.known.insert(name.into(), number);
        number
    }

    /// The name behind a number.
    pub fn get(&self, number: u16) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }

    /// The number of a name that is known.
    pub fn find(&self, name: &str) -> Option<u16> {
        self.known.get(name).copied()
    }
}
