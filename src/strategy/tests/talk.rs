//! Random conversations with a server in a hidden world, the naive judge for its answers. What they said to each other
//! becomes a recording.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::server::{Server, sse};
use crate::contract::tests::naive::{self, Asked};
use crate::contract::{Policy, World};
use crate::session::exchange::{EndCause, Recording};
use crate::session::format::{
    Cause, ConnectionLine, EndLine, FrameLine, RequestLine, ResponseLine, SessionLine,
};
use crate::session::reader;
use crate::session::writer::Writer;
use crate::wire::refusal::RefusalKind;

/// How the client goes on from one request to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `previous_response_id` and what is new.
    Chained,
    /// Everything, each time.
    Whole,
    /// The same with `store: false`.
    WholeUnstored,
    /// Everything, what the server stored by reference.
    References,
    /// Chained on a WebSocket with `store: false`.
    Socket,
    /// By a conversation whose beginning is not on file.
    Conversation,
}

/// What happens to one call that the model made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Answered,
    Lost,
    Twice,
    WrongKind,
    Early,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Whole,
    /// Behind so many items; the next one is begun.
    Cut(usize),
    /// The request met a 500 and is sent again.
    Failed,
    /// Nothing came at all.
    Silent,
}

/// One request and its answer.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one chance taken or not"
)]
pub(super) struct Round {
    pub(super) user: bool,
    pub(super) calls: Vec<(u8, Fate)>,
    pub(super) reasoning: bool,
    pub(super) ending: Ending,
    /// On what a chained client goes on after a cut: on the cut response.
    pub(super) follows_cut: bool,
    /// Whether it keeps what came before a cut.
    pub(super) keeps_cut: bool,
    /// Whether a call item is sent back although the server holds it.
    pub(super) resends: bool,
    /// Whether it sends the same request again after a refusal.
    pub(super) retries: bool,
}

pub(super) fn any_round() -> impl Strategy<Value = Round> {
    let fate = prop_oneof![
        8 => Just(Fate::Answered),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => Just(Fate::WrongKind),
        1 => Just(Fate::Early),
    ];
    let ending = prop_oneof![
        8 => Just(Ending::Whole),
        2 => (0..4_usize).prop_map(Ending::Cut),
        1 => Just(Ending::Failed),
        1 => Just(Ending::Silent),
    ];
    (
        any::<bool>(),
        prop::collection::vec((0..4_u8, fate), 0..3),
        prop::bool::weighted(0.2),
        ending,
        any::<[bool; 4]>(),
    )
        .prop_map(|(user, calls, reasoning, ending, flags)| Round {
            user,
            calls,
            reasoning,
            ending,
            follows_cut: flags[0],
            keeps_cut: flags[1],
            resends: flags[2] && flags[3] && flags[0],
            retries: flags[3],
        })
}

pub(super) fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        3 => Just(Mode::Chained),
        3 => Just(Mode::Whole),
        1 => Just(Mode::WholeUnstored),
        1 => Just(Mode::References),
        2 => Just(Mode::Socket),
        1 => Just(Mode::Conversation),
    ]
}

/// A world; the wording of refused duplicates is nobody's, so they are accepted.
pub(super) fn any_world() -> impl Strategy<Value = World> {
    any::<[u8; 8]>().prop_map(|values| {
        Policy::ALL
            .into_iter()
            .zip(values)
            .filter(|(policy, _)| {
                !matches!(
                    policy,
                    Policy::DuplicateOutput | Policy::DuplicateCall | Policy::UnansweredApproval
                )
            })
            .fold(World::DEFAULT, |world, (policy, value)| {
                world.with(policy, value as usize % policy.values().len())
            })
    })
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Refused,
    /// No word of the contract.
    Nothing,
}

/// A conversation as it went.
pub(super) struct Told {
    pub(super) text: Vec<u8>,
    /// How each request was answered, further attempts included.
    pub(super) answers: Vec<Answer>,
    /// Everything that the last request carried and got, where the client sends everything.
    pub(super) last: Vec<Value>,
}

impl Told {
    pub(super) fn recording(&self) -> Recording {
        reader::read(&self.text[..]).unwrap()
    }
}

struct Talk {
    server: Server,
    mode: Mode,
    writer: Writer<Vec<u8>>,
    /// What the client knows.
    history: Vec<Value>,
    /// What it sends next, where it sends only that.
    fresh: Vec<Value>,
    previous: Option<String>,
    number: u32,
    made: u32,
    answers: Vec<Answer>,
    last: Vec<Value>,
}

const CALLS: [(&str, &str, &str); 4] = [
    ("function_call", "function_call_output", "fc"),
    ("custom_tool_call", "custom_tool_call_output", "ctc"),
    ("local_shell_call", "function_call_output", "lsh"),
    ("shell_call", "shell_call_output", "sh"),
];

