//! `replay sweep`: what it prints, which known defects it finds, and a real process that is cut.

use insta::assert_snapshot;
use serde_json::Value;

use responses_replay::strategy::Strategy;
use responses_replay::sweep::{self, Mark, Plan};

use crate::support::{Sandbox, capture, capture_names, read, root, run};

const SECOND_STREAM: &str = "rollouts/codex-0.8-second-stream/session.jsonl";
const AGENTS: &str = "rollouts/agents-python-second-stream/session.jsonl";
const CODEX_20: &str = "rollouts/codex-0.20-interrupt/session.jsonl";
const SHELL: &str = "tests/clients/sweep/sweep-shell.session.jsonl";

/// The cells of a sweep.
fn cells(arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["sweep"];
    all.extend(arguments);
    all.extend(["--format", "json"]);
    let done = run(&all);
    assert!([0, 1].contains(&done.status), "{done:?}");
    let document = done.json();
    assert_eq!(document["schema"], 1);
    document["cells"].as_array().unwrap().clone()
}

/// The cells of a strategy in one stage.
fn found<'a>(cells: &'a [Value], strategy: &str, stage: &str) -> Vec<&'a Value> {
    cells
        .iter()
        .filter(|cell| cell["strategy"] == strategy && cell["stage"] == stage)
        .collect()
}

#[test]
fn a_matrix() {
    assert_snapshot!("sweep_text", run(&["sweep", SECOND_STREAM]).text());
    assert_snapshot!(
        "sweep_rollout",
        run(&[
            "sweep",
            "rollouts/codex-0.169-lost-output/rollout.jsonl",
            "-v"
        ])
        .text()
    );
    assert_snapshot!(
        "sweep_twice",
        run(&[
            "sweep",
            SECOND_STREAM,
            "--twice",
            "--strategies",
            "as-client,normalize",
            "--cuts",
            "items"
        ])
        .text()
    );
}

#[test]
fn pending_ids_answer_a_call_that_the_server_never_stored() {
    let cells = cells(&[SECOND_STREAM]);
    let called = found(&cells, "pending-ids", "called");
    let by_client = called.iter().find(|cell| cell["who"] == "client").unwrap();
    assert_eq!(by_client["mark"], "orphan_output");
    assert_eq!(
        by_client["smallest"]["message"],
        "No tool call found for function call output with call_id call_A."
    );
    assert_eq!(by_client["smallest"]["exchange"], 1);
}

#[test]
fn an_output_is_left_behind_in_an_unfinished_second_request() {
    for (session, call) in [(SECOND_STREAM, "call_A"), (AGENTS, "")] {
        let cells = cells(&[session]);
        let second: Vec<&Value> = found(&cells, "as-client", "answering")
            .into_iter()
            .filter(|cell| cell["second_stream"] == true && cell["who"] == "client")
            .collect();
        assert_eq!(second.len(), 1, "{session}");
        assert_eq!(second[0]["mark"], "missing_output");
        assert_eq!(second[0]["refused"], second[0]["cuts"]);
        let message = second[0]["smallest"]["message"].as_str().unwrap();
        assert!(message.starts_with("No tool output found for function call "));
        assert!(message.contains(call));
        // what would have helped
        let helped: Vec<&Value> = found(&cells, "full-history", "answering");
        assert!(helped.iter().all(|cell| cell["fails"] == false));
    }
}

