//! What an answer says about the request: it was accepted, it was refused, or nothing.

use crate::replay::call::{Came, Ended, Got};
use crate::wire::event::Terminal;
use crate::wire::refusal::Named;
use crate::wire::refusal::find::{self, Found, Wrapper};

/// How much of a body without a message is shown, in characters.
const SHOWN: usize = 300;

/// What an answer says about the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It was accepted, and the answer is whole.
    Accepted(Terminal),
    /// It was accepted, and we left before the answer was whole.
    Left,
    /// It was refused.
    Refused(Refused),
    /// Nothing about the contract: no endpoint, no right, too much to do.
    Nothing {
        /// The status, if there was one.
        status: Option<u16>,
        /// Why, for people.
        message: String,
        /// Whether asking again may help.
        again: Again,
    },
}

/// A refusal by the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its status.
    pub status: u16,
    /// The innermost message.
    pub message: String,
    /// What it says was refused, where it is one the contract knows.
    pub named: Option<Named>,
    /// Who put what around the message.
    pub wrapper: Wrapper,
}

/// Whether asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No.
    No,
    /// The request may be sent again.
    Request,
    /// The answer broke off; the request may be sent again.
    Stream,
}

/// Reads what came.
pub fn read(came: &Came) -> Word {
    let got = match came {
        Came::Nothing(why) => {
            return Word::Nothing {
                status: None,
                message: why.clone(),
                again: Again::Request,
            };
        }
        Came::Answer(got) => got,
    };
    if (200..300).contains(&got.status) {
        return of_success(got);
    }
    // some say in an event stream, under a status of its own, what is wrong
    let text = match &got.fold.error {
        Some(error) if got.text.trim().is_empty() => &error.text,
        _ => &got.text,
    };
    let found = find::find(text);
    let message = message_of(&found, text);
    let is_error = has_error(text) || got.fold.error.is_some();
    let elsewhere = got.status == 405 || is_of_router(&message);
    let nothing = |again: Again, message: String| Word::Nothing {
        status: Some(got.status),
        message,
        again,
    };
    match got.status {
        401 | 403 => nothing(Again::No, message),
        408 | 429 => nothing(Again::Request, message),
        501 if found.named.is_none() => nothing(Again::No, message),
        // a gateway may hand a refusal on as an error of its own; whatever the status, this is what was said
        500.. if found.named.is_none() => nothing(Again::Request, message),
        400.. if found.named.is_some() || (is_error && !elsewhere) => {
            Word::Refused(refused(got.status, found, message))
        }
        404 | 405 => nothing(
            Again::No,
            format!("there is no Responses API at this URL: {message}"),
        ),
        300..400 => nothing(
            Again::No,
            match &got.location {
                Some(to) => format!("it sends elsewhere, which is not followed: {}", clip(to)),
                None => format!("it sends elsewhere: {message}"),
            },
        ),
        _ => nothing(Again::No, message),
    }
}

/// What an answer says that was begun and then failed.
pub fn why_it_failed(came: &Came) -> String {
    let text = match came {
        Came::Answer(got) => got.fold.error.as_ref().map_or("", |error| &error.text),
        Came::Nothing(_) => "",
    };
    let message = message_of(&find::find(text), text);
    format!("the response failed: {message}")
}

