//! Labels of the items a report shows, read again from where they stand.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;

use super::input::Source;
use crate::ids::ItemIndex;
use crate::rollout::{Era, Rollout, Step};
use crate::session::Session;
use crate::session::label::{Label, Labels};
use crate::wire::lines::{LineReader, trim};

/// Labels of `wanted`. What cannot be read again has none.
pub(super) fn read(source: &Source, session: &Session, wanted: &[ItemIndex]) -> Labels {
    match session {
        Session::Recording(recording) => wanted
            .iter()
            .filter_map(|&index| Some((index, recording.labels.get(index.0 as usize)?.clone())))
            .collect(),
        Session::Rollout(rollout) => of_rollout(source, rollout, wanted).unwrap_or_default(),
    }
}

fn of_rollout(source: &Source, rollout: &Rollout, wanted: &[ItemIndex]) -> std::io::Result<Labels> {
    let own = in_own_file(rollout, wanted);
    let mut labels = Labels::new();
    let mut reader = source.open()?;
    if rollout.era == Era::E0 {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let items = document.get("items").and_then(Value::as_array);
        for index in own {
            if let Some(item) = items.and_then(|items| items.get(index.0 as usize)) {
                labels.insert(index, Label::of_value(item));
            }
        }
        return Ok(labels);
    }
    let mut by_line: BTreeMap<u32, Vec<(u32, ItemIndex)>> = BTreeMap::new();
    for index in own {
        if let Some(item) = rollout.items.get(index) {
            by_line
                .entry(item.line)
                .or_default()
                .push((item.part, index));
        }
    }
    let Some(last) = by_line.keys().next_back().copied() else {
        return Ok(labels);
    };
    let mut lines = LineReader::new(reader);
    while let Some(line) = lines.next_line()? {
        if line.number > last {
            break;
        }
        if let Some(wanted) = by_line.get(&line.number) {
            let text = String::from_utf8_lossy(trim(&line).0);
            let Ok(value) = serde_json::from_str::<Value>(&text) else {
                continue;
            };
            for (part, index) in wanted {
                if let Some(item) = item_of(&value, *part) {
                    labels.insert(*index, Label::of_value(item));
                }
            }
        }
    }
    Ok(labels)
}

/// The item of a line: the line itself, its payload, or one of the items that replace a history.
fn item_of(line: &Value, part: u32) -> Option<&Value> {
    let Some(payload) = line.get("payload") else {
        return Some(line);
    };
    match payload.get("replacement_history").and_then(Value::as_array) {
        Some(items) => items.get(part as usize),
        None => Some(payload),
    }
}

/// Those of `wanted` that stand in the rollout's own file, not in one it begins in.
fn in_own_file(rollout: &Rollout, wanted: &[ItemIndex]) -> Vec<ItemIndex> {
    if rollout.files.len() < 2 {
        return wanted.to_vec();
    }
    let mut own = Vec::new();
    let mut file = 0;
    for step in &rollout.steps {
        match step {
            Step::File(index) => file = *index,
            Step::Item(index) if file == 0 && wanted.contains(index) => own.push(*index),
            _ => {}
        }
    }
    own
}
