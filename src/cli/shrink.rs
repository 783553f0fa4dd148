//! `replay shrink`.

mod live;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::Environment;
use super::args::ShrinkArgs;
use super::captured;
use super::contract::{self, Policies};
use super::convert::{create, is_same};
use super::error::CliError;
use super::input::{self, Source};
use super::output::Output;
use super::replay::{policies, strategy_named};
use crate::locate::Shelves;
use crate::report::shrink::{self as report, Report};
use crate::session::Session;
use crate::shrink::{self, Contract, Limits, NoRefusal, Same, Shrunk};
use crate::strategy::{self, Options, Probe, Strategy, Verdict};
use crate::trial::oracle::Command;

/// Sessions longer than this are not held in memory.
const MAX: u64 = 1 << 30;

pub(super) fn run(
    args: &ShrinkArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let source = source(args.session.as_deref().filter(|_| !args.last), environment)?;
    let name = source.name();
    check_output(&source, &args.output, args.force)?;
    let shelves = Shelves::new(environment.codex_home.as_deref(), source.path());
    let text = shrink::flatten(text(&source)?, &shelves)
        .map_err(|error| CliError::input(&name, error.to_string()))?;
    let before = (text.len() as u64, text.lines().count() as u64);
    let (policies, citation) =
        contract::policies(args.contract.as_deref(), policies(&args.policy)?)?;
    let made = if args.target.is_some() {
        by_endpoint(args, policies, &name, &text, environment, output)?
    } else if let Some(command) = &args.oracle {
        by_command(command, &name, &text, &source, environment)?
    } else {
        by_rules(args, policies, &name, &text, &shelves, environment)?
    };
    let test = match args.emit {
        Some(form) => {
            let test = super::emit::test(form, &args.output, &made.failure, made.session.as_ref())?;
            if test.path == args.output {
                return Err(CliError::usage(format!(
                    "the test would take the place of {}",
                    test.path.display()
                ))
                .hint("write OUT under another name"));
            }
            check_output(&source, &test.path, args.force)?;
            Some(test)
        }
        None => None,
    };
    write(&args.output, made.shrunk.text.as_bytes(), args.force)?;
    if let Some(test) = &test {
        write(&test.path, test.text.as_bytes(), args.force)?;
    }
    let report = Report {
        path: &name,
        failure: &made.failure,
        strategy: made.strategy,
        not_default: made.not_default,
        before,
        shrunk: &made.shrunk,
        target: made
            .target
            .as_ref()
            .map(|(url, sent)| (url.as_str(), *sent)),
        output: &args.output,
        test: test.as_ref().map(|test| test.path.as_path()),
        contract: citation.as_ref(),
    };
    if output.is_json() {
        output.document(&report::document(&report))?;
    } else {
        output.data(&report::text(&report, output.paint, output.verbose))?;
    }
    Ok(0)
}

/// A session made small, and who said what.
struct Small {
    shrunk: Shrunk,
    failure: String,
    strategy: Option<&'static str>,
    not_default: bool,
    /// The endpoint that was asked, and how many requests it got.
    target: Option<(String, usize)>,
    /// The session, where it could be read.
    session: Option<Session>,
}

fn by_command(
    command: &str,
    name: &str,
    text: &str,
    source: &Source,
    environment: &Environment,
) -> Result<Small, CliError> {
    let mut oracle =
        Command::new(command).map_err(|error| CliError::failed(format!("--oracle: {error}")))?;
    let shrunk = shrink::shrink(text, &mut oracle, Limits::default());
    if let Some(error) = oracle.failure() {
        return Err(CliError::failed(format!("--oracle: {error}")));
    }
    let shrunk = shrunk.ok_or_else(|| {
        nothing(
            name,
            format!("the command does not fail with it: {command}"),
        )
    })?;
    Ok(Small {
        shrunk,
        failure: format!("exit status 0 of: {command}"),
        strategy: None,
        not_default: false,
        target: None,
        session: source.read(environment).ok(),
    })
}

fn asked(args: &ShrinkArgs, policies: Policies) -> Result<(Option<Strategy>, Options), CliError> {
    let strategy = args.recover.as_deref().map(strategy_named).transpose()?;
    let options = Options {
        policies,
        probe: Probe::Auto,
    };
    Ok((strategy, options))
}

/// Reads the session as it is shrunk: a history that begins in other files is one text by now.
fn session(name: &str, text: &str, environment: &Environment) -> Result<Session, CliError> {
    Source::Bytes(text.as_bytes().to_vec())
        .read(environment)
        .map_err(|error| CliError {
            path: Some(name.to_owned()),
            ..error
        })
}

