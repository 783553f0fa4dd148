//! Two texts word by word.

use similar::{Algorithm, DiffOp};

use super::Op;

/// Longer texts are compared line by line first, and only lines that differ word by word.
const MAX_WORDS: usize = 4_000;

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
    let (a, b) = (tokens(left), tokens(right));
    if a.len() + b.len() > MAX_WORDS {
        return by_lines(left, right);
    }
    let mut found = Vec::new();
    for op in similar::capture_diff_slices(Algorithm::Myers, &a, &b) {
        put(&mut found, &op, left, right, &a, &b);
    }
    found
}

fn by_lines<'t>(left: &'t str, right: &'t str) -> Vec<Piece<'t>> {
    let (a, b): (Vec<&str>, Vec<&str>) = (
        left.split_inclusive('\n').collect(),
        right.split_inclusive('\n').collect(),
    );
    let mut found = Vec::new();
    if a.len() + b.len() > MAX_WORDS {
        // what both begin and end with, then the middle as a whole
        let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        let back = a
            .iter()
            .rev()
            .zip(b.iter().rev())
            .take_while(|(a, b)| a == b)
            .count();
        let back = back.min(a.len().min(b.len()) - front);
        let ops = [
            DiffOp::Equal {
                old_index: 0,
                new_index: 0,
                len: front,
            },
            DiffOp::Replace {
                old_index: front,
                old_len: a.len() - front - back,
                new_index: front,
                new_len: b.len() - front - back,
            },
            DiffOp::Equal {
                old_index: a.len() - back,
                new_index: b.len() - back,
                len: back,
            },
        ];
        for op in &ops {
            put(&mut found, op, left, right, &a, &b);
        }
        return found;
    }
    for op in similar::capture_diff_slices(Algorithm::Myers, &a, &b) {
        put(&mut found, &op, left, right, &a, &b);
    }
    found
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

    proptest! {
        #[test]
        fn pieces_make_both_texts(left in "[a-c \n.é]{0,60}", right in "[a-c \n.é]{0,60}") {
            for found in [words(&left, &right), by_lines(&left, &right)] {
                let of = |not: Op| -> String { found.iter().filter(|it| it.op != not).map(|it| it.text).collect() };
                prop_assert_eq!(of(Op::Insert), left.clone());
                prop_assert_eq!(of(Op::Delete), right.clone());
            }
        }
    }
}
