//! `replay shrink`, from outside: every story that is refused comes down to little, refused in the same way.

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Sandbox, root, stories};

fn story(name: &str) -> String {
    root().join("rollouts").join(name).display().to_string()
}

#[test]
fn a_session_comes_down_to_what_is_needed() {
    for (file, shown) in [
        ("agents-python-second-stream/session.jsonl", "chained"),
        ("codex-0.45-lost-output/session.jsonl", "history"),
        ("codex-0.169-fork/session.jsonl", "fork"),
    ] {
        let sandbox = Sandbox::new();
        let done = sandbox.run_in(
            sandbox.path(),
            &["shrink", &story(file), "-o", "small.jsonl", "-v"],
            b"",
        );
        let text = sandbox
            .shown(&done)
            .replace(&root().display().to_string(), "[ROOT]");
        assert_snapshot!(format!("shrink_{shown}"), text);
        let small = std::fs::read_to_string(sandbox.path().join("small.jsonl")).unwrap();
        assert_snapshot!(format!("shrink_{shown}_result"), small);
        for verb in [
            &["small.jsonl", "--recover", "none", "--expect", "refused"][..],
            &["inspect", "small.jsonl"],
        ] {
            let done = sandbox.run_in(sandbox.path(), verb, b"");
            assert_eq!(done.status, 0, "{file}: {done:?}");
        }
    }
}

#[test]
fn every_story_that_is_refused_stays_refused_in_the_same_way() {
    let mut shrunk = 0;
    for folder in stories() {
        for name in ["session.jsonl", "rollout.jsonl"] {
            let path = folder.join(name);
            if !path.exists() {
                continue;
            }
            let sandbox = Sandbox::new();
            let path = path.display().to_string();
            let of = |path: &str| -> Option<(Value, Value, Value)> {
                let done = sandbox.run_in(
                    sandbox.path(),
                    &[path, "--recover", "none", "--format", "json"],
                    b"",
                );
                let requests = done.json()["sessions"][0]["runs"][0]["requests"]
                    .as_array()?
                    .clone();
                let refused = requests
                    .iter()
                    .find(|request| request["outcome"] == "refused")?;
                let refusal = &refused["refusal"];
                Some((
                    refusal["kind"].clone(),
                    refusal["item_type"].clone(),
                    refusal["call_id"].clone(),
                ))
            };
            let arguments = [
                "shrink",
                &path,
                "-o",
                "small.jsonl",
                "--recover",
                "none",
                "--same-call",
                "--format",
                "json",
            ];
            let done = sandbox.run_in(sandbox.path(), &arguments, b"");
            if done.status == 1 {
                assert!(
                    done.json()["error"]["message"]
                        .as_str()
                        .unwrap()
                        .contains("nothing refuses")
                );
                continue;
            }
            assert_eq!(
                (done.status, &done.json()["minimal"]),
                (0, &Value::Bool(true)),
                "{path}: {done:?}"
            );
            shrunk += 1;
            assert_eq!(of(&path), of("small.jsonl"), "{path}");
        }
    }
    assert!(shrunk >= 10, "{shrunk}");
}

#[test]
fn a_command_can_be_the_oracle() {
    let sandbox = Sandbox::new();
    let file = story("codex-0.45-lost-output/session.jsonl");
    let arguments = [
        "shrink",
        &file,
        "-o",
        "small.jsonl",
        "--oracle",
        "grep -q call_LOST {session}",
    ];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"");
    assert_eq!(done.status, 0, "{done:?}");
    let small = std::fs::read_to_string(sandbox.path().join("small.jsonl")).unwrap();
    assert!(small.contains("call_LOST") && small.len() < 600, "{small}");
    let done = sandbox.run_in(
        sandbox.path(),
        &["shrink", &file, "-o", "x.jsonl", "--oracle", "false"],
        b"",
    );
    assert_eq!(done.status, 1, "{done:?}");
    assert!(!sandbox.path().join("x.jsonl").exists());
}

#[test]
fn a_session_that_nothing_refuses_is_told() {
    let sandbox = Sandbox::new();
    let file = story("agents-node-history-clean/session.jsonl");
    let done = sandbox.run_in(sandbox.path(), &["shrink", &file, "-o", "small.jsonl"], b"");
    assert_eq!(done.status, 1);
    assert!(
        done.err
            .contains("nothing refuses this session (none: clean)"),
        "{}",
        done.err
    );
    assert!(!sandbox.path().join("small.jsonl").exists());
}

#[test]
fn a_failing_test_is_written_for_each_world() {
    for (form, name) in [
        ("pytest", "test_small.py"),
        ("vitest", "small.test.mjs"),
        ("rust", "small.rs"),
    ] {
        let sandbox = Sandbox::new();
        let file = story("agents-python-second-stream/session.jsonl");
        let done = sandbox.run_in(
            sandbox.path(),
            &["shrink", &file, "-o", "small.jsonl", "--emit", form],
            b"",
        );
        assert_eq!(done.status, 0, "{done:?}");
        let text = std::fs::read_to_string(sandbox.path().join(name)).unwrap();
        assert!(
            text.contains("second-stream") && !text.contains('@') || form != "rust",
            "{text}"
        );
        assert!(
            !text.contains("@CASE@") && !text.contains("@SCRIPT@"),
            "{text}"
        );
    }
    let sandbox = Sandbox::new();
    let file = story("codex-0.169-kill-in-tool/rollout.jsonl");
    let arguments = [
        "shrink",
        &file,
        "-o",
        "small.jsonl",
        "--recover",
        "none",
        "--emit",
        "pytest",
    ];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"");
    assert_eq!(done.status, 2, "{done:?}");
    assert!(!sandbox.path().join("small.jsonl").exists());
}
