//! What the answers of a recording add: events, items, ends.

use std::collections::BTreeSet;

use super::{Walk, chunk};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::session::exchange::Purpose;
use crate::session::tree::Node;
use crate::timeline::entry::{Entry, Marks, NONE, Place, What};
use crate::timeline::state::{Closing, Happened};
use crate::wire::event::{EventHead, Folded};
use crate::wire::item::ItemHead;
use crate::wire::raw::Object;
use crate::wire::sse::Frame;

impl Walk<'_> {
    pub(super) fn response(
        &mut self,
        object: &Object<'_>,
        line: LineNo,
        time: Option<i64>,
        number: Option<u32>,
    ) {
        let Some(number) = number else { return };
        let status = object.number("status").unwrap_or(0);
        let mut entry = self.of_exchange(
            What::Response,
            &format!("response {status}"),
            line,
            time,
            number,
        );
        if status >= 400 {
            entry.marks.set(Marks::REFUSAL);
        }
        let at = self.draft.push(entry);
        if let Some(live) = self.live.get_mut(&number) {
            live.last = at;
            if status >= 400 {
                live.stream = Some(false);
            }
        }
    }

    pub(super) fn chunk(
        &mut self,
        object: &Object<'_>,
        line: LineNo,
        time: Option<i64>,
        number: Option<u32>,
    ) {
        let Some(number) = number else { return };
        let Some(bytes) = chunk::bytes(object) else {
            return;
        };
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        if live.stream.is_none() {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            live.stream = first.map(|first| !matches!(first, b'{' | b'[' | b'<' | b'"'));
        }
        if live.stream == Some(false) {
            let entry = self.of_exchange(What::Body, "body", line, time, number);
            let at = self.draft.push(entry);
            if let Some(live) = self.live.get_mut(&number) {
                live.last = at;
            }
            return;
        }
        live.chunks
            .push_back((line, live.bytes, bytes.len() as u64));
        live.bytes += bytes.len() as u64;
        let frames = live.framer.push(&bytes);
        for frame in frames {
            self.told(number, &frame, line, time);
        }
        // what was told needs no chunk any more
        if let Some(live) = self.live.get_mut(&number) {
            let told = live.framer.told();
            let is_told = |(_, start, length): &(LineNo, u64, u64)| start + length <= told;
            while live.chunks.front().is_some_and(is_told) {
                live.chunks.pop_front();
            }
        }
    }

    /// Takes a frame of a stream.
    fn told(&mut self, number: u32, frame: &Frame, line: LineNo, time: Option<i64>) {
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        let chunk = live
            .chunks
            .iter()
            .find(|(_, start, length)| frame.raw.start < start + length)
            .copied();
        let place = chunk.map(|(from, start, _)| Place {
            from,
            skip: (frame.raw.start - start) as u32,
            length: (frame.raw.end - frame.raw.start) as u32,
            output_index: NONE,
        });
        if let Some(data) = &frame.data {
            self.event(number, data, frame.event.as_deref(), line, time, place);
            return;
        }
        // a comment that keeps the connection alive
        let mut entry = self.of_exchange(What::Event, ":", line, time, number);
        entry.marks.set(Marks::DELTA);
        self.placed(entry, place);
    }

    fn placed(&mut self, mut entry: Entry, place: Option<Place>) -> u32 {
        if let Some(place) = place {
            entry.place = self.draft.places.len() as u32;
            self.draft.places.push(place);
        }
        self.draft.push(entry)
    }

    /// Takes one event of a response.
    fn event(
        &mut self,
        number: u32,
        data: &str,
        named: Option<&str>,
        line: LineNo,
        time: Option<i64>,
        place: Option<Place>,
    ) {
        let head = EventHead::read_named(data, named);
        let kind = head.as_ref().and_then(|head| head.kind.as_deref());
        let name = kind
            .or(named)
            .unwrap_or(if head.is_some() { "error" } else { "data" });
        let mut entry = self.of_exchange(What::Event, name, line, time, number);
        if name.rsplit('.').next() == Some("delta") {
            entry.marks.set(Marks::DELTA);
        }
        let index = head.as_ref().and_then(|head| head.output_index);
        let output_index = index.and_then(|it| u32::try_from(it).ok());
        let place = match (place, output_index) {
            (None, None) => None,
            (place, index) => Some(Place {
                output_index: index.unwrap_or(NONE),
                ..place.unwrap_or(Place {
                    from: line,
                    skip: 0,
                    length: 0,
                    output_index: NONE,
                })
            }),
        };
        let at = self.placed(entry, place);
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        live.last = at;
        let Some(exchange) = self.recording.exchanges.get(live.at) else {
            return;
        };
        let lane = exchange.lane;
        let (begun, response) = (live.fold.half.len(), live.fold.id.is_none());
        let Some(head) = &head else { return };
        live.fold.place = line;
        live.fold.event(head, data);
        if matches!(kind, Some("error" | "response.failed")) || kind.is_none() {
            let marks = if exchange.answer.refusal.is_some() {
                Marks::REFUSAL
            } else {
                Marks::CUT
            };
            if live.fold.error.is_some() {
                self.mark(at, marks);
            }
        }
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        if response
            && live.fold.id.is_some()
            && let Some(key) = exchange.answer.response
            && let Some(lane) = self.lanes.get_mut(lane as usize)
        {
            lane.by_response.insert(key, live.at);
        }
        if live.fold.half.len() > begun
            && let Some(raw) = head.item
            && let Ok(item) = serde_json::from_str::<ItemHead<'_>>(raw.get())
        {
            self.begun(number, lane, &item, head.output_index, at);
        }
        self.done(number, at);
    }

    /// An item was begun.
    fn begun(&mut self, number: u32, lane: u32, item: &ItemHead<'_>, index: Option<u64>, at: u32) {
        let kind = item.item_kind();
        let id = item.call_id.as_deref().or(item.id.as_deref());
        let (true, Some(family), Some(id)) = (kind.is_call(), kind.family(), id) else {
            return;
        };
        let Some(key) = self.recording.items.find_call(family, id) else {
            return;
        };
        let known = self
            .lanes
            .get(lane as usize)
            .is_some_and(|lane| lane.known.contains_key(&key));
        let Some(call) = self.know(lane, key, kind, ItemIndex(NONE), at, false) else {
            return;
        };
        if !known {
            self.draft.happened(at, call, Happened::Begun);
        }
        if let Some(entry) = self.draft.entry_mut(at) {
            entry.call = call;
        }
        if let Some(live) = self.live.get_mut(&number) {
            live.half.push((index, call));
        }
    }

    /// Takes what an exchange's fold says is finished and was not told yet.
    fn done(&mut self, number: u32, at: u32) {
        loop {
            let Some(live) = self.live.get_mut(&number) else {
                return;
            };
            let Some(exchange) = self.recording.exchanges.get(live.at) else {
                return;
            };
            let Some(folded) = live.fold.done.get(live.done) else {
                return;
            };
            let Some(&index) = exchange.answer.done.get(live.done) else {
                return;
            };
            let place = folded.output_index;
            live.done += 1;
            let (exchange_at, lane) = (live.at, exchange.lane);
            if let Some(half) = live.half.iter().position(|(it, _)| *it == place) {
                live.half.remove(half);
            }
            let item = self.recording.items.get(index).copied();
            if let Some(entry) = self.draft.entry_mut(at) {
                entry.item = index.0;
            }
            let mut touched = BTreeSet::new();
            if let Some(item) = item
                && let (true, Some(key)) = (item.kind.is_call(), item.call)
            {
                let call = self.know(lane, key, item.kind, index, at, true);
                touched.insert(key);
                if let Some(entry) = self.draft.entry_mut(at) {
                    entry.call = call.unwrap_or(NONE);
                    entry.marks.set(Marks::CALL);
                }
            }
            self.grow(exchange_at, index, lane, touched, at);
        }
    }

    /// Adds an item to the context of an exchange, and moves the lane if its newest request stands upon it.
    fn grow(
        &mut self,
        exchange: usize,
        item: ItemIndex,
        lane: u32,
        touched: BTreeSet<CallKey>,
        at: u32,
    ) {
        if let Some(after) = self.after.get_mut(exchange) {
            *after = self.draft.tree.push(*after, item);
        }
        let Some(last) = self
            .lanes
            .get(lane as usize)
            .and_then(|lane| lane.exchanges.last().copied())
        else {
            return;
        };
        // the exchanges between the newest one and this one, if it stands upon it
        let mut way = vec![last];
        while way.last() != Some(&exchange) {
            let Some(base) = way
                .last()
                .and_then(|at| self.base.get(*at).copied().flatten())
            else {
                break;
            };
            // what an exchange goes on from was asked before it
            if base < exchange {
                break;
            }
            way.push(base);
        }
        if way.last() == Some(&exchange) {
            for &at in way.iter().rev().skip(1) {
                let done = self
                    .live
                    .values()
                    .find(|live| live.at == at)
                    .map_or(usize::MAX, |live| live.done);
                let node = self.context(at, done);
                if let Some(after) = self.after.get_mut(at) {
                    *after = node;
                }
            }
        }
        let node = self.after.get(last).copied().unwrap_or(Node::ROOT);
        self.go(lane, node, touched, at, Closing::Sent);
    }

    pub(super) fn ended(
        &mut self,
        what: What,
        cause: &str,
        line: LineNo,
        time: Option<i64>,
        number: Option<u32>,
    ) {
        let Some(number) = number else { return };
        if what == What::End
            && self
                .live
                .get(&number)
                .is_some_and(|live| live.stream != Some(false))
        {
            let rest = self
                .live
                .get_mut(&number)
                .map(|live| live.framer.finish())
                .unwrap_or_default();
            for frame in rest {
                self.told(number, &frame, line, time);
            }
        }
        let mut entry = self.of_exchange(what, cause, line, time, number);
        let exchange = self
            .live
            .get(&number)
            .and_then(|live| self.recording.exchanges.get(live.at));
        if let Some(exchange) = exchange {
            let over = self
                .live
                .get(&number)
                .is_some_and(|live| live.fold.terminal.is_some());
            let cut = match what {
                What::ClientClosed => !over,
                _ => exchange.answer.is_cut() && exchange.purpose != Purpose::NotJudged,
            };
            if cut {
                entry.marks.set(Marks::CUT);
            }
        }
        let at = self.draft.push(entry);
        if what == What::End {
            self.over(number, at);
        }
    }

    /// An exchange is over: what a whole body brought is told, what was half stays so.
    pub(super) fn over(&mut self, number: u32, at: u32) {
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        let Some(exchange) = self.recording.exchanges.get(live.at) else {
            return;
        };
        // items of a body that is no stream stand nowhere else
        while live.fold.done.len() < exchange.answer.done.len() {
            live.fold.done.push(Folded {
                output_index: None,
                raw: "".into(),
                place: 0,
            });
        }
        if live.fold.id.is_none()
            && let Some(key) = exchange.answer.response
            && let Some(lane) = self.lanes.get_mut(exchange.lane as usize)
        {
            lane.by_response.insert(key, live.at);
        }
        self.done(number, at);
        let Some(live) = self.live.remove(&number) else {
            return;
        };
        for (_, call) in live.half {
            let whole = self
                .draft
                .calls
                .get(call as usize)
                .is_some_and(|call| call.opened != NONE);
            if !whole {
                self.draft
                    .happened(at, call, Happened::Closed(Closing::Broken));
            }
        }
    }

    pub(super) fn frame(
        &mut self,
        object: &Object<'_>,
        line: LineNo,
        time: Option<i64>,
        number: Option<u32>,
    ) {
        let from = object.text("from").unwrap_or_default();
        let kind = object.text("type").unwrap_or_default();
        let connection = object.small("connection");
        let number = number.or_else(|| self.current.get(&connection?).copied());
        let bytes = chunk::bytes(object);
        let (true, Some(number), Some(bytes)) = (from == "server" && kind == "text", number, bytes)
        else {
            let name = format!("{from} {kind}");
            let mut entry = self.draft.entry(What::Connection, line, &name);
            entry.time = time.unwrap_or(i64::MIN);
            entry.marks.set(if kind == "close" {
                Marks::default()
            } else {
                Marks::DELTA
            });
            self.draft.push(entry);
            return;
        };
        let text = String::from_utf8_lossy(&bytes);
        self.event(number, &text, None, line, time, None);
        let at = self.draft.entries.len() as u32 - 1;
        if self
            .live
            .get(&number)
            .is_some_and(|live| live.fold.terminal.is_some())
        {
            self.over(number, at);
        }
    }

    /// Marks the last entries of exchanges that nothing ended.
    pub(super) fn finish(&mut self) {
        let open: Vec<(u32, u32)> = self
            .live
            .iter()
            .map(|(number, live)| (*number, live.last))
            .collect();
        for (number, last) in open {
            let rest = self
                .live
                .get_mut(&number)
                .map(|live| live.framer.finish())
                .unwrap_or_default();
            let line = self.recording.lines;
            for frame in rest {
                self.told(number, &frame, line, None);
            }
            let at = self.live.get(&number).map_or(last, |live| live.last);
            let cut = self
                .live
                .get(&number)
                .and_then(|live| self.recording.exchanges.get(live.at));
            if cut.is_some_and(|it| it.answer.is_cut() && it.purpose != Purpose::NotJudged)
                && at > 0
            {
                self.mark(at, Marks::CUT);
            }
        }
    }
}
