use std::fmt::Write as _;
use std::io::Cursor;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::walk::Why;
use super::*;
use crate::ledger::Ledger;
use crate::rollout::effective::Effective;
use crate::rollout::{NoLibrary, Step};
use crate::session::Session;
use crate::strategy::{self, Strategy, Verdict};

fn options() -> Options {
    Options {
        words: Words::Honest,
        assumed: Assumed {
            thread_id: None,
            cwd: "/work".to_owned(),
            new_id: None,
        },
    }
}

struct Copy {
    text: String,
    lost: Vec<Lost>,
    plan: Plan,
}

fn recover_with(text: &[u8], options: &Options) -> Result<Copy, RepairError> {
    let open = || Ok(Box::new(Cursor::new(text)) as Box<dyn Read>);
    let plan = plan(&open, &NoLibrary, options)?;
    let (mut out, mut lost) = (Vec::new(), Vec::new());
    plan.write(&open, &mut out, &mut |entry| {
        lost.push(entry.clone());
        Ok(())
    })?;
    Ok(Copy {
        text: String::from_utf8(out).unwrap(),
        lost,
        plan,
    })
}

fn recover(text: &str) -> Copy {
    recover_with(text.as_bytes(), &options()).unwrap()
}

fn rollout(text: &str) -> Rollout {
    reader::read(Cursor::new(text.as_bytes()), &NoLibrary).unwrap()
}

fn verdict(text: &str, strategy: Strategy) -> Verdict {
    let session = Session::Rollout(rollout(text));
    strategy::run(&session, strategy, &strategy::Options::default()).verdict
}

/// Lines of an E4 file.
fn e4(items: &[Value]) -> String {
    let meta = json!({"type":"session_meta","payload":{"id":"0f3a2f5e-6f0c-4d52-9c1e-2a4f1d3b9c77","timestamp":"2026-11-20T10:00:00.000Z",
        "cwd":"/w","originator":"codex_exec","cli_version":"0.169.0","history_mode":"paginated"}});
    let mut text = String::new();
    for (ordinal, line) in std::iter::once(&meta).chain(items).enumerate() {
        let mut value = json!({"timestamp":"2026-11-20T10:00:00.000Z","ordinal":ordinal});
        let kind = line
            .get("payload")
            .map_or("response_item", |_| line["type"].as_str().unwrap());
        value["type"] = kind.into();
        value["payload"] = line.get("payload").unwrap_or(line).clone();
        writeln!(text, "{value}").unwrap();
    }
    text
}

fn user(text: &str) -> Value {
    json!({"type":"message","role":"user","content":[{"type":"input_text","text":text}]})
}

fn said(text: &str) -> Value {
    json!({"type":"message","role":"assistant","content":[{"type":"output_text","text":text}]})
}

fn call(id: &str) -> Value {
    json!({"type":"function_call","name":"exec_command","arguments":"{}","call_id":id})
}

fn output(id: &str, text: &str) -> Value {
    json!({"type":"function_call_output","call_id":id,"output":text})
}

fn event(payload: impl Into<Value>) -> Value {
    json!({"type":"event_msg","payload":payload.into()})
}

/// The payloads of the items of a copy.
fn items(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["type"] == "response_item")
        .map(|line| line["payload"].clone())
        .collect()
}

fn ordinals(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["ordinal"].as_u64())
        .collect()
}

#[test]
fn an_open_call_gets_an_output_directly_behind_it_that_says_what_is_known() {
    let text = e4(&[user("go"), call("call_a"), user("and now?"), said("hm")]);
    assert_eq!(verdict(&text, Strategy::None), Verdict::Refused);
    let copy = recover(&text);
    let found = items(&copy.text);
    assert_eq!(found.len(), 5);
    assert_eq!(found[2]["call_id"], "call_a");
    assert!(
        found[2]["output"]
            .as_str()
            .unwrap()
            .contains("state: unknown")
    );
    assert_eq!(ordinals(&copy.text), (0..6).collect::<Vec<_>>());
    assert_eq!(verdict(&copy.text, Strategy::None), Verdict::Clean);
    assert!(copy.lost.is_empty());
}

