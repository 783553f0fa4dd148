//! A key, or what a helper found, taken into the model.

use std::sync::Arc;

use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind,
};
use regex::bytes::Regex;

use super::help::KEYS;
use super::judge::{self, Judgement};
use super::list;
use super::model::{Model, Pane, Prompt, Search};
use super::moves::{half, hit, moved, next_hit, page, scroll};
use super::search;
use super::view;
use crate::timeline::{Filter, NONE, Source, Timeline};

/// What happened.
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was used.
    Mouse(MouseEvent),
    /// The screen has another size: width and height.
    Resize(u16, u16),
    /// The files were read (again).
    Loaded(Arc<Timeline>, Vec<Box<dyn Source>>),
    /// The files could not be read again.
    LoadFailed(String),
    /// So much was read, in parts of a thousand.
    Progress(u32),
    /// A search found lines of a file, and stands at so many parts of a thousand; `None` when it is over.
    Found(u32, u16, Vec<u32>, Option<u32>),
    /// What the strategies do at a request, by the entry it stands at.
    Judged(u32, Vec<Judgement>),
    /// Something outside was done, or not; in words.
    Told(String),
}

/// What is to be done outside.
#[derive(Debug)]
pub enum Action {
    /// Search all files.
    Search(u32, Regex),
    /// Stop searching.
    StopSearch,
    /// Judge the strategies at an entry of a file and lane.
    Judge {
        /// The entry of the request, or [`NONE`].
        request: u32,
        /// The file.
        file: u16,
        /// The lane.
        lane: u16,
        /// The entry to judge at.
        entry: u32,
    },
    /// Write a text into a new file.
    Write(String, String),
    /// Write the transcript of what passes the filter into a new file.
    WriteAll(String, Filter),
    /// Put a text into the clipboard.
    Copy(String),
    /// Stop, as the shell's user asked.
    Suspend,
}

/// Takes a message into the model and returns what has to be done outside.
pub fn update(model: &mut Model, message: Message) -> Vec<Action> {
    let mut actions = Vec::new();
    match message {
        Message::Key(key) if key.kind != KeyEventKind::Release => {
            model.message = None;
            pressed(model, key, &mut actions);
        }
        Message::Key(_) => {}
        Message::Mouse(event) => mouse(model, event),
        Message::Resize(width, height) => {
            model.size = (width, height);
            model.shown = None;
        }
        Message::Loaded(timeline, sources) => {
            model.progress = None;
            model.replace(timeline, sources);
        }
        Message::LoadFailed(why) => {
            model.progress = None;
            model.message = Some(why);
        }
        Message::Progress(parts) => model.progress = Some(parts),
        Message::Found(number, file, hits, progress) => found(model, number, file, hits, progress),
        Message::Judged(request, found) => {
            model.judged = Some((request, found));
            model.shown = None;
        }
        Message::Told(words) => model.message = Some(words),
    }
    if model.pane == Pane::Strategies {
        actions.extend(judgement(model));
    }
    model.prepare();
    actions
}

/// Asks for the strategies at the cursor's request, unless they are known.
fn judgement(model: &Model) -> Option<Action> {
    let at = model.entry()?;
    let lane = model.lane(at)?;
    let request = judge::request(&model.timeline, lane, at).map_or(NONE, |asked| asked.entry);
    if model.judged.as_ref().is_some_and(|(of, _)| *of == request) {
        return None;
    }
    Some(Action::Judge {
        request,
        file: model.timeline.lanes.get(lane as usize)?.file,
        lane,
        entry: at,
    })
}

