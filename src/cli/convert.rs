//! `replay convert`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::args::{ConvertArgs, ToChoice};
use super::captured;
use super::counts;
use super::error::CliError;
use super::hidden;
use super::input::{self, Source};
use super::output::Output;
use crate::convert::export::{self, ExportError};
use crate::convert::{self, Capture, ConvertError};
use crate::redact::{self, Redactor};
use crate::report::counted;
use crate::session::sniff::Foreign;
use crate::session::writer::Writer;
use crate::session::{self, Kind};
use crate::wire::lines::Problem;

/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 64 << 10;

/// What is converted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Capture(Capture),
    Recording,
    /// A request body or an item array.
    Request(Kind),
    Rollout,
}

pub(super) fn run(args: &ConvertArgs, output: &mut Output) -> Result<u8, CliError> {
    hidden::patterns(&args.redact)?;
    check(args)?;
    let source = if args.path == "-" {
        input::stdin()?
    } else {
        Source::File(args.path.clone().into())
    };
    let given = given(args, &source)?;
    if let (Source::File(path), Some(out)) = (&source, &args.output)
        && is_same(path, out)
    {
        return Err(CliError::usage("OUT is the file that is read")
            .hint("write into another file, and put it in this one's place afterwards"));
    }
    let hides = !args.redact.is_empty();
    let form_is_kept = args.to == ToChoice::Recording && !args.summary;
    if form_is_kept && matches!(given, Given::Rollout | Given::Request(_)) {
        return rewritten(args, &source, output);
    }
    let mut said = Said::default();
    let mut text = recording(&source, given, &mut said)?;
    if hides {
        let taken = highest(&source, &mut text)?;
        text = redacted(args, text, taken, given, &source.name(), &mut said)?;
    }
    let done: Option<u32> = if args.summary {
        counts::write(&mut text, &source.name(), &said.problems, output)?;
        None
    } else {
        write(args, text, &mut said, &source.name())?
    };
    if args.summary && output.is_json() {
        return Ok(0);
    }
    said.tell(done, given, hides, &source.name(), output);
    Ok(0)
}

/// Options that do not go together, beyond what clap sees.
fn check(args: &ConvertArgs) -> Result<(), CliError> {
    if args.full && args.to != ToChoice::Body {
        return Err(CliError::usage("--full is for --to body"));
    }
    match (args.to, args.exchange) {
        (ToChoice::Body, None) => Err(CliError::usage("--to body needs --exchange N")
            .hint("replay convert PATH --summary lists the exchanges")),
        (ToChoice::Recording, Some(_)) => {
            Err(CliError::usage("--exchange is for --to har, sse or body"))
        }
        _ => Ok(()),
    }
}

