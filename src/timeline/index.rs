//! Everything a session holds, on one clock.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::calls::{OpenCall, open_calls};
use super::clock::{align, shift};
use super::draft::{Asked, Call, Draft, History, Lane};
use super::entry::{Entry, Marks, NONE, Names, Place};
use super::join;
use super::lines::LineIndex;
use super::state::{Change, Changes, Pending};
use super::{beside::Asking, recorded, rolled};
use crate::events::Answerer;
use crate::ids::{CallKey, ItemIndex};
use crate::session::Session;
use crate::session::exchange::Origin;
use crate::session::tree::{Node, Tree};
use crate::wire::item::{Item, Items};

/// A file of a timeline.
#[derive(Clone, Debug)]
pub struct TimelineFile {
    /// The name under which it is spoken of.
    pub name: String,
    /// Where its lines begin.
    pub lines: LineIndex,
    /// Where its times come from.
    pub clock: Clock,
    /// What it says.
    pub session: Session,
    /// The sequences of items that histories and requests name.
    pub tree: Tree,
    /// Its calls that are open at its end, with their causes; `call` of [`OpenCall`] names a pair of this file.
    pub open: Vec<OpenCall>,
    /// Places in `open`, by item and lane of the file.
    causes: BTreeMap<(ItemIndex, u32), usize>,
    /// The number of its first lane in the timeline.
    first_lane: u16,
    /// The number of its first place in the timeline; the items of an E0 document have a place each, in their order.
    pub(crate) first_place: u32,
}

/// Where the times of a file come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Its own lines.
    #[default]
    Own,
    /// What it shares with other files: ids of calls and turns, texts.
    Matched,
    /// Its own lines, moved by how much its clock differs from that of the others.
    Shifted,
    /// Nothing: it has none and shares nothing.
    None,
}

impl Clock {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Matched => "matched",
            Self::Shifted => "shifted",
            Self::None => "none",
        }
    }
}

/// A question beside the calls, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is asked for.
    pub asking: Asking,
    /// The id the file gives it.
    pub id: String,
    /// The entry of the question.
    pub opened: u32,
    /// The entry of the answer, or [`NONE`].
    pub closed: u32,
    /// Who answered: whoever drives the client, the client itself (an interrupt; a question that ended with its turn), or
    /// nobody.
    pub answerer: Answerer,
}

/// The index of one or several files.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The files, in the order in which they were given.
    pub files: Vec<TimelineFile>,
    /// The entries, by time; those of one file in its own order.
    pub entries: Vec<Entry>,
    /// Where texts of streamed events stand.
    pub places: Vec<Place>,
    /// Names of entries.
    pub names: Names,
    /// The threads.
    pub lanes: Vec<Lane>,
    /// The calls, in the order of each file.
    pub calls: Vec<Call>,
    /// What is asked for beside calls.
    pub asks: Vec<Ask>,
    changes: Changes,
    histories: Vec<Vec<History>>,
    requests: Vec<Vec<Asked>>,
}

/// Indexes one file: a session that was read from it, and its text once more (decompressed).
///
/// # Errors
/// What the reader returns.
pub fn read<R: Read>(name: &str, session: Session, reader: R) -> io::Result<Timeline> {
    let draft = match &session {
        Session::Rollout(rollout) => rolled::read(rollout, reader)?,
        Session::Recording(recording) => recorded::read(recording, reader)?,
    };
    Ok(finish(name, session, draft))
}

fn finish(name: &str, session: Session, draft: Draft) -> Timeline {
    let Draft {
        lines,
        mut entries,
        places,
        names,
        lanes,
        calls,
        changes,
        histories,
        requests,
        asks,
        tree,
    } = draft;
    let open = open_calls(&session);
    for call in calls
        .iter()
        .filter(|call| call.closed == NONE && call.opened != NONE)
    {
        if let Some(entry) = entries.get_mut(call.opened as usize) {
            entry.marks.set(Marks::OPEN);
        }
    }
    entries.shrink_to_fit();
    Timeline {
        files: vec![TimelineFile {
            name: name.to_owned(),
            lines,
            clock: Clock::Own,
            session,
            tree,
            causes: open
                .iter()
                .enumerate()
                .map(|(at, open)| ((open.item, open.lane), at))
                .collect(),
            open,
            first_lane: 0,
            first_place: 0,
        }],
        entries,
        places,
        names,
        lanes,
        calls,
        asks,
        changes: Changes::new(changes),
        histories,
        requests,
    }
}

