//! The right side: one entry, a request, the bars, the strategies.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::bars;
use super::model::{Detail, Line, Model, Pane, Tone};
use super::request::{request, strategies};
use crate::report::cells;
use crate::report::inspect::{clock, fate};
use crate::timeline::words::item_words;
use crate::timeline::{Entry, Marks, NONE, Timeline, What};

/// So much of one entry is formatted: 1 MiB.
const MAX_FORMATTED: u64 = 1 << 20;

/// So many lines the right side has at most.
const MAX_LINES: usize = 20_000;

/// So many pieces of an item that is still streamed are put together.
const MAX_PIECES: usize = 5000;

/// Makes the right side for the cursor, if it is not that already.
pub(super) fn prepare(model: &mut Model) {
    let Some(at) = model.entry() else {
        model.shown = Some((NONE, model.pane, Detail::default()));
        return;
    };
    let pane = model.pane;
    if model
        .shown
        .as_ref()
        .is_some_and(|(of, how, _)| *of == at && *how == pane)
    {
        return;
    }
    let mut detail = match pane {
        Pane::Json => json(model, at),
        Pane::Text => text(model, at),
        Pane::Raw => raw(model, at),
        Pane::Request => request(model, at),
        Pane::Bars => bars::detail(model, at),
        Pane::Strategies => strategies(model, at),
    };
    if detail.lines.len() > MAX_LINES {
        detail.lines.truncate(MAX_LINES);
        detail
            .lines
            .push(Line::new(Tone::Faint, "… more than is shown"));
    }
    model.shown = Some((at, pane, detail));
}

/// What is said above every entry.
pub(super) fn head(model: &Model, at: u32) -> Vec<Line> {
    let timeline = &model.timeline;
    let Some(entry) = timeline.entries.get(at as usize) else {
        return Vec::new();
    };
    let mut parts = vec![format!("line {}", entry.line)];
    if entry.exchange > 0 {
        parts.push(format!("exchange {}", entry.exchange));
    }
    if entry.turn > 0 {
        parts.push(format!("turn {}", entry.turn));
    }
    let time = clock(timeline, entry.time());
    if !time.is_empty() {
        parts.push(format!("+{time}"));
    }
    if entry.lane != u16::MAX {
        parts.push(timeline.lane_name(entry.lane).to_owned());
    }
    let mut lines = vec![Line::new(Tone::Faint, cells(&parts.join(" · ")))];
    if entry.marks.has(Marks::REFUSAL) {
        let refusal = timeline
            .exchange(entry)
            .and_then(|it| it.answer.refusal.as_ref());
        let words =
            refusal.map_or_else(String::new, |it| format!(" {}: {}", it.status, it.message));
        lines.push(Line::new(Tone::Bad, cells(&format!("✗ refusal{words}"))));
    }
    if entry.marks.has(Marks::CUT) {
        lines.push(Line::new(
            Tone::Bad,
            "✂ cut: what was being said breaks off here",
        ));
    }
    if entry.call != NONE {
        let words = format!(
            "{}: {}",
            timeline.call_id(entry.call),
            fate(timeline, entry.call)
        );
        lines.push(Line::new(Tone::Careful, cells(&words)));
    }
    lines.push(Line::default());
    lines
}

/// A text as lines; what stands on one line stays on one line.
fn lines_of(text: &str) -> impl Iterator<Item = Line> + '_ {
    text.split('\n')
        .take(MAX_LINES)
        .map(|line| Line::new(Tone::Plain, cells(line.trim_end_matches('\r'))))
}

fn json(model: &mut Model, at: u32) -> Detail {
    let mut lines = head(model, at);
    let text = model.text(at, MAX_FORMATTED);
    match serde_json::from_str::<Value>(&text.text) {
        Ok(value) => {
            let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
            lines.extend(lines_of(&pretty));
        }
        Err(_) => lines.extend(lines_of(&text.text)),
    }
    if !text.whole {
        lines.push(Line::new(
            Tone::Faint,
            format!("… the first part of {} bytes", text.length),
        ));
    }
    Detail {
        title: "json".to_owned(),
        lines,
    }
}

fn raw(model: &mut Model, at: u32) -> Detail {
    let timeline = Arc::clone(&model.timeline);
    let mut lines = head(model, at);
    let entry = timeline.entries.get(at as usize);
    let range = entry.and_then(|entry| timeline.range(entry));
    let title = range.map_or_else(
        || "raw".to_owned(),
        |range| format!("raw · bytes {}–{}", range.start, range.end),
    );
    if let Some(entry) = entry
        && let Some(source) = model.sources.get_mut(entry.file as usize)
        && let Ok(text) = timeline.line(entry, source, MAX_FORMATTED)
    {
        // one long line is hard to read: it is broken into pieces of a fixed length
        let chars: Vec<char> = text.text.chars().collect();
        for piece in chars.chunks(400) {
            lines.push(Line::new(
                Tone::Plain,
                cells(&piece.iter().collect::<String>()),
            ));
        }
        if !text.whole {
            lines.push(Line::new(
                Tone::Faint,
                format!("… the first part of {} bytes", text.length),
            ));
        }
    }
    Detail { title, lines }
}