fn pressed(model: &mut Model, key: KeyEvent, actions: &mut Vec<Action>) {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control {
        match key.code {
            KeyCode::Char('c') => model.over = true,
            KeyCode::Char('z') => actions.push(Action::Suspend),
            KeyCode::Char('u') if model.prompt.is_some() => {
                if let Some((_, text)) = &mut model.prompt {
                    text.clear();
                }
            }
            _ if model.prompt.is_some() => {}
            KeyCode::Char('d') => scroll(model, half(model)),
            KeyCode::Char('u') => scroll(model, -half(model)),
            KeyCode::Char('f') => scroll(model, page(model)),
            KeyCode::Char('b') => scroll(model, -page(model)),
            KeyCode::Char('l') => model.shown = None,
            _ => {}
        }
        return;
    }
    if let Some((prompt, text)) = model.prompt.take() {
        typed(model, prompt, text, key, actions);
        return;
    }
    if model.help {
        match key.code {
            KeyCode::Char('j') | KeyCode::Down => model.help_scroll += 1,
            KeyCode::Char('k') | KeyCode::Up => {
                model.help_scroll = model.help_scroll.saturating_sub(1);
            }
            KeyCode::Char(' ') | KeyCode::PageDown => model.help_scroll += 10,
            KeyCode::Char('b') | KeyCode::PageUp => {
                model.help_scroll = model.help_scroll.saturating_sub(10);
            }
            _ => model.help = false,
        }
        model.help_scroll = model.help_scroll.min(KEYS.len());
        return;
    }
    match key.code {
        KeyCode::Char('q') => model.over = true,
        KeyCode::Char('?') => {
            model.help = true;
            model.help_scroll = 0;
        }
        KeyCode::Esc => {
            model.in_detail = false;
            if let Some(search) = model
                .search
                .as_mut()
                .filter(|search| search.progress.is_some())
            {
                search.progress = None;
                actions.push(Action::StopSearch);
                model.message = Some("search stopped".to_owned());
            }
        }
        KeyCode::Tab | KeyCode::Enter => model.in_detail = !model.in_detail,
        KeyCode::Char('h') | KeyCode::Left => model.sideways = model.sideways.saturating_sub(8),
        KeyCode::Char('l') | KeyCode::Right => model.sideways = (model.sideways + 8).min(4000),
        KeyCode::Char('v') => {
            model.pane = match model.pane {
                Pane::Text => Pane::Json,
                Pane::Json => Pane::Raw,
                _ => Pane::Text,
            };
            model.scroll = 0;
        }
        KeyCode::Char('r') => show(model, Pane::Request),
        KeyCode::Char('t') => show(model, Pane::Bars),
        KeyCode::Char('T') => {
            model.by_time = !model.by_time;
            model.pane = Pane::Bars;
            model.shown = None;
        }
        KeyCode::Char('s') => show(model, Pane::Strategies),
        KeyCode::Char('d') => {
            model.all = !model.all;
            list::refresh(model);
        }
        KeyCode::Char('z') => fold(model),
        KeyCode::Char('Z') => fold_all(model),
        KeyCode::Char('/') => model.prompt = Some((Prompt::Search, String::new())),
        KeyCode::Char('f') => model.prompt = Some((Prompt::Filter, model.filter.words())),
        KeyCode::Char('F') => filter(model, Filter::default()),
        KeyCode::Char('!') => {
            let errors = !model.filter.errors;
            filter(
                model,
                Filter {
                    errors,
                    ..model.filter.clone()
                },
            );
        }
        KeyCode::Char('e') => model.prompt = Some((Prompt::Export, String::new())),
        KeyCode::Char('E') => model.prompt = Some((Prompt::ExportAll, String::new())),
        KeyCode::Char('m') => model.prompt = Some((Prompt::SetMark, String::new())),
        KeyCode::Char('\'') => model.prompt = Some((Prompt::GoMark, String::new())),
        KeyCode::Char('y') => actions.push(Action::Copy(seen(model))),
        KeyCode::Char('Y') => match model.call() {
            Some(call) => actions.push(Action::Copy(model.timeline.call_id(call).to_owned())),
            None => model.message = Some("no call here".to_owned()),
        },
        code => moved(model, code),
    }
}

fn show(model: &mut Model, pane: Pane) {
    model.pane = if model.pane == pane { Pane::Text } else { pane };
    model.scroll = 0;
}

fn filter(model: &mut Model, filter: Filter) {
    model.filter = filter;
    model.revealed.clear();
    list::refresh(model);
    if model.rows.is_empty() {
        model.message = Some("nothing passes the filter; F takes it away".to_owned());
    }
}

fn fold(model: &mut Model) {
    let entry = model
        .entry()
        .and_then(|at| model.timeline.entries.get(at as usize).copied());
    let Some(entry) = entry.filter(|entry| entry.exchange > 0) else {
        model.message = Some("no exchange here to fold".to_owned());
        return;
    };
    let key = (entry.file, entry.exchange);
    if !model.folded.remove(&key) {
        model.folded.insert(key);
    }
    model.revealed.clear();
    list::refresh(model);
}

fn fold_all(model: &mut Model) {
    if model.folded.is_empty() {
        let entries = model
            .timeline
            .entries
            .iter()
            .filter(|entry| entry.exchange > 0);
        model.folded = entries.map(|entry| (entry.file, entry.exchange)).collect();
    } else {
        model.folded.clear();
    }
    model.revealed.clear();
    list::refresh(model);
}

