//! What a plan needs to know of a Codex home: its settings, and how the user is signed in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

/// Settings of more bytes than this are not read.
const LARGEST: u64 = 4 << 20;

/// How the user is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// With a ChatGPT account.
    ChatGpt,
    /// With an API key.
    ApiKey,
}

/// What lies in a Codex home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The text of `config.toml`.
    pub config: Option<String>,
    /// The texts of `NAME.config.toml`, by name: profiles, since 2026.
    pub profiles: BTreeMap<String, String>,
    /// What `auth.json` says; `None` if there is none.
    pub login: Option<Login>,
}

impl Home {
    /// Reads a home. What is not there, or cannot be read, is left out: Codex itself will say so.
    pub fn load(home: &Path) -> Self {
        let entries = std::fs::read_dir(home).into_iter().flatten();
        let profiles = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let profile = name.strip_suffix(".config.toml")?;
                Some((profile.to_owned(), text(&entry.path())?))
            })
            .collect();
        Self {
            config: text(&home.join("config.toml")),
            profiles,
            login: text(&home.join("auth.json")).and_then(|text| login(&text)),
        }
    }
}

fn text(path: &Path) -> Option<String> {
    // looked at first: to open a pipe would wait for its other end
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The members of `auth.json` that tell logins apart. Nothing else of it is kept.
#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "auth_mode")]
    mode: Option<String>,
    #[serde(rename = "OPENAI_API_KEY")]
    key: Option<serde::de::IgnoredAny>,
    tokens: Option<serde::de::IgnoredAny>,
}

/// How `auth.json` signs the user in: what `auth_mode` says; in files without it, the ChatGPT login where there is one.
pub fn login(auth: &str) -> Option<Login> {
    let auth: Auth = serde_json::from_str(auth).ok()?;
    match auth.mode.as_deref() {
        Some("apikey" | "api_key") => Some(Login::ApiKey),
        Some(mode) if mode.starts_with("chatgpt") => Some(Login::ChatGpt),
        _ if auth.tokens.is_some() && auth.key.is_none() => Some(Login::ChatGpt),
        _ if auth.key.is_some() => Some(Login::ApiKey),
        _ => None,
    }
}
