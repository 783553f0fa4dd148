//! Options of `replay SESSION --target URL`.

use std::path::PathBuf;

use clap::Args;

/// Where and how a session is sent to a real endpoint.
#[expect(clippy::doc_markdown, reason = "the help texts stand as they are")]
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "A real endpoint")]
pub struct TargetArgs {
    /// Send the requests to this endpoint (a base URL such as http://127.0.0.1:11434/v1) and judge its answers
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// The variable that holds the key [default: OPENAI_API_KEY, where it is set]
    #[arg(long, value_name = "NAME", requires = "target")]
    pub key_env: Option<String>,
    /// Send this model in place of the recorded one
    #[arg(long, value_name = "NAME", requires = "target")]
    pub model: Option<String>,
    /// Send at most so many requests of a session
    #[arg(long, value_name = "N", requires = "target")]
    pub max_requests: Option<usize>,
    /// Send to another machine without asking
    #[arg(long, short, requires = "target")]
    pub yes: bool,
    /// Carry the endpoint's own answers forward: its ids and calls take the place of the recorded ones
    #[arg(long, requires = "target")]
    pub follow: bool,
    /// How requests travel [default: as recorded]
    #[arg(long, value_name = "HOW", requires = "target", value_parser = ["http", "websocket"])]
    pub transport: Option<String>,
    /// How often a request is sent again that got no answer (no connection, 408, 429, 5xx) [default: 4]
    #[arg(long, value_name = "N", requires = "target")]
    pub retries: Option<u32>,
    /// How often a request is sent again whose answer broke off [default: 2]
    #[arg(long, value_name = "N", requires = "target")]
    pub stream_retries: Option<u32>,
    /// The first pause before sending again, in milliseconds; each further one is twice as long [default: 200]
    #[arg(long, value_name = "MS", requires = "target")]
    pub backoff: Option<u64>,
    /// How long nothing may come, in seconds [default: 300]
    #[arg(long, value_name = "SECONDS", requires = "target")]
    pub idle_timeout: Option<f64>,
    /// How long an answer may take, in seconds [default: 600]
    #[arg(long, value_name = "SECONDS", requires = "target")]
    pub answer_timeout: Option<f64>,
    /// Keep the recorded times between requests, and hang up where the recorded client did; 1 is as recorded, 2 twice as fast
    #[arg(long, value_name = "N", requires = "target")]
    pub speed: Option<f64>,
    /// Record what is sent and what comes back
    #[arg(short, long, value_name = "FILE", requires = "target")]
    pub output: Option<PathBuf>,
    /// Overwrite FILE if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}
