//! The server as a pure value: what it holds for each response id and conversation, in every world.
//!
//! An [`Endpoint`] is told each request and how it was answered, and says of the next request what its effective context
//! is. Worlds differ in what a cut response leaves stored, so it keeps three books side by side. Contexts are nodes of
//! one tree; nothing is copied when a conversation goes on.

pub mod served;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::contract::Stored;
use crate::ids::{ItemIndex, ItemKey, ResponseKey};
use crate::ledger::{Led, Ledger};
use crate::session::tree::{Node, Tree};
use crate::wire::item::{Flags, Item, ItemKind, Items};

/// A request, as far as the server's books go.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// The thread it belongs to.
    pub lane: u32,
    /// `previous_response_id`.
    pub previous: Option<ResponseKey>,
    /// `conversation`.
    pub conversation: Option<u32>,
    /// Whether the response will be stored (`store`, by default true).
    pub store: bool,
    /// The WebSocket it came on; such a connection remembers its latest response even if that is not stored.
    pub connection: Option<u32>,
    /// `input`.
    pub input: Node,
}

/// What a request means to the server of one world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Everything in effect: what the server holds, then the input.
    pub node: Node,
    /// How many items of it the server held.
    pub held: u32,
    /// How it found the previous response.
    pub previous: Lookup,
    /// Whether the conversation began before the session did: items that are not on file may stand in front.
    pub partial: bool,
    /// The first item reference of the input that could not be resolved.
    pub reference: Option<(ItemIndex, Lookup)>,
}

/// How a look-up went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Found, or nothing was asked for.
    Found,
    /// The session shows that it is not stored.
    NotFound,
    /// The session never saw it.
    Unknown,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The response id, if it was named.
    pub response: Option<ResponseKey>,
    /// Whether the response reached its end.
    pub complete: bool,
    /// Items that were finished.
    pub done: &'a [ItemIndex],
    /// Items that were only begun.
    pub half: &'a [ItemIndex],
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    node: Node,
    /// Remembered by this connection only.
    connection: Option<u32>,
    partial: bool,
}

/// An input without references, and the first that could not be resolved.
type Resolved = (Node, Option<(ItemIndex, Lookup)>);

#[derive(Clone, Debug, Default)]
struct Book {
    /// `None`: seen, but not stored.
    responses: BTreeMap<ResponseKey, Option<Kept>>,
    conversations: BTreeMap<u32, (Node, bool)>,
    items: BTreeMap<ItemKey, ItemIndex>,
}

/// The server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The contexts.
    pub tree: Tree,
    books: [Book; 3],
    /// Latest unstored response of a connection and lane.
    latest: BTreeMap<(u32, u32), ResponseKey>,
    /// Every item id that was seen anywhere; a reference to another one says nothing.
    seen: BTreeMap<ItemKey, ItemIndex>,
    has_references: bool,
    /// Inputs that are resolved, with whether `store` was true in the request.
    resolved: [BTreeMap<(Node, bool), Resolved>; 3],
}

impl Endpoint {
    /// A server that has seen nothing yet. `tree` holds the inputs of the requests to come.
    pub fn new(tree: Tree, items: &Items) -> Self {
        Self {
            tree,
            books: Default::default(),
            latest: BTreeMap::new(),
            seen: BTreeMap::new(),
            has_references: items.iter().any(refers),
            resolved: Default::default(),
        }
    }

    /// A server for requests that are not known yet: inputs grow in its tree, any item may be referred to.
    pub fn live() -> Self {
        Self {
            has_references: true,
            ..Self::new(Tree::default(), &Items::default())
        }
    }

    /// What a request means to the server that keeps `stored` of a cut response.
    pub fn context_with(
        &mut self,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        request: &Incoming,
        stored: Stored,
    ) -> Context {
        self.context(items, request, stored)
    }

    /// Opens or replaces a conversation that holds the items of `node`.
    pub fn set_conversation(&mut self, conversation: u32, node: Node) {
        for book in &mut self.books {
            book.conversations.insert(conversation, (node, false));
        }
    }

    /// What a conversation holds, on the server that keeps `stored` of a cut response.
    pub fn conversation(&self, conversation: u32, stored: Stored) -> Option<Node> {
        let book = self.books.get(stored as usize)?;
        book.conversations.get(&conversation).map(|(node, _)| *node)
    }

    /// Forgets a conversation; returns whether there was one.
    pub fn drop_conversation(&mut self, conversation: u32) -> bool {
        let mut any = false;
        for book in &mut self.books {
            any |= book.conversations.remove(&conversation).is_some();
        }
        any
    }

    /// Forgets a response: nothing can go on from it.
    pub fn drop_response(&mut self, key: ResponseKey) {
        self.forget(key);
    }

    /// Forgets what a WebSocket connection remembered: it is closed.
    pub fn disconnected(&mut self, connection: u32) {
        let range = (connection, 0)..=(connection, u32::MAX);
        let gone: Vec<((u32, u32), ResponseKey)> = self
            .latest
            .range(range)
            .map(|(lane, key)| (*lane, *key))
            .collect();
        for (lane, key) in gone {
            self.latest.remove(&lane);
            self.forget(key);
        }
    }

