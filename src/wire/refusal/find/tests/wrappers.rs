//! Every wrapper by example, with and without a sentence of the API in it.

use super::super::*;
use crate::wire::item::ItemKind;
use crate::wire::refusal::{Refusal, RefusalKind};

/// A refusal as the API writes it, for the wrappers.
fn body() -> String {
    Refusal::missing_output(ItemKind::FunctionCall, "call_a.1").body()
}

/// The same on one line, keys in another order.
fn compact() -> &'static str {
    r#"{"error":{"code":null,"message":"No tool output found for function call call_a.1.","param":"input","type":"invalid_request_error"}}"#
}

fn as_text(json: &str) -> String {
    serde_json::Value::from(json).to_string()
}

/// The same found in all wrappers: kind, item type and id; given are the wrapper and the status it tells.
#[test]
fn every_wrapper_is_opened() {
    let (body, compact) = (body(), compact());
    let inner = r#"{"message":"No tool output found for function call call_a.1.","type":"invalid_request_error","param":"input","code":null}"#;
    let sentence = "No tool output found for function call call_a.1.";
    let python = "{'error': {'message': 'No tool output found for function call call_a.1.', 'type': 'invalid_request_error', 'param': 'input', 'code': None}}";
    let openrouter = |raw: &str| {
        format!(
            r#"{{"error":{{"message":"Provider returned error","code":400,"metadata":{{"raw":{},"provider_name":"Azure","is_byok":false}}}},"user_id":"org_1"}}"#,
            as_text(raw)
        )
    };
    let litellm = |inner: &str| {
        format!(
            r#"{{"error":{{"message":{},"type":null,"param":null,"code":"400"}}}}"#,
            as_text(&format!(
                "litellm.BadRequestError: OpenAIException - {inner}No fallback model group found. Received Model Group=m\nAvailable Model Group Fallbacks=None"
            ))
        )
    };
    let codex = format!("unexpected status 400 Bad Request: {body}; retrying 1/10 in 201ms…");
    let cases: Vec<(String, Wrapper, Option<u16>)> = vec![
        (body.clone(), Wrapper::Plain, None),
        (format!("\u{feff}\r\n{compact}\n"), Wrapper::Plain, None),
        (
            r#"{"type":"error","status":400,"error":{"type":"invalid_request_error","message":"No tool output found for function call call_a.1.","param":"input"},"stream_id":"s"}"#.into(),
            Wrapper::Plain,
            Some(400),
        ),
        (inner.into(), Wrapper::Json, None),
        (
            format!(r#"{{"type":"error","status":400,"error":{inner},"x":1}}"#),
            Wrapper::Event,
            Some(400),
        ),
        (
            format!(r#"{{"type":"response.failed","sequence_number":3,"response":{{"id":"resp_1","status":"failed","error":{{"code":"x","message":"{sentence}"}},"usage":null}}}}"#),
            Wrapper::Event,
            None,
        ),
        (
            format!("event: error\ndata: {{\"type\":\"error\",\"sequence_number\":2,\"error\":{inner}}}\n\n"),
            Wrapper::Event,
            None,
        ),
        (
            format!(r#"{{"type":"error","sequence_number":1,"code":null,"message":"{sentence}","param":"input"}}"#),
            Wrapper::Event,
            None,
        ),
        (
            format!(r#"{{"error":{{"message":"{sentence}","code":"invalid_request_body"}}}}"#),
            Wrapper::Copilot,
            None,
        ),
        (openrouter(&body), Wrapper::OpenRouter, Some(400)),
        (openrouter(&format!("[{compact}]")), Wrapper::OpenRouter, Some(400)),
        (
            openrouter(&format!("The provider said no. Upstream error: {compact}")),
            Wrapper::OpenRouter,
            Some(400),
        ),
        (litellm(&body), Wrapper::LiteLlm, Some(400)),
        (litellm(&openrouter(&body)), Wrapper::LiteLlm, Some(400)),
        (
            litellm(&format!("Error code: 400 - {python}")),
            Wrapper::LiteLlm,
            Some(400),
        ),
        (format!(r#"{{"detail":"{sentence}"}}"#), Wrapper::Detail, None),
        (
            format!(r#"{{"detail":[{{"loc":["body"],"msg":"{sentence}"}}]}}"#),
            Wrapper::Detail,
            None,
        ),
        (format!(r#"{{"detail":["{sentence}"]}}"#), Wrapper::Detail, None),
        (
            format!(r#"{{"code":"invalid-argument","error":"{sentence}"}}"#),
            Wrapper::Xai,
            None,
        ),
        (as_text(&body), Wrapper::NestedJson, None),
        (
            format!(r#"{{"error":{{"message":{},"type":"upstream_error"}}}}"#, as_text(&body)),
            Wrapper::NestedJson,
            None,
        ),
        (
            format!(r#"{{"method":"POST","status":400,"request":"{{}}","body":{}}}"#, as_text(compact)),
            Wrapper::NestedJson,
            Some(400),
        ),
        (format!("Error code: 400 - {python}"), Wrapper::PythonSdk, Some(400)),
        (format!("Error code: 400 - {sentence}"), Wrapper::PythonSdk, Some(400)),
        (format!("400 {sentence}"), Wrapper::NodeSdk, Some(400)),
        (format!("400 {body}"), Wrapper::NodeSdk, Some(400)),
        (codex.clone(), Wrapper::CodexDebug, Some(400)),
        (
            format!("BackgroundEvent {{ message: {codex:?} }}"),
            Wrapper::CodexDebug,
            Some(400),
        ),
        (
            format!("{:?}", format!("stream error: {codex:?}")),
            Wrapper::CodexDebug,
            Some(400),
        ),
        (
            format!(r#"{{"id":"1","msg":{{"type":"error","message":{}}}}}"#, as_text(&codex)),
            Wrapper::CodexDebug,
            Some(400),
        ),
        (format!("{compact}data: [DONE]\n\n"), Wrapper::JsonThenSse, None),
        (format!("{compact} HTTP 400"), Wrapper::Text, Some(400)),
        (
            format!("[2026-01-01] {{broken}} {{\"message\":\"sending\"}} {compact}"),
            Wrapper::Text,
            None,
        ),
        (
            format!("{} HTTP 400", litellm(&body)),
            Wrapper::LiteLlm,
            Some(400),
        ),
        (format!("my agent says: {sentence} What now?"), Wrapper::Text, None),
    ];
    for (text, wrapper, status) in cases {
        let found = find(&text);
        let named = found.named.as_ref().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(named.kind, RefusalKind::MissingOutput, "{text}");
        assert_eq!(named.item_type, Some(ItemKind::FunctionCall), "{text}");
        assert_eq!(named.id, "call_a.1", "{text}");
        assert_eq!(found.message, sentence, "{text}");
        assert_eq!(found.wrapper, wrapper, "{text}");
        assert_eq!(found.status, status, "{text}");
        assert_eq!(found.plain, wrapper == Wrapper::Plain, "{text}");
        assert_eq!(find_bytes(text.as_bytes()), found);
    }
}

#[test]
fn what_names_nothing_still_has_a_message() {
    let cases = [
        (
            r#"{"error":{"code":"model_not_found","message":"The requested model 'm' does not exist.","param":"model","type":"invalid_request_error"}}"#,
            "The requested model 'm' does not exist.",
            Wrapper::Plain,
            None,
        ),
        (
            "Error code: 400 - {'error': {'message': \"The requested model 'm' does not exist.\", 'code': None}}",
            "The requested model 'm' does not exist.",
            Wrapper::PythonSdk,
            Some(400),
        ),
        (
            "unexpected status 404 Not Found: {\\\"error\\\": {\\\"message\\\": \\\"The model\n    is gone.\\\"}}",
            "The model is gone.",
            Wrapper::CodexDebug,
            Some(404),
        ),
        (
            "{\"error\":{\"message\":\"Upstream request failed\",\"type\":\"upstream_error\"}}event: response.failed\ndata: {\"x\":1}",
            "Upstream request failed",
            Wrapper::JsonThenSse,
            None,
        ),
        (
            r#"{"statusCode":404,"message":"Resource not found"}"#,
            "Resource not found",
            Wrapper::Json,
            Some(404),
        ),
        (
            "154e\r\n<!DOCTYPE html><html><head><title>Just a moment...</title>",
            "Just a moment...",
            Wrapper::Html,
            None,
        ),
        (
            "<html>\n<head><title>403 Forbidden</title></head>",
            "403 Forbidden",
            Wrapper::Html,
            Some(403),
        ),
        (
            "Unknown error, url: x",
            "Unknown error, url: x",
            Wrapper::Text,
            None,
        ),
        ("  ", "", Wrapper::Text, None),
        (
            "No tool output found for function calls",
            "No tool output found for function calls",
            Wrapper::Text,
            None,
        ),
    ];
    for (text, message, wrapper, status) in cases {
        let found = find(text);
        assert_eq!(found.named, None, "{text}");
        assert_eq!(found.message, message, "{text}");
        assert_eq!(found.wrapper, wrapper, "{text}");
        assert_eq!(found.status, status, "{text}");
        assert_eq!(found.plain, wrapper == Wrapper::Plain, "{text}");
    }
}
