//! Commands with placeholders, without a shell.
//!
//! A command is split as a POSIX shell splits words (quotes, backslashes), and nothing else of a shell is done: no
//! variables, no globs, no pipes. Placeholders are put in after that, so a value is part of one argument whatever it
//! holds. Who wants a shell writes `sh -c '…'` and finds the same values in the environment.

use std::ffi::OsString;

/// What can stand in braces.
const NAMES: [&str; 6] = ["base_url", "home", "work", "cut", "rollout", "session"];

/// A command with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    words: Vec<String>,
}

/// Why a command cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It has no word.
    #[error("a command is empty")]
    Empty,
    /// A quote is not closed, or a backslash stands at the end.
    #[error("a quote is not closed, or a backslash stands at the end: {0}")]
    Quotes(String),
    /// A word in braces is none that is known.
    #[error(
        "{{{0}}} is no placeholder; placeholders are {{base_url}}, {{home}}, {{work}}, {{cut}}, {{rollout}}, {{session}}"
    )]
    Unknown(String),
}

/// What placeholders stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) base_url: String,
    pub(super) home: String,
    pub(super) work: String,
    pub(super) cut: String,
    /// The rollout written last in the home, if there is one.
    pub(super) rollout: Option<String>,
    /// Its thread id.
    pub(super) session: Option<String>,
}

impl Values {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "base_url" => Some(&self.base_url),
            "home" => Some(&self.home),
            "work" => Some(&self.work),
            "cut" => Some(&self.cut),
            "rollout" => self.rollout.as_deref(),
            "session" => self.session.as_deref(),
            _ => None,
        }
    }

    /// The same values as variables.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        NAMES
            .iter()
            .filter_map(|name| {
                let value = self.get(name)?;
                Some((
                    format!("REPLAY_{}", name.to_ascii_uppercase()),
                    value.to_owned(),
                ))
            })
            .collect()
    }
}

impl Template {
    /// Reads a command.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn read(text: &str) -> Result<Self, TemplateError> {
        let words = shlex::split(text).ok_or_else(|| TemplateError::Quotes(text.to_owned()))?;
        if words.first().is_none_or(String::is_empty) {
            return Err(TemplateError::Empty);
        }
        for word in &words {
            for (name, _) in names_in(word) {
                if !NAMES.contains(&name.as_str()) {
                    return Err(TemplateError::Unknown(name));
                }
            }
        }
        Ok(Self {
            text: text.to_owned(),
            words,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The words with values put in; the name of the first placeholder that has no value.
    pub(super) fn fill(&self, values: &Values) -> Result<Vec<OsString>, String> {
        self.words
            .iter()
            .map(|word| {
                let mut out = String::new();
                let mut rest = word.as_str();
                for (name, found) in names_in(word) {
                    let value = values.get(&name).ok_or(name)?;
                    let Some((before, behind)) = rest.split_once(found) else {
                        continue;
                    };
                    out.push_str(before);
                    out.push_str(value);
                    rest = behind;
                }
                out.push_str(rest);
                Ok(OsString::from(out))
            })
            .collect()
    }
}

/// Words of lower-case letters in braces, with the braces. Other braces are braces, as in TOML and JSON.
fn names_in(word: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let mut rest = word;
    while let Some((_, behind)) = rest.split_once('{') {
        let Some((name, further)) = behind.split_once('}') else {
            break;
        };
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            let start = rest.len() - behind.len() - 1;
            let whole = rest.get(start..start + name.len() + 2).unwrap_or_default();
            found.push((name.to_owned(), whole));
            rest = further;
        } else {
            rest = behind;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            base_url: "http://127.0.0.1:9/v1".into(),
            home: "/tmp/a b; rm -rf $HOME".into(),
            cut: "1:{home}".into(),
            ..Values::default()
        }
    }

    #[test]
    fn values_are_parts_of_one_argument_and_are_not_read_again() {
        let command = Template::read(
            r#"client -c 'p={url="{base_url}"}' --home={home} {cut} "two words" {}"#,
        )
        .unwrap();
        let words = command.fill(&values()).unwrap();
        assert_eq!(
            words,
            [
                "client",
                "-c",
                r#"p={url="http://127.0.0.1:9/v1"}"#,
                "--home=/tmp/a b; rm -rf $HOME",
                "1:{home}",
                "two words",
                "{}",
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_a_command_is_said() {
        assert_eq!(Template::read("  "), Err(TemplateError::Empty));
        assert!(matches!(
            Template::read("a 'b"),
            Err(TemplateError::Quotes(_))
        ));
        assert_eq!(
            Template::read("a {hom}"),
            Err(TemplateError::Unknown("hom".into()))
        );
        let command = Template::read("resume {session}").unwrap();
        assert_eq!(command.fill(&values()), Err("session".to_owned()));
    }
}
