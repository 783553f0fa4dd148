//! A sweep as a matrix of letters, and what fails in words.

use std::fmt::Write as _;

use super::{Swept, place};
use crate::report::safe;
use crate::report::style::Paint;
use crate::sweep::{Cell, Mark, Situation};

/// The matrix, its legend, and the failing cells of the deciding strategy; of all strategies if `verbose`.
pub fn text(swept: &Swept<'_>, paint: Paint, verbose: bool) -> String {
    let mut out = String::new();
    head(&mut out, swept, paint);
    matrix(&mut out, swept, paint);
    legend(&mut out, swept, paint);
    failures(&mut out, swept, paint);
    if verbose {
        others(&mut out, swept, paint);
    }
    if let Some(citation) = swept.contract {
        out.push('\n');
        crate::report::text::cite(&mut out, citation);
    }
    out
}

fn head(out: &mut String, swept: &Swept<'_>, paint: Paint) {
    let sweep = swept.sweep;
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let _ = writeln!(
        out,
        "{}  {} · {} cut{} · {} state{} · {} requests judged",
        paint.heading(safe(swept.path)),
        swept.source,
        sweep.cuts,
        plural(sweep.cuts),
        sweep.points,
        plural(sweep.points as u64),
        sweep.judged,
    );
    if sweep.first_cuts > 0 {
        let _ = writeln!(out, "second cuts behind {} of them", sweep.first_cuts);
    }
}

/// A column's letter.
fn letter(at: usize) -> char {
    char::from(b'a' + (at % 26) as u8)
}

fn matrix(out: &mut String, swept: &Swept<'_>, paint: Paint) {
    let sweep = swept.sweep;
    let title_of = |situation: &Situation| {
        let variant = sweep.variants.get(situation.variant);
        let title = group(situation);
        match variant.filter(|_| sweep.variants.len() > 1) {
            Some(variant) => format!("{title} ({})", safe(&variant.name())),
            None => title,
        }
    };
    let wide = |it: &Situation| {
        let title = title_of(it).chars().count().saturating_sub(8);
        title.max(label(it).len())
    };
    let width = sweep.rows.keys().map(wide).max().unwrap_or(0) + 2;
    let mut above: Option<(usize, String)> = None;
    for (situation, row) in &sweep.rows {
        let group = (situation.variant, group(situation));
        if above.as_ref() != Some(&group) {
            let title = title_of(situation);
            let _ = write!(out, "\n{}", paint.heading(&title));
            let used = title.chars().count();
            let pad = (width + 8).saturating_sub(used);
            let _ = write!(out, "{:pad$}", "");
            for at in 0..sweep.columns.len() {
                let _ = write!(out, " {}", letter(at));
            }
            out.push('\n');
            above = Some(group);
        }
        let cuts = row.iter().flatten().map(|cell| cell.cuts).max();
        let _ = write!(
            out,
            "  {:width$}{:>5} ",
            label(situation),
            cuts.unwrap_or(0)
        );
        for cell in row {
            let sign = cell
                .as_ref()
                .map_or_else(|| " ".to_owned(), |it| sign(it, paint));
            let _ = write!(out, " {sign}");
        }
        out.push('\n');
    }
}

fn group(situation: &Situation) -> String {
    let name = situation.name();
    let end = name.find(':').unwrap_or(name.len());
    let mut title = name.get(..end).unwrap_or_default().to_owned();
    if situation.second_cut {
        title.push_str(", for the second time");
    }
    title
}

fn label(situation: &Situation) -> String {
    let mut label = situation.stage.name().to_owned();
    if situation.carries_outputs {
        label.push_str(", second stream");
    }
    label
}

fn sign(cell: &Cell, paint: Paint) -> String {
    let (mark, all) = cell.mark();
    painted(mark, mark.letter(all), paint)
}

fn painted(mark: Mark, letter: char, paint: Paint) -> String {
    match mark {
        Mark::Accepted | Mark::Repaired => paint.good(letter),
        Mark::False | Mark::Unknown | Mark::Depends => paint.careful(letter),
        Mark::MissingOutput | Mark::OrphanOutput | Mark::Refused | Mark::Loops => paint.bad(letter),
    }
}

