//! One served endpoint: takes requests, plans answers, books how they went.
//!
//! Nothing here waits or knows a socket. A transport hands in what came ([`Asked`]), sends what is planned, and says when it
//! was sent ([`Server::finished`]); it says so before the last bytes go out, so that a client that goes on from a response
//! finds it stored.

mod choose;
mod resources;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::fault::{Cut, Rule};
use super::journal::{Entry, Journal, Source};
use super::live::{Live, Ticket};
use super::object::Echo;
use super::plan::Planned;
use super::script::{Script, Turn};
use super::shelf::{Conversation, Kept, Shelf};
use super::stream::{Frames, Ids};
use super::tape::Tapes;
use super::{Profile, Rules, form};
use crate::session::lanes::{Headers, identity};
use crate::wire::failure::Failure;
use crate::wire::request::RequestHead;
use turns::Turns;

pub use resources::{Answered, Route};

/// The headers by which one request asks for a fault or an answer of its own.
pub const HEADERS: [(&str, &str); 6] = [
    ("x-replay-cut", "EVENT[=HOW]: cut this answer"),
    ("x-replay-fail", "STATUS: answer with this error"),
    ("x-replay-delay", "MILLISECONDS before each event"),
    ("x-replay-answer", "a turn of a script, as JSON on one line"),
    (
        "x-replay-lane",
        "NAME: a conversation of its own for scripts and sequences",
    ),
    (
        "x-replay-chunks",
        "exact: one write for each event, or as recorded",
    ),
];

/// What a request gets for which no answer is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// The smallest valid answer.
    #[default]
    Minimal,
    /// An error that says what is nearest.
    Error,
    /// The answer of the upstream.
    Upstream,
    /// The answer of the upstream, recorded or not.
    AlwaysUpstream,
}

/// What a server is set up with.
#[derive(Debug)]
pub struct Settings {
    /// What it goes by.
    pub rules: Rules,
    /// The script, if there is one.
    pub script: Option<Script>,
    /// The recorded answers.
    pub tapes: Tapes,
    /// What a request gets for which no answer is recorded.
    pub otherwise: Otherwise,
    /// Streams to cut.
    pub cuts: Vec<Rule<Cut>>,
    /// A recorded answer to cut: the number is its exchange's in the recording.
    pub aimed: Option<Rule<Cut>>,
    /// Requests to fail.
    pub fails: Vec<Rule<u16>>,
    /// What passes before each event.
    pub latency: Duration,
    /// How much faster than recorded; 0 is at once.
    pub speed: f64,
    /// Whether chunks keep their limits where nothing passes between them.
    pub exact: bool,
    /// What ids are made from.
    pub seed: u64,
    /// The models that are listed.
    pub models: Vec<String>,
    /// When it was started, in seconds since 1970.
    pub started: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            script: None,
            tapes: Tapes::new(super::tape::Match::default(), false),
            otherwise: Otherwise::default(),
            cuts: Vec::new(),
            aimed: None,
            fails: Vec::new(),
            latency: Duration::ZERO,
            speed: 0.0,
            exact: false,
            seed: 0,
            models: vec!["gpt-5.1-codex".to_owned(), "gpt-5.1".to_owned()],
            // 2025-10-09; a served endpoint is told the time
            started: 1_760_000_000,
        }
    }
}

/// A request as a transport hands it in.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The method; `WS` for a WebSocket message.
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// What stands behind the `?`.
    pub query: &'a str,
    /// Its headers.
    pub headers: &'a Headers<'a>,
    /// The WebSocket it came on, and its lane there.
    pub connection: Option<(u32, u32)>,
    /// The body, decoded.
    pub body: Bytes,
    /// What passed since the server was started.
    pub at: Duration,
}

/// What is to be done with a `POST …/responses`.
#[derive(Debug)]
pub enum Reply {
    /// Answer like this.
    Plan(Box<Planned>),
    /// Answer with an error.
    Failure(u32, Failure, Vec<(String, String)>),
    /// Ask the upstream; tell [`Server::came_back`] what it said.
    Upstream(u32),
}

