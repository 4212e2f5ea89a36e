//! Where checkpoints are written, and how many stay.

use crate::base::disk::Disk;
use std::path::Path;

/// Where and how checkpoints are written.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointTarget<'a> {
    /// The disk.
    pub disk: &'a dyn Disk,
    /// The run directory.
    pub run: &'a Path,
    /// How many checkpoints stay, at least 1; the best one stays besides.
    pub keep: usize,
    /// Whether those from the middle of an epoch are among them. Where the run writes none itself, an interruption did, for the run
    /// to go on from: it must not take another one's place.
    pub within_epochs: bool,
}
