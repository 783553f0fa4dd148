//! Forms for CI: JUnit, annotations, exit statuses for `git bisect run`, the composite action.

use insta::assert_snapshot;

use crate::support::{Sandbox, root, run};

const REFUSED: &str = "rollouts/agents-python-second-stream/session.jsonl";
const CLEAN: &str = "rollouts/agents-node-history-clean/session.jsonl";
const CANNOT_TELL: &str = "rollouts/codex-0.20-interrupt/rollout.jsonl";

#[test]
fn sessions_as_junit() {
    assert_snapshot!(
        run(&[
            REFUSED,
            CLEAN,
            CANNOT_TELL,
            "missing.jsonl",
            "--format",
            "junit"
        ])
        .text()
    );
}

#[test]
fn sessions_as_annotations() {
    assert_snapshot!(
        run(&[
            REFUSED,
            CLEAN,
            CANNOT_TELL,
            "missing.jsonl",
            "--format",
            "github"
        ])
        .text()
    );
}

#[test]
fn findings_as_junit_and_annotations() {
    let folder = "rollouts/agents-python-second-stream";
    let junit = run(&["check", folder, "--format", "junit"]).text();
    let github = run(&["check", folder, "--format", "github"]).text();
    assert_snapshot!(format!("{junit}{github}"));
}

const HELLO: &str = "tests/diff/hello-1.session.jsonl.zst";
const AGAIN: &str = "tests/diff/hello-2.session.jsonl.zst";
const GOODBYE: &str = "tests/diff/goodbye.session.jsonl.zst";
const SECOND: &str = "rollouts/codex-0.8-second-stream/session.jsonl";

#[test]
fn differences_as_junit_and_annotations() {
    let of = |arguments: &[&str], form: &str| {
        let mut all = vec!["diff"];
        all.extend(arguments);
        all.extend(["--format", form]);
        run(&all)
    };
    let mut text = String::new();
    for arguments in [
        &[HELLO, GOODBYE][..],
        &[HELLO, AGAIN],
        &["--wire-disk", HELLO],
        &["--requests", SECOND],
        &[HELLO, "missing.jsonl"],
    ] {
        for form in ["junit", "github"] {
            text.push_str(&format!("$ diff {} --format {form}\n", arguments.join(" ")));
            text.push_str(&of(arguments, form).text());
        }
    }
    assert_snapshot!(text);
    // what ends a line in a session ends no annotation
    let sandbox = Sandbox::new();
    let session = |text: &str| {
        let body = serde_json::json!({"input": [{"role": "user", "content": text}]});
        let line = serde_json::json!({"kind": "request", "exchange": 1, "path": "/v1/responses", "body": body});
        format!("{{\"kind\":\"session\",\"format\":1}}\n{line}\n")
    };
    let a = sandbox.write("a.jsonl", session("a"));
    let b = sandbox.write("b.jsonl", session("\n::error::owned\r\n%0A::warning::x"));
    let done = of(&[a.to_str().unwrap(), b.to_str().unwrap()], "github");
    assert_eq!((done.status, done.out.lines().count()), (1, 1), "{done:?}");
    assert!(done.out.contains("line=2,") && done.out.contains("%250A"));
}

#[test]
fn annotations_of_a_comparison_are_few() {
    let sandbox = Sandbox::new();
    let session = |word: &str| {
        let input: Vec<_> = (0..40)
            .map(|at| {
                let word = if at % 2 == 0 { word } else { "same" };
                serde_json::json!({"role": "user", "content": format!("{word} {at}")})
            })
            .collect();
        let line = serde_json::json!({"kind": "request", "exchange": 1, "path": "/v1/responses", "body": {"input": input}});
        format!("{{\"kind\":\"session\",\"format\":1}}\n{line}\n")
    };
    let a = sandbox.write("a.jsonl", session("left"));
    let b = sandbox.write("b.jsonl", session("right"));
    let done = run(&[
        "diff",
        a.to_str().unwrap(),
        b.to_str().unwrap(),
        "--format",
        "github",
    ]);
    let errors = done.out.lines().filter(|it| it.starts_with("::error "));
    assert_eq!(errors.count(), 10, "{done:?}");
    assert!(done.out.contains("(and 10 more in this file)"), "{done:?}");
}

