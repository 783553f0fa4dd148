//! What was found of one endpoint, as a file: `contract.lock` (`docs/target.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Policy;

/// The format this program writes and reads.
pub const FORMAT: u32 = 1;

/// What `replay probe` found of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// [`FORMAT`].
    pub format: u32,
    /// What people call the endpoint.
    pub name: String,
    /// Its base URL, without credentials.
    pub url: String,
    /// When it was probed, RFC 3339.
    pub date: String,
    /// The model that was asked.
    pub model: String,
    /// What probed it.
    pub by: String,
    /// How many requests it took.
    pub requests: u32,
    /// Policies that are settled: name to value.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    /// Policies that are not: name to the reason.
    #[serde(default)]
    pub not_settled: BTreeMap<String, String>,
    /// Habits of servers, as `replay serve --policy` names them.
    #[serde(default)]
    pub habits: BTreeMap<String, String>,
    /// What else was found.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// The requests, in order.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// One request and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its name in `replay probe --list`.
    pub request: String,
    /// `accepted`, `refused`, `left`, `failed` or `not asked`.
    pub answer: String,
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The message, or why it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why a text is no lock.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LockError {
    /// It is no TOML, or lacks a member.
    #[error("{what}")]
    Unreadable {
        /// What is wrong.
        what: String,
        /// The line, from 1, if it is known.
        line: Option<u32>,
    },
    /// It was written by a newer program.
    #[error("the file has format {0}; this program reads format 1")]
    Newer(u32),
    /// It names a policy or a value that this program does not know.
    #[error("{0}")]
    Policy(String),
}

/// What a verdict says of the contract it was made under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation {
    /// What people call the endpoint.
    pub name: String,
    /// Its base URL.
    pub url: String,
    /// When it was probed.
    pub date: String,
    /// The file.
    pub path: String,
    /// The policies it settles.
    pub policies: Vec<(Policy, usize)>,
    /// What of the endpoint the contract cannot express, in words.
    pub warning: Option<String>,
}

impl Lock {
    /// Reads a lock.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn read(text: &str) -> Result<Self, LockError> {
        let unreadable = |error: &toml::de::Error| LockError::Unreadable {
            what: error.message().to_owned(),
            line: error.span().map(|span| {
                let before = text.as_bytes().get(..span.start).unwrap_or(&[]);
                memchr::memchr_iter(b'\n', before).count() as u32 + 1
            }),
        };
        let lock: Self = toml::from_str(text).map_err(|error| unreadable(&error))?;
        if lock.format != FORMAT {
            return Err(LockError::Newer(lock.format));
        }
        lock.policies()?;
        Ok(lock)
    }

    /// Its text.
    pub fn text(&self) -> String {
        let mut out = String::from(
            "# What 'replay probe' found of one endpoint. 'replay --contract FILE', 'replay check --contract FILE' and\n\
             # 'replay serve --contract FILE' go by it, and every verdict made under it says so.\n",
        );
        // every member is a text or a number
        out.push_str(&toml::to_string(self).unwrap_or_default());
        out
    }

    /// The policies it settles.
    ///
    /// # Errors
    /// If it names one that this program does not know.
    pub fn policies(&self) -> Result<Vec<(Policy, usize)>, LockError> {
        self.policies
            .iter()
            .map(|(name, value)| {
                Policy::parse(&format!("{name}={value}")).map_err(LockError::Policy)
            })
            .collect()
    }

    /// How it is cited.
    pub fn citation(&self, path: &str) -> Citation {
        let accepts = self.facts.get("unanswered_calls").map(String::as_str) == Some("accepted");
        let warning = accepts.then(|| {
            "that endpoint was seen to accept calls without outputs; the verdict is what the API's contract says".to_owned()
        });
        Citation {
            name: self.name.clone(),
            url: self.url.clone(),
            date: self.date.clone(),
            path: path.to_owned(),
            policies: self.policies().unwrap_or_default(),
            warning,
        }
    }
}

impl Citation {
    /// One line for people.
    pub fn words(&self) -> String {
        let policies: Vec<String> = self
            .policies
            .iter()
            .map(|(policy, value)| {
                let value = policy.values().get(*value).copied().unwrap_or("");
                format!("{}={value}", policy.name())
            })
            .collect();
        let settled = if policies.is_empty() {
            "nothing settled".to_owned()
        } else {
            policies.join(", ")
        };
        format!(
            "under the contract of {} ({}), probed {}: {settled}",
            self.name, self.url, self.date
        )
    }
}

/// Policies of a lock with those that were named beside it, which go before them.
pub fn merged(lock: &[(Policy, usize)], named: &[(Policy, usize)]) -> Vec<(Policy, usize)> {
    let is_named = |policy: Policy| named.iter().any(|(it, _)| *it == policy);
    let kept = lock.iter().filter(|(policy, _)| !is_named(*policy));
    kept.chain(named).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        Lock {
            format: FORMAT,
            name: "there".to_owned(),
            url: "http://there/v1".to_owned(),
            date: "2026-11-21T00:00:00Z".to_owned(),
            policies: [("duplicate_call".to_owned(), "refuse".to_owned())].into(),
            evidence: vec![Evidence {
                request: "open_call".to_owned(),
                answer: "refused".to_owned(),
                status: Some(400),
                message: Some("a \"quoted\"\nmessage \u{1b}".to_owned()),
            }],
            ..Lock::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = lock().text();
        assert_eq!(Lock::read(&text), Ok(lock()));
        assert!(!text.contains('\u{1b}'));
        assert_eq!(lock().citation("f").policies, [(Policy::DuplicateCall, 1)]);
    }

    #[test]
    fn what_is_no_lock_is_refused_with_its_line() {
        let error = Lock::read("format = 1\nname = 7\n").unwrap_err();
        assert!(
            matches!(error, LockError::Unreadable { line: Some(2), .. }),
            "{error:?}"
        );
        let newer = lock().text().replace("format = 1", "format = 2");
        assert_eq!(Lock::read(&newer), Err(LockError::Newer(2)));
        let odd = lock().text().replace("duplicate_call", "no_such");
        assert!(matches!(Lock::read(&odd), Err(LockError::Policy(_))));
        assert!(matches!(Lock::read(""), Err(LockError::Unreadable { .. })));
    }

    #[test]
    fn what_is_named_beside_a_lock_goes_before_it() {
        let named = [(Policy::DuplicateCall, 0)];
        assert_eq!(
            merged(
                &[(Policy::DuplicateCall, 1), (Policy::FaultOrder, 1)],
                &named
            ),
            [(Policy::FaultOrder, 1), (Policy::DuplicateCall, 0),]
        );
    }
}
