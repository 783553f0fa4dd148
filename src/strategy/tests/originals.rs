//! Each strategy as its original behaved; the stories are those of the lab's captures, made small.

use serde_json::{Value, json};

use super::server::sse;
use crate::contract::{Outcome, Policy};
use crate::ids::CallKey;
use crate::rollout::{NoLibrary, reader};
use crate::session::{Session, exchanges};
use crate::strategy::{self, Options, Run, Strategy, Verdict};
use crate::timeline::{self, Cause, Tool};
use crate::wire::item::ItemKind;

/// A request, and the answer's items; how it ended is `completed`, `cut`, or the words of a 400.
fn exchange(request: &Value, response: &str, items: &[Value], end: &str) -> String {
    if !matches!(end, "completed" | "cut") {
        let error = json!({"error": {"message": end, "type": "invalid_request_error", "param": "input", "code": null}});
        return json!({"request": request, "status": 400, "body": error}).to_string();
    }
    let mut events = vec![json!({"type": "response.created", "response": {"id": response}})];
    for (at, item) in items.iter().enumerate() {
        events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
    }
    if end == "completed" {
        events.push(
            json!({"type": "response.completed", "response": {"id": response, "output": []}}),
        );
    }
    json!({"request": request, "status": 200, "body": sse(&events)}).to_string()
}

fn recording(exchanges: &[String]) -> Session {
    Session::Recording(exchanges::read(exchanges.join("\n").as_bytes()).unwrap())
}

fn one_request(items: &[Value]) -> Session {
    let line = json!({"request": {"input": items}, "status": null, "body": ""}).to_string();
    recording(&[line])
}

fn run(session: &Session, strategy: Strategy) -> Run {
    strategy::run(session, strategy, &Options::default())
}

fn run_with(session: &Session, strategy: Strategy, policy: &str) -> Run {
    let options = Options {
        policies: vec![Policy::parse(policy).unwrap()],
        ..Options::default()
    };
    strategy::run(session, strategy, &options)
}

/// What was put into the last request: call id, kind, place.
fn injected<'a>(session: &'a Session, run: &Run) -> Vec<(&'a str, ItemKind, u32)> {
    let items = crate::check::items(session);
    let last = run.requests.last().unwrap();
    last.injected
        .iter()
        .map(|it| (items.call_id(it.call), it.kind, it.position))
        .collect()
}

fn refused_for<'a>(session: &'a Session, run: &Run) -> &'a str {
    let last = run.requests.last().unwrap();
    assert!(last.is_refused(), "{last:?}");
    let call: CallKey = last.refusal.unwrap().call.unwrap();
    crate::check::items(session).call_id(call)
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": text})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "shell", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "hi"})
}

/// Codex 0.8.0: the second stream is interrupted, the next message goes on from the first response.
fn second_stream() -> Session {
    recording(&[
        exchange(
            &json!({"input": [user("go")]}),
            "resp_1",
            &[call("call_OK")],
            "completed",
        ),
        exchange(
            &json!({"previous_response_id": "resp_1", "input": [output("call_OK")]}),
            "resp_2",
            &[],
            "cut",
        ),
        exchange(
            &json!({"previous_response_id": "resp_1", "input": [user("continue")]}),
            "",
            &[],
            "No tool output found for function call call_OK.",
        ),
    ])
}

#[test]
fn the_second_stream_is_not_saved_by_pending_ids() {
    let session = second_stream();
    let none = run(&session, Strategy::None);
    assert_eq!(
        (none.verdict, none.reproduced),
        (Verdict::Refused, Some(true))
    );
    // response.created of the second response cleared the set
    let pending = run(&session, Strategy::PendingIds);
    assert_eq!(injected(&session, &pending), []);
    assert_eq!(refused_for(&session, &pending), "call_OK");
    let whole = run(&session, Strategy::FullHistory);
    assert_eq!(whole.verdict, Verdict::Recovered);
    assert!(whole.score.real_outputs_kept && whole.score.false_statements == 0);
    let by_body = run(&session, Strategy::ErrorBody);
    assert_eq!(by_body.verdict, Verdict::Recovered);
    assert_eq!(
        injected(&session, &by_body),
        [("call_OK", ItemKind::FunctionCallOutput, 0)]
    );
    assert_eq!(by_body.score.false_statements, 1);
    assert!(!by_body.score.real_outputs_kept);
    let open = timeline::open_calls(&session);
    assert_eq!(open.len(), 1);
    assert!(matches!(
        open[0].cause,
        Cause::SentInUnfinishedResponse {
            exchange: Some(2),
            ..
        }
    ));
    assert!(matches!(open[0].tool, Tool::Finished(_)));
}

