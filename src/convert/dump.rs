//! The folder that `codex responses-api-proxy --dump-dir` writes: `NNNNNN-<ms>-request.json` and `…-response.json`.
//!
//! The name tells when a request came. A response is written when it is over, so that no time of it is held; where there is
//! none, it never ended.

use std::borrow::Cow;
use std::io::{Read, Write};

use super::capture::Folder;
use super::har::headers_of;
use super::log::{Bytes, Hop, Log, Reply, Sent};
use super::times::to_rfc3339;
use super::{ConvertError, Converted};
use crate::session::ReadError;
use crate::session::writer::Writer;
use crate::wire::raw::{Object, compact, string};

/// A file may be as large as this: 256 MiB.
const MAX_FILE: u64 = 256 << 20;

const NOT_HELD: [&str; 6] = [
    "times of answers",
    "chunks",
    "ends of transports",
    "HTTP versions",
    "bytes of JSON bodies (their JSON is spelled compactly)",
    "tokens and cookies",
];

/// Whether a file name is that of a request.
pub(super) fn is_request(name: &str) -> bool {
    parts(name).is_some()
}

/// Sequence and milliseconds of a request's file name.
fn parts(name: &str) -> Option<(u64, u64)> {
    let (sequence, rest) = name.strip_suffix("-request.json")?.split_once('-')?;
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    (digits(sequence) && digits(rest)).then_some(())?;
    Some((sequence.parse().ok()?, rest.parse().ok()?))
}

/// Writes a recording out of such a folder.
pub(super) fn from_dump<W: Write>(
    folder: &dyn Folder,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let names = folder.list("").map_err(ReadError::Io)?;
    let mut found: Vec<(u64, u64, &String)> = names
        .iter()
        .filter_map(|name| parts(name).map(|(sequence, ms)| (ms, sequence, name)))
        .collect();
    // a proxy that is started again begins with 1 again
    found.sort_unstable();
    let mut log = Log::new(writer);
    let first = found.first().map_or(0, |(ms, ..)| *ms);
    let created = i64::try_from(first)
        .ok()
        .and_then(|it| to_rfc3339(it.saturating_mul(1000)));
    let kind = "dump of the Codex API proxy";
    let begun = log.begin(kind, &NOT_HELD, created.as_deref());
    begun.map_err(ConvertError::Write)?;
    for (ms, _, name) in found {
        let at_us = (ms - first).saturating_mul(1000);
        let request = match text_of(folder, name) {
            Ok(text) => text,
            Err(why) => {
                log.says(0, format!("{name}: {why}"));
                continue;
            }
        };
        let answer = format!(
            "{}-response.json",
            name.strip_suffix("-request.json").unwrap_or(name)
        );
        let response = if names.contains(&answer) {
            text_of(folder, &answer)
        } else {
            Err("there is no such file: the answer never ended, or the proxy did".to_owned())
        };
        let response = match response {
            Ok(text) => Some(text),
            Err(why) => {
                log.says(0, format!("{answer}: {why}"));
                None
            }
        };
        exchange(&mut log, name, at_us, &request, response.as_deref())
            .map_err(ConvertError::Write)?;
    }
    if log.done.requests == 0 {
        return Err(ConvertError::nothing(
            0,
            "no request can be read".to_owned(),
        ));
    }
    log.done.lines = 0;
    log.finish().map_err(ConvertError::Write)
}

/// The text of a file.
pub(super) fn text_of(folder: &dyn Folder, name: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let reader = folder.open(name).map_err(|error| error.to_string())?;
    reader
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is larger than 256 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_not_told| "it is not UTF-8".to_owned())
}

fn exchange<W: Write>(
    log: &mut Log<'_, W>,
    name: &str,
    at_us: u64,
    request: &str,
    response: Option<&str>,
) -> std::io::Result<()> {
    let Some(object) = Object::read(request) else {
        log.says(0, format!("{name}: it is no JSON object"));
        return Ok(());
    };
    let headers = headers_of(&object);
    let body = body_of(&object);
    let encoded = headers
        .get("content-encoding")
        .is_some_and(|it| it != "identity");
    let body = match body {
        // the proxy takes no encoding off, and writes what is no text as if it were
        Some(body) if encoded && Object::read(&body).is_none() => {
            log.says(
                0,
                format!("{name}: the request's body is compressed, and its bytes are lost"),
            );
            Sent::NotHeld(None)
        }
        Some(body) => Sent::Bytes(Cow::Owned(body.into_bytes())),
        None => Sent::None,
    };
    let reply = response.and_then(|text| {
        let Some(object) = Object::read(text) else {
            log.says(0, format!("the response to {name} is no JSON object"));
            return None;
        };
        Some(Reply {
            at_us,
            status: object
                .number("status")
                .and_then(|it| u16::try_from(it).ok()),
            headers: Some(headers_of(&object).into_owned()),
            body: Cow::Owned(body_of(&object).unwrap_or_default().into_bytes()),
            bytes: Bytes::Exact,
            parts: Vec::new(),
        })
    });
    let url = object.text("url").unwrap_or(Cow::Borrowed("/v1/responses"));
    log.put(Hop {
        line: 0,
        name: name.to_owned(),
        at_us,
        method: object.text("method").unwrap_or(Cow::Borrowed("POST")),
        path: Cow::Owned(super::har::path_of(&url)),
        headers: Some(headers),
        body,
        reply,
        end_us: at_us,
        ..Hop::default()
    })
    .map(|_| ())
}

/// A body: a text as it is, any other JSON compactly.
fn body_of(message: &Object<'_>) -> Option<String> {
    let raw = message.value("body")?;
    Some(match string(raw) {
        Some(text) => text.into_owned(),
        None => compact(raw),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_requests_are_known() {
        assert_eq!(
            parts("000012-1795271968990-request.json"),
            Some((12, 1_795_271_968_990))
        );
        for name in [
            "000012-1-response.json",
            "x-1-request.json",
            "1--request.json",
            "request.json",
        ] {
            assert_eq!(parts(name), None, "{name}");
        }
    }
}
