//! Where Codex keeps its rollouts, and which one is meant.
//!
//! A Codex home holds `sessions/YYYY/MM/DD/rollout-<time>-<thread id>.jsonl` (codex #1596; flat before that, `.json` from
//! the TypeScript CLI), `archived_sessions/` (codex #3353) and, for files long idle, the same names with `.zst` (codex
//! #25087). What else lies there (`*.timers.json`, `history.jsonl`, `session_index.jsonl`, databases) is passed over.
//! This service looks at paths it is given; where the home is, its callers know.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memchr::memmem::Finder;

use crate::rollout::reader::{self, maybe_zstd};
use crate::rollout::{Library, Meta, NoLibrary};
use crate::wire::lines::LineReader;

#[cfg(test)]
mod tests;

/// The state in which Codex keeps a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Below `sessions`.
    Live,
    /// Below `archived_sessions`.
    Archived,
    /// Either of them, as `.zst`.
    Compressed,
}

/// A rollout of a Codex home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The state it is kept in.
    pub kind: Kind,
    /// The thread id in its name.
    pub thread_id: String,
    /// The thread that spawned it, where it was found as a child of the one asked for.
    pub child_of: Option<String>,
}

/// Why no rollout was found.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// No file answers to the name.
    #[error("no rollout below {home} belongs to {wanted}")]
    None {
        /// The home that was looked through.
        home: String,
        /// What was asked for.
        wanted: String,
    },
    /// Several threads begin with the text.
    #[error("{wanted} is the beginning of {} thread ids: {}", threads.len(), threads.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The threads it may mean.
        threads: Vec<String>,
    },
    /// A folder or file could not be read; the message names it.
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn none(home: &Path, wanted: &str) -> LocateError {
    LocateError::None {
        home: home.display().to_string(),
        wanted: wanted.to_owned(),
    }
}

/// Says which path an error is about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Opens a rollout file, decompressed where it is compressed.
///
/// # Errors
/// What opening it returns; the message names the path.
pub fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    File::open(path).and_then(maybe_zstd).map_err(at(path))
}

/// The name of a file without the endings of rollouts, if it is a rollout's.
fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let plain = name.strip_suffix(".zst").unwrap_or(name);
    let stem = plain
        .strip_suffix(".jsonl")
        .or_else(|| name.strip_suffix(".json"))?;
    let rollout = stem == "rollout" || stem.starts_with("rollout-");
    (rollout && !stem.contains('.')).then_some(stem)
}

/// The thread id in a rollout's name: the UUID at its end.
pub fn thread_id(path: &Path) -> Option<&str> {
    const UUID: usize = 36;
    let stem = stem(path)?;
    let (_, id) = stem.split_at_checked(stem.len().checked_sub(UUID)?)?;
    uuid::Uuid::try_parse(id).is_ok().then_some(id)
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "zst")
}

/// All rollout files below a folder, sorted by path; a file itself if that is what the path names.
///
/// A compressed file is left out where the plain one lies beside it: Codex reads the plain one (codex #25089).
/// Links to folders are not followed.
///
/// # Errors
/// What reading a folder returns; the message names it.
pub fn rollout_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if fs::metadata(path).map_err(at(path))?.is_dir() {
        collect(path, &mut files)?;
    } else {
        files.push(path.to_owned());
    }
    files.sort();
    let known: BTreeSet<PathBuf> = files.iter().cloned().collect();
    files.retain(|file| !is_compressed(file) || !known.contains(&file.with_extension("")));
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        if entry.file_type().map_err(at(&path))?.is_dir() {
            collect(&path, files)?;
        } else if stem(&path).is_some() {
            files.push(path);
        }
    }
    Ok(())
}

/// The rollouts of a home, in the order of their names (which begin with the time), live ones before others.
fn rollouts(home: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for (folder, kind) in [
        ("sessions", Kind::Live),
        ("archived_sessions", Kind::Archived),
    ] {
        let folder = home.join(folder);
        if !folder.is_dir() {
            continue;
        }
        for path in rollout_files(&folder)? {
            if let Some(id) = thread_id(&path).map(str::to_owned) {
                found.push(Found {
                    kind: if is_compressed(&path) {
                        Kind::Compressed
                    } else {
                        kind
                    },
                    path,
                    thread_id: id,
                    child_of: None,
                });
            }
        }
    }
    let name = |found: &Found| found.path.file_name().map(std::ffi::OsStr::to_owned);
    found.sort_by_cached_key(|found| (name(found), found.kind));
    Ok(found)
}

/// The meta of a file, from its first line alone; empty if that is none.
fn meta(path: &Path) -> io::Result<Meta> {
    let mut lines = LineReader::new(open(path)?);
    let Some(line) = lines.next_line().map_err(at(path))? else {
        return Ok(Meta::default());
    };
    let rollout = reader::read(Cursor::new(line.bytes), &NoLibrary);
    Ok(rollout.map(|rollout| rollout.meta).unwrap_or_default())
}

/// Whether a rollout with this thread id lies in a Codex home.
///
/// # Errors
/// What reading a folder returns; the message names it.
pub fn holds(home: &Path, thread_id: &str) -> io::Result<bool> {
    let files = rollouts(home)?;
    Ok(files.iter().any(|file| file.thread_id == thread_id))
}

