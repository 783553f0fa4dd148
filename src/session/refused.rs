//! Recorded refusals.

use super::exchange::RecordedRefusal;
use crate::wire::event::FoldedError;
use crate::wire::raw::Object;
use crate::wire::refusal::find;

/// How much of a body without a message is kept as the message.
const MAX_MESSAGE: usize = 2000;

/// Reads the refusal that came with `status` and this body, whatever gateways made of it.
pub(super) fn read_refusal(status: u16, body: &str) -> RecordedRefusal {
    let found = find::find(body);
    let mut message = found.message;
    if message.is_empty() {
        message = body.chars().take(MAX_MESSAGE).collect();
    }
    RecordedRefusal {
        status,
        message,
        named: found.named,
        plain: found.plain,
    }
}

/// Reads an error that a stream reported. `transport` is the HTTP status the stream came with.
///
/// An `error` event or frame is a refusal; an error inside `response.failed` is one only if it speaks of the contract:
/// otherwise the model, not the request, failed.
pub(super) fn of_stream(error: &FoldedError, transport: Option<u16>) -> Option<RecordedRefusal> {
    let by_code = match error.code.as_deref().unwrap_or("") {
        "rate_limit_exceeded" | "insufficient_quota" => Some(429),
        "server_error" | "server_is_overloaded" => Some(500),
        "invalid_request_error" | "previous_response_not_found" | "invalid_value" => Some(400),
        _ => None,
    };
    let held = error.status.or(transport.filter(|status| *status >= 400));
    let mut refusal = read_refusal(
        0,
        message_body(&error.text).as_deref().unwrap_or(&error.text),
    );
    refusal.status = held
        .or(refusal.named.as_ref().map(|_| 400))
        .or(by_code)
        .or(transport)
        .unwrap_or(400);
    (error.own_event || refusal.named.is_some()).then_some(refusal)
}

/// The part of a `response.failed` that holds the error.
fn message_body(text: &str) -> Option<String> {
    let response = Object::read(text)?.object("response")?;
    let error = response.value("error")?;
    Some(format!("{{\"error\":{error}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_envelope_names_what_was_refused() {
        let refusal = read_refusal(
            400,
            r#"{"error":{"message":"No tool output found for function call call_X.","type":"invalid_request_error","param":"input","code":null}}"#,
        );
        assert!(refusal.plain);
        let named = refusal.named.unwrap();
        assert_eq!(
            (named.kind.name(), named.id.as_str()),
            ("missing_output", "call_X")
        );
        assert_eq!(read_refusal(502, "Bad gateway").message, "Bad gateway");
    }

    #[test]
    fn an_error_inside_a_failed_response_is_a_refusal_only_if_it_speaks_of_the_contract() {
        let failed = |message: &str| FoldedError {
            status: None,
            code: Some("server_error".into()),
            text: format!(
                r#"{{"type":"response.failed","response":{{"error":{{"code":"server_error","message":"{message}"}}}}}}"#
            ),
            own_event: false,
        };
        assert_eq!(
            of_stream(&failed("The server had an error"), Some(200)),
            None
        );
        let named = of_stream(
            &failed("No tool output found for function call c."),
            Some(200),
        );
        assert_eq!(named.unwrap().status, 400);
    }
}
