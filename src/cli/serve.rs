//! `replay serve`: arguments turned into a mock, and how it went.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Environment;
use super::args::ServeArgs;
use super::error::CliError;
use super::input;
use super::output::Output;
use crate::endpoint::served::fault::{Cut, Rule};
use crate::endpoint::served::journal::Entry;
use crate::endpoint::served::script::Script;
use crate::endpoint::served::server::Settings;
use crate::endpoint::served::tape::{Match, ReadTape as _, Tapes};
use crate::endpoint::served::{Profile, Rules};
use crate::mock::{Log, Options};
use crate::report::safe;
use crate::serve::{self, Outcome, ServeError};

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
    let options = Options {
        settings: settings(args, environment)?,
        listen: args.listen,
        body_limit: args.body_limit,
        websocket_limit: Duration::from_secs(args.websocket_limit.max(1)),
        websocket: !args.no_websocket,
        log: log(output, args.command.is_empty()),
    };
    let alone = args.command.is_empty();
    let ready = |address: SocketAddr| {
        if alone && output.is_json() {
            let document = json!({"schema": 1, "listening": address.to_string(), "base_url": format!("http://{address}/v1")});
            output
                .data(&format!("{document}\n"))
                .map_err(|it| it.message)?;
        } else if alone {
            output
                .data(&format!("http://{address}/v1\n"))
                .map_err(|it| it.message)?;
        }
        match &args.port_file {
            Some(path) => write_port(path, address),
            None => Ok(()),
        }
    };
    let outcome = serve::run(options, &args.command, ready).map_err(|error| {
        let said = CliError::failed(error.to_string());
        match error {
            ServeError::Listen(..) => {
                said.hint("is the port taken? --listen 127.0.0.1:0 takes a free one")
            }
            _ => said,
        }
    })?;
    finish(&outcome, args.allow_refused, output)
}

/// The file is there when it is whole.
fn write_port(path: &Path, address: SocketAddr) -> Result<(), String> {
    let failed = |why: std::io::Error| format!("cannot write {}: {why}", path.display());
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    std::fs::write(&beside, format!("{address}\n")).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

fn settings(args: &ServeArgs, environment: &Environment) -> Result<Settings, CliError> {
    let mut rules = Rules::default();
    let profile = Profile::ALL.iter().find(|(name, _)| *name == args.profile);
    rules.profile = profile.map_or_else(Profile::default, |(_, profile)| *profile);
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
    settings.miss_is_error = way == Match::Strict && !args.sessions.is_empty();
    Ok(settings)
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

fn finish(outcome: &Outcome, allow: bool, output: &Output) -> Result<u8, CliError> {
    let counts = outcome.counts;
    let Some(status) = &outcome.command else {
        return Ok(0);
    };
    let code = code_of(status);
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
        output.document(&json!({
            "schema": 1,
            "command_status": code,
            "exit": exit,
            "requests": counts.requests,
            "judged": counts.judged,
            "refused": counts.refused,
            "missed": counts.missed,
            "first_refused": refused,
        }))?;
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

/// A command that a signal ended has the status that shells give it.
fn code_of(status: &std::process::ExitStatus) -> u8 {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return u8::try_from(128 + signal).unwrap_or(255);
        }
    }
    status
        .code()
        .map_or(1, |code| u8::try_from(code).unwrap_or(255))
}