#[test]
fn calls_of_other_kinds_and_ids_show_what_a_capture_does_not() {
    let cells = cells(&[CODEX_20, "--kinds", "local_shell,custom", "--ids", "toolu_"]);
    let mark = |strategy: &str, kind: Value, ids: Value| {
        let all = found(&cells, strategy, "in-tool");
        let cell = all
            .iter()
            .find(|it| it["who"] == "kill" && it["kind"] == kind && it["ids"] == ids);
        cell.unwrap()["mark"].as_str().unwrap().to_owned()
    };
    let (local, custom) = (
        Value::from("local_shell_call"),
        Value::from("custom_tool_call"),
    );
    let toolu = || Value::from("toolu_");
    // a local shell call counts as its own answer
    assert_eq!(mark("history-scan", Value::Null, Value::Null), "depends");
    assert_eq!(
        mark("history-scan", local.clone(), Value::Null),
        "missing_output"
    );
    // before #5473 custom calls were not covered, or answered in the wrong kind
    assert_eq!(
        mark("history-scan", custom.clone(), Value::Null),
        "missing_output"
    );
    assert_eq!(
        mark("history-scan-0.45", Value::Null, Value::Null),
        "missing_output"
    );
    // the error body is read for one kind and one form of id
    assert_eq!(mark("error-body-1610", Value::Null, Value::Null), "loops");
    assert_eq!(
        mark("error-body-1610", custom.clone(), Value::Null),
        "missing_output"
    );
    assert_eq!(
        mark("error-body-1610", local.clone(), Value::Null),
        "missing_output"
    );
    assert_eq!(
        mark("error-body-1610", Value::Null, toolu()),
        "missing_output"
    );
    // and what covers them all
    for kind in [Value::Null, local, custom] {
        for ids in [Value::Null, toolu()] {
            assert_eq!(mark("normalize", kind.clone(), ids), "repaired");
        }
    }
}

#[test]
fn a_matrix_of_forty_columns() {
    use responses_replay::report::style::Paint;
    use responses_replay::report::sweep::{Swept, text};

    let bytes = std::fs::read(root().join(SECOND_STREAM)).unwrap();
    let session = read(&bytes).unwrap();
    let swept = sweep::sweep(&session, &Plan::default(), &|_, _| {});
    let report = Swept {
        path: "session.jsonl",
        source: "recording",
        sweep: &swept,
        chosen: Strategy::AsClient,
        known: None,
        contract: None,
    };
    let narrow = text(&report, Paint::default(), true, Some(40));
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 40),
        "{narrow}"
    );
    // nothing is left out
    let words = |text: &str| -> Vec<String> {
        let mut all: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        all.retain(|it| it.len() > 1);
        all.sort_unstable();
        all.dedup();
        all
    };
    let wide = text(&report, Paint::default(), true, None);
    for word in words(&wide) {
        assert!(narrow.contains(&word), "{word}: {narrow}");
    }
}

#[test]
fn exit_statuses_and_baselines() {
    let sandbox = Sandbox::new();
    let fails = sandbox.run(&["sweep", SECOND_STREAM, "--format", "json"]);
    assert_eq!(fails.status, 1);
    let old = sandbox.write("old.json", &fails.out);
    let old = old.to_str().unwrap();
    let same = sandbox.run(&["sweep", SECOND_STREAM, "--baseline", old]);
    assert_eq!(same.status, 0, "{same:?}");
    assert!(
        same.out
            .contains("fails nowhere that it did not fail before")
    );
    assert_eq!(fails.json()["cells"][0]["transport"], Value::Null);
    let over = sandbox.run(&[
        "sweep",
        SECOND_STREAM,
        "--transport",
        "websocket",
        "--format",
        "json",
    ]);
    let over = over.json();
    let cells = over["cells"].as_array().unwrap();
    assert!(cells.iter().any(|it| it["transport"] == "websocket"));
    // one cell less in the baseline is one new failure
    let mut document = fails.json();
    let kept = document["cells"].as_array_mut().unwrap();
    let at = kept
        .iter()
        .position(|cell| cell["strategy"] == "as-client" && cell["fails"] == true)
        .unwrap();
    kept.remove(at);
    let less = sandbox.write("less.json", document.to_string());
    let new = sandbox.run(&["sweep", SECOND_STREAM, "--baseline", less.to_str().unwrap()]);
    assert_eq!(new.status, 1);
    assert_eq!(
        sandbox
            .run(&["sweep", SECOND_STREAM, "--recover", "normalize"])
            .status,
        0
    );
}

