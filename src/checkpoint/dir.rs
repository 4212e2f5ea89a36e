//! The checkpoint's folder: its names, and how it is found and opened, which it is only if every byte is as written.

use super::state::State;
use super::tensors;
use crate::base::{Error, Result};
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

impl Checkpoint {
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
