//! Keys by which an equal conversation is found again.
//!
//! A key is a running hash along a sequence of items. The lenient one takes what a conversation is about: the user's
//! words, what the model said and called, and that each call was answered; ids, reasoning, context that the client adds
//! and the text of outputs are passed over. The strict one takes everything but ids; an output says how far behind its
//! call it stands in place of the call's id.

use crate::ids::fingerprint;
use crate::session::fingerprint::of_item;
use crate::session::tree::{Node, Tree};
use crate::wire::item::{Author, Item, ItemHead, ItemKind, Items};

/// How far back the call of an output is looked for.
const REACH: u32 = 4096;

/// The keys of one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// What the conversation is about.
    pub lenient: u64,
    /// All of it but the ids.
    pub strict: u64,
    /// How many items count for the lenient key.
    pub count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Print {
    lenient: Option<u64>,
    strict: u64,
}

/// The keys of all sequences that were asked for.
#[derive(Debug, Default)]
pub(super) struct Keys {
    prints: Vec<Print>,
    states: Vec<Option<Key>>,
}

impl Keys {
    /// Notes the next item.
    pub(super) fn item(&mut self, raw: &str, head: &ItemHead<'_>, item: &Item) {
        let kind = item.kind;
        let pairs = kind.is_call() || kind.is_output();
        let strict = if pairs && kind != ItemKind::McpApprovalRequest {
            let nameless = ItemHead {
                call_id: Some("".into()),
                approval_request_id: Some("".into()),
                ..head.clone()
            };
            of_item(raw, &nameless)
        } else {
            of_item(raw, head)
        };
        let lenient = match kind {
            ItemKind::Message if item.author == Author::Client => None,
            ItemKind::Message => Some(strict),
            ItemKind::Reasoning | ItemKind::AdditionalTools | ItemKind::GhostSnapshot => None,
            _ if kind.is_call() => Some(strict),
            _ => Some(fingerprint(kind.name().as_bytes())),
        };
        self.prints.push(Print { lenient, strict });
    }

    /// The lenient print of an item; `None` if it does not count.
    pub(super) fn of(&mut self, tree: &Tree, items: &Items, node: Node) -> Key {
        let mut way = Vec::new();
        let mut at = node;
        let mut key = loop {
            let known = self.states.get(at.number() as usize).copied().flatten();
            if let Some(known) = known {
                break known;
            }
            match tree.pop(at) {
                Some((before, item)) => {
                    way.push((at, item));
                    at = before;
                }
                None => break Key::default(),
            }
        };
        for (at, index) in way.into_iter().rev() {
            let print = self.prints.get(index.0 as usize).copied();
            if let (Some(print), Some(item)) = (print, items.get(index)) {
                if let Some(lenient) = print.lenient {
                    key.lenient = mix(key.lenient, lenient);
                    key.count += 1;
                }
                key.strict = mix(key.strict, print.strict);
                if item.kind.is_output() {
                    key.strict = mix(key.strict, distance(tree, items, at, item));
                }
            }
            let number = at.number() as usize;
            if self.states.len() <= number {
                self.states.resize(number + 1, None);
            }
            if let Some(state) = self.states.get_mut(number) {
                *state = Some(key);
            }
        }
        key
    }

    /// Whether an item counts for lenient keys.
    pub(super) fn counts(&self, index: crate::ids::ItemIndex) -> bool {
        let print = self.prints.get(index.0 as usize);
        print.is_some_and(|it| it.lenient.is_some())
    }
}

/// How many items an output stands behind its call; 0 if the call is not found.
fn distance(tree: &Tree, items: &Items, node: Node, output: &Item) -> u64 {
    let mut at = node;
    for far in 0..REACH {
        let Some((before, index)) = tree.pop(at) else {
            return 0;
        };
        let found = items.get(index);
        if found.is_some_and(|it| it.kind.is_call() && it.call == output.call) {
            return u64::from(far);
        }
        at = before;
    }
    0
}

fn mix(sum: u64, print: u64) -> u64 {
    let mut bytes = [0_u8; 16];
    let (left, right) = bytes.split_at_mut(8);
    left.copy_from_slice(&sum.to_le_bytes());
    right.copy_from_slice(&print.to_le_bytes());
    fingerprint(&bytes)
}
