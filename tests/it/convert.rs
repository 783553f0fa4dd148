//! Captures of other tools: what is read of them, what is written in their forms, and what they may not do.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Sandbox, captures, root, run, stories};

fn others(name: &str) -> String {
    format!("tests/captures/others/{name}")
}

/// The document of a run without what differs between a capture and a recording of the same conversation.
fn judged(document: &Value) -> Value {
    let session = &document["sessions"][0];
    let run = &session["runs"][0];
    let requests: Vec<Value> = run["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            json!([
                it["lane"],
                it["turn"],
                it["input_items"],
                it["outcome"],
                it["agrees"],
                it["refusal"],
                it["depends_on"]
            ])
        })
        .collect();
    let open: Vec<Value> = session["open_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            // that a turn was aborted last is told by the client alone, and other formats hold nothing of that
            let cause = match it["cause"].as_str() {
                Some("interrupted" | "in_flight") => "nothing was sent after it",
                cause => cause.unwrap_or_default(),
            };
            json!([it["call_id"], it["type"], it["name"], it["lane"], cause])
        })
        .collect();
    json!({
        "verdict": run["verdict"],
        "reproduced": run["reproduced"],
        "score": run["score"],
        "settled": run["settled"],
        "requests": requests,
        "open_calls": open,
    })
}

/// What each answer of a file holds.
fn counts(sandbox: &Sandbox, path: &str) -> Vec<Value> {
    let done = sandbox.run(&["convert", path, "--summary", "--format", "json"]);
    let document = done.json();
    let streams = document["streams"].as_array();
    let streams = streams.unwrap_or_else(|| panic!("{path}: {document}"));
    streams
        .iter()
        .map(|it| {
            json!([
                it["form"],
                it["events"],
                it["types"],
                it["closed_items"],
                it["tool_calls"],
                it["terminal"],
                it["response_id"]
            ])
        })
        .collect()
}

#[test]
fn what_each_kind_of_capture_holds() {
    let mut shown = String::new();
    for path in [
        "tests/captures/codex-trace-interrupted/trace-1".to_owned(),
        others("proxy-dump"),
        others("mitmproxy.har"),
        others("vcrpy.yaml"),
        others("vcrpy.json"),
        others("aimock.json"),
        others("stream.sse"),
    ] {
        let done = run(&["convert", &path, "--summary"]);
        shown.push_str(&format!(
            "$ replay convert {path} --summary\n{}\n",
            done.text()
        ));
    }
    assert_snapshot!(shown);
}

#[test]
fn a_trace_of_codex_is_judged_like_the_recording_of_the_same_run() {
    let folder = "tests/captures/codex-trace-interrupted";
    for number in [1, 2] {
        let trace = run(&[&format!("{folder}/trace-{number}"), "--format", "json"]);
        let recording = run(&[
            &format!("{folder}/session-{number}.jsonl"),
            "--format",
            "json",
        ]);
        assert_eq!(trace.status, recording.status);
        assert_eq!(judged(&trace.json()), judged(&recording.json()), "{number}");
    }
    // both runs of the thread lie in one folder: each is a session
    let both = run(&[folder, "--format", "json"]);
    assert_eq!(both.json()["sessions"].as_array().unwrap().len(), 4);
}

