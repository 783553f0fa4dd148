//! JSON-RPC of `codex app-server` (both versions of its protocol) and of `codex mcp-server`.
//!
//! Ids of requests are counted by each side for itself, so they are remembered by direction. A file of both directions
//! without a mark for them is told apart by what the methods are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::proto::{given, input_text, message_told, turn_item};
use super::reader::Told;
use super::{AbortReason, AskKind, Decision, How, Source, What};
use crate::wire::raw::Object;

/// More requests than this are not remembered at once: nobody waits for so many.
const MAX_WAITING: usize = 10_000;

/// What waits for an answer.
#[derive(Clone, Debug)]
struct Waiting {
    what: What,
    method: Box<str>,
    thread: Option<Box<str>>,
    turn: Option<Box<str>>,
    call: Option<Box<str>>,
}

/// Requests that wait for an answer, by the side that asked and the id it gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Rpc {
    of_driver: BTreeMap<Box<str>, Waiting>,
    of_client: BTreeMap<Box<str>, Waiting>,
    /// Threads by the number of the call that runs them (MCP).
    threads: BTreeMap<Box<str>, Box<str>>,
    /// Whether events of core came as `codex/event`: early MCP servers send each of them a second time under its own name.
    wrapped: bool,
}

fn boxed(text: Option<&Cow<'_, str>>) -> Option<Box<str>> {
    text.map(|it| it.as_ref().into())
}

/// An id as it is compared: a number or a string.
fn id<'a>(object: &Object<'a>, key: &str) -> Option<Cow<'a, str>> {
    object
        .text(key)
        .or_else(|| object.value(key).map(Cow::Borrowed))
}

/// What stands before the number of a question: both sides count for themselves.
pub(super) const REQUEST: &str = "request ";

fn ask_id(id: &str) -> Cow<'static, str> {
    Cow::Owned(format!("{REQUEST}{id}"))
}

