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
    /// Its date is none.
    #[error("its date, {0:?}, is no date and time such as 2026-11-21T15:37:16Z")]
    Date(String),
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
    /// The policies it settles, without those that were named beside it.
    pub policies: Vec<(Policy, usize)>,
    /// Policies that were named beside it and go before it.
    pub named: Vec<(Policy, usize)>,
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
        if !is_date(&lock.date) {
            return Err(LockError::Date(lock.date));
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

    /// Whether the endpoint was seen to accept calls without outputs: no world of the contract does.
    pub fn accepts_open_calls(&self) -> bool {
        self.facts.get("unanswered_calls").map(String::as_str) == Some("accepted")
    }

    /// How it is cited beside policies that were named.
    pub fn citation(&self, path: &str, named: &[(Policy, usize)]) -> Citation {
        let warning = self.accepts_open_calls().then(|| {
            "that endpoint was seen to accept calls without outputs; the verdict is what the API's contract says".to_owned()
        });
        let mut policies = self.policies().unwrap_or_default();
        policies.retain(|(policy, _)| !named.iter().any(|(it, _)| it == policy));
        Citation {
            name: self.name.clone(),
            url: self.url.clone(),
            date: self.date.clone(),
            path: path.to_owned(),
            policies,
            named: named.to_vec(),
            warning,
        }
    }
}

impl Citation {
    /// Whose contract it is, and since when that is known.
    pub fn source(&self) -> String {
        format!(
            "under the contract of {} ({}), probed {}",
            self.name, self.url, self.date
        )
    }

    /// One line for people.
    pub fn words(&self) -> String {
        let words = |policies: &[(Policy, usize)]| {
            let words: Vec<String> = policies
                .iter()
                .map(|(policy, value)| {
                    let value = policy.values().get(*value).copied().unwrap_or("");
                    format!("{}={value}", policy.name())
                })
                .collect();
            words.join(", ")
        };
        let settled = if self.policies.is_empty() {
            "nothing settled".to_owned()
        } else {
            words(&self.policies)
        };
        let beside = if self.named.is_empty() {
            String::new()
        } else {
            format!("; named beside it: {}", words(&self.named))
        };
        format!("{}: {settled}{beside}", self.source())
    }
}

/// Whether a text is a date and time as RFC 3339 spells them, in UTC: `2026-11-21T15:37:16.436Z`.
fn is_date(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else {
        return false;
    };
    let number = |part: &str, digits: usize, most: u32| {
        part.len() == digits
            && part.bytes().all(|it| it.is_ascii_digit())
            && part.parse::<u32>().is_ok_and(|it| it <= most)
    };
    let date: Vec<&str> = date.split('-').collect();
    let time = time.strip_suffix('Z').unwrap_or("");
    let (whole, part) = time.split_once('.').unwrap_or((time, "0"));
    let time: Vec<&str> = whole.split(':').collect();
    matches!(date.as_slice(), [year, month, day]
        if number(year, 4, 9999) && number(month, 2, 12) && number(day, 2, 31))
        && matches!(time.as_slice(), [hour, minute, second]
            if number(hour, 2, 23) && number(minute, 2, 59) && number(second, 2, 60))
        && part.len() <= 9
        && number(part, part.len(), u32::MAX)
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
        assert_eq!(
            lock().citation("f", &[]).policies,
            [(Policy::DuplicateCall, 1)]
        );
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
        for date in [
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-11-21",
            "2026-11-21T25:00:00Z",
        ] {
            let undated = lock().text().replace("2026-11-21T00:00:00Z", date);
            assert_eq!(Lock::read(&undated), Err(LockError::Date(date.to_owned())));
        }
        let odd = lock().text().replace("duplicate_call", "no_such");
        assert!(matches!(Lock::read(&odd), Err(LockError::Policy(_))));
        assert!(matches!(Lock::read(""), Err(LockError::Unreadable { .. })));
    }

    #[test]
    fn what_is_named_beside_a_lock_goes_before_it() {
        let named = [(Policy::DuplicateCall, 0)];
        let words = lock().citation("f", &named).words();
        assert!(
            words.ends_with("nothing settled; named beside it: duplicate_call=accept"),
            "{words}"
        );
        assert_eq!(
            merged(
                &[(Policy::DuplicateCall, 1), (Policy::FaultOrder, 1)],
                &named
            ),
            [(Policy::FaultOrder, 1), (Policy::DuplicateCall, 0),]
        );
    }
}
