//! A session's timeline without a terminal: a transcript, a document, stable text, a page.

pub mod events;
pub mod html;
pub mod json;
pub mod text;

use super::counted;
use crate::check::{self, Finding, Named};
use crate::events::Story;
use crate::session::exchange::Recording;
use crate::timeline::{NONE, Pending, Timeline};
use std::fmt::Write as _;

/// What a client's event log holds, in words.
pub fn log_words(recording: &Recording) -> String {
    let log = &recording.events;
    let story = Story::of(log);
    let kind = log.source.map_or("client events", |it| it.words());
    [
        kind.to_owned(),
        counted(log.events.len(), "event"),
        counted(story.turns.len(), "turn"),
        counted(story.runs.len(), "tool call"),
    ]
    .join(" · ")
}

/// What the client says of itself, and where the files disagree.
pub fn findings(timeline: &Timeline) -> Vec<Finding> {
    let Some((first, others)) = timeline.files.split_first() else {
        return Vec::new();
    };
    let others: Vec<Named<'_>> = others
        .iter()
        .map(|file| Named {
            name: &file.name,
            session: &file.session,
        })
        .collect();
    check::beside(&first.session, &others, &first.open)
}

/// A time since the first one, as people read it: `1.204s`, `2:05.310`, `1:02:05.310`.
pub fn clock(timeline: &Timeline, time: Option<i64>) -> String {
    let Some(time) = time else {
        return String::new();
    };
    let first = timeline.span().map_or(0, |(first, _)| first);
    let millis = time.saturating_sub(first) / 1000;
    let (seconds, rest) = (millis / 1000, millis % 1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}.{rest:03}s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}.{rest:03}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}.{rest:03}"),
    }
}

/// An open call in words: since when, from which line, what its tool was doing at that point.
pub fn pending(timeline: &Timeline, pending: &Pending) -> String {
    let call = timeline.calls.get(pending.call as usize);
    let kind = call.map_or("call", |call| call.kind.name());
    let since = timeline.entries.get(pending.since as usize);
    let line = since.map_or(0, |entry| entry.line);
    let mut words = format!("{kind} {}", timeline.call_id(pending.call));
    if pending.half {
        let _ = write!(words, " half: its item is streamed since line {line}");
        return words;
    }
    let time = clock(timeline, since.and_then(crate::timeline::Entry::time));
    let _ = write!(words, " open since line {line}");
    if !time.is_empty() {
        let _ = write!(words, " ({time})");
    }
    let at = |entry: u32| {
        timeline
            .entries
            .get(entry as usize)
            .map_or(0, |entry| entry.line)
    };
    match pending.tool() {
        // open again: its output was seen before
        "finished" if pending.ended == pending.since => {
            let answered = call.map_or(NONE, |call| call.answered);
            let _ = write!(
                words,
                ", tool finished: its output was at line {}",
                at(answered)
            );
        }
        "finished" if pending.ended != NONE => {
            let _ = write!(words, ", tool finished at line {}", at(pending.ended));
        }
        "finished" => {
            let line = at(pending.on_disk);
            let _ = write!(words, ", its output is on disk at line {line}");
        }
        "started" => {
            let _ = write!(words, ", tool running since line {}", at(pending.began));
        }
        _ => {}
    }
    if !pending.effective {
        words.push_str(", not in what would be sent next");
    }
    words
}

/// What becomes of a half item.
pub fn half_fate(timeline: &Timeline, call: u32) -> String {
    let Some(known) = timeline.calls.get(call as usize) else {
        return String::new();
    };
    match timeline.entries.get(known.opened as usize) {
        Some(entry) => format!("whole at line {}", entry.line),
        None => "never whole".to_owned(),
    }
}

/// What became of a call behind the point that is looked at: what closed it, or why it is open at the end.
pub fn fate(timeline: &Timeline, call: u32) -> String {
    let Some(known) = timeline.calls.get(call as usize) else {
        return String::new();
    };
    if let (Some(closing), Some(entry)) =
        (known.closing, timeline.entries.get(known.closed as usize))
    {
        let place = if entry.exchange > 0 {
            format!("line {} (exchange {})", entry.line, entry.exchange)
        } else {
            format!("line {}", entry.line)
        };
        return match closing {
            crate::timeline::Closing::Sent => format!("closed by the output sent at {place}"),
            crate::timeline::Closing::Written => format!("closed by the output at {place}"),
            crate::timeline::Closing::Broken => format!("never whole: the stream ended at {place}"),
            crate::timeline::Closing::Gone => format!("gone from the history at {place}"),
        };
    }
    match timeline.cause(call) {
        Some(open) => format!("open at the end: {}", open.cause.words()),
        None if known.opened == NONE => "never whole".to_owned(),
        None => "open at the end".to_owned(),
    }
}
