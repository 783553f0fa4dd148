//! Running a session whose requests are known one by one: recordings, and chains rebuilt from state lines.

pub(super) mod forks;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::judge::{Case, Judgement, Recorded, StateFault, Variant};
use super::outgoing::{Outbox, Outgoing};
use super::plan::{self, Memory, Plan, View};
use super::run::{Injected, Judged, Run, Score, Shown, injected, picture};
use super::script::{Ask, Script};
use super::{Options, Strategy};
use crate::clock::{Clock, FixedClock};
use crate::contract::{Outcome, WorldSet};
use crate::endpoint::{Context, Cursor, Endpoint, References};
use crate::ids::{CallKey, ItemIndex, ResponseKey};
use crate::ledger::Led;
use crate::session::exchange::Recording;
use crate::session::tree::{Node, Tree};
use crate::wire::item::{Flags, Item, Items};

/// Statuses that say nothing about the contract (design 4).
fn is_set_aside(status: u16) -> bool {
    matches!(status, 401 | 403 | 408 | 429) || status >= 500
}

/// Runs a recording.
pub(super) fn run(
    recording: &Recording,
    strategy: Strategy,
    worlds: WorldSet,
    options: &Options,
    own: bool,
) -> Run {
    let script = Script::of(recording, options);
    Runner::new(&script, strategy, own, worlds).run()
}

/// Runs requests that were rebuilt.
pub(super) fn run_rebuilt(script: &Script, strategy: Strategy, worlds: WorldSet) -> Run {
    // no client that chains sends only the tail of a history it has mended
    let mut run = Runner::new(script, strategy, false, worlds).run();
    run.unanswered_user = script.unanswered_user;
    run.explained = script.explained;
    run
}

/// Runs requests from the first to the last.
#[cfg(test)]
pub(super) fn run_script(script: &Script, strategy: Strategy, own: bool, worlds: WorldSet) -> Run {
    Runner::new(script, strategy, own, worlds).run()
}

/// The requests of a recording as the strategy sends them.
pub(super) fn outgoing(
    recording: &Recording,
    strategy: Strategy,
    options: &Options,
    own: bool,
) -> Outbox {
    outgoing_of(&Script::of(recording, options), strategy, own)
}

/// The same for requests that were rebuilt.
pub(super) fn outgoing_of(script: &Script, strategy: Strategy, own: bool) -> Outbox {
    let worlds = WorldSet::default();
    let mut runner = Runner::new(script, strategy, own, worlds);
    runner.outgoing = Some(Vec::new());
    for ask in &script.asks {
        runner.ask(ask);
    }
    Outbox {
        tree: runner.endpoint.tree,
        items: script.items.clone(),
        all: runner.outgoing.unwrap_or_default(),
        retry: plan::retry(strategy).into(),
    }
}

/// What a lane's client knows.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// Its history, as items of the endpoint's tree.
    logical: Option<Node>,
    cursor: Cursor,
    memory: Memory,
    /// The turn of its last request.
    turn: Option<u32>,
    /// What of that history the session does not hold.
    hidden: StateFault,
    /// Calls of which it once sent a real output.
    finished: BTreeSet<CallKey>,
    /// Cursors over the server's contexts, one per server.
    held: [Cursor; 3],
    /// The input of its last request.
    input: Option<Node>,
    /// Its last response that was complete.
    last: Option<ResponseKey>,
}

impl Lane {
    fn knowing(led: &Arc<Led>) -> Self {
        Self {
            held: [(), (), ()].map(|()| Cursor::knowing(Arc::clone(led))),
            ..Self::default()
        }
    }

    /// Notes what of a request's context is not on file: a whole history holds nothing else, others go on from there.
    fn hides(&mut self, found: &StateFault, whole: bool) {
        if whole {
            self.hidden = StateFault::default();
        }
        self.hidden.unknown |= found.unknown || found.partial;
        self.hidden.partial |= found.partial;
        self.hidden.unknown_reference |= found.unknown_reference;
    }
}

/// A request and what it means.
struct Arrived {
    contexts: [Context; 3],
    /// The history as the client knows it, the request's own items included.
    logical: Node,
    new_turn: bool,
    /// Whether the request carries all of that history itself.
    whole: bool,
}

