//! Complete response objects: what the API echoes of a request, and the state of its answer.
//!
//! The members are those that the API description and Open Responses require (responses-api.md 2.4), in the order in
//! which OpenAI sends them. What the request says is copied as it stands, on one line.

use std::fmt::Write as _;

use super::Profile;
use crate::wire::raw::{Object, array, compact, push_string};
use crate::wire::request::RequestHead;

/// How an answer ends, or that it has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Still being made.
    #[default]
    InProgress,
    /// Whole.
    Completed,
    /// Broken off by the model, with `incomplete_details.reason`.
    Incomplete(String),
    /// Failed, with `error.code` and `error.message`.
    Failed(String, String),
    /// Cancelled by the client.
    Cancelled,
}

impl Status {
    /// The name in `status`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(..) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What stays the same in all objects of one response: the parts between what changes.
#[derive(Clone, Debug)]
pub struct Echo {
    id: String,
    created_at: u64,
    background: String,
    /// From `frequency_penalty` on, as far as `error` and `incomplete_details` do not interrupt.
    penalty: String,
    /// `instructions` to `model`.
    before_output: String,
    /// `parallel_tool_calls` to `truncation`.
    after_output: String,
    /// `user` and `metadata`.
    last: String,
    input_tokens: u64,
}

/// How many tokens some bytes are taken for.
pub fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

impl Echo {
    /// Reads off a request what its response repeats. `bytes` is the length of the body.
    pub fn new(
        id: String,
        created_at: u64,
        head: &RequestHead<'_>,
        bytes: usize,
        profile: Profile,
    ) -> Self {
        let members = &head.members;
        let or = |key: &str, other: &str| members.value(key).map_or_else(|| other.to_owned(), line);
        let mut before_output = String::new();
        for (key, other) in [
            ("instructions", "null"),
            ("max_output_tokens", "null"),
            ("max_tool_calls", "null"),
        ] {
            push(&mut before_output, key, &or(key, other));
        }
        push(&mut before_output, "model", &or("model", "\"\""));
        let mut after = String::new();
        for (key, other) in [
            ("parallel_tool_calls", "true"),
            ("presence_penalty", "0.0"),
            ("previous_response_id", "null"),
            ("prompt_cache_key", "null"),
        ] {
            push(&mut after, key, &or(key, other));
        }
        if let Some(kept) = members.value("prompt_cache_retention") {
            push(&mut after, "prompt_cache_retention", &line(kept));
        }
        push(&mut after, "reasoning", &reasoning(members));
        push(
            &mut after,
            "safety_identifier",
            &or("safety_identifier", "null"),
        );
        // `auto` is answered with the tier that was used
        let tier = members.text("service_tier").filter(|it| it != "auto");
        let tier = tier.map_or_else(
            || "\"default\"".to_owned(),
            |it| {
                let mut text = String::new();
                push_string(&mut text, &it);
                text
            },
        );
        push(&mut after, "service_tier", &tier);
        for (key, other) in [("store", "true"), ("temperature", "1.0")] {
            push(&mut after, key, &or(key, other));
        }
        push(&mut after, "text", &text(members));
        push(&mut after, "tool_choice", &or("tool_choice", "\"auto\""));
        push(&mut after, "tools", &tools(members, profile));
        for (key, other) in [
            ("top_logprobs", "0"),
            ("top_p", "1.0"),
            ("truncation", "\"disabled\""),
        ] {
            push(&mut after, key, &or(key, other));
        }
        let mut last = String::new();
        for (key, other) in [("user", "null"), ("metadata", "{}")] {
            push(&mut last, key, &or(key, other));
        }
        if let Some(conversation) = head.conversation.as_deref() {
            let mut text = String::from("{\"id\":");
            push_string(&mut text, conversation);
            text.push('}');
            push(&mut last, "conversation", &text);
        }
        let mut penalty = String::new();
        push(
            &mut penalty,
            "frequency_penalty",
            &or("frequency_penalty", "0.0"),
        );
        Self {
            id,
            created_at,
            background: or("background", "false"),
            penalty,
            before_output,
            after_output: after,
            last,
            input_tokens: tokens(bytes),
        }
    }

    /// The response's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes the object with this state; `output` is the JSON array of its items, `tokens` what they cost.
    pub fn write(&self, out: &mut Vec<u8>, status: &Status, output: &[u8], tokens: u64, at: u64) {
        let mut text = String::with_capacity(256 + self.before_output.len());
        text.push_str("{\"id\":");
        push_string(&mut text, &self.id);
        let _ = write!(
            text,
            ",\"object\":\"response\",\"created_at\":{},\"status\":\"{}\",\"background\":{},\"completed_at\":",
            self.created_at,
            status.name(),
            self.background
        );
        if *status == Status::Completed {
            let _ = write!(text, "{at}");
        } else {
            text.push_str("null");
        }
        text.push_str(",\"error\":");
        if let Status::Failed(code, message) = status {
            text.push_str("{\"code\":");
            push_string(&mut text, code);
            text.push_str(",\"message\":");
            push_string(&mut text, message);
            text.push('}');
        } else {
            text.push_str("null");
        }
        text.push_str(&self.penalty);
        text.push_str(",\"incomplete_details\":");
        if let Status::Incomplete(reason) = status {
            text.push_str("{\"reason\":");
            push_string(&mut text, reason);
            text.push('}');
        } else {
            text.push_str("null");
        }
        text.push_str(&self.before_output);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b",\"output\":");
        out.extend_from_slice(output);
        out.extend_from_slice(self.after_output.as_bytes());
        let mut text = String::from(",\"usage\":");
        match status {
            Status::Completed | Status::Incomplete(_) => {
                let _ = write!(
                    text,
                    "{{\"input_tokens\":{},\"input_tokens_details\":{{\"cached_tokens\":0}},\"output_tokens\":{tokens},\"output_tokens_details\":{{\"reasoning_tokens\":0}},\"total_tokens\":{}}}",
                    self.input_tokens,
                    self.input_tokens + tokens
                );
            }
            _ => text.push_str("null"),
        }
        text.push_str(&self.last);
        text.push('}');
        out.extend_from_slice(text.as_bytes());
    }
}

