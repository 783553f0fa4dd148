//! What the user names, found and read.

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use super::Environment;
use super::captured;
use super::error::CliError;
use crate::check::Watched;
use crate::locate::{self, LocateError, Shelves};
use crate::redact::Lookout;
use crate::rollout::reader as rollout_reader;
use crate::session::sniff::{self, Foreign};
use crate::session::{self, Kind, ReadError, Session, event_log, exchanges, reader, request_file};

/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 64 << 10;

/// Something that holds a session.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A file.
    File(PathBuf),
    /// What came on stdin.
    Bytes(Vec<u8>),
}

impl Source {
    /// The name under which it is spoken of.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(_) => "-".to_owned(),
        }
    }

    /// Its path, if it has one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Bytes(_) => None,
        }
    }

    /// Opens it: decompressed, and converted where it is another tool's capture.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(captured::open(self)?.0)
    }

    /// Reads the session it holds.
    pub(super) fn read(&self, environment: &Environment) -> Result<Session, CliError> {
        self.read_watched(environment, None)
    }

    /// The same, with a lookout for what looks like a secret.
    pub(super) fn read_watched(
        &self,
        environment: &Environment,
        lookout: Option<&mut Lookout>,
    ) -> Result<Session, CliError> {
        let name = self.name();
        let failed = |error: &io::Error| match self {
            Self::File(path) => CliError::io(path, error),
            Self::Bytes(_) => CliError::input(&name, error.to_string()),
        };
        let (mut reader, problems) = captured::open(self).map_err(|error| failed(&error))?;
        if let Some(lookout) = lookout {
            reader = Box::new(Watched::new(reader, lookout));
        }
        let mut session = self.read_from(reader, environment)?;
        if let Session::Recording(recording) = &mut session {
            recording.problems.splice(0..0, problems);
        }
        Ok(session)
    }

    /// Reads the session out of its text, decompressed.
    pub(super) fn read_from(
        &self,
        mut reader: impl Read,
        environment: &Environment,
    ) -> Result<Session, CliError> {
        let name = self.name();
        let failed = |error: &io::Error| match self {
            Self::File(path) => CliError::io(path, error),
            Self::Bytes(_) => CliError::input(&name, error.to_string()),
        };
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(|error| failed(&error))?;
        if head.trim_ascii().is_empty() && head.len() < HEAD as usize {
            return Err(CliError::input(&name, "the file is empty"));
        }
        let kind = session::sniff(&head);
        let foreign = foreign(&head);
        let whole = Cursor::new(head).chain(reader);
        let recording = match kind {
            Kind::Recording => reader::read(whole),
            Kind::Exchanges => exchanges::read(whole),
            Kind::RequestBody | Kind::ItemArray => request_file::read(whole),
            Kind::EventLog(source) => event_log::read(whole, source).map_err(ReadError::Io),
            Kind::LabLog => {
                return Err(
                    CliError::input(&name, "this is a request log, not a session").hint(format!(
                        "convert it first: replay convert {name} -o session.jsonl"
                    )),
                );
            }
            Kind::Unknown => {
                return read_rollout(&name, self.path(), whole, environment)
                    .map_err(|error| foreign.map_or(error, |it| no_session(&name, it)));
            }
        };
        recording.map(Session::Recording).map_err(|error| {
            let said = CliError::input(&name, error.to_string());
            match error {
                ReadError::NotJson { .. } => {
                    said.hint("a request body is one JSON value; is it cut off?")
                }
                ReadError::NewerFormat { .. } => said.hint("a newer release of replay reads it"),
                _ => said,
            }
        })
    }
}

/// What the beginning of a file that no reader takes shows it to be; what Codex writes the rollout reader tells itself.
fn foreign(head: &[u8]) -> Option<Foreign> {
    sniff::foreign(head).filter(|it| {
        !matches!(
            it,
            Foreign::ExecEvents | Foreign::ProtoEvents | Foreign::TuiLog | Foreign::Rollout
        )
    })
}

fn no_session(name: &str, is: Foreign) -> CliError {
    let hint = match is {
        Foreign::Sse | Foreign::Events | Foreign::Response => {
            "an answer alone shows no request; lines of {request,status,body} can be replayed"
        }
        Foreign::ErrorBody => "replay explain says what it means",
        Foreign::ChatRequest => "only requests to the Responses API are judged",
        Foreign::Compressed => "of compressed files only zstd and gzip are read",
        _ => "lines of {request,status,body} can be replayed",
    };
    CliError::input(name, format!("this is {is}, not a session")).hint(hint)
}

