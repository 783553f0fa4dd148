//! Running a rollout whose client sends the whole history each time.
//!
//! In front of each run of model-made items stood a request: its input is the effective history up to there. One ledger
//! follows the file; no request is ever built, so the work is linear in the file.

pub(super) mod forks;
mod memo;

use std::collections::BTreeSet;
use std::sync::Arc;

use memo::Memo;

use super::judge::{Case, Recorded, StateFault, Variant};
use super::plan::{self, Memory, View};
use super::retries::Budget;
use super::run::{self, Injected, Judged, Origin, Run, Score, is_finished, picture};
use super::{Keep, Options, Probe, Strategy};
use crate::clock::{Clock, FixedClock};
use crate::contract::{Facts, Fault, Outcome, Reads, WorldSet, same_fault};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::ledger::{Edits, Insert, Ledger, Slot};
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
    keep: Keep,
) -> Run {
    let mut runner = Runner::new(rollout, strategy, worlds, own, keep);
    runner.walk();
    if options.probe != Probe::Never {
        runner.probe();
    }
    runner.conclude()
}

/// Whether a request says anything that the one kept before it does not.
fn tells_more(judged: &Judged, last: Option<&Judged>) -> bool {
    if judged.recorded.is_some() || judged.agrees.is_some() || judged.loops {
        return true;
    }
    let alike = |last: &Judged| match (&judged.outcome, &last.outcome) {
        (Outcome::Accepted, Outcome::Accepted) => judged.changed == last.changed,
        (Outcome::Refused(fault), Outcome::Refused(last)) => same_fault(fault, last),
        (Outcome::Unknown, Outcome::Unknown) => true,
        _ => false,
    };
    let is_clean = judged.outcome == Outcome::Accepted && !judged.changed;
    !is_clean && !last.is_some_and(alike)
}

/// What of a request is looked at: the whole history is its input. Current Codex keeps only ids of the right form;
/// older ones wrote ids they did not send.
const READS: Reads = Reads {
    input_from: 0,
    exact_ids: false,
};

/// What is said of one request.
#[derive(Clone)]
struct Found {
    outcome: Outcome,
    agrees: Option<bool>,
    refusal: Option<Fault>,
    sends: u32,
    loops: bool,
    injected: Arc<[Injected]>,
    removed: Arc<[u32]>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what was seen of a turn, each by itself"
)]
struct Runner<'a> {
    rollout: &'a Rollout,
    strategy: Strategy,
    own: bool,
    keep: Keep,
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
    /// Whether a message or an output waits for the model.
    waiting: bool,
    /// Whether a turn began that did not end yet.
    in_turn: bool,
    /// The line on which a turn ended without an error although something waited for the model.
    silent_end: Option<LineNo>,
    /// Tools that ended, by the file's own events.
    ended: Vec<bool>,
    false_calls: BTreeSet<CallKey>,
    /// By item, whether a request was sent without it; empty as long as there is none.
    lost: Vec<bool>,
    items_lost: u32,
    real_outputs_kept: bool,
    pictured: bool,
    sent: u32,
    budget: Budget,
    clock: FixedClock,
    /// The place of the last user message.
    user: Option<u32>,
    memo: Option<Memo>,
    nothing_injected: Arc<[Injected]>,
    nothing_removed: Arc<[u32]>,
    /// What is asked beside the walk, if anything is.
    forks: Option<Box<forks::Forks<'a>>>,
}

impl<'a> Runner<'a> {
    fn new(
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
            forks: None,
        }
    }
}