/// Says what a source is.
fn given(args: &ConvertArgs, source: &Source) -> Result<Given, CliError> {
    let name = source.name();
    let unreadable = |error: io::Error| match source {
        Source::File(path) => CliError::io(path, &error),
        Source::Bytes(_) => CliError::input("-", error.to_string()),
    };
    if let Some(from) = &args.from {
        let known: Vec<&str> = Capture::ALL.iter().map(|it| it.name()).collect();
        let kind = Capture::by_name(from).ok_or_else(|| {
            CliError::usage(format!("no kind of capture is called '{from}'"))
                .hint(format!("kinds are {}", known.join(", ")))
        })?;
        let is_folder = source.path().is_some_and(Path::is_dir);
        if kind.is_folder() != is_folder {
            let what = if kind.is_folder() { "folder" } else { "file" };
            return Err(CliError::usage(format!("--from {from}: that is a {what}")));
        }
        return Ok(Given::Capture(kind));
    }
    if let Some(kind) = captured::kind(source).map_err(unreadable)? {
        return Ok(Given::Capture(kind));
    }
    if source.path().is_some_and(Path::is_dir) {
        return Err(CliError::input(&name, "this folder is no capture").hint(
            "a Codex trace has manifest.json and trace.jsonl; a proxy's dump has NNNNNN-MS-request.json",
        ));
    }
    let mut head = Vec::new();
    captured::raw(source)
        .and_then(|reader| reader.take(HEAD).read_to_end(&mut head))
        .map_err(unreadable)?;
    if head.trim_ascii().is_empty() && head.len() < HEAD as usize {
        return Err(CliError::input(&name, "the file is empty"));
    }
    let kind = session::sniff(&head);
    let foreign = session::sniff::foreign(&head);
    let other_form = args.to != ToChoice::Recording || args.summary;
    let hides = !args.redact.is_empty();
    match (kind, foreign) {
        (Kind::Recording, _) if hides || other_form => return Ok(Given::Recording),
        (Kind::RequestBody | Kind::ItemArray, _) if hides || other_form => {
            return Ok(Given::Request(kind));
        }
        (_, Some(Foreign::Rollout)) if hides && !other_form => return Ok(Given::Rollout),
        _ => {}
    }
    let is = foreign.map_or(kind.to_string(), |it| it.to_string());
    let error = CliError::input(
        &name,
        format!("this is {is}, and no capture that can be converted"),
    );
    let is_session = matches!(kind, Kind::Recording | Kind::RequestBody | Kind::ItemArray);
    Err(if is_session {
        error.hint("--redact hides what is secret in it, --to writes it in another form")
    } else if foreign == Some(Foreign::Rollout) {
        error
            .hint("--redact hides what is secret in it")
            .hint("a rollout holds no requests that could be written in another form")
    } else {
        let kinds: Vec<&str> = Capture::ALL.iter().map(|it| it.name()).collect();
        let names_itself = foreign.is_some_and(|it| {
            matches!(
                it,
                Foreign::ExecEvents | Foreign::ProtoEvents | Foreign::TuiLog | Foreign::ChatRequest
            )
        });
        if foreign == Some(Foreign::Compressed) {
            error.hint("of compressed files only zstd and gzip are read")
        } else if names_itself {
            error.hint("it holds neither requests to the Responses API nor their answers")
        } else {
            error.hint(format!("--from says what it is: {}", kinds.join(", ")))
        }
    })
}

/// What is said at the end.
#[derive(Default)]
struct Said {
    requests: u32,
    secrets: Option<usize>,
    problems: Vec<Problem>,
    /// Problems from here on are lines of a recording that were left out.
    left_out: usize,
    notes: Vec<String>,
}

impl Said {
    fn tell(&self, done: Option<u32>, given: Given, hides: bool, name: &str, output: &Output) {
        let mut said: Vec<String> = Vec::new();
        match (done, given) {
            (Some(count), _) => said.push(format!("{} written", counted(count, "exchange"))),
            (None, Given::Recording) if hides => said.push(counted(self.requests, "request")),
            (None, Given::Capture(kind)) => {
                said.push(format!(
                    "{} converted ({kind})",
                    counted(self.requests, "exchange")
                ));
            }
            (None, _) => {}
        }
        if let Some(secrets) = self.secrets {
            said.push(format!("{} hidden", counted(secrets, "different secret")));
        }
        if !said.is_empty() {
            output.note(&said.join(", "));
        }
        for note in &self.notes {
            output.note(note);
        }
        for (at, Problem { line, reason }) in self.problems.iter().enumerate() {
            let left_out = if hides && given == Given::Recording && at >= self.left_out {
                "; the line is left out"
            } else {
                ""
            };
            let place = if *line == 0 {
                String::new()
            } else {
                format!(":{line}")
            };
            output.note(&format!("{name}{place}: {reason}{left_out}"));
        }
    }
}

