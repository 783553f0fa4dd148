//! What an entry says, in one line.
//!
//! The line is made of the entry's own text and of what the index knows. Text from the session is left as it is; whoever
//! draws it makes it harmless.

use std::fmt::Write as _;
use std::io;

use serde_json::Value;

use super::entry::{Entry, Marks, NONE, What};
use super::index::Timeline;
use super::text::{Source, Text, item_of};
use crate::ids::ItemIndex;
use crate::session::Session;
use crate::session::exchange::{Exchange, Recording};
use crate::session::label::Label;
use crate::wire::item::{Author, ItemKind};

/// So much of a line is read to say it in one line.
pub const MAX_SAID: u64 = 64 << 10;

/// An entry in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What it is: `call`, `output`, `user`, `request 3`, an event's name.
    pub title: String,
    /// What it says.
    pub text: String,
}

impl Timeline {
    /// Says an entry in one line, reading its text if that is needed.
    ///
    /// # Errors
    /// What reading returns.
    pub fn say(&self, at: u32, source: &mut dyn Source) -> io::Result<Said> {
        let Some(entry) = self.entries.get(at as usize) else {
            return Ok(Said::default());
        };
        if let Some(said) = self.known(entry) {
            return Ok(said);
        }
        if entry.line == 0 && entry.place == NONE {
            return Ok(Said {
                title: self.names.get(entry.name).to_owned(),
                text: "(in the file that this one begins in)".to_owned(),
            });
        }
        let text = self.text(entry, source, MAX_SAID)?;
        Ok(self.say_text(entry, &text))
    }

    /// What the index alone can say.
    fn known(&self, entry: &Entry) -> Option<Said> {
        let name = self.names.get(entry.name);
        let file = self.files.get(entry.file as usize);
        let said = |title: &str, text: String| {
            Some(Said {
                title: title.to_owned(),
                text,
            })
        };
        match entry.what {
            What::Session => {
                let name = file.map_or("", |file| &file.name);
                said("session", name.to_owned())
            }
            What::Request => {
                let exchange = self.exchange(entry)?;
                said(
                    &format!("{name} {}", entry.exchange),
                    self.asked_words(entry, exchange),
                )
            }
            What::Response => {
                let refusal = self
                    .exchange(entry)
                    .filter(|_| entry.marks.has(Marks::REFUSAL))
                    .and_then(|it| it.answer.refusal.as_ref());
                said(
                    name,
                    refusal.map_or_else(String::new, |it| clip(&it.message, 200)),
                )
            }
            What::End => said("end", name.to_owned()),
            What::ClientClosed => said("client left", String::new()),
            What::TurnContext => said("turn_context", String::new()),
            _ => None,
        }
    }

    /// The exchange of an entry of a recording.
    pub fn exchange(&self, entry: &Entry) -> Option<&Exchange> {
        let recording = self.recording(entry.file)?;
        if entry.exchange == 0 {
            return None;
        }
        // numbers may repeat in a damaged file: the newest one that had begun
        let guess = recording.exchanges.get(entry.exchange as usize - 1);
        if let Some(found) = guess.filter(|it| it.number == entry.exchange) {
            return Some(found);
        }
        let mut before = recording.exchanges.iter().rev();
        before.find(|it| it.number == entry.exchange && it.line <= entry.line)
    }

    /// The recording of a file, if it is one.
    pub fn recording(&self, file: u16) -> Option<&Recording> {
        match &self.files.get(file as usize)?.session {
            Session::Recording(recording) => Some(recording),
            Session::Rollout(_) => None,
        }
    }

    fn asked_words(&self, entry: &Entry, exchange: &Exchange) -> String {
        let Some(recording) = self.recording(entry.file) else {
            return String::new();
        };
        let count = recording.tree.len(exchange.request.input);
        let mut words = format!("{count} item{}", if count == 1 { "" } else { "s" });
        let fresh = self.fresh_items(entry, exchange);
        let outputs = fresh.iter().filter(|index| {
            let item = recording.items.get(**index);
            item.is_some_and(|item| item.kind.is_output())
        });
        let users = fresh.iter().filter(|index| {
            let item = recording.items.get(**index);
            item.is_some_and(|item| item.author == Author::User)
        });
        for index in users.take(1) {
            if let Some(label) = recording.labels.get(index.0 as usize) {
                words.push_str(" · ");
                words.push_str(&label.text);
            }
        }
        for index in outputs.take(4) {
            if let Some(call) = recording.items.get(*index).and_then(|item| item.call) {
                words.push_str(" · output of ");
                words.push_str(recording.items.call_id(call));
            }
        }
        if let Some(previous) = exchange.request.previous {
            words.push_str(" · after ");
            words.push_str(&String::from_utf8_lossy(
                recording.responses.text(previous.0),
            ));
        }
        if exchange.attempt > 1 {
            let _ = write!(words, " · attempt {}", exchange.attempt);
        }
        words
    }

