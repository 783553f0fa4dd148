//! The cassette: a folder of recordings that are played back, and to which a run adds what it had to ask for.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::args::ServeArgs;
use super::super::error::CliError;
use super::super::now::now;
use super::super::output::Output;
use crate::endpoint::served::server::{Otherwise, Settings};
use crate::mock;
use crate::proxy::tape::{self, Opening};
use crate::proxy::{Config, Roots, Upstream};
use crate::record::{self, Recorder};
use crate::redact::{self, Redactor};

/// How long answers that are under way may take when the run ends.
const GRACE: Duration = Duration::from_millis(500);

/// What a cassette does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Plays back; what is not recorded is an error.
    None,
    /// As none, but an empty cassette is recorded.
    Once,
    /// Plays back, and records what is new.
    New,
    /// Records everything anew.
    All,
}

impl Mode {
    /// The mode that was asked for; without one, `once`, or `none` where `CI` is set.
    pub(super) fn of(name: Option<&str>, ci: bool) -> Self {
        match name {
            Some("none") => Self::None,
            Some("new_episodes") => Self::New,
            Some("all") => Self::All,
            None if ci => Self::None,
            _ => Self::Once,
        }
    }
}

/// The recorder of a run.
pub(super) struct Cassette {
    recorder: Recorder,
    file: PathBuf,
    /// Recordings that this run replaces.
    replaced: Vec<PathBuf>,
    pub(super) upstream: mock::Upstream,
}

/// The recordings of a cassette, in the order of their names, which is that of their times.
pub(super) fn episodes(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).map_err(|error| CliError::io(folder, &error))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| CliError::io(folder, &error))?.path();
        if path.extension().is_some_and(|it| it == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Sets up what a mode asks for. `recorded` are the recordings that are there, already read unless all are replaced.
pub(super) fn open(
    args: &ServeArgs,
    mode: Mode,
    recorded: Vec<PathBuf>,
    settings: &mut Settings,
) -> Result<Option<Cassette>, CliError> {
    let Some(folder) = &args.cassette else {
        return Ok(None);
    };
    let records = match mode {
        Mode::None => false,
        Mode::Once => recorded.is_empty(),
        Mode::New | Mode::All => true,
    };
    if !records {
        settings.otherwise = Otherwise::Error;
        return Ok(None);
    }
    let Some(url) = &args.upstream else {
        return Err(
            CliError::usage("there is nothing to record without --upstream")
                .hint("--mode none plays back only; --upstream https://api.openai.com/v1 records"),
        );
    };
    let upstream = Upstream::parse(url).map_err(|why| {
        CliError::usage(format!("--upstream: {why}"))
            .hint("for example --upstream https://api.openai.com/v1")
    })?;
    settings.otherwise = if mode == Mode::All {
        Otherwise::AlwaysUpstream
    } else {
        Otherwise::Upstream
    };
    std::fs::create_dir_all(folder).map_err(|error| CliError::io(folder, &error))?;
    let moment = now();
    let file = folder.join(format!("{}.jsonl", moment.file_stamp));
    let output = create(&file)?;
    let prefix = upstream.prefix().to_owned();
    let options = record::Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        proxy: Config {
            upstreams: vec![upstream.clone()],
            bad_gateway: true,
            drain: false,
            roots: Roots::Both,
        },
        output: tape::Output::new(Box::new(output), false),
        opening: Opening {
            id: moment.id,
            created_at: moment.rfc3339,
            recorder: concat!("replay ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: Vec::new(),
            upstream: upstream.url(),
            drain: false,
        },
        redactor: Redactor::new(redact::Options {
            patterns: Vec::new(),
            keep_headers: Vec::new(),
            taken: 0,
        }),
        told: Box::new(|_| {}),
    };
    let recorder = Recorder::start(options).map_err(|error| CliError::failed(error.to_string()))?;
    let upstream = mock::Upstream {
        address: recorder.address(),
        prefix,
    };
    Ok(Some(Cassette {
        recorder,
        file,
        replaced: if mode == Mode::All {
            recorded
        } else {
            Vec::new()
        },
        upstream,
    }))
}

/// Only its owner may read it.
fn create(path: &Path) -> Result<File, CliError> {
    let mut how = OpenOptions::new();
    how.append(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        how.mode(0o600);
    }
    how.open(path).map_err(|error| CliError::io(path, &error))
}

impl Cassette {
    /// Writes the last lines. A run that recorded nothing leaves nothing; one that recorded all anew takes the old away.
    pub(super) fn finish(self, output: &Output) {
        let totals = self.recorder.finish(GRACE);
        if let Some(why) = &totals.failed {
            output.note(&format!("{}: {why}", self.file.display()));
        }
        if totals.exchanges == 0 {
            let _left: std::io::Result<()> = std::fs::remove_file(&self.file);
            return;
        }
        for old in &self.replaced {
            let _left: std::io::Result<()> = std::fs::remove_file(old);
        }
        output.note(&format!(
            "recorded {} exchanges into {}",
            totals.exchanges,
            self.file.display()
        ));
    }
}
