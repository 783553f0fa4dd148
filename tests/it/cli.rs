//! What is printed, to whom, with which status.

use std::io::Read as _;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::stories::{hold, promises};
use crate::support::{Done, Sandbox, capture, root, run, story_file, unzstd};

const AGENTS: &str = "rollouts/agents-python-second-stream/session.jsonl";

#[test]
fn a_refused_recording() {
    assert_snapshot!(run(&[AGENTS]).text());
}

#[test]
fn a_refused_recording_with_all_its_requests() {
    assert_snapshot!(run(&["-v", "rollouts/codex-0.8-second-stream/session.jsonl"]).text());
}

#[test]
fn a_refused_rollout() {
    assert_snapshot!(run(&["rollouts/codex-0.8-second-stream/rollout.jsonl"]).text());
}

#[test]
fn an_orphan_in_a_rollout() {
    assert_snapshot!(run(&["rollouts/codex-0.20-lost-call/rollout.jsonl"]).text());
}

#[test]
fn a_rollout_that_its_client_repairs() {
    assert_snapshot!(run(&["rollouts/codex-0.169-kill-in-tool/rollout.jsonl"]).text());
}

#[test]
fn a_rollout_that_depends() {
    assert_snapshot!(run(&["rollouts/codex-0.20-lost-output/rollout.jsonl"]).text());
}

#[test]
fn an_answer_that_disagrees() {
    assert_snapshot!(run(&["rollouts/codex-0.169-forced-400/session.jsonl"]).text());
}

#[test]
fn a_rollout_that_cannot_tell() {
    assert_snapshot!(run(&["rollouts/codex-0.20-interrupt/rollout.jsonl"]).text());
}

#[test]
fn a_response_that_is_not_stored() {
    assert_snapshot!(run(&["rollouts/sdk-python-cut-not-stored/session.jsonl"]).text());
}

#[test]
fn a_clean_recording() {
    assert_snapshot!(run(&["rollouts/codex-0.169-parallel-sigint/session.jsonl"]).text());
}

#[test]
fn the_whole_history_gets_through_and_keeps_the_output() {
    assert_snapshot!(run(&[AGENTS, "--recover", "full-history"]).text());
}

#[test]
fn reading_the_error_gets_through_with_a_falsehood() {
    assert_snapshot!(run(&[AGENTS, "--recover", "error-body"]).text());
}

#[test]
fn as_json() {
    assert_snapshot!(run(&[AGENTS, "--format", "json"]).text());
}

#[test]
fn several_sessions_count_as_the_worst() {
    let done = run(&[
        "-q",
        "rollouts/codex-0.169-parallel-sigint/session.jsonl",
        AGENTS,
        "rollouts/codex-0.20-interrupt/rollout.jsonl",
        "--recover",
        "none",
    ]);
    assert_snapshot!(done.text());
}

#[test]
fn a_folder_is_replayed() {
    let folder = "rollouts/codex-0.169-kill-in-tool";
    let done = run(&[folder, "--format", "json"]);
    assert_eq!(done.status, 0);
    assert_eq!(done.json()["sessions"].as_array().map(Vec::len), Some(2));
    assert_snapshot!(run(&[folder, "--recover", "full-history"]).text());
    assert_eq!(run(&["src/report"]).status, 3);
    assert_eq!(run(&[folder, "README.md"]).status, 3);
}

#[test]
fn policies_decide() {
    let session = "rollouts/sdk-python-cut-stored/session.jsonl";
    assert_eq!(run(&[session]).status, 0);
    let policy = "stored_after_cut=nothing";
    let done = run(&[session, "--policy", policy, "--format", "json"]);
    assert_eq!(done.status, 1);
    assert_eq!(
        done.json()["sessions"][0]["runs"][0]["verdict"],
        "disagrees"
    );
    let rollout = "rollouts/codex-0.20-lost-output/rollout.jsonl";
    for (value, verdict) in [("accept", "recovered"), ("refuse", "refused")] {
        let policy = format!("output_before_call={value}");
        let done = run(&[rollout, "--policy", &policy, "--format", "json"]);
        assert_eq!(done.json()["sessions"][0]["runs"][0]["verdict"], verdict);
    }
}

