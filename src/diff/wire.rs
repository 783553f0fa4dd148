//! The sequence of a recording.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use serde_json::json;

use super::answer::{Answer, clip};
use super::disk;
use super::history::{History, Placed, Told};
use super::rules::{BESIDE, OTHER};
use super::sequence::{Draft, Lane, NO_LANE, Origin, Sequence, Side, What};
use super::{Layer, Reading};
use crate::ids::LineNo;
use crate::session::body::{Bases, Stored, stored};
use crate::session::exchange::{self, Exchange, Purpose, Recording, Transport};
use crate::session::format::HeaderLines;
use crate::session::lanes::Headers;
use crate::wire::lines::{LineReader, Values, trim};
use crate::wire::raw::{Object, push_string};
use crate::wire::request::{Input, RequestHead};

/// Reads the sequence of a recording; `reader` gives its file once more.
pub(super) fn read<R: Read>(
    recording: &Recording,
    reader: R,
    reading: &Reading,
) -> io::Result<Sequence> {
    let mut walk = Walk::new(recording, reading);
    let mut lines = LineReader::new(reader);
    let is_log = recording.origin == exchange::Origin::Events;
    while let Some(line) = lines.next_line()? {
        let (bytes, _) = trim(&line);
        let text = String::from_utf8_lossy(bytes);
        for value in Values::new(&text).flatten() {
            if let Some(object) = Object::read(value) {
                if is_log {
                    walk.logged(value, &object, line.number);
                } else {
                    walk.line(&object, line.number);
                }
            }
        }
    }
    Ok(walk.finish())
}

struct Walk<'a> {
    recording: &'a Recording,
    reading: &'a Reading,
    into: Sequence,
    bases: Bases,
    history: History<'a>,
    /// What is told so far, by index of the exchange.
    told: Vec<Vec<Draft>>,
    live: BTreeMap<u32, (usize, Answer)>,
    current: BTreeMap<u32, u32>,
    beside: Vec<Draft>,
    next: usize,
}

impl<'a> Walk<'a> {
    fn new(recording: &'a Recording, reading: &'a Reading) -> Self {
        let mut into = Sequence {
            origin: if recording.origin == exchange::Origin::Recorded {
                Origin::Recording
            } else {
                Origin::Converted
            },
            ..Sequence::default()
        };
        let mut first: Vec<Option<Purpose>> = vec![None; recording.lanes.len()];
        for exchange in &recording.exchanges {
            if let Some(slot) = first.get_mut(exchange.lane as usize) {
                slot.get_or_insert(exchange.purpose);
            }
        }
        for (lane, purpose) in recording.lanes.iter().zip(first) {
            into.lanes.push(Lane {
                name: lane.name.clone(),
                child: lane.parent.is_some(),
                side: purpose == Some(Purpose::Side),
                beginning: String::new(),
            });
        }
        Self {
            recording,
            reading,
            into,
            bases: Bases::default(),
            history: History::new(recording),
            told: recording.exchanges.iter().map(|_| Vec::new()).collect(),
            live: BTreeMap::new(),
            current: BTreeMap::new(),
            beside: Vec::new(),
            next: 0,
        }
    }

    fn wanted(&self, exchange: &Exchange) -> bool {
        self.reading.exchange.is_none_or(|it| it == exchange.number)
    }

    fn line(&mut self, object: &Object<'_>, line: LineNo) {
        let kind = object.text("kind").unwrap_or(Cow::Borrowed(""));
        let number = object.small("exchange");
        match &*kind {
            "request" => self.request(object, line),
            "response" => {
                let status = object
                    .number("status")
                    .and_then(|it| u16::try_from(it).ok());
                if let Some((_, answer)) = number.and_then(|it| self.live.get_mut(&it)) {
                    answer.status = status;
                }
            }
            "chunk" => {
                if let Some((at, answer)) = number.and_then(|it| self.live.get_mut(&it)) {
                    if self.reading.layer == Layer::Bytes {
                        let draft = raw_bytes(&mut self.into, "bytes chunk", object, line);
                        if let Some(told) = self.told.get_mut(*at) {
                            told.push(draft);
                        }
                    } else if let Some(bytes) = bytes_of(object) {
                        answer.bytes(&bytes, line, &mut self.into);
                    }
                }
            }
            "frame" => self.frame(object, line),
            "end" => {
                if let Some(number) = number {
                    self.end(number);
                }
            }
            "rollout" | "client_event" => self.beside(&kind, object, line),
            _ => {}
        }
    }

    /// A line of a client's own event log that stands alone: nothing is beside it, so it counts.
    fn logged(&mut self, raw: &str, object: &Object<'_>, line: LineNo) {
        // `codex proto` puts its event into a member
        let message = object.object("msg").unwrap_or_default();
        let name = ["type", "method", "kind"]
            .iter()
            .find_map(|key| object.text(key))
            .or_else(|| message.text("type"));
        let label = format!("client_event {}", clip(&name.unwrap_or_default()));
        let mut draft = self.into.draft(What::ClientEvent, &label);
        self.into.add(&mut draft, "", raw);
        draft.event.line = line;
        self.beside.push(draft);
    }

