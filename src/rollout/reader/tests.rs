use super::*;
use crate::ids::{ItemIndex, ResponseKey};
use crate::rollout::effective::Effective;
use crate::rollout::{AbortReason, NoLibrary, Previous, Step};
use crate::wire::item::{Author, Flags, ItemKind};

pub(super) const E1: &str = r#"{"id":"thread-1","timestamp":"2025-06-01T10:00:00.000Z","instructions":null}
{"type":"message","role":"user","content":[{"type":"input_text","text":"run it"}]}
{"type":"local_shell_call","id":"lsh_1","call_id":null,"status":"completed","action":{"type":"exec"}}
{"type":"function_call_output","call_id":"lsh_1","output":"done"}
{"role":"assistant","content":[{"type":"output_text","text":"ok"}]}
"#;

pub(super) const E2: &str = r#"{"id":"thread-2","timestamp":"2025-07-20T10:00:00.000Z","instructions":"x","git":{"branch":"b"}}
{"type":"message","role":"user","content":[{"type":"input_text","text":"run it"}]}
{"record_type":"state","previous_response_id":null}
{"type":"function_call","id":"fc_1","name":"shell","arguments":"{}","call_id":"call_1"}
{"record_type":"state","previous_response_id":"resp_1"}
{"record_type":"state"}
"#;

