//! A replay for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::live;
use super::picture;
use super::style::Paint;
use super::{plural, safe};
use crate::check::Severity;
use crate::contract::Outcome;
use crate::contract::lock::Citation;
use crate::ids::CallKey;
use crate::replay::SessionReport;
use crate::session::Session;
use crate::session::exchange::Origin;
use crate::strategy::{Judged, Run, Strategy, Verdict};
use crate::wire::item::Items;

/// What is said under every report.
pub const MODEL_NOTE: &str =
    "The endpoint is a model of the API's contract, except where a recorded answer is cited.";

/// One session. `table` holds further runs that are shown in the table of strategies only.
pub fn session(report: &SessionReport, table: &[Run], paint: Paint, verbose: bool) -> String {
    let mut out = String::new();
    head(&mut out, report, paint);
    let items = crate::check::items(&report.session);
    let Some(first) = report.runs.first() else {
        return out;
    };
    out.push('\n');
    verdict(&mut out, first, report, paint);
    if report.target.is_some() {
        for run in report.runs.iter().skip(1) {
            out.push('\n');
            verdict(&mut out, run, report, paint);
        }
    }
    // at a real endpoint it is shown only of what that refused
    let is_told = |request: &&Judged| request.live.is_none() || request.is_refused();
    if let Some(request) = first
        .requests
        .iter()
        .find(|request| !request.shown.is_empty())
        .filter(is_told)
    {
        section(
            &mut out,
            "what happened",
            &picture::story(request, report, paint),
            paint,
        );
        let count = request.input_items;
        let recorded = match request.live {
            Some(_) => " as the client sent it",
            None => "",
        };
        let title = format!(
            "the request{recorded}, {count} item{} in input",
            plural(count)
        );
        section(
            &mut out,
            &title,
            &picture::items_of(request, report, paint),
            paint,
        );
    }
    open_calls(&mut out, report, items, paint);
    if report.target.is_some() {
        for run in &report.runs {
            let (mut title, lines) = live::requests(run, report, paint, verbose);
            if report.runs.len() > 1 {
                title = format!("{title}, under {}", run.strategy.name());
            }
            section(&mut out, &title, &lines, paint);
        }
        problems(&mut out, &report.session, paint);
        return out;
    }
    if verbose {
        requests(&mut out, first, report, paint);
    }
    let all: Vec<&Run> = report.runs.iter().chain(table).collect();
    if all.len() > 1 || first.strategy != Strategy::None {
        strategies(&mut out, &all, items, paint);
    }
    beside(&mut out, report, paint, verbose);
    problems(&mut out, &report.session, paint);
    out
}