/// An answer on its way.
#[derive(Debug)]
struct Open {
    ticket: Ticket,
    response: String,
    conversation: Option<String>,
    store: bool,
    frames: Frames,
    /// How many frames it takes until the response is over.
    terminal: usize,
    /// Whether it ends well.
    good: bool,
    turn: Option<turns::Place>,
}

/// What the upstream answered.
#[derive(Clone, Copy, Debug)]
pub struct CameBack<'a> {
    /// The status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'a str,
    /// The bytes that came.
    pub bytes: &'a [u8],
    /// `complete`, `cut` or `client_closed`.
    pub end: &'static str,
}

/// A request that went to the upstream.
#[derive(Debug)]
struct Passing {
    ticket: Ticket,
    body: Bytes,
    thread: String,
    conversation: Option<String>,
    store: bool,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    live: Live,
    ids: Ids,
    journal: Journal,
    shelf: Shelf,
    conversations: BTreeMap<String, Conversation>,
    busy: BTreeSet<String>,
    open: BTreeMap<u32, Open>,
    passing: BTreeMap<u32, Passing>,
    turns: Turns,
    creates: u32,
    minimal: [Turn; 2],
}

impl Server {
    /// A server that was asked nothing yet.
    pub fn new(settings: Settings) -> Self {
        let empty = super::answer::Answer {
            items: Vec::new(),
            ..super::answer::Answer::text("")
        };
        Self {
            live: Live::new(settings.rules),
            ids: Ids::new(settings.seed),
            journal: Journal::default(),
            shelf: Shelf::default(),
            conversations: BTreeMap::new(),
            busy: BTreeSet::new(),
            open: BTreeMap::new(),
            passing: BTreeMap::new(),
            turns: Turns::default(),
            creates: 0,
            minimal: [
                Turn::of(&super::answer::Answer::text("OK.")),
                Turn::of(&empty),
            ],
            settings,
        }
    }

    /// What it goes by.
    pub fn rules(&self) -> &Rules {
        &self.settings.rules
    }

    /// Every request that came.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Forgets everything it was told; scripts and recordings begin anew.
    pub fn reset(&mut self) {
        // ids go on, so that none is given out twice
        self.live = Live::new(self.settings.rules);
        self.journal.clear();
        self.shelf = Shelf::default();
        self.conversations.clear();
        self.busy.clear();
        self.open.clear();
        self.turns = Turns::default();
        self.creates = 0;
        self.settings.tapes.rewind();
    }

    fn now(&self, at: Duration) -> u64 {
        self.settings.started + at.as_secs()
    }

    fn note(&mut self, asked: &Asked<'_>) -> u32 {
        self.journal.push(Entry {
            at_ms: at_ms(asked.at),
            method: asked.method.to_owned(),
            path: asked.path.to_owned(),
            body: asked.body.clone(),
            ..Entry::default()
        })
    }

    /// Notes a request whose body could not be read.
    pub fn unread(&mut self, method: &str, path: &str, failure: &Failure, at: Duration) -> u32 {
        self.journal.push(Entry {
            at_ms: at_ms(at),
            method: method.to_owned(),
            path: path.to_owned(),
            status: Some(failure.status),
            refused: Some(failure.clone()),
            end: Some("complete"),
            ..Entry::default()
        })
    }

