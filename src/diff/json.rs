//! JSON as a borrowed tree that loses nothing: numbers keep their digits, half surrogates are no error.

use std::borrow::Cow;

use crate::wire::raw::string;

/// Values nested deeper than this are compared as text.
const MAX_DEPTH: u32 = 128;

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Flag(bool),
    /// A number as it is spelled.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Reads exactly one JSON value; `None` if the text is none, or nested too deep.
pub(super) fn parse(text: &str) -> Option<Node<'_>> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.value(0)?;
    parser.space();
    (parser.at == text.len()).then_some(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Option<Node<'a>> {
        self.text
            .get(self.at..)?
            .starts_with(word)
            .then(|| self.at += word.len())?;
        Some(node)
    }

    fn value(&mut self, depth: u32) -> Option<Node<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => Some(Node::Text(self.string()?)),
            b't' => self.word("true", Node::Flag(true)),
            b'f' => self.word("false", Node::Flag(false)),
            b'n' => self.word("null", Node::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Node<'a>> {
        let rest = self.text.get(self.at..)?;
        let digit = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let end = rest.find(|c| !digit(c)).unwrap_or(rest.len());
        let number = rest.get(..end)?;
        number.parse::<f64>().ok()?;
        self.at += end;
        Some(Node::Number(number))
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        let mut escaped = false;
        loop {
            let found = memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
            end += found;
            if bytes.get(end) == Some(&b'"') {
                break;
            }
            escaped = true;
            end += 2;
        }
        self.at = end + 1;
        let inner = self.text.get(start + 1..end)?;
        if !escaped {
            return Some(Cow::Borrowed(inner));
        }
        // what serde cannot build (half a surrogate pair) stays as it is spelled
        Some(string(self.text.get(start..=end)?).unwrap_or(Cow::Borrowed(inner)))
    }

    fn list(&mut self, depth: u32) -> Option<Node<'a>> {
        self.eat(b'[')?;
        let mut list = Vec::new();
        self.space();
        if self.eat(b']').is_some() {
            return Some(Node::List(list));
        }
        loop {
            list.push(self.value(depth + 1)?);
            self.space();
            if self.eat(b',').is_none() {
                self.eat(b']')?;
                return Some(Node::List(list));
            }
        }
    }

    fn object(&mut self, depth: u32) -> Option<Node<'a>> {
        self.eat(b'{')?;
        let mut members = Vec::new();
        self.space();
        if self.eat(b'}').is_some() {
            return Some(Node::Object(members));
        }
        loop {
            self.space();
            (self.peek()? == b'"').then_some(())?;
            let key = self.string()?;
            self.space();
            self.eat(b':')?;
            members.push((key, self.value(depth + 1)?));
            self.space();
            if self.eat(b',').is_none() {
                self.eat(b'}')?;
                return Some(Node::Object(members));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_lost() {
        let text = r#" {"a":[1.0, 12345678901234567890123,-1e5],"b":"x\n\ud800","c":null,"d":{}} "#;
        let Some(Node::Object(members)) = parse(text) else {
            panic!("no object")
        };
        let Node::List(list) = &members[0].1 else {
            panic!("no list")
        };
        assert_eq!(list[1], Node::Number("12345678901234567890123"));
        assert_eq!(members[1].1, Node::Text(r"x\n\ud800".into()));
        assert_eq!(members[3].1, Node::Object(Vec::new()));
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "[1] 2",
            "tru",
            "\"a",
            "[2024-01-01]",
            "\"\\",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(parse(&deep), None);
    }

    proptest! {
        #[test]
        fn what_serde_reads_is_read(texts in proptest::collection::vec(".{0,12}", 0..6), n in any::<i64>()) {
            let value = serde_json::json!({"list": texts, "n": n, "o": {"k": null, "t": true}});
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert!(parse(&pretty).is_some());
            let compact = value.to_string();
            prop_assert_eq!(parse(&pretty), parse(&compact));
        }

        #[test]
        fn any_text_is_taken(text in ".{0,40}") {
            let _any = parse(&text);
        }
    }
}
