//! What a file is, by its beginning.
//!
//! Works on a head that ends anywhere, inside a megabyte of instructions too: only the keys of the first object are
//! looked at, with as much of their values as is there.

use std::fmt;

use crate::events::{self, Source};

/// The kinds of sessions that are no rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Format 1.
    Recording,
    /// A request log: lines of `{t,kind,n,…}`.
    LabLog,
    /// Lines of `{request,status,body}`.
    Exchanges,
    /// One request body.
    RequestBody,
    /// One array of items.
    ItemArray,
    /// A client's event log.
    EventLog(Source),
    /// None of these.
    Unknown,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recording => "a recording",
            Self::LabLog => "a request log",
            Self::Exchanges => "a file of `{request,status,body}` lines",
            Self::RequestBody => "a request body",
            Self::ItemArray => "an array of items",
            Self::EventLog(source) => source.words(),
            Self::Unknown => "nothing this program knows",
        })
    }
}

/// Files that are no session, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the display says it")]
pub enum Foreign {
    Sse,
    Har,
    Events,
    Response,
    ErrorBody,
    ChatRequest,
    ExecEvents,
    ProtoEvents,
    TuiLog,
    Rollout,
    Compressed,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sse => "the text of an event stream",
            Self::Har => "a HAR file",
            Self::Events => "a list of response events",
            Self::Response => "the body of a response",
            Self::ErrorBody => "the body of a refusal",
            Self::ChatRequest => "a body for the chat completions API",
            Self::ExecEvents => "the events of `codex exec --json`",
            Self::ProtoEvents => "the events of `codex proto`",
            Self::TuiLog => "a log of the Codex terminal interface",
            Self::Rollout => "a Codex rollout",
            Self::Compressed => "a compressed file",
        })
    }
}

/// The kinds of lines of a recording.
const LINES: [&str; 13] = [
    "session",
    "request",
    "response",
    "chunk",
    "client_closed",
    "end",
    "connection",
    "frame",
    "connection_end",
    "rollout_file",
    "rollout",
    "client_event",
    "gap",
];

/// Members that, with a `model`, only requests to the Responses API have.
const REQUEST_MEMBERS: [&str; 9] = [
    "instructions",
    "previous_response_id",
    "conversation",
    "store",
    "include",
    "reasoning",
    "tools",
    "parallel_tool_calls",
    "prompt_cache_key",
];

/// Says what a session file is, by its first bytes (some kilobytes are enough).
pub fn sniff(head: &[u8]) -> Kind {
    let text = begin(head);
    if let Some(source) = events::sniff(head) {
        return Kind::EventLog(source);
    }
    if foreign(head).is_some() {
        return Kind::Unknown;
    }
    if let Some(inner) = text.strip_prefix(b"[") {
        let inner = inner.trim_ascii_start();
        let element = Keys::read(inner);
        let items = matches!(inner.first(), None | Some(b']'))
            || ["type", "role", "call_id"]
                .iter()
                .any(|key| element.has(key));
        return if items {
            Kind::ItemArray
        } else {
            Kind::Unknown
        };
    }
    let keys = Keys::read(text);
    if let Some(kind) = keys.text("kind") {
        if keys.has("t") && !keys.has("exchange") {
            return Kind::LabLog;
        }
        let known = LINES.contains(&kind.as_str());
        let torn = !keys.whole && LINES.iter().any(|line| line.starts_with(&kind));
        let first = keys.keys.first().is_some_and(|(key, _)| key == "kind");
        return if first && (known || torn) {
            Kind::Recording
        } else {
            Kind::Unknown
        };
    }
    if keys.has("request") && (keys.has("body") || keys.has("status") || !keys.whole) {
        return Kind::Exchanges;
    }
    let typed = keys.text("type");
    if typed.as_deref() == Some("response.create")
        || keys.has("input") && matches!(typed.as_deref(), None | Some("response.create"))
        || keys.has("model") && REQUEST_MEMBERS.iter().any(|key| keys.has(key))
    {
        return Kind::RequestBody;
    }
    Kind::Unknown
}