    /// Takes a request for a response.
    pub fn create(&mut self, asked: &Asked<'_>, connection: Option<&Headers<'_>>) -> Reply {
        let number = self.note(asked);
        self.creates += 1;
        let header = |name: &str| asked.headers.get(name);
        let fail = if let Some(text) = header("x-replay-fail") {
            match super::fault::status_of(text) {
                Ok(status) => Some(status),
                Err(why) => return self.wrong_header(number, "x-replay-fail", &why),
            }
        } else {
            let creates = self.creates;
            let fails = &self.settings.fails;
            fails.iter().find(|it| it.is_for(creates)).map(|it| it.what)
        };
        if let Some(status) = fail {
            self.journal.change(number, |it| it.source = Source::Fault);
            return self.fail(number, Failure::of_status(status), false);
        }
        let body = asked.body.clone();
        let Some(head) = std::str::from_utf8(&body).ok().and_then(RequestHead::read) else {
            let failure = Failure::invalid(
                "We could not parse the JSON body of your request. The API expects a JSON object.",
            )
            .rule("not_json");
            return self.fail(number, failure, true);
        };
        let thread = identity(asked.headers, connection, Some(&head));
        let lane = header("x-replay-lane")
            .map(str::to_owned)
            .or(thread.thread.clone());
        self.journal.change(number, |it| {
            (it.judged, it.lane) = (true, lane.clone());
        });
        let websocket = asked.connection.is_some();
        if let Some(failure) = form::body(&head, self.settings.rules.profile, websocket) {
            return self.fail(number, failure, true);
        }
        let conversation = head.conversation.as_deref().map(str::to_owned);
        if let Some(id) = &conversation
            && self.busy.contains(id)
        {
            return self.fail(number, locked(), true);
        }
        let on = asked.connection;
        let ticket = self
            .live
            .arrive(&head, on.map(|it| it.0), on.map_or(0, |it| it.1));
        if let Some(failure) = self.live.judge(&ticket) {
            return self.fail(number, failure, true);
        }
        let side = thread.side;
        let wants = choose::Wants {
            number,
            ticket,
            lane,
            side,
            text: std::str::from_utf8(&body).unwrap_or(""),
        };
        let thread = wants.lane.clone().unwrap_or_default();
        let chosen = self.choose(asked, &head, &wants);
        if let Some(id) = &conversation
            && !matches!(&chosen, Err(reply) if matches!(**reply, Reply::Failure(..)))
        {
            self.busy.insert(id.clone());
        }
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(reply) => {
                if let Reply::Upstream(number) = *reply {
                    let passing = Passing {
                        ticket,
                        body: body.clone(),
                        thread,
                        conversation,
                        store: head.store != Some(false),
                    };
                    self.passing.insert(number, passing);
                }
                return *reply;
            }
        };
        let response = chosen.response;
        self.open.insert(
            number,
            Open {
                ticket,
                response,
                conversation,
                store: head.store != Some(false),
                frames: chosen.plan.frames.clone(),
                terminal: chosen.terminal,
                good: chosen.good,
                turn: chosen.turn,
            },
        );
        let status = chosen.plan.status;
        self.journal.change(number, |it| it.status = Some(status));
        Reply::Plan(Box::new(chosen.plan))
    }

    fn wrong_header(&mut self, number: u32, name: &str, why: &str) -> Reply {
        let failure = Failure::invalid(format!("header {name}: {why}")).param(name);
        self.journal.change(number, |it| it.source = Source::Fault);
        self.fail(number, failure, false)
    }

    /// Notes an error answer. `contract`: whether it is what the API says of this request.
    fn fail(&mut self, number: u32, failure: Failure, contract: bool) -> Reply {
        let kept = failure.clone();
        self.journal.change(number, |it| {
            it.status = Some(kept.status);
            it.end = Some("complete");
            it.judged |= contract;
            if contract {
                it.refused = Some(kept);
            }
        });
        let id = self.ids.make("req_");
        let id = id.get(..36).unwrap_or(&id).to_owned();
        Reply::Failure(number, failure, vec![("x-request-id".to_owned(), id)])
    }

    /// Books that the first `sent` frames of an answer are sent, or are about to be. Only the first word on an answer counts.
    /// Returns whether this was it.
    pub fn finished(&mut self, number: u32, sent: usize, end: &'static str) -> bool {
        let Some(open) = self.open.remove(&number) else {
            return false;
        };
        if let Some(id) = &open.conversation {
            self.busy.remove(id);
        }
        let complete = open.good && sent >= open.terminal;
        let node = if open.ticket.is_remembered() || open.frames.plain.is_empty() {
            let (done, half) = open.frames.reached(sent);
            self.live
                .answered(&open.ticket, &open.response, complete, &done, &half)
        } else {
            // nothing can refer to it: that it was said is all that counts
            let done = open.frames.items.iter().zip(open.frames.plain.iter());
            let done = done.filter(|(item, _)| item.done < sent as u32);
            let done = done.map(|(_, plain)| plain.as_str());
            self.live.sequence(open.ticket.node(), done)
        };
        if let Some(turn) = &open.turn {
            self.turns.over(turn, complete, self.live.key(node).lenient);
        }
        if open.store && complete {
            let kept = Kept {
                object: open.frames.object.clone(),
                context: open.ticket.node(),
            };
            self.shelf.put(open.response, kept);
        }
        self.journal.change(number, |it| {
            it.events = sent as u32;
            it.end = Some(end);
        });
        true
    }

    /// Notes a request that is passed on without being judged.
    pub fn passing(&mut self, asked: &Asked<'_>) -> u32 {
        self.note(asked)
    }

    /// Books the answer of the upstream to a request that was sent there. From then on it is a recorded one.
    pub fn came_back(&mut self, number: u32, back: &CameBack<'_>) {
        self.journal.change(number, |it| {
            it.status = Some(back.status);
            it.source = Source::Upstream;
            it.end = Some(back.end);
        });
        let Some(passing) = self.passing.remove(&number) else {
            return;
        };
        if let Some(id) = &passing.conversation {
            self.busy.remove(id);
        }
        let learned = self.settings.tapes.learn(
            &passing.body,
            &passing.thread,
            back.status,
            back.content_type,
            back.bytes,
        );
        let take = learned
            .and_then(|index| self.settings.tapes.get(index))
            .cloned();
        let Some(take) = take else { return };
        let Some(response) = take.response.clone() else {
            return;
        };
        self.live
            .answered(&passing.ticket, &response, take.complete, &take.done, &[]);
        if passing.store && take.complete {
            let frames = self.settings.tapes.frames(&take, None, None);
            let kept = Kept {
                object: frames.object,
                context: passing.ticket.node(),
            };
            self.shelf.put(response, kept);
        }
    }

    /// Forgets what a WebSocket remembered.
    pub fn disconnected(&mut self, connection: u32) {
        self.live.disconnected(connection);
    }

    fn echo(&mut self, head: &RequestHead<'_>, bytes: usize, id: String, at: Duration) -> Echo {
        Echo::new(id, self.now(at), head, bytes, self.settings.rules.profile)
    }

    /// The headers of an answer.
    fn headers(&mut self, head: &RequestHead<'_>) -> Vec<(String, String)> {
        let id = self.ids.make("req_");
        let mut headers = vec![(
            "x-request-id".to_owned(),
            id.get(..36).unwrap_or(&id).to_owned(),
        )];
        if self.settings.rules.profile == Profile::CodexBackend {
            let model = head.model.as_deref().unwrap_or("");
            let safe: String = model.chars().filter(char::is_ascii_graphic).collect();
            headers.push(("openai-model".to_owned(), safe));
            headers.push(("x-codex-turn-state".to_owned(), self.ids.make("ts_")));
            headers.push(("x-models-etag".to_owned(), "\"replay\"".to_owned()));
            headers.push(("x-reasoning-included".to_owned(), "true".to_owned()));
        }
        headers
    }
}

fn at_ms(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

/// Another request runs on the conversation (E26).
fn locked() -> Failure {
    Failure::invalid("Another process is currently operating on this conversation. Please retry in a few seconds.")
        .param("conversation")
        .code("conversation_locked")
        .rule("conversation_locked")
}

#[cfg(test)]
mod tests;
