//! What a strategy sends, as sequences of items: for whoever puts it into bodies and sends it to a real endpoint.

use super::judge::Retry;
use super::run::Origin;
use super::script::Ask;
use crate::endpoint::{Context, Lookup};
use crate::ids::{ItemIndex, LineNo, ResponseKey};
use crate::ledger::{Edits, Insert, Slot};
use crate::session::exchange::{RecordedRefusal, Transport};
use crate::session::tree::{Node, Tree};
use crate::wire::item::{ItemKind, Items};
use crate::wire::refusal::{Named, RefusalKind};

/// The requests of a session under one strategy, in order.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// The sequences of items.
    pub tree: Tree,
    /// The items, those of probes included, which stand in no file.
    pub items: Items,
    /// The requests.
    pub all: Vec<Outgoing>,
    /// What the strategy does on a refusal.
    pub retry: OnRefusal,
}

/// What a strategy does when the endpoint refuses a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// Nothing.
    #[default]
    Nothing,
    /// Adds the output of the right kind in front, and tries again, with a bound.
    Answer,
    /// As PR #1610 wrote it: function calls with `call_` in their id only. It has no bound; ours stops it.
    Answer1610,
}

impl From<Retry> for OnRefusal {
    fn from(retry: Retry) -> Self {
        match retry {
            Retry::No => Self::Nothing,
            Retry::ErrorBody => Self::Answer,
            Retry::ErrorBody1610 => Self::Answer1610,
        }
    }
}

impl OnRefusal {
    /// The kind of the output that is added for a refusal, if one is.
    pub fn output_for(self, named: &Named) -> Option<ItemKind> {
        if named.kind != RefusalKind::MissingOutput || named.id.is_empty() {
            return None;
        }
        match self {
            Self::Nothing => None,
            Self::Answer => named
                .item_type
                .map_or(Some(ItemKind::FunctionCallOutput), ItemKind::answer_kind),
            Self::Answer1610 => {
                let known =
                    named.item_type == Some(ItemKind::FunctionCall) && named.id.contains("call_");
                known.then_some(ItemKind::FunctionCallOutput)
            }
        }
    }
}

/// One request.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of a request, each its own"
)]
pub struct Outgoing {
    /// The lane, an index into the recording's lanes; 0 for a rollout.
    pub lane: u32,
    /// The exchange's number in the recording.
    pub exchange: Option<u32>,
    /// The turn, from 1; 0 where it belongs to none.
    pub turn: u32,
    /// The line it stands on, or in front of which it stands; 0 for a probe.
    pub line: LineNo,
    /// Where it comes from.
    pub origin: Origin,
    /// How it travelled.
    pub transport: Transport,
    /// All that is in effect, before any edit: what the server holds, then the input.
    pub node: Node,
    /// How many items of it the server holds.
    pub held: u32,
    /// What the strategy changes, in places of `node`.
    pub edits: Edits,
    /// The response it goes on from, where the server holds something for it.
    pub previous: Option<ResponseKey>,
    /// Whether it belongs to a conversation that the server keeps.
    pub conversation: bool,
    /// Whether it is the whole history in place of what the client sent.
    pub whole_history: bool,
    /// Whether it goes on from state that the session does not hold.
    pub unknown: bool,
    /// Whether it is a further attempt of the request before it.
    pub again: bool,
    /// Whether the session shows that it was answered.
    pub answered: bool,
    /// Whether that answer reached its end.
    pub complete: bool,
    /// The response that answered it.
    pub response: Option<ResponseKey>,
    /// The items of that answer.
    pub done: Vec<ItemIndex>,
    /// The status on file.
    pub status: Option<u16>,
    /// The refusal on file.
    pub refusal: Option<RecordedRefusal>,
}

