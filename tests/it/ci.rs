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
