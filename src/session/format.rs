//! The lines of a recording, format 1, as they are written (`docs/format.md`).
//!
//! Each type is one kind of line; `kind` comes first. Readers do not go through these types but take the members they
//! know out of the raw line, so that unknown kinds and members are kept wherever a recording is written again
//! ([`Rewritten`]).

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::exchange::{EndCause, Transport};
use super::lanes::Headers;
use crate::wire::raw::Object;

/// The format that is written.
pub const FORMAT: u64 = 1;

macro_rules! line {
    ($(#[$meta:meta])* $name:ident $(<$life:lifetime>)?, $kind:literal { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name $(<$life>)? { $($(#[$doc])* pub $field: $type,)* }

        impl $(<$life>)? Serialize for $name $(<$life>)? {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("kind", $kind)?;
                $(if self.$field.is_present() {
                    map.serialize_entry(stringify!($field).trim_start_matches("r#"), &self.$field)?;
                })*
                map.end()
            }
        }
    };
}

/// Whether a member is written: `None` and empty marks are left out.
trait Present {
    fn is_present(&self) -> bool {
        true
    }
}
impl<T> Present for Option<T> {
    fn is_present(&self) -> bool {
        self.is_some()
    }
}
impl Present for u32 {}
impl Present for u64 {}
impl Present for &str {}
impl Present for String {}
impl Present for &RawValue {}
impl Present for HeaderLines<'_> {}
impl Present for Cause {}
impl<T> Present for Vec<T> {
    fn is_present(&self) -> bool {
        !self.is_empty()
    }
}

/// Headers as a line writes them: an array of pairs.
#[derive(Clone, Debug)]
pub struct HeaderLines<'a>(pub &'a Headers<'a>);

impl Serialize for HeaderLines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

/// An [`EndCause`] as a line writes it.
#[derive(Clone, Copy, Debug)]
pub struct Cause(pub EndCause);

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(cause_name(self.0))
    }
}

/// The name of a cause.
pub fn cause_name(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Complete => "complete",
        EndCause::ClientClosed => "client_closed",
        EndCause::UpstreamClosed => "upstream_closed",
        EndCause::UpstreamError => "upstream_error",
        EndCause::Timeout => "timeout",
        EndCause::RecorderStopped => "recorder_stopped",
        EndCause::NotHeld => "not_held",
    }
}

/// The cause with a name; `None` for one this version does not know.
pub fn cause_of(name: &str) -> Option<EndCause> {
    [
        EndCause::Complete,
        EndCause::ClientClosed,
        EndCause::UpstreamClosed,
        EndCause::UpstreamError,
        EndCause::Timeout,
        EndCause::RecorderStopped,
        EndCause::NotHeld,
    ]
    .into_iter()
    .find(|cause| cause_name(*cause) == name)
}

/// The name of a transport.
pub fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Http => "http",
        Transport::WebSocket => "websocket",
    }
}

line! {
    /// The first line.
    SessionLine<'a>, "session" {
        /// Always [`FORMAT`].
        format: u64,
        /// The recording's id.
        id: Option<&'a str>,
        /// When it was begun, RFC 3339.
        created_at: Option<&'a str>,
        /// What writes it.
        recorder: Option<&'a str>,
        /// The command that is recorded.
        command: Vec<&'a str>,
        /// The endpoint that is recorded.
        upstream: Option<&'a str>,
        /// What kind of log it is converted from.
        converted_from: Option<&'a str>,
        /// What that log does not hold.
        not_held: Vec<&'a str>,
        /// `Some(true)` if answers were read to their end when their client had left.
        drain: Option<bool>,
    }
}

impl Default for SessionLine<'_> {
    fn default() -> Self {
        Self {
            format: FORMAT,
            id: None,
            created_at: None,
            recorder: None,
            command: Vec::new(),
            upstream: None,
            converted_from: None,
            not_held: Vec::new(),
            drain: None,
        }
    }
}

