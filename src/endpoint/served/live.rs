//! The state behind a served endpoint: every item seen, what is stored, and the judgement of one request.
//!
//! Equal items are kept once and equal inputs share the nodes of one tree, so a client that sends its whole history each
//! time costs no more than reading it. Each sequence has keys by which an equal conversation is found again.

mod keys;
mod ledgers;

use std::collections::BTreeMap;

use super::Rules;
use super::form::{self, ItemFault};
use crate::contract::{self, Decision, Facts, Fault, Place, Policy, Reads};
use crate::endpoint::{Answered, Context, Endpoint, Incoming, Lookup};
use crate::ids::{Interner, ItemIndex, ItemKey, ResponseKey};
use crate::ledger::Edits;
use crate::session::tree::Node;
use crate::wire::failure::Failure;
use crate::wire::item::{Flags, Item, ItemHead, ItemKind, Items};
use crate::wire::raw::Object;
use crate::wire::refusal::{Refusal, RefusalKind};
use crate::wire::request::{Input, RequestHead};
use keys::Keys;
use ledgers::Ledgers;

pub use keys::Key;

/// The state.
#[derive(Debug)]
pub struct Live {
    rules: Rules,
    items: Items,
    texts: Interner,
    /// What is wrong with an item wherever it stands.
    faults: BTreeMap<ItemIndex, ItemFault>,
    children: BTreeMap<(Node, ItemIndex), Node>,
    endpoint: Endpoint,
    ledgers: Ledgers,
    keys: Keys,
    responses: Interner,
    conversations: Interner,
    /// The reasoning that led to an item that was stored.
    led_by: BTreeMap<ItemKey, ItemIndex>,
}

/// A request that was taken in.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    incoming: Incoming,
    context: Context,
}

impl Ticket {
    /// Everything in effect: what the server held, then the input.
    pub fn node(&self) -> Node {
        self.context.node
    }

    /// The input alone.
    pub fn input(&self) -> Node {
        self.incoming.input
    }

    /// How many items the server held.
    pub fn held(&self) -> u32 {
        self.context.held
    }

    /// Whether the server keeps anything of the answer: it stores it, or a connection or a conversation goes on from it.
    pub fn is_remembered(&self) -> bool {
        let incoming = &self.incoming;
        incoming.store || incoming.connection.is_some() || incoming.conversation.is_some()
    }
}

