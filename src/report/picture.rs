//! A refused request as a small picture: the items around the fault, and where its output was left behind.

use super::safe;
use super::style::Paint;
use crate::check::items;
use crate::contract::{Outcome, Place};
use crate::replay::SessionReport;
use crate::session::label::Label;
use crate::strategy::run::Shown;
use crate::strategy::{Judged, Origin};
use crate::timeline::{Cause, OpenCall};
use crate::wire::item::{ItemKind, Items};
use crate::wire::refusal::RefusalKind;

/// What happened to the call that a request is refused for, step by step.
pub fn story(request: &Judged, report: &SessionReport, paint: Paint) -> Vec<String> {
    let items = items(&report.session);
    let mut lines = Vec::new();
    let Some(fault) = request.refusal else {
        return lines;
    };
    let open = report
        .open_calls
        .iter()
        .find(|open| Some(open.call) == fault.call);
    if let Some(open) = open {
        let what = describe(
            open.kind,
            items.call_id(open.call),
            report.labels.get(&open.item),
        );
        let asked = match open.exchange {
            Some(exchange) if open.answered => {
                format!("exchange {exchange} is answered with {what}")
            }
            Some(exchange) => format!("exchange {exchange} carries {what} in its input"),
            None => format!("the model asks for {what}"),
        };
        lines.push(at(open.line, &asked));
        lines.extend(between(open));
    }
    let who = name(request);
    let refused = match (&request.outcome, request.agrees) {
        (_, Some(false)) => paint.careful("← refused by the contract"),
        (Outcome::Depends { .. }, _) => paint.careful("← refused in some worlds"),
        _ => paint.bad("← refused"),
    };
    let id = fault.call.map_or("", |call| items.call_id(call));
    let last = match open.map(|open| open.cause) {
        Some(cause) if cause.leaves_output_behind() => {
            format!("{who} goes on without it   {refused}")
        }
        Some(_) => format!("{who} still carries the call without an output   {refused}"),
        None if fault.item.is_output() => {
            format!(
                "{who} carries an output for {}, but no such call   {refused}",
                safe(id)
            )
        }
        None if fault.kind == RefusalKind::ItemWithoutReasoning => {
            format!("{who} carries an item without the reasoning that led to it   {refused}")
        }
        None if matches!(fault.place, Some(Place::Response(_))) => {
            format!("{who} goes on from a response that is not stored   {refused}")
        }
        None => format!("{who}   {refused}"),
    };
    lines.push(at(request.line, &last));
    lines
}

fn between(open: &OpenCall) -> Option<String> {
    match open.cause {
        Cause::SentInUnfinishedResponse {
            exchange: Some(exchange),
            line,
        } => Some(at(
            line,
            &format!("exchange {exchange} carries its output; its response never completes"),
        )),
        Cause::SentInUnfinishedResponse {
            exchange: None,
            line,
        } => Some(at(
            line,
            "its output goes out in a request whose response never completes",
        )),
        Cause::ChainWentBack { exchange, line } => Some(at(
            line,
            &format!(
                "exchange {exchange} carries its output; the chain then goes back to before it"
            ),
        )),
        Cause::LeftOut { exchange, line } => Some(at(
            line,
            &format!("exchange {exchange} carries its output; later requests leave it out"),
        )),
        Cause::InFlight | Cause::Unknown => None,
        cause => {
            let evidence = open.tool.evidence();
            Some(at(evidence.unwrap_or(0), &cause.words()))
        }
    }
}

fn at(line: u32, text: &str) -> String {
    if line == 0 {
        format!("{:>11}  {text}", "")
    } else {
        format!("line {line:>6}  {text}")
    }
}

/// How a request is spoken of.
pub fn name(request: &Judged) -> String {
    match (request.origin, request.exchange) {
        (_, Some(exchange)) => format!("exchange {exchange}"),
        (Origin::Probe, None) => "the next request (probe)".to_owned(),
        (_, None) => format!("the request rebuilt at line {}", request.line),
    }
}

/// The items of the request around its fault.
pub fn items_of(request: &Judged, report: &SessionReport, paint: Paint) -> Vec<String> {
    let items = items(&report.session);
    let mut lines = Vec::new();
    let mut last: Option<Shown> = None;
    for shown in &request.shown {
        let new_part = last.is_none_or(|last| last.held != shown.held);
        if new_part {
            let part = if shown.held {
                "held by the server"
            } else {
                "input"
            };
            lines.push(paint.faint(part));
        } else if last.is_some_and(|last| last.position + 1 < shown.position) {
            lines.push("     ⋮".to_owned());
        }
        let label = report.labels.get(&shown.item);
        let fault = request.refusal.map(|fault| fault.kind);
        lines.push(line_of(shown, fault, items, label, paint));
        last = Some(*shown);
    }
    lines
}

fn line_of(
    shown: &Shown,
    fault: Option<RefusalKind>,
    items: &Items,
    label: Option<&Label>,
    paint: Paint,
) -> String {
    let what = if items.get(shown.item).is_none() {
        let text = label.map_or(String::new(), |label| safe(&label.text));
        format!("message user  {text}  (the probe)")
    } else {
        describe(
            shown.kind,
            shown.call.map_or("", |call| items.call_id(call)),
            label,
        )
    };
    let mark = match (fault, shown.kind) {
        _ if !shown.at_fault => "",
        (Some(RefusalKind::ItemWithoutReasoning), _) => "   ← without its reasoning",
        (Some(RefusalKind::MissingOutput), kind) if kind.is_call() => "   ← no output",
        (Some(RefusalKind::OrphanOutput), kind) if kind.is_output() => "   ← no call",
        _ => "   ← at fault",
    };
    let mark = if mark.is_empty() {
        String::new()
    } else {
        paint.bad(mark)
    };
    format!("{:>6}  {what}{mark}", shown.position)
}

/// An item in one line.
pub fn describe(kind: ItemKind, call_id: &str, label: Option<&Label>) -> String {
    let mut out = kind.name().to_owned();
    let empty = Label::default();
    let label = label.unwrap_or(&empty);
    for part in [
        label.role.as_deref().unwrap_or(""),
        call_id,
        label.name.as_deref().unwrap_or(""),
    ] {
        if !part.is_empty() {
            out.push(' ');
            out.push_str(&safe(part));
        }
    }
    if !label.text.is_empty() {
        let text: String = safe(&label.text).chars().take(56).collect();
        out.push_str("  ");
        out.push_str(&text);
    }
    out
}
