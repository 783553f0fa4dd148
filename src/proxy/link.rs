//! One connection of a client, with the connections to upstreams that belong to it, as one task.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Shared;
use super::forward::{self, Sender};

/// How many headers a request may have.
const MAX_HEADERS: usize = 1000;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is known of the client's socket.
#[derive(Default)]
struct State {
    /// Set if it is to be reset and not closed.
    reset: AtomicBool,
    /// How often everything that was handed out has been written.
    flushes: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// What the parts of one client's connection share.
#[derive(Default)]
pub(super) struct Link {
    state: Arc<State>,
    /// What is driven beside the client's connection: first whether it keeps the task alive when the client has left.
    jobs: Mutex<Vec<(bool, Job)>>,
    /// What is driven from the next turn on.
    fresh: Mutex<Vec<(bool, Job)>>,
    /// The connection to the upstream with this index, if it can be used again.
    kept: Mutex<Option<(usize, Sender)>>,
}

impl Link {
    /// Drives a connection to an upstream, as long as the client is there.
    pub(super) fn drive(&self, connection: impl Future<Output = ()> + Send + 'static) {
        self.add(false, Box::pin(connection));
    }

    /// Drives a future to its end, even if the client leaves.
    pub(super) fn outlive(&self, job: impl Future<Output = ()> + Send + 'static) {
        self.add(true, Box::pin(job));
    }

    fn add(&self, outlives: bool, job: Job) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.push((outlives, job));
    }

    /// Drives the connections to the upstreams. Called by this connection's own task only, also from inside of an answer
    /// that waits for more: what has come already is passed on in one go.
    pub(super) fn run(&self, cx: &mut Context<'_>) {
        loop {
            // a job that is being driven waits for nothing of itself
            let Ok(mut jobs) = self.jobs.try_lock() else {
                return;
            };
            jobs.retain_mut(|(_, job)| job.as_mut().poll(cx).is_pending());
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            if fresh.is_empty() {
                return;
            }
            jobs.append(&mut fresh);
        }
    }

    fn is_fresh(&self) -> bool {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        !fresh.is_empty()
    }

    fn outlives(&self) -> bool {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().any(|(outlives, _)| *outlives)
    }

    /// Drops what is still driven. Jobs hold this link, so they would hold each other.
    fn clear(&self) {
        let jobs = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *jobs)
        };
        drop(jobs);
        let fresh = {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *fresh)
        };
        drop(fresh);
        drop(self.take(usize::MAX));
    }

    /// Takes the connection to the upstream, if there is one.
    pub(super) fn take(&self, upstream: usize) -> Option<Sender> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
            .filter(|(index, _)| *index == upstream)
            .map(|(_, sender)| sender)
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, upstream: usize, sender: Sender) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((upstream, sender));
    }

    /// Resets the client's connection when it is closed, as the upstream's was.
    pub(super) fn reset(&self) {
        self.state.reset.store(true, Ordering::Relaxed);
    }

    /// How often everything that was handed out has been written. It grows once what was handed out before is written.
    pub(super) fn flushes(&self) -> u64 {
        self.state.flushes.load(Ordering::Relaxed)
    }

    /// Wakes `waker` when [`Self::flushes`] grows.
    pub(super) fn wake_on_flush(&self, waker: &Waker) {
        let mut slot = self
            .state
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slot = Some(waker.clone());
    }
}

/// Serves a client until it or the upstream has had enough.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let link = Arc::new(Link::default());
    let io = Socket {
        stream,
        state: Arc::clone(&link.state),
    };
    let service = {
        let link = Arc::clone(&link);
        service_fn(move |request| forward::forward(Arc::clone(&shared), Arc::clone(&link), request))
    };
    let mut server = Some(Box::pin(
        http1::Builder::new()
            .auto_date_header(false)
            .preserve_header_case(true)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades(),
    ));
    let _cleared = Cleared(Arc::clone(&link));
    std::future::poll_fn(|cx| {
        loop {
            link.run(cx);
            if let Some(running) = &mut server
                && running.as_mut().poll(cx).is_ready()
            {
                // everything of the client's is dropped here, and with it what it was still waiting for
                server = None;
            }
            if link.is_fresh() {
                continue;
            }
            // what the client has just sent goes up at once, and not when this task's turn comes again
            link.run(cx);
            let busy = server.is_some() || link.outlives();
            return if busy { Poll::Pending } else { Poll::Ready(()) };
        }
    })
    .await;
}

/// Clears a link when its task is over, or is ended from outside.
struct Cleared(Arc<Link>);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// A client's connection, which can be reset.
pub(super) struct Socket {
    stream: TcpStream,
    state: Arc<State>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.state.reset.load(Ordering::Relaxed) {
            let socket = socket2::SockRef::from(&self.stream);
            // a socket that cannot be reset is closed
            let _closed: io::Result<()> = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // whoever calls this has written all it had
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.state.flushes.fetch_add(1, Ordering::Relaxed);
            let mut slot = self
                .state
                .waker
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(waker) = slot.take() {
                waker.wake();
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // a connection that is to be reset says no goodbye
        if self.state.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
