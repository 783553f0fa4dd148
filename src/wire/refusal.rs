//! Refusals: the API's own, byte for byte, and the same found again inside whatever a gateway made of it.
//!
//! [`Refusal`] says and prints what the endpoint answers (responses-api.md 1.1). [`find`](find::find) reads a pasted or
//! recorded text of any wrapper and names what was refused (responses-api.md 1.4).

pub mod find;

use super::item::ItemKind;

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// A call has no output (E1 to E7, E10).
    MissingOutput,
    /// An output has no call (E11, E12).
    OrphanOutput,
    /// The same item id twice (E14).
    DuplicateItem,
    /// A reasoning item without the item it led to (E15).
    ReasoningWithoutFollower,
    /// An item without the reasoning that led to it (E16).
    ItemWithoutReasoning,
    /// A reference to an item that is not stored (E17).
    ItemNotFound,
    /// An unknown `previous_response_id` (E19).
    PreviousResponseNotFound,
    /// An item id with the wrong prefix (E21).
    BadItemId,
    /// A `call_id` of more than 64 characters (E22).
    CallIdTooLong,
    /// Two outputs for one call; wording not known, only refused under a policy.
    DuplicateOutput,
    /// Two calls with one id; wording not known, only refused under a policy.
    DuplicateCall,
}

impl RefusalKind {
    /// The name used in JSON and as the rule of `check`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingOutput => "missing_output",
            Self::OrphanOutput => "orphan_output",
            Self::DuplicateItem => "duplicate_item_id",
            Self::ReasoningWithoutFollower => "reasoning_without_follower",
            Self::ItemWithoutReasoning => "item_without_reasoning",
            Self::ItemNotFound => "item_not_found",
            Self::PreviousResponseNotFound => "previous_response_not_found",
            Self::BadItemId => "bad_item_id",
            Self::CallIdTooLong => "call_id_too_long",
            Self::DuplicateOutput => "duplicate_output",
            Self::DuplicateCall => "duplicate_call",
        }
    }
}

/// What a text says was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it is about.
    pub kind: RefusalKind,
    /// The kind of the call, output or item; `None` where the text only says "tool" or nothing.
    pub item_type: Option<ItemKind>,
    /// The call id (or item or response id) it names.
    pub id: String,
}

/// One refusal as the endpoint gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it is about.
    pub kind: RefusalKind,
    /// The item it is about; `None` if it is about none.
    pub item_type: Option<ItemKind>,
    /// The call id (or item or response id) it names.
    pub id: String,
    /// The HTTP status.
    pub status: u16,
    /// `error.message`, exactly.
    pub message: String,
    /// `error.param`.
    pub param: Option<String>,
    /// `error.code`.
    pub code: Option<&'static str>,
}

impl Refusal {
    fn new(kind: RefusalKind, item_type: Option<ItemKind>, id: &str, message: String) -> Self {
        Self {
            kind,
            item_type,
            id: id.to_owned(),
            status: 400,
            message,
            param: Some("input".to_owned()),
            code: None,
        }
    }

    /// A call of kind `call` has no output (E1 to E7).
    pub fn missing_output(call: ItemKind, call_id: &str) -> Self {
        let message = format!("No tool output found for {} {call_id}.", call.words());
        Self::new(RefusalKind::MissingOutput, Some(call), call_id, message)
    }

    /// An output of kind `output` has no call (E11, E12).
    pub fn orphan_output(output: ItemKind, call_id: &str) -> Self {
        let message = format!(
            "No tool call found for {} with call_id {call_id}.",
            output.words()
        );
        Self::new(RefusalKind::OrphanOutput, Some(output), call_id, message)
    }

    /// An item id stands twice in the effective context (E14).
    pub fn duplicate_item(kind: ItemKind, id: &str) -> Self {
        let message = format!(
            "Duplicate item found with id {id}. Remove duplicate items from your input and try again."
        );
        Self::new(RefusalKind::DuplicateItem, Some(kind), id, message)
    }

    /// A reasoning item is not followed by what it led to (E15).
    pub fn reasoning_without_follower(id: &str) -> Self {
        let message = format!(
            "Item '{id}' of type 'reasoning' was provided without its required following item."
        );
        Self::new(
            RefusalKind::ReasoningWithoutFollower,
            Some(ItemKind::Reasoning),
            id,
            message,
        )
    }

    /// An item is sent without the reasoning that led to it (E16).
    pub fn item_without_reasoning(kind: ItemKind, id: &str, reasoning: &str) -> Self {
        let message = format!(
            "Item '{id}' of type '{}' was provided without its required 'reasoning' item: '{reasoning}'.",
            kind.name()
        );
        Self::new(RefusalKind::ItemWithoutReasoning, Some(kind), id, message)
    }

    /// A reference to an item that is not stored (E17 with `stored` false, E18 otherwise).
    pub fn item_not_found(id: &str, stored: bool) -> Self {
        let message = if stored {
            format!("Item with id '{id}' not found.")
        } else {
            format!(
                "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."
            )
        };
        let mut refusal = Self::new(
            RefusalKind::ItemNotFound,
            Some(ItemKind::ItemReference),
            id,
            message,
        );
        refusal.status = 404;
        refusal
    }

    /// The previous response is not known (E19).
    pub fn previous_response_not_found(id: &str) -> Self {
        let message = format!("Previous response with id '{id}' not found.");
        let mut refusal = Self::new(RefusalKind::PreviousResponseNotFound, None, id, message);
        refusal.param = Some("previous_response_id".to_owned());
        refusal.code = Some("previous_response_not_found");
        refusal
    }

