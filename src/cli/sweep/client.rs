//! `replay sweep SESSION --first CMD --next CMD`: a real client.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::Environment;
use super::super::args::{Format, SweepArgs};
use super::super::error::CliError;
use super::super::output::Output;
use super::{cuts, policies, the_one};
use crate::report::ci::Case;
use crate::report::safe;
use crate::report::sweep::trial as draw;
use crate::session::Session;
use crate::strategy::interrupt;
use crate::sweep::Cuts;
use crate::trial::{
    self, Did, Interrupt, Place, Plan, Playable, Results, State, StateError, Template, TrialError,
};

pub(super) fn run(
    args: &SweepArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let source = the_one(&args.session, environment)?;
    let name = source.name();
    let session = source.read(environment)?;
    if matches!(session, Session::Rollout(_)) {
        return Err(
            CliError::input(&name, "a rollout holds no streams that could be served")
                .hint("record the client first: replay record -- COMMAND"),
        );
    }
    let mut bytes = Vec::new();
    source
        .open()
        .and_then(|mut reader| reader.read_to_end(&mut bytes))
        .map_err(|error| CliError::input(&name, error.to_string()))?;
    let plan = plan(args, bytes.into())?;
    let playable = Playable::read(&plan.session).map_err(|why| CliError::input(&name, why))?;
    let places = places(args, &session, &playable, &plan.interrupts)?;
    let cases = trial::cases(&plan, &places);
    if cases.is_empty() {
        return Err(CliError::input(&name, "there is no place to cut")
            .hint("a session needs an answer that is on file"));
    }
    let against = match &args.against {
        Some(path) => Some(State::results_of(path).map_err(|error| unfit(&error))?),
        None => None,
    };
    let mut state = match &args.state {
        Some(path) => State::open(path, &plan).map_err(|error| unfit(&error))?,
        None => State::default(),
    };
    let known = cases.iter().filter(|case| state.knows(case)).count();
    if known > 0 {
        output.note(&format!(
            "{known} of {} cases are done already",
            cases.len()
        ));
    }
    let bar = progress(output);
    let stop = Arc::new(AtomicBool::new(false));
    let verbose = output.verbose;
    let results = trial::run(
        &plan,
        &cases,
        &mut state,
        &stop,
        &|done, all, case, result| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            if verbose {
                bar.suspend(|| {
                    output.note(&format!(
                        "{done}/{all} {}: {}",
                        case.key(),
                        result.did.name()
                    ));
                });
            }
        },
    );
    bar.finish_and_clear();
    let results = results.map_err(|error| match &error {
        TrialError::Session(why) => CliError::input(&name, why.clone()),
        TrialError::State(why) => unfit(why),
        TrialError::Runtime(_) => CliError::failed(error.to_string()),
    })?;
    let report = draw::Tried {
        path: &name,
        plan: &plan,
        cases: cases.len(),
        results: &results,
        against: against.as_ref(),
        command: &command_line(args),
    };
    match output.format {
        Format::Json => output.document(&draw::json(&report))?,
        Format::Junit | Format::Github => {
            let line = |exchange: u32| line_of(&session, exchange);
            output.cases("sweep", &Case::tried(&report, &line))?;
        }
        Format::Markdown => output.data(&draw::markdown(&report))?,
        _ => output.data(&draw::text(&report, output.paint, output.verbose))?,
    }
    if results.len() < cases.len() {
        output.note(&format!(
            "stopped: {} of {} cases are done",
            results.len(),
            cases.len()
        ));
        return Ok(4);
    }
    Ok(status(&results, plan.next.is_some()))
}

/// The line of an exchange's request.
fn line_of(session: &Session, exchange: u32) -> Option<u32> {
    let Session::Recording(recording) = session else {
        return None;
    };
    let mut exchanges = recording.exchanges.iter();
    exchanges
        .find(|it| it.number == exchange)
        .map(|it| it.line)
        .filter(|line| *line > 0)
}

/// 1 if the client failed somewhere, 4 if somewhere it could not be judged.
fn status(results: &Results, has_next: bool) -> u8 {
    let any = |wanted: &dyn Fn(Did) -> bool| results.iter().any(|(_, result)| wanted(result.did));
    let is_silent = |did: Did| did == Did::Silent;
    let untold =
        |did: Did| matches!(did, Did::Failed | Did::NotReached) || (has_next && is_silent(did));
    if any(&Did::fails) {
        1
    } else if any(&untold) || !any(&|did| !is_silent(did)) {
        4
    } else {
        0
    }
}

