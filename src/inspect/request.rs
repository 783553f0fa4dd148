//! The request at the cursor, item by item, and what each strategy would send in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::detail::head;
use super::judge;
use super::model::{Detail, Line, Model, Tone};
use crate::ids::{CallKey, ItemIndex};
use crate::report::cells;
use crate::rollout::Era;
use crate::session::Session;
use crate::session::label::Label;
use crate::timeline::{Entry, NONE, Timeline, What};

/// So many items of a request are listed, and so many are read again for their text.
const MAX_ITEMS: usize = 5000;
const MAX_LABELS: usize = 300;

/// The request at the cursor; for a rollout the history, which the next request would carry.
pub(super) fn request(model: &mut Model, at: u32) -> Detail {
    let timeline = Arc::clone(&model.timeline);
    let mut lines = head(model, at);
    let Some(lane) = model.lane(at) else {
        lines.push(Line::new(
            Tone::Faint,
            "this entry belongs to no conversation",
        ));
        return Detail {
            title: "request".to_owned(),
            lines,
        };
    };
    let Some(entry) = timeline.entries.get(at as usize) else {
        return Detail::default();
    };
    let file = timeline
        .lanes
        .get(lane as usize)
        .map_or(entry.file, |lane| lane.file);
    let (before, _) = timeline.requests_around(lane, at);
    let Some(of) = timeline.files.get(file as usize) else {
        return Detail::default();
    };
    // what stands before `held` is on the server, what stands before `shared` was sent before
    let (node, held, shared, title) = match (timeline.recording(file), before) {
        (Some(recording), Some(asked)) => {
            let node = timeline.history_at(lane, asked.entry);
            let whole = of.tree.len(node) as usize;
            let count = recording.tree.len(asked.input) as usize;
            let held = whole.saturating_sub(count);
            let exchange = recording.exchanges.get(asked.exchange as usize);
            let mut fresh = count;
            let number = exchange.map_or(0, |it| it.number);
            if let Some(exchange) = exchange {
                if let Some(previous) = exchange.request.previous {
                    let id = String::from_utf8_lossy(recording.responses.text(previous.0));
                    let words = format!("goes on from {id}: {held} items that the server holds");
                    lines.push(Line::new(Tone::Plain, cells(&words)));
                }
                let request = timeline.entries.get(asked.entry as usize).unwrap_or(entry);
                fresh = timeline.fresh_items(request, exchange).len();
            }
            let title = format!("request of exchange {number}");
            (node, held, whole.saturating_sub(fresh), title)
        }
        (Some(_), None) => {
            lines.push(Line::new(Tone::Faint, "no request was sent yet"));
            return Detail {
                title: "request".to_owned(),
                lines,
            };
        }
        (None, before) => {
            let node = timeline.history_at(lane, at);
            let shared = before.map_or(0, |it| of.tree.len(it.input) as usize);
            let title = "history: the next request carries it".to_owned();
            (node, 0, shared, title)
        }
    };
    let items = of.tree.items(node);
    let skipped = items.len().saturating_sub(MAX_ITEMS);
    let sent = items.len().saturating_sub(held);
    let fresh = items.len().saturating_sub(shared);
    let plural = if sent == 1 { "" } else { "s" };
    lines.push(Line::new(
        Tone::Heading,
        format!("{sent} item{plural}, {fresh} new"),
    ));
    if skipped > 0 {
        lines.push(Line::new(
            Tone::Faint,
            format!("… {skipped} items before these"),
        ));
    }
    let links = links(&timeline, file, &items);
    let unread = items.len().saturating_sub(MAX_LABELS);
    for (place, index) in items.iter().enumerate().skip(skipped) {
        let Some(item) = timeline.item(file, index.0).copied() else {
            continue;
        };
        let label = if place < unread {
            None
        } else {
            label(model, &timeline, file, *index)
        };
        let sign = if place < held {
            '·'
        } else if place >= shared {
            '+'
        } else {
            ' '
        };
        let mut words = match &label {
            Some(words) => words.clone(),
            None => item.kind.name().to_owned(),
        };
        let mut tone = Tone::Plain;
        if let Some(key) = item.call {
            let link = links.get(&key);
            let other =
                link.and_then(|(call, output)| if item.kind.is_call() { *output } else { *call });
            match other {
                Some(other) => words = format!("⟷{} {words}", position(other, held)),
                None if item.kind.is_call() => {
                    words = format!("○ no output: {words}");
                    tone = Tone::Bad;
                }
                None => {
                    words = format!("no call: {words}");
                    tone = Tone::Careful;
                }
            }
        }
        lines.push(Line::new(
            tone,
            cells(&format!("{sign}{} {words}", position(place, held))),
        ));
    }
    Detail { title, lines }
}

