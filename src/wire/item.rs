//! Input and output items: what kind they are, whom they answer, who made them.
//!
//! An [`Item`] is the twenty bytes every rule of the contract needs; the text of an item stays in the file it came
//! from and is read again when it is shown. The pairs are those of responses-api.md 2.1 and codex.md 2.2.

mod items;
mod kind;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

pub use items::Items;
pub use kind::{Family, ItemKind};

use super::lenient::{FirstText, Text};
use crate::ids::{CallKey, ItemKey, LineNo};

/// The longest `call_id` the API takes (responses-api.md 1.1 E22).
pub const MAX_CALL_ID: usize = 64;

/// Who made an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The model: calls, reasoning, assistant messages.
    Model,
    /// The user: a user message that is an instruction, not context.
    User,
    /// The client: outputs, context and developer messages, markers, summaries.
    Client,
}

/// What the rules need to know of one item.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Its kind.
    pub kind: ItemKind,
    /// Who made it.
    pub author: Author,
    /// Facts that hold of some items only.
    pub flags: Flags,
    /// The pair it belongs to; `None` if it owes and answers nothing.
    pub call: Option<CallKey>,
    /// Its `id`, where it has one.
    pub id: Option<ItemKey>,
    /// The line it stands on (of the file, or of the request that first carried it).
    pub line: LineNo,
    /// Its place among the items of that line.
    pub part: u32,
}

/// Bits of an [`Item`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// The `call_id` has more than [`MAX_CALL_ID`] characters.
    pub const LONG_CALL_ID: Self = Self(1);
    /// The `id` does not begin with the prefix the API expects of its kind.
    pub const BAD_ID: Self = Self(2);
    /// A `<turn_aborted>` marker or an output that says "aborted".
    pub const ABORTED: Self = Self(4);
    /// An assistant message, a call or reasoning with status `in_progress` or `incomplete`.
    pub const UNFINISHED: Self = Self(8);
    /// An output whose `call_id` is empty: nothing can ever match it.
    pub const EMPTY_CALL_ID: Self = Self(16);
    /// Codex's own loader skips the line this item stands on, so it is never sent again (codex #3380, #5600).
    pub const UNREADABLE_BY_CLIENT: Self = Self(32);
    /// A call without `call_id`: its item id stands for it.
    pub const NO_CALL_ID: Self = Self(64);
    /// Reasoning with an id and without `encrypted_content`: only a server that stored it knows what it stands for
    /// (responses-api.md 2.3).
    pub const NAMES_STORED: Self = Self(128);

    /// Whether all bits of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets the bits of `other`.
    pub fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The fields of one item's JSON that rules read, borrowed from the line.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct ItemHead<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub id: Option<Cow<'a, str>>,
    pub call_id: Option<Cow<'a, str>>,
    pub approval_request_id: Option<Cow<'a, str>>,
    pub role: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub execution: Option<Cow<'a, str>>,
    pub status: Option<Cow<'a, str>>,
    /// The first text of `content`.
    pub text: Option<Cow<'a, str>>,
    /// `output`, where it is a plain string.
    pub output: Option<Cow<'a, str>>,
    /// Whether it has an `encrypted_content`.
    pub sealed: bool,
    /// Whether any of the keys of an item was there (an object without them is no item).
    pub any: bool,
}

impl<'a> ItemHead<'a> {
    /// Reads one field if it is one of an item's; returns whether the value was taken from `map`.
    pub fn field<'de: 'a, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        let slot = match key {
            "type" => &mut self.kind,
            "id" => &mut self.id,
            "call_id" => &mut self.call_id,
            "approval_request_id" => &mut self.approval_request_id,
            "role" => &mut self.role,
            "name" => &mut self.name,
            "execution" => &mut self.execution,
            "status" => &mut self.status,
            "content" => {
                self.text = map.next_value::<FirstText<'de>>()?.0;
                return Ok(true);
            }
            "output" => {
                self.output = map.next_value::<Text<'de>>()?.0;
                return Ok(true);
            }
            "encrypted_content" => {
                self.sealed = map.next_value::<Option<IgnoredAny>>()?.is_some();
                return Ok(true);
            }
            _ => return Ok(false),
        };
        *slot = map.next_value::<Text<'de>>()?.0;
        self.any = true;
        Ok(true)
    }

    /// The kind; an object with a `role` and no `type` is a message.
    pub fn item_kind(&self) -> ItemKind {
        match (self.kind.as_deref(), &self.role) {
            (Some(name), _) => ItemKind::from_type(name),
            (None, Some(_)) => ItemKind::Message,
            (None, None) => ItemKind::Other,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ItemHead<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadVisitor;
        impl<'de> Visitor<'de> for HeadVisitor {
            type Value = ItemHead<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an item (a JSON object)")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ItemHead<'de>, A::Error> {
                let mut head = ItemHead::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if !head.field(key.get().unwrap_or(""), &mut map)? {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(head)
            }
        }
        deserializer.deserialize_map(HeadVisitor)
    }
}

/// Beginnings of user messages that Codex adds itself: context, not an instruction (codex.md 1.7, 3.3).
const CONTEXT_MARKS: [&str; 10] = [
    "<environment_context>",
    "<user_instructions>",
    "<turn_aborted>",
    "<skill>",
    "<skills_instructions>",
    "<user_shell_command>",
    "<subagent_notification>",
    "<permissions instructions>",
    "# AGENTS.md instructions",
    "<apps_instructions>",
];

/// Whether a user message's text is context that the client added.
pub fn is_context_text(text: &str) -> bool {
    let text = text.trim_start();
    CONTEXT_MARKS.iter().any(|mark| text.starts_with(mark))
}

