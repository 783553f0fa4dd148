//! Random rollouts: what the runner answers as it walks along the file is what comes of really building every request.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use serde_json::{Value, json};

use crate::check::{self, Rule, Severity};
use crate::contract::tests::naive::{self, Asked};
use crate::contract::{Outcome, Policy, World, WorldSet};
use crate::rollout::{NoLibrary, reader};
use crate::session::Session;
use crate::strategy::{self, Judged, Options, Probe, Run, Strategy, Verdict};
use crate::wire::item::Items;
use crate::wire::refusal::RefusalKind;

/// How often an old client sends a refused request again.
const REPEATS: u32 = 5;

/// One line of a rollout.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Item(Value),
    Aborted,
    RolledBack(u32),
    Compacted(Option<Vec<Value>>),
    TurnStarted,
    TurnComplete(bool),
    ToolEnded(String),
    State(u8),
}

fn any_item() -> impl proptest::strategy::Strategy<Value = Value> {
    // calls of different kinds have different ids, as they do; outputs may have any
    let call = (0..5_u8, 0..4_u8, prop::option::weighted(0.1, 0..3_u8)).prop_map(|(kind, number, id)| {
        let call_id = call_id(kind, number);
        let mut item = match kind {
            0 | 1 => json!({"type": "function_call", "call_id": call_id, "name": "shell", "arguments": "{}"}),
            2 => json!({"type": "custom_tool_call", "call_id": call_id, "name": "exec", "input": "x"}),
            3 => json!({"type": "local_shell_call", "call_id": call_id, "status": "completed", "action": {}}),
            _ => json!({"type": "tool_search_call", "call_id": call_id, "execution": "client", "arguments": {}}),
        };
        if let Some(id) = id {
            item["id"] = format!("x_{id}").into();
        }
        item
    });
    let kinds = prop_oneof![8 => Just(None), 1 => (0..5_u8).prop_map(Some)];
    let output = (kinds, 0..5_u8, 0..4_u8, any::<bool>()).prop_map(|(wrong, kind, number, aborted)| {
        let text = if aborted { "aborted" } else { "done" };
        let call_id = call_id(kind, number);
        match wrong.unwrap_or(kind) {
            2 => json!({"type": "custom_tool_call_output", "call_id": call_id, "output": text}),
            4 => json!({"type": "tool_search_output", "call_id": call_id, "execution": "client", "status": "completed", "tools": []}),
            _ => json!({"type": "function_call_output", "call_id": call_id, "output": text}),
        }
    });
    let reasoning = prop::option::of(0..3_u8).prop_map(|id| match id {
        Some(id) => json!({"type": "reasoning", "id": format!("rs_{id}"), "summary": []}),
        None => json!({"type": "reasoning", "summary": []}),
    });
    prop_oneof![
        3 => Just(message("user", "go")),
        2 => Just(message("assistant", "ok")),
        5 => call,
        4 => output,
        1 => reasoning,
    ]
}

fn call_id(kind: u8, number: u8) -> String {
    let of = ["call_", "", "call_k", "l", "s"][kind as usize];
    format!("{of}{number}")
}

fn message(role: &str, text: &str) -> Value {
    let part = if role == "user" {
        "input_text"
    } else {
        "output_text"
    };
    json!({"type": "message", "role": role, "content": [{"type": part, "text": text}]})
}

pub(super) fn any_op() -> impl proptest::strategy::Strategy<Value = Op> {
    let replacement = prop::collection::vec(any_item(), 0..4);
    prop_oneof![
        20 => any_item().prop_map(Op::Item),
        1 => Just(Op::Aborted),
        1 => (0..4_u32).prop_map(Op::RolledBack),
        1 => prop::option::of(replacement).prop_map(Op::Compacted),
        1 => Just(Op::TurnStarted),
        1 => any::<bool>().prop_map(Op::TurnComplete),
        1 => (0..5_u8).prop_map(|number| Op::ToolEnded(format!("call_{number}"))),
        1 => (0..4_u8).prop_map(Op::State),
    ]
}

