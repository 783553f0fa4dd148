//! `replay diff`: real clients recorded twice, versions against each other, wire against disk, hostile files.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Done, Sandbox, root, run, unzstd};

const HELLO: &str = "tests/diff/hello-1.session.jsonl.zst";
const AGAIN: &str = "tests/diff/hello-2.session.jsonl.zst";
const GOODBYE: &str = "tests/diff/goodbye.session.jsonl.zst";

fn capture(name: &str) -> String {
    format!("tests/captures/{name}.zst")
}

fn diff(arguments: &[&str]) -> Done {
    let all: Vec<&str> = std::iter::once("diff")
        .chain(arguments.iter().copied())
        .collect();
    run(&all)
}

#[test]
fn one_task_recorded_twice_is_one_conversation() {
    assert_snapshot!("diff_twice", diff(&[HELLO, AGAIN]).text());
    let strict = diff(&[HELLO, AGAIN, "--strict", "--summary"]);
    assert_eq!(strict.status, 1, "{strict:?}");
    let bytes = diff(&[HELLO, AGAIN, "--bytes", "--summary"]);
    assert_eq!(bytes.status, 1, "{bytes:?}");
    for same in [&["--bytes"][..], &["--strict"], &["--layer", "events"]] {
        let mut arguments = vec![HELLO, HELLO];
        arguments.extend(same);
        assert_eq!(diff(&arguments).status, 0, "{same:?}");
    }
    let lines = |path: &str| run(&["inspect", path, "--format", "events"]).out;
    assert_eq!(lines(HELLO), lines(AGAIN));
    assert_eq!(lines(HELLO).lines().count(), 16);
}

#[test]
fn one_changed_output_is_the_first_difference() {
    let found = diff(&[HELLO, GOODBYE]);
    assert_snapshot!("diff_changed_output", found.text());
    assert_snapshot!(
        "diff_side_by_side",
        diff(&[
            HELLO,
            GOODBYE,
            "--side-by-side",
            "--width",
            "100",
            "-U",
            "1"
        ])
        .text()
    );
    assert_snapshot!("diff_summary", diff(&[HELLO, GOODBYE, "--summary"]).text());
    let value = diff(&[HELLO, GOODBYE, "--format", "json"]).json();
    assert_snapshot!("diff_json", serde_json::to_string_pretty(&value).unwrap());
    let first = value["changes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["op"] != "equal")
        .unwrap();
    assert_eq!(
        (&first["op"], &first["paths"]),
        (&json!("replace"), &json!(["output"]))
    );
    assert_eq!(
        value["first_difference"],
        json!({"left": first["left"][0], "right": first["right"][0]})
    );
    assert_eq!(diff(&[HELLO, GOODBYE, "--ignore", "item.output"]).status, 0);
}

#[test]
fn versions_put_things_in_different_places() {
    for (left, right) in [("0.8.0", "0.20.0"), ("0.20.0", "0.169.0")] {
        for scenario in ["c_sigint_tool", "d3_disconnect_after_item_done"] {
            let side = |version: &str| {
                format!(
                    "{}#2",
                    capture(&format!("{scenario}-{version}.session.jsonl"))
                )
            };
            let found = diff(&[
                &side(left),
                &side(right),
                "--ignore",
                "instructions",
                "--ignore",
                "tools",
            ]);
            assert_snapshot!(format!("diff_{scenario}_{left}_{right}"), found.text());
        }
    }
}

#[test]
fn requests_are_held_against_the_history() {
    let of = |path: &str| diff(&["--requests", path, "-v"]).text();
    assert_snapshot!(
        "diff_requests_second_stream",
        of("rollouts/codex-0.8-second-stream/session.jsonl")
    );
    assert_snapshot!(
        "diff_requests_sigint_0.20",
        of(&capture("c_sigint_tool-0.20.0.session.jsonl"))
    );
    assert_snapshot!(
        "diff_requests_d3_0.8",
        of(&capture(
            "d3_disconnect_after_item_done-0.8.0.session.jsonl"
        ))
    );
    assert_snapshot!(
        "diff_requests_abort_in_tool",
        of("rollouts/agents-node-abort-in-tool/session.jsonl")
    );
    let clean = diff(&["--requests", HELLO, "--format", "json"]);
    assert_eq!(
        (clean.status, &clean.json()["equal"]),
        (0, &Value::Bool(true))
    );
}

#[test]
fn the_wire_is_held_against_the_disk() {
    assert_snapshot!("diff_wire_disk", diff(&["--wire-disk", HELLO]).text());
    let session = capture("c_sigint_tool-0.8.0.session.jsonl");
    let rollout = capture("c_sigint_tool-0.8.0.rollout.jsonl");
    assert_snapshot!("diff_wire_rollout", diff(&[&session, &rollout]).text());
    let none = diff(&["--wire-disk", &session]);
    assert_eq!(none.status, 3);
    assert!(none.err.contains("no rollout lines"), "{none:?}");
    assert_eq!(diff(&[&rollout, &rollout]).status, 0);
}

#[test]
fn every_capture_equals_itself_and_its_copy_with_other_ids() {
    let sandbox = Sandbox::new();
    let (mut count, mut copies) = (0, 0);
    for entry in std::fs::read_dir(root().join("rollouts")).unwrap() {
        let folder = entry.unwrap().path();
        for file in ["session.jsonl", "rollout.jsonl"] {
            let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
                continue;
            };
            let a = sandbox.write("a.jsonl", &text);
            if !text.contains("body_delta") {
                // deltas are verified by hash; whole bodies can be changed
                let b = sandbox.write("b.jsonl", renamed(&text));
                let found = diff(&[a.to_str().unwrap(), b.to_str().unwrap()]);
                assert_eq!(found.status, 0, "{}: {}", folder.display(), found.text());
                copies += 1;
            }
            assert_eq!(
                diff(&[a.to_str().unwrap(), a.to_str().unwrap()]).status,
                0,
                "{}",
                folder.display()
            );
            count += 1;
        }
    }
    assert!(count > 20 && copies > 10, "{count} {copies}");
}

