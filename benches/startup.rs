//! How long `replay --help` takes, and how large the program is.
//!
//! `cargo bench --bench startup -- [REPEATS]`

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() -> io::Result<()> {
    let program = env!("CARGO_BIN_EXE_replay");
    let repeats = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(51_usize);
    let mut times = Vec::new();
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        Command::new(program)
            .arg("--help")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let size = std::fs::metadata(program)?.len();
    writeln!(
        io::stdout(),
        "replay --help   {:>6.2} ms\nprogram         {:>6} KB",
        median.as_secs_f64() * 1000.0,
        size / 1000
    )
}
