//! Bodies on their way through, each frame handed to the tape as it passes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::fault::Fault;
use super::link::Link;
use super::tape::{Event, Track};
use crate::session::exchange::EndCause;

/// How long a client's body waits for the upstream's `100 Continue` (RFC 9110, 10.1.1: not forever).
const CONTINUE: Duration = Duration::from_secs(1);

/// How long the end of an answer waits for the file at most. A machine with more to do than it can takes this long to
/// write a few lines; a disk that hangs costs it once, see [`Track::is_behind`].
const PATIENCE: Duration = Duration::from_millis(100);

/// Shorter pieces are copied: a slice would hold the whole buffer it was read into.
const COPIED: usize = 4096;

/// A copy of `bytes` for the tape.
pub(super) fn kept(bytes: &Bytes) -> Bytes {
    if bytes.len() < COPIED {
        Bytes::copy_from_slice(bytes)
    } else {
        bytes.clone()
    }
}

/// A request's body on its way up.
pub(super) struct Upload {
    inner: Incoming,
    track: Track,
    told: bool,
    gate: Option<Gate>,
}

struct Gate {
    /// Taken once the upstream has answered without asking.
    open: Option<oneshot::Receiver<()>>,
    enough: Pin<Box<Sleep>>,
}

impl Upload {
    /// The body `inner`. With `gate` nothing of it is read before the upstream asks for it.
    pub(super) fn new(inner: Incoming, track: Track, gate: Option<oneshot::Receiver<()>>) -> Self {
        let mut upload = Self {
            inner,
            track,
            told: false,
            gate: gate.map(|open| Gate {
                open: Some(open),
                enough: Box::pin(tokio::time::sleep(CONTINUE)),
            }),
        };
        if upload.inner.is_end_stream() {
            upload.tell(true);
        }
        upload
    }

    /// A body that nobody is told of: whether there is an exchange is not known yet.
    pub(super) fn untold(inner: Incoming, track: Track) -> Self {
        Self {
            inner,
            track,
            told: true,
            gate: None,
        }
    }

    /// Reads the body without being asked.
    pub(super) fn open_gate(&mut self) {
        self.gate = None;
    }