/// The ids of the captures (`call_A`, `fc_0001_0`, `resp_mock0001`) with other letters.
fn renamed(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("call_") {
        let (before, behind) = rest.split_at(at + "call_".len());
        out.push_str(before);
        if behind.starts_with(|c: char| c.is_ascii_uppercase()) {
            out.push_str("Other");
        }
        rest = behind;
    }
    out.push_str(rest);
    out.replace("resp_mock", "resp_other")
        .replace("\"fc_0", "\"fc_other0")
}

#[test]
fn what_cannot_be_compared_is_said() {
    let sandbox = Sandbox::new();
    let empty = sandbox.write("empty.jsonl", "");
    let empty = empty.to_str().unwrap();
    let prose = sandbox.write("prose.jsonl", "hello\n");
    let prose = prose.to_str().unwrap();
    let mut text = String::new();
    for arguments in [
        &[HELLO][..],
        &[HELLO, "gone.jsonl"],
        &["tests/diff/hello-1.session.jsonl.zst#9", HELLO],
        &["rollouts/codex-0.169-kill-in-tool/rollout.jsonl#1", HELLO],
        &[HELLO, AGAIN, "--keep", "obfuscation"],
        &[HELLO, AGAIN, "--ignore", "a..b"],
        &[HELLO, AGAIN, "--deadline", "nan"],
        &[
            "--requests",
            "rollouts/codex-0.169-kill-in-tool/rollout.jsonl",
        ],
        &[
            "--bytes",
            HELLO,
            "rollouts/codex-0.169-kill-in-tool/rollout.jsonl",
        ],
        &[
            "--wire-disk",
            "rollouts/codex-0.169-kill-in-tool/rollout.jsonl",
        ],
        &["-", "-"],
    ] {
        let done = diff(arguments);
        assert!(done.out.is_empty(), "{done:?}");
        text.push_str(&format!(
            "$ replay diff {}\n{}",
            arguments.join(" "),
            done.text()
        ));
    }
    assert_snapshot!("diff_errors", text);
    for path in [empty, prose] {
        let done = diff(&[HELLO, path, "--format", "json"]);
        assert_eq!(done.status, 3);
        assert_eq!(done.json()["error"]["kind"], "input");
    }
}

#[test]
fn a_torn_recording_is_compared_as_far_as_it_goes() {
    let sandbox = Sandbox::new();
    let bytes = unzstd(&root().join(HELLO)).unwrap();
    let whole = sandbox.write("whole.jsonl", &bytes);
    for cut in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 7] {
        let torn = sandbox.write("torn.jsonl", &bytes[..cut]);
        let done = diff(&[whole.to_str().unwrap(), torn.to_str().unwrap()]);
        assert!(done.status == 0 || done.status == 1, "{done:?}");
        assert!(
            done.out.contains("ends in the middle of this line"),
            "{done:?}"
        );
    }
}

#[test]
fn nothing_is_not_equal_to_nothing() {
    let sandbox = Sandbox::new();
    let bare = sandbox.write("bare.jsonl", "{\"kind\":\"session\",\"format\":1}\n");
    let bare = bare.to_str().unwrap();
    let done = diff(&[bare, bare]);
    assert_eq!(done.status, 3, "{done:?}");
    assert!(done.err.contains("neither side holds anything"), "{done:?}");
    let requests = diff(&["--requests", bare]);
    assert_eq!(requests.status, 3, "{requests:?}");
    assert_eq!(diff(&[bare, HELLO, "--summary"]).status, 1);
}

