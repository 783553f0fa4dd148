//! What differs between two events of one kind: where, what it was, what it is.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp};

use super::bind::Bound;
use super::json::Node;
use super::lens::{IdAt, Lens, Members, Piece, Seen};
use super::named::process;
use super::rules::Path;

/// More differences of one event than this are counted, not listed.
pub const MAX_DETAILS: usize = 200;

/// Longer lists are compared place by place.
const MAX_LIST: usize = 4_000;

/// What kind of difference it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Both sides have it, and it differs.
    Changed,
    /// Only the right side has it.
    Added,
    /// Only the left side has it.
    Removed,
    /// The ids do not correspond: elsewhere the left one is `left_is` on the right, and the right one is `right_is` on
    /// the left.
    Id {
        /// What the left id is elsewhere on the right.
        left_is: Option<String>,
        /// What the right id is elsewhere on the left.
        right_is: Option<String>,
    },
}

/// One difference within an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Where: members joined by dots, places in lists in brackets; empty for the event as a whole.
    pub path: String,
    /// What kind of difference it is.
    pub kind: Kind,
    /// What stands on the left: a text as it reads, any other value as JSON.
    pub left: Option<String>,
    /// What stands on the right.
    pub right: Option<String>,
}

/// How the two sides are looked at.
pub(super) struct Compare<'a> {
    pub(super) left: Lens<'a>,
    pub(super) right: Lens<'a>,
    pub(super) bound: &'a Bound,
    pub(super) found: Vec<Detail>,
    /// How many were not listed.
    pub(super) more: usize,
}

