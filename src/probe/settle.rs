//! What the answers to the questions show.

use super::{Known, Said};
use crate::contract::Policy;
use crate::contract::lock::Lock;
use crate::wire::refusal::{Named, RefusalKind};

/// A value, or why there is none.
type Settled = Result<&'static str, String>;

/// What the answers show.
pub(super) fn settle(known: &Known) -> Lock {
    let mut lock = Lock::default();
    for policy in Policy::ALL {
        let found = match policy {
            Policy::StoredAfterCut => stored_after_cut(known),
            Policy::OutputBeforeCall => both(
                known,
                ["output_before_call", "output_in_front"],
                "answered_call",
            ),
            Policy::DuplicateOutput => both(
                known,
                ["duplicate_output", "second_output"],
                "answered_call",
            ),
            Policy::DuplicateCall => {
                both(known, ["duplicate_call", "duplicate_call"], "answered_call")
            }
            Policy::ReasoningPairs => reasoning_pairs(known),
            Policy::UnansweredApproval => unanswered_approval(known),
            Policy::MissingIdChoice => missing_id_choice(known),
            Policy::FaultOrder => fault_order(known),
        };
        match found {
            Ok(value) => lock
                .policies
                .insert(policy.name().to_owned(), value.to_owned()),
            Err(why) => lock.not_settled.insert(policy.name().to_owned(), why),
        };
    }
    habits(known, &mut lock);
    facts(known, &mut lock);
    lock
}

/// Whether requests were accepted; an error where nothing was said.
fn accepted(known: &Known, name: &str) -> Result<bool, String> {
    match known.said(name) {
        Some(Said::Accepted | Said::Left) => Ok(true),
        Some(Said::Refused(_)) => Ok(false),
        Some(Said::Nothing(why)) => Err(format!("'{name}' was not answered: {why}")),
        Some(Said::NotAsked(why)) => Err(why.clone()),
        None => Err(format!("'{name}' was not asked")),
    }
}

fn message(known: &Known, name: &str) -> String {
    match known.said(name) {
        Some(Said::Refused(refused)) => refused.message.clone(),
        _ => String::new(),
    }
}

fn named<'a>(known: &'a Known, name: &str) -> Option<&'a Named> {
    match known.said(name) {
        Some(Said::Refused(refused)) => refused.named.as_ref(),
        _ => None,
    }
}

/// Nothing can be concluded from a refusal where the control is refused too.
fn control(known: &Known, name: &str) -> Result<(), String> {
    if accepted(known, name)? {
        return Ok(());
    }
    Err(format!(
        "its control '{name}' was refused as well: {}",
        message(known, name)
    ))
}

/// A policy that two requests show in the same way.
fn both(known: &Known, names: [&str; 2], beside: &str) -> Settled {
    control(known, beside)?;
    let [first, second] = names;
    match (accepted(known, first)?, accepted(known, second)?) {
        (true, true) => Ok("accept"),
        (false, false) => Ok("refuse"),
        (one, _) => {
            let (takes, refuses) = if one {
                (first, second)
            } else {
                (second, first)
            };
            Err(format!(
                "'{takes}' was accepted, '{refuses}' refused: {}",
                message(known, refuses)
            ))
        }
    }
}

fn reasoning_pairs(known: &Known) -> Settled {
    if accepted(known, "lone_reasoning")? {
        return Ok("accept");
    }
    match named(known, "lone_reasoning").map(|it| it.kind) {
        Some(RefusalKind::ReasoningWithoutFollower) => Ok("refuse"),
        _ => Err(format!(
            "'lone_reasoning' was refused for something else: {}",
            message(known, "lone_reasoning")
        )),
    }
}

fn unanswered_approval(known: &Known) -> Settled {
    control(known, "answered_approval")?;
    if accepted(known, "unanswered_approval")? {
        Ok("accept")
    } else {
        Ok("refuse")
    }
}

fn missing_id_choice(known: &Known) -> Settled {
    let names = ["two_open_calls", "two_open_calls_apart"];
    let mut ids = Vec::new();
    for name in names {
        if accepted(known, name)? {
            return Err(format!("'{name}' was accepted: no call is named"));
        }
        let Some(named) = named(known, name).filter(|it| it.kind == RefusalKind::MissingOutput)
        else {
            return Err(format!(
                "'{name}' was refused without naming a call: {}",
                message(known, name)
            ));
        };
        ids.push(named.id.as_str());
    }
    match ids.as_slice() {
        ["call_b", "call_b"] => Ok("first"),
        ["call_a", "call_a"] => Ok("last"),
        ids => Err(format!("the calls that were named: {}", ids.join(", "))),
    }
}