/// The rollouts of a Codex home whose history begins in the file of a thread (`history_base`, codex #33930).
///
/// # Errors
/// What reading a folder returns; the message names it. A file that cannot be read is passed over.
pub fn begin_in(home: &Path, thread_id: &str) -> io::Result<Vec<PathBuf>> {
    let files = rollouts(home)?;
    let begins = |path: &Path| {
        let base = meta(path).ok().and_then(|meta| meta.base);
        base.is_some_and(|base| base.thread_id == thread_id)
    };
    let paths = files.into_iter().map(|file| file.path);
    Ok(paths.filter(|path| begins(path)).collect())
}

/// The Codex home a file lies in: the folder above `sessions` or `archived_sessions`.
pub fn home_of(file: &Path) -> Option<&Path> {
    let mut folders = file.ancestors().skip(1);
    let sessions = folders.find(|folder| {
        let name = folder.file_name().and_then(|name| name.to_str());
        matches!(name, Some("sessions" | "archived_sessions"))
    })?;
    sessions.parent()
}

/// The rollout of a thread, named by its id or the unique beginning of it, and those of the threads it spawned
/// (codex #25113), children behind their parents.
///
/// # Errors
/// [`LocateError::None`] and [`LocateError::Ambiguous`]; [`LocateError::Io`] if the home cannot be read.
pub fn find_thread(home: &Path, wanted: &str) -> Result<Vec<Found>, LocateError> {
    let wanted_id = wanted.to_ascii_lowercase();
    let files = rollouts(home)?;
    let matching = |id: &str| !wanted_id.is_empty() && id.starts_with(&wanted_id);
    let threads: BTreeSet<&str> = files
        .iter()
        .map(|file| file.thread_id.as_str())
        .filter(|id| matching(id))
        .collect();
    let thread = match (threads.get(wanted_id.as_str()), threads.len()) {
        (Some(exact), _) => (*exact).to_owned(),
        (None, 0) => return Err(none(home, wanted)),
        (None, 1) => threads
            .first()
            .map(|id| (*id).to_owned())
            .unwrap_or_default(),
        (None, _) => {
            return Err(LocateError::Ambiguous {
                wanted: wanted.to_owned(),
                threads: threads.into_iter().map(str::to_owned).collect(),
            });
        }
    };
    let (own, others): (Vec<Found>, Vec<Found>) =
        files.into_iter().partition(|file| file.thread_id == thread);
    let mut family = own;
    family.sort_by_key(|file| file.kind);
    let born = family.first().and_then(|file| stamp(&file.path));
    let mut members = BTreeSet::from([thread]);
    // a child is never older than its parent, and names begin with the time
    for mut file in others {
        if stamp(&file.path) < born {
            continue;
        }
        // a file that cannot be read is no reason to hide the one asked for
        let parent = meta(&file.path).ok().and_then(|meta| meta.parent_thread);
        if let Some(parent) = parent.filter(|parent| members.contains(parent)) {
            members.insert(file.thread_id.clone());
            file.child_of = Some(parent);
            family.push(file);
        }
    }
    Ok(family)
}

/// The rollouts that belong to the same conversation as one: the thread at the top, and everything it spawned, parents
/// before children. They are looked for in the home the file lies in, else beside it. At least the file itself is found.
///
/// # Errors
/// [`LocateError::Io`] if the home or folder cannot be read.
pub fn family(path: &Path) -> Result<Vec<Found>, LocateError> {
    let own = |path: &Path| Found {
        path: path.to_owned(),
        kind: Kind::Live,
        thread_id: thread_id(path).unwrap_or_default().to_owned(),
        child_of: None,
    };
    let alone = vec![own(path)];
    let Ok(first) = meta(path) else {
        return Ok(alone);
    };
    let Some(mut thread) = first.thread_id.clone() else {
        return Ok(alone);
    };
    let shelves = Shelves::new(None, Some(path));
    let files = if let Some(home) = shelves.homes.first() {
        rollouts(&home.home)?
    } else {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut beside: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(at(folder))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file() && thread_id(path).is_some())
            .collect();
        beside.sort();
        beside.iter().map(|path| own(path)).collect()
    };
    // up to the thread that nobody spawned
    let mut parent = first.parent_thread;
    let mut seen = BTreeSet::new();
    while let Some(above) = parent.take().filter(|it| seen.insert(it.clone())) {
        let Some(file) = files.iter().find(|file| file.thread_id == above) else {
            break;
        };
        thread = above;
        parent = meta(&file.path).ok().and_then(|meta| meta.parent_thread);
    }
    let mut members = BTreeSet::from([thread.clone()]);
    let mut found: Vec<Found> = Vec::new();
    for mut file in files {
        let known = |found: &[Found]| found.iter().any(|it| it.thread_id == file.thread_id);
        if file.thread_id == thread {
            if !known(&found) {
                found.insert(0, file);
            }
            continue;
        }
        let above = meta(&file.path).ok().and_then(|meta| meta.parent_thread);
        if let Some(above) = above.filter(|it| members.contains(it))
            && !known(&found)
        {
            members.insert(file.thread_id.clone());
            file.child_of = Some(above);
            found.push(file);
        }
    }
    // the file that was named is shown, whatever stands beside it
    let thread_here = first.thread_id.as_deref();
    match found
        .iter_mut()
        .find(|it| Some(it.thread_id.as_str()) == thread_here)
    {
        Some(here) => path.clone_into(&mut here.path),
        None => found.extend(alone),
    }
    Ok(found)
}

