//! The mock for tests in Rust.

use std::io;
use std::time::Duration;

use serde_json::Value;

use super::{Mock, Options};
use crate::endpoint::served::fault::{Cut, Rule};
use crate::endpoint::served::journal::Entry;
use crate::endpoint::served::script::Script;
use crate::endpoint::served::server::Settings;
use crate::endpoint::served::tape::ReadTape as _;
use crate::endpoint::served::{Profile, Rules, live::Live};
use crate::wire::failure::Failure;
use crate::wire::request::RequestHead;

/// What a mock for a test is set up with. What is wrong with it is said by [`MockEndpoint::start`].
#[derive(Debug, Default)]
pub struct MockEndpoint {
    settings: Settings,
    wrong: Option<String>,
    expected: Option<u32>,
    may_refuse: bool,
}

impl MockEndpoint {
    /// A mock that gives the smallest valid answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// A mock that plays the answers of a recording back, such as `include_bytes!("session.jsonl")`.
    pub fn from_session(bytes: &[u8]) -> Self {
        let mut mock = Self::default();
        if let Err(why) = mock.settings.tapes.read_tape(bytes) {
            mock.note(why.to_string());
        }
        mock
    }

    /// Answers as a script says (`docs/serve.md`).
    #[must_use]
    pub fn script(mut self, text: &str) -> Self {
        match Script::read(text) {
            Ok(script) => self.settings.script = Some(script),
            Err(why) => self.note(why),
        }
        self
    }

    /// Cuts every answer at this event: `response.output_item.done#2=reset`.
    #[must_use]
    pub fn cut_at(mut self, cut: &str) -> Self {
        match Cut::parse(cut) {
            Ok(what) => self.settings.cuts.push(Rule {
                exchange: None,
                what,
            }),
            Err(why) => self.note(why),
        }
        self
    }

    /// Cuts the answer to the n-th request, counted from 1.
    #[must_use]
    pub fn cut_nth(mut self, request: u32, cut: &str) -> Self {
        match Cut::parse(cut) {
            Ok(what) => self.settings.cuts.push(Rule {
                exchange: Some(request),
                what,
            }),
            Err(why) => self.note(why),
        }
        self
    }

    /// Answers the n-th request, counted from 1, with this status.
    #[must_use]
    pub fn fail_nth(mut self, request: u32, status: u16) -> Self {
        self.settings.fails.push(Rule {
            exchange: Some(request),
            what: status,
        });
        self
    }

    /// Sets a policy: `output_before_call=refuse`.
    #[must_use]
    pub fn policy(mut self, text: &str) -> Self {
        if let Err(why) = self.settings.rules.set(text) {
            self.note(why);
        }
        self
    }

    /// Chooses whose streams are imitated.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings.rules.profile = profile;
        self
    }

    /// What passes before each event.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.settings.latency = latency;
        self
    }

    /// When the mock is dropped, so many requests for responses must have come.
    #[must_use]
    pub fn expect_requests(mut self, count: u32) -> Self {
        self.expected = Some(count);
        self
    }

    /// Requests that break the contract are no failure of the test.
    #[must_use]
    pub fn allow_refusals(mut self) -> Self {
        self.may_refuse = true;
        self
    }

    /// Starts it on a port of its own.
    ///
    /// # Errors
    /// If something it was set up with is wrong, or no port can be listened on.
    pub async fn start(self) -> io::Result<Running> {
        if let Some(why) = self.wrong {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let mock = Mock::start(Options {
            settings: self.settings,
            ..Options::default()
        })
        .await?;
        Ok(Running {
            mock,
            expected: self.expected,
            may_refuse: self.may_refuse,
        })
    }

    fn note(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }
}

/// A mock that listens. Dropping it checks what came, and panics with a list of all requests if something is wrong; in a
/// test that panics already it is silent.
#[derive(Debug)]
pub struct Running {
    mock: Mock,
    expected: Option<u32>,
    may_refuse: bool,
}

impl Running {
    /// The base URL for clients: `http://127.0.0.1:PORT/v1`.
    pub fn url(&self) -> String {
        self.mock.url()
    }

    /// Every request that came so far.
    pub fn requests(&self) -> Vec<Entry> {
        self.mock
            .with(|server| server.journal().entries().cloned().collect())
    }

    /// What is wrong with what came, if anything.
    pub fn problem(&self) -> Option<String> {
        let requests = self.requests();
        let counts = self.mock.counts();
        let mut why = Vec::new();
        if counts.refused > 0 && !self.may_refuse {
            why.push(format!(
                "{} of {} requests broke the contract",
                counts.refused, counts.judged
            ));
        }
        let came = requests.iter().filter(|it| it.judged).count();
        if let Some(expected) = self.expected.filter(|it| *it as usize != came) {
            why.push(format!("{expected} requests were expected, {came} came"));
        }
        if why.is_empty() {
            return None;
        }
        let mut text = why.join("; ");
        for entry in &requests {
            text.push_str("\n  ");
            text.push_str(&entry.line());
        }
        Some(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Some(problem) = self.problem() {
            #[expect(clippy::panic, reason = "a test that holds this mock has failed")]
            {
                panic!("{problem}");
            }
        }
    }
}

/// Judges one request that keeps its whole history, for people who have a mock of their own: what the API says against it.
///
/// ```
/// let request = serde_json::json!({"model": "m", "input": [
///     {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
///     {"role": "user", "content": "go on"},
/// ]});
/// let failure = responses_replay::mock::check(&request).unwrap_err();
/// assert_eq!(failure.message, "No tool output found for function call call_1.");
/// ```
///
/// # Errors
/// The refusal. A `previous_response_id` is always unknown here.
pub fn check(request: &Value) -> Result<(), Failure> {
    let text = request.to_string();
    let head =
        RequestHead::read(&text).ok_or_else(|| Failure::invalid("a request is a JSON object"))?;
    if let Some(failure) = crate::endpoint::served::form::body(&head, Profile::OpenAi, false) {
        return Err(failure);
    }
    let mut live = Live::new(Rules::default());
    let ticket = live.arrive(&head, None, 0);
    live.judge(&ticket).map_or(Ok(()), Err)
}
