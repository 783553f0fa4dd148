//! What looks like a secret, seen while a session is read.

use std::io::{self, Read};

use super::finding::{Finding, Rule, Severity};
use crate::redact::{Lookout, Sighting};

/// A reader whose bytes pass by a lookout.
#[derive(Debug)]
pub struct Watched<'l, R> {
    reader: R,
    lookout: &'l mut Lookout,
}

impl<'l, R: Read> Watched<'l, R> {
    /// Lets `lookout` see whatever is read.
    pub fn new(reader: R, lookout: &'l mut Lookout) -> Self {
        Self { reader, lookout }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        self.lookout.push(into.get(..count).unwrap_or(&[]));
        Ok(count)
    }
}

/// A finding never shows more of a secret than how it begins.
pub(super) fn finding(seen: &Sighting) -> Finding {
    let Sighting {
        shape,
        line,
        count,
        begins,
        length,
    } = seen;
    let mut finding = Finding::new(Rule::LooksLikeSecret, Severity::Warning, 0, *line);
    finding.count = *count;
    finding.message = format!(
        "this looks like {}: '{begins}…', {length} characters",
        shape.words()
    );
    finding
}
