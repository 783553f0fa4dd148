//! Labels of the items a report shows, read again from where they stand.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::input::Source;
use crate::ids::ItemIndex;
use crate::locate;
use crate::rollout::{Era, Rollout};
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
        Session::Rollout(rollout) => of_rollout(source, rollout, wanted),
    }
}

fn of_rollout(source: &Source, rollout: &Rollout, wanted: &[ItemIndex]) -> Labels {
    let mut by_file: BTreeMap<u32, Vec<ItemIndex>> = BTreeMap::new();
    for (index, file) in rollout.file_of_items(wanted.iter()) {
        by_file.entry(file).or_default().push(index);
    }
    let mut labels = Labels::new();
    for (file, wanted) in by_file {
        let reader = match rollout.files.get(file as usize) {
            Some(other) if file > 0 => locate::open(Path::new(&other.path)),
            _ => source.open(),
        };
        // a file that was read a moment ago and is gone now leaves its items without labels
        if let Ok(reader) = reader {
            let _unread: io::Result<()> = of_file(reader, rollout, &wanted, &mut labels);
        }
    }
    labels
}

fn of_file(
    mut reader: Box<dyn Read + '_>,
    rollout: &Rollout,
    wanted: &[ItemIndex],
    labels: &mut Labels,
) -> io::Result<()> {
    if rollout.era == Era::E0 {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let items = document.get("items").and_then(Value::as_array);
        for index in wanted {
            if let Some(item) = items.and_then(|items| items.get(index.0 as usize)) {
                labels.insert(*index, Label::of_value(item));
            }
        }
        return Ok(());
    }
    let mut by_line: BTreeMap<u32, Vec<(u32, ItemIndex)>> = BTreeMap::new();
    for index in wanted {
        if let Some(item) = rollout.items.get(*index) {
            by_line
                .entry(item.line)
                .or_default()
                .push((item.part, *index));
        }
    }
    let Some(last) = by_line.keys().next_back().copied() else {
        return Ok(());
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
    Ok(())
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
