//! `replay recover`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::json;
use similar::udiff::UnifiedHunkHeader;
use similar::{Algorithm, ChangeTag};
use tempfile::NamedTempFile;

use super::Environment;
use super::args::{OutputWords, RecoverArgs};
use super::captured;
use super::convert::is_same;
use super::error::CliError;
use super::input::{self, Source};
use super::output::Output;
use crate::locate::{self, Shelves};
use crate::repair::{self, Assumed, Lost, Plan, RepairError, Words, Written};
use crate::report::recover::{self as report, Recovered};
use crate::rollout::{self, Era};
use crate::session::Session;
use crate::strategy::{self, Options, Strategy, Verdict};

/// Files of which both sides together are longer than this are not compared line by line.
const MAX_DIFF: u64 = 16 << 20;

pub(super) fn run(
    args: &RecoverArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let source = source(args, environment, output)?;
    let name = source.name();
    let session = source.read(environment)?;
    if let Session::Recording(_) = &session {
        return Err(CliError::input(
            &name,
            "this is a recording of requests, and no file that a client goes on from",
        )
        .hint("recover takes a Codex rollout, of any age")
        .hint(format!(
            "replay {name} --recover full-history: which strategy gets through"
        )));
    }
    let before = verdict(&session, Strategy::None);
    drop(session);
    let open = || source.open();
    let shelves = Shelves::new(environment.codex_home.as_deref(), source.path());
    let failed = |error: RepairError| refusal(&name, error);
    let mut options = repair::Options {
        words: match args.text {
            OutputWords::Honest => Words::Honest,
            OutputWords::Aborted => Words::Aborted,
        },
        assumed: Assumed {
            thread_id: source.path().and_then(locate::thread_id).map(str::to_owned),
            cwd: cwd(args)?,
            new_id: None,
        },
    };
    let mut plan = repair::plan(&open, &shelves, &options).map_err(failed)?;
    let folder = args.output.as_deref().filter(|out| is_folder(out));
    let taken = match (folder, plan.thread_id()) {
        (Some(folder), Some(id)) => locate::holds(home(folder), id).unwrap_or(false),
        _ => false,
    };
    if args.new_id || taken {
        let id = plan.thread_id().unwrap_or_default();
        options.assumed.new_id = Some(repair::made_id(&format!("recovered {id}")));
        plan = repair::plan(&open, &shelves, &options).map_err(failed)?;
    } else {
        refuse_if_referred(&name, &plan, &source, environment)?;
    }
    let target = match &args.output {
        Some(out) => Some(target(out, &plan)?),
        None => None,
    };
    if let Some(target) = &target {
        check_target(target, &source, args)?;
    }
    // written beside its place first, so that a copy that does not hold what it promises is never seen
    let mut copy = temporary(target.as_deref().filter(|_| !args.dry_run))?;
    let mut lost: Vec<u8> = Vec::new();
    let written = write(&plan, &open, copy.as_file_mut(), &mut lost)
        .map_err(|error| CliError::failed(format!("the copy cannot be written: {error}")))?;
    let (after, own) = prove(copy.path(), target.as_deref(), environment, plan.is_empty())?;
    let lost_path = target.as_ref().map(|target| lost_path(target, args));
    let diff = if args.dry_run {
        difference(&source, copy.path())?
    } else {
        None
    };
    if let (Some(target), false) = (&target, args.dry_run) {
        if let (Some(path), false) = (&lost_path, lost.is_empty()) {
            write_lost(path, &lost, args.force)?;
        }
        place(copy, target, args.force)?;
    }
    let recovered = Recovered {
        path: &name,
        plan: &plan,
        written,
        before,
        after,
        own,
        output: target.as_deref().filter(|_| !args.dry_run),
        lost: lost_path
            .as_deref()
            .filter(|_| written.lost > 0 && !args.dry_run),
        resume: folder.map(home),
        renamed: options.assumed.new_id.is_some(),
        assumed_cwd: (plan.era < Era::E3).then_some(options.assumed.cwd.as_str()),
        diff: diff.as_deref(),
        dry_run: args.dry_run,
    };
    if output.is_json() {
        output.document(&report::document(&recovered))?;
    } else {
        output.data(&report::text(&recovered, output.paint, output.verbose))?;
    }
    Ok(u8::from(args.dry_run && !plan.is_empty()))
}

