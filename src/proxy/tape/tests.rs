//! From the queue to the file: what a disk that fails leaves behind, and how large the file gets.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::header::HeaderMap;
use serde_json::Value;

use super::*;
use crate::redact::Redactor;
use crate::session::reader;

/// A disk with so much room.
#[derive(Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: Arc<Mutex<usize>>,
}

impl Disk {
    fn with(room: usize) -> Self {
        let disk = Self::default();
        *disk.room.lock().unwrap() = room;
        disk
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let count = bytes.len().min(*room);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *room -= count;
        self.bytes
            .lock()
            .unwrap()
            .extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for Disk {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Heard = Arc<Mutex<Vec<String>>>;

fn begin(disk: &Disk) -> (Tape, std::thread::JoinHandle<Totals>, Heard) {
    let (tape, feed) = Tape::new(MAX_QUEUED);
    let heard = Heard::default();
    let troubles = Arc::clone(&heard);
    let scribe = start(
        feed,
        Output::new(Box::new(disk.clone()), false),
        Opening::default(),
        Redactor::default(),
        Box::new(move |told| {
            if let Told::Trouble(text) = told {
                troubles.lock().unwrap().push(text);
            }
        }),
    );
    (tape, scribe.unwrap(), heard)
}

fn head() -> Box<Head> {
    Box::new(Head {
        http: "1.1",
        method: "POST".to_owned(),
        target: "/v1/responses".to_owned(),
        headers: HeaderMap::new(),
    })
}

fn ask(track: &mut Track, body: &str) {
    let id = track.id();
    track.mark(Event::Request {
        id,
        at_us: track.now(),
        head: head(),
    });
    track.data(Event::Body {
        id,
        bytes: Bytes::copy_from_slice(body.as_bytes()),
    });
    track.mark(Event::BodyEnd {
        id,
        at_us: track.now(),
        complete: true,
    });
    track.mark(Event::Response {
        id,
        at_us: track.now(),
        status: 200,
        headers: Box::default(),
    });
}

fn chunk(track: &mut Track, text: &str) {
    track.data(Event::Chunk {
        id: track.id(),
        at_us: track.now(),
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    });
}

/// Ends an exchange and waits until the scribe has seen it.
fn end(track: &mut Track) {
    let (written, done) = oneshot::channel();
    track.mark(Event::End {
        id: track.id(),
        at_us: track.now(),
        cause: EndCause::Complete,
        detail: None,
        trailers: None,
        written: Some(written),
    });
    done.blocking_recv().unwrap();
}

fn values(text: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn a_full_disk_leaves_a_gap_and_one_warning_and_what_comes_later_is_whole() {
    let disk = Disk::with(400);
    let (tape, scribe, heard) = begin(&disk);
    let mut first = tape.track();
    ask(&mut first, "{\"model\":\"m\"}");
    // more than is kept waiting
    let piece = "x".repeat(1 << 20);
    for _ in 0..20 {
        chunk(&mut first, &piece);
        // the scribe sees each of them fail: the queue itself has room for all
        let mut other = tape.track();
        ask(&mut other, "{}");
        end(&mut other);
    }
    *disk.room.lock().unwrap() = usize::MAX;
    chunk(&mut first, "data: last\n\n");
    end(&mut first);
    let mut second = tape.track();
    ask(&mut second, "{\"model\":\"n\"}");
    chunk(&mut second, "data: {}\n\n");
    end(&mut second);
    tape.stop();
    let totals = scribe.join().unwrap();
    assert!(totals.failed.is_none() && totals.lost > 0, "{totals:?}");
    assert_eq!(heard.lock().unwrap().len(), 1, "{heard:?}");
    let text = disk.text();
    let lines = values(&text);
    let gap: u64 = lines
        .iter()
        .filter(|it| it["kind"] == "gap" && it["exchange"] == 1)
        .map(|it| it["bytes"].as_u64().unwrap())
        .sum();
    let kept: usize = lines
        .iter()
        .filter(|it| it["kind"] == "chunk" && it["exchange"] == 1)
        .map(|it| it["text"].as_str().unwrap().len())
        .sum();
    assert_eq!(kept + gap as usize, (20 << 20) + "data: last\n\n".len());
    assert!(gap > 0);
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["kind"], &last["cause"]),
        (&"end".into(), &"complete".into())
    );
    let recording = reader::read(text.as_bytes()).unwrap();
    for problem in &recording.problems {
        assert!(
            problem.reason.to_string().contains("were not recorded"),
            "{problem:?}"
        );
    }
}

#[test]
fn bytes_that_the_queue_had_no_room_for_are_counted() {
    let disk = Disk::with(usize::MAX);
    let (tape, feed) = Tape::new(10_000);
    let mut track = tape.track();
    ask(&mut track, "{}");
    for _ in 0..50 {
        chunk(&mut track, &"y".repeat(1000));
    }
    // only now does somebody write
    let scribe = start(
        feed,
        Output::new(Box::new(disk.clone()), false),
        Opening::default(),
        Redactor::default(),
        Box::new(|_| {}),
    )
    .unwrap();
    while tape.shared.queued.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    chunk(&mut track, "z");
    end(&mut track);
    tape.stop();
    scribe.join().unwrap();
    let lines = values(&disk.text());
    let kept = lines.iter().filter(|it| it["kind"] == "chunk").count();
    let gap = lines.iter().find(|it| it["kind"] == "gap").unwrap();
    assert_eq!(kept as u64 + gap["chunks"].as_u64().unwrap(), 51);
    assert_eq!(gap["bytes"], gap["chunks"].as_u64().unwrap() * 1000);
}

#[test]
fn what_is_open_when_the_recorder_stops_is_ended() {
    let disk = Disk::with(usize::MAX);
    let (tape, scribe, _) = begin(&disk);
    let mut open = tape.track();
    ask(&mut open, "{}");
    chunk(&mut open, "data: 1\n\n");
    let mut half = tape.track();
    half.mark(Event::Request {
        id: half.id(),
        at_us: half.now(),
        head: head(),
    });
    half.data(Event::Body {
        id: half.id(),
        bytes: Bytes::from_static(b"{\"mod"),
    });
    tape.stop();
    scribe.join().unwrap();
    let lines = values(&disk.text());
    let ends: Vec<_> = lines.iter().filter(|it| it["kind"] == "end").collect();
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|it| it["cause"] == "recorder_stopped"));
    let torn = lines.iter().find(|it| it["body_text"] == "{\"mod").unwrap();
    assert_eq!(torn["body_complete"], false);
}

