//! Files opened so that their texts can be read again at any place, and indexed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::super::Environment;
use super::super::captured;
use super::super::error::CliError;
use super::super::input::Source;
use crate::convert::{self, Capture};
use crate::rollout::reader::maybe_packed;
use crate::session::writer::Writer;
use crate::session::{self, Kind, Session};
use crate::timeline::{self, Timeline};
use crate::wire::lines::Problem;

/// A session whose text lies in a plain file.
#[derive(Debug)]
pub(in crate::cli) struct Opened {
    pub(super) source: Source,
    file: Plain,
    /// What could not be read of what it was converted from.
    problems: Vec<Problem>,
    /// Whether its text is not that of the file: it was converted on the way.
    pub(in crate::cli) is_converted: bool,
}

/// The plain file.
#[derive(Debug)]
enum Plain {
    /// The session's own.
    Own(PathBuf),
    /// A copy, decompressed or converted, that goes when the program ends.
    Copy(Arc<Mutex<File>>),
}

/// A place in a file that others read too.
struct Shared {
    file: Arc<Mutex<File>>,
    at: u64,
    end: u64,
}

impl Read for Shared {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.at))?;
        let count = file.read(into)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => {
                self.at = at;
                return Ok(at);
            }
            SeekFrom::End(by) => (self.end, by),
            SeekFrom::Current(by) => (self.at, by),
        };
        self.at = base
            .checked_add_signed(by)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// A timeline and the files its texts stand in.
pub(super) struct Loaded {
    pub(super) timeline: Timeline,
    pub(super) sources: Vec<Box<dyn timeline::Source>>,
}

impl Opened {
    /// Opens a session. What is compressed, comes on stdin, or is no recording and no rollout, is copied once.
    pub(in crate::cli) fn new(source: &Source) -> Result<Self, CliError> {
        let name = source.name();
        let failed = |error: io::Error| match source {
            Source::File(path) => CliError::io(path, &error),
            Source::Bytes(_) => CliError::input(&name, error.to_string()),
        };
        let mut head = Vec::new();
        let plain = match source {
            Source::File(path) if path.is_dir() => {
                let (text, problems) = captured::open(source).map_err(failed)?;
                return Ok(Self {
                    source: source.clone(),
                    file: Plain::Copy(shared(copy(text).map_err(failed)?)),
                    problems,
                    is_converted: true,
                });
            }
            Source::File(path) => {
                let mut file = File::open(path).map_err(failed)?;
                let mut magic = [0; 4];
                let count = file.read(&mut magic).map_err(failed)?;
                file.rewind().map_err(failed)?;
                let is_packed = magic.get(..count).is_some_and(|it| {
                    it == [0x28, 0xb5, 0x2f, 0xfd] || it.starts_with(&[0x1f, 0x8b, 8])
                });
                if is_packed {
                    Plain::Copy(shared(
                        copy(maybe_packed(file).map_err(failed)?).map_err(failed)?,
                    ))
                } else {
                    Plain::Own(path.clone())
                }
            }
            Source::Bytes(_) => {
                let stdin = maybe_packed(io::stdin().lock()).map_err(failed)?;
                Plain::Copy(shared(copy(stdin).map_err(failed)?))
            }
        };
        let opened = Self {
            source: source.clone(),
            file: plain,
            problems: Vec::new(),
            is_converted: false,
        };
        opened
            .open()
            .and_then(|file| file.take(64 << 10).read_to_end(&mut head))
            .map_err(failed)?;
        let capture = convert::capture(&head);
        let kind = session::sniff(&head);
        if capture.is_none() && !matches!(kind, Kind::RequestBody | Kind::ItemArray) {
            return Ok(opened);
        }
        let (copy, problems) = opened.converted(capture, kind)?;
        Ok(Self {
            source: source.clone(),
            file: Plain::Copy(shared(copy)),
            problems,
            is_converted: true,
        })
    }

    /// The file, where it is one.
    pub(in crate::cli) fn path(&self) -> Option<&std::path::Path> {
        self.source.path()
    }

