//! Files that exist already, without their secrets.
//!
//! A recording is written again line by line: what is not redacted keeps its bytes, kinds and members that this program
//! does not know are kept too, and bodies are stored anew, since deltas are made of bytes that may have changed. Redacting
//! a second time changes nothing.

mod line;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};

use super::ConvertError;
use crate::ids::LineNo;
use crate::redact::{self, Redactor, Stream};
use crate::session::ReadError;
use crate::wire::lines::{LineReader, Problem, Reason, Values, trim};
use crate::wire::raw::{Object, push_string};

use line::{Bodies, Rewrite};

/// A secret in a file may be as long as this, 64 MiB, without being hidden in more than its own bytes.
const MAX_HELD: usize = 64 << 20;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// How many requests the file has.
    pub requests: u32,
    /// How many different secrets were replaced.
    pub secrets: usize,
    /// Lines that could not be read, and are left out of a recording.
    pub problems: Vec<Problem>,
}

/// The highest number among the placeholders that a file has already, for [`redact::Options::taken`].
///
/// # Errors
/// What the reader returns.
pub fn highest_placeholder<R: Read>(mut reader: R) -> io::Result<u32> {
    const LONGEST: usize = 32;
    let mut block = vec![0; 256 << 10];
    let mut filled = 0;
    let mut highest = 0;
    loop {
        let count = match reader.read(block.get_mut(filled..).unwrap_or(&mut [])) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if count == 0 {
            return Ok(highest);
        }
        filled += count;
        highest = highest.max(redact::highest(block.get(..filled).unwrap_or(&[])));
        // one may go on in the next block
        let kept = filled.saturating_sub(LONGEST);
        block.copy_within(kept..filled, 0);
        filled -= kept;
    }
}

/// Writes a text again without its secrets: a rollout, a request body. Its lines stay.
///
/// # Errors
/// If `reader` or `writer` fails.
pub fn redact_text<R: Read, W: Write>(
    mut reader: R,
    writer: &mut W,
    redactor: &mut Redactor,
) -> Result<Hidden, ConvertError> {
    let mut stream = Stream::with_max(MAX_HELD);
    let mut out: Vec<((), Vec<u8>)> = Vec::new();
    let mut block = vec![0; 256 << 10];
    loop {
        let count = match reader.read(&mut block) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ReadError::Io(error).into()),
        };
        let bytes = block.get(..count).unwrap_or(&[]);
        if bytes.is_empty() {
            stream.finish(redactor, &mut out);
        } else {
            stream.push(redactor, (), bytes.to_vec(), &mut out);
        }
        for ((), bytes) in out.drain(..) {
            writer.write_all(&bytes).map_err(ConvertError::Write)?;
        }
        if count == 0 {
            break;
        }
    }
    Ok(Hidden {
        secrets: redactor.secrets(),
        ..Hidden::default()
    })
}

/// Writes a recording again without its secrets.
///
/// A line that cannot be read may hold anything: a `gap` takes its place.
///
/// # Errors
/// If `reader` or `writer` fails, or if the file is no recording of a format this program knows.
pub fn redact_recording<R: Read, W: Write>(
    reader: R,
    writer: &mut W,
    redactor: &mut Redactor,
) -> Result<Hidden, ConvertError> {
    let mut lines = LineReader::new(reader);
    let mut file = File {
        redactor,
        bodies: Bodies::default(),
        streams: BTreeMap::new(),
        queue: Queue::default(),
        out: Vec::new(),
        hidden: Hidden::default(),
        at_us: 0,
    };
    while let Some(line) = lines.next_line().map_err(ReadError::Io)? {
        let (bytes, _) = trim(&line);
        let text = String::from_utf8_lossy(bytes);
        if bytes.is_empty() && line.length > 1 {
            file.unreadable(line.number, Reason::TooLong(line.length), line.length);
        }
        for value in Values::new(&text) {
            match value {
                Ok(value) => file.value(value, line.number, line.length)?,
                Err(why) => {
                    let reason = if line.ended {
                        Reason::NotJson(why)
                    } else {
                        Reason::TornTail
                    };
                    file.unreadable(line.number, reason, line.length);
                }
            }
        }
        file.queue.write(writer)?;
    }
    let exchanges: Vec<u64> = file.streams.keys().copied().collect();
    for exchange in exchanges {
        file.finish(exchange);
    }
    file.queue.write(writer)?;
    let mut hidden = file.hidden;
    hidden.secrets = redactor.secrets();
    Ok(hidden)
}

