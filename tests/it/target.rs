//! `replay SESSION --target URL`, against endpoints that answer in every way they do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use insta::assert_snapshot;
use responses_replay::endpoint::served::script::Script;
use responses_replay::endpoint::served::server::Settings;
use responses_replay::endpoint::served::tape::ReadTape as _;
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::serve::Served;
use crate::support::{Done, Sandbox};

const STORY: &str = "rollouts/agents-python-second-stream/session.jsonl";

const MISSING: &str = r#"{
  "error": {
    "message": "No tool output found for function call call_A.",
    "type": "invalid_request_error",
    "param": "input",
    "code": null
  }
}"#;

/// A whole answer as a stream.
fn stream(id: &str, items: &[Value]) -> String {
    let mut out = String::new();
    let mut event = |value: Value| {
        out.push_str(&format!(
            "event: {}\ndata: {value}\n\n",
            value["type"].as_str().unwrap()
        ));
    };
    event(
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": id, "object": "response", "output": []}}),
    );
    for (at, item) in items.iter().enumerate() {
        event(
            json!({"type": "response.output_item.done", "sequence_number": at + 1, "output_index": at, "item": item}),
        );
    }
    event(
        json!({"type": "response.completed", "sequence_number": items.len() + 1,
        "response": {"id": id, "object": "response", "status": "completed", "output": items}}),
    );
    out
}

fn message() -> Value {
    json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "ok", "annotations": []}]})
}

fn streamed(id: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(stream(id, &[message()]), "text/event-stream")
}

/// A wiremock server with a runtime of its own.
struct Wire {
    runtime: tokio::runtime::Runtime,
    server: MockServer,
}

impl Wire {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(MockServer::start());
        Self { runtime, server }
    }

    fn mount(&self, mock: Mock) {
        self.runtime.block_on(mock.mount(&self.server));
    }

    fn all(&self, answer: ResponseTemplate) {
        self.mount(
            Mock::given(method("POST"))
                .and(path("/v1/responses"))
                .respond_with(answer),
        );
    }

    fn url(&self) -> String {
        format!("{}/v1", self.server.uri())
    }

    fn requests(&self) -> Vec<Request> {
        self.runtime
            .block_on(self.server.received_requests())
            .unwrap()
    }
}

fn replay(url: &str, arguments: &[&str]) -> Done {
    let sandbox = Sandbox::new();
    let mut all = vec![STORY, "--target", url, "--backoff", "0", "--format", "json"];
    all.extend(arguments);
    sandbox.run(&all)
}

fn run(done: &Done) -> Value {
    done.json()["sessions"][0]["runs"][0].clone()
}

fn request(done: &Done, at: usize) -> Value {
    run(done)["requests"][at].clone()
}

#[test]
fn the_mock_refuses_what_was_refused() {
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    let sandbox = Sandbox::new();
    let done = sandbox.run(&[STORY, "--target", &url]);
    assert_snapshot!(sandbox.shown(&done).replace(&url, "[URL]"));
    let other = sandbox.run(&[STORY, "--target", &url, "--model", "another"]);
    assert_eq!(other.out.matches("other model").count(), 2, "{other:?}");
    let json = replay(&url, &[]);
    assert_eq!(json.json()["sessions"][0]["target"], url);
    assert_eq!(run(&json)["verdict"], "refused");
    assert_eq!(run(&json)["reproduced"], true);
    assert_eq!(request(&json, 2)["exact"], false);
    assert_eq!(request(&json, 2)["input_items"], 3);
    assert_eq!(request(&json, 0)["exact"], true);
}

#[test]
fn strategies_go_out_as_bodies() {
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    for (strategy, verdict, sent) in [
        ("none", "refused", 3),
        ("full-history", "recovered", 3),
        ("normalize", "recovered", 3),
        ("error-body", "recovered", 4),
        ("error-body-1610", "recovered", 4),
        ("drop-turn", "recovered", 3),
    ] {
        let done = replay(&url, &["--recover", strategy]);
        assert_eq!(run(&done)["verdict"], verdict, "{strategy} {done:?}");
        assert_eq!(run(&done)["score"]["requests_sent"], sent, "{strategy}");
    }
    let done = replay(&url, &["--recover", "error-body"]);
    let injected = request(&done, 2)["injected"].clone();
    assert_eq!(
        injected,
        json!([{"call_id": "call_A", "type": "function_call_output", "position": 2, "false": true}])
    );
    assert_eq!(run(&done)["score"]["false_statements"], 1);
}

