//! One line of a rollout, read in one pass.
//!
//! A [`Line`] takes the fields that matter out of a line in whatever order they stand: those of the envelope, those of
//! its payload whatever kind that is, and those of a bare item. What the line *is* is asked afterwards ([`super::sort`]).

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess};
use serde_json::value::RawValue;

use super::HistoryBase;
use super::fields::{Array, Content, ErrorText, Fields, Object, mend_surrogates, snippet};
use crate::wire::item::{ItemHead, ItemKind};
use crate::wire::lenient::{Number, Text};

type Word<'a> = Option<Cow<'a, str>>;

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Word<'de>, A::Error> {
    Ok(map.next_value::<Text<'de>>()?.0)
}

/// What kind of value a field holds, where the client's own loader insists on one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    Text,
    List,
    Other,
}

impl Held {
    fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'"') => Self::Text,
            Some(b'[') => Self::List,
            _ => Self::Other,
        }
    }
}

/// An item as it stands on a line.
#[derive(Debug, Default)]
pub(super) struct ItemText<'a> {
    pub(super) head: ItemHead<'a>,
    output: Held,
    arguments: Held,
    input: Held,
}

impl<'de> Fields<'de> for ItemText<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "content" => self.head.text = map.next_value_seed(Content)?,
            "output" => {
                let raw = map.next_value::<&'de RawValue>()?;
                self.output = Held::of(raw);
                self.head.output = snippet(raw.get());
            }
            "arguments" => self.arguments = Held::of(map.next_value::<&'de RawValue>()?),
            "input" => self.input = Held::of(map.next_value::<&'de RawValue>()?),
            _ => return self.head.field(key, map),
        }
        Ok(true)
    }
}

impl ItemText<'_> {
    /// The field whose shape makes Codex's loader skip the whole line, if there is one.
    ///
    /// `output` is a string or an array of parts (codex #5600), the object form `{content, success}` is refused on
    /// reading; `arguments` and `input` are strings. A field that is absent (cut out by whoever shared the file) is
    /// not held against the line.
    pub(super) fn unreadable_field(&self) -> Option<&'static str> {
        match self.head.item_kind() {
            ItemKind::FunctionCallOutput | ItemKind::CustomToolCallOutput => {
                (self.output == Held::Other).then_some("output")
            }
            ItemKind::FunctionCall => {
                matches!(self.arguments, Held::Other | Held::List).then_some("arguments")
            }
            ItemKind::CustomToolCall => {
                matches!(self.input, Held::Other | Held::List).then_some("input")
            }
            _ => None,
        }
    }
}

/// The `item` of an event: its type and id.
#[derive(Debug, Default)]
pub(super) struct EventItem<'a> {
    pub(super) kind: Word<'a>,
    pub(super) id: Word<'a>,
    /// `content` or `text`: where a message of the item stands.
    pub(super) content: Option<&'a RawValue>,
    pub(super) text: Option<&'a RawValue>,
}

impl<'de> Fields<'de> for EventItem<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "type" => self.kind = text(map)?,
            "id" => self.id = text(map)?,
            "content" => self.content = Some(map.next_value()?),
            "text" => self.text = Some(map.next_value()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The fields of a meta line beside `id` and `timestamp`.
#[derive(Debug, Default)]
pub(super) struct MetaText<'a> {
    pub(super) forked_from: Word<'a>,
    pub(super) parent_thread: Word<'a>,
    pub(super) originator: Word<'a>,
    pub(super) cli_version: Word<'a>,
    pub(super) history_mode: Word<'a>,
    pub(super) own_history_from: Option<u64>,
    pub(super) recovered: bool,
    base: BaseText<'a>,
}

impl MetaText<'_> {
    /// `history_base`, if it names a thread and a place.
    pub(super) fn history_base(&self) -> Option<HistoryBase> {
        Some(HistoryBase {
            thread_id: self.base.thread_id.as_deref()?.to_owned(),
            end_byte_offset: self.base.end_byte_offset?,
            end_ordinal_exclusive: self.base.end_ordinal_exclusive,
        })
    }
}

