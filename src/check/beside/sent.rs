//! What became of messages: whether they ever reached a request, and whether they came twice.

use std::collections::{BTreeMap, BTreeSet};

use super::{Named, Source};
use crate::check::finding::{Finding, Rule, Severity};
use crate::events::{Id, Outcome, What, brief};
use crate::session::Session;
use crate::session::exchange::{NO_LANE, Origin, Purpose, Recording};
use crate::wire::item::{Author, ItemKind};

/// The texts of the user that requests carried.
pub(super) struct Sent {
    /// Whether any request is on file.
    any: bool,
    /// The line of the last request.
    texts: BTreeSet<Box<str>>,
}

impl Sent {
    pub(super) fn of(session: &Session, others: &[Named<'_>]) -> Self {
        let mut sent = Self {
            any: false,
            texts: BTreeSet::new(),
        };
        for session in std::iter::once(session).chain(others.iter().map(|it| it.session)) {
            let Session::Recording(recording) = session else {
                continue;
            };
            sent.any |= recording
                .exchanges
                .iter()
                .any(|it| it.purpose == Purpose::Turn);
            for (at, label) in recording.labels.iter().enumerate() {
                let item = recording.items.get(crate::ids::ItemIndex(at as u32));
                if item.is_some_and(|it| it.author == Author::User) {
                    sent.texts.insert(label.text.trim_start().into());
                }
            }
        }
        sent
    }

    /// Whether a text that begins so was sent. Texts of several parts stand joined: their beginning tells.
    fn has(&self, text: &str) -> bool {
        let from = (std::ops::Bound::Included(text), std::ops::Bound::Unbounded);
        let from = self.texts.range::<str, _>(from).next();
        from.is_some_and(|it| it.starts_with(text))
    }
}

/// `user_message_never_sent`.
pub(super) fn messages(
    source: &Source<'_>,
    sources: &[Source<'_>],
    sent: &Sent,
    found: &mut Vec<Finding>,
) {
    if source.story.messages.is_empty() {
        return;
    }
    // what became part of a history on disk is sent when the next request is
    let written = |text: &str, line: u32| {
        sources.iter().any(|other| {
            let id = other.log.ids.find(text.as_bytes()).map(Id);
            let last = id.and_then(|id| other.history.get(&id));
            last.is_some_and(|last| other.path != source.path || *last > line)
        })
    };
    let last = source.log.events.len().saturating_sub(1);
    for message in &source.story.messages {
        let Some(event) = source.log.events.get(message.asked) else {
            continue;
        };
        let text = event.text.map_or("", |it| source.log.text(it));
        let mut also = Vec::new();
        let (severity, mut words) = match message.outcome {
            Outcome::Dead(turn) => {
                let error = source.story.turns.get(turn).and_then(|it| it.error);
                let line = error.map_or(0, |it| source.line(it));
                also.extend(error.map(|it| source.place(it)));
                (
                    Severity::Warning,
                    format!("handed to a task that had died of an error at line {line}"),
                )
            }
            Outcome::Dropped(turn) => {
                let ended = source.story.turns.get(turn).and_then(|it| it.ended);
                let line = ended.map_or(0, |it| source.line(it));
                also.extend(ended.map(|it| source.place(it)));
                (
                    Severity::Warning,
                    format!("it waited in a turn that ended at line {line}, and went with it"),
                )
            }
            Outcome::Unknown | Outcome::Began(_) | Outcome::Shown if sent.any => {
                let severity = if message.asked >= last {
                    Severity::Info
                } else {
                    Severity::Warning
                };
                (severity, "no request that is on file carries it".to_owned())
            }
            _ => continue,
        };
        if text.is_empty() || sent.has(text) || written(text, event.line) {
            continue;
        }
        if sent.any && !words.starts_with("no request") {
            words.push_str("; no request that is on file carries it");
        }
        let message_text: String = text.chars().take(40).collect();
        let words = format!("the user's message '{message_text}' was never sent: {words}");
        let mut finding = source.at(Rule::UserMessageNeverSent, severity, message.asked, words);
        finding.also = also;
        found.push(finding);
    }
}

/// `doubled_text`: a text of the model that the history holds together with the pieces it was streamed in.
pub(super) fn doubled_text(session: &Session, path: Option<&str>, found: &mut Vec<Finding>) {
    let Session::Recording(recording) = session else {
        return;
    };
    let label = |index: crate::ids::ItemIndex| {
        let label = recording.labels.get(index.0 as usize)?;
        let item = recording.items.get(index)?;
        let is = item.kind == ItemKind::Message && label.role.as_deref() == Some("assistant");
        // a clipped text does not show how it ends
        (is && !label.text.ends_with('…')).then_some((&*label.text, item.line))
    };
    let mut whole: BTreeMap<&str, u32> = BTreeMap::new();
    let mut answered = BTreeSet::new();
    for exchange in &recording.exchanges {
        for &done in &exchange.answer.done {
            answered.insert(done);
            if let Some((text, line)) = label(done) {
                whole.entry(text).or_insert(line);
            }
        }
    }
    if whole.is_empty() {
        return;
    }
    for at in 0..recording.items.len() as u32 {
        let index = crate::ids::ItemIndex(at);
        if answered.contains(&index) {
            continue;
        }
        let Some((text, line)) = label(index).filter(|(text, _)| !whole.contains_key(text)) else {
            continue;
        };
        let doubled = text.char_indices().skip(1).find_map(|(cut, _)| {
            let (before, behind) = text.split_at_checked(cut)?;
            let first = whole.get(behind)?;
            behind.starts_with(before).then_some((behind, *first))
        });
        let Some((behind, first)) = doubled else {
            continue;
        };
        let shown: String = text.chars().take(40).collect();
        let answer: String = behind.chars().take(40).collect();
        let message = format!(
            "the history says '{shown}', where the answer at line {first} was '{answer}': what was streamed was kept beside it"
        );
        let mut finding = Finding::new(Rule::DoubledText, Severity::Warning, 0, line);
        finding.message = message;
        finding.path = path.map(Into::into);
        finding.also = vec![super::Elsewhere {
            path: path.map(Into::into),
            line: first,
        }];
        found.push(finding);
    }
}

/// `doubled_input`: a message that was handed in once and stands twice, one behind the other, in a request.
pub(super) fn doubled_input(session: &Session, path: Option<&str>, found: &mut Vec<Finding>) {
    let Session::Recording(recording) = session else {
        return;
    };
    if recording.origin == Origin::Events {
        return;
    }
    let log = &recording.events;
    let mut handed: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
    for event in &log.events {
        if event.what == What::MessageAsked
            && let Some(text) = event.text
        {
            let known = handed.entry(log.text(text)).or_insert((0, event.line));
            known.0 += 1;
        }
    }
    if handed.is_empty() {
        return;
    }
    // the first and last request of each lane: what a thread had before is none of this recording's
    let mut lanes: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (at, exchange) in recording.exchanges.iter().enumerate() {
        if exchange.purpose == Purpose::Turn && exchange.lane != NO_LANE {
            lanes.entry(exchange.lane).or_insert((at, at)).1 = at;
        }
    }
    for (first, last) in lanes.into_values() {
        let before = counted(recording, first);
        let after = counted(recording, last);
        for (text, (often, _)) in &after {
            let Some((times, line)) = handed.get(text.as_str()) else {
                continue;
            };
            let had = before
                .get(text)
                .map_or(0, |(often, _)| often.saturating_sub(1));
            let adjacent = after.get(text).is_some_and(|(_, adjacent)| *adjacent);
            if *often > times + had && adjacent {
                let at = recording.exchanges.get(last).map_or(0, |it| it.line);
                let shown: String = text.chars().take(40).collect();
                let mut finding = Finding::new(Rule::DoubledInput, Severity::Warning, 0, at);
                finding.message = format!(
                    "the request carries '{shown}' {often} times; it was handed in {}, first at line {line}",
                    super::count(*times, "time")
                );
                finding.path = path.map(Into::into);
                finding.also = vec![super::Elsewhere {
                    path: path.map(Into::into),
                    line: *line,
                }];
                found.push(finding);
            }
        }
    }
}

/// How often each text of the user stands in a request, and whether twice in a row.
fn counted(recording: &Recording, exchange: usize) -> BTreeMap<String, (usize, bool)> {
    let mut counts: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    let Some(exchange) = recording.exchanges.get(exchange) else {
        return counts;
    };
    let mut last = None;
    for index in recording.tree.items(exchange.request.input) {
        let user = recording
            .items
            .get(index)
            .is_some_and(|it| it.author == Author::User);
        let label = recording.labels.get(index.0 as usize).filter(|_| user);
        let text = label.map(|it| brief(&it.text).to_owned());
        if let Some(text) = &text {
            let known = counts.entry(text.clone()).or_default();
            known.0 += 1;
            known.1 |= last.as_ref() == Some(text);
        }
        last = text;
    }
    counts
}
