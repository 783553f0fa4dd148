//! Captures that other people's tools make, and what must not get lost on the way through another form.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::{Sandbox, root, run, stories};

const COMPLETED: &str = "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[{\"type\":\"message\"}]}}\n\n";

fn streams(sandbox: &Sandbox, path: &str) -> Vec<Value> {
    let done = sandbox.run(&["convert", path, "--summary", "--format", "json"]);
    let document = done.json();
    let streams = document["streams"].as_array();
    streams
        .unwrap_or_else(|| panic!("{path}: {document}"))
        .clone()
}

fn lines(text: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap();
    text.lines().map(read).collect()
}

#[test]
fn the_status_of_a_go_cassette_is_read() {
    let sandbox = Sandbox::new();
    let cassette = format!(
        "---\nversion: 2\ninteractions:\n- id: 0\n  request:\n    proto: HTTP/1.1\n    proto_major: 1\n    content_length: 3\n    body: '{{\"model\":\"m\",\"input\":[]}}'\n    headers:\n      Accept:\n      - application/json\n    url: https://h.example/v1/responses\n    method: POST\n  response:\n    proto: HTTP/2.0\n    content_length: -1\n    uncompressed: true\n    body: {COMPLETED:?}\n    headers:\n      Content-Type:\n      - text/event-stream\n    status: 200 OK\n    code: 200\n    duration: 2.5s\n- id: 1\n  request:\n    body: '{{\"model\":\"m\",\"input\":[]}}'\n    url: https://h.example/v1/responses\n    method: POST\n  response:\n    body: '{{\"error\":{{\"message\":\"slow down\"}}}}'\n    status: 429 Too Many Requests\n"
    );
    let path = sandbox.write("go.yaml", cassette);
    let found = streams(&sandbox, path.to_str().unwrap());
    let status: Vec<&Value> = found.iter().map(|it| &it["status"]).collect();
    assert_eq!(status, [&json!(200), &json!(429)]);
    assert_eq!(found[0]["terminal"], "completed");
}

#[test]
fn what_a_body_holds_is_counted_whatever_its_status_says() {
    let sandbox = Sandbox::new();
    for (status, terminal) in [
        ("\"completed\"", json!("completed")),
        ("\"complete\"", Value::Null),
        ("\"in_progress\"", Value::Null),
        ("\"incomplete\"", json!("incomplete")),
    ] {
        let body = format!(
            "{{\"id\":\"resp_1\",\"object\":\"response\",\"status\":{status},\"output\":[{{\"type\":\"message\"}},{{\"type\":\"function_call\",\"call_id\":\"c\"}}]}}"
        );
        let path = sandbox.write("response.json", body);
        let found = streams(&sandbox, path.to_str().unwrap());
        assert_eq!(found[0]["closed_items"], 2, "{status}");
        assert_eq!(
            found[0]["tool_calls"],
            json!({"function_call": 1}),
            "{status}"
        );
        assert_eq!(found[0]["terminal"], terminal, "{status}");
    }
}

#[test]
fn a_cassette_without_requests_is_refused_with_the_truth() {
    let sandbox = Sandbox::new();
    let path = sandbox.write(
        "realtime.yaml",
        "version: 1\ninteractions:\n- kind: message\n  direction: received\n  data: {type: session.created}\n- kind: message\n  direction: sent\n  data: {type: session.update}\n",
    );
    let done = sandbox.run(&["convert", path.to_str().unwrap(), "--summary"]);
    assert_eq!(done.status, 3);
    let said = "none of its 2 interactions has a `request`";
    assert!(done.err.contains(said), "{}", done.err);
}

