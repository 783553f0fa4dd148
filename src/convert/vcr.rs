//! Cassettes: vcrpy and VCR for Ruby, YAML or JSON, and the recordings of httpmock.
//!
//! Bodies stand as text, as base64, in a map with either, or as the value that some test suites parse them into
//! (`parsed_body`). Compressed bodies are decoded.

use std::borrow::Cow;
use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::har::path_of;
use super::log::{Bytes, Hop, Log, Reply, Sent};
use super::times::{rfc2822, to_rfc3339};
use super::yaml::{self, Found, Node, Value};
use super::{ConvertError, Converted};
use crate::session::ReadError;
use crate::session::lanes::Headers;
use crate::session::writer::Writer;
use crate::wire::lines::Reason;

/// A cassette may be as large as this: 256 MiB.
const MAX_FILE: u64 = 256 << 20;

const NOT_HELD: [&str; 4] = [
    "times within exchanges",
    "chunks",
    "ends of transports",
    "HTTP versions",
];

/// Writes a recording out of a cassette.
pub(super) fn from_vcr<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    let mut log = Log::new(writer);
    let too_large = bytes.len() as u64 > MAX_FILE;
    if too_large {
        bytes.truncate(MAX_FILE as usize);
    }
    let text = String::from_utf8_lossy(&bytes);
    if matches!(text, Cow::Owned(_)) {
        log.problem(0, Reason::NotUtf8);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut failed = None;
    let mut state = State::default();
    let mut take = |found: Found| {
        if failed.is_none() {
            failed = state.found(&mut log, &found).err();
        }
    };
    let read = if text.trim_start().starts_with('{') {
        json(text, &mut take)
    } else {
        yaml::read(text, &["interactions", "http_interactions"], &mut take)
    };
    if let Some(error) = failed {
        return Err(ConvertError::Write(error));
    }
    let is_whole = read.is_ok();
    if let Err((line, why)) = read {
        if log.done.requests == 0 {
            return Err(ConvertError::nothing(line, why));
        }
        log.problem(
            line,
            Reason::Other(format!("the rest cannot be read: {why}")),
        );
    }
    if too_large {
        log.problem(0, Reason::TooLong(MAX_FILE));
    }
    if let Some(last) = is_open(text).filter(|_| is_whole) {
        let what = format!("no `{last}` stands behind the interactions: the file may be cut off");
        log.says(text.lines().count() as u32, what);
    }
    if log.done.requests == 0 {
        let why = match state.count {
            0 => "no interaction is in it".to_owned(),
            count => format!("none of its {count} interactions has a `request`"),
        };
        return Err(ConvertError::nothing(0, why));
    }
    log.done.lines = text.lines().count() as u32;
    log.finish().map_err(ConvertError::Write)
}

/// What is missing at the end of a YAML cassette whose writer puts it there: a file that is cut off often is whole YAML.
fn is_open(text: &str) -> Option<&'static str> {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    match (has("interactions:"), has("http_interactions:")) {
        (true, _) => (!has("version:")).then_some("version"),
        (_, true) => (!has("recorded_with:")).then_some("recorded_with"),
        _ => None,
    }
}

fn json(text: &str, take: &mut dyn FnMut(Found)) -> Result<(), (u32, String)> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| (error.line() as u32, error.to_string()))?;
    let lists = ["interactions", "http_interactions"];
    let list = lists.iter().find_map(|key| value.get(*key)).cloned();
    match list {
        Some(serde_json::Value::Array(elements)) => {
            for element in elements {
                take(Found::Element(Node::of_json(element), 0));
            }
        }
        _ => take(Found::Document(Node::of_json(value), 1)),
    }
    Ok(())
}

#[derive(Default)]
struct State {
    first: Option<i64>,
    count: u32,
}

impl State {
    fn found<W: Write>(&mut self, log: &mut Log<'_, W>, found: &Found) -> std::io::Result<()> {
        self.count += 1;
        let (node, line) = match found {
            Found::Element(node, line) | Found::Document(node, line) => (node, *line),
        };
        let (request, response, kind) = match (node.get("request"), node.get("when")) {
            (Some(request), _) => (request, node.get("response"), "cassette"),
            (None, Some(when)) => (when, node.get("then"), "recording of httpmock"),
            (None, None) => {
                if !matches!(found, Found::Document(..)) || !node.is_null() {
                    let what = format!("interaction {} has no `request`", self.count);
                    log.problem(line, Reason::UnknownShape(what));
                }
                return Ok(());
            }
        };
        let recorded = node.get("recorded_at").and_then(Node::str);
        let recorded = recorded.and_then(rfc2822);
        if !log.has_begun() {
            let mut not_held = NOT_HELD.to_vec();
            if recorded.is_none() {
                not_held.push("times of exchanges");
            }
            let created = recorded.and_then(to_rfc3339);
            log.begin(kind, &not_held, created.as_deref())?;
        }
        let first = *self.first.get_or_insert(recorded.unwrap_or(0));
        let at_us = recorded.map_or(0, |it| u64::try_from(it - first).unwrap_or(0));
        let name = format!("interaction {}", self.count);
        let uri = ["uri", "url", "path"]
            .iter()
            .find_map(|key| request.get(key).and_then(Node::str));
        let body = match body_of(request) {
            Ok(Some(bytes)) => Sent::Bytes(bytes),
            Ok(None) => Sent::None,
            Err(why) => {
                log.says(line, format!("{name}: the request's body {why}"));
                Sent::NotHeld(None)
            }
        };
        let reply = response.map(|response| Reply {
            at_us,
            status: status_of(response),
            headers: headers_of(response),
            body: body_of(response)
                .unwrap_or_else(|why| {
                    log.says(line, format!("{name}: the answer's body {why}"));
                    None
                })
                .unwrap_or(Cow::Borrowed(b"")),
            bytes: Bytes::Dump,
            parts: Vec::new(),
        });
        let method = request.get("method").and_then(Node::str).unwrap_or("POST");
        log.put(Hop {
            line,
            name,
            at_us,
            method: Cow::Owned(method.to_ascii_uppercase()),
            path: Cow::Owned(path_of(uri.unwrap_or("/v1/responses"))),
            headers: headers_of(request),
            body,
            reply,
            end_us: at_us,
            ..Hop::default()
        })
        .map(|_| ())
    }
}

