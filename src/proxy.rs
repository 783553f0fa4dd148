//! Stands between a client and an endpoint: passes on what comes, changes nothing, and hands a copy to the [`tape`].
//!
//! Each connection of a client has connections to the upstream of its own, driven by the same task: what happens to one
//! side happens to the other, as if they spoke directly. Nothing is pooled, retried or buffered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

mod body;
pub(crate) mod dial;
pub(crate) mod fault;
mod forward;
mod headers;
mod link;
mod route;
mod splice;
pub mod tape;
pub(crate) mod tcp;

pub use dial::Roots;
pub use route::{Upstream, UpstreamError};

use dial::Dialer;
use tape::Tape;

/// How to forward.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to: the one with the longest prefix that fits is chosen.
    pub upstreams: Vec<Upstream>,
    /// Answer 502 where no upstream can be reached, in place of closing the connection.
    pub bad_gateway: bool,
    /// Read an answer to its end when its client has left.
    pub drain: bool,
    /// Whom to trust.
    pub roots: Roots,
}

/// Why no proxy could be made.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// Two upstreams have the same prefix.
    #[error("two upstreams have the path {0}; each needs one of its own")]
    SamePrefix(String),
    /// There is nothing to forward to.
    #[error("there is no upstream")]
    NoUpstream,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The proxy. Clones share it.
#[derive(Clone, Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstreams: Vec<Upstream>,
    dialer: Dialer,
    tape: Tape,
    bad_gateway: bool,
    drain: bool,
}

impl Proxy {
    /// A proxy that hands what passes to `tape`.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub fn new(config: Config, tape: Tape) -> Result<Self, ProxyError> {
        let dialer = Dialer::new(config.roots, config.upstreams.iter().any(Upstream::tls))?;
        Ok(Self {
            shared: Arc::new(Shared {
                upstreams: route::sorted(config.upstreams)?,
                dialer,
                tape,
                bad_gateway: config.bad_gateway,
                drain: config.drain,
            }),
        })
    }

    /// Serves connections until `stop` says so. Then no more are accepted; those that are open are served until the
    /// returned [`Serving`] is dropped.
    pub fn serve(self, listener: TcpListener) -> Serving {
        let (stop, stopped) = watch::channel(false);
        // not known before the last one was accepted
        let (open, left) = watch::channel(usize::MAX);
        let task = tokio::spawn(accept(self, listener, stopped, open));
        Serving { stop, left, task }
    }

    /// Serves one connection to its end.
    async fn connection(self, stream: TcpStream) {
        // a connection that is gone already shows when it is read
        let _gone: io::Result<()> = stream.set_nodelay(true);
        link::serve(self.shared, stream).await;
    }
}

/// A proxy at work. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
    left: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Accepts no more connections and waits until those that are open have ended.
    pub async fn finished(&mut self) {
        // a task that has ended serves nothing
        let _ended: Result<(), watch::error::SendError<bool>> = self.stop.send(true);
        // it is gone once nobody can say how many are left
        while *self.left.borrow_and_update() != 0 {
            if self.left.changed().await.is_err() {
                break;
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    proxy: Proxy,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    open: watch::Sender<usize>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(proxy.clone().connection(stream));
                }
                // no file handles left: those of connections that end come back
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
            () = told(&mut stopped) => break,
        }
    }
    drop(listener);
    open.send_replace(connections.len());
    while connections.join_next().await.is_some() {
        open.send_replace(connections.len());
    }
    open.send_replace(0);
    // those who wait look at `open`; this task is done
    std::future::pending::<()>().await;
}

/// Waits until `stopped` says so, or nobody can say it any more.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _told = stopped.wait_for(|it| *it).await;
}

/// Whether accepting failed because that connection is gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// The base URL under which a client reaches `upstream` through a proxy that listens at `address`.
pub fn local_base(address: SocketAddr, upstream: &Upstream) -> String {
    format!("http://{address}{}", upstream.prefix())
}
