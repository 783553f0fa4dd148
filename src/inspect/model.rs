//! What the viewer shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::judge::Judgement;
use super::list;
use crate::timeline::{Filter, NONE, Said, Source, Text, Timeline};

/// How the viewer is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether colours may be used.
    pub colour: bool,
    /// Which entries are shown at first.
    pub filter: Filter,
    /// Whether the files are still being written.
    pub follow: bool,
}

/// What the right side shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// The entry as formatted JSON.
    Json,
    /// The entry as text: messages, outputs, arguments while they stream.
    Text,
    /// The line as it stands in the file.
    Raw,
    /// The request the entry belongs to, or the history at this point.
    Request,
    /// A bar for each call.
    Bars,
    /// What each strategy would send here.
    Strategies,
}

/// What is typed at the bottom line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    Search,
    Filter,
    Export,
    ExportAll,
    /// The next key names a mark to set.
    SetMark,
    /// The next key names a mark to go to.
    GoMark,
}

/// A search over the files as they stand.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) pattern: String,
    /// Lines that match, by file and line.
    pub(super) hits: BTreeSet<(u16, u32)>,
    /// How much was searched, in parts of a thousand; `None` when it is over.
    pub(super) progress: Option<u32>,
    /// Whether more lines match than are kept.
    pub(super) more: bool,
    /// Which search this is; what an older one finds is dropped.
    pub(super) number: u32,
    /// Whether the cursor waits for the first hit.
    pub(super) waits: bool,
}

/// Everything the viewer knows.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says how one part is shown"
)]
pub struct Model {
    /// What is shown.
    pub timeline: Arc<Timeline>,
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) options: Options,
    /// How much of the files was read, in parts of a thousand, while that goes on.
    pub(super) progress: Option<u32>,
    pub(super) rows: Vec<u32>,
    /// The chosen row, and the first one on the screen.
    pub(super) cursor: usize,
    pub(super) top: usize,
    pub(super) filter: Filter,
    /// Whether deltas and other events that say nothing new are shown.
    pub(super) all: bool,
    pub(super) folded: BTreeSet<(u16, u32)>,
    /// Entries that are shown although they are filtered out: the cursor was sent there.
    pub(super) revealed: BTreeSet<u32>,
    pub(super) pane: Pane,
    /// Whether bars are drawn by time rather than by place.
    pub(super) by_time: bool,
    pub(super) in_detail: bool,
    pub(super) scroll: usize,
    pub(super) sideways: usize,
    pub(super) help: bool,
    pub(super) help_scroll: usize,
    pub(super) prompt: Option<(Prompt, String)>,
    pub(super) message: Option<String>,
    pub(super) search: Option<Search>,
    pub(super) marks: BTreeMap<char, u32>,
    pub(super) judged: Option<(u32, Vec<Judgement>)>,
    /// Width and height.
    pub(super) size: (u16, u16),
    pub(super) said: BTreeMap<u32, Said>,
    pub(super) shown: Option<(u32, Pane, Detail)>,
    /// Whether the viewer is to end.
    pub over: bool,
}

/// The lines of the right side.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
}

/// One line of the right side and how it is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// How a line is meant; said by colour beside words, never by colour alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Heading,
    Faint,
    Bad,
    Good,
    Careful,
}

impl Line {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

/// So many rows are said ahead of need.
const SAID: usize = 4096;

impl Model {
    /// A viewer of a timeline whose texts stand in `sources`, on a screen of some size.
    pub fn new(
        timeline: Arc<Timeline>,
        sources: Vec<Box<dyn Source>>,
        options: Options,
        size: (u16, u16),
    ) -> Self {
        let mut model = Self {
            timeline,
            sources,
            progress: None,
            rows: Vec::new(),
            cursor: 0,
            top: 0,
            filter: options.filter.clone(),
            options,
            all: false,
            folded: BTreeSet::new(),
            revealed: BTreeSet::new(),
            pane: Pane::Text,
            by_time: true,
            in_detail: false,
            scroll: 0,
            sideways: 0,
            help: false,
            help_scroll: 0,
            prompt: None,
            message: None,
            search: None,
            marks: BTreeMap::new(),
            judged: None,
            size,
            said: BTreeMap::new(),
            shown: None,
            over: false,
        };
        list::refresh(&mut model);
        model.prepare();
        model
    }

