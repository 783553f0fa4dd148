//! `replay shrink`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Under which the options of a live endpoint stand in the help.
const ENDPOINT: &str = "A real endpoint";

/// Write the smallest session that is still refused in the same way
///
/// Exchanges, lines, items, fields and texts are left out as long as the refusal stays what it was: the same rule, the
/// same kind of item, a call that the session is refused for. A call and its outputs go together. What is left is needed:
/// each part was tried, and -v says what happens without it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[expect(clippy::doc_markdown, reason = "the help texts stand as they are")]
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0  the result is written
  1  nothing refuses the session
  2  wrong usage
  3  the session cannot be read
  4  it could not be carried out

Examples:
  replay shrink session.jsonl -o small.jsonl                        the least that is refused in the same way
  replay shrink rollout.jsonl --recover none -o small.jsonl         as it stands, without the client's own repair
  replay shrink session.jsonl --oracle './fails {session}' -o s     whatever your command says (exit 0: it still fails)
  replay shrink session.jsonl --target http://127.0.0.1:8000/v1 -o s  whatever that server refuses
  replay shrink session.jsonl -o small.jsonl --emit pytest          and a failing test beside it")]
pub struct ShrinkArgs {
    /// The session: a file, a thread id, or '-' for stdin
    #[arg(value_name = "SESSION", required_unless_present = "last")]
    pub session: Option<String>,
    /// The Codex session written last
    #[arg(long, conflicts_with = "session")]
    pub last: bool,
    /// Where to write the result
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Overwrite OUT if it exists
    #[arg(long)]
    pub force: bool,
    /// The strategy under which it is refused (default: the one 'replay' runs, then none)
    #[arg(long, value_name = "NAME")]
    pub recover: Option<String>,
    /// Fix a policy
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// Go by what 'replay probe' found of an endpoint
    #[arg(long, value_name = "FILE")]
    pub contract: Option<PathBuf>,
    /// The refusal must name the same call
    #[arg(long)]
    pub same_call: bool,
    /// A command that says whether a candidate still fails: exit status 0 if it does; {session} is its path
    #[arg(long, value_name = "CMD", conflicts_with_all = ["recover", "policy", "contract", "same_call"])]
    pub oracle: Option<String>,
    /// A real endpoint that says it: its own refusals are what must stay the same
    #[arg(long, value_name = "URL", conflicts_with = "oracle", help_heading = ENDPOINT)]
    pub target: Option<String>,
    /// The variable that holds the key [default: OPENAI_API_KEY, where it is set]
    #[arg(long, value_name = "NAME", requires = "target", help_heading = ENDPOINT)]
    pub key_env: Option<String>,
    /// Send this model in place of the recorded one
    #[arg(long, value_name = "NAME", requires = "target", help_heading = ENDPOINT)]
    pub model: Option<String>,
    /// Send at most so many requests in all [default: 1000]
    #[arg(long, value_name = "N", requires = "target", help_heading = ENDPOINT)]
    pub max_requests: Option<usize>,
    /// Send to another machine without asking
    #[arg(long, short, requires = "target", help_heading = ENDPOINT)]
    pub yes: bool,
    /// Write a failing test as well
    #[arg(long, value_enum, value_name = "FORM")]
    pub emit: Option<Emit>,
}

/// The form of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// A test in Rust, for the tests folder of a crate
    Rust,
    /// A test in Python for pytest, with the OpenAI Agents SDK
    Pytest,
    /// A test in JavaScript for vitest, with the OpenAI Agents SDK
    Vitest,
}
