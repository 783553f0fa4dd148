//! `replay SESSION…`.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Environment;
use super::args::ReplayArgs;
use super::contract;
use super::error::CliError;
use super::input::{self, Source};
use super::labels;
use super::output::{Output, escaped};
use super::target;
use super::with::With;
use crate::check;
use crate::contract::Policy;
use crate::contract::lock::Citation;
use crate::replay::{self, SessionReport};
use crate::report::ci::Case;
use crate::report::{counted, json, story, text};
use crate::session::Session;
use crate::session::exchange;
use crate::session::label::Label;
use crate::strategy::{self, Options, Origin, Probe, Run, Strategy, Verdict};

pub(super) fn run(
    args: &ReplayArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let strategies = args
        .recover
        .iter()
        .map(|name| strategy_named(name))
        .collect::<Result<Vec<_>, _>>()?;
    let (options, citation) = options(args)?;
    let expected = args.expect.as_deref().map(verdict_named).transpose()?;
    let mut sources = Vec::new();
    if args.last {
        sources.push(input::last(environment)?);
    }
    let mut unread: Vec<CliError> = Vec::new();
    for argument in &args.sessions {
        match input::find(argument, environment) {
            Ok(found) => sources.extend(found),
            Err(error) if args.sessions.len() == 1 => return Err(error),
            Err(error) => unread.push(error),
        }
    }
    if sources.is_empty() && unread.is_empty() {
        return Err(CliError::usage("no session is named")
            .hint("name a file, a Codex thread id, or use --last")
            .hint("see 'replay --help'"));
    }
    let several = sources.len() + unread.len() > 1;
    if several && args.write_story.is_some() {
        return Err(CliError::usage("--write-story takes one session at a time"));
    }
    let probe = args.probe.as_deref().unwrap_or(PROBE);
    let target = target::target(&args.target, environment, probe)?;
    let mut ready = Vec::new();
    if several && !args.with.is_empty() {
        return Err(CliError::usage("--with takes one session at a time"));
    }
    let with = With::read(&args.with, environment)?;
    let mut told = Told {
        several,
        ..Told::default()
    };
    for error in unread {
        told.leave_out(error, output)?;
    }
    let mut passed_over: Vec<CliError> = Vec::new();
    for source in &sources {
        let read = match &target {
            None => source.read(environment).map(Some),
            Some(_) => target::Ready::read(source, &strategies, environment).map(|it| {
                ready.push(it);
                None
            }),
        };
        let session = match read {
            Ok(Some(session)) => session,
            // it is sent with the others
            Ok(None) => continue,
            Err(error) if passes_over(args, source) => {
                passed_over.push(error);
                continue;
            }
            Err(error) => {
                told.leave_out(error, output)?;
                continue;
            }
        };
        let mut report = replay::replay(&source.name(), session, &strategies, &options);
        if report.is_empty() {
            let error = nothing(source, &report.session);
            if passes_over(args, source) {
                passed_over.push(error);
                continue;
            }
            told.leave_out(error, output)?;
            continue;
        }
        with.note(&report.session, output);
        report.findings = check::beside(&report.session, &with.named(), &report.open_calls);
        let table = if !output.is_text() || !strategies.is_empty() {
            Vec::new()
        } else {
            table(&report, &options)
        };
        report.contract.clone_from(&citation);
        report.labels = labels::read(source, &report.session, &report.wanted());
        label_probes(&mut report, probe);
        told.show(&report, &table, output)?;
        if let Some(folder) = &args.write_story {
            write_story(folder, source, &report, output)?;
        }
        told.reports.push(report);
    }
    if let Some(target) = &target {
        let sent = target::send(args, target, ready, &options, output)?;
        for (source, mut report) in sent {
            if report.is_empty() {
                told.leave_out(nothing(&source, &report.session), output)?;
                continue;
            }
            with.note(&report.session, output);
            report.findings = check::beside(&report.session, &with.named(), &report.open_calls);
            report.contract.clone_from(&citation);
            label_probes(&mut report, probe);
            told.show(&report, &[], output)?;
            told.reports.push(report);
        }
    }
    let Told {
        reports,
        unread,
        status,
        ..
    } = told;
    if let (Some(error), true) = (passed_over.first(), reports.is_empty() && unread.is_empty()) {
        return Err(error.clone());
    }
    if output.is_json() {
        if let (Some(error), true) = (unread.first(), reports.is_empty()) {
            return Err(error.clone());
        }
        let errors = unread.iter().map(CliError::value).collect();
        output.document(&json::sessions_and_errors(&reports, errors))?;
    } else if output.is_for_ci() {
        let mut cases: Vec<Case> = reports
            .iter()
            .map(|report| Case::replayed(report, expected))
            .collect();
        cases.extend(unread.iter().map(CliError::case));
        output.cases("replay", &cases)?;
    } else {
        output.note("");
        if !passed_over.is_empty() {
            output.note(&format!(
                "{} of these folders passed over as no session",
                counted(passed_over.len(), "file")
            ));
        }
        if target.is_none() {
            output.note(text::MODEL_NOTE);
        }
    }
    match expected {
        None => Ok(status),
        Some(expected) => {
            let wrong = reports
                .iter()
                .filter(|report| report.verdict() != expected)
                .count();
            if wrong > 0 {
                output.note(&format!(
                    "expected {}, but {wrong} of {} differ",
                    expected.name(),
                    reports.len()
                ));
            }
            let unreadable = if unread.is_empty() { 0 } else { 3 };
            Ok(u8::from(wrong > 0).max(unreadable))
        }
    }
}

