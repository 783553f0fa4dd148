//! `replay share`, from outside: no secret survives, the refusal does.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Sandbox, capture};

const SECRETS: [&str; 9] = [
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "xoxb-123456789012-123456789012-abcdefghijklmnopqrstuvwx",
    "hunter2-and-more",
    "acme-internal",
    "alice",
    "MIIEpAIBAAKCAQEA",
];

/// A rollout with a secret in every place that holds text.
fn planted() -> String {
    let bytes = capture("h_lost_output-0.45.0", "rollout").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let all = format!(
        "{} password={} url=https://bob:{}@host/ /home/alice/x C:\\Users\\alice\\y acme-internal",
        SECRETS[..5].join(" "),
        SECRETS[5],
        SECRETS[5]
    );
    let key = format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
        SECRETS[8]
    );
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let payload = &mut value["payload"];
        match payload["type"].as_str() {
            Some("function_call") => {
                payload["arguments"] = json!({"cmd": all, "api_key": SECRETS[0], "key": key})
                    .to_string()
                    .into();
            }
            Some("function_call_output") => payload["output"] = format!("{all}\n{key}").into(),
            Some("message") => payload["content"][0]["text"] = all.clone().into(),
            _ => {}
        }
        if payload.get("cwd").is_some() {
            payload["cwd"] = "/home/alice/acme-internal".into();
        }
        lines.push(value.to_string());
    }
    lines.join("\n") + "\n"
}

#[test]
fn no_planted_secret_survives_and_the_refusal_does() {
    let sandbox = Sandbox::new();
    sandbox.write("r.jsonl", planted());
    let arguments = [
        "share",
        "r.jsonl",
        "-o",
        "out.jsonl",
        "--recover",
        "none",
        "--redact",
        "acme-\\w+",
        "--yes",
    ];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"");
    assert_eq!(done.status, 0, "{done:?}");
    assert_snapshot!("share", sandbox.shown(&done));
    for name in ["out.jsonl", "out.jsonl.md"] {
        let text = std::fs::read_to_string(sandbox.path().join(name)).unwrap();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{name}: {secret}\n{text}");
        }
    }
    let done = sandbox.run_in(
        sandbox.path(),
        &["out.jsonl", "--recover", "none", "--expect", "refused"],
        b"",
    );
    assert_eq!(done.status, 0, "{done:?}");
}

#[test]
fn nothing_is_written_before_somebody_says_yes() {
    let sandbox = Sandbox::new();
    sandbox.write("r.jsonl", planted());
    let arguments = ["share", "r.jsonl", "-o", "out.jsonl", "--recover", "none"];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"y\n");
    assert_eq!(done.status, 2, "{done:?}");
    assert!(
        done.out
            .contains("No tool output found for function call call_LOST."),
        "{}",
        done.out
    );
    assert!(
        !sandbox.path().join("out.jsonl").exists() && !sandbox.path().join("out.jsonl.md").exists()
    );
    let arguments = [
        "share",
        "r.jsonl",
        "-o",
        "out.jsonl",
        "--recover",
        "none",
        "--yes",
        "--format",
        "json",
    ];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"");
    assert_eq!(
        done.json()["failure"],
        "missing_output function_call call_LOST"
    );
}

#[test]
fn a_session_that_nothing_refuses_is_not_shared() {
    let sandbox = Sandbox::new();
    sandbox.write("r.jsonl", capture("a_text-0.169.0", "rollout").unwrap());
    let done = sandbox.run_in(
        sandbox.path(),
        &["share", "r.jsonl", "-o", "out.jsonl", "--yes"],
        b"",
    );
    assert_eq!(done.status, 1, "{done:?}");
}

/// What no rule of redaction knows, and no shape tells.
const WORDS: [&str; 4] = ["marmalade-1", "marmalade-2", "marmalade-3", "marmalade-4"];

