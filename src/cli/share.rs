//! `replay share`.

use std::io::{self, BufRead, Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};

use regex::Regex;

use super::Environment;
use super::args::ShareArgs;
use super::error::CliError;
use super::hidden;
use super::input::Source;
use super::labels;
use super::output::Output;
use super::replay::{policies, strategy_named};
use super::shrink::{by_contract, check_output, failure, refused_by_none, source, text, write};
use crate::convert::{highest_placeholder, redact_recording, redact_text};
use crate::locate::Shelves;
use crate::redact::{self, Lookout, Redactor};
use crate::replay;
use crate::report::share as report;
use crate::session::{self, Kind};
use crate::shrink::{self, Answer, Contract, Oracle as _, Same};
use crate::strategy::{Options, Probe};

/// No more lines, and no more characters of one, are printed as a last look.
const LOOK_LINES: usize = 60;
const LOOK_WIDTH: usize = 400;

/// Secrets that are known by their shape, wherever they stand. What is handed on goes further than what is recorded, so
/// these are hidden without being asked for.
const KNOWN: [&str; 8] = [
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    r"\b[sr]k[-_][A-Za-z0-9_-]{16,}",
    r"\b(?:gh[pousr]|github_pat|npm|hf|glpat)[_-][A-Za-z0-9_-]{16,}",
    r"\bxox[a-z]-[A-Za-z0-9-]{10,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{12,}=*",
];

pub(super) fn run(
    args: &ShareArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let mut patterns = hidden::patterns(&args.redact)?;
    for pattern in KNOWN {
        let known = regex::bytes::Regex::new(pattern)
            .map_err(|error| CliError::failed(error.to_string()))?;
        patterns.push(known);
    }
    let source = source(args.session.as_deref().filter(|_| !args.last), environment)?;
    let name = source.name();
    let issue = issue_path(&args.output);
    check_output(&source, &args.output, args.force)?;
    check_output(&source, &issue, args.force)?;
    let asks = !args.yes && io::stdin().is_terminal() && !output.is_json();
    let shelves = Shelves::new(environment.codex_home.as_deref(), source.path());
    let text = shrink::flatten(text(&source)?, &shelves)
        .map_err(|error| CliError::input(&name, error.to_string()))?;
    let strategy = args.recover.as_deref().map(strategy_named).transpose()?;
    let options = Options {
        policies: policies(&args.policy)?,
        probe: Probe::Auto,
    };
    let read = |text: &str| Source::Bytes(text.as_bytes().to_vec()).read(environment);
    let original = read(&text).map_err(|error| CliError {
        path: Some(name.clone()),
        ..error
    })?;
    let contract = |session: &_| {
        Contract::of(session, strategy, &options, Same::Call, &shelves)
            .map_err(|none| refused_by_none(&name, &none))
    };
    let before = contract(&original)?;
    let (hidden, secrets) = redacted(&name, &text, patterns)?;
    let session = read(&hidden).map_err(|error| lost(&name, &error.message))?;
    let mut oracle = contract(&session).map_err(|error| lost(&name, &error.message))?;
    if !is_same_refusal(&before, &oracle) {
        return Err(lost(
            &name,
            &format!("{} became {}", failure(&before), failure(&oracle)),
        ));
    }
    let shrunk = by_contract(&name, &hidden, &mut oracle)?;
    let small = without_names(&shrunk.text)?;
    match oracle.judge(&small) {
        Answer::Same => {}
        Answer::Other(instead) => return Err(lost(&name, &instead)),
    }
    let session = read(&small).map_err(|error| lost(&name, &error.message))?;
    let shared = Source::Bytes(small.clone().into_bytes());
    let file = args.output.file_name().map_or_else(
        || "session.jsonl".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let mut run = replay::replay(&file, session, &[oracle.strategy()], &options);
    run.labels = labels::read(&shared, &run.session, &run.wanted());
    let client = replay::client(&original);
    let issue_text = report::issue(&report::Issue {
        file: &file,
        report: &run,
        strategy: (strategy.is_some()
            || oracle.strategy() != crate::strategy::default_for(&original))
        .then(|| oracle.strategy().name()),
        policies: &args.policy,
        client: &client,
        failure: &failure(&oracle),
        session: &small,
        lines: (text.lines().count(), small.lines().count()),
    });
    for (what, text) in [
        ("the session", &small),
        ("the text of the issue", &issue_text),
    ] {
        let mut lookout = Lookout::default();
        lookout.push(text.as_bytes());
        if let Some(seen) = lookout.finish().first() {
            return Err(CliError {
                path: Some(name.clone()),
                ..CliError::failed(format!(
                    "line {} of {what} still holds what looks like {}; nothing was written",
                    seen.line,
                    seen.shape.words()
                ))
            }
            .hint("--redact REGEX hides it"));
        }
    }
    let look = report::look(&small, &issue_text, LOOK_LINES, LOOK_WIDTH);
    if output.is_json() {
        output.note(&look);
    } else {
        output.data(&look)?;
    }
    let agreed = args.yes || (asks && confirmed()?);
    if !agreed {
        return Err(CliError::usage("nothing was written: nobody said yes")
            .hint("look at what is printed above, then say --yes"));
    }
    write(&args.output, small.as_bytes(), args.force)?;
    write(&issue, issue_text.as_bytes(), args.force)?;
    let done = report::Done {
        path: &name,
        failure: &failure(&oracle),
        strategy: oracle.strategy().name(),
        secrets,
        lines: (text.lines().count(), small.lines().count()),
        output: &args.output,
        issue: &issue,
    };
    if output.is_json() {
        output.document(&report::document(&done))?;
    } else {
        output.data(&report::text(&done, output.paint))?;
    }
    Ok(0)
}

/// Whether two refusals are the same but for what was hidden in the id of the call.
fn is_same_refusal(before: &Contract<'_>, after: &Contract<'_>) -> bool {
    let (kind, item, id) = before.refusal();
    let (kind_after, item_after, id_after) = after.refusal();
    (kind, item) == (kind_after, item_after) && (id == id_after || id_after.contains("<redacted:"))
}

fn issue_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".md");
    name.into()
}

