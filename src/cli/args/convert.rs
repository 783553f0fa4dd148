//! What `replay convert` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Turn another tool's capture into a recording, a recording into other forms, or hide secrets
///
/// Reads HAR files, cassettes (vcrpy, VCR for Ruby, httpmock), the text of event streams, lists of events, whole responses,
/// lines of {request,status,body}, request logs, fixtures of aimock, and two kinds of folders: what Codex writes below
/// CODEX_ROLLOUT_TRACE_ROOT, and what 'codex responses-api-proxy --dump-dir' writes. What a capture does not hold is marked
/// as not held in the recording.
///
/// With --to it writes other forms than a recording. With --redact it also reads recordings, Codex rollouts and request
/// bodies, and writes them again as what they are.
#[expect(clippy::doc_markdown, reason = "clap shows the texts as they stand")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay convert wire.har -o session.jsonl
  replay convert cassette.yaml --summary                      count what its answers hold
  replay convert session.jsonl --to har -o session.har
  replay convert session.jsonl --to sse --exchange 3 -o -
  replay convert session.jsonl --to body --exchange 3 -o - | curl … --data-binary @-
  replay convert session.jsonl --redact -o redacted.jsonl
  replay convert session.jsonl --redact='/home/[a-z]+' -o redacted.jsonl")]
pub struct ConvertArgs {
    /// The capture, a file or a folder, or '-' for stdin
    #[arg(value_name = "PATH")]
    pub path: String,
    /// Where to write, or '-' for stdout
    #[arg(
        short,
        long,
        value_name = "OUT",
        required_unless_present = "summary",
        default_value_if("summary", "true", Some("-"))
    )]
    pub output: Option<PathBuf>,
    /// Overwrite OUT if it exists
    #[arg(long)]
    pub force: bool,
    /// What PATH is, where its beginning does not tell: exchanges, request-log, codex-trace, proxy-dump, sse, events, response, har, vcr or aimock
    #[arg(long, value_name = "KIND")]
    pub from: Option<String>,
    /// What to write
    #[arg(long, value_enum, value_name = "FORM", default_value_t = ToChoice::Recording)]
    pub to: ToChoice,
    /// Only this exchange
    #[arg(long, value_name = "N")]
    pub exchange: Option<u32>,
    /// With --to body: the whole conversation as input, in place of previous_response_id
    #[arg(long)]
    pub full: bool,
    /// Print what each answer holds: events, items, tool calls, the last event
    #[arg(long, conflicts_with_all = ["to", "exchange", "full"])]
    pub summary: bool,
    /// Replace tokens, cookies, account and installation ids by placeholders; with REGEX also what it matches (can be repeated)
    ///
    /// Names tell what is secret: docs/format.md lists them. A REGEX is matched inside one string or one line.
    #[arg(long, value_name = "REGEX", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub redact: Vec<String>,
    /// Do not hide this header (can be repeated)
    #[arg(long, value_name = "NAME", requires = "redact")]
    pub keep_header: Vec<String>,
}

#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ToChoice {
    /// A recording
    Recording,
    /// HAR 1.2
    Har,
    /// The text of the streams, or byte for byte that of one exchange
    Sse,
    /// The body of one request
    Body,
}