#[test]
fn what_is_expected_decides_the_status() {
    let status = |verdict: &str| run(&[AGENTS, "--expect", verdict, "-q"]).status;
    assert_eq!(status("refused"), 0);
    assert_eq!(status("clean"), 1);
    assert_eq!(status("splendid"), 2);
    assert_snapshot!(run(&[AGENTS, "--expect", "clean", "--recover", "full-history"]).err);
}

#[test]
fn findings_of_a_story() {
    assert_snapshot!(run(&["check", "rollouts/agents-python-second-stream"]).text());
}

#[test]
fn findings_of_all_stories() {
    assert_snapshot!(run(&["check", "rollouts"]).text());
}

#[test]
fn findings_as_json() {
    assert_snapshot!(run(&["check", AGENTS, "--format", "json"]).text());
}

#[test]
fn options_that_stand_everywhere_may_stand_in_front_of_the_verb() {
    let behind = run(&["check", AGENTS, "--format", "json"]);
    assert_eq!(run(&["--format", "json", "check", AGENTS]), behind);
    assert_eq!(run(&["--format=json", "-q", "check", AGENTS]), behind);
}

#[test]
fn an_error_explained_by_its_text_alone() {
    let text = "No tool output found for function call call_A.";
    assert_snapshot!(run(&["explain", text]).text());
    let body = r#"{"error":{"message":"No tool call found for function call output with call_id call_A.","type":"invalid_request_error","param":"input","code":null}}"#;
    assert_snapshot!(run(&["explain", body, "--text-only"]).text());
}

#[test]
fn an_error_explained_with_its_session() {
    let done = Sandbox::new().run_with(
        &["explain", "-", AGENTS],
        "openai.BadRequestError: Error code: 400 - {'error': {'message': 'No tool output found for function call call_A.', 'type': 'invalid_request_error', 'param': 'input', 'code': None}}",
    );
    assert_snapshot!(done.text());
}

#[test]
fn text_that_explains_nothing() {
    assert_snapshot!(run(&["explain", ""]).text());
    let elsewhere = run(&["explain", "call_elsewhere", AGENTS]);
    assert_snapshot!(elsewhere.text());
}

#[test]
fn wrong_usage() {
    let mut said = String::new();
    for arguments in [
        &[][..],
        &["--recover", "hope", AGENTS],
        &["--policy", "weather=fine", AGENTS],
        &["--policy", "stored_after_cut=some", AGENTS],
        &["--expect", "splendid", AGENTS],
        &["--probe", "go on", "--no-probe", AGENTS],
        &["--frob"],
        &["check"],
        &["convert", AGENTS],
        &["man", "frob"],
        &["completions", "tcsh"],
        &["--format", "json", "--frob"],
        &["--format", "json"],
        &["-q", "-v", AGENTS],
    ] {
        let done = run(arguments);
        assert_eq!(done.status, 2, "{arguments:?}: {done:?}");
        said.push_str(&format!(
            "$ replay {}\n{}\n",
            arguments.join(" "),
            done.text()
        ));
    }
    assert_snapshot!(said);
}

#[test]
fn input_that_is_no_session() {
    let sandbox = Sandbox::new();
    let log = "{\"ts\":\"2026-11-20T20:00:00.000Z\",\"dir\":\"meta\",\"kind\":\"session_start\",\"payload\":{\"cwd\":\"/\"}}\n";
    sandbox.write("empty.jsonl", "");
    sandbox.write("blank.jsonl", "\n \n\n");
    sandbox.write(
        "stream.txt",
        "event: response.created\ndata: {\"type\":\"response.created\"}\n\n",
    );
    sandbox.write("tui.jsonl", log);
    sandbox.write("wire.jsonl", "{\"t\":0.1,\"kind\":\"request\",\"n\":1,\"method\":\"POST\",\"path\":\"/v1/responses\",\"headers\":[],\"body\":{\"input\":\"hi\"}}\n");
    sandbox.write(
        "exec.jsonl",
        "{\"type\":\"thread.started\",\"thread_id\":\"t\"}\n",
    );
    sandbox.write("chat.json", "{\"model\":\"m\",\"messages\":[]}");
    sandbox.write("error.json", "{\"error\":{\"message\":\"m\"}}");
    sandbox.write("prose.md", "# Nothing\n\nof the kind\n");
    sandbox.write(
        "promise.json",
        "{\"session\":\"session.jsonl\",\"verdict\":\"clean\"}\n",
    );
    sandbox.write("binary.bin", [0, 159, 146, 150, 0, 255]);
    sandbox.write("gzip.jsonl.gz", [0x1f, 0x8b, 8, 0]);
    sandbox.write(
        "future.jsonl",
        "{\"kind\":\"session\",\"format\":99,\"id\":\"x\"}\n",
    );
    std::fs::create_dir(sandbox.path().join("folder")).unwrap();
    let mut said = String::new();
    for name in [
        "missing.jsonl",
        "folder/missing.jsonl",
        "folder",
        "empty.jsonl",
        "blank.jsonl",
        "stream.txt",
        "tui.jsonl",
        "wire.jsonl",
        "exec.jsonl",
        "chat.json",
        "error.json",
        "prose.md",
        "promise.json",
        "binary.bin",
        "gzip.jsonl.gz",
        "future.jsonl",
        "call_nowhere",
        "01a1fa9b",
        "--last",
    ] {
        let done = sandbox.run_in(sandbox.path(), &[name], b"");
        assert_eq!(done.status, 3, "{name}: {done:?}");
        assert_eq!(done.out, "", "{name}");
        said.push_str(&format!("$ replay {name}\n{}\n", sandbox.shown(&done)));
    }
    assert_snapshot!(said);
}

