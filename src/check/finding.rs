//! One finding, and the heap they are gathered on.

use std::collections::BTreeMap;

use crate::contract::Fault;
use crate::ids::{CallKey, LineNo};
use crate::strategy::Verdict;
use crate::wire::item::{ItemKind, Items};
use crate::wire::refusal::RefusalKind;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each is described by its name and in docs/json.md"
)]
pub enum Rule {
    MissingOutput,
    InFlight,
    OutputLeftBehind,
    OrphanOutput,
    DuplicateOutput,
    DuplicateCall,
    DuplicateItemId,
    OutputBeforeCall,
    WrongOutputKind,
    CallIdTooLong,
    BadItemId,
    ReasoningWithoutFollower,
    ItemWithoutReasoning,
    ItemNotFound,
    StreamWithoutEnd,
    BadSequence,
    PreviousResponseNotFound,
    AnswerDisagrees,
    Refused,
    LooksLikeSecret,
    UnansweredInterrupt,
    StaleEvent,
    UnansweredApproval,
    UserMessageNeverSent,
    DuplicateTurnId,
    DoubledInput,
    DoubledText,
    ResumedElsewhere,
    CompactedOverOpenCall,
    FinishedNotTold,
    RanTwice,
    DelegateAsked,
    DelegateCut,
    DelegateFiltered,
    NotOnDisk,
    NotSent,
}

impl Rule {
    /// The rules that look at what the client says of itself, or hold several sources against each other.
    pub const BESIDE: [Self; 16] = [
        Self::UnansweredInterrupt,
        Self::StaleEvent,
        Self::UnansweredApproval,
        Self::UserMessageNeverSent,
        Self::DuplicateTurnId,
        Self::DoubledInput,
        Self::DoubledText,
        Self::ResumedElsewhere,
        Self::CompactedOverOpenCall,
        Self::FinishedNotTold,
        Self::RanTwice,
        Self::DelegateAsked,
        Self::DelegateCut,
        Self::DelegateFiltered,
        Self::NotOnDisk,
        Self::NotSent,
    ];

    /// The name on screen and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingOutput => "missing_output",
            Self::InFlight => "in_flight",
            Self::OutputLeftBehind => "output_left_behind",
            Self::OrphanOutput => "orphan_output",
            Self::DuplicateOutput => "duplicate_output",
            Self::DuplicateCall => "duplicate_call",
            Self::DuplicateItemId => "duplicate_item_id",
            Self::OutputBeforeCall => "output_before_call",
            Self::WrongOutputKind => "wrong_output_kind",
            Self::CallIdTooLong => "call_id_too_long",
            Self::BadItemId => "bad_item_id",
            Self::ReasoningWithoutFollower => "reasoning_without_follower",
            Self::ItemWithoutReasoning => "item_without_reasoning",
            Self::ItemNotFound => "item_not_found",
            Self::StreamWithoutEnd => "stream_without_end",
            Self::BadSequence => "bad_sequence",
            Self::PreviousResponseNotFound => "previous_response_not_found",
            Self::AnswerDisagrees => "answer_disagrees",
            Self::Refused => "refused",
            Self::LooksLikeSecret => "looks_like_secret",
            Self::UnansweredInterrupt => "unanswered_interrupt",
            Self::StaleEvent => "stale_event",
            Self::UnansweredApproval => "unanswered_approval",
            Self::UserMessageNeverSent => "user_message_never_sent",
            Self::DuplicateTurnId => "duplicate_turn_id",
            Self::DoubledInput => "doubled_input",
            Self::DoubledText => "doubled_text",
            Self::ResumedElsewhere => "resumed_elsewhere",
            Self::CompactedOverOpenCall => "compacted_over_open_call",
            Self::FinishedNotTold => "finished_not_told",
            Self::RanTwice => "ran_twice",
            Self::DelegateAsked => "delegate_asked",
            Self::DelegateCut => "delegate_cut",
            Self::DelegateFiltered => "delegate_filtered",
            Self::NotOnDisk => "not_on_disk",
            Self::NotSent => "not_sent",
        }
    }

    /// The rule a refusal is about.
    pub fn of(kind: RefusalKind) -> Self {
        match kind {
            RefusalKind::MissingOutput => Self::MissingOutput,
            RefusalKind::OrphanOutput => Self::OrphanOutput,
            RefusalKind::DuplicateItem => Self::DuplicateItemId,
            RefusalKind::ReasoningWithoutFollower => Self::ReasoningWithoutFollower,
            RefusalKind::ItemWithoutReasoning => Self::ItemWithoutReasoning,
            RefusalKind::ItemNotFound => Self::ItemNotFound,
            RefusalKind::PreviousResponseNotFound => Self::PreviousResponseNotFound,
            RefusalKind::BadItemId => Self::BadItemId,
            RefusalKind::CallIdTooLong => Self::CallIdTooLong,
            RefusalKind::DuplicateOutput => Self::DuplicateOutput,
            RefusalKind::DuplicateCall => Self::DuplicateCall,
        }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The session's own client is refused for it.
    Error,
    /// It would be refused somewhere, or of another client.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The name on screen and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that `check` says about a session: one per lane, rule and call id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its rule.
    pub rule: Rule,
    /// Its severity.
    pub severity: Severity,
    /// The lane.
    pub lane: u32,
    /// The first line it concerns.
    pub line: LineNo,
    /// The pair it concerns.
    pub call: Option<CallKey>,
    /// The kind of the item it concerns.
    pub item: Option<ItemKind>,
    /// How often it was found.
    pub count: u32,
    /// What is wrong, in a sentence.
    pub message: String,
    /// The file the line stands in, where it is not that of the session.
    pub path: Option<Box<str>>,
    /// Further places that show it.
    pub also: Vec<Elsewhere>,
    /// The id of the call, where the session holds no item of it.
    pub call_id: Option<Box<str>>,
}

