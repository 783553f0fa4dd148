//! `replay record`.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Environment;
use super::args::{ClientChoice, EventsChoice, RecordArgs, RootsChoice};
use super::error::CliError;
use super::now::{Moment, now};
use super::output::Output;
use crate::client::home::Home;
use crate::client::launch::{self, Launch};
use crate::client::plan::{self, Choice, Given, Kind, Locals, Survey};
use crate::client::program::{self, Installed};
use crate::client::{EventSource, Sink};
use crate::proxy::tape::{self, Brief, Opening, Tape, Told, Totals};
use crate::proxy::{Config, Roots, Upstream, local_base};
use crate::record::{Lines, Options, RecordError, Recorder, Summary};
use crate::redact::{self, Redactor};
use crate::session::format::cause_name;

/// How long what a client left under way may take to end.
const GRACE: Duration = Duration::from_millis(500);

/// Recordings up to this size are read again for the summary.
const READ_AGAIN: u64 = 1 << 30;

pub(super) fn run(
    args: &RecordArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let command = args
        .command
        .first()
        .map(|_| Launched::survey(args, environment));
    let upstreams = upstreams(args, environment, command.as_ref())?;
    let redactor = redactor(&args.redact, &args.keep_header)?;
    let moment = now();
    let (path, file) = create(args, &moment)?;
    let (sender, told) = channel();
    let trouble = sender.clone();
    let talk = Talk::new(output, args.command.is_empty());
    let options = options(args, &upstreams, &moment, file, redactor, sender);
    let mut recorder = Recorder::start(options).map_err(|error| {
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
    let ended = match command {
        None => {
            // whoever talks listens as long as anybody might still say something
            drop(trouble);
            recorder.wait_for_signal();
            Ok(0)
        }
        Some(command) => {
            for note in &command.survey.notes {
                output.note(note);
            }
            let bases: Vec<String> = upstreams
                .iter()
                .map(|it| local_base(recorder.address(), it))
                .collect();
            command.run(args, environment, &bases, recorder.tape(), trouble, &moment)
        }
    };
    let grace = if args.command.is_empty() {
        Duration::ZERO
    } else {
        GRACE
    };
    let totals = recorder.finish(grace);
    // it ends with the channel
    let _talked = talker.join();
    if ended.is_err() && totals.exchanges == 0 {
        let _left: io::Result<()> = std::fs::remove_file(&path);
    } else {
        summarise(&path, &totals, output);
    }
    ended
}

fn options(
    args: &RecordArgs,
    upstreams: &[Upstream],
    moment: &Moment,
    file: File,
    redactor: Redactor,
    sender: Sender<Told>,
) -> Options {
    let urls: Vec<String> = upstreams.iter().map(Upstream::url).collect();
    let command = args.command.iter().map(|it| it.to_string_lossy());
    Options {
        listen: args.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
        proxy: Config {
            upstreams: upstreams.to_vec(),
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
            command: command.map(Cow::into_owned).collect(),
            upstream: urls.join(" "),
            drain: args.drain,
        },
        redactor,
        told: Box::new(move |it| {
            // the listener may be gone at the very end
            let _gone = sender.send(it);
        }),
    }
}

/// A client that is to be started.
struct Launched {
    home: Home,
    installed: Installed,
    survey: Survey,
}

impl Launched {
    fn survey(args: &RecordArgs, environment: &Environment) -> Self {
        let variables = &environment.client;
        let kind = match args.client {
            ClientChoice::Other => Kind::Other,
            _ => Kind::Codex,
        };
        let home = variables.codex_home(kind);
        let home = home.map(|it| Home::load(&it)).unwrap_or_default();
        let program = plan::program(&args.command);
        let installed = program.map(|it| program::look(it, variables.path.as_deref()));
        let installed = installed.unwrap_or_default();
        let survey = plan::survey(Given {
            command: &args.command,
            choice: choice(args),
            environment: variables,
            home: &home,
            installed: &installed,
        });
        Self {
            home,
            installed,
            survey,
        }
    }

    fn given<'a>(&'a self, args: &'a RecordArgs, environment: &'a Environment) -> Given<'a> {
        Given {
            command: &args.command,
            choice: choice(args),
            environment: &environment.client,
            home: &self.home,
            installed: &self.installed,
        }
    }

    /// Runs the client to its end and returns its status. `bases` replace its upstreams in their order.
    fn run(
        &self,
        args: &RecordArgs,
        environment: &Environment,
        bases: &[String],
        tape: &Tape,
        trouble: Sender<Told>,
        moment: &Moment,
    ) -> Result<u8, CliError> {
        let locals = Locals {
            model: bases.first().cloned().unwrap_or_default(),
            chatgpt: bases.get(1).cloned(),
        };
        let mut survey = self.survey.clone();
        if !args.upstream.is_empty() {
            // the user has named the whole of it
            for upstream in &mut survey.upstreams {
                upstream.path.clear();
            }
        }
        let mut launch = Launch {
            plan: survey.plan(self.given(args, environment), &locals),
            home: survey.home.clone(),
            events: None,
            tui_log: None,
        };
        let log = std::env::temp_dir().join(format!("replay-{}.tui.jsonl", moment.file_stamp));
        match args.client_events {
            Some(EventsChoice::TuiLog) => {
                launch = launch.with_tui_log(&environment.client, log.clone());
            }
            Some(EventsChoice::ExecJson) => launch.events = Some(EventSource::ExecJson),
            Some(EventsChoice::Proto) => launch.events = Some(EventSource::Proto),
            Some(EventsChoice::AppServer) => launch.events = Some(EventSource::AppServer),
            None => {}
        }
        let trouble = Box::new(move |text: &str| {
            // the listener may be gone at the very end
            let _gone = trouble.send(Told::Trouble(text.to_owned()));
        });
        let sink: Arc<dyn Sink> = Arc::new(Lines::new(tape.clone(), trouble));
        let ended = launch::run(&launch, &sink);
        if launch.tui_log.as_deref() == Some(log.as_path()) {
            // it is in the recording now
            let _left: io::Result<()> = std::fs::remove_file(&log);
        }
        match ended {
            Ok(exit) => Ok(u8::try_from(exit.status()).unwrap_or(1)),
            Err(error) => Err(CliError {
                exit: u8::try_from(error.status()).unwrap_or(1),
                ..CliError::failed(error.to_string())
            }),
        }
    }
}

