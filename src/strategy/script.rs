//! The requests of a session one by one, with what is known of their answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::retries::Budget;
use super::run::Origin;
use super::{Options, Probe, as_client};
use crate::endpoint::Incoming;
use crate::ids::{ItemIndex, LineNo, ResponseKey};
use crate::ledger::Led;
use crate::session::exchange::{
    Answer, Exchange, Purpose, RecordedRefusal, Recording, Terminal, Transport,
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
    /// What the client spends on a refused request that was rebuilt.
    pub(super) budget: Budget,
    pub(super) explained: bool,
    /// The reasoning that led to items of stored answers.
    pub(super) led: Arc<Led>,
    /// Whether the client is known to chain, whatever its requests show.
    pub(super) chains: bool,
    /// What its client has of a turn that was interrupted.
    pub(super) keeps: as_client::Keeps,
}

/// One request.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of a request, each its own"
)]
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
    /// Whether it is asked beside the session: told apart from the request it may repeat.
    pub(super) apart: bool,
    /// Whether the client was started again before it: what it kept in memory is gone.
    pub(super) restarted: bool,
}

impl Ask {
    /// A request of the same lane that was not sent before and that nothing answers.
    pub(super) fn without_answer(&self) -> Self {
        Self {
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
            incoming: self.incoming,
            exchange: self.exchange,
            turn: self.turn,
            line: self.line,
            origin: self.origin,
            transport: self.transport,
            apart: self.apart,
            restarted: self.restarted,
        }
    }
}

impl Script {
    /// The requests of a recording.
    pub(super) fn of(recording: &Recording, options: &Options) -> Self {
        let mut script = Self {
            items: recording.items.clone(),
            fingerprints: recording.fingerprints.clone(),
            tree: recording.tree.clone(),
            chains: as_client::chains(recording),
            keeps: as_client::keeps(recording),
            ..Self::default()
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
        script.led = Arc::new(led(&script));
        if options.probe == Probe::Always {
            add_probes(&mut script);
        }
        script
    }
}

/// Which reasoning led to which item, as far as answers say that the server stored (responses-api.md 2.3).
fn led(script: &Script) -> Led {
    let mut led = Led::new();
    let stored = script
        .asks
        .iter()
        .filter(|ask| ask.incoming.store && ask.complete);
    for pair in stored.flat_map(|ask| ask.done.windows(2)) {
        if let &[before, behind] = pair
            && let (Some(reasoning), Some(item)) =
                (script.items.get(before), script.items.get(behind))
            && reasoning.kind == ItemKind::Reasoning
            && item.kind != ItemKind::Reasoning
            && let (Some(reasoning), Some(item)) = (reasoning.id, item.id)
        {
            led.insert(item, (reasoning, before));
        }
    }
    led
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
        answered: is_answered(answer),
        complete: matches!(answer.terminal, Some(Terminal::Completed)),
        done: answer.done.clone(),
        half: answer.half.clone(),
        apart: false,
        restarted: false,
    }
}

/// Whether the endpoint took the request: it said so by its status, or, where a log does not hold that, by what it made.
fn is_answered(answer: &Answer) -> bool {
    let made = || {
        let terminal = answer.terminal;
        !answer.done.is_empty()
            || matches!(terminal, Some(Terminal::Completed | Terminal::Incomplete))
    };
    let taken = answer
        .status
        .map_or_else(made, |status| (200..300).contains(&status));
    answer.refusal.is_none() && (taken || answer.response.is_some())
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
        ..last.without_answer()
    })
}
