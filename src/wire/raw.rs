//! JSON objects as the text they came in: keys in order, values unparsed.
//!
//! What is evidence must not be spelled anew. An [`Object`] borrows each value from the text it was read from, so a number
//! keeps its digits and a nested item can be hashed, measured or copied as it stands.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lenient::Text;

/// One JSON object: its members in order, values as text.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads `text`; `None` if it is not exactly one JSON object.
    pub fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The members in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> + '_ {
        self.members
            .iter()
            .map(|(key, value)| (key.as_ref(), *value))
    }

    /// The value of `key` (of the last one, should it stand twice).
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.members
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| *value)
    }

    /// The value of `key` as text of JSON; `None` where it is absent or `null`.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.get(key)
            .map(RawValue::get)
            .filter(|raw| *raw != "null")
    }

    /// The value of `key` if it is a string.
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(|raw| string(raw.get()))
    }

    /// The value of `key` if it is a non-negative whole number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(|raw| raw.get().parse().ok())
    }

    /// The value of `key` if it is a whole number that fits.
    pub fn small(&self, key: &str) -> Option<u32> {
        self.number(key).and_then(|n| u32::try_from(n).ok())
    }

    /// The value of `key` if it is `true` or `false`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The value of `key` if it is an object.
    pub fn object(&self, key: &str) -> Option<Object<'a>> {
        self.get(key).and_then(|raw| Object::read(raw.get()))
    }

    /// The elements of `key` if it is an array.
    pub fn array(&self, key: &str) -> Option<Vec<&'a RawValue>> {
        self.get(key).and_then(|raw| array(raw.get()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    members.push((key.0.unwrap_or_default(), map.next_value()?));
                }
                Ok(Object { members })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The text of a JSON string; `None` for any other value.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(raw).ok()?.0
}

/// The elements of a JSON array; `None` for any other value.
pub fn array(raw: &str) -> Option<Vec<&RawValue>> {
    if !raw.starts_with('[') {
        return None;
    }
    serde_json::from_str(raw).ok()
}

/// Where `part`, which was borrowed from `whole`, stands in it.
pub fn range_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// Whether a JSON text looks like an object.
pub fn is_object(raw: &str) -> bool {
    raw.trim_start().starts_with('{')
}

/// Spells a JSON text compactly: no white space between tokens, strings with the shortest escapes, numbers untouched.
///
/// The text must be JSON; of anything else some text is returned.
pub fn compact(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'"', rest.as_bytes()) {
        let (before, quoted) = rest.split_at(at);
        push_solid(&mut out, before);
        let (token, behind) = quoted.split_at(string_end(quoted));
        match string(token) {
            Some(text) => push_string(&mut out, &text),
            None => out.push_str(token),
        }
        rest = behind;
    }
    push_solid(&mut out, rest);
    out
}

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(json) => out.push_str(&json),
        Err(_) => out.push_str("\"\""),
    }
}

fn push_solid(out: &mut String, text: &str) {
    out.extend(
        text.chars()
            .filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')),
    );
}

/// The length of the string token that `quoted` begins with.
fn string_end(quoted: &str) -> usize {
    let bytes = quoted.as_bytes();
    let mut at = 1;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_keep_order_and_text() {
        let text = r#"{"b": 1.50, "a":{"x":[1, 2]},"b":"two","n":null,"t":true}"#;
        let object = Object::read(text).unwrap();
        let keys: Vec<_> = object.members().map(|(key, _)| key.to_owned()).collect();
        assert_eq!(keys, ["b", "a", "b", "n", "t"]);
        assert_eq!(object.text("b").as_deref(), Some("two"));
        assert_eq!(object.get("a").unwrap().get(), r#"{"x":[1, 2]}"#);
        assert_eq!(object.value("n"), None);
        assert_eq!(object.flag("t"), Some(true));
        assert_eq!(object.object("a").unwrap().array("x").unwrap().len(), 2);
        let inner = object.get("a").unwrap().get();
        let range = range_in(text, inner).unwrap();
        assert_eq!(text.get(range), Some(inner));
        assert!(Object::read("[1]").is_none() && Object::read("{} {}").is_none());
    }

    #[test]
    fn compact_changes_spelling_only() {
        assert_eq!(
            compact("{ \"a b\" : [1.0 , 1e5,\t\"\\u00e9\\\"\\\\\"] }"),
            "{\"a b\":[1.0,1e5,\"é\\\"\\\\\"]}"
        );
        assert_eq!(compact("\"\\ud800\""), "\"\\ud800\"");
        assert_eq!(compact("\"torn"), "\"torn");
    }

    proptest! {
        #[test]
        fn compact_keeps_the_value(texts in proptest::collection::vec(".{0,12}", 0..6)) {
            let value = serde_json::json!({"list": texts, "n": 1.5, "o": {"k": null}});
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty), value.to_string());
        }

        #[test]
        fn compact_takes_any_text(text in ".{0,40}") {
            let _any = compact(&text);
        }
    }
}