pub(super) const E3: &str = r#"{"timestamp":"2025-10-01T10:00:00.000Z","type":"session_meta","payload":{"id":"thread-3","timestamp":"2025-10-01T10:00:00.000Z","originator":"codex_exec","cli_version":"0.45.0","source":{"subagent":{"thread_spawn":{"parent_thread_id":"thread-0","depth":1}}}}}
{"timestamp":"t","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>x"}]}}
{"timestamp":"t","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"first"}]}}
{"timestamp":"t","type":"turn_context","payload":{"cwd":"/x","model":"m"}}
{"timestamp":"t","type":"event_msg","payload":{"type":"token_count","info":null}}

{"timestamp":"t","type":"response_item","payload":{"type":"function_call","name":"shell","arguments":"{\"a\":1}","call_id":"call_1"}}
{"timestamp":"t","type":"event_msg","payload":{"type":"exec_command_end","call_id":"call_1","stdout":"x\n"}}
{"timestamp":"t","type":"response_item","payload":{"type":"function_call_output","call_id":"call_1","output":{"content":"x","success":true}}}
{"timestamp":"t","type":"event_msg","payload":{"type":"turn_aborted","reason":"interrupted"}}
{"timestamp":"t","type":"event_msg","payload":{"type":"task_complete","turn_id":"1","error":{"message":"bad"}}}
{"timestamp":"t","type":"event_msg","payload":{"type":"turn_complete","turn_id":"1","error":"worse"}}
{"timestamp":"t","type":"session_meta","payload":{"id":"thread-0"}}
{"timestamp":"t","type":"brand_new","payload":{}}
{"timestamp":"t","type":"brand_new","payload":{}}
{"timestamp":"t","type":"response_item","payload":{"type":"tool_result","x":1}}
"#;

pub(super) fn text(text: &str) -> Rollout {
    read(text.as_bytes(), &NoLibrary).unwrap()
}

fn kinds(rollout: &Rollout) -> Vec<(ItemKind, LineNo)> {
    rollout
        .items
        .iter()
        .map(|item| (item.kind, item.line))
        .collect()
}

fn reasons(rollout: &Rollout) -> Vec<(LineNo, String)> {
    let reasons = rollout
        .problems
        .iter()
        .map(|problem| (problem.line, problem.reason.to_string()));
    reasons.collect()
}

#[test]
fn e1_is_a_meta_line_and_bare_items() {
    let rollout = text(E1);
    assert_eq!(rollout.era, Era::E1);
    assert_eq!(rollout.meta.thread_id.as_deref(), Some("thread-1"));
    assert_eq!(
        kinds(&rollout),
        vec![
            (ItemKind::Message, 2),
            (ItemKind::LocalShellCall, 3),
            (ItemKind::FunctionCallOutput, 4),
            (ItemKind::Message, 5)
        ]
    );
    let calls: Vec<_> = rollout.items.iter().filter_map(|item| item.call).collect();
    assert_eq!(calls.first(), calls.last());
    assert_eq!(rollout.problems, vec![]);
    assert_eq!((rollout.lines, rollout.bytes), (5, E1.len() as u64));
}

#[test]
fn e2_state_lines_name_responses() {
    let rollout = text(E2);
    assert_eq!(rollout.era, Era::E2);
    let states: Vec<_> = rollout
        .steps
        .iter()
        .filter(|step| matches!(step, Step::State(..)))
        .collect();
    assert_eq!(
        states,
        vec![
            &Step::State(3, Previous::Null),
            &Step::State(5, Previous::Response(ResponseKey(0))),
            &Step::State(6, Previous::NoKey)
        ]
    );
    assert_eq!(rollout.responses.text(0), b"resp_1");
}

#[test]
fn e3_says_turns_tools_errors_and_what_is_strange() {
    let rollout = text(E3);
    assert_eq!(rollout.era, Era::E3);
    assert_eq!(rollout.meta.parent_thread.as_deref(), Some("thread-0"));
    assert_eq!(rollout.meta.originator.as_deref(), Some("codex_exec"));
    let call = rollout.items.get(ItemIndex(2)).unwrap().call.unwrap();
    let others: Vec<_> = rollout
        .steps
        .iter()
        .filter(|step| !matches!(step, Step::Item(_)))
        .copied()
        .collect();
    assert_eq!(
        others,
        vec![
            Step::TurnContext(4),
            Step::ToolEnded(8, call),
            Step::TurnAborted(10, AbortReason::Interrupted),
            Step::TurnComplete(11, Some(0)),
            Step::TurnComplete(12, Some(1)),
            Step::Meta(13),
        ]
    );
    assert_eq!(rollout.errors, vec!["bad", "worse"]);
    assert_eq!(
        reasons(&rollout),
        vec![
            (
                9,
                "unknown shape: output of another type than Codex reads: it skips this line".into()
            ),
            (14, "unknown shape: type brand_new (2 lines)".into()),
        ]
    );
    let mut effective = Effective::new(rollout.era);
    for step in &rollout.steps {
        effective.apply(&rollout.items, step);
    }
    assert_eq!(
        effective.path(),
        &[ItemIndex(0), ItemIndex(1), ItemIndex(2)]
    );
}

#[test]
fn e4_is_told_by_its_ordinals() {
    let rollout = text(concat!(
        r#"{"timestamp":"t","ordinal":0,"type":"session_meta","payload":{"id":"a","history_mode":"paginated","subagent_history_start_ordinal":7}}"#,
        "\n",
        r#"{"timestamp":"t","ordinal":1,"type":"response_item","payload":{"type":"custom_tool_call","name":"exec","input":"1","call_id":"c"},"metadata":{"history_sequence":1}}"#,
        "\n",
        r#"{"timestamp":"t","ordinal":2,"type":"token_usage_record","payload":{"response_id":"resp_1"}}"#,
        "\n",
        r#"{"timestamp":"t","ordinal":3,"type":"event_msg","payload":{"item":{"id":"c","x":{"type":"no"},"type":"CommandExecution"},"type":"item_completed"}}"#,
        "\n",
        r#"{"timestamp":"t","ordinal":4,"type":"inter_agent_communication","payload":{"author":"/root","recipient":"/a","content":"go","trigger_turn":true}}"#,
        "\n",
        r#"{"timestamp":"t","ordinal":5,"type":"world_state","payload":{"full":true}}"#,
        "\n",
    ));
    assert_eq!(rollout.era, Era::E4);
    assert!(rollout.meta.paginated);
    assert_eq!(rollout.meta.own_history_from, Some(7));
    let call = rollout.items.get(ItemIndex(0)).unwrap().call.unwrap();
    assert_eq!(
        rollout.steps,
        vec![
            Step::Item(ItemIndex(0)),
            Step::ResponseEnded(3, ResponseKey(0)),
            Step::ToolEnded(4, call),
            Step::Item(ItemIndex(1)),
        ]
    );
    let message = rollout.items.get(ItemIndex(1)).unwrap();
    assert_eq!(
        (message.kind, message.author),
        (ItemKind::AgentMessage, Author::Client)
    );
    assert_eq!(rollout.problems, vec![]);
}

#[test]
fn e0_items_carry_the_lines_they_begin_on() {
    let document = r#"{
  "session": {
    "timestamp": "2025-04-20T10:00:00.000Z",
    "id": "thread-0",
    "instructions": ""
  },
  "items": [
    {
      "role": "user",
      "content": [{"type": "input_text", "text": "half a pair: \ud83d"}],
      "type": "message"
    },
    {"type": "function_call", "call_id": "c", "name": "shell", "arguments": "{}"}, {
      "type": "function_call_output", "call_id": "c", "output": "{\"output\":\"aborted\",\"metadata\":{}}"
    }
  ]
}
"#;
    let rollout = text(document);
    assert_eq!(rollout.era, Era::E0);
    assert_eq!(rollout.meta.thread_id.as_deref(), Some("thread-0"));
    assert_eq!(
        rollout
            .items
            .iter()
            .map(|item| (item.kind, item.line, item.part))
            .collect::<Vec<_>>(),
        vec![
            (ItemKind::Message, 8, 0),
            (ItemKind::FunctionCall, 13, 0),
            (ItemKind::FunctionCallOutput, 13, 1)
        ]
    );
    assert_eq!(rollout.problems, vec![]);
    let torn = document.split_at(document.find("\"output\"").unwrap()).0;
    let rollout = text(torn);
    assert_eq!(rollout.items.len(), 2);
    assert_eq!(rollout.problems[0].reason, Reason::TornTail);
    let compact =
        r#"{"session":{"id":"a"},"items":[{"type":"reasoning"},{"role":"user","content":[]}]}"#;
    let rollout = text(compact);
    assert_eq!(rollout.era, Era::E0);
    assert_eq!(
        rollout
            .items
            .iter()
            .map(|item| (item.line, item.part))
            .collect::<Vec<_>>(),
        vec![(1, 0), (1, 1)]
    );
}

