//! Two texts word by word.

use similar::{Algorithm, DiffOp};

use super::Op;

/// Longer texts are compared line by line first, and only lines that differ word by word.
const MAX_WORDS: usize = 4_000;

/// What comparing words may cost: a unit for each pair of words that could be looked at.
const BUDGET: u64 = 300_000_000;

/// How much comparing by words is still worth. What is beyond is told as changed from its first to its last difference.
#[derive(Clone, Debug)]
pub struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(BUDGET)
    }
}

impl Budget {
    /// Whether two texts of so many words can be compared.
    fn takes(&mut self, left: usize, right: usize) -> bool {
        let cost = (left as u64).saturating_mul(right as u64);
        match self.0.checked_sub(cost) {
            Some(rest) if left + right <= MAX_WORDS => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }
}

/// A piece of two texts: what became of it, and its text (of the left side where it is equal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'t> {
    /// [`Op::Equal`], [`Op::Delete`] or [`Op::Insert`].
    pub op: Op,
    /// The text.
    pub text: &'t str,
}

/// Compares two texts by words; what stands between words is compared as well.
pub fn words<'t>(left: &'t str, right: &'t str) -> Vec<Piece<'t>> {
    words_within(left, right, &mut Budget::default())
}

/// The same for one of many pairs, which share what it may cost.
pub fn words_within<'t>(left: &'t str, right: &'t str, budget: &mut Budget) -> Vec<Piece<'t>> {
    let mut found = Vec::new();
    let (front, (a, b), back) = ends(left, right);
    push(&mut found, Op::Equal, front);
    if !by_words(&mut found, a, b, budget) {
        by_lines(&mut found, a, b, budget);
    }
    push(&mut found, Op::Equal, back);
    found
}

/// Compares by words, if that is not too dear.
fn by_words<'t>(
    found: &mut Vec<Piece<'t>>,
    left: &'t str,
    right: &'t str,
    budget: &mut Budget,
) -> bool {
    if left.len() + right.len() > 64 * MAX_WORDS {
        return false;
    }
    let (a, b) = (tokens(left), tokens(right));
    let is_worth_it = budget.takes(a.len(), b.len());
    if is_worth_it {
        put_all(found, left, right, &a, &b);
    }
    is_worth_it
}

fn by_lines<'t>(found: &mut Vec<Piece<'t>>, left: &'t str, right: &'t str, budget: &mut Budget) {
    let (a, b): (Vec<&str>, Vec<&str>) = (
        left.split_inclusive('\n').collect(),
        right.split_inclusive('\n').collect(),
    );
    if !budget.takes(a.len(), b.len()) {
        push(found, Op::Delete, left);
        push(found, Op::Insert, right);
        return;
    }
    for op in similar::capture_diff_slices(Algorithm::Myers, &a, &b) {
        let (old, new) = (
            span(left, &a, op.old_range()),
            span(right, &b, op.new_range()),
        );
        if matches!(op, DiffOp::Equal { .. }) {
            push(found, Op::Equal, old);
            continue;
        }
        let (front, (old, new), back) = ends(old, new);
        push(found, Op::Equal, front);
        if !by_words(found, old, new, budget) {
            push(found, Op::Delete, old);
            push(found, Op::Insert, new);
        }
        push(found, Op::Equal, back);
    }
}

/// What both begin with, the middles, and what both end with, cut between words.
fn ends<'t>(left: &'t str, right: &'t str) -> (&'t str, (&'t str, &'t str), &'t str) {
    let same = left
        .char_indices()
        .zip(right.chars())
        .take_while(|((_, a), b)| a == b)
        .last();
    let mut front = same.map_or(0, |((at, c), _)| at + c.len_utf8());
    let splits = |text: &str, at: usize| {
        let (before, behind) = (text.get(..at), text.get(at..));
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        is_word(before.and_then(|it| it.chars().next_back()))
            && is_word(behind.and_then(|it| it.chars().next()))
    };
    while front > 0 && (splits(left, front) || splits(right, front)) {
        let last = left.get(..front).and_then(|it| it.chars().next_back());
        front -= last.map_or(front, char::len_utf8);
    }
    let (start, a) = left.split_at(front);
    let b = right.get(front..).unwrap_or("");
    let mut back: usize = a
        .chars()
        .rev()
        .zip(b.chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(c, _)| c.len_utf8())
        .sum();
    while back > 0 && (splits(a, a.len() - back) || splits(b, b.len() - back)) {
        let first = a.get(a.len() - back..).and_then(|it| it.chars().next());
        back -= first.map_or(back, char::len_utf8);
    }
    let (a, end) = a.split_at(a.len() - back);
    (start, (a, b.get(..b.len() - back).unwrap_or("")), end)
}

