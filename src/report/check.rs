//! Findings for people.

use std::fmt::Write as _;

use super::safe;
use super::style::Paint;
use crate::check::{Finding, Severity};

/// The lines of one file's findings.
pub fn findings(path: &str, found: &[Finding], paint: Paint) -> String {
    let mut out = String::new();
    for finding in found {
        let severity = match finding.severity {
            Severity::Error => paint.bad("error"),
            Severity::Warning => paint.careful("warning"),
            Severity::Info => paint.faint("info"),
        };
        let times = if finding.count > 1 {
            format!(" ({} times)", finding.count)
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "{}:{}: {severity}[{}] {}{times}{}",
            safe(finding.path.as_deref().unwrap_or(path)),
            finding.line,
            finding.rule.name(),
            safe(&finding.message),
            also(path, finding)
        );
    }
    out
}

/// The further places of a finding that stand in another file than its line; those of its own file are in its words.
fn also(path: &str, finding: &Finding) -> String {
    let mut out = String::new();
    for place in &finding.also {
        if place.path == finding.path {
            continue;
        }
        let begin = if out.is_empty() { " (see " } else { ", " };
        let file = place.path.as_deref().unwrap_or(path);
        let _ = write!(out, "{begin}{}:{}", safe(file), place.line);
    }
    if !out.is_empty() {
        out.push(')');
    }
    out
}
