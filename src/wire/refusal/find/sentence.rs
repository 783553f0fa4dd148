//! The sentences by which the API refuses a history, read out of any text (responses-api.md 1.1).
//!
//! Every family of sentences begins with an anchor that is looked up; what follows is read by a small cursor that also
//! notes how the sentence reads when nobody breaks its lines.

use super::super::{Named, RefusalKind};
use super::squeeze::{Gap, Squeezed};
use crate::wire::item::ItemKind;

/// The longest id that is believed in running text; ids of 64 and more characters are real, whole files are not.
const MAX_ID: usize = 1024;

/// How many lines an id may be broken into.
const MAX_PARTS: usize = 8;

/// How many levels of escapes are resolved: Codex prints a body escaped twice, a gateway may have escaped it before.
const MAX_ESCAPES: usize = 6;

/// A sentence that was found.
#[derive(Clone, Debug)]
pub(super) struct Sentence {
    /// What it names.
    pub(super) named: Named,
    /// The `n` of `input[n]`, where the sentence has one.
    pub(super) position: Option<u32>,
    /// The sentence as the API would have written it.
    pub(super) said: String,
}

/// Reads what follows an anchor.
type Read = fn(&mut Cursor<'_>) -> Option<Named>;

/// The families: how they begin, and who reads the rest.
const FAMILIES: [(&str, Read); 9] = [
    ("No tool output found for ", missing),
    ("No tool call found for ", orphan),
    // E13, before the wording of E11
    ("No function call found for ", orphan),
    ("Duplicate item found with id ", duplicate_item),
    ("Duplicate ", duplicate_pair),
    ("Item '", around_reasoning),
    ("Item with id '", not_found),
    ("Previous response with id '", previous),
    ("Invalid 'input[", invalid),
];

/// The words of a kind.
type Row = (&'static str, Option<ItemKind>);

/// Kinds whose [`ItemKind::words`] are their own, calls first, and the words that are no kind's.
static CALL_WORDS: [Row; 11] = [
    ("function call", Some(ItemKind::FunctionCall)),
    ("custom tool call", Some(ItemKind::CustomToolCall)),
    ("local shell call", Some(ItemKind::LocalShellCall)),
    ("computer call", Some(ItemKind::ComputerCall)),
    ("shell call", Some(ItemKind::ShellCall)),
    ("apply patch call", Some(ItemKind::ApplyPatchCall)),
    ("tool search call", Some(ItemKind::ToolSearchCall)),
    ("mcp approval request", Some(ItemKind::McpApprovalRequest)),
    ("web search call", Some(ItemKind::WebSearchCall)),
    ("mcp call", Some(ItemKind::McpCall)),
    ("tool call", None),
];

static OUTPUT_WORDS: [Row; 10] = [
    ("function call output", Some(ItemKind::FunctionCallOutput)),
    (
        "custom tool call output",
        Some(ItemKind::CustomToolCallOutput),
    ),
    (
        "local shell call output",
        Some(ItemKind::LocalShellCallOutput),
    ),
    ("computer call output", Some(ItemKind::ComputerCallOutput)),
    ("shell call output", Some(ItemKind::ShellCallOutput)),
    (
        "apply patch call output",
        Some(ItemKind::ApplyPatchCallOutput),
    ),
    ("tool search output", Some(ItemKind::ToolSearchOutput)),
    ("mcp approval response", Some(ItemKind::McpApprovalResponse)),
    ("tool call output", None),
    ("tool output", None),
];

/// Reads a string that is one sentence and nothing else, as `error.message` is when nobody touched it.
///
/// Here every byte is the API's: the id may have any characters, and exactly one dot ends the sentence.
pub(super) fn exact(message: &str) -> Option<Sentence> {
    let text = Squeezed::new(message);
    if !text.is_one_line() {
        return None;
    }
    FAMILIES
        .iter()
        .find_map(|(anchor, read)| {
            let mut cursor = Cursor::new(&text, 0, Source::Exact);
            cursor.words(anchor).then_some(())?;
            let named = read(&mut cursor)?;
            (cursor.at == text.bytes().len()).then(|| cursor.sentence(named))
        })
        .map(|sentence| Sentence {
            said: message.to_owned(),
            ..sentence
        })
}

/// Finds the first sentence in running text, behind as many levels of escapes as it takes.
pub(super) fn search(text: &str) -> Option<Sentence> {
    let mut text = Squeezed::new(text);
    for _ in 0..=MAX_ESCAPES {
        if let Some(sentence) = first(&text) {
            return Some(sentence);
        }
        text = text.unescape()?;
    }
    None
}

/// Finds a sentence in a text too long for [`search`]: only where an anchor stands as it is.
pub(super) fn glance(text: &str) -> Option<Sentence> {
    /// As much text as a sentence can need, and a few bytes before it for the quote that opens it.
    const WINDOW: usize = 8 * 1024;
    const BEFORE: usize = 16;
    /// Anchors that stand in a text more often than this are its subject, not a refusal.
    const TRIES: usize = 64;
    FAMILIES.iter().find_map(|(anchor, _)| {
        memchr::memmem::find_iter(text.as_bytes(), anchor.as_bytes())
            .take(TRIES)
            .find_map(|at| {
                let start =
                    (at.saturating_sub(BEFORE)..=at).find(|at| text.is_char_boundary(*at))?;
                let (_, rest) = text.split_at_checked(start)?;
                search(super::head(rest, WINDOW))
            })
    })
}

/// The sentence that stands first in `text`.
fn first(text: &Squeezed) -> Option<Sentence> {
    let mut best: Option<(usize, Sentence)> = None;
    for (anchor, read) in FAMILIES {
        for place in text.places(anchor) {
            if best.as_ref().is_some_and(|(at, _)| *at <= place) {
                break;
            }
            let mut cursor = Cursor::new(text, place, Source::Running);
            if cursor.words(anchor)
                && let Some(named) = read(&mut cursor)
            {
                best = Some((place, cursor.sentence(named)));
                break;
            }
        }
    }
    best.map(|(_, sentence)| sentence)
}

fn named(kind: RefusalKind, item_type: Option<ItemKind>, id: String) -> Named {
    Named {
        kind,
        item_type,
        id,
    }
}

/// `No tool output found for function call call_X.`
fn missing(cursor: &mut Cursor<'_>) -> Option<Named> {
    let kind = match cursor.one_of(&CALL_WORDS) {
        Some((_, kind)) => *kind,
        None => cursor.unknown_call().then_some(None)?,
    };
    cursor.words(" ");
    // DeepSeek says "tool call" and ends without a dot, and so do the hosted calls (E8 to E10)
    let dot = match kind {
        None | Some(ItemKind::WebSearchCall | ItemKind::McpCall) => Dot::Perhaps,
        Some(_) => Dot::Always,
    };
    let id = cursor.id(dot)?;
    Some(named(RefusalKind::MissingOutput, kind, id))
}

/// `No tool call found for function call output with call_id call_X.`
fn orphan(cursor: &mut Cursor<'_>) -> Option<Named> {
    let (_, kind) = cursor.one_of(&OUTPUT_WORDS)?;
    if !cursor.words(" with call_id ") {
        cursor.words(" ");
    }
    let id = cursor.id(Dot::Always)?;
    Some(named(RefusalKind::OrphanOutput, *kind, id))
}

/// `Duplicate item found with id msg_1. Remove duplicate items from your input and try again.`
fn duplicate_item(cursor: &mut Cursor<'_>) -> Option<Named> {
    let id = cursor.id(Dot::Always)?;
    cursor.words(" Remove duplicate items from your input and try again.");
    Some(named(RefusalKind::DuplicateItem, None, id))
}

/// The two sentences of our own: `Duplicate function call output found for call_id call_X.`
fn duplicate_pair(cursor: &mut Cursor<'_>) -> Option<Named> {
    let (kind, (_, item_type)) = match cursor.one_of(&OUTPUT_WORDS) {
        Some(row) => (RefusalKind::DuplicateOutput, row),
        None => (RefusalKind::DuplicateCall, cursor.one_of(&CALL_WORDS)?),
    };
    let tail = match kind {
        RefusalKind::DuplicateOutput => " found for call_id ",
        _ => " found with call_id ",
    };
    cursor.words(tail).then_some(())?;
    let id = cursor.id(Dot::Always)?;
    Some(named(kind, *item_type, id))
}

/// `Item 'rs_1' of type 'reasoning' was provided without its required following item.` and its converse.
fn around_reasoning(cursor: &mut Cursor<'_>) -> Option<Named> {
    let id = cursor.quoted()?;
    cursor.words("' of type '").then_some(())?;
    let item_type = Some(ItemKind::from_type(&cursor.quoted()?));
    cursor
        .words("' was provided without its required ")
        .then_some(())?;
    if cursor.words("following item") {
        cursor.words(".");
        return Some(named(RefusalKind::ReasoningWithoutFollower, item_type, id));
    }
    cursor.words("'reasoning' item").then_some(())?;
    if cursor.words(": '") {
        cursor.quoted()?;
        cursor.words("'.");
    }
    Some(named(RefusalKind::ItemWithoutReasoning, item_type, id))
}

/// `Item with id 'rs_1' not found.`, with or without the sentence about `store`.
fn not_found(cursor: &mut Cursor<'_>) -> Option<Named> {
    let id = cursor.quoted()?;
    cursor.words("' not found").then_some(())?;
    cursor.words(".");
    cursor.words(
        " Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.",
    );
    Some(named(
        RefusalKind::ItemNotFound,
        Some(ItemKind::ItemReference),
        id,
    ))
}

/// `Previous response with id 'resp_1' not found.`
fn previous(cursor: &mut Cursor<'_>) -> Option<Named> {
    let id = cursor.quoted()?;
    cursor.words("' not found").then_some(())?;
    cursor.words(".");
    Some(named(RefusalKind::PreviousResponseNotFound, None, id))
}

/// `Invalid 'input[3].id': 'x'. Expected …` and `Invalid 'input[3].call_id': string too long. …`
fn invalid(cursor: &mut Cursor<'_>) -> Option<Named> {
    cursor.position = Some(cursor.number()?);
    if cursor.words("].call_id': string too long") {
        if cursor.words(". Expected a string with maximum length 64, but got a string with length ")
        {
            cursor.number();
            cursor.words(" instead.");
        }
        // the API tells the place and the length, not the id
        return Some(named(RefusalKind::CallIdTooLong, None, String::new()));
    }
    cursor.words("].id': '").then_some(())?;
    let id = cursor.quoted()?;
    cursor
        .words("'. Expected an ID that begins with '")
        .then_some(())?;
    let prefix = cursor.quoted()?;
    cursor.words("'.");
    let kind = [
        ItemKind::FunctionCall,
        ItemKind::CustomToolCall,
        ItemKind::Message,
        ItemKind::Reasoning,
        ItemKind::WebSearchCall,
    ]
    .into_iter()
    .find(|kind| kind.id_prefix() == Some(prefix.as_str()));
    Some(named(RefusalKind::BadItemId, kind, id))
}

/// Where a sentence comes from; it decides how an id is read that has no quotes around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A string of its own.
    Exact,
    /// Somewhere in a text that others wrote around it.
    Running,
}

/// Whether a sentence that ends in an id has a dot behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dot {
    Always,
    Perhaps,
}