/// Puts several timelines on one clock. Those of recordings begin where their first line says they were begun.
pub fn merge(mut parts: Vec<Timeline>) -> Timeline {
    if parts.len() == 1 {
        return parts.pop().unwrap_or_default();
    }
    for part in &mut parts {
        part.rebase();
    }
    shift(&mut parts);
    align(&mut parts);
    let joined = join::lanes(&mut parts);
    let mut all = Timeline::default();
    all.names.number("");
    let mut changes = Vec::new();
    // where each entry of each part comes to stand
    let mut order: Vec<(i64, usize, u32)> = Vec::new();
    for (part, timeline) in parts.iter().enumerate() {
        let mut time = i64::MIN;
        for (at, entry) in timeline.entries.iter().enumerate() {
            time = time.max(entry.time);
            order.push((time, part, at as u32));
        }
    }
    order.sort_unstable();
    let mut places: Vec<Vec<u32>> = parts
        .iter()
        .map(|part| vec![NONE; part.entries.len()])
        .collect();
    for (to, (_, part, from)) in order.iter().enumerate() {
        if let Some(slot) = places
            .get_mut(*part)
            .and_then(|it| it.get_mut(*from as usize))
        {
            *slot = to as u32;
        }
    }
    let mut moved: Vec<Entry> = Vec::with_capacity(order.len());
    let mut bases = Vec::new();
    let mut base = (0_u32, 0_u16, 0_u16, 0_u32);
    for part in &parts {
        bases.push(base);
        base.0 += part.calls.len() as u32;
        base.1 = base.1.saturating_add(part.lanes.len() as u16);
        base.2 = base.2.saturating_add(part.files.len() as u16);
        base.3 += part.places.len() as u32;
    }
    for (_, part, from) in &order {
        let (Some(timeline), Some((calls, lanes, files, spots))) =
            (parts.get(*part), bases.get(*part))
        else {
            continue;
        };
        let Some(mut entry) = timeline.entries.get(*from as usize).copied() else {
            continue;
        };
        entry.name = all.names.number(timeline.names.get(entry.name));
        entry.file += files;
        if let Some((other, lane)) = joined.get(&(*part, entry.lane)) {
            entry.lane = bases.get(*other).map_or(u16::MAX, |base| base.1) + lane;
        } else if entry.lane != u16::MAX {
            entry.lane += lanes;
        }
        if entry.call != NONE {
            entry.call += calls;
        }
        if entry.place != NONE {
            entry.place += spots;
        }
        moved.push(entry);
    }
    all.entries = moved;
    for ((part, base), places) in parts.into_iter().zip(bases).zip(&places) {
        let to = |entry: u32| places.get(entry as usize).copied().unwrap_or(NONE);
        changes.extend(part.changes.all().iter().map(|change| Change {
            entry: to(change.entry),
            call: change.call + base.0,
            what: change.what,
        }));
        all.calls.extend(part.calls.into_iter().map(|call| Call {
            file: call.file + base.2,
            lane: call.lane.saturating_add(base.1),
            first: to(call.first),
            opened: to(call.opened),
            closed: to(call.closed),
            answered: to(call.answered),
            ..call
        }));
        all.asks.extend(part.asks.into_iter().map(|ask| Ask {
            opened: to(ask.opened),
            closed: to(ask.closed),
            ..ask
        }));
        all.lanes.extend(part.lanes.into_iter().map(|lane| Lane {
            file: lane.file + base.2,
            ..lane
        }));
        all.places.extend(part.places);
        all.files
            .extend(part.files.into_iter().map(|file| TimelineFile {
                first_lane: base.1,
                first_place: base.3,
                ..file
            }));
        all.histories.extend(part.histories.into_iter().map(|lane| {
            let moved = lane.into_iter().map(|it| History {
                entry: to(it.entry),
                ..it
            });
            moved.collect()
        }));
        all.requests.extend(part.requests.into_iter().map(|lane| {
            let moved = lane.into_iter().map(|it| Asked {
                entry: to(it.entry),
                ..it
            });
            moved.collect()
        }));
    }
    changes.extend(join::calls(&mut all));
    changes.sort_by_key(|change| change.entry);
    all.changes = Changes::new(changes);
    all
}

/// Whether a part is a client's event log.
pub(super) fn is_log(part: &Timeline) -> bool {
    let session = part.files.first().map(|file| &file.session);
    matches!(session, Some(Session::Recording(recording)) if recording.origin == Origin::Events)
}

impl Timeline {
    /// What is known of histories, by lane.
    pub(super) fn histories_mut(&mut self) -> &mut Vec<Vec<History>> {
        self.requests.clear();
        &mut self.histories
    }