    /// Shows a newer reading of the same files; the cursor stays at its line, or at the end where it was there.
    pub(super) fn replace(&mut self, timeline: Arc<Timeline>, sources: Vec<Box<dyn Source>>) {
        let place = self.entry().map(|at| {
            let entry = self.timeline.entries.get(at as usize);
            entry.map_or((0, 0, 0), |entry| (entry.file, entry.line, entry.place))
        });
        let at_end =
            self.options.follow && !self.rows.is_empty() && self.cursor + 1 >= self.rows.len();
        let known = |entry: u32| {
            self.timeline
                .entries
                .get(entry as usize)
                .map(|it| (it.file, it.line, it.place))
        };
        let find = |place: (u16, u32, u32), timeline: &Timeline| {
            let found = timeline
                .entries
                .iter()
                .position(|it| (it.file, it.line, it.place) == place);
            found.map(|at| at as u32)
        };
        let marks: BTreeMap<char, u32> = self
            .marks
            .iter()
            .filter_map(|(name, entry)| Some((*name, find(known(*entry)?, &timeline)?)))
            .collect();
        let to = place.and_then(|place| find(place, &timeline));
        self.marks = marks;
        self.timeline = timeline;
        self.sources = sources;
        self.said.clear();
        self.shown = None;
        self.judged = None;
        self.revealed.clear();
        list::refresh(self);
        if at_end {
            self.cursor = self.rows.len().saturating_sub(1);
        } else if let Some(to) = to {
            self.go(to);
        }
    }

    /// The entry under the cursor.
    pub fn entry(&self) -> Option<u32> {
        self.rows.get(self.cursor).copied()
    }

    /// Moves the cursor to an entry; one that is filtered out is shown all the same.
    pub(super) fn go(&mut self, entry: u32) {
        if let Err(place) = self.rows.binary_search(&entry) {
            self.revealed.insert(entry);
            self.rows.insert(place, entry);
        }
        self.cursor = self.rows.binary_search(&entry).unwrap_or(self.cursor);
        self.scroll = 0;
    }

    /// How many rows the list shows.
    pub(super) fn page(&self) -> usize {
        super::view::areas(self.size).list_rows()
    }

    /// Reads what the screen will show: the rows in sight, and the right side.
    pub(super) fn prepare(&mut self) {
        self.cursor = self.cursor.min(self.rows.len().saturating_sub(1));
        let page = self.page().max(1);
        if self.cursor < self.top {
            self.top = self.cursor;
        } else if self.cursor >= self.top + page {
            self.top = self.cursor + 1 - page;
        }
        self.top = self.top.min(self.rows.len().saturating_sub(page));
        if self.said.len() > SAID {
            self.said.clear();
        }
        let timeline = Arc::clone(&self.timeline);
        let sight: Vec<u32> = self
            .rows
            .iter()
            .skip(self.top)
            .take(page)
            .copied()
            .collect();
        for at in sight {
            if self.said.contains_key(&at) {
                continue;
            }
            let file = timeline
                .entries
                .get(at as usize)
                .map_or(0, |entry| entry.file);
            if let Some(source) = self.sources.get_mut(file as usize) {
                let said = timeline.say(at, source).unwrap_or_else(|error| Said {
                    title: "cannot be read".to_owned(),
                    text: error.to_string(),
                });
                self.said.insert(at, said);
            }
        }
        super::detail::prepare(self);
    }

    /// Reads the text of an entry.
    pub(super) fn text(&mut self, at: u32, max: u64) -> Text {
        let timeline = Arc::clone(&self.timeline);
        let Some(entry) = timeline.entries.get(at as usize) else {
            return Text::default();
        };
        let source = self.sources.get_mut(entry.file as usize);
        source
            .and_then(|source| timeline.text(entry, source, max).ok())
            .unwrap_or_default()
    }

    /// The lane of the entry under the cursor, or the last one before it that has one.
    pub(super) fn lane(&self, at: u32) -> Option<u16> {
        let before = self.timeline.entries.get(..=at as usize)?;
        let near = before.iter().rev().take(10_000);
        near.map(|entry| entry.lane).find(|lane| *lane != u16::MAX)
    }

    /// The call the cursor is about: its entry's, else the oldest open one.
    pub(super) fn call(&self) -> Option<u32> {
        let at = self.entry()?;
        let own = self.timeline.entries.get(at as usize)?.call;
        if own != NONE {
            return Some(own);
        }
        if let Some(change) = self.timeline.changes_at(at).first() {
            return Some(change.call);
        }
        self.timeline
            .state_at(at)
            .first()
            .map(|pending| pending.call)
    }
}
