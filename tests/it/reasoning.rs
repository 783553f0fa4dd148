//! An item that a stored response made behind a reasoning item, sent again with and without that reasoning.

use serde_json::{Value, json};

use crate::support::Sandbox;

const MESSAGE: &str = "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.";

fn call() -> Value {
    json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell", "arguments": "{}"})
}

fn reasoning() -> Value {
    json!({"type": "reasoning", "id": "rs_1", "summary": []})
}

/// A recording of two requests; the second sends `middle` between the user's message and the output.
fn session(store: bool, middle: &[Value], status: u16, answer: &str) -> String {
    let user = json!({"role": "user", "content": "go"});
    let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "ok"});
    let mut second = vec![user.clone()];
    second.extend_from_slice(middle);
    second.push(output);
    let made = [reasoning(), call()];
    let mut lines = vec![
        json!({"kind": "session", "format": 1, "id": "s", "created_at": "2026-11-20T20:00:00.000Z", "recorder": "by hand"}),
    ];
    let mut exchange = |number: u32, input: &[Value], status: u16, text: String| {
        let body = json!({"model": "m", "stream": true, "store": store, "input": input});
        lines.push(json!({"kind": "request", "exchange": number, "at_us": number, "transport": "http", "http": "1.1", "method": "POST", "path": "/v1/responses", "headers": [], "body": body}));
        lines.push(json!({"kind": "response", "exchange": number, "at_us": number, "status": status, "headers": []}));
        lines.push(json!({"kind": "chunk", "exchange": number, "at_us": number, "text": text}));
        lines
            .push(json!({"kind": "end", "exchange": number, "at_us": number, "cause": "complete"}));
    };
    exchange(1, &[user], 200, stream("resp_1", &made));
    let answer = if status == 200 {
        stream("resp_2", &[])
    } else {
        answer.to_owned()
    };
    exchange(2, &second, status, answer);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn stream(id: &str, items: &[Value]) -> String {
    let mut events = vec![json!({"type": "response.created", "response": {"id": id}})];
    for (index, item) in items.iter().enumerate() {
        events.push(
            json!({"type": "response.output_item.done", "output_index": index, "item": item}),
        );
    }
    events.push(json!({"type": "response.completed", "response": {"id": id, "output": items}}));
    events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

fn refusal() -> String {
    json!({"error": {"message": MESSAGE, "type": "invalid_request_error", "param": "input", "code": null}}).to_string()
}

fn run(text: &str) -> (Value, Value) {
    let sandbox = Sandbox::new();
    let path = sandbox.write("session.jsonl", text);
    let path = path.to_str().unwrap();
    let replay = sandbox.run(&[path, "--format", "json"]).json();
    let check = sandbox.run(&["check", path, "--format", "json"]).json();
    (
        replay["sessions"][0]["runs"][0].clone(),
        check["findings"].clone(),
    )
}

#[test]
fn the_refusal_is_reproduced_with_both_ids() {
    let (run, findings) = run(&session(true, &[call()], 400, &refusal()));
    assert_eq!(run["verdict"], "refused");
    assert_eq!(run["reproduced"], true);
    assert_eq!(run["requests"][1]["refusal"]["message"], MESSAGE);
    assert_eq!(findings[0]["rule"], "item_without_reasoning");
    assert_eq!(findings[0]["severity"], "error");
}

#[test]
fn where_no_answer_tells_it_depends() {
    let (run, _) = run(&session(true, &[call()], 500, "down"));
    assert_eq!(run["verdict"], "depends");
    assert_eq!(
        run["requests"][1]["depends_on"][0]["policy"],
        "reasoning_pairs"
    );
}

#[test]
fn a_server_that_accepts_it_is_believed() {
    let (run, findings) = run(&session(true, &[call()], 200, ""));
    assert_eq!(run["verdict"], "clean");
    assert_eq!(run["settled"]["reasoning_pairs"], "accept");
    assert_eq!(findings, json!([]));
}

#[test]
fn what_is_whole_or_unnamed_or_unstored_owes_nothing() {
    let mut unnamed = call();
    unnamed.as_object_mut().unwrap().remove("id");
    for (store, middle) in [(true, vec![reasoning(), call()]), (true, vec![unnamed])] {
        let (run, _) = run(&session(store, &middle, 500, "down"));
        assert_eq!(run["verdict"], "clean", "{middle:?}");
    }
    let (run, _) = run(&session(false, &[call()], 500, "down"));
    assert_eq!(run["verdict"], "clean");
}
