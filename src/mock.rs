//! The served endpoint: [`Server`] behind a socket.
//!
//! HTTP/1.1 with event streams, and WebSocket mode. [`MockEndpoint`] is the same for tests in Rust: a port of its own,
//! requests to look at, and a check when it is dropped.
//!
//! ```
//! # use responses_replay::mock::MockEndpoint;
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let mock = MockEndpoint::new()
//!     .script(r#"[{"text":"Hello."}]"#)
//!     .start()
//!     .await
//!     .unwrap();
//! // point any client at this; it sends what the real API would refuse at its own risk
//! assert!(mock.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(mock.requests().len(), 0);
//! # });
//! ```

mod body;
mod decode;
mod endpoint;
mod http;
mod tcp;
mod upstream;
mod ws;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::endpoint::served::Server;
use crate::endpoint::served::journal::{Counts, Entry};
use crate::endpoint::served::server::Settings;

pub use endpoint::{MockEndpoint, Running, check};

/// Told of each request when it is over.
pub type Log = Arc<dyn Fn(&Entry) + Send + Sync>;

/// Where requests go for which there is no recorded answer: a recorder on this machine, in front of the real endpoint.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// What its paths begin with, such as `/v1`.
    pub prefix: String,
}

impl Upstream {
    /// The path there for a path that was asked for here: what stands in front of the first known word is replaced.
    fn target(&self, path: &str) -> String {
        let known = [
            "/responses",
            "/conversations",
            "/models",
            "/chat",
            "/completions",
        ];
        let start = known.iter().filter_map(|it| path.find(it)).min();
        format!(
            "{}{}",
            self.prefix.trim_end_matches('/'),
            start.and_then(|at| path.get(at..)).unwrap_or(path)
        )
    }
}

/// What a mock is started with.
pub struct Options {
    /// What it answers.
    pub settings: Settings,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The largest body and WebSocket message, in bytes, compressed or not.
    pub body_limit: usize,
    /// How long a WebSocket may live.
    pub websocket_limit: Duration,
    /// Whether WebSockets are accepted at all; else clients are told to use HTTP (426).
    pub websocket: bool,
    /// Where requests go that have no answer here.
    pub upstream: Option<Upstream>,
    /// Told of each request when it is over.
    pub log: Option<Log>,
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("listen", &self.listen)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            body_limit: 64 << 20,
            websocket_limit: Duration::from_secs(3600),
            websocket: true,
            upstream: None,
            log: None,
        }
    }
}

/// What all connections share.
struct Shared {
    server: Mutex<Server>,
    started: Instant,
    body_limit: usize,
    websocket_limit: Duration,
    websocket: bool,
    upstream: Option<Upstream>,
    log: Option<Log>,
}

impl Shared {
    /// The server; a panic elsewhere leaves it usable.
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books that an answer is sent up to here.
    fn finished(&self, number: u32, frames: usize, end: &'static str) {
        let mut server = self.server();
        if server.finished(number, frames, end) {
            self.tell(&server, number);
        }
    }

    fn tell(&self, server: &Server, number: u32) {
        if let Some(log) = &self.log
            && let Some(entry) = server.journal().get(number)
        {
            log(entry);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A mock that listens.
#[derive(Debug)]
pub struct Mock {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Mock {
    /// Starts to listen.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: Mutex::new(Server::new(options.settings)),
            started: Instant::now(),
            body_limit: options.body_limit,
            websocket_limit: options.websocket_limit,
            websocket: options.websocket,
            upstream: options.upstream,
            log: options.log,
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(tcp::accept(listener, Arc::clone(&shared), stopped));
        Ok(Self {
            address,
            shared,
            stop,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many requests there were.
    pub fn counts(&self) -> Counts {
        self.shared.server().journal().counts()
    }

    /// Looks at the server.
    pub fn with<T>(&self, look: impl FnOnce(&Server) -> T) -> T {
        look(&self.shared.server())
    }

    /// Stops listening, lets requests end for a while, and returns.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ended: Result<(), tokio::task::JoinError> = self.task.await;
    }
}
