//! What can be typed.

mod convert;
mod diff;
mod probe;
mod recover;
mod share;
mod shrink;
mod sweep;
mod target;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use convert::{ConvertArgs, ToChoice};
pub use diff::{DiffArgs, LayerName};
pub use probe::ProbeArgs;
pub use recover::{OutputWords, RecoverArgs};
pub use share::ShareArgs;
pub use shrink::{Emit, ShrinkArgs};
pub use sweep::SweepArgs;
pub use target::TargetArgs;

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
A SESSION is a file (a recording, a Codex rollout of any age, .jsonl or .jsonl.zst, one request body), '-' for stdin, \
a Codex thread id or its beginning, or a call id to look for in the Codex home. A path that exists wins; a file named \
like a verb is written ./check.";

macro_rules! concat_help {
    () => {
        "\
A SESSION is a file (a recording, a Codex rollout of any age, .jsonl or .jsonl.zst, one request body), '-' for stdin, \
a Codex thread id or its beginning, or a call id to look for in the Codex home. A path that exists wins; a file named \
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
  4  could not be judged: the evidence is not on file, or an endpoint (--target) did not answer

Examples:
  replay session.jsonl                            judge a session
  replay --last                                   the Codex session written last
  replay session.jsonl --recover full-history     does this recovery get through?
  replay session.jsonl --expect refused           for tests: exit 0 if that is the verdict
  replay session.jsonl --target http://127.0.0.1:11434/v1   send it to a real endpoint
  pbpaste | replay explain -                      what does this 400 mean?
  replay check ~/.codex/sessions                  findings in a whole folder, nothing is sent"
    };
}
use concat_help;

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Debug, Subcommand)]
pub enum Verb {
    Explain(ExplainArgs),
    Record(RecordArgs),
    Check(CheckArgs),
    Diff(Box<DiffArgs>),
    Convert(ConvertArgs),
    Inspect(InspectArgs),
    Recover(RecoverArgs),
    Shrink(ShrinkArgs),
    Share(ShareArgs),
    Serve(Box<ServeArgs>),
    Probe(ProbeArgs),
    Sweep(Box<SweepArgs>),
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
    /// With json, stdout holds exactly one document, errors included. For CI, verbs that judge also take junit (one XML document)
    /// and github (annotations of GitHub Actions, with file and line).
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
    /// Exit as 'git bisect run' understands it: 125 (skip) where nothing could be judged, 128 (stop) on wrong usage
    #[arg(long, global = true)]
    pub bisect: bool,
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
    #[value(hide = true)]
    Junit,
    #[value(hide = true)]
    Github,
    #[value(hide = true)]
    Markdown,
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
    /// What else there is of the session: an event log of the client, its rollout, its recording (can be repeated)
    #[arg(long, value_name = "FILE")]
    pub with: Vec<String>,
    /// Judge under this strategy (can be repeated; the first one decides the exit status)
    #[arg(long, value_name = "NAME")]
    pub recover: Vec<String>,
    /// Fix what is not known of the API (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// Go by what 'replay probe' found of an endpoint
    #[arg(long, value_name = "FILE")]
    pub contract: Option<PathBuf>,
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
    #[expect(missing_docs, reason = "clap would show it")]
    #[command(flatten)]
    pub target: TargetArgs,
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

/// Record what goes over the wire between a client and an endpoint
///
/// Starts a proxy on this machine. A client that has a base URL is pointed at it; what passes is forwarded unchanged and
/// written to a file: every request, every chunk of every answer with its time, and how each ended. The file is there up to
/// the last line whatever happens to the client or to the recorder.
///
/// Secrets are taken out before they are written. Without -o the file is named by its time.
#[expect(
    clippy::doc_markdown,
    clippy::struct_excessive_bools,
    reason = "clap shows the texts as they stand; switches are independent of each other"
)]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay record -o session.jsonl -- codex exec \"fix the test\"
  replay record -o session.jsonl -- python agent.py
  replay record --listen 127.0.0.1:8787 --upstream https://api.openai.com/v1")]
