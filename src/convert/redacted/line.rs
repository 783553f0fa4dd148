//! One line of a recording, written again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::redact::Redactor;
use crate::session::body::{Bases, Stored, store, stored};
use crate::session::format::Rewritten;
use crate::session::lanes::{Headers, identity};
use crate::wire::raw::{Object, array, push_string, string};
use crate::wire::request::RequestHead;

/// The members that hold the body of a request.
const BODIES: [&str; 5] = [
    "body",
    "body_text",
    "body_base64",
    "body_delta",
    "body_omitted",
];

/// Members that this program writes itself, and that hold nothing of a client's or an endpoint's.
const STRUCTURE: [&str; 23] = [
    "kind",
    "redacted",
    "format",
    "id",
    "created_at",
    "recorder",
    "exchange",
    "connection",
    "at_us",
    "head_at_us",
    "transport",
    "http",
    "method",
    "body_complete",
    "body_encoded",
    "status",
    "wire_bytes",
    "encoded",
    "cause",
    "code",
    "from",
    "type",
    "line",
];

/// Bodies as they were, and as they are written.
#[derive(Default)]
pub(super) struct Bodies {
    read: Bases,
    written: Bases,
    /// The last exchange of each lane, as a writer tells lanes apart.
    last: BTreeMap<String, u32>,
}

/// A line whose members are redacted one after another.
pub(super) struct Rewrite<'a, 'r> {
    object: &'a Object<'a>,
    line: Rewritten<'a>,
    redactor: &'r mut Redactor,
    changed: bool,
    /// Where something was replaced.
    places: Vec<String>,
    /// The members that hold a request's body, as they are written.
    body: Option<String>,
}

impl<'a, 'r> Rewrite<'a, 'r> {
    /// Redacts all members but the body of a request.
    pub(super) fn new(object: &'a Object<'a>, redactor: &'r mut Redactor) -> Self {
        let mut rewrite = Self {
            object,
            line: Rewritten::new(object),
            redactor,
            changed: false,
            places: Vec::new(),
            body: None,
        };
        let is_request = object.text("kind").as_deref() == Some("request");
        for (key, raw) in object.members() {
            if STRUCTURE.contains(&key) || is_request && BODIES.contains(&key) {
                continue;
            }
            rewrite.member(key, raw.get());
        }
        rewrite
    }

    fn member(&mut self, key: &str, raw: &str) {
        let json = match key {
            "path" => self.string(raw, |redactor, text| redactor.target(text).into_owned()),
            "upstream" => self.string(raw, |redactor, text| redactor.url(text).into_owned()),
            "command" => self.command(raw),
            _ if key == "trailers" || key.ends_with("headers") => self.headers(key, raw),
            _ => self.raw(key, raw),
        };
        if let Some(json) = json.filter(|json| json != raw) {
            if matches!(key, "path" | "upstream") {
                self.places.push(key.to_owned());
            }
            self.changed = true;
            self.line.set(key, json);
        }
    }

    fn string(&mut self, raw: &str, how: impl Fn(&mut Redactor, &str) -> String) -> Option<String> {
        let text = string(raw)?;
        let redacted = how(self.redactor, &text);
        (redacted != *text).then(|| json_string(&redacted))
    }

    fn command(&mut self, raw: &str) -> Option<String> {
        let arguments = array(raw)?;
        let arguments: Option<Vec<Cow<'_, str>>> =
            arguments.into_iter().map(|it| string(it.get())).collect();
        let arguments = arguments?;
        let redacted = self.redactor.arguments(&arguments);
        (redacted != *arguments).then(|| serde_json::to_string(&redacted).unwrap_or_default())
    }

