//! `codex proto`, and what its vocabulary is used by: the terminal's log, rollouts, early `exec --json`, MCP.
//!
//! Out go `{"id": SUBMISSION, "msg": {"type": …}}`, in come `{"id": SUBMISSION, "op": {"type": …}}`. Until 2025-10 a turn
//! has no id but that of its submission; later `turn_id` stands in the message.

use std::borrow::Cow;

use super::reader::Told;
use super::{AbortReason, AskKind, Decision, How, Source, ToolKind, What};
use crate::wire::raw::{Object, array};

/// An event with its envelope.
pub(super) fn event<'a>(envelope: &Object<'a>, message: &Object<'a>, source: Source) -> Told<'a> {
    let mut told = message_told(message, source);
    let submission = envelope.text("id").filter(|it| !it.is_empty());
    if told.id.is_none() {
        told.id.clone_from(&submission);
    }
    // what is said outside of any submission has a number of its own
    if told.turn.is_none() && told.what != What::ThreadStarted {
        told.turn = submission;
    }
    let conversation = || {
        envelope
            .text("conversationId")
            .or_else(|| envelope.text("threadId"))
    };
    told.thread = told.thread.or_else(conversation);
    told
}

/// An `EventMsg` by itself, as rollouts have it.
pub(super) fn message_told<'a>(message: &Object<'a>, source: Source) -> Told<'a> {
    let name = message.text("type").unwrap_or_default();
    let mut told = Told::new(source, false, name);
    told.turn = message.text("turn_id");
    told.call = message.text("call_id");
    told.what = match &*told.name {
        "session_configured" => {
            told.thread = message
                .text("thread_id")
                .or_else(|| message.text("session_id"));
            What::ThreadStarted
        }
        "task_started" | "turn_started" => What::TurnStarted,
        "task_complete" | "turn_complete" => {
            told.text = message.text("last_agent_message");
            if message.value("error").is_some() {
                What::TurnEnded(How::Failed)
            } else {
                What::TurnEnded(How::Complete)
            }
        }
        "turn_aborted" => {
            let reason = message.text("reason");
            What::TurnEnded(How::Aborted(AbortReason::of(reason.as_deref())))
        }
        "user_message" => {
            told.text = message.text("message");
            What::MessageShown
        }
        "agent_message" => {
            told.text = message.text("message");
            What::AgentText
        }
        "error" => {
            told.text = message.text("message");
            // until 2025-08 an interrupted task said so in an error
            let interrupted = told
                .text
                .as_deref()
                .is_some_and(|it| it.trim() == "Turn interrupted");
            if interrupted {
                What::TurnEnded(How::Aborted(AbortReason::Interrupted))
            } else {
                What::Error
            }
        }
        "stream_error" | "background_event" => {
            told.text = message.text("message");
            What::StreamError
        }
        "agent_reasoning" | "agent_reasoning_raw_content" => What::Reasoning,
        "token_count" => What::Usage,
        "context_compacted" => What::Compacted,
        "shutdown_complete" => What::Shutdown,
        "item_started" | "item_completed" => {
            told.thread = message.text("thread_id");
            let ended = &*told.name == "item_completed";
            return turn_item(told, message, ended);
        }
        "request_user_input" => asked(&mut told, message, AskKind::UserInput),
        "exec_approval_request" => asked(&mut told, message, AskKind::Exec),
        "apply_patch_approval_request" => asked(&mut told, message, AskKind::Patch),
        "request_permissions" => asked(&mut told, message, AskKind::Permissions),
        "elicitation_request" => asked(&mut told, message, AskKind::Elicitation),
        "dynamic_tool_call_request" => asked(&mut told, message, AskKind::Tool),
        "dynamic_tool_call_response" | "view_image_tool_call" => {
            What::ToolEnded(ToolKind::Custom, None)
        }
        "patch_apply_updated" => What::Delta,
        other => tool(other, message),
    };
    told
}

