//! Events with interned ids.

use super::reader::Told;
use super::{Source, What, brief, canonical};
use crate::ids::{Interner, LineNo};
use crate::wire::lines::Problem;

/// An id or a text of a [`Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u32);

/// One event. Its text stays in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The line it stands on, from 1.
    pub line: LineNo,
    /// The line it stands on in a file of its own, where it is a rollout line inside of a recording; else 0.
    pub own_line: LineNo,
    /// Its time in microseconds: since the epoch, or since the first line of a recording; `None` as [`i64::MIN`].
    pub time: i64,
    /// The log it belongs to.
    pub source: Source,
    /// Which of several logs in one file it belongs to: one for the client, one for each rollout.
    pub stream: u16,
    /// Whether it goes from the driver to the client.
    pub inwards: bool,
    /// What it says.
    pub what: What,
    /// Its thread.
    pub thread: Option<Id>,
    /// Its turn.
    pub turn: Option<Id>,
    /// The call it speaks of.
    pub call: Option<Id>,
    /// The id of the request, submission, question or item.
    pub id: Option<Id>,
    /// The beginning of the text it carries ([`brief`]).
    pub text: Option<Id>,
    /// The name the log gives it.
    pub name: Id,
}

impl Event {
    /// Its time, if the log says it.
    pub fn time(&self) -> Option<i64> {
        (self.time != i64::MIN).then_some(self.time)
    }
}

/// A rollout whose lines stand in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The stream of its lines.
    pub stream: u16,
    /// Its thread, in the form in which ids are compared.
    pub thread: Box<str>,
    /// The thread that it is a sub-agent of, in the same form.
    pub parent: Option<Box<str>>,
}

/// A client's event log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The events, in the order of the file.
    pub events: Vec<Event>,
    /// Ids, names and beginnings of texts.
    pub ids: Interner,
    /// The files of the streams behind the first: rollouts whose lines a recording holds.
    pub rollouts: Vec<String>,
    /// The rollouts whose first lines are on file: those, and the one that the log belongs to.
    pub files: Vec<File>,
    /// What could not be read as it should be (only where the log is a file of its own).
    pub problems: Vec<Problem>,
    /// How many lines the file has (only where the log is a file of its own).
    pub lines: LineNo,
    /// The log it is, where all of it is one.
    pub source: Option<Source>,
}

impl Log {
    /// Adds an event.
    pub fn push(&mut self, told: &Told<'_>, line: LineNo, time: Option<i64>, stream: u16) {
        let canon = |ids: &mut Interner, id: &Option<std::borrow::Cow<'_, str>>| {
            let id = id.as_deref().filter(|it| !it.is_empty())?;
            Some(Id(ids.intern(canonical(id).as_bytes())))
        };
        let ids = &mut self.ids;
        let event = Event {
            line,
            own_line: 0,
            time: time.or(told.time).unwrap_or(i64::MIN),
            source: told.source,
            stream,
            inwards: told.inwards,
            what: told.what,
            thread: canon(ids, &told.thread),
            turn: canon(ids, &told.turn),
            call: canon(ids, &told.call),
            id: canon(ids, &told.id),
            text: told
                .text
                .as_deref()
                .map(|text| Id(ids.intern(brief(text).as_bytes()))),
            name: Id(ids.intern(clipped(&told.name).as_bytes())),
        };
        self.events.push(event);
    }

    /// The stream of a rollout whose lines a recording holds.
    pub fn stream_of(&mut self, path: &str) -> u16 {
        let known = self.rollouts.iter().rposition(|it| it == path);
        let at = known.unwrap_or_else(|| {
            self.rollouts.push(path.to_owned());
            self.rollouts.len() - 1
        });
        u16::try_from(at + 1).unwrap_or(u16::MAX)
    }

    /// Notes the first line of a rollout.
    pub fn begins(&mut self, stream: u16, thread: &str, parent: Option<&str>) {
        self.files.push(File {
            stream,
            thread: canonical(thread).into(),
            parent: parent.map(|it| canonical(it).into()),
        });
    }

    /// The file of a stream, where it is not the log's own.
    pub fn rollout(&self, stream: u16) -> Option<&str> {
        let at = (stream as usize).checked_sub(1)?;
        self.rollouts.get(at).map(String::as_str)
    }

    /// The number of an id or text, in the form in which it is compared; `None` if the log does not name it.
    pub fn find(&self, id: &str) -> Option<Id> {
        self.ids.find(canonical(id).as_bytes()).map(Id)
    }

    /// The text of an id.
    pub fn text(&self, id: Id) -> &str {
        std::str::from_utf8(self.ids.text(id.0)).unwrap_or("")
    }

    /// The name of an event.
    pub fn name(&self, event: &Event) -> &str {
        self.text(event.name)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// A name of at most 80 bytes: names are kinds, not texts.
fn clipped(name: &str) -> &str {
    let mut end = name.len().min(80);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or("")
}
