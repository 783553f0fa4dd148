//! Fixtures of aimock: what is answered to requests that match. Requests are not held, and of answers only what they say:
//! their events are rebuilt from it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{Read, Write};

use super::log::{Bytes, Hop, Log, Reply, Sent};
use super::{ConvertError, Converted, texts};
use crate::session::ReadError;
use crate::session::writer::Writer;
use crate::wire::lines::{Problem, Reason};
use crate::wire::raw::{Object, compact, push_string, string};

const NOT_HELD: [&str; 6] = [
    "requests (`told` has what they were matched by)",
    "headers",
    "events of streams (marked as rebuilt: an event for each item)",
    "ids of responses and items",
    "order of requests, and the conversations they belong to",
    "ends of transports",
];

/// Writes a recording out of a file of fixtures.
pub(super) fn from_aimock<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let text = texts::whole(reader)?;
    let text = text.trim();
    let Some(file) = Object::read(text) else {
        let why = serde_json::from_str::<serde::de::IgnoredAny>(text)
            .err()
            .map_or_else(|| "no object".to_owned(), |error| error.to_string());
        return Err(ReadError::NotJson { why }.into());
    };
    let mut log = Log::new(writer);
    let begun = log.begin("aimock fixtures", &NOT_HELD, None);
    begun.map_err(ConvertError::Write)?;
    let fixtures = file.array("fixtures").unwrap_or_default();
    for (at, fixture) in fixtures.iter().enumerate() {
        let name = format!("fixture {}", at + 1);
        let Some(fixture) = Object::read(fixture.get()) else {
            log.problem(0, Reason::UnknownShape(format!("{name} is no object")));
            continue;
        };
        let mut problems = Vec::new();
        let reply = reply(&fixture, &name, &mut problems);
        log.done.problems.append(&mut problems);
        let Some(reply) = reply else { continue };
        log.put(Hop {
            name,
            body: Sent::NotHeld(fixture.value("match").map(|it| Cow::Owned(compact(it)))),
            reply: Some(reply),
            ..Hop::default()
        })
        .map_err(ConvertError::Write)?;
    }
    if log.done.requests == 0 {
        return Err(ConvertError::nothing(
            0,
            "no fixture answers a request to the Responses API".to_owned(),
        ));
    }
    log.done.lines = text.lines().count() as u32;
    log.finish().map_err(ConvertError::Write)
}

fn reply(fixture: &Object<'_>, name: &str, problems: &mut Vec<Problem>) -> Option<Reply<'static>> {
    let mut says = |what: &str| {
        problems.push(Problem {
            line: 0,
            reason: Reason::Other(format!("{name}: {what}")),
        });
    };
    let Some(response) = fixture.object("response") else {
        says("it has no response");
        return None;
    };
    let status = response
        .number("status")
        .and_then(|it| u16::try_from(it).ok());
    if let Some(error) = response.value("error") {
        let body = format!("{{\"error\":{}}}", compact(error));
        return Some(made(status, body));
    }
    let blocks = response.array("blocks").unwrap_or_default();
    let calls = response.array("toolCalls").unwrap_or_default();
    let content = response.value("content");
    if blocks.is_empty() && calls.is_empty() && content.is_none() {
        says("its response is none of the Responses API");
        return None;
    }
    let mut items = Vec::new();
    if let Some(reasoning) = response.text("reasoning") {
        let mut item = String::from(
            "{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":",
        );
        push_string(&mut item, &reasoning);
        item.push_str("}]}");
        items.push(item);
    }
    if blocks.is_empty() {
        items.extend(content.map(message));
        for raw in calls {
            items.extend(Object::read(raw.get()).map(|it| call(&it)));
        }
    }
    for raw in blocks {
        let Some(block) = Object::read(raw.get()) else {
            continue;
        };
        match block.text("type").as_deref() {
            Some("text") => items.extend(block.value("text").map(message)),
            Some("toolCall") => items.push(call(&block)),
            _ => says("a block of a kind that is not known is left out"),
        }
    }
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        let kind = "response.output_item.done";
        let _ = write!(
            text,
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"output_index\":{index},\"item\":{item}}}\n\n"
        );
    }
    let cut = ["truncateAfterChunks", "disconnectAfterMs"]
        .iter()
        .any(|key| fixture.value(key).is_some());
    if cut {
        says("its stream is cut after a while; where, its chunks would tell");
    } else {
        text.push_str("event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"object\":\"response\",\"status\":\"completed\"}}\n\n");
    }
    Some(made(status, text))
}

fn made(status: Option<u16>, body: String) -> Reply<'static> {
    Reply {
        at_us: 0,
        status,
        headers: None,
        body: Cow::Owned(body.into_bytes()),
        bytes: Bytes::Rebuilt,
        parts: Vec::new(),
    }
}

/// A text, or any JSON that is written as one.
fn text(raw: &str) -> String {
    string(raw).map_or_else(|| compact(raw), Cow::into_owned)
}

fn message(content: &str) -> String {
    let mut item = String::from(
        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":",
    );
    push_string(&mut item, &text(content));
    item.push_str("}]}");
    item
}

fn call(call: &Object<'_>) -> String {
    let mut item = String::from("{\"type\":\"function_call\"");
    for (from, to) in [
        ("id", "call_id"),
        ("name", "name"),
        ("arguments", "arguments"),
    ] {
        if let Some(raw) = call.value(from) {
            let _ = write!(item, ",\"{to}\":");
            push_string(&mut item, &text(raw));
        }
    }
    item.push('}');
    item
}
