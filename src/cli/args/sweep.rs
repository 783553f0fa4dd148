//! What can be typed behind `replay sweep`.

use std::path::PathBuf;

use clap::Args;

/// Interrupt a session everywhere and ask every strategy for the next request
///
/// Cuts a recorded conversation behind every event and between each call and its output (a rollout: behind every item),
/// by the client, by the upstream and by killing the client; asks each strategy what it would send next, and judges that
/// in every world. Prints a matrix of situations and strategies with the smallest cut that fails. Nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 if the chosen strategy gets through everywhere, 1 if it fails anywhere, 4 if that cannot be told.

Examples:
  replay sweep session.jsonl                             does this file's client survive every cut?
  replay sweep session.jsonl --recover normalize -v      another strategy, and what the others fail at
  replay sweep session.jsonl --kinds custom,local_shell --ids toolu_
  replay sweep session.jsonl --format html > sweep.html  a picture
  replay sweep session.jsonl --format json > old.json    and later: --baseline old.json")]
pub struct SweepArgs {
    /// The session: a recording or a rollout
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// The strategy that decides the exit status [default: as-client]
    #[arg(long, value_name = "NAME")]
    pub recover: Option<String>,
    /// Ask these strategies only (a list; the deciding one is added)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub strategies: Vec<String>,
    /// Where to cut: all (behind every event), items, or a number of places spread over the session
    #[arg(long, value_name = "WHERE", default_value = "all")]
    pub cuts: String,
    /// Who cuts (a list of client, upstream, kill) [default: all three]
    #[arg(long, value_name = "WHO", value_delimiter = ',', value_parser = ["client", "upstream", "kill"])]
    pub who: Vec<String>,
    /// What the next request goes on from (a list): habit, as the session's own requests do; whole, the whole history;
    /// complete, the last complete response; seen, the last response that was named, complete or not
    #[arg(long, value_name = "BASE", value_delimiter = ',', default_value = "habit", value_parser = ["habit", "whole", "complete", "seen"])]
    pub base: Vec<String>,
    /// Sweep again with calls of these kinds: custom, local_shell, function, shell, apply_patch, computer
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Sweep again with this in place of 'call_' in call ids
    #[arg(long, value_name = "TEXT")]
    pub ids: Option<String>,
    /// Cut the answer to the next request, too
    #[arg(long)]
    pub twice: bool,
    /// Fix a policy of the API that is not known (can be repeated; see 'replay --help')
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// Fail only where this earlier JSON document of a sweep does not
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// How many threads work [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}
