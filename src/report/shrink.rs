//! What `shrink` did, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::json::{SCHEMA, contract};
use super::safe;
use super::style::Paint;
use crate::contract::lock::Citation;
use crate::shrink::Shrunk;

/// What is told of one session made small.
#[derive(Debug)]
pub struct Report<'a> {
    /// The session, as the user named it.
    pub path: &'a str,
    /// How it is refused, in words; the command where one was asked.
    pub failure: &'a str,
    /// The strategy under which it is refused; `None` where a command was asked.
    pub strategy: Option<&'static str>,
    /// Whether that is not the one `replay` would run first.
    pub not_default: bool,
    /// Bytes and lines of the session.
    pub before: (u64, u64),
    /// The result.
    pub shrunk: &'a Shrunk,
    /// The endpoint that was asked, and how many requests it got.
    pub target: Option<(&'a str, usize)>,
    /// The files written.
    pub output: &'a Path,
    /// The test, if one was written.
    pub test: Option<&'a Path>,
    /// The contract of an endpoint under which it is refused; `None` for the API's.
    pub contract: Option<&'a Citation>,
}

/// The report as text.
pub fn text(report: &Report<'_>, paint: Paint, verbose: bool) -> String {
    let mut out = String::new();
    let shrunk = report.shrunk;
    let _ = writeln!(out, "{}", paint.heading(safe(report.path)));
    let _ = writeln!(out, "  still fails    {}", paint.bad(safe(report.failure)));
    if let Some(strategy) = report.strategy {
        let why = if report.not_default {
            " (under the one 'replay' runs first it is not refused)"
        } else {
            ""
        };
        let _ = writeln!(out, "  under          {strategy}{why}");
    }
    if let Some((url, sent)) = report.target {
        let _ = writeln!(out, "  judged by      {} ({sent} requests)", safe(url));
    }
    if let Some(citation) = report.contract {
        super::text::cite(&mut out, citation);
    }
    let (bytes, lines) = report.before;
    let _ = writeln!(
        out,
        "  made small     {lines} lines, {bytes} bytes to {} lines, {} bytes; {} candidates tried",
        shrunk.text.lines().count(),
        shrunk.text.len(),
        shrunk.tried
    );
    let _ = writeln!(
        out,
        "  {}",
        if shrunk.minimal {
            "nothing more can be left out: every part that is left was tried"
        } else {
            "the limit was reached before every part was tried; more could be left out"
        }
    );
    let shown = if verbose { usize::MAX } else { 12 };
    for kept in shrunk.kept.iter().take(shown) {
        let _ = writeln!(
            out,
            "    line {:<4} {}: without it {}",
            kept.line,
            safe(&kept.part),
            safe(&kept.without)
        );
    }
    if shrunk.kept.len() > shown {
        let _ = writeln!(
            out,
            "    … {} more (-v lists them)",
            shrunk.kept.len() - shown
        );
    }
    let _ = writeln!(
        out,
        "written          {}",
        safe(&report.output.display().to_string())
    );
    if let Some(test) = report.test {
        let _ = writeln!(
            out,
            "test             {}",
            safe(&test.display().to_string())
        );
    }
    out
}

/// The report as a document.
pub fn document(report: &Report<'_>) -> Value {
    let shrunk = report.shrunk;
    let kept: Vec<Value> = shrunk
        .kept
        .iter()
        .map(|kept| json!({"line": kept.line, "part": kept.part, "without": kept.without}))
        .collect();
    json!({
        "schema": SCHEMA,
        "path": report.path,
        "failure": report.failure,
        "strategy": report.strategy,
        "default_strategy": !report.not_default,
        "before": {"bytes": report.before.0, "lines": report.before.1},
        "after": {"bytes": shrunk.text.len(), "lines": shrunk.text.lines().count()},
        "tried": shrunk.tried,
        "minimal": shrunk.minimal,
        "target": report.target.map(|(url, _)| url),
        "requests_sent": report.target.map(|(_, sent)| sent),
        "kept": kept,
        "output": report.output.display().to_string(),
        "test": report.test.map(|path| path.display().to_string()),
        "contract": report.contract.map(contract),
    })
}
