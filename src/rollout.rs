//! Codex rollouts of every era as one value.
//!
//! A [`Rollout`] is what the file says, in the file's order: items, and the steps between them that change what Codex
//! would send next (rollbacks, compactions, forks, state lines) or tell why a call stayed open (aborts, tool ends). The
//! eras are those of codex.md 1.2. Text stays in the file; a gigabyte of rollout becomes some tens of megabytes.
//!
//! [`effective`] rebuilds the history as Codex itself would on resume. This room opens no files: it is handed a reader,
//! and a [`Library`] where one file begins in another.

pub mod document;
pub mod effective;
mod event;
mod fields;
mod line;
pub mod reader;
mod sort;

pub use sort::{Shape, shape, sniff};

pub(crate) use fields::mend_surrogates;

use std::collections::BTreeMap;
use std::io::Read;

pub use crate::events::AbortReason;
use crate::events::Log;
use crate::ids::{CallKey, Interner, ItemIndex, LineNo, ResponseKey};
use crate::wire::item::Items;
use crate::wire::lines::Problem;

/// The line-format eras of codex.md 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Era {
    /// TypeScript CLI, 2025-04 to 2025-08: one JSON document.
    E0,
    /// Rust, 2025-05 to 2025-07: a bare meta line, then bare items.
    E1,
    /// Rust, 2025-07 to 2025-09: as E1 with `record_type: state` lines.
    E2,
    /// Since 2025-09: `{timestamp,type,payload}`.
    E3,
    /// Since 2026-06: E3 with a top-level `ordinal`.
    E4,
}

impl Era {
    /// `E0` to `E4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::E0 => "E0",
            Self::E1 => "E1",
            Self::E2 => "E2",
            Self::E3 => "E3",
            Self::E4 => "E4",
        }
    }
}

/// What the first meta line says of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The thread id.
    pub thread_id: Option<String>,
    /// The thread this one was forked from.
    pub forked_from: Option<String>,
    /// The thread that spawned this one, for sub-agents.
    pub parent_thread: Option<String>,
    /// `originator`, such as `codex_exec`.
    pub originator: Option<String>,
    /// `cli_version`.
    pub cli_version: Option<String>,
    /// `timestamp`, as written (codex.md 1.2: its zone is not to be trusted in E1 and E2).
    pub timestamp: Option<String>,
    /// `history_base`: where this file's history begins.
    pub base: Option<HistoryBase>,
    /// Whether the meta line says `history_mode: paginated`.
    pub paginated: bool,
    /// `subagent_history_start_ordinal`: lines before it are inherited, not the sub-agent's own (codex #33432).
    pub own_history_from: Option<u64>,
    /// `recovered_by`: the file is a copy that `replay recover` made for today's Codex.
    pub recovered: bool,
}

/// The place in another file where this file's history begins (codex.md 1.4, 1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryBase {
    /// The thread whose file holds the beginning.
    pub thread_id: String,
    /// Bytes of that file that belong to this history: `[0, end_byte_offset)`.
    pub end_byte_offset: u64,
    /// Ordinals of that file that belong to this history.
    pub end_ordinal_exclusive: Option<u64>,
}

/// One thing a rollout says, in file order. Lines count from 1 in the file that the last [`Step::File`] before it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An item; its line stands in the item.
    Item(ItemIndex),
    /// A state line of E2.
    State(LineNo, Previous),
    /// A `session_meta` behind the first one: a copied fork, or a resume.
    Meta(LineNo),
    /// A `turn_context` line.
    TurnContext(LineNo),
    /// `task_started` (`turn_started`).
    TurnStarted(LineNo),
    /// `task_complete` (`turn_complete`); the index is that of its error in [`Rollout::errors`], if it has one.
    TurnComplete(LineNo, Option<u32>),
    /// `turn_aborted`.
    TurnAborted(LineNo, AbortReason),
    /// `thread_rolled_back` by that many instruction turns.
    RolledBack(LineNo, u32),
    /// `compacted` with `replacement_history`: `count` items from `first` take the place of all before.
    Replaced {
        /// The line.
        line: LineNo,
        /// The first of the replacing items.
        first: ItemIndex,
        /// How many there are.
        count: u32,
    },
    /// `compacted` without `replacement_history`: the user's messages and this summary take the place of all before.
    Summarised(LineNo, ItemIndex),
    /// A tool began to run.
    ToolBegan(LineNo, CallKey),
    /// A tool finished.
    ToolEnded(LineNo, CallKey),
    /// A response ended here (`token_usage_record`).
    ResponseEnded(LineNo, ResponseKey),
    /// The file changes: what follows stands in this one of [`Rollout::files`].
    File(u32),
}