/// Names a file that is no session, by its first bytes.
pub fn foreign(head: &[u8]) -> Option<Foreign> {
    let text = begin(head);
    if text.starts_with(b"\x28\xb5\x2f\xfd") || text.starts_with(b"\x1f\x8b") {
        return Some(Foreign::Compressed);
    }
    for field in [&b"event:"[..], b"data:", b"id:", b"retry:", b": ", b":\n"] {
        if text.starts_with(field) {
            return Some(Foreign::Sse);
        }
    }
    let array = text.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    let mut keys = Keys::read(array.unwrap_or(text));
    let mut typed = keys.text("type").unwrap_or_default();
    // `codex exec --json` can begin with an error of its own; the next event tells
    let after = text.iter().position(|&byte| byte == b'\n');
    let next = after.map(|at| Keys::read(text.get(at..).unwrap_or_default().trim_ascii_start()));
    if typed == "error"
        && let Some(next) = next.filter(|next| next.has("type"))
    {
        typed = next.text("type").unwrap_or_default();
        keys = next;
    }
    let object = keys.text("object");
    if keys.has("log") && keys.value("log").is_some_and(|it| it.starts_with(b"{")) {
        return Some(Foreign::Har);
    }
    if object.as_deref() == Some("response") {
        return Some(Foreign::Response);
    }
    if keys.has("messages") && !keys.has("input") {
        return Some(Foreign::ChatRequest);
    }
    if typed == "error" || keys.has("error") && !keys.has("input") && !keys.has("request") {
        return Some(Foreign::ErrorBody);
    }
    if typed.starts_with("response.") && typed != "response.create" && typed != "response.processed"
    {
        return Some(Foreign::Events);
    }
    if ["thread.", "turn.", "item."]
        .iter()
        .any(|it| typed.starts_with(it))
    {
        return Some(Foreign::ExecEvents);
    }
    if keys.has("msg") && (keys.has("id") || keys.has("conversationId")) {
        return Some(Foreign::ProtoEvents);
    }
    if keys.has("ts") && keys.has("dir") {
        return Some(Foreign::TuiLog);
    }
    let line = [
        "session_meta",
        "response_item",
        "event_msg",
        "turn_context",
        "compacted",
    ];
    let envelope = line.contains(&typed.as_str())
        || keys.has("payload") && (keys.has("timestamp") || keys.has("ordinal"));
    let early = keys.has("record_type")
        || keys.has("id") && keys.has("timestamp") && keys.has("instructions");
    let first = keys.has("session") && (keys.has("items") || !keys.whole) && !keys.has("kind");
    (envelope || early || first).then_some(Foreign::Rollout)
}

fn begin(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start()
}

/// The keys of an object that may end anywhere, each with what is there of its value.
struct Keys<'a> {
    keys: Vec<(String, &'a [u8])>,
    whole: bool,
}

impl<'a> Keys<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut keys = Self {
            keys: Vec::new(),
            whole: false,
        };
        let Some(mut rest) = text.strip_prefix(b"{") else {
            return keys;
        };
        loop {
            rest = skip(rest);
            if rest.first() == Some(&b'}') {
                keys.whole = true;
                return keys;
            }
            let Some((key, behind)) = quoted(rest) else {
                return keys;
            };
            let Some(value) = skip(behind).strip_prefix(b":") else {
                return keys;
            };
            let value = skip(value);
            let length = value_length(value);
            let (value, behind) = value.split_at(length.min(value.len()));
            keys.keys.push((key, value));
            rest = skip(behind);
            match rest.first() {
                Some(b',') => rest = rest.get(1..).unwrap_or(&[]),
                Some(b'}') => {}
                _ => return keys,
            }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.keys
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| *value)
    }

    /// The text of a string value, or what is there of it.
    fn text(&self, key: &str) -> Option<String> {
        let inner = self.value(key)?.strip_prefix(b"\"")?;
        let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
        Some(String::from_utf8_lossy(inner).into_owned())
    }
}

