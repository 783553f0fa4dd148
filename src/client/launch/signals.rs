//! Signals: which of them the client is sent, and when it is waited for.
//!
//! A signal for us alone (`kill`, a supervisor) goes on to the client. One that the terminal sent has reached it
//! already, because it is in the same process group: Ctrl-C arrives once. The kernel says which it was. A hang-up is
//! passed on in either case: where we lead the session, the terminal tells nobody else. A signal that somebody sends
//! to the whole group by `kill` cannot be told from one for us alone, and arrives twice.
//!
//! Where the client stops itself or is stopped by the terminal (Ctrl-Z), we stop as well, so that the shell takes over;
//! when we are continued, it is.

use std::fs;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::emulate_default_handler;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// The signals that are passed on.
const FORWARDED: [i32; 8] = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT,
];

/// Signals that are caught and wait for a client.
pub(super) struct Signals {
    caught: SignalsInfo<WithOrigin>,
}

/// What fits the size of a terminal of ours to that of the user's.
pub(in crate::client) type Resizer = Box<dyn Fn() + Send>;

/// The client, as the thread that forwards sees it.
#[derive(Debug, Default)]
struct Target {
    /// `None` once it has ended: its number may belong to somebody else from then on.
    client: Mutex<Option<Pid>>,
    ended: AtomicBool,
    /// How often Ctrl-C came after the end.
    late: AtomicU8,
}

/// Signals on their way to a client.
pub(super) struct Forwarding {
    target: Arc<Target>,
}

impl Signals {
    /// Catches signals from here on. Those that are ignored stay so, for us and for the client (`nohup`).
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = FORWARDED.into_iter().chain([SIGWINCH]);
        let wanted = wanted.filter(|signal| ignored & (1 << (signal - 1)) == 0);
        Ok(Self {
            caught: SignalsInfo::new(wanted)?,
        })
    }

    /// Forwards them, those that have come already first.
    pub(super) fn forward_to(self, child: &Child, resizer: Option<Resizer>) -> Forwarding {
        let client = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let target = Arc::new(Target {
            client: Mutex::new(client),
            ..Target::default()
        });
        self.run(Arc::clone(&target), resizer);
        Forwarding { target }
    }

    /// There is no client: signals do what they do by default.
    pub(super) fn release(self) {
        let target = Target {
            ended: AtomicBool::new(true),
            late: AtomicU8::new(1),
            ..Target::default()
        };
        self.run(Arc::new(target), None);
    }

    fn run(mut self, target: Arc<Target>, resizer: Option<Resizer>) {
        // it ends with the process: a signal that is caught once stays caught
        std::thread::spawn(move || {
            for origin in self.caught.forever() {
                if origin.signal == SIGWINCH {
                    if let Some(resize) = &resizer {
                        resize();
                        target.send(SIGWINCH);
                    }
                } else if target.ended.load(Ordering::Acquire) {
                    target.end_as_asked(&origin);
                } else if !reached_client(&origin) {
                    target.send(origin.signal);
                }
            }
        });
    }
}

/// Whether the terminal has sent it to the client as well.
fn reached_client(origin: &Origin) -> bool {
    matches!(origin.signal, SIGINT | SIGQUIT | SIGTSTP) && from_terminal(origin)
}

fn from_terminal(origin: &Origin) -> bool {
    if cfg!(target_os = "linux") {
        // a sender outside of a container has no number here: only this is sure
        origin.cause == Cause::Kernel
    } else {
        origin.cause == Cause::Kernel || origin.process.is_none_or(|sender| sender.pid == 0)
    }
}

impl Target {
    fn send(&self, signal: i32) {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(pid), Some(signal)) = (*client, Signal::from_named_raw(signal)) {
            // it may have ended and not been waited for; then there is nobody to tell
            process::kill_process(pid, signal).ok();
        }
    }

    /// The client is gone: a signal does what it does by default.
    fn end_as_asked(&self, origin: &Origin) {
        let meant_for_client = origin.signal == SIGINT
            && from_terminal(origin)
            && self.late.fetch_add(1, Ordering::AcqRel) == 0;
        if !meant_for_client {
            drop(emulate_default_handler(origin.signal));
        }
    }
}

impl Forwarding {
    /// Waits for the end of the client. While it is stopped by the terminal, so are we.
    pub(super) fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let pid = *self.lock();
        let ended = pid.map_or(Ok(()), wait_until_ended);
        // before it is taken: from then on its number may be somebody else's
        *self.lock() = None;
        self.target.ended.store(true, Ordering::Release);
        ended.and_then(|()| child.wait())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pid>> {
        let client = &self.target.client;
        client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of a process without taking its status.
fn wait_until_ended(pid: Pid) -> io::Result<()> {
    loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        let status = match process::waitid(WaitId::Pid(pid), options) {
            Ok(Some(status)) => status,
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if !status.stopped() {
            return Ok(());
        }
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        process::waitid(WaitId::Pid(pid), options).ok();
        let by_terminal = [Signal::TSTP, Signal::TTIN, Signal::TTOU]
            .iter()
            .any(|signal| status.stopping_signal() == Some(signal.as_raw()));
        if by_terminal && has_shell() {
            process::kill_process(process::getpid(), Signal::STOP).ok();
        }
    }
}

/// Whether somebody would continue us: not where we lead the session, as in a window of our own.
fn has_shell() -> bool {
    process::getsid(None).is_ok_and(|session| session != process::getpid())
}

/// The signals that are ignored, one bit each. Known on Linux.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
