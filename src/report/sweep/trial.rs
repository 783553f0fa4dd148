//! What a real client did at every cut: a table for people, for documents, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::json::SCHEMA;
use crate::report::safe;
use crate::report::style::Paint;
use crate::strategy::interrupt::Stage;
use crate::trial::{self, Case, Did, Interrupt, Plan, Result, Results, Template};

/// A trial with what is said around it.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// The session's name.
    pub path: &'a str,
    /// What was done.
    pub plan: &'a Plan,
    /// How many cases there are.
    pub cases: usize,
    /// Those that are done.
    pub results: &'a Results,
    /// What another client did.
    pub against: Option<&'a Results>,
    /// The command that does it again.
    pub command: &'a str,
}

/// Rows in the order of a conversation: the name, and the results by interrupt.
type Rows<'a> = Vec<(String, BTreeMap<Interrupt, Vec<(&'a Case, &'a Result)>>)>;

fn rows(results: &Results) -> Rows<'_> {
    let mut found: Rows<'_> = Vec::new();
    for ((name, interrupt), cases) in trial::by_situation(results) {
        if found.last().is_none_or(|(last, _)| *last != name) {
            found.push((name.clone(), BTreeMap::new()));
        }
        if let Some((_, row)) = found.last_mut() {
            row.insert(interrupt, cases);
        }
    }
    found.sort_by_key(|(name, _)| place_of(name));
    found
}

fn place_of(name: &str) -> (bool, usize) {
    let second = name.contains("second stream");
    let stage = name.split(',').next().unwrap_or_default();
    let at = Stage::ALL.iter().position(|it| it.name() == stage);
    (second, at.unwrap_or(usize::MAX))
}

/// What a word says of a cell's cases, worst last in the order of [`Did`].
fn counted(cases: &[(&Case, &Result)]) -> String {
    let mut words = Vec::new();
    for did in Did::ALL {
        let count = cases.iter().filter(|(_, result)| result.did == did).count();
        if count > 0 {
            let name = did.name().replace('_', " ");
            words.push(if count == cases.len() {
                name
            } else {
                format!("{count} {name}")
            });
        }
    }
    words.join(", ")
}

fn cell(tried: &Tried<'_>, name: &str, interrupt: Interrupt, own: &[(&Case, &Result)]) -> String {
    let mine = if own.is_empty() {
        "–".to_owned()
    } else {
        counted(own)
    };
    let Some(against) = tried.against else {
        return mine;
    };
    let others = trial::by_situation(against);
    let other = others.get(&(name.to_owned(), interrupt));
    let other = other.map_or_else(|| "–".to_owned(), |it| counted(it));
    if mine == other {
        mine
    } else {
        format!("{mine} (the other: {other})")
    }
}

fn interrupts(tried: &Tried<'_>) -> Vec<Interrupt> {
    tried.plan.interrupts.clone()
}

/// The lines of the table: a head, and a row for each situation.
fn table(tried: &Tried<'_>) -> Vec<Vec<String>> {
    let mut head = vec!["cut".to_owned(), "cases".to_owned()];
    head.extend(interrupts(tried).iter().map(|it| it.name().to_owned()));
    let mut lines = vec![head];
    for (name, row) in rows(tried.results) {
        let count: usize = row.values().map(Vec::len).sum();
        let mut line = vec![name.clone(), count.to_string()];
        for interrupt in interrupts(tried) {
            let own = row.get(&interrupt).map_or(&[][..], Vec::as_slice);
            line.push(cell(tried, &name, interrupt, own));
        }
        lines.push(line);
    }
    lines
}

/// What is to be said of cases that are not simply accepted, each sentence once with its first case and how many there
/// are.
fn remarks(tried: &Tried<'_>) -> Vec<(String, String, usize)> {
    let mut found: Vec<(String, String, usize)> = Vec::new();
    for (case, result) in tried.results {
        let place = format!("{} behind cut {}", case.interrupt.name(), place_words(case));
        for said in sentences(result) {
            match found.iter_mut().find(|(known, ..)| *known == said) {
                Some((.., count)) => *count += 1,
                None => found.push((said, place.clone(), 1)),
            }
        }
    }
    found
}

fn place_words(case: &Case) -> String {
    let place = &case.place;
    match place.event {
        Some(event) if place.half => {
            format!(
                "request {}, in the middle of event {event} ({})",
                place.request, place.stage
            )
        }
        Some(event) => format!("request {}, event {event} ({})", place.request, place.stage),
        None => format!("request {}, nothing answered", place.request),
    }
}

