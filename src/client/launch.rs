//! Runs a client: starts it with its terminal untouched, forwards signals, follows what it writes, says how it ended.
//!
//! The client stays in our process group and keeps our stdin, stdout and stderr, so that the terminal treats it as if it
//! had been started by itself. What the terminal sends to the whole foreground group reaches it without us; see
//! `signals` for what is forwarded. If we are killed, the client goes on and finds nobody at its base URL.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;

use super::events::{self, Tee};
use super::plan::Plan;
use super::rollouts::{Follow, Follower};
use super::{EventSource, Sink};

#[cfg(unix)]
mod signals;

/// What to run, and what to follow.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// The command and its environment.
    pub plan: Plan,
    /// The Codex home whose rollouts are followed.
    pub home: Option<PathBuf>,
    /// The event stream that is copied.
    pub events: Option<EventSource>,
    /// The file that is followed for [`EventSource::TuiLog`]; see [`Launch::with_tui_log`].
    pub tui_log: Option<PathBuf>,
}

/// How a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Signal(signal);
        }
        Self::Code(status.code().unwrap_or(1))
    }

    /// The exit status a shell would report: the client's own, or 128 and the number of the signal.
    pub fn status(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Why a client could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The command is empty.
    #[error("no command is given")]
    NoCommand,
    /// There is no such program.
    #[error("{program}: no such program")]
    NotFound {
        /// Its name.
        program: String,
    },
    /// There is one, but it could not be started.
    #[error("{program} cannot be started: {source}")]
    NotStarted {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Signals could not be caught, or a pipe or pseudo terminal could not be made, or the client could not be waited
    /// for.
    #[error("{what}: {source}")]
    System {
        /// What could not be done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl LaunchError {
    /// The exit status by which shells say the same: 127 where there is no program, 126 where it cannot be started.
    pub fn status(&self) -> i32 {
        match self {
            Self::NoCommand | Self::NotFound { .. } => 127,
            Self::NotStarted { .. } => 126,
            Self::System { .. } => 1,
        }
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> LaunchError {
    move |source| LaunchError::System { what, source }
}

/// Runs a client to its end. Blocks; a server beside it needs threads of its own.
///
/// When it returns, everything the client wrote before its end has been told to the sink. A signal that asks us to end
/// while the client runs goes to the client; afterwards it ends this process, as by default, except for the first
/// Ctrl-C, which may have been meant for the client.
///
/// # Errors
/// See [`LaunchError`]. The client has not run, except for a [`LaunchError::System`] that speaks of waiting.
pub fn run(launch: &Launch, sink: &Arc<dyn Sink>) -> Result<Exit, LaunchError> {
    let Some((program, arguments)) = launch.plan.command.split_first() else {
        return Err(LaunchError::NoCommand);
    };
    // signals that come from here on wait for the client
    #[cfg(unix)]
    let signals = signals::Signals::catch().map_err(system("signals cannot be caught"))?;
    // what is there before the client runs is not its work
    let follower = Follower::start(
        Follow {
            home: launch.home.clone(),
            tui_log: launch.tui_log.clone(),
        },
        sink,
    );
    let mut command = Command::new(program);
    command.args(arguments);
    let variables = launch.plan.environment.iter();
    command.envs(variables.map(|(name, value)| (name, value)));
    let started = Tee::prepare(launch.events, &mut command)
        .map_err(system("the client's events cannot be copied"))
        .and_then(|tee| Ok((tee, spawn(&mut command)?)));
    // the command holds the client's ends of the pipes
    drop(command);
    let (tee, mut child) = match started {
        Ok(started) => started,
        Err(error) => {
            #[cfg(unix)]
            signals.release();
            follower.finish();
            return Err(error);
        }
    };
    let tee = tee.start(&mut child, sink);
    #[cfg(unix)]
    let signals = signals.forward_to(&child, tee.resizer());
    let status = wait(
        &mut child,
        #[cfg(unix)]
        &signals,
    );
    tee.finish();
    follower.finish();
    status
        .map(Exit::of)
        .map_err(system("the client cannot be waited for"))
}

fn spawn(command: &mut Command) -> Result<Child, LaunchError> {
    command.spawn().map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        match source.kind() {
            io::ErrorKind::NotFound => LaunchError::NotFound { program },
            _ => LaunchError::NotStarted { program, source },
        }
    })
}

#[cfg(unix)]
fn wait(child: &mut Child, signals: &signals::Forwarding) -> io::Result<ExitStatus> {
    signals.wait(child)
}

#[cfg(not(unix))]
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

impl Launch {
    /// Asks the client for the session log of its terminal interface, and follows it. `ours` is a path that does not
    /// exist yet; it is used where the user has not named one.
    #[must_use]
    pub fn with_tui_log(mut self, environment: &super::plan::Environment, ours: PathBuf) -> Self {
        let (path, variables) = events::tui_log(environment, self.home.as_deref(), ours);
        self.plan
            .environment
            .extend::<Vec<(OsString, OsString)>>(variables);
        self.tui_log = Some(path);
        self.events = Some(EventSource::TuiLog);
        self
    }
}
