//! `replay diff`.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Environment;
use super::args::{DiffArgs, LayerName};
use super::error::CliError;
use super::input::{self, Source};
use super::inspect::load::Opened;
use super::output::Output;
use crate::diff::{
    self, Deadline, Difference, Layer, Options, Origin, Reading, RuleError, Rules, Sequence,
};
use crate::report::ci::{Case, Place};
use crate::report::diff as draw;
use crate::session::Session;

/// Columns where no terminal says how many there are.
const COLUMNS: u16 = 120;

/// A side of the comparison as it was read.
struct Read {
    sequence: Sequence,
    /// The file, where it is one.
    path: Option<String>,
    /// Whether the lines of events are those of the file.
    has_lines: bool,
}

impl Read {
    fn new(sequence: Sequence, opened: &Opened) -> Self {
        let path = opened.path();
        Self {
            sequence,
            path: path.map(|path| path.display().to_string()),
            has_lines: !opened.is_converted,
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            path: self.path.as_deref(),
            has_lines: self.has_lines,
        }
    }
}

/// A side of the comparison as the user names it.
struct Named {
    name: String,
    argument: String,
    exchange: Option<u32>,
}

pub(super) fn run(
    args: &DiffArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let layer = match args.layer {
        _ if args.bytes => Layer::Bytes,
        _ if args.strict => Layer::Events,
        LayerName::Meaning => Layer::Meaning,
        LayerName::Events => Layer::Events,
        LayerName::Bytes => Layer::Bytes,
    };
    if !args.deadline.is_finite() || args.deadline < 0.0 {
        return Err(CliError::usage("--deadline takes a number of seconds"));
    }
    let rules = rules(args, layer)?;
    let left = named(&args.left);
    if args.requests {
        return requests(args, &left, &rules, environment, output);
    }
    let right = args.right.as_deref().map(named);
    if args.wire_disk && left.exchange.is_some() {
        return Err(CliError::usage(
            "--wire-disk compares whole conversations, not one exchange",
        ));
    }
    if right.as_ref().is_some_and(|right| right.argument == "-") && left.argument == "-" {
        return Err(CliError::usage("only one side can come from stdin"));
    }
    let (a, b, right_name) = if let Some(right) = &right {
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(|| read(right, layer, args.ordered, environment));
            let own = read(&left, layer, args.ordered, environment);
            (own, other.join())
        });
        let b = b.map_err(|_panicked| CliError::failed("reading failed"))?;
        (a?, b?, right.name.clone())
    } else {
        let (a, b) = beside(&left, args.ordered, environment)?;
        (a, b, "the rollout lines in it".to_owned())
    };
    let places = (a, b);
    let (a, b) = (&places.0.sequence, &places.1.sequence);
    let one_is_disk = (a.origin == Origin::Rollout) != (b.origin == Origin::Rollout);
    if args.wire_disk && (a.origin == Origin::Rollout || b.origin != Origin::Rollout) {
        let error =
            CliError::usage("--wire-disk takes a recording, and a rollout if it is not in it");
        return Err(error);
    }
    if layer == Layer::Bytes && (a.origin == Origin::Rollout || b.origin == Origin::Rollout) {
        let error = CliError::usage("bytes of a rollout are not compared");
        return Err(error.hint("a rollout holds no chunks and no frames"));
    }
    let now = || Instant::now();
    let deadline = Instant::now() + Duration::from_secs_f64(args.deadline.min(1e6));
    let options = Options {
        rules,
        ordered: args.ordered,
        deadline: Some(Deadline {
            at: deadline,
            now: &now,
        }),
    };
    let found = diff::diff(a, b, &options);
    if found.left.is_empty() && found.right.is_empty() {
        let error = CliError::input(&left.name, "neither side holds anything to compare");
        return Err(error.hint("replay inspect shows what a file holds"));
    }
    let view = draw::View {
        left: (a, &left.name),
        right: (b, &right_name),
        context: args.context,
        paint: output.paint,
        verbose: output.verbose,
        wire_disk: one_is_disk && a.origin != Origin::Rollout,
    };
    if output.is_for_ci() {
        let case = Case::compared(&view, &found, [places.0.place(), places.1.place()]);
        output.cases("diff", &[case])?;
    } else {
        show(args, &view, &found, output)?;
    }
    Ok(u8::from(!found.equal))
}

fn show(
    args: &DiffArgs,
    view: &draw::View<'_>,
    found: &Difference,
    output: &Output,
) -> Result<(), CliError> {
    if output.is_json() {
        return output.document(&draw::document(view, found));
    }
    let mut text = String::new();
    if !found.equal && !args.summary {
        text.push_str(&draw::head(view, found));
        if args.side_by_side {
            let width = args
                .width
                .or_else(crate::inspect::columns)
                .unwrap_or(COLUMNS);
            text.push_str(&draw::side_by_side(view, found, usize::from(width)));
        } else {
            text.push_str(&draw::unified(view, found));
        }
    }
    text.push_str(&draw::summary(view, found, args.summary));
    output.data(&text)
}

