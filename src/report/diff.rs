//! Differences for people: one under the other, side by side, or as a sum.

mod json;
mod sides;

pub use json::{document, requests_document};
pub use sides::side_by_side;

use std::fmt::Write as _;

use super::style::Paint;
use super::{cells, plural, safe};
use crate::diff::requests::Step;
use crate::diff::words::{Budget, words_within};
use crate::diff::{Change, Detail, Difference, Event, Kind, Op, Sequence, Side, What};
use crate::session::label::Label;

/// What is drawn, and how.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The two sequences, and what they are called.
    pub left: (&'a Sequence, &'a str),
    /// The right one.
    pub right: (&'a Sequence, &'a str),
    /// Equal events shown around differences.
    pub context: u32,
    /// Colours.
    pub paint: Paint,
    /// Whether everything that differs within an event is shown.
    pub verbose: bool,
    /// Whether the left side is what went over the wire and the right what is on disk.
    pub wire_disk: bool,
}

/// So many details of an event are shown unless all are asked for.
const DETAILS: usize = 12;

/// So much of a text is shown, in characters.
const SHOWN: usize = 160;

/// So much of an equal text is shown beside what differs.
const AROUND: usize = 40;

/// The first line of each side.
pub fn head(view: &View<'_>, found: &Difference) -> String {
    let side = |sign: &str, (sequence, name): (&Sequence, &str), count: usize| {
        let lanes = sequence.lanes.len();
        let lanes = if lanes > 1 {
            format!(", {lanes} lanes")
        } else {
            String::new()
        };
        format!(
            "{sign} {}  {count} event{}{lanes}",
            safe(name),
            plural(count)
        )
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}",
        view.paint.bad(side("---", view.left, found.left.len()))
    );
    let _ = writeln!(
        out,
        "{}",
        view.paint.good(side("+++", view.right, found.right.len()))
    );
    out
}

/// All differences, with equal events around them.
pub fn unified(view: &View<'_>, found: &Difference) -> String {
    let mut out = String::new();
    let mut last_end = 0;
    let mut budget = Budget::default();
    for (at, change) in found.changes.iter().enumerate() {
        if change.op == Op::Equal {
            continue;
        }
        let before = at
            .checked_sub(1)
            .and_then(|it| found.changes.get(it))
            .filter(|it| it.op == Op::Equal);
        let begins_hunk = at == 0
            || before.is_some_and(|it| it.left.end - it.left.start > 2 * view.context || at == 1);
        if begins_hunk {
            let _ = writeln!(out, "{}", view.paint.faint(place(view, found, change)));
        }
        if let Some(before) = before {
            let from = if begins_hunk {
                before
                    .left
                    .end
                    .saturating_sub(view.context)
                    .max(before.left.start)
                    .max(last_end)
            } else {
                before.left.start.max(last_end)
            };
            for left in from..before.left.end {
                equal_line(&mut out, view, found, left);
            }
        }
        changed_lines(&mut out, view, found, change, &mut budget);
        let after = found.changes.get(at + 1).filter(|it| it.op == Op::Equal);
        if let Some(after) = after {
            let end = after
                .left
                .start
                .saturating_add(view.context)
                .min(after.left.end);
            for left in after.left.start..end {
                equal_line(&mut out, view, found, left);
            }
            last_end = end;
        }
    }
    out
}

fn place(view: &View<'_>, found: &Difference, change: &Change) -> String {
    let left = found.left_event(change.left.start, view.left.0);
    let right = found.right_event(change.right.start, view.right.0);
    let told = |event: Option<&Event>| match event {
        Some(event) if event.exchange > 0 => {
            format!("exchange {}, line {}", event.exchange, event.line)
        }
        Some(event) if event.line > 0 => format!("line {}", event.line),
        Some(_) => "here".to_owned(),
        None => "end".to_owned(),
    };
    format!("@@ {} | {} @@", told(left), told(right))
}

fn equal_line(out: &mut String, view: &View<'_>, found: &Difference, left: u32) {
    if let Some(event) = found.left_event(left, view.left.0) {
        let _ = writeln!(out, "  {}", describe(view.left.0, event));
    }
}

