//! `replay completions` and `replay man`.

use clap::CommandFactory;

use super::args::Cli;
use super::error::CliError;
use super::output::Output;

pub(super) fn completions(
    shell: clap_complete::Shell,
    output: &mut Output,
) -> Result<u8, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "replay", &mut text);
    output.data(&String::from_utf8_lossy(&text))?;
    Ok(0)
}

pub(super) fn man(verb: Option<&str>, output: &mut Output) -> Result<u8, CliError> {
    let mut command = Cli::command();
    command.build();
    if let Some(name) = verb {
        let Some(found) = command.find_subcommand(name).cloned() else {
            let verbs: Vec<&str> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            return Err(CliError::usage(format!("no verb is called '{name}'"))
                .hint(format!("verbs are {}", verbs.join(", "))));
        };
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| CliError::failed(format!("cannot write the page: {error}")))?;
    output.data(&String::from_utf8_lossy(&page))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_command_line() {
        Cli::command().debug_assert();
    }
}
