//! How an event is looked at: what of it counts, what is an id, what is JSON inside a text.
//!
//! One place decides, for everything that compares or prints: [`Lens::print`] makes a number of what counts, ids left
//! open; [`Lens::spell`] writes what counts as one text.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher as _};

use super::json::{Node, parse};
use super::measured::{without_date, without_times};
use super::named::{is_id, is_uuid, may_quote, process};
use super::rules::{Path, Rules, mix};
use crate::ids::Interner;
use crate::wire::raw::push_string;

/// Words shorter than this are no ids inside of texts.
const SHORTEST: usize = 6;

/// How a text is to be looked at.
pub(super) enum Seen<'t> {
    /// An id as a whole.
    Id(Cow<'t, str>),
    /// JSON inside a text.
    Json(Node<'t>),
    /// A text, with what is set aside in it taken out.
    Text(Cow<'t, str>),
}

/// A piece of a text.
pub(super) enum Piece<'t> {
    Plain(&'t str),
    Id(&'t str),
}

/// An id where it stands: the number of its place, and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdAt {
    pub(super) place: u64,
    pub(super) id: u32,
}

/// How events are looked at.
#[derive(Clone, Copy)]
pub(super) struct Lens<'a> {
    pub(super) rules: &'a Rules,
    /// The ids of the session.
    pub(super) known: &'a Interner,
}

/// The members of an object.
pub(super) type Members<'a> = [(Cow<'a, str>, Node<'a>)];

impl Lens<'_> {
    /// How the text at a place is to be looked at.
    pub(super) fn text<'t>(&self, path: &Path<'_>, text: &'t str, quoted: bool) -> Seen<'t> {
        if !quoted && !text.is_empty() && is_id(path) {
            return Seen::Id(Cow::Borrowed(text));
        }
        if !quoted && may_quote(path) {
            let trimmed = text.trim_start();
            if trimmed.starts_with(['{', '['])
                && let Some(node) = parse(text)
            {
                return Seen::Json(node);
            }
        }
        if path.is_in_item_output() && self.rules.row("codex-output") {
            return Seen::Text(without_times(text));
        }
        if path.is_in_item_content() && self.rules.row("times") {
            return Seen::Text(without_date(text));
        }
        Seen::Text(Cow::Borrowed(text))
    }

    /// Whether a member of an object does not count.
    pub(super) fn skips(
        &self,
        path: &Path<'_>,
        node: &Node<'_>,
        members: &Members<'_>,
        quoted: bool,
    ) -> bool {
        self.rules.aside(path, quoted)
            || self.rules.nothing(node, quoted)
            || quoted && self.is_of_a_run(path, members)
    }

    /// Whether a member of JSON in an output is the chunk id or the wall time of what a command of Codex came to, as its
    /// JavaScript tool hands it to scripts: `{"chunk_id", "wall_time_seconds", "exit_code", "original_token_count", "output"}`.
    fn is_of_a_run(&self, path: &Path<'_>, members: &Members<'_>) -> bool {
        matches!(path.name(), "chunk_id" | "wall_time_seconds")
            && ["wall_time_seconds", "output"]
                .iter()
                .all(|name| members.iter().any(|(key, _)| key == name))
            && path.is_in_item_output()
            && self.rules.row("codex-output")
            && !self.rules.keeps(path)
    }

    /// Takes a text apart into ids and what stands between them.
    pub(super) fn pieces<'t>(&self, text: &'t str, mut take: impl FnMut(Piece<'t>)) {
        if !text.contains(['_', '-']) {
            return take(Piece::Plain(text));
        }
        let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let bytes = text.as_bytes();
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or(&[]);
            let Some(start) = rest.iter().position(|byte| part(*byte)) else {
                break;
            };
            let start = at + start;
            let word = bytes.get(start..).unwrap_or(&[]);
            let length = word
                .iter()
                .position(|byte| !part(*byte))
                .unwrap_or(word.len());
            at = start + length;
            let word = text.get(start..at).unwrap_or("");
            if length >= SHORTEST && word.contains(['_', '-']) && self.names_an_id(word) {
                if start > from {
                    take(Piece::Plain(text.get(from..start).unwrap_or("")));
                }
                take(Piece::Id(word));
                from = at;
            }
        }
        if from < text.len() || text.is_empty() {
            take(Piece::Plain(text.get(from..).unwrap_or("")));
        }
    }

    fn names_an_id(&self, word: &str) -> bool {
        is_uuid(word) || self.known.find(word.as_bytes()).is_some()
    }

    /// A number for what counts of a value, without its ids, which are put into `ids`.
    pub(super) fn print(
        &self,
        node: &Node<'_>,
        path: &Path<'_>,
        quoted: bool,
        ids: &mut Vec<IdAt>,
    ) -> u64 {
        match node {
            Node::Null => 1,
            Node::Flag(flag) => 2 + u64::from(*flag),
            Node::Number(number) if path.name() == "session_id" => {
                self.put(path.hash, &process(number), ids)
            }
            Node::Number(number) => of(4, number),
            Node::Text(text) => match self.text(path, text, quoted) {
                Seen::Id(id) => self.put(path.hash, &id, ids),
                Seen::Json(node) => mix(6, self.print(&node, path, true, ids)),
                Seen::Text(text) => self.print_text(path, &text, ids),
            },
            Node::List(list) => {
                let mut sum = 7;
                for (at, node) in list.iter().enumerate() {
                    let path = path.index(at);
                    if !self.rules.aside(&path, quoted) {
                        sum = mix(sum, self.print(node, &path, quoted, ids));
                    }
                }
                mix(sum, list.len() as u64)
            }
            Node::Object(members) => {
                let mut prints = Vec::with_capacity(members.len());
                for (key, node) in members {
                    let path = path.key(key);
                    if self.skips(&path, node, members, quoted) {
                        continue;
                    }
                    prints.push((path.hash, self.print(node, &path, quoted, ids)));
                }
                prints.sort_unstable();
                prints
                    .iter()
                    .fold(8, |sum, (key, value)| mix(mix(sum, *key), *value))
            }
        }
    }

    fn print_text(&self, path: &Path<'_>, text: &str, ids: &mut Vec<IdAt>) -> u64 {
        let mut sum = 5;
        let mut count = 0;
        self.pieces(text, |piece| {
            sum = match piece {
                Piece::Plain(text) => mix(sum, of(9, text)),
                Piece::Id(id) => {
                    count += 1;
                    mix(sum, self.put(mix(path.hash, count), id, ids))
                }
            };
        });
        sum
    }

    fn put(&self, place: u64, id: &str, ids: &mut Vec<IdAt>) -> u64 {
        if !self.rules.row("ids") {
            return of(10, id);
        }
        match self.known.find(id.as_bytes()) {
            Some(id) => {
                ids.push(IdAt { place, id });
                11
            }
            None => of(10, id),
        }
    }

    /// Writes what counts of a value as JSON with sorted members; `name` says what an id is called.
    pub(super) fn spell(
        &self,
        out: &mut String,
        node: &Node<'_>,
        path: &Path<'_>,
        quoted: bool,
        name: &mut dyn FnMut(&str) -> String,
    ) {
        match node {
            Node::Null => out.push_str("null"),
            Node::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Node::Number(number) if path.name() == "session_id" => {
                push_string(out, &self.named(&process(number), name));
            }
            Node::Number(number) => out.push_str(number),
            Node::Text(text) => match self.text(path, text, quoted) {
                Seen::Id(id) => push_string(out, &self.named(&id, name)),
                Seen::Json(node) => {
                    let mut inner = String::new();
                    self.spell(&mut inner, &node, path, true, name);
                    push_string(out, &inner);
                }
                Seen::Text(text) => push_string(out, &self.renamed(&text, name)),
            },
            Node::List(list) => {
                out.push('[');
                let mut first = true;
                for (at, node) in list.iter().enumerate() {
                    let path = path.index(at);
                    if self.rules.aside(&path, quoted) {
                        continue;
                    }
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    self.spell(out, node, &path, quoted, name);
                }
                out.push(']');
            }
            Node::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                out.push('{');
                let mut first = true;
                for (key, node) in sorted {
                    let path = path.key(key);
                    if self.skips(&path, node, members, quoted) {
                        continue;
                    }
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    push_string(out, key);
                    out.push(':');
                    self.spell(out, node, &path, quoted, name);
                }
                out.push('}');
            }
        }
    }

    fn named(&self, id: &str, name: &mut dyn FnMut(&str) -> String) -> String {
        if self.rules.row("ids") {
            name(id)
        } else {
            id.to_owned()
        }
    }

    /// A text with its ids called by their names.
    pub(super) fn renamed(&self, text: &str, name: &mut dyn FnMut(&str) -> String) -> String {
        let mut out = String::with_capacity(text.len());
        self.pieces(text, |piece| match piece {
            Piece::Plain(text) => out.push_str(text),
            Piece::Id(id) => out.push_str(&self.named(id, name)),
        });
        out
    }
}

