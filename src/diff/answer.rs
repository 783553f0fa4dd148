//! One answer of a recording, its pieces put together.

use std::collections::BTreeMap;

use serde_json::json;

use super::rules::{KEEP_ALIVES, RATE_LIMITS};
use super::sequence::{Draft, Sequence, Side, What};
use crate::session::exchange::{EndCause, Exchange};
use crate::session::format::cause_name;
use crate::wire::event::{EventHead, ResponseFold};
use crate::wire::raw::{Object, push_string, string};
use crate::wire::sse::{Frame, Framer};

/// A body that is no event stream is held up to this size: 64 MiB.
const MAX_BODY: usize = 64 << 20;

/// Where a streamed piece belongs: the item, the member, the part of the member.
type Slot = (u64, &'static str, u64);

/// An answer while it comes in.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    /// Whether it is an event stream, once that is known.
    stream: Option<bool>,
    framer: Framer,
    fold: ResponseFold,
    /// What the pieces have built.
    built: BTreeMap<Slot, String>,
    /// What a final piece says was built.
    told: BTreeMap<Slot, String>,
    events: Vec<Draft>,
    body: Vec<u8>,
    terminal: Option<Box<str>>,
    error: Option<Box<str>>,
    /// Whether events are kept one by one.
    each: bool,
}

/// The member that pieces of a kind of event build.
fn member(kind: &str) -> Option<(&'static str, bool)> {
    let (stem, end) = kind.rsplit_once('.')?;
    let whole = match end {
        "delta" => false,
        "done" => true,
        _ => return None,
    };
    let member = match stem {
        "response.output_text" => "text",
        "response.refusal" => "refusal",
        "response.function_call_arguments" | "response.mcp_call_arguments" => "arguments",
        "response.custom_tool_call_input" => "input",
        "response.reasoning_summary_text" => "summary",
        "response.reasoning_text" => "content",
        "response.code_interpreter_call_code" => "code",
        _ => return None,
    };
    Some((member, whole))
}

impl Answer {
    pub(super) fn new(each: bool) -> Self {
        Self {
            each,
            ..Self::default()
        }
    }

