//! Every wrapper of responses-api.md 1.4 by example, and compositions of them by chance.

mod properties;

use super::*;
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
fn every_sentence_is_read() {
    use ItemKind as K;
    use RefusalKind as R;
    let long = "x".repeat(90);
    let cases: Vec<(&str, R, Option<K>, &str)> = vec![
        (
            "No tool output found for custom tool call call_1.",
            R::MissingOutput,
            Some(K::CustomToolCall),
            "call_1",
        ),
        (
            "No tool output found for local shell call call_1.",
            R::MissingOutput,
            Some(K::LocalShellCall),
            "call_1",
        ),
        (
            "No tool output found for computer call call_1.",
            R::MissingOutput,
            Some(K::ComputerCall),
            "call_1",
        ),
        (
            "No tool output found for shell call shell_0.",
            R::MissingOutput,
            Some(K::ShellCall),
            "shell_0",
        ),
        (
            "No tool output found for apply patch call call_1.",
            R::MissingOutput,
            Some(K::ApplyPatchCall),
            "call_1",
        ),
        (
            "No tool output found for tool search call call_1.",
            R::MissingOutput,
            Some(K::ToolSearchCall),
            "call_1",
        ),
        (
            "No tool output found for web search call ws_1",
            R::MissingOutput,
            Some(K::WebSearchCall),
            "ws_1",
        ),
        (
            "No tool output found for mcp call mcp_1",
            R::MissingOutput,
            Some(K::McpCall),
            "mcp_1",
        ),
        (
            "No tool output found for tool call call-a",
            R::MissingOutput,
            None,
            "call-a",
        ),
        (
            "No tool output found for tool call call_00_x: try again",
            R::MissingOutput,
            None,
            "call_00_x",
        ),
        (
            "No tool output found for brand new call call_1.",
            R::MissingOutput,
            None,
            "call_1",
        ),
        (
            "No tool output found for function call fcUdHXdv33.",
            R::MissingOutput,
            Some(K::FunctionCall),
            "fcUdHXdv33",
        ),
        (
            "No tool output found for function call mcp__cal.search_exec-1a-2b.",
            R::MissingOutput,
            Some(K::FunctionCall),
            "mcp__cal.search_exec-1a-2b",
        ),
        (
            "No tool output found for function call\ncall_1..",
            R::MissingOutput,
            Some(K::FunctionCall),
            "call_1",
        ),
        (
            "No tool call found for function call output with call_id toolu_1.",
            R::OrphanOutput,
            Some(K::FunctionCallOutput),
            "toolu_1",
        ),
        (
            "No tool call found for custom tool call output with call_id a/b:c.",
            R::OrphanOutput,
            Some(K::CustomToolCallOutput),
            "a/b:c",
        ),
        (
            "No tool call found for tool output with call_id call_1.",
            R::OrphanOutput,
            None,
            "call_1",
        ),
        (
            "No function call found for function call output with call_id call_1.",
            R::OrphanOutput,
            Some(K::FunctionCallOutput),
            "call_1",
        ),
        (
            "No tool call found for function call output with call_id .",
            R::OrphanOutput,
            Some(K::FunctionCallOutput),
            "",
        ),
        (
            "Duplicate item found with id msg_1. Remove duplicate items from your input and try again.",
            R::DuplicateItem,
            None,
            "msg_1",
        ),
        (
            "Duplicate item found with id a.. Remove duplicate items from your input and try again.",
            R::DuplicateItem,
            None,
            "a.",
        ),
        (
            "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
            R::ReasoningWithoutFollower,
            Some(K::Reasoning),
            "rs_1",
        ),
        (
            "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.",
            R::ItemWithoutReasoning,
            Some(K::FunctionCall),
            "fc_1",
        ),
        (
            "Item 'm_1' of type 'hidden_message' was provided without its required 'reasoning' item: 'rs_1'.",
            R::ItemWithoutReasoning,
            Some(K::Other),
            "m_1",
        ),
        (
            "Item with id 'rs_1' not found.",
            R::ItemNotFound,
            Some(K::ItemReference),
            "rs_1",
        ),
        (
            "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.",
            R::ItemNotFound,
            Some(K::ItemReference),
            "rs_1",
        ),
        (
            "Previous response with id 'resp_1' not found.",
            R::PreviousResponseNotFound,
            None,
            "resp_1",
        ),
        (
            "Invalid 'input[7].id': 'call_1'. Expected an ID that begins with 'fc'.",
            R::BadItemId,
            Some(K::FunctionCall),
            "call_1",
        ),
        (
            "Invalid 'input[7].call_id': string too long. Expected a string with maximum length 64, but got a string with length 70 instead.",
            R::CallIdTooLong,
            None,
            "",
        ),
    ];
    for (sentence, kind, item_type, id) in cases {
        let texts = [
            sentence.to_owned(),
            format!("400 {sentence}"),
            format!(
                r#"{{"error":{{"message":"{}"}}}}"#,
                sentence.replace('\n', "\\n")
            ),
            format!("{:?}", format!("{{'message': {sentence:?}}}")),
        ];
        for text in texts {
            let named = find(&text).named.unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (named.kind, named.item_type, named.id.as_str()),
                (kind, item_type, id),
                "{text}"
            );
        }
    }
    let named = find(&format!("No tool output found for function call {long}.")).named;
    assert_eq!(named.unwrap().id, long);
    assert_eq!(
        find("Invalid 'input[7].id': 'a'. Expected an ID that begins with 'ctc'.").position,
        Some(7)
    );
}

