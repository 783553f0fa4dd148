use super::*;
use crate::wire::event::{ResponseFold, Terminal};
use crate::wire::request::RequestHead;
use crate::wire::sse::{Mode, frames};
use serde_json::{Value, json};

fn answer(items: &Value) -> Answer {
    Answer {
        items: items
            .as_array()
            .unwrap()
            .iter()
            .map(|it| super::super::answer::complete(it.as_object().unwrap()).unwrap())
            .collect(),
        ..Answer::text("")
    }
}

fn completed(mut answer: Answer, rules: Rules) -> Frames {
    if answer.end == Status::InProgress {
        answer.end = Status::Completed;
    }
    let head = RequestHead::read(r#"{"model":"m","input":"x"}"#).unwrap();
    let echo = Echo::new("resp_1".into(), 1, &head, 20, rules.profile);
    Template::new(&answer, true).render(&echo, &mut Ids::new(7), &rules, 2)
}

fn events(found: &Frames) -> Vec<Value> {
    (0..found.ends.len())
        .map(|at| serde_json::from_slice(&found.data(at)).unwrap())
        .collect()
}

#[test]
fn every_kind_of_item_folds_to_what_it_was() {
    let items = json!([
        {"type":"reasoning","text":"let me think about it"},
        {"type":"message","text":"Hello there, this is a text with äöü and more than a few words."},
        {"type":"message","refusal":"I will not."},
        {"type":"function_call","name":"shell","arguments":{"cmd":"echo hi"}},
        {"type":"custom_tool_call","name":"apply_patch","input":"*** Begin"},
        {"type":"local_shell_call","command":["ls"]},
        {"type":"web_search_call","action":{"type":"search","query":"q"}},
        {"type":"computer_call","action":{"type":"screenshot"}},
        {"type":"something_new","x":1},
    ]);
    for deltas in [None, Some(1), Some(5)] {
        let mut made = answer(&items);
        made.deltas = deltas;
        let found = completed(made, Rules::default());
        let cut = frames(&found.bytes, Mode::Strict);
        assert_eq!(cut.len(), found.ends.len());
        let mut fold = ResponseFold::default();
        for (at, frame) in cut.iter().enumerate() {
            assert!(frame.whole);
            let data = frame.data.as_deref().unwrap();
            assert_eq!(data.as_bytes(), &found.data(at)[..]);
            assert_eq!(frame.event.as_deref(), Some(found.kind(at).as_str()));
            fold.data(data);
        }
        assert_eq!(fold.terminal, Some(Terminal::Completed));
        assert!(!fold.bad_sequence && fold.half.is_empty());
        let done: Vec<&str> = fold.done.iter().map(|it| it.raw.as_ref()).collect();
        let made: Vec<&str> = found.items.iter().map(|it| it.raw.as_str()).collect();
        assert_eq!(done, made);
        let whole: Value = serde_json::from_slice(&found.object).unwrap();
        let output = whole["output"].as_array().unwrap();
        let raws: Vec<String> = output.iter().map(Value::to_string).collect();
        assert_eq!(raws, made);
        // deltas add up to the text
        let mut texts = std::collections::BTreeMap::<(String, String), String>::new();
        for event in events(&found) {
            let kind = event["type"].as_str().unwrap().to_owned();
            let item = event["item_id"].as_str().unwrap_or("").to_owned();
            if let Some(name) = kind.strip_suffix(".delta") {
                assert!(event["obfuscation"].is_string());
                texts
                    .entry((item, name.to_owned()))
                    .or_default()
                    .push_str(event["delta"].as_str().unwrap());
            } else if let Some(name) = kind.strip_suffix(".done")
                && let Some(text) = texts.get(&(item, name.to_owned()))
            {
                let said = ["text", "arguments", "input", "refusal"]
                    .into_iter()
                    .find_map(|key| event[key].as_str());
                assert_eq!(said, Some(text.as_str()), "{event}");
            }
        }
    }
}

#[test]
fn ids_are_made_once_per_response_and_are_the_same_in_all_events() {
    let template = Template::new(
        &answer(&json!([{"type":"function_call","name":"f"},{"type":"message","text":"x"}])),
        false,
    );
    let head = RequestHead::read("{}").unwrap();
    let echo = Echo::new("resp_1".into(), 1, &head, 2, Profile::Full);
    let mut ids = Ids::new(1);
    let first = template.render(&echo, &mut ids, &Rules::default(), 1);
    let second = template.render(&echo, &mut ids, &Rules::default(), 1);
    assert_ne!(first.items, second.items);
    let item: Value = serde_json::from_str(&first.items[0].raw).unwrap();
    let id = item["id"].as_str().unwrap();
    assert!(id.starts_with("fc_") && id.len() == 51, "{id}");
    assert!(item["call_id"].as_str().unwrap().len() == 29);
    assert!(!String::from_utf8_lossy(&first.bytes).contains("~replay~"));
    let named = events(&first)
        .iter()
        .filter(|it| it["item_id"] == id || it["item"]["id"] == id)
        .count();
    assert_eq!(named, 4);
    assert_eq!(
        Ids::new(1).make("resp_"),
        Ids::new(1).make("resp_"),
        "the seed decides"
    );
}

#[test]
fn ends_and_profiles_differ_as_they_should() {
    let mut failed = answer(&json!([{"type":"message","text":"half"}]));
    failed.end = Status::Failed("server_error".into(), "broke".into());
    let found = completed(failed.clone(), Rules::default());
    let last = found.ends.len() - 1;
    assert_eq!(found.kind(last), "response.failed");
    assert_eq!(found.kind(last - 1), "error");
    let error: Value = serde_json::from_slice(&found.data(last - 1)).unwrap();
    assert_eq!(error["error"]["message"], "broke");
    let rules = Rules {
        stream_error: StreamError::FailedOnly,
        done_sentinel: true,
        ..Rules::default()
    };
    let found = completed(failed, rules);
    let last = found.ends.len() - 1;
    assert_eq!(&found.data(last)[..], b"[DONE]");
    assert_eq!(found.kind(last - 2), "response.output_item.done");

    let rules = Rules {
        profile: Profile::CodexBackend,
        ..Rules::default()
    };
    let found = completed(answer(&json!([{"type":"message","text":"x"}])), rules);
    assert_eq!(found.kind(0), "codex.rate_limits");
    let last: Value = serde_json::from_slice(&found.data(found.ends.len() - 1)).unwrap();
    assert_eq!(last["response"]["output"], json!([]));
    let whole: Value = serde_json::from_slice(&found.object).unwrap();
    assert_eq!(whole["output"][0]["type"], "message");
}

#[test]
fn what_was_reached_depends_on_the_frames_sent() {
    let made = answer(&json!([{"type":"function_call","name":"f"},{"type":"message","text":"x"}]));
    let found = completed(made, Rules::default());
    assert_eq!(found.reached(2), (vec![], vec![]));
    let (done, half) = found.reached(3);
    assert_eq!((done.len(), half.len()), (0, 1));
    let (done, half) = found.reached(found.ends.len());
    assert_eq!((done.len(), half.len()), (2, 0));
}
