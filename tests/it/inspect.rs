//! What `replay inspect` prints where there is no terminal.

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Sandbox, root, run};

const SECOND_STREAM: &str = "rollouts/codex-0.8-second-stream/session.jsonl";

#[test]
fn a_transcript() {
    assert_snapshot!("inspect_text", run(&["inspect", SECOND_STREAM]).text());
    assert_snapshot!(
        "inspect_rollout",
        run(&["inspect", "rollouts/codex-0.169-kill-in-tool/rollout.jsonl"]).text()
    );
    assert_snapshot!(
        "inspect_websocket",
        run(&["inspect", "rollouts/codex-0.169-websocket/session.jsonl"]).text()
    );
    assert_snapshot!(
        "inspect_filtered",
        run(&["inspect", SECOND_STREAM, "--filter", "errors"]).text()
    );
}

#[test]
fn a_document() {
    let done = run(&["inspect", SECOND_STREAM, "--format", "json"]);
    assert_snapshot!("inspect_json", done.text());
    let value = done.json();
    let call = &value["calls"][0];
    assert_eq!(call["call_id"], "call_A");
    assert_eq!(
        (&call["open"], &call["cause"]),
        (
            &Value::Bool(true),
            &Value::from("sent_in_unfinished_response")
        )
    );
}

/// One conversation as it was held at some time, with some ids, its stream cut into pieces of some length.
fn conversation(at_us: u64, call: &str, response: &str, thread: &str, piece: usize) -> String {
    let mut lines = vec![serde_json::json!({"kind": "session", "format": 1, "id": thread})];
    let request = |number: u32, input: Value| {
        serde_json::json!({"kind": "request", "exchange": number, "at_us": at_us + u64::from(number), "transport": "http",
            "method": "POST", "path": "/v1/responses", "headers": [["session_id", thread]], "body": {"model": "m", "input": input}})
    };
    lines.push(request(1, "go".into()));
    let events = [
        serde_json::json!({"type": "response.created", "sequence_number": at_us, "response": {"id": response, "created_at": at_us}}),
        serde_json::json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "function_call", "id": format!("fc_{call}"), "call_id": call, "name": "shell", "arguments": "{}"}}),
        serde_json::json!({"type": "response.completed", "response": {"id": response, "usage": {"total_tokens": at_us}}}),
    ];
    let stream: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    for (at, chunk) in stream.as_bytes().chunks(piece).enumerate() {
        let text = std::str::from_utf8(chunk).unwrap();
        lines.push(serde_json::json!({"kind": "chunk", "exchange": 1, "at_us": at_us + 2 + at as u64, "text": text}));
    }
    lines.push(serde_json::json!({"kind": "end", "exchange": 1, "at_us": at_us + 5000, "cause": "complete"}));
    lines.push(request(2, "and now?".into()));
    let body =
        format!("{{\"error\":{{\"message\":\"No tool output found for function call {call}.\"}}}}");
    lines.push(serde_json::json!({"kind": "response", "exchange": 2, "at_us": at_us + 6000, "status": 400}));
    lines.push(
        serde_json::json!({"kind": "chunk", "exchange": 2, "at_us": at_us + 6000, "text": body}),
    );
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn events_are_the_same_wherever_and_whenever() {
    let sandbox = Sandbox::new();
    let path = sandbox.path().join("session.jsonl");
    let mut printed = Vec::new();
    for (at_us, call, response, thread, piece) in [
        (
            1000,
            "call_OK",
            "resp_1",
            "8506627a-4199-42dd-9aaa-5e07b8c4d1dc",
            4000,
        ),
        (
            2_000_000,
            "call_another",
            "resp_else",
            "00000000-4199-42dd-9aaa-5e07b8c4d1dc",
            7,
        ),
    ] {
        std::fs::write(&path, conversation(at_us, call, response, thread, piece)).unwrap();
        printed.push(
            sandbox
                .run(&[
                    "inspect",
                    path.to_str().unwrap(),
                    "--format",
                    "events",
                    "--entries",
                ])
                .text(),
        );
    }
    assert_snapshot!("inspect_events", printed[0]);
    assert_eq!(printed[0], printed[1]);
}

#[test]
fn a_page_holds_the_session_and_no_foreign_script() {
    let sandbox = Sandbox::new();
    let path = sandbox.path().join("page.html");
    let page = path.to_str().unwrap();
    let hostile = sandbox.path().join("hostile.jsonl");
    std::fs::write(
        &hostile,
        "{\"kind\":\"session\",\"format\":1}\n{\"kind\":\"request\",\"exchange\":1,\"at_us\":0,\"method\":\"POST\",\"path\":\"/v1/responses\",\"body\":{\"input\":\"</script><img src=x onerror=alert(1)>\"}}\n",
    )
    .unwrap();
    let done = run(&[
        "inspect",
        hostile.to_str().unwrap(),
        "--format",
        "html",
        "-o",
        page,
    ]);
    assert_eq!((done.out.as_str(), done.status), ("", 0));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("default-src 'none'") && text.contains("script-src 'sha256-"));
    assert!(!text.contains("<img") && !text.contains("http-equiv=\"refresh"));
    assert_eq!(
        text.matches("</script>").count(),
        text.matches("<script").count()
    );
    // never overwritten unless asked for
    let again = run(&["inspect", SECOND_STREAM, "--format", "html", "-o", page]);
    assert_eq!(again.status, 4);
    assert!(again.err.contains("--force"), "{}", again.err);
    let forced = run(&[
        "inspect",
        SECOND_STREAM,
        "--format",
        "html",
        "-o",
        page,
        "--force",
    ]);
    assert_eq!(forced.status, 0);
}

