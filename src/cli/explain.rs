//! `replay explain TEXT`.

use serde_json::{Value, json};

use super::Environment;
use super::args::ExplainArgs;
use super::error::CliError;
use super::input::{self, Source};
use super::labels;
use super::output::Output;
use crate::locate;
use crate::replay::{self, SessionReport};
use crate::report::{json as document, safe, text};
use crate::strategy::Options;
use crate::wire::item::ItemKind;
use crate::wire::refusal::RefusalKind;
use crate::wire::refusal::find::{self, Found};

/// How many sessions of the Codex home are looked at for one call.
const MAX_SESSIONS: usize = 20;

pub(super) fn run(
    args: &ExplainArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<u8, CliError> {
    let given = if args.text == "-" {
        match input::stdin()? {
            Source::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Source::File(_) => String::new(),
        }
    } else {
        args.text.clone()
    };
    let found = find::find(&given);
    let ids = match &found.named {
        Some(named) if !named.id.is_empty() => vec![named.id.clone()],
        _ => find::call_ids(&given),
    };
    let nothing_like_an_id = |id: &String| !id.contains(|c: char| c.is_ascii_digit() || c == '_');
    if found.named.is_none() && ids.iter().all(nothing_like_an_id) {
        let error = CliError::input(
            "TEXT",
            "no refusal of a tool call and no call id is in this text",
        );
        return Err(error.hint("paste the whole error, or the call id alone"));
    }
    let sources = sources(args, &ids, environment, output)?;
    let mut reports = Vec::new();
    let mut status = 0;
    for source in &sources {
        let session = source.read(environment)?;
        let mut report = replay::replay(&source.name(), session, &[], &Options::default());
        if names_any(&report, &ids) {
            report.labels = labels::read(source, &report.session, &report.wanted());
            status = status.max(report.verdict().exit());
            reports.push(report);
        }
    }
    if output.is_json() {
        output.document(&as_json(&found, &ids, &reports))?;
        return Ok(status);
    }
    let mut said = meaning(&found, &ids);
    if sources.is_empty() && !args.text_only {
        said.push_str("\nno session was looked at: none is named, and there is none in the Codex home that names the call\n");
    } else if reports.is_empty() && !sources.is_empty() {
        said.push_str("\nnone of the sessions names the call\n");
    }
    output.data(&said)?;
    for report in &reports {
        output.data("\n")?;
        output.data(&text::session(report, &[], output.paint, output.verbose))?;
    }
    if !reports.is_empty() {
        output.note("");
        output.note(text::MODEL_NOTE);
    }
    Ok(status)
}

fn sources(
    args: &ExplainArgs,
    ids: &[String],
    environment: &Environment,
    output: &Output,
) -> Result<Vec<Source>, CliError> {
    if args.text_only {
        return Ok(Vec::new());
    }
    if !args.sessions.is_empty() {
        let mut sources = Vec::new();
        for argument in &args.sessions {
            sources.extend(input::find(argument, environment)?);
        }
        return Ok(sources);
    }
    let Some(home) = environment.codex_home.as_ref().filter(|home| home.is_dir()) else {
        return Ok(Vec::new());
    };
    let mut sources = Vec::new();
    for id in ids {
        match locate::find_call(home, id) {
            Ok(found) => sources.extend(
                found
                    .into_iter()
                    .take(MAX_SESSIONS)
                    .map(|one| Source::File(one.path)),
            ),
            Err(locate::LocateError::None { .. }) => {}
            Err(error) => output.note(&format!("the Codex home could not be searched: {error}")),
        }
    }
    Ok(sources)
}

/// Whether a session names one of the ids.
fn names_any(report: &SessionReport, ids: &[String]) -> bool {
    let items = crate::check::items(&report.session);
    let families = [
        ItemKind::FunctionCall,
        ItemKind::CustomToolCall,
        ItemKind::ComputerCall,
        ItemKind::ShellCall,
        ItemKind::ApplyPatchCall,
        ItemKind::ToolSearchCall,
        ItemKind::McpApprovalRequest,
    ];
    let responses = match &report.session {
        crate::session::Session::Rollout(rollout) => &rollout.responses,
        crate::session::Session::Recording(recording) => &recording.responses,
    };
    ids.iter().any(|id| {
        let call = families
            .iter()
            .filter_map(|kind| kind.family())
            .any(|family| items.find_call(family, id).is_some());
        call || responses.find(id.as_bytes()).is_some()
    })
}

/// What the text says, and what that means.
fn meaning(found: &Found, ids: &[String]) -> String {
    let Some(named) = &found.named else {
        return format!(
            "call id {}\n",
            ids.iter().map(|id| safe(id)).collect::<Vec<_>>().join(", ")
        );
    };
    let kind = named.item_type.map_or("tool call", ItemKind::words);
    let id = safe(&named.id);
    let sentence = match named.kind {
        RefusalKind::MissingOutput => format!(
            "the request carries (or its previous response holds) {kind} {id}, and no output for it.\nEvery call in the context must be answered in the same request's context."
        ),
        RefusalKind::OrphanOutput => format!(
            "the request carries a {kind} for {id}, but the context holds no such call.\nThe response that made the call was never stored, or the call was left out of the history."
        ),
        RefusalKind::DuplicateItem => format!(
            "the item {id} stands twice: in the input, or in the input and in what the server holds.\nWith previous_response_id only new items may be sent."
        ),
        RefusalKind::ReasoningWithoutFollower => {
            format!(
                "the reasoning item {id} is sent without the item it led to, as after an interrupted answer."
            )
        }
        RefusalKind::ItemWithoutReasoning => {
            format!("the item {id} is sent without the reasoning item before it.")
        }
        RefusalKind::ItemNotFound => {
            format!("the item {id} is only referred to, and the server has not stored it.")
        }
        RefusalKind::PreviousResponseNotFound => format!(
            "the server does not hold response {id}: it was cut before it completed, was not stored, or is another connection's."
        ),
        RefusalKind::BadItemId => {
            format!("the id {id} does not have the prefix that its kind of item must have.")
        }
        RefusalKind::CallIdTooLong => "a call_id has more than 64 characters.".to_owned(),
        RefusalKind::DuplicateOutput | RefusalKind::DuplicateCall => {
            format!("{id} stands more than once.")
        }
    };
    let status = found
        .status
        .map_or(String::new(), |status| format!("{status} "));
    let wrapper = if found.plain || found.wrapper == find::Wrapper::Text {
        String::new()
    } else {
        format!(" (found in: {})", found.wrapper.name())
    };
    format!(
        "{status}{}{wrapper}\n\n{}: {sentence}\n",
        safe(&found.message),
        named.kind.name()
    )
}

fn as_json(found: &Found, ids: &[String], reports: &[SessionReport]) -> Value {
    let named = found.named.as_ref().map(|named| {
        json!({
            "kind": named.kind.name(),
            "item_type": named.item_type.map(ItemKind::name),
            "id": Some(&named.id).filter(|id| !id.is_empty()),
        })
    });
    let mut value = document::sessions(reports);
    if let Some(object) = value.as_object_mut() {
        let refusal = json!({
            "named": named,
            "message": found.message,
            "status": found.status,
            "wrapper": found.wrapper.name(),
            "ids": ids,
        });
        object.insert("refusal".to_owned(), refusal);
    }
    value
}
