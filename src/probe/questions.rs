//! The requests of a probe: small, made up where no model is needed for them, each with what it is asked for.

use serde_json::{Map, Value, json};

use super::Known;
use crate::replay::call::Leave;

/// A request, and what it is for.
pub struct Question {
    /// Its name.
    pub name: &'static str,
    /// What it holds, in a few words.
    pub about: &'static str,
    make: fn(&Known) -> Made,
}

type Made = Result<Asked, String>;

/// A request as it is sent.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Its body.
    pub body: Value,
    /// Where the answer is left.
    pub leave: Leave,
    /// Whether it goes over a WebSocket.
    pub websocket: bool,
    /// What is read in place of asking, below the base URL.
    pub read: Option<String>,
}

impl Question {
    /// The request, as far as it can be made from what earlier answers brought.
    ///
    /// # Errors
    /// A sentence that says why it cannot be asked.
    pub fn ask(&self, known: &Known) -> Result<Asked, String> {
        let mut asked = (self.make)(known)?;
        if let Value::Object(members) = &mut asked.body {
            let mut body = Map::new();
            let default = json!({
                "model": known.model, "input": [], "max_output_tokens": 16, "store": false,
                "stream": known.streamed,
            });
            if let Value::Object(default) = default {
                body.extend(default);
            }
            body.append(members);
            if known.unlimited {
                body.shift_remove(super::LIMIT);
            }
            if asked.websocket {
                body.shift_remove("stream");
                body.insert("type".to_owned(), "response.create".into());
            }
            *members = body;
        }
        Ok(asked)
    }
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": text})
}

fn begin() -> Value {
    user("Say ok.")
}

fn go_on() -> Value {
    user("Go on.")
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "look_up", "arguments": "{\"key\":\"a\"}"})
}

fn output(id: &str) -> Value {
    told(id, "found")
}

fn told(id: &str, text: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": text})
}

fn custom_call(id: &str) -> Value {
    json!({"type": "custom_tool_call", "call_id": id, "name": "look_up", "input": "a"})
}

fn custom_output(id: &str) -> Value {
    json!({"type": "custom_tool_call_output", "call_id": id, "output": "found"})
}

fn tools() -> Value {
    json!([{"type": "function", "name": "look_up", "description": "Looks a key up. Always call it.",
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"],
            "additionalProperties": false}, "strict": true}])
}

/// What the server says of a response that was left.
fn read(known: &Known, name: &str) -> Made {
    known.was_left(name)?;
    Ok(Asked {
        read: Some(format!("responses/{}", known.response(name)?)),
        ..Asked::default()
    })
}

/// `input` and nothing else.
fn just<const N: usize>(input: [Value; N]) -> Made {
    with(input, &json!({}))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "most questions are made of this alone"
)]
fn with<const N: usize>(input: [Value; N], members: &Value) -> Made {
    Ok(asked(input.into(), members))
}

fn asked(input: Value, members: &Value) -> Asked {
    let mut body = Map::new();
    body.insert("input".to_owned(), input);
    if let Some(members) = members.as_object() {
        body.extend(members.clone());
    }
    Asked {
        body: body.into(),
        ..Asked::default()
    }
}

/// A request on which the model is to call a tool.
fn wants_call(streamed: bool, leave: Leave) -> Made {
    let members = json!({"tools": tools(), "tool_choice": "required", "max_output_tokens": 300, "store": true,
        "stream": streamed});
    let input = [user("Look up the key 'a', and nothing else.")];
    with(input, &members).map(|asked| Asked { leave, ..asked })
}

fn behind<const N: usize>(known: &Known, name: &str, input: [Value; N]) -> Made {
    let id = known.response(name)?;
    let members = json!({"previous_response_id": id, "store": true, "tools": tools()});
    with(input, &members)
}

