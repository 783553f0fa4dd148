//! Refusals in wrappers put together by chance.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use crate::wire::item::ItemKind;
use crate::wire::refusal::{Refusal, RefusalKind};

const CALLS: [ItemKind; 9] = [
    ItemKind::FunctionCall,
    ItemKind::CustomToolCall,
    ItemKind::LocalShellCall,
    ItemKind::ComputerCall,
    ItemKind::ShellCall,
    ItemKind::ApplyPatchCall,
    ItemKind::ToolSearchCall,
    ItemKind::McpApprovalRequest,
    ItemKind::WebSearchCall,
];

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_.:/-]{1,80}",
        "call_[A-Za-z0-9]{24}",
        "[a-z]{1,4}\\.{1,3}",
    ]
}

/// A refusal of any kind.
fn refusal() -> impl Strategy<Value = Refusal> {
    let call = proptest::sample::select(CALLS.to_vec());
    (0..12_u8, call, id(), id(), any::<u16>()).prop_map(|(kind, call, id, other, position)| {
        let output = call.answer_kind();
        let output = output.unwrap_or(ItemKind::FunctionCallOutput);
        match kind {
            0 | 1 => Refusal::missing_output(call, &id),
            2 | 3 => Refusal::orphan_output(output, &id),
            4 => Refusal::duplicate_item(call, &id),
            5 => Refusal::reasoning_without_follower(&id),
            6 => Refusal::item_without_reasoning(call, &id, &other),
            7 => Refusal::item_not_found(&id, position % 2 == 0),
            8 => Refusal::previous_response_not_found(&id),
            9 => Refusal::bad_item_id(ItemKind::CustomToolCall, u32::from(position), &id, "ctc"),
            10 => Refusal::call_id_too_long(call, u32::from(position), &id),
            _ if position % 2 == 0 => Refusal::duplicate_output(output, &id),
            _ => Refusal::duplicate_call(call, &id),
        }
    })
}

/// What the sentence tells of a refusal: E14 no kind, E22 neither kind nor id.
fn told(refusal: &Refusal) -> Named {
    let mut named = refusal.named();
    match named.kind {
        RefusalKind::DuplicateItem => named.item_type = None,
        RefusalKind::CallIdTooLong => {
            named.item_type = None;
            named.id = String::new();
        }
        _ => {}
    }
    named
}

#[derive(Clone, Debug)]
enum Layer {
    LiteLlm,
    JsonText,
    OpenRouter,
    Python,
    Debug,
    HardWrap(Vec<bool>),
}

fn layer() -> impl Strategy<Value = Layer> {
    prop_oneof![
        Just(Layer::LiteLlm),
        Just(Layer::JsonText),
        Just(Layer::OpenRouter),
        Just(Layer::Python),
        Just(Layer::Debug),
        proptest::collection::vec(any::<bool>(), 1..40).prop_map(Layer::HardWrap),
    ]
}

fn wrap(inner: &str, layer: &Layer) -> String {
    match layer {
        Layer::LiteLlm => json!({"error": {
            "message": format!("litellm.BadRequestError: OpenAIException - {inner}. Received Model Group=m\nAvailable Model Group Fallbacks=None"),
            "type": null, "param": null, "code": "400",
        }})
        .to_string(),
        Layer::JsonText => Value::from(inner).to_string(),
        Layer::OpenRouter => json!({"error": {
            "message": "Provider returned error", "code": 400,
            "metadata": {"raw": inner, "provider_name": "Azure"},
        }})
        .to_string(),
        Layer::Python => {
            let value = serde_json::from_str(inner)
                .unwrap_or_else(|_| json!({"error": {"message": inner, "code": null}}));
            format!("Error code: 400 - {}", python(&value))
        }
        Layer::Debug => {
            let text = format!("unexpected status 400 Bad Request: {inner}; retrying 1/10 in 201ms…");
            format!("BackgroundEvent {{ message: {text:?} }}")
        }
        Layer::HardWrap(breaks) => {
            let mut breaks = breaks.iter().cycle();
            let mut text = String::new();
            for char in inner.chars() {
                match char {
                    ' ' if breaks.next() == Some(&true) => text.push_str("\n    "),
                    _ => text.push(char),
                }
            }
            text
        }
    }
}

/// A value as Python prints it.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') {
                '"'
            } else {
                '\''
            };
            let mut literal = String::from(quote);
            for char in text.chars() {
                match char {
                    '\n' => literal.push_str("\\n"),
                    '\\' => literal.push_str("\\\\"),
                    _ if char == quote => write!(literal, "\\{char}").unwrap(),
                    _ => literal.push(char),
                }
            }
            literal.push(quote);
            literal
        }
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(python).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(object) => {
            let members: Vec<String> = object
                .iter()
                .map(|(name, value)| format!("'{name}': {}", python(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// Text made of what the reader looks for, in any order.
fn noise() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "\\",
        "\\n",
        "\\u",
        "\n",
        " ",
        ".",
        "..",
        ":",
        ",",
        "é",
        "│",
        "\u{1b}[",
        "call_1",
        "null",
        "None",
        "400",
        "error",
        "message",
        "\"error\":",
        "{'error': '",
        "\"metadata\":{\"raw\":",
        "No tool output found for ",
        "function call ",
        "Item '",
        "' of type '",
        "Item with id '",
        "Invalid 'input[",
        "1].id': '",
        "Duplicate item found with id ",
        "No tool call found for tool output with call_id ",
        "<html>",
        "<title>",
        "status ",
        "data: ",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..60)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_body_and_a_frame_give_back_their_refusal(refusal in refusal()) {
        for text in [refusal.body(), refusal.frame()] {
            let found = find(&text);
            prop_assert_eq!(found.named, Some(told(&refusal)));
            prop_assert_eq!(found.message, refusal.message.as_str());
            prop_assert_eq!(found.wrapper, Wrapper::Plain);
            prop_assert!(found.plain);
        }
    }

    #[test]
    fn a_refusal_is_found_in_any_three_wrappers(
        refusal in refusal(),
        layers in proptest::collection::vec(layer(), 0..=3),
    ) {
        let text = layers.iter().fold(refusal.body(), |text, layer| wrap(&text, layer));
        let found = find(&text);
        prop_assert_eq!(found.named, Some(told(&refusal)), "{}", text);
        prop_assert_eq!(found.message, refusal.message, "{}", text);
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        find_bytes(&bytes);
        call_ids(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_is_read(text in noise()) {
        find(&text);
        call_ids(&text);
    }
}
