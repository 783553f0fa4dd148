//! The JSON documents of design 4, described in `docs/json.md`.

use serde_json::{Map, Value, json};

use crate::check::Finding;
use crate::contract::lock::Citation;
use crate::contract::{Fault, Outcome, Policy};
use crate::replay::SessionReport;
use crate::session::exchange::Transport;
use crate::strategy::live::{Live, LiveResult};
use crate::strategy::{Judged, Origin, Run};
use crate::timeline::OpenCall;
use crate::wire::item::Items;
use crate::wire::lines::Problem;
use crate::wire::refusal::RefusalKind;

/// The `schema` every document carries.
pub const SCHEMA: u32 = 1;

/// The document of `replay`.
pub fn sessions(reports: &[SessionReport]) -> Value {
    json!({"schema": SCHEMA, "sessions": reports.iter().map(session).collect::<Vec<_>>()})
}

/// The same, with what could not be read or held nothing to replay.
pub fn sessions_and_errors(reports: &[SessionReport], errors: Vec<Value>) -> Value {
    let mut document = sessions(reports);
    if let (false, Some(object)) = (errors.is_empty(), document.as_object_mut()) {
        object.insert("errors".to_owned(), errors.into());
    }
    document
}

fn session(report: &SessionReport) -> Value {
    let items = crate::check::items(&report.session);
    json!({
        "path": report.path,
        "source": report.source,
        "era": report.era,
        "client": {"name": report.client.name, "version": report.client.version},
        "target": report.target.as_deref().unwrap_or("mock"),
        "contract": report.contract.as_ref().map(contract),
        "runs": report.runs.iter().map(|one| run(one, report, items)).collect::<Vec<_>>(),
        "open_calls": report.open_calls.iter().map(|open| open_call(open, report, items)).collect::<Vec<_>>(),
        "findings": report.findings.iter().map(|it| finding(it, &report.path, items)).collect::<Vec<_>>(),
        "problems": problems(report.session.problems(), None),
    })
}

/// The contract of an endpoint that judgements were made under.
pub fn contract(citation: &Citation) -> Value {
    let policies = |all: &[(Policy, usize)]| -> Map<String, Value> {
        let named = all.iter().filter_map(|(policy, value)| {
            let value = *policy.values().get(*value)?;
            Some((policy.name().to_owned(), value.into()))
        });
        named.collect()
    };
    json!({"name": citation.name, "url": citation.url, "date": citation.date, "path": citation.path,
        "policies": policies(&citation.policies), "named": policies(&citation.named),
        "warning": citation.warning})
}

fn run(run: &Run, report: &SessionReport, items: &Items) -> Value {
    json!({
        "strategy": run.strategy.name(),
        "resolved": run.resolved.name(),
        "verdict": run.verdict.name(),
        "reproduced": run.reproduced,
        "note": run.note,
        "score": {
            "accepted": run.score.accepted,
            "real_outputs_kept": run.score.real_outputs_kept,
            "false_statements": run.score.false_statements,
            "items_lost": run.score.items_lost,
            "requests_sent": run.score.requests_sent,
        },
        "waited_ms": u64::try_from(run.waited.as_millis()).unwrap_or(u64::MAX),
        "settled": run.worlds.settled().into_iter().filter(|_| !run.requests.is_empty())
            .map(|(policy, value)| (policy.name().to_owned(), value.into())).collect::<Map<String, Value>>(),
        "requests": run.requests.iter().map(|one| request(one, report, items)).collect::<Vec<_>>(),
    })
}

fn request(request: &Judged, report: &SessionReport, items: &Items) -> Value {
    let outcome = match &request.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::Depends { .. } => "depends",
        Outcome::Unknown => "unknown",
    };
    let depends: Vec<Value> = request
        .depends_on()
        .iter()
        .map(|on| {
            let mut entry = Map::new();
            entry.insert("policy".into(), on.policy.name().into());
            for (value, accepted) in &on.values {
                entry.insert(
                    (*value).into(),
                    if *accepted { "accepted" } else { "refused" }.into(),
                );
            }
            Value::Object(entry)
        })
        .collect();
    let injected: Vec<Value> = request
        .injected
        .iter()
        .map(|made_up| {
            json!({"call_id": items.call_id(made_up.call), "type": made_up.kind.name(), "position": made_up.position,
                "false": made_up.is_false})
        })
        .collect();
    let line = if request.line == 0 {
        Value::Null
    } else {
        request.line.into()
    };
    let mut value = json!({
        "lane": report.lane_name(request.lane),
        "exchange": request.exchange,
        "turn": request.turn,
        "line": line,
        "origin": match request.origin {
            Origin::Recorded => "recorded",
            Origin::Rebuilt => "rebuilt",
            Origin::Probe => "probe",
        },
        "exact": request.exact,
        "input_items": request.input_items,
        "transport": match request.transport {
            Transport::Http => "http",
            Transport::WebSocket => "websocket",
        },
        "outcome": outcome,
        "recorded_status": request.recorded_status,
        "agrees": request.agrees,
        "attempts": request.attempts,
        "refusal": request.refusal.as_ref().map(|fault| refusal(fault, report, items)),
        "depends_on": depends,
        "injected": injected,
        "removed": &*request.removed,
        "first_divergence": Value::Null,
    });
    if let Some(live) = &request.live {
        at_endpoint(&mut value, live, outcome);
    }
    value
}