/// What the client's own events and other sources show; what is merely worth knowing only if asked for.
fn beside(out: &mut String, report: &SessionReport, paint: Paint, verbose: bool) {
    let told: Vec<_> = report
        .findings
        .iter()
        .filter(|it| verbose || it.severity < Severity::Info)
        .cloned()
        .collect();
    if !told.is_empty() {
        let _ = writeln!(out, "\n{}", paint.heading("beside the wire"));
        for line in super::check::findings(&report.path, &told, paint).lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
}

fn head(out: &mut String, report: &SessionReport, paint: Paint) {
    let mut parts = vec![match report.era {
        Some(era) => format!("{} {era}", report.source),
        None if is_one_request(&report.session) => "one request".to_owned(),
        None => report.source.to_owned(),
    }];
    if let Some(name) = &report.client.name {
        let version = report.client.version.as_deref().unwrap_or("");
        parts.push(safe(format!("{name} {version}").trim()));
    }
    let count = report.runs.first().map_or(0, |run| run.requests.len());
    let origin = match &report.session {
        Session::Rollout(_) => "rebuilt ",
        Session::Recording(_) => "",
    };
    parts.push(format!("{count} {origin}request{}", plural(count)));
    let _ = writeln!(
        out,
        "{}  {}",
        paint.heading(safe(&report.path)),
        paint.faint(parts.join(" · "))
    );
}

fn is_one_request(session: &Session) -> bool {
    matches!(session, Session::Recording(recording) if recording.origin == Origin::Request)
}

fn painted(verdict: Verdict, paint: Paint) -> String {
    match verdict {
        Verdict::Clean | Verdict::Recovered => paint.good(verdict.name()),
        Verdict::Depends | Verdict::CannotTell => paint.careful(verdict.name()),
        _ => paint.bad(verdict.name()),
    }
}

fn verdict(out: &mut String, run: &Run, report: &SessionReport, paint: Paint) {
    let strategy = if run.strategy == Strategy::AsClient {
        format!(" under {} (as this client does)", run.resolved.name())
    } else if run.strategy == Strategy::None {
        String::new()
    } else {
        format!(" under {}", run.strategy.name())
    };
    let _ = write!(out, "{}{strategy}", painted(run.verdict, paint));
    if let Some(url) = &report.target {
        if let Some((request, _)) = live::telling(run) {
            let _ = write!(out, ": {}", picture::name(request));
        }
        let _ = writeln!(out, "  {}", paint.faint(format!("at {}", safe(url))));
        live::run(out, run);
        if let Some(citation) = &report.contract {
            cite(out, citation);
        }
        return;
    }
    let telling = run
        .requests
        .iter()
        .find(|request| request.agrees == Some(false))
        .or_else(|| run.requests.iter().find(|request| request.is_refused()))
        .or_else(|| {
            run.requests
                .iter()
                .find(|request| request.outcome != Outcome::Accepted)
        });
    if let Some(request) = telling {
        let _ = write!(out, ": {}", picture::name(request));
        if request.attempts > 1 {
            let sent = match request.origin {
                crate::strategy::Origin::Recorded => "sent",
                _ => "which this client sends",
            };
            let _ = write!(out, ", {sent} {} times", request.attempts);
        }
        let lane = report.lane_name(request.lane);
        if let Session::Recording(recording) = &report.session
            && recording.lanes.len() > 1
        {
            let _ = write!(out, ", lane {}", safe(lane));
        }
    }
    out.push('\n');
    if let Some(request) = telling {
        answer(out, request, report, run);
    }
    if let Some(note) = &run.note {
        let _ = writeln!(out, "  {}", safe(note));
    }
    if let Some(citation) = &report.contract {
        cite(out, citation);
    }
}

/// The contract of an endpoint that a judgement was made under.
pub fn cite(out: &mut String, citation: &Citation) {
    let _ = writeln!(out, "  {}", safe(&citation.words()));
    if let Some(warning) = &citation.warning {
        let _ = writeln!(out, "  {}", safe(warning));
    }
}

fn answer(out: &mut String, request: &Judged, report: &SessionReport, run: &Run) {
    if let Some(fault) = &request.refusal {
        let refusal = report.refusal(fault);
        let whose = match (&request.outcome, request.agrees) {
            (_, Some(false)) => "the contract says: ",
            (Outcome::Depends { .. }, _) => "where it is refused: ",
            _ => "",
        };
        let message = safe(&refusal.message);
        let _ = writeln!(out, "  {whose}{} {message}", refusal.status);
    }
    if request.outcome == Outcome::Unknown {
        let _ = writeln!(
            out,
            "  it goes on from a response, conversation or item that this session does not hold"
        );
    }
    match (&request.recorded, request.agrees, request.recorded_status) {
        (Some(recorded), Some(false), _) => {
            let _ = writeln!(
                out,
                "  recorded: {} {}",
                recorded.status,
                safe(&recorded.message)
            );
            let _ = writeln!(
                out,
                "  the contract does not give that answer: another cause, a gateway's own, or a rule of ours is wrong"
            );
        }
        (None, Some(false), Some(status)) => {
            let _ = writeln!(
                out,
                "  recorded: {status}, accepted; the contract refuses it in every world"
            );
        }
        (Some(_), Some(true), _) if run.reproduced == Some(true) => {
            let _ = writeln!(out, "  that is what was recorded: reproduced");
        }
        (Some(recorded), _, _) => {
            let _ = writeln!(
                out,
                "  recorded: {} {}",
                recorded.status,
                safe(&recorded.message)
            );
        }
        (None, None, None) if request.origin != crate::strategy::Origin::Recorded => {
            let _ = writeln!(
                out,
                "  no answer is on file: this is what the contract says"
            );
        }
        _ => {}
    }
    for on in request.depends_on() {
        let values: Vec<String> = on
            .values
            .iter()
            .map(|(value, accepted)| {
                format!(
                    "{value} → {}",
                    if *accepted { "accepted" } else { "refused" }
                )
            })
            .collect();
        let _ = writeln!(
            out,
            "  depends on {}: {} ({})",
            on.policy.name(),
            values.join(", "),
            on.policy.evidence()
        );
    }
}

fn section(out: &mut String, title: &str, lines: &[String], paint: Paint) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n  {}", paint.heading(title));
    for line in lines {
        let _ = writeln!(out, "    {line}");
    }
}

fn open_calls(out: &mut String, report: &SessionReport, items: &Items, paint: Paint) {
    let lines: Vec<String> = report
        .open_calls
        .iter()
        .map(|open| {
            let place = match open.exchange {
                Some(exchange) => format!("line {} exchange {exchange}", open.line),
                None => match report.other_file(open.file) {
                    Some(path) => format!("{}:{}", safe(path), open.line),
                    None => format!("line {}", open.line),
                },
            };
            let tool = match open.tool.evidence() {
                Some(line) => format!("{} (line {line})", open.tool.name()),
                None => open.tool.name().to_owned(),
            };
            let what = picture::describe(
                open.kind,
                items.call_id(open.call),
                report.labels.get(&open.item),
            );
            let hidden = if open.effective {
                ""
            } else {
                ", not in the next request"
            };
            format!(
                "{what}\n        {place}, {}: {}; tool {tool}{hidden}",
                open.cause.name(),
                open.cause.words()
            )
        })
        .collect();
    section(out, "calls without an output", &lines, paint);
}