fn text(model: &mut Model, at: u32) -> Detail {
    let timeline = Arc::clone(&model.timeline);
    let mut lines = head(model, at);
    let Some(entry) = timeline.entries.get(at as usize).copied() else {
        return Detail::default();
    };
    let mut title = "text".to_owned();
    if entry.what == What::Request {
        return request(model, at);
    }
    if output_index(&timeline, &entry).is_some() {
        let (streamed, pieces) = streamed(model, &timeline, at, &entry);
        if pieces > 0 && entry.item == NONE {
            let plural = if pieces == 1 { "" } else { "s" };
            title = format!("text · {pieces} piece{plural} so far");
            lines.extend(lines_of(&streamed));
            return Detail { title, lines };
        }
    }
    let text = model.text(at, MAX_FORMATTED);
    let Ok(value) = serde_json::from_str::<Value>(&text.text) else {
        lines.extend(lines_of(&text.text));
        return Detail { title, lines };
    };
    readable(&value, &mut lines);
    if !text.whole {
        lines.push(Line::new(
            Tone::Faint,
            format!("… the first part of {} bytes", text.length),
        ));
    }
    Detail { title, lines }
}

/// What was streamed of an item up to an entry, and in how many pieces.
fn streamed(model: &mut Model, timeline: &Timeline, at: u32, entry: &Entry) -> (String, usize) {
    let before = timeline.entries.get(..=at as usize).unwrap_or(&[]);
    let index = output_index(timeline, entry);
    let mut pieces = Vec::new();
    for (number, other) in before.iter().enumerate().rev() {
        if other.file != entry.file || other.exchange != entry.exchange {
            continue;
        }
        if other.what == What::Request || pieces.len() >= MAX_PIECES {
            break;
        }
        if output_index(timeline, other) == index
            && other.marks.has(Marks::DELTA)
            && other.name == delta_name(entry, other)
        {
            pieces.push(number as u32);
        }
    }
    let mut whole = String::new();
    let count = pieces.len();
    for piece in pieces.into_iter().rev() {
        let text = model.text(piece, MAX_FORMATTED);
        let value: Value = serde_json::from_str(&text.text).unwrap_or_default();
        if let Some(delta) = value.get("delta").and_then(Value::as_str) {
            whole.push_str(delta);
        }
        if whole.len() as u64 > MAX_FORMATTED {
            break;
        }
    }
    (whole, count)
}

/// Which item of its response an event is about.
fn output_index(timeline: &Timeline, entry: &Entry) -> Option<u32> {
    let place = timeline.place(entry)?;
    Some(place.output_index).filter(|index| *index != NONE)
}

/// Pieces of one kind belong together: a delta's own kind, any kind for another event of the item.
fn delta_name(entry: &Entry, other: &Entry) -> u16 {
    if entry.marks.has(Marks::DELTA) {
        entry.name
    } else {
        other.name
    }
}

/// The texts inside of a value, without its structure.
fn readable(value: &Value, lines: &mut Vec<Line>) {
    let inner = value.get("value").unwrap_or(value);
    let of = ["item", "payload", "msg", "op", "params", "response"]
        .iter()
        .find_map(|key| inner.get(key))
        .unwrap_or(inner);
    let said = item_words(of);
    let known = of.get("type").and_then(Value::as_str);
    let mut title = known.unwrap_or(&said.title).to_owned();
    for key in ["role", "name", "call_id", "status", "id"] {
        if let Some(text) = of.get(key).and_then(Value::as_str) {
            let _ = write!(title, " · {text}");
        }
    }
    lines.push(Line::new(Tone::Heading, cells(&title)));
    let mut any = false;
    for key in [
        "arguments",
        "input",
        "output",
        "content",
        "summary",
        "action",
        "message",
        "text",
        "delta",
        "error",
        "usage",
    ] {
        let Some(part) = of.get(key) else { continue };
        match part {
            Value::Null => continue,
            Value::String(text) => nested(text, lines),
            Value::Array(parts) => {
                for part in parts {
                    match part.get("text").and_then(Value::as_str) {
                        Some(text) => nested(text, lines),
                        None => pretty(part, lines),
                    }
                }
            }
            other => pretty(other, lines),
        }
        any = true;
    }
    if !any {
        pretty(of, lines);
    }
}

/// A text; one that is JSON itself (arguments, outputs) is formatted.
fn nested(text: &str, lines: &mut Vec<Line>) {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => {
            if let Some(output) = value.get("output").and_then(Value::as_str) {
                lines.extend(lines_of(output));
                return;
            }
            pretty(&value, lines);
        }
        _ => lines.extend(lines_of(text)),
    }
}

fn pretty(value: &Value, lines: &mut Vec<Line>) {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    lines.extend(lines_of(&pretty));
}