impl Live {
    /// A server that has seen nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            items: Items::default(),
            texts: Interner::default(),
            faults: BTreeMap::new(),
            children: BTreeMap::new(),
            endpoint: Endpoint::live(),
            ledgers: Ledgers::default(),
            keys: Keys::default(),
            responses: Interner::default(),
            conversations: Interner::default(),
            led_by: BTreeMap::new(),
        }
    }

    /// Takes in an item; an item that was seen before is the same item.
    pub fn item(&mut self, raw: &str) -> ItemIndex {
        let known = self.texts.len();
        let index = ItemIndex(self.texts.intern(raw.as_bytes()));
        if (index.0 as usize) < known {
            return index;
        }
        let head: ItemHead<'_> = serde_json::from_str(raw).unwrap_or_default();
        let item = self.items.describe(&head, 0, 0);
        self.items.push(item);
        self.keys.item(raw, &head, &item);
        if let Some(fault) = form::item(raw, &head) {
            self.faults.insert(index, fault);
        }
        index
    }

    /// The text of an item as it came.
    pub fn text(&self, index: ItemIndex) -> &str {
        std::str::from_utf8(self.texts.text(index.0)).unwrap_or("null")
    }

    /// What is known of an item.
    pub fn get(&self, index: ItemIndex) -> Option<&Item> {
        self.items.get(index)
    }

    /// The items of a sequence.
    pub fn items_of(&self, node: Node) -> Vec<ItemIndex> {
        self.endpoint.tree.items(node)
    }

    /// The last item of a sequence.
    pub fn last(&self, node: Node) -> Option<&Item> {
        let (_, index) = self.endpoint.tree.pop(node)?;
        self.items.get(index)
    }

    /// The keys of a sequence.
    pub fn key(&mut self, node: Node) -> Key {
        self.keys.of(&self.endpoint.tree, &self.items, node)
    }

    /// Whether an item counts for the lenient key.
    pub fn counts(&self, index: ItemIndex) -> bool {
        self.keys.counts(index)
    }

    /// The sequence without its last item.
    pub fn before(&self, node: Node) -> Option<Node> {
        self.endpoint.tree.pop(node).map(|(before, _)| before)
    }

    /// The sequence of the input's items behind `base`.
    pub fn sequence<'a>(&mut self, base: Node, raws: impl Iterator<Item = &'a str>) -> Node {
        let mut node = base;
        for raw in raws {
            let item = self.item(raw);
            node = self.child(node, item);
        }
        node
    }

    fn child(&mut self, node: Node, item: ItemIndex) -> Node {
        let tree = &mut self.endpoint.tree;
        *self
            .children
            .entry((node, item))
            .or_insert_with(|| tree.push(node, item))
    }

    /// Takes in a request. `connection` is the WebSocket it came on, `lane` its lane there.
    pub fn arrive(&mut self, head: &RequestHead<'_>, connection: Option<u32>, lane: u32) -> Ticket {
        let input = match &head.input {
            Input::Items(raws) => self.sequence(Node::ROOT, raws.iter().map(|raw| raw.get())),
            Input::Text(text) if text.is_empty() => Node::ROOT,
            input => {
                let texts = input.items();
                self.sequence(Node::ROOT, texts.iter().map(AsRef::as_ref))
            }
        };
        let incoming = Incoming {
            lane,
            previous: head
                .previous
                .as_deref()
                .map(|id| ResponseKey(self.responses.intern(id.as_bytes()))),
            conversation: head
                .conversation
                .as_deref()
                .map(|id| self.conversations.intern(id.as_bytes())),
            store: head.store != Some(false),
            connection,
            input,
        };
        let items = &self.items;
        let context = self.endpoint.context_with(
            &|index| items.get(index).copied(),
            &incoming,
            self.rules.world.stored(),
        );
        Ticket { incoming, context }
    }

    /// What the server says against a request, if anything: in the order of checks of responses-api.md 5.
    pub fn judge(&mut self, ticket: &Ticket) -> Option<Failure> {
        let found = self
            .ill_formed(ticket)
            .or_else(|| self.missing_conversation(ticket))
            .or_else(|| self.by_contract(ticket))
            .or_else(|| self.without_reasoning(ticket))
            .or_else(|| self.unfinished_search(ticket));
        if found.is_some() {
            self.endpoint.refused(&ticket.incoming);
        }
        found
    }

    fn ill_formed(&self, ticket: &Ticket) -> Option<Failure> {
        if self.faults.is_empty() {
            return None;
        }
        let input = self.endpoint.tree.items(ticket.incoming.input);
        let backend = self.rules.profile == super::Profile::CodexBackend;
        input.iter().enumerate().find_map(|(position, index)| {
            let fault = self.faults.get(index)?;
            (backend || !fault.is_of_backend()).then(|| fault.at(position))
        })
    }

    fn missing_conversation(&self, ticket: &Ticket) -> Option<Failure> {
        let number = ticket.incoming.conversation?;
        let known = self
            .endpoint
            .conversation(number, self.rules.world.stored());
        let id = String::from_utf8_lossy(self.conversations.text(number));
        known.is_none().then(|| no_conversation(&id))
    }

    fn by_contract(&mut self, ticket: &Ticket) -> Option<Failure> {
        let items = &self.items;
        let get = |index: ItemIndex| items.get(index).copied();
        let node = ticket.context.node;
        let ledger = self.ledgers.at(&self.endpoint.tree, &get, node);
        let reads = Reads {
            input_from: ticket.context.held,
            exact_ids: true,
        };
        let mut facts = Facts::read(ledger, &Edits::default(), reads);
        let fault = |kind, item, place| Fault {
            kind,
            item,
            call: None,
            position: 0,
            place: Some(place),
            stored: ticket.incoming.store,
        };
        if ticket.context.previous != Lookup::Found
            && let Some(key) = ticket.incoming.previous
        {
            facts.previous_not_found = Some(fault(
                RefusalKind::PreviousResponseNotFound,
                ItemKind::Other,
                Place::Response(key),
            ));
        }
        // a server that was there from the beginning knows what it does not hold
        if let Some((index, _)) = ticket.context.reference {
            facts.item_not_found = Some(fault(
                RefusalKind::ItemNotFound,
                ItemKind::ItemReference,
                Place::Item(index),
            ));
        }
        let contract_says = contract::decide(&facts, self.rules.world);
        let adjacency = || {
            let slots = ledger.slots();
            self.rules.adjacent.then(|| adjacency(slots, items))?
        };
        match contract_says {
            Decision::Refused(fault) => {
                let id_text = |place: &Place| match place {
                    Place::Item(index) | Place::Led { item: index, .. } => {
                        id_of(self.texts.text(index.0))
                    }
                    Place::Response(key) => {
                        Some(String::from_utf8_lossy(self.responses.text(key.0)).into_owned())
                    }
                };
                let pair_fault = matches!(fault.kind, RefusalKind::MissingOutput);
                if self.rules.adjacent && pair_fault {
                    let call = fault.call.map_or("", |key| items.call_id(key));
                    return Some(deepseek(call));
                }
                Some(contract::refusal(&fault, items, &id_text).into())
            }
            _ => adjacency(),
        }
    }

    /// An item of a stored response, sent without the reasoning that led to it (E16).
    fn without_reasoning(&self, ticket: &Ticket) -> Option<Failure> {
        let lenient = self.rules.world.value_name(Policy::ReasoningPairs) == "accept";
        if self.led_by.is_empty() || lenient {
            return None;
        }
        let mut reasoning: Vec<ItemKey> = Vec::new();
        for index in self.endpoint.tree.items(ticket.incoming.input) {
            let Some(item) = self.items.get(index) else {
                continue;
            };
            let Some(id) = item.id else { continue };
            if item.kind == ItemKind::Reasoning {
                reasoning.push(id);
            } else if item.kind != ItemKind::ItemReference
                && let Some(led) = self.led_by.get(&id)
                && let Some(before) = self.items.get(*led).and_then(|it| it.id)
                && !reasoning.contains(&before)
            {
                let id = id_of(self.texts.text(index.0)).unwrap_or_default();
                let before = id_of(self.texts.text(led.0)).unwrap_or_default();
                return Some(Refusal::item_without_reasoning(item.kind, &id, &before).into());
            }
        }
        None
    }

    /// A hosted web search in the input that never finished (E8): the client cannot answer it.
    fn unfinished_search(&self, ticket: &Ticket) -> Option<Failure> {
        if !self.rules.refuse_unfinished_search {
            return None;
        }
        let input = self.endpoint.tree.items(ticket.incoming.input);
        let open = input.into_iter().find(|index| {
            self.items.get(*index).is_some_and(|item| {
                item.kind == ItemKind::WebSearchCall && item.flags.has(Flags::UNFINISHED)
            })
        })?;
        let id = id_of(self.texts.text(open.0)).unwrap_or_default();
        Some(
            Failure::invalid(format!("No tool output found for web search call {id}"))
                .param("input")
                .rule(RefusalKind::MissingOutput.name()),
        )
    }

    /// Books how a request that was accepted was answered: with which response, up to which items. Returns the sequence
    /// with the finished items behind it.
    pub fn answered(
        &mut self,
        ticket: &Ticket,
        response: &str,
        complete: bool,
        done: &[String],
        half: &[String],
    ) -> Node {
        let indexes = |live: &mut Self, raws: &[String]| -> Vec<ItemIndex> {
            raws.iter().map(|raw| live.item(raw)).collect()
        };
        let (done, half) = (indexes(self, done), indexes(self, half));
        let key = ResponseKey(self.responses.intern(response.as_bytes()));
        if ticket.incoming.store {
            for pair in done.windows(2) {
                if let [first, second] = pair
                    && let (Some(reasoning), Some(item)) =
                        (self.items.get(*first), self.items.get(*second))
                    && reasoning.kind == ItemKind::Reasoning
                    && reasoning.id.is_some()
                    && let Some(id) = item.id
                {
                    self.led_by.insert(id, *first);
                }
            }
        }
        let items = &self.items;
        self.endpoint.answered(
            &|index| items.get(index).copied(),
            &ticket.incoming,
            &[ticket.context; 3],
            &Answered {
                response: Some(key),
                complete,
                done: &done,
                half: &half,
            },
        );
        let mut node = ticket.context.node;
        for item in done {
            node = self.child(node, item);
        }
        node
    }

    /// Whether a response id was given out.
    pub fn knows_response(&self, id: &str) -> bool {
        self.responses.find(id.as_bytes()).is_some()
    }

    /// Forgets a response.
    pub fn drop_response(&mut self, id: &str) {
        if let Some(number) = self.responses.find(id.as_bytes()) {
            self.endpoint.drop_response(ResponseKey(number));
        }
    }

    /// Opens a conversation, or adds items to it; returns what it holds then.
    pub fn extend_conversation<'a>(
        &mut self,
        id: &str,
        raws: impl Iterator<Item = &'a str>,
    ) -> Node {
        let number = self.conversations.intern(id.as_bytes());
        let stored = self.rules.world.stored();
        let base = self.endpoint.conversation(number, stored);
        let node = self.sequence(base.unwrap_or(Node::ROOT), raws);
        self.endpoint.set_conversation(number, node);
        node
    }

    /// What a conversation holds.
    pub fn conversation(&self, id: &str) -> Option<Node> {
        let number = self.conversations.find(id.as_bytes())?;
        let stored = self.rules.world.stored();
        self.endpoint.conversation(number, stored)
    }

    /// Puts a conversation at another sequence, such as the same with an item less.
    pub fn set_conversation(&mut self, id: &str, node: Node) {
        let number = self.conversations.intern(id.as_bytes());
        self.endpoint.set_conversation(number, node);
    }

    /// Forgets a conversation; returns whether there was one.
    pub fn drop_conversation(&mut self, id: &str) -> bool {
        let number = self.conversations.find(id.as_bytes());
        number.is_some_and(|number| self.endpoint.drop_conversation(number))
    }

    /// Forgets what a WebSocket remembered.
    pub fn disconnected(&mut self, connection: u32) {
        self.endpoint.disconnected(connection);
    }
}