fn source(
    args: &RecoverArgs,
    environment: &Environment,
    output: &Output,
) -> Result<Source, CliError> {
    let Some(session) = args.session.as_deref().filter(|_| !args.last) else {
        return input::last(environment);
    };
    let path = Path::new(session);
    if path.is_dir() && captured::folder(path).is_none() {
        return Err(CliError::usage(format!("{session} is a folder"))
            .hint("recover takes one session at a time"));
    }
    let mut found = input::find(session, environment)?.into_iter();
    let first = found.next();
    let children = found.count();
    if children > 0 {
        output.note(&format!(
            "{children} more files belong to this thread; each is recovered by itself"
        ));
    }
    first.ok_or_else(|| CliError::input(session, "no such session"))
}

fn cwd(args: &RecoverArgs) -> Result<String, CliError> {
    let folder = match &args.cwd {
        Some(folder) => std::path::absolute(folder),
        None => std::env::current_dir(),
    };
    folder
        .map(|folder| folder.display().to_string())
        .map_err(|error| {
            CliError::usage(format!("the working folder is not known: {error}"))
                .hint("name it with --cwd")
        })
}

fn refusal(name: &str, error: RepairError) -> CliError {
    match error {
        RepairError::Read(error) => CliError::input(name, error.to_string()),
        RepairError::Io(error) => CliError::input(name, error.to_string()),
        RepairError::Refused { line, reason } => CliError {
            path: Some(name.to_owned()),
            line: (line > 0).then_some(line),
            ..CliError::failed(format!("nothing safe can be done: {reason}"))
        },
    }
}

/// Another file may hold byte ranges of this one: a copy of other lengths must not take its place.
fn refuse_if_referred(
    name: &str,
    plan: &Plan,
    source: &Source,
    environment: &Environment,
) -> Result<(), CliError> {
    let Some(id) = plan
        .thread_id()
        .filter(|_| plan.era == Era::E4 && !plan.is_empty())
    else {
        return Ok(());
    };
    let own = source.path().and_then(locate::home_of);
    for home in environment.codex_home.as_deref().into_iter().chain(own) {
        // a home that cannot be read holds nothing that Codex could read either
        let found = locate::begin_in(home, id).unwrap_or_default();
        if let Some(path) = found.first() {
            return Err(CliError {
                path: Some(name.to_owned()),
                ..CliError::failed(format!(
                    "nothing safe can be done: the history of {} begins in this file (history_base), at a byte that a copy would move",
                    path.display()
                ))
            }
            .hint("--new-id gives the copy a thread id of its own, which nothing refers to"));
        }
    }
    Ok(())
}

fn is_folder(out: &Path) -> bool {
    out.is_dir()
        || out
            .as_os_str()
            .to_string_lossy()
            .ends_with(std::path::MAIN_SEPARATOR)
}

/// The Codex home that a folder is or becomes.
fn home(folder: &Path) -> &Path {
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("sessions") => folder.parent().unwrap_or(folder),
        _ => folder,
    }
}

