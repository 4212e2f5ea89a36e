//! Writing a file whole or not at all.
//!
//! A crash (of the program or of the machine) leaves either the old content or the new one, because a
//! rename within one folder replaces the name in a single step. The order matters: the bytes must be on
//! the disk before the name points to them, and the name is only durable once its folder is.

use crate::base::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Replaces the file at `path` by `bytes`: temporary sibling, fsync, rename, fsync of the folder.
///
/// # Errors
/// If any of these fails; the previous content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = partial_name(path);
    let replaced = write_synced(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path).map_err(Error::write(path)))
        .and_then(|()| sync_parent(path));
    if replaced.is_err() {
        // Best effort: what matters to the user is the first error, not this one.
        let _ = fs::remove_file(&partial);
    }
    replaced
}

/// Writes a new file and waits until it is on the disk.
///
/// # Errors
/// If it cannot be created, written or flushed.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(Error::write(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::write(path))
}

/// Waits until the names in a folder are on the disk. Only Unix can open a folder for this.
///
/// # Errors
/// If the folder cannot be opened or flushed.
pub fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir).and_then(|folder| folder.sync_all()).map_err(Error::write(dir))?;
    }
    Ok(())
}

/// The name a file has until it is complete: `report.html` is written as `.report.html.partial`.
pub(crate) fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}
