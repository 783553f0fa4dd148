//! The body of an answer: sent at its pace, cut where it is to be cut, booked before its last bytes go out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::Shared;
use crate::endpoint::served::fault::How;
use crate::endpoint::served::plan::{Planned, Write};
use crate::endpoint::served::stream::error_frames;
use crate::proxy::tcp::Line;
use crate::wire::failure::Failure;

/// A body.
pub(super) enum Answer {
    /// All at once.
    Whole(Option<Bytes>),
    /// One part after the other.
    Played(Box<Play>),
    /// What comes from the upstream.
    Passed(Box<super::upstream::Passed>),
}

impl Answer {
    /// A body of these bytes.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}

/// An answer on its way.
pub(super) struct Play {
    shared: Arc<Shared>,
    line: Arc<Line>,
    plan: Planned,
    writes: std::vec::IntoIter<Write>,
    next: Option<Write>,
    sent: usize,
    /// When the part before this one was due.
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    booked: bool,
    /// The count of flushes when the last part went out.
    flushes: Option<u64>,
    said_error: bool,
}

impl Play {
    pub(super) fn new(shared: Arc<Shared>, line: Arc<Line>, plan: Planned) -> Self {
        let mut writes = plan.writes().into_iter();
        let next = writes.next();
        Self {
            shared,
            line,
            plan,
            writes,
            next,
            sent: 0,
            due: Instant::now(),
            sleep: None,
            booked: false,
            flushes: None,
            said_error: false,
        }
    }

    fn book(&mut self, frames: usize, end: &'static str) {
        if !self.booked {
            self.booked = true;
            self.shared.finished(self.plan.number, frames, end);
        }
    }

    fn part(&mut self, write: Write) -> Bytes {
        let start = self.sent;
        self.sent = write.end;
        self.next = self.writes.next();
        if self.next.is_none() {
            let end = if self.plan.stop.is_some() {
                "cut"
            } else {
                "complete"
            };
            self.book(self.plan.whole_frames(), end);
        }
        self.plan.frames.bytes.slice(start..write.end)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(write) = self.next {
            if !write.wait.is_zero() {
                let due = self.due + write.wait;
                let sleep = self
                    .sleep
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.sleep = None;
                self.due = due;
            }
            return Poll::Ready(Some(Ok(self.part(write))));
        }
        // an answer without a byte, such as one cut in front of its first event
        let end = if self.plan.stop.is_some() {
            "cut"
        } else {
            "complete"
        };
        self.book(self.plan.whole_frames(), end);
        match self.plan.stop.map(|stop| stop.how) {
            None | Some(How::Eof) => Poll::Ready(None),
            Some(How::Error) if self.said_error => Poll::Ready(None),
            Some(How::Error) => {
                self.said_error = true;
                let mut failure = Failure::of_status(500);
                failure.kind = "server_error".into();
                let sequence = self.plan.whole_frames() as u32;
                let (bytes, _) = error_frames(&failure, self.plan.stream_error, sequence);
                Poll::Ready(Some(Ok(bytes.into())))
            }
            Some(How::Stall) => Poll::Pending,
            Some(how @ (How::Close | How::Reset | How::HalfLine)) => {
                // what was sent must be with the system before the connection is dropped
                let now = self.line.flushes();
                let before = *self.flushes.get_or_insert(now);
                if now == before {
                    self.line.wake(cx.waker());
                    return Poll::Pending;
                }
                if how == How::Reset {
                    self.line.reset();
                }
                let cut = io::Error::new(io::ErrorKind::ConnectionAborted, "cut as asked for");
                Poll::Ready(Some(Err(cut)))
            }
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let sent = self.sent;
        let frames = self
            .plan
            .frames
            .ends
            .partition_point(|end| *end as usize <= sent);
        self.book(frames, "client_closed");
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                let bytes = bytes.take().filter(|it| !it.is_empty());
                Poll::Ready(bytes.map(|it| Ok(Frame::data(it))))
            }
            Self::Played(play) => play.poll(cx).map(|it| it.map(|it| it.map(Frame::data))),
            Self::Passed(passed) => passed.poll(cx).map(|it| it.map(|it| it.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Played(_) | Self::Passed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |it| it.len() as u64))
            }
            Self::Played(_) | Self::Passed(_) => SizeHint::default(),
        }
    }
}
