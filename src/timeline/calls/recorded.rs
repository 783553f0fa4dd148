//! Open calls of a recording.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, OpenCall, Tool};
use crate::endpoint::References;
use crate::events::{Event, How, Id, What, canonical};
use crate::ids::{CallKey, ItemIndex, LineNo, ResponseKey};
use crate::session::exchange::{Exchange, Purpose, Recording, Terminal};
use crate::wire::item::{Flags, ItemKind};

pub(super) fn open_calls(recording: &Recording) -> Vec<OpenCall> {
    let lanes = recording.lanes.len().max(1) as u32;
    let aborts = Aborts::of(recording);
    let mut found: Vec<OpenCall> = (0..lanes)
        .flat_map(|lane| Lane::read(recording, lane, &aborts).open())
        .collect();
    found.sort_by_key(|call| (call.exchange, call.item));
    found
}

/// One lane's exchanges and what they carried.
struct Lane<'a> {
    recording: &'a Recording,
    number: u32,
    exchanges: Vec<&'a Exchange>,
    by_response: BTreeMap<ResponseKey, usize>,
    /// Where each call was opened, and whether an answer made it.
    opened: BTreeMap<CallKey, (usize, ItemIndex, bool)>,
    /// Exchanges that carried an output of the call, and whether it is a real one.
    carried: BTreeMap<CallKey, Vec<(usize, bool)>>,
    references: References,
    /// Whether something later says that the turn was aborted.
    aborted_at: Vec<usize>,
    /// The last line on which the client says that a turn of this thread was aborted; 0 if it does not.
    last_abort: LineNo,
}

impl<'a> Lane<'a> {
    fn read(recording: &'a Recording, number: u32, aborts: &Aborts<'_>) -> Self {
        let of_lane = |exchange: &&Exchange| {
            exchange.lane == number && exchange.purpose != Purpose::NotJudged
        };
        let mut lane = Self {
            recording,
            number,
            exchanges: recording.exchanges.iter().filter(of_lane).collect(),
            by_response: BTreeMap::new(),
            opened: BTreeMap::new(),
            carried: BTreeMap::new(),
            references: References::new(&recording.items),
            aborted_at: Vec::new(),
            last_abort: aborts.last(number),
        };
        let mut last = crate::session::tree::Node::ROOT;
        for (at, exchange) in lane.exchanges.iter().enumerate() {
            // what the request repeats of the one before was looked at there
            let fresh = recording
                .tree
                .nodes_since(common(recording, last, exchange), exchange.request.input);
            last = exchange.request.input;
            for (_, index) in fresh {
                let Some(item) = recording.items.get(index) else {
                    continue;
                };
                if item.kind == ItemKind::Message && item.flags.has(Flags::ABORTED) {
                    lane.aborted_at.push(at);
                }
                let Some(call) = item.call else { continue };
                if item.kind.is_output() {
                    lane.carried
                        .entry(call)
                        .or_default()
                        .push((at, !item.flags.has(Flags::ABORTED)));
                } else {
                    lane.opened.entry(call).or_insert((at, index, false));
                }
            }
            for &index in &exchange.answer.done {
                if let Some(item) = recording.items.get(index)
                    && let (true, Some(call)) = (item.kind.is_call(), item.call)
                {
                    lane.opened.entry(call).or_insert((at, index, true));
                }
            }
            if let Some(response) = exchange.answer.response {
                lane.by_response.insert(response, at);
            }
        }
        lane
    }

    /// Calls and outputs in the context of the lane's last request, what it was answered included. Of an output it says
    /// whether it is the local shell's own, which answers no other kind of call.
    fn context(&self) -> (BTreeSet<CallKey>, BTreeSet<(CallKey, bool)>) {
        let mut calls = BTreeSet::new();
        let mut outputs = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut at = self.exchanges.len().checked_sub(1);
        while let Some(index) = at.filter(|index| seen.insert(*index)) {
            let Some(exchange) = self.exchanges.get(index) else {
                break;
            };
            let input = self.recording.tree.items(exchange.request.input);
            for item in input
                .iter()
                .chain(&exchange.answer.done)
                .filter_map(|index| self.references.get(&self.recording.items, *index))
            {
                if let Some(call) = item.call {
                    if item.kind.is_call() {
                        calls.insert(call)
                    } else {
                        outputs.insert((call, item.kind == ItemKind::LocalShellCallOutput))
                    };
                }
            }
            at = match (exchange.request.previous, exchange.request.conversation) {
                (Some(key), _) => self.by_response.get(&key).copied(),
                (None, Some(_)) => self.exchanges.iter().take(index).rposition(|before| {
                    before.request.conversation == exchange.request.conversation
                        && before.answer.terminal == Some(Terminal::Completed)
                }),
                (None, None) => None,
            };
        }
        (calls, outputs)
    }

