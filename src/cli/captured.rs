//! Captures of other tools, opened as the recordings they are converted to.

use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::input::Source;
use crate::convert::{self, Capture, ConvertError, Converted, Folder};
use crate::rollout::reader::maybe_packed;
use crate::session::ReadError;
use crate::session::writer::Writer;
use crate::wire::lines::Problem;

/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 64 << 10;

/// A folder on disk. Links that lead out of it are not followed.
#[derive(Debug)]
pub(super) struct Disk(PathBuf);

impl Disk {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self(path.canonicalize()?))
    }
}

impl Folder for Disk {
    fn list(&self, below: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.0.join(below))? {
            let entry = entry?;
            let mut name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            found.push(name);
        }
        found.sort();
        Ok(found)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let path = self.0.join(name).canonicalize()?;
        if !path.starts_with(&self.0) {
            let why = "it is a link that leads out of the folder";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        if !path.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        Ok(Box::new(File::open(path)?))
    }
}

/// Whether a folder is a capture, and which.
pub(super) fn folder(path: &Path) -> Option<Capture> {
    let disk = Disk::new(path).ok()?;
    convert::folder_capture(&disk).ok().flatten()
}

/// What a source is, if it is a capture that is converted before it is read. Lines of `{request,status,body}` are read as
/// they are.
fn capture(source: &Source) -> io::Result<Option<Capture>> {
    let found = kind(source)?;
    Ok(found.filter(|it| *it != Capture::Exchanges))
}

/// What a source is, if it is a capture.
pub(super) fn kind(source: &Source) -> io::Result<Option<Capture>> {
    if let Source::File(path) = source
        && path.is_dir()
    {
        return Ok(folder(path));
    }
    let mut head = Vec::new();
    raw(source)?.take(HEAD).read_to_end(&mut head)?;
    Ok(convert::capture(&head))
}

/// The text of a source, decompressed, as it stands.
pub(super) fn raw(source: &Source) -> io::Result<Box<dyn Read + '_>> {
    match source {
        Source::File(path) => Ok(Box::new(maybe_packed(File::open(path)?)?)),
        Source::Bytes(bytes) => maybe_packed(Cursor::new(bytes.as_slice())),
    }
}

/// A recording that was made of a capture, in a file without a name.
pub(super) struct Made {
    pub(super) file: File,
    pub(super) converted: Converted,
}

/// Converts a source.
pub(super) fn make(source: &Source, kind: Capture) -> Result<Made, ConvertError> {
    let file = tempfile::tempfile().map_err(ConvertError::Write)?;
    let mut writer = Writer::new(Lazy(BufWriter::with_capacity(256 << 10, file)));
    let converted = match source {
        Source::File(path) if kind.is_folder() => {
            let disk = Disk::new(path).map_err(|error| ConvertError::Read(error.into()))?;
            convert::from_folder(kind, &disk, &mut writer)?
        }
        _ => {
            let reader = raw(source).map_err(|error| ConvertError::Read(error.into()))?;
            convert::from_file(kind, reader, &mut writer)?
        }
    };
    let Lazy(buffered) = writer.into_inner();
    let mut file = buffered
        .into_inner()
        .map_err(|error| ConvertError::Write(error.into_error()))?;
    file.seek(SeekFrom::Start(0)).map_err(ConvertError::Write)?;
    Ok(Made { file, converted })
}

/// Takes lines that nobody waits for: a flush after each of them is put off.
struct Lazy(BufWriter<File>);

impl Write for Lazy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A text, and what could not be read of what it was made of.
pub(super) type Text<'a> = (Box<dyn Read + 'a>, Vec<Problem>);

/// The text of a source: decompressed, and converted where it is a capture.
pub(super) fn open(source: &Source) -> io::Result<Text<'_>> {
    match capture(source)? {
        None => Ok((raw(source)?, Vec::new())),
        Some(kind) => {
            let made = make(source, kind).map_err(|error| match error {
                ConvertError::Read(ReadError::Io(error)) | ConvertError::Write(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
            })?;
            Ok((Box::new(made.file), made.converted.problems))
        }
    }
}
