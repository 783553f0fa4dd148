//! `replay shrink`, from outside: every story that is refused comes down to little, refused in the same way.

use insta::assert_snapshot;
use responses_replay::endpoint::served::server::Settings;
use serde_json::Value;

use crate::serve::Served;
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
    assert!(small.contains("call_LOST") && small.len() < 900, "{small}");
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

#[test]
fn an_endpoint_can_be_the_oracle() {
    for (file, strategy, left) in [
        (
            "agents-python-second-stream/session.jsonl",
            "none",
            "exchange 3",
        ),
        (
            "codex-0.169-lost-output/rollout.jsonl",
            "none",
            "function_call call_LOST",
        ),
    ] {
        let served = Served::new(Settings::default());
        let target = format!("http://{}/v1", served.address());
        let sandbox = Sandbox::new();
        let mut texts = Vec::new();
        for out in ["one.jsonl", "two.jsonl"] {
            let file = story(file);
            let arguments = [
                "shrink",
                &file,
                "-o",
                out,
                "--target",
                &target,
                "--model",
                "m",
                "--recover",
                strategy,
                "--format",
                "json",
            ];
            let done = sandbox.run_in(sandbox.path(), &arguments, b"");
            assert_eq!(done.status, 0, "{done:?}");
            let said = done.json();
            assert_eq!(said["minimal"], true, "{said}");
            assert_eq!(said["target"], target.as_str(), "{said}");
            assert!(
                said["requests_sent"].as_u64() >= said["tried"].as_u64(),
                "{said}"
            );
            assert!(said["kept"].to_string().contains(left), "{said}");
            texts.push(std::fs::read_to_string(sandbox.path().join(out)).unwrap());
        }
        assert_eq!(texts[0], texts[1]);
        let arguments = [
            "one.jsonl",
            "--target",
            &target,
            "--model",
            "m",
            "--recover",
            strategy,
            "--expect",
            "refused",
        ];
        let done = sandbox.run_in(sandbox.path(), &arguments, b"");
        assert_eq!(done.status, 0, "{done:?}");
    }
}

#[test]
fn an_endpoint_gets_no_more_requests_than_it_may_and_another_machine_none() {
    let served = Served::new(Settings::default());
    let target = format!("http://{}/v1", served.address());
    let file = story("codex-0.45-lost-output/rollout.jsonl");
    let sandbox = Sandbox::new();
    let run = |more: &[&str]| {
        let mut arguments = vec![
            "shrink",
            &file,
            "-o",
            "small.jsonl",
            "--model",
            "m",
            "--format",
            "json",
            "--recover",
            "none",
        ];
        arguments.extend(more);
        sandbox.run_in(sandbox.path(), &arguments, b"")
    };
    let done = run(&["--target", &target, "--max-requests", "3"]);
    assert_eq!(done.status, 4, "{done:?}");
    let done = run(&["--target", &target, "--max-requests", "12"]);
    assert_eq!(done.status, 0, "{done:?}");
    let said = done.json();
    assert_eq!(
        (&said["minimal"], &said["requests_sent"]),
        (&false.into(), &12.into()),
        "{said}"
    );
    std::fs::remove_file(sandbox.path().join("small.jsonl")).unwrap();
    // nobody listens there, and nobody is asked
    let done = run(&["--target", "http://192.0.2.1:9/v1"]);
    assert_eq!(done.status, 2, "{done:?}");
    let done = run(&["--target", "http://127.0.0.1:9/v1"]);
    assert_eq!(done.status, 4, "{done:?}");
    assert!(!sandbox.path().join("small.jsonl").exists());
}

#[test]
fn no_test_is_made_of_what_no_interrupt_leaves_behind() {
    let sandbox = Sandbox::new();
    let wrong = r#"{"request":{"model":"m","input":[{"type":"function_call_output","call_id":"a","output":"x"}]},"status":400,"body":{"error":{"message":"No tool call found for function call output with call_id a."}}}"#;
    std::fs::write(sandbox.path().join("orphan.jsonl"), wrong).unwrap();
    let arguments = [
        "shrink",
        "orphan.jsonl",
        "-o",
        "small.jsonl",
        "--emit",
        "rust",
    ];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"");
    assert_eq!(done.status, 2, "{done:?}");
    assert!(done.err.contains("orphan_output"), "{done:?}");
    // and where another client is driven than the recorded one, the test says so
    let file = story("codex-0.45-lost-output/session.jsonl");
    let arguments = ["shrink", &file, "-o", "small.jsonl", "--emit", "vitest"];
    let done = sandbox.run_in(sandbox.path(), &arguments, b"");
    assert_eq!(done.status, 0, "{done:?}");
    let text = std::fs::read_to_string(sandbox.path().join("small.test.mjs")).unwrap();
    assert!(
        text.contains("The recorded client is codex 0.45.0; this drives"),
        "{text}"
    );
}
