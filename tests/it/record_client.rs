//! `replay record -- COMMAND`, and what of its secrets reaches the disk.

use crate::rig::{Recorder, Upstream, ask, of_kind};
use crate::support::{Done, Sandbox};

fn record(sandbox: &Sandbox, options: &[&str], command: &[&str]) -> Done {
    let file = sandbox.path().join("session.jsonl");
    let mut arguments = vec!["record", "-o", file.to_str().unwrap()];
    arguments.extend(options);
    arguments.push("--");
    arguments.extend(command);
    sandbox.run(&arguments)
}

#[test]
fn the_client_is_told_where_to_go_and_its_status_is_ours() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let options = ["--upstream", &upstream.url()];
    let script = "echo \"$OPENAI_BASE_URL $OPENAI_API_BASE\"; exit 7";
    let done = record(&sandbox, &options, &["sh", "-c", script]);
    assert_eq!(done.status, 7, "{done:?}");
    let mut bases = done.out.split_whitespace();
    let base = bases.next().unwrap();
    assert!(
        base.starts_with("http://127.0.0.1:") && base.ends_with("/v1"),
        "{base}"
    );
    assert_eq!(bases.next(), Some(base));
    assert!(done.err.contains("no request came through"), "{done:?}");
    let file = sandbox.path().join("session.jsonl");
    let first = crate::rig::lines_of(&file).remove(0);
    assert_eq!(first["command"][0], "sh");
}

#[test]
fn a_client_that_a_signal_ends_says_so() {
    let sandbox = Sandbox::new();
    let done = record(&sandbox, &[], &["sh", "-c", "kill -TERM $$"]);
    assert_eq!(done.status, 143, "{done:?}");
}

#[test]
fn a_program_that_does_not_exist_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let done = record(&sandbox, &[], &["no-such-program-anywhere"]);
    assert_eq!(done.status, 127, "{done:?}");
    assert!(
        done.err
            .contains("no-such-program-anywhere: no such program"),
        "{done:?}"
    );
    assert!(!sandbox.path().join("session.jsonl").exists());
}

#[test]
fn what_a_client_writes_to_stdout_is_copied_and_recorded() {
    let sandbox = Sandbox::new();
    let script = "printf '{\"type\":\"turn.started\"}\\nno json'";
    let done = record(
        &sandbox,
        &["--client-events", "exec-json"],
        &["sh", "-c", script],
    );
    assert_eq!(done.out, "{\"type\":\"turn.started\"}\nno json");
    let lines = crate::rig::lines_of(&sandbox.path().join("session.jsonl"));
    let events = of_kind(&lines, "client_event");
    assert_eq!(events.len(), 2, "{lines:?}");
    assert_eq!(events[0]["value"]["type"], "turn.started");
    assert_eq!(events[1]["text"], "no json");
    assert_eq!(
        (&events[0]["source"], &events[0]["direction"]),
        (&"exec-json".into(), &"out".into())
    );
}