#[test]
fn events_that_a_browser_lists_without_their_bytes_are_marked() {
    let sandbox = Sandbox::new();
    let data = COMPLETED.trim().strip_prefix("data: ").unwrap();
    let har = json!({"log": {"version": "1.2", "entries": [{
        "startedDateTime": "2026-01-01T00:00:00Z", "time": 1,
        "request": {"method": "POST", "url": "https://h.example/v1/responses", "headers": [],
            "postData": {"mimeType": "application/json", "text": "{\"input\":\"go\"}"}},
        "response": {"status": 200, "headers": [], "content": {"size": 0}},
        "_eventSourceMessages": [{"time": 1, "eventName": "response.completed", "eventId": "", "data": data}],
    }]}});
    let path = sandbox.write("source.har", har.to_string());
    let found = streams(&sandbox, path.to_str().unwrap());
    assert_eq!(found[0]["events"], 1);
    assert_eq!(found[0]["rebuilt"], true);
}

#[test]
fn compressed_captures_open_and_torn_ones_say_so() {
    let sandbox = Sandbox::new();
    let text = format!("{COMPLETED}{}", COMPLETED.replace("completed", "created"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let plain = sandbox.write("a.sse", &text);
    let whole = streams(&sandbox, plain.to_str().unwrap());
    for (name, bytes) in [
        ("a.sse.gz", gzip.clone()),
        ("a.sse.zst", zstd::encode_all(text.as_bytes(), 3).unwrap()),
    ] {
        let path = sandbox.write(name, bytes);
        let path = path.to_str().unwrap();
        assert_eq!(streams(&sandbox, path), whole, "{name}");
        let inspected = sandbox.run(&["inspect", path, "--format", "json"]);
        assert_eq!(inspected.json()["exchanges"][0]["events"], 1, "{name}");
    }
    for end in 0..gzip.len() {
        let path = sandbox.write("torn.gz", &gzip[..end]);
        let done = sandbox.run(&["convert", path.to_str().unwrap(), "--summary"]);
        assert!(matches!(done.status, 0 | 3), "{end}: {done:?}");
        assert!(!done.err.contains("panicked"), "{end}: {done:?}");
    }
}

#[test]
fn numbers_and_ends_survive_the_way_through_har() {
    let sandbox = Sandbox::new();
    let har = sandbox.path().join("a.har");
    let back = sandbox.path().join("b.jsonl");
    let (har, back) = (har.to_str().unwrap(), back.to_str().unwrap());
    let shown = |path: &str| -> Vec<Value> {
        let mut found = streams(&sandbox, path);
        for one in &mut found {
            // the line of a request is another one
            one.as_object_mut().unwrap().remove("line");
        }
        found
    };
    let mut seen = 0;
    for name in [
        "codex-0.169-websocket",
        "sdk-python-cut-stored",
        "codex-0.8-before-completed",
    ] {
        let story = stories().into_iter().find(|it| it.ends_with(name)).unwrap();
        let path = story.join("session.jsonl");
        let path = path.to_str().unwrap();
        let done = sandbox.run(&["convert", path, "--to", "har", "-o", har, "--force"]);
        assert_eq!(done.status, 0, "{done:?}");
        let done = sandbox.run(&["convert", har, "-o", back, "--force"]);
        assert_eq!(done.status, 0, "{done:?}");
        assert_eq!(shown(path), shown(back), "{name}");
        seen += shown(path).len();
    }
    assert!(seen > 10);
    // one exchange alone keeps its number too
    let story = stories()
        .into_iter()
        .find(|it| it.ends_with("codex-0.8-before-completed"));
    let path = story.unwrap().join("session.jsonl");
    let path = path.to_str().unwrap();
    sandbox.run(&[
        "convert",
        path,
        "--to",
        "har",
        "--exchange",
        "3",
        "-o",
        har,
        "--force",
    ]);
    assert_eq!(streams(&sandbox, har)[0]["exchange"], 3);
}

#[test]
fn a_cut_answer_with_a_finished_item_was_accepted() {
    let sandbox = Sandbox::new();
    let line = |seq: u32, payload: Value| {
        json!({"schema_version": 2, "seq": seq, "wall_time_unix_ms": 1000 + seq, "payload": payload}).to_string()
    };
    let trace = [
        line(
            1,
            json!({"type": "inference_started", "inference_call_id": "a", "thread_id": "t", "provider_name": "mock",
            "request_payload": {"raw_payload_id": "1", "path": "payloads/1.json"}}),
        ),
        line(
            2,
            json!({"type": "inference_cancelled", "inference_call_id": "a", "upstream_request_id": "req_7", "reason": "dropped",
            "partial_response_payload": {"raw_payload_id": "2", "path": "payloads/2.json"}}),
        ),
    ];
    sandbox.write("trace/trace.jsonl", trace.join("\n"));
    sandbox.write(
        "trace/manifest.json",
        r#"{"schema_version":2,"started_at_unix_ms":1000,"raw_event_log":"trace.jsonl"}"#,
    );
    let user = json!({"role": "user", "content": "go"});
    sandbox.write(
        "trace/payloads/1.json",
        json!({"model": "m", "input": [user]}).to_string(),
    );
    let item = json!({"type": "message", "role": "assistant", "content": []});
    sandbox.write(
        "trace/payloads/2.json",
        json!({"output_items": [item]}).to_string(),
    );
    let path = sandbox.path().join("trace");
    let path = path.to_str().unwrap();
    let judged = sandbox.run(&[path, "--format", "json"]).json();
    let request = &judged["sessions"][0]["runs"][0]["requests"][0];
    assert_eq!(
        (&request["outcome"], &request["agrees"]),
        (&json!("accepted"), &json!(true))
    );
    // what the trace tells of the request beside its body is kept, and no status or id is made up
    let done = sandbox.run(&["convert", path, "-o", "-"]);
    let told = lines(&done.out);
    let events = told.iter().filter(|it| it["kind"] == "client_event");
    let kept: Vec<&Value> = events.map(|it| &it["value"]["payload"]).collect();
    assert_eq!(kept[0]["provider_name"], "mock");
    assert_eq!(kept[1]["upstream_request_id"], "req_7");
    assert!(told.iter().all(|it| it["kind"] != "response"));
    assert!(!done.out.contains("\\\"id\\\":\\\"\\\""));
    let shown = sandbox.run(&["inspect", path, "--format", "text"]);
    assert!(shown.out.contains("inference_cancelled"), "{}", shown.out);
    assert!(!shown.out.contains("unknown"), "{}", shown.out);
}

#[test]
fn compactions_by_the_endpoint_are_exchanges() {
    let sandbox = Sandbox::new();
    let line = |seq: u32, payload: Value| {
        json!({"schema_version": 2, "seq": seq, "wall_time_unix_ms": 1000 + seq, "payload": payload}).to_string()
    };
    let begins = |id: &str, payload: u32| {
        json!({"type": "compaction_request_started", "compaction_id": id, "compaction_request_id": "compaction_request:1",
            "thread_id": "t", "request_payload": {"raw_payload_id": "1", "path": format!("payloads/{payload}.json")}})
    };
    let trace = [
        line(1, begins("a", 1)),
        line(
            2,
            json!({"type": "compaction_request_completed", "compaction_id": "a", "compaction_request_id": "compaction_request:1",
            "response_payload": {"raw_payload_id": "2", "path": "payloads/2.json"}}),
        ),
        line(
            3,
            json!({"type": "compaction_installed", "compaction_id": "a"}),
        ),
        line(4, begins("b", 3)),
        line(
            5,
            json!({"type": "compaction_request_failed", "compaction_id": "b", "compaction_request_id": "compaction_request:1",
            "error": "no such luck"}),
        ),
    ];
    sandbox.write("trace/trace.jsonl", trace.join("\n"));
    sandbox.write(
        "trace/manifest.json",
        r#"{"schema_version":2,"started_at_unix_ms":1000,"raw_event_log":"trace.jsonl"}"#,
    );
    let user = json!({"role": "user", "content": "go"});
    let asked = json!({"model": "m", "input": [user, {"type": "compaction_trigger"}]});
    sandbox.write("trace/payloads/1.json", asked.to_string());
    let made = json!({"output_items": [{"type": "compaction", "encrypted_content": "x"}]});
    sandbox.write("trace/payloads/2.json", made.to_string());
    sandbox.write(
        "trace/payloads/3.json",
        json!({"model": "m", "input": [user]}).to_string(),
    );
    let path = sandbox.path().join("trace");
    let found = streams(&sandbox, path.to_str().unwrap());
    let shown: Vec<Value> = found
        .iter()
        .map(|it| json!([it["request"], it["closed_items"], it["terminal"], it["end"]]))
        .collect();
    assert_eq!(
        shown,
        [
            json!(["POST /v1/responses", 1, "completed", "not_held"]),
            json!(["POST /v1/responses/compact", 0, null, "not_held"]),
        ]
    );
}

#[test]
fn what_is_shrunk_still_says_what_its_source_does_not_hold() {
    let sandbox = Sandbox::new();
    let out = sandbox.path().join("small.jsonl");
    let har = root().join("tests/captures/others/mitmproxy.har");
    let done = sandbox.run(&["shrink", har.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert_eq!(done.status, 0, "{done:?}");
    let first = lines(&std::fs::read_to_string(&out).unwrap()).remove(0);
    assert_eq!(first["converted_from"], "HAR file");
    assert!(!first["not_held"].as_array().unwrap().is_empty());
    // a folder that is one capture is one session
    let trace = root().join("tests/captures/codex-trace-interrupted/trace-1");
    for verb in ["shrink", "recover"] {
        let done = sandbox.run(&[
            verb,
            trace.to_str().unwrap(),
            "-o",
            out.to_str().unwrap(),
            "--force",
        ]);
        assert!(!done.err.contains("is a folder"), "{verb}: {done:?}");
    }
}

#[test]
fn a_device_is_no_file_that_would_be_overwritten() {
    let har = "tests/captures/others/mitmproxy.har";
    if cfg!(unix) {
        let done = run(&["convert", har, "-o", "/dev/null"]);
        assert_eq!(done.status, 0, "{done:?}");
    }
    let story = root().join("rollouts/sdk-python-cut-stored/session.jsonl");
    let done = run(&["convert", story.to_str().unwrap(), "--summary"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
}

#[test]
fn a_clients_own_events_are_counted_by_inspect() {
    let sandbox = Sandbox::new();
    let text = [
        json!({"type": "thread.started", "thread_id": "t"}),
        json!({"type": "turn.started"}),
        json!({"type": "item.started", "item": {"id": "1", "type": "command_execution", "command": "ls"}}),
        json!({"type": "item.completed", "item": {"id": "1", "type": "command_execution", "command": "ls", "exit_code": 0}}),
        json!({"type": "item.completed", "item": {"id": "2", "type": "agent_message", "text": "done"}}),
        json!({"type": "turn.completed", "usage": {}}),
        json!({"type": "turn.started"}),
        json!({"type": "turn.failed", "error": {"message": "no"}}),
    ];
    let text: Vec<String> = text.iter().map(Value::to_string).collect();
    let path = sandbox.write("exec.jsonl", text.join("\n"));
    let inspected = sandbox
        .run(&["inspect", path.to_str().unwrap(), "--format", "json"])
        .json();
    let events = &inspected["files"][0]["events"];
    assert_eq!(
        (&events["events"], &events["tool_calls"]),
        (&json!(8), &json!(1))
    );
    assert_eq!(
        (&events["closed_items"], &events["terminal"]),
        (&json!(2), &json!("turn.failed"))
    );
    assert_eq!(events["types"]["turn.started"], 2);
}
