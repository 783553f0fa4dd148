//! Running a rollout whose client sends the whole history each time.
//!
//! In front of each run of model-made items stood a request: its input is the effective history up to there. One ledger
//! follows the file; no request is ever built, so the work is linear in the file.

use std::collections::BTreeSet;

use super::judge::{Case, Recorded, StateFault, Variant};
use super::plan::{self, Memory, View};
use super::run::{Judged, Origin, Run, Score, picture};
use super::wire::{injected, is_finished};
use super::{Options, Probe, Strategy};
use crate::contract::{Outcome, WorldSet};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::ledger::{Insert, Ledger, Slot};
use crate::rollout::effective::{Change, Effective};
use crate::rollout::{Era, Rollout, Step};
use crate::session::exchange::{RecordedRefusal, Transport};
use crate::wire::item::{Author, Flags, Item, ItemKind};
use crate::wire::refusal::find;

/// Runs a rollout. Answers that the file shows are used as evidence only where the strategy is the client's own.
pub(super) fn run(
    rollout: &Rollout,
    strategy: Strategy,
    worlds: WorldSet,
    options: &Options,
    own: bool,
) -> Run {
    let mut runner = Runner {
        rollout,
        strategy,
        own,
        worlds,
        ledger: Ledger::default(),
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
        ended: BTreeSet::new(),
        false_calls: BTreeSet::new(),
        lost: BTreeSet::new(),
        real_outputs_kept: true,
        pictured: false,
        sent: 0,
    };
    runner.walk();
    if options.probe != Probe::Never {
        runner.probe();
    }
    runner.conclude()
}

struct Runner<'a> {
    rollout: &'a Rollout,
    strategy: Strategy,
    own: bool,
    worlds: WorldSet,
    ledger: Ledger,
    memory: Memory,
    /// Where the last response begins.
    run_from: u32,
    /// What a client that chains has sent beside what is on file; the server holds it from then on.
    told: Vec<Insert>,
    judged: Vec<Judged>,
    /// Calls of the response that is being read, without those that were seen answered.
    run_calls: Vec<CallKey>,
    /// Whether the last response may still go on.
    in_run: bool,
    /// Whether something that is not the model's came since the response's last item.
    since_run: bool,
    /// Whether the file says that the response is over.
    response_over: bool,
    /// Whether the last request was answered by at least one item.
    answered: bool,
    turn: u32,
    /// The line of the last user message if nothing answered it yet.
    user_line: Option<LineNo>,
    unanswered: Option<LineNo>,
    /// Tools that ended, by the file's own events.
    ended: BTreeSet<CallKey>,
    false_calls: BTreeSet<CallKey>,
    lost: BTreeSet<ItemIndex>,
    real_outputs_kept: bool,
    pictured: bool,
    sent: u32,
}

