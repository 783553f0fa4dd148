//! The streams between us and the client.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::terminal;
use crate::client::lines::{Line, Lines};
use crate::client::{Direction, EventSource, Sink};

/// As much as a pipe holds.
const CHUNK: usize = 64 << 10;

/// Our ends of the client's streams.
pub(super) struct Pipes {
    /// What the client reads is written here.
    stdin: Option<(EventSource, OwnedFd)>,
    /// What the client wrote is read here.
    stdout: Option<(EventSource, OwnedFd)>,
    /// Whether stdout is a terminal of ours.
    terminal: bool,
}

/// Copies that run.
pub(super) struct Running {
    stdin: Option<Copy>,
    stdout: Option<Copy>,
    terminal: Option<OwnedFd>,
}

struct Copy {
    thread: JoinHandle<()>,
    /// Closed when the client has ended.
    alive: PipeWriter,
}

impl Pipes {
    pub(super) fn prepare(
        stdin: Option<EventSource>,
        stdout: Option<EventSource>,
        command: &mut Command,
    ) -> io::Result<Self> {
        let mut it = Self {
            stdin: None,
            stdout: None,
            terminal: false,
        };
        if let Some(source) = stdin {
            let (theirs, ours) = io::pipe()?;
            command.stdin(theirs);
            it.stdin = Some((source, ours.into()));
        }
        if let Some(source) = stdout {
            let own = rustix::stdio::stdout();
            it.terminal = rustix::termios::isatty(own);
            let ours = if it.terminal {
                let (ours, theirs) = terminal::open(own)?;
                command.stdout(Stdio::from(theirs));
                ours
            } else {
                let (ours, theirs) = io::pipe()?;
                command.stdout(theirs);
                ours.into()
            };
            it.stdout = Some((source, ours));
        }
        Ok(it)
    }

    pub(super) fn start(self, _: &mut Child, sink: &Arc<dyn Sink>) -> Running {
        let terminal = match &self.stdout {
            Some((_, ours)) if self.terminal => ours.try_clone().ok(),
            _ => None,
        };
        let begin = |copied: Copied| {
            let (stop, alive) = io::pipe()?;
            let thread = std::thread::Builder::new().spawn(move || copied.run(&stop))?;
            io::Result::Ok(Copy { thread, alive })
        };
        let start = |copied: Copied| {
            begin(copied)
                .inspect_err(|error| sink.trouble(&format!("events are not copied: {error}")))
                .ok()
        };
        Running {
            stdin: self.stdin.and_then(|(source, to)| {
                start(Copied {
                    from: rustix::stdio::stdin().try_clone_to_owned().ok()?,
                    to,
                    told: Told::new(source, Direction::In, sink),
                })
            }),
            stdout: self.stdout.and_then(|(source, from)| {
                start(Copied {
                    from,
                    to: rustix::stdio::stdout().try_clone_to_owned().ok()?,
                    told: Told::new(source, Direction::Out, sink),
                })
            }),
            terminal,
        }
    }
}

impl Running {
    pub(super) fn resizer(&self) -> Option<Box<dyn Fn() + Send>> {
        let terminal = self.terminal.as_ref()?.try_clone().ok()?;
        Some(Box::new(move || {
            terminal::resize(&terminal, rustix::stdio::stdout());
        }))
    }

    pub(super) fn finish(self) {
        for copy in [self.stdin, self.stdout].into_iter().flatten() {
            drop(copy.alive);
            // a copy that panicked has told what it could
            drop(copy.thread.join());
        }
    }
}

/// One direction.
pub(super) struct Copied {
    pub(super) from: OwnedFd,
    pub(super) to: OwnedFd,
    pub(super) told: Told,
}

impl Copied {
    /// Copies until one side closes, or until `stop` is closed and nothing more is there.
    pub(super) fn run(self, stop: &PipeReader) {
        let Self { from, to, mut told } = self;
        let mut chunk = vec![0; CHUNK];
        let mut refused = false;
        while ready(from.as_fd(), stop.as_fd()) {
            let read = match rustix::io::read(&from, &mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                // a terminal whose other side is closed says it this way
                Err(_) => break,
            };
            let bytes = chunk.get(..read).unwrap_or_default();
            // what the client is told must not stand behind what it says to it
            if told.direction == Direction::In {
                told.push(bytes);
            }
            refused = !write(to.as_fd(), bytes);
            if told.direction == Direction::Out {
                told.push(bytes);
            }
            if refused {
                break;
            }
        }
        // the other side learns that this one is closed
        drop((from, to));
        if refused && told.direction == Direction::In {
            close_stdin();
        }
        told.finish();
    }
}

/// Waits for bytes; false if there are none and none are waited for.
fn ready(from: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> bool {
    loop {
        let mut both = [
            PollFd::from_borrowed_fd(from, PollFlags::IN),
            PollFd::from_borrowed_fd(stop, PollFlags::IN),
        ];
        match poll(&mut both, None) {
            Ok(_) => return both.first().is_some_and(|from| !from.revents().is_empty()),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return false,
        }
    }
}

fn write(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // whoever gave us the stream may have made it non-blocking
            Err(Errno::AGAIN) => {
                let mut it = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                poll(&mut it, None).ok();
            }
            Err(_) => return false,
        }
    }
    true
}

/// Nobody reads our input any more: who writes to it learns so, as from the client itself.
fn close_stdin() {
    if let Ok(nothing) = std::fs::File::open("/dev/null") {
        rustix::stdio::dup2_stdin(nothing).ok();
    }
}

/// The lines of a stream, told.
pub(super) struct Told {
    source: EventSource,
    direction: Direction,
    lines: Lines,
    sink: Arc<dyn Sink>,
}

impl Told {
    pub(super) fn new(source: EventSource, direction: Direction, sink: &Arc<dyn Sink>) -> Self {
        Self {
            source,
            direction,
            lines: Lines::default(),
            sink: Arc::clone(sink),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let (source, direction, sink) = (self.source, self.direction, &self.sink);
        self.lines
            .push(bytes, |line| tell(source, direction, &**sink, &line));
    }

    fn finish(mut self) {
        let (source, direction, sink) = (self.source, self.direction, &self.sink);
        self.lines
            .finish(|line| tell(source, direction, &**sink, &line));
    }
}

fn tell(source: EventSource, direction: Direction, sink: &dyn Sink, line: &Line<'_>) {
    match line {
        Line::Kept(bytes) => sink.client_event(source, direction, bytes),
        Line::TooLong(bytes) => sink.trouble(&format!(
            "a line of {} of {bytes} bytes is not kept",
            source.name()
        )),
    }
}
