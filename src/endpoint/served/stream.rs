//! The events of an answer, as the bytes of their frames (responses-api.md 3).
//!
//! An answer is spelled once, as a [`Template`] with places for the ids; for each request it is copied, the ids are put in,
//! and the events that repeat the request are written around it.

mod spell;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::answer::{Answer, has_call_id, id_prefix};
use super::object::{Echo, Status};
use super::{Profile, Rules};
use crate::wire::failure::{Failure, StreamError};
use spell::Speller;

/// Makes ids: the same ones in the same order for the same seed.
#[derive(Clone, Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// Ids of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number (splitmix64).
    pub fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An id of 48 hexadecimal digits behind `prefix`.
    pub fn make(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + ID);
        id.push_str(prefix);
        self.digits(&mut id, ID);
        id
    }

    fn digits(&mut self, out: &mut String, length: usize) {
        let end = out.len() + length;
        while out.len() < end {
            let _ = write!(out, "{:016x}", self.next_number());
        }
        out.truncate(end);
    }
}

/// Digits of an item's or response's id.
const ID: usize = 48;
/// Letters of a call id.
const CALL: usize = 24;

/// An answer, spelled once.
#[derive(Clone, Debug)]
pub struct Template {
    body: Vec<u8>,
    ends: Vec<u32>,
    patches: Vec<(u32, u8)>,
    /// The JSON array of all items, and where each stands in it.
    output: Vec<u8>,
    output_patches: Vec<(u32, u8)>,
    items: Vec<Range<usize>>,
    plain: Arc<[String]>,
    /// For each item, the frames of the body in which it is begun and finished.
    places: Vec<(u32, u32)>,
    /// The length of what is put in at each slot.
    slots: Vec<usize>,
    tokens: u64,
    end: Status,
}

/// An output item of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its JSON.
    pub raw: String,
    /// The frame in which it is begun.
    pub added: u32,
    /// The frame in which it is finished.
    pub done: u32,
}

/// The frames of an answer.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// All of them, as an event stream.
    pub bytes: Bytes,
    /// Where each one ends.
    pub ends: Vec<u32>,
    /// Its output items.
    pub items: Vec<Made>,
    /// The last response object.
    pub object: Bytes,
    /// The items without ids of their own, the same for every answer of one template; empty where there is none.
    pub plain: Arc<[String]>,
}

impl Frames {
    /// The bytes of one frame.
    pub fn frame(&self, index: usize) -> Bytes {
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0) as usize;
        let end = self.ends.get(index).copied().unwrap_or(0) as usize;
        if start <= end && end <= self.bytes.len() {
            self.bytes.slice(start..end)
        } else {
            Bytes::new()
        }
    }

    /// The JSON of one frame: what stands behind `data: `.
    pub fn data(&self, index: usize) -> Bytes {
        let frame = self.frame(index);
        data_range(&frame).map_or_else(Bytes::new, |range| frame.slice(range))
    }

    /// The type of one frame's event; empty for one without.
    pub fn kind(&self, index: usize) -> String {
        let frame = self.frame(index);
        let text = String::from_utf8_lossy(&frame);
        let name = text
            .strip_prefix("event: ")
            .and_then(|it| it.lines().next());
        name.map_or_else(
            || {
                let data = self.data(index);
                let data = std::str::from_utf8(&data).unwrap_or("");
                crate::wire::event::EventHead::read(data)
                    .and_then(|it| it.kind)
                    .map_or_else(String::new, std::borrow::Cow::into_owned)
            },
            str::to_owned,
        )
    }

    /// The items finished and those only begun when the first `sent` frames were sent.
    pub fn reached(&self, sent: usize) -> (Vec<String>, Vec<String>) {
        let sent = sent as u32;
        let done = self.items.iter().filter(|it| it.done < sent);
        let half = self
            .items
            .iter()
            .filter(|it| it.added < sent && it.done >= sent);
        let raws = |it: &Made| it.raw.clone();
        (done.map(raws).collect(), half.map(raws).collect())
    }
}

/// Where the JSON of a frame stands in it.
pub fn data_range(frame: &[u8]) -> Option<Range<usize>> {
    let mark = b"data: ";
    let start = if frame.starts_with(mark) {
        mark.len()
    } else {
        let line = memchr::memchr(b'\n', frame)?;
        let rest = frame.get(line + 1..)?;
        rest.starts_with(mark).then_some(line + 1 + mark.len())?
    };
    let rest = frame.get(start..)?;
    let end = start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    Some(start..end)
}

