//! A session as one sequence of events with meaning.

use std::collections::BTreeMap;

use super::json::parse;
use super::named::collect;
use super::rules::Path;
use crate::ids::{self, Interner, ItemIndex, LineNo};
use crate::wire::item::ItemKind;
use crate::wire::raw::Object;

/// The lane of an event that belongs to none.
pub const NO_LANE: u32 = u32::MAX;

/// What an event of the sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A request: its members without `input`.
    Request,
    /// An item that was not there before, sent or received.
    Item,
    /// An item that a request leaves out though the conversation holds it.
    Dropped,
    /// An item that was begun and never finished, with what its pieces had built.
    Half,
    /// A streamed event that builds no item.
    Event,
    /// The end of a response as the server told it.
    Response,
    /// A refusal: the status and the body of an answer of 400 and more.
    Refusal,
    /// The stream was broken off.
    Cut,
    /// A line of a rollout that is no item.
    Line,
    /// A line of the client's own event log.
    ClientEvent,
    /// Bytes as they came.
    Bytes,
}

impl What {
    /// Its name, with which written paths may begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Item => "item",
            Self::Dropped => "dropped",
            Self::Half => "half",
            Self::Event => "event",
            Self::Response => "response",
            Self::Refusal => "refusal",
            Self::Cut => "cut",
            Self::Line => "line",
            Self::ClientEvent => "client_event",
            Self::Bytes => "bytes",
        }
    }
}

/// Where an item came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Nothing tells, or it makes no difference.
    #[default]
    None,
    /// A request carried it.
    Sent,
    /// An answer carried it.
    Received,
}

/// One event of a sequence. Its texts stand in the sequence ([`Sequence::parts`]).
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What it is.
    pub what: What,
    /// Whether it was sent or received.
    pub side: Side,
    /// Its lane, an index into [`Sequence::lanes`], or [`NO_LANE`].
    pub lane: u32,
    /// Its exchange in the recording, from 1; 0 where it belongs to none.
    pub exchange: u32,
    /// The line it stands on, from 1; 0 where that is not known.
    pub line: LineNo,
    /// What it is called: kind, type, tool or role; events of one label may be versions of each other.
    pub label: u32,
    /// The call it belongs to, and whether it opens it.
    pub(super) call: Option<u32>,
    pub(super) is_call: bool,
    /// The row of the table it belongs to as a whole.
    pub(super) row: Option<u8>,
    pub(super) first: u32,
    pub(super) count: u32,
}

/// A text that is a part of events: an item, or one member of a request.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) what: What,
    /// The member; empty for the whole.
    pub(super) name: u32,
    pub(super) raw: Box<str>,
}

/// One conversation thread of a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Its name in the session.
    pub name: String,
    /// Whether another lane spawned it.
    pub child: bool,
    /// Whether it is a title, memory or other side request.
    pub side: bool,
    /// How it begins: the texts of its first items.
    pub(super) beginning: String,
}

/// What a sequence was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A recording.
    #[default]
    Recording,
    /// Another tool's log, or a bare request.
    Converted,
    /// A rollout.
    Rollout,
}

/// A session as events with meaning, in file order.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// What it was read from.
    pub origin: Origin,
    /// The events.
    pub events: Vec<Event>,
    /// The conversation threads.
    pub lanes: Vec<Lane>,
    /// What could not be read, or must be known, in words.
    pub notes: Vec<String>,
    pub(super) parts: Vec<Part>,
    pub(super) known: Interner,
    pub(super) names: Interner,
    pub(super) refs: Vec<u32>,
    pub(super) table: BTreeMap<u64, u32>,
}

/// An event while it is put together.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) event: Event,
    pub(super) parts: Vec<u32>,
    /// Which of the items that its answer finished it is.
    pub(super) nth: Option<u32>,
    /// An item whose text may come only later: the part is put in at the end.
    pub(super) later: Option<ItemIndex>,
}

impl Sequence {
    /// The label of an event: `item function_call shell`, `request`, `line event_msg.token_count`.
    pub fn label(&self, event: &Event) -> String {
        String::from_utf8_lossy(self.names.text(event.label)).into_owned()
    }

