use serde_json::{Value, json};

use super::*;
use crate::rollout::{NoLibrary, reader};
use crate::session::{exchanges, request_file};
use crate::timeline::{Cause, Tool};

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

fn assistant() -> Value {
    json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "shell", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "ok"})
}

fn event(kind: &str, more: &Value) -> Value {
    let mut payload = json!({"type": kind});
    for (key, value) in more.as_object().unwrap() {
        payload[key] = value.clone();
    }
    json!({"event": payload})
}

/// An E3 rollout of a client of that version.
fn rollout(version: &str, lines: &[Value]) -> Session {
    let mut text = json!({"timestamp": "t", "type": "session_meta", "payload": {"id": "t", "cli_version": version}}).to_string();
    for line in lines {
        text.push('\n');
        let (kind, payload) = match line.get("event") {
            Some(event) => ("event_msg", event),
            None => ("response_item", line),
        };
        text.push_str(&json!({"timestamp": "t", "type": kind, "payload": payload}).to_string());
    }
    Session::Rollout(reader::read(text.as_bytes(), &NoLibrary).unwrap())
}

fn found(session: &Session) -> (Verdict, Vec<(Rule, Severity, u32)>) {
    let checked = check(session, &Options::default());
    let found = checked.findings.iter();
    (
        checked.run.verdict,
        found.map(|it| (it.rule, it.severity, it.line)).collect(),
    )
}

fn cause(session: &Session) -> (Cause, Tool, bool) {
    let open = timeline::open_calls(session);
    assert_eq!(open.len(), 1, "{open:?}");
    (open[0].cause, open[0].tool, open[0].effective)
}

#[test]
fn what_the_client_repairs_is_a_warning_and_what_it_does_not_an_error() {
    let lines = [user("go"), call("a"), user("on"), assistant()];
    let (verdict, findings) = found(&rollout("0.100.0", &lines));
    assert_eq!(verdict, Verdict::Recovered);
    assert_eq!(findings, [(Rule::MissingOutput, Severity::Warning, 3)]);
    // 0.45.0 answers a function call with an output of another kind
    let (verdict, findings) = found(&rollout("0.45.0", &lines));
    assert_eq!(verdict, Verdict::Refused);
    assert_eq!(findings, [(Rule::MissingOutput, Severity::Error, 3)]);
}

#[test]
fn a_call_at_the_very_end_is_in_flight() {
    let lines = [user("go"), call("a")];
    let session = rollout("0.100.0", &lines);
    assert_eq!(
        found(&session),
        (
            Verdict::Recovered,
            vec![(Rule::InFlight, Severity::Info, 3)]
        )
    );
    assert_eq!(cause(&session), (Cause::InFlight, Tool::Unknown, true));
    let (verdict, findings) = found(&rollout("0.45.0", &lines));
    assert_eq!(verdict, Verdict::Refused);
    assert!(findings.contains(&(Rule::InFlight, Severity::Error, 3)));
}

#[test]
fn orphans_wrong_kinds_and_duplicates_are_told_once_each() {
    let wrong = json!({"type": "custom_tool_call_output", "call_id": "b", "output": "x"});
    let (_, findings) = found(&rollout(
        "0.100.0",
        &[
            user("go"),
            output("lost"),
            call("a"),
            output("a"),
            output("a"),
            call("b"),
            wrong,
            assistant(),
            output("late"),
            call("late"),
            call("late"),
            assistant(),
        ],
    ));
    let rules: Vec<(Rule, u32)> = findings.iter().map(|it| (it.0, it.2)).collect();
    for expected in [
        (Rule::OrphanOutput, 3),
        (Rule::DuplicateOutput, 5),
        (Rule::MissingOutput, 7),
        (Rule::OrphanOutput, 8),
        (Rule::WrongOutputKind, 8),
        (Rule::OutputBeforeCall, 11),
        (Rule::DuplicateCall, 11),
    ] {
        let times = rules.iter().filter(|it| **it == expected).count();
        assert_eq!(times, 1, "{expected:?} {rules:?}");
    }
}

