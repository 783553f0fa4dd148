//! `replay SESSION… --target URL`.

mod sessions;

pub(super) use sessions::{Ready, send};

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Environment;
use super::args::{ProbeArgs, TargetArgs};
use super::error::CliError;
use super::now::now;
use super::output::Output;
use crate::proxy::Upstream;
use crate::proxy::tape::{self, Opening, Totals};
use crate::redact::{self, Redactor};
use crate::replay::call::{Key, Patience};
use crate::replay::live::attempts::Budget;
use crate::replay::live::{Forecast, How, Progress, Recorded, Sender};
use crate::session::exchange::Transport;

/// The variable that holds the key where the user names none.
const KEY: &str = "OPENAI_API_KEY";

/// An endpoint that sessions are sent to.
pub(super) struct Target {
    pub(super) upstream: Upstream,
    pub(super) how: How,
    key: Option<Key>,
    secret: Option<String>,
    key_name: String,
    patience: Patience,
}

/// Reads what was typed about the endpoint; `None` if there is none.
pub(super) fn target(
    args: &TargetArgs,
    environment: &Environment,
    probe: &str,
) -> Result<Option<Target>, CliError> {
    let Some(url) = &args.target else {
        return Ok(None);
    };
    let upstream = upstream(url, "--target")?;
    let (secret, key) = key(args.key_env.as_deref(), environment)?;
    let speed = args.speed.unwrap_or(0.0);
    if !speed.is_finite() || speed < 0.0 {
        return Err(CliError::usage("--speed takes a number from 0 up"));
    }
    if args.max_requests == Some(0) {
        return Err(CliError::usage("--max-requests takes a number from 1 up"));
    }
    some_model(args.model.as_deref())?;
    let budget = budget(args.retries, args.stream_retries, args.backoff);
    Ok(Some(Target {
        upstream,
        how: How {
            model: args.model.clone(),
            follow: args.follow,
            transport: args.transport.as_deref().map(|name| match name {
                "websocket" => Transport::WebSocket,
                _ => Transport::Http,
            }),
            budget,
            speed,
            max_requests: args.max_requests,
            probe: probe.to_owned(),
        },
        key,
        secret,
        key_name: args.key_env.clone().unwrap_or_else(|| KEY.to_owned()),
        patience: patience(args.idle_timeout, args.answer_timeout)?,
    }))
}

/// A model that is named has a name.
fn some_model(model: Option<&str>) -> Result<(), CliError> {
    match model.map(str::trim) {
        Some("") => Err(CliError::usage("--model takes the name of a model")),
        _ => Ok(()),
    }
}

/// What may be spent on one request.
pub(super) fn budget(
    retries: Option<u32>,
    stream_retries: Option<u32>,
    backoff: Option<u64>,
) -> Budget {
    let usual = Budget::default();
    Budget {
        requests: retries.unwrap_or(usual.requests),
        streams: stream_retries.unwrap_or(usual.streams),
        backoff: backoff.map_or(usual.backoff, Duration::from_millis),
    }
}

/// How long an answer may take.
pub(super) fn patience(idle: Option<f64>, whole: Option<f64>) -> Result<Patience, CliError> {
    let usual = Patience::default();
    let seconds = |name: &str, value: Option<f64>, usual: Duration| match value {
        None => Ok(usual),
        Some(value) => Duration::try_from_secs_f64(value)
            .ok()
            .filter(|it| !it.is_zero())
            .ok_or_else(|| CliError::usage(format!("{name} takes a number of seconds above 0"))),
    };
    let idle = seconds("--idle-timeout", idle, usual.idle)?;
    Ok(Patience {
        connect: usual.connect.min(idle),
        idle,
        whole: seconds("--answer-timeout", whole, usual.whole)?,
    })
}

/// Reads a base URL.
pub(super) fn upstream(url: &str, option: &str) -> Result<Upstream, CliError> {
    Upstream::parse(url).map_err(|error| {
        CliError::usage(format!("{option}: {error}"))
            .hint("a base URL, for example http://127.0.0.1:11434/v1")
    })
}

/// Reads the key from the environment: its text, and the same for sending.
pub(super) fn key(
    name: Option<&str>,
    environment: &Environment,
) -> Result<(Option<String>, Option<Key>), CliError> {
    let found = environment.variable(name.unwrap_or(KEY));
    if let (Some(name), None) = (name, &found) {
        return Err(
            CliError::usage(format!("--key-env: the variable {name} is not set"))
                .hint("a server that wants no key needs no --key-env"),
        );
    }
    let key = found.as_deref().map(Key::new);
    Ok((found, key))
}

/// Takes secrets out of what is recorded, the key among them, wherever an answer repeats it.
fn redactor(secret: Option<&str>) -> Redactor {
    let pattern = secret
        .map(str::trim)
        .filter(|it| it.len() >= 6)
        .and_then(|it| regex::bytes::Regex::new(&regex::escape(it)).ok());
    Redactor::new(redact::Options {
        patterns: pattern.into_iter().collect(),
        keep_headers: Vec::new(),
        taken: 0,
    })
}

