//! The files of a home, and what is known of each.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Follow;
use super::tail::{self, Seen, Tail};
use super::tell::{FileTeller, LogTeller, Teller as _, compact};
use super::watch::Watch;
use crate::client::Sink;
use crate::client::lines::{LONGEST, Line};

/// The folders in which Codex keeps rollouts.
const ROOTS: [&str; 2] = ["sessions", "archived_sessions"];

/// A home that is followed, and a session log.
pub(super) struct Tree {
    home: Option<PathBuf>,
    /// The home without links, once it exists.
    real: Option<PathBuf>,
    /// Those of the roots that exist.
    roots: Vec<PathBuf>,
    /// Those that lead out of the home.
    refused: Vec<PathBuf>,
    files: BTreeMap<PathBuf, State>,
    /// Where each file was seen last, to know one that is moved.
    places: BTreeMap<(u64, u64), PathBuf>,
    log: Option<Log>,
    sink: Arc<dyn Sink>,
    blind: bool,
}

#[derive(Debug)]
enum State {
    /// It was there, and has not changed.
    Old(Seen),
    /// It is read as it grows.
    Followed(Tail),
    /// A document that is rewritten each time; what it was at the beginning.
    Document(Option<Seen>),
}

struct Log {
    path: PathBuf,
    was: Option<Seen>,
    watched: bool,
    tail: Option<Tail>,
}

/// What a file's name says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Lines,
    Document,
}

/// Whether a file is a rollout by its name. Files that lie beside one (`rollout-….timers.json`) have a dot within it.
fn named(path: &Path) -> Option<Name> {
    let name = path.file_name()?.to_str()?;
    let (stem, kind) = match name.strip_suffix(".jsonl") {
        Some(stem) => (stem, Name::Lines),
        None => (name.strip_suffix(".json")?, Name::Document),
    };
    (stem.starts_with("rollout-") && !stem.contains('.')).then_some(kind)
}

impl Tree {
    pub(super) fn new(follow: Follow, sink: Arc<dyn Sink>) -> Self {
        let log = follow.tui_log.map(|path| Log {
            was: fs::metadata(&path).ok().map(|data| Seen::of(&data)),
            tail: None,
            watched: false,
            path,
        });
        Self {
            home: follow.home,
            real: None,
            roots: Vec::new(),
            refused: Vec::new(),
            files: BTreeMap::new(),
            places: BTreeMap::new(),
            log,
            sink,
            blind: false,
        }
    }

    /// Takes note of what is there.
    pub(super) fn remember(&mut self) {
        for root in self.new_roots() {
            self.roots.push(root.clone());
            self.walk(&root, &mut None, &mut |tree, path, seen| {
                let state = match named(path) {
                    Some(Name::Lines) => State::Old(seen),
                    _ => State::Document(Some(seen)),
                };
                tree.keep(path, state);
            });
        }
    }

    /// Begins to watch what was there, and looks at what has changed since.
    pub(super) fn watch(&mut self, watch: &mut Watch) {
        for root in self.roots.clone() {
            watch.add(&root);
            self.walk(&root, &mut Some(watch), &mut Self::look);
        }
        watch.missing = true;
        self.look_for_roots(watch);
    }

    /// Looks for folders that were not there before. Everything in them is new.
    pub(super) fn look_for_roots(&mut self, watch: &mut Watch) {
        if !watch.missing {
            return;
        }
        for root in self.new_roots() {
            self.roots.push(root.clone());
            watch.add(&root);
            self.walk(&root, &mut Some(watch), &mut Self::look);
        }
        self.watch_log(watch);
        let expected = self.home.as_ref().map_or(0, |_| ROOTS.len());
        let log = self.log.as_ref().is_some_and(|log| !log.watched);
        watch.missing = log || self.roots.len() + self.refused.len() < expected;
        self.say_if_blind(watch);
    }

