//! A session as the lines and lists that parts are taken out of.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::session::body::{Bases, Stored, stored};
use crate::wire::item::ItemHead;
use crate::wire::lines::Values;
use crate::wire::raw::{Object, array, compact, push_string, range_in};

/// A session as lines; a document of one JSON value has one.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) lines: Vec<String>,
}

/// A list inside one line, as text.
pub(super) struct List {
    /// The line, from 0.
    pub(super) line: usize,
    head: String,
    pub(super) elements: Vec<String>,
    tail: String,
}

impl List {
    /// The line with some of the elements.
    pub(super) fn with(&self, kept: &[usize]) -> String {
        let texts: Vec<&str> = kept
            .iter()
            .filter_map(|at| self.elements.get(*at).map(String::as_str))
            .collect();
        format!("{}{}{}", self.head, texts.join(","), self.tail)
    }
}

/// Where lists of items stand in a line.
const LISTS: [&[&str]; 7] = [
    &["payload", "replacement_history"],
    &["body", "input"],
    &["request", "body", "input"],
    &["request", "input"],
    &["input"],
    &["items"],
    &[],
];

impl Document {
    /// Takes a text apart. Bodies of a recording that are stored as differences become whole, and streams are split
    /// at their events, so that each can go by itself. What is no JSON is left out.
    pub(super) fn read(text: &str) -> Self {
        let trimmed = text.trim_start_matches('\u{feff}').trim();
        if serde_json::from_str::<serde::de::IgnoredAny>(trimmed).is_ok() && trimmed.contains('\n')
        {
            return Self {
                lines: vec![compact(trimmed)],
            };
        }
        let mut lines = Vec::new();
        let mut recording = Recording::default();
        for line in trimmed.lines() {
            for value in Values::new(line.trim_matches('\0')) {
                let Ok(value) = value else { continue };
                match Object::read(value) {
                    Some(object) if is_line(&object) => {
                        recording.add(&object, value, &mut lines);
                    }
                    _ => lines.push(value.to_owned()),
                }
            }
        }
        Self { lines }
    }

    pub(super) fn text(&self) -> String {
        self.with_lines(&(0..self.lines.len()).collect::<Vec<_>>())
    }

    /// The session with the ordinals of its lines (E4) counted anew.
    pub(super) fn counted(&self) -> Self {
        let lines = self.lines.iter().enumerate().map(|(at, line)| {
            let has = Object::read(line).is_some_and(|object| object.number("ordinal").is_some());
            if has {
                crate::repair::with(line, &[("ordinal", Some(&at.to_string()))])
            } else {
                line.clone()
            }
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// The session with some of its lines.
    pub(super) fn with_lines(&self, kept: &[usize]) -> String {
        let texts = kept.iter().filter_map(|at| self.lines.get(*at));
        let mut out = String::with_capacity(texts.clone().map(|text| text.len() + 1).sum());
        for text in texts {
            out.push_str(text);
            out.push('\n');
        }
        out
    }

    /// The session with another text for one line.
    pub(super) fn with_line(&self, at: usize, text: &str) -> String {
        let mut out = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            out.push_str(if number == at { text } else { line });
            out.push('\n');
        }
        out
    }

    /// The lists of items in a line.
    pub(super) fn lists(&self, line: usize) -> Vec<List> {
        let Some(text) = self.lines.get(line) else {
            return Vec::new();
        };
        let found = LISTS.iter().filter_map(|path| {
            let mut raw = text.as_str();
            for key in *path {
                raw = Object::read(raw)?.get(key)?.get();
            }
            let elements = array(raw)?;
            let range = range_in(text, raw)?;
            let (head, rest) = text.split_at_checked(range.start)?;
            let (_, tail) = rest.split_at_checked(range.len())?;
            Some(List {
                line,
                head: format!("{head}["),
                elements: elements.iter().map(|it| it.get().to_owned()).collect(),
                tail: format!("]{tail}"),
            })
        });
        found.collect()
    }

    /// The lines in groups of which each stays or goes as a whole; lines that must stay are in none.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups = Groups::default();
        for (at, line) in self.lines.iter().enumerate() {
            let Some(object) = Object::read(line) else {
                groups.single(at);
                continue;
            };
            let kind = object.text("kind");
            match (kind.as_deref(), object.small("exchange")) {
                (Some("session"), _) => {}
                // an exchange goes as a whole first; see `singles`
                (Some(_), Some(exchange)) => groups.add(format!("exchange {exchange}"), at),
                (Some(_), None) => groups.single(at),
                (None, _) if at == 0 && is_meta(&object) => {}
                (None, _) => {
                    let item = match object.text("type").as_deref() {
                        Some("response_item") => object.get("payload").map(RawValue::get),
                        _ => Some(line.as_str()),
                    };
                    groups.item(at, item.unwrap_or(""));
                }
            }
        }
        groups.all
    }

    /// The lines that can go one by one: parts of answers beside what [`Self::groups`] says.
    pub(super) fn parts(&self) -> Vec<Vec<usize>> {
        let parts = self.lines.iter().enumerate().filter(|(_, line)| {
            let kind = Object::read(line).and_then(|object| object.text("kind").map(String::from));
            matches!(
                kind.as_deref(),
                Some("chunk" | "frame" | "client_closed" | "gap")
            )
        });
        parts.map(|(at, _)| vec![at]).collect()
    }
}

/// The items of a list in groups: a call with its outputs, everything else by itself.
pub(super) fn item_groups(elements: &[String]) -> Vec<Vec<usize>> {
    let mut groups = Groups::default();
    for (at, element) in elements.iter().enumerate() {
        groups.item(at, element);
    }
    groups.all
}

#[derive(Default)]
struct Groups {
    all: Vec<Vec<usize>>,
    known: BTreeMap<String, usize>,
}

impl Groups {
    fn single(&mut self, at: usize) {
        self.all.push(vec![at]);
    }