impl Target {
    /// An endpoint that is probed.
    pub(super) fn for_probe(args: &ProbeArgs, environment: &Environment) -> Result<Self, CliError> {
        let (secret, key) = key(args.key_env.as_deref(), environment)?;
        some_model(args.model.as_deref())?;
        Ok(Self {
            upstream: upstream(&args.url, "URL")?,
            how: How {
                model: args.model.clone(),
                follow: false,
                transport: None,
                budget: budget(args.retries, None, args.backoff),
                speed: 0.0,
                max_requests: None,
                probe: String::new(),
            },
            key,
            secret,
            key_name: args.key_env.clone().unwrap_or_else(|| KEY.to_owned()),
            patience: patience(args.idle_timeout, args.answer_timeout)?,
        })
    }

    /// Its URL, as reports say it.
    pub(super) fn url(&self) -> String {
        self.upstream.url()
    }

    /// The variable that holds the key that is sent, if one is.
    pub(super) fn key_name(&self) -> Option<&str> {
        self.secret.is_some().then_some(&*self.key_name)
    }

    /// A text in which the key does not stand.
    pub(super) fn hide(&self, text: &str) -> String {
        match self.secret.as_deref().map(str::trim) {
            Some(secret) if secret.len() >= 6 => text.replace(secret, "<key>"),
            _ => text.to_owned(),
        }
    }

    /// Makes what sends, with the file that is recorded into.
    pub(super) fn sender(
        &self,
        output: Option<&Path>,
        force: bool,
        command: Vec<String>,
    ) -> Result<(Sender, Option<PathBuf>), CliError> {
        let path = output.map(Path::to_owned);
        let recorded = path
            .as_deref()
            .map(|path| self.recorded(path, force, command))
            .transpose()?;
        let sender = Sender::new(
            self.upstream.clone(),
            self.key.as_ref(),
            self.patience,
            recorded,
        )
        .map_err(|error| CliError::failed(error.to_string()))?;
        Ok((sender, path))
    }

    fn recorded(
        &self,
        path: &Path,
        force: bool,
        command: Vec<String>,
    ) -> Result<Recorded, CliError> {
        let cannot = |error: &io::Error| {
            let failed = CliError::failed(format!("{}: {error}", path.display()));
            match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    CliError::usage(format!("{} exists already", path.display()))
                        .hint("--force replaces it")
                }
                _ => failed,
            }
        };
        if force && path.is_file() {
            std::fs::remove_file(path).map_err(|error| cannot(&error))?;
        }
        let mut how = std::fs::OpenOptions::new();
        how.append(true);
        // a device is written to as it is
        let is_new = !path.exists() || path.is_file();
        how.create_new(is_new);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            how.mode(0o600);
        }
        let file = how.open(path).map_err(|error| cannot(&error))?;
        let moment = now();
        Ok(Recorded {
            output: tape::Output::new(Box::new(file), false),
            opening: Opening {
                id: moment.id,
                created_at: moment.rfc3339,
                recorder: concat!("replay ", env!("CARGO_PKG_VERSION")).to_owned(),
                command,
                upstream: self.url(),
                drain: false,
            },
            redactor: redactor(self.secret.as_deref()),
        })
    }
}

/// Says what will be sent, and asks whether it may be; a target on this machine is not asked about.
pub(super) fn consent(
    upstream: &Upstream,
    what: &str,
    yes: bool,
    output: &Output,
) -> Result<(), CliError> {
    let sentence = format!("{what} to {}", upstream.url());
    output.note(&sentence);
    if yes || upstream.is_loopback() {
        return Ok(());
    }
    let refused = CliError::usage(format!("{sentence}: not without --yes"))
        .hint("what is sent holds all that the session holds; --yes sends it")
        .hint("--max-requests N sends less");
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(refused);
    }
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "send? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| io::stdin().lock().read_line(&mut answer).map(|_| ()));
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(()), "y" | "yes") => Ok(()),
        _ => Err(refused),
    }
}

/// What will be sent, in words.
pub(super) fn words(forecast: &Forecast, sessions: usize, runs: usize) -> String {
    let count = forecast.requests;
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let mut text = format!("{count} request{}, {}", s(count), size(forecast.bytes));
    if runs > sessions {
        let _infallible = write!(text, ", in {runs} runs");
    }
    if forecast.not_sent > 0 {
        let _infallible = write!(
            text,
            " ({} cannot be sent: what they go on from is not on file)",
            forecast.not_sent
        );
    }
    text
}

/// Bytes in words.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// A bar for requests that take long.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new(output: &Output, name: &str) -> Self {
        if !output.progress {
            return Self(None);
        }
        let bar = ProgressBar::new(1);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.set_message(crate::report::safe(name));
        Self(Some(bar))
    }

    pub(super) fn told(&self, progress: Progress) {
        if let Some(bar) = &self.0 {
            bar.set_length(progress.all as u64);
            bar.set_position(progress.done as u64);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Says where the recording is, or what is missing of it.
pub(super) fn recorded(path: &Path, totals: &Totals, output: &Output) -> Result<(), CliError> {
    if let Some(why) = &totals.failed {
        return Err(CliError::failed(format!(
            "{}: the recording is not whole: {why}",
            path.display()
        )));
    }
    if totals.lost > 0 {
        output.note(&format!("{} chunks are not in the recording", totals.lost));
    }
    output.note(&format!("recorded into {}", path.display()));
    Ok(())
}
