//! The text of an issue, and what `share` did.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::json::SCHEMA;
use super::safe;
use super::style::Paint;
use super::text as session_text;
use crate::replay::SessionReport;
use crate::session::Client;

/// What an issue is made of.
#[derive(Debug)]
pub struct Issue<'a> {
    /// The name of the file that goes with it.
    pub file: &'a str,
    /// What `replay` says of that file.
    pub report: &'a SessionReport,
    /// The strategy that has to be named, if one has.
    pub strategy: Option<&'static str>,
    /// The policies that are fixed.
    pub policies: &'a [String],
    /// The client of the original.
    pub client: &'a Client,
    /// How it is refused, in words.
    pub failure: &'a str,
    /// The session.
    pub session: &'a str,
    /// Lines of the original, and of what is shared.
    pub lines: (usize, usize),
}

/// Sessions longer than this are attached, not quoted.
const QUOTED: usize = 6000;

/// The text of an issue.
pub fn issue(issue: &Issue<'_>) -> String {
    let mut out = String::new();
    let run = issue.report.runs.first();
    let refused = run.and_then(|run| run.requests.iter().find(|request| request.is_refused()));
    let message = refused
        .and_then(|request| request.refusal)
        .map(|fault| issue.report.refusal(&fault).message);
    let title = message.as_deref().unwrap_or(issue.failure);
    let _ = writeln!(out, "# {}\n", inline(title));
    let client = issue.client.name.as_deref().unwrap_or("unknown");
    let version = issue.client.version.as_deref().unwrap_or("");
    let _ = writeln!(
        out,
        "- client: {}",
        inline(format!("{client} {version}").trim_end())
    );
    let source = match issue.report.era {
        Some(era) => format!("{} ({era})", issue.report.source),
        None => issue.report.source.to_owned(),
    };
    let _ = writeln!(
        out,
        "- session: {source}, {} lines of {}",
        issue.lines.1, issue.lines.0
    );
    let _ = writeln!(
        out,
        "- refused as: `{}`",
        safe(issue.failure).replace('`', "'")
    );
    if let Some(run) = run {
        let verdict = run.verdict.name();
        let _ = writeln!(out, "- verdict: {verdict} under {}", run.resolved.name());
    }
    let _ = writeln!(out, "- replay {}\n", env!("CARGO_PKG_VERSION"));
    let mut command = format!("replay {}", word(issue.file));
    if let Some(strategy) = issue.strategy {
        let _ = write!(command, " --recover {strategy}");
    }
    for policy in issue.policies {
        let _ = write!(command, " --policy {policy}");
    }
    let _ = writeln!(
        out,
        "To see it happen (no key, no network; exit status 1):\n"
    );
    fenced(&mut out, "sh", &command);
    let _ = writeln!(out, "It prints:\n");
    fenced(
        &mut out,
        "text",
        session_text::session(issue.report, &[], Paint::Plain, false).trim_end(),
    );
    if issue.session.len() <= QUOTED {
        let _ = writeln!(out, "`{}`:\n", inline(issue.file));
        fenced(&mut out, "json", issue.session.trim_end());
    } else {
        let _ = writeln!(out, "`{}` is attached.", inline(issue.file));
    }
    let _ = writeln!(
        out,
        "Secrets were replaced and everything that the refusal does not need was left out; texts that say `x` said more."
    );
    out
}

/// The name of a file as one word of a command line, which is no option and no verb either.
fn word(file: &str) -> String {
    let file = if file.starts_with('-') || !file.contains('.') {
        format!("./{file}")
    } else {
        file.to_owned()
    };
    let quoted = shlex::try_quote(&file).map(std::borrow::Cow::into_owned);
    quoted.unwrap_or(file)
}

fn inline(text: &str) -> String {
    safe(text).replace(['`', '<', '>', '[', ']'], "'")
}

/// A block that the text inside cannot end.
fn fenced(out: &mut String, language: &str, text: &str) {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "{fence}{language}");
    for line in text.lines() {
        let _ = writeln!(out, "{}", safe(line));
    }
    let _ = writeln!(out, "{fence}\n");
}

/// The last look: everything that would be written.
pub fn look(session: &str, issue: &str, lines: usize, width: usize) -> String {
    let mut out = String::new();
    for (name, text) in [("the session", session), ("the text of the issue", issue)] {
        let _ = writeln!(out, "---- {name}");
        for line in text.lines().take(lines) {
            let mut cut: String = line.chars().take(width).collect();
            if cut.len() < line.len() {
                let _ = write!(cut, "… {} more characters", line.chars().count() - width);
            }
            let _ = writeln!(out, "{}", safe(&cut));
        }
        let more = text.lines().count().saturating_sub(lines);
        if more > 0 {
            let _ = writeln!(out, "… {more} more lines");
        }
    }
    let _ = writeln!(out, "----");
    out
}

/// What was written.
#[derive(Debug)]
pub struct Done<'a> {
    /// The session, as the user named it.
    pub path: &'a str,
    /// How it is refused, in words.
    pub failure: &'a str,
    /// The strategy under which it is refused.
    pub strategy: &'static str,
    /// How many different secrets were replaced.
    pub secrets: usize,
    /// Lines of the original, and of what is shared.
    pub lines: (usize, usize),
    /// The session that can be handed on.
    pub output: &'a Path,
    /// The text of the issue.
    pub issue: &'a Path,
}

/// The report as text.
pub fn text(done: &Done<'_>, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", paint.heading(safe(done.path)));
    let _ = writeln!(
        out,
        "  still refused  {} under {}",
        paint.bad(safe(done.failure)),
        done.strategy
    );
    let _ = writeln!(
        out,
        "  {} different secrets replaced, {} lines of {} left",
        done.secrets, done.lines.1, done.lines.0
    );
    let _ = writeln!(
        out,
        "written          {}",
        safe(&done.output.display().to_string())
    );
    let _ = writeln!(
        out,
        "issue            {}",
        safe(&done.issue.display().to_string())
    );
    out
}

/// The report as a document.
pub fn document(done: &Done<'_>) -> Value {
    json!({
        "schema": SCHEMA,
        "path": done.path,
        "failure": done.failure,
        "strategy": done.strategy,
        "secrets": done.secrets,
        "lines_before": done.lines.0,
        "lines_after": done.lines.1,
        "output": done.output.display().to_string(),
        "issue": done.issue.display().to_string(),
    })
}
