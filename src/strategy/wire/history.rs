//! What a lane's client and the server know behind each request.

use super::super::script::Ask;
use super::{Arrived, Lane, Runner, answered_by};
use crate::endpoint::Answered;
use crate::ids::{CallKey, ItemIndex};
use crate::session::tree::Node;
use crate::wire::item::Author;

impl Runner<'_> {
    /// Brings the lane's history up to this request; returns whether the request itself carries all of it.
    pub(super) fn remember_request(&mut self, ask: &Ask, lane: &mut Lane) -> bool {
        let input = ask.incoming.input;
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
        let references = &self.references;
        let get = |index: ItemIndex| references.get(&script.items, index);
        let ledger = lane.cursor.go(&self.endpoint.tree, &get, known);
        let fresh: Vec<ItemIndex> = self
            .endpoint
            .tree
            .items(input)
            .into_iter()
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
    fn lost_an_output(&self, lane: &mut Lane, back: Node, input: Node) -> bool {
        let Some(known) = lane.logical else {
            return false;
        };
        let input = &self.endpoint.tree.items(input);
        let get = |index: ItemIndex| self.references.get(&self.script.items, index);
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

    /// Whether a request repeats the history: it begins with the history's first item, or it holds that and something the
    /// model made, wherever a repair may have put other items.
    fn begins_alike(&self, known: Node, input: Node) -> bool {
        let tree = &self.endpoint.tree;
        let Some(first) = tree.first(known) else {
            return true;
        };
        let meaning = self.meaning(first);
        let same =
            |item: ItemIndex| item == first || (meaning.is_some() && meaning == self.meaning(item));
        if tree.first(input).is_none_or(same) {
            return true;
        }
        let by_model = |&item: &ItemIndex| {
            let item = self.script.items.get(item);
            item.is_some_and(|item| item.author == Author::Model)
        };
        let input = tree.items(input);
        input.iter().copied().any(same) && input.iter().any(by_model)
    }

    fn meaning(&self, index: ItemIndex) -> Option<u64> {
        self.script.fingerprints.get(index.0 as usize).copied()
    }

    /// Brings the server's books and the client's memory up to the answer.
    pub(super) fn remember_answer(&mut self, ask: &Ask, lane: &mut Lane, arrived: &Arrived) {
        let script = self.script;
        let get = |index: ItemIndex| script.items.get(index).copied();
        if ask.attempt_of.is_none() {
            lane.memory.goes_on();
        }
        lane.memory.sent(arrived.new_turn);
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
            .answered(&get, &ask.incoming, &arrived.contexts, &answer);
        lane.memory.created();
        let mut calls = false;
        for item in ask.done.iter().filter_map(|index| script.items.get(*index)) {
            if let (true, Some(call)) = (item.kind.is_call(), item.call) {
                lane.memory.called(call, item.kind);
                calls = true;
            }
        }
        lane.memory.over(!ask.complete || calls);
        let after = self.endpoint.extend(arrived.logical, &ask.done);
        lane.logical = Some(after);
        if ask.complete {
            *self.complete.entry(ask.incoming.lane).or_insert(0) += 1;
            lane.last = ask.response.or(lane.last);
        }
        if let Some(response) = ask.response {
            let complete = self.complete.get(&ask.incoming.lane).copied().unwrap_or(0);
            self.logical_at
                .insert(response, (after, ask.incoming.lane, complete));
        }
    }
}
