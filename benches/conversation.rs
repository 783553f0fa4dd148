//! Recordings of conversations of any length, for measuring. The same shape gives the same bytes.

use serde_json::{Value, json};

/// What a conversation is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// At least so many events of the canonical sequence.
    pub(crate) events: usize,
    /// Another seed has other ids and times.
    pub(crate) seed: u64,
    /// So many outputs are changed.
    pub(crate) changed: usize,
    /// Into how many pieces arguments are cut.
    pub(crate) pieces: usize,
}

const WORDS: [&str; 16] = [
    "the",
    "session",
    "reads",
    "a",
    "file",
    "and",
    "writes",
    "its",
    "output",
    "src/main.rs",
    "let",
    "error",
    "warning:",
    "test",
    "passed",
    "stream",
];

const CALLS: usize = 8;

fn words(seed: u64) -> String {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    for _ in 0..30 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        text.push_str(WORDS.get(random as usize % WORDS.len()).unwrap_or(&"word"));
        text.push(' ');
    }
    text
}

struct Writer {
    text: String,
    at_us: u64,
    step: u64,
    exchange: u64,
    sequence: u64,
}

impl Writer {
    fn new(step: u64) -> Self {
        let mut writer = Self {
            text: String::new(),
            at_us: 0,
            step,
            exchange: 0,
            sequence: 0,
        };
        writer.line(&json!({"kind": "session", "format": 1, "id": format!("s{step}")}));
        writer
    }

    fn line(&mut self, value: &Value) {
        self.text.push_str(&value.to_string());
        self.text.push('\n');
        self.at_us += self.step;
    }

    fn request(&mut self, input: &[Value], previous: Option<&str>) {
        self.exchange += 1;
        let mut body =
            json!({"model": "m", "instructions": "You are.", "input": input, "stream": true});
        if let (Some(previous), Some(members)) = (previous, body.as_object_mut()) {
            members.insert("previous_response_id".to_owned(), previous.into());
        }
        let (exchange, at_us) = (self.exchange, self.at_us);
        self.line(&json!({"kind": "request", "exchange": exchange, "at_us": at_us, "transport": "http", "method": "POST", "path": "/v1/responses", "headers": [["session_id", "s"]], "body": body}));
        self.line(
            &json!({"kind": "response", "exchange": exchange, "at_us": at_us, "status": 200}),
        );
        self.sequence = 0;
    }

    fn event(&mut self, mut event: Value) {
        if let Some(members) = event.as_object_mut() {
            members.insert("sequence_number".to_owned(), self.sequence.into());
        }
        self.sequence += 1;
        let (exchange, at_us) = (self.exchange, self.at_us);
        let text = format!("data: {event}\n\n");
        self.line(&json!({"kind": "chunk", "exchange": exchange, "at_us": at_us, "text": text}));
    }

    fn end(&mut self) {
        let (exchange, at_us) = (self.exchange, self.at_us);
        self.line(
            &json!({"kind": "end", "exchange": exchange, "at_us": at_us, "cause": "complete"}),
        );
    }
}

/// A long chained conversation: eight calls a response, their outputs in the next request.
pub(crate) fn conversation(shape: Shape) -> String {
    let mut writer = Writer::new(shape.seed);
    let mut count = 0;
    let mut outputs: Vec<Value> = Vec::new();
    let mut previous: Option<String> = None;
    let (mut turn, mut told) = (0_u64, 0_usize);
    let every = (shape.events / shape.changed.max(1)).max(2);
    while count < shape.events {
        turn += 1;
        let first = [
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": words(turn)}]}),
        ];
        let input = if outputs.is_empty() {
            &first[..]
        } else {
            &outputs
        };
        writer.request(input, previous.as_deref());
        count += 2 + input.len() + CALLS;
        let response = format!("resp_{:04}{turn:012x}", shape.seed);
        writer.event(json!({"type": "response.created", "response": {"id": response, "status": "in_progress"}}));
        outputs = Vec::new();
        for at in 0..CALLS as u64 {
            let number = turn * 100 + at;
            let (call, item) = (
                format!("call_{:04}{number:012x}", shape.seed),
                format!("fc_{:04}{number:012x}", shape.seed),
            );
            let arguments = json!({"cmd": words(number * 3)}).to_string();
            let begun = json!({"id": item, "type": "function_call", "status": "in_progress", "name": "shell", "arguments": "", "call_id": call});
            writer.event(
                json!({"type": "response.output_item.added", "output_index": at, "item": begun}),
            );
            let size = arguments.len().div_ceil(shape.pieces).max(1);
            for piece in arguments.as_bytes().chunks(size) {
                let piece = String::from_utf8_lossy(piece);
                writer.event(json!({"type": "response.function_call_arguments.delta", "item_id": item, "output_index": at, "delta": piece}));
            }
            let done = json!({"id": item, "type": "function_call", "status": "completed", "name": "shell", "arguments": arguments, "call_id": call});
            writer.event(
                json!({"type": "response.output_item.done", "output_index": at, "item": done}),
            );
            told += 1;
            let is_changed =
                shape.changed == usize::MAX || shape.changed > 0 && told.is_multiple_of(every / 2);
            let tail = if is_changed { "changed" } else { "" };
            let output = format!(
                "Chunk ID: {number:x}\nWall time: 0.{} seconds\nOutput:\n{}{tail}",
                shape.seed,
                words(number * 7)
            );
            outputs
                .push(json!({"type": "function_call_output", "call_id": call, "output": output}));
        }
        writer.event(json!({"type": "response.completed", "response": {"id": response, "status": "completed", "usage": {"total_tokens": turn}}}));
        writer.end();
        previous = Some(response);
    }
    writer.text
}

