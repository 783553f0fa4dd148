//! HAR 1.2 files, as browsers, mitmproxy and other proxies write them. Entries are read one after another.
//!
//! Times are as exact as the file has them: the head of an answer came when its `receive` began, its body is one piece.
//! A file that this program wrote also says when each chunk came (`_replay`), and how the exchange ended.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{BufReader, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::log::{Bytes, Hop, Log, Opened, Reply, Sent};
use super::times::{micros_of_ms, rfc3339, to_rfc3339};
use super::{ConvertError, Converted, sockets};
use crate::session::ReadError;
use crate::session::exchange::EndCause;
use crate::session::format::cause_of;
use crate::session::lanes::Headers;
use crate::session::writer::Writer;
use crate::wire::lines::Reason;
use crate::wire::raw::{Object, string};

const NOT_HELD: [&str; 3] = [
    "chunks and their times",
    "ends of transports",
    "bodies that the file leaves out",
];

/// Writes a recording out of a HAR file.
pub(super) fn from_har<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let mut log = Log::new(writer);
    let mut failed = None;
    let mut count = 0;
    let mut state = State::default();
    let mut take = |entry: &str| {
        count += 1;
        if failed.is_none() {
            failed = state.entry(&mut log, entry, count).err();
        }
    };
    let mut json = serde_json::Deserializer::from_reader(Marked::new(BufReader::with_capacity(
        256 << 10,
        reader,
    )));
    let read = json.deserialize_map(Level {
        path: &["log", "entries"],
        take: &mut take,
    });
    if let Some(error) = failed {
        return Err(ConvertError::Write(error));
    }
    if let Err(error) = read {
        if count == 0 || error.is_io() {
            let why = error.to_string();
            let error = if error.is_io() {
                ReadError::Io(error.into())
            } else {
                ReadError::NotJson { why }
            };
            return Err(error.into());
        }
        let reason = if error.is_eof() {
            Reason::TornTail
        } else {
            Reason::NotJson(error.to_string())
        };
        log.problem(error.line() as u32, reason);
    }
    log.flush(u64::MAX).map_err(ConvertError::Write)?;
    if log.done.requests == 0 {
        return Err(ConvertError::nothing(
            0,
            "the file has no entries".to_owned(),
        ));
    }
    log.done.lines = 1;
    log.finish().map_err(ConvertError::Write)
}

/// Takes a byte order mark off.
struct Marked<R> {
    reader: R,
    begun: bool,
}

impl<R: Read> Marked<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            begun: false,
        }
    }
}

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(into)?;
        if !std::mem::replace(&mut self.begun, true)
            && into
                .get(..count)
                .is_some_and(|it| it.starts_with(b"\xef\xbb\xbf"))
        {
            into.copy_within(3..count, 0);
            return match count - 3 {
                0 => self.reader.read(into),
                rest => Ok(rest),
            };
        }
        Ok(count)
    }
}

/// Goes down into the document to an array, and hands its elements on as text.
struct Level<'a> {
    path: &'a [&'a str],
    take: &'a mut dyn FnMut(&str),
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            [name, ..] => write!(f, "an object with `{name}`"),
            [] => f.write_str("an array of entries"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.path {
                [name, rest @ ..] if key == *name => map.next_value_seed(Level {
                    path: rest,
                    take: &mut *self.take,
                })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Box<RawValue>>()? {
            (self.take)(element.get());
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            deserializer.deserialize_seq(self)
        } else {
            deserializer.deserialize_map(self)
        }
    }
}

#[derive(Default)]
struct State {
    /// When the first entry began, in microseconds since 1970.
    first: Option<i64>,
    connections: u32,
}