#[test]
fn what_is_wrong_is_said() {
    let sandbox = Sandbox::new();
    let empty = sandbox.write("empty.jsonl", "");
    let empty = empty.to_str().unwrap();
    let torn = sandbox.write("old.json", "{\"cells\":");
    let torn = torn.to_str().unwrap();
    for (status, arguments) in [
        (2, vec![SECOND_STREAM, "--recover", "nobody"]),
        (2, vec![SECOND_STREAM, "--cuts", "0"]),
        (2, vec![SECOND_STREAM, "--cuts", "some"]),
        (2, vec![SECOND_STREAM, "--kinds", "message"]),
        (2, vec![SECOND_STREAM, "--ids", "call_x"]),
        (2, vec![SECOND_STREAM, "--policy", "x=y"]),
        (2, vec![SECOND_STREAM, "--next", "true"]),
        (2, vec![SECOND_STREAM, "--first", "a 'b"]),
        (2, vec![SECOND_STREAM, "--first", "a {nothing}"]),
        (2, vec![SECOND_STREAM, "--format", "markdown"]),
        (
            2,
            vec![SECOND_STREAM, "--first", "true", "--kinds", "custom"],
        ),
        (
            2,
            vec![SECOND_STREAM, "--first", "true", "--recover", "none"],
        ),
        (2, vec![SECOND_STREAM, "--first", "true", "--twice"]),
        (2, vec![SECOND_STREAM, "--first", "true", "--base", "seen"]),
        (
            2,
            vec![SECOND_STREAM, "--first", "true", "--baseline", torn],
        ),
        (
            2,
            vec![SECOND_STREAM, "--first", "true", "--format", "html"],
        ),
        (3, vec![empty]),
        (3, vec!["no-such-file.jsonl"]),
        // devices that have no end
        (3, vec![SHELL, "--first", "true", "--state", "/dev/full"]),
        (3, vec![SHELL, "--first", "true", "--state", "/dev/null"]),
        (3, vec![SECOND_STREAM, "--baseline", torn]),
        (
            3,
            vec![
                "rollouts/codex-0.8-second-stream/rollout.jsonl",
                "--first",
                "true",
            ],
        ),
    ] {
        let mut all = vec!["sweep"];
        all.extend(&arguments);
        let done = sandbox.run(&all);
        assert_eq!(done.status, status, "{arguments:?}: {done:?}");
        assert!(!done.err.is_empty() && done.out.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_page_holds_nothing_but_itself() {
    let done = run(&["sweep", SECOND_STREAM, "--format", "html"]);
    let page = &done.out;
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
    assert!(!page.contains("<script") && !page.contains("http-equiv=\"refresh"));
    let links = page.matches("http").count() - page.matches("http-equiv").count();
    assert_eq!(links, 1, "the name of SVG is the only address");
    assert!(page.contains("No tool output found for function call call_A."));
    // a session that would like to be part of the page
    let sandbox = Sandbox::new();
    let text = std::fs::read_to_string(root().join(SECOND_STREAM)).unwrap();
    let hostile = text.replace("call_A", "</svg><b onload=x>\\\\u001b[31m");
    let file = sandbox.write("<i>.jsonl", hostile);
    let done = sandbox.run(&["sweep", file.to_str().unwrap(), "--format", "html"]);
    assert!(done.out.contains("&lt;/svg&gt;") && !done.out.contains("<b onload"));
    assert!(!done.out.contains('\u{1b}') && !done.out.contains("<i>"));
    let done = sandbox.run(&["sweep", file.to_str().unwrap()]);
    assert!(!done.out.contains('\u{1b}'), "{}", done.out);
}

#[test]
fn every_capture_can_be_swept() {
    let mut swept_at_all = 0;
    for (number, name) in capture_names().iter().enumerate() {
        let plan = Plan {
            twice: number % 5 == 0,
            ..Plan::default()
        };
        for kind in ["session", "rollout"] {
            let Some(session) = capture(name, kind).and_then(|bytes| read(&bytes).ok()) else {
                continue;
            };
            let swept = sweep::sweep(&session, &plan, &|_, _| {});
            swept_at_all += usize::from(swept.points > 0);
            for strategy in Strategy::ALL {
                for (situation, cell) in swept.column(strategy) {
                    let all = cell.accepted + cell.refused + cell.depends + cell.unknown;
                    assert_eq!(all, cell.cuts, "{name} {kind} {situation:?}");
                    assert_eq!(cell.fails(), cell.smallest.is_some(), "{name} {kind}");
                }
            }
            // who mends the whole history in front of each request leaves no call open
            for (situation, cell) in swept.column(Strategy::Normalize) {
                assert_ne!(
                    cell.mark().0,
                    Mark::MissingOutput,
                    "{name} {kind} {situation:?}"
                );
            }
        }
    }
    assert!(swept_at_all > 150, "{swept_at_all}");
}

/// A client of a few lines: it asks, and asks again with the answer's call answered, or not.
#[cfg(unix)]
const CLIENT: &str = r#"
import http.client, json, os, signal, sys, urllib.request
url = os.environ["REPLAY_BASE_URL"] + "/responses"
user = lambda text: {"type": "message", "role": "user", "content": text}
def ask(body):
    body = json.dumps({"model": "m", "stream": True, **body}).encode()
    asked = urllib.request.Request(url, body, {"content-type": "application/json"})
    made, calls, over = None, [], False
    with urllib.request.urlopen(asked) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                made = event.get("response", {}).get("id", made)
                if event["type"] == "response.output_item.done" and event["item"]["type"] == "function_call":
                    calls.append(event["item"]["call_id"])
                over = over or event["type"] == "response.completed"
    if not over:
        raise Left()
    return made, calls
class Left(Exception): pass
def leave(*_): raise Left()
signal.signal(signal.SIGINT, leave)
last = None
try:
    last, calls = ask({"input": [user("begin")]})
    outputs = [{"type": "function_call_output", "call_id": call, "output": "found"} for call in calls]
    last, _ = ask({"previous_response_id": last, "input": outputs})
except (Left, OSError, http.client.HTTPException):
    pass
try:
    ask({"input": [user("begin"), user("go on")]} if last is None else {"previous_response_id": last, "input": [user("go on")]})
except (Left, OSError):
    pass
"#;

#[test]
#[cfg(unix)]
fn a_real_process_is_cut_and_judged() {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"];
    let Some(python) = python.iter().find(|it| std::path::Path::new(it).exists()) else {
        return;
    };
    let sandbox = Sandbox::new();
    let client = sandbox.write("client.py", CLIENT);
    let first = format!("{python} -B '{}'", client.display());
    let state = sandbox.path().join("done.state");
    let arguments = [
        "sweep",
        SHELL,
        "--first",
        &first,
        "--cuts",
        "items",
        "--interrupt",
        "hangup,sigint",
        "--state",
        state.to_str().unwrap(),
        "--format",
        "json",
    ];
    let done = sandbox.run(&arguments);
    assert_eq!(done.status, 1, "{done:?}");
    let document = done.json();
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len() as u64, document["cases"].as_u64().unwrap());
    // it goes on from the response that is complete, and leaves the output behind: the defect of today's SDKs
    for result in results {
        let second = result["second_stream"] == true && result["stage"] != "idle";
        let expected = if second { "stuck" } else { "accepted" };
        assert_eq!(result["did"], expected, "{result}");
        if second {
            assert_eq!(
                result["message"],
                "No tool output found for function call call_A."
            );
        }
    }
    // nothing is done twice: the same table without a client
    std::fs::remove_file(&client).unwrap();
    let again = sandbox.run(&arguments);
    assert_eq!(again.out, done.out);
    // another trial does not take this state for its own
    let mut other = arguments.to_vec();
    other[1] = "tests/clients/sweep/sweep-look-up.session.jsonl";
    assert_eq!(sandbox.run(&other).status, 2);
    // beside itself nothing differs
    let mut table = arguments.to_vec();
    table.truncate(10);
    table.extend(["--against", state.to_str().unwrap(), "--format", "markdown"]);
    let table = sandbox.run(&table).out;
    assert!(table.contains("| answering, second stream |") || table.contains("second stream"));
    assert!(!table.contains("the other"), "{table}");
}

/// What the client of a case is called and how the case ended.
#[cfg(unix)]
fn tried(sandbox: &Sandbox, arguments: &[&str]) -> (i32, Vec<Value>) {
    let mut all = vec!["sweep"];
    all.extend(arguments);
    all.extend(["--format", "json"]);
    let done = sandbox.run(&all);
    let results = done.json()["results"].as_array().unwrap().clone();
    (done.status, results)
}

#[test]
#[cfg(unix)]
fn what_was_not_judged_is_not_green() {
    let sandbox = Sandbox::new();
    let did = |results: &[Value]| -> Vec<String> {
        let mut all: Vec<String> = results
            .iter()
            .map(|it| it["did"].as_str().unwrap().to_owned())
            .collect();
        all.dedup();
        all
    };
    // it ends before it asks for anything
    let (status, results) = tried(&sandbox, &[SHELL, "--first", "true", "--cuts", "3"]);
    assert_eq!((status, did(&results)), (4, vec!["not_reached".to_owned()]));
    // what is to be prepared fails
    let prepared = [
        SHELL,
        "--first",
        "true",
        "--prepare",
        "false",
        "--cuts",
        "2",
    ];
    let (status, results) = tried(&sandbox, &prepared);
    assert_eq!((status, did(&results)), (4, vec!["failed".to_owned()]));
    // a program that is not there is tried again once it is
    let state = sandbox.path().join("a state");
    let program = sandbox.path().join("a 'client'");
    let first = format!("\"{}\" {{home}}", program.display());
    let state = state.to_str().unwrap();
    let again = [SHELL, "--first", &first, "--cuts", "1", "--state", state];
    let (status, results) = tried(&sandbox, &again);
    assert_eq!((status, did(&results)), (4, vec!["failed".to_owned()]));
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    let (status, results) = tried(&sandbox, &again);
    assert_eq!((status, did(&results)), (4, vec!["not_reached".to_owned()]));
    // other policies are another trial
    let mut other = vec!["sweep"];
    other.extend(again);
    other.extend(["--policy", "stored_after_cut=all"]);
    let other = sandbox.run(&other);
    assert_eq!(other.status, 2, "{other:?}");
    assert!(other.err.contains("--policy differs"), "{other:?}");
}

/// A client that asks twice and writes down where it was to be cut and how many whole events it got.
#[cfg(unix)]
const COUNTS: &str = r#"
import json, sys, urllib.request
url, cut = sys.argv[1] + "/responses", sys.argv[2]
counts = []
for number in range(2):
    body = json.dumps({"model": "m", "stream": True, "input": [{"role": "user", "content": "go"}]}).encode()
    counts.append(0)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"})) as answer:
            for line in answer:
                counts[-1] += line.startswith(b"data: ") and line.endswith(b"}\n")
    except Exception:
        pass
print(json.dumps([cut, counts]))
"#;

#[test]
#[cfg(unix)]
fn a_client_is_cut_where_the_table_says() {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"];
    let Some(python) = python.iter().find(|it| std::path::Path::new(it).exists()) else {
        return;
    };
    let sandbox = Sandbox::new();
    let client = sandbox.write("it counts.py", COUNTS);
    let first = format!("{python} -B '{}' {{base_url}} {{cut}}", client.display());
    // the second answer of the first recording was cut when it was recorded: it is played as far as it goes
    for session in [SECOND_STREAM, SHELL] {
        let keep = sandbox.path().join("keep");
        let arguments = [
            session,
            "--first",
            &first,
            "--interrupt",
            "hangup",
            "--cuts",
            "all",
            "--keep",
            keep.to_str().unwrap(),
        ];
        let (_, results) = tried(&sandbox, &arguments);
        let mut cases = 0;
        for case in std::fs::read_dir(&keep).unwrap() {
            let out = std::fs::read_to_string(case.unwrap().path().join("first.out")).unwrap();
            let said: Value = serde_json::from_str(&out).unwrap();
            let (request, place) = said[0].as_str().unwrap().split_once(':').unwrap();
            let expected = match place.split_once('=') {
                _ if place == "byte:0" => 0,
                // of this event half arrives
                Some((event, _)) => event.parse().unwrap(),
                None => place.parse::<u64>().unwrap() + 1,
            };
            let at = request.parse::<usize>().unwrap() - 1;
            assert_eq!(said[1][at], expected, "{session} {said}");
            cases += 1;
        }
        std::fs::remove_dir_all(&keep).unwrap();
        assert_eq!(cases, results.len());
        assert!(cases > 30, "{session} {cases}");
    }
}

#[test]
fn one_event_of_each_type_is_cut_inside() {
    use std::collections::BTreeSet;

    use responses_replay::session::Session;
    use responses_replay::strategy::interrupt;
    use responses_replay::trial::Playable;

    let mut inside = 0;
    for name in capture_names() {
        let bytes = capture(&name, "session").unwrap();
        let (Ok(Session::Recording(recording)), Ok(playable)) =
            (read(&bytes), Playable::read(&bytes))
        else {
            continue;
        };
        let points = interrupt::points(&Session::Recording(recording));
        let places = playable.places(&points, true);
        let mut by_answer: std::collections::BTreeMap<u32, [BTreeSet<String>; 2]> =
            std::collections::BTreeMap::new();
        for place in &places {
            let Some(event) = place.event else { continue };
            let kind = playable.kind(place.exchange, event).unwrap().to_owned();
            // what a session calls a finished call is the event that finishes one
            if place.stage == "called" && !place.half && place.event == Some(event) {
                assert_ne!(kind, "response.created", "{name} {place:?}");
            }
            let [whole, half] = by_answer.entry(place.exchange).or_default();
            if place.half {
                assert!(half.insert(kind), "{name} {place:?}: twice");
                inside += 1;
            } else {
                whole.insert(kind);
            }
        }
        for (exchange, [whole, half]) in by_answer {
            assert_eq!(whole, half, "{name} exchange {exchange}");
        }
    }
    assert!(inside > 500, "{inside}");
}

/// A recording that ends in the middle of an answer, behind so many of its bytes.
fn cut_in_bytes(lines: &[Value], exchange: u64, bytes: usize) -> String {
    let mut text = String::new();
    let mut before = 0;
    for line in lines {
        let is_chunk = line["kind"] == "chunk" && line["exchange"] == exchange;
        let mut line = line.clone();
        let mut over = false;
        if is_chunk {
            let chunk = line["text"].as_str().unwrap().to_owned();
            over = before + chunk.len() >= bytes;
            line["text"] = chunk[..chunk.len().min(bytes - before)].into();
            before += chunk.len();
        }
        text.push_str(&line.to_string());
        text.push('\n');
        if over {
            let end = serde_json::json!({"kind": "end", "exchange": exchange, "at_us": line["at_us"], "cause": "client_closed"});
            text.push_str(&end.to_string());
            text.push('\n');
            return text;
        }
    }
    panic!("the answer is shorter");
}

#[test]
fn a_cut_inside_an_event_leaves_what_the_event_before_it_left() {
    use std::collections::{BTreeMap, BTreeSet};

    use responses_replay::session::Session;
    use responses_replay::strategy::{self, Options, Probe};

    let mut tried: BTreeMap<String, u32> = BTreeMap::new();
    for name in capture_names().into_iter().step_by(3) {
        let bytes = capture(&name, "session").unwrap();
        let lines: Vec<Value> = String::from_utf8(bytes)
            .unwrap()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let mut streams: BTreeMap<u64, String> = BTreeMap::new();
        for line in lines.iter().filter(|line| line["kind"] == "chunk") {
            if let (Some(exchange), Some(text)) = (line["exchange"].as_u64(), line["text"].as_str())
            {
                streams.entry(exchange).or_default().push_str(text);
            }
        }
        let mut seen = BTreeSet::new();
        for (exchange, stream) in streams {
            let mut start = 0;
            for event in stream.split_inclusive("\n\n") {
                let end = start + event.len();
                let data = event.lines().find_map(|it| it.strip_prefix("data: "));
                let read: Option<Value> = data.and_then(|it| serde_json::from_str(it).ok());
                let kind = read.and_then(|it| it["type"].as_str().map(str::to_owned));
                let mut middle = start + event.len() / 2;
                while !stream.is_char_boundary(middle) {
                    middle += 1;
                }
                if let Some(kind) = kind.filter(|_| start > 0 && end <= stream.len())
                    && seen.insert(kind.clone())
                {
                    let [half, whole] = [middle, start].map(|at| {
                        let text = cut_in_bytes(&lines, exchange, at);
                        responses_replay::session::reader::read(text.as_bytes()).unwrap()
                    });
                    let [a, b] = [&half, &whole].map(|it| &it.exchanges.last().unwrap().answer);
                    assert_eq!(
                        (
                            &a.done,
                            &a.half,
                            a.response,
                            &a.terminal,
                            a.events,
                            &a.marks
                        ),
                        (
                            &b.done,
                            &b.half,
                            b.response,
                            &b.terminal,
                            b.events,
                            &b.marks
                        ),
                        "{name} {kind}"
                    );
                    let options = Options {
                        policies: Vec::new(),
                        probe: Probe::Always,
                    };
                    let [half, whole] = [half, whole].map(Session::Recording);
                    for strategy in Strategy::ALL {
                        let [a, b] = [&half, &whole].map(|session| {
                            let run = strategy::run(session, strategy, &options);
                            let last = run.requests.last().unwrap();
                            (last.outcome.clone(), last.removed.clone(), last.attempts)
                        });
                        assert_eq!(a, b, "{name} {kind} {strategy:?}");
                    }
                    *tried.entry(kind).or_default() += 1;
                }
                start = end;
            }
        }
    }
    for kind in [
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_text.delta",
        "response.completed",
    ] {
        assert!(tried.get(kind).copied().unwrap_or(0) > 5, "{tried:?}");
    }
}

/// One request shows nothing of what its client goes on from.
#[test]
fn a_base_that_is_assumed_is_said() {
    let sandbox = Sandbox::new();
    let request = r#"{"request": {"input": [{"role": "user", "content": "begin"}]}, "status": 200, "body": ""}"#;
    let one = sandbox.write("one.jsonl", request);
    let one = one.to_str().unwrap();
    let words = "assumed: the next request carries the whole history";
    let done = run(&["sweep", one]);
    assert!(done.out.contains(words), "{}", done.text());
    let done = run(&["sweep", one, "--base", "whole"]);
    assert!(!done.out.contains(words), "{}", done.text());
    let two = run(&["sweep", one, "--format", "json"]);
    assert_eq!(two.json()["base_assumed"], true);
    assert!(
        !run(&[
            "sweep",
            "rollouts/agents-python-second-stream/session.jsonl"
        ])
        .out
        .contains(words)
    );
}