line! {
    /// A request without its body, which [`super::writer::Writer::request`] adds.
    RequestLine<'a>, "request" {
        /// The exchange.
        exchange: u32,
        /// The connection, for WebSocket.
        connection: Option<u32>,
        /// When its body was whole.
        at_us: u64,
        /// When its head came.
        head_at_us: Option<u64>,
        /// `http` or `websocket`.
        transport: &'a str,
        /// The version of HTTP.
        http: Option<&'a str>,
        /// The method.
        method: Option<&'a str>,
        /// The path with its query.
        path: Option<&'a str>,
        /// The headers, redacted.
        headers: Option<HeaderLines<'a>>,
        /// `Some(false)` if the body broke off.
        body_complete: Option<bool>,
        /// `Some(true)` if the body could not be decoded and stands as it came.
        body_encoded: Option<bool>,
        /// Where values were replaced.
        redacted: Vec<&'a str>,
    }
}

line! {
    /// The head of an answer.
    ResponseLine<'a>, "response" {
        /// The exchange.
        exchange: u32,
        /// When it came.
        at_us: u64,
        /// The status.
        status: u32,
        /// The headers, redacted.
        headers: Option<HeaderLines<'a>>,
    }
}

line! {
    /// One data frame of an answer's body. [`super::writer::Writer::chunk`] chooses between `text` and `base64`.
    ChunkLine<'a>, "chunk" {
        /// The exchange.
        exchange: u32,
        /// When it came.
        at_us: u64,
        /// Its text.
        text: Option<&'a str>,
        /// Its bytes, where they are no UTF-8.
        base64: Option<String>,
        /// Its length on the wire, where the body was compressed.
        wire_bytes: Option<u64>,
        /// `Some(true)` if it could not be decoded and stands as it came.
        encoded: Option<bool>,
        /// `Some(true)` if the log this is converted from holds what these events say, but not their bytes.
        rebuilt: Option<bool>,
    }
}

line! {
    /// The client left; the upstream is read on.
    ClientClosedLine, "client_closed" {
        /// The exchange.
        exchange: u32,
        /// When it left.
        at_us: u64,
    }
}

line! {
    /// The end of an exchange's transport.
    EndLine<'a>, "end" {
        /// The exchange.
        exchange: u32,
        /// When it came.
        at_us: u64,
        /// Why.
        cause: Cause,
        /// More about it (reset, GOAWAY, short body).
        detail: Option<&'a str>,
        /// Trailing headers.
        trailers: Option<HeaderLines<'a>>,
    }
}

line! {
    /// A WebSocket connection.
    ConnectionLine<'a>, "connection" {
        /// Its number.
        connection: u32,
        /// When it was opened.
        at_us: u64,
        /// The method of its handshake.
        method: Option<&'a str>,
        /// The path of its handshake.
        path: Option<&'a str>,
        /// The headers of its handshake, redacted.
        headers: Option<HeaderLines<'a>>,
        /// The status of the handshake's answer.
        status: Option<u32>,
        /// The headers of the handshake's answer.
        response_headers: Option<HeaderLines<'a>>,
        /// The extensions agreed on.
        extensions: Option<&'a str>,
    }
}

line! {
    /// One WebSocket message. [`super::writer::Writer::frame`] chooses between `text` and `base64`.
    FrameLine<'a>, "frame" {
        /// The connection.
        connection: u32,
        /// The exchange it belongs to, where that is known.
        exchange: Option<u32>,
        /// When it came.
        at_us: u64,
        /// `client` or `server`.
        from: &'a str,
        /// `text`, `binary`, `ping`, `pong` or `close`; written as `type`.
        r#type: &'a str,
        /// Its text.
        text: Option<&'a str>,
        /// Its bytes, where they are no UTF-8.
        base64: Option<String>,
    }
}

line! {
    /// The end of a WebSocket connection.
    ConnectionEndLine<'a>, "connection_end" {
        /// The connection.
        connection: u32,
        /// When it ended.
        at_us: u64,
        /// Why.
        cause: Cause,
        /// The close code.
        code: Option<u32>,
        /// The close reason.
        reason: Option<&'a str>,
    }
}

