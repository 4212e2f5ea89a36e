//! Labelled images in three sets that share none: to learn from, to choose by, and the test split.

use crate::base::{Error, Result};
use crate::config::sections::DataConfig;
use crate::data::{Dataset, Subset, labelled_split};
use crate::tasks::classify::evaluate::same_classes;
use crate::train::source::Source;
use std::sync::Arc;

/// The images of a data set, by what they are for.
pub struct Splits {
    /// All training images.
    pub all: Arc<dyn Dataset>,
    /// Those that a model learns from.
    pub train: Arc<dyn Dataset>,
    /// Those to choose by: the data's own, or held out of the training images; none if that fraction is 0.
    pub validation: Option<Arc<dyn Dataset>>,
    /// The test split, or why there is none.
    pub test: std::result::Result<Arc<dyn Dataset>, String>,
}

impl Splits {
    /// Keeps a fraction of the labels of a source, of which `data.val_fraction` validates ([`labelled_split`])
    /// unless the data has a validation split of its own.
    ///
    /// # Errors
    /// If the data has no labels that can be used, its splits do not have the same classes, or a fraction cannot be taken.
    pub fn of(source: Source, data: &DataConfig, label_share: f64, seed: u64) -> Result<Self> {
        let Source { train: all, validation: own, test } = source;
        if let Some(problem) = all.label_problem() {
            return Err(problem.clone());
        }
        if all.classes().len() < 2 {
            let found = format!("{} classes in {}", all.classes().len(), all.describe());
            return Err(Error::setting("--data", "labelled images of at least two classes", found));
        }
        let val_fraction = if own.is_ok() { 0.0 } else { data.val_fraction };
        let split = labelled_split(&*all, label_share, val_fraction, seed)?;
        for set in own.iter().chain(&test) {
            same_classes(all.classes(), &**set)?;
        }
        let part = |images: Vec<usize>| -> Arc<dyn Dataset> { Arc::new(Subset::new(all.clone(), images)) };
        let taken = (!split.validation.is_empty()).then(|| part(split.validation));
        let validation = own.ok().or(taken);
        Ok(Self { train: part(split.train), validation, test, all })
    }
}
