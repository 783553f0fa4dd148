//! The same session with calls of another kind, with other call ids, or over another transport.

use super::Variant;
use crate::rollout::Step;
use crate::session::Session;
use crate::session::exchange::{Recording, Transport};
use crate::wire::item::ItemKind;

/// Changes a session as a variant says. What a recorded answer says of a call stays as it was recorded.
pub fn retype(session: &Session, variant: &Variant) -> Session {
    let kind = variant.kind.map(ItemKind::from_type);
    let id = |id: &str| match &variant.ids {
        Some(form) => id.replace("call_", form),
        None => id.to_owned(),
    };
    let mut session = session.clone();
    match &mut session {
        Session::Recording(recording) => {
            if kind.is_some() || variant.ids.is_some() {
                (recording.items, _) = recording.items.retyped(kind, &id);
            }
            if let Some(transport) = variant.transport {
                travel(recording, transport == "websocket");
            }
            // a refusal on record names the old kind and id
            for exchange in &mut recording.exchanges {
                if let Some(refusal) = &mut exchange.answer.refusal {
                    refusal.named = None;
                }
            }
        }
        Session::Rollout(rollout) => {
            let (items, keys) = rollout.items.retyped(kind, &id);
            rollout.items = items;
            for step in &mut rollout.steps {
                if let Step::ToolBegan(_, call) | Step::ToolEnded(_, call) = step
                    && let Some(key) = keys.get(call.index())
                {
                    *call = *key;
                }
            }
        }
    }
    session
}

/// Lets every request travel over HTTP, or on a WebSocket of its lane. On a WebSocket nothing is stored, the connection
/// remembers; over HTTP a client that goes on from responses has them stored.
fn travel(recording: &mut Recording, websocket: bool) {
    let mut chained: Vec<u32> = recording
        .exchanges
        .iter()
        .filter(|it| it.request.previous.is_some())
        .map(|it| it.lane)
        .collect();
    chained.sort_unstable();
    chained.dedup();
    for exchange in &mut recording.exchanges {
        if websocket {
            exchange.transport = Transport::WebSocket;
            exchange.connection = Some(exchange.lane);
            exchange.request.store = Some(false);
        } else {
            exchange.transport = Transport::Http;
            exchange.connection = None;
            if chained.binary_search(&exchange.lane).is_ok() {
                exchange.request.store = Some(true);
            }
        }
    }
}
