//! The command line: what was typed, turned into what was meant, and the results written.
//!
//! Only this room knows arguments, the environment, files by path and the terminal. Data goes to stdout, talk to stderr.

pub mod args;
mod captured;
mod check;
mod contract;
mod convert;
mod counts;
mod diff;
mod emit;
mod error;
mod explain;
mod hidden;
mod input;
mod inspect;
mod labels;
mod now;
mod output;
mod pages;
mod probe;
mod record;
mod recover;
mod replay;
mod serve;
mod share;
mod shrink;
mod sweep;
mod target;
mod texts;
mod with;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};

use args::{Cli, Verb};
use error::CliError;
use output::Output;

/// What the environment says, read once.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `CODEX_HOME`, or `~/.codex`.
    pub codex_home: Option<PathBuf>,
    /// Whether `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// Whether `CI` is set.
    pub ci: bool,
    /// What decides where a client's requests would go.
    pub client: crate::client::plan::Environment,
    /// The time at the start, since 1970.
    pub now: std::time::Duration,
}

impl Environment {
    /// Reads the environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    pub fn read() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = set("HOME")
            .or_else(|| set("USERPROFILE"))
            .map(PathBuf::from);
        Self {
            codex_home: set("CODEX_HOME")
                .map(PathBuf::from)
                .or_else(|| home.map(|home| home.join(".codex"))),
            no_color: set("NO_COLOR").is_some(),
            ci: set("CI").is_some(),
            client: crate::client::plan::Environment::of(std::env::vars_os()),
            now: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }
}

impl Environment {
    /// Reads one variable that the user has named; nothing of it is held here.
    #[expect(
        clippy::disallowed_methods,
        clippy::unused_self,
        reason = "this is the one place that reads it"
    )]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

/// Runs the program and returns its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> u8 {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    verb_first(&mut arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    let mut output = Output::new(&cli.global, environment);
    if let Err(error) = form_of(cli.verb.as_ref(), output.format) {
        return output.complain(&error);
    }
    let asked = arguments
        .iter()
        .any(|it| it.to_str().is_some_and(|it| it.starts_with("--format")));
    let done = match &cli.verb {
        None => replay::run(&cli.replay, environment, &mut output),
        Some(Verb::Explain(args)) => explain::run(args, environment, &mut output),
        Some(Verb::Check(args)) => check::run(args, environment, &mut output),
        Some(Verb::Record(args)) => record::run(args, environment, &mut output),
        Some(Verb::Diff(args)) => diff::run(args, environment, &mut output),
        Some(Verb::Convert(args)) => convert::run(args, &mut output),
        Some(Verb::Inspect(args)) => inspect::run(args, asked, environment, &mut output),
        Some(Verb::Probe(args)) => probe::run(args, environment, &mut output),
        Some(Verb::Recover(args)) => recover::run(args, environment, &mut output),
        Some(Verb::Sweep(args)) => sweep::run(args, environment, &mut output),
        Some(Verb::Shrink(args)) => shrink::run(args, environment, &mut output),
        Some(Verb::Share(args)) => share::run(args, environment, &mut output),
        Some(Verb::Serve(args)) => serve::run(args, environment, &mut output),
        Some(Verb::Completions { shell }) => pages::completions(*shell, &mut output),
        Some(Verb::Man { verb }) => pages::man(verb.as_deref(), &mut output),
    };
    let status = match done {
        Ok(status) => status,
        Err(error) => output.fail(&error),
    };
    if cli.global.bisect {
        bisect(status)
    } else {
        status
    }
}

/// Puts the verb in front of options that stand everywhere, as in `replay --format json check .`: behind any argument, clap
/// would take its name for a session.
fn verb_first(arguments: &mut [OsString]) {
    let mut at = 1;
    while let Some(argument) = arguments.get(at).and_then(|it| it.to_str()) {
        at += match argument {
            "--format" | "--color" => 2,
            "--quiet" | "--verbose" | "--bisect" | "-q" => 1,
            _ if ["--format=", "--color=", "-v"]
                .iter()
                .any(|it| argument.starts_with(it)) =>
            {
                1
            }
            _ if Cli::command().find_subcommand(argument).is_some() => {
                if let Some(front) = arguments.get_mut(1..=at) {
                    front.rotate_right(1);
                }
                return;
            }
            _ => return,
        };
    }
}

/// Whether a verb knows a form.
fn form_of(verb: Option<&Verb>, format: args::Format) -> Result<(), CliError> {
    use args::Format;
    let known = match format {
        Format::Text | Format::Json => true,
        Format::Events => matches!(verb, Some(Verb::Inspect(_))),
        Format::Html => match verb {
            Some(Verb::Sweep(sweep)) => sweep.first.is_none(),
            verb => matches!(verb, Some(Verb::Inspect(_))),
        },
        // the table of a real client
        Format::Markdown => matches!(verb, Some(Verb::Sweep(sweep)) if sweep.first.is_some()),
        Format::Junit | Format::Github => matches!(
            verb,
            None | Some(Verb::Check(_) | Verb::Diff(_) | Verb::Sweep(_))
        ),
    };
    if known {
        return Ok(());
    }
    Err(CliError::usage("--format takes text or json here")
        .hint("events and html are forms of 'replay inspect', html of 'replay sweep', markdown of 'replay sweep --first'")
        .hint("junit and github are forms of 'replay', 'replay check', 'replay diff' and 'replay sweep'"))
}

/// The exit status as `git bisect run` reads it: 125 skips a commit, everything from 128 stops.
fn bisect(status: u8) -> u8 {
    match status {
        0 | 1 => status,
        2 => 128,
        _ => 125,
    }
}

/// Tells what is wrong with the arguments, as JSON where JSON was asked for.
fn usage(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let wants_json = arguments
        .windows(2)
        .any(|pair| matches!(pair, [name, value] if name == "--format" && value == "json"))
        || arguments.iter().any(|argument| argument == "--format=json");
    if wants_json && error.use_stderr() {
        let text = error.render().to_string();
        // the first paragraph: a message, or one with the arguments that are missing
        let first: Vec<&str> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        let message = first.join(" ").trim_start_matches("error: ").to_owned();
        return Output::plain_json().fail(&CliError::usage(message).hint("see 'replay --help'"));
    }
    let status = match (
        error.use_stderr(),
        arguments.iter().any(|it| it == "--bisect"),
    ) {
        (true, true) => bisect(2),
        (true, false) => 2,
        (false, _) => 0,
    };
    // a closed pipe is no reason to complain
    let _unwritten: Result<(), std::io::Error> = error.print();
    status
}
