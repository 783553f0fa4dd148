//! What a tape is told of what is sent and what comes back.

use bytes::Bytes;
use hyper::header::HeaderMap;

use crate::proxy::tape::{Event, Head, Tape, Track};
use crate::session::exchange::EndCause;

/// What a tape is told of one request.
pub(in crate::replay) struct Told {
    track: Option<Track>,
    over: bool,
}

impl Told {
    pub(in crate::replay) fn request(
        tape: Option<&Tape>,
        method: &str,
        target: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let mut told = Self {
            track: tape.map(Tape::track),
            over: false,
        };
        let head = Head {
            http: "1.1",
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.clone(),
        };
        told.mark(|id, at_us| Event::Request {
            id,
            at_us,
            head: Box::new(head),
        });
        if let Some(track) = &mut told.track {
            let id = track.id();
            let bytes = Bytes::copy_from_slice(body);
            track.data(Event::Body { id, bytes });
        }
        told.mark(|id, at_us| Event::BodyEnd {
            id,
            at_us,
            complete: true,
        });
        told
    }

    fn mark(&mut self, event: impl FnOnce(u64, u64) -> Event) {
        if let Some(track) = &mut self.track {
            let (id, at_us) = (track.id(), track.now());
            track.mark(event(id, at_us));
        }
    }

    pub(in crate::replay) fn response(&mut self, status: u16, headers: &HeaderMap) {
        let headers = Box::new(headers.clone());
        self.mark(|id, at_us| Event::Response {
            id,
            at_us,
            status,
            headers,
        });
    }

    pub(in crate::replay) fn chunk(&mut self, bytes: &Bytes) {
        if let Some(track) = &mut self.track {
            let (id, at_us) = (track.id(), track.now());
            let bytes = bytes.clone();
            track.data(Event::Chunk { id, at_us, bytes });
        }
    }

    pub(in crate::replay) fn end(&mut self, cause: EndCause, detail: Option<String>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.mark(|id, at_us| Event::End {
            id,
            at_us,
            cause,
            detail,
            trailers: None,
            written: None,
        });
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.end(EndCause::ClientClosed, None);
    }
}
