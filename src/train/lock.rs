//! One process per run directory: a file that holds the owner's process id, locked by the system.
//!
//! The system gives the lock back when its owner ends, however it ends. So a lock file that was left behind by
//! a killed process is recognised as stale without asking who has that process id now.

use crate::base::{Error, Result};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The file's name in a run directory.
pub const NAME: &str = "vit-mae.lock";

/// A held lock; dropping it removes the file.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Locks a run directory.
    ///
    /// # Errors
    /// If another process holds the lock, which is then named, or the file cannot be written.
    pub fn take(run: &Path) -> Result<Self> {
        let path = run.join(NAME);
        loop {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = options.map_err(Error::write(&path))?;
            match file.try_lock() {
                // Some network file systems have no locks; there, care is with the user.
                Err(TryLockError::Error(e)) if e.kind() != ErrorKind::Unsupported => {
                    return Err(Error::write(&path)(e));
                }
                Err(TryLockError::WouldBlock) => return Err(taken(&path, &mut file)),
                _ => {}
            }
            // The last owner may have removed the file between our two calls: then this one has no name.
            if !is_at(&file, &path) {
                continue;
            }
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(Error::write(&path))?;
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked, so this is our own file and nobody else's.
        let _ = fs::remove_file(&self.path);
    }
}

fn taken(path: &Path, file: &mut File) -> Error {
    let mut owner = String::new();
    let _ = file.rewind().and_then(|()| file.take(32).read_to_string(&mut owner));
    let owner = match owner.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    };
    Error::input(path, "lock", "a run directory that no other process is writing to", format!("{owner} is"))
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |m: fs::Metadata| (m.dev(), m.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => id(open) == id(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}
