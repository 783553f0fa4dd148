//! Cases that are done, kept on disk so that none is done twice.
//!
//! One JSON value a line: first what the trial is, then each case with its result, written when it is done. A torn last
//! line is a case that is done again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Case, Did, Plan, Result, Results};

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It belongs to another trial.
    #[error("{} belongs to another trial: {what} differs", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What is not the same.
        what: &'static str,
    },
    /// Another trial is writing it now.
    #[error("{} is being written by another trial", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It is no state file.
    #[error("{} is no state of a sweep", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
    },
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    kind: String,
    schema: u32,
    session_sha256: String,
    first: String,
    next: Option<String>,
    prepare: Option<String>,
    settle_ms: u64,
    #[serde(default)]
    timeout_ms: u64,
    #[serde(default)]
    policies: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    case: Case,
    result: Result,
}

/// Cases that are done.
#[derive(Debug, Default)]
pub struct State {
    file: Option<(PathBuf, File)>,
    done: BTreeMap<String, Result>,
    order: Vec<Case>,
}

const KIND: &str = "sweep";

impl State {
    /// Opens a state file, or begins one.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(path: &Path, plan: &Plan) -> std::result::Result<Self, StateError> {
        let io = |source| StateError::Io {
            path: path.to_owned(),
            source,
        };
        let header = header(plan);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            // where there are no locks, nobody is held off
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::Busy {
                    path: path.to_owned(),
                });
            }
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let mut state = Self::default();
        let whole = bytes
            .iter()
            .rposition(|it| *it == b'\n')
            .map_or(0, |at| at + 1);
        if whole == 0 && !bytes.is_empty() && !bytes.starts_with(b"{\"kind\":\"sweep\"") {
            // somebody's file without a line end
            return Err(StateError::Unfit {
                path: path.to_owned(),
            });
        }
        if whole == 0 {
            file.set_len(0).map_err(io)?;
            file.seek(SeekFrom::Start(0)).map_err(io)?;
            append(&mut file, &header).map_err(io)?;
        } else {
            let lines = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default());
            let known = state.read(&lines, path)?;
            let what = differs(&known, &header);
            if let Some(what) = what {
                return Err(StateError::Other {
                    path: path.to_owned(),
                    what,
                });
            }
            file.set_len(whole as u64).map_err(io)?;
            file.seek(SeekFrom::End(0)).map_err(io)?;
        }
        state.file = Some((path.to_owned(), file));
        Ok(state)
    }

    /// Reads the results of another trial.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn results_of(path: &Path) -> std::result::Result<Results, StateError> {
        let text = std::fs::read_to_string(path).map_err(|source| StateError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut state = Self::default();
        state.read(&text, path)?;
        let order = std::mem::take(&mut state.order);
        Ok(order
            .into_iter()
            .filter_map(|case| {
                let result = state.result(&case)?.clone();
                Some((case, result))
            })
            .collect())
    }

    fn read(&mut self, text: &str, path: &Path) -> std::result::Result<Header, StateError> {
        let unfit = || StateError::Unfit {
            path: path.to_owned(),
        };
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let header: Header = serde_json::from_str(first).map_err(|_not_ours| unfit())?;
        if header.kind != KIND {
            return Err(unfit());
        }
        for line in lines {
            // a torn line is a case that is done again
            let Ok(line) = serde_json::from_str::<Line>(line) else {
                continue;
            };
            if self.done.insert(line.case.key(), line.result).is_none() {
                self.order.push(line.case);
            }
        }
        Ok(header)
    }

    /// Whether a case is done. One whose commands could not be run is not.
    pub fn knows(&self, case: &Case) -> bool {
        let known = self.done.get(&case.key());
        known.is_some_and(|result| result.did != Did::Failed)
    }

    /// What became of a case.
    pub fn result(&self, case: &Case) -> Option<&Result> {
        self.done.get(&case.key())
    }

    /// Keeps a result.
    pub(super) fn keep(
        &mut self,
        case: &Case,
        result: &Result,
    ) -> std::result::Result<(), StateError> {
        self.done.insert(case.key(), result.clone());
        if let Some((path, file)) = &mut self.file {
            let line = Line {
                case: case.clone(),
                result: result.clone(),
            };
            append(file, &line).map_err(|source| StateError::Io {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

fn append(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.flush()
}

fn header(plan: &Plan) -> Header {
    let mut sha = String::new();
    for byte in Sha256::digest(&plan.session) {
        use std::fmt::Write as _;
        let _ = write!(sha, "{byte:02x}");
    }
    let text =
        |template: &Option<super::Template>| template.as_ref().map(|it| it.text().to_owned());
    Header {
        kind: KIND.to_owned(),
        schema: 1,
        session_sha256: sha,
        first: plan.first.text().to_owned(),
        next: text(&plan.next),
        prepare: text(&plan.prepare),
        settle_ms: u64::try_from(plan.settle.as_millis()).unwrap_or(u64::MAX),
        timeout_ms: u64::try_from(plan.limit.as_millis()).unwrap_or(u64::MAX),
        policies: plan
            .policies
            .iter()
            .map(|(policy, value)| format!("{}={value}", policy.name()))
            .collect(),
    }
}

fn differs(known: &Header, now: &Header) -> Option<&'static str> {
    [
        (known.schema == now.schema, "the format"),
        (known.session_sha256 == now.session_sha256, "the session"),
        (known.first == now.first, "--first"),
        (known.next == now.next, "--next"),
        (known.prepare == now.prepare, "--prepare"),
        (known.settle_ms == now.settle_ms, "--settle"),
        (known.timeout_ms == now.timeout_ms, "--case-timeout"),
        (known.policies == now.policies, "--policy"),
    ]
    .into_iter()
    .find_map(|(same, what)| (!same).then_some(what))
}
