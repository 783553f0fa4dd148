//! Differences for programs. The shape is described in `docs/json.md`.

use serde_json::{Value, json};

use super::{View, clip};
use crate::diff::requests::Step;
use crate::diff::{Change, Detail, Difference, Event, Kind, Op, Sequence, Side};
use crate::report::json::SCHEMA;

/// Values in documents are cut behind so many characters.
const LONGEST: usize = 4096;

/// The document of a difference.
pub fn document(view: &View<'_>, found: &Difference) -> Value {
    let first = found
        .first()
        .map(|(left, right)| json!({"left": left, "right": right}));
    let side = |(sequence, name): (&Sequence, &str), count: usize| json!({"path": name, "events": count, "lanes": sequence.lanes.len(), "notes": sequence.notes});
    json!({
        "schema": SCHEMA,
        "equal": found.equal,
        "complete": !found.stopped,
        "left": side(view.left, found.left.len()),
        "right": side(view.right, found.right.len()),
        "first_difference": first,
        "changes": found.changes.iter().map(|it| change(view, found, it)).collect::<Vec<_>>(),
    })
}

fn change(view: &View<'_>, found: &Difference, change: &Change) -> Value {
    let mut value = json!({
        "op": change.op.name(),
        "left": [change.left.start, change.left.end],
        "right": [change.right.start, change.right.end],
        "paths": change.details.iter().map(|it| &it.path).collect::<Vec<_>>(),
    });
    if change.op == Op::Equal {
        return value;
    }
    if let Some(object) = value.as_object_mut() {
        let left = change
            .left
            .clone()
            .filter_map(|at| found.left_event(at, view.left.0));
        let right = change
            .right
            .clone()
            .filter_map(|at| found.right_event(at, view.right.0));
        object.insert(
            "left_events".to_owned(),
            left.map(|it| event(view.left.0, it)).collect(),
        );
        object.insert(
            "right_events".to_owned(),
            right.map(|it| event(view.right.0, it)).collect(),
        );
        object.insert(
            "details".to_owned(),
            change.details.iter().map(detail).collect(),
        );
        object.insert("details_left_out".to_owned(), change.more.into());
    }
    value
}

fn event(sequence: &Sequence, event: &Event) -> Value {
    let lane = sequence.lanes.get(event.lane as usize).map(|it| &it.name);
    let side = match event.side {
        Side::None => None,
        Side::Sent => Some("sent"),
        Side::Received => Some("received"),
    };
    json!({
        "what": event.what.name(),
        "label": sequence.label(event),
        "side": side,
        "lane": lane,
        "exchange": (event.exchange > 0).then_some(event.exchange),
        "line": (event.line > 0).then_some(event.line),
    })
}

fn detail(detail: &Detail) -> Value {
    let text = |text: &Option<String>| text.as_deref().map(|it| clip(it, LONGEST));
    let mut value = json!({
        "path": detail.path,
        "kind": match &detail.kind {
            Kind::Changed => "changed",
            Kind::Added => "added",
            Kind::Removed => "removed",
            Kind::Id { .. } => "id",
        },
        "left": text(&detail.left),
        "right": text(&detail.right),
    });
    if let (Kind::Id { left_is, right_is }, Some(object)) = (&detail.kind, value.as_object_mut()) {
        object.insert("left_is".to_owned(), json!(left_is));
        object.insert("right_is".to_owned(), json!(right_is));
    }
    value
}

/// The document of a recording's requests.
pub fn requests_document(sequence: &Sequence, name: &str, steps: &[Step]) -> Value {
    let events = |list: &[u32]| -> Vec<Value> {
        let found = list
            .iter()
            .filter_map(|at| sequence.events.get(*at as usize));
        found
            .map(|it| {
                let mut value = event(sequence, it);
                let raw = sequence.parts(it).next().map_or("", |(_, raw)| raw);
                let object = crate::wire::raw::Object::read(raw).unwrap_or_default();
                let placed = sequence
                    .parts(it)
                    .find(|(name, _)| *name == "placed")
                    .map(|(_, raw)| raw);
                if let Some(members) = value.as_object_mut() {
                    members.insert("call_id".to_owned(), json!(object.text("call_id")));
                    let placed = placed.and_then(|raw| serde_json::from_str::<Value>(raw).ok());
                    members.insert("placed".to_owned(), json!(placed));
                }
                value
            })
            .collect()
    };
    let steps: Vec<Value> = steps
        .iter()
        .filter_map(|step| {
            let request = sequence.events.get(step.request as usize)?;
            let before = step.before.and_then(|it| sequence.events.get(it as usize));
            let mut value = event(sequence, request);
            let object = value.as_object_mut()?;
            object.insert("against".to_owned(), json!(before.map(|it| it.exchange)));
            object.insert("chained".to_owned(), json!(step.chained));
            object.insert("as_demanded".to_owned(), json!(step.is_as_demanded()));
            object.insert("added".to_owned(), json!(events(&step.added)));
            object.insert("dropped".to_owned(), json!(events(&step.dropped)));
            object.insert("forgotten".to_owned(), json!(events(&step.forgotten)));
            object.insert("orphans".to_owned(), json!(events(&step.orphans)));
            object.insert("owed".to_owned(), json!(events(&step.owed)));
            object.insert(
                "changed".to_owned(),
                step.changed.iter().map(detail).collect(),
            );
            Some(value)
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "path": name,
        "equal": steps.iter().all(|it| it.get("as_demanded") == Some(&Value::Bool(true))),
        "requests": steps,
    })
}
