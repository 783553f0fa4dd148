//! How fast a rollout is read, held against the least any reader must do: split lines and look at three fields.
//!
//! `cargo bench --bench rollout_read -- [MEGABYTES] [REPEATS]`

mod generate;

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use responses_replay::rollout::reader::{self, ReadError};
use responses_replay::rollout::{NoLibrary, Rollout};
use serde::Deserialize;

#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a str>,
    payload: Option<BarePayload<'a>>,
}

#[derive(Deserialize)]
struct BarePayload<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a str>,
    call_id: Option<&'a str>,
}

fn bare(path: &Path) -> io::Result<usize> {
    let mut reader = BufReader::with_capacity(256 << 10, File::open(path)?);
    let mut line = Vec::new();
    let mut found = 0;
    while reader.read_until(b'\n', &mut line)? > 0 {
        let value: Bare<'_> = serde_json::from_slice(&line)?;
        let payload = value.payload.as_ref();
        black_box((value.kind, payload.and_then(|payload| payload.kind)));
        found += usize::from(payload.is_some_and(|payload| payload.call_id.is_some()));
        line.clear();
    }
    Ok(found)
}

fn rollout(path: &Path) -> io::Result<Rollout> {
    reader::read(File::open(path)?, &NoLibrary).map_err(|error| match error {
        ReadError::Io(error) => error,
        other => io::Error::other(other),
    })
}

/// The median time of several runs.
fn median<T>(repeats: usize, mut run: impl FnMut() -> io::Result<T>) -> io::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        black_box(run()?);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Most memory this process ever had resident, in KiB, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::fs::remove_file(&self.0).is_err() {
            // the system's folder for temporary files is emptied by others
        }
    }
}

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let bytes = numbers.next().unwrap_or(200) << 20;
    let repeats = numbers.next().unwrap_or(5).max(1) as usize;

    let name = format!("replay-bench-{}.jsonl", std::process::id());
    let scratch = Scratch(std::env::temp_dir().join(name));
    let mut out = BufWriter::new(File::create(&scratch.0)?);
    generate::rollout(&mut out, generate::Shape::long(bytes))?;
    out.flush()?;
    drop(out);
    let size = std::fs::metadata(&scratch.0)?.len();

    let before = peak();
    let read = rollout(&scratch.0)?;
    let after = peak();
    let (lines, items, steps) = (read.lines, read.items.len(), read.steps.len());
    let problems = read.problems.len();
    drop(read);
    let ours = median(repeats, || rollout(&scratch.0))?;
    let least = median(repeats, || bare(&scratch.0))?;

    // bytes per microsecond are megabytes per second
    let speed = |time: Duration| u128::from(size) / time.as_micros().max(1);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} MB, {lines} lines of {} bytes, {items} items, {steps} steps, {problems} problems",
        size / 1_000_000,
        size / u64::from(lines.max(1))
    )?;
    writeln!(out, "bare loop       {:>6} MB/s", speed(least))?;
    writeln!(out, "rollout reader  {:>6} MB/s", speed(ours))?;
    let ratio = least.as_secs_f64() / ours.as_secs_f64();
    writeln!(out, "ratio           {ratio:>6.2}")?;
    if let (Some(before), Some(after)) = (before, after) {
        let (most, first) = (after / 1000, before / 1000);
        writeln!(
            out,
            "memory          {most:>6} MB at most, {first} MB before reading"
        )?;
    }
    Ok(())
}
