//! The meaning of an item as one number.
//!
//! An answer's item comes back in a later input spelled anew: keys in another order, `id` or `status` left out or added,
//! content as a string instead of parts. Its fingerprint stays the same; that of another call, output or message differs.

use crate::ids::fingerprint;
use crate::wire::item::{ItemHead, ItemKind};
use crate::wire::raw::{Object, array, compact, string};

/// Members that tell nothing of an item's meaning.
const SPELLING: [&str; 6] = [
    "id",
    "status",
    "type",
    "internal_chat_message_metadata_passthrough",
    "created_by",
    "phase",
];

/// Returns the fingerprint of the item `raw`, whose fields are `head`.
pub(crate) fn of_item(raw: &str, head: &ItemHead<'_>) -> u64 {
    let kind = head.item_kind();
    let mut text = String::with_capacity(raw.len().min(4096));
    match kind {
        ItemKind::Other => text.push_str(head.kind.as_deref().unwrap_or("")),
        _ => text.push_str(kind.name()),
    }
    let Some(object) = Object::read(raw) else {
        text.push_str(&compact(raw));
        return fingerprint(text.as_bytes());
    };
    let mut field = |name: &str, value: &str| {
        text.push('\0');
        text.push_str(name);
        text.push('\u{1}');
        text.push_str(value);
    };
    match kind {
        ItemKind::Message => {
            field("role", head.role.as_deref().unwrap_or(""));
            field("content", &texts(object.value("content").unwrap_or("")));
        }
        ItemKind::Reasoning => {
            if let Some(secret) = object.text("encrypted_content") {
                field("encrypted", &secret);
            } else {
                let summary = texts(object.value("summary").unwrap_or(""));
                let content = texts(object.value("content").unwrap_or(""));
                if summary.is_empty() && content.is_empty() {
                    field("id", head.id.as_deref().unwrap_or(""));
                }
                field("summary", &summary);
                field("content", &content);
            }
        }
        ItemKind::ItemReference | ItemKind::McpApprovalRequest => {
            field("id", head.id.as_deref().unwrap_or(""));
        }
        _ if kind.is_call() => {
            let id = head.call_id.as_deref().or(head.id.as_deref());
            field("call", id.unwrap_or(""));
            field("name", head.name.as_deref().unwrap_or(""));
            // arguments are JSON inside a string; clients parse and print them again
            for name in ["arguments", "input", "action", "operation"] {
                if let Some(value) = object.value(name) {
                    let inner = string(value).unwrap_or_else(|| value.into());
                    let solid = crate::wire::raw::is_object(&inner);
                    field(
                        name,
                        &if solid {
                            compact(&inner)
                        } else {
                            inner.into_owned()
                        },
                    );
                }
            }
        }
        _ if kind.is_output() => {
            let id = head
                .call_id
                .as_deref()
                .or(head.approval_request_id.as_deref())
                .or(head.id.as_deref());
            field("call", id.unwrap_or(""));
            for name in ["output", "tools", "approve"] {
                if let Some(value) = object.value(name) {
                    field(
                        name,
                        &string(value).unwrap_or_else(|| compact(value).into()),
                    );
                }
            }
        }
        _ => {
            let mut members: Vec<_> = object
                .members()
                .filter(|(key, raw)| !SPELLING.contains(key) && raw.get() != "null")
                .collect();
            members.sort_by_key(|(key, _)| *key);
            if members.is_empty() {
                field("id", head.id.as_deref().unwrap_or(""));
            }
            for (key, raw) in members {
                field(key, &compact(raw.get()));
            }
        }
    }
    fingerprint(text.as_bytes())
}

/// The texts of `content` or `summary`, whichever of its shapes it has; parts without text are spelled compactly.
fn texts(content: &str) -> String {
    if let Some(text) = string(content) {
        return text.into_owned();
    }
    let Some(parts) = array(content) else {
        return compact(content);
    };
    let mut found = String::new();
    for part in parts {
        let object = Object::read(part.get());
        let text = object
            .as_ref()
            .and_then(|it| it.text("text").or_else(|| it.text("refusal")));
        match text {
            Some(text) => found.push_str(&text),
            None => found.push_str(&compact(part.get())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> u64 {
        of_item(raw, &serde_json::from_str(raw).unwrap_or_default())
    }

    #[test]
    fn spelling_does_not_matter() {
        for (left, right) in [
            (
                r#"{"id":"fc_1","type":"function_call","status":"completed","name":"shell","arguments":"{\"a\": 1}","call_id":"c"}"#,
                r#"{"type":"function_call","name":"shell","call_id":"c","arguments":"{\"a\":1}"}"#,
            ),
            (
                r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[]}]}"#,
                r#"{"role":"assistant","content":"hi"}"#,
            ),
            (
                r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}"#,
                r#"{"type":"reasoning","encrypted_content":"x","summary":[],"content":null}"#,
            ),
            (
                r#"{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}}"#,
                r#"{"type":"web_search_call","action":{"type": "search","query":"q"}}"#,
            ),
        ] {
            assert_eq!(of(left), of(right), "{left} {right}");
        }
    }

    #[test]
    fn meaning_matters() {
        let texts = [
            r#"{"type":"function_call","name":"shell","call_id":"c","arguments":"{}"}"#,
            r#"{"type":"function_call","name":"shell","call_id":"d","arguments":"{}"}"#,
            r#"{"type":"custom_tool_call","name":"shell","call_id":"c","input":"{}"}"#,
            r#"{"type":"function_call_output","call_id":"c","output":"aborted"}"#,
            r#"{"type":"function_call_output","call_id":"c","output":"done"}"#,
            r#"{"role":"user","content":"done"}"#,
            r#"{"role":"assistant","content":"done"}"#,
            r#"{"type":"item_reference","id":"a"}"#,
            r#"{"type":"item_reference","id":"b"}"#,
            r#"{"type":"new_kind","x":1}"#,
            r#"{"type":"newer_kind","x":1}"#,
            "7",
        ];
        let mut seen: Vec<u64> = texts.iter().map(|text| of(text)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), texts.len());
    }
}