fn of_success(got: &Got) -> Word {
    if let Some(error) = &got.fold.error {
        let found = find::find(&error.text);
        let message = message_of(&found, &error.text);
        let status = error
            .status
            .or(found.status)
            .or(match error.code.as_deref().unwrap_or("") {
                "rate_limit_exceeded" | "insufficient_quota" => Some(429),
                "server_error" | "server_is_overloaded" => Some(500),
                _ => None,
            });
        if found.named.is_some() || (error.own_event && status.is_none_or(is_word)) {
            return Word::Refused(refused(status.unwrap_or(400), found, message));
        }
        if error.own_event || status.is_some_and(|status| !is_word(status)) {
            return Word::Nothing {
                status,
                message,
                again: match status {
                    Some(401 | 403) => Again::No,
                    _ => Again::Stream,
                },
            };
        }
    }
    if got.ended == Ended::Left {
        return Word::Left;
    }
    if let Some(terminal) = got.fold.terminal {
        return Word::Accepted(terminal);
    }
    let nothing = |message: String, again: Again| Word::Nothing {
        status: Some(got.status),
        message,
        again,
    };
    let events = got.fold.events;
    match &got.ended {
        Ended::Broken(why) => nothing(
            format!("the answer broke off after {events} events: {why}"),
            Again::Stream,
        ),
        Ended::Idle => nothing(
            format!("nothing more came after {events} events"),
            Again::Stream,
        ),
        Ended::TooMuch(what) => nothing(
            format!("the answer did not end: more {what} than is taken"),
            Again::No,
        ),
        _ if got.streamed => nothing(
            format!("the answer ended after {events} events without a terminal event"),
            Again::Stream,
        ),
        _ => {
            let kind = if got.content_type.is_empty() {
                "no content type"
            } else {
                &got.content_type
            };
            let text = clip(&got.text);
            let message = if text.is_empty() {
                format!("an empty answer ({kind})")
            } else {
                format!("no answer of the Responses API but {kind}: {text}")
            };
            nothing(message, Again::No)
        }
    }
}

/// Whether a status can be a word of the contract.
fn is_word(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 429)
}

fn refused(status: u16, found: Found, message: String) -> Refused {
    Refused {
        status,
        message,
        wrapper: found.wrapper,
        named: found.named,
    }
}

fn message_of(found: &Found, text: &str) -> String {
    let said = if found.message.trim().is_empty() {
        clip(text)
    } else {
        clip(&found.message)
    };
    if said.is_empty() {
        "without a message".to_owned()
    } else {
        said
    }
}

/// Whether a body says in JSON that something is wrong.
fn has_error(text: &str) -> bool {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    // FastAPI's `{"detail":"Not Found"}` is its router's, not the API's
    let routed = value.get("detail").and_then(|it| it.as_str()) == Some("Not Found");
    let said = ["error", "detail", "message", "errors"]
        .iter()
        .any(|key| value.get(key).is_some_and(|it| !it.is_null()));
    said && !routed
}

/// Whether a message is about the URL, not about the request.
fn is_of_router(message: &str) -> bool {
    let said = message.trim().trim_end_matches('.').to_ascii_lowercase();
    matches!(
        &*said,
        "not found" | "resource not found" | "page not found" | "404 page not found"
    ) || [
        "invalid url",
        "unknown request url",
        "unrecognized request url",
        "cannot post",
        "no route",
        "not allowed to post",
        "method not allowed",
    ]
    .iter()
    .any(|begin| said.starts_with(begin))
}

