//! What Codex writes below `CODEX_ROLLOUT_TRACE_ROOT`: a folder with `manifest.json`, `trace.jsonl` and `payloads/`.
//!
//! A trace holds request bodies, and of answers the finished items, the response's id and how they ended; no events, status
//! or headers. Events that say the same are written in their place, and marked (`rebuilt`). What the trace says beside
//! requests (turns, tools, protocol events) is kept as client events, with its payloads.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;

use super::capture::{Folder, stays_inside};
use super::dump::text_of;
use super::log::{Bytes, Hop, Log, Reply, Sent};
use super::times::to_rfc3339;
use super::{ConvertError, Converted};
use crate::ids::LineNo;
use crate::session::ReadError;
use crate::session::exchange::EndCause;
use crate::session::format::Rewritten;
use crate::session::writer::Writer;
use crate::wire::lines::{LineReader, Reason, Values, trim};
use crate::wire::raw::{Object, compact, push_string};

const NOT_HELD: [&str; 8] = [
    "headers",
    "HTTP versions and paths (each request is taken for POST /v1/responses)",
    "status of answers",
    "events of streams and their times (marked as rebuilt: an event for each finished item)",
    "items that were begun and not finished",
    "attempts the HTTP client made by itself",
    "warm-ups (a WebSocket request that went on from one stands whole)",
    "connections (a thread spoke over one WebSocket if one of its requests says so, else over HTTP)",
];

/// The newest `schema_version` that this was written for.
const SCHEMA: u64 = 2;

/// Writes a recording out of such a folder.
pub(super) fn from_trace<W: Write>(
    folder: &dyn Folder,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let manifest = text_of(folder, "manifest.json");
    let mut log = Log::new(writer);
    let manifest = match &manifest {
        Ok(text) => Object::read(text).unwrap_or_default(),
        Err(_) => Object::default(),
    };
    let started_ms = manifest.number("started_at_unix_ms");
    let created = started_ms
        .and_then(|ms| i64::try_from(ms).ok())
        .and_then(|ms| to_rfc3339(ms.saturating_mul(1000)));
    let schema = manifest.number("schema_version");
    match schema {
        Some(newer) if newer > SCHEMA => log.says(
            0,
            format!("manifest.json: schema_version {newer} is newer than this program"),
        ),
        None => log.says(0, "manifest.json is missing or damaged".to_owned()),
        Some(_) => {}
    }
    let event_log = manifest.text("raw_event_log");
    let event_log = event_log.as_deref().unwrap_or("trace.jsonl");
    if !stays_inside(event_log) {
        return Err(ConvertError::nothing(
            0,
            format!("manifest.json names a file outside of the folder: {event_log}"),
        ));
    }
    let mut trace = Trace {
        folder,
        name: event_log.to_owned(),
        log: &mut log,
        first_ms: started_ms,
        open: BTreeMap::new(),
        connections: BTreeMap::new(),
        sockets: BTreeSet::new(),
    };
    let reader = folder.open(event_log).map_err(ReadError::Io)?;
    let begun = trace
        .log
        .begin("Codex rollout trace", &NOT_HELD, created.as_deref());
    begun.map_err(ConvertError::Write)?;
    trace.find_sockets()?;
    let mut lines = LineReader::new(reader);
    while let Some(line) = lines.next_line().map_err(ReadError::Io)? {
        trace.log.done.lines = line.number;
        let (bytes, found) = trim(&line);
        if let Some(reason) = found {
            trace.log.problem(line.number, reason);
        }
        let text = String::from_utf8_lossy(bytes);
        for value in Values::new(&text) {
            match value {
                Ok(value) => trace
                    .line(value, line.number)
                    .map_err(ConvertError::Write)?,
                Err(_) if !line.ended => trace.log.problem(line.number, Reason::TornTail),
                Err(why) => trace.log.problem(line.number, Reason::NotJson(why)),
            }
        }
    }
    trace.finish().map_err(ConvertError::Write)?;
    log.finish().map_err(ConvertError::Write)
}

