//! Interrupts, questions, tools and ids, as a client's log tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Elsewhere, Source, count};
use crate::check::finding::{Finding, Rule, Severity};
use crate::events::{AbortReason, Answerer, Decision, How, Interrupt, ToolKind, What};

/// Why turns were aborted, by turn, where any source says more than that they were interrupted: the app-server calls
/// them all so, the rollout of the same thread does not.
pub(super) type Reasons = BTreeMap<String, (AbortReason, Elsewhere)>;

/// The reasons that are told.
pub(super) fn reasons(sources: &[Source<'_>]) -> Reasons {
    let mut reasons = Reasons::new();
    for source in sources {
        for (at, event) in source.log.events.iter().enumerate() {
            let What::TurnEnded(How::Aborted(reason)) = event.what else {
                continue;
            };
            let plain = matches!(reason, AbortReason::Interrupted | AbortReason::Unknown);
            if let (false, Some(turn)) = (plain, event.turn) {
                let id = source.log.text(turn).to_owned();
                reasons.entry(id).or_insert((reason, source.place(at)));
            }
        }
    }
    reasons
}

/// `unanswered_interrupt`.
pub(super) fn interrupts(source: &Source<'_>, reasons: &Reasons, found: &mut Vec<Finding>) {
    let rule = Rule::UnansweredInterrupt;
    let story = &source.story;
    let mut of_end: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let last = source.log.events.len().saturating_sub(1);
    let wanted: BTreeSet<usize> = story.interrupts.iter().filter_map(|it| it.turn).collect();
    let turned: BTreeSet<u16> = story
        .threads
        .iter()
        .filter(|it| !it.turns.is_empty())
        .map(|it| it.stream)
        .collect();
    for interrupt in &story.interrupts {
        let asked = interrupt.asked;
        let Some(turn) = interrupt.turn.and_then(|it| story.turns.get(it)) else {
            // whether a turn ran, a log without turns does not tell
            let stream = source.log.events.get(asked).map(|it| it.stream);
            if interrupt.accepted != Some(false) && !stream.is_some_and(|it| turned.contains(&it)) {
                continue;
            }
            let mut message = "an interrupt while no turn ran: nothing answers it".to_owned();
            if let (Some(answer), Some(false)) = (interrupt.answered, interrupt.accepted) {
                message = format!(
                    "an interrupt while no turn ran: the client refuses it at line {}",
                    source.line(answer)
                );
            }
            found.push(source.at(rule, Severity::Info, asked, message));
            continue;
        };
        let Some((ended, how)) = turn.ended.zip(turn.how) else {
            let (severity, message) = match interrupt.answered {
                Some(answer) if interrupt.accepted == Some(true) => (
                    Severity::Warning,
                    format!(
                        "the interrupt is answered at line {}, but no end of its turn follows",
                        source.line(answer)
                    ),
                ),
                Some(answer) => (
                    Severity::Info,
                    format!(
                        "the client refuses the interrupt at line {}",
                        source.line(answer)
                    ),
                ),
                // what comes behind the last event nobody knows
                None if asked >= last => (
                    Severity::Info,
                    "the log ends with an interrupt that nothing has answered yet".to_owned(),
                ),
                None => (
                    Severity::Warning,
                    "no turn_aborted and no turn_complete answers the interrupt".to_owned(),
                ),
            };
            found.push(source.at(rule, severity, asked, message));
            continue;
        };
        if let Some(next) = turn.overtaken.filter(|next| *next < ended) {
            let message = format!(
                "the interrupted turn ends at line {}, after the next one began at line {}",
                source.line(ended),
                source.line(next)
            );
            let mut finding = source.at(rule, Severity::Warning, asked, message);
            finding.also = vec![source.place(next), source.place(ended)];
            found.push(finding);
            continue;
        }
        if interrupt.accepted != Some(false) {
            of_end.entry(ended).or_default().push(asked);
        }
        if let Some(refusal) = refused(interrupt, ended) {
            let message = format!(
                "the client refuses the interrupt at line {} while its turn runs; the turn {} at line {}",
                source.line(refusal),
                match how {
                    How::Complete => "came to its end by itself",
                    How::Failed => "failed",
                    How::Aborted(_) => "was aborted later,",
                },
                source.line(ended)
            );
            let mut finding = source.at(rule, Severity::Warning, asked, message);
            finding.also = vec![source.place(refusal), source.place(ended)];
            found.push(finding);
            continue;
        }
        let mut also = vec![source.place(ended)];
        let message = match how {
            How::Aborted(reason) => {
                let id = turn.id.map_or("", |it| source.log.text(it));
                let told = reasons.get(id).filter(|_| !id.is_empty());
                let plain = matches!(reason, AbortReason::Interrupted | AbortReason::Unknown);
                let reason = match told {
                    Some((told, place)) if plain => {
                        if !also.contains(place) {
                            also.insert(0, place.clone());
                        }
                        *told
                    }
                    _ if plain => continue,
                    _ => reason,
                };
                let mut message = format!(
                    "the turn was aborted at line {} for another reason ({}); that answers the interrupt too",
                    source.line(ended),
                    reason.name()
                );
                if let Some(next) = unasked(source, &wanted, turn.thread, ended) {
                    let _ = write!(
                        message,
                        ". The next turn was aborted at line {}, and nobody asked for that",
                        source.line(next)
                    );
                    also.push(source.place(next));
                }
                message
            }
            How::Complete | How::Failed => format!(
                "the interrupt came too late: the turn {} by itself at line {}",
                if how == How::Failed {
                    "failed"
                } else {
                    "came to its end"
                },
                source.line(ended)
            ),
        };
        let mut finding = source.at(rule, Severity::Info, asked, message);
        finding.also = also;
        found.push(finding);
    }
    for (ended, asked) in of_end {
        let (Some(&first), Some(&last)) = (asked.first(), asked.last()) else {
            continue;
        };
        if asked.len() < 2 {
            continue;
        }
        let message = format!(
            "{} (lines {} to {}) are answered by one end of a turn, at line {}",
            count(asked.len(), "interrupt"),
            source.line(first),
            source.line(last),
            source.line(ended)
        );
        let mut finding = source.at(rule, Severity::Info, first, message);
        finding.also = vec![source.place(ended)];
        found.push(finding);
    }
}

/// The refusal of an interrupt, where it came before the end of its turn.
fn refused(interrupt: &Interrupt, ended: usize) -> Option<usize> {
    let refusal = interrupt
        .answered
        .filter(|_| interrupt.accepted == Some(false));
    refusal.filter(|it| *it < ended)
}

/// The end of a thread's next turn, where that was interrupted although no interrupt was asked for while it ran.
fn unasked(
    source: &Source<'_>,
    wanted: &BTreeSet<usize>,
    thread: usize,
    ended: usize,
) -> Option<usize> {
    let story = &source.story;
    let turns = story.threads.get(thread).map_or(&[][..], |it| &it.turns);
    // the turns of a thread stand in their order
    let from = turns.partition_point(|it| {
        let began = story.turns.get(*it).and_then(|it| it.started);
        began.is_none_or(|it| it <= ended)
    });
    let number = *turns.get(from)?;
    let next = story.turns.get(number)?;
    let interrupted = next.how == Some(How::Aborted(AbortReason::Interrupted));
    next.ended
        .filter(|_| interrupted && !wanted.contains(&number))
}

/// `stale_event`.
pub(super) fn stale(source: &Source<'_>, found: &mut Vec<Finding>) {
    for stale in &source.story.stale {
        let Some(turn) = source.story.turns.get(stale.turn) else {
            continue;
        };
        let Some(&first) = stale.events.first() else {
            continue;
        };
        let what = |event: &usize| source.log.events.get(*event).map(|it| it.what);
        let number = |wanted: fn(What) -> bool| {
            let events = stale.events.iter().filter_map(what);
            events.filter(|it| wanted(*it)).count()
        };
        let asks = number(|it| matches!(it, What::Asked(_)));
        let exec = number(|it| matches!(it, What::ToolEnded(ToolKind::Exec, _)));
        let mcp = number(|it| matches!(it, What::ToolEnded(ToolKind::Mcp, _)));
        let mut message = format!(
            "{} of a turn that was aborted at line {} came after the next one began at line {}",
            count(stale.events.len(), "event"),
            turn.ended.map_or(0, |it| source.line(it)),
            source.line(stale.next)
        );
        let wanted: Vec<String> = [
            (asks, "question"),
            (exec, "end of a command"),
            (mcp, "end of an MCP call"),
        ]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
        let them = if stale.events.len() == 1 {
            "it"
        } else {
            "them"
        };
        message.push_str("; a filter by turn hides ");
        message.push_str(them);
        if !wanted.is_empty() {
            message.push_str(", which is wrong for ");
            message.push_str(&wanted.join(" and "));
        }
        let mut finding = source.at(Rule::StaleEvent, Severity::Warning, first, message);
        finding.also = turn
            .ended
            .into_iter()
            .chain([stale.next])
            .map(|it| source.place(it))
            .collect();
        found.push(finding);
    }
}

/// `unanswered_approval`.
pub(super) fn questions(source: &Source<'_>, found: &mut Vec<Finding>) {
    let rule = Rule::UnansweredApproval;
    let story = &source.story;
    // a tool of the driver's own is told by its output; approvals and questions wait for somebody
    for ask in &story.asks {
        let what = ask.kind.words();
        let call = ask.call.map(|it| source.log.text(it));
        let for_call = call.map_or_else(String::new, |id| format!(" for {id}"));
        let turn = ask.turn.and_then(|it| story.turns.get(it));
        let mut also = Vec::new();
        let (severity, message) = match (story.answerer(ask), ask.answered) {
            (Answerer::Driver, Some((at, Decision::Empty))) => {
                also.push(source.place(at));
                let line = source.line(at);
                (
                    Severity::Info,
                    format!("{what}{for_call} is answered with nothing at line {line}"),
                )
            }
            (Answerer::Driver, Some((at, Decision::Error))) => {
                also.push(source.place(at));
                let line = source.line(at);
                (
                    Severity::Warning,
                    format!("{what}{for_call} is answered with an error at line {line}"),
                )
            }
            (Answerer::Driver, _) => continue,
            (Answerer::Client, _) => {
                let ended = turn.and_then(|it| it.ended);
                let closed = ask.resolved;
                also.extend(ended.into_iter().chain(closed).map(|it| source.place(it)));
                let how = turn.and_then(|it| it.how).map_or("ended", How::name);
                let message = match (ended, closed) {
                    (Some(ended), _) => format!(
                        "{what}{for_call} was answered by nobody: the turn ended ({how}) at line {}, and the client answers itself",
                        source.line(ended)
                    ),
                    (None, Some(closed)) => format!(
                        "{what}{for_call} was answered by nobody: the client closed it at line {}",
                        source.line(closed)
                    ),
                    (None, None) => continue,
                };
                (Severity::Info, message)
            }
            (Answerer::Nobody, _) => (
                Severity::Warning,
                format!("{what}{for_call} was asked for and never answered"),
            ),
        };
        let mut finding = source.at(rule, severity, ask.asked, message);
        finding.call_id = call.map(Into::into);
        finding.also = also;
        found.push(finding);
    }
}

/// `ran_twice`.
pub(super) fn tools(source: &Source<'_>, found: &mut Vec<Finding>) {
    let mut asks: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for ask in &source.story.asks {
        if let Some(call) = ask.call {
            asks.entry(call).or_default().push(ask.asked);
        }
    }
    for run in &source.story.runs {
        let often = if run.began.len() >= run.ended.len() {
            &run.began
        } else {
            &run.ended
        };
        let [first, second, ..] = often.as_slice() else {
            continue;
        };
        if matches!(run.kind, ToolKind::WebSearch | ToolKind::Agent) {
            continue;
        }
        let began = run.began.len() >= run.ended.len();
        let id = source.log.text(run.call);
        let between = asks
            .get(&run.call)
            .and_then(|asked| asked.iter().find(|at| *first < **at && **at < *second));
        let verb = if began { "began" } else { "finished" };
        let (severity, mut message) = match between {
            Some(asked) => (
                Severity::Info,
                format!(
                    "the tool of {id} {verb} again at line {}, after leave was asked for at line {}: out of the sandbox",
                    source.line(*second),
                    source.line(*asked)
                ),
            ),
            None => (
                Severity::Warning,
                format!(
                    "the tool of {id} {verb} again at line {}",
                    source.line(*second)
                ),
            ),
        };
        if often.len() > 2 {
            let _ = write!(message, ", {} in all", count(often.len(), "time"));
        }
        let mut finding = source.at(Rule::RanTwice, severity, *first, message);
        finding.call_id = Some(id.into());
        finding.also = vec![source.place(*second)];
        found.push(finding);
    }
}

/// `duplicate_turn_id`, and threads that came as another than was asked for (`resumed_elsewhere`).
pub(super) fn doubles(source: &Source<'_>, found: &mut Vec<Finding>) {
    let id = |event: usize, of: &str| {
        let event = source.log.events.get(event)?;
        let id = match of {
            "turn" => event.turn,
            "thread" => event.thread,
            _ => event.id,
        };
        id.map(|it| source.log.text(it))
    };
    for double in &source.story.doubles {
        let message = format!(
            "the {} id {} stands for two: at line {} again",
            double.of,
            id(double.first, double.of).unwrap_or(""),
            source.line(double.second)
        );
        let mut finding = source.at(
            Rule::DuplicateTurnId,
            Severity::Warning,
            double.first,
            message,
        );
        finding.also = vec![source.place(double.second)];
        found.push(finding);
    }
    for &(asked, came) in &source.story.elsewhere {
        let message = format!(
            "thread {} was to be taken up again, but line {} comes with thread {}",
            id(asked, "thread").unwrap_or(""),
            source.line(came),
            id(came, "thread").unwrap_or("")
        );
        let mut finding = source.at(Rule::ResumedElsewhere, Severity::Warning, asked, message);
        finding.also = vec![source.place(came)];
        found.push(finding);
    }
}
