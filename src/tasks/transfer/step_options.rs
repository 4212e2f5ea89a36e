//! How a step of fine-tuning is taken.

use super::TransferConfig;
use crate::config::Settings;
use crate::layers::DropPath;
use crate::layers::drop_path::Branches;
use crate::models::vit::ForwardOptions;

/// How a step is taken.
pub struct StepOptions {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// How often branches are left out.
    pub drop_path: DropPath,
    /// How many of the last blocks are trained; all and the embeddings if none.
    pub tune_blocks: Option<usize>,
    /// Images that one task carries forward and backward.
    pub micro_batch: usize,
}

impl StepOptions {
    /// As a run's settings have it.
    pub fn new(settings: &impl Settings, transfer: &TransferConfig, epoch: u64) -> Self {
        Self {
            seed: settings.run().seed,
            epoch,
            drop_path: DropPath { rate: transfer.drop_path, depth: settings.vit().depth },
            tune_blocks: transfer.tune_blocks,
            micro_batch: settings.optim().micro_batch,
        }
    }

    /// A forward pass of this step, in which these branches are left out: those of [`DropPath::draw`].
    #[must_use]
    pub fn forward<'a, F>(&self, branches: Option<&'a Branches<F>>) -> ForwardOptions<'a, F> {
        ForwardOptions { tune_blocks: self.tune_blocks, drop_path: branches, ..ForwardOptions::default() }
    }
}
