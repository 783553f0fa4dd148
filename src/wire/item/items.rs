//! All items of a session in one list, and the ids they name.

use super::{
    Author, Family, Flags, Item, ItemHead, ItemKind, MAX_CALL_ID, is_context_text, says_aborted,
};
use crate::ids::{CallKey, HashInterner, Interner, ItemIndex, ItemKey, LineNo};

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