impl Outgoing {
    /// A request as the client sent it.
    pub(super) fn as_it_is(ask: &Ask, context: &Context) -> Self {
        let refers = context
            .reference
            .is_some_and(|(_, lookup)| lookup != Lookup::Found);
        Self {
            lane: ask.incoming.lane,
            exchange: ask.exchange,
            turn: ask.turn,
            line: ask.line,
            origin: ask.origin,
            transport: ask.transport,
            node: context.node,
            held: context.held,
            edits: Edits::default(),
            previous: ask.incoming.previous,
            conversation: ask.incoming.conversation.is_some(),
            whole_history: false,
            unknown: context.previous != Lookup::Found || context.partial || refers,
            again: ask.attempt_of.is_some(),
            answered: ask.answered,
            complete: ask.complete,
            response: ask.response,
            done: ask.done.clone(),
            status: ask.status,
            refusal: ask.refusal.clone(),
        }
    }

    /// The whole history is sent in its place.
    pub(super) fn instead(&mut self, history: Node, edits: Edits, unknown: bool) {
        (self.node, self.held, self.edits) = (history, 0, edits);
        (self.previous, self.conversation) = (None, false);
        (self.whole_history, self.unknown) = (true, unknown);
    }

    /// What goes out, in order, with the place behind which the client's own input begins.
    pub fn pieces(&self, tree: &Tree) -> (Vec<Piece>, usize) {
        let items = tree.items(self.node);
        let mut pieces = Vec::with_capacity(items.len() + self.edits.inserts.len());
        let mut inserts = self.edits.inserts.iter().peekable();
        let mut removed = self.edits.removed.iter().peekable();
        let mut held = 0;
        for at in 0..=items.len() {
            // outputs in front of the input are the client's own
            if at == self.held as usize {
                held = pieces.len();
            }
            while let Some(insert) = inserts.next_if(|it| it.before as usize <= at) {
                pieces.push(Piece::Made(*insert));
            }
            if removed.next_if(|it| **it as usize == at).is_none()
                && let Some(item) = items.get(at)
            {
                pieces.push(Piece::Item(*item));
            }
        }
        (pieces, held)
    }
}

/// A part of what goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An item of the session.
    Item(ItemIndex),
    /// An output that the strategy makes up.
    Made(Insert),
}

/// Requests of a history that grows, as nodes of one tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    pub(super) tree: Tree,
    pub(super) all: Vec<Outgoing>,
    path: Vec<(Node, ItemIndex)>,
}

impl Pages {
    /// A request whose input is `slots`.
    pub(super) fn turn(&mut self, slots: &[Slot], mut one: Outgoing) {
        let shared = self
            .path
            .iter()
            .zip(slots)
            .take_while(|((_, item), slot)| *item == slot.item)
            .count();
        self.path.truncate(shared);
        let mut node = self.path.last().map_or(Node::ROOT, |(node, _)| *node);
        for slot in slots.iter().skip(shared) {
            node = self.tree.push(node, slot.item);
            self.path.push((node, slot.item));
        }
        one.node = node;
        self.all.push(one);
    }

    /// The last request was answered with this item.
    pub(super) fn answered_with(&mut self, item: ItemIndex) {
        if let Some(last) = self.all.last_mut() {
            last.done.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::item::Family;

    #[test]
    fn edits_are_made_where_they_belong() {
        let mut tree = Tree::default();
        let node = (0..4).fold(Node::ROOT, |node, at| tree.push(node, ItemIndex(at)));
        let call = Items::default().call_key(Family::Function, "c");
        let insert = |before| Insert {
            before,
            kind: ItemKind::FunctionCallOutput,
            call,
        };
        let one = Outgoing {
            node,
            held: 2,
            edits: Edits {
                inserts: vec![insert(2), insert(4)],
                removed: vec![1],
            },
            ..Outgoing::default()
        };
        let (pieces, held) = one.pieces(&tree);
        assert_eq!(
            pieces,
            [
                Piece::Item(ItemIndex(0)),
                Piece::Made(insert(2)),
                Piece::Item(ItemIndex(2)),
                Piece::Item(ItemIndex(3)),
                Piece::Made(insert(4)),
            ]
        );
        assert_eq!(held, 1);
    }
}
