//! A refusal as a story: what happened, how to see it again, what is expected.

use serde_json::json;

use super::safe;
use crate::replay::SessionReport;
use crate::strategy::Strategy;

/// The texts beside a story's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `story.md`.
    pub story: String,
    /// `expect.json`: what a test holds the session to.
    pub expect: String,
}

/// Writes the story of a session that is refused; `session` is the name of its file.
pub fn files(report: &SessionReport, session: &str) -> Files {
    let items = crate::check::items(&report.session);
    let client = [
        report.client.name.as_deref(),
        report.client.version.as_deref(),
    ];
    let client: Vec<&str> = client.into_iter().flatten().collect();
    let run = report.runs.first();
    let strategy = run.map_or(Strategy::None, |run| run.strategy);
    let fault = run.and_then(|run| {
        run.requests
            .iter()
            .find(|request| request.is_refused())?
            .refusal
    });
    let call_id = fault
        .and_then(|fault| fault.call)
        .map(|call| items.call_id(call));
    let message = fault.map(|fault| report.refusal(&fault).message);
    let open: Vec<String> = report
        .open_calls
        .iter()
        .map(|open| {
            format!(
                "- `{}` (line {}): {}",
                in_code(items.call_id(open.call)),
                open.line,
                open.cause.words()
            )
        })
        .collect();
    let story = format!(
        "# A refused session\n\n\
         Client: {}. Source: {}.\n\n\
         ## What happened\n\n{}\n\n\
         ## What replay must say\n\n\
         `replay {session}` exits 1 with the verdict `{}`{}{}.\n",
        if client.is_empty() {
            "unknown".to_owned()
        } else {
            safe(&client.join(" "))
        },
        report.source,
        if open.is_empty() {
            "No call is open at the end.".to_owned()
        } else {
            open.join("\n")
        },
        report.verdict().name(),
        if run.and_then(|run| run.reproduced) == Some(true) {
            ", reproduced"
        } else {
            ""
        },
        message.as_deref().map_or(String::new(), |message| format!(
            ", and names `{}`",
            in_code(message)
        )),
    );
    let expect = json!({
        "session": session,
        "strategy": strategy.name(),
        "verdict": report.verdict().name(),
        "reproduced": run.and_then(|run| run.reproduced),
        "refusal": {"kind": fault.map(|fault| fault.kind.name()), "call_id": call_id, "message": message},
        "open_calls": report.open_calls.iter().map(|open| json!({
            "call_id": items.call_id(open.call), "cause": open.cause.name(),
        })).collect::<Vec<_>>(),
    });
    Files {
        story,
        expect: format!("{expect:#}\n"),
    }
}

/// A text from the session between backquotes: nothing a terminal or Markdown takes for its own.
fn in_code(text: &str) -> String {
    safe(text).replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_reaches_the_story() {
        assert_eq!(in_code("call_\u{1b}[31m`x\u{9b}"), "call_␛[31m'x�");
    }
}
