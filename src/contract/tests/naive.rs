//! The contract once more, by plain loops over JSON, written from responses-api.md 1.1, 2 and 5.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::{Policy, World};
use crate::wire::refusal::RefusalKind;

/// A refusal as the judge words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) kind: RefusalKind,
    /// `type` of the item that is named.
    pub(crate) item: String,
    /// The id that is named.
    pub(crate) id: String,
    pub(crate) message: String,
}

/// A request as the judge sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// What the server held, then the input.
    pub(crate) items: &'a [Value],
    /// How many of them the server held.
    pub(crate) held: usize,
    /// Whether item ids are those that were sent.
    pub(crate) exact_ids: bool,
    /// A previous response or a reference that is not stored, with the words for it.
    pub(crate) not_found: Option<(RefusalKind, &'a str)>,
}

fn text<'a>(item: &'a Value, key: &str) -> Option<&'a str> {
    item.get(key).and_then(Value::as_str)
}

/// The `type` of an item.
pub(crate) fn kind(item: &Value) -> &str {
    text(item, "type").unwrap_or_else(|| {
        if item.get("role").is_some() {
            "message"
        } else {
            ""
        }
    })
}

/// Call types, the types that answer them, and the words of the former.
const PAIRS: [(&str, &[&str], &str); 8] = [
    ("function_call", &["function_call_output"], "function call"),
    (
        "custom_tool_call",
        &["custom_tool_call_output"],
        "custom tool call",
    ),
    (
        "local_shell_call",
        &["function_call_output", "local_shell_call_output"],
        "local shell call",
    ),
    ("computer_call", &["computer_call_output"], "computer call"),
    ("shell_call", &["shell_call_output"], "shell call"),
    (
        "apply_patch_call",
        &["apply_patch_call_output"],
        "apply patch call",
    ),
    (
        "tool_search_call",
        &["tool_search_output"],
        "tool search call",
    ),
    (
        "mcp_approval_request",
        &["mcp_approval_response"],
        "mcp approval request",
    ),
];

/// The type of output by which calls and outputs that can belong together are told.
fn family(item: &Value) -> &'static str {
    let kind = kind(item);
    PAIRS
        .iter()
        .find(|(name, outputs, _)| *name == kind || outputs.contains(&kind))
        .and_then(|(_, outputs, _)| outputs.first().copied())
        .unwrap_or("")
}

fn answers(call: &str) -> &'static [&'static str] {
    PAIRS
        .iter()
        .find(|(name, ..)| *name == call)
        .map_or(&[], |(_, outputs, _)| outputs)
}

fn words(kind: &str) -> String {
    PAIRS
        .iter()
        .find(|(name, ..)| *name == kind)
        .map_or_else(|| kind.replace('_', " "), |(.., words)| (*words).to_owned())
}

/// The id by which an item asks for an answer.
pub(crate) fn owes(item: &Value) -> Option<&str> {
    match kind(item) {
        "tool_search_call" => text(item, "call_id")
            .filter(|_| matches!(text(item, "execution"), Some("client" | "local"))),
        "mcp_approval_request" => text(item, "id"),
        "local_shell_call" => text(item, "call_id").or_else(|| text(item, "id")),
        kind if !answers(kind).is_empty() => text(item, "call_id"),
        _ => None,
    }
}

/// The id of the call an item answers.
pub(crate) fn gives(item: &Value) -> Option<&str> {
    let kind = kind(item);
    if !PAIRS.iter().any(|(_, outputs, _)| outputs.contains(&kind)) {
        return None;
    }
    match kind {
        "tool_search_output" if text(item, "execution") == Some("server") => None,
        "mcp_approval_response" => text(item, "approval_request_id"),
        "local_shell_call_output" => text(item, "call_id").or_else(|| text(item, "id")),
        _ => text(item, "call_id"),
    }
}

/// Whether one item answers the other.
pub(crate) fn is_answered_by(call: &Value, output: &Value) -> bool {
    owes(call).is_some()
        && owes(call) == gives(output)
        && answers(kind(call)).contains(&kind(output))
}

fn refused(kind: RefusalKind, item: &str, id: &str, message: String) -> Refused {
    Refused {
        kind,
        item: item.to_owned(),
        id: id.to_owned(),
        message,
    }
}

/// Calls that nothing answers, one for each id and first of its kind.
pub(crate) fn open(items: &[Value]) -> Vec<usize> {
    distinct(items, &|at, call| {
        owes(call).is_some()
            && !items.iter().any(|other| is_answered_by(call, other))
            && at < items.len()
    })
}

/// Outputs that answer nothing, one for each id and kind.
pub(crate) fn orphans(items: &[Value]) -> Vec<usize> {
    distinct(items, &|_, output| {
        gives(output).is_some() && !items.iter().any(|other| is_answered_by(other, output))
    })
}

/// Calls that are answered, but first in front of themselves.
fn early(items: &[Value]) -> Vec<usize> {
    distinct(items, &|at, call| {
        let first_call = items
            .iter()
            .position(|other| owes(other) == owes(call) && kind(other) == kind(call));
        let first_output = items.iter().position(|other| is_answered_by(call, other));
        first_call == Some(at) && first_output.is_some_and(|output| output < at)
    })
}

fn distinct(items: &[Value], holds: &dyn Fn(usize, &Value) -> bool) -> Vec<usize> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let mut found = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let key = (
            family(item),
            owes(item).or_else(|| gives(item)).unwrap_or(""),
        );
        if holds(at, item) && !seen.contains(&key) {
            seen.push(key);
            found.push(at);
        }
    }
    found
}

