//! Holds every resume of a folder of recorded runs against the request that the client sent after it.
//!
//! The folder is named by `REPLAY_CORPUS`; without it the test does nothing. Each run is a folder with `wire.jsonl` (one
//! `{"kind":"request","body":{"input":[…]}}` per request) and `rollout-before-resume-N.jsonl`. Long texts on the wire may
//! be cut to `<cut N characters, sha256 FIRST16>`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Effective;
use crate::rollout::{Era, NoLibrary, Rollout, reader};

/// What must be equal of an item on disk and on the wire: kind, ids, role and every text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sign(String);

fn hash(text: &str) -> String {
    if let Some((_, hash)) = text.split_once("sha256 ")
        && text.starts_with("<cut ")
    {
        return hash.trim_end_matches('>').to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        let _written = write!(hex, "{byte:02x}");
        hex
    })
}

fn sign(value: &Value, with_id: bool) -> Sign {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("");
    let mut whole = format!("{} {} {}", text("type"), text("call_id"), text("role"));
    if with_id {
        let _written = write!(whole, " {}", text("id"));
    }
    for key in ["arguments", "input", "encrypted_content"] {
        let _written = write!(whole, " {}", hash(text(key)));
    }
    for key in ["content", "output", "summary"] {
        match value.get(key) {
            Some(Value::String(text)) => {
                let _written = write!(whole, " {}", hash(text));
            }
            Some(Value::Array(parts)) => {
                for part in parts {
                    let text = part.get("text").and_then(Value::as_str).unwrap_or("");
                    let _written = write!(whole, " {}", hash(text));
                }
            }
            _ => {}
        }
    }
    Sign(whole)
}

fn effective(rollout: &Rollout, bytes: &[u8]) -> Vec<Sign> {
    let mut effective = Effective::new(rollout.era);
    for step in &rollout.steps {
        effective.apply(&rollout.items, step);
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let signs = effective.path().iter().map(|index| {
        let item = rollout.items.get(*index).unwrap();
        let value: Value = serde_json::from_slice(lines[item.line as usize - 1]).unwrap();
        let value = value.get("payload").unwrap_or(&value);
        let value = match value.get("replacement_history") {
            Some(items) => &items[item.part as usize],
            None => value,
        };
        sign(value, rollout.era >= Era::E4)
    });
    signs.collect()
}

/// How a request differs from a history.
#[derive(Debug, Default)]
struct Difference {
    /// Items before the history (instructions).
    front: usize,
    /// Outputs that say "aborted", between its items.
    repaired: usize,
    /// Other items between its items.
    foreign: Vec<String>,
    /// Items of the history that were not sent.
    missing: Vec<Sign>,
    /// Items behind it: what the new turn added.
    new: usize,
}

fn compare(disk: &[Sign], wire: &[Value], with_id: bool) -> Difference {
    let mut difference = Difference::default();
    let signs: Vec<Sign> = wire.iter().map(|value| sign(value, with_id)).collect();
    let mut next = 0;
    for wanted in disk {
        let Some(ahead) = signs[next..].iter().position(|sign| sign == wanted) else {
            difference.missing.push(wanted.clone());
            continue;
        };
        if next == 0 {
            difference.front = ahead;
        } else {
            for value in &wire[next..next + ahead] {
                if value.get("output") == Some(&Value::from("aborted")) {
                    difference.repaired += 1;
                } else {
                    difference.foreign.push(value.to_string());
                }
            }
        }
        next += ahead + 1;
    }
    let rest = &wire[next..];
    let repaired = rest
        .iter()
        .filter(|value| value.get("output") == Some(&Value::from("aborted")))
        .count();
    difference.repaired += repaired;
    difference.new = rest.len() - repaired;
    difference
}

fn requests(folder: &Path) -> Vec<Vec<Value>> {
    let text = std::fs::read_to_string(folder.join("wire.jsonl")).unwrap();
    let inputs = text.lines().filter_map(|line| {
        let value: Value = serde_json::from_str(line).ok()?;
        Some(value.get("body")?.get("input")?.as_array()?.clone())
    });
    inputs.collect()
}

#[test]
fn the_effective_history_is_what_was_sent_after_a_resume() {
    let Some(corpus) = option_env!("REPLAY_CORPUS") else {
        return;
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let mut wrong = Vec::new();
    for folder in folders {
        for resume in 1..=3 {
            let path = folder.join(format!("rollout-before-resume-{resume}.jsonl"));
            let Ok(bytes) = std::fs::read(&path) else {
                continue;
            };
            let rollout = reader::read(bytes.as_slice(), &NoLibrary).unwrap();
            let disk = effective(&rollout, &bytes);
            // the request that carries the most of the history and something new: the first after the resume
            let found = requests(&folder)
                .iter()
                .map(|wire| compare(&disk, wire, rollout.era >= Era::E4))
                .enumerate()
                .filter(|(_, difference)| difference.new > 0)
                .min_by_key(|(n, difference)| (difference.missing.len(), difference.new, *n));
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let Some((request, difference)) = found else {
                println!(
                    "| {name} | {resume} | {} | no request with anything new |",
                    disk.len()
                );
                continue;
            };
            println!(
                "| {name} | {resume} | {} {} | request {}: {} in front, {} repaired, {} missing, {} foreign, {} new |",
                rollout.era.name(),
                disk.len(),
                request + 1,
                difference.front,
                difference.repaired,
                difference.missing.len(),
                difference.foreign.len(),
                difference.new
            );
            if rollout.era >= Era::E3
                && !(difference.missing.is_empty() && difference.foreign.is_empty())
            {
                wrong.push((name, difference));
            }
        }
    }
    // an output whose call was cut out of the file by hand is dropped by the client's own repair
    wrong.retain(|(name, difference)| {
        !(name.starts_with("i_lost_call") && difference.missing.len() == 1)
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}