/// A conversation that is not known; the words are inferred.
pub fn no_conversation(id: &str) -> Failure {
    Failure::invalid(format!("Conversation with id '{id}' not found."))
        .with_status(404)
        .rule("conversation_not_found")
}

/// The `id` of an item's JSON.
pub fn id_of(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    Some(Object::read(text)?.text("id")?.into_owned())
}

/// The first call whose outputs do not stand directly behind it and the calls beside it (E10).
fn adjacency(slots: &[crate::ledger::Slot], items: &Items) -> Option<Failure> {
    let mut owed: Vec<crate::ids::CallKey> = Vec::new();
    let mut answering = false;
    for slot in slots {
        if slot.kind.is_call() && !answering {
            owed.extend(slot.call());
            continue;
        }
        if slot.kind.is_output() {
            answering = true;
            owed.retain(|key| Some(*key) != slot.call());
            if owed.is_empty() {
                answering = false;
            }
            continue;
        }
        if let Some(first) = owed.first() {
            return Some(deepseek(items.call_id(*first)));
        }
        if slot.kind.is_call() {
            owed.extend(slot.call());
        }
    }
    None
}

/// The words of `DeepSeek` for a call without output (E10): no full stop, an empty `param`, a `code`.
fn deepseek(call_id: &str) -> Failure {
    Failure::invalid(format!("No tool output found for tool call {call_id}"))
        .param("")
        .code("invalid_request_error")
        .rule(RefusalKind::MissingOutput.name())
}

#[cfg(test)]
mod tests;