#[test]
fn how_inferences_end_is_kept() {
    let sandbox = Sandbox::new();
    let line = |seq: u32, payload: Value| {
        json!({"schema_version": 1, "seq": seq, "wall_time_unix_ms": 1000 + seq, "thread_id": "t", "payload": payload}).to_string()
    };
    let begins = |id: &str, payload: u32| {
        json!({"type": "inference_started", "inference_call_id": id, "thread_id": "t",
            "request_payload": {"raw_payload_id": "raw_payload:1", "path": format!("payloads/{payload}.json")}})
    };
    let call =
        json!({"type": "function_call", "call_id": "call_A", "name": "shell", "arguments": "{}"});
    let lines = [
        line(1, begins("a", 1)),
        line(
            2,
            json!({"type": "inference_cancelled", "inference_call_id": "a", "reason": "dropped",
            "partial_response_payload": {"raw_payload_id": "raw_payload:2", "path": "payloads/2.json"}}),
        ),
        line(3, begins("b", 3)),
        line(
            4,
            json!({"type": "inference_failed", "inference_call_id": "b", "partial_response_payload": null,
            "error": "{\"error\":{\"message\":\"No tool output found for function call call_A.\",\"type\":\"invalid_request_error\",\"param\":\"input\",\"code\":null}}"}),
        ),
        line(5, begins("c", 1)),
        line(
            6,
            json!({"type": "inference_failed", "inference_call_id": "c", "partial_response_payload": null,
            "error": "unexpected status 503 Service Unavailable: busy"}),
        ),
        line(7, begins("d", 1)),
        line(
            8,
            json!({"type": "inference_failed", "inference_call_id": "d", "error": "Incomplete response returned, reason: max_output_tokens",
            "partial_response_payload": {"raw_payload_id": "raw_payload:2", "path": "payloads/2.json"}}),
        ),
        line(9, begins("e", 1)),
    ];
    sandbox.write("trace/trace.jsonl", lines.join("\n"));
    sandbox.write(
        "trace/manifest.json",
        r#"{"schema_version":1,"started_at_unix_ms":1000,"raw_event_log":"trace.jsonl"}"#,
    );
    let user = json!({"role": "user", "content": "go"});
    sandbox.write(
        "trace/payloads/1.json",
        json!({"model": "m", "input": [user]}).to_string(),
    );
    sandbox.write(
        "trace/payloads/3.json",
        json!({"model": "m", "input": [user, call]}).to_string(),
    );
    sandbox.write(
        "trace/payloads/2.json",
        json!({"response_id": "resp_1", "output_items": [call]}).to_string(),
    );
    let path = sandbox.path().join("trace");
    let path = path.to_str().unwrap();
    let done = sandbox.run(&["convert", path, "-o", "-"]);
    let lines: Vec<Value> = done
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ends: Vec<Value> = lines
        .iter()
        .filter(|it| it["kind"] == "end")
        .map(|it| json!([it["exchange"], it["at_us"], it["cause"], it["detail"]]))
        .collect();
    assert_eq!(ends[0], json!([1, 2000, "client_closed", "dropped"]));
    assert_eq!(ends[4], json!([5, 9000, "not_held", null]));
    let status: Vec<&Value> = lines.iter().filter(|it| it["kind"] == "response").collect();
    assert_eq!(status.len(), 1, "only the words of one error name a status");
    assert_eq!(
        (&status[0]["exchange"], &status[0]["status"]),
        (&json!(3), &json!(503))
    );
    let chunks = lines.iter().filter(|it| it["kind"] == "chunk");
    assert!(chunks.clone().count() > 3 && chunks.clone().all(|it| it["rebuilt"] == true));
    assert!(
        done.err.contains("nothing says how this request ended"),
        "{}",
        done.err
    );
    assert_snapshot!(sandbox.shown(&sandbox.run(&["convert", path, "--summary"])));
    let judged = sandbox.run(&[path, "--format", "json"]).json();
    assert_eq!(judged["sessions"][0]["runs"][0]["verdict"], "refused");
}

#[test]
fn a_recording_survives_the_way_through_har() {
    let sandbox = Sandbox::new();
    let har = sandbox.path().join("a.har");
    let back = sandbox.path().join("b.jsonl");
    let (har, back) = (har.to_str().unwrap(), back.to_str().unwrap());
    let mut seen = 0;
    for story in stories() {
        let path = story.join("session.jsonl");
        let path = path.to_str().unwrap();
        if !std::fs::read_to_string(path)
            .unwrap()
            .starts_with("{\"kind\":\"session\"")
        {
            continue;
        }
        let done = sandbox.run(&["convert", path, "--to", "har", "-o", har, "--force"]);
        assert_eq!(done.status, 0, "{done:?}");
        let document: Value = serde_json::from_slice(&std::fs::read(har).unwrap()).unwrap();
        is_har(&document);
        let done = sandbox.run(&["convert", har, "-o", back, "--force"]);
        assert_eq!(done.status, 0, "{done:?}");
        assert_eq!(counts(&sandbox, path), counts(&sandbox, back), "{path}");
        let [before, after] = [path, back].map(|it| {
            let mut judged = judged(&sandbox.run(&[it, "--format", "json"]).json());
            // why a call is open is told by lines of the client, which HAR has no place for
            for call in judged["open_calls"].as_array_mut().unwrap() {
                call[4].take();
            }
            judged
        });
        assert_eq!(before, after, "{path}");
        seen += 1;
    }
    assert!(seen > 20);
}