/// The refusal does not survive.
fn lost(name: &str, instead: &str) -> CliError {
    CliError {
        path: Some(name.to_owned()),
        ..CliError::failed(format!(
            "without its secrets the session is not refused in the same way any more ({instead}); nothing was written"
        ))
    }
}

/// The session without its secrets, and how many there were.
fn redacted(
    name: &str,
    text: &str,
    patterns: Vec<regex::bytes::Regex>,
) -> Result<(String, usize), CliError> {
    let bytes = text.as_bytes();
    let failed = |error: String| CliError::input(name, error);
    let taken =
        highest_placeholder(Cursor::new(bytes)).map_err(|error| failed(error.to_string()))?;
    let mut redactor = Redactor::new(redact::Options {
        patterns,
        keep_headers: Vec::new(),
        taken,
    });
    let head = bytes.get(..bytes.len().min(64 << 10)).unwrap_or(bytes);
    let mut out = Vec::new();
    let hidden = if session::sniff(head) == Kind::Recording {
        redact_recording(Cursor::new(bytes), &mut out, &mut redactor)
    } else {
        redact_text(Cursor::new(bytes), &mut out, &mut redactor)
    };
    let hidden = hidden.map_err(|error| failed(error.to_string()))?;
    Ok((String::from_utf8_lossy(&out).into_owned(), hidden.secrets))
}

/// Names of users in paths become `user`: the first part of a path below the folder of homes of Linux, macOS or Windows, also
/// where the path is escaped once or twice in JSON.
fn without_names(text: &str) -> Result<String, CliError> {
    let names =
        Regex::new(r#"(?i)(\\{0,3}/(?:home|users)\\{0,3}/|\\{1,4}users\\{1,4})[^/\\"'\s]+"#)
            .map_err(|error| CliError::failed(error.to_string()))?;
    Ok(names.replace_all(text, "${1}user").into_owned())
}

fn confirmed() -> Result<bool, CliError> {
    let failed = |error: io::Error| CliError::failed(format!("cannot ask: {error}"));
    let mut stderr = io::stderr().lock();
    write!(stderr, "write both files? [y/N] ")
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