#[test]
fn a_refusal_is_read_out_of_every_wrapper() {
    let inner = MISSING.replace('\n', "").replace("  ", "");
    let quoted = serde_json::to_string(&inner).unwrap();
    let lite =
        format!("litellm.BadRequestError: OpenAIException - {inner}\n\nLiteLLM: call failed");
    let wrapped = [
        (400, MISSING.to_owned()),
        (400, json!({"error": {"message": lite, "type": null, "param": null, "code": "400"}}).to_string()),
        (400, json!({"error": {"message": "Provider returned error", "code": 400,
            "metadata": {"raw": inner, "provider_name": "OpenAI"}}}).to_string()),
        (400, json!({"error": {"code": "BadRequest", "message": "No tool output found for function call call_A.", "innererror": {}}}).to_string()),
        (400, json!({"detail": "No tool output found for function call call_A."}).to_string()),
        (422, format!("{{\"message\":{quoted}}}")),
        (502, format!("{{\"error\":{{\"message\":{quoted},\"type\":\"upstream_error\"}}}}")),
    ];
    for (status, body) in wrapped {
        let wire = Wire::new();
        wire.mount(Mock::given(method("POST")).respond_with(
            ResponseTemplate::new(status).set_body_raw(body.clone(), "application/json"),
        ));
        let done = replay(&wire.url(), &["--max-requests", "1"]);
        let refusal = request(&done, 0)["refusal"].clone();
        assert_eq!(refusal["kind"], "missing_output", "{body} {done:?}");
        assert_eq!(refusal["call_id"], "call_A", "{body}");
        assert_eq!(run(&done)["verdict"], "refused");
        assert_eq!(done.status, 1);
        assert_eq!(wire.requests().len(), 1, "a refusal is not tried again");
    }
}

#[test]
fn a_refusal_of_another_kind_says_so() {
    for (status, message) in [
        (
            404,
            "The model 'gpt-nowhere' does not exist or you do not have access to it.",
        ),
        (
            400,
            "The encrypted content gAAA...DQ== could not be verified.",
        ),
    ] {
        let wire = Wire::new();
        wire.all(
            ResponseTemplate::new(status).set_body_json(json!({"error": {"message": message,
            "type": "invalid_request_error", "param": null, "code": "x"}})),
        );
        let done = replay(&wire.url(), &[]);
        let third = request(&done, 2);
        assert_eq!(third["refusal"]["message"], message);
        assert_eq!(third["refusal"]["kind"], Value::Null);
        assert_eq!(third["refusal"]["recorded_one"], false);
        let note = third["live"]["note"].as_str().unwrap();
        assert!(note.starts_with("not the recorded refusal"), "{note}");
        assert_eq!(run(&done)["reproduced"], false);
        assert_eq!(request(&done, 0)["first_divergence"]["what"], "acceptance");
    }
}

