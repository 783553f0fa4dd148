//! How long `shrink` and `recover` take for sessions of many items.
//!
//! `cargo bench --bench shrink -- [ITEMS]`; a tenth of the items is measured beside it.

use std::fmt::Write as _;
use std::io::{self, Cursor, Read, Write};
use std::time::{Duration, Instant};

use responses_replay::repair;
use responses_replay::rollout::{NoLibrary, reader};
use responses_replay::session::{Session, request_file};
use responses_replay::shrink::{self, Contract, Limits, Same};
use responses_replay::strategy::{Options, Strategy};

/// Items of turns: a message, calls with outputs. One call in the middle has none.
fn items(count: usize) -> Vec<String> {
    let words = "some words that say what was found there; ".repeat(8);
    let mut items = Vec::new();
    let mut call = 0;
    while items.len() < count {
        items.push(format!(
            r#"{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{words}"}}]}}"#
        ));
        for _ in 0..4 {
            call += 1;
            items.push(format!(
                r#"{{"type":"function_call","name":"shell","arguments":"{{}}","call_id":"call_{call}"}}"#
            ));
            if call != count / 5 {
                items.push(format!(
                    r#"{{"type":"function_call_output","call_id":"call_{call}","output":"{words}"}}"#
                ));
            }
        }
        items.push(format!(
            r#"{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"{words}"}}]}}"#
        ));
    }
    items
}

fn rollout(items: &[String]) -> String {
    let time = r#""timestamp":"2026-01-01T00:00:00.000Z""#;
    let mut text = format!(
        r#"{{{time},"ordinal":0,"type":"session_meta","payload":{{"id":"0f3a2f5e-6f0c-4d52-9c1e-2a4f1d3b9c77",{time},"cwd":"/","originator":"codex_exec","cli_version":"0.169.0","history_mode":"paginated"}}}}"#
    );
    text.push('\n');
    for (at, item) in items.iter().enumerate() {
        let ordinal = at + 1;
        // writing to a text cannot fail
        let _ = writeln!(
            text,
            r#"{{{time},"ordinal":{ordinal},"type":"response_item","payload":{item}}}"#
        );
    }
    text
}

fn shrunk(text: &str, session: &Session) -> Option<(Duration, shrink::Shrunk)> {
    let begun = Instant::now();
    let options = Options::default();
    let none = Some(Strategy::None);
    let mut contract = Contract::of(session, none, &options, Same::Call, &NoLibrary).ok()?;
    let small = shrink::shrink(text, &mut contract, Limits::default())?;
    Some((begun.elapsed(), small))
}

fn main() -> io::Result<()> {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let count: usize = asked.unwrap_or(10_000);
    let mut out = io::stdout().lock();
    for count in [count / 10, count] {
        let items = items(count);
        let lines = rollout(&items);
        let body = format!(r#"{{"model":"m","input":[{}]}}"#, items.join(","));
        let read =
            reader::read(Cursor::new(lines.as_bytes()), &NoLibrary).map_err(io::Error::other)?;
        let request = request_file::read(Cursor::new(body.as_bytes())).map_err(io::Error::other)?;
        for (what, text, session) in [
            ("rollout", &lines, Session::Rollout(read)),
            ("request", &body, Session::Recording(request)),
        ] {
            let Some((time, small)) = shrunk(text, &session) else {
                return Err(io::Error::other("nothing refuses it"));
            };
            writeln!(
                out,
                "shrink {what:>8} {:>6} items {:>5} KB to {:>4} bytes: {:>6.2} s, {} candidates",
                items.len(),
                text.len() / 1000,
                small.text.len(),
                time.as_secs_f64(),
                small.tried
            )?;
        }
        let begun = Instant::now();
        let open = || Ok(Box::new(Cursor::new(lines.as_bytes())) as Box<dyn Read>);
        let plan = repair::plan(&open, &NoLibrary, &repair::Options::default())
            .map_err(io::Error::other)?;
        let written = plan.write(&open, &mut io::sink(), &mut |_| Ok(()))?;
        writeln!(
            out,
            "recover  rollout {:>6} items, {} changes, {} lines: {:>6.3} s",
            items.len(),
            plan.changes.len(),
            written.lines,
            begun.elapsed().as_secs_f64()
        )?;
    }
    out.flush()
}
