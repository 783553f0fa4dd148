//! Every refusal of the reference through a whole request, and the rules against a judge of another make.

mod against_naive;
pub(crate) mod naive;

use serde_json::{Value, json};

use super::{Place, Policy, refusal};
use crate::session::{Recording, Session, request_file};
use crate::strategy::{self, Judged, Options, Strategy, Verdict};
use crate::wire::refusal::{Refusal, RefusalKind};

/// Runs one body as it stands, under `--policy` choices.
fn run(body: &Value, policies: &[&str]) -> (Recording, Judged, Verdict) {
    let text = body.to_string();
    let recording = request_file::read(text.as_bytes()).unwrap();
    let policies = policies.iter().map(|it| Policy::parse(it).unwrap());
    let options = Options {
        policies: policies.collect(),
        ..Options::default()
    };
    let session = Session::Recording(recording.clone());
    let run = strategy::run(&session, Strategy::None, &options);
    let [judged] = &run.requests[..] else {
        panic!("{:?}", run.requests)
    };
    (recording, judged.clone(), run.verdict)
}

/// The refusal in the API's words; items of one spelling are one item.
fn words(recording: &Recording, body: &Value, judged: &Judged) -> Option<Refusal> {
    let mut texts: Vec<&Value> = Vec::new();
    for item in body["input"].as_array().unwrap() {
        if !texts.contains(&item) {
            texts.push(item);
        }
    }
    let id_text = |place: &Place| match place {
        Place::Item(index) | Place::Led { item: index, .. } => {
            Some(texts.get(index.0 as usize)?["id"].as_str()?.to_owned())
        }
        Place::Response(key) => {
            Some(String::from_utf8_lossy(recording.responses.text(key.0)).into_owned())
        }
    };
    Some(refusal(&judged.refusal?, &recording.items, &id_text))
}

fn body(items: &[Value]) -> Value {
    json!({"model": "m", "input": items})
}

fn user() -> Value {
    json!({"type": "message", "role": "user", "content": "go"})
}

fn call(kind: &str, id: &str) -> Value {
    match kind {
        "tool_search_call" => json!({"type": kind, "call_id": id, "execution": "client"}),
        "mcp_approval_request" => json!({"type": kind, "id": id}),
        _ => json!({"type": kind, "call_id": id, "name": "t"}),
    }
}

fn output(kind: &str, id: &str) -> Value {
    match kind {
        "tool_search_output" => json!({"type": kind, "call_id": id, "execution": "client"}),
        "mcp_approval_response" => json!({"type": kind, "approval_request_id": id}),
        _ => json!({"type": kind, "call_id": id, "output": "ok"}),
    }
}

#[track_caller]
fn refuses(items: &[Value], policies: &[&str], kind: RefusalKind, message: &str) -> Refusal {
    let body = body(items);
    let (recording, judged, verdict) = run(&body, policies);
    assert!(judged.is_refused(), "{body} {:?}", judged.outcome);
    assert_eq!(verdict, Verdict::Refused);
    let found = words(&recording, &body, &judged).unwrap();
    assert_eq!((found.kind, found.message.as_str()), (kind, message));
    found
}

#[track_caller]
fn accepts(items: &[Value], policies: &[&str]) {
    let (_, judged, verdict) = run(&body(items), policies);
    assert_eq!(
        (verdict, judged.refusal),
        (Verdict::Clean, None),
        "{items:?}"
    );
}

/// The request is accepted in some worlds only, and these policies decide; each of them fixed decides alone.
#[track_caller]
fn depends(items: &[Value], policy: Policy, kind: RefusalKind) {
    let (_, judged, verdict) = run(&body(items), &[]);
    assert_eq!(verdict, Verdict::Depends, "{:?}", judged.outcome);
    let on: Vec<Policy> = judged.depends_on().iter().map(|it| it.policy).collect();
    assert_eq!(on, [policy]);
    for (value, accepted) in &judged.depends_on()[0].values {
        assert_eq!(*accepted, *value == "accept", "{value}");
    }
    accepts(items, &[&format!("{}=accept", policy.name())]);
    let (_, judged, _) = run(&body(items), &[&format!("{}=refuse", policy.name())]);
    assert!(judged.is_refused());
    assert_eq!(judged.refusal.unwrap().kind, kind);
}