    fn tell(&mut self, complete: bool) {
        if !std::mem::replace(&mut self.told, true) {
            let (id, at_us) = (self.track.id(), self.track.now());
            self.track.mark(Event::BodyEnd {
                id,
                at_us,
                complete,
            });
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(gate) = &mut self.gate {
            let Some(open) = &mut gate.open else {
                return Poll::Pending;
            };
            match Pin::new(open).poll(cx) {
                Poll::Ready(Ok(())) => {}
                // answered without having asked for it: the body stays where it is
                Poll::Ready(Err(_)) => {
                    gate.open = None;
                    return Poll::Pending;
                }
                Poll::Pending => ready!(gate.enough.as_mut().poll(cx)),
            }
            self.gate = None;
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref().filter(|it| !it.is_empty()) {
                    let (id, bytes) = (self.track.id(), kept(bytes));
                    self.track.data(Event::Body { id, bytes });
                }
                if self.inner.is_end_stream() {
                    self.tell(true);
                }
            }
            Some(Err(_)) => self.tell(false),
            None => self.tell(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.tell(false);
    }
}

/// The record of one exchange's answer. It is told exactly once how the exchange ended; if nobody says, the client left.
pub(super) struct Exchange {
    pub(super) track: Track,
    told: bool,
    /// Whether it is still to be said that the request is whole.
    waits: bool,
}

impl Exchange {
    pub(super) fn new(track: Track) -> Self {
        Self {
            track,
            told: false,
            waits: false,
        }
    }

    /// An exchange whose body nobody else tells of: [`Self::begun`] does, at the latest when it ends.
    pub(super) fn waiting(mut self) -> Self {
        self.waits = true;
        self
    }

    pub(super) fn end(
        &mut self,
        cause: EndCause,
        detail: Option<String>,
        trailers: Option<HeaderMap>,
    ) {
        let _written = self.end_written(cause, detail, trailers);
    }

    /// The same; what is returned says when it is on file.
    fn end_written(
        &mut self,
        cause: EndCause,
        detail: Option<String>,
        trailers: Option<HeaderMap>,
    ) -> Option<oneshot::Receiver<()>> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.begun();
        let (id, at_us) = (self.track.id(), self.track.now());
        let (written, done) = oneshot::channel();
        self.track.mark(Event::End {
            id,
            at_us,
            cause,
            detail,
            trailers: trailers.map(Box::new),
            written: Some(written),
        });
        Some(done)
    }

    /// Says that the request is whole, if that is still to be said.
    pub(super) fn begun(&mut self) {
        if !std::mem::replace(&mut self.waits, false) {
            return;
        }
        let (id, at_us) = (self.track.id(), self.track.now());
        self.track.mark(Event::BodyEnd {
            id,
            at_us,
            complete: true,
        });
    }

    /// Says that this is no exchange after all, or that another one tells of it.
    pub(super) fn forget(mut self) {
        self.told = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end(EndCause::ClientClosed, None, None);
    }
}

/// An answer's body on its way down.
pub(super) struct Relay {
    /// Taken when the rest is read for the tape alone.
    inner: Option<Incoming>,
    exchange: Option<Exchange>,
    link: Arc<Link>,
    /// An error that waits until what came before it is written.
    fault: Option<Box<(hyper::Error, u64)>>,
    flushes: u64,
    /// Whether a frame was handed out since.
    unsent: bool,
    /// Whether the upstream's body has ended, and nobody was told yet.
    over: bool,
    /// The last frame, or the end without one, which waits until the file holds the exchange.
    last: Option<Last>,
    written: Option<Written>,
    drain: bool,
}

/// How an answer's body ends.
enum Last {
    Frame(Frame<Bytes>),
    End,
}

/// Says when what was queued is in the file.
struct Written {
    done: oneshot::Receiver<()>,
    enough: Pin<Box<Sleep>>,
}

impl Relay {
    pub(super) fn new(inner: Incoming, exchange: Exchange, link: Arc<Link>, drain: bool) -> Self {
        let mut relay = Self {
            flushes: link.line().flushes(),
            inner: Some(inner),
            exchange: Some(exchange),
            link,
            fault: None,
            unsent: false,
            over: false,
            last: None,
            written: None,
            drain,
        };
        if relay.is_end_stream() {
            // nothing of it is handed out later: it cannot wait
            relay.end(EndCause::Complete, None, None);
            relay.written = None;
        }
        relay
    }

    fn end(&mut self, cause: EndCause, detail: Option<String>, trailers: Option<HeaderMap>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let behind = exchange.track.is_behind();
        let done = exchange.end_written(cause, detail, trailers);
        if let Some(done) = done.filter(|_| !behind) {
            self.written = Some(Written {
                done,
                enough: Box::pin(tokio::time::sleep(PATIENCE)),
            });
        }
    }

    /// Ends the body, once the client has what came before: telling the tape wakes another thread, which takes time.
    fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.unsent && self.flushes == self.link.line().flushes() {
            self.link.line().wake(cx.waker());
            return Poll::Pending;
        }
        self.over = false;
        self.end(EndCause::Complete, None, None);
        self.last = Some(Last::End);
        self.poll_last(cx)
    }

    /// Hands out the last frame once the file holds it. An exchange whose end a client has seen is on file, whatever
    /// happens to the recorder; a disk that is slow is not waited for.
    fn poll_last(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(written) = &mut self.written {
            let done = Pin::new(&mut written.done).poll(cx).is_ready();
            if !done {
                ready!(written.enough.as_mut().poll(cx));
                if let Some(exchange) = &self.exchange {
                    exchange.track.fell_behind();
                }
            }
            self.written = None;
        }
        self.inner = None;
        self.flushes = self.link.line().flushes();
        Poll::Ready(match self.last.take() {
            Some(Last::Frame(frame)) => Some(Ok(frame)),
            _ => None,
        })
    }

