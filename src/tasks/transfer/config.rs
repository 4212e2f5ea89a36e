//! The settings of every fine-tuning: what is taken over, and what of it is trained.

use crate::base::Result;
use crate::config::sections::require;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is taken over from pre-training, what of it is trained, and with how many labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferConfig {
    /// The run whose encoder is fine-tuned; none for training from scratch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<PathBuf>,
    /// CRC-32 of the weights that were taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_crc: Option<u32>,
    /// How many of the last blocks are trained, beside the head: 0 for the head alone, all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune_blocks: Option<usize>,
    /// The learning rate of a layer is this times that of the layer above it.
    pub layer_decay: f64,
    /// Chance that a residual branch of the last block is left out; it rises linearly from 0 in the first.
    pub drop_path: f64,
    /// Decay of a moving average of the weights, which then is what is judged and kept; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Fraction of the training images whose labels are used, class by class.
    pub label_share: f64,
    /// The names of the classes, as the data has them.
    #[serde(default)]
    pub classes: Vec<String>,
}

impl TransferConfig {
    /// Where the weights come from, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        let from = |path: &PathBuf| format!("encoder from {}", path.display());
        self.checkpoint.as_ref().map_or("from scratch".to_owned(), from)
    }

    /// What a report says of how a run was judged and where it started: how many validation images chose its epoch, and why there is no
    /// test split.
    #[must_use]
    pub fn remarks(&self, chosen_by: usize, no_test: Option<&String>) -> Vec<String> {
        let judged = match chosen_by {
            0 => "Nothing was chosen on validation images: the last epoch was judged.".to_owned(),
            images => format!(
                "{images} validation images, none of them trained on, chose the epoch. The test split was judged once, \
                 after that choice."
            ),
        };
        let from = match &self.checkpoint {
            Some(run) => format!("The encoder was pre-trained in {}.", run.display()),
            None => "The model was trained from scratch.".to_owned(),
        };
        let missing = no_test.map(|why| format!("There is no test split: {why}."));
        [judged, from].into_iter().chain(missing).collect()
    }

    /// Checks them for a trunk of so many blocks.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub(crate) fn validate(&self, depth: usize) -> Result<()> {
        if let Some(blocks) = self.tune_blocks {
            let expected = format!("0 to {depth}, the blocks there are");
            require(blocks <= depth, "finetune.tune_blocks", expected, blocks)?;
        }
        let decay = self.layer_decay;
        require(decay > 0.0 && decay <= 1.0, "finetune.layer_decay", "more than 0, at most 1", decay)?;
        let rate = self.drop_path;
        require((0.0..1.0).contains(&rate), "finetune.drop_path", "at least 0 and less than 1", rate)?;
        if let Some(decay) = self.ema_decay {
            require((0.0..1.0).contains(&decay), "finetune.ema_decay", "at least 0 and less than 1", decay)?;
        }
        let share = self.label_share;
        require(share > 0.0 && share <= 1.0, "finetune.label_share", "more than 0, at most 1", share)
    }
}