/// The text of a recording, to be read more than once.
type Text = Box<dyn ReadSeek>;

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// Opens a source as a recording.
fn recording(source: &Source, given: Given, said: &mut Said) -> Result<Text, CliError> {
    let name = source.name();
    let unreadable = |error: io::Error| match source {
        Source::File(path) => CliError::io(path, &error),
        Source::Bytes(_) => CliError::input("-", error.to_string()),
    };
    match given {
        Given::Capture(kind) => {
            let made = captured::make(source, kind).map_err(|error| match error {
                ConvertError::Write(error) => CliError::failed(error.to_string()),
                ConvertError::Read(session::ReadError::Io(error)) => unreadable(error),
                other => CliError::input(&name, other.to_string()),
            })?;
            said.requests = made.converted.requests;
            said.problems = made.converted.problems;
            Ok(Box::new(BufReader::new(made.file)))
        }
        Given::Request(kind) => {
            let mut body = Vec::new();
            let mut reader = captured::raw(source).map_err(unreadable)?;
            reader.read_to_end(&mut body).map_err(unreadable)?;
            session::request_file::read(body.as_slice())
                .map_err(|error| CliError::input(&name, error.to_string()))?;
            let mut writer = Writer::new(Vec::new());
            convert::from_request(body, kind == Kind::ItemArray, &mut writer)
                .map_err(|error| CliError::failed(error.to_string()))?;
            Ok(Box::new(Cursor::new(writer.into_inner())))
        }
        Given::Recording | Given::Rollout => match source {
            Source::File(_) => {
                let mut file = tempfile::tempfile().map_err(unreadable)?;
                let mut reader = captured::raw(source).map_err(unreadable)?;
                io::copy(&mut reader, &mut file).map_err(unreadable)?;
                file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
                Ok(Box::new(BufReader::new(file)))
            }
            Source::Bytes(_) => {
                let mut bytes = Vec::new();
                let mut reader = captured::raw(source).map_err(unreadable)?;
                reader.read_to_end(&mut bytes).map_err(unreadable)?;
                Ok(Box::new(Cursor::new(bytes)))
            }
        },
    }
}

/// The highest placeholder that stands in a text already.
fn highest(source: &Source, text: &mut Text) -> Result<u32, CliError> {
    let failed = |error: io::Error| CliError::input(&source.name(), error.to_string());
    let found = convert::highest_placeholder(&mut *text).map_err(failed)?;
    text.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(found)
}

/// The same recording without its secrets.
fn redacted(
    args: &ConvertArgs,
    text: Text,
    taken: u32,
    given: Given,
    name: &str,
    said: &mut Said,
) -> Result<Text, CliError> {
    let mut redactor = redactor(args, taken)?;
    let file = tempfile::tempfile().map_err(|error| CliError::failed(error.to_string()))?;
    let mut sink = BufWriter::new(file);
    let hidden =
        convert::redact_recording(text, &mut sink, &mut redactor).map_err(|error| match error {
            ConvertError::Write(error) => CliError::failed(error.to_string()),
            other => CliError::input(name, other.to_string()),
        })?;
    said.secrets = Some(hidden.secrets);
    if given == Given::Recording {
        said.requests = hidden.requests;
        said.left_out = said.problems.len();
        said.problems.extend(hidden.problems);
    }
    let failed = |error: io::Error| CliError::failed(error.to_string());
    let mut file = sink
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(Box::new(BufReader::new(file)))
}

fn redactor(args: &ConvertArgs, taken: u32) -> Result<Redactor, CliError> {
    Ok(Redactor::new(redact::Options {
        patterns: hidden::patterns(&args.redact)?,
        keep_headers: args.keep_header.clone(),
        taken,
    }))
}

/// Opens what is written.
fn sink(args: &ConvertArgs) -> Result<BufWriter<Box<dyn Write>>, CliError> {
    let sink: Box<dyn Write> = match args.output.as_deref() {
        None => Box::new(io::stdout().lock()),
        Some(path) if path == Path::new("-") => Box::new(io::stdout().lock()),
        Some(path) => Box::new(create(path, args.force)?),
    };
    Ok(BufWriter::new(sink))
}

