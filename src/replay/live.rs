//! Sends the requests of a session again, to a real endpoint, and judges every answer.
//!
//! By default each request is sent as it was, but statelessly: what a chain of `previous_response_id` held is put back into
//! `input`, and what only the server that made it knows is left out. Acceptance is compared, not text.

pub mod attempts;
pub mod compose;
pub mod follow;
mod going;
pub mod socket;
pub mod word;

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;

use super::call::{CallError, Caller, Key, Patience};
use crate::proxy::Upstream;
use crate::proxy::tape::{self, MAX_QUEUED, Opening, Output, Tape, Totals};
use crate::redact::Redactor;
use crate::session::Session;
use crate::session::exchange::Transport;
use crate::session::kept::Kept;
use crate::strategy::outgoing::{Outbox, Outgoing};
use crate::strategy::{self, Options, Run, Strategy};
use attempts::Budget;
use compose::Composer;

/// How requests are sent.
#[derive(Clone, Debug)]
pub struct How {
    /// In place of the recorded model.
    pub model: Option<String>,
    /// Whether the endpoint's own answers are carried forward.
    pub follow: bool,
    /// The transport; `None`: as recorded.
    pub transport: Option<Transport>,
    /// What may be spent on one request.
    pub budget: Budget,
    /// The pace: 0 is at once, 1 as recorded, 2 twice as fast. With a pace the client hangs up where the recorded one did.
    pub speed: f64,
    /// How many requests are sent at most.
    pub max_requests: Option<usize>,
    /// The message of a probe.
    pub probe: String,
}

/// What is about to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Requests.
    pub requests: usize,
    /// Bytes of their bodies; with `follow` they may change.
    pub bytes: u64,
    /// Requests that cannot be sent because what they go on from is not on file.
    pub not_sent: usize,
    /// Requests without a model.
    pub without_model: usize,
    /// Requests that only open a connection, which over HTTP are not sent.
    pub warm_ups: usize,
}

/// What has been sent so far, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The requests that are over.
    pub done: usize,
    /// All that will be sent.
    pub all: usize,
    /// Sendings of the request that is under way.
    pub attempt: u32,
}

/// A session that is sent under one strategy.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The session.
    pub session: &'a Session,
    /// Its texts.
    pub kept: &'a Kept,
    /// The strategy.
    pub strategy: Strategy,
    /// How the session is run.
    pub options: &'a Options,
    /// How it is sent.
    pub how: &'a How,
}

/// Why an endpoint cannot be asked.
#[derive(Debug, Error)]
pub enum SenderError {
    /// See there.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The machine gives no threads.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Where what is sent is recorded.
pub struct Recorded {
    /// The file.
    pub output: Output,
    /// Its first line.
    pub opening: Opening,
    /// What takes secrets out.
    pub redactor: Redactor,
}

/// Sends to one endpoint.
#[derive(Debug)]
pub struct Sender {
    runtime: Runtime,
    caller: Caller,
    scribe: Option<(Tape, JoinHandle<Totals>)>,
}

impl Sender {
    /// Sends to `upstream`; what passes is written to `recorded`.
    ///
    /// # Errors
    /// See [`SenderError`].
    pub fn new(
        upstream: Upstream,
        key: Option<&Key>,
        patience: Patience,
        recorded: Option<Recorded>,
    ) -> Result<Self, SenderError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("target")
            .build()?;
        let scribe = match recorded {
            None => None,
            Some(it) => {
                let (tape, feed) = Tape::new(MAX_QUEUED);
                let told = Box::new(|_: tape::Told| {});
                let scribe = tape::start(feed, it.output, it.opening, it.redactor, told)?;
                Some((tape, scribe))
            }
        };
        let tape = scribe.as_ref().map(|(tape, _)| tape.clone());
        Ok(Self {
            caller: Caller::new(upstream, key, patience, tape)?,
            runtime,
            scribe,
        })
    }

    /// What sends single requests.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What drives it.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Sends a session under one strategy.
    pub fn run(&self, job: &Job<'_>, told: &mut dyn FnMut(Progress)) -> Run {
        let outbox = strategy::outgoing(job.session, job.strategy, job.options);
        self.runtime
            .block_on(going::sent(&self.caller, job, &outbox, told))
    }

    /// Writes the last line of the recording; what was written, if there is one.
    pub fn finish(self) -> Option<Totals> {
        let (tape, scribe) = self.scribe?;
        drop(self.caller);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        tape.stop();
        Some(scribe.join().unwrap_or_else(|_panicked| Totals {
            failed: Some("the thread that writes the file has failed".to_owned()),
            ..Totals::default()
        }))
    }
}

/// What sending a session under one strategy would send.
pub fn forecast(job: &Job<'_>) -> Forecast {
    let outbox = strategy::outgoing(job.session, job.strategy, job.options);
    let composer = composer(job, &outbox);
    let mut found = Forecast::default();
    for one in outbox.all.iter().filter(|one| !one.again) {
        let websocket = transport(job.how, one) == Transport::WebSocket;
        if composer.is_warm_up(one) && !websocket {
            found.warm_ups += 1;
            continue;
        }
        if job
            .how
            .max_requests
            .is_some_and(|most| found.requests >= most)
        {
            break;
        }
        // with the endpoint's own answers a chain may go on that cannot be rebuilt from the file
        let own_chain = job.how.follow && one.previous.is_some() && one.unknown;
        match composer.compose(one, &[], None, websocket) {
            Ok(composed) => {
                found.requests += 1;
                found.bytes += composed.text.len() as u64;
                found.without_model += usize::from(!composer.has_model(one));
            }
            Err(_) if own_chain => found.requests += 1,
            Err(_) => found.not_sent += 1,
        }
    }
    found
}

fn composer<'a>(job: &Job<'a>, outbox: &'a Outbox) -> Composer<'a> {
    let strategy = match job.strategy {
        Strategy::AsClient => strategy::as_client::resolve(job.session),
        other => other,
    };
    Composer::new(
        job.session,
        job.kept,
        outbox,
        strategy,
        job.how.model.as_deref(),
        &job.how.probe,
    )
}

fn transport(how: &How, one: &Outgoing) -> Transport {
    how.transport.unwrap_or(one.transport)
}
