//! `replay probe`: some forty tiny requests that settle what is not known of one endpoint.
//!
//! Histories are made up where no model is needed for them: calls that were never made, outputs that answer nothing. What
//! the endpoint says of them is what its contract is. What needs state of the server asks for a tool call and leaves the
//! stream. Nothing is concluded from a request whose control was refused as well.

pub mod questions;
mod settle;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::contract::lock::{Evidence, FORMAT, Lock};
use crate::replay::call::{Ask, Caller, Came};
use crate::replay::live::Sender;
use crate::replay::live::attempts::{Budget, Purse};
use crate::replay::live::socket::{self, NoSocket};
use crate::replay::live::word::{self, Refused, Word};
use crate::wire::event::Terminal;
use crate::wire::raw::Object;

use questions::{ALL, Asked};

/// The member that bounds an answer.
const LIMIT: &str = "max_output_tokens";

/// How an endpoint is probed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model that is asked.
    pub model: String,
    /// What may be spent on one request.
    pub budget: Budget,
    /// How long is waited before a response that was cut is asked about: a server may store it late.
    pub settle: Duration,
}

/// What one request brought.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What was said.
    pub said: Said,
    /// The status.
    pub status: Option<u16>,
    /// The response's id.
    pub response: Option<String>,
    /// Finished items, as they came.
    pub done: Vec<String>,
    /// Whether the stream ended with `[DONE]`; `None` if it was none.
    pub done_sentinel: Option<bool>,
    /// How many events came.
    pub events: u32,
    /// Whether an answer that was left was over already.
    pub was_over: bool,
    /// The `status` that a response has that was read.
    pub state: Option<String>,
}

impl Heard {
    fn of(said: Said) -> Self {
        Self {
            said,
            status: None,
            response: None,
            done: Vec::new(),
            done_sentinel: None,
            events: 0,
            was_over: false,
            state: None,
        }
    }
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was accepted.
    Accepted,
    /// It was accepted, and we left.
    Left,
    /// It was refused.
    Refused(Refused),
    /// Nothing about the contract.
    Nothing(String),
    /// It was not asked, because of this.
    NotAsked(String),
}

/// What is known so far.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The model that is asked.
    pub model: String,
    /// Whether every answer is asked for as a stream, because the endpoint gives no others.
    pub streamed: bool,
    /// Whether `max_output_tokens` is left out, because the endpoint does not know it.
    pub unlimited: bool,
    heard: BTreeMap<&'static str, Heard>,
}

/// What is told while probing.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The number of the request, from 1.
    pub number: usize,
    /// Its name.
    pub name: &'static str,
}

impl Known {
    /// What a request brought.
    pub fn heard(&self, name: &str) -> Option<&Heard> {
        self.heard.get(name)
    }

    /// The response of an earlier request.
    fn response(&self, name: &str) -> Result<String, String> {
        self.heard
            .get(name)
            .and_then(|it| it.response.clone())
            .ok_or_else(|| format!("'{name}' brought no response id"))
    }

    /// The call of an earlier answer.
    fn call(&self, name: &str) -> Result<String, String> {
        let heard = self.heard.get(name);
        let call = heard.into_iter().flat_map(|it| &it.done).find_map(|raw| {
            let item = Object::read(raw)?;
            let is_call = item.text("type").as_deref() == Some("function_call");
            is_call.then(|| item.text("call_id")).flatten()
        });
        call.map(std::borrow::Cow::into_owned)
            .ok_or_else(|| format!("'{name}' brought no call"))
    }

    /// Whether an earlier answer was left in its middle.
    fn was_left(&self, name: &str) -> Result<(), String> {
        match self.heard.get(name).map(|it| &it.said) {
            Some(Said::Left) if self.heard.get(name).is_some_and(|it| it.was_over) => {
                Err(format!("'{name}' had come whole before it could be left"))
            }
            Some(Said::Left) => Ok(()),
            _ => Err(format!("'{name}' could not be left within a call")),
        }
    }

    /// Reasoning of the endpoint's own, else made-up reasoning.
    fn reasoning(&self) -> Value {
        let made = self.made_reasoning();
        made.unwrap_or_else(|| {
            json!({"type": "reasoning", "id": "rs_a", "summary": [], "encrypted_content": "bWFkZSB1cA=="})
        })
    }

