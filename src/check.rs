//! Findings: every breach of the contract in a session, without sending anything.
//!
//! A session has an error exactly when its default run is refused or disagrees; what the client's own habit or the
//! default policy makes harmless is a warning, what is merely worth knowing is information (design 4).

mod beside;
mod finding;
mod recorded;
mod rolled;
mod secrets;

use crate::contract::Outcome;
use crate::redact::Sighting;
use crate::session::Session;
use crate::strategy::{self, Judged, Options, Run, Verdict};
use crate::timeline::{self, OpenCall};
use crate::wire::item::Items;

pub use beside::{Named, beside};
pub use finding::{Elsewhere, Finding, Rule, Severity};
pub use secrets::Watched;

use finding::Findings;

/// What checking a session found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The findings, by line.
    pub findings: Vec<Finding>,
    /// The default run they were judged by, see [`strategy::run_briefly`].
    pub run: Run,
    /// The calls that are open at the end.
    pub open_calls: Vec<OpenCall>,
}

impl Checked {
    /// Adds what was seen of secrets while the session was read, see [`Watched`].
    pub fn add_secrets(&mut self, seen: &[Sighting]) {
        self.findings.extend(seen.iter().map(secrets::finding));
        finding::sort(&mut self.findings);
    }
}

/// Checks a session.
pub fn check(session: &Session, options: &Options) -> Checked {
    check_with(session, &[], options)
}

/// Checks a session with what other files say of it: event logs, rollouts, recordings.
pub fn check_with(session: &Session, others: &[Named<'_>], options: &Options) -> Checked {
    let run = strategy::run_briefly(session, strategy::default_for(session), options);
    let open_calls = timeline::open_calls(session);
    let mut findings = Findings::default();
    match session {
        Session::Rollout(rollout) => rolled::collect(rollout, &run, &open_calls, &mut findings),
        Session::Recording(recording) => {
            recorded::collect(recording, &run, &open_calls, &mut findings);
        }
    }
    let items = items(session);
    for request in &run.requests {
        blame(request, items, &open_calls, &mut findings);
    }
    let mut findings = findings.finish(run.verdict);
    findings.extend(beside(session, others, &open_calls));
    finding::sort(&mut findings);
    Checked {
        findings,
        run,
        open_calls,
    }
}

/// The items of a session.
pub fn items(session: &Session) -> &Items {
    match session {
        Session::Rollout(rollout) => &rollout.items,
        Session::Recording(recording) => &recording.items,
    }
}

/// Marks as an error what a request of the default run is refused for.
fn blame(request: &Judged, items: &Items, open_calls: &[OpenCall], findings: &mut Findings) {
    if request.agrees == Some(false) {
        let (status, message) = match &request.recorded {
            Some(refusal) => (refusal.status, refusal.message.clone()),
            None => (
                request.recorded_status.unwrap_or(200),
                "the request was accepted".to_owned(),
            ),
        };
        let expected = match &request.outcome {
            Outcome::Accepted => "the contract accepts the request",
            Outcome::Unknown => "the contract cannot tell",
            _ => "the contract refuses it for another reason",
        };
        let finding = Finding {
            message: format!("recorded answer {status} ({message}), but {expected}"),
            ..Finding::new(
                Rule::AnswerDisagrees,
                Severity::Error,
                request.lane,
                request.line,
            )
        };
        findings.add(finding);
    }
    if let (true, Some(refusal)) = (request.is_refused_on_record(), &request.recorded) {
        let finding = Finding {
            message: format!(
                "recorded answer {} ({}); it goes on from what this session does not hold",
                refusal.status, refusal.message
            ),
            ..Finding::new(Rule::Refused, Severity::Error, request.lane, request.line)
        };
        findings.add(finding);
    }
    let Outcome::Refused(fault) = &request.outcome else {
        return;
    };
    let left_behind = fault.call.is_some_and(|call| {
        open_calls
            .iter()
            .any(|open| open.call == call && open.cause.leaves_output_behind())
    });
    let rule = if left_behind {
        Rule::OutputLeftBehind
    } else {
        Rule::of(fault.kind)
    };
    findings.add_fault(
        rule,
        Severity::Error,
        request.lane,
        request.line,
        fault,
        items,
    );
}

/// Whether a verdict is one for which `check` has an error.
pub fn is_error(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Refused | Verdict::Disagrees)
}

#[cfg(test)]
mod tests;
