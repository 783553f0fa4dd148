//! Launching a client: statuses, signals, streams. The launcher runs in a process of its own, because signals are for a
//! whole process: this test binary, asked for [`launcher`] alone.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use responses_replay::client::launch::{self, Launch, LaunchError};
use responses_replay::client::plan::Plan;
use responses_replay::client::{Direction, EventSource, Sink};
use rustix::process::{Pid, Signal, kill_process};

const SCRIPT: &str = "REPLAY_TEST_SCRIPT";
const EVENTS: &str = "REPLAY_TEST_EVENTS";
const TERMINAL: &str = "REPLAY_TEST_TERMINAL";

/// Prints what it is told to stderr.
struct Print;

impl Sink for Print {
    fn rollout_file(&self, _: &str, _: u32, _: u64) {}

    fn rollout(&self, _: &str, _: u32, _: &[u8]) {}

    fn client_event(&self, source: EventSource, direction: Direction, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let line = format!("{} {} {text}\n", source.name(), direction.name());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }

    fn trouble(&self, text: &str) {
        panic!("{text}");
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::vars_os().find(|it| it.0 == name).map(|it| it.1)
}

fn plan(command: &[&str]) -> Plan {
    Plan {
        command: command.iter().map(OsString::from).collect(),
        environment: vec![("GIVEN".into(), "by the plan".into())],
    }
}

#[test]
#[ignore = "the other process of the tests below"]
#[expect(clippy::exit, reason = "its status is what is tested")]
fn launcher() {
    let Some(script) = variable(SCRIPT) else {
        return;
    };
    if let Some(terminal) = variable(TERMINAL) {
        // as a shell in a window of its own
        rustix::process::setsid().unwrap();
        let flags = rustix::fs::OFlags::RDWR;
        let terminal = rustix::fs::open(&*terminal, flags, rustix::fs::Mode::empty()).unwrap();
        rustix::process::ioctl_tiocsctty(&terminal).unwrap();
        rustix::stdio::dup2_stdin(&terminal).unwrap();
    }
    let launch = Launch {
        plan: plan(&["sh", "-c", script.to_str().unwrap()]),
        events: match variable(EVENTS).as_ref().and_then(|it| it.to_str()) {
            Some("exec-json") => Some(EventSource::ExecJson),
            Some("app-server") => Some(EventSource::AppServer),
            _ => None,
        },
        ..Launch::default()
    };
    let sink: Arc<dyn Sink> = Arc::new(Print);
    let exit = launch::run(&launch, &sink).unwrap();
    std::process::exit(exit.status());
}

fn command(script: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "client::launcher",
            "--ignored",
            "--nocapture",
            "-q",
        ])
        .env(SCRIPT, script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A launcher that runs, and what its client writes.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads until the client writes a line.
    fn until(&mut self, wanted: &str) {
        let mut line = String::new();
        while line.trim_end() != wanted {
            line.clear();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the client ended without {wanted}");
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

#[test]
fn the_status_is_the_clients() {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)] {
        assert_eq!(
            command(script).status().unwrap().code(),
            Some(status),
            "{script}"
        );
    }
    let given = command("test \"$GIVEN\" = 'by the plan'").status();
    assert_eq!(given.unwrap().code(), Some(0));
}

#[test]
fn a_program_that_cannot_be_run_is_told_by_its_name() {
    let sink: Arc<dyn Sink> = Arc::new(Print);
    let run = |plan| {
        let launch = Launch {
            plan,
            ..Launch::default()
        };
        launch::run(&launch, &sink).unwrap_err()
    };
    let error = run(plan(&["no-such-program-anywhere"]));
    assert_eq!(
        (error.status(), error.to_string().as_str()),
        (127, "no-such-program-anywhere: no such program")
    );
    let error = run(plan(&["/dev/null"]));
    assert_eq!(error.status(), 126);
    assert!(
        error
            .to_string()
            .starts_with("/dev/null cannot be started: "),
        "{error}"
    );
    assert!(matches!(run(plan(&[])), LaunchError::NoCommand));
}

/// A client that answers signals: `wait` returns when one comes.
const ANSWERS: &str = "
    ints=0
    trap 'ints=$((ints + 1)); echo got INT' INT
    trap 'echo got TERM' TERM
    trap 'echo got HUP' HUP
    trap 'echo got USR1' USR1
    trap 'kill $!; exit $((10 + ints))' USR2
    sleep 1000 <&- >&- 2>&- &
    echo ready
    while :; do wait; done";

/// Whether this process was started with a signal ignored, as by `nohup` or in the background of a script.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[test]
fn signals_for_the_launcher_go_to_the_client_and_it_lives_on() {
    let mut it = Running::start(&mut command(ANSWERS));
    it.until("ready");
    for (signal, answer) in [
        (Signal::INT, "got INT"),
        (Signal::TERM, "got TERM"),
        (Signal::HUP, "got HUP"),
        (Signal::USR1, "got USR1"),
        (Signal::INT, "got INT"),
    ] {
        // what whoever runs the tests ignores is not forwarded (`what_is_ignored_stays_ignored`)
        if !is_ignored(signal) {
            it.signal(signal);
            it.until(answer);
        }
    }
    it.signal(Signal::USR2);
    assert_eq!(it.wait().code(), Some(12));
}

#[test]
fn a_signal_that_ends_the_client_is_its_status() {
    let mut it = Running::start(&mut command("echo ready; exec sleep 1000"));
    it.until("ready");
    it.signal(Signal::TERM);
    assert_eq!(it.wait().code(), Some(143));
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_ignored_stays_ignored() {
    // as under `nohup`: a launcher that is started by a shell that ignores hang-ups
    let own = std::env::current_exe().unwrap();
    let mut shell = Command::new("sh");
    let arguments = "--exact client::launcher --ignored --nocapture -q";
    shell
        .args(["-c", &format!("trap '' HUP; exec \"$0\" {arguments}")])
        .arg(own)
        .env(
            SCRIPT,
            "echo ready; kill -HUP $$; echo lives; read end; exit 5",
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut it = Running::start(&mut shell);
    it.until("lives");
    it.signal(Signal::HUP);
    drop(it.child.stdin.take());
    assert_eq!(it.wait().code(), Some(5));
}

/// The two sides of a pseudo terminal: ours, and the path of the other.
fn terminal() -> (OwnedFd, OsString) {
    use std::os::unix::ffi::OsStringExt as _;
    let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
    let ours = rustix::pty::openpt(flags).unwrap();
    rustix::pty::grantpt(&ours).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let path = rustix::pty::ptsname(&ours, Vec::new()).unwrap();
    (ours, OsString::from_vec(path.into_bytes()))
}

#[test]
fn ctrl_c_reaches_the_client_once() {
    let (keyboard, terminal) = terminal();
    let mut it = Running::start(command(ANSWERS).env(TERMINAL, terminal));
    it.until("ready");
    for expected in ["got INT", "got INT"] {
        rustix::io::write(&keyboard, b"\x03").unwrap();
        it.until(expected);
        // signals are forwarded in their order: had it been forwarded, it would be there now
        it.signal(Signal::USR1);
        it.until("got USR1");
    }
    it.signal(Signal::USR2);
    assert_eq!(it.wait().code(), Some(12));
}

#[test]
fn a_copied_stdout_is_unchanged_and_its_lines_are_told() {
    let output = command("printf '{\"a\":1}\\r\\nno JSON\\n\\377\\nta'; printf 'il' && exit 3")
        .env(EVENTS, "exec-json")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        output.stdout.ends_with(b"{\"a\":1}\r\nno JSON\n\xff\ntail"),
        "{output:?}"
    );
    let told = String::from_utf8(output.stderr).unwrap();
    let expected = "exec-json out {\"a\":1}\nexec-json out no JSON\nexec-json out \u{fffd}\nexec-json out tail\n";
    assert_eq!(told, expected);
}

#[test]
fn both_streams_of_a_server_are_copied_and_the_end_is_passed_on() {
    let mut command =
        command("while read -r line; do echo \"answer to $line\"; done; echo end; exit 4");
    let mut it = Running::start(command.env(EVENTS, "app-server").stdin(Stdio::piped()));
    let mut stdin = it.child.stdin.take().unwrap();
    for line in ["one", "two"] {
        writeln!(stdin, "{line}").unwrap();
        it.until(&format!("answer to {line}"));
    }
    drop(stdin);
    it.until("end");
    assert_eq!(it.wait().code(), Some(4));
    let mut told = String::new();
    let mut stderr = it.child.stderr.take().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    let (mut taken, mut given): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in told.lines() {
        match line.strip_prefix("app-server in ") {
            Some(line) => taken.push(line),
            None => given.push(line.strip_prefix("app-server out ").unwrap()),
        }
    }
    assert_eq!(taken, ["one", "two"]);
    assert_eq!(given, ["answer to one", "answer to two", "end"]);
}

#[test]
fn a_client_that_ends_is_not_held_by_its_input() {
    // our stdin stays open, and nothing comes
    let mut command = command("echo bye; exit 6");
    let mut it = Running::start(command.env(EVENTS, "app-server").stdin(Stdio::piped()));
    it.until("bye");
    assert_eq!(it.wait().code(), Some(6));
}
