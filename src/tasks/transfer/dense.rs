//! Images with label maps or objects in three sets that share none: to learn from, to choose by, and the test split.

use super::TransferConfig;
use crate::base::{Error, Result};
use crate::checkpoint::EpochRecord;
use crate::config::sections::{DataConfig, RunConfig};
use crate::data::{Dataset, Subset, TargetKind, labelled_share};
use crate::train::input::Input;
use crate::train::readable::leave_out_bad;
use crate::train::source::{self, Source};
use rayon::prelude::*;
use std::sync::Arc;

/// The images of a data set, by what they are for.
pub struct DenseSplits {
    /// All training images.
    pub all: Arc<dyn Dataset>,
    /// Those that a model learns from.
    pub train: Arc<dyn Dataset>,
    /// Those to choose by; none if there are too few.
    pub validation: Option<Arc<dyn Dataset>>,
    /// The test split, or why there is none.
    pub test: std::result::Result<Arc<dyn Dataset>, String>,
}

impl DenseSplits {
    /// Keeps a fraction of the labelled training images, a choice by the seed; `data.val_fraction` of the training images, at
    /// most `run.held_out_images`, choose unless the data has a validation split of its own. Fills in the settings that follow from
    /// the data, and says which images that judge were left out, and why; `input` is how images of so many channels become what
    /// the network sees.
    ///
    /// # Errors
    /// If the data has no such targets, its splits do not have the same classes, these are not those of the settings, no image is
    /// left to train on, or one that judges cannot be read.
    pub fn open(
        source: Source,
        kind: TargetKind,
        (data, transfer, run): (&mut DataConfig, &mut TransferConfig, &RunConfig),
        in_chans: usize,
        input: impl FnOnce(&DataConfig) -> Input,
    ) -> Result<(Self, Vec<String>)> {
        let Source { train, validation, test } = source;
        let same = |set: Arc<dyn Dataset>| seen_as(kind, set);
        let source = Source { train: same(train), validation: validation.map(same), test: test.map(same) };
        of_kind(kind, &*source.train)?;
        let (all, most) = (source.train.clone(), run.held_out_images);
        let Source { train, validation, test } = match most {
            0 => Source { validation: Err("run.held_out_images is 0".to_owned()), ..source },
            _ => source.hold_out(data.val_fraction, most, run.seed),
        };
        for set in validation.iter().chain(&test) {
            same_classes(kind, all.classes(), &**set)?;
        }
        let kept = labelled_share(train.len(), transfer.label_share, run.seed)?;
        let train = Arc::new(Subset::new(train, kept));
        let validation =
            validation.ok().map(|set| Arc::new(Subset::evenly_spaced(set, most)) as Arc<dyn Dataset>);
        let mut splits = Self { all, train, validation, test };

        if !transfer.classes.is_empty() {
            same_classes(kind, &transfer.classes, &*splits.all)?;
        }
        transfer.classes = splits.all.classes().to_vec();
        source::measure(&*splits.train, data, in_chans)?;
        let judging = splits.validation.iter_mut().chain(splits.test.as_mut().ok());
        if !data.skip_bad_images {
            // Found now, and not when the first epoch is done, or all of them.
            for set in judging {
                (0..set.len())
                    .into_par_iter()
                    .try_for_each(|index| set.target(index).and_then(|_| set.image(index)).map(drop))?;
            }
            return Ok((splits, Vec::new()));
        }
        let skipped = leave_out_bad(judging, &input(data), true)?;
        Ok((splits, skipped))
    }

    /// How many images are for what, and why none judges at the end.
    #[must_use]
    pub fn about(&self) -> Vec<(&'static str, String)> {
        let count = |set: Option<&Arc<dyn Dataset>>| set.map_or(0, |set| set.len());
        let (train, validation) = (self.train.len(), count(self.validation.as_ref()));
        let test = count(self.test.as_ref().ok());
        let split =
            format!("{train} images to train on, {validation} to choose the epoch, {test} to judge it once");
        let missing = self.test.as_ref().err().map(|why| ("note", format!("no test split: {why}")));
        std::iter::once(("split", split)).chain(missing).collect()
    }

    /// What the user should know about the data.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let sets = std::iter::once(&self.all).chain(&self.validation).chain(&self.test);
        sets.flat_map(|set| set.notes().to_vec()).collect()
    }

    /// What a report says of how a run was judged, by this epoch's weights, and where it started.
    #[must_use]
    pub fn remarks(&self, transfer: &TransferConfig, judged: &EpochRecord) -> Vec<String> {
        let scored = judged.scores.selection_metric().is_some();
        let chosen_by = self.validation.as_ref().filter(|_| scored).map_or(0, |set| set.len());
        transfer.remarks(chosen_by, self.test.as_ref().err())
    }
}

/// The data with targets of this kind, if it says as much about where things are in another form: scenes do.
#[must_use]
pub fn seen_as(kind: TargetKind, data: Arc<dyn Dataset>) -> Arc<dyn Dataset> {
    let other = kind.is_dense() && data.target_kind().is_dense() && data.target_kind() != kind;
    other.then(|| data.with_targets(kind)).flatten().unwrap_or(data)
}

/// The data, if it has targets of this kind.
///
/// # Errors
/// If it has others or none.
pub fn of_kind(kind: TargetKind, data: &dyn Dataset) -> Result<&dyn Dataset> {
    if data.target_kind() == kind {
        return Ok(data);
    }
    let expected = match kind {
        TargetKind::Instances => {
            "images with objects: a COCO document or VOC files (docs/data.md), or `scenes`"
        }
        _ => "images with label maps: folders `images` and `annotations` (docs/data.md), or `scenes`",
    };
    Err(Error::setting("--data", expected, data.describe()))
}

/// Refuses targets whose classes mean something else than those that were learnt.
///
/// # Errors
/// Names the first class that differs.
pub fn same_classes(kind: TargetKind, names: &[String], data: &dyn Dataset) -> Result<()> {
    let theirs = of_kind(kind, data)?.classes();
    if theirs == names {
        return Ok(());
    }
    let differs = match names.iter().zip(theirs).position(|(mine, theirs)| mine != theirs) {
        Some(class) => format!("class {class} is {:?}, not {:?}", theirs[class], names[class]),
        None => format!("{} of them", theirs.len()),
    };
    let expected = format!("the {} classes that were learnt", names.len());
    Err(Error::setting("--data", expected, format!("{differs} ({})", data.describe())))
}