/// What HAR 1.2 asks for.
fn is_har(document: &Value) {
    let log = &document["log"];
    assert_eq!(log["version"], "1.2");
    assert!(log["creator"]["name"].is_string() && log["creator"]["version"].is_string());
    for entry in log["entries"].as_array().unwrap() {
        assert!(entry["startedDateTime"].as_str().unwrap().contains('T'));
        assert!(entry["time"].as_f64().unwrap() >= 0.0);
        assert!(entry["cache"].is_object());
        for key in ["send", "wait", "receive"] {
            assert!(entry["timings"][key].is_number(), "{entry}");
        }
        for side in ["request", "response"] {
            let message = &entry[side];
            for key in ["cookies", "headers"] {
                assert!(message[key].is_array(), "{entry}");
            }
            for key in ["headersSize", "bodySize"] {
                assert!(message[key].is_number(), "{entry}");
            }
            assert!(message["httpVersion"].is_string());
        }
        assert!(entry["request"]["url"].as_str().unwrap().contains("://"));
        assert!(entry["request"]["queryString"].is_array());
        assert!(entry["response"]["content"]["mimeType"].is_string());
        assert!(entry["response"]["redirectURL"].is_string());
    }
}

#[test]
fn streams_are_written_byte_for_byte_and_read_again() {
    let sandbox = Sandbox::new();
    let session = "rollouts/codex-0.8-second-stream/session.jsonl";
    let one = sandbox.run(&[
        "convert",
        session,
        "--to",
        "sse",
        "--exchange",
        "1",
        "-o",
        "-",
    ]);
    assert!(
        one.out.starts_with("event: response.created\ndata: {"),
        "{}",
        one.out
    );
    let path = sandbox.write("one.sse", &one.out);
    let again = counts(&sandbox, path.to_str().unwrap());
    assert_eq!(again, counts(&sandbox, session)[..1]);
    let all = sandbox.run(&["convert", session, "--to", "sse", "-o", "-"]);
    assert!(
        all.out
            .starts_with(": exchange 1 /v1/responses, status 200\n\nevent: ")
    );
    assert!(all.err.contains("left out: exchange"), "{}", all.err);
    // over a WebSocket there is no such text: its messages are spelled as events
    let socket = "rollouts/codex-0.169-websocket/session.jsonl";
    let done = sandbox.run(&[
        "convert",
        socket,
        "--to",
        "sse",
        "--exchange",
        "3",
        "-o",
        "-",
    ]);
    let path = sandbox.write("socket.sse", &done.out);
    let own = counts(&sandbox, path.to_str().unwrap());
    assert!(own.len() == 1 && counts(&sandbox, socket).contains(&own[0]));
}

