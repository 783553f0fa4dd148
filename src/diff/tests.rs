//! Properties of differences, on conversations made up at random, and what single rules promise.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::session::reader;

/// What happens in an exchange.
#[derive(Clone, Debug)]
struct Exchange {
    user: String,
    /// Tool, argument, output.
    calls: Vec<(u8, u8, String)>,
    text: String,
    end: u8,
}

/// How a conversation is spelled.
#[derive(Clone, Copy, Debug)]
struct Spelling {
    ids: u32,
    step: u64,
    piece: usize,
    backwards: bool,
}

const PLAIN: Spelling = Spelling {
    ids: 1,
    step: 10,
    piece: 1000,
    backwards: false,
};

fn frame(event: &Value) -> String {
    format!("data: {event}\n\n")
}

fn recording(exchanges: &[Exchange], how: Spelling) -> String {
    let id = |kind: &str, at: usize, part: usize| format!("{kind}_{:03}x{at}x{part}", how.ids);
    let mut lines = vec![json!({"kind": "session", "format": 1, "id": how.ids.to_string()})];
    let mut at_us = 0;
    let mut history: Vec<Value> = Vec::new();
    let mut push = |mut value: Value| {
        at_us += how.step;
        value["at_us"] = at_us.into();
        lines.push(value);
    };
    for (at, exchange) in exchanges.iter().enumerate() {
        let number = at + 1;
        history.push(json!({"role": "user", "content": exchange.user}));
        push(
            json!({"kind": "request", "exchange": number, "transport": "http", "path": "/v1/responses", "body": {"model": "m", "input": history, "prompt_cache_key": id("thread", 0, 0)}}),
        );
        if exchange.end == 1 {
            push(json!({"kind": "response", "exchange": number, "status": 400}));
            let message = format!(
                "No tool output found for function call {}.",
                id("call", at, 0)
            );
            let body = json!({"error": {"message": message}}).to_string();
            push(json!({"kind": "chunk", "exchange": number, "text": body}));
            push(json!({"kind": "end", "exchange": number, "cause": "complete"}));
            continue;
        }
        push(json!({"kind": "response", "exchange": number, "status": 200}));
        let response = id("resp", at, 0);
        let mut stream = format!(
            "data: {}\n\n",
            json!({"type": "response.created", "response": {"id": response, "created_at": how.step}})
        );
        let mut items = vec![(
            json!({"type": "message", "id": id("msg", at, 0), "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": exchange.text}]}),
            exchange.text.clone(),
            "response.output_text.delta",
        )];
        for (part, (tool, argument, _)) in exchange.calls.iter().enumerate() {
            let arguments = if how.backwards {
                format!("{{\"y\": 1, \"x\":{argument}}}")
            } else {
                format!("{{\"x\":{argument},\"y\":1}}")
            };
            items.push((
                json!({"type": "function_call", "id": id("fc", at, part), "call_id": id("call", at, part), "name": format!("tool{}", tool % 3), "arguments": arguments}),
                arguments,
                "response.function_call_arguments.delta",
            ));
        }
        for (index, (item, text, kind)) in items.iter().enumerate() {
            let begun = json!({"type": item["type"], "id": item["id"], "call_id": item["call_id"], "name": item["name"]});
            stream += &frame(
                &json!({"type": "response.output_item.added", "output_index": index, "item": begun}),
            );
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(how.piece) {
                let piece: String = piece.iter().collect();
                stream += &frame(
                    &json!({"type": kind, "output_index": index, "delta": piece, "obfuscation": how.step.to_string()}),
                );
            }
        }
        let mut done: Vec<usize> = (0..items.len()).collect();
        if how.backwards {
            done.reverse();
            stream += ": keep-alive\n\n";
        }
        for index in done {
            stream += &frame(
                &json!({"type": "response.output_item.done", "output_index": index, "item": items[index].0}),
            );
        }
        if exchange.end != 2 {
            stream += &frame(
                &json!({"type": "response.completed", "response": {"id": response, "usage": {"total_tokens": how.step}}}),
            );
        }
        for chunk in stream.as_bytes().chunks(how.piece * 7) {
            push(
                json!({"kind": "chunk", "exchange": number, "text": String::from_utf8_lossy(chunk)}),
            );
        }
        let cause = if exchange.end == 2 {
            "upstream_closed"
        } else {
            "complete"
        };
        push(json!({"kind": "end", "exchange": number, "cause": cause}));
        history.extend(items.into_iter().map(|(item, _, _)| item));
        let mut outputs: Vec<Value> = exchange
            .calls
            .iter()
            .enumerate()
            .map(|(part, (_, _, output))| json!({"type": "function_call_output", "call_id": id("call", at, part), "output": output}))
            .collect();
        if how.backwards {
            outputs.reverse();
        }
        history.extend(outputs);
    }
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

