use proptest::prelude::*;

use super::*;
use crate::ids::ItemIndex;
use crate::session::exchange::{Purpose, Terminal};
use crate::session::format::{
    Cause, ConnectionLine, EndLine, FrameLine, HeaderLines, RequestLine, ResponseLine, SessionLine,
};
use crate::session::writer::Writer;

fn read_text(text: &str) -> Recording {
    read(text.as_bytes()).unwrap()
}

fn item(call: &str) -> String {
    format!(
        r#"{{"id":"fc_{call}","type":"function_call","status":"completed","name":"shell","arguments":"{{}}","call_id":"{call}"}}"#
    )
}

fn stream(id: &str, items: &[String], terminal: bool) -> String {
    let created =
        format!(r#"{{"type":"response.created","sequence_number":0,"response":{{"id":"{id}"}}}}"#);
    let mut frames = vec![format!("event: response.created\ndata: {created}\n\n")];
    for (at, item) in items.iter().enumerate() {
        for kind in ["added", "done"] {
            let data = format!(
                r#"{{"type":"response.output_item.{kind}","output_index":{at},"item":{item}}}"#
            );
            frames.push(format!("data: {data}\n\n: ping\n\n"));
        }
    }
    if terminal {
        let response = format!(r#"{{"id":"{id}","output":[]}}"#);
        let data = format!(r#"{{"type":"response.completed","response":{response}}}"#);
        frames.push(format!("data: {data}\n\n"));
    }
    frames.concat()
}

struct Script {
    writer: Writer<Vec<u8>>,
    at_us: u64,
}

impl Script {
    fn new() -> Self {
        let mut writer = Writer::new(Vec::new());
        writer
            .session(&SessionLine {
                id: Some("rec"),
                recorder: Some("test"),
                ..SessionLine::default()
            })
            .unwrap();
        Self { writer, at_us: 0 }
    }

    fn request(&mut self, exchange: u32, headers: &[(&str, &str)], body: &str) {
        self.at_us += 1000;
        let headers = Headers::new(headers.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        let line = RequestLine {
            exchange,
            connection: None,
            at_us: self.at_us,
            head_at_us: None,
            transport: "http",
            http: Some("1.1"),
            method: Some("POST"),
            path: Some("/v1/responses"),
            headers: Some(HeaderLines(&headers)),
            body_complete: None,
            body_encoded: None,
            redacted: Vec::new(),
        };
        self.writer.request(line, body.as_bytes().to_vec()).unwrap();
    }

    fn answer(&mut self, exchange: u32, status: u32, body: &str, cause: Option<EndCause>) {
        let line = ResponseLine {
            exchange,
            at_us: self.at_us,
            status,
            headers: None,
        };
        self.writer.response(line).unwrap();
        for bytes in body.as_bytes().chunks(37) {
            self.writer
                .chunk(exchange, self.at_us, bytes, None)
                .unwrap();
        }
        if let Some(cause) = cause {
            let line = EndLine {
                exchange,
                at_us: self.at_us,
                cause: Cause(cause),
                detail: None,
                trailers: None,
            };
            self.writer.end(line).unwrap();
        }
    }

    fn text(self) -> String {
        String::from_utf8(self.writer.into_inner()).unwrap()
    }
}

fn user(text: &str) -> String {
    format!(r#"{{"role":"user","content":"{text}"}}"#)
}

fn body(items: &[String]) -> String {
    let padding = "p".repeat(300);
    format!(
        r#"{{"model":"m","instructions":"{padding}","input":[{}],"stream":true}}"#,
        items.join(",")
    )
}

fn refusal(call: &str) -> String {
    format!(
        r#"{{"error":{{"message":"No tool output found for function call {call}.","type":"invalid_request_error","param":"input","code":null}}}}"#
    )
}

/// Tool call, its output, cut second answer, refused third request and its retry.
fn story() -> String {
    let mut script = Script::new();
    let call = item("call_1");
    let output = r#"{"type":"function_call_output","call_id":"call_1","output":"ok"}"#.to_owned();
    let mut history = vec![user("go")];
    script.request(
        1,
        &[("user-agent", "OpenAI/Python 3.52.0")],
        &body(&history),
    );
    script.answer(
        1,
        200,
        &stream("resp_1", &[call], true),
        Some(EndCause::Complete),
    );
    // sent again without its id and status, keys in another order
    history.push(
        r#"{"call_id":"call_1","arguments":"{}","name":"shell","type":"function_call"}"#.into(),
    );
    history.push(output);
    script.request(2, &[], &body(&history));
    script.answer(
        2,
        200,
        &stream("resp_2", &[item("call_2")], false),
        Some(EndCause::ClientClosed),
    );
    history.push(user("and now?"));
    for exchange in [3, 4] {
        script.request(exchange, &[], &body(&history));
        script.answer(exchange, 400, &refusal("call_2"), Some(EndCause::Complete));
    }
    script.text()
}

#[test]
fn a_story_is_read_with_its_lane_turns_and_attempts() {
    let text = story();
    assert!(text.contains("body_delta"), "{text}");
    let found = read_text(&text);
    assert_eq!(found.problems, vec![]);
    assert_eq!(found.client.name.as_deref(), Some("openai-python"));
    assert_eq!(found.lanes.len(), 1);
    let numbers: Vec<_> = found
        .exchanges
        .iter()
        .map(|it| (it.lane, it.turn, it.attempt, it.first_attempt))
        .collect();
    assert_eq!(
        numbers,
        [(0, 1, 1, 0), (0, 1, 1, 1), (0, 2, 1, 2), (0, 2, 2, 2)]
    );
    let [first, second, third, fourth] = &found.exchanges[..] else {
        panic!("{}", found.exchanges.len())
    };
    assert_eq!(first.answer.terminal, Some(Terminal::Completed));
    assert!(second.answer.is_cut() && second.answer.client_left);
    assert_eq!((second.answer.done.len(), second.answer.half.len()), (1, 0));
    assert_eq!(third.answer.refusal.as_ref().unwrap().status, 400);
    assert_eq!(third.request.input, fourth.request.input);
    // the call as it was answered and as it was sent again mean the same
    let sent = found.tree.items(second.request.input);
    assert_eq!(sent.len(), 3);
    let print = |index: ItemIndex| found.fingerprints[index.0 as usize];
    assert_ne!(sent[1], first.answer.done[0]);
    assert_eq!(print(sent[1]), print(first.answer.done[0]));
    // requests share their beginnings
    let shared = found
        .tree
        .nodes_since(second.request.input, third.request.input);
    assert_eq!(shared.len(), 1);
    // each item carries the line that held it first
    let line = |index: ItemIndex| found.items.get(index).unwrap().line;
    assert_eq!(line(sent[0]), first.line);
    assert!(line(first.answer.done[0]) > first.line && line(first.answer.done[0]) < second.line);
}

#[test]
fn threads_run_side_by_side() {
    let mut script = Script::new();
    let title = r#"{"thread_id":"t2","request_kind":"turn","thread_source":"thread_title"}"#;
    script.request(
        1,
        &[
            ("thread-id", "t1"),
            ("user-agent", "codex_exec/0.169.0 (x)"),
        ],
        &body(&[user("go")]),
    );
    script.request(
        2,
        &[("thread-id", "t2"), ("x-codex-turn-metadata", title)],
        &body(&[user("title")]),
    );
    script.answer(
        2,
        200,
        &stream("resp_2", &[], true),
        Some(EndCause::Complete),
    );
    script.answer(1, 200, &stream("resp_1", &[], true), None);
    let found = read_text(&script.text());
    let names: Vec<_> = found.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["t1", "t2"]);
    assert_eq!(found.exchanges[0].purpose, Purpose::Turn);
    assert_eq!(
        (found.exchanges[1].purpose, found.exchanges[1].turn),
        (Purpose::Side, 0)
    );
    assert_eq!(found.exchanges[0].answer.end, None);
    assert_eq!(found.client.version.as_deref(), Some("0.169.0"));
}

#[test]
fn conversations_without_names_are_told_apart_by_what_they_say() {
    let mut script = Script::new();
    let system = r#"{"role":"developer","content":"be kind"}"#.to_owned();
    let first = |text: &str| vec![system.clone(), user(text)];
    script.request(1, &[], &body(&first("one")));
    script.request(2, &[], &body(&first("two")));
    script.answer(
        2,
        200,
        &stream("resp_2", &[item("call_2")], true),
        Some(EndCause::Complete),
    );
    script.answer(
        1,
        200,
        &stream("resp_1", &[item("call_1")], true),
        Some(EndCause::Complete),
    );
    // by history, by the call it answers, by the response it goes on from
    script.request(3, &[], &body(&[first("two"), vec![user("more")]].concat()));
    let output = r#"{"type":"function_call_output","call_id":"call_1","output":"ok"}"#;
    script.request(4, &[], &format!(r#"{{"input":[{output}]}}"#));
    script.answer(
        4,
        200,
        &stream("resp_4", &[], true),
        Some(EndCause::Complete),
    );
    script.request(
        5,
        &[],
        r#"{"previous_response_id":"resp_2","input":"go on"}"#,
    );
    script.request(
        6,
        &[],
        r#"{"previous_response_id":"resp_4","input":"go on"}"#,
    );
    // an id nobody gave out, twice; a conversation, twice
    script.request(
        7,
        &[],
        r#"{"previous_response_id":"resp_x","input":"go on"}"#,
    );
    script.request(
        8,
        &[],
        r#"{"previous_response_id":"resp_x","input":"go on"}"#,
    );
    script.request(9, &[], r#"{"conversation":"conv_1","input":"a"}"#);
    script.request(10, &[], r#"{"conversation":{"id":"conv_1"},"input":"b"}"#);
    let found = read_text(&script.text());
    let lanes: Vec<_> = found.exchanges.iter().map(|it| it.lane).collect();
    assert_eq!(lanes, [0, 1, 1, 0, 1, 0, 2, 2, 3, 3]);
    let turns: Vec<_> = found
        .exchanges
        .iter()
        .map(|it| (it.turn, it.attempt))
        .collect();
    assert_eq!(
        turns,
        [
            (1, 1),
            (1, 1),
            (2, 1),
            (1, 1),
            (3, 1),
            (2, 1),
            (1, 1),
            (1, 2),
            (1, 1),
            (2, 1)
        ]
    );
    assert_eq!(found.lanes[3].name, "lane-4");
}

#[test]
fn metadata_does_not_make_another_request() {
    let mut script = Script::new();
    let body = |turn: u32, model: &str| {
        format!(r#"{{"model":"{model}","input":"go","client_metadata":{{"started":"{turn}"}}}}"#)
    };
    for (exchange, status, model) in [
        (1, 500, "m"),
        (2, 429, "m"),
        (3, 200, "m"),
        (4, 200, "m"),
        (5, 200, "n"),
    ] {
        script.request(exchange, &[("session_id", "s")], &body(exchange, model));
        let answer = if status == 200 {
            stream("resp", &[], true)
        } else {
            "busy".to_owned()
        };
        script.answer(exchange, status, &answer, Some(EndCause::Complete));
    }
    let found = read_text(&script.text());
    let attempts: Vec<_> = found
        .exchanges
        .iter()
        .map(|it| (it.attempt, it.first_attempt))
        .collect();
    assert_eq!(attempts, [(1, 0), (2, 0), (3, 0), (1, 3), (1, 4)]);
    let refusal = found.exchanges[0].answer.refusal.as_ref().unwrap();
    assert_eq!(
        (refusal.status, refusal.message.as_str(), refusal.plain),
        (500, "busy", false)
    );
}

#[test]
fn a_websocket_is_chained() {
    let mut script = Script::new();
    let headers = Headers::new([("user-agent", "codex_exec/0.169.0 (x)")]);
    script
        .writer
        .connection(ConnectionLine {
            connection: 1,
            at_us: 5,
            method: Some("GET"),
            path: Some("/v1/responses"),
            headers: Some(HeaderLines(&headers)),
            status: Some(101),
            response_headers: None,
            extensions: None,
        })
        .unwrap();
    let bodies = [
        r#"{"type":"response.create","input":[],"generate":false}"#.to_owned(),
        format!(r#"{{"type":"response.create","input":[{}]}}"#, user("go")),
        r#"{"type":"response.create","previous_response_id":"resp_2","input":[]}"#.to_owned(),
    ];
    for (at, body) in bodies.iter().enumerate() {
        let exchange = at as u32 + 1;
        let line = RequestLine {
            exchange,
            connection: Some(1),
            at_us: 10,
            head_at_us: None,
            transport: "websocket",
            http: None,
            method: None,
            path: None,
            headers: None,
            body_complete: None,
            body_encoded: None,
            redacted: Vec::new(),
        };
        script
            .writer
            .request(line, body.clone().into_bytes())
            .unwrap();
        let refused = r#"{"type":"error","error":{"type":"invalid_request_error","message":"No tool output found for function call call_1."},"status":400}"#;
        let created =
            format!(r#"{{"type":"response.created","response":{{"id":"resp_{exchange}"}}}}"#);
        let done = format!(
            r#"{{"type":"response.output_item.done","output_index":0,"item":{}}}"#,
            item("call_1")
        );
        let completed = r#"{"type":"response.completed","response":{}}"#.to_owned();
        let frames = match exchange {
            3 => vec![refused.to_owned()],
            2 => vec![created, done, completed],
            _ => vec![created, completed],
        };
        for frame in frames {
            let line = FrameLine {
                connection: 1,
                exchange: (exchange != 2).then_some(exchange),
                at_us: 11,
                from: "server",
                r#type: "text",
                text: None,
                base64: None,
            };
            script.writer.frame(line, frame.as_bytes()).unwrap();
        }
    }
    let found = read_text(&script.text());
    assert_eq!(found.problems, vec![]);
    assert_eq!(found.client.name.as_deref(), Some("codex"));
    let purposes: Vec<_> = found
        .exchanges
        .iter()
        .map(|it| (it.purpose, it.lane, it.turn))
        .collect();
    assert_eq!(
        purposes,
        [
            (Purpose::WarmUp, 0, 0),
            (Purpose::Turn, 0, 1),
            (Purpose::Turn, 0, 1)
        ]
    );
    assert_eq!(
        found.exchanges[2].request.previous,
        found.exchanges[1].answer.response
    );
    assert_eq!(found.exchanges[2].answer.status, Some(400));
    assert_eq!(found.exchanges[1].answer.done.len(), 1);
    assert_eq!(found.exchanges[1].answer.end, Some(EndCause::Complete));
}

#[test]
fn strange_lines_become_problems_or_notes_and_hide_nothing() {
    let text = [
        r#"{"kind":"session","format":1,"future":true}"#,
        r#"{"kind":"request","exchange":1,"at_us":0,"transport":"http","method":"POST","path":"/v1/responses","headers":[],"body":{"input":"hi"}}"#,
        r#"{"kind":"holiday","at_us":3}"#,
        r#"{"kind":"chunk","exchange":7,"at_us":3,"text":"x"}"#,
        r#"{"kind":"chunk","exchange":1,"at_us":3,"text":"data: {\"type\":\"keepalive\"}\n\n"}"#,
        r#"{"kind":"chunk","exchange":1,"at_us":3,"text":"data: {\"type\":\"keepalive\"}\n\n"}"#,
        "not json",
        r#"{"kind":"client_event","at_us":4,"source":"exec-json","direction":"out","value":{}} {"kind":"end","exchange":1,"at_us":5,"cause":"timeout"}"#,
        r#"{"kind":"gap","exchange":1,"at_us":7,"chunks":3,"bytes":4096,"reason":"disk full"}"#,
        r#"{"kind":"request","exchange":2,"at_us":9,"transport":"http","body_delta":{"base":9,"ops":[],"bytes":0,"sha256":""}}"#,
        r#"{"kind":"request","exchange":3,"at_u"#,
    ]
    .join("\n");
    let found = read_text(&text);
    let lines: Vec<_> = found.problems.iter().map(|it| it.line).collect();
    assert_eq!(lines, [4, 7, 8, 9, 10, 11], "{:?}", found.problems);
    assert_eq!(found.problems.last().unwrap().reason, Reason::TornTail);
    let kinds: Vec<_> = found
        .notes
        .iter()
        .map(|it| (it.kind, it.line, it.after))
        .collect();
    assert_eq!(
        kinds,
        [
            (NoteKind::Unknown, 3, 1),
            (NoteKind::ClientEvent, 8, 1),
            (NoteKind::Gap, 9, 1)
        ]
    );
    assert_eq!(found.exchanges.len(), 2);
    assert_eq!(found.exchanges[0].answer.events, 2);
    assert_eq!(found.exchanges[0].answer.end, Some(EndCause::Timeout));
    assert!(!found.exchanges[1].request.whole);
    assert_eq!(found.lines, 11);
}

#[test]
fn what_is_no_recording_is_refused_by_name() {
    let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error("event: x\ndata: {}\n\n"),
        "this is the text of an event stream, not a session"
    );
    assert_eq!(
        error(r#"{"log":{"version":"1.2"}}"#),
        "this is a HAR file, not a session"
    );
    assert_eq!(
        error(r#"{"type":"thread.started"}"#),
        "this is the events of `codex exec --json`, not a session"
    );
    assert_eq!(
        error(r#"{"model":"m","input":[]}"#),
        "this is a request body"
    );
    assert_eq!(
        error(r#"{"kind":"session","format":2}"#),
        "the recording has format 2; this program reads format 1"
    );
    assert_eq!(error(""), "the file is empty");
    assert!(error("hello").starts_with("line 1 is no line of a recording"));
}

#[test]
fn a_recording_cut_at_any_byte_reads_up_to_there() {
    let text = story();
    let whole = read_text(&text);
    for cut in 12..=text.len() {
        let Some(part) = text.get(..cut) else {
            continue;
        };
        let found = read(part.as_bytes()).unwrap_or_else(|error| panic!("{cut}: {error}"));
        let last = part.rsplit('\n').next().unwrap();
        let torn = !last.is_empty() && serde_json::from_str::<serde_json::Value>(last).is_err();
        let expected = Vec::from_iter(torn.then_some(Reason::TornTail));
        let reasons: Vec<_> = found.problems.iter().map(|it| it.reason.clone()).collect();
        assert_eq!(reasons, expected, "{cut}");
        for (left, right) in found.exchanges.iter().zip(&whole.exchanges) {
            assert_eq!(left.number, right.number);
            assert_eq!(
                found.tree.items(left.request.input).len(),
                whole.tree.items(right.request.input).len()
            );
            assert!(left.answer.done.len() <= right.answer.done.len());
            assert!(left.answer.events <= right.answer.events);
        }
        assert!(found.exchanges.len() <= whole.exchanges.len());
    }
}

fn arbitrary_line() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![
        "session",
        "request",
        "response",
        "chunk",
        "end",
        "frame",
        "connection",
        "connection_end",
        "gap",
        "x",
    ]);
    let member = prop::sample::select(vec![
        r#""exchange":1"#,
        r#""exchange":2"#,
        r#""exchange":-1"#,
        r#""connection":1"#,
        r#""transport":"websocket""#,
        r#""body":{"input":[{"role":"user","content":"a"},7]}"#,
        r#""body":[1]"#,
        r#""body_text":"{""#,
        r#""body_base64":"!""#,
        r#""body_delta":{"base":1,"ops":[{"copy":[5,2]}],"bytes":3,"sha256":""}"#,
        r#""headers":[["thread-id","t"],["a"],7]"#,
        r#""headers":{}"#,
        r#""status":400"#,
        r#""text":"data: {\"type\":\"error\"}\n\n""#,
        r#""text":"{\"error\":{\"message\":\"m\"}}""#,
        r#""base64":"AP8=""#,
        r#""cause":"complete""#,
        r#""from":"server""#,
        r#""at_us":"soon""#,
    ]);
    (kind, proptest::collection::vec(member, 0..5)).prop_map(|(kind, members)| {
        let members = [vec![""], members].concat().join(",");
        format!("{{\"kind\":\"{kind}\"{members}}}\n")
    })
}

proptest! {
    #[test]
    fn any_lines_are_read(lines in proptest::collection::vec(arbitrary_line(), 1..30)) {
        let text = format!("{{\"kind\":\"session\"}}\n{}", lines.concat());
        let found = read(text.as_bytes()).unwrap();
        prop_assert_eq!(found.lines as usize, lines.len() + 1);
        prop_assert_eq!(found.items.len(), found.fingerprints.len());
    }

    #[test]
    fn damaged_bytes_never_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = story().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _any = read(bytes.as_slice());
    }
}
