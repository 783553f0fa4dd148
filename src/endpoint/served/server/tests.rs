use super::*;
use crate::endpoint::served::plan::Pace;

fn headers() -> Headers<'static> {
    Headers::default()
}

fn ask(server: &mut Server, body: &str, headers: &Headers<'_>) -> Reply {
    let asked = Asked {
        method: "POST",
        path: "/v1/responses",
        query: "",
        headers,
        connection: None,
        body: Bytes::from(body.to_owned()),
        at: Duration::from_secs(3),
    };
    server.create(&asked, None)
}

fn plan(server: &mut Server, body: &str) -> Planned {
    match ask(server, body, &headers()) {
        Reply::Plan(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

/// Sends a request, takes the whole answer, returns its object.
fn whole(server: &mut Server, body: &str) -> serde_json::Value {
    let plan = plan(server, body);
    server.finished(plan.number, plan.whole_frames(), "complete");
    serde_json::from_slice(&plan.frames.object).unwrap()
}

fn text(object: &serde_json::Value) -> String {
    let content = &object["output"][0]["content"][0]["text"];
    content.as_str().unwrap_or("-").to_owned()
}

fn scripted(script: &str) -> Server {
    Server::new(Settings {
        script: Some(Script::read(script).unwrap()),
        ..Settings::default()
    })
}

#[test]
fn conversations_run_through_a_script_side_by_side() {
    let mut server = scripted(r#"[{"text":"one"},{"text":"two"},{"status":500},{"text":"three"}]"#);
    let first = whole(&mut server, r#"{"model":"m","input":"a"}"#);
    let other = whole(&mut server, r#"{"model":"m","input":"b"}"#);
    assert_eq!((text(&first), text(&other)), ("one".into(), "one".into()));
    let next = |id: &serde_json::Value| {
        format!(
            r#"{{"model":"m","input":"go","previous_response_id":{}}}"#,
            id["id"]
        )
    };
    let second = whole(&mut server, &next(&first));
    assert_eq!(text(&second), "two");
    // by history, spelled anew
    let history = r#"{"model":"m","input":[{"role":"user","content":"b"},{"role":"assistant","content":"one"},{"role":"user","content":"more"}]}"#;
    assert_eq!(text(&whole(&mut server, history)), "two");
    // the error takes a turn, and the retry the next one
    let body = next(&second);
    let Reply::Failure(_, failure, _) = ask(&mut server, &body, &headers()) else {
        panic!()
    };
    assert_eq!(failure.status, 500);
    assert_eq!(text(&whole(&mut server, &body)), "three");
    // the same first message is a new conversation
    assert_eq!(
        text(&whole(&mut server, r#"{"model":"m","input":"a"}"#)),
        "one"
    );
}

#[test]
fn a_named_lane_takes_one_turn_after_the_other() {
    let mut server = scripted(r#"[{"text":"one"},{"text":"two"}]"#);
    let lane = Headers::new([("x-replay-lane", "a")]);
    for expected in ["one", "two", "OK."] {
        let Reply::Plan(plan) = ask(&mut server, r#"{"model":"m","input":"x"}"#, &lane) else {
            panic!()
        };
        server.finished(plan.number, 0, "cut");
        let object: serde_json::Value = serde_json::from_slice(&plan.frames.object).unwrap();
        assert_eq!(text(&object), expected);
    }
}

#[test]
fn side_requests_take_no_turn() {
    let mut server = scripted(r#"[{"text":"one"}]"#);
    let title = Headers::new([(
        "x-codex-turn-metadata",
        r#"{"thread_id":"t","thread_source":"thread_title"}"#,
    )]);
    let body = r#"{"model":"m","input":"name it","text":{"format":{"type":"json_schema","name":"t","schema":{"type":"object","required":["title"],"properties":{"title":{"type":"string"}}}}}}"#;
    let Reply::Plan(plan) = ask(&mut server, body, &title) else {
        panic!()
    };
    let object: serde_json::Value = serde_json::from_slice(&plan.frames.object).unwrap();
    assert_eq!(text(&object), r#"{"title":""}"#);
    assert_eq!(
        text(&whole(&mut server, r#"{"model":"m","input":"x"}"#)),
        "one"
    );
}

#[test]
fn a_call_is_made_where_one_is_required() {
    let mut server = Server::new(Settings::default());
    let tools = r#""tools":[{"type":"function","name":"f","parameters":{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}}]"#;
    let asked = whole(
        &mut server,
        &format!(r#"{{"model":"m","input":"x","tool_choice":"required",{tools}}}"#),
    );
    assert_eq!(asked["output"][0]["name"], "f");
    assert_eq!(asked["output"][0]["arguments"], r#"{"a":""}"#);
    let free = format!(r#"{{"model":"m","input":"x",{tools}}}"#);
    assert_eq!(whole(&mut server, &free)["output"][0]["type"], "message");
    let mut full = Server::new(Settings {
        rules: Rules {
            profile: Profile::Full,
            ..Rules::default()
        },
        ..Settings::default()
    });
    let called = whole(&mut full, &free);
    let call = &called["output"][0];
    assert_eq!(call["type"], "function_call");
    let answer = format!(
        r#"{{"model":"m","previous_response_id":{},"input":[{{"type":"function_call_output","call_id":{},"output":"x"}}],{tools}}}"#,
        called["id"], call["call_id"]
    );
    assert_eq!(whole(&mut full, &answer)["output"][0]["type"], "message");
}

#[test]
fn what_was_cut_is_not_stored_and_a_busy_conversation_is_locked() {
    let mut server = Server::new(Settings {
        cuts: vec![Rule::<Cut>::parse("1:response.output_item.done=close").unwrap()],
        ..Settings::default()
    });
    let cut = plan(&mut server, r#"{"model":"m","input":"x","stream":true}"#);
    let stop = cut.stop.unwrap();
    assert_eq!(
        cut.frames.kind(stop.frames - 1),
        "response.output_item.done"
    );
    server.finished(cut.number, stop.frames, "cut");
    let object: serde_json::Value = serde_json::from_slice(&cut.frames.object).unwrap();
    let go = format!(
        r#"{{"model":"m","input":"y","previous_response_id":{}}}"#,
        object["id"]
    );
    let Reply::Failure(_, failure, _) = ask(&mut server, &go, &headers()) else {
        panic!()
    };
    assert_eq!(failure.code.as_deref(), Some("previous_response_not_found"));

    server
        .live
        .extend_conversation("conv_1", std::iter::empty());
    let body = r#"{"model":"m","input":"x","conversation":"conv_1"}"#;
    let first = plan(&mut server, body);
    let Reply::Failure(_, failure, _) = ask(&mut server, body, &headers()) else {
        panic!()
    };
    assert_eq!(failure.code.as_deref(), Some("conversation_locked"));
    server.finished(first.number, 1, "complete");
    whole(&mut server, body);
    assert_eq!(server.journal().counts().refused, 2);
}

#[test]
fn headers_ask_for_faults_and_answers() {
    let mut server = Server::new(Settings::default());
    let body = r#"{"model":"m","input":"x","stream":true}"#;
    let with = |name: &'static str, value: &'static str| Headers::new([(name, value)]);
    let Reply::Failure(_, failure, _) = ask(&mut server, body, &with("x-replay-fail", "429"))
    else {
        panic!()
    };
    assert_eq!(failure.status, 429);
    let Reply::Plan(plan) = ask(
        &mut server,
        body,
        &with("x-replay-answer", r#"{"text":"mine"}"#),
    ) else {
        panic!()
    };
    assert!(String::from_utf8_lossy(&plan.frames.object).contains("mine"));
    let Reply::Plan(plan) = ask(&mut server, body, &with("x-replay-delay", "7")) else {
        panic!()
    };
    assert!(matches!(plan.pace, Pace::Each { each, .. } if each == Duration::from_millis(7)));
    let Reply::Failure(_, failure, _) = ask(&mut server, body, &with("x-replay-cut", "a=b")) else {
        panic!()
    };
    assert!(
        failure.message.contains("no way to cut"),
        "{}",
        failure.message
    );
    assert_eq!(server.journal().counts().refused, 0);
}
