//! The body of a request, as far as the contract reads it.
//!
//! Odd shapes are never an error: a body that a client really sent is evidence, whatever is wrong with it. A field of an
//! unexpected type reads as absent.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::event::id_of;
use super::raw::{Object, array, range_in, string};

/// What a body says, borrowed from it.
#[derive(Clone, Debug, Default)]
pub struct RequestHead<'a> {
    /// `type`: `response.create` on a WebSocket.
    pub kind: Option<Cow<'a, str>>,
    /// `model`.
    pub model: Option<Cow<'a, str>>,
    /// `previous_response_id`.
    pub previous: Option<Cow<'a, str>>,
    /// `conversation`, a string or `{id}`.
    pub conversation: Option<Cow<'a, str>>,
    /// `stream_id`, on a WebSocket with lanes.
    pub stream_id: Option<Cow<'a, str>>,
    /// `store`.
    pub store: Option<bool>,
    /// `stream`.
    pub stream: Option<bool>,
    /// `generate`; `false` is a warm-up.
    pub generate: Option<bool>,
    /// `input`.
    pub input: Input<'a>,
    /// All members, `input` included.
    pub members: Object<'a>,
}

/// What `input` is.
#[derive(Clone, Debug, Default)]
pub enum Input<'a> {
    /// Absent or `null`.
    #[default]
    None,
    /// A string: one user message.
    Text(Cow<'a, str>),
    /// An array: items as they stand (an element need not be an object).
    Items(Vec<&'a RawValue>),
    /// Anything else.
    Odd(&'a RawValue),
}

impl<'a> RequestHead<'a> {
    /// Reads a body; `None` if it is no JSON object.
    pub fn read(body: &'a str) -> Option<Self> {
        let members = Object::read(body)?;
        Some(Self {
            kind: members.text("type"),
            model: members.text("model"),
            previous: members
                .text("previous_response_id")
                .filter(|id| !id.is_empty()),
            conversation: id_of(&members, "conversation"),
            stream_id: members.text("stream_id"),
            store: members.flag("store"),
            stream: members.flag("stream"),
            generate: members.flag("generate"),
            input: Input::of(members.get("input")),
            members,
        })
    }

    /// Reads a bare array of items as the `input` of a body without anything else.
    pub fn from_items(text: &'a str) -> Option<Self> {
        Some(Self {
            input: Input::Items(array(text.trim())?),
            ..Self::default()
        })
    }

    /// Whether the frame or body asks for a response. Other WebSocket messages (`response.processed`, `response.steer`)
    /// do not.
    pub fn is_create(&self) -> bool {
        matches!(self.kind.as_deref(), None | Some("response.create"))
    }
}

impl<'a> Input<'a> {
    fn of(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = raw.filter(|raw| raw.get() != "null") else {
            return Self::None;
        };
        if let Some(text) = string(raw.get()) {
            return Self::Text(text);
        }
        match array(raw.get()) {
            Some(items) => Self::Items(items),
            None => Self::Odd(raw),
        }
    }

    /// The texts of the items; a plain string is one user message.
    pub fn items(&self) -> Vec<Cow<'a, str>> {
        match self {
            Self::None | Self::Odd(_) => Vec::new(),
            Self::Text(text) => vec![Cow::Owned(user_message(text))],
            Self::Items(items) => items.iter().map(|raw| Cow::Borrowed(raw.get())).collect(),
        }
    }

    /// The byte each item begins at in `body`, the text this was read from; 0 for a plain string.
    pub fn offsets(&self, body: &str) -> Vec<usize> {
        match self {
            Self::None | Self::Odd(_) => Vec::new(),
            Self::Text(_) => vec![0],
            Self::Items(items) => items
                .iter()
                .map(|raw| range_in(body, raw.get()).map_or(0, |range| range.start))
                .collect(),
        }
    }
}

/// The item that a plain-string `input` stands for.
pub fn user_message(text: &str) -> String {
    let mut json = String::from(r#"{"type":"message","role":"user","content":"#);
    super::raw::push_string(&mut json, text);
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_input_and_reference() {
        let body = r#"{"model":"m","input":[{"role":"user"}, 7],"previous_response_id":"resp_1","conversation":{"id":"conv_1"},"store":false,"generate":false}"#;
        let head = RequestHead::read(body).unwrap();
        assert_eq!(head.input.items(), [r#"{"role":"user"}"#, "7"]);
        for (item, at) in head.input.items().iter().zip(head.input.offsets(body)) {
            assert!(body.get(at..).unwrap().starts_with(item.as_ref()));
        }
        assert_eq!(head.previous.as_deref(), Some("resp_1"));
        assert_eq!(head.conversation.as_deref(), Some("conv_1"));
        assert_eq!(
            (head.store, head.generate, head.stream),
            (Some(false), Some(false), None)
        );
        let text = RequestHead::read(r#"{"input":"say \"hi\"","conversation":"conv_2"}"#).unwrap();
        assert_eq!(
            text.input.items(),
            [r#"{"type":"message","role":"user","content":"say \"hi\""}"#]
        );
        assert_eq!(text.conversation.as_deref(), Some("conv_2"));
    }

    #[test]
    fn odd_shapes_read_as_absent() {
        for body in [
            r#"{"model":1,"input":{"a":1},"previous_response_id":7,"store":"no","conversation":[]}"#,
            r#"{"input":null,"previous_response_id":null}"#,
            "{}",
        ] {
            let head = RequestHead::read(body).unwrap();
            assert!(
                head.input.items().is_empty() && head.previous.is_none(),
                "{body}"
            );
        }
        assert!(RequestHead::read("[]").is_none());
        assert_eq!(
            RequestHead::from_items("[{},{}]")
                .unwrap()
                .input
                .items()
                .len(),
            2
        );
        let deep = format!(
            r#"{{"input":[{}{}]}}"#,
            "[".repeat(50_000),
            "]".repeat(50_000)
        );
        assert_eq!(RequestHead::read(&deep).unwrap().input.items().len(), 1);
    }
}
