//! Which id on the left is which on the right.

use std::collections::BTreeMap;

use super::lens::IdAt;

/// A correspondence of ids, one to one.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound {
    right_of: Vec<u32>,
    left_of: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Bound {
    /// The id on the right that an id on the left is.
    pub(super) fn right(&self, left: u32) -> Option<u32> {
        self.right_of
            .get(left as usize)
            .copied()
            .filter(|it| *it != NONE)
    }

    /// The id on the left that an id on the right is.
    pub(super) fn left(&self, right: u32) -> Option<u32> {
        self.left_of
            .get(right as usize)
            .copied()
            .filter(|it| *it != NONE)
    }

    /// Whether two ids are each other's.
    pub(super) fn agrees(&self, left: u32, right: u32) -> bool {
        self.right(left) == Some(right)
    }
}

/// Collects where ids stand opposite each other.
#[derive(Default)]
pub(super) struct Votes {
    votes: BTreeMap<(u32, u32), (u32, u32)>,
    seen: u32,
}

impl Votes {
    /// Takes the ids of two events of the same meaning, each sorted by place.
    pub(super) fn take(&mut self, left: &[IdAt], right: &[IdAt]) {
        let (mut a, mut b) = (left.iter().peekable(), right.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            match x.place.cmp(&y.place) {
                std::cmp::Ordering::Less => {
                    a.next();
                }
                std::cmp::Ordering::Greater => {
                    b.next();
                }
                std::cmp::Ordering::Equal => {
                    self.seen = self.seen.saturating_add(1);
                    let vote = self.votes.entry((x.id, y.id)).or_insert((0, self.seen));
                    vote.0 += 1;
                    a.next();
                    b.next();
                }
            }
        }
    }

    /// The correspondence that most places agree on; of equals, the one that was first. `same` says that two ids are
    /// spelled alike.
    pub(super) fn count(self, left: usize, right: usize, same: impl Fn(u32, u32) -> bool) -> Bound {
        let mut bound = Bound {
            right_of: vec![NONE; left],
            left_of: vec![NONE; right],
        };
        let mut votes: Vec<_> = self.votes.into_iter().collect();
        votes.sort_by_key(|((a, b), (count, first))| {
            (std::cmp::Reverse(*count), !same(*a, *b), *first)
        });
        for ((a, b), _) in votes {
            let (Some(to), Some(from)) = (
                bound.right_of.get_mut(a as usize),
                bound.left_of.get_mut(b as usize),
            ) else {
                continue;
            };
            if *to == NONE && *from == NONE {
                (*to, *from) = (b, a);
            }
        }
        bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: u64, id: u32) -> IdAt {
        IdAt { place, id }
    }

    #[test]
    fn most_places_decide_and_one_id_is_one_other() {
        let mut votes = Votes::default();
        votes.take(&[at(1, 0), at(2, 1)], &[at(1, 5), at(2, 6)]);
        votes.take(&[at(1, 0)], &[at(1, 5)]);
        votes.take(&[at(1, 0)], &[at(1, 6)]);
        let bound = votes.count(2, 7, |_, _| false);
        assert!(bound.agrees(0, 5) && bound.agrees(1, 6));
        assert_eq!((bound.left(6), bound.right(3)), (Some(1), None));
    }
}
