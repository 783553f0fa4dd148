//! Bodies out of sequences of items.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::session::Session;
use crate::session::kept::{Body, Changes, Kept};
use crate::strategy::live::MadeUp;
use crate::strategy::outgoing::{Outbox, Outgoing, Piece};
use crate::strategy::{Origin, Strategy};
use crate::wire::aborted;
use crate::wire::item::{Author, Flags, Item, ItemHead, ItemKind};
use crate::wire::raw::{Object, push_string};

use super::follow::Follow;

/// Puts bodies together.
#[derive(Debug)]
pub struct Composer<'a> {
    kept: &'a Kept,
    outbox: &'a Outbox,
    /// Where the exchanges stand in the recording, by their number.
    places: BTreeMap<u32, usize>,
    is_rollout: bool,
    strategy: Strategy,
    model: Option<&'a str>,
    probe: &'a str,
}

/// A body that can be sent.
#[derive(Clone, Debug, Default)]
pub struct Composed {
    /// Its JSON.
    pub text: String,
    /// Headers of the conversation.
    pub headers: Vec<(String, String)>,
    /// Whether it is the recorded body, byte for byte.
    pub exact: bool,
    /// Whether it is the recorded body but for its model.
    pub other_model: bool,
    /// How many items its `input` has.
    pub input_items: u32,
    /// Outputs that were made up.
    pub injected: Vec<MadeUp>,
    /// Items that were left out.
    pub left_out: u32,
}

/// An output that answers a refusal.
pub type Answer = (String, ItemKind);

impl<'a> Composer<'a> {
    /// A composer for the requests of `outbox`, whose texts are in `kept`.
    pub fn new(
        session: &Session,
        kept: &'a Kept,
        outbox: &'a Outbox,
        strategy: Strategy,
        model: Option<&'a str>,
        probe: &'a str,
    ) -> Self {
        let places = match session {
            Session::Recording(recording) => recording
                .exchanges
                .iter()
                .enumerate()
                .map(|(at, exchange)| (exchange.number, at))
                .collect(),
            Session::Rollout(_) => BTreeMap::new(),
        };
        Self {
            kept,
            outbox,
            places,
            is_rollout: matches!(session, Session::Rollout(_)),
            strategy,
            model,
            probe,
        }
    }