fn sentences(result: &Result) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(message) = &result.message {
        let end = if result.did == Did::Stuck {
            "to the end"
        } else {
            "then got through"
        };
        found.push(format!("refused, {end}: {message}"));
    }
    if !result.depends_on.is_empty() {
        found.push(format!("depends on {}", result.depends_on.join(", ")));
    }
    if !result.falsehoods.is_empty() {
        let calls = result.falsehoods.join(", ");
        found.push(format!(
            "says \"aborted\" of {calls}, whose output it had sent"
        ));
    }
    if !result.outputs_lost.is_empty() {
        let calls = result.outputs_lost.join(", ");
        found.push(format!("leaves out the real output of {calls}"));
    }
    if result.history_lost {
        found.push("forgets what the user said first".to_owned());
    }
    if result.timed_out {
        found.push("had to be ended: its time was over".to_owned());
    }
    if let Some(note) = &result.note {
        found.push(note.clone());
    }
    found
}

/// For people.
pub fn text(tried: &Tried<'_>, paint: Paint, verbose: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {} of {} cases\n",
        paint.heading(safe(tried.path)),
        tried.results.len(),
        tried.cases
    );
    let lines = table(tried);
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| {
        let widths = lines.iter().filter_map(|line| line.get(at));
        widths.map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        let mut text = String::from(" ");
        for (cell, width) in line.iter().zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count());
            let _ = write!(text, " {}{:pad$} ", safe(cell), "");
        }
        let text = text.trim_end();
        if number == 0 {
            let _ = writeln!(out, "{}", paint.heading(text));
        } else {
            let _ = writeln!(out, "{text}");
        }
    }
    let remarks = remarks(tried);
    if !remarks.is_empty() {
        out.push('\n');
    }
    for (said, place, count) in remarks {
        let _ = writeln!(out, "  {} ({count}×, first: {})", safe(&said), safe(&place));
    }
    if verbose {
        out.push('\n');
        for (case, result) in tried.results {
            let _ = writeln!(
                out,
                "  {:<28} {:<12} {} request{} behind the cut",
                safe(&case.key()),
                result.did.name(),
                result.requests,
                if result.requests == 1 { "" } else { "s" }
            );
        }
    }
    out
}

/// For a document: the table, what is to be said of it, and the command that makes it.
pub fn markdown(tried: &Tried<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "```sh\n{}\n```\n", safe(tried.command));
    for (number, line) in table(tried).iter().enumerate() {
        let cells: Vec<String> = line.iter().map(|it| cell_text(it)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if number == 0 {
            let _ = writeln!(out, "|{}", "---|".repeat(cells.len()));
        }
    }
    let remarks = remarks(tried);
    if !remarks.is_empty() {
        out.push('\n');
    }
    for (said, place, count) in remarks {
        let _ = writeln!(
            out,
            "- {} ({count}×, first: {})",
            cell_text(&said),
            cell_text(&place)
        );
    }
    out
}

/// Text that is nothing but text in a table of Markdown.
fn cell_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe(text).chars() {
        if matches!(c, '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The document (`docs/json.md`).
pub fn json(tried: &Tried<'_>) -> Value {
    json!({
        "schema": SCHEMA,
        "path": tried.path,
        "first": tried.plan.first.text(),
        "next": tried.plan.next.as_ref().map(Template::text),
        "cases": tried.cases,
        "results": results(tried.results),
        "against": tried.against.map(results),
    })
}

fn results(all: &Results) -> Value {
    let one = |(case, result): &(Case, Result)| {
        json!({
            "key": case.key(),
            "exchange": case.place.exchange,
            "request": case.place.request,
            "event": case.place.event,
            "half": case.place.half,
            "stage": case.place.stage,
            "second_stream": case.place.carries_outputs,
            "interrupt": case.interrupt.name(),
            "repeat": case.repeat,
            "did": result.did.name(),
            "fails": result.did.fails(),
            "requests": result.requests,
            "refused": result.refused,
            "message": result.message,
            "falsehoods": result.falsehoods,
            "outputs_lost": result.outputs_lost,
            "history_lost": result.history_lost,
            "depends_on": result.depends_on,
            "timed_out": result.timed_out,
            "note": result.note,
        })
    };
    all.iter().map(one).collect()
}