fn clip(text: &str) -> String {
    let text = text.trim();
    let mut out: String = text.chars().take(SHOWN).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::ResponseFold;
    use crate::wire::refusal::RefusalKind;

    fn got(status: u16, text: &str) -> Came {
        let mut fold = ResponseFold::default();
        if (200..300).contains(&status) {
            fold.whole(text);
        }
        Came::Answer(Box::new(Got {
            status,
            content_type: "application/json".to_owned(),
            retry_after: None,
            location: None,
            fold,
            text: text.to_owned(),
            streamed: false,
            done_sentinel: false,
            ended: Ended::Whole,
            was_over: false,
        }))
    }

    fn stream(events: &[&str], ended: Ended) -> Came {
        let mut fold = ResponseFold::default();
        for event in events {
            fold.data(event);
        }
        Came::Answer(Box::new(Got {
            status: 200,
            content_type: "text/event-stream".to_owned(),
            retry_after: None,
            location: None,
            fold,
            text: String::new(),
            streamed: true,
            done_sentinel: false,
            ended,
            was_over: false,
        }))
    }

    #[test]
    fn refusals_are_told_from_what_says_nothing() {
        let body = r#"{"error":{"message":"No tool output found for function call c.","type":"invalid_request_error","param":"input","code":null}}"#;
        for status in [400, 404, 502] {
            let Word::Refused(refused) = read(&got(status, body)) else {
                panic!("{status}")
            };
            assert_eq!(refused.named.unwrap().kind, RefusalKind::MissingOutput);
        }
        let model =
            r#"{"error":{"message":"The model 'x' does not exist","code":"model_not_found"}}"#;
        assert!(matches!(read(&got(404, model)), Word::Refused(it) if it.named.is_none()));
        for (status, again) in [
            (401, Again::No),
            (403, Again::No),
            (408, Again::Request),
            (429, Again::Request),
            (500, Again::Request),
            (503, Again::Request),
        ] {
            let word = read(&got(status, r#"{"error":{"message":"later"}}"#));
            assert!(
                matches!(&word, Word::Nothing { again: it, .. } if *it == again),
                "{status} {word:?}"
            );
        }
        for (status, text) in [
            (404, "404 page not found"),
            (404, r#"{"detail":"Not Found"}"#),
            (405, ""),
            (302, ""),
            (502, "<html>Bad gateway</html>"),
            (413, "too large"),
            (
                404,
                r#"{"error":{"message":"Invalid URL (POST /v1/responses/responses)","type":"invalid_request_error"}}"#,
            ),
            (
                404,
                r#"{"error":{"code":"404","message":"Resource not found"}}"#,
            ),
            (
                405,
                r#"{"error":{"message":"Not allowed to POST on /v1/x.","type":"invalid_request_error"}}"#,
            ),
        ] {
            assert!(
                matches!(read(&got(status, text)), Word::Nothing { .. }),
                "{status}"
            );
        }
    }

    #[test]
    fn a_refusal_may_come_as_a_stream_under_its_own_status() {
        let with = |status: u16, event: &str| {
            let Came::Answer(mut got) = stream(&[event], Ended::Whole) else {
                panic!()
            };
            got.status = status;
            read(&Came::Answer(got))
        };
        let refused = r#"{"error":{"message":"No tool output found for function call c.","type":"invalid_request_error","param":"input","code":null}}"#;
        assert!(
            matches!(with(400, refused), Word::Refused(it) if it.status == 400 && it.named.is_some())
        );
        let late = r#"{"error":{"message":"Error processing stream start","type":"internal_server_error","code":"500"}}"#;
        assert!(
            matches!(with(500, late), Word::Nothing { message, .. } if message == "Error processing stream start")
        );
    }

    #[test]
    fn what_a_stream_says() {
        let created = r#"{"type":"response.created","response":{"id":"r"}}"#;
        let completed = r#"{"type":"response.completed","response":{"id":"r","output":[]}}"#;
        let failed = r#"{"type":"response.failed","response":{"id":"r","error":{"code":"context_length_exceeded","message":"too long"}}}"#;
        let quota = r#"{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"You exceeded"}}"#;
        let refused = r#"{"type":"error","status":400,"error":{"type":"invalid_request_error","message":"No tool output found for function call c."}}"#;
        let word = |events: &[&str], ended: Ended| read(&stream(events, ended));
        assert_eq!(
            word(&[created, completed], Ended::Whole),
            Word::Accepted(Terminal::Completed)
        );
        assert_eq!(
            word(&[created, failed], Ended::Whole),
            Word::Accepted(Terminal::Failed)
        );
        assert!(matches!(
            word(&[created, quota], Ended::Whole),
            Word::Nothing {
                status: Some(429),
                again: Again::Stream,
                ..
            }
        ));
        assert!(matches!(word(&[refused], Ended::Whole), Word::Refused(_)));
        assert_eq!(word(&[created], Ended::Left), Word::Left);
        for ended in [Ended::Whole, Ended::Idle, Ended::Broken("reset".to_owned())] {
            assert!(matches!(
                word(&[created], ended),
                Word::Nothing {
                    again: Again::Stream,
                    ..
                }
            ));
        }
        assert!(matches!(
            word(&[created], Ended::TooMuch("time")),
            Word::Nothing {
                again: Again::No,
                ..
            }
        ));
        assert!(matches!(
            read(&got(200, "<html></html>")),
            Word::Nothing {
                again: Again::No,
                ..
            }
        ));
        assert!(matches!(
            read(&got(200, r#"{"error":{"message":"x","code":"y"}}"#)),
            Word::Refused(_)
        ));
    }
}
