//! WebSockets through the recorder: bytes pass unchanged, messages become exchanges and frames.

use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;

use flate2::{Compress, Compression, FlushCompress};
use serde_json::{Value, json};

use crate::rig::{Peer, Recorder, Upstream, connect, of_kind, read_until};
use crate::support::Sandbox;

/// A frame as one side sends it; clients mask theirs.
fn frame(first: u8, payload: &[u8], from_client: bool) -> Vec<u8> {
    let bit = if from_client { 0x80 } else { 0 };
    let mut bytes = vec![first];
    if payload.len() < 126 {
        bytes.push(bit | payload.len() as u8);
    } else {
        bytes.push(bit | 0x7e);
        bytes.extend((payload.len() as u16).to_be_bytes());
    }
    let mask = [0x11, 0x22, 0x33, 0x44];
    if from_client {
        bytes.extend(mask);
        bytes.extend(payload.iter().enumerate().map(|(at, it)| it ^ mask[at % 4]));
    } else {
        bytes.extend(payload);
    }
    bytes
}

fn text(value: &Value, from_client: bool) -> Vec<u8> {
    frame(0x81, value.to_string().as_bytes(), from_client)
}

/// Reads one frame of a client, without its mask.
fn read_frame(peer: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    peer.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        peer.read_exact(&mut long).ok()?;
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        peer.read_exact(&mut mask).ok()?;
    }
    let mut payload = vec![0; length];
    peer.read_exact(&mut payload).ok()?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Some((head[0], payload))
}

fn shake_hands(address: SocketAddr, extensions: &str) -> BufReader<std::net::TcpStream> {
    let mut client = BufReader::new(connect(address));
    let request = format!(
        "GET /v1/responses HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
    );
    client.get_mut().write_all(request.as_bytes()).unwrap();
    client
}

fn accept(peer: &mut Peer, extensions: &str) {
    let head = peer.head().unwrap();
    assert!(
        head.to_ascii_lowercase().contains("upgrade: websocket"),
        "{head}"
    );
    peer.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extensions}\r\n"
    ));
}

fn created(id: &str) -> Value {
    json!({"type":"response.created","sequence_number":0,"response":{"id":id,"object":"response","status":"in_progress","output":[]}})
}

fn completed(id: &str) -> Value {
    json!({"type":"response.completed","sequence_number":1,"response":{"id":id,"object":"response","status":"completed","output":[]}})
}

fn create(previous: Option<&str>) -> Value {
    let mut request = json!({"type":"response.create","model":"m","store":false,"input":[{"type":"message","role":"user","content":"hi"}]});
    if let Some(previous) = previous {
        request["previous_response_id"] = previous.into();
    }
    request
}

/// Answers each request of a connection, with other frames in between.
fn converse(mut peer: Peer) {
    accept(&mut peer, "");
    let mut count = 0;
    while let Some((first, payload)) = read_frame(peer.reader()) {
        match first {
            0x81 => {
                count += 1;
                let id = format!("resp_{count}");
                peer.send(text(&created(&id), false));
                peer.send(frame(0x89, b"still there?", false));
                let done = completed(&id).to_string();
                let (left, right) = done.as_bytes().split_at(20);
                let mut parts = frame(0x01, left, false);
                parts.extend(frame(0x80, right, false));
                for byte in parts {
                    peer.send([byte]);
                }
            }
            0x88 => {
                peer.send(frame(0x88, &payload, false));
                return;
            }
            _ => {}
        }
    }
}

fn chat(address: SocketAddr) -> Vec<u8> {
    let mut client = shake_hands(address, "");
    read_until(&mut client, "\r\n\r\n");
    let mut seen = Vec::new();
    for previous in [None, Some("resp_1")] {
        client
            .get_mut()
            .write_all(&text(&create(previous), true))
            .unwrap();
        for _ in 0..4 {
            let (first, payload) = read_frame(&mut client).unwrap();
            seen.push(first);
            seen.extend(payload);
        }
        client
            .get_mut()
            .write_all(&frame(0x8a, b"still there?", true))
            .unwrap();
    }
    let goodbye = [&1000_u16.to_be_bytes()[..], b"done"].concat();
    client
        .get_mut()
        .write_all(&frame(0x88, &goodbye, true))
        .unwrap();
    client.read_to_end(&mut seen).unwrap();
    seen
}

