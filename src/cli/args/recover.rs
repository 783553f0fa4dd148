//! `replay recover`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Write a copy of a Codex rollout in which no call is open, for today's Codex to resume
///
/// Each call without output gets one directly behind it: the real one where it is on file, else one that says what is
/// known of the call. Outputs without call, second copies and torn lines go to a side file; nothing is lost. Files of
/// 2025 (E0 to E2) come out in today's format. The original is never touched. Before anything is written, the copy is
/// judged: it must be accepted in every world.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0  the copy is written, or --dry-run found nothing to do
  1  --dry-run: there is something to do
  2  wrong usage
  3  the session cannot be read
  4  nothing safe can be done, or the copy cannot be written

Examples:
  replay recover rollout.jsonl -o whole.jsonl            write a copy
  replay recover rollout.jsonl --dry-run                 show what would change
  replay recover --last -o ~/.codex                      put it where Codex finds it, under an id of its own
  replay recover 01a1fa9b --text aborted -o whole.jsonl  say what Codex says")]
pub struct RecoverArgs {
    /// The rollout: a file, a thread id or its beginning, or '-' for stdin
    #[arg(value_name = "SESSION", required_unless_present = "last")]
    pub session: Option<String>,
    /// The Codex session written last
    #[arg(long, conflicts_with = "session")]
    pub last: bool,
    /// Where to write the copy: a file, or a folder that is, or becomes, a Codex home
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,
    /// Where to write what is left out (default: OUT.lost)
    #[arg(long, value_name = "FILE")]
    pub lost: Option<PathBuf>,
    /// Overwrite OUT if it exists
    #[arg(long)]
    pub force: bool,
    /// Write nothing; show the difference
    #[arg(long)]
    pub dry_run: bool,
    /// What an output says that is not on file
    #[arg(long, value_enum, default_value_t = OutputWords::Honest)]
    pub text: OutputWords,
    /// The working folder, where the file does not name it (default: the current one)
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Give the copy a thread id of its own
    ///
    /// A folder that holds the thread already gets the copy under an id of its own in any case.
    #[arg(long)]
    pub new_id: bool,
}

/// What an output says that is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputWords {
    /// What is known of the call: not started, started, finished, unknown
    Honest,
    /// The word that Codex itself uses
    Aborted,
}