impl State {
    fn entry<W: Write>(
        &mut self,
        log: &mut Log<'_, W>,
        text: &str,
        count: u32,
    ) -> std::io::Result<()> {
        let entry = Object::read(text);
        let started = entry.as_ref().and_then(|it| it.text("startedDateTime"));
        let own = entry.as_ref().and_then(|it| it.object("_replay"));
        let dated = own.as_ref().and_then(|it| it.flag("date_held")) != Some(false);
        let started_us = started.as_deref().and_then(rfc3339);
        // a file of our own also says how long after its beginning that was
        let own_us = own.as_ref().and_then(|it| it.number("at_us"));
        let began_us =
            started_us.map(|it| it - own_us.and_then(|us| us.try_into().ok()).unwrap_or(0));
        if !log.has_begun() {
            let mut not_held = NOT_HELD.to_vec();
            if started_us.is_none() {
                not_held.push("times");
            }
            let created = began_us.filter(|_| dated).and_then(to_rfc3339);
            log.begin("HAR file", &not_held, created.as_deref())?;
        }
        let name = format!("entry {count}");
        let (Some(entry), Some(request)) =
            (&entry, entry.as_ref().and_then(|it| it.object("request")))
        else {
            log.problem(
                0,
                Reason::UnknownShape(format!("{name}: no object with `request`")),
            );
            return Ok(());
        };
        let first = *self.first.get_or_insert(began_us.unwrap_or(0));
        let at_us = started_us.map_or(0, |it| u64::try_from(it - first).unwrap_or(0));
        if let Some(messages) = entry.array("_webSocketMessages") {
            self.connections += 1;
            log.flush(at_us)?;
            let response = entry.object("response");
            let status = response.as_ref().and_then(|it| it.small("status"));
            let opened = Opened {
                connection: self.connections,
                path: path_of(&request.text("url").unwrap_or_default()),
                headers: headers_of(&request).into_owned(),
                status: status.filter(|it| *it > 0),
                response_headers: response
                    .as_ref()
                    .filter(|it| {
                        let held = own.as_ref().and_then(|it| it.flag("response_headers_held"));
                        held != Some(false) && !headers_missing(it)
                    })
                    .map(|it| headers_of(it).into_owned()),
                numbers: own.as_ref().map(numbers).unwrap_or_default(),
            };
            let end = own.as_ref().map_or(Some(EndCause::NotHeld), end_of);
            let end_us = own.as_ref().and_then(|it| it.number("end_us"));
            let at_us = own_us.unwrap_or(at_us);
            sockets::put(
                log,
                at_us,
                first,
                opened,
                &messages,
                &name,
                end.zip(Some(end_us)),
            );
            return Ok(());
        }
        let hop = hop(log, entry, &request, at_us, name);
        log.put(hop).map(|_| ())
    }
}

fn hop<'a, W: Write>(
    log: &mut Log<'_, W>,
    entry: &Object<'a>,
    request: &Object<'a>,
    at_us: u64,
    name: String,
) -> Hop<'a> {
    let own = entry.object("_replay");
    let held = |what: &str| own.as_ref().and_then(|it| it.flag(what)) != Some(false);
    let method = request.text("method").unwrap_or(Cow::Borrowed("POST"));
    let body = match request.object("postData") {
        Some(data) => match text_of(&data) {
            Ok(Some(bytes)) => Sent::Bytes(bytes),
            Ok(None) => Sent::NotHeld(None),
            Err(why) => {
                log.says(0, format!("{name}: the request's body {why}"));
                Sent::NotHeld(None)
            }
        },
        None if request.number("bodySize").is_some_and(|it| it > 0) => Sent::NotHeld(None),
        None => Sent::None,
    };
    let timings = entry.object("timings");
    let receive = timings.as_ref().and_then(|it| it.get("receive"));
    let receive_us = receive.map_or(0, |it| micros_of_ms(it.get()));
    let whole_us = entry.get("time").map_or(0, |it| micros_of_ms(it.get()));
    let end_us = at_us.saturating_add(whole_us);
    let head_us = end_us.saturating_sub(receive_us).max(at_us);
    let response = entry.object("response");
    let status = response
        .as_ref()
        .and_then(|it| it.number("status"))
        .and_then(|it| u16::try_from(it).ok())
        .filter(|it| *it > 0);
    let error = entry
        .text("_error")
        .or_else(|| response.as_ref().and_then(|it| it.text("_error")))
        .filter(|it| !it.is_empty());
    let reply = response.as_ref().and_then(|response| {
        let content = response.object("content");
        let mut bytes = Bytes::Exact;
        let body = match content.as_ref().map(text_of) {
            Some(Ok(Some(body))) => body,
            Some(Err(why)) => {
                log.says(0, format!("{name}: the answer's body {why}"));
                Cow::Borrowed(&b""[..])
            }
            _ if entry.array("_eventSourceMessages").is_some() => {
                bytes = Bytes::Rebuilt;
                Cow::Owned(event_source(entry).into_bytes())
            }
            _ => {
                let size = content.as_ref().and_then(|it| it.number("size"));
                if size.is_some_and(|it| it > 0) || status == Some(200) && size.is_none() {
                    log.says(0, format!("{name}: the answer's body is not in the file"));
                }
                Cow::Borrowed(&b""[..])
            }
        };
        let headers = headers_of(response);
        (status.is_some() || !body.is_empty()).then(|| Reply {
            at_us: own
                .as_ref()
                .and_then(|it| it.number("head_us"))
                .unwrap_or(head_us),
            status: status.filter(|_| held("status_held")),
            headers: (!headers_missing(response) && held("response_headers_held"))
                .then_some(headers),
            body,
            bytes: match own.as_ref().and_then(|it| it.flag("rebuilt")) {
                Some(true) => Bytes::Rebuilt,
                _ => bytes,
            },
            parts: own.as_ref().map(parts).unwrap_or_default(),
        })
    });
    Hop {
        line: 0,
        name,
        at_us: own
            .as_ref()
            .and_then(|it| it.number("at_us"))
            .unwrap_or(at_us),
        method,
        path: Cow::Owned(path_of(&request.text("url").unwrap_or_default())),
        http: request
            .text("httpVersion")
            .as_deref()
            .and_then(http_version),
        websocket: None,
        headers: (!headers_missing(request) && held("headers_held")).then(|| headers_of(request)),
        body,
        reply,
        end: own.as_ref().map_or(Some(EndCause::NotHeld), end_of),
        end_us: own
            .as_ref()
            .and_then(|it| it.number("end_us"))
            .unwrap_or(end_us),
        detail: own.as_ref().and_then(|it| it.text("detail")).or(error),
        number: own.as_ref().and_then(|it| it.small("exchange")),
    }
}

