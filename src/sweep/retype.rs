//! The same session with calls of another kind, or with other call ids.

use super::Variant;
use crate::rollout::Step;
use crate::session::Session;
use crate::wire::item::ItemKind;

/// Types calls anew. What a recorded answer says of a call stays as it was recorded.
pub fn retype(session: &Session, variant: &Variant) -> Session {
    let kind = variant.kind.map(ItemKind::from_type);
    let id = |id: &str| match &variant.ids {
        Some(form) => id.replace("call_", form),
        None => id.to_owned(),
    };
    let mut session = session.clone();
    match &mut session {
        Session::Recording(recording) => {
            (recording.items, _) = recording.items.retyped(kind, &id);
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
