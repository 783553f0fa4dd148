//! Sub-agents on their parent's timeline: what its log says of them, and what it does not.
//!
//! A sub-agent has a rollout of its own, and its parent passes its events on: questions go to whoever drives the parent;
//! some kinds are passed on to nobody; and when the parent is interrupted, it listens for 500 ms, no longer (codex #5572).

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, count};
use crate::check::finding::{Finding, Rule, Severity};
use crate::events::{Decision, How, Id, What};
use crate::ids::{ItemIndex, LineNo};
use crate::session::Session;

/// A thread with a rollout.
struct Rolled {
    /// Which source holds the rollout.
    source: usize,
    /// The stream of its lines there.
    stream: u16,
    /// Its parent, where it is a sub-agent.
    parent: Option<Box<str>>,
}

/// The rollouts on file, by canonical thread id.
fn rolled(sources: &[Source<'_>]) -> BTreeMap<Box<str>, Rolled> {
    let mut threads = BTreeMap::new();
    for (source, it) in sources.iter().enumerate() {
        for file in &it.log.files {
            threads.entry(file.thread.clone()).or_insert(Rolled {
                source,
                stream: file.stream,
                parent: file.parent.clone(),
            });
        }
    }
    threads
}

/// `delegate_cut`, `delegate_asked` and `delegate_filtered`.
pub(super) fn delegates(sources: &[Source<'_>], found: &mut Vec<Finding>) {
    let threads = rolled(sources);
    for (thread, child) in &threads {
        let Some(parent) = child.parent.as_deref() else {
            continue;
        };
        if let Some(own) = sources.get(child.source) {
            if let Some(parent) = threads.get(parent) {
                cut(sources, own, child, parent, found);
            }
            for log in sources {
                asked(own, child, thread, log, found);
                lost(own, child, log, found);
                filtered(own, child, thread, log, found);
            }
        }
    }
}

/// A rollout that ends inside of a turn, while the turn of its parent was aborted.
fn cut(
    sources: &[Source<'_>],
    own: &Source<'_>,
    child: &Rolled,
    parent: &Rolled,
    found: &mut Vec<Finding>,
) {
    let Some(of_parent) = sources.get(parent.source) else {
        return;
    };
    // the times of a recording count from its first line, those of a rollout do not
    if child.source != parent.source && (child.stream > 0 || parent.stream > 0) {
        return;
    }
    let turn = turns(own, child.stream).last();
    let Some(turn) = turn.filter(|it| it.ended.is_none()) else {
        return;
    };
    let Some(began) = turn.started.and_then(|it| own.log.events.get(it)) else {
        return;
    };
    let abort = turns(of_parent, parent.stream).rev().find_map(|turn| {
        let (ended, How::Aborted(_)) = turn.ended.zip(turn.how)? else {
            return None;
        };
        let event = of_parent.log.events.get(ended)?;
        (event.time()? >= began.time()?).then_some(ended)
    });
    let Some(abort) = abort else { return };
    let mut events = own.log.events.iter();
    let Some(last) = events.rposition(|it| it.stream == child.stream) else {
        return;
    };
    let message = format!(
        "the sub-agent's rollout ends inside of a turn; its parent's turn was aborted at line {}, and listens to it for 500 ms at most",
        of_parent.line(abort)
    );
    let mut finding = own.at(Rule::DelegateCut, Severity::Info, last, message);
    finding.also = vec![of_parent.place(abort)];
    found.push(finding);
}

/// The turns of a rollout.
fn turns<'a>(
    source: &'a Source<'_>,
    stream: u16,
) -> impl DoubleEndedIterator<Item = &'a crate::events::Turn> {
    let of = move |it: &&crate::events::Turn| {
        let thread = source.story.threads.get(it.thread);
        thread.is_some_and(|it| it.stream == stream)
    };
    source.story.turns.iter().filter(of)
}

/// Whether an event stands in the log of the client, not in a rollout.
fn of_client(log: &Source<'_>, event: usize) -> bool {
    let event = log.log.events.get(event);
    event.is_some_and(|it| it.stream == 0 && it.source != crate::events::Source::Rollout)
}

/// Questions of a sub-agent that whoever drives its parent answered.
fn asked(
    own: &Source<'_>,
    child: &Rolled,
    thread: &str,
    log: &Source<'_>,
    found: &mut Vec<Finding>,
) {
    let id = log.log.find(thread);
    let calls = calls(own, child);
    if id.is_none() && calls.is_empty() {
        return;
    }
    for ask in log.story.asks.iter().filter(|it| of_client(log, it.asked)) {
        let asks = log.story.threads.get(ask.thread).and_then(|it| it.id);
        let of_call = |call: Id| calls.contains(log.log.text(call));
        let its = asks.is_some() && asks == id || ask.call.is_some_and(of_call);
        let Some((answer, decision)) = ask.answered.filter(|_| its) else {
            continue;
        };
        let call = ask.call.map(|it| log.log.text(it));
        let message = format!(
            "{} of a sub-agent was asked for in the log of its parent, and answered there at line {} ({})",
            ask.kind.words(),
            log.line(answer),
            match decision {
                Decision::Given => "told",
                other => other.name(),
            }
        );
        let mut finding = log.at(Rule::DelegateAsked, Severity::Info, ask.asked, message);
        finding.call_id = call.map(Into::into);
        finding.also = vec![log.place(answer)];
        found.push(finding);
    }
}

/// The ids of the calls that stand in a rollout.
fn calls<'a>(own: &Source<'a>, child: &Rolled) -> BTreeSet<&'a str> {
    match own.session {
        Session::Rollout(rollout) => (0..rollout.items.len() as u32)
            .filter_map(|at| rollout.items.get(ItemIndex(at)))
            .filter(|it| it.kind.is_call())
            .filter_map(|it| Some(rollout.items.call_id(it.call?)))
            .collect(),
        Session::Recording(_) => {
            let events = own.log.events.iter();
            events
                .filter(|it| it.stream == child.stream && it.what == What::CallWritten)
                .filter_map(|it| Some(own.log.text(it.call?)))
                .collect()
        }
    }
}