#[test]
fn a_terminal_may_break_the_text_anywhere() {
    let text = "unexpected status 400 Bad Request: {\"error\": {\"message\": \"No tool output found for function call call_0123456789abcdef.\", \"type\": null}}; retrying 1/2 in 201ms…";
    let debug = format!("BackgroundEvent {{ message: {text:?} }}");
    for (source, width) in [text, debug.as_str()]
        .into_iter()
        .flat_map(|source| (12..90).map(move |width| (source, width)))
    {
        let chars: Vec<char> = source.chars().collect();
        let lines: Vec<String> = chars
            .chunks(width)
            .map(|line| line.iter().collect::<String>())
            .collect();
        for wrapped in [lines.join("\n    "), format!("│{}│", lines.join(" │\n│"))] {
            let found = find(&wrapped);
            let named = found.named.unwrap_or_else(|| panic!("{wrapped}"));
            assert_eq!(named.id, "call_0123456789abcdef", "{wrapped}");
            assert_eq!(found.wrapper, Wrapper::CodexDebug, "{wrapped}");
            assert_eq!(found.status, Some(400), "{wrapped}");
            assert_eq!(
                found.message,
                "No tool output found for function call call_0123456789abcdef."
            );
        }
    }
}

#[test]
fn a_break_behind_an_id_is_not_taken_for_one_inside_it() {
    let id = |text: &str| find(text).named.unwrap().id;
    let call = "No tool output found for function call";
    // the sentence is over, or the next line does not end it
    assert_eq!(id(&format!("{call} call_1.\nRetry.")), "call_1");
    assert_eq!(id(&format!("{call} call_1\nRetry later.")), "call_1");
    assert_eq!(id(&format!("{call} call_1\n\nRetry.")), "call_1");
    assert_eq!(id(&format!("\"{call} call_1.\nRetry\"")), "call_1");
    // the best reading: the sentence still lacks its dot, or the string its end
    assert_eq!(id(&format!("{call} call_1\n  23.")), "call_123");
    assert_eq!(id(&format!("{call} call_1\n  23\n  4.")), "call_1234");
    assert_eq!(id(&format!("\"{call} call_1.\n  23.\"")), "call_1.23");
    let deepseek = "No tool output found for tool call";
    assert_eq!(id(&format!("{deepseek} call_1\nRetry.")), "call_1");
    assert_eq!(
        id(&format!("{{\"message\": \"{deepseek} call_1\n23\"}}")),
        "call_123"
    );
}

#[test]
fn of_two_dots_one_is_the_ids_only_in_a_string() {
    let id = |text: &str| find(text).named.unwrap().id;
    let sentence = "No tool output found for function call a.b..";
    assert_eq!(
        id(&format!(r#"{{"error":{{"message":"{sentence}"}}}}"#)),
        "a.b."
    );
    assert_eq!(
        id(&format!(r#"{{\"error\":{{\"message\":\"{sentence}\"}}}}"#)),
        "a.b."
    );
    assert_eq!(id(&format!("{{'error': {{'message': '{sentence}'")), "a.b.");
    assert_eq!(id(sentence), "a.b");
    assert_eq!(
        id(&format!(
            "Message: 400 {sentence} Please verify your settings"
        )),
        "a.b"
    );
    assert_eq!(
        id(&format!(
            r#"{{"error":{{"message":"Message: 400 {sentence} Please"}}}}"#
        )),
        "a.b"
    );
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

/// Each of these would hurt a parser that recurses, backtracks or starts over.
#[test]
fn texts_of_ten_megabytes_are_no_burden() {
    let size = 10 * MAX_TEXT;
    let fill = |piece: &str| piece.repeat(size / piece.len());
    for piece in [
        "{",
        "[[",
        "\"",
        "\\",
        "\\\\n",
        "{\"error\":",
        "{\"a\":[1,1,1],",
        "{'a':[1,1,1],",
        "[\"",
        "No tool output found for ",
        "No tool output found for function call.\n",
        "Item 'a\n",
        "Duplicate ",
        "status ",
        "é\u{1b}[",
        "{\"message\":\"a\"}",
        "{\"message\":\"{\\\"message\\\":\\\"a\\\"}\"} status",
    ] {
        assert_eq!(find(&fill(piece)).named, None, "{piece}");
        call_ids(&fill(piece));
    }
    // a refusal at the end of a long log
    let log = format!(
        "{}No tool output found for function call call_1.",
        fill("line\n")
    );
    assert_eq!(find(&log).named.unwrap().id, "call_1");
    let deep = format!("{}{}", "[".repeat(5000), body());
    assert_eq!(find(&deep).named.unwrap().id, "call_a.1");
}