const KINDS: [(&str, &str, &str); 6] = [
    ("function_call", "function_call_output", "function call"),
    (
        "custom_tool_call",
        "custom_tool_call_output",
        "custom tool call",
    ),
    ("computer_call", "computer_call_output", "computer call"),
    ("shell_call", "shell_call_output", "shell call"),
    (
        "apply_patch_call",
        "apply_patch_call_output",
        "apply patch call",
    ),
    ("tool_search_call", "tool_search_output", "tool search call"),
];

#[test]
fn e1_to_e7_a_call_without_output() {
    for (kind, answer, words) in KINDS {
        let found = refuses(
            &[user(), call(kind, "call_X")],
            &[],
            RefusalKind::MissingOutput,
            &format!("No tool output found for {words} call_X."),
        );
        assert_eq!(
            (found.status, found.param.as_deref(), found.code),
            (400, Some("input"), None)
        );
        accepts(
            &[user(), call(kind, "call_X"), output(answer, "call_X")],
            &[],
        );
    }
    refuses(
        &[user(), call("local_shell_call", "call_X")],
        &[],
        RefusalKind::MissingOutput,
        "No tool output found for local shell call call_X.",
    );
}

#[test]
fn a_missing_output_has_the_body_of_the_reference() {
    let body = body(&[user(), call("function_call", "call_X")]);
    let (recording, judged, _) = run(&body, &[]);
    let found = words(&recording, &body, &judged).unwrap();
    assert_eq!(
        found.body(),
        r#"{
  "error": {
    "message": "No tool output found for function call call_X.",
    "type": "invalid_request_error",
    "param": "input",
    "code": null
  }
}"#
    );
    assert_eq!(
        found.frame(),
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"No tool output found for function call call_X.","param":"input"},"status":400}"#
    );
}

#[test]
fn e11_and_e12_an_output_without_call() {
    for (_, answer, words) in KINDS {
        let words = if answer == "tool_search_output" {
            words.replace("call", "output")
        } else {
            format!("{words} output")
        };
        let found = refuses(
            &[user(), output(answer, "call_X")],
            &[],
            RefusalKind::OrphanOutput,
            &format!("No tool call found for {words} with call_id call_X."),
        );
        assert_eq!(found.param.as_deref(), Some("input"));
    }
}

#[test]
fn kinds_must_match() {
    let items = [
        user(),
        call("custom_tool_call", "c"),
        output("function_call_output", "c"),
    ];
    refuses(
        &items,
        &[],
        RefusalKind::MissingOutput,
        "No tool output found for custom tool call c.",
    );
    refuses(
        &items,
        &["fault_order=orphan_first"],
        RefusalKind::OrphanOutput,
        "No tool call found for function call output with call_id c.",
    );
}

#[test]
fn both_faults_are_refused_in_every_world_and_the_order_is_a_policy() {
    let items = [
        output("function_call_output", "lost"),
        user(),
        call("function_call", "open"),
    ];
    let (_, judged, _) = run(&body(&items), &[]);
    assert_eq!(judged.depends_on(), []);
    for (policy, message) in [
        (
            "fault_order=open_first",
            "No tool output found for function call open.",
        ),
        (
            "fault_order=orphan_first",
            "No tool call found for function call output with call_id lost.",
        ),
    ] {
        let kind = if message.contains("output found") {
            RefusalKind::MissingOutput
        } else {
            RefusalKind::OrphanOutput
        };
        refuses(&items, &[policy], kind, message);
    }
}

#[test]
fn of_several_open_calls_the_policy_names_one() {
    let items = [
        user(),
        call("function_call", "a"),
        call("custom_tool_call", "b"),
        call("function_call", "c"),
        output("custom_tool_call_output", "b"),
    ];
    let kind = RefusalKind::MissingOutput;
    let first = "No tool output found for function call a.";
    refuses(&items, &[], kind, first);
    refuses(&items, &["missing_id_choice=first"], kind, first);
    let last = "No tool output found for function call c.";
    refuses(&items, &["missing_id_choice=last"], kind, last);
}