#[test]
fn pending_ids_save_a_call_of_the_response_that_is_gone_on_from() {
    let session = recording(&[
        exchange(
            &json!({"input": [user("go")]}),
            "resp_1",
            &[call("call_A"), call("call_B")],
            "completed",
        ),
        exchange(
            &json!({"previous_response_id": "resp_1", "input": [output("call_B"), user("continue")]}),
            "",
            &[],
            "No tool output found for function call call_A.",
        ),
    ]);
    let pending = run(&session, Strategy::PendingIds);
    assert_eq!(pending.verdict, Verdict::Recovered);
    // the one that is there already is not added again
    assert_eq!(
        injected(&session, &pending),
        [("call_A", ItemKind::FunctionCallOutput, 0)]
    );
}

#[test]
fn pending_ids_send_outputs_for_a_call_the_server_never_stored() {
    let thread = json!({"thread_id": "t"});
    let before = exchange(
        &json!({"client_metadata": thread, "input": [user("go")]}),
        "resp_1",
        &[call("call_HD")],
        "cut",
    );
    let unrepaired = recording(&[
        before.clone(),
        exchange(
            &json!({"client_metadata": thread, "input": [user("continue")]}),
            "resp_2",
            &[],
            "completed",
        ),
    ]);
    assert_eq!(run(&unrepaired, Strategy::None).verdict, Verdict::Clean);
    let pending = run(&unrepaired, Strategy::PendingIds);
    assert_eq!(
        injected(&unrepaired, &pending),
        [("call_HD", ItemKind::FunctionCallOutput, 0)]
    );
    assert_eq!(refused_for(&unrepaired, &pending), "call_HD");
    // as it was recorded
    let aborted =
        json!({"type": "function_call_output", "call_id": "call_HD", "output": "aborted"});
    let recorded = recording(&[
        before,
        exchange(
            &json!({"client_metadata": thread, "input": [aborted, user("continue")]}),
            "",
            &[],
            "No tool call found for function call output with call_id call_HD.",
        ),
    ]);
    for strategy in [Strategy::None, Strategy::PendingIds] {
        let run = run(&recorded, strategy);
        assert_eq!(
            (run.verdict, run.reproduced),
            (Verdict::Refused, Some(true))
        );
        assert_eq!(injected(&recorded, &run), []);
    }
}

#[test]
fn typescript_answers_finished_calls_again() {
    let session = recording(&[
        exchange(
            &json!({"input": [user("sleep")]}),
            "resp_2",
            &[call("call_OK")],
            "completed",
        ),
        exchange(
            &json!({"previous_response_id": "resp_2", "input": [output("call_OK")]}),
            "resp_3",
            &[call("call_SLEEP")],
            "completed",
        ),
        exchange(
            &json!({"previous_response_id": "resp_3", "input": [user("continue")]}),
            "",
            &[],
            "No tool output found for function call call_SLEEP.",
        ),
    ]);
    let aborts = run(&session, Strategy::PendingAborts);
    assert_eq!(
        injected(&session, &aborts),
        [
            ("call_OK", ItemKind::FunctionCallOutput, 0),
            ("call_SLEEP", ItemKind::FunctionCallOutput, 1)
        ]
    );
    assert_eq!(aborts.score.false_statements, 1);
    let depends: Vec<Policy> = aborts.requests[2]
        .depends_on()
        .iter()
        .map(|it| it.policy)
        .collect();
    assert_eq!(
        (aborts.verdict, depends),
        (Verdict::Depends, vec![Policy::DuplicateOutput])
    );
    let accepted = run_with(&session, Strategy::PendingAborts, "duplicate_output=accept");
    assert_eq!(accepted.verdict, Verdict::Recovered);
}