/// The time in a rollout's name, as it is written there (local time).
fn stamp(path: &Path) -> Option<String> {
    let stem = stem(path)?;
    let id = thread_id(path)?;
    Some(stem.strip_suffix(id)?.to_owned())
}

/// The thread that was written to last: a live one that no other thread spawned.
///
/// # Errors
/// [`LocateError::None`] if the home has no rollout; [`LocateError::Io`] if it cannot be read.
pub fn last(home: &Path) -> Result<Found, LocateError> {
    let mut files = rollouts(home)?;
    files.retain(|file| file.kind != Kind::Archived);
    let written = |file: &Found| {
        let time = fs::metadata(&file.path).and_then(|data| data.modified());
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    files.sort_by_cached_key(|file| (written(file), stamp(&file.path)));
    files.reverse();
    let own = |file: &&Found| meta(&file.path).is_ok_and(|meta| meta.parent_thread.is_none());
    let found = files.iter().find(own).or_else(|| files.first()).cloned();
    found.ok_or_else(|| none(home, "the last session"))
}

/// The rollouts that name a call id, the newest first.
///
/// # Errors
/// [`LocateError::None`] if none does; [`LocateError::Io`] if the home or a file in it cannot be read.
pub fn find_call(home: &Path, call_id: &str) -> Result<Vec<Found>, LocateError> {
    let mut found = Vec::new();
    for file in rollouts(home)?.into_iter().rev() {
        if !call_id.is_empty()
            && contains(open(&file.path)?, call_id.as_bytes()).map_err(at(&file.path))?
        {
            found.push(file);
        }
    }
    if found.is_empty() {
        return Err(none(home, call_id));
    }
    Ok(found)
}

/// Whether a stream holds a text; only as much of it is held as one read gives.
fn contains<R: Read>(mut reader: R, text: &[u8]) -> io::Result<bool> {
    const CHUNK: usize = 256 << 10;
    let finder = Finder::new(text);
    let mut held = Vec::with_capacity(CHUNK + text.len());
    loop {
        let before = held.len();
        reader.by_ref().take(CHUNK as u64).read_to_end(&mut held)?;
        if finder.find(&held).is_some() {
            return Ok(true);
        }
        if held.len() == before {
            return Ok(false);
        }
        // a text that begins in this piece may end in the next
        let passed = held.len().saturating_sub(text.len().saturating_sub(1));
        held.drain(..passed);
    }
}

/// The rollouts of a Codex home, for files that begin in one another.
#[derive(Clone, Debug)]
pub struct HomeLibrary {
    home: PathBuf,
}

impl HomeLibrary {
    /// A library of the rollouts below a Codex home.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }
}

/// The rollouts a file may begin in: those of the Codex home, then those of the home it lies in itself, then those
/// beside it.
#[derive(Clone, Debug, Default)]
pub struct Shelves {
    homes: Vec<HomeLibrary>,
    beside: Option<PathBuf>,
}

impl Shelves {
    /// The shelves for a file; `home` is the Codex home, `file` the path if it has one.
    pub fn new(home: Option<&Path>, file: Option<&Path>) -> Self {
        let own = file.and_then(home_of);
        Self {
            homes: home.into_iter().chain(own).map(HomeLibrary::new).collect(),
            beside: file.and_then(Path::parent).map(Path::to_owned),
        }
    }

    fn beside(&self, thread_id: &str) -> Option<PathBuf> {
        let folder = match self.beside.as_deref()? {
            folder if folder.as_os_str().is_empty() => Path::new("."),
            folder => folder,
        };
        let files = fs::read_dir(folder).ok()?;
        files
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| self::thread_id(path) == Some(thread_id))
    }
}

impl Library for Shelves {
    fn open(&self, thread_id: &str) -> io::Result<Option<(String, Box<dyn Read>)>> {
        for home in &self.homes {
            // a home that cannot be read has no such file
            if let Ok(Some(found)) = home.open(thread_id) {
                return Ok(Some(found));
            }
        }
        match self.beside(thread_id) {
            Some(path) => Ok(Some((path.display().to_string(), open(&path)?))),
            None => Ok(None),
        }
    }
}

impl Library for HomeLibrary {
    fn open(&self, thread_id: &str) -> io::Result<Option<(String, Box<dyn Read>)>> {
        let files = rollouts(&self.home)?;
        let own = files.iter().filter(|file| file.thread_id == thread_id);
        let Some(file) = own.min_by_key(|file| file.kind) else {
            return Ok(None);
        };
        let reader = open(&file.path)?;
        Ok(Some((file.path.display().to_string(), reader)))
    }
}