/// What a state line says of the last response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// The line has no `previous_response_id` key (0.9 and later).
    NoKey,
    /// The key is there and null.
    Null,
    /// The response it names.
    Response(ResponseKey),
}

/// A file that part of a rollout's history stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it was found; empty for the rollout's own file.
    pub path: String,
    /// The thread id, where known.
    pub thread_id: Option<String>,
}

/// A Codex rollout.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// The era of its lines.
    pub era: Era,
    /// What its first meta line says.
    pub meta: Meta,
    /// Its items, those of the files it begins in included.
    pub items: Items,
    /// What it says, in order.
    pub steps: Vec<Step>,
    /// The response ids that state lines and usage records name.
    pub responses: Interner,
    /// `error.message` of the turns that ended in one.
    pub errors: Vec<String>,
    /// The files it stands in; the first is its own.
    pub files: Vec<File>,
    /// What could not be read as it should be.
    pub problems: Vec<Problem>,
    /// Whether part of its history could not be read: a file it begins in is missing or unfit (see the problems).
    pub incomplete: bool,
    /// What its lines say of turns, tools and messages; without those of files it begins in.
    pub events: Log,
    /// How many lines its own file has.
    pub lines: LineNo,
    /// How many bytes its own file has.
    pub bytes: u64,
}

impl Rollout {
    /// An empty rollout of an era.
    pub fn new(era: Era) -> Self {
        Self {
            era,
            meta: Meta::default(),
            items: Items::default(),
            steps: Vec::new(),
            responses: Interner::default(),
            errors: Vec::new(),
            files: vec![File {
                path: String::new(),
                thread_id: None,
            }],
            problems: Vec::new(),
            incomplete: false,
            events: Log::default(),
            lines: 0,
            bytes: 0,
        }
    }

    /// The index in [`Rollout::files`] of the file that each of some items stands in.
    pub fn file_of_items<'a>(
        &self,
        wanted: impl Iterator<Item = &'a ItemIndex>,
    ) -> BTreeMap<ItemIndex, u32> {
        let mut found: BTreeMap<ItemIndex, u32> = wanted.map(|item| (*item, 0)).collect();
        if self.files.len() < 2 {
            return found;
        }
        let mut file = 0;
        for step in &self.steps {
            let mut stands_here = |index: ItemIndex| {
                if let Some(known) = found.get_mut(&index) {
                    *known = file;
                }
            };
            match step {
                Step::File(index) => file = *index,
                Step::Item(index) | Step::Summarised(_, index) => stands_here(*index),
                Step::Replaced { first, count, .. } => {
                    (first.0..first.0 + count).for_each(|at| stands_here(ItemIndex(at)));
                }
                _ => {}
            }
        }
        found
    }
}

/// Where other rollouts are found when one begins in another.
pub trait Library {
    /// Opens the rollout of a thread (decompressed) and says where it is; `None` if it is not there.
    ///
    /// # Errors
    /// What opening it returns.
    fn open(&self, thread_id: &str) -> std::io::Result<Option<(String, Box<dyn Read>)>>;
}

/// A library with nothing in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLibrary;

impl Library for NoLibrary {
    fn open(&self, _: &str) -> std::io::Result<Option<(String, Box<dyn Read>)>> {
        Ok(None)
    }
}
