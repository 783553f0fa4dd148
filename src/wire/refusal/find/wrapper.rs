//! Who wrapped a refusal, and which status the text around it tells.

use serde_json::{Map, Value};

use super::squeeze::{Gap, Squeezed};

/// How much of either end of a text is read for who wrote it and which status it tells.
const NEAR: usize = 4096;

/// Who or what stands around a refusal; the outermost one where several do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wrapper {
    /// Nobody: the API's envelope, or its WebSocket frame (responses-api.md 1.0, 1.3).
    Plain,
    /// `{"detail":"…"}` of the `ChatGPT` backend, or a list in the manner of `FastAPI`.
    Detail,
    /// `OpenRouter`'s envelope, with the provider's body as text in `error.metadata.raw`.
    OpenRouter,
    /// `LiteLLM`'s envelope, with the provider's body inside `error.message`.
    LiteLlm,
    /// GitHub Copilot's envelope, without `type` and `param`.
    Copilot,
    /// xAI's `{"code":"…","error":"text"}`.
    Xai,
    /// An event: `response.failed`, the flat `error` event, or SSE lines around either.
    Event,
    /// JSON as text inside JSON.
    NestedJson,
    /// JSON of any other shape, such as the inner object alone.
    Json,
    /// What the Python SDK prints: `Error code: 400 - {'error': …}`.
    PythonSdk,
    /// What the Node SDK prints: `400 No tool output found …`.
    NodeSdk,
    /// What the Rust Codex prints: `unexpected status 400 Bad Request: …`, often escaped and broken into lines.
    CodexDebug,
    /// An envelope with an event stream glued behind it.
    JsonThenSse,
    /// A web page: of Cloudflare, of nginx, of a login.
    Html,
    /// Any other text.
    Text,
}

impl Wrapper {
    /// What to call the wrapper when speaking to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "the API's own error",
            Self::Detail => "an error of the ChatGPT backend",
            Self::OpenRouter => "an error of OpenRouter",
            Self::LiteLlm => "an error of LiteLLM",
            Self::Copilot => "an error of GitHub Copilot",
            Self::Xai => "an error of xAI",
            Self::Event => "an error event",
            Self::NestedJson => "JSON inside JSON",
            Self::Json => "JSON",
            Self::PythonSdk => "an error of the Python SDK",
            Self::NodeSdk => "an error of the Node SDK",
            Self::CodexDebug => "an error printed by Codex",
            Self::JsonThenSse => "JSON with an event stream behind it",
            Self::Html => "a web page",
            Self::Text => "text",
        }
    }

    /// Names the one that wrote `text`, which is no JSON or stands before some.
    pub(super) fn of_text(text: &str) -> Self {
        match Self::of_short_text(super::head(text, NEAR)) {
            Self::Text if text.len() > NEAR => Self::of_short_text(super::tail(text, NEAR)),
            wrapper => wrapper,
        }
    }

    fn of_short_text(text: &str) -> Self {
        if is_html(text) {
            return Self::Html;
        }
        if is_sse(text) {
            return Self::Event;
        }
        if leading_status(text).is_some() {
            return Self::NodeSdk;
        }
        let squeezed = Squeezed::new(text);
        [
            ("unexpected status", Self::CodexDebug),
            ("Error code:", Self::PythonSdk),
            ("litellm.", Self::LiteLlm),
        ]
        .into_iter()
        .filter_map(|(mark, wrapper)| Some((*squeezed.places(mark).first()?, wrapper)))
        .min()
        .map_or(Self::Text, |(_, wrapper)| wrapper)
    }

    /// Whether this is what a client printed; the JSON or the quotes around it then say less.
    pub(super) fn is_printed(self) -> bool {
        matches!(self, Self::PythonSdk | Self::NodeSdk | Self::CodexDebug)
    }

    /// Names the one that put `before` and `after` around some JSON; `None` if there is nothing around it.
    pub(super) fn around(before: &str, after: &str) -> Option<Self> {
        let (before, after) = (before.trim(), after.trim());
        if !before.is_empty() {
            return Some(Self::of_text(before));
        }
        if after.is_empty() {
            return None;
        }
        Some(if is_sse(after) {
            Self::JsonThenSse
        } else {
            Self::Text
        })
    }

    /// Names the one that made `object`, in which `inner` was found.
    pub(super) fn of_object(object: &Map<String, Value>, inner: Inner<'_>) -> Self {
        let error = object.get("error");
        let fields = error.and_then(Value::as_object);
        let is_event = object
            .get("type")
            .and_then(Value::as_str)
            .is_some_and(|name| name == "error" || name.starts_with("response."));
        if inner.plain && is_envelope(object) {
            Self::Plain
        } else if fields.is_some_and(|error| error.contains_key("metadata")) {
            Self::OpenRouter
        } else if inner.wrapper == Self::LiteLlm || inner.message.starts_with("litellm.") {
            Self::LiteLlm
        } else if error.is_none() && object.contains_key("detail") {
            Self::Detail
        } else if inner.plain && error.is_some_and(Value::is_string) {
            Self::Xai
        } else if inner.wrapper.is_printed() {
            inner.wrapper
        } else if is_event {
            Self::Event
        } else if inner.nested {
            Self::NestedJson
        } else if fields.is_some_and(|error| {
            let other = error.contains_key("type") || error.contains_key("param");
            error.contains_key("code") && !other
        }) {
            Self::Copilot
        } else {
            Self::Json
        }
    }
}

