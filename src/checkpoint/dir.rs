//! The checkpoint's folder, written whole or not at all, and opened only if every byte is as written.
//!
//! | instant of a crash | left on the disk | what a reader takes |
//! | --- | --- | --- |
//! | while writing | `checkpoint`, `checkpoint.partial` | the old one |
//! | between the two renames | `checkpoint.previous`, `checkpoint.partial` | the old one, as `.previous` |
//! | after the renames | `checkpoint`, `checkpoint.previous` | the new one |
//!
//! What becomes of the old one is decided in [`super::keep`].

use super::atomic::{sync_dir, write_synced};
use super::state::{Checksums, State};
use super::{keep, tensors};
use crate::base::disk::Disk;
use crate::base::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder's name inside a run directory.
pub const NAME: &str = "checkpoint";
/// The name under which the last checkpoint waits while the new one takes its place.
pub const PREVIOUS: &str = "checkpoint.previous";
/// The name of a checkpoint that is not complete: not yet, or not any more.
pub const PARTIAL: &str = "checkpoint.partial";
/// Weights, by the reference's names.
pub const MODEL: &str = "model.safetensors";
/// The optimiser's moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";
/// The sealed [`State`].
pub const STATE: &str = "state.bin";

/// Who writes checkpoints.
const PROGRAM: &str = concat!("vit-mae ", env!("CARGO_PKG_VERSION"));
/// Room that is left for headers, the state and the file system's own needs.
const SPARE_BYTES: u64 = 256 << 10;

/// An opened checkpoint whose files are those that were written together.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder it was found in.
    pub dir: PathBuf,
    /// Where the run stands.
    pub state: State,
    /// The weights.
    pub model: tensors::File,
    /// The optimiser's moments.
    pub optimizer: tensors::File,
}

/// Where and how checkpoints are written.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The disk.
    pub disk: &'a dyn Disk,
    /// The run directory.
    pub run: &'a Path,
    /// How many checkpoints stay, at least 1; the best one stays besides.
    pub keep: usize,
}

impl Checkpoint {
    /// Writes `run/checkpoint`. `write_tensors(model, optimizer)` gets the two paths to write to and
    /// returns the checksums, which go into the state; `payload_bytes` is what they will take.
    ///
    /// ```text
    /// Checkpoint::write(place, state, payload_bytes, |model, optimizer| Ok(Checksums {
    ///     model: tensors::write_on(disk, model, weights, &about)?,
    ///     optimizer: tensors::write_on(disk, optimizer, moments, &about)?,
    /// }))
    /// ```
    ///
    /// # Errors
    /// If there is no room for it, or anything cannot be written. The previous checkpoint is then still
    /// found.
    pub fn write(
        place: Place<'_>,
        mut state: State,
        payload_bytes: u64,
        write_tensors: impl FnOnce(&Path, &Path) -> Result<Checksums>,
    ) -> Result<()> {
        let Place { disk, run, keep } = place;
        let (current, previous, partial) = (run.join(NAME), run.join(PREVIOUS), run.join(PARTIAL));
        keep::settle(disk, run, keep)?;
        check_room(disk, run, payload_bytes + SPARE_BYTES)?;
        disk.create_dir_all(&partial).map_err(Error::write(&partial))?;
        state.checksums = write_tensors(&partial.join(MODEL), &partial.join(OPTIMIZER))?;
        PROGRAM.clone_into(&mut state.program);
        let sealed = state.seal(&partial.join(STATE))?;
        write_synced(disk, &partial.join(STATE), &sealed)?;
        sync_dir(disk, &partial)?;
        if current.exists() {
            disk.rename(&current, &previous).map_err(Error::write(&previous))?;
        }
        disk.rename(&partial, &current).map_err(Error::write(&current))?;
        sync_dir(disk, run)?;
        keep::settle(disk, run, keep)
    }

    /// Opens the checkpoint in a run directory, or the checkpoint folder itself.
    ///
    /// # Errors
    /// If there is none, or one of its files is not the one that was written.
    pub fn open(dir: &Path) -> Result<Self> {
        let dir = find(dir)?;
        let state = State::read(&dir.join(STATE))?;
        let model = verified(&dir.join(MODEL), state.checksums.model)?;
        let optimizer = verified(&dir.join(OPTIMIZER), state.checksums.optimizer)?;
        Ok(Self { dir, state, model, optimizer })
    }
}

/// The checkpoint folder that `dir` means: `dir` may be a run directory or the checkpoint itself, and
/// `checkpoint.previous` stands in where a crash left no `checkpoint`.
///
/// # Errors
/// If there is no checkpoint.
pub fn find(dir: &Path) -> Result<PathBuf> {
    let mut candidates = vec![dir.join(NAME), dir.join(PREVIOUS), dir.to_path_buf()];
    if dir.file_name().is_some_and(|name| name == NAME) {
        candidates.push(dir.with_file_name(PREVIOUS));
    }
    let found = candidates.into_iter().find(|folder| folder.join(STATE).is_file());
    found.ok_or_else(|| {
        let found = if dir.join("config.json").is_file() {
            "a folder of Hugging Face, of which `vit-mae convert SRC DST --to run` makes one"
        } else if dir.is_dir() {
            "a folder without one"
        } else if dir.is_file() {
            "a file; `vit-mae convert SRC DST --to run` makes a run directory of weights"
        } else {
            "no such folder"
        };
        Error::input(dir, NAME, "a run directory or a checkpoint folder", found)
    })
}

/// A tensor file that has the checksum with which it was written.
pub(super) fn verified(path: &Path, written: u32) -> Result<tensors::File> {
    let file = tensors::File::open(path)?;
    let found = file.checksum()?;
    if found == written {
        return Ok(file);
    }
    let found = format!("{found:08x}: the file is damaged or from another checkpoint");
    Err(Error::input(path, "checksum", format!("{written:08x}"), found))
}

/// Refuses to begin what cannot be finished. A system that does not say how much is free is given the
/// benefit of the doubt: the write itself fails if there is too little, and harms nothing.
fn check_room(disk: &dyn Disk, run: &Path, needed: u64) -> Result<()> {
    match disk.free_bytes(run) {
        Ok(free) if free < needed => {
            let path = run.join(NAME);
            let why = format!("a checkpoint takes {needed} bytes, and {free} are free on this disk");
            Err(Error::write(path)(std::io::Error::new(ErrorKind::StorageFull, why)))
        }
        _ => Ok(()),
    }
}
