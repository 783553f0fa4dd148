//! Sweeps as cases: one for each situation under the strategy that decides, or for each cut of a real client.

use std::fmt::Write as _;

use super::super::plural;
use super::super::sweep::trial::Tried;
use super::super::sweep::{Swept, place};
use super::{Case, Level, MARKS, Mark, Outcome};
use crate::sweep::{Cell, Situation};
use crate::trial::{self, Did};

impl Case {
    /// A sweep: a case for each situation under the deciding strategy. What an older sweep knows to fail passes, with a
    /// notice.
    pub fn swept(report: &Swept<'_>) -> Vec<Self> {
        let cells = report.sweep.column(report.chosen);
        let cases = cells.map(|(situation, cell)| one(report, situation, cell));
        let cases = cases.map(|case| case.under(report.contract));
        bounded(cases.collect())
    }

    /// A sweep of a real client: a case for each cut. `line` gives the line of an exchange's request.
    pub fn tried(report: &Tried<'_>, line: &dyn Fn(u32) -> Option<u32>) -> Vec<Self> {
        let mut cases: Vec<Self> = report
            .results
            .iter()
            .map(|(case, result)| cut(report.path, case, result, line(case.place.exchange)))
            .collect();
        let missing = report.cases.saturating_sub(report.results.len());
        if missing > 0 {
            let message = format!("stopped: {missing} of {} cuts were not tried", report.cases);
            cases.push(Self::error(Some(report.path), None, "stopped", &message));
        }
        bounded(cases)
    }
}

fn one(report: &Swept<'_>, situation: &Situation, cell: &Cell) -> Case {
    let key = report.sweep.key(situation, report.chosen);
    let known = report.is_known(situation);
    let message = message(cell);
    let (mark, _) = cell.mark();
    let (level, outcome) = match (cell.fails(), cell.unknown > 0) {
        (true, _) if !known => (
            Some(Level::Error),
            Outcome::Failed {
                kind: mark.name().to_owned(),
                message: message.clone(),
            },
        ),
        (_, true) => (
            Some(Level::Error),
            Outcome::Error {
                kind: "cannot_tell".to_owned(),
                message: format!(
                    "{} of {} cuts cannot be told from the session",
                    cell.unknown, cell.cuts
                ),
            },
        ),
        // known to an older sweep
        (true, false) => (Some(Level::Notice), Outcome::Passed),
        (false, false) => (None, Outcome::Passed),
    };
    let told = match &outcome {
        Outcome::Error { message, .. } => message.clone(),
        _ if known => format!("as in the baseline: {message}"),
        _ => message,
    };
    let marks = level.map(|level| Mark {
        level,
        path: Some(report.path.to_owned()),
        line: cell
            .smallest
            .as_ref()
            .map(|it| it.behind.as_ref().map_or(it.line, |first| first.line))
            .filter(|line| *line > 0),
        title: format!("replay: {}", mark.name()),
        message: format!("{key}: {told}"),
    });
    Case {
        name: format!("{}: {key}", report.path),
        outcome,
        output: format!("{}: {} cut{}\n", mark.words(), cell.cuts, plural(cell.cuts)),
        marks: marks.into_iter().collect(),
    }
}

/// How often it fails, and the smallest cut that does.
fn message(cell: &Cell) -> String {
    let count = (cell.refused + cell.depends).max(cell.loops);
    let mut message = format!("{count} of {} cuts fail", cell.cuts);
    let Some(smallest) = &cell.smallest else {
        return message;
    };
    let _ = write!(message, ", the smallest {}", place(smallest));
    if let Some(told) = &smallest.message {
        let _ = write!(message, ": {told}");
    }
    if smallest.depends {
        if smallest.accepting.is_empty() {
            message.push_str(" (no single policy decides)");
        } else {
            let _ = write!(
                message,
                " (accepted only with {})",
                smallest.accepting.join(", ")
            );
        }
    }
    if smallest.loops {
        message.push_str(" (it would send this for ever)");
    }
    message
}

fn cut(path: &str, case: &trial::Case, result: &trial::Result, line: Option<u32>) -> Case {
    let mut message = result
        .message
        .clone()
        .unwrap_or_else(|| result.did.name().to_owned());
    if !result.depends_on.is_empty() {
        let _ = write!(message, " (on {})", result.depends_on.join(", "));
    }
    if let Some(note) = &result.note {
        let _ = write!(message, " ({note})");
    }
    let kind = result.did.name().to_owned();
    let (level, outcome) = match result.did {
        did if did.fails() => (
            Some(Level::Error),
            Outcome::Failed {
                kind,
                message: message.clone(),
            },
        ),
        Did::Failed => (
            Some(Level::Error),
            Outcome::Error {
                kind,
                message: message.clone(),
            },
        ),
        // it gets through, but not with what was so
        Did::Untrue | Did::Forgets => (Some(Level::Warning), Outcome::Passed),
        _ => (None, Outcome::Passed),
    };
    let key = case.key();
    let marks = level.map(|level| Mark {
        level,
        path: Some(path.to_owned()),
        line,
        title: format!("replay: {}", result.did.name()),
        message: format!("{key}: {message}"),
    });
    Case {
        name: format!("{path}: {key}"),
        outcome,
        output: format!(
            "{}: {} requests behind the cut, {} refused\n",
            result.did.name(),
            result.requests,
            result.refused
        ),
        marks: marks.into_iter().collect(),
    }
}

/// Keeps the first annotations of a session, errors before others, and counts the rest.
fn bounded(mut cases: Vec<Case>) -> Vec<Case> {
    let all: usize = cases.iter().map(|case| case.marks.len()).sum();
    if all <= MARKS {
        return cases;
    }
    let mut room = MARKS;
    for level in [Level::Error, Level::Warning, Level::Notice] {
        for case in &mut cases {
            let count = case.marks.iter().filter(|it| it.level == level).count();
            let kept = count.min(room);
            room -= kept;
            let mut seen = 0;
            case.marks.retain(|mark| {
                mark.level != level || {
                    seen += 1;
                    seen <= kept
                }
            });
        }
    }
    let last = cases.iter_mut().filter_map(|it| it.marks.last_mut()).last();
    if let Some(last) = last {
        let _ = write!(
            last.message,
            " (and {} more in this file)",
            all.saturating_sub(MARKS)
        );
    }
    cases
}