fn put_all<'t>(
    found: &mut Vec<Piece<'t>>,
    left: &'t str,
    right: &'t str,
    a: &[&'t str],
    b: &[&'t str],
) {
    for op in similar::capture_diff_slices(Algorithm::Myers, a, b) {
        put(found, &op, left, right, a, b);
    }
}

fn put<'t>(
    found: &mut Vec<Piece<'t>>,
    op: &DiffOp,
    left: &'t str,
    right: &'t str,
    a: &[&'t str],
    b: &[&'t str],
) {
    let old = span(left, a, op.old_range());
    let new = span(right, b, op.new_range());
    if matches!(op, DiffOp::Equal { .. }) {
        push(found, Op::Equal, old);
    } else {
        push(found, Op::Delete, old);
        push(found, Op::Insert, new);
    }
}

fn push<'t>(found: &mut Vec<Piece<'t>>, op: Op, text: &'t str) {
    if !text.is_empty() {
        found.push(Piece { op, text });
    }
}

/// The text that some tokens make, which follow each other in `whole`.
fn span<'t>(whole: &'t str, tokens: &[&'t str], range: std::ops::Range<usize>) -> &'t str {
    let before: usize = tokens
        .get(..range.start)
        .unwrap_or(&[])
        .iter()
        .map(|it| it.len())
        .sum();
    let length: usize = tokens
        .get(range)
        .unwrap_or(&[])
        .iter()
        .map(|it| it.len())
        .sum();
    whole.get(before..before + length).unwrap_or("")
}

/// Words, and what stands between them, character by character.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(end);
        found.push(token);
        rest = behind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_words_that_differ_are_told() {
        let found = words("exit code 0, ok", "exit code 1, ok");
        let texts: Vec<_> = found.iter().map(|it| (it.op, it.text)).collect();
        assert_eq!(
            texts,
            [
                (Op::Equal, "exit code "),
                (Op::Delete, "0"),
                (Op::Insert, "1"),
                (Op::Equal, ", ok")
            ]
        );
    }

    #[test]
    fn a_word_in_a_long_text_is_told_by_itself() {
        let line = "many words on one line, ".repeat(300);
        let text = |word: &str| format!("{line}\n{line}{word} {line}\n{line}");
        let (left, right) = (text("left"), text("right"));
        let told = |found: Vec<Piece<'_>>| -> Vec<(Op, String)> {
            let off = found.into_iter().filter(|it| it.op != Op::Equal);
            off.map(|it| (it.op, it.text.to_owned())).collect()
        };
        let expected = [
            (Op::Delete, "left".to_owned()),
            (Op::Insert, "right".to_owned()),
        ];
        assert_eq!(told(words(&left, &right)), expected);
        // what is too dear is still told from its first to its last difference
        let short = told(words_within(&left, &right, &mut Budget(0)));
        assert_eq!(
            short,
            [
                (Op::Delete, "left".to_owned()),
                (Op::Insert, "right".to_owned())
            ]
        );
    }

    proptest! {
        #[test]
        fn pieces_make_both_texts(left in "[a-c \n.é]{0,60}", right in "[a-c \n.é]{0,60}") {
            let mut lines = Vec::new();
            by_lines(&mut lines, &left, &right, &mut Budget::default());
            let middle = words_within(&left, &right, &mut Budget(0));
            for found in [words(&left, &right), lines, middle] {
                let of = |not: Op| -> String { found.iter().filter(|it| it.op != not).map(|it| it.text).collect() };
                prop_assert_eq!(of(Op::Insert), left.clone());
                prop_assert_eq!(of(Op::Delete), right.clone());
            }
        }
    }
}
