//! A failing test in the client's own world: an endpoint, the interrupt, the next turn, the assertion.

use std::path::Path;

use serde_json::json;

use super::args::Emit;
use super::error::CliError;
use super::shrink::Made;
use crate::session::exchange::{Exchange, Purpose, Recording, Terminal};
use crate::session::{Client, Session};
use crate::wire::refusal::RefusalKind;

/// The test for the refusal of a recording; `session` is the session as it was recorded, `out` the small one.
pub(super) fn test(
    form: Emit,
    out: &Path,
    failure: &str,
    session: Option<&Session>,
) -> Result<Made, CliError> {
    let Some(Session::Recording(recording)) = session else {
        return Err(CliError::usage(
            "--emit needs a recording: a rollout does not say where a stream was interrupted",
        )
        .hint("record the client: replay record -- COMMAND"));
    };
    let refused = refused(recording).ok_or_else(|| {
        CliError::usage("--emit needs a recorded refusal, and what came before it")
            .hint("'replay share' writes the text of an issue instead")
    })?;
    let kind = refused
        .answer
        .refusal
        .as_ref()
        .and_then(|it| it.named.as_ref());
    if let Some(named) = kind.filter(|it| it.kind != RefusalKind::MissingOutput) {
        return Err(CliError::usage(format!(
            "--emit makes tests of interrupts, which leave a call without output; this is refused for {}",
            named.kind.name()
        ))
        .hint("'replay share' writes the text of an issue instead"));
    }
    let last = last_before(recording, refused);
    let case = case(recording, refused, last);
    let chained = refused.request.previous.is_some();
    let call = json!({"type": "function_call", "name": TOOL, "arguments": {"key": "what the model looks for"}, "call_id": "call_A"});
    let first = if case == "mid-arguments" {
        json!({"items": [call], "cut": "response.function_call_arguments.delta#2=stall"})
    } else {
        json!({"items": [call]})
    };
    let mut turns = vec![first];
    if case == "second-stream" {
        turns.push(json!({"text": "This answer is interrupted while it comes in.", "cut": "response.output_text.delta#2=stall"}));
    }
    let turns_count = turns.len();
    let script = json!({"turns": turns, "default": {"text": "The script is over."}});
    let script = serde_json::to_string_pretty(&script)
        .map_err(|error| CliError::failed(error.to_string()))?;
    let (template, name) = match form {
        Emit::Rust => (include_str!("emit/rust.txt"), "{}.rs"),
        Emit::Pytest => (include_str!("emit/pytest.txt"), "test_{}.py"),
        Emit::Vitest => (include_str!("emit/vitest.txt"), "{}.test.mjs"),
    };
    // what stands in a comment must not end it
    let title: String = failure
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || " _-.:".contains(*c))
        .take(120)
        .collect();
    let text = template
        .replace("@TITLE@", &title)
        .replace("@WORLD@", &other_world(form, &recording.client))
        .replace(
            "@WORLD_JS@",
            &other_world(form, &recording.client).replace('\n', "\n// "),
        )
        .replace("@TURNS@", &(turns_count + 1).to_string())
        .replace("@CASE@", case)
        .replace("@TOOL@", TOOL)
        .replace("@CHAINED_PY@", if chained { "True" } else { "False" })
        .replace("@CHAINED_JS@", if chained { "true" } else { "false" })
        .replace("@SCRIPT@", &script);
    let stem = out
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let stem: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    Ok(Made {
        path: out.with_file_name(name.replace("{}", &stem)),
        text,
    })
}

/// What has to be said of a test that drives another client than the recorded one.
fn other_world(form: Emit, client: &Client) -> String {
    let (own, driven) = match form {
        Emit::Rust => return String::new(),
        Emit::Pytest => ("openai-agents-python", "the OpenAI Agents SDK for Python"),
        Emit::Vitest => ("openai-agents-js", "the OpenAI Agents SDK for JavaScript"),
    };
    if client.name.as_deref() == Some(own) {
        return String::new();
    }
    let plain = |text: &Option<String>| -> String {
        let text = text.as_deref().unwrap_or("").chars();
        let plain = text.filter(|c| c.is_ascii_alphanumeric() || " _-.".contains(*c));
        plain.take(60).collect()
    };
    let recorded = format!("{} {}", plain(&client.name), plain(&client.version));
    let recorded = match recorded.trim() {
        "" => "unknown",
        name => name,
    };
    format!(
        " The recorded client is {recorded}; this drives {driven} in its place,\nand fails only if that does the same."
    )
}

/// The tool that the script calls and the test defines.
const TOOL: &str = "look_up";

fn refused(recording: &Recording) -> Option<&Exchange> {
    let refused = |exchange: &&Exchange| {
        exchange
            .answer
            .refusal
            .as_ref()
            .is_some_and(|it| it.named.is_some())
    };
    recording.exchanges.iter().find(refused)
}

/// The exchange of the same conversation in front of the refused one.
fn last_before<'r>(recording: &'r Recording, refused: &Exchange) -> Option<&'r Exchange> {
    let before = recording
        .exchanges
        .iter()
        .take_while(|exchange| exchange.number != refused.number);
    before
        .filter(|exchange| exchange.lane == refused.lane && exchange.purpose == Purpose::Turn)
        .last()
}

/// Where the turn was interrupted.
fn case(recording: &Recording, refused: &Exchange, last: Option<&Exchange>) -> &'static str {
    let Some(last) = last else { return "in-tool" };
    if matches!(last.answer.terminal, Some(Terminal::Completed)) {
        return "in-tool";
    }
    let first = recording
        .exchanges
        .iter()
        .find(|exchange| exchange.lane == refused.lane && exchange.purpose == Purpose::Turn);
    if first.is_some_and(|first| first.number == last.number) {
        "mid-arguments"
    } else {
        "second-stream"
    }
}
