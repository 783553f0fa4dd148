//! Recordings in other forms: the text of streams, HAR, plain request bodies.

mod har;

pub use har::to_har;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};

use thiserror::Error;

use super::walk::{Body, Walked, Whole, walk};
use crate::session::ReadError;
use crate::wire::event::{EventHead, ResponseFold};
use crate::wire::raw::{Object, push_string};
use crate::wire::request::RequestHead;
use crate::wire::sse::{Mode, frames};

/// Why a recording could not be written in another form.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The recording cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is made of it cannot be written.
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// It has no such exchange.
    #[error("it has no exchange {0}")]
    NoExchange(u32),
    /// The exchange has nothing of the form that was asked for.
    #[error("exchange {number}: {why}")]
    NotHeld {
        /// The exchange.
        number: u32,
        /// What it does not have.
        why: String,
    },
}

/// Writes the text of the answers: of one exchange byte for byte, or of all that are streams, each behind a comment that
/// names it. Returns how many, and the numbers of those that are no stream.
///
/// # Errors
/// If the recording cannot be read, the text not written, or the exchange is no stream.
pub fn to_sse<R: Read>(
    reader: R,
    exchange: Option<u32>,
    out: &mut dyn Write,
) -> Result<(u32, Vec<u32>), ExportError> {
    let (mut count, mut others) = (0, Vec::new());
    walk(reader, &mut |whole, _: &Walked| {
        if exchange.is_some_and(|it| it != whole.number) {
            return Ok(());
        }
        let mut text = stream_of(&whole);
        if text.is_empty() {
            if exchange.is_some() {
                return Err(ExportError::NotHeld {
                    number: whole.number,
                    why: no_stream(&whole).to_owned(),
                });
            }
            others.push(whole.number);
            return Ok(());
        }
        if exchange.is_none() {
            let status = whole
                .status
                .map_or(String::new(), |it| format!(", status {it}"));
            let path: String = whole.path.chars().filter(|c| !c.is_control()).collect();
            let head = format!(": exchange {} {path}{status}\n\n", whole.number);
            text.splice(0..0, head.into_bytes());
            if !text.ends_with(b"\n\n") && !text.ends_with(b"\r\n\r\n") {
                text.extend_from_slice(b"\n\n");
            }
        }
        count += 1;
        out.write_all(&text).map_err(ExportError::Write)
    })?;
    if let (0, Some(number)) = (count, exchange) {
        return Err(ExportError::NoExchange(number));
    }
    Ok((count, others))
}

fn no_stream(whole: &Whole) -> &'static str {
    if whole.chunks.is_empty() && whole.frames.is_empty() {
        "no byte of its answer is on file"
    } else {
        "it was answered with one body, not with a stream"
    }
}

/// The bytes of a stream; of a WebSocket its messages, as events.
fn stream_of(whole: &Whole) -> Vec<u8> {
    if whole.connection.is_some() && !whole.frames.is_empty() {
        let mut text = String::new();
        for (_, message) in &whole.frames {
            let kind =
                EventHead::read(message).and_then(|it| it.kind.map(std::borrow::Cow::into_owned));
            if let Some(kind) = kind.filter(|it| !it.contains(['\n', '\r'])) {
                let _ = writeln!(text, "event: {kind}");
            }
            for line in message.lines() {
                let _ = writeln!(text, "data: {line}");
            }
            text.push('\n');
        }
        return text.into_bytes();
    }
    if whole.is_stream() {
        whole.answer()
    } else {
        Vec::new()
    }
}

/// Writes the body of a request as it was sent, or, with `full`, with the whole conversation as its input in place of
/// `previous_response_id`. Returns the method and path it was sent to.
///
/// # Errors
/// If the recording cannot be read, the body not written, or the body is not held.
pub fn to_body<R: Read>(
    reader: R,
    exchange: u32,
    full: bool,
    out: &mut dyn Write,
) -> Result<(String, String), ExportError> {
    let mut found = None;
    // what was sent and answered, by response id, for the conversation before
    let mut before: Before = BTreeMap::new();
    walk(reader, &mut |whole, _: &Walked| {
        if whole.number == exchange {
            let to = (whole.method.clone(), whole.path.clone());
            let body = body_of(&whole, full, &before)?;
            out.write_all(&body).map_err(ExportError::Write)?;
            found = Some(to);
        } else if full && found.is_none() {
            remember(&whole, &mut before);
        }
        Ok::<(), ExportError>(())
    })?;
    found.ok_or(ExportError::NoExchange(exchange))
}

