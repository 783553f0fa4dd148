//! The endpoint's own answers in place of the recorded ones.
//!
//! A recorded conversation is followed as long as the endpoint asks for the same kinds of calls: then an output that was
//! recorded for a call goes to the call that the endpoint made in its place. Where it asks for others, or for none, the
//! conversation has taken another way, and nothing that was recorded answers it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{CallKey, ItemIndex, ResponseKey};
use crate::session::kept::Kept;
use crate::session::label::Label;
use crate::strategy::live::Divergence;
use crate::strategy::outgoing::Outgoing;
use crate::wire::item::{Author, Item, ItemHead, ItemKind, Items};

use super::compose::{call_of, portable, with_call_id};

/// What was answered so far.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    answers: Vec<Answer>,
    /// Which answer a recorded item belongs to, and its counterpart there.
    of_item: BTreeMap<ItemIndex, (usize, Option<usize>)>,
    of_call: BTreeMap<CallKey, (usize, Option<usize>)>,
    /// By the beginning of a message's text.
    of_text: BTreeMap<String, (usize, Option<usize>)>,
    calls: BTreeMap<CallKey, String>,
    responses: BTreeMap<ResponseKey, String>,
    parted: BTreeMap<u32, String>,
}

#[derive(Clone, Debug)]
struct Answer {
    /// The items as they can be sent again.
    items: Vec<Option<String>>,
    /// Whether the client had all of the recorded answer: then it has all of this one.
    complete: bool,
    /// The last recorded item.
    last: Option<ItemIndex>,
}

/// What of the answers has gone into a body.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    sent: BTreeMap<usize, BTreeSet<usize>>,
}

impl Follow {
    /// Nothing is in the body yet.
    pub fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    /// The endpoint's id for a recorded response.
    pub fn response(&self, key: ResponseKey) -> Option<&str> {
        self.responses.get(&key).map(String::as_str)
    }

    /// The endpoint's id for a recorded call.
    pub fn call(&self, key: CallKey) -> Option<&str> {
        self.calls.get(&key).map(String::as_str)
    }

    /// Why nothing more of a lane can be sent.
    pub fn parted(&self, lane: u32) -> Option<&str> {
        self.parted.get(&lane).map(String::as_str)
    }

    /// Takes the answer to a request. `done` are its items as they came, `id` its response.
    pub fn answered(
        &mut self,
        one: &Outgoing,
        kept: &Kept,
        items: &Items,
        done: &[&str],
        id: Option<&str>,
    ) -> Option<Divergence> {
        if let (Some(key), Some(id)) = (one.response, id) {
            self.responses.insert(key, id.to_owned());
        }
        let number = self.answers.len();
        let recorded: Vec<(ItemIndex, Class, Option<CallKey>)> = one
            .done
            .iter()
            .filter_map(|index| {
                let item = items.get(*index)?;
                Some((*index, Class::of(item.kind), item.call))
            })
            .collect();
        let now: Vec<Class> = done.iter().map(|raw| Class::of(kind_of(raw))).collect();
        let mut seen: BTreeMap<Class, usize> = BTreeMap::new();
        for (index, class, call) in &recorded {
            let nth = seen.entry(*class).or_insert(0);
            let places = now.iter().enumerate().filter(|(_, it)| *it == class);
            let counterpart = places.map(|(at, _)| at).nth(*nth);
            *nth += 1;
            let place = (number, counterpart);
            self.of_item.insert(*index, place);
            if let (Class::Call(_), Some(call)) = (class, call) {
                self.of_call.insert(*call, place);
                let id = counterpart.and_then(|at| call_of(done.get(at)?));
                if let Some((_, _, id)) = id {
                    self.calls.insert(*call, id);
                }
            }
            if let (Class::Message, Some(raw)) = (class, kept.text(*index)) {
                self.of_text.insert(Label::of(raw).text.into(), place);
            }
        }
        self.answers.push(Answer {
            items: done.iter().map(|raw| resent(raw)).collect(),
            complete: one.complete,
            last: one.done.last().copied(),
        });
        if !one.answered {
            return None;
        }
        let calls = |classes: &mut dyn Iterator<Item = Class>| -> Vec<ItemKind> {
            classes
                .filter_map(|class| match class {
                    Class::Call(kind) => Some(kind),
                    _ => None,
                })
                .collect()
        };
        let before = calls(&mut recorded.iter().map(|(_, class, _)| *class));
        let after = calls(&mut now.iter().copied());
        let same = if one.complete {
            before == after
        } else {
            after.starts_with(&before)
        };
        if same {
            return None;
        }
        let divergence = Divergence {
            what: "calls",
            recorded: words(&before),
            now: words(&after),
        };
        self.parted.insert(
            one.lane,
            format!(
                "the recorded answer holds {}, this one {}: no recorded output answers it",
                divergence.recorded, divergence.now
            ),
        );
        Some(divergence)
    }

    /// What is sent in place of a recorded item; `None` if the item itself.
    pub fn item(
        &self,
        cursor: &mut Cursor,
        index: ItemIndex,
        item: &Item,
        raw: &str,
    ) -> Option<Vec<String>> {
        if item.kind.is_output() {
            let now = self.call(item.call?)?;
            return Some(vec![with_call_id(raw, now)]);
        }
        if item.author != Author::Model || self.answers.is_empty() {
            return None;
        }
        let place = self
            .of_item
            .get(&index)
            .or_else(|| self.of_call.get(&item.call?))
            .or_else(|| {
                let is_message = item.kind == ItemKind::Message;
                is_message
                    .then(|| self.of_text.get(&*Label::of(raw).text))
                    .flatten()
            });
        let Some((number, counterpart)) = place.copied() else {
            // reasoning is sent with the answer it belongs to
            return (item.kind == ItemKind::Reasoning).then(Vec::new);
        };
        let answer = self.answers.get(number)?;
        let sent = cursor.sent.entry(number).or_default();
        let mut take = |at: usize| {
            let fresh = sent.insert(at);
            answer.items.get(at).filter(|_| fresh).cloned().flatten()
        };
        let mut out = Vec::new();
        let last = answer.last == Some(index);
        if let Some(at) = counterpart {
            if answer.complete {
                out.extend((0..at).filter_map(&mut take));
            }
            out.extend(take(at));
        }
        if last && answer.complete {
            out.extend((0..answer.items.len()).filter_map(&mut take));
        }
        Some(out)
    }
}

/// What of an answer stands for what of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Call(ItemKind),
    Message,
    Reasoning,
    Other,
}

impl Class {
    fn of(kind: ItemKind) -> Self {
        match kind {
            ItemKind::Message => Self::Message,
            ItemKind::Reasoning => Self::Reasoning,
            kind if kind.is_call() => Self::Call(kind),
            _ => Self::Other,
        }
    }
}

fn kind_of(raw: &str) -> ItemKind {
    serde_json::from_str::<ItemHead<'_>>(raw).map_or(ItemKind::Other, |head| head.item_kind())
}

/// An item of an answer as it is sent again.
fn resent(raw: &str) -> Option<String> {
    let head: ItemHead<'_> = serde_json::from_str(raw).ok()?;
    let mut items = Items::default();
    let index = items.add(&head, 1, 0);
    portable(items.get(index)?, raw, false).map(std::borrow::Cow::into_owned)
}

fn words(calls: &[ItemKind]) -> String {
    if calls.is_empty() {
        return "no call".to_owned();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in calls {
        *counts.entry(kind.name()).or_insert(0) += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    parts.join(", ")
}
