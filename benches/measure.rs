//! What the measurements share: files that are removed again, medians, peak memory, the bare loop.

use std::ffi::OsString;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use responses_replay::cli::{self, Environment};
use serde::Deserialize;

use crate::generate::{self, Shape};

/// The numbers among the arguments.
pub(crate) fn numbers() -> impl Iterator<Item = u64> {
    std::env::args().filter_map(|argument| argument.parse().ok())
}

/// A generated file, removed when it is dropped.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
}

impl Scratch {
    pub(crate) fn rollout(shape: Shape) -> io::Result<Self> {
        let name = format!(
            "replay-bench-{}-{}-{}.jsonl",
            std::process::id(),
            shape.bytes,
            shape.open
        );
        let mut scratch = Self {
            path: std::env::temp_dir().join(name),
            bytes: 0,
            requests: 0,
        };
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&scratch.path)?);
        scratch.requests = generate::rollout(&mut out, shape)?;
        out.flush()?;
        scratch.bytes = std::fs::metadata(&scratch.path)?.len();
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::fs::remove_file(&self.path).is_err() {
            // the system's folder for temporary files is emptied by others
        }
    }
}

/// The median time of several runs.
pub(crate) fn median<T>(
    repeats: usize,
    mut run: impl FnMut() -> io::Result<T>,
) -> io::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        black_box(run()?);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Most memory this process ever had resident, in KiB, where the system tells.
pub(crate) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

const CHILD: &str = "--as-replay";

/// Where this process was started by [`replay`], does what it was started for.
pub(crate) fn is_child() -> io::Result<bool> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != CHILD) {
        return Ok(false);
    }
    let typed = std::iter::once(OsString::from("replay")).chain(arguments);
    cli::run(typed, &Environment::default());
    if let Some(peak) = peak() {
        writeln!(io::stderr(), "\n{peak}")?;
    }
    Ok(true)
}

/// Runs `replay` in a process of its own; gives the time and, where the system tells, the peak memory in KiB.
pub(crate) fn replay(verb: &[&str], path: &Path) -> io::Result<(Duration, Option<u64>)> {
    let start = Instant::now();
    let done = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .args(verb)
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&done.stderr);
    let peak = said.lines().next_back().and_then(|line| line.parse().ok());
    Ok((time, peak))
}

/// The same several times: the median time and the largest peak.
pub(crate) fn replay_often(
    repeats: usize,
    verb: &[&str],
    path: &Path,
) -> io::Result<(Duration, Option<u64>)> {
    let mut most = None;
    let time = median(repeats, || {
        let (_, peak) = replay(verb, path)?;
        most = most.max(peak);
        Ok(())
    })?;
    Ok((time, most))
}

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

/// The least any reader must do: splits lines and looks at three fields.
pub(crate) fn bare(path: &Path) -> io::Result<usize> {
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

/// Megabytes a second.
pub(crate) fn speed(bytes: u64, time: Duration) -> u128 {
    // bytes per microsecond are megabytes per second
    u128::from(bytes) / time.as_micros().max(1)
}

/// A peak in megabytes, for people.
pub(crate) fn megabytes(peak: Option<u64>) -> String {
    peak.map_or("unknown".into(), |kib| {
        format!("{} MB", kib * 1024 / 1_000_000)
    })
}
