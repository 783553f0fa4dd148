//! The timeline as one JSON document.

use std::cell::RefCell;
use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use crate::events::{Answerer, Story};
use crate::replay::client;
use crate::report::json::{SCHEMA, problems};
use crate::report::lazy::{Each, write_pretty};
use crate::session::Session;
use crate::session::exchange::{Exchange, NO_LANE, Origin, Purpose, Recording};
use crate::session::format::{cause_name, transport_name};
use crate::timeline::text::item_of;
use crate::timeline::words::MAX_SAID;
use crate::timeline::{Ask, Call, Entry, Marks, NONE, Source, Timeline, What};
use crate::wire::event::Terminal;

/// Writes the document. Long lists are written as they are made.
///
/// # Errors
/// What reading a file again, or writing, returns.
pub fn write(
    out: &mut dyn io::Write,
    timeline: &Timeline,
    sources: &mut [Box<dyn Source>],
) -> io::Result<()> {
    let sources = RefCell::new(sources);
    let calls = 0..timeline.calls.len() as u32;
    write_pretty(
        out,
        &Document {
            schema: SCHEMA,
            files: Each(|| (0..timeline.files.len() as u16).filter_map(|at| file(timeline, at))),
            lanes: Each(|| {
                timeline.lanes.iter().map(
                    |lane| json!({"name": lane.name, "parent": lane.parent, "file": lane.file}),
                )
            }),
            turns: Each(|| turns(timeline)),
            exchanges: Each(|| exchanges(timeline)),
            calls: Each(|| calls.clone().filter_map(|at| call(timeline, at, &sources))),
            asks: Each(|| timeline.asks.iter().map(|it| ask(timeline, it))),
            cuts: Each(|| marked(timeline, Marks::CUT)),
            refusals: Each(|| refusals(timeline)),
            findings: Each(|| findings(timeline)),
        },
    )
}

#[derive(Serialize)]
struct Document<A, B, C, D, E, F, G, H, I> {
    schema: u32,
    files: A,
    lanes: B,
    turns: C,
    exchanges: D,
    calls: E,
    asks: F,
    cuts: G,
    refusals: H,
    findings: I,
}

fn findings(timeline: &Timeline) -> Vec<Value> {
    let Some(first) = timeline.files.first() else {
        return Vec::new();
    };
    let items = crate::check::items(&first.session);
    let found = super::findings(timeline);
    let found = found.iter();
    found
        .map(|it| crate::report::json::finding(it, &first.name, items))
        .collect()
}

fn file(timeline: &Timeline, at: u16) -> Option<Value> {
    let file = timeline.files.get(at as usize)?;
    let client = client(&file.session);
    let era = match &file.session {
        Session::Rollout(rollout) => Some(rollout.era.name()),
        Session::Recording(_) => None,
    };
    Some(json!({
        "path": file.name,
        "source": match &file.session {
            Session::Rollout(_) => "rollout",
            Session::Recording(recording) if recording.origin == Origin::Events => "events",
            Session::Recording(_) => "recording",
        },
        "era": era,
        "clock": file.clock.name(),
        "client": {"name": client.name, "version": client.version},
        "lines": file.lines.len(),
        "bytes": file.lines.bytes(),
        "events": events(&file.session),
        "problems": problems(file.session.problems(), None),
    }))
}