#[test]
fn damaged_lines_are_told_and_their_neighbours_read() {
    let mut file = b"\xef\xbb\xbf".to_vec();
    file.extend_from_slice(E1.as_bytes());
    file.extend_from_slice(b"{\"type\":\"message\",\"role\":\"us\n");
    file.extend_from_slice(
        b"{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"text\":\"\xff\"}]}\n",
    );
    file.extend_from_slice(b"\0\0{\"type\":\"reasoning\",\"summary\":[]}\n");
    file.extend_from_slice(b"{\"type\":\"reasoning\",\"summary\":[]}{\"type\":\"reasoning\"}\r\n");
    file.extend_from_slice(
        b"{\"type\":\"reasoning\",\"id\":\"rs_1\"}\n\n{\"type\":\"reasoning\",\"id\":\"rs_1\"}\n",
    );
    file.extend_from_slice(b"{\"type\":\"reaso");
    let rollout = read(file.as_slice(), &NoLibrary).unwrap();
    let found: Vec<_> = rollout
        .problems
        .iter()
        .map(|p| (p.line, &p.reason))
        .collect();
    assert_eq!(found[0], (1, &Reason::ByteOrderMark));
    assert!(matches!(found[1], (6, Reason::NotJson(_))));
    assert_eq!(found[2], (7, &Reason::NotUtf8));
    assert_eq!(found[3], (8, &Reason::NulBytes));
    assert_eq!(found[4], (9, &Reason::SeveralValues(2)));
    assert_eq!(found[5], (12, &Reason::Repeated));
    assert_eq!(found[6], (13, &Reason::TornTail));
    assert_eq!(found.len(), 7);
    assert_eq!(rollout.items.len(), 4 + 1 + 1 + 2 + 2);
    let glued: Vec<_> = rollout.items.iter().filter(|item| item.line == 9).collect();
    assert!(
        glued
            .iter()
            .all(|item| !item.flags.has(Flags::UNREADABLE_BY_CLIENT))
    );
    assert_eq!(
        glued.iter().map(|item| item.part).collect::<Vec<_>>(),
        vec![0, 1]
    );
}

