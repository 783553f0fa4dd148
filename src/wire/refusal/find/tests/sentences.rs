//! Every sentence, its ids, what terminals and clients do to both, and texts of unusual size.

use super::super::*;
use crate::wire::item::ItemKind;
use crate::wire::refusal::RefusalKind;

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
fn a_sentence_is_read_to_its_end_behind_an_escape() {
    let text = r#"{\"error\": {\"message\": \"Item with id 'rs_1' not found. Items are not\n    persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.\"}}"#;
    let found = find(text);
    assert_eq!(found.named.unwrap().id, "rs_1");
    assert!(
        found.message.ends_with("from your input."),
        "{}",
        found.message
    );
}

#[test]
fn a_break_may_be_escaped_itself() {
    let id = |text: &str| find(text).named.unwrap().id;
    assert_eq!(
        id(r#"x: \"Duplicate item found with id a..\n    Remove duplicate items from your input."#),
        "a."
    );
    assert_eq!(
        id(
            r#""Item 'rs_1\n  23' of type 'reasoning' was provided without its required following item.""#
        ),
        "rs_123"
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

/// Each of these would hurt a parser that recurses, backtracks or starts over.
#[test]
fn texts_beyond_the_limit_are_no_burden() {
    let size = 2 * MAX_TEXT;
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
    let escaped = format!(
        "No tool output found for function call call_1. {}",
        fill("\\\\\\\\x")
    );
    assert_eq!(find(&escaped).named.unwrap().id, "call_1");
    // a refusal at the end of a long log
    let log = format!(
        "{}No tool output found for function call call_1.",
        fill("line\n")
    );
    assert_eq!(find(&log).named.unwrap().id, "call_1");
    let body = r#"{"error":{"message":"No tool output found for function call call_1."}}"#;
    let deep = format!("{}{}", "[".repeat(5000), body);
    assert_eq!(find(&deep).named.unwrap().id, "call_1");
}
