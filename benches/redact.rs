//! What it costs to look for secrets in the chunks of a stream and in bodies.
//!
//! `cargo bench --bench redact -- [THOUSANDS OF CHUNKS] [REPEATS]`

#![expect(
    dead_code,
    reason = "the measurements share a module of which each uses a part"
)]

mod generate;
mod measure;

use std::io::{self, Write};

use bytes::Bytes;
use measure::{median, speed};
use regex::bytes::Regex;
use responses_replay::redact::{Lookout, Options, Redactor, Stream};

/// Lets chunks pass and returns how many came out.
fn pass(options: &Options, chunks: &[Bytes]) -> usize {
    let mut redactor = Redactor::new(options.clone());
    let mut stream = Stream::new();
    let mut out: Vec<(usize, Bytes)> = Vec::new();
    let mut count = 0;
    for (mark, chunk) in chunks.iter().enumerate() {
        stream.push(&mut redactor, mark, chunk.clone(), &mut out);
        count += out.drain(..).count();
    }
    stream.finish(&mut redactor, &mut out);
    count + out.len()
}

fn main() -> io::Result<()> {
    let mut numbers = measure::numbers();
    let count = numbers.next().unwrap_or(500) as usize * 1000;
    let repeats = numbers.next().unwrap_or(5) as usize;
    let chunks: Vec<Bytes> = (0..count)
        .map(|n| {
            let text = format!(
                "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"item_id\":\"msg_{n}\",\"output_index\":0,\"content_index\":0,\"delta\":\"word {n} \",\"sequence_number\":{n}}}\n\n"
            );
            Bytes::from(text)
        })
        .collect();
    let bytes: u64 = chunks.iter().map(|it| it.len() as u64).sum();
    let patterns = Options {
        patterns: Regex::new("ACME-[0-9]+").into_iter().collect(),
        ..Options::default()
    };
    let mut out = io::stdout().lock();
    for (name, options) in [("rules", Options::default()), ("with a pattern", patterns)] {
        let time = median(repeats, || Ok(pass(&options, &chunks)))?;
        let each = time.as_nanos() / (count as u128).max(1);
        let rate = speed(bytes, time);
        writeln!(out, "{name:<15} {each:>6} ns a chunk, {rate} MB/s")?;
    }
    let body = chunks.concat();
    let time = median(repeats, || Ok(Redactor::default().body(&body).places.len()))?;
    writeln!(out, "whole text      {:>6} MB/s", speed(bytes, time))?;
    let time = median(repeats, || {
        let mut lookout = Lookout::default();
        for block in body.chunks(256 << 10) {
            lookout.push(block);
        }
        Ok(lookout.finish().len())
    })?;
    writeln!(out, "lookout         {:>6} MB/s", speed(bytes, time))
}
