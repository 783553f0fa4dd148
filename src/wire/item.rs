//! Input and output items: what kind they are, whom they answer, who made them.
//!
//! An [`Item`] is the twenty bytes every rule of the contract needs; the text of an item stays in the file it came
//! from and is read again when it is shown. The pairs are those of responses-api.md 2.1 and codex.md 2.2.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::lenient::{FirstText, Text};
use crate::ids::{CallKey, HashInterner, Interner, ItemIndex, ItemKey, LineNo};

/// The longest `call_id` the API takes (responses-api.md 1.1 E22).
pub const MAX_CALL_ID: usize = 64;

/// The `type` of an item, as far as a rule speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub enum ItemKind {
    Message,
    Reasoning,
    FunctionCall,
    FunctionCallOutput,
    LocalShellCall,
    LocalShellCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    ComputerCall,
    ComputerCallOutput,
    ShellCall,
    ShellCallOutput,
    ApplyPatchCall,
    ApplyPatchCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
    McpApprovalRequest,
    McpApprovalResponse,
    WebSearchCall,
    FileSearchCall,
    CodeInterpreterCall,
    ImageGenerationCall,
    McpCall,
    McpListTools,
    AgentMessage,
    AdditionalTools,
    Compaction,
    CompactionTrigger,
    ItemReference,
    GhostSnapshot,
    /// A kind this version does not know; it is kept and never owed an answer.
    Other,
}

const NAMES: [(ItemKind, &str); 30] = [
    (ItemKind::Message, "message"),
    (ItemKind::Reasoning, "reasoning"),
    (ItemKind::FunctionCall, "function_call"),
    (ItemKind::FunctionCallOutput, "function_call_output"),
    (ItemKind::LocalShellCall, "local_shell_call"),
    (ItemKind::LocalShellCallOutput, "local_shell_call_output"),
    (ItemKind::CustomToolCall, "custom_tool_call"),
    (ItemKind::CustomToolCallOutput, "custom_tool_call_output"),
    (ItemKind::ComputerCall, "computer_call"),
    (ItemKind::ComputerCallOutput, "computer_call_output"),
    (ItemKind::ShellCall, "shell_call"),
    (ItemKind::ShellCallOutput, "shell_call_output"),
    (ItemKind::ApplyPatchCall, "apply_patch_call"),
    (ItemKind::ApplyPatchCallOutput, "apply_patch_call_output"),
    (ItemKind::ToolSearchCall, "tool_search_call"),
    (ItemKind::ToolSearchOutput, "tool_search_output"),
    (ItemKind::McpApprovalRequest, "mcp_approval_request"),
    (ItemKind::McpApprovalResponse, "mcp_approval_response"),
    (ItemKind::WebSearchCall, "web_search_call"),
    (ItemKind::FileSearchCall, "file_search_call"),
    (ItemKind::CodeInterpreterCall, "code_interpreter_call"),
    (ItemKind::ImageGenerationCall, "image_generation_call"),
    (ItemKind::McpCall, "mcp_call"),
    (ItemKind::McpListTools, "mcp_list_tools"),
    (ItemKind::AgentMessage, "agent_message"),
    (ItemKind::AdditionalTools, "additional_tools"),
    (ItemKind::Compaction, "compaction"),
    (ItemKind::CompactionTrigger, "compaction_trigger"),
    (ItemKind::ItemReference, "item_reference"),
    (ItemKind::GhostSnapshot, "ghost_snapshot"),
];

impl ItemKind {
    /// Returns the kind for a `type`; unknown texts are [`ItemKind::Other`].
    pub fn from_type(name: &str) -> Self {
        match name {
            "compaction_summary" | "context_compaction" => return Self::Compaction,
            _ => {}
        }
        NAMES
            .iter()
            .find(|(_, n)| *n == name)
            .map_or(Self::Other, |(kind, _)| *kind)
    }

