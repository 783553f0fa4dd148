//! The effective history of a rollout is what Codex sends when it resumes it (issue 2, point 2c): each `before-N` file of the
//! captures is held against the inputs of the requests on the wire.

use std::collections::BTreeMap;

use responses_replay::rollout::effective::Effective;
use responses_replay::rollout::{Era, NoLibrary, Rollout, reader};
use responses_replay::session::body::sha256;
use responses_replay::wire::raw::Object;
use serde_json::Value;

use crate::support::{capture, capture_names};

/// What must be equal of an item on disk and on the wire: kind, ids, role and every text, as hashes. Long texts on the wire
/// may have been cut by the lab to `<cut N characters, sha256 FIRST16>`.
fn sign(item: &Value, with_id: bool) -> String {
    let text = |key: &str| item[key].as_str().unwrap_or("");
    let mut sign = [text("type"), text("call_id"), text("role")].join(" ");
    if with_id {
        sign.push_str(text("id"));
    }
    let mut add = |text: &str| {
        let cut = text
            .starts_with("<cut ")
            .then(|| text.split_once("sha256 "));
        let hash = match cut.flatten() {
            Some((_, hash)) => hash.trim_end_matches('>').to_owned(),
            None => sha256(text.as_bytes())[..16].to_owned(),
        };
        sign.push(' ');
        sign.push_str(&hash);
    };
    for key in ["arguments", "input", "encrypted_content"] {
        add(text(key));
    }
    for key in ["content", "output", "summary"] {
        match &item[key] {
            Value::String(text) => add(text),
            Value::Array(parts) => parts
                .iter()
                .for_each(|part| add(part["text"].as_str().unwrap_or(""))),
            _ => {}
        }
    }
    sign
}

/// The inputs of all requests, bodies that are told as differences put together here once more.
fn inputs(session: &[u8]) -> Vec<Vec<Value>> {
    let session = std::str::from_utf8(session).unwrap();
    let mut bodies: BTreeMap<u64, String> = BTreeMap::new();
    let mut inputs = Vec::new();
    for line in session.lines() {
        let line = Object::read(line).unwrap();
        if line.text("kind").as_deref() != Some("request") {
            continue;
        }
        let text = line.text("body_text").map(String::from);
        let body = match (line.value("body"), line.value("body_delta")) {
            _ if text.is_some() => text.unwrap(),
            (Some(body), _) => body.to_owned(),
            (None, Some(delta)) => {
                let delta: Value = serde_json::from_str(delta).unwrap();
                let base = &bodies[&delta["base"].as_u64().unwrap()];
                let mut body = String::new();
                for op in delta["ops"].as_array().unwrap() {
                    let at = |n: usize| op["copy"][n].as_u64().unwrap() as usize;
                    match op["text"].as_str() {
                        Some(text) => body.push_str(text),
                        None => body.push_str(&base[at(0)..at(1)]),
                    }
                }
                assert_eq!(sha256(body.as_bytes()), delta["sha256"]);
                body
            }
            _ => continue,
        };
        let value: Value = serde_json::from_str(&body).unwrap();
        inputs.extend(value["input"].as_array().cloned());
        bodies.insert(line.number("exchange").unwrap(), body);
    }
    inputs
}

/// The effective history, item by item, read again from its lines.
fn effective(rollout: &Rollout, bytes: &[u8]) -> Vec<String> {
    let mut effective = Effective::new(rollout.era);
    for step in &rollout.steps {
        effective.apply(&rollout.items, step);
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    effective
        .path()
        .iter()
        .map(|index| {
            let item = rollout.items.get(*index).unwrap();
            let line: Value = serde_json::from_slice(lines[item.line as usize - 1]).unwrap();
            let payload = &line["payload"];
            let item = match payload.get("replacement_history") {
                Some(items) => &items[item.part as usize],
                None => payload,
            };
            sign(item, rollout.era >= Era::E4)
        })
        .collect()
}

/// How a request differs from a history.
#[derive(Debug)]
struct Difference {
    /// Outputs that say "aborted", put in by the client.
    repaired: usize,
    /// Other items between those of the history.
    foreign: usize,
    /// Items of the history that were not sent.
    missing: Vec<String>,
    /// Items behind the history.
    new: usize,
}

fn compare(disk: &[String], wire: &[Value], with_id: bool) -> Difference {
    let signs: Vec<String> = wire.iter().map(|item| sign(item, with_id)).collect();
    let mut difference = Difference {
        repaired: 0,
        foreign: 0,
        missing: Vec::new(),
        new: 0,
    };
    let mut next = 0;
    for wanted in disk {
        let Some(ahead) = signs[next..].iter().position(|sign| sign == wanted) else {
            difference.missing.push(wanted.clone());
            continue;
        };
        // in front of the history stand instructions
        if next > 0 {
            let repaired = aborted(&wire[next..next + ahead]);
            difference.repaired += repaired;
            difference.foreign += ahead - repaired;
        }
        next += ahead + 1;
    }
    let repaired = aborted(&wire[next..]);
    difference.repaired += repaired;
    difference.new = wire.len() - next - repaired;
    difference
}

fn aborted(items: &[Value]) -> usize {
    items
        .iter()
        .filter(|item| item["output"] == "aborted")
        .count()
}

#[test]
fn the_effective_history_is_what_was_sent_after_a_resume() {
    let mut off = Vec::new();
    let mut proven = 0;
    for name in capture_names() {
        let requests = inputs(&capture(&name, "session").unwrap());
        for resume in 1..=3 {
            let Some(bytes) = capture(&name, &format!("before-{resume}.rollout")) else {
                continue;
            };
            let rollout = reader::read(bytes.as_slice(), &NoLibrary).unwrap();
            if rollout.era < Era::E3 {
                continue;
            }
            let disk = effective(&rollout, &bytes);
            let found = requests
                .iter()
                .map(|wire| compare(&disk, wire, rollout.era >= Era::E4))
                .filter(|difference| difference.new > 0)
                .min_by_key(|difference| (difference.missing.len(), difference.new));
            let Some(found) = found else {
                off.push(format!("{name}: no request with anything new"));
                continue;
            };
            proven += 1;
            // a client that drops an output without its call does so when it sends
            let dropped = usize::from(name.starts_with("i_lost_call"));
            if found.missing.len() > dropped || found.foreign > 0 || disk.is_empty() {
                off.push(format!("{name}, resume {resume}: {found:?}"));
            }
        }
    }
    println!("{proven} resumes");
    assert!(off.is_empty(), "{}", off.join("\n"));
    assert!(proven >= 12, "{proven} resumes");
}