    /// Its text, to be read at any place.
    pub(in crate::cli) fn open(&self) -> io::Result<Box<dyn timeline::Source>> {
        match &self.file {
            Plain::Own(path) => Ok(Box::new(File::open(path)?)),
            Plain::Copy(file) => {
                let end = {
                    let mut file = file
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    file.seek(SeekFrom::End(0))?
                };
                Ok(Box::new(Shared {
                    file: Arc::clone(file),
                    at: 0,
                    end,
                }))
            }
        }
    }

    /// The same as a recording, and what could not be read of it.
    fn converted(
        &self,
        capture: Option<Capture>,
        kind: Kind,
    ) -> Result<(File, Vec<Problem>), CliError> {
        let name = self.source.name();
        let unreadable = |error: io::Error| CliError::input(&name, error.to_string());
        let file = tempfile::tempfile().map_err(unreadable)?;
        let mut writer = Writer::new(io::BufWriter::new(file));
        let mut reader = self.open().map_err(unreadable)?;
        let mut problems = Vec::new();
        if let Some(capture) = capture {
            problems = convert::from_file(capture, reader, &mut writer)
                .map_err(|error| CliError::input(&name, error.to_string()))?
                .problems;
        } else {
            // read as a request first, for its errors
            self.source
                .read_from(self.open().map_err(unreadable)?, &Environment::default())?;
            let mut body = Vec::new();
            reader.read_to_end(&mut body).map_err(unreadable)?;
            convert::from_request(body, kind == Kind::ItemArray, &mut writer)
                .map_err(unreadable)?;
        }
        let mut out = writer.into_inner();
        out.flush().map_err(unreadable)?;
        let file = out
            .into_inner()
            .map_err(|error| unreadable(error.into_error()))?;
        Ok((file, problems))
    }

    /// How long its text is, as far as it was written.
    pub(super) fn length(&self) -> u64 {
        self.open()
            .and_then(|mut file| file.seek(SeekFrom::End(0)))
            .unwrap_or(0)
    }

    /// Reads and indexes it; `limit` bounds how much of it is read. It is read twice, and `told` takes how much was read.
    fn index(
        &self,
        environment: &Environment,
        limit: u64,
        told: &mut dyn FnMut(u64),
    ) -> Result<Timeline, CliError> {
        let name = self.source.name();
        let failed = |error: io::Error| CliError::input(&name, error.to_string());
        let reader = Told {
            reader: self.open().map_err(failed)?.take(limit),
            told,
        };
        let mut session = self.source.read_from(reader, environment)?;
        if let Session::Recording(recording) = &mut session {
            recording.problems.extend(self.problems.iter().cloned());
        }
        let reader = Told {
            reader: self.open().map_err(failed)?.take(limit),
            told,
        };
        timeline::read(&name, session, reader).map_err(failed)
    }
}

/// A reader that tells how much was read.
struct Told<'a, R> {
    reader: R,
    told: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        (self.told)(count as u64);
        Ok(count)
    }
}

fn shared(file: File) -> Arc<Mutex<File>> {
    Arc::new(Mutex::new(file))
}

/// Copies a text into a file that has no name.
fn copy(mut reader: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut reader, &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Reads all of them onto one clock; `limit` bounds how much of each is read, `told` takes how much was read of all, each
/// byte counted twice.
pub(super) fn all(
    opened: &[Opened],
    environment: &Environment,
    limit: u64,
    told: &mut dyn FnMut(u64),
) -> Result<Loaded, CliError> {
    let mut parts = Vec::new();
    let mut sources = Vec::new();
    let mut sum = 0;
    for one in opened {
        let mut count = |more: u64| {
            sum += more;
            told(sum);
        };
        parts.push(one.index(environment, limit, &mut count)?);
        let failed = |error: io::Error| CliError::input(&one.source.name(), error.to_string());
        sources.push(one.open().map_err(failed)?);
    }
    Ok(Loaded {
        timeline: timeline::merge(parts),
        sources,
    })
}
