//! Questions of the client, and who answers them.

use super::Teller;
use crate::events::log::Event;
use crate::events::rpc::REQUEST;
use crate::events::story::Ask;
use crate::events::{AskKind, Decision};

impl Teller<'_> {
    pub(super) fn asked(
        &mut self,
        at: usize,
        event: &Event,
        thread: usize,
        turn: Option<usize>,
        kind: AskKind,
    ) {
        if let Some(number) = self.asked_already(event, kind) {
            if let Some(id) = event.id {
                self.asks.insert((event.stream, id), number);
            }
            return;
        }
        let number = self.story.asks.len();
        if let Some(id) = event.id {
            self.asks.insert((event.stream, id), number);
        }
        if let Some(call) = event.call {
            self.by_call.insert((event.stream, call), number);
        }
        if let Some(id) = event.turn {
            self.by_turn.insert((event.stream, id), number);
        }
        self.story.asks.push(Ask {
            asked: at,
            kind,
            thread,
            turn,
            call: event.call,
            answered: None,
            resolved: None,
        });
    }

    /// The question that this one says in other words: an event of core and the request that carries it to the driver.
    fn asked_already(&self, event: &Event, kind: AskKind) -> Option<usize> {
        let number = *self.by_call.get(&(event.stream, event.call?))?;
        let ask = self.story.asks.get(number)?;
        let open = ask.kind == kind && ask.answered.is_none() && ask.resolved.is_none();
        let is_request = |event: &Event| {
            let id = event.id.map(|it| self.log.text(it));
            id.is_some_and(|it| it.starts_with(REQUEST))
        };
        let first = self.log.events.get(ask.asked)?;
        (open && is_request(first) != is_request(event)).then_some(number)
    }

    pub(super) fn answered(&mut self, at: usize, event: &Event, decision: Decision) {
        // by the question's own id, else by the call's; early clients answer with the id of the submission
        let by_id = event.id.and_then(|id| {
            self.asks
                .get(&(event.stream, id))
                .or_else(|| self.by_call.get(&(event.stream, id)))
        });
        let by_turn = event
            .id
            .and_then(|id| self.by_turn.get(&(event.stream, id)));
        let found = by_id.or(by_turn).copied();
        if let Some(ask) = found.and_then(|it| self.story.asks.get_mut(it)) {
            ask.answered.get_or_insert((at, decision));
        }
    }
}
