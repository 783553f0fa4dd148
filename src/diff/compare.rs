//! Two sequences held against each other.

use std::collections::BTreeMap;
use std::ops::Range;

use super::align::{Run, align};
use super::bind::{Bound, Votes};
use super::json::{Node, parse};
use super::lens::{IdAt, Lens};
use super::order::{Block, blocks};
use super::rules::{Path, Rules, mix};
use super::sequence::{Event, Sequence, What};
use super::structure::{Compare, Detail};
use super::{Change, Difference, Op, Options};
use crate::ids::fingerprint;

/// A sequence with the numbers by which its events are compared.
pub(super) struct Prepared<'s> {
    sequence: &'s Sequence,
    /// For each part its print and its ids, sorted by place; `None` for what is set aside as a whole.
    parts: Vec<Option<(u64, Range<u32>)>>,
    ids: Vec<IdAt>,
    labels: Vec<u64>,
}

impl<'s> Prepared<'s> {
    pub(super) fn new(sequence: &'s Sequence, rules: &Rules) -> Self {
        let lens = Lens {
            rules,
            known: &sequence.known,
        };
        let mut prepared = Self {
            sequence,
            parts: Vec::with_capacity(sequence.parts.len()),
            ids: Vec::new(),
            labels: (0..sequence.names.len())
                .map(|at| fingerprint(sequence.names.text(at as u32)))
                .collect(),
        };
        let mut ids = Vec::new();
        for part in &sequence.parts {
            ids.clear();
            let print = on_part(sequence, part, |path, node| {
                let whole = path.parent.is_none();
                let Some(node) = node else {
                    return Some(fingerprint(part.raw.as_bytes()));
                };
                if !whole && (rules.aside(path, false) || rules.nothing(node, false)) {
                    return None;
                }
                Some(lens.print(node, path, false, &mut ids))
            });
            ids.sort_unstable();
            let first = prepared.ids.len() as u32;
            prepared.ids.extend_from_slice(&ids);
            let range = first..prepared.ids.len() as u32;
            prepared.parts.push(print.map(|print| (print, range)));
        }
        prepared
    }

    fn label(&self, event: &Event) -> u64 {
        self.labels.get(event.label as usize).copied().unwrap_or(0)
    }

    fn print(&self, event: &Event) -> u64 {
        let mut prints: Vec<(u64, u64)> = self
            .sequence
            .part_numbers(event)
            .filter_map(|part| {
                let name = self.sequence.parts.get(part as usize)?.name;
                let (print, _) = self.parts.get(part as usize)?.as_ref()?;
                Some((self.labels.get(name as usize).copied().unwrap_or(0), *print))
            })
            .collect();
        prints.sort_unstable();
        prints.iter().fold(self.label(event), |sum, (name, print)| {
            mix(mix(sum, *name), *print)
        })
    }

    /// The print of an item as if it had no id and no state of its own: what it says.
    fn core(&self, event: &Event, rules: &Rules) -> u64 {
        if !matches!(event.what, What::Item | What::Half | What::Dropped) {
            return self.print(event);
        }
        let lens = Lens {
            rules,
            known: &self.sequence.known,
        };
        let first = self.sequence.part_numbers(event).next();
        let Some(part) = first.and_then(|it| self.sequence.parts.get(it as usize)) else {
            return 0;
        };
        let print = on_part(self.sequence, part, |path, node| {
            node.map_or(0, |node| lens.print(node, path, false, &mut Vec::new()))
        });
        mix(self.label(event), print)
    }

    fn cores(&self, events: &[u32], rules: &Rules) -> Vec<u64> {
        events
            .iter()
            .filter_map(|at| self.event(*at))
            .map(|event| self.core(event, rules))
            .collect()
    }

    fn ids(&self, event: &Event, into: &mut Vec<IdAt>) {
        into.clear();
        for part in self.sequence.part_numbers(event) {
            if let Some(Some((_, range))) = self.parts.get(part as usize) {
                into.extend_from_slice(
                    self.ids
                        .get(range.start as usize..range.end as usize)
                        .unwrap_or(&[]),
                );
            }
        }
        into.sort_unstable();
    }

