//! `replay sweep SESSION`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

mod client;

use super::Environment;
use super::args::{Format, SweepArgs};
use super::contract;
use super::error::CliError;
use super::input::{self, Source};
use super::inspect::load::Opened;
use super::output::Output;
use crate::contract::Policy;
use crate::report::ci::Case;
use crate::report::sweep::{self as draw, Swept};
use crate::report::text::MODEL_NOTE;
use crate::session::Session;
use crate::strategy::Strategy;
use crate::strategy::interrupt::{Base, Next, Who};
use crate::sweep::{self, Cuts, Plan, Variant};

pub(super) fn run(
    args: &SweepArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let chosen = match &args.recover {
        Some(name) => strategy_named(name)?,
        None => Strategy::AsClient,
    };
    let (policies, citation) = contract::policies(args.contract.as_deref(), policies(args)?)?;
    let plan = plan(args, chosen, policies)?;
    if args.first.is_some() {
        if args.contract.is_some() {
            return Err(CliError::usage(
                "--contract goes with what is judged here, not with a real client",
            )
            .hint("name the policies of the mock that it meets: --policy NAME=VALUE"));
        }
        return client::run(args, environment, output);
    }
    let known = args.baseline.as_deref().map(baseline).transpose()?;
    let source = the_one(&args.session, environment)?;
    let session = source.read(environment)?;
    if matches!(session, Session::Rollout(_)) && !args.transport.is_empty() {
        return Err(CliError::usage(
            "--transport: a rollout does not say how its requests travelled",
        ));
    }
    let bar = progress(output);
    let told = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let swept = sweep::sweep(&session, &plan, &told);
    bar.finish_and_clear();
    let name = source.name();
    if swept.points == 0 {
        return Err(CliError::input(
            &name,
            "nothing to cut: no request is on file, and none can be rebuilt",
        )
        .hint("replay check lists what the file holds"));
    }
    let report = Swept {
        path: &name,
        source: kind_of(&session),
        sweep: &swept,
        chosen,
        known: known.as_deref(),
        contract: citation.as_ref(),
    };
    match output.format {
        Format::Json => output.document(&draw::json(&report))?,
        Format::Html => output.data(&draw::html(&report))?,
        Format::Junit | Format::Github => output.cases("sweep", &cases(&report, &source)?)?,
        _ => {
            let columns = crate::inspect::columns().map(usize::from);
            output.data(&draw::text(&report, output.paint, output.verbose, columns))?;
            output.note(MODEL_NOTE);
        }
    }
    let fails = report.failing().next().is_some();
    Ok(match (fails, report.is_unknown()) {
        (true, _) => 1,
        (false, true) => 4,
        (false, false) => 0,
    })
}

/// The sweep for CI; lines are told where they are those of the file.
fn cases(report: &Swept<'_>, source: &Source) -> Result<Vec<Case>, CliError> {
    let mut cases = Case::swept(report);
    // what comes on stdin has been read, and has no place in a file
    if source.path().is_none() || Opened::new(source)?.is_converted {
        for mark in cases.iter_mut().flat_map(|case| &mut case.marks) {
            mark.line = None;
        }
    }
    Ok(cases)
}

/// The one session that is named.
fn the_one(name: &str, environment: &Environment) -> Result<Source, CliError> {
    let mut found = input::find(name, environment)?;
    match (found.pop(), found.is_empty()) {
        (Some(source), true) => Ok(source),
        (Some(_), false) => Err(CliError::usage("sweep takes one session at a time")
            .hint("name one file of the folder")),
        (None, _) => Err(CliError::input(name, "there is no session")),
    }
}

fn kind_of(session: &Session) -> &'static str {
    match session {
        Session::Recording(_) => "recording",
        Session::Rollout(_) => "rollout",
    }
}

fn strategy_named(name: &str) -> Result<Strategy, CliError> {
    Strategy::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = Strategy::ALL.iter().map(|it| it.name()).collect();
        CliError::usage(format!("'{name}' is no strategy"))
            .hint(format!("strategies are {}", names.join(", ")))
    })
}