    /// The parts of an event: the name of the member, empty for the whole, and its JSON as it stands.
    pub fn parts(&self, event: &Event) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.part_numbers(event).filter_map(|part| {
            let part = self.parts.get(part as usize)?;
            let name = std::str::from_utf8(self.names.text(part.name)).unwrap_or("");
            Some((name, &*part.raw))
        })
    }

    pub(super) fn part_numbers(&self, event: &Event) -> impl Iterator<Item = u32> + '_ {
        let first = event.first as usize;
        let range = first..first + event.count as usize;
        self.refs.get(range).unwrap_or(&[]).iter().copied()
    }

    /// The text behind an id's number.
    pub(super) fn id(&self, id: u32) -> &str {
        std::str::from_utf8(self.known.text(id)).unwrap_or("")
    }

    /// Starts an event.
    pub(super) fn draft(&mut self, what: What, label: &str) -> Draft {
        // a label is one line of plain text, whatever a file says
        let plain = label.replace(char::is_control, "\u{fffd}");
        let label = plain.as_str();
        Draft {
            event: Event {
                what,
                side: Side::None,
                lane: NO_LANE,
                exchange: 0,
                line: 0,
                label: self.names.intern(label.as_bytes()),
                call: None,
                is_call: false,
                row: None,
                first: 0,
                count: 0,
            },
            parts: Vec::new(),
            nth: None,
            later: None,
        }
    }

    /// The number of a text as a part of events; equal texts are kept once.
    pub(super) fn part(&mut self, what: What, name: &str, raw: &str) -> u32 {
        let name = self.names.intern(name.as_bytes());
        let hash = super::rules::mix(
            ids::fingerprint(raw.as_bytes()),
            (u64::from(name) << 8) | what as u64,
        );
        if let Some(&known) = self.table.get(&hash) {
            let same = |part: &Part| part.what == what && part.name == name && &*part.raw == raw;
            if self.parts.get(known as usize).is_some_and(same) {
                return known;
            }
        }
        let number = self.parts.len() as u32;
        if what != What::Bytes
            && let Some(node) = parse(raw)
        {
            let root = Path::root(what.name());
            let text = std::str::from_utf8(self.names.text(name)).unwrap_or("");
            if text.is_empty() {
                collect(&node, &root, &mut self.known);
            } else {
                collect(&node, &root.key(text), &mut self.known);
            }
        }
        self.parts.push(Part {
            what,
            name,
            raw: raw.into(),
        });
        self.table.insert(hash, number);
        number
    }

    /// Adds a part to an event.
    pub(super) fn add(&mut self, draft: &mut Draft, name: &str, raw: &str) {
        let part = self.part(draft.event.what, name, raw);
        draft.parts.push(part);
    }

    /// An event that is an item, whatever became of it.
    pub(super) fn item(&mut self, what: What, raw: &str) -> Draft {
        let found = About::of(raw);
        let mut draft = self.draft(what, &found.label(what));
        if let Some(call) = &found.call {
            draft.event.call = Some(self.known.intern(call.as_bytes()));
            draft.event.is_call = found.kind.is_call();
        }
        self.add(&mut draft, "", raw);
        draft
    }

    /// Puts an event at the end.
    pub(super) fn push(&mut self, draft: &Draft) {
        let mut event = draft.event;
        event.first = self.refs.len() as u32;
        event.count = draft.parts.len() as u32;
        self.refs.extend_from_slice(&draft.parts);
        self.events.push(event);
    }

    /// What is needed only while it is read is let go.
    pub(super) fn finish(&mut self) {
        self.table = BTreeMap::new();
        self.begin();
    }

    /// Notes how the lanes begin.
    fn begin(&mut self) {
        const ENOUGH: usize = 4096;
        let mut beginnings = vec![String::new(); self.lanes.len()];
        for event in &self.events {
            let Some(text) = beginnings.get_mut(event.lane as usize) else {
                continue;
            };
            if event.what == What::Item && text.len() < ENOUGH {
                let room = ENOUGH - text.len();
                for (_, raw) in self.parts(event) {
                    text.extend(self.first_words(raw).chars().take(room));
                }
            }
        }
        for (lane, beginning) in self.lanes.iter_mut().zip(beginnings) {
            lane.beginning = beginning;
        }
    }

    fn first_words(&self, raw: &str) -> String {
        let label = crate::session::label::Label::of(raw);
        let mut text = label.role.as_deref().unwrap_or("").to_owned();
        text.push('\0');
        // ids differ from recording to recording
        for word in label
            .text
            .split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)))
        {
            let bare =
                word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
            if self.known.find(bare.as_bytes()).is_none() {
                text.push_str(word);
            }
        }
        text
    }
}

/// What an item is called, and the call it belongs to.
pub(super) struct About {
    pub(super) kind: ItemKind,
    name: String,
    detail: String,
    pub(super) call: Option<String>,
}

impl About {
    pub(super) fn of(raw: &str) -> Self {
        let object = Object::read(raw).unwrap_or_default();
        let text = |key: &str| object.text(key).unwrap_or_default().into_owned();
        let role = text("role");
        let mut name = text("type");
        if name.is_empty() {
            let bare = if role.is_empty() { "item" } else { "message" };
            bare.clone_into(&mut name);
        }
        let kind = ItemKind::from_type(&name);
        let call = ["call_id", "approval_request_id"]
            .into_iter()
            .chain((kind.is_call()).then_some("id"))
            .map(text)
            .find(|id| !id.is_empty());
        let detail = if role.is_empty() { text("name") } else { role };
        Self {
            kind,
            name,
            detail,
            call,
        }
    }

    fn label(&self, what: What) -> String {
        let mut label = match what {
            What::Item => self.name.clone(),
            what => format!("{} {}", what.name(), self.name),
        };
        if !self.detail.is_empty() {
            label.push(' ');
            label.extend(self.detail.chars().take(80));
        }
        label
    }
}