    fn prints(&self, events: &[u32]) -> Vec<u64> {
        events
            .iter()
            .filter_map(|at| self.event(*at))
            .map(|event| self.print(event))
            .collect()
    }

    fn labels(&self, events: &[u32]) -> Vec<u64> {
        events
            .iter()
            .filter_map(|at| self.event(*at))
            .map(|event| self.label(event))
            .collect()
    }

    fn event(&self, at: u32) -> Option<&'s Event> {
        self.sequence.events.get(at as usize)
    }
}

/// Hands the place and the value of a part to `take`; no value where it is compared byte by byte.
pub(super) fn on_part<T>(
    sequence: &Sequence,
    part: &super::sequence::Part,
    take: impl FnOnce(&Path<'_>, Option<&Node<'_>>) -> T,
) -> T {
    let root = Path::root(part.what.name());
    let name = std::str::from_utf8(sequence.names.text(part.name)).unwrap_or("");
    let node = if part.what == What::Bytes {
        None
    } else {
        // what is no JSON for us is a text
        Some(parse(&part.raw).unwrap_or(Node::Text(part.raw.as_ref().into())))
    };
    if name.is_empty() {
        take(&root, node.as_ref())
    } else {
        take(&root.key(name), node.as_ref())
    }
}

/// The parts of an event by their names; of several with one name the first one.
fn by_name<'s>(of: &'s Sequence, event: &Event) -> BTreeMap<&'s [u8], u32> {
    let mut found = BTreeMap::new();
    for part in of.part_numbers(event) {
        if let Some(own) = of.parts.get(part as usize) {
            found.entry(of.names.text(own.name)).or_insert(part);
        }
    }
    found
}

/// Compares two sequences.
pub(super) fn compare(left: &Sequence, right: &Sequence, options: &Options<'_>) -> Difference {
    let rules = &options.rules;
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| Prepared::new(right, rules));
        let a = Prepared::new(left, rules);
        let b = other.join();
        (a, b.unwrap_or_else(|_| Prepared::new(right, rules)))
    });
    let mut found = Difference::default();
    let deadline = options.deadline.as_ref().map(|it| it.at);
    let mut raw: Vec<(Op, Range<u32>, Range<u32>)> = Vec::new();
    let mut core = rules.clone();
    core.disk = true;
    for block in blocks(left, right, rules, options.ordered) {
        let from = (found.left.len() as u32, found.right.len() as u32);
        let mut aligner = Aligner {
            a: &a,
            b: &b,
            block: &block,
            from,
            deadline,
            core: core.clone(),
            raw: std::mem::take(&mut raw),
        };
        aligner.all();
        raw = aligner.raw;
        found.left.extend(block.left);
        found.right.extend(block.right);
    }
    let bound = bind(&a, &b, &found, &raw);
    let mut search = Search {
        a: &a,
        b: &b,
        rules,
        bound: &bound,
        options,
        found,
        scratch: (Vec::new(), Vec::new()),
    };
    for (op, x, y) in raw {
        search.tell(op, x, y);
    }
    let mut found = search.found;
    found.stopped = options
        .deadline
        .as_ref()
        .is_some_and(super::Deadline::is_over);
    found.equal = found.changes.iter().all(|it| it.op == Op::Equal);
    let pairs = (0..left.known.len() as u32).filter_map(|id| Some((id, bound.right(id)?)));
    found.ids = pairs
        .map(|(a, b)| (left.id(a).to_owned(), right.id(b).to_owned()))
        .collect();
    found
}

/// Aligns the events of one lane: by all that counts, then, in what is left, by what items say, then by what events are.
struct Aligner<'p, 's> {
    a: &'p Prepared<'s>,
    b: &'p Prepared<'s>,
    block: &'p Block,
    /// Where the block begins on both sides.
    from: (u32, u32),
    deadline: Option<std::time::Instant>,
    /// Items without ids and states.
    core: Rules,
    raw: Vec<(Op, Range<u32>, Range<u32>)>,
}

