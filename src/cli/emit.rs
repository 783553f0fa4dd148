//! Failing tests.

use std::path::Path;

use super::args::Emit;
use super::error::CliError;
use super::shrink::Made;
use crate::session::Session;

pub(super) fn test(
    _form: Emit,
    _out: &Path,
    _text: &str,
    _session: Option<&Session>,
) -> Result<Made, CliError> {
    Err(CliError::failed("not yet"))
}