#[test]
fn compaction_replaces_or_summarises() {
    let rollout = text(concat!(
        r#"{"type":"session_meta","payload":{"id":"a"}}"#,
        "\n",
        r#"{"type":"response_item","payload":{"type":"message","role":"user","content":[{"text":"one"}]}}"#,
        "\n",
        r#"{"type":"response_item","payload":{"type":"function_call","call_id":"c"}}"#,
        "\n",
        r#"{"type":"compacted","payload":{"message":"sum"}}"#,
        "\n",
        r#"{"type":"compacted","payload":{"message":"","replacement_history":[{"type":"ghost_snapshot"},{"type":"message","role":"user","content":[{"text":"one"}]},{"type":"compaction","encrypted_content":"x"}],"window_id":"w"}}"#,
        "\n",
        r#"{"type":"compacted","payload":{"window_id":"w"}}"#,
        "\n",
        r#"{"type":"compacted","payload":{"replacement_history":[]}}"#,
        "\n",
    ));
    assert_eq!(
        rollout.steps,
        vec![
            Step::Item(ItemIndex(0)),
            Step::Item(ItemIndex(1)),
            Step::Summarised(4, ItemIndex(2)),
            Step::Replaced {
                line: 5,
                first: ItemIndex(3),
                count: 2
            },
            Step::Replaced {
                line: 7,
                first: ItemIndex(5),
                count: 0
            },
        ]
    );
    assert_eq!(rollout.items.get(ItemIndex(4)).unwrap().part, 2);
    assert_eq!(
        reasons(&rollout),
        vec![(
            6,
            "unknown shape: compacted without message and replacement_history".into()
        )]
    );
}

#[test]
fn items_without_type_are_kept_but_not_sent_by_codex() {
    let rollout = text(concat!(
        r#"{"type":"session_meta","payload":{"id":"a"}}"#,
        "\n",
        r#"{"type":"response_item","payload":{"role":"user","content":[{"text":"one"}]}}"#,
        "\n",
        r#"{"type":"response_item","payload":{"type":"message","role":"user","content":[{"text":"one"}]}}"#,
        "\n",
        r#"{"type":"compacted","payload":{"message":"","replacement_history":[{"id":"summary"}]}}"#,
        "\n",
    ));
    let lines: Vec<LineNo> = rollout
        .problems
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(lines, vec![2, 4]);
    let mut effective = Effective::new(rollout.era);
    for step in &rollout.steps {
        effective.apply(&rollout.items, step);
    }
    assert_eq!(effective.path(), &[ItemIndex(1)]);
}