fn choice(args: &RecordArgs) -> Choice {
    match args.client {
        ClientChoice::Auto => Choice::Detect,
        ClientChoice::Codex => Choice::Codex,
        ClientChoice::Other => Choice::None,
    }
}

fn failure(error: &RecordError) -> CliError {
    let failed = CliError::failed(error.to_string());
    match error {
        RecordError::Listen(..) => failed.hint("--listen 127.0.0.1:0 takes any free port"),
        _ => failed,
    }
}

/// Where to forward: what the user says, else what the client would use by itself.
fn upstreams(
    args: &RecordArgs,
    environment: &Environment,
    command: Option<&Launched>,
) -> Result<Vec<Upstream>, CliError> {
    let (named, who) = match command {
        _ if !args.upstream.is_empty() => (args.upstream.clone(), "--upstream"),
        Some(command) => {
            let urls = command.survey.upstreams.iter().map(|it| it.url.clone());
            (urls.collect(), "the client's base URL")
        }
        None => {
            let own = environment.client.openai_base_url.clone();
            let url = own.unwrap_or_else(|| plan::PUBLIC_API.to_owned());
            (vec![url], "OPENAI_BASE_URL")
        }
    };
    named
        .iter()
        .map(|text| {
            Upstream::parse(text).map_err(|error| {
                CliError::usage(format!("{who}: {error}"))
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
    /// `free` if nobody else uses the terminal.
    fn new(output: &Output, free: bool) -> Self {
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