    fn headers(&mut self, member: &str, raw: &str) -> Option<String> {
        let mut changed = false;
        let mut json = String::from("[");
        for (at, pair) in array(raw)?.into_iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            let pair: Vec<_> = array(pair.get()).unwrap_or_default();
            let mut texts = pair.iter().map(|it| string(it.get()));
            let (Some(Some(name)), Some(Some(value))) = (texts.next(), texts.next()) else {
                // no pair: of what it is nothing is known
                changed = true;
                json.push_str("[]");
                continue;
            };
            let redacted = self.redactor.header(&name, &value);
            if redacted != value {
                changed = true;
                let place = format!("{member}.{}", name.to_ascii_lowercase());
                if !self.places.contains(&place) {
                    self.places.push(place);
                }
            }
            json.push('[');
            json.push_str(&json_string(&name));
            json.push(',');
            json.push_str(&json_string(&redacted));
            json.push(']');
        }
        json.push(']');
        changed.then_some(json)
    }

    /// Any other member, with its key, which may tell.
    fn raw(&mut self, key: &str, raw: &str) -> Option<String> {
        match self.redactor.member(key, raw) {
            Cow::Borrowed(_) => None,
            Cow::Owned(json) => Some(json),
        }
    }

    /// Redacts the body of a request and stores it anew.
    pub(super) fn body(&mut self, bodies: &mut Bodies) {
        let number = self.object.small("exchange").unwrap_or(0);
        let mut json = String::new();
        match stored(self.object, &mut bodies.read, number) {
            Ok(Stored::Nothing) => return,
            Ok(Stored::Omitted) => {
                if let Some(raw) = self.object.get("body_omitted") {
                    json.push_str(",\"body_omitted\":");
                    json.push_str(raw.get());
                }
            }
            // its text may hold anything, and what it is made of is not there
            Err(_) => json.push_str(LOST),
            Ok(Stored::Bytes(body)) => {
                // nobody can look into what could not be decoded
                let is_encoded = self.object.flag("body_encoded") == Some(true);
                let body = if is_encoded {
                    body
                } else {
                    self.decoded(&body)
                };
                let lane = self.lane(&body);
                let base = bodies.last.get(&lane).copied();
                store(&mut json, body, number, base, &mut bodies.written);
                bodies.last.insert(lane, number);
            }
        }
        for key in BODIES {
            self.line.remove(key);
        }
        self.changed = true;
        self.body = Some(json);
    }

    fn decoded(&mut self, body: &[u8]) -> Vec<u8> {
        let redacted = self.redactor.body(body);
        let places = redacted.places.into_iter();
        self.places.extend(places.map(|place| match &*place {
            "" => "body".to_owned(),
            _ => format!("body.{place}"),
        }));
        redacted.bytes.into_owned()
    }

    fn lane(&self, body: &[u8]) -> String {
        let headers = Headers::read(self.object, "headers");
        let head = std::str::from_utf8(body).ok().and_then(RequestHead::read);
        let thread = identity(&headers, None, head.as_ref()).thread;
        thread.unwrap_or_else(|| {
            let connection = self.object.small("connection").unwrap_or(0);
            format!(
                "{connection} {}",
                self.object.text("path").unwrap_or_default()
            )
        })
    }

    /// The line; `line` if nothing changed.
    pub(super) fn finish(mut self, line: &str) -> String {
        if !self.changed {
            return one_line(line);
        }
        let is_request = self.object.text("kind").as_deref() == Some("request");
        let mut redacted: Vec<String> = Vec::new();
        if is_request {
            let before = self.object.array("redacted").unwrap_or_default();
            let before = before.iter().filter_map(|it| string(it.get()));
            redacted = before.map(Cow::into_owned).collect();
            for place in self.places {
                if !redacted.contains(&place) {
                    redacted.push(place);
                }
            }
            self.line.remove("redacted");
        }
        let mut json = self.line.to_json();
        json.pop();
        json.push_str(self.body.as_deref().unwrap_or(""));
        if !redacted.is_empty() {
            json.push_str(",\"redacted\":");
            json.push_str(&serde_json::to_string(&redacted).unwrap_or_default());
        }
        json.push('}');
        one_line(&json)
    }
}

/// A body that counts as lost: its delta gives no body.
const LOST: &str = ",\"body_delta\":{\"base\":0,\"ops\":[],\"bytes\":1,\"sha256\":\"\"}";

/// The bytes of a chunk.
pub(super) fn bytes_of(object: &Object<'_>) -> Option<Vec<u8>> {
    if let Some(text) = object.text("text") {
        return Some(text.into_owned().into_bytes());
    }
    STANDARD.decode(object.text("base64")?.as_bytes()).ok()
}

/// The line of a chunk with other bytes.
pub(super) fn with_bytes(line: &str, bytes: &[u8], redactor: &mut Redactor) -> String {
    let Some(object) = Object::read(line) else {
        return String::new();
    };
    let mut rewritten = Rewritten::new(&object);
    if let Ok(text) = std::str::from_utf8(bytes) {
        rewritten.remove("base64");
        rewritten.set("text", json_string(text));
    } else {
        rewritten.remove("text");
        rewritten.set("base64", json_string(&STANDARD.encode(bytes)));
    }
    without_more(&rewritten.to_json(), redactor)
}

/// The line of a chunk whose bytes are redacted already, without the secrets of its other members.
pub(super) fn without_more(line: &str, redactor: &mut Redactor) -> String {
    let Some(object) = Object::read(line) else {
        return String::new();
    };
    let known = |key: &str| STRUCTURE.contains(&key) || matches!(key, "text" | "base64");
    if object.members().all(|(key, _)| known(key)) {
        return one_line(line);
    }
    let mut rewritten = Rewritten::new(&object);
    for (key, raw) in object.members().filter(|(key, _)| !known(key)) {
        let mut rewrite = Rewrite {
            object: &object,
            line: Rewritten::default(),
            redactor,
            changed: false,
            places: Vec::new(),
            body: None,
        };
        let json = rewrite.raw(key, raw.get());
        if let Some(json) = json {
            rewritten.set(key, json);
        }
    }
    one_line(&rewritten.to_json())
}

fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_string(&mut json, text);
    json
}

/// A value that was several lines of a damaged file stays one.
fn one_line(line: &str) -> String {
    if line.contains(['\n', '\r']) {
        crate::wire::raw::compact(line)
    } else {
        line.to_owned()
    }
}