    /// The API's name of the kind; `other` for an unknown one.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("other", |(_, name)| *name)
    }

    /// The kind's words inside the API's refusals, such as `function call` (responses-api.md 1.1 E1 to E12).
    pub fn words(self) -> &'static str {
        match self {
            Self::FunctionCall => "function call",
            Self::FunctionCallOutput => "function call output",
            Self::LocalShellCall => "local shell call",
            Self::LocalShellCallOutput => "local shell call output",
            Self::CustomToolCall => "custom tool call",
            Self::CustomToolCallOutput => "custom tool call output",
            Self::ComputerCall => "computer call",
            Self::ComputerCallOutput => "computer call output",
            Self::ShellCall => "shell call",
            Self::ShellCallOutput => "shell call output",
            Self::ApplyPatchCall => "apply patch call",
            Self::ApplyPatchCallOutput => "apply patch call output",
            Self::ToolSearchCall => "tool search call",
            Self::ToolSearchOutput => "tool search output",
            Self::McpApprovalRequest => "mcp approval request",
            Self::McpApprovalResponse => "mcp approval response",
            Self::WebSearchCall => "web search call",
            _ => "tool call",
        }
    }

    /// The prefix the API expects of this kind's item ids, where it is known (responses-api.md 1.1 E21).
    pub fn id_prefix(self) -> Option<&'static str> {
        match self {
            Self::FunctionCall => Some("fc"),
            Self::CustomToolCall => Some("ctc"),
            Self::Message => Some("msg"),
            Self::Reasoning => Some("rs"),
            Self::WebSearchCall => Some("ws"),
            _ => None,
        }
    }

    /// The family this kind belongs to, if it takes part in a call/output pair.
    pub fn family(self) -> Option<Family> {
        Some(match self {
            Self::FunctionCall
            | Self::FunctionCallOutput
            | Self::LocalShellCall
            | Self::LocalShellCallOutput => Family::Function,
            Self::CustomToolCall | Self::CustomToolCallOutput => Family::Custom,
            Self::ComputerCall | Self::ComputerCallOutput => Family::Computer,
            Self::ShellCall | Self::ShellCallOutput => Family::Shell,
            Self::ApplyPatchCall | Self::ApplyPatchCallOutput => Family::ApplyPatch,
            Self::ToolSearchCall | Self::ToolSearchOutput => Family::ToolSearch,
            Self::McpApprovalRequest | Self::McpApprovalResponse => Family::McpApproval,
            _ => return None,
        })
    }

    /// Whether the kind asks for an output that the client owes.
    pub fn is_call(self) -> bool {
        matches!(
            self,
            Self::FunctionCall
                | Self::LocalShellCall
                | Self::CustomToolCall
                | Self::ComputerCall
                | Self::ShellCall
                | Self::ApplyPatchCall
                | Self::ToolSearchCall
                | Self::McpApprovalRequest
        )
    }

    /// Whether the kind answers a call.
    pub fn is_output(self) -> bool {
        self.family().is_some() && !self.is_call()
    }

    /// Whether an output of this kind answers a call of kind `call`.
    ///
    /// A `function_call_output` answers a local shell call too: that is how Codex sends it (codex.md 2.2).
    pub fn answers(self, call: Self) -> bool {
        match self {
            Self::FunctionCallOutput => matches!(call, Self::FunctionCall | Self::LocalShellCall),
            Self::LocalShellCallOutput => call == Self::LocalShellCall,
            _ => self.is_output() && call.is_call() && self.family() == call.family(),
        }
    }

    /// The kind that current Codex and the API expect as this call's answer.
    pub fn answer_kind(self) -> Option<Self> {
        Some(match self {
            Self::FunctionCall | Self::LocalShellCall => Self::FunctionCallOutput,
            Self::CustomToolCall => Self::CustomToolCallOutput,
            Self::ComputerCall => Self::ComputerCallOutput,
            Self::ShellCall => Self::ShellCallOutput,
            Self::ApplyPatchCall => Self::ApplyPatchCallOutput,
            Self::ToolSearchCall => Self::ToolSearchOutput,
            Self::McpApprovalRequest => Self::McpApprovalResponse,
            _ => return None,
        })
    }
}

/// Calls and outputs that can belong together share a family; equal call ids of different families are strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the kinds")]
pub enum Family {
    Function,
    Custom,
    Computer,
    Shell,
    ApplyPatch,
    ToolSearch,
    McpApproval,
}

impl Family {
    fn tag(self) -> u8 {
        self as u8
    }
}

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

