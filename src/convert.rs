//! Other tools' captures as recordings.
//!
//! What a log does not hold is not made up: the first line of the recording says what it was converted from and what is
//! missing, and whoever reads it marks those things as not held.

mod aimock;
pub mod capture;
#[cfg(test)]
mod corpus;
mod decode;
mod dump;
mod exchanges;
pub mod export;
mod har;
mod log;
mod redacted;
mod request_log;
mod sockets;
pub mod summary;
mod texts;
mod times;
mod trace;
mod vcr;
pub mod walk;
mod yaml;

pub use capture::{Capture, Folder, capture, folder_capture};
pub use exchanges::from_exchanges;
pub use redacted::{Hidden, highest_placeholder, redact_recording, redact_text};
pub use request_log::from_lab_log;

use std::io::{self, Read, Write};

use thiserror::Error;

use crate::ids::LineNo;
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
    /// There is nothing in the capture that could be converted.
    #[error("{}{why}", at(*.line))]
    Nothing {
        /// The line, 0 where lines tell nothing.
        line: LineNo,
        /// Why not.
        why: String,
    },
    /// The recording cannot be written.
    #[error("cannot write the recording")]
    Write(#[source] io::Error),
}

/// The line in front of a message, where there is one.
fn at(line: LineNo) -> String {
    match line {
        0 => String::new(),
        line => format!("line {line}: "),
    }
}

impl ConvertError {
    /// There is nothing to convert.
    fn nothing(line: LineNo, why: impl Into<String>) -> Self {
        Self::Nothing {
            line,
            why: why.into(),
        }
    }
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

/// Writes a recording out of a capture that is a file.
///
/// # Errors
/// If `reader` fails or gives something else, or if the recording cannot be written.
pub fn from_file<R: Read, W: Write>(
    kind: Capture,
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    match kind {
        Capture::Exchanges => from_exchanges(reader, writer),
        Capture::RequestLog => from_lab_log(reader, writer),
        Capture::Sse => texts::from_sse(reader, writer),
        Capture::Events => texts::from_events(reader, writer),
        Capture::Response => texts::from_responses(reader, writer),
        Capture::Har => har::from_har(reader, writer),
        Capture::Vcr => vcr::from_vcr(reader, writer),
        Capture::Aimock => aimock::from_aimock(reader, writer),
        Capture::CodexTrace | Capture::ProxyDump => {
            Err(ConvertError::nothing(0, format!("a {kind} is a folder")))
        }
    }
}

/// Writes a recording out of a capture that is a folder.
///
/// # Errors
/// If the folder cannot be read or is something else, or if the recording cannot be written.
pub fn from_folder<W: Write>(
    kind: Capture,
    folder: &dyn Folder,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    match kind {
        Capture::CodexTrace => trace::from_trace(folder, writer),
        Capture::ProxyDump => dump::from_dump(folder, writer),
        _ => Err(ConvertError::nothing(0, format!("a {kind} is a file"))),
    }
}

/// Writes a recording of one request out of its body, or of an array of items.
///
/// # Errors
/// If the recording cannot be written.
pub fn from_request<W: Write>(
    mut body: Vec<u8>,
    is_items: bool,
    writer: &mut Writer<W>,
) -> io::Result<()> {
    if is_items {
        body.splice(0..0, *b"{\"input\":");
        body.push(b'}');
    }
    let mut log = log::Log::new(writer);
    log.begin("request body", &["headers", "times", "answers"], None)?;
    log.put(log::Hop {
        body: log::Sent::Bytes(body.into()),
        ..log::Hop::default()
    })?;
    log.finish().map(|_| ())
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
                ConvertError::Nothing { line, why } => ReadError::NoSession { line, why },
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
