//! A request body as the difference to an earlier one.
//!
//! Each request repeats the history, so storing bodies whole grows with the square of the session. A delta is a list of
//! byte ranges of an earlier body and of new text, cut between items and members, so that shuffled metadata and an edited
//! item cost no more than themselves. Length and hash of the result are stored and checked.

use std::collections::BTreeMap;
use std::ops::Range;

use thiserror::Error;

use super::body::sha256;
use crate::ids::fingerprint;
use crate::wire::raw::{Object, array, push_string, range_in};

/// Shorter pieces are written as text rather than copied, unless they go on from a copy.
const MIN_COPY: usize = 48;

/// Why a delta does not give a body.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DeltaError {
    /// It lacks `ops`, `bytes` or `sha256`, or has an operation of unknown shape.
    #[error("the delta has an unknown shape")]
    Shape,
    /// It copies from beyond the end of its base.
    #[error("the delta copies what its base does not have")]
    Range,
    /// The result has another length than it should.
    #[error("the delta gives a body of another length")]
    Length,
    /// The result has another hash than it should.
    #[error("the delta gives another body than was sent")]
    Hash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Op<'a> {
    Copy(Range<usize>),
    Text(&'a str),
}

/// Returns the JSON of the delta that makes `body` out of `base`, the body of `exchange`; `None` if it would not save
/// much, or if either is no text.
pub fn encode(exchange: u32, base: &[u8], body: &[u8]) -> Option<String> {
    let (from, to) = (
        std::str::from_utf8(base).ok()?,
        std::str::from_utf8(body).ok()?,
    );
    let ops = match (Object::read(from), Object::read(to)) {
        (Some(left), Some(right)) => by_pieces(from, &left, to, &right),
        _ => by_ends(from, to),
    };
    let mut json = format!("{{\"base\":{exchange},\"ops\":[");
    for (at, op) in ops.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        match op {
            Op::Copy(range) => {
                let copy = format!("{{\"copy\":[{},{}]}}", range.start, range.end);
                json.push_str(&copy);
            }
            Op::Text(text) => {
                json.push_str("{\"text\":");
                push_string(&mut json, text);
                json.push('}');
            }
        }
    }
    let end = format!("],\"bytes\":{},\"sha256\":", body.len());
    json.push_str(&end);
    push_string(&mut json, &sha256(body));
    json.push('}');
    (json.len() < body.len() / 4 * 3).then_some(json)
}

/// Makes the body that `delta` describes out of `base`.
///
/// # Errors
/// If the delta does not fit, or gives another body than its length and hash say.
pub fn apply(base: &[u8], delta: &Object<'_>) -> Result<Vec<u8>, DeltaError> {
    let length = delta.number("bytes").ok_or(DeltaError::Shape)? as usize;
    let hash = delta.text("sha256").ok_or(DeltaError::Shape)?;
    let mut body = Vec::new();
    for raw in delta.array("ops").ok_or(DeltaError::Shape)? {
        let op = Object::read(raw.get()).ok_or(DeltaError::Shape)?;
        if let Some(text) = op.text("text") {
            body.extend_from_slice(text.as_bytes());
        } else {
            let range: (usize, usize) = op
                .get("copy")
                .and_then(|it| serde_json::from_str(it.get()).ok())
                .ok_or(DeltaError::Shape)?;
            body.extend_from_slice(base.get(range.0..range.1).ok_or(DeltaError::Range)?);
        }
        if body.len() > length {
            return Err(DeltaError::Length);
        }
    }
    if body.len() != length {
        return Err(DeltaError::Length);
    }
    if sha256(&body) != *hash {
        return Err(DeltaError::Hash);
    }
    Ok(body)
}