/// Lets a client talk to the server.
pub(super) fn talk(world: World, mode: Mode, rounds: &[Round]) -> Told {
    let mut writer = Writer::new(Vec::new());
    writer.session(&SessionLine::default()).unwrap();
    if mode == Mode::Socket {
        let line = ConnectionLine {
            connection: 1,
            at_us: 0,
            method: None,
            path: Some("/v1/responses"),
            headers: None,
            status: Some(101),
            response_headers: None,
            extensions: None,
        };
        writer.connection(line).unwrap();
    }
    let mut talk = Talk {
        server: Server {
            world,
            responses: BTreeMap::new(),
            items: BTreeMap::new(),
            conversation: Vec::new(),
            latest: None,
            sockets: mode == Mode::Socket,
        },
        mode,
        writer,
        history: Vec::new(),
        fresh: Vec::new(),
        previous: None,
        number: 0,
        made: 0,
        answers: Vec::new(),
        last: Vec::new(),
    };
    for (at, round) in rounds.iter().enumerate() {
        talk.round(round, at == 0);
    }
    Told {
        text: talk.writer.into_inner(),
        answers: talk.answers,
        last: talk.last,
    }
}

impl Talk {
    fn knows(&mut self, item: &Value) {
        self.history.push(item.clone());
        self.fresh.push(item.clone());
    }

    fn body(&self) -> Value {
        let mut body = json!({"model": "m", "stream": true});
        let chained = matches!(self.mode, Mode::Chained | Mode::Socket);
        if let (true, Some(previous)) = (chained, &self.previous) {
            body["previous_response_id"] = previous.as_str().into();
        }
        let stored: Vec<Value> = match self.mode {
            Mode::Chained | Mode::Socket if self.previous.is_some() => self.fresh.clone(),
            Mode::Conversation => self.fresh.clone(),
            Mode::References => self
                .history
                .iter()
                .map(|item| match item["id"].as_str() {
                    Some(id) if naive::owes(item).is_some() => {
                        json!({"type": "item_reference", "id": id})
                    }
                    _ => item.clone(),
                })
                .collect(),
            _ => self.history.clone(),
        };
        body["input"] = stored.into();
        if matches!(self.mode, Mode::WholeUnstored | Mode::Socket) {
            body["store"] = false.into();
        }
        if self.mode == Mode::Conversation {
            body["conversation"] = "conv_1".into();
        }
        body
    }

    fn round(&mut self, round: &Round, first: bool) {
        if round.user || first {
            self.made += 1;
            let user =
                json!({"type": "message", "role": "user", "content": format!("go {}", self.made)});
            self.knows(&user);
        }
        let body = self.body();
        let mut answer = self.ask(&body, round, round.ending);
        let failed = matches!(round.ending, Ending::Failed | Ending::Silent);
        if failed || (answer.is_none() && round.retries) {
            answer = self.ask(&body, round, Ending::Whole);
        }
        let Some((id, items, complete)) = answer else {
            // a chained client that was refused begins anew
            self.fresh.clear();
            if round.follows_cut {
                self.previous = None;
            }
            return;
        };
        if complete || round.follows_cut {
            self.previous = Some(id);
            self.fresh.clear();
        }
        if !complete && !round.keeps_cut {
            return;
        }
        for item in &items {
            self.history.push(item.clone());
        }
        if round.resends
            && let Some(item) = items.first()
        {
            self.fresh.push(item.clone());
        }
        let calls: Vec<&Value> = items
            .iter()
            .filter(|it| naive::owes(it).is_some())
            .collect();
        for (call, (_, fate)) in calls.into_iter().zip(&round.calls) {
            self.settle(call, *fate);
        }
    }

    fn settle(&mut self, call: &Value, fate: Fate) {
        let kind = match naive::kind(call) {
            "custom_tool_call" => "custom_tool_call_output",
            "shell_call" => "shell_call_output",
            _ => "function_call_output",
        };
        let kind = match fate {
            Fate::WrongKind if kind == "function_call_output" => "custom_tool_call_output",
            Fate::WrongKind => "function_call_output",
            _ => kind,
        };
        let output = json!({"type": kind, "call_id": naive::owes(call), "output": "done"});
        match fate {
            Fate::Lost => {}
            Fate::Answered | Fate::WrongKind => self.knows(&output),
            Fate::Twice => {
                self.knows(&output);
                self.knows(&output);
            }
            Fate::Early => {
                self.history
                    .insert(1.min(self.history.len()), output.clone());
                self.fresh.insert(0, output);
            }
        }
    }

    fn made_items(&mut self, round: &Round) -> Vec<Value> {
        let mut items = Vec::new();
        if round.reasoning {
            self.made += 1;
            items.push(
                json!({"type": "reasoning", "id": format!("rs_{}", self.made), "summary": [], "encrypted_content": "x"}),
            );
        }
        for (kind, _) in &round.calls {
            self.made += 1;
            let (kind, _, prefix) = CALLS[*kind as usize];
            let mut item = json!({
                "type": kind,
                "id": format!("{prefix}_{}", self.made),
                "call_id": format!("call_{}", self.made),
            });
            match kind {
                "function_call" => item["arguments"] = "{}".into(),
                "custom_tool_call" => item["input"] = "x".into(),
                _ => item["action"] = json!({}),
            }
            items.push(item);
        }
        if round.calls.is_empty() {
            self.made += 1;
            items.push(json!({"type": "message", "role": "assistant", "id": format!("msg_{}", self.made), "content": [{"type": "output_text", "text": "ok"}]}));
        }
        items
    }

