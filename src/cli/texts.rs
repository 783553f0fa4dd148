//! Sessions with the texts of their requests, so that they can be sent again.

use std::io::{self, Cursor, Read};
use std::path::Path;

use serde_json::value::RawValue;

use super::Environment;
use super::error::CliError;
use super::input::Source;
use crate::ids::ItemIndex;
use crate::locate;
use crate::rollout::{Era, Rollout};
use crate::session::kept::Kept;
use crate::session::{self, Kind, Session, exchanges, reader, request_file};
use crate::wire::lines::{LineReader, trim};
use crate::wire::raw::Object;

/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 64 << 10;

/// Reads a session with its texts.
pub(super) fn read(
    source: &Source,
    environment: &Environment,
) -> Result<(Session, Kept), CliError> {
    let name = source.name();
    let failed = |error: &io::Error| CliError::input(&name, error.to_string());
    let mut file = source.open().map_err(|error| match source {
        Source::File(path) => CliError::io(path, &error),
        Source::Bytes(_) => failed(&error),
    })?;
    let mut head = Vec::new();
    file.by_ref()
        .take(HEAD)
        .read_to_end(&mut head)
        .map_err(|error| failed(&error))?;
    let kind = session::sniff(&head);
    let whole = Cursor::new(head).chain(file);
    let mut kept = Kept::default();
    let recording = match kind {
        Kind::Recording => reader::read_kept(whole, &mut kept),
        Kind::Exchanges => exchanges::read_kept(whole, &mut kept),
        Kind::RequestBody | Kind::ItemArray => request_file::read_kept(whole, &mut kept),
        Kind::LabLog | Kind::EventLog(_) | Kind::Unknown => {
            let session = source.read_from(whole, environment)?;
            if let Session::Rollout(rollout) = &session {
                of_rollout(source, rollout, &mut kept).map_err(|error| failed(&error))?;
            }
            return Ok((session, kept));
        }
    };
    match recording {
        Ok(recording) => Ok((Session::Recording(recording), kept)),
        // the other reader finds the words for it
        Err(error) => match source.read(environment) {
            Err(said) => Err(said),
            Ok(_) => Err(CliError::input(&name, error.to_string())),
        },
    }
}

/// Reads the items of a rollout again from its files.
fn of_rollout(source: &Source, rollout: &Rollout, kept: &mut Kept) -> io::Result<()> {
    let all: Vec<ItemIndex> = (0..rollout.items.len() as u32).map(ItemIndex).collect();
    let mut by_file: std::collections::BTreeMap<u32, Vec<ItemIndex>> =
        std::collections::BTreeMap::new();
    for (index, file) in rollout.file_of_items(all.iter()) {
        by_file.entry(file).or_default().push(index);
    }
    for (file, mut wanted) in by_file {
        let reader = match rollout.files.get(file as usize) {
            Some(other) if file > 0 => locate::open(Path::new(&other.path))?,
            _ => source.open()?,
        };
        let place = |index: &ItemIndex| {
            rollout
                .items
                .get(*index)
                .map_or((0, 0), |item| (item.line, item.part))
        };
        wanted.sort_by_key(place);
        of_file(reader, rollout, &wanted, kept)?;
    }
    Ok(())
}

/// Reads items of one file; `wanted` is in the order of their lines.
fn of_file(
    mut reader: Box<dyn Read + '_>,
    rollout: &Rollout,
    wanted: &[ItemIndex],
    kept: &mut Kept,
) -> io::Result<()> {
    if rollout.era == Era::E0 {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        let items = Object::read(text.trim_start_matches('\u{feff}').trim())
            .and_then(|document| document.array("items"))
            .unwrap_or_default();
        for index in wanted {
            if let Some(item) = items.get(index.0 as usize) {
                kept.set(*index, item.get());
            }
        }
        return Ok(());
    }
    let mut wanted = wanted.iter().peekable();
    let mut lines = LineReader::new(reader);
    while let Some(line) = lines.next_line()? {
        let number = line.number;
        let at = |index: &ItemIndex| rollout.items.get(*index).map_or(0, |item| item.line);
        if wanted.peek().is_none() {
            break;
        }
        if wanted.peek().is_some_and(|index| at(index) > number) {
            continue;
        }
        let text = String::from_utf8_lossy(trim(&line).0);
        let object = Object::read(&text);
        while let Some(index) = wanted.next_if(|index| at(index) <= number) {
            let part = rollout.items.get(*index).map_or(0, |item| item.part);
            if let Some(raw) = object.as_ref().and_then(|it| item_of(it, &text, part)) {
                kept.set(*index, &raw);
            }
        }
    }
    Ok(())
}

/// The item of a line: the line itself, its payload, or one of the items that replace a history.
fn item_of(line: &Object<'_>, text: &str, part: u32) -> Option<String> {
    let Some(payload) = line.get("payload") else {
        return Some(text.trim().to_owned());
    };
    let history = Object::read(payload.get()).and_then(|it| it.array("replacement_history"));
    match history {
        Some(items) => items
            .get(part as usize)
            .map(|it: &&RawValue| it.get().to_owned()),
        None => Some(payload.get().to_owned()),
    }
}
