//! A fixed selection of a data set's images, as a model sees them in evaluation.

use super::input::Input;
use crate::base::Result;
use crate::data::subset::evenly_spaced;
use crate::data::{Dataset, none_usable};
use ndarray::{Array4, Axis, stack};

/// The epoch that whatever is random about held-out images is addressed by: training never gets there.
pub const EPOCH: u64 = u64::MAX;

/// Evenly spaced images.
pub struct EvalImages {
    /// `[B, C, H, W]`, normalised.
    pub images: Array4<f32>,
    /// The place of each in the selection, by which its mask is addressed: bad images leave gaps.
    pub samples: Vec<u64>,
    /// Why images were left out.
    pub skipped: Vec<String>,
}

impl EvalImages {
    /// At most `count` evenly spaced images of a data set; with `skip` those that cannot be read are left out.
    ///
    /// # Errors
    /// If one of them cannot be read (with `skip`: if none can).
    pub fn new(dataset: &dyn Dataset, input: &Input, count: usize, skip: bool) -> Result<Self> {
        let (mut images, mut samples, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (i, index) in evenly_spaced(dataset.len(), count).enumerate() {
            let image = dataset.image(index);
            match image.and_then(|image| input.image(&dataset.source(index), &image)) {
                Ok(image) => {
                    images.push(image);
                    samples.push(i as u64);
                }
                Err(error) if skip => skipped.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(first)) = (images.is_empty(), skipped.first()) {
            return Err(none_usable(dataset, first));
        }
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        let images = stack(Axis(0), &views).expect("input images share the model's shape");
        Ok(Self { images, samples, skipped })
    }
}

/// What the best checkpoint was chosen by, in words: so many validation images, or nothing, and why.
#[must_use]
pub fn what_validated(images: Option<usize>, why_none: Option<&str>) -> String {
    match images {
        Some(images) => {
            format!("{images} validation images, none of them trained on, chose the best checkpoint.")
        }
        None => format!(
            "No validation loss: {}. Nothing was chosen by one, and the trivial predictors were tried on the pictured \
             images.",
            why_none.unwrap_or_default()
        ),
    }
}
