//! Everything but the making of responses: stored responses, conversations, models, counts, compaction, and the word for
//! what is not served.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Asked, Server};
use crate::endpoint::served::form::{missing, wrong_value};
use crate::endpoint::served::journal::Source;
use crate::endpoint::served::live::no_conversation;
use crate::endpoint::served::object::tokens;
use crate::endpoint::served::shelf::{Conversation, Page, shown};
use crate::session::tree::Node;
use crate::wire::failure::Failure;
use crate::wire::raw::{Object, array};
use crate::wire::request::RequestHead;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `…/responses`.
    Create,
    /// `…/responses/{rest}`.
    Responses(Vec<&'a str>),
    /// `…/conversations/{rest}`.
    Conversations(Vec<&'a str>),
    /// `…/models/{rest}`.
    Models(Vec<&'a str>),
    /// `…/chat/completions` and `…/completions`.
    Chat,
    /// `/_replay/{rest}`.
    Control(&'a str),
    /// Anything else.
    Unknown,
}

impl<'a> Route<'a> {
    /// Reads a path; what stands in front of a known word is a prefix that does not matter.
    pub fn of(path: &'a str) -> Self {
        if let Some(rest) = path.strip_prefix("/_replay/") {
            return Self::Control(rest.trim_end_matches('/'));
        }
        let parts: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
        let known = [
            "responses",
            "conversations",
            "models",
            "chat",
            "completions",
        ];
        let Some(at) = parts.iter().position(|part| known.contains(part)) else {
            return Self::Unknown;
        };
        let rest = parts.get(at + 1..).unwrap_or(&[]).to_vec();
        match parts.get(at).copied().unwrap_or("") {
            "responses" if rest.is_empty() => Self::Create,
            "responses" => Self::Responses(rest),
            "conversations" => Self::Conversations(rest),
            "models" => Self::Models(rest),
            _ => Self::Chat,
        }
    }
}

/// An answer that is no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body: JSON.
    pub body: Bytes,
}

impl Answered {
    fn json(value: &Value) -> Self {
        let mut body = serde_json::to_string_pretty(value).unwrap_or_default();
        body.push('\n');
        Self {
            status: 200,
            body: body.into(),
        }
    }
}

type Result<T> = std::result::Result<T, Failure>;

impl Server {
    /// Takes a request for anything but a new response.
    pub fn resource(&mut self, route: &Route<'_>, asked: &Asked<'_>) -> Answered {
        let number = self.note(asked);
        let found = match route {
            Route::Responses(rest) => self.responses(rest, asked),
            Route::Conversations(rest) => self.of_conversations(rest, asked),
            Route::Models(rest) => self.of_models(rest, asked),
            Route::Chat => Err(Failure::invalid(
                "replay serves the Responses API only. Chat Completions requests are noted, not judged and not answered; with --upstream they are passed on.",
            )
            .with_status(404)
            .code("chat_completions_not_served")),
            Route::Create => Err(not_allowed(asked)),
            Route::Control(_) | Route::Unknown => Err(unknown(asked)),
        };
        let answer = found.unwrap_or_else(|failure| Answered {
            status: failure.status,
            body: failure.body().into(),
        });
        let status = answer.status;
        self.journal.change(number, |it| {
            it.status = Some(status);
            it.source = Source::Resource;
            it.end = Some("complete");
        });
        answer
    }

    fn responses(&mut self, rest: &[&str], asked: &Asked<'_>) -> Result<Answered> {
        match (asked.method, rest) {
            ("POST", ["compact"]) => self.compact(asked),
            ("POST", ["input_tokens"]) => self.input_tokens(asked),
            ("GET", [id]) => {
                let kept = self.shelf.get(id).ok_or_else(|| no_response(id))?;
                Ok(Answered {
                    status: 200,
                    body: kept.object.clone(),
                })
            }
            ("DELETE", [id]) => {
                if !self.shelf.remove(id) {
                    return Err(no_response(id));
                }
                self.live.drop_response(id);
                Ok(Answered::json(
                    &json!({"id": id, "object": "response", "deleted": true}),
                ))
            }
            ("GET", [id, "input_items"]) => {
                let kept = self.shelf.get(id).ok_or_else(|| no_response(id))?;
                let items = self.live.items_of(kept.context);
                self.list(&items, asked.query)
            }
            ("POST", [id, "cancel"]) => {
                self.shelf.get(id).ok_or_else(|| no_response(id))?;
                Err(Failure::invalid(
                    "Only responses with background=true can be cancelled.",
                ))
            }
            (_, [_] | [_, "input_items" | "cancel"]) => Err(not_allowed(asked)),
            _ => Err(unknown(asked)),
        }
    }

    fn list(&self, items: &[crate::ids::ItemIndex], query: &str) -> Result<Answered> {
        let page = Page::read(query).map_err(|(name, value)| {
            if name == "order" {
                return wrong_value("order", &value, &["asc", "desc"]);
            }
            Failure::invalid(format!(
                "Invalid '{name}': '{value}'. Expected an integer from 1 to 100."
            ))
            .param(name)
            .code("invalid_value")
        })?;
        let items = items.iter().enumerate();
        let items = items.map(|(at, it)| shown(self.live.text(*it), at));
        Ok(Answered::json(&page.list(items.collect())))
    }

    fn of_conversations(&mut self, rest: &[&str], asked: &Asked<'_>) -> Result<Answered> {
        let read = |body: &Bytes| -> Result<Map<String, Value>> {
            if body.is_empty() {
                return Ok(Map::new());
            }
            match serde_json::from_slice(body) {
                Ok(Value::Object(members)) => Ok(members),
                _ => Err(not_json()),
            }
        };
        match (asked.method, rest) {
            ("POST", []) => {
                let members = read(&asked.body)?;
                let id = self.ids.make("conv_");
                let metadata = members.get("metadata").filter(|it| !it.is_null());
                let conversation = Conversation {
                    created_at: self.now(asked.at),
                    metadata: metadata.cloned().unwrap_or_else(|| json!({})),
                };
                let object = conversation.object(&id);
                self.conversations.insert(id.clone(), conversation);
                self.add_items(&id, &asked.body)?;
                Ok(Answered::json(&object))
            }
            ("GET", [id]) => {
                let found = self.conversations.get(*id);
                let found = found.ok_or_else(|| no_conversation(id))?;
                Ok(Answered::json(&found.object(id)))
            }
            ("POST", [id]) => {
                let members = read(&asked.body)?;
                let found = self.conversations.get_mut(*id);
                let found = found.ok_or_else(|| no_conversation(id))?;
                if let Some(metadata) = members.get("metadata") {
                    found.metadata = metadata.clone();
                }
                Ok(Answered::json(&found.object(id)))
            }
            ("DELETE", [id]) => {
                if self.conversations.remove(*id).is_none() {
                    return Err(no_conversation(id));
                }
                self.live.drop_conversation(id);
                Ok(Answered::json(
                    &json!({"id": id, "object": "conversation.deleted", "deleted": true}),
                ))
            }
            ("GET", [id, "items"]) => {
                let node = self.holding(id)?;
                let items = self.live.items_of(node);
                self.list(&items, asked.query)
            }
            ("POST", [id, "items"]) => {
                self.holding(id)?;
                let before = self.holding(id)?;
                let count = self.live.items_of(before).len();
                self.add_items(id, &asked.body)?;
                let items = self.live.items_of(self.holding(id)?);
                let added: Vec<Map<String, Value>> = items
                    .iter()
                    .enumerate()
                    .skip(count)
                    .map(|(at, it)| shown(self.live.text(*it), at))
                    .collect();
                let page = Page {
                    limit: added.len().max(1),
                    after: None,
                    ascending: true,
                };
                Ok(Answered::json(&page.list(added)))
            }
            ("GET", [id, "items", item]) => {
                let (_, shown) = self.item_of(id, item)?;
                Ok(Answered::json(&Value::Object(shown)))
            }
            ("DELETE", [id, "items", item]) => {
                let (place, _) = self.item_of(id, item)?;
                let items = self.live.items_of(self.holding(id)?);
                let texts: Vec<String> = items
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| *at != place)
                    .map(|(_, it)| self.live.text(*it).to_owned())
                    .collect();
                let left = texts.iter().map(String::as_str);
                let node = self.live.sequence(Node::ROOT, left);
                self.live.set_conversation(id, node);
                let found = self.conversations.get(*id);
                let found = found.ok_or_else(|| no_conversation(id))?;
                Ok(Answered::json(&found.object(id)))
            }
            (_, [] | [_] | [_, "items"] | [_, "items", _]) => Err(not_allowed(asked)),
            _ => Err(unknown(asked)),
        }
    }

    fn holding(&self, id: &str) -> Result<Node> {
        self.live
            .conversation(id)
            .ok_or_else(|| no_conversation(id))
    }

    fn item_of(&self, id: &str, item: &str) -> Result<(usize, Map<String, Value>)> {
        let items = self.live.items_of(self.holding(id)?);
        items
            .iter()
            .enumerate()
            .map(|(at, it)| (at, shown(self.live.text(*it), at)))
            .find(|(_, shown)| shown.get("id").and_then(Value::as_str) == Some(item))
            .ok_or_else(|| {
                Failure::invalid(format!(
                    "Item with id '{item}' not found in conversation with id '{id}'."
                ))
                .with_status(404)
            })
    }

    /// Adds the `items` of a body to a conversation.
    fn add_items(&mut self, id: &str, body: &Bytes) -> Result<()> {
        let text = std::str::from_utf8(body).unwrap_or("");
        let raws = Object::read(text).and_then(|it| it.value("items"));
        let raws = match raws {
            None => Vec::new(),
            Some(raw) => array(raw).ok_or_else(|| {
                Failure::invalid("Invalid type for 'items': expected an array of items.")
                    .param("items")
                    .code("invalid_type")
            })?,
        };
        self.live
            .extend_conversation(id, raws.iter().map(|it| it.get()));
        Ok(())
    }

    fn of_models(&self, rest: &[&str], asked: &Asked<'_>) -> Result<Answered> {
        let model = |id: &str| json!({"id": id, "object": "model", "created": self.settings.started, "owned_by": "replay"});
        match (asked.method, rest) {
            ("GET", []) => {
                let data: Vec<Value> = self.settings.models.iter().map(|id| model(id)).collect();
                // Codex reads `models`, everybody else `data`
                Ok(Answered::json(
                    &json!({"object": "list", "data": data, "models": []}),
                ))
            }
            ("GET", [id]) => {
                let known = self.settings.models.iter().any(|it| it == id);
                let unknown = || {
                    Failure::invalid(format!("The model '{id}' does not exist"))
                        .with_status(404)
                        .param("model")
                        .code("model_not_found")
                };
                known
                    .then(|| Answered::json(&model(id)))
                    .ok_or_else(unknown)
            }
            (_, [] | [_]) => Err(not_allowed(asked)),
            _ => Err(unknown(asked)),
        }
    }

    fn input_tokens(&mut self, asked: &Asked<'_>) -> Result<Answered> {
        let text = std::str::from_utf8(&asked.body).unwrap_or("");
        let head = RequestHead::read(text).ok_or_else(not_json)?;
        let ticket = self.live.arrive(&head, None, 0);
        if let Some(failure) = self.live.judge(&ticket) {
            return Err(failure);
        }
        let items = self.live.items_of(ticket.node());
        let bytes: usize = items.iter().map(|it| self.live.text(*it).len()).sum();
        let more: usize = ["instructions", "tools"]
            .into_iter()
            .filter_map(|key| head.members.value(key))
            .map(str::len)
            .sum();
        Ok(Answered::json(
            &json!({"object": "response.input_tokens", "input_tokens": tokens(bytes + more)}),
        ))
    }

    /// `POST /responses/compact`: the user's messages, and an item that stands for the rest.
    fn compact(&mut self, asked: &Asked<'_>) -> Result<Answered> {
        let text = std::str::from_utf8(&asked.body).unwrap_or("");
        let head = RequestHead::read(text).ok_or_else(not_json)?;
        if head.model.is_none() {
            return Err(missing("model"));
        }
        let ticket = self.live.arrive(&head, None, 0);
        if let Some(failure) = self.live.judge(&ticket) {
            return Err(failure);
        }
        let items = self.live.items_of(ticket.node());
        let mut output = Vec::new();
        for (at, index) in items.iter().enumerate() {
            let of_user = self.live.get(*index).is_some_and(|it| {
                it.kind == crate::wire::item::ItemKind::Message
                    && it.author == crate::wire::item::Author::User
            });
            if of_user {
                output.push(Value::Object(shown(self.live.text(*index), at)));
            }
        }
        let sealed = self.ids.make("");
        output.push(json!({
            "id": self.ids.make("cmp_"),
            "type": "compaction",
            "encrypted_content": format!("replay-{}-{sealed}", items.len()),
        }));
        let input = tokens(asked.body.len());
        Ok(Answered::json(&json!({
            "id": self.ids.make("resp_"),
            "object": "response.compaction",
            "created_at": self.now(asked.at),
            "output": output,
            "usage": {
                "input_tokens": input,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 16,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": input + 16,
            },
        })))
    }
}

fn not_json() -> Failure {
    Failure::invalid(
        "We could not parse the JSON body of your request. The API expects a JSON object.",
    )
}

fn no_response(id: &str) -> Failure {
    Failure::invalid(format!("Response with id '{id}' not found.")).with_status(404)
}

fn unknown(asked: &Asked<'_>) -> Failure {
    Failure::invalid(format!("Invalid URL ({} {})", asked.method, asked.path)).with_status(404)
}

fn not_allowed(asked: &Asked<'_>) -> Failure {
    Failure::invalid(format!(
        "Not allowed to {} on {}.",
        asked.method, asked.path
    ))
    .with_status(405)
    .code("method_not_supported")
}