#[test]
fn ordinals_are_counted_anew_whatever_they_were() {
    let text = e4(&[user("go"), call("call_a"), user("and now?"), said("hm")]);
    for (from, to) in [
        ("\"ordinal\":3", "\"ordinal\":1"),
        ("\"ordinal\":3", "\"ordinal\":33"),
    ] {
        assert!(text.contains(from));
        let copy = recover(&text.replace(from, to));
        assert_eq!(ordinals(&copy.text), (0..6).collect::<Vec<_>>());
        assert_eq!(recover(&copy.text).text, copy.text);
    }
    // where nothing else is to be done every byte stays
    let gap = e4(&[user("go"), said("hm")]).replace("\"ordinal\":2", "\"ordinal\":9");
    assert_eq!(recover(&gap).text, gap);
}

#[test]
fn parallel_calls_are_answered_each_behind_its_own() {
    let text = e4(&[
        user("go"),
        call("a"),
        call("b"),
        call("c"),
        output("b", "B"),
        user("x"),
        said("y"),
    ]);
    let found = items(&recover(&text).text);
    let ids: Vec<(&str, &str)> = found
        .iter()
        .filter_map(|item| Some((item["type"].as_str()?, item["call_id"].as_str()?)))
        .collect();
    let (call, out) = ("function_call", "function_call_output");
    assert_eq!(
        ids,
        [
            (call, "a"),
            (out, "a"),
            (call, "b"),
            (call, "c"),
            (out, "c"),
            (out, "b")
        ]
    );
}

#[test]
fn the_output_of_a_finished_tool_is_taken_from_its_record() {
    let ended = event(
        json!({"type":"item_completed","item":{"type":"CommandExecution","id":"a","aggregated_output":"42\n","exit_code":0}}),
    );
    let text = e4(&[user("go"), call("a"), ended, user("x"), said("y")]);
    let copy = recover(&text);
    let output = items(&copy.text)[2]["output"].as_str().unwrap().to_owned();
    assert!(
        output.contains("state: finished, exit code 0") && output.ends_with("\n42\n"),
        "{output}"
    );
    assert_eq!(copy.plan.changes[0].what, What::Restored);
    let mut aborted = options();
    aborted.words = Words::Aborted;
    let same = recover_with(text.as_bytes(), &aborted).unwrap();
    assert_eq!(
        same.text, copy.text,
        "a real output is kept whatever the words are"
    );
}

#[test]
fn a_tool_that_began_is_told_as_started() {
    let began = event(json!({"type":"exec_command_begin","call_id":"a"}));
    let text = e4(&[user("go"), call("a"), began]);
    let copy = recover(&text);
    assert!(
        copy.text.contains("state: started (line 4 of the file)"),
        "{}",
        copy.text
    );
    let mut aborted = options();
    aborted.words = Words::Aborted;
    let copy = recover_with(text.as_bytes(), &aborted).unwrap();
    assert_eq!(items(&copy.text)[2]["output"], "aborted");
}

#[test]
fn an_output_that_came_late_or_early_is_put_behind_its_call() {
    let late = e4(&[
        user("go"),
        call("a"),
        user("x"),
        said("y"),
        output("a", "A"),
        said("z"),
    ]);
    let copy = recover(&late);
    let found = items(&copy.text);
    assert_eq!(found[2], output("a", "A"));
    assert_eq!(found.len(), 6);
    assert_eq!(ordinals(&copy.text), (0..7).collect::<Vec<_>>());
    let early = e4(&[user("go"), output("a", "A"), call("a"), said("y")]);
    let found = items(&recover(&early).text);
    assert_eq!(found[2], output("a", "A"));
    assert_eq!(found.len(), 4);
}

