//! Where the wire, the disk and the client's log disagree, and what a compaction, a resume or a shutdown left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Elsewhere, Named, Source};
use crate::check::finding::{Finding, Rule, Severity};
use crate::events::{What, canonical};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::ledger::Ledger;
use crate::rollout::Step;
use crate::session::Session;
use crate::session::exchange::{NO_LANE, Purpose, Recording};
use crate::timeline::{Cause, OpenCall, Tool};
use crate::wire::item::{Flags, Items};

fn elsewhere(path: Option<&str>, line: LineNo) -> Elsewhere {
    Elsewhere {
        path: path.map(Into::into),
        line,
    }
}

/// `compacted_over_open_call`.
pub(super) fn compactions(session: &Session, path: Option<&str>, found: &mut Vec<Finding>) {
    let Session::Rollout(rollout) = session else {
        return;
    };
    let compacts = |step: &Step| matches!(step, Step::Replaced { .. } | Step::Summarised(..));
    if !rollout.steps.iter().any(compacts) {
        return;
    }
    let mut ledger = Ledger::for_items(&rollout.items);
    let mut told: BTreeSet<CallKey> = BTreeSet::new();
    let mut own = true;
    for step in &rollout.steps {
        match step {
            Step::File(file) => own = *file == 0,
            Step::Item(index) => {
                if let Some(item) = rollout.items.get(*index) {
                    ledger.push(*index, item);
                }
            }
            Step::Replaced { line, .. } | Step::Summarised(line, _) if own => {
                for (position, &call) in ledger.open() {
                    if !told.insert(call) {
                        continue;
                    }
                    let slot = ledger.slot(*position);
                    let item = slot.and_then(|it| rollout.items.get(it.item));
                    let id = rollout.items.call_id(call);
                    let at = item.map_or(0, |it| it.line);
                    let mut finding =
                        Finding::new(Rule::CompactedOverOpenCall, Severity::Info, 0, at);
                    finding.message = format!(
                        "{id} was open when the history was compacted at line {line}: what came of it stands behind a history that does not know it"
                    );
                    finding.call_id = Some(id.into());
                    finding.path = path.map(Into::into);
                    finding.also = vec![elsewhere(path, *line)];
                    found.push(finding);
                }
            }
            _ => {}
        }
    }
}

/// The UUID at the end of a text, in canonical form.
fn thread_in(text: &str) -> Option<String> {
    let stem = text
        .strip_suffix(".zst")
        .unwrap_or(text)
        .trim_end_matches(['"', '\'']);
    let stem = stem.strip_suffix(".jsonl").unwrap_or(stem);
    let id = stem.get(stem.len().checked_sub(36)?..)?;
    uuid::Uuid::try_parse(id).ok()?;
    Some(canonical(id).into_owned())
}

/// `resumed_elsewhere`: the command names a thread, and only rollouts of others were written.
pub(super) fn resumed(session: &Session, path: Option<&str>, found: &mut Vec<Finding>) {
    let Session::Recording(recording) = session else {
        return;
    };
    let command = &recording.header.command;
    let wanted = command.iter().enumerate().find_map(|(at, word)| {
        let before = at.checked_sub(1).and_then(|it| command.get(it));
        let named =
            before.is_some_and(|it| it == "resume") || word.starts_with("experimental_resume=");
        named.then(|| thread_in(word)).flatten()
    });
    let Some(wanted) = wanted else { return };
    let log = &recording.events;
    let mut first: Option<(LineNo, String)> = None;
    for event in log.events.iter().filter(|it| it.stream > 0) {
        let Some(path) = log.rollout(event.stream) else {
            continue;
        };
        let Some(thread) = thread_in(path) else {
            continue;
        };
        if thread == wanted {
            return;
        }
        first.get_or_insert((event.line, path.to_owned()));
    }
    let Some((line, file)) = first else { return };
    let mut finding = Finding::new(Rule::ResumedElsewhere, Severity::Warning, 0, line);
    finding.message =
        format!("thread {wanted} was to be taken up again, but what follows was written to {file}");
    finding.path = path.map(Into::into);
    found.push(finding);
}