fn skip(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

fn quoted(text: &[u8]) -> Option<(String, &[u8])> {
    let length = string_length(text.strip_prefix(b"\"").map(|_| text)?)?;
    let (token, behind) = text.split_at(length);
    let inner = token.get(1..length - 1)?;
    Some((String::from_utf8_lossy(inner).into_owned(), behind))
}

/// The length of the string token that `text` begins with; `None` if it is not closed.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The length of the value that `text` begins with, or of what is there of it.
fn value_length(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let Some(length) = text.get(at..).and_then(string_length) else {
                    return text.len();
                };
                at += length;
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_beginning() {
        for (head, kind) in [
            (r#"{"kind":"session","format":1}"#, Kind::Recording),
            (r#"{"kind":"ses"#, Kind::Recording),
            (
                r#"{"kind":"chunk","exchange":1,"at_us":0,"text":""}"#,
                Kind::Recording,
            ),
            (r#"{"t": 0.1, "kind": "request", "n": 1}"#, Kind::LabLog),
            (
                r#"{"method":"POST","path":"/v1","request":"{\"input\":1}","status":200"#,
                Kind::Exchanges,
            ),
            (r#"{"request":{"input":[]},"#, Kind::Exchanges),
            (r#"{"model":"m","input":[{"type":"x"#, Kind::RequestBody),
            (
                r#"{"model":"m","instructions":"long \" tex"#,
                Kind::RequestBody,
            ),
            (
                r#"{"type":"response.create","model":"m"}"#,
                Kind::RequestBody,
            ),
            ("\u{feff} [ {\"role\":\"user\"}]", Kind::ItemArray),
            ("[]", Kind::ItemArray),
            (
                r#"{"type":"thread.started"}"#,
                Kind::EventLog(Source::ExecJson),
            ),
            (
                r#"{"id":"0","msg":{"type":"x"}}"#,
                Kind::EventLog(Source::Proto),
            ),
            (
                r#"{"ts":"x","dir":"meta","kind":"session_start"}"#,
                Kind::EventLog(Source::TuiLog),
            ),
            (
                r#"{"id":0,"method":"initialize","params":{}}"#,
                Kind::EventLog(Source::AppServer),
            ),
            (
                r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#,
                Kind::EventLog(Source::Mcp),
            ),
            ("[1,2]", Kind::Unknown),
            ("hello", Kind::Unknown),
            ("", Kind::Unknown),
            ("{", Kind::Unknown),
        ] {
            assert_eq!(sniff(head.as_bytes()), kind, "{head}");
        }
    }

    #[test]
    fn what_is_no_session_is_named() {
        for (head, name) in [
            ("event: response.created\ndata: {}", Foreign::Sse),
            (": keep-alive\n\n", Foreign::Sse),
            (r#"{"log":{"version":"1.2"#, Foreign::Har),
            (
                r#"{"type":"response.created","response":{"#,
                Foreign::Events,
            ),
            (r#"[{"type":"response.created"}]"#, Foreign::Events),
            (
                r#"{"id":"r","object":"response","output":[]}"#,
                Foreign::Response,
            ),
            (r#"{"error":{"message":"m"}}"#, Foreign::ErrorBody),
            (r#"{"model":"m","messages":[]}"#, Foreign::ChatRequest),
            (
                r#"{"timestamp":"x","type":"session_meta","payload":{"#,
                Foreign::Rollout,
            ),
            (
                r#"{"id":"x","timestamp":"y","instructions":null}"#,
                Foreign::Rollout,
            ),
            ("\u{1f}\u{8b}", Foreign::Compressed),
        ] {
            let head = if name == Foreign::Compressed {
                &b"\x1f\x8b"[..]
            } else {
                head.as_bytes()
            };
            assert_eq!(foreign(head), Some(name));
            assert_eq!(sniff(head), Kind::Unknown);
        }
    }
}
