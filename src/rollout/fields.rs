//! Taking single fields out of JSON objects into a value that is already there.
//!
//! [`Object`] hands every key of an object to the value's [`Fields::field`] and skips what that does not want. Values of
//! another shape than expected are skipped, never refused. Long texts are never unescaped whole ([`Snippet`]): rules ask
//! only how a text begins, or whether it is one of the short sentences that say "aborted".

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::wire::lenient::Text;

/// A value that takes fields of a JSON object.
pub(super) trait Fields<'de> {
    /// Reads the value behind `key` if it is wanted; returns whether it was taken from `map`.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads the fields of an object into a value; gives whether there was an object.
pub(super) struct Object<'t, T>(pub(super) &'t mut T);

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The visits of a [`Visitor`] that skip a value and give `$nothing`.
macro_rules! skip_scalars {
    ($nothing:expr) => {
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("any JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($nothing)
        }
    };
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de, T: Fields<'de>> Visitor<'de> for Object<'_, T> {
    type Value = bool;

    skip_scalars!(false);
    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        skip_seq(seq).map(|()| false)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if !self.0.field(key.get().unwrap_or(""), &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(true)
    }
}

/// Reads the elements of an array, each into a fresh value; gives whether there was an array.
pub(super) struct Array<'t, T>(pub(super) &'t mut Vec<T>);

impl<'de, T: Fields<'de> + Default> DeserializeSeed<'de> for Array<'_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fields<'de> + Default> Visitor<'de> for Array<'_, T> {
    type Value = bool;

    skip_scalars!(false);
    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        skip_map(map).map(|()| false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        loop {
            let mut element = T::default();
            if seq.next_element_seed(Object(&mut element))?.is_none() {
                return Ok(true);
            }
            self.0.push(element);
        }
    }
}

/// A text, or as much of it as rules look at: whole up to 160 bytes, otherwise its first 96.
#[derive(Debug, Default)]
pub(super) struct Snippet<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Snippet<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Ok(Self(snippet(raw.get())))
    }
}

const WHOLE: usize = 160;
const BEGINNING: usize = 96;

/// What [`Snippet`] keeps of a JSON value; `None` if it is no string.
pub(super) fn snippet(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    // the one sentence that is told by its end (`wire::item::says_aborted`)
    let text = if inner.len() <= WHOLE || inner.ends_with("aborted by user") {
        inner
    } else {
        let cut = (0..=BEGINNING).rev().find(|at| inner.is_char_boundary(*at));
        inner.split_at(cut.unwrap_or(0)).0
    };
    Some(match text.split_once('\\') {
        Some(_) => Cow::Owned(unescape(text)),
        None => Cow::Borrowed(text),
    })
}

/// Resolves JSON escapes; a lone surrogate, or an escape that is cut off, becomes the replacement character.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut escape = after.chars();
        plain.push(match escape.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => unescape_unicode(&mut escape),
            Some(other) => other,
            None => char::REPLACEMENT_CHARACTER,
        });
        rest = escape.as_str();
    }
    plain.push_str(rest);
    plain
}

fn unescape_unicode(rest: &mut std::str::Chars<'_>) -> char {
    let Some(high) = four_digits(rest) else {
        return char::REPLACEMENT_CHARACTER;
    };
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let mut ahead = rest.clone();
    if ahead.next() == Some('\\')
        && ahead.next() == Some('u')
        && let Some(low @ 0xdc00..0xe000) = four_digits(&mut ahead)
    {
        *rest = ahead;
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    char::REPLACEMENT_CHARACTER
}

fn four_digits(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |code, _| Some(code * 16 + rest.next()?.to_digit(16)?))
}

/// Writes `\ufffd` for every `\uXXXX` that is half of a surrogate pair without its other half.
///
/// JavaScript writes such escapes and serde refuses them wherever it has to build the string.
pub(crate) fn mend_surrogates(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        mended.push(c);
        if c != '\\' {
            continue;
        }
        let before = rest.clone();
        match rest.next() {
            Some('u') => {
                let whole = rest.clone();
                let found = unescape_unicode(&mut rest);
                if found == char::REPLACEMENT_CHARACTER {
                    mended.push_str("ufffd");
                    rest = whole;
                    if four_digits(&mut rest.clone()).is_some() {
                        let _four = rest.by_ref().take(4).count();
                    }
                } else {
                    let taken = before.as_str().len() - rest.as_str().len();
                    mended.push_str(before.as_str().split_at(taken).0);
                }
            }
            Some(other) => mended.push(other),
            None => {}
        }
    }
    mended
}

/// The first text of a message's `content`, and whether there was any content at all.
pub(super) struct Content;

impl<'de> DeserializeSeed<'de> for Content {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[derive(Default)]
struct Part<'a>(Option<Cow<'a, str>>);

impl<'de> Fields<'de> for Part<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        let wanted = key == "text" && self.0.is_none();
        if wanted {
            self.0 = map.next_value::<Snippet<'de>>()?.0;
        }
        Ok(wanted)
    }
}

impl<'de> Visitor<'de> for Content {
    type Value = Option<Cow<'de, str>>;

    skip_scalars!(None);
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_owned())))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_map(map).map(|()| None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut part = Part(None);
        while part.0.is_none() {
            if seq.next_element_seed(Object(&mut part))?.is_none() {
                return Ok(None);
            }
        }
        skip_seq(seq).map(|()| part.0)
    }
}

/// The text of an error: a string, or the `message` of an object.
pub(super) struct ErrorText;

impl<'de> DeserializeSeed<'de> for ErrorText {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[derive(Default)]
struct Message<'a>(Option<Cow<'a, str>>);

impl<'de> Fields<'de> for Message<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        let wanted = key == "message";
        if wanted {
            self.0 = map.next_value::<Text<'de>>()?.0;
        }
        Ok(wanted)
    }
}

impl<'de> Visitor<'de> for ErrorText {
    type Value = Option<Cow<'de, str>>;

    skip_scalars!(None);
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_seq(seq).map(|()| None)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut message = Message::default();
        Object(&mut message).visit_map(map)?;
        Ok(message.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn snippets_begin_as_the_text_does_and_keep_short_texts_whole() {
        let of = |text: &str| {
            let json = serde_json::to_string(text).unwrap();
            snippet(&json).unwrap().into_owned()
        };
        assert_eq!(of("a\n\"b\"\\ \u{1F600}\u{1}"), "a\n\"b\"\\ \u{1F600}\u{1}");
        let long = "\n".repeat(2000);
        assert_eq!(of(&long), "\n".repeat(48));
        let ends = format!("Wall time: {}\naborted by user", "1".repeat(900));
        assert_eq!(of(&ends), ends);
        assert_eq!(snippet("12"), None);
        assert_eq!(snippet("\""), None);
    }

    #[test]
    fn lone_surrogates_are_mended_and_pairs_left_alone() {
        assert_eq!(
            mend_surrogates(r#"{"a\\u":"\ud83d\ude00 \ud83d \\ud83d \ude00 \u00e9"}"#),
            r#"{"a\\u":"\ud83d\ude00 \ufffd \\ud83d \ufffd \u00e9"}"#
        );
    }

    proptest! {
        #[test]
        fn unescaping_agrees_with_serde(text in ".{0,25}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(snippet(&json).unwrap().into_owned(), text);
        }

        #[test]
        fn mending_never_panics(text in "(\\\\|u|d83d|de00|[a-z\"]){0,30}") {
            mend_surrogates(&text);
            snippet(&format!("\"{text}\""));
        }
    }
}