#[test]
fn sweeps_as_junit_and_annotations() {
    let sandbox = Sandbox::new();
    let of = |more: &[&str]| {
        let mut all = vec!["sweep", SECOND, "--cuts", "items"];
        all.extend(more);
        run(&all)
    };
    let junit = of(&["--format", "junit"]);
    let github = of(&["--format", "github"]);
    assert_snapshot!(format!("{}{}", junit.text(), github.text()));
    let document = of(&["--format", "json"]);
    let failing = document.json()["failing"].as_array().unwrap().len();
    assert_eq!(junit.out.matches("<failure ").count(), failing);
    let names: Vec<&str> = junit
        .out
        .lines()
        .filter(|it| it.contains("<testcase "))
        .collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a test case has a name of its own");
    // what an older sweep knows stops nobody, and is told
    let old = sandbox.write("old.json", &document.out);
    let known = of(&["--baseline", old.to_str().unwrap(), "--format", "github"]);
    assert_eq!(known.status, 0, "{known:?}");
    assert_eq!(known.out.lines().count(), failing);
    assert!(
        known.out.lines().all(|it| it.starts_with("::notice ")),
        "{known:?}"
    );
    // the default strategy of another session gets through everywhere
    let clean = run(&[
        "sweep",
        SECOND,
        "--recover",
        "full-history",
        "--format",
        "junit",
    ]);
    assert_eq!(clean.status, i32::from(clean.out.contains("<failure ")));
}

#[test]
fn what_is_expected_stops_nobody() {
    let met = run(&[REFUSED, "--expect", "refused", "--format", "github"]);
    let missed = run(&[REFUSED, "--expect", "recovered", "--format", "github"]);
    assert_snapshot!(format!("{}{}", met.text(), missed.text()));
}

#[test]
fn errors_are_results_too() {
    let junit = run(&["missing.jsonl", "--format", "junit"]);
    assert_eq!(junit.status, 3);
    assert!(junit.out.contains("<error message="), "{}", junit.out);
    let other = run(&["explain", "x", "--format", "junit"]);
    assert_eq!((other.status, other.out.as_str()), (2, ""));
}

#[test]
fn statuses_for_bisecting() {
    let status = |arguments: &[&str]| run(arguments).status;
    assert_eq!(status(&[CLEAN, "--bisect"]), 0);
    assert_eq!(status(&[REFUSED, "--bisect"]), 1);
    assert_eq!(status(&["missing.jsonl", "--bisect"]), 125);
    assert_eq!(status(&[CANNOT_TELL, "--bisect"]), 125);
    assert_eq!(
        status(&["--bisect", "--recover", "nothing-like-it", CLEAN]),
        128
    );
    assert_eq!(status(&["--bisect", "check", "--no-such-option"]), 128);
    assert_eq!(status(&["diff", HELLO, AGAIN, "--bisect"]), 0);
    assert_eq!(status(&["diff", HELLO, GOODBYE, "--bisect"]), 1);
    assert_eq!(status(&["diff", HELLO, "missing.jsonl", "--bisect"]), 125);
    assert_eq!(status(&["diff", HELLO, "--bisect"]), 128);
    assert_eq!(status(&["sweep", SECOND, "--bisect"]), 1);
    assert_eq!(status(&["sweep", "missing.jsonl", "--bisect"]), 125);
    assert_eq!(
        status(&["sweep", SECOND, "--recover", "none-such", "--bisect"]),
        128
    );
}

#[cfg(unix)]
#[test]
fn the_composite_action() {
    let sandbox = Sandbox::new();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_replay"));
    let status = sandbox.path().join("status");
    let junit = sandbox.path().join("out/replay.xml");
    let done = std::process::Command::new("bash")
        .arg(root().join(".ci/action"))
        .current_dir(root())
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", program.parent().unwrap().display()),
        )
        .env("GITHUB_OUTPUT", &status)
        .env("REPLAY_VERB", "replay")
        .env(
            "REPLAY_SESSIONS",
            format!(
                "{REFUSED}\n-q\n$(touch {})\n",
                sandbox.path().join("owned").display()
            ),
        )
        .env("REPLAY_OPTIONS", "--recover=full-history\n")
        .env("REPLAY_JUNIT", &junit)
        .output()
        .unwrap();
    // the two sessions that are none are errors, not options and not shell
    assert_eq!(done.status.code(), Some(3));
    assert_eq!(std::fs::read_to_string(status).unwrap(), "status=3\n");
    let out = String::from_utf8(done.stdout).unwrap();
    let files: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("::error file="))
        .collect();
    assert_eq!(files.len(), 2, "{out}");
    assert!(!sandbox.path().join("owned").exists());
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("tests=\"3\"") && xml.contains("recovered under full-history"),
        "{xml}"
    );
}
