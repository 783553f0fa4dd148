//! A sweep as one page: a picture of the matrix, drawn as SVG, and a table of what fails. No script, no network.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Swept, place};
use crate::report::safe;
use crate::sweep::{Cell, Example, Mark, Situation};

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--faint:#667}\
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6e8ea;--faint:#9aa}}\
body{background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}\
h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}p,caption{color:var(--faint)}\
svg text{fill:var(--fg);font:12px ui-monospace,monospace}svg text.c{fill:#fff;font-weight:bold;text-anchor:middle}\
svg text.h{font-weight:bold}.accepted{fill:#2d8659}.repaired{fill:#4f9a3a}.false{fill:#b98a00}.unknown{fill:#777}\
.depends{fill:#c26a00}.missing_output{fill:#c0392b}.orphan_output{fill:#97266d}.refused{fill:#8b1e1e}.loops{fill:#4b1d8f}\
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8884;padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top}\
code{font:13px ui-monospace,monospace}figure{margin:0;overflow-x:auto}";

/// A row of the picture is so high.
const ROW: usize = 20;
/// A cell is so wide.
const CELL: usize = 26;
/// A letter of a name is at most so wide, in tenths.
const LETTER: usize = 75;
/// So far a slanted name of a strategy reaches over its column.
const SLANT: usize = 90;

/// The page.
pub fn html(swept: &Swept<'_>) -> String {
    let sweep = swept.sweep;
    let mut out = String::new();
    let title = escaped(swept.path);
    let digest = base64_of(&Sha256::digest(STYLE.as_bytes()));
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>sweep of {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>sweep of {title}</h1>\n<p>{} · {} cuts · {} states · {} requests judged. \
         The endpoint is a model of the API's contract.</p>\n",
        escaped(swept.source),
        sweep.cuts,
        sweep.points,
        sweep.judged
    );
    if let Some(citation) = swept.contract {
        let lines = [Some(citation.words()), citation.warning.clone()];
        for line in lines.iter().flatten() {
            let _ = writeln!(out, "<p>{}</p>", escaped(line));
        }
    }
    picture(&mut out, swept);
    legend(&mut out, swept);
    table(&mut out, swept);
    out.push_str("</body>\n</html>\n");
    out
}

fn picture(out: &mut String, swept: &Swept<'_>) {
    let sweep = swept.sweep;
    let names: Vec<String> = sweep.rows.keys().map(|it| name_of(swept, it)).collect();
    let longest = names.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    let left = longest * LETTER / 10 + 16;
    let width = left + CELL * sweep.columns.len() + SLANT;
    let top = 130;
    let height = top + ROW * sweep.rows.len() + 10;
    let _ = writeln!(
        out,
        "<figure><svg role=\"img\" aria-label=\"situations by strategies\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\">"
    );
    for (at, column) in sweep.columns.iter().enumerate() {
        let x = left + CELL * at + CELL / 2;
        let y = top - 8;
        let _ = writeln!(
            out,
            "<text class=\"h\" transform=\"translate({x} {y}) rotate(-55)\">{}</text>",
            column.strategy.name()
        );
    }
    for ((at, row), name) in sweep.rows.values().enumerate().zip(&names) {
        let y = top + ROW * at;
        let _ = writeln!(
            out,
            "<text x=\"0\" y=\"{}\">{}</text>",
            y + 14,
            escaped(name)
        );
        for (column, cell) in row.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let x = left + CELL * column;
            let (mark, all) = cell.mark();
            let _ = writeln!(
                out,
                "<g><title>{}</title><rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"3\"/>\
                 <text class=\"c\" x=\"{}\" y=\"{}\">{}</text></g>",
                escaped(&said(cell)),
                mark.name(),
                CELL - 2,
                ROW - 2,
                x + CELL / 2 - 1,
                y + 13,
                mark.letter(all)
            );
        }
    }
    out.push_str("</svg></figure>\n");
}

/// A row's name, with the variant where there are several.
fn name_of(swept: &Swept<'_>, situation: &Situation) -> String {
    let variants = &swept.sweep.variants;
    match variants
        .get(situation.variant)
        .filter(|_| variants.len() > 1)
    {
        Some(variant) => format!("{} ({})", situation.name(), variant.name()),
        None => situation.name(),
    }
}

fn said(cell: &Cell) -> String {
    let mut text = format!(
        "{} cuts: {} accepted, {} refused, {} depend, {} cannot be told; requests: {}",
        cell.cuts, cell.accepted, cell.refused, cell.depends, cell.unknown, cell.requests
    );
    if cell.outputs_lost > 0 {
        let _ = write!(
            text,
            "; real outputs contradicted or left out: {}, \"aborted\" said of an ended tool: {}",
            cell.outputs_lost, cell.with_falsehoods
        );
    }
    if let Some(smallest) = &cell.smallest {
        let _ = write!(text, "; smallest: {}", place(smallest));
        if let Some(message) = &smallest.message {
            let _ = write!(text, ": {message}");
        }
    }
    text
}

fn legend(out: &mut String, swept: &Swept<'_>) {
    out.push_str("<p>");
    for mark in Mark::ALL {
        let cells = swept.sweep.rows.values().flatten().flatten();
        if cells.into_iter().any(|cell| cell.mark().0 == mark) {
            let _ = write!(
                out,
                "<b>{}</b> {}. ",
                mark.letter(true),
                escaped(mark.words())
            );
        }
    }
    out.push_str("A small letter: some of the cuts; the worst is shown.</p>\n");
}

fn table(out: &mut String, swept: &Swept<'_>) {
    let sweep = swept.sweep;
    for column in &sweep.columns {
        let failing: Vec<_> = sweep
            .column(column.strategy)
            .filter(|(_, cell)| cell.fails())
            .collect();
        let decides = if column.strategy == swept.chosen {
            " (decides)"
        } else {
            ""
        };
        let (name, resolved) = (column.strategy.name(), column.resolved.name());
        let is = if name == resolved {
            String::new()
        } else {
            format!(" = {resolved}")
        };
        let _ = writeln!(out, "<h2>{name}{is}{decides}</h2>");
        let score = swept.score(column.strategy);
        let _ = writeln!(
            out,
            "<p>Fails at {} cuts; a real output is contradicted or left out at {}, \"aborted\" is said of an ended tool at {}; \
             up to {} requests.</p>",
            score.fails, score.lost, score.false_statements, score.requests
        );
        if failing.is_empty() {
            continue;
        }
        out.push_str(
            "<table><tr><th>situation</th><th>cuts</th><th>smallest</th><th>message</th></tr>\n",
        );
        for (situation, cell) in failing {
            let name = name_of(swept, situation);
            let smallest = cell.smallest.as_ref();
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{} of {}</td><td>{}</td><td><code>{}</code></td></tr>",
                escaped(&name),
                (cell.refused + cell.depends).max(cell.loops),
                cell.cuts,
                escaped(&smallest.map(place).unwrap_or_default()),
                escaped(&smallest.map(message).unwrap_or_default())
            );
        }
        out.push_str("</table>\n");
    }
}

/// What the endpoint says, and what it depends on.
fn message(example: &Example) -> String {
    let mut text = example.message.clone().unwrap_or_default();
    if example.depends {
        let values = example.accepting.join(", ");
        let _ = if values.is_empty() {
            write!(text, " (no single policy decides)")
        } else {
            write!(text, " (accepted only with {values})")
        };
    }
    if example.loops {
        text.push_str(" (sent for ever)");
    }
    text
}

/// Text that is nothing but text in a page.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