/// By response id: the response it went on from, and the items that were sent and answered.
type Before = BTreeMap<String, (Option<String>, Vec<String>)>;

/// The conversation up to a response; the id that is missing where it is not whole.
fn conversation<'a>(before: &'a Before, last: &str) -> Result<Vec<&'a str>, String> {
    let mut parts = Vec::new();
    let mut next = Some(last.to_owned());
    while let Some(id) = next.take() {
        let (previous, items) = before.get(&id).ok_or_else(|| id.clone())?;
        // a chain that goes round is none
        if parts.len() > before.len() {
            return Err(id);
        }
        parts.push(items);
        next.clone_from(previous);
    }
    let items = parts.into_iter().rev().flatten();
    Ok(items.map(String::as_str).collect())
}

fn body_of(whole: &Whole, full: bool, before: &Before) -> Result<Vec<u8>, ExportError> {
    let number = whole.number;
    let not_held = |why: &str| ExportError::NotHeld {
        number,
        why: why.to_owned(),
    };
    let bytes = match &whole.body {
        Body::Bytes(bytes) => bytes,
        Body::None => return Err(not_held("its request has no body")),
        Body::NotHeld(why) => {
            return Err(not_held(&format!(
                "the body of its request is not on file: {why}"
            )));
        }
    };
    if !full {
        return Ok(bytes.clone());
    }
    let text = std::str::from_utf8(bytes).ok();
    let Some(head) = text.and_then(RequestHead::read) else {
        return Err(not_held("the body of its request is no JSON object"));
    };
    let items = match &head.previous {
        None => return Ok(bytes.clone()),
        Some(previous) => conversation(before, previous).map_err(|missing| {
            not_held(&format!("it goes on from {missing}, which is not on file"))
        })?,
    };
    let own = head.input.items();
    let own = own.iter().map(AsRef::as_ref);
    let input: Vec<&str> = items.into_iter().chain(own).collect();
    let mut out = format!("{{\"input\":[{}]", input.join(","));
    for (key, value) in head.members.members() {
        if matches!(key, "input" | "previous_response_id" | "type" | "generate") {
            continue;
        }
        out.push(',');
        push_string(&mut out, key);
        out.push(':');
        out.push_str(value.get());
    }
    out.push('}');
    Ok(out.into_bytes())
}

fn remember(whole: &Whole, before: &mut Before) {
    let Body::Bytes(bytes) = &whole.body else {
        return;
    };
    let Some(head) = std::str::from_utf8(bytes).ok().and_then(RequestHead::read) else {
        return;
    };
    let fold = fold_of(whole);
    let Some(id) = fold.id else { return };
    let own = head.input.items();
    let mut items: Vec<String> = own.iter().map(|it| it.as_ref().to_owned()).collect();
    items.extend(fold.done.into_iter().map(|it| it.raw.into_string()));
    let previous = head.previous.as_deref().map(str::to_owned);
    before.insert(id, (previous, items));
}

fn fold_of(whole: &Whole) -> ResponseFold {
    let mut fold = ResponseFold::default();
    for (_, message) in &whole.frames {
        fold.data(message);
    }
    let body = whole.answer();
    if whole.is_stream() {
        for frame in frames(&body, Mode::Strict).iter().filter(|it| it.whole) {
            if let Some(data) = &frame.data {
                fold.named(frame.event.as_deref(), data);
            }
        }
    } else if Object::read(&String::from_utf8_lossy(&body)).is_some() {
        fold.whole(&String::from_utf8_lossy(&body));
    }
    fold
}
