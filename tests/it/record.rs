//! `replay record` in front of a server that does as it is told: what passes is unchanged, and the file says what was.

use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::sync::mpsc::channel;

use serde_json::json;

use crate::rig::{
    End, Recorder, STREAM, Upstream, ask, body_of, chunk, connect, header, of_kind, post,
    read_until, see,
};
use crate::support::Sandbox;

const ASK: &str = r#"{"model":"m","stream":true,"input":[{"role":"user","content":"hi"}]}"#;

fn stream_of(chunks: &[&[u8]]) -> Vec<u8> {
    let mut answer = STREAM.as_bytes().to_vec();
    for piece in chunks {
        answer.extend(chunk(piece));
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

#[test]
fn every_byte_of_a_stream_arrives_and_is_on_file() {
    let sandbox = Sandbox::new();
    let pieces: [&[u8]; 7] = [
        b": keep-alive\n\n",
        b"event: response.created\r\ndata: {\"type\":\"response.created\"}\r\n\r\n",
        b"d",
        b"ata: {\"text\":\"gr\xc3",
        b"\xbcn\"}\n\n",
        b"\xff\xfe\x00",
        b"data: {\"unfinished\":",
    ];
    let upstream = Upstream::answering(stream_of(&pieces));
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    let direct = ask(upstream.address, &post(ASK));
    let seen = ask(recorder.address, &post(ASK));
    assert_eq!(seen, direct);
    assert!(seen.whole);
    let (done, lines) = recorder.stop();
    assert_eq!(done.status, 0, "{done:?}");
    assert_eq!(body_of(&lines, 1), pieces.concat());
    let request = of_kind(&lines, "request")[0];
    assert_eq!(
        request["body"],
        serde_json::from_str::<serde_json::Value>(ASK).unwrap()
    );
    assert_eq!(request["path"], "/v1/responses");
    assert_eq!(of_kind(&lines, "end")[0]["cause"], "complete");
    let first = lines[0].clone();
    assert_eq!(
        (&first["kind"], &first["format"]),
        (&json!("session"), &json!(1))
    );
    let times: Vec<u64> = lines.iter().filter_map(|it| it["at_us"].as_u64()).collect();
    assert!(times.is_sorted());
}

#[test]
fn the_upstream_gets_the_request_as_it_was_sent() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    let request = "PUT /v1/files/a%20b?x=1&x=2 HTTP/1.1\r\nHost: here\r\nX-Case: Yes\r\nConnection: x-private\r\n\
         X-Private: 1\r\nTE: trailers\r\nCookie: a=1\r\nCookie: b=2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let seen = ask(recorder.address, request.as_bytes());
    assert_eq!(seen.body, b"ok");
    let (head, body) = upstream.requests().remove(0);
    assert_eq!(body, b"abc");
    assert!(
        head.starts_with("PUT /v1/files/a%20b?x=1&x=2 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("X-Case: Yes\r\n"),
        "the case of names is kept: {head}"
    );
    assert_eq!(head.matches("Cookie: ").count(), 2);
    assert_eq!(header(&head, "te").as_deref(), Some("trailers"));
    assert_eq!(header(&head, "x-private"), None);
    assert_eq!(header(&head, "host"), Some(upstream.address.to_string()));
    assert_eq!(header(&head, "date"), None, "nothing is added");
    let (_, lines) = recorder.stop();
    assert_eq!(of_kind(&lines, "request")[0]["body_text"], "abc");
}

#[test]
fn connections_are_kept_alive_on_both_sides() {
    let sandbox = Sandbox::new();
    let (opened, connections) = channel();
    let upstream = Upstream::start(move |mut peer| {
        opened.send(()).unwrap();
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    let mut stream = BufReader::new(connect(recorder.address));
    for _ in 0..3 {
        stream.get_mut().write_all(&post(ASK)).unwrap();
        assert_eq!(see(&mut stream, false).body, b"ok");
    }
    drop(stream);
    let (_, lines) = recorder.stop();
    assert_eq!(connections.try_iter().count(), 1);
    assert_eq!(of_kind(&lines, "end").len(), 3);
}

#[test]
fn a_client_that_leaves_takes_the_upstream_with_it() {
    let sandbox = Sandbox::new();
    let (left, gone) = channel();
    let upstream = Upstream::start(move |mut peer| {
        peer.request().unwrap();
        peer.send(STREAM);
        peer.send(chunk("data: {}\n\n"));
        left.send(peer.wait_for_end()).unwrap();
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["-v"]);
    let mut client = BufReader::new(connect(recorder.address));
    client.get_mut().write_all(&post(ASK)).unwrap();
    read_until(&mut client, "data: {}\n\n");
    drop(client);
    gone.recv().unwrap();
    recorder.wait_for("client_closed");
    let (_, lines) = recorder.stop();
    assert_eq!(of_kind(&lines, "end")[0]["cause"], "client_closed");
    assert_eq!(body_of(&lines, 1), b"data: {}\n\n");
}

#[test]
fn a_client_may_leave_before_the_answer_begins() {
    let sandbox = Sandbox::new();
    let (told, came) = channel();
    let (left, gone) = channel();
    let upstream = Upstream::start(move |mut peer| {
        peer.request().unwrap();
        told.send(()).unwrap();
        left.send(peer.wait_for_end()).unwrap();
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["-v"]);
    let mut client = connect(recorder.address);
    client.write_all(&post(ASK)).unwrap();
    came.recv().unwrap();
    drop(client);
    gone.recv().unwrap();
    recorder.wait_for("client_closed");
    let (_, lines) = recorder.stop();
    assert_eq!(of_kind(&lines, "response").len(), 0);
    assert_eq!(of_kind(&lines, "end")[0]["cause"], "client_closed");
}

#[test]
fn draining_reads_the_answer_to_its_end_and_says_so() {
    let sandbox = Sandbox::new();
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.request().unwrap();
        peer.send(STREAM);
        peer.send(chunk("data: 1\n\n"));
        wait.lock().unwrap().recv().unwrap();
        peer.send(chunk("data: 2\n\n"));
        peer.send("0\r\n\r\n");
        peer.wait_for_end();
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["--drain", "-v"]);
    let mut client = BufReader::new(connect(recorder.address));
    client.get_mut().write_all(&post(ASK)).unwrap();
    read_until(&mut client, "data: 1\n\n");
    drop(client);
    // the file says that the client left before the upstream goes on
    loop {
        let text = std::fs::read_to_string(&recorder.file).unwrap();
        if text.contains("\"client_closed\"") {
            break;
        }
        std::thread::yield_now();
    }
    go.send(()).unwrap();
    recorder.wait_for("complete");
    let (_, lines) = recorder.stop();
    assert_eq!(lines[0]["drain"], true);
    assert_eq!(body_of(&lines, 1), b"data: 1\n\ndata: 2\n\n");
    assert_eq!(of_kind(&lines, "client_closed").len(), 1);
    assert_eq!(of_kind(&lines, "end")[0]["cause"], "complete");
}

#[test]
fn paths_find_their_upstream_and_others_are_refused() {
    let sandbox = Sandbox::new();
    let first = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    let second = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    let other = format!("http://{}/backend-api/codex", second.address);
    let recorder = Recorder::start(&sandbox, &first.url(), &["--upstream", &other]);
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        ask(recorder.address, request.as_bytes())
    };
    assert_eq!(get("/v1/models").body, b"one");
    assert_eq!(get("/backend-api/codex/responses").body, b"two");
    let missing = get("/v2/models");
    assert!(missing.status.starts_with("HTTP/1.1 404"), "{missing:?}");
    let text = String::from_utf8(missing.body).unwrap();
    assert!(
        text.contains("/v1") && text.contains("/backend-api/codex"),
        "{text}"
    );
    let (_, lines) = recorder.stop();
    assert_eq!(of_kind(&lines, "request").len(), 2);
}

#[test]
fn without_an_upstream_the_connection_is_closed_or_502_is_answered() {
    let sandbox = Sandbox::new();
    // a port that was free a moment ago
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("http://{free}/v1");
    let recorder = Recorder::start(&sandbox, &url, &[]);
    let seen = ask(recorder.address, &post(ASK));
    assert_eq!((seen.status.as_str(), seen.end), ("", Some(End::Closed)));
    let (_, lines) = recorder.stop();
    let end = of_kind(&lines, "end")[0];
    assert_eq!(end["cause"], "upstream_error");
    assert!(
        end["detail"].as_str().unwrap().contains("cannot connect"),
        "{end}"
    );
    let recorder = Recorder::start(&sandbox, &url, &["--bad-gateway", "--force"]);
    let seen = ask(recorder.address, &post(ASK));
    assert!(seen.status.starts_with("HTTP/1.1 502"), "{seen:?}");
    recorder.stop();
}

#[test]
fn compressed_requests_are_forwarded_as_they_are_and_kept_readable() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    let send = |encoding: &str, body: &[u8]| {
        let mut request = format!(
            "POST /v1/responses HTTP/1.1\r\nHost: here\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        assert_eq!(ask(recorder.address, &request).body, b"ok");
    };
    let packed = zstd::encode_all(ASK.as_bytes(), 3).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(ASK.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    send("zstd", &packed);
    send("gzip", &gzip);
    send("gzip", b"this is no gzip");
    let bodies: Vec<Vec<u8>> = upstream.requests().into_iter().map(|it| it.1).collect();
    assert_eq!(bodies, [packed, gzip, b"this is no gzip".to_vec()]);
    let (_, lines) = recorder.stop();
    let requests = of_kind(&lines, "request");
    let stored: serde_json::Value = serde_json::from_str(ASK).unwrap();
    assert_eq!(requests[0]["body"], stored);
    assert!(requests[1]["body"] == stored || requests[1].get("body_delta").is_some());
    assert_eq!(requests[2]["body_encoded"], true);
    let names = requests[0]["headers"].as_array().unwrap();
    assert!(
        names
            .iter()
            .any(|it| *it == json!(["content-encoding", "zstd"]))
    );
}

#[test]
fn compressed_answers_pass_unchanged_and_are_kept_readable() {
    let sandbox = Sandbox::new();
    let text = "data: {\"type\":\"response.created\"}\n\n".repeat(20);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let answer = |body: &[u8]| {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in body.chunks(7) {
            answer.extend(chunk(piece));
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    };
    let (good, bad) = (answer(&gzip), answer(b"\x1f\x8b\x08broken gzip data"));
    let upstream = Upstream::start(move |mut peer| {
        while let Some((head, _)) = peer.request() {
            peer.send(if head.contains("/good") { &good } else { &bad });
        }
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    for path in ["good", "bad"] {
        let request = format!("GET /v1/{path} HTTP/1.1\r\nHost: here\r\n\r\n").into_bytes();
        assert_eq!(
            ask(recorder.address, &request),
            ask(upstream.address, &request)
        );
    }
    let (_, lines) = recorder.stop();
    assert_eq!(body_of(&lines, 1), text.as_bytes());
    let wire: u64 = of_kind(&lines, "chunk")
        .iter()
        .filter_map(|it| it["wire_bytes"].as_u64())
        .sum();
    assert!(wire >= gzip.len() as u64);
    assert_eq!(body_of(&lines, 2), b"\x1f\x8b\x08broken gzip data");
    let encoded = of_kind(&lines, "chunk");
    assert!(encoded.iter().any(|it| it["encoded"] == true));
}

#[test]
fn the_file_is_its_owners_and_is_not_overwritten() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    let file = recorder.file.clone();
    recorder.stop();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let name = file.to_str().unwrap();
    let done = sandbox.run(&["record", "-o", name, "--upstream", &upstream.url()]);
    assert_eq!(done.status, 4, "{done:?}");
    assert!(done.err.contains("--force"), "{done:?}");
    let folder = sandbox.path().to_str().unwrap();
    let command = sandbox.command(&["record", "-o", folder, "--upstream", &upstream.url()]);
    let recorder = Recorder::spawn(command, PathBuf::new());
    let line = recorder.wait_for("into ");
    let named = PathBuf::from(line.strip_prefix("into ").unwrap());
    recorder.signal("TERM");
    recorder.wait_for("no request came through");
    assert_eq!(named.parent(), Some(sandbox.path()));
    assert!(named.is_file());
}