/// Ends of tools that stand in the sub-agent's rollout and never reached its parent's log, where they began.
fn lost(own: &Source<'_>, child: &Rolled, log: &Source<'_>, found: &mut Vec<Finding>) {
    let mut ends: BTreeMap<Id, usize> = BTreeMap::new();
    for (at, event) in own.log.events.iter().enumerate() {
        if let (What::ToolEnded(..), Some(call)) = (event.what, event.call)
            && event.stream == child.stream
        {
            ends.entry(call).or_insert(at);
        }
    }
    if ends.is_empty() {
        return;
    }
    for run in log.story.runs.iter().filter(|it| it.ended.is_empty()) {
        let Some(&began) = run.began.first().filter(|it| of_client(log, **it)) else {
            continue;
        };
        let id = log.log.text(run.call);
        let Some(&end) = own.log.find(id).and_then(|it| ends.get(&it)) else {
            continue;
        };
        let message = format!(
            "the end of a sub-agent's tool stands in its rollout at line {}, and never reached the log of its parent: that listens for 500 ms at most",
            own.line(end)
        );
        let mut finding = log.at(Rule::DelegateCut, Severity::Info, began, message);
        finding.call_id = Some(id.into());
        finding.also = vec![own.place(end)];
        found.push(finding);
    }
}

/// Kinds of events that stand in a sub-agent's rollout and that its parent passes on to nobody.
fn filtered(
    own: &Source<'_>,
    child: &Rolled,
    thread: &str,
    log: &Source<'_>,
    found: &mut Vec<Finding>,
) {
    let Some(id) = log.log.find(thread) else {
        return;
    };
    let mut passed = false;
    for event in log.log.events.iter() {
        let client = event.stream == 0 && event.source != crate::events::Source::Rollout;
        if client && event.thread == Some(id) {
            passed = true;
            if event.what == What::Usage {
                return;
            }
        }
    }
    let lines: Vec<LineNo> = own
        .log
        .events
        .iter()
        .filter(|it| it.stream == child.stream && it.what == What::Usage)
        .filter(|it| own.log.name(it) == "token_count")
        .map(|it| it.line)
        .collect();
    let (Some(&first), true) = (lines.first(), passed) else {
        return;
    };
    let message = format!(
        "{} of a sub-agent stand{} in its rollout and not in the log of its parent: Codex passes that kind on to nobody",
        count(lines.len(), "token_count event"),
        if lines.len() == 1 { "s" } else { "" }
    );
    found.push(Finding {
        message,
        path: own.path.map(Into::into),
        ..Finding::new(Rule::DelegateFiltered, Severity::Info, 0, first)
    });
}
