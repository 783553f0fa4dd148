//! Findings that the wire alone does not show: what the client says of itself, and where two sources disagree.
//!
//! Each rule has its exact definition in `docs/findings.md`. None of them is ever an error: what a client says of itself
//! is no word of the contract.

mod delegates;
mod disk;
mod sent;
mod turns;

use std::collections::BTreeMap;

use super::finding::{Elsewhere, Finding, Rule, Severity};
use crate::events::{Id, Log, Story, What};
use crate::ids::LineNo;
use crate::session::Session;
use crate::timeline::OpenCall;

/// A session under the name of its file.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// The session.
    pub session: &'a Session,
}

/// A log with its parts put together, and the file it stands in.
struct Source<'a> {
    /// The file; `None` for the session's own.
    path: Option<&'a str>,
    session: &'a Session,
    log: &'a Log,
    story: Story,
    /// The last line with each text of the user that became part of the history on disk.
    history: BTreeMap<Id, LineNo>,
}

impl Source<'_> {
    /// The line of an event.
    fn line(&self, event: usize) -> LineNo {
        self.log.events.get(event).map_or(0, |it| it.line)
    }

    /// A finding at an event.
    fn at(&self, rule: Rule, severity: Severity, event: usize, message: String) -> Finding {
        Finding {
            message,
            path: self.path.map(Into::into),
            ..Finding::new(rule, severity, 0, self.line(event))
        }
    }

    /// A further place.
    fn place(&self, event: usize) -> Elsewhere {
        Elsewhere {
            path: self.path.map(Into::into),
            line: self.line(event),
        }
    }
}

fn log_of(session: &Session) -> &Log {
    match session {
        Session::Rollout(rollout) => &rollout.events,
        Session::Recording(recording) => &recording.events,
    }
}

/// What a session's client says of itself, and where the sources of a session disagree.
pub fn beside(session: &Session, others: &[Named<'_>], open: &[OpenCall]) -> Vec<Finding> {
    let own = Named { name: "", session };
    let mut sources = Vec::new();
    for (at, named) in std::iter::once(&own).chain(others).enumerate() {
        let log = log_of(named.session);
        sources.push(Source {
            path: (at > 0).then_some(named.name),
            session: named.session,
            log,
            story: Story::of(log),
            history: log
                .events
                .iter()
                .filter(|it| it.what == What::History)
                .filter_map(|it| Some((it.text?, it.line)))
                .collect(),
        });
    }
    let mut found = Vec::new();
    let sent = sent::Sent::of(session, others);
    let reasons = turns::reasons(&sources);
    for source in &sources {
        turns::interrupts(source, &reasons, &mut found);
        turns::stale(source, &mut found);
        turns::questions(source, &mut found);
        turns::tools(source, &mut found);
        turns::doubles(source, &mut found);
        sent::messages(source, &sources, &sent, &mut found);
    }
    for (at, named) in std::iter::once(&own).chain(others).enumerate() {
        let path = (at > 0).then_some(named.name);
        sent::doubled_text(named.session, path, &mut found);
        sent::doubled_input(named.session, path, &mut found);
        disk::compactions(named.session, path, &mut found);
        disk::resumed(named.session, path, &mut found);
    }
    disk::finished(session, open, others, &sources, &mut found);
    disk::disagree(session, others, &mut found);
    delegates::delegates(&sources, &mut found);
    merge(found)
}

/// Findings that say the same of the same place are one; those that say the same of many places are counted.
fn merge(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by(|a, b| {
        (&a.path, a.line, a.rule, &a.call_id, &a.message)
            .cmp(&(&b.path, b.line, b.rule, &b.call_id, &b.message))
    });
    found.dedup_by(|a, b| {
        a.path == b.path
            && a.line == b.line
            && a.rule == b.rule
            && a.call_id == b.call_id
            && a.message == b.message
    });
    // a file of a million interrupts is told in a few lines
    let mut counts: BTreeMap<(Option<Box<str>>, Rule, Severity), usize> = BTreeMap::new();
    let mut kept: Vec<Finding> = Vec::new();
    let mut last: BTreeMap<(Option<Box<str>>, Rule, Severity), usize> = BTreeMap::new();
    for finding in found {
        let key = (finding.path.clone(), finding.rule, finding.severity);
        let count = counts.entry(key.clone()).or_default();
        *count += 1;
        if *count <= MOST {
            last.insert(key, kept.len());
            kept.push(finding);
        } else if let Some(one) = last.get(&key).and_then(|at| kept.get_mut(*at)) {
            one.count += 1;
        }
    }
    kept
}

/// So many findings of one rule, severity and file are told one by one; the rest is counted with the last of them.
const MOST: usize = 100;

/// `1 event`, `2 events`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
