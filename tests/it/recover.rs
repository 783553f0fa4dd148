//! `replay recover`, from outside: files of every era, and what it will not do.

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Done, Sandbox, capture, capture_names, root};

fn recover(sandbox: &Sandbox, arguments: &[&str]) -> Done {
    let mut all = vec!["recover"];
    all.extend(arguments);
    all.extend(["--cwd", "/work"]);
    sandbox.run_in(sandbox.path(), &all, b"")
}

/// A rollout of a capture, as a file of the sandbox.
fn file(sandbox: &Sandbox, name: &str) {
    sandbox.write("r.jsonl", capture(name, "rollout").unwrap());
}

#[test]
fn files_of_every_era_are_made_whole() {
    for (name, shown) in [
        ("h_lost_output-0.20.0", "e2_lost_output"),
        ("i_lost_call-0.20.0", "e2_lost_call"),
        ("h_lost_output-0.45.0", "e3_lost_output"),
        ("h_lost_output-0.169.0", "e4_lost_output"),
        ("p_good_then_interrupt-0.8.0", "e1_chained"),
    ] {
        let sandbox = Sandbox::new();
        file(&sandbox, name);
        let done = recover(&sandbox, &["r.jsonl", "-o", "whole.jsonl"]);
        assert_snapshot!(format!("recover_{shown}"), sandbox.shown(&done));
        let judged = sandbox.run_in(sandbox.path(), &["whole.jsonl", "--expect", "clean"], b"");
        assert_eq!(judged.status, 0, "{name}: {judged:?}");
    }
}

