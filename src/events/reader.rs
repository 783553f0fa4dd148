//! One line of a client's event log.

use std::borrow::Cow;

use super::rpc::Rpc;
use super::{Source, What, exec, proto};
use crate::wire::raw::{Object, string};

/// What one line says, before its ids are interned.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// The log.
    pub source: Source,
    /// Whether it goes from the driver to the client.
    pub inwards: bool,
    /// What it says.
    pub what: What,
    /// The name the log gives it.
    pub name: Cow<'a, str>,
    /// Its thread.
    pub thread: Option<Cow<'a, str>>,
    /// Its turn.
    pub turn: Option<Cow<'a, str>>,
    /// The call it speaks of.
    pub call: Option<Cow<'a, str>>,
    /// The id of the request, submission, question or item.
    pub id: Option<Cow<'a, str>>,
    /// The text it carries.
    pub text: Option<Cow<'a, str>>,
    /// Its time, in microseconds since the epoch, where the line says it.
    pub time: Option<i64>,
}

impl<'a> Told<'a> {
    /// An event of a name that says nothing more.
    pub fn new(source: Source, inwards: bool, name: impl Into<Cow<'a, str>>) -> Self {
        Self {
            source,
            inwards,
            what: What::Other,
            name: name.into(),
            thread: None,
            turn: None,
            call: None,
            id: None,
            text: None,
            time: None,
        }
    }

    /// The same with another meaning.
    #[must_use]
    pub fn means(mut self, what: What) -> Self {
        self.what = what;
        self
    }
}

/// Reads lines in their order. It remembers the requests of either side that wait for an answer.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    rpc: Rpc,
    /// Whether the log began as that of an early `exec --json`, whose lines look like those of `proto`.
    early_exec: bool,
}

impl Reader {
    /// Reads one line: JSON, an object. `source` and `inwards` say what is known of it from elsewhere.
    ///
    /// Nothing is returned for what is no object. Anything else is at least one event.
    pub fn read<'a>(
        &mut self,
        text: &'a str,
        source: Option<Source>,
        inwards: Option<bool>,
    ) -> Vec<Told<'a>> {
        let Some(object) = Object::read(text) else {
            return Vec::new();
        };
        self.object(&object, source, inwards)
    }

    fn object<'a>(
        &mut self,
        object: &Object<'a>,
        source: Option<Source>,
        inwards: Option<bool>,
    ) -> Vec<Told<'a>> {
        if object.get("ts").is_some() && object.get("dir").is_some() {
            return vec![tui(object)];
        }
        if object.get("wall_time_unix_ms").is_some()
            && let Some(payload) = object.object("payload")
        {
            return vec![trace(object, &payload)];
        }
        // what drives a client may log both sides with a time: {t, event} and {t, submit}
        if object.get("t").is_some() {
            for (key, inwards) in [("event", false), ("submit", true)] {
                if let Some(inner) = object.object(key) {
                    let mut told = self.object(&inner, Some(Source::Proto), Some(inwards));
                    let seconds = object.get("t").and_then(|it| it.get().parse::<f64>().ok());
                    for one in &mut told {
                        one.time = seconds.map(|it| (it * 1e6) as i64);
                    }
                    return told;
                }
            }
        }
        // what ran a client may keep the lines it printed: {argv, stdout: [line]}
        if let (Some(_), Some(lines)) = (object.get("argv"), object.array("stdout")) {
            self.early_exec = false;
            let mut all = Vec::new();
            for line in lines {
                let Some(line) = string(line.get()) else {
                    continue;
                };
                let told = self.read(&line, Some(Source::ExecJson), Some(false));
                all.extend(told.into_iter().map(owned));
            }
            if all.is_empty() {
                all.push(Told::new(Source::ExecJson, false, "stdout"));
            }
            return all;
        }
        if let Some(message) = object.object("msg") {
            let source = match source {
                Some(source) => source,
                None if self.early_exec => Source::ExecJson,
                None => Source::Proto,
            };
            return vec![proto::event(object, &message, source)];
        }
        if let Some(op) = object.object("op") {
            return vec![proto::submission(
                object,
                &op,
                source.unwrap_or(Source::Proto),
            )];
        }
        let rpc = object.text("method").is_some()
            || object.get("id").is_some()
                && (object.get("result").is_some() || object.get("error").is_some());
        if rpc {
            let mcp = object.get("jsonrpc").is_some();
            let source = source.unwrap_or(if mcp { Source::Mcp } else { Source::AppServer });
            return vec![self.rpc.read(object, source, inwards)];
        }
        if object.text("type").is_some() {
            return vec![exec::event(object, source.unwrap_or(Source::ExecJson))];
        }
        // the first lines of an early `exec --json`: its settings, and the prompt
        if object.get("workdir").is_some() && object.get("model").is_some() {
            self.early_exec = true;
            return vec![Told::new(
                source.unwrap_or(Source::ExecJson),
                false,
                "settings",
            )];
        }
        if let Some(prompt) = object.text("prompt") {
            self.early_exec = true;
            let mut told = Told::new(source.unwrap_or(Source::ExecJson), false, "prompt");
            told.text = Some(prompt);
            return vec![told.means(What::MessageAsked)];
        }
        vec![Told::new(
            source.unwrap_or(Source::ExecJson),
            inwards.unwrap_or(false),
            "unknown",
        )]
    }
}