#[test]
fn messages_pass_unchanged_and_become_exchanges() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::start(converse);
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["-v"]);
    let direct = chat(upstream.address);
    assert_eq!(chat(recorder.address), direct);
    let file = recorder.file.clone();
    let (done, lines) = recorder.stop();
    assert!(
        done.err.contains("#1 WS /v1/responses"),
        "{} {lines:#?}",
        done.err
    );
    let requests = of_kind(&lines, "request");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["body"], create(None));
    assert_eq!(requests[0]["transport"], "websocket");
    assert!(
        requests[1].get("body_delta").is_some() || requests[1]["body"] == create(Some("resp_1"))
    );
    let frames = of_kind(&lines, "frame");
    let of_first: Vec<&str> = frames
        .iter()
        .filter(|it| it["exchange"] == 1)
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(of_first, ["text", "text"]);
    assert_eq!(frames.iter().filter(|it| it["type"] == "ping").count(), 2);
    assert_eq!(frames.iter().filter(|it| it["type"] == "pong").count(), 2);
    let opened = of_kind(&lines, "connection")[0];
    assert_eq!(
        (&opened["status"], &opened["connection"]),
        (&json!(101), &json!(1))
    );
    let ended = of_kind(&lines, "connection_end")[0];
    assert_eq!(
        (&ended["code"], &ended["reason"]),
        (&json!(1000), &json!("done"))
    );
    let replayed = sandbox
        .run(&[file.to_str().unwrap(), "--format", "json"])
        .json();
    let run = &replayed["sessions"][0]["runs"][0];
    assert_eq!(run["verdict"], "clean", "{replayed}");
    assert_eq!(run["requests"].as_array().unwrap().len(), 2);
}

#[test]
fn a_compressed_connection_stays_compressed_and_is_read_all_the_same() {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    fn packed(deflate: &mut Compress, value: &Value, from_client: bool) -> Vec<u8> {
        let text = value.to_string();
        let mut out = Vec::with_capacity(text.len() * 2 + 64);
        deflate
            .compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync)
            .unwrap();
        out.truncate(out.len() - 4);
        frame(0xc1, &out, from_client)
    }
    let sandbox = Sandbox::new();
    let upstream = Upstream::start(|mut peer| {
        accept(
            &mut peer,
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        );
        let mut deflate = Compress::new(Compression::fast(), false);
        read_frame(peer.reader()).unwrap();
        peer.send(packed(&mut deflate, &created("resp_1"), false));
        peer.send(packed(&mut deflate, &completed("resp_1"), false));
        peer.wait_for_end();
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["-v"]);
    let mut client = shake_hands(recorder.address, OFFER);
    read_until(&mut client, "\r\n\r\n");
    let mut deflate = Compress::new(Compression::fast(), false);
    let message = packed(&mut deflate, &create(None), true);
    client.get_mut().write_all(&message).unwrap();
    let (first, _) = read_frame(&mut client).unwrap();
    assert_eq!(first, 0xc1, "still compressed");
    recorder.wait_for("complete");
    drop(client);
    let (_, lines) = recorder.stop();
    assert_eq!(of_kind(&lines, "request")[0]["body"], create(None));
    let frames = of_kind(&lines, "frame");
    assert_eq!(frames[1]["text"], completed("resp_1").to_string());
    let extensions = &of_kind(&lines, "connection")[0]["extensions"];
    assert_eq!(extensions, "permessage-deflate");
}

#[test]
fn a_refused_handshake_is_an_exchange_like_any_other() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::answering(
        "HTTP/1.1 426 Upgrade Required\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    );
    let recorder = Recorder::start(&sandbox, &upstream.url(), &[]);
    let mut client = shake_hands(recorder.address, "");
    let seen = crate::rig::see(&mut client, false);
    assert!(
        seen.status.contains("426") && seen.body == b"{}",
        "{seen:?}"
    );
    let (_, lines) = recorder.stop();
    assert_eq!(of_kind(&lines, "connection").len(), 0);
    assert_eq!(of_kind(&lines, "response")[0]["status"], 426);
    assert_eq!(of_kind(&lines, "end")[0]["cause"], "complete");
}

#[test]
fn a_connection_that_is_cut_ends_its_exchange() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::start(|mut peer| {
        accept(&mut peer, "");
        read_frame(peer.reader()).unwrap();
        peer.send(text(&created("resp_1"), false));
        peer.send(&text(&completed("resp_1"), false)[..30]);
    });
    let recorder = Recorder::start(&sandbox, &upstream.url(), &["-v"]);
    let mut client = shake_hands(recorder.address, "");
    read_until(&mut client, "\r\n\r\n");
    client
        .get_mut()
        .write_all(&text(&create(None), true))
        .unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    drop(client);
    recorder.wait_for("upstream_closed");
    let (_, lines) = recorder.stop();
    assert_eq!(
        of_kind(&lines, "connection_end")[0]["cause"],
        "upstream_closed"
    );
    let gap = of_kind(&lines, "gap");
    assert!(
        gap[0]["reason"].as_str().unwrap().contains("broke off"),
        "{gap:?}"
    );
}
