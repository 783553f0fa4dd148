//! What the walk decides of each item, and how that is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::repair::texts::Texts;
use crate::repair::{Change, Places, What};
use crate::rollout::Rollout;
use crate::wire::item::ItemKind;

/// What is done to one item.
#[derive(Clone, Debug, Default)]
pub(in crate::repair) struct Decision {
    /// It leaves its place, for this reason; an output that is put behind its call is written there.
    pub(in crate::repair) drop: Option<Why>,
    /// Its call id is replaced.
    pub(in crate::repair) rename: Option<Arc<str>>,
    /// Its `id` is left out.
    pub(in crate::repair) strip_id: bool,
    /// Its `type` is replaced.
    pub(in crate::repair) retype: Option<ItemKind>,
    /// It is a call, and this is put directly behind it.
    pub(in crate::repair) answer: Option<Answer>,
}

/// Why an item leaves its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repair) enum Why {
    /// It is put behind its call.
    Moved,
    /// An output without call.
    Orphan,
    /// A second output of one call.
    Extra,
    /// It said "aborted", and the real output is on file.
    Superseded,
    /// The same item stands in front of it.
    Copy,
    /// Reasoning that the model's next item does not follow.
    LoneReasoning,
    /// A call that only its user can answer.
    Unanswerable,
}

impl Why {
    pub(in crate::repair) fn words(self) -> &'static str {
        match self {
            Self::Moved => "put directly behind its call",
            Self::Orphan => "an output whose call is not on file",
            Self::Extra => "a second output of a call that has one",
            Self::Superseded => "it said \"aborted\", and the call's real output is on file",
            Self::Copy => "the same item stands in front of it",
            Self::LoneReasoning => "reasoning that nothing of the model's follows",
            Self::Unanswerable => "a call without output, and none can be made up for its kind",
        }
    }
}

/// What answers a call that would be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repair) enum Answer {
    /// This output, which stands elsewhere.
    Real(ItemIndex),
    /// One that is made up.
    Made,
}

/// Why nothing safe can be done.
#[derive(Debug)]
pub(in crate::repair) struct Stop {
    pub(in crate::repair) file: u32,
    pub(in crate::repair) line: LineNo,
    pub(in crate::repair) reason: String,
}

/// What the walk found.
#[derive(Debug, Default)]
pub(in crate::repair) struct Walked {
    pub(in crate::repair) decisions: BTreeMap<ItemIndex, Decision>,
    /// Calls of other files whose answer stands in front of the own history.
    pub(in crate::repair) at_start: Vec<ItemIndex>,
    /// What the file says of tools: that they began, that they ended.
    pub(in crate::repair) began: BTreeMap<CallKey, LineNo>,
    pub(in crate::repair) ended: BTreeMap<CallKey, LineNo>,
}

/// The decisions in words.
pub(in crate::repair) fn changes(
    rollout: &Rollout,
    walked: &Walked,
    places: &Places,
    texts: &Texts,
) -> Vec<Change> {
    let mut found = Vec::new();
    for (&index, decision) in &walked.decisions {
        let Some(item) = rollout.items.get(index) else {
            continue;
        };
        let here = walked.at_start.contains(&index);
        let mut add = |what: What, detail: String| {
            found.push(Change {
                line: if here { 1 } else { places.original(item.line) },
                what,
                call_id: item.call.map(|key| rollout.items.call_id(key).to_owned()),
                item_type: Some(item.kind),
                detail,
            });
        };
        if let Some(new) = &decision.rename {
            add(What::Renamed, format!("its call id is now {new}"));
        }
        if decision.strip_id {
            add(
                What::IdDropped,
                "its id stands in front of it already".to_owned(),
            );
        }
        if let Some(kind) = decision.retype {
            add(What::Retyped, format!("it is now a {}", kind.name()));
        }
        match decision.drop {
            Some(Why::Moved) => add(What::Moved, Why::Moved.words().to_owned()),
            Some(why) => add(What::Removed, why.words().to_owned()),
            None => {}
        }
        if decision.answer == Some(Answer::Made) {
            let (what, detail) = texts.said(index);
            add(what, detail);
        }
    }
    found
}
