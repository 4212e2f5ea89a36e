//! What a checkpoint remembers beside tensors: where the run stands, to the step.

use super::named::Named;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub struct State {
    /// Optimiser steps done.
    pub step: u64,
    /// Whole epochs done.
    pub epoch: u64,
    /// How far the epoch after them is.
    pub position: Position,
    /// The seed that all randomness is addressed by.
    pub seed: u64,
    /// CRC-32 of `config_toml`.
    pub config_digest: u32,
    /// Digest of the data set.
    pub data_digest: u32,
    /// Checksums of the two files beside this one; filled in by [`super::Checkpoint::write`].
    pub checksums: Checksums,
    /// How much of `metrics.jsonl` belongs to the steps done.
    pub log: LogMark,
    /// One record per finished epoch.
    pub history: Vec<EpochRecord>,
    /// Settings that were changed when the run was resumed.
    pub changes: Vec<Change>,
    /// Images that could not be read and were replaced.
    pub skipped_images: Vec<String>,
    /// Seconds spent so far, over all resumptions.
    pub wall_secs: f64,
    /// The settings as resolved, as TOML.
    pub config_toml: String,
    /// The program that wrote this, with its version; filled in by [`super::Checkpoint::write`].
    pub program: String,
}

/// How far an unfinished epoch is: everything from which its averages continue exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Position {
    /// Optimiser steps of this epoch behind us, skipped ones included.
    pub steps: u64,
    /// Those of them that were skipped because a loss or gradient was not finite.
    pub skipped: u64,
    /// Sum of the other steps' losses.
    pub loss_sum: f64,
    /// Wall time spent on this epoch so far.
    pub wall_secs: f64,
    /// The part of it that was spent waiting for data.
    pub data_wait_secs: f64,
}

/// What [`super::tensors::write`] returned for the two files of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Checksums {
    /// Of `model.safetensors`.
    pub model: u32,
    /// Of `optimizer.safetensors`.
    pub optimizer: u32,
}

/// The part of the log that was written, and was on the disk, when the checkpoint was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct LogMark {
    /// Its length.
    pub bytes: u64,
    /// Its CRC-32.
    pub crc: u32,
    /// The hash that links all of its records; see `docs/reliability.md`.
    pub chain: [u8; 32],
}

/// A setting that was changed when a run was resumed; values are in TOML, empty where there was none.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, bincode::Encode, bincode::Decode,
)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Optimiser steps done by then.
    pub step: u64,
    /// `section.key`.
    pub key: String,
    /// The value until then.
    pub from: String,
    /// The value from then on.
    pub to: String,
}

/// One finished epoch: kept in the state and logged in `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, bincode::Encode, bincode::Decode)]
pub struct EpochRecord {
    /// Epochs done, counted from 1.
    pub epoch: u64,
    /// Optimiser steps done.
    pub step: u64,
    /// Mean training loss over the epoch's steps, skipped ones left out.
    pub train_loss: f64,
    /// Scores on validation images, where there are any; the first one selects the best checkpoint.
    #[serde(flatten)]
    pub scores: Named,
    /// Steps that were skipped because their loss or gradient was not finite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_steps: u64,
    /// Wall time of the epoch.
    pub wall_secs: f64,
    /// Training images per second of wall time.
    pub images_per_s: f64,
    /// The part of the wall time that was spent waiting for data.
    pub data_wait_secs: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a field by reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl EpochRecord {
    /// The score of this name on validation images.
    #[must_use]
    pub fn score(&self, name: &str) -> Option<f64> {
        self.scores.validation().find(|(known, _)| *known == name).map(|(_, score)| score)
    }
}

impl State {
    /// Whether these are weights that were converted and never trained here: before the first step, of no data.
    #[must_use]
    pub fn is_converted(&self) -> bool {
        self.step == 0 && self.position.steps == 0 && self.data_digest == 0
    }

    /// What checkpoints are compared by, the lower the better: the task's first score on validation images. None where there are no such
    /// images, so that the last checkpoint is the best, and in the middle of an epoch, where the score is not that of these weights.
    #[must_use]
    pub fn selection_metric(&self) -> Option<f64> {
        let last = self.history.last().filter(|_| self.position.steps == 0)?;
        last.scores.selection_metric()
    }
}