/// The status: a number, a map with its `code`, or (go-vcr) the `code` beside a status such as `200 OK`.
fn status_of(response: &Node) -> Option<u16> {
    let number = |it: &Node| {
        let text = it.str()?.trim();
        text.split_ascii_whitespace().next()?.parse().ok()
    };
    let status = response.get("status");
    let places = [
        status.and_then(|it| it.get("code")),
        response.get("code"),
        response.get("status_code"),
        status,
    ];
    places
        .into_iter()
        .flatten()
        .find_map(number)
        .filter(|it| *it > 0)
}

/// The body of a request or an answer.
fn body_of(message: &Node) -> Result<Option<Cow<'_, [u8]>>, &'static str> {
    if let Some(parsed) = message.get("parsed_body").filter(|it| !it.is_null()) {
        let mut json = String::new();
        parsed.json(&mut json);
        return Ok(Some(Cow::Owned(json.into_bytes())));
    }
    if let Some(encoded) = message
        .get("body_base64")
        .or_else(|| message.get("base64_body"))
    {
        return encoded
            .str()
            .map(|it| base64(it).map(Cow::Owned))
            .transpose();
    }
    let Some(body) = message.get("body").or_else(|| message.get("content")) else {
        return Ok(None);
    };
    body_text(body)
}

fn body_text(body: &Node) -> Result<Option<Cow<'_, [u8]>>, &'static str> {
    match &body.value {
        Value::Text(..) if body.is_null() => Ok(None),
        Value::Text(text, _) => Ok(Some(Cow::Borrowed(text.as_bytes()))),
        Value::Base64(text) => base64(text).map(|it| Some(Cow::Owned(it))),
        // old cassettes: the body as a list of its pieces
        Value::List(pieces) => {
            let mut whole = Vec::new();
            for piece in pieces {
                whole.extend_from_slice(&body_text(piece)?.unwrap_or_default());
            }
            Ok(Some(Cow::Owned(whole)))
        }
        Value::Map(_) => {
            if let Some(encoded) = ["base64_string", "base64"]
                .iter()
                .find_map(|key| body.get(key))
            {
                return encoded
                    .str()
                    .map(|it| base64(it).map(Cow::Owned))
                    .transpose();
            }
            if let Some(text) = body.get("string").or_else(|| body.get("text")) {
                return body_text(text);
            }
            let mut json = String::new();
            body.json(&mut json);
            Ok(Some(Cow::Owned(json.into_bytes())))
        }
    }
}

fn base64(text: &str) -> Result<Vec<u8>, &'static str> {
    let dense: Vec<u8> = text
        .bytes()
        .filter(|it| !it.is_ascii_whitespace())
        .collect();
    STANDARD.decode(dense).map_err(|_not_told| "is no base64")
}

/// Headers as a map of texts or lists, as a list of `{name,value}`, or as a list of lines.
fn headers_of(message: &Node) -> Option<Headers<'_>> {
    let headers = message.get("headers").or_else(|| message.get("header"))?;
    let mut found: Vec<(String, String)> = Vec::new();
    match &headers.value {
        Value::Map(members) => {
            for (name, value) in members {
                match &value.value {
                    Value::List(values) => {
                        let texts = values.iter().filter_map(|it| it.str());
                        found.extend(texts.map(|it| (name.clone(), it.to_owned())));
                    }
                    _ => found.extend(value.str().map(|it| (name.clone(), it.to_owned()))),
                }
            }
        }
        Value::List(elements) => {
            for element in elements {
                if let (Some(name), Some(value)) = (element.get("name"), element.get("value")) {
                    let pair = name.str().zip(value.str());
                    found.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
                } else if let Some((name, value)) = element.str().and_then(|it| it.split_once(':'))
                {
                    found.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
        }
        _ => return None,
    }
    Some(Headers::new(found))
}
