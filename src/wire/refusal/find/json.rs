//! Finds the innermost message of JSON that stands in JSON that stands in text.
//!
//! Three bounds keep this short on any input: how deep wrappers may nest, how many places of one text are tried as the
//! beginning of JSON, and how many bytes are given to the parser in all. Behind them the text is searched as it is.

use serde_json::{Map, Value};

use super::squeeze::Squeezed;
use super::wrapper::{Inner, Wrapper, is_html, status_in, status_member, title};
use super::{MAX_TEXT, python, sentence};
use crate::wire::refusal::Named;

/// How many wrappers are opened; the deepest seen in reality were `LiteLLM` around `OpenRouter` around the API.
const MAX_DEPTH: u8 = 12;

/// How many places of one text are tried as the beginning of JSON.
const MAX_TRIES: usize = 32;

/// How many elements of an array are looked at.
const MAX_ELEMENTS: usize = 16;

/// How many bytes are parsed or searched in all.
const MAX_WORK: usize = 5 * MAX_TEXT;

/// Members that carry an error further in: of events, of recordings, of lists of errors.
const CARRIERS: [&str; 9] = [
    "response", "msg", "event", "payload", "item", "body", "data", "errors", "raw",
];

/// What was read so far, from the inside out.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) named: Option<Named>,
    pub(super) position: Option<u32>,
    pub(super) message: String,
    pub(super) status: Option<u16>,
    pub(super) wrapper: Wrapper,
    /// The text is a human message, or the object holds one where the API puts it.
    pub(super) plain: bool,
    /// There was JSON in the text.
    json: bool,
}

impl Reading {
    fn of_text(message: &str, wrapper: Wrapper) -> Self {
        Self {
            named: None,
            position: None,
            message: message.to_owned(),
            status: None,
            wrapper,
            plain: wrapper == Wrapper::Text,
            json: false,
        }
    }
}

/// Keeps the first reading until one comes that names something.
#[derive(Default)]
struct Best(Option<Reading>);

impl Best {
    /// Takes a reading; returns whether it names something, so that looking further is idle.
    fn take(&mut self, reading: Option<Reading>) -> bool {
        let Some(reading) = reading else {
            return false;
        };
        let named = reading.named.is_some();
        if named || self.0.is_none() {
            self.0 = Some(reading);
        }
        named
    }
}