#[test]
fn history_scan_leaves_local_shell_and_custom_calls_open() {
    let custom = json!({"type": "custom_tool_call", "call_id": "call_K", "input": "x"});
    let shell = json!({"type": "local_shell_call", "call_id": "call_L", "action": {}});
    let session = one_request(&[
        user("go"),
        call("call_F"),
        custom.clone(),
        shell.clone(),
        user("on"),
    ]);
    let scan = run(&session, Strategy::HistoryScan);
    assert_eq!(
        injected(&session, &scan),
        [("call_F", ItemKind::FunctionCallOutput, 0)]
    );
    assert_eq!(refused_for(&session, &scan), "call_K");
    let only_shell = one_request(&[user("go"), shell, user("on")]);
    assert_eq!(
        refused_for(&only_shell, &run(&only_shell, Strategy::HistoryScan)),
        "call_L"
    );
    // 0.45.0 answers both kinds with the output of one
    let session = one_request(&[user("go"), call("call_F"), custom, user("on")]);
    let scan = run(&session, Strategy::HistoryScan045);
    assert_eq!(
        injected(&session, &scan),
        [
            ("call_F", ItemKind::CustomToolCallOutput, 0),
            ("call_K", ItemKind::CustomToolCallOutput, 1)
        ]
    );
    assert_eq!(refused_for(&session, &scan), "call_F");
}

#[test]
fn history_scan_puts_outputs_before_their_calls() {
    let session = one_request(&[user("go"), call("call_F"), user("on")]);
    let scan = run(&session, Strategy::HistoryScan);
    assert_eq!(scan.verdict, Verdict::Depends);
    assert_eq!(
        scan.requests[0].depends_on()[0].policy,
        Policy::OutputBeforeCall
    );
    assert_eq!(
        run_with(&session, Strategy::HistoryScan, "output_before_call=refuse").verdict,
        Verdict::Refused
    );
    assert_eq!(
        run_with(&session, Strategy::HistoryScan, "output_before_call=accept").verdict,
        Verdict::Recovered
    );
}

#[test]
fn pr_1610_knows_one_kind_and_one_form_of_id_and_would_loop() {
    let custom = json!({"type": "custom_tool_call", "call_id": "call_K", "input": "x"});
    for other in [call("toolu_1"), custom] {
        let session = one_request(&[user("go"), other]);
        let seed = run(&session, Strategy::ErrorBody1610);
        assert_eq!(seed.verdict, Verdict::Refused);
        assert_eq!(
            (seed.score.requests_sent, seed.requests[0].loops),
            (1, false)
        );
        let safe = run_with(&session, Strategy::ErrorBody, "output_before_call=accept");
        assert_eq!(
            (safe.verdict, safe.score.requests_sent),
            (Verdict::Recovered, 2)
        );
    }
    let session = one_request(&[user("go"), call("call_F"), call("call_G")]);
    let seed = run_with(
        &session,
        Strategy::ErrorBody1610,
        "output_before_call=refuse",
    );
    assert_eq!(seed.verdict, Verdict::Refused);
    assert!(seed.requests[0].loops && seed.note.unwrap().contains("would loop"));
    let safe = run_with(&session, Strategy::ErrorBody, "output_before_call=refuse");
    assert_eq!(
        (safe.verdict, safe.requests[0].loops),
        (Verdict::Refused, false)
    );
    assert_eq!(safe.note, None);
    let seed = run_with(
        &session,
        Strategy::ErrorBody1610,
        "output_before_call=accept",
    );
    assert_eq!(
        (seed.verdict, seed.score.requests_sent),
        (Verdict::Recovered, 3)
    );
    assert_eq!(injected(&session, &seed).len(), 2);
}

