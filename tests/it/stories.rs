//! Every folder of `rollouts/` is held to what it promises.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Sandbox, root, stories};

/// The verdicts and the exit statuses they lead to.
fn exit_of(verdict: &str) -> i32 {
    match verdict {
        "clean" | "recovered" => 0,
        "disagrees" | "refused" | "depends" | "diverged" => 1,
        "failed" | "cannot_tell" => 4,
        other => panic!("no verdict is called {other}"),
    }
}

/// The promises of a story: `expect.json`, and `expect.NAME.json` where it has a second file.
pub(crate) fn promises(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("expect") && name.ends_with(".json")
        })
        .collect();
    found.sort();
    found
}

fn check<T: PartialEq + std::fmt::Debug>(off: &mut Vec<String>, what: &str, is: &T, promised: &T) {
    if is != promised {
        off.push(format!("{what}: is {is:?}, promised {promised:?}"));
    }
}

fn run(sandbox: &Sandbox, session: &Path, strategy: Option<&str>) -> (Value, i32) {
    let path = session.display().to_string();
    let mut arguments = vec![path.as_str(), "--format", "json"];
    arguments.extend(strategy.iter().flat_map(|name| ["--recover", name]));
    let done = sandbox.run(&arguments);
    (done.json()["sessions"][0].clone(), done.status)
}

/// Holds one session to one promise and tells what is off.
pub(crate) fn hold(folder: &Path, promise: &Path) -> Vec<String> {
    let sandbox = Sandbox::new();
    let mut off = Vec::new();
    let promised: Value = serde_json::from_slice(&std::fs::read(promise).unwrap()).unwrap();
    let session = folder.join(promised["session"].as_str().expect("a session is named"));
    if !session.is_file() {
        return vec![format!("{} is missing", session.display())];
    }
    findings(&mut off, folder, &sandbox, &session, &promised);
    if promised["verdict"].is_null() {
        let done = sandbox.run(&[&session.display().to_string()]);
        check(&mut off, "exit", &done.status, &3);
        return off;
    }
    let (said, status) = run(&sandbox, &session, None);
    let first = &said["runs"][0];
    let verdict = promised["verdict"].as_str().expect("a verdict is promised");
    for key in ["strategy", "verdict", "reproduced"] {
        assert!(promised.get(key).is_some(), "{key} is not promised");
        check(&mut off, key, &first[key], &promised[key]);
    }
    check(&mut off, "exit", &status, &exit_of(verdict));
    let refused = first["requests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|request| request["outcome"] == "refused")
        .map_or(&Value::Null, |request| &request["refusal"]);
    check(
        &mut off,
        "refusal",
        &refused.is_null(),
        &promised["refusal"].is_null(),
    );
    for key in ["kind", "call_id", "message"] {
        check(&mut off, key, &refused[key], &promised["refusal"][key]);
    }
    let open: Vec<(&Value, &Value)> = pairs(&said["open_calls"]);
    check(
        &mut off,
        "open calls",
        &open,
        &pairs(&promised["open_calls"]),
    );
    if let Some(settled) = promised.get("settled") {
        check(&mut off, "settled", &first["settled"], settled);
    }
    for entry in promised["recover"].as_array().into_iter().flatten() {
        let name = entry["strategy"].as_str().unwrap();
        let (said, status) = run(&sandbox, &session, Some(name));
        let run = &said["runs"][0];
        let at = |key: &str| format!("--recover {name}: {key}");
        check(
            &mut off,
            &at("strategy"),
            &run["strategy"],
            &entry["strategy"],
        );
        check(&mut off, &at("verdict"), &run["verdict"], &entry["verdict"]);
        check(
            &mut off,
            &at("exit"),
            &status,
            &exit_of(entry["verdict"].as_str().unwrap()),
        );
        for key in ["false_statements", "real_outputs_kept"] {
            check(&mut off, &at(key), &run["score"][key], &entry[key]);
        }
    }
    off
}

/// Holds what `check` finds to the promise, where one is made.
fn findings(
    off: &mut Vec<String>,
    folder: &Path,
    sandbox: &Sandbox,
    session: &Path,
    promised: &Value,
) {
    let Some(wanted) = promised["findings"].as_array() else {
        return;
    };
    let mut arguments = vec![
        "check".to_owned(),
        session.display().to_string(),
        "--format".to_owned(),
        "json".to_owned(),
    ];
    for name in promised["with"].as_array().into_iter().flatten() {
        let path = folder.join(name.as_str().unwrap());
        arguments.extend(["--with".to_owned(), path.display().to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let document = sandbox.run(&arguments).json();
    let found: Vec<Value> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let also: Vec<&Value> = it["also"].as_array().unwrap().iter().collect();
            let also: Vec<&Value> = also.iter().map(|place| &place["line"]).collect();
            serde_json::json!({
                "rule": it["rule"],
                "severity": it["severity"],
                "line": it["line"],
                "also": also,
            })
        })
        .collect();
    check(off, "findings", &found, wanted);
}

fn pairs(calls: &Value) -> Vec<(&Value, &Value)> {
    calls
        .as_array()
        .expect("open calls are a list")
        .iter()
        .map(|call| (&call["call_id"], &call["cause"]))
        .collect()
}

#[test]
fn every_story_keeps_its_promise() {
    let mut off = Vec::new();
    let folders = stories();
    assert!(folders.len() >= 14, "{} stories", folders.len());
    for folder in &folders {
        let promises = promises(folder);
        for promise in &promises {
            let name = promise.strip_prefix(root()).unwrap().display().to_string();
            off.extend(
                hold(folder, promise)
                    .into_iter()
                    .map(|wrong| format!("{name}: {wrong}")),
            );
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
}

#[test]
fn every_story_is_whole() {
    for folder in stories() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let mut files: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        for needed in ["expect.json", "session.jsonl", "story.md"] {
            assert!(
                files.iter().any(|file| file == needed),
                "{name} has no {needed}"
            );
        }
        let sessions = files.iter().filter(|file| file.ends_with(".jsonl")).count();
        let beside: usize = promises(&folder)
            .iter()
            .map(|promise| {
                let promise: Value =
                    serde_json::from_slice(&std::fs::read(promise).unwrap()).unwrap();
                promise["with"].as_array().map_or(0, Vec::len)
            })
            .sum();
        assert_eq!(
            promises(&folder).len() + beside,
            sessions,
            "{name}: a promise for each session"
        );
        let story = std::fs::read_to_string(folder.join("story.md")).unwrap();
        for heading in [
            "# ",
            "## What happened",
            "## How it was made",
            "## What replay must say",
        ] {
            assert!(
                story.lines().any(|line| line.starts_with(heading)),
                "{name}/story.md has no '{heading}'"
            );
        }
        for file in &files {
            let size = std::fs::metadata(folder.join(file)).unwrap().len();
            assert!(size <= 150_000, "{name}/{file} has {size} bytes");
        }
    }
}
