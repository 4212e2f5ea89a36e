//! What a step's losses are taken over: the anchors and regions of an image that are drawn, and their objects. All of it is a
//! function of the seed, the epoch, the sample and the network's own proposals, and constant in the backward pass.

use crate::base::rng::{Purpose, rng};
use crate::data::Instance;
use crate::data::rle::Rle;
use crate::models::detect::boxes::{BBox, iou};
use crate::models::detect::mask_target::mask_target;
use crate::models::detect::matcher::Match;
use crate::models::detect::sampling::sample;
use crate::models::detect::{AnchorSample, DetectorConfig, ImageSamples, RegionObject, RegionSample};

/// An object that is learnt from.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// In pixels of the view.
    pub bbox: BBox<f32>,
    /// A position in the data's classes.
    pub class: usize,
    /// Its pixels, of `[H, W]`.
    pub mask: Option<&'a Rle>,
}

/// The objects of a view that a detector learns from: crowds are none, and need not be found.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "pixels of an image")]
pub fn objects<'a>(instances: &'a [Instance]) -> Vec<Object<'a>> {
    let single = instances.iter().filter(|instance| !instance.crowd);
    let object = |instance: &'a Instance| Object {
        bbox: instance.bbox.map(|edge| edge as f32),
        class: instance.class,
        mask: instance.mask.as_ref(),
    };
    single.map(object).collect()
}

/// Where the numbers of a sample come from.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The sample.
    pub sample: u64,
}

/// Draws the anchors and the regions of one image. Its objects' own boxes are among the regions, so that the heads learn from the
/// first step on, when no proposal is near anything yet.
pub fn draw(
    config: &DetectorConfig,
    anchors: &[BBox<f32>],
    proposals: &[BBox<f32>],
    objects: &[Object<'_>],
    address: Address,
) -> ImageSamples<f32> {
    let mut rng = rng(address.seed, Purpose::Sampling, address.epoch, address.sample);
    let matches = config
        .anchor_matcher()
        .matches(objects.len(), anchors.len(), |o, a| iou(objects[o].bbox, anchors[a]));
    let labels = matches.iter().map(|m: &Match<f32>| m.label);
    let drawn = sample(labels, config.rpn_batch_per_image, config.rpn_positive_fraction, &mut rng);
    let object = |anchor: usize| matches[anchor].object.map(|object| objects[object].bbox);
    let positives = drawn.positives.iter().map(|&anchor| AnchorSample { anchor, object: object(anchor) });
    let negatives = drawn.negatives.iter().map(|&anchor| AnchorSample { anchor, object: None });
    let anchors = positives.chain(negatives).collect();

    let candidates: Vec<BBox<f32>> =
        proposals.iter().copied().chain(objects.iter().map(|object| object.bbox)).collect();
    let matches = config
        .region_matcher()
        .matches(objects.len(), candidates.len(), |o, c| iou(objects[o].bbox, candidates[c]));
    let labels = matches.iter().map(|m: &Match<f32>| m.label);
    let drawn = sample(labels, config.roi_batch_per_image, config.roi_positive_fraction, &mut rng);
    let of = |region: usize| {
        let bbox = candidates[region];
        let object = &objects[matches[region].object.expect("a positive region has an object")];
        let mask = object.mask.filter(|_| config.mask_head);
        let mask =
            mask.map(|mask| mask_target(mask.mask().view(), bbox, config.mask_side())).unwrap_or_default();
        RegionSample { bbox, object: Some(RegionObject { class: object.class, bbox: object.bbox, mask }) }
    };
    let positives = drawn.positives.iter().map(|&region| of(region));
    let negatives =
        drawn.negatives.iter().map(|&region| RegionSample { bbox: candidates[region], object: None });
    ImageSamples { anchors, regions: positives.chain(negatives).collect() }
}
