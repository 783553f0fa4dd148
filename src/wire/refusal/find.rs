//! Finds what was refused in any text that carries a refusal.
//!
//! A refusal is rarely seen as the API sent it: gateways put its body into theirs, SDKs print it in their language's
//! way, terminals break the lines (responses-api.md 1.4). [`find`] opens what is JSON, wrapper by wrapper, to the
//! innermost message; where that fails it looks for the API's sentences in the text, behind escapes and line breaks.
//!
//! Nothing here fails. A text that names nothing gives a [`Found`] without [`Found::named`].

mod cursor;
mod ids;
mod json;
mod python;
mod sentence;
mod squeeze;
mod wrapper;

#[cfg(test)]
mod tests;

use super::Named;
pub use ids::call_ids;
pub use wrapper::Wrapper;

/// How much of a text is opened and searched with all means.
///
/// Error bodies are a few hundred bytes. Behind this limit only sentences are found that stand there unescaped and
/// begin on one line, as in a log of many megabytes.
pub const MAX_TEXT: usize = 1024 * 1024;

/// What was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the text says was refused; `None` if it has none of the sentences of responses-api.md 1.1.
    ///
    /// The id is empty where the sentence gives none (E22, a `call_id` that is too long).
    pub named: Option<Named>,
    /// The `n` of `input[n]`, where the sentence gives one (E21, E22).
    pub position: Option<u32>,
    /// The innermost message for people: `error.message` as it came, or the sentence with its line breaks mended.
    pub message: String,
    /// The HTTP status, if the text tells it; the outermost one where a gateway and its provider give one each.
    pub status: Option<u16>,
    /// Whether the text is exactly one envelope or WebSocket frame of the API, in any key order and spacing.
    pub plain: bool,
    /// Who wrapped the refusal.
    pub wrapper: Wrapper,
}

/// Finds what was refused in a pasted or recorded text.
///
/// Takes time in proportion to the text, up to [`MAX_TEXT`] of it, whatever the text is. Of several refusals the first
/// is returned.
///
/// An unquoted id ends at the dot that ends its sentence; earlier dots are its own. Two cases are a matter of judgement:
///
/// * A sentence that ends in two dots keeps one as the id's if it is a string by itself (of JSON, Python or Rust), for
///   then both are the API's. In running text both are taken off: old clients put their own dot behind the API's.
/// * A line break inside an id cannot be told from one behind it. The lines are joined if the sentence is a quoted
///   string that ends in the later line, or if the sentence lacks its dot on the first line and the next line is one
///   word that ends in it. Otherwise the id ends with its line.
///
/// ```
/// use responses_replay::wire::refusal::{RefusalKind, find};
///
/// let found = find::find("400 No tool output found for function call call_1.");
/// let named = found.named.unwrap();
/// assert_eq!((named.kind, named.id.as_str()), (RefusalKind::MissingOutput, "call_1"));
/// assert_eq!(found.wrapper, find::Wrapper::NodeSdk);
/// ```
pub fn find(text: &str) -> Found {
    let searched = head(text, MAX_TEXT);
    let mut reading = json::Reader::new().text(searched, 0);
    if reading.named.is_none()
        && let Some(found) = beyond(text, searched.len()).and_then(sentence::glance)
    {
        reading.named = Some(found.named);
        reading.position = found.position;
        reading.message = found.said;
    }
    Found {
        named: reading.named,
        position: reading.position,
        message: reading.message,
        status: reading.status,
        plain: reading.wrapper == Wrapper::Plain,
        wrapper: reading.wrapper,
    }
}

/// Finds what was refused in bytes; what is no UTF-8 is replaced first.
pub fn find_bytes(bytes: &[u8]) -> Found {
    find(&String::from_utf8_lossy(bytes))
}

/// The beginning of `text`, of at most `limit` bytes.
fn head(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(..end).unwrap_or("")
}

/// The end of `text`, of at most `limit` bytes.
fn tail(text: &str, limit: usize) -> &str {
    let start = (text.len().saturating_sub(limit)..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(start..).unwrap_or("")
}

/// What lies behind the first `searched` bytes, and a bit before for a sentence across the border.
fn beyond(text: &str, searched: usize) -> Option<&str> {
    const OVERLAP: usize = 4096;
    if searched == text.len() {
        return None;
    }
    let start =
        (searched.saturating_sub(OVERLAP)..searched).find(|at| text.is_char_boundary(*at))?;
    text.get(start..)
}