fn changed_lines(
    out: &mut String,
    view: &View<'_>,
    found: &Difference,
    change: &Change,
    budget: &mut Budget,
) {
    match change.op {
        Op::Equal => {}
        Op::Delete => {
            for at in change.left.clone() {
                if let Some(event) = found.left_event(at, view.left.0) {
                    let only = if view.wire_disk {
                        "  (only on the wire)"
                    } else {
                        ""
                    };
                    let line = format!("- {}{only}", describe(view.left.0, event));
                    let _ = writeln!(out, "{}", view.paint.bad(line));
                }
            }
        }
        Op::Insert => {
            for at in change.right.clone() {
                if let Some(event) = found.right_event(at, view.right.0) {
                    let only = if view.wire_disk {
                        "  (only on disk)"
                    } else {
                        ""
                    };
                    let line = format!("+ {}{only}", describe(view.right.0, event));
                    let _ = writeln!(out, "{}", view.paint.good(line));
                }
            }
        }
        Op::Replace => {
            if let Some(event) = found.left_event(change.left.start, view.left.0) {
                let line = format!("~ {}", describe(view.left.0, event));
                let _ = writeln!(out, "{}", view.paint.careful(line));
            }
            details(out, view, &change.details, change.more, budget);
        }
    }
}

fn details(
    out: &mut String,
    view: &View<'_>,
    details: &[Detail],
    more: usize,
    budget: &mut Budget,
) {
    let shown = if view.verbose {
        details.len()
    } else {
        details.len().min(DETAILS)
    };
    for detail in details.iter().take(shown) {
        detail_lines(out, view, detail, budget);
    }
    let rest = details.len() - shown;
    if rest > 0 {
        let _ = writeln!(out, "      … and {rest} more differences (-v shows them)");
    }
    if more > 0 {
        let _ = writeln!(out, "      … and further differences that are not listed");
    }
}

/// The lines of one difference within an event.
fn detail_lines(out: &mut String, view: &View<'_>, detail: &Detail, budget: &mut Budget) {
    let path = if detail.path.is_empty() {
        "the whole"
    } else {
        &detail.path
    };
    let path = safe(&clip(path, SHOWN));
    let (left, right) = (detail.left.as_deref(), detail.right.as_deref());
    match &detail.kind {
        Kind::Id { left_is, right_is } => {
            let (left, right) = (left.unwrap_or(""), right.unwrap_or(""));
            let mut told = format!("{left} is {right} here");
            if let Some(elsewhere) = left_is {
                told = format!("{left} is {elsewhere} elsewhere but {right} here");
            } else if let Some(elsewhere) = right_is {
                told = format!("{right} is {elsewhere} elsewhere but {left} here");
            }
            let _ = writeln!(out, "      {path}: {}", view.paint.careful(safe(&told)));
        }
        Kind::Added => {
            let _ = writeln!(
                out,
                "    {}",
                view.paint
                    .good(format!("+ {path}: {}", shown(right.unwrap_or(""))))
            );
        }
        Kind::Removed => {
            let _ = writeln!(
                out,
                "    {}",
                view.paint
                    .bad(format!("- {path}: {}", shown(left.unwrap_or(""))))
            );
        }
        Kind::Changed => {
            let (left, right) = (left.unwrap_or(""), right.unwrap_or(""));
            if left.chars().count().max(right.chars().count()) <= SHOWN / 2 {
                let _ = writeln!(
                    out,
                    "    {}",
                    view.paint.bad(format!("- {path}: {}", shown(left)))
                );
                let _ = writeln!(
                    out,
                    "    {}",
                    view.paint.good(format!("+ {path}: {}", shown(right)))
                );
            } else {
                let _ = writeln!(out, "      {path}: {}", by_words(view, left, right, budget));
            }
        }
    }
}

/// Two long texts in one: `[-what only the left has-]`, `{+what only the right has+}`, a little of what both have.
fn by_words(view: &View<'_>, left: &str, right: &str, budget: &mut Budget) -> String {
    let pieces = words_within(left, right, budget);
    let count = pieces.len();
    let mut out = String::new();
    let mut count_shown = 0;
    for (at, piece) in pieces.iter().enumerate() {
        if count_shown > 2 * DETAILS && !view.verbose {
            out.push_str(" … and more");
            break;
        }
        match piece.op {
            Op::Delete => {
                count_shown += 1;
                out.push_str(&view.paint.bad(format!("[-{}-]", shown(piece.text))));
            }
            Op::Insert => {
                count_shown += 1;
                out.push_str(&view.paint.good(format!("{{+{}+}}", shown(piece.text))));
            }
            _ => out.push_str(&cells(&around(piece.text, at == 0, at + 1 == count))),
        }
    }
    out
}

