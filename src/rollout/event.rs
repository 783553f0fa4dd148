//! What an `event_msg` line says, as far as it bears on turns and tools.

use super::line::{EventItem, Payload};
use super::{AbortReason, Rollout, Step};
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
            "turn_aborted" => Some(Step::TurnAborted(line, reason(payload))),
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

fn reason(payload: &Payload<'_>) -> AbortReason {
    match payload.reason.as_deref() {
        Some("interrupted") => AbortReason::Interrupted,
        Some("replaced") => AbortReason::Replaced,
        Some("review_ended") => AbortReason::ReviewEnded,
        Some("budget_limited") => AbortReason::BudgetLimited,
        _ => AbortReason::Unknown,
    }
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