/// What the client said of itself: counts. Null where nothing of that is on file.
fn events(session: &Session) -> Value {
    let log = match session {
        Session::Rollout(rollout) => &rollout.events,
        Session::Recording(recording) => &recording.events,
    };
    if log.is_empty() {
        return Value::Null;
    }
    let story = Story::of(log);
    let of_client = |it: &&crate::events::Event| it.stream == 0;
    // a recording holds the lines of rollouts beside: they tell of the same turns and tools
    let own = |event: Option<&usize>| {
        let event = event.and_then(|at| log.events.get(*at));
        event.is_some_and(|it| it.stream == 0)
    };
    let turns = story
        .turns
        .iter()
        .filter(|it| own(it.started.or(it.ended).as_ref()));
    let runs = story
        .runs
        .iter()
        .filter(|it| own(it.began.first().or(it.ended.first())));
    let threads = story
        .threads
        .iter()
        .filter(|it| it.id.is_some() && it.stream == 0);
    let mut types = std::collections::BTreeMap::<&str, u32>::new();
    let mut ended = None;
    for event in log.events.iter().filter(of_client) {
        *types.entry(log.name(event)).or_default() += 1;
        if matches!(event.what, crate::events::What::TurnEnded(_)) {
            ended = Some(log.name(event));
        }
    }
    let closed = ["item.completed", "item/completed", "item_completed"];
    let closed: u32 = closed.iter().filter_map(|it| types.get(it)).sum();
    let said = |what: crate::events::What| {
        let events = log.events.iter().filter(of_client);
        events.filter(|it| it.what == what).count()
    };
    json!({
        "log": log.source.map(crate::events::Source::name),
        "events": log.events.iter().filter(of_client).count(),
        "types": types,
        "closed_items": closed,
        "terminal": ended,
        "threads": threads.count(),
        "turns": turns.count(),
        "tool_calls": runs.count(),
        "messages": story.messages.len(),
        "agent_messages": said(crate::events::What::AgentText),
        "errors": said(crate::events::What::Error),
        "interrupts": story.interrupts.len(),
        "questions": story.asks.len(),
    })
}

/// Where an entry stands.
fn place(timeline: &Timeline, at: u32) -> Value {
    match timeline.entries.get(at as usize) {
        Some(entry) => json!({
            "file": entry.file,
            "line": entry.line,
            "exchange": Some(entry.exchange).filter(|it| *it > 0),
            "time_us": since(timeline, entry),
        }),
        None => Value::Null,
    }
}

/// Microseconds since the first time of the timeline.
fn since(timeline: &Timeline, entry: &Entry) -> Option<i64> {
    let (first, _) = timeline.span()?;
    Some(entry.time()? - first)
}

fn turns(timeline: &Timeline) -> impl Iterator<Item = Value> + '_ {
    let mut found: Vec<(u16, u32, u32, u32)> = Vec::new();
    let mut last: std::collections::BTreeMap<u16, usize> = std::collections::BTreeMap::new();
    for (at, entry) in timeline.entries.iter().enumerate() {
        if entry.lane == u16::MAX || entry.turn == 0 {
            continue;
        }
        let at = at as u32;
        match last.get(&entry.lane).and_then(|it| found.get_mut(*it)) {
            Some(turn) if turn.1 == entry.turn => turn.3 = at,
            Some(turn) if turn.1 > entry.turn => {}
            _ => {
                last.insert(entry.lane, found.len());
                found.push((entry.lane, entry.turn, at, at));
            }
        }
    }
    found.into_iter().map(move |(lane, turn, first, last)| {
        json!({
            "lane": timeline.lane_name(lane),
            "turn": turn,
            "first": place(timeline, first),
            "last": place(timeline, last),
        })
    })
}

fn exchanges(timeline: &Timeline) -> impl Iterator<Item = Value> + '_ {
    let requests = timeline
        .entries
        .iter()
        .filter(|entry| entry.what == What::Request);
    requests.filter_map(|entry| {
        let recording = timeline.recording(entry.file)?;
        let exchange = timeline.exchange(entry)?;
        Some(exchange_value(timeline, entry, recording, exchange))
    })
}

fn exchange_value(
    timeline: &Timeline,
    entry: &Entry,
    recording: &Recording,
    exchange: &Exchange,
) -> Value {
    let response = |key: crate::ids::ResponseKey| {
        String::from_utf8_lossy(recording.responses.text(key.0)).into_owned()
    };
    let answer = &exchange.answer;
    json!({
        "file": entry.file,
        "exchange": exchange.number,
        "lane": (exchange.lane != NO_LANE).then(|| timeline.lane_name(entry.lane)),
        "purpose": match exchange.purpose {
            Purpose::Turn => "turn",
            Purpose::WarmUp => "warm_up",
            Purpose::Side => "side",
            Purpose::NotJudged => "other",
        },
        "turn": exchange.turn,
        "attempt": exchange.attempt,
        "transport": transport_name(exchange.transport),
        "line": exchange.line,
        "end_line": Some(exchange.end_line).filter(|it| *it > 0),
        "time_us": since(timeline, entry),
        "input_items": recording.tree.len(exchange.request.input),
        "previous_response_id": exchange.request.previous.map(response),
        "response_id": answer.response.map(response),
        "status": answer.status,
        "events": answer.events,
        "output_items": answer.done.len(),
        "half_items": answer.half.len(),
        "terminal": answer.terminal.map(terminal),
        "end": answer.end.map(cause_name),
        "cut": answer.is_cut() && exchange.purpose != Purpose::NotJudged,
    })
}

