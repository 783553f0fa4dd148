//! WebSocket messages of a HAR file (`_webSocketMessages`, as Chromium writes them).

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::log::Log;
use super::times::micros_of_seconds;
use crate::session::exchange::EndCause;
use crate::session::format::{
    Cause, ConnectionEndLine, ConnectionLine, FrameLine, HeaderLines, RequestLine,
};
use crate::session::lanes::Headers;
use crate::wire::lines::Reason;
use crate::wire::raw::Object;

/// A connection.
pub(super) struct Opened<'a> {
    pub(super) number: u32,
    pub(super) at_us: u64,
    /// When the recording began, in microseconds since 1970.
    pub(super) first: i64,
    pub(super) path: &'a str,
    pub(super) headers: Headers<'a>,
    pub(super) reply: Option<Object<'a>>,
}

/// Writes a connection with its messages. What the client sent as text begins an exchange.
pub(super) fn write<W: Write>(
    log: &mut Log<'_, W>,
    opened: &Opened<'_>,
    messages: &[&RawValue],
    name: &str,
) -> io::Result<()> {
    log.flush(opened.at_us)?;
    let status = opened.reply.as_ref().and_then(|it| it.small("status"));
    let response_headers = opened.reply.as_ref().map(super::har::headers_of);
    log.writer.connection(ConnectionLine {
        connection: opened.number,
        at_us: opened.at_us,
        method: Some("GET"),
        path: Some(opened.path),
        headers: Some(HeaderLines(&opened.headers)),
        status: status.filter(|it| *it > 0),
        response_headers: response_headers.as_ref().map(HeaderLines),
        extensions: None,
    })?;
    let mut last_us = opened.at_us;
    let mut current = None;
    for (at, message) in messages.iter().enumerate() {
        let Some(message) = Object::read(message.get()) else {
            let what = format!("{name}: message {} is no object", at + 1);
            log.problem(0, Reason::UnknownShape(what));
            continue;
        };
        let time = message
            .get("time")
            .map_or(0, |it| micros_of_seconds(it.get()));
        last_us = u64::try_from(time - opened.first).unwrap_or(0).max(last_us);
        let data = message.text("data").unwrap_or_default();
        let opcode = message.number("opcode").unwrap_or(1);
        let bytes = match opcode {
            1 => data.into_owned().into_bytes(),
            _ => STANDARD
                .decode(data.as_bytes())
                .unwrap_or_else(|_| data.into_owned().into_bytes()),
        };
        let sends = matches!(message.text("type").as_deref(), Some("send" | "request"));
        if sends && opcode == 1 {
            log.done.requests += 1;
            current = Some(log.done.requests);
            let line = RequestLine {
                exchange: log.done.requests,
                connection: Some(opened.number),
                at_us: last_us,
                head_at_us: None,
                transport: "websocket",
                http: None,
                method: None,
                path: None,
                headers: None,
                body_complete: None,
                body_encoded: None,
                redacted: Vec::new(),
            };
            log.writer.request(line, bytes)?;
            continue;
        }
        let line = FrameLine {
            connection: opened.number,
            exchange: current,
            at_us: last_us,
            from: if sends { "client" } else { "server" },
            r#type: match opcode {
                1 => "text",
                8 => "close",
                9 => "ping",
                10 => "pong",
                _ => "binary",
            },
            text: None,
            base64: None,
        };
        log.writer.frame(line, &bytes)?;
    }
    log.writer.connection_end(ConnectionEndLine {
        connection: opened.number,
        at_us: last_us,
        cause: Cause(EndCause::NotHeld),
        code: None,
        reason: None,
    })
}
