//! `replay record`.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Environment;
use super::args::{RecordArgs, RootsChoice};
use super::error::CliError;
use super::now::{Moment, now};
use super::output::Output;
use crate::proxy::tape::{self, Brief, Opening, Told, Totals};
use crate::proxy::{Config, Roots, Upstream, local_base};
use crate::record::{Options, RecordError, Recorder, Summary};
use crate::redact::{self, Redactor};
use crate::session::format::cause_name;

/// Recordings up to this size are read again for the summary.
const READ_AGAIN: u64 = 1 << 30;

pub(super) fn run(
    args: &RecordArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let upstreams = upstreams(args, environment)?;
    let redactor = redactor(&args.redact, &args.keep_header)?;
    let listen = args.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let moment = now();
    let (path, file) = create(args, &moment)?;
    let (sender, told) = channel();
    let verbose = output.verbose || args.command.is_empty() && !output.quiet && !output.progress;
    let talk = Talk::new(output, verbose, args.command.is_empty());
    let recorder = Recorder::start(Options {
        listen,
        proxy: Config {
            upstreams: upstreams.clone(),
            bad_gateway: args.bad_gateway,
            drain: args.drain,
            roots: match args.tls_roots {
                RootsChoice::Both => Roots::Both,
                RootsChoice::Platform => Roots::Platform,
                RootsChoice::Bundled => Roots::Bundled,
            },
        },
        output: tape::Output::new(Box::new(file), args.fsync),
        opening: Opening {
            id: moment.id.clone(),
            created_at: moment.rfc3339.clone(),
            recorder: concat!("replay ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: args
                .command
                .iter()
                .map(|it| it.to_string_lossy().into_owned())
                .collect(),
            upstream: upstreams
                .iter()
                .map(Upstream::url)
                .collect::<Vec<_>>()
                .join(" "),
            drain: args.drain,
        },
        redactor,
        told: Box::new(move |it| {
            // the listener may be gone at the very end
            let _gone = sender.send(it);
        }),
    });
    let mut recorder = recorder.map_err(|error| {
        // nothing was recorded: leave nothing behind
        let _left: io::Result<()> = std::fs::remove_file(&path);
        failure(&error)
    })?;
    for upstream in &upstreams {
        output.note(&format!(
            "recording {} -> {}",
            local_base(recorder.address(), upstream),
            upstream.url()
        ));
    }
    output.note(&format!("into {}", path.display()));
    if let Some(port_file) = &args.port_file {
        write_port_file(port_file, recorder.address())?;
    }
    let talker = talk.spawn(told)?;
    let status = {
        recorder.wait_for_signal();
        0
    };
    let totals = recorder.finish(Duration::ZERO);
    // it ends with the channel
    let _talked = talker.join();
    summarise(&path, &totals, output);
    Ok(status)
}

fn failure(error: &RecordError) -> CliError {
    let failed = CliError::failed(error.to_string());
    match error {
        RecordError::Listen(..) => failed.hint("--listen 127.0.0.1:0 takes any free port"),
        _ => failed,
    }
}

fn upstreams(args: &RecordArgs, environment: &Environment) -> Result<Vec<Upstream>, CliError> {
    let named = if args.upstream.is_empty() {
        let own = environment.openai_base_url.clone();
        vec![own.unwrap_or_else(|| "https://api.openai.com/v1".to_owned())]
    } else {
        args.upstream.clone()
    };
    named
        .iter()
        .map(|text| {
            Upstream::parse(text).map_err(|error| {
                CliError::usage(format!("--upstream: {error}"))
                    .hint("for example --upstream https://api.openai.com/v1")
            })
        })
        .collect()
}

/// What takes secrets out, with the user's own patterns.
pub(super) fn redactor(patterns: &[String], keep_headers: &[String]) -> Result<Redactor, CliError> {
    let patterns = patterns.iter().map(|pattern| {
        regex::bytes::Regex::new(pattern).map_err(|error| {
            CliError::usage(format!("--redact: {error}"))
                .hint("regular expressions as in ripgrep; quote them for the shell")
        })
    });
    Ok(Redactor::new(redact::Options {
        patterns: patterns.collect::<Result<_, _>>()?,
        keep_headers: keep_headers.to_vec(),
        taken: 0,
    }))
}

/// Makes the file. Only its owner may read it, and it never replaces another one unasked.
fn create(args: &RecordArgs, moment: &Moment) -> Result<(PathBuf, File), CliError> {
    let name = format!("replay-{}.jsonl", moment.file_stamp);
    let path = match &args.output {
        None => PathBuf::from(name),
        Some(path) if path == Path::new("-") => {
            return Err(
                CliError::usage("a recording is written to a file, not to stdout")
                    .hint("-o FILE, or -o FOLDER for a file named by its time"),
            );
        }
        Some(path) if path.is_dir() => path.join(name),
        Some(path) => path.clone(),
    };
    let mut how = OpenOptions::new();
    how.append(true);
    if args.force && path.is_file() {
        // a recording is only appended to; what was there is gone first
        std::fs::remove_file(&path).map_err(|error| cannot_write(&path, &error))?;
    }
    how.create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        how.mode(0o600);
    }
    let file = how
        .open(&path)
        .map_err(|error| cannot_write(&path, &error))?;
    Ok((path, file))
}

fn cannot_write(path: &Path, error: &io::Error) -> CliError {
    let failed = CliError::failed(format!("{}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::AlreadyExists => failed.hint("--force replaces it"),
        io::ErrorKind::NotFound => failed.hint("does its folder exist?"),
        _ => failed,
    }
}

/// Writes `host:port` and a newline, so that whoever waits for the file never reads half of it.
pub(super) fn write_port_file(path: &Path, address: SocketAddr) -> Result<(), CliError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    std::fs::write(&draft, format!("{address}\n"))
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
}

/// Who says what happens while it is recorded.
struct Talk {
    each: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
    json: bool,
}

impl Talk {
    fn new(output: &Output, each: bool, free: bool) -> Self {
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

    fn spawn(self, told: Receiver<Told>) -> Result<std::thread::JoinHandle<()>, CliError> {
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
fn summarise(path: &Path, totals: &Totals, output: &Output) {
    let name = path.display();
    output.note(&format!(
        "{name}: {} exchanges, {} connections, {} bytes up, {} bytes down, {} bytes on file",
        totals.exchanges, totals.connections, totals.sent, totals.received, totals.written
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
        "{} requests{}, {} cuts{}, {} refusals, {} open calls",
        summary.requests,
        if summary.others > 0 {
            format!(" and {} other exchanges", summary.others)
        } else {
            String::new()
        },
        summary.cuts.len(),
        numbers(&summary.cuts),
        summary.refusals.len(),
        summary.open_calls.len(),
    ));
    if summary.rollout_lines + summary.client_events > 0 {
        output.note(&format!(
            "{} rollout lines, {} client events",
            summary.rollout_lines, summary.client_events
        ));
    }
    for (number, message) in summary.refusals.iter().take(5) {
        output.note(&format!("  #{number} refused: {message}"));
    }
    for call in summary.open_calls.iter().take(5) {
        output.note(&format!("  open: {call}"));
    }
    if summary.requests == 0 {
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