#[test]
fn errors_are_one_document_too() {
    let sandbox = Sandbox::new();
    sandbox.write("empty.jsonl", "");
    let mut said = String::new();
    for arguments in [
        &["missing.jsonl", "--format", "json"][..],
        &["empty.jsonl", "--format", "json"],
        &["check", "empty.jsonl", "--format", "json"],
        &["explain", "", "--format", "json"],
        &[
            "convert",
            "empty.jsonl",
            "-o",
            "out.jsonl",
            "--format",
            "json",
        ],
    ] {
        let done = sandbox.run_in(sandbox.path(), arguments, b"");
        let error = &done.json()["error"];
        assert_eq!(error["exit"], done.status, "{arguments:?}");
        assert_eq!(done.err, "", "{arguments:?}");
        said.push_str(&format!("$ replay {}\n{error:#}\n", arguments.join(" ")));
    }
    assert_snapshot!(said);
}

#[test]
fn help() {
    assert_snapshot!("help", run(&["--help"]).text());
    assert_snapshot!("help_short", run(&["-h"]).text());
    for verb in ["explain", "check", "convert", "diff", "completions", "man"] {
        assert_snapshot!(format!("help_{verb}"), run(&[verb, "--help"]).text());
    }
}

#[test]
fn the_version() {
    let done = run(&["--version"]);
    assert_eq!(done.out, format!("replay {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_and_pages() {
    for (shell, beginning) in [
        ("bash", "_replay() {"),
        ("zsh", "#compdef replay"),
        ("fish", "#"),
    ] {
        let done = run(&["completions", shell]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        assert!(
            done.out.starts_with(beginning),
            "{shell}: {}",
            &done.out[..60]
        );
    }
    for page in [&["man"][..], &["man", "check"]] {
        let done = run(page);
        assert_eq!(done.status, 0);
        assert!(done.out.contains(".TH replay"), "{}", done.out);
    }
}

#[test]
fn a_session_on_stdin() {
    let sandbox = Sandbox::new();
    let from_file = sandbox.run(&[AGENTS]);
    let session = story_file("agents-python-second-stream/session.jsonl");
    let from_stdin = sandbox.run_with(&["-"], &session);
    assert_eq!(
        from_stdin.text(),
        from_file.text().replacen(AGENTS, "-", 1),
        "only the name differs"
    );
    let cold = zstd::encode_all(session.as_slice(), 3).unwrap();
    assert_eq!(sandbox.run_with(&["-"], cold), from_stdin);
    assert_eq!(sandbox.run_with(&["-"], "").status, 3);
}

fn call() -> Value {
    json!({"type": "function_call", "call_id": "call_A", "name": "shell", "arguments": "{}"})
}

fn output() -> Value {
    json!({"type": "function_call_output", "call_id": "call_A", "output": "ok"})
}

fn user() -> Value {
    json!({"type": "message", "role": "user", "content": "go"})
}

#[test]
fn one_request_body_is_checked() {
    let sandbox = Sandbox::new();
    let check = |body: &Value| sandbox.run_with(&["check", "--request", "-"], body.to_string());
    let clean = json!({"model": "m", "input": [user(), call(), output()]});
    assert_snapshot!("request_clean", check(&clean).text());
    let open = json!({"model": "m", "input": [user(), call()]});
    assert_snapshot!("request_open", check(&open).text());
    let array = json!([user(), output()]);
    assert_snapshot!("request_items", check(&array).text());
    assert_eq!(check(&json!({"model": "m", "input": "hi"})).status, 0);
    assert_eq!(check(&json!({"model": "m", "messages": []})).status, 3);
    let torn = &open.to_string()[..60];
    let done = sandbox.run_with(&["check", "--request", "-"], torn);
    assert_snapshot!("request_torn", done.text());
    assert_snapshot!(
        "request_replayed",
        sandbox.run_with(&["-"], open.to_string()).text()
    );
}

#[test]
fn no_escape_byte_of_a_session_reaches_a_pipe() {
    let sandbox = Sandbox::new();
    let evil = "call_\u{1b}[31mA\u{7}\u{9b}2J\u{202e}";
    let text = "\u{1b}]0;title\u{7}\u{1b}[2J\r\u{8}";
    let body = json!({"model": "m", "input": [
        {"type": "message", "role": "user", "content": text},
        {"type": "function_call", "call_id": evil, "name": text, "arguments": text},
        {"type": "function_call", "call_id": format!("{evil}2"), "name": text, "arguments": text},
        {"type": "function_call_output", "call_id": format!("{evil}3"), "output": text},
    ]});
    sandbox.write("evil.json", body.to_string());
    let message = format!("No tool output found for function call {evil}.");
    let refused = json!({"error": {"message": message, "type": "invalid_request_error", "param": "input", "code": null}});
    let line = json!({"request": body, "status": 400, "body": refused});
    sandbox.write("evil.exchanges.jsonl", format!("{line}\n"));
    sandbox.write(
        "rollout.jsonl",
        format!(
            "{}\n{}\n{}\n{}\n",
            json!({"timestamp": text, "type": "session_meta", "payload": {"id": evil, "cli_version": text, "originator": text}}),
            json!({"timestamp": text, "type": "response_item", "payload": user()}),
            json!({"timestamp": text, "type": "response_item", "payload": body["input"][1]}),
            json!({"timestamp": text, "type": text, "payload": {"x": text}}),
        ),
    );
    for arguments in [
        &["evil.json"][..],
        &["-v", "evil.exchanges.jsonl"],
        &["-v", "rollout.jsonl"],
        &[
            "check",
            "evil.json",
            "rollout.jsonl",
            "evil.exchanges.jsonl",
        ],
        &["check", "evil.json", "--format", "json"],
        &["evil.exchanges.jsonl", "--format", "json"],
        &["explain", &message, "evil.json"],
        &["explain", &message, "evil.json", "--format", "json"],
        &["\u{1b}[31m"],
        &["--recover", "\u{1b}[31m"],
        &["check", "--frob\u{1b}[31m"],
        &["--format", "json", "\u{1b}[31m"],
    ] {
        let done = sandbox.run_in(sandbox.path(), arguments, b"");
        for stream in [&done.out, &done.err] {
            let bad: Vec<char> = stream
                .chars()
                .filter(|c| c.is_control() && *c != '\n' || *c == '\u{202e}')
                .collect();
            assert!(bad.is_empty(), "{arguments:?}: {bad:?} in {stream}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["check", "rollouts", "-v"][..],
        &["--help"],
        &["-v", AGENTS],
    ] {
        let mut child = sandbox
            .command(arguments)
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let status = child.wait().unwrap();
        assert!(
            status.code().is_some_and(|code| code <= 1),
            "{arguments:?}: {status}"
        );
        assert!(
            !said.contains("panic") && !said.contains("roken pipe"),
            "{said}"
        );
    }
}

#[test]
fn the_same_session_gives_the_same_bytes() {
    for session in [
        AGENTS,
        "rollouts/codex-0.169-two-lanes/session.jsonl",
        "rollouts/codex-0.8-resume-race/rollout.jsonl",
    ] {
        let arguments = [
            session,
            "--format",
            "json",
            "--recover",
            "normalize",
            "--recover",
            "error-body",
        ];
        assert_eq!(run(&arguments), run(&arguments));
    }
    let check = ["check", "rollouts", "tests/captures", "--format", "json"];
    assert_eq!(run(&check), run(&[&check[..], &["--jobs", "1"]].concat()));
}

#[test]
fn a_refusal_is_written_as_a_story_that_holds() {
    let sandbox = Sandbox::new();
    for (nth, session) in [
        AGENTS,
        "rollouts/codex-0.8-second-stream/rollout.jsonl",
        "rollouts/codex-0.20-lost-call/rollout.jsonl",
        "rollouts/codex-ts-esc-before-completed/session.jsonl",
        "rollouts/sdk-python-cut-not-stored/session.jsonl",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = sandbox.path().join(format!("story-{nth}"));
        let name = folder.display().to_string();
        let done = sandbox.run(&[session, "--write-story", &name]);
        assert_eq!(done.status, 1, "{done:?}");
        let promises = promises(&folder);
        assert_eq!(promises.len(), 1, "{session}");
        assert_eq!(
            hold(&folder, &promises[0]),
            Vec::<String>::new(),
            "{session}"
        );
        let again = sandbox.run(&[session, "--write-story", &name]);
        assert_eq!(again.status, 2, "{}", again.err);
        if nth < 2 {
            let story = std::fs::read_to_string(folder.join("story.md")).unwrap();
            assert_snapshot!(format!("written_story_{nth}"), story);
        }
    }
    let folder = sandbox.path().join("clean");
    let name = folder.display().to_string();
    let clean = "rollouts/codex-0.169-parallel-sigint/session.jsonl";
    let done = sandbox.run(&[clean, "--write-story", &name]);
    assert_eq!(done.status, 0);
    assert!(done.err.contains("no story written"), "{}", done.err);
    assert!(!folder.exists());
    let body = json!({"model": "m", "input": [user(), call()]});
    let done = sandbox.run_with(&["-", "--write-story", &name], body.to_string());
    assert_eq!(done.status, 1, "{}", done.err);
    assert_eq!(
        hold(&folder, &folder.join("expect.json")),
        Vec::<String>::new()
    );
}

/// A Codex home with a thread, one that it spawned, and a cold one in the archive.
fn codex_home() -> Sandbox {
    const THREAD: &str = "01a1fa9b-85a4-73b1-a179-2de4fc2a114a";
    const CHILD: &str = "01a1fa9c-0000-7000-8000-000000000001";
    const COLD: &str = "8506627a-4199-42dd-9aaa-5e07b8c4d1dc";
    let sandbox = Sandbox::new();
    let day = "codex/sessions/2026/11/20";
    sandbox.write(
        &format!("{day}/rollout-2026-11-20T20-17-38-{THREAD}.jsonl"),
        story_file("codex-0.169-kill-in-tool/rollout.jsonl"),
    );
    let child = [
        json!({"timestamp": "2026-11-20T20:20:00.000Z", "type": "session_meta",
            "payload": {"id": CHILD, "parent_thread_id": THREAD, "cli_version": "0.169.0", "originator": "codex_exec"}}),
        json!({"timestamp": "2026-11-20T20:20:01.000Z", "type": "response_item", "payload": user()}),
        json!({"timestamp": "2026-11-20T20:20:02.000Z", "type": "response_item",
            "payload": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]}}),
    ];
    let child: String = child.iter().map(|line| format!("{line}\n")).collect();
    sandbox.write(
        &format!("{day}/rollout-2026-11-20T20-20-00-{CHILD}.jsonl"),
        child,
    );
    let cold = story_file("codex-0.8-second-stream/rollout.jsonl");
    sandbox.write(
        &format!("codex/archived_sessions/rollout-2026-10-01T09-00-00-{COLD}.jsonl.zst"),
        zstd::encode_all(cold.as_slice(), 3).unwrap(),
    );
    sandbox.write(
        "codex/history.jsonl",
        "{\"session_id\":\"x\",\"ts\":1,\"text\":\"hi\"}\n",
    );
    sandbox
}

fn replayed(sandbox: &Sandbox, arguments: &[&str]) -> (Vec<String>, Done) {
    let done = sandbox.run(&[arguments, &["--format", "json"]].concat());
    let sessions = done.json();
    let paths = sessions["sessions"].as_array().map_or(&[][..], |it| it);
    let paths = paths
        .iter()
        .map(|session| {
            let path = session["path"].as_str().unwrap();
            path.rsplit('/').next().unwrap().to_owned()
        })
        .collect();
    (paths, done)
}

#[test]
fn sessions_are_found_in_the_codex_home() {
    let sandbox = codex_home();
    let main = "rollout-2026-11-20T20-17-38-01a1fa9b-85a4-73b1-a179-2de4fc2a114a.jsonl";
    let child = "rollout-2026-11-20T20-20-00-01a1fa9c-0000-7000-8000-000000000001.jsonl";
    let cold = "rollout-2026-10-01T09-00-00-8506627a-4199-42dd-9aaa-5e07b8c4d1dc.jsonl.zst";
    for (argument, files, status) in [
        (
            "01a1fa9b-85a4-73b1-a179-2de4fc2a114a",
            &[main, child][..],
            0,
        ),
        ("01a1fa9b", &[main, child], 0),
        ("01a1fa9c", &[child], 0),
        ("8506", &[cold], 1),
        ("call_SLEEP", &[main], 0),
        ("call_A", &[cold], 1),
    ] {
        let (found, done) = replayed(&sandbox, &[argument]);
        assert_eq!(found, files, "{argument}: {}", done.out);
        assert_eq!(done.status, status, "{argument}");
    }
    let (ambiguous, done) = replayed(&sandbox, &["01a1"]);
    assert_eq!((ambiguous.len(), done.status), (0, 3));
    assert_snapshot!("ambiguous_thread", sandbox.shown(&sandbox.run(&["01a1"])));
    let (last, _) = replayed(&sandbox, &["--last"]);
    assert_eq!(last.len(), 1);
    let explained = sandbox.run(&["explain", "No tool output found for function call call_A."]);
    assert_eq!(explained.status, 1);
    assert_snapshot!("explained_from_home", sandbox.shown(&explained));
    let checked = sandbox.run_in(
        &sandbox.codex_home(),
        &["check", "sessions", "archived_sessions"],
        b"",
    );
    assert_snapshot!("checked_home", sandbox.shown(&checked));
}

#[test]
fn a_request_log_is_converted() {
    let sandbox = Sandbox::new();
    let log = concat!(
        "{\"t\":0.1,\"kind\":\"request\",\"n\":1,\"method\":\"POST\",\"path\":\"/v1/responses\",\"headers\":[],\"body\":{\"model\":\"m\",\"input\":\"hi\"}}\n",
        "{\"t\":0.2,\"kind\":\"response\",\"n\":1,\"status\":400,\"body\":{\"error\":{\"message\":\"No.\",\"type\":\"invalid_request_error\",\"param\":\"input\",\"code\":null}}}\n",
    );
    sandbox.write("wire.jsonl", log);
    let convert = |more: &[&str]| {
        let arguments = [&["convert", "wire.jsonl", "-o", "session.jsonl"][..], more].concat();
        sandbox.run_in(sandbox.path(), &arguments, b"")
    };
    let first = convert(&[]);
    assert_eq!(first.status, 0, "{first:?}");
    let written = std::fs::read_to_string(sandbox.path().join("session.jsonl")).unwrap();
    assert!(written.contains("\"converted_from\""), "{written}");
    let second = convert(&[]);
    assert_eq!(second.status, 4);
    assert!(second.err.contains("--force"), "{}", second.err);
    assert_eq!(convert(&["--force"]).status, 0);
    let stdout = sandbox.run_with(&["convert", "-", "-o", "-", "-q"], log);
    assert_eq!((stdout.out, stdout.err), (written, String::new()));
    let wrong = sandbox.run(&[
        "convert",
        "rollouts/codex-0.8-parallel/rollout.jsonl",
        "-o",
        "-",
    ]);
    assert_snapshot!(wrong.text());
}

#[test]
fn compressed_captures_are_read_as_they_are() {
    let sandbox = Sandbox::new();
    let name = "tests/captures/m_turn_then_followup-0.8.0.rollout.jsonl.zst";
    let cold = sandbox.run(&[name]);
    let plain = unzstd(&root().join(name)).unwrap();
    assert_eq!(
        Some(&plain),
        capture("m_turn_then_followup-0.8.0", "rollout").as_ref()
    );
    let path = sandbox.write("rollout.jsonl", plain);
    let path = path.display().to_string();
    let warm = sandbox.run(&[&path]);
    assert_eq!(
        cold.out.replacen(name, "", 1),
        warm.out.replacen(&path, "", 1)
    );
    assert_eq!(cold.status, 1);
}
