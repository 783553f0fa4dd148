//! Options of `replay SESSION --target URL`.

use std::path::PathBuf;

use clap::Args;

/// Under which these stand in the help.
const HEADING: &str = "A real endpoint";

/// Where and how a session is sent to a real endpoint.
#[expect(clippy::doc_markdown, reason = "the help texts stand as they are")]
#[derive(Debug, Default, Args)]
pub struct TargetArgs {
    /// Send the requests to this endpoint (a base URL such as http://127.0.0.1:11434/v1) and judge its answers
    #[arg(long, value_name = "URL", conflicts_with = "write_story", help_heading = HEADING)]
    pub target: Option<String>,
    /// The variable that holds the key [default: OPENAI_API_KEY, where it is set]
    #[arg(long, value_name = "NAME", requires = "target", help_heading = HEADING)]
    pub key_env: Option<String>,
    /// Send this model in place of the recorded one
    #[arg(long, value_name = "NAME", requires = "target", help_heading = HEADING)]
    pub model: Option<String>,
    /// Send at most so many requests of a session
    #[arg(long, value_name = "N", requires = "target", help_heading = HEADING)]
    pub max_requests: Option<usize>,
    /// Send to another machine without asking
    #[arg(long, short, requires = "target", help_heading = HEADING)]
    pub yes: bool,
    /// Carry the endpoint's own answers forward: its ids and calls take the place of the recorded ones
    #[arg(long, requires = "target", help_heading = HEADING)]
    pub follow: bool,
    /// How requests travel [default: as recorded]
    #[arg(long, value_name = "HOW", requires = "target", value_parser = ["http", "websocket"], help_heading = HEADING)]
    pub transport: Option<String>,
    /// How often a request is sent again that got no answer (no connection, 408, 429, 5xx) [default: 4]
    #[arg(long, value_name = "N", requires = "target", help_heading = HEADING)]
    pub retries: Option<u32>,
    /// How often a request is sent again whose answer broke off [default: 2]
    #[arg(long, value_name = "N", requires = "target", help_heading = HEADING)]
    pub stream_retries: Option<u32>,
    /// The first pause before sending again, in milliseconds; each further one is twice as long [default: 200]
    #[arg(long, value_name = "MS", requires = "target", help_heading = HEADING)]
    pub backoff: Option<u64>,
    /// How long nothing may come, in seconds [default: 300]
    #[arg(long, value_name = "SECONDS", requires = "target", help_heading = HEADING)]
    pub idle_timeout: Option<f64>,
    /// How long an answer may take, in seconds [default: 600]
    #[arg(long, value_name = "SECONDS", requires = "target", help_heading = HEADING)]
    pub answer_timeout: Option<f64>,
    /// Keep the recorded times between requests, and hang up where the recorded client did; 1 is as recorded, 2 twice as fast
    #[arg(long, value_name = "N", requires = "target", help_heading = HEADING)]
    pub speed: Option<f64>,
    /// Record what is sent and what comes back
    #[arg(short, long, value_name = "FILE", requires = "target", help_heading = HEADING)]
    pub output: Option<PathBuf>,
    /// Overwrite FILE if it exists
    #[arg(long, requires = "output", help_heading = HEADING)]
    pub force: bool,
}