struct Runner<'a> {
    script: &'a Script,
    strategy: Strategy,
    /// Whether the strategy is the client's own.
    own: bool,
    worlds: WorldSet,
    endpoint: Endpoint,
    references: References,
    lanes: BTreeMap<u32, Lane>,
    /// The logical history behind each response, and how many responses of its lane were complete then.
    logical_at: BTreeMap<ResponseKey, (Node, u32, u32)>,
    complete: BTreeMap<u32, u32>,
    judged: Vec<Judged>,
    of_ask: Vec<usize>,
    false_calls: BTreeSet<CallKey>,
    lost: BTreeSet<(u32, ItemIndex)>,
    pictured: bool,
    clock: FixedClock,
    score: Score,
    /// What goes out, where somebody wants to send it.
    outgoing: Option<Vec<Outgoing>>,
}

impl<'a> Runner<'a> {
    fn new(script: &'a Script, strategy: Strategy, own: bool, worlds: WorldSet) -> Self {
        Self {
            script,
            strategy,
            own,
            worlds,
            endpoint: Endpoint::new(script.tree.clone(), &script.items),
            references: References::new(&script.items),
            lanes: BTreeMap::new(),
            logical_at: BTreeMap::new(),
            complete: BTreeMap::new(),
            judged: Vec::new(),
            of_ask: Vec::new(),
            false_calls: BTreeSet::new(),
            lost: BTreeSet::new(),
            pictured: false,
            clock: FixedClock::default(),
            score: Score {
                accepted: true,
                real_outputs_kept: true,
                false_statements: 0,
                items_lost: 0,
                requests_sent: 0,
            },
            outgoing: None,
        }
    }

    fn run(mut self) -> Run {
        for ask in &self.script.asks {
            self.ask(ask);
        }
        self.score.false_statements = self.false_calls.len() as u32;
        self.score.items_lost = self.lost.len() as u32;
        self.score.real_outputs_kept &= self.false_calls.is_empty();
        let mut run = Run::conclude(self.judged, self.worlds, self.score);
        run.waited = self.clock.now();
        run
    }

    fn ask(&mut self, ask: &Ask) {
        let mut lane = self
            .lanes
            .remove(&ask.incoming.lane)
            .unwrap_or_else(|| Lane::knowing(&self.script.led));
        let arrived = self.arrive(ask, &mut lane);
        if ask.proven {
            if let Some(outgoing) = &mut self.outgoing {
                let [_, sent, _] = &arrived.contexts;
                outgoing.push(Outgoing::as_it_is(ask, sent));
            }
            self.push_proven(ask, self.endpoint.tree.len(ask.incoming.input));
        } else {
            self.judge(ask, &mut lane, &arrived);
        }
        self.remember_answer(ask, &mut lane, &arrived);
        self.lanes.insert(ask.incoming.lane, lane);
    }

    /// Looks up what a request means, and brings its lane up to it.
    fn arrive(&mut self, ask: &Ask, lane: &mut Lane) -> Arrived {
        let script = self.script;
        let get = |index: ItemIndex| script.items.get(index).copied();
        if ask.restarted {
            lane.memory = Memory::default();
        }
        let contexts = self.endpoint.contexts(&get, &ask.incoming);
        let new_turn = ask.attempt_of.is_none() && lane.turn != Some(ask.turn);
        lane.turn = Some(ask.turn);
        let whole = self.remember_request(ask, lane);
        let input = ask.incoming.input;
        let before = lane.input.replace(input).unwrap_or(Node::ROOT);
        // what it has in common with the lane's last input was seen then
        let sent = self.endpoint.tree.items_apart(input, before);
        let sent = sent.iter().filter_map(|index| script.items.get(*index));
        let real = sent.filter(|item| item.kind.is_output() && !item.flags.has(Flags::ABORTED));
        lane.finished.extend(real.filter_map(|item| item.call));
        let [context, ..] = &contexts;
        lane.hides(&StateFault::of(context, None, true), whole);
        Arrived {
            contexts,
            logical: lane.logical.unwrap_or(input),
            new_turn,
            whole,
        }
    }

    fn push_proven(&mut self, ask: &Ask, input_items: u32) {
        self.of_ask.push(self.judged.len());
        self.score.requests_sent += 1;
        self.judged.push(blank(ask, input_items, Outcome::Accepted));
    }

