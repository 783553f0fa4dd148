//! An upstream that fails in every way there is: the client sees what it would have seen without the recorder, and the
//! file says what happened.

use crate::rig::{Peer, Recorder, STREAM, Upstream, ask, chunk, of_kind, post};
use crate::support::Sandbox;

type Fault = fn(Peer);

/// Each fault: its name, what the upstream does once it has the request, and what the file says of the end.
const FAULTS: [(&str, Fault, &str); 18] = [
    (
        "a stream that is closed inside a chunk",
        |mut peer| {
            peer.send(STREAM);
            peer.send(chunk("data: 1\n\n"));
            peer.send("40\r\ndata: half");
        },
        "upstream_closed",
    ),
    (
        "a stream that is closed between two chunks",
        |mut peer| {
            peer.send(STREAM);
            peer.send(chunk("data: 1\n\n"));
        },
        "upstream_closed",
    ),
    (
        "a stream that is closed before its first chunk",
        |mut peer| peer.send(STREAM),
        "upstream_closed",
    ),
    (
        "a stream that is reset",
        |mut peer| {
            peer.send(STREAM);
            peer.send(chunk("data: 1\n\n"));
            peer.reset();
        },
        "upstream_error",
    ),
    (
        "a reset in place of an answer",
        |peer| peer.reset(),
        "upstream_error",
    ),
    ("a close in place of an answer", drop, "upstream_closed"),
    (
        "half a head",
        |mut peer| peer.send("HTTP/1.1 200 OK\r\nContent-"),
        "upstream_closed",
    ),
    (
        "a body that is shorter than announced",
        |mut peer| peer.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"),
        "upstream_closed",
    ),
    (
        "a body that is longer than announced",
        |mut peer| peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"),
        "complete",
    ),
    (
        "a body that ends with the connection",
        |mut peer| peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"),
        "complete",
    ),
    (
        "a chunk size that is no number",
        |mut peer| {
            peer.send(STREAM);
            peer.send(chunk("data: 1\n\n"));
            peer.send("zz\r\nwhat\r\n");
            peer.wait_for_end();
        },
        "upstream_error",
    ),
    (
        "an answer and a half-closed connection",
        |mut peer| {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            peer.half_close();
            peer.wait_for_end();
        },
        "complete",
    ),
    (
        "trailers",
        |mut peer| {
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n");
            peer.send(chunk("body"));
            peer.send("0\r\nx-sum: 42\r\n\r\n");
        },
        "complete",
    ),
    (
        "nothing to say",
        |mut peer| peer.send("HTTP/1.1 204 No Content\r\nX-A: 1\r\nX-A: 2\r\n\r\n"),
        "complete",
    ),
    (
        "nothing new",
        |mut peer| peer.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        "complete",
    ),
    (
        "a refusal",
        |mut peer| {
            let body = "{\n  \"error\": {\n    \"message\": \"No tool output found for function call call_X.\",\n    \"type\": \"invalid_request_error\",\n    \"param\": \"input\",\n    \"code\": null\n  }\n}";
            peer.send(format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nX-Request-Id: req_1\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        },
        "complete",
    ),
    (
        "a limit with its headers",
        |mut peer| {
            peer.send("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nX-RateLimit-Reset: 1s\r\nContent-Length: 2\r\n\r\n{}");
        },
        "complete",
    ),
    (
        "a page",
        |mut peer| {
            peer.send("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nServer: gateway\r\nContent-Length: 27\r\n\r\n<html>Bad Gateway</html>\r\n\r");
        },
        "complete",
    ),
];

#[test]
fn a_client_sees_every_fault_as_it_would_have_without_the_recorder() {
    for (name, fault, cause) in FAULTS {
        let sandbox = Sandbox::new();
        let upstream = Upstream::start(move |mut peer| {
            if peer.request().is_some() {
                fault(peer);
            }
        });
        let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
        let request = String::from_utf8(post("{\"model\":\"m\",\"input\":\"hi\"}")).unwrap();
        let request = request.replace("Host: here", "Host: here\r\nTE: trailers\r\nConnection: TE");
        let direct = ask(upstream.address, request.as_bytes());
        let seen = ask(recorder.address, request.as_bytes());
        assert_eq!(seen, direct, "{name}");
        let (_, lines) = recorder.stop();
        let end = of_kind(&lines, "end");
        assert_eq!(end.len(), 1, "{name}: {lines:?}");
        assert_eq!(end[0]["cause"], cause, "{name}: {end:?}");
        if name == "trailers" {
            assert_eq!(end[0]["trailers"], serde_json::json!([["x-sum", "42"]]));
        }
    }
}

#[test]
fn a_stalled_answer_stays_open_until_the_client_leaves() {
    let sandbox = Sandbox::new();
    let (left, gone) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |mut peer| {
        peer.request().unwrap();
        peer.send(STREAM);
        peer.send(chunk("data: 1\n\n"));
        left.send(peer.wait_for_end()).unwrap();
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["-v"]);
    let mut client = crate::rig::connect(recorder.address);
    std::io::Write::write_all(&mut client, &post("{}")).unwrap();
    crate::rig::read_until(&mut client, "data: 1\n\n");
    assert!(gone.try_recv().is_err(), "nobody has left");
    drop(client);
    gone.recv().unwrap();
    recorder.wait_for("client_closed");
    recorder.stop();
}

#[test]
fn a_body_waits_until_the_upstream_asks_for_it() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::start(|mut peer| {
        while let Some(head) = peer.head() {
            if head.contains("/refused") {
                peer.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                return;
            }
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            let body = peer.body(&head);
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ));
            peer.send(body);
        }
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    for address in [upstream.address, recorder.address] {
        let request = |path: &str| {
            format!(
                "POST /v1/{path} HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
            )
        };
        let mut client = std::io::BufReader::new(crate::rig::connect(address));
        std::io::Write::write_all(client.get_mut(), request("taken").as_bytes()).unwrap();
        let mut asked = [0; 25];
        std::io::Read::read_exact(&mut client, &mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        std::io::Write::write_all(client.get_mut(), b"body").unwrap();
        assert_eq!(crate::rig::see(&mut client, false).body, b"body");
        let seen = ask(address, request("refused").as_bytes());
        assert!(seen.status.starts_with("HTTP/1.1 417"), "{seen:?}");
        assert!(seen.early.is_empty(), "nobody asked for the body: {seen:?}");
    }
    recorder.stop();
}

#[test]
fn a_head_request_gets_headers_only() {
    let sandbox = Sandbox::new();
    let upstream =
        Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n");
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    let request = b"HEAD /v1/models HTTP/1.1\r\nHost: here\r\n\r\n";
    let seen = ask(recorder.address, request);
    assert_eq!(seen, ask(upstream.address, request));
    assert!(seen.headers.contains(&"content-length: 1234".to_owned()));
    recorder.stop();
}
