//! The places of a recording at which a client can be cut: what can be played, and where the events of it stand.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::endpoint::served::tape::{Match, ReadTape as _, Tapes, stream_frames};
use crate::strategy::interrupt::{Point, Stage};
use crate::wire::event::{EventHead, ResponseFold};

/// A place in the recording at which a client is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The exchange's number in the recording.
    pub exchange: u32,
    /// Which request of the client that is, from 1.
    pub request: u32,
    /// The event behind which it falls; `None`: nothing is answered.
    pub event: Option<u32>,
    /// The same as a frame of the stream, where comments count, too.
    #[serde(default)]
    pub frame: Option<u32>,
    /// How far things have come there.
    pub stage: String,
    /// Whether that request carried outputs.
    pub carries_outputs: bool,
    /// Whether the whole answer is sent.
    pub over: bool,
    /// Whether only half of that event arrives.
    #[serde(default)]
    pub half: bool,
}

impl Place {
    /// As it is told to commands: `2:response 7`, in the words of `serve --cut`.
    pub fn cut(&self) -> String {
        match self.frame.or(self.event) {
            Some(event) if self.half => format!("{}:{event}=half-line", self.request),
            Some(event) => format!("{}:{event}", self.request),
            None => format!("{}:byte:0", self.request),
        }
    }
}

/// One answer of a recording that can be played.
#[derive(Clone, Debug)]
struct Played {
    exchange: u32,
    thread: String,
    complete: bool,
    /// For each event its frame and its type.
    events: Vec<(u32, String)>,
}

/// The answers of a recording that can be played, in their order.
#[derive(Clone, Debug, Default)]
pub struct Playable {
    answers: Vec<Played>,
}

impl Playable {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence that says why none can be played.
    pub fn read(session: &[u8]) -> Result<Self, String> {
        let mut tapes = Tapes::new(Match::Sequence, false);
        tapes
            .read_tape(session)
            .map_err(|error| error.to_string())?;
        let takes = (0..tapes.len()).filter_map(|index| tapes.get(index));
        let answers: Vec<Played> = takes
            .filter(|take| take.status < 400 && !take.warm_up)
            .map(|take| Played {
                exchange: take.exchange,
                thread: take.thread.clone(),
                complete: take.complete,
                events: events(take.bytes.clone()),
            })
            .collect();
        if answers.is_empty() {
            return Err("it holds no answer".to_owned());
        }
        Ok(Self { answers })
    }

    /// The type of an event; `None` where there is none.
    pub fn kind(&self, exchange: u32, event: u32) -> Option<&str> {
        let answer = self.answers.iter().find(|it| it.exchange == exchange)?;
        let (_, kind) = answer.events.get(event as usize)?;
        Some(kind)
    }

    /// The places at which a client can be cut, from the points of the recording's sweep.
    ///
    /// Only one thread counts, that of the first request. An answer that was cut on file is played as far as it goes, and
    /// what came behind it is played without it. With `every_event` there is a place for each event, and for each request
    /// one inside of an event of each type.
    pub fn places(&self, points: &[Point], every_event: bool) -> Vec<Place> {
        let mut found = Vec::new();
        let has_points = |it: &&Played| points.iter().any(|at| at.exchange == Some(it.exchange));
        let Some(thread) = self.answers.iter().find(has_points).map(|it| &it.thread) else {
            return found;
        };
        // points are in the order of the exchanges
        let mut rest = points;
        let mut before = 0;
        for answer in self.answers.iter().filter(|it| it.thread == *thread) {
            let start = rest
                .iter()
                .position(|it| it.exchange.is_some_and(|it| it >= answer.exchange));
            rest = start.and_then(|at| rest.get(at..)).unwrap_or_default();
            let end = rest
                .iter()
                .position(|it| it.exchange != Some(answer.exchange))
                .unwrap_or(rest.len());
            let own = rest.get(..end).unwrap_or_default();
            One {
                answer,
                request: before + 1,
                found: &mut found,
            }
            .all(own, every_event);
            before += u32::from(answer.complete);
        }
        found
    }
}

/// The events of a stream as a session counts them.
fn events(bytes: Bytes) -> Vec<(u32, String)> {
    let frames = stream_frames(bytes);
    let mut fold = ResponseFold::default();
    let mut found = Vec::new();
    for at in 0..frames.ends.len() {
        let data = frames.data(at);
        let text = String::from_utf8_lossy(&data);
        let before = fold.events;
        let kind = frames.kind(at);
        fold.named(Some(&kind), &text);
        if fold.events > before {
            let head = EventHead::read_named(&text, Some(&kind));
            let kind = head
                .and_then(|it| it.kind)
                .map_or(kind.clone(), Cow::into_owned);
            found.push((at as u32, kind));
        }
    }
    found
}

/// The places in one answer.
struct One<'a> {
    answer: &'a Played,
    request: u32,
    found: &'a mut Vec<Place>,
}

impl One<'_> {
    fn all(&mut self, points: &[Point], every_event: bool) {
        // the stage that each event is cut out of
        let mut inside: Vec<&Point> = Vec::new();
        for point in points {
            // a client cannot be told which of its tools should have ended
            if point.stage == Stage::SomeOutputs {
                continue;
            }
            let over = matches!(point.stage, Stage::InTool | Stage::Idle);
            let further = if every_event && !over { point.cuts } else { 1 };
            for number in 0..further {
                let event = match (point.event, number) {
                    (Some(event), _) => Some(event + number),
                    (None, 0) => None,
                    (None, _) => Some(number - 1),
                };
                self.push(point, event, over, false);
                inside.push(point);
            }
        }
        if !every_event {
            return;
        }
        let mut seen = BTreeSet::new();
        for ((at, (_, kind)), before) in (0..).zip(&self.answer.events).zip(inside) {
            // what arrives by half leaves what the event before it left
            if !matches!(before.stage, Stage::InTool | Stage::Idle) && seen.insert(kind.as_str()) {
                self.push(before, Some(at), false, true);
            }
        }
    }

    fn push(&mut self, point: &Point, event: Option<u32>, over: bool, half: bool) {
        let frame = event.and_then(|at| self.answer.events.get(at as usize));
        if event.is_some() && frame.is_none() {
            // it came in one piece
            return;
        }
        self.found.push(Place {
            exchange: self.answer.exchange,
            request: self.request,
            event,
            frame: frame.map(|(frame, _)| *frame),
            stage: point.stage.name().to_owned(),
            carries_outputs: point.carries_outputs,
            over,
            half,
        });
    }
}
