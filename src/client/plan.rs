//! Where a client's requests would go by itself, and how they are sent elsewhere. Pure: everything it goes by is handed
//! in.
//!
//! Any client is given `OPENAI_BASE_URL` and `OPENAI_API_BASE`. Codex is told more exactly, by `-c` settings of its own
//! command line, because it depends on version, provider and login what it listens to. Observed with the released
//! binaries:
//!
//! | | TypeScript | 0.8.0, 0.20.0, 0.45.0 | 0.169.0 |
//! |---|---|---|---|
//! | `OPENAI_BASE_URL` | counts | counts for the built-in provider, also with a ChatGPT login | ignored (codex #16720) |
//! | `-c openai_base_url=…` | `-c` means something else | ignored without a word | counts for the built-in provider, also with a ChatGPT login; WebSockets stay on (codex #12031) |
//! | `-c model_providers.ID.base_url=…` | | counts, also beside the two above | the same; refused for `openai`, `ollama`, `lmstudio` |
//! | `CODEX_OSS_BASE_URL` | | 0.20.0 and 0.45.0: counts for `oss` | counts for `ollama`, `lmstudio` |
//! | `-c chatgpt_base_url=…` | | accepted | moves what is not the model's (accounts, plugins, analytics) |
//!
//! So the first two together are right for the built-in provider of every Rust version, whichever it is. The variables
//! are set only where Codex may heed them: the programs that it runs inherit them too, and what those ask for is not
//! ours to move. A `-c` before
//! the subcommand gives way to one behind it (observed with all four), so ours go behind the last one of the user's.
//! In 0.169.0 a `-c` on the command line also keeps the terminal interface away from the shared background server,
//! whose requests would not come here (observed with a running one).

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::home::Home;
use super::program::Installed;

mod arguments;
mod codex;
mod settings;

#[cfg(test)]
mod tests;

/// The base URL of the public API.
pub const PUBLIC_API: &str = "https://api.openai.com/v1";

/// Which client the caller says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Find out by the name of the program.
    #[default]
    Detect,
    /// It is Codex, whatever it is called.
    Codex,
    /// It is none that is known.
    None,
}

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Codex, written in Rust.
    Codex,
    /// The first Codex, written in TypeScript, which knows no `-c` settings.
    CodexTypeScript,
    /// Any other program.
    Other,
}

/// The variables of the environment that a plan goes by. Empty ones count as not set.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `OPENAI_BASE_URL`, else `OPENAI_API_BASE`.
    pub openai_base_url: Option<String>,
    /// Whether `CODEX_API_KEY` is set: it goes before a ChatGPT login in `codex exec`.
    pub codex_api_key: bool,
    /// `CODEX_OSS_BASE_URL`.
    pub codex_oss_base_url: Option<String>,
    /// `CODEX_OSS_PORT`.
    pub codex_oss_port: Option<String>,
    /// `CODEX_HOME`.
    pub codex_home: Option<PathBuf>,
    /// `HOME`, or `USERPROFILE`.
    pub user_home: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// Whether a proxy is named, by any of the usual variables.
    pub proxied: bool,
    /// `NO_PROXY`, else `no_proxy`.
    pub no_proxy: Option<String>,
    /// Whether `CODEX_TUI_RECORD_SESSION` asks for a session log.
    pub tui_recorded: bool,
    /// `CODEX_TUI_SESSION_LOG_PATH`.
    pub tui_log: Option<PathBuf>,
}

impl Environment {
    /// Takes what matters out of the variables of a process.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut it = Self::default();
        let (mut api_base, mut lower, mut profile) = (None, None, None);
        for (name, value) in variables {
            if value.is_empty() {
                continue;
            }
            let text = || value.to_str().map(str::to_owned);
            match name.to_str() {
                Some("OPENAI_BASE_URL") => it.openai_base_url = text(),
                Some("OPENAI_API_BASE") => api_base = text(),
                Some("CODEX_API_KEY") => it.codex_api_key = true,
                Some("CODEX_OSS_BASE_URL") => it.codex_oss_base_url = text(),
                Some("CODEX_OSS_PORT") => it.codex_oss_port = text(),
                Some("CODEX_HOME") => it.codex_home = Some(value.into()),
                Some("HOME") => it.user_home = Some(value.into()),
                Some("USERPROFILE") => profile = Some(value.into()),
                Some("PATH") => it.path = Some(value),
                Some("NO_PROXY") => it.no_proxy = text(),
                Some("no_proxy") => lower = text(),
                Some("CODEX_TUI_RECORD_SESSION") => it.tui_recorded = truthy(&value),
                Some("CODEX_TUI_SESSION_LOG_PATH") => it.tui_log = Some(value.into()),
                Some(
                    "HTTP_PROXY" | "http_proxy" | "HTTPS_PROXY" | "https_proxy" | "ALL_PROXY"
                    | "all_proxy",
                ) => it.proxied = true,
                _ => {}
            }
        }
        it.openai_base_url = it.openai_base_url.or(api_base);
        it.no_proxy = it.no_proxy.or(lower);
        it.user_home = it.user_home.or(profile);
        it
    }

    /// Where a client of this kind keeps its files. The TypeScript Codex does not know `CODEX_HOME`.
    pub fn codex_home(&self, kind: Kind) -> Option<PathBuf> {
        let own = self.user_home.as_ref().map(|home| home.join(".codex"));
        match kind {
            Kind::Codex => self.codex_home.clone().or(own),
            Kind::CodexTypeScript => own,
            Kind::Other => None,
        }
    }
}

/// The values by which Codex sees its session log asked for.
fn truthy(value: &OsStr) -> bool {
    ["1", "true", "TRUE", "yes", "YES"]
        .iter()
        .any(|yes| value == OsStr::new(yes))
}

