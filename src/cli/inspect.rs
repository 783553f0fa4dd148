//! `replay inspect`.

pub(super) mod load;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Environment;
use super::args::{Format, InspectArgs};
use super::convert::create;
use super::error::CliError;
use super::input::{self, Source};
use super::output::{Output, escaped};
use crate::diff;
use crate::inspect::{self, Helpers, Options};
use crate::report::inspect::{events, html, json, text};
use crate::report::style::Paint;
use crate::timeline::Filter;
use load::{Loaded, Opened};

pub(super) fn run(
    args: &InspectArgs,
    asked: bool,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let filter = Filter::parse(&args.filter.join(" ")).map_err(CliError::usage)?;
    if output.is_json() && !filter.is_empty() {
        return Err(CliError::usage(
            "--filter is for what is shown entry by entry, not for json",
        ));
    }
    let sources = sources(args, environment)?;
    let opened = sources
        .iter()
        .map(Opened::new)
        .collect::<Result<Vec<_>, _>>()?;
    if args.follow && (asked || args.output.is_some() || !io::stdout().is_terminal()) {
        let error = CliError::usage("--follow is for the viewer");
        return Err(error.hint("it needs a terminal, and neither --format nor --output"));
    }
    let events = output.format == Format::Events;
    if args.entries && !events {
        return Err(CliError::usage("--entries is for --format events"));
    }
    if events && !args.entries && !filter.is_empty() {
        let error = CliError::usage("--filter is for what is shown entry by entry");
        return Err(error.hint("add --entries"));
    }
    let viewer = !asked && args.output.is_none() && io::stdout().is_terminal();
    if viewer {
        return look(opened, args.follow, filter, environment, output);
    }
    if events && !args.entries {
        return normalised(args, &opened, environment);
    }
    let loaded = load::all(&opened, environment, u64::MAX, &mut |_| {})?;
    let sink: Box<dyn Write> = match &args.output {
        Some(path) if path != Path::new("-") => Box::new(create(path, args.force)?),
        _ => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::new(sink);
    let written = write(&mut out, output, loaded, &filter).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("cannot write: {error}")))
        }
        _ => Ok(0),
    }
}

/// Writes what `replay diff` compares, line by line.
fn normalised(
    args: &InspectArgs,
    opened: &[Opened],
    environment: &Environment,
) -> Result<u8, CliError> {
    let mut text = String::new();
    for one in opened {
        let failed = |error: io::Error| CliError::input(&one.source.name(), error.to_string());
        let session = one
            .source
            .read_from(one.open().map_err(failed)?, environment)?;
        let reading = diff::Reading::default();
        let sequence =
            diff::read(&session, one.open().map_err(failed)?, &reading).map_err(failed)?;
        text.push_str(&diff::normalised(&sequence, &diff::Options::default()));
    }
    let mut sink: Box<dyn Write> = match &args.output {
        Some(path) if path != Path::new("-") => Box::new(create(path, args.force)?),
        _ => Box::new(io::stdout().lock()),
    };
    let written = sink
        .write_all(escaped(&text).as_bytes())
        .and_then(|()| sink.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("cannot write: {error}")))
        }
        _ => Ok(0),
    }
}

/// Files up to this size are read before the first screen is drawn; of larger ones the beginning is shown first.
const AT_ONCE: u64 = 8 << 20;

/// So much of each large file is read for the first screen.
const BEGINNING: u64 = 256 << 10;

/// Opens the viewer.
fn look(
    opened: Vec<Opened>,
    follow: bool,
    filter: Filter,
    environment: &Environment,
    output: &Output,
) -> Result<u8, CliError> {
    let failed = |error: io::Error| CliError::failed(format!("the viewer: {error}"));
    let opened = Arc::new(opened);
    let length = |opened: &[Opened]| opened.iter().map(Opened::length).sum::<u64>();
    let whole = length(&opened) <= AT_ONCE;
    let limit = if whole { u64::MAX } else { BEGINNING };
    let first = load::all(&opened, environment, limit, &mut |_| {})?;
    let options = Options {
        colour: output.paint == Paint::Colour,
        filter,
        follow,
    };
    let helpers = Helpers {
        load: {
            let (opened, environment) = (Arc::clone(&opened), environment.clone());
            Arc::new(move |progress| {
                let total = length(&opened).max(1) * 2;
                let mut told = |done: u64| {
                    let parts = done.saturating_mul(1000) / total;
                    progress.store(parts.min(1000) as u32, Ordering::Relaxed);
                };
                let loaded = load::all(&opened, &environment, u64::MAX, &mut told);
                let loaded = loaded.map_err(|error| error.message)?;
                Ok((Arc::new(loaded.timeline), loaded.sources))
            })
        },
        length: {
            let opened = Arc::clone(&opened);
            Arc::new(move || length(&opened))
        },
        open: {
            let opened = Arc::clone(&opened);
            Arc::new(move |at| match opened.get(at) {
                Some(one) => one.open(),
                None => Err(io::Error::from(io::ErrorKind::NotFound)),
            })
        },
        write: Arc::new(|name, text| {
            let mut file = create(Path::new(name), false).map_err(|error| error.message)?;
            file.write_all(text.as_bytes())
                .map_err(|error| format!("{name}: {error}"))
        }),
    };
    let first = (Arc::new(first.timeline), first.sources);
    match inspect::run(first, whole, options, &helpers).map_err(failed)? {
        Some(signal) => Ok(128 + signal),
        None => Ok(0),
    }
}

fn write(out: &mut dyn Write, output: &Output, loaded: Loaded, filter: &Filter) -> io::Result<()> {
    let Loaded {
        timeline,
        mut sources,
    } = loaded;
    match output.format {
        Format::Text | Format::Markdown | Format::Junit | Format::Github => text::write(
            out,
            &timeline,
            &mut sources,
            filter,
            output.paint,
            output.verbose,
        ),
        Format::Events => events::write(out, &timeline, &mut sources, filter),
        Format::Html => html::write(out, &timeline, &mut sources, filter),
        Format::Json => json::write(out, &timeline, &mut sources),
    }
}

/// What is shown: the sessions that are named, and the sub-agents of rollouts among them.
fn sources(args: &InspectArgs, environment: &Environment) -> Result<Vec<Source>, CliError> {
    let mut found: Vec<Source> = Vec::new();
    if args.last {
        found.push(input::last(environment)?);
    }
    for argument in &args.sessions {
        if argument == "-" {
            found.push(Source::Bytes(Vec::new()));
        } else {
            found.extend(input::find(argument, environment)?);
        }
    }
    let mut with = Vec::new();
    for path in &args.with {
        with.extend(input::find(path, environment)?);
    }
    if args.alone {
        found.append(&mut with);
        return Ok(found);
    }
    let known = |all: &[Source], path: &Path| all.iter().any(|it| it.path() == Some(path));
    let mut all: Vec<Source> = Vec::new();
    for source in found {
        let family = match source.path() {
            Some(path) => crate::locate::family(path).unwrap_or_default(),
            None => Vec::new(),
        };
        if family.is_empty() {
            all.push(source);
            continue;
        }
        for member in family {
            if !known(&all, &member.path) {
                all.push(Source::File(member.path));
            }
        }
    }
    for source in with {
        if !source.path().is_some_and(|path| known(&all, path)) {
            all.push(source);
        }
    }
    Ok(all)
}
