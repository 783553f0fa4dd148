//! A sweep as a matrix of letters, and what fails in words.

use std::fmt::Write as _;

use super::{Score, Swept, place};
use crate::report::style::Paint;
use crate::report::{plural, safe};
use crate::sweep::{Cell, Column, Mark, Situation};

/// The matrix, its legend, and the failing cells of the deciding strategy; of all strategies if `verbose`. Where there are
/// only so many columns, rows of the matrix are broken behind their names and other lines between words.
pub fn text(swept: &Swept<'_>, paint: Paint, verbose: bool, columns: Option<usize>) -> String {
    let mut out = String::new();
    head(&mut out, swept, paint);
    matrix(&mut out, swept, paint, columns);
    legend(&mut out, swept, paint, columns);
    failures(&mut out, swept, paint);
    if verbose {
        others(&mut out, swept, paint);
    }
    if swept.sweep.base_assumed {
        out.push_str(
            "\nassumed: the next request carries the whole history; no request of the session shows what it goes on from (--base)\n",
        );
    }
    if let Some(citation) = swept.contract {
        out.push('\n');
        crate::report::text::cite(&mut out, citation);
    }
    match columns {
        Some(columns) => fitted(&out, columns),
        None => out,
    }
}

/// The text with every line broken between words where it is longer than so many columns.
fn fitted(text: &str, columns: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut used = 0;
        for (at, word) in line.trim_start().split(' ').enumerate() {
            let width = shown(word);
            if at == 0 {
                let _ = write!(out, "{:indent$}{word}", "");
                used = indent + width;
            } else if used + 1 + width <= columns {
                let _ = write!(out, " {word}");
                used += 1 + width;
            } else if !word.is_empty() {
                let indent = indent + 4;
                let _ = write!(out, "\n{:indent$}{word}", "");
                used = indent + width;
            }
        }
        out.push('\n');
    }
    out
}

/// How many columns a word takes: what sets colours takes none.
fn shown(word: &str) -> usize {
    let mut count = 0;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // up to the letter that ends it
            let _letter = chars.find(char::is_ascii_alphabetic);
        } else {
            count += 1;
        }
    }
    count
}

fn head(out: &mut String, swept: &Swept<'_>, paint: Paint) {
    let sweep = swept.sweep;
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

fn matrix(out: &mut String, swept: &Swept<'_>, paint: Paint, columns: Option<usize>) {
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
    let signs = 2 * sweep.columns.len();
    // behind a name: five columns for how many cuts there are, and a space
    let is_narrow = columns.is_some_and(|columns| width + 8 + signs > columns);
    let mut above: Option<(usize, String)> = None;
    for (situation, row) in &sweep.rows {
        let group = (situation.variant, group(situation));
        if above.as_ref() != Some(&group) {
            let title = title_of(situation);
            let _ = write!(out, "\n{}", paint.heading(&title));
            if is_narrow {
                out.push_str("\n   ");
            } else {
                let used = title.chars().count();
                let pad = (width + 8).saturating_sub(used);
                let _ = write!(out, "{:pad$}", "");
            }
            for at in 0..sweep.columns.len() {
                let _ = write!(out, " {}", letter(at));
            }
            out.push('\n');
            above = Some(group);
        }
        let cuts = row.iter().flatten().map(|cell| cell.cuts).max();
        let (label, cuts) = (label(situation), cuts.unwrap_or(0));
        let _ = if is_narrow {
            write!(out, "  {label} {cuts}\n   ")
        } else {
            write!(out, "  {label:width$}{cuts:>5} ")
        };
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

/// A column's name, with the strategy that it stands for.
fn name_of(column: Column) -> String {
    let (name, resolved) = (column.strategy.name(), column.resolved.name());
    if resolved == name {
        name.to_owned()
    } else {
        format!("{name} ({resolved})")
    }
}

fn legend(out: &mut String, swept: &Swept<'_>, paint: Paint, columns: Option<usize>) {
    let sweep = swept.sweep;
    out.push('\n');
    let names: Vec<String> = sweep.columns.iter().copied().map(name_of).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    // the name, a letter in front of it and four numbers behind it
    let is_narrow = columns.is_some_and(|columns| width + 36 > columns);
    if !is_narrow {
        let _ = writeln!(out, "    {:width$}  fails   lost  false  requests", "");
    }
    for ((at, column), name) in sweep.columns.iter().enumerate().zip(&names) {
        let Score {
            fails,
            lost,
            false_statements,
            requests,
        } = swept.score(column.strategy);
        let letter = letter(at);
        let _ = if is_narrow {
            writeln!(
                out,
                "  {letter} {name}\n      fails {fails}, lost {lost}, false {false_statements}, requests {requests}"
            )
        } else {
            writeln!(
                out,
                "  {letter} {name:width$} {fails:>6} {lost:>6} {false_statements:>6} {requests:>9}"
            )
        };
    }
    out.push_str(
        "  cuts where it fails, loses or contradicts a real output, says \"aborted\" of an ended tool;\n  \
         requests: the most it takes\n",
    );
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
    let new = if swept.known.is_some() {
        " where it did not fail before"
    } else {
        ""
    };
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
    let _ = writeln!(out, "{}", paint.bad(format!("{name} fails here{new}")));
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
            "  {}: {count} of {} cut{}, first: {}",
            named(swept, situation),
            cell.cuts,
            plural(cell.cuts),
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
        plural(cell.cuts),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(fitted("a b\n", 40), "a b\n");
        assert_eq!(fitted("  one two three\n", 9), "  one two\n      three\n");
        // a word that is longer than the line stands alone
        assert_eq!(fitted("x overlong y\n", 4), "x\n    overlong\n    y\n");
        // what sets a colour takes no room
        assert_eq!(
            fitted("\u{1b}[31mone\u{1b}[0m two\n", 7),
            "\u{1b}[31mone\u{1b}[0m two\n"
        );
    }
}
