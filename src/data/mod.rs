//! Data: file formats, augmentation, and a loader that prepares batches ahead of training.
//!
//! Reading order: [`image`] (what a picture is) → [`formats`] (where pictures come from) → [`scenes`] (or are made) → [`resample`] →
//! [`target`] and [`geometry`] → [`augment`] → [`mod@normalise`] → [`loader`] (how they become batches) → [`split`] and [`subset`] (which of them
//! have labels, and which validate) → [`mod@survey`] (what is there, before training). Nothing here knows a model.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

pub mod augment;
mod cache;
mod contents;
pub mod decode;
pub mod dense_survey;
pub mod embedded;
pub mod formats;
pub mod geometry;
pub mod image;
mod jpeg;
pub mod label_map;
pub mod loader;
pub mod mix;
pub mod normalise;
pub mod order;
pub mod part;
mod pixels_only;
mod prefetch;
pub mod reduce_zero;
pub mod resample;
pub mod rle;
pub mod scenes;
pub mod split;
pub mod stats;
pub mod subset;
pub mod survey;
pub mod target;
mod verify;

pub use augment::{Augment, AugmentConfig, RandAugment, evaluation_image};
pub use contents::Contents;
pub use decode::load_image;
pub use formats::{Format, OfSplit, is_there, open, open_if_there, open_judged, recognise};
pub use geometry::Geometry;
pub use image::Image;
pub use label_map::load_label_map;
pub use loader::{Batch, Loader, LoaderConfig};
pub use mix::{Mix, Mixing};
pub use normalise::normalise;
pub use part::Part;
pub use pixels_only::PixelsOnly;
pub use prefetch::{BATCHES_AHEAD, Prefetch};
pub use reduce_zero::ReduceZeroLabel;
pub use split::{FEWEST_VALIDATION, TrainValidation, labelled_share, labelled_split, validation_split};
pub use stats::{ChannelStats, channel_stats};
pub use subset::Subset;
pub use survey::{Survey, survey};
pub use target::{Instance, Target, TargetKind};
pub use verify::{Fingerprint, Verified, crosses_splits, repeated, verify};

/// That none of a data set's images can be used, with the reason of the first.
pub(crate) fn none_usable(dataset: &dyn Dataset, reason: &str) -> Error {
    let found = format!("none; the first reason is: {reason}");
    Error::input(dataset.source(0), "images", "at least one that can be read", found)
}

/// Which part of a data set is meant, where its files tell the parts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the model learns from.
    #[default]
    Train,
    /// What checkpoints and settings are chosen by.
    Validation,
    /// What is only reported.
    Test,
}

impl Split {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// Images that can be asked for by number, from any thread, in any order.
pub trait Dataset: Send + Sync {
    /// The number of images, at least 1.
    fn len(&self) -> usize;

    /// Never true for a data set that [`open`] returned.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image `index`, decoded.
    ///
    /// # Errors
    /// If its file cannot be read or is not a sound image.
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`].
    fn image(&self, index: usize) -> Result<Image>;

    /// The class of image `index`, a position in [`Self::classes`]; `None` if the data has no labels.
    fn label(&self, index: usize) -> Option<usize>;

    /// What image `index` teaches: its class, unless the data says more. Masks and label maps have the image's size.
    ///
    /// # Errors
    /// If the file of a label map or of masks cannot be read.
    fn target(&self, index: usize) -> Result<Target> {
        Ok(self.label(index).map_or(Target::None, Target::Class))
    }

    /// Which kind of target the images have, known without reading one.
    fn target_kind(&self) -> TargetKind {
        if self.classes().is_empty() { TargetKind::None } else { TargetKind::Class }
    }

    /// The names of the classes; empty if the data has no labels.
    fn classes(&self) -> &[String];

    /// The number that files of results call image `index` by: COCO's own, or its position, counted from 1.
    fn image_id(&self, index: usize) -> u64 {
        index as u64 + 1
    }

    /// The numbers that files of results call the classes by, in their order: COCO's own, or 1, 2, ….
    fn category_ids(&self) -> Vec<u64> {
        (1..=self.classes().len() as u64).collect()
    }

    /// The same images with targets of another kind, if the data has them.
    fn with_targets(&self, _: TargetKind) -> Option<std::sync::Arc<dyn Dataset>> {
        None
    }

    /// Why the labels that the data has cannot be used; then no image has one, which is no error where none is needed.
    fn label_problem(&self) -> Option<&Error> {
        None
    }

    /// The class of every image.
    ///
    /// # Errors
    /// If the labels cannot be used, or an image has none.
    fn labels(&self) -> Result<Vec<usize>> {
        if let Some(problem) = self.label_problem() {
            return Err(problem.clone());
        }
        let missing = |index| {
            let found = format!("no label of {} ({})", self.source(index), self.describe());
            Error::setting("--data", split::LABELLED, found)
        };
        (0..self.len()).map(|index| self.label(index).ok_or_else(|| missing(index))).collect()
    }

    /// Where image `index` stands, for messages: a path, or `FILE, image 17`.
    fn source(&self, index: usize) -> String;

    /// One line about the whole: format, number of images, size, labels.
    fn describe(&self) -> String;

    /// What there is beside the images that is not read, and other things that a user should know.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// The `(height, width)` that all images share, if that is known without decoding them.
    fn size(&self) -> Option<(usize, usize)>;

    /// A CRC-32 that tells this data from other data: of all (uncompressed) bytes where they are in memory
    /// anyway, of all names and file lengths for a folder.
    ///
    /// # Errors
    /// If a file of a folder can no longer be found.
    fn digest(&self) -> Result<u32>;

    /// Whether [`Self::image`] only copies from memory, so that caching its result gains nothing.
    fn in_memory(&self) -> bool {
        false
    }
}

/// `1 image`, `2 images`, `10 classes`.
fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
