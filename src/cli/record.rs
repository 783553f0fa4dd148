//! `replay record`.

mod launched;
mod talk;

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use launched::Launched;
use talk::{Talk, summarise};

use super::Environment;
use super::args::{RecordArgs, RootsChoice};
use super::error::CliError;
use super::hidden;
use super::now::{Moment, now};
use super::output::Output;
use crate::client::plan;
use crate::proxy::tape::{self, Opening, Told};
use crate::proxy::{Config, Roots, Upstream, local_base};
use crate::record::{Options, RecordError, Recorder};
use crate::redact::Redactor;

/// How long what a client left under way may take to end.
const GRACE: Duration = Duration::from_millis(500);

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
    let redactor = hidden::redactor(&args.redact, &args.keep_header)?;
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