#[test]
fn what_cannot_stay_goes_to_the_side_file() {
    let text = e4(&[
        user("go"),
        output("gone", "?"),
        call("a"),
        output("a", "A"),
        output("a", "A again"),
        json!({"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}),
        user("x"),
    ]);
    let copy = recover(&text);
    assert_eq!(
        items(&copy.text),
        [user("go"), call("a"), output("a", "A"), user("x")]
    );
    let reasons: Vec<&str> = copy.lost.iter().map(|lost| lost.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "an output whose call is not on file",
            "a second output of a call that has one",
            "reasoning that nothing of the model's follows"
        ]
    );
    assert_eq!(copy.lost[0].line, 3);
    assert_eq!(ordinals(&copy.text), [0, 1, 2, 3, 4]);
}

#[test]
fn a_real_output_takes_the_place_of_one_that_says_aborted() {
    let text = e4(&[
        user("go"),
        call("a"),
        output("a", "aborted"),
        user("x"),
        said("y"),
        output("a", "A"),
    ]);
    let copy = recover(&text);
    assert_eq!(items(&copy.text)[2], output("a", "A"));
    assert_eq!(copy.lost[0].reason, Why::Superseded.words());
}

#[test]
fn duplicate_ids_are_settled() {
    let text = e4(&[
        user("go"),
        call("a"),
        output("a", "1"),
        said("x"),
        {
            let mut other = call("a");
            other["arguments"] = "{\"other\":1}".into();
            other
        },
        output("a", "2"),
        said("y"),
    ]);
    let copy = recover(&text);
    let found = items(&copy.text);
    assert_eq!(
        (
            &found[1]["call_id"],
            &found[4]["call_id"],
            &found[5]["call_id"]
        ),
        (&json!("a"), &json!("a_2"), &json!("a_2"))
    );
    // the same line twice is a copy
    let text = e4(&[
        user("go"),
        call("a"),
        call("a"),
        output("a", "1"),
        said("x"),
    ]);
    let copy = recover(&text);
    assert_eq!(
        items(&copy.text),
        [user("go"), call("a"), output("a", "1"), said("x")]
    );
    assert_eq!(copy.lost.len(), 1);
    // two different items with one id
    let with_id = |text: &str| {
        let mut item = said(text);
        item["id"] = "msg_1".into();
        item
    };
    let copy = recover(&e4(&[user("go"), with_id("x"), user("more"), with_id("y")]));
    let found = items(&copy.text);
    assert_eq!(
        (&found[1]["id"], &found[3]["id"]),
        (&json!("msg_1"), &Value::Null)
    );
    // an id that is too long
    let long = "c".repeat(65);
    let copy = recover(&e4(&[
        user("go"),
        call(&long),
        output(&long, "1"),
        said("x"),
    ]));
    let found = items(&copy.text);
    assert_eq!(found[1]["call_id"], found[2]["call_id"]);
    assert!(found[1]["call_id"].as_str().unwrap().len() <= 64);
}

#[test]
fn an_output_of_the_wrong_kind_is_given_the_kind_of_its_call() {
    let mut wrong = output("a", "A");
    wrong["type"] = "custom_tool_call_output".into();
    let copy = recover(&e4(&[user("go"), call("a"), wrong, said("x")]));
    let found = items(&copy.text);
    assert_eq!(found, [user("go"), call("a"), output("a", "A"), said("x")]);
}

#[test]
fn a_replacement_is_repaired_inside_its_line() {
    let compacted = json!({"type":"compacted","payload":{"message":"","replacement_history":[user("go"), call("a"), output("gone", "?")],
        "replacement_history_metadata":[null,null,null]}});
    let copy = recover(&e4(&[
        user("old"),
        said("x"),
        compacted,
        user("more"),
        said("y"),
    ]));
    let line: Value = serde_json::from_str(copy.text.lines().nth(3).unwrap()).unwrap();
    let history = line["payload"]["replacement_history"].as_array().unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history[2]["call_id"], "a");
    assert!(
        line["payload"]
            .get("replacement_history_metadata")
            .is_none()
    );
    assert_eq!(verdict(&copy.text, Strategy::None), Verdict::Clean);
}

