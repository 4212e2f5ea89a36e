//! Labelled images in three sets that share none: to learn from, to choose by, and the test split.

use super::config::DataConfig;
use super::evaluate::same_classes;
use super::source::Source;
use crate::base::{Error, Result};
use crate::data::{Dataset, Subset, labelled_split};
use std::sync::Arc;

/// The images of a data set, by what they are for.
pub struct Splits {
    /// All training images.
    pub all: Arc<dyn Dataset>,
    /// Those that a model learns from.
    pub train: Arc<dyn Dataset>,
    /// Those held out of them to choose by; none if that share is 0.
    pub validation: Option<Arc<dyn Dataset>>,
    /// The test split, or why there is none.
    pub test: std::result::Result<Arc<dyn Dataset>, String>,
}

impl Splits {
    /// Opens the data and keeps a share of its labels, of which another share validates ([`labelled_split`]).
    ///
    /// # Errors
    /// If the data has no labels, its splits do not have the same classes, or a share cannot be taken.
    pub fn open(data: &DataConfig, label_share: f64, val_share: f64, seed: u64) -> Result<Self> {
        let Source { train: all, held_out: test } = Source::both(data)?;
        if all.classes().len() < 2 {
            let found = format!("{} classes in {}", all.classes().len(), all.describe());
            return Err(Error::setting("--data", "labelled images of at least two classes", found));
        }
        let split = labelled_split(&*all, label_share, val_share, seed)?;
        if let Ok(test) = &test {
            same_classes(all.classes(), &**test)?;
        }
        let part = |images: Vec<usize>| -> Arc<dyn Dataset> { Arc::new(Subset::new(all.clone(), images)) };
        let validation = (!split.validation.is_empty()).then(|| part(split.validation));
        Ok(Self { train: part(split.train), validation, test, all })
    }
}
