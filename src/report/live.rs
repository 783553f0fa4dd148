//! What a real endpoint said, for people.

use std::fmt::Write as _;

use super::style::Paint;
use super::{picture, safe};
use crate::replay::SessionReport;
use crate::session::Session;
use crate::strategy::live::{Live, LiveResult};
use crate::strategy::{Judged, Run};

/// How many requests are listed unless more is asked for.
const LISTED: usize = 20;

/// What became of the requests of a run; the line of its verdict stands above.
pub(super) fn run(out: &mut String, run: &Run) {
    let telling = telling(run);
    if let Some((request, live)) = telling {
        for line in lines_of(request, live) {
            let _ = writeln!(out, "  {}", safe(&line));
        }
    }
    if let Some(note) = &run.note {
        let _ = writeln!(out, "  {}", safe(note));
    }
}

/// The request that a verdict is about.
pub(super) fn telling(run: &Run) -> Option<(&Judged, &Live)> {
    let mut all = run
        .requests
        .iter()
        .filter_map(|request| Some((request, request.live.as_deref()?)));
    let worst = all
        .clone()
        .filter(|(_, live)| !matches!(live.result, LiveResult::Accepted | LiveResult::Skipped))
        .min_by_key(|(_, live)| match live.result {
            LiveResult::Failed => 0,
            LiveResult::Refused => 1,
            LiveResult::NotSent => 2,
            LiveResult::Parted | LiveResult::Accepted | LiveResult::Skipped => 3,
        });
    worst
        .filter(|(_, live)| live.result != LiveResult::Parted)
        .or_else(|| all.find(|(_, live)| live.divergence.is_some()))
        .or(worst)
}

fn lines_of(request: &Judged, live: &Live) -> Vec<String> {
    let mut lines = Vec::new();
    let status = live.status.map_or(String::new(), |it| format!("{it} "));
    if let Some(message) = &live.message {
        lines.push(format!("{status}{message}"));
    }
    if let Some(wrapper) = live.wrapper.filter(|_| live.named.is_some()) {
        lines.push(format!("around it: {wrapper}"));
    }
    if live.is_recorded_one == Some(true) {
        lines.push("that is what was recorded: reproduced".to_owned());
    }
    if let Some(note) = &live.note {
        lines.push(note.clone());
    }
    if let Some(differs) = live.divergence.as_ref().filter(|it| it.what != "refusal") {
        lines.push(format!("recorded: {}", differs.recorded));
        if live.result == LiveResult::Accepted {
            lines.push(format!("now: {}", differs.now));
        }
    }
    if request.attempts > 1 {
        lines.push(format!("sent {} times", request.attempts));
    }
    lines
}

/// What became of a request, in one line.
pub(super) fn sentence(live: &Live, target: &str) -> String {
    let mut said = match live.result {
        LiveResult::Accepted => format!("accepted by {target}"),
        LiveResult::Refused => format!("refused by {target}"),
        LiveResult::Failed => format!("no answer of {target}"),
        LiveResult::NotSent | LiveResult::Parted | LiveResult::Skipped => "not sent".to_owned(),
    };
    if let Some(message) = &live.message {
        let status = live.status.map_or(String::new(), |it| format!("{it} "));
        let _ = write!(said, ", {status}{message}");
    }
    match (&live.note, &live.divergence) {
        (Some(note), _) => {
            let _ = write!(said, " ({note})");
        }
        (None, Some(differs)) => {
            let _ = write!(
                said,
                " (recorded: {}, now: {})",
                differs.recorded, differs.now
            );
        }
        _ => {}
    }
    said
}

/// The requests of a run, one line each.
pub(super) fn requests(
    run: &Run,
    report: &SessionReport,
    paint: Paint,
    verbose: bool,
) -> (String, Vec<String>) {
    let all = run.requests.len();
    let listed = if verbose || all <= LISTED {
        all
    } else {
        LISTED
    };
    // of many, the last ones, where sessions break
    let skipped = all - listed;
    let several =
        matches!(&report.session, Session::Recording(recording) if recording.lanes.len() > 1);
    let mut lines: Vec<String> = Vec::new();
    let names = run.requests.iter().skip(skipped).map(picture::name);
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    for request in run.requests.iter().skip(skipped) {
        let Some(live) = request.live.as_deref() else {
            continue;
        };
        let outcome = match live.result {
            LiveResult::Accepted if !live.injected.is_empty() || request.changed => {
                paint.good("accepted, changed")
            }
            LiveResult::Accepted => paint.good("accepted"),
            LiveResult::Refused => paint.bad("refused"),
            LiveResult::Failed => paint.bad("failed"),
            LiveResult::NotSent | LiveResult::Parted | LiveResult::Skipped => {
                paint.careful("not sent")
            }
        };
        let how = if live.result.is_unsent() {
            ""
        } else if live.exact {
            "as recorded"
        } else if live.other_model {
            "other model"
        } else if request.exchange.is_some() {
            "put together"
        } else {
            "rebuilt"
        };
        let mut line = format!(
            "{:<width$}  turn {:<3} {:>5} item{} {:<12} {outcome}",
            picture::name(request),
            request.turn,
            live.input_items,
            if live.input_items == 1 { " " } else { "s" },
            how,
        );
        if request.attempts > 1 {
            let _ = write!(line, ", sent {} times", request.attempts);
        }
        for made_up in live.injected.iter().take(2) {
            let falsehood = if made_up.is_false {
                ", but it had finished"
            } else {
                ""
            };
            let _ = write!(
                line,
                "  \"aborted\" for {} at input[{}]{falsehood}",
                safe(&made_up.call_id),
                made_up.position
            );
        }
        if live.left_out > 0 {
            let _ = write!(line, "  {} left out", live.left_out);
        }
        if let Some(message) = &live.message {
            let _ = write!(line, "  {}", safe(message));
        }
        match &live.divergence {
            Some(differs) if live.result == LiveResult::Accepted => {
                let _ = write!(line, "  (recorded: {})", safe(&differs.recorded));
            }
            _ => {}
        }
        if several {
            let _ = write!(line, "  lane {}", safe(report.lane_name(request.lane)));
        }
        lines.push(line);
    }
    let title = if skipped > 0 {
        format!("requests, the last {listed} of {all}")
    } else {
        "requests".to_owned()
    };
    (title, lines)
}