    /// Sends a request; the response's id, the items that came whole and whether it came to its end.
    fn ask(
        &mut self,
        body: &Value,
        round: &Round,
        ending: Ending,
    ) -> Option<(String, Vec<Value>, bool)> {
        self.number += 1;
        let number = self.number;
        self.write_request(body);
        match ending {
            Ending::Failed => {
                self.answers.push(Answer::Nothing);
                self.write_refusal(500, r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#);
                self.end(EndCause::Complete);
                self.server.evict(body);
                return None;
            }
            Ending::Silent => {
                self.answers.push(Answer::Nothing);
                self.end(EndCause::UpstreamError);
                return None;
            }
            _ => {}
        }
        let context = self.server.context(body);
        self.last.clone_from(&self.history);
        let asked = Asked {
            items: &context.items,
            held: context.held,
            exact_ids: true,
            not_found: context
                .not_found
                .as_ref()
                .map(|(kind, message)| (*kind, message.as_str())),
        };
        if let Some(refused) = naive::judge(&asked, self.server.world) {
            let is_404 = refused.kind == RefusalKind::ItemNotFound;
            let (status, message) = (if is_404 { 404 } else { 400 }, refused.message);
            self.answers.push(Answer::Refused);
            let error = json!({"error": {"message": message, "type": "invalid_request_error", "param": "input", "code": null}});
            self.write_refusal(status, &format!("{error:#}"));
            self.end(EndCause::Complete);
            self.server.evict(body);
            return None;
        }
        self.answers.push(Answer::Accepted);
        let id = format!("resp_{number}");
        let items = self.made_items(round);
        let (done, half, complete) = match ending {
            Ending::Cut(at) if at < items.len() => {
                (&items[..at], items.get(at..=at).unwrap_or(&[]), false)
            }
            Ending::Cut(_) => (&items[..], &[][..], false),
            _ => (&items[..], &[][..], true),
        };
        self.write_answer(&id, done, half, complete);
        self.last.extend(done.iter().cloned());
        self.server
            .answered(&id, body, context.items, [done, half], complete);
        Some((id, done.to_vec(), complete))
    }
}

impl Talk {
    fn write_request(&mut self, body: &Value) {
        let socket = self.mode == Mode::Socket;
        let line = RequestLine {
            exchange: self.number,
            connection: socket.then_some(1),
            at_us: 0,
            head_at_us: None,
            transport: if socket { "websocket" } else { "http" },
            http: None,
            method: (!socket).then_some("POST"),
            path: (!socket).then_some("/v1/responses"),
            headers: None,
            body_complete: None,
            body_encoded: None,
            redacted: Vec::new(),
        };
        let mut body = body.clone();
        if socket {
            body["type"] = "response.create".into();
        }
        self.writer
            .request(line, body.to_string().into_bytes())
            .unwrap();
    }

    fn write_refusal(&mut self, status: u16, body: &str) {
        if self.mode == Mode::Socket {
            let error: Value = serde_json::from_str(body).unwrap();
            let frame = json!({"type": "error", "status": status, "error": error["error"]});
            self.frame(&frame);
            return;
        }
        self.head(status);
        self.writer
            .chunk(self.number, 0, body.as_bytes(), None)
            .unwrap();
    }

    fn head(&mut self, status: u16) {
        let line = ResponseLine {
            exchange: self.number,
            at_us: 0,
            status: u32::from(status),
            headers: None,
        };
        self.writer.response(line).unwrap();
    }

    fn frame(&mut self, event: &Value) {
        let line = FrameLine {
            connection: 1,
            exchange: Some(self.number),
            at_us: 0,
            from: "server",
            r#type: "text",
            text: None,
            base64: None,
        };
        let text = event.to_string();
        self.writer.frame(line, text.as_bytes()).unwrap();
    }

    fn write_answer(&mut self, id: &str, done: &[Value], half: &[Value], complete: bool) {
        let mut events = vec![json!({"type": "response.created", "response": {"id": id}})];
        for (at, item) in done.iter().chain(half).enumerate() {
            let event = |kind: &str| json!({"type": format!("response.output_item.{kind}"), "output_index": at, "item": item});
            events.push(event("added"));
            if at < done.len() {
                events.push(event("done"));
            }
        }
        if complete {
            let event = json!({"type": "response.completed", "response": {"id": id, "output": []}});
            events.push(event);
        }
        if self.mode == Mode::Socket {
            for event in &events {
                self.frame(event);
            }
        } else {
            self.head(200);
            let text = sse(&events);
            self.writer
                .chunk(self.number, 0, text.as_bytes(), None)
                .unwrap();
        }
        self.end(if complete {
            EndCause::Complete
        } else {
            EndCause::UpstreamClosed
        });
    }

    fn end(&mut self, cause: EndCause) {
        let line = EndLine {
            exchange: self.number,
            at_us: 0,
            cause: Cause(cause),
            detail: None,
            trailers: None,
        };
        self.writer.end(line).unwrap();
    }
}
