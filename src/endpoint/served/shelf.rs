//! What can be fetched again: response objects and conversations, and lists cut into pages.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::session::tree::Node;

/// How many responses are kept; older ones can still be gone on from.
const RESPONSES: usize = 10_000;
/// How many bytes of response objects are kept: 256 MiB.
const BYTES: usize = 256 << 20;

/// A response that was stored.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its object.
    pub object: Bytes,
    /// What it was made from: what the server held, then the input.
    pub context: Node,
}

/// The responses, newest last.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    kept: BTreeMap<String, Kept>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Shelf {
    /// Keeps a response; the oldest ones are let go.
    pub fn put(&mut self, id: String, kept: Kept) {
        self.bytes += kept.object.len();
        if let Some(before) = self.kept.insert(id.clone(), kept) {
            self.bytes -= before.object.len();
        } else {
            self.order.push_back(id);
        }
        while self.order.len() > RESPONSES || (self.bytes > BYTES && self.order.len() > 1) {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(gone) = self.kept.remove(&oldest) {
                self.bytes -= gone.object.len();
            }
        }
    }

    /// A response.
    pub fn get(&self, id: &str) -> Option<&Kept> {
        self.kept.get(id)
    }

    /// Takes a response away; returns whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(gone) = self.kept.remove(id) else {
            return false;
        };
        self.bytes -= gone.object.len();
        self.order.retain(|it| it != id);
        true
    }
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// When it was made, in seconds.
    pub created_at: u64,
    /// Its `metadata`.
    pub metadata: Value,
}

impl Conversation {
    /// Its object.
    pub fn object(&self, id: &str) -> Value {
        json!({"id": id, "object": "conversation", "created_at": self.created_at, "metadata": self.metadata})
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many, 1 to 100.
    pub limit: usize,
    /// Behind the item with this id.
    pub after: Option<String>,
    /// Oldest first.
    pub ascending: bool,
}

impl Page {
    /// Reads it off a query: `limit`, `after`, `order`.
    ///
    /// # Errors
    /// The parameter and the value that is not possible.
    pub fn read(query: &str) -> Result<Self, (&'static str, String)> {
        let mut page = Self {
            limit: 20,
            after: None,
            ascending: false,
        };
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "limit" => {
                    let limit = value.parse().ok().filter(|it| (1..=100).contains(it));
                    page.limit = limit.ok_or(("limit", value.to_owned()))?;
                }
                "after" if !value.is_empty() => page.after = Some(value.to_owned()),
                "order" => match value {
                    "asc" => page.ascending = true,
                    "desc" => page.ascending = false,
                    _ => return Err(("order", value.to_owned())),
                },
                _ => {}
            }
        }
        Ok(page)
    }

    /// The list object of the items, which come oldest first.
    pub fn list(&self, mut items: Vec<Map<String, Value>>) -> Value {
        if !self.ascending {
            items.reverse();
        }
        let id = |item: &Map<String, Value>| item.get("id").cloned().unwrap_or(Value::Null);
        let start = self.after.as_ref().map_or(0, |after| {
            let place = items.iter().position(|it| id(it) == after.as_str());
            place.map_or(items.len(), |place| place + 1)
        });
        let mut shown = items.split_off(start);
        let more = shown.len() > self.limit;
        shown.truncate(self.limit);
        json!({
            "object": "list",
            "first_id": shown.first().map_or(Value::Null, id),
            "last_id": shown.last().map_or(Value::Null, id),
            "has_more": more,
            "data": shown,
        })
    }
}

/// An item as lists show it: with an id, a type, a status, its content in parts.
pub fn shown(raw: &str, position: usize) -> Map<String, Value> {
    let Ok(Value::Object(mut item)) = serde_json::from_str(raw) else {
        return Map::new();
    };
    let kind = item.get("type").and_then(Value::as_str);
    let kind = kind.unwrap_or("message").to_owned();
    item.entry("type").or_insert_with(|| kind.as_str().into());
    let print = crate::ids::fingerprint(raw.as_bytes());
    item.entry("id").or_insert_with(|| {
        let prefix = super::answer::id_prefix(&kind);
        format!("{prefix}{print:016x}{position:08x}").into()
    });
    if kind == "message" {
        item.entry("status").or_insert_with(|| "completed".into());
        let role = item.get("role").and_then(Value::as_str);
        let part = if role == Some("assistant") {
            "output_text"
        } else {
            "input_text"
        };
        if let Some(Value::String(text)) = item.get("content").cloned() {
            let mut content = json!({"type": part, "text": text});
            if part == "output_text"
                && let Some(content) = content.as_object_mut()
            {
                content.insert("annotations".into(), json!([]));
            }
            item.insert("content".into(), json!([content]));
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Map<String, Value>> {
        (0..5)
            .map(|n| {
                shown(
                    &format!(r#"{{"id":"i{n}","role":"user","content":"x"}}"#),
                    n,
                )
            })
            .collect()
    }

    fn ids(list: &Value) -> Vec<&str> {
        let data = list["data"].as_array().unwrap();
        data.iter().map(|it| it["id"].as_str().unwrap()).collect()
    }

    #[test]
    fn pages_follow_each_other() {
        let first = Page::read("limit=2").unwrap().list(items());
        assert_eq!(ids(&first), ["i4", "i3"]);
        assert_eq!(first["has_more"], true);
        let next = Page::read("limit=2&after=i3").unwrap().list(items());
        assert_eq!(ids(&next), ["i2", "i1"]);
        let last = Page::read("limit=3&after=i1&order=asc")
            .unwrap()
            .list(items());
        assert_eq!(ids(&last), ["i2", "i3", "i4"]);
        assert_eq!(
            (&last["has_more"], &last["first_id"]),
            (&json!(false), &json!("i2"))
        );
        let none = Page::read("after=unknown").unwrap().list(items());
        assert!(ids(&none).is_empty() && none["last_id"].is_null());
        assert_eq!(Page::read("limit=0"), Err(("limit", "0".to_owned())));
        assert_eq!(Page::read("order=up"), Err(("order", "up".to_owned())));
    }

    #[test]
    fn plain_messages_are_shown_in_parts() {
        let item = shown(r#"{"role":"user","content":"hi"}"#, 0);
        assert_eq!(item["content"][0]["type"], "input_text");
        assert!(item["id"].as_str().unwrap().starts_with("msg_"));
    }

    #[test]
    fn the_oldest_responses_go_first() {
        let mut shelf = Shelf::default();
        for n in 0..RESPONSES + 2 {
            let kept = Kept {
                object: Bytes::from_static(b"{}"),
                context: Node::ROOT,
            };
            shelf.put(format!("resp_{n}"), kept);
        }
        assert!(shelf.get("resp_1").is_none() && shelf.get("resp_2").is_some());
        assert!(shelf.remove("resp_2") && !shelf.remove("resp_2"));
    }
}
