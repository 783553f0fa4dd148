//! What a client says of itself beside the wire: client events, typed.
//!
//! Interrupts, approvals and their answers are neither in requests nor in rollouts. They stand in the client's own event
//! log: `codex exec --json` (three shapes over time), `codex proto` (submissions in, events out), the JSON-RPC of the
//! app-server and of an MCP server (both directions), the log of the terminal interface. The `event_msg` lines of a rollout
//! are the same events, as far as Codex keeps them.
//!
//! [`Reader`] turns one line into [`Told`]s, [`Log`] keeps them as [`Event`]s with interned ids, [`Story`] pairs them:
//! turns with their ends, interrupts and questions with their answers, tools with what they came to. A kind that is not
//! known is an event too ([`What::Other`], with its name); the text of every event stays in its line. Pure: bytes in,
//! values out. Source of protocol facts: Codex's `protocol.rs` and the app-server's schema, as of 0.169.0 and earlier.

mod exec;
mod file;
mod log;
mod proto;
mod reader;
mod rolled;
mod rpc;
mod story;

pub use file::{read, sniff};
pub use log::{Event, File, Id, Log};
pub(crate) use proto::{ItemIs, item_is, tool_name};
pub use reader::{Reader, Told};
pub use rolled::rollout_line;
pub use story::{
    Answerer, Ask, Double, Interrupt, Message, Outcome, Run, Stale, Story, Thread, Turn,
};

use std::borrow::Cow;

/// Which log an event stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `codex exec --json`.
    ExecJson,
    /// `codex proto`.
    Proto,
    /// `codex app-server`.
    AppServer,
    /// `codex mcp-server`.
    Mcp,
    /// The session log of the terminal interface.
    TuiLog,
    /// `event_msg` lines of a rollout.
    Rollout,
    /// What a rollout trace of Codex tells beside requests and answers.
    CodexTrace,
}

impl Source {
    /// The name in a recording and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExecJson => "exec-json",
            Self::Proto => "proto",
            Self::AppServer => "app-server",
            Self::Mcp => "mcp",
            Self::TuiLog => "tui-log",
            Self::Rollout => "rollout",
            Self::CodexTrace => "codex-trace",
        }
    }

    /// The source of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        let all = [
            Self::ExecJson,
            Self::Proto,
            Self::AppServer,
            Self::Mcp,
            Self::TuiLog,
            Self::Rollout,
            Self::CodexTrace,
        ];
        all.into_iter().find(|it| it.name() == name)
    }

    /// The same for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::ExecJson => "events of codex exec --json",
            Self::Proto => "events of codex proto",
            Self::AppServer => "events of codex app-server",
            Self::Mcp => "events of an MCP server",
            Self::TuiLog => "log of the terminal interface",
            Self::Rollout => "events of a rollout",
            Self::CodexTrace => "events of a rollout trace",
        }
    }

    /// What such a log cannot hold, in words; for whoever wonders why something is not found.
    pub fn lacks(self) -> &'static str {
        match self {
            Self::ExecJson => {
                "it holds no requests, no call ids, no times, no interrupts and no approvals"
            }
            Self::Proto => "it holds no requests and no times",
            Self::AppServer | Self::Mcp | Self::TuiLog => "it holds no requests",
            Self::Rollout => "it holds no approvals and no interrupts that were asked for",
            Self::CodexTrace => "it holds no input of the user's and no approvals",
        }
    }
}

/// Why a turn was aborted (codex.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Codex's own")]
pub enum AbortReason {
    Interrupted,
    Replaced,
    ReviewEnded,
    BudgetLimited,
    Unknown,
}

impl AbortReason {
    /// The reason of a name; [`AbortReason::Unknown`] for one that is not known.
    pub fn of(name: Option<&str>) -> Self {
        match name {
            Some("interrupted") => Self::Interrupted,
            Some("replaced") => Self::Replaced,
            Some("review_ended" | "reviewEnded") => Self::ReviewEnded,
            Some("budget_limited" | "budgetLimited") => Self::BudgetLimited,
            _ => Self::Unknown,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::Replaced => "replaced",
            Self::ReviewEnded => "review_ended",
            Self::BudgetLimited => "budget_limited",
            Self::Unknown => "unknown",
        }
    }
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It came to its end.
    Complete,
    /// It failed.
    Failed,
    /// It was aborted.
    Aborted(AbortReason),
}

impl How {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "completed",
            Self::Failed => "failed",
            Self::Aborted(reason) => reason.name(),
        }
    }
}

/// What whoever drives the client is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AskKind {
    /// Leave to run a command.
    Exec,
    /// Leave to change files.
    Patch,
    /// Wider permissions.
    Permissions,
    /// An answer of the user (`request_user_input`).
    UserInput,
    /// What an MCP server wants to know.
    Elicitation,
    /// The output of a tool that the driver runs itself.
    Tool,
}

impl AskKind {
    /// The same for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Exec => "approval of a command",
            Self::Patch => "approval of a patch",
            Self::Permissions => "approval of permissions",
            Self::UserInput => "user input",
            Self::Elicitation => "elicitation",
            Self::Tool => "call of the driver's own tool",
        }
    }

    /// Whether it is an approval.
    pub fn is_approval(self) -> bool {
        matches!(self, Self::Exec | Self::Patch | Self::Permissions)
    }
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, for once or for longer.
    Yes,
    /// No.
    No,
    /// No, and end the turn.
    Cancel,
    /// Something was told.
    Given,
    /// Nothing was told (empty answers).
    Empty,
    /// An error.
    Error,
    /// Something else.
    Other,
}