/// What the right side shows, as text.
fn seen(model: &Model) -> String {
    let lines = model.shown.iter().flat_map(|(_, _, detail)| &detail.lines);
    let texts: Vec<&str> = lines.map(|line| line.text.as_str()).collect();
    texts.join("\n") + "\n"
}

/// A key at a prompt.
fn typed(
    model: &mut Model,
    prompt: Prompt,
    mut text: String,
    key: KeyEvent,
    actions: &mut Vec<Action>,
) {
    if matches!(prompt, Prompt::SetMark | Prompt::GoMark) {
        let (KeyCode::Char(name), Some(at)) = (key.code, model.entry()) else {
            return;
        };
        if prompt == Prompt::SetMark {
            model.marks.insert(name, at);
            model.message = Some(format!("mark {name}"));
        } else if let Some(to) = model.marks.get(&name).copied() {
            model.marks.insert('\'', at);
            model.go(to);
        } else {
            model.message = Some(format!("no mark {name}"));
        }
        return;
    }
    match key.code {
        KeyCode::Esc => return,
        KeyCode::Backspace if text.pop().is_none() => return,
        KeyCode::Char(c) if text.len() < 1000 => text.push(c),
        KeyCode::Enter => {
            entered(model, prompt, &text, actions);
            return;
        }
        _ => {}
    }
    model.prompt = Some((prompt, text));
}

fn entered(model: &mut Model, prompt: Prompt, text: &str, actions: &mut Vec<Action>) {
    match prompt {
        Prompt::Search if text.is_empty() => hit(model, false),
        Prompt::Search => match search::pattern(text) {
            Ok(pattern) => {
                let number = model.search.as_ref().map_or(0, |search| search.number) + 1;
                model.search = Some(Search {
                    pattern: text.to_owned(),
                    progress: Some(0),
                    number,
                    waits: true,
                    ..Search::default()
                });
                actions.push(Action::Search(number, pattern));
            }
            Err(why) => model.message = Some(why),
        },
        Prompt::Filter => match Filter::parse(text) {
            Ok(found) => filter(model, found),
            Err(why) => model.message = Some(why),
        },
        Prompt::Export if !text.is_empty() => {
            actions.push(Action::Write(text.to_owned(), seen(model)));
        }
        Prompt::ExportAll if !text.is_empty() => {
            actions.push(Action::WriteAll(text.to_owned(), model.filter.clone()));
        }
        _ => {}
    }
}

fn found(model: &mut Model, number: u32, file: u16, hits: Vec<u32>, progress: Option<u32>) {
    let Some(search) = model
        .search
        .as_mut()
        .filter(|search| search.number == number)
    else {
        return;
    };
    for line in hits {
        if search.hits.len() >= search::MAX_HITS {
            search.more = true;
            break;
        }
        search.hits.insert((file, line));
    }
    search.progress = progress;
    if search.waits && !search.hits.is_empty() {
        let waits = search.progress.is_some();
        // the first hit behind the cursor, as soon as there is one
        let went = next_hit(model, false);
        if let Some(search) = model.search.as_mut() {
            search.waits = waits && went.is_none();
        }
        if let Some(to) = went {
            model.go(to);
        } else if !waits {
            hit(model, false);
        }
    }
    let none = model
        .search
        .as_ref()
        .is_some_and(|search| search.hits.is_empty() && search.progress.is_none());
    if none {
        model.message = Some("no line matches".to_owned());
    }
}

fn mouse(model: &mut Model, event: MouseEvent) {
    let areas = view::areas(model.size);
    let in_list = areas.in_list(event.column, event.row);
    let side = |model: &mut Model, by: isize, in_list: bool| {
        let before = model.in_detail;
        model.in_detail = !in_list;
        scroll(model, by);
        model.in_detail = before;
    };
    match event.kind {
        MouseEventKind::ScrollDown => side(model, 3, in_list),
        MouseEventKind::ScrollUp => side(model, -3, in_list),
        MouseEventKind::Down(_) if in_list => {
            model.in_detail = false;
            let row = model.top + areas.row(event.row);
            if row < model.rows.len() {
                model.cursor = row;
                model.scroll = 0;
            }
        }
        MouseEventKind::Down(_) => model.in_detail = true,
        _ => {}
    }
}