#[test]
fn what_was_rolled_back_is_made_whole_too() {
    let back = event(json!({"type":"thread_rolled_back","num_turns":1}));
    let text = e4(&[
        user("go"),
        call("a"),
        user("x"),
        said("y"),
        output("a", "A"),
        back,
        user("z"),
        said("w"),
    ]);
    let copy = recover(&text);
    assert_eq!(verdict(&copy.text, Strategy::None), Verdict::Clean);
    assert_eq!(items(&copy.text)[2], output("a", "A"));
}

#[test]
fn torn_and_odd_lines_are_put_aside_and_nothing_else_is_touched() {
    let whole = e4(&[user("go"), said("x")]);
    let lines: Vec<&str> = whole.lines().collect();
    let text = format!(
        "{}\n{{\"timestamp\":\"2026\n{} {}\n{{\"torn",
        lines[0], lines[1], lines[2]
    );
    let copy = recover(&text);
    let kept: Vec<Value> = items(&copy.text);
    assert_eq!(kept, [user("go"), said("x")]);
    let lost: Vec<(u32, &[u8])> = copy
        .lost
        .iter()
        .map(|lost| (lost.line, lost.bytes.as_slice()))
        .collect();
    assert_eq!(lost, [(2, &b"{\"timestamp\":\"2026"[..]), (4, b"{\"torn")]);
}

#[test]
fn a_file_that_is_whole_keeps_every_byte() {
    let text = e4(&[user("go"), call("a"), output("a", "A"), said("x")]);
    let copy = recover(&text);
    assert_eq!(copy.text, text);
    assert!(copy.plan.is_empty() && copy.lost.is_empty());
}

#[test]
fn old_eras_come_out_in_todays_format() {
    let e1 = format!(
        "{}\n{}\n{}\n{}\n",
        json!({"id":"0f3a2f5e-6f0c-4d52-9c1e-2a4f1d3b9c77","timestamp":"2025-06-01T10:00:00.000Z","instructions":null}),
        user("go"),
        call("a"),
        json!({"record_type":"state","previous_response_id":"resp_1"}),
    );
    let copy = recover(&e1);
    let lines: Vec<Value> = copy
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let payload = &lines[0]["payload"];
    assert_eq!(lines[0]["type"], "session_meta");
    for key in [
        "id",
        "timestamp",
        "cwd",
        "originator",
        "cli_version",
        "source",
        "recovered_by",
    ] {
        assert!(payload[key].is_string(), "{key}: {payload}");
    }
    let kinds: Vec<&str> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "session_meta",
            "response_item",
            "event_msg",
            "response_item",
            "response_item"
        ]
    );
    assert_eq!((copy.plan.era, copy.plan.era_after()), (Era::E2, Era::E3));
    assert_eq!(copy.lost.len(), 1);
    let e0 = json!({"session":{"id":"0f3a2f5e6f0c4d529c1e2a4f1d3b9c77","timestamp":"2025-04-20T10:00:00.000Z"},
        "items":[user("go"), call("a")]});
    let copy = recover(&serde_json::to_string_pretty(&e0).unwrap());
    assert_eq!(
        copy.plan.thread_id(),
        Some("0f3a2f5e-6f0c-4d52-9c1e-2a4f1d3b9c77")
    );
    assert_eq!(items(&copy.text).len(), 3);
    assert_eq!(verdict(&copy.text, Strategy::AsClient), Verdict::Clean);
}

#[test]
fn what_codex_skips_for_its_shape_is_mended() {
    let mut object = output("a", "");
    object["output"] = json!({"content":"A","success":true});
    let copy = recover(&e4(&[user("go"), call("a"), object, said("x")]));
    assert_eq!(items(&copy.text)[2], output("a", "A"));
    assert_eq!(copy.lost.len(), 1);
}

#[test]
fn a_copy_can_have_an_id_of_its_own() {
    let text = e4(&[user("go"), said("x")]);
    let mut options = options();
    options.assumed.new_id = Some(made_id("x"));
    let copy = recover_with(text.as_bytes(), &options).unwrap();
    assert_eq!(copy.plan.thread_id(), Some(made_id("x").as_str()));
}