/// All items of a session, with the ids they name.
#[derive(Clone, Debug, Default)]
pub struct Items {
    all: Vec<Item>,
    call_ids: Interner,
    item_ids: HashInterner,
}

impl Items {
    /// Adds the item described by `head` and returns its index.
    pub fn add(&mut self, head: &ItemHead<'_>, line: LineNo, part: u32) -> ItemIndex {
        let item = self.describe(head, line, part);
        self.push(item)
    }

    /// Adds an item that is already described.
    pub fn push(&mut self, item: Item) -> ItemIndex {
        let index = ItemIndex(self.all.len() as u32);
        self.all.push(item);
        index
    }

    /// Describes an item without adding it; its ids are interned.
    pub fn describe(&mut self, head: &ItemHead<'_>, line: LineNo, part: u32) -> Item {
        let kind = head.item_kind();
        let mut flags = Flags::default();
        let call = self.pair_of(kind, head, &mut flags);
        let id = head.id.as_deref().filter(|id| !id.is_empty());
        if let (Some(id), Some(prefix)) = (id, kind.id_prefix())
            && !id.starts_with(prefix)
        {
            flags.set(Flags::BAD_ID);
        }
        if kind == ItemKind::Reasoning && id.is_some() && !head.sealed {
            flags.set(Flags::NAMES_STORED);
        }
        let body = head.output.as_deref().or(head.text.as_deref());
        if body.is_some_and(says_aborted) {
            flags.set(Flags::ABORTED);
        }
        if matches!(head.status.as_deref(), Some("in_progress" | "incomplete")) {
            flags.set(Flags::UNFINISHED);
        }
        Item {
            kind,
            author: author(kind, head),
            flags,
            call,
            id: id.map(|id| ItemKey::new(self.item_ids.intern(id.as_bytes()))),
            line,
            part,
        }
    }

    fn pair_of(
        &mut self,
        kind: ItemKind,
        head: &ItemHead<'_>,
        flags: &mut Flags,
    ) -> Option<CallKey> {
        let family = kind.family()?;
        let id = match kind {
            ItemKind::McpApprovalRequest => head.id.as_deref(),
            ItemKind::McpApprovalResponse => head.approval_request_id.as_deref(),
            // 2025 clients fell back to the item id where a local shell call had none (codex.md 2.2)
            ItemKind::LocalShellCall | ItemKind::LocalShellCallOutput => {
                if head.call_id.is_none() {
                    flags.set(Flags::NO_CALL_ID);
                }
                head.call_id.as_deref().or(head.id.as_deref())
            }
            // run by the server: self-contained (codex.md 2.2)
            ItemKind::ToolSearchCall
                if !matches!(head.execution.as_deref(), Some("client" | "local")) =>
            {
                None
            }
            ItemKind::ToolSearchOutput if head.execution.as_deref() == Some("server") => None,
            _ => head.call_id.as_deref(),
        }?;
        if id.chars().nth(MAX_CALL_ID).is_some() {
            flags.set(Flags::LONG_CALL_ID);
        }
        if id.is_empty() {
            flags.set(Flags::EMPTY_CALL_ID);
        }
        Some(self.call_key(family, id))
    }

    /// Returns the key of a `(family, call_id)` pair, new or known.
    pub fn call_key(&mut self, family: Family, call_id: &str) -> CallKey {
        let mut text = Vec::with_capacity(call_id.len() + 1);
        text.push(family.tag());
        text.extend_from_slice(call_id.as_bytes());
        CallKey::new(self.call_ids.intern(&text))
    }

    /// Returns the key of a `(family, call_id)` pair if any item named it.
    pub fn find_call(&self, family: Family, call_id: &str) -> Option<CallKey> {
        let mut text = Vec::with_capacity(call_id.len() + 1);
        text.push(family.tag());
        text.extend_from_slice(call_id.as_bytes());
        self.call_ids.find(&text).map(CallKey::new)
    }

    /// The `call_id` behind a key.
    pub fn call_id(&self, key: CallKey) -> &str {
        let text = self.call_ids.text(key.number());
        std::str::from_utf8(text.get(1..).unwrap_or(&[])).unwrap_or("")
    }

