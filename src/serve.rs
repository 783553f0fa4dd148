//! `replay serve`: a mock as a program, alone or around a command.

use std::io;
use std::net::SocketAddr;

use tokio::runtime::{Builder, Runtime};
use tokio::signal;

use crate::client::launch::{Exit, LaunchError};
use crate::endpoint::served::journal::{Counts, Entry};
use crate::mock::{Mock, Options};

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// How the command ended, if there was one.
    pub command: Option<Exit>,
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
    #[error(transparent)]
    Command(#[from] LaunchError),
    /// The runtime cannot be started.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

/// A mock with the threads that drive it.
#[derive(Debug)]
pub struct Serving {
    runtime: Runtime,
    mock: Mock,
}

impl Serving {
    /// Starts to listen.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn start(options: Options) -> Result<Self, ServeError> {
        let listen = options.listen;
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("serve")
            .build()
            .map_err(ServeError::Runtime)?;
        let mock = runtime
            .block_on(Mock::start(options))
            .map_err(|why| ServeError::Listen(listen, why))?;
        Ok(Self { runtime, mock })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.mock.address()
    }

    /// Serves until a signal comes. `ready` is called when signals are waited for.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn until_signal(
        self,
        ready: impl FnOnce(SocketAddr) -> Result<(), String>,
    ) -> Result<Outcome, ServeError> {
        let address = self.address();
        self.runtime.block_on(async {
            // signals are caught before anybody can know that it listens
            let stopped = stopped().map_err(ServeError::Runtime)?;
            ready(address).map_err(ServeError::Ready)?;
            stopped.await;
            Ok::<(), ServeError>(())
        })?;
        Ok(self.finish(None))
    }

    /// Serves until a command has ended, which `run` runs.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn around(
        self,
        run: impl FnOnce(SocketAddr) -> Result<Exit, LaunchError>,
    ) -> Result<Outcome, ServeError> {
        let exit = run(self.address())?;
        Ok(self.finish(Some(exit)))
    }

    fn finish(self, command: Option<Exit>) -> Outcome {
        let (counts, refused) = self.mock.with(|server| {
            let journal = server.journal();
            (journal.counts(), journal.refused().to_vec())
        });
        self.runtime.block_on(self.mock.stop());
        Outcome {
            command,
            counts,
            refused,
        }
    }
}

/// Ends with the first signal that asks to stop.
#[cfg(unix)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ends with the first signal that asks to stop.
#[cfg(not(unix))]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // where Ctrl-C cannot be waited for there is nothing to wait for
        let _caught: io::Result<()> = signal::ctrl_c().await;
    })
}