/// An inference, or a compaction by the endpoint, that has begun.
struct Begun {
    line: LineNo,
    at_us: u64,
    thread: String,
    compacts: bool,
    body: Option<String>,
}

struct Trace<'a, 'l, 'w, W: Write> {
    folder: &'a dyn Folder,
    name: String,
    log: &'l mut Log<'w, W>,
    first_ms: Option<u64>,
    /// By `inference_call_id`.
    open: BTreeMap<String, (u64, Begun)>,
    connections: BTreeMap<String, u32>,
    /// Threads that spoke over a WebSocket.
    sockets: BTreeSet<String>,
}

impl<W: Write> Trace<'_, '_, '_, W> {
    /// Looks which threads spoke over a WebSocket: some of their requests say so, and the others went the same way.
    fn find_sockets(&mut self) -> Result<(), ConvertError> {
        let reader = self.folder.open(&self.name).map_err(ReadError::Io)?;
        let mut lines = LineReader::new(reader);
        while let Some(line) = lines.next_line().map_err(ReadError::Io)? {
            let text = String::from_utf8_lossy(line.bytes);
            let object = Object::read(&text);
            let payload = object.as_ref().and_then(|it| it.object("payload"));
            let Some(payload) =
                payload.filter(|it| it.text("type").as_deref() == Some("inference_started"))
            else {
                continue;
            };
            let thread = payload.text("thread_id").unwrap_or_default().into_owned();
            if self.sockets.contains(&thread) {
                continue;
            }
            let body = payload
                .object("request_payload")
                .and_then(|it| it.text("path").map(Cow::into_owned))
                .filter(|path| stays_inside(path))
                .and_then(|path| text_of(self.folder, &path).ok());
            let of_socket = body
                .as_deref()
                .and_then(Object::read)
                .is_some_and(|body| body.text("type").as_deref() == Some("response.create"));
            if of_socket {
                self.sockets.insert(thread);
            }
        }
        Ok(())
    }

    fn line(&mut self, text: &str, line: LineNo) -> std::io::Result<()> {
        let object = Object::read(text);
        let payload = object.as_ref().and_then(|it| it.object("payload"));
        let (Some(object), Some(payload)) = (object, payload) else {
            let what = "no object with a `payload`".to_owned();
            self.log.problem(line, Reason::UnknownShape(what));
            return Ok(());
        };
        let at_us = match object.number("wall_time_unix_ms") {
            Some(ms) => {
                let first = *self.first_ms.get_or_insert(ms);
                ms.saturating_sub(first).saturating_mul(1000)
            }
            None => 0,
        };
        let id = [
            "inference_call_id",
            "compaction_id",
            "compaction_request_id",
        ]
        .iter()
        .filter_map(|key| payload.text(key))
        .collect::<Vec<_>>()
        .join("/");
        let kind = payload.text("type").unwrap_or_default();
        let of_request = ["inference_", "compaction_request_"]
            .iter()
            .find_map(|it| kind.strip_prefix(it));
        if of_request.is_some() {
            // what it tells beside the bodies: provider, model, the request's id at the endpoint
            self.log.event(at_us, compact(text));
        }
        match of_request.unwrap_or("") {
            "started" => {
                let begun = Begun {
                    line,
                    at_us,
                    thread: payload.text("thread_id").unwrap_or_default().into_owned(),
                    compacts: kind.starts_with("compaction_"),
                    body: self.payload(&payload, "request_payload", line),
                };
                let order = u64::from(line);
                if let Some((_, earlier)) = self.open.insert(id, (order, begun)) {
                    self.put(earlier, None, EndCause::NotHeld, at_us, None)?;
                }
                Ok(())
            }
            how @ ("completed" | "failed" | "cancelled") => {
                let Some((_, begun)) = self.open.remove(&id) else {
                    let what = format!("`{kind}` of a request that did not begin");
                    self.log.problem(line, Reason::UnknownShape(what));
                    return Ok(());
                };
                self.over(how, &payload, begun, line, at_us)
            }
            // any other word of them is kept as it stands, above
            _ if of_request.is_some() => Ok(()),
            _ => {
                let json = self.event(&object, &payload, line);
                self.log.event(at_us, json);
                Ok(())
            }
        }
    }

    /// The text of a payload that a line names.
    fn payload(&mut self, of: &Object<'_>, key: &str, line: LineNo) -> Option<String> {
        let reference = of.object(key)?;
        let path = reference.text("path")?;
        let name = self.name.clone();
        if !stays_inside(&path) {
            self.log.says(
                line,
                format!("{name}: {path} is outside of the folder, and is not read"),
            );
            return None;
        }
        match text_of(self.folder, &path) {
            Ok(text) if Object::read(&text).is_some() => Some(text),
            Ok(_) => {
                self.log
                    .says(line, format!("{name}: {path} is no JSON object"));
                None
            }
            Err(why) => {
                self.log.says(line, format!("{name}: {path}: {why}"));
                None
            }
        }
    }

    fn over(
        &mut self,
        how: &str,
        payload: &Object<'_>,
        begun: Begun,
        line: LineNo,
        at_us: u64,
    ) -> std::io::Result<()> {
        let key = if how == "completed" {
            "response_payload"
        } else {
            "partial_response_payload"
        };
        let answer = self.payload(payload, key, line);
        let answer = answer.as_deref().and_then(Object::read).unwrap_or_default();
        let id = answer
            .text("response_id")
            .or_else(|| payload.text("response_id"));
        let why = payload.text("error").or_else(|| payload.text("reason"));
        let mut text = String::new();
        if let Some(id) = id.as_deref().filter(|_| how != "completed") {
            let mut response = String::from("{\"id\":");
            push_string(&mut response, id);
            response.push_str(",\"object\":\"response\",\"status\":\"in_progress\"}");
            event(
                &mut text,
                "response.created",
                &format!("\"response\":{response}"),
            );
        }
        for (index, item) in answer
            .array("output_items")
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let item = compact(item.get());
            let rest = format!("\"output_index\":{index},\"item\":{item}");
            event(&mut text, "response.output_item.done", &rest);
        }
        let error = why.as_deref().unwrap_or("");
        let (mut cause, mut status, mut refusal) = (EndCause::NotHeld, None, None);
        match how {
            "completed" => {
                let mut response = String::from("{");
                if let Some(id) = &id {
                    response.push_str("\"id\":");
                    push_string(&mut response, id);
                    response.push(',');
                }
                response.push_str("\"object\":\"response\",\"status\":\"completed\"");
                if let Some(usage) = answer.value("token_usage") {
                    let _ = write!(response, ",\"usage\":{}", compact(usage));
                }
                response.push('}');
                event(
                    &mut text,
                    "response.completed",
                    &format!("\"response\":{response}"),
                );
            }
            "cancelled" => cause = EndCause::ClientClosed,
            _ => {
                if let Some(reason) = error.strip_prefix("Incomplete response returned, reason: ") {
                    let mut response = String::from(
                        "{\"object\":\"response\",\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":",
                    );
                    push_string(&mut response, reason.trim());
                    response.push_str("}}");
                    event(
                        &mut text,
                        "response.incomplete",
                        &format!("\"response\":{response}"),
                    );
                } else if text.is_empty() && Object::read(error).is_some() {
                    refusal = Some(error.to_owned());
                } else if let Some((code, body)) = unexpected_status(error) {
                    status = Some(code);
                    refusal = Some(body.to_owned());
                }
            }
        }
        let body = refusal.unwrap_or(text);
        let reply = Reply {
            at_us,
            status,
            headers: None,
            body: Cow::Owned(body.into_bytes()),
            bytes: Bytes::Rebuilt,
            parts: Vec::new(),
        };
        let why = why.map(Cow::into_owned);
        self.put(begun, Some(reply), cause, at_us, why)
    }

    fn put(
        &mut self,
        begun: Begun,
        reply: Option<Reply<'_>>,
        end: EndCause,
        end_us: u64,
        detail: Option<String>,
    ) -> std::io::Result<()> {
        let websocket = self.sockets.contains(&begun.thread).then(|| {
            let next = self.connections.len() as u32 + 1;
            *self.connections.entry(begun.thread.clone()).or_insert(next)
        });
        // a compaction is asked of an endpoint of its own, unless the last item of an ordinary request asks for it
        let path = match &begun.body {
            Some(body) if begun.compacts && !body.contains("\"compaction_trigger\"") => {
                "/v1/responses/compact"
            }
            _ => "/v1/responses",
        };
        self.log
            .put(Hop {
                line: begun.line,
                name: format!("{}: the request of line {}", self.name, begun.line),
                at_us: begun.at_us,
                path: path.into(),
                websocket,
                body: match begun.body {
                    Some(body) => Sent::Bytes(Cow::Owned(
                        socket_body(&compact(&body), websocket).into_bytes(),
                    )),
                    None => Sent::NotHeld(None),
                },
                reply,
                end: Some(end),
                end_us,
                detail: detail.map(Cow::Owned),
                ..Hop::default()
            })
            .map(|_| ())
    }

    /// Any other line, with its payloads in place of the names of their files.
    fn event(&mut self, object: &Object<'_>, payload: &Object<'_>, line: LineNo) -> String {
        let mut inner = Rewritten::new(payload);
        for (key, raw) in payload.members() {
            let names_one =
                Object::read(raw.get()).is_some_and(|it| it.get("raw_payload_id").is_some());
            if names_one && let Some(text) = self.payload(payload, key, line) {
                inner.set(key, compact(&text));
            }
        }
        let mut outer = Rewritten::new(object);
        outer.set("payload", inner.to_json());
        outer.to_json()
    }

    /// What never ended, as when the process was killed.
    fn finish(&mut self) -> std::io::Result<()> {
        let mut rest: Vec<(u64, Begun)> = std::mem::take(&mut self.open).into_values().collect();
        rest.sort_unstable_by_key(|(order, _)| *order);
        for (_, begun) in rest {
            let line = begun.line;
            let name = self.name.clone();
            self.log
                .says(line, format!("{name}: nothing says how this request ended"));
            let at_us = begun.at_us;
            self.put(begun, None, EndCause::NotHeld, at_us, None)?;
        }
        Ok(())
    }
}