    /// What a request means to each of the three servers, in the order of [`Stored::ALL`].
    pub fn contexts(
        &mut self,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        request: &Incoming,
    ) -> [Context; 3] {
        let nothing = self.context(items, request, Stored::Nothing);
        let sent = self.context(items, request, Stored::Sent);
        let all = self.context(items, request, Stored::All);
        [nothing, sent, all]
    }

    fn context(
        &mut self,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        request: &Incoming,
        stored: Stored,
    ) -> Context {
        let book = stored as usize;
        let mut previous = Lookup::Found;
        let mut base = Node::ROOT;
        let mut partial = false;
        if let Some(key) = request.previous {
            let kept = self
                .books
                .get(book)
                .and_then(|book| book.responses.get(&key));
            match kept {
                Some(Some(kept))
                    if kept.connection.is_none() || kept.connection == request.connection =>
                {
                    base = kept.node;
                    partial = kept.partial;
                }
                Some(_) => previous = Lookup::NotFound,
                None => (previous, partial) = (Lookup::Unknown, true),
            }
        } else if let Some(conversation) = request.conversation {
            let known = self
                .books
                .get(book)
                .and_then(|book| book.conversations.get(&conversation));
            // a conversation that this session did not see begin may hold anything
            if let Some(known) = known {
                (base, partial) = *known;
            } else {
                (previous, partial) = (Lookup::Unknown, true);
            }
        }
        let (input, reference) = self.resolve(items, request, book);
        let held = self.tree.len(base);
        let node = if base == Node::ROOT {
            input
        } else {
            self.append(base, input)
        };
        Context {
            node,
            held,
            previous,
            partial,
            reference,
        }
    }

    /// The input with item references replaced by the items they name. With `store: false` reasoning that is not carried
    /// whole is looked up too, and found only if it was stored (responses-api.md 2.3).
    fn resolve(
        &mut self,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        request: &Incoming,
        book: usize,
    ) -> (Node, Option<(ItemIndex, Lookup)>) {
        let (input, store) = (request.input, request.store);
        if !self.has_references {
            return (input, None);
        }
        let mut way = Vec::new();
        let mut at = input;
        let (mut node, mut missing) = loop {
            if let Some(known) = self
                .resolved
                .get(book)
                .and_then(|known| known.get(&(at, store)))
            {
                break *known;
            }
            match self.tree.pop(at) {
                Some((before, item)) => {
                    way.push((at, item));
                    at = before;
                }
                None => break (Node::ROOT, None),
            }
        };
        for (original, index) in way.into_iter().rev() {
            let mut real = index;
            if let Some(item) = items(index)
                && refers(&item)
                && let Some(id) = item.id
            {
                let is_reference = item.kind == ItemKind::ItemReference;
                match self.books.get(book).and_then(|book| book.items.get(&id)) {
                    Some(found) if is_reference => real = *found,
                    Some(_) => {}
                    None if missing.is_some() || (!is_reference && store) => {}
                    None if !is_reference || self.seen.contains_key(&id) => {
                        missing = Some((index, Lookup::NotFound));
                    }
                    None => missing = Some((index, Lookup::Unknown)),
                }
            }
            node = self.tree.push(node, real);
            // what is missing now may be stored later: only keep what is whole
            if missing.is_none()
                && let Some(known) = self.resolved.get_mut(book)
            {
                known.insert((original, store), (node, None));
            }
        }
        (node, missing)
    }

    /// The sequence `base` followed by the items of `tail`.
    pub fn append(&mut self, base: Node, tail: Node) -> Node {
        let items = self.tree.items(tail);
        self.extend(base, &items)
    }

    /// The sequence `base` followed by `items`.
    pub fn extend(&mut self, base: Node, items: &[ItemIndex]) -> Node {
        items
            .iter()
            .fold(base, |node, item| self.tree.step(node, *item))
    }

    /// Books an answer to a request that was accepted with these contexts.
    pub fn answered(
        &mut self,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        request: &Incoming,
        contexts: &[Context; 3],
        answer: &Answered<'_>,
    ) {
        let mut last: Option<(Node, bool, Node)> = None;
        for (book, context) in contexts.iter().enumerate() {
            let stored = Stored::ALL.get(book).copied().unwrap_or(Stored::Nothing);
            let keeps = answer.complete || stored != Stored::Nothing;
            let with_half = !answer.complete && stored == Stored::All;
            let node = match last {
                Some((node, half, result)) if node == context.node && half == with_half => result,
                _ => {
                    let done = self.extend(context.node, answer.done);
                    if with_half {
                        self.extend(done, answer.half)
                    } else {
                        done
                    }
                }
            };
            last = Some((context.node, with_half, node));
            let connection = if request.store {
                None
            } else {
                request.connection
            };
            let remembered = keeps && (request.store || connection.is_some());
            if let Some(key) = answer.response
                && let Some(book) = self.books.get_mut(book)
            {
                book.responses.insert(
                    key,
                    remembered.then_some(Kept {
                        node,
                        connection,
                        partial: context.partial,
                    }),
                );
            }
            if let Some(conversation) = request.conversation
                && let Some(book) = self.books.get_mut(book)
                && keeps
            {
                book.conversations
                    .insert(conversation, (node, context.partial));
            }
            if request.store && keeps && self.has_references {
                let half = if with_half { answer.half } else { &[] };
                let input = self.tree.items(request.input);
                self.book_items(items, book, input.iter().chain(answer.done).chain(half));
            }
        }
        if !request.store
            && let (Some(connection), Some(key)) = (request.connection, answer.response)
        {
            let before = self.latest.insert((connection, request.lane), key);
            if let Some(before) = before.filter(|before| *before != key) {
                self.forget(before);
            }
        }
    }

