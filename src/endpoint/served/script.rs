//! Scripted answers: what `--script FILE` holds (`docs/serve.md`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::{Answer, complete};
use super::fault::Cut;
use super::object::Status;
use super::stream::Template;
use crate::wire::failure::Failure;

/// All conversations of a script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// In the order in which they are tried; the last one may have no condition.
    pub conversations: Vec<Conversation>,
    /// The answer when turns run out.
    pub otherwise: Option<Turn>,
}

/// The answers of one kind of conversation.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// Which one it is for.
    pub when: When,
    /// The answers in order.
    pub turns: Vec<Turn>,
}

/// The conditions of a conversation; all that are there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// A text somewhere in the request's body.
    pub contains: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The lane: a thread id, or the header `x-replay-lane`.
    pub lane: Option<String>,
    /// Whether it is a side request (a thread title, a memory).
    pub side: Option<bool>,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What is answered.
    pub what: What,
    /// Where it is cut.
    pub cut: Option<Cut>,
    /// What passes before each event.
    pub delay: Duration,
    /// What passes before the first byte.
    pub first: Duration,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// What a turn answers.
#[derive(Clone, Debug)]
pub enum What {
    /// A response, spelled with and without obfuscation.
    Answer([Arc<Template>; 2]),
    /// An error before any stream.
    Error(Failure),
}

impl Turn {
    /// A turn with this answer and nothing else.
    pub fn of(answer: &Answer) -> Self {
        Self {
            what: What::Answer([false, true].map(|it| Arc::new(Template::new(answer, it)))),
            cut: None,
            delay: Duration::ZERO,
            first: Duration::ZERO,
            headers: Vec::new(),
        }
    }

    /// Reads a turn.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(value: &Value) -> Result<Self, String> {
        let turn = value.as_object().ok_or("a turn is an object")?;
        known(
            turn,
            &[
                "text", "items", "end", "status", "body", "error", "cut", "delay_ms", "first_ms",
                "deltas", "repeat", "headers",
            ],
        )?;
        let status = match turn.get("status") {
            Some(value) => Some(
                value
                    .as_u64()
                    .and_then(|it| u16::try_from(it).ok())
                    .filter(|it| (400..600).contains(it))
                    .ok_or("`status` is a number from 400 to 599")?,
            ),
            None => None,
        };
        let what = if status.is_some() || turn.contains_key("body") {
            let mut failure = Failure::of_status(status.unwrap_or(500));
            match turn.get("body") {
                Some(Value::String(text)) => failure.raw = Some(text.as_str().into()),
                Some(body) => {
                    let body = serde_json::to_string_pretty(body).unwrap_or_default();
                    failure.raw = Some(body.into());
                }
                None => {}
            }
            if let Some(error) = turn.get("error") {
                describe(&mut failure, error)?;
            }
            What::Error(failure)
        } else if let Some(error) = turn.get("error") {
            let status = error.get("status").and_then(Value::as_u64).unwrap_or(400);
            let status = u16::try_from(status).unwrap_or(400);
            let mut failure = Failure::of_status(status);
            describe(&mut failure, error)?;
            What::Error(failure)
        } else {
            let answer = answer(turn)?;
            return Self::of(&answer).with(turn);
        };
        Self {
            what,
            cut: None,
            delay: Duration::ZERO,
            first: Duration::ZERO,
            headers: Vec::new(),
        }
        .with(turn)
    }

    fn with(mut self, turn: &Map<String, Value>) -> Result<Self, String> {
        let millis = |key: &str| match turn.get(key) {
            None => Ok(Duration::ZERO),
            Some(value) => value
                .as_u64()
                .filter(|it| *it <= 3_600_000)
                .map(Duration::from_millis)
                .ok_or(format!(
                    "`{key}` is a number of milliseconds, at most an hour"
                )),
        };
        (self.delay, self.first) = (millis("delay_ms")?, millis("first_ms")?);
        self.cut = match turn.get("cut") {
            None => None,
            Some(Value::String(text)) => Some(Cut::parse(text)?),
            Some(_) => return Err("`cut` is a text such as \"response.created=reset\"".to_owned()),
        };
        let headers = turn.get("headers").and_then(Value::as_object);
        for (name, value) in headers.into_iter().flatten() {
            let value = value.as_str().ok_or("a header's value is a text")?;
            self.headers.push((name.clone(), value.to_owned()));
        }
        Ok(self)
    }
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// A sentence that says which turn is wrong, and why.
    pub fn read(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|why| format!("not JSON: {why}"))?;
        let whole = match &value {
            Value::Array(turns) => {
                let mut whole = Map::new();
                whole.insert("turns".into(), Value::Array(turns.clone()));
                whole
            }
            Value::Object(whole) => whole.clone(),
            _ => return Err("a script is an object with `turns`".to_owned()),
        };
        known(&whole, &["turns", "conversations", "default"])?;
        let mut script = Self::default();
        let listed = match whole.get("conversations") {
            None => &Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err("`conversations` is a list".to_owned()),
        };
        for (at, conversation) in listed.iter().enumerate() {
            let place = format!("conversations[{at}]");
            let object = conversation
                .as_object()
                .ok_or(format!("{place} is no object"))?;
            known(object, &["when", "turns"]).map_err(|why| format!("{place}: {why}"))?;
            let when = When::read(object.get("when")).map_err(|why| format!("{place}: {why}"))?;
            let turns = turns(object.get("turns")).map_err(|why| format!("{place}.{why}"))?;
            script.conversations.push(Conversation { when, turns });
        }
        if whole.contains_key("turns") {
            script.conversations.push(Conversation {
                // side requests ask for nothing that the turns were written for
                when: When {
                    side: Some(false),
                    ..When::default()
                },
                turns: turns(whole.get("turns"))?,
            });
        }
        if script.conversations.is_empty() && !whole.contains_key("default") {
            return Err("a script needs `turns`, `conversations` or `default`".to_owned());
        }
        script.otherwise = match whole.get("default") {
            None => None,
            Some(turn) => Some(Turn::read(turn).map_err(|why| format!("default: {why}"))?),
        };
        Ok(script)
    }
}