/// A refused recording whose answers are messages of a WebSocket, or bodies that are no stream.
fn answered(transport: &str) -> String {
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_A", "name": "shell", "arguments": json!({"k": WORDS[0]}).to_string()});
    let user = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": WORDS[1]}]});
    let whole = json!({"id": "resp_1", "object": "response", "status": "completed", "instructions": WORDS[2], "output": [call]});
    let message = "No tool output found for function call call_A.";
    let error = json!({"type": "invalid_request_error", "message": message, "param": "input", "code": null});
    let mut lines = vec![
        json!({"kind": "session", "format": 1, "id": "0192f3a1-0000-7000-8000-000000000001", "created_at": "2026-11-20T20:00:00.000Z", "recorder": "replay 0.1.0"}),
    ];
    if transport == "websocket" {
        lines.push(json!({"kind": "connection", "connection": 1, "at_us": 1, "method": "GET", "path": "/v1/responses",
            "headers": [["authorization", format!("Bearer {}", SECRETS[0])]], "status": 101, "response_headers": [], "extensions": null}));
    }
    let bodies = [
        json!({"model": "m", "instructions": WORDS[3], "input": [user]}),
        json!({"model": "m", "previous_response_id": "resp_1", "instructions": WORDS[3], "input": [user]}),
    ];
    for (exchange, mut body) in (1..).zip(bodies) {
        let at = 10 * exchange;
        let (status, answer) = match exchange {
            1 => (200, whole.clone()),
            _ => (400, json!({"error": error, "detail": WORDS[2]})),
        };
        if transport == "websocket" {
            body["type"] = "response.create".into();
            lines.push(json!({"kind": "request", "exchange": exchange, "connection": 1, "at_us": at, "transport": "websocket", "body": body}));
            let answer = match status {
                200 => json!({"type": "response.completed", "response": answer}),
                _ => json!({"type": "error", "status": 400, "error": error, "detail": WORDS[2]}),
            };
            lines.push(json!({"kind": "frame", "connection": 1, "exchange": exchange, "at_us": at, "from": "server", "type": "text", "text": answer.to_string()}));
        } else {
            lines.push(json!({"kind": "request", "exchange": exchange, "at_us": at, "transport": "http", "http": "1.1", "method": "POST", "path": "/v1/responses",
                "headers": [["authorization", format!("Bearer {}", SECRETS[0])], ["cookie", format!("s={}", SECRETS[5])]], "body": body}));
            lines.push(json!({"kind": "response", "exchange": exchange, "at_us": at, "status": status, "headers": [["content-type", "application/json"], ["set-cookie", WORDS[2]]]}));
            let text = answer.to_string();
            let (one, two) = text.split_at(text.len() / 2);
            for text in [one, two] {
                lines.push(
                    json!({"kind": "chunk", "exchange": exchange, "at_us": at, "text": text}),
                );
            }
        }
        lines.push(
            json!({"kind": "end", "exchange": exchange, "at_us": at + 1, "cause": "complete"}),
        );
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn nothing_of_what_was_said_is_left_in_answers_of_any_form() {
    for transport in ["websocket", "http"] {
        let sandbox = Sandbox::new();
        sandbox.write("s.jsonl", answered(transport));
        let arguments = ["share", "s.jsonl", "-o", "out.jsonl", "--yes"];
        let done = sandbox.run_in(sandbox.path(), &arguments, b"");
        assert_eq!(done.status, 0, "{transport}: {done:?}");
        for name in ["out.jsonl", "out.jsonl.md"] {
            let text = std::fs::read_to_string(sandbox.path().join(name)).unwrap();
            for word in WORDS.into_iter().chain(SECRETS) {
                assert!(!text.contains(word), "{transport}: {name}: {word}\n{text}");
            }
        }
        let arguments = ["out.jsonl", "--expect", "refused"];
        let done = sandbox.run_in(sandbox.path(), &arguments, b"");
        assert_eq!(done.status, 0, "{transport}: {done:?}");
    }
}

#[test]
fn the_text_of_an_issue_holds_a_command_that_reproduces_it() {
    // in what must stay: the text that is context, the id and the name of the call; and a file name that a shell takes apart
    let context = format!(
        "<environment_context>\n  <cwd>/home/alice</cwd> {} WEAK\n</environment_context>",
        SECRETS[2]
    );
    let lines = [
        json!({"timestamp": "2026-01-01T00:00:00.000Z", "type": "session_meta", "payload": {"id": "5c3ffb71-f06f-466c-a0bf-070ea5637c56",
            "timestamp": "2026-01-01T00:00:00.000Z", "cwd": "/home/alice", "originator": "codex_exec", "cli_version": "0.45.0"}}),
        json!({"timestamp": "2026-01-01T00:00:00.000Z", "type": "response_item", "payload":
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": context}]}}),
        json!({"timestamp": "2026-01-01T00:00:00.000Z", "type": "response_item", "payload":
            {"type": "function_call", "name": SECRETS[1], "arguments": "{}", "call_id": SECRETS[0]}}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let sandbox = Sandbox::new();
    sandbox.write("r.jsonl", text);
    let name = "-it's a report.jsonl";
    let out = format!("./{name}");
    let arguments = ["share", "r.jsonl", "-o", &out, "--recover", "none", "--yes"];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"");
    assert_eq!(done.status, 0, "{done:?}");
    let issue = std::fs::read_to_string(sandbox.path().join(format!("{name}.md"))).unwrap();
    let session = std::fs::read_to_string(sandbox.path().join(name)).unwrap();
    for secret in SECRETS {
        assert!(
            !issue.contains(secret) && !session.contains(secret),
            "{secret}: {issue}"
        );
    }
    let command = issue
        .split("```sh\n")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let words = shlex::split(command).unwrap();
    assert_eq!(words[0], "replay");
    let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let done = sandbox.run_in(sandbox.path(), &words, b"");
    assert_eq!(done.status, 1, "{command}: {done:?}");
}
