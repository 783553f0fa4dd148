//! Whether a request is well formed, before anything is looked up: E20 and E23 to E25 of responses-api.md 1.1, the
//! backend's own rules of 2.3, and limits.
//!
//! What the contract itself says of ids (E21, E22) is not here. An item is looked at once, however often it is sent.

use super::Profile;
use crate::wire::failure::Failure;
use crate::wire::item::{ItemHead, ItemKind};
use crate::wire::raw::{Object, array, string};
use crate::wire::request::{Input, RequestHead};

/// The longest item id (responses-api.md 2.3).
const MAX_ID: usize = 64;

/// What is wrong with one item, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFault {
    /// The member, as a path below the item.
    path: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Missing,
    Value(String, &'static [&'static str]),
    TooLong(usize),
    NotJson,
}

impl ItemFault {
    /// The failure, for the item at `position` of `input`.
    pub fn at(&self, position: usize) -> Failure {
        let path = format!("input[{position}].{}", self.path);
        match &self.what {
            What::Missing => missing(&path),
            What::Value(value, supported) => wrong_value(&path, value, supported),
            What::TooLong(length) => Failure::invalid(format!(
                "Invalid '{path}': string too long. Expected a string with maximum length {MAX_ID}, but got a string with length {length} instead."
            ))
            .param(path)
            .code("string_above_max_length")
            .rule("item_id_too_long"),
            What::NotJson => Failure::invalid(format!(
                "Invalid '{path}': `arguments` must be valid JSON."
            ))
            .param(path)
            .code("invalid_value")
            .rule("arguments_not_json"),
        }
    }

    /// Whether only the ChatGPT backend minds.
    pub fn is_of_backend(&self) -> bool {
        self.what == What::NotJson
    }
}

/// A required parameter is missing (E24).
pub fn missing(path: &str) -> Failure {
    Failure::invalid(format!("Missing required parameter: '{path}'."))
        .param(path)
        .code("missing_required_parameter")
        .rule("missing_parameter")
}

/// A value that is none of those supported (E23).
pub fn wrong_value(path: &str, value: &str, supported: &[&str]) -> Failure {
    let quoted: Vec<String> = supported.iter().map(|it| format!("'{it}'")).collect();
    let list = match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, [first])) => format!("{first} and {last}"),
        Some((last, rest)) => format!("{}, and {last}", rest.join(", ")),
        None => String::new(),
    };
    Failure::invalid(format!(
        "Invalid value: '{value}'. Supported values are: {list}."
    ))
    .param(path)
    .code("invalid_value")
    .rule("invalid_value")
}

const ROLES: &[&str] = &["assistant", "system", "developer", "user"];
const STATUSES: &[&str] = &["in_progress", "completed", "incomplete"];
const SEARCHES: &[&str] = &["search", "open_page", "find_in_page"];

/// Looks at one item.
pub fn item(raw: &str, head: &ItemHead<'_>) -> Option<ItemFault> {
    let kind = head.item_kind();
    let object = Object::read(raw)?;
    let fault = |path: &str, what: What| {
        Some(ItemFault {
            path: path.to_owned(),
            what,
        })
    };
    let required: &[&str] = match kind {
        ItemKind::Message => &["role", "content"],
        ItemKind::FunctionCall => &["call_id", "name", "arguments"],
        ItemKind::CustomToolCall => &["call_id", "name", "input"],
        ItemKind::FunctionCallOutput => &["output"],
        ItemKind::CustomToolCallOutput => &["call_id", "output"],
        ItemKind::ItemReference => &["id"],
        _ => &[],
    };
    if let Some(name) = required.iter().find(|name| object.value(name).is_none()) {
        return fault(name, What::Missing);
    }
    if kind == ItemKind::Message
        && let Some(role) = head.role.as_deref().filter(|it| !ROLES.contains(it))
    {
        return fault("role", What::Value(role.to_owned(), ROLES));
    }
    let has_status = matches!(
        kind,
        ItemKind::Message
            | ItemKind::FunctionCall
            | ItemKind::FunctionCallOutput
            | ItemKind::CustomToolCall
            | ItemKind::Reasoning
    );
    if let Some(status) = head.status.as_deref().filter(|it| !STATUSES.contains(it))
        && has_status
    {
        return fault("status", What::Value(status.to_owned(), STATUSES));
    }
    if kind == ItemKind::WebSearchCall
        && let Some(action) = object
            .object("action")
            .and_then(|it| Some(it.text("type")?.into_owned()))
            .filter(|it| !SEARCHES.contains(&it.as_str()))
    {
        return fault("action.type", What::Value(action, SEARCHES));
    }
    if let Some(id) = head.id.as_deref()
        && kind != ItemKind::ItemReference
        && id.chars().nth(MAX_ID).is_some()
    {
        return fault("id", What::TooLong(id.chars().count()));
    }
    if kind == ItemKind::FunctionCall
        && let Some(arguments) = object.text("arguments")
        && !arguments.is_empty()
        && serde_json::from_str::<serde::de::IgnoredAny>(&arguments).is_err()
    {
        return fault("arguments", What::NotJson);
    }
    None
}

