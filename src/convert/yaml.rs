//! YAML as far as cassettes need it: documents cut into the elements of one list, each a tree of bounded size.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// How deep a document may be.
const MAX_DEPTH: usize = 100;

/// How many nodes an element may have, aliases followed.
const MAX_NODES: u64 = 2_000_000;

/// How many bytes its texts may have, aliases followed: 512 MiB.
const MAX_BYTES: u64 = 512 << 20;

/// A value.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// What it is with aliases followed.
    nodes: u64,
    bytes: u64,
}

#[derive(Debug)]
pub(super) enum Value {
    /// A text; `true` if it is bare, so that it may mean a number, a boolean or nothing.
    Text(String, bool),
    /// A text that stands for bytes (`!!binary`).
    Base64(String),
    List(Vec<Rc<Node>>),
    Map(Vec<(String, Rc<Node>)>),
}

impl Node {
    fn text(text: String, bare: bool) -> Rc<Self> {
        Rc::new(Self {
            nodes: 1,
            bytes: text.len() as u64,
            value: Value::Text(text, bare),
        })
    }

    /// The member of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(members) => members
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, node)| &**node),
            _ => None,
        }
    }

    /// Its text, if it is one and means something.
    pub(super) fn str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text, bare) if !(*bare && is_null(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Text(text, true) if is_null(text))
    }

    /// The value as JSON. Bare texts are what YAML takes them for.
    pub(super) fn json(&self, out: &mut String) {
        match &self.value {
            Value::Text(text, true) if is_null(text) => out.push_str("null"),
            Value::Text(text, true) if matches!(text.as_str(), "true" | "True" | "TRUE") => {
                out.push_str("true");
            }
            Value::Text(text, true) if matches!(text.as_str(), "false" | "False" | "FALSE") => {
                out.push_str("false");
            }
            Value::Text(text, true) if is_number(text) => out.push_str(text),
            Value::Text(text, _) | Value::Base64(text) => {
                crate::wire::raw::push_string(out, text);
            }
            Value::List(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    element.json(out);
                }
                out.push(']');
            }
            Value::Map(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    crate::wire::raw::push_string(out, key);
                    out.push(':');
                    value.json(out);
                }
                out.push('}');
            }
        }
    }

    /// The same tree out of JSON.
    pub(super) fn of_json(value: serde_json::Value) -> Rc<Self> {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Value::Text(String::new(), true),
            Json::Bool(it) => Value::Text(it.to_string(), true),
            Json::Number(it) => Value::Text(it.to_string(), true),
            Json::String(it) => Value::Text(it, false),
            Json::Array(it) => Value::List(it.into_iter().map(Self::of_json).collect()),
            Json::Object(it) => Value::Map(
                it.into_iter()
                    .map(|(key, value)| (key, Self::of_json(value)))
                    .collect(),
            ),
        };
        Rc::new(Self {
            value,
            nodes: 1,
            bytes: 0,
        })
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// Something that is being built.
enum Half {
    List(Vec<Rc<Node>>),
    Map(Vec<(String, Rc<Node>)>, Option<String>),
}

/// What is handed on: an element of the list, with its line, or any other value of the document.
pub(super) enum Found {
    /// An element of one of the lists that were asked for (or of a document that is one).
    Element(Rc<Node>, u32),
    /// A whole document that holds none of the lists.
    Document(Rc<Node>, u32),
}

/// Reads documents and hands on the elements of their lists `lists`.
///
/// # Errors
/// The line, and what is wrong there.
pub(super) fn read(
    text: &str,
    lists: &[&str],
    take: &mut dyn FnMut(Found),
) -> Result<(), (u32, String)> {
    let mut reading = Reading {
        lists,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        took: false,
        element_line: 1,
    };
    let mut last = 1;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line() as u32;
            (line, error.info().to_owned())
        })?;
        last = span.start.line() as u32;
        reading
            .event(event, last, take)
            .map_err(|what| (last, what.to_owned()))?;
    }
    if reading.stack.is_empty() {
        Ok(())
    } else {
        Err((last, "the file ends in the middle of a value".to_owned()))
    }
}

struct Reading<'a> {
    lists: &'a [&'a str],
    /// What is open, with its anchor and its line.
    stack: Vec<(Half, usize, u32)>,
    anchors: BTreeMap<usize, Rc<Node>>,
    took: bool,
    element_line: u32,
}

