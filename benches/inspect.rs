//! The viewer's measures: how long until the index stands, what it holds, a jump, a search, a document.
//!
//! `cargo bench --bench inspect -- [MEGABYTES] [REPEATS]`

#![expect(
    dead_code,
    reason = "the measurements share a module of which each uses a part"
)]

mod generate;
mod measure;

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use generate::Shape;
use measure::{Scratch, bare, median, peak, replay_often, speed};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use responses_replay::inspect::{Message, Model, Options, update, view};
use responses_replay::rollout::NoLibrary;
use responses_replay::rollout::reader::{self, ReadError};
use responses_replay::session::Session;
use responses_replay::timeline::{self, Timeline};

fn indexed(path: &Path) -> io::Result<Timeline> {
    let rollout = reader::read(File::open(path)?, &NoLibrary).map_err(|error| match error {
        ReadError::Io(error) => error,
        other => io::Error::other(other),
    })?;
    timeline::read("bench", Session::Rollout(rollout), File::open(path)?)
}

/// The longest of many times a key takes from being pressed to being drawn.
fn slowest(model: &mut Model, keys: &str) -> io::Result<Duration> {
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).map_err(io::Error::other)?;
    let mut slowest = Duration::ZERO;
    for key in keys.chars().cycle().take(200) {
        let start = Instant::now();
        let key = KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE);
        black_box(update(model, Message::Key(key)));
        terminal
            .draw(|frame| view(model, frame))
            .map_err(io::Error::other)?;
        slowest = slowest.max(start.elapsed());
    }
    Ok(slowest)
}

/// A recording of so many events, as short ones as there are.
fn recording(path: &Path, events: u32) -> io::Result<u64> {
    let mut out = io::BufWriter::new(File::create(path)?);
    writeln!(out, r#"{{"kind":"session","format":1}}"#)?;
    for exchange in 1..=events / 100 {
        writeln!(
            out,
            r#"{{"kind":"request","exchange":{exchange},"at_us":{exchange}000,"method":"POST","path":"/v1/responses","body":{{"previous_response_id":"resp_{}","input":[{{"type":"function_call_output","call_id":"call_{}","output":"ok"}}]}}}}"#,
            exchange - 1,
            exchange - 1
        )?;
        let id = format!("resp_{exchange}");
        let mut event = |text: String| {
            let chunk = serde_json::json!({"kind": "chunk", "exchange": exchange, "at_us": exchange * 1000 + 1, "text": format!("data: {text}\n\n")});
            writeln!(out, "{chunk}")
        };
        event(format!(
            r#"{{"type":"response.created","response":{{"id":"{id}"}}}}"#
        ))?;
        for _ in 0..97 {
            event(r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"word "}"#.to_owned())?;
        }
        event(format!(
            r#"{{"type":"response.output_item.done","output_index":0,"item":{{"type":"function_call","call_id":"call_{exchange}","name":"f","arguments":"{{}}"}}}}"#
        ))?;
        event(format!(
            r#"{{"type":"response.completed","response":{{"id":"{id}","output":[]}}}}"#
        ))?;
        writeln!(
            out,
            r#"{{"kind":"end","exchange":{exchange},"at_us":{exchange}999,"cause":"complete"}}"#
        )?;
    }
    out.flush()?;
    Ok(std::fs::metadata(path)?.len())
}

fn main() -> io::Result<()> {
    if measure::is_child()? {
        return Ok(());
    }
    let mut numbers = measure::numbers();
    let bytes = numbers.next().unwrap_or(200) * 1_000_000;
    let repeats = numbers.next().unwrap_or(3) as usize;
    let scratch = Scratch::rollout(Shape::long(bytes))?;
    let mut out = io::stdout().lock();

    let before = peak();
    let timeline = indexed(&scratch.path)?;
    let after = peak();
    writeln!(
        out,
        "{} MB, {} entries, {} calls, {} changes",
        scratch.bytes / 1_000_000,
        timeline.entries.len(),
        timeline.calls.len(),
        timeline.changes().len()
    )?;
    if let (Some(before), Some(after)) = (before, after) {
        let grown = (after - before) * 1024;
        let parts = grown * 100 / scratch.bytes.max(1);
        writeln!(
            out,
            "memory          {:>6} MB, {parts} % of the file",
            grown / 1_000_000
        )?;
    }
    let ours = median(repeats, || indexed(&scratch.path))?;
    let least = median(repeats, || bare(&scratch.path))?;
    writeln!(
        out,
        "bare loop       {:>6} MB/s",
        speed(scratch.bytes, least)
    )?;
    writeln!(
        out,
        "index           {:>6} MB/s",
        speed(scratch.bytes, ours)
    )?;

    let last = timeline.entries.len() as u32 - 1;
    let start = Instant::now();
    for part in 0..1000 {
        black_box(timeline.state_at(last / 1000 * part));
    }
    writeln!(
        out,
        "state at a place {:>5} µs",
        start.elapsed().as_micros() / 1000
    )?;

    let source: Box<dyn timeline::Source> = Box::new(File::open(&scratch.path)?);
    let mut model = Model::new(
        Arc::new(timeline),
        vec![source],
        Options::default(),
        (120, 40),
    );
    for (what, keys) in [
        ("a key", "jjjjkkk "),
        ("a jump", "Gg]]["),
        ("a change of view", "rGtgvv"),
    ] {
        let time = slowest(&mut model, keys)?;
        writeln!(out, "{what:<17} {:>5} µs at most", time.as_micros())?;
    }
    drop(model);

    let path =
        std::env::temp_dir().join(format!("replay-bench-{}-events.jsonl", std::process::id()));
    let size = recording(&path, 100_000)?;
    let (time, _) = replay_often(repeats, &["inspect", "--format", "json"], &path)?;
    std::fs::remove_file(&path)?;
    writeln!(
        out,
        "100,000 events as json: {} ms, {} MB/s",
        time.as_millis(),
        speed(size, time)
    )
}
