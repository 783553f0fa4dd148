//! Errors as the user sees them: what happened, to which file and line, what to do.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::report::ci::Case;

/// An error with its exit status.
#[derive(Clone, Debug)]
pub(super) struct CliError {
    pub(super) exit: u8,
    pub(super) kind: &'static str,
    pub(super) path: Option<String>,
    pub(super) line: Option<u32>,
    pub(super) message: String,
    pub(super) hints: Vec<String>,
}

impl CliError {
    fn new(exit: u8, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind,
            path: None,
            line: None,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Wrong usage.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, "usage", message)
    }

    /// Input that cannot be read, or holds nothing to work on.
    pub(super) fn input(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..Self::new(3, "input", message)
        }
    }

    /// Something that could not be carried out.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(4, "internal", message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A file that cannot be opened or read.
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let found = Self::input(&path.display().to_string(), error.to_string());
        match error.kind() {
            io::ErrorKind::NotFound => found.hint("is the path right?"),
            io::ErrorKind::PermissionDenied => found.hint("you may not read this file"),
            _ => found,
        }
    }

    /// The error as JSON.
    pub(super) fn value(&self) -> Value {
        json!({
            "exit": self.exit,
            "kind": self.kind,
            "path": self.path,
            "line": self.line,
            "message": self.message,
            "hints": self.hints,
        })
    }

    /// The error as a result for CI.
    pub(super) fn case(&self) -> Case {
        Case::error(self.path.as_deref(), self.line, self.kind, &self.message)
    }

    /// The document that is printed under `--format json`.
    pub(super) fn document(&self) -> Value {
        json!({"schema": 1, "error": self.value()})
    }
}
