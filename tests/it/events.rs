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
        ("hand-late-abort", &[][..]),
        ("hand-approvals", &[]),
        ("hand-ids", &[]),
        ("hand-doubled-input", &[]),
        ("hand-ran-twice", &[]),
        ("hand-wire-and-disk", &["rollout.jsonl"]),
        ("hand-compacted-open-call", &[]),
        ("hand-delegate-cut", &["parent.jsonl", "events.jsonl"]),
        ("codex-0.8-dead-task", &[]),
    ] {
        let session = story(name, "session.jsonl");
        let others: Vec<String> = with.iter().map(|it| story(name, it)).collect();
        let mut arguments = vec!["check", session.as_str()];
        arguments.extend(others.iter().flat_map(|it| ["--with", it.as_str()]));
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
fn a_log_whose_clock_is_hours_off_is_moved() {
    let sandbox = Sandbox::new();
    let rollout = put(
        &sandbox,
        "rollout.jsonl",
        r#"{"timestamp":"2025-08-09T05:33:37.000Z","type":"session_meta","payload":{"id":"0dea4b6a-a74c-4a16-9a41-a61789a2d866","cli_version":"0.45.0","cwd":"/w"}}
{"timestamp":"2025-08-09T05:33:40.050Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"go"}]}}
{"timestamp":"2025-08-09T05:33:41.150Z","type":"event_msg","payload":{"type":"turn_aborted","reason":"interrupted"}}
"#,
    );
    let tui = put(&sandbox, "tui.jsonl", TUI);
    let inspect = |log: &str| {
        let arguments = ["inspect", &rollout, "--with", log, "--format", "json"];
        sandbox.run(&arguments).json()
    };
    let document = inspect(&tui);
    assert_eq!(document["files"][1]["clock"], "shifted");
    // five hours earlier by its own clock; now the interrupt stands between the message and the abort
    let arguments = ["inspect", &rollout, "--with", &tui, "--format", "text"];
    let transcript = sandbox.run(&arguments).out;
    let at = |line: &str| {
        transcript
            .find(line)
            .unwrap_or_else(|| panic!("{line}: {transcript}"))
    };
    assert!(
        at(" 1:2 ") < at(" 2:7 ") && at(" 2:7 ") < at(" 1:3 "),
        "{transcript}"
    );
    // a clock that is seconds off is left alone
    let near = put(
        &sandbox,
        "near.jsonl",
        &TUI.replace("2025-08-09T00:", "2025-08-09T05:"),
    );
    assert_eq!(inspect(&near)["files"][1]["clock"], "own");
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
        "replaced",
        "in-review",
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

/// The two recordings of a thread whose client was killed between wire and disk, and its rollout.
fn killed(sandbox: &Sandbox) -> [String; 3] {
    let thread = "01a1fed0-0000-7000-8000-000000000000";
    let session = |minute: u32| {
        format!(
            r#"{{"kind":"session","format":1,"id":"01a1fed2-0000-7000-8000-00000000000{minute}","created_at":"2026-11-21T12:0{minute}:00.000Z","recorder":"by hand"}}"#
        )
    };
    let request = |items: &str| {
        format!(
            r#"{{"kind":"request","exchange":1,"at_us":3,"transport":"http","method":"POST","path":"/v1/responses","headers":[["thread-id","{thread}"]],"body":{{"model":"m","store":false,"stream":true,"input":[{items}]}}}}
{{"kind":"response","exchange":1,"at_us":4,"status":200,"headers":[["content-type","text/event-stream"]]}}"#
        )
    };
    let user = |text: &str| {
        format!(
            r#"{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{text}"}}]}}"#
        )
    };
    let done = |item: &str| {
        let data = format!(
            "event: response.output_item.done\ndata: {{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{item}}}\n\nevent: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[]}}}}\n\n"
        );
        format!(
            "{{\"kind\":\"chunk\",\"exchange\":1,\"at_us\":5,\"text\":{}}}\n{{\"kind\":\"end\",\"exchange\":1,\"at_us\":6,\"cause\":\"complete\"}}",
            serde_json::to_string(&data).unwrap()
        )
    };
    let call = r#"{"type":"function_call","name":"shell","call_id":"call_K","arguments":"{}"}"#;
    let text = r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Done."}]}"#;
    let line = |value: &str| {
        format!(
            r#"{{"timestamp":"2026-11-21T12:00:00.000Z","type":"response_item","payload":{value}}}"#
        )
    };
    let first = [session(0), request(&user("begin")), done(call)].join("\n");
    let both = format!("{},{}", user("begin"), user("go on"));
    let second = [session(5), request(&both), done(text)].join("\n");
    let meta = format!(
        r#"{{"timestamp":"2026-11-21T12:00:00.000Z","type":"session_meta","payload":{{"id":"{thread}","timestamp":"2026-11-21T12:00:00.000Z","cwd":"/w","originator":"codex_exec","cli_version":"0.45.0"}}}}"#
    );
    let rollout = [meta, line(&user("begin")), line(&user("go on")), line(text)].join("\n");
    [
        put(sandbox, "1.jsonl", &first),
        put(sandbox, "2.jsonl", &second),
        put(sandbox, "rollout.jsonl", &rollout),
    ]
}

#[test]
fn what_a_killed_client_left_off_the_disk_is_found_whichever_file_comes_first() {
    let sandbox = Sandbox::new();
    let files = killed(&sandbox);
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let [own, a, b] = order.map(|it| files[it].as_str());
        let done = sandbox.run(&["check", own, "--with", a, "--with", b, "--format", "json"]);
        let document = done.json();
        let found: Vec<&Value> = document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["rule"] == "not_on_disk")
            .collect();
        assert_eq!(found.len(), 1, "{order:?}");
        assert_eq!(found[0]["severity"], "warning", "{order:?}");
        assert_eq!(found[0]["call_id"], "call_K");
        assert_eq!(found[0]["path"], files[0], "{order:?}");
        assert_eq!(found[0]["also"][0]["path"], files[2], "{order:?}");
    }
    // without what came after, nobody has gone on without it yet
    let done = sandbox.run(&["check", &files[0], "--with", &files[2]]);
    assert!(
        done.out.contains("info[not_on_disk]"),
        "{} {}",
        done.out,
        done.err
    );
}

/// Takes lines out of a story, or moves and repeats them, and says what `check` finds then.
fn changed(
    sandbox: &Sandbox,
    name: &str,
    change: impl FnOnce(Vec<&str>) -> Vec<&str>,
) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(story(name, "session.jsonl")).unwrap();
    let lines = change(text.lines().collect());
    let path = put(sandbox, "changed.jsonl", &(lines.join("\n") + "\n"));
    let document = sandbox.run(&["check", &path, "--format", "json"]).json();
    let found = document["findings"].as_array().unwrap().iter();
    found
        .map(|it| {
            let word = |key: &str| it[key].as_str().unwrap().to_owned();
            (word("rule"), word("severity"))
        })
        .collect()
}