#[test]
fn bodies_are_written_as_sent_or_whole() {
    let sandbox = Sandbox::new();
    let session = "rollouts/codex-0.8-second-stream/session.jsonl";
    let body = |more: &[&str]| {
        let mut arguments = vec![
            "convert",
            session,
            "--to",
            "body",
            "--exchange",
            "4",
            "-o",
            "-",
        ];
        arguments.extend(more);
        sandbox.run(&arguments)
    };
    let sent: Value = serde_json::from_str(&body(&[]).out).unwrap();
    assert!(sent["previous_response_id"].is_string());
    let whole: Value = serde_json::from_str(&body(&["--full"]).out).unwrap();
    assert!(whole.get("previous_response_id").is_none());
    assert_eq!(whole["model"], sent["model"]);
    let (few, many) = (
        sent["input"].as_array().unwrap(),
        whole["input"].as_array().unwrap(),
    );
    assert!(many.len() > few.len() && many.ends_with(few));
    // a body that is sent alone is judged alone
    let path = sandbox.write("body.json", body(&["--full"]).out);
    let judged = sandbox.run(&[path.to_str().unwrap(), "--format", "json"]);
    assert_eq!(
        judged.json()["sessions"][0]["runs"][0]["verdict"],
        "refused"
    );
}

#[test]
fn secrets_are_hidden_in_every_form() {
    let sandbox = Sandbox::new();
    let key = concat!("sk-", "planted-9f86d081884c7d659a2feaa0c55ad015");
    let har = std::fs::read_to_string(root().join(others("mitmproxy.har"))).unwrap();
    let path = sandbox.write(
        "a.har",
        har.replace("Bearer placeholder", &format!("Bearer {key}")),
    );
    let path = path.to_str().unwrap();
    assert!(sandbox.run(&["convert", path, "-o", "-"]).out.contains(key));
    for form in ["recording", "har", "sse"] {
        let done = sandbox.run(&["convert", path, "--redact", "--to", form, "-o", "-"]);
        assert_eq!(done.status, 0);
        assert!(!done.out.contains(key) && done.out.len() > 1000, "{form}");
        assert!(done.err.contains("hidden"), "{}", done.err);
    }
}

#[test]
fn captures_open_as_sessions() {
    let sandbox = Sandbox::new();
    for name in ["mitmproxy.har", "vcrpy.yaml", "vcrpy.json"] {
        let path = others(name);
        let replayed = sandbox.run(&[&path, "--format", "json"]).json();
        let run = &replayed["sessions"][0]["runs"][0];
        assert_eq!(
            (&run["verdict"], &run["reproduced"]),
            (&json!("refused"), &json!(true))
        );
        assert_eq!(replayed["sessions"][0]["source"], "converted");
        let checked = sandbox.run(&["check", &path, "--format", "json"]);
        assert_eq!(checked.status, 1);
        let findings = checked.json()["findings"].clone();
        let mut findings = findings.as_array().unwrap().iter();
        assert!(findings.any(|it| it["rule"] == "missing_output"), "{name}");
        let shown = sandbox.run(&["inspect", &path]);
        assert!(shown.out.contains("call_X"), "{}", shown.out);
        let explained = sandbox.run(&["explain", "call_X", &path]);
        assert!(
            explained.out.contains("No tool output found"),
            "{}",
            explained.out
        );
    }
    for path in [
        others("proxy-dump"),
        "tests/captures/codex-trace-interrupted/trace-1".to_owned(),
    ] {
        let shown = sandbox.run(&["inspect", &path, "--format", "json"]).json();
        assert!(!shown["exchanges"].as_array().unwrap().is_empty());
        assert_eq!(sandbox.run(&[&path]).status, 0);
    }
    // an answer alone shows no request: nothing is judged, and nothing is green
    for name in ["stream.sse", "aimock.json"] {
        let done = sandbox.run(&[&others(name)]);
        assert_eq!(done.status, 3);
        assert!(
            done.err.contains("an answer alone shows no request"),
            "{}",
            done.err
        );
    }
}

#[test]
fn client_events_are_no_captures() {
    let sandbox = Sandbox::new();
    for (name, text) in [
        (
            "exec",
            "{\"type\":\"thread.started\",\"thread_id\":\"x\"}\n{\"type\":\"item.completed\",\"item\":{}}\n",
        ),
        (
            "tui",
            "{\"ts\":\"x\",\"dir\":\"meta\",\"kind\":\"session_start\"}\n",
        ),
        (
            "proto",
            "{\"id\":\"0\",\"msg\":{\"type\":\"task_started\"}}\n",
        ),
    ] {
        let path = sandbox.write(&format!("{name}.jsonl"), text);
        let done = sandbox.run(&["convert", path.to_str().unwrap(), "-o", "-"]);
        assert_eq!((done.status, done.out.as_str()), (3, ""), "{name} {done:?}");
        assert!(
            done.err.contains("and no capture that can be converted"),
            "{}",
            done.err
        );
    }
}

