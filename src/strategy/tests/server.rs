//! A server that is written down once more: a list for everything it holds, in one hidden world.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::tests::naive;
use crate::contract::{Stored, World};
use crate::wire::refusal::RefusalKind;

/// The server in its hidden world.
pub(super) struct Server {
    pub(super) world: World,
    /// `None`: given out, not stored.
    pub(super) responses: BTreeMap<String, Option<Vec<Value>>>,
    pub(super) items: BTreeMap<String, Value>,
    pub(super) conversation: Vec<Value>,
    pub(super) latest: Option<String>,
    pub(super) sockets: bool,
}

/// What a request means to the server.
pub(super) struct Context {
    pub(super) items: Vec<Value>,
    pub(super) held: usize,
    pub(super) not_found: Option<(RefusalKind, String)>,
}

impl Server {
    /// A continuation on a connection that ends in 4xx or 5xx takes the id with it.
    pub(super) fn evict(&mut self, body: &Value) {
        if self.sockets
            && let Some(previous) = body["previous_response_id"].as_str()
        {
            self.responses.insert(previous.to_owned(), None);
        }
    }

    pub(super) fn context(&self, body: &Value) -> Context {
        let mut items = Vec::new();
        let mut not_found = None;
        if let Some(previous) = body["previous_response_id"].as_str() {
            if let Some(Some(kept)) = self.responses.get(previous) {
                items.clone_from(kept);
            } else {
                let message = format!("Previous response with id '{previous}' not found.");
                not_found = Some((RefusalKind::PreviousResponseNotFound, message));
            }
        } else if body["conversation"].is_string() {
            items.clone_from(&self.conversation);
        }
        let held = items.len();
        for item in body["input"].as_array().unwrap() {
            if naive::kind(item) != "item_reference" {
                items.push(item.clone());
                continue;
            }
            let id = item["id"].as_str().unwrap();
            if let Some(known) = self.items.get(id) {
                items.push(known.clone());
            } else {
                items.push(item.clone());
                let message = format!("Item with id '{id}' not found.");
                not_found = not_found.or(Some((RefusalKind::ItemNotFound, message)));
            }
        }
        Context {
            items,
            held,
            not_found,
        }
    }

    pub(super) fn answered(
        &mut self,
        id: &str,
        body: &Value,
        context: Vec<Value>,
        [done, half]: [&[Value]; 2],
        complete: bool,
    ) {
        let keeps = complete || self.world.stored() != Stored::Nothing;
        let half = if !complete && self.world.stored() == Stored::All {
            half
        } else {
            &[]
        };
        let store = body["store"] != false;
        let made = || done.iter().chain(half).cloned();
        let after: Vec<Value> = context.into_iter().chain(made()).collect();
        let remembered = keeps && (store || self.sockets);
        self.responses
            .insert(id.to_owned(), remembered.then(|| after.clone()));
        if body["conversation"].is_string() && keeps {
            self.conversation.clone_from(&after);
        }
        if store && keeps {
            let input = body["input"].as_array().unwrap().iter().cloned();
            for item in input.chain(made()) {
                if let Some(id) = item["id"].as_str()
                    && naive::kind(&item) != "item_reference"
                {
                    self.items.insert(id.to_owned(), item);
                }
            }
        }
        if !store
            && self.sockets
            && let Some(before) = self.latest.replace(id.to_owned())
        {
            self.responses.insert(before, None);
        }
    }
}

/// Events as a stream.
pub(super) fn sse(events: &[Value]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        text.push_str("data: ");
        text.push_str(&event.to_string());
        text.push_str("\n\n");
        text
    })
}