/// The file to write: in a folder, where Codex looks for it.
fn target(out: &Path, plan: &Plan) -> Result<PathBuf, CliError> {
    if out == Path::new("-") {
        return Err(CliError::usage("OUT is a file or a folder")
            .hint("what is left out needs a file beside it"));
    }
    if !is_folder(out) {
        return Ok(out.to_owned());
    }
    let id = plan.thread_id().unwrap_or_default();
    let id = uuid::Uuid::try_parse(id).map_err(|_no_uuid| {
        CliError::failed("the file names no thread id by which Codex could find it")
            .hint("--new-id gives it one")
    })?;
    let stamp: String = plan
        .timestamp()
        .unwrap_or_default()
        .chars()
        .take(19)
        .collect();
    let is_stamp = stamp.len() == 19
        && stamp
            .chars()
            .all(|c| c.is_ascii_digit() || "-:T".contains(c));
    let stamp = if is_stamp {
        stamp
    } else {
        "1970-01-01T00:00:00".to_owned()
    };
    let (day, _) = stamp.split_at_checked(10).unwrap_or((&stamp, ""));
    let mut path = home(out).join("sessions");
    path.extend(day.split('-'));
    Ok(path.join(format!("rollout-{}-{id}.jsonl", stamp.replace(':', "-"))))
}

fn check_target(target: &Path, source: &Source, args: &RecoverArgs) -> Result<(), CliError> {
    let lost = lost_path(target, args);
    for path in [target, lost.as_path()] {
        if let Some(read) = source.path()
            && is_same(read, path)
        {
            return Err(CliError::usage(
                "OUT is the file that is read; the original is never touched",
            )
            .hint("write into another file, and put it in this one's place afterwards"));
        }
        let Ok(there) = fs::symlink_metadata(path) else {
            continue;
        };
        if !there.is_file() {
            return Err(CliError::usage(format!(
                "{} is no file that can be replaced",
                path.display()
            )));
        }
        if !args.force && !args.dry_run {
            return Err(
                CliError::usage(format!("{} exists already", path.display()))
                    .hint("--force overwrites it"),
            );
        }
    }
    if target == lost {
        return Err(CliError::usage("OUT and --lost are one file"));
    }
    Ok(())
}

fn lost_path(target: &Path, args: &RecoverArgs) -> PathBuf {
    args.lost.clone().unwrap_or_else(|| {
        let mut name = target.as_os_str().to_owned();
        name.push(".lost");
        name.into()
    })
}

/// A file beside the place of the copy, or where temporary files lie.
fn temporary(target: Option<&Path>) -> Result<NamedTempFile, CliError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".replay-recover-");
    match target {
        Some(target) => {
            let folder = match target.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            fs::create_dir_all(folder)
                .and_then(|()| builder.tempfile_in(folder))
                .map_err(|error| CliError::failed(format!("{}: {error}", folder.display())))
        }
        None => builder
            .tempfile()
            .map_err(|error| CliError::failed(error.to_string())),
    }
}

fn write<'a>(
    plan: &Plan,
    open: &(dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a),
    copy: &mut File,
    lost: &mut Vec<u8>,
) -> io::Result<Written> {
    let mut out = BufWriter::new(copy);
    let mut aside = |entry: &Lost| {
        let (key, text) = if let Ok(text) = std::str::from_utf8(&entry.bytes) {
            ("text", text.to_owned())
        } else {
            let engine = base64::engine::general_purpose::STANDARD;
            ("base64", engine.encode(&entry.bytes))
        };
        let value = json!({"line": entry.line, "reason": entry.reason, key: text});
        serde_json::to_writer(&mut *lost, &value)?;
        lost.push(b'\n');
        Ok(())
    };
    let written = plan.write(open, &mut out, &mut aside)?;
    out.flush()?;
    drop(out);
    Ok(written)
}

fn verdict(session: &Session, strategy: Strategy) -> Verdict {
    strategy::run_briefly(session, strategy, &Options::default()).verdict
}