/// The questions in their order; some go on from the answers of earlier ones.
#[rustfmt::skip]
pub const ALL: &[Question] = &[
    Question { name: "plain", about: "a message", make: |_| just([begin()]) },
    Question { name: "streamed", about: "a message, streamed", make: |_| with([begin()], &json!({"stream": true})) },
    Question { name: "answered_call", about: "a made-up call and its output",
        make: |_| just([begin(), call("call_a"), output("call_a")]) },
    Question { name: "answered_custom_call", about: "a made-up custom call and its output",
        make: |_| just([begin(), custom_call("call_a"), custom_output("call_a")]) },
    Question { name: "open_call", about: "a call without output, a message behind it",
        make: |_| just([begin(), call("call_a"), go_on()]) },
    Question { name: "open_call_at_end", about: "a call without output at the end",
        make: |_| just([begin(), call("call_a")]) },
    Question { name: "open_custom_call", about: "a custom call without output",
        make: |_| just([begin(), custom_call("call_a"), go_on()]) },
    Question { name: "open_local_shell_call", about: "a local shell call without output",
        make: |_| just([begin(), json!({"type": "local_shell_call", "id": "lsh_a", "call_id": "call_a", "status": "completed",
            "action": {"type": "exec", "command": ["true"], "env": {}}}), go_on()]) },
    Question { name: "open_shell_call", about: "a shell call without output",
        make: |_| just([begin(), json!({"type": "shell_call", "call_id": "call_a", "status": "completed",
            "action": {"commands": ["true"]}}), go_on()]) },
    Question { name: "open_apply_patch_call", about: "an apply patch call without output",
        make: |_| just([begin(), json!({"type": "apply_patch_call", "call_id": "call_a", "status": "completed",
            "operation": {"type": "delete_file", "path": "a"}}), go_on()]) },
    Question { name: "open_tool_search_call", about: "a client's tool search call without output",
        make: |_| just([begin(), json!({"type": "tool_search_call", "call_id": "call_a", "execution": "client",
            "status": "completed", "arguments": {}}), go_on()]) },
    Question { name: "orphan_output", about: "an output without call",
        make: |_| just([begin(), output("call_x")]) },
    Question { name: "orphan_custom_output", about: "a custom output without call",
        make: |_| just([begin(), custom_output("call_x")]) },
    Question { name: "wrong_output_kind", about: "a call answered by a custom output",
        make: |_| just([begin(), call("call_a"), custom_output("call_a")]) },
    Question { name: "output_before_call", about: "an output directly in front of its call",
        make: |_| just([begin(), output("call_a"), call("call_a"), go_on()]) },
    Question { name: "output_in_front", about: "an output at the very front, its call at the end",
        make: |_| just([output("call_a"), begin(), call("call_a"), go_on()]) },
    Question { name: "output_later", about: "a message between a call and its output",
        make: |_| just([begin(), call("call_a"), go_on(), output("call_a")]) },
    Question { name: "duplicate_output", about: "the same output twice",
        make: |_| just([begin(), call("call_a"), output("call_a"), output("call_a")]) },
    Question { name: "second_output", about: "two outputs for one call that say different things",
        make: |_| just([begin(), call("call_a"), output("call_a"), told("call_a", "aborted")]) },
    Question { name: "duplicate_call", about: "two calls with one id, and two outputs",
        make: |_| just([begin(), call("call_a"), call("call_a"), output("call_a"), output("call_a")]) },
    Question { name: "two_open_calls", about: "two calls without output",
        make: |_| just([begin(), call("call_b"), call("call_a"), go_on()]) },
    Question { name: "two_open_calls_apart", about: "two calls without output, a message between them",
        make: |_| just([begin(), call("call_b"), go_on(), call("call_a"), go_on()]) },
    Question { name: "open_then_orphan", about: "a call without output, then an output without call",
        make: |_| just([begin(), call("call_a"), output("call_x"), go_on()]) },
    Question { name: "orphan_then_open", about: "an output without call, then a call without output",
        make: |_| just([begin(), output("call_x"), call("call_a"), go_on()]) },
    Question { name: "unanswered_approval", about: "an approval request that nothing answers",
        make: |_| just([begin(), json!({"type": "mcp_approval_request", "id": "mcpr_a", "server_label": "a", "name": "look_up",
            "arguments": "{}"}), go_on()]) },
    Question { name: "answered_approval", about: "the same with its response",
        make: |_| just([begin(), json!({"type": "mcp_approval_request", "id": "mcpr_a", "server_label": "a", "name": "look_up",
            "arguments": "{}"}), json!({"type": "mcp_approval_response", "approval_request_id": "mcpr_a", "approve": false}), go_on()]) },
    Question { name: "reasoning_made", about: "a message that is to be thought about",
        make: |_| with([user("Think: is 91 prime?")], &json!({"reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"], "max_output_tokens": 600})) },
    Question { name: "lone_reasoning", about: "that reasoning without what it led to; if there is none, made-up reasoning",
        make: |known| just([begin(), known.reasoning(), go_on()]) },
    Question { name: "unfinished_web_search", about: "a web search that is still in progress",
        make: |_| just([begin(), json!({"type": "web_search_call", "id": "ws_a", "status": "in_progress",
            "action": {"type": "search", "query": "a"}}), go_on()]) },
    Question { name: "duplicate_item_id", about: "two items with one id",
        make: |_| just([begin(), json!({"type": "function_call", "id": "fc_a", "call_id": "call_a", "name": "look_up",
            "arguments": "{}"}), output("call_a"), json!({"type": "function_call", "id": "fc_a", "call_id": "call_b", "name": "look_up",
            "arguments": "{}"}), output("call_b")]) },
    Question { name: "bad_item_id", about: "a call whose id has another prefix",
        make: |_| just([begin(), json!({"type": "function_call", "id": "zz_a", "call_id": "call_a", "name": "look_up",
            "arguments": "{}"}), output("call_a")]) },
    Question { name: "long_call_id", about: "a call id of 65 characters",
        make: |_| { let id = format!("call_{}", "a".repeat(60)); just([begin(), call(&id), output(&id)]) } },
    Question { name: "unknown_item", about: "a reference to an item that was never made",
        make: |_| just([begin(), json!({"type": "item_reference", "id": "msg_00000000000000000000000000000000000000000000000000"})]) },
    Question { name: "unknown_previous", about: "a response id that was never given out",
        make: |_| with([go_on()], &json!({"previous_response_id": "resp_000000000000000000000000000000000000000000000000"})) },
    Question { name: "unstored_previous", about: "going on from a response that was not to be stored",
        make: |known| with([go_on()], &json!({"previous_response_id": known.response("plain").or_else(|_| known.response("streamed"))?})) },
    Question { name: "stored", about: "a message whose response is stored", make: |_| with([begin()], &json!({"store": true})) },
    Question { name: "goes_on", about: "going on from it", make: |known| behind(known, "stored", [go_on()]) },
    Question { name: "call_made", about: "a message on which a tool must be called, stored", make: |known| wants_call(known.streamed, Leave::Never) },
    Question { name: "left_open", about: "going on from it without the output",
        make: |known| { known.call("call_made")?; behind(known, "call_made", [go_on()]) } },
    Question { name: "answered", about: "going on from it with the output",
        make: |known| { let id = known.call("call_made")?; behind(known, "call_made", [output(&id)]) } },
    Question { name: "cut_in_call", about: "the same, streamed, and we leave when the call has begun",
        make: |_| wants_call(true, Leave::AtCall("response.output_item.added")) },
    Question { name: "after_cut_in_call", about: "going on from that without the output",
        make: |known| { known.was_left("cut_in_call")?; behind(known, "cut_in_call", [go_on()]) } },
    Question { name: "read_cut_in_call", about: "GET: what became of the response that was left",
        make: |known| read(known, "cut_in_call") },
    Question { name: "cut_behind_call", about: "the same, and we leave when the call is whole",
        make: |_| wants_call(true, Leave::AtCall("response.output_item.done")) },
    Question { name: "after_cut_behind_call", about: "going on from that without the output",
        make: |known| { known.was_left("cut_behind_call")?; behind(known, "cut_behind_call", [go_on()]) } },
    Question { name: "read_cut_behind_call", about: "GET: what became of the response that was left",
        make: |known| read(known, "cut_behind_call") },
    Question { name: "unknown_model", about: "a model that does not exist",
        make: |_| with([begin()], &json!({"model": "replay-no-such-model"})) },
    Question { name: "websocket", about: "a message on a WebSocket",
        make: |_| just([begin()]).map(|asked| Asked { websocket: true, ..asked }) },
];
