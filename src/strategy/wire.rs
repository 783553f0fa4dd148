//! Running a session whose requests are known one by one: recordings, and chains rebuilt from state lines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::judge::{Case, Judgement, Recorded, Retry, StateFault, Variant};
use super::plan::{self, Memory, Plan, View};
use super::run::{Injected, Judged, Origin, Run, Score, Shown, picture};
use super::{Options, Probe, Strategy};
use crate::contract::{Outcome, WorldSet};
use crate::endpoint::{Answered, Context, Cursor, Endpoint, Incoming};
use crate::ids::{CallKey, ItemIndex, LineNo, ResponseKey};
use crate::ledger::{Edits, Ledger};
use crate::session::exchange::{
    Exchange, Purpose, RecordedRefusal, Recording, Terminal, Transport,
};
use crate::session::tree::{Node, Tree};
use crate::wire::item::{Author, Flags, Item, ItemKind, Items};

/// Requests one by one, with what is known of their answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) items: Items,
    /// Fingerprints of the items' meaning; empty where equal items are the same item anyway.
    pub(super) fingerprints: Vec<u64>,
    pub(super) tree: Tree,
    pub(super) asks: Vec<Ask>,
    pub(super) unanswered_user: Option<LineNo>,
    pub(super) explained: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) incoming: Incoming,
    pub(super) exchange: Option<u32>,
    pub(super) turn: u32,
    pub(super) line: LineNo,
    pub(super) origin: Origin,
    pub(super) exact: bool,
    pub(super) transport: Transport,
    /// The ask of which this is a further attempt.
    pub(super) attempt_of: Option<usize>,
    /// The file itself shows that it was answered; its own damage is no evidence against that.
    pub(super) proven: bool,
    pub(super) status: Option<u16>,
    pub(super) refusal: Option<RecordedRefusal>,
    pub(super) response: Option<ResponseKey>,
    /// Whether an answer began.
    pub(super) answered: bool,
    /// Whether it reached its end.
    pub(super) complete: bool,
    pub(super) done: Vec<ItemIndex>,
    pub(super) half: Vec<ItemIndex>,
}

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
    let mut script = Script {
        items: recording.items.clone(),
        fingerprints: recording.fingerprints.clone(),
        tree: recording.tree.clone(),
        ..Script::default()
    };
    let mut places: BTreeMap<u32, usize> = BTreeMap::new();
    for (index, exchange) in recording.exchanges.iter().enumerate() {
        if exchange.purpose == Purpose::NotJudged || !exchange.request.whole {
            continue;
        }
        let first = exchange.first_attempt;
        let attempt_of = (first as usize != index)
            .then(|| places.get(&first).copied())
            .flatten();
        places.insert(index as u32, script.asks.len());
        script.asks.push(ask_of(exchange, attempt_of));
    }
    if options.probe == Probe::Always {
        add_probes(&mut script);
    }
    Runner::new(&script, strategy, own, worlds).run()
}

/// Runs requests that were rebuilt.
pub(super) fn run_rebuilt(script: &Script, strategy: Strategy, worlds: WorldSet) -> Run {
    let mut run = Runner::new(script, strategy, true, worlds).run();
    run.unanswered_user = script.unanswered_user;
    run.explained = script.explained;
    run
}

fn ask_of(exchange: &Exchange, attempt_of: Option<usize>) -> Ask {
    let (request, answer) = (&exchange.request, &exchange.answer);
    Ask {
        incoming: Incoming {
            lane: exchange.lane,
            previous: request.previous,
            conversation: request.conversation,
            store: request.store.unwrap_or(true),
            connection: exchange.connection,
            input: request.input,
        },
        exchange: Some(exchange.number),
        turn: exchange.turn,
        line: exchange.line,
        origin: Origin::Recorded,
        exact: true,
        transport: exchange.transport,
        attempt_of,
        proven: false,
        status: answer.status,
        refusal: answer.refusal.clone(),
        response: answer.response,
        answered: answer.refusal.is_none()
            && (answer
                .status
                .is_some_and(|status| (200..300).contains(&status))
                || answer.response.is_some()),
        complete: matches!(answer.terminal, Some(Terminal::Completed)),
        done: answer.done.clone(),
        half: answer.half.clone(),
    }
}

/// One further request on every lane: the user goes on.
fn add_probes(script: &mut Script) {
    let mut last: BTreeMap<u32, usize> = BTreeMap::new();
    for (index, ask) in script.asks.iter().enumerate() {
        last.insert(ask.incoming.lane, index);
    }
    for index in last.into_values() {
        if let Some(ask) = probe_after(script, index) {
            script.asks.push(ask);
        }
    }
}