fn requests(
    args: &DiffArgs,
    left: &Named,
    rules: &Rules,
    environment: &Environment,
    output: &Output,
) -> Result<u8, CliError> {
    if left.exchange.is_some() {
        return Err(CliError::usage(
            "--requests compares all requests of a session, not one exchange",
        ));
    }
    let side = read(left, Layer::Meaning, args.ordered, environment)?;
    let sequence = &side.sequence;
    if sequence.origin == Origin::Rollout {
        let error = CliError::input(&left.name, "a rollout holds no requests");
        return Err(error.hint("record the client: replay record -- COMMAND"));
    }
    let steps = diff::requests::requests(sequence, rules);
    if steps.is_empty() {
        return Err(CliError::input(&left.name, "there is no request in it"));
    }
    let view = draw::View {
        left: (sequence, &left.name),
        right: (sequence, &left.name),
        context: args.context,
        paint: output.paint,
        verbose: output.verbose,
        wire_disk: false,
    };
    if output.is_json() {
        output.document(&draw::requests_document(sequence, &left.name, &steps))?;
    } else if output.is_for_ci() {
        output.cases("diff", &[Case::demanded(&view, &steps, side.place())])?;
    } else {
        let text = draw::requests(&view, &steps, output.verbose);
        let last = text.lines().next_back().unwrap_or("");
        if args.summary {
            output.data(&format!("{last}\n"))?;
        } else {
            output.data(&text)?;
        }
    }
    Ok(u8::from(steps.iter().any(|it| !it.is_as_demanded())))
}

fn rules(args: &DiffArgs, layer: Layer) -> Result<Rules, CliError> {
    let failed = |error: RuleError| {
        let is_streamed = matches!(error, RuleError::NotInMeaning(_));
        let error = CliError::usage(error.to_string());
        if is_streamed {
            return error.hint("add --layer events");
        }
        error.hint("a path is names with dots between them, such as request.tools")
    };
    let mut rules = if args.strict {
        Rules::strict()
    } else {
        Rules::default()
    };
    for path in &args.ignore {
        rules.ignore(path).map_err(failed)?;
    }
    for path in &args.keep {
        rules.keep(path, layer != Layer::Meaning).map_err(failed)?;
    }
    Ok(rules)
}

/// Takes `#N` off, unless a file has that name.
fn named(argument: &str) -> Named {
    let whole = Named {
        name: argument.to_owned(),
        argument: argument.to_owned(),
        exchange: None,
    };
    if Path::new(argument).exists() {
        return whole;
    }
    let Some((path, number)) = argument.rsplit_once('#') else {
        return whole;
    };
    match number.parse() {
        Ok(exchange) if !path.is_empty() => Named {
            argument: path.to_owned(),
            exchange: Some(exchange),
            ..whole
        },
        _ => whole,
    }
}

fn open(side: &Named, environment: &Environment) -> Result<(Opened, Session), CliError> {
    // stdin is read once, where it is copied
    let found = if side.argument == "-" {
        vec![Source::Bytes(Vec::new())]
    } else {
        input::find(&side.argument, environment)?
    };
    let [source] = found.as_slice() else {
        let error = CliError::usage(format!("{} names {} sessions", side.argument, found.len()));
        return Err(error.hint("name one file"));
    };
    let opened = Opened::new(source)?;
    let failed = |error: io::Error| CliError::input(&side.name, error.to_string());
    let session = source.read_from(opened.open().map_err(failed)?, environment)?;
    Ok((opened, session))
}

fn read(
    side: &Named,
    layer: Layer,
    ordered: bool,
    environment: &Environment,
) -> Result<Read, CliError> {
    let failed = |error: io::Error| CliError::input(&side.name, error.to_string());
    let (opened, session) = open(side, environment)?;
    if let Some(wanted) = side.exchange {
        let exchanges = match &session {
            Session::Recording(recording) => &recording.exchanges,
            Session::Rollout(_) => {
                let error = CliError::input(&side.argument, "a rollout holds no exchanges");
                return Err(error.hint("leave the number out"));
            }
        };
        if !exchanges.iter().any(|it| it.number == wanted) {
            let last = exchanges.iter().map(|it| it.number).max().unwrap_or(0);
            let error = CliError::input(&side.argument, format!("there is no exchange {wanted}"));
            return Err(error.hint(format!("its exchanges are 1 to {last}")));
        }
    }
    let reading = Reading {
        layer,
        exchange: side.exchange,
        ordered,
    };
    let mut sequence =
        diff::read(&session, opened.open().map_err(failed)?, &reading).map_err(failed)?;
    for problem in session.problems() {
        let place = if problem.line > 0 {
            format!("line {}: ", problem.line)
        } else {
            String::new()
        };
        sequence.notes.push(format!("{place}{}", problem.reason));
    }
    Ok(Read::new(sequence, &opened))
}

/// The wire and the disk of one recording.
fn beside(
    side: &Named,
    ordered: bool,
    environment: &Environment,
) -> Result<(Read, Read), CliError> {
    let failed = |error: io::Error| CliError::input(&side.name, error.to_string());
    let (opened, session) = open(side, environment)?;
    let Session::Recording(_) = &session else {
        return Err(CliError::usage("--wire-disk needs a recording")
            .hint("name the recording first, then the rollout"));
    };
    let reading = Reading {
        ordered,
        ..Reading::default()
    };
    let wire = diff::read(&session, opened.open().map_err(failed)?, &reading).map_err(failed)?;
    let disk = diff::read_beside(opened.open().map_err(failed)?.take(u64::MAX)).map_err(failed)?;
    if disk.events.is_empty() {
        let error = CliError::input(&side.name, "the recording holds no rollout lines");
        return Err(error.hint("name the rollout: replay diff RECORDING ROLLOUT"));
    }
    if let Some(note) = disk.notes.first() {
        let error = CliError::input(&side.name, note.clone());
        return Err(error.hint("name the whole rollout: replay diff RECORDING ROLLOUT"));
    }
    Ok((Read::new(wire, &opened), Read::new(disk, &opened)))
}
