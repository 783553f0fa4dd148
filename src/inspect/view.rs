//! The model drawn on a screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar as _;

use super::model::{Model, Prompt, Tone};
use super::panels::{help, open_calls};
use crate::report::cells;
use crate::report::inspect::clock;
use crate::report::inspect::text::{letter, mark};
use crate::timeline::{Closing, Happened, Marks};

/// Where the parts of the screen are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Areas {
    list: Rect,
    detail: Rect,
    open: Rect,
    status: Rect,
}

impl Areas {
    /// How many rows the list shows.
    pub(super) fn list_rows(&self) -> usize {
        self.list.height.saturating_sub(1) as usize
    }

    /// How wide the right side is.
    pub(super) fn detail_width(&self) -> usize {
        self.detail.width.saturating_sub(2) as usize
    }

    pub(super) fn in_list(&self, column: u16, row: u16) -> bool {
        column < self.list.right() && row > self.list.top() && row < self.list.bottom()
    }

    /// The row of the list at a line of the screen.
    pub(super) fn row(&self, row: u16) -> usize {
        row.saturating_sub(self.list.top() + 1) as usize
    }
}

/// Divides a screen: the list on the left, the entry on the right, the open calls below, one line of status.
pub(super) fn areas(size: (u16, u16)) -> Areas {
    let (width, height) = size;
    let status = 1.min(height);
    // one line says what the panel is; a small screen still shows some calls
    let room = (height / 4).clamp(2, 8).min(height.saturating_sub(status));
    let open = room;
    let main = height.saturating_sub(status + open);
    let left = (u32::from(width) * 47 / 100) as u16;
    Areas {
        list: Rect::new(0, 0, left, main),
        detail: Rect::new(left, 0, width - left, main),
        open: Rect::new(0, main, width, open),
        status: Rect::new(0, main + open, width, status),
    }
}

/// Draws the model.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let size = (frame.area().width, frame.area().height);
    let areas = areas(size);
    list(model, frame, areas.list);
    detail(model, frame, areas.detail);
    open_calls(model, frame, areas.open);
    status(model, frame, areas.status);
    if model.help {
        help(model, frame);
    }
}

pub(super) fn tone(model: &Model, tone: Tone) -> Style {
    let colour = |colour: Color| {
        if model.options.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    };
    match tone {
        Tone::Plain => Style::new(),
        Tone::Heading => Style::new().add_modifier(Modifier::BOLD),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
        Tone::Bad => colour(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Good => colour(Color::Green),
        Tone::Careful => colour(Color::Yellow),
    }
}

/// The first cells of a text, so many that they fit.
pub(super) fn fit(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width {
            // what does not fit is told, where there is a cell for it
            while used >= width && !out.is_empty() {
                used -= out.pop().and_then(char::width).unwrap_or(0);
            }
            if width > 0 {
                out.push('…');
            }
            return out;
        }
        used += wide;
        out.push(c);
    }
    out
}

/// A text without its first cells.
fn from_cell(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        if used >= cells {
            return text.get(at..).unwrap_or("");
        }
        used += c.width().unwrap_or(0);
    }
    if used >= cells && cells == 0 {
        text
    } else {
        ""
    }
}

fn bar(frame: &mut Frame<'_>, area: Rect, text: &str, chosen: bool) {
    let mut style = Style::new().add_modifier(Modifier::BOLD);
    if chosen {
        style = style.add_modifier(Modifier::UNDERLINED);
    }
    let line = Rect::new(area.x, area.y, area.width, 1.min(area.height));
    frame.render_widget(
        Paragraph::new(Line::styled(fit(text, area.width as usize), style)),
        line,
    );
}

