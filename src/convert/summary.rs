//! What each answer of a recording holds, counted from its bytes.

use std::collections::BTreeMap;

use super::walk::{Body, Chunk, Whole};
use crate::wire::event::{EventHead, ResponseFold, Terminal};
use crate::wire::raw::Object;
use crate::wire::sse::{Frame, Framer};

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

/// An answer while its bytes are counted: of a stream one event is held at a time.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: Counts,
    fold: ResponseFold,
    framer: Framer,
    style: Style,
    /// A body that is no stream, and bytes of which it is not known yet.
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Undecided,
    Stream,
    Text,
}

/// A body that is no stream is held up to this size: 256 MiB.
const MAX_BODY: usize = 256 << 20;

impl Tally {
    /// Takes the next chunk of the body.
    pub fn chunk(&mut self, chunk: &Chunk) {
        self.counts.rebuilt |= chunk.rebuilt;
        if chunk.encoded {
            return;
        }
        if self.style == Style::Stream {
            return self.stream(&chunk.bytes);
        }
        let room = MAX_BODY - self.text.len().min(MAX_BODY);
        let bytes = chunk.bytes.get(..room).unwrap_or(&chunk.bytes);
        self.text.extend_from_slice(bytes);
        if self.style == Style::Undecided {
            let first = self.text.iter().find(|byte| !byte.is_ascii_whitespace());
            match first {
                None => {}
                // no line of an event stream begins like this
                Some(b'{' | b'[' | b'<' | b'"') => self.style = Style::Text,
                Some(_) => {
                    self.style = Style::Stream;
                    let text = std::mem::take(&mut self.text);
                    self.stream(&text);
                }
            }
        }
    }

    fn stream(&mut self, bytes: &[u8]) {
        for frame in self.framer.push(bytes) {
            self.frame(&frame);
        }
    }

    fn frame(&mut self, frame: &Frame) {
        if let Some(data) = frame.data.as_deref().filter(|_| frame.whole) {
            self.counts.form = Form::Events;
            event(
                &mut self.counts,
                &mut self.fold,
                frame.event.as_deref(),
                data,
            );
        }
    }

    /// Takes a message of a WebSocket.
    pub fn message(&mut self, text: &str) {
        self.counts.form = Form::Events;
        event(&mut self.counts, &mut self.fold, None, text);
    }

    /// What was counted of this exchange.
    fn finish(mut self, whole: &Whole) -> Counts {
        for frame in self.framer.finish() {
            self.frame(&frame);
        }
        match self.style {
            Style::Text => whole_body(&mut self.counts, &mut self.fold, &self.text),
            Style::Stream if self.counts.form == Form::None => self.counts.form = Form::Text,
            Style::Stream | Style::Undecided => {}
        }
        let fold = self.fold;
        Counts {
            exchange: whole.number,
            line: whole.line,
            request: match whole.connection {
                Some(_) => format!("WS {}", whole.path),
                None => format!("{} {}", whole.method, whole.path),
            },
            request_held: !matches!(whole.body, Body::NotHeld(_)),
            status: whole.status,
            end: whole.end.clone(),
            events: fold.events,
            unreadable: fold.unread,
            output_items: fold.done.len() as u32,
            terminal: fold.terminal,
            response_id: fold.id,
            ..self.counts
        }
    }
}

/// Counts an answer.
pub fn count(mut whole: Whole) -> Counts {
    let tally = whole.tally.take().unwrap_or_else(|| {
        let mut tally = Box::<Tally>::default();
        whole.chunks.iter().for_each(|it| tally.chunk(it));
        whole.frames.iter().for_each(|(_, it)| tally.message(it));
        tally
    });
    tally.finish(&whole)
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