struct Shelf(Vec<(&'static str, String)>);

impl Library for Shelf {
    fn open(&self, thread_id: &str) -> io::Result<Option<(String, Box<dyn Read>)>> {
        let found = self.0.iter().find(|(id, _)| *id == thread_id);
        Ok(found.map(|(id, text)| {
            let bytes: Box<dyn Read> = Box::new(Cursor::new(text.clone().into_bytes()));
            (format!("{id}.jsonl"), bytes)
        }))
    }
}

fn child(id: &str, base: &str, end: usize, mode: &str) -> String {
    format!(
        "{{\"ordinal\":0,\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"history_mode\":\"{mode}\",\"history_base\":{{\"thread_id\":\"{base}\",\"end_ordinal_exclusive\":2,\"end_byte_offset\":{end}}}}}}}\n{}",
        user(id)
    )
}

fn user(text: &str) -> String {
    format!(
        "{{\"ordinal\":1,\"type\":\"response_item\",\"payload\":{{\"type\":\"message\",\"role\":\"user\",\"id\":\"msg_{text}\",\"content\":[{{\"text\":\"{text}\"}}]}}}}\n"
    )
}

fn root(id: &str, mode: &str) -> String {
    format!(
        "{{\"ordinal\":0,\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"history_mode\":\"{mode}\"}}}}\n{}",
        user(id)
    )
}

#[test]
fn a_fork_begins_in_the_bytes_of_its_base() {
    let kept = root("a", "paginated");
    let a = format!("{kept}{}", user("later"));
    let shelf = Shelf(vec![
        ("a", a),
        ("b", child("b", "a", kept.len(), "paginated")),
    ]);
    let b = shelf.0[1].1.clone();
    let own = child("c", "b", b.len(), "paginated");
    let rollout = read(own.as_bytes(), &shelf).unwrap();
    assert_eq!(reasons(&rollout), vec![]);
    assert!(!rollout.incomplete);
    assert_eq!(
        rollout.steps,
        vec![
            Step::File(1),
            Step::File(2),
            Step::Item(ItemIndex(0)),
            Step::File(1),
            Step::Item(ItemIndex(1)),
            Step::File(0),
            Step::Item(ItemIndex(2)),
        ]
    );
    let all: Vec<ItemIndex> = (0..rollout.items.len() as u32).map(ItemIndex).collect();
    let files = rollout.file_of_items(all.iter());
    assert_eq!(
        files
            .values()
            .copied()
            .collect::<std::collections::BTreeSet<u32>>(),
        std::collections::BTreeSet::from([0, 1, 2])
    );
    assert_eq!(files.get(&ItemIndex(0)), Some(&2));
    assert_eq!(files.values().next_back(), Some(&0));
    assert_eq!(rollout.files[2].path, "a.jsonl");
    assert_eq!(rollout.meta.thread_id.as_deref(), Some("c"));
    assert_eq!(rollout.lines, 2);
}

#[test]
fn unfit_beginnings_are_told() {
    let told = |own: &str, shelf: &Shelf| {
        let rollout = read(own.as_bytes(), shelf).unwrap();
        assert!(rollout.incomplete);
        let back = rollout
            .steps
            .iter()
            .rev()
            .find(|step| matches!(step, Step::File(_)));
        assert!(back.is_none_or(|step| *step == Step::File(0)));
        (reasons(&rollout)[0].1.clone(), rollout.items.len())
    };
    let missing = told(&child("b", "a", 9, "paginated"), &Shelf(vec![]));
    assert!(
        missing.0.contains("thread a, whose rollout was not found"),
        "{missing:?}"
    );
    let legacy = told(
        &child("b", "a", 9000, "paginated"),
        &Shelf(vec![("a", root("a", "legacy"))]),
    );
    assert!(legacy.0.contains("not paginated"), "{legacy:?}");
    assert_eq!(legacy.1, 1);
    let cycle = told(
        &child("b", "a", 9000, "paginated"),
        &Shelf(vec![("a", child("a", "b", 9000, "paginated"))]),
    );
    assert!(cycle.0.contains("begins in this one"), "{cycle:?}");
    let short = told(
        &child("b", "a", 9000, "paginated"),
        &Shelf(vec![("a", root("a", "paginated"))]),
    );
    assert!(short.0.contains("9000 belong"), "{short:?}");
    assert_eq!(short.1, 2);
}

#[test]
fn what_is_no_rollout_is_refused() {
    let refusal = |text: &str| read(text.as_bytes(), &NoLibrary).unwrap_err().to_string();
    assert_eq!(refusal(""), "the file is empty");
    assert_eq!(refusal("\n  \n"), "the file is empty");
    assert!(
        refusal("{\"type\":\"error\",\"message\":\"m\"}\n{\"type\":\"thread.started\"}\n")
            .contains("codex exec --json")
    );
    assert!(refusal("hello\nworld\n").contains("something else"));
}

#[test]
fn a_broken_first_line_does_not_hide_the_rest() {
    let rollout = text(&E3.replacen("{\"timestamp\"", "{\"timest", 1));
    assert_eq!(rollout.era, Era::E3);
    assert_eq!(rollout.items.len(), 5);
    assert_eq!(rollout.problems[0].line, 1);
}

#[test]
fn compressed_and_plain_bytes_come_out_alike() {
    let packed = zstd::encode_all(E3.as_bytes(), 3).unwrap();
    for bytes in [packed.as_slice(), E3.as_bytes(), b"", b"{}"] {
        let mut out = String::new();
        maybe_zstd(bytes).unwrap().read_to_string(&mut out).unwrap();
        assert!(out == E3 || out.len() < 3);
    }
}

#[test]
fn a_cold_rollout_that_breaks_off_is_read_up_to_there() {
    let long = E3.repeat(40_000);
    let packed = zstd::encode_all(long.as_bytes(), 3).unwrap();
    let whole = read(maybe_zstd(packed.as_slice()).unwrap(), &NoLibrary).unwrap();
    let half = packed.get(..packed.len() / 2).unwrap();
    let rollout = read(maybe_zstd(half).unwrap(), &NoLibrary).unwrap();
    assert!(!rollout.items.is_empty() && rollout.items.len() < whole.items.len());
    let last = rollout.problems.last().unwrap();
    assert_eq!(last.reason, Reason::TornTail);
}

#[test]
fn a_step_stays_small() {
    assert!(size_of::<Step>() <= 16, "{}", size_of::<Step>());
}

#[test]
fn endless_nonsense_is_given_up_and_counted() {
    let nonsense = "x\n".repeat(MAX_PROBLEMS + 50);
    assert!(read(nonsense.as_bytes(), &NoLibrary).is_err());
    let rollout = text(&format!("{E1}{nonsense}"));
    assert_eq!(rollout.problems.len(), MAX_PROBLEMS + 1);
    assert!(
        reasons(&rollout)
            .iter()
            .any(|(_, reason)| reason.starts_with("50 more"))
    );
}
