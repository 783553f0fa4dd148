//! Which turn of a script a request gets.
//!
//! A request that names its lane gets the next turn of that lane. Any other gets the turn behind the longest part of its
//! history that this script answered, so that several conversations run through one script side by side; after an answer
//! that failed or was cut, the same request, or one that goes on from its beginning, gets the next turn.

use std::collections::BTreeMap;

use crate::endpoint::served::live::Live;
use crate::session::tree::Node;

/// More places than this are not kept.
const PLACES: usize = 1_000_000;

/// Where every conversation stands in its script.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lanes: BTreeMap<(usize, String), u32>,
    after: BTreeMap<(usize, u64), u32>,
}

/// The turn that a request was given.
#[derive(Clone, Debug)]
pub(super) struct Place {
    conversation: usize,
    key: u64,
    pub(super) turn: u32,
    named: bool,
}

impl Turns {
    /// The turn for a request, from 0.
    pub(super) fn next(
        &mut self,
        conversation: usize,
        lane: Option<&str>,
        live: &mut Live,
        node: Node,
    ) -> Place {
        let key = live.key(node).lenient;
        if let Some(lane) = lane {
            let next = self
                .lanes
                .entry((conversation, lane.to_owned()))
                .or_default();
            let turn = *next;
            *next += 1;
            return Place {
                conversation,
                key,
                turn,
                named: true,
            };
        }
        let mut at = node;
        let turn = loop {
            let here = live.key(at).lenient;
            if let Some(turn) = self.after.get(&(conversation, here)) {
                break *turn;
            }
            match live.before(at) {
                Some(before) => at = before,
                None => break 0,
            }
        };
        Place {
            conversation,
            key,
            turn,
            named: false,
        }
    }

    /// Notes how the answer went. `reached` is the key of the conversation with the answer behind it.
    pub(super) fn over(&mut self, place: &Place, complete: bool, reached: u64) {
        if place.named {
            return;
        }
        if self.after.len() > PLACES {
            self.after.clear();
        }
        let here = (place.conversation, place.key);
        if complete {
            self.after.remove(&here);
            self.after
                .insert((place.conversation, reached), place.turn + 1);
        } else {
            self.after.insert(here, place.turn + 1);
        }
    }
}