#[test]
fn e14_the_same_item_id_twice() {
    let message = json!({"type": "message", "role": "assistant", "id": "msg_1", "content": "x"});
    let found = refuses(
        &[message.clone(), user(), message],
        &[],
        RefusalKind::DuplicateItem,
        "Duplicate item found with id msg_1. Remove duplicate items from your input and try again.",
    );
    assert_eq!(found.param.as_deref(), Some("input"));
    // a reference is no second item
    let item = json!({"type": "message", "role": "user", "id": "msg_2", "content": "x"});
    accepts(&[item, user()], &[]);
}

#[test]
fn e15_reasoning_without_what_it_led_to() {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    for items in [
        vec![user(), reasoning.clone()],
        vec![user(), reasoning.clone(), user()],
    ] {
        depends(
            &items,
            Policy::ReasoningPairs,
            RefusalKind::ReasoningWithoutFollower,
        );
        refuses(
            &items,
            &["reasoning_pairs=refuse"],
            RefusalKind::ReasoningWithoutFollower,
            "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        );
    }
    accepts(
        &[
            user(),
            reasoning,
            call("function_call", "a"),
            output("function_call_output", "a"),
        ],
        &[],
    );
    accepts(
        &[user(), json!({"type": "reasoning", "summary": []}), user()],
        &[],
    );
}

#[test]
fn e19_and_e17_what_the_session_never_saw_is_unknown() {
    let asked = json!({"model": "m", "previous_response_id": "resp_1", "input": [user()]});
    let (_, judged, verdict) = run(&asked, &[]);
    assert_eq!(judged.outcome, super::Outcome::Unknown);
    assert_eq!(verdict, Verdict::CannotTell);
    let reference = json!({"type": "item_reference", "id": "fc_1"});
    let (_, judged, _) = run(&body(&[user(), reference]), &[]);
    assert_eq!(judged.outcome, super::Outcome::Unknown);
}

#[test]
fn outputs_for_calls_that_only_the_server_knows_are_unknown() {
    let answer = output("function_call_output", "a");
    let reference = json!({"type": "item_reference", "id": "fc_1"});
    for asked in [
        json!({"previous_response_id": "resp_1", "input": [answer]}),
        json!({"conversation": "conv_1", "input": [answer, user()]}),
        json!({"input": [user(), reference, answer]}),
        json!({"input": [user(), {"type": "reasoning", "id": "rs_1"}, reference, answer]}),
        json!({"input": [user(), call("function_call", "a"), reference]}),
    ] {
        let (_, judged, _) = run(&asked, &[]);
        assert_eq!(judged.outcome, super::Outcome::Unknown, "{asked}");
    }
    // whatever the server holds, nothing there answers a call that is new in this request
    let asked = json!({"previous_response_id": "resp_1", "input": [call("function_call", "a")]});
    let (_, judged, _) = run(&asked, &[]);
    assert!(judged.is_refused(), "{:?}", judged.outcome);
}

#[test]
fn e21_an_item_id_with_a_wrong_prefix() {
    for (item, prefix) in [
        (
            json!({"type": "function_call", "id": "call_1", "call_id": "a"}),
            "fc",
        ),
        (
            json!({"type": "custom_tool_call", "id": "call_1", "call_id": "a"}),
            "ctc",
        ),
        (
            json!({"type": "message", "role": "user", "id": "call_1", "content": "x"}),
            "msg",
        ),
        (json!({"type": "reasoning", "id": "call_1"}), "rs"),
        (json!({"type": "web_search_call", "id": "call_1"}), "ws"),
    ] {
        let found = refuses(
            &[user(), item],
            &[],
            RefusalKind::BadItemId,
            &format!(
                "Invalid 'input[1].id': 'call_1'. Expected an ID that begins with '{prefix}'."
            ),
        );
        assert_eq!(
            (found.param.as_deref(), found.code),
            (Some("input[1].id"), Some("invalid_value"))
        );
    }
}

#[test]
fn e22_a_call_id_that_is_too_long() {
    let long = "é".repeat(65);
    let found = refuses(
        &[user(), call("function_call", &long)],
        &[],
        RefusalKind::CallIdTooLong,
        "Invalid 'input[1].call_id': string too long. Expected a string with maximum length 64, but got a string with length 65 instead.",
    );
    assert_eq!(
        (found.param.as_deref(), found.code),
        (Some("input[1].call_id"), Some("string_above_max_length"))
    );
    let fit = "x".repeat(64);
    accepts(
        &[
            user(),
            call("function_call", &fit),
            output("function_call_output", &fit),
        ],
        &[],
    );
}

#[test]
fn form_comes_before_duplicates_before_pairs_before_reasoning() {
    let bad = json!({"type": "message", "role": "assistant", "id": "x_1", "content": "x"});
    let twice = json!({"type": "message", "role": "assistant", "id": "msg_1", "content": "x"});
    let reasoning = json!({"type": "reasoning", "id": "rs_1"});
    let open = call("function_call", "a");
    let all = [user(), open, reasoning, user(), twice.clone(), twice, bad];
    let kinds = [
        RefusalKind::BadItemId,
        RefusalKind::DuplicateItem,
        RefusalKind::MissingOutput,
    ];
    for (dropped, kind) in kinds.into_iter().enumerate() {
        let items = &all[..all.len() - dropped];
        let (_, judged, _) = run(&body(items), &[]);
        assert_eq!(judged.refusal.unwrap().kind, kind);
        assert!(judged.is_refused());
    }
}

#[test]
fn an_output_before_its_call_depends() {
    let items = [
        output("function_call_output", "a"),
        user(),
        call("function_call", "a"),
    ];
    depends(&items, Policy::OutputBeforeCall, RefusalKind::MissingOutput);
    refuses(
        &items,
        &["output_before_call=refuse"],
        RefusalKind::MissingOutput,
        "No tool output found for function call a.",
    );
}

#[test]
fn duplicates_depend() {
    let (a, out) = (
        call("function_call", "a"),
        output("function_call_output", "a"),
    );
    depends(
        &[user(), a.clone(), out.clone(), out.clone()],
        Policy::DuplicateOutput,
        RefusalKind::DuplicateOutput,
    );
    depends(
        &[user(), a.clone(), a, out.clone(), out],
        Policy::DuplicateCall,
        RefusalKind::DuplicateCall,
    );
}

#[test]
fn an_unanswered_approval_depends() {
    let items = [user(), call("mcp_approval_request", "mcpr_1")];
    depends(
        &items,
        Policy::UnansweredApproval,
        RefusalKind::MissingOutput,
    );
    let answer = output("mcp_approval_response", "mcpr_1");
    accepts(&[user(), items[1].clone(), answer], &[]);
}

#[test]
fn what_is_in_order_is_accepted() {
    let (a, b) = (call("function_call", "a"), call("custom_tool_call", "b"));
    let (out_a, out_b) = (
        output("function_call_output", "a"),
        output("custom_tool_call_output", "b"),
    );
    let assistant = json!({"type": "message", "role": "assistant", "content": "wait"});
    for items in [
        vec![user()],
        vec![user(), a.clone(), b.clone(), out_b.clone(), out_a.clone()],
        vec![
            user(),
            a.clone(),
            assistant,
            user(),
            out_a.clone(),
            b,
            user(),
            out_b,
        ],
        vec![
            user(),
            json!({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
        ],
        vec![
            user(),
            json!({"type": "mcp_call", "id": "mcp_1"}),
            json!({"type": "mcp_list_tools", "id": "mcpl_1"}),
        ],
        vec![
            user(),
            json!({"type": "tool_search_call", "call_id": "s", "execution": "server"}),
            json!({"type": "tool_search_output", "call_id": null, "execution": "server"}),
        ],
        vec![
            user(),
            a.clone(),
            json!({"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "x"}]}),
        ],
        vec![
            user(),
            json!({"type": "function_call_output", "name": "host", "namespace": "n", "output": "injected"}),
        ],
        vec![
            user(),
            call("local_shell_call", "l"),
            output("function_call_output", "l"),
        ],
        vec![
            user(),
            json!({"type": "local_shell_call", "call_id": null, "id": "lsh_1"}),
            json!({"type": "local_shell_call_output", "id": "lsh_1"}),
        ],
        vec![
            user(),
            json!({"type": "program", "call_id": "p"}),
            json!({"type": "brand_new", "call_id": "q"}),
        ],
        // equal ids of different kinds are strangers
        vec![
            user(),
            a,
            call("shell_call", "a"),
            output("shell_call_output", "a"),
            out_a,
        ],
    ] {
        accepts(&items, &[]);
    }
    let (_, _, verdict) = run(&json!({"input": "hi"}), &[]);
    assert_eq!(verdict, Verdict::Clean);
}
