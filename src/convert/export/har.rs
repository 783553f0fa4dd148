//! HAR 1.2.
//!
//! What a recording does not hold has the value HAR gives to what is unknown: -1 for times and sizes, an empty text for
//! versions, status 0. `_replay` says beside it what HAR has no place for: when each chunk came, how the exchange ended.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ExportError;
use crate::convert::times::{in_units, rfc3339, to_rfc3339};
use crate::convert::walk::{Body, Connection, Walked, Whole, walk};
use crate::session::lanes::Headers;

/// Writes exchanges as a HAR file, one entry after another; of WebSockets one entry per connection. Returns how many.
///
/// # Errors
/// If the recording cannot be read, the file not written, or there is no such exchange.
pub fn to_har<R: Read + Seek>(
    mut reader: R,
    exchange: Option<u32>,
    out: &mut dyn Write,
) -> Result<u32, ExportError> {
    let is_asked_for = |whole: &Whole| exchange.is_none_or(|it| it == whole.number);
    // connections are entries of their own: their messages are looked for first
    let mut messages: BTreeMap<u32, Vec<Whole>> = BTreeMap::new();
    let walked = walk(&mut reader, &mut |whole: Whole, _: &Walked| {
        if let Some(connection) = whole.connection.filter(|_| is_asked_for(&whole)) {
            messages.entry(connection).or_default().push(whole);
        }
        Ok::<(), ExportError>(())
    })?;
    reader
        .seek(SeekFrom::Start(0))
        .map_err(|error| ExportError::Read(error.into()))?;
    let base = Base::of(&walked);
    let mut connections: Vec<(u64, Value)> = walked
        .connections
        .iter()
        .filter(|(number, _)| exchange.is_none() || messages.contains_key(number))
        .map(|(number, connection)| {
            let own = messages.get(number).map_or(&[][..], Vec::as_slice);
            (connection.at_us, base.connection(connection, own))
        })
        .collect();
    connections.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut file = File { out, count: 0 };
    file.text("{\"log\":{\"version\":\"1.2\",\"creator\":")?;
    let version = env!("CARGO_PKG_VERSION");
    file.value(&json!({"name": "replay", "version": version}))?;
    file.text(",\"pages\":[],\"entries\":[")?;
    walk(&mut reader, &mut |whole: Whole, _: &Walked| {
        if whole.connection.is_some() || !is_asked_for(&whole) {
            return Ok(());
        }
        while connections.last().is_some_and(|(at, _)| *at < whole.at_us) {
            if let Some((_, entry)) = connections.pop() {
                file.entry(&entry)?;
            }
        }
        file.entry(&base.entry(&whole))
    })?;
    for (_, entry) in connections.iter().rev() {
        file.entry(entry)?;
    }
    if let (0, Some(number)) = (file.count, exchange) {
        return Err(ExportError::NoExchange(number));
    }
    file.text("\n]}}\n")?;
    Ok(file.count)
}

struct File<'a> {
    out: &'a mut dyn Write,
    count: u32,
}

impl File<'_> {
    fn text(&mut self, text: &str) -> Result<(), ExportError> {
        self.out
            .write_all(text.as_bytes())
            .map_err(ExportError::Write)
    }

    fn value(&mut self, value: &Value) -> Result<(), ExportError> {
        serde_json::to_writer(&mut *self.out, value)
            .map_err(|error| ExportError::Write(io::Error::from(error)))
    }

    fn entry(&mut self, entry: &Value) -> Result<(), ExportError> {
        self.text(if self.count > 0 { ",\n" } else { "\n" })?;
        self.count += 1;
        self.value(entry)
    }
}

/// What all entries share.
struct Base<'a> {
    first: i64,
    timed: bool,
    origin: &'a str,
}

impl<'a> Base<'a> {
    fn of(walked: &'a Walked) -> Self {
        let first = walked.created_at.as_deref().and_then(rfc3339);
        let upstream = walked.upstream.as_deref().unwrap_or("");
        let behind = upstream.find("://").map_or(0, |at| at + 3);
        let end = upstream
            .get(behind..)
            .and_then(|it| it.find('/'))
            .map_or(upstream.len(), |at| behind + at);
        Self {
            first: first.unwrap_or(0),
            timed: first.is_some(),
            origin: upstream.get(..end).unwrap_or(""),
        }
    }

