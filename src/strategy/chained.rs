//! Rebuilding the requests of a Codex that chained by `previous_response_id` (0.8 and before), from its state lines.
//!
//! The context of response R is every item above the first line that names R, and the model-made run directly below it. If
//! R is still the last id named behind a later user message, the next request was `{previous_response_id: R, input: that
//! message's group}`; outputs in earlier groups were sent in a request that never completed.

use super::retries::Budget;
use super::run::Origin;
use super::script::{Ask, Script};
use super::{Options, Probe};
use crate::endpoint::Incoming;
use crate::ids::{ItemIndex, LineNo, ResponseKey};
use crate::ledger::Ledger;
use crate::rollout::{Previous, Rollout, Step};
use crate::session::exchange::Transport;
use crate::session::tree::Node;
use crate::wire::item::{Author, Flags, Item, ItemKind};

/// Whether the state lines name a previous response.
pub(super) fn is_chained(rollout: &Rollout) -> bool {
    rollout
        .steps
        .iter()
        .any(|step| matches!(step, Step::State(_, Previous::Response(_))))
}

/// Rebuilds the requests.
pub(super) fn rebuild(rollout: &Rollout, options: &Options) -> Script {
    let mut builder = Builder {
        script: Script {
            items: rollout.items.clone(),
            budget: Budget::of(rollout),
            chains: true,
            ..Script::default()
        },
        last: None,
        above: Vec::new(),
        run: Vec::new(),
        in_run: false,
        groups: Vec::new(),
        turn: 0,
        waiting: None,
    };
    for step in &rollout.steps {
        match step {
            Step::State(line, Previous::Response(key)) => builder.named(*line, *key),
            Step::Item(index) => builder.item(*index),
            _ => {}
        }
    }
    builder.finish(options)
}

/// Items that went out together.
#[derive(Clone, Debug, Default)]
struct Group {
    items: Vec<ItemIndex>,
    line: LineNo,
    has_user: bool,
}

struct Builder {
    script: Script,
    /// The response named last.
    last: Option<ResponseKey>,
    /// Every item above the line that named it.
    above: Vec<ItemIndex>,
    /// The model-made run directly below that line.
    run: Vec<ItemIndex>,
    in_run: bool,
    /// What came behind the run.
    groups: Vec<Group>,
    turn: u32,
    /// The line of the last user message while nothing answers it.
    waiting: Option<LineNo>,
}

impl Builder {
    fn named(&mut self, line: LineNo, key: ResponseKey) {
        if self.last == Some(key) {
            // the same id again closes a group: whatever was sent with it did not complete
            if let Some(group) = self.groups.last()
                && !group.items.is_empty()
                && !group.has_user
            {
                self.groups.push(Group::default());
            }
            return;
        }
        self.waiting = None;
        // the request that this response answers carried all that came since
        let input: Vec<ItemIndex> = self
            .groups
            .iter()
            .flat_map(|group| group.items.iter().copied())
            .collect();
        let pending: Vec<ItemIndex> = if self.last.is_none() {
            self.above.clone()
        } else {
            input
        };
        let first_line = pending
            .first()
            .and_then(|index| self.script.items.get(*index))
            .map_or(line, |item| item.line);
        self.push_ask(self.last, &pending, first_line, Some(key), true);
        let before = std::mem::take(&mut self.run);
        self.above.extend(before);
        for group in std::mem::take(&mut self.groups) {
            self.above.extend(group.items);
        }
        self.last = Some(key);
        self.in_run = true;
    }

    fn item(&mut self, index: ItemIndex) {
        let Some(item) = self.script.items.get(index).copied() else {
            return;
        };
        match item.author {
            Author::User => {
                // two user messages in a row: nothing answered the first one
                if let Some(line) = self.waiting.replace(item.line) {
                    self.script.unanswered_user = Some(line);
                }
            }
            Author::Model => self.waiting = None,
            Author::Client => {}
        }
        if self.last.is_none() {
            self.above.push(index);
            return;
        }
        if self.in_run && item.author == Author::Model {
            self.run.push(index);
            if let Some(ask) = self.script.asks.last_mut() {
                ask.done.push(index);
            }
            return;
        }
        self.in_run = false;
        let user = item.author == Author::User;
        if user || self.groups.is_empty() {
            self.groups.push(Group {
                items: Vec::new(),
                line: item.line,
                has_user: user,
            });
        }
        if let Some(group) = self.groups.last_mut() {
            group.line = if group.items.is_empty() {
                item.line
            } else {
                group.line
            };
            group.items.push(index);
        }
    }

