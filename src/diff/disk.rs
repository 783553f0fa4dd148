//! The sequence of a rollout, and of rollout lines that stand in a recording.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use super::rules::USAGE;
use super::sequence::{Draft, Lane, Origin, Sequence, What};
use crate::ids::LineNo;
use crate::rollout::{Era, Rollout};
use crate::wire::item::ItemKind;
use crate::wire::lines::{LineReader, Values, trim};
use crate::wire::raw::{Object, array};

use super::answer::clip;

/// Reads the sequence of a rollout; `reader` gives its file once more.
pub(super) fn read<R: Read>(rollout: &Rollout, mut reader: R) -> io::Result<Sequence> {
    let mut into = Sequence {
        origin: Origin::Rollout,
        ..Sequence::default()
    };
    into.lanes.push(Lane {
        name: rollout
            .meta
            .thread_id
            .clone()
            .unwrap_or_else(|| "main".to_owned()),
        child: rollout.meta.parent_thread.is_some(),
        ..Lane::default()
    });
    if rollout.files.len() > 1 || rollout.incomplete {
        into.notes.push(
            "its history begins in another file; only this file's own lines are compared"
                .to_owned(),
        );
    }
    if rollout.era == Era::E0 {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        document(&mut into, &text);
    } else {
        let mut lines = LineReader::new(reader);
        while let Some(read) = lines.next_line()? {
            let (bytes, _) = trim(&read);
            let text = String::from_utf8_lossy(bytes);
            for value in Values::new(&text).flatten() {
                if let Some(mut draft) = line(&mut into, value, read.number) {
                    draft.event.lane = 0;
                    into.push(&draft);
                }
            }
        }
    }
    into.finish();
    Ok(into)
}

fn document(into: &mut Sequence, text: &str) {
    let Some(object) = Object::read(text.trim()) else {
        into.notes
            .push("the document is torn; nothing of it is compared".to_owned());
        return;
    };
    if let Some(session) = object.get("session") {
        let mut draft = into.draft(What::Line, "line session_meta");
        into.add(&mut draft, "", session.get());
        draft.event.lane = 0;
        draft.event.line = 1;
        into.push(&draft);
    }
    for raw in object.array("items").unwrap_or_default() {
        let mut draft = into.item(What::Item, raw.get());
        draft.event.lane = 0;
        draft.event.line = 1;
        into.push(&draft);
    }
}

/// The event that a line of a rollout is; its lane is left open.
pub(super) fn line(into: &mut Sequence, value: &str, line: LineNo) -> Option<Draft> {
    let object = Object::read(value)?;
    let kind = object.text("type").unwrap_or(Cow::Borrowed(""));
    let mut draft = match object.get("payload") {
        Some(payload) if &*kind == "response_item" => into.item(What::Item, payload.get()),
        Some(payload) => {
            let inner = Object::read(payload.get()).unwrap_or_default();
            let name = if &*kind == "event_msg" {
                format!(
                    "line event_msg.{}",
                    clip(&inner.text("type").unwrap_or_default())
                )
            } else {
                format!("line {}", clip(&kind))
            };
            let mut draft = into.draft(What::Line, &name);
            if matches!(&*kind, "token_usage_record") || name.ends_with(".token_count") {
                draft.event.row = Some(USAGE);
            }
            if let Some(call) = inner.text("call_id") {
                draft.event.call = Some(into.known.intern(call.as_bytes()));
            }
            into.add(&mut draft, "", payload.get());
            draft
        }
        None if object.get("record_type").is_some() => {
            let mut draft = into.draft(What::Line, "line state");
            into.add(&mut draft, "", value);
            draft
        }
        None if ItemKind::from_type(&kind) != ItemKind::Other => into.item(What::Item, value),
        None => {
            let mut draft = into.draft(What::Line, "line session_meta");
            into.add(&mut draft, "", value);
            draft
        }
    };
    draft.event.line = line;
    Some(draft)
}

/// Reads the rollout lines that stand in a recording as one sequence, a lane for each file.
pub(super) fn read_beside<R: Read>(reader: R) -> io::Result<Sequence> {
    let mut into = Sequence {
        origin: Origin::Rollout,
        ..Sequence::default()
    };
    let mut lanes: BTreeMap<String, u32> = BTreeMap::new();
    let mut lines = LineReader::new(reader);
    let mut drafts: Vec<Draft> = Vec::new();
    while let Some(read) = lines.next_line()? {
        let (bytes, _) = trim(&read);
        let text = String::from_utf8_lossy(bytes);
        for value in Values::new(&text).flatten() {
            let Some(object) = Object::read(value) else {
                continue;
            };
            let kind = object.text("kind");
            let path = object.text("path").unwrap_or_default();
            if kind.as_deref() == Some("rollout_file") {
                if object.number("line").is_some_and(|it| it > 1) {
                    into.notes.push(format!(
                        "{path} was followed from line {} on; what stands before is not in this recording",
                        object.number("line").unwrap_or(0)
                    ));
                }
                continue;
            }
            if kind.as_deref() != Some("rollout") {
                continue;
            }
            let Some(value) = object.get("value") else {
                continue;
            };
            let fresh = into.lanes.len() as u32;
            let lane = *lanes.entry(path.clone().into_owned()).or_insert_with(|| {
                into.lanes.push(Lane {
                    name: path.clone().into_owned(),
                    ..Lane::default()
                });
                fresh
            });
            if let Some(named) = thread(value.get())
                && let Some(slot) = into.lanes.get_mut(lane as usize)
                && slot.name == *path
            {
                slot.name = named;
            }
            if let Some(mut draft) = line(&mut into, value.get(), read.number) {
                draft.event.lane = lane;
                drafts.push(draft);
            }
        }
    }
    for draft in &drafts {
        into.push(draft);
    }
    into.finish();
    Ok(into)
}

/// The thread that a line of a rollout names as the file's own.
fn thread(value: &str) -> Option<String> {
    let object = Object::read(value)?;
    let payload = match object.text("type").as_deref() {
        Some("session_meta") => object.object("payload")?,
        None if array(value).is_none() && object.get("record_type").is_none() => object,
        _ => return None,
    };
    payload.text("id").map(Cow::into_owned)
}