/// What is known of the message when its object is named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner<'a> {
    /// The message is a member of the object's `error` and holds no JSON.
    pub(super) plain: bool,
    /// The message was JSON inside a string.
    pub(super) nested: bool,
    pub(super) wrapper: Wrapper,
    pub(super) message: &'a str,
}

/// Whether an object has no members but those of the API's envelope or of its WebSocket frame.
fn is_envelope(object: &Map<String, Value>) -> bool {
    let frame = object.get("type").is_none_or(|name| name == "error");
    let members = object.keys().all(|key| {
        key == "error"
            || object.contains_key("type")
                && matches!(
                    key.as_str(),
                    "type"
                        | "status"
                        | "status_code"
                        | "stream_id"
                        | "sequence_number"
                        | "headers"
                        | "event_id"
                )
    });
    let error = object.get("error").and_then(Value::as_object);
    let fields = error.is_some_and(|error| {
        let known = |key: &String| matches!(key.as_str(), "message" | "type" | "param" | "code");
        // `LiteLLM` and `OpenRouter` give a status as the code
        let code = error.get("code").is_none_or(|code| {
            code.is_null()
                || code
                    .as_str()
                    .is_some_and(|code| code.parse::<u16>().is_err())
        });
        error.keys().all(known) && error.contains_key("type") && code
    });
    frame && members && fields
}

fn is_sse(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("data:") || text.starts_with("event:")
}

/// Whether a text is a web page; a chunk size may stand before it (responses-api.md 1.4, Cloudflare).
pub(super) fn is_html(text: &str) -> bool {
    let head = super::head(text, 64).to_ascii_lowercase();
    head.contains("<!doctype html") || head.contains("<html")
}

/// The title of a web page.
pub(super) fn title(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<title>")?;
    let (title, _) = rest.split_once("</title>")?;
    let title = title.trim();
    (!title.is_empty() && title.len() <= 200).then_some(title)
}

/// The status in a member such as `status` or `code`, be it a number or its digits as text.
pub(super) fn status_member(object: &Map<String, Value>, names: &[&str]) -> Option<u16> {
    names.iter().find_map(|name| {
        let value = object.get(*name)?;
        let number = match value {
            Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        is_refusal(number).then_some(number)
    })
}

/// The status that a text tells in words, near its beginning or its end.
pub(super) fn status_in(text: &str) -> Option<u16> {
    let tail = || (text.len() > NEAR).then(|| status_in_short(super::tail(text, NEAR)));
    status_in_short(super::head(text, NEAR)).or_else(|| tail().flatten())
}

fn status_in_short(text: &str) -> Option<u16> {
    /// What stands before a status; the spaces do not count.
    const MARKS: [&str; 10] = [
        "unexpected status",
        "Error code",
        "status code",
        "status_code",
        "status",
        "Status",
        "HTTP/1.1",
        "HTTP/2",
        "HTTP",
        "\"code\"",
    ];
    if let Some(status) = leading_status(text) {
        return Some(status);
    }
    let squeezed = Squeezed::new(text);
    MARKS
        .iter()
        .filter_map(|mark| {
            let length = mark.bytes().filter(|byte| *byte != b' ').count();
            squeezed
                .places(mark)
                .into_iter()
                .find_map(|place| Some((place, status_at(&squeezed, place + length)?)))
        })
        .min()
        .map(|(_, status)| status)
}

/// Reads a status behind its mark, over the signs that may stand between them.
fn status_at(text: &Squeezed, mut at: usize) -> Option<u16> {
    let mut signs = 0;
    while signs < 8
        && let Some((b':' | b'=' | b'"' | b'\'' | b'\\' | b'(', _)) = text.get(at)
    {
        at += 1;
        signs += 1;
    }
    let mut number = 0;
    for place in at..at + 3 {
        let (digit, gap) = text.get(place)?;
        let apart = matches!(gap, Gap::Blank | Gap::Paragraph);
        if !digit.is_ascii_digit() || (place > at && apart) {
            return None;
        }
        number = number * 10 + u16::from(digit - b'0');
    }
    let ends = text
        .get(at + 3)
        .is_none_or(|(next, gap)| gap != Gap::None || !next.is_ascii_alphanumeric());
    (ends && is_refusal(number)).then_some(number)
}

/// The status at the beginning of a text, as the Node SDK writes it.
fn leading_status(text: &str) -> Option<u16> {
    let word = super::head(text.trim_start(), 8)
        .split_whitespace()
        .next()?;
    let number = (word.len() == 3).then(|| word.parse().ok())??;
    is_refusal(number).then_some(number)
}

fn is_refusal(status: u16) -> bool {
    (400..600).contains(&status)
}
