//! Running a rollout whose client sends the whole history each time.
//!
//! In front of each run of model-made items stood a request: its input is the effective history up to there. One ledger
//! follows the file; no request is ever built, so the work is linear in the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::judge::{Case, Recorded, StateFault, Variant};
use super::plan::{self, Memory, View};
use super::run::{Injected, Judged, Origin, Run, Score, picture};
use super::wire::{self, is_finished};
use super::{Keep, Options, Probe, Strategy};
use crate::contract::{Facts, Fault, Outcome, Reads, WorldSet, same_fault};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::ledger::{Edits, Ledger, Pair};
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
    let mut runner = Runner {
        rollout,
        strategy,
        own,
        keep,
        worlds,
        ledger: Ledger::for_items(&rollout.items),
        memory: Memory::default(),
        judged: Vec::new(),
        run_calls: Vec::new(),
        in_run: false,
        since_run: false,
        response_over: false,
        answered: true,
        turn: 0,
        user_line: None,
        unanswered: None,
        ended: vec![false; rollout.items.call_count()],
        false_calls: BTreeSet::new(),
        lost: Vec::new(),
        items_lost: 0,
        real_outputs_kept: true,
        pictured: false,
        sent: 0,
        user: None,
        memo: None,
        nothing_injected: Arc::default(),
        nothing_removed: Arc::default(),
    };
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

/// The last request with something to mend.
///
/// A call that stays open is mended in every later request in the same way. Without a memory of it, work and result
/// would grow with the open calls times the requests. Only items added at the end leave it valid.
struct Memo {
    pairs: Pairs,
    edits: Edits,
    of_pairs: Facts,
    /// What was found, with the facts, the worlds and whether the request was answered.
    judged: Option<(Found, Facts, WorldSet, bool)>,
}

impl Memo {
    fn mends(&self, call: CallKey) -> bool {
        self.judged
            .as_ref()
            .is_some_and(|(found, ..)| found.injected.iter().any(|made_up| made_up.call == call))
    }

    /// Whether plans of the strategy follow from the pairs alone, and there is something to plan.
    fn helps(runner: &Runner<'_>) -> bool {
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

struct Runner<'a> {
    rollout: &'a Rollout,
    strategy: Strategy,
    own: bool,
    keep: Keep,
    worlds: WorldSet,
    ledger: Ledger,
    memory: Memory,
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
    ended: Vec<bool>,
    false_calls: BTreeSet<CallKey>,
    /// By item, whether a request was sent without it; empty as long as there is none.
    lost: Vec<bool>,
    items_lost: u32,
    real_outputs_kept: bool,
    pictured: bool,
    sent: u32,
    /// The place of the last user message.
    user: Option<u32>,
    memo: Option<Memo>,
    nothing_injected: Arc<[Injected]>,
    nothing_removed: Arc<[u32]>,
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
                    if let Some(ended) = self.ended.get_mut(call.index())
                        && !*ended
                    {
                        *ended = true;
                        let is_mended = |memo: &Memo| memo.mends(*call);
                        self.memo = self.memo.take().filter(|memo| !is_mended(memo));
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
                    self.boundary();
                    self.user_line = None;
                }
                Change::Replaced => {
                    self.forget_places();
                    self.ledger.truncate(0);
                    for index in effective.path() {
                        self.push(*index);
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
        let judgement = if matches!(recorded, Recorded::Nothing) && Memo::helps(self) {
            self.judge_again(answered)
        } else {
            let edits = self.plan(origin);
            self.judge(edits, None, recorded, answered)
        };
        if self.user_line.is_some() {
            // what the last turn left is carried once, then forgotten
            self.memory.over(false);
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
        if self.keep == Keep::All || tells_more(&judged, self.judged.last()) {
            self.judged.push(judged);
        }
    }

    /// The changes that the strategy makes before sending.
    fn plan(&self, origin: Origin) -> Edits {
        let nothing = BTreeSet::new();
        let view = View {
            logical: &self.ledger,
            answered: &nothing,
            new_turn: self.user_line.is_some() || origin == Origin::Probe,
            partial: false,
            memory: &self.memory,
        };
        let plan = plan::plan(self.strategy, &view);
        if plan.front.is_empty() {
            plan.edits
        } else {
            plan.front_edits(0)
        }
    }

    /// Judges the history with `edits` made to it; `facts` where they are known.
    fn judge(
        &mut self,
        edits: Edits,
        facts: Option<&Facts>,
        recorded: Recorded<'_>,
        answered: bool,
    ) -> Found {
        let facts = match facts {
            Some(facts) => *facts,
            None => Facts::read(&self.ledger, &edits, READS),
        };
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
        self.worlds = worlds;
        let edits = judgement.edits;
        let mut injected = self.nothing_injected.clone();
        if !edits.inserts.is_empty() {
            let finished = |call: CallKey| {
                is_finished(&self.ledger, call)
                    || self.ended.get(call.index()).copied() == Some(true)
            };
            injected = wire::injected(&edits, &self.ledger, &finished).into();
        }
        for made_up in injected.iter().filter(|made_up| made_up.is_false) {
            self.false_calls.insert(made_up.call);
        }
        if !edits.removed.is_empty() && self.lost.is_empty() {
            self.lost = vec![false; self.rollout.items.len()];
        }
        for &position in &edits.removed {
            if let Some(slot) = self.ledger.slot(position) {
                if let Some(lost) = self.lost.get_mut(slot.item.0 as usize) {
                    self.items_lost += u32::from(!*lost);
                    *lost = true;
                }
                if slot.kind.is_output()
                    && slot
                        .call()
                        .is_some_and(|call| !self.ledger.pair(call).is_orphan())
                {
                    self.real_outputs_kept = false;
                }
            }
        }
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

    /// The same as planning and judging anew; where the history has the same open calls and orphans as at the request
    /// before, what was found then is used again.
    fn judge_again(&mut self, answered: bool) -> Found {
        let pairs = Pairs::of(&self.ledger);
        let known = match (self.memo.take(), &pairs) {
            (Some(memo), Some(pairs)) if *pairs == memo.pairs => Some(memo),
            _ => None,
        };
        let (edits, of_pairs, old) = if let Some(memo) = known {
            (memo.edits, memo.of_pairs, memo.judged)
        } else {
            let edits = self.plan(Origin::Rebuilt);
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
    fn plan_lasts(&self) -> bool {
        // the forgotten answer of the last open call may still go on
        let last_open = self.ledger.open().keys().next_back();
        self.strategy != Strategy::DropTurn || last_open.is_none_or(|open| Some(*open) < self.user)
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
        run.explained = explained && self.rollout.era != Era::E1;
        run
    }
}
