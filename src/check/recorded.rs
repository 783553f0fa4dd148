//! Findings in a recording.

use std::collections::BTreeMap;

use super::finding::{Finding, Findings, Rule, Severity, sentence};
use super::rolled::of_ledger;
use crate::endpoint::{Cursor, References};
use crate::ids::ItemIndex;
use crate::session::exchange::{Purpose, Recording};
use crate::session::tree::Node;
use crate::strategy::{Run, Verdict};
use crate::timeline::{Cause, OpenCall};

pub(super) fn collect(
    recording: &Recording,
    run: &Run,
    open_calls: &[OpenCall],
    findings: &mut Findings,
) {
    let through = matches!(run.verdict, Verdict::Clean | Verdict::Recovered);
    for open in open_calls {
        let rule = match open.cause {
            cause if cause.is_at_end() => Rule::InFlight,
            cause if cause.leaves_output_behind() => Rule::OutputLeftBehind,
            _ => Rule::MissingOutput,
        };
        let severity = if open.cause.is_at_end() && through || !open.effective {
            Severity::Info
        } else {
            Severity::Warning
        };
        let mut finding = Finding::new(rule, severity, open.lane, open.line);
        finding.call = Some(open.call);
        finding.item = Some(open.kind);
        finding.message = sentence(rule, open.kind, recording.items.call_id(open.call));
        // of a call that a request brought along, its beginning is not on file
        if open.answered || open.cause != Cause::Unknown {
            finding.message.push_str(": ");
            finding.message.push_str(&open.cause.words());
        }
        findings.add(finding);
    }
    let references = References::new(&recording.items);
    let get = |index: ItemIndex| references.get(&recording.items, index);
    let mut cursors: BTreeMap<u32, Cursor> = BTreeMap::new();
    let last: BTreeMap<u32, usize> = recording
        .exchanges
        .iter()
        .enumerate()
        .filter(|(_, exchange)| exchange.purpose != Purpose::NotJudged)
        .map(|(at, exchange)| (exchange.lane, at))
        .collect();
    for (at, exchange) in recording.exchanges.iter().enumerate() {
        if exchange.purpose == Purpose::NotJudged {
            continue;
        }
        // a whole history holds what the ones before it held; a chained input is looked at by itself
        let chained =
            exchange.request.previous.is_some() || exchange.request.conversation.is_some();
        let is_last = last.get(&exchange.lane) == Some(&at);
        if (is_last || recorded_refusal(recording, at))
            && !chained
            && exchange.request.input != Node::ROOT
        {
            let cursor = cursors.entry(exchange.lane).or_default();
            let ledger = cursor.go(&recording.tree, &get, exchange.request.input);
            of_ledger(
                ledger,
                &recording.items,
                exchange.lane,
                Some(exchange.line),
                findings,
            );
        }
        if exchange.answer.is_cut() && exchange.answer.events > 0 {
            let mut finding = Finding::new(
                Rule::StreamWithoutEnd,
                Severity::Info,
                exchange.lane,
                exchange.line,
            );
            finding.message = sentence(finding.rule, crate::wire::item::ItemKind::Other, "");
            findings.add(finding);
        }
        if exchange.answer.bad_sequence {
            let mut finding = Finding::new(
                Rule::BadSequence,
                Severity::Warning,
                exchange.lane,
                exchange.line,
            );
            finding.message = sentence(finding.rule, crate::wire::item::ItemKind::Other, "");
            findings.add(finding);
        }
    }
}

fn recorded_refusal(recording: &Recording, at: usize) -> bool {
    recording
        .exchanges
        .get(at)
        .is_some_and(|exchange| exchange.answer.refusal.is_some())
}
