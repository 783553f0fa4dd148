//! What belongs together in a log: turns and their ends, interrupts and questions and their answers, messages and what
//! became of them, tools.
//!
//! One pass over the events, every step a look-up by id: a log of a million events costs no more for each of them.

mod teller;

use super::log::{Id, Log};
use super::{AskKind, Decision, How, ToolKind};

/// A thread of a log.
#[derive(Clone, Debug, Default)]
pub struct Thread {
    /// Its id, where the log names one.
    pub id: Option<Id>,
    /// The stream it belongs to.
    pub stream: u16,
    /// Its turns, indices into [`Story::turns`].
    pub turns: Vec<usize>,
    active: Option<usize>,
    /// Whether the log shows which messages of the user became part of it.
    shows: bool,
}

/// A turn. Numbers of events are indices into [`Log::events`].
#[derive(Clone, Debug)]
pub struct Turn {
    /// Its thread, an index into [`Story::threads`].
    pub thread: usize,
    /// Its id; in early logs that of the submission that began it.
    pub id: Option<Id>,
    /// The event it began with; `None` where the log begins inside of it.
    pub started: Option<usize>,
    /// The event it ended with.
    pub ended: Option<usize>,
    /// How it ended.
    pub how: Option<How>,
    /// An error in it that no end followed.
    pub error: Option<usize>,
    /// The beginning of the thread's next turn, where that came before this one's end.
    pub overtaken: Option<usize>,
}

/// An interrupt that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt {
    /// The event that asks.
    pub asked: usize,
    /// Its thread.
    pub thread: usize,
    /// The turn that ran when it was asked for; `None` if none ran.
    pub turn: Option<usize>,
    /// The answer, where the log's protocol has one.
    pub answered: Option<usize>,
    /// Whether the client said yes.
    pub accepted: Option<bool>,
}

/// Who answered a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// Whoever drives the client.
    Driver,
    /// The client itself, when the turn ended.
    Client,
    /// Nobody.
    Nobody,
}

/// A question of the client.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The event that asks.
    pub asked: usize,
    /// What for.
    pub kind: AskKind,
    /// Its thread.
    pub thread: usize,
    /// Its turn.
    pub turn: Option<usize>,
    /// The call it is about.
    pub call: Option<Id>,
    /// The answer, and what it says.
    pub answered: Option<(usize, Decision)>,
    /// Where the client said that it is closed.
    pub resolved: Option<usize>,
}

/// What became of a message of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A turn began with it (an index into [`Story::turns`]).
    Began(usize),
    /// The log shows it as part of the thread.
    Shown,
    /// The client refused it.
    Refused,
    /// It was handed to a turn that had died of an error, and nothing followed.
    Dead(usize),
    /// It was handed to a turn that ended without it, although the log shows the messages that are taken.
    Dropped(usize),
    /// The log does not tell.
    Unknown,
}

/// A message that was handed in.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// The event that hands it in.
    pub asked: usize,
    /// Its thread.
    pub thread: usize,
    /// The turn that ran then.
    pub into: Option<usize>,
    /// What became of it.
    pub outcome: Outcome,
    turn: Option<Id>,
}

/// A tool that ran for one call.
#[derive(Clone, Debug)]
pub struct Run {
    /// The call.
    pub call: Id,
    /// What kind of tool.
    pub kind: ToolKind,
    /// The turn.
    pub turn: Option<usize>,
    /// The events that say that it began, all of one name.
    pub began: Vec<usize>,
    /// The events that say that it finished, all of one name.
    pub ended: Vec<usize>,
}

/// Events of an aborted turn behind the beginning of the next one.
#[derive(Clone, Debug)]
pub struct Stale {
    /// The aborted turn.
    pub turn: usize,
    /// The beginning of the next turn.
    pub next: usize,
    /// The events.
    pub events: Vec<usize>,
}

/// An id that stands for two things.
#[derive(Clone, Copy, Debug)]
pub struct Double {
    /// What it is the id of: `turn`, `thread` or `submission`.
    pub of: &'static str,
    /// The first event with it.
    pub first: usize,
    /// The second.
    pub second: usize,
}

/// A log with its parts put together.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// The threads.
    pub threads: Vec<Thread>,
    /// The turns, in the order in which they began.
    pub turns: Vec<Turn>,
    /// The interrupts.
    pub interrupts: Vec<Interrupt>,
    /// The questions.
    pub asks: Vec<Ask>,
    /// The messages that were handed in.
    pub messages: Vec<Message>,
    /// The tools.
    pub runs: Vec<Run>,
    /// Events behind the next turn's beginning.
    pub stale: Vec<Stale>,
    /// Ids that stand for two things.
    pub doubles: Vec<Double>,
    /// Threads that were asked for, and came as another: the events.
    pub elsewhere: Vec<(usize, usize)>,
}

impl Story {
    /// Puts a log together.
    pub fn of(log: &Log) -> Self {
        teller::tell(log)
    }

    /// Who answered a question.
    pub fn answerer(&self, ask: &Ask) -> Answerer {
        if ask.answered.is_some() {
            return Answerer::Driver;
        }
        let ended = ask.turn.and_then(|turn| self.turns.get(turn)?.ended);
        if ask.resolved.is_some() || ended.is_some() {
            Answerer::Client
        } else {
            Answerer::Nobody
        }
    }

    /// The end of the turn that an interrupt was for.
    pub fn end_of(&self, interrupt: &Interrupt) -> Option<usize> {
        self.turns.get(interrupt.turn?)?.ended
    }

    /// The tools that ran: those that began, and those that only a word of their end is on file of.
    pub fn tool_calls(&self) -> usize {
        self.runs.len()
    }
}