#[test]
fn causes_of_open_calls() {
    let none = json!({});
    let aborted = event("turn_aborted", &json!({"reason": "interrupted"}));
    let ended = event("exec_command_end", &json!({"call_id": "a"}));
    let started = event("task_started", &none);
    let of = |lines: &[Value]| cause(&rollout("0.100.0", lines));
    assert_eq!(
        of(&[user("go"), call("a"), aborted.clone(), user("on")]),
        (Cause::Interrupted, Tool::Unknown, true)
    );
    assert_eq!(
        of(&[user("go"), call("a"), started, user("on")]).0,
        Cause::ProcessEnded
    );
    assert_eq!(
        of(&[user("go"), call("a"), ended, user("on")]),
        (Cause::OutputLost, Tool::Finished(4), true)
    );
    let wrong = json!({"type": "custom_tool_call_output", "call_id": "a", "output": "x"});
    assert_eq!(
        of(&[user("go"), call("a"), wrong, user("on")]).0,
        Cause::WrongKind
    );
    let rolled = event("thread_rolled_back", &json!({"num_turns": 1}));
    assert_eq!(
        of(&[user("go"), call("a"), aborted, rolled]),
        (Cause::Hidden, Tool::Unknown, false)
    );
    assert_eq!(of(&[user("go"), call("a"), user("on")]).0, Cause::Unknown);
}

#[test]
fn what_a_turn_left_is_answered_once_and_later_turns_are_let_alone() {
    let turn = |id: &str| [user("go"), call(id), output(id), assistant()];
    let mut lines = vec![user("go"), call("a")];
    lines.extend(["b", "c", "d"].iter().flat_map(|id| turn(id)));
    let session = rollout("0.169.0", &lines);
    let run = strategy::run(
        &session,
        strategy::Strategy::PendingAborts,
        &Options::default(),
    );
    assert_eq!(run.verdict, Verdict::Recovered, "{run:?}");
    let injected = run.requests.iter().map(|request| request.injected.len());
    assert_eq!(injected.sum::<usize>(), 1);
}

#[test]
fn a_rolled_back_call_is_only_information() {
    let rolled = event("thread_rolled_back", &json!({"num_turns": 1}));
    let session = rollout(
        "0.100.0",
        &[
            user("a"),
            assistant(),
            user("go"),
            call("a"),
            rolled,
            user("on"),
            assistant(),
        ],
    );
    assert_eq!(
        found(&session),
        (
            Verdict::Clean,
            vec![(Rule::MissingOutput, Severity::Info, 5)]
        )
    );
}

#[test]
fn an_answer_that_contradicts_the_contract_is_an_error_of_its_own() {
    let line = |status: u16, body: Value| {
        let line =
            json!({"request": {"input": [user("go"), call("a")]}, "status": status, "body": body});
        Session::Recording(exchanges::read(line.to_string().as_bytes()).unwrap())
    };
    let body = json!({"object": "response", "id": "resp_1", "status": "completed", "output": []});
    let (verdict, findings) = found(&line(200, body));
    assert_eq!(verdict, Verdict::Disagrees);
    assert!(findings.contains(&(Rule::AnswerDisagrees, Severity::Error, 1)));
    let gateway = json!({"error": {"message": "Unsupported parameter: 'x'", "type": "invalid_request_error", "param": null, "code": null}});
    assert_eq!(found(&line(400, gateway)).0, Verdict::Disagrees);
    let busy = json!({"error": {"message": "slow down", "type": "rate_limit_error"}});
    let (verdict, findings) = found(&line(429, busy));
    assert_eq!(verdict, Verdict::Refused);
    assert!(!findings.iter().any(|it| it.0 == Rule::AnswerDisagrees));
}

#[test]
fn a_request_is_checked_by_its_own_lines() {
    let text = "{\"input\":[\n{\"role\":\"user\",\"content\":\"go\"},\n{\"type\":\"function_call\",\"call_id\":\"a\"}]}";
    let session = Session::Recording(request_file::read(text.as_bytes()).unwrap());
    let checked = check(&session, &Options::default());
    let errors: Vec<&Finding> = checked
        .findings
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].message, "function call a has no output");
}

