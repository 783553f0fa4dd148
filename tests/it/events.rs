//! What clients say of themselves: their logs as sessions, beside a session, and what is found by them.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Sandbox, root};

fn story(name: &str, file: &str) -> String {
    root()
        .join("rollouts")
        .join(name)
        .join(file)
        .display()
        .to_string()
}

/// The lines of a real `codex exec --json`, as two processes printed them: an interrupt in a tool, and the next turn.
const EXEC: &str = r#"{"type":"thread.started","thread_id":"01a1fa9b-4c34-7c82-bbbd-3963d9f2a3dc"}
{"type":"turn.started"}
{"type":"item.started","item":{"id":"item_0","type":"command_execution","command":"sleep 30","aggregated_output":"","exit_code":null,"status":"in_progress"}}
{"type":"thread.started","thread_id":"01a1fa9b-4c34-7c82-bbbd-3963d9f2a3dc"}
{"type":"turn.started"}
{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"All done."}}
{"type":"turn.completed","usage":{"input_tokens":1}}
"#;

/// Those of an early one.
const EARLY: &str = r#"{"workdir":"/w","model":"m","provider":"p"}
{"prompt":"sleep please"}
{"id":"1","msg":{"type":"task_started"}}
{"id":"1","msg":{"type":"exec_command_begin","call_id":"call_A","command":["sleep","30"]}}
{"workdir":"/w","model":"m","provider":"p"}
{"prompt":"continue"}
{"id":"1","msg":{"type":"task_started"}}
{"id":"1","msg":{"type":"agent_message","message":"All done."}}
{"id":"1","msg":{"type":"task_complete","last_agent_message":"All done."}}
"#;

const TUI: &str = r#"{"ts":"2025-08-09T00:33:37.352Z","dir":"meta","kind":"session_start","cwd":"/w"}
{"ts":"2025-08-09T00:33:37.353Z","dir":"to_tui","kind":"app_event","variant":"RequestRedraw"}
{"ts":"2025-08-09T00:33:37.372Z","dir":"to_tui","kind":"codex_event","payload":{"id":"0","msg":{"type":"session_configured","session_id":"0dea4b6a-a74c-4a16-9a41-a61789a2d866"}}}
{"ts":"2025-08-09T00:33:40.000Z","dir":"from_tui","kind":"op","payload":{"type":"user_input","items":[{"type":"text","text":"go"}]}}
{"ts":"2025-08-09T00:33:40.100Z","dir":"to_tui","kind":"codex_event","payload":{"id":"1","msg":{"type":"task_started"}}}
{"ts":"2025-08-09T00:33:40.200Z","dir":"to_tui","kind":"codex_event","payload":{"id":"1","msg":{"type":"exec_command_begin","call_id":"c","command":["ls"]}}}
{"ts":"2025-08-09T00:33:41.000Z","dir":"from_tui","kind":"op","payload":{"type":"interrupt"}}
{"ts":"2025-08-09T00:33:41.100Z","dir":"to_tui","kind":"codex_event","payload":{"id":"1","msg":{"type":"turn_aborted","reason":"interrupted"}}}
{"ts":"2025-08-09T00:33:42.000Z","dir":"meta","kind":"session_end"}
"#;

const MCP: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}
{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"codex","arguments":{"prompt":"go"}}}
{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1},"id":"1","msg":{"type":"task_started","turn_id":"t1"}}}
{"jsonrpc":"2.0","id":0,"method":"elicitation/create","params":{"message":"May it?","codex_elicitation":"exec-approval","codex_call_id":"c"}}
{"jsonrpc":"2.0","id":0,"result":{"decision":"approved"}}
{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1},"id":"1","msg":{"type":"exec_command_begin","turn_id":"t1","call_id":"c"}}}
{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1},"id":"1","msg":{"type":"exec_command_end","turn_id":"t1","call_id":"c","exit_code":0}}}
{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}
{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1},"id":"1","msg":{"type":"turn_aborted","turn_id":"t1","reason":"interrupted"}}}
"#;

fn put(sandbox: &Sandbox, name: &str, text: &str) -> String {
    sandbox.write(name, text).display().to_string()
}

