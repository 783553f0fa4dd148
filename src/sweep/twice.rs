//! The second cut: in the answer to the request that came behind the first one.
//!
//! Each first cut is really made, and the session behind it is swept as one of its own. That costs as much as the session
//! is long, so of a long one only so many first cuts are taken, spread over it; the report says how many.

use super::cell::example;
use super::{Situation, Worker, spread};
use crate::strategy::interrupt::{self, Next, Point, Told, Who};

/// So many first cuts are made for each strategy.
const FIRST_CUTS: usize = 64;

impl Worker<'_> {
    /// Asks behind second cuts; returns how many first cuts there were.
    pub(super) fn twice(&mut self, points: &[Point]) -> usize {
        let firsts = spread(points.len(), FIRST_CUTS);
        let chosen: Vec<Point> = firsts
            .iter()
            .filter_map(|at| points.get(*at).cloned())
            .collect();
        let by_habit = [Who::Client, Who::Upstream]
            .map(|who| Next { who, base: None })
            .into_iter()
            .filter(|next| self.plan.nexts.contains(next))
            .collect::<Vec<_>>();
        let mut told: Vec<(usize, Next, Told)> = Vec::new();
        interrupt::ask(
            self.session,
            (self.strategy(), self.is_client()),
            &self.plan.policies,
            &chosen,
            &by_habit,
            &mut |at, next, result| {
                if let Some(next) = by_habit.get(next) {
                    told.push((at, *next, result));
                }
            },
        );
        for (at, next, told) in told {
            let Some(first) = chosen.get(at) else {
                continue;
            };
            self.behind(first, next, &told);
        }
        chosen.len()
    }

    fn behind(&mut self, first: &Point, next: Next, told: &Told) {
        let strategy = (self.column.resolved, self.is_client());
        let found = interrupt::answered(self.session, first, next, strategy, told);
        let Some((session, inside)) = found else {
            return;
        };
        let mut behind = example(self.session, first, None, told);
        behind.who = Some(next.who.name());
        let (variant, plan) = (self.variant, self.plan);
        let cells = &mut self.cells;
        // the habit of the lane may not show in what is left of a session that was cut early
        let habit = interrupt::habit(self.session, first.lane);
        let nexts: Vec<Next> = plan
            .nexts
            .iter()
            .map(|next| Next {
                base: next.base.or(habit),
                ..*next
            })
            .collect();
        interrupt::ask(
            &session,
            strategy,
            &plan.policies,
            &inside,
            &nexts,
            &mut |at, next, told| {
                let (Some(point), Some(next)) = (inside.get(at), plan.nexts.get(next)) else {
                    return;
                };
                let situation = Situation {
                    variant,
                    second_cut: true,
                    who: next.who,
                    base: next.base,
                    carries_outputs: first.carries_outputs,
                    stage: point.stage,
                };
                let cell = cells.entry(situation).or_default();
                cell.add(&session, point, Some(&behind), &told);
            },
        );
    }
}