    fn judge(&mut self, ask: &Ask, lane: &mut Lane, arrived: &Arrived) {
        let Arrived {
            contexts,
            logical,
            new_turn,
            whole,
        } = arrived;
        let (logical, new_turn, whole) = (*logical, *new_turn, *whole);
        let script = self.script;
        let get = |index: ItemIndex| script.items.get(index).copied();
        let tree = &self.endpoint.tree;
        let Lane {
            cursor,
            held,
            memory,
            finished,
            hidden,
            ..
        } = lane;
        let references = &self.references;
        let known = |index: ItemIndex| references.get(&script.items, index);
        let answered = match self.strategy {
            Strategy::PendingAborts | Strategy::PendingIds => {
                answered_of(tree, &get, held, contexts, memory)
            }
            _ => BTreeSet::new(),
        };
        let ledger = cursor.go(tree, &known, logical);
        let view = View {
            sees_all: !hidden.unknown,
            logical: ledger,
            answered: &answered,
            new_turn,
            again: ask.attempt_of.is_some(),
            partial: !whole,
            memory,
        };
        let plan = plan::plan(self.strategy, &view);
        // a client that normalises its prompt sends only the tail of it where nothing had to be mended
        let as_is = self.own && self.strategy == Strategy::Normalize && plan.edits.is_empty();
        let on_history = !as_is && (plan.whole_history || !plan.edits.is_empty());
        if let Some(outgoing) = &mut self.outgoing {
            let [_, sent, _] = contexts;
            let mut one = Outgoing::as_it_is(ask, sent);
            if on_history {
                one.instead(
                    logical,
                    plan.edits.clone(),
                    hidden.unknown || hidden.partial,
                );
            } else {
                one.edits = plan.front_edits(sent.held);
            }
            outgoing.push(one);
        }
        let variants = if on_history {
            [0, 1, 2].map(|_| Variant {
                ledger,
                input_from: 0,
                edits: plan.edits.clone(),
                state: *hidden,
            })
        } else {
            sent_variants(tree, &get, held, contexts, &plan, ask)
        };
        let case = Case {
            variants,
            exact_ids: ask.exact && !on_history,
            retry: plan::retry(self.strategy),
        };
        let unchanged = !on_history && plan.front.is_empty();
        let recorded = match (&ask.refusal, unchanged) {
            (Some(refusal), true) if !is_set_aside(refusal.status) => Recorded::Refused(refusal),
            (None, true) if ask.answered => Recorded::Accepted,
            _ => Recorded::Nothing,
        };
        let mut judgement = self.judge_case(&case, recorded);
        // what the session does not hold, the recorded answer knew
        if unchanged && ask.answered && judgement.outcome == Outcome::Unknown {
            judgement.outcome = Outcome::Accepted;
        }
        if unchanged && matches!(judgement.outcome, Outcome::Refused(_)) {
            judgement.sends += script.budget.spend(&mut self.clock);
        }
        let shown = case
            .variants
            .get(judgement.variant)
            .map_or(ledger, |variant| variant.ledger);
        let input_from = case
            .variants
            .get(judgement.variant)
            .map_or(0, |variant| variant.input_from);
        let injected = injected(&judgement.edits, input_from, &|call| {
            finished.contains(&call)
        });
        for made_up in injected.iter().filter(|made_up| made_up.is_false) {
            self.false_calls.insert(made_up.call);
        }
        for &position in &judgement.edits.removed {
            if let Some(slot) = shown.slot(position) {
                self.lost.insert((ask.incoming.lane, slot.item));
                // an orphan's output answers nothing and cannot be kept by anyone
                let answers = slot
                    .call()
                    .is_some_and(|call| !shown.pair(call).is_orphan());
                if slot.kind.is_output() && answers && !slot.flags.has(Flags::ABORTED) {
                    self.score.real_outputs_kept = false;
                }
            }
        }
        let input_items = if on_history {
            ledger.len()
        } else {
            self.endpoint.tree.len(ask.incoming.input)
        };
        // it answers a call that is not on file: what it would send is another request than the recorded one
        let answers = unchanged
            && judgement.outcome == Outcome::Unknown
            && (ask.refusal.as_ref()).is_some_and(|refusal| case.retry.answers(refusal));
        let changed = on_history || answers || !judgement.edits.is_empty();
        let mut pictured = Vec::new();
        if let (false, Outcome::Refused(fault) | Outcome::Depends { fault, .. }) =
            (self.pictured, &judgement.outcome)
        {
            pictured = picture(shown, fault, input_from);
            self.pictured = true;
        }
        self.record(ask, judgement, injected, input_items, changed, pictured);
    }

    /// Judges; a strategy that answers refusals meets the recorded one first and then goes its own way.
    fn judge_case(&mut self, case: &Case<'_>, recorded: Recorded<'_>) -> Judgement {
        super::judge::judge_case(&self.script.items, &mut self.worlds, case, recorded)
    }

