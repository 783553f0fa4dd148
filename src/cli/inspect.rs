//! `replay inspect`.

mod load;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use super::Environment;
use super::args::{Format, InspectArgs};
use super::convert::create;
use super::error::CliError;
use super::input::{self, Source};
use super::labels;
use super::output::Output;
use crate::report::inspect::{events, html, json, text};
use crate::timeline::{self, Filter};
use load::{Loaded, Opened};

pub(super) fn run(
    args: &InspectArgs,
    asked: bool,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let filter = Filter::parse(&args.filter.join(" ")).map_err(CliError::usage)?;
    let sources = sources(args, environment)?;
    let opened = sources
        .iter()
        .map(Opened::new)
        .collect::<Result<Vec<_>, _>>()?;
    let viewer = !asked && args.output.is_none() && io::stdout().is_terminal();
    let loaded = load::all(&opened, environment)?;
    if viewer {
        return Err(CliError::failed("the viewer is not there yet"));
    }
    let sink: Box<dyn Write> = match &args.output {
        Some(path) if path != Path::new("-") => Box::new(create(path, args.force)?),
        _ => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::new(sink);
    let written = write(&mut out, output, &opened, loaded, &filter).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("cannot write: {error}")))
        }
        _ => Ok(0),
    }
}

fn write(
    out: &mut dyn Write,
    output: &Output,
    opened: &[Opened],
    loaded: Loaded,
    filter: &Filter,
) -> io::Result<()> {
    let Loaded {
        timeline,
        mut sources,
    } = loaded;
    match output.format {
        Format::Text => text::write(
            out,
            &timeline,
            &mut sources,
            filter,
            output.paint,
            output.verbose,
        ),
        Format::Events => events::write(out, &timeline, &mut sources, filter),
        Format::Html => html::write(out, &timeline, &mut sources, filter),
        Format::Json => {
            let labels: Vec<_> = timeline
                .files
                .iter()
                .zip(opened)
                .enumerate()
                .map(|(at, (file, opened))| {
                    let calls = timeline
                        .calls
                        .iter()
                        .filter(|call| call.file as usize == at);
                    let wanted: Vec<_> = calls.map(|call| call.item).collect();
                    labels::read(&opened.source, &file.session, &wanted)
                })
                .collect();
            let text = serde_json::to_string_pretty(&json::document(&timeline, &labels))?;
            out.write_all(super::output::escaped(&text).as_bytes())?;
            out.write_all(b"\n")
        }
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
    if args.alone {
        return Ok(found);
    }
    let mut all: Vec<Source> = Vec::new();
    for source in found {
        let family = match source.path() {
            Some(path) => crate::locate::family(path).unwrap_or_default(),
            None => Vec::new(),
        };
        let known = |all: &[Source], path: &Path| all.iter().any(|it| it.path() == Some(path));
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
    Ok(all)
}

/// The timelines of several files as one.
fn merged(parts: Vec<timeline::Timeline>) -> timeline::Timeline {
    timeline::merge(parts)
}