    /// The items of a request that the request before it in its lane did not carry.
    pub fn fresh_items(&self, entry: &Entry, exchange: &Exchange) -> Vec<ItemIndex> {
        let Some(recording) = self.recording(entry.file) else {
            return Vec::new();
        };
        let line = |at: u32| recording.exchanges.get(at as usize).map_or(0, |it| it.line);
        let of_lane = self.requests(entry.lane);
        let end = of_lane.partition_point(|asked| line(asked.exchange) < exchange.line);
        let last = end
            .checked_sub(1)
            .and_then(|at| of_lane.get(at))
            .and_then(|asked| recording.exchanges.get(asked.exchange as usize));
        let items = recording.tree.items(exchange.request.input);
        let Some(last) = last.filter(|_| exchange.request.previous.is_none()) else {
            return items;
        };
        let known = recording.tree.items(last.request.input);
        let shared = items.iter().zip(&known).take_while(|(a, b)| a == b).count();
        let answered = items
            .iter()
            .skip(shared)
            .filter(|item| !last.answer.done.contains(item));
        answered.copied().collect()
    }

    /// Says an entry whose text is at hand.
    pub fn say_text(&self, entry: &Entry, text: &Text) -> Said {
        if let Some(said) = self.known(entry) {
            return said;
        }
        let name = self.names.get(entry.name);
        let plain = |text: &str| Said {
            title: name.to_owned(),
            text: clip(text, 200),
        };
        let Ok(value) = serde_json::from_str::<Value>(&text.text) else {
            return self.unread(entry, &text.text);
        };
        match entry.what {
            What::Event => self.event(entry, &value),
            What::Item => match item_of(&value) {
                Some(item) => item_words(item),
                None => plain(&text.text),
            },
            What::Body => plain(&text.text),
            _ => {
                let value = value.get("value").unwrap_or(&value);
                // what drives a client may have logged both sides
                let inner = ["event", "submit"].iter().find_map(|key| value.get(key));
                let value = inner.filter(|it| it.is_object()).unwrap_or(value);
                let mut of = value;
                for _ in 0..3 {
                    let inner = ["payload", "msg", "op", "params"]
                        .iter()
                        .find_map(|key| of.get(key));
                    let Some(inner) = inner.filter(|it| it.is_object()) else {
                        break;
                    };
                    of = inner;
                }
                let item = of.get("item").unwrap_or(of);
                let kind = item
                    .get("type")
                    .and_then(Value::as_str)
                    .map_or(ItemKind::Other, ItemKind::from_type);
                if kind != ItemKind::Other {
                    let mut said = item_words(item);
                    let text = ["text", "message"].iter().find_map(|key| item.get(key));
                    if said.text.is_empty()
                        && let Some(text) = text.and_then(Value::as_str)
                    {
                        said.text = clip(text, 200);
                    }
                    return Said {
                        title: if entry.what == What::RolloutLine {
                            format!("on disk: {}", said.title)
                        } else {
                            said.title
                        },
                        text: said.text,
                    };
                }
                let mut words = match of.get("item") {
                    Some(item) => {
                        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or("");
                        format!("{} {} {}", text("type"), text("id"), summary(item))
                    }
                    None => answer_words(of).unwrap_or_else(|| summary(of)),
                };
                if let Some(id) = of.get("call_id").and_then(Value::as_str) {
                    words = format!("{id} {words}");
                }
                plain(words.trim())
            }
        }
    }