impl Aligner<'_, '_> {
    fn all(&mut self) {
        let prints = (
            self.a.prints(&self.block.left),
            self.b.prints(&self.block.right),
        );
        for run in align(&prints.0, &prints.1, self.deadline) {
            match run {
                Run::Same(x, y, len) => self.put(Op::Equal, x..x + len, y..y + len),
                Run::Other(x, y) => self.by_core(x, y),
            }
        }
    }

    fn by_core(&mut self, x: Range<usize>, y: Range<usize>) {
        if x.is_empty() || y.is_empty() {
            return self.one_sided(x, y);
        }
        let left = self.block.left.get(x.clone()).unwrap_or(&[]);
        let right = self.block.right.get(y.clone()).unwrap_or(&[]);
        let cores = (
            self.a.cores(left, &self.core),
            self.b.cores(right, &self.core),
        );
        for run in align(&cores.0, &cores.1, self.deadline) {
            match run {
                Run::Same(p, q, len) => self.pairs(x.start + p, y.start + q, len),
                Run::Other(p, q) => {
                    self.by_label(
                        x.start + p.start..x.start + p.end,
                        y.start + q.start..y.start + q.end,
                    );
                }
            }
        }
    }

    fn by_label(&mut self, x: Range<usize>, y: Range<usize>) {
        let left = self.block.left.get(x.clone()).unwrap_or(&[]);
        let right = self.block.right.get(y.clone()).unwrap_or(&[]);
        let labels = (self.a.labels(left), self.b.labels(right));
        for run in align(&labels.0, &labels.1, self.deadline) {
            match run {
                Run::Same(p, q, len) => self.pairs(x.start + p, y.start + q, len),
                Run::Other(p, q) => {
                    self.one_sided(
                        x.start + p.start..x.start + p.end,
                        y.start + q.start..y.start + q.end,
                    );
                }
            }
        }
    }

    fn pairs(&mut self, x: usize, y: usize, len: usize) {
        for at in 0..len {
            self.put(Op::Replace, x + at..x + at + 1, y + at..y + at + 1);
        }
    }

    fn one_sided(&mut self, x: Range<usize>, y: Range<usize>) {
        if !x.is_empty() {
            self.put(Op::Delete, x.clone(), y.start..y.start);
        }
        if !y.is_empty() {
            self.put(Op::Insert, x.end..x.end, y);
        }
    }

    fn put(&mut self, op: Op, x: Range<usize>, y: Range<usize>) {
        let moved = |range: Range<usize>, by: u32| range.start as u32 + by..range.end as u32 + by;
        let (x, y) = (moved(x, self.from.0), moved(y, self.from.1));
        self.raw.push((op, x, y));
    }
}

fn bind(
    a: &Prepared<'_>,
    b: &Prepared<'_>,
    found: &Difference,
    raw: &[(Op, Range<u32>, Range<u32>)],
) -> Bound {
    let mut votes = Votes::default();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (_, left, right) in raw
        .iter()
        .filter(|(op, _, _)| matches!(op, Op::Equal | Op::Replace))
    {
        for (i, j) in left.clone().zip(right.clone()) {
            if let (Some(left), Some(right)) = (
                found.left_event(i, a.sequence),
                found.right_event(j, b.sequence),
            ) {
                a.ids(left, &mut x);
                b.ids(right, &mut y);
                votes.take(&x, &y);
            }
        }
    }
    votes.count(
        a.sequence.known.len(),
        b.sequence.known.len(),
        |left, right| a.sequence.known.text(left) == b.sequence.known.text(right),
    )
}

struct Search<'p, 's, 'o> {
    a: &'p Prepared<'s>,
    b: &'p Prepared<'s>,
    rules: &'p Rules,
    bound: &'p Bound,
    options: &'p Options<'o>,
    found: Difference,
    scratch: (Vec<IdAt>, Vec<IdAt>),
}