    /// Gives a recording the clock of the world, if its first line says when it was begun.
    fn rebase(&mut self) {
        let Some(Session::Recording(recording)) = self.files.first().map(|file| &file.session)
        else {
            return;
        };
        let created = recording.header.created_at.as_deref();
        let Some(begun) = created.and_then(super::lines::micros) else {
            return;
        };
        for entry in &mut self.entries {
            if entry.time != i64::MIN {
                entry.time += begun;
            }
        }
    }

    /// When its recording was begun, in microseconds since the epoch; 0 where nothing says it.
    pub(super) fn begun(&self) -> i64 {
        match self.files.first().map(|file| &file.session) {
            Some(Session::Recording(recording)) => {
                let created = recording.header.created_at.as_deref();
                created.and_then(super::lines::micros).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// The calls that are open or half behind an entry, in the order in which they were opened.
    pub fn state_at(&self, entry: u32) -> Vec<Pending> {
        self.changes.state_at(entry)
    }

    /// What happened to calls at an entry.
    pub fn changes_at(&self, entry: u32) -> &[Change] {
        self.changes.at(entry)
    }

    /// Everything that happened to calls.
    pub fn changes(&self) -> &[Change] {
        self.changes.all()
    }

    /// The history of a lane behind an entry: what the next request would carry, or go on from.
    pub fn history_at(&self, lane: u16, entry: u32) -> Node {
        let Some(of_lane) = self.histories.get(lane as usize) else {
            return Node::ROOT;
        };
        let end = of_lane.partition_point(|it| it.entry <= entry);
        end.checked_sub(1)
            .and_then(|at| of_lane.get(at))
            .map_or(Node::ROOT, |it| it.node)
    }

    /// The requests of a lane.
    pub fn requests(&self, lane: u16) -> &[Asked] {
        self.requests.get(lane as usize).map_or(&[], Vec::as_slice)
    }

    /// The last request of a lane at or before an entry, and the next one behind it.
    pub fn requests_around(&self, lane: u16, entry: u32) -> (Option<Asked>, Option<Asked>) {
        let of_lane = self.requests(lane);
        let end = of_lane.partition_point(|it| it.entry <= entry);
        let before = end.checked_sub(1).and_then(|at| of_lane.get(at));
        (before.copied(), of_lane.get(end).copied())
    }

    /// The questions that are open behind an entry.
    pub fn asks_at(&self, entry: u32) -> impl Iterator<Item = &Ask> {
        self.asks
            .iter()
            .filter(move |ask| ask.opened <= entry && (ask.closed == NONE || ask.closed > entry))
    }

    /// The cause and tool of a call that is open at the end of its file.
    pub fn cause(&self, call: u32) -> Option<&OpenCall> {
        let call = self.calls.get(call as usize)?;
        let file = self.files.get(call.file as usize)?;
        let lane = u32::from(call.lane.saturating_sub(file.first_lane));
        file.open.get(*file.causes.get(&(call.item, lane))?)
    }

    /// The items of a file.
    pub fn items(&self, file: u16) -> Option<&Items> {
        Some(match &self.files.get(file as usize)?.session {
            Session::Rollout(rollout) => &rollout.items,
            Session::Recording(recording) => &recording.items,
        })
    }

    /// One item.
    pub fn item(&self, file: u16, item: u32) -> Option<&Item> {
        self.items(file)?.get(ItemIndex(item))
    }

    /// The id of a call.
    pub fn call_id(&self, call: u32) -> &str {
        let Some(call) = self.calls.get(call as usize) else {
            return "";
        };
        self.key_id(call.file, call.key)
    }

    /// The id of a pair of a file.
    pub fn key_id(&self, file: u16, key: CallKey) -> &str {
        self.items(file).map_or("", |items| items.call_id(key))
    }

    /// The name of a lane.
    pub fn lane_name(&self, lane: u16) -> &str {
        self.lanes.get(lane as usize).map_or("", |lane| &lane.name)
    }

    /// How long the timeline is, in microseconds from its first time on; and that first time.
    pub fn span(&self) -> Option<(i64, i64)> {
        let first = self.entries.iter().find_map(Entry::time)?;
        let last = self.entries.iter().rev().find_map(Entry::time)?;
        Some((first, last))
    }

    /// The next entry behind `from` (or before it) with one of these marks.
    pub fn next(&self, from: u32, marks: Marks, backwards: bool) -> Option<u32> {
        let has = |entry: &Entry| entry.marks.has(marks);
        if backwards {
            let before = self.entries.get(..from as usize)?;
            return before.iter().rposition(has).map(|at| at as u32);
        }
        let behind = self.entries.get(from as usize + 1..)?;
        behind.iter().position(has).map(|at| from + 1 + at as u32)
    }
}

impl TimelineFile {
    /// Whether it is a recording.
    pub fn is_recording(&self) -> bool {
        matches!(self.session, Session::Recording(_))
    }
}
