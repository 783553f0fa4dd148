//! How long `replay` takes for rollouts of many requests, and how much memory: in proportion to the file, whether calls
//! stay open or not.
//!
//! `cargo bench --bench replay -- [MEGABYTES] [REPEATS]`; a quarter and a half of the size are measured beside it.

#![expect(
    dead_code,
    reason = "the measurements share a module of which each uses a part"
)]

mod generate;
mod measure;

use std::io::{self, Write};

use generate::Shape;
use measure::{Scratch, megabytes, replay_often};

fn main() -> io::Result<()> {
    if measure::is_child()? {
        return Ok(());
    }
    let mut numbers = measure::numbers();
    let whole = numbers.next().unwrap_or(200) * 1_000_000;
    let repeats = numbers.next().unwrap_or(3) as usize;

    let mut out = io::stdout().lock();
    for (what, open) in [
        ("every call answered", 0),
        ("one call open from the first turn on", 1),
        ("500 calls open from the first turns on", 500),
    ] {
        writeln!(out, "{what}")?;
        let mut first = None;
        for bytes in [whole / 4, whole / 2, whole] {
            let scratch = Scratch::rollout(Shape::short_turns(bytes, open))?;
            let (time, peak) = replay_often(repeats, &[], &scratch.path)?;
            let each = time.as_nanos() * 1000 / u128::from(scratch.bytes.max(1));
            let slower = each * 100 / (*first.get_or_insert(each)).max(1);
            writeln!(
                out,
                "  {:>4} MB {:>6} requests {:>6.2} s, {slower:>4} % of the first's time a byte, {} at most",
                scratch.bytes / 1_000_000,
                scratch.requests,
                time.as_secs_f64(),
                megabytes(peak)
            )?;
        }
    }
    Ok(())
}