impl Rpc {
    pub(super) fn read<'a>(
        &mut self,
        object: &Object<'a>,
        source: Source,
        inwards: Option<bool>,
    ) -> Told<'a> {
        let number = id(object, "id");
        let mut told = match object.text("method") {
            Some(method) => self.asks(object, method, number.as_deref(), source, inwards),
            None => self.answers(object, number.as_deref().unwrap_or(""), source, inwards),
        };
        let milliseconds = object.number("emittedAtMs").or_else(|| {
            object
                .object("params")
                .and_then(|it| it.number("startedAtMs"))
        });
        told.time = milliseconds.and_then(|it| i64::try_from(it).ok()?.checked_mul(1000));
        told
    }

    fn asks<'a>(
        &mut self,
        object: &Object<'a>,
        method: Cow<'a, str>,
        number: Option<&str>,
        source: Source,
        inwards: Option<bool>,
    ) -> Told<'a> {
        let params = object.object("params").unwrap_or_default();
        let by_name = number.is_some() && !is_of_client(&method)
            || matches!(
                &*method,
                "initialized" | "notifications/initialized" | "notifications/cancelled"
            );
        let inwards = inwards.unwrap_or(by_name);
        let mut told = Told::new(source, inwards, method);
        told.thread = params
            .text("threadId")
            .or_else(|| params.text("conversationId"));
        told.turn = params
            .text("turnId")
            .or_else(|| params.text("expectedTurnId"));
        told.call = params.text("itemId").or_else(|| params.text("callId"));
        if inwards {
            of_driver(&mut told, &params);
        } else {
            told = self.of_client(told, &params);
        }
        self.thread(&mut told, &params, number);
        if let Some(number) = number {
            told.id = Some(match told.what {
                What::Asked(_) => ask_id(number),
                _ => Cow::Owned(number.to_owned()),
            });
            let waiting = Waiting {
                what: told.what,
                method: told.name.as_ref().into(),
                thread: boxed(told.thread.as_ref()),
                turn: boxed(told.turn.as_ref()),
                call: boxed(told.call.as_ref()),
            };
            let side = if inwards {
                &mut self.of_driver
            } else {
                &mut self.of_client
            };
            if side.len() < MAX_WAITING {
                side.insert(number.into(), waiting);
            }
        }
        told
    }

    /// The thread of what names only the call that runs it.
    fn thread(&mut self, told: &mut Told<'_>, params: &Object<'_>, number: Option<&str>) {
        let meta = params.object("_meta");
        let call = meta
            .and_then(|it| id(&it, "requestId"))
            .or_else(|| params.text("codex_mcp_tool_call_id"))
            .or_else(|| id(params, "requestId").filter(|_| told.inwards));
        let call = call.as_deref().or(number.filter(|_| told.inwards));
        let Some(call) = call else { return };
        match &told.thread {
            Some(thread) if self.threads.len() < MAX_WAITING => {
                self.threads.insert(call.into(), thread.as_ref().into());
            }
            Some(_) => {}
            None => {
                let known = self.threads.get(call);
                told.thread = known.map(|it| Cow::Owned(it.to_string()));
            }
        }
    }

    /// An event of the client.
    fn of_client<'a>(&mut self, told: Told<'a>, params: &Object<'a>) -> Told<'a> {
        if let Some(message) = params.object("msg") {
            let bare = message.text("type").is_some_and(|it| it == told.name);
            if bare && self.wrapped {
                // told already
                let name = format!("{} (again)", told.name);
                return Told::new(told.source, false, name);
            }
            self.wrapped |= !bare;
        }
        of_client(told, params)
    }

    fn answers<'a>(
        &mut self,
        object: &Object<'a>,
        number: &str,
        source: Source,
        inwards: Option<bool>,
    ) -> Told<'a> {
        let result = object.object("result");
        let failed = object.value("error").is_some();
        // an answer of the driver is a decision, or answers; both sides may wait under one number
        let decides = result.as_ref().is_some_and(|it| {
            [
                "decision",
                "answers",
                "action",
                "contentItems",
                "permissions",
            ]
            .iter()
            .any(|key| it.get(key).is_some())
        });
        let inwards = inwards.unwrap_or_else(|| {
            let driver = self.of_driver.contains_key(number);
            let client = self.of_client.contains_key(number);
            client && (decides || !driver)
        });
        let side = if inwards {
            &mut self.of_client
        } else {
            &mut self.of_driver
        };
        let waiting = side.remove(number);
        let result = result.unwrap_or_default();
        let Some(waiting) = waiting else {
            let mut told = Told::new(source, inwards, format!("answer {number}"));
            told.id = Some(Cow::Owned(number.to_owned()));
            return told;
        };
        let mut told = Told::new(source, inwards, format!("answer to {}", waiting.method));
        told.id = Some(Cow::Owned(number.to_owned()));
        let owned = |it: Option<Box<str>>| it.map(|it| Cow::Owned(it.into_string()));
        (told.thread, told.turn, told.call) = (
            owned(waiting.thread),
            owned(waiting.turn),
            owned(waiting.call),
        );
        if failed {
            told.text = object.object("error").and_then(|it| it.text("message"));
        }
        let named =
            |result: &Object<'a>, key: &str| result.object(key).and_then(|it| it.text("id"));
        told.what = match waiting.what {
            What::InterruptAsked => What::InterruptAnswered(!failed),
            What::MessageAsked => {
                let turn = named(&result, "turn").or_else(|| result.text("turnId"));
                told.turn = turn.or(told.turn);
                let thread = result
                    .object("structuredContent")
                    .and_then(|it| it.text("threadId"));
                told.thread = told.thread.or(thread);
                What::MessageAnswered(!failed)
            }
            What::Asked(_) => {
                told.id = Some(ask_id(number));
                What::Answered(decision(&result, failed))
            }
            What::ResumeAsked | What::ThreadStarted => {
                let thread = named(&result, "thread").or_else(|| result.text("conversationId"));
                told.thread = thread.or(told.thread);
                if failed {
                    What::Error
                } else {
                    What::ThreadStarted
                }
            }
            _ => What::Other,
        };
        told
    }
}

fn decision(result: &Object<'_>, failed: bool) -> Decision {
    if failed {
        return Decision::Error;
    }
    for key in ["decision", "action"] {
        if let Some(word) = result.text(key) {
            return Decision::of(&word);
        }
        // a decision that carries a rule: {"acceptWithExecpolicyAmendment": {…}}
        if let Some(rule) = result.object(key)
            && let Some((name, _)) = rule.members().next()
        {
            return Decision::of(name);
        }
    }
    if result.get("answers").is_some() {
        return given(result);
    }
    Decision::Given
}

/// Whether a request with an id is one that the client asks its driver.
fn is_of_client(method: &str) -> bool {
    question(method).is_some()
        || matches!(
            method,
            "account/chatgptAuthTokens/refresh"
                | "attestation/generate"
                | "roots/list"
                | "sampling/createMessage"
        )
}