#[test]
fn normalize_puts_each_output_behind_its_call_and_drops_orphans() {
    let session = one_request(&[
        user("go"),
        call("call_FAST"),
        call("call_SLOW1"),
        call("call_SLOW2"),
        output("call_FAST"),
        output("call_LOST"),
        user("on"),
    ]);
    let normalized = run(&session, Strategy::Normalize);
    // call FAST, call SLOW1, out SLOW1, call SLOW2, out SLOW2, out FAST
    assert_eq!(
        injected(&session, &normalized),
        [
            ("call_SLOW1", ItemKind::FunctionCallOutput, 3),
            ("call_SLOW2", ItemKind::FunctionCallOutput, 5)
        ]
    );
    assert_eq!(*normalized.requests[0].removed, [5]);
    assert_eq!(normalized.verdict, Verdict::Recovered);
    assert!(normalized.score.real_outputs_kept);
    assert_eq!(normalized.score.items_lost, 1);
}

#[test]
fn normalize_answers_every_kind_with_its_own() {
    let session = one_request(&[
        user("go"),
        json!({"type": "custom_tool_call", "call_id": "k", "input": "x"}),
        json!({"type": "local_shell_call", "call_id": "l", "action": {}}),
        json!({"type": "tool_search_call", "call_id": "s", "execution": "client"}),
        json!({"type": "tool_search_call", "call_id": "t", "execution": "server"}),
    ]);
    let kinds: Vec<ItemKind> = run(&session, Strategy::Normalize).requests[0]
        .injected
        .iter()
        .map(|it| it.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            ItemKind::CustomToolCallOutput,
            ItemKind::FunctionCallOutput,
            ItemKind::ToolSearchOutput
        ]
    );
}

#[test]
fn drop_turn_keeps_earlier_answers_and_forgets_the_interrupted_one() {
    let session = one_request(&[user("go"), call("a"), output("a"), call("b"), user("on")]);
    let dropped = run(&session, Strategy::DropTurn);
    assert_eq!(dropped.verdict, Verdict::Recovered);
    assert_eq!(*dropped.requests[0].removed, [3]);
    assert!(dropped.score.real_outputs_kept);
    // parallel calls of one answer go together, the finished one's output too
    let session = one_request(&[user("go"), call("a"), call("b"), output("a"), user("on")]);
    let dropped = run(&session, Strategy::DropTurn);
    assert_eq!(*dropped.requests[0].removed, [1, 2, 3]);
    assert_eq!(
        (dropped.score.items_lost, dropped.score.real_outputs_kept),
        (3, false)
    );
}

/// Wraps items into an E4 rollout of a current client.
fn rollout(lines: &[Value]) -> Session {
    let mut text = json!({"timestamp": "t", "ordinal": 0, "type": "session_meta", "payload": {"id": "t", "cli_version": "0.169.0", "history_mode": "paginated"}}).to_string();
    for (at, line) in lines.iter().enumerate() {
        text.push('\n');
        let kind = if line["type"]
            .as_str()
            .is_some_and(|it| it.starts_with("turn_"))
        {
            "event_msg"
        } else {
            "response_item"
        };
        text.push_str(
            &json!({"timestamp": "t", "ordinal": at + 1, "type": kind, "payload": line})
                .to_string(),
        );
    }
    Session::Rollout(reader::read(text.as_bytes(), &NoLibrary).unwrap())
}

#[test]
fn a_killed_tool_is_answered_behind_its_call_and_stays_open_on_disk() {
    // as e_sigkill_tool of 0.169.0
    let session = rollout(&[user("sleep please"), call("call_SLEEP")]);
    let own = run(&session, Strategy::AsClient);
    assert_eq!(
        (own.resolved, own.verdict),
        (Strategy::Normalize, Verdict::Recovered)
    );
    assert_eq!(
        injected(&session, &own),
        [("call_SLEEP", ItemKind::FunctionCallOutput, 2)]
    );
    assert_eq!(own.score.false_statements, 0);
    assert_eq!(run(&session, Strategy::None).verdict, Verdict::Refused);
    let open = timeline::open_calls(&session);
    assert_eq!((open.len(), open[0].cause), (1, Cause::InFlight));
}

