//! `replay serve`: arguments turned into a mock, and how it went.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

mod cassette;

use super::Environment;
use super::args::ServeArgs;
use super::contract;
use super::error::CliError;
use super::input;
use super::output::Output;
use super::record::write_port_file;
use crate::client::home::Home;
use crate::client::launch::{self, Exit, Launch, LaunchError};
use crate::client::plan::{self, Choice, Given, Kind, Locals};
use crate::client::{Direction, EventSource, Sink, program};
use crate::contract::Policy;
use crate::contract::lock::{Citation, Lock};
use crate::endpoint::served::fault::{Cut, Rule};
use crate::endpoint::served::journal::Entry;
use crate::endpoint::served::script::Script;
use crate::endpoint::served::server::{Otherwise, Settings};
use crate::endpoint::served::tape::{Match, ReadTape as _, Tapes};
use crate::endpoint::served::{Profile, Rules};
use crate::mock::{Log, Options};
use crate::report::safe;
use crate::serve::{Outcome, ServeError, Serving};
use cassette::Mode;

/// Runs the verb.
pub(super) fn run(
    args: &ServeArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    if !args.listen.ip().is_loopback() && !args.any_host {
        return Err(CliError::usage(format!(
            "{} can be reached by other machines, and anybody who reaches it can read every request",
            args.listen
        ))
        .hint("listen on 127.0.0.1, or add --any-host"));
    }
    let mode = Mode::of(args.mode.as_deref(), environment.ci);
    let lock = contract::lock(args.contract.as_deref())?;
    let (mut settings, recorded) = settings(args, lock.as_ref(), environment, mode)?;
    let named: Vec<_> = args
        .policy
        .iter()
        .filter_map(|text| Policy::parse(text).ok())
        .collect();
    let accepts = lock.as_ref().is_some_and(Lock::accepts_open_calls);
    let citation = lock.zip(args.contract.as_deref());
    let citation =
        citation.map(|(lock, path)| contract::cited(&lock, &path.display().to_string(), &named));
    if let Some(citation) = &citation {
        output.note(&citation.words());
        if accepts {
            output
                .note("that endpoint was seen to accept calls without outputs; this mock does not");
        }
    }
    let cassette = cassette::open(args, mode, recorded, &mut settings)?;
    let alone = args.command.is_empty();
    let serving = Serving::start(Options {
        settings,
        listen: args.listen,
        body_limit: args.body_limit,
        websocket_limit: Duration::from_secs(args.websocket_limit.max(1)),
        websocket: !args.no_websocket,
        upstream: cassette.as_ref().map(|it| it.upstream.clone()),
        log: log(output, alone),
    });
    let ran = serving.and_then(|serving| {
        if alone {
            return serving.until_signal(|address| say(args, output, citation.as_ref(), address));
        }
        if let Some(path) = &args.port_file {
            write_port_file(path, serving.address())
                .map_err(|why| ServeError::Ready(why.message))?;
        }
        serving.around(|address| launch(args, environment, output, address))
    });
    if let Some(cassette) = cassette {
        cassette.finish(output);
    }
    let outcome = ran.map_err(|error| {
        let said = CliError::failed(error.to_string());
        match &error {
            ServeError::Listen(..) => said.hint("--listen 127.0.0.1:0 takes any free port"),
            ServeError::Command(why) => CliError {
                exit: u8::try_from(why.status()).unwrap_or(1),
                ..said
            },
            _ => said,
        }
    })?;
    finish(&outcome, args.allow_refused, citation.as_ref(), output)
}

/// Says where it listens.
fn say(
    args: &ServeArgs,
    output: &Output,
    citation: Option<&Citation>,
    address: SocketAddr,
) -> Result<(), String> {
    if let Some(path) = &args.port_file {
        write_port_file(path, address).map_err(|it| it.message)?;
    }
    let url = format!("http://{address}/v1");
    let said = if output.is_json() {
        let address = address.to_string();
        let mut document = json!({"schema": 1, "listening": address, "base_url": url});
        cite(&mut document, citation);
        document.to_string()
    } else {
        url
    };
    output.data(&format!("{said}\n")).map_err(|it| it.message)
}