    fn made_reasoning(&self) -> Option<Value> {
        let heard = self.heard.get("reasoning_made")?;
        heard
            .done
            .iter()
            .filter_map(|raw| serde_json::from_str::<Value>(raw).ok())
            .find(|item| {
                item.get("type").and_then(Value::as_str) == Some("reasoning")
                    && item
                        .get("encrypted_content")
                        .is_some_and(|it| !it.is_null())
            })
    }

    fn said(&self, name: &str) -> Option<&Said> {
        self.heard.get(name).map(|it| &it.said)
    }
}

/// What will be asked: name, what it holds, and the bytes of its body. Bodies that go on from answers are counted with ids
/// of the usual length.
pub fn list(model: &str) -> Vec<(&'static str, &'static str, usize)> {
    let id = format!("resp_{}", "0".repeat(48));
    let call = json!({"type": "function_call", "call_id": "call_000000000000000000000000"});
    let mut known = Known {
        model: model.to_owned(),
        ..Known::default()
    };
    for question in ALL {
        let heard = Heard {
            response: Some(id.clone()),
            done: vec![call.to_string()],
            ..Heard::of(Said::Left)
        };
        known.heard.insert(question.name, heard);
    }
    ALL.iter()
        .map(|question| {
            let asked = question.ask(&known);
            let body = asked.map(|it| {
                if it.read.is_some() {
                    0
                } else {
                    it.body.to_string().len()
                }
            });
            (question.name, question.about, body.unwrap_or(0))
        })
        .collect()
}

/// Why nothing could be found: a plain message was accepted neither as a whole nor as a stream.
pub fn failed(known: &Known) -> Option<String> {
    if matches!(known.said("streamed"), Some(Said::Accepted)) {
        return None;
    }
    match known.said("plain") {
        Some(Said::Refused(refused)) => Some(format!("{} {}", refused.status, refused.message)),
        Some(Said::Nothing(why)) => Some(why.clone()),
        _ => None,
    }
}

/// Asks all questions and puts together what they show; when it was and what did it is the caller's to add.
pub async fn probe(
    caller: &Caller,
    options: &Options,
    told: &mut dyn FnMut(Step),
) -> (Known, Lock) {
    let mut known = Known {
        model: options.model.clone(),
        ..Known::default()
    };
    let mut requests = 0;
    let mut off = None;
    for (at, question) in ALL.iter().enumerate() {
        told(Step {
            number: at + 1,
            name: question.name,
        });
        let asked = match &off {
            Some(why) => Err(String::clone(why)),
            None => question.ask(&known),
        };
        let heard = match asked {
            Ok(asked) => {
                if question.name.starts_with("after_cut") {
                    tokio::time::sleep(options.settle).await;
                }
                let mut heard = ask(caller, options, &asked, &mut requests).await;
                if let (Said::Refused(refused), false) = (&heard.said, known.unlimited)
                    && refused.message.contains(LIMIT)
                    && matches!(question.name, "plain" | "streamed")
                {
                    known.unlimited = true;
                    if let Ok(asked) = question.ask(&known) {
                        heard = ask(caller, options, &asked, &mut requests).await;
                    }
                }
                heard
            }
            Err(why) => Heard::of(Said::NotAsked(why)),
        };
        let (status, is_accepted) = (heard.status, heard.said == Said::Accepted);
        known.heard.insert(question.name, heard);
        let plain = known.said("plain") == Some(&Said::Accepted);
        match question.name {
            // some answer with streams only
            "plain" if !plain && status.is_some() => known.streamed = true,
            // where a plain message is not answered nothing else will be
            "plain" | "streamed" if !plain && !is_accepted => {
                off = Some("a plain message was not accepted".to_owned());
            }
            _ => {}
        }
    }
    let mut lock = settle::settle(&known);
    lock.format = FORMAT;
    lock.url = caller.upstream().url();
    lock.model.clone_from(&options.model);
    lock.requests = requests;
    lock.evidence = evidence(&known);
    (known, lock)
}