    fn started(&self, at_us: u64) -> String {
        let at = self
            .first
            .saturating_add(i64::try_from(at_us).unwrap_or(i64::MAX));
        to_rfc3339(at).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
    }

    /// The URL: the path at the endpoint that was recorded, or at the host the request names.
    fn url(&self, headers: Option<&Headers<'_>>, path: &str, scheme: &str) -> String {
        if !self.origin.is_empty() {
            let rest = self.origin.split_once("://").map_or(self.origin, |it| it.1);
            let secure = !self.origin.starts_with("http://");
            let scheme = match (scheme, secure) {
                ("ws", true) => "wss",
                ("ws", false) => "ws",
                (_, true) => "https",
                (_, false) => "http",
            };
            return format!("{scheme}://{rest}{path}");
        }
        let host = headers
            .and_then(|it| it.get("host").or_else(|| it.get(":authority")))
            .unwrap_or("unknown.invalid");
        let local = host.starts_with("127.") || host.starts_with("localhost");
        let secure = if local { "" } else { "s" };
        format!("{scheme}{secure}://{host}{path}")
    }

    fn entry(&self, whole: &Whole) -> Value {
        let last_us = whole.chunks.iter().map(|it| it.at_us).max();
        let end_us = whole.end_us.or(last_us).unwrap_or(whole.at_us);
        let end_us = end_us.max(whole.at_us);
        let head_us = whole.head_us.unwrap_or(whole.at_us).max(whole.at_us);
        let ms = |us: u64| in_units(us.cast_signed(), 1e3);
        let answer = whole.answer();
        let encoded = whole.chunks.iter().any(|it| it.encoded);
        let chunks: Vec<Value> = whole
            .chunks
            .iter()
            .map(|it| json!([it.at_us, it.bytes.len()]))
            .collect();
        let mut own = json!({
            "exchange": whole.number,
            "at_us": whole.at_us,
            "end_us": end_us,
            "end": whole.end,
        });
        if let Some(own) = own.as_object_mut() {
            let mut set = |key: &str, value: Value| {
                own.insert(key.to_owned(), value);
            };
            if let Some(head_us) = whole.head_us {
                set("head_us", json!(head_us));
            }
            if let Some(detail) = &whole.detail {
                set("detail", json!(detail));
            }
            for (key, held) in [
                ("status_held", whole.status.is_some()),
                ("headers_held", whole.headers.is_some()),
                ("response_headers_held", whole.response_headers.is_some()),
                ("date_held", self.timed),
            ] {
                if !held {
                    set(key, json!(false));
                }
            }
            if !chunks.is_empty() && !encoded {
                set("chunks", json!(chunks));
            }
            if whole.chunks.iter().any(|it| it.rebuilt) {
                set("rebuilt", json!(true));
            }
        }
        let mut request = json!({
            "method": whole.method,
            "url": self.url(whole.headers.as_ref(), &whole.path, "http"),
            "httpVersion": version(whole.http.as_deref()),
            "cookies": [],
            "headers": headers(whole.headers.as_ref()),
            "queryString": query(&whole.path),
            "headersSize": -1,
            "bodySize": -1,
        });
        if let (Body::Bytes(bytes), Some(request)) = (&whole.body, request.as_object_mut()) {
            request.insert("bodySize".to_owned(), json!(bytes.len()));
            let mime = mime(whole.headers.as_ref(), "application/json");
            request.insert("postData".to_owned(), content(bytes, &mime, false));
        }
        if let (Body::None, Some(request)) = (&whole.body, request.as_object_mut()) {
            request.insert("bodySize".to_owned(), json!(0));
        }
        let kind = mime(
            whole.response_headers.as_ref(),
            if whole.is_stream() {
                "text/event-stream"
            } else {
                "application/json"
            },
        );
        let mut entry = json!({
            "startedDateTime": self.started(whole.at_us),
            "time": ms(end_us - whole.at_us),
            "request": request,
            "response": {
                "status": whole.status.unwrap_or(0),
                "statusText": "",
                "httpVersion": version(whole.http.as_deref()),
                "cookies": [],
                "headers": headers(whole.response_headers.as_ref()),
                "content": content(&answer, &kind, true),
                "redirectURL": "",
                "headersSize": -1,
                "bodySize": if encoded { json!(-1) } else { json!(answer.len()) },
            },
            "cache": {},
            "timings": {
                "blocked": -1,
                "dns": -1,
                "connect": -1,
                "send": 0,
                "wait": ms(head_us - whole.at_us),
                "receive": ms(end_us.saturating_sub(head_us)),
                "ssl": -1,
            },
            "_replay": own,
        });
        if !self.timed
            && let Some(entry) = entry.as_object_mut()
        {
            entry.insert(
                "comment".to_owned(),
                json!("the recording does not say when it was made"),
            );
        }
        entry
    }

