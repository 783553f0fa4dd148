//! The texts of a session's requests, kept beside it so that they can be sent again.
//!
//! A [`Recording`](super::Recording) holds no text. Whoever sends its requests once more reads it with a [`Kept`]: each
//! different item and each different member of a body is held once, however often a client repeated it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lanes::Headers;
use crate::ids::{self, ItemIndex};
use crate::wire::raw::push_string;
use crate::wire::request::{Input, RequestHead};

/// Texts of items and bodies.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    items: Vec<Arc<str>>,
    /// By the exchange's place in the recording.
    bodies: BTreeMap<usize, Body>,
    /// Values of members, by their hash.
    values: BTreeMap<u64, Arc<str>>,
}

/// A request's body without its input, and what of its headers belongs to the conversation.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// Its members in order; the value of `input` is empty.
    pub members: Vec<(Arc<str>, Arc<str>)>,
    /// Its text, where putting its members together gives another spelling.
    pub whole: Option<Arc<str>>,
    /// Headers that speak of the conversation, not of the hop, the client's place or its credentials.
    pub headers: Vec<(String, String)>,
    /// When the last byte of its answer came, in microseconds since the session line.
    pub end_at_us: Option<u64>,
    /// How many events had come when the client left, if it did.
    pub left_after: Option<u32>,
}

/// What is changed in a body when it is put together again.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// Members that get another value, as JSON; members that are not there are added at the end.
    pub set: Vec<(&'a str, String)>,
    /// Members that are left out.
    pub drop: Vec<&'a str>,
}

impl Kept {
    /// Keeps the text of the next item.
    pub(super) fn item(&mut self, raw: &str) {
        self.items.push(raw.into());
    }

    /// Keeps the body of the exchange at `at`.
    pub(super) fn body(
        &mut self,
        at: usize,
        text: &str,
        head: Option<&RequestHead<'_>>,
        headers: &Headers<'_>,
    ) {
        let mut body = Body {
            headers: headers
                .iter()
                .filter(|(name, value)| speaks_of_conversation(name, value))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Body::default()
        };
        if let Some(head) = head {
            for (key, value) in head.members.members() {
                let value = if key == "input" { "" } else { value.get() };
                let value = self.value(value);
                let key = self.value(key);
                body.members.push((key, value));
            }
            let is_array = matches!(head.input, Input::Items(_) | Input::None);
            let items = head.input.items();
            let texts = items.iter().map(AsRef::as_ref);
            if !is_array || body.text(texts, &Changes::default()) != text {
                body.whole = Some(text.into());
            }
        }
        self.bodies.insert(at, body);
    }

    /// Notes that the client of the exchange at `at` left when `events` events had come.
    pub(super) fn left(&mut self, at: usize, events: u32) {
        if let Some(body) = self.bodies.get_mut(&at) {
            body.left_after.get_or_insert(events);
        }
    }

    /// Notes when the last byte of an answer came.
    pub(super) fn ended(&mut self, at: usize, at_us: u64) {
        if let Some(body) = self.bodies.get_mut(&at) {
            body.end_at_us = Some(at_us);
        }
    }

    fn value(&mut self, text: &str) -> Arc<str> {
        let hash = ids::fingerprint(text.as_bytes());
        Arc::clone(self.values.entry(hash).or_insert_with(|| text.into()))
    }

    /// Keeps the text of an item that another reader found.
    pub fn set(&mut self, item: ItemIndex, raw: &str) {
        let at = item.0 as usize;
        if self.items.len() <= at {
            self.items.resize(at + 1, Arc::from(""));
        }
        if let Some(slot) = self.items.get_mut(at) {
            *slot = raw.into();
        }
    }

    /// The text of an item.
    pub fn text(&self, item: ItemIndex) -> Option<&str> {
        self.items
            .get(item.0 as usize)
            .map(AsRef::as_ref)
            .filter(|text| !text.is_empty())
    }

    /// The body of the exchange at `at`, without its input.
    pub fn of_exchange(&self, at: usize) -> Option<&Body> {
        self.bodies.get(&at)
    }
}

impl Body {
    /// A body of these members, as JSON; `input` need not be among them.
    pub fn of(members: &[(&str, String)]) -> Self {
        let arc = |(key, value): &(&str, String)| (Arc::from(*key), Arc::from(value.as_str()));
        Self {
            members: members.iter().map(arc).collect(),
            ..Self::default()
        }
    }

    /// Whether it has a member.
    pub fn has(&self, key: &str) -> bool {
        self.members.iter().any(|(name, _)| &**name == key)
    }

