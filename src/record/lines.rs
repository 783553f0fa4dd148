//! What a client writes beside the wire, on its way to the file.

use std::sync::Mutex;

use bytes::Bytes;

use crate::client::{Direction, EventSource, Sink};
use crate::proxy::tape::{Event, Tape};

/// Queues rollout lines and client events; trouble goes to whoever talks to the user.
pub struct Lines {
    tape: Tape,
    trouble: Mutex<Trouble>,
}

/// Who is told of trouble, in words for people.
type Trouble = Box<dyn FnMut(&str) + Send>;

impl Lines {
    /// Lines for `tape`.
    pub fn new(tape: Tape, trouble: Trouble) -> Self {
        Self {
            tape,
            trouble: Mutex::new(trouble),
        }
    }
}

impl Sink for Lines {
    fn rollout_file(&self, path: &str, line: u32, byte: u64) {
        let path = path.to_owned();
        self.tape.note(Event::RolloutFile { path, line, byte });
    }

    fn rollout(&self, path: &str, line: u32, bytes: &[u8]) {
        self.tape.note(Event::Rollout {
            at_us: self.tape.now(),
            path: path.to_owned(),
            line,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }

    fn client_event(&self, source: EventSource, direction: Direction, bytes: &[u8]) {
        self.tape.note(Event::ClientEvent {
            at_us: self.tape.now(),
            source: source.name(),
            direction: direction.name(),
            bytes: Bytes::copy_from_slice(bytes),
        });
    }

    fn trouble(&self, text: &str) {
        if let Ok(mut trouble) = self.trouble.lock() {
            trouble(text);
        }
    }
}