fn sequence(text: &str) -> Sequence {
    sequence_of(text, &Reading::default())
}

fn sequence_of(text: &str, reading: &Reading) -> Sequence {
    let session = Session::Recording(reader::read(text.as_bytes()).unwrap());
    read(&session, text.as_bytes(), reading).unwrap()
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let call = (0_u8..3, 0_u8..4, "[a-c ]{0,6}");
    (
        "[a-d]{1,3}",
        prop::collection::vec(call, 0..4),
        "[a-z]{0,12}",
        0_u8..8,
    )
        .prop_map(|(user, calls, text, end)| Exchange {
            user,
            calls,
            text,
            end,
        })
}

fn conversation() -> impl Strategy<Value = Vec<Exchange>> {
    prop::collection::vec(exchange(), 1..8)
}

fn told(found: &Difference) -> Vec<(Op, &[Detail])> {
    let changes = found.changes.iter().filter(|it| it.op != Op::Equal);
    changes.map(|it| (it.op, &*it.details)).collect()
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(exchanges in conversation()) {
        let a = sequence(&recording(&exchanges, PLAIN));
        for options in [Options::default(), Options { rules: Rules::strict(), ordered: true, deadline: None }] {
            let found = diff(&a, &a, &options);
            prop_assert!(found.equal, "{:?}", told(&found));
            prop_assert!(found.changes.iter().all(|it| it.op == Op::Equal));
        }
        let raw = Reading { layer: Layer::Bytes, ..Reading::default() };
        let b = sequence_of(&recording(&exchanges, PLAIN), &raw);
        prop_assert!(diff(&b, &b, &Options::default()).equal);
    }

    #[test]
    fn ids_times_and_the_way_it_was_cut_make_no_difference(exchanges in conversation(), ids in 2_u32..900, step in 1_u64..99, piece in 1_usize..9, backwards in any::<bool>()) {
        let other = Spelling { ids, step, piece, backwards };
        let (a, b) = (sequence(&recording(&exchanges, PLAIN)), sequence(&recording(&exchanges, other)));
        let options = Options::default();
        let found = diff(&a, &b, &options);
        prop_assert!(found.equal, "{:?}", told(&found));
        prop_assert_eq!(normalised(&a, &options), normalised(&b, &options));
    }

    #[test]
    fn applied_to_the_left_a_difference_gives_the_right(left in conversation(), mut right in conversation(), keep in 0_usize..8, ordered in any::<bool>()) {
        // parts in common, so that there is something to align
        let shared = left.iter().skip(keep / 2).take(keep).cloned();
        right.splice(0..right.len() / 2, shared);
        let (a, b) = (sequence(&recording(&left, PLAIN)), sequence(&recording(&right, Spelling { ids: 5, ..PLAIN })));
        let options = Options { ordered, ..Options::default() };
        let found = diff(&a, &b, &options);
        prop_assert_eq!(found.apply(&a, &b, &options), found.target(&b, &options));
        let (mut x, mut y) = (0, 0);
        for change in &found.changes {
            prop_assert_eq!((change.left.start, change.right.start), (x, y));
            (x, y) = (change.left.end, change.right.end);
            prop_assert_eq!(change.op == Op::Replace && change.details.is_empty(), false);
        }
        prop_assert_eq!((x as usize, y as usize), (found.left.len(), found.right.len()));
        let back = diff(&b, &a, &options);
        prop_assert_eq!(back.equal, found.equal);
    }
}