/// How often each answered or answering id stands there: calls, outputs.
fn counts(items: &[Value]) -> BTreeMap<(&'static str, &str), (usize, usize)> {
    let mut counts: BTreeMap<(&'static str, &str), (usize, usize)> = BTreeMap::new();
    for item in items {
        let family = family(item);
        if let Some(id) = owes(item) {
            counts.entry((family, id)).or_default().0 += 1;
        } else if let Some(id) = gives(item) {
            counts.entry((family, id)).or_default().1 += 1;
        }
    }
    counts
}

fn is_model_made(item: &Value) -> bool {
    match kind(item) {
        "message" => text(item, "role") == Some("assistant"),
        "reasoning" | "web_search_call" => true,
        kind => !answers(kind).is_empty(),
    }
}

fn form(asked: &Asked<'_>) -> Option<Refused> {
    let input = asked.items.get(asked.held..).unwrap_or(&[]);
    for (at, item) in input.iter().enumerate() {
        let kind = kind(item);
        let call = owes(item).or_else(|| gives(item));
        if let Some(call) = call
            && call.chars().count() > 64
        {
            let message = format!(
                "Invalid 'input[{at}].call_id': string too long. Expected a string with maximum length 64, but got a string with length {} instead.",
                call.chars().count()
            );
            return Some(refused(RefusalKind::CallIdTooLong, kind, call, message));
        }
        let prefix = match kind {
            "function_call" => "fc",
            "custom_tool_call" => "ctc",
            "message" => "msg",
            "reasoning" => "rs",
            "web_search_call" => "ws",
            _ => "",
        };
        if let Some(id) = text(item, "id")
            && asked.exact_ids
            && !id.starts_with(prefix)
        {
            let message = format!(
                "Invalid 'input[{at}].id': '{id}'. Expected an ID that begins with '{prefix}'."
            );
            return Some(refused(RefusalKind::BadItemId, kind, id, message));
        }
    }
    None
}

fn duplicate(asked: &Asked<'_>) -> Option<Refused> {
    asked.items.iter().enumerate().skip(asked.held).find_map(|(at, item)| {
        let id = text(item, "id").filter(|_| kind(item) != "item_reference")?;
        let before = asked.items.get(..at)?;
        let again = before
            .iter()
            .any(|other| kind(other) != "item_reference" && text(other, "id") == Some(id));
        let message = format!(
            "Duplicate item found with id {id}. Remove duplicate items from your input and try again."
        );
        again.then(|| refused(RefusalKind::DuplicateItem, kind(item), id, message))
    })
}

fn end(found: &[usize], last: bool) -> Option<usize> {
    if last { found.last() } else { found.first() }.copied()
}

/// The first refusal of responses-api.md 5, if one world refuses at all.
pub(crate) fn judge(asked: &Asked<'_>, world: World) -> Option<Refused> {
    let items = asked.items;
    if let Some(found) = form(asked).or_else(|| asked.exact_ids.then(|| duplicate(asked))?) {
        return Some(found);
    }
    if let Some((kind, message)) = asked.not_found {
        return Some(refused(kind, "", "", message.to_owned()));
    }
    let is = |policy: Policy, name: &str| world.value_name(policy) == name;
    let mut unanswered = open(items);
    if is(Policy::UnansweredApproval, "accept") {
        unanswered.retain(|at| items.get(*at).map(kind) != Some("mcp_approval_request"));
    }
    if is(Policy::OutputBeforeCall, "refuse") {
        unanswered.extend(early(items));
    }
    unanswered.sort_unstable();
    let last = is(Policy::MissingIdChoice, "last");
    let missing = end(&unanswered, last).and_then(|at| {
        let item = items.get(at)?;
        let id = owes(item)?;
        let message = format!("No tool output found for {} {id}.", words(kind(item)));
        Some(refused(RefusalKind::MissingOutput, kind(item), id, message))
    });
    let orphan = end(&orphans(items), last).and_then(|at| {
        let item = items.get(at)?;
        let id = gives(item)?;
        let message = format!(
            "No tool call found for {} with call_id {id}.",
            words(kind(item))
        );
        Some(refused(RefusalKind::OrphanOutput, kind(item), id, message))
    });
    let pairs = if is(Policy::FaultOrder, "orphan_first") {
        orphan.or(missing)
    } else {
        missing.or(orphan)
    };
    if pairs.is_some() {
        return pairs;
    }
    let counts = counts(items);
    if is(Policy::DuplicateOutput, "refuse")
        && counts
            .values()
            .any(|(calls, outputs)| *calls > 0 && outputs > calls)
    {
        return Some(refused(RefusalKind::DuplicateOutput, "", "", String::new()));
    }
    if is(Policy::DuplicateCall, "refuse") && counts.values().any(|(calls, _)| *calls > 1) {
        return Some(refused(RefusalKind::DuplicateCall, "", "", String::new()));
    }
    if is(Policy::ReasoningPairs, "refuse") {
        for (at, item) in items.iter().enumerate().skip(asked.held) {
            if kind(item) == "reasoning"
                && let Some(id) = text(item, "id")
                && !items.get(at + 1).is_some_and(is_model_made)
            {
                let message = format!(
                    "Item '{id}' of type 'reasoning' was provided without its required following item."
                );
                return Some(refused(
                    RefusalKind::ReasoningWithoutFollower,
                    "reasoning",
                    id,
                    message,
                ));
            }
        }
    }
    None
}
