//! What an `event_msg` line says, as far as it bears on turns and tools.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::snippet;
use super::line::{EventItem, Line, Payload};
use super::{AbortReason, Rollout, Step};
use crate::events::{How, ItemIs, Log, Source, Told, What, item_is, tool_name};
use crate::ids::{CallKey, LineNo};
use crate::wire::item::{Family, Items};
use crate::wire::lines::{Problem, Reason};

/// Adds the step of one event; events that say nothing of turns or tools are passed over.
pub(super) fn add(rollout: &mut Rollout, payload: &Payload<'_>, line: LineNo) {
    let kind = payload.item.head.kind.as_deref().unwrap_or("");
    let step =
        match kind {
            "task_started" | "turn_started" => Some(Step::TurnStarted(line)),
            "task_complete" | "turn_complete" => {
                let error = payload.error.as_deref().map(|error| {
                    rollout.errors.push(error.to_owned());
                    (rollout.errors.len() - 1) as u32
                });
                Some(Step::TurnComplete(line, error))
            }
            "turn_aborted" => Some(Step::TurnAborted(
                line,
                AbortReason::of(payload.reason.as_deref()),
            )),
            "thread_rolled_back" => {
                let Some(turns) = payload.num_turns else {
                    rollout.problems.push(Problem {
                        line,
                        reason: Reason::UnknownShape("thread_rolled_back without num_turns".into()),
                    });
                    return;
                };
                let turns = u32::try_from(turns).unwrap_or(u32::MAX);
                Some(Step::RolledBack(line, turns))
            }
            "exec_command_begin"
            | "mcp_tool_call_begin"
            | "patch_apply_begin"
            | "dynamic_tool_call_request" => {
                call(&mut rollout.items, payload).map(|key| Step::ToolBegan(line, key))
            }
            "exec_command_end"
            | "mcp_tool_call_end"
            | "patch_apply_end"
            | "view_image_tool_call"
            | "dynamic_tool_call_response" => {
                call(&mut rollout.items, payload).map(|key| Step::ToolEnded(line, key))
            }
            "item_started" => tool_item(&mut rollout.items, &payload.event_item)
                .map(|key| Step::ToolBegan(line, key)),
            "item_completed" => tool_item(&mut rollout.items, &payload.event_item)
                .map(|key| Step::ToolEnded(line, key)),
            _ => None,
        };
    rollout.steps.extend(step);
}

/// Notes what a line says of turns, tools and messages. Lines that say nothing of them are passed over.
pub(super) fn tell(log: &mut Log, line: &Line<'_>, payload: &Payload<'_>, number: LineNo) {
    let name = match line.item.head.kind.as_deref() {
        Some("token_usage_record") => "token_usage_record",
        _ => payload.item.head.kind.as_deref().unwrap_or(""),
    };
    let mut told = Told::new(Source::Rollout, false, name);
    told.what = match name {
        "task_started" | "turn_started" => What::TurnStarted,
        "task_complete" | "turn_complete" if payload.error.is_some() => {
            What::TurnEnded(How::Failed)
        }
        "task_complete" | "turn_complete" => What::TurnEnded(How::Complete),
        "turn_aborted" => {
            let reason = AbortReason::of(payload.reason.as_deref());
            What::TurnEnded(How::Aborted(reason))
        }
        "user_message" => {
            told.text = payload.message.and_then(text);
            What::MessageShown
        }
        "agent_message" => {
            told.text = payload.message.and_then(text);
            What::AgentText
        }
        "error" => What::Error,
        "context_compacted" => What::Compacted,
        "token_usage_record" => {
            told.id.clone_from(&payload.response_id);
            What::Usage
        }
        "item_started" | "item_completed" => {
            let item = &payload.event_item;
            let ended = name == "item_completed";
            match item_is(item.kind.as_deref().unwrap_or("")) {
                ItemIs::Tool(kind) => {
                    told.call.clone_from(&item.id);
                    if ended {
                        What::ToolEnded(kind, None)
                    } else {
                        What::ToolBegan(kind)
                    }
                }
                ItemIs::User if ended => {
                    told.text = item.content.and_then(first_text);
                    What::MessageShown
                }
                ItemIs::Agent if ended => {
                    let own = item.text.and_then(text);
                    told.text = own.or_else(|| item.content.and_then(first_text));
                    What::AgentText
                }
                _ => return,
            }
        }
        name => match tool_name(name) {
            Some((kind, began)) if payload.item.head.call_id.is_some() => {
                if began {
                    What::ToolBegan(kind)
                } else {
                    What::ToolEnded(kind, None)
                }
            }
            _ => return,
        },
    };
    if told.call.is_none() {
        told.call.clone_from(&payload.item.head.call_id);
    }
    told.turn.clone_from(&payload.turn_id);
    let time = line.timestamp.as_deref();
    log.push(&told, number, time.and_then(crate::wire::when::micros), 0);
}

fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    snippet(raw.get())
}

/// The first text of a list of parts.
fn first_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let parts = crate::wire::raw::array(raw.get())?;
    parts.into_iter().find_map(|part| {
        let part = crate::wire::raw::Object::read(part.get())?;
        text(part.get("text")?)
    })
}

fn call(items: &mut Items, payload: &Payload<'_>) -> Option<CallKey> {
    let id = payload.item.head.call_id.as_deref()?;
    Some(key(items, id))
}

/// The call behind the item of `item_started` and `item_completed`; the id of these items is the call's
/// (`TurnItem`, `PascalCase` tags). Commands that code mode runs inside a call have ids of their own (`exec-…`).
fn tool_item(items: &mut Items, item: &EventItem<'_>) -> Option<CallKey> {
    let tool = matches!(
        item.kind.as_deref(),
        Some(
            "CommandExecution"
                | "McpToolCall"
                | "FileChange"
                | "DynamicToolCall"
                | "CollabAgentToolCall"
                | "CollabToolCall"
                | "ImageView"
        )
    );
    let id = item.id.as_deref().filter(|_| tool)?;
    Some(key(items, id))
}

/// An event names a call id without its family: the family of the call above it, else a function call's.
fn key(items: &mut Items, id: &str) -> CallKey {
    let families = [
        Family::Function,
        Family::Custom,
        Family::ApplyPatch,
        Family::Shell,
    ];
    families
        .into_iter()
        .find_map(|family| items.find_call(family, id))
        .unwrap_or_else(|| items.call_key(Family::Function, id))
}