    /// The roots that exist and are not known yet. A root that is a link must stay within the home.
    fn new_roots(&mut self) -> Vec<PathBuf> {
        if self.real.is_none() {
            self.real = self.home.as_ref().and_then(|home| home.canonicalize().ok());
        }
        let Some(real) = self.real.clone() else {
            return Vec::new();
        };
        let mut roots = Vec::new();
        for root in ROOTS.map(|root| real.join(root)) {
            if self.roots.contains(&root) || self.refused.contains(&root) {
                continue;
            }
            match root.canonicalize() {
                Ok(there) if there.is_dir() && there.starts_with(&real) => roots.push(root),
                Ok(there) if there.is_dir() => {
                    self.sink.trouble(&format!(
                        "rollouts are not followed: {} leads out of the home",
                        root.display()
                    ));
                    self.refused.push(root);
                }
                _ => {}
            }
        }
        roots
    }

    /// Watches the folder of the session log, once it exists.
    fn watch_log(&mut self, watch: &mut Watch) {
        let Some(log) = self.log.as_mut().filter(|log| !log.watched) else {
            return;
        };
        let folder = match log.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // its real name, because changes are told by it
        if let (Ok(folder), Some(name)) = (folder.canonicalize(), log.path.file_name()) {
            log.path = folder.join(name);
            log.watched = true;
            watch.add_alone(&folder);
            self.look_at_log();
        }
    }

    fn say_if_blind(&mut self, watch: &Watch) {
        if let (false, Some(error)) = (self.blind, &watch.error) {
            self.blind = true;
            self.sink.trouble(&format!(
                "the system does not tell of changed files ({error}); they are looked at four times a second"
            ));
        }
    }

    /// Looks at paths that may have changed.
    pub(super) fn look_at(&mut self, mut paths: Vec<PathBuf>, watch: &mut Watch) {
        paths.sort();
        paths.dedup();
        for path in paths {
            if self.log.as_ref().is_some_and(|log| log.path == path) {
                self.look_at_log();
            }
            let below = self.roots.iter().any(|root| path.starts_with(root));
            let Ok(data) = fs::symlink_metadata(&path) else {
                continue;
            };
            if below && data.is_dir() {
                if Watch::EACH {
                    watch.add(&path);
                }
                self.walk(&path, &mut Some(watch), &mut Self::look);
            } else if below && data.is_file() && named(&path).is_some() {
                self.look(&path, Seen::of(&data));
            }
        }
        self.say_if_blind(watch);
    }

    /// Looks at every file.
    pub(super) fn look_everywhere(&mut self, watch: &mut Watch) {
        self.look_everywhere_with(&mut Some(watch));
    }

    fn look_everywhere_with(&mut self, watch: &mut Option<&mut Watch>) {
        self.look_at_log();
        for root in self.roots.clone() {
            self.walk(&root, watch, &mut Self::look);
        }
    }

    /// A last look; then what is unfinished is told as it is.
    pub(super) fn finish(&mut self) {
        let new = self.new_roots();
        self.roots.extend(new);
        self.look_everywhere_with(&mut None);
        for (path, state) in std::mem::take(&mut self.files) {
            let mut teller = self.teller(&path);
            match state {
                State::Followed(mut tail) => tail.finish(&mut teller),
                State::Document(was) => self.document(&path, was, &mut teller),
                State::Old(_) => {}
            }
        }
        let mut teller = LogTeller(Arc::clone(&self.sink));
        if let Some(tail) = self.log.as_mut().and_then(|log| log.tail.as_mut()) {
            tail.finish(&mut teller);
        }
    }

