use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::pipes::{Copied, Told};
use super::*;
use crate::client::Direction;

struct Notes(Mutex<Sender<Vec<u8>>>);

impl Sink for Notes {
    fn rollout_file(&self, _: &str, _: u32, _: u64) {}

    fn rollout(&self, _: &str, _: u32, _: &[u8]) {}

    fn client_event(&self, _: EventSource, _: Direction, bytes: &[u8]) {
        // a test that has seen enough listens no more
        self.0.lock().unwrap().send(bytes.to_vec()).ok();
    }

    fn trouble(&self, text: &str) {
        panic!("{text}");
    }
}

/// A copy between two pipes.
struct Bench {
    /// What is copied is written here.
    input: Option<PipeWriter>,
    /// What was copied is read here.
    output: Option<PipeReader>,
    /// Closed when the client has ended.
    alive: Option<PipeWriter>,
    lines: Receiver<Vec<u8>>,
    copy: JoinHandle<()>,
}

fn bench(direction: Direction) -> Bench {
    let (from, input) = io::pipe().unwrap();
    let (output, to) = io::pipe().unwrap();
    let (stop, alive) = io::pipe().unwrap();
    let (sender, lines) = channel();
    let sink: Arc<dyn Sink> = Arc::new(Notes(Mutex::new(sender)));
    let copied = Copied {
        from: from.into(),
        to: to.into(),
        told: Told::new(EventSource::ExecJson, direction, &sink),
    };
    Bench {
        input: Some(input),
        output: Some(output),
        alive: Some(alive),
        lines,
        copy: std::thread::spawn(move || copied.run(&stop)),
    }
}

impl Bench {
    fn write(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        self.output.as_mut().unwrap().read_exact(&mut read).unwrap();
        read
    }

    /// Ends it, and gives what was copied but not read, and the lines.
    fn end(mut self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut read = Vec::new();
        self.output.take().unwrap().read_to_end(&mut read).unwrap();
        self.copy.join().unwrap();
        (read, self.lines.iter().collect())
    }
}

#[test]
fn bytes_come_at_once_and_unchanged() {
    let mut it = bench(Direction::Out);
    // no line ending: nobody waits for it
    it.write(b"{\"a\":");
    assert_eq!(it.read(5), b"{\"a\":");
    it.write(b"1}\r\n\xff\0\n\ntail");
    it.input = None;
    let (read, lines) = it.end();
    assert_eq!(read, b"1}\r\n\xff\0\n\ntail");
    assert_eq!(lines, [&b"{\"a\":1}"[..], b"\xff\0", b"", b"tail"]);
}

#[test]
fn more_than_a_pipe_holds_goes_through() {
    let mut it = bench(Direction::Out);
    let text: Vec<u8> = (0..1_000_000_u32)
        .flat_map(|it| [b'a' + (it % 23) as u8, b'\n'])
        .collect();
    let (copied, mut input) = (text.clone(), it.input.take().unwrap());
    let writer = std::thread::spawn(move || input.write_all(&copied).unwrap());
    let (read, lines) = it.end();
    writer.join().unwrap();
    assert!(read == text);
    assert_eq!(lines.len(), 1_000_000);
}

#[test]
fn when_the_client_has_ended_what_it_wrote_is_passed_on_and_the_copy_ends() {
    let mut it = bench(Direction::Out);
    // the other end stays open, as a program that the client left behind would keep it
    let kept = it.input.as_ref().unwrap().try_clone().unwrap();
    it.write(b"last words\n");
    it.alive = None;
    let (read, lines) = it.end();
    assert_eq!(read, b"last words\n");
    assert_eq!(lines, [b"last words"]);
    assert!(
        (&kept).write_all(b"more").is_err(),
        "nobody reads it any more"
    );
}

#[test]
fn what_the_client_is_told_is_on_file_before_it_can_answer() {
    let mut it = bench(Direction::In);
    for _ in 0..1000 {
        it.write(b"a question\n");
        it.read(11);
        assert_eq!(it.lines.try_recv().unwrap(), b"a question");
    }
}

#[test]
fn who_writes_learns_that_nobody_reads() {
    let mut it = bench(Direction::Out);
    it.output = None;
    let mut input = it.input.take().unwrap();
    // the copy finds out at its first write, and closes its side
    input.write_all(b"into nothing\n").unwrap();
    it.copy.join().unwrap();
    assert_eq!(
        input.write_all(b"more").unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
    assert_eq!(
        it.lines.recv_timeout(Duration::from_secs(20)).unwrap(),
        b"into nothing"
    );
}

#[test]
fn the_end_of_the_input_is_passed_on() {
    let mut it = bench(Direction::In);
    it.write(b"{}\n");
    it.input = None;
    // `read_to_end` returns: the client's stdin has ended, though it still runs
    assert!(it.alive.is_some());
    let (read, lines) = it.end();
    assert_eq!(
        (read.as_slice(), lines),
        (&b"{}\n"[..], vec![b"{}".to_vec()])
    );
}

#[test]
fn a_terminal_of_ours_changes_no_byte() {
    let (ours, theirs) = terminal::open(io::stdin().as_fd()).unwrap();
    assert!(rustix::termios::isatty(&theirs));
    let mut theirs = std::fs::File::from(theirs);
    let (sender, lines) = channel();
    let sink: Arc<dyn Sink> = Arc::new(Notes(Mutex::new(sender)));
    let (mut output, to) = io::pipe().unwrap();
    let (stop, _alive) = io::pipe().unwrap();
    let copied = Copied {
        from: ours,
        to: OwnedFd::from(to),
        told: Told::new(EventSource::ExecJson, Direction::Out, &sink),
    };
    let copy = std::thread::spawn(move || copied.run(&stop));
    theirs.write_all(b"one\ntwo\r\n\x03\x04\x1b[1m\t").unwrap();
    // its last holder closes it: the copy ends without being told to
    drop(theirs);
    let mut read = Vec::new();
    output.read_to_end(&mut read).unwrap();
    copy.join().unwrap();
    drop(sink);
    assert_eq!(read, b"one\ntwo\r\n\x03\x04\x1b[1m\t");
    assert_eq!(lines.iter().count(), 3);
}

#[test]
fn a_session_log_goes_where_the_user_wants_it() {
    let home = Path::new("/h/.codex");
    let ours = || PathBuf::from("/tmp/x/session-1.jsonl");
    let asked = |environment: &Environment| tui_log(environment, Some(home), ours());
    let (path, variables) = asked(&Environment::default());
    assert_eq!(path, ours());
    let expected = [
        ("CODEX_TUI_RECORD_SESSION".into(), "1".into()),
        ("CODEX_TUI_SESSION_LOG_PATH".into(), ours().into_os_string()),
    ];
    assert_eq!(variables, expected);
    let own = Environment {
        tui_log: Some("/their/log".into()),
        ..Environment::default()
    };
    assert_eq!(asked(&own).0, Path::new("/their/log"));
    let anywhere = Environment {
        tui_recorded: true,
        ..Environment::default()
    };
    assert_eq!(
        asked(&anywhere).0,
        Path::new("/h/.codex/log/session-1.jsonl")
    );
}