#[test]
fn a_rollout_that_grows_meanwhile_joins_the_recording() {
    let sandbox = Sandbox::new();
    let name = "codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-x.jsonl";
    sandbox.write(name, "{\"old\":1}\n");
    let script = format!(
        "echo '{{\"new\":2}}' >> {}/{name}",
        sandbox.path().display()
    );
    let program = sandbox.write("bin/codex", format!("#!/bin/sh\n{script}\n"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let done = record(
        &sandbox,
        &["--force"],
        &[program.to_str().unwrap(), "exec", "hi"],
    );
    assert_eq!(done.status, 0, "{done:?}");
    let lines = crate::rig::lines_of(&sandbox.path().join("session.jsonl"));
    let mark = of_kind(&lines, "rollout_file")[0];
    assert_eq!((&mark["line"], &mark["byte"]), (&2.into(), &10.into()));
    let rollout = of_kind(&lines, "rollout")[0];
    assert_eq!(rollout["value"]["new"], 2);
    assert!(
        rollout["path"]
            .as_str()
            .unwrap()
            .starts_with("sessions/2026/01/02/")
    );
}

/// Secrets as clients send them, and one that only the user knows.
const PLANTED: [&str; 7] = [
    "sk-planted-key-1",
    "acct-planted-2",
    "install-planted-3",
    "cookie-planted-4",
    "query-planted-5",
    "attest-planted-6",
    "ACME-planted-7",
];

#[test]
fn no_planted_secret_reaches_the_disk() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::start(|mut peer| {
        peer.request().unwrap();
        peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: s=cookie-planted-4; Path=/\r\nTransfer-Encoding: chunked\r\n\r\n");
        // split in the middle of it
        peer.send(crate::rig::chunk("data: {\"text\":\"the word is ACME-pla"));
        peer.send(crate::rig::chunk("nted-7, yes\"}\n\n"));
        peer.send(crate::rig::chunk("data: {\"installation_id\":\"install-"));
        peer.send(crate::rig::chunk("planted-3\"}\n\n"));
        peer.send("0\r\n\r\n");
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["--redact", "ACME-[a-z0-9-]+"]);
    let metadata = r#"{\"installation_id\":\"install-planted-3\",\"thread_id\":\"thread-kept\"}"#;
    let body = format!(
        r#"{{"model":"m","input":"say ACME-planted-7","client_metadata":{{"x-codex-installation-id":"install-planted-3","thread_id":"thread-kept","x-codex-turn-metadata":"{metadata}"}}}}"#
    );
    let request = format!(
        "POST /v1/responses?api-key=query-planted-5 HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer sk-planted-key-1\r\n\
         X-Api-Key: sk-planted-key-1\r\nChatGPT-Account-ID: acct-planted-2\r\nCookie: s=cookie-planted-4\r\n\
         X-OAI-Attestation: attest-planted-6\r\nthread-id: thread-kept\r\nX-Codex-Turn-Metadata: {}\r\nContent-Length: {}\r\n\r\n{body}",
        metadata.replace('\\', ""),
        body.len()
    );
    let seen = ask(recorder.address, request.as_bytes());
    let passed = String::from_utf8(seen.body).unwrap();
    assert!(passed.contains("ACME-planted-7") && passed.contains("install-planted-3"));
    let (head, sent) = upstream.requests().remove(0);
    assert!(head.contains("Bearer sk-planted-key-1") && sent == body.as_bytes());
    let file = recorder.file.clone();
    let (_, lines) = recorder.stop();
    let text = std::fs::read_to_string(file).unwrap();
    for secret in PLANTED {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    assert!(text.matches("thread-kept").count() >= 3, "{text}");
    let request = of_kind(&lines, "request")[0];
    let redacted: Vec<&str> = request["redacted"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it.as_str())
        .collect();
    assert!(redacted.contains(&"headers.authorization"), "{redacted:?}");
    assert!(redacted.contains(&"path"), "{redacted:?}");
    assert_eq!(of_kind(&lines, "chunk").len(), 4);
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_changes_nothing_for_the_client() {
    let sandbox = Sandbox::new();
    let event = format!("data: {{\"text\":\"{}\"}}\n\n", "x".repeat(4000));
    let mut answer = crate::rig::STREAM.as_bytes().to_vec();
    for _ in 0..50 {
        answer.extend(crate::rig::chunk(&event));
    }
    answer.extend(b"0\r\n\r\n");
    let upstream = Upstream::answering(answer);
    let file = sandbox.path().join("session.jsonl");
    let mut command = sandbox.command(&[]);
    let program = command.get_program().to_owned();
    let mut shell = std::process::Command::new("/bin/sh");
    // files may not grow beyond some 16 KB, and that is no reason to die
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"])
        .arg(program)
        .args(["record", "-v", "--upstream", &upstream.url(), "-o"])
        .arg(&file)
        .env_clear()
        .env("HOME", sandbox.path());
    command = shell;
    let recorder = Recorder::spawn(command, file);
    let request = crate::rig::post("{\"model\":\"m\"}");
    for _ in 0..3 {
        assert_eq!(
            ask(recorder.address, &request),
            ask(upstream.address, &request)
        );
    }
    recorder.signal("INT");
    let warning = recorder.wait_for("warning: the recording cannot be written");
    assert!(warning.contains("traffic goes on"), "{warning}");
    recorder.wait_for("warning: the recording is not whole");
    let name = recorder.file.to_str().unwrap().to_owned();
    let done = sandbox.run(&["check", &name]);
    assert!(done.status < 2, "{done:?}");
}
