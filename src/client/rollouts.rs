//! Follows the rollouts that Codex writes below its home while it runs.
//!
//! What is there when following begins is remembered by size; only what is added is read. All of the home's live and
//! archived rollouts are followed: those of sub-agents, and those of another Codex that runs at the same time. Nothing
//! tells them apart here; their session ids do.
//!
//! - A file is told from the line on that was unfinished when following began: from line 1 for a new one.
//! - A file that is cut or replaced begins anew: it is marked again, from line 1.
//! - A file that is moved (archived) goes on under its new path, from where it was.
//! - A compressed file is not followed. One that Codex unpacks to go on with it is new, and told from line 1.
//! - The `.json` documents of the TypeScript Codex are rewritten whole each time: one that has changed is told once, at
//!   the end, as line 1, without its line breaks.
//! - Only regular files are read, and no link is followed out of the home.
//!
//! Changes are noticed through the system's notifications, or by looking four times a second where there are none, and
//! in any case by a last look when the client has ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Sink;

mod tail;
mod tell;
mod tree;
mod watch;

#[cfg(test)]
mod tests;

use tree::Tree;
use watch::Watch;

/// How often a folder that is not there yet is looked for.
const MISSING: Duration = Duration::from_millis(50);
/// How often files are looked at where changes are not told, at most.
const POLL: Duration = Duration::from_millis(250);

/// What is followed.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// A Codex home.
    pub home: Option<PathBuf>,
    /// The session log of a terminal interface; one that is there already is told once it changes, from its beginning.
    /// Its folder is watched: best one of its own.
    pub tui_log: Option<PathBuf>,
}

/// Follows on a thread of its own.
#[derive(Debug)]
pub struct Follower {
    running: Option<(Sender<Told>, JoinHandle<()>)>,
}

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Told {
    /// These paths may have changed.
    Changed(Vec<PathBuf>),
    /// Anything may have changed.
    Anything,
    /// Look once more, then end.
    Finish,
}

impl Follower {
    /// Remembers what is there, then follows it. Files that are written after this returns are told.
    pub fn start(follow: Follow, sink: &Arc<dyn Sink>) -> Self {
        if follow.home.is_none() && follow.tui_log.is_none() {
            return Self { running: None };
        }
        let (sender, receiver) = mpsc::channel();
        let mut tree = Tree::new(follow, Arc::clone(sink));
        tree.remember();
        let mut watch = Watch::new(sender.clone());
        let run = move || {
            // to watch many folders takes longer than to list them; the client need not wait for it
            tree.watch(&mut watch);
            let mut looked = Duration::ZERO;
            loop {
                // a look at very many files does not follow the last one at once
                let poll = POLL.max(looked * 20);
                let told = match watch.wait(MISSING, poll) {
                    Some(limit) => receiver.recv_timeout(limit),
                    None => receiver.recv().map_err(RecvTimeoutError::from),
                };
                let mut changed = Vec::new();
                let (mut all, mut finish) = (false, false);
                let mut take = |told| match told {
                    Told::Changed(paths) => changed.extend(paths),
                    Told::Anything => all = true,
                    Told::Finish => finish = true,
                };
                match told {
                    Ok(told) => take(told),
                    Err(RecvTimeoutError::Timeout) if watch.is_blind() => take(Told::Anything),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => take(Told::Finish),
                }
                // what has been told meanwhile is looked at once
                receiver.try_iter().for_each(take);
                if finish {
                    tree.finish();
                    return;
                }
                let begun = Instant::now();
                tree.look_for_roots(&mut watch);
                if all {
                    tree.look_everywhere(&mut watch);
                    looked = begun.elapsed();
                } else {
                    tree.look_at(changed, &mut watch);
                }
            }
        };
        let thread = std::thread::Builder::new().name("rollouts".to_owned());
        match thread.spawn(run) {
            Ok(thread) => Self {
                running: Some((sender, thread)),
            },
            Err(error) => {
                sink.trouble(&format!("rollouts are not followed: {error}"));
                Self { running: None }
            }
        }
    }

    /// Looks once more at everything, tells what is left, and ends.
    pub fn finish(self) {
        if let Some((sender, thread)) = self.running {
            drop(sender.send(Told::Finish));
            // a thread that panicked has told what it could
            drop(thread.join());
        }
    }
}