/// `finished_not_told`: a call that is open at the end although its tool finished.
pub(super) fn finished(
    session: &Session,
    open: &[OpenCall],
    others: &[Named<'_>],
    sources: &[Source<'_>],
    found: &mut Vec<Finding>,
) {
    let items = crate::check::items(session);
    // an output that stands on disk was told to the file at least
    let disks = match session {
        Session::Recording(_) if !open.is_empty() => disks(session, others),
        _ => BTreeMap::new(),
    };
    for call in open {
        // what a compaction took away nobody waits for
        if !call.effective || call.file > 0 {
            continue;
        }
        // an output that was sent and lost again is told as such
        let sent = matches!(
            call.cause,
            Cause::SentInUnfinishedResponse { .. }
                | Cause::ChainWentBack { .. }
                | Cause::LeftOut { .. }
        );
        if sent {
            continue;
        }
        // copied or killed while it ran: the line may have been about to come
        let on_disk = || {
            disks
                .values()
                .any(|disk| disk.calls.contains_key(items.call_id(call.call)))
        };
        let pending =
            call.cause == Cause::InFlight || call.cause == Cause::InterruptedAtEnd && !on_disk();
        let severity = if pending {
            Severity::Info
        } else {
            Severity::Warning
        };
        let id = items.call_id(call.call);
        if disks.values().any(|disk| disk.outputs.contains_key(id)) {
            continue;
        }
        let mut also = Vec::new();
        let mut line = None;
        if let Tool::Finished(at) = call.tool {
            line = Some((None, at));
        }
        for source in sources {
            let Some(known) = source.log.find(id) else {
                continue;
            };
            let runs = source.story.runs.iter().filter(|it| it.call == known);
            for end in runs.filter_map(|run| run.ended.first()) {
                also.push(source.place(*end));
                line = line.or(Some((source.path, source.line(*end))));
            }
        }
        let Some((path, line)) = line else { continue };
        let place = match path {
            Some(path) => format!("{path}:{line}"),
            None => format!("line {line}"),
        };
        let mut finding = Finding::new(Rule::FinishedNotTold, severity, call.lane, call.line);
        finding.message = format!(
            "the tool of {id} finished ({place}), but no later request or line carries its output"
        );
        finding.call = Some(call.call);
        finding.item = Some(call.kind);
        finding.also = also;
        found.push(finding);
    }
}

/// What of one thread stands on disk.
#[derive(Default)]
struct Disk {
    /// Calls and outputs by id: their lines.
    calls: BTreeMap<String, (Option<String>, LineNo)>,
    outputs: BTreeMap<String, (Option<String>, LineNo)>,
    /// The last line on file.
    last: Option<(Option<String>, LineNo)>,
    /// Whether the first line of the rollout is among what is on file.
    whole: bool,
}

/// The sessions with their paths, recordings in the order in which they were begun, then rollouts.
fn in_time<'a>(session: &'a Session, others: &[Named<'a>]) -> Vec<(Option<&'a str>, &'a Session)> {
    let own = std::iter::once((None, session));
    let others = others.iter().map(|it| (Some(it.name), it.session));
    let mut all: Vec<_> = own.chain(others).collect();
    all.sort_by_key(|(_, it)| match it {
        Session::Recording(recording) => (false, recording.header.created_at.clone()),
        Session::Rollout(_) => (true, None),
    });
    all
}

/// What stands on disk, by canonical thread id.
fn disks(session: &Session, others: &[Named<'_>]) -> BTreeMap<String, Disk> {
    let mut disks: BTreeMap<String, Disk> = BTreeMap::new();
    for (path, session) in in_time(session, others) {
        match session {
            Session::Rollout(rollout) => {
                let Some(thread) = rollout.meta.thread_id.as_deref() else {
                    continue;
                };
                let disk = disks.entry(canonical(thread).into_owned()).or_default();
                disk.whole = !rollout.incomplete;
                disk.last = Some((path.map(str::to_owned), rollout.lines));
                for at in 0..rollout.items.len() as u32 {
                    let item = rollout.items.get(ItemIndex(at));
                    let Some((item, call)) = item.and_then(|it| Some((it, it.call?))) else {
                        continue;
                    };
                    let id = rollout.items.call_id(call).to_owned();
                    let place = (path.map(str::to_owned), item.line);
                    if item.kind.is_call() {
                        disk.calls.entry(id).or_insert(place);
                    } else {
                        disk.outputs.entry(id).or_insert(place);
                    }
                }
            }
            Session::Recording(recording) => {
                let log = &recording.events;
                for event in log.events.iter().filter(|it| it.stream > 0) {
                    let Some(thread) = event.thread else {
                        continue;
                    };
                    let thread = log.text(thread).to_owned();
                    let disk = disks.entry(thread).or_default();
                    disk.whole = true;
                    let place = (path.map(str::to_owned), event.line);
                    disk.last = Some(place.clone());
                    let Some(call) = event.call else {
                        continue;
                    };
                    let id = log.text(call).to_owned();
                    match event.what {
                        What::CallWritten => {
                            disk.calls.entry(id).or_insert(place);
                        }
                        What::OutputWritten => {
                            disk.outputs.entry(id).or_insert(place);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    disks
}

/// `not_on_disk` and `not_sent`: where wire and disk of one thread disagree.
pub(super) fn disagree(session: &Session, others: &[Named<'_>], found: &mut Vec<Finding>) {
    let disks = disks(session, others);
    if disks.is_empty() {
        return;
    }
    let mut wires: BTreeMap<String, Wire> = BTreeMap::new();
    // a conversation may go on in the recording of another process
    for (path, session) in in_time(session, others) {
        let Session::Recording(recording) = session else {
            continue;
        };
        for (number, lane) in recording.lanes.iter().enumerate() {
            let thread = canonical(&lane.name).into_owned();
            if disks.get(&thread).is_some_and(|it| it.whole) {
                let wire = wires.entry(thread).or_default();
                wire.add(path, recording, number as u32);
            }
        }
    }
    for (thread, wire) in &wires {
        if let Some(disk) = disks.get(thread) {
            of_thread(wire, disk, found);
        }
    }
}

/// A place on the wire.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: Option<&'a str>,
    line: LineNo,
    /// The lane, where it is one of the session's own.
    lane: u32,
    /// How many exchanges of the thread stood before it, it included.
    exchange: usize,
    /// Whether a text says that it was made up.
    made_up: bool,
}

/// What went over the wire in one thread.
#[derive(Default)]
struct Wire<'a> {
    /// Calls that came whole.
    calls: BTreeMap<&'a str, Place<'a>>,
    /// Outputs that were sent, at the first request that carries them.
    outputs: BTreeMap<&'a str, Place<'a>>,
    exchanges: usize,
}

impl<'a> Wire<'a> {
    fn add(&mut self, path: Option<&'a str>, recording: &'a Recording, lane: u32) {
        let items: &Items = &recording.items;
        let mut nodes = BTreeSet::new();
        for exchange in &recording.exchanges {
            if exchange.lane != lane
                || exchange.lane == NO_LANE
                || exchange.purpose != Purpose::Turn
            {
                continue;
            }
            self.exchanges += 1;
            let place = |line, made_up| Place {
                path,
                line,
                lane: if path.is_none() { lane } else { 0 },
                exchange: self.exchanges,
                made_up,
            };
            // a request shares its beginning with those before it
            let mut node = exchange.request.input;
            while nodes.insert(node)
                && let Some((before, index)) = recording.tree.pop(node)
            {
                node = before;
                let item = items.get(index);
                let Some((item, call)) = item.and_then(|it| Some((it, it.call?))) else {
                    continue;
                };
                if item.kind.is_output() {
                    let place = place(exchange.line, item.flags.has(Flags::ABORTED));
                    self.outputs.entry(items.call_id(call)).or_insert(place);
                }
            }
            for &index in &exchange.answer.done {
                let item = items.get(index);
                let Some((item, call)) = item.and_then(|it| Some((it, it.call?))) else {
                    continue;
                };
                if item.kind.is_call() {
                    let place = place(item.line.max(exchange.line), false);
                    self.calls.entry(items.call_id(call)).or_insert(place);
                }
            }
        }
    }

    /// Whether the conversation went on behind a place.
    fn goes_on(&self, place: &Place<'_>) -> bool {
        self.exchanges > place.exchange
    }
}

fn of_thread(wire: &Wire<'_>, disk: &Disk, found: &mut Vec<Finding>) {
    let mut add = |rule, severity, (path, line, lane), id: &str, message, also| {
        let mut finding = Finding::new(rule, severity, lane, line);
        finding.path = path;
        finding.call_id = Some(id.into());
        finding.message = message;
        finding.also = also;
        found.push(finding);
    };
    let on_wire = |it: &Place<'_>| (it.path.map(Box::from), it.line, it.lane);
    for (&id, place) in &wire.calls {
        if disk.calls.contains_key(id) {
            continue;
        }
        // a disk that holds the output has lost the call
        let last = disk.last.as_ref();
        let also = disk
            .outputs
            .get(id)
            .or(last)
            .iter()
            .map(|(file, line)| elsewhere(file.as_deref(), *line))
            .collect();
        let (severity, message) = if wire.goes_on(place) {
            let what = format!(
                "{id} came over the wire, and the conversation went on, but no line of the rollout holds it"
            );
            (Severity::Warning, what)
        } else {
            let what = format!(
                "{id} came over the wire last, and no line of the rollout holds it: whoever takes the thread up again does not know of it"
            );
            (Severity::Info, what)
        };
        let mut message: String = message;
        if let Some((file, line)) = last
            && file.as_deref() == place.path
        {
            let _ = write!(message, " (it is on file up to line {line})");
        }
        add(Rule::NotOnDisk, severity, on_wire(place), id, message, also);
    }
    for (&id, place) in &wire.outputs {
        // whose call is not on disk either is told above, or is older than the file
        let Some((file, at)) = disk.calls.get(id) else {
            continue;
        };
        if disk.outputs.contains_key(id) {
            continue;
        }
        let also = vec![elsewhere(file.as_deref(), *at)];
        let (severity, message) = if place.made_up {
            let what = format!(
                "the output of {id} was made up while sending; the rollout holds the call alone"
            );
            (Severity::Info, what)
        } else {
            let what = format!("the output of {id} was sent, but no line of the rollout holds it");
            (Severity::Warning, what)
        };
        add(Rule::NotOnDisk, severity, on_wire(place), id, message, also);
    }
    for (id, (file, at)) in &disk.outputs {
        let Some(place) = wire.calls.get(id.as_str()) else {
            continue;
        };
        if wire.outputs.contains_key(id.as_str()) || !wire.goes_on(place) {
            continue;
        }
        let message =
            format!("the rollout holds an output of {id}, but no later request carries it");
        let also = vec![elsewhere(place.path, place.line)];
        let file = file.as_deref().map(Box::from);
        let lane = if file.is_none() { place.lane } else { 0 };
        add(
            Rule::NotSent,
            Severity::Warning,
            (file, *at, lane),
            id,
            message,
            also,
        );
    }
}