#[test]
fn what_is_hostile_or_damaged_is_told() {
    let sandbox = Sandbox::new();
    let bundle = |name: &str, trace: &str| {
        sandbox.write(
            &format!("{name}/manifest.json"),
            r#"{"schema_version":2,"started_at_unix_ms":0,"raw_event_log":"trace.jsonl"}"#,
        );
        sandbox.write(&format!("{name}/trace.jsonl"), trace);
    };
    let begins = |path: &str| {
        format!(
            r#"{{"seq":1,"wall_time_unix_ms":1,"payload":{{"type":"inference_started","inference_call_id":"a","thread_id":"t","request_payload":{{"raw_payload_id":"p","path":"{path}"}}}}}}"#
        )
    };
    bundle("leads-out", &begins("../secret.json"));
    bundle("absolute", &begins("/etc/hostname"));
    bundle("missing", &begins("payloads/9.json"));
    bundle("torn", &begins("payloads/9.json")[..60]);
    sandbox.write("secret.json", r#"{"input":"SECRET"}"#);
    #[cfg(unix)]
    {
        bundle("link", &begins("payloads/1.json"));
        let folder = sandbox.path().join("link/payloads");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(sandbox.path().join("secret.json"), folder.join("1.json"))
            .unwrap();
    }
    sandbox.write(
        "manifest/manifest.json",
        r#"{"schema_version":9,"raw_event_log":"../x"}"#,
    );
    sandbox.write("manifest/trace.jsonl", "");
    sandbox.write("empty.har", "");
    sandbox.write("deep.har", format!("{{\"log\":{}", "{\"a\":".repeat(9000)));
    sandbox.write("torn.har", r#"{"log":{"entries":[{"request":{"method":"POST","url":"https://h/v1/responses","postData":{"text":"{\"input\":\"a\"}"}}},{"requ"#);
    sandbox.write("odd.har", "{\"log\":{\"entries\":[5,{\"request\":1}]}}");
    let mut bomb = "interactions:\n- request: {method: POST, uri: 'http://h/v1/responses', body: '{\"input\":\"\u{1b}[31m\"}'}\n- a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let many = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("  a{level}: &a{level} [{many}]\n"));
    }
    sandbox.write("bomb.yaml", bomb);
    sandbox.write("torn.sse", "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\ndata: {\"type\":\"resp");
    let mut shown = String::new();
    for name in [
        "leads-out",
        "absolute",
        "missing",
        "torn",
        "link",
        "manifest",
        "empty.har",
        "deep.har",
        "torn.har",
        "odd.har",
        "bomb.yaml",
        "torn.sse",
    ] {
        if name == "link" && cfg!(not(unix)) {
            continue;
        }
        let path = sandbox.path().join(name);
        let done = sandbox.run(&["convert", path.to_str().unwrap(), "-o", "-"]);
        assert!(!done.out.contains("SECRET"), "{name}");
        assert!(!done.err.contains('\u{1b}'), "{name}");
        shown.push_str(&format!(
            "$ replay convert {name} -o -\n{}--- exit {}\n\n",
            done.err, done.status
        ));
    }
    let shown = shown.replace(&sandbox.path().display().to_string(), "[SANDBOX]");
    assert_snapshot!(shown);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let sandbox = Sandbox::new();
    let session = "rollouts/codex-0.8-second-stream/session.jsonl";
    let mut shown = String::new();
    for arguments in [
        &["convert", session, "--from", "pcap", "-o", "-"][..],
        &["convert", session, "--to", "body", "-o", "-"],
        &[
            "convert",
            session,
            "--to",
            "sse",
            "--exchange",
            "9",
            "-o",
            "-",
        ],
        &[
            "convert",
            session,
            "--to",
            "sse",
            "--exchange",
            "4",
            "-o",
            "-",
        ],
        &["convert", session, "--exchange", "1", "-o", "-"],
        &["convert", session, "--to", "har", "--full", "-o", "-"],
        &["convert", "rollouts", "-o", "-"],
        &[
            "convert",
            "rollouts/codex-0.8-second-stream/rollout.jsonl",
            "--to",
            "har",
            "-o",
            "-",
        ],
        &[
            "convert",
            "tests/captures/others/stream.sse",
            "--to",
            "body",
            "--exchange",
            "1",
            "-o",
            "-",
        ],
        &[
            "convert",
            "tests/captures/others/mitmproxy.har",
            "--from",
            "codex-trace",
            "-o",
            "-",
        ],
    ] {
        let done = sandbox.run(arguments);
        assert!(done.out.is_empty(), "{done:?}");
        shown.push_str(&format!(
            "$ replay {}\n{}\n",
            arguments.join(" "),
            done.text()
        ));
    }
    assert_snapshot!(shown);
}

/// Makes a stream lose or gain what dumps lose and gain.
type Change = fn(&str) -> String;

const CHANGES: [(&str, Change); 12] = [
    ("CRLF", |it| it.replace('\n', "\r\n")),
    ("CR", |it| it.replace('\n', "\r")),
    ("no blank lines", |it| it.replace("\n\n", "\n")),
    ("no blank lines, CRLF", |it| {
        it.replace("\n\n", "\n").replace('\n', "\r\n")
    }),
    ("byte order mark", |it| format!("\u{feff}{it}")),
    ("no spaces", |it| {
        it.replace("data: ", "data:").replace("event: ", "event:")
    }),
    ("no event lines", |it| {
        let lines = it.lines().filter(|line| !line.starts_with("event:"));
        lines.map(|line| format!("{line}\n")).collect()
    }),
    ("[DONE]", |it| format!("{it}data: [DONE]\n\n")),
    ("comments", |it| it.replace("\n\n", "\n\n: keep-alive\n\n")),
    ("trimmed", |it| it.trim_end().to_owned()),
    ("ids", |it| it.replace("data: ", "id: 7\nretry: 10\ndata: ")),
    ("glued", |it| {
        it.replace("}\n\nevent:", "}event:")
            .replace("}\n\ndata:", "}data:")
    }),
];

#[test]
fn a_stream_counts_the_same_whatever_a_dump_did_to_it() {
    let sandbox = Sandbox::new();
    let text = std::fs::read_to_string(captures().join("others/stream.sse")).unwrap();
    let folder = |name: &str| sandbox.path().join(name);
    let whole = counts(&sandbox, &others("stream.sse"));
    assert_eq!(whole.len(), 1);
    for (what, change) in CHANGES {
        let path = sandbox.write("changed.sse", change(&text));
        assert_eq!(counts(&sandbox, path.to_str().unwrap()), whole, "{what}");
        let line = json!({"request": {"input": "go"}, "status": 200, "body": change(&text)});
        sandbox.write("changed.exchanges.jsonl", line.to_string());
        let path = folder("changed.exchanges.jsonl");
        assert_eq!(
            counts(&sandbox, path.to_str().unwrap()),
            whole,
            "{what}, in a line"
        );
        // read as a session, without being converted
        let inspected = sandbox
            .run(&["inspect", path.to_str().unwrap(), "--format", "json"])
            .json();
        let exchange = &inspected["exchanges"][0];
        assert_eq!(
            (
                &exchange["events"],
                &exchange["output_items"],
                &exchange["terminal"]
            ),
            (&whole[0][1], &whole[0][3], &whole[0][5]),
            "{what}"
        );
    }
    let events: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
        .collect();
    let enveloped: Vec<String> = events
        .iter()
        .map(|it| {
            json!({"event": serde_json::from_str::<Value>(it).unwrap()["type"], "data": it})
                .to_string()
        })
        .collect();
    for (what, text) in [
        ("lines", events.join("\n")),
        ("an array", format!("[{}]", events.join(","))),
        (
            "an array over lines",
            format!("[\n{}\n]\n", events.join(",\n")),
        ),
        ("envelopes", enveloped.join("\n")),
    ] {
        let path = sandbox.write("events.jsonl", text);
        assert_eq!(counts(&sandbox, path.to_str().unwrap()), whole, "{what}");
    }
    // two answers behind each other are two
    let path = sandbox.write("two.sse", format!("{text}{text}"));
    let two = counts(&sandbox, path.to_str().unwrap());
    assert_eq!(two, [whole.clone(), whole].concat());
}

#[test]
fn cassettes_of_every_make() {
    let sandbox = Sandbox::new();
    let body = r#"{"model":"m","input":[{"role":"user","content":"go"}]}"#;
    let answer = "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[{\"type\":\"message\"}]}}\n\n";
    let encode = |bytes: &[u8]| {
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let [a, b, c] = [0, 1, 2].map(|at| three.get(at).copied().unwrap_or(0));
            let whole = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
            for at in 0..4 {
                let set = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                let six = (whole >> (18 - 6 * at) & 63) as usize;
                text.push(if at > three.len() {
                    '='
                } else {
                    set[six] as char
                });
            }
        }
        text
    };
    let zipped = zstd::encode_all(answer.as_bytes(), 3).unwrap();
    let block = answer.replace("\n\n", "\n\n        ");
    let uri = "https://h.example/v1/responses";
    for (what, text) in [
        (
            "vcrpy",
            format!(
                "interactions:\n- request:\n    body: '{body}'\n    headers: {{a: [b]}}\n    method: POST\n    uri: {uri}\n  response:\n    body:\n      string: |+\n        {block}\n    headers: {{}}\n    status: {{code: 200, message: OK}}\nversion: 1\n"
            ),
        ),
        (
            "vcrpy, binary and compressed",
            format!(
                "interactions:\n- request: {{body: !!binary '{}', method: POST, uri: {uri}}}\n  response: {{body: {{string: !!binary '{}'}}, headers: {{content-encoding: [zstd]}}, status: {{code: 200}}}}\n",
                encode(body.as_bytes()),
                encode(&zipped)
            ),
        ),
        (
            "vcrpy, parsed body",
            format!(
                "version: 1\ninteractions:\n- request: {{parsed_body: {body}, method: POST, uri: {uri}}}\n  response: {{body: {{string: {answer:?}}}, status: {{code: 200}}}}\n"
            ),
        ),
        (
            "the list alone",
            format!(
                "- request: {{body: '{body}', method: POST, uri: {uri}}}\n  response: {{body: {answer:?}, status: 200}}\n"
            ),
        ),
        (
            "Ruby",
            format!(
                "---\nhttp_interactions:\n- request:\n    method: post\n    uri: {uri}\n    body: {{encoding: UTF-8, string: '{body}'}}\n  response:\n    status: {{code: 200}}\n    body: {{encoding: ASCII-8BIT, base64_string: '{}'}}\n  recorded_at: Mon, 10 Aug 2026 22:30:03 GMT\n",
                encode(answer.as_bytes())
            ),
        ),
        (
            "httpmock",
            format!(
                "when:\n  path: /v1/responses\n  method: POST\n  body: '{body}'\nthen:\n  status: 200\n  header:\n  - name: content-type\n    value: text/event-stream\n  body: {answer:?}\n"
            ),
        ),
    ] {
        let path = sandbox.write("cassette.yaml", text);
        let path = path.to_str().unwrap();
        let found = counts(&sandbox, path);
        assert_eq!(found.len(), 1, "{what}");
        assert_eq!(
            (&found[0][1], &found[0][5], &found[0][6]),
            (&json!(1), &json!("completed"), &json!("resp_1")),
            "{what}"
        );
        let judged = sandbox.run(&[path, "--format", "json"]).json();
        let run = &judged["sessions"][0]["runs"][0];
        assert_eq!(run["verdict"], "clean", "{what}");
        assert_eq!(run["requests"][0]["input_items"], 1, "{what}");
        assert_eq!(run["requests"][0]["recorded_status"], 200, "{what}");
    }
}