#[test]
fn event_logs_are_compared_line_by_line() {
    let sandbox = Sandbox::new();
    let log = |name: &str, thread: &str, output: &str| {
        let lines = [
            json!({"type": "thread.started", "thread_id": thread}),
            json!({"type": "turn.started"}),
            json!({"type": "item.completed", "item": {"id": "item_0", "type": "command_execution", "command": "ls", "aggregated_output": output, "exit_code": 0, "status": "completed"}}),
            json!({"type": "turn.completed", "usage": {"input_tokens": output.len()}}),
        ];
        let text: String = lines.iter().map(|it| format!("{it}\n")).collect();
        sandbox.write(name, text).to_str().unwrap().to_owned()
    };
    let (one, other) = (
        "01a1feab-97e6-764e-917b-12411e7c7e68",
        "01a1feab-0000-764e-917b-12411e7c7e68",
    );
    let a = log("a.jsonl", one, "a.txt");
    assert_eq!(diff(&[&a, &log("b.jsonl", other, "a.txt")]).status, 0);
    let found = diff(&[&a, &log("c.jsonl", other, "b.txt")]);
    assert_eq!(found.status, 1, "{found:?}");
    assert!(
        found.out.contains("- item.aggregated_output: a.txt"),
        "{found:?}"
    );
    let lines = run(&["inspect", &a, "--format", "events"]);
    assert_eq!(lines.out.lines().count(), 4, "{lines:?}");
}

#[test]
fn what_differs_is_seen() {
    let sandbox = Sandbox::new();
    let session = |name: &str, text: &str| {
        let body = json!({"input": [{"role": "user", "content": text}]});
        let line = json!({"kind": "request", "exchange": 1, "path": "/v1/responses", "body": body});
        let text = format!("{{\"kind\":\"session\",\"format\":1}}\n{line}\n");
        sandbox.write(name, text).to_str().unwrap().to_owned()
    };
    // far behind what both sides share
    let line = "many words on one line, ".repeat(900);
    let a = session("a.jsonl", &format!("{line}left {line}"));
    let b = session("b.jsonl", &format!("{line}right {line}"));
    assert!(diff(&[&a, &b]).out.contains("[-left-]{+right+}"));
    let sides = diff(&[&a, &b, "--side-by-side", "--width", "60"]);
    assert!(
        sides.out.contains("left") && sides.out.contains("right"),
        "{sides:?}"
    );
    assert!(
        sides.out.lines().skip(2).all(|it| it.chars().count() <= 60),
        "{sides:?}"
    );
    // without a width of its own
    let (a, b) = (
        session("a.jsonl", "word"),
        session("b.jsonl", "wo\u{200b}rd"),
    );
    let found = diff(&[&a, &b]);
    assert!(found.out.contains("+ content: wo<U+200B>rd"), "{found:?}");
}

#[test]
fn no_command_reaches_the_terminal() {
    let sandbox = Sandbox::new();
    let nasty = "\u{1b}[2J\u{202e}evil\u{7}\n\u{9b}31m";
    let session = |text: &str| {
        let item = json!({"type": text, "role": text, "content": text, "name": text, "call_id": format!("{text}_x")});
        let body = json!({"model": text, text: text, "input": [item, {"role": "user", "content": [{"type": text, "text": text}]}]});
        format!(
            "{}\n{}\n",
            json!({"kind": "session", "format": 1}),
            json!({"kind": "request", "exchange": 1, "path": "/v1/responses", "body": body})
        )
    };
    let a = sandbox.write("a.jsonl", session("plain"));
    let b = sandbox.write("b.jsonl", session(nasty));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    for more in [
        &[][..],
        &["--side-by-side"],
        &["--summary"],
        &["--bytes"],
        &["--format", "json"],
        &["-v"],
    ] {
        let mut arguments = vec![a, b];
        arguments.extend(more);
        let done = diff(&arguments);
        assert_eq!(done.status, 1, "{done:?}");
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(
            !done.out.contains(bad) && !done.err.contains(bad),
            "{more:?} {done:?}"
        );
    }
    let lines = run(&["inspect", b, "--format", "events"]);
    assert!(
        !lines
            .out
            .contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'),
        "{lines:?}"
    );
    let requests = diff(&["--requests", b, "-v"]);
    assert!(!requests.out.contains('\u{1b}'), "{requests:?}");
}

#[test]
fn colours_are_asked_for() {
    let done = diff(&[HELLO, GOODBYE, "--color", "always"]);
    assert!(
        done.out.contains("\u{1b}[") && done.out.contains("\n  "),
        "{done:?}"
    );
    // nothing is said by colour alone
    let plain: String = anstream_free(&done.out);
    assert_eq!(plain, diff(&[HELLO, GOODBYE]).out);
}

fn anstream_free(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = behind.split_once('m').map_or("", |it| it.1);
    }
    out + rest
}
