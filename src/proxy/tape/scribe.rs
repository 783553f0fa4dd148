//! Writes what was queued: the thread that owns the file.

use std::collections::BTreeMap;
use std::io;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::exchange::Request;
use super::file::Output;
use super::socket::Socket;
use super::told::{Opening, Told, Totals};
use super::{Event, Feed};
use crate::redact::Redactor;
use crate::session::exchange::EndCause;
use crate::session::format::{
    ClientEventLine, FORMAT, GapLine, RolloutFileLine, RolloutLine, SessionLine,
};
use crate::session::writer::Writer;

/// How many bytes are collected before they are written.
const BATCH: usize = 256 << 10;

/// How long whoever waits for the file waits for others to join, in microseconds.
const AWAITED: u64 = 500;

/// Starts the thread that writes what comes out of `feed`. It ends with [`Event::Stop`], or when the queue is gone.
///
/// # Errors
/// If no thread can be started.
pub fn start(
    feed: Feed,
    output: Output,
    opening: Opening,
    redactor: Redactor,
    told: Box<dyn FnMut(Told) + Send>,
) -> io::Result<JoinHandle<Totals>> {
    std::thread::Builder::new()
        .name("scribe".to_owned())
        .spawn(move || {
            let scribe = Scribe {
                writer: Writer::new(output),
                redactor,
                told,
                requests: BTreeMap::new(),
                sockets: BTreeMap::new(),
                exchanges: 0,
                held: 0,
                totals: Totals::default(),
                failing: false,
                unwritten: 0,
                now: 0,
                waiting: Vec::new(),
                awaited_since: None,
            };
            scribe.run(&feed, &opening)
        })
}

/// What was not written of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
}

pub(super) struct Scribe {
    pub(super) writer: Writer<Output>,
    pub(super) redactor: Redactor,
    pub(super) told: Box<dyn FnMut(Told) + Send>,
    pub(super) requests: BTreeMap<u64, Request>,
    sockets: BTreeMap<u64, Socket>,
    /// How many exchanges have a line.
    pub(super) exchanges: u32,
    pub(super) held: usize,
    pub(super) totals: Totals,
    failing: bool,
    /// Lines that found no room and belong to no exchange that has a line.
    pub(super) unwritten: u64,
    pub(super) now: u64,
    /// Who wants to know when what is collected is on file.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    /// Since when, by the tape's clock.
    awaited_since: Option<u64>,
}

