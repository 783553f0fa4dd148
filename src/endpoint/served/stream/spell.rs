//! Which events an item is made of (responses-api.md 3.2, 3.3).

use serde_json::{Map, Value};

use super::push_frame;

/// Writes the events of items, one behind the other.
pub(super) struct Speller {
    pub(super) out: Vec<u8>,
    pub(super) ends: Vec<u32>,
    deltas: Option<usize>,
    obfuscate: bool,
}

impl Speller {
    pub(super) fn new(deltas: Option<usize>, obfuscate: bool) -> Self {
        Self {
            out: Vec::new(),
            ends: Vec::new(),
            deltas,
            obfuscate,
        }
    }

    /// Writes an item's events; returns the frames in which it is begun and finished.
    pub(super) fn item(&mut self, index: usize, item: &Map<String, Value>) -> (u32, u32) {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or("");
        let id = item.get("id").cloned().unwrap_or_default();
        let place = Place { index, id: &id };
        let added = self.ends.len() as u32;
        self.whole("response.output_item.added", index, &begun(kind, item));
        match kind {
            "message" => self.message(&place, item),
            "reasoning" => self.reasoning(&place, item),
            "function_call" => {
                let name = item.get("name").cloned().unwrap_or_default();
                let extra = [("name", name)];
                self.text(&place, "function_call_arguments", item, "arguments", &extra);
            }
            "custom_tool_call" => {
                self.text(&place, "custom_tool_call_input", item, "input", &[]);
            }
            "mcp_call" => {
                self.event("response.mcp_call.in_progress", &place, &[]);
                self.text(&place, "mcp_call_arguments", item, "arguments", &[]);
                self.event("response.mcp_call.completed", &place, &[]);
            }
            "web_search_call" | "file_search_call" => {
                self.steps(&place, kind, ["in_progress", "searching", "completed"]);
            }
            "code_interpreter_call" => {
                self.steps(&place, kind, ["in_progress", "interpreting", "completed"]);
            }
            "image_generation_call" => {
                self.steps(&place, kind, ["in_progress", "generating", "completed"]);
            }
            _ => {}
        }
        let done = self.ends.len() as u32;
        self.whole("response.output_item.done", index, item);
        (added, done)
    }

    fn whole(&mut self, kind: &str, index: usize, item: &Map<String, Value>) {
        let item = Value::Object(item.clone());
        let mut data = self.head(kind);
        data.insert("output_index".into(), index.into());
        data.insert("item".into(), item);
        self.push(kind, data);
    }

    fn steps(&mut self, place: &Place<'_>, kind: &str, names: [&str; 3]) {
        for name in names {
            self.event(&format!("response.{kind}.{name}"), place, &[]);
        }
    }