    /// A line too long to be read for one line of words, or no JSON.
    fn unread(&self, entry: &Entry, text: &str) -> Said {
        let mut title = self.names.get(entry.name).to_owned();
        let mut start = String::new();
        if entry.call != NONE {
            title = if entry.marks.has(Marks::CALL) {
                "call".to_owned()
            } else {
                "output".to_owned()
            };
            start = format!("{} ", self.call_id(entry.call));
        }
        Said {
            title,
            text: start + &clip(text, 200),
        }
    }

    fn event(&self, entry: &Entry, value: &Value) -> Said {
        let name = self.names.get(entry.name);
        let short = name.strip_prefix("response.").unwrap_or(name).to_owned();
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        if let Some(item) = value.get("item") {
            let said = item_words(item);
            let half = name.rsplit('.').next() == Some("added");
            return Said {
                title: if half {
                    format!("{} begins", said.title)
                } else {
                    said.title
                },
                text: said.text,
            };
        }
        let words = if let Some(delta) = text("delta") {
            delta.to_owned()
        } else if let Some(response) = value.get("response") {
            let error = response
                .get("error")
                .and_then(|it| it.get("message"))
                .and_then(Value::as_str);
            let id = response.get("id").and_then(Value::as_str).unwrap_or("");
            format!("{id} {}", error.unwrap_or(""))
        } else if let Some(error) = value.get("error") {
            error
                .get("message")
                .and_then(Value::as_str)
                .map_or_else(|| error.to_string(), str::to_owned)
        } else {
            ["message", "text", "arguments", "input"]
                .iter()
                .find_map(|key| text(key))
                .unwrap_or("")
                .to_owned()
        };
        Said {
            title: short,
            text: clip(words.trim_end(), 200),
        }
    }
}

/// An item in words: who made it, its id and name, and the beginning of its text.
pub fn item_words(item: &Value) -> Said {
    let label = Label::of_value(item);
    let kind = item
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("message");
    let known = ItemKind::from_type(kind);
    let mut text = String::new();
    let mut add = |part: &str| {
        if !part.is_empty() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(part);
        }
    };
    let title = if known.is_call() {
        add(label
            .name
            .as_deref()
            .unwrap_or(if known == ItemKind::FunctionCall {
                ""
            } else {
                kind
            }));
        add(label
            .call_id
            .as_deref()
            .or(label.id.as_deref())
            .unwrap_or(""));
        "call".to_owned()
    } else if known.is_output() {
        add(label.call_id.as_deref().unwrap_or(""));
        "output".to_owned()
    } else if known == ItemKind::Message {
        label.role.as_deref().unwrap_or("message").to_owned()
    } else {
        kind.to_owned()
    };
    add(&label.text);
    Said { title, text }
}

/// What an event of a client says that is no text by itself: a decision, an error, how a turn or a command ended, what
/// was handed in.
fn answer_words(of: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(result) = of.get("result") {
        let decided = ["decision", "action"]
            .iter()
            .find_map(|key| result.get(key));
        return decided.and_then(text);
    }
    if let Some(message) = of.get("error").and_then(|it| it.get("message")) {
        return text(message);
    }
    if let Some(status) = of.get("turn").and_then(|it| it.get("status")) {
        return text(status);
    }
    if let Some(status) = of.get("status").and_then(|it| it.get("type")) {
        return text(status);
    }
    if let Some(code) = of.get("exit_code").and_then(Value::as_i64) {
        return Some(format!("exit {code}"));
    }
    let parts = ["items", "input"]
        .iter()
        .find_map(|key| of.get(key)?.as_array());
    parts?
        .iter()
        .find_map(|part| part.get("text").and_then(text))
}

/// The beginning of what an object says, without its structure.
fn summary(value: &Value) -> String {
    let keys = [
        "message",
        "text",
        "command",
        "reason",
        "last_agent_message",
        "model",
        "cwd",
        "id",
        "status",
    ];
    for key in keys {
        match value.get(key) {
            Some(Value::String(text)) => return text.clone(),
            Some(Value::Array(parts)) => {
                let words: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                if !words.is_empty() {
                    return words.join(" ");
                }
            }
            _ => {}
        }
    }
    match value.as_object() {
        Some(object) => {
            let keys: Vec<&str> = object
                .keys()
                .map(String::as_str)
                .filter(|key| *key != "type")
                .collect();
            keys.join(" ")
        }
        None => value.to_string(),
    }
}

fn clip(text: &str, most: usize) -> String {
    let mut out: String = text.chars().take(most).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