impl When {
    fn read(value: Option<&Value>) -> Result<Self, String> {
        let Some(value) = value else {
            return Ok(Self::default());
        };
        let object = value.as_object().ok_or("`when` is an object")?;
        known(object, &["contains", "model", "lane", "side"])?;
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            contains: text("contains"),
            model: text("model"),
            lane: text("lane"),
            side: object.get("side").and_then(Value::as_bool),
        })
    }

    /// Whether a request meets the conditions.
    pub fn holds(&self, body: &str, model: &str, lane: Option<&str>, side: bool) -> bool {
        self.side.unwrap_or(side) == side
            && self.model.as_deref().is_none_or(|it| it == model)
            && self.lane.as_deref().is_none_or(|it| Some(it) == lane)
            && self.contains.as_deref().is_none_or(|it| body.contains(it))
    }
}

fn turns(value: Option<&Value>) -> Result<Vec<Turn>, String> {
    let list = value
        .and_then(Value::as_array)
        .ok_or("turns is no list".to_owned())?;
    let mut found = Vec::new();
    for (at, value) in list.iter().enumerate() {
        let turn = Turn::read(value).map_err(|why| format!("turns[{at}]: {why}"))?;
        let repeat = value.get("repeat").and_then(Value::as_u64).unwrap_or(1);
        for _ in 0..repeat.min(10_000) {
            found.push(turn.clone());
        }
    }
    Ok(found)
}

fn answer(turn: &Map<String, Value>) -> Result<Answer, String> {
    let mut items = Vec::new();
    if let Some(text) = turn.get("text") {
        let text = text.as_str().ok_or("`text` is no text")?;
        items.extend(Answer::text(text).items);
    }
    if let Some(list) = turn.get("items") {
        let list = list.as_array().ok_or("`items` is no list")?;
        for (at, item) in list.iter().enumerate() {
            let item = item
                .as_object()
                .ok_or(format!("items[{at}] is no object"))?;
            items.push(complete(item).map_err(|why| format!("items[{at}]: {why}"))?);
        }
    }
    let deltas = match turn.get("deltas") {
        None => None,
        Some(value) => Some(
            value
                .as_u64()
                .filter(|it| (1..=1_000_000).contains(it))
                .ok_or("`deltas` is a number from 1")? as usize,
        ),
    };
    Ok(Answer {
        items,
        end: end(turn.get("end"))?,
        deltas,
    })
}

