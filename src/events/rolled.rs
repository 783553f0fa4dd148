//! Lines of a rollout as events, where a recording holds them.

use super::proto::{first_text, message_told};
use super::reader::Told;
use super::{Source, What};
use crate::wire::item::ItemKind;
use crate::wire::raw::Object;

/// What a line of a rollout says of turns, tools and messages; `None` for any other line.
pub fn rollout_line<'a>(value: &Object<'a>) -> Option<Told<'a>> {
    let kind = value.text("type")?;
    let Some(payload) = value.object("payload") else {
        // items of the first eras stand bare
        return item(value);
    };
    let mut told = match &*kind {
        "event_msg" => message_told(&payload, Source::Rollout),
        "response_item" => item(&payload)?,
        "compacted" => Told::new(Source::Rollout, false, kind).means(What::Compacted),
        "token_usage_record" => {
            let mut told = Told::new(Source::Rollout, false, kind).means(What::Usage);
            told.turn = payload.text("turn_id");
            told.id = payload.text("response_id");
            told
        }
        _ => return None,
    };
    told.time = value
        .text("timestamp")
        .as_deref()
        .and_then(crate::wire::when::micros);
    Some(told)
}

fn item<'a>(payload: &Object<'a>) -> Option<Told<'a>> {
    let kind = payload.text("type")?;
    let known = ItemKind::from_type(&kind);
    let mut told = Told::new(Source::Rollout, false, kind);
    told.call = payload.text("call_id");
    told.what = if known.is_call() {
        What::CallWritten
    } else if known.is_output() {
        What::OutputWritten
    } else if known == ItemKind::Message && payload.text("role").as_deref() == Some("user") {
        told.text = payload.text("content").or_else(|| first_text(payload));
        What::History
    } else {
        return None;
    };
    Some(told)
}