    fn passed(&mut self, frame: &Frame<Bytes>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        if let Some(bytes) = frame.data_ref().filter(|it| !it.is_empty()) {
            let track = &mut exchange.track;
            let (id, at_us, bytes) = (track.id(), track.now(), kept(bytes));
            track.data(Event::Chunk { id, at_us, bytes });
        } else if let Some(trailers) = frame.trailers_ref() {
            let trailers = Some(trailers.clone());
            self.end(EndCause::Complete, None, trailers);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let relay = &mut *self;
        if relay.last.is_some() {
            return relay.poll_last(cx);
        }
        if relay.over {
            return relay.poll_over(cx);
        }
        if relay.fault.is_none() {
            let Some(inner) = &mut relay.inner else {
                return Poll::Ready(None);
            };
            let mut next = Pin::new(&mut *inner).poll_frame(cx);
            if next.is_pending() {
                // more may have come already
                relay.link.run(cx);
                next = Pin::new(inner).poll_frame(cx);
            }
            match ready!(next) {
                Some(Ok(frame)) => {
                    relay.passed(&frame);
                    if relay.inner.as_ref().is_none_or(Body::is_end_stream) {
                        relay.end(EndCause::Complete, None, None);
                        relay.last = Some(Last::Frame(frame));
                        return relay.poll_last(cx);
                    }
                    relay.flushes = relay.link.line().flushes();
                    relay.unsent = true;
                    return Poll::Ready(Some(Ok(frame)));
                }
                None => {
                    relay.over = true;
                    return relay.poll_over(cx);
                }
                Some(Err(error)) => {
                    let fault = Fault::of(&error);
                    if fault.reset {
                        relay.link.line().reset();
                    }
                    relay.end(fault.cause, Some(fault.detail), None);
                    relay.fault = Some(Box::new((error, relay.flushes)));
                }
            }
        }
        // the client gets all that came before, as it would have
        let waits = matches!(&relay.fault, Some(fault) if fault.1 == relay.link.line().flushes());
        if waits {
            relay.link.line().wake(cx.waker());
            return Poll::Pending;
        }
        Poll::Ready(relay.fault.take().map(|fault| Err(fault.0)))
    }

    fn is_end_stream(&self) -> bool {
        let over = self.inner.as_ref().is_none_or(Body::is_end_stream);
        over && !self.over && self.fault.is_none() && self.last.is_none() && self.written.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.last {
            Some(Last::Frame(frame)) => {
                let left = frame.data_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(left as u64)
            }
            _ => self.inner.as_ref().map(Body::size_hint).unwrap_or_default(),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let over = self.exchange.as_ref().is_none_or(|it| it.told);
        if over || !self.drain {
            return;
        }
        let (Some(inner), Some(exchange)) = (self.inner.take(), self.exchange.take()) else {
            return;
        };
        self.link.outlive(drain(inner, exchange));
    }
}

/// Reads an answer to its end for the tape alone.
pub(super) async fn drain(mut inner: Incoming, mut exchange: Exchange) {
    let (id, at_us) = (exchange.track.id(), exchange.track.now());
    exchange.track.mark(Event::ClientClosed { id, at_us });
    loop {
        match inner.frame().await {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref().filter(|it| !it.is_empty()) {
                    let track = &mut exchange.track;
                    let (id, at_us, bytes) = (track.id(), track.now(), kept(bytes));
                    track.data(Event::Chunk { id, at_us, bytes });
                } else if let Ok(trailers) = frame.into_trailers() {
                    return exchange.end(EndCause::Complete, None, Some(trailers));
                }
            }
            Some(Err(error)) => {
                let fault = Fault::of(&error);
                return exchange.end(fault.cause, Some(fault.detail), None);
            }
            None => return exchange.end(EndCause::Complete, None, None),
        }
    }
}
