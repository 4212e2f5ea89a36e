//! Writing a checkpoint, whole or not at all.
//!
//! | instant of a crash | left on the disk | what a reader takes |
//! | --- | --- | --- |
//! | while writing | `checkpoint`, `checkpoint.partial` | the old one |
//! | between the two renames | `checkpoint.previous`, `checkpoint.partial` | the old one, as `.previous` |
//! | after the renames | `checkpoint`, `checkpoint.previous` | the new one |
//!
//! What becomes of the old one is decided in [`super::keep`].

use super::atomic::{sync_dir, write_synced};
use super::dir::{Checkpoint, MODEL, NAME, OPTIMIZER, PARTIAL, PREVIOUS, STATE};
use super::keep;
use super::state::{Checksums, State};
use super::target::CheckpointTarget;
use crate::base::disk::Disk;
use crate::base::{Error, Result};
use std::io::ErrorKind;
use std::path::Path;

/// Who writes checkpoints.
const PROGRAM: &str = concat!("vit-mae ", env!("CARGO_PKG_VERSION"));
/// Room that is left for headers, the state and the file system's own needs.
const SPARE_BYTES: u64 = 256 << 10;

impl Checkpoint {
    /// Writes `run/checkpoint`. `write_tensors(model, optimizer)` gets the two paths to write to and
    /// returns the checksums, which go into the state; `payload_bytes` is what they will take.
    ///
    /// ```text
    /// Checkpoint::write(target, state, payload_bytes, |model, optimizer| Ok(Checksums {
    ///     model: tensors::write_on(disk, model, weights, &about)?,
    ///     optimizer: tensors::write_on(disk, optimizer, moments, &about)?,
    /// }))
    /// ```
    ///
    /// # Errors
    /// If there is no room for it, or anything cannot be written. The previous checkpoint is then still
    /// found.
    pub fn write(
        target: CheckpointTarget<'_>,
        mut state: State,
        payload_bytes: u64,
        write_tensors: impl FnOnce(&Path, &Path) -> Result<Checksums>,
    ) -> Result<()> {
        let CheckpointTarget { disk, run, .. } = target;
        let (current, previous, partial) = (run.join(NAME), run.join(PREVIOUS), run.join(PARTIAL));
        keep::settle(target)?;
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
        keep::settle(target)
    }
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