/// Where it is written, for messages.
fn sink_name(args: &ConvertArgs) -> String {
    let path = args.output.as_deref().unwrap_or(Path::new("-"));
    path.display().to_string()
}

/// Writes the form that was asked for. Returns how many exchanges, where it is none of the recording's own.
fn write(
    args: &ConvertArgs,
    mut text: Text,
    said: &mut Said,
    name: &str,
) -> Result<Option<u32>, CliError> {
    let unwritten = |error: io::Error| CliError::failed(format!("{}: {error}", sink_name(args)));
    let to_stdout = args.output.as_deref().is_none_or(|it| it == Path::new("-"));
    // a reader that has gone away is no error
    let gone = |error: &io::Error| to_stdout && error.kind() == io::ErrorKind::BrokenPipe;
    let put = |text: &mut dyn Read, sink: &mut dyn Write| match io::copy(text, sink)
        .and_then(|_| sink.flush())
    {
        Err(error) if !gone(&error) => Err(unwritten(error)),
        _ => Ok(()),
    };
    if args.to == ToChoice::Recording {
        put(&mut text, &mut sink(args)?)?;
        return Ok(None);
    }
    // a small form is made whole before anything is written, so that what fails leaves nothing behind
    let mut whole = tempfile::spooled_tempfile(16 << 20);
    let done = match args.to {
        ToChoice::Har => export::to_har(text, args.exchange, &mut whole),
        ToChoice::Sse => export::to_sse(text, args.exchange, &mut whole).map(|(count, others)| {
            if !others.is_empty() {
                let list: Vec<String> = others.iter().take(10).map(u32::to_string).collect();
                let more = if others.len() > 10 { ", …" } else { "" };
                said.notes.push(format!(
                    "no stream, and left out: exchange {}{more}",
                    list.join(", ")
                ));
            }
            count
        }),
        ToChoice::Body | ToChoice::Recording => {
            let number = args.exchange.unwrap_or(1);
            export::to_body(text, number, args.full, &mut whole).map(|(method, path)| {
                let method = if method.is_empty() {
                    "WebSocket"
                } else {
                    &method
                };
                said.notes.push(format!("it was sent as {method} {path}"));
                1
            })
        }
    };
    let done = done.map_err(|error| match error {
        ExportError::Write(error) => unwritten(error),
        ExportError::Read(error) => CliError::input(name, error.to_string()),
        other => CliError::input(name, other.to_string())
            .hint("replay convert PATH --summary lists the exchanges"),
    })?;
    whole.seek(SeekFrom::Start(0)).map_err(unwritten)?;
    put(&mut whole, &mut sink(args)?)?;
    Ok(Some(done))
}

/// Writes a rollout or a request body again as what it is, without its secrets.
fn rewritten(args: &ConvertArgs, source: &Source, output: &Output) -> Result<u8, CliError> {
    let failed = |error: io::Error| CliError::input(&source.name(), error.to_string());
    let again = captured::raw(source).map_err(failed)?;
    let taken = convert::highest_placeholder(again).map_err(failed)?;
    let mut redactor = redactor(args, taken)?;
    let reader = captured::raw(source).map_err(failed)?;
    let mut sink = sink(args)?;
    let unwritten = |error: &io::Error| CliError::failed(format!("{}: {error}", sink_name(args)));
    let hidden =
        convert::redact_text(reader, &mut sink, &mut redactor).map_err(|error| match error {
            ConvertError::Write(error) => unwritten(&error),
            other => CliError::input(&source.name(), other.to_string()),
        })?;
    sink.flush().map_err(|error| unwritten(&error))?;
    let said = Said {
        secrets: Some(hidden.secrets),
        ..Said::default()
    };
    said.tell(None, Given::Rollout, true, &source.name(), output);
    Ok(0)
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
    // a device or a pipe loses nothing
    let is_special = fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
    if force {
        how.create(true).truncate(true)
    } else if !is_special {
        how.create_new(true)
    } else {
        &mut how
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