fn end(value: Option<&Value>) -> Result<Status, String> {
    let wrong = "`end` is \"completed\", \"incomplete\", \"failed\", {\"incomplete\":REASON} or {\"failed\":{\"code\":…,\"message\":…}}";
    let of = |key: &str, inner: Option<&Value>| match key {
        "completed" => Ok(Status::Completed),
        "incomplete" => {
            let reason = inner.and_then(Value::as_str);
            Ok(Status::Incomplete(
                reason.unwrap_or("max_output_tokens").to_owned(),
            ))
        }
        "failed" => {
            let text = |key: &str, other: &str| {
                let text = inner.and_then(|it| it.get(key)).and_then(Value::as_str);
                text.unwrap_or(other).to_owned()
            };
            Ok(Status::Failed(
                text("code", "server_error"),
                text(
                    "message",
                    "The server had an error while processing your request.",
                ),
            ))
        }
        _ => Err(wrong.to_owned()),
    };
    match value {
        None => Ok(Status::Completed),
        Some(Value::String(name)) => of(name, None),
        Some(Value::Object(object)) => match object.iter().next() {
            Some((key, inner)) if object.len() == 1 => of(key, Some(inner)),
            _ => Err(wrong.to_owned()),
        },
        Some(_) => Err(wrong.to_owned()),
    }
}

fn describe(failure: &mut Failure, error: &Value) -> Result<(), String> {
    let error = error.as_object().ok_or("`error` is an object")?;
    known(error, &["status", "message", "type", "param", "code"])?;
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(message) = text("message") {
        failure.message = message;
    }
    if let Some(kind) = text("type") {
        failure.kind = kind.into();
    }
    if error.contains_key("param") {
        failure.param = text("param");
    }
    if error.contains_key("code") {
        failure.code = text("code").map(Into::into);
    }
    Ok(())
}

fn known(object: &Map<String, Value>, names: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(format!(
            "`{key}` is not known; known are {}",
            names.join(", ")
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let script = Script::read(
            r#"{"turns":[
                {"text":"hi"},
                {"items":[{"type":"function_call","name":"f","arguments":{"a":1},"call_id":"call_A"}],"deltas":3,"repeat":2},
                {"status":503},
                {"error":{"status":429,"message":"slow down","code":"rate_limit_exceeded"}},
                {"status":400,"body":{"detail":"no"}},
                {"text":"x","end":{"failed":{"code":"server_error"}},"cut":"response.created=reset","delay_ms":5}],
              "conversations":[{"when":{"contains":"title","side":true},"turns":[{"text":"T"}]}],
              "default":{"text":"over"}}"#,
        )
        .unwrap();
        assert_eq!(script.conversations.len(), 2);
        assert_eq!(script.conversations[1].turns.len(), 7);
        let What::Error(failure) = &script.conversations[1].turns[4].what else {
            panic!()
        };
        assert_eq!(
            (failure.status, failure.message.as_str()),
            (429, "slow down")
        );
        let What::Error(failure) = &script.conversations[1].turns[5].what else {
            panic!()
        };
        assert!(failure.body().contains("\"detail\": \"no\""));
        assert!(script.conversations[1].turns[6].cut.is_some());
        assert!(
            script.conversations[0]
                .when
                .holds("a title", "m", None, true)
        );
        assert!(
            !script.conversations[0]
                .when
                .holds("a title", "m", None, false)
        );
        assert!(Script::read(r#"[{"text":"a"}]"#).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("{", "not JSON"),
            ("{}", "needs `turns`"),
            (r#"{"turn":[]}"#, "`turn` is not known"),
            (r#"{"turns":[{"txt":"x"}]}"#, "turns[0]: `txt` is not known"),
            (
                r#"{"turns":[{"items":[{"type":"function_call"}]}]}"#,
                "turns[0]: items[0]: a function_call needs `name`",
            ),
            (
                r#"{"turns":[{"text":"x","cut":"a=boom"}]}"#,
                "no way to cut",
            ),
            (r#"{"turns":[{"text":"x","end":"maybe"}]}"#, "`end` is"),
            (r#"{"turns":[{"status":200}]}"#, "`status` is"),
        ] {
            let found = Script::read(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }
}
