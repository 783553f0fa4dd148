//! What is said of a point is what is said of the session that is really cut there.

use proptest::prelude::*;

use super::rollouts::{any_op, write};
use super::server::{any_mode, any_round, any_world, talk};
use crate::contract::{Outcome, Policy};
use crate::rollout::{NoLibrary, reader};
use crate::session::Session;
use crate::strategy::interrupt::{self, Next, Point, Told, Who};
use crate::strategy::{self, Options, Probe, Strategy};
use crate::wire::refusal::RefusalKind;

const NEXTS: [Next; 3] = [
    Next {
        who: Who::Client,
        base: None,
    },
    Next {
        who: Who::Upstream,
        base: None,
    },
    Next {
        who: Who::Kill,
        base: None,
    },
];

fn by_id(outcome: &Outcome) -> bool {
    let (Outcome::Refused(fault) | Outcome::Depends { fault, .. }) = outcome else {
        return false;
    };
    matches!(
        fault.kind,
        RefusalKind::DuplicateItem | RefusalKind::BadItemId | RefusalKind::CallIdTooLong
    )
}

/// Cuts the session at every point for real and holds both results against each other; returns how many there were.
fn compare(
    session: &Session,
    policies: &[(Policy, usize)],
    stride: usize,
) -> Result<usize, TestCaseError> {
    let points: Vec<Point> = interrupt::points(session);
    let options = Options {
        policies: policies.to_vec(),
        probe: Probe::Auto,
    };
    let mut compared = 0;
    for strategy in Strategy::ALL {
        // of a cut file one may tell less about its client
        if strategy == Strategy::AsClient {
            continue;
        }
        let mut all: Vec<(usize, usize, Told)> = Vec::new();
        interrupt::ask(
            session,
            strategy,
            policies,
            &points,
            &NEXTS,
            &mut |at, next, told| {
                all.push((at, next, told));
            },
        );
        let expected: usize = points
            .iter()
            .map(|point| {
                let asked = NEXTS
                    .iter()
                    .filter(|next| interrupt::applies(point, **next));
                asked.count()
            })
            .sum();
        prop_assert_eq!(all.len(), expected);
        for (number, (at, next, told)) in all.iter().enumerate() {
            if number % stride != 0 {
                continue;
            }
            let Some(cut) = interrupt::cut(session, &points[*at], NEXTS[*next]) else {
                continue;
            };
            let run = strategy::run(&cut, strategy, &options);
            let last = run.requests.last().unwrap();
            let place = format!("{strategy:?} {:?} {:?}", NEXTS[*next], points[*at]);
            // a recording is taken at its word, ids included; what is asked for may leave them out
            if by_id(&last.outcome) && last.outcome != told.outcome {
                continue;
            }
            prop_assert_eq!(&last.outcome, &told.outcome, "{}", &place);
            prop_assert_eq!(&last.injected[..], &told.made_up[..], "{}", &place);
            prop_assert_eq!(last.removed.len() as u32, told.lost, "{}", &place);
            prop_assert_eq!(last.loops, told.loops, "{}", &place);
            let is_false = last.injected.iter().any(|it| it.is_false);
            prop_assert_eq!(is_false, told.false_statements > 0, "{}", &place);
            compared += 1;
        }
    }
    Ok(compared)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn of_recordings(
        mode in any_mode(),
        world in any_world(),
        rounds in prop::collection::vec(any_round(), 1..5),
    ) {
        let session = Session::Recording(talk(world, mode, &rounds).recording());
        compare(&session, &[], 1)?;
    }

    #[test]
    fn of_rollouts(era in 0..5_u8, ops in prop::collection::vec(any_op(), 1..20)) {
        let (text, _) = write(era, ops);
        let Ok(rollout) = reader::read(text.as_bytes(), &NoLibrary) else { return Ok(()) };
        compare(&Session::Rollout(rollout), &[], 1)?;
    }
}

/// Codex 0.8 goes on from responses that are stored, and the first request of a thread does not show it: interrupted in its
/// first tool, it sends the output of the call behind that response, where the API looks for it.
#[test]
fn a_client_that_chains_is_known_by_its_version() {
    let of = |version: &str| {
        let lines = [
            serde_json::json!({"kind": "session", "format": 1, "id": "a"}),
            serde_json::json!({"kind": "request", "exchange": 1, "at_us": 1, "transport": "http", "method": "POST", "path": "/v1/responses",
                "headers": [["user-agent", format!("codex_cli_rs/{version}")]], "body": {"model": "m", "store": true, "input": [{"role": "user", "content": "begin"}]}}),
            serde_json::json!({"kind": "response", "exchange": 1, "at_us": 2, "status": 200}),
            serde_json::json!({"kind": "chunk", "exchange": 1, "at_us": 3, "text": super::server::sse(&[
                serde_json::json!({"type": "response.created", "response": {"id": "resp_1"}}),
                serde_json::json!({"type": "response.output_item.done", "output_index": 0, "item":
                    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell", "arguments": "{}"}}),
                serde_json::json!({"type": "response.completed", "response": {"id": "resp_1", "output": []}}),
            ])}),
            serde_json::json!({"kind": "end", "exchange": 1, "at_us": 4, "cause": "complete"}),
        ];
        let text: String = lines
            .iter()
            .flat_map(|it| [it.to_string(), "\n".to_owned()])
            .collect();
        Session::Recording(crate::session::reader::read(text.as_bytes()).unwrap())
    };
    let in_tool = |session: &Session| {
        let points = interrupt::points(session);
        let points: Vec<Point> = points
            .into_iter()
            .filter(|it| it.stage == interrupt::Stage::InTool)
            .collect();
        let mut told = Vec::new();
        interrupt::ask(
            session,
            Strategy::AsClient,
            &[],
            &points,
            &NEXTS[..1],
            &mut |_, _, it| told.push(it.outcome),
        );
        assert_eq!(told.len(), 1);
        told.remove(0)
    };
    let old = of("0.8.0");
    assert_eq!(interrupt::habit(&old, 0), Some(interrupt::Base::Complete));
    assert_eq!(in_tool(&old), Outcome::Accepted);
    let new = of("0.20.0");
    assert_eq!(interrupt::habit(&new, 0), Some(interrupt::Base::Whole));
}
