//! Outputs that say a call was aborted, as clients make them up for calls that nothing answered.

use super::item::ItemKind;
use super::raw::push_string;

/// The word that clients answer aborted calls with (codex.md 3.2).
pub const ABORTED: &str = "aborted";

/// The JSON of an output of kind `kind` for the call `call_id` that says "aborted"; `None` if the kind is no output.
///
/// Kinds whose output is no text get the smallest value of the right shape that says so.
pub fn output(kind: ItemKind, call_id: &str) -> Option<String> {
    saying(kind, call_id, ABORTED)
}

/// The same with the text that Codex TypeScript put in: a JSON object in a string.
pub fn typescript_output(call_id: &str) -> Option<String> {
    let text = r#"{"output":"aborted","metadata":{"exit_code":1,"duration_seconds":0}}"#;
    saying(ItemKind::FunctionCallOutput, call_id, text)
}

fn saying(kind: ItemKind, call_id: &str, text: &str) -> Option<String> {
    if !kind.is_output() {
        return None;
    }
    let mut out = String::from("{\"type\":");
    push_string(&mut out, kind.name());
    let key = match kind {
        ItemKind::McpApprovalResponse => ",\"approval_request_id\":",
        ItemKind::LocalShellCallOutput => ",\"id\":",
        _ => ",\"call_id\":",
    };
    out.push_str(key);
    push_string(&mut out, call_id);
    match kind {
        ItemKind::McpApprovalResponse => out.push_str(",\"approve\":false"),
        ItemKind::ToolSearchOutput => {
            out.push_str(",\"status\":\"completed\",\"execution\":\"client\",\"tools\":[]");
        }
        ItemKind::ComputerCallOutput => out.push_str(
            // one transparent pixel
            ",\"output\":{\"type\":\"computer_screenshot\",\"image_url\":\"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==\"}",
        ),
        ItemKind::ShellCallOutput => {
            out.push_str(",\"output\":[{\"stdout\":\"\",\"stderr\":");
            push_string(&mut out, text);
            out.push_str(",\"outcome\":{\"type\":\"exit\",\"exit_code\":1}}]");
        }
        ItemKind::ApplyPatchCallOutput => {
            out.push_str(",\"status\":\"failed\",\"output\":");
            push_string(&mut out, text);
        }
        _ => {
            out.push_str(",\"output\":");
            push_string(&mut out, text);
        }
    }
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::item::{ItemHead, Items};

    #[test]
    fn every_output_answers_its_call_and_is_json() {
        let calls = [
            ItemKind::FunctionCall,
            ItemKind::LocalShellCall,
            ItemKind::CustomToolCall,
            ItemKind::ComputerCall,
            ItemKind::ShellCall,
            ItemKind::ApplyPatchCall,
            ItemKind::ToolSearchCall,
            ItemKind::McpApprovalRequest,
        ];
        for call in calls {
            let kind = call.answer_kind().unwrap();
            let json = output(kind, "a\"b").unwrap();
            let head: ItemHead<'_> = serde_json::from_str(&json).unwrap();
            let mut items = Items::default();
            let index = items.add(&head, 1, 0);
            let item = items.get(index).unwrap();
            assert_eq!(item.kind, kind);
            assert_eq!(items.call_id(item.call.unwrap()), "a\"b", "{json}");
        }
        assert!(output(ItemKind::Message, "x").is_none());
        assert!(typescript_output("c").unwrap().contains("metadata"));
    }
}
