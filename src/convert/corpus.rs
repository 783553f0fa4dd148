//! Converts and reads a folder of captures named by `REPLAY_CORPUS`, and holds what was read against the logs' own
//! verdicts. Without the variable the tests do nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{from_exchanges, from_lab_log};
use crate::session::exchange::{EndCause, Purpose, Recording};
use crate::session::sniff::{Kind, foreign, sniff};
use crate::session::writer::Writer;
use crate::session::{exchanges, reader};
use crate::wire::event::ResponseFold;
use crate::wire::sse::{Mode, frames};

#[expect(
    clippy::disallowed_methods,
    reason = "a test that is asked for by name"
)]
fn corpus() -> Option<PathBuf> {
    std::env::var_os("REPLAY_CORPUS").map(PathBuf::from)
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
}

/// What a log itself says of one request.
#[derive(Default)]
struct Own {
    items: Option<u64>,
    status: Option<u64>,
    done: Vec<Value>,
    previous: Value,
    lane: Option<String>,
    websocket: bool,
    body: Value,
    thread: Option<String>,
}

fn own(log: &str) -> BTreeMap<u32, Own> {
    let mut found: BTreeMap<u32, Own> = BTreeMap::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let own = found.entry(line["n"].as_u64().unwrap() as u32).or_default();
        match line["kind"].as_str().unwrap() {
            "request" => {
                own.previous = line["body"]["previous_response_id"].clone();
                own.websocket = line["method"] == "WS";
                own.body = line["body"].clone();
                let headers = line["headers"].as_array().cloned().unwrap_or_default();
                own.thread = headers
                    .iter()
                    .find(|it| it[0] == "thread-id")
                    .map(|it| it[1].as_str().unwrap().to_owned());
            }
            "verdict" => {
                own.items = line["items"].as_u64();
                own.lane = line["lane"].as_str().map(str::to_owned);
            }
            "response" => {
                own.status = line["status"].as_u64();
                own.done = line["body"]["output"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
            }
            "chunk" => {
                if !own.websocket {
                    own.status = Some(200);
                }
                if line["data"]["type"] == "response.output_item.done" {
                    own.done.push(line["data"]["item"].clone());
                }
            }
            _ => {}
        }
    }
    found
}

/// How many items a request and the responses it goes on from have.
fn context(recording: &Recording, at: usize) -> u64 {
    let exchange = &recording.exchanges[at];
    let own = u64::from(recording.tree.len(exchange.request.input));
    let before = exchange.request.previous.and_then(|id| {
        recording.exchanges[..at]
            .iter()
            .rposition(|it| it.answer.response == Some(id))
    });
    before.map_or(own, |before| {
        own + context(recording, before) + recording.exchanges[before].answer.done.len() as u64
    })
}