#[test]
fn compressed_files_requests_and_logs_are_read() {
    let sandbox = Sandbox::new();
    let text = std::fs::read(root().join(SECOND_STREAM)).unwrap();
    let path = sandbox.path().join("session.jsonl.zst");
    std::fs::write(&path, zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap();
    let plain = run(&["inspect", SECOND_STREAM, "--format", "events"]);
    let cold = run(&["inspect", path.to_str().unwrap(), "--format", "events"]);
    assert_eq!(plain.out, cold.out);
    let body = sandbox.path().join("body.json");
    std::fs::write(&body, r#"{"model":"m","input":[{"type":"function_call","call_id":"call_x","name":"f","arguments":"{}"}]}"#).unwrap();
    let done = run(&["inspect", body.to_str().unwrap(), "--format", "json"]).json();
    assert_eq!(
        (&done["calls"][0]["call_id"], &done["calls"][0]["open"]),
        (&Value::from("call_x"), &Value::Bool(true))
    );
    // stdin is read like a file
    let piped = sandbox.run_with(&["inspect", "-", "--format", "events"], &text);
    assert_eq!(plain.out, piped.out);
}

#[test]
fn a_document_of_the_typescript_client_is_read_item_by_item() {
    let sandbox = Sandbox::new();
    let path = sandbox.path().join("rollout.json");
    let items = (0..40).map(|n| serde_json::json!({"type": "function_call", "id": format!("fc_{n}"), "call_id": format!("call_{n}"), "name": "shell", "arguments": "{}"}));
    let document = serde_json::json!({"session": {"id": "a", "timestamp": "2025-05-01T00:00:00Z"}, "items": items.collect::<Vec<_>>()});
    std::fs::write(&path, serde_json::to_string_pretty(&document).unwrap()).unwrap();
    let done = sandbox.run(&["inspect", path.to_str().unwrap()]);
    assert!(done.out.contains("call shell call_39 {}"), "{}", done.out);
    assert!(done.out.contains("40 open at the end"), "{}", done.out);
    let value = sandbox
        .run(&["inspect", path.to_str().unwrap(), "--format", "json"])
        .json();
    assert_eq!(
        (&value["calls"][39]["name"], &value["calls"][39]["call_id"]),
        (&"shell".into(), &"call_39".into())
    );
}

#[test]
fn the_help_text() {
    assert_snapshot!("help_inspect", run(&["inspect", "--help"]).text());
    let done = run(&["inspect", SECOND_STREAM, "--follow"]);
    assert_eq!(done.status, 2);
    let done = run(&[
        "inspect",
        SECOND_STREAM,
        "--filter",
        "errors",
        "--format",
        "json",
    ]);
    assert_eq!(done.json()["error"]["kind"], "usage");
}

/// A parent and the sub-agent it spawned, as Codex writes them; the files are made by hand.
fn family(sandbox: &Sandbox) -> (String, String) {
    let folder = sandbox.path().join("codex/sessions/2026/11/20");
    std::fs::create_dir_all(&folder).unwrap();
    let parent = "01a1fa00-0000-7000-8000-000000000001";
    let child = "01a1fa00-0000-7000-8000-000000000002";
    let line = |second: u32, ordinal: u32, kind: &str, payload: Value| {
        let value = serde_json::json!({"timestamp": format!("2026-11-20T20:00:{second:02}.000Z"), "ordinal": ordinal, "type": kind, "payload": payload});
        format!("{value}\n")
    };
    let meta = |id: &str, parent: Option<&str>| {
        let mut meta = serde_json::json!({"id": id, "timestamp": "2026-11-20T20:00:00Z", "cwd": "/w", "originator": "codex_exec", "cli_version": "0.169.0"});
        if let Some(parent) = parent {
            meta["parent_thread_id"] = parent.into();
            meta["source"] = serde_json::json!({"subagent": {"thread_spawn": {"parent_thread_id": parent, "depth": 1}}});
        }
        meta
    };
    let user = |text: &str| serde_json::json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]});
    let call = |id: &str, name: &str| serde_json::json!({"type": "function_call", "call_id": id, "name": name, "arguments": "{}"});
    let output = |id: &str| serde_json::json!({"type": "function_call_output", "call_id": id, "output": "ok"});
    let above = [
        line(0, 0, "session_meta", meta(parent, None)),
        line(1, 1, "response_item", user("split the work")),
        line(2, 2, "response_item", call("call_SPAWN", "spawn_agent")),
        line(3, 3, "response_item", output("call_SPAWN")),
        line(9, 4, "response_item", call("call_WAIT", "wait_agent")),
    ]
    .concat();
    let below = [
        line(3, 0, "session_meta", meta(child, Some(parent))),
        line(4, 1, "response_item", user("your part")),
        line(5, 2, "response_item", call("call_CHILD", "exec_command")),
        line(7, 3, "response_item", output("call_CHILD")),
        line(8, 4, "response_item", call("call_LOST", "exec_command")),
    ]
    .concat();
    let path =
        |id: &str, time: &str| folder.join(format!("rollout-2026-11-20T20-00-{time}-{id}.jsonl"));
    std::fs::write(path(parent, "00"), above).unwrap();
    std::fs::write(path(child, "03"), below).unwrap();
    (
        path(parent, "00").display().to_string(),
        path(child, "03").display().to_string(),
    )
}