fn by_endpoint(
    args: &ShrinkArgs,
    policies: Policies,
    name: &str,
    text: &str,
    environment: &Environment,
    output: &Output,
) -> Result<Small, CliError> {
    let (strategy, options) = asked(args, policies)?;
    let session = session(name, text, environment)?;
    let made = live::run(name, text, args, &options, strategy, environment, output)?;
    Ok(Small {
        shrunk: made.shrunk,
        failure: made.failure,
        strategy: Some(made.strategy.name()),
        not_default: made.not_default,
        target: Some((made.url, made.sent)),
        session: Some(session),
    })
}

fn by_rules(
    args: &ShrinkArgs,
    policies: Policies,
    name: &str,
    text: &str,
    shelves: &Shelves,
    environment: &Environment,
) -> Result<Small, CliError> {
    let (strategy, options) = asked(args, policies)?;
    let session = session(name, text, environment)?;
    let same = if args.same_call {
        Same::Call
    } else {
        Same::Rule
    };
    let mut contract = Contract::of(&session, strategy, &options, same, shelves)
        .map_err(|none| refused_by_none(name, &none))?;
    let shrunk = by_contract(name, text, &mut contract)?;
    Ok(Small {
        shrunk,
        failure: failure(&contract),
        strategy: Some(contract.strategy().name()),
        not_default: strategy.is_none() && contract.strategy() != strategy::default_for(&session),
        target: None,
        session: Some(session),
    })
}

/// Finds the one session that is meant.
pub(super) fn source(session: Option<&str>, environment: &Environment) -> Result<Source, CliError> {
    let Some(session) = session else {
        return input::last(environment);
    };
    let path = Path::new(session);
    if path.is_dir() && captured::folder(path).is_none() {
        return Err(CliError::usage(format!("{session} is a folder")).hint("one session at a time"));
    }
    let mut found = input::find(session, environment)?.into_iter();
    found
        .next()
        .ok_or_else(|| CliError::input(session, "no such session"))
}

pub(super) fn check_output(source: &Source, out: &Path, force: bool) -> Result<(), CliError> {
    if out == Path::new("-") {
        return Err(CliError::usage("OUT is a file").hint("name it -o FILE"));
    }
    if let Some(read) = source.path()
        && is_same(read, out)
    {
        return Err(CliError::usage("OUT is the file that is read").hint("write into another file"));
    }
    match fs::symlink_metadata(out) {
        Ok(there) if !there.is_file() => Err(CliError::usage(format!(
            "{} is no file that can be replaced",
            out.display()
        ))),
        Ok(_) if !force => Err(CliError::usage(format!("{} exists already", out.display()))
            .hint("--force overwrites it")),
        _ => Ok(()),
    }
}

/// The whole text of a session.
pub(super) fn text(source: &Source) -> Result<String, CliError> {
    let name = source.name();
    let failed = |error: std::io::Error| CliError::input(&name, error.to_string());
    let mut bytes = Vec::new();
    source
        .open()
        .map_err(failed)?
        .take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX {
        return Err(CliError::input(&name, "the session is larger than 1 GiB")
            .hint("cut it first: what stands behind the refusal is not needed"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn by_contract(
    name: &str,
    text: &str,
    contract: &mut Contract<'_>,
) -> Result<Shrunk, CliError> {
    shrink::shrink(text, contract, Limits::default()).ok_or_else(|| {
        CliError {
            path: Some(name.to_owned()),
            ..CliError::failed(
                "the refusal hangs on bytes that are no JSON, so nothing can be taken out safely",
            )
        }
        .hint("replay recover puts such lines aside")
    })
}

fn nothing(name: &str, message: String) -> CliError {
    CliError {
        exit: 1,
        ..CliError::input(name, message)
    }
}

pub(super) fn refused_by_none(name: &str, none: &NoRefusal) -> CliError {
    let tried: Vec<String> = none
        .tried
        .iter()
        .map(|(strategy, verdict)| format!("{}: {}", strategy.name(), verdict.name()))
        .collect();
    let error = nothing(
        name,
        format!("nothing refuses this session ({})", tried.join(", ")),
    );
    if none
        .tried
        .iter()
        .any(|(_, verdict)| *verdict == Verdict::Depends)
    {
        return error.hint("it depends on a policy; --policy NAME=VALUE fixes one");
    }
    error
}

/// How a session is refused, in words.
pub(super) fn failure(contract: &Contract<'_>) -> String {
    let (kind, item, id) = contract.refusal();
    let item = item.map_or("", crate::wire::item::ItemKind::name);
    format!("{} {item} {id}", kind.name()).trim_end().to_owned()
}

pub(super) fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), CliError> {
    create(path, force)?
        .write_all(bytes)
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
}

/// A file to write.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) path: PathBuf,
    pub(super) text: String,
}