/// A line of a random file.
fn any_line() -> impl Strategy_<Value = Value> {
    let id = (0..4_u8).prop_map(|n| format!("call_{n}"));
    let item_id = prop::option::weighted(0.2, (0..3_u8).prop_map(|n| format!("id_{n}")));
    (0..14_u8, id, item_id, 0..3_u8).prop_map(|(kind, id, item_id, n)| {
        let text = format!("t{n}");
        let mut value = match kind {
            0 | 1 => user(&text),
            2 => said(&text),
            3 | 4 => call(&id),
            5 | 6 => output(&id, &text),
            7 => json!({"type":"custom_tool_call","name":"x","input":text,"call_id":id}),
            8 => json!({"type":"custom_tool_call_output","output":text,"call_id":id}),
            9 => json!({"type":"reasoning","summary":[],"encrypted_content":"x"}),
            10 => return event(json!({"type":"thread_rolled_back","num_turns":n % 2 + 1})),
            11 => {
                let history = [user("c"), call(&id), output(&id, "1"), call("call_9")];
                let kept: Vec<Value> = history.into_iter().skip(n as usize % 2).take(3).collect();
                return json!({"type":"compacted","payload":{"message":"","replacement_history":kept}});
            }
            12 => return event(json!({"type":"exec_command_end","call_id":id,"aggregated_output":text,"exit_code":n})),
            _ => json!({"type":"local_shell_call","call_id":id,"status":"completed","action":{"type":"exec","command":["ls"]}}),
        };
        if let Some(id) = item_id {
            value["id"] = format!("{}_{id}", match kind { 9 => "rs", 3 | 4 => "fc", 7 => "ctc", _ => "msg" }).into();
        }
        value
    })
}

use proptest::strategy::Strategy as Strategy_;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// After a recovery nothing is open, in any world and at any request; a second one changes nothing; every item is
    /// still there, or in the side file.
    #[test]
    fn a_recovered_file_is_whole_and_stays_so(lines in proptest::collection::vec(any_line(), 0..24)) {
        let text = e4(&lines);
        let copy = recover(&text);
        let verdict = verdict(&copy.text, Strategy::None);
        prop_assert_eq!(verdict, Verdict::Clean, "{}\n->\n{}", text, copy.text);
        let rollout = rollout(&copy.text);
        let mut effective = Effective::new(rollout.era);
        let mut ledger = Ledger::default();
        for step in &rollout.steps {
            effective.apply(&rollout.items, step);
        }
        for index in effective.path() {
            ledger.push(*index, rollout.items.get(*index).unwrap());
        }
        prop_assert!(ledger.open().is_empty() && ledger.orphans().is_empty());
        let again = recover(&copy.text);
        prop_assert_eq!(&again.text, &copy.text);
        prop_assert!(again.lost.is_empty() && again.plan.is_empty());
        let count = |text: &str| rollout_items(text);
        let removed = copy.plan.changes.iter().filter(|change| change.what == What::Removed).count();
        let made = copy.plan.changes.iter().filter(|change| matches!(change.what, What::Answered | What::Restored)).count();
        prop_assert_eq!(count(&text) + made, count(&copy.text) + removed, "{}->\n{}{:?}", text, copy.text, copy.plan.changes);
        prop_assert_eq!(copy.lost.len(), removed);
        let numbers = ordinals(&copy.text);
        prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut text = e4(&[user("go"), call("a")]).into_bytes();
        text.extend(bytes);
        if let Ok(copy) = recover_with(&text, &options()) {
            prop_assert_eq!(verdict(&copy.text, Strategy::None), Verdict::Clean);
        }
    }
}

fn rollout_items(text: &str) -> usize {
    let rollout = rollout(text);
    let of_step = |step: &Step| match step {
        Step::Item(_) => 1,
        Step::Replaced { count, .. } => *count as usize,
        _ => 0,
    };
    rollout.steps.iter().map(of_step).sum()
}
