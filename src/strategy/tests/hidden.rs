//! Sessions of which the beginning is not on file.

use crate::contract::Outcome;
use crate::session::{Session, exchanges};
use crate::strategy::{self, Options, Strategy};

const CHAIN: &str = concat!(
    r#"{"request":{"previous_response_id":"resp_before","input":[{"type":"function_call_output","call_id":"old","output":"real"}]},"status":200,"body":"data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"call_id\":\"new\",\"arguments\":\"{}\"}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\n"}"#,
    "\n",
    r#"{"request":{"previous_response_id":"resp_1","input":[{"role":"user","content":"go on"}]},"status":400,"body":{"error":{"message":"No tool output found for function call new.","type":"invalid_request_error","param":"input","code":null}}}"#,
    "\n",
);

fn run(text: &str, strategy: Strategy) -> strategy::Run {
    let session = Session::Recording(exchanges::read(text.as_bytes()).unwrap());
    strategy::run(&session, strategy, &Options::default())
}

#[test]
fn an_output_for_a_call_before_the_file_is_no_orphan() {
    let none = run(CHAIN, Strategy::None);
    assert_eq!(none.requests[0].outcome, Outcome::Accepted);
    assert_eq!(none.requests[0].agrees, Some(true));
    assert!(none.requests[1].is_refused());
    assert_eq!(none.requests[1].agrees, Some(true));
}

#[test]
fn nobody_sends_a_whole_history_that_is_not_on_file() {
    for strategy in [
        Strategy::Normalize,
        Strategy::FullHistory,
        Strategy::HistoryScan,
        Strategy::DropTurn,
    ] {
        let run = run(CHAIN, strategy);
        for request in &run.requests {
            let refused_for_certain = request
                .refusal
                .is_some_and(|fault| fault.call.is_some_and(|call| call.number() == 1));
            assert!(
                request.outcome == Outcome::Unknown || refused_for_certain,
                "{strategy:?} {request:?}"
            );
            assert!(request.removed.is_empty() || strategy == Strategy::DropTurn);
        }
    }
}

#[test]
fn what_a_reference_stands_for_is_part_of_the_history() {
    let text = concat!(
        r#"{"request":{"input":[{"role":"user","content":"go"}]},"status":200,"body":"data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"a\",\"arguments\":\"{}\"}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\n"}"#,
        "\n",
        r#"{"request":{"input":[{"role":"user","content":"go"},{"type":"item_reference","id":"fc_1"},{"type":"function_call_output","call_id":"a","output":"real"}]},"status":200,"body":""}"#,
        "\n",
    );
    let normalized = run(text, Strategy::Normalize);
    assert!(normalized.requests.iter().all(|request| !request.changed));
    let lost = text.replace(
        r#",{"type":"function_call_output","call_id":"a","output":"real"}"#,
        "",
    );
    let lost = lost.replace(r#""status":200,"body":""}"#, r#""status":null,"body":""}"#);
    assert!(run(&lost, Strategy::None).requests[1].is_refused());
    let normalized = run(&lost, Strategy::Normalize);
    let [injected] = &normalized.requests[1].injected[..] else {
        panic!("{:?}", normalized.requests[1])
    };
    assert_eq!(injected.position, 2);
    assert!(normalized.score.accepted);
}
