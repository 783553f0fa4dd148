//! Reading the few fields a question needs out of a JSON object, whatever the others hold.
//!
//! Lines come from many versions of many programs: a field that is a string today was an object last year. A strict
//! derive would reject the whole line for it, and a debugger that hides a line hides evidence. So a field of an
//! unexpected type reads as absent, unknown fields are skipped without being built, and borrowed text is not copied.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A string where the value is one; `None` for any other JSON value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, if the value was a string.
    pub fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Borrowed(value))))
    }
    fn visit_str<E>(self, value: &str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(value.to_owned()))))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

/// A non-negative whole number where the value is one; `None` for any other JSON value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(Some(value)))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(u64::try_from(value).ok()))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Number, E> {
        Ok(Number(None))
    }
    fn visit_str<E>(self, _: &str) -> Result<Number, E> {
        Ok(Number(None))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }
    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
}

/// `true` or `false` where the value is one; `None` for any other JSON value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl<'de> Visitor<'de> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(Some(value)))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Flag, E> {
        Ok(Flag(None))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Flag, E> {
        Ok(Flag(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Flag, E> {
        Ok(Flag(None))
    }
    fn visit_str<E>(self, _: &str) -> Result<Flag, E> {
        Ok(Flag(None))
    }
    fn visit_unit<E>(self) -> Result<Flag, E> {
        Ok(Flag(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Flag, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Flag(None))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flag, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Flag(None))
    }
}

/// The first text of a message's `content`: the string itself, or the `text` of its first part that has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstText<'a>(pub Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for FirstText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstTextVisitor)
    }
}

struct FirstTextVisitor;

impl<'de> Visitor<'de> for FirstTextVisitor {
    type Value = FirstText<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<FirstText<'de>, E> {
        Ok(FirstText(Some(Cow::Borrowed(value))))
    }
    fn visit_str<E>(self, value: &str) -> Result<FirstText<'de>, E> {
        Ok(FirstText(Some(Cow::Owned(value.to_owned()))))
    }
    fn visit_bool<E>(self, _: bool) -> Result<FirstText<'de>, E> {
        Ok(FirstText(None))
    }
    fn visit_i64<E>(self, _: i64) -> Result<FirstText<'de>, E> {
        Ok(FirstText(None))
    }
    fn visit_u64<E>(self, _: u64) -> Result<FirstText<'de>, E> {
        Ok(FirstText(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<FirstText<'de>, E> {
        Ok(FirstText(None))
    }
    fn visit_unit<E>(self) -> Result<FirstText<'de>, E> {
        Ok(FirstText(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FirstText<'de>, A::Error> {
        let mut first = None;
        while first.is_none() {
            match seq.next_element::<Part<'de>>()? {
                Some(Part(text)) => first = text,
                None => return Ok(FirstText(first)),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(FirstText(first))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FirstText<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(FirstText(None))
    }
}

/// One content part: its `text`, if it has one.
struct Part<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Part<'de>, E> {
        Ok(Part(Some(Cow::Borrowed(value))))
    }
    fn visit_str<E>(self, value: &str) -> Result<Part<'de>, E> {
        Ok(Part(Some(Cow::Owned(value.to_owned()))))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Part<'de>, E> {
        Ok(Part(None))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Part<'de>, E> {
        Ok(Part(None))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Part<'de>, E> {
        Ok(Part(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Part<'de>, E> {
        Ok(Part(None))
    }
    fn visit_unit<E>(self) -> Result<Part<'de>, E> {
        Ok(Part(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Part<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Part(None))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part<'de>, A::Error> {
        let mut text = None;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if text.is_none() && key.get() == Some("text") {
                text = map.next_value::<Text<'de>>()?.0;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Part(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_another_type_reads_as_absent() {
        for json in [
            "1",
            "-1",
            "1.5",
            "true",
            "null",
            "[1,[2]]",
            "{\"a\":{\"b\":1}}",
        ] {
            assert_eq!(
                serde_json::from_str::<Text<'_>>(json).unwrap(),
                Text(None),
                "{json}"
            );
        }
        assert_eq!(
            serde_json::from_str::<Text<'_>>("\"a\\nb\"").unwrap().get(),
            Some("a\nb")
        );
        assert_eq!(
            serde_json::from_str::<Number>("7").unwrap(),
            Number(Some(7))
        );
        assert_eq!(
            serde_json::from_str::<Number>("\"7\"").unwrap(),
            Number(None)
        );
        assert_eq!(
            serde_json::from_str::<Flag>("false").unwrap(),
            Flag(Some(false))
        );
        assert_eq!(serde_json::from_str::<Flag>("[]").unwrap(), Flag(None));
    }

    #[test]
    fn first_text_is_found_in_every_shape_of_content() {
        let first = |json: &str| {
            serde_json::from_str::<FirstText<'_>>(json)
                .unwrap()
                .0
                .map(Cow::into_owned)
        };
        assert_eq!(first("\"hi\""), Some("hi".into()));
        assert_eq!(
            first(r#"[{"type":"input_image"},{"type":"input_text","text":"hi"},{"text":"no"}]"#),
            Some("hi".into())
        );
        assert_eq!(first("[]"), None);
        assert_eq!(first("{\"text\":\"hi\"}"), None);
        assert_eq!(first("null"), None);
    }
}