impl Runner<'_> {
    fn walk(&mut self) {
        let rollout = self.rollout;
        let mut effective = Effective::new(rollout.era);
        for step in &rollout.steps {
            match step {
                Step::Item(index) => self.before_item(*index),
                Step::TurnStarted(_) | Step::Meta(_) => self.boundary(),
                Step::TurnAborted(..) => {
                    self.boundary();
                    self.memory.over(true);
                }
                Step::TurnComplete(line, error) => self.turn_complete(*line, *error),
                Step::ResponseEnded(..) => self.response_over = true,
                Step::ToolEnded(_, call) => {
                    self.ended.insert(*call);
                }
                _ => {}
            }
            match effective.apply(&rollout.items, step) {
                Change::None => {}
                Change::Pushed(index) => self.push(index),
                Change::Truncated(length) => {
                    self.ledger.truncate(length as u32);
                    self.told.retain(|insert| insert.before <= length as u32);
                    self.boundary();
                    self.user_line = None;
                }
                Change::Replaced => {
                    self.ledger.truncate(0);
                    self.told.clear();
                    for index in effective.path() {
                        if let Some(item) = rollout.items.get(*index) {
                            self.ledger.push(*index, item);
                        }
                    }
                    self.boundary();
                    self.user_line = None;
                }
            }
        }
    }

    fn boundary(&mut self) {
        self.in_run = false;
        self.run_calls.clear();
    }

    /// The turn ended; if an error is on file, it is the answer to a request that no item answers.
    fn turn_complete(&mut self, line: LineNo, error: Option<u32>) {
        let message = error.and_then(|index| self.rollout.errors.get(index as usize));
        if let Some(message) = message {
            let found = find::find(message);
            if found.named.is_some()
                || found
                    .status
                    .is_some_and(|status| (400..500).contains(&status))
            {
                let refusal = RecordedRefusal {
                    status: found.status.unwrap_or(400),
                    message: found.message,
                    named: found.named,
                    plain: found.plain,
                };
                self.request(line, Origin::Rebuilt, Some(refusal), false);
                self.user_line = None;
            }
        }
        self.boundary();
    }

    /// A model-made item in front of which a request must have stood?
    fn before_item(&mut self, index: ItemIndex) {
        let Some(item) = self.rollout.items.get(index).copied() else {
            return;
        };
        match item.author {
            Author::Model => {
                if self.begins_run() {
                    self.request(item.line, Origin::Rebuilt, None, true);
                    self.memory.created();
                    self.run_from = self.ledger.len();
                    self.run_calls.clear();
                }
                self.in_run = true;
                self.since_run = false;
                self.response_over = false;
                self.user_line = None;
                if let (true, Some(call)) = (item.kind.is_call(), item.call) {
                    self.run_calls.push(call);
                    self.memory.called(call, item.kind);
                }
            }
            Author::User => {
                if let Some(line) = self.user_line {
                    self.unanswered = Some(line);
                }
                self.boundary();
                self.turn += 1;
                self.user_line = Some(item.line);
            }
            Author::Client => self.since_run = true,
        }
    }

    /// Whether the next model-made item belongs to a new response. A client does not ask again while its tools run, so an
    /// item between the outputs of parallel calls belongs to the response that made them.
    fn begins_run(&mut self) -> bool {
        if !self.in_run {
            return true;
        }
        if self.response_over {
            return true;
        }
        if !self.since_run {
            return false;
        }
        while let Some(&call) = self.run_calls.last() {
            if self.ledger.pair(call).is_open() {
                return false;
            }
            self.run_calls.pop();
        }
        true
    }

    fn push(&mut self, index: ItemIndex) {
        if let Some(item) = self.rollout.items.get(index) {
            self.ledger.push(index, item);
        }
    }

    fn request(
        &mut self,
        line: LineNo,
        origin: Origin,
        refusal: Option<RecordedRefusal>,
        answered: bool,
    ) {
        let answered_here = self.answered_since();
        let view = View {
            logical: &self.ledger,
            answered: &answered_here,
            new_turn: self.user_line.is_some() || origin == Origin::Probe,
            partial: false,
            memory: &self.memory,
            sees_all: true,
        };
        let plan = plan::plan(self.strategy, &view);
        // outputs in front stand behind what the server holds: all up to what the model made last
        let mut edits = plan.edits.clone();
        edits.inserts.splice(..0, self.told.iter().copied());
        if !plan.front.is_empty() {
            let front = plan.front_edits(self.input_from());
            edits.inserts.extend(front.inserts);
        }
        let variant = || Variant {
            ledger: &self.ledger,
            input_from: 0,
            edits: edits.clone(),
            state: StateFault::default(),
        };
        let case = Case {
            variants: [variant(), variant(), variant()],
            // current Codex keeps only ids of the right form; older ones wrote ids they did not send
            exact_ids: false,
            retry: plan::retry(self.strategy),
        };
        let recorded = match (&refusal, self.own) {
            (Some(refusal), true) => Recorded::Refused(refusal),
            _ => Recorded::Nothing,
        };
        let mut worlds = self.worlds;
        let mut judgement = case.judge(&self.rollout.items, &mut worlds, recorded);
        // that an answer stands in the file settles what the contract leaves open, but proves nothing against the
        // contract: the file may have lost what the request carried
        if answered && self.own && matches!(judgement.outcome, Outcome::Depends { .. }) {
            judgement = case.judge(&self.rollout.items, &mut worlds, Recorded::Accepted);
            judgement.agrees = None;
        }
        self.worlds = worlds;
        let finished =
            |call: CallKey| is_finished(&self.ledger, call) || self.ended.contains(&call);
        let mut injected = injected(&judgement.edits, &self.ledger, &finished);
        injected.drain(..self.told.len());
        for made_up in injected.iter().filter(|made_up| made_up.is_false) {
            self.false_calls.insert(made_up.call);
        }
        for &position in &judgement.edits.removed {
            if let Some(slot) = self.ledger.slot(position) {
                self.lost.insert(slot.item);
                if slot.kind.is_output()
                    && slot
                        .call()
                        .is_some_and(|call| !self.ledger.pair(call).is_orphan())
                {
                    self.real_outputs_kept = false;
                }
            }
        }
        self.sent += judgement.sends;
        self.answered = answered;
        let changed = !injected.is_empty() || !judgement.edits.removed.is_empty();
        if answered && !plan.front.is_empty() {
            self.told.clone_from(&judgement.edits.inserts);
            self.memory.sent(true);
            self.memory.over(false);
        }
        let mut shown = Vec::new();
        if let (false, Outcome::Refused(fault) | Outcome::Depends { fault, .. }) =
            (self.pictured, &judgement.outcome)
        {
            shown = picture(&self.ledger, fault, 0);
            self.pictured = true;
        }
        self.judged.push(Judged {
            lane: 0,
            exchange: None,
            turn: self.turn,
            line,
            origin,
            exact: false,
            input_items: self.ledger.len(),
            transport: Transport::Http,
            outcome: judgement.outcome,
            recorded_status: refusal.as_ref().map(|refusal| refusal.status),
            recorded: refusal,
            agrees: judgement.agrees,
            attempts: judgement.sends,
            refusal: judgement.refusal,
            injected,
            removed: judgement.edits.removed,
            changed,
            loops: judgement.loops,
            shown,
        });
    }

    /// Calls answered since the last response began: a client that chains sends those outputs with this request.
    fn answered_since(&self) -> BTreeSet<CallKey> {
        if !matches!(
            self.strategy,
            Strategy::PendingIds | Strategy::PendingAborts
        ) {
            return BTreeSet::new();
        }
        let slots = self.ledger.slots();
        let fresh = slots.get(self.run_from as usize..).unwrap_or(&[]);
        let outputs = fresh.iter().filter(|slot| slot.kind.is_output());
        outputs.filter_map(Slot::call).collect()
    }

    /// Where the input of a client that chains begins.
    fn input_from(&self) -> u32 {
        let mut slots = self.ledger.slots().iter();
        slots
            .rposition(|slot| slot.author == Author::Model)
            .map_or(0, |last| last as u32 + 1)
    }

    /// The request the client would send next, where something at the end asks for one.
    fn probe(&mut self) {
        let last = self.ledger.slots().last().copied();
        let last_is_user = last.is_some_and(|slot| slot.author == Author::User);
        if let Some(line) = self.user_line {
            self.unanswered = Some(line);
        }
        if self.ledger.open().is_empty() && self.user_line.is_none() {
            return;
        }
        let length = self.ledger.len();
        if !last_is_user {
            let user = Item {
                kind: ItemKind::Message,
                author: Author::User,
                flags: Flags::default(),
                call: None,
                id: None,
                line: 0,
                part: 0,
            };
            self.ledger.push(ItemIndex(u32::MAX), &user);
            self.turn += 1;
        }
        self.request(0, Origin::Probe, None, false);
        self.ledger.truncate(length);
    }

    fn conclude(self) -> Run {
        let explained = !self.ledger.open().is_empty() || !self.ledger.orphans().is_empty();
        let score = Score {
            accepted: true,
            real_outputs_kept: self.real_outputs_kept && self.false_calls.is_empty(),
            false_statements: self.false_calls.len() as u32,
            items_lost: self.lost.len() as u32,
            requests_sent: self.sent,
        };
        let mut run = Run::conclude(self.judged, self.worlds, score);
        run.unanswered_user = self.unanswered;
        run.explained = explained && self.rollout.era != Era::E1;
        run
    }
}
