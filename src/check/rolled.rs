//! Findings in a rollout.

use super::finding::{Finding, Findings, Rule, Severity, sentence};
use crate::ids::CallKey;
use crate::ledger::Ledger;
use crate::rollout::Rollout;
use crate::strategy::{Run, Verdict};
use crate::timeline::{Cause, OpenCall, raw_ledger, replaced_ledger};
use crate::wire::item::{Flags, ItemKind, Items};

pub(super) fn collect(
    rollout: &Rollout,
    run: &Run,
    open_calls: &[OpenCall],
    findings: &mut Findings,
) {
    let through = matches!(
        run.verdict,
        Verdict::Clean | Verdict::Recovered | Verdict::CannotTell
    );
    for open in open_calls {
        let rule = match open.cause {
            Cause::InFlight => Rule::InFlight,
            cause if cause.leaves_output_behind() => Rule::OutputLeftBehind,
            _ => Rule::MissingOutput,
        };
        let severity = match open.cause {
            Cause::InFlight if through => Severity::Info,
            Cause::InFlight => Severity::Error,
            Cause::Hidden => Severity::Info,
            _ => Severity::Warning,
        };
        let mut finding = Finding::new(rule, severity, 0, open.line);
        finding.call = Some(open.call);
        finding.item = Some(open.kind);
        finding.message = sentence(rule, open.kind, rollout.items.call_id(open.call));
        finding.message.push_str(": ");
        finding.message.push_str(&open.cause.words());
        if let Some(other) = rollout
            .files
            .get(open.file as usize)
            .filter(|_| open.file > 0)
        {
            // the session's own line is the one that says where its history begins
            finding.line = 1;
            let place = format!(" (line {} of {})", open.line, other.path);
            finding.message.push_str(&place);
        }
        findings.add(finding);
    }
    let raw = raw_ledger(rollout);
    of_ledger(&raw, &rollout.items, 0, None, findings);
    // an output whose call a compaction took away
    let kept = replaced_ledger(rollout);
    for (&position, &call) in kept.iter().flat_map(Ledger::orphans) {
        if raw.pair(call).is_orphan() {
            continue;
        }
        let slot = kept.as_ref().and_then(|kept| kept.slot(position));
        let Some(item) = slot.and_then(|slot| rollout.items.get(slot.item)) else {
            continue;
        };
        let rule = Rule::OrphanOutput;
        let mut finding = Finding::new(rule, Severity::Warning, 0, item.line);
        finding.call = Some(call);
        finding.item = Some(item.kind);
        finding.message = sentence(rule, item.kind, rollout.items.call_id(call));
        finding
            .message
            .push_str(": a compaction took its call away");
        findings.add(finding);
    }
}

/// Everything in a context that some world or some client would refuse, except open calls, as warnings.
///
/// `line` is that of the request which carries the context; `None` to take each item's own.
pub(super) fn of_ledger(
    ledger: &Ledger,
    items: &Items,
    lane: u32,
    line: Option<u32>,
    findings: &mut Findings,
) {
    let line_of = |position: u32| {
        let own = ledger
            .slot(position)
            .and_then(|slot| items.get(slot.item))
            .map_or(0, |item| item.line);
        line.unwrap_or(own)
    };
    let kind_of = |position: u32| {
        ledger
            .slot(position)
            .map_or(ItemKind::Other, |slot| slot.kind)
    };
    let mut add = |rule: Rule, position: u32, call: Option<CallKey>, count: u32| {
        let mut finding = Finding::new(rule, Severity::Warning, lane, line_of(position));
        finding.call = call;
        finding.item = Some(kind_of(position));
        finding.count = count;
        finding.message = sentence(
            rule,
            kind_of(position),
            call.map_or("", |call| items.call_id(call)),
        );
        findings.add(finding);
    };
    for (&position, &call) in ledger.orphans() {
        add(
            Rule::OrphanOutput,
            position,
            Some(call),
            ledger.pair(call).outputs,
        );
        let others = items.same_id(call);
        if others.iter().any(|&other| ledger.pair(other).calls > 0) || ledger.pair(call).calls > 0 {
            add(Rule::WrongOutputKind, position, Some(call), 1);
        }
    }
    for &call in ledger.early().values() {
        add(
            Rule::OutputBeforeCall,
            ledger.pair(call).first_call,
            Some(call),
            1,
        );
    }
    for &call in ledger.extra_outputs() {
        let pair = ledger.pair(call);
        add(
            Rule::DuplicateOutput,
            pair.first_output,
            Some(call),
            pair.outputs - pair.calls,
        );
    }
    for &call in ledger.extra_calls() {
        let pair = ledger.pair(call);
        add(
            Rule::DuplicateCall,
            pair.first_call,
            Some(call),
            pair.calls - 1,
        );
    }
    for &position in ledger.duplicate_ids().keys() {
        add(Rule::DuplicateItemId, position, None, 1);
    }
    for &position in ledger.ill_formed() {
        let Some(slot) = ledger.slot(position) else {
            continue;
        };
        if slot.flags.has(Flags::LONG_CALL_ID) {
            add(Rule::CallIdTooLong, position, slot.call(), 1);
        }
        if slot.flags.has(Flags::BAD_ID) {
            add(Rule::BadItemId, position, None, 1);
        }
    }
    // at the end of a file what follows may still come; at the end of a request it does not
    let trailing = line.and_then(|_| ledger.trailing_reasoning());
    for position in ledger.lone_reasoning().iter().copied().chain(trailing) {
        add(Rule::ReasoningWithoutFollower, position, None, 1);
    }
}