#[test]
fn what_is_no_word_of_the_contract_is_failed() {
    for (status, body, sendings) in [
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#,
            1,
        ),
        (403, "forbidden", 1),
        (408, "", 3),
        (
            429,
            r#"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#,
            3,
        ),
        (500, r#"{"error":{"message":"The server had an error"}}"#, 3),
        (502, "<html><body>Bad gateway</body></html>", 3),
        (404, "404 page not found", 1),
        (404, r#"{"detail":"Not Found"}"#, 1),
        (200, "<html></html>", 1),
        (302, "", 1),
    ] {
        let wire = Wire::new();
        wire.all(ResponseTemplate::new(status).set_body_string(body));
        let done = replay(&wire.url(), &["--retries", "2", "--max-requests", "1"]);
        assert_eq!(run(&done)["verdict"], "failed", "{status} {body} {done:?}");
        assert_eq!(done.status, 4);
        assert_eq!(request(&done, 0)["attempts"], sendings, "{status}");
        assert_eq!(wire.requests().len(), sendings, "{status}");
        assert!(request(&done, 0)["live"]["failure"].is_string());
    }
}

#[test]
fn a_refusal_in_a_stream_under_its_own_status_is_one() {
    let wire = Wire::new();
    let inner = MISSING.replace('\n', "").replace("  ", "");
    wire.all(ResponseTemplate::new(400).set_body_raw(
        format!("event: error\ndata: {inner}\n\ndata: [DONE]\n\n"),
        "text/event-stream",
    ));
    let done = replay(&wire.url(), &["--max-requests", "1"]);
    assert_eq!(run(&done)["verdict"], "refused", "{done:?}");
    assert_eq!(request(&done, 0)["refusal"]["call_id"], "call_A");
    assert_eq!(
        run(&done)["note"],
        "only the first request was sent (--max-requests)"
    );
}

#[test]
fn a_redirection_is_told_and_not_followed() {
    let wire = Wire::new();
    wire.all(ResponseTemplate::new(307).insert_header("location", "http://127.0.0.1:9/elsewhere"));
    let done = replay(&wire.url(), &[]);
    assert_eq!(run(&done)["verdict"], "failed", "{done:?}");
    let why = request(&done, 0)["live"]["failure"].to_string();
    assert!(
        why.contains("not followed: http://127.0.0.1:9/elsewhere"),
        "{why}"
    );
}

#[test]
fn where_no_answer_can_come_no_more_is_sent() {
    for (status, body) in [
        (401, r#"{"error":{"message":"Incorrect API key provided"}}"#),
        (404, "404 page not found"),
    ] {
        let wire = Wire::new();
        wire.all(ResponseTemplate::new(status).set_body_string(body));
        let done = replay(&wire.url(), &[]);
        assert_eq!(run(&done)["verdict"], "failed", "{done:?}");
        assert_eq!(wire.requests().len(), 1, "{status}");
        assert_eq!(request(&done, 1)["outcome"], "unknown");
        let note = request(&done, 2)["live"]["note"].to_string();
        assert!(
            note.contains(&format!("was answered with {status}")),
            "{note}"
        );
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let done = replay(&format!("http://{port}/v1"), &["--retries", "1"]);
    assert_eq!(run(&done)["verdict"], "failed", "{done:?}");
    assert_eq!(done.status, 4);
    assert_eq!(run(&done)["score"]["requests_sent"], 2);
    // one for which this was too large may answer the next
    let wire = Wire::new();
    wire.mount(
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(413))
            .up_to_n_times(1),
    );
    wire.all(streamed("resp_1"));
    let done = replay(&wire.url(), &[]);
    assert_eq!(request(&done, 1)["outcome"], "accepted", "{done:?}");
    // and so may one that has too much to do
    let wire = Wire::new();
    wire.mount(
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(503))
            .up_to_n_times(1),
    );
    wire.all(streamed("resp_1"));
    let done = replay(&wire.url(), &["--retries", "0"]);
    assert_eq!(request(&done, 0)["outcome"], "failed");
    assert_eq!(request(&done, 1)["outcome"], "accepted", "{done:?}");
}

#[test]
fn what_stays_on_this_machine_goes_through_no_proxy() {
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    let other = Wire::new();
    other.all(ResponseTemplate::new(200));
    let sandbox = Sandbox::new();
    for transport in ["http", "websocket"] {
        let done = sandbox
            .command(&[
                STORY,
                "--target",
                &url,
                "--transport",
                transport,
                "--retries",
                "0",
            ])
            .env("HTTP_PROXY", other.server.uri())
            .env("http_proxy", other.server.uri())
            .env("ALL_PROXY", other.server.uri())
            .current_dir(crate::support::root())
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(1), "{transport} {done:?}");
    }
    assert!(other.requests().is_empty());
}

#[test]
fn warm_ups_that_http_has_none_of_are_not_called_accepted() {
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    let sandbox = Sandbox::new();
    let session = "rollouts/codex-0.169-websocket/session.jsonl";
    let arguments = [session, "--target", &url, "--transport", "http"];
    let text = sandbox.run(&arguments);
    assert_eq!(text.status, 0, "{text:?}");
    assert_eq!(text.out.matches("not sent").count(), 5, "{text:?}");
    let json = sandbox.run(&[&arguments[..], &["--format", "json"]].concat());
    assert_eq!(request(&json, 0)["outcome"], "unknown");
    assert_eq!(request(&json, 1)["outcome"], "accepted");
    assert_eq!(run(&json)["verdict"], "clean");
    assert_eq!(run(&json)["score"]["requests_sent"], 6);
}

