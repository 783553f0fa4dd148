//! `replay serve` and the mock behind it, over loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use insta::assert_snapshot;
use responses_replay::endpoint::served::fault::{Cut, Rule};
use responses_replay::endpoint::served::script::Script;
use responses_replay::endpoint::served::server::Settings;
use responses_replay::endpoint::served::tape::{Match, ReadTape as _, Tapes};
use responses_replay::endpoint::served::{Profile, Rules};
use responses_replay::mock::{Mock, MockEndpoint, Options};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Sandbox, root};

/// A mock with a runtime of its own.
pub(crate) struct Served {
    runtime: tokio::runtime::Runtime,
    mock: Option<Mock>,
}

impl Served {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with(Options {
            settings,
            ..Options::default()
        })
    }

    fn with(options: Options) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mock = runtime.block_on(Mock::start(options)).unwrap();
        Self {
            runtime,
            mock: Some(mock),
        }
    }

    fn scripted(script: &str) -> Self {
        Self::new(Settings {
            script: Some(Script::read(script).unwrap()),
            ..Settings::default()
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.mock.as_ref().unwrap().address()
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
        request(self.address(), method, path, headers, body)
    }

    fn post(&self, body: &Value) -> Got {
        self.send("POST", "/v1/responses", &[], body.to_string().as_bytes())
    }

    fn get(&self, path: &str) -> Value {
        self.send("GET", path, &[], b"").json()
    }

    fn socket(&self) -> Socket {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let url = format!("ws://{}/v1/responses", self.address());
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        Socket(socket)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mock) = self.mock.take() {
            self.runtime.block_on(mock.stop());
        }
    }
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    /// The parts of the body as they were sent.
    chunks: Vec<Vec<u8>>,
    /// Whether the body reached its end.
    whole: bool,
    error: Option<std::io::ErrorKind>,
}