#[derive(Debug, Default)]
struct BaseText<'a> {
    thread_id: Word<'a>,
    end_byte_offset: Option<u64>,
    end_ordinal_exclusive: Option<u64>,
}

impl<'de> Fields<'de> for BaseText<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "thread_id" => self.thread_id = text(map)?,
            "end_byte_offset" => self.end_byte_offset = map.next_value::<Number>()?.0,
            "end_ordinal_exclusive" => self.end_ordinal_exclusive = map.next_value::<Number>()?.0,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `source` of a sub-agent before #25113: the parent stands in `subagent.thread_spawn.parent_thread_id`.
#[derive(Default)]
struct Source<'a>(Word<'a>);

impl<'de> Fields<'de> for Source<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "subagent" | "thread_spawn" => {
                map.next_value_seed(Object(self))?;
            }
            "parent_thread_id" => self.0 = text(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The payload of an envelope, whatever its kind: all fields any kind needs.
#[derive(Debug, Default)]
pub(super) struct Payload<'a> {
    pub(super) item: ItemText<'a>,
    pub(super) timestamp: Word<'a>,
    pub(super) num_turns: Option<u64>,
    pub(super) reason: Word<'a>,
    pub(super) error: Word<'a>,
    pub(super) event_item: EventItem<'a>,
    pub(super) response_id: Word<'a>,
    /// `message`, whatever it is.
    pub(super) message: Option<&'a RawValue>,
    pub(super) turn_id: Word<'a>,
    pub(super) thread_id: Word<'a>,
    pub(super) replacement: Option<Vec<ItemText<'a>>>,
    pub(super) meta: Option<Box<MetaText<'a>>>,
}

impl<'a> Payload<'a> {
    fn meta(&mut self) -> &mut MetaText<'a> {
        self.meta.get_or_insert_default()
    }
}

impl<'de> Fields<'de> for Payload<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "timestamp" => self.timestamp = text(map)?,
            "num_turns" => self.num_turns = map.next_value::<Number>()?.0,
            "reason" => self.reason = text(map)?,
            "error" => self.error = map.next_value_seed(ErrorText)?,
            "item" => {
                map.next_value_seed(Object(&mut self.event_item))?;
            }
            "response_id" => self.response_id = text(map)?,
            "message" => self.message = Some(map.next_value()?),
            "turn_id" => self.turn_id = text(map)?,
            "thread_id" => self.thread_id = text(map)?,
            "replacement_history" => {
                let mut items = Vec::new();
                self.replacement = map.next_value_seed(Array(&mut items))?.then_some(items);
            }
            "forked_from_id" => self.meta().forked_from = text(map)?,
            "parent_thread_id" => self.meta().parent_thread = text(map)?,
            "originator" => self.meta().originator = text(map)?,
            "recovered_by" => self.meta().recovered = text(map)?.is_some(),
            "cli_version" => self.meta().cli_version = text(map)?,
            "history_mode" => self.meta().history_mode = text(map)?,
            "subagent_history_start_ordinal" => {
                self.meta().own_history_from = map.next_value::<Number>()?.0;
            }
            "history_base" => {
                map.next_value_seed(Object(&mut self.meta().base))?;
            }
            "source" => {
                let mut source = Source::default();
                map.next_value_seed(Object(&mut source))?;
                if source.0.is_some() && self.meta().parent_thread.is_none() {
                    self.meta().parent_thread = source.0;
                }
            }
            _ => return self.item.field(key, map),
        }
        Ok(true)
    }
}

/// `previous_response_id` of a state line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum PreviousText<'a> {
    #[default]
    NoKey,
    Null,
    Response(Cow<'a, str>),
}