    /// The item at `position` of `input` has an id that does not begin with `prefix` (E21).
    pub fn bad_item_id(kind: ItemKind, position: u32, id: &str, prefix: &str) -> Self {
        let message = format!(
            "Invalid 'input[{position}].id': '{id}'. Expected an ID that begins with '{prefix}'."
        );
        let mut refusal = Self::new(RefusalKind::BadItemId, Some(kind), id, message);
        refusal.param = Some(format!("input[{position}].id"));
        refusal.code = Some("invalid_value");
        refusal
    }

    /// The `call_id` at `position` of `input` is too long (E22).
    pub fn call_id_too_long(kind: ItemKind, position: u32, call_id: &str) -> Self {
        let message = format!(
            "Invalid 'input[{position}].call_id': string too long. Expected a string with maximum length 64, but got a string with length {} instead.",
            call_id.chars().count()
        );
        let mut refusal = Self::new(RefusalKind::CallIdTooLong, Some(kind), call_id, message);
        refusal.param = Some(format!("input[{position}].call_id"));
        refusal.code = Some("string_above_max_length");
        refusal
    }

    /// A second output for one call, where a policy refuses it. The API's wording is not known; this one is ours.
    pub fn duplicate_output(output: ItemKind, call_id: &str) -> Self {
        let message = format!("Duplicate {} found for call_id {call_id}.", output.words());
        Self::new(RefusalKind::DuplicateOutput, Some(output), call_id, message)
    }

    /// A second call with one id, where a policy refuses it. The API's wording is not known; this one is ours.
    pub fn duplicate_call(call: ItemKind, call_id: &str) -> Self {
        let message = format!("Duplicate {} found with call_id {call_id}.", call.words());
        Self::new(RefusalKind::DuplicateCall, Some(call), call_id, message)
    }

    /// `error.type`.
    pub fn error_type(&self) -> &'static str {
        "invalid_request_error"
    }

    /// The HTTP body: pretty-printed, two spaces, four keys (responses-api.md 1.0).
    pub fn body(&self) -> String {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let or_null = |value: Option<&str>| value.map_or_else(|| "null".to_owned(), text);
        format!(
            "{{\n  \"error\": {{\n    \"message\": {},\n    \"type\": {},\n    \"param\": {},\n    \"code\": {}\n  }}\n}}",
            text(&self.message),
            text(self.error_type()),
            or_null(self.param.as_deref()),
            or_null(self.code)
        )
    }

    /// The WebSocket error frame: one line, null members left out (responses-api.md 1.3).
    pub fn frame(&self) -> String {
        let mut error = serde_json::Map::new();
        error.insert("type".into(), self.error_type().into());
        if let Some(code) = self.code {
            error.insert("code".into(), code.into());
        }
        error.insert("message".into(), self.message.as_str().into());
        if let Some(param) = &self.param {
            error.insert("param".into(), param.as_str().into());
        }
        let mut frame = serde_json::Map::new();
        frame.insert("type".into(), "error".into());
        frame.insert("error".into(), error.into());
        frame.insert("status".into(), self.status.into());
        serde_json::Value::Object(frame).to_string()
    }

    /// What the refusal names, as [`find::find`] would read it.
    pub fn named(&self) -> Named {
        Named {
            kind: self.kind,
            item_type: self.item_type,
            id: self.id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_those_of_the_reference() {
        assert_eq!(
            Refusal::missing_output(ItemKind::FunctionCall, "call_X").body(),
            "{\n  \"error\": {\n    \"message\": \"No tool output found for function call call_X.\",\n    \"type\": \"invalid_request_error\",\n    \"param\": \"input\",\n    \"code\": null\n  }\n}"
        );
        assert_eq!(
            Refusal::previous_response_not_found("resp_abc").body(),
            "{\n  \"error\": {\n    \"message\": \"Previous response with id 'resp_abc' not found.\",\n    \"type\": \"invalid_request_error\",\n    \"param\": \"previous_response_id\",\n    \"code\": \"previous_response_not_found\"\n  }\n}"
        );
    }

    #[test]
    fn messages_of_every_kind() {
        use ItemKind as K;
        let missing = |kind| Refusal::missing_output(kind, "c").message;
        assert_eq!(
            missing(K::CustomToolCall),
            "No tool output found for custom tool call c."
        );
        assert_eq!(
            missing(K::LocalShellCall),
            "No tool output found for local shell call c."
        );
        assert_eq!(
            missing(K::ComputerCall),
            "No tool output found for computer call c."
        );
        assert_eq!(
            missing(K::ShellCall),
            "No tool output found for shell call c."
        );
        assert_eq!(
            missing(K::ApplyPatchCall),
            "No tool output found for apply patch call c."
        );
        assert_eq!(
            missing(K::ToolSearchCall),
            "No tool output found for tool search call c."
        );
        assert_eq!(
            Refusal::orphan_output(K::CustomToolCallOutput, "c").message,
            "No tool call found for custom tool call output with call_id c."
        );
        assert_eq!(
            Refusal::duplicate_item(K::Message, "msg_1").frame(),
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Duplicate item found with id msg_1. Remove duplicate items from your input and try again.","param":"input"},"status":400}"#
        );
        let long = "x".repeat(70);
        let refusal = Refusal::call_id_too_long(K::FunctionCall, 3, &long);
        assert_eq!(
            refusal.message,
            "Invalid 'input[3].call_id': string too long. Expected a string with maximum length 64, but got a string with length 70 instead."
        );
        assert_eq!(refusal.param.as_deref(), Some("input[3].call_id"));
    }
}
