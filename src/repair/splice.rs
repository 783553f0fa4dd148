//! Changes to single members of a JSON object that leave every other member as it was spelled.

use crate::wire::raw::{Object, push_string};

/// One member: its new value as JSON, or `None` to leave it out.
pub(crate) type Member<'a> = (&'a str, Option<&'a str>);

/// `text` with members replaced, left out, or, where they were absent, added at the end. A text that is no object comes
/// back as it is.
pub(crate) fn with(text: &str, changes: &[Member<'_>]) -> String {
    let Some(object) = Object::read(text) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(text.len() + 64);
    let mut seen: Vec<&str> = Vec::new();
    out.push('{');
    for (key, value) in object.members() {
        let change = changes.iter().find(|(name, _)| *name == key);
        let value = match change {
            Some((_, None)) => continue,
            // a key that stands twice keeps its first place only
            Some((name, Some(_))) if seen.contains(name) => continue,
            Some((name, Some(value))) => {
                seen.push(name);
                value
            }
            None => value.get(),
        };
        push_member(&mut out, key, value);
    }
    for (key, value) in changes {
        if let Some(value) = value.filter(|_| !seen.contains(key)) {
            push_member(&mut out, key, value);
        }
    }
    out.push('}');
    out
}

fn push_member(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    push_string(out, key);
    out.push(':');
    out.push_str(value);
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_replaced_left_out_and_added_and_the_others_keep_their_spelling() {
        let text = r#"{"a":1.50,"b":[1, 2],"c":null}"#;
        assert_eq!(
            with(
                text,
                &[("b", None), ("c", Some("\"x\"")), ("d", Some("{}"))]
            ),
            r#"{"a":1.50,"c":"x","d":{}}"#
        );
        assert_eq!(with(text, &[]), r#"{"a":1.50,"b":[1, 2],"c":null}"#);
        assert_eq!(with("[1]", &[("a", None)]), "[1]");
        assert_eq!(with(r#"{"a":1,"a":2}"#, &[("a", Some("3"))]), r#"{"a":3}"#);
        assert_eq!(with("{}", &[("a", Some("3"))]), r#"{"a":3}"#);
    }
}
