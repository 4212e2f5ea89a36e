//! The pixels of an array file: held in memory up to a bound, read from the file when asked for beyond it.

use crate::base::sync::lock;
use crate::base::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The most bytes of one file that are held in memory: 256 MiB, the size of the loader's own cache. Of larger
/// files only the images that are asked for are read.
pub(super) const MOST_HELD: u64 = 256 << 20;

/// Where the pixels are.
pub(super) enum Store {
    /// In memory.
    Held(Vec<u8>),
    /// In the file, from byte `start` on.
    OnDisk {
        /// For error messages.
        path: PathBuf,
        /// One reader at a time.
        file: Mutex<File>,
        /// Length of the header.
        start: u64,
    },
}

impl Store {
    /// The pixels of a file whose header is `start` bytes long.
    pub(super) fn on_disk(path: &Path, file: File, start: u64) -> Self {
        Self::OnDisk { path: path.to_path_buf(), file: Mutex::new(file), start }
    }

    /// `len` bytes from `first` on.
    pub(super) fn read(&self, first: usize, len: usize) -> Result<Vec<u8>> {
        match self {
            Self::Held(bytes) => Ok(bytes[first..first + len].to_vec()),
            Self::OnDisk { path, file, start } => {
                let mut bytes = vec![0; len];
                let mut file = lock(file);
                file.seek(SeekFrom::Start(start + first as u64))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(Error::read(path))?;
                Ok(bytes)
            }
        }
    }

    /// Whether reading costs nothing.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}