fn question(method: &str) -> Option<AskKind> {
    Some(match method {
        "item/commandExecution/requestApproval" | "execCommandApproval" => AskKind::Exec,
        "item/fileChange/requestApproval" | "applyPatchApproval" => AskKind::Patch,
        "item/permissions/requestApproval" => AskKind::Permissions,
        "item/tool/requestUserInput" => AskKind::UserInput,
        "mcpServer/elicitation/request" | "elicitation/create" => AskKind::Elicitation,
        "item/tool/call" => AskKind::Tool,
        _ => return None,
    })
}

fn of_driver<'a>(told: &mut Told<'a>, params: &Object<'a>) {
    told.what = match &*told.name {
        "turn/start" | "turn/steer" => {
            told.text = input_text(params, "input");
            What::MessageAsked
        }
        "sendUserMessage" | "sendUserTurn" => {
            told.text = input_text(params, "items");
            What::MessageAsked
        }
        "turn/interrupt" | "interruptConversation" => What::InterruptAsked,
        "notifications/cancelled" => {
            told.id = id(params, "requestId");
            What::InterruptAsked
        }
        "thread/resume" | "resumeConversation" => What::ResumeAsked,
        "thread/start" | "thread/fork" | "newConversation" => {
            told.thread = None;
            What::ThreadStarted
        }
        "tools/call" => {
            let arguments = params.object("arguments").unwrap_or_default();
            told.thread = arguments
                .text("threadId")
                .or_else(|| arguments.text("conversationId"));
            told.text = arguments.text("prompt");
            if told.text.is_some() {
                What::MessageAsked
            } else {
                What::Other
            }
        }
        _ => What::Other,
    };
    // a request for a thread is no thread yet; its answer is
    if told.what == What::ThreadStarted {
        told.thread = None;
    }
}

fn of_client<'a>(mut told: Told<'a>, params: &Object<'a>) -> Told<'a> {
    if let Some(message) = params.object("msg") {
        // `codex/event` and its kin carry an event of core
        let inner = message_told(&message, told.source);
        let own = params.text("id").filter(|it| !it.is_empty());
        return Told {
            thread: inner.thread.or(told.thread).or_else(|| {
                let meta = params.object("_meta")?;
                meta.text("threadId")
            }),
            turn: inner.turn.or_else(|| own.clone()),
            id: inner.id.or(own),
            ..inner
        };
    }
    if let Some(kind) = question(&told.name) {
        if told.call.is_none() {
            told.call = params.text("codex_call_id");
        }
        // an MCP server asks for leave by way of an elicitation
        let kind = match params.text("codex_elicitation").as_deref() {
            Some("exec-approval") => AskKind::Exec,
            Some("patch-approval") => AskKind::Patch,
            _ => kind,
        };
        told.what = What::Asked(kind);
        return told;
    }
    match &*told.name {
        "thread/started" => {
            told.thread = params.object("thread").and_then(|it| it.text("id"));
            told.what = What::ThreadStarted;
        }
        "turn/started" => {
            told.turn = params.object("turn").and_then(|it| it.text("id"));
            told.what = What::TurnStarted;
        }
        "turn/completed" => {
            let turn = params.object("turn").unwrap_or_default();
            told.turn = turn.text("id");
            let status = turn.text("status");
            let how = match status.as_deref() {
                Some("interrupted") => How::Aborted(AbortReason::Interrupted),
                Some("failed") => How::Failed,
                Some("completed") | None => How::Complete,
                Some(other) => How::Aborted(AbortReason::of(Some(other))),
            };
            told.what = What::TurnEnded(how);
        }
        "item/started" | "item/completed" => {
            let ended = &*told.name == "item/completed";
            return turn_item(told, params, ended);
        }
        "serverRequest/resolved" => {
            told.id = id(params, "requestId").map(|it| ask_id(&it));
            told.what = What::Resolved;
        }
        "error" => {
            told.text = params.object("error").and_then(|it| it.text("message"));
            told.what = if params.flag("willRetry") == Some(true) {
                What::StreamError
            } else {
                What::Error
            };
        }
        "thread/compacted" => told.what = What::Compacted,
        "thread/tokenUsage/updated" => told.what = What::Usage,
        name if name.to_ascii_lowercase().ends_with("delta") => told.what = What::Delta,
        _ => {}
    }
    told
}
