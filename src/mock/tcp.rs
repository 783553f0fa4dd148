//! Connections: accepted, counted, reset where a fault asks for it, and ended in time.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{Shared, http};

/// How many connections there may be at once; more wait.
const CONNECTIONS: usize = 10_000;
/// How long the head of a request may take, and a connection may be idle.
const IDLE: Duration = Duration::from_secs(600);
/// How long requests may go on when the server is stopped.
const GRACE: Duration = Duration::from_secs(2);

/// Accepts connections until it is told to stop.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let permit = Arc::clone(&room).acquire_owned();
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            permit = permit => match permit {
                Ok(permit) => tokio::select! {
                    _ = stopped.changed() => break,
                    accepted = listener.accept() => accepted.map(|(stream, _)| (stream, permit)),
                },
                Err(_) => break,
            },
        };
        match accepted {
            Ok((stream, permit)) => {
                let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
                connections.spawn(async move {
                    serve(stream, shared, stopped).await;
                    drop(permit);
                });
            }
            // out of files: what is open may end meanwhile
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _late: Result<(), tokio::time::error::Elapsed> = tokio::time::timeout(GRACE, all).await;
    connections.abort_all();
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let _unset: io::Result<()> = stream.set_nodelay(true);
    let line = Arc::new(Line::default());
    let io = Tracked {
        stream,
        line: Arc::clone(&line),
    };
    let service =
        service_fn(|request| http::answer(request, Arc::clone(&shared), Arc::clone(&line)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ended = connection.as_mut() => return,
        _ = stopped.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended: Result<(), hyper::Error> = connection.await;
}

/// What the body of an answer knows of its connection.
#[derive(Debug, Default)]
pub(super) struct Line {
    reset: AtomicBool,
    flushes: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

impl Line {
    /// Has the connection reset when it ends.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// How often everything written was handed to the system.
    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Wakes the waker at the next flush.
    pub(super) fn wake(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Some(waker.clone());
    }

    fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = waiting.take() {
            waker.wake();
        }
    }
}

/// A connection that can be reset.
pub(super) struct Tracked {
    stream: TcpStream,
    line: Arc<Line>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if self.line.reset.load(Ordering::Acquire) {
            let socket = socket2::SockRef::from(&self.stream);
            // the peer sees a reset in place of an end
            let _unset: io::Result<()> = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Tracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tracked {
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
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.line.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
