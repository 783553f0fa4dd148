//! Ledgers that follow the conversations of a server, a few at a time.

use crate::endpoint::Cursor;
use crate::ids::ItemIndex;
use crate::ledger::Ledger;
use crate::session::tree::{Node, Tree};
use crate::wire::item::Item;

/// How many conversations are followed at once; more cost a walk along the whole of one.
const FOLLOWED: usize = 8;

/// How far back it is looked for a place where a ledger stands.
const REACH: usize = 512;

/// The ledgers.
#[derive(Debug, Default)]
pub(super) struct Ledgers {
    followed: Vec<Followed>,
    uses: u64,
    empty: Ledger,
}

#[derive(Debug)]
struct Followed {
    cursor: Cursor,
    at: Node,
    used: u64,
}

impl Default for Followed {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            at: Node::ROOT,
            used: 0,
        }
    }
}

impl Ledgers {
    /// The ledger of a sequence: the one that stands nearest on the way there is moved, else the one not used for longest.
    pub(super) fn at(
        &mut self,
        tree: &Tree,
        items: &dyn Fn(ItemIndex) -> Option<Item>,
        node: Node,
    ) -> &Ledger {
        self.uses += 1;
        let mut at = node;
        let mut nearest = None;
        for _ in 0..REACH {
            nearest = self.followed.iter().position(|it| it.at == at);
            match tree.pop(at) {
                Some((before, _)) if nearest.is_none() => at = before,
                _ => break,
            }
        }
        let free = self.followed.len() < FOLLOWED;
        let oldest = || {
            let by_use = self.followed.iter().enumerate();
            by_use.min_by_key(|(_, it)| it.used).map(|(place, _)| place)
        };
        let place = nearest.or_else(|| if free { None } else { oldest() });
        let mut found = place
            .filter(|place| *place < self.followed.len())
            .map_or_else(Followed::default, |place| self.followed.swap_remove(place));
        (found.at, found.used) = (node, self.uses);
        found.cursor.go(tree, items, node);
        self.followed.push(found);
        // it was pushed just now
        self.followed
            .last()
            .map_or(&self.empty, |it| it.cursor.ledger())
    }
}