/// Judges the copy as it would be sent: accepted in every world, or it is not written. The second verdict is that of its
/// client's own run; where nothing was changed it may speak of what was answered long ago.
fn prove(
    copy: &Path,
    target: Option<&Path>,
    environment: &Environment,
    unchanged: bool,
) -> Result<(Verdict, Verdict), CliError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        CliError::failed(format!("the copy cannot be read: {error}"))
    };
    let file = File::open(copy).map_err(|error| unreadable(&error))?;
    let shelves = Shelves::new(environment.codex_home.as_deref(), target);
    let rollout = rollout::reader::read(file, &shelves).map_err(|error| unreadable(&error))?;
    let session = Session::Rollout(rollout);
    let own = verdict(&session, strategy::default_for(&session));
    let plain = verdict(&session, Strategy::None);
    if plain == Verdict::Clean && (unchanged || own.exit() == 0) {
        return Ok((plain, own));
    }
    Err(CliError::failed(format!(
        "nothing safe can be done: the copy would be {} as it stands and {} as its client sends it, so it was not written",
        plain.name(),
        own.name()
    ))
    .hint("replay SESSION says which request is refused"))
}

fn write_lost(path: &Path, lost: &[u8], force: bool) -> Result<(), CliError> {
    let mut file = super::convert::create(path, force)?;
    file.write_all(lost)
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
}

fn place(copy: NamedTempFile, target: &Path, force: bool) -> Result<(), CliError> {
    copy.as_file()
        .sync_all()
        .map_err(|error| CliError::failed(format!("{}: {error}", target.display())))?;
    let placed = if force {
        copy.persist(target).map(|_| ())
    } else {
        copy.persist_noclobber(target).map(|_| ())
    };
    placed.map_err(|error| {
        let failed = CliError::failed(format!("{}: {}", target.display(), error.error));
        if error.error.kind() == io::ErrorKind::AlreadyExists {
            failed.hint("--force overwrites it")
        } else {
            failed
        }
    })
}

/// The difference as unified lines; lines that differ in their ordinal alone count as equal. `None` where the files are too
/// large to be compared.
fn difference(source: &Source, copy: &Path) -> Result<Option<String>, CliError> {
    let failed = |error: io::Error| CliError::failed(error.to_string());
    let mut left = Vec::new();
    source
        .open()
        .and_then(|reader| reader.take(MAX_DIFF + 1).read_to_end(&mut left))
        .map_err(failed)?;
    let length = fs::metadata(copy).map_err(failed)?.len();
    if left.len() as u64 + length > MAX_DIFF {
        return Ok(None);
    }
    let right = fs::read(copy).map_err(failed)?;
    let (left, right) = (
        String::from_utf8_lossy(&left),
        String::from_utf8_lossy(&right),
    );
    let (left, right) = (lines(&left), lines(&right));
    let deadline = Instant::now() + Duration::from_secs(5);
    let keys = |lines: &[&str]| -> Vec<String> { lines.iter().map(|it| apart(it)).collect() };
    let (left_keys, right_keys) = (keys(&left), keys(&right));
    let ops = similar::capture_diff_slices_deadline(
        Algorithm::Myers,
        &left_keys,
        &right_keys,
        Some(deadline),
    );
    let mut out = String::new();
    for hunk in similar::group_diff_ops(ops, 1) {
        let _ = writeln!(out, "{}", UnifiedHunkHeader::new(&hunk));
        for change in hunk.iter().flat_map(|op| op.iter_slices(&left, &right)) {
            let (sign, lines) = match change {
                (ChangeTag::Delete, lines) => ('-', lines),
                (ChangeTag::Insert, lines) => ('+', lines),
                (ChangeTag::Equal, lines) => (' ', lines),
            };
            for line in lines {
                let _ = writeln!(out, "{sign}{line}");
            }
        }
    }
    Ok(Some(out))
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// A line without its ordinal: behind an added line all are counted anew, and that alone is no difference worth seeing.
fn apart(line: &str) -> String {
    let name = "\"ordinal\":";
    let Some((before, behind)) = line.split_once(name) else {
        return line.to_owned();
    };
    let behind = behind.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{name}{behind}")
}
