//! The kinds of captures, their names, and how they are told apart by their beginning.

use std::fmt;
use std::io::{self, Read};

use crate::session::sniff::{Foreign, Kind, foreign, sniff};

/// What another tool left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Lines of `{request,status,body}`.
    Exchanges,
    /// Lines of `{t,kind,n,…}`.
    RequestLog,
    /// The folder that Codex writes below `CODEX_ROLLOUT_TRACE_ROOT`.
    CodexTrace,
    /// The folder that `codex responses-api-proxy --dump-dir` writes.
    ProxyDump,
    /// The text of one or more event streams.
    Sse,
    /// Events as JSON, one a line or in an array.
    Events,
    /// Whole JSON responses.
    Response,
    /// A HAR file.
    Har,
    /// A cassette: vcrpy, VCR for Ruby, httpmock; YAML or JSON.
    Vcr,
    /// Fixtures of aimock.
    Aimock,
}

impl Capture {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Exchanges,
        Self::RequestLog,
        Self::CodexTrace,
        Self::ProxyDump,
        Self::Sse,
        Self::Events,
        Self::Response,
        Self::Har,
        Self::Vcr,
        Self::Aimock,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exchanges => "exchanges",
            Self::RequestLog => "request-log",
            Self::CodexTrace => "codex-trace",
            Self::ProxyDump => "proxy-dump",
            Self::Sse => "sse",
            Self::Events => "events",
            Self::Response => "response",
            Self::Har => "har",
            Self::Vcr => "vcr",
            Self::Aimock => "aimock",
        }
    }

    /// The kind with a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether it is a folder.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::CodexTrace | Self::ProxyDump)
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchanges => "request, status and body",
            Self::RequestLog => "request log",
            Self::CodexTrace => "Codex rollout trace",
            Self::ProxyDump => "dump of the Codex API proxy",
            Self::Sse => "text of an event stream",
            Self::Events => "list of response events",
            Self::Response => "body of a response",
            Self::Har => "HAR file",
            Self::Vcr => "cassette",
            Self::Aimock => "aimock fixtures",
        })
    }
}