line! {
    /// A rollout that is followed from here on.
    RolloutFileLine<'a>, "rollout_file" {
        /// Its path below the client's home.
        path: &'a str,
        /// The first line that is followed.
        line: u32,
        /// The byte it begins at.
        byte: u64,
    }
}

line! {
    /// A line that the client wrote into its rollout.
    RolloutLine<'a>, "rollout" {
        /// When it was seen.
        at_us: u64,
        /// The rollout.
        path: &'a str,
        /// The line.
        line: u32,
        /// Its JSON.
        value: Option<&'a RawValue>,
        /// Its text, where it is no JSON.
        text: Option<&'a str>,
    }
}

line! {
    /// A line of the client's own event log.
    ClientEventLine<'a>, "client_event" {
        /// When it was seen.
        at_us: u64,
        /// `exec-json`, `proto`, `app-server`, `mcp` or `tui-log`.
        source: &'a str,
        /// `in` or `out`.
        direction: &'a str,
        /// Its JSON.
        value: Option<&'a RawValue>,
        /// Its text, where it is no JSON.
        text: Option<&'a str>,
    }
}

line! {
    /// Something that could not be recorded.
    GapLine<'a>, "gap" {
        /// The exchange, if it concerns one.
        exchange: Option<u32>,
        /// When it was.
        at_us: u64,
        /// How many chunks are missing.
        chunks: u64,
        /// How many bytes are missing.
        bytes: u64,
        /// Why.
        reason: &'a str,
    }
}

/// A line that is written again with some members replaced; all others stay byte for byte, in their order.
#[derive(Clone, Debug, Default)]
pub struct Rewritten<'a> {
    members: Vec<(String, std::borrow::Cow<'a, str>)>,
}

impl<'a> Rewritten<'a> {
    /// Takes a line as it was read.
    pub fn new(line: &Object<'a>) -> Self {
        let members = line.members();
        Self {
            members: members
                .map(|(key, raw)| (key.to_owned(), raw.get().into()))
                .collect(),
        }
    }

    /// Replaces the JSON of a member, or adds it at the end.
    pub fn set(&mut self, key: &str, json: String) {
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some((_, value)) => *value = json.into(),
            None => self.members.push((key.to_owned(), json.into())),
        }
    }

    /// Takes a member away.
    pub fn remove(&mut self, key: &str) {
        self.members.retain(|(name, _)| name != key);
    }

    /// The line, without a line end.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (at, (key, value)) in self.members.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            crate::wire::raw::push_string(&mut json, key);
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_comes_first_and_absent_members_are_left_out() {
        let line = EndLine {
            exchange: 1,
            at_us: 2,
            cause: Cause(EndCause::UpstreamClosed),
            detail: None,
            trailers: None,
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"kind":"end","exchange":1,"at_us":2,"cause":"upstream_closed"}"#
        );
        let headers = Headers::new([("a", "b")]);
        let frame = FrameLine {
            connection: 1,
            exchange: Some(2),
            at_us: 3,
            from: "server",
            r#type: "text",
            text: Some("{}"),
            base64: None,
        };
        assert!(
            serde_json::to_string(&frame)
                .unwrap()
                .contains(r#""type":"text""#)
        );
        assert_eq!(
            serde_json::to_string(&HeaderLines(&headers)).unwrap(),
            r#"[["a","b"]]"#
        );
    }

    #[test]
    fn a_line_written_again_keeps_what_it_does_not_know() {
        let text = r#"{"kind":"future","x": 1.50,"y":"old","z":[1, 2]}"#;
        let mut line = Rewritten::new(&Object::read(text).unwrap());
        line.set("y", "\"new\"".into());
        line.set("w", "0".into());
        line.remove("z");
        assert_eq!(
            line.to_json(),
            r#"{"kind":"future","x":1.50,"y":"new","w":0}"#
        );
    }
}