    /// The recorded body that a request goes by: its own; for a probe that of its lane's last request.
    pub fn body_of(&self, one: &Outgoing) -> Option<&'a Body> {
        let number = one.exchange.or_else(|| {
            let mut all = self.outbox.all.iter().rev();
            all.find(|other| other.lane == one.lane && other.exchange.is_some())?
                .exchange
        })?;
        self.kept.of_exchange(*self.places.get(&number)?)
    }

    /// Where a recorded request stands among the exchanges.
    pub fn place_of(&self, one: &Outgoing) -> Option<usize> {
        self.places.get(&one.exchange?).copied()
    }

    /// Whether a request names a model: its own, or the one that replaces it.
    pub fn has_model(&self, one: &Outgoing) -> bool {
        self.model.is_some() || self.body_of(one).is_some_and(|body| body.has("model"))
    }

    /// Whether a request only opens a connection (`generate: false`).
    pub fn is_warm_up(&self, one: &Outgoing) -> bool {
        self.body_of(one)
            .is_some_and(|body| body.get("generate") == Some("false"))
    }

    /// Puts the body of a request together, with `answers` in front of its own input. With `follow` the endpoint's own
    /// answers take the place of the recorded ones.
    ///
    /// # Errors
    /// A sentence that says why it cannot be sent.
    pub fn compose(
        &self,
        one: &Outgoing,
        answers: &[Answer],
        follow: Option<&Follow>,
        websocket: bool,
    ) -> Result<Composed, String> {
        let chained = one.previous.is_some() || one.conversation;
        let live_previous = match (follow, one.previous) {
            (Some(follow), Some(key)) if !one.whole_history => Some(
                follow
                    .response(key)
                    .ok_or("the response it goes on from was not answered here")?,
            ),
            _ => None,
        };
        if one.unknown && live_previous.is_none() {
            return Err(
                "it goes on from a response, conversation or item that this session does not hold"
                    .to_owned(),
            );
        }
        let (pieces, held) = one.pieces(&self.outbox.tree);
        let stored = |piece: &Piece| match piece {
            Piece::Item(index) => self
                .outbox
                .items
                .get(*index)
                .is_some_and(|item| item.flags.has(Flags::NAMES_STORED)),
            Piece::Made(_) => false,
        };
        let empty = Body::default();
        let body = self.body_of(one).unwrap_or(&empty);
        let rebuilt = self.is_rollout
            || chained
            || one.whole_history
            || one.origin == Origin::Probe
            || follow.is_some()
            || !one.edits.is_empty()
            || !answers.is_empty()
            || pieces.iter().any(stored);
        let from = if live_previous.is_some() { held } else { 0 };
        let mut texts: Vec<Cow<'_, str>> = Vec::with_capacity(pieces.len());
        let mut injected = Vec::new();
        let mut left_out = one.edits.removed.len() as u32;
        let mut cursor = follow.map(Follow::cursor);
        for at in from..=pieces.len() {
            if at == held {
                for (call_id, kind) in answers {
                    if let Some(text) = aborted::output(*kind, call_id) {
                        injected.push(MadeUp::new(call_id, *kind, texts.len()));
                        texts.push(Cow::Owned(text));
                    }
                }
            }
            match pieces.get(at) {
                None => {}
                Some(Piece::Made(insert)) => {
                    let recorded = self.outbox.items.call_id(insert.call);
                    let call_id = follow
                        .and_then(|it| it.call(insert.call))
                        .unwrap_or(recorded);
                    if let Some(text) = self.made(insert.kind, call_id) {
                        injected.push(MadeUp::new(call_id, insert.kind, texts.len()));
                        texts.push(Cow::Owned(text));
                    }
                }
                Some(Piece::Item(index)) => {
                    let Some(item) = self.outbox.items.get(*index) else {
                        // the message of a probe stands in no file
                        texts.push(Cow::Owned(self.probe_message()));
                        continue;
                    };
                    let Some(raw) = self.kept.text(*index) else {
                        if item.line == 0 {
                            texts.push(Cow::Owned(self.probe_message()));
                            continue;
                        }
                        return Err("the text of one of its items is not on file".to_owned());
                    };
                    if let (Some(follow), Some(cursor)) = (follow, &mut cursor)
                        && let Some(now) = follow.item(cursor, *index, item, raw)
                    {
                        texts.extend(now.into_iter().map(Cow::Owned));
                        continue;
                    }
                    if !rebuilt {
                        texts.push(Cow::Borrowed(raw));
                        continue;
                    }
                    match portable(item, raw, self.is_rollout) {
                        Some(text) => texts.push(text),
                        None => left_out += 1,
                    }
                }
            }
        }
        let changes = self.changes(body, live_previous, chained || one.whole_history, websocket);
        let input_items = texts.len() as u32;
        let whole = body
            .whole
            .as_deref()
            .filter(|_| !rebuilt && changes.set.is_empty() && changes.drop.is_empty());
        let text = match whole {
            Some(whole) => whole.to_owned(),
            None => body.text(texts.iter().map(AsRef::as_ref), &changes),
        };
        let as_recorded = !rebuilt && one.origin == Origin::Recorded && changes.drop.is_empty();
        Ok(Composed {
            exact: as_recorded && changes.set.is_empty(),
            other_model: as_recorded && matches!(changes.set.as_slice(), [("model", _)]),
            headers: body.headers.clone(),
            text,
            input_items,
            injected,
            left_out,
        })
    }

    fn changes(
        &self,
        body: &Body,
        previous: Option<&str>,
        chained: bool,
        websocket: bool,
    ) -> Changes<'static> {
        let mut changes = Changes::default();
        let mut set = |key: &'static str, value: String| changes.set.push((key, value));
        if let Some(model) = self.model {
            set("model", quoted(model));
        }
        match previous {
            Some(id) => set("previous_response_id", quoted(id)),
            None if chained => changes
                .drop
                .extend(["previous_response_id", "conversation"]),
            // a `null` that the client sent goes out as it was
            None => {}
        }
        let mut set = |key: &'static str, value: String| changes.set.push((key, value));
        let is_frame = body.has("type");
        if websocket && !is_frame {
            set("type", quoted("response.create"));
            changes.drop.extend(["stream", "background"]);
        } else if !websocket && is_frame {
            set("stream", "true".to_owned());
            changes.drop.extend(["type", "generate", "stream_id"]);
        }
        if self.is_rollout {
            // nothing of these is on disk: what a client like this sends
            let mut set =
                |key: &'static str, value: &str| changes.set.push((key, value.to_owned()));
            set("store", "false");
            if websocket {
                set("type", "\"response.create\"");
            } else {
                set("stream", "true");
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        changes.set.retain(|(key, _)| {
            let fresh = !seen.contains(key);
            seen.push(key);
            fresh
        });
        changes.drop.retain(|key| body.has(key));
        changes
    }

    fn made(&self, kind: ItemKind, call_id: &str) -> Option<String> {
        if self.strategy == Strategy::PendingAborts {
            return aborted::typescript_output(call_id);
        }
        aborted::output(kind, call_id)
    }

    fn probe_message(&self) -> String {
        crate::wire::request::user_message(self.probe)
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_string(&mut out, text);
    out
}

/// An item as another server than the one that made it can read it; `None` if only that one knows what it stands for.
///
/// Ids of messages, calls and outputs are dropped: an id that the server did not give out is one it may look up. Of items
/// from a rollout also the members that only the client's file has.
pub(super) fn portable<'t>(item: &Item, raw: &'t str, from_rollout: bool) -> Option<Cow<'t, str>> {
    let Some(object) = Object::read(raw) else {
        return Some(Cow::Borrowed(raw));
    };
    if item.kind == ItemKind::Reasoning && object.value("encrypted_content").is_none() {
        return None;
    }
    let by_server = item.author == Author::Model;
    let plain = matches!(
        item.kind,
        ItemKind::Message | ItemKind::FunctionCall | ItemKind::CustomToolCall
    ) || item.kind.is_output();
    let drops = |key: &str| match key {
        "id" => plain && (by_server || from_rollout) && item.kind != ItemKind::LocalShellCallOutput,
        "status" => plain && by_server && !item.kind.is_output(),
        "metadata" | "history_sequence" | "sampled_through_sequence" | "ordinal" => from_rollout,
        other => from_rollout && other.starts_with("internal_"),
    };
    let odd_output = from_rollout
        && item.kind.is_output()
        && object
            .object("output")
            .is_some_and(|it| it.get("content").is_some());
    if !odd_output && !object.members().any(|(key, _)| drops(key)) {
        return Some(Cow::Borrowed(raw));
    }
    let mut out = String::from("{");
    for (key, value) in object.members().filter(|(key, _)| !drops(key)) {
        if out.len() > 1 {
            out.push(',');
        }
        push_string(&mut out, key);
        out.push(':');
        let content = (odd_output && key == "output")
            .then(|| object.object("output")?.get("content"))
            .flatten();
        out.push_str(content.unwrap_or(value).get());
    }
    out.push('}');
    Some(Cow::Owned(out))
}