/// A place in the context: in the request's input, or among what the server holds.
fn position(place: usize, held: usize) -> String {
    match place.checked_sub(held) {
        Some(place) => format!("[{place}]"),
        None => format!("[held {place}]"),
    }
}

/// For each pair the first place of its call and of its output.
fn links(
    timeline: &Timeline,
    file: u16,
    items: &[ItemIndex],
) -> BTreeMap<CallKey, (Option<usize>, Option<usize>)> {
    let mut found: BTreeMap<CallKey, (Option<usize>, Option<usize>)> = BTreeMap::new();
    for (place, index) in items.iter().enumerate() {
        let Some(item) = timeline.item(file, index.0) else {
            continue;
        };
        let Some(key) = item.call else { continue };
        let pair = found.entry(key).or_default();
        let side = if item.kind.is_call() {
            &mut pair.0
        } else {
            &mut pair.1
        };
        side.get_or_insert(place);
    }
    found
}

/// An item of a request in words.
fn label(model: &mut Model, timeline: &Timeline, file: u16, index: ItemIndex) -> Option<String> {
    let item = timeline.item(file, index.0)?;
    if let Some(recording) = timeline.recording(file) {
        let label: &Label = recording.labels.get(index.0 as usize)?;
        let name = label
            .name
            .as_deref()
            .or(label.role.as_deref())
            .unwrap_or("");
        let id = label.call_id.as_deref().unwrap_or("");
        return Some(format!("{} {name} {id} {}", item.kind.name(), label.text));
    }
    let mut entry = Entry::new(What::Item, item.line);
    entry.file = file;
    entry.item = index.0;
    if let Some(of) = timeline.files.get(file as usize)
        && matches!(&of.session, Session::Rollout(rollout) if rollout.era == Era::E0)
    {
        entry.place = of.first_place + index.0;
    }
    let source = model.sources.get_mut(file as usize)?;
    let text = timeline
        .text(&entry, source, crate::timeline::words::MAX_SAID)
        .ok()?;
    let said = timeline.say_text(&entry, &text);
    if said.title.is_empty() {
        return Some(format!("{} {}", item.kind.name(), said.text));
    }
    Some(format!("{} {}", said.title, said.text))
}

pub(super) fn strategies(model: &Model, at: u32) -> Detail {
    let timeline = &model.timeline;
    let mut lines = head(model, at);
    let asked = model
        .lane(at)
        .and_then(|lane| judge::request(timeline, lane, at));
    let about = asked
        .and_then(|asked| timeline.entries.get(asked.entry as usize))
        .map_or_else(
            || "the request that would come next".to_owned(),
            |entry| match entry.what {
                What::Request => format!(
                    "the request of exchange {} (line {})",
                    entry.exchange, entry.line
                ),
                _ => format!("the request before line {}", entry.line),
            },
        );
    lines.push(Line::new(
        Tone::Heading,
        format!("what each strategy sends as {about}"),
    ));
    let key = asked.map_or(NONE, |asked| asked.entry);
    match &model.judged {
        Some((of, found)) if *of == key => {
            for judgement in found {
                let tone = match judgement.outcome {
                    "accepted" => Tone::Good,
                    "refused" => Tone::Bad,
                    "no request" => Tone::Faint,
                    _ => Tone::Careful,
                };
                let own = if judgement.own { " (this client)" } else { "" };
                let words = format!("{:<18} {}{own}", judgement.name, judgement.outcome);
                lines.push(Line::new(tone, words));
            }
            for judgement in found.iter().filter(|it| !it.changes.is_empty()) {
                lines.push(Line::default());
                lines.push(Line::new(Tone::Heading, judgement.name));
                let changes = judgement.changes.iter();
                lines.extend(changes.map(|it| Line::new(Tone::Plain, cells(&format!("  {it}")))));
            }
            lines.push(Line::default());
            lines.push(Line::new(
                Tone::Faint,
                "judged by a model of the API's contract",
            ));
        }
        _ => lines.push(Line::new(Tone::Faint, "working it out …")),
    }
    Detail {
        title: "strategies".to_owned(),
        lines,
    }
}
