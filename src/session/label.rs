//! What people see of an item: its id, its tool's name and the beginning of its text.
//!
//! Items themselves carry no text. A label is made from an item's JSON when it is shown, or kept by a reader that has the
//! JSON at hand. Labels hold text from a recording as it is; whoever draws them makes it harmless.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ids::ItemIndex;

/// Labels of the items that a report shows.
pub type Labels = BTreeMap<ItemIndex, Label>;

/// How much of a text a label keeps, in characters.
pub const LABEL_TEXT: usize = 120;

/// What people see of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The item's `id`.
    pub id: Option<Box<str>>,
    /// The item's `call_id`.
    pub call_id: Option<Box<str>>,
    /// The tool's name.
    pub name: Option<Box<str>>,
    /// The role of a message.
    pub role: Option<Box<str>>,
    /// The beginning of its text, arguments, input or output.
    pub text: Box<str>,
}

impl Label {
    /// Makes a label from an item's JSON; an empty one if it is none.
    pub fn of(json: &str) -> Self {
        serde_json::from_str::<Value>(json)
            .map_or_else(|_| Self::default(), |value| Self::of_value(&value))
    }

    /// Makes a label from an item.
    pub fn of_value(item: &Value) -> Self {
        let text = |key: &str| {
            item.get(key)
                .and_then(Value::as_str)
                .map(|text| clip(text).into_boxed_str())
        };
        Self {
            id: text("id"),
            call_id: text("call_id"),
            name: text("name"),
            role: text("role"),
            text: clip(&words(item)).into_boxed_str(),
        }
    }
}

fn words(item: &Value) -> String {
    for key in [
        "arguments",
        "input",
        "output",
        "content",
        "summary",
        "action",
        "operation",
        "query",
    ] {
        match item.get(key) {
            Some(Value::String(text)) => return text.clone(),
            Some(Value::Array(parts)) => {
                let texts: Vec<&str> = parts
                    .iter()
                    .filter_map(|part| part.get("text").and_then(Value::as_str))
                    .collect();
                if !texts.is_empty() {
                    return texts.join(" ");
                }
            }
            Some(Value::Object(_)) => {
                return item.get(key).map(Value::to_string).unwrap_or_default();
            }
            _ => {}
        }
    }
    String::new()
}

fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(LABEL_TEXT).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_show_name_and_text() {
        let label = Label::of(
            r#"{"type":"function_call","id":"fc_1","call_id":"c","name":"shell","arguments":"{\"a\":1}"}"#,
        );
        assert_eq!(label.name.as_deref(), Some("shell"));
        assert_eq!(&*label.text, "{\"a\":1}");
        assert_eq!(label.id.as_deref(), Some("fc_1"));
        let message = Label::of(r#"{"role":"user","content":[{"text":"go"},{"text":"on"}]}"#);
        assert_eq!(
            (message.role.as_deref(), &*message.text),
            (Some("user"), "go on")
        );
    }

    #[test]
    fn long_texts_are_clipped_and_nonsense_is_empty() {
        let long = "é".repeat(500);
        let label = Label::of(&format!(r#"{{"content":"{long}"}}"#));
        assert_eq!(label.text.chars().count(), LABEL_TEXT + 1);
        assert_eq!(Label::of("nonsense"), Label::default());
    }
}
