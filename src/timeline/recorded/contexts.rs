//! Which calls are open in the context of a lane's newest request, and what stands beside the wire.

use std::collections::BTreeSet;

use super::{Known, Walk, common};
use crate::events;
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::session::exchange::Origin;
use crate::session::tree::Node;
use crate::timeline::beside;
use crate::timeline::entry::{Marks, What};
use crate::timeline::state::{Closing, Happened};
use crate::wire::item::{Family, ItemKind};
use crate::wire::raw::Object;

impl Walk<'_> {
    /// The context of an exchange with the first `done` items it was answered.
    pub(super) fn context(&mut self, at: usize, done: usize) -> Node {
        let Some(exchange) = self.recording.exchanges.get(at) else {
            return Node::ROOT;
        };
        let base = self.base.get(at).copied().flatten();
        let mut node = match base.and_then(|base| self.after.get(base)) {
            Some(base) => {
                let items = self.recording.tree.items(exchange.request.input);
                items
                    .into_iter()
                    .fold(*base, |node, item| self.draft.tree.push(node, item))
            }
            None => exchange.request.input,
        };
        for item in exchange.answer.done.iter().take(done) {
            node = self.draft.tree.push(node, *item);
        }
        node
    }

    /// Notes a call of a lane, whole or half; returns its number.
    pub(super) fn know(
        &mut self,
        lane: u32,
        key: CallKey,
        kind: ItemKind,
        item: ItemIndex,
        entry: u32,
        whole: bool,
    ) -> Option<u32> {
        let known = &mut self.lanes.get_mut(lane as usize)?.known;
        if let Some(known) = known.get_mut(&key) {
            if whole && !known.whole {
                known.whole = true;
                if let Some(call) = self.draft.calls.get_mut(known.call as usize) {
                    call.item = item;
                }
            }
            return Some(known.call);
        }
        let call = self.draft.call(key, kind, item, lane as u16, entry);
        known.insert(
            key,
            Known {
                call,
                open: false,
                effective: true,
                whole,
            },
        );
        Some(call)
    }

    /// Moves a lane's context and says which calls are open and closed by that. `touched` are looked at in any case.
    pub(super) fn go(
        &mut self,
        lane: u32,
        node: Node,
        mut touched: BTreeSet<CallKey>,
        entry: u32,
        closing: Closing,
    ) {
        let items = &self.recording.items;
        let references = &self.references;
        let get = |index: ItemIndex| references.get(items, index);
        let Some(state) = self.lanes.get_mut(lane as usize) else {
            return;
        };
        let tree = &self.draft.tree;
        let shared = common(tree, state.node, node);
        for end in [state.node, node] {
            for (_, index) in tree.nodes_since(shared, end) {
                touched.extend(get(index).and_then(|item| item.call));
            }
        }
        state.node = node;
        let ledger = state.cursor.go(tree, &get, node);
        let mut news = Vec::new();
        for key in touched {
            let Some(known) = state.known.get_mut(&key).filter(|known| known.whole) else {
                continue;
            };
            let pair = ledger.pair(key);
            let effective = pair.calls > 0;
            let open = if effective {
                pair.is_open()
            } else {
                !state.carried.contains(&key)
            };
            if open != known.open {
                let what = if open {
                    Happened::Opened
                } else {
                    Happened::Closed(closing)
                };
                news.push((known.call, what));
                if open && !effective {
                    news.push((known.call, Happened::Hidden));
                }
                if open && state.carried.contains(&key) {
                    // it was answered once: the tool did finish
                    news.push((known.call, Happened::ToolEnded));
                }
            } else if open && effective != known.effective {
                let what = if effective {
                    Happened::Shown
                } else {
                    Happened::Hidden
                };
                news.push((known.call, what));
            }
            (known.open, known.effective) = (open, effective);
        }
        for (call, what) in news {
            self.draft.happened(entry, call, what);
        }
        self.draft.history(lane as u16, entry, node);
    }

    /// A line that was recorded beside the wire.
    pub(super) fn beside(
        &mut self,
        kind: &str,
        object: &Object<'_>,
        line: LineNo,
        time: Option<i64>,
    ) {
        let events = self.recording.events.events.get(self.next_event..);
        let here = events.unwrap_or(&[]).iter();
        let count = here.take_while(|event| event.line <= line).count();
        let first = self.next_event;
        self.next_event += count;
        if kind == "client_event" && count > 0 {
            for at in first..first + count {
                self.client_event(at, time);
            }
            return;
        }
        let mut told = beside::read(kind, object);
        let what = if kind == "client_event" {
            // a line of the client that is no event of any kind
            told = beside::Told::default();
            "text".clone_into(&mut told.name);
            What::ClientEvent
        } else {
            What::RolloutLine
        };
        let mut entry = self.draft.entry(what, line, &told.name);
        entry.time = time.unwrap_or(i64::MIN);
        if told.interrupt {
            entry.marks.set(Marks::CUT);
        }
        let found = told.call_id.as_deref().and_then(|id| self.find_call(id));
        if let Some((call, lane)) = found {
            (entry.call, entry.lane) = (call, lane);
        }
        let at = self.draft.push(entry);
        self.entry_of_event
            .extend(std::iter::repeat_n(at, self.next_event - first));
        if let (Some((call, _)), Some(what)) = (found, told.happened) {
            self.draft.happened(at, call, what);
        }
    }

    /// The entry of a client event.
    pub(super) fn client_event(&mut self, at: usize, time: Option<i64>) {
        let log = &self.recording.events;
        let Some(event) = log.events.get(at).copied() else {
            return;
        };
        let mut entry = self
            .draft
            .entry(What::ClientEvent, event.line, log.name(&event));
        entry.time = time.or(event.time()).unwrap_or(i64::MIN);
        match event.what {
            events::What::TurnEnded(events::How::Aborted(_)) => entry.marks.set(Marks::CUT),
            events::What::Delta => entry.marks.set(Marks::DELTA),
            _ => {}
        }
        if let Some(lane) = event.thread.and_then(|it| self.lane_named(log.text(it))) {
            entry.lane = lane;
            self.event_lane = lane;
        }
        if self.recording.origin == Origin::Events {
            // early logs name their thread once
            if entry.lane == u16::MAX && !self.recording.lanes.is_empty() {
                entry.lane = self.event_lane;
            }
            let turns = self.event_turns.entry(entry.lane).or_default();
            if event.what == events::What::TurnStarted {
                *turns += 1;
                entry.marks.set(Marks::TURN);
            }
            entry.turn = *turns;
        }
        let call = event.call.map(|it| log.text(it));
        let found = call.and_then(|id| self.find_call(id));
        if let Some((call, lane)) = found {
            (entry.call, entry.lane) = (call, lane);
        }
        let number = self.draft.push(entry);
        self.entry_of_event.push(number);
        if let (Some((call, _)), Some(what)) = (found, beside::happened(event.what)) {
            self.draft.happened(number, call, what);
        }
    }

    fn lane_named(&self, name: &str) -> Option<u16> {
        let at = self.lane_numbers.get(name)?;
        Some(*at)
    }

    /// The newest call with an id, in any lane.
    pub(super) fn find_call(&self, id: &str) -> Option<(u32, u16)> {
        let families = [
            Family::Function,
            Family::Custom,
            Family::Shell,
            Family::ApplyPatch,
            Family::Computer,
        ];
        let keys = families
            .into_iter()
            .filter_map(|family| self.recording.items.find_call(family, id));
        keys.flat_map(|key| {
            self.lanes
                .iter()
                .enumerate()
                .map(move |(lane, state)| (key, lane, state))
        })
        .filter_map(|(key, lane, state)| Some((state.known.get(&key)?.call, lane as u16)))
        .max()
    }
}
