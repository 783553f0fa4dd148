//! Leaving out members of objects and elements of lists, and shortening texts.
//!
//! What clients and readers insist on stays ([`is_needed`]): the session must still be one that they can open.

use serde_json::Value;

use super::Judge;
use super::document::{Document, event};
use crate::wire::item::is_context_text;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Member(String),
    Element(usize),
}

/// Tries every member, element and text of every line once, the outer ones first.
pub(super) fn reduce(document: &mut Document, judge: &mut Judge<'_>) -> bool {
    let mut changed = false;
    for line in 0..document.lines.len() {
        let Some(text) = document.lines.get(line).cloned() else {
            continue;
        };
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        let mut test = |value: &Value| judge.is_same(&document.with_line(line, &value.to_string()));
        let mut any = walk(&mut value, &mut Vec::new(), "", &mut test);
        // what stands in the event of a stream, or in a message of a WebSocket
        let kind = value.get("kind").and_then(Value::as_str);
        let text = value.get("text").and_then(Value::as_str);
        let inner = match (kind, text) {
            // an answer that is no stream is one body
            (Some("chunk"), Some(text)) => event(text).or_else(|| message(text)),
            (Some("frame"), Some(text)) => message(text),
            _ => None,
        };
        if let Some((head, mut data, tail)) = inner {
            let whole = value.clone();
            let with = |data: &Value| {
                let mut line = whole.clone();
                if let Some(slot) = line.get_mut("text") {
                    *slot = Value::String(format!("{head}{data}{tail}"));
                }
                line
            };
            if walk(&mut data, &mut Vec::new(), "", &mut |data| {
                test(&with(data))
            }) {
                value = with(&data);
                any = true;
            }
        }
        if any && let Some(slot) = document.lines.get_mut(line) {
            *slot = value.to_string();
            changed = true;
        }
    }
    changed
}

/// Goes through the part of `root` at `path`; `within` is the member that it is the value of.
fn walk(
    root: &mut Value,
    path: &mut Vec<Key>,
    within: &str,
    test: &mut dyn FnMut(&Value) -> bool,
) -> bool {
    let Some(here) = at(root, path) else {
        return false;
    };
    match here {
        Value::Object(object) => {
            let keys: Vec<String> = object.keys().cloned().collect();
            let mut changed = false;
            for key in keys {
                let needed = at(root, path)
                    .and_then(Value::as_object)
                    .is_some_and(|object| is_needed(object, &key, within));
                if !needed {
                    let mut without = root.clone();
                    if let Some(Value::Object(object)) = at_mut(&mut without, path) {
                        object.shift_remove(&key);
                    }
                    if test(&without) {
                        *root = without;
                        changed = true;
                        continue;
                    }
                }
                // what a source does not hold is said whole
                if matches!(&*key, "converted_from" | "not_held") {
                    continue;
                }
                path.push(Key::Member(key.clone()));
                changed |= walk(root, path, &key, test);
                path.pop();
            }
            changed
        }
        Value::Array(array) => {
            let mut changed = false;
            let mut index = array.len();
            while index > 0 {
                index -= 1;
                let element = at(root, path).and_then(|list| list.get(index));
                // lists of items were looked at with their pairs; a header is a pair, and one tells how to read the answer
                let whole = match within {
                    "input" | "items" | "replacement_history" | "" => true,
                    "headers" => element.is_none_or(|it| !it.is_array() || is_content_type(it)),
                    _ => false,
                };
                if !whole {
                    let mut without = root.clone();
                    if let Some(Value::Array(array)) = at_mut(&mut without, path) {
                        array.remove(index);
                    }
                    if test(&without) {
                        *root = without;
                        changed = true;
                        continue;
                    }
                }
                path.push(Key::Element(index));
                changed |= walk(root, path, within, test);
                path.pop();
            }
            changed
        }
        Value::String(text) => {
            let short = shorter(text, within);
            let Some(short) = short else { return false };
            let mut with = root.clone();
            if let Some(slot) = at_mut(&mut with, path) {
                *slot = Value::String(short);
            }
            if test(&with) {
                *root = with;
                return true;
            }
            false
        }
        _ => false,
    }
}

/// The JSON that a message of a WebSocket or a body is.
fn message(text: &str) -> Option<(String, Value, String)> {
    let value: Value = serde_json::from_str(text).ok()?;
    value
        .is_object()
        .then(|| (String::new(), value, String::new()))
}

