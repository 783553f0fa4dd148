use super::*;
use crate::endpoint::served::Profile;

struct Talk {
    live: Live,
    answers: u32,
}

impl Talk {
    fn new() -> Self {
        Self {
            live: Live::new(Rules::default()),
            answers: 0,
        }
    }

    /// Sends a body; answers with these items if it is accepted.
    fn send(&mut self, body: &str, done: &[&str]) -> Result<String, Failure> {
        let head = RequestHead::read(body).unwrap();
        let ticket = self.live.arrive(&head, None, 0);
        if let Some(failure) = self.live.judge(&ticket) {
            return Err(failure);
        }
        self.answers += 1;
        let id = format!("resp_{}", self.answers);
        let done: Vec<String> = done.iter().map(|it| (*it).to_owned()).collect();
        self.live.answered(&ticket, &id, true, &done, &[]);
        Ok(id)
    }

    fn says(&mut self, body: &str) -> String {
        self.send(body, &[]).unwrap_err().message
    }
}

const CALL: &str =
    r#"{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{}"}"#;
const OUTPUT: &str = r#"{"type":"function_call_output","call_id":"call_1","output":"x"}"#;

#[test]
fn a_call_is_owed_by_id_and_by_history() {
    let mut talk = Talk::new();
    let first = talk.send(r#"{"input":"go"}"#, &[CALL]).unwrap();
    let next = |input: &str| format!(r#"{{"previous_response_id":"{first}","input":{input}}}"#);
    let missing = "No tool output found for function call call_1.";
    assert_eq!(talk.says(&next("\"next\"")), missing);
    assert_eq!(
        talk.says(&next(&format!("[{CALL},{OUTPUT}]"))),
        "Duplicate item found with id fc_1. Remove duplicate items from your input and try again."
    );
    talk.send(&next(&format!("[{OUTPUT}]")), &[]).unwrap();
    assert_eq!(talk.says(&format!(r#"{{"input":[{CALL}]}}"#)), missing);
    assert_eq!(
        talk.says(&format!(r#"{{"input":[{OUTPUT}]}}"#)),
        "No tool call found for function call output with call_id call_1."
    );
    assert_eq!(
        talk.says(r#"{"previous_response_id":"resp_9","input":"x"}"#),
        "Previous response with id 'resp_9' not found."
    );
}

#[test]
fn references_and_reasoning_are_looked_up() {
    let mut talk = Talk::new();
    let reasoning = r#"{"type":"reasoning","id":"rs_1","summary":[]}"#;
    talk.send(r#"{"input":"go"}"#, &[reasoning, CALL]).unwrap();
    assert_eq!(
        talk.says(&format!(r#"{{"input":[{CALL},{OUTPUT}]}}"#)),
        "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'."
    );
    assert_eq!(
        talk.says(r#"{"input":[{"type":"reasoning","id":"rs_1","summary":[]},{"role":"user","content":"x"}]}"#),
        "Item 'rs_1' of type 'reasoning' was provided without its required following item."
    );
    talk.send(
        &format!(r#"{{"input":[{{"type":"item_reference","id":"rs_1"}},{{"type":"item_reference","id":"fc_1"}},{OUTPUT}]}}"#),
        &[],
    )
    .unwrap();
    let failure = talk
        .send(
            r#"{"store":false,"input":[{"type":"item_reference","id":"fc_9"}]}"#,
            &[],
        )
        .unwrap_err();
    assert_eq!(failure.status, 404);
    assert!(
        failure
            .message
            .starts_with("Item with id 'fc_9' not found. Items are not persisted")
    );
    assert_eq!(
        talk.says(r#"{"input":[{"type":"item_reference","id":"fc_9"}]}"#),
        "Item with id 'fc_9' not found."
    );
    assert_eq!(
        talk.says(r#"{"input":[{"type":"web_search_call","id":"ws_1","status":"in_progress"}]}"#),
        "No tool output found for web search call ws_1"
    );
}

#[test]
fn conversations_hold_what_was_said() {
    let mut talk = Talk::new();
    assert_eq!(
        talk.says(r#"{"conversation":"conv_1","input":"x"}"#),
        "Conversation with id 'conv_1' not found."
    );
    let hello = r#"{"role":"user","content":"hi"}"#;
    talk.live
        .extend_conversation("conv_1", std::iter::once(hello));
    talk.send(r#"{"conversation":"conv_1","input":"go"}"#, &[CALL])
        .unwrap();
    let node = talk.live.conversation("conv_1").unwrap();
    assert_eq!(talk.live.items_of(node).len(), 3);
    assert_eq!(
        talk.says(r#"{"conversation":"conv_1","input":""}"#),
        "No tool output found for function call call_1."
    );
    assert!(talk.live.drop_conversation("conv_1"));
}

#[test]
fn deepseek_wants_outputs_behind_their_calls() {
    let mut talk = Talk::new();
    let mut rules = Rules::default();
    rules.set("adjacency=deepseek").unwrap();
    talk.live = Live::new(rules);
    let between = r#"{"role":"user","content":"wait"}"#;
    let failure = talk
        .send(&format!(r#"{{"input":[{CALL},{between},{OUTPUT}]}}"#), &[])
        .unwrap_err();
    assert_eq!(failure.message, "No tool output found for tool call call_1");
    assert_eq!(failure.param.as_deref(), Some(""));
    let other = CALL.replace("call_1", "call_2").replace("fc_1", "fc_2");
    let second = OUTPUT.replace("call_1", "call_2");
    talk.send(
        &format!(r#"{{"input":[{CALL},{other},{second},{OUTPUT}]}}"#),
        &[],
    )
    .unwrap();
}

#[test]
fn arguments_that_are_no_json_matter_to_the_backend_only() {
    let body = format!(r#"{{"input":[{},{OUTPUT}]}}"#, CALL.replace("{}", "{\\\"a"));
    let mut talk = Talk::new();
    talk.send(&body, &[]).unwrap();
    talk.live = Live::new(Rules {
        profile: Profile::CodexBackend,
        ..Rules::default()
    });
    assert!(talk.says(&body).contains("must be valid JSON"));
}

#[test]
fn a_websocket_remembers_its_latest_response_only() {
    let mut live = Live::new(Rules::default());
    let mut send = |body: &str, on: u32, id: &str| {
        let head = RequestHead::read(body).unwrap();
        let ticket = live.arrive(&head, Some(on), 0);
        if let Some(failure) = live.judge(&ticket) {
            return failure.code;
        }
        live.answered(&ticket, id, true, &[], &[]);
        None
    };
    let go = |previous: &str| {
        format!(r#"{{"store":false,"input":"x","previous_response_id":"{previous}"}}"#)
    };
    let not_found: Option<Box<str>> = Some("previous_response_not_found".into());
    assert_eq!(send(r#"{"store":false,"input":"x"}"#, 1, "resp_1"), None);
    assert_eq!(send(&go("resp_1"), 2, "resp_x"), not_found);
    assert_eq!(send(&go("resp_1"), 1, "resp_2"), None);
    assert_eq!(send(&go("resp_1"), 1, "resp_x"), not_found);
    // a failed continuation evicts what it went on from
    let failing = r#"{"store":false,"previous_response_id":"resp_2","input":[{"type":"function_call_output","call_id":"c","output":""}]}"#;
    assert_eq!(send(failing, 1, "resp_x"), None);
    assert_eq!(send(&go("resp_2"), 1, "resp_x"), not_found);
}

#[test]
fn equal_conversations_have_equal_keys() {
    let mut live = Live::new(Rules::default());
    let mut key = |body: &str| {
        let ticket = live.arrive(&RequestHead::read(body).unwrap(), None, 0);
        live.key(ticket.node())
    };
    let one = key(&format!(
        r#"{{"input":[{{"role":"user","content":"go"}},{CALL},{OUTPUT}]}}"#
    ));
    let renamed = CALL.replace("call_1", "call_9").replace("fc_1", "fc_9");
    let other = key(&format!(
        r#"{{"input":[{{"type":"message","role":"user","content":[{{"type":"input_text","text":"go"}}]}},{renamed},{}]}}"#,
        OUTPUT.replace("call_1", "call_9")
    ));
    assert_eq!(one, other);
    let result = key(&format!(
        r#"{{"input":[{{"role":"user","content":"go"}},{CALL},{}]}}"#,
        OUTPUT.replace("\"x\"", "\"y\"")
    ));
    assert_eq!(one.lenient, result.lenient);
    assert_ne!(one.strict, result.strict);
    let word = key(&format!(
        r#"{{"input":[{{"role":"user","content":"stop"}},{CALL},{OUTPUT}]}}"#
    ));
    assert_ne!(one.lenient, word.lenient);
}