#[test]
fn har_files_of_browsers() {
    let sandbox = Sandbox::new();
    let event = |kind: &str| format!("{{\"type\":\"{kind}\",\"response\":{{\"id\":\"resp_1\"}}}}");
    let create =
        r#"{"type":"response.create","model":"m","input":[{"role":"user","content":"go"}]}"#;
    let request = json!({"method": "POST", "url": "https://h.example/v1/responses", "httpVersion": "h2", "headers": [],
        "postData": {"mimeType": "application/json", "text": "{\"input\":\"go\"}"}});
    let har = json!({"log": {"version": "1.2", "entries": [
        {"startedDateTime": "2026-01-01T00:00:00Z", "time": 20, "request": request,
            "timings": {"send": 1, "wait": 9, "receive": 10},
            "response": {"status": 200, "headers": [], "content": {"size": 3, "encoding": "base64",
                "text": "ZGF0YTogeyJ0eXBlIjoicmVzcG9uc2UuY29tcGxldGVkIiwicmVzcG9uc2UiOnsiaWQiOiJyIn19Cgo="}}},
        {"startedDateTime": "2026-01-01T00:00:00.005Z", "time": 1, "request": request,
            "response": {"status": 0, "headers": [], "content": {"size": 0}, "_error": "net::ERR_ABORTED"}},
        {"startedDateTime": "2026-01-01T00:00:01Z", "time": 1, "request": request,
            "response": {"status": 200, "headers": [], "content": {"size": 900}}},
        {"startedDateTime": "2026-01-01T00:00:02Z", "time": 1, "request": {"method": "GET", "url": "wss://h.example/v1/responses", "headers": []},
            "response": {"status": 101, "headers": []}, "_webSocketMessages": [
                {"type": "send", "time": 1_767_225_602.5, "opcode": 1, "data": create},
                {"type": "receive", "time": 1_767_225_603.0, "opcode": 1, "data": event("response.created")},
                {"type": "receive", "time": 1_767_225_603.5, "opcode": 1, "data": event("response.completed")}]},
    ]}});
    let path = sandbox.write("browser.har", har.to_string());
    let path = path.to_str().unwrap();
    let done = sandbox.run(&["convert", path, "-o", "-"]);
    let lines: Vec<Value> = done
        .out
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let of = |kind: &str| -> Vec<Value> {
        let own = lines.iter().filter(|it| it["kind"] == kind);
        own.map(|it| json!([it["exchange"], it["at_us"]])).collect()
    };
    // the second request is sent while the first is answered: lines stand in the order of time
    assert_eq!(
        of("request"),
        [
            json!([1, 0]),
            json!([2, 5000]),
            json!([3, 1_000_000]),
            json!([4, 2_500_000])
        ]
    );
    assert_eq!(of("response"), [json!([1, 10_000]), json!([3, 1_001_000])]);
    assert_eq!(of("chunk"), [json!([1, 10_000])]);
    assert_eq!(of("frame"), [json!([4, 3_000_000]), json!([4, 3_500_000])]);
    assert_eq!(
        of("end"),
        [json!([2, 6000]), json!([1, 20_000]), json!([3, 1_001_000])]
    );
    assert!(
        done.err
            .contains("entry 3: the answer's body is not in the file"),
        "{}",
        done.err
    );
    let found = counts(&sandbox, path);
    assert_eq!(found[0][5], "completed");
    assert_eq!(
        (&found[3][1], &found[3][5]),
        (&json!(2), &json!("completed"))
    );
    // an answer of which only the status is held is not called cut
    let inspected = sandbox.run(&["inspect", path, "--format", "json"]).json();
    let cut: Vec<&Value> = inspected["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["cut"])
        .collect();
    assert_eq!(cut, [false, true, false, false]);
    assert!(Path::new(path).exists());
}
