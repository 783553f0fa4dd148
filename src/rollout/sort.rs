//! What a line is, and what a file is that begins with it.

use super::Era;
use super::line::{Line, PreviousText};
use crate::wire::item::ItemKind;

/// What a line is, as far as its shape tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// `{timestamp,type,payload}`.
    Envelope,
    /// A bare meta line of E1 and E2.
    BareMeta,
    /// A bare item of E1 and E2.
    BareItem,
    /// A state line of E2.
    State,
    /// The document of E0, on one line.
    Document,
    /// A line of another kind of file, by name.
    Foreign(Foreign),
    /// Nothing that is known.
    Unknown,
}

/// Files that lie beside rollouts, or look like them, and are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
}

const fn foreign(what: &'static str, hint: &'static str) -> Sort {
    Sort::Foreign(Foreign { what, hint })
}

impl Line<'_> {
    /// What the line is. Rollout shapes win over those of other files.
    pub(super) fn sort(&self) -> Sort {
        let kind = self.item.head.kind.as_deref();
        if self.has("payload") && kind.is_some() && !self.has("dir") && !self.has("at_us") {
            return Sort::Envelope;
        }
        if self.record_type.is_some() {
            return Sort::State;
        }
        if kind.is_some_and(|kind| ItemKind::from_type(kind) != ItemKind::Other) {
            return Sort::BareItem;
        }
        if self.has("session") {
            return Sort::Document;
        }
        if kind.is_none()
            && self.timestamp.is_some()
            && self.item.head.id.is_some()
            && self.seen == 0
        {
            return Sort::BareMeta;
        }
        self.foreign()
    }

    fn foreign(&self) -> Sort {
        let kind = self.item.head.kind.as_deref();
        if self.has("dir") && self.has("kind") {
            return foreign(
                "a TUI session log",
                "the rollout of the same session lies below $CODEX_HOME/sessions",
            );
        }
        if self.has("kind") && (self.has("format") || self.has("exchange") || self.has("at_us")) {
            return foreign("a recording", "it is read as a session, not as a rollout");
        }
        if kind.is_some_and(|kind| kind.starts_with("response.")) {
            return foreign("a dump of streamed events", "the rollout is another file");
        }
        let exec = kind.is_some_and(|kind| {
            kind.starts_with("thread.") || kind.starts_with("turn.") || kind.starts_with("item.")
        });
        if exec || self.has("msg") || (kind == Some("error") && self.has("message")) {
            return foreign(
                "the event output of codex exec --json",
                "the rollout of the same session lies below $CODEX_HOME/sessions",
            );
        }
        let rpc = (self.has("method") || self.has("result")) && !self.has("kind");
        if self.has("jsonrpc") || rpc {
            return foreign(
                "app-server JSON-RPC",
                "the rollout of the same session lies below $CODEX_HOME/sessions",
            );
        }
        if self.has("ts") && self.has("text") {
            return foreign(
                "the prompt history (history.jsonl)",
                "it holds user prompts only; rollouts lie below $CODEX_HOME/sessions",
            );
        }
        if self.has("thread_name") {
            return foreign(
                "the session index",
                "it holds names only; rollouts lie below $CODEX_HOME/sessions",
            );
        }
        if self.has("model") && self.has("input") {
            return foreign("a request body", "a request is not a rollout");
        }
        Sort::Unknown
    }

    /// The era a line of this sort belongs to.
    pub(super) fn era(&self) -> Option<Era> {
        match self.sort() {
            Sort::Envelope if self.ordinal => Some(Era::E4),
            Sort::Envelope => Some(Era::E3),
            Sort::BareMeta | Sort::BareItem => Some(Era::E1),
            Sort::State => Some(Era::E2),
            Sort::Document => Some(Era::E0),
            Sort::Foreign(_) | Sort::Unknown => None,
        }
    }
}

/// The era that a file beginning with this line belongs to; `None` if it is no rollout.
///
/// E1 files turn out to be E2 when a state line appears; a line `{` alone may begin an E0 document.
pub fn sniff(line: &[u8]) -> Option<Era> {
    let text = String::from_utf8_lossy(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line));
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    if text == "{" {
        return Some(Era::E0);
    }
    Line::read(text).ok().and_then(|line| line.era())
}