fn compare(name: &str, log: &str, recording: &Recording, off: &mut Vec<String>) {
    let mut sides: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let own = own(log);
    for (at, exchange) in recording.exchanges.iter().enumerate() {
        let said = &own[&exchange.number];
        let mut wrong = |what: &str, read: String, log: String| {
            if read != log {
                off.push(format!(
                    "{name} #{}: {what}: read {read}, log {log}",
                    exchange.number
                ));
            }
        };
        if exchange.purpose == Purpose::NotJudged {
            wrong(
                "judged",
                "no".into(),
                if said.items.is_some() { "yes" } else { "no" }.into(),
            );
            continue;
        }
        if let Some(items) = said.items {
            wrong(
                "items",
                context(recording, at).to_string(),
                items.to_string(),
            );
        }
        let input = match &said.body["input"] {
            Value::Array(items) => items.len(),
            Value::String(_) => 1,
            _ => 0,
        };
        wrong(
            "input",
            recording.tree.len(exchange.request.input).to_string(),
            input.to_string(),
        );
        let previous = exchange
            .request
            .previous
            .map(|id| String::from_utf8_lossy(recording.responses.text(id.0)).into_owned());
        wrong(
            "previous",
            format!("{previous:?}"),
            format!("{:?}", said.previous.as_str()),
        );
        wrong(
            "status",
            format!("{:?}", exchange.answer.status),
            format!("{:?}", said.status),
        );
        wrong(
            "done",
            exchange.answer.done.len().to_string(),
            said.done.len().to_string(),
        );
        if let Some(lane) = &said.lane {
            sides.entry(exchange.lane).or_default().insert(lane.clone());
            let side = if exchange.purpose == Purpose::Turn {
                "main"
            } else {
                "side"
            };
            wrong("side", side.into(), lane.clone());
        }
        if let Some(thread) = &said.thread {
            wrong(
                "thread",
                recording.lanes[exchange.lane as usize].name.clone(),
                thread.clone(),
            );
        }
    }
    let turns: BTreeSet<u32> = recording
        .exchanges
        .iter()
        .filter(|it| it.purpose == Purpose::Turn)
        .map(|it| it.lane)
        .collect();
    // a client that forgets its whole first turn leaves nothing that ties its next request to it
    let forgets = recording
        .exchanges
        .iter()
        .all(|it| it.request.previous.is_none());
    if turns.len() != 1 && !(forgets && recording.exchanges.len() == 2) {
        off.push(format!("{name}: {} lanes with turns", turns.len()));
    }
    for (lane, sides) in sides {
        if sides.len() > 1 && !name.ends_with("-ws") {
            off.push(format!("{name}: lane {lane} is {sides:?}"));
        }
    }
    if !recording.problems.is_empty() {
        off.push(format!("{name}: {:?}", recording.problems));
    }
}

#[test]
fn request_logs_are_read_as_they_judge_themselves() {
    let Some(corpus) = corpus() else { return };
    let mut logs = Vec::new();
    files(&corpus, "wire.jsonl", &mut logs);
    let (mut off, mut sizes, mut count) = (Vec::new(), (0, 0), 0);
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in &logs {
        let name = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy();
        let log = fs::read_to_string(path).unwrap();
        let mut writer = Writer::new(Vec::new());
        match from_lab_log(log.as_bytes(), &mut writer) {
            Ok(done) if done.problems.is_empty() => {}
            other => {
                off.push(format!("{name}: {other:?}"));
                continue;
            }
        }
        let bytes = writer.into_inner();
        sizes = (sizes.0 + log.len(), sizes.1 + bytes.len());
        for line in bytes
            .split(|byte| *byte == b'\n')
            .filter(|it| !it.is_empty())
        {
            let line: Value = serde_json::from_slice(line).unwrap();
            let delta = line["body_delta"].is_object();
            let kind = if delta {
                "delta"
            } else {
                line["kind"].as_str().unwrap()
            };
            let (count, size) = kinds.entry(kind.to_owned()).or_insert((0, 0));
            *count += 1;
            *size += line.to_string().len();
        }
        let recording = reader::read(bytes.as_slice()).unwrap();
        count += recording.exchanges.len();
        let client = &recording.client;
        let ends = |cause| {
            recording
                .exchanges
                .iter()
                .filter(|it| it.answer.end == Some(cause))
                .count()
        };
        println!(
            "{name}: {} {}; {} exchanges, lanes {:?}, turns {:?}, attempts {:?}, {} not held",
            client.name.as_deref().unwrap_or("-"),
            client.version.as_deref().unwrap_or("-"),
            recording.exchanges.len(),
            recording
                .exchanges
                .iter()
                .map(|it| it.lane.cast_signed())
                .collect::<Vec<_>>(),
            recording
                .exchanges
                .iter()
                .map(|it| it.turn)
                .collect::<Vec<_>>(),
            recording
                .exchanges
                .iter()
                .map(|it| it.attempt)
                .collect::<Vec<_>>(),
            ends(EndCause::NotHeld),
        );
        compare(&name, &log, &recording, &mut off);
    }
    println!("lines and bytes by kind: {kinds:?}");
    println!(
        "{} logs, {count} exchanges, {} -> {} bytes",
        logs.len(),
        sizes.0,
        sizes.1
    );
    assert!(off.is_empty(), "{} off:\n{}", off.len(), off.join("\n"));
}