    fn message(&mut self, place: &Place<'_>, item: &Map<String, Value>) {
        let parts = item.get("content").and_then(Value::as_array);
        for (at, part) in parts.into_iter().flatten().enumerate() {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or("");
            let (member, name) = match kind {
                "refusal" => ("refusal", "refusal"),
                _ => ("text", "output_text"),
            };
            let mut empty = part.clone();
            if let Some(text) = empty.get_mut(member) {
                *text = "".into();
            }
            let notes = empty.get_mut("annotations").map(Value::take);
            if let Some(list) = empty.get_mut("annotations") {
                *list = Value::Array(Vec::new());
            }
            let at_part = |more: &[(&'static str, Value)]| {
                let mut members = vec![("content_index", Value::from(at))];
                members.extend_from_slice(more);
                members
            };
            let added = at_part(&[("part", empty)]);
            self.event("response.content_part.added", place, &added);
            let text = part.get(member).and_then(Value::as_str).unwrap_or("");
            let logs = || (name == "output_text").then(|| ("logprobs", Value::Array(Vec::new())));
            for delta in cut(text, self.deltas) {
                let mut members = at_part(&[("delta", delta.into())]);
                members.extend(logs());
                self.delta(&format!("response.{name}.delta"), place, members);
            }
            let notes = notes.as_ref().and_then(Value::as_array);
            for (number, note) in notes.into_iter().flatten().enumerate() {
                let members = at_part(&[
                    ("annotation_index", number.into()),
                    ("annotation", note.clone()),
                ]);
                self.event("response.output_text.annotation.added", place, &members);
            }
            let mut members = at_part(&[(member, text.into())]);
            members.extend(logs());
            self.event(&format!("response.{name}.done"), place, &members);
            let done = at_part(&[("part", part.clone())]);
            self.event("response.content_part.done", place, &done);
        }
    }

    fn reasoning(&mut self, place: &Place<'_>, item: &Map<String, Value>) {
        let parts = item.get("summary").and_then(Value::as_array);
        for (at, part) in parts.into_iter().flatten().enumerate() {
            let index = || ("summary_index", Value::from(at));
            let mut empty = part.clone();
            if let Some(text) = empty.get_mut("text") {
                *text = "".into();
            }
            let name = "response.reasoning_summary_part.added";
            self.event(name, place, &[index(), ("part", empty)]);
            let text = part.get("text").and_then(Value::as_str).unwrap_or("");
            let name = "response.reasoning_summary_text.delta";
            for delta in cut(text, self.deltas) {
                self.delta(name, place, vec![index(), ("delta", delta.into())]);
            }
            let name = "response.reasoning_summary_text.done";
            self.event(name, place, &[index(), ("text", text.into())]);
            let name = "response.reasoning_summary_part.done";
            self.event(name, place, &[index(), ("part", part.clone())]);
        }
    }

    /// The deltas and the end of a member that is one text.
    fn text(
        &mut self,
        place: &Place<'_>,
        name: &str,
        item: &Map<String, Value>,
        member: &'static str,
        extra: &[(&'static str, Value)],
    ) {
        let text = item.get(member).and_then(Value::as_str).unwrap_or("");
        for delta in cut(text, self.deltas) {
            let members = vec![("delta", delta.into())];
            self.delta(&format!("response.{name}.delta"), place, members);
        }
        let mut members = vec![(member, Value::from(text))];
        members.extend_from_slice(extra);
        self.event(&format!("response.{name}.done"), place, &members);
    }

    fn delta(&mut self, kind: &str, place: &Place<'_>, mut members: Vec<(&'static str, Value)>) {
        if self.obfuscate {
            // as long as fills up the text of the delta
            let length = members
                .iter()
                .find(|(key, _)| *key == "delta")
                .and_then(|(_, text)| text.as_str())
                .map_or(0, str::len);
            let letters: String = (0..16 - length % 16)
                .map(|at| char::from(b'a' + ((self.ends.len() * 7 + at * 11) % 26) as u8))
                .collect();
            members.push(("obfuscation", letters.into()));
        }
        self.event(kind, place, &members);
    }

    fn event(&mut self, kind: &str, place: &Place<'_>, members: &[(&'static str, Value)]) {
        let mut data = self.head(kind);
        data.insert("item_id".into(), place.id.clone());
        data.insert("output_index".into(), place.index.into());
        for (key, value) in members {
            data.insert((*key).into(), value.clone());
        }
        self.push(kind, data);
    }

    fn head(&self, kind: &str) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("type".into(), kind.into());
        // created and in_progress come first
        data.insert("sequence_number".into(), (self.ends.len() + 2).into());
        data
    }

    fn push(&mut self, kind: &str, data: Map<String, Value>) {
        let data = Value::Object(data).to_string();
        push_frame(&mut self.out, &mut self.ends, kind, data.as_bytes());
    }
}

/// Where an event belongs.
struct Place<'a> {
    index: usize,
    id: &'a Value,
}

/// An item as it stands in `output_item.added`: nothing of its text is there yet.
fn begun(kind: &str, item: &Map<String, Value>) -> Map<String, Value> {
    let mut begun = item.clone();
    if begun.contains_key("status") {
        begun.insert("status".into(), "in_progress".into());
    }
    let empty = match kind {
        "message" => ("content", Value::Array(Vec::new())),
        "reasoning" => ("summary", Value::Array(Vec::new())),
        "function_call" | "mcp_call" => ("arguments", "".into()),
        "custom_tool_call" => ("input", "".into()),
        _ => return begun,
    };
    begun.insert(empty.0.into(), empty.1);
    begun
}

/// Cuts a text into `count` pieces of about the same length, or at its words.
pub(super) fn cut(text: &str, count: Option<usize>) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    let length = count.map(|count| text.chars().count().div_ceil(count.max(1)).max(1));
    while !rest.is_empty() {
        let end = match length {
            Some(length) => rest.char_indices().nth(length).map(|(at, _)| at),
            // a word with the space before it
            None => rest
                .char_indices()
                .skip(1)
                .find(|(at, c)| *c == ' ' || *at >= 32)
                .map(|(at, _)| at),
        };
        let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
        found.push(piece);
        rest = behind;
    }
    found
}
