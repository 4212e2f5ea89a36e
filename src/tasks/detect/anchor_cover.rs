//! How many of the objects some anchor matches: what a detector cannot be taught to propose it will not find.

use super::predictor::fitted;
use super::sampling::objects;
use crate::base::Result;
use crate::data::subset::evenly_spaced;
use crate::data::{Dataset, Target};
use crate::models::detect::DetectorConfig;
use crate::models::detect::anchor_table::AnchorTable;
use crate::models::detect::boxes::iou;
use rayon::prelude::*;

/// Training images that are looked at, at most.
const IMAGES: usize = 500;
/// The overlap from which on an anchor is near an object.
const NEAR: f32 = 0.5;

/// Of evenly spaced training images, seen as in evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorCover {
    /// Objects.
    pub objects: usize,
    /// Those that some anchor overlaps by a half or more.
    pub near: usize,
    /// Those that some anchor overlaps by `model.rpn_thresholds[1]` or more.
    pub matched: usize,
    /// Those that have a mask.
    pub masks: usize,
}

/// Whether any object of `data` has a mask, of those that can be read.
pub(super) fn has_masks(data: &dyn Dataset) -> bool {
    (0..data.len()).into_par_iter().any(|index| match data.target(index) {
        Ok(Target::Instances(instances)) => instances.iter().any(|instance| instance.mask.is_some()),
        _ => false,
    })
}

impl AnchorCover {
    /// Looks at the objects of `data`.
    ///
    /// # Errors
    /// If one of its targets cannot be read.
    pub fn of(data: &dyn Dataset, config: &DetectorConfig, skip_bad_images: bool) -> Result<Self> {
        let anchors = AnchorTable::<f32>::new(config);
        let of_image = |index: usize| -> Result<Self> {
            let both = data.image(index).and_then(|image| Ok((image, data.target(index)?)));
            let (image, target) = match both {
                Err(_) if skip_bad_images => return Ok(Self::default()),
                both => both?,
            };
            let seen = fitted((image.height, image.width), config.img_size).target(&target);
            let Target::Instances(instances) = seen else { return Ok(Self::default()) };
            let mut cover = Self::default();
            for object in objects(&instances) {
                let best = anchors.boxes.iter().map(|&anchor| iou(anchor, object.bbox)).fold(0.0, f32::max);
                cover.objects += 1;
                cover.near += usize::from(best >= NEAR);
                cover.matched += usize::from(f64::from(best) >= config.rpn_thresholds[1]);
                cover.masks += usize::from(object.mask.is_some());
            }
            Ok(cover)
        };
        let images: Vec<usize> = evenly_spaced(data.len(), IMAGES).collect();
        let parts: Vec<Self> = images.into_par_iter().map(of_image).collect::<Result<_>>()?;
        Ok(parts.into_iter().fold(Self::default(), |sum, part| Self {
            objects: sum.objects + part.objects,
            near: sum.near + part.near,
            matched: sum.matched + part.matched,
            masks: sum.masks + part.masks,
        }))
    }

    /// One line.
    #[must_use]
    pub fn line(&self, config: &DetectorConfig) -> String {
        let percent = |n: usize| 100.0 * n as f64 / self.objects.max(1) as f64;
        format!(
            "of {} objects {:.0} % overlap one by {NEAR} or more, {:.0} % by {} or more (model.anchor_sizes {:?})",
            self.objects,
            percent(self.near),
            percent(self.matched),
            config.rpn_thresholds[1],
            config.anchor_sizes
        )
    }
}
