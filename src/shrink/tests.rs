use std::io::Cursor;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::rollout::{NoLibrary, reader};
use crate::session::Session;
use crate::strategy::{Options, Strategy as Way};

fn session(text: &str) -> Session {
    Session::Rollout(reader::read(Cursor::new(text.as_bytes()), &NoLibrary).unwrap())
}

fn oracle(text: &str) -> Result<Contract<'static>, NoRefusal> {
    Contract::of(
        &session(text),
        Some(Way::None),
        &Options::default(),
        Same::Rule,
        &NoLibrary,
    )
}

fn rollout(items: &[Value]) -> String {
    let meta = json!({"timestamp":"2026-01-01T00:00:00.000Z","ordinal":0,"type":"session_meta","payload":{"id":"t","timestamp":"2026-01-01T00:00:00.000Z",
        "cwd":"/","originator":"o","cli_version":"0.169.0","history_mode":"paginated","base_instructions":{"text":"long ".repeat(50)}}});
    let mut lines = vec![meta.to_string()];
    lines.extend(items.iter().enumerate().map(|(at, item)| {
        json!({"timestamp":"2026-01-01T00:00:00.000Z","ordinal":at + 1,"type":"response_item","payload":item}).to_string()
    }));
    lines.join("\n") + "\n"
}

fn message(role: &str, text: &str) -> Value {
    json!({"type":"message","role":role,"content":[{"type":"input_text","text":text}]})
}

fn call(id: &str) -> Value {
    json!({"type":"function_call","name":"shell","arguments":"{\"cmd\":\"ls -l\"}","call_id":id,"id":format!("fc_{id}")})
}

fn output(id: &str) -> Value {
    json!({"type":"function_call_output","call_id":id,"output":"a long output"})
}

#[test]
fn a_long_session_comes_down_to_the_call_and_what_made_the_request() {
    let mut items = vec![message("user", "go")];
    for n in 0..40 {
        items.push(call(&format!("c{n}")));
        if n != 17 {
            items.push(output(&format!("c{n}")));
        }
        items.push(message("assistant", "fine, next"));
    }
    let text = rollout(&items);
    let mut contract = oracle(&text).unwrap();
    let small = shrink(&text, &mut contract, Limits::default()).unwrap();
    assert!(small.minimal);
    assert_eq!(small.text.lines().count(), 2, "{}", small.text);
    assert!(
        small.text.contains("c17")
            && !small.text.contains("ls -l")
            && !small.text.contains("long ")
    );
    assert!(is_minimal(&small.text, &mut contract));
    assert_eq!(small.kept.len(), 1);
    assert_eq!(small.kept[0].part, "function_call c17");
    let again = shrink(&text, &mut contract, Limits::default()).unwrap();
    assert_eq!(again.text, small.text);
}

#[test]
fn a_session_that_nothing_refuses_is_said_to_be_so() {
    let none = oracle(&rollout(&[message("user", "go"), call("a"), output("a")])).unwrap_err();
    assert_eq!(none.tried, [(Way::None, crate::strategy::Verdict::Clean)]);
}

#[test]
fn no_output_is_taken_from_a_call_that_had_one() {
    let text = rollout(&[
        message("user", "go"),
        output("gone"),
        call("a"),
        output("a"),
        message("assistant", "x"),
    ]);
    let mut contract = oracle(&text).unwrap();
    let small = shrink(&text, &mut contract, Limits::default()).unwrap();
    assert!(
        small.text.contains("gone") && !small.text.contains("\"a\""),
        "{}",
        small.text
    );
}

#[test]
fn a_request_body_is_shrunk_too() {
    let body = json!({"model":"m","instructions":"be good","tools":[{"type":"function","name":"x","parameters":{}}],
        "input":[message("user", "hello there"), call("a"), message("user", "more")]});
    let text = serde_json::to_string_pretty(&body).unwrap();
    let read = crate::session::request_file::read(Cursor::new(text.as_bytes())).unwrap();
    let mut contract = Contract::of(
        &Session::Recording(read),
        None,
        &Options::default(),
        Same::Call,
        &NoLibrary,
    )
    .unwrap();
    let small = shrink(&text, &mut contract, Limits::default()).unwrap();
    let value: Value = serde_json::from_str(&small.text).unwrap();
    assert_eq!(
        value,
        json!({"model":"m","input":[{"type":"function_call","name":"shell","arguments":"{}","call_id":"a"}]})
    );
    assert!(is_minimal(&small.text, &mut contract));
}

fn any_item() -> impl Strategy<Value = Value> {
    (0..6_u8, 0..5_u8).prop_map(|(kind, id)| {
        let id = format!("c{id}");
        match kind {
            0 => message("user", "some words"),
            1 => message("assistant", "other words"),
            2 | 3 => call(&id),
            _ => output(&id),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is refused comes down to something that is refused alike and from which nothing can go.
    #[test]
    fn results_are_refused_alike_and_minimal(items in proptest::collection::vec(any_item(), 0..30)) {
        let text = rollout(&items);
        if let Ok(mut contract) = oracle(&text) {
            let small = shrink(&text, &mut contract, Limits::default()).unwrap();
            prop_assert!(small.minimal && small.text.len() <= text.len());
            prop_assert_eq!(contract.judge(&small.text), Answer::Same);
            prop_assert!(is_minimal(&small.text, &mut contract), "{}\n->\n{}", text, small.text);
        }
    }
}