fn messages(count: usize, text: impl Fn(usize) -> String) -> String {
    let input: Vec<Value> = (0..count)
        .map(|at| json!({"role": "user", "content": text(at)}))
        .collect();
    let mut writer = Writer::new(1);
    writer.request(&input, None);
    writer.text
}

/// One answer of so many items.
fn one_answer(items: usize, seed: u64, changed: usize) -> String {
    let mut writer = Writer::new(seed);
    let user = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]});
    writer.request(&[user], None);
    let response = format!("resp_{seed:04}");
    writer.event(json!({"type": "response.created", "response": {"id": response}}));
    let every = (items / changed.max(1)).max(1);
    for at in 0..items as u64 {
        let call = format!("call_{seed:04}{at:012x}");
        let is_changed = changed > 0 && (at as usize).is_multiple_of(every);
        let arguments = json!({"cmd": words(at + u64::from(is_changed) * 1_000_003)}).to_string();
        let item = json!({"id": format!("fc_{seed:04}{at:012x}"), "type": "function_call", "status": "completed", "name": "shell", "arguments": arguments, "call_id": call});
        writer
            .event(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
    }
    writer.event(
        json!({"type": "response.completed", "response": {"id": response, "status": "completed"}}),
    );
    writer.end();
    writer.text
}

/// So many threads of one request each.
fn threads(count: usize, seed: u64) -> String {
    let mut writer = Writer::new(seed);
    for at in 0..count as u64 {
        writer.exchange += 1;
        let (exchange, at_us) = (writer.exchange, writer.at_us);
        let thread = format!("{seed:08x}-0000-7000-8000-{at:012x}");
        let body = json!({"model": "m", "input": [{"role": "user", "content": words(at)}], "stream": true});
        writer.line(&json!({"kind": "request", "exchange": exchange, "at_us": at_us, "transport": "http", "method": "POST", "path": "/v1/responses", "headers": [["session_id", thread], ["thread-id", thread]], "body": body}));
        writer.line(
            &json!({"kind": "response", "exchange": exchange, "at_us": at_us, "status": 200}),
        );
        writer.event(json!({"type": "response.completed", "response": {"id": format!("resp_{seed:04}{at:012x}"), "status": "completed", "output": []}}));
        writer.end();
    }
    writer.text
}

/// One output of so many bytes, without a line end where `lines` is false.
fn huge(bytes: usize, seed: u64, lines: bool) -> String {
    let mut output = String::with_capacity(bytes + 256);
    let mut at = seed << 32;
    while output.len() < bytes {
        at += 1;
        output.push_str(&words(at));
        if lines {
            output.push('\n');
        }
    }
    let mut writer = Writer::new(seed);
    let input = [
        json!({"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{}"}),
        json!({"type": "function_call_output", "call_id": "call_1", "output": output}),
    ];
    writer.request(&input, None);
    writer.text
}

/// Pairs that no search likes.
pub(crate) fn worst(events: usize) -> Vec<(&'static str, String, String)> {
    vec![
        (
            "nothing in common",
            messages(events, |at| format!("left {at}")),
            messages(events, |at| format!("right {at}")),
        ),
        (
            "one event over and over",
            messages(events, |_| "again".to_owned()),
            messages(events / 2, |_| "again".to_owned()),
        ),
        (
            "all in one answer, other ids, 100 changed",
            one_answer(events, 1, 0),
            one_answer(events, 2, 100),
        ),
        (
            "as many threads as a fifth of the events, other ids",
            threads(events / 5, 1),
            threads(events / 5, 2),
        ),
        (
            "one text of 20 MB a side, nothing in common",
            huge(20_000_000, 1, true),
            huge(20_000_000, 2, true),
        ),
        (
            "the same in one line",
            huge(20_000_000, 1, false),
            huge(20_000_000, 2, false),
        ),
        (
            "the same events in another order",
            messages(events, |at| format!("event {}", at % 997)),
            messages(events, |at| format!("event {}", (at * 7919) % 997)),
        ),
        (
            "two events in a random order",
            messages(events, |at| words(at as u64).starts_with("the").to_string()),
            messages(events, |at| {
                words(at as u64 + 77).len().is_multiple_of(3).to_string()
            }),
        ),
    ]
}
