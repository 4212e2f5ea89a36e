//! The images of a fine-tuning run: what it learns from, what chooses its best epoch, and the test split that is looked
//! at once, at the end.

use super::config::FinetuneConfig;
use crate::base::Result;
use crate::data::{Dataset, Subset};
use crate::tasks::classify::evaluate::same_classes;
use crate::tasks::classify::splits::Splits;
use crate::train::readable::leave_out_bad;
use crate::train::source::{self, Source};
use std::sync::Arc;

/// The labelled images of a source; fills in what they leave to it: the names of the classes, mean and
/// standard deviation. With `data.skip_bad_images`, images that judge and cannot be read are left out, and why.
///
/// # Errors
/// As [`Splits::of`], or if the classes are not those of the settings.
pub(super) fn open(source: Source, config: &mut FinetuneConfig) -> Result<(Splits, Vec<String>)> {
    let (transfer, seed) = (&mut config.finetune, config.run.seed);
    let splits = Splits::of(source, &config.data, transfer.label_share, seed)?;
    if !transfer.classes.is_empty() {
        same_classes(&transfer.classes, &*splits.all)?;
    }
    transfer.classes = splits.all.classes().to_vec();
    config.model.num_classes = transfer.classes.len();
    source::measure(&*splits.train, &mut config.data, config.model.in_chans)?;
    let most = config.run.held_out_images;
    let validation = splits
        .validation
        .filter(|_| most > 0)
        .map(|set| Arc::new(Subset::evenly_spaced(set, most)) as Arc<dyn Dataset>);
    let mut splits = Splits { validation, ..splits };
    let judging = splits.validation.iter_mut().chain(splits.test.as_mut().ok());
    let skipped = leave_out_bad(judging, &config.input(), config.data.skip_bad_images)?;
    Ok((splits, skipped))
}