#[test]
fn a_chained_file_left_its_output_in_a_request_that_never_completed() {
    // as p_interrupt_second_mid_args of 0.8.0
    let text = [
        json!({"id": "t", "timestamp": "2025-07-20T00:00:00.000Z"}),
        user("go"),
        json!({"record_type": "state", "previous_response_id": "resp_1"}),
        call("call_OK"),
        output("call_OK"),
        json!({"record_type": "state", "previous_response_id": "resp_1"}),
        user("continue"),
    ]
    .map(|line| line.to_string())
    .join("\n");
    let session = Session::Rollout(reader::read(text.as_bytes(), &NoLibrary).unwrap());
    let own = run(&session, Strategy::AsClient);
    assert_eq!(
        (own.resolved, own.verdict),
        (Strategy::PendingIds, Verdict::Refused)
    );
    assert_eq!(refused_for(&session, &own), "call_OK");
    let whole = run(&session, Strategy::FullHistory);
    assert_eq!(whole.requests.last().unwrap().outcome, Outcome::Accepted);
    assert_eq!(whole.score.false_statements, 0);
    let open = timeline::open_calls(&session);
    assert!(matches!(
        open[0].cause,
        Cause::SentInUnfinishedResponse { .. }
    ));
}

#[test]
fn an_output_told_once_stays_told() {
    let text = [
        json!({"id": "t", "timestamp": "2025-07-01T00:00:00.000Z"}),
        user("one"),
        call("call_a"),
        user("two"),
        json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}),
        user("three"),
        json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}),
    ]
    .map(|line| line.to_string())
    .join("\n");
    let session = Session::Rollout(reader::read(text.as_bytes(), &NoLibrary).unwrap());
    let own = run(&session, Strategy::AsClient);
    assert_eq!(
        (own.resolved, own.verdict),
        (Strategy::PendingIds, Verdict::Recovered)
    );
    let added: Vec<usize> = own.requests.iter().map(|it| it.injected.len()).collect();
    assert_eq!(added, [0, 1, 0, 0]);
}

#[test]
fn a_tool_that_answered_is_not_answered_again_by_a_chained_client() {
    let text = [
        json!({"id": "t", "timestamp": "2025-07-01T00:00:00.000Z"}),
        user("one"),
        call("call_a"),
        call("call_b"),
        output("call_b"),
        output("call_a"),
        json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}),
    ]
    .map(|line| line.to_string())
    .join("\n");
    let session = Session::Rollout(reader::read(text.as_bytes(), &NoLibrary).unwrap());
    let own = run(&session, Strategy::AsClient);
    assert_eq!(
        (own.resolved, own.verdict),
        (Strategy::PendingIds, Verdict::Clean)
    );
    assert_eq!(own.score.false_statements, 0);
}

/// A client that goes on from a response that is not on file is refused for a call of that response.
#[test]
fn who_answers_the_call_that_a_400_names_is_not_said_to_be_refused_again() {
    let refused = |id: &str, words: &str| {
        let request = json!({"previous_response_id": "resp_before", "input": [{"role": "user", "content": "go on"}]});
        let end = format!("No tool output found for {words} {id}.");
        recording(&[exchange(&request, "", &[], &end)])
    };
    let verdict = |session: &Session, way: Strategy| run(session, way).verdict;
    let plain = refused("call_x", "function call");
    assert_eq!(verdict(&plain, Strategy::None), Verdict::Refused);
    assert_eq!(verdict(&plain, Strategy::ErrorBody), Verdict::CannotTell);
    assert_eq!(
        verdict(&plain, Strategy::ErrorBody1610),
        Verdict::CannotTell
    );
    // PR #1610 answers neither other ids nor other kinds
    let other_id = refused("toolu_x", "function call");
    assert_eq!(verdict(&other_id, Strategy::ErrorBody), Verdict::CannotTell);
    assert_eq!(
        verdict(&other_id, Strategy::ErrorBody1610),
        Verdict::Refused
    );
    let custom = refused("call_x", "custom tool call");
    assert_eq!(verdict(&custom, Strategy::ErrorBody), Verdict::CannotTell);
    assert_eq!(verdict(&custom, Strategy::ErrorBody1610), Verdict::Refused);
}