#[test]
fn a_sub_agent_stands_on_the_clock_of_its_parent() {
    let sandbox = Sandbox::new();
    let (parent, child) = family(&sandbox);
    let shown = |done: String| done.replace(sandbox.path().to_str().unwrap(), "HOME");
    let done = sandbox.run(&["inspect", &parent]);
    assert_snapshot!("inspect_sub_agent", shown(done.text()));
    // whichever of them is named, and however
    let other = sandbox.run(&["inspect", &child]);
    assert_eq!(done.out, other.out);
    let both = sandbox.run(&["inspect", &parent, &child]);
    assert_eq!(done.out, both.out);
    let alone = sandbox
        .run(&["inspect", "--alone", &child, "--format", "json"])
        .json();
    assert_eq!(alone["files"].as_array().unwrap().len(), 1);
    let value = sandbox
        .run(&["inspect", &parent, "--format", "json"])
        .json();
    assert_eq!(
        value["lanes"][1]["parent"],
        "01a1fa00-0000-7000-8000-000000000001"
    );
    let open: Vec<&str> = value["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["open"] == true)
        .map(|call| call["call_id"].as_str().unwrap())
        .collect();
    assert_eq!(open, ["call_WAIT", "call_LOST"]);
}

#[test]
fn approvals_and_interrupts_are_paired() {
    let sandbox = Sandbox::new();
    let path = sandbox.path().join("session.jsonl");
    let lines = [
        r#"{"kind":"session","format":1}"#,
        r#"{"kind":"request","exchange":1,"at_us":1,"method":"POST","path":"/v1/responses","body":{"input":"go"}}"#,
        r#"{"kind":"chunk","exchange":1,"at_us":2,"text":"data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"call_id\":\"call_A\",\"name\":\"shell\",\"arguments\":\"{}\"}}\n\n"}"#,
        r#"{"kind":"client_event","at_us":3,"source":"app-server","direction":"out","value":{"id":7,"method":"item/commandExecution/requestApproval","params":{"itemId":"call_A"}}}"#,
        r#"{"kind":"client_event","at_us":4,"source":"app-server","direction":"in","value":{"id":7,"result":{"decision":"accept"}}}"#,
        r#"{"kind":"client_event","at_us":5,"source":"app-server","direction":"out","value":{"method":"item/started","params":{"item":{"id":"call_A","type":"commandExecution"}}}}"#,
        r#"{"kind":"client_event","at_us":6,"source":"proto","direction":"in","value":{"id":"s2","op":{"type":"interrupt"}}}"#,
        r#"{"kind":"rollout","at_us":7,"path":"r.jsonl","line":9,"value":{"timestamp":"t","type":"response_item","payload":{"type":"function_call_output","call_id":"call_A","output":"aborted"}}}"#,
    ];
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let value = sandbox
        .run(&["inspect", path.to_str().unwrap(), "--format", "json"])
        .json();
    assert_eq!(value["asks"][0]["kind"], "approval");
    assert_eq!(
        (
            &value["asks"][0]["asked"]["line"],
            &value["asks"][0]["answered"]["line"]
        ),
        (&4.into(), &5.into())
    );
    assert_eq!(
        (&value["asks"][1]["kind"], &value["asks"][1]["answered"]),
        (&"interrupt".into(), &Value::Null)
    );
    let text = sandbox.run(&["inspect", path.to_str().unwrap()]).out;
    assert!(
        text.contains("call_A: tool began") && text.contains("call_A: output on disk"),
        "{text}"
    );
    assert!(text.contains("its output is on disk at line 8"), "{text}");
}

#[test]
fn formats_of_inspect_are_no_formats_of_other_verbs() {
    let done = run(&["check", SECOND_STREAM, "--format", "events"]);
    assert_eq!(done.status, 2);
    assert!(done.err.contains("replay inspect"), "{}", done.err);
    let done = run(&["inspect", SECOND_STREAM, "--filter", "kind:nonsense"]);
    assert_eq!(done.status, 2);
    let done = run(&["inspect", "no-such-file.jsonl"]);
    assert_eq!(done.status, 3);
    let done = run(&["inspect", "Cargo.toml", "--format", "json"]);
    assert_eq!(done.json()["error"]["exit"], 3);
}
