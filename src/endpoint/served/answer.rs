//! What an answer holds: output items, complete in the API's form, and how it ends.

use serde_json::{Map, Value, json};

use super::object::Status;
use crate::wire::item::ItemKind;

/// An answer as it is planned, before it has ids.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The output items, each complete but for `id` and `call_id` where those are to be made.
    pub items: Vec<Map<String, Value>>,
    /// How it ends.
    pub end: Status,
    /// Into how many deltas each text is cut; by words if it is not said.
    pub deltas: Option<usize>,
}

impl Answer {
    /// An answer with one message.
    pub fn text(text: &str) -> Self {
        Self {
            items: vec![message(text)],
            end: Status::Completed,
            deltas: None,
        }
    }

    /// An answer with one function call.
    pub fn call(name: &str, arguments: &str) -> Self {
        let item = json!({"type": "function_call", "status": "completed", "name": name, "arguments": arguments});
        Self {
            items: item.as_object().cloned().into_iter().collect(),
            end: Status::Completed,
            deltas: None,
        }
    }
}

/// An assistant message.
fn message(text: &str) -> Map<String, Value> {
    let item = json!({
        "type": "message",
        "status": "completed",
        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": text}],
        "role": "assistant",
    });
    item.as_object().cloned().unwrap_or_default()
}

/// The prefix of ids that the API makes for items of a kind.
pub fn id_prefix(kind: &str) -> &'static str {
    match kind {
        "message" => "msg_",
        "reasoning" => "rs_",
        "function_call" => "fc_",
        "custom_tool_call" => "ctc_",
        "local_shell_call" => "lsh_",
        "shell_call" => "sh_",
        "apply_patch_call" => "apc_",
        "computer_call" => "cu_",
        "tool_search_call" => "ts_",
        "web_search_call" => "ws_",
        "file_search_call" => "fs_",
        "code_interpreter_call" => "ci_",
        "image_generation_call" => "ig_",
        "mcp_call" | "mcp_approval_request" => "mcp_",
        "mcp_list_tools" => "mcpl_",
        "compaction" => "cmp_",
        _ => "item_",
    }
}

/// Completes an item as people write it: `{"type":"message","text":"hi"}`, `{"type":"function_call","name":…,
/// "arguments":{…}}`, `{"type":"local_shell_call","command":[…]}`, `{"type":"reasoning","text":…}`; others stay as they are.
///
/// # Errors
/// A sentence about what is missing.
pub fn complete(item: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let kind = item.get("type").and_then(Value::as_str);
    let kind = kind.ok_or("an item needs a `type`")?;
    let mut out = Map::new();
    if let Some(id) = item.get("id") {
        out.insert("id".into(), id.clone());
    }
    out.insert("type".into(), kind.into());
    let status = item.get("status").cloned().unwrap_or("completed".into());
    let needs = |key: &str| {
        item.get(key)
            .cloned()
            .ok_or(format!("a {kind} needs `{key}`"))
    };
    let as_text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match ItemKind::from_type(kind) {
        ItemKind::Message => {
            out.insert("status".into(), status);
            let content = match (item.get("content"), item.get("text"), item.get("refusal")) {
                (Some(content @ Value::Array(_)), ..) => content.clone(),
                (Some(Value::String(text)), ..) | (None, Some(Value::String(text)), _) => {
                    message(text).remove("content").unwrap_or_default()
                }
                (.., Some(Value::String(text))) => json!([{"type": "refusal", "refusal": text}]),
                _ => return Err("a message needs `text`, `refusal` or `content`".to_owned()),
            };
            out.insert("content".into(), content);
            let role = item.get("role").cloned().unwrap_or("assistant".into());
            out.insert("role".into(), role);
        }
        ItemKind::FunctionCall => {
            out.insert("status".into(), status);
            let arguments = item.get("arguments").cloned().unwrap_or("{}".into());
            out.insert("arguments".into(), as_text(arguments).into());
            out.insert("name".into(), needs("name")?);
        }
        ItemKind::CustomToolCall => {
            out.insert("status".into(), status);
            let input = item.get("input").cloned().unwrap_or("".into());
            out.insert("input".into(), as_text(input).into());
            out.insert("name".into(), needs("name")?);
        }
        ItemKind::LocalShellCall => {
            out.insert("status".into(), status);
            let action = match (item.get("action"), item.get("command")) {
                (Some(action), _) => action.clone(),
                (None, Some(command)) => {
                    json!({"type": "exec", "command": command, "env": {}, "timeout_ms": null, "user": null, "working_directory": null})
                }
                _ => return Err("a local_shell_call needs `command` or `action`".to_owned()),
            };
            out.insert("action".into(), action);
        }
        ItemKind::Reasoning => {
            let summary = match (item.get("summary"), item.get("text")) {
                (Some(summary), _) => summary.clone(),
                (None, Some(text)) => json!([{"type": "summary_text", "text": text}]),
                _ => json!([]),
            };
            out.insert("summary".into(), summary);
        }
        ItemKind::WebSearchCall
        | ItemKind::FileSearchCall
        | ItemKind::CodeInterpreterCall
        | ItemKind::ImageGenerationCall => {
            out.insert("status".into(), status);
        }
        _ => {}
    }
    for (key, value) in item {
        let written = matches!(
            (ItemKind::from_type(kind), key.as_str()),
            (ItemKind::Message | ItemKind::Reasoning, "text")
                | (ItemKind::Message, "refusal")
                | (ItemKind::LocalShellCall, "command")
        );
        if !written && !out.contains_key(key) {
            out.insert(key.clone(), value.clone());
        }
    }
    Ok(out)
}

