use super::*;
use crate::session::exchange::{Origin, Purpose, Recording, Transport};
use crate::session::{reader, sniff};

const LOG: &str = r#"{"t": 0.05, "kind": "request", "n": 1, "method": "GET", "target": "/v1/responses", "headers": [["Upgrade", "WebSocket"], ["originator", "codex_exec"]], "bytes": 0}
{"t": 0.06, "kind": "response", "n": 1, "status": 426, "body": {"error": {"message": "no"}}}
{"t": 0.1234567, "kind": "request", "n": 2, "method": "POST", "target": "/v1/responses", "headers": [["session_id", "s"]], "bytes": 9, "body": {"model": "m", "input": [{"role": "user", "content": "\u00e9"}], "temperature": 1.0}}
{"t": 0.2, "kind": "verdict", "n": 2, "ok": true, "items": 1}
{"t": 0.2, "kind": "chunk", "n": 2, "i": 0, "data": {"type": "response.created", "response": {"id": "resp_1"}}}
{"t": 0.3, "kind": "request", "n": 3, "method": "POST", "target": "/v1/responses", "headers": [["session_id", "s"]], "body": {"model": "m", "input": []}}
{"t": 0.3, "kind": "chunk", "n": 3, "i": 0, "data": {"type": "response.completed", "response": {"id": "resp_2"}}}
{"t": 1.5, "kind": "end", "n": 3, "how": "disconnect"}
{"t": 2, "kind": "request", "n": 4, "method": "GET", "target": "/v1/responses", "headers": [["upgrade", "websocket"]]}
{"t": 2, "kind": "ws_open", "n": 4}
{"t": 2, "kind": "request", "n": 5, "method": "WS", "target": "frame", "on": 4, "body": {"type": "response.create", "input": []}}
{"t": 2, "kind": "chunk", "n": 5, "i": 0, "data": {"type": "response.completed", "response": {"id": "resp_3"}}}
{"t": 2, "kind": "end", "n": 5, "how": "completed"}
{"t": 0.1, "kind": "request", "n": 1, "method": "POST", "target": "/v1/responses", "headers": [], "body": {"input": "again"}}
{"t": 0.1, "kind": "chunk", "n": 1, "i"#;

fn convert(log: &str) -> (Converted, String, Recording) {
    let mut writer = Writer::new(Vec::new());
    let done = from_lab_log(log.as_bytes(), &mut writer).unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    let recording = reader::read(text.as_bytes()).unwrap();
    (done, text, recording)
}

#[test]
fn a_log_becomes_a_recording_that_says_what_is_missing() {
    assert_eq!(sniff(LOG.as_bytes()), Kind::LabLog);
    let (done, text, found) = convert(LOG);
    assert_eq!((done.requests, done.lines), (5, 15));
    assert_eq!(done.problems.len(), 1);
    assert_eq!(done.problems[0].reason, Reason::TornTail);
    assert_eq!(found.problems, vec![]);
    assert_eq!(found.origin, Origin::Converted);
    assert_eq!(found.header.converted_from.as_deref(), Some("request log"));
    assert_eq!(found.header.not_held, NOT_HELD);
    assert!(!text.contains("verdict"));
    assert!(text.contains(
        r#""at_us":123456,"transport":"http","method":"POST","path":"/v1/responses","headers":[["session_id","s"]],"body":{"model":"m","input":[{"role":"user","content":"é"}],"temperature":1.0}}"#
    ));
    let ends: Vec<_> = found
        .exchanges
        .iter()
        .map(|it| {
            (
                it.number,
                it.purpose,
                it.transport,
                it.answer.status,
                it.answer.end,
            )
        })
        .collect();
    let (http, socket) = (Transport::Http, Transport::WebSocket);
    assert_eq!(
        ends,
        [
            (
                1,
                Purpose::NotJudged,
                http,
                Some(426),
                Some(EndCause::Complete)
            ),
            (2, Purpose::Turn, http, Some(200), Some(EndCause::NotHeld)),
            (
                3,
                Purpose::Turn,
                http,
                Some(200),
                Some(EndCause::UpstreamClosed)
            ),
            (5, Purpose::Turn, socket, None, Some(EndCause::Complete)),
            (6, Purpose::Turn, http, None, Some(EndCause::NotHeld)),
        ]
    );
    assert_eq!(found.exchanges[3].connection, Some(4));
}

#[test]
fn converting_twice_gives_the_same_bytes() {
    assert_eq!(convert(LOG).1, convert(LOG).1);
}

#[test]
fn what_is_no_log_is_refused() {
    let error = |text: &str| {
        let mut writer = Writer::new(Vec::new());
        from_lab_log(text.as_bytes(), &mut writer)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(error(""), "the file is empty");
    assert_eq!(
        error("{\"kind\":\"session\",\"format\":1}"),
        "this is a recording"
    );
    assert_eq!(
        error("data: x"),
        "this is the text of an event stream, not a session"
    );
}