/// Compares two objects piece by piece: items of arrays, members of objects, and what stands between them.
fn by_pieces<'a>(from: &str, left: &Object<'_>, to: &'a str, right: &Object<'_>) -> Vec<Op<'a>> {
    let mut known = BTreeMap::new();
    for range in pieces(from, left) {
        if let Some(piece) = from.get(range.clone()).filter(|it| it.len() >= MIN_COPY) {
            known.entry(fingerprint(piece.as_bytes())).or_insert(range);
        }
    }
    // both begin alike more often than not
    let mut ops: Vec<Op<'a>> = vec![Op::Copy(0..0)];
    let mut text = 0..0;
    let mut fresh: Vec<Range<usize>> = Vec::new();
    for range in pieces(to, right) {
        let Some(piece) = to.get(range.clone()) else {
            continue;
        };
        if text.is_empty()
            && let Some(Op::Copy(last)) = ops.last_mut()
            && from.get(last.end..last.end + piece.len()) == Some(piece)
        {
            last.end += piece.len();
            continue;
        }
        let found = (piece.len() >= MIN_COPY)
            .then(|| known.get(&fingerprint(piece.as_bytes())))
            .flatten()
            .filter(|it| from.get((*it).clone()) == Some(piece));
        match found {
            Some(copy) => {
                let mut copy = copy.clone();
                // the short pieces before it may come from the same place
                while let Some(before) = fresh.pop_if(|it| stands_before(from, &copy, to, it)) {
                    copy.start -= before.len();
                    text.end = before.start;
                }
                flush(&mut ops, to, &mut text);
                fresh.clear();
                ops.push(Op::Copy(copy));
                continue;
            }
            None if text.is_empty() => text = range.clone(),
            None => text.end = range.end,
        }
        fresh.push(range);
    }
    flush(&mut ops, to, &mut text);
    drop_empty(&mut ops);
    ops
}

fn drop_empty(ops: &mut Vec<Op<'_>>) {
    ops.retain(|op| !matches!(op, Op::Copy(range) if range.is_empty()));
}

/// Whether the piece of `to` stands in `from` directly before `copy`.
fn stands_before(from: &str, copy: &Range<usize>, to: &str, piece: &Range<usize>) -> bool {
    let start = copy.start.checked_sub(piece.len());
    start.is_some_and(|start| from.get(start..copy.start) == to.get(piece.clone()))
}

fn flush<'a>(ops: &mut Vec<Op<'a>>, to: &'a str, text: &mut Range<usize>) {
    if let Some(piece) = to.get(text.clone()).filter(|it| !it.is_empty()) {
        ops.push(Op::Text(piece));
    }
    *text = 0..0;
}

/// Cuts an object's text between its members, and between the elements and members of those that are arrays or objects.
fn pieces(text: &str, object: &Object<'_>) -> Vec<Range<usize>> {
    let mut cuts = vec![0];
    let mut cut = |part: &str| {
        if let Some(range) = range_in(text, part) {
            cuts.extend([range.start, range.end]);
        }
    };
    for (_, value) in object.members() {
        let value = value.get();
        if let Some(elements) = array(value).filter(|it| !it.is_empty()) {
            for element in elements {
                cut(element.get());
            }
        } else if let Some(inner) = Object::read(value).filter(|it| it.members().count() > 0) {
            for (_, member) in inner.members() {
                cut(member.get());
            }
        } else {
            cut(value);
        }
    }
    cuts.push(text.len());
    cuts.windows(2)
        .filter_map(|pair| match pair {
            [start, end] if start < end => Some(*start..*end),
            _ => None,
        })
        .collect()
}