fn two_calls() -> Vec<Exchange> {
    let first = Exchange {
        user: "go".into(),
        calls: vec![(0, 1, "one".into()), (1, 2, "two".into())],
        text: "I look.".into(),
        end: 0,
    };
    let second = Exchange {
        user: "on".into(),
        calls: Vec::new(),
        text: "Done.".into(),
        end: 0,
    };
    vec![first, second]
}

#[test]
fn a_changed_output_is_the_one_difference() {
    let mut other = two_calls();
    other[0].calls[1].2 = "three".into();
    let a = sequence(&recording(&two_calls(), PLAIN));
    let b = sequence(&recording(&other, Spelling { ids: 7, ..PLAIN }));
    let found = diff(&a, &b, &Options::default());
    let told = told(&found);
    assert_eq!(told.len(), 1, "{told:?}");
    let (op, [detail]) = told[0] else {
        panic!("{told:?}")
    };
    assert_eq!((op, detail.path.as_str()), (Op::Replace, "output"));
    assert_eq!(
        (detail.left.as_deref(), detail.right.as_deref()),
        (Some("two"), Some("three"))
    );
}

#[test]
fn a_broken_correspondence_is_a_difference() {
    let text = recording(&two_calls(), PLAIN);
    // both outputs under the first call's id
    let line = text
        .lines()
        .position(|line| line.contains("\"exchange\":2") && line.contains("\"body\""))
        .unwrap();
    let swapped: String = text
        .lines()
        .enumerate()
        .map(|(at, it)| {
            let output = r#""call_id":"call_001x0x1","output""#;
            let other = r#""call_id":"call_001x0x0","output""#;
            if at == line {
                it.replace(output, other) + "\n"
            } else {
                format!("{it}\n")
            }
        })
        .collect();
    assert_ne!(text, swapped);
    let (a, b) = (sequence(&text), sequence(&swapped));
    let found = diff(&a, &b, &Options::default());
    let told = told(&found);
    assert!(!told.is_empty());
    let ids: Vec<_> = told
        .iter()
        .flat_map(|(_, details)| *details)
        .filter(|it| matches!(it.kind, Kind::Id { .. }))
        .collect();
    assert_eq!(ids.len(), 1, "{told:?}");
    assert_eq!(ids[0].path, "call_id");
    let Kind::Id { left_is, .. } = &ids[0].kind else {
        panic!("no id")
    };
    assert_eq!(left_is.as_deref(), Some("call_001x0x1"));
}

