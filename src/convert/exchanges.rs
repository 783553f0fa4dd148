//! Lines of `{request,status,body}` as a recording.

use std::io::{Read, Write};

use super::{ConvertError, Converted};
use crate::session::exchange::EndCause;
use crate::session::exchanges::{ExchangeLine, each};
use crate::session::format::{Cause, EndLine, RequestLine, ResponseLine, SessionLine};
use crate::session::writer::Writer;
use crate::wire::lines::Problem;
use crate::wire::sse::{Mode, frames};

/// Writes a recording out of `{request,status,body}` lines.
///
/// # Errors
/// If `reader` fails or gives something else, or if the recording cannot be written.
pub fn from_exchanges<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let mut done = Converted::default();
    let mut failed = Ok(());
    let mut begun = false;
    done.lines = each(reader, |found, line| {
        if failed.is_err() {
            return;
        }
        match found {
            Ok(found) => {
                if !begun {
                    begun = true;
                    failed = writer.session(&SessionLine {
                        recorder: Some(concat!("replay ", env!("CARGO_PKG_VERSION"))),
                        converted_from: Some("request, status and body"),
                        not_held: vec!["headers", "times", "chunks", "ends of transports"],
                        ..SessionLine::default()
                    });
                }
                done.requests += 1;
                if failed.is_ok() {
                    failed = exchange(writer, done.requests, &found);
                }
            }
            Err(reason) => done.problems.push(Problem { line, reason }),
        }
    })?;
    failed.map_err(ConvertError::Write)?;
    Ok(done)
}

fn exchange<W: Write>(
    writer: &mut Writer<W>,
    number: u32,
    found: &ExchangeLine,
) -> std::io::Result<()> {
    let line = RequestLine {
        exchange: number,
        connection: None,
        at_us: 0,
        head_at_us: None,
        transport: "http",
        http: None,
        method: Some(&found.method),
        path: Some(&found.path),
        headers: None,
        body_complete: None,
        body_encoded: None,
        redacted: Vec::new(),
    };
    writer.request(line, found.request.clone().into_bytes())?;
    if let Some(status) = found.status {
        writer.response(ResponseLine {
            exchange: number,
            at_us: 0,
            status: status.into(),
            headers: None,
        })?;
    }
    let body = found.body.as_bytes();
    let stream = !found.body.trim_start().starts_with(['{', '[', '<', '"']);
    if !stream {
        writer.chunk(number, 0, body, None)?;
    } else if !body.is_empty() {
        for frame in frames(body, found.mode()) {
            let range = frame.raw.start as usize..frame.raw.end as usize;
            let mut bytes = body.get(range).unwrap_or(&[]).to_vec();
            // dumps lose blank lines and the last line end; a stream without them means something else
            let lost = found.mode() == Mode::Tolerant || !frame.whole;
            if lost && frame.data.is_some() {
                while bytes.last().is_some_and(u8::is_ascii_whitespace) {
                    bytes.pop();
                }
                bytes.extend_from_slice(b"\n\n");
            }
            writer.chunk(number, 0, &bytes, None)?;
        }
    }
    writer.end(EndLine {
        exchange: number,
        at_us: 0,
        cause: Cause(EndCause::NotHeld),
        detail: None,
        trailers: None,
    })
}