/// What a real endpoint said takes the place of what the contract says, which is kept beside it.
fn at_endpoint(value: &mut Value, live: &Live, contract: &str) {
    let Some(members) = value.as_object_mut() else {
        return;
    };
    let mut set = |key: &str, value: Value| members.insert(key.to_owned(), value);
    set("outcome", live.result.name().into());
    set("agrees", Value::Null);
    set("exact", live.exact.into());
    set("input_items", live.input_items.into());
    set("depends_on", Value::Array(Vec::new()));
    let injected = live.injected.iter().map(|it| {
        json!({"call_id": it.call_id, "type": it.kind.name(), "position": it.position, "false": it.is_false})
    });
    set("injected", injected.collect());
    let refusal = (live.result == LiveResult::Refused).then(|| {
        let named = live.named.as_ref();
        let mut refusal = json!({
            "kind": named.map(|it| it.kind.name()),
            "item_type": named.and_then(|it| it.item_type).map(crate::wire::item::ItemKind::name),
            "call_id": named.map(|it| &it.id),
            "status": live.status,
            "message": live.message,
            "wrapper": live.wrapper,
            "recorded_one": live.is_recorded_one,
        });
        if let (Some(named), Some(object)) = (named, refusal.as_object_mut())
            && !matches!(
                named.kind,
                RefusalKind::MissingOutput
                    | RefusalKind::OrphanOutput
                    | RefusalKind::DuplicateCall
                    | RefusalKind::DuplicateOutput
            )
        {
            object.insert("call_id".into(), Value::Null);
            object.insert("id".into(), named.id.as_str().into());
        }
        refusal
    });
    set("refusal", refusal.unwrap_or_default());
    let divergence = live
        .divergence
        .as_ref()
        .map(|it| json!({"what": it.what, "recorded": it.recorded, "now": it.now}));
    set("first_divergence", divergence.unwrap_or_default());
    set(
        "live",
        json!({
            "status": live.status,
            "failure": (live.result == LiveResult::Failed).then_some(&live.message),
            "note": live.note,
            "left_out": live.left_out,
            "bytes": live.bytes,
        }),
    );
    set("contract", contract.into());
}

fn refusal(fault: &Fault, report: &SessionReport, items: &Items) -> Value {
    let refusal = report.refusal(fault);
    let call_id = fault.call.map(|call| items.call_id(call));
    let mut value = json!({
        "kind": refusal.kind.name(),
        "item_type": refusal.item_type.map(crate::wire::item::ItemKind::name),
        "call_id": call_id,
        "status": refusal.status,
        "message": refusal.message,
    });
    if call_id.is_none()
        && let Some(object) = value.as_object_mut()
    {
        object.insert("id".into(), refusal.id.into());
    }
    value
}

fn open_call(open: &OpenCall, report: &SessionReport, items: &Items) -> Value {
    let name = report
        .labels
        .get(&open.item)
        .and_then(|label| label.name.clone());
    let left_in = match open.cause {
        crate::timeline::Cause::SentInUnfinishedResponse { exchange, line } => {
            json!({"exchange": exchange, "line": line})
        }
        crate::timeline::Cause::LeftOut { exchange, line }
        | crate::timeline::Cause::ChainWentBack { exchange, line } => {
            json!({"exchange": exchange, "line": line})
        }
        _ => Value::Null,
    };
    json!({
        "call_id": items.call_id(open.call),
        "type": open.kind.name(),
        "name": name,
        "lane": report.lane_name(open.lane),
        "exchange": open.exchange,
        "line": open.line,
        "path": report.other_file(open.file),
        "cause": open.cause.name(),
        "output_sent_in": left_in,
        "tool": open.tool.name(),
        "tool_line": open.tool.evidence(),
        "effective": open.effective,
    })
}

/// Problems, with the path where several files are told of in one list.
pub fn problems(problems: &[Problem], path: Option<&str>) -> Vec<Value> {
    problems
        .iter()
        .map(|problem| {
            let mut entry = Map::new();
            if let Some(path) = path {
                entry.insert("path".into(), path.into());
            }
            entry.insert("line".into(), problem.line.into());
            entry.insert("reason".into(), problem.reason.to_string().into());
            Value::Object(entry)
        })
        .collect()
}

/// One finding of `check`.
pub fn finding(finding: &Finding, path: &str, items: &Items) -> Value {
    json!({
        "path": finding.path.as_deref().unwrap_or(path),
        "line": finding.line,
        "rule": finding.rule.name(),
        "severity": finding.severity.name(),
        "call_id": finding
            .call
            .map(|call| items.call_id(call))
            .or(finding.call_id.as_deref()),
        "item_type": finding.item.map(crate::wire::item::ItemKind::name),
        "count": finding.count,
        "message": finding.message,
        "also": finding
            .also
            .iter()
            .map(|it| json!({"path": it.path.as_deref().unwrap_or(path), "line": it.line}))
            .collect::<Vec<_>>(),
    })
}
