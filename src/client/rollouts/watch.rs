//! The system's notifications of changed files.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::Told;

/// Watches folders. Where that fails, everything has to be looked at time and again.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Why it is blind.
    pub(super) error: Option<String>,
    /// A folder that is to be watched does not exist yet.
    pub(super) missing: bool,
}

impl Watch {
    pub(super) fn new(told: Sender<Told>) -> Self {
        let handler = move |event: notify::Result<Event>| {
            let told_now = match event {
                Ok(event) if event.need_rescan() => Told::Anything,
                Ok(event) if is_reading(event.kind) => return,
                Ok(event) => Told::Changed(event.paths),
                Err(_) => Told::Anything,
            };
            // nobody listens any more at the end
            drop(told.send(told_now));
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => Self {
                watcher: Some(watcher),
                error: None,
                missing: false,
            },
            Err(error) => Self {
                watcher: None,
                error: Some(error.to_string()),
                missing: false,
            },
        }
    }

    /// Whether folders below a watched one have to be watched one by one. Linux can only do that; doing it here, before
    /// a folder's files are listed, leaves no moment in which a file is missed.
    pub(super) const EACH: bool = cfg!(any(target_os = "linux", target_os = "android"));

    /// Watches a folder with everything below it, or, where [`Self::EACH`] says so, by itself.
    pub(super) fn add(&mut self, folder: &Path) {
        self.watch(
            folder,
            if Self::EACH {
                RecursiveMode::NonRecursive
            } else {
                RecursiveMode::Recursive
            },
        );
    }

    /// Watches a folder by itself.
    pub(super) fn add_alone(&mut self, folder: &Path) {
        self.watch(folder, RecursiveMode::NonRecursive);
    }

    fn watch(&mut self, folder: &Path, mode: RecursiveMode) {
        if let Some(watcher) = &mut self.watcher
            && let Err(error) = watcher.watch(folder, mode)
            // a folder that is gone again needs no watch
            && folder.exists()
        {
            self.error = Some(error.to_string());
            self.watcher = None;
        }
    }

    pub(super) fn is_blind(&self) -> bool {
        self.watcher.is_none()
    }

    /// How long to wait for changes at most.
    pub(super) fn wait(&self, missing: Duration, poll: Duration) -> Option<Duration> {
        if self.is_blind() {
            Some(poll)
        } else {
            self.missing.then_some(missing)
        }
    }
}

fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    }
}