fn plan(
    args: &SweepArgs,
    chosen: Strategy,
    policies: Vec<(Policy, usize)>,
) -> Result<Plan, CliError> {
    let mut strategies = args
        .strategies
        .iter()
        .map(|name| strategy_named(name))
        .collect::<Result<Vec<_>, _>>()?;
    if strategies.is_empty() {
        strategies = Strategy::ALL.to_vec();
    } else if !strategies.contains(&chosen) {
        strategies.insert(0, chosen);
    }
    let mut seen = Vec::new();
    strategies.retain(|it| {
        !seen.contains(it) && {
            seen.push(*it);
            true
        }
    });
    let who: Vec<Who> = Who::ALL
        .into_iter()
        .filter(|who| args.who.is_empty() || args.who.iter().any(|it| it == who.name()))
        .collect();
    let mut nexts = Vec::new();
    for name in &args.base {
        let base = match name.as_str() {
            "whole" => Some(Base::Whole),
            "complete" => Some(Base::Complete),
            "seen" => Some(Base::Seen),
            _ => None,
        };
        nexts.extend(who.iter().map(|who| Next { who: *who, base }));
    }
    nexts.sort_unstable();
    nexts.dedup();
    Ok(Plan {
        strategies,
        nexts,
        cuts: cuts(args.cuts.as_deref().unwrap_or("all"))?,
        policies,
        variants: variants(args)?,
        twice: args.twice,
        jobs: args.jobs.unwrap_or_else(cores).clamp(1, 64),
    })
}

fn policies(args: &SweepArgs) -> Result<Vec<(Policy, usize)>, CliError> {
    args.policy
        .iter()
        .map(|text| Policy::parse(text).map_err(CliError::usage))
        .collect()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn cuts(text: &str) -> Result<Cuts, CliError> {
    match text {
        "all" => Ok(Cuts::All),
        "items" => Ok(Cuts::Items),
        number => match number.parse::<usize>() {
            Ok(most) if most > 0 => Ok(Cuts::Some(most)),
            _ => Err(CliError::usage(format!("--cuts: '{number}' is no place"))
                .hint("take all, items, or a number from 1")),
        },
    }
}

/// The session as it is, and typed anew in every way that was asked for.
fn variants(args: &SweepArgs) -> Result<Vec<Variant>, CliError> {
    let mut kinds = vec![None];
    for name in &args.kinds {
        let kind = sweep::kind_by_name(name).ok_or_else(|| {
            CliError::usage(format!("--kinds: '{name}' is no kind of call"))
                .hint("kinds are function, custom, local_shell, shell_call, apply_patch_call, computer_call")
        })?;
        if !kinds.contains(&Some(kind)) {
            kinds.push(Some(kind));
        }
    }
    let mut ids = vec![None];
    if let Some(form) = &args.ids {
        if form.contains("call_") || form.chars().any(char::is_control) || form.len() > 32 {
            return Err(CliError::usage(
                "--ids takes up to 32 characters without 'call_'",
            ));
        }
        ids.push(Some(form.clone()));
    }
    let mut transports = vec![None];
    for name in &args.transport {
        let known = ["http", "websocket"].into_iter().find(|it| it == name);
        if known.is_some() && !transports.contains(&known) {
            transports.push(known);
        }
    }
    let mut found = Vec::new();
    for transport in transports {
        for ids in &ids {
            for kind in &kinds {
                found.push(Variant {
                    kind: *kind,
                    ids: ids.clone(),
                    transport,
                });
            }
        }
    }
    Ok(found)
}

/// So much of a baseline is read: 256 MiB.
const LONGEST_BASELINE: u64 = 256 << 20;

/// The keys of the cells that fail in an older document.
fn baseline(path: &Path) -> Result<Vec<String>, CliError> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| CliError::io(path, &error))?;
    file.take(LONGEST_BASELINE)
        .read_to_end(&mut text)
        .map_err(|error| CliError::io(path, &error))?;
    let name = path.display().to_string();
    let unfit = || {
        CliError::input(&name, "is no JSON document of 'replay sweep'")
            .hint("make one with 'replay sweep SESSION --format json'")
    };
    let document: Value = serde_json::from_slice(&text).map_err(|_not_json| unfit())?;
    let cells = document.get("cells").and_then(Value::as_array);
    let cells = cells.ok_or_else(unfit)?;
    let fails = |cell: &&Value| cell.get("fails").and_then(Value::as_bool) == Some(true);
    let key = |cell: &Value| cell.get("key").and_then(Value::as_str).map(str::to_owned);
    Ok(cells.iter().filter(fails).filter_map(key).collect())
}

fn progress(output: &Output) -> ProgressBar {
    if !output.progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} columns") {
        bar.set_style(style);
    }
    bar
}
