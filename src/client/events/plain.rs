//! The streams between us and the client, where there are no terminals to imitate: pipes of the standard library.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::client::lines::{Line, Lines};
use crate::client::{Direction, EventSource, Sink};

/// The streams that are copied.
pub(super) struct Pipes {
    stdin: Option<EventSource>,
    stdout: Option<EventSource>,
}

/// Copies that run. That of our own input ends with the process: it cannot be interrupted.
pub(super) struct Running {
    stdout: Option<JoinHandle<()>>,
}

impl Pipes {
    pub(super) fn prepare(
        stdin: Option<EventSource>,
        stdout: Option<EventSource>,
        command: &mut Command,
    ) -> io::Result<Self> {
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        if stdout.is_some() {
            command.stdout(Stdio::piped());
        }
        Ok(Self { stdin, stdout })
    }

    pub(super) fn start(self, child: &mut Child, sink: &Arc<dyn Sink>) -> Running {
        if let (Some(source), Some(to)) = (self.stdin, child.stdin.take()) {
            let sink = Arc::clone(sink);
            std::thread::spawn(move || copy(io::stdin(), to, source, Direction::In, &*sink));
        }
        let stdout = self.stdout.zip(child.stdout.take()).map(|(source, from)| {
            let sink = Arc::clone(sink);
            std::thread::spawn(move || copy(from, io::stdout(), source, Direction::Out, &*sink))
        });
        Running { stdout }
    }
}

impl Running {
    pub(super) fn finish(self) {
        if let Some(copy) = self.stdout {
            drop(copy.join());
        }
    }
}

fn copy(
    mut from: impl Read,
    mut to: impl Write,
    source: EventSource,
    direction: Direction,
    sink: &dyn Sink,
) {
    let mut lines = Lines::default();
    let tell = |line: Line<'_>| match line {
        Line::Kept(bytes) => sink.client_event(source, direction, bytes),
        Line::TooLong(bytes) => sink.trouble(&format!(
            "a line of {} of {bytes} bytes is not kept",
            source.name()
        )),
    };
    let mut chunk = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        let bytes = chunk.get(..read).unwrap_or_default();
        // what the client is told must not stand behind what it says to it
        if direction == Direction::In {
            lines.push(bytes, tell);
        }
        let written = to.write_all(bytes).and_then(|()| to.flush());
        if direction == Direction::Out {
            lines.push(bytes, tell);
        }
        if written.is_err() {
            break;
        }
    }
    lines.finish(tell);
}
