//! Putting a log together, event by event.

mod questions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Double, Interrupt, Message, Outcome, Run, Stale, Story, Thread, Turn};
use crate::events::log::{Event, Id, Log};
use crate::events::{How, Source, ToolKind, What};

/// Puts a log together.
pub(super) fn tell(log: &Log) -> Story {
    let mut teller = Teller::new(log);
    for (at, event) in log.events.iter().enumerate() {
        teller.take(at, event);
    }
    teller.finish()
}

type Key = (u16, Id);

struct Teller<'a> {
    log: &'a Log,
    story: Story,
    threads: BTreeMap<(u16, Option<Id>), usize>,
    /// The thread that events without one belong to.
    current: BTreeMap<u16, usize>,
    turns: BTreeMap<(usize, Id), usize>,
    submissions: BTreeMap<Key, usize>,
    /// Threads that were made, by id.
    created: BTreeMap<Key, usize>,
    resumes: BTreeMap<Key, usize>,
    asks: BTreeMap<Key, usize>,
    by_call: BTreeMap<Key, usize>,
    /// The last question of each turn that names one.
    by_turn: BTreeMap<Key, usize>,
    interrupts: BTreeMap<Key, usize>,
    messages: BTreeMap<Key, usize>,
    /// Messages without an id that no turn has begun with, by stream.
    waiting: BTreeMap<u16, VecDeque<usize>>,
    runs: BTreeMap<(Option<usize>, u16, Id, ToolKind, bool), usize>,
    /// Streams whose first process is known.
    began: BTreeSet<u16>,
    /// The last word of the client, by stream.
    spoke: BTreeMap<u16, usize>,
    stale: BTreeMap<usize, usize>,
    /// Streams that tell of turns.
    turned: BTreeSet<u16>,
    /// The turn that began last in a rollout.
    latest: Option<usize>,
    /// Messages that were not shown yet, by thread and text.
    texts: BTreeMap<(usize, Id), VecDeque<usize>>,
}

impl<'a> Teller<'a> {
    fn new(log: &'a Log) -> Self {
        Self {
            log,
            story: Story::default(),
            threads: BTreeMap::new(),
            current: BTreeMap::new(),
            turns: BTreeMap::new(),
            submissions: BTreeMap::new(),
            created: BTreeMap::new(),
            resumes: BTreeMap::new(),
            asks: BTreeMap::new(),
            by_call: BTreeMap::new(),
            by_turn: BTreeMap::new(),
            interrupts: BTreeMap::new(),
            messages: BTreeMap::new(),
            waiting: BTreeMap::new(),
            runs: BTreeMap::new(),
            began: BTreeSet::new(),
            spoke: BTreeMap::new(),
            stale: BTreeMap::new(),
            turned: BTreeSet::new(),
            latest: None,
            texts: BTreeMap::new(),
        }
    }
}