#[test]
fn values_on_one_line_count_like_lines_of_their_own() {
    let apart = rollout("0.45.0", &[user("go"), call("a"), user("on"), assistant()]);
    let line = |item: &Value| {
        json!({"timestamp": "t", "type": "response_item", "payload": item}).to_string()
    };
    let mut text = json!({"timestamp": "t", "type": "session_meta", "payload": {"id": "t", "cli_version": "0.45.0"}}).to_string();
    text.push('\n');
    text.push_str(&line(&user("go")));
    text.push('\n');
    text.push_str(&line(&call("a")));
    text.push_str(&line(&user("on")));
    text.push('\n');
    text.push_str(&line(&assistant()));
    let glued = Session::Rollout(reader::read(text.as_bytes(), &NoLibrary).unwrap());
    assert_eq!(found(&glued), found(&apart));
    assert_eq!(cause(&glued), cause(&apart));
    assert_eq!(glued.problems().len(), 1);
}

#[test]
fn a_local_shells_own_output_answers_no_function_call() {
    let shell = json!({"type": "local_shell_call_output", "call_id": "a", "output": "x"});
    let body = |input: Vec<Value>| {
        let text = json!({"model": "m", "input": input}).to_string();
        Session::Recording(request_file::read(text.as_bytes()).unwrap())
    };
    let beside = body(vec![user("go"), call("a"), shell.clone(), output("a")]);
    let (verdict, findings) = found(&beside);
    assert_eq!(verdict, Verdict::Refused);
    assert!(
        findings.contains(&(Rule::OrphanOutput, Severity::Error, 1)),
        "{findings:?}"
    );
    let alone = body(vec![user("go"), call("a"), shell]);
    assert_eq!(found(&alone).0, Verdict::Refused);
    assert_eq!(cause(&alone).0, Cause::WrongKind);
}

#[test]
fn a_client_may_leave_out_ids_that_stand_twice() {
    let mut message = user("go");
    message["id"] = "[t]".into();
    let session = rollout("0.169.0", &[message.clone(), message, assistant()]);
    let (verdict, findings) = found(&session);
    assert_eq!(verdict, Verdict::Clean);
    assert!(
        findings.contains(&(Rule::DuplicateItemId, Severity::Warning, 3)),
        "{findings:?}"
    );
}

#[test]
fn a_local_shell_call_without_call_id_is_not_repaired() {
    let call = json!({"type": "local_shell_call", "id": "lsh_1", "call_id": null, "status": "completed", "action": {}});
    let session = rollout("0.169.0", &[user("go"), call, user("on"), assistant()]);
    assert_eq!(found(&session).0, Verdict::Refused);
}

#[test]
fn calls_that_a_compaction_brought_are_open_too() {
    let mut lines = String::new();
    for line in [
        json!({"timestamp": "t", "type": "session_meta", "payload": {"id": "t", "cli_version": "0.169.0"}}),
        json!({"timestamp": "t", "type": "response_item", "payload": user("go")}),
        json!({"timestamp": "t", "type": "response_item", "payload": call("lost")}),
        json!({"timestamp": "t", "type": "compacted", "payload": {"message": "s", "replacement_history": [user("sum"), call("a")]}}),
        json!({"timestamp": "t", "type": "response_item", "payload": output("lost")}),
        json!({"timestamp": "t", "type": "response_item", "payload": user("on")}),
        json!({"timestamp": "t", "type": "response_item", "payload": assistant()}),
    ] {
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    let session = Session::Rollout(reader::read(lines.as_bytes(), &NoLibrary).unwrap());
    let (verdict, findings) = found(&session);
    assert_eq!(verdict, Verdict::Recovered);
    assert!(
        findings.contains(&(Rule::MissingOutput, Severity::Warning, 4)),
        "{findings:?}"
    );
    assert!(
        findings.contains(&(Rule::OrphanOutput, Severity::Warning, 5)),
        "{findings:?}"
    );
}

#[test]
fn reasoning_that_is_not_carried_whole_is_looked_up_where_nothing_is_stored() {
    let judged = |store: bool, sealed: Value| {
        let reasoning =
            json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed});
        let input = [user("go"), reasoning, assistant(), user("on")];
        let text = json!({"model": "m", "store": store, "input": input}).to_string();
        let session = Session::Recording(request_file::read(text.as_bytes()).unwrap());
        found(&session)
    };
    let (verdict, findings) = judged(false, Value::Null);
    assert_eq!(verdict, Verdict::Refused);
    assert!(
        findings.contains(&(Rule::ItemNotFound, Severity::Error, 1)),
        "{findings:?}"
    );
    assert_eq!(judged(false, "x".into()).0, Verdict::Clean);
    assert_eq!(judged(true, Value::Null).0, Verdict::Clean);
}
