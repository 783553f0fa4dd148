//! What a line says that was recorded beside the wire: a rollout's, or one of the client's own event log.

use std::borrow::Cow;

use super::state::Happened;
use crate::wire::raw::Object;

/// What such a line says.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) name: String,
    /// The call it speaks of.
    pub(super) call_id: Option<String>,
    pub(super) happened: Option<Happened>,
    /// Whether it says that the turn was aborted.
    pub(super) interrupt: bool,
    /// A question, or its answer, of the client with whoever drives it.
    pub(super) ask: Option<(Asking, String, bool)>,
}

/// What is asked for beside calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Leave to run something; whoever drives the client answers.
    Approval,
    /// An end of the turn; the client answers.
    Interrupt,
}

impl Asking {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Interrupt => "interrupt",
        }
    }
}

/// Reads a `rollout_file`, `rollout` or `client_event` line.
pub(super) fn read(kind: &str, object: &Object<'_>) -> Told {
    let Some(value) = object.object("value") else {
        return Told {
            name: if kind == "rollout_file" {
                "rollout_file"
            } else {
                "text"
            }
            .to_owned(),
            ..Told::default()
        };
    };
    if kind == "rollout" {
        return rollout(&value);
    }
    let direction = object.text("direction");
    client(&value, direction.as_deref() == Some("in"))
}

fn owned(text: Option<Cow<'_, str>>) -> Option<String> {
    text.map(Cow::into_owned)
}

fn rollout(value: &Object<'_>) -> Told {
    let payload = value.object("payload");
    let inner = payload.as_ref().and_then(|it| it.text("type"));
    let name = inner.or_else(|| value.text("type")).unwrap_or_default();
    let of = payload.as_ref().unwrap_or(value);
    let item = of.object("item");
    let call_id = owned(of.text("call_id")).or_else(|| owned(item.and_then(|it| it.text("id"))));
    let happened = if name.ends_with("_output") {
        Some(Happened::OnDisk)
    } else {
        phase(&name)
    };
    Told {
        interrupt: name == "turn_aborted",
        name: name.into_owned(),
        call_id,
        happened,
        ask: None,
    }
}

fn phase(name: &str) -> Option<Happened> {
    if name.ends_with("_begin") || name.ends_with("started") {
        Some(Happened::ToolBegan)
    } else if name.ends_with("_end") || name.ends_with("completed") {
        Some(Happened::ToolEnded)
    } else {
        None
    }
}

/// A line of `codex proto`, `exec --json`, the app-server or an MCP server.
fn client(value: &Object<'_>, inwards: bool) -> Told {
    if let Some(message) = value.object("msg").or_else(|| value.object("op")) {
        return proto(value, &message);
    }
    let method = value.text("method");
    let params = value.object("params");
    let id = value.get("id").map(|id| id.get().to_owned());
    let Some(method) = method else {
        if let Some(id) =
            id.filter(|_| value.get("result").is_some() || value.get("error").is_some())
        {
            // what is answered to whoever drives the client can only be an interrupt here
            let asking = if inwards {
                Asking::Approval
            } else {
                Asking::Interrupt
            };
            return Told {
                name: format!("answer {id}"),
                ask: Some((asking, id, false)),
                ..Told::default()
            };
        }
        let item = value.object("item");
        let name = value.text("type").unwrap_or_default();
        let call_id =
            item.and_then(|it| owned(it.text("call_id")).or_else(|| owned(it.text("id"))));
        return Told {
            happened: phase(&name),
            interrupt: name == "turn.aborted",
            name: name.into_owned(),
            call_id,
            ask: None,
        };
    };
    let item = params.as_ref().and_then(|it| it.object("item"));
    let call_id = params
        .as_ref()
        .and_then(|it| owned(it.text("itemId")).or_else(|| owned(it.text("callId"))))
        .or_else(|| item.and_then(|it| owned(it.text("id"))));
    let ask = id.and_then(|id| {
        if !inwards && (method.ends_with("Approval") || method.starts_with("elicitation")) {
            Some((Asking::Approval, id, true))
        } else if inwards && method.ends_with("interrupt") {
            Some((Asking::Interrupt, id, true))
        } else {
            None
        }
    });
    Told {
        happened: (method.starts_with("item/"))
            .then(|| phase(&method))
            .flatten(),
        interrupt: method == "turn/aborted",
        name: method.into_owned(),
        call_id,
        ask,
    }
}