#[test]
fn a_client_that_left_before_the_first_event_is_left_there_too() {
    let served = Served::new(Settings {
        script: Some(
            Script::read(r#"{"otherwise":{"message":"a b c d e f g h"}}"#).unwrap_or_default(),
        ),
        latency: Duration::from_millis(1),
        ..Settings::default()
    });
    let url = format!("http://{}/v1", served.address());
    let sandbox = Sandbox::new();
    let session = sandbox.write(
        "left.jsonl",
        concat!(
            r#"{"kind":"session","format":1,"id":"x","created_at":"2026-11-20T20:00:00.000Z","recorder":"replay 0.1.0","command":[],"upstream":"http://there/v1"}"#,
            "\n",
            r#"{"kind":"request","exchange":1,"at_us":0,"transport":"http","http":"1.1","method":"POST","path":"/v1/responses","headers":[],"body":{"model":"m","stream":true,"input":[{"role":"user","content":"hi"}]}}"#,
            "\n",
            r#"{"kind":"end","exchange":1,"at_us":5,"cause":"client_closed"}"#,
            "\n",
        ),
    );
    let again = sandbox.path().join("again.jsonl");
    let done = sandbox.run(&[
        session.to_str().unwrap(),
        "--target",
        &url,
        "--speed",
        "100",
        "-o",
        again.to_str().unwrap(),
        "--format",
        "json",
    ]);
    let left = request(&done, 0);
    assert!(
        left["live"]["note"].to_string().contains("hung up"),
        "{done:?}"
    );
    let recorded = std::fs::read_to_string(&again).unwrap();
    let end = recorded
        .lines()
        .find(|line| line.starts_with("{\"kind\":\"end\""))
        .unwrap();
    assert!(end.contains("client_closed"), "{end}");
}

#[test]
fn a_429_is_waited_for_as_long_as_it_says_and_then_it_goes_on() {
    let wire = Wire::new();
    wire.mount(
        Mock::given(method("POST"))
            .respond_with(
                ResponseTemplate::new(429)
                    .insert_header("retry-after-ms", "3")
                    .set_body_string("{}"),
            )
            .up_to_n_times(2),
    );
    wire.all(streamed("resp_1"));
    let done = replay(&wire.url(), &["--max-requests", "1"]);
    assert_eq!(run(&done)["verdict"], "clean", "{done:?}");
    assert_eq!(request(&done, 0)["attempts"], 3);
    assert_eq!(run(&done)["waited_ms"], 6);
}

#[test]
fn plain_json_is_an_answer_too() {
    let wire = Wire::new();
    wire.all(
        ResponseTemplate::new(200).set_body_json(json!({"id": "resp_1", "object": "response",
        "status": "completed", "output": [message()]})),
    );
    let done = replay(&wire.url(), &["--max-requests", "2"]);
    assert_eq!(run(&done)["verdict"], "clean", "{done:?}");
    let note = run(&done)["note"].as_str().unwrap().to_owned();
    assert!(note.contains("--max-requests"), "{note}");
}

#[test]
fn another_end_of_an_answer_is_a_divergence() {
    let wire = Wire::new();
    let events = stream("resp_1", &[]).replace("response.completed", "response.incomplete");
    wire.all(ResponseTemplate::new(200).set_body_raw(events, "text/event-stream"));
    let done = replay(&wire.url(), &["--max-requests", "1"]);
    assert_eq!(run(&done)["verdict"], "diverged", "{done:?}");
    assert_eq!(
        request(&done, 0)["first_divergence"],
        json!({"what": "end", "recorded": "completed", "now": "incomplete"})
    );
    assert_eq!(done.status, 1);
}

#[test]
fn a_response_that_fails_is_no_acceptance_of_what_was_refused() {
    let wire = Wire::new();
    let events = stream("resp_1", &[]).replace("response.completed", "response.failed").replace(
        "\"status\":\"completed\"",
        "\"status\":\"failed\",\"error\":{\"code\":\"invalid_prompt\",\"message\":\"the history cannot be used\"}",
    );
    wire.all(ResponseTemplate::new(200).set_body_raw(events, "text/event-stream"));
    for strategy in ["none", "full-history"] {
        let done = replay(&wire.url(), &["--recover", strategy]);
        // recorded as completed: another end
        assert_eq!(request(&done, 0)["first_divergence"]["what"], "end");
        // recorded as refused, or changed since
        assert_eq!(request(&done, 2)["outcome"], "failed", "{done:?}");
        let why = request(&done, 2)["live"]["failure"].to_string();
        assert!(why.contains("the history cannot be used"), "{why}");
        assert_eq!(run(&done)["verdict"], "failed");
    }
}

/// A server that writes these bytes to each client and then does with the connection what is said.
fn raw(answers: Vec<(String, After)>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (at, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { break };
            let (bytes, after) = answers[at.min(answers.len() - 1)].clone();
            read_request(&mut stream);
            let _gone = stream.write_all(bytes.as_bytes());
            match after {
                After::Close => {}
                After::Hold => held.push(stream),
                After::Go(part) => {
                    std::thread::spawn(move || while stream.write_all(part.as_bytes()).is_ok() {});
                }
            }
        }
    });
    address
}