    fn beside(&mut self, kind: &str, object: &Object<'_>, line: LineNo) {
        let value = object.get("value").map_or("null", |raw| raw.get());
        let draft = if kind == "rollout" {
            disk::line(&mut self.into, value, line)
        } else {
            let source = object.text("source").unwrap_or_default();
            let inner = Object::read(value).unwrap_or_default();
            let name = ["type", "method", "kind"]
                .iter()
                .find_map(|key| inner.text(key));
            let label = format!(
                "client_event {} {}",
                clip(&source),
                clip(&name.unwrap_or_default())
            );
            let mut draft = self.into.draft(What::ClientEvent, &label);
            self.into.add(&mut draft, "", value);
            Some(draft)
        };
        if let Some(mut draft) = draft {
            draft.event.line = line;
            draft.event.row = Some(BESIDE);
            self.beside.push(draft);
        }
    }

    fn request(&mut self, object: &Object<'_>, line: LineNo) {
        let Some(number) = object.small("exchange") else {
            return;
        };
        let body = match stored(object, &mut self.bases, number) {
            Ok(Stored::Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        let recording = self.recording;
        let Some(exchange) = recording
            .exchanges
            .get(self.next)
            .filter(|it| it.line == line)
        else {
            return;
        };
        let at = self.next;
        self.next += 1;
        let body = body.as_deref().map(String::from_utf8_lossy);
        let body = body.as_deref();
        if let Some(connection) = exchange.connection {
            self.current.insert(connection, number);
        }
        let history =
            if exchange.purpose == Purpose::NotJudged || exchange.lane == exchange::NO_LANE {
                Vec::new()
            } else {
                self.history
                    .request(at, exchange, self.reading.exchange.is_some())
            };
        if !self.wanted(exchange) {
            return;
        }
        let drafts = if self.reading.layer == Layer::Bytes {
            let mut draft = self.into.draft(What::Bytes, "bytes request");
            let mut raw = String::new();
            push_string(&mut raw, body.unwrap_or(""));
            self.into.add(&mut draft, "", &raw);
            draft.event.line = line;
            vec![draft]
        } else {
            self.told(object, exchange, body, &history)
        };
        if let Some(told) = self.told.get_mut(at) {
            *told = drafts;
        }
        let answer = Answer::new(self.reading.layer == Layer::Events);
        self.live.insert(number, (at, answer));
    }

    /// The events of a request.
    fn told(
        &mut self,
        object: &Object<'_>,
        exchange: &Exchange,
        body: Option<&str>,
        history: &[Told],
    ) -> Vec<Draft> {
        let into = &mut self.into;
        let judged = exchange.purpose != Purpose::NotJudged;
        let path = object.text("path").unwrap_or_default();
        let method = object.text("method").unwrap_or_default();
        let bare = path.split('?').next().unwrap_or("");
        let label = if judged {
            "request".to_owned()
        } else {
            format!("request {} {}", clip(&method), clip(bare))
        };
        let mut request = into.draft(What::Request, &label);
        request.event.line = exchange.line;
        let mut extra = |into: &mut Sequence, name: &str, value: serde_json::Value| {
            into.add(&mut request, name, &value.to_string());
        };
        match exchange.purpose {
            Purpose::Turn => {}
            Purpose::WarmUp => extra(into, "purpose", json!("warm-up")),
            Purpose::Side => extra(into, "purpose", json!("side")),
            Purpose::NotJudged => {
                extra(into, "method", json!(method));
                extra(into, "path", json!(path));
            }
        }
        if exchange.attempt > 1 {
            extra(into, "attempt", json!(exchange.attempt));
        }
        if exchange.transport == Transport::WebSocket {
            extra(into, "transport", json!("websocket"));
        }
        if !exchange.request.whole {
            extra(into, "whole", json!(false));
        }
        let headers = Headers::read(object, "headers");
        if headers.iter().next().is_some()
            && let Ok(raw) = serde_json::to_string(&HeaderLines(&headers))
        {
            into.add(&mut request, "headers", &raw);
        }
        let head = body.and_then(RequestHead::read);
        let mut texts = Vec::new();
        match &head {
            Some(head) => {
                for (key, raw) in head.members.members() {
                    if key == "input" && judged && !matches!(head.input, Input::Odd(_)) {
                        continue;
                    }
                    into.add(&mut request, key, raw.get());
                }
                if judged {
                    texts = head.input.items();
                }
            }
            None => {
                if let Some(body) = body {
                    if let Some(head) = RequestHead::from_items(body) {
                        let items = head.input.items().into_iter();
                        texts = items.map(|it| it.into_owned().into()).collect();
                    } else {
                        let mut raw = String::new();
                        push_string(&mut raw, body);
                        into.add(&mut request, "body", &raw);
                    }
                }
            }
        }
        let mut found = vec![request];
        for told in history {
            match told {
                Told::Dropped { item, firm } => {
                    // the answer that brought it may still be coming in
                    let mut draft = into.draft(What::Dropped, "dropped");
                    draft.later = Some(*item);
                    draft.event.line = exchange.line;
                    if !firm {
                        into.add(&mut draft, "answer", "\"cut\"");
                    }
                    found.push(draft);
                }
                Told::Added { part, item, placed } => {
                    let Some(raw) = texts.get(*part) else {
                        continue;
                    };
                    let mut draft = into.item(What::Item, raw);
                    draft.event.side = Side::Sent;
                    draft.event.line = exchange.line;
                    let told = match placed {
                        Placed::AtEnd => None,
                        Placed::InFront => Some(json!("in front")),
                        Placed::Behind(part) => {
                            Some(behind_what(texts.get(*part).map_or("", |it| it)))
                        }
                    };
                    if let Some(told) = told {
                        into.add(&mut draft, "placed", &told.to_string());
                    }
                    self.history.stands(*item, &draft);
                    found.push(draft);
                }
            }
        }
        found
    }

    fn frame(&mut self, object: &Object<'_>, line: LineNo) {
        let Some(connection) = object.small("connection") else {
            return;
        };
        let number = object
            .small("exchange")
            .or_else(|| self.current.get(&connection).copied());
        let Some((at, answer)) = number.and_then(|it| self.live.get_mut(&it)) else {
            return;
        };
        if self.reading.layer == Layer::Bytes {
            let draft = raw_bytes(&mut self.into, "bytes frame", object, line);
            if let Some(told) = self.told.get_mut(*at) {
                told.push(draft);
            }
            return;
        }
        let Some(bytes) = bytes_of(object) else {
            return;
        };
        let text = String::from_utf8_lossy(&bytes);
        if object.text("from").as_deref() == Some("server") {
            answer.data(&text, None, line, &mut self.into);
            return;
        }
        let kind = Object::read(&text).and_then(|it| it.text("type").map(Cow::into_owned));
        if let Some(kind) = kind.filter(|kind| kind != "response.create") {
            let label = format!("event from client {}", clip(&kind));
            let mut draft = self.into.draft(What::Event, &label);
            draft.event.line = line;
            self.into.add(&mut draft, "", &text);
            if let Some(told) = self.told.get_mut(*at) {
                told.push(draft);
            }
        }
    }

    fn end(&mut self, number: u32) {
        let Some((at, answer)) = self.live.remove(&number) else {
            return;
        };
        let Some(exchange) = self.recording.exchanges.get(at) else {
            return;
        };
        if self.reading.layer == Layer::Bytes {
            return;
        }
        let has_answer = exchange.answer.status.is_some() || exchange.answer.events > 0;
        if !has_answer && self.recording.origin != exchange::Origin::Recorded {
            // a bare request, or a log without its answer: nothing was cut
            return;
        }
        let found = answer.finish(exchange, self.reading.ordered, &mut self.into);
        self.history.answered(exchange, &found);
        if let Some(told) = self.told.get_mut(at) {
            told.extend(found);
        }
    }

    fn finish(mut self) -> Sequence {
        let numbers: Vec<u32> = self.live.keys().copied().collect();
        for number in numbers {
            self.end(number);
        }
        for (exchange, told) in self.recording.exchanges.iter().zip(&self.told) {
            for draft in told {
                let mut draft = match draft.later {
                    Some(item) => {
                        let raw = self.history.text(item, &self.into);
                        let mut whole = self.into.item(What::Dropped, &raw);
                        whole.event.line = draft.event.line;
                        whole.parts.extend_from_slice(&draft.parts);
                        whole
                    }
                    None => draft.clone(),
                };
                draft.event.exchange = exchange.number;
                draft.event.lane = match exchange.lane {
                    exchange::NO_LANE => NO_LANE,
                    lane => lane,
                };
                if exchange.purpose == Purpose::NotJudged {
                    draft.event.row = Some(OTHER);
                }
                self.into.push(&draft);
            }
        }
        for draft in &self.beside {
            self.into.push(draft);
        }
        self.into.finish();
        self.into
    }
}

/// What an inserted item stands behind.
fn behind_what(raw: &str) -> serde_json::Value {
    let object = Object::read(raw).unwrap_or_default();
    let mut told = serde_json::Map::new();
    for key in ["type", "role", "call_id"] {
        if let Some(text) = object.text(key) {
            told.insert(key.to_owned(), text.into());
        }
    }
    json!({"behind": told})
}

fn raw_bytes(into: &mut Sequence, label: &str, object: &Object<'_>, line: LineNo) -> Draft {
    let mut draft = into.draft(What::Bytes, label);
    draft.event.line = line;
    for key in ["from", "type", "text", "base64"] {
        if let Some(raw) = object.get(key) {
            into.add(&mut draft, key, raw.get());
        }
    }
    draft
}

/// The bytes of a chunk or frame; `None` where what could not be decoded stands as it came.
fn bytes_of(object: &Object<'_>) -> Option<Vec<u8>> {
    use base64::Engine as _;
    if object.flag("encoded") == Some(true) {
        return None;
    }
    if let Some(text) = object.text("text") {
        return Some(text.into_owned().into_bytes());
    }
    let text = object.text("base64")?;
    base64::engine::general_purpose::STANDARD
        .decode(text.as_bytes())
        .ok()
}