/// Reads a sentence and notes its regular wording.
struct Cursor<'a> {
    text: &'a Squeezed,
    at: usize,
    source: Source,
    /// The quote right before the sentence: it is then a string of JSON, of Python or of Rust.
    quote: Option<u8>,
    position: Option<u32>,
    said: String,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a Squeezed, at: usize, source: Source) -> Self {
        let before = text.bytes().get(..at).unwrap_or(&[]);
        let quote = before
            .iter()
            .rev()
            .find(|byte| **byte != b'\\')
            .copied()
            .filter(|byte| matches!(byte, b'"' | b'\''));
        Self {
            text,
            at,
            source,
            quote,
            position: None,
            said: String::new(),
        }
    }

    fn sentence(self, named: Named) -> Sentence {
        Sentence {
            named,
            position: self.position,
            said: self.said,
        }
    }

    /// Passes over `words`, wherever their spaces are, and says whether they stood there.
    fn words(&mut self, words: &str) -> bool {
        let Some(end) = self.text.skip(self.at, words) else {
            return false;
        };
        self.at = end;
        self.said.push_str(words);
        true
    }

    fn one_of(&mut self, table: &'static [Row]) -> Option<&'static Row> {
        table.iter().find(|(words, _)| self.words(words))
    }

    /// Passes over up to four words of which the last is "call": a kind that is not in the reference.
    fn unknown_call(&mut self) -> bool {
        let (at, said) = (self.at, self.said.len());
        for word in 0..4 {
            let start = self.at;
            let end = self.run_end(start, |byte| byte.is_ascii_lowercase());
            if end == start {
                break;
            }
            if word > 0 {
                self.said.push(' ');
            }
            let text = self.text.text(start, end);
            self.said.push_str(&text);
            self.at = end;
            if text == "call" {
                return true;
            }
        }
        self.at = at;
        self.said.truncate(said);
        false
    }

    /// Reads up to the closing quote, which is left in place. Quotes show where an id ends, so a break is no question.
    fn quoted(&mut self) -> Option<String> {
        let start = self.at;
        let mut end = start;
        loop {
            let (byte, gap) = self.text.get(end)?;
            if byte == b'\'' {
                break;
            }
            if gap == Gap::Blank || gap == Gap::Paragraph || end - start > MAX_ID {
                return None;
            }
            end += 1;
        }
        let text = self.text.text(start, end);
        self.said.push_str(&text);
        self.at = end;
        Some(text)
    }

    fn number(&mut self) -> Option<u32> {
        let end = self.run_end(self.at, |byte| byte.is_ascii_digit());
        let text = self.text.text(self.at, end);
        let number = text.parse().ok()?;
        self.said.push_str(&text);
        self.at = end;
        Some(number)
    }

    /// Where the bytes of one kind end that follow each other without a gap from `start` on.
    fn run_end(&self, start: usize, is_part: impl Fn(u8) -> bool) -> usize {
        let mut end = start;
        while end - start <= MAX_ID
            && let Some((byte, gap)) = self.text.get(end)
            && is_part(byte)
            && (end == start || gap == Gap::None)
        {
            end += 1;
        }
        end
    }

    /// Reads an id that only a dot, a blank or a quote ends.
    fn id(&mut self, dot: Dot) -> Option<String> {
        if self.text.get(self.at)?.1 == Gap::None {
            return None;
        }
        let end = match self.source {
            Source::Exact => self.exact_end(),
            Source::Running => self.running_end(dot)?,
        };
        let raw = self.text.text(self.at, end);
        let stripped = match self.dots(end) {
            2 => raw.strip_suffix("..").or_else(|| raw.strip_suffix('.')),
            _ => raw.strip_suffix('.'),
        };
        let id = match stripped {
            Some(id) => id,
            // "… tool call call_X: try again" ends in a colon that is not the id's
            None if self.source == Source::Running => raw.strip_suffix(':').unwrap_or(&raw),
            None => &raw,
        };
        if id.is_empty() && stripped.is_none() {
            return None;
        }
        self.said.push_str(id);
        if stripped.is_some() {
            self.said.push('.');
        }
        self.at = end;
        Some(id.to_owned())
    }

    fn exact_end(&self) -> usize {
        let mut end = self.at;
        while let Some((_, gap)) = self.text.get(end)
            && (end == self.at || gap == Gap::None)
        {
            end += 1;
        }
        end
    }

    /// Where an id of running text ends, and that is a guess only where a line break stands inside it.
    ///
    /// If the sentence is a string, the id goes on to the closing quote. Otherwise a line that does not end in the
    /// sentence's dot goes on in the next one if that is a single word which does. In all other cases the id ends with
    /// its line.
    fn running_end(&self, dot: Dot) -> Option<usize> {
        let mut ends: Vec<usize> = Vec::new();
        let mut start = self.at;
        while ends.len() < MAX_PARTS && !self.goes_on_at(start) {
            let end = self.run_end(start, is_id_byte);
            if end == start || end - self.at > MAX_ID {
                break;
            }
            ends.push(end);
            match self.text.get(end) {
                Some((_, Gap::Line)) => start = end,
                _ => break,
            }
        }
        let first = *ends.first()?;
        let ends_in_dot = |end: usize| {
            let last = end.checked_sub(1).and_then(|last| self.text.get(last));
            matches!(last, Some((b'.', _)))
        };
        if self.is_closed_at(first) {
            return Some(first);
        }
        let closing = ends
            .iter()
            .find(|end| self.is_closed_at(**end) && (dot == Dot::Perhaps || ends_in_dot(**end)));
        let dotted = || match dot {
            Dot::Always => ends.iter().find(|end| ends_in_dot(**end)),
            Dot::Perhaps => None,
        };
        Some(closing.or_else(dotted).copied().unwrap_or(first))
    }

    /// Whether the sentence goes on at `at` behind its id, which only E14 does.
    fn goes_on_at(&self, at: usize) -> bool {
        self.text.skip(at, "Remove duplicate items").is_some()
    }

    /// Whether the string that the sentence stands in ends at `at`.
    fn is_closed_at(&self, at: usize) -> bool {
        let rest = self.text.bytes().get(at..).unwrap_or(&[]);
        let next = rest.iter().find(|byte| **byte != b'\\').copied();
        self.quote.is_some() && next == self.quote
    }

    /// How many dots behind an id are not the id's: one ends the sentence, and a text that quotes the sentence without
    /// quotes may have put its own behind it (`call_X.. Please verify your settings`, the TypeScript Codex).
    fn dots(&self, end: usize) -> usize {
        let whole = self.source == Source::Exact || self.is_closed_at(end) || self.goes_on_at(end);
        if whole { 1 } else { 2 }
    }
}

/// Characters of ids that were seen in reality, and a few more that no sentence puts behind an id.
///
/// `|` joins call id and item id in some clients.
pub(super) fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'.' | b':' | b'/' | b'-' | b'|' | b'+' | b'=' | b'@' | b'~'
        )
}
