//! What must not reach a file does not, and everything else is as it was.

use insta::assert_snapshot;
use responses_replay::convert::redact_recording;
use responses_replay::redact::{Options, Redactor};
use responses_replay::session::exchange::Recording;
use responses_replay::session::reader;

use crate::support::{Sandbox, capture, capture_names, story_file};

const RECORDING: &str = concat!(
    r#"{"kind":"session","format":1,"command":["agent","--api-key","SECRET-1"],"upstream":"https://host/v1?key=SECRET-2"}"#,
    "\n",
    r#"{"kind":"request","exchange":1,"at_us":0,"transport":"http","method":"POST","path":"/v1/responses","headers":[["authorization","Bearer SECRET-1"],["x-codex-turn-metadata","{\"installation_id\":\"SECRET-3\",\"thread_id\":\"t\"}"],["x-account-id","acct"]],"body":{"model":"m","input":"my name is Ada","client_metadata":{"x-codex-installation-id":"SECRET-3"}}}"#,
    "\n",
    r#"{"kind":"response","exchange":1,"at_us":5,"status":200,"headers":[["set-cookie","sid=SECRET-4; Path=/"]]}"#,
    "\n",
    r#"{"kind":"chunk","exchange":1,"at_us":6,"text":"event: x\ndata: {\"api_key\":\"SEC"}"#,
    "\n",
    r#"{"kind":"chunk","exchange":1,"at_us":7,"text":"RET-5\",\"name\":\"Ada\"}\n\n"}"#,
    "\n",
    r#"{"kind":"end","exchange":1,"at_us":8,"cause":"complete"}"#,
    "\n",
    r#"{"kind":"request","exchange":2,"at_us":9,"headers":[["authorization","Bearer SEC"#,
);

#[test]
fn a_recording_is_redacted() {
    let sandbox = Sandbox::new();
    sandbox.write("session.jsonl", RECORDING);
    let run = |arguments: &[&str]| sandbox.run_in(sandbox.path(), arguments, b"");
    let rules = run(&["convert", "session.jsonl", "--redact", "-o", "a.jsonl"]);
    let written = |name: &str| std::fs::read_to_string(sandbox.path().join(name)).unwrap();
    let first = written("a.jsonl");
    assert_snapshot!(format!("{}{first}", rules.text()));
    assert!(!first.contains("SEC") && !first.contains("RET"), "{first}");
    let more = run(&[
        "convert",
        "session.jsonl",
        "--redact=[Nn]ame is \\w+",
        "--redact=Ada",
        "--keep-header",
        "X-Account-ID",
        "-o",
        "b.jsonl",
    ]);
    assert_snapshot!(format!("{}{}", more.text(), written("b.jsonl")));
    // once more changes nothing
    let again = run(&["convert", "a.jsonl", "--redact", "-o", "-"]);
    assert_eq!(again.out, first);
    let stdin = sandbox.run_in(
        sandbox.path(),
        &["convert", "-", "--redact", "-q", "-o", "-"],
        RECORDING.as_bytes(),
    );
    assert_eq!((stdin.out, stdin.err), (first, String::new()));
    // the recording is judged as before
    let verdict =
        |name: &str| run(&[name, "--format", "json"]).json()["sessions"][0]["runs"].clone();
    assert_eq!(verdict("a.jsonl"), verdict("session.jsonl"));
}

