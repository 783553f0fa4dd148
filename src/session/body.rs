//! How request bodies are stored, and the earlier bodies that deltas build on.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::delta::{self, DeltaError};
use crate::wire::raw::{Object, push_string};

/// Bodies larger than this are not stored: 64 MiB.
pub const MAX_STORED: usize = 64 << 20;

/// A whole body is written at least this often in a chain of deltas.
pub const WHOLE_EVERY: u32 = 32;

/// How many bytes of earlier bodies are held at most (the newest two always are).
const MAX_HELD: usize = 96 << 20;

/// How many earlier bodies are held at most.
const MAX_BODIES: usize = 64;

/// The bodies that a delta may name as its base: the newest ones. Writer and reader keep the same.
#[derive(Debug, Default)]
pub struct Bases {
    held: VecDeque<Base>,
    bytes: usize,
}

/// An earlier body.
#[derive(Debug)]
pub struct Base {
    /// Its exchange.
    pub exchange: u32,
    /// Its bytes.
    pub body: Vec<u8>,
    /// How many deltas it is away from a whole body.
    pub depth: u32,
}

impl Bases {
    /// Holds a body; the oldest ones are let go.
    pub fn hold(&mut self, exchange: u32, body: Vec<u8>, depth: u32) {
        self.bytes += body.len();
        self.held.push_back(Base {
            exchange,
            body,
            depth,
        });
        while self.held.len() > 2 && (self.bytes > MAX_HELD || self.held.len() > MAX_BODIES) {
            if let Some(old) = self.held.pop_front() {
                self.bytes -= old.body.len();
            }
        }
    }

    /// Returns the body of an exchange, if it is still held.
    pub fn get(&self, exchange: u32) -> Option<&Base> {
        self.held.iter().rev().find(|it| it.exchange == exchange)
    }
}

/// A stored body as a reader finds it.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    /// The request has none.
    Nothing,
    /// It was larger than [`MAX_STORED`].
    Omitted,
    /// Its bytes.
    Bytes(Vec<u8>),
}

/// Why a body could not be rebuilt.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// `body_base64` is no base64.
    #[error("the request's body is no base64")]
    Base64,
    /// The body is said to build on one that is not held any more, or never was.
    #[error("the request's body builds on exchange {0}, whose body is not on file")]
    NoBase(u32),
    /// The delta does not fit its base.
    #[error("the request's body cannot be rebuilt: {0}")]
    Delta(#[from] DeltaError),
}

/// Reads the body of a `request` line and holds it as a base for later ones.
///
/// # Errors
/// See [`BodyError`].
pub fn stored(object: &Object<'_>, bases: &mut Bases, exchange: u32) -> Result<Stored, BodyError> {
    let (body, depth) = if let Some(raw) = object.get("body") {
        (raw.get().as_bytes().to_vec(), 0)
    } else if let Some(text) = object.text("body_text") {
        (text.into_owned().into_bytes(), 0)
    } else if let Some(text) = object.text("body_base64") {
        let bytes = STANDARD.decode(text.as_bytes());
        (bytes.map_err(|_no_detail| BodyError::Base64)?, 0)
    } else if let Some(delta) = object.object("body_delta") {
        let number = delta.small("base").unwrap_or(0);
        let base = bases.get(number).ok_or(BodyError::NoBase(number))?;
        (delta::apply(&base.body, &delta)?, base.depth + 1)
    } else if object.get("body_omitted").is_some() {
        return Ok(Stored::Omitted);
    } else {
        return Ok(Stored::Nothing);
    };
    bases.hold(exchange, body.clone(), depth);
    Ok(Stored::Bytes(body))
}

/// Writes the members of a `request` line that hold `body`, each with a comma before it, and holds it as a base for
/// later ones. `base` is the exchange it is expected to resemble.
pub fn store(out: &mut String, body: Vec<u8>, exchange: u32, base: Option<u32>, bases: &mut Bases) {
    store_up_to(MAX_STORED, out, body, exchange, base, bases);
}