fn list(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let timeline = &model.timeline;
    let name = timeline.files.first().map_or("", |file| file.name.as_str());
    let more = timeline.files.len().saturating_sub(1);
    let mut title = cells(name);
    let width = area.width as usize;
    if more > 0 {
        let _ = write!(title, " +{more}");
    }
    // the end of a path says more than its beginning
    let long = title
        .chars()
        .count()
        .saturating_sub(width.saturating_sub(1));
    if long > 0 {
        title = format!("…{}", title.chars().skip(long + 1).collect::<String>());
    }
    bar(frame, area, &title, !model.in_detail);
    let digits = timeline
        .entries
        .last()
        .map_or(1, |entry| entry.line.max(1).ilog10() as usize + 1)
        .max(3);
    let lanes = timeline.lanes.len() > 1;
    for row in 0..model.page() {
        let Some(&at) = model.rows.get(model.top + row) else {
            break;
        };
        let Some(entry) = timeline.entries.get(at as usize) else {
            continue;
        };
        let said = model.said.get(&at).cloned().unwrap_or_default();
        let mut words = format!("{:>digits$} ", entry.line);
        if width > 50 {
            let _ = write!(words, "{:>9} ", clock(timeline, entry.time()));
        }
        if lanes {
            words.push(letter(entry.lane));
        }
        words.push(if entry.marks.has(Marks::TURN) {
            '┌'
        } else {
            ' '
        });
        words.push(mark(entry));
        words.push(change_sign(model, at));
        let folded = entry.exchange > 0
            && entry.what == crate::timeline::What::Request
            && model.folded.contains(&(entry.file, entry.exchange));
        if folded {
            words.push_str("[+] ");
        }
        words.push_str(&cells(&said.title));
        words.push(' ');
        words.push_str(&cells(&said.text));
        let mut style = if entry
            .marks
            .has(Marks::REFUSAL.with(Marks::CUT).with(Marks::OPEN))
        {
            tone(model, Tone::Bad)
        } else if entry.marks.has(Marks::TURN) {
            tone(model, Tone::Heading)
        } else {
            Style::new()
        };
        let hit = model
            .search
            .as_ref()
            .is_some_and(|search| search.hits.contains(&(entry.file, entry.line)));
        if hit {
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        let mut text = fit(&words, width.saturating_sub(1));
        if model.top + row == model.cursor {
            style = style.add_modifier(Modifier::REVERSED);
            let used: usize = text.chars().map(|c| c.width().unwrap_or(0)).sum();
            text.push_str(&" ".repeat(width.saturating_sub(used + 1)));
        }
        let line = Rect::new(area.x, area.y + 1 + row as u16, area.width, 1);
        frame.render_widget(Paragraph::new(Line::styled(text, style)), line);
    }
}

/// What happens to calls at an entry, as a sign.
fn change_sign(model: &Model, at: u32) -> char {
    let changes = model.timeline.changes_at(at);
    let opens = changes.iter().any(|change| change.what == Happened::Opened);
    let closes = changes
        .iter()
        .any(|change| matches!(change.what, Happened::Closed(how) if how != Closing::Broken));
    match (opens, closes) {
        (true, true) => '◐',
        (true, false) => '○',
        (false, true) => '●',
        (false, false) => ' ',
    }
}

fn detail(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if area.height == 0 || area.width < 3 {
        return;
    }
    for row in 0..area.height {
        frame.render_widget(Paragraph::new("│"), Rect::new(area.x, area.y + row, 1, 1));
    }
    let area = Rect::new(area.x + 2, area.y, area.width - 2, area.height);
    let Some((_, _, detail)) = &model.shown else {
        return;
    };
    let count = detail.lines.len();
    let rows = area.height.saturating_sub(1) as usize;
    let place = if count > rows && model.scroll > 0 {
        format!(" · {}/{count}", model.scroll + 1)
    } else {
        String::new()
    };
    bar(
        frame,
        area,
        &format!("{}{place}", detail.title),
        model.in_detail,
    );
    let width = area.width as usize;
    let mut row = 0;
    for line in detail.lines.iter().skip(model.scroll) {
        let style = tone(model, line.tone);
        let mut rest = from_cell(&line.text, model.sideways);
        loop {
            if row >= rows {
                return;
            }
            let (piece, behind) = broken(rest, width);
            let at = Rect::new(area.x, area.y + 1 + row as u16, area.width, 1);
            frame.render_widget(Paragraph::new(Line::styled(piece.to_owned(), style)), at);
            row += 1;
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
    }
}

/// The part of a text that fits a line, and the rest.
pub(super) fn broken(text: &str, width: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width && at > 0 {
            let (piece, behind) = text.split_at_checked(at).unwrap_or((text, ""));
            // between words, where one ends not far before
            return match piece.rfind(' ') {
                Some(space)
                    if piece.len() - space < width / 2 && !piece.trim().is_empty() && space > 0 =>
                {
                    let (piece, rest) = text.split_at_checked(space).unwrap_or((piece, behind));
                    (piece, rest.strip_prefix(' ').unwrap_or(rest))
                }
                _ => (piece, behind),
            };
        }
        used += wide;
    }
    (text, "")
}

fn status(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let timeline = &model.timeline;
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let width = area.width as usize;
    if let Some((prompt, text)) = &model.prompt {
        let sign = match prompt {
            Prompt::Search => "/",
            Prompt::Filter => "filter: ",
            Prompt::Export => "write the right side into: ",
            Prompt::ExportAll => "write the transcript into: ",
            Prompt::SetMark => "set mark: ",
            Prompt::GoMark => "go to mark: ",
        };
        let words = format!("{sign}{}▏", cells(text));
        let long = words.chars().count().saturating_sub(width);
        let words: String = words.chars().skip(long).collect();
        frame.render_widget(Paragraph::new(Line::from(words)), area);
        return;
    }
    let place = model
        .entry()
        .and_then(|at| timeline.entries.get(at as usize));
    let mut left = match &model.message {
        Some(message) => cells(message),
        None => place.map_or_else(String::new, |entry| {
            let name = timeline
                .files
                .get(entry.file as usize)
                .map_or("", |file| file.name.as_str());
            let name = name.rsplit('/').next().unwrap_or(name);
            format!("{}:{}", cells(name), entry.line)
        }),
    };
    if let Some(search) = &model.search {
        let count = search.hits.len();
        let more = if search.more { "+" } else { "" };
        let _ = match search.progress {
            Some(parts) => {
                write!(
                    left,
                    "  /{} {count}… {}%",
                    cells(&search.pattern),
                    parts / 10
                )
            }
            None => write!(left, "  /{} {count}{more}", cells(&search.pattern)),
        };
    }
    if !model.filter.is_empty() {
        let _ = write!(left, "  [{}]", cells(&model.filter.words()));
    }
    let mut right = format!(
        "{}/{}",
        model.cursor + usize::from(!model.rows.is_empty()),
        model.rows.len()
    );
    let hidden = timeline.entries.len().saturating_sub(model.rows.len());
    if hidden > 0 {
        let _ = write!(right, " ({hidden} hidden)");
    }
    if let Some(parts) = model.progress {
        right = format!("reading {}% · {right}", parts / 10);
    } else if model.options.follow {
        right = format!("following · {right}");
    }
    right.push_str("  ?=keys");
    let room = width.saturating_sub(right.chars().count() + 1);
    let left = fit(&left, room);
    let used: usize = left.chars().map(|c| c.width().unwrap_or(0)).sum();
    let gap = " ".repeat(width.saturating_sub(used + right.chars().count()));
    let line = Line::from(vec![Span::styled(format!("{left}{gap}{right}"), reversed)]);
    frame.render_widget(Paragraph::new(line), area);
}
