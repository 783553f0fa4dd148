//! Interrupting a session wherever it can be interrupted, and asking a strategy for the next request each time.
//!
//! [`points()`] lists the places; places that leave client and server in the same state are one [`Point`] with a count.
//! [`ask`] walks the session once for a strategy and judges the next request behind each point, in every world. What it
//! says of a point is what [`super::run()`] says of the last request of [`cut()`]: the session, really cut there, with the
//! next request behind it.
//!
//! # What a cut means
//!
//! *Before.* Everything in front of the cut request happened as recorded: what the server stored, what the client
//! remembers, which worlds the recorded answers leave.
//!
//! *The cut request.* It was sent. Of its answer arrived what the point says: nothing; the response's id and a number of
//! whole items, others begun; or all of it, while the tools it asked for still run.
//!
//! *The client's memory.* Broken off by the client ([`Who::Client`]) or by the upstream, the process lives on and
//! remembers what it saw of the answer. Killed, it is started again: what a strategy keeps in memory only is gone, what
//! it rebuilds from the history on disk is there.
//!
//! *The next request.* After [`Who::Client`] and [`Who::Kill`] the user sends a message. Outputs of tools that had ended
//! at the cut, but were not sent yet, go with it. After [`Who::Upstream`] the turn goes on by itself: a client that
//! chains sends the same request again; one that sends its history adds the finished items, and the outputs of their
//! calls as far as the session holds them, because it lets its tools end before it tries again. What the request goes
//! on from is the [`Base`].
//!
//! *The server.* What a cut response leaves stored is the policy `stored_after_cut`; the verdict covers its values.

mod answered;
mod cut;
mod points;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::contract::{Fault, Outcome, Policy, WorldSet};
use crate::ids::{CallKey, ItemIndex, LineNo};
use crate::session::Session;
use crate::wire::item::{Author, Flags, Item, ItemKind, Items};

use super::as_client::Keeps;
use super::chained;
use super::run::{Injected, Judged, Origin};
use super::script::Script;
use super::{Options, Probe, Strategy, as_client, full, wire};

pub use answered::answered;
pub use cut::cut;
#[cfg(test)]
pub(super) use cut::cut_recording;
pub use points::points;

/// Who breaks a conversation off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The user or the program, through the client, which lives on.
    Client,
    /// The upstream or the network; the client tries again.
    Upstream,
    /// The system: the client is started again.
    Kill,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Client, Self::Upstream, Self::Kill];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Kill => "kill",
        }
    }
}

/// What the next request goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// Nothing: it carries the whole history.
    Whole,
    /// The last response that was complete, by `previous_response_id`.
    Complete,
    /// The last response that was named, complete or not.
    Seen,
    /// The conversation the lane belongs to.
    Conversation,
}

impl Base {
    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Complete => "complete",
            Self::Seen => "seen",
            Self::Conversation => "conversation",
        }
    }
}

/// What the client does behind a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Next {
    /// Who broke it off.
    pub who: Who,
    /// What the next request goes on from; `None`: what the session's lane goes on from by habit.
    pub base: Option<Base>,
}

/// How far a request and its answer had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The request was sent, nothing of an answer came.
    Sent,
    /// The answer began; no call yet.
    Answering,
    /// A call began and is not finished.
    MidCall,
    /// A call is finished, the response is not over.
    Called,
    /// The response is over, its tools run.
    InTool,
    /// Some of its tools have ended, others run.
    SomeOutputs,
    /// The response is over and asked for no tool.
    Idle,
}

impl Stage {
    /// All of them, in the order of a conversation.
    pub const ALL: [Self; 7] = [
        Self::Sent,
        Self::Answering,
        Self::MidCall,
        Self::Called,
        Self::InTool,
        Self::SomeOutputs,
        Self::Idle,
    ];

    /// The name in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Answering => "answering",
            Self::MidCall => "mid-call",
            Self::Called => "called",
            Self::InTool => "in-tool",
            Self::SomeOutputs => "some-outputs",
            Self::Idle => "idle",
        }
    }
}

