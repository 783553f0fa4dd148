//! `replay probe URL`.

use std::path::PathBuf;

use clap::Args;

/// Find out by some forty tiny requests which contract an endpoint keeps
///
/// Sends made-up histories (calls without outputs, outputs without calls) and reads what the endpoint says of them. What is
/// settled that way is written into a file that replay, check, sweep, shrink and serve go by with --contract FILE.
#[expect(clippy::doc_markdown, reason = "the help texts stand as they are")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay probe http://127.0.0.1:11434/v1 --list           what would be asked
  replay probe http://127.0.0.1:11434/v1 --model qwen3    ask, and write ./contract.lock
  replay check --contract contract.lock ~/.codex/sessions
  replay serve --contract contract.lock                   a mock that does as that endpoint does

Exit status:
  0  probed; what could not be settled is named
  2  wrong usage
  4  the endpoint answers not even a plain message")]
pub struct ProbeArgs {
    /// The base URL, such as http://127.0.0.1:11434/v1
    #[arg(value_name = "URL")]
    pub url: String,
    /// Where to write what was found
    #[arg(short, long, value_name = "FILE", default_value = "contract.lock")]
    pub output: PathBuf,
    /// Overwrite FILE if it exists
    #[arg(long)]
    pub force: bool,
    /// List the requests and send none
    #[arg(long, visible_alias = "dry-run")]
    pub list: bool,
    /// The model that is asked [default: the first one the endpoint lists]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// What to call the endpoint [default: its host]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The variable that holds the key [default: OPENAI_API_KEY, where it is set]
    #[arg(long, value_name = "NAME")]
    pub key_env: Option<String>,
    /// Send to another machine without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Record what is sent and what comes back
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Seconds to wait before a response that was cut is asked about
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub settle: f64,
    /// How often a request is sent again that got no answer [default: 4]
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// The first pause before sending again, in milliseconds [default: 200]
    #[arg(long, value_name = "MS")]
    pub backoff: Option<u64>,
    /// How long nothing may come, in seconds [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub idle_timeout: Option<f64>,
    /// How long an answer may take, in seconds [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub answer_timeout: Option<f64>,
}