/// The ops that an era can write, as a file, and the line of each.
pub(super) fn write(era: u8, ops: Vec<Op>) -> (String, Vec<(u32, Op)>) {
    let fits = |op: &Op| match op {
        Op::Item(_) => true,
        Op::State(_) => era == 2,
        _ => era >= 3,
    };
    let ops: Vec<Op> = ops.into_iter().filter(fits).collect();
    let (mut text, first) = match era {
        0 => ("{\n  \"session\": {\"id\": \"t\"},\n  \"items\": [\n".to_owned(), 4),
        1 | 2 => ("{\"id\":\"t\",\"timestamp\":\"2025-07-01T00:00:00.000Z\"}\n".to_owned(), 2),
        3 => ("{\"timestamp\":\"t\",\"type\":\"session_meta\",\"payload\":{\"id\":\"t\",\"cli_version\":\"0.100.0\"}}\n".to_owned(), 2),
        _ => ("{\"timestamp\":\"t\",\"ordinal\":0,\"type\":\"session_meta\",\"payload\":{\"id\":\"t\",\"history_mode\":\"paginated\"}}\n".to_owned(), 2),
    };
    let count = ops.len();
    for (at, op) in ops.iter().enumerate() {
        let event = |payload: Value| ("event_msg", payload);
        let (kind, payload) = match op {
            Op::Item(item) => ("response_item", item.clone()),
            Op::Aborted => event(json!({"type": "turn_aborted", "reason": "interrupted"})),
            Op::RolledBack(turns) => {
                event(json!({"type": "thread_rolled_back", "num_turns": turns}))
            }
            Op::TurnStarted => event(json!({"type": "task_started"})),
            Op::TurnComplete(error) => event(if *error {
                json!({"type": "task_complete", "error": {"message": "stream disconnected"}})
            } else {
                json!({"type": "task_complete"})
            }),
            Op::ToolEnded(call) => event(json!({"type": "exec_command_end", "call_id": call})),
            Op::Compacted(Some(items)) => (
                "compacted",
                json!({"message": "", "replacement_history": items}),
            ),
            Op::Compacted(None) => ("compacted", json!({"message": "sum"})),
            Op::State(0) => ("", json!({"record_type": "state"})),
            Op::State(1) => (
                "",
                json!({"record_type": "state", "previous_response_id": null}),
            ),
            Op::State(n) => (
                "",
                json!({"record_type": "state", "previous_response_id": format!("resp_{n}")}),
            ),
        };
        let line = match era {
            0 => format!("{payload}{}", if at + 1 < count { "," } else { "" }),
            1 | 2 => payload.to_string(),
            3 => json!({"timestamp": "t", "type": kind, "payload": payload}).to_string(),
            _ => json!({"timestamp": "t", "ordinal": at + 1, "type": kind, "payload": payload})
                .to_string(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    if era == 0 {
        text.push_str("  ]\n}\n");
    }
    (text, (first..).zip(ops).collect())
}

fn is_user(item: &Value) -> bool {
    naive::kind(item) == "message" && item["role"] == "user"
}

/// A user message that the user wrote: a summary is none.
fn is_written(item: &Value) -> bool {
    is_user(item) && item["summary"].is_null()
}

/// The history as Codex would rebuild it from the lines above `line`, from scratch.
fn effective(ops: &[(u32, Op)], line: u32) -> Vec<Value> {
    let mut history: Vec<Value> = Vec::new();
    for (_, op) in ops.iter().take_while(|(at, _)| *at < line) {
        match op {
            Op::Item(item) => history.push(item.clone()),
            Op::Compacted(Some(items)) => history.clone_from(items),
            Op::Compacted(None) => {
                history.retain(is_written);
                let mut summary = message("user", "sum");
                summary["summary"] = true.into();
                history.push(summary);
            }
            Op::RolledBack(turns) => {
                let users: Vec<usize> = (0..history.len())
                    .filter(|at| is_user(&history[*at]))
                    .collect();
                let kept = users.len().saturating_sub(*turns as usize);
                if let Some(cut) = users.get(kept) {
                    history.truncate(*cut);
                }
            }
            _ => {}
        }
    }
    history
}

fn output_for(call: &Value) -> Value {
    let kind = match naive::kind(call) {
        "custom_tool_call" => "custom_tool_call_output",
        "tool_search_call" => "tool_search_output",
        _ => "function_call_output",
    };
    json!({"type": kind, "call_id": naive::owes(call)})
}

/// What each strategy makes of a history, written from codex.md 3.1 and 3.4.
fn repaired(strategy: Strategy, base: &[Value]) -> Option<Vec<Value>> {
    let answered = |call: &Value| base.iter().any(|it| naive::is_answered_by(call, it));
    match strategy {
        Strategy::None | Strategy::FullHistory => Some(base.to_vec()),
        Strategy::Normalize => {
            let mut sent = Vec::new();
            for item in base {
                let orphan = naive::gives(item).is_some()
                    && !base.iter().any(|call| naive::is_answered_by(call, item));
                if !orphan {
                    sent.push(item.clone());
                }
                if naive::owes(item).is_some() && !answered(item) {
                    sent.push(output_for(item));
                }
            }
            Some(sent)
        }
        Strategy::HistoryScan | Strategy::HistoryScan045 => {
            let custom = strategy == Strategy::HistoryScan045;
            let mut front: Vec<Value> = Vec::new();
            for call in naive::open(base).into_iter().map(|at| &base[at]) {
                let kind = match (naive::kind(call), custom) {
                    ("function_call", false) => "function_call_output",
                    ("function_call" | "custom_tool_call", true) => "custom_tool_call_output",
                    _ => continue,
                };
                front.push(json!({"type": kind, "call_id": naive::owes(call)}));
            }
            front.extend_from_slice(base);
            Some(front)
        }
        _ => None,
    }
}

/// The request as the runner says it was sent. A client that chains tells each output once; the server holds it behind
/// the item it was sent behind.
fn carried_out(
    base: &[Value],
    told: &mut Vec<(usize, Value)>,
    chains: bool,
    request: &Judged,
    items: &Items,
) -> Vec<Value> {
    let mut sent: Vec<Value> = base
        .iter()
        .enumerate()
        .filter(|(at, _)| !request.removed.contains(&(*at as u32)))
        .map(|(_, item)| item.clone())
        .collect();
    for (count, (before, output)) in told.iter().enumerate() {
        sent.insert((before + count).min(sent.len()), output.clone());
    }
    for injected in request.injected.iter() {
        let output = json!({"type": injected.kind.name(), "call_id": items.call_id(injected.call)});
        let position = injected.position as usize;
        sent.insert(position.min(sent.len()), output.clone());
        if chains {
            told.push((position - told.len(), output));
        }
    }
    sent
}

/// The worlds that differ in more than words.
fn worlds() -> Vec<World> {
    let fixed = [
        Policy::StoredAfterCut,
        Policy::UnansweredApproval,
        Policy::MissingIdChoice,
        Policy::FaultOrder,
    ];
    WorldSet::fixed(&fixed.map(|policy| (policy, 0)))
        .iter()
        .collect()
}

fn judge(items: &[Value], world: World) -> Option<naive::Refused> {
    let asked = Asked {
        items,
        held: 0,
        exact_ids: false,
        not_found: None,
    };
    naive::judge(&asked, world)
}

/// What a request earns in one world from a client that answers refusals, or does not.
fn earned(
    strategy: Strategy,
    sent: &[Value],
    base: &[Value],
    world: World,
) -> Option<naive::Refused> {
    let retries = matches!(strategy, Strategy::ErrorBody | Strategy::ErrorBody1610);
    if !retries {
        return judge(sent, world);
    }
    let mut items = base.to_vec();
    let mut answered = BTreeSet::new();
    loop {
        let refused = judge(&items, world)?;
        let covered = refused.kind == RefusalKind::MissingOutput
            && (strategy == Strategy::ErrorBody
                || (refused.item == "function_call" && refused.id.contains("call_")));
        if !covered || !answered.insert((refused.item.clone(), refused.id.clone())) {
            return Some(refused);
        }
        items.insert(
            0,
            output_for(
                &json!({"type": refused.item, "call_id": refused.id, "execution": "client"}),
            ),
        );
    }
}

fn compare(
    strategy: Strategy,
    run: &Run,
    ops: &[(u32, Op)],
    items: &Items,
) -> Result<(), TestCaseError> {
    // what clients that chain have told the server, with the item it stands behind
    let mut told: Vec<(usize, Value)> = Vec::new();
    let chains = matches!(strategy, Strategy::PendingIds | Strategy::PendingAborts);
    let rewritten = ops
        .iter()
        .any(|(_, op)| matches!(op, Op::RolledBack(_) | Op::Compacted(_)));
    for request in &run.requests {
        let probe = request.line == 0;
        let mut base = effective(ops, if probe { u32::MAX } else { request.line });
        if probe && !base.last().is_some_and(is_written) {
            base.push(message("user", "continue"));
        }
        prop_assert_eq!(
            request.input_items as usize,
            base.len(),
            "{:?} {:?}",
            strategy,
            request
        );
        if chains && rewritten {
            // what the server held is gone with what it stood behind
            continue;
        }
        let sent = carried_out(&base, &mut told, chains, request, items);
        if let Some(expected) = repaired(strategy, &base) {
            let brief = |items: &[Value]| -> Vec<(String, String)> {
                items
                    .iter()
                    .map(|it| (naive::kind(it).to_owned(), it["call_id"].to_string()))
                    .collect()
            };
            prop_assert_eq!(
                brief(&sent),
                brief(&expected),
                "{:?} line {}",
                strategy,
                request.line
            );
        }
        let earned: Vec<Option<naive::Refused>> = worlds()
            .into_iter()
            .map(|world| earned(strategy, &sent, &base, world))
            .collect();
        let refusing = earned.iter().flatten().count();
        let expected = match refusing {
            0 => "accepted",
            all if all == earned.len() => "refused",
            _ => "depends",
        };
        let found = match &request.outcome {
            Outcome::Accepted => "accepted",
            Outcome::Refused(_) => "refused",
            Outcome::Depends { .. } => "depends",
            Outcome::Unknown => "unknown",
        };
        // an answer on file shows that the client's own request got through, whatever the file has lost since
        let proven = request.outcome == Outcome::Accepted && request.refusal.is_some();
        let own = run.strategy == Strategy::AsClient;
        let settled = own && (expected == "depends" || (expected == "refused" && proven));
        prop_assert!(
            found == expected || settled,
            "{strategy:?} {request:?} {earned:?}"
        );
        if let (Outcome::Refused(fault), Some(first)) =
            (&request.outcome, earned.iter().flatten().next())
            && !matches!(strategy, Strategy::ErrorBody | Strategy::ErrorBody1610)
        {
            prop_assert_eq!(fault.kind, first.kind);
            if let Some(call) = fault.call {
                prop_assert_eq!(
                    (fault.item.name(), items.call_id(call)),
                    (first.item.as_str(), first.id.as_str())
                );
            }
        }
    }
    Ok(())
}

/// Calls without outputs, counted one by one over every item line.
fn open_count(ops: &[(u32, Op)]) -> BTreeMap<(String, String), usize> {
    let mut counts: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    for (_, op) in ops {
        let Op::Item(item) = op else { continue };
        if let Some(id) = naive::owes(item) {
            let kind = naive::kind(&output_for(item)).to_owned();
            counts.entry((kind, id.to_owned())).or_default().0 += 1;
        } else if let Some(id) = naive::gives(item) {
            counts
                .entry((naive::kind(item).to_owned(), id.to_owned()))
                .or_default()
                .1 += 1;
        }
    }
    let open = counts
        .into_iter()
        .map(|(key, (calls, outputs))| (key, calls.saturating_sub(outputs)));
    open.filter(|(_, count)| *count > 0).collect()
}

/// The same, with the calls that a compaction brought into the history of the next request.
fn open_count_with_brought(ops: &[(u32, Op)]) -> BTreeMap<(String, String), usize> {
    let mut open = open_count(ops);
    let mut marked = ops.to_vec();
    for (_, op) in &mut marked {
        if let Op::Compacted(Some(items)) = op {
            for item in items {
                item["brought"] = true.into();
            }
        }
    }
    let history = effective(&marked, u32::MAX);
    let mut brought: BTreeMap<(String, String), usize> = BTreeMap::new();
    for call in history.iter().filter(|item| item["brought"] == true) {
        let Some(id) = naive::owes(call) else {
            continue;
        };
        let output = output_for(call);
        let kind = naive::kind(&output);
        let answers = |item: &Value| naive::kind(item) == kind && naive::gives(item) == Some(id);
        let key = (kind.to_owned(), id.to_owned());
        if !history.iter().any(answers) && !open.contains_key(&key) {
            *brought.entry(key).or_default() += 1;
        }
    }
    open.append(&mut brought);
    open
}

fn orphans(ops: &[(u32, Op)]) -> BTreeSet<(String, String)> {
    let items = ops.iter().filter_map(|(_, op)| match op {
        Op::Item(item) => Some(item.clone()),
        _ => None,
    });
    orphans_of(&items.collect::<Vec<_>>())
}

fn orphans_of(items: &[Value]) -> BTreeSet<(String, String)> {
    let found = naive::orphans(items).into_iter().filter_map(|at| {
        let item = items.get(at)?;
        Some((naive::kind(item).to_owned(), naive::gives(item)?.to_owned()))
    });
    found.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn walking_along_the_file_is_building_every_request(
        era in 0..5_u8,
        ops in prop::collection::vec(any_op(), 1..24),
    ) {
        let (text, ops) = write(era, ops);
        let Ok(rollout) = reader::read(text.as_bytes(), &NoLibrary) else { return Ok(()) };
        let session = Session::Rollout(rollout);
        let items = check::items(&session);
        let chained = ops.iter().any(|(_, op)| matches!(op, Op::State(2..)));
        let calls = items.iter().filter(|item| item.kind.is_call()).count() as u32;
        for strategy in Strategy::ALL {
            let run = strategy::run(&session, strategy, &Options::default());
            let again = strategy::run(&session, strategy, &Options::default());
            prop_assert_eq!(format!("{run:?}"), format!("{again:?}"));
            for request in &run.requests {
                prop_assert!(request.attempts <= calls + 1 + REPEATS);
                prop_assert_ne!(request.agrees, Some(false));
            }
            if !chained {
                compare(run.resolved, &run, &ops, items)?;
            }
        }
    }

    #[test]
    fn check_tells_what_an_independent_counter_finds(
        era in 0..5_u8,
        ops in prop::collection::vec(any_op(), 1..24),
        probe in any::<bool>(),
    ) {
        let (text, ops) = write(era, ops);
        let Ok(rollout) = reader::read(text.as_bytes(), &NoLibrary) else { return Ok(()) };
        let session = Session::Rollout(rollout);
        let items = check::items(&session);
        let options = Options { probe: if probe { Probe::Auto } else { Probe::Never }, ..Options::default() };
        let checked = check::check(&session, &options);
        let errors: Vec<_> = checked.findings.iter().filter(|it| it.severity == Severity::Error).collect();
        let bad = matches!(checked.run.verdict, Verdict::Refused | Verdict::Disagrees);
        prop_assert_eq!(!errors.is_empty(), bad, "{:?}", checked);
        for request in checked.run.requests.iter().filter(|it| it.is_refused()) {
            let call = request.refusal.and_then(|fault| fault.call);
            prop_assert!(call.is_none() || errors.iter().any(|it| it.call == call), "{errors:?} {request:?}");
        }
        let key = |call| {
            let kind = items.iter().find(|item| item.call == Some(call)).map_or("", |item| match item.kind.answer_kind() {
                Some(kind) => kind.name(),
                None => item.kind.name(),
            });
            (kind.to_owned(), items.call_id(call).to_owned())
        };
        let mut open: BTreeMap<(String, String), usize> = BTreeMap::new();
        for call in &checked.open_calls {
            *open.entry(key(call.call)).or_default() += 1;
        }
        if !ops.iter().any(|(_, op)| matches!(op, Op::State(2..))) {
            prop_assert_eq!(open, open_count_with_brought(&ops));
        }
        let told: BTreeSet<(String, String)> = checked.findings.iter().filter(|it| it.rule == Rule::OrphanOutput).filter_map(|it| it.call).map(key).collect();
        let counted = orphans(&ops);
        prop_assert!(told.is_superset(&counted), "{told:?} {counted:?}");
        for extra in told.difference(&counted) {
            // hidden calls: an output behind a rollback or compaction is an orphan on the wire only
            let refused = checked.run.requests.iter().filter_map(|it| it.refusal?.call).any(|call| &key(call) == extra);
            prop_assert!(refused || orphans_of(&effective(&ops, u32::MAX)).contains(extra), "{extra:?}");
        }
    }
}
