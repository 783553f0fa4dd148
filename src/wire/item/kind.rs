//! The kinds of items and the pairs they make (responses-api.md 2.1, codex.md 2.2).

/// The `type` of an item, as far as a rule speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub enum ItemKind {
    Message,
    Reasoning,
    FunctionCall,
    FunctionCallOutput,
    LocalShellCall,
    LocalShellCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    ComputerCall,
    ComputerCallOutput,
    ShellCall,
    ShellCallOutput,
    ApplyPatchCall,
    ApplyPatchCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
    McpApprovalRequest,
    McpApprovalResponse,
    WebSearchCall,
    FileSearchCall,
    CodeInterpreterCall,
    ImageGenerationCall,
    McpCall,
    McpListTools,
    AgentMessage,
    AdditionalTools,
    Compaction,
    CompactionTrigger,
    ItemReference,
    GhostSnapshot,
    /// A kind this version does not know; it is kept and never owed an answer.
    Other,
}

const NAMES: [(ItemKind, &str); 30] = [
    (ItemKind::Message, "message"),
    (ItemKind::Reasoning, "reasoning"),
    (ItemKind::FunctionCall, "function_call"),
    (ItemKind::FunctionCallOutput, "function_call_output"),
    (ItemKind::LocalShellCall, "local_shell_call"),
    (ItemKind::LocalShellCallOutput, "local_shell_call_output"),
    (ItemKind::CustomToolCall, "custom_tool_call"),
    (ItemKind::CustomToolCallOutput, "custom_tool_call_output"),
    (ItemKind::ComputerCall, "computer_call"),
    (ItemKind::ComputerCallOutput, "computer_call_output"),
    (ItemKind::ShellCall, "shell_call"),
    (ItemKind::ShellCallOutput, "shell_call_output"),
    (ItemKind::ApplyPatchCall, "apply_patch_call"),
    (ItemKind::ApplyPatchCallOutput, "apply_patch_call_output"),
    (ItemKind::ToolSearchCall, "tool_search_call"),
    (ItemKind::ToolSearchOutput, "tool_search_output"),
    (ItemKind::McpApprovalRequest, "mcp_approval_request"),
    (ItemKind::McpApprovalResponse, "mcp_approval_response"),
    (ItemKind::WebSearchCall, "web_search_call"),
    (ItemKind::FileSearchCall, "file_search_call"),
    (ItemKind::CodeInterpreterCall, "code_interpreter_call"),
    (ItemKind::ImageGenerationCall, "image_generation_call"),
    (ItemKind::McpCall, "mcp_call"),
    (ItemKind::McpListTools, "mcp_list_tools"),
    (ItemKind::AgentMessage, "agent_message"),
    (ItemKind::AdditionalTools, "additional_tools"),
    (ItemKind::Compaction, "compaction"),
    (ItemKind::CompactionTrigger, "compaction_trigger"),
    (ItemKind::ItemReference, "item_reference"),
    (ItemKind::GhostSnapshot, "ghost_snapshot"),
];

impl ItemKind {
    /// Returns the kind for a `type`; unknown texts are [`ItemKind::Other`].
    pub fn from_type(name: &str) -> Self {
        match name {
            "compaction_summary" | "context_compaction" => return Self::Compaction,
            _ => {}
        }
        NAMES
            .iter()
            .find(|(_, n)| *n == name)
            .map_or(Self::Other, |(kind, _)| *kind)
    }

