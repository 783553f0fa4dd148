//! `--contract FILE`: the contract of one endpoint, wherever a judgement is made.

use std::path::Path;

use super::error::CliError;
use super::now::now;
use crate::contract::Policy;
use crate::contract::lock::{Citation, Lock, LockError, merged};

/// Policies with a fixed value.
pub(super) type Policies = Vec<(Policy, usize)>;

/// The largest file that is read: 4 MiB.
const MAX: u64 = 4 << 20;

/// Reads the file, if one is named.
pub(super) fn lock(path: Option<&Path>) -> Result<Option<Lock>, CliError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let name = path.display().to_string();
    let length = std::fs::metadata(path)
        .map_err(|error| CliError::io(path, &error))?
        .len();
    if length > MAX {
        return Err(CliError::input(
            &name,
            "this is too large for a contract.lock",
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| CliError::io(path, &error))?;
    Lock::read(&text).map(Some).map_err(|error| {
        let line = match &error {
            LockError::Unreadable { line, .. } => *line,
            _ => None,
        };
        CliError {
            line,
            ..CliError::input(&name, format!("this is no contract.lock: {error}"))
        }
        .hint("replay probe URL writes one")
    })
}

/// The policies that hold: those of the file, and before them those that were named.
pub(super) fn policies(
    path: Option<&Path>,
    named: Policies,
) -> Result<(Policies, Option<Citation>), CliError> {
    let Some(lock) = lock(path)? else {
        return Ok((named, None));
    };
    let name = path.map_or_else(String::new, |it| it.display().to_string());
    let citation = cited(&lock, &name, &named);
    Ok((merged(&citation.policies, &named), Some(citation)))
}

/// How a lock is cited, with what its date says.
pub(super) fn cited(lock: &Lock, path: &str, named: &[(Policy, usize)]) -> Citation {
    let mut citation = lock.citation(path, named);
    if citation.date > now().rfc3339 {
        let future = "its date lies in the future: it was edited, or a clock is wrong";
        citation.warning = Some(match citation.warning {
            Some(warning) => format!("{warning}; {future}"),
            None => future.to_owned(),
        });
    }
    citation
}
