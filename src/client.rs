//! Launching a client against another base URL, and following what it writes meanwhile.
//!
//! [`plan`] works out, without touching anything, where a client's requests would go by themselves and which command
//! line and environment send them elsewhere instead. [`home`] and [`program`] read what a plan needs from disk.
//! [`launch`] starts the client with its terminal untouched, forwards signals and says how it ended; while it runs,
//! [`rollouts`] follows the files that Codex writes and [`events`] copies the client's own event stream.
//!
//! Put together: `plan::Environment::of` the process, `program::look` at `plan::program`, `home::Home::load` of
//! `Environment::codex_home`; `plan::survey` says which upstreams are to be answered for, `Survey::plan` takes the local
//! base URLs that do; `launch::run` with that plan and `Survey::home`.
//!
//! What is seen goes to a [`Sink`], from several threads. Nothing here knows what a sink does with it, or who answers
//! at the local base URL.

pub mod events;
pub mod home;
pub mod launch;
mod lines;
pub mod plan;
pub mod program;
pub mod rollouts;

/// Which of a client's event streams a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventSource {
    /// `codex exec --json`: one event a line on stdout.
    ExecJson,
    /// `codex proto`, until 0.4x: submissions on stdin, events on stdout.
    Proto,
    /// `codex app-server`: JSON-RPC, one message a line, on stdin and stdout.
    AppServer,
    /// `codex mcp-server`, earlier `codex mcp`: JSON-RPC with `jsonrpc`, one message a line, on stdin and stdout.
    Mcp,
    /// The session log of Codex's terminal interface, a file of one event a line.
    TuiLog,
}

impl EventSource {
    /// The name a `client_event` line gives it (`docs/format.md`).
    pub fn name(self) -> &'static str {
        match self {
            Self::ExecJson => "exec-json",
            Self::Proto => "proto",
            Self::AppServer => "app-server",
            Self::Mcp => "mcp",
            Self::TuiLog => "tui-log",
        }
    }
}

/// Which way a line of an event stream went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the client.
    In,
    /// From the client.
    Out,
}

impl Direction {
    /// The name a `client_event` line gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Who is told what a client writes.
///
/// Calls come from several threads, some of which stand between the client and its terminal: a sink that blocks holds
/// up the client's copy of its events. Lines come without their line ending. They are whole, except for the last one of
/// a file or stream that does not end with a line ending; whether they are JSON is for the sink to find out.
pub trait Sink: Send + Sync + 'static {
    /// A rollout is followed from this line (counted from 1) and byte on. `path` is relative to the client's home.
    fn rollout_file(&self, path: &str, line: u32, byte: u64);
    /// A line that the client wrote into its rollout.
    fn rollout(&self, path: &str, line: u32, bytes: &[u8]);
    /// A line of the client's own event stream.
    fn client_event(&self, source: EventSource, direction: Direction, bytes: &[u8]);
    /// Something that could not be followed, in words for people.
    fn trouble(&self, text: &str);
}