/// A recording on its way.
struct File<'r> {
    redactor: &'r mut Redactor,
    bodies: Bodies,
    /// The bodies of answers that are not over.
    streams: BTreeMap<u64, Stream<Place, Vec<u8>>>,
    queue: Queue,
    out: Vec<(Place, Vec<u8>)>,
    hidden: Hidden,
    /// The newest time.
    at_us: u64,
}

/// A line of a chunk that waits for its bytes.
struct Place {
    number: u64,
    line: String,
    bytes: Vec<u8>,
}

impl File<'_> {
    fn value(&mut self, value: &str, line: LineNo, length: u64) -> Result<(), ConvertError> {
        let object = Object::read(value);
        let kind = object.as_ref().and_then(|it| it.text("kind"));
        let (Some(object), Some(kind)) = (object, kind) else {
            let what = "no object with a `kind`".to_owned();
            self.unreadable(line, Reason::UnknownShape(what), length);
            return Ok(());
        };
        self.at_us = self.at_us.max(object.number("at_us").unwrap_or(0));
        let exchange = object.number("exchange");
        match (&*kind, exchange) {
            ("session", _) => {
                if let Some(format) = object.number("format").filter(|it| *it > 1) {
                    return Err(ReadError::NewerFormat { format }.into());
                }
            }
            ("request", _) => self.hidden.requests += 1,
            ("end", Some(exchange)) => self.finish(exchange),
            ("chunk", Some(exchange)) if object.flag("encoded") != Some(true) => {
                if let Some(bytes) = line::bytes_of(&object) {
                    self.chunk(exchange, value, bytes);
                    return Ok(());
                }
            }
            _ => {}
        }
        let mut rewrite = Rewrite::new(&object, self.redactor);
        if kind == "request" {
            rewrite.body(&mut self.bodies);
        }
        self.queue.push(rewrite.finish(value));
        Ok(())
    }

    fn chunk(&mut self, exchange: u64, line: &str, bytes: Vec<u8>) {
        let number = self.queue.wait(line.len());
        let place = Place {
            number,
            line: line.to_owned(),
            bytes: bytes.clone(),
        };
        let stream = self
            .streams
            .entry(exchange)
            .or_insert_with(|| Stream::with_max(MAX_HELD));
        stream.push(self.redactor, place, bytes, &mut self.out);
        self.placed();
        if self.queue.bytes > 2 * MAX_HELD {
            for stream in self.streams.values_mut() {
                stream.give_up(self.redactor, &mut self.out);
            }
            self.placed();
        }
    }

    fn finish(&mut self, exchange: u64) {
        if let Some(mut stream) = self.streams.remove(&exchange) {
            stream.finish(self.redactor, &mut self.out);
            self.placed();
        }
    }

    /// Puts chunks that left their streams into their places.
    fn placed(&mut self) {
        for (place, bytes) in self.out.drain(..) {
            let line = if place.bytes == bytes {
                line::without_more(&place.line, self.redactor)
            } else {
                line::with_bytes(&place.line, &bytes, self.redactor)
            };
            self.queue.fill(place.number, line);
        }
    }

    fn unreadable(&mut self, line: LineNo, reason: Reason, bytes: u64) {
        let mut gap = format!(
            "{{\"kind\":\"gap\",\"at_us\":{},\"chunks\":0,\"bytes\":{bytes},\"reason\":",
            self.at_us
        );
        push_string(&mut gap, "a line that could not be read was not redacted");
        gap.push('}');
        self.queue.push(gap);
        self.hidden.problems.push(Problem { line, reason });
    }
}

/// Lines in the order of the file, some of which wait for what comes later.
#[derive(Default)]
struct Queue {
    lines: VecDeque<Option<String>>,
    /// The number of the first of them.
    first: u64,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(Some(line));
    }

    /// A place for a line of about this length.
    fn wait(&mut self, length: usize) -> u64 {
        self.bytes += length;
        self.lines.push_back(None);
        self.first + self.lines.len() as u64 - 1
    }

    fn fill(&mut self, number: u64, line: String) {
        let at = (number - self.first) as usize;
        if let Some(place) = self.lines.get_mut(at) {
            *place = Some(line);
        }
    }

    /// Writes what does not wait.
    fn write<W: Write>(&mut self, writer: &mut W) -> Result<(), ConvertError> {
        while let Some(Some(line)) = self.lines.front() {
            writer
                .write_all(line.as_bytes())
                .and_then(|()| writer.write_all(b"\n"))
                .map_err(ConvertError::Write)?;
            self.lines.pop_front();
            self.first += 1;
        }
        if self.lines.is_empty() {
            self.bytes = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
