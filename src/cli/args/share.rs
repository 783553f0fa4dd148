//! `replay share`.

use std::path::PathBuf;

use clap::Args;

/// Write a session that can be handed on: without secrets, small, and refused in the same way
///
/// Secrets are replaced, the session is shrunk, and the same refusal must survive. A last look is printed before anything
/// is written; in a terminal it is asked for, elsewhere --yes says that nobody needs to look. OUT.md is the text of an
/// issue: versions, verdict, a picture of the conversation and the command that reproduces it.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0  both files are written
  1  nothing refuses the session
  2  wrong usage, or nobody said yes
  3  the session cannot be read
  4  the refusal does not survive, or a secret would

Examples:
  replay share session.jsonl -o report.jsonl             look, say yes, attach both files
  replay share --last -o report.jsonl --redact 'acme.*'  hide what only you know to be secret")]
pub struct ShareArgs {
    /// The session: a file, a thread id, or '-' for stdin
    #[arg(value_name = "SESSION", required_unless_present = "last")]
    pub session: Option<String>,
    /// The Codex session written last
    #[arg(long, conflicts_with = "session")]
    pub last: bool,
    /// Where to write the session; OUT.md is written beside it
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Overwrite OUT and OUT.md if they exist
    #[arg(long)]
    pub force: bool,
    /// Write without asking
    #[arg(long)]
    pub yes: bool,
    /// Hide what this matches, too (can be repeated)
    #[arg(long, value_name = "REGEX")]
    pub redact: Vec<String>,
    /// The strategy under which it is refused (default: the one 'replay' runs, then none)
    #[arg(long, value_name = "NAME")]
    pub recover: Option<String>,
    /// Fix a policy
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
}