#[derive(Clone)]
enum After {
    Close,
    Hold,
    /// Writes this for as long as anybody reads.
    Go(String),
}

fn read_request(stream: &mut std::net::TcpStream) {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    let _gone = stream.read_exact(&mut body);
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[test]
fn a_stream_that_breaks_off_is_asked_for_again() {
    let whole = stream("resp_1", &[message()]);
    let (first, _) = whole.split_at(whole.find("event: response.completed").unwrap());
    let cut = format!("{HEAD}{}", chunk(first));
    let good = format!("{HEAD}{}0\r\n\r\n", chunk(&whole));
    let address = raw(vec![(cut.clone(), After::Close), (good, After::Close)]);
    let url = format!("http://{address}/v1");
    let done = replay(&url, &["--max-requests", "1"]);
    assert_eq!(run(&done)["verdict"], "clean", "{done:?}");
    assert_eq!(request(&done, 0)["attempts"], 2);

    let url = format!("http://{}/v1", raw(vec![(cut, After::Close)]));
    let done = replay(&url, &["--max-requests", "1", "--stream-retries", "1"]);
    assert_eq!(run(&done)["verdict"], "failed");
    assert_eq!(request(&done, 0)["attempts"], 2);
    let why = request(&done, 0)["live"]["failure"].to_string();
    assert!(why.contains("broke off after 2 events"), "{why}");
    // an end that HTTP finds right is none if no terminal event came
    let ended = format!("{HEAD}{}0\r\n\r\n", chunk(first));
    let url = format!("http://{}/v1", raw(vec![(ended, After::Close)]));
    let done = replay(&url, &["--max-requests", "1", "--stream-retries", "0"]);
    let why = request(&done, 0)["live"]["failure"].to_string();
    assert!(why.contains("without a terminal event"), "{why}");
}

#[test]
fn silence_and_endless_talk_are_bounded() {
    let begun = format!(
        "{HEAD}{}",
        chunk("data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n")
    );
    let url = format!("http://{}/v1", raw(vec![(begun.clone(), After::Hold)]));
    let done = replay(
        &url,
        &[
            "--max-requests",
            "1",
            "--idle-timeout",
            "0.05",
            "--stream-retries",
            "1",
        ],
    );
    assert_eq!(run(&done)["verdict"], "failed");
    assert_eq!(request(&done, 0)["attempts"], 2);
    assert!(
        request(&done, 0)["live"]["failure"]
            .to_string()
            .contains("nothing more came")
    );
    let url = format!("http://{}/v1", raw(vec![(String::new(), After::Hold)]));
    let done = replay(
        &url,
        &[
            "--max-requests",
            "1",
            "--idle-timeout",
            "0.05",
            "--retries",
            "0",
        ],
    );
    assert!(
        request(&done, 0)["live"]["failure"]
            .to_string()
            .contains("no answer began")
    );
    let long = chunk(&format!(": {}\n\n", "x".repeat(60_000)));
    let url = format!("http://{}/v1", raw(vec![(begun.clone(), After::Go(long))]));
    let done = replay(&url, &["--max-requests", "1"]);
    assert!(
        request(&done, 0)["live"]["failure"]
            .to_string()
            .contains("did not end"),
        "{done:?}"
    );
    let alive = chunk(": keepalive\n\n");
    let url = format!("http://{}/v1", raw(vec![(begun, After::Go(alive))]));
    let done = replay(&url, &["--max-requests", "1", "--answer-timeout", "0.2"]);
    assert!(
        request(&done, 0)["live"]["failure"]
            .to_string()
            .contains("more "),
        "{done:?}"
    );
    assert_eq!(request(&done, 0)["attempts"], 1);
}

#[test]
fn followed_answers_take_the_place_of_the_recorded_ones() {
    let wire = Wire::new();
    let call = json!({"type": "function_call", "id": "fc_9", "status": "completed", "call_id": "call_NEW",
        "name": "look_up", "arguments": "{\"key\":\"z\"}"});
    wire.mount(
        Mock::given(body_partial_json(
            json!({"previous_response_id": "resp_new_1"}),
        ))
        .respond_with(
            ResponseTemplate::new(400).set_body_string(MISSING.replace("call_A", "call_NEW")),
        ),
    );
    wire.mount(
        Mock::given(method("POST"))
            .respond_with(
                ResponseTemplate::new(200)
                    .set_body_raw(stream("resp_new_1", &[call]), "text/event-stream"),
            )
            .up_to_n_times(1),
    );
    wire.all(streamed("resp_new_2"));
    let done = replay(&wire.url(), &["--follow"]);
    let bodies: Vec<Value> = wire
        .requests()
        .iter()
        .map(|it| serde_json::from_slice(&it.body).unwrap())
        .collect();
    // the second request carries the output for the call the endpoint made
    let input = bodies[1]["input"].as_array().unwrap();
    assert_eq!(input[1]["call_id"], "call_NEW");
    assert_eq!(input[1]["arguments"], "{\"key\":\"z\"}");
    assert_eq!(input[1].get("id"), None);
    assert_eq!(input[2]["call_id"], "call_NEW");
    assert_eq!(input[2]["type"], "function_call_output");
    // and the third goes on from the endpoint's own response
    assert_eq!(bodies[2]["previous_response_id"], "resp_new_1");
    assert_eq!(bodies[2]["input"].as_array().unwrap().len(), 1);
    assert_eq!(run(&done)["verdict"], "refused", "{done:?}");
    assert_eq!(run(&done)["reproduced"], true, "under another id: {done:?}");
    let recovered = replay(&wire.url(), &["--follow", "--recover", "error-body"]);
    let last = request(&recovered, 2);
    assert_eq!(
        last["injected"],
        json!([]),
        "the first answer holds no call now: {last}"
    );
}

#[test]
fn a_conversation_that_takes_another_way_is_not_followed_further() {
    let wire = Wire::new();
    wire.all(streamed("resp_1"));
    let done = replay(&wire.url(), &["--follow"]);
    assert_eq!(run(&done)["verdict"], "diverged", "{done:?}");
    assert_eq!(
        request(&done, 0)["first_divergence"],
        json!({"what": "calls", "recorded": "1 function_call", "now": "no call"})
    );
    assert_eq!(request(&done, 1)["outcome"], "unknown");
    assert_eq!(wire.requests().len(), 1);
}

#[test]
fn websockets_carry_the_same() {
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    let done = replay(&url, &["--transport", "websocket"]);
    assert_eq!(run(&done)["verdict"], "refused", "{done:?}");
    assert_eq!(run(&done)["reproduced"], true);
    let done = replay(
        &url,
        &["--transport", "websocket", "--recover", "error-body"],
    );
    assert_eq!(run(&done)["verdict"], "recovered", "{done:?}");
    let sandbox = Sandbox::new();
    let again = sandbox.path().join("again.jsonl");
    let session = "rollouts/codex-0.169-websocket/session.jsonl";
    let done = sandbox.run(&[
        session,
        "--target",
        &url,
        "--format",
        "json",
        "-o",
        again.to_str().unwrap(),
    ]);
    assert_eq!(run(&done)["verdict"], "clean", "{done:?}");
    let seen = sandbox.run(&[again.to_str().unwrap(), "--format", "json"]);
    assert_eq!(run(&seen)["verdict"], "clean", "{seen:?}");
    assert_eq!(request(&seen, 0)["transport"], "websocket");
    // an endpoint without them says what helps
    let wire = Wire::new();
    wire.all(streamed("resp_1"));
    let done = replay(
        &wire.url(),
        &[
            "--transport",
            "websocket",
            "--max-requests",
            "1",
            "--retries",
            "0",
        ],
    );
    assert_eq!(run(&done)["verdict"], "failed");
    let why = request(&done, 0)["live"]["failure"].to_string();
    assert!(why.contains("--transport http"), "{why}");
}

#[test]
fn a_rollout_is_sent_as_far_as_the_file_goes_and_needs_a_model() {
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    let sandbox = Sandbox::new();
    let rollout = sandbox.write(
        "rollout.jsonl",
        crate::support::capture("h_lost_output-0.45.0", "rollout")
            .or_else(|| crate::support::capture("h_lost_output-0.20.0", "rollout"))
            .unwrap(),
    );
    let rollout = rollout.to_str().unwrap();
    let done = sandbox.run(&[rollout, "--target", &url]);
    assert_eq!(done.status, 2, "{done:?}");
    assert!(done.err.contains("--model"), "{done:?}");
    let done = sandbox.run(&[
        rollout, "--target", &url, "--model", "m", "--format", "json",
    ]);
    let requests = run(&done)["requests"].as_array().unwrap().clone();
    assert!(!requests.is_empty(), "{done:?}");
    assert!(requests.iter().all(|it| it["exact"] == false));
    let done = sandbox.run(&[
        rollout,
        "--target",
        &url,
        "--model",
        "m",
        "--recover",
        "none",
        "--recover",
        "normalize",
        "--format",
        "json",
    ]);
    let runs = done.json()["sessions"][0]["runs"].clone();
    assert_eq!(runs[0]["verdict"], "refused", "{done:?}");
    assert_eq!(runs[1]["verdict"], "recovered", "{done:?}");
}

#[test]
fn the_pace_is_that_of_the_recording_and_its_hang_ups_too() {
    let served = Served::new(Settings {
        script: Some(
            Script::read(r#"{"otherwise":{"message":"a b c d e f g h"}}"#).unwrap_or_default(),
        ),
        latency: Duration::from_millis(1),
        ..Settings::default()
    });
    let url = format!("http://{}/v1", served.address());
    let sandbox = Sandbox::new();
    let again = sandbox.path().join("again.jsonl");
    let again = again.to_str().unwrap();
    let done = sandbox.run(&[
        STORY, "--target", &url, "--speed", "50", "-o", again, "--format", "json",
    ]);
    let left = request(&done, 1);
    assert_eq!(left["outcome"], "accepted", "{done:?}");
    assert!(
        left["live"]["note"].as_str().unwrap().contains("hung up"),
        "{left}"
    );
    let recorded = std::fs::read_to_string(again).unwrap();
    let ends: Vec<&str> = recorded
        .lines()
        .filter(|line| line.starts_with("{\"kind\":\"end\""))
        .collect();
    assert_eq!(ends.len(), 3, "{recorded}");
    assert!(ends[1].contains("client_closed"), "{}", ends[1]);
    assert!(ends[0].contains("complete"));
    let seen = sandbox.run(&[again, "--format", "json"]);
    assert_eq!(run(&seen)["verdict"], "refused");
    assert_eq!(run(&seen)["reproduced"], true);
}

#[test]
fn a_key_is_sent_and_never_told() {
    let key = "key-for-the-test-7f3a9c";
    let wire = Wire::new();
    wire.all(ResponseTemplate::new(401).set_body_json(
        json!({"error": {"message": format!("Incorrect API key provided: {key}"), "code": "invalid_api_key"}}),
    ));
    let sandbox = Sandbox::new();
    let again = sandbox.path().join("again.jsonl");
    let url = wire.url();
    for format in ["json", "text"] {
        let again = again.to_str().unwrap();
        let done = sandbox
            .command(&[
                STORY,
                "--target",
                &url,
                "--key-env",
                "THE_KEY",
                "-o",
                again,
                "--force",
                "--format",
                format,
            ])
            .env("THE_KEY", key)
            .current_dir(crate::support::root())
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(!said.contains(key), "{said}");
        assert!(said.contains("<key>"), "{said}");
    }
    let file = std::fs::read_to_string(&again).unwrap();
    assert!(!file.contains(key) && file.contains("authorization"));
    let sent = wire.requests();
    let header = sent[0].headers.get("authorization").unwrap();
    assert_eq!(header.to_str().unwrap(), format!("Bearer {key}"));
}

#[test]
fn wrong_usage_says_what_is_right() {
    let sandbox = Sandbox::new();
    let mut text = String::new();
    for arguments in [
        &[STORY, "--target", "127.0.0.1:11434"][..],
        &[STORY, "--target", "http://user:secret@127.0.0.1/v1"],
        &[STORY, "--target", "http://target.invalid/v1"],
        &[
            STORY,
            "--target",
            "http://127.0.0.1:1/v1",
            "--key-env",
            "NOT_SET",
        ],
        &[
            STORY,
            "--target",
            "http://127.0.0.1:1/v1",
            "--idle-timeout",
            "0",
        ],
        &[STORY, "--follow"],
        &[
            STORY,
            "--target",
            "http://127.0.0.1:1/v1",
            "--max-requests",
            "0",
        ],
        &[STORY, "--target", "http://127.0.0.1:1/v1", "--model", ""],
        &[
            STORY,
            "--target",
            "http://127.0.0.1:1/v1",
            "-o",
            STORY,
            "--force",
        ],
        &[
            STORY,
            "--target",
            "http://127.0.0.1:1/v1",
            "--write-story",
            "x",
        ],
        &[
            STORY,
            "--target",
            "http://127.0.0.1:1/v1",
            "-o",
            "Cargo.toml",
        ],
    ] {
        let done = sandbox.run(arguments);
        assert_eq!(done.status, 2, "{done:?}");
        text.push_str(&done.err);
        text.push('\n');
    }
    assert!(!text.contains("secret"));
    assert_snapshot!(text);
    let full = sandbox.run(&[
        STORY,
        "--target",
        "http://127.0.0.1:1/v1",
        "--retries",
        "0",
        "-o",
        "/dev/full",
    ]);
    assert_eq!(full.status, 4, "{full:?}");
}

/// The recorded session of each story.
fn sessions() -> Vec<std::path::PathBuf> {
    crate::support::stories()
        .into_iter()
        .map(|folder| folder.join("session.jsonl"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.starts_with("{\"kind\":\"session\"")
        })
        .collect()
}

#[test]
fn our_mock_says_of_what_is_sent_what_the_contract_says_of_the_session() {
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    let sandbox = Sandbox::new();
    let mut seen = 0;
    for path in sessions() {
        let name = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        let done = sandbox.run(&[path.to_str().unwrap(), "--target", &url, "--format", "json"]);
        for request in run(&done)["requests"].as_array().unwrap() {
            let (contract, now) = (request["contract"].clone(), request["outcome"].clone());
            // a chain that is put together holds no id that could be missing
            let put_together = name == "sdk-python-cut-not-stored" && request["exchange"] == 2;
            assert!(
                contract == now || contract == "depends" || put_together,
                "{name}: {request:#}"
            );
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn a_recording_that_is_played_back_is_followed_to_its_end() {
    let sandbox = Sandbox::new();
    let mut reproduced = 0;
    for path in sessions() {
        let name = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        // its answer was cut; a mock that plays no cuts has none for it
        if name == "codex-0.100-cut-after-item" {
            continue;
        }
        let mut settings = Settings::default();
        settings
            .tapes
            .read_tape(&std::fs::read(&path).unwrap())
            .unwrap();
        let served = Served::new(settings);
        let url = format!("http://{}/v1", served.address());
        let path = path.to_str().unwrap();
        let plain = sandbox.run(&[path, "--target", &url, "--format", "json"]);
        let follow = sandbox.run(&[path, "--target", &url, "--follow", "--format", "json"]);
        assert_eq!(
            run(&plain)["verdict"],
            run(&follow)["verdict"],
            "{name}: {follow:?}"
        );
        assert_eq!(
            run(&plain)["reproduced"],
            run(&follow)["reproduced"],
            "{name}"
        );
        reproduced += usize::from(run(&follow)["reproduced"] == true);
    }
    assert!(reproduced > 5, "{reproduced}");
}