impl Got {
    fn body(&self) -> String {
        String::from_utf8(self.chunks.concat()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body()).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    fn events(&self) -> Vec<Value> {
        self.body()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

fn write_request(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    stream.write_all(text.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Got {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    write_request(&mut stream, method, path, headers, body);
    answer(&mut stream)
}

/// Reads one answer, chunk by chunk.
fn answer(stream: &mut TcpStream) -> Got {
    let mut buffer = Vec::new();
    let mut error = None;
    let mut more = |buffer: &mut Vec<u8>| {
        let mut part = vec![0; 65536];
        match stream.read(&mut part) {
            Ok(0) => false,
            Ok(count) => {
                buffer.extend_from_slice(&part[..count]);
                true
            }
            Err(why) => {
                error = Some(why.kind());
                false
            }
        }
    };
    let find = |buffer: &[u8], what: &[u8]| buffer.windows(what.len()).position(|it| it == what);
    let head_end = loop {
        if let Some(at) = find(&buffer, b"\r\n\r\n") {
            break at + 4;
        }
        assert!(more(&mut buffer), "no head");
    };
    let head = String::from_utf8(buffer.drain(..head_end).collect()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut chunks = Vec::new();
    let mut whole = false;
    if let Some(length) = length {
        let length: usize = length.parse().unwrap();
        while buffer.len() < length && more(&mut buffer) {}
        whole = buffer.len() == length;
        chunks.push(buffer);
    } else {
        'body: loop {
            let line = loop {
                if let Some(at) = find(&buffer, b"\r\n") {
                    break at;
                }
                if !more(&mut buffer) {
                    break 'body;
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&buffer[..line]).unwrap(), 16);
            let size = size.unwrap();
            while buffer.len() < line + 2 + size + 2 {
                if !more(&mut buffer) {
                    chunks.push(buffer[line + 2..].to_vec());
                    break 'body;
                }
            }
            let rest = buffer.split_off(line + 2 + size + 2);
            let chunk = buffer[line + 2..line + 2 + size].to_vec();
            buffer = rest;
            if size == 0 {
                whole = true;
                break;
            }
            chunks.push(chunk);
        }
    }
    Got {
        status,
        head,
        chunks,
        whole,
        error,
    }
}

struct Socket(tungstenite::WebSocket<TcpStream>);

impl Socket {
    fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    fn next(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The events of one response, or the one error.
    fn turn(&mut self, message: &Value) -> Vec<Value> {
        self.send(message);
        let mut events = Vec::new();
        loop {
            let event = self.next();
            let kind = event["type"].as_str().unwrap().to_owned();
            events.push(event);
            if [
                "response.completed",
                "response.failed",
                "response.incomplete",
                "error",
            ]
            .contains(&kind.as_str())
            {
                return events;
            }
        }
    }

    /// The response object of one turn.
    fn response(&mut self, message: &Value) -> Value {
        let events = self.turn(message);
        check_stream(&events);
        events.last().unwrap()["response"].clone()
    }
}

fn create(members: &Value) -> Value {
    let mut message = json!({"type": "response.create", "model": "m"});
    for (key, value) in members.as_object().unwrap() {
        message[key] = value.clone();
    }
    message
}

const CALL: &str =
    r#"{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{}"}"#;

fn call() -> Value {
    serde_json::from_str(CALL).unwrap()
}

/// Each refusal: the items (or body) that earn it, and the members of the error.
fn refusals() -> Vec<(Value, u16, &'static str, Value, Value)> {
    let of = |kind: &str, extra: Value| {
        let mut item = json!({"type": kind, "call_id": "call_X"});
        for (key, value) in extra.as_object().unwrap() {
            item[key] = value.clone();
        }
        json!({"input": [item]})
    };
    let input = || json!("input");
    let none = || Value::Null;
    let long = "c".repeat(70);
    vec![
        (
            of("function_call", json!({"name": "f", "arguments": "{}"})),
            400,
            "No tool output found for function call call_X.",
            input(),
            none(),
        ),
        (
            of("custom_tool_call", json!({"name": "f", "input": ""})),
            400,
            "No tool output found for custom tool call call_X.",
            input(),
            none(),
        ),
        (
            of("local_shell_call", json!({"action": {}})),
            400,
            "No tool output found for local shell call call_X.",
            input(),
            none(),
        ),
        (
            of("computer_call", json!({})),
            400,
            "No tool output found for computer call call_X.",
            input(),
            none(),
        ),
        (
            of("shell_call", json!({})),
            400,
            "No tool output found for shell call call_X.",
            input(),
            none(),
        ),
        (
            of("apply_patch_call", json!({})),
            400,
            "No tool output found for apply patch call call_X.",
            input(),
            none(),
        ),
        (
            of("tool_search_call", json!({"execution": "client"})),
            400,
            "No tool output found for tool search call call_X.",
            input(),
            none(),
        ),
        (
            json!({"input": [{"type": "web_search_call", "id": "ws_1", "status": "in_progress"}]}),
            400,
            "No tool output found for web search call ws_1",
            input(),
            none(),
        ),
        (
            of("function_call_output", json!({"output": ""})),
            400,
            "No tool call found for function call output with call_id call_X.",
            input(),
            none(),
        ),
        (
            of("custom_tool_call_output", json!({"output": ""})),
            400,
            "No tool call found for custom tool call output with call_id call_X.",
            input(),
            none(),
        ),
        (
            json!({"input": [{"role": "user", "content": "a", "id": "msg_1"}, {"role": "user", "content": "b", "id": "msg_1"}]}),
            400,
            "Duplicate item found with id msg_1. Remove duplicate items from your input and try again.",
            input(),
            none(),
        ),
        (
            json!({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "x"}]}),
            400,
            "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
            input(),
            none(),
        ),
        (
            json!({"store": false, "input": [{"type": "item_reference", "id": "msg_9"}]}),
            404,
            "Item with id 'msg_9' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.",
            input(),
            none(),
        ),
        (
            json!({"input": [{"type": "item_reference", "id": "msg_9"}]}),
            404,
            "Item with id 'msg_9' not found.",
            input(),
            none(),
        ),
        (
            json!({"previous_response_id": "resp_9", "input": "x"}),
            400,
            "Previous response with id 'resp_9' not found.",
            json!("previous_response_id"),
            json!("previous_response_not_found"),
        ),
        (
            json!({"previous_response_id": "chatcmpl_9", "input": "x"}),
            400,
            "Invalid 'previous_response_id': 'chatcmpl_9'. Expected an ID that begins with 'resp'.",
            json!("previous_response_id"),
            json!("invalid_value"),
        ),
        (
            json!({"input": [{"type": "function_call", "id": "call_1", "call_id": "call_1", "name": "f", "arguments": "{}"}]}),
            400,
            "Invalid 'input[0].id': 'call_1'. Expected an ID that begins with 'fc'.",
            json!("input[0].id"),
            json!("invalid_value"),
        ),
        (
            json!({"input": [{"role": "user", "content": "x"}, {"type": "function_call_output", "call_id": long, "output": ""}]}),
            400,
            "Invalid 'input[1].call_id': string too long. Expected a string with maximum length 64, but got a string with length 70 instead.",
            json!("input[1].call_id"),
            json!("string_above_max_length"),
        ),
        (
            json!({"input": [{"type": "web_search_call", "id": "ws_1", "action": {"type": "other"}}]}),
            400,
            "Invalid value: 'other'. Supported values are: 'search', 'open_page', and 'find_in_page'.",
            json!("input[0].action.type"),
            json!("invalid_value"),
        ),
        (
            json!({"input": [{"role": "user"}]}),
            400,
            "Missing required parameter: 'input[0].content'.",
            json!("input[0].content"),
            json!("missing_required_parameter"),
        ),
        (
            json!({}),
            400,
            "Missing required parameter: 'input'.",
            input(),
            json!("missing_required_parameter"),
        ),
        (
            json!({"conversation": "conv_9", "input": "x"}),
            404,
            "Conversation with id 'conv_9' not found.",
            none(),
            none(),
        ),
    ]
}

#[test]
fn every_refusal_is_the_apis_at_every_place() {
    let served = Served::new(Settings::default());
    for (members, status, message, param, code) in refusals() {
        let mut body = json!({"model": "m"});
        for (key, value) in members.as_object().unwrap() {
            body[key] = value.clone();
        }
        let spelled = |value: &Value| value.to_string();
        let expected = format!(
            "{{\n  \"error\": {{\n    \"message\": {},\n    \"type\": \"invalid_request_error\",\n    \"param\": {},\n    \"code\": {}\n  }}\n}}",
            Value::from(message),
            spelled(&param),
            spelled(&code)
        );
        for stream in [false, true] {
            body["stream"] = stream.into();
            let got = served.post(&body);
            assert_eq!((got.status, got.body()), (status, expected.clone()));
            assert!(got.head.contains("content-type: application/json\r\n"));
            assert!(got.head.contains("x-request-id: req_"));
        }
        let mut error = json!({"type": "invalid_request_error", "message": message});
        for (key, value) in [("param", &param), ("code", &code)] {
            if !value.is_null() {
                error[key] = value.clone();
            }
        }
        let events = served.socket().turn(&create(&members));
        assert_eq!(
            events,
            [json!({"type": "error", "error": error, "status": status})]
        );
    }
}

#[test]
fn policies_change_what_is_refused() {
    let output = json!({"type": "function_call_output", "call_id": "call_1", "output": ""});
    let body = json!({"model": "m", "input": [output, call()]});
    assert_eq!(Served::new(Settings::default()).post(&body).status, 200);
    let mut rules = Rules::default();
    rules.set("output_before_call=refuse").unwrap();
    let served = Served::new(Settings {
        rules,
        ..Settings::default()
    });
    assert_eq!(served.post(&body).status, 400);
}

/// What a stream must keep to, of whichever transport.
fn check_stream(events: &[Value]) {
    assert_eq!(events[0]["type"], "response.created");
    let terminal = events.last().unwrap();
    check_object(&terminal["response"]);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number as u64, "{event}");
        let kind = event["type"].as_str().unwrap();
        let needs: &[&str] = match kind {
            "response.output_item.added" | "response.output_item.done" => &["output_index", "item"],
            "response.content_part.added" | "response.content_part.done" => {
                &["item_id", "output_index", "content_index", "part"]
            }
            "response.output_text.delta" => &[
                "item_id",
                "output_index",
                "content_index",
                "delta",
                "logprobs",
            ],
            "response.output_text.done" => &[
                "item_id",
                "output_index",
                "content_index",
                "text",
                "logprobs",
            ],
            "response.function_call_arguments.delta" => &["item_id", "output_index", "delta"],
            "response.function_call_arguments.done" => {
                &["item_id", "output_index", "arguments", "name"]
            }
            "response.created" | "response.in_progress" | "response.completed" => &["response"],
            other => panic!("{other}"),
        };
        for key in needs {
            assert!(event.get(key).is_some(), "{kind} lacks {key}");
        }
    }
}

/// The members that Open Responses requires, with their types.
fn check_object(object: &Value) {
    assert_eq!(object["object"], "response");
    assert!(object["id"].as_str().unwrap().starts_with("resp_"));
    for key in ["created_at", "top_logprobs"] {
        assert!(object[key].is_u64(), "{key}");
    }
    for key in [
        "top_p",
        "temperature",
        "presence_penalty",
        "frequency_penalty",
    ] {
        assert!(object[key].is_number(), "{key}");
    }
    for key in ["parallel_tool_calls", "store", "background"] {
        assert!(object[key].is_boolean(), "{key}");
    }
    for key in ["status", "model", "truncation", "service_tier"] {
        assert!(object[key].is_string(), "{key}");
    }
    for key in ["output", "tools"] {
        assert!(object[key].is_array(), "{key}");
    }
    for key in [
        "completed_at",
        "incomplete_details",
        "previous_response_id",
        "instructions",
        "error",
        "user",
        "max_output_tokens",
        "max_tool_calls",
        "safety_identifier",
        "prompt_cache_key",
        "metadata",
        "tool_choice",
    ] {
        assert!(object.get(key).is_some(), "{key}");
    }
    assert!(object["text"]["format"]["type"].is_string());
    assert!(
        object["reasoning"].get("effort").is_some() && object["reasoning"].get("summary").is_some()
    );
    for tool in object["tools"].as_array().unwrap() {
        for key in ["name", "description", "parameters", "strict"] {
            assert!(tool.get(key).is_some(), "{key}");
        }
    }
    for item in object["output"].as_array().unwrap() {
        assert!(item["id"].is_string() && item["status"] == "completed");
    }
    for key in ["input_tokens", "output_tokens", "total_tokens"] {
        assert!(object["usage"][key].is_u64(), "{key}");
    }
    assert!(object["usage"]["input_tokens_details"]["cached_tokens"].is_u64());
    assert!(object["usage"]["output_tokens_details"]["reasoning_tokens"].is_u64());
}

fn full() -> Served {
    Served::new(Settings {
        rules: Rules {
            profile: Profile::Full,
            ..Rules::default()
        },
        ..Settings::default()
    })
}

/// Inputs that a server has to take, each with what its answer must hold.
#[test]
fn open_responses_over_http() {
    let served = full();
    let user = |text: &str| json!({"type": "message", "role": "user", "content": text});
    let said = |text: &str| json!({"type": "message", "role": "assistant", "content": text});
    let mut phased = said("I should answer.");
    phased["phase"] = "commentary".into();
    let image = json!({"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}]});
    for input in [
        json!([user("Say hello.")]),
        json!([phased, said("Four."), user("Repeat it.")]),
        json!([{"type": "message", "role": "system", "content": "Be a pirate."}, user("Hello.")]),
        json!([image]),
        json!([user("I am Alice."), said("Hello Alice."), user("Who am I?")]),
    ] {
        let got = served.post(&json!({"model": "m", "input": input}));
        assert_eq!(got.status, 200);
        let object = got.json();
        check_object(&object);
        assert_eq!(object["status"], "completed");
        assert!(!object["output"].as_array().unwrap().is_empty());
    }
    let tools = json!([{"type": "function", "name": "get_weather", "parameters": {"type": "object",
        "properties": {"location": {"type": "string"}}, "required": ["location"]}}]);
    let object = served
        .post(&json!({"model": "m", "input": [user("Weather?")], "tools": tools}))
        .json();
    check_object(&object);
    assert_eq!(object["output"][0]["type"], "function_call");
    let arguments = object["output"][0]["arguments"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(arguments).unwrap()["location"].is_string());

    let got = served.post(&json!({"model": "m", "stream": true, "input": [user("Count.")]}));
    check_stream(&got.events());
    assert!(got.head.contains("content-type: text/event-stream"));

    let compact = json!({"model": "m", "prompt_cache_key": "k", "input": [user("Tuesday."), said("Understood.")]});
    let got = served.send(
        "POST",
        "/v1/responses/compact",
        &[],
        compact.to_string().as_bytes(),
    );
    let object = got.json();
    assert_eq!(object["object"], "response.compaction");
    let output = object["output"].as_array().unwrap();
    let last = output.last().unwrap();
    assert_eq!(last["type"], "compaction");
    assert!(last["encrypted_content"].is_string() && last["id"].is_string());
    assert!(object["usage"]["total_tokens"].is_u64() && object["created_at"].is_u64());
    let nameless = json!({"input": [user("x")]}).to_string();
    let got = served.send("POST", "/v1/responses/compact", &[], nameless.as_bytes());
    assert_eq!(got.status, 400);
    // what was compacted begins a new chain on a WebSocket
    let mut input = output.clone();
    input.push(user("Go on."));
    let object = served.socket().response(&create(
        &json!({"store": false, "input": input, "tools": []}),
    ));
    assert_eq!(object["status"], "completed");
}

#[test]
fn open_responses_over_websocket() {
    let served = full();
    let mut socket = served.socket();
    let go = |text: &str| create(&json!({"store": false, "input": text}));
    let on = |text: &str, previous: &Value| {
        create(&json!({"store": false, "input": text, "previous_response_id": previous}))
    };
    let first = socket.response(&go("first"));
    let second = socket.response(&go("second"));
    assert_ne!(first["id"], second["id"]);
    let third = socket.response(&on("more", &second["id"]));
    assert_eq!(third["previous_response_id"], second["id"]);
    // on another connection it is not known
    let code = |events: &[Value]| events.last().unwrap()["error"]["code"].clone();
    let not_found = json!("previous_response_not_found");
    let mut other = served.socket();
    assert_eq!(code(&other.turn(&on("x", &third["id"]))), not_found);
    assert_eq!(other.response(&go("recover"))["status"], "completed");
    assert_eq!(
        code(&socket.turn(&on("x", &json!("resp_missing")))),
        not_found
    );
    // a continuation that fails evicts what it went on from
    let orphan = json!([{"type": "function_call_output", "call_id": "call_none", "output": "x"}]);
    let failing =
        create(&json!({"store": false, "previous_response_id": third["id"], "input": orphan}));
    let failed = socket.turn(&failing);
    assert!(code(&failed).is_string() && failed[0]["status"] == 400);
    assert_eq!(code(&socket.turn(&on("x", &third["id"]))), not_found);
}

#[test]
fn a_websocket_has_lanes_and_limits() {
    let served = Served::scripted(r#"[{"text":"one two three","delay_ms":1},{"text":"two"}]"#);
    let mut socket = served.socket();
    let on = |lane: &str| create(&json!({"store": false, "input": "go", "stream_id": lane}));
    for lane in ["a", "b"] {
        socket.send(&on(lane));
    }
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let event = socket.next();
        let lane = event["stream_id"].as_str().unwrap().to_owned();
        if event["type"] == "response.completed" {
            ended.push(lane);
        }
    }
    ended.sort();
    assert_eq!(ended, ["a", "b"]);
    assert_eq!(
        socket.turn(&on("not possible")),
        [
            json!({"type":"error","error":{"type":"invalid_request_error","code":"invalid_stream_id","message":"The 'stream_id' field must be a non-empty string with at most 256 characters and may only contain letters, numbers, underscores, hyphens, and periods.","param":"stream_id"},"status":400})
        ]
    );
    for number in 2..32 {
        let events = socket.turn(&on(&format!("lane_{number}")));
        assert_eq!(events.last().unwrap()["type"], "response.completed");
    }
    let events = socket.turn(&on("one_too_many"));
    assert_eq!(events[0]["error"]["code"], "websocket_stream_limit_reached");
    assert_eq!(events[0]["stream_id"], "one_too_many");
    // a warm-up opens an id to go on from
    let warm = socket.response(&create(
        &json!({"store": false, "generate": false, "input": "hi"}),
    ));
    assert_eq!(warm["output"], json!([]));
    let next = socket.response(&create(
        &json!({"store": false, "input": "go", "previous_response_id": warm["id"]}),
    ));
    assert_eq!(next["status"], "completed");
    socket.0.send(Message::Ping("x".into())).unwrap();
    assert!(matches!(socket.0.read().unwrap(), Message::Pong(_)));
    socket.send(&json!({"type": "response.processed", "response_id": "resp_1"}));
    let odd = socket.turn(&json!({"type": "response.unknown"}));
    assert_eq!(odd[0]["error"]["param"], "type");
    socket.0.close(None).unwrap();
    assert!(matches!(socket.0.read().unwrap(), Message::Close(_)));
}

#[test]
fn an_old_websocket_is_told_and_closed() {
    let served = Served::with(Options {
        websocket_limit: Duration::from_millis(1),
        body_limit: 1000,
        ..Options::default()
    });
    let mut socket = served.socket();
    let event = socket.next();
    assert_eq!(event["error"]["code"], "websocket_connection_limit_reached");
    let Message::Close(Some(frame)) = socket.0.read().unwrap() else {
        panic!()
    };
    assert_eq!(u16::from(frame.code), 1000);
    let got = served.send("POST", "/v1/responses", &[], &[b' '; 2000]);
    assert_eq!(got.status, 413);
    let served = Served::with(Options {
        body_limit: 1000,
        ..Options::default()
    });
    let mut socket = served.socket();
    let big = create(&json!({"input": "x".repeat(2000)}));
    socket.0.send(Message::text(big.to_string())).unwrap();
    let Message::Close(Some(frame)) = socket.0.read().unwrap() else {
        panic!()
    };
    assert_eq!(u16::from(frame.code), 1009);
}

#[test]
fn each_write_holds_whole_frames() {
    let text = "word ".repeat(4000);
    let served = Served::scripted(&json!([{"text": text}, {"text": text}]).to_string());
    let body = json!({"model": "m", "input": "x", "stream": true});
    let got = served.post(&body);
    assert!(got.whole && got.chunks.len() > 3, "{}", got.chunks.len());
    for chunk in &got.chunks {
        assert!(chunk.starts_with(b"event: ") && chunk.ends_with(b"\n\n"));
        assert!(chunk.len() <= 64 << 10);
    }
    let exact = served.send(
        "POST",
        "/v1/responses",
        &[("x-replay-chunks", "exact")],
        body.to_string().as_bytes(),
    );
    assert_eq!(exact.chunks.len(), exact.events().len());
}

#[test]
fn streams_are_cut_as_asked_for() {
    let served = Served::new(Settings {
        cuts: vec![Rule::<Cut>::parse("7:response.created=eof").unwrap()],
        ..Settings::default()
    });
    let body = json!({"model": "m", "input": "x", "stream": true}).to_string();
    let cut = |how: &str| {
        let header = format!("response.output_item.added={how}");
        served.send(
            "POST",
            "/v1/responses",
            &[("x-replay-cut", &header)],
            body.as_bytes(),
        )
    };
    for how in ["close", "half-line"] {
        let got = cut(how);
        assert!(!got.whole && got.error.is_none(), "{how}");
        assert!(got.body().contains("event: response.output_item.added"));
        assert_eq!(got.body().ends_with("\n\n"), how == "close");
    }
    let got = cut("reset");
    assert_eq!(got.error, Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(got.events().len(), 3);
    let got = cut("eof");
    assert!(got.whole && got.events().len() == 3);
    let got = cut("error");
    assert_eq!(got.events()[3]["type"], "error");
    // who waits in front of a stalled answer sees no end
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let header = [("x-replay-cut", "0=stall")];
    write_request(
        &mut stream,
        "POST",
        "/v1/responses",
        &header,
        body.as_bytes(),
    );
    let mut seen = Vec::new();
    while !seen.ends_with(b"\n\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        seen.push(byte[0]);
    }
    stream.set_nonblocking(true).unwrap();
    let more = stream.read(&mut [0]);
    assert_eq!(more.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // and the seventh request is cut by the run's own rule
    let got = served.send("POST", "/v1/responses", &[], body.as_bytes());
    assert_eq!(got.events().len(), 1);
    // on a WebSocket the connection goes
    let message = create(&json!({"input": "x"}));
    let ended = full();
    let mut socket = ended.socket();
    socket.send(&message);
    assert_eq!(socket.next()["type"], "response.created");
}

#[test]
fn bodies_may_be_compressed_and_paths_have_prefixes() {
    let served = Served::new(Settings::default());
    let body = json!({"model": "m", "input": "x"}).to_string();
    let packed = zstd::encode_all(body.as_bytes(), 3).unwrap();
    let got = served.send(
        "POST",
        "/backend-api/codex/responses",
        &[("content-encoding", "zstd")],
        &packed,
    );
    assert_eq!(got.status, 200);
    let got = served.send(
        "POST",
        "/responses",
        &[("content-encoding", "lzma")],
        &packed,
    );
    assert_eq!(got.status, 415);
    let got = served.send("POST", "/v1/chat/completions", &[], b"{}");
    assert_eq!(got.status, 404);
    assert_eq!(got.json()["error"]["code"], "chat_completions_not_served");
    assert_eq!(served.send("GET", "/v1/other", &[], b"").status, 404);
    assert_eq!(served.send("PUT", "/v1/models", &[], b"").status, 405);
    assert_eq!(served.send("GET", "/v1/responses", &[], b"").status, 405);
    let got = served.send("POST", "/v1/responses", &[], b"{not json");
    assert_eq!(got.status, 400);
    let journal = served.get("/_replay/requests");
    assert_eq!(journal["counts"]["requests"], 7);
    assert_eq!(journal["requests"][0]["body"]["input"], "x");
    assert_eq!(served.get("/_replay/health")["ok"], true);
    served.send("POST", "/_replay/reset", &[], b"");
    assert_eq!(served.get("/_replay/requests")["counts"]["requests"], 0);
}

#[test]
fn a_recording_is_played_back_byte_for_byte() {
    let path = root().join("rollouts/codex-0.169-two-lanes/session.jsonl");
    let bytes = std::fs::read(path).unwrap();
    let mut tapes = Tapes::new(Match::Conversation, false);
    tapes.read_tape(&bytes).unwrap();
    let recorded: Vec<Value> = String::from_utf8_lossy(&bytes)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let served = Served::new(Settings {
        tapes,
        exact: true,
        ..Settings::default()
    });
    let mut played = 0;
    for line in recorded.iter().filter(|it| it["kind"] == "request") {
        let Some(body) = line.get("body").filter(|it| it.get("input").is_some()) else {
            continue;
        };
        let chunks: Vec<&str> = recorded
            .iter()
            .filter(|it| it["kind"] == "chunk" && it["exchange"] == line["exchange"])
            .filter_map(|it| it["text"].as_str())
            .collect();
        if !chunks.concat().contains("response.completed") {
            continue;
        }
        let headers: Vec<(&str, &str)> = line["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .filter(|(name, _)| {
                ![
                    "content-length",
                    "host",
                    "content-encoding",
                    "transfer-encoding",
                    "connection",
                ]
                .contains(&name.to_lowercase().as_str())
            })
            .collect();
        let got = served.send(
            "POST",
            "/v1/responses",
            &headers,
            body.to_string().as_bytes(),
        );
        let got: Vec<String> = got
            .chunks
            .into_iter()
            .map(|it| String::from_utf8(it).unwrap())
            .collect();
        assert_eq!(got, chunks);
        played += 1;
    }
    assert!(played >= 2, "{played}");
}

#[test]
fn a_thousand_idle_connections_do_not_hurt() {
    let served = Served::new(Settings::default());
    let idle: Vec<TcpStream> = (0..1000)
        .map(|_| TcpStream::connect(served.address()).unwrap())
        .collect();
    for _ in 0..10 {
        assert_eq!(
            served.post(&json!({"model": "m", "input": "x"})).status,
            200
        );
    }
    assert_eq!(idle.len(), 1000);
}

#[test]
fn a_mock_for_rust_tests_says_what_is_wrong() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mock = runtime
        .block_on(
            MockEndpoint::new()
                .script(r#"[{"text":"hi"}]"#)
                .expect_requests(1)
                .start(),
        )
        .unwrap();
    let address: SocketAddr = mock.url()["http://".len()..]
        .trim_end_matches("/v1")
        .parse()
        .unwrap();
    let post = |body: &Value| {
        request(
            address,
            "POST",
            "/v1/responses",
            &[],
            body.to_string().as_bytes(),
        )
        .status
    };
    assert!(
        mock.problem()
            .unwrap()
            .contains("1 requests were expected, 0 came")
    );
    assert_eq!(post(&json!({"model": "m", "input": "x"})), 200);
    assert_eq!(mock.problem(), None);
    assert_eq!(post(&json!({"model": "m", "input": [call()]})), 400);
    let problem = mock.problem().unwrap();
    assert!(
        problem.contains("1 of 2 requests broke the contract"),
        "{problem}"
    );
    assert!(
        problem.contains("No tool output found for function call call_1."),
        "{problem}"
    );
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(mock)));
    assert!(dropped.is_err());
    let wrong = runtime.block_on(MockEndpoint::new().cut_at("a=boom").start());
    assert!(wrong.unwrap_err().to_string().contains("no way to cut"));
}

#[test]
fn the_program_listens_and_stops() {
    let sandbox = Sandbox::new();
    let port = sandbox.path().join("port");
    let mut child = sandbox
        .command(&["serve", "--port-file", port.to_str().unwrap()])
        .spawn()
        .unwrap();
    // the address is printed when it listens
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let written = std::fs::read_to_string(&port).unwrap();
    let address = line
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches("/v1");
    let got = request(address.parse().unwrap(), "GET", "/_replay/health", &[], b"");
    assert_eq!(got.status, 200);
    assert_eq!(written, format!("{address}\n"));
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_command_is_run_and_its_requests_judged() {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| {
        let out = sandbox
            .command(arguments)
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        (
            out.status.code(),
            String::from_utf8(out.stdout).unwrap(),
            String::from_utf8(out.stderr).unwrap(),
        )
    };
    let (status, out, err) = run(&["serve", "--", "sh", "-c", "echo $OPENAI_API_KEY; exit 3"]);
    assert_eq!((status, out.as_str()), (Some(3), "replay\n"));
    assert_eq!(err, "replay serve: 0 requests, 0 judged, 0 refused\n");
    let (status, _, err) = run(&["serve", "--", "/does/not/exist"]);
    assert_eq!(status, Some(127), "{err}");
    let (status, _, err) = run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("--any-host"), "{err}");
    let (status, _, err) = run(&["serve", "--policy", "nothing=x"]);
    assert_eq!(status, Some(2), "{err}");
    let (status, _, err) = run(&["serve", "--cut", "1:a=boom"]);
    assert!(status == Some(2) && err.contains("no way to cut"), "{err}");
    let script = sandbox.write("script.json", r#"{"turns":[{"txt":"x"}]}"#);
    let (status, _, err) = run(&["serve", "--script", script.to_str().unwrap()]);
    assert!(
        status == Some(3) && err.contains("turns[0]: `txt` is not known"),
        "{err}"
    );
}

#[test]
fn help() {
    let sandbox = Sandbox::new();
    let out = sandbox.command(&["serve", "--help"]).output().unwrap();
    assert_snapshot!(String::from_utf8(out.stdout).unwrap());
}

/// The program, listening.
struct Program {
    child: std::process::Child,
    address: SocketAddr,
}

impl Program {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut child = sandbox.command(arguments).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let address = line.trim().trim_start_matches("http://");
        let address = address.trim_end_matches("/v1").parse().unwrap();
        Self { child, address }
    }

    fn ask(&self, body: &Value) -> Got {
        let body = body.to_string();
        request(
            self.address,
            "POST",
            "/v1/responses",
            &[("authorization", "Bearer secret-of-mine-1234567890")],
            body.as_bytes(),
        )
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        let killed = std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status();
        assert!(killed.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_cassette_records_once_and_plays_back() {
    let upstream = Served::scripted(r#"[{"text":"from above"},{"text":"second"}]"#);
    let url = format!("http://{}/v1", upstream.address());
    let sandbox = Sandbox::new();
    let folder = sandbox.path().join("cassette");
    let folder = folder.to_str().unwrap();
    let first = json!({"model": "m", "input": "hi", "stream": true});
    let program = Program::start(
        &sandbox,
        &["serve", "--cassette", folder, "--upstream", &url],
    );
    let got = program.ask(&first);
    assert!(got.body().contains("from above"), "{got:?}");
    let id = got.events()[0]["response"]["id"].clone();
    let second = json!({"model": "m", "input": "on", "previous_response_id": id, "stream": true});
    assert!(program.ask(&second).body().contains("second"));
    // what came back is known: the same request is answered without asking again
    let asked = upstream.mock.as_ref().unwrap().counts().requests;
    assert!(program.ask(&first).body().contains("from above"));
    assert_eq!(upstream.mock.as_ref().unwrap().counts().requests, asked);
    program.stop();
    drop(upstream);
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
    assert!(!text.contains("secret-of-mine"));

    // the upstream is gone: everything comes from the cassette, and what is new is an error that is explained
    let program = Program::start(&sandbox, &["serve", "--cassette", folder, "--mode", "none"]);
    let got = program.ask(&first);
    assert!(got.body().contains("from above"));
    assert!(program.ask(&second).body().contains("second"));
    let got = program.ask(&json!({"model": "m", "input": "something else"}));
    assert_eq!(got.status, 404);
    let error = got.json()["error"].clone();
    assert_eq!(error["code"], "replay_no_match");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("input[0].content"),
        "{error}"
    );
    program.stop();
    let mut unknown = sandbox.command(&["serve", "--cassette", folder, "--mode", "sometimes"]);
    assert_eq!(unknown.output().unwrap().status.code(), Some(2));
}