    /// Takes the next bytes of the body.
    pub(super) fn bytes(&mut self, bytes: &[u8], line: u32, into: &mut Sequence) {
        if self.stream.is_none() {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            self.stream = first.map(|first| !matches!(first, b'{' | b'[' | b'<' | b'"'));
        }
        let failed = self.status.is_some_and(|status| status >= 400);
        if failed || self.stream != Some(true) {
            let room = MAX_BODY.saturating_sub(self.body.len());
            self.body
                .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        if self.stream == Some(true) {
            for frame in self.framer.push(bytes) {
                self.frame(&frame, line, into);
            }
        }
    }

    fn frame(&mut self, frame: &Frame, line: u32, into: &mut Sequence) {
        match &frame.data {
            Some(data) => self.data(data, frame.event.as_deref(), line, into),
            None if !frame.comments.is_empty() => {
                let mut draft = into.draft(What::Event, "event :");
                draft.event.row = Some(KEEP_ALIVES);
                draft.event.line = line;
                let text = frame.comments.join("\n");
                let mut raw = String::new();
                push_string(&mut raw, &text);
                into.add(&mut draft, "comment", &raw);
                self.events.push(draft);
            }
            None => {}
        }
    }

    /// Takes the data of one event, or one WebSocket frame.
    pub(super) fn data(&mut self, data: &str, named: Option<&str>, line: u32, into: &mut Sequence) {
        self.fold.place = line;
        let Some(head) = EventHead::read(data) else {
            if data.trim() != "[DONE]" || self.each {
                self.other(named.unwrap_or("data"), data, line, into);
            }
            return;
        };
        let kind = head.kind.as_deref().unwrap_or("");
        self.fold.event(&head, data);
        if self.each {
            self.other(kind, data, line, into);
        }
        match kind {
            "response.completed" | "response.done" | "response.incomplete" | "response.failed" => {
                let object = Object::read(data);
                let response = object.as_ref().and_then(|it| it.value("response"));
                if self.terminal.is_none() {
                    self.terminal = Some(response.unwrap_or("{}").into());
                }
                return;
            }
            "error" => {
                self.error.get_or_insert_with(|| data.into());
                return;
            }
            "" if head.error.is_some() => {
                self.error.get_or_insert_with(|| data.into());
                return;
            }
            "response.created" | "response.in_progress" | "response.queued" => return,
            _ => {}
        }
        if let Some((member, whole)) = member(kind) {
            let Some(object) = Object::read(data) else {
                return;
            };
            let part = object
                .number("content_index")
                .or_else(|| object.number("summary_index"))
                .unwrap_or(0);
            let slot = (head.output_index.unwrap_or(0), member, part);
            let piece = ["delta", "text", "refusal", "arguments", "input", "code"]
                .into_iter()
                .find_map(|key| object.text(key));
            let piece = piece.unwrap_or_default();
            if whole {
                self.told.insert(slot, piece.into_owned());
            } else {
                self.built.entry(slot).or_default().push_str(&piece);
            }
            return;
        }
        let builds_an_item = kind.starts_with("response.") && head.output_index.is_some();
        if !builds_an_item && !self.each {
            self.other(kind, data, line, into);
        }
    }

    /// An event of its own.
    fn other(&mut self, kind: &str, data: &str, line: u32, into: &mut Sequence) {
        let mut draft = into.draft(What::Event, &format!("event {}", clip(kind)));
        draft.event.line = line;
        draft.event.row = match kind {
            "codex.rate_limits" => Some(RATE_LIMITS),
            "keepalive" | "ping" => Some(KEEP_ALIVES),
            _ => None,
        };
        if Object::read(data).is_some() {
            let raw = without(data, "sequence_number", self.each);
            into.add(&mut draft, "", &raw);
        } else {
            let mut raw = String::new();
            push_string(&mut raw, data);
            into.add(&mut draft, "data", &raw);
        }
        self.events.push(draft);
    }

    /// The events it adds up to.
    pub(super) fn finish(
        mut self,
        exchange: &Exchange,
        ordered: bool,
        into: &mut Sequence,
    ) -> Vec<Draft> {
        if self.stream == Some(true) {
            for frame in self.framer.finish() {
                let lost_its_end = exchange.answer.end == Some(EndCause::NotHeld);
                if frame.whole || lost_its_end {
                    self.frame(&frame, exchange.end_line, into);
                }
            }
        }
        let status = self.status.or(exchange.answer.status);
        let failed = status.is_some_and(|status| status >= 400);
        let body = String::from_utf8_lossy(&self.body).into_owned();
        if self.stream == Some(false) && !failed {
            self.fold.place = exchange.end_line;
            if self.fold.whole(&body) {
                self.terminal.get_or_insert_with(|| body.as_str().into());
            } else if !body.trim().is_empty() {
                self.other("body", &body, exchange.end_line, into);
            }
        }
        let mut found = Vec::new();
        if self.each {
            found.append(&mut self.events);
        } else {
            self.items(ordered, into, &mut found);
            found.append(&mut self.events);
        }
        let line = exchange.end_line.max(exchange.line);
        if failed {
            let mut draft = into.draft(What::Refusal, "refusal");
            draft.event.line = self.fold.place.max(line);
            into.add(&mut draft, "status", &status.unwrap_or(0).to_string());
            let body = match self.error.take() {
                Some(error) if self.stream == Some(true) => error.into_string(),
                _ => body,
            };
            body_part(into, &mut draft, &body);
            found.push(draft);
        } else if !self.each {
            if let Some(error) = self.error.take() {
                let mut draft = into.draft(What::Refusal, "refusal");
                draft.event.line = self.fold.place;
                let error = without(&error, "sequence_number", false);
                body_part(into, &mut draft, &error);
                found.push(draft);
            }
            if let Some(response) = self.terminal.take() {
                let mut draft = into.draft(What::Response, "response");
                draft.event.line = self.fold.place;
                let raw = without(&response, "output", false);
                into.add(&mut draft, "", &raw);
                found.push(draft);
            }
        }
        if exchange.answer.is_cut() && !failed {
            let mut draft = into.draft(What::Cut, "cut");
            draft.event.line = line;
            let cause = match exchange.answer.end {
                Some(EndCause::NotHeld) => None,
                Some(cause) => Some(cause_name(cause)),
                None => Some("no end on file"),
            };
            let told =
                json!({"cause": cause, "client_left": exchange.answer.client_left.then_some(true)});
            into.add(&mut draft, "", &told.to_string());
            found.push(draft);
        }
        found
    }

    fn items(&mut self, ordered: bool, into: &mut Sequence, found: &mut Vec<Draft>) {
        let done = std::mem::take(&mut self.fold.done);
        let mut done: Vec<_> = done.iter().enumerate().collect();
        if !ordered && done.iter().all(|(_, it)| it.output_index.is_some()) {
            done.sort_by_key(|(_, it)| it.output_index);
        }
        for (nth, item) in done {
            let mut draft = into.item(What::Item, &item.raw);
            draft.event.side = Side::Received;
            draft.nth = Some(nth as u32);
            draft.event.line = item.place;
            if let Some(raw) = item
                .output_index
                .and_then(|at| self.disagreement(at, &item.raw))
            {
                into.add(&mut draft, "streamed", &raw);
            }
            found.push(draft);
        }
        for item in std::mem::take(&mut self.fold.half) {
            let mut draft = into.item(What::Half, &item.raw);
            draft.event.line = item.place;
            if let Some(at) = item.output_index
                && let Some(raw) = self.streamed(at)
            {
                into.add(&mut draft, "streamed", &raw);
            }
            found.push(draft);
        }
    }

    /// What the pieces of an item have built, as JSON.
    fn streamed(&self, at: u64) -> Option<String> {
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for ((_, member, _), text) in self.built.range((at, "", 0)..(at + 1, "", 0)) {
            texts.entry(member).or_default().push_str(text);
        }
        (!texts.is_empty()).then(|| json!(texts).to_string())
    }

    /// What the pieces of a finished item say, where that is not what the item says.
    fn disagreement(&self, at: u64, raw: &str) -> Option<String> {
        let range = (at, "", 0)..(at + 1, "", 0);
        let item = Object::read(raw)?;
        let mut off: BTreeMap<&str, &str> = BTreeMap::new();
        for ((_, name, part), text) in self.built.range(range) {
            let whole = match *name {
                "arguments" | "input" | "code" => item.text(name).map(std::borrow::Cow::into_owned),
                "text" | "refusal" => text_of(&item, "content", *part, name),
                name => text_of(&item, name, *part, "text"),
            };
            let told = self.told.get(&(at, name, *part));
            if whole.as_deref().is_some_and(|it| it != text) || told.is_some_and(|it| it != text) {
                off.insert(name, text);
            }
        }
        (!off.is_empty()).then(|| json!(off).to_string())
    }
}

/// A text within a part of an item's list.
fn text_of(item: &Object<'_>, list: &str, part: u64, name: &str) -> Option<String> {
    let parts = item.array(list)?;
    let part = parts.get(usize::try_from(part).ok()?)?;
    Object::read(part.get())?
        .text(name)
        .map(std::borrow::Cow::into_owned)
}

/// An object without one of its members, the others as they stand.
pub(super) fn without(raw: &str, name: &str, keep: bool) -> String {
    let Some(object) = Object::read(raw).filter(|it| !keep && it.get(name).is_some()) else {
        return raw.to_owned();
    };
    let mut out = String::with_capacity(raw.len());
    out.push('{');
    for (key, value) in object.members().filter(|(key, _)| *key != name) {
        if out.len() > 1 {
            out.push(',');
        }
        push_string(&mut out, key);
        out.push(':');
        out.push_str(value.get());
    }
    out.push('}');
    out
}

fn body_part(into: &mut Sequence, draft: &mut Draft, body: &str) {
    if super::json::parse(body).is_some() {
        return into.add(draft, "body", body);
    }
    let mut raw = String::new();
    push_string(&mut raw, body);
    debug_assert!(string(&raw).is_some());
    into.add(draft, "body", &raw);
}

pub(super) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