fn push(out: &mut String, key: &str, json: &str) {
    out.push_str(",\"");
    out.push_str(key);
    out.push_str("\":");
    out.push_str(json);
}

/// A JSON text on one line, otherwise as it stands.
pub(super) fn line(raw: &str) -> String {
    if raw.contains(['\n', '\r']) {
        compact(raw)
    } else {
        raw.to_owned()
    }
}

fn reasoning(members: &Object<'_>) -> String {
    let asked = members.object("reasoning").unwrap_or_default();
    let mut text = String::from("{");
    for key in ["effort", "summary"] {
        if text.len() > 1 {
            text.push(',');
        }
        let value = asked.value(key).map_or_else(|| "null".to_owned(), line);
        let _ = write!(text, "\"{key}\":{value}");
    }
    text.push('}');
    text
}

fn text(members: &Object<'_>) -> String {
    let asked = members.object("text").unwrap_or_default();
    let format = asked
        .value("format")
        .map_or_else(|| "{\"type\":\"text\"}".to_owned(), line);
    let mut text = format!("{{\"format\":{format}");
    if let Some(verbosity) = asked.value("verbosity") {
        let _ = write!(text, ",\"verbosity\":{}", line(verbosity));
    }
    text.push('}');
    text
}

/// The tools as the API repeats them: function tools have all of their members.
fn tools(members: &Object<'_>, profile: Profile) -> String {
    let Some(raw) = members.value("tools") else {
        return "[]".to_owned();
    };
    let Some(offered) = array(raw) else {
        return "[]".to_owned();
    };
    if profile == Profile::CodexBackend {
        return line(raw);
    }
    let mut out = String::from("[");
    for (at, tool) in offered.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let object = Object::read(tool.get());
        let Some(object) = object.filter(|it| it.text("type").as_deref() == Some("function"))
        else {
            out.push_str(&line(tool.get()));
            continue;
        };
        out.push('{');
        for (at, (key, value)) in object.members().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_string(&mut out, key);
            out.push(':');
            out.push_str(&line(value.get()));
        }
        for (key, other) in [
            ("description", "null"),
            ("parameters", "null"),
            ("strict", "true"),
        ] {
            if object.get(key).is_none() {
                push(&mut out, key, other);
            }
        }
        out.push('}');
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const REQUIRED: [&str; 32] = [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "user",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    ];

    fn object(body: &str, status: &Status) -> Value {
        let head = RequestHead::read(body).unwrap();
        let echo = Echo::new("resp_1".into(), 7, &head, body.len(), Profile::Full);
        let mut out = Vec::new();
        echo.write(&mut out, status, b"[]", 3, 9);
        assert!(!out.contains(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn every_required_member_is_there_in_every_state() {
        for status in [
            Status::InProgress,
            Status::Completed,
            Status::Incomplete("max_output_tokens".into()),
            Status::Failed("server_error".into(), "no".into()),
            Status::Cancelled,
        ] {
            let found = object(r#"{"model":"m","input":"x"}"#, &status);
            for key in REQUIRED {
                assert!(found.get(key).is_some(), "{key} in {status:?}");
            }
            assert_eq!(found["status"], status.name());
            assert_eq!(found["completed_at"].is_null(), status != Status::Completed);
        }
    }

    #[test]
    fn what_the_request_says_is_repeated() {
        let found = object(
            "{\"model\":\"m\",\n\"input\":\"x\",\"metadata\":{\n\"a\":\"b\"},\"text\":{\"verbosity\":\"low\"},\"conversation\":\"conv_1\",\
             \"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"web_search\"}],\"service_tier\":\"auto\",\"instructions\":null}",
            &Status::Completed,
        );
        assert_eq!(found["metadata"]["a"], "b");
        assert_eq!(found["text"]["format"]["type"], "text");
        assert_eq!(found["text"]["verbosity"], "low");
        assert_eq!(found["conversation"]["id"], "conv_1");
        assert!(found["tools"][0]["parameters"].is_null());
        assert_eq!(found["tools"][1]["type"], "web_search");
        assert_eq!(found["service_tier"], "default");
        assert_eq!(found["usage"]["output_tokens"], 3);
    }
}
