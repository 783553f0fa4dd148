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

A real client: with --first (and --next) the recording is served, the client is cut at each place as it really runs, and \
what it sends next is judged. In commands {base_url}, {home}, {work}, {cut}, {rollout} and {session} (its thread id) stand \
for values; they are split into words as a shell does it, but no shell runs. The same values are in REPLAY_BASE_URL, \
REPLAY_HOME and so on; HOME, CODEX_HOME, OPENAI_BASE_URL and OPENAI_API_KEY are set. See docs/sweep.md.

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
    /// Where to cut: all (behind every event), items, or a number of places spread over the session; a real client by
    /// default once for each state that events leave behind
    #[arg(long, value_name = "WHERE")]
    pub cuts: Option<String>,
    /// Who cuts (a list of client, upstream, kill) [default: all three]
    #[arg(long, value_name = "WHO", value_delimiter = ',', value_parser = ["client", "upstream", "kill"])]
    pub who: Vec<String>,
    /// What the next request goes on from (a list): habit, as the session's own requests do; whole, the whole history;
    /// complete, the last complete response; seen, the last response that was named, complete or not
    #[arg(long, value_name = "BASE", value_delimiter = ',', default_value = "habit", value_parser = ["habit", "whole", "complete", "seen"])]
    pub base: Vec<String>,
    /// Sweep again with calls of these kinds: custom, `local_shell`, function, `shell_call`, `apply_patch_call`, `computer_call`
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Sweep again with this in place of 'call_' in call ids
    #[arg(long, value_name = "TEXT")]
    pub ids: Option<String>,
    /// Sweep again with every request of a recording travelling like this (a list of http, websocket)
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = ["http", "websocket"])]
    pub transport: Vec<String>,
    /// Cut the answer to the next request, too
    #[arg(long)]
    pub twice: bool,
    /// Fix a policy of the API that is not known (can be repeated; see 'replay --help')
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// Go by what 'replay probe' found of an endpoint
    #[arg(long, value_name = "FILE")]
    pub contract: Option<PathBuf>,
    /// Fail only where this earlier JSON document of a sweep does not
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// How many threads work [default: as many as there are cores]; of real clients, how many run at once [default: 2]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Start a real client's first turn with this command and cut it
    #[arg(
        long,
        value_name = "CMD",
        help_heading = "A real client",
        conflicts_with_all = ["recover", "strategies", "who", "base", "kinds", "ids", "transport", "twice", "baseline"]
    )]
    pub first: Option<String>,
    /// Start its next turn with this one; without it the first command goes on by itself
    #[arg(
        long,
        value_name = "CMD",
        requires = "first",
        help_heading = "A real client"
    )]
    pub next: Option<String>,
    /// Run this in each fresh home before the client
    #[arg(
        long,
        value_name = "CMD",
        requires = "first",
        help_heading = "A real client"
    )]
    pub prepare: Option<String>,
    /// How to interrupt it (a list) [default: hangup,sigint,sigkill]
    #[arg(long, value_name = "HOW", value_delimiter = ',', requires = "first", help_heading = "A real client", value_parser = ["hangup", "sigint", "sigterm", "sigkill"])]
    pub interrupt: Vec<String>,
    /// Try every case so often
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        requires = "first",
        help_heading = "A real client"
    )]
    pub repeat: u32,
    /// The longest that one command may run, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30.0,
        requires = "first",
        help_heading = "A real client"
    )]
    pub case_timeout: f64,
    /// What passes between the cut and the signal, in milliseconds
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 300,
        requires = "first",
        help_heading = "A real client"
    )]
    pub settle: u64,
    /// Keep what is done in this file, and do nothing twice
    #[arg(
        long,
        value_name = "FILE",
        requires = "first",
        help_heading = "A real client"
    )]
    pub state: Option<PathBuf>,
    /// Show beside it what another client did, from its --state file
    #[arg(
        long,
        value_name = "FILE",
        requires = "first",
        help_heading = "A real client"
    )]
    pub against: Option<PathBuf>,
    /// Keep homes and output of the cases below this folder
    #[arg(
        long,
        value_name = "DIR",
        requires = "first",
        help_heading = "A real client"
    )]
    pub keep: Option<PathBuf>,
}
