use super::*;

#[test]
fn uuids_are_compared_in_one_form() {
    let plain = "01a1fe8c-a874-7b93-abd9-b56eb0d9554e";
    for other in [
        plain,
        "01A1FE8C-A874-7B93-ABD9-B56EB0D9554E",
        "01a1fe8ca8747b93abd9b56eb0d9554e",
        "{01a1fe8c-a874-7b93-abd9-b56eb0d9554e}",
        "urn:uuid:01A1FE8C-A874-7B93-ABD9-B56EB0D9554E",
    ] {
        assert_eq!(canonical(other), plain);
    }
    for odd in ["call_A", "", "{}", "0123456789abcdef0123456789abcdeX"] {
        assert_eq!(canonical(odd), odd);
    }
}

#[test]
fn a_text_is_known_by_its_beginning_however_it_was_escaped() {
    let long = "é<tag> \"quoted\" ".repeat(20);
    let short = brief(&long);
    assert!(long.starts_with(short) && short.len() < 40);
    assert_eq!(brief("  go on \n"), "go on");
    assert_eq!(brief(&"a".repeat(500)).len(), 90);
    // whatever a reader keeps of the text as JSON holds the brief
    let json = format!("\"{}\"", "\\u00e9".repeat(16));
    assert!(json.len() <= 98);
}

fn log(lines: &[&str]) -> Log {
    read(lines.join("\n").as_bytes(), None).unwrap()
}

fn whats(lines: &[&str]) -> Vec<What> {
    log(lines).events.iter().map(|it| it.what).collect()
}

#[test]
fn early_interrupts_are_told_by_an_error() {
    let lines = [
        r#"{"id":"1","op":{"type":"user_input","items":[{"type":"text","text":"go"}]}}"#,
        r#"{"id":"1","msg":{"type":"task_started"}}"#,
        r#"{"id":"2","op":{"type":"interrupt"}}"#,
        r#"{"id":"1","msg":{"type":"error","message":" Turn interrupted"}}"#,
    ];
    let found = log(&lines);
    let story = Story::of(&found);
    assert_eq!(
        story.turns[0].how,
        Some(How::Aborted(AbortReason::Interrupted))
    );
    assert_eq!(story.end_of(&story.interrupts[0]), Some(3));
    assert_eq!(story.messages[0].outcome, Outcome::Began(0));
}

#[test]
fn both_sides_of_the_app_server_count_for_themselves() {
    let lines = [
        r#"{"id":0,"method":"turn/start","params":{"threadId":"t","input":[{"type":"text","text":"go"}]}}"#,
        r#"{"id":0,"result":{"turn":{"id":"u","status":"inProgress"}}}"#,
        r#"{"method":"turn/started","params":{"threadId":"t","turn":{"id":"u"}}}"#,
        r#"{"id":0,"method":"item/commandExecution/requestApproval","params":{"threadId":"t","turnId":"u","itemId":"c"}}"#,
        r#"{"id":1,"method":"turn/interrupt","params":{"threadId":"t","turnId":"u"}}"#,
        r#"{"id":0,"result":{"decision":{"acceptWithExecpolicyAmendment":{}}}}"#,
        r#"{"id":1,"result":{}}"#,
        r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u","status":"interrupted"}}}"#,
    ];
    let found = log(&lines);
    assert_eq!(
        whats(&lines),
        [
            What::MessageAsked,
            What::MessageAnswered(true),
            What::TurnStarted,
            What::Asked(AskKind::Exec),
            What::InterruptAsked,
            What::Answered(Decision::Yes),
            What::InterruptAnswered(true),
            What::TurnEnded(How::Aborted(AbortReason::Interrupted)),
        ]
    );
    let inwards: Vec<bool> = found.events.iter().map(|it| it.inwards).collect();
    assert_eq!(
        inwards,
        [true, false, false, false, true, true, false, false]
    );
    let story = Story::of(&found);
    assert_eq!(story.answerer(&story.asks[0]), Answerer::Driver);
    assert_eq!(story.interrupts[0].answered, Some(6));
}

#[test]
fn an_approval_is_answered_by_its_id_its_call_or_its_submission() {
    for answer in ["a1", "c", "s"] {
        let last = format!(
            r#"{{"id":"9","op":{{"type":"exec_approval","id":"{answer}","decision":"denied"}}}}"#
        );
        let found = log(&[
            r#"{"id":"s","msg":{"type":"task_started"}}"#,
            r#"{"id":"s","msg":{"type":"exec_approval_request","call_id":"c","approval_id":"a1"}}"#,
            &last,
        ]);
        let story = Story::of(&found);
        assert_eq!(story.asks[0].answered, Some((2, Decision::No)), "{answer}");
    }
}