fn of(kind: u8, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(kind);
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::named::collect;
    use super::*;

    #[test]
    fn the_day_is_taken_out_of_what_codex_says_of_its_surroundings() {
        let known = Interner::default();
        let item = |text: &str| {
            let text = serde_json::to_string(text).unwrap();
            format!(r#"{{"role":"user","content":[{{"type":"input_text","text":{text}}}]}}"#)
        };
        let context = |day: &str| {
            item(&format!(
                "<environment_context>\n  <current_date>{day}</current_date>\n</environment_context>"
            ))
        };
        let one = print(&context("2026-11-20"), &known).0;
        assert_eq!(one, print(&context("2026-11-21"), &known).0);
        assert_ne!(one, print(&context("someday!!!"), &known).0);
        let said = |day: &str| item(&format!("it is <current_date>{day}</current_date>"));
        assert_ne!(
            print(&said("2026-11-20"), &known).0,
            print(&said("2026-11-21"), &known).0
        );
    }

    #[test]
    fn a_run_of_a_command_is_told_from_other_json() {
        let known = Interner::default();
        let item = |id: &str, seconds: &str, more: &str| {
            let json = format!(r#"{{"chunk_id":"{id}","wall_time_seconds":{seconds}{more}}}"#);
            let json = serde_json::to_string(&json).unwrap();
            format!(
                r#"{{"type":"custom_tool_call_output","output":[{{"type":"input_text","text":{json}}}]}}"#
            )
        };
        let run = r#","exit_code":0,"output":"hi""#;
        let one = print(&item("a1", "0.1", run), &known).0;
        assert_eq!(one, print(&item("b2", "0.25", run), &known).0);
        // what another tool says is what it says
        let other = print(&item("a1", "0.1", ""), &known).0;
        assert_ne!(other, print(&item("b2", "0.1", ""), &known).0);
        assert_ne!(other, print(&item("a1", "0.2", ""), &known).0);
    }

    fn print(item: &str, known: &Interner) -> (u64, Vec<IdAt>) {
        let rules = Rules::default();
        let lens = Lens {
            rules: &rules,
            known,
        };
        let mut ids = Vec::new();
        let print = lens.print(&parse(item).unwrap(), &Path::root("item"), false, &mut ids);
        (print, ids)
    }

    #[test]
    fn spelling_and_ids_make_no_difference() {
        let mut known = Interner::default();
        let a = r#"{"type":"function_call_output","call_id":"call_abc","output":"{\"b\": 1, \"a\":\"call_abc\", \"metadata\":{\"duration_seconds\":1}}"}"#;
        let b = r#"{"output":"{\"a\":\"call_xyz\",\"b\":1,\"metadata\":{\"duration_seconds\":2}}","type":"function_call_output","call_id":"call_xyz","status":null}"#;
        for text in [a, b] {
            collect(&parse(text).unwrap(), &Path::root("item"), &mut known);
        }
        let (left, ids) = print(a, &known);
        assert_eq!(ids.len(), 2);
        assert_eq!(left, print(b, &known).0);
        assert_ne!(left, print(&a.replace(": 1,", ": 2,"), &known).0);
    }
}
