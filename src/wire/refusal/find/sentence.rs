//! The sentences by which the API refuses a history, read out of any text (responses-api.md 1.1).
//!
//! Every family of sentences begins with an anchor that is looked up; what follows is read by a small cursor that also
//! notes how the sentence reads when nobody breaks its lines.

use super::super::{Named, RefusalKind};
use super::cursor::{Cursor, Dot, Row, Source};
use super::squeeze::Squeezed;
use crate::wire::item::ItemKind;

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

impl Sentence {
    fn new(cursor: Cursor<'_>, named: Named) -> Self {
        Self {
            named,
            position: cursor.position,
            said: cursor.said,
        }
    }
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
            (cursor.at == text.bytes().len()).then(|| Sentence::new(cursor, named))
        })
        .map(|sentence| Sentence {
            said: message.to_owned(),
            ..sentence
        })
}

/// Finds the first sentence in running text, behind as many levels of escapes as it takes.
///
/// A sentence whose end is escaped once more than its beginning is read to its end on the next level.
pub(super) fn search(text: &str) -> Option<Sentence> {
    let mut text = Squeezed::new(text);
    let mut best: Option<Sentence> = None;
    for _ in 0..=MAX_ESCAPES {
        let found = first(&text);
        best = match (best, found) {
            (Some(best), Some(found))
                if found.named != best.named || found.said.len() <= best.said.len() =>
            {
                Some(best)
            }
            (best, found) => found.or(best),
        };
        match text.unescape() {
            Some(plain) => text = plain,
            None => break,
        }
    }
    best
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
                best = Some((place, Sentence::new(cursor, named)));
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