/// How an exchange or a connection ended, of a file of our own; `None` if nothing was on file.
fn end_of(own: &Object<'_>) -> Option<EndCause> {
    if own.get("end").map(RawValue::get) == Some("null") {
        return None;
    }
    let cause = own.text("end").as_deref().and_then(cause_of);
    Some(cause.unwrap_or(EndCause::NotHeld))
}

/// The numbers of the exchanges of a connection, last first, of a file of our own.
fn numbers(own: &Object<'_>) -> Vec<u32> {
    let listed = own.value("exchanges").unwrap_or("[]");
    let mut numbers: Vec<u32> = serde_json::from_str(listed).unwrap_or_default();
    numbers.reverse();
    numbers
}

/// When so many bytes had come, of a file of our own.
fn parts(own: &Object<'_>) -> Vec<(u64, usize)> {
    let pairs = own.array("chunks").unwrap_or_default();
    let read = |raw: &&RawValue| {
        let [at, length]: [u64; 2] = serde_json::from_str(raw.get()).ok()?;
        Some((at, usize::try_from(length).ok()?))
    };
    pairs.iter().filter_map(read).collect()
}

/// The events of an `EventSource`, which Chromium lists without their bytes.
fn event_source(entry: &Object<'_>) -> String {
    let mut text = String::new();
    for message in entry.array("_eventSourceMessages").unwrap_or_default() {
        let Some(message) = Object::read(message.get()) else {
            continue;
        };
        let line = |key: &str| {
            let text = message.text(key).filter(|it| !it.is_empty());
            text.map(|it| it.replace(['\n', '\r'], " "))
        };
        for (field, key) in [("id", "eventId"), ("event", "eventName")] {
            if let Some(value) = line(key) {
                let _ = writeln!(text, "{field}: {value}");
            }
        }
        for data in message.text("data").unwrap_or_default().lines() {
            let _ = writeln!(text, "data: {data}");
        }
        text.push('\n');
    }
    text
}

/// The text of `postData` or `content`; `None` if it has none.
fn text_of<'a>(object: &Object<'a>) -> Result<Option<Cow<'a, [u8]>>, &'static str> {
    let Some(text) = object.text("text") else {
        return Ok(None);
    };
    if object.text("encoding").as_deref() == Some("base64") {
        let dense: Vec<u8> = text
            .bytes()
            .filter(|it| !it.is_ascii_whitespace())
            .collect();
        return match STANDARD.decode(dense) {
            Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
            Err(_) => Err("is no base64"),
        };
    }
    Ok(Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }))
}

fn headers_missing(message: &Object<'_>) -> bool {
    message.array("headers").is_none()
}

pub(super) fn headers_of<'a>(message: &Object<'a>) -> Headers<'a> {
    let pairs = message.array("headers").unwrap_or_default();
    Headers::new(pairs.into_iter().filter_map(|raw| {
        let pair = Object::read(raw.get())?;
        let value = pair.value("value").map_or(Cow::Borrowed(""), |raw| {
            string(raw).unwrap_or(Cow::Borrowed(raw))
        });
        Some((pair.text("name")?, value))
    }))
}

/// The path of a URL with its query.
pub(super) fn path_of(url: &str) -> String {
    let behind = url.split_once("://").map_or(url, |(_, rest)| {
        rest.find(['/', '?'])
            .and_then(|at| rest.get(at..))
            .unwrap_or("/")
    });
    let path = behind.split('#').next().unwrap_or("/");
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn http_version(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "http/1.0" => Some("1.0"),
        "http/1.1" => Some("1.1"),
        "h2" | "http/2" | "http/2.0" => Some("2"),
        "h3" | "http/3" | "http/3.0" => Some("3"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_out_of_urls() {
        for (url, path) in [
            ("https://h.example/v1/responses?a=b#c", "/v1/responses?a=b"),
            ("https://h.example", "/"),
            ("https://h.example?x", "/?x"),
            ("/v1/responses", "/v1/responses"),
            ("v1", "/v1"),
            ("", "/"),
        ] {
            assert_eq!(path_of(url), path, "{url}");
        }
    }
}
