//! The labelled images of a fine-tuning run: what it learns from, what chooses its best epoch, and the test split
//! that is looked at once, at the end.

use super::config::FinetuneConfig;
use crate::base::{Error, Result};
use crate::data::{Dataset, Subset, labelled_split};
use crate::train::evaluate::same_classes;
use crate::train::source::{self, Source};
use std::sync::Arc;

/// Three sets of images that share none.
pub struct Labelled {
    /// What the model learns from.
    pub train: Arc<dyn Dataset>,
    /// A part of the training images that is not trained on, to choose the best epoch; none if `val_share` is 0.
    pub validation: Option<Arc<dyn Dataset>>,
    /// The test split, or why there is none.
    pub test: std::result::Result<Arc<dyn Dataset>, String>,
    /// The digest of the whole training split.
    pub digest: u32,
}

impl Labelled {
    /// Opens the data that the settings name, and fills in what they leave to it: the names of the classes, mean and
    /// standard deviation.
    ///
    /// # Errors
    /// If the data has no labels, its classes are not those of the settings, or its splits have not the same.
    pub fn open(config: &mut FinetuneConfig) -> Result<Self> {
        let Source { train: all, held_out: test } = Source::both(&config.data)?;
        let path = config.data.path.clone().unwrap_or_default();
        let classes = all.classes().to_vec();
        if classes.len() < 2 {
            let found = format!("{} of them in {}", classes.len(), all.describe());
            return Err(Error::input(path, "classes", "labelled images of at least two classes", found));
        }
        if let Ok(test) = &test {
            same_classes(&classes, &**test)?;
        }
        if !config.finetune.classes.is_empty() {
            same_classes(&config.finetune.classes, &*all)?;
        }
        config.model.num_classes = classes.len();
        config.finetune.classes = classes;
        let (transfer, seed) = (&config.finetune, config.run.seed);
        let split = labelled_split(&*all, transfer.label_share, transfer.val_share, seed)?;
        let part = |indices: Vec<usize>| -> Arc<dyn Dataset> { Arc::new(Subset::new(all.clone(), indices)) };
        let train = part(split.train);
        let most = config.run.held_out_images.min(split.validation.len());
        let validation = (most > 0).then(|| part(evenly_spaced(&split.validation, most)));
        source::measure(&*train, &mut config.data, config.model.in_chans)?;
        Ok(Self { train, validation, test, digest: all.digest()? })
    }
}

/// `most` of the indices, evenly spaced.
fn evenly_spaced(indices: &[usize], most: usize) -> Vec<usize> {
    (0..most).map(|i| indices[i * indices.len() / most]).collect()
}
