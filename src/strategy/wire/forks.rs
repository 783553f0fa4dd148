//! A walk over requests that stops at every point and looks at what the next request would be there.
//!
//! The books of the server and the memory of the lane are brought to the point, the next request is judged, and both are
//! taken back. The points of one answer only add to each other, and the whole answer is booked behind them over what
//! they booked, so the books themselves are not copied.

use std::collections::BTreeMap;

use super::super::interrupt::{Base, Next, ORIGIN, Point, State, Told, Who, applies, user_message};
use super::super::plan::Memory;
use super::{Arrived, Ask, Lane, Node, Runner, Script, StateFault, WorldSet};
use crate::endpoint::Incoming;
use crate::ids::{CallKey, ItemIndex, ResponseKey};
use crate::session::exchange::Transport;
use crate::strategy::Strategy;
use crate::strategy::as_client::Keeps;
use crate::wire::item::Flags;

/// Judges the next request behind each of some points, which are in the order of the requests.
pub(in crate::strategy) fn ask(
    script: &Script,
    strategy: Strategy,
    own: bool,
    worlds: WorldSet,
    points: &[Point],
    nexts: &[Next],
    sink: &mut dyn FnMut(usize, usize, Told),
) {
    let mut script = script.clone();
    let user = script.items.push(user_message());
    if !script.fingerprints.is_empty() {
        script.fingerprints.push(0);
    }
    let habits = Habits::of(&script);
    let mut runner = Runner::new(&script, strategy, own, worlds);
    let mut points = points.iter().enumerate().peekable();
    let mut turns: BTreeMap<u32, (u32, Node)> = BTreeMap::new();
    for (at, ask) in (0..).zip(&script.asks) {
        if points.peek().is_none() {
            return;
        }
        let turn = turns
            .entry(ask.incoming.lane)
            .or_insert((ask.turn, ask.incoming.input));
        if turn.0 != ask.turn {
            *turn = (ask.turn, ask.incoming.input);
        }
        let began = turn.1;
        let mut lane = runner
            .lanes
            .remove(&ask.incoming.lane)
            .unwrap_or_else(|| Lane::knowing(&runner.script.led));
        let before = runner.worlds;
        let arrived = runner.arrive(ask, &mut lane);
        if ask.proven {
            runner.push_proven(ask, 0);
        } else {
            runner.judge(ask, &mut lane, &arrived);
        }
        // what was said of the session's own requests is not asked for
        runner.forget();
        while let Some((index, point)) = points.next_if(|(_, point)| point.at == at) {
            let fork = Fork {
                ask,
                arrived: &arrived,
                point,
                user,
                habit: habits.of_ask(ask),
                began,
                before,
            };
            runner.fork(&fork, &mut lane, nexts, &mut |next, told| {
                sink(index, next, told);
            });
        }
        runner.remember_answer(ask, &mut lane, &arrived);
        runner.lanes.insert(ask.incoming.lane, lane);
    }
}

/// What lanes go on from.
struct Habits {
    all: bool,
    chained: Vec<u32>,
}

impl Habits {
    fn of(script: &Script) -> Self {
        let mut chained: Vec<u32> = script
            .asks
            .iter()
            .filter(|ask| {
                let remembers = ask.transport == Transport::WebSocket && !ask.incoming.store;
                ask.incoming.previous.is_some() || remembers
            })
            .map(|ask| ask.incoming.lane)
            .collect();
        chained.sort_unstable();
        chained.dedup();
        Self {
            all: script.chains,
            chained,
        }
    }

    fn of_ask(&self, ask: &Ask) -> Base {
        if ask.incoming.conversation.is_some() {
            Base::Conversation
        } else if self.all || self.chained.binary_search(&ask.incoming.lane).is_ok() {
            Base::Complete
        } else {
            Base::Whole
        }
    }
}

/// One point of a request.
struct Fork<'a> {
    ask: &'a Ask,
    arrived: &'a Arrived,
    point: &'a Point,
    user: ItemIndex,
    habit: Base,
    /// The input of the first request of its turn.
    began: Node,
    /// The worlds that were left before the request was answered.
    before: WorldSet,
}

/// What is taken back of a lane.
struct Kept {
    logical: Option<Node>,
    memory: Memory,
    turn: Option<u32>,
    hidden: StateFault,
    input: Option<Node>,
    last: Option<ResponseKey>,
    complete: u32,
    worlds: WorldSet,
}