#[test]
fn pieces_that_do_not_make_the_item_are_told() {
    let text = recording(&two_calls(), PLAIN);
    let torn = text.replacen(r#"\"delta\":\"I look.\""#, r#"\"delta\":\"I lie.\""#, 1);
    assert_ne!(text, torn);
    let found = diff(&sequence(&text), &sequence(&torn), &Options::default());
    let told = told(&found);
    assert!(
        told.len() == 1 && told[0].1[0].path == "streamed",
        "{told:?}"
    );
}

#[test]
fn what_is_set_aside_can_be_kept() {
    let (a, b) = (
        sequence(&recording(&two_calls(), PLAIN)),
        sequence(&recording(&two_calls(), Spelling { step: 11, ..PLAIN })),
    );
    let differs = |path: &str| {
        let mut options = Options::default();
        options.rules.keep(path, false).unwrap();
        !diff(&a, &b, &options).equal
    };
    assert!(diff(&a, &b, &Options::default()).equal);
    assert!(differs("usage") && differs("response.usage.total_tokens"));
    assert!(!differs("headers") && !differs("nulls"));
    let c = sequence(&recording(&two_calls(), Spelling { ids: 3, ..PLAIN }));
    let mut options = Options::default();
    assert!(diff(&a, &c, &options).equal);
    options.rules.keep("ids", false).unwrap();
    assert!(!diff(&a, &c, &options).equal);
}

#[test]
fn what_a_request_leaves_out_is_an_event() {
    let text = recording(&two_calls(), PLAIN);
    let lost: Vec<String> = text
        .lines()
        .map(|line| {
            if !line.contains("\"exchange\":2") || !line.contains("\"body\"") {
                return line.to_owned();
            }
            let mut value: Value = serde_json::from_str(line).unwrap();
            let input = value["body"]["input"].as_array_mut().unwrap();
            input.retain(|it| it["output"] != "two");
            input.swap(0, 1);
            value.to_string()
        })
        .collect();
    let lost = lost.join("\n");
    let found = requests::requests(&sequence(&lost), &Rules::default());
    let whole = requests::requests(&sequence(&text), &Rules::default());
    assert!(
        whole.iter().all(requests::Step::is_as_demanded),
        "{whole:?}"
    );
    assert_eq!(
        (found[1].owed.len(), found[1].dropped.len()),
        (1, 1),
        "{found:?}"
    );
}

#[test]
fn a_deadline_that_is_over_is_said() {
    let a = sequence(&recording(&two_calls(), PLAIN));
    let at = Instant::now();
    let now = move || at;
    let options = Options {
        deadline: Some(Deadline { at, now: &now }),
        ..Options::default()
    };
    assert!(diff(&a, &a, &options).stopped && diff(&a, &a, &options).equal);
}

#[test]
fn processes_are_called_by_numbers_that_may_differ() {
    let text = |number: &str, other: &str| {
        let call = |id: &str, arguments: Value| json!({"type": "function_call", "call_id": id, "name": "write_stdin", "arguments": arguments.to_string()});
        let output = format!(
            "Chunk ID: a\nWall time: 1 seconds\nProcess running with session ID {number}\nOutput:\nx"
        );
        let input = json!([call("call_1", json!({"cmd": "x"})), {"type": "function_call_output", "call_id": "call_1", "output": output},
            call("call_2", json!({"session_id": other.parse::<u32>().unwrap(), "chars": "y"}))]);
        let request = json!({"kind": "request", "exchange": 1, "path": "/v1/responses", "body": {"input": input}});
        sequence(&format!(
            "{}\n{request}\n",
            json!({"kind": "session", "format": 1})
        ))
    };
    let options = Options::default();
    assert!(diff(&text("51", "51"), &text("72", "72"), &options).equal);
    assert!(!diff(&text("51", "51"), &text("72", "73"), &options).equal);
}

#[test]
fn objects_of_very_many_members_cost_no_square() {
    // 60,000 members without a common name: a search for each among all would take minutes in a test build
    let object = |side: &str| {
        let members: Vec<String> = (0..60_000)
            .map(|at| format!(r#""{side}{at}":{at}"#))
            .collect();
        members.join(",")
    };
    let session = |side: &str| {
        let members = object(side);
        let arguments = serde_json::to_string(&format!("{{{members}}}")).unwrap();
        format!(
            "{}\n{{\"kind\":\"request\",\"exchange\":1,\"path\":\"/v1/responses\",\"body\":{{{members},\"input\":[{{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":{arguments}}}]}}}}\n",
            r#"{"kind":"session","format":1}"#
        )
    };
    let (left, right) = (sequence(&session("a")), sequence(&session("b")));
    let found = diff(&left, &right, &Options::default());
    let changed: Vec<_> = found
        .changes
        .iter()
        .filter(|it| it.op == Op::Replace)
        .collect();
    assert_eq!(changed.len(), 2);
    for change in changed {
        assert_eq!(change.details.len() + change.more, 120_000);
    }
}