fn terminal(terminal: Terminal) -> &'static str {
    match terminal {
        Terminal::Completed => "completed",
        Terminal::Incomplete => "incomplete",
        Terminal::Failed => "failed",
        Terminal::Error => "error",
    }
}

fn call(timeline: &Timeline, at: u32, sources: &RefCell<&mut [Box<dyn Source>]>) -> Option<Value> {
    let call: &Call = timeline.calls.get(at as usize)?;
    let open = call.closed == NONE && call.opened != NONE;
    let cause = timeline.cause(at).filter(|_| open);
    let name = match timeline.recording(call.file) {
        Some(recording) => recording
            .labels
            .get(call.item.0 as usize)
            .and_then(|label| label.name.as_deref().map(str::to_owned)),
        None => read_name(timeline, call, *sources.borrow_mut()),
    };
    Some(json!({
        "call_id": timeline.call_id(at),
        "type": call.kind.name(),
        "name": name,
        "lane": timeline.lane_name(call.lane),
        "begun": place(timeline, call.first),
        "opened": place(timeline, call.opened),
        "closed": place(timeline, call.closed),
        "closed_by": call.closing.map(crate::timeline::Closing::name),
        "open": open,
        "cause": cause.map(|it| it.cause.name()),
        "tool": cause.map(|it| it.tool.name()),
        "effective": cause.map(|it| it.effective),
    }))
}

/// The tool's name, read again from the line of the call; none for what a compaction brought along.
fn read_name(timeline: &Timeline, call: &Call, sources: &mut [Box<dyn Source>]) -> Option<String> {
    let entry = timeline.entries.get(call.first as usize)?;
    let source = sources.get_mut(entry.file as usize)?;
    let text = timeline.text(entry, source, MAX_SAID).ok()?;
    let value: Value = serde_json::from_str(&text.text).ok()?;
    let name = item_of(&value)?.get("name")?.as_str()?;
    Some(name.to_owned())
}

fn ask(timeline: &Timeline, ask: &Ask) -> Value {
    json!({
        "kind": ask.asking.name(),
        "id": ask.id,
        "asked": place(timeline, ask.opened),
        "answered": place(timeline, ask.closed),
        "answered_by": match ask.answerer {
            Answerer::Driver => Some("driver"),
            Answerer::Client => Some("client"),
            Answerer::Nobody => None,
        },
    })
}

fn marked(timeline: &Timeline, marks: Marks) -> Vec<Value> {
    let entries = timeline.entries.iter().enumerate();
    let found = entries
        .filter(|(_, entry)| entry.marks.has(marks))
        .map(|(at, entry)| {
            json!({
                "at": place(timeline, at as u32),
                "lane": (entry.lane != u16::MAX).then(|| timeline.lane_name(entry.lane)),
                "what": timeline.names.get(entry.name),
            })
        });
    found.collect()
}

fn refusals(timeline: &Timeline) -> Vec<Value> {
    let mut found = Vec::new();
    for (at, entry) in timeline.entries.iter().enumerate() {
        if !entry.marks.has(Marks::REFUSAL) {
            continue;
        }
        let refusal = timeline
            .exchange(entry)
            .and_then(|it| it.answer.refusal.as_ref());
        let named = refusal.and_then(|it| it.named.as_ref());
        found.push(json!({
            "at": place(timeline, at as u32),
            "lane": (entry.lane != u16::MAX).then(|| timeline.lane_name(entry.lane)),
            "status": refusal.map(|it| it.status),
            "message": refusal.map(|it| &it.message),
            "kind": named.map(|it| it.kind.name()),
            "id": named.map(|it| &it.id),
        }));
    }
    found
}