    /// The API's name of the kind; `other` for an unknown one.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("other", |(_, name)| *name)
    }

    /// The kind's words inside the API's refusals, such as `function call` (responses-api.md 1.1 E1 to E12).
    pub fn words(self) -> &'static str {
        match self {
            Self::FunctionCall => "function call",
            Self::FunctionCallOutput => "function call output",
            Self::LocalShellCall => "local shell call",
            Self::LocalShellCallOutput => "local shell call output",
            Self::CustomToolCall => "custom tool call",
            Self::CustomToolCallOutput => "custom tool call output",
            Self::ComputerCall => "computer call",
            Self::ComputerCallOutput => "computer call output",
            Self::ShellCall => "shell call",
            Self::ShellCallOutput => "shell call output",
            Self::ApplyPatchCall => "apply patch call",
            Self::ApplyPatchCallOutput => "apply patch call output",
            Self::ToolSearchCall => "tool search call",
            Self::ToolSearchOutput => "tool search output",
            Self::McpApprovalRequest => "mcp approval request",
            Self::McpApprovalResponse => "mcp approval response",
            Self::WebSearchCall => "web search call",
            _ => "tool call",
        }
    }

    /// The prefix the API expects of this kind's item ids, where it is known (responses-api.md 1.1 E21).
    pub fn id_prefix(self) -> Option<&'static str> {
        match self {
            Self::FunctionCall => Some("fc"),
            Self::CustomToolCall => Some("ctc"),
            Self::Message => Some("msg"),
            Self::Reasoning => Some("rs"),
            Self::WebSearchCall => Some("ws"),
            _ => None,
        }
    }

    /// The family this kind belongs to, if it takes part in a call/output pair.
    pub fn family(self) -> Option<Family> {
        Some(match self {
            Self::FunctionCall
            | Self::FunctionCallOutput
            | Self::LocalShellCall
            | Self::LocalShellCallOutput => Family::Function,
            Self::CustomToolCall | Self::CustomToolCallOutput => Family::Custom,
            Self::ComputerCall | Self::ComputerCallOutput => Family::Computer,
            Self::ShellCall | Self::ShellCallOutput => Family::Shell,
            Self::ApplyPatchCall | Self::ApplyPatchCallOutput => Family::ApplyPatch,
            Self::ToolSearchCall | Self::ToolSearchOutput => Family::ToolSearch,
            Self::McpApprovalRequest | Self::McpApprovalResponse => Family::McpApproval,
            _ => return None,
        })
    }

    /// Whether the kind asks for an output that the client owes.
    pub fn is_call(self) -> bool {
        matches!(
            self,
            Self::FunctionCall
                | Self::LocalShellCall
                | Self::CustomToolCall
                | Self::ComputerCall
                | Self::ShellCall
                | Self::ApplyPatchCall
                | Self::ToolSearchCall
                | Self::McpApprovalRequest
        )
    }

    /// Whether the kind answers a call.
    pub fn is_output(self) -> bool {
        self.family().is_some() && !self.is_call()
    }

    /// Whether an output of this kind answers a call of kind `call`.
    ///
    /// A `function_call_output` answers a local shell call too: that is how Codex sends it (codex.md 2.2).
    pub fn answers(self, call: Self) -> bool {
        match self {
            Self::FunctionCallOutput => matches!(call, Self::FunctionCall | Self::LocalShellCall),
            Self::LocalShellCallOutput => call == Self::LocalShellCall,
            _ => self.is_output() && call.is_call() && self.family() == call.family(),
        }
    }

    /// The kind that current Codex and the API expect as this call's answer.
    pub fn answer_kind(self) -> Option<Self> {
        Some(match self {
            Self::FunctionCall | Self::LocalShellCall => Self::FunctionCallOutput,
            Self::CustomToolCall => Self::CustomToolCallOutput,
            Self::ComputerCall => Self::ComputerCallOutput,
            Self::ShellCall => Self::ShellCallOutput,
            Self::ApplyPatchCall => Self::ApplyPatchCallOutput,
            Self::ToolSearchCall => Self::ToolSearchOutput,
            Self::McpApprovalRequest => Self::McpApprovalResponse,
            _ => return None,
        })
    }
}

/// Calls and outputs that can belong together share a family; equal call ids of different families are strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the kinds")]
pub enum Family {
    Function,
    Custom,
    Computer,
    Shell,
    ApplyPatch,
    ToolSearch,
    McpApproval,
}

impl Family {
    /// One byte that tells families apart.
    pub(super) fn tag(self) -> u8 {
        self as u8
    }
}
