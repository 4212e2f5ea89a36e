//! Writing a file whole or not at all.
//!
//! A crash (of the program or of the machine) leaves either the old content or the new one, because a
//! rename within one folder replaces the name in a single step. The order matters: the bytes must be on
//! the disk before the name points to them, and the name is only durable once its folder is.

use crate::base::disk::{Disk, Os};
use crate::base::{Error, Result};
use std::path::{Path, PathBuf};

/// Replaces the file at `path` by `bytes`: temporary sibling, fsync, rename, fsync of the folder.
///
/// # Errors
/// If any of these fails; the previous content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_on(&Os, path, bytes)
}

/// [`write_atomic`] on any disk.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_on(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    replace_on(disk, path, |partial| write_synced(disk, partial, bytes))
}

/// Replaces the file at `path` by what `write` puts, synced, into a temporary sibling.
///
/// # Errors
/// As [`write_atomic`], or those of `write`.
pub fn replace_on<T>(disk: &dyn Disk, path: &Path, write: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let partial = partial_name(path);
    let replaced = write(&partial).and_then(|written| {
        disk.rename(&partial, path).map_err(Error::write(path))?;
        sync_dir(disk, parent(path))?;
        Ok(written)
    });
    if replaced.is_err() {
        // Best effort: what matters to the user is the first error, not this one.
        let _ = disk.remove_file(&partial);
    }
    replaced
}

/// Makes sure that [`write_atomic`] can begin, before work is done whose result it is to write.
///
/// # Errors
/// If no file can be created beside `path`.
pub fn check_writable(path: &Path) -> Result<()> {
    let partial = partial_name(path);
    Os.create(&partial).and_then(|_| Os.remove_file(&partial)).map_err(Error::write(path))
}

/// Writes a new file and waits until it is on the disk.
///
/// # Errors
/// If it cannot be created, written or flushed.
pub fn write_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = disk.create(path).map_err(Error::write(path))?;
    file.write_all(bytes).and_then(|()| file.sync()).map_err(Error::write(path))
}

/// Waits until the names in a folder are on the disk.
///
/// # Errors
/// If the folder cannot be opened or flushed.
pub fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir).map_err(Error::write(dir))
}

/// The name a file has until it is complete: `report.html` is written as `.report.html.partial`.
pub(crate) fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
