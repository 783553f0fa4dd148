//! Attempts and turns: which requests are the same one sent again, and which user message set them off.

use std::collections::BTreeMap;

use super::exchange::{Answer, Exchange, Purpose, Recording, Terminal};
use crate::ids::{ItemIndex, fingerprint};
use crate::wire::item::Author;
use crate::wire::request::RequestHead;

/// Members of a body that differ between otherwise equal requests.
const VOLATILE: [&str; 9] = [
    "client_metadata",
    "input",
    "metadata",
    "prompt_cache_key",
    "service_tier",
    "stream",
    "stream_options",
    "type",
    "user",
];

/// What two sendings of one request have in common, as one number.
pub(super) fn body_print(head: &RequestHead<'_>, input: &[ItemIndex], prints: &[u64]) -> u64 {
    let mut sum = head
        .members
        .members()
        .filter(|(key, raw)| !VOLATILE.contains(key) && raw.get() != "null")
        .map(|(key, raw)| {
            let mut text = key.as_bytes().to_vec();
            text.push(0);
            text.extend_from_slice(raw.get().as_bytes());
            fingerprint(&text)
        })
        .fold(0_u64, u64::wrapping_add);
    let mut bytes = Vec::with_capacity(input.len() * 8);
    for item in input {
        let print = prints.get(item.0 as usize).copied().unwrap_or(0);
        bytes.extend_from_slice(&print.to_le_bytes());
    }
    sum = sum.wrapping_add(fingerprint(&bytes));
    sum
}

/// Whether a client has reason to send the same request again.
fn wants_another(answer: &Answer) -> bool {
    answer.is_cut()
        || answer.refusal.is_some()
        || answer.client_left
        || answer.status.is_some_and(|status| status >= 400)
        || matches!(
            answer.terminal,
            Some(Terminal::Incomplete | Terminal::Failed | Terminal::Error)
        )
}

#[derive(Default)]
struct Lane {
    last: Option<usize>,
    turn: u32,
    users: BTreeMap<u64, u32>,
}

/// Numbers attempts and turns. `bodies` holds [`body_print`] of each exchange.
pub(super) fn number(recording: &mut Recording, bodies: &[u64]) {
    let mut lanes: BTreeMap<u32, Lane> = BTreeMap::new();
    for at in 0..recording.exchanges.len() {
        let Some(exchange) = recording.exchanges.get(at) else {
            continue;
        };
        if exchange.purpose == Purpose::NotJudged {
            set(recording, at, 0, 1, at);
            continue;
        }
        let lane = lanes.entry(exchange.lane).or_default();
        let before = lane
            .last
            .and_then(|last| Some((last, recording.exchanges.get(last)?)))
            .filter(|(last, before)| {
                before.purpose == exchange.purpose
                    && bodies.get(*last) == bodies.get(at)
                    && wants_another(&before.answer)
            })
            .map(|(_, before)| (before.turn, before.attempt + 1, before.first_attempt));
        if let Some((turn, attempt, first)) = before {
            set(recording, at, turn, attempt, first as usize);
        } else {
            let turn = if exchange.purpose == Purpose::Turn {
                lane.next(recording, exchange)
            } else {
                0
            };
            set(recording, at, turn, 1, at);
        }
        lane.last = Some(at);
    }
}

fn set(recording: &mut Recording, at: usize, turn: u32, attempt: u32, first: usize) {
    if let Some(exchange) = recording.exchanges.get_mut(at) {
        (exchange.turn, exchange.attempt, exchange.first_attempt) = (turn, attempt, first as u32);
    }
}

impl Lane {
    /// The turn of a request that is not a further attempt: the next one if it carries a user message that the lane's
    /// requests did not carry before.
    fn next(&mut self, recording: &Recording, exchange: &Exchange) -> u32 {
        let mut users: BTreeMap<u64, u32> = BTreeMap::new();
        for index in recording.tree.items(exchange.request.input) {
            let item = recording.items.get(index);
            if item.is_some_and(|item| item.author == Author::User) {
                let print = recording.fingerprints.get(index.0 as usize);
                *users.entry(print.copied().unwrap_or(0)).or_default() += 1;
            }
        }
        let chained =
            exchange.request.previous.is_some() || exchange.request.conversation.is_some();
        let fresh = if chained {
            !users.is_empty()
        } else {
            let before = &self.users;
            users
                .iter()
                .any(|(print, count)| before.get(print).copied().unwrap_or(0) < *count)
        };
        if chained {
            for (print, count) in users {
                *self.users.entry(print).or_default() += count;
            }
        } else {
            self.users = users;
        }
        if fresh || self.turn == 0 {
            self.turn += 1;
        }
        self.turn
    }
}
