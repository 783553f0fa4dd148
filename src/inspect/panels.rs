//! The open calls below the list, and the keys above everything.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};
use unicode_width::UnicodeWidthChar as _;

use super::help::KEYS;
use super::model::{Model, Tone};
use super::view::{broken, fit, tone};
use crate::report::cells;
use crate::report::inspect::{fate, half_fate, pending};
use crate::timeline::Pending;

pub(super) fn open_calls(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let timeline = &model.timeline;
    let at = model.entry().unwrap_or(0);
    let open: Vec<Pending> = timeline.state_at(at);
    let asks: Vec<String> = timeline
        .asks_at(at)
        .map(|ask| {
            let line = timeline
                .entries
                .get(ask.opened as usize)
                .map_or(0, |entry| entry.line);
            format!(
                "{} {} asked for since line {line}",
                ask.asking.name(),
                ask.id
            )
        })
        .collect();
    let whole = open.iter().filter(|pending| !pending.half).count();
    let here = timeline
        .entries
        .get(at as usize)
        .map_or(0, |entry| entry.line);
    let title = format!("─ open calls at line {here}: {whole} ");
    let style = if whole > 0 {
        tone(model, Tone::Bad)
    } else {
        tone(model, Tone::Heading)
    };
    let fill = (area.width as usize).saturating_sub(title.chars().count());
    let line = Line::styled(format!("{title}{}", "─".repeat(fill)), style);
    frame.render_widget(
        Paragraph::new(line),
        Rect::new(area.x, area.y, area.width, 1),
    );
    let rows = area.height.saturating_sub(1) as usize;
    let mut lines: Vec<(Tone, String)> = Vec::new();
    // the newest are the ones that are looked for
    for one in open.iter().rev().take(rows) {
        let fate = if one.half {
            half_fate(timeline, one.call)
        } else {
            fate(timeline, one.call)
        };
        let words = format!("{}; {fate}", pending(timeline, one));
        lines.push((if one.half { Tone::Faint } else { Tone::Plain }, words));
    }
    let total = open.len() + asks.len();
    lines.extend(asks.into_iter().map(|ask| (Tone::Careful, ask)));
    let width = (area.width as usize).saturating_sub(3);
    let mut row = 0;
    let mut told = 0;
    for (of, words) in &lines {
        let words = cells(words);
        let mut rest = words.as_str();
        let mut first = true;
        // one line stays for what does not fit
        let last = rows.saturating_sub(usize::from(told + 1 < total));
        while !rest.is_empty() && row < last {
            let (piece, behind) = broken(rest, width);
            let text = format!(" {}{piece}", if first { "" } else { "  " });
            let at = Rect::new(area.x, area.y + 1 + row as u16, area.width, 1);
            frame.render_widget(Paragraph::new(Line::styled(text, tone(model, *of))), at);
            (rest, first) = (behind, false);
            row += 1;
        }
        if first {
            break;
        }
        told += 1;
    }
    if total > told && rows > 0 {
        let at = Rect::new(area.x, area.y + area.height - 1, area.width, 1);
        let words = format!(" … and {} more", total - told);
        frame.render_widget(
            Paragraph::new(Line::styled(words, tone(model, Tone::Faint))),
            at,
        );
    }
}

pub(super) fn help(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    let width = area.width.min(76);
    let height = area.height.saturating_sub(2).min(KEYS.len() as u16 + 2);
    let place = Rect::new(
        (area.width - width) / 2,
        (area.height - height) / 2,
        width,
        height,
    );
    frame.render_widget(Clear, place);
    let rows = height.saturating_sub(2) as usize;
    let from = model.help_scroll.min(KEYS.len().saturating_sub(rows));
    let mut lines = vec![Line::styled(
        format!(
            "┌─ keys {}┐",
            "─".repeat((width as usize).saturating_sub(9))
        ),
        tone(model, Tone::Heading),
    )];
    let inner = (width as usize).saturating_sub(4);
    for (key, words) in KEYS.iter().skip(from).take(rows) {
        let (text, style) = if key.is_empty() {
            ((*words).to_owned(), tone(model, Tone::Heading))
        } else {
            (format!("  {key:<18} {words}"), Style::new())
        };
        let text = fit(&text, inner);
        let used: usize = text.chars().map(|c| c.width().unwrap_or(0)).sum();
        let pad = " ".repeat(inner.saturating_sub(used));
        lines.push(Line::from(vec![
            Span::raw("│ "),
            Span::styled(text, style),
            Span::raw(format!("{pad} │")),
        ]));
    }
    let more = if from + rows < KEYS.len() {
        " j: more "
    } else {
        " any key: back "
    };
    let fill = (width as usize).saturating_sub(3 + more.len());
    lines.push(Line::styled(
        format!("└─{more}{}┘", "─".repeat(fill)),
        tone(model, Tone::Heading),
    ));
    frame.render_widget(Paragraph::new(lines), place);
}
