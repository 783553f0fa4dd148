//! `replay check PATH…`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Environment;
use super::args::CheckArgs;
use super::contract;
use super::error::CliError;
use super::input::{self, Source};
use super::output::Output;
use super::replay::policies;
use super::with::With;
use crate::check::{self, Checked, Severity};
use crate::redact::Lookout;
use crate::report::ci::Case;
use crate::report::{self, counted, json};
use crate::session::Session;
use crate::strategy::{Options, Probe};
use crate::wire::lines::Problem;

/// What was found in one file, in the form it is printed in.
struct Found {
    path: String,
    lines: u32,
    findings: Vec<Value>,
    text: String,
    case: Option<Case>,
    counts: [usize; 3],
    problems: Vec<Problem>,
}

/// What came of one file.
enum Outcome {
    Found(Found),
    /// It is no session.
    NoSession(CliError),
}

pub(super) fn run(
    args: &CheckArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let named = policies(&args.policy)?;
    let (policies, citation) = contract::policies(args.contract.as_deref(), named)?;
    let options = Options {
        policies,
        probe: Probe::Auto,
    };
    let (sources, named) = sources(args, environment)?;
    let single = sources.len() == 1;
    if !single && !args.with.is_empty() {
        return Err(CliError::usage("--with takes one session at a time"));
    }
    let with = With::read(&args.with, environment)?;
    let outcomes = all(&sources, &with, &options, environment, output, args.jobs);
    let mut found = Vec::new();
    let mut status = 0;
    let mut skipped = 0;
    let mut unread = Vec::new();
    for (outcome, named) in outcomes.into_iter().zip(named) {
        match outcome {
            Outcome::Found(one) => found.push(one),
            Outcome::NoSession(error) if single => return Err(error),
            Outcome::NoSession(error) if named => {
                status = status.max(error.exit);
                if !output.is_json() {
                    output.complain(&error);
                }
                unread.push(error);
            }
            Outcome::NoSession(error) => {
                skipped += 1;
                if output.verbose {
                    output.note(&format!(
                        "skipped {}: {}",
                        error.path.unwrap_or_default(),
                        error.message
                    ));
                }
            }
        }
    }
    let errors: usize = found.iter().map(|one| one.counts[0]).sum();
    if errors > 0 {
        status = status.max(1);
    }
    if output.is_json() {
        let mut document = document(&found, &unread);
        if let (Some(citation), Some(members)) = (&citation, document.as_object_mut()) {
            members.insert("contract".to_owned(), json::contract(citation));
        }
        output.document(&document)?;
    } else if output.is_for_ci() {
        let cases = found.into_iter().filter_map(|one| one.case);
        let mut cases: Vec<Case> = cases.map(|case| case.under(citation.as_ref())).collect();
        cases.extend(unread.iter().map(CliError::case));
        output.cases("check", &cases)?;
    } else {
        for one in &found {
            output.data(&one.text)?;
        }
        for one in &found {
            for problem in one
                .problems
                .iter()
                .take(if output.verbose { usize::MAX } else { 3 })
            {
                output.note(&format!(
                    "{}:{}: {}",
                    one.path, problem.line, problem.reason
                ));
            }
        }
        if let Some(citation) = &citation {
            let mut cited = String::new();
            report::text::cite(&mut cited, citation);
            output.data(&cited)?;
        }
        summary(&found, skipped, output);
    }
    Ok(status)
}

fn summary(found: &[Found], skipped: usize, output: &Output) {
    let sum = |severity: usize| {
        found
            .iter()
            .map(|one| one.counts.get(severity).copied().unwrap_or(0))
            .sum::<usize>()
    };
    let lines: u64 = found.iter().map(|one| u64::from(one.lines)).sum();
    let problems: usize = found.iter().map(|one| one.problems.len()).sum();
    let mut said = format!(
        "{}, {}: {}, {}, {} informational",
        counted(found.len(), "session"),
        counted(lines, "line"),
        counted(sum(0), "error"),
        counted(sum(1), "warning"),
        sum(2)
    );
    if problems > 0 {
        let _ = write!(said, "; {}", counted(problems, "reading problem"));
    }
    if skipped > 0 {
        let _ = write!(
            said,
            "; {} passed over as no session (-v names them)",
            counted(skipped, "file")
        );
    }
    output.note(&said);
}