    /// Books that a continuation failed: on a connection without storing, the id it continued is gone
    /// (responses-api.md 4).
    pub fn refused(&mut self, request: &Incoming) {
        if !request.store
            && request.connection.is_some()
            && let Some(previous) = request.previous
        {
            // what is stored can be loaded again, and what another connection remembers is its own
            for book in &mut self.books {
                if let Some(kept) = book.responses.get_mut(&previous)
                    && kept.is_some_and(|kept| kept.connection == request.connection)
                {
                    *kept = None;
                }
            }
        }
    }

    fn forget(&mut self, key: ResponseKey) {
        for book in &mut self.books {
            if let Some(kept) = book.responses.get_mut(&key) {
                *kept = None;
            }
        }
    }

    fn book_items<'a>(
        &mut self,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        book: usize,
        found: impl Iterator<Item = &'a ItemIndex>,
    ) {
        for index in found {
            let Some(item) = items(*index) else { continue };
            let (Some(id), false) = (item.id, item.kind == ItemKind::ItemReference) else {
                continue;
            };
            self.seen.insert(id, *index);
            if let Some(book) = self.books.get_mut(book) {
                book.items.insert(id, *index);
            }
        }
    }

    /// Notes items whose ids the session has seen, stored or not.
    pub fn saw(&mut self, items: &dyn Fn(ItemIndex) -> Option<Item>, found: &[ItemIndex]) {
        if !self.has_references {
            return;
        }
        for index in found {
            if let Some(id) = items(*index).and_then(|item| item.id) {
                self.seen.insert(id, *index);
            }
        }
    }
}

/// Whether an item may stand for one that the server stored.
fn refers(item: &Item) -> bool {
    item.kind == ItemKind::ItemReference || item.flags.has(Flags::NAMES_STORED)
}

/// What the item references of a session stand for, as its client knows it, whatever the server stored.
#[derive(Clone, Debug, Default)]
pub struct References(BTreeMap<ItemIndex, ItemIndex>);

impl References {
    /// Finds them.
    pub fn new(items: &Items) -> Self {
        let is_reference = |item: &Item| item.kind == ItemKind::ItemReference;
        if !items.iter().any(is_reference) {
            return Self::default();
        }
        let numbered = || (0..).map(ItemIndex).zip(items.iter());
        let mut named: BTreeMap<ItemKey, ItemIndex> = BTreeMap::new();
        for (index, item) in numbered().filter(|(_, item)| !is_reference(item)) {
            if let Some(id) = item.id {
                named.entry(id).or_insert(index);
            }
        }
        let found = numbered()
            .filter(|(_, item)| is_reference(item))
            .filter_map(|(index, item)| Some((index, *named.get(&item.id?)?)));
        Self(found.collect())
    }

    /// An item; for a reference, the one it stands for, if that is known.
    pub fn get(&self, items: &Items, index: ItemIndex) -> Option<Item> {
        let index = self.0.get(&index).copied().unwrap_or(index);
        items.get(index).copied()
    }
}

/// A ledger that follows one context through the tree, taking back only what differs.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    nodes: Vec<Node>,
    ledger: Ledger,
}

impl Cursor {
    /// At the empty context, with a ledger that knows which reasoning led to which item.
    pub fn knowing(led: Arc<Led>) -> Self {
        Self {
            nodes: Vec::new(),
            ledger: Ledger::knowing(led),
        }
    }

    /// Moves to a context and returns its ledger.
    pub fn go(
        &mut self,
        tree: &Tree,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        node: Node,
    ) -> &Ledger {
        let mut way = Vec::new();
        let mut at = node;
        loop {
            let depth = tree.len(at) as usize;
            let here = depth.checked_sub(1).and_then(|last| self.nodes.get(last));
            if depth == 0 || here == Some(&at) {
                self.nodes.truncate(depth);
                self.ledger.truncate(depth as u32);
                break;
            }
            match tree.pop(at) {
                Some((before, item)) => {
                    way.push((at, item));
                    at = before;
                }
                None => break,
            }
        }
        for (node, index) in way.into_iter().rev() {
            if let Some(item) = items(index) {
                self.ledger.push(index, &item);
                self.nodes.push(node);
            }
        }
        &self.ledger
    }

    /// The ledger of the context it is at.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

#[cfg(test)]
mod tests;
