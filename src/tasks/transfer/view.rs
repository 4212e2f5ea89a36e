//! How training views are cut out of images whose targets say where something is.

use crate::base::Result;
use crate::config::sections::{DataConfig, require};
use crate::data::Augment;
use crate::data::augment::{Photometric, ScaleCrop};
use serde::{Deserialize, Serialize};

/// A crop at more than this scale would show a few pixels of the image.
const MOST_SCALE: f64 = 64.0;

/// How training views are cut out of images and their targets, beside flips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// The smallest and the largest scale, relative to that at which an image just covers the view; for a detector, which sees
    /// images whole, to that at which it just fits into it. What is larger is cut, what is smaller padded: with pixels that are
    /// ignored, and no objects.
    pub scale: [f64; 2],
    /// Whether brightness, contrast, saturation and hue change.
    pub jitter: bool,
}

impl ViewConfig {
    /// The random changes of a training view; `fits` as in [`ScaleCrop`].
    #[must_use]
    pub fn augment(&self, data: &DataConfig, fits: bool) -> Augment {
        let [low, high] = self.scale;
        Augment {
            scale_crop: Some(ScaleCrop { low, high, fits }),
            flip: data.flip,
            photometric: self.jitter.then_some(Photometric::JITTER),
            ..Augment::SEGMENTATION
        }
    }

    /// Checks them.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub(crate) fn validate(&self, data: &DataConfig) -> Result<()> {
        let expected = "none for views that augment.scale describes";
        require(data.crop.is_none(), "data.crop", expected, format!("{:?}", data.crop))?;
        let [low, high] = self.scale;
        let possible = low > 0.0 && low <= high && high <= MOST_SCALE;
        let expected = format!("[smallest, largest] with 0 < smallest ≤ largest ≤ {MOST_SCALE}");
        require(possible, "augment.scale", expected, format!("[{low}, {high}]"))
    }
}