/// Appends one frame.
pub(super) fn push_frame(out: &mut Vec<u8>, ends: &mut Vec<u32>, kind: &str, data: &[u8]) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    ends.push(out.len() as u32);
}

impl Template {
    /// Spells an answer. `obfuscate` adds the random member that OpenAI puts into deltas.
    pub fn new(answer: &Answer, obfuscate: bool) -> Self {
        let mut speller = Speller::new(answer.deltas, obfuscate);
        let mut output = Vec::from(&b"["[..]);
        let mut items = Vec::new();
        let mut places = Vec::new();
        let mut slots = Vec::new();
        for item in &answer.items {
            let kind = item
                .get("type")
                .and_then(serde_json::Value::as_str)
                .unwrap_or("");
            let mut item = item.clone();
            if !item.contains_key("id") {
                let id = format!("{}{}", id_prefix(kind), placeholder(slots.len(), ID));
                slots.push(ID);
                let mut with = serde_json::Map::new();
                with.insert("id".into(), id.into());
                with.append(&mut item);
                item = with;
            }
            if has_call_id(kind) && !item.contains_key("call_id") {
                let id = format!("call_{}", placeholder(slots.len(), CALL));
                slots.push(CALL);
                item.insert("call_id".into(), id.into());
            }
            let (added, done) = speller.item(items.len(), &item);
            places.push((added, done));
            if output.len() > 1 {
                output.push(b',');
            }
            let start = output.len();
            let json = serde_json::Value::Object(item).to_string();
            output.extend_from_slice(json.as_bytes());
            items.push(start..output.len());
        }
        output.push(b']');
        let text = |range: &Range<usize>| {
            let bytes = output.get(range.clone()).unwrap_or(b"null");
            String::from_utf8_lossy(bytes).into_owned()
        };
        Self {
            plain: items.iter().map(text).collect(),
            patches: patches(&speller.out, &slots),
            output_patches: patches(&output, &slots),
            tokens: super::object::tokens(output.len() / 2),
            body: speller.out,
            ends: speller.ends,
            output,
            items,
            places,
            slots,
            end: answer.end.clone(),
        }
    }

    /// Whether the response ends as a response should: whole, or broken off by the model.
    pub fn ends_well(&self) -> bool {
        matches!(self.end, Status::Completed | Status::Incomplete(_))
    }

    /// How many frames its items have.
    pub fn frames(&self) -> usize {
        self.ends.len()
    }

    /// Writes the stream of one response. `now` is the time in seconds.
    pub fn render(&self, echo: &Echo, ids: &mut Ids, rules: &Rules, now: u64) -> Frames {
        let texts = self.texts(ids);
        let output = self.output(&texts);
        let mut bytes = Vec::with_capacity(self.body.len() + 3 * 2048 + 2 * output.len());
        let mut ends = Vec::with_capacity(self.ends.len() + 5);
        let backend = rules.profile == Profile::CodexBackend;
        if backend {
            push_frame(&mut bytes, &mut ends, "codex.rate_limits", RATE_LIMITS);
        }
        let mut object = Vec::new();
        echo.write(&mut object, &Status::InProgress, b"[]", 0, now);
        for (sequence, kind) in ["response.created", "response.in_progress"]
            .into_iter()
            .enumerate()
        {
            push_state(&mut bytes, &mut ends, kind, sequence, &object);
        }
        let before = ends.len() as u32;
        let base = bytes.len();
        bytes.extend_from_slice(&self.body);
        if let Some(body) = bytes.get_mut(base..) {
            put(body, &self.patches, &texts);
        }
        ends.extend(self.ends.iter().map(|end| end + base as u32));
        let mut sequence = 2 + self.ends.len();
        if let Status::Failed(code, message) = &self.end {
            let mut failure = Failure::invalid(message.as_str()).code(code.as_str());
            failure.kind = code.as_str().into();
            if let Some(data) = failure.event(rules.stream_error, sequence as u32) {
                push_frame(&mut bytes, &mut ends, "error", data.as_bytes());
                sequence += 1;
            }
        }
        object.clear();
        let shown: &[u8] = if backend && self.end == Status::Completed {
            b"[]"
        } else {
            &output
        };
        echo.write(&mut object, &self.end, shown, self.tokens, now);
        let kind = format!("response.{}", self.end.name());
        push_state(&mut bytes, &mut ends, &kind, sequence, &object);
        if rules.done_sentinel {
            bytes.extend_from_slice(b"data: [DONE]\n\n");
            ends.push(bytes.len() as u32);
        }
        if shown.len() != output.len() {
            object.clear();
            echo.write(&mut object, &self.end, &output, self.tokens, now);
        }
        Frames {
            bytes: bytes.into(),
            ends,
            items: self.made(&output, before),
            plain: Arc::clone(&self.plain),
            object: object.into(),
        }
    }

