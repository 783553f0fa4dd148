//! `replay probe URL`.

use std::path::Path;
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

pub(super) fn run(
    args: &ProbeArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let target = Target::for_probe(args, environment)?;
    let list = probe::list(args.model.as_deref().unwrap_or(ANY_MODEL));
    if args.list {
        return listed(&list, &target, output);
    }
    let settle = Duration::try_from_secs_f64(args.settle)
        .map_err(|_no_number| CliError::usage("--settle takes a number of seconds from 0 up"))?;
    if !args.force && args.output.is_file() {
        return Err(
            CliError::usage(format!("{} exists already", args.output.display()))
                .hint("--force replaces it, -o names another file"),
        );
    }
    let bytes: usize = list.iter().map(|(_, _, bytes)| bytes).sum();
    let mut what = format!("{} requests, {}", list.len(), target::size(bytes as u64));
    if let Some(name) = target.key_name() {
        what = format!("{what}, with the key in {name},");
    }
    target::consent(&target.upstream, &what, args.yes, output)?;
    let command = std::env::args().collect();
    let (sender, recorded) = target.sender(args.record.as_deref(), false, command)?;
    let model = match &args.model {
        Some(model) => model.clone(),
        None => sender.first_model().ok_or_else(|| {
            CliError::usage("the endpoint lists no model").hint("name the one to ask: --model NAME")
        })?,
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
    write(&args.output, &lock)?;
    if output.is_json() {
        let mut document = json!({"schema": SCHEMA, "path": args.output.display().to_string()});
        let value = serde_json::to_value(&lock)
            .map_err(|error| CliError::failed(format!("cannot write JSON: {error}")))?;
        if let (Some(document), Value::Object(lock)) = (document.as_object_mut(), value) {
            document.extend(lock);
        }
        output.document(&document)?;
    } else {
        output.data(&report::lock(&lock, output.paint, output.verbose))?;
        output.note(&format!("written to {}", args.output.display()));
    }
    Ok(0)
}

fn write(path: &Path, lock: &Lock) -> Result<(), CliError> {
    std::fs::write(path, lock.text())
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
}

fn listed(
    list: &[(&'static str, &'static str, usize)],
    target: &Target,
    output: &Output,
) -> Result<u8, CliError> {
    if output.is_json() {
        let requests: Vec<Value> = list
            .iter()
            .map(|(name, about, bytes)| json!({"request": name, "about": about, "bytes": bytes}))
            .collect();
        output.document(&json!({"schema": SCHEMA, "url": target.url(), "requests": requests}))?;
        return Ok(0);
    }
    let mut text = String::new();
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
