//! `replay convert --summary`: what each answer holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

use serde_json::{Value, json};

use super::error::CliError;
use super::output::Output;
use crate::convert::summary::{Counts, Form, count};
use crate::convert::walk::{Walked, Whole, walk_counted};
use crate::report::{json as document, safe};
use crate::session::ReadError;
use crate::wire::event::Terminal;
use crate::wire::lines::Problem;

pub(super) fn write(
    text: &mut dyn Read,
    name: &str,
    problems: &[Problem],
    output: &Output,
) -> Result<(), CliError> {
    let mut counts = Vec::new();
    let walked: Walked = walk_counted(text, &mut |whole: Whole, _: &Walked| {
        counts.push(count(whole));
        Ok::<(), ReadError>(())
    })
    .map_err(|error| CliError::input(name, error.to_string()))?;
    let mut all = problems.to_vec();
    all.extend(walked.problems);
    if output.is_json() {
        return output.document(&json!({
            "schema": document::SCHEMA,
            "path": name,
            "converted_from": walked.converted_from,
            "not_held": walked.not_held,
            "streams": counts.iter().map(stream).collect::<Vec<_>>(),
            "problems": document::problems(&all, None),
        }));
    }
    output.data(&table(
        walked.converted_from.as_deref(),
        &walked.not_held,
        &counts,
    ))
}

fn terminal(counts: &Counts) -> Option<&'static str> {
    counts.terminal.map(|it| match it {
        Terminal::Completed => "completed",
        Terminal::Incomplete => "incomplete",
        Terminal::Failed => "failed",
        Terminal::Error => "error",
    })
}

fn stream(counts: &Counts) -> Value {
    json!({
        "exchange": counts.exchange,
        "line": counts.line,
        "request": counts.request,
        "request_held": counts.request_held,
        "status": counts.status,
        "form": counts.form.name(),
        "rebuilt": counts.rebuilt,
        "events": counts.events,
        "unreadable": counts.unreadable,
        "types": counts.types,
        "opened_items": counts.opened_items,
        "closed_items": counts.closed_items,
        "output_items": counts.output_items,
        "tool_calls": counts.tool_calls,
        "terminal": terminal(counts),
        "response_id": counts.response_id,
        "end": counts.end,
    })
}

fn table(from: Option<&str>, not_held: &[String], all: &[Counts]) -> String {
    let mut out = String::new();
    if let Some(from) = from {
        let _ = writeln!(out, "converted from: {}", safe(from));
    }
    if !not_held.is_empty() {
        let _ = writeln!(out, "not held: {}", safe(&not_held.join("; ")));
    }
    let mut rows: Vec<[String; 6]> = vec![
        [
            "exchange",
            "status",
            "events",
            "items",
            "tool calls",
            "last word",
        ]
        .map(str::to_owned),
    ];
    for counts in all {
        let items = match counts.output_items - counts.output_items.min(counts.closed_items) {
            0 => counts.closed_items.to_string(),
            more => format!("{} (+{more} in the last event)", counts.closed_items),
        };
        rows.push([
            counts.exchange.to_string(),
            counts.status.map_or("-".to_owned(), |it| it.to_string()),
            match counts.form {
                Form::Events if counts.rebuilt => format!("{} rebuilt", counts.events),
                Form::Events if counts.unreadable > 0 => {
                    format!("{} (+{} unreadable)", counts.events, counts.unreadable)
                }
                Form::Events => counts.events.to_string(),
                other => other.name().to_owned(),
            },
            items,
            calls(&counts.tool_calls),
            terminal(counts).unwrap_or("-").to_owned(),
        ]);
    }
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| {
                format!(
                    "{}{}",
                    safe(cell),
                    " ".repeat(width - cell.chars().count().min(width))
                )
            })
            .collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

fn calls(calls: &BTreeMap<String, u32>) -> String {
    if calls.is_empty() {
        return "-".to_owned();
    }
    let each: Vec<String> = calls
        .iter()
        .map(|(kind, count)| match count {
            1 => kind.clone(),
            count => format!("{count} {kind}"),
        })
        .collect();
    each.join(", ")
}