/// Opens wrappers until the bounds are reached.
pub(super) struct Reader {
    work: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { work: MAX_WORK }
    }

    /// Reads a text that may hold JSON.
    pub(super) fn text(&mut self, text: &str, depth: u8) -> Reading {
        let text = text.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}');
        let mut best = Best::default();
        if depth < MAX_DEPTH && best.take(self.pieces(text, depth)) {
            return best
                .0
                .unwrap_or_else(|| Reading::of_text(text, Wrapper::Text));
        }
        // the whole text is always searched, however much was spent on its pieces
        if depth > 0 && !self.spend(text.len()) {
            return best
                .0
                .unwrap_or_else(|| Reading::of_text(text, Wrapper::Text));
        }
        if let Some(found) = sentence::search(text) {
            let mut reading = best.0.unwrap_or_else(|| {
                let mut reading = Reading::of_text(text, Wrapper::of_text(text));
                reading.status = status_in(text);
                reading
            });
            reading.named = Some(found.named);
            reading.position = found.position;
            reading.message = found.said;
            return reading;
        }
        best.0.unwrap_or_else(|| self.prose(text, depth))
    }

    /// Reads a text in which there is neither JSON nor a sentence of the API, as it is.
    fn prose(&mut self, text: &str, depth: u8) -> Reading {
        let wrapper = Wrapper::of_text(text);
        if is_html(text) {
            return Reading {
                status: title(text).and_then(status_in),
                ..Reading::of_text(title(text).unwrap_or(text), wrapper)
            };
        }
        // JSON that a terminal broke or that was printed escaped is JSON again once that is undone
        let mut plain = Some(Squeezed::new(text));
        while let Some(squeezed) = plain
            && depth < MAX_DEPTH
            && self.spend(text.len())
        {
            if let Some(reading) = self.pieces(&squeezed.joined(), depth) {
                return Reading {
                    wrapper,
                    plain: false,
                    ..reading
                };
            }
            plain = squeezed.unescape();
        }
        Reading {
            status: status_in(text),
            ..Reading::of_text(text, wrapper)
        }
    }

    /// Reads the JSON values in a text, one after the other, until one names something.
    fn pieces(&mut self, text: &str, depth: u8) -> Option<Reading> {
        let mut best = Best::default();
        let mut from = 0;
        for _ in 0..MAX_TRIES {
            let Some((start, rest)) = next_start(text, from) else {
                break;
            };
            if !self.spend(rest.len()) {
                break;
            }
            let Some((value, length)) = parse(rest) else {
                from = start + 1;
                continue;
            };
            from = start + length;
            let Some(mut reading) = self.value(&value, depth) else {
                continue;
            };
            if value.is_string() && reading.json && !reading.wrapper.is_printed() {
                reading.wrapper = Wrapper::NestedJson;
            }
            let before = text.get(..start).unwrap_or("");
            let after = text.get(from..).unwrap_or("");
            let around = Wrapper::around(before, after);
            if best.take(Some(Reading {
                status: status_in(before)
                    .or(reading.status)
                    .or_else(|| status_in(after)),
                wrapper: match (around, reading.wrapper) {
                    (None, wrapper) => wrapper,
                    // text that tells nothing hides no gateway
                    (Some(Wrapper::Text), wrapper)
                        if !matches!(wrapper, Wrapper::Plain | Wrapper::Json) =>
                    {
                        wrapper
                    }
                    (Some(around), _) => around,
                },
                plain: reading.plain && around.is_none(),
                json: true,
                ..reading
            })) {
                break;
            }
        }
        best.0
    }

    /// Reads a value: `None` if it holds no message where errors have one.
    fn value(&mut self, value: &Value, depth: u8) -> Option<Reading> {
        if depth >= MAX_DEPTH {
            return None;
        }
        match value {
            Value::Object(object) => self.object(object, depth + 1),
            Value::String(text) => Some(self.string(text, depth)),
            Value::Array(elements) => {
                let mut best = Best::default();
                for element in elements.iter().take(MAX_ELEMENTS) {
                    if best.take(self.value(element, depth + 1)) {
                        break;
                    }
                }
                best.0.map(|reading| Reading {
                    plain: false,
                    ..reading
                })
            }
            _ => None,
        }
    }

    /// Reads an object that is an error or carries one.
    fn object(&mut self, object: &Map<String, Value>, depth: u8) -> Option<Reading> {
        let mut best = Best::default();
        for name in ["error", "detail", "message"].iter().chain(&CARRIERS) {
            let reading = match object.get(*name) {
                Some(Value::Object(error)) if *name == "error" => self.error(error, depth),
                Some(value) => self.value(value, depth).map(|reading| Reading {
                    // a message beside the error is not the API's shape
                    plain: reading.plain && matches!(*name, "error" | "detail" | "message"),
                    ..reading
                }),
                None => None,
            };
            if best.take(reading) {
                break;
            }
        }
        let reading = best.0?;
        let wrapper = Wrapper::of_object(
            object,
            Inner {
                plain: reading.plain,
                nested: reading.json,
                wrapper: reading.wrapper,
                message: &reading.message,
            },
        );
        Some(Reading {
            status: status_member(object, &["status", "status_code", "statusCode", "code"])
                .or(reading.status),
            plain: wrapper == Wrapper::Plain,
            wrapper,
            ..reading
        })
    }

    /// Reads the object behind `error`: what a gateway keeps of its provider's answer first, then its own words.
    fn error(&mut self, error: &Map<String, Value>, depth: u8) -> Option<Reading> {
        let mut best = Best::default();
        let raw = error.get("metadata").and_then(|data| data.get("raw"));
        let slots = [
            raw,
            error.get("message"),
            error.get("error"),
            error.get("detail"),
            error.get("innererror"),
        ];
        for value in slots.into_iter().flatten() {
            if value.as_str().is_some_and(|text| text.trim().is_empty()) {
                continue;
            }
            if best.take(self.value(value, depth)) {
                break;
            }
        }
        best.0.map(|reading| Reading {
            status: status_member(error, &["status", "status_code", "code"]).or(reading.status),
            ..reading
        })
    }

    /// Reads a string of JSON: a message, or a text that holds one.
    fn string(&mut self, text: &str, depth: u8) -> Reading {
        if let Some(found) = sentence::exact(text) {
            let mut reading = Reading::of_text(text, Wrapper::Text);
            reading.named = Some(found.named);
            reading.position = found.position;
            return reading;
        }
        let reading = self.text(text, depth + 1);
        Reading {
            plain: reading.plain && !reading.json,
            ..reading
        }
    }

    /// Takes `bytes` from what may still be spent; says whether there was so much left.
    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.work.checked_sub(bytes);
        self.work = left.unwrap_or(0);
        left.is_some()
    }
}

/// The next place from which JSON may be read, and the text from there on.
fn next_start(text: &str, from: usize) -> Option<(usize, &str)> {
    if from == 0 && text.starts_with('"') && text.ends_with('"') {
        return Some((0, text));
    }
    let mut from = from;
    loop {
        let rest = text.as_bytes().get(from..)?;
        let start = from + memchr::memchr2(b'{', b'[', rest)?;
        let rest = text.get(start..)?;
        // a bracket also stands before the time or the level of a log line
        let inner = rest.get(1..)?.trim_start();
        if rest.starts_with('{') || inner.starts_with(['{', '[', '"', '\'']) {
            return Some((start, rest));
        }
        from = start + 1;
    }
}

/// Parses the value at the beginning of `text`, and returns its length.
fn parse(text: &str) -> Option<(Value, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    if let Some(Ok(value)) = values.next() {
        return Some((value, values.byte_offset()));
    }
    let (json, length) = python::to_json(text)?;
    Some((serde_json::from_str(&json).ok()?, length))
}
