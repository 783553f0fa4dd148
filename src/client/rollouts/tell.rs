//! What is told of the files that are followed.

use std::sync::Arc;

use crate::client::lines::Line;
use crate::client::{Direction, EventSource, Sink};

/// What is told of a file.
pub(super) trait Teller {
    /// It is followed from this line and byte on.
    fn begins(&mut self, line: u32, byte: u64);
    /// A line of it.
    fn line(&mut self, number: u32, line: Line<'_>);
}

/// JSON without white space between its parts, spelled as it was; anything else as it is.
pub(super) fn compact(document: Vec<u8>) -> Vec<u8> {
    if serde_json::from_slice::<serde::de::IgnoredAny>(&document).is_err() {
        return document;
    }
    let (mut inside, mut escaped) = (false, false);
    let mut compact = document;
    compact.retain(|byte| {
        if inside {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            inside = !ends;
            true
        } else {
            inside = *byte == b'"';
            !byte.is_ascii_whitespace()
        }
    });
    compact
}

/// Tells a rollout's lines.
pub(super) struct FileTeller {
    /// Its path below the home.
    pub(super) name: String,
    pub(super) sink: Arc<dyn Sink>,
}

impl Teller for FileTeller {
    fn begins(&mut self, line: u32, byte: u64) {
        self.sink.rollout_file(&self.name, line, byte);
    }

    fn line(&mut self, number: u32, line: Line<'_>) {
        match line {
            Line::Kept(bytes) => self.sink.rollout(&self.name, number, bytes),
            Line::TooLong(bytes) => self.sink.trouble(&format!(
                "line {number} of {} of {bytes} bytes is not kept",
                self.name
            )),
        }
    }
}

/// Tells the lines of a session log.
pub(super) struct LogTeller(pub(super) Arc<dyn Sink>);

impl Teller for LogTeller {
    fn begins(&mut self, _: u32, _: u64) {}

    fn line(&mut self, number: u32, line: Line<'_>) {
        match line {
            Line::Kept(bytes) => {
                self.0
                    .client_event(EventSource::TuiLog, Direction::Out, bytes);
            }
            Line::TooLong(bytes) => self.0.trouble(&format!(
                "line {number} of the session log of {bytes} bytes is not kept"
            )),
        }
    }
}
