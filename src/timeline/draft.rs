//! A timeline of one file while it is put together.

use super::entry::{Entry, NONE, Names, Place, What};
use super::index::Ask;
use super::lines::LineIndex;
use super::state::{Change, Closing, Happened};
use crate::ids::{CallKey, ItemIndex};
use crate::session::tree::{Node, Tree};
use crate::wire::item::ItemKind;

/// A call as the timeline knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The pair, in its file.
    pub key: CallKey,
    /// Its kind.
    pub kind: ItemKind,
    /// Its item, in its file.
    pub item: ItemIndex,
    /// Its file, an index into [`super::Timeline::files`].
    pub file: u16,
    /// Its lane, an index into [`super::Timeline::lanes`].
    pub lane: u16,
    /// The entry at which it was first begun or opened.
    pub first: u32,
    /// The entry at which it was first open, or [`NONE`] for a half one.
    pub opened: u32,
    /// The entry at which it was last closed, or [`NONE`] if it is open at the end.
    pub closed: u32,
    /// What closed it.
    pub closing: Option<Closing>,
    /// The entry at which its output was first sent or written, or [`NONE`].
    pub answered: u32,
}

/// A conversation thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its name: a thread id, or `lane-1`, … where nothing names it.
    pub name: String,
    /// The thread that spawned it, where the file says so.
    pub parent: Option<String>,
    /// Its file.
    pub file: u16,
}

/// The history of a lane behind an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The entry.
    pub entry: u32,
    /// The items, in the tree of the lane's file.
    pub node: Node,
}

/// A request of a lane: one that was sent, or the place in a rollout where one must have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The entry of the request; in a rollout, of the first item that answers it.
    pub entry: u32,
    /// The index of its exchange in the recording, or [`NONE`].
    pub exchange: u32,
    /// What it carries (in a recording), or what the history was (in a rollout).
    pub input: Node,
}

/// What is put together while a file is read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) lines: LineIndex,
    pub(super) entries: Vec<Entry>,
    pub(super) places: Vec<Place>,
    pub(super) names: Names,
    pub(super) lanes: Vec<Lane>,
    pub(super) calls: Vec<Call>,
    pub(super) changes: Vec<Change>,
    pub(super) histories: Vec<Vec<History>>,
    pub(super) requests: Vec<Vec<Asked>>,
    pub(super) tree: Tree,
    pub(super) asks: Vec<Ask>,
}

impl Draft {
    pub(super) fn new() -> Self {
        let mut draft = Self::default();
        // number 0 is what entries have that were given no name
        draft.names.number("");
        draft
    }

    /// Makes room for the entries of so many lines: a list that grows by itself takes half as much again.
    pub(super) fn reserve(&mut self, lines: usize) {
        self.entries.reserve_exact(lines);
        self.lines.reserve(lines);
    }

    /// Adds an entry and returns its number.
    pub(super) fn push(&mut self, entry: Entry) -> u32 {
        self.entries.push(entry);
        self.entries.len() as u32 - 1
    }

    /// An entry for a line with a name.
    pub(super) fn entry(&mut self, what: What, line: u32, name: &str) -> Entry {
        let mut entry = Entry::new(what, line);
        entry.name = self.names.number(name);
        entry
    }

    pub(super) fn lane(&mut self, name: String, parent: Option<String>) {
        self.lanes.push(Lane {
            name,
            parent,
            file: 0,
        });
        self.histories.push(Vec::new());
        self.requests.push(Vec::new());
    }

    /// A call that is seen for the first time.
    pub(super) fn call(
        &mut self,
        key: CallKey,
        kind: ItemKind,
        item: ItemIndex,
        lane: u16,
        entry: u32,
    ) -> u32 {
        self.calls.push(Call {
            key,
            kind,
            item,
            file: 0,
            lane,
            first: entry,
            opened: NONE,
            closed: NONE,
            closing: None,
            answered: NONE,
        });
        self.calls.len() as u32 - 1
    }

    /// Notes what happened to a call.
    pub(super) fn happened(&mut self, entry: u32, call: u32, what: Happened) {
        self.changes.push(Change { entry, call, what });
        let Some(known) = self.calls.get_mut(call as usize) else {
            return;
        };
        match what {
            Happened::Opened => {
                (known.closed, known.closing) = (NONE, None);
                if known.opened == NONE {
                    known.opened = entry;
                }
            }
            Happened::Closed(how) => {
                (known.closed, known.closing) = (entry, Some(how));
                if known.answered == NONE && matches!(how, Closing::Sent | Closing::Written) {
                    known.answered = entry;
                }
            }
            _ => {}
        }
    }

    /// Notes the history of a lane behind an entry.
    pub(super) fn history(&mut self, lane: u16, entry: u32, node: Node) {
        let Some(of_lane) = self.histories.get_mut(lane as usize) else {
            return;
        };
        match of_lane.last_mut().filter(|last| last.entry == entry) {
            Some(last) => last.node = node,
            None => of_lane.push(History { entry, node }),
        }
    }

    pub(super) fn asked(&mut self, lane: u16, asked: Asked) {
        if let Some(of_lane) = self.requests.get_mut(lane as usize) {
            of_lane.push(asked);
        }
    }

    /// One entry, to be completed.
    pub(super) fn entry_mut(&mut self, entry: u32) -> Option<&mut Entry> {
        self.entries.get_mut(entry as usize)
    }
}
