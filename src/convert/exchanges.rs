//! Lines of `{request,status,body}` as a recording.

use std::borrow::Cow;
use std::io::{Read, Write};

use super::log::{Bytes, Hop, Log, Reply, Sent};
use super::{ConvertError, Converted};
use crate::session::exchanges::{ExchangeLine, each};
use crate::session::writer::Writer;

const NOT_HELD: [&str; 4] = ["headers", "times", "chunks", "ends of transports"];

/// Writes a recording out of `{request,status,body}` lines.
///
/// # Errors
/// If `reader` fails or gives something else, or if the recording cannot be written.
pub fn from_exchanges<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let mut log = Log::new(writer);
    let mut failed = Ok(());
    let lines = each(reader, |found, line| {
        if failed.is_err() {
            return;
        }
        match found {
            Ok(found) => {
                failed = log
                    .begin("request, status and body", &NOT_HELD, None)
                    .and_then(|()| exchange(&mut log, line, &found));
            }
            Err(reason) => log.problem(line, reason),
        }
    })?;
    failed.map_err(ConvertError::Write)?;
    log.done.lines = lines;
    log.finish().map_err(ConvertError::Write)
}

fn exchange<W: Write>(
    log: &mut Log<'_, W>,
    line: u32,
    found: &ExchangeLine,
) -> std::io::Result<()> {
    log.put(Hop {
        line,
        name: format!("the exchange of line {line}"),
        method: Cow::Borrowed(&found.method),
        path: Cow::Borrowed(&found.path),
        body: if found.request.is_empty() {
            Sent::None
        } else {
            Sent::Bytes(Cow::Borrowed(found.request.as_bytes()))
        },
        reply: Some(Reply {
            at_us: 0,
            status: found.status,
            headers: None,
            body: Cow::Borrowed(found.body.as_bytes()),
            bytes: Bytes::Dump,
            parts: Vec::new(),
        }),
        ..Hop::default()
    })
    .map(|_| ())
}
