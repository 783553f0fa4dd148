//! Where in a body something was replaced.

use super::{Edit, names};
use crate::redact::value::Value;

/// More places than this are not told.
const MOST: usize = 64;

/// The keys that lead to each replacement, joined by dots: the members around it, and where it stands in JSON inside a
/// string, the name of the value itself.
pub(super) fn of(body: &[u8], edits: &[Edit]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut path: Vec<Option<&[u8]>> = Vec::new();
    let mut edits = edits.iter().peekable();
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        if edits.peek().is_none() || found.len() >= MOST {
            break;
        }
        match byte {
            b'{' | b'[' => path.push(None),
            b'}' | b']' => {
                path.pop();
            }
            b',' => {
                if let Some(last) = path.last_mut() {
                    *last = None;
                }
            }
            b'"' => {
                let mut text = Value::text(at + 1, 0, b"");
                let end = text.end(body, true).map_or(body.len(), |it| it.at);
                let is_key = body
                    .get(end + 1..)
                    .is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"));
                if is_key && let Some(last) = path.last_mut() {
                    *last = body.get(at + 1..end);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
        while let Some(edit) = edits.next_if(|it| it.range.start < at) {
            let own = body.get(edit.name.clone()).unwrap_or(&[]);
            let mut place = String::new();
            let around = path.iter().flatten().copied();
            // a member's own name leads to it already
            let own = Some(own).filter(|own| {
                !own.is_empty() && *own != b"://" && path.iter().flatten().next_back() != Some(own)
            });
            for key in around.chain(own) {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(&names::shown(key));
            }
            if !found.contains(&place) {
                found.push(place);
            }
        }
    }
    found
}