/// A request of a session after `turns` turns, about `size` bytes a turn.
fn body(turns: usize, size: usize) -> String {
    let items: Vec<String> = (0..turns)
        .map(|turn| {
            let pieces: Vec<String> = (0..size / 20)
                .map(|at| format!("{turn:08}-{at:08}  "))
                .collect();
            let text = pieces.concat();
            format!("{{\"type\":\"message\",\"role\":\"user\",\"content\":\"{text}\"}}")
        })
        .collect();
    format!(
        "{{\"model\":\"m\",\"stream\":true,\"input\":[{}],\"client_metadata\":{{\"turn\":\"{turns}\"}}}}",
        items.join(",")
    )
}

#[test]
fn a_file_grows_with_what_is_new() {
    let disk = Disk::with(usize::MAX);
    let (tape, scribe, _) = begin(&disk);
    let event = |at: usize| {
        let data = format!(
            "{{\"type\":\"response.output_text.delta\",\"item_id\":\"msg_68af4030baa48193b0b43b4c2a176a1a\",\"output_index\":0,\"content_index\":0,\"delta\":\" word\",\"logprobs\":[],\"sequence_number\":{at}}}"
        );
        format!("event: response.output_text.delta\ndata: {data}\n\n")
    };
    let (mut whole, mut fresh, mut before) = (0, 0, 0);
    for turn in 1..=300 {
        let body = body(turn, 700);
        whole += body.len();
        fresh += body.len() - before;
        before = body.len();
        let mut track = tape.track();
        ask(&mut track, &body);
        for at in 0..8 {
            let event = event(at);
            fresh += event.len();
            whole += event.len();
            chunk(&mut track, &event);
        }
        end(&mut track);
    }
    assert!(before > 200_000, "the last request has {before} bytes");
    tape.stop();
    let totals = scribe.join().unwrap();
    let written = totals.written as usize;
    let bodies: usize = written * 100 / whole;
    assert!(bodies < 15, "{bodies} % of storing whole bodies");
    // a whole body every 32 requests is the price of reading from the middle
    let anchors: usize = (1..=300)
        .step_by(32)
        .map(|turn| body(turn, 700).len())
        .sum();
    let ratio = (written - anchors) * 100 / fresh;
    assert!(ratio < 160, "{ratio} % of what was new");
    let text = disk.text();
    assert_eq!(reader::read(text.as_bytes()).unwrap().problems.len(), 0);
}