/// Looks at the body as a whole.
pub fn body(head: &RequestHead<'_>, profile: Profile, websocket: bool) -> Option<Failure> {
    if profile == Profile::CodexBackend
        && let Some(failure) = backend(head, websocket)
    {
        return Some(failure);
    }
    if head.members.value("messages").is_some() {
        return Some(
            Failure::invalid("Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'. Try again with the new parameter. See the API documentation for more information: https://platform.openai.com/docs/api-reference/responses/create.")
                .code("unsupported_parameter")
                .rule("unsupported_parameter"),
        );
    }
    let prompt = head.members.value("prompt").is_some();
    if head.model.as_deref().is_none_or(str::is_empty) && !prompt {
        return Some(missing("model"));
    }
    let goes_on = head.previous.is_some() || head.conversation.is_some() || prompt;
    match &head.input {
        Input::None if !goes_on => return Some(missing("input")),
        Input::Odd(_) => {
            return Some(
                Failure::invalid("Invalid type for 'input': expected one of a string or array of input items, but got an object instead.")
                    .param("input")
                    .code("invalid_type")
                    .rule("invalid_type"),
            );
        }
        _ => {}
    }
    if let Some(previous) = head.previous.as_deref() {
        if head.conversation.is_some() {
            return Some(
                Failure::invalid("Mutually exclusive parameters: 'conversation'. Ensure you are only providing one of: 'previous_response_id' or 'conversation'.")
                    .param("conversation")
                    .code("mutually_exclusive_parameters")
                    .rule("mutually_exclusive_parameters"),
            );
        }
        if !previous.starts_with("resp") {
            return Some(
                Failure::invalid(format!(
                    "Invalid 'previous_response_id': '{previous}'. Expected an ID that begins with 'resp'."
                ))
                .param("previous_response_id")
                .code("invalid_value")
                .rule("bad_response_id"),
            );
        }
    }
    if head.members.flag("background") == Some(true) {
        return Some(
            Failure::invalid("Unsupported parameter: 'background' is not supported by this server. It answers at once.")
                .param("background")
                .code("unsupported_parameter")
                .rule("unsupported_parameter"),
        );
    }
    tool_choice(head)
}

/// The rules of the ChatGPT backend (responses-api.md 1.4 and 2.3; the first is verified, the others are secondary and
/// their words inferred from it).
fn backend(head: &RequestHead<'_>, websocket: bool) -> Option<Failure> {
    if !websocket && head.stream != Some(true) {
        return Some(Failure::detail("Stream must be set to true").rule("backend"));
    }
    if head.store != Some(false) {
        return Some(Failure::detail("Store must be set to false").rule("backend"));
    }
    if !websocket && head.previous.is_some() {
        return Some(
            Failure::detail("Unsupported parameter: previous_response_id").rule("backend"),
        );
    }
    let unsupported = [
        "max_output_tokens",
        "temperature",
        "top_p",
        "truncation",
        "user",
        "safety_identifier",
        "prompt_cache_retention",
    ];
    if let Some(name) = unsupported
        .into_iter()
        .find(|name| head.members.value(name).is_some())
    {
        return Some(Failure::detail(&format!("Unsupported parameter: {name}")).rule("backend"));
    }
    let system = |raw: &str| {
        Object::read(raw).is_some_and(|it| it.text("role").as_deref() == Some("system"))
    };
    if let Input::Items(items) = &head.input
        && items
            .iter()
            .any(|raw| raw.get().contains("\"system\"") && system(raw.get()))
    {
        return Some(Failure::detail("System messages are not allowed").rule("backend"));
    }
    None
}