fn unfit(error: &StateError) -> CliError {
    match error {
        StateError::Io { path, source } => CliError::io(path, source),
        StateError::Other { .. } => {
            CliError::usage(error.to_string()).hint("name another file with --state")
        }
        StateError::Busy { path } => CliError::failed(format!(
            "{} is being written by another trial",
            path.display()
        )),
        StateError::Unfit { path } => {
            CliError::input(&path.display().to_string(), "is no state of a sweep")
        }
    }
}

fn template(name: &str, text: &str) -> Result<Template, CliError> {
    Template::read(text).map_err(|error| CliError::usage(format!("{name}: {error}")))
}

fn plan(args: &SweepArgs, session: Bytes) -> Result<Plan, CliError> {
    let optional = |name: &str, text: &Option<String>| {
        text.as_deref().map(|text| template(name, text)).transpose()
    };
    let wanted = |it: &Interrupt| {
        if args.interrupt.is_empty() {
            *it != Interrupt::Sigterm
        } else {
            args.interrupt.iter().any(|name| name == it.name())
        }
    };
    let limit = Duration::try_from_secs_f64(args.case_timeout)
        .ok()
        .filter(|limit| *limit >= Duration::from_millis(100) && *limit <= Duration::from_secs(3600))
        .ok_or_else(|| CliError::usage("--case-timeout takes seconds from 0.1 to 3600"))?;
    if args.settle > 60_000 {
        return Err(CliError::usage("--settle takes milliseconds up to 60000"));
    }
    let (scratch, keep) = match &args.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| CliError::io(folder, &error))?;
            let folder =
                std::path::absolute(folder).map_err(|error| CliError::io(folder, &error))?;
            (folder, true)
        }
        None => (temporary(), false),
    };
    let local = "127.0.0.1,localhost".to_owned();
    Ok(Plan {
        session,
        first: template("--first", args.first.as_deref().unwrap_or_default())?,
        next: optional("--next", &args.next)?,
        prepare: optional("--prepare", &args.prepare)?,
        interrupts: Interrupt::ALL.into_iter().filter(wanted).collect(),
        repeat: args.repeat.clamp(1, 1000),
        limit,
        settle: Duration::from_millis(args.settle),
        jobs: args.jobs.unwrap_or(2).clamp(1, 16),
        policies: policies(args)?,
        scratch,
        keep,
        environment: vec![
            ("NO_PROXY".to_owned(), local.clone()),
            ("no_proxy".to_owned(), local),
        ],
    })
}

/// The system's folder for what nobody keeps.
fn temporary() -> PathBuf {
    tempfile::env::temp_dir()
}

fn places(
    args: &SweepArgs,
    session: &Session,
    playable: &Playable,
    interrupts: &[Interrupt],
) -> Result<Vec<Place>, CliError> {
    let wanted = args.cuts.as_deref().map(cuts).transpose()?;
    let mut points = interrupt::points(session);
    if wanted == Some(Cuts::Items) {
        points.retain(|point| point.between_items);
    }
    let mut places = playable.places(&points, wanted == Some(Cuts::All));
    places.retain(|place| interrupts.iter().any(|it| it.is_for(place)));
    if let Some(Cuts::Some(most)) = wanted {
        let kept = crate::sweep::spread(places.len(), most);
        let mut at = 0;
        places.retain(|_| {
            let keeps = kept.binary_search(&at).is_ok();
            at += 1;
            keeps
        });
    }
    Ok(places)
}

/// The command that makes this table again.
fn command_line(args: &SweepArgs) -> String {
    let mut words = vec![
        "replay".to_owned(),
        "sweep".to_owned(),
        args.session.clone(),
    ];
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            words.push(name.to_owned());
            words.push(value.to_owned());
        }
    };
    option("--prepare", args.prepare.as_deref());
    option("--first", args.first.as_deref());
    option("--next", args.next.as_deref());
    option("--cuts", args.cuts.as_deref());
    let interrupts = args.interrupt.join(",");
    option(
        "--interrupt",
        (!interrupts.is_empty()).then_some(&interrupts),
    );
    let repeat = args.repeat.to_string();
    option("--repeat", (args.repeat > 1).then_some(&repeat));
    let limit = args.case_timeout.to_string();
    option("--case-timeout", Some(&limit));
    let settle = args.settle.to_string();
    option("--settle", Some(&settle));
    let against = args.against.as_deref().map(Path::to_string_lossy);
    option("--against", against.as_deref());
    for policy in &args.policy {
        option("--policy", Some(policy));
    }
    option("--format", Some("markdown"));
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_nul| safe(&words.join(" ")))
}

fn progress(output: &Output) -> ProgressBar {
    if !output.progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} cases, {elapsed}") {
        bar.set_style(style);
    }
    bar
}