async fn ask(caller: &Caller, options: &Options, asked: &Asked, requests: &mut u32) -> Heard {
    if let Some(path) = &asked.read {
        *requests += 1;
        return read(caller, path).await;
    }
    let ask = Ask {
        body: asked.body.to_string(),
        headers: Vec::new(),
        leave: asked.leave,
    };
    let mut purse = Purse::new(options.budget);
    let came = loop {
        *requests += 1;
        let came = if asked.websocket {
            on_socket(caller, &ask).await
        } else {
            caller.ask(&ask).await
        };
        let Word::Nothing { again, .. } = word::read(&came) else {
            break came;
        };
        let wanted = match &came {
            Came::Answer(got) => got.retry_after,
            Came::Nothing(_) => None,
        };
        let Some(pause) = purse.spend(again, wanted) else {
            break came;
        };
        tokio::time::sleep(pause).await;
    };
    let said = match word::read(&came) {
        Word::Accepted(Terminal::Failed) => Said::Nothing(word::why_it_failed(&came)),
        Word::Accepted(_) => Said::Accepted,
        Word::Left => Said::Left,
        Word::Refused(refused) => Said::Refused(refused),
        Word::Nothing { message, .. } => Said::Nothing(message),
    };
    match came {
        Came::Answer(got) => Heard {
            said,
            status: Some(got.status),
            response: got.fold.id.clone(),
            done: got.fold.done.iter().map(|it| it.raw.to_string()).collect(),
            done_sentinel: got.streamed.then_some(got.done_sentinel),
            events: got.fold.events,
            was_over: got.was_over,
            state: None,
        },
        Came::Nothing(_) => Heard::of(said),
    }
}

/// Reads a response; that there is none is an answer as well.
async fn read(caller: &Caller, path: &str) -> Heard {
    match caller.get(path).await {
        Ok(text) => {
            let object = Object::read(&text);
            let state = object.and_then(|it| it.text("status").map(std::borrow::Cow::into_owned));
            Heard {
                status: Some(200),
                state,
                ..Heard::of(Said::Accepted)
            }
        }
        Err((status, why)) => Heard {
            status,
            ..Heard::of(Said::Nothing(why))
        },
    }
}

async fn on_socket(caller: &Caller, ask: &Ask) -> Came {
    match socket::open(caller, &[]).await {
        Ok(mut socket) => {
            let (came, _) = socket.ask(caller, ask).await;
            socket.close().await;
            came
        }
        Err(NoSocket::Answered(came)) => *came,
        Err(NoSocket::Unreachable(why)) => Came::Nothing(why),
    }
}

fn evidence(known: &Known) -> Vec<Evidence> {
    ALL.iter()
        .filter_map(|question| {
            let heard = known.heard.get(question.name)?;
            let (answer, message) = match &heard.said {
                Said::Accepted => ("accepted", heard.state.clone()),
                Said::Left => ("left", None),
                Said::Refused(refused) => ("refused", Some(refused.message.clone())),
                Said::Nothing(why) => ("failed", Some(why.clone())),
                Said::NotAsked(why) => ("not asked", Some(why.clone())),
            };
            let status = match &heard.said {
                Said::Refused(refused) => Some(refused.status),
                _ => heard.status,
            };
            Some(Evidence {
                request: question.name.to_owned(),
                answer: answer.to_owned(),
                status,
                message,
            })
        })
        .collect()
}

/// A sender that probes.
impl Sender {
    /// See [`probe`].
    pub fn probe(&self, options: &Options, told: &mut dyn FnMut(Step)) -> (Known, Lock) {
        self.runtime().block_on(probe(self.caller(), options, told))
    }

    /// The first model that the endpoint lists.
    ///
    /// # Errors
    /// The status, if there was an answer, and why there is none.
    pub fn first_model(&self) -> Result<String, (Option<u16>, String)> {
        let text = self.runtime().block_on(self.caller().get("models"))?;
        let first = || {
            let list: Value = serde_json::from_str(&text).ok()?;
            let first = list.get("data")?.as_array()?.first()?;
            first.get("id")?.as_str().map(str::to_owned)
        };
        first().ok_or_else(|| (Some(200), "its list of models names none".to_owned()))
    }
}