/// A place where a session can be cut, and all others that leave the same behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which request of the walk it belongs to; for a rollout, which step.
    pub(super) at: u32,
    pub(super) state: State,
    /// The lane; 0 for a rollout.
    pub lane: u32,
    /// The exchange's number; `None` for a rollout.
    pub exchange: Option<u32>,
    /// The line of the request, or for a rollout that of the last item.
    pub line: LineNo,
    /// The first event behind which the cut may fall, from 0; `None` where no event had come, or events are not on file.
    pub event: Option<u32>,
    /// How many places it stands for, at least 1.
    pub cuts: u32,
    /// How far things had come.
    pub stage: Stage,
    /// Whether the cut request carried outputs of tools.
    pub carries_outputs: bool,
    /// Whether the cut falls behind a whole item, in front of the first, or between calls and outputs.
    pub between_items: bool,
    /// The call it is about, if there is one.
    pub call: Option<CallKey>,
}

/// What of an answer had come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) named: bool,
    /// How many items were finished.
    pub(super) done: u32,
    /// Items begun and not finished.
    pub(super) half: Vec<ItemIndex>,
    /// Whether the response was complete.
    pub(super) over: bool,
    /// Outputs of tools that had ended, not sent yet.
    pub(super) outputs: Vec<ItemIndex>,
    /// Outputs that the client will have before it tries again.
    pub(super) later: Vec<ItemIndex>,
}

/// What became of the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the contract says.
    pub outcome: Outcome,
    /// The last refusal seen, kept if a later attempt got through.
    pub refusal: Option<Fault>,
    /// How many requests it took.
    pub sends: u32,
    /// Whether the strategy would try for ever.
    pub loops: bool,
    /// Whether the strategy changed the request.
    pub changed: bool,
    /// The outputs it made up.
    pub made_up: Arc<[Injected]>,
    /// How many calls it calls aborted although the session shows that the tool had ended.
    pub false_statements: u32,
    /// How many items it left out.
    pub lost: u32,
    /// Whether no output of a finished tool is contradicted or left out by the strategy.
    pub real_outputs_kept: bool,
}

impl Told {
    /// Of a request that could not be made.
    pub(super) fn nothing() -> Self {
        Self {
            outcome: Outcome::Unknown,
            refusal: None,
            sends: 0,
            loops: false,
            changed: false,
            made_up: Arc::default(),
            false_statements: 0,
            lost: 0,
            real_outputs_kept: true,
        }
    }

    pub(super) fn of(judged: &Judged, kept: bool) -> Self {
        let mut false_calls: Vec<CallKey> = judged
            .injected
            .iter()
            .filter(|made_up| made_up.is_false)
            .map(|made_up| made_up.call)
            .collect();
        false_calls.sort_unstable();
        false_calls.dedup();
        Self {
            outcome: judged.outcome.clone(),
            refusal: judged.refusal,
            sends: judged.attempts,
            loops: judged.loops,
            changed: judged.changed,
            made_up: Arc::clone(&judged.injected),
            false_statements: false_calls.len() as u32,
            lost: judged.removed.len() as u32,
            real_outputs_kept: kept && false_calls.is_empty(),
        }
    }
}

/// Walks a session under one strategy and tells `sink`, for each point and each way to go on, what becomes of the next
/// request: the point's index, the way's index, the result. Points are those of [`points()`] or some of them, in their
/// order. `Upstream` is not asked of points at which no answer is under way, nor of rollouts, which hold no streams.
///
/// With `client` the one who goes on is the session's own client: what that is known to forget of an interrupted turn, or not
/// to have on disk when it is killed, it does not send. Without, it is someone who has everything and uses the strategy.
pub fn ask(
    session: &Session,
    (strategy, client): (Strategy, bool),
    policies: &[(Policy, usize)],
    points: &[Point],
    nexts: &[Next],
    sink: &mut dyn FnMut(usize, usize, Told),
) {
    let resolved = resolve(session, strategy);
    let own = strategy == Strategy::AsClient;
    let worlds = WorldSet::fixed(policies);
    match walked(session) {
        Walked::Script(mut script) => {
            if !client {
                script.keeps = Keeps::All;
            }
            wire::forks::ask(&script, resolved, own, worlds, points, nexts, sink);
        }
        Walked::Rollout(rollout) => {
            // what was answered before a file was made whole says nothing of the file as it is
            let own = own && !rollout.meta.recovered;
            full::forks::ask(rollout, resolved, own, worlds, points, nexts, sink);
        }
    }
}

