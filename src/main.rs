//! The `replay` command.

use std::process::ExitCode;

use responses_replay::cli::{self, Environment};

fn main() -> ExitCode {
    ExitCode::from(cli::run(std::env::args_os(), &Environment::read()))
}