    fn record(
        &mut self,
        ask: &Ask,
        judgement: Judgement,
        injected: Vec<Injected>,
        input_items: u32,
        changed: bool,
        shown: Vec<Shown>,
    ) {
        self.score.requests_sent += judgement.sends;
        let judged = Judged {
            outcome: judgement.outcome,
            agrees: judgement.agrees,
            attempts: judgement.sends,
            refusal: judgement.refusal,
            injected: injected.into(),
            removed: judgement.edits.removed.into(),
            changed,
            loops: judgement.loops,
            shown,
            exact: ask.exact && !changed,
            ..blank(ask, input_items, Outcome::Accepted)
        };
        let first = ask
            .attempt_of
            .filter(|_| !ask.apart)
            .and_then(|first| self.of_ask.get(first).copied());
        if let Some(first_judged) = first.and_then(|first| self.judged.get_mut(first)) {
            let attempts = first_judged.attempts + judged.attempts;
            let agrees = match (first_judged.agrees, judged.agrees) {
                (Some(a), Some(b)) => Some(a && b),
                (a, b) => a.or(b),
            };
            let refusal = judged.refusal.or(first_judged.refusal);
            let recorded = judged.recorded.clone().or(first_judged.recorded.take());
            let recorded_status = judged.recorded_status.or(first_judged.recorded_status);
            let changed = first_judged.changed || judged.changed;
            let shown = std::mem::take(&mut first_judged.shown);
            let identity = (first_judged.exchange, first_judged.line);
            *first_judged = Judged {
                attempts,
                agrees,
                refusal,
                recorded,
                recorded_status,
                changed,
                exchange: identity.0,
                line: identity.1,
                shown: if shown.is_empty() {
                    judged.shown.clone()
                } else {
                    shown
                },
                ..judged
            };
            self.of_ask.push(first.unwrap_or(0));
        } else {
            self.of_ask.push(self.judged.len());
            self.judged.push(judged);
        }
    }
}

/// The request as sent, as each of the three servers sees it.
fn sent_variants<'a>(
    tree: &Tree,
    get: &dyn Fn(ItemIndex) -> Option<Item>,
    held: &'a mut [Cursor; 3],
    contexts: &[Context; 3],
    plan: &Plan,
    ask: &Ask,
) -> [Variant<'a>; 3] {
    let [nothing, sent, all] = contexts;
    let [first, second, third] = held;
    first.go(tree, get, nothing.node);
    if sent.node != nothing.node {
        second.go(tree, get, sent.node);
    }
    if all.node != nothing.node && all.node != sent.node {
        third.go(tree, get, all.node);
    }
    let (first, second, third) = (&*first, &*second, &*third);
    let sent_cursor = if sent.node == nothing.node {
        first
    } else {
        second
    };
    let all_cursor = match all.node {
        node if node == nothing.node => first,
        node if node == sent.node => second,
        _ => third,
    };
    [(nothing, first), (sent, sent_cursor), (all, all_cursor)].map(|(context, cursor)| Variant {
        ledger: cursor.ledger(),
        input_from: context.held,
        edits: plan.front_edits(context.held),
        state: StateFault::of(context, ask.incoming.previous, ask.incoming.store),
    })
}

/// The calls in a client's memory that a request's own input answers.
fn answered_of(
    tree: &Tree,
    get: &dyn Fn(ItemIndex) -> Option<Item>,
    held: &mut [Cursor; 3],
    contexts: &[Context; 3],
    memory: &Memory,
) -> BTreeSet<CallKey> {
    let ([context, ..], [cursor, ..]) = (contexts, held);
    let mut noted = memory.noted().peekable();
    if noted.peek().is_none() {
        return BTreeSet::new();
    }
    let ledger = cursor.go(tree, get, context.node);
    let answers = |call: &CallKey| {
        let mut uses = ledger.uses(*call);
        uses.any(|(position, slot)| position >= context.held && slot.kind.is_output())
    };
    noted.filter(answers).collect()
}

/// The calls that a request's own input answers.
fn answered_by(items: &Items, input: &[ItemIndex]) -> BTreeSet<CallKey> {
    input
        .iter()
        .filter_map(|index| items.get(*index))
        .filter(|item| item.kind.is_output())
        .filter_map(|item| item.call)
        .collect()
}

fn blank(ask: &Ask, input_items: u32, outcome: Outcome) -> Judged {
    Judged {
        lane: ask.incoming.lane,
        exchange: ask.exchange,
        turn: ask.turn,
        line: ask.line,
        origin: ask.origin,
        exact: ask.exact,
        input_items,
        transport: ask.transport,
        outcome,
        recorded_status: ask.status,
        recorded: ask.refusal.clone(),
        agrees: None,
        attempts: 1,
        refusal: None,
        injected: Arc::default(),
        removed: Arc::default(),
        changed: false,
        loops: false,
        shown: Vec::new(),
        live: None,
    }
}
