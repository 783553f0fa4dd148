//! The way from the wire to the file: events are queued where bytes pass and written by a thread of its own.
//!
//! Whoever forwards bytes hands a copy to the [`Tape`] and goes on; it never waits for the disk. The queue is bounded in
//! bytes: what does not fit is counted and becomes a `gap` in the file. Everything that takes time (decoding, hiding
//! secrets, deltas, JSON, the disk) happens in the thread that [`start`] starts.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::HeaderMap;
use tokio::sync::oneshot;

use crate::session::exchange::EndCause;

mod decode;
mod exchange;
mod file;
mod scribe;
mod socket;
mod told;

pub use file::{Output, Target};
pub use scribe::start;
pub use told::{Brief, Opening, Told, Totals};

/// How many bytes may wait for the disk: 64 MiB.
pub const MAX_QUEUED: usize = 64 << 20;

/// How long the reader of the queue dozes when there is nothing to read.
const DOZE: Duration = Duration::from_millis(1);

/// After how many dozes it sleeps until it is woken.
const DOZES: u32 = 50;

/// What an event costs beside its bytes.
const EVENT_COST: usize = 160;

/// What is recorded, in the order in which it was queued. Times are microseconds since the tape began.
#[derive(Debug)]
pub enum Event {
    /// The head of a request.
    Request {
        /// Its handle.
        id: u64,
        /// When it came.
        at_us: u64,
        /// What it says.
        head: Box<Head>,
    },
    /// Bytes of a request's body, as they came.
    Body {
        /// The request.
        id: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// A request's body is whole, or broke off.
    BodyEnd {
        /// The request.
        id: u64,
        /// When.
        at_us: u64,
        /// Whether it is whole.
        complete: bool,
    },
    /// The head of an answer.
    Response {
        /// The request.
        id: u64,
        /// When it came.
        at_us: u64,
        /// The status.
        status: u16,
        /// The headers.
        headers: Box<HeaderMap>,
    },
    /// One data frame of an answer's body, as it came.
    Chunk {
        /// The request.
        id: u64,
        /// When it came.
        at_us: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The client left, and the upstream is read on.
    ClientClosed {
        /// The request.
        id: u64,
        /// When.
        at_us: u64,
    },
    /// The end of an exchange.
    End {
        /// The request.
        id: u64,
        /// When.
        at_us: u64,
        /// Who ended it.
        cause: EndCause,
        /// More about it.
        detail: Option<String>,
        /// Trailing headers.
        trailers: Option<Box<HeaderMap>>,
        /// Who wants to know when it is on file.
        written: Option<oneshot::Sender<()>>,
    },
    /// A handshake that was answered with 101.
    Connection {
        /// Its handle.
        id: u64,
        /// When it was opened.
        at_us: u64,
        /// The handshake.
        head: Box<Head>,
        /// The headers of its answer.
        headers: Box<HeaderMap>,
    },
    /// Bytes of an upgraded connection, as they came.
    Socket {
        /// The connection.
        id: u64,
        /// When they came.
        at_us: u64,
        /// Whether the client sent them.
        from_client: bool,
        /// The bytes.
        bytes: Bytes,
    },
    /// The end of an upgraded connection.
    ConnectionEnd {
        /// The connection.
        id: u64,
        /// When.
        at_us: u64,
        /// Who ended it.
        cause: EndCause,
    },
    /// A rollout is followed from here on.
    RolloutFile {
        /// Its path below the client's home.
        path: String,
        /// The first line that is followed.
        line: u32,
        /// The byte it begins at.
        byte: u64,
    },
    /// A line of a rollout.
    Rollout {
        /// When it was seen.
        at_us: u64,
        /// The rollout.
        path: String,
        /// The line.
        line: u32,
        /// Its bytes, without the line end.
        bytes: Bytes,
    },
    /// A line of the client's own event log.
    ClientEvent {
        /// When it was seen.
        at_us: u64,
        /// Which log, as `client_event` lines name it.
        source: &'static str,
        /// `in` or `out`.
        direction: &'static str,
        /// Its bytes, without the line end.
        bytes: Bytes,
    },
    /// Something was not queued.
    Lost {
        /// The exchange or connection, if it concerns one.
        id: Option<u64>,
        /// When.
        at_us: u64,
        /// How many events.
        chunks: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// Nothing more comes; what is open is ended as `recorder_stopped`.
    Stop {
        /// When.
        at_us: u64,
    },
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Head {
    /// `1.0`, `1.1` or `2`.
    pub http: &'static str,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
}

/// The queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Tape {
    shared: Arc<Shared>,
    sender: Sender<Event>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    queued: AtomicUsize,
    limit: usize,
    next: AtomicU64,
    /// Set once something was dropped, so that the way without losses costs one look.
    lossy: AtomicBool,
    /// What was dropped that belongs to no exchange.
    lost: AtomicU64,
    /// The thread that reads, while it dozes.
    reader: OnceLock<Thread>,
    /// Set while somebody has waited for the file in vain, until it takes something again.
    behind: AtomicBool,
}

impl Tape {
    /// A queue that holds at most `limit` bytes, and its other end.
    pub fn new(limit: usize) -> (Self, Feed) {
        let (sender, receiver) = channel();
        let shared = Arc::new(Shared {
            began: Instant::now(),
            queued: AtomicUsize::new(0),
            limit,
            next: AtomicU64::new(1),
            lossy: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            reader: OnceLock::new(),
            behind: AtomicBool::new(false),
        });
        let feed = Feed {
            receiver,
            shared: Arc::clone(&shared),
        };
        (Self { shared, sender }, feed)
    }

    /// Microseconds since the tape began.
    pub fn now(&self) -> u64 {
        self.shared.began.elapsed().as_micros() as u64
    }

    /// A track for a request or a connection.
    pub fn track(&self) -> Track {
        Track {
            id: self.shared.next.fetch_add(1, Ordering::Relaxed),
            tape: self.clone(),
            chunks: 0,
            bytes: 0,
        }
    }

    /// Queues what belongs to no exchange.
    pub fn note(&self, event: Event) {
        let bytes = cost(&event);
        if self.fits(bytes, 1) {
            self.send(event, bytes);
        } else {
            self.shared.lossy.store(true, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says that nothing more comes.
    pub fn stop(&self) {
        self.send(Event::Stop { at_us: self.now() }, 0);
    }

    fn fits(&self, bytes: usize, part: usize) -> bool {
        let queued = self.shared.queued.load(Ordering::Relaxed);
        queued.saturating_add(bytes) <= self.shared.limit.saturating_mul(part)
    }

    fn send(&self, event: Event, bytes: usize) {
        self.shared.queued.fetch_add(bytes, Ordering::Relaxed);
        let urgent = matches!(
            event,
            Event::End { .. } | Event::ConnectionEnd { .. } | Event::Stop { .. }
        );
        // a scribe that is gone takes nothing any more
        let _gone = self.sender.send(event);
        if urgent && let Some(reader) = self.shared.reader.get() {
            reader.unpark();
        }
    }
}

/// The part of the queue that belongs to one request or connection.
#[derive(Debug)]
pub struct Track {
    id: u64,
    tape: Tape,
    chunks: u64,
    bytes: u64,
}

impl Track {
    /// Its handle.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the file is not worth waiting for: somebody has, in vain, and it has taken nothing since.
    pub(super) fn is_behind(&self) -> bool {
        self.tape.shared.behind.load(Ordering::Relaxed)
    }

    /// Says that the file was waited for in vain.
    pub(super) fn fell_behind(&self) {
        self.tape.shared.behind.store(true, Ordering::Relaxed);
    }

    /// Another part of the same request or connection.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            id: self.id,
            tape: self.tape.clone(),
            chunks: 0,
            bytes: 0,
        }
    }

    /// Microseconds since the tape began.
    pub fn now(&self) -> u64 {
        self.tape.now()
    }

    /// Queues bytes; if they do not fit they are counted as lost.
    pub fn data(&mut self, event: Event) {
        let bytes = cost(&event);
        if self.tape.fits(bytes, 1) {
            self.tell_lost();
            self.tape.send(event, bytes);
        } else {
            self.tape.shared.lossy.store(true, Ordering::Relaxed);
            self.chunks += 1;
            self.bytes += (bytes - EVENT_COST) as u64;
        }
    }

    /// Queues what holds the file together: heads and ends. These are small and may take twice the room; beyond that
    /// they are lost too.
    pub fn mark(&mut self, event: Event) {
        let bytes = cost(&event);
        if self.tape.fits(bytes, 2) {
            self.tell_lost();
            self.tape.send(event, bytes);
        } else {
            self.tape.shared.lossy.store(true, Ordering::Relaxed);
            self.tape.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell_lost(&mut self) {
        if self.chunks > 0 {
            let event = Event::Lost {
                id: Some(self.id),
                at_us: self.now(),
                chunks: std::mem::take(&mut self.chunks),
                bytes: std::mem::take(&mut self.bytes),
            };
            self.tape.send(event, EVENT_COST);
        }
    }
}

fn cost(event: &Event) -> usize {
    let headers = |headers: &HeaderMap| {
        headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 64)
            .sum::<usize>()
    };
    EVENT_COST
        + match event {
            Event::Body { bytes, .. }
            | Event::Chunk { bytes, .. }
            | Event::Socket { bytes, .. }
            | Event::ClientEvent { bytes, .. } => bytes.len(),
            Event::Rollout { bytes, path, .. } => bytes.len() + path.len(),
            Event::Request { head, .. } => headers(&head.headers) + head.target.len(),
            Event::Response { headers: it, .. } => headers(it),
            Event::Connection {
                head, headers: it, ..
            } => headers(&head.headers) + headers(it),
            _ => 0,
        }
}

/// The end of the queue that is read.
#[derive(Debug)]
pub struct Feed {
    receiver: Receiver<Event>,
    shared: Arc<Shared>,
}

impl Feed {
    /// Waits for an event; `None` if nobody can send one any more.
    ///
    /// While events come it looks every millisecond, so that who sends one need not wake anybody; an end wakes it.
    pub(super) fn wait(&self) -> Option<Event> {
        // only one thread reads
        let _same = self.shared.reader.set(std::thread::current());
        for _ in 0..DOZES {
            if let Some(event) = self.next() {
                return Some(event);
            }
            std::thread::park_timeout(DOZE);
        }
        self.receiver.recv().ok().inspect(|it| self.took(it))
    }

    /// Returns an event that is there.
    pub(super) fn next(&self) -> Option<Event> {
        self.receiver.try_recv().ok().inspect(|it| self.took(it))
    }

    /// Microseconds since the tape began.
    pub(super) fn now(&self) -> u64 {
        self.shared.began.elapsed().as_micros() as u64
    }

    /// Says that the file takes what comes.
    pub(super) fn goes_on(&self) {
        self.shared.behind.store(false, Ordering::Relaxed);
    }

    /// Events that were lost and belong to no exchange.
    pub(super) fn lost(&self) -> u64 {
        if self.shared.lossy.load(Ordering::Relaxed) {
            self.shared.lost.swap(0, Ordering::Relaxed)
        } else {
            0
        }
    }

    fn took(&self, event: &Event) {
        let bytes = match event {
            Event::Stop { .. } => 0,
            event => cost(event),
        };
        self.shared.queued.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "tape/tests.rs"]
mod flow;

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(track: &Track, size: usize) -> Event {
        Event::Chunk {
            id: track.id(),
            at_us: 0,
            bytes: Bytes::from(vec![0; size]),
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_once_there_is_room() {
        let (tape, feed) = Tape::new(1000);
        let mut track = tape.track();
        for _ in 0..3 {
            track.data(chunk(&track, 600));
        }
        assert!(matches!(feed.next(), Some(Event::Chunk { .. })));
        assert!(feed.next().is_none());
        track.data(chunk(&track, 1));
        match feed.next() {
            Some(Event::Lost { chunks, bytes, .. }) => assert_eq!((chunks, bytes), (2, 1200)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(feed.next(), Some(Event::Chunk { .. })));
        assert_eq!(tape.shared.queued.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn ends_find_room_where_bytes_do_not() {
        let (tape, feed) = Tape::new(1000);
        let mut track = tape.track();
        track.data(chunk(&track, 800));
        track.data(chunk(&track, 800));
        let end = |track: &Track| Event::End {
            id: track.id(),
            at_us: 0,
            cause: EndCause::Complete,
            detail: None,
            trailers: None,
            written: None,
        };
        track.mark(end(&track));
        assert!(matches!(feed.next(), Some(Event::Chunk { .. })));
        assert!(matches!(feed.next(), Some(Event::Lost { chunks: 1, .. })));
        assert!(matches!(feed.next(), Some(Event::End { .. })));
        for _ in 0..100 {
            track.mark(end(&track));
        }
        assert!(feed.lost() > 0, "even these are bounded");
    }
}