#[test]
fn what_no_log_begins_with_is_no_log() {
    for head in [
        r#"{"kind":"session","format":1}"#,
        r#"{"timestamp":"x","type":"session_meta","payload":{}}"#,
        r#"{"model":"m","input":[]}"#,
        r#"{"type":"response.created"}"#,
        r#"{"method":"POST","path":"/v1/responses","request":{},"status":200}"#,
        r#"{"error":{"message":"m"}}"#,
        "data: {}",
        "",
    ] {
        assert_eq!(sniff(head.as_bytes()), None, "{head}");
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn line() -> impl Strategy<Value = String> {
        let id = prop_oneof![Just("1"), Just("2"), Just("3")];
        let kind = prop_oneof![
            Just("task_started"),
            Just("task_complete"),
            Just("turn_aborted"),
            Just("exec_command_begin"),
            Just("exec_command_end"),
            Just("exec_approval_request"),
            Just("error"),
            Just("user_message"),
            "[a-z_]{1,12}".prop_map(|it| -> &'static str { Box::leak(it.into_boxed_str()) }),
        ];
        let op = prop_oneof![
            Just("interrupt"),
            Just("user_input"),
            Just("exec_approval"),
            Just("x")
        ];
        prop_oneof![
            (id.clone(), kind).prop_map(|(id, kind)| format!(
                r#"{{"id":"{id}","msg":{{"type":"{kind}","call_id":"c","turn_id":"{id}","message":"m"}}}}"#
            )),
            (id.clone(), op).prop_map(|(id, op)| format!(
                r#"{{"id":"{id}","op":{{"type":"{op}","id":"c","items":[{{"type":"text","text":"m"}}]}}}}"#
            )),
            (id, any::<bool>()).prop_map(|(id, asks)| if asks {
                format!(r#"{{"id":"{id}","method":"item/tool/call","params":{{}}}}"#)
            } else {
                format!(r#"{{"id":"{id}","result":{{"decision":"accept"}}}}"#)
            }),
        ]
    }

    proptest! {
        /// Any beginning of a log reads: the events of its whole lines are those of the whole log, and the rest is one problem.
        #[test]
        fn any_beginning_of_a_log_reads(lines in prop::collection::vec(line(), 1..30), cut in 0..1000_usize) {
            let text = lines.join("\n") + "\n";
            let whole = read(text.as_bytes(), None).unwrap();
            prop_assert!(whole.problems.is_empty());
            prop_assert_eq!(whole.events.len(), lines.len());
            let at = text.len() * cut / 1000;
            let part = read(&text.as_bytes()[..at], None).unwrap();
            prop_assert!(part.problems.len() <= 1);
            let full = text.as_bytes()[..at].split(|it| *it == b'\n').count() - 1;
            prop_assert!(part.events.len() >= full);
            for (one, other) in part.events.iter().zip(&whole.events) {
                prop_assert_eq!((one.line, one.what, one.inwards), (other.line, other.what, other.inwards));
            }
            // and a story can be made of it, whose numbers all name events
            let story = Story::of(&part);
            let fits = |it: Option<usize>| it.is_none_or(|at| at < part.events.len());
            prop_assert!(story.turns.iter().all(|it| fits(it.started) && fits(it.ended) && fits(it.error)));
            prop_assert!(story.stale.iter().flat_map(|it| &it.events).all(|it| fits(Some(*it))));
        }

        /// A kind that nobody knows is an event with its name.
        #[test]
        fn unknown_kinds_survive(name in "x[a-z_]{1,30}", shape in 0..3_usize) {
            let line = match shape {
                0 => format!(r#"{{"id":"1","msg":{{"type":"{name}","deep":{{"a":[1]}}}}}}"#),
                1 => format!(r#"{{"method":"{name}","params":{{"a":1}}}}"#),
                _ => format!(r#"{{"type":"{name}","a":1}}"#),
            };
            let found = read(line.as_bytes(), None).unwrap();
            prop_assert_eq!(found.events.len(), 1);
            prop_assert_eq!(found.name(&found.events[0]), name.as_str());
            prop_assert!(found.problems.is_empty());
        }

        /// No text makes it panic.
        #[test]
        fn anything_reads(text in ".{0,200}") {
            let _log = read(text.as_bytes(), None).unwrap();
            let _source = sniff(text.as_bytes());
            let _id = canonical(&text);
            prop_assert!(text.trim().starts_with(brief(&text)));
        }
    }
}

#[test]
fn an_early_mcp_server_says_everything_twice_and_means_it_once() {
    let event = |method: &str, message: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{{"requestId":3}},"id":"3","msg":{message}}}}}"#
        )
    };
    let said = |kind: &str, more: &str| {
        let message = format!(r#"{{"type":"{kind}"{more}}}"#);
        [event("codex/event", &message), event(kind, &message)]
    };
    let mut lines = vec![
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"codex","arguments":{"prompt":"go"}}}"#
            .to_owned(),
    ];
    let thread = r#","session_id":"01a1fe8c-a874-7b93-abd9-b56eb0d9554e""#;
    lines.extend(said("session_configured", thread));
    lines.extend(said("task_started", ""));
    lines.extend(said("exec_approval_request", r#","call_id":"c""#));
    lines.push(
        r#"{"jsonrpc":"2.0","id":0,"method":"elicitation/create","params":{"codex_elicitation":"exec-approval","codex_mcp_tool_call_id":"3","codex_call_id":"c"}}"#
            .to_owned(),
    );
    lines.push(r#"{"jsonrpc":"2.0","id":0,"result":{"decision":"approved"}}"#.to_owned());
    lines.extend(said("exec_command_begin", r#","call_id":"c""#));
    lines.push(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#
            .to_owned(),
    );
    lines.extend(said("turn_aborted", r#","reason":"interrupted""#));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = log(&lines);
    let story = Story::of(&found);
    assert_eq!(found.events.len(), lines.len());
    assert_eq!((story.turns.len(), story.doubles.len()), (1, 0));
    let [ask] = story.asks[..] else {
        panic!("{:?}", story.asks)
    };
    assert_eq!(ask.answered.map(|it| it.1), Some(Decision::Yes));
    assert_eq!(ask.kind, AskKind::Exec);
    assert_eq!((story.runs.len(), story.runs[0].began.len()), (1, 1));
    assert_eq!(story.end_of(&story.interrupts[0]), Some(12));
    // what names only the call belongs to its thread
    let interrupt = &found.events[11];
    assert_eq!(interrupt.thread, found.events[1].thread);
    assert!(interrupt.thread.is_some());
}

#[test]
fn an_approval_that_was_answered_can_be_asked_for_again() {
    let asks = r#"{"id":"1","msg":{"type":"exec_approval_request","call_id":"c"}}"#;
    let lines = [
        r#"{"id":"1","msg":{"type":"task_started"}}"#,
        asks,
        r#"{"id":"2","op":{"type":"exec_approval","id":"c","decision":"approved"}}"#,
        asks,
    ];
    let story = Story::of(&log(&lines));
    let answered: Vec<bool> = story.asks.iter().map(|it| it.answered.is_some()).collect();
    assert_eq!(answered, [true, false]);
}

#[test]
fn submissions_before_the_first_word_of_a_process_are_for_it() {
    let first = r#"{"id":"s","op":{"type":"user_input","items":[{"type":"text","text":"go"}]}}"#;
    let begins = r#"{"id":"","msg":{"type":"session_configured","session_id":"01a1fe8c-a874-7b93-abd9-b56eb0d9554e"}}"#;
    let runs = r#"{"id":"s","msg":{"type":"agent_message","message":"Done."}}"#;
    let doubles = |lines: &[&str]| Story::of(&log(lines)).doubles.len();
    assert_eq!(doubles(&[first, begins, runs, first]), 1);
    assert_eq!(doubles(&[begins, first, runs, first, runs]), 1);
    // another process
    assert_eq!(doubles(&[begins, first, runs, begins, first, runs]), 0);
    assert_eq!(doubles(&[first, begins, runs, first, begins, runs]), 0);
}

#[test]
fn the_terminal_of_today_names_operations_by_their_variant() {
    let lines = [
        r#"{"ts":"2026-11-21T17:05:56.539Z","dir":"from_tui","kind":"op","payload":{"ListSkills":{"cwds":["/w"]}}}"#,
        r#"{"ts":"2026-11-21T17:06:00.264Z","dir":"from_tui","kind":"op","payload":{"UserTurn":{"items":[{"type":"text","text":"begin please"}],"cwd":"/w"}}}"#,
        r#"{"ts":"2026-11-21T17:06:01.089Z","dir":"from_tui","kind":"op","payload":"Interrupt"}"#,
        r#"{"ts":"2026-11-21T17:06:02.000Z","dir":"from_tui","kind":"op","payload":{"type":"interrupt"}}"#,
        r#"{"ts":"2026-11-21T17:06:02.000Z","dir":"from_tui","kind":"op","payload":7}"#,
        r#"{"ts":"2026-11-21T17:06:02.000Z","dir":"from_tui","kind":"op","payload":{}}"#,
    ];
    let found = log(&lines);
    let told: Vec<(What, &str)> = found
        .events
        .iter()
        .map(|it| (it.what, found.name(it)))
        .collect();
    assert_eq!(
        told,
        [
            (What::Other, "list_skills"),
            (What::MessageAsked, "user_turn"),
            (What::InterruptAsked, "interrupt"),
            (What::InterruptAsked, "interrupt"),
            (What::Other, ""),
            (What::Other, ""),
        ]
    );
    assert!(found.events.iter().all(|it| it.inwards));
    let text = found.events[1].text.map(|it| found.text(it));
    assert_eq!(text, Some("begin please"));
}
