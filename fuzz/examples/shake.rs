//! Runs a target without an engine: seeds and mutations of them from a fixed start, for a number of seconds.
//!
//! `cargo run --release --example shake -- session_line 60 seeds/session_line`

use std::time::{Duration, Instant};

/// xorshift64*: the same run every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

const WORDS: [&str; 16] = [
    "function_call",
    "function_call_output",
    "custom_tool_call_output",
    "\"call_id\":\"call_1\"",
    "\"id\":\"fc_1\"",
    "null",
    "{}",
    "[",
    "\n",
    "\"previous_response_id\":\"resp_1\"",
    "data: ",
    "response.completed",
    "\\u0000",
    "\u{feff}",
    "No tool output found for function call ",
    "-1",
];

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(40)).min(bytes.len());
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(at..at, word.bytes());
            }
            3 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.truncate(at),
            5 => {
                // whole lines change places: histories that never were
                let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(a, b);
                *bytes = lines.join(&b'\n');
            }
            6 => {
                let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                let line = lines[random.below(lines.len())].to_vec();
                bytes.push(b'\n');
                bytes.extend(line);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied().take(400));
            }
        }
        bytes.truncate(1 << 16);
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let seconds = args.next().and_then(|it| it.parse().ok()).unwrap_or(60);
    let folder = args.next().unwrap_or_else(|| format!("seeds/{name}"));
    let known = responses_replay_fuzz::TARGETS;
    let Some((_, target)) = known.into_iter().find(|(known, _)| *known == name) else {
        eprintln!("targets are {:?}", known.map(|(name, _)| name));
        std::process::exit(2);
    };
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder of seeds")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files
        .iter()
        .filter_map(|it| std::fs::read(it).ok())
        .collect();
    seeds.iter().for_each(|seed| target(seed));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0_u64;
    let mut slowest = Duration::ZERO;
    while Instant::now() < end {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, &seeds, &mut random);
        let begun = Instant::now();
        let found = std::panic::catch_unwind(|| target(&bytes));
        slowest = slowest.max(begun.elapsed());
        runs += 1;
        if found.is_err() {
            std::fs::write("crash", &bytes).expect("the crash to be written");
            eprintln!("run {runs} failed; its bytes are in ./crash");
            std::process::exit(1);
        }
    }
    println!("{name}: {runs} runs, slowest {slowest:?}");
}