fn fault_order(known: &Known) -> Settled {
    let names = ["open_then_orphan", "orphan_then_open"];
    let mut kinds = Vec::new();
    for name in names {
        if accepted(known, name)? {
            return Err(format!("'{name}' was accepted"));
        }
        let Some(named) = named(known, name) else {
            return Err(format!(
                "'{name}' was refused without naming a call: {}",
                message(known, name)
            ));
        };
        kinds.push(named.kind);
    }
    match kinds.as_slice() {
        [RefusalKind::MissingOutput, RefusalKind::MissingOutput] => Ok("open_first"),
        [RefusalKind::OrphanOutput, RefusalKind::OrphanOutput] => Ok("orphan_first"),
        [RefusalKind::MissingOutput, RefusalKind::OrphanOutput] => {
            Err("the fault that stands first is named, whichever it is".to_owned())
        }
        [RefusalKind::OrphanOutput, RefusalKind::MissingOutput] => {
            Err("the fault that stands last is named, whichever it is".to_owned())
        }
        _ => Err(format!(
            "refused for something else: {}",
            message(known, "open_then_orphan")
        )),
    }
}

/// What became of going on from a response that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// The response is not known.
    Nothing,
    /// It is, without the call.
    NoCall,
    /// It is, with the call.
    Call,
}

fn behind(known: &Known, name: &str) -> Result<Behind, String> {
    if accepted(known, name)? {
        return Ok(Behind::NoCall);
    }
    match named(known, name).map(|it| it.kind) {
        Some(RefusalKind::PreviousResponseNotFound) => Ok(Behind::Nothing),
        Some(RefusalKind::MissingOutput) => Ok(Behind::Call),
        _ => Err(format!(
            "'{name}' was refused for something else: {}",
            message(known, name)
        )),
    }
}

fn stored_after_cut(known: &Known) -> Settled {
    if !accepted(known, "goes_on")? {
        return Err(format!(
            "nothing goes on from a stored response here: {}",
            message(known, "goes_on")
        ));
    }
    if accepted(known, "unknown_previous")? {
        return Err("a response id that was never given out is accepted as well".to_owned());
    }
    if accepted(known, "left_open")? {
        return Err("what a whole response leaves open is not refused here".to_owned());
    }
    let half = behind(known, "after_cut_in_call")?;
    let whole = behind(known, "after_cut_behind_call")?;
    // what is kept of an answer that was not cut says nothing
    for (name, found) in [("cut_in_call", half), ("cut_behind_call", whole)] {
        let read = known.heard(&format!("read_{name}"));
        let state = read.and_then(|it| it.state.as_deref());
        if found != Behind::Nothing && state == Some("completed") {
            return Err(format!(
                "the response of '{name}' is completed there: it ran on when it was left, or was over before"
            ));
        }
    }
    match (half, whole) {
        (Behind::Nothing, Behind::Nothing) => Ok("nothing"),
        (Behind::NoCall, Behind::Call) => Ok("sent"),
        (Behind::Call, Behind::Call) => Ok("all"),
        (half, whole) => {
            let words = |it: Behind| match it {
                Behind::Nothing => "the response is not known",
                Behind::NoCall => "the response is known without its call",
                Behind::Call => "the response is known with its call",
            };
            Err(format!(
                "cut within the call, {}; cut behind it, {}",
                words(half),
                words(whole)
            ))
        }
    }
}

fn habits(known: &Known, lock: &mut Lock) {
    let mut set = |name: &str, value: &str| {
        lock.habits.insert(name.to_owned(), value.to_owned());
    };
    if let Some(sentinel) = known.heard("streamed").and_then(|it| it.done_sentinel) {
        set("done_sentinel", if sentinel { "on" } else { "off" });
    }
    let controlled = control(known, "answered_call").is_ok();
    if let (true, Ok(later)) = (controlled, accepted(known, "output_later")) {
        set("adjacency", if later { "any" } else { "deepseek" });
    }
    if let (true, Ok(search)) = (controlled, accepted(known, "unfinished_web_search")) {
        let missing = named(known, "unfinished_web_search")
            .is_some_and(|it| it.kind == RefusalKind::MissingOutput);
        if search || missing {
            set(
                "unfinished_web_search",
                if search { "accept" } else { "refuse" },
            );
        }
    }
}