impl Compare<'_> {
    fn tell(&mut self, path: &Path<'_>, kind: Kind, left: Option<String>, right: Option<String>) {
        if self.found.len() >= MAX_DETAILS {
            self.more += 1;
            return;
        }
        self.found.push(Detail {
            path: path.shown(),
            kind,
            left,
            right,
        });
    }

    /// Tells what only one side has.
    pub(super) fn one_sided(&mut self, path: &Path<'_>, node: &Node<'_>, is_left: bool) {
        let text = self.shown(path, node, is_left);
        if is_left {
            self.tell(path, Kind::Removed, Some(text), None);
        } else {
            self.tell(path, Kind::Added, None, Some(text));
        }
    }

    fn shown(&self, path: &Path<'_>, node: &Node<'_>, is_left: bool) -> String {
        let lens = if is_left { self.left } else { self.right };
        let mut out = String::new();
        match node {
            Node::Text(text) => match lens.text(path, text, false) {
                Seen::Text(text) => out = text.into_owned(),
                _ => out = text.clone().into_owned(),
            },
            node => lens.spell(&mut out, node, path, false, &mut str::to_owned),
        }
        out
    }

    fn print(&self, path: &Path<'_>, node: &Node<'_>, quoted: bool, is_left: bool) -> u64 {
        let mut ids: Vec<IdAt> = Vec::new();
        let lens = if is_left { self.left } else { self.right };
        lens.print(node, path, quoted, &mut ids)
    }

    /// Compares two values at one place.
    pub(super) fn values(
        &mut self,
        left: &Node<'_>,
        right: &Node<'_>,
        path: &Path<'_>,
        quoted: bool,
    ) {
        match (left, right) {
            (Node::Text(a), Node::Text(b)) => {
                let seen = (
                    self.left.text(path, a, quoted),
                    self.right.text(path, b, quoted),
                );
                match seen {
                    (Seen::Id(a), Seen::Id(b)) => self.ids(path, &a, &b),
                    (Seen::Json(a), Seen::Json(b)) => self.values(&a, &b, path, true),
                    (Seen::Text(a), Seen::Text(b)) => self.texts(path, &a, &b),
                    _ => self.changed(path, a.clone().into_owned(), b.clone().into_owned()),
                }
            }
            (Node::Object(a), Node::Object(b)) => {
                let (of_left, of_right) = (Named::new(a), Named::new(b));
                for (key, value) in a {
                    let path = path.key(key);
                    if self.left.skips(&path, value, a, quoted) {
                        continue;
                    }
                    match of_right
                        .find(key)
                        .filter(|it| !self.right.skips(&path, it, b, quoted))
                    {
                        Some(other) => self.values(value, other, &path, quoted),
                        None => self.one_sided(&path, value, true),
                    }
                }
                for (key, value) in b {
                    let path = path.key(key);
                    if self.right.skips(&path, value, b, quoted) {
                        continue;
                    }
                    if of_left
                        .find(key)
                        .is_none_or(|it| self.left.skips(&path, it, a, quoted))
                    {
                        self.one_sided(&path, value, false);
                    }
                }
            }
            (Node::List(a), Node::List(b)) => self.lists(a, b, path, quoted),
            (Node::Number(a), Node::Number(b)) if path.name() == "session_id" => {
                self.ids(path, &process(a), &process(b));
            }
            (a, b) if a == b => {}
            (a, b) => {
                let (a, b) = (self.shown(path, a, true), self.shown(path, b, false));
                self.changed(path, a, b);
            }
        }
    }

    fn lists(&mut self, left: &[Node<'_>], right: &[Node<'_>], path: &Path<'_>, quoted: bool) {
        let prints = |compare: &Self, list: &[Node<'_>], is_left: bool| -> Vec<u64> {
            // the place within the list shall not count
            let place = path.index(0);
            list.iter()
                .map(|it| compare.print(&place, it, quoted, is_left))
                .collect()
        };
        let ops = if left.len().max(right.len()) > MAX_LIST {
            vec![DiffOp::Replace {
                old_index: 0,
                old_len: left.len(),
                new_index: 0,
                new_len: right.len(),
            }]
        } else {
            let (a, b) = (prints(self, left, true), prints(self, right, false));
            similar::capture_diff_slices(Algorithm::Myers, &a, &b)
        };
        for op in ops {
            let (a, b) = (op.old_range(), op.new_range());
            let both = a.len().min(b.len());
            for at in 0..both {
                if let (Some(x), Some(y)) = (left.get(a.start + at), right.get(b.start + at)) {
                    self.values(x, y, &path.index(b.start + at), quoted);
                }
            }
            for at in a.start + both..a.end {
                if let Some(node) = left.get(at)
                    && !self.left.rules.aside(&path.index(at), quoted)
                {
                    self.one_sided(&path.index(at), node, true);
                }
            }
            for at in b.start + both..b.end {
                if let Some(node) = right.get(at)
                    && !self.right.rules.aside(&path.index(at), quoted)
                {
                    self.one_sided(&path.index(at), node, false);
                }
            }
        }
    }

    fn changed(&mut self, path: &Path<'_>, left: String, right: String) {
        if left != right {
            self.tell(path, Kind::Changed, Some(left), Some(right));
        }
    }

    /// Compares what stands as it came.
    pub(super) fn bytes(&mut self, path: &Path<'_>, left: &str, right: &str) {
        self.changed(path, left.to_owned(), right.to_owned());
    }

    fn ids(&mut self, path: &Path<'_>, left: &str, right: &str) {
        let known = (
            self.left.known.find(left.as_bytes()),
            self.right.known.find(right.as_bytes()),
        );
        let (Some(a), Some(b)) = known else {
            return self.changed(path, left.to_owned(), right.to_owned());
        };
        if !self.left.rules.row("ids") {
            return self.changed(path, left.to_owned(), right.to_owned());
        }
        if self.bound.agrees(a, b) {
            return;
        }
        let text = |known: &crate::ids::Interner, id: u32| {
            String::from_utf8_lossy(known.text(id)).into_owned()
        };
        let kind = Kind::Id {
            left_is: self.bound.right(a).map(|it| text(self.right.known, it)),
            right_is: self.bound.left(b).map(|it| text(self.left.known, it)),
        };
        self.tell(path, kind, Some(left.to_owned()), Some(right.to_owned()));
    }

    fn texts(&mut self, path: &Path<'_>, left: &str, right: &str) {
        let (a, b) = (pieces(self.left, left), pieces(self.right, right));
        let alike = a.len() == b.len()
            && a.iter().zip(&b).all(|(a, b)| match (a, b) {
                (Ok(a), Ok(b)) => a == b,
                (Err(_), Err(_)) => true,
                _ => false,
            });
        if !alike {
            return self.changed(path, left.to_owned(), right.to_owned());
        }
        for (a, b) in a.into_iter().zip(b) {
            if let (Err(a), Err(b)) = (a, b) {
                self.ids(path, a, b);
            }
        }
    }
}

fn pieces<'t>(lens: Lens<'_>, text: &'t str) -> Vec<Result<&'t str, &'t str>> {
    let mut found = Vec::new();
    lens.pieces(text, |piece| {
        found.push(match piece {
            Piece::Plain(text) => Ok(text),
            Piece::Id(id) => Err(id),
        });
    });
    found
}

/// The members of an object by name; of several with one name the last one counts.
enum Named<'n, 'a> {
    Few(&'n Members<'a>),
    Many(BTreeMap<&'n str, &'n Node<'a>>),
}

impl<'n, 'a> Named<'n, 'a> {
    /// Fewer are looked through one by one.
    const MANY: usize = 32;

    fn new(members: &'n Members<'a>) -> Self {
        if members.len() < Self::MANY {
            return Self::Few(members);
        }
        Self::Many(
            members
                .iter()
                .map(|(name, node)| (name.as_ref(), node))
                .collect(),
        )
    }

    fn find(&self, key: &str) -> Option<&'n Node<'a>> {
        match self {
            Self::Few(members) => {
                let mut members = members.iter().rev();
                members.find(|(name, _)| name == key).map(|(_, node)| node)
            }
            Self::Many(members) => members.get(key).copied(),
        }
    }
}