/// What the user's next message would be sent as: on the last complete response where the lane is chained, else behind
/// everything the lane sent and got.
fn probe_after(script: &mut Script, index: usize) -> Option<Ask> {
    let last = script.asks.get(index)?.clone();
    let lane = last.incoming.lane;
    let chained = script
        .asks
        .iter()
        .any(|ask| ask.incoming.lane == lane && ask.incoming.previous.is_some());
    let user = script.items.push(Item {
        kind: ItemKind::Message,
        author: Author::User,
        flags: Flags::default(),
        call: None,
        id: None,
        line: 0,
        part: 0,
    });
    if !script.fingerprints.is_empty() {
        script.fingerprints.push(0);
    }
    let complete = script
        .asks
        .iter()
        .rev()
        .find(|ask| ask.incoming.lane == lane && ask.complete);
    let (previous, base) = if chained {
        (complete.and_then(|ask| ask.response), Node::ROOT)
    } else {
        let done: Vec<ItemIndex> = if last.answered {
            last.done.clone()
        } else {
            Vec::new()
        };
        let node = done.iter().fold(last.incoming.input, |node, item| {
            script.tree.push(node, *item)
        });
        (None, node)
    };
    let input = script.tree.push(base, user);
    Some(Ask {
        incoming: Incoming {
            previous,
            input,
            ..last.incoming
        },
        exchange: None,
        turn: last.turn + 1,
        line: 0,
        origin: Origin::Probe,
        exact: false,
        attempt_of: None,
        proven: false,
        status: None,
        refusal: None,
        response: None,
        answered: false,
        complete: false,
        done: Vec::new(),
        half: Vec::new(),
        ..last
    })
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
    /// Cursors over the server's contexts, one per server.
    held: [Cursor; 3],
}

struct Runner<'a> {
    script: &'a Script,
    strategy: Strategy,
    /// Whether the strategy is the client's own.
    own: bool,
    worlds: WorldSet,
    endpoint: Endpoint,
    lanes: BTreeMap<u32, Lane>,
    /// The logical history behind each response, and how many responses of its lane were complete then.
    logical_at: BTreeMap<ResponseKey, (Node, u32, u32)>,
    complete: BTreeMap<u32, u32>,
    judged: Vec<Judged>,
    of_ask: Vec<usize>,
    false_calls: BTreeSet<CallKey>,
    lost: BTreeSet<(u32, ItemIndex)>,
    pictured: bool,
    score: Score,
}

impl<'a> Runner<'a> {
    fn new(script: &'a Script, strategy: Strategy, own: bool, worlds: WorldSet) -> Self {
        Self {
            script,
            strategy,
            own,
            worlds,
            endpoint: Endpoint::new(script.tree.clone(), &script.items),
            lanes: BTreeMap::new(),
            logical_at: BTreeMap::new(),
            complete: BTreeMap::new(),
            judged: Vec::new(),
            of_ask: Vec::new(),
            false_calls: BTreeSet::new(),
            lost: BTreeSet::new(),
            pictured: false,
            score: Score {
                accepted: true,
                real_outputs_kept: true,
                false_statements: 0,
                items_lost: 0,
                requests_sent: 0,
            },
        }
    }

    fn run(mut self) -> Run {
        for ask in &self.script.asks {
            self.ask(ask);
        }
        self.score.false_statements = self.false_calls.len() as u32;
        self.score.items_lost = self.lost.len() as u32;
        self.score.real_outputs_kept &= self.false_calls.is_empty();
        Run::conclude(self.judged, self.worlds, self.score)
    }

    fn ask(&mut self, ask: &Ask) {
        let script = self.script;
        let get = |index: ItemIndex| script.items.get(index).copied();
        let contexts = self.endpoint.contexts(&get, &ask.incoming);
        let mut lane = self.lanes.remove(&ask.incoming.lane).unwrap_or_default();
        let input = self.endpoint.tree.items(ask.incoming.input);
        let new_turn = ask.attempt_of.is_none() && lane.turn != Some(ask.turn);
        lane.turn = Some(ask.turn);
        let whole = self.remember_request(ask, &mut lane, &input);
        let logical = lane.logical.unwrap_or(ask.incoming.input);
        if ask.proven {
            self.push_proven(ask, input.len() as u32);
        } else {
            self.judge(ask, &mut lane, &contexts, logical, &input, new_turn, whole);
        }
        self.remember_answer(ask, &mut lane, &contexts, logical, new_turn);
        self.lanes.insert(ask.incoming.lane, lane);
    }

