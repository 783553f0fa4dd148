//! How fast `replay serve` streams, beside a bare server of the same HTTP library that writes the same bytes.
//!
//! `cargo bench --bench serve`, or with another server to hold against it, which must answer a streaming request at
//! `/v1/responses`: `cargo bench --bench serve -- HOST:PORT`. Numbers are ratios of one run on one machine; client and
//! server share its cores.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a benchmark says what it measured, and stops where it cannot"
)]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use responses_replay::endpoint::served::script::Script;
use responses_replay::endpoint::served::server::Settings;
use responses_replay::mock::{Mock, Options};

const REQUESTS: usize = 4000;
const BODY: &str = r#"{"model":"m","input":"go","stream":true,"store":false,"stream_options":{"include_obfuscation":false}}"#;

/// A client that does nothing but count bytes and events.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    events: usize,
    bytes: usize,
    first: Duration,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: vec![0; 256 << 10],
        }
    }

    fn ask(&mut self, count: bool) -> Seen {
        let head = format!(
            "POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
            BODY.len()
        );
        let start = Instant::now();
        self.stream.write_all(head.as_bytes()).unwrap();
        let mut seen = Seen::default();
        let mut tail = [0_u8; 5];
        loop {
            let read = self.stream.read(&mut self.buffer).unwrap();
            assert!(read > 0, "the server closed the connection");
            if seen.bytes == 0 {
                seen.first = start.elapsed();
            }
            seen.bytes += read;
            let bytes = &self.buffer[..read];
            if count {
                seen.events += memchr::memmem::find_iter(bytes, b"event: ").count();
            }
            let kept = bytes.len().min(5);
            tail.rotate_left(kept);
            tail[5 - kept..].copy_from_slice(&bytes[bytes.len() - kept..]);
            if tail == *b"0\r\n\r\n" {
                return seen;
            }
        }
    }
}

/// Asks with so many connections at once; returns requests, events and bytes a second.
fn load(address: SocketAddr, connections: usize) -> (f64, f64, f64) {
    let one = Client::new(address).ask(true);
    let left = AtomicUsize::new(REQUESTS);
    let bytes = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = Client::new(address);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1))
                    .is_ok()
                {
                    bytes.fetch_add(client.ask(false).bytes, Ordering::Relaxed);
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let requests = REQUESTS as f64 / seconds;
    (
        requests,
        requests * one.events as f64,
        bytes.into_inner() as f64 / seconds,
    )
}

fn first_byte(address: SocketAddr) -> (Duration, usize) {
    let mut client = Client::new(address);
    let events = client.ask(true).events;
    let mut times: Vec<Duration> = (0..300).map(|_| client.ask(false).first).collect();
    times.sort_unstable();
    (times[150], events)
}

async fn mock(words: usize) -> Mock {
    let text = "word ".repeat(words);
    let script = format!(r#"{{"turns":[{{"text":"{text}"}}]}}"#);
    Mock::start(Options {
        settings: Settings {
            script: Some(Script::read(&script).unwrap()),
            ..Settings::default()
        },
        ..Options::default()
    })
    .await
    .unwrap()
}

/// A server that knows nothing but these bytes, in writes of 64 KiB.
async fn bare(bytes: Bytes) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = Arc::new(bytes);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let bytes = Arc::clone(&bytes);
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let bytes = Arc::clone(&bytes);
                async move {
                    http_body_util::BodyExt::collect(request.into_body())
                        .await
                        .unwrap();
                    let parts: Vec<_> = (0..bytes.len())
                        .step_by(64 << 10)
                        .map(|at| bytes.slice(at..bytes.len().min(at + (64 << 10))))
                        .map(|it| Ok::<_, Infallible>(Frame::data(it)))
                        .collect();
                    let body = StreamBody::new(futures_util::stream::iter(parts));
                    Ok::<_, Infallible>(Response::new(body))
                }
            });
            tokio::spawn(async move {
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                drop(served);
            });
        }
    });
    address
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let other: Option<SocketAddr> = std::env::args().nth(1).and_then(|it| it.parse().ok());
    let ours = runtime.block_on(mock(494));
    let mut raw = Vec::new();
    {
        let mut stream = TcpStream::connect(ours.address()).unwrap();
        let head = format!(
            "POST /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
            BODY.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.read_to_end(&mut raw).unwrap();
    }
    let body = memchr::memmem::find(&raw, b"event: ").unwrap();
    let bare = runtime.block_on(bare(Bytes::from(raw.split_off(body))));
    for connections in [1, 16] {
        let (_, ours_events, ours_bytes) = load(ours.address(), connections);
        let (_, bare_events, bare_bytes) = load(bare, connections);
        println!(
            "{connections:>2} connections: {ours_events:>12.0} events/s, {:.0} MB/s; bare {bare_events:>12.0} events/s, {:.0} MB/s; {:.0} % of it",
            ours_bytes / 1e6,
            bare_bytes / 1e6,
            100.0 * ours_bytes / bare_bytes
        );
        if let Some(other) = other {
            let (_, other_events, _) = load(other, connections);
            println!(
                "                {other_events:>12.0} events/s at {other}: {:.1} times as many here",
                ours_events / other_events
            );
        }
    }
    let large = runtime.block_on(mock(1994));
    let (first, events) = first_byte(large.address());
    println!(
        "{events} events: first byte after {} µs (median)",
        first.as_micros()
    );
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..1000 {
            std::thread::Builder::new()
                .stack_size(512 << 10)
                .spawn_scoped(scope, || {
                    let mut client = Client::new(ours.address());
                    assert!(client.ask(true).events >= 500);
                })
                .unwrap();
        }
    });
    println!(
        "1000 clients at once, 500 events each: {} ms",
        start.elapsed().as_millis()
    );
}
