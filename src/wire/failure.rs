//! Any error the endpoint answers with, and how it is spelled on each transport (responses-api.md 1.0, 1.3).
//!
//! [`Refusal`] is the part of it that the tool-call contract is about; a [`Failure`] is all of it.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// `error.message`.
    pub message: String,
    /// `error.type`.
    pub kind: Box<str>,
    /// `error.param`.
    pub param: Option<String>,
    /// `error.code`.
    pub code: Option<Box<str>>,
    /// The rule of the contract it is about, by its name in JSON; `None` for errors that are no word of the contract.
    pub rule: Option<&'static str>,
    /// A body that stands in place of the envelope, for servers that spell errors otherwise (`{"detail":…}`).
    pub raw: Option<Box<str>>,
}

/// How an error inside of a stream is spelled (responses-api.md 1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamError {
    /// `error` as it was observed, with the error nested, then `response.failed`.
    #[default]
    Nested,
    /// `error` as it is documented, with flat members, then `response.failed`.
    Flat,
    /// `response.failed` alone.
    FailedOnly,
}

impl Failure {
    /// A request that is refused with status 400 and type `invalid_request_error`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: message.into(),
            kind: "invalid_request_error".into(),
            param: None,
            code: None,
            rule: None,
            raw: None,
        }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with `error.param`.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same with `error.code`.
    #[must_use]
    pub fn code(mut self, code: impl Into<Box<str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same with the name of the rule.
    #[must_use]
    pub fn rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// A body of the form `{"detail":…}`, as the ChatGPT backend has it (responses-api.md 1.4).
    pub fn detail(message: &str) -> Self {
        let mut failure = Self::invalid(message);
        let mut body = Map::new();
        body.insert("detail".into(), message.into());
        failure.raw = Some(Value::Object(body).to_string().into());
        failure
    }

    /// An answer of the server's own making with this status; 429 and 5xx have types of their own.
    pub fn of_status(status: u16) -> Self {
        let (kind, code, message) = match status {
            429 => (
                "rate_limit_error",
                Some("rate_limit_exceeded"),
                "Rate limit reached. Please try again in 1s.",
            ),
            401 => (
                "invalid_request_error",
                Some("invalid_api_key"),
                "Incorrect API key provided.",
            ),
            400..=499 => ("invalid_request_error", None, "The request was refused."),
            503 => (
                "server_error",
                Some("server_is_overloaded"),
                "The server is overloaded. Please try again later.",
            ),
            _ => (
                "server_error",
                Some("server_error"),
                "The server had an error while processing your request.",
            ),
        };
        let mut failure = Self::invalid(message).with_status(status);
        failure.kind = kind.into();
        failure.code = code.map(Into::into);
        failure
    }

    /// The HTTP body: pretty-printed, two spaces, four keys (responses-api.md 1.0).
    pub fn body(&self) -> String {
        if let Some(raw) = &self.raw {
            return raw.to_string();
        }
        let text = |value: &str| Value::from(value).to_string();
        let or_null = |value: Option<&str>| value.map_or_else(|| "null".to_owned(), text);
        format!(
            "{{\n  \"error\": {{\n    \"message\": {},\n    \"type\": {},\n    \"param\": {},\n    \"code\": {}\n  }}\n}}",
            text(&self.message),
            text(&self.kind),
            or_null(self.param.as_deref()),
            or_null(self.code.as_deref())
        )
    }

    /// The WebSocket frame: one line, null members left out. `coded` puts the type where there is no code, for readers
    /// that want one (Open Responses).
    pub fn frame(&self, stream_id: Option<&str>, coded: bool) -> String {
        let mut error = Map::new();
        error.insert("type".into(), (&*self.kind).into());
        let code = self.code.as_deref();
        if let Some(code) = code.or_else(|| coded.then_some(&*self.kind)) {
            error.insert("code".into(), code.into());
        }
        error.insert("message".into(), self.message.as_str().into());
        if let Some(param) = &self.param {
            error.insert("param".into(), param.as_str().into());
        }
        let mut frame = Map::new();
        frame.insert("type".into(), "error".into());
        frame.insert("error".into(), error.into());
        frame.insert("status".into(), self.status.into());
        if let Some(stream_id) = stream_id {
            frame.insert("stream_id".into(), stream_id.into());
        }
        Value::Object(frame).to_string()
    }

    /// The data of the `error` event of a stream, if this way of spelling has one.
    pub fn event(&self, spelling: StreamError, sequence: u32) -> Option<String> {
        let or_null = |value: Option<&str>| value.map_or(Value::Null, Value::from);
        let mut event = Map::new();
        event.insert("type".into(), "error".into());
        event.insert("sequence_number".into(), sequence.into());
        match spelling {
            StreamError::FailedOnly => return None,
            StreamError::Flat => {
                event.insert("code".into(), or_null(self.code.as_deref()));
                event.insert("message".into(), self.message.as_str().into());
                event.insert("param".into(), or_null(self.param.as_deref()));
            }
            StreamError::Nested => {
                let mut error = Map::new();
                error.insert("type".into(), (&*self.kind).into());
                error.insert("code".into(), or_null(self.code.as_deref()));
                error.insert("message".into(), self.message.as_str().into());
                error.insert("param".into(), or_null(self.param.as_deref()));
                event.insert("error".into(), error.into());
            }
        }
        Some(Value::Object(event).to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status,
            kind: refusal.error_type().into(),
            message: refusal.message,
            param: refusal.param,
            code: refusal.code.map(Into::into),
            rule: Some(refusal.kind.name()),
            raw: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::item::ItemKind;

    #[test]
    fn a_refusal_is_spelled_as_before() {
        for refusal in [
            Refusal::missing_output(ItemKind::FunctionCall, "call_X"),
            Refusal::previous_response_not_found("resp_1"),
            Refusal::duplicate_item(ItemKind::Message, "msg_1"),
        ] {
            let failure = Failure::from(refusal.clone());
            assert_eq!(failure.body(), refusal.body());
            assert_eq!(failure.frame(None, false), refusal.frame());
        }
    }

    #[test]
    fn every_place_has_its_own_spelling() {
        let failure = Failure::invalid("no").param("input");
        assert_eq!(
            failure.frame(Some("main"), true),
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"invalid_request_error","message":"no","param":"input"},"status":400,"stream_id":"main"}"#
        );
        assert_eq!(
            failure.event(StreamError::Nested, 2).unwrap(),
            r#"{"type":"error","sequence_number":2,"error":{"type":"invalid_request_error","code":null,"message":"no","param":"input"}}"#
        );
        assert_eq!(
            failure.event(StreamError::Flat, 2).unwrap(),
            r#"{"type":"error","sequence_number":2,"code":null,"message":"no","param":"input"}"#
        );
        assert_eq!(failure.event(StreamError::FailedOnly, 2), None);
        assert_eq!(Failure::detail("x").body(), r#"{"detail":"x"}"#);
        assert_eq!(
            (
                &*Failure::of_status(429).kind,
                Failure::of_status(500).status
            ),
            ("rate_limit_error", 500)
        );
    }
}