fn store_up_to(
    max: usize,
    out: &mut String,
    body: Vec<u8>,
    exchange: u32,
    base: Option<u32>,
    bases: &mut Bases,
) {
    if body.is_empty() {
        return;
    }
    if body.len() > max {
        omitted(out, body.len() as u64, &sha256(&body));
        return;
    }
    let base = base
        .and_then(|it| bases.get(it))
        .filter(|it| it.depth + 1 < WHOLE_EVERY);
    let mut depth = 0;
    let delta = base.and_then(|it| {
        depth = it.depth + 1;
        delta::encode(it.exchange, &it.body, &body)
    });
    if let Some(delta) = delta {
        out.push_str(",\"body_delta\":");
        out.push_str(&delta);
    } else {
        depth = 0;
        whole(out, &body);
    }
    bases.hold(exchange, body, depth);
}

/// Writes the member of a body that is not stored: its length in bytes and its hexadecimal SHA-256.
pub(super) fn omitted(out: &mut String, bytes: u64, sha256: &str) {
    let member = format!(",\"body_omitted\":{{\"bytes\":{bytes},\"sha256\":");
    out.push_str(&member);
    push_string(out, sha256);
    out.push('}');
}

fn whole(out: &mut String, body: &[u8]) {
    match std::str::from_utf8(body) {
        Ok(text) if is_solid(text) => {
            out.push_str(",\"body\":");
            out.push_str(text);
        }
        Ok(text) => {
            out.push_str(",\"body_text\":");
            push_string(out, text);
        }
        Err(_) => {
            out.push_str(",\"body_base64\":");
            push_string(out, &STANDARD.encode(body));
        }
    }
}

/// Whether writing the JSON value of `text` compactly gives `text` again.
fn is_solid(text: &str) -> bool {
    let value = serde_json::from_str::<serde_json::Value>(text);
    value.is_ok_and(|value| {
        let spelled = value.to_string();
        spelled == text
    })
}

/// The hexadecimal SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // writing to a string cannot fail
        let _ok = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(body: &[u8], exchange: u32, base: Option<u32>, bases: &mut Bases) -> String {
        let mut out = String::from("{\"kind\":\"request\"");
        store(&mut out, body.to_vec(), exchange, base, bases);
        out.push('}');
        out
    }

    #[test]
    fn each_body_is_stored_so_that_its_bytes_come_back() {
        for (body, member) in [
            (&br#"{"a":1.0,"b":[null,"x"]}"#[..], "body"),
            (br#"{"a": 1}"#, "body_text"),
            (br#"{"a":1e5}"#, "body_text"),
            (br#"{"a":12345678901234567890123}"#, "body_text"),
            (br#"{"a":1,"a":2}"#, "body_text"),
            (b"not json", "body_text"),
            (b"\xff\x00", "body_base64"),
        ] {
            let text = line(body, 1, None, &mut Bases::default());
            let object = Object::read(&text).unwrap();
            assert!(object.get(member).is_some(), "{text}");
            let found = stored(&object, &mut Bases::default(), 1);
            assert_eq!(found, Ok(Stored::Bytes(body.to_vec())), "{text}");
        }
    }

    #[test]
    fn a_body_too_large_is_named_only() {
        let mut text = String::from("{\"kind\":\"request\"");
        store_up_to(
            10,
            &mut text,
            vec![b' '; 11],
            1,
            None,
            &mut Bases::default(),
        );
        text.push('}');
        assert!(text.contains("\"bytes\":11,\"sha256\":\""), "{text}");
        let object = Object::read(&text).unwrap();
        assert_eq!(
            stored(&object, &mut Bases::default(), 1),
            Ok(Stored::Omitted)
        );
    }

    #[test]
    fn old_bases_are_let_go() {
        let mut bases = Bases::default();
        for exchange in 0..100 {
            bases.hold(exchange, vec![0; 2 << 20], 0);
        }
        assert!(bases.get(99).is_some() && bases.get(98).is_some() && bases.get(10).is_none());
        assert!(bases.bytes <= MAX_HELD);
    }

    proptest! {
        #[test]
        fn any_sequence_of_bodies_comes_back(bodies in proptest::collection::vec("[a-c{}\",:é]{0,40}", 1..50)) {
            let (mut writing, mut reading) = (Bases::default(), Bases::default());
            for (at, body) in bodies.iter().enumerate() {
                let number = at as u32 + 1;
                let text = line(body.as_bytes(), number, number.checked_sub(1), &mut writing);
                let object = Object::read(&text).unwrap();
                let found = stored(&object, &mut reading, number).unwrap();
                let expected = if body.is_empty() { Stored::Nothing } else { Stored::Bytes(body.clone().into_bytes()) };
                prop_assert_eq!(found, expected);
            }
        }
    }
}