/// Compares two texts by what they begin and end with.
fn by_ends<'a>(from: &str, to: &'a str) -> Vec<Op<'a>> {
    let (left, right) = (from.as_bytes(), to.as_bytes());
    let same =
        |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| pairs.take_while(|(l, r)| l == r).count();
    let mut begin = same(&mut left.iter().zip(right));
    while !to.is_char_boundary(begin) {
        begin -= 1;
    }
    let (left_rest, right_rest) = (left.get(begin..), right.get(begin..));
    let (left_rest, right_rest) = (left_rest.unwrap_or(&[]), right_rest.unwrap_or(&[]));
    let mut end = same(&mut left_rest.iter().rev().zip(right_rest.iter().rev()));
    while !to.is_char_boundary(to.len() - end) {
        end -= 1;
    }
    let mut ops = vec![Op::Copy(0..begin)];
    let mut middle = begin..to.len() - end;
    flush(&mut ops, to, &mut middle);
    ops.push(Op::Copy(from.len() - end..from.len()));
    drop_empty(&mut ops);
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(base: &str, body: &str) -> Option<String> {
        let json = encode(1, base.as_bytes(), body.as_bytes())?;
        let delta = Object::read(&json).expect("a delta is JSON");
        assert_eq!(
            apply(base.as_bytes(), &delta).as_deref(),
            Ok(body.as_bytes()),
            "{json}"
        );
        Some(json)
    }

    fn message(text: &str) -> String {
        let text = text.repeat(40);
        format!(
            r#"{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{text}"}}]}}"#
        )
    }

    fn request(items: &[String], metadata: &str) -> String {
        let tools = "x".repeat(400);
        format!(
            r#"{{"model":"m","input":[{}],"tools":[{{"name":"{tools}"}}],"client_metadata":{{{metadata}}},"store":false}}"#,
            items.join(",")
        )
    }

    #[test]
    fn an_added_item_and_shuffled_metadata_cost_themselves_only() {
        let long = "y".repeat(100);
        let base = request(
            &[message("a"), message("b")],
            &format!(r#""x":"{long}","turn":"1""#),
        );
        let body = request(
            &[message("a"), message("b"), message("c")],
            &format!(r#""turn":"2","x":"{long}""#),
        );
        let json = round_trip(&base, &body).unwrap();
        assert!(json.len() < message("c").len() + 400, "{json}");
        let delta = Object::read(&json).unwrap();
        let text = delta
            .array("ops")
            .unwrap()
            .into_iter()
            .find_map(|raw| Object::read(raw.get()).and_then(|op| op.text("text")));
        assert_eq!(text.unwrap(), format!(",{}", message("c")));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let base = request(&[message("a")], "");
        let json = round_trip(&base, &base).unwrap();
        let delta = Object::read(&json).unwrap();
        assert_eq!(apply(b"short", &delta), Err(DeltaError::Range));
        let other = base.replace("user", "xxxx");
        assert_eq!(apply(other.as_bytes(), &delta), Err(DeltaError::Hash));
        for broken in ["{}", r#"{"ops":[{}],"bytes":1,"sha256":""}"#] {
            let broken = Object::read(broken).unwrap();
            assert_eq!(apply(b"", &broken), Err(DeltaError::Shape));
        }
        let bomb = r#"{"ops":[{"copy":[0,4]},{"copy":[0,4]}],"bytes":4,"sha256":""}"#;
        assert_eq!(
            apply(b"abcd", &Object::read(bomb).unwrap()),
            Err(DeltaError::Length)
        );
    }

    proptest! {
        #[test]
        fn random_edits_come_back(
            items in proptest::collection::vec("[a-dé ]{0,9}", 0..12),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), "[a-dé ]{0,9}", 0_u8..4), 0..6),
        ) {
            let base: Vec<String> = items.iter().map(|text| message(text)).collect();
            let mut body = base.clone();
            for (at, text, how) in edits {
                let place = at.index(body.len() + 1);
                match how {
                    0 => body.insert(place, message(&text)),
                    1 if place < body.len() => drop(body.remove(place)),
                    2 if place < body.len() => body.rotate_left(place),
                    _ => body.push(message(&text)),
                }
            }
            let _maybe = round_trip(&request(&base, ""), &request(&body, r#""k":"v""#));
        }

        #[test]
        fn any_two_texts_come_back(
            base in "[ab{}\\[\\]\",:é]{0,200}",
            body in "[ab{}\\[\\]\",:é]{0,200}",
        ) {
            let _maybe = round_trip(&base, &body);
            let _maybe = round_trip(&base, &format!("{base}{body}"));
            let _maybe = round_trip(&format!("{body}{base}"), &base);
        }
    }
}