    fn push_ask(
        &mut self,
        previous: Option<ResponseKey>,
        input: &[ItemIndex],
        line: LineNo,
        response: Option<ResponseKey>,
        proven: bool,
    ) {
        let has_user = input
            .iter()
            .filter_map(|index| self.script.items.get(*index))
            .any(|item| item.author == Author::User);
        if has_user {
            self.turn += 1;
        }
        let node = input.iter().fold(Node::ROOT, |node, index| {
            self.script.tree.push(node, *index)
        });
        self.script.asks.push(Ask {
            incoming: Incoming {
                lane: 0,
                previous,
                conversation: None,
                store: true,
                connection: None,
                input: node,
            },
            exchange: None,
            turn: self.turn,
            line,
            origin: if line == 0 {
                Origin::Probe
            } else {
                Origin::Rebuilt
            },
            exact: false,
            transport: Transport::Http,
            attempt_of: None,
            proven,
            status: None,
            refusal: None,
            response,
            answered: proven,
            complete: proven,
            done: Vec::new(),
            half: Vec::new(),
            apart: false,
            restarted: false,
        });
    }

    fn finish(mut self, options: &Options) -> Script {
        self.mend_held();
        let groups = std::mem::take(&mut self.groups);
        let groups: Vec<Group> = groups
            .into_iter()
            .filter(|group| !group.items.is_empty())
            .collect();
        for (at, group) in groups.iter().enumerate() {
            // a group without a user message that another one follows was sent and never completed: no request more
            if group.has_user {
                self.push_ask(self.last, &group.items, group.line, None, false);
                self.script.unanswered_user = Some(group.line);
            } else if at + 1 < groups.len() {
                self.push_unfinished(group);
            }
        }
        let last_open = groups.last().filter(|group| !group.has_user);
        let asks_for_more = match last_open {
            Some(_) => true,
            None => groups.is_empty() && self.open_in_run(),
        };
        if asks_for_more && options.probe != Probe::Never {
            let user = self.script.items.push(Item {
                kind: ItemKind::Message,
                author: Author::User,
                flags: Flags::default(),
                call: None,
                id: None,
                line: 0,
                part: 0,
            });
            let mut input = last_open
                .map(|group| group.items.clone())
                .unwrap_or_default();
            input.push(user);
            self.push_ask(self.last, &input, 0, None, false);
        }
        let mut ledger = Ledger::default();
        for index in self
            .above
            .iter()
            .chain(&self.run)
            .chain(groups.iter().flat_map(|group| &group.items))
        {
            if let Some(item) = self.script.items.get(*index) {
                ledger.push(*index, item);
            }
        }
        self.script.explained = !ledger.open().is_empty() || !ledger.orphans().is_empty();
        self.script
    }

    /// A request that was sent and never completed; the client saw its response begin.
    fn push_unfinished(&mut self, group: &Group) {
        self.push_ask(self.last, &group.items, group.line, None, true);
        if let Some(ask) = self.script.asks.last_mut() {
            ask.complete = false;
        }
    }

    fn open_in_run(&self) -> bool {
        self.run
            .iter()
            .filter_map(|index| self.script.items.get(*index))
            .any(|item| item.kind.is_call())
    }

    /// What the server holds behind the last response was accepted when it was sent: calls and outputs above it that do
    /// not pair are damage of the file, not of the wire, and are left out of the held context.
    fn mend_held(&mut self) {
        let mut ledger = Ledger::default();
        for index in &self.above {
            if let Some(item) = self.script.items.get(*index) {
                ledger.push(*index, item);
            }
        }
        let whole: Vec<ItemIndex> = ledger
            .slots()
            .iter()
            .filter(|slot| {
                slot.call().is_none_or(|call| {
                    !ledger.pair(call).is_open() && !ledger.pair(call).is_orphan()
                })
            })
            .map(|slot| slot.item)
            .collect();
        let input = whole.iter().fold(Node::ROOT, |node, index| {
            self.script.tree.push(node, *index)
        });
        // one proven request in place of the chain: the last response's context
        if let Some(ask) = self
            .script
            .asks
            .iter_mut()
            .rev()
            .find(|ask| ask.response == self.last)
        {
            ask.incoming.previous = None;
            ask.incoming.input = input;
        }
    }
}
