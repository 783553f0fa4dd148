//! A client's connection that can be reset, and that says when everything written to it has left. The served endpoint
//! (`mock`) stands on it as well.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What the body of an answer knows of its connection.
#[derive(Debug, Default)]
pub(crate) struct Line {
    reset: AtomicBool,
    flushes: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

impl Line {
    /// Has the connection reset when it ends.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// How often everything written was handed to the system.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Wakes the waker at the next flush.
    pub(crate) fn wake(&self, waker: &Waker) {
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
pub(crate) struct Tracked {
    stream: TcpStream,
    line: Arc<Line>,
}

impl Tracked {
    /// The connection, and what others may know and ask of it.
    pub(crate) fn new(stream: TcpStream) -> (Self, Arc<Line>) {
        let line = Arc::new(Line::default());
        let tracked = Self {
            stream,
            line: Arc::clone(&line),
        };
        (tracked, line)
    }
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
        // whoever calls this has written all it had
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.line.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // a connection that is to be reset says no goodbye
        if self.line.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
