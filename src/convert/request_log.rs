//! A request log as a recording: lines of `{t,kind,n,…}` with the kinds `request`, `response`, `chunk`, `end` and
//! `ws_open`, as scripted endpoints write them.
//!
//! Such a log holds bodies and events as JSON values and one time per line, not bytes. Verdicts and other notes of the
//! endpoint are left out: what they say can be derived.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use super::{ConvertError, Converted};
use crate::session::ReadError;
use crate::session::exchange::EndCause;
use crate::session::format::{
    Cause, ConnectionLine, EndLine, FrameLine, HeaderLines, RequestLine, ResponseLine, SessionLine,
};
use crate::session::lanes::Headers;
use crate::session::sniff::{Kind, foreign, sniff};
use crate::session::writer::Writer;
use crate::wire::lines::{LineReader, Problem, Reason, Values, trim};
use crate::wire::raw::{Object, compact};

/// What such a log does not hold.
const NOT_HELD: [&str; 6] = [
    "creation time",
    "HTTP versions",
    "bytes of bodies and frames (their JSON is spelled compactly)",
    "heads of responses (the status of a stream is 200)",
    "ends of streams the client left",
    "ends of connections",
];

/// Writes a recording out of a request log.
///
/// # Errors
/// If `reader` fails or gives something else, or if the recording cannot be written.
pub fn from_lab_log<R: Read, W: Write>(
    reader: R,
    writer: &mut Writer<W>,
) -> Result<Converted, ConvertError> {
    let mut lines = LineReader::new(reader);
    let mut log = Log {
        writer,
        done: Converted::default(),
        sent: BTreeMap::new(),
        upgrade: None,
        begun: false,
        first: 0,
        highest: 0,
    };
    while let Some(line) = lines.next_line().map_err(ReadError::Io)? {
        log.done.lines = line.number;
        let (bytes, found) = trim(&line);
        log.problem(line.number, found);
        let text = String::from_utf8_lossy(bytes);
        for value in Values::new(&text) {
            match value {
                Ok(value) => log.value(value, line.number)?,
                Err(why) if log.begun => {
                    let torn = !line.ended;
                    let reason = if torn {
                        Reason::TornTail
                    } else {
                        Reason::NotJson(why)
                    };
                    log.problem(line.number, Some(reason));
                }
                Err(why) => return Err(refuse(bytes, line.number, &why).into()),
            }
        }
    }
    if !log.begun {
        return Err(ReadError::Empty.into());
    }
    log.release().map_err(ConvertError::Write)?;
    Ok(log.done)
}

fn refuse(bytes: &[u8], line: u32, why: &str) -> ReadError {
    if let Some(foreign) = foreign(bytes) {
        return ReadError::Foreign(foreign);
    }
    match sniff(bytes) {
        Kind::Unknown | Kind::LabLog => ReadError::NoSession {
            line,
            why: why.to_owned(),
        },
        kind => ReadError::OtherKind(kind),
    }
}

/// What is known of a request that was written.
#[derive(Clone, Copy, Default)]
struct Sent {
    connection: Option<u32>,
    answered: bool,
}

/// A request that may turn out to be the opening of a connection.
struct Upgrade {
    number: u32,
    at_us: u64,
    line: String,
}

struct Log<'a, W: Write> {
    writer: &'a mut Writer<W>,
    done: Converted,
    sent: BTreeMap<u32, Sent>,
    upgrade: Option<Upgrade>,
    begun: bool,
    /// Added to the log's numbers: a log that several endpoints wrote one after another begins again at 1.
    first: u32,
    highest: u32,
}

