//! The client's own events: a copy of its streams that it does not notice.
//!
//! Bytes are passed on unchanged and as they come, and told as lines: before that where they are the client's input, so
//! that no answer stands before what it answers; behind it where they are its output. What ends on one side ends on the other:
//! the client sees the end of its input when ours ends, and a closed stdout when nobody reads ours. Where our stdout is
//! a terminal, the client's is one as well. When the client has ended, what it wrote is passed on and the copy ends;
//! a program it leaves behind finds its stdout closed.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use super::plan::Environment;
use super::{EventSource, Sink};

#[cfg(not(unix))]
#[path = "events/plain.rs"]
mod pipes;
#[cfg(unix)]
mod pipes;
#[cfg(unix)]
mod terminal;

#[cfg(test)]
#[cfg(unix)]
mod tests;

/// A copy of a client's streams.
pub(super) struct Tee(pipes::Pipes);

/// A copy that runs.
pub(super) struct Running(pipes::Running);

impl Tee {
    /// Puts us between the client and those of its streams that carry the events.
    pub(super) fn prepare(source: Option<EventSource>, command: &mut Command) -> io::Result<Self> {
        let (stdin, stdout) = match source {
            None | Some(EventSource::TuiLog) => (None, None),
            Some(EventSource::ExecJson) => (None, source),
            Some(EventSource::AppServer | EventSource::Mcp | EventSource::Proto) => {
                (source, source)
            }
        };
        pipes::Pipes::prepare(stdin, stdout, command).map(Self)
    }

    /// Begins to copy.
    pub(super) fn start(self, child: &mut Child, sink: &Arc<dyn Sink>) -> Running {
        Running(self.0.start(child, sink))
    }
}

impl Running {
    /// What fits the size of the client's terminal to ours, if it has one from us.
    #[cfg(unix)]
    pub(super) fn resizer(&self) -> Option<Box<dyn Fn() + Send>> {
        self.0.resizer()
    }

    /// The client has ended: passes on what is left.
    pub(super) fn finish(self) {
        self.0.finish();
    }
}

/// The file of a terminal interface's session log, and the variables that ask for it (`CODEX_TUI_RECORD_SESSION`,
/// codex 2025-08 and later). A path of the user's is used as it is; where the user asks for a log without saying where,
/// it stays in the folder where Codex would have put it.
pub(super) fn tui_log(
    environment: &Environment,
    home: Option<&Path>,
    ours: PathBuf,
) -> (PathBuf, Vec<(OsString, OsString)>) {
    const RECORD: &str = "CODEX_TUI_RECORD_SESSION";
    const PATH: &str = "CODEX_TUI_SESSION_LOG_PATH";
    let path = match (&environment.tui_log, home, ours.file_name()) {
        (Some(theirs), _, _) => theirs.clone(),
        (None, Some(home), Some(name)) if environment.tui_recorded => home.join("log").join(name),
        _ => ours,
    };
    let variables = vec![
        (RECORD.into(), "1".into()),
        (PATH.into(), path.clone().into_os_string()),
    ];
    (path, variables)
}