impl Reading<'_> {
    fn event(
        &mut self,
        event: Event<'_>,
        line: u32,
        take: &mut dyn FnMut(Found),
    ) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(_) => {
                self.took = false;
                self.element_line = line;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let binary = tag.as_ref().is_some_and(|tag| tag.suffix == "binary");
                let string = tag.as_ref().is_some_and(|tag| tag.suffix == "str");
                let bare = style == ScalarStyle::Plain && !string;
                let node = if binary {
                    Rc::new(Node {
                        nodes: 1,
                        bytes: text.len() as u64,
                        value: Value::Base64(text.into_owned()),
                    })
                } else {
                    Node::text(text.into_owned(), bare)
                };
                self.whole(node, anchor, line, take);
            }
            Event::SequenceStart(anchor, _) => self.open(Half::List(Vec::new()), anchor, line)?,
            Event::MappingStart(anchor, _) => {
                self.open(Half::Map(Vec::new(), None), anchor, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((half, anchor, begun)) = self.stack.pop() else {
                    return Err("something ends that did not begin");
                };
                let value = match half {
                    Half::List(elements) => Value::List(elements),
                    Half::Map(members, _) => Value::Map(members),
                };
                self.whole(measured(value)?, anchor, begun, take);
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
                    return Err("an alias inside of what it stands for");
                };
                self.whole(node, 0, line, take);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, half: Half, anchor: usize, line: u32) -> Result<(), &'static str> {
        if self.stack.len() >= MAX_DEPTH {
            return Err("nested too deeply");
        }
        self.stack.push((half, anchor, line));
        Ok(())
    }

    /// Whether the innermost list that is open is one that was asked for.
    fn is_asked_for(&self) -> bool {
        match self.stack.as_slice() {
            [(Half::List(_), ..)] => true,
            [(Half::Map(_, Some(key)), ..), (Half::List(_), ..)] => {
                self.lists.contains(&key.as_str())
            }
            _ => false,
        }
    }

    fn whole(&mut self, node: Rc<Node>, anchor: usize, line: u32, take: &mut dyn FnMut(Found)) {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        if self.is_asked_for() {
            self.took = true;
            take(Found::Element(node, line));
            return;
        }
        match self.stack.last_mut() {
            None => {
                if !self.took {
                    take(Found::Document(node, self.element_line));
                }
            }
            Some((Half::List(elements), ..)) => elements.push(node),
            Some((Half::Map(members, key), ..)) => match key.take() {
                Some(key) => members.push((key, node)),
                None => match &node.value {
                    Value::Text(text, _) => *key = Some(text.clone()),
                    _ => *key = Some(String::new()),
                },
            },
        }
    }
}

/// Counts a value; one that is too large is an error.
fn measured(value: Value) -> Result<Rc<Node>, &'static str> {
    let (mut nodes, mut bytes) = (1_u64, 0_u64);
    let mut add = |node: &Node| {
        nodes = nodes.saturating_add(node.nodes);
        bytes = bytes.saturating_add(node.bytes);
    };
    match &value {
        Value::List(elements) => elements.iter().for_each(|it| add(it)),
        Value::Map(members) => members.iter().for_each(|(_, it)| add(it)),
        Value::Text(..) | Value::Base64(_) => {}
    }
    if nodes > MAX_NODES || bytes > MAX_BYTES {
        return Err("its aliases stand for more than is read");
    }
    Ok(Rc::new(Node {
        value,
        nodes,
        bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Result<Vec<String>, (u32, String)> {
        let mut found = Vec::new();
        read(text, &["list"], &mut |it| {
            let (kind, node, line) = match it {
                Found::Element(node, line) => ("element", node, line),
                Found::Document(node, line) => ("document", node, line),
            };
            let mut json = String::new();
            node.json(&mut json);
            found.push(format!("{kind} {line} {json}"));
        })?;
        Ok(found)
    }

    #[test]
    fn elements_are_handed_on_one_by_one() {
        let text = "version: 1\nlist:\n- a: [1, 1.5, ~, true, 'true', x]\n  b: &x |+\n    two\n    lines\n\n- *x\n";
        assert_eq!(
            all(text).unwrap(),
            [
                r#"element 3 {"a":[1,1.5,null,true,"true","x"],"b":"two\nlines\n\n"}"#,
                r#"element 8 "two\nlines\n\n""#
            ]
        );
        assert_eq!(all("- 1\n- 2").unwrap(), ["element 1 1", "element 2 2"]);
        assert_eq!(
            all("when: 1\n---\nwhen: 2\n").unwrap(),
            [r#"document 1 {"when":1}"#, r#"document 2 {"when":2}"#]
        );
        assert!(all("list:\n- 'torn").is_err());
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            let many = vec![format!("*a{before}"); 10].join(", ");
            bomb += &[
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &many,
                "]\n",
            ]
            .concat();
        }
        assert!(all(&bomb).unwrap_err().1.contains("aliases"));
        let deep = "[".repeat(100_000);
        assert!(all(&deep).is_err());
        assert!(all("a: &a [*a]").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[-a-z:&*!|>'\"\\[\\]{}, \n]{0,80}") {
            let _maybe = all(&text);
        }
    }
}
