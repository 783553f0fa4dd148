//! Lines of `{request,status,body}`, as test suites of SDKs keep them.
//!
//! `request` is a body as JSON or as text, `body` the text of an event stream or a JSON body. `method` and `path` are read
//! where they are there. Times, headers and the ends of streams are not held.

use std::io::Read;

use super::build::{Body, Builder, Seen};
use super::exchange::{EndCause, Origin, Recording, Transport};
use super::kept::Kept;
use super::lanes::Headers;
use super::reader::ReadError;
use super::sniff::{Kind, foreign, sniff};
use crate::wire::lines::{LineReader, Reason, Values, trim};
use crate::wire::raw::{Object, string};
use crate::wire::sse::Mode;

/// One such line.
#[derive(Clone, Debug, Default)]
pub struct ExchangeLine {
    /// The method; `POST` where the line does not say.
    pub method: String,
    /// The path; that of the Responses API where the line does not say.
    pub path: String,
    /// The request's body.
    pub request: String,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The answer's body.
    pub body: String,
}

impl ExchangeLine {
    /// Reads one line; `None` if it has no `request`.
    pub fn read(object: &Object<'_>) -> Option<Self> {
        let text = |key: &str| {
            let raw = object.value(key).unwrap_or("\"\"");
            string(raw).map_or_else(|| raw.to_owned(), std::borrow::Cow::into_owned)
        };
        let or = |key: &str, other: &str| {
            object
                .text(key)
                .map_or_else(|| other.to_owned(), std::borrow::Cow::into_owned)
        };
        object.get("request")?;
        Some(Self {
            method: or("method", "POST"),
            path: or("path", "/v1/responses"),
            request: text("request"),
            status: object.number("status").and_then(|n| u16::try_from(n).ok()),
            body: text("body"),
        })
    }

    /// How the body's frames are told apart.
    pub fn mode(&self) -> Mode {
        let blank = ["\n\n", "\r\n\r\n", "\r\r"];
        if blank.iter().any(|it| self.body.contains(it)) {
            Mode::Strict
        } else {
            Mode::Tolerant
        }
    }
}

/// Reads such lines.
///
/// # Errors
/// If the reader fails, or if the first line is none of these.
pub fn read<R: Read>(reader: R) -> Result<Recording, ReadError> {
    read_into(reader, None)
}

/// The same, with the texts of its requests, so that they can be sent again.
///
/// # Errors
/// As [`read`].
pub fn read_kept<R: Read>(reader: R, kept: &mut Kept) -> Result<Recording, ReadError> {
    read_into(reader, Some(kept))
}

fn read_into<R: Read>(reader: R, kept: Option<&mut Kept>) -> Result<Recording, ReadError> {
    let mut builder = Builder::new(Origin::Converted);
    builder.kept = kept.is_some().then(Kept::default);
    builder.recording.header.converted_from = Some("request, status and body".to_owned());
    let last = each(reader, |found, line| match found {
        Ok(it) => {
            let number = builder.recording.exchanges.len() as u32 + 1;
            take(&mut builder, number, &it, line);
        }
        Err(reason) => builder.problem(line, reason),
    })?;
    builder.recording.lines = last;
    let (recording, texts) = builder.finish(Some(EndCause::NotHeld));
    if let (Some(kept), Some(texts)) = (kept, texts) {
        *kept = texts;
    }
    Ok(recording)
}

fn take(builder: &mut Builder, number: u32, found: &ExchangeLine, line: u32) {
    builder.request(&Seen {
        number,
        line,
        at_us: 0,
        transport: Transport::Http,
        connection: None,
        method: &found.method,
        path: &found.path,
        headers: &Headers::default(),
        body: if found.request.is_empty() {
            Body::None
        } else {
            Body::Text(&found.request)
        },
        whole: true,
        item_lines: &[],
    });
    builder.status(number, found.status);
    builder.dump(number, found.mode());
    builder.bytes(number, found.body.as_bytes(), line);
    builder.end(number, Some(EndCause::NotHeld), line);
}

/// Hands each line to `take`, and returns how many there are.
///
/// # Errors
/// If the reader fails, or if the first line is none of these.
pub(crate) fn each<R: Read>(
    reader: R,
    mut take: impl FnMut(Result<ExchangeLine, Reason>, u32),
) -> Result<u32, ReadError> {
    let mut lines = LineReader::new(reader);
    let (mut last, mut any) = (0, false);
    while let Some(line) = lines.next_line()? {
        last = line.number;
        let (bytes, found) = trim(&line);
        let text = String::from_utf8_lossy(bytes);
        if !any && !text.is_empty() && sniff(bytes) != Kind::Exchanges {
            return Err(match (foreign(bytes), sniff(bytes)) {
                (Some(foreign), _) => ReadError::Foreign(foreign),
                (None, Kind::Unknown) => ReadError::NoSession {
                    line: last,
                    why: "it has no `request`".to_owned(),
                },
                (None, kind) => ReadError::OtherKind(kind),
            });
        }
        any |= !text.is_empty();
        if let Some(reason) = found {
            take(Err(reason), last);
        }
        for value in Values::new(&text) {
            let found = match value {
                Ok(value) => Object::read(value)
                    .and_then(|it| ExchangeLine::read(&it))
                    .ok_or_else(|| Reason::UnknownShape("no `request`".to_owned())),
                Err(_) if !line.ended => Err(Reason::TornTail),
                Err(why) => Err(Reason::NotJson(why)),
            };
            take(found, last);
        }
    }
    if any { Ok(last) } else { Err(ReadError::Empty) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::exchange::{Purpose, Terminal};

    #[test]
    fn streams_json_and_refusals_are_read() {
        let text = concat!(
            r#"{"request":"{\"input\":\"hi\"}","status":200,"body":"data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\"}}\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}"}"#,
            "\n",
            r#"{"request":{"previous_response_id":"resp_1","input":[]},"status":400,"body":{"error":{"message":"No tool output found for function call c.","type":"invalid_request_error","param":"input","code":null}}}"#,
            "\n",
            r#"{"method":"GET","path":"/v1/responses/resp_1","request":"","status":200,"body":"{\"object\":\"response\",\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[]}"}"#,
            "\n",
        );
        let found = read(text.as_bytes()).unwrap();
        let [first, second, third] = &found.exchanges[..] else {
            panic!("{:?}", found.exchanges)
        };
        assert_eq!(first.answer.done.len(), 1);
        assert_eq!(first.answer.terminal, Some(Terminal::Completed));
        assert_eq!(second.request.previous, first.answer.response);
        assert_eq!(second.lane, first.lane);
        assert_eq!(second.answer.refusal.as_ref().unwrap().status, 400);
        assert_eq!(third.purpose, Purpose::NotJudged);
        assert_eq!((found.lines, found.problems.len()), (3, 0));
    }
}
