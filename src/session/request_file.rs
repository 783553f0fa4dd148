//! A bare request body, or an array of items, as a session of one request.

use std::io::Read;

use super::build::{Body, Builder, Seen};
use super::exchange::{EndCause, Origin, Recording, Transport};
use super::kept::Kept;
use super::lanes::Headers;
use super::reader::ReadError;
use super::sniff::{Kind, foreign, sniff};
use crate::wire::lines::Reason;
use crate::wire::request::{Input, RequestHead};

/// Reads a request body or an item array. Items carry the line of the text they begin on.
///
/// # Errors
/// If the reader fails, or if the text is neither.
pub fn read<R: Read>(reader: R) -> Result<Recording, ReadError> {
    read_into(reader, None)
}

/// The same, with the text of the request, so that it can be sent again.
///
/// # Errors
/// As [`read`].
pub fn read_kept<R: Read>(reader: R, kept: &mut Kept) -> Result<Recording, ReadError> {
    read_into(reader, Some(kept))
}

fn read_into<R: Read>(mut reader: R, kept: Option<&mut Kept>) -> Result<Recording, ReadError> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lossy = matches!(text, std::borrow::Cow::Owned(_));
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim().is_empty() {
        return Err(ReadError::Empty);
    }
    if let Some(foreign) = foreign(text.as_bytes()) {
        return Err(ReadError::Foreign(foreign));
    }
    let kind = sniff(text.as_bytes());
    if matches!(kind, Kind::Recording | Kind::LabLog | Kind::Exchanges) {
        return Err(ReadError::OtherKind(kind));
    }
    let (head, body) = if text.trim_start().starts_with('[') {
        (RequestHead::from_items(text), Body::Items(text))
    } else {
        (RequestHead::read(text), Body::Text(text))
    };
    let Some(head) = head else {
        let why = serde_json::from_str::<serde::de::IgnoredAny>(text)
            .err()
            .map_or_else(|| "no object and no array".to_owned(), |it| it.to_string());
        return Err(ReadError::NotJson { why });
    };
    let names_nothing = head.previous.is_none() && head.conversation.is_none();
    if matches!(head.input, Input::None | Input::Odd(_)) && names_nothing {
        return Err(ReadError::NoInput);
    }
    let mut builder = Builder::new(Origin::Request);
    builder.kept = kept.is_some().then(Kept::default);
    if lossy {
        builder.problem(0, Reason::NotUtf8);
    }
    builder.request(&Seen {
        number: 1,
        line: 1,
        at_us: 0,
        transport: if head.kind.is_some() {
            Transport::WebSocket
        } else {
            Transport::Http
        },
        connection: None,
        method: "POST",
        path: "/v1/responses",
        headers: &Headers::default(),
        body,
        whole: true,
        item_lines: &lines_of(text, &head.input.offsets(text)),
    });
    builder.recording.lines = text.lines().count() as u32;
    let (recording, texts) = builder.finish(Some(EndCause::NotHeld));
    if let (Some(kept), Some(texts)) = (kept, texts) {
        *kept = texts;
    }
    Ok(recording)
}

/// The line each offset stands on; offsets ascend.
fn lines_of(text: &str, offsets: &[usize]) -> Vec<u32> {
    let (mut line, mut at) = (1, 0);
    offsets
        .iter()
        .map(|offset| {
            let fresh = text.as_bytes().get(at..*offset).unwrap_or(&[]);
            line += memchr::memchr_iter(b'\n', fresh).count() as u32;
            at = at.max(*offset);
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::exchange::Purpose;

    #[test]
    fn items_carry_their_lines() {
        let text = "{\n \"model\": \"m\",\n \"input\": [\n  {\"role\":\"user\",\"content\":\"a\"},\n  {\"type\":\"function_call\",\"call_id\":\"c\"}\n ]\n}\n";
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(found.origin, Origin::Request);
        let lines: Vec<u32> = found.items.iter().map(|item| item.line).collect();
        assert_eq!(lines, [4, 5]);
        assert_eq!(found.exchanges.len(), 1);
        assert_eq!(found.exchanges[0].purpose, Purpose::Turn);
        assert_eq!(found.exchanges[0].answer.end, Some(EndCause::NotHeld));
        assert_eq!(found.lines, 7);
        let array = read(&b"\n[{\"role\":\"user\",\"content\":\"a\"},\n{\"type\":\"item_reference\",\"id\":\"x\"}]"[..]).unwrap();
        assert_eq!(
            array.items.iter().map(|item| item.line).collect::<Vec<_>>(),
            [2, 3]
        );
    }

    #[test]
    fn what_is_no_request_is_refused_by_name() {
        let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"model":"m","messages":[]}"#),
            "this is a body for the chat completions API, not a session"
        );
        assert_eq!(
            error(r#"{"object":"response","id":"r"}"#),
            "this is the body of a response, not a session"
        );
        assert_eq!(error(r#"{"model":"m"}"#), "the request has no `input`");
        assert!(error(r#"{"model":"m","input":[}"#).starts_with("not JSON: "));
        assert_eq!(error("  "), "the file is empty");
    }
}
