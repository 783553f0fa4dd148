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
