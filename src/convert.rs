//! Other tools' captures as recordings.
//!
//! What a log does not hold is not made up: the first line of the recording says what it was converted from and what is
//! missing, and whoever reads it marks those things as not held.

#[cfg(test)]
mod corpus;
mod exchanges;
mod redacted;
mod request_log;

pub use exchanges::from_exchanges;
pub use redacted::{Hidden, highest_placeholder, redact_recording, redact_text};
pub use request_log::from_lab_log;

use std::io::{self, Read};

use thiserror::Error;

use crate::session::exchange::Recording;
use crate::session::sniff::Kind;
use crate::session::writer::Writer;
use crate::session::{ReadError, event_log, exchanges as lines, reader, request_file};
use crate::wire::lines::Problem;

/// Why a capture could not be converted.
#[derive(Debug, Error)]
pub enum ConvertError {
    /// The capture cannot be read, or is something else.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The recording cannot be written.
    #[error("cannot write the recording")]
    Write(#[source] io::Error),
}

/// What was converted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// How many requests.
    pub requests: u32,
    /// How many lines the capture has.
    pub lines: u32,
    /// What could not be read as it should be.
    pub problems: Vec<Problem>,
}

/// Reads a session of a kind that [`sniff`](crate::session::sniff()) told.
///
/// # Errors
/// If the reader fails, or if what it gives is of another kind.
pub fn read_kind<R: Read>(kind: Kind, reader: R) -> Result<Recording, ReadError> {
    match kind {
        Kind::LabLog => {
            let mut writer = Writer::new(Vec::new());
            let done = from_lab_log(reader, &mut writer).map_err(|error| match error {
                ConvertError::Read(error) => error,
                ConvertError::Write(error) => ReadError::Io(error),
            })?;
            let mut recording = reader::read(writer.into_inner().as_slice())?;
            recording.problems = done.problems;
            Ok(recording)
        }
        Kind::Exchanges => lines::read(reader),
        Kind::RequestBody | Kind::ItemArray => request_file::read(reader),
        Kind::EventLog(source) => Ok(event_log::read(reader, source)?),
        Kind::Recording | Kind::Unknown => reader::read(reader),
    }
}