    /// Every rollout below a folder that is watched, with a stat each. Folders below it are watched before they are
    /// listed.
    fn walk(
        &mut self,
        folder: &Path,
        watch: &mut Option<&mut Watch>,
        see: &mut impl FnMut(&mut Self, &Path, Seen),
    ) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.sink.trouble(&format!("{}: {error}", folder.display()));
                return;
            }
        };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            // the entry's own kind: links are neither folders nor files
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                if let Some(watch) = watch.as_mut().filter(|_| Watch::EACH) {
                    watch.add(&path);
                }
                self.walk(&path, watch, see);
            } else if kind.is_file()
                && named(&path).is_some()
                && let Ok(data) = entry.metadata()
            {
                see(self, &path, Seen::of(&data));
            }
        }
    }

    fn look(&mut self, path: &Path, now: Seen) {
        let unchanged = match self.files.get(path) {
            Some(State::Old(was)) => was.id == now.id && was.bytes == now.bytes,
            Some(State::Followed(tail)) => !tail.differs(&now),
            Some(State::Document(_)) => true,
            None => false,
        };
        if unchanged {
            return;
        }
        let known = self.files.remove(path);
        let mut teller = self.teller(path);
        let (state, read) = match known.or_else(|| self.moved(path, now, &mut teller)) {
            None if named(path) == Some(Name::Document) => (State::Document(None), Ok(())),
            None => match Tail::begin(path, None, &mut teller) {
                Ok(tail) => (State::Followed(tail), Ok(())),
                Err(error) => return self.unreadable(path, &error),
            },
            Some(State::Old(was)) if was.id == now.id && was.bytes == now.bytes => {
                (State::Old(was), Ok(()))
            }
            Some(State::Old(was)) => match Tail::begin(path, Some(was), &mut teller) {
                Ok(tail) => (State::Followed(tail), Ok(())),
                Err(error) => (State::Old(was), Err(error)),
            },
            Some(State::Followed(mut tail)) => {
                let read = tail.grow(path, &mut teller);
                (State::Followed(tail), read)
            }
            Some(document @ State::Document(_)) => (document, Ok(())),
        };
        if let Err(error) = read {
            self.unreadable(path, &error);
        }
        self.keep(path, state);
    }

    fn keep(&mut self, path: &Path, state: State) {
        let id = match &state {
            State::Old(seen) => seen.id,
            State::Followed(tail) => tail.id(),
            State::Document(_) => None,
        };
        if let Some(id) = id {
            self.places.insert(id, path.to_owned());
        }
        self.files.insert(path.to_owned(), state);
    }

    /// What is known of a file that lay elsewhere before, under the same name: a file's number may be given to another
    /// one when it is gone. One that is followed goes on here.
    fn moved(&mut self, path: &Path, now: Seen, teller: &mut FileTeller) -> Option<State> {
        let old = self.places.get(&now.id?)?;
        if old.file_name() != path.file_name() || fs::symlink_metadata(old).is_ok() {
            return None;
        }
        let mut state = self.files.remove(old)?;
        if let State::Followed(tail) = &mut state {
            tail.moved(teller);
        }
        Some(state)
    }

    fn unreadable(&self, path: &Path, error: &io::Error) {
        // it may be gone again
        if error.kind() != io::ErrorKind::NotFound {
            self.sink.trouble(&format!("{}: {error}", path.display()));
        }
    }

    /// Tells a document that has changed: as one line, without its line breaks, where it is JSON.
    fn document(&self, path: &Path, was: Option<Seen>, teller: &mut FileTeller) {
        use io::Read as _;
        let Ok((file, now)) = tail::open(path) else {
            return;
        };
        if was == Some(now) {
            return;
        }
        teller.begins(1, 0);
        if now.bytes > LONGEST as u64 {
            return teller.line(1, Line::TooLong(now.bytes));
        }
        let mut bytes = Vec::new();
        match file.take(LONGEST as u64).read_to_end(&mut bytes) {
            Ok(_) => teller.line(1, Line::Kept(&compact(bytes))),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn look_at_log(&mut self) {
        let Some(log) = &mut self.log else {
            return;
        };
        let mut teller = LogTeller(Arc::clone(&self.sink));
        let read = match &mut log.tail {
            Some(tail) => tail.grow(&log.path, &mut teller),
            None => match fs::metadata(&log.path) {
                // an old log that has not been touched
                Ok(data) if log.was == Some(Seen::of(&data)) => Ok(()),
                // Codex empties the file when it opens it (observed with 0.169.0)
                Ok(_) => Tail::begin(&log.path, None, &mut teller).map(|tail| {
                    log.tail = Some(tail);
                }),
                Err(_) => Ok(()),
            },
        };
        if let Err(error) = read {
            let path = log.path.clone();
            self.unreadable(&path, &error);
        }
    }

    fn teller(&self, path: &Path) -> FileTeller {
        let below = self
            .real
            .as_ref()
            .and_then(|real| path.strip_prefix(real).ok());
        let parts = below.unwrap_or(path).components();
        let parts: Vec<_> = parts
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        FileTeller {
            name: parts.join("/"),
            sink: Arc::clone(&self.sink),
        }
    }
}
