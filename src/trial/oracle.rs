//! A command that says whether a session still fails.

use std::io::Write as _;
use std::process::{self, Stdio};

use tempfile::TempDir;

use crate::shrink::{Answer, Oracle};

/// A command as an oracle: exit status 0 says that a candidate still fails.
#[derive(Debug)]
pub struct Command {
    line: String,
    folder: TempDir,
    failure: Option<String>,
}

impl Command {
    /// A command line for the shell, in which `{session}` stands for the path of a candidate; without it the path is added at the
    /// end.
    ///
    /// # Errors
    /// If there is no place for candidates.
    pub fn new(command: &str) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("replay-shrink-")
            .tempdir()?;
        Ok(Self {
            line: command.to_owned(),
            folder,
            failure: None,
        })
    }

    /// Why the command could not be run, if so.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn run(&self, candidate: &str) -> std::io::Result<process::ExitStatus> {
        let path = self.folder.path().join("session.jsonl");
        std::fs::File::create(&path)?.write_all(candidate.as_bytes())?;
        // the path is an argument of the shell, so that nothing in it is a word of the command
        let line = if self.line.contains("{session}") {
            self.line.replace("{session}", "\"$1\"")
        } else {
            format!("{} \"$1\"", self.line)
        };
        process::Command::new("sh")
            .arg("-c")
            .arg(line)
            .arg("sh")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    }
}

impl Oracle for Command {
    fn judge(&mut self, candidate: &str) -> Answer {
        if self.failure.is_some() {
            return Answer::Other("the command cannot be run".to_owned());
        }
        match self.run(candidate) {
            Ok(status) if status.success() => Answer::Same,
            Ok(status) => Answer::Other(format!("the command ends with {status}")),
            Err(error) => {
                self.failure = Some(error.to_string());
                Answer::Other(error.to_string())
            }
        }
    }
}
