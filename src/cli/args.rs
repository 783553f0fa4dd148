//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Reproduce, explain and repair broken tool-call conversations with the OpenAI Responses API
///
/// Runs sessions against a model of the API's tool-call contract and judges every request: which one is refused, with
/// which words, which call is open, what lost its output, and which recovery strategy gets through at what price. Needs no
/// key and no network.
#[derive(Debug, Parser)]
#[command(
    name = "replay",
    version,
    args_conflicts_with_subcommands = true,
    after_help = SESSIONS,
    after_long_help = concat_help!(),
)]
pub struct Cli {
    #[expect(missing_docs, reason = "clap would show it")]
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[expect(missing_docs, reason = "clap would show it")]
    #[command(flatten)]
    pub replay: ReplayArgs,
    #[expect(missing_docs, reason = "clap would show it")]
    #[command(flatten)]
    pub global: Global,
}

const SESSIONS: &str = "\
A SESSION is a file (a recording, a Codex rollout of any age, .jsonl or .jsonl.zst, one request body), '-' for stdin,
a Codex thread id or its beginning, or a call id to look for in the Codex home. A path that exists wins; a file named
like a verb is written ./check.";

macro_rules! concat_help {
    () => {
        "\
A SESSION is a file (a recording, a Codex rollout of any age, .jsonl or .jsonl.zst, one request body), '-' for stdin,
a Codex thread id or its beginning, or a call id to look for in the Codex home. A path that exists wins; a file named
like a verb is written ./check.

Strategies (--recover):
  none               sends what is there
  as-client          what the client and version that wrote the file does
  pending-aborts     Codex TypeScript, April 2025
  pending-ids        Codex #1387, to 0.8
  error-body         reads the call id out of the 400 and tries again (PR #1610, made safe)
  error-body-1610    the same as the PR wrote it
  history-scan       Codex #1641, 0.20.0
  history-scan-0.45  Codex 0.45.0
  normalize          Codex since #5473
  full-history       drops previous_response_id, sends the whole history, invents nothing
  drop-turn          forgets the interrupted answer, Codex 0.9 to 0.46

Policies (--policy NAME=VALUE), what is not known of the real API; the first value is the default:
  stored_after_cut=nothing|sent|all    what a response leaves stored that was cut before response.completed
  output_before_call=accept|refuse     an output that stands before its call
  duplicate_output=accept|refuse       a second output for one call
  duplicate_call=accept|refuse         a second call with one id
  reasoning_pairs=refuse|accept        a reasoning item without the item it led to
  unanswered_approval=accept|refuse    an mcp_approval_request that nothing answers
  missing_id_choice=first|last         which of several unanswered calls the message names
  fault_order=open_first|orphan_first  which fault is named when there are both

Exit status:
  0  nothing found: every request is accepted, as it stood or after the strategy
  1  something found: a refusal that stood, a disagreement, a dependence on an unknown policy
  2  wrong usage
  3  unreadable input, or nothing to replay
  4  could not be judged: the evidence is not on file

Examples:
  replay session.jsonl                            judge a session
  replay --last                                   the Codex session written last
  replay session.jsonl --recover full-history     does this recovery get through?
  replay session.jsonl --expect refused           for tests: exit 0 if that is the verdict
  pbpaste | replay explain -                      what does this 400 mean?
  replay check ~/.codex/sessions                  findings in a whole folder, nothing is sent"
    };
}
use concat_help;

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Debug, Subcommand)]
pub enum Verb {
    Explain(ExplainArgs),
    Check(CheckArgs),
    Convert(ConvertArgs),
    Inspect(InspectArgs),
    /// Print completions for a shell
    ///
    /// For example, for bash: replay completions bash > ~/.local/share/bash-completion/completions/replay
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    ///
    /// For example: replay man | man -l -
    Man {
        /// The page of one verb
        verb: Option<String>,
    },
}

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Debug, Args)]
pub struct Global {
    /// Print for people or for programs
    ///
    /// With json, stdout holds exactly one document, errors included.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
    /// Colour the output
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true)]
    pub color: Color,
    /// Say more (can be repeated)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say less: no progress, no notes
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    #[value(hide = true)]
    Events,
    #[value(hide = true)]
    Html,
}

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Debug, Default, Args)]
pub struct ReplayArgs {
    /// Sessions to replay
    #[arg(value_name = "SESSION")]
    pub sessions: Vec<String>,
    /// Replay the Codex session that was written last
    #[arg(long)]
    pub last: bool,
    /// Judge under this strategy (can be repeated; the first one decides the exit status)
    #[arg(long, value_name = "NAME")]
    pub recover: Vec<String>,
    /// Fix what is not known of the API (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// Text of the further request that is asked at the end where a call is open or a message unanswered [default: continue]
    ///
    /// Recordings are probed only if this is given.
    #[arg(long, value_name = "TEXT")]
    pub probe: Option<String>,
    /// Ask no further request at the end
    #[arg(long, conflicts_with = "probe")]
    pub no_probe: bool,
    /// Exit 0 if every session's first run has this verdict, 1 if not
    #[arg(long, value_name = "VERDICT")]
    pub expect: Option<String>,
    /// After a refusal, write the session, its story and what is expected of it into this folder
    #[arg(long, value_name = "DIR")]
    pub write_story: Option<PathBuf>,
}