    /// Writes the response object alone, for a request that wants no stream.
    pub fn whole(&self, echo: &Echo, ids: &mut Ids, now: u64) -> Frames {
        let texts = self.texts(ids);
        let output = self.output(&texts);
        let mut object = Vec::with_capacity(output.len() + 2048);
        echo.write(&mut object, &self.end, &output, self.tokens, now);
        let object = Bytes::from(object);
        Frames {
            bytes: object.clone(),
            ends: vec![object.len() as u32],
            items: self
                .made(&output, 0)
                .into_iter()
                .map(|it| Made {
                    added: 0,
                    done: 0,
                    ..it
                })
                .collect(),
            object,
            plain: Arc::clone(&self.plain),
        }
    }

    fn texts(&self, ids: &mut Ids) -> Vec<String> {
        let mut texts = Vec::with_capacity(self.slots.len());
        for length in &self.slots {
            let mut text = String::with_capacity(64);
            ids.digits(&mut text, *length);
            texts.push(text);
        }
        texts
    }

    fn output(&self, texts: &[String]) -> Vec<u8> {
        let mut output = self.output.clone();
        put(&mut output, &self.output_patches, texts);
        output
    }

    fn made(&self, output: &[u8], before: u32) -> Vec<Made> {
        let raw = |range: &Range<usize>| {
            let bytes = output.get(range.clone()).unwrap_or(b"null");
            String::from_utf8_lossy(bytes).into_owned()
        };
        self.items
            .iter()
            .zip(&self.places)
            .map(|(range, (added, done))| Made {
                raw: raw(range),
                added: before + added,
                done: before + done,
            })
            .collect()
    }
}

const RATE_LIMITS: &[u8] = br#"{"type":"codex.rate_limits","plan_type":"plus","rate_limits":{"allowed":true,"limit_reached":false,"primary":{"used_percent":1,"window_minutes":300,"reset_after_seconds":18000,"reset_at":null},"secondary":null},"credits":null}"#;

fn push_state(out: &mut Vec<u8>, ends: &mut Vec<u32>, kind: &str, sequence: usize, object: &[u8]) {
    let mut data = Vec::with_capacity(object.len() + 96);
    data.extend_from_slice(
        format!("{{\"type\":\"{kind}\",\"sequence_number\":{sequence},\"response\":").as_bytes(),
    );
    data.extend_from_slice(object);
    data.push(b'}');
    push_frame(out, ends, kind, &data);
}

/// What stands for an id until it is made; as long as the id.
fn placeholder(slot: usize, length: usize) -> String {
    format!("~replay~{slot:0>width$}~", width = length - 9)
}

/// Where placeholders stand in some bytes.
fn patches(bytes: &[u8], slots: &[usize]) -> Vec<(u32, u8)> {
    let mut found = Vec::new();
    let finder = memchr::memmem::Finder::new(b"~replay~");
    for at in finder.find_iter(bytes) {
        for (slot, length) in slots.iter().enumerate().take(256) {
            let here = bytes.get(at..at + length);
            if here == Some(placeholder(slot, *length).as_bytes()) {
                found.push((at as u32, slot as u8));
            }
        }
    }
    found
}

fn put(bytes: &mut [u8], patches: &[(u32, u8)], texts: &[String]) {
    for (at, slot) in patches {
        let at = *at as usize;
        if let Some(text) = texts.get(usize::from(*slot))
            && let Some(place) = bytes.get_mut(at..at + text.len())
        {
            place.copy_from_slice(text.as_bytes());
        }
    }
}

/// The frames of an error inside of a stream that has begun, and how many of them there are.
pub fn error_frames(failure: &Failure, spelling: StreamError, sequence: u32) -> (Vec<u8>, usize) {
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let spelling = match spelling {
        StreamError::FailedOnly => StreamError::Nested,
        other => other,
    };
    if let Some(data) = failure.event(spelling, sequence) {
        push_frame(&mut out, &mut ends, "error", data.as_bytes());
    }
    (out, ends.len())
}

#[cfg(test)]
mod tests;
