//! The arguments of `replay diff`.

use clap::{Args, ValueEnum};

/// Show where two conversations part
///
/// Compares what events mean: streamed pieces are put together, and keep-alives, times, usage and the like are set aside.
/// Ids may differ as long as every use agrees: call_a here may be call_b there; a broken correspondence is a difference.
/// Any pair of recording, rollout and converted log can be compared; a recording against a rollout by their items.
#[expect(
    clippy::doc_markdown,
    clippy::struct_excessive_bools,
    reason = "clap shows the texts as they stand; each is an option of its own"
)]
#[derive(Debug, Args)]
#[command(after_help = SHORT, after_long_help = LONG)]
pub struct DiffArgs {
    /// A session, or one exchange of a recording as SESSION#N
    #[arg(value_name = "LEFT")]
    pub left: String,
    /// What it is compared with
    #[arg(value_name = "RIGHT", required_unless_present_any = ["wire_disk", "requests"], conflicts_with = "requests")]
    pub right: Option<String>,
    /// Equal events shown around each difference
    #[arg(short = 'U', long, value_name = "N", default_value_t = 3)]
    pub context: u32,
    /// Show both sides beside each other, to the width of the terminal
    #[arg(long, conflicts_with = "summary")]
    pub side_by_side: bool,
    /// Columns for --side-by-side [default: those of the terminal, else 120]
    #[arg(long, value_name = "COLUMNS", requires = "side_by_side")]
    pub width: Option<u16>,
    /// Say only how much differs, and where first
    #[arg(long)]
    pub summary: bool,
    /// What is compared: what events mean, every streamed event by itself, or bytes as they came
    #[arg(long, value_enum, value_name = "LAYER", default_value_t = LayerName::Meaning)]
    pub layer: LayerName,
    /// The same as --layer bytes
    #[arg(long, conflicts_with_all = ["layer", "strict"])]
    pub bytes: bool,
    /// Set nothing aside, and compare every streamed event by itself
    #[arg(long, conflicts_with = "layer")]
    pub strict: bool,
    /// Also set aside what stands at this path, or a row of the table below (can be repeated)
    #[arg(long, value_name = "PATH")]
    pub ignore: Vec<String>,
    /// Compare what stands at this path, or a row of the table below, though it is set aside (can be repeated)
    #[arg(long, value_name = "PATH")]
    pub keep: Vec<String>,
    /// Everything in the order of the file: lanes, parallel items and their outputs as they came
    #[arg(long)]
    pub ordered: bool,
    /// Seconds after which the search ends with what it has found
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub deadline: f64,
    /// Compare what went over the wire with what the client wrote to disk: the rollout lines that the recording holds, or
    /// the rollout RIGHT
    #[arg(long, conflicts_with_all = ["requests", "bytes", "strict", "layer"])]
    pub wire_disk: bool,
    /// Compare each request with the one before it in its lane, and with what the history demands
    #[arg(long, conflicts_with_all = ["bytes", "strict", "layer", "side_by_side"])]
    pub requests: bool,
}

/// What is compared.
#[expect(missing_docs, reason = "the help texts say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayerName {
    Meaning,
    Events,
    Bytes,
}

const SHORT: &str = "\
Examples:
  replay diff good.jsonl bad.jsonl                 the first difference, with what stands around it
  replay diff session.jsonl#2 session.jsonl#3      one exchange with another
  replay diff session.jsonl rollout.jsonl          what never reached the file, what exists only there
  replay diff --requests session.jsonl             what the client added, dropped, changed from request to request
  replay diff a.jsonl b.jsonl --ignore request.instructions --summary";

const LONG: &str = "\
Examples:
  replay diff good.jsonl bad.jsonl                 the first difference, with what stands around it
  replay diff session.jsonl#2 session.jsonl#3      one exchange with another
  replay diff session.jsonl rollout.jsonl          what never reached the file, what exists only there
  replay diff --wire-disk session.jsonl            the same with the rollout lines that the recording holds
  replay diff --requests session.jsonl             what the client added, dropped, changed from request to request
  replay diff a.jsonl b.jsonl --ignore request.instructions --summary

Set aside (--keep NAME compares it; --ignore NAME sets it aside under --strict):
  ids             the spelling of ids, which are compared under one consistent renaming
  times           created_at, timestamp, duration_ms and the like; the day in Codex's environment context
  usage           token counts
  metadata        client_metadata and what else clients say about themselves
  headers         headers of requests
  rate-limits     rate limits, as frames and as members
  keep-alives     comments and events that keep a connection alive
  codex-output    in outputs of Codex tools: chunk ids, wall times, metadata.duration_seconds
  nulls           members that are null
  beside          rollout lines and client events that a recording holds beside the wire
  other-requests  requests that ask for no response
  obfuscation, sequence
                  padding and numbers of streamed events (with --layer events)

Paths (--ignore, --keep): a name alone means every member of that name; a longer path begins at the kind of the event \
(request, item, dropped, half, event, response, refusal, cut, line) or at its members, and '*' stands for one step:
  usage   request.tools   item.output.metadata.exit_code   content.*.annotations

Exit status:
  0  no difference
  1  a difference
  2  wrong usage
  3  unreadable input";
