//! Other tools' captures as recordings.
//!
//! What a log does not hold is not made up: the first line of the recording says what it was converted from and what is
//! missing, and whoever reads it marks those things as not held.

#[cfg(test)]
mod corpus;
mod exchanges;
mod request_log;

pub use exchanges::from_exchanges;
pub use request_log::from_lab_log;

use std::io;

use thiserror::Error;

use crate::session::ReadError;
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