/// Say what a pasted 400 means, and find its call
///
/// Reads the refusal in any wrapper (OpenAI's body, a gateway's, an SDK's or Codex's text), and looks for the call in the
/// sessions that are named, else in the Codex home: where it was opened, what lost its output, which request was refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay explain 'No tool output found for function call call_abc.'
  replay explain - session.jsonl < error.txt
  replay explain call_abc")]
pub struct ExplainArgs {
    /// The text, '-' for stdin, or a call id
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Sessions to look in, in place of the Codex home
    #[arg(value_name = "SESSION")]
    pub sessions: Vec<String>,
    /// Look in no session at all
    #[arg(long, conflicts_with = "sessions")]
    pub text_only: bool,
}

/// Check files and folders for breaches of the contract; nothing is sent
///
/// Finds open calls, orphan, duplicate and misplaced outputs, ids the API refuses, streams without end. An error is what the
/// session's own client is refused for; what it repairs when it sends is a warning.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay check ~/.codex/sessions
  replay check session.jsonl --format json
  curl … | replay check --request -")]
pub struct CheckArgs {
    /// Files and folders
    #[arg(value_name = "PATH", required_unless_present = "request")]
    pub paths: Vec<String>,
    /// One request body (a file, or '-' for stdin)
    #[arg(long, value_name = "BODY", conflicts_with = "paths")]
    pub request: Option<String>,
    /// Fix what is not known of the API (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// How many files are read at once [default: the number of processors]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
}

/// Turn another tool's capture into a recording
///
/// Reads a request log of lines {t,kind,n,…} or lines of {request,status,body}. What the capture does not hold is marked as
/// not held in the recording.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  replay convert wire.jsonl -o session.jsonl")]
pub struct ConvertArgs {
    /// The capture, or '-' for stdin
    #[arg(value_name = "PATH")]
    pub path: String,
    /// Where to write the recording, or '-' for stdout
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Overwrite OUT if it exists
    #[arg(long)]
    pub force: bool,
}

/// See a conversation, and at every point of it which calls are open
///
/// In a terminal it opens a viewer; '?' shows its keys. Elsewhere it prints a transcript with open calls marked. Several
/// files are shown on one clock; sub-agents of a Codex session are found by themselves.
///
/// --format takes two more forms here: events, normalised lines that are the same for the same conversation on every
/// machine, and html, one page without network or foreign script.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay inspect session.jsonl                          the viewer
  replay inspect ~/.codex/sessions/…/rollout-….jsonl    a rollout, with its sub-agents
  replay inspect session.jsonl --format json            calls with opened, closed, cause
  replay inspect session.jsonl --format html -o report.html
  replay inspect --follow session.jsonl                 while it is being written")]
pub struct InspectArgs {
    /// Sessions to show on one clock
    #[arg(value_name = "SESSION", required_unless_present = "last")]
    pub sessions: Vec<String>,
    /// Show the Codex session that was written last
    #[arg(long)]
    pub last: bool,
    /// Where to write a form other than the viewer [default: stdout]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Overwrite OUT if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Show only what passes: kind:…, call:…, lane:…, exchange:N, errors (can be repeated)
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Go on reading a file that is still being written
    #[arg(long)]
    pub follow: bool,
    /// Look for no sub-agents
    #[arg(long)]
    pub alone: bool,
}
