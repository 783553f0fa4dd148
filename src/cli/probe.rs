//! `replay probe URL`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::Environment;
use super::args::ProbeArgs;
use super::error::CliError;
use super::now::now;
use super::output::Output;
use super::target::{self, Bar, Target};
use crate::contract::lock::Lock;
use crate::probe::{self, Options};
use crate::replay::live::Progress;
use crate::report::json::SCHEMA;
use crate::report::probe as report;

/// The model that is counted with where none is known yet.
const ANY_MODEL: &str = "model";
/// What is asked for where no model is named.
const MODELS: &str = "/models";

pub(super) fn run(
    args: &ProbeArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let target = Target::for_probe(args, environment)?;
    let list = probe::list(args.model.as_deref().unwrap_or(ANY_MODEL));
    if args.list {
        return listed(&list, args.model.is_none(), &target, output);
    }
    let settle = Duration::try_from_secs_f64(args.settle)
        .map_err(|_no_number| CliError::usage("--settle takes a number of seconds from 0 up"))?;
    let file = Place::open(&args.output, args.force)?;
    let bytes: usize = list.iter().map(|(_, _, bytes)| bytes).sum();
    let mut what = format!("{} requests, {}", list.len(), target::size(bytes as u64));
    if args.model.is_none() {
        what = format!("GET {MODELS} and {what}");
    }
    if let Some(name) = target.key_name() {
        what = format!("{what}, with the key in {name},");
    }
    target::consent(&target.upstream, &what, args.yes, output)?;
    let command = std::env::args().collect();
    let (sender, recorded) = target.sender(args.record.as_deref(), false, command)?;
    let model = match args.model.clone().map_or_else(|| sender.first_model(), Ok) {
        Ok(model) => model,
        Err((status, why)) => {
            sender.finish();
            return Err(no_model(&target, status, &target.hide(&why)));
        }
    };
    let options = Options {
        model,
        budget: target.how.budget,
        settle,
    };
    let bar = Bar::new(output, "probing");
    let (known, mut lock) = sender.probe(&options, &mut |step| {
        bar.told(Progress {
            done: step.number - 1,
            all: list.len(),
            attempt: 1,
        });
    });
    drop(bar);
    if let (Some(totals), Some(path)) = (sender.finish(), recorded) {
        target::recorded(&path, &totals, output)?;
    }
    lock.requests += u32::from(args.model.is_none());
    lock.date = now().rfc3339;
    concat!("replay ", env!("CARGO_PKG_VERSION")).clone_into(&mut lock.by);
    lock.name = args
        .name
        .clone()
        .unwrap_or_else(|| target.upstream.authority().to_string());
    for evidence in &mut lock.evidence {
        evidence.message = evidence.message.as_deref().map(|it| target.hide(it));
    }
    for text in lock.facts.values_mut().chain(lock.not_settled.values_mut()) {
        *text = target.hide(text);
    }
    if let Some(why) = probe::failed(&known) {
        return Err(CliError {
            kind: "endpoint",
            ..CliError::failed(format!(
                "{}: a plain message was not accepted: {}",
                target.url(),
                target.hide(&why)
            ))
        }
        .hint("does the URL end in /v1? is the model right? is the key?"));
    }
    // what was found is shown even if it cannot be written
    let written = file.write(&lock);
    if let (Err(error), false) = (&written, output.is_json()) {
        output.complain(error);
    }
    if output.is_json() {
        if let Err(error) = written {
            return Err(error);
        }
        let mut document = json!({"schema": SCHEMA, "path": args.output.display().to_string()});
        let value = serde_json::to_value(&lock)
            .map_err(|error| CliError::failed(format!("cannot write JSON: {error}")))?;
        if let (Some(document), Value::Object(lock)) = (document.as_object_mut(), value) {
            document.extend(lock);
        }
        output.document(&document)?;
    } else {
        output.data(&report::lock(&lock, output.paint, output.verbose))?;
        match written {
            Ok(()) => output.note(&format!("written to {}", args.output.display())),
            Err(error) => return Ok(error.exit),
        }
    }
    Ok(0)
}

/// Why no model is known.
fn no_model(target: &Target, status: Option<u16>, why: &str) -> CliError {
    let url = target.url();
    let error = match status {
        None | Some(401 | 403 | 408 | 429 | 500..) => CliError {
            kind: "endpoint",
            ..CliError::failed(format!("{url}{MODELS}: {why}"))
        },
        _ => CliError::usage(format!("{url} names no model: {why}")),
    };
    error.hint("name the one to ask: --model NAME")
}

/// The file that is to be written, opened before anything is sent. What comes to nothing leaves no new file.
struct Place {
    opened: fs::File,
    /// Whether it was not there before; `None` once it is written.
    fresh: Option<bool>,
    path: PathBuf,
}

impl Place {
    fn open(path: &Path, force: bool) -> Result<Self, CliError> {
        let there = path.exists();
        if there && path.is_file() && !force {
            return Err(
                CliError::usage(format!("{} exists already", path.display()))
                    .hint("--force replaces it, -o names another file"),
            );
        }
        let mut how = fs::OpenOptions::new();
        how.write(true).create_new(!there);
        let opened = how
            .open(path)
            .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
        Ok(Self {
            opened,
            fresh: Some(!there),
            path: path.to_owned(),
        })
    }

    fn write(mut self, lock: &Lock) -> Result<(), CliError> {
        let text = lock.text();
        let written = self.opened.write_all(text.as_bytes()).and_then(|()| {
            // what stood there may have been longer; a device has no length
            let plain = self.opened.metadata()?.is_file();
            let length = text.len() as u64;
            if plain {
                self.opened.set_len(length)
            } else {
                Ok(())
            }
        });
        let written = written.and_then(|()| self.opened.flush());
        match written {
            Ok(()) => {
                self.fresh = None;
                Ok(())
            }
            Err(error) => Err(CliError::failed(format!(
                "{}: {error}",
                self.path.display()
            ))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.fresh == Some(true) {
            // whatever cannot be taken away is empty
            let _gone = fs::remove_file(&self.path);
        }
    }
}

fn listed(
    list: &[(&'static str, &'static str, usize)],
    models: bool,
    target: &Target,
    output: &Output,
) -> Result<u8, CliError> {
    if output.is_json() {
        let requests: Vec<Value> = list
            .iter()
            .map(|(name, about, bytes)| json!({"request": name, "about": about, "bytes": bytes}))
            .collect();
        output.document(
            &json!({"schema": SCHEMA, "url": target.url(), "asks_for_models": models,
            "requests": requests}),
        )?;
        return Ok(0);
    }
    let mut text = String::new();
    if models {
        text.push_str(&report::listed(
            0,
            "models",
            "GET, to find a model's name: none is named",
            0,
        ));
    }
    let mut sum = 0;
    for (at, (name, about, bytes)) in list.iter().enumerate() {
        sum += bytes;
        text.push_str(&report::listed(at + 1, name, about, *bytes));
    }
    output.data(&text)?;
    output.note(&format!(
        "{} requests, {} to {}; none was sent",
        list.len(),
        target::size(sum as u64),
        target.url()
    ));
    Ok(0)
}