/// Says in a document which contract the mock keeps, if it is that of an endpoint.
fn cite(document: &mut Value, citation: Option<&Citation>) {
    if let (Some(citation), Some(members)) = (citation, document.as_object_mut()) {
        members.insert(
            "contract".to_owned(),
            crate::report::json::contract(citation),
        );
    }
}

/// Runs the command, pointed at the server.
fn launch(
    args: &ServeArgs,
    environment: &Environment,
    output: &Output,
    address: SocketAddr,
) -> Result<Exit, LaunchError> {
    let variables = &environment.client;
    let home = variables.codex_home(Kind::Codex);
    let home = home.map(|it| Home::load(&it)).unwrap_or_default();
    let program = args.command.first();
    let installed = program.map(|it| program::look(it, variables.path.as_deref()));
    let installed = installed.unwrap_or_default();
    let given = Given {
        command: &args.command,
        choice: Choice::Detect,
        environment: variables,
        home: &home,
        installed: &installed,
    };
    let mut survey = plan::survey(given);
    for upstream in &mut survey.upstreams {
        upstream.path.clear();
    }
    if survey.kind != Kind::Other {
        for note in &survey.notes {
            output.note(note);
        }
    }
    let locals = Locals {
        model: format!("http://{address}/v1"),
        chatgpt: Some(format!("http://{address}/backend-api")),
    };
    let mut plan = survey.plan(given, &locals);
    let mut set = |name: &str, value: String| plan.environment.push((name.into(), value.into()));
    set("REPLAY_URL", format!("http://{address}"));
    if args.upstream.is_none() {
        // a real key has no business here
        set("OPENAI_API_KEY", "replay".to_owned());
    }
    set("OPENAI_BASE_URL", format!("http://{address}/v1"));
    let sink: Arc<dyn Sink> = Arc::new(Nothing);
    launch::run(
        &Launch {
            plan,
            home: None,
            events: None,
            tui_log: None,
        },
        &sink,
    )
}

/// What a client writes is not followed here.
struct Nothing;

impl Sink for Nothing {
    fn rollout_file(&self, _path: &str, _line: u32, _byte: u64) {}
    fn rollout(&self, _path: &str, _line: u32, _bytes: &[u8]) {}
    fn client_event(&self, _source: EventSource, _direction: Direction, _bytes: &[u8]) {}
    fn trouble(&self, _text: &str) {}
}

/// Reads everything that answers come from; returns also the recordings of the cassette.
fn settings(
    args: &ServeArgs,
    lock: Option<&Lock>,
    environment: &Environment,
    mode: Mode,
) -> Result<(Settings, Vec<PathBuf>), CliError> {
    let mut rules = Rules::default();
    let profile = Profile::ALL.iter().find(|(name, _)| *name == args.profile);
    rules.profile = profile.map_or_else(Profile::default, |(_, profile)| *profile);
    if let Some(lock) = lock {
        for (name, value) in lock.policies.iter().chain(&lock.habits) {
            rules.set(&format!("{name}={value}")).map_err(|why| {
                let path = args.contract.as_deref().map(|it| it.display().to_string());
                CliError::input(&path.unwrap_or_default(), why)
            })?;
        }
    }
    for policy in &args.policy {
        rules.set(policy).map_err(CliError::usage)?;
    }
    if !args.speed.is_finite() || args.speed < 0.0 {
        return Err(CliError::usage("--speed is a number from 0"));
    }
    let mut settings = Settings {
        rules,
        latency: Duration::from_millis(args.latency.min(3_600_000)),
        speed: args.speed,
        exact: args.chunks == "exact",
        started: environment.now.as_secs(),
        // whoever wants the same ids twice says a seed
        seed: args
            .seed
            .unwrap_or_else(|| u64::try_from(environment.now.as_nanos()).unwrap_or_default()),
        ..Settings::default()
    };
    for cut in &args.cut {
        settings
            .cuts
            .push(Rule::<Cut>::parse(cut).map_err(CliError::usage)?);
    }
    for fail in &args.fail {
        settings
            .fails
            .push(Rule::<u16>::parse(fail).map_err(CliError::usage)?);
    }
    if !args.model.is_empty() {
        settings.models.clone_from(&args.model);
    }
    if let Some(path) = &args.script {
        let text = std::fs::read_to_string(path).map_err(|error| CliError::io(path, &error))?;
        let script = Script::read(&text);
        let script = script.map_err(|why| CliError::input(&path.display().to_string(), why))?;
        settings.script = Some(script);
    }
    let way = Match::ALL.iter().find(|(name, _)| *name == args.matching);
    let way = way.map_or_else(Match::default, |(_, way)| *way);
    settings.tapes = Tapes::new(way, args.faults == "recorded");
    for session in &args.sessions {
        read(session, environment, &mut settings.tapes)?;
    }
    if way == Match::Strict && !args.sessions.is_empty() {
        settings.otherwise = Otherwise::Error;
    }
    let recorded = match &args.cassette {
        None => Vec::new(),
        Some(folder) => cassette::episodes(folder)?,
    };
    for path in recorded.iter().filter(|_| mode != Mode::All) {
        let bytes = std::fs::read(path).map_err(|error| CliError::io(path, &error))?;
        settings
            .tapes
            .read_tape(&bytes)
            .map_err(|error| CliError::input(&path.display().to_string(), error.to_string()))?;
    }
    Ok((settings, recorded))
}