    fn add(&mut self, name: String, at: usize) {
        let next = self.all.len();
        let group = *self.known.entry(name).or_insert(next);
        match self.all.get_mut(group) {
            Some(group) => group.push(at),
            None => self.all.push(vec![at]),
        }
    }

    fn item(&mut self, at: usize, text: &str) {
        let head: ItemHead<'_> = serde_json::from_str(text).unwrap_or_default();
        let kind = head.item_kind();
        match (kind.family(), head.call_id.or(head.approval_request_id)) {
            (Some(family), Some(id)) => self.add(format!("{family:?} {id}"), at),
            _ => self.single(at),
        }
    }
}

fn is_meta(object: &Object<'_>) -> bool {
    let kind = object.text("type");
    kind.as_deref() == Some("session_meta")
        || (kind.is_none() && object.get("record_type").is_none())
}

/// What is needed to write the lines of a recording so that each stands for itself.
#[derive(Default)]
struct Recording {
    bases: Bases,
    /// Text of a stream that does not end an event yet, by exchange.
    open: BTreeMap<u32, (String, String)>,
}

/// Whether a value is a line of a recording.
fn is_line(object: &Object<'_>) -> bool {
    object.get("kind").is_some()
        && (object.get("at_us").is_some() || object.get("format").is_some())
}

impl Recording {
    fn add(&mut self, object: &Object<'_>, text: &str, lines: &mut Vec<String>) {
        let exchange = object.small("exchange").unwrap_or(0);
        match object.text("kind").as_deref() {
            Some("request") => {
                self.flush(exchange, lines);
                lines.push(self.request(object, text, exchange));
            }
            Some("chunk") => match object.text("text") {
                Some(part) => self.chunk(exchange, object, &part, lines),
                None => lines.push(text.to_owned()),
            },
            _ => {
                self.flush(exchange, lines);
                lines.push(text.to_owned());
            }
        }
    }

    /// The request with its body whole.
    fn request(&mut self, object: &Object<'_>, text: &str, exchange: u32) -> String {
        let Ok(Stored::Bytes(bytes)) = stored(object, &mut self.bases, exchange) else {
            return text.to_owned();
        };
        let Ok(body) = String::from_utf8(bytes) else {
            return text.to_owned();
        };
        if serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err() {
            return text.to_owned();
        }
        crate::repair::with(
            text,
            &[
                ("body_delta", None),
                ("body_text", None),
                ("body_base64", None),
                ("body", Some(&body)),
            ],
        )
    }

    fn chunk(&mut self, exchange: u32, object: &Object<'_>, part: &str, lines: &mut Vec<String>) {
        let mut at = object.get("at_us").map_or("0", |raw| raw.get()).to_owned();
        let mut whole = part.to_owned();
        if let Some((begun, since)) = self.open.remove(&exchange) {
            whole = begun + &whole;
            at = since;
        }
        while let Some(end) = whole.find("\n\n") {
            let rest = whole.split_off(end + 2);
            lines.push(chunk_line(exchange, &at, &whole));
            whole = rest;
        }
        if !whole.is_empty() {
            self.open.insert(exchange, (whole, at));
        }
    }

    fn flush(&mut self, exchange: u32, lines: &mut Vec<String>) {
        if let Some((rest, at)) = self.open.remove(&exchange) {
            lines.push(chunk_line(exchange, &at, &rest));
        }
    }
}

fn chunk_line(exchange: u32, at: &str, text: &str) -> String {
    let mut out = format!(r#"{{"kind":"chunk","exchange":{exchange},"at_us":{at},"text":"#);
    push_string(&mut out, text);
    out.push('}');
    out
}

/// The JSON in the `data:` line of an event, with what stands around it.
pub(super) fn event(text: &str) -> Option<(String, Value, String)> {
    let start = text.find("data: ")? + "data: ".len();
    let (head, rest) = text.split_at_checked(start)?;
    let end = rest.find('\n').unwrap_or(rest.len());
    let (data, tail) = rest.split_at_checked(end)?;
    Some((
        head.to_owned(),
        serde_json::from_str(data).ok()?,
        tail.to_owned(),
    ))
}
