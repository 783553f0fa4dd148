//! Both sides beside each other.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Event, View, describe};
use crate::diff::{Difference, Kind, Op};
use crate::report::cells;

/// So many lines of a column one event takes at most.
const LINES: usize = 6;

/// So many characters of a value are shown at least, where the path leaves little room.
const MIN_SHOWN: usize = 24;

/// The differences with the equal events around them, left and right, in `width` columns.
pub fn side_by_side(view: &View<'_>, found: &Difference, width: usize) -> String {
    let column = (width.max(24) - 3) / 2;
    let mut out = String::new();
    let near = |at: usize, back: bool| {
        let other = if back {
            at.checked_sub(1)
        } else {
            Some(at + 1)
        };
        other
            .and_then(|it| found.changes.get(it))
            .is_some_and(|it| it.op != Op::Equal)
    };
    for (at, change) in found.changes.iter().enumerate() {
        if change.op == Op::Equal {
            let count = change.left.end - change.left.start;
            let (head, tail) = (
                if near(at, true) { view.context } else { 0 },
                if near(at, false) { view.context } else { 0 },
            );
            let mut skipped = 0;
            for step in 0..count {
                if step >= head && step + tail < count {
                    skipped += 1;
                    continue;
                }
                skip(&mut out, view, &mut skipped);
                let left = found.left_event(change.left.start + step, view.left.0);
                let right = found.right_event(change.right.start + step, view.right.0);
                row(&mut out, view, column, ' ', (left, right));
            }
            skip(&mut out, view, &mut skipped);
            continue;
        }
        let count =
            (change.left.end - change.left.start).max(change.right.end - change.right.start);
        for step in 0..count {
            let inside = |range: &std::ops::Range<u32>| {
                Some(range.start + step).filter(|it| range.contains(it))
            };
            let left = inside(&change.left).and_then(|it| found.left_event(it, view.left.0));
            let right = inside(&change.right).and_then(|it| found.right_event(it, view.right.0));
            let sign = match change.op {
                Op::Delete => '-',
                Op::Insert => '+',
                _ => '~',
            };
            row(&mut out, view, column, sign, (left, right));
        }
        let shown = if view.verbose {
            change.details.len()
        } else {
            super::DETAILS
        };
        for detail in change.details.iter().take(shown) {
            let room = (column * LINES).saturating_sub(detail.path.chars().count() + 12);
            let (a, b) = super::near(
                detail.left.as_deref().unwrap_or(""),
                detail.right.as_deref().unwrap_or(""),
                // wide characters take two columns
                (room / 2).max(MIN_SHOWN),
            );
            let side = |text: &Option<String>, cut: &str| match text {
                Some(_) => format!("    {}: {cut}", detail.path),
                None => String::new(),
            };
            let sign = if matches!(detail.kind, Kind::Id { .. }) {
                '≠'
            } else {
                '~'
            };
            texts(
                &mut out,
                view,
                column,
                sign,
                (&side(&detail.left, &a), &side(&detail.right, &b)),
            );
        }
        let rest = change.details.len().saturating_sub(shown) + change.more;
        if rest > 0 {
            let told = format!("    … and {rest} more differences");
            let _ = writeln!(out, "{}", view.paint.faint(told));
        }
    }
    out
}

fn skip(out: &mut String, view: &View<'_>, skipped: &mut u32) {
    if *skipped > 0 {
        let _ = writeln!(out, "{}", view.paint.faint(format!("  … {skipped} equal")));
        *skipped = 0;
    }
}

fn row(
    out: &mut String,
    view: &View<'_>,
    column: usize,
    sign: char,
    sides: (Option<&Event>, Option<&Event>),
) {
    let left = sides
        .0
        .map(|it| describe(view.left.0, it))
        .unwrap_or_default();
    let right = sides
        .1
        .map(|it| describe(view.right.0, it))
        .unwrap_or_default();
    texts(out, view, column, sign, (&left, &right));
}

/// One row, over as many lines as its longer side needs.
fn texts(
    out: &mut String,
    view: &View<'_>,
    column: usize,
    sign: char,
    (left, right): (&str, &str),
) {
    let (a, b) = (
        wrapped(&cells(left), column),
        wrapped(&cells(right), column),
    );
    let count = a.len().max(b.len()).clamp(1, LINES);
    let cut = |lines: &[String], at: usize, line: String| {
        // a line that goes on says so
        if at + 1 == LINES && lines.len() > LINES {
            let mut line = line;
            while line.width() + 1 > column && line.pop().is_some() {}
            return line + "…";
        }
        line
    };
    for at in 0..count {
        let side = |lines: &[String]| {
            let line = cut(lines, at, lines.get(at).cloned().unwrap_or_default());
            let room = column.saturating_sub(line.width());
            format!("{line}{}", " ".repeat(room))
        };
        let (left, right) = (side(&a), side(&b));
        let line = match sign {
            '-' => format!("{} - {}", view.paint.bad(left), right.trim_end()),
            '+' => format!("{left} + {}", view.paint.good(right.trim_end())),
            ' ' => format!("{left}   {}", right.trim_end()),
            sign => format!(
                "{} {sign} {}",
                view.paint.bad(left),
                view.paint.good(right.trim_end())
            ),
        };
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// A text cut into lines of so many columns.
fn wrapped(text: &str, column: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut width = 0;
    for c in text.chars() {
        let own = c.width().unwrap_or(0);
        if width + own > column && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
            width = 0;
        }
        line.push(c);
        width += own;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_their_column() {
        assert_eq!(wrapped("日本語ab", 4), ["日本", "語ab"]);
        assert_eq!(wrapped("", 4), Vec::<String>::new());
    }
}
