//! How fast a rollout is read, held against the least any reader must do: split lines and look at three fields.
//!
//! `cargo bench --bench rollout_read -- [MEGABYTES] [REPEATS]`

#![expect(
    dead_code,
    reason = "the measurements share a module of which each uses a part"
)]

mod generate;
mod measure;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use generate::Shape;
use measure::{Scratch, bare, median, megabytes, peak, speed};
use responses_replay::rollout::reader::{self, ReadError};
use responses_replay::rollout::{NoLibrary, Rollout};

fn rollout(path: &Path) -> io::Result<Rollout> {
    reader::read(File::open(path)?, &NoLibrary).map_err(|error| match error {
        ReadError::Io(error) => error,
        other => io::Error::other(other),
    })
}

fn main() -> io::Result<()> {
    let mut numbers = measure::numbers();
    let bytes = numbers.next().unwrap_or(200) * 1_000_000;
    let repeats = numbers.next().unwrap_or(5) as usize;
    let scratch = Scratch::rollout(Shape::long(bytes))?;

    let before = peak();
    let read = rollout(&scratch.path)?;
    let after = peak();
    let (lines, items, steps) = (read.lines, read.items.len(), read.steps.len());
    let problems = read.problems.len();
    drop(read);
    let ours = median(repeats, || rollout(&scratch.path))?;
    let least = median(repeats, || bare(&scratch.path))?;

    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} MB, {lines} lines of {} bytes, {items} items, {steps} steps, {problems} problems",
        scratch.bytes / 1_000_000,
        scratch.bytes / u64::from(lines.max(1))
    )?;
    writeln!(
        out,
        "bare loop       {:>6} MB/s",
        speed(scratch.bytes, least)
    )?;
    writeln!(
        out,
        "rollout reader  {:>6} MB/s",
        speed(scratch.bytes, ours)
    )?;
    let ratio = least.as_secs_f64() / ours.as_secs_f64();
    writeln!(out, "ratio           {ratio:>6.2}")?;
    let (most, first) = (megabytes(after), megabytes(before));
    writeln!(
        out,
        "memory          {most} at most, {first} before reading"
    )
}