fn counts(sandbox: &Sandbox, name: &str, text: &str) -> Value {
    let path = put(sandbox, name, text);
    let document = sandbox.run(&["inspect", &path, "--format", "json"]).json();
    let file = &document["files"][0];
    assert_eq!(file["source"], "events", "{name}");
    assert_eq!(file["problems"].as_array().unwrap().len(), 0, "{name}");
    file["events"].clone()
}

#[test]
fn every_kind_of_log_is_read_and_counted() {
    let sandbox = Sandbox::new();
    let told = [
        ("exec.jsonl", EXEC),
        ("early.jsonl", EARLY),
        ("tui.jsonl", TUI),
        ("mcp.jsonl", MCP),
    ]
    .map(|(name, text)| {
        let counts = counts(&sandbox, name, text);
        format!(
            "{name}: {} of {}",
            counts
                .as_object()
                .unwrap()
                .iter()
                .skip(1)
                .fold(String::new(), |all, (key, value)| all
                    + &format!("{key} {value}, ")),
            counts["log"]
        )
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_event_log_alone_is_no_session_to_replay() {
    let sandbox = Sandbox::new();
    for (name, text) in [("exec.jsonl", EXEC), ("tui.jsonl", TUI), ("mcp.jsonl", MCP)] {
        let path = put(&sandbox, name, text);
        let done = sandbox.run(&[&path]);
        assert_eq!(done.status, 3, "{name}");
        assert!(done.err.contains("nothing to replay"), "{}", done.err);
        let done = sandbox.run(&["check", &path]);
        assert_eq!(done.status, 0, "{name}: {}", done.err);
    }
}

#[test]
fn two_processes_in_one_log_are_no_duplicates() {
    let sandbox = Sandbox::new();
    for (name, text) in [("exec.jsonl", EXEC), ("early.jsonl", EARLY)] {
        let path = put(&sandbox, name, text);
        let done = sandbox.run(&["check", &path]);
        assert_eq!(done.out, "", "{name}");
    }
}

#[test]
fn findings_of_the_stories_by_hand() {
    let sandbox = Sandbox::new();
    let mut told = String::new();
    for (name, with) in [
        ("hand-late-abort", None),
        ("hand-approvals", None),
        ("hand-ids", None),
        ("hand-doubled-input", None),
        ("hand-wire-and-disk", Some("rollout.jsonl")),
        ("hand-compacted-open-call", None),
        ("hand-delegate-cut", Some("parent.jsonl")),
        ("codex-0.8-dead-task", None),
    ] {
        let session = story(name, "session.jsonl");
        let other = with.map(|it| story(name, it));
        let mut arguments = vec!["check", session.as_str()];
        arguments.extend(other.iter().flat_map(|it| ["--with", it.as_str()]));
        let done = sandbox.run(&arguments);
        assert_eq!(done.status, 0, "{name}");
        told.push_str(&done.out);
    }
    let here = root().join("rollouts").display().to_string();
    insta::assert_snapshot!(told.replace(&here, "rollouts"));
}

#[test]
fn a_log_without_times_stands_on_the_clock_of_its_session() {
    let sandbox = Sandbox::new();
    let rollout = put(
        &sandbox,
        "rollout.jsonl",
        r#"{"timestamp":"2026-01-01T00:00:00.000Z","type":"session_meta","payload":{"id":"01a1fa9b-4c34-7c82-bbbd-3963d9f2a3dc","cli_version":"0.169.0","cwd":"/w"}}
{"timestamp":"2026-01-01T00:00:01.000Z","type":"event_msg","payload":{"type":"task_started","turn_id":"t1"}}
{"timestamp":"2026-01-01T00:00:01.000Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"sleep please"}]}}
{"timestamp":"2026-01-01T00:00:02.000Z","type":"response_item","payload":{"type":"function_call","name":"exec_command","call_id":"call_A","arguments":"{}"}}
{"timestamp":"2026-01-01T00:00:03.000Z","type":"response_item","payload":{"type":"function_call_output","call_id":"call_A","output":"aborted by user after 1.0s"}}
{"timestamp":"2026-01-01T00:00:03.000Z","type":"event_msg","payload":{"type":"turn_aborted","turn_id":"t1","reason":"interrupted"}}
{"timestamp":"2026-01-01T00:01:00.000Z","type":"event_msg","payload":{"type":"task_started","turn_id":"t2"}}
{"timestamp":"2026-01-01T00:01:00.000Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"continue"}]}}
{"timestamp":"2026-01-01T00:01:02.000Z","type":"event_msg","payload":{"type":"agent_message","message":"All done."}}
{"timestamp":"2026-01-01T00:01:02.000Z","type":"response_item","payload":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"All done."}]}}
{"timestamp":"2026-01-01T00:01:03.000Z","type":"event_msg","payload":{"type":"task_complete","turn_id":"t2","last_agent_message":"All done."}}
"#,
    );
    let exec = put(&sandbox, "exec.jsonl", EXEC);
    let done = sandbox.run(&["inspect", &rollout, "--with", &exec, "--format", "text"]);
    let folder = rollout.trim_end_matches("rollout.jsonl").to_owned();
    insta::assert_snapshot!(done.out.replace(&folder, ""));
    let document = sandbox
        .run(&["inspect", &rollout, "--with", &exec, "--format", "json"])
        .json();
    assert_eq!(document["files"][1]["clock"], "matched");
    // the log's thread is the rollout's: its entries stand in that lane
    assert_eq!(document["lanes"].as_array().unwrap().len(), 1);
}

#[test]
fn interrupts_and_questions_of_the_real_app_server_have_their_answers() {
    let sandbox = Sandbox::new();
    let mut told = Vec::new();
    for name in [
        "in-tool",
        "in-approval",
        "in-question",
        "steered",
        "sub-agent",
    ] {
        let file = story(&format!("codex-0.169-app-server-{name}"), "session.jsonl");
        let document = sandbox.run(&["inspect", &file, "--format", "json"]).json();
        for ask in document["asks"].as_array().unwrap() {
            told.push(format!(
                "{name}: {} {} at line {}, answered by {} at line {}",
                ask["kind"].as_str().unwrap(),
                ask["id"].as_str().unwrap(),
                ask["asked"]["line"],
                ask["answered_by"].as_str().unwrap_or("nobody"),
                ask["answered"]["line"],
            ));
        }
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn with_takes_one_session_and_speaks_of_strangers() {
    let sandbox = Sandbox::new();
    let exec = put(&sandbox, "exec.jsonl", EXEC);
    let a = story("codex-0.169-kill-in-tool", "session.jsonl");
    let b = story("codex-0.169-kill-in-tool", "rollout.jsonl");
    let done = sandbox.run(&["check", &a, &b, "--with", &exec]);
    assert_eq!(done.status, 2);
    let done = sandbox.run(&["check", &a, "--with", &exec]);
    assert_eq!(done.status, 0);
    assert!(
        done.err.contains("names no thread of this session"),
        "{}",
        done.err
    );
    assert_eq!(sandbox.run(&["check", &a, "--with", "missing"]).status, 3);
}

/// Recordings, rollouts and captures of real clients: nothing is found beside the wire that the file does not show. What
/// there is to be found is counted here by hand.
#[test]
fn nothing_is_found_where_nothing_is() {
    let sandbox = Sandbox::new();
    let captures: PathBuf = root().join("tests/captures");
    let done = sandbox.run(&["check", &captures.display().to_string(), "--format", "json"]);
    let document = done.json();
    let beside: Vec<&str> = responses_replay::check::Rule::BESIDE
        .iter()
        .map(|it| it.name())
        .collect();
    let mut found: Vec<String> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| beside.contains(&it["rule"].as_str().unwrap()))
        .map(|it| {
            let path = it["path"].as_str().unwrap();
            let name = path.rsplit('/').next().unwrap();
            format!("{} {name}:{}", it["rule"].as_str().unwrap(), it["line"])
        })
        .collect();
    found.sort();
    insta::assert_snapshot!(found.join("\n"));
}
