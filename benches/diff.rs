//! How long `replay diff` takes, as ratios to reading the same files with the least any reader must do.
//!
//! `cargo bench --bench diff -- [EVENTS]`. Two conversations of so many events of the canonical sequence (50,000), equal
//! but for their ids, times and the way streams were cut; the same with 100 outputs changed; then what no search likes:
//! nothing in common, one event over and over, all in one answer, as many threads as
//! one likes, one huge text.

mod conversation;
#[expect(dead_code, reason = "shared with the other measurements")]
mod generate;
#[expect(dead_code, reason = "shared with the other measurements")]
mod measure;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use conversation::{Shape, conversation};
use responses_replay::diff::{self, Deadline, Options, Reading, Sequence};
use responses_replay::session::{Session, reader};

const REPEATS: usize = 5;

fn sequence(text: &str) -> io::Result<Sequence> {
    let recording = reader::read(text.as_bytes()).map_err(io::Error::other)?;
    diff::read(
        &Session::Recording(recording),
        text.as_bytes(),
        &Reading::default(),
    )
}

/// The least: lines split, and the kind of each looked at.
fn bare(text: &str) -> io::Result<usize> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        kind: &'a str,
    }
    let mut count = 0;
    for line in text.lines() {
        let line: Line<'_> = serde_json::from_str(line)?;
        count += usize::from(line.kind == "request");
    }
    Ok(count)
}

fn ratio(time: Duration, base: Duration) -> f64 {
    time.as_secs_f64() / base.as_secs_f64().max(1e-9)
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let events = measure::numbers().next().unwrap_or(50_000) as usize;
    let base = Shape {
        events,
        seed: 1,
        changed: 0,
        pieces: 1,
    };
    let left = conversation(base);
    let least = measure::median(REPEATS, || bare(&left))? * 2;
    writeln!(
        out,
        "{events} events, {} MB a side; the least: lines split and told apart, both sides: {least:?}",
        left.len() / 1_000_000
    )?;
    let session = measure::median(REPEATS, || {
        reader::read(left.as_bytes()).map_err(io::Error::other)
    })?;
    let both = measure::median(REPEATS, || sequence(&left))?;
    writeln!(
        out,
        "read one side: session {session:?} ({:.1} of the least), session and sequence {both:?} ({:.1})",
        ratio(session * 2, least),
        ratio(both * 2, least)
    )?;
    let a = sequence(&left)?;
    let cases = [
        ("itself", base),
        ("other ids", Shape { seed: 2, ..base }),
        (
            "other ids, 100 outputs changed",
            Shape {
                seed: 3,
                changed: 100,
                ..base
            },
        ),
        (
            "other ids, every output changed",
            Shape {
                seed: 4,
                changed: usize::MAX,
                ..base
            },
        ),
    ];
    for (name, shape) in cases {
        let b = sequence(&conversation(shape))?;
        let time = measure::median(
            REPEATS,
            || Ok(diff::diff(&a, &b, &Options::default()).equal),
        )?;
        let found = diff::diff(&a, &b, &Options::default());
        let differences = found
            .changes
            .iter()
            .filter(|it| it.op != diff::Op::Equal)
            .count();
        writeln!(
            out,
            "{name}: {differences} differences, {time:?} ({:.1} of the least)",
            ratio(time, least)
        )?;
    }
    for (name, left, right) in conversation::worst(events) {
        let start = Instant::now();
        let (a, b) = (sequence(&left)?, sequence(&right)?);
        let reading = start.elapsed();
        let limit = Duration::from_secs(1);
        let start = Instant::now();
        let now = Instant::now;
        let options = Options {
            deadline: Some(Deadline {
                at: start + limit,
                now: &now,
            }),
            ..Options::default()
        };
        let found = diff::diff(&a, &b, &options);
        let time = start.elapsed();
        writeln!(
            out,
            "{name}: reading {reading:?}; deadline {limit:?}, took {time:?} ({:.2} of it), stopped: {}, equal: {}",
            ratio(time, limit),
            found.stopped,
            found.equal
        )?;
    }
    Ok(())
}