fn document(found: &[Found], unread: &[CliError]) -> Value {
    let findings: Vec<&Value> = found.iter().flat_map(|one| &one.findings).collect();
    let mut problems: Vec<Value> = found
        .iter()
        .flat_map(|one| json::problems(&one.problems, Some(&one.path)))
        .collect();
    for error in unread {
        problems.push(
            json!({"path": error.path, "line": error.line.unwrap_or(0), "reason": error.message}),
        );
    }
    json!({
        "schema": json::SCHEMA,
        "files": found.len(),
        "lines": found.iter().map(|one| u64::from(one.lines)).sum::<u64>(),
        "findings": findings,
        "problems": problems,
    })
}

/// The files, and for each whether the user named it himself.
fn sources(
    args: &CheckArgs,
    environment: &Environment,
) -> Result<(Vec<Source>, Vec<bool>), CliError> {
    if let Some(request) = &args.request {
        let source = if request == "-" {
            input::stdin()?
        } else {
            Source::File(PathBuf::from(request))
        };
        return Ok((vec![source], vec![true]));
    }
    let mut sources = Vec::new();
    let mut named = Vec::new();
    for path in &args.paths {
        let found = input::find(path, environment)?;
        let by_name = !std::path::Path::new(path).is_dir();
        named.extend(found.iter().map(|_| by_name));
        sources.extend(found);
    }
    Ok((sources, named))
}

/// Checks all files, several at once, and returns what came of them in their order.
fn all(
    sources: &[Source],
    with: &With,
    options: &Options,
    environment: &Environment,
    output: &Output,
    jobs: Option<usize>,
) -> Vec<Outcome> {
    let bar = progress(sources, output);
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Outcome>>> = sources.iter().map(|_| Mutex::new(None)).collect();
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = jobs.unwrap_or(available).clamp(1, sources.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(at) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < sources.len())
                {
                    let (Some(source), Some(slot)) = (sources.get(at), outcomes.get(at)) else {
                        break;
                    };
                    let outcome = one(source, with, options, environment, output);
                    bar.inc(size(source));
                    if let Ok(mut slot) = slot.lock() {
                        *slot = Some(outcome);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    outcomes
        .into_iter()
        .zip(sources)
        .map(|(slot, source)| {
            let outcome = slot.into_inner().ok().flatten();
            outcome.unwrap_or_else(|| {
                Outcome::NoSession(CliError::input(&source.name(), "could not be checked"))
            })
        })
        .collect()
}

fn size(source: &Source) -> u64 {
    match source {
        Source::File(path) => std::fs::metadata(path).map_or(0, |data| data.len()),
        Source::Bytes(bytes) => bytes.len() as u64,
    }
}

fn progress(sources: &[Source], output: &Output) -> ProgressBar {
    if !output.progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(sources.iter().map(size).sum());
    let style =
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn one(
    source: &Source,
    with: &With,
    options: &Options,
    environment: &Environment,
    output: &Output,
) -> Outcome {
    let mut lookout = Lookout::default();
    match source.read_watched(environment, Some(&mut lookout)) {
        Ok(session) => {
            with.note(&session, output);
            let mut checked = check::check_with(&session, &with.named(), options);
            checked.add_secrets(&lookout.finish());
            Outcome::Found(found(source, &session, &checked, output))
        }
        Err(error) => Outcome::NoSession(error),
    }
}

fn found(source: &Source, session: &Session, checked: &Checked, output: &Output) -> Found {
    let path = source.name();
    let items = check::items(session);
    let case = output
        .is_for_ci()
        .then(|| Case::checked(&path, checked, session.problems()));
    let (findings, text) = if output.is_json() {
        (
            checked
                .findings
                .iter()
                .map(|finding| json::finding(finding, &path, items))
                .collect(),
            String::new(),
        )
    } else {
        (
            Vec::new(),
            report::check::findings(&path, &checked.findings, output.paint),
        )
    };
    let count = |severity: Severity| {
        checked
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    Found {
        lines: session.lines(),
        findings,
        text,
        case,
        counts: [
            count(Severity::Error),
            count(Severity::Warning),
            count(Severity::Info),
        ],
        problems: session.problems().to_vec(),
        path,
    }
}
