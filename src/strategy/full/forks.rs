//! A walk over a rollout that stops behind items and looks at what the next request would be there.

use std::mem;

use super::memo::Memo;
use super::{Runner, Strategy};
use crate::contract::WorldSet;
use crate::ids::{CallKey, ItemIndex};
use crate::rollout::Rollout;
use crate::strategy::Keep;
use crate::strategy::interrupt::{Next, ORIGIN, Point, Told, Who, applies, user_message};
use crate::strategy::plan::Memory;

/// What is asked beside the walk.
pub(super) struct Forks<'a> {
    points: &'a [Point],
    /// The first point that was not asked yet.
    next: usize,
    nexts: &'a [Next],
    sink: &'a mut dyn FnMut(usize, usize, Told),
    /// The memo of requests beside the walk.
    memo: Option<Memo>,
    /// Whether the request that is judged is one of these.
    pub(super) asking: bool,
}

impl Forks<'_> {
    pub(super) fn forget_places(&mut self) {
        self.memo = None;
    }

    pub(super) fn ended(&mut self, call: CallKey) {
        self.memo = self.memo.take().filter(|memo| !memo.mends(call));
    }
}

/// Judges the next request behind each of some points, which are in the order of the file.
pub(in crate::strategy) fn ask<'a>(
    rollout: &'a Rollout,
    strategy: Strategy,
    own: bool,
    worlds: WorldSet,
    points: &'a [Point],
    nexts: &'a [Next],
    sink: &'a mut dyn FnMut(usize, usize, Told),
) {
    let mut runner = Runner::new(rollout, strategy, worlds, own, Keep::First);
    runner.forks = Some(Box::new(Forks {
        points,
        next: 0,
        nexts,
        sink,
        memo: None,
        asking: false,
    }));
    runner.walk();
}

impl Runner<'_> {
    /// Asks what is to be asked behind this step.
    pub(super) fn fork_at(&mut self, step: u32) {
        let Some(mut forks) = self.forks.take() else {
            return;
        };
        while let Some(point) = forks.points.get(forks.next).filter(|it| it.at == step) {
            for (at, next) in forks.nexts.iter().enumerate() {
                if !applies(point, *next) {
                    continue;
                }
                mem::swap(&mut self.memo, &mut forks.memo);
                forks.asking = true;
                self.forks = Some(forks);
                let told = self.tell(*next);
                let Some(back) = self.forks.take() else {
                    return;
                };
                forks = back;
                forks.asking = false;
                mem::swap(&mut self.memo, &mut forks.memo);
                // a plan that only the message behind it settles holds for no other place
                if !self.plan_lasts() {
                    forks.memo = None;
                }
                (forks.sink)(forks.next, at, told);
            }
            forks.next += 1;
        }
        self.forks = Some(forks);
    }

    /// The user's next message, and what the strategy sends with it; everything is taken back.
    fn tell(&mut self, next: Next) -> Told {
        let memory = self.memory.clone();
        let run_calls = mem::take(&mut self.run_calls);
        let flags = (self.in_run, self.waiting, self.answered, self.pictured);
        let lines = (self.user_line, self.unanswered, self.turn, self.user);
        let (sent, length) = (self.sent, self.ledger.len());
        let false_calls = mem::take(&mut self.false_calls);
        let judged = mem::take(&mut self.judged);
        let (real, clock) = (self.real_outputs_kept, self.clock.clone());

        self.pictured = true;
        if next.who == Who::Kill {
            self.memory = Memory::default();
        }
        let user = user_message();
        self.before_user(user.line);
        self.user = Some(length);
        self.ledger.push(ItemIndex(u32::MAX), &user);
        self.request(0, ORIGIN, None, false);
        let told = self.judged.pop().map(|judged| {
            let kept = self.keeps_real(&judged.removed);
            Told::of(&judged, kept)
        });

        self.ledger.truncate(length);
        self.memory = memory;
        self.run_calls = run_calls;
        (self.in_run, self.waiting, self.answered, self.pictured) = flags;
        (self.user_line, self.unanswered, self.turn, self.user) = lines;
        self.sent = sent;
        self.false_calls = false_calls;
        self.judged = judged;
        (self.real_outputs_kept, self.clock) = (real, clock);
        told.unwrap_or_else(Told::nothing)
    }
}
