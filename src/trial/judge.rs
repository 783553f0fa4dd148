//! What the requests behind a cut say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Did, Result};
use crate::contract::{Outcome, Policy};
use crate::endpoint::served::journal::Entry;
use crate::session::{Session, request_file};
use crate::strategy::{self, Options, Probe, Strategy};
use crate::wire::item::says_aborted;

/// What one request says, as far as it matters here.
#[derive(Default)]
struct Said {
    /// Whether it carries its history itself.
    whole: bool,
    /// Whether it names a response or a conversation.
    goes_on: bool,
    calls: BTreeSet<String>,
    /// Outputs, with whether each is real.
    outputs: BTreeMap<String, bool>,
    users: Vec<String>,
}

fn said(body: &Value) -> Said {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let names = |key: &str| !body.get(key).is_none_or(Value::is_null);
    let goes_on = names("previous_response_id") || names("conversation");
    let mut found = Said {
        whole: !goes_on,
        goes_on,
        ..Said::default()
    };
    let input = match body.get("input") {
        Some(Value::Array(items)) => items.as_slice(),
        Some(Value::String(words)) => {
            found.users.push(words.clone());
            &[]
        }
        _ => &[],
    };
    for item in input {
        let kind = text(item, "type").unwrap_or_default();
        let call = text(item, "call_id").or_else(|| text(item, "id"));
        if kind.ends_with("_output") {
            let output = match item.get("output") {
                Some(Value::String(words)) => words.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            if let Some(call) = call {
                // of several outputs the real one counts
                let real = !says_aborted(&output);
                *found.outputs.entry(call).or_default() |= real;
            }
        } else if kind.ends_with("_call") {
            found.calls.extend(call);
        } else if text(item, "role").as_deref() == Some("user") {
            found.users.push(words_of(item.get("content")));
        }
    }
    found
}

fn words_of(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(words)) => words.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

/// The requests with what they say, without warm-ups; and how many of them came up to the `cut`-th entry.
///
/// A warm-up asks for no output, it opens a response. Where it holds nothing, the request that goes on from it carries its
/// whole history itself.
fn requests(entries: &[Entry], cut: usize) -> (Vec<(&Entry, Said)>, usize) {
    let mut found = Vec::new();
    let mut upto = 0;
    let mut warm: BTreeSet<&Option<String>> = BTreeSet::new();
    for (at, entry) in entries.iter().enumerate() {
        let body: Value = serde_json::from_slice(&entry.body).unwrap_or(Value::Null);
        let is_warm_up = body.get("generate").and_then(Value::as_bool) == Some(false);
        if is_warm_up && !entry.broke_contract() {
            let input = body.get("input").and_then(Value::as_array);
            if input.is_none_or(Vec::is_empty) {
                warm.insert(&entry.lane);
            }
            continue;
        }
        let mut said = said(&body);
        said.whole |= warm.remove(&entry.lane);
        found.push((entry, said));
        if at <= cut {
            upto = found.len();
        }
    }
    (found, upto)
}

/// Judges what came behind the cut request, which is the `cut`-th of `entries`, counted from 0.
pub(super) fn judge(entries: &[Entry], cut: usize, policies: &[(Policy, usize)]) -> Result {
    let (all, upto) = requests(entries, cut);
    let (before, behind) = all.split_at(upto);
    let mut real: BTreeSet<String> = BTreeSet::new();
    let mut first_words: Option<String> = None;
    for (_, said) in before {
        let outputs = said.outputs.iter().filter(|(_, real)| **real);
        real.extend(outputs.map(|(call, _)| call.clone()));
        first_words = first_words.or_else(|| said.users.last().cloned());
    }
    let mut falsehoods = BTreeSet::new();
    let mut lost = BTreeSet::new();
    let mut depends_on = BTreeSet::new();
    let mut history_lost = false;
    for (entry, said) in behind {
        for (call, is_real) in &said.outputs {
            if !is_real && real.contains(call) {
                falsehoods.insert(call.clone());
            }
        }
        if said.whole {
            let gone = real.iter().filter(|call| !said.outputs.contains_key(*call));
            lost = gone.cloned().collect();
            let kept = |words: &String| said.users.iter().any(|it| it.contains(words.as_str()));
            history_lost = first_words.as_ref().is_some_and(|words| !kept(words));
        }
        if !said.goes_on {
            depends_on.extend(depends(entry, policies));
        }
        let outputs = said.outputs.iter().filter(|(_, real)| **real);
        real.extend(outputs.map(|(call, _)| call.clone()));
    }
    let entries = behind.iter().map(|(entry, _)| *entry);
    let refused: Vec<&Entry> = entries.filter(|it| it.broke_contract()).collect();
    let stuck = behind
        .last()
        .is_some_and(|(entry, _)| entry.broke_contract());
    let untrue = !falsehoods.is_empty() || !lost.is_empty();
    let did = match behind.is_empty() {
        true => Did::Silent,
        _ if stuck => Did::Stuck,
        _ if !refused.is_empty() => Did::Refused,
        _ if !depends_on.is_empty() => Did::Depends,
        _ if untrue => Did::Untrue,
        _ if history_lost => Did::Forgets,
        _ => Did::Accepted,
    };
    Result {
        did,
        requests: behind.len() as u32,
        refused: refused.len() as u32,
        message: refused
            .first()
            .and_then(|it| it.refused.as_ref())
            .map(|it| it.message.clone()),
        falsehoods: falsehoods.into_iter().collect(),
        outputs_lost: lost.into_iter().collect(),
        history_lost,
        depends_on: depends_on.into_iter().collect(),
        timed_out: false,
        note: None,
    }
}

/// The policies that decide about a request which carries its history itself: the endpoint judges in one world only.
fn depends(entry: &Entry, policies: &[(Policy, usize)]) -> Vec<String> {
    if entry.broke_contract() {
        return Vec::new();
    }
    let Ok(recording) = request_file::read(entry.body.as_ref()) else {
        return Vec::new();
    };
    let options = Options {
        policies: policies.to_vec(),
        probe: Probe::Never,
    };
    let run = strategy::run(&Session::Recording(recording), Strategy::None, &options);
    run.requests
        .iter()
        .filter_map(|request| match &request.outcome {
            Outcome::Depends { on, .. } => Some(on),
            _ => None,
        })
        .flatten()
        .map(|on| on.policy.name().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::failure::Failure;
    use serde_json::json;

    fn entry(body: &Value, refused: bool) -> Entry {
        Entry {
            judged: true,
            refused: refused.then(|| Failure::invalid("No tool output found.")),
            body: body.to_string().into(),
            ..Entry::default()
        }
    }

    fn output(text: &str) -> Value {
        json!({"type": "function_call_output", "call_id": "call_A", "output": text})
    }

    #[test]
    fn a_request_behind_an_empty_warm_up_is_whole() {
        let user = json!({"role": "user", "content": "begin"});
        let call =
            json!({"type": "function_call", "call_id": "call_A", "name": "f", "arguments": "{}"});
        let warm = entry(&json!({"generate": false, "input": []}), false);
        let on = |input: Value| {
            entry(
                &json!({"previous_response_id": "resp_w", "input": input}),
                false,
            )
        };
        let asked = on(json!([user, call, output("found")]));
        let judged =
            |last: Entry| judge(&[warm.clone(), asked.clone(), warm.clone(), last], 1, &[]);
        let kept = judged(on(json!([user, call, output("found")])));
        assert_eq!((kept.did, kept.requests), (Did::Accepted, 1));
        assert_eq!(judged(on(json!([user]))).did, Did::Untrue);
        let forgets = judged(on(json!([call, output("found")])));
        assert_eq!(forgets.did, Did::Forgets);
        // what follows on the same connection holds only what is new
        let further = [warm.clone(), asked.clone(), on(json!([output("found")]))];
        assert_eq!(judge(&further, 1, &[]).did, Did::Accepted);
        // a warm-up alone is no answer of a client
        assert_eq!(
            judge(&[warm.clone(), asked.clone(), warm.clone()], 1, &[]).did,
            Did::Silent
        );
    }

    #[test]
    fn what_a_client_says_behind_a_cut_is_held_against_what_it_said_before() {
        let user = json!({"role": "user", "content": "begin"});
        let call =
            json!({"type": "function_call", "call_id": "call_A", "name": "f", "arguments": "{}"});
        let first = entry(&json!({"input": [user]}), false);
        let second = entry(&json!({"input": [user, call, output("found")]}), false);
        let judged = |input: Value| {
            let last = entry(&json!({"input": input}), false);
            judge(&[first.clone(), second.clone(), last], 1, &[])
        };
        assert_eq!(
            judged(json!([user, call, output("found")])).did,
            Did::Accepted
        );
        let untrue = judged(json!([user, call, output("aborted")]));
        assert_eq!(
            (untrue.did, untrue.falsehoods),
            (Did::Untrue, vec!["call_A".to_owned()])
        );
        let lost = judged(json!([user]));
        assert_eq!((lost.did, lost.outputs_lost.len()), (Did::Untrue, 1));
        assert!(judged(json!([{"role": "user", "content": "go on"}])).history_lost);
        let other = json!([call, output("found"), {"role": "user", "content": "go on"}]);
        assert_eq!(judged(other).did, Did::Forgets);
        let early = judged(json!([output("found"), user, call]));
        assert_eq!(early.did, Did::Depends);
        assert_eq!(early.depends_on, ["output_before_call"]);
        assert_eq!(
            judge(&[first.clone(), second.clone()], 1, &[]).did,
            Did::Silent
        );
        let refused = entry(
            &json!({"previous_response_id": "resp_1", "input": []}),
            true,
        );
        let stuck = judge(&[first.clone(), second.clone(), refused.clone()], 1, &[]);
        assert_eq!((stuck.did, stuck.refused), (Did::Stuck, 1));
        let then = judge(&[first, second.clone(), refused, second], 1, &[]);
        assert_eq!(then.did, Did::Refused);
    }
}
