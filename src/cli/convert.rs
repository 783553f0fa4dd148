//! `replay convert`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::Path;

use regex::bytes::Regex;

use super::args::ConvertArgs;
use super::error::CliError;
use super::input::{self, Source};
use super::output::Output;
use crate::convert::{self, ConvertError};
use crate::redact::{self, Redactor};
use crate::session::sniff::Foreign;
use crate::session::writer::Writer;
use crate::session::{self, Kind};
use crate::wire::lines::Problem;

/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 64 << 10;

pub(super) fn run(args: &ConvertArgs, output: &mut Output) -> Result<u8, CliError> {
    let patterns = patterns(&args.redact)?;
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
        .take(HEAD)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if head.trim_ascii().is_empty() && head.len() < HEAD as usize {
        return Err(CliError::input(&name, "the file is empty"));
    }
    let kind = session::sniff(&head);
    let foreign = session::sniff::foreign(&head);
    let is_rollout = foreign == Some(Foreign::Rollout);
    let hides = !args.redact.is_empty();
    let is_session =
        is_rollout || matches!(kind, Kind::Recording | Kind::RequestBody | Kind::ItemArray);
    if !(matches!(kind, Kind::LabLog | Kind::Exchanges) || hides && is_session) {
        let is = foreign.map_or(kind.to_string(), |it| it.to_string());
        let error = CliError::input(
            &name,
            format!("this is {is}, and no capture that can be converted"),
        );
        return Err(if is_session {
            error.hint("--redact hides what is secret in it")
        } else {
            error.hint(
                "request logs of lines {t,kind,n,…} and lines of {request,status,body} can be",
            )
        });
    }
    if let Source::File(path) = &source
        && is_same(path, &args.output)
    {
        return Err(CliError::usage("OUT is the file that is read")
            .hint("write into another file, and put it in this one's place afterwards"));
    }
    let taken = if hides {
        let again = source.open().map_err(unreadable)?;
        convert::highest_placeholder(again).map_err(unreadable)?
    } else {
        0
    };
    let whole = Cursor::new(head).chain(reader);
    let to_stdout = args.output == Path::new("-");
    let sink: Box<dyn Write> = if to_stdout {
        Box::new(io::stdout().lock())
    } else {
        Box::new(create(&args.output, args.force)?)
    };
    let mut sink = BufWriter::new(sink);
    let unwritten =
        |error: &io::Error| CliError::failed(format!("{}: {error}", args.output.display()));
    let failed = |error: ConvertError| match error {
        ConvertError::Read(error) => CliError::input(&name, error.to_string()),
        ConvertError::Write(error) => unwritten(&error),
    };
    let (requests, problems, secrets) = if hides {
        let mut redactor = Redactor::new(redact::Options {
            patterns,
            keep_headers: args.keep_header.clone(),
            taken,
        });
        let hidden = match kind {
            Kind::LabLog | Kind::Exchanges => {
                let mut writer = Writer::new(Vec::new());
                let converted = converted(kind, whole, &mut writer).map_err(failed)?;
                let recording = writer.into_inner();
                let mut hidden =
                    convert::redact_recording(recording.as_slice(), &mut sink, &mut redactor)
                        .map_err(failed)?;
                hidden.problems = converted.problems;
                hidden
            }
            Kind::Recording => {
                convert::redact_recording(whole, &mut sink, &mut redactor).map_err(failed)?
            }
            _ => convert::redact_text(whole, &mut sink, &mut redactor).map_err(failed)?,
        };
        let requests = (!is_rollout)
            .then_some(hidden.requests)
            .filter(|it| *it > 0);
        (requests, hidden.problems, Some(hidden.secrets))
    } else {
        let mut writer = Writer::new(&mut sink);
        let converted = converted(kind, whole, &mut writer).map_err(failed)?;
        (Some(converted.requests), converted.problems, None)
    };
    sink.flush().map_err(|error| unwritten(&error))?;
    let mut said: Vec<String> = Vec::new();
    if let Some(requests) = requests {
        said.push(match kind {
            Kind::Recording => format!("{requests} requests"),
            _ => format!("{requests} requests converted"),
        });
    }
    if let Some(secrets) = secrets {
        let s = if secrets == 1 { "" } else { "s" };
        said.push(format!("{secrets} different secret{s} hidden"));
    }
    output.note(&said.join(", "));
    for problem in &problems {
        let left_out = if hides && kind == Kind::Recording {
            "; the line is left out"
        } else {
            ""
        };
        let Problem { line, reason } = problem;
        output.note(&format!("{name}:{line}: {reason}{left_out}"));
    }
    Ok(0)
}

fn converted<R: Read, W: Write>(
    kind: Kind,
    reader: R,
    writer: &mut Writer<W>,
) -> Result<convert::Converted, ConvertError> {
    match kind {
        Kind::LabLog => convert::from_lab_log(reader, writer),
        _ => convert::from_exchanges(reader, writer),
    }
}

/// The patterns that `--redact` names; alone it names none.
pub(super) fn patterns(redact: &[String]) -> Result<Vec<Regex>, CliError> {
    let named = redact.iter().filter(|it| !it.is_empty());
    named
        .map(|pattern| {
            Regex::new(pattern).map_err(|error| {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default();
                let why = why.strip_prefix("error: ").unwrap_or(why);
                CliError::usage(format!("--redact={pattern}: {why}"))
                    .hint("patterns are those of the Rust crate regex")
            })
        })
        .collect()
}

/// Whether two paths name one file.
pub(super) fn is_same(left: &Path, right: &Path) -> bool {
    let (Ok(left), Ok(right)) = (fs::canonicalize(left), fs::canonicalize(right)) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if let (Ok(left), Ok(right)) = (fs::metadata(&left), fs::metadata(&right)) {
            return left.is_file() && (left.dev(), left.ino()) == (right.dev(), right.ino());
        }
    }
    left == right
}

/// Opens what is written, for its owner only; a file that exists only where that was asked for.
pub(super) fn create(path: &Path, force: bool) -> Result<File, CliError> {
    let mut how = OpenOptions::new();
    how.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        how.mode(0o600);
    }
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