fn holds(found: &[(String, String)], rule: &str, severity: &str) -> bool {
    found.iter().any(|it| it.0 == rule && it.1 == severity)
}

#[test]
fn a_log_in_which_something_is_missing_is_told_so() {
    let sandbox = Sandbox::new();
    // no end of the interrupted turn, on either side
    let found = changed(&sandbox, "codex-0.169-app-server-in-question", |lines| {
        let mut lines: Vec<&str> = lines
            .into_iter()
            .filter(|it| !it.contains("turn/completed") || !it.contains("\"interrupted\""))
            .collect();
        lines.truncate(
            lines
                .iter()
                .rposition(|it| it.contains("turn/start"))
                .unwrap(),
        );
        lines
    });
    assert!(
        holds(&found, "unanswered_interrupt", "warning"),
        "{found:?}"
    );
    // the answer of the driver is lost
    let found = changed(&sandbox, "codex-0.169-app-server-in-approval", |lines| {
        lines
            .into_iter()
            .filter(|it| {
                let completed = it.contains("turn/completed") && it.contains("\"completed\"");
                let answers = [
                    "\"decision\"",
                    "serverRequest/resolved",
                    "\"task_complete\"",
                ];
                !completed && !answers.iter().any(|answer| it.contains(answer))
            })
            .collect()
    });
    assert!(holds(&found, "unanswered_approval", "warning"), "{found:?}");
    // a tool begins twice
    let found = changed(&sandbox, "codex-0.169-app-server-in-tool", |lines| {
        let mut lines = lines;
        let at = lines
            .iter()
            .position(|it| it.contains("item/started") && it.contains("commandExecution"));
        let at = at.unwrap();
        lines.insert(at + 1, lines[at]);
        lines
    });
    assert!(holds(&found, "ran_twice", "warning"), "{found:?}");
    // the end of the first turn comes behind the beginning of the next
    let found = changed(&sandbox, "codex-0.169-app-server-in-tool", |lines| {
        let mut lines = lines;
        let end = lines
            .iter()
            .position(|it| it.contains("turn/completed"))
            .unwrap();
        let line = lines.remove(end);
        let next = lines
            .iter()
            .rposition(|it| it.contains("turn/started"))
            .unwrap();
        lines.insert(next + 1, line);
        lines
    });
    assert!(
        holds(&found, "unanswered_interrupt", "warning"),
        "{found:?}"
    );
    assert!(holds(&found, "stale_event", "warning"), "{found:?}");
    // the rollout loses a call
    let found = changed(&sandbox, "codex-0.169-app-server-in-tool", |lines| {
        let call =
            |it: &&str| it.contains("\"kind\":\"rollout\"") && it.contains("\"function_call\"");
        lines.into_iter().filter(|it| !call(it)).collect()
    });
    assert!(holds(&found, "not_on_disk", "warning"), "{found:?}");
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