fn is_content_type(header: &Value) -> bool {
    let name = header.get(0).and_then(Value::as_str);
    name.is_some_and(|name| name.eq_ignore_ascii_case("content-type"))
}

fn at<'v>(root: &'v Value, path: &[Key]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, key| match key {
        Key::Member(key) => value.get(key),
        Key::Element(index) => value.get(index),
    })
}

fn at_mut<'v>(root: &'v mut Value, path: &[Key]) -> Option<&'v mut Value> {
    path.iter().try_fold(root, |value, key| match key {
        Key::Member(key) => value.get_mut(key),
        Key::Element(index) => value.get_mut(index),
    })
}

/// The shortest text that can stand in a place of prose; `None` where the text is no prose, or is short already.
fn shorter(text: &str, member: &str) -> Option<String> {
    let short = match member {
        "arguments" => "{}",
        "cwd" => "/",
        "text" | "content" | "output" | "instructions" | "message" | "description" | "input"
        | "encrypted_content" | "aggregated_output" | "stdout" | "stderr" | "delta" | "refusal"
        | "summary" => "x",
        _ => return None,
    };
    // the text of a chunk is looked at by itself
    if text.contains("data: ") {
        return None;
    }
    // what is context must not turn into a user's words
    let short = context_mark(text).unwrap_or(short);
    (text.len() > short.len()).then(|| short.to_owned())
}

/// The beginning by which a text is known as context that the client adds.
fn context_mark(text: &str) -> Option<&str> {
    const LONGEST: usize = 100;
    if !is_context_text(text) {
        return None;
    }
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let mut beginnings = ends.take(LONGEST).filter_map(|end| text.get(..end));
    beginnings.find(|beginning| is_context_text(beginning))
}

/// Whether a member must stay for the session to be one that clients and readers open.
fn is_needed(object: &serde_json::Map<String, Value>, key: &str, within: &str) -> bool {
    let kind = object.get("type").and_then(Value::as_str);
    let line = object.get("kind").and_then(Value::as_str);
    if matches!(key, "type" | "kind" | "call_id" | "role") {
        return true;
    }
    if let Some(line) = line {
        return match line {
            "session" => matches!(
                key,
                "format" | "id" | "created_at" | "recorder" | "converted_from" | "not_held"
            ),
            "request" => matches!(
                key,
                "exchange"
                    | "at_us"
                    | "transport"
                    | "method"
                    | "path"
                    | "body"
                    | "body_not_held"
                    | "connection"
            ),
            "response" => matches!(key, "exchange" | "at_us" | "status" | "headers"),
            _ => matches!(
                key,
                "exchange"
                    | "at_us"
                    | "text"
                    | "base64"
                    | "rebuilt"
                    | "cause"
                    | "connection"
                    | "from"
                    | "status"
                    | "path"
                    | "method"
            ),
        };
    }
    if object.contains_key("payload") {
        return matches!(key, "timestamp" | "ordinal" | "payload");
    }
    if object.contains_key("session") && object.contains_key("items") {
        return true;
    }
    match kind {
        Some("message") | None if object.contains_key("role") => key == "content",
        Some("function_call") => matches!(key, "name" | "arguments"),
        Some("custom_tool_call") => matches!(key, "name" | "input"),
        Some("local_shell_call") => matches!(key, "action" | "status"),
        Some("tool_search_call" | "tool_search_output") => {
            matches!(key, "execution" | "arguments" | "status" | "tools")
        }
        Some("reasoning") => key == "summary",
        Some(kind) if kind.ends_with("_output") => key == "output",
        Some(kind) if kind.ends_with("_text") => key == "text",
        Some("exec") => key == "command",
        Some("response.create") => matches!(key, "model" | "input" | "previous_response_id"),
        Some(kind) if kind.starts_with("response.") => {
            matches!(key, "response" | "item" | "sequence_number")
        }
        // a meta line, bare or in its envelope
        None if within == "payload"
            || within == "session"
            || (object.contains_key("id") && object.contains_key("timestamp")) =>
        {
            matches!(
                key,
                "id" | "timestamp"
                    | "cwd"
                    | "originator"
                    | "cli_version"
                    | "history_mode"
                    | "session_id"
            )
        }
        _ => matches!(key, "model" | "input") && within != "payload",
    }
}
