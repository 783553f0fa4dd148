//! Which texts of a document are ids.

use super::json::{Node, parse};
use super::measured::{HEADER, RUNNING};
use super::rules::Path;
use crate::ids::Interner;

/// Members whose text is an id wherever they stand.
const IDS: [&str; 23] = [
    "approval_request_id",
    "callId",
    "call_id",
    "conversation",
    "conversation_id",
    "encrypted_content",
    "forked_from_id",
    "itemId",
    "item_id",
    "parent_thread_id",
    "parent_turn_id",
    "previous_response_id",
    "process_id",
    "prompt_cache_key",
    "response_id",
    "root_turn_id",
    "session_id",
    "threadId",
    "thread_id",
    "turnId",
    "turn_id",
    "window_id",
    "x-client-request-id",
];

/// Whether a member holds an id.
pub(super) fn is_id(path: &Path<'_>) -> bool {
    let name = path.name();
    if name == "id" {
        // ids of prompts, files and tools in a request are the user's own words
        return path.top() != "request"
            || path.depth() == 3 && path.parent.is_some_and(|it| it.name() == "conversation");
    }
    IDS.binary_search(&name).is_ok()
}

/// Whether the text of a member may be JSON.
pub(super) fn may_quote(path: &Path<'_>) -> bool {
    matches!(path.name(), "arguments" | "output" | "input") || path.is_in_item_output()
}

/// Puts the ids of a value into a table: those of members that hold ids, and UUIDs in texts.
pub(super) fn collect(node: &Node<'_>, path: &Path<'_>, into: &mut Interner) {
    match node {
        Node::Text(text) if !text.is_empty() && is_id(path) => {
            into.intern(text.as_bytes());
        }
        Node::Number(number) if path.name() == "session_id" => {
            into.intern(process(number).as_bytes());
        }
        Node::Text(text) => {
            uuids(text, into);
            refused(text, into);
            if may_quote(path) {
                processes(text, path, into);
            }
        }
        Node::List(list) => {
            for (at, node) in list.iter().enumerate() {
                collect(node, &path.index(at), into);
            }
        }
        Node::Object(members) => {
            for (key, node) in members {
                collect(node, &path.key(key), into);
            }
        }
        _ => {}
    }
}

/// How a process that a Codex tool left running is called; clients know it by a number.
pub(super) fn process(number: &str) -> String {
    format!("process-{number}")
}

/// Processes that the output of a Codex tool, or the arguments of a call, speak of.
fn processes(text: &str, path: &Path<'_>, into: &mut Interner) {
    if text.starts_with('{') && text.contains("\"session_id\"") {
        if let Some(node) = parse(text) {
            collect(&node, path, into);
        }
        return;
    }
    for line in text.lines().take(HEADER.len()) {
        if let Some(number) = line.strip_prefix(RUNNING) {
            into.intern(process(number).as_bytes());
        }
    }
}

/// The id that a refusal names, which may stand nowhere else.
fn refused(text: &str, into: &mut Interner) {
    const LONGEST: usize = 64 << 10;
    let may_refuse = ["No tool ", "not found", "Duplicate"]
        .iter()
        .any(|it| text.contains(it));
    if text.len() <= LONGEST
        && may_refuse
        && let Some(named) = crate::wire::refusal::find::find(text).named
        && !named.id.is_empty()
    {
        into.intern(named.id.as_bytes());
    }
}

fn uuids(text: &str, into: &mut Interner) {
    if text.len() < 36 || memchr::memchr(b'-', text.as_bytes()).is_none() {
        return;
    }
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')) {
        if is_uuid(word) {
            into.intern(word.as_bytes());
        }
    }
}

pub(super) fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_ids_is_sorted() {
        assert!(IDS.is_sorted());
    }
}
