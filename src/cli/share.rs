//! `replay share`.

use super::Environment;
use super::args::ShareArgs;
use super::error::CliError;
use super::output::Output;

pub(super) fn run(
    _args: &ShareArgs,
    _environment: &Environment,
    _output: &mut Output,
) -> Result<u8, CliError> {
    Ok(0)
}