/// What was told so far.
#[derive(Default)]
struct Told {
    reports: Vec<SessionReport>,
    /// What could not be read or replayed.
    unread: Vec<CliError>,
    /// The highest exit status.
    status: u8,
    /// Whether there is more than one session: the others are told if one cannot be.
    several: bool,
}

impl Told {
    fn leave_out(&mut self, error: CliError, output: &Output) -> Result<(), CliError> {
        if !self.several {
            return Err(error);
        }
        self.status = self.status.max(error.exit);
        if !output.is_json() {
            output.complain(&error);
        }
        self.unread.push(error);
        Ok(())
    }

    fn show(
        &mut self,
        report: &SessionReport,
        table: &[Run],
        output: &mut Output,
    ) -> Result<(), CliError> {
        self.status = self.status.max(report.verdict().exit());
        if output.is_text() {
            let blank = if self.reports.is_empty() { "" } else { "\n" };
            let text = text::session(report, table, output.paint, output.verbose);
            output.data(&format!("{blank}{text}"))?;
        }
        Ok(())
    }
}

/// Says that there is nothing to replay, and why.
fn nothing(source: &Source, session: &Session) -> CliError {
    let name = source.name();
    if let Session::Recording(recording) = session
        && let (exchange::Origin::Events, Some(log)) = (recording.origin, recording.events.source)
    {
        let what = format!("nothing to replay in {}: {}", log.words(), log.lacks());
        return CliError::input(&name, what)
            .hint("replay the rollout or recording of the same session, with --with and this file")
            .hint("replay inspect shows it, replay check lists what is wrong in it");
    }
    CliError::input(
        &name,
        "nothing to replay: no request is on file, and none can be rebuilt",
    )
    .hint(if answers_alone(session) {
        "an answer alone shows no request; replay convert --summary counts what it holds"
    } else {
        "replay check lists what the file holds"
    })
}

/// Whether a file that is no session is none of the user's business: it was found in a folder, not named.
fn passes_over(args: &ReplayArgs, source: &Source) -> bool {
    let below = |folder: &String| match source {
        Source::File(path) => path.starts_with(folder) && path != Path::new(folder),
        Source::Bytes(_) => false,
    };
    args.sessions.iter().any(below)
}

/// Whether a session is made of answers whose requests no file holds.
fn answers_alone(session: &Session) -> bool {
    match session {
        Session::Recording(recording) => {
            let mut exchanges = recording.exchanges.iter();
            !recording.exchanges.is_empty() && exchanges.all(|it| !it.request.whole)
        }
        Session::Rollout(_) => false,
    }
}

/// What a probe's message says.
const PROBE: &str = "continue";

