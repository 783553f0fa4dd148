//! `codex exec --json` since 2025-09: `{"type": "thread.started" …}`.

use super::proto::turn_item;
use super::reader::Told;
use super::{How, Source, What};
use crate::wire::raw::Object;

/// One event.
pub(super) fn event<'a>(object: &Object<'a>, source: Source) -> Told<'a> {
    let name = object.text("type").unwrap_or_default();
    let mut told = Told::new(source, false, name);
    told.turn = object.text("turn_id");
    told.what = match &*told.name {
        "thread.started" | "session.created" => {
            told.thread = object
                .text("thread_id")
                .or_else(|| object.text("session_id"));
            What::ThreadStarted
        }
        "turn.started" => What::TurnStarted,
        "turn.completed" => What::TurnEnded(How::Complete),
        "turn.failed" => {
            told.text = object.object("error").and_then(|it| it.text("message"));
            What::TurnEnded(How::Failed)
        }
        "turn.aborted" | "turn.interrupted" => {
            let reason = object.text("reason");
            let reason = reason.as_deref().unwrap_or("interrupted");
            What::TurnEnded(How::Aborted(super::AbortReason::of(Some(reason))))
        }
        "item.started" | "item.completed" => {
            let ended = &*told.name == "item.completed";
            return turn_item(told, object, ended);
        }
        "item.updated" => What::Item,
        "error" => {
            told.text = object.text("message");
            What::Error
        }
        _ => What::Other,
    };
    told
}
