//! Small handles for the names a session is full of: call ids, item ids, response ids.
//!
//! A session of a gigabyte names hundreds of thousands of them, and every question the tool answers ("is this call
//! answered?") is a comparison of two. So text is stored once, in an [`Interner`], and everything else carries a
//! four-byte handle. Knows no wire format.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroU32;

use hashbrown::HashTable;

/// Line number in a file, counted from 1; 0 where a thing stands in no file.
pub type LineNo = u32;

/// A `(family, call_id)` pair of one session, see [`crate::wire::item::Family`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(NonZeroU32);

/// An item `id` of one session. Only equality is kept, not the text: the text is read again from its line when needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey(NonZeroU32);

/// A response id of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResponseKey(pub u32);

/// Index of an item in a session's [`crate::wire::item::Items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemIndex(pub u32);

macro_rules! dense {
    ($name:ident) => {
        impl $name {
            /// The key of this number, counted from 0.
            pub fn new(number: u32) -> Self {
                Self(NonZeroU32::MIN.saturating_add(number))
            }

            /// Its number, counted from 0.
            pub fn number(self) -> u32 {
                self.0.get() - 1
            }

            /// Its number as an index.
            pub fn index(self) -> usize {
                self.number() as usize
            }
        }
    };
}

dense!(CallKey);
dense!(ItemKey);

type Hasher = BuildHasherDefault<DefaultHasher>;

/// Stores each different text once and hands out dense numbers for it, in order of first appearance.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    table: HashTable<u32>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
    hasher: Hasher,
}

impl Interner {
    /// Returns the number of `text`, new or known.
    ///
    /// # Panics
    /// Never in practice: a session with more than 2^32 different ids is refused by the size limits of the readers.
    pub fn intern(&mut self, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        let (ends, bytes) = (&self.ends, &self.bytes);
        if let Some(&found) = self.table.find(hash, |&n| slice(ends, bytes, n) == text) {
            return found;
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
        let (ends, bytes, hasher) = (&self.ends, &self.bytes, &self.hasher);
        self.table
            .insert_unique(hash, number, |&n| hasher.hash_one(slice(ends, bytes, n)));
        number
    }

    /// Returns the number of `text` if it was interned before.
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.table
            .find(hash, |&n| slice(&self.ends, &self.bytes, n) == text)
            .copied()
    }

    /// Returns the text behind a number; empty for a number this interner never gave out.
    pub fn text(&self, number: u32) -> &[u8] {
        slice(&self.ends, &self.bytes, number)
    }

    /// How many different texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was interned.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

fn slice<'a>(ends: &[u32], bytes: &'a [u8], number: u32) -> &'a [u8] {
    let n = number as usize;
    let start = match n.checked_sub(1) {
        Some(before) => ends.get(before).copied().unwrap_or(0) as usize,
        None => 0,
    };
    let end = ends.get(n).copied().unwrap_or(0) as usize;
    bytes.get(start..end).unwrap_or(&[])
}

/// Numbers for texts whose equality matters and whose content does not: only a 64-bit hash is kept.
#[derive(Clone, Debug, Default)]
pub struct HashInterner {
    table: HashTable<u32>,
    hashes: Vec<u64>,
    /// How many texts were forgotten.
    before: u32,
    hasher: Hasher,
}

impl HashInterner {
    /// Returns the number of `text`, new or known.
    pub fn intern(&mut self, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        let hashes = &self.hashes;
        let get = |n: u32| hashes.get(n as usize).copied().unwrap_or(0);
        if let Some(&found) = self.table.find(hash, |&n| get(n) == hash) {
            return self.before + found;
        }
        let number = self.hashes.len() as u32;
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert_unique(hash, number, |&n| {
            hashes.get(n as usize).copied().unwrap_or(0)
        });
        self.before + number
    }

    /// Forgets the texts: those that come from now on are new ones.
    pub fn forget(&mut self) {
        self.before += self.hashes.len() as u32;
        self.table = HashTable::new();
        self.hashes = Vec::new();
    }

    /// How many different texts there are.
    pub fn len(&self) -> usize {
        self.before as usize + self.hashes.len()
    }

    /// Whether nothing was interned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A 64-bit fingerprint of some bytes, stable within one build of the program.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    Hasher::default().hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_a_number_and_keep_their_text() {
        let mut ids = Interner::default();
        let a = ids.intern(b"call_a");
        let b = ids.intern(b"call_b");
        let empty = ids.intern(b"");
        assert_eq!(ids.intern(b"call_a"), a);
        assert_ne!(a, b);
        assert_eq!(ids.text(a), b"call_a");
        assert_eq!(ids.text(b), b"call_b");
        assert_eq!(ids.text(empty), b"");
        assert_eq!(ids.find(b"call_b"), Some(b));
        assert_eq!(ids.find(b"call_c"), None);
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn hash_interner_tells_texts_apart() {
        let mut ids = HashInterner::default();
        let numbers: Vec<u32> = (0..1000)
            .map(|n: u32| ids.intern(&n.to_le_bytes()))
            .collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert_eq!(ids.intern(&7_u32.to_le_bytes()), 7);
    }
}
