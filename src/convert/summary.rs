//! What each answer of a recording holds, counted from its bytes.

use std::collections::BTreeMap;

use super::walk::{Body, Whole};
use crate::wire::event::{EventHead, ResponseFold, Terminal};
use crate::wire::raw::Object;
use crate::wire::sse::{Mode, frames};

/// How an answer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// There is none on file.
    #[default]
    None,
    /// As an event stream.
    Events,
    /// As one JSON body.
    Json,
    /// As something else.
    Text,
}

impl Form {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Events => "events",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// One answer, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The exchange.
    pub exchange: u32,
    /// The line of its request.
    pub line: u32,
    /// Method and path of the request; `WS` for a WebSocket message.
    pub request: String,
    /// Whether the request's body is on file.
    pub request_held: bool,
    /// The status.
    pub status: Option<u16>,
    /// How it came.
    pub form: Form,
    /// Whether its events only say what the source says.
    pub rebuilt: bool,
    /// Events: data that is a JSON object. `[DONE]` is none.
    pub events: u32,
    /// Data that is neither JSON nor `[DONE]`.
    pub unreadable: u32,
    /// Events by type.
    pub types: BTreeMap<String, u32>,
    /// `response.output_item.added`.
    pub opened_items: u32,
    /// `response.output_item.done`; for a JSON body the elements of its `output`.
    pub closed_items: u32,
    /// Closed items, and those that only the `output` of the last event holds.
    pub output_items: u32,
    /// Closed items whose type ends in `_call`, by type.
    pub tool_calls: BTreeMap<String, u32>,
    /// The last word.
    pub terminal: Option<Terminal>,
    /// The response's id.
    pub response_id: Option<String>,
    /// Why the transport ended.
    pub end: Option<String>,
}

/// Counts an answer.
pub fn count(whole: &Whole) -> Counts {
    let mut counts = Counts {
        exchange: whole.number,
        line: whole.line,
        request: match whole.connection {
            Some(_) => format!("WS {}", whole.path),
            None => format!("{} {}", whole.method, whole.path),
        },
        request_held: !matches!(whole.body, Body::NotHeld(_)),
        status: whole.status,
        rebuilt: whole.chunks.iter().any(|it| it.rebuilt),
        end: whole.end.clone(),
        ..Counts::default()
    };
    let mut fold = ResponseFold::default();
    if whole.connection.is_some() && !whole.frames.is_empty() {
        counts.form = Form::Events;
        for (_, text) in &whole.frames {
            event(&mut counts, &mut fold, None, text);
        }
    } else {
        let body = whole.answer();
        if whole.is_stream() {
            let found = frames(&body, Mode::Strict);
            for frame in found.iter().filter(|it| it.whole) {
                if let Some(data) = &frame.data {
                    counts.form = Form::Events;
                    event(&mut counts, &mut fold, frame.event.as_deref(), data);
                }
            }
            if counts.form == Form::None {
                counts.form = Form::Text;
            }
        } else if !body.is_empty() {
            whole_body(&mut counts, &mut fold, &body);
        }
    }
    counts.events = fold.events;
    counts.unreadable = fold.unread;
    counts.output_items = fold.done.len() as u32;
    counts.terminal = fold.terminal;
    counts.response_id = fold.id;
    counts
}

fn whole_body(counts: &mut Counts, fold: &mut ResponseFold, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    let Some(object) = Object::read(&text) else {
        counts.form = Form::Text;
        return;
    };
    counts.form = Form::Json;
    if fold.whole(&text) {
        // those of a response that is still under way, too
        for item in object.array("output").unwrap_or_default() {
            closed(counts, item.get());
        }
    }
}

fn event(counts: &mut Counts, fold: &mut ResponseFold, name: Option<&str>, data: &str) {
    if let Some(head) = EventHead::read_named(data, name) {
        let kind = head.kind.as_deref().unwrap_or("");
        *counts.types.entry(kind.to_owned()).or_default() += 1;
        match kind {
            "response.output_item.added" => counts.opened_items += 1,
            "response.output_item.done" => {
                if let Some(item) = head.item {
                    closed(counts, item.get());
                }
            }
            _ => {}
        }
    }
    fold.named(name, data);
}

fn closed(counts: &mut Counts, item: &str) {
    counts.closed_items += 1;
    let kind = Object::read(item).and_then(|it| it.text("type").map(std::borrow::Cow::into_owned));
    if let Some(kind) = kind.filter(|it| it.ends_with("_call")) {
        *counts.tool_calls.entry(kind).or_default() += 1;
    }
}