/// The strategy that is used where `strategy` is asked for.
pub fn resolve(session: &Session, strategy: Strategy) -> Strategy {
    match strategy {
        Strategy::AsClient => as_client::resolve(session),
        other => other,
    }
}

impl Point {
    /// What of this moment its client still has, in memory or, started again, on disk, if it goes on as `next` says. Where
    /// another base than that of its habit is asked for, it has everything.
    pub(super) fn left(&self, keeps: Keeps, next: Next, habit: Base) -> Keeps {
        let runs = matches!(self.stage, Stage::InTool | Stage::SomeOutputs);
        match (keeps, next.who) {
            _ if next.base.is_some_and(|base| base != habit) => Keeps::All,
            (Keeps::LateIds, Who::Kill) if runs => keeps,
            (Keeps::Turns, Who::Kill | Who::Client) if self.stage != Stage::Idle => keeps,
            _ => Keeps::All,
        }
    }
}

/// Whether a next request can be asked for at a point.
pub fn applies(point: &Point, next: Next) -> bool {
    match next.who {
        Who::Client | Who::Kill => true,
        Who::Upstream => {
            point.exchange.is_some()
                && !matches!(
                    point.stage,
                    Stage::InTool | Stage::SomeOutputs | Stage::Idle
                )
        }
    }
}

/// What a lane of a recording goes on from by habit, as its requests show or its client is known to do; `None` for a
/// rollout.
pub fn habit(session: &Session, lane: u32) -> Option<Base> {
    let Session::Recording(recording) = session else {
        return None;
    };
    let mut of_lane = recording
        .exchanges
        .iter()
        .filter(|it| it.lane == lane && it.request.whole)
        .peekable();
    of_lane.peek()?;
    let mut base = if as_client::chains(recording) {
        Base::Complete
    } else {
        Base::Whole
    };
    for exchange in of_lane {
        if exchange.request.conversation.is_some() {
            return Some(Base::Conversation);
        }
        if cut::goes_on(exchange) {
            base = Base::Complete;
        }
    }
    Some(base)
}

/// Whether anything shows what the lanes of a session go on from: a second request, a conversation, or a client that is
/// known. Where nothing does, the habit is a guess.
pub fn habit_is_known(session: &Session) -> bool {
    let Session::Recording(recording) = session else {
        return true;
    };
    if (recording.client.name.as_deref()).is_some_and(|it| it.starts_with("codex")) {
        return true;
    }
    let mut lanes = BTreeSet::new();
    let mut requests = recording.exchanges.iter().filter(|it| it.request.whole);
    requests.any(|it| {
        it.request.conversation.is_some()
            || cut::goes_on(it)
            || (it.attempt == 1 && !lanes.insert(it.lane))
    })
}

/// The items of a session.
pub fn items(session: &Session) -> &Items {
    match session {
        Session::Recording(recording) => &recording.items,
        Session::Rollout(rollout) => &rollout.items,
    }
}

/// How a session is walked.
enum Walked<'a> {
    Script(Box<Script>),
    Rollout(&'a crate::rollout::Rollout),
}

fn walked(session: &Session) -> Walked<'_> {
    let never = Options {
        policies: Vec::new(),
        probe: Probe::Never,
    };
    match session {
        Session::Recording(recording) => Walked::Script(Box::new(Script::of(recording, &never))),
        Session::Rollout(rollout) if chained::is_chained(rollout) => {
            Walked::Script(Box::new(chained::rebuild(rollout, &never)))
        }
        Session::Rollout(rollout) => Walked::Rollout(rollout),
    }
}

/// The message that the user sends behind a cut; it stands in no file.
pub(super) fn user_message() -> Item {
    Item {
        kind: ItemKind::Message,
        author: Author::User,
        flags: Flags::default(),
        call: None,
        id: None,
        line: 0,
        part: 0,
    }
}

/// The origin of requests that are asked behind a cut.
pub(super) const ORIGIN: Origin = Origin::Probe;
