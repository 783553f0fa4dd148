//! What is said while a recorder runs, and at its end.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::error::CliError;
use super::super::output::Output;
use crate::proxy::tape::{Brief, Told, Totals};
use crate::record::Summary;
use crate::report::counted;
use crate::session::format::cause_name;

/// Recordings up to this size are read again for the summary.
const READ_AGAIN: u64 = 1 << 30;

/// Who says what happens while it is recorded.
pub(super) struct Talk {
    each: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
    json: bool,
}

impl Talk {
    /// `free` if nobody else uses the terminal.
    pub(super) fn new(output: &Output, free: bool) -> Self {
        let each = output.verbose || free && !output.quiet && !output.progress;
        // a client that owns the terminal is not drawn over
        let live = output.progress && free && !each && io::stderr().is_terminal();
        Self {
            each,
            quiet: output.quiet,
            json: output.is_json(),
            bar: live.then(|| {
                let style = ProgressStyle::with_template("{spinner} {msg}");
                let bar = ProgressBar::new_spinner();
                bar.set_style(style.unwrap_or_else(|_plain| ProgressStyle::default_spinner()));
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }),
        }
    }

    pub(super) fn spawn(
        self,
        told: Receiver<Told>,
    ) -> Result<std::thread::JoinHandle<()>, CliError> {
        std::thread::Builder::new()
            .name("talk".to_owned())
            .spawn(move || self.run(&told))
            .map_err(|error| CliError::failed(format!("cannot start: {error}")))
    }

    fn run(self, told: &Receiver<Told>) {
        let (mut exchanges, mut bytes) = (0_u64, 0_u64);
        while let Ok(it) = told.recv() {
            match it {
                Told::Trouble(text) if !self.json => {
                    let _lost: io::Result<()> = self.say(&format!("warning: {text}"));
                }
                Told::Exchange(brief) => {
                    exchanges += 1;
                    bytes += brief.bytes;
                    if let Some(bar) = &self.bar {
                        bar.set_message(format!("{exchanges} exchanges, {bytes} bytes"));
                    }
                    if self.each && !self.quiet && !self.json {
                        let _lost: io::Result<()> = self.say(&line(&brief));
                    }
                }
                Told::Trouble(_) => {}
            }
        }
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) -> io::Result<()> {
        use io::Write as _;
        let text = crate::report::safe(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| writeln!(io::stderr().lock(), "{text}")),
            None => writeln!(io::stderr().lock(), "{text}"),
        }
    }
}

/// One exchange on one line.
fn line(brief: &Brief) -> String {
    let status = brief
        .status
        .map_or_else(|| "-".to_owned(), |it| it.to_string());
    let mut text = format!(
        "#{} {} {} {status} {}.{:03}s {} chunks {} bytes {}",
        brief.number,
        brief.method,
        brief.path,
        brief.took_us / 1_000_000,
        brief.took_us / 1_000 % 1_000,
        brief.chunks,
        brief.bytes,
        cause_name(brief.cause),
    );
    if let Some(detail) = &brief.detail {
        text.push_str(": ");
        text.push_str(detail);
    }
    text
}

/// Says what was recorded and what to type next.
pub(super) fn summarise(path: &Path, totals: &Totals, output: &Output) {
    let name = path.display();
    output.note(&format!(
        "{name}: {}, {}, {} bytes up, {} bytes down, {} bytes on file",
        counted(totals.exchanges, "exchange"),
        counted(totals.connections, "connection"),
        totals.sent,
        totals.received,
        totals.written
    ));
    if let Some(why) = &totals.failed {
        output.note(&format!("warning: the recording is not whole: {why}"));
    }
    if totals.lost > 0 {
        output.note(&format!(
            "warning: {} chunks are missing; the gaps are marked",
            totals.lost
        ));
    }
    if totals.written > READ_AGAIN {
        output.note(&format!("next: replay {name}"));
        return;
    }
    let summary = File::open(path).ok().and_then(|it| Summary::read(it).ok());
    let Some(summary) = summary else {
        return;
    };
    output.note(&format!(
        "{}{}, {}{}, {}, {}",
        counted(summary.requests, "request"),
        if summary.others > 0 {
            format!(" and {}", counted(summary.others, "other exchange"))
        } else {
            String::new()
        },
        counted(summary.cuts.len(), "cut"),
        numbers(&summary.cuts),
        counted(summary.refusals.len(), "refusal"),
        counted(summary.open_calls.len(), "open call"),
    ));
    if summary.rollout_lines + summary.client_events > 0 {
        output.note(&format!(
            "{}, {}",
            counted(summary.rollout_lines, "rollout line"),
            counted(summary.client_events, "client event")
        ));
    }
    for (number, message) in summary.refusals.iter().take(5) {
        output.note(&format!("  #{number} refused: {message}"));
    }
    for call in summary.open_calls.iter().take(5) {
        output.note(&format!("  open: {call}"));
    }
    if summary.requests == 0 && summary.others > 0 {
        output.note("none of them is a POST …/responses, so there is nothing to judge");
    } else if summary.requests == 0 {
        output
            .note("no request came through: did the client use the address above as its base URL?");
    } else if summary.refusals.is_empty() && summary.open_calls.is_empty() {
        output.note(&format!("next: replay {name}"));
    } else {
        output.note(&format!("next: replay {name}"));
        output.note(&format!("      replay {name} --recover full-history"));
    }
}

fn numbers(exchanges: &[u32]) -> String {
    if exchanges.is_empty() {
        return String::new();
    }
    let some: Vec<String> = exchanges
        .iter()
        .take(8)
        .map(|it| format!("#{it}"))
        .collect();
    let more = if exchanges.len() > 8 { " …" } else { "" };
    format!(" ({}{more})", some.join(" "))
}