fn asked(told: &mut Told<'_>, message: &Object<'_>, kind: AskKind) -> What {
    // a command inside of another has an approval of its own
    let own = message
        .text("approval_id")
        .or_else(|| message.text("request_id"));
    told.id = own
        .map(|it| Cow::Owned(it.into_owned()))
        .or_else(|| told.call.as_deref().map(|it| Cow::Owned(it.to_owned())));
    What::Asked(kind)
}

fn tool(name: &str, message: &Object<'_>) -> What {
    if name.ends_with("_delta") {
        return What::Delta;
    }
    match tool_name(name) {
        Some((ToolKind::Custom, _)) if message.get("call_id").is_none() => What::Other,
        Some((kind, true)) => What::ToolBegan(kind),
        Some((kind, false)) => What::ToolEnded(kind, exit(message)),
        None => What::Other,
    }
}

/// The tool whose beginning (`true`) or end an event of this name tells; `Custom` also for what may be no tool.
pub(crate) fn tool_name(name: &str) -> Option<(ToolKind, bool)> {
    let (stem, began) = match (name.strip_suffix("_begin"), name.strip_suffix("_end")) {
        (Some(stem), _) => (stem, true),
        (None, stem) => (stem?, false),
    };
    let kind = match stem {
        "exec_command" => ToolKind::Exec,
        "patch_apply" => ToolKind::Patch,
        "mcp_tool_call" => ToolKind::Mcp,
        "web_search" => ToolKind::WebSearch,
        _ if stem.starts_with("collab") => ToolKind::Agent,
        _ => ToolKind::Custom,
    };
    Some((kind, began))
}

/// What an item of a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemIs {
    Tool(ToolKind),
    User,
    Agent,
    Reasoning,
    Compaction,
    Warning,
    Other,
}

/// What an item of this `type` is: `PascalCase` in core, `camelCase` in the app-server, `snake_case` in `exec --json`.
pub(crate) fn item_is(kind: &str) -> ItemIs {
    match kind {
        "CommandExecution" | "commandExecution" | "command_execution" => {
            ItemIs::Tool(ToolKind::Exec)
        }
        "FileChange" | "fileChange" | "file_change" => ItemIs::Tool(ToolKind::Patch),
        "McpToolCall" | "mcpToolCall" | "mcp_tool_call" => ItemIs::Tool(ToolKind::Mcp),
        "WebSearch" | "webSearch" | "web_search" => ItemIs::Tool(ToolKind::WebSearch),
        "CollabAgentToolCall"
        | "CollabToolCall"
        | "collabAgentToolCall"
        | "collabToolCall"
        | "collab_tool_call" => ItemIs::Tool(ToolKind::Agent),
        "DynamicToolCall" | "dynamicToolCall" | "ImageView" | "imageView" | "tool_call"
        | "ImageGeneration" | "imageGeneration" | "custom_tool_call" => {
            ItemIs::Tool(ToolKind::Custom)
        }
        "UserMessage" | "userMessage" | "user_message" => ItemIs::User,
        "AgentMessage" | "agentMessage" | "agent_message" | "assistant_message" => ItemIs::Agent,
        "Reasoning" | "reasoning" => ItemIs::Reasoning,
        "ContextCompaction" | "contextCompaction" => ItemIs::Compaction,
        "error" => ItemIs::Warning,
        _ => ItemIs::Other,
    }
}

pub(super) fn exit(of: &Object<'_>) -> Option<i32> {
    ["exit_code", "exitCode"]
        .iter()
        .find_map(|key| of.get(key)?.get().parse().ok())
}