impl<W: Write> Log<'_, W> {
    fn problem(&mut self, line: u32, reason: Option<Reason>) {
        let found = reason.map(|reason| Problem { line, reason });
        self.done.problems.extend(found);
    }

    fn value(&mut self, value: &str, line: u32) -> Result<(), ConvertError> {
        if !self.begun {
            if sniff(value.as_bytes()) != Kind::LabLog {
                return Err(refuse(value.as_bytes(), line, "it has no `t`, `kind` and `n`").into());
            }
            self.begun = true;
            let session = SessionLine {
                recorder: Some(concat!("replay ", env!("CARGO_PKG_VERSION"))),
                converted_from: Some("request log"),
                not_held: NOT_HELD.to_vec(),
                ..SessionLine::default()
            };
            self.writer.session(&session).map_err(ConvertError::Write)?;
        }
        let object = Object::read(value);
        let number = object.as_ref().and_then(|it| it.small("n"));
        let (Some(object), Some(number)) = (object, number) else {
            let what = "no object with `n`".to_owned();
            self.problem(line, Some(Reason::UnknownShape(what)));
            return Ok(());
        };
        self.kind(&object, number, value)
            .map_err(ConvertError::Write)
    }

    fn kind(&mut self, object: &Object<'_>, n: u32, raw: &str) -> io::Result<()> {
        let at_us = object.get("t").map_or(0, |it| micros(it.get()));
        match object.text("kind").as_deref().unwrap_or("") {
            "request" => self.request(object, n, at_us, raw),
            "ws_open" => self.opened(self.first + n, at_us),
            "response" => {
                self.release()?;
                self.response(object, self.first + n, at_us)
            }
            "chunk" => {
                self.release()?;
                self.chunk(object, self.first + n, at_us)
            }
            "end" => {
                self.release()?;
                self.end(object, self.first + n, at_us)
            }
            // verdicts and other notes of the endpoint
            _ => Ok(()),
        }
    }

    fn request(&mut self, object: &Object<'_>, n: u32, at_us: u64, raw: &str) -> io::Result<()> {
        self.release()?;
        if self.first + n <= self.highest {
            self.first = self.highest;
        }
        let number = self.first + n;
        self.highest = number;
        let headers = Headers::read(object, "headers");
        let upgrade = headers.get("upgrade");
        if upgrade.is_some_and(|it| it.eq_ignore_ascii_case("websocket")) {
            self.upgrade = Some(Upgrade {
                number,
                at_us,
                line: raw.to_owned(),
            });
            return Ok(());
        }
        self.put_request(object, number, at_us)
    }

    fn put_request(&mut self, object: &Object<'_>, number: u32, at_us: u64) -> io::Result<()> {
        let headers = Headers::read(object, "headers");
        let method = object.text("method").unwrap_or_default();
        let websocket = method == "WS";
        let connection = websocket
            .then(|| object.small("on"))
            .flatten()
            .map(|it| self.first + it);
        let path = object.text("target").unwrap_or_default();
        let body = object.value("body").map(compact).unwrap_or_default();
        let sent = Sent {
            connection,
            answered: false,
        };
        self.sent.insert(number, sent);
        self.done.requests += 1;
        let line = RequestLine {
            exchange: number,
            connection,
            at_us,
            head_at_us: None,
            transport: if websocket { "websocket" } else { "http" },
            http: None,
            method: (!websocket).then_some(&*method),
            path: (!websocket).then_some(&*path),
            headers: (!websocket).then_some(HeaderLines(&headers)),
            body_complete: None,
            body_encoded: None,
            redacted: Vec::new(),
        };
        self.writer.request(line, body.into_bytes())
    }

    /// Writes a held request as what it was after all: one without a connection behind it.
    fn release(&mut self) -> io::Result<()> {
        let Some(held) = self.upgrade.take() else {
            return Ok(());
        };
        match Object::read(&held.line) {
            Some(object) => self.put_request(&object, held.number, held.at_us),
            None => Ok(()),
        }
    }

    fn opened(&mut self, number: u32, at_us: u64) -> io::Result<()> {
        let Some(held) = self.upgrade.take_if(|held| held.number == number) else {
            return self.release();
        };
        let object = Object::read(&held.line).unwrap_or_default();
        let headers = Headers::read(&object, "headers");
        self.writer.connection(ConnectionLine {
            connection: number,
            at_us,
            method: object.text("method").as_deref(),
            path: object.text("target").as_deref(),
            headers: Some(HeaderLines(&headers)),
            status: Some(101),
            response_headers: None,
            extensions: None,
        })
    }

    fn response(&mut self, object: &Object<'_>, number: u32, at_us: u64) -> io::Result<()> {
        let body = object.value("body").map(compact).unwrap_or_default();
        if let Some(connection) = self.connection(number) {
            return self.frame(connection, number, at_us, &body);
        }
        self.writer.response(ResponseLine {
            exchange: number,
            at_us,
            status: object.small("status").unwrap_or(200),
            headers: None,
        })?;
        if !body.is_empty() {
            self.writer.chunk(number, at_us, body.as_bytes(), None)?;
        }
        self.put_end(number, at_us, EndCause::Complete, None)
    }

    fn chunk(&mut self, object: &Object<'_>, number: u32, at_us: u64) -> io::Result<()> {
        let data = object.value("data").map(compact).unwrap_or_default();
        if let Some(connection) = self.connection(number) {
            return self.frame(connection, number, at_us, &data);
        }
        let sent = self.sent.entry(number).or_default();
        if !sent.answered {
            sent.answered = true;
            self.writer.response(ResponseLine {
                exchange: number,
                at_us,
                status: 200,
                headers: None,
            })?;
        }
        let kind =
            Object::read(&data).and_then(|it| it.text("type").map(std::borrow::Cow::into_owned));
        let mut text = kind.map_or_else(String::new, |it| format!("event: {it}\n"));
        text.push_str("data: ");
        text.push_str(&data);
        text.push_str("\n\n");
        self.writer.chunk(number, at_us, text.as_bytes(), None)
    }

    fn end(&mut self, object: &Object<'_>, number: u32, at_us: u64) -> io::Result<()> {
        if self.connection(number).is_some() {
            return Ok(());
        }
        let how = object.text("how").unwrap_or_default();
        match &*how {
            "completed" => self.put_end(number, at_us, EndCause::Complete, None),
            how => self.put_end(number, at_us, EndCause::UpstreamClosed, Some(how)),
        }
    }

    fn put_end(
        &mut self,
        exchange: u32,
        at_us: u64,
        cause: EndCause,
        detail: Option<&str>,
    ) -> io::Result<()> {
        self.writer.end(EndLine {
            exchange,
            at_us,
            cause: Cause(cause),
            detail,
            trailers: None,
        })
    }

    fn connection(&self, number: u32) -> Option<u32> {
        self.sent.get(&number).and_then(|it| it.connection)
    }

    fn frame(&mut self, connection: u32, exchange: u32, at_us: u64, text: &str) -> io::Result<()> {
        let line = FrameLine {
            connection,
            exchange: Some(exchange),
            at_us,
            from: "server",
            r#type: "text",
            text: None,
            base64: None,
        };
        self.writer.frame(line, text.as_bytes())
    }
}

/// Seconds as they are written in the log, in microseconds.
fn micros(text: &str) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000000".chars()).take(6).collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(whole)
        .saturating_mul(1_000_000)
        .saturating_add(number(&part))
}

#[cfg(test)]
mod tests;