fn read(session: &str, environment: &Environment, tapes: &mut Tapes) -> Result<(), CliError> {
    use std::io::Read as _;
    for source in input::find(session, environment)? {
        let name = source.name();
        let failed = |error: std::io::Error| CliError::input(&name, error.to_string());
        let mut bytes = Vec::new();
        let mut reader = source.open().map_err(failed)?;
        reader.read_to_end(&mut bytes).map_err(failed)?;
        let count = tapes.read_tape(&bytes).map_err(|error| {
            CliError::input(&name, error.to_string())
                .hint("answers are played from recordings and from lines of {request,status,body}")
        })?;
        if count == 0 {
            let why = "it holds no request for a response";
            return Err(CliError::input(&name, why));
        }
    }
    Ok(())
}

/// Requests that broke the contract or found no recorded answer are told of, the others with `-v`. Beside a command, whose
/// own talk they would interrupt, the summary tells of them.
fn log(output: &Output, alone: bool) -> Option<Log> {
    if output.quiet {
        return None;
    }
    let all = output.verbose;
    Some(Arc::new(move |entry: &Entry| {
        if all || (alone && (entry.broke_contract() || entry.miss.is_some())) {
            let mut stderr = std::io::stderr().lock();
            let _lost: std::io::Result<()> = writeln!(stderr, "{}", safe(&entry.line()));
        }
    }))
}

fn finish(
    outcome: &Outcome,
    allow: bool,
    citation: Option<&Citation>,
    output: &Output,
) -> Result<u8, CliError> {
    let counts = outcome.counts;
    let Some(status) = &outcome.command else {
        return Ok(0);
    };
    let code = u8::try_from(status.status()).unwrap_or(1);
    let exit = if code == 0 && counts.refused > 0 && !allow {
        1
    } else {
        code
    };
    if output.is_json() {
        let refused: Vec<Value> = outcome
            .refused
            .iter()
            .map(|it| json!({"number": it.number, "message": it.refused.as_ref().map(|it| it.message.clone())}))
            .collect();
        let mut document = json!({
            "schema": 1,
            "command_status": code,
            "exit": exit,
            "requests": counts.requests,
            "judged": counts.judged,
            "refused": counts.refused,
            "missed": counts.missed,
            "first_refused": refused,
        });
        cite(&mut document, citation);
        output.document(&document)?;
    } else {
        output.note(&format!(
            "replay serve: {} requests, {} judged, {} refused{}",
            counts.requests,
            counts.judged,
            counts.refused,
            if counts.missed > 0 {
                format!(", {} without a recorded answer", counts.missed)
            } else {
                String::new()
            }
        ));
        for entry in &outcome.refused {
            output.note(&format!("  {}", entry.line()));
        }
    }
    Ok(exit)
}
