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
            "{}:{}: {severity}[{}] {}{times}",
            safe(path),
            finding.line,
            finding.rule.name(),
            safe(&finding.message)
        );
    }
    out
}
