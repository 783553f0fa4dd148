//! Where Codex sends its requests, and the settings that move them.

use std::ffi::OsString;

use super::settings::Settings;
use super::{Given, Kind, Levers, PUBLIC_API, Role, Survey, Upstream, arguments};
use crate::client::home::Login;

/// The model's base URL with a ChatGPT login.
const CHATGPT_MODEL: &str = "https://chatgpt.com/backend-api/codex";
/// The default of `chatgpt_base_url`.
const CHATGPT: &str = "https://chatgpt.com/backend-api";
/// Since this version `OPENAI_BASE_URL` is known to be ignored (observed).
const IGNORES_VARIABLE: (u64, u64) = (0, 169);

/// Up to this version a ChatGPT login is no way to reach the model (observed with 0.8.0; 0.20.0 can).
const NEEDS_KEY: (u64, u64) = (0, 8);

/// A setting that takes a base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    path: Vec<String>,
}

impl Setting {
    fn new(path: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            path: path.into_iter().map(Into::into).collect(),
        }
    }

    /// The arguments that set it. Key and value have no space between them and the value is quoted, which every
    /// version reads.
    pub(super) fn arguments(&self, url: &str) -> [OsString; 2] {
        let value = quoted(url);
        let plain = |part: &String| !part.is_empty() && !part.contains(['.', '=', '"']);
        let text = match self.path.split_first() {
            Some((first, rest)) if !rest.iter().all(plain) => {
                // a dot cannot be said in a path, whatever the quotes; a table is laid over the one of the file
                // (observed with 0.169.0; older versions would take it in place of the file's and refuse to start)
                let inner = rest
                    .iter()
                    .rev()
                    .fold(value, |value, part| format!("{{{}={value}}}", quoted(part)));
                format!("{first}={inner}")
            }
            _ => format!("{}={value}", self.path.join(".")),
        };
        ["-c".into(), text.into()]
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

pub(super) fn survey(given: Given<'_>, start: usize) -> Survey {
    let said = arguments::read(given.command, start);
    let mut settings = Settings::of(given.home, &said);
    let environment = given.environment;
    let mut notes = std::mem::take(&mut settings.notes);
    let login = login(given, &settings, said.exec);
    let mut levers = Levers {
        place: said.place,
        ..Levers::default()
    };
    let default = match login {
        Login::ChatGpt => CHATGPT_MODEL,
        Login::ApiKey => PUBLIC_API,
    };

    let provider = if said.oss {
        let local = said.local_provider.as_deref();
        local
            .or(settings.top("oss_provider").1)
            .unwrap_or("oss")
            .to_owned()
    } else {
        settings
            .top("model_provider")
            .1
            .unwrap_or("openai")
            .to_owned()
    };
    let own = ["model_providers", provider.as_str()];
    let mut signs_in = false;
    let model = match provider.as_str() {
        "openai" => {
            signs_in = true;
            let version = given.installed.version;
            let ignores = version.is_some_and(|it| it >= IGNORES_VARIABLE);
            if !ignores {
                levers.variables = vec!["OPENAI_BASE_URL", "OPENAI_API_BASE"];
            }
            let (path, set) = settings.top("openai_base_url");
            levers.model.push(Setting::new(path));
            let variable = environment.openai_base_url.as_deref();
            let heeded = variable.filter(|_| !ignores);
            if set.is_none() && heeded.is_some() && version.is_none() {
                notes.push(
                    "OPENAI_BASE_URL is taken for the upstream; Codex of 2026-04 and later ignores it, so \
                     name the upstream if that is not where it goes by itself"
                        .to_owned(),
                );
            }
            Upstream::new(Role::Model, set.or(heeded).unwrap_or(default))
        }
        "amazon-bedrock" => {
            notes.push(
                "requests to Amazon Bedrock are signed for their host and are not recorded"
                    .to_owned(),
            );
            Upstream::new(Role::Model, default)
        }
        name if is_local(name) && !settings.has_table(&own) => {
            levers.variables = vec!["CODEX_OSS_BASE_URL"];
            local(given, name)
        }
        name => {
            if !settings.has_table(&own) {
                notes.push(format!("the settings name no model provider {name}"));
            }
            signs_in = settings.is_set(&["model_providers", name, "requires_openai_auth"]);
            levers
                .model
                .push(Setting::new(["model_providers", name, "base_url"]));
            let set = settings.text(&["model_providers", name, "base_url"]);
            Upstream::new(Role::Model, set.unwrap_or(default))
        }
    };

    let mut upstreams = vec![model];
    if signs_in && login == Login::ChatGpt {
        let (path, set) = settings.top("chatgpt_base_url");
        levers.chatgpt.push(Setting::new(path));
        upstreams.push(Upstream::new(Role::ChatGpt, set.unwrap_or(CHATGPT)));
    }
    Survey {
        kind: Kind::Codex,
        upstreams,
        home: environment.codex_home(Kind::Codex),
        notes,
        levers,
    }
}

/// The providers for models on this machine. They are built in and refuse settings of their own.
fn is_local(provider: &str) -> bool {
    matches!(provider, "oss" | "ollama" | "ollama-chat" | "lmstudio")
}

/// The server of a local provider. Codex asks it for more than the model (`/api/tags` of Ollama), beside `/v1`.
fn local(given: Given<'_>, provider: &str) -> Upstream {
    let port = match provider {
        "lmstudio" => "1234",
        _ => "11434",
    };
    let environment = given.environment;
    let port = environment.codex_oss_port.as_deref().unwrap_or(port);
    let default = format!("http://localhost:{port}/v1");
    let set = environment.codex_oss_base_url.as_deref();
    let mut upstream = Upstream::new(Role::Model, set.unwrap_or(&default));
    if let Some(root) = upstream.url.strip_suffix("/v1") {
        upstream = Upstream {
            path: "/v1".to_owned(),
            ..Upstream::new(Role::Model, root)
        };
    }
    upstream
}

/// Which login counts. `CODEX_API_KEY` goes before the one on file in `codex exec` (observed with 0.45.0 and 0.169.0),
/// and only there; `OPENAI_API_KEY` goes behind it.
fn login(given: Given<'_>, settings: &Settings, exec: bool) -> Login {
    let needs_key = given.installed.version.is_some_and(|it| it <= NEEDS_KEY);
    if needs_key || (exec && given.environment.codex_api_key) {
        return Login::ApiKey;
    }
    if let Some(login) = given.home.login {
        return login;
    }
    // a login in the system's keyring cannot be seen from here; it is a ChatGPT login unless the settings rule it out
    let keyring = matches!(
        settings.text(&["cli_auth_credentials_store"]),
        Some("keyring" | "auto")
    );
    let forced = settings.text(&["forced_login_method"]);
    match forced {
        Some("chatgpt") => Login::ChatGpt,
        None if keyring && !given.environment.codex_api_key => Login::ChatGpt,
        _ => Login::ApiKey,
    }
}
