//! Images with label maps in three sets that share none: to learn from, to choose by, and the test split.

use crate::base::{Error, Result};
use crate::config::sections::DataConfig;
use crate::data::{Dataset, Subset, TargetKind, labelled_share};
use crate::train::source::Source;
use std::sync::Arc;

/// The images of a data set, by what they are for.
pub struct Splits {
    /// All training images.
    pub all: Arc<dyn Dataset>,
    /// Those that a model learns from.
    pub train: Arc<dyn Dataset>,
    /// Those to choose by; none if there are too few.
    pub validation: Option<Arc<dyn Dataset>>,
    /// The test split, or why there is none.
    pub test: std::result::Result<Arc<dyn Dataset>, String>,
}

impl Splits {
    /// Keeps a fraction of the labelled training images, a choice by the seed; `data.val_fraction` of the training images, at
    /// most `most`, choose unless the data has a validation split of its own.
    ///
    /// # Errors
    /// If the data has no label maps, its splits do not have the same classes, or no image is left to train on.
    pub fn of(source: Source, data: &DataConfig, label_share: f64, most: usize, seed: u64) -> Result<Self> {
        mapped(&*source.train)?;
        let all = source.train.clone();
        let Source { train, validation, test } = match most {
            0 => Source { validation: Err("run.held_out_images is 0".to_owned()), ..source },
            _ => source.hold_out(data.val_fraction, most, seed),
        };
        for set in validation.iter().chain(&test) {
            same_classes(all.classes(), &**set)?;
        }
        let kept = labelled_share(train.len(), label_share, seed)?;
        let train = Arc::new(Subset::new(train, kept));
        let validation =
            validation.ok().map(|set| Arc::new(Subset::evenly_spaced(set, most)) as Arc<dyn Dataset>);
        Ok(Self { all, train, validation, test })
    }
}

/// The data, if it has label maps.
///
/// # Errors
/// If it has none.
pub fn mapped(data: &dyn Dataset) -> Result<&dyn Dataset> {
    if data.target_kind() == TargetKind::LabelMap {
        return Ok(data);
    }
    let expected = "images with label maps: folders `images` and `annotations` (docs/data.md), or `scenes`";
    Err(Error::setting("--data", expected, data.describe()))
}

/// Refuses maps whose classes mean something else than those that were learnt.
///
/// # Errors
/// Names the first class that differs.
pub fn same_classes(names: &[String], data: &dyn Dataset) -> Result<()> {
    let theirs = mapped(data)?.classes();
    if theirs == names {
        return Ok(());
    }
    let differs = match names.iter().zip(theirs).position(|(mine, theirs)| mine != theirs) {
        Some(class) => format!("class {class} is {:?}, not {:?}", theirs[class], names[class]),
        None => format!("{} classes, not {}", theirs.len(), names.len()),
    };
    let expected = format!("the {} classes that were learnt", names.len());
    Err(Error::setting("--data", expected, format!("{differs} ({})", data.describe())))
}
