//! Where a session can be cut.

use std::collections::BTreeMap;

use super::{Point, Stage, State, Walked, walked};
use crate::ids::{CallKey, ItemIndex};
use crate::rollout::{Rollout, Step};
use crate::session::Session;
use crate::session::exchange::{Mark, Milestone, Recording};
use crate::session::tree::Node;
use crate::strategy::script::{Ask, Script};
use crate::wire::item::{Author, Flags, Items};

/// Every point of a session, in order. Costs as much as its events and items.
pub fn points(session: &Session) -> Vec<Point> {
    match walked(session) {
        Walked::Script(script) => {
            let marks = match session {
                Session::Recording(recording) => marks_by_number(recording),
                Session::Rollout(_) => BTreeMap::new(),
            };
            of_script(&script, &marks)
        }
        Walked::Rollout(rollout) => of_rollout(rollout),
    }
}

/// The marks of an answer, and how many events it has.
type Marks<'a> = (&'a [Mark], u32);

fn marks_by_number(recording: &Recording) -> BTreeMap<u32, Marks<'_>> {
    let exchanges = recording.exchanges.iter();
    exchanges
        .map(|it| (it.number, (it.answer.marks.as_slice(), it.answer.events)))
        .collect()
}

/// What a walk over the requests shows of each.
struct Around {
    carries_outputs: bool,
    /// Real outputs of the calls of its answer, in the order in which they are sent later.
    outputs: Vec<ItemIndex>,
}

fn around(script: &Script) -> Vec<Around> {
    let mut before: BTreeMap<u32, Node> = BTreeMap::new();
    let fresh: Vec<Vec<ItemIndex>> = script
        .asks
        .iter()
        .map(|ask| {
            let input = ask.incoming.input;
            let last = before.insert(ask.incoming.lane, input);
            let items = script.tree.items_apart(input, last.unwrap_or(Node::ROOT));
            let is_output =
                |it: &ItemIndex| script.items.get(*it).is_some_and(|it| it.kind.is_output());
            items.into_iter().filter(is_output).collect()
        })
        .collect();
    let mut later: BTreeMap<(u32, CallKey), ItemIndex> = BTreeMap::new();
    let mut found = Vec::with_capacity(fresh.len());
    for (ask, fresh) in script.asks.iter().zip(&fresh).rev() {
        let lane = ask.incoming.lane;
        let mut outputs: Vec<ItemIndex> = calls(&script.items, &ask.done)
            .filter_map(|call| later.get(&(lane, call)).copied())
            .collect();
        outputs.sort_unstable();
        outputs.dedup();
        found.push(Around {
            carries_outputs: !fresh.is_empty(),
            outputs,
        });
        for index in fresh.iter().rev() {
            if let Some(item) = script.items.get(*index)
                && let (Some(call), false) = (item.call, item.flags.has(Flags::ABORTED))
            {
                later.insert((lane, call), *index);
            }
        }
    }
    found.reverse();
    found
}

fn calls<'a>(items: &'a Items, found: &'a [ItemIndex]) -> impl Iterator<Item = CallKey> + 'a {
    found
        .iter()
        .filter_map(|index| items.get(*index))
        .filter(|item| item.kind.is_call())
        .filter_map(|item| item.call)
}

fn of_script(script: &Script, marks: &BTreeMap<u32, Marks<'_>>) -> Vec<Point> {
    let mut found = Vec::new();
    for ((at, ask), around) in (0..).zip(&script.asks).zip(around(script)) {
        let marks = ask.exchange.and_then(|number| marks.get(&number).copied());
        let mut builder = Builder {
            at,
            script,
            ask,
            around: &around,
            found: &mut found,
        };
        builder.all(marks);
    }
    found
}

struct Builder<'a> {
    at: u32,
    script: &'a Script,
    ask: &'a Ask,
    around: &'a Around,
    found: &'a mut Vec<Point>,
}

