//! What a line says that was recorded beside the wire: a rollout's, or one of the client's own event log.

use std::borrow::Cow;

use super::entry::NONE;
use super::index::Ask;
use super::state::Happened;
use crate::events::{self, Answerer, AskKind, Log, Story};
use crate::wire::raw::Object;

/// What such a line says.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) name: String,
    /// The call it speaks of.
    pub(super) call_id: Option<String>,
    pub(super) happened: Option<Happened>,
    /// Whether it says that the turn was aborted.
    pub(super) interrupt: bool,
}

/// What is asked for beside calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Leave to run something; whoever drives the client answers.
    Approval,
    /// An end of the turn; the client answers.
    Interrupt,
    /// Something that the user or an MCP server is asked; whoever drives the client answers.
    UserInput,
    /// The output of a tool that whoever drives the client runs.
    Tool,
}

impl Asking {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Interrupt => "interrupt",
            Self::UserInput => "user_input",
            Self::Tool => "tool",
        }
    }
}

/// Reads a `rollout_file` or `rollout` line.
pub(super) fn read(kind: &str, object: &Object<'_>) -> Told {
    let Some(value) = object.object("value") else {
        return Told {
            name: if kind == "rollout_file" {
                "rollout_file"
            } else {
                "text"
            }
            .to_owned(),
            ..Told::default()
        };
    };
    rollout(&value)
}

fn owned(text: Option<Cow<'_, str>>) -> Option<String> {
    text.map(Cow::into_owned)
}

fn rollout(value: &Object<'_>) -> Told {
    let payload = value.object("payload");
    let inner = payload.as_ref().and_then(|it| it.text("type"));
    let name = inner.or_else(|| value.text("type")).unwrap_or_default();
    let of = payload.as_ref().unwrap_or(value);
    let item = of.object("item");
    let call_id = owned(of.text("call_id")).or_else(|| owned(item.and_then(|it| it.text("id"))));
    let happened = if name.ends_with("_output") {
        Some(Happened::OnDisk)
    } else {
        phase(&name)
    };
    Told {
        interrupt: name == "turn_aborted",
        name: name.into_owned(),
        call_id,
        happened,
    }
}

fn phase(name: &str) -> Option<Happened> {
    if name.ends_with("_begin") || name.ends_with("started") {
        Some(Happened::ToolBegan)
    } else if name.ends_with("_end") || name.ends_with("completed") {
        Some(Happened::ToolEnded)
    } else {
        None
    }
}

/// What an event of the client's own log says of the call it names.
pub(super) fn happened(what: events::What) -> Option<Happened> {
    match what {
        events::What::ToolBegan(_) => Some(Happened::ToolBegan),
        events::What::ToolEnded(..) => Some(Happened::ToolEnded),
        _ => None,
    }
}

/// The questions of a log with their answers; `entries` has the entry of each event.
pub(super) fn asks(log: &Log, entries: &[u32]) -> Vec<Ask> {
    let story = Story::of(log);
    let entry = |event: usize| entries.get(event).copied().unwrap_or(NONE);
    let id = |event: usize| {
        let id = log.events.get(event).and_then(|it| it.id.or(it.call));
        id.map_or_else(String::new, |it| log.text(it).to_owned())
    };
    let end = |turn: Option<usize>| turn.and_then(|it| story.turns.get(it)?.ended);
    let interrupts = story.interrupts.iter().map(|it| {
        let closed = it.answered.or_else(|| end(it.turn));
        Ask {
            asking: Asking::Interrupt,
            id: id(it.asked),
            opened: entry(it.asked),
            closed: closed.map_or(NONE, entry),
            answerer: if closed.is_some() {
                Answerer::Client
            } else {
                Answerer::Nobody
            },
        }
    });
    let asked = story.asks.iter().map(|it| {
        let answered = it.answered.map(|(at, _)| at);
        let closed = answered.or(it.resolved).or_else(|| end(it.turn));
        Ask {
            asking: match it.kind {
                AskKind::Exec | AskKind::Patch | AskKind::Permissions => Asking::Approval,
                AskKind::UserInput | AskKind::Elicitation => Asking::UserInput,
                AskKind::Tool => Asking::Tool,
            },
            id: id(it.asked),
            opened: entry(it.asked),
            closed: closed.map_or(NONE, entry),
            answerer: story.answerer(it),
        }
    });
    let mut all: Vec<Ask> = interrupts.chain(asked).collect();
    all.sort_by_key(|it| it.opened);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Told {
        let object = Object::read(line).unwrap();
        let kind = object.text("kind").unwrap();
        read(&kind, &object)
    }

    #[test]
    fn tools_and_outputs_of_rollout_lines() {
        let disk = told(
            r#"{"kind":"rollout","value":{"type":"response_item","payload":{"type":"function_call_output","call_id":"c"}}}"#,
        );
        assert_eq!(
            (disk.happened, disk.call_id.as_deref()),
            (Some(Happened::OnDisk), Some("c"))
        );
        assert_eq!(
            told(r#"{"kind":"rollout_file","path":"p"}"#).name,
            "rollout_file"
        );
    }
}
