//! What is found of one request used again for the next.

use super::super::Strategy;
use super::super::judge::Recorded;
use super::super::run::Origin;
use super::{Found, READS, Runner};
use crate::contract::{Facts, WorldSet};
use crate::ids::CallKey;
use crate::ledger::{Edits, Ledger, Pair};

/// The last request with something to mend.
///
/// A call that stays open is mended in every later request in the same way. Without a memory of it, work and result
/// would grow with the open calls times the requests. Only items added at the end leave it valid.
pub(super) struct Memo {
    pairs: Pairs,
    edits: Edits,
    of_pairs: Facts,
    /// What was found, with the facts, the worlds and whether the request was answered.
    judged: Option<(Found, Facts, WorldSet, bool)>,
}

impl Memo {
    pub(super) fn mends(&self, call: CallKey) -> bool {
        self.judged
            .as_ref()
            .is_some_and(|(found, ..)| found.injected.iter().any(|made_up| made_up.call == call))
    }

    /// Whether plans of the strategy follow from the pairs alone, and there is something to plan.
    pub(super) fn helps(runner: &Runner<'_>) -> bool {
        let follows = match runner.strategy {
            Strategy::ErrorBody
            | Strategy::ErrorBody1610
            | Strategy::HistoryScan
            | Strategy::HistoryScan045
            | Strategy::Normalize
            | Strategy::DropTurn => true,
            Strategy::None
            | Strategy::AsClient
            | Strategy::PendingAborts
            | Strategy::PendingIds
            | Strategy::FullHistory => false,
        };
        follows && !(runner.ledger.open().is_empty() && runner.ledger.orphans().is_empty())
    }
}

/// Pairs that are not whole, as they stand.
#[derive(PartialEq, Eq)]
struct Pairs {
    open: Vec<(CallKey, Pair)>,
    orphans: Vec<(CallKey, Pair)>,
    others: [Vec<(CallKey, Pair)>; 3],
}

impl Pairs {
    /// `None` if there are too many that no strategy mends.
    fn of(ledger: &Ledger) -> Option<Self> {
        const MANY: usize = 100;
        let (early, outputs, calls) =
            (ledger.early(), ledger.extra_outputs(), ledger.extra_calls());
        if early.len() + outputs.len() + calls.len() > MANY {
            return None;
        }
        let pair = |key: &CallKey| (*key, ledger.pair(*key));
        Some(Self {
            open: ledger.open().values().map(pair).collect(),
            orphans: ledger.orphans().values().map(pair).collect(),
            others: [
                early.values().map(pair).collect(),
                outputs.iter().map(pair).collect(),
                calls.iter().map(pair).collect(),
            ],
        })
    }
}

impl Runner<'_> {
    /// The same as planning and judging anew; where the history has the same open calls and orphans as at the request
    /// before, what was found then is used again.
    pub(super) fn judge_again(&mut self, answered: bool) -> Found {
        let pairs = Pairs::of(&self.ledger);
        let known = match (self.memo.take(), &pairs) {
            (Some(memo), Some(pairs)) if *pairs == memo.pairs => Some(memo),
            _ => None,
        };
        let (edits, of_pairs, old) = if let Some(memo) = known {
            (memo.edits, memo.of_pairs, memo.judged)
        } else {
            let (edits, _) = self.plan(Origin::Rebuilt);
            let of_pairs = Facts::of_pairs(&self.ledger, &edits);
            (edits, of_pairs, None)
        };
        let mut facts = of_pairs;
        facts.read_form(&self.ledger, &edits, READS);
        let before = self.worlds;
        let judged = match old {
            Some((old, of, worlds, was_answered))
                if of == facts && worlds == before && was_answered == answered =>
            {
                old
            }
            _ => self.judge(edits.clone(), Some(&facts), Recorded::Nothing, answered),
        };
        if let Some(pairs) = pairs
            && self.plan_lasts()
        {
            let settled = self.worlds == before;
            self.memo = Some(Memo {
                pairs,
                edits,
                of_pairs,
                judged: settled.then(|| (judged.clone(), facts, before, answered)),
            });
        }
        judged
    }

    /// Whether more items at the end leave the strategy's plan as it is, as long as they change no pair.
    pub(super) fn plan_lasts(&self) -> bool {
        // the forgotten answer of the last open call may still go on
        let last_open = self.ledger.open().keys().next_back();
        self.strategy != Strategy::DropTurn || last_open.is_none_or(|open| Some(*open) < self.user)
    }
}
