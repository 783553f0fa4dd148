//! Where keys lead.

use ratatui::crossterm::event::KeyCode;

use super::model::Model;
use crate::timeline::{Change, Entry, Marks, What};

/// Keys that move.
pub(super) fn moved(model: &mut Model, code: KeyCode) {
    match code {
        KeyCode::Char('j') | KeyCode::Down => scroll(model, 1),
        KeyCode::Char('k') | KeyCode::Up => scroll(model, -1),
        KeyCode::Char(' ') | KeyCode::PageDown => scroll(model, page(model)),
        KeyCode::Char('b') | KeyCode::PageUp => scroll(model, -page(model)),
        KeyCode::Char('g') | KeyCode::Home => scroll(model, isize::MIN / 2),
        KeyCode::Char('G') | KeyCode::End => scroll(model, isize::MAX / 2),
        KeyCode::Char('c') => jump(model, Marks::CUT, false, "no cut behind this"),
        KeyCode::Char('C') => jump(model, Marks::CUT, true, "no cut before this"),
        KeyCode::Char('x') => jump(model, Marks::REFUSAL, false, "no refusal behind this"),
        KeyCode::Char('X') => jump(model, Marks::REFUSAL, true, "no refusal before this"),
        KeyCode::Char('o') => jump(
            model,
            Marks::OPEN,
            false,
            "no call behind this is left open",
        ),
        KeyCode::Char('O') => jump(model, Marks::OPEN, true, "no call before this is left open"),
        KeyCode::Char(']') => jump(model, Marks::TURN, false, "no turn behind this"),
        KeyCode::Char('[') => jump(model, Marks::TURN, true, "no turn before this"),
        KeyCode::Char('}') => request(model, false),
        KeyCode::Char('{') => request(model, true),
        KeyCode::Char('.') => change(model, false),
        KeyCode::Char(',') => change(model, true),
        KeyCode::Char('n') => hit(model, false),
        KeyCode::Char('N') => hit(model, true),
        _ => {}
    }
}

pub(super) fn page(model: &Model) -> isize {
    isize::try_from(model.page().saturating_sub(1).max(1)).unwrap_or(1)
}

pub(super) fn half(model: &Model) -> isize {
    (page(model) / 2).max(1)
}

pub(super) fn scroll(model: &mut Model, by: isize) {
    if model.in_detail {
        let count = model
            .shown
            .as_ref()
            .map_or(0, |(_, _, detail)| detail.lines.len());
        model.scroll = model
            .scroll
            .saturating_add_signed(by)
            .min(count.saturating_sub(1));
        return;
    }
    let last = model.rows.len().saturating_sub(1);
    model.cursor = model.cursor.saturating_add_signed(by).min(last);
    model.scroll = 0;
}

fn jump(model: &mut Model, marks: Marks, backwards: bool, none: &str) {
    let from = model.entry().unwrap_or(0);
    match model.timeline.next(from, marks, backwards) {
        Some(to) => model.go(to),
        None => model.message = Some(none.to_owned()),
    }
}

fn request(model: &mut Model, backwards: bool) {
    let from = model.entry().unwrap_or(0);
    let is_request = |row: &&u32| {
        let entry = model.timeline.entries.get(**row as usize);
        entry.is_some_and(|entry| entry.what == What::Request)
    };
    let found = if backwards {
        model
            .rows
            .iter()
            .rev()
            .filter(|row| **row < from)
            .find(is_request)
    } else {
        model
            .rows
            .iter()
            .filter(|row| **row > from)
            .find(is_request)
    };
    match found.copied() {
        Some(to) => model.go(to),
        None => model.message = Some("no more requests that way".to_owned()),
    }
}

fn change(model: &mut Model, backwards: bool) {
    let Some(from) = model.entry() else {
        return;
    };
    // where no call is open, the next thing that happens to any
    let call = model.call();
    let changes = model.timeline.changes();
    let of_call = |change: &&Change| call.is_none_or(|call| change.call == call);
    let found = if backwards {
        let end = changes.partition_point(|change| change.entry < from);
        changes.get(..end).unwrap_or(&[]).iter().rev().find(of_call)
    } else {
        let start = changes.partition_point(|change| change.entry <= from);
        changes.get(start..).unwrap_or(&[]).iter().find(of_call)
    };
    let id = call.map_or("any call", |call| model.timeline.call_id(call));
    let id = id.to_owned();
    match found.map(|change| change.entry) {
        Some(to) => model.go(to),
        None => model.message = Some(format!("nothing more happened to {id} that way")),
    }
}

/// The entry of the next line that matches.
pub(super) fn next_hit(model: &Model, backwards: bool) -> Option<u32> {
    let search = model.search.as_ref()?;
    let from = model.entry().unwrap_or(0);
    let timeline = &model.timeline;
    let here = timeline
        .entries
        .get(from as usize)
        .map(|entry| (entry.file, entry.line));
    let is_hit = |(_, entry): &(usize, &Entry)| {
        let place = (entry.file, entry.line);
        Some(place) != here && search.hits.contains(&place)
    };
    let numbered = timeline.entries.iter().enumerate();
    let found = if backwards {
        numbered
            .rev()
            .skip(timeline.entries.len() - from as usize)
            .find(is_hit)
    } else {
        numbered.skip(from as usize + 1).find(is_hit)
    };
    found.map(|(at, _)| at as u32)
}

pub(super) fn hit(model: &mut Model, backwards: bool) {
    let Some(search) = &model.search else {
        model.message = Some("nothing was searched yet: /".to_owned());
        return;
    };
    if search.hits.is_empty() && search.progress.is_none() {
        model.message = Some("no line matches".to_owned());
        return;
    }
    if let Some(to) = next_hit(model, backwards) {
        model.go(to);
        return;
    }
    // around the end, as in less
    let at = model.cursor;
    model.cursor = if backwards {
        model.rows.len().saturating_sub(1)
    } else {
        0
    };
    match next_hit(model, backwards) {
        Some(to) => {
            model.go(to);
            let from = if backwards { "end" } else { "beginning" };
            model.message = Some(format!("search goes on from the {from}"));
        }
        None => model.cursor = at,
    }
}
