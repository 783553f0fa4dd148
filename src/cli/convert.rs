//! `replay convert`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::Path;

use super::args::ConvertArgs;
use super::error::CliError;
use super::input::{self, Source};
use super::output::Output;
use crate::convert;
use crate::session::writer::Writer;
use crate::session::{self, Kind};

pub(super) fn run(args: &ConvertArgs, output: &mut Output) -> Result<u8, CliError> {
    let source = if args.path == "-" {
        input::stdin()?
    } else {
        Source::File(args.path.clone().into())
    };
    let name = source.name();
    let unreadable = |error: io::Error| match &source {
        Source::File(path) => CliError::io(path, &error),
        Source::Bytes(_) => CliError::input("-", error.to_string()),
    };
    let mut reader = source.open().map_err(unreadable)?;
    let mut head = Vec::new();
    reader
        .by_ref()
        .take(64 << 10)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if head.trim_ascii().is_empty() && head.len() < 64 << 10 {
        return Err(CliError::input(&name, "the file is empty"));
    }
    let kind = session::sniff(&head);
    if !matches!(kind, Kind::LabLog | Kind::Exchanges) {
        let is = session::sniff::foreign(&head).map_or(kind.to_string(), |it| it.to_string());
        let error = CliError::input(
            &name,
            format!("this is {is}, and no capture that can be converted"),
        );
        return Err(error
            .hint("request logs of lines {t,kind,n,…} and lines of {request,status,body} can be"));
    }
    let whole = Cursor::new(head).chain(reader);
    let to_stdout = args.output == Path::new("-");
    let sink: Box<dyn Write> = if to_stdout {
        Box::new(io::stdout().lock())
    } else {
        Box::new(create(&args.output, args.force)?)
    };
    let mut writer = Writer::new(BufWriter::new(sink));
    let converted = match kind {
        Kind::LabLog => convert::from_lab_log(whole, &mut writer),
        _ => convert::from_exchanges(whole, &mut writer),
    };
    let converted = converted.map_err(|error| match error {
        convert::ConvertError::Read(error) => CliError::input(&name, error.to_string()),
        convert::ConvertError::Write(error) => {
            CliError::failed(format!("{}: {error}", args.output.display()))
        }
    })?;
    writer
        .into_inner()
        .flush()
        .map_err(|error| CliError::failed(format!("{}: {error}", args.output.display())))?;
    output.note(&format!("{} requests converted", converted.requests));
    for problem in &converted.problems {
        output.note(&format!("{name}:{}: {}", problem.line, problem.reason));
    }
    Ok(0)
}

/// Opens a file for writing; one that exists only where that was asked for.
pub(super) fn create(path: &Path, force: bool) -> Result<File, CliError> {
    let mut how = OpenOptions::new();
    how.write(true);
    if force {
        how.create(true).truncate(true)
    } else {
        how.create_new(true)
    };
    how.open(path).map_err(|error| {
        let failed = CliError::failed(format!("{}: {error}", path.display()));
        if error.kind() == io::ErrorKind::AlreadyExists {
            failed.hint("--force overwrites it")
        } else {
            failed
        }
    })
}