#[test]
#[cfg(unix)]
fn what_is_written_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.write("session.jsonl", RECORDING);
    let done = sandbox.run_in(
        sandbox.path(),
        &["convert", "session.jsonl", "--redact", "-o", "a.jsonl"],
        b"",
    );
    assert_eq!(done.status, 0, "{done:?}");
    let mode = std::fs::metadata(sandbox.path().join("a.jsonl")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_cannot_be_redacted_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("session.jsonl", RECORDING);
    sandbox.write("har.json", r#"{"log":{"entries":[]}}"#);
    let mut said = String::new();
    for arguments in [
        &["convert", "session.jsonl", "-o", "x.jsonl"][..],
        &["convert", "session.jsonl", "--redact=a(", "-o", "x.jsonl"],
        &[
            "convert",
            "session.jsonl",
            "--redact",
            "-o",
            "session.jsonl",
        ],
        &[
            "convert",
            "session.jsonl",
            "--redact",
            "--force",
            "-o",
            "./session.jsonl",
        ],
        &["convert", "har.json", "--redact", "-o", "x.jsonl"],
        &[
            "convert",
            "session.jsonl",
            "--keep-header",
            "x",
            "-o",
            "x.jsonl",
        ],
    ] {
        let done = sandbox.run_in(sandbox.path(), arguments, b"");
        said.push_str(&format!(
            "$ replay {}\n{}\n",
            arguments.join(" "),
            done.text()
        ));
    }
    assert_snapshot!(said);
    let same = std::fs::read_to_string(sandbox.path().join("session.jsonl")).unwrap();
    assert_eq!(same, RECORDING);
    assert!(!sandbox.path().join("x.jsonl").exists());
}

#[test]
fn a_rollout_stays_one() {
    let sandbox = Sandbox::new();
    let rollout = String::from_utf8(story_file("codex-0.169-kill-in-tool/rollout.jsonl")).unwrap();
    let planted = rollout.replacen(
        "\"cwd\":",
        "\"git\":{\"repository_url\":\"git@host:SECRET\"},\"cwd\":",
        1,
    );
    assert_ne!(planted, rollout);
    sandbox.write("rollout.jsonl", &planted);
    let done = sandbox.run_in(
        sandbox.path(),
        &["convert", "rollout.jsonl", "--redact", "-o", "out.jsonl"],
        b"",
    );
    assert_eq!(
        (done.status, done.err.as_str()),
        (0, "1 different secret hidden\n")
    );
    let written = std::fs::read_to_string(sandbox.path().join("out.jsonl")).unwrap();
    assert_eq!(written, planted.replace("git@host:SECRET", "<redacted:1>"));
}

#[test]
fn request_logs_and_bodies_are_redacted_on_the_way() {
    let sandbox = Sandbox::new();
    let log = concat!(
        "{\"t\":0.1,\"kind\":\"request\",\"n\":1,\"method\":\"POST\",\"path\":\"/v1/responses\",",
        "\"headers\":[[\"authorization\",\"SECRET\"]],\"body\":{\"model\":\"m\",\"input\":\"hi\",\"api_key\":\"SECRET\"}}\n",
    );
    let convert =
        |text: &str| sandbox.run_with(&["convert", "-", "--redact", "-o", "-"], text.as_bytes());
    let done = convert(log);
    assert!(
        !done.out.contains("SECRET") && done.out.contains("\"converted_from\""),
        "{done:?}"
    );
    assert_eq!(
        done.err,
        "1 exchange converted (request log), 1 different secret hidden\n"
    );
    let body = convert("{ \"model\":\"m\", \"input\":\"hi\", \"api_key\":\"SECRET\" }\n");
    assert_eq!(
        body.out,
        "{ \"model\":\"m\", \"input\":\"hi\", \"api_key\":\"<redacted:1>\" }\n"
    );
}

#[test]
fn what_looks_like_a_secret_is_told_but_not_shown() {
    let sandbox = Sandbox::new();
    sandbox.write("session.jsonl", RECORDING);
    let key = "sk-proj-a1B2c3D4e5F6g7H8i9J0";
    let rollout = String::from_utf8(story_file("codex-0.169-kill-in-tool/rollout.jsonl")).unwrap();
    let leak = format!("\"cwd\":\"{key} {key}\",\"cwd\":");
    sandbox.write("rollout.jsonl", rollout.replacen("\"cwd\":", &leak, 1));
    let run = |arguments: &[&str]| sandbox.run_in(sandbox.path(), arguments, b"");
    let text = run(&["check", "session.jsonl", "rollout.jsonl"]);
    assert_snapshot!(text.text());
    let json = run(&["check", "rollout.jsonl", "--format", "json"]);
    let findings = json.json()["findings"].clone();
    let found = findings.as_array().unwrap().iter();
    let found: Vec<_> = found
        .filter(|it| it["rule"] == "looks_like_secret")
        .collect();
    assert_eq!((found.len(), &found[0]["count"]), (1, &2.into()));
    assert!(!text.out.contains("a1B2") && !json.out.contains("a1B2"));
    let redacted = run(&[
        "convert",
        "session.jsonl",
        "--redact",
        "-q",
        "-o",
        "a.jsonl",
    ]);
    assert_eq!(redacted.status, 0);
    assert!(!run(&["check", "a.jsonl"]).out.contains("looks_like_secret"));
}

/// What tells the requests of a recording apart.
fn lanes(recording: &Recording) -> String {
    let exchanges = recording.exchanges.iter().map(|it| {
        format!(
            "{} {} {:?} {} {} {:?} {:?}",
            it.number, it.lane, it.purpose, it.turn, it.attempt, it.request, it.answer
        )
    });
    format!(
        "{:?}\n{}",
        recording.lanes,
        exchanges.collect::<Vec<_>>().join("\n")
    )
}

#[test]
fn lanes_are_the_same_before_and_after() {
    let mut secrets = 0;
    for name in capture_names() {
        let file = capture(&name, "session").unwrap();
        let mut redactor = Redactor::new(Options::default());
        let mut redacted = Vec::new();
        redact_recording(file.as_slice(), &mut redacted, &mut redactor).unwrap();
        secrets += redactor.secrets();
        let (before, after) = (
            reader::read(file.as_slice()),
            reader::read(redacted.as_slice()),
        );
        let (before, after) = (before.unwrap(), after.unwrap());
        assert_eq!(lanes(&before), lanes(&after), "{name}");
        assert_eq!(before.items.len(), after.items.len(), "{name}");
        assert_eq!(before.problems, after.problems, "{name}");
        let mut again = Vec::new();
        redact_recording(redacted.as_slice(), &mut again, &mut redactor).unwrap();
        assert!(again == redacted, "{name}");
    }
    assert!(secrets > 30, "{secrets}");
}
