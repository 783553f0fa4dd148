//! Writes a recording, format 1, line by line.
//!
//! Every line is put together in memory, written at once and flushed, so that a recorder that dies leaves at most its last
//! line torn. After a failed write the next line begins on a line of its own. Times never go back.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::body::{self, Bases};
use super::format::{
    ChunkLine, ClientClosedLine, ClientEventLine, ConnectionEndLine, ConnectionLine, EndLine,
    FrameLine, GapLine, RequestLine, ResponseLine, RolloutFileLine, RolloutLine, SessionLine,
};
use super::lanes::{Headers, identity};
use crate::wire::request::RequestHead;

/// Writes lines.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    bases: Bases,
    /// The last exchange of each lane, as far as the writer tells lanes apart.
    last: std::collections::BTreeMap<String, u32>,
    at_us: u64,
    torn: bool,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`, from its present place on.
    pub fn new(out: W) -> Self {
        Self {
            out,
            bases: Bases::default(),
            last: std::collections::BTreeMap::new(),
            at_us: 0,
            torn: false,
        }
    }

    /// What is written to.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// What is written to. Who writes to it directly must write whole lines.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Gives back what is written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Writes the first line.
    pub fn session(&mut self, line: &SessionLine<'_>) -> io::Result<()> {
        self.line(line)
    }

    /// Writes a request. `body` are its bytes, decompressed and redacted; an empty one is left out.
    pub fn request(&mut self, mut line: RequestLine<'_>, body: Vec<u8>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        let lane = lane_of(&line, &body);
        let base = self.last.get(&lane).copied();
        let mut json = to_json(&line)?;
        if !body.is_empty() {
            json.truncate(json.len() - 1);
            body::store(&mut json, body, line.exchange, base, &mut self.bases);
            json.push('}');
            self.last.insert(lane, line.exchange);
        }
        self.put(json)
    }

    /// Writes a request whose body was too large to be held: its length in bytes and its SHA-256 in hexadecimal.
    pub fn request_omitted(
        &mut self,
        mut line: RequestLine<'_>,
        bytes: u64,
        sha256: &str,
    ) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        let mut json = to_json(&line)?;
        json.truncate(json.len() - 1);
        body::omitted(&mut json, bytes, sha256);
        json.push('}');
        self.put(json)
    }

    /// Writes a request whose body the log this is converted from does not hold. `told` is what that log says of it instead,
    /// as JSON.
    pub fn request_not_held(
        &mut self,
        mut line: RequestLine<'_>,
        told: Option<&str>,
    ) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        let mut json = to_json(&line)?;
        json.truncate(json.len() - 1);
        json.push_str(",\"body_not_held\":true");
        if let Some(told) = told {
            json.push_str(",\"told\":");
            json.push_str(told);
        }
        json.push('}');
        self.put(json)
    }

    /// Writes the head of an answer.
    pub fn response(&mut self, mut line: ResponseLine<'_>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        self.line(&line)
    }

    /// Writes bytes of an answer's body. `wire_bytes` is their length before decoding, where they were compressed.
    pub fn chunk(
        &mut self,
        exchange: u32,
        at_us: u64,
        bytes: &[u8],
        wire_bytes: Option<u64>,
    ) -> io::Result<()> {
        let (text, base64) = text_or_base64(bytes);
        let at_us = self.time(at_us);
        self.line(&ChunkLine {
            exchange,
            at_us,
            text,
            base64,
            wire_bytes,
            encoded: None,
            rebuilt: None,
        })
    }

    /// Writes events that say what the log this is converted from says; it does not hold the bytes themselves.
    pub fn rebuilt_chunk(&mut self, exchange: u32, at_us: u64, text: &str) -> io::Result<()> {
        let at_us = self.time(at_us);
        self.line(&ChunkLine {
            exchange,
            at_us,
            text: Some(text),
            base64: None,
            wire_bytes: None,
            encoded: None,
            rebuilt: Some(true),
        })
    }

    /// Writes bytes of an answer's body that could not be decoded.
    pub fn encoded_chunk(&mut self, exchange: u32, at_us: u64, bytes: &[u8]) -> io::Result<()> {
        let at_us = self.time(at_us);
        self.line(&ChunkLine {
            exchange,
            at_us,
            text: None,
            base64: Some(STANDARD.encode(bytes)),
            wire_bytes: None,
            encoded: Some(true),
            rebuilt: None,
        })
    }

    /// Writes that the client left.
    pub fn client_closed(&mut self, exchange: u32, at_us: u64) -> io::Result<()> {
        let at_us = self.time(at_us);
        self.line(&ClientClosedLine { exchange, at_us })
    }

    /// Writes the end of an exchange.
    pub fn end(&mut self, mut line: EndLine<'_>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        self.line(&line)
    }

    /// Writes that a WebSocket connection was opened.
    pub fn connection(&mut self, mut line: ConnectionLine<'_>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        self.line(&line)
    }

    /// Writes a WebSocket message; `text` and `base64` of `line` are set from `bytes`.
    pub fn frame<'a>(&mut self, mut line: FrameLine<'a>, bytes: &'a [u8]) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        (line.text, line.base64) = text_or_base64(bytes);
        self.line(&line)
    }

    /// Writes that a WebSocket connection ended.
    pub fn connection_end(&mut self, mut line: ConnectionEndLine<'_>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        self.line(&line)
    }

    /// Writes that a rollout is followed.
    pub fn rollout_file(&mut self, line: &RolloutFileLine<'_>) -> io::Result<()> {
        self.line(line)
    }

    /// Writes a line of a rollout.
    pub fn rollout(&mut self, mut line: RolloutLine<'_>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        self.line(&line)
    }

    /// Writes a line of the client's event log.
    pub fn client_event(&mut self, mut line: ClientEventLine<'_>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        self.line(&line)
    }

    /// Writes that something could not be recorded.
    pub fn gap(&mut self, mut line: GapLine<'_>) -> io::Result<()> {
        line.at_us = self.time(line.at_us);
        self.line(&line)
    }

    fn time(&mut self, at_us: u64) -> u64 {
        self.at_us = self.at_us.max(at_us);
        self.at_us
    }

    fn line<T: Serialize>(&mut self, line: &T) -> io::Result<()> {
        let json = to_json(line)?;
        self.put(json)
    }

    fn put(&mut self, mut json: String) -> io::Result<()> {
        // a raw value that spans lines would tear its line apart
        if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
            json = crate::wire::raw::compact(&json);
        }
        if self.torn {
            json.insert(0, '\n');
        }
        json.push('\n');
        self.torn = true;
        self.out.write_all(json.as_bytes())?;
        self.torn = false;
        self.out.flush()
    }
}

fn to_json<T: Serialize>(line: &T) -> io::Result<String> {
    serde_json::to_string(line).map_err(io::Error::from)
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

/// What the writer takes for a lane: requests of one are likely to resemble each other. A wrong guess costs space only.
fn lane_of(line: &RequestLine<'_>, body: &[u8]) -> String {
    let none = Headers::default();
    let headers = line.headers.as_ref().map_or(&none, |it| it.0);
    let head = std::str::from_utf8(body).ok().and_then(RequestHead::read);
    let identity = identity(headers, None, head.as_ref());
    let connection = line.connection.unwrap_or(0);
    identity
        .thread
        .unwrap_or_else(|| format!("{connection} {}", line.path.unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::exchange::EndCause;
    use crate::session::format::Cause;

    /// Takes so many bytes, then fails once, then goes on.
    struct Full {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                self.room = usize::MAX;
                return Err(io::Error::other("disk full"));
            }
            let taken = bytes.len().min(self.room);
            self.bytes.extend_from_slice(&bytes[..taken]);
            self.room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_failed_write_the_next_line_stands_alone() {
        for room in 1..60 {
            let bytes = Vec::new();
            let mut writer = Writer::new(Full { room, bytes });
            let failed = writer.client_closed(1, 7).is_err();
            writer.client_closed(2, 8).unwrap_or_default();
            writer.client_closed(3, 9).unwrap_or_default();
            let text = String::from_utf8(writer.into_inner().bytes).unwrap();
            let last = text.lines().last().unwrap();
            assert_eq!(
                last, r#"{"kind":"client_closed","exchange":3,"at_us":9}"#,
                "{room} {text}"
            );
            assert_eq!(failed, room < 48, "{room}");
        }
    }

    #[test]
    fn times_never_go_back_and_bytes_that_are_no_text_are_kept() {
        let mut writer = Writer::new(Vec::new());
        writer.chunk(1, 50, "é".as_bytes(), Some(9)).unwrap();
        writer.chunk(1, 40, b"\xc3", None).unwrap();
        writer.encoded_chunk(1, 60, b"x").unwrap();
        let line = EndLine {
            exchange: 1,
            at_us: 0,
            cause: Cause(EndCause::UpstreamError),
            detail: Some("reset"),
            trailers: None,
        };
        writer.end(line).unwrap();
        assert_eq!(
            String::from_utf8(writer.into_inner()).unwrap(),
            concat!(
                r#"{"kind":"chunk","exchange":1,"at_us":50,"text":"é","wire_bytes":9}"#,
                "\n",
                r#"{"kind":"chunk","exchange":1,"at_us":50,"base64":"ww=="}"#,
                "\n",
                r#"{"kind":"chunk","exchange":1,"at_us":60,"base64":"eA==","encoded":true}"#,
                "\n",
                r#"{"kind":"end","exchange":1,"at_us":60,"cause":"upstream_error","detail":"reset"}"#,
                "\n",
            )
        );
    }

    #[test]
    fn a_value_that_spans_lines_is_written_on_one() {
        let mut writer = Writer::new(Vec::new());
        let value: Box<serde_json::value::RawValue> =
            serde_json::from_str("{\n \"a\": [1.0,\r\n2]}").unwrap();
        let line = RolloutLine {
            at_us: 1,
            path: "a.jsonl",
            line: 3,
            value: Some(&value),
            text: None,
        };
        writer.rollout(line).unwrap();
        assert_eq!(
            writer.into_inner(),
            b"{\"kind\":\"rollout\",\"at_us\":1,\"path\":\"a.jsonl\",\"line\":3,\"value\":{\"a\":[1.0,2]}}\n"
        );
    }
}