impl Runner<'_> {
    /// Forgets what was said of the requests so far.
    fn forget(&mut self) {
        // further attempts are added to the first one, which is gone
        self.judged.clear();
        self.of_ask.clear();
        self.false_calls.clear();
        self.lost.clear();
        self.pictured = true;
    }

    fn keep(&self, number: u32, lane: &Lane) -> Kept {
        Kept {
            logical: lane.logical,
            memory: lane.memory.clone(),
            turn: lane.turn,
            hidden: lane.hidden,
            input: lane.input,
            last: lane.last,
            complete: self.complete.get(&number).copied().unwrap_or(0),
            worlds: self.worlds,
        }
    }

    fn take_back(&mut self, number: u32, lane: &mut Lane, kept: Kept) {
        lane.logical = kept.logical;
        lane.memory = kept.memory;
        lane.turn = kept.turn;
        lane.hidden = kept.hidden;
        lane.input = kept.input;
        lane.last = kept.last;
        self.complete.insert(number, kept.complete);
        self.worlds = kept.worlds;
    }

    fn fork(
        &mut self,
        fork: &Fork<'_>,
        lane: &mut Lane,
        nexts: &[Next],
        sink: &mut dyn FnMut(usize, Told),
    ) {
        let state = &fork.point.state;
        let number = fork.ask.incoming.lane;
        let kept = self.keep(number, lane);
        if !state.named {
            self.worlds = fork.before;
        }
        let ask = cut_ask(fork.ask, state);
        self.remember_answer(&ask, lane, fork.arrived);
        for (index, next) in nexts.iter().enumerate() {
            if !applies(fork.point, *next) {
                continue;
            }
            let kept = self.keep(number, lane);
            let ask = self.next_ask(fork, &ask, *next, lane);
            let told = self.tell(&ask, lane);
            self.take_back(number, lane, kept);
            sink(index, told);
        }
        self.take_back(number, lane, kept);
    }

    /// Judges one further request; the lane's history goes with it.
    fn tell(&mut self, ask: &Ask, lane: &mut Lane) -> Told {
        let fresh = self.fresh_outputs(ask, lane);
        let arrived = self.arrive(ask, lane);
        self.score.real_outputs_kept = true;
        self.judge(ask, lane, &arrived);
        let kept = self.score.real_outputs_kept;
        let told = self.judged.last().map(|judged| Told::of(judged, kept));
        for call in fresh {
            lane.finished.remove(&call);
        }
        self.forget();
        told.unwrap_or_else(Told::nothing)
    }

    /// Calls of which the lane has sent no real output before this request.
    fn fresh_outputs(&self, ask: &Ask, lane: &Lane) -> Vec<CallKey> {
        let before = lane.input.unwrap_or(Node::ROOT);
        let sent = self.endpoint.tree.items_apart(ask.incoming.input, before);
        sent.iter()
            .filter_map(|index| self.script.items.get(*index))
            .filter(|item| item.kind.is_output() && !item.flags.has(Flags::ABORTED))
            .filter_map(|item| item.call)
            .filter(|call| !lane.finished.contains(call))
            .collect()
    }

    /// The request that comes behind a cut one.
    fn next_ask(&mut self, fork: &Fork<'_>, cut: &Ask, next: Next, lane: &Lane) -> Ask {
        let state = &fork.point.state;
        let mut base = next.base.unwrap_or(fork.habit);
        if cut.transport == Transport::WebSocket && base == Base::Complete && !cut.incoming.store {
            // what a connection remembers is gone with it, and it lives only where nothing had to be broken off
            let lives = state.over && next.who == Who::Client;
            base = if lives { Base::Complete } else { Base::Whole };
        }
        let keeps = fork.point.left(self.script.keeps, next, fork.habit);
        let again = next.who == Who::Upstream;
        let chains = matches!(base, Base::Complete | Base::Seen | Base::Conversation);
        let mut input = if chains && !again {
            Node::ROOT
        } else {
            cut.incoming.input
        };
        if base == Base::Whole && keeps == Keeps::Turns {
            input = fork.began;
        } else if base == Base::Whole {
            // what the client goes on from by itself it would have to send as well
            if cut.incoming.previous.is_some() || cut.incoming.conversation.is_some() {
                input = fork.arrived.logical;
            }
            input = self.endpoint.extend(input, &cut.done);
        }
        if again {
            if base == Base::Whole {
                input = self.endpoint.extend(input, &state.later);
            }
        } else {
            if keeps == Keeps::All {
                input = self.endpoint.extend(input, &state.outputs);
            }
            input = self.endpoint.extend(input, &[fork.user]);
        }
        let previous = match base {
            Base::Whole | Base::Conversation => None,
            _ if again || keeps == Keeps::LateIds => cut.incoming.previous,
            Base::Complete => lane.last,
            Base::Seen => cut.response.or(lane.last),
        };
        let repeats = again && chains;
        Ask {
            incoming: Incoming {
                previous,
                conversation: cut
                    .incoming
                    .conversation
                    .filter(|_| base == Base::Conversation),
                input,
                ..cut.incoming
            },
            exchange: None,
            turn: cut.turn + u32::from(!again),
            line: 0,
            origin: ORIGIN,
            // sent once more as it is; otherwise the client may leave ids out
            exact: repeats && cut.exact,
            attempt_of: repeats.then_some(0),
            apart: true,
            restarted: next.who == Who::Kill,
            ..cut.without_answer()
        }
    }
}

/// A request with so much of its answer as came before the cut.
fn cut_ask(ask: &Ask, state: &State) -> Ask {
    let done = ask.done.get(..state.done as usize).unwrap_or(&ask.done);
    Ask {
        status: ask.status.filter(|_| state.named),
        refusal: None,
        response: ask.response.filter(|_| state.named),
        answered: state.named,
        complete: state.over,
        done: done.to_vec(),
        half: state.half.clone(),
        ..ask.clone()
    }
}