/// A tool that is asked for by name must be offered.
fn tool_choice(head: &RequestHead<'_>) -> Option<Failure> {
    let raw = head.members.value("tool_choice")?;
    let Some(choice) = Object::read(raw) else {
        let word = string(raw)?;
        let known = ["none", "auto", "required"];
        return (!known.contains(&word.as_ref()))
            .then(|| wrong_value("tool_choice", &word, &known));
    };
    if choice.text("type").as_deref() != Some("function") {
        return None;
    }
    let name = choice.text("name")?;
    let offered = head.members.value("tools").and_then(array);
    let found = offered.unwrap_or_default().iter().any(|raw| {
        Object::read(raw.get()).is_some_and(|it| it.text("name").as_deref() == Some(&*name))
    });
    (!found).then(|| {
        Failure::invalid("Tool choice 'function' not found in 'tools' parameter.")
            .param("tool_choice")
            .rule("tool_choice_not_offered")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> Option<String> {
        let head: ItemHead<'_> = serde_json::from_str(raw).unwrap();
        item(raw, &head).map(|it| it.at(3).message)
    }

    #[test]
    fn items_are_looked_at() {
        assert_eq!(
            of(r#"{"type":"web_search_call","id":"ws_1","action":{"type":"other"}}"#).unwrap(),
            "Invalid value: 'other'. Supported values are: 'search', 'open_page', and 'find_in_page'."
        );
        assert_eq!(
            of(r#"{"type":"function_call","call_id":"c","name":"f"}"#).unwrap(),
            "Missing required parameter: 'input[3].arguments'."
        );
        assert_eq!(
            of(r#"{"role":"robot","content":"x"}"#).unwrap(),
            "Invalid value: 'robot'. Supported values are: 'assistant', 'system', 'developer', and 'user'."
        );
        let long = "m".repeat(65);
        assert!(
            of(&format!(
                r#"{{"role":"user","content":"x","id":"msg_{long}"}}"#
            ))
            .unwrap()
            .contains("length 69 instead")
        );
        for fine in [
            r#"{"role":"user","content":"x"}"#,
            r#"{"type":"function_call_output","output":"host injected"}"#,
            r#"{"type":"a_kind_of_tomorrow"}"#,
            r#"{"type":"function_call","call_id":"c","name":"f","arguments":""}"#,
        ] {
            assert_eq!(of(fine), None, "{fine}");
        }
    }

    #[test]
    fn bodies_are_looked_at() {
        let of = |text: &str, profile| {
            body(&RequestHead::read(text).unwrap(), profile, false).map(|it| (it.message, it.param))
        };
        let open = |text: &str| of(text, Profile::OpenAi);
        let missing = |name: &str| {
            Some((
                format!("Missing required parameter: '{name}'."),
                Some(name.to_owned()),
            ))
        };
        assert_eq!(open(r#"{"input":"x"}"#), missing("model"));
        assert_eq!(open(r#"{"model":"m"}"#), missing("input"));
        assert_eq!(open(r#"{"model":"m","input":"x"}"#), None);
        assert_eq!(
            open(r#"{"model":"m","previous_response_id":"resp_1"}"#),
            None
        );
        assert!(
            open(r#"{"model":"m","input":"","previous_response_id":"x_1"}"#)
                .unwrap()
                .0
                .contains("begins with 'resp'")
        );
        assert!(open(r#"{"model":"m","messages":[]}"#).is_some());
        assert!(
            open(r#"{"model":"m","input":"x","tool_choice":{"type":"function","name":"f"}}"#)
                .is_some()
        );
        assert_eq!(
            of(r#"{"model":"m","input":"x"}"#, Profile::CodexBackend)
                .unwrap()
                .0,
            "Stream must be set to true"
        );
    }
}