    /// Brings the lane's history up to this request; returns whether the request itself carries all of it.
    fn remember_request(&mut self, ask: &Ask, lane: &mut Lane, input: &[ItemIndex]) -> bool {
        let behind = ask
            .incoming
            .previous
            .and_then(|key| self.logical_at.get(&key).copied());
        let known = match behind {
            Some((node, of_lane, complete)) => {
                let now = self.complete.get(&of_lane).copied().unwrap_or(0);
                let knows_no_more = of_lane == ask.incoming.lane && now == complete;
                if knows_no_more || self.lost_an_output(lane, node, input) {
                    lane.logical.or(Some(node))
                } else {
                    // it went back to an older response although complete ones came behind it: a branch
                    Some(node)
                }
            }
            None => lane.logical,
        };
        let chained = ask.incoming.previous.is_some() || ask.incoming.conversation.is_some();
        let Some(known) = known else {
            lane.logical = Some(ask.incoming.input);
            return !chained;
        };
        if !chained && self.begins_alike(known, input) {
            lane.logical = Some(ask.incoming.input);
            return true;
        }
        if ask.attempt_of.is_some() {
            lane.logical = Some(known);
            return false;
        }
        let script = self.script;
        let get = |index: ItemIndex| script.items.get(index).copied();
        let ledger = lane.cursor.go(&self.endpoint.tree, &get, known);
        let fresh: Vec<ItemIndex> = input
            .iter()
            .copied()
            .filter(|&index| {
                let Some(item) = script.items.get(index) else {
                    return false;
                };
                let answered = item.kind.is_output()
                    && item.call.is_some_and(|key| ledger.pair(key).outputs > 0);
                !answered
            })
            .collect();
        lane.logical = Some(self.endpoint.extend(known, &fresh));
        false
    }

    /// Whether going back to an older response leaves a call open that the lane had answered: nobody branches like that,
    /// the client has forgotten.
    fn lost_an_output(&self, lane: &mut Lane, back: Node, input: &[ItemIndex]) -> bool {
        let Some(known) = lane.logical else {
            return false;
        };
        let get = |index: ItemIndex| self.script.items.get(index).copied();
        let answered = answered_by(&self.script.items, input);
        let tree = &self.endpoint.tree;
        let open: Vec<CallKey> = lane
            .cursor
            .go(tree, &get, back)
            .open()
            .values()
            .copied()
            .collect();
        let ledger = lane.cursor.go(tree, &get, known);
        open.into_iter()
            .any(|call| !answered.contains(&call) && ledger.pair(call).outputs > 0)
    }

    /// Whether the first item of a request is the first of the history: the client sends all it knows.
    fn begins_alike(&self, known: Node, input: &[ItemIndex]) -> bool {
        let history = self.endpoint.tree.items(known);
        match (history.first(), input.first()) {
            (Some(&a), Some(&b)) => {
                a == b || (self.meaning(a).is_some() && self.meaning(a) == self.meaning(b))
            }
            _ => true,
        }
    }

    fn meaning(&self, index: ItemIndex) -> Option<u64> {
        self.script.fingerprints.get(index.0 as usize).copied()
    }