#[test]
fn exchange_files_read_the_same_when_they_are_converted() {
    let Some(corpus) = corpus() else { return };
    let mut found = Vec::new();
    files(&corpus, ".exchanges.jsonl", &mut found);
    for path in &found {
        let name = path.file_name().unwrap().to_string_lossy();
        let bytes = fs::read(path).unwrap();
        let direct = exchanges::read(bytes.as_slice()).unwrap();
        let mut writer = Writer::new(Vec::new());
        let done = from_exchanges(bytes.as_slice(), &mut writer).unwrap();
        assert_eq!(done.problems, vec![]);
        let converted = reader::read(writer.into_inner().as_slice()).unwrap();
        assert_eq!(converted.problems, vec![]);
        for (left, right) in direct.exchanges.iter().zip(&converted.exchanges) {
            println!(
                "{name} #{}: lane {}, turn {}, attempt {}, {:?} {:?}, input {}, done {}, half {}, {} events{}, refusal {:?}",
                left.number,
                left.lane.cast_signed(),
                left.turn,
                left.attempt,
                left.answer.status,
                left.answer.terminal,
                direct.tree.len(left.request.input),
                left.answer.done.len(),
                left.answer.half.len(),
                left.answer.events,
                if left.answer.bad_sequence {
                    " bad sequence"
                } else {
                    ""
                },
                left.answer.refusal.as_ref().map(|it| &it.message),
            );
            assert_eq!(left.answer.done, right.answer.done, "{name}");
            assert_eq!(left.answer.terminal, right.answer.terminal, "{name}");
            assert_eq!(
                (left.lane, left.turn, left.attempt),
                (right.lane, right.turn, right.attempt),
                "{name}"
            );
            assert_eq!(left.answer.events, right.answer.events, "{name}");
        }
        assert_eq!(direct.exchanges.len(), converted.exchanges.len());
    }
}

#[test]
fn event_streams_without_blank_lines_are_framed_too() {
    let Some(corpus) = corpus() else { return };
    let mut found = Vec::new();
    files(&corpus, ".sse", &mut found);
    for path in &found {
        let bytes = fs::read(path).unwrap();
        let framed = frames(&bytes, Mode::Tolerant);
        let mut fold = ResponseFold::default();
        for data in framed.iter().filter_map(|it| it.data.as_deref()) {
            fold.data(data);
        }
        println!(
            "{}: {} frames, {} events, {} unread, {:?}, {} done",
            path.display(),
            framed.len(),
            fold.events,
            fold.unread,
            fold.terminal,
            fold.done.len()
        );
        assert!(fold.events > 0 && fold.unread == 0, "{}", path.display());
    }
}

#[test]
fn every_file_is_told_by_its_beginning() {
    let Some(corpus) = corpus() else { return };
    let mut found = Vec::new();
    for ending in [".jsonl", ".sse", ".json", ".txt"] {
        files(&corpus, ending, &mut found);
    }
    for path in &found {
        let bytes = fs::read(path).unwrap();
        let head = bytes.get(..4096).unwrap_or(&bytes);
        println!(
            "sniffed {:?} {:?} {}",
            sniff(head),
            foreign(head),
            path.display()
        );
        let name = path.file_name().unwrap().to_string_lossy();
        let expected = match () {
            () if name == "wire.jsonl" => Kind::LabLog,
            () if name.ends_with(".exchanges.jsonl") => Kind::Exchanges,
            () => Kind::Unknown,
        };
        if expected != Kind::Unknown || name.starts_with("rollout") {
            assert_eq!(sniff(head), expected, "{}", path.display());
        }
    }
}
