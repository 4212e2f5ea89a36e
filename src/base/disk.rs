//! Everything that changes a disk, as one small trait: the seam at which tests make writes, flushes and
//! renames fail, stop half-way or come to nothing in a power cut.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a run does to a disk. [`Os`] does it; the tests of reliability put something worse in its place.
pub trait Disk: Send + Sync + Debug {
    /// A new, empty file; one of that name is emptied.
    ///
    /// # Errors
    /// As [`File::create`].
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// An existing file, cut to `len` bytes, to be continued there.
    ///
    /// # Errors
    /// If it does not exist or cannot be written.
    fn reopen(&self, path: &Path, len: u64) -> io::Result<Box<dyn DiskFile>>;

    /// A folder, with those above it that are missing.
    ///
    /// # Errors
    /// As [`fs::create_dir_all`].
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Another name for a file or folder; a file of that name is replaced in one step.
    ///
    /// # Errors
    /// As [`fs::rename`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are on the disk. Only Unix can open a folder for this.
    ///
    /// # Errors
    /// If the folder cannot be opened or flushed.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// A file less.
    ///
    /// # Errors
    /// As [`fs::remove_file`].
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// A folder less, with everything in it.
    ///
    /// # Errors
    /// As [`fs::remove_dir_all`].
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Bytes that may still be written below `dir`.
    ///
    /// # Errors
    /// If the system does not say.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file that can be waited for.
pub trait DiskFile: Write + Send + Debug {
    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// As [`File::sync_all`].
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Os;

impl Disk for Os {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn reopen(&self, path: &Path, len: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(len)?;
        Ok(Box::new(file))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        fs4::available_space(dir)
    }
}

/// Nothing is written anywhere, and nothing fails: for what another process writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Disk for Nowhere {
    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(io::sink()))
    }

    fn reopen(&self, _: &Path, _: u64) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(io::sink()))
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl DiskFile for io::Sink {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