/// What one line of a rollout is, by its shape alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{timestamp,type,payload}` (E3, E4); the field whose shape makes Codex skip the line, if there is one.
    Envelope(Option<&'static str>),
    /// A bare meta line (E1, E2).
    Meta,
    /// A bare item (E1, E2); the field whose shape makes Codex skip the line, if there is one.
    Item(Option<&'static str>),
    /// A state line (E2), and whether it names a response.
    State(bool),
    /// Anything else.
    Other,
}

/// The shape of a line that is one JSON value; `None` if it is not.
pub fn shape(text: &str) -> Option<Shape> {
    let line = Line::read(text).ok()?;
    Some(match line.sort() {
        Sort::Envelope => {
            let item = line.item.head.kind.as_deref() == Some("response_item");
            let payload = line.payload.as_ref().filter(|_| item);
            Shape::Envelope(payload.and_then(|payload| payload.item.unreadable_field()))
        }
        Sort::BareMeta => Shape::Meta,
        Sort::BareItem => Shape::Item(line.item.unreadable_field()),
        Sort::State => Shape::State(matches!(line.previous, PreviousText::Response(_))),
        Sort::Foreign(_) | Sort::Unknown if line.item.head.role.is_some() => Shape::Item(None),
        Sort::Document | Sort::Foreign(_) | Sort::Unknown => Shape::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_the_era() {
        let era = |line: &str| sniff(line.as_bytes());
        assert_eq!(era("{"), Some(Era::E0));
        assert_eq!(era(r#"{"session":{"id":"a"},"items":[]}"#), Some(Era::E0));
        assert_eq!(
            era(r#"{"id":"a","timestamp":"t","instructions":null,"git":{}}"#),
            Some(Era::E1)
        );
        assert_eq!(
            era(r#"{"type":"message","role":"user","content":[]}"#),
            Some(Era::E1)
        );
        assert_eq!(era(r#"{"record_type":"state"}"#), Some(Era::E2));
        assert_eq!(
            era(r#"{"payload":{"id":"a"},"timestamp":"t","type":"session_meta"}"#),
            Some(Era::E3)
        );
        assert_eq!(
            era(
                "\u{feff}{\"timestamp\":\"t\",\"ordinal\":0,\"type\":\"session_meta\",\"payload\":{}}"
            ),
            Some(Era::E4)
        );
        assert_eq!(era("not json"), None);
        assert_eq!(era("[1]"), None);
    }

    #[test]
    fn files_that_are_no_rollouts_are_told_by_name() {
        let what = |line: &str| match Line::read(line).unwrap().sort() {
            Sort::Foreign(foreign) => foreign.what,
            other => panic!("{line}: {other:?}"),
        };
        for (line, name) in [
            (
                r#"{"ts":"t","dir":"meta","kind":"session_start","payload":{"type":"x"}}"#,
                "TUI",
            ),
            (r#"{"type":"thread.started","thread_id":"t"}"#, "exec"),
            (r#"{"id":"0","msg":{"type":"task_started"}}"#, "exec"),
            (r#"{"type":"error","message":"m","code":"c"}"#, "exec"),
            (r#"{"session_id":"s","ts":1,"text":"hi"}"#, "history"),
            (r#"{"id":"s","thread_name":"n","updated_at":"t"}"#, "index"),
            (r#"{"id":1,"method":"initialize","params":{}}"#, "JSON-RPC"),
            (r#"{"id":1,"result":{}}"#, "JSON-RPC"),
            (r#"{"kind":"session","format":1,"id":"x"}"#, "recording"),
            (r#"{"model":"m","input":[]}"#, "request"),
            (r#"{"type":"response.created","response":{}}"#, "streamed"),
        ] {
            assert!(what(line).contains(name), "{line}: {}", what(line));
        }
        assert_eq!(Line::read("{\"a\":1}").unwrap().sort(), Sort::Unknown);
    }
}
