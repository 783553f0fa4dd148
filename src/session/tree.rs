//! Sequences of items that share their beginnings.
//!
//! Each request of a conversation repeats the history, so keeping them whole grows with the square of the session. Here
//! a sequence is one node of a tree: its last item and the node before it. Two requests that begin alike share nodes.

use crate::ids::ItemIndex;

/// A sequence of items: the path from the root to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);

impl Node {
    /// The empty sequence.
    pub const ROOT: Self = Self(0);

    /// Its number; nodes are numbered in the order in which they were made, the empty sequence is 0.
    pub fn number(self) -> u32 {
        self.0
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    before: Node,
    item: ItemIndex,
    depth: u32,
    /// The first item of the sequence.
    first: ItemIndex,
    /// The sequence made last that goes on from here; the empty one if there is none.
    next: Node,
}

/// The tree.
#[derive(Clone, Debug)]
pub struct Tree {
    entries: Vec<Entry>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Entry {
            before: Node::ROOT,
            item: ItemIndex(u32::MAX),
            depth: 0,
            first: ItemIndex(u32::MAX),
            next: Node::ROOT,
        };
        Self {
            entries: vec![root],
        }
    }
}

impl Tree {
    /// Returns the sequence `before` followed by `item`.
    pub fn push(&mut self, before: Node, item: ItemIndex) -> Node {
        let node = Node(self.entries.len() as u32);
        let first = self.first(before).unwrap_or(item);
        if let Some(entry) = self.entries.get_mut(before.0 as usize) {
            entry.next = node;
        }
        self.entries.push(Entry {
            before,
            item,
            depth: self.len(before) + 1,
            first,
            next: Node::ROOT,
        });
        node
    }

    /// The same; where this very sequence was the last one made from `before`, it is that one.
    pub fn step(&mut self, before: Node, item: ItemIndex) -> Node {
        let next = self.entries.get(before.0 as usize).map(|it| it.next);
        match next.filter(|next| *next != Node::ROOT) {
            Some(next) if self.pop(next) == Some((before, item)) => next,
            _ => self.push(before, item),
        }
    }

    /// The first item of a sequence.
    pub fn first(&self, node: Node) -> Option<ItemIndex> {
        self.entries
            .get(node.0 as usize)
            .filter(|entry| entry.depth > 0)
            .map(|entry| entry.first)
    }

    /// The items of `node` behind the beginning that it shares with `other`, first to last.
    pub fn items_apart(&self, node: Node, other: Node) -> Vec<ItemIndex> {
        let mut found = Vec::new();
        let (mut at, mut there) = (node, other);
        while at != there {
            let (here, over) = (self.len(at), self.len(there));
            if here >= over {
                let Some((before, item)) = self.pop(at) else {
                    break;
                };
                found.push(item);
                at = before;
            }
            if over >= here {
                match self.pop(there) {
                    Some((before, _)) => there = before,
                    None => break,
                }
            }
        }
        found.reverse();
        found
    }

    /// How many items a sequence has.
    pub fn len(&self, node: Node) -> u32 {
        self.entries
            .get(node.0 as usize)
            .map_or(0, |entry| entry.depth)
    }

    /// Whether a sequence has no item.
    pub fn is_empty(&self, node: Node) -> bool {
        self.len(node) == 0
    }

    /// The sequence without its last item, and that item; `None` for the empty sequence.
    pub fn pop(&self, node: Node) -> Option<(Node, ItemIndex)> {
        self.entries
            .get(node.0 as usize)
            .filter(|entry| entry.depth > 0)
            .map(|entry| (entry.before, entry.item))
    }

    /// The items of a sequence, first to last.
    pub fn items(&self, node: Node) -> Vec<ItemIndex> {
        self.nodes_since(Node::ROOT, node)
            .into_iter()
            .map(|(_, item)| item)
            .collect()
    }

    /// The nodes and items behind `base` on the way to `node`, first to last. `base` must lie on that way, else all of
    /// the way is returned.
    pub fn nodes_since(&self, base: Node, node: Node) -> Vec<(Node, ItemIndex)> {
        let mut found = Vec::new();
        let mut at = node;
        while at != base
            && let Some((before, item)) = self.pop(at)
        {
            found.push((at, item));
            at = before;
        }
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_share_their_beginnings() {
        let mut tree = Tree::default();
        let a = tree.push(Node::ROOT, ItemIndex(1));
        let ab = tree.push(a, ItemIndex(2));
        let ac = tree.push(a, ItemIndex(3));
        assert_eq!(tree.items(ab), vec![ItemIndex(1), ItemIndex(2)]);
        assert_eq!(tree.items(ac), vec![ItemIndex(1), ItemIndex(3)]);
        assert_eq!(tree.nodes_since(a, ac), vec![(ac, ItemIndex(3))]);
        assert_eq!(tree.items_apart(ab, ac), vec![ItemIndex(2)]);
        assert_eq!(tree.items_apart(ab, Node::ROOT).len(), 2);
        assert_eq!(tree.items_apart(a, ab), vec![]);
        assert_eq!(tree.first(ac), Some(ItemIndex(1)));
        assert_eq!(
            (tree.step(a, ItemIndex(3)), tree.step(ab, ItemIndex(9))),
            (ac, Node(4))
        );
        assert_eq!(tree.len(ac), 2);
        assert_eq!(tree.pop(Node::ROOT), None);
        assert!(tree.is_empty(Node::ROOT));
    }
}