/// A little of an equal text: its end in front, its beginning at the end, both between.
fn around(text: &str, first: bool, last: bool) -> String {
    let count = text.chars().count();
    if count <= 2 * AROUND {
        return text.to_owned();
    }
    let begin: String = text.chars().take(AROUND).collect();
    let end: String = text.chars().skip(count - AROUND).collect();
    match (first, last) {
        (true, _) => format!("…{end}"),
        (_, true) => format!("{begin}…"),
        _ => format!("{begin} … {end}"),
    }
}

/// A value on one line; what has no width is named, or two values that differ would look the same.
fn shown(text: &str) -> String {
    cells(&clip(text, SHOWN))
}

/// Two texts, each cut to at most so many characters around the first place where they differ.
pub(super) fn near(left: &str, right: &str, max: usize) -> (String, String) {
    let same = left
        .chars()
        .zip(right.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let longest = left.chars().count().max(right.chars().count());
    let skipped = if longest > max {
        same.saturating_sub(max / 3)
    } else {
        0
    };
    let cut = |text: &str| {
        let front = if skipped > 0 { "…" } else { "" };
        let rest: String = text.chars().skip(skipped).collect();
        format!("{front}{}", clip(&rest, max))
    };
    (cut(left), cut(right))
}

pub(super) fn clip(text: &str, max: usize) -> String {
    let mut clipped: String = text.chars().take(max).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

/// An event on one line.
pub fn describe(sequence: &Sequence, event: &Event) -> String {
    let mut line = safe(&sequence.label(event));
    let first = sequence.parts(event).next();
    match event.what {
        What::Item | What::Half | What::Dropped => {
            let label = Label::of(first.map_or("", |(_, raw)| raw));
            if let Some(call) = &label.call_id {
                let _ = write!(line, " {}", safe(call));
            }
            if !label.text.is_empty() {
                let _ = write!(line, " {}", safe(&clip(&label.text, 80)));
            }
            match event.side {
                Side::Sent => line.push_str(" ▸"),
                Side::Received => line.push_str(" ◂"),
                Side::None => {}
            }
        }
        What::Refusal | What::Cut | What::Bytes | What::Event => {
            for (name, raw) in sequence.parts(event) {
                if !name.is_empty() && name != "body" {
                    let _ = write!(line, " {}={}", safe(name), shown(&clip(raw, 60)));
                } else {
                    let _ = write!(line, " {}", shown(&clip(raw, 100)));
                }
            }
        }
        What::Request => {
            let member = |wanted: &str| {
                sequence
                    .parts(event)
                    .find(|(name, _)| *name == wanted)
                    .map(|(_, raw)| raw)
            };
            for name in [
                "purpose",
                "attempt",
                "transport",
                "model",
                "previous_response_id",
            ] {
                if let Some(raw) = member(name).filter(|raw| *raw != "null") {
                    let _ = write!(line, " {name}={}", shown(raw.trim_matches('"')));
                }
            }
        }
        What::Response => {
            let raw = first.map_or("", |(_, raw)| raw);
            if let Some(object) = crate::wire::raw::Object::read(raw) {
                for name in ["status", "id"] {
                    if let Some(text) = object.text(name) {
                        let _ = write!(line, " {}", shown(&text));
                    }
                }
            }
        }
        What::Line | What::ClientEvent => {}
    }
    line
}

/// What was found, in one paragraph; `alone` says that nothing else is shown.
pub fn summary(view: &View<'_>, found: &Difference, alone: bool) -> String {
    let count = |op: Op| -> u32 {
        let of = found.changes.iter().filter(|it| it.op == op);
        of.map(|it| (it.left.end - it.left.start).max(it.right.end - it.right.start))
            .sum()
    };
    let (only_left, only_right) = if view.wire_disk {
        ("only on the wire", "only on disk")
    } else {
        ("only left", "only right")
    };
    let mut out = if found.equal {
        format!(
            "{}: {} equal events\n",
            view.paint.good("no difference"),
            count(Op::Equal)
        )
    } else {
        format!(
            "{} equal, {}, {}, {}\n",
            count(Op::Equal),
            view.paint
                .careful(format!("~ {} changed", count(Op::Replace))),
            view.paint
                .bad(format!("- {} {only_left}", count(Op::Delete))),
            view.paint
                .good(format!("+ {} {only_right}", count(Op::Insert)))
        )
    };
    if let Some(first) = found.changes.iter().find(|it| alone && it.op != Op::Equal) {
        let event = match first.op {
            Op::Insert => found
                .right_event(first.right.start, view.right.0)
                .map(|it| describe(view.right.0, it)),
            _ => found
                .left_event(first.left.start, view.left.0)
                .map(|it| describe(view.left.0, it)),
        };
        let place = place(view, found, first);
        let place = place.trim_matches(['@', ' ']);
        let _ = writeln!(
            out,
            "first difference: {place}: {}",
            event.unwrap_or_default()
        );
    }
    if found.stopped {
        let told =
            "the deadline was reached: there may be fewer differences than are told (--deadline)";
        let _ = writeln!(out, "{}", view.paint.careful(told));
    }
    for (sequence, name) in [view.left, view.right] {
        for note in &sequence.notes {
            let _ = writeln!(out, "note: {}: {}", safe(name), safe(note));
        }
    }
    out
}

/// What each request of a recording added, left out, owed and changed.
pub fn requests(view: &View<'_>, steps: &[Step], all: bool) -> String {
    let (sequence, _) = view.left;
    let mut budget = Budget::default();
    let mut out = String::new();
    let event = |at: u32| sequence.events.get(at as usize);
    let line = |at: u32| {
        event(at)
            .map(|it| describe(sequence, it))
            .unwrap_or_default()
    };
    let mut hidden = 0;
    for step in steps {
        if step.is_as_demanded() && step.changed.is_empty() && !all {
            hidden += 1;
            continue;
        }
        let Some(request) = event(step.request) else {
            continue;
        };
        let lane = sequence
            .lanes
            .get(request.lane as usize)
            .map_or("", |it| &it.name);
        let before = match step.before.and_then(event) {
            Some(before) => format!("against exchange {}", before.exchange),
            None => "first of its lane".to_owned(),
        };
        let chained = if step.chained {
            ", goes on from a response"
        } else {
            ""
        };
        let title = format!(
            "exchange {} (line {}, lane {}): {before}{chained}",
            request.exchange,
            request.line,
            safe(lane)
        );
        let _ = writeln!(out, "{}", view.paint.heading(title));
        for at in &step.added {
            let _ = writeln!(
                out,
                "{}",
                view.paint
                    .good(format!("+ {}{}", line(*at), placed(sequence, *at)))
            );
        }
        for at in &step.dropped {
            let text = line(*at);
            let text = text.strip_prefix("dropped ").unwrap_or(&text);
            let _ = writeln!(
                out,
                "{}",
                view.paint
                    .bad(format!("- {text}  (was in the conversation, left out)"))
            );
        }
        for at in &step.forgotten {
            let text = line(*at);
            let text = text.strip_prefix("dropped ").unwrap_or(&text);
            let told = format!("  {text}  (of an answer that was cut, left out)");
            let _ = writeln!(out, "{}", view.paint.faint(told));
        }
        for at in &step.orphans {
            let told = format!(
                "! {}  (answers a call that the request does not carry)",
                line(*at)
            );
            let _ = writeln!(out, "{}", view.paint.bad(told));
        }
        for at in &step.owed {
            let told = format!("! {}  (has no output yet, and gets none)", line(*at));
            let _ = writeln!(out, "{}", view.paint.bad(told));
        }
        details(&mut out, view, &step.changed, 0, &mut budget);
        if step.added.is_empty() && step.changed.is_empty() && step.is_as_demanded() {
            let _ = writeln!(out, "  nothing new");
        }
    }
    let off = steps.iter().filter(|it| !it.is_as_demanded()).count();
    let _ = writeln!(
        out,
        "{} request{}, {off} not what the history demands{}",
        steps.len(),
        plural(steps.len()),
        if hidden > 0 {
            format!("; {hidden} as demanded (-v shows them)")
        } else {
            String::new()
        }
    );
    out
}

/// Where an item was put that is not at the end.
fn placed(sequence: &Sequence, at: u32) -> String {
    let event = sequence.events.get(at as usize);
    let raw = event.and_then(|it| sequence.parts(it).find(|(name, _)| *name == "placed"));
    match raw {
        Some((_, "\"in front\"")) => "  (in front of the history)".to_owned(),
        Some((_, raw)) => {
            let behind = crate::wire::raw::Object::read(raw)
                .and_then(|it| it.object("behind"))
                .unwrap_or_default();
            let words: Vec<String> = behind
                .members()
                .filter_map(|(_, raw)| crate::wire::raw::string(raw.get()).map(|it| safe(&it)))
                .collect();
            format!("  (inside the history, behind {})", words.join(" "))
        }
        None => String::new(),
    }
}
