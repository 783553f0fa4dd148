//! Comparisons as cases: a mark for each place where two conversations part.

use std::fmt::Write as _;

use super::super::diff::{View, describe, head, requests, summary, unified};
use super::super::style::Paint;
use super::{Case, Level, Mark, Outcome, bound};
use crate::diff::requests::Step;
use crate::diff::{Change, Detail, Difference, Event, Kind, Op, Sequence};

/// So much of a value is quoted in an annotation, in characters.
const QUOTED: usize = 120;

/// Where the events of one side stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The file; `None` where it came from elsewhere.
    pub path: Option<&'a str>,
    /// Whether the lines of events are those of the file: a capture that is converted on the way has others.
    pub has_lines: bool,
}

impl Place<'_> {
    fn mark(&self, event: Option<&Event>, title: &str, message: String) -> Mark {
        Mark {
            level: Level::Error,
            path: self.path.map(str::to_owned),
            line: event
                .map(|event| event.line)
                .filter(|line| self.has_lines && *line > 0),
            title: format!("replay: {title}"),
            message,
        }
    }
}

impl Case {
    /// Two sessions that were compared; it fails where they differ.
    pub fn compared(view: &View<'_>, found: &Difference, places: [Place<'_>; 2]) -> Self {
        let view = View {
            paint: Paint::Plain,
            ..*view
        };
        let name = format!("{} against {}", view.left.1, view.right.1);
        let changes = found.changes.iter().filter(|it| it.op != Op::Equal);
        let mut marks: Vec<Mark> = changes.map(|it| mark(&view, found, it, places)).collect();
        let outcome = match marks.first() {
            Some(first) => Outcome::Failed {
                kind: "difference".to_owned(),
                message: match first.line {
                    Some(line) => format!("line {line}: {}", first.message),
                    None => first.message.clone(),
                },
            },
            None => Outcome::Passed,
        };
        bound(&mut marks);
        if found.stopped {
            let told =
                "the deadline was reached: there may be fewer differences than are told".to_owned();
            let mut mark = places[1].mark(None, "deadline", told);
            mark.level = Level::Warning;
            marks.push(mark);
        }
        for ((sequence, _), place) in [view.left, view.right].into_iter().zip(places) {
            marks.extend(notes(sequence, place));
        }
        let mut output = String::new();
        if !found.equal {
            output.push_str(&head(&view, found));
            output.push_str(&unified(&view, found));
        }
        output.push_str(&summary(&view, found, false));
        Self {
            name,
            outcome,
            output,
            marks,
        }
    }

    /// The requests of a session held against what the history demands.
    pub fn demanded(view: &View<'_>, steps: &[Step], place: Place<'_>) -> Self {
        let view = View {
            paint: Paint::Plain,
            ..*view
        };
        let (sequence, name) = view.left;
        let off = steps.iter().filter(|it| !it.is_as_demanded());
        let mut marks: Vec<Mark> = off
            .map(|step| {
                let request = sequence.events.get(step.request as usize);
                place.mark(request, "not as demanded", told(sequence, step, request))
            })
            .collect();
        let outcome = match marks.first() {
            Some(first) => Outcome::Failed {
                kind: "not_as_demanded".to_owned(),
                message: first.message.clone(),
            },
            None => Outcome::Passed,
        };
        bound(&mut marks);
        marks.extend(notes(sequence, place));
        Self {
            name: name.to_owned(),
            outcome,
            output: requests(&view, steps, view.verbose),
            marks,
        }
    }
}

fn mark(view: &View<'_>, found: &Difference, change: &Change, places: [Place<'_>; 2]) -> Mark {
    let [left_place, right_place] = places;
    let left = found.left_event(change.left.start, view.left.0);
    let right = found.right_event(change.right.start, view.right.0);
    let named = |sequence: &Sequence, event: Option<&Event>, count: u32| {
        let mut told = event.map_or_else(String::new, |it| describe(sequence, it));
        if count > 1 {
            let _ = write!(told, " (and {} more)", count - 1);
        }
        told
    };
    let (only_left, only_right) = if view.wire_disk {
        ("only on the wire", "only on disk")
    } else {
        ("only left", "only right")
    };
    match change.op {
        Op::Delete => {
            let count = change.left.end - change.left.start;
            let message = format!("{only_left}: {}", named(view.left.0, left, count));
            left_place.mark(left, only_left, message)
        }
        Op::Insert => {
            let count = change.right.end - change.right.start;
            let message = format!("{only_right}: {}", named(view.right.0, right, count));
            right_place.mark(right, only_right, message)
        }
        Op::Equal | Op::Replace => {
            let mut message = named(view.left.0, left, 1);
            if let Some(event) = left.filter(|it| {
                left_place.path != right_place.path && left_place.has_lines && it.line > 0
            }) {
                let _ = write!(message, " (line {} of {})", event.line, view.left.1);
            }
            if let Some(first) = change.details.first() {
                let _ = write!(message, ": {}", detail(first));
            }
            let more = (change.details.len() + change.more).saturating_sub(1);
            if more > 0 {
                let _ = write!(message, " (and {more} more)");
            }
            right_place.mark(right, "changed", message)
        }
    }
}

fn detail(detail: &Detail) -> String {
    let quoted = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("");
        super::super::diff::clip(text, QUOTED)
    };
    let path = if detail.path.is_empty() {
        "the whole"
    } else {
        &detail.path
    };
    let (left, right) = (quoted(&detail.left), quoted(&detail.right));
    match &detail.kind {
        Kind::Added => format!("{path} is new: {right}"),
        Kind::Removed => format!("{path} is gone: {left}"),
        Kind::Changed => {
            let (left, right) = super::super::diff::near(
                detail.left.as_deref().unwrap_or(""),
                detail.right.as_deref().unwrap_or(""),
                QUOTED,
            );
            format!("{path}: '{left}' became '{right}'")
        }
        Kind::Id { left_is, right_is } => match (left_is, right_is) {
            (Some(elsewhere), _) => {
                format!("{path}: {left} is {elsewhere} elsewhere but {right} here")
            }
            (None, Some(elsewhere)) => {
                format!("{path}: {right} is {elsewhere} elsewhere but {left} here")
            }
            (None, None) => format!("{path}: {left} is {right} here"),
        },
    }
}

/// What is off in one request.
fn told(sequence: &Sequence, step: &Step, request: Option<&Event>) -> String {
    let event = |at: &u32| sequence.events.get(*at as usize);
    let mut parts = Vec::new();
    for (list, words) in [
        (&step.dropped, "leaves out"),
        (&step.owed, "gives no output to"),
        (&step.orphans, "answers a call that it does not carry:"),
    ] {
        let Some(first) = list.first().and_then(event) else {
            continue;
        };
        let text = describe(sequence, first);
        let mut part = format!("{words} {}", text.strip_prefix("dropped ").unwrap_or(&text));
        if list.len() > 1 {
            let _ = write!(part, " (and {} more)", list.len() - 1);
        }
        parts.push(part);
    }
    let exchange = request.map_or(0, |it| it.exchange);
    format!("exchange {exchange} {}", parts.join("; "))
}

fn notes(sequence: &Sequence, place: Place<'_>) -> Vec<Mark> {
    let mut marks: Vec<Mark> = sequence
        .notes
        .iter()
        .map(|note| {
            let mut mark = place.mark(None, "note", note.clone());
            mark.level = Level::Warning;
            mark
        })
        .collect();
    bound(&mut marks);
    marks
}