/// A further place of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elsewhere {
    /// Its file; `None` for the session's own.
    pub path: Option<Box<str>>,
    /// Its line.
    pub line: LineNo,
}

impl Finding {
    /// A finding that concerns no call.
    pub fn new(rule: Rule, severity: Severity, lane: u32, line: LineNo) -> Self {
        Self {
            rule,
            severity,
            lane,
            line,
            call: None,
            item: None,
            count: 1,
            message: String::new(),
            path: None,
            also: Vec::new(),
            call_id: None,
        }
    }
}

/// Findings while they are gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<(u32, Rule, Option<CallKey>), Finding>,
}

impl Findings {
    /// Adds a finding; one of the same lane, rule and call is counted, and the graver severity kept.
    pub(super) fn add(&mut self, finding: Finding) {
        let key = (finding.lane, finding.rule, finding.call);
        match self.found.get_mut(&key) {
            Some(known) => {
                known.count += finding.count;
                if finding.severity < known.severity {
                    known.severity = finding.severity;
                    known.message = finding.message;
                }
                if finding.line > 0 && (known.line == 0 || finding.line < known.line) {
                    known.line = finding.line;
                }
            }
            None => {
                self.found.insert(key, finding);
            }
        }
    }

    /// Adds what a fault says.
    pub(super) fn add_fault(
        &mut self,
        rule: Rule,
        severity: Severity,
        lane: u32,
        line: LineNo,
        fault: &Fault,
        items: &Items,
    ) {
        let id = fault.call.map_or("", |call| items.call_id(call));
        let message = sentence(rule, fault.item, id);
        let key = (lane, rule, fault.call);
        if let Some(known) = self.found.get_mut(&key) {
            // the same thing, seen in one more request
            if severity < known.severity {
                known.severity = severity;
                // which may say the cause as well
                if !known.message.starts_with(&message) {
                    known.message = message;
                }
            }
            return;
        }
        let mut finding = Finding::new(rule, severity, lane, line);
        finding.call = fault.call;
        finding.item = Some(fault.item);
        finding.message = message;
        self.add(finding);
    }

    /// The findings by lane and line. The verdict has the last word on whether there is an error among them.
    pub(super) fn finish(self, verdict: Verdict) -> Vec<Finding> {
        let mut found: Vec<Finding> = self.found.into_values().collect();
        // what was left behind is missing too; one of the two is enough
        let left: Vec<(u32, Option<CallKey>)> = found
            .iter()
            .filter(|f| f.rule == Rule::OutputLeftBehind)
            .map(|f| (f.lane, f.call))
            .collect();
        found.retain(|f| f.rule != Rule::MissingOutput || !left.contains(&(f.lane, f.call)));
        let bad = super::is_error(verdict);
        for finding in &mut found {
            if finding.severity == Severity::Error && !bad {
                finding.severity = Severity::Warning;
            }
        }
        if bad
            && !found
                .iter()
                .any(|finding| finding.severity == Severity::Error)
        {
            let mut finding = Finding::new(Rule::Refused, Severity::Error, 0, 0);
            "a request was refused".clone_into(&mut finding.message);
            found.push(finding);
        }
        sort(&mut found);
        found
    }
}

/// Puts findings into the order in which they are told.
pub(super) fn sort(found: &mut [Finding]) {
    found.sort_by_key(|finding| (finding.line, finding.severity, finding.rule, finding.call));
}

/// What a rule says of an item.
pub(super) fn sentence(rule: Rule, item: ItemKind, id: &str) -> String {
    // the refusals know no words for kinds that are no calls
    let own = item.name().replace('_', " ");
    let words = if item.family().is_some() {
        item.words()
    } else {
        own.as_str()
    };
    match rule {
        Rule::MissingOutput => format!("{words} {id} has no output"),
        Rule::InFlight => format!("{words} {id} is open at the very end"),
        Rule::OutputLeftBehind => {
            format!("the output of {words} {id} was sent, but the chain goes on without it")
        }
        Rule::OrphanOutput => format!("{words} {id} has no call"),
        Rule::DuplicateOutput => format!("more than one output for {id}"),
        Rule::DuplicateCall => format!("more than one call with id {id}"),
        Rule::DuplicateItemId => format!("an item id of a {words} stands twice"),
        Rule::OutputBeforeCall => format!("the output of {words} {id} stands before its call"),
        Rule::WrongOutputKind => format!("{words} {id} answers a call of another kind"),
        Rule::CallIdTooLong => format!("call_id of a {words} has more than 64 characters"),
        Rule::BadItemId => format!(
            "the id of a {words} does not begin with '{}'",
            item.id_prefix().unwrap_or("")
        ),
        Rule::ReasoningWithoutFollower => {
            "a reasoning item is not followed by what it led to".to_owned()
        }
        Rule::ItemWithoutReasoning => format!("a {words} is sent without its reasoning item"),
        Rule::ItemNotFound => "it names an item that is not stored".to_owned(),
        Rule::StreamWithoutEnd => "the stream ends without a terminal event".to_owned(),
        Rule::BadSequence => "sequence numbers have a gap or go backwards".to_owned(),
        Rule::PreviousResponseNotFound => {
            "previous_response_id names a response that is not stored".to_owned()
        }
        Rule::AnswerDisagrees => "the recorded answer contradicts the contract".to_owned(),
        Rule::Refused => "a request was refused".to_owned(),
        Rule::LooksLikeSecret => "something looks like a secret".to_owned(),
        // these say what they saw themselves
        rule => rule.name().replace('_', " "),
    }
}