fn requests(out: &mut String, run: &Run, report: &SessionReport, paint: Paint) {
    let lines: Vec<String> = run
        .requests
        .iter()
        .map(|request| {
            let outcome = match &request.outcome {
                Outcome::Accepted if request.changed => paint.good("accepted, changed"),
                Outcome::Accepted => paint.good("accepted"),
                Outcome::Refused(_) => paint.bad("refused"),
                Outcome::Depends { .. } => paint.careful("depends"),
                Outcome::Unknown => paint.careful("unknown"),
            };
            let said = request.refusal.as_ref().map_or(String::new(), |fault| {
                format!("  {}", safe(&report.refusal(fault).message))
            });
            let several = matches!(&report.session, Session::Recording(recording) if recording.lanes.len() > 1);
            let lane = if several { format!("  lane {}", safe(report.lane_name(request.lane))) } else { String::new() };
            format!(
                "{:<28} turn {:<3} {:>5} {:<5}  {outcome}{said}{lane}",
                picture::name(request),
                request.turn,
                request.input_items,
                format!("item{}", plural(request.input_items))
            )
        })
        .collect();
    section(out, "requests", &lines, paint);
}

fn strategies(out: &mut String, runs: &[&Run], items: &Items, paint: Paint) {
    let _ = writeln!(out, "\n  {}", paint.heading("strategies"));
    let _ = writeln!(
        out,
        "    {}",
        paint.faint(format!(
            "{:<18} {:<12} {:<13} {:>10}  {:>10}  {:>8}  what it does here",
            "", "verdict", "real outputs", "falsehoods", "items lost", "requests"
        ))
    );
    for run in runs {
        let name = if run.strategy == run.resolved {
            run.strategy.name().to_owned()
        } else {
            format!("{} *", run.resolved.name())
        };
        let kept = if run.score.real_outputs_kept {
            "kept"
        } else {
            "replaced"
        };
        // colour codes have no width: pad first
        let verdict = format!("{:<12}", run.verdict.name());
        let verdict = match run.verdict {
            Verdict::Clean | Verdict::Recovered => paint.good(verdict),
            Verdict::Depends | Verdict::CannotTell => paint.careful(verdict),
            _ => paint.bad(verdict),
        };
        let line = format!(
            "    {name:<18} {verdict} {kept:<13} {:>10}  {:>10}  {:>8}  {}",
            run.score.false_statements,
            run.score.items_lost,
            run.score.requests_sent,
            does(run, items)
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if runs.iter().any(|run| run.strategy == Strategy::AsClient) {
        let _ = writeln!(
            out,
            "    {}",
            paint.faint("* what this session's own client does")
        );
    }
}

/// What a run changed, in a few words.
fn does(run: &Run, items: &Items) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut told: BTreeSet<CallKey> = BTreeSet::new();
    let lists = run.requests.iter().map(|request| &request.injected);
    let mut before = None;
    // requests that are changed alike share one list
    let fresh = lists.filter(|list| {
        let shared = before.is_some_and(|before| Arc::ptr_eq(before, list));
        before = Some(*list);
        !shared
    });
    for made_up in fresh.flat_map(|list| list.iter()) {
        if !told.insert(made_up.call) {
            continue;
        }
        if told.len() > 2 {
            continue;
        }
        let falsehood = if made_up.is_false {
            ", but it had finished"
        } else {
            ""
        };
        said.push(format!(
            "\"aborted\" for {} at input[{}]{falsehood}",
            safe(items.call_id(made_up.call)),
            made_up.position
        ));
    }
    if told.len() > 2 {
        said.push(format!("and {} more", told.len() - 2));
    }
    if run.score.items_lost > 0 {
        let lost = run.score.items_lost;
        said.push(format!("leaves out {lost} item{}", plural(lost)));
    }
    if said.is_empty() && run.requests.iter().any(|request| request.changed) {
        let reads = matches!(run.resolved, Strategy::ErrorBody | Strategy::ErrorBody1610);
        said.push(if reads {
            "answers the call that the 400 names, which is not on file".to_owned()
        } else {
            "sends the whole history".to_owned()
        });
    }
    if run.requests.iter().any(|request| request.loops) {
        said.push("would loop".to_owned());
    }
    said.join("; ")
}

fn problems(out: &mut String, session: &Session, paint: Paint) {
    let problems = session.problems();
    let lines: Vec<String> = problems
        .iter()
        .take(10)
        .map(|problem| safe(&format!("line {}: {}", problem.line, problem.reason)))
        .chain(
            (problems.len() > 10)
                .then(|| format!("and {} more (--format json lists all)", problems.len() - 10)),
        )
        .collect();
    section(out, "reading problems", &lines, paint);
}