fn legend(out: &mut String, swept: &Swept<'_>, paint: Paint) {
    let sweep = swept.sweep;
    out.push('\n');
    for (at, column) in sweep.columns.iter().enumerate() {
        let name = column.strategy.name();
        let resolved = column.resolved.name();
        let _ = write!(out, "  {} {name}", letter(at));
        if resolved != name {
            let _ = write!(out, " ({resolved})");
        }
        out.push('\n');
    }
    let mut seen: Vec<Mark> = sweep
        .rows
        .values()
        .flatten()
        .flatten()
        .map(|cell| cell.mark().0)
        .collect();
    seen.sort_unstable();
    seen.dedup();
    out.push('\n');
    for mark in &seen {
        let letter = painted(*mark, mark.letter(true), paint);
        let _ = writeln!(out, "  {letter} {}", mark.words());
    }
    let some = sweep.rows.values().flatten().flatten();
    if some.into_iter().any(|cell| !cell.mark().1) {
        out.push_str("  a small letter: some of the cuts; the worst is shown\n");
    }
}

fn failures(out: &mut String, swept: &Swept<'_>, paint: Paint) {
    let name = swept.chosen.name();
    let mut failing = swept.failing().peekable();
    let new = if swept.known.is_some() { "new " } else { "" };
    out.push('\n');
    if failing.peek().is_none() {
        let text = format!("{name} gets through everywhere");
        let text = if swept.known.is_some() {
            format!("{name} fails nowhere that it did not fail before")
        } else if swept.is_unknown() {
            format!("{name} is refused nowhere, but not everything can be told")
        } else {
            text
        };
        let _ = writeln!(out, "{}", paint.good(text));
        untrue(out, swept, paint);
        return;
    }
    let _ = writeln!(
        out,
        "{}",
        paint.bad(format!("{name} fails here {new}").trim_end())
    );
    for (situation, cell) in failing {
        one(out, swept, situation, cell);
    }
    untrue(out, swept, paint);
}

/// What the deciding strategy says although it is not so.
fn untrue(out: &mut String, swept: &Swept<'_>, paint: Paint) {
    let cells = swept.sweep.column(swept.chosen);
    let mut cells = cells
        .filter_map(|(situation, cell)| Some((situation, cell, cell.smallest_false.as_ref()?)))
        .peekable();
    if cells.peek().is_none() {
        return;
    }
    let title = format!(
        "{} says what is not so, or loses a real output, here",
        swept.chosen.name()
    );
    let _ = writeln!(out, "{}", paint.careful(title));
    for (situation, cell, example) in cells {
        let count = cell.with_falsehoods.max(cell.outputs_lost);
        let _ = writeln!(
            out,
            "  {}: {count} of {} cuts, first: {}",
            named(swept, situation),
            cell.cuts,
            safe(&place(example)),
        );
    }
}

fn others(out: &mut String, swept: &Swept<'_>, paint: Paint) {
    for column in &swept.sweep.columns {
        if column.strategy == swept.chosen {
            continue;
        }
        let cells = swept.sweep.column(column.strategy);
        let failing: Vec<_> = cells.filter(|(_, cell)| cell.fails()).collect();
        if failing.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}", paint.heading(column.strategy.name()));
        for (situation, cell) in failing {
            one(out, swept, situation, cell);
        }
    }
}

fn named(swept: &Swept<'_>, situation: &Situation) -> String {
    let variant = swept.sweep.variants.get(situation.variant);
    match variant.filter(|_| swept.sweep.variants.len() > 1) {
        Some(variant) => format!("{} ({})", situation.name(), safe(&variant.name())),
        None => situation.name(),
    }
}

fn one(out: &mut String, swept: &Swept<'_>, situation: &Situation, cell: &Cell) {
    let count = (cell.refused + cell.depends).max(cell.loops);
    let _ = writeln!(
        out,
        "  {}: {count} of {} cut{}",
        named(swept, situation),
        cell.cuts,
        if cell.cuts == 1 { "" } else { "s" },
    );
    let Some(smallest) = &cell.smallest else {
        return;
    };
    let _ = writeln!(out, "      smallest: {}", safe(&place(smallest)));
    if let Some(message) = &smallest.message {
        let _ = writeln!(out, "      {}", safe(message));
    }
    if smallest.depends {
        let values = if smallest.accepting.is_empty() {
            "no single policy decides".to_owned()
        } else {
            format!("accepted only with {}", smallest.accepting.join(", "))
        };
        let _ = writeln!(out, "      {values}");
    }
    if smallest.loops {
        out.push_str("      the strategy has no bound: it would send this for ever\n");
    }
}