impl Search<'_, '_, '_> {
    fn tell(&mut self, op: Op, left: Range<u32>, right: Range<u32>) {
        match op {
            Op::Equal => {
                // equal but for ids: each pair is looked at
                for (i, j) in left.zip(right) {
                    if self.corresponds(i, j) {
                        self.push(Op::Equal, i..i + 1, j..j + 1, Vec::new(), 0);
                    } else {
                        self.replace(i, j);
                    }
                }
            }
            Op::Replace => {
                for (i, j) in left.zip(right) {
                    self.replace(i, j);
                }
            }
            op => self.push(op, left, right, Vec::new(), 0),
        }
    }

    fn corresponds(&mut self, i: u32, j: u32) -> bool {
        let (x, y) = &mut self.scratch;
        let (Some(left), Some(right)) = (
            self.found.left_event(i, self.a.sequence),
            self.found.right_event(j, self.b.sequence),
        ) else {
            return false;
        };
        self.a.ids(left, x);
        self.b.ids(right, y);
        x.len() == y.len()
            && x.iter()
                .zip(y)
                .all(|(x, y)| x.place == y.place && self.bound.agrees(x.id, y.id))
    }

    fn replace(&mut self, i: u32, j: u32) {
        let (details, more) = self.details(i, j);
        self.push(Op::Replace, i..i + 1, j..j + 1, details, more);
    }

    fn details(&self, i: u32, j: u32) -> (Vec<Detail>, usize) {
        let (Some(left), Some(right)) = (
            self.found.left_event(i, self.a.sequence),
            self.found.right_event(j, self.b.sequence),
        ) else {
            return (Vec::new(), 0);
        };
        if self
            .options
            .deadline
            .as_ref()
            .is_some_and(super::Deadline::is_over)
        {
            return (Vec::new(), 1);
        }
        let (a, b) = (self.a.sequence, self.b.sequence);
        let lens = |of| Lens {
            rules: self.rules,
            known: of,
        };
        let mut compare = Compare {
            left: lens(&a.known),
            right: lens(&b.known),
            bound: self.bound,
            found: Vec::new(),
            more: 0,
        };
        let (of_left, of_right) = (by_name(a, left), by_name(b, right));
        for part in a.part_numbers(left) {
            let Some(own) = a.parts.get(part as usize) else {
                continue;
            };
            let other = of_right
                .get(a.names.text(own.name))
                .and_then(|it| b.parts.get(*it as usize));
            on_part(a, own, |path, node| match (node, other) {
                (Some(node), Some(other)) => {
                    if !self.is_aside(path, node) {
                        on_part(b, other, |_, found| {
                            if let Some(found) = found {
                                compare.values(node, found, path, false);
                            }
                        });
                    }
                }
                (Some(node), None) if !self.is_aside(path, node) => {
                    compare.one_sided(path, node, true);
                }
                (Some(_), None) => {}
                (None, other) => {
                    let other = other.map_or("", |it| &it.raw);
                    compare.bytes(path, &own.raw, other);
                }
            });
        }
        for part in b.part_numbers(right) {
            let Some(own) = b.parts.get(part as usize) else {
                continue;
            };
            if !of_left.contains_key(b.names.text(own.name)) {
                on_part(b, own, |path, node| match node {
                    Some(node) if !self.is_aside(path, node) => {
                        compare.one_sided(path, node, false);
                    }
                    Some(_) => {}
                    None => compare.bytes(path, "", &own.raw),
                });
            }
        }
        (compare.found, compare.more)
    }

    fn is_aside(&self, path: &Path<'_>, node: &Node<'_>) -> bool {
        path.parent.is_some() && (self.rules.aside(path, false) || self.rules.nothing(node, false))
    }

    fn push(
        &mut self,
        op: Op,
        left: Range<u32>,
        right: Range<u32>,
        details: Vec<Detail>,
        more: usize,
    ) {
        if let Some(last) = self.found.changes.last_mut()
            && op != Op::Replace
            && last.op == op
            && last.left.end == left.start
            && last.right.end == right.start
        {
            last.left.end = left.end;
            last.right.end = right.end;
            return;
        }
        self.found.changes.push(Change {
            op,
            left,
            right,
            details,
            more,
        });
    }
}
