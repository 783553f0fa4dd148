//! What the user wants hidden beside the rules: `--redact` and `--keep-header`.

use regex::bytes::Regex;

use super::error::CliError;
use crate::redact::{self, Redactor};

/// What takes secrets out, with the user's own patterns.
pub(super) fn redactor(redact: &[String], keep_headers: &[String]) -> Result<Redactor, CliError> {
    Ok(Redactor::new(redact::Options {
        patterns: patterns(redact)?,
        keep_headers: keep_headers.to_vec(),
        taken: 0,
    }))
}

/// The patterns that `--redact` names; without a value it names none.
pub(super) fn patterns(redact: &[String]) -> Result<Vec<Regex>, CliError> {
    let named = redact.iter().filter(|it| !it.is_empty());
    named
        .map(|pattern| {
            Regex::new(pattern).map_err(|error| {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default();
                let why = why.strip_prefix("error: ").unwrap_or(why);
                CliError::usage(format!("--redact={pattern}: {why}"))
                    .hint("regular expressions as in ripgrep; quote them for the shell")
            })
        })
        .collect()
}
