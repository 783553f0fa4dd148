//! WebSocket messages of a HAR file (`_webSocketMessages`, as Chromium writes them).

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::log::{Log, Message, Opened};
use super::times::micros_of_seconds;
use crate::session::exchange::EndCause;
use crate::wire::lines::Reason;
use crate::wire::raw::Object;

/// Puts a connection with its messages in their places in time. `first` is when the recording began, in microseconds since
/// 1970. `end` is how the connection ended, and when, if that is known; `None` if it is known that nothing tells.
pub(super) fn put<W: Write>(
    log: &mut Log<'_, W>,
    at_us: u64,
    first: i64,
    opened: Opened,
    messages: &[&RawValue],
    name: &str,
    end: Option<(EndCause, Option<u64>)>,
) {
    let connection = opened.connection;
    log.opened(at_us, opened);
    let mut last_us = at_us;
    for (at, message) in messages.iter().enumerate() {
        let Some(message) = Object::read(message.get()) else {
            let what = format!("{name}: message {} is no object", at + 1);
            log.problem(0, Reason::UnknownShape(what));
            continue;
        };
        let time = message
            .get("time")
            .map_or(0, |it| micros_of_seconds(it.get()));
        last_us = u64::try_from(time - first).unwrap_or(0).max(last_us);
        let data = message.text("data").unwrap_or_default();
        let kind = match message.number("opcode").unwrap_or(1) {
            1 => "text",
            8 => "close",
            9 => "ping",
            10 => "pong",
            _ => "binary",
        };
        let bytes = match kind {
            "text" => data.into_owned().into_bytes(),
            _ => STANDARD
                .decode(data.as_bytes())
                .unwrap_or_else(|_| data.into_owned().into_bytes()),
        };
        let sender = message.text("type");
        let message = Message {
            connection,
            from_client: matches!(sender.as_deref(), Some("send" | "request")),
            kind,
            bytes,
        };
        log.message(last_us, message);
    }
    if let Some((cause, at_us)) = end {
        log.closed(at_us.unwrap_or(0).max(last_us), connection, cause);
    }
}