/// Gives the messages of probes, which stand in no file, their text.
fn label_probes(report: &mut SessionReport, text: &str) {
    let items = check::items(&report.session);
    let probes: Vec<_> = report
        .runs
        .iter()
        .flat_map(|run| &run.requests)
        .filter(|request| request.origin == Origin::Probe)
        .flat_map(|request| &request.shown)
        .map(|shown| shown.item)
        .filter(|item| items.get(*item).is_none())
        .collect();
    for item in probes {
        let label = Label::of_value(&serde_json::json!({"role": "user", "content": text}));
        report.labels.insert(item, label);
    }
}

/// Runs under all other strategies, where there is something to compare.
fn table(report: &SessionReport, options: &Options) -> Vec<Run> {
    // where no strategy is at fault, none can help
    let nothing_to_compare = match report.verdict() {
        Verdict::CannotTell | Verdict::Disagrees => true,
        _ => report.runs.iter().all(|run| run.verdict == Verdict::Clean),
    };
    if nothing_to_compare {
        return Vec::new();
    }
    let others = replay::others(&report.runs);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    if workers < 2 || report.runs.iter().all(|run| run.requests.len() < MANY) {
        return others
            .into_iter()
            .map(|strategy| strategy::run(&report.session, strategy, options))
            .collect();
    }
    let runs: Vec<OnceLock<Run>> = others.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(others.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(strategy), Some(run)) = (others.get(at), runs.get(at)) else {
                        break;
                    };
                    run.get_or_init(|| strategy::run(&report.session, *strategy, options));
                }
            });
        }
    });
    runs.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Sessions with fewer requests are run under all strategies before a second thread has begun.
const MANY: usize = 500;

fn write_story(
    folder: &Path,
    source: &Source,
    report: &SessionReport,
    output: &Output,
) -> Result<(), CliError> {
    if report.verdict() != Verdict::Refused {
        output.note(&format!(
            "no story written: the verdict is {}, not refused",
            report.verdict().name()
        ));
        return Ok(());
    }
    let failed = |error: std::io::Error| CliError::failed(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let name = match source {
        Source::File(path) if path.extension().is_some_and(|ending| ending == "json") => {
            "session.json"
        }
        _ => "session.jsonl",
    };
    let files = story::files(report, name);
    let session = folder.join(name);
    for path in [
        &session,
        &folder.join("story.md"),
        &folder.join("expect.json"),
    ] {
        if path.exists() {
            return Err(
                CliError::usage(format!("{} exists already", path.display()))
                    .hint("name another folder"),
            );
        }
    }
    let mut reader = source.open().map_err(failed)?;
    let mut file = std::fs::File::create_new(&session).map_err(failed)?;
    std::io::copy(&mut reader, &mut file).map_err(failed)?;
    std::fs::write(folder.join("story.md"), files.story).map_err(failed)?;
    std::fs::write(
        folder.join("expect.json"),
        escaped(&files.expect).as_bytes(),
    )
    .map_err(failed)?;
    output.note(&format!("story written to {}", folder.display()));
    Ok(())
}

fn options(args: &ReplayArgs) -> Result<(Options, Option<Citation>), CliError> {
    let probe = match (args.no_probe, &args.probe) {
        (true, _) => Probe::Never,
        (false, Some(_)) => Probe::Always,
        (false, None) => Probe::Auto,
    };
    let named = policies(&args.policy)?;
    let (policies, citation) = contract::policies(args.contract.as_deref(), named)?;
    Ok((Options { policies, probe }, citation))
}

/// Reads `--policy` options.
pub(super) fn policies(texts: &[String]) -> Result<Vec<(Policy, usize)>, CliError> {
    texts
        .iter()
        .map(|text| Policy::parse(text).map_err(CliError::usage))
        .collect()
}

pub(super) fn strategy_named(name: &str) -> Result<Strategy, CliError> {
    Strategy::by_name(name).ok_or_else(|| {
        let known = Strategy::ALL.map(Strategy::name).join(", ");
        CliError::usage(format!("no strategy is called '{name}'"))
            .hint(format!("strategies are {known}"))
    })
}

fn verdict_named(name: &str) -> Result<Verdict, CliError> {
    Verdict::by_name(name).ok_or_else(|| {
        let known = Verdict::ALL.map(Verdict::name).join(", ");
        CliError::usage(format!("no verdict is called '{name}'"))
            .hint(format!("verdicts are {known}"))
    })
}