impl Runner<'_> {
    fn walk(&mut self) {
        let rollout = self.rollout;
        let mut effective = Effective::new(rollout.era);
        for (at, step) in (0..).zip(&rollout.steps) {
            match step {
                Step::Item(index) => self.before_item(*index),
                Step::Meta(_) => self.boundary(),
                Step::TurnStarted(_) => {
                    self.boundary();
                    if std::mem::replace(&mut self.in_turn, true) {
                        // the turn before never ended: the process did, and with it what it remembered
                        self.memory = Memory::default();
                    }
                }
                Step::TurnAborted(..) => {
                    self.waiting = false;
                    self.in_turn = false;
                    self.boundary();
                    self.memory.over(true);
                }
                Step::TurnComplete(line, error) => self.turn_complete(*line, *error),
                Step::ResponseEnded(..) => self.response_over = true,
                Step::ToolEnded(_, call) => {
                    if let Some(ended) = self.ended.get_mut(call.index())
                        && !*ended
                    {
                        *ended = true;
                        let is_mended = |memo: &Memo| memo.mends(*call);
                        self.memo = self.memo.take().filter(|memo| !is_mended(memo));
                        if let Some(forks) = &mut self.forks {
                            forks.ended(*call);
                        }
                    }
                }
                _ => {}
            }
            match effective.apply(&rollout.items, step) {
                Change::None => {}
                Change::Pushed(index) => self.push(index),
                Change::Truncated(length) => {
                    self.forget_places();
                    self.ledger.truncate(length as u32);
                    self.told.retain(|insert| insert.before <= length as u32);
                    self.boundary();
                    self.waiting = false;
                    self.user_line = None;
                }
                Change::Replaced => {
                    self.forget_places();
                    self.ledger.truncate(0);
                    self.told.clear();
                    for index in effective.path() {
                        self.push(*index);
                    }
                    self.boundary();
                    self.waiting = false;
                    self.user_line = None;
                }
            }
            if self.forks.is_some() {
                self.fork_at(at);
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
        // a turn that ends by itself ends with the model; versions that write no error end like this after one
        if message.is_none() && self.waiting {
            self.silent_end = Some(line);
        }
        self.waiting = false;
        self.in_turn = false;
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
                self.waiting = false;
                self.in_run = true;
                self.since_run = false;
                self.response_over = false;
                self.user_line = None;
                if let (true, Some(call)) = (item.kind.is_call(), item.call) {
                    self.run_calls.push(call);
                    self.memory.called(call, item.kind);
                }
            }
            Author::User => self.before_user(item.line),
            Author::Client => {
                self.since_run = true;
                self.waiting |= item.kind.is_output();
            }
        }
    }

    fn before_user(&mut self, line: LineNo) {
        if let Some(line) = self.user_line {
            self.unanswered = Some(line);
        }
        self.boundary();
        // a client that writes no aborts knows of an unfinished turn by the calls that this turn left
        if self.memory.left_open(&self.ledger) {
            self.memory.over(true);
        }
        self.waiting = true;
        self.turn += 1;
        self.user_line = Some(line);
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
            if item.author == Author::User {
                self.user = Some(self.ledger.len());
            }
            self.ledger.push(index, item);
        }
    }

    /// Places are about to mean other items.
    fn forget_places(&mut self) {
        self.memo = None;
        self.user = None;
        if let Some(forks) = &mut self.forks {
            forks.forget_places();
        }
    }

    fn request(
        &mut self,
        line: LineNo,
        origin: Origin,
        refusal: Option<RecordedRefusal>,
        answered: bool,
    ) {
        let recorded = match (&refusal, self.own) {
            (Some(refusal), true) => Recorded::Refused(refusal),
            _ => Recorded::Nothing,
        };
        let is_plain = matches!(recorded, Recorded::Nothing) && !self.rollout.incomplete;
        let mut judgement = if is_plain && Memo::helps(self) {
            self.judge_again(answered)
        } else {
            let (edits, fronted) = self.plan(origin);
            let inserts = edits.inserts.clone();
            let found = self.judge(edits, None, recorded, answered);
            if answered && fronted {
                self.told = inserts;
            }
            found
        };
        if self.user_line.is_some() {
            // what the last turn left is carried once, then forgotten
            self.memory.over(false);
        }
        if self.own && matches!(judgement.outcome, Outcome::Refused(_)) {
            judgement.sends += self.budget.spend(&mut self.clock);
        }
        self.sent += judgement.sends;
        self.answered = answered;
        let mut shown = Vec::new();
        if let (false, Outcome::Refused(fault) | Outcome::Depends { fault, .. }) =
            (self.pictured, &judgement.outcome)
        {
            shown = picture(&self.ledger, fault, 0);
            self.pictured = true;
        }
        let judged = Judged {
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
            changed: !judgement.injected.is_empty() || !judgement.removed.is_empty(),
            injected: judgement.injected,
            removed: judgement.removed,
            loops: judgement.loops,
            shown,
        };
        let aside = self.forks.as_ref().is_some_and(|forks| forks.asking);
        if aside || self.keep == Keep::All || tells_more(&judged, self.judged.last()) {
            self.judged.push(judged);
        }
    }

    /// The changes that the strategy makes before sending, and whether it puts outputs in front of the input.
    fn plan(&self, origin: Origin) -> (Edits, bool) {
        let answered = self.answered_since();
        let view = View {
            logical: &self.ledger,
            answered: &answered,
            new_turn: self.user_line.is_some() || origin == Origin::Probe,
            again: false,
            partial: false,
            sees_all: !self.rollout.incomplete,
            memory: &self.memory,
        };
        let plan = plan::plan(self.strategy, &view);
        let fronted = !plan.front.is_empty();
        let mut edits = plan.edits.clone();
        edits.inserts.splice(..0, self.told.iter().copied());
        if fronted {
            // outputs in front stand behind what the server holds: all up to what the model made last
            let front = plan.front_edits(self.input_from());
            edits.inserts.extend(front.inserts);
        }
        (edits, fronted)
    }

    /// Judges the history with `edits` made to it; `facts` where they are known.
    fn judge(
        &mut self,
        edits: Edits,
        facts: Option<&Facts>,
        recorded: Recorded<'_>,
        answered: bool,
    ) -> Found {
        let mut facts = match facts {
            Some(facts) => *facts,
            None => Facts::read(&self.ledger, &edits, READS),
        };
        // the calls may stand in a beginning that was not found
        facts.unknown_state |= self.rollout.incomplete && facts.orphans.first.is_some();
        let variant = |edits: Edits| Variant {
            ledger: &self.ledger,
            input_from: READS.input_from,
            edits,
            state: StateFault::default(),
        };
        let case = Case {
            variants: [
                variant(edits.clone()),
                variant(edits.clone()),
                variant(edits),
            ],
            exact_ids: READS.exact_ids,
            retry: plan::retry(self.strategy),
        };
        let facts = [facts; 3];
        let items = &self.rollout.items;
        let mut worlds = self.worlds;
        let mut judgement = case.judge_facts(items, &mut worlds, recorded, case.retry, &facts);
        // that an answer stands in the file settles what the contract leaves open, but proves nothing against the
        // contract: the file may have lost what the request carried
        if answered && self.own && matches!(judgement.outcome, Outcome::Depends { .. }) {
            let accepted = Recorded::Accepted;
            judgement = case.judge_facts(items, &mut worlds, accepted, case.retry, &facts);
            judgement.agrees = None;
        }
        // the file itself shows that this request got through: what the contract misses, the file has lost since
        if answered && self.own && matches!(judgement.outcome, Outcome::Refused(_)) {
            judgement.outcome = Outcome::Accepted;
        }
        self.worlds = worlds;
        let edits = judgement.edits;
        let mut injected = self.nothing_injected.clone();
        if !edits.inserts.is_empty() {
            let finished = |call: CallKey| {
                is_finished(&self.ledger, call)
                    || self.ended.get(call.index()).copied() == Some(true)
            };
            let all = run::injected(&edits, READS.input_from, &finished);
            injected = all.into_iter().skip(self.told.len()).collect();
        }
        for made_up in injected.iter().filter(|made_up| made_up.is_false) {
            self.false_calls.insert(made_up.call);
        }
        // what is asked beside the walk is told apart
        let aside = self.forks.as_ref().is_some_and(|forks| forks.asking);
        let counted = if aside { &[][..] } else { &edits.removed[..] };
        if !counted.is_empty() && self.lost.is_empty() {
            self.lost = vec![false; self.rollout.items.len()];
        }
        for &position in counted {
            if let Some(slot) = self.ledger.slot(position)
                && let Some(lost) = self.lost.get_mut(slot.item.0 as usize)
            {
                self.items_lost += u32::from(!*lost);
                *lost = true;
            }
        }
        self.real_outputs_kept &= self.keeps_real(counted);
        let mut removed = self.nothing_removed.clone();
        if !edits.removed.is_empty() {
            removed = edits.removed.into();
        }
        Found {
            outcome: judgement.outcome,
            agrees: judgement.agrees,
            refusal: judgement.refusal,
            sends: judgement.sends,
            loops: judgement.loops,
            injected,
            removed,
        }
    }

    /// Whether no item at these places is the real output of a call that stands in the history.
    fn keeps_real(&self, removed: &[u32]) -> bool {
        removed.iter().all(|position| {
            self.ledger.slot(*position).is_none_or(|slot| {
                let answers = slot
                    .call()
                    .is_some_and(|call| !self.ledger.pair(call).is_orphan());
                !(slot.kind.is_output() && answers && !slot.flags.has(Flags::ABORTED))
            })
        })
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
            items_lost: self.items_lost,
            requests_sent: self.sent,
        };
        let mut run = Run::conclude(self.judged, self.worlds, score);
        run.unanswered_user = self.unanswered;
        run.silent_end = self.silent_end;
        run.waited = self.clock.now();
        run.explained = explained && self.rollout.era != Era::E1;
        run
    }
}
