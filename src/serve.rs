//! `replay serve`: a mock as a program, alone or around a command.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;

use tokio::process::Command;
use tokio::signal;
use tokio::task::JoinHandle;

use crate::endpoint::served::journal::{Counts, Entry};
use crate::mock::{Mock, Options};

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// The status of the command, if there was one.
    pub command: Option<ExitStatus>,
    /// How many requests there were.
    pub counts: Counts,
    /// The first requests that were refused.
    pub refused: Vec<Entry>,
}

/// Why a run could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// What was to be done once it listens failed.
    #[error("{0}")]
    Ready(String),
    /// The command cannot be run.
    #[error("cannot run {0}: {1}")]
    Command(String, #[source] io::Error),
    /// The runtime cannot be started.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

/// Serves until the command has ended, or a signal comes. `ready` is called once, when it listens.
///
/// # Errors
/// See [`ServeError`].
pub fn run(
    options: Options,
    command: &[OsString],
    ready: impl FnOnce(SocketAddr) -> Result<(), String>,
) -> Result<Outcome, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    runtime.block_on(serve(options, command, ready))
}

async fn serve(
    options: Options,
    command: &[OsString],
    ready: impl FnOnce(SocketAddr) -> Result<(), String>,
) -> Result<Outcome, ServeError> {
    let listen = options.listen;
    // signals are caught before anybody can know that it listens
    let stopped = stopped().map_err(ServeError::Runtime)?;
    let mock = Mock::start(options)
        .await
        .map_err(|why| ServeError::Listen(listen, why))?;
    ready(mock.address()).map_err(ServeError::Ready)?;
    let command = match command.split_first() {
        None => {
            let _joined: Result<(), tokio::task::JoinError> = stopped.await;
            None
        }
        Some((program, arguments)) => {
            let failed = |why| ServeError::Command(program.to_string_lossy().into_owned(), why);
            let mut child = Command::new(program)
                .args(arguments)
                .env("OPENAI_BASE_URL", mock.url())
                // a real key has no business here
                .env("OPENAI_API_KEY", "replay")
                .env("REPLAY_URL", format!("http://{}", mock.address()))
                .spawn()
                .map_err(failed)?;
            // the command gets the terminal's signals itself, and decides what they mean
            let status = tokio::select! {
                status = child.wait() => status,
                _ = stopped => child.wait().await,
            };
            Some(status.map_err(failed)?)
        }
    };
    let (counts, refused) = mock.with(|server| {
        let journal = server.journal();
        (journal.counts(), journal.refused().to_vec())
    });
    mock.stop().await;
    Ok(Outcome {
        command,
        counts,
        refused,
    })
}

/// Ends with the first signal that asks to stop.
#[cfg(unix)]
fn stopped() -> io::Result<JoinHandle<()>> {
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    let mut interrupt = signal::unix::signal(signal::unix::SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }))
}

/// Ends with the first signal that asks to stop.
#[cfg(not(unix))]
fn stopped() -> io::Result<JoinHandle<()>> {
    Ok(tokio::spawn(async move {
        let _caught: io::Result<()> = signal::ctrl_c().await;
    }))
}
