//! A session as normalised lines: the same bytes for the same conversation, wherever and whenever it was held.
//!
//! One line an entry: what it is, its lane, turn and exchange by number, then its JSON with sorted keys. Times, headers and
//! measures are dropped; ids are renamed in the order of their appearance (`call#1`, `resp#2`), in texts
//! too. How a stream was cut into
//! chunks leaves no trace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde_json::{Map, Value};

use crate::report::safe;
use crate::timeline::text::MAX_SHOWN;
use crate::timeline::{Entry, Filter, Source, Timeline, What};

/// Members that differ from run to run.
const DROPPED: [&str; 24] = [
    "at_us",
    "head_at_us",
    "timestamp",
    "created_at",
    "completed_at",
    "started_at",
    "obfuscation",
    "sequence_number",
    "usage",
    "headers",
    "response_headers",
    "recorder",
    "upstream",
    "command_line",
    "encrypted_content",
    "duration",
    "duration_ms",
    "ordinal",
    "client_metadata",
    "prompt_cache_key",
    "wire_bytes",
    "redacted",
    "rate_limits",
    "path",
];

/// Members whose strings are ids, and the names they get.
const IDS: [(&str, &str); 13] = [
    ("call_id", "call"),
    ("callId", "call"),
    ("response_id", "resp"),
    ("previous_response_id", "resp"),
    ("item_id", "item"),
    ("itemId", "item"),
    ("approval_request_id", "item"),
    ("thread_id", "thread"),
    ("session_id", "thread"),
    ("parent_thread_id", "thread"),
    ("root_turn_id", "turn"),
    ("turn_id", "turn"),
    ("conversation", "conv"),
];

/// Ids in the order in which they appeared.
#[derive(Debug, Default)]
struct Ids {
    known: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, u32>,
}

impl Ids {
    fn name(&mut self, prefix: &'static str, id: &str) -> String {
        if let Some(known) = self.known.get(id) {
            return known.clone();
        }
        let count = self.counts.entry(prefix).or_default();
        *count += 1;
        let name = format!("{prefix}#{count}");
        self.known.insert(id.to_owned(), name.clone());
        name
    }

    /// Renames an `id` by how it begins.
    fn plain(&mut self, id: &str) -> String {
        let prefix = match id.split_once('_').map(|(prefix, _)| prefix) {
            Some("call") => "call",
            Some("resp") => "resp",
            Some("conv") => "conv",
            _ => "item",
        };
        self.name(prefix, id)
    }

    /// Renames the ids that a text speaks of, such as a refusal's message.
    fn within(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let known = Some(word)
                .filter(|word| word.len() >= 6 && word.contains(['_', '-']))
                .and_then(|word| self.known.get(word));
            out.push_str(known.map_or(word, String::as_str));
            let next = behind.find(part).unwrap_or(behind.len());
            let (other, behind) = behind.split_at_checked(next).unwrap_or((behind, ""));
            out.push_str(other);
            rest = behind;
        }
        out
    }

    fn value(&mut self, key: &str, value: Value) -> Value {
        match value {
            Value::String(text) => {
                if let Some((_, prefix)) = IDS.iter().find(|(name, _)| *name == key) {
                    return Value::String(self.name(prefix, &text));
                }
                if key == "id" && !text.is_empty() {
                    return Value::String(self.plain(&text));
                }
                Value::String(self.within(&text))
            }
            Value::Array(parts) => {
                Value::Array(parts.into_iter().map(|part| self.value("", part)).collect())
            }
            Value::Object(members) => self.object(members),
            other => other,
        }
    }

    fn object(&mut self, members: Map<String, Value>) -> Value {
        let mut sorted: Vec<(String, Value)> = members.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out = Map::new();
        for (key, value) in sorted {
            if DROPPED.contains(&key.as_str()) || value.is_null() {
                continue;
            }
            let value = self.value(&key, value);
            out.insert(key, value);
        }
        Value::Object(out)
    }
}

/// Writes the lines.
///
/// # Errors
/// What reading a file again, or writing, returns.
pub fn write(
    out: &mut dyn io::Write,
    timeline: &Timeline,
    sources: &mut [Box<dyn Source>],
    filter: &Filter,
) -> io::Result<()> {
    let mut ids = Ids::default();
    let mut lanes: BTreeMap<u16, usize> = BTreeMap::new();
    let mut exchanges: BTreeMap<(u16, u32), usize> = BTreeMap::new();
    for (at, entry) in timeline.entries.iter().enumerate() {
        if matches!(entry.what, What::Session | What::Connection | What::Meta)
            || !filter.passes(timeline, at as u32)
        {
            continue;
        }
        let mut line = entry.what.name().to_owned();
        let name = timeline.names.get(entry.name);
        let named = !matches!(
            entry.what,
            What::Request | What::Body | What::Gap | What::State
        );
        if named && name != entry.what.name() {
            line.push(' ');
            line.push_str(&safe(name));
        }
        if entry.lane != u16::MAX {
            let count = lanes.len() + 1;
            let _ = write!(line, " lane#{}", lanes.entry(entry.lane).or_insert(count));
        }
        if entry.exchange > 0 {
            let count = exchanges.len() + 1;
            let number = exchanges
                .entry((entry.file, entry.exchange))
                .or_insert(count);
            let _ = write!(line, " exchange#{number}");
        }
        if let Some(value) = body(timeline, entry, sources)? {
            line.push(' ');
            line.push_str(&visible(&ids.value("", value)));
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// JSON in which nothing can be taken for a command by a terminal: `safe` would change bytes that JSON can spell.
fn visible(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if safe(c.encode_utf8(&mut [0; 4])).chars().eq([c]) {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
    out
}

/// What is said of an entry beside its name.
fn body(
    timeline: &Timeline,
    entry: &Entry,
    sources: &mut [Box<dyn Source>],
) -> io::Result<Option<Value>> {
    let Some(source) = sources.get_mut(entry.file as usize) else {
        return Ok(None);
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    Ok(match entry.what {
        What::Request => {
            let body = timeline.body(entry, source)?;
            body.and_then(|bytes| parsed(&String::from_utf8_lossy(&bytes)))
        }
        What::Response | What::End | What::ClientClosed | What::Gap => None,
        _ => {
            let text = timeline.text(entry, source, MAX_SHOWN)?;
            let value = parsed(&text.text).unwrap_or(Value::String(text.text));
            Some(match value {
                Value::Object(mut members) if members.contains_key("payload") => {
                    members.remove("payload").unwrap_or_default()
                }
                Value::Object(mut members)
                    if entry.what == What::RolloutLine || entry.what == What::ClientEvent =>
                {
                    members.remove("value").unwrap_or(Value::Object(members))
                }
                other => other,
            })
        }
    })
}