    /// Returns the keys of the same `call_id` in other families.
    pub fn same_id(&self, key: CallKey) -> Vec<CallKey> {
        let text = self.call_ids.text(key.number());
        let (own, id) = text
            .split_first()
            .map_or((0, &[][..]), |(tag, id)| (*tag, id));
        (0..=Family::McpApproval.tag())
            .filter(|tag| *tag != own)
            .filter_map(|tag| {
                let mut other = Vec::with_capacity(text.len());
                other.push(tag);
                other.extend_from_slice(id);
                self.call_ids.find(&other).map(CallKey::new)
            })
            .collect()
    }

    /// The same items with calls of another kind, outputs that fit them, and other call ids; and for each old key, by
    /// its number, the new one. Only function, custom and local shell calls are changed. Two ids that become one are
    /// told apart by a number.
    pub fn retyped(
        &self,
        kind: Option<ItemKind>,
        id: &dyn Fn(&str) -> String,
    ) -> (Self, Vec<CallKey>) {
        let plain = |it: Family| matches!(it, Family::Function | Family::Custom);
        let family = kind.and_then(ItemKind::family);
        let mut call_ids = Interner::default();
        let mut keys = Vec::with_capacity(self.call_ids.len());
        for number in 0..self.call_ids.len() as u32 {
            let text = self.call_ids.text(number);
            let tag = text.first().copied().unwrap_or_default();
            let own = [Family::Function, Family::Custom]
                .into_iter()
                .find(|family| family.tag() == tag && plain(*family));
            let new_tag = match (own, family) {
                (Some(_), Some(family)) => family.tag(),
                _ => tag,
            };
            let renamed = id(self.call_id(CallKey::new(number)));
            let mut key = vec![new_tag];
            key.extend_from_slice(renamed.as_bytes());
            let mut count = 1;
            while call_ids.find(&key).is_some() {
                count += 1;
                key = vec![new_tag];
                key.extend_from_slice(format!("{renamed}_{count}").as_bytes());
            }
            keys.push(CallKey::new(call_ids.intern(&key)));
        }
        let all = self.all.iter().map(|item| {
            let mut item = *item;
            item.call = item
                .call
                .and_then(|call| keys.get(call.index()).copied())
                .or(item.call);
            let changes = item.kind.family().is_some_and(plain);
            if let (Some(kind), true) = (kind, changes) {
                item.kind = if item.kind.is_call() {
                    kind
                } else {
                    kind.answer_kind().unwrap_or(item.kind)
                };
            }
            item
        });
        let items = Self {
            all: all.collect(),
            call_ids,
            item_ids: self.item_ids.clone(),
        };
        (items, keys)
    }

    /// How many different pairs are named; keys are below this number.
    pub fn call_count(&self) -> usize {
        self.call_ids.len()
    }

    /// How many different item ids are named; keys are below this number.
    pub fn id_count(&self) -> usize {
        self.item_ids.len()
    }

    /// Says that all items were added: what was only needed to tell their ids apart is given up. The ids of items that
    /// are described later are strangers to those before.
    pub fn finish(&mut self) {
        self.item_ids.forget();
        self.all.shrink_to_fit();
    }

    /// Returns one item.
    pub fn get(&self, index: ItemIndex) -> Option<&Item> {
        self.all.get(index.0 as usize)
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All items in the order they were added.
    #[expect(
        clippy::iter_without_into_iter,
        reason = "a list of its own kind; a loop over it names the method"
    )]
    pub fn iter(&self) -> std::slice::Iter<'_, Item> {
        self.all.iter()
    }
}

fn author(kind: ItemKind, head: &ItemHead<'_>) -> Author {
    match kind {
        ItemKind::Message => match head.role.as_deref() {
            Some("assistant") => Author::Model,
            Some("user") if !head.text.as_deref().is_some_and(is_context_text) => Author::User,
            _ => Author::Client,
        },
        ItemKind::Reasoning
        | ItemKind::WebSearchCall
        | ItemKind::FileSearchCall
        | ItemKind::CodeInterpreterCall
        | ItemKind::ImageGenerationCall
        | ItemKind::McpCall
        | ItemKind::McpListTools => Author::Model,
        _ if kind.is_call() => Author::Model,
        _ => Author::Client,
    }
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
