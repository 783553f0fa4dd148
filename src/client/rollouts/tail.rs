//! One file that grows.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::tell::Teller;
use crate::client::lines::Lines;

/// As much as is read at once.
const CHUNK: usize = 256 << 10;

/// What a file was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    /// Device and number, where the system has them.
    pub(super) id: Option<(u64, u64)>,
    pub(super) modified: Option<std::time::SystemTime>,
}

impl Seen {
    pub(super) fn of(data: &Metadata) -> Self {
        #[cfg(unix)]
        let id = {
            use std::os::unix::fs::MetadataExt as _;
            Some((data.dev(), data.ino()))
        };
        #[cfg(not(unix))]
        let id = None;
        Self {
            bytes: data.len(),
            id,
            modified: data.modified().ok(),
        }
    }
}

/// Opens a file to read it: a regular one, and not through a link.
pub(super) fn open(path: &Path) -> io::Result<(File, Seen)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // without waiting: it may have become a pipe
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }
    let file = options.open(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no regular file",
        ));
    }
    Ok((file, Seen::of(&data)))
}

/// Where in a file we are.
#[derive(Debug)]
pub(super) struct Tail {
    id: Option<(u64, u64)>,
    /// The first byte that was not read.
    offset: u64,
    /// The line that comes next, from 1.
    line: u32,
    lines: Lines,
}

impl Tail {
    /// Begins behind what was there: at the beginning of the line that was not finished.
    ///
    /// # Errors
    /// What reading returns.
    pub(super) fn begin(
        path: &Path,
        was: Option<Seen>,
        teller: &mut impl Teller,
    ) -> io::Result<Self> {
        let (mut file, now) = open(path)?;
        let (mut line, mut offset) = (1, 0);
        if let Some(was) = was.filter(|was| was.id == now.id && was.bytes <= now.bytes) {
            let mut chunk = vec![0; CHUNK];
            let mut passed = 0;
            let mut before = file.by_ref().take(was.bytes);
            loop {
                let read = before.read(&mut chunk)?;
                if read == 0 {
                    break;
                }
                let bytes = chunk.get(..read).unwrap_or_default();
                line += memchr::memchr_iter(b'\n', bytes).count() as u32;
                if let Some(last) = memchr::memrchr(b'\n', bytes) {
                    offset = passed + last as u64 + 1;
                }
                passed += read as u64;
            }
        }
        teller.begins(line, offset);
        let mut tail = Self {
            id: now.id,
            offset,
            line,
            lines: Lines::default(),
        };
        tail.read(file, teller)?;
        Ok(tail)
    }

    /// Reads what was added. A file that is another one now, or shorter, begins anew.
    ///
    /// # Errors
    /// What reading returns.
    pub(super) fn grow(&mut self, path: &Path, teller: &mut impl Teller) -> io::Result<()> {
        let (file, now) = open(path)?;
        if now.id != self.id || now.bytes < self.offset {
            self.finish(teller);
            (self.id, self.offset, self.line) = (now.id, 0, 1);
            teller.begins(1, 0);
        }
        self.read(file, teller)
    }

    fn read(&mut self, mut file: File, teller: &mut impl Teller) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.offset))?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            self.offset += read as u64;
            let number = &mut self.line;
            self.lines
                .push(chunk.get(..read).unwrap_or_default(), |line| {
                    teller.line(*number, line);
                    *number += 1;
                });
        }
    }

    /// Tells what is left of an unfinished line.
    pub(super) fn finish(&mut self, teller: &mut impl Teller) {
        let number = self.line;
        self.lines.finish(|line| teller.line(number, line));
    }

    /// It lies elsewhere now, and goes on there.
    pub(super) fn moved(&mut self, teller: &mut impl Teller) {
        let held = self.lines.held();
        teller.begins(self.line, self.offset - held);
    }

    /// Whether a look at the file would find something new.
    pub(super) fn differs(&self, now: &Seen) -> bool {
        now.id != self.id || now.bytes != self.offset
    }

    /// The file it follows.
    pub(super) fn id(&self) -> Option<(u64, u64)> {
        self.id
    }
}