/// Whether a text is one of the words by which clients say "aborted" (codex.md 3.2, lab dialects).
pub fn says_aborted(output: &str) -> bool {
    let text = output.trim();
    text == "aborted"
        || text.starts_with("aborted by user")
        || (text.starts_with("Wall time:") && text.ends_with("aborted by user"))
        || text.starts_with("{\"output\":\"aborted\"")
        || text.starts_with("<turn_aborted>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(items: &mut Items, json: &str) -> Item {
        let head: ItemHead<'_> = serde_json::from_str(json).unwrap();
        let index = items.add(&head, 1, 0);
        *items.get(index).unwrap()
    }

    #[test]
    fn every_pair_of_the_reference_shares_a_key() {
        let pairs = [
            (
                r#"{"type":"function_call","call_id":"c"}"#,
                r#"{"type":"function_call_output","call_id":"c","output":""}"#,
            ),
            (
                r#"{"type":"local_shell_call","call_id":"c"}"#,
                r#"{"type":"function_call_output","call_id":"c"}"#,
            ),
            (
                r#"{"type":"local_shell_call","call_id":null,"id":"c"}"#,
                r#"{"type":"local_shell_call_output","id":"c"}"#,
            ),
            (
                r#"{"type":"custom_tool_call","call_id":"c"}"#,
                r#"{"type":"custom_tool_call_output","call_id":"c"}"#,
            ),
            (
                r#"{"type":"computer_call","call_id":"c"}"#,
                r#"{"type":"computer_call_output","call_id":"c"}"#,
            ),
            (
                r#"{"type":"shell_call","call_id":"c"}"#,
                r#"{"type":"shell_call_output","call_id":"c"}"#,
            ),
            (
                r#"{"type":"apply_patch_call","call_id":"c"}"#,
                r#"{"type":"apply_patch_call_output","call_id":"c"}"#,
            ),
            (
                r#"{"type":"tool_search_call","call_id":"c","execution":"client"}"#,
                r#"{"type":"tool_search_output","call_id":"c","execution":"client"}"#,
            ),
            (
                r#"{"type":"mcp_approval_request","id":"c"}"#,
                r#"{"type":"mcp_approval_response","approval_request_id":"c"}"#,
            ),
        ];
        for (call, output) in pairs {
            let mut items = Items::default();
            let (call, output) = (add(&mut items, call), add(&mut items, output));
            assert!(
                call.call.is_some() && call.call == output.call,
                "{call:?} {output:?}"
            );
            assert!(output.kind.answers(call.kind));
            assert_eq!(call.author, Author::Model);
            assert_eq!(output.author, Author::Client);
        }
    }

    #[test]
    fn hosted_and_server_run_calls_owe_nothing() {
        let mut items = Items::default();
        for json in [
            r#"{"type":"web_search_call","id":"ws_1"}"#,
            r#"{"type":"mcp_call","id":"mcp_1"}"#,
            r#"{"type":"tool_search_call","call_id":"c","execution":"server"}"#,
            r#"{"type":"tool_search_output","execution":"server"}"#,
            r#"{"type":"function_call_output","output":"host injected"}"#,
            r#"{"type":"program","call_id":"c"}"#,
        ] {
            assert_eq!(add(&mut items, json).call, None, "{json}");
        }
    }

    #[test]
    fn equal_ids_of_different_families_are_strangers_and_can_be_found() {
        let mut items = Items::default();
        let custom = add(&mut items, r#"{"type":"custom_tool_call","call_id":"c"}"#)
            .call
            .unwrap();
        let output = add(
            &mut items,
            r#"{"type":"function_call_output","call_id":"c"}"#,
        )
        .call
        .unwrap();
        assert_ne!(custom, output);
        assert_eq!(items.same_id(output), vec![custom]);
        assert_eq!(items.call_id(output), "c");
    }

    #[test]
    fn authors_tell_instructions_from_context() {
        let mut items = Items::default();
        let user = |text: &str| {
            format!(r#"{{"type":"message","role":"user","content":[{{"text":"{text}"}}]}}"#)
        };
        assert_eq!(add(&mut items, &user("fix the test")).author, Author::User);
        assert_eq!(
            add(&mut items, &user("<environment_context> x")).author,
            Author::Client
        );
        assert_eq!(
            add(&mut items, &user("<turn_aborted> x")).author,
            Author::Client
        );
        assert_eq!(
            add(&mut items, r#"{"role":"user","content":"go"}"#).author,
            Author::User
        );
        assert_eq!(
            add(&mut items, r#"{"role":"assistant","content":"ok"}"#).author,
            Author::Model
        );
        assert_eq!(
            add(&mut items, r#"{"role":"developer","content":"ok"}"#).author,
            Author::Client
        );
    }

    #[test]
    fn ids_of_the_wrong_form_are_flagged() {
        let mut items = Items::default();
        let long = "x".repeat(65);
        assert!(
            add(
                &mut items,
                &format!(r#"{{"type":"function_call","call_id":"{long}"}}"#)
            )
            .flags
            .has(Flags::LONG_CALL_ID)
        );
        let fit = "x".repeat(64);
        assert!(
            !add(
                &mut items,
                &format!(r#"{{"type":"function_call","call_id":"{fit}"}}"#)
            )
            .flags
            .has(Flags::LONG_CALL_ID)
        );
        assert!(
            add(
                &mut items,
                r#"{"type":"function_call","id":"call_1","call_id":"c"}"#
            )
            .flags
            .has(Flags::BAD_ID)
        );
        assert!(
            !add(
                &mut items,
                r#"{"type":"function_call","id":"fc_1","call_id":"c"}"#
            )
            .flags
            .has(Flags::BAD_ID)
        );
    }

    #[test]
    fn an_item_stays_small() {
        assert!(size_of::<Item>() <= 20, "{}", size_of::<Item>());
    }
}