    /// A connection with the messages of its exchanges.
    fn connection(&self, connection: &Connection, own: &[Whole]) -> Value {
        let mut messages: Vec<(u64, Value)> = Vec::new();
        let seconds = |us: u64| {
            let at = self.first.saturating_add(i64::try_from(us).unwrap_or(0));
            in_units(at, 1e6)
        };
        for whole in own {
            if let Body::Bytes(bytes) = &whole.body {
                let text = String::from_utf8_lossy(bytes);
                let sent = json!({"type": "send", "time": seconds(whole.at_us), "opcode": 1, "data": text});
                messages.push((whole.at_us, sent));
            }
            for (at, text) in &whole.frames {
                let got =
                    json!({"type": "receive", "time": seconds(*at), "opcode": 1, "data": text});
                messages.push((*at, got));
            }
        }
        messages.sort_by_key(|(at, _)| *at);
        let last = messages.last().map_or(connection.at_us, |(at, _)| *at);
        let messages: Vec<Value> = messages.into_iter().map(|(_, it)| it).collect();
        let held = own.iter().filter(|it| matches!(it.body, Body::Bytes(_)));
        let mut ours = json!({
            "exchanges": held.map(|it| it.number).collect::<Vec<u32>>(),
            "at_us": connection.at_us,
            "end_us": connection.end_us,
            "end": connection.end,
        });
        if let (None, Some(ours)) = (&connection.response_headers, ours.as_object_mut()) {
            ours.insert("response_headers_held".to_owned(), json!(false));
        }
        json!({
            "startedDateTime": self.started(connection.at_us),
            "time": in_units(last.saturating_sub(connection.at_us).cast_signed(), 1e3),
            "request": {
                "method": "GET",
                "url": self.url(Some(&connection.headers), &connection.path, "ws"),
                "httpVersion": "HTTP/1.1",
                "cookies": [],
                "headers": headers(Some(&connection.headers)),
                "queryString": query(&connection.path),
                "headersSize": -1,
                "bodySize": 0,
            },
            "response": {
                "status": connection.status.unwrap_or(0),
                "statusText": "",
                "httpVersion": "HTTP/1.1",
                "cookies": [],
                "headers": headers(connection.response_headers.as_ref()),
                "content": {"size": 0, "mimeType": "x-unknown"},
                "redirectURL": "",
                "headersSize": -1,
                "bodySize": -1,
            },
            "cache": {},
            "timings": {"send": 0, "wait": 0, "receive": 0},
            "_resourceType": "websocket",
            "_webSocketMessages": messages,
            "_replay": ours,
        })
    }
}

fn version(http: Option<&str>) -> String {
    match http {
        Some("2") => "HTTP/2.0".to_owned(),
        Some(it) => format!("HTTP/{it}"),
        None => String::new(),
    }
}

fn headers(headers: Option<&Headers<'_>>) -> Vec<Value> {
    let lines = headers.into_iter().flat_map(Headers::iter);
    lines
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

fn query(path: &str) -> Vec<Value> {
    let Some((_, query)) = path.split_once('?') else {
        return Vec::new();
    };
    query
        .split('&')
        .filter(|it| !it.is_empty())
        .map(|it| {
            let (name, value) = it.split_once('=').unwrap_or((it, ""));
            json!({"name": name, "value": value})
        })
        .collect()
}

fn mime(headers: Option<&Headers<'_>>, other: &str) -> String {
    let found = headers.and_then(|it| it.get("content-type"));
    found.unwrap_or(other).to_owned()
}

/// `postData`, or `content` with its size.
fn content(bytes: &[u8], mime: &str, sized: bool) -> Value {
    let mut content = match std::str::from_utf8(bytes) {
        Ok(text) => json!({"mimeType": mime, "text": text}),
        Err(_) => json!({"mimeType": mime, "text": STANDARD.encode(bytes), "encoding": "base64"}),
    };
    if let (true, Some(content)) = (sized, content.as_object_mut()) {
        content.insert("size".to_owned(), json!(bytes.len()));
        if bytes.is_empty() {
            content.remove("text");
        }
    }
    content
}
