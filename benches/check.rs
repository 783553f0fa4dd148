//! How fast a rollout is checked by one thread, held against the least any reader must do, and how much memory
//! `replay check` needs for it.
//!
//! `cargo bench --bench check -- [MEGABYTES] [REPEATS]`

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
use measure::{Scratch, bare, median, megabytes, replay_often, speed};
use responses_replay::check::{self, Checked, Watched};
use responses_replay::redact::Lookout;
use responses_replay::rollout::NoLibrary;
use responses_replay::rollout::reader;
use responses_replay::session::Session;
use responses_replay::strategy::Options;

/// The same without a look at what may be a secret.
fn judged(path: &Path) -> io::Result<Checked> {
    let rollout = reader::read(File::open(path)?, &NoLibrary).map_err(io::Error::other)?;
    Ok(check::check(
        &Session::Rollout(rollout),
        &Options::default(),
    ))
}

fn checked(path: &Path) -> io::Result<Checked> {
    let mut lookout = Lookout::default();
    let file = Watched::new(File::open(path)?, &mut lookout);
    let rollout = reader::read(file, &NoLibrary).map_err(io::Error::other)?;
    let mut checked = check::check(&Session::Rollout(rollout), &Options::default());
    checked.add_secrets(&lookout.finish());
    Ok(checked)
}

fn main() -> io::Result<()> {
    if measure::is_child()? {
        return Ok(());
    }
    let mut numbers = measure::numbers();
    let bytes = numbers.next().unwrap_or(200) * 1_000_000;
    let repeats = numbers.next().unwrap_or(5) as usize;
    let scratch = Scratch::rollout(Shape::long(bytes))?;

    let ours = median(repeats, || checked(&scratch.path))?;
    let blind = median(repeats, || judged(&scratch.path))?;
    let least = median(repeats, || bare(&scratch.path))?;
    let (command, peak) = replay_often(repeats, &["check"], &scratch.path)?;

    let mut out = io::stdout().lock();
    let size = scratch.bytes;
    writeln!(
        out,
        "{} MB, {} requests",
        size / 1_000_000,
        scratch.requests
    )?;
    writeln!(out, "bare loop       {:>6} MB/s", speed(size, least))?;
    writeln!(out, "check           {:>6} MB/s", speed(size, ours))?;
    writeln!(out, "without secrets {:>6} MB/s", speed(size, blind))?;
    let ratio = least.as_secs_f64() / ours.as_secs_f64();
    writeln!(out, "ratio           {ratio:>6.2}")?;
    writeln!(
        out,
        "replay check    {:>6.2} s, {} at most",
        command.as_secs_f64(),
        megabytes(peak)
    )
}
