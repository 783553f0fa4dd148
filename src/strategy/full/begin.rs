//! How a walk over a rollout begins, and the walk that is made for what goes out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::outgoing::{Outbox, Pages};
use super::super::plan::{self, Memory};
use super::super::retries::Budget;
use super::super::{Keep, Options, Probe, Strategy};
use super::Runner;
use crate::clock::FixedClock;
use crate::contract::WorldSet;
use crate::ledger::Ledger;
use crate::rollout::Rollout;

/// The requests of such a rollout as the strategy sends them.
pub(in crate::strategy) fn outgoing(
    rollout: &Rollout,
    strategy: Strategy,
    options: &Options,
    own: bool,
) -> Outbox {
    let mut runner = Runner::new(rollout, strategy, WorldSet::default(), own, Keep::All);
    runner.pages = Some(Pages::default());
    runner.walk();
    if options.probe != Probe::Never {
        runner.probe();
    }
    let pages = runner.pages.unwrap_or_default();
    Outbox {
        tree: pages.tree,
        items: rollout.items.clone(),
        all: pages.all,
        retry: plan::retry(strategy).into(),
    }
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        rollout: &'a Rollout,
        strategy: Strategy,
        worlds: WorldSet,
        own: bool,
        keep: Keep,
    ) -> Self {
        Self {
            rollout,
            strategy,
            own,
            keep,
            worlds,
            ledger: Ledger::for_items(&rollout.items),
            memory: Memory::default(),
            run_from: 0,
            told: Vec::new(),
            judged: Vec::new(),
            run_calls: Vec::new(),
            in_run: false,
            since_run: false,
            response_over: false,
            answered: true,
            turn: 0,
            user_line: None,
            unanswered: None,
            waiting: false,
            in_turn: false,
            silent_end: None,
            ended: vec![false; rollout.items.call_count()],
            false_calls: BTreeSet::new(),
            lost: Vec::new(),
            items_lost: 0,
            real_outputs_kept: true,
            pictured: false,
            sent: 0,
            budget: Budget::of(rollout),
            clock: FixedClock::default(),
            user: None,
            memo: None,
            nothing_injected: Arc::default(),
            nothing_removed: Arc::default(),
            pages: None,
            forks: None,
        }
    }
}