/// A message of a WebSocket says that it is one; a trace keeps some of them without that.
fn socket_body(body: &str, websocket: Option<u32>) -> String {
    match body.strip_prefix('{') {
        Some(rest)
            if websocket.is_some()
                && Object::read(body).is_some_and(|it| it.get("type").is_none()) =>
        {
            format!("{{\"type\":\"response.create\",{rest}")
        }
        _ => body.to_owned(),
    }
}

fn event(out: &mut String, kind: &str, rest: &str) {
    let _ = write!(
        out,
        "event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}}}\n\n"
    );
}

/// `unexpected status 503 Service Unavailable: BODY, url: …`, as Codex words it.
fn unexpected_status(error: &str) -> Option<(u16, &str)> {
    let rest = error.strip_prefix("unexpected status ")?;
    let code = rest.get(..3)?.parse().ok()?;
    let body = rest.split_once(": ").map_or("", |(_, body)| body);
    // behind a body of JSON stand further words of Codex's own
    let json = body.starts_with('{').then(|| Values::new(body).next());
    Some((code, json.flatten().and_then(Result::ok).unwrap_or(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_out_of_the_words() {
        let found =
            unexpected_status("unexpected status 503 Service Unavailable: busy, url: http://x/v1");
        assert_eq!(found, Some((503, "busy, url: http://x/v1")));
        let found = unexpected_status("unexpected status 500 E: {\"error\":{}}, url: http://x/v1");
        assert_eq!(found, Some((500, "{\"error\":{}}")));
        assert_eq!(unexpected_status("stream disconnected"), None);
        assert_eq!(unexpected_status("unexpected status é"), None);
    }
}