    fn push_proven(&mut self, ask: &Ask, input_items: u32) {
        self.of_ask.push(self.judged.len());
        self.score.requests_sent += 1;
        self.judged.push(blank(ask, input_items, Outcome::Accepted));
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, used once"
    )]
    fn judge(
        &mut self,
        ask: &Ask,
        lane: &mut Lane,
        contexts: &[Context; 3],
        logical: Node,
        input: &[ItemIndex],
        new_turn: bool,
        whole: bool,
    ) {
        let script = self.script;
        let get = |index: ItemIndex| script.items.get(index).copied();
        let answered = answered_by(&script.items, input);
        let tree = &self.endpoint.tree;
        let Lane {
            cursor,
            held,
            memory,
            ..
        } = lane;
        let ledger = cursor.go(tree, &get, logical);
        let view = View {
            logical: ledger,
            answered: &answered,
            new_turn,
            partial: !whole,
            memory,
        };
        let plan = plan::plan(self.strategy, &view);
        // a client that normalises its prompt sends only the tail of it where nothing had to be mended
        let as_is = self.own && self.strategy == Strategy::Normalize && plan.edits.is_empty();
        let on_history = !as_is && (plan.whole_history || !plan.edits.is_empty());
        let variants = if on_history {
            [0, 1, 2].map(|_| Variant {
                ledger,
                input_from: 0,
                edits: plan.edits.clone(),
                state: StateFault::default(),
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
            (_, false) => Recorded::Nothing,
            (Some(refusal), true) if is_set_aside(refusal.status) => Recorded::Nothing,
            (Some(refusal), true) => Recorded::Refused(refusal),
            (None, true) if ask.answered => Recorded::Accepted,
            (None, true) => Recorded::Nothing,
        };
        let judgement = self.judge_case(&case, recorded);
        let shown = case
            .variants
            .get(judgement.variant)
            .map_or(ledger, |variant| variant.ledger);
        let injected = injected(&judgement.edits, shown, &|call| is_finished(ledger, call));
        for made_up in injected.iter().filter(|made_up| made_up.is_false) {
            self.false_calls.insert(made_up.call);
        }
        for &position in &judgement.edits.removed {
            if let Some(slot) = shown.slot(position) {
                self.lost.insert((ask.incoming.lane, slot.item));
                // an orphan's output answers nothing and cannot be kept by anyone
                if slot.kind.is_output()
                    && slot
                        .call()
                        .is_some_and(|call| !shown.pair(call).is_orphan())
                {
                    self.score.real_outputs_kept = false;
                }
            }
        }
        let input_items = if on_history {
            ledger.len()
        } else {
            input.len() as u32
        };
        let changed = on_history || !judgement.edits.is_empty();
        let mut pictured = Vec::new();
        if let (false, Outcome::Refused(fault) | Outcome::Depends { fault, .. }) =
            (self.pictured, &judgement.outcome)
        {
            let input_from = case
                .variants
                .get(judgement.variant)
                .map_or(0, |variant| variant.input_from);
            pictured = picture(shown, fault, input_from);
            self.pictured = true;
        }
        self.record(ask, judgement, injected, input_items, changed, pictured);
    }

    /// Judges; a strategy that answers refusals meets the recorded one first and then goes its own way.
    fn judge_case(&mut self, case: &Case<'_>, recorded: Recorded<'_>) -> Judgement {
        judge_case(&self.script.items, &mut self.worlds, case, recorded)
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
            ..blank(ask, input_items, Outcome::Accepted)
        };
        let first = ask
            .attempt_of
            .and_then(|first| self.of_ask.get(first).copied());
        match first.and_then(|first| self.judged.get_mut(first)) {
            Some(first_judged) => {
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
            }
            None => {
                self.of_ask.push(self.judged.len());
                self.judged.push(judged);
            }
        }
    }

    /// Brings the server's books and the client's memory up to the answer.
    fn remember_answer(
        &mut self,
        ask: &Ask,
        lane: &mut Lane,
        contexts: &[Context; 3],
        logical: Node,
        new_turn: bool,
    ) {
        let script = self.script;
        let get = |index: ItemIndex| script.items.get(index).copied();
        lane.memory.sent(new_turn);
        if !ask.answered {
            if ask.refusal.is_some() {
                self.endpoint.refused(&ask.incoming);
            }
            lane.memory.over(true);
            return;
        }
        let answer = Answered {
            response: ask.response,
            complete: ask.complete,
            done: &ask.done,
            half: &ask.half,
        };
        self.endpoint.saw(&get, &ask.done);
        self.endpoint
            .answered(&get, &ask.incoming, contexts, &answer);
        lane.memory.created();
        let mut calls = false;
        for item in ask.done.iter().filter_map(|index| script.items.get(*index)) {
            if let (true, Some(call)) = (item.kind.is_call(), item.call) {
                lane.memory.called(call, item.kind);
                calls = true;
            }
        }
        lane.memory.over(!ask.complete || calls);
        let after = self.endpoint.extend(logical, &ask.done);
        lane.logical = Some(after);
        if ask.complete {
            *self.complete.entry(ask.incoming.lane).or_insert(0) += 1;
        }
        if let Some(response) = ask.response {
            let complete = self.complete.get(&ask.incoming.lane).copied().unwrap_or(0);
            self.logical_at
                .insert(response, (after, ask.incoming.lane, complete));
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

/// Judges; a strategy that answers refusals meets the recorded one first and then goes its own way.
pub(super) fn judge_case(
    items: &Items,
    worlds: &mut WorldSet,
    case: &Case<'_>,
    recorded: Recorded<'_>,
) -> Judgement {
    if case.retry == Retry::No || !matches!(recorded, Recorded::Refused(_)) {
        return case.judge(items, worlds, recorded);
    }
    let first = case.judge_first(items, worlds, recorded);
    if first.agrees == Some(false) {
        return first;
    }
    Judgement {
        agrees: first.agrees,
        ..case.judge(items, worlds, Recorded::Nothing)
    }
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

/// Whether the history holds a real output of a call: one that does not merely say "aborted".
pub(super) fn is_finished(history: &Ledger, call: CallKey) -> bool {
    history
        .uses(call)
        .any(|(_, slot)| slot.kind.is_output() && !slot.flags.has(Flags::ABORTED))
}

/// The insertions, with the places they end up at and whether they are false.
pub(super) fn injected(
    edits: &Edits,
    ledger: &Ledger,
    finished: &dyn Fn(CallKey) -> bool,
) -> Vec<Injected> {
    edits
        .inserts
        .iter()
        .enumerate()
        .map(|(index, insert)| Injected {
            call: insert.call,
            kind: insert.kind,
            position: edits.place_of(index).min(ledger.len() + index as u32),
            is_false: finished(insert.call),
        })
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
    }
}