    /// The value of a member, as JSON.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members
            .iter()
            .rev()
            .find(|(name, _)| &**name == key)
            .map(|(_, value)| &**value)
    }

    /// Puts the body together: its members in order, `input` as an array of `items` where it stood (else at the end).
    pub fn text<'a>(
        &self,
        items: impl Iterator<Item = &'a str> + Clone,
        changes: &Changes<'_>,
    ) -> String {
        let mut out = String::from("{");
        let mut members = self.members.iter();
        let mut seen_input = false;
        for (key, value) in &mut members {
            if changes.drop.contains(&&**key) {
                continue;
            }
            comma(&mut out);
            push_string(&mut out, key);
            out.push(':');
            let new = changes.set.iter().find(|(name, _)| *name == &**key);
            if &**key == "input" {
                seen_input = true;
                push_items(&mut out, items.clone());
            } else if let Some((_, new)) = new {
                out.push_str(new);
            } else {
                out.push_str(value);
            }
        }
        if !seen_input && items.clone().next().is_some() {
            comma(&mut out);
            out.push_str("\"input\":");
            push_items(&mut out, items);
        }
        for (key, value) in &changes.set {
            if !self.has(key) {
                comma(&mut out);
                push_string(&mut out, key);
                out.push(':');
                out.push_str(value);
            }
        }
        out.push('}');
        out
    }
}

fn comma(out: &mut String) {
    if out.len() > 1 {
        out.push(',');
    }
}

fn push_items<'a>(out: &mut String, items: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(item);
    }
    out.push(']');
}

/// Whether a header belongs to the conversation and is the same whoever sends it: features of the protocol, ids of threads.
/// What was hidden is none.
fn speaks_of_conversation(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let known = matches!(
        name.as_str(),
        "openai-beta"
            | "originator"
            | "session_id"
            | "session-id"
            | "thread-id"
            | "conversation_id"
            | "x-client-request-id"
            | "x-openai-subagent"
    ) || name.starts_with("x-codex-");
    known && !value.contains("<redacted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::reader;

    fn kept(body: &str) -> Kept {
        let head = RequestHead::read(body);
        let mut kept = Kept::default();
        let headers = Headers::new([
            ("OpenAI-Beta", "x"),
            ("authorization", "Bearer y"),
            ("session_id", "<redacted:1>"),
        ]);
        kept.body(0, body, head.as_ref(), &headers);
        kept
    }

    #[test]
    fn a_body_comes_back_as_it_was_and_with_changes() {
        let text = r#"{"model":"m","input":[{"a":1.0},{"b":2}],"store":false}"#;
        let kept = kept(text);
        let body = kept.of_exchange(0).unwrap();
        assert!(body.whole.is_none());
        let items = [r#"{"a":1.0}"#, r#"{"b":2}"#];
        assert_eq!(body.text(items.into_iter(), &Changes::default()), text);
        let changes = Changes {
            set: vec![("model", "\"n\"".to_owned()), ("stream", "true".to_owned())],
            drop: vec!["store"],
        };
        assert_eq!(
            body.text(["7"].into_iter(), &changes),
            r#"{"model":"n","input":[7],"stream":true}"#
        );
        assert_eq!(body.headers, [("OpenAI-Beta".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn another_spelling_is_kept_whole() {
        for text in [
            "{\"model\": \"m\", \"input\": []}",
            r#"{"model":"m","input":"say hi"}"#,
            r#"{"input":[1, 2]}"#,
        ] {
            let kept = kept(text);
            let body = kept.of_exchange(0).unwrap();
            assert_eq!(body.whole.as_deref(), Some(text));
        }
        assert_eq!(
            kept(r#"{"previous_response_id":"r"}"#)
                .of_exchange(0)
                .unwrap()
                .whole,
            None
        );
    }

    #[test]
    fn a_recording_keeps_where_its_client_left_and_what_its_items_say() {
        let lines = concat!(
            "{\"kind\":\"session\",\"format\":1}\n",
            "{\"kind\":\"request\",\"exchange\":1,\"at_us\":5,\"body\":{\"input\":[{\"role\":\"user\",\"content\":\"a\"}]}}\n",
            "{\"kind\":\"response\",\"exchange\":1,\"at_us\":6,\"status\":200}\n",
            "{\"kind\":\"chunk\",\"exchange\":1,\"at_us\":7,\"text\":\"data: {\\\"type\\\":\\\"response.created\\\",\\\"response\\\":{\\\"id\\\":\\\"r\\\"}}\\n\\n\"}\n",
            "{\"kind\":\"end\",\"exchange\":1,\"at_us\":9,\"cause\":\"client_closed\"}\n",
        );
        let mut kept = Kept::default();
        let recording = reader::read_kept(lines.as_bytes(), &mut kept).unwrap();
        let body = kept.of_exchange(0).unwrap();
        assert_eq!((body.left_after, body.end_at_us), (Some(1), Some(9)));
        let item = recording.tree.items(recording.exchanges[0].request.input)[0];
        assert_eq!(kept.text(item), Some(r#"{"role":"user","content":"a"}"#));
    }
}