impl Decision {
    /// The decision of a name.
    pub fn of(name: &str) -> Self {
        match name {
            "accept" | "acceptForSession" | "approved" | "approved_for_session" => Self::Yes,
            name if name.starts_with("approved") || name.starts_with("accept") => Self::Yes,
            "decline" | "denied" => Self::No,
            "cancel" | "abort" => Self::Cancel,
            _ => Self::Other,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Cancel => "cancel",
            Self::Given => "answered",
            Self::Empty => "empty",
            Self::Error => "error",
            Self::Other => "other",
        }
    }
}

/// What kind of tool ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToolKind {
    /// A command.
    Exec,
    /// A change of files.
    Patch,
    /// A tool of an MCP server.
    Mcp,
    /// A search in the web.
    WebSearch,
    /// A sub-agent: spawned, spoken to, waited for, closed.
    Agent,
    /// Any other.
    Custom,
}

impl ToolKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Patch => "patch",
            Self::Mcp => "mcp",
            Self::WebSearch => "web_search",
            Self::Agent => "agent",
            Self::Custom => "custom",
        }
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A thread is there, new or taken up again.
    ThreadStarted,
    /// A thread is to be taken up again.
    ResumeAsked,
    /// A turn began.
    TurnStarted,
    /// A turn ended.
    TurnEnded(How),
    /// The driver asks for an end of the turn.
    InterruptAsked,
    /// The client answers that; with `false` it refuses.
    InterruptAnswered(bool),
    /// The driver hands in a message.
    MessageAsked,
    /// The client takes it, or refuses it.
    MessageAnswered(bool),
    /// The client shows a message of the user as part of the thread.
    MessageShown,
    /// The client asks the driver.
    Asked(AskKind),
    /// The driver answers.
    Answered(Decision),
    /// The client says that a question of its own is closed.
    Resolved,
    /// A tool began to run.
    ToolBegan(ToolKind),
    /// A tool finished, with its exit code where it has one.
    ToolEnded(ToolKind, Option<i32>),
    /// A whole text of the model.
    AgentText,
    /// A piece of a text of the model, of its thoughts, or of what a tool prints.
    Delta,
    /// Thoughts of the model.
    Reasoning,
    /// Words and money spent.
    Usage,
    /// Something failed; the client gives the turn up or says so afterwards.
    Error,
    /// Something failed and is tried again.
    StreamError,
    /// The history was compacted.
    Compacted,
    /// A message of the user in the history that is sent.
    History,
    /// A line of a rollout with a call.
    CallWritten,
    /// A line of a rollout with an output.
    OutputWritten,
    /// An item that is none of these began, changed or ended.
    Item,
    /// The client ends.
    Shutdown,
    /// Anything else.
    Other,
}

impl What {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ThreadStarted => "thread_started",
            Self::ResumeAsked => "resume_asked",
            Self::TurnStarted => "turn_started",
            Self::TurnEnded(_) => "turn_ended",
            Self::InterruptAsked => "interrupt_asked",
            Self::InterruptAnswered(_) => "interrupt_answered",
            Self::MessageAsked => "message_asked",
            Self::MessageAnswered(_) => "message_answered",
            Self::MessageShown => "message_shown",
            Self::Asked(_) => "asked",
            Self::Answered(_) => "answered",
            Self::Resolved => "resolved",
            Self::ToolBegan(_) => "tool_began",
            Self::ToolEnded(..) => "tool_ended",
            Self::AgentText => "agent_text",
            Self::Delta => "delta",
            Self::Reasoning => "reasoning",
            Self::Usage => "usage",
            Self::Error => "error",
            Self::StreamError => "stream_error",
            Self::Compacted => "compacted",
            Self::History => "history",
            Self::CallWritten => "call_written",
            Self::OutputWritten => "output_written",
            Self::Item => "item",
            Self::Shutdown => "shutdown",
            Self::Other => "other",
        }
    }
}

/// An id in the form in which ids are compared: a UUID in small letters with hyphens, however it was written (braces,
/// `urn:uuid:`, capitals, no hyphens); anything else as it stands.
pub fn canonical(id: &str) -> Cow<'_, str> {
    let bare = id
        .strip_prefix("urn:uuid:")
        .or_else(|| id.strip_prefix('{').and_then(|it| it.strip_suffix('}')))
        .unwrap_or(id);
    // 32 digits, or those with hyphens; `uuid` takes both
    if !matches!(bare.len(), 32 | 36) {
        return Cow::Borrowed(id);
    }
    match uuid::Uuid::try_parse(bare) {
        Ok(uuid) => {
            let text = uuid.hyphenated().to_string();
            if text == id {
                Cow::Borrowed(id)
            } else {
                Cow::Owned(text)
            }
        }
        Err(_) => Cow::Borrowed(id),
    }
}

/// The beginning of a text by which messages are compared and shown.
///
/// It is short enough to be read off whatever a rollout's reader keeps of a text (96 bytes of JSON), however the JSON
/// was escaped: characters that some writer escapes count as six bytes.
pub fn brief(text: &str) -> &str {
    let text = text.trim();
    let mut room = 90_usize;
    for (at, c) in text.char_indices() {
        let cost = match c {
            '"' | '\\' | '<' | '>' | '&' | '\'' | '/' | '\u{0}'..='\u{1f}' | '\u{7f}' => 6,
            c if c.is_ascii() => 1,
            c => 6 * c.len_utf16(),
        };
        let Some(left) = room.checked_sub(cost) else {
            return text.get(..at).unwrap_or("").trim_end();
        };
        room = left;
    }
    text
}

#[cfg(test)]
mod tests;