/// Requests that break the contract as it is known of the API.
const BROKEN: [&str; 9] = [
    "open_call",
    "open_call_at_end",
    "open_custom_call",
    "orphan_output",
    "orphan_custom_output",
    "wrong_output_kind",
    "duplicate_item_id",
    "unknown_item",
    "unknown_previous",
];

fn facts(known: &Known, lock: &mut Lock) {
    let mut set = |name: &str, value: String| {
        lock.facts.insert(name.to_owned(), value);
    };
    let word = |name: &str| match known.said(name) {
        Some(Said::Accepted | Said::Left) => "accepted".to_owned(),
        Some(Said::Refused(refused)) => match &refused.named {
            Some(_) => "refused".to_owned(),
            None => format!("refused: {}", refused.message),
        },
        Some(Said::Nothing(why)) => format!("failed: {why}"),
        Some(Said::NotAsked(why)) => format!("not asked: {why}"),
        None => "not asked".to_owned(),
    };
    for (fact, name) in [
        ("unanswered_calls", "open_call"),
        ("unanswered_custom_calls", "open_custom_call"),
        ("unanswered_local_shell_calls", "open_local_shell_call"),
        ("unanswered_shell_calls", "open_shell_call"),
        ("unanswered_apply_patch_calls", "open_apply_patch_call"),
        ("unanswered_tool_searches", "open_tool_search_call"),
        ("orphan_outputs", "orphan_output"),
        ("wrong_output_kinds", "wrong_output_kind"),
        ("calls_left_open_on_the_server", "left_open"),
        ("duplicate_item_ids", "duplicate_item_id"),
        ("bad_item_ids", "bad_item_id"),
        ("long_call_ids", "long_call_id"),
        ("unknown_items", "unknown_item"),
        ("unknown_models", "unknown_model"),
        ("unstored_responses", "unstored_previous"),
    ] {
        set(fact, word(name));
    }
    if known.unlimited {
        set(
            "max_output_tokens",
            "not known: answers are as long as they are".to_owned(),
        );
    }
    if known.streamed {
        set("whole_answers", word("plain"));
    }
    let verdicts: Vec<_> = BROKEN.iter().map(|name| accepted(known, name)).collect();
    let everything = verdicts.iter().all(|it| *it == Ok(true));
    set("accepts_everything", everything.to_string());
    set(
        "previous_response_id",
        match (
            accepted(known, "goes_on"),
            accepted(known, "unknown_previous"),
        ) {
            (Ok(true), Ok(false)) => "works".to_owned(),
            (Ok(true), Ok(true)) => {
                "accepted, but not checked: an id that was never given out is accepted, too"
                    .to_owned()
            }
            (Ok(false), _) => format!("does not work: {}", message(known, "goes_on")),
            (Err(why), _) | (_, Err(why)) => format!("not settled: {why}"),
        },
    );
    set(
        "websocket",
        match known.heard("websocket") {
            Some(heard) if heard.said == Said::Accepted => "offered".to_owned(),
            Some(heard) => match (&heard.said, heard.status) {
                (Said::Refused(refused), _) if heard.status == Some(200) => {
                    format!(
                        "offered, but a plain message is refused: {}",
                        refused.message
                    )
                }
                // the handshake itself was answered
                (Said::Nothing(why), Some(200)) => {
                    format!("opened, but it brought no answer: {why}")
                }
                (_, Some(status)) => format!("not offered ({status})"),
                (Said::Nothing(why) | Said::NotAsked(why), None) => {
                    format!("not settled: {why}")
                }
                (_, None) => "not settled".to_owned(),
            },
            None => "not asked".to_owned(),
        },
    );
    let refused = BROKEN.iter().find_map(|name| match known.said(name) {
        Some(Said::Refused(refused)) if refused.named.is_some() => Some(refused),
        _ => None,
    });
    if let Some(refused) = refused {
        set("errors", refused.wrapper.name().to_owned());
    }
    if let Some(heard) = known.heard("streamed") {
        set(
            "streaming",
            match (&heard.said, heard.done_sentinel) {
                (Said::Accepted, Some(_)) => format!("{} events for a short answer", heard.events),
                (Said::Accepted, None) => "answers with a whole body instead".to_owned(),
                _ => word("streamed"),
            },
        );
    }
}