/// Everything a plan goes by.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The command, program first.
    pub command: &'a [OsString],
    /// What the caller says the client is.
    pub choice: Choice,
    /// The environment it will run in.
    pub environment: &'a Environment,
    /// What lies in its home ([`Environment::codex_home`]).
    pub home: &'a Home,
    /// What is known of the program.
    pub installed: &'a Installed,
}

/// What an upstream is to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Requests to the model go there.
    Model,
    /// The ChatGPT backend, for everything else that Codex asks for with a ChatGPT login.
    ChatGpt,
}

/// A base URL that the client would use by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What it is to the client.
    pub role: Role,
    /// The base URL, without a slash at its end.
    pub url: String,
    /// What the client appends to it to get its own base URL: empty, or `/v1` where it also asks beside it, as
    /// for local models.
    pub path: String,
}

impl Upstream {
    fn new(role: Role, url: &str) -> Self {
        Self {
            role,
            url: url.trim().trim_end_matches('/').to_owned(),
            path: String::new(),
        }
    }
}

/// What a client is and where its requests would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What it is.
    pub kind: Kind,
    /// The base URLs it would use, the model's first.
    pub upstreams: Vec<Upstream>,
    /// The home whose rollouts it will write; `None` if it writes none that are known.
    pub home: Option<PathBuf>,
    /// What the user should know, because it is a guess or cannot be done.
    pub notes: Vec<String>,
    levers: Levers,
}

/// How the requests of a client are moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Levers {
    /// Variables that take the model's base URL.
    variables: Vec<&'static str>,
    /// Settings that take the model's base URL.
    model: Vec<codex::Setting>,
    /// Settings that take the other base URL.
    chatgpt: Vec<codex::Setting>,
    /// Where settings go into the command line.
    place: usize,
}

/// What replaces the upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locals {
    /// The base URL in place of the model's.
    pub model: String,
    /// The base URL in place of the ChatGPT backend's; `None` leaves it alone.
    pub chatgpt: Option<String>,
}

/// A command and what to change in its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The command, program first.
    pub command: Vec<OsString>,
    /// Variables to set.
    pub environment: Vec<(OsString, OsString)>,
}

/// The program of a command line that [`super::program::look`] should look at: Codex where it is found, however it is
/// started, else the first word.
pub fn program(command: &[OsString]) -> Option<&OsStr> {
    let at = arguments::find(command).map_or(0, |found| found.arguments.saturating_sub(1));
    command.get(at).or(command.first()).map(OsString::as_os_str)
}

/// Finds out what a client is and where its requests would go.
pub fn survey(given: Given<'_>) -> Survey {
    let found = arguments::find(given.command);
    let codex_at = match given.choice {
        Choice::None => None,
        Choice::Detect => found.map(|found| found.arguments),
        Choice::Codex => Some(found.map_or(1, |found| found.arguments)),
    };
    let Some(arguments) = codex_at else {
        return other(given.environment);
    };
    let typescript = found
        .and_then(|found| found.version)
        .or(given.installed.version)
        .is_some_and(program_is_typescript);
    if typescript {
        return Survey {
            kind: Kind::CodexTypeScript,
            home: given.environment.codex_home(Kind::CodexTypeScript),
            ..other(given.environment)
        };
    }
    codex::survey(given, arguments)
}

/// Every 0.0 and 0.1 on the registry is the TypeScript program.
fn program_is_typescript(version: (u64, u64)) -> bool {
    version <= (0, 1)
}

fn other(environment: &Environment) -> Survey {
    let url = environment.openai_base_url.as_deref();
    Survey {
        kind: Kind::Other,
        upstreams: vec![Upstream::new(Role::Model, url.unwrap_or(PUBLIC_API))],
        home: None,
        notes: Vec::new(),
        levers: Levers {
            variables: vec!["OPENAI_BASE_URL", "OPENAI_API_BASE"],
            ..Levers::default()
        },
    }
}

impl Survey {
    /// The command line and environment that send the client's requests to other base URLs.
    ///
    /// `locals` replace [`Upstream::url`]; what belongs behind them is added here.
    pub fn plan(&self, given: Given<'_>, locals: &Locals) -> Plan {
        let base = |role: Role, local: &str| {
            let upstream = self.upstreams.iter().find(|it| it.role == role);
            let path = upstream.map_or("", |it| it.path.as_str());
            format!("{}{path}", local.trim_end_matches('/'))
        };
        let model = base(Role::Model, &locals.model);
        let mut command = given.command.to_vec();
        let mut settings = Vec::new();
        for setting in &self.levers.model {
            settings.extend(setting.arguments(&model));
        }
        if let Some(local) = &locals.chatgpt {
            for setting in &self.levers.chatgpt {
                settings.extend(setting.arguments(&base(Role::ChatGpt, local)));
            }
        }
        let place = self.levers.place.min(command.len());
        command.splice(place..place, settings);
        let mut environment: Vec<(OsString, OsString)> = self
            .levers
            .variables
            .iter()
            .map(|name| (name.into(), model.clone().into()))
            .collect();
        environment.extend(no_proxy(given.environment));
        Plan {
            command,
            environment,
        }
    }
}

/// Where the environment names a proxy, the child must not look for the local address there.
fn no_proxy(environment: &Environment) -> Vec<(OsString, OsString)> {
    if !environment.proxied {
        return Vec::new();
    }
    let mut hosts: Vec<&str> = environment
        .no_proxy
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
        .collect();
    for local in ["127.0.0.1", "localhost"] {
        if !hosts.contains(&local) {
            hosts.push(local);
        }
    }
    let value = OsString::from(hosts.join(","));
    ["NO_PROXY", "no_proxy"]
        .map(|name| (name.into(), value.clone()))
        .to_vec()
}