impl Scribe {
    fn run(mut self, feed: &Feed, opening: &Opening) -> Totals {
        let opened = self.open(opening);
        self.lost_if(&opened);
        self.commit();
        'queue: while let Some(event) = feed.wait() {
            let mut next = Some(event);
            while let Some(event) = next {
                if let Event::Stop { at_us } = event {
                    self.stop(at_us);
                    break 'queue;
                }
                self.event(event);
                if self.writer.get_ref().waiting() > BATCH || self.is_awaited(feed) {
                    break;
                }
                next = feed.next();
            }
            self.unwritten += feed.lost();
            self.tell_unwritten();
            self.commit();
            if !self.failing {
                feed.goes_on();
            }
        }
        self.tell_unwritten();
        self.commit();
        let waiting = self.writer.get_ref().waiting();
        if waiting > 0 {
            self.totals.failed = Some(format!("{waiting} bytes could not be written"));
        }
        self.totals.exchanges = self.exchanges;
        self.totals.written = self.writer.get_ref().written();
        self.totals
    }

    fn open(&mut self, opening: &Opening) -> io::Result<()> {
        let command: Vec<String> = self.redactor.arguments(&opening.command);
        let upstream = self.redactor.url(&opening.upstream).into_owned();
        self.writer.session(&SessionLine {
            format: FORMAT,
            id: Some(&opening.id),
            created_at: Some(&opening.created_at),
            recorder: Some(&opening.recorder),
            command: command.iter().map(String::as_str).collect(),
            upstream: Some(&upstream),
            drain: opening.drain.then_some(true),
            ..SessionLine::default()
        })
    }

    /// Whether somebody has waited long enough for what is collected, although more is queued.
    fn is_awaited(&mut self, feed: &Feed) -> bool {
        if self.waiting.is_empty() {
            self.awaited_since = None;
            return false;
        }
        let now = feed.now();
        let since = *self.awaited_since.get_or_insert(now);
        now.saturating_sub(since) >= AWAITED
    }

    fn commit(&mut self) {
        self.awaited_since = None;
        let committed = self.writer.get_mut().commit();
        for waiting in self.waiting.drain(..) {
            // it has waited long enough, or is told now: by what failed, too
            let _gone = waiting.send(());
        }
        match committed {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    (self.told)(Told::Trouble(format!(
                        "the recording cannot be written: {error}; traffic goes on, and what is missing will be marked as a gap"
                    )));
                }
            }
        }
    }

    pub(super) fn lost_if(&mut self, written: &io::Result<()>) {
        if written.is_err() {
            self.unwritten += 1;
        }
    }

    fn tell_unwritten(&mut self) {
        if self.unwritten == 0 {
            return;
        }
        let line = GapLine {
            exchange: None,
            at_us: self.now,
            chunks: self.unwritten,
            bytes: 0,
            reason: self.reason(),
        };
        if self.writer.gap(line).is_ok() {
            self.totals.lost += std::mem::take(&mut self.unwritten);
        }
    }

    pub(super) fn reason(&self) -> &'static str {
        if self.failing {
            "the file could not be written"
        } else {
            "more came than the disk could take"
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Request { id, at_us, head } => self.request(id, at_us, *head),
            Event::Body { id, bytes } => self.body(id, bytes),
            Event::BodyEnd {
                id,
                at_us,
                complete,
            } => self.body_end(id, at_us, complete),
            Event::Response { id, .. }
            | Event::Chunk { id, .. }
            | Event::ClientClosed { id, .. }
            | Event::End { id, .. } => self.of_answer(id, event),
            Event::Lost {
                id: Some(id),
                chunks,
                bytes,
                at_us,
            } => self.lost(id, at_us, Gap { chunks, bytes }),
            Event::Lost { chunks, .. } => self.unwritten += chunks,
            Event::Connection {
                id,
                at_us,
                head,
                headers,
            } => {
                self.requests.remove(&id);
                self.totals.connections += 1;
                let number = self.totals.connections;
                let socket = Socket::open(self, number, at_us, &head, &headers);
                self.sockets.insert(id, socket);
            }
            Event::Socket {
                id,
                at_us,
                from_client,
                bytes,
            } => self.with_socket(id, |socket, scribe| {
                socket.bytes(scribe, at_us, from_client, &bytes);
            }),
            Event::ConnectionEnd { id, at_us, cause } => {
                if let Some(mut socket) = self.sockets.remove(&id) {
                    socket.end(self, at_us, cause);
                }
            }
            Event::RolloutFile { path, line, byte } => {
                let path = self.plain(&path);
                let written = self.writer.rollout_file(&RolloutFileLine {
                    path: &path,
                    line,
                    byte,
                });
                self.lost_if(&written);
            }
            Event::Rollout {
                at_us,
                path,
                line,
                bytes,
            } => {
                let path = self.plain(&path);
                let bytes = self.redactor.text(&bytes);
                let text = String::from_utf8_lossy(&bytes);
                let (value, text) = value_or_text(&text);
                let written = self.writer.rollout(RolloutLine {
                    at_us,
                    path: &path,
                    line,
                    value,
                    text,
                });
                self.lost_if(&written);
            }
            Event::ClientEvent {
                at_us,
                source,
                direction,
                bytes,
            } => {
                let bytes = self.redactor.text(&bytes);
                let text = String::from_utf8_lossy(&bytes);
                let (value, text) = value_or_text(&text);
                let written = self.writer.client_event(ClientEventLine {
                    at_us,
                    source,
                    direction,
                    value,
                    text,
                });
                self.lost_if(&written);
            }
            Event::Stop { .. } => {}
        }
    }

    /// A short text without secrets.
    pub(super) fn plain(&mut self, text: &str) -> String {
        let text = self.redactor.text(text.as_bytes());
        String::from_utf8_lossy(&text).into_owned()
    }

    fn with_socket(&mut self, id: u64, act: impl FnOnce(&mut Socket, &mut Self)) {
        if let Some(mut socket) = self.sockets.remove(&id) {
            act(&mut socket, self);
            self.sockets.insert(id, socket);
        }
    }

    fn lost(&mut self, id: u64, at_us: u64, gap: Gap) {
        if let Some(mut request) = self.requests.remove(&id) {
            if request.number.is_none() {
                // what is lost before the line is written is the body's
                request.torn = true;
                self.unwritten += gap.chunks;
            } else {
                request.gap.chunks += gap.chunks;
                request.gap.bytes += gap.bytes;
                self.tell_gap(&mut request, at_us);
            }
            self.requests.insert(id, request);
        } else {
            self.with_socket(id, |socket, scribe| socket.lost(scribe, at_us, gap));
        }
    }

    /// Ends what is open.
    fn stop(&mut self, at_us: u64) {
        self.now = self.now.max(at_us);
        let ids: Vec<u64> = self.requests.keys().copied().collect();
        for id in ids {
            self.body_end(id, at_us, false);
            let end = Event::End {
                id,
                at_us,
                cause: EndCause::RecorderStopped,
                detail: None,
                trailers: None,
                written: None,
            };
            self.of_answer(id, end);
        }
        let sockets = std::mem::take(&mut self.sockets);
        for mut socket in sockets.into_values() {
            socket.end(self, at_us, EndCause::RecorderStopped);
        }
    }
}

/// A line as JSON where it is some, else as text.
fn value_or_text(text: &str) -> (Option<&serde_json::value::RawValue>, Option<&str>) {
    match serde_json::from_str(text) {
        Ok(value) => (Some(value), None),
        Err(_) => (None, Some(text)),
    }
}
