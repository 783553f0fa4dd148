//! The file a recording is written to, as far as a failing disk goes.

use std::io::{self, Write};

/// How many bytes wait here at most while the disk refuses them: 8 MiB.
const MAX_WAITING: usize = 8 << 20;

/// What lines are written to: a file, and whether each batch is forced to the disk.
pub trait Target: Write + Send {
    /// Makes sure that what was written survives a failure of the machine.
    fn sync(&mut self) -> io::Result<()>;
}

impl Target for std::fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Collects lines and writes them in one go. What the file does not take is kept and tried again; a line that finds no
/// room is refused whole, so that the file never holds half a line that something else follows.
pub struct Output {
    target: Box<dyn Target>,
    waiting: Vec<u8>,
    sync: bool,
    written: u64,
    failing: bool,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("waiting", &self.waiting.len())
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// Writes to `target`; with `sync` each batch is forced to the disk.
    pub fn new(target: Box<dyn Target>, sync: bool) -> Self {
        Self {
            target,
            waiting: Vec::new(),
            sync,
            written: 0,
            failing: false,
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// If the file takes no more. What it did not take waits on.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        let mut done = 0;
        let mut result = Ok(());
        while let Some(rest) = self.waiting.get(done..).filter(|it| !it.is_empty()) {
            match self.target.write(rest) {
                Ok(0) => {
                    result = Err(io::ErrorKind::WriteZero.into());
                    break;
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.written += done as u64;
        self.waiting.drain(..done);
        if self.waiting.capacity() > MAX_WAITING / 4 && self.waiting.len() < 64 << 10 {
            self.waiting.shrink_to(64 << 10);
        }
        if result.is_ok() && done > 0 {
            result = self.target.flush();
            if self.sync && result.is_ok() {
                result = self.target.sync();
            }
        }
        self.failing = result.is_err();
        result
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many bytes the file took.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // one line may be larger than the bound, as long as the file takes it
        if self.failing && self.waiting.len() + bytes.len() > MAX_WAITING {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let count = bytes.len().min(disk.1);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.1 -= count;
            disk.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Target for Disk {
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_refuses_is_written_once_there_is_room() {
        let disk = Disk::default();
        disk.0.lock().unwrap().1 = 3;
        let mut output = Output::new(Box::new(disk.clone()), false);
        output.write_all(b"hello\n").unwrap();
        assert!(output.commit().is_err());
        output.write_all(b"world\n").unwrap();
        assert_eq!(output.waiting(), 9);
        disk.0.lock().unwrap().1 = 100;
        output.commit().unwrap();
        assert_eq!(disk.0.lock().unwrap().0, b"hello\nworld\n");
        assert_eq!(output.written(), 12);
    }

    #[test]
    fn while_it_is_refused_no_more_than_the_bound_waits() {
        let mut output = Output::new(Box::new(Disk::default()), false);
        output.write_all(b"x").unwrap();
        assert!(output.commit().is_err());
        let line = vec![b'y'; MAX_WAITING / 2 - 1];
        assert!(output.write_all(&line).is_ok());
        assert!(output.write_all(&line).is_ok());
        assert!(output.write_all(&line).is_err());
        assert!(output.waiting() <= MAX_WAITING);
    }
}
