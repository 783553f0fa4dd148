//! A client's event log as a session: no requests, only what the client said of itself.

use std::io::{self, Read};

use super::exchange::{Header, Lane, Origin, Recording};
use crate::events::{self, Source};

/// Reads a log. What such a log cannot hold stands in [`Header::not_held`].
///
/// # Errors
/// What the reader returns.
pub fn read<R: Read>(reader: R, source: Source) -> io::Result<Recording> {
    let mut log = events::read(reader, Some(source))?;
    let threads = log.events.iter().filter_map(|event| event.thread);
    let mut lanes: Vec<Lane> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for thread in threads {
        if seen.insert(thread) {
            lanes.push(Lane {
                name: log.text(thread).to_owned(),
                parent: None,
            });
        }
    }
    Ok(Recording {
        header: Header {
            converted_from: Some(source.words().to_owned()),
            not_held: vec![source.lacks().to_owned()],
            ..Header::default()
        },
        origin: Origin::Events,
        lanes,
        lines: log.lines,
        problems: std::mem::take(&mut log.problems),
        events: log,
        ..Recording::default()
    })
}
