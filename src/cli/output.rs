//! stdout for data, stderr for talk.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::Environment;
use super::args::{Color, Format, Global};
use super::error::CliError;
use crate::report::ci::{self, Case};
use crate::report::safe;
use crate::report::style::Paint;

/// Where results go.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) format: Format,
    /// How stdout is painted.
    pub(super) paint: Paint,
    talk: Paint,
    pub(super) verbose: bool,
    pub(super) quiet: bool,
    /// Whether stderr is a terminal that progress may be drawn on.
    pub(super) progress: bool,
}

impl Output {
    pub(super) fn new(global: &Global, environment: &Environment) -> Self {
        let paint = |terminal: bool| match global.color {
            Color::Always => Paint::Colour,
            Color::Auto if terminal && !environment.no_color => Paint::Colour,
            _ => Paint::Plain,
        };
        let stderr = io::stderr().is_terminal();
        Self {
            format: global.format,
            paint: paint(io::stdout().is_terminal()),
            talk: paint(stderr),
            verbose: global.verbose > 0,
            quiet: global.quiet,
            progress: stderr && !global.quiet && global.format == Format::Text,
        }
    }

    /// An output that prints one JSON document, for errors before arguments are known.
    pub(super) fn plain_json() -> Self {
        Self {
            format: Format::Json,
            paint: Paint::Plain,
            talk: Paint::Plain,
            verbose: false,
            quiet: false,
            progress: false,
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether results are printed for people, as they come.
    pub(super) fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Whether results are gathered for CI.
    pub(super) fn is_for_ci(&self) -> bool {
        matches!(self.format, Format::Junit | Format::Github)
    }

    /// Prints what was gathered for CI.
    pub(super) fn cases(&self, suite: &str, cases: &[Case]) -> Result<(), CliError> {
        match self.format {
            Format::Junit => {
                let text = ci::junit(suite, cases)
                    .map_err(|error| CliError::failed(format!("cannot write XML: {error}")))?;
                self.data(&text)
            }
            Format::Github => self.data(&ci::github(cases)),
            _ => Ok(()),
        }
    }

    /// Prints data. A reader that has gone away is no error.
    #[expect(
        clippy::unused_self,
        reason = "printing goes through the output that was chosen"
    )]
    pub(super) fn data(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::failed(format!("cannot write to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Prints one JSON document.
    pub(super) fn document(&self, value: &Value) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|error| CliError::failed(format!("cannot write JSON: {error}")))?;
        text.push('\n');
        self.data(&escaped(&text))
    }

    /// Says something beside the data.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet && !self.is_json() {
            let _lost: io::Result<()> = writeln!(io::stderr().lock(), "{}", safe(text));
        }
    }

    /// Reports an error and returns its exit status.
    pub(super) fn fail(&self, error: &CliError) -> u8 {
        if self.is_json() {
            // there is nowhere left to complain to
            let _lost: Result<(), CliError> = self.document(&error.document());
            return error.exit;
        }
        // for CI the error is a result as well
        let _lost: Result<(), CliError> = self.cases("replay", &[error.case()]);
        self.complain(error)
    }

    /// Tells of an error on stderr and returns its exit status.
    pub(super) fn complain(&self, error: &CliError) -> u8 {
        let mut text = self.talk.bad("error");
        text.push_str(": ");
        if let Some(path) = &error.path {
            text.push_str(&safe(path));
            if let Some(line) = error.line {
                let _ = write!(text, ":{line}");
            }
            text.push_str(": ");
        }
        text.push_str(&safe(&error.message));
        for hint in &error.hints {
            let _ = write!(text, "\n{}: {}", self.talk.heading("hint"), safe(hint));
        }
        let _lost: io::Result<()> = writeln!(io::stderr().lock(), "{text}");
        error.exit
    }
}

/// JSON in which what a terminal could take for a command, and what turns the direction of writing, is spelled `\\uXXXX`.
/// Such characters stand inside of strings only.
pub(super) fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(is_command) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_command(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Beyond the control characters that JSON escapes anyway.
fn is_command(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