pub struct RecordArgs {
    /// The file to write, or a folder for a file named by its time
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The base URL of the endpoint (can be repeated, for clients with several)
    ///
    /// By default what the client would use by itself: OPENAI_BASE_URL, what Codex is configured for, else the public API.
    /// A client's path must begin with the path of one of them, and goes on unchanged.
    #[arg(long, value_name = "URL")]
    pub upstream: Vec<String>,
    /// Where clients connect to [default: 127.0.0.1:0, any free port]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Write host:port into this file once clients can connect
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    /// Force every batch of lines to the disk
    #[arg(long)]
    pub fsync: bool,
    /// Read an answer to its end when its client has left
    ///
    /// By default the upstream's connection is closed with the client's. Draining may change what a server stores, so the
    /// file says that it was done.
    #[arg(long)]
    pub drain: bool,
    /// Answer 502 where no upstream can be reached, in place of closing the connection
    #[arg(long)]
    pub bad_gateway: bool,
    /// Take out whatever this regular expression matches, beside what is always taken out (can be repeated)
    #[arg(long, value_name = "REGEX")]
    pub redact: Vec<String>,
    /// Write this header as it is (can be repeated)
    #[arg(long, value_name = "NAME")]
    pub keep_header: Vec<String>,
    /// What the client is, where its name does not tell
    #[arg(long, value_enum, default_value_t = ClientChoice::Auto)]
    pub client: ClientChoice,
    /// Record this event stream of the client too
    ///
    /// It is copied on its way, which the client does not notice; for tui-log the client is asked to write one.
    #[arg(long, value_enum, value_name = "STREAM", requires = "command")]
    pub client_events: Option<EventsChoice>,
    /// Whose certificates are trusted
    #[arg(long, value_enum, default_value_t = RootsChoice::Both)]
    pub tls_roots: RootsChoice,
    /// The client to start, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[expect(
    missing_docs,
    clippy::doc_markdown,
    reason = "the help texts say it, as they stand"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientChoice {
    /// Tell by the name of the program
    Auto,
    /// Codex: it is told where to go by -c settings, and its rollouts are followed
    Codex,
    /// Any other: it is told by OPENAI_BASE_URL
    Other,
}

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventsChoice {
    /// codex exec --json: events on stdout
    ExecJson,
    /// codex proto: submissions on stdin, events on stdout
    Proto,
    /// codex app-server: JSON-RPC on stdin and stdout
    AppServer,
    /// codex mcp-server, earlier codex mcp: JSON-RPC on stdin and stdout
    Mcp,
    /// The session log of Codex's terminal interface
    TuiLog,
}

#[expect(
    missing_docs,
    clippy::doc_markdown,
    reason = "the help texts say it, as they stand"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RootsChoice {
    /// Those of the platform and those that come with this program
    Both,
    /// Those of the platform, SSL_CERT_FILE and SSL_CERT_DIR
    Platform,
    /// Those that come with this program
    Bundled,
}

/// Check files and folders for breaches of the contract; nothing is sent
///
/// Finds open calls, orphan, duplicate and misplaced outputs, ids the API refuses, streams without end, and what looks like
/// a secret. An error is what the session's own client is refused for; what it repairs when it sends is a warning.
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
    /// What else there is of the session: an event log of the client, its rollout, its recording (can be repeated)
    #[arg(long, value_name = "FILE", conflicts_with = "request")]
    pub with: Vec<String>,
    /// One request body (a file, or '-' for stdin)
    #[arg(long, value_name = "BODY", conflicts_with = "paths")]
    pub request: Option<String>,
    /// Fix what is not known of the API (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// Go by what 'replay probe' found of an endpoint
    #[arg(long, value_name = "FILE")]
    pub contract: Option<PathBuf>,
    /// How many files are read at once [default: the number of processors]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
}

