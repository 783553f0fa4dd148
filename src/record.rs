//! `replay record`: a proxy and the file it fills, from the first line to the last.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::proxy::tape::{self, MAX_QUEUED, Opening, Output, Tape, Told, Totals};
use crate::proxy::{Config, Proxy, ProxyError, Serving};
use crate::redact::Redactor;

mod lines;
mod summary;

pub use lines::Lines;
pub use summary::Summary;

/// How long the last lines may take to be written when the recorder stops. A disk that hangs is not waited for.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Why nothing can be recorded.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The proxy cannot be set up.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The address is taken, or is none of this machine's.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The machine gives no threads.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// What is recorded, and where.
pub struct Options {
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// How to forward.
    pub proxy: Config,
    /// The file.
    pub output: Output,
    /// Its first line.
    pub opening: Opening,
    /// What takes secrets out.
    pub redactor: Redactor,
    /// Who is told of exchanges and of trouble.
    pub told: Box<dyn FnMut(Told) + Send>,
}

/// A recorder at work.
#[derive(Debug)]
pub struct Recorder {
    runtime: Runtime,
    address: SocketAddr,
    tape: Tape,
    serving: Serving,
    scribe: JoinHandle<Totals>,
    signals: Signals,
}

impl Recorder {
    /// Listens, and writes the first line.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn start(options: Options) -> Result<Self, RecordError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("proxy")
            .build()?;
        let (tape, feed) = Tape::new(MAX_QUEUED);
        let proxy = Proxy::new(options.proxy, tape.clone())?;
        let no_listener = |error| RecordError::Listen(options.listen, error);
        let listener = runtime
            .block_on(TcpListener::bind(options.listen))
            .map_err(no_listener)?;
        let address = listener.local_addr().map_err(no_listener)?;
        let scribe = tape::start(
            feed,
            options.output,
            options.opening,
            options.redactor,
            options.told,
        )?;
        let (serving, signals) = {
            let _inside = runtime.enter();
            // before anybody is told that there is something to stop
            (proxy.serve(listener), Signals::new()?)
        };
        Ok(Self {
            runtime,
            address,
            tape,
            serving,
            scribe,
            signals,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where lines beside the wire go.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// What drives it.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits until a signal says that it is enough.
    pub fn wait_for_signal(&mut self) {
        self.runtime.block_on(self.signals.next());
    }

    /// Accepts no more, waits up to `grace` for what is under way, cuts the rest, and writes the last line.
    pub fn finish(mut self, grace: Duration) -> Totals {
        self.runtime.block_on(async {
            // what is not over by then is cut
            let _over = tokio::time::timeout(grace, self.serving.finished()).await;
        });
        self.tape.stop();
        drop(self.serving);
        self.runtime.shutdown_background();
        let (done, written) = std::sync::mpsc::channel();
        let scribe = self.scribe;
        let waiting = std::thread::Builder::new().spawn(move || {
            // whoever waits may have given up
            let _late = done.send(scribe.join().ok());
        });
        let failed = |why: &str| Totals {
            failed: Some(why.to_owned()),
            ..Totals::default()
        };
        if waiting.is_err() {
            return failed("the last lines may be missing");
        }
        match written.recv_timeout(LAST_LINES) {
            Ok(Some(totals)) => totals,
            Ok(None) => failed("the thread that writes the file has failed"),
            Err(_) => failed("the disk does not answer; the last lines may be missing"),
        }
    }
}

/// The signals by which a recorder is stopped.
#[cfg(unix)]
#[derive(Debug)]
struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The signals by which a recorder is stopped.
#[cfg(not(unix))]
#[derive(Debug)]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // where Ctrl-C cannot be waited for there is nothing to wait for
        let _stopped = tokio::signal::ctrl_c().await;
    }
}