/// `item_started` and `item_completed`.
pub(super) fn turn_item<'a>(mut told: Told<'a>, message: &Object<'a>, ended: bool) -> Told<'a> {
    let Some(item) = message.object("item") else {
        told.what = What::Item;
        return told;
    };
    // an early shape gives both, and the older word under `item_type` is the telling one where `type` is not known
    let named = |key: &str| item.text(key).map(|it| item_is(&it));
    let is = match named("type") {
        Some(ItemIs::Other) | None => named("item_type").unwrap_or(ItemIs::Other),
        Some(is) => is,
    };
    let id = item.text("id");
    told.what = match is {
        ItemIs::Tool(kind) => {
            told.text = item.text("command");
            if ended {
                What::ToolEnded(kind, exit(&item))
            } else {
                What::ToolBegan(kind)
            }
        }
        ItemIs::User => {
            told.text = first_text(&item);
            if ended {
                What::MessageShown
            } else {
                What::Item
            }
        }
        ItemIs::Agent => {
            told.text = item.text("text").or_else(|| first_text(&item));
            if ended { What::AgentText } else { What::Item }
        }
        ItemIs::Reasoning if ended => What::Reasoning,
        ItemIs::Compaction if ended => What::Compacted,
        // a word of warning or an error that ends nothing
        ItemIs::Warning => {
            told.text = item.text("message");
            What::StreamError
        }
        _ => What::Item,
    };
    match told.what {
        What::ToolBegan(_) | What::ToolEnded(..) => told.call = id,
        _ => told.id = id,
    }
    told
}

/// The first text of `content`.
pub(super) fn first_text<'a>(item: &Object<'a>) -> Option<Cow<'a, str>> {
    let content = item.get("content")?;
    let parts = array(content.get())?;
    parts
        .into_iter()
        .find_map(|part| Object::read(part.get())?.text("text"))
}

/// The first text of a list of inputs.
pub(super) fn input_text<'a>(of: &Object<'a>, key: &str) -> Option<Cow<'a, str>> {
    if let Some(text) = of.text(key) {
        return Some(text);
    }
    let parts = of.array(key)?;
    parts.into_iter().find_map(|part| {
        let part = Object::read(part.get())?;
        part.text("text")
            .or_else(|| part.object("data")?.text("text"))
    })
}

/// A submission with its envelope.
pub(super) fn submission<'a>(envelope: &Object<'a>, op: &Object<'a>, source: Source) -> Told<'a> {
    let mut told = operation(op, source);
    let own = envelope.text("id").filter(|it| !it.is_empty());
    if told.id.is_none() {
        told.id = own;
    }
    told
}

/// An `Op` by itself.
pub(super) fn operation<'a>(op: &Object<'a>, source: Source) -> Told<'a> {
    let name = op.text("type").unwrap_or_default();
    named(name, op, source)
}

/// An `Op` of a name.
pub(super) fn named<'a>(
    name: impl Into<Cow<'a, str>>,
    op: &Object<'a>,
    source: Source,
) -> Told<'a> {
    let mut told = Told::new(source, true, name);
    told.what = match &*told.name {
        "user_input" | "user_turn" | "user_input_with_turn_context" => {
            told.text = input_text(op, "items");
            What::MessageAsked
        }
        "interrupt" => What::InterruptAsked,
        "exec_approval" | "patch_approval" => {
            told.id = op.text("id");
            told.turn = op.text("turn_id");
            let decision = op.text("decision");
            // some decisions are objects that carry a rule
            let decision = decision.as_deref().map_or(Decision::Yes, Decision::of);
            What::Answered(decision)
        }
        "user_input_answer" | "request_permissions_response" | "dynamic_tool_response" => {
            told.id = op.text("id");
            told.call = op.text("id");
            What::Answered(given(op))
        }
        "resolve_elicitation" => {
            told.id = op.text("request_id");
            let decision = op.text("decision");
            What::Answered(decision.as_deref().map_or(Decision::Other, Decision::of))
        }
        "shutdown" => What::Shutdown,
        _ => What::Other,
    };
    told
}

/// Whether an answer of the user says anything.
pub(super) fn given(of: &Object<'_>) -> Decision {
    let answers = of
        .object("response")
        .and_then(|it| it.object("answers"))
        .or_else(|| of.object("answers"));
    match answers {
        Some(answers) if answers.members().next().is_none() => Decision::Empty,
        _ => Decision::Given,
    }
}