impl Builder<'_> {
    fn all(&mut self, marks: Option<Marks<'_>>) {
        let made_of_items: Vec<Mark>;
        let (marks, events) = match marks {
            Some((marks, events)) if !marks.is_empty() => (marks, events),
            _ if self.ask.answered && self.ask.exchange.is_none() => {
                made_of_items = self.by_item();
                (made_of_items.as_slice(), made_of_items.len() as u32)
            }
            _ => (&[][..], 0),
        };
        if self.ask.refusal.is_some() {
            // an answer that is an error leaves nothing to cut
            return;
        }
        let silent = marks.first().map_or(1, |first| first.event + 1);
        self.push(State::default(), None, silent, true);
        if !self.ask.answered {
            return;
        }
        let mut state = State::default();
        if marks.is_empty() {
            // it came in one piece: there is nothing between nothing and all of it
            state.named = true;
            state.done = self.ask.done.len() as u32;
            state.half.clone_from(&self.ask.half);
            if self.ask.complete {
                self.over(state, None, 1);
            } else {
                self.push(state, None, 1, true);
            }
            return;
        }
        let mut marks = marks.iter().peekable();
        while let Some(mark) = marks.next() {
            let mut between_items = false;
            match mark.what {
                Milestone::Named => state.named = true,
                Milestone::Begun(item) => state.half.push(item),
                Milestone::Done(item) => {
                    state.named = true;
                    state.done += 1;
                    state.half.retain(|half| *half != item);
                    between_items = true;
                }
                Milestone::Over => {
                    state.named = true;
                    if self.ask.complete {
                        let events = events.saturating_sub(mark.event).max(1);
                        self.over(state, Some(mark.event), events);
                        return;
                    }
                }
            }
            let next = marks.peek().map_or(events, |next| next.event);
            // what comes with one event cannot be cut apart
            if next > mark.event {
                let later = next - mark.event;
                self.push(state.clone(), Some(mark.event), later, between_items);
            }
        }
    }

    /// An answer of which only the items are on file.
    fn by_item(&self) -> Vec<Mark> {
        let done = self.ask.done.iter().map(|item| Milestone::Done(*item));
        let over = self.ask.complete.then_some(Milestone::Over);
        std::iter::once(Milestone::Named)
            .chain(done)
            .chain(over)
            .zip(0..)
            .map(|(what, event)| Mark { event, what })
            .collect()
    }

    /// The response is complete: before its tools have ended, and after some have.
    fn over(&mut self, mut state: State, event: Option<u32>, cuts: u32) {
        state.over = true;
        state.half.clear();
        self.push(state.clone(), event, cuts, true);
        for count in 1..self.around.outputs.len() {
            state.outputs = self.around.outputs.iter().take(count).copied().collect();
            self.push(state.clone(), event, 1, true);
        }
    }

    fn push(&mut self, mut state: State, event: Option<u32>, cuts: u32, between_items: bool) {
        let items = &self.script.items;
        let done = self.ask.done.get(..state.done as usize).unwrap_or(&[]);
        let last_call = calls(items, done).last();
        let half_call = calls(items, &state.half).last();
        let stage = match (state.named, state.over) {
            (false, _) => Stage::Sent,
            (true, true) if last_call.is_none() => Stage::Idle,
            (true, true) if state.outputs.is_empty() => Stage::InTool,
            (true, true) => Stage::SomeOutputs,
            (true, false) if half_call.is_some() => Stage::MidCall,
            (true, false) if last_call.is_some() => Stage::Called,
            (true, false) => Stage::Answering,
        };
        if !state.over {
            let answers = |index: &&ItemIndex| {
                let call = items.get(**index).and_then(|item| item.call);
                call.is_some_and(|call| calls(items, done).any(|it| it == call))
            };
            let all = self.around.outputs.iter();
            state.later = if last_call.is_some() {
                all.filter(answers).copied().collect()
            } else {
                Vec::new()
            };
        }
        self.found.push(Point {
            at: self.at,
            state,
            lane: self.ask.incoming.lane,
            exchange: self.ask.exchange,
            line: self.ask.line,
            event,
            cuts,
            stage,
            carries_outputs: self.around.carries_outputs,
            between_items,
            call: half_call.or(last_call),
        });
    }
}

/// Behind each item of a rollout.
fn of_rollout(rollout: &Rollout) -> Vec<Point> {
    let mut found = Vec::new();
    let mut open: BTreeMap<CallKey, u32> = BTreeMap::new();
    let mut answered_some = false;
    for (at, step) in (0..).zip(&rollout.steps) {
        let Step::Item(index) = step else { continue };
        let Some(item) = rollout.items.get(*index) else {
            continue;
        };
        let is_output = item.kind.is_output();
        if let Some(call) = item.call {
            if item.kind.is_call() {
                *open.entry(call).or_default() += 1;
                answered_some = false;
            } else {
                open.remove(&call);
                answered_some = true;
            }
        }
        let stage = match item.author {
            Author::User => {
                // what the last turn left open is no matter of this one
                open.clear();
                Stage::Sent
            }
            _ if item.kind.is_call() => Stage::Called,
            _ if !open.is_empty() && answered_some => Stage::SomeOutputs,
            _ if !open.is_empty() => Stage::Called,
            Author::Client => Stage::Sent,
            Author::Model => Stage::Answering,
        };
        found.push(Point {
            at,
            state: State::default(),
            lane: 0,
            exchange: None,
            line: item.line,
            event: None,
            cuts: 1,
            stage,
            carries_outputs: is_output && stage == Stage::Sent,
            between_items: true,
            call: item.call,
        });
    }
    found
}
