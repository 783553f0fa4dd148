//! A pseudo terminal for a client whose stdout is a terminal and is copied.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, OptionalActions};

/// Our side and the client's. It changes no byte: what the user's terminal does to output, it does once.
pub(super) fn open(like: impl AsFd) -> io::Result<(OwnedFd, OwnedFd)> {
    let ours = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    pty::grantpt(&ours)?;
    pty::unlockpt(&ours)?;
    let name = pty::ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(name, flags, Mode::empty())?;
    let mut modes = termios::tcgetattr(&theirs)?;
    modes.make_raw();
    termios::tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    resize(&ours, like);
    Ok((ours, theirs))
}

/// Gives it the size of another one.
pub(super) fn resize(terminal: impl AsFd, like: impl AsFd) {
    if let Ok(size) = termios::tcgetwinsize(like) {
        // a terminal that will not be resized is still a terminal
        termios::tcsetwinsize(terminal, size).ok();
    }
}
