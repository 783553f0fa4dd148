//! What a probe found, for people.

use std::fmt::Write as _;

use super::safe;
use super::style::Paint;
use crate::contract::Policy;
use crate::contract::lock::Lock;

/// One line of the list of requests.
pub fn listed(number: usize, name: &str, about: &str, bytes: usize) -> String {
    format!("{number:>3}  {name:<24} {bytes:>5} bytes  {about}\n")
}

/// The policies, facts and, on request, every answer.
pub fn lock(lock: &Lock, paint: Paint, verbose: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {}",
        paint.heading(safe(&lock.name)),
        paint.faint(safe(&format!(
            "{} · model {} · {} requests · {}",
            lock.url, lock.model, lock.requests, lock.date
        )))
    );
    let _ = writeln!(out, "\n  {}", paint.heading("policies"));
    for policy in Policy::ALL {
        let name = format!("{:<22}", policy.name());
        let said = if let Some(value) = lock.policies.get(policy.name()) {
            paint.good(safe(value))
        } else {
            let why = lock.not_settled.get(policy.name());
            let why = why.map_or("not asked", String::as_str);
            format!("{}: {}", paint.careful("not settled"), safe(why))
        };
        let _ = writeln!(out, "    {name} {said}");
    }
    if !lock.habits.is_empty() {
        let _ = writeln!(out, "\n  {}", paint.heading("habits"));
        for (name, value) in &lock.habits {
            let _ = writeln!(out, "    {name:<22} {}", safe(value));
        }
    }
    let _ = writeln!(out, "\n  {}", paint.heading("what else was found"));
    for (name, value) in &lock.facts {
        let _ = writeln!(out, "    {:<30} {}", safe(name), safe(value));
    }
    if lock.facts.get("accepts_everything").map(String::as_str) == Some("true") {
        let _ = writeln!(
            out,
            "\n  {}",
            paint.careful(
                "this endpoint checks no history: what breaks the API's contract is accepted here"
            )
        );
    }
    if verbose {
        let _ = writeln!(out, "\n  {}", paint.heading("requests"));
        for evidence in &lock.evidence {
            let status = evidence
                .status
                .map_or_else(String::new, |status| status.to_string());
            let message = evidence.message.as_deref().map(safe).unwrap_or_default();
            let line = format!(
                "    {:<24} {:<9} {status:<4} {message}",
                safe(&evidence.request),
                safe(&evidence.answer)
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    out
}