    fn open(&self) -> Vec<OpenCall> {
        let (calls, outputs) = self.context();
        self.opened
            .iter()
            .filter_map(|(&call, &(at, item, answered))| {
                let in_effect = calls.contains(&call);
                let carried = self.carried.get(&call).map_or(&[][..], Vec::as_slice);
                let kind = self.recording.items.get(item)?.kind;
                let stray = outputs.contains(&(call, true)) && kind != ItemKind::LocalShellCall;
                let open = if in_effect {
                    !outputs.contains(&(call, false)) && (stray || !outputs.contains(&(call, true)))
                } else {
                    carried.is_empty()
                };
                if !open {
                    return None;
                }
                let exchange = self.exchanges.get(at)?;
                let real = carried
                    .iter()
                    .rev()
                    .find(|(_, real)| *real)
                    .or(carried.last());
                let tool = match real {
                    Some((at, true)) => self
                        .exchanges
                        .get(*at)
                        .map_or(Tool::Unknown, |e| Tool::Finished(e.line)),
                    _ => Tool::Unknown,
                };
                Some(OpenCall {
                    call,
                    kind,
                    item,
                    lane: self.number,
                    exchange: Some(exchange.number),
                    answered,
                    line: exchange.line,
                    file: 0,
                    cause: if stray && in_effect {
                        Cause::WrongKind
                    } else {
                        let made = self.recording.items.get(item).map_or(0, |it| it.line);
                        match self.cause(call, at, real.map(|(at, _)| *at), in_effect, answered) {
                            Cause::InFlight if self.last_abort > made => Cause::InterruptedAtEnd,
                            cause => cause,
                        }
                    },
                    tool,
                    effective: in_effect,
                })
            })
            .collect()
    }

    fn cause(
        &self,
        call: CallKey,
        opened: usize,
        carried: Option<usize>,
        in_effect: bool,
        answered: bool,
    ) -> Cause {
        if let Some(exchange) = carried.and_then(|at| self.exchanges.get(at)) {
            let (number, line) = (exchange.number, exchange.line);
            if exchange.answer.terminal == Some(Terminal::Completed) {
                let last = self.exchanges.last().map(|last| &last.request);
                let chained =
                    last.is_some_and(|it| it.previous.is_some() || it.conversation.is_some());
                return if chained {
                    Cause::ChainWentBack {
                        exchange: number,
                        line,
                    }
                } else {
                    Cause::LeftOut {
                        exchange: number,
                        line,
                    }
                };
            }
            return Cause::SentInUnfinishedResponse {
                exchange: Some(number),
                line,
            };
        }
        let others = self.recording.items.same_id(call);
        if others.iter().any(|other| self.carried.contains_key(other)) {
            return Cause::WrongKind;
        }
        let cut = |exchange: &&Exchange| exchange.answer.is_cut();
        if answered && self.exchanges.get(opened).is_some_and(cut) {
            return Cause::StreamCut;
        }
        if self.aborted_at.iter().any(|&at| at > opened) {
            return Cause::Interrupted;
        }
        if answered && opened + 1 == self.exchanges.len() {
            return Cause::InFlight;
        }
        if in_effect {
            Cause::Unknown
        } else {
            Cause::Hidden
        }
    }
}

/// The last line on which the client says that a turn was aborted, by thread.
struct Aborts<'a>(&'a Recording, BTreeMap<Option<Id>, LineNo>);

impl<'a> Aborts<'a> {
    fn of(recording: &'a Recording) -> Self {
        let aborted = |event: &&Event| matches!(event.what, What::TurnEnded(How::Aborted(_)));
        let events = recording.events.events.iter().filter(aborted);
        Self(recording, events.map(|it| (it.thread, it.line)).collect())
    }

    /// The last line that tells it of a lane's thread; 0 if none does.
    fn last(&self, lane: u32) -> LineNo {
        let Self(recording, aborts) = self;
        if aborts.is_empty() {
            return 0;
        }
        let name = recording.lanes.get(lane as usize);
        let own = recording
            .events
            .find(&canonical(name.map_or("", |it| &*it.name)));
        let named = own.and_then(|it| aborts.get(&Some(it)));
        // where there is one conversation, whatever was aborted was its
        let any = || {
            aborts
                .values()
                .max()
                .filter(|_| recording.lanes.len() < 2 && own.is_none())
        };
        let nameless = aborts.get(&None).filter(|_| recording.lanes.len() < 2);
        let last = named.max(nameless).or_else(any);
        last.copied().unwrap_or(0)
    }
}

/// The last node that an input shares with the one before.
fn common(
    recording: &Recording,
    last: crate::session::tree::Node,
    exchange: &Exchange,
) -> crate::session::tree::Node {
    let (mut a, mut b) = (last, exchange.request.input);
    let tree = &recording.tree;
    while a != b {
        let longer = if tree.len(a) >= tree.len(b) {
            &mut a
        } else {
            &mut b
        };
        match tree.pop(*longer) {
            Some((before, _)) => *longer = before,
            None => return crate::session::tree::Node::ROOT,
        }
    }
    a
}