impl Teller<'_> {
    /// Forgets ids that a new process counts anew: a log may hold several runs of a client, one behind the other.
    fn new_process(&mut self, event: &Event) {
        let stream = event.stream;
        let name = self.log.name(event);
        if name == "settings" {
            self.threads.remove(&(stream, None));
            self.current.remove(&stream);
        } else if !matches!(name, "session_configured" | "thread.started" | "initialize") {
            return;
        }
        // what is submitted before the first process says that it is there was submitted to it
        if !self.began.insert(stream) {
            self.forget(event);
        }
    }

    /// Forgets the ids of a process that is gone.
    fn forget(&mut self, event: &Event) {
        let stream = event.stream;
        // what stands between its last word and the first of the next was for the next
        let last = self.spoke.get(&stream).copied().unwrap_or(0);
        let doubles = &mut self.story.doubles;
        let tail = doubles.split_off(doubles.partition_point(|it| it.second <= last));
        doubles.extend(tail.into_iter().filter(|it| it.of != "submission"));
        let keys = (stream, Id(0))..=(stream, Id(u32::MAX));
        let old: Vec<Key> = self
            .submissions
            .range(keys.clone())
            .map(|it| *it.0)
            .collect();
        for key in old {
            self.submissions.remove(&key);
        }
        let old: Vec<Key> = self.created.range(keys).map(|it| *it.0).collect();
        for key in old {
            self.created.remove(&key);
        }
        let Some(&thread) = self.threads.get(&(stream, event.thread)) else {
            return;
        };
        let keys = (thread, Id(0))..=(thread, Id(u32::MAX));
        let old: Vec<(usize, Id)> = self.turns.range(keys).map(|it| *it.0).collect();
        for key in old {
            self.turns.remove(&key);
        }
        if let Some(thread) = self.story.threads.get_mut(thread) {
            thread.active = None;
        }
    }

    fn take(&mut self, at: usize, event: &Event) {
        self.new_process(event);
        if !event.inwards {
            self.spoke.insert(event.stream, at);
        }
        let thread = self.thread(event);
        let turn = event
            .turn
            .and_then(|id| self.turns.get(&(thread, id)).copied());
        if !event.inwards && event.what != What::TurnStarted {
            self.behind(at, turn, thread);
        }
        let active = self.story.threads.get(thread).and_then(|it| it.active);
        match event.what {
            What::ThreadStarted => self.thread_started(at, event),
            What::ResumeAsked => {
                if let Some(id) = event.id {
                    self.resumes.insert((event.stream, id), at);
                }
            }
            What::TurnStarted => self.turn_started(at, event, thread),
            What::TurnEnded(how) => self.turn_ended(at, event, thread, turn, how),
            What::Error => {
                if let Some(turn) = turn.or(active).and_then(|it| self.story.turns.get_mut(it)) {
                    turn.error = Some(at);
                }
            }
            What::InterruptAsked => {
                self.submitted(at, event);
                let running = turn.or(active).filter(|it| {
                    let turn = self.story.turns.get(*it);
                    turn.is_some_and(|it| it.ended.is_none() && it.error.is_none())
                });
                let running = running.or_else(|| self.elsewhere(event.stream));
                // an early client drops a task that has died when it is told to stop
                if running.is_none()
                    && let Some(thread) = self.story.threads.get_mut(thread)
                {
                    thread.active = None;
                }
                if let Some(id) = event.id {
                    self.interrupts
                        .insert((event.stream, id), self.story.interrupts.len());
                }
                self.story.interrupts.push(Interrupt {
                    asked: at,
                    thread,
                    turn: running,
                    answered: None,
                    accepted: None,
                });
            }
            What::InterruptAnswered(accepted) => {
                let found = event
                    .id
                    .and_then(|id| self.interrupts.get(&(event.stream, id)));
                if let Some(interrupt) = found.and_then(|it| self.story.interrupts.get_mut(*it)) {
                    interrupt.answered = Some(at);
                    interrupt.accepted = Some(accepted);
                }
            }
            What::MessageAsked => self.message(at, event, thread, active),
            What::MessageAnswered(accepted) => {
                let found = event
                    .id
                    .and_then(|id| self.messages.get(&(event.stream, id)));
                if let Some(message) = found.and_then(|it| self.story.messages.get_mut(*it)) {
                    message.turn = event.turn;
                    if !accepted {
                        message.outcome = Outcome::Refused;
                    }
                }
            }
            What::MessageShown | What::History => self.shown(event, thread),
            What::Asked(kind) => self.asked(at, event, thread, turn.or(active), kind),
            What::Answered(decision) => self.answered(at, event, decision),
            What::Resolved => {
                let ask = event.id.and_then(|id| self.asks.get(&(event.stream, id)));
                if let Some(ask) = ask.and_then(|it| self.story.asks.get_mut(*it)) {
                    ask.resolved = Some(at);
                }
            }
            What::ToolBegan(kind) => self.tool(at, event, turn.or(active), kind, true),
            What::ToolEnded(kind, _) => self.tool(at, event, turn.or(active), kind, false),
            _ => {}
        }
    }

    /// The turn that runs by the word of a rollout, for a log that tells of no turns.
    fn elsewhere(&self, stream: u16) -> Option<usize> {
        if self.turned.contains(&stream) {
            return None;
        }
        let latest = self.latest?;
        let turn = self.story.turns.get(latest)?;
        turn.ended.is_none().then_some(latest)
    }

    fn thread(&mut self, event: &Event) -> usize {
        let key = (event.stream, event.thread);
        if let Some(known) = self.threads.get(&key) {
            if event.what == What::ThreadStarted {
                self.current.insert(event.stream, *known);
            }
            return *known;
        }
        let current = self.current.get(&event.stream).copied();
        let Some(id) = event.thread else {
            return current.unwrap_or_else(|| self.new_thread(event.stream, None));
        };
        // what came before a thread was named belongs to it
        let nameless = self.threads.get(&(event.stream, None)).copied();
        if let Some(at) = nameless
            && let Some(thread) = self.story.threads.get_mut(at)
            && thread.id.is_none()
        {
            thread.id = Some(id);
            self.threads.insert((event.stream, Some(id)), at);
            return at;
        }
        self.new_thread(event.stream, Some(id))
    }

    fn new_thread(&mut self, stream: u16, id: Option<Id>) -> usize {
        let at = self.story.threads.len();
        self.story.threads.push(Thread {
            id,
            stream,
            ..Thread::default()
        });
        self.threads.insert((stream, id), at);
        self.current.entry(stream).or_insert(at);
        at
    }

    fn thread_started(&mut self, at: usize, event: &Event) {
        if event.inwards {
            return;
        }
        let name = self.log.name(event);
        let Some(thread) = event.thread else { return };
        if name.starts_with("answer to") && name.contains("esume") {
            let asked = event
                .id
                .and_then(|id| self.resumes.get(&(event.stream, id)));
            if let Some(&asked) = asked {
                let wanted = self.log.events.get(asked).and_then(|it| it.thread);
                if wanted.is_some_and(|it| it != thread) {
                    self.story.elsewhere.push((asked, at));
                }
            }
        } else if matches!(
            name,
            "answer to thread/start" | "answer to newConversation" | "answer to thread/fork"
        ) {
            match self.created.get(&(event.stream, thread)) {
                Some(&first) => self.story.doubles.push(Double {
                    of: "thread",
                    first,
                    second: at,
                }),
                None => {
                    self.created.insert((event.stream, thread), at);
                }
            }
        }
    }

    fn turn_started(&mut self, at: usize, event: &Event, thread: usize) {
        let before = self.story.threads.get(thread).and_then(|it| it.active);
        if let Some(before) = before.and_then(|it| self.story.turns.get_mut(it))
            && before.ended.is_none()
        {
            before.overtaken = Some(at);
        }
        let number = self.story.turns.len();
        self.turned.insert(event.stream);
        if event.stream > 0 {
            self.latest = Some(number);
        }
        if let Some(id) = event.turn {
            if let Some(&known) = self.turns.get(&(thread, id))
                && let Some(first) = self.story.turns.get(known).and_then(|it| it.started)
            {
                self.story.doubles.push(Double {
                    of: "turn",
                    first,
                    second: at,
                });
            }
            self.turns.insert((thread, id), number);
        }
        self.story.turns.push(Turn {
            thread,
            id: event.turn,
            started: Some(at),
            ended: None,
            how: None,
            error: None,
            overtaken: None,
        });
        if let Some(thread) = self.story.threads.get_mut(thread) {
            thread.active = Some(number);
            thread.turns.push(number);
        }
        // the message it begins with: that of its submission, or the oldest one without an id
        let own = event
            .turn
            .and_then(|id| self.messages.get(&(event.stream, id)).copied());
        let own = own.or_else(|| self.waiting.get_mut(&event.stream)?.pop_front());
        if let Some(message) = own.and_then(|it| self.story.messages.get_mut(it))
            && message.outcome == Outcome::Unknown
        {
            message.outcome = Outcome::Began(number);
        }
    }

    fn turn_ended(
        &mut self,
        at: usize,
        event: &Event,
        thread: usize,
        turn: Option<usize>,
        how: How,
    ) {
        let active = self.story.threads.get(thread).and_then(|it| it.active);
        let number = turn.or(active).unwrap_or_else(|| {
            // the log begins inside of the turn
            self.turned.insert(event.stream);
            let number = self.story.turns.len();
            self.story.turns.push(Turn {
                thread,
                id: event.turn,
                started: None,
                ended: None,
                how: None,
                error: None,
                overtaken: None,
            });
            if let Some(id) = event.turn {
                self.turns.insert((thread, id), number);
            }
            if let Some(thread) = self.story.threads.get_mut(thread) {
                thread.turns.push(number);
            }
            number
        });
        if let Some(turn) = self.story.turns.get_mut(number)
            && turn.ended.is_none()
        {
            turn.ended = Some(at);
            turn.how = Some(how);
            turn.error = None;
        }
        if let Some(thread) = self.story.threads.get_mut(thread)
            && thread.active == Some(number)
        {
            thread.active = None;
        }
    }

    /// Notes an event of a turn that was aborted before another began.
    fn behind(&mut self, at: usize, turn: Option<usize>, thread: usize) {
        let Some(number) = turn else { return };
        let Some(turn) = self.story.turns.get(number) else {
            return;
        };
        let aborted = matches!(turn.how, Some(How::Aborted(_)));
        let turns = self
            .story
            .threads
            .get(thread)
            .map_or(&[][..], |it| &it.turns);
        let next = turns.last().filter(|last| **last != number);
        let next = next.and_then(|it| self.story.turns.get(*it)?.started);
        // of a turn that has not ended yet it will show whether it was aborted
        let next = turn
            .overtaken
            .or(next.filter(|it| aborted && turn.ended.is_some_and(|ended| *it > ended)));
        let Some(next) = next else { return };
        let known = self.stale.get(&number).copied();
        if let Some(stale) = known.and_then(|it| self.story.stale.get_mut(it)) {
            stale.events.push(at);
            return;
        }
        self.stale.insert(number, self.story.stale.len());
        self.story.stale.push(Stale {
            turn: number,
            next,
            events: vec![at],
        });
    }

    /// Notes the id of a submission.
    fn submitted(&mut self, at: usize, event: &Event) {
        // the ids of requests may come again once they are answered; those of submissions must not
        if !matches!(event.source, Source::Proto) {
            return;
        }
        let Some(id) = event.id else { return };
        match self.submissions.get(&(event.stream, id)) {
            Some(&first) => self.story.doubles.push(Double {
                of: "submission",
                first,
                second: at,
            }),
            None => {
                self.submissions.insert((event.stream, id), at);
            }
        }
    }

    fn message(&mut self, at: usize, event: &Event, thread: usize, active: Option<usize>) {
        self.submitted(at, event);
        let number = self.story.messages.len();
        match event.id {
            Some(id) => {
                self.messages.insert((event.stream, id), number);
            }
            None => self
                .waiting
                .entry(event.stream)
                .or_default()
                .push_back(number),
        }
        if let Some(text) = event.text {
            self.texts
                .entry((thread, text))
                .or_default()
                .push_back(number);
        }
        self.story.messages.push(Message {
            asked: at,
            thread,
            into: active,
            outcome: Outcome::Unknown,
            turn: None,
        });
    }

    fn shown(&mut self, event: &Event, thread: usize) {
        if let Some(thread) = self.story.threads.get_mut(thread) {
            thread.shows = true;
        }
        let Some(text) = event.text else { return };
        let waiting = self.texts.get_mut(&(thread, text));
        let Some(first) = waiting.and_then(VecDeque::pop_front) else {
            return;
        };
        if let Some(message) = self.story.messages.get_mut(first)
            && message.outcome == Outcome::Unknown
        {
            message.outcome = Outcome::Shown;
        }
    }

    fn tool(&mut self, at: usize, event: &Event, turn: Option<usize>, kind: ToolKind, began: bool) {
        let Some(call) = event.call else { return };
        // an event of core and the item of the app-server tell of the same run
        let item = self.log.name(event).contains("item");
        let key = (turn, event.stream, call, kind, item);
        let number = self.runs.get(&key).copied().unwrap_or_else(|| {
            let number = self.story.runs.len();
            self.runs.insert(key, number);
            self.story.runs.push(Run {
                call,
                kind,
                turn,
                began: Vec::new(),
                ended: Vec::new(),
            });
            number
        });
        if let Some(run) = self.story.runs.get_mut(number) {
            if began {
                run.began.push(at);
            } else {
                run.ended.push(at);
            }
        }
    }

    fn finish(mut self) -> Story {
        let turns = &self.story.turns;
        self.story.stale.retain(|stale| {
            let how = turns.get(stale.turn).and_then(|it| it.how);
            matches!(how, Some(How::Aborted(_)))
        });
        for message in &mut self.story.messages {
            if message.outcome != Outcome::Unknown {
                continue;
            }
            let named = message
                .turn
                .and_then(|id| self.turns.get(&(message.thread, id)).copied());
            if let Some(named) = named
                && Some(named) != message.into
            {
                message.outcome = Outcome::Began(named);
                continue;
            }
            let Some(into) = message.into else { continue };
            let Some(turn) = self.story.turns.get(into) else {
                continue;
            };
            let shows = self
                .story
                .threads
                .get(message.thread)
                .is_some_and(|it| it.shows);
            let has_text = self
                .log
                .events
                .get(message.asked)
                .is_some_and(|it| it.text.is_some());
            if turn.error.is_some_and(|it| it < message.asked) && turn.ended.is_none() {
                message.outcome = Outcome::Dead(into);
            } else if turn.ended.is_some_and(|it| it > message.asked) && shows && has_text {
                message.outcome = Outcome::Dropped(into);
            }
        }
        self.story
    }
}