/// Says what a file is, by its first bytes; `None` if it is no capture (a recording, a rollout, anything else).
pub fn capture(head: &[u8]) -> Option<Capture> {
    match foreign(head) {
        Some(Foreign::Sse) => return Some(Capture::Sse),
        Some(Foreign::Events) => return Some(Capture::Events),
        Some(Foreign::Response) => return Some(Capture::Response),
        Some(Foreign::Har) => return Some(Capture::Har),
        Some(_) => return None,
        None => {}
    }
    match sniff(head) {
        Kind::Exchanges => return Some(Capture::Exchanges),
        Kind::LabLog => return Some(Capture::RequestLog),
        Kind::Unknown => {}
        _ => return None,
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    if text.starts_with(b"{") {
        return json(text);
    }
    yaml(text).then_some(Capture::Vcr)
}

/// JSON of which only the first key tells.
fn json(text: &[u8]) -> Option<Capture> {
    let dense: Vec<u8> = text
        .iter()
        .take(4096)
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let has = |part: &[u8]| memchr::memmem::find(&dense, part).is_some();
    if has(b"\"fixtures\":[{") {
        return Some(Capture::Aimock);
    }
    if has(b"\"interactions\":[") || has(b"\"http_interactions\":[") {
        return Some(Capture::Vcr);
    }
    // events in envelopes: `{"event":…,"data":…}`
    let enveloped = dense.starts_with(b"{\"event\":\"response.")
        || dense.starts_with(b"{\"data\":{\"type\":\"response.")
        || dense.starts_with(b"{\"data\":{\"sequence_number\":");
    enveloped.then_some(Capture::Events)
}

/// Whether a YAML document begins like a cassette.
fn yaml(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut keys = text
        .lines()
        .filter(|line| !line.starts_with(['#', ' ', '%']) && *line != "---" && !line.is_empty())
        .take(64);
    let begins = |line: &str| {
        ["interactions:", "http_interactions:", "when:", "- request:"]
            .iter()
            .any(|key| line.starts_with(key))
    };
    match keys.next() {
        Some(first) if begins(first) => true,
        Some(first) if first.starts_with("version:") || first.starts_with("recorded_with:") => {
            keys.any(begins)
        }
        _ => false,
    }
}

/// A folder that a capture lies in. Names are relative, parted by `/`.
pub trait Folder {
    /// The names of what lies directly in `below` (empty: in the folder itself); those of folders end in `/`.
    ///
    /// # Errors
    /// If the folder cannot be read.
    fn list(&self, below: &str) -> io::Result<Vec<String>>;

    /// Opens a file. Who calls it has seen to it that the name stays inside the folder; who implements it sees to it that
    /// what the name leads to does.
    ///
    /// # Errors
    /// If there is no such file, or it is outside of the folder.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>>;
}

/// Says what a folder is; `None` if it is no capture. A folder of Codex traces is one too.
///
/// # Errors
/// If the folder cannot be read.
pub fn folder_capture(folder: &dyn Folder) -> io::Result<Option<Capture>> {
    let names = folder.list("")?;
    let has = |names: &[String], name: &str| names.iter().any(|it| it == name);
    if has(&names, "manifest.json") && (has(&names, "trace.jsonl") || has(&names, "payloads/")) {
        return Ok(Some(Capture::CodexTrace));
    }
    if names.iter().any(|name| super::dump::is_request(name)) {
        return Ok(Some(Capture::ProxyDump));
    }
    Ok(None)
}

/// Whether a name stays inside the folder it is relative to.
pub(super) fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', ':', '\0'])
        && name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_told_by_their_beginning() {
        for (head, is) in [
            ("event: response.created\ndata: {}", Some(Capture::Sse)),
            (": hello\n\ndata: {}", Some(Capture::Sse)),
            (r#"{"type":"response.created"}"#, Some(Capture::Events)),
            (r#"[ {"type":"response.created"}"#, Some(Capture::Events)),
            (
                r#"{"event":"response.created","data":{}}"#,
                Some(Capture::Events),
            ),
            (r#"{"id":"r","object":"response"}"#, Some(Capture::Response)),
            (r#"{"log":{"version":"1.2","#, Some(Capture::Har)),
            ("interactions:\n- request:", Some(Capture::Vcr)),
            ("---\nhttp_interactions:\n- request:", Some(Capture::Vcr)),
            ("version: 1\ninteractions:\n", Some(Capture::Vcr)),
            ("when:\n  path: /v1\n", Some(Capture::Vcr)),
            (
                "{\n \"version\": 1,\n \"interactions\": [\n",
                Some(Capture::Vcr),
            ),
            ("{\n  \"fixtures\": [\n {", Some(Capture::Aimock)),
            (
                r#"{"request":{"input":[]},"status":200}"#,
                Some(Capture::Exchanges),
            ),
            (
                r#"{"t":1,"kind":"request","n":1}"#,
                Some(Capture::RequestLog),
            ),
            (r#"{"kind":"session","format":1}"#, None),
            (r#"{"type":"thread.started","thread_id":"x"}"#, None),
            (r#"{"ts":"x","dir":"meta","kind":"session_start"}"#, None),
            (r#"{"id":"0","msg":{"type":"x"}}"#, None),
            (r#"{"error":{"message":"m"}}"#, None),
            (r#"{"model":"m","input":[]}"#, None),
            ("name: ci\non: push\n", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(capture(head.as_bytes()), is, "{head}");
        }
        for kind in Capture::ALL {
            assert_eq!(Capture::by_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn names_that_lead_out_are_known() {
        assert!(stays_inside("payloads/1.json"));
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "C:x",
            "a\\b",
            "./a",
            "a/",
        ] {
            assert!(!stays_inside(name), "{name}");
        }
    }
}