#[test]
fn a_copy_of_any_capture_is_clean_and_recovering_it_again_changes_nothing() {
    let mut changed = 0;
    for name in capture_names() {
        let Some(bytes) = capture(&name, "rollout") else {
            continue;
        };
        let sandbox = Sandbox::new();
        sandbox.write("r.jsonl", &bytes);
        let done = recover(&sandbox, &["r.jsonl", "-o", "a.jsonl", "--format", "json"]);
        assert_eq!(done.status, 0, "{name}: {done:?}");
        assert_eq!(done.json()["after"], "clean", "{name}");
        changed += usize::from(done.json()["changed"] == true);
        let again = recover(&sandbox, &["a.jsonl", "-o", "b.jsonl", "--format", "json"]);
        assert_eq!(again.json()["changed"], false, "{name}");
        let read = |name: &str| std::fs::read(sandbox.path().join(name)).unwrap();
        assert_eq!(read("a.jsonl"), read("b.jsonl"), "{name}");
        assert_eq!(read("r.jsonl"), bytes, "{name}: the original was touched");
    }
    assert!(changed > 20, "{changed}");
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let sandbox = Sandbox::new();
    file(&sandbox, "h_lost_output-0.45.0");
    let before = std::fs::read_dir(sandbox.path()).unwrap().count();
    let done = recover(&sandbox, &["r.jsonl", "--dry-run"]);
    assert_snapshot!("recover_dry_run", sandbox.shown(&done));
    assert_eq!(std::fs::read_dir(sandbox.path()).unwrap().count(), before);
    let text = recover(&sandbox, &["r.jsonl", "--dry-run", "--text", "aborted"]);
    assert!(text.out.contains(r#""output":"aborted""#), "{}", text.out);
}

#[test]
fn a_folder_gets_the_copy_where_codex_looks_for_it() {
    let sandbox = Sandbox::new();
    file(&sandbox, "h_lost_output-0.20.0");
    let done = recover(&sandbox, &["r.jsonl", "-o", "home/"]);
    assert_eq!(done.status, 0, "{done:?}");
    let written = done
        .out
        .lines()
        .find(|line| line.starts_with("written"))
        .unwrap();
    assert!(
        written.contains("home/sessions/2026/11/20/rollout-2026-11-20T")
            && written.ends_with(".jsonl"),
        "{written}"
    );
    // the home holds the thread by now: the next copy gets an id of its own
    let first = recover(&sandbox, &["r.jsonl", "-o", "home/", "--format", "json"]).json();
    assert_eq!(first["new_id"], true);
    // and that one stands in the way of a third
    let third = recover(&sandbox, &["r.jsonl", "-o", "home/"]);
    assert_eq!(third.status, 2, "{third:?}");
}

#[test]
fn torn_lines_are_put_aside() {
    let sandbox = Sandbox::new();
    let mut bytes = capture("h_lost_output-0.169.0", "rollout").unwrap();
    bytes.extend(b"{\"timestamp\":\"2026\n\xff\xfe{}\n{\"torn");
    sandbox.write("r.jsonl", bytes);
    let done = recover(&sandbox, &["r.jsonl", "-o", "a.jsonl"]);
    assert_eq!(done.status, 0, "{done:?}");
    let lost = std::fs::read_to_string(sandbox.path().join("a.jsonl.lost")).unwrap();
    let lost: Vec<Value> = lost
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lost.iter().any(|entry| entry["text"] == "{\"torn"),
        "{lost:?}"
    );
    assert!(
        lost.iter().any(|entry| entry["base64"].is_string()),
        "{lost:?}"
    );
}

#[test]
fn what_is_not_safe_is_refused() {
    let sandbox = Sandbox::new();
    file(&sandbox, "h_lost_output-0.45.0");
    let same = recover(&sandbox, &["r.jsonl", "-o", "r.jsonl", "--force"]);
    assert_snapshot!("recover_same_file", sandbox.shown(&same));
    sandbox.write("there.jsonl", "");
    let there = recover(&sandbox, &["r.jsonl", "-o", "there.jsonl"]);
    assert_eq!(there.status, 2, "{there:?}");
    let device = recover(&sandbox, &["r.jsonl", "-o", "/dev/full", "--force"]);
    assert_eq!(device.status, 2, "{device:?}");
    let recording = root().join("rollouts/codex-0.8-second-stream/session.jsonl");
    let done = sandbox.run(&["recover", &recording.display().to_string(), "-o", "x.jsonl"]);
    assert_eq!(done.status, 3, "{done:?}");
    assert!(done.err.contains("recording"), "{}", done.err);
    sandbox.write("empty.jsonl", "");
    assert_eq!(
        recover(&sandbox, &["empty.jsonl", "-o", "x.jsonl"]).status,
        3
    );
}

#[test]
fn a_file_in_which_another_one_begins_keeps_its_place() {
    let sandbox = Sandbox::new();
    let text = |id: &str, more: &str, items: &str| {
        format!(
            r#"{{"timestamp":"2026-01-01T00:00:00.000Z","ordinal":0,"type":"session_meta","payload":{{"id":"{id}","session_id":"{id}","timestamp":"2026-01-01T00:00:00.000Z","cwd":"/","originator":"codex_exec","cli_version":"0.169.0","history_mode":"paginated"{more}}}}}
{items}"#
        )
    };
    let line = |ordinal: u32, payload: &str| {
        format!(
            "{{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"ordinal\":{ordinal},\"type\":\"response_item\",\"payload\":{payload}}}\n"
        )
    };
    let user = r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"go"}]}"#;
    let call = r#"{"type":"function_call","name":"x","arguments":"{}","call_id":"call_p"}"#;
    let (parent, child) = (
        "0f3a2f5e-6f0c-4d52-9c1e-2a4f1d3b9c77",
        "0f3a2f5e-6f0c-4d52-9c1e-2a4f1d3b9c78",
    );
    let items = line(1, user) + &line(2, call);
    let parent_text = text(parent, "", &items);
    let base = format!(
        r#","history_base":{{"thread_id":"{parent}","end_byte_offset":{},"end_ordinal_exclusive":3}}"#,
        parent_text.len()
    );
    let child_text = text(child, &base, &line(4, user)).replace("\"ordinal\":0", "\"ordinal\":3");
    let name =
        |id: &str| format!("codex/sessions/2026/01/01/rollout-2026-01-01T00-00-00-{id}.jsonl");
    sandbox.write(&name(parent), parent_text);
    sandbox.write(&name(child), child_text);
    let done = recover(&sandbox, &[parent, "-o", "p.jsonl"]);
    assert_snapshot!("recover_referred", sandbox.shown(&done));
    let done = recover(&sandbox, &[parent, "-o", "p.jsonl", "--new-id"]);
    assert_eq!(done.status, 0, "{done:?}");
    // the child's call stands in the parent: its output stands in front of the child's own lines
    let done = recover(
        &sandbox,
        &[
            &name(child),
            "-o",
            "codex/sessions/c.jsonl",
            "--format",
            "json",
        ],
    );
    assert_eq!(done.status, 0, "{done:?}");
    let copy = std::fs::read_to_string(sandbox.path().join("codex/sessions/c.jsonl")).unwrap();
    let second: Value = serde_json::from_str(copy.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (&second["ordinal"], &second["payload"]["call_id"]),
        (&Value::from(4), &Value::from("call_p"))
    );
}

#[test]
fn compressed_files_and_thread_ids_are_found() {
    let sandbox = Sandbox::new();
    let id = "0f3a2f5e-6f0c-4d52-9c1e-2a4f1d3b9c77";
    let name = format!("codex/archived_sessions/rollout-2026-01-01T00-00-00-{id}.jsonl.zst");
    sandbox.write(
        &name,
        std::fs::read(root().join("tests/captures/h_lost_output-0.45.0.rollout.jsonl.zst"))
            .unwrap(),
    );
    let done = recover(&sandbox, &[&id[..8], "-o", "a.jsonl", "--format", "json"]);
    assert_eq!(done.json()["changes"][0]["what"], "answered", "{done:?}");
    assert_snapshot!("recover_json", sandbox.shown(&done));
    let done = recover(&sandbox, &["--last", "-o", "b.jsonl"]);
    assert_eq!(done.status, 0, "{done:?}");
}
