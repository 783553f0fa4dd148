//! Command lines: which program is run, and what they say to Codex.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::client::program::version_of;

/// Codex in a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where its own arguments begin.
    pub(super) arguments: usize,
    /// The version a package runner is asked for.
    pub(super) version: Option<(u64, u64)>,
}

/// The last part of a path, on any system, without the endings of programs.
fn stem(argument: &OsStr) -> Option<&str> {
    let name = Path::new(argument).file_name()?.to_str()?;
    let name = name.rsplit('\\').next()?;
    [".exe", ".cmd", ".ps1"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .or(Some(name))
}

/// Whether a program's name is Codex's: `codex`, `codex-0.45.0`, `codex-x86_64-unknown-linux-musl`.
fn is_codex(name: &str) -> bool {
    let systems = ["x86_64-", "aarch64-", "linux-", "darwin-", "win32-"];
    name == "codex"
        || name.strip_prefix("codex-").is_some_and(|rest| {
            let rest = rest.strip_prefix('v').unwrap_or(rest);
            rest.starts_with(|c: char| c.is_ascii_digit())
                || systems.iter().any(|system| rest.starts_with(system))
        })
}

/// The version behind a package as a runner names it: `@openai/codex`, `@openai/codex@0.45.0`, `codex`; empty if there
/// is none.
fn package(argument: &OsStr) -> Option<&str> {
    let text = argument.to_str()?;
    let (name, version) = match text.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() => (name, version),
        _ => (text, ""),
    };
    matches!(name, "@openai/codex" | "codex").then_some(version)
}

/// What a program does with its arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// `node`: runs a script.
    Script,
    /// `npx`: runs a package.
    Package,
    /// `timeout`: runs a program.
    Program,
}

/// Finds Codex in a command line: as the program, as a script that `node` runs, as a package of a package runner, or
/// behind a program that runs another one unchanged (`timeout 60 codex`).
pub(super) fn find(command: &[OsString]) -> Option<Found> {
    let (program, arguments) = command.split_first()?;
    let program = stem(program)?;
    if is_codex(program) || program == "codex.js" {
        return Some(Found {
            arguments: 1,
            version: None,
        });
    }
    let (skip, runs) = match program {
        "node" | "nodejs" => (0, Runs::Script),
        "npx" | "bunx" => (0, Runs::Package),
        "npm" | "pnpm" | "yarn" | "bun" => {
            let verb = arguments.first()?.to_str()?;
            if !matches!(verb, "dlx" | "exec" | "x") {
                return None;
            }
            (1, Runs::Package)
        }
        "env" | "timeout" | "nice" | "nohup" | "setsid" | "stdbuf" | "time" | "strace"
        | "caffeinate" => (0, Runs::Program),
        _ => return None,
    };
    let mut is_value = false;
    for (at, argument) in arguments.iter().enumerate().skip(skip) {
        let found = match runs {
            Runs::Script => stem(argument)
                .filter(|it| *it == "codex.js" || is_codex(it))
                .map(|_| (1, None)),
            Runs::Package => package(argument).map(|version| {
                // `npx -p @openai/codex codex`, `npm exec @openai/codex -- …`
                let more = arguments.get(at + 1).and_then(|it| stem(it));
                let more = matches!(more, Some("codex" | "--"));
                (1 + usize::from(more), version_of(version))
            }),
            Runs::Program => find(arguments.get(at..)?).map(|it| (it.arguments, it.version)),
        };
        if let Some((behind, version)) = found {
            return Some(Found {
                arguments: 1 + at + behind,
                version,
            });
        }
        // options may come before it, with or without values; anything else is another program
        let text = argument.to_str()?;
        let is_option = text.starts_with('-');
        let is_setting = runs == Runs::Program
            && (text.contains('=') || text.starts_with(|c: char| c.is_ascii_digit()));
        if !is_option && !is_setting && !is_value {
            return None;
        }
        is_value = is_option && !text.contains('=');
    }
    None
}

/// What a command line says to Codex, as far as it concerns where requests go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// `-c key=value`, in order.
    pub(super) settings: Vec<(String, String)>,
    /// `-p NAME`.
    pub(super) profile: Option<String>,
    /// `--oss`.
    pub(super) oss: bool,
    /// `--local-provider NAME`.
    pub(super) local_provider: Option<String>,
    /// `--ignore-user-config`.
    pub(super) ignores_config: bool,
    /// Whether `exec` is asked for.
    pub(super) exec: bool,
    /// Behind the last setting, or at the beginning: a place where a setting is read, and read last.
    pub(super) place: usize,
}

/// Reads the arguments of Codex, which begin at `start`.
pub(super) fn read(command: &[OsString], start: usize) -> Said {
    let mut said = Said {
        place: start.min(command.len()),
        ..Said::default()
    };
    let mut first_word = true;
    let mut at = start;
    while let Some(argument) = command.get(at) {
        let text = argument.to_string_lossy();
        let next = || {
            command
                .get(at + 1)
                .map(|it| it.to_string_lossy().into_owned())
        };
        let mut used = 1;
        // the value of an option, attached or as the next argument
        let mut value = |short: &str, long: &str| -> Option<String> {
            if text == short || text == long {
                used = 2;
                return next();
            }
            if let Some(rest) = text.strip_prefix(long) {
                return rest.strip_prefix('=').map(str::to_owned);
            }
            let attached = text.strip_prefix(short).filter(|_| !text.starts_with("--"));
            attached.map(|it| it.strip_prefix('=').unwrap_or(it).to_owned())
        };
        if text == "--" {
            break;
        } else if let Some(setting) = value("-c", "--config") {
            if let Some((key, value)) = setting.split_once('=') {
                let setting = (key.trim().to_owned(), value.trim().to_owned());
                said.settings.push(setting);
                said.place = at + used;
            }
        } else if let Some(name) = value("-p", "--profile") {
            said.profile = Some(name);
        } else if text == "--oss" {
            said.oss = true;
        } else if let Some(name) = value("--local-provider", "--local-provider") {
            said.local_provider = Some(name);
        } else if text == "--ignore-user-config" {
            said.ignores_config = true;
        } else if first_word && !text.starts_with('-') {
            said.exec = matches!(&*text, "exec" | "e" | "review");
            first_word = false;
        }
        at += used;
    }
    said
}