/// The item with another `call_id` (or `approval_request_id`).
pub(super) fn with_call_id(raw: &str, call_id: &str) -> String {
    let Some(object) = Object::read(raw) else {
        return raw.to_owned();
    };
    let mut out = String::from("{");
    for (key, value) in object.members() {
        if out.len() > 1 {
            out.push(',');
        }
        push_string(&mut out, key);
        out.push(':');
        if matches!(key, "call_id" | "approval_request_id") {
            push_string(&mut out, call_id);
        } else {
            out.push_str(value.get());
        }
    }
    out.push('}');
    out
}

/// The kind, name and call id of an item.
pub(super) fn call_of(raw: &str) -> Option<(ItemKind, String, String)> {
    let head: ItemHead<'_> = serde_json::from_str(raw).ok()?;
    let kind = head.item_kind();
    let id = head.call_id.as_deref().or(head.id.as_deref())?;
    kind.is_call().then(|| {
        (
            kind,
            head.name.as_deref().unwrap_or("").to_owned(),
            id.to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::item::Items;

    fn carried(raw: &str, from_rollout: bool) -> Option<String> {
        let head: ItemHead<'_> = serde_json::from_str(raw).unwrap();
        let mut items = Items::default();
        let index = items.add(&head, 1, 0);
        portable(items.get(index).unwrap(), raw, from_rollout).map(Cow::into_owned)
    }

    #[test]
    fn what_only_its_server_knows_is_not_carried() {
        let call = r#"{"id":"fc_1","type":"function_call","status":"completed","call_id":"c","name":"n","arguments":"{}"}"#;
        assert_eq!(
            carried(call, false).unwrap(),
            r#"{"type":"function_call","call_id":"c","name":"n","arguments":"{}"}"#
        );
        assert_eq!(
            carried(r#"{"type":"reasoning","id":"rs_1","summary":[]}"#, false),
            None
        );
        let sealed = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}"#;
        assert_eq!(carried(sealed, false).unwrap(), sealed);
        let user = r#"{"role":"user","content":"hi","id":"mine"}"#;
        assert_eq!(carried(user, false).unwrap(), user);
        let odd = r#"{"type":"function_call_output","call_id":"c","output":{"content":"ok","success":true},"metadata":{}}"#;
        assert_eq!(
            carried(odd, true).unwrap(),
            r#"{"type":"function_call_output","call_id":"c","output":"ok"}"#
        );
    }

    #[test]
    fn a_call_id_is_replaced_where_it_stands() {
        assert_eq!(
            with_call_id(
                r#"{"type":"function_call_output","call_id":"a","output":"a"}"#,
                "b"
            ),
            r#"{"type":"function_call_output","call_id":"b","output":"a"}"#
        );
    }
}
