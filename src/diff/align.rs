//! Which events are the same, which were changed, which are there on one side only.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::time::Instant;

use similar::Algorithm;
use similar::algorithms::{DiffHook, diff_deadline};

/// A run of elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// The same on both sides.
    Same(usize, usize, usize),
    /// Different.
    Other(Range<usize>, Range<usize>),
}

#[derive(Default)]
struct Matches(Vec<(usize, usize, usize)>);

impl DiffHook for Matches {
    type Error = Infallible;

    fn equal(&mut self, old: usize, new: usize, len: usize) -> Result<(), Infallible> {
        self.0.push((old, new, len));
        Ok(())
    }
}

/// Aligns two sequences of prints. `deadline` bounds the search; what is found until then is used.
pub(super) fn align(left: &[u64], right: &[u64], deadline: Option<Instant>) -> Vec<Run> {
    let front = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let rest = |side: &[u64]| side.get(front..).unwrap_or(&[]).to_vec();
    let (a, b) = (rest(left), rest(right));
    let back = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (a, b) = (
        a.get(..a.len() - back).unwrap_or(&[]),
        b.get(..b.len() - back).unwrap_or(&[]),
    );
    let mut found = vec![(0, 0, front)];
    found.extend(
        middle(a, b, deadline)
            .into_iter()
            .map(|(x, y, len)| (x + front, y + front, len)),
    );
    found.push((front + a.len(), front + b.len(), back));
    runs(&found, left.len(), right.len())
}

/// The matches between two sequences that differ at both ends.
fn middle(left: &[u64], right: &[u64], deadline: Option<Instant>) -> Vec<(usize, usize, usize)> {
    if left.is_empty() || right.is_empty() {
        return Vec::new();
    }
    // what the other side does not hold can match nothing: the search shall not see it
    let mut symbols: BTreeMap<u64, (u32, bool)> = BTreeMap::new();
    for print in left {
        let next = symbols.len() as u32;
        symbols.entry(*print).or_insert((next, false));
    }
    let mut b = Vec::new();
    for (at, print) in right.iter().enumerate() {
        if let Some((symbol, both)) = symbols.get_mut(print) {
            *both = true;
            b.push((*symbol, at));
        }
    }
    let a: Vec<(u32, usize)> = left
        .iter()
        .enumerate()
        .filter_map(|(at, print)| {
            symbols
                .get(print)
                .filter(|(_, both)| *both)
                .map(|(symbol, _)| (*symbol, at))
        })
        .collect();
    let olds: Vec<u32> = a.iter().map(|(symbol, _)| *symbol).collect();
    let news: Vec<u32> = b.iter().map(|(symbol, _)| *symbol).collect();
    let mut matches = Matches::default();
    let Ok(()) = diff_deadline(
        Algorithm::Myers,
        &mut matches,
        &olds,
        0..olds.len(),
        &news,
        0..news.len(),
        deadline,
    );
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (old, new, len) in matches.0 {
        for at in 0..len {
            let (Some((_, x)), Some((_, y))) = (a.get(old + at), b.get(new + at)) else {
                continue;
            };
            match found.last_mut() {
                Some((x0, y0, len)) if *x0 + *len == *x && *y0 + *len == *y => *len += 1,
                _ => found.push((*x, *y, 1)),
            }
        }
    }
    found
}

fn runs(matches: &[(usize, usize, usize)], left: usize, right: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut x, mut y) = (0, 0);
    let end = [(left, right, 0)];
    for (a, b, len) in matches.iter().chain(&end) {
        if *a > x || *b > y {
            runs.push(Run::Other(x..*a, y..*b));
        }
        if *len > 0 {
            match runs.last_mut() {
                Some(Run::Same(x0, y0, before)) if *x0 + *before == *a && *y0 + *before == *b => {
                    *before += len;
                }
                _ => runs.push(Run::Same(*a, *b, *len)),
            }
        }
        (x, y) = (a + len, b + len);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_are_trimmed_and_strangers_do_not_count() {
        let left: Vec<u64> = vec![1, 2, 3, 4, 5];
        let right: Vec<u64> = vec![1, 2, 9, 4, 5];
        assert_eq!(
            align(&left, &right, None),
            [
                Run::Same(0, 0, 2),
                Run::Other(2..3, 2..3),
                Run::Same(3, 3, 2)
            ]
        );
        let strangers: Vec<u64> = (1000..60_000).collect();
        let others: Vec<u64> = (100_000..160_000).collect();
        assert_eq!(
            align(&strangers, &others, None),
            [Run::Other(0..59_000, 0..60_000)]
        );
        assert_eq!(align(&[], &[], None), []);
    }

    proptest! {
        #[test]
        fn runs_cover_both_sides(left in proptest::collection::vec(0_u64..5, 0..40), right in proptest::collection::vec(0_u64..5, 0..40)) {
            let (mut x, mut y) = (0, 0);
            for run in align(&left, &right, None) {
                match run {
                    Run::Same(a, b, len) => {
                        prop_assert_eq!((a, b), (x, y));
                        prop_assert_eq!(&left[a..a + len], &right[b..b + len]);
                        (x, y) = (a + len, b + len);
                    }
                    Run::Other(a, b) => {
                        prop_assert_eq!((a.start, b.start), (x, y));
                        (x, y) = (a.end, b.end);
                    }
                }
            }
            prop_assert_eq!((x, y), (left.len(), right.len()));
        }
    }
}