/// Keys that tell what a line is, and files that are no rollouts (bits of [`Line::seen`]).
const TELLTALES: [&str; 20] = [
    "payload",
    "session",
    "ts",
    "dir",
    "kind",
    "msg",
    "jsonrpc",
    "method",
    "result",
    "params",
    "session_id",
    "text",
    "thread_name",
    "updated_at",
    "model",
    "input",
    "exchange",
    "format",
    "at_us",
    "message",
];

/// One JSON value of a rollout file.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    /// The fields of a bare item; its `kind` is the `type` of an envelope.
    pub(super) item: ItemText<'a>,
    pub(super) timestamp: Word<'a>,
    pub(super) payload: Option<Payload<'a>>,
    pub(super) ordinal: bool,
    pub(super) record_type: Word<'a>,
    pub(super) previous: PreviousText<'a>,
    pub(super) is_object: bool,
    /// Which of [`TELLTALES`] are among its keys.
    pub(super) seen: u32,
}

impl<'de> Fields<'de> for Line<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "timestamp" => self.timestamp = text(map)?,
            "ordinal" => self.ordinal = map.next_value::<Number>()?.0.is_some(),
            "payload" => {
                self.see(key);
                let payload = self.payload.get_or_insert_default();
                if !map.next_value_seed(Object(payload))? {
                    self.payload = None;
                }
            }
            "record_type" => self.record_type = text(map)?,
            "previous_response_id" => {
                self.previous = match text(map)? {
                    Some(id) => PreviousText::Response(id),
                    None => PreviousText::Null,
                };
            }
            "session" => {
                self.see(key);
                return Ok(false);
            }
            _ => {
                if self.item.field(key, map)? {
                    if key == "input" {
                        self.see(key);
                    }
                    return Ok(true);
                }
                self.see(key);
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'a> Line<'a> {
    /// Reads one JSON value that makes up all of `text`.
    pub(super) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut line = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        line.is_object = Object(&mut line).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(line)
    }

    fn see(&mut self, key: &str) {
        if let Some(bit) = TELLTALES.iter().position(|telltale| *telltale == key) {
            self.seen |= 1 << bit;
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        TELLTALES
            .iter()
            .position(|telltale| *telltale == key)
            .is_some_and(|bit| self.seen & (1 << bit) != 0)
    }
}

/// Reads a line that serde refused although it is JSON: escapes of half a surrogate pair are mended first.
///
/// Returns what [`Line::read`] returns for the mended text, through `then`, as the line borrows from it.
pub(super) fn with_mended<T>(
    text: &str,
    then: impl FnOnce(Result<Line<'_>, serde_json::Error>) -> T,
) -> T {
    let mended = mend_surrogates(text);
    then(Line::read(&mended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_the_loader_refuses_are_named() {
        let field = |json: &str| Line::read(json).unwrap().item.unreadable_field();
        assert_eq!(
            field(r#"{"type":"function_call_output","output":{"content":"x","success":true}}"#),
            Some("output")
        );
        assert_eq!(
            field(r#"{"type":"function_call_output","output":null}"#),
            Some("output")
        );
        assert_eq!(
            field(r#"{"type":"function_call_output","output":[]}"#),
            None
        );
        assert_eq!(
            field(r#"{"type":"function_call","arguments":null}"#),
            Some("arguments")
        );
        assert_eq!(field(r#"{"type":"tool_search_call","arguments":{}}"#), None);
        assert_eq!(
            field(r#"{"type":"custom_tool_call","input":{}}"#),
            Some("input")
        );
        assert_eq!(field(r#"{"type":"function_call"}"#), None);
    }

    #[test]
    fn half_a_surrogate_pair_does_not_hide_a_line() {
        let json = r#"{"type":"message","role":"user","id":"a\ud83d","content":"\ude00"}"#;
        assert!(Line::read(json).is_err());
        with_mended(json, |line| {
            assert_eq!(line.unwrap().item.head.id.as_deref(), Some("a\u{fffd}"));
        });
    }
}