fn read_rollout(
    name: &str,
    path: Option<&Path>,
    whole: impl Read,
    environment: &Environment,
) -> Result<Session, CliError> {
    let shelves = Shelves::new(environment.codex_home.as_deref(), path);
    match rollout_reader::read(whole, &shelves) {
        Ok(rollout) => Ok(Session::Rollout(rollout)),
        Err(rollout_reader::ReadError::NotARollout { what, hint }) => Err(CliError::input(
            name,
            format!("this is {what}, not a session"),
        )
        .hint(if what == "something else" {
            "a session is a recording, a Codex rollout or one request body"
        } else {
            hint
        })),
        Err(error) => Err(CliError::input(name, error.to_string())),
    }
}

/// Finds what a SESSION argument means.
pub(super) fn find(argument: &str, environment: &Environment) -> Result<Vec<Source>, CliError> {
    if argument == "-" {
        return Ok(vec![stdin()?]);
    }
    let path = Path::new(argument);
    if path.is_dir() && captured::folder(path).is_some() {
        return Ok(vec![Source::File(path.to_owned())]);
    }
    if path.is_dir() {
        let files = files_below(path)?;
        if files.is_empty() {
            return Err(CliError::input(
                argument,
                "no session file is in this folder",
            ));
        }
        return Ok(files.into_iter().map(Source::File).collect());
    }
    if path.exists() {
        return Ok(vec![Source::File(path.to_owned())]);
    }
    let looks_like_path =
        argument.contains('/') || argument.contains('\\') || may_be_session(argument);
    if looks_like_path {
        return Err(CliError::input(argument, "no such file").hint("is the path right?"));
    }
    let Some(home) = &environment.codex_home else {
        return Err(
            CliError::input(argument, "no such file, and no Codex home to look in")
                .hint("set CODEX_HOME"),
        );
    };
    let is_thread =
        argument.len() >= 4 && argument.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let found = if is_thread {
        locate::find_thread(home, argument)
    } else {
        locate::find_call(home, argument)
    };
    match found {
        Ok(found) => Ok(found
            .into_iter()
            .map(|found| Source::File(found.path))
            .collect()),
        Err(LocateError::Ambiguous { wanted, threads }) => {
            let mut error = CliError::input(
                argument,
                format!("{} threads begin with {wanted}", threads.len()),
            );
            for thread in threads.iter().take(5) {
                error = error.hint(thread.clone());
            }
            Err(error)
        }
        Err(error) => Err(CliError::input(argument, format!("no such file; {error}"))
            .hint("name a file, a thread id, a call id that stands in a rollout, or use --last")),
    }
}

/// The Codex session that was written last.
pub(super) fn last(environment: &Environment) -> Result<Source, CliError> {
    let Some(home) = &environment.codex_home else {
        return Err(CliError::usage("--last needs a Codex home").hint("set CODEX_HOME"));
    };
    match locate::last(home) {
        Ok(found) => Ok(Source::File(found.path)),
        Err(error) => {
            let message = match error {
                LocateError::None { .. } => "there is no Codex session here".to_owned(),
                other => other.to_string(),
            };
            Err(CliError::input(&home.display().to_string(), message)
                .hint("set CODEX_HOME if Codex keeps its sessions elsewhere"))
        }
    }
}

/// What stands on stdin.
pub(super) fn stdin() -> Result<Source, CliError> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::input("-", format!("cannot read stdin: {error}")))?;
    Ok(Source::Bytes(bytes))
}

/// The files below a folder that can be sessions, by path. Siblings that Codex keeps beside its rollouts are left out.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| CliError::io(&folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| CliError::io(&folder, &error))?;
            let kind = entry
                .file_type()
                .map_err(|error| CliError::io(&entry.path(), &error))?;
            if kind.is_dir() && captured::folder(&entry.path()).is_some() {
                found.push(entry.path());
            } else if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && may_be_session(&entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    // Codex reads the plain file where a compressed one lies beside it
    let twin = |path: &PathBuf| {
        let name = path.to_string_lossy();
        let plain = name.strip_suffix(".zst").map(PathBuf::from);
        plain.is_some_and(|plain| found.binary_search(&plain).is_ok())
    };
    let twins: Vec<PathBuf> = found.iter().filter(|path| twin(path)).cloned().collect();
    found.retain(|path| !twins.contains(path));
    Ok(found)
}

fn may_be_session(name: &str) -> bool {
    let sibling =
        name.ends_with(".timers.json") || name == "history.jsonl" || name == "session_index.jsonl";
    let ending = [
        ".jsonl",
        ".json",
        ".jsonl.zst",
        ".har",
        ".sse",
        ".yaml",
        ".yml",
        ".yaml.gz",
        ".har.gz",
    ]
    .iter()
    .any(|ending| name.ends_with(ending));
    ending && !sibling
}