fn owned<'a>(told: Told<'_>) -> Told<'a> {
    let keep = |text: Option<Cow<'_, str>>| text.map(|it| Cow::Owned(it.into_owned()));
    Told {
        source: told.source,
        inwards: told.inwards,
        what: told.what,
        name: Cow::Owned(told.name.into_owned()),
        thread: keep(told.thread),
        turn: keep(told.turn),
        call: keep(told.call),
        id: keep(told.id),
        text: keep(told.text),
        time: told.time,
    }
}

/// The name of an operation as `codex proto` writes it.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().take(80).enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A line of a rollout trace: `{wall_time_unix_ms, thread_id, codex_turn_id, payload: {type, …}}`. What it tells of the
/// client's own protocol events, which are those of turns, is read as them; the rest is shown, and is no evidence.
fn trace<'a>(object: &Object<'a>, payload: &Object<'a>) -> Told<'a> {
    let kind = payload.text("type").unwrap_or_default();
    let event = payload.text("event_type");
    let of_turn = matches!(
        event.as_deref(),
        Some("turn_started" | "turn_complete" | "turn_aborted")
    );
    let message = payload.object("event_payload").filter(|_| of_turn);
    let mut told = if let Some(message) = message {
        proto::message_told(&message, Source::CodexTrace)
    } else {
        let name = match event {
            Some(event) => Cow::Owned(format!("{kind} {event}")),
            None => kind,
        };
        Told::new(Source::CodexTrace, false, name)
    };
    let thread = object
        .text("thread_id")
        .or_else(|| payload.text("thread_id"));
    told.thread = told.thread.or(thread);
    told.turn = told.turn.or_else(|| object.text("codex_turn_id"));
    told.call = payload.text("model_visible_call_id");
    told.time = object
        .number("wall_time_unix_ms")
        .and_then(|ms| i64::try_from(ms).ok())
        .and_then(|ms| ms.checked_mul(1000));
    told
}

/// A line of the terminal interface's log: `{ts, dir, kind, payload}`.
fn tui<'a>(object: &Object<'a>) -> Told<'a> {
    let inwards = object.text("dir").as_deref() == Some("from_tui");
    let kind = object.text("kind").unwrap_or_default();
    let payload = object.object("payload");
    let mut told = match (&payload, &*kind) {
        (Some(payload), "op") => match payload.members().next() {
            // and one with fields `{NAME: {…}}`
            Some((name, inner)) if payload.get("type").is_none() => {
                let inner = Object::read(inner.get()).unwrap_or_default();
                proto::named(snake(name), &inner, Source::TuiLog)
            }
            _ => proto::operation(payload, Source::TuiLog),
        },
        (Some(payload), _) => match (payload.object("msg"), payload.object("op")) {
            (Some(message), _) => proto::event(payload, &message, Source::TuiLog),
            (None, Some(op)) => proto::submission(payload, &op, Source::TuiLog),
            (None, None) => Told::new(Source::TuiLog, inwards, kind),
        },
        (None, "op") => {
            // since 2026 an operation without fields is its bare name
            let name = object.text("payload").unwrap_or_default();
            proto::named(snake(&name), &Object::default(), Source::TuiLog)
        }
        (None, "session_end") => Told::new(Source::TuiLog, inwards, kind).means(What::Shutdown),
        (None, "app_event") => match object.text("variant") {
            Some(variant) => Told::new(Source::TuiLog, inwards, format!("app_event {variant}")),
            None => Told::new(Source::TuiLog, inwards, kind),
        },
        (None, _) => Told::new(Source::TuiLog, inwards, kind),
    };
    told.inwards = inwards;
    told.time = object
        .text("ts")
        .as_deref()
        .and_then(crate::wire::when::micros);
    told
}