/// See a conversation, and at every point of it which calls are open
///
/// In a terminal it opens a viewer; '?' shows its keys. Elsewhere it prints a transcript with open calls marked. Several
/// files are shown on one clock; sub-agents of a Codex session are found by themselves.
///
/// --format takes two more forms here: events, lines of what 'replay diff' compares, the same bytes for the same conversation
/// on every machine, and html, one page without network or foreign script.
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
    /// What else there is of the session: an event log of the client, its rollout, its recording (can be repeated)
    #[arg(long, value_name = "FILE")]
    pub with: Vec<String>,
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
    /// With --format events: every entry of the file by itself, lines of the client's own files included, as it came
    #[arg(long, conflicts_with = "follow")]
    pub entries: bool,
}
/// Serve a Responses endpoint that is as strict as the real one
///
/// Any client, SDK or agent can be pointed at it, without a key. It refuses what the API refuses, with the same words, and
/// answers from a script, from recorded sessions, or with the smallest valid answer. With a command it runs that command
/// against itself and fails if any request broke the contract.
#[derive(Debug, Args)]
#[command(after_help = SERVE_SHORT, after_long_help = SERVE_LONG)]
pub struct ServeArgs {
    /// Sessions whose answers are played back
    #[arg(value_name = "SESSION")]
    pub sessions: Vec<String>,
    /// Run this command, pointed at the endpoint, and end with it
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// Return the command's status also if requests broke the contract
    #[arg(long, requires = "command")]
    pub allow_refused: bool,
    /// Where to listen; only loopback, unless --any-host
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Allow --listen to name an address that other machines can reach
    #[arg(long)]
    pub any_host: bool,
    /// Write host:port and a newline into this file once it listens
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// Whose streams to imitate
    #[arg(long, value_name = "NAME", default_value = "openai", value_parser = ["full", "openai", "codex-backend"])]
    pub profile: String,
    /// Fix what is not known of the API, or switch a habit (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub policy: Vec<String>,
    /// Go by what 'replay probe' found of an endpoint
    #[arg(long, value_name = "FILE")]
    pub contract: Option<PathBuf>,
    /// Answer as this file says
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// How a request is held against recorded ones
    #[arg(long = "match", value_name = "HOW", default_value = "conversation", value_parser = ["strict", "conversation", "sequence"])]
    pub matching: String,
    /// Pace of recorded answers: 0 is at once, 1 as recorded, 2 twice as fast
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub speed: f64,
    /// Keep recorded answers in this folder, one file for each run that recorded any
    #[arg(long, value_name = "DIR")]
    pub cassette: Option<PathBuf>,
    /// What the cassette does: replay only; record if it is empty; record what is new; record all anew
    ///
    /// By default once, or none where CI is set.
    #[arg(long, value_name = "MODE", requires = "cassette", value_parser = ["none", "once", "new_episodes", "all"])]
    pub mode: Option<String>,
    /// The endpoint that is recorded
    #[arg(long, value_name = "URL", requires = "cassette")]
    pub upstream: Option<String>,
    /// Cut answers: EXCHANGE:EVENT[=close|reset|stall|half-line|error|eof] (can be repeated)
    #[arg(long, value_name = "CUT")]
    pub cut: Vec<String>,
    /// Answer the n-th request with an error: EXCHANGE=STATUS (can be repeated)
    #[arg(long, value_name = "FAIL")]
    pub fail: Vec<String>,
    /// Play recorded errors and cuts as they were
    #[arg(long, value_name = "WHICH", default_value = "none", value_parser = ["none", "recorded"])]
    pub faults: String,
    /// Milliseconds before each event
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency: u64,
    /// What ids are made from [default: the time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Whether events share writes; exact: one write for each, or as recorded
    #[arg(long, value_name = "HOW", default_value = "shared", value_parser = ["shared", "exact"])]
    pub chunks: String,
    /// The largest request body, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub body_limit: usize,
    /// A model to list (can be repeated)
    #[arg(long, value_name = "NAME")]
    pub model: Vec<String>,
    /// Refuse WebSockets with 426, so that clients fall back to HTTP
    #[arg(long)]
    pub no_websocket: bool,
    /// Seconds that a WebSocket may live
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub websocket_limit: u64,
}

const SERVE_SHORT: &str = "\
Examples:
  replay serve                                     an endpoint on a free port; the address is printed
  replay serve -- pytest                           a test suite against it; 1 if a request broke the contract
  replay serve --script answers.json -- cargo test
  replay serve session.jsonl --speed 1             play a recording back";

const SERVE_LONG: &str = "\
Examples:
  replay serve                                     an endpoint on a free port; the address is printed
  replay serve -- pytest                           a test suite against it; 1 if a request broke the contract
  replay serve --script answers.json -- cargo test
  replay serve session.jsonl --speed 1             play a recording back
  replay serve --cut '2:response.output_item.done#1=reset' --fail 3=503
  replay serve --cassette tests/cassette --upstream https://api.openai.com/v1 -- pytest

Policies (--policy NAME=VALUE) are those of 'replay --help', and habits of servers; the first value is the default:
  done_sentinel=off|on                 OpenAI's recorded streams end without [DONE]; Open Responses asks for it
  stream_error=nested|flat|failed      documented flat, observed nested with response.failed behind it
  adjacency=any|deepseek               DeepSeek wants an output directly behind its call
  lanes=on|off                         lanes by stream_id on a WebSocket, or one response at a time
  unfinished_web_search=refuse|accept  the message is quoted by a gateway; when it is raised is inferred

Cuts (--cut EXCHANGE:EVENT[=HOW]):
  EXCHANGE is a request's number from 1, or *; EVENT is its number from 0, its type, the n-th of a type
  (response.output_text.delta#3), or byte:N. The event is the last that arrives whole.

Headers of one request:
  x-replay-cut: EVENT[=HOW]   x-replay-fail: STATUS       x-replay-delay: MILLISECONDS
  x-replay-lane: NAME         x-replay-chunks: exact      x-replay-answer: a turn of a script, as JSON

Control: GET /_replay/requests, POST /_replay/reset, GET /_replay/health

Exit status:
  0  stopped by a signal; with a command: its status
  1  with a command whose status was 0: a request broke the contract
  2  wrong usage
  3  unreadable input
  4  it cannot listen, or the command cannot be run";