/// Whether items of a kind have a `call_id` that is made where it is not given.
pub fn has_call_id(kind: &str) -> bool {
    let kind = ItemKind::from_type(kind);
    kind.is_call() && kind != ItemKind::McpApprovalRequest
}

/// A value that a JSON schema accepts, as small as can be; for what the schema leaves open, the empty string.
pub fn smallest(schema: &Value, depth: u8) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    if let Some(first) = schema.get("enum").and_then(|it| it.get(0)) {
        return first.clone();
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(key).and_then(|it| it.get(0)) {
            return smallest(first, depth - 1);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(Value::String(kind)) => Some(kind.as_str()),
        _ if schema.get("properties").is_some() => Some("object"),
        _ => None,
    };
    match kind {
        Some("object") => {
            let required = schema.get("required").and_then(Value::as_array);
            let members = required.into_iter().flatten().filter_map(Value::as_str);
            let property = |name: &str| schema.get("properties").and_then(|it| it.get(name));
            let members = members.map(|name| {
                let value = property(name).map_or_else(
                    || Value::String(String::new()),
                    |it| smallest(it, depth - 1),
                );
                (name.to_owned(), value)
            });
            Value::Object(members.collect())
        }
        Some("array") => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            let item = schema
                .get("items")
                .map_or(Value::Null, |it| smallest(it, depth - 1));
            Value::Array((0..least.min(16)).map(|_| item.clone()).collect())
        }
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(0.into()),
        Some("boolean") => false.into(),
        Some("null") => Value::Null,
        _ => {
            let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
            "x".repeat(least.min(1024) as usize).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(item: &Value) -> Value {
        Value::Object(complete(item.as_object().unwrap()).unwrap())
    }

    #[test]
    fn short_forms_become_whole_items() {
        assert_eq!(
            of(&json!({"type":"message","text":"hi"})),
            json!({"type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"hi"}],"role":"assistant"})
        );
        assert_eq!(
            of(&json!({"type":"function_call","name":"f","arguments":{"a":1},"call_id":"call_A"})),
            json!({"type":"function_call","status":"completed","arguments":"{\"a\":1}","name":"f","call_id":"call_A"})
        );
        assert_eq!(
            of(&json!({"type":"reasoning","text":"so"})),
            json!({"type":"reasoning","summary":[{"type":"summary_text","text":"so"}]})
        );
        let shell = of(&json!({"type":"local_shell_call","command":["ls"],"call_id":"c"}));
        assert_eq!(shell["action"]["command"][0], "ls");
        assert!(shell.get("command").is_none());
        let other = json!({"type":"mcp_call","id":"mcp_1","name":"x"});
        assert_eq!(of(&other), other);
        assert!(complete(json!({"type":"function_call"}).as_object().unwrap()).is_err());
    }

    #[test]
    fn the_smallest_value_of_a_schema() {
        let schema = json!({"type":"object","required":["title","n","of"],"properties":{
            "title":{"type":"string"},"n":{"type":"integer","minimum":3},
            "of":{"type":"array","minItems":1,"items":{"enum":["a","b"]}},"other":{"type":"string"}}});
        assert_eq!(smallest(&schema, 8), json!({"title":"","n":3,"of":["a"]}));
        assert_eq!(smallest(&json!({"$ref":"#/loop"}), 8), json!(""));
    }
}