fn proto(value: &Object<'_>, message: &Object<'_>) -> Told {
    let name = message.text("type").unwrap_or_default();
    let id = owned(value.text("id")).unwrap_or_default();
    let ask = if name.ends_with("_approval_request") {
        let id = owned(message.text("approval_id")).or_else(|| owned(message.text("call_id")));
        Some((
            Asking::Approval,
            id.unwrap_or_else(|| owned(value.text("id")).unwrap_or_default()),
            true,
        ))
    } else if name.ends_with("_approval") {
        owned(message.text("id")).map(|id| (Asking::Approval, id, false))
    } else if &*name == "interrupt" {
        Some((Asking::Interrupt, id.clone(), true))
    } else if &*name == "turn_aborted" {
        // it carries the id of the turn, not that of the interrupt
        Some((Asking::Interrupt, String::new(), false))
    } else {
        None
    };
    Told {
        call_id: owned(message.text("call_id")),
        happened: phase(&name).filter(|_| !name.starts_with("task_")),
        interrupt: name == "turn_aborted",
        name: name.into_owned(),
        ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Told {
        let object = Object::read(line).unwrap();
        let kind = object.text("kind").unwrap();
        read(&kind, &object)
    }

    #[test]
    fn tools_and_outputs_of_the_clients_own_logs() {
        let disk = told(
            r#"{"kind":"rollout","value":{"type":"response_item","payload":{"type":"function_call_output","call_id":"c"}}}"#,
        );
        assert_eq!(
            (disk.happened, disk.call_id.as_deref()),
            (Some(Happened::OnDisk), Some("c"))
        );
        let began = told(
            r#"{"kind":"client_event","direction":"out","value":{"id":"s","msg":{"type":"exec_command_begin","call_id":"c"}}}"#,
        );
        assert_eq!(began.happened, Some(Happened::ToolBegan));
        let ended = told(
            r#"{"kind":"client_event","direction":"out","value":{"method":"item/completed","params":{"item":{"id":"c"}}}}"#,
        );
        assert_eq!(
            (ended.happened, ended.call_id.as_deref()),
            (Some(Happened::ToolEnded), Some("c"))
        );
        assert_eq!(
            told(r#"{"kind":"client_event","value":{"id":"s","msg":{"type":"task_started"}}}"#)
                .happened,
            None
        );
        assert_eq!(
            told(r#"{"kind":"rollout_file","path":"p"}"#).name,
            "rollout_file"
        );
    }

    #[test]
    fn approvals_and_interrupts_are_questions_with_answers() {
        let ask = |line: &str| told(line).ask;
        assert_eq!(
            ask(
                r#"{"kind":"client_event","direction":"out","value":{"id":7,"method":"item/commandExecution/requestApproval","params":{"itemId":"c"}}}"#
            ),
            Some((Asking::Approval, "7".into(), true))
        );
        assert_eq!(
            ask(
                r#"{"kind":"client_event","direction":"in","value":{"id":7,"result":{"decision":"accept"}}}"#
            ),
            Some((Asking::Approval, "7".into(), false))
        );
        assert_eq!(
            ask(
                r#"{"kind":"client_event","direction":"in","value":{"id":"s2","op":{"type":"interrupt"}}}"#
            ),
            Some((Asking::Interrupt, "s2".into(), true))
        );
        let aborted = told(
            r#"{"kind":"client_event","direction":"out","value":{"id":"s1","msg":{"type":"turn_aborted"}}}"#,
        );
        assert!(aborted.interrupt);
        assert_eq!(aborted.ask, Some((Asking::Interrupt, String::new(), false)));
    }
}
