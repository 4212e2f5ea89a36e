//! A detection network's architecture, and what is proposed, sampled and kept; checked for what cannot work.

use super::detections::DetectionConfig;
use super::fpn::{FINEST, MAPS};
use super::levels::LevelRule;
use super::matcher::Matcher;
use super::proposals::ProposalConfig;
use crate::base::{Error, Result};
use crate::models::pyramid::levels;
use crate::models::vit::VitConfig;
use crate::models::vit::config::check_parameters;
use crate::models::vit::stack::{MAX_WIDTH, in_range};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const MAX_CLASSES: usize = 1 << 16;
const MAX_SIDE: usize = 1 << 6;
const MAX_SAMPLES: usize = 1 << 8;
const MAX_RATIOS: usize = 1 << 5;
const MAX_REGIONS: usize = 1 << 16;

/// In pixels: far above every image.
const MAX_PIXELS: f64 = (1 << 20) as f64;

/// The architecture, in the terms of the reference's `VisionTransformer` and of detectron2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorConfig {
    /// Height and width of the images in pixels.
    pub img_size: [usize; 2],
    /// Channels of the images.
    pub in_chans: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Width `D`.
    pub embed_dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads.
    pub num_heads: usize,
    /// Hidden width of an MLP relative to `D`.
    pub mlp_ratio: f64,
    /// `ε` of every layer norm.
    pub layer_norm_eps: f64,
    /// `K`, without the background.
    pub num_classes: usize,

    /// `C`, of the feature pyramid and of all heads.
    pub channels: usize,
    /// Width of the box head's linear layer.
    pub fc_dim: usize,
    /// Whether there is a mask head: Mask R-CNN, otherwise Faster R-CNN.
    pub mask_head: bool,
    /// Pixels in a row and in a column of a region for the box head.
    pub box_size: usize,
    /// For the mask head, whose masks have twice as many.
    pub mask_size: usize,
    /// Samples of RoIAlign in a pixel and along an axis; 0: as many as it has pixels of the map, rounded up.
    pub sampling: usize,
    /// The level of a region with an area of `canonical_size²`; one level coarser or finer with each factor 2 of its side.
    pub canonical_level: usize,
    /// In pixels.
    pub canonical_size: f64,

    /// Of each map from the finest to the coarsest, the root of the anchors' area in pixels.
    pub anchor_sizes: Vec<f64>,
    /// Height over width of a pixel's anchors.
    pub anchor_ratios: Vec<f64>,
    /// Where in a pixel the anchors' centre lies: 0 at its corner, 0.5 in its middle.
    pub anchor_offset: f64,

    /// The anchor of an object overlaps it by the second or more (IoU); the background's by less than the first.
    pub rpn_thresholds: [f64; 2],
    /// Anchors of an image that are sampled for the loss.
    pub rpn_batch_per_image: usize,
    /// At most this fraction of them are objects'.
    pub rpn_positive_fraction: f64,
    /// A region of an object overlaps it by this or more (IoU).
    pub roi_threshold: f64,
    /// Regions of an image that are sampled for the loss.
    pub roi_batch_per_image: usize,
    /// At most this fraction of them are objects'.
    pub roi_positive_fraction: f64,

    /// The best anchors of each map that are looked at, in training.
    pub pre_nms_train: usize,
    /// The best proposals of an image that are kept, in training.
    pub post_nms_train: usize,
    /// As `pre_nms_train`, in evaluation.
    pub pre_nms: usize,
    /// As `post_nms_train`, in evaluation.
    pub post_nms: usize,
    /// A proposal that overlaps a better one of its map by more (IoU) is dropped.
    pub rpn_nms: f64,
    /// A detection needs a higher score.
    pub score_threshold: f64,
    /// A detection that overlaps a better one of its class by more (IoU) is dropped.
    pub box_nms: f64,
    /// The best detections of an image that are kept.
    pub max_detections: usize,
}

impl DetectorConfig {
    /// Heads for `num_classes` on this trunk, with the settings that are usual.
    ///
    /// What detectron2 and ViTDet set for images of 1024 pixels is scaled to the shorter side `s`, as far as that makes sense:
    ///
    /// | | at 1024 | here |
    /// | --- | --- | --- |
    /// | `anchor_sizes` | 32, 64, … 512 | `s/32`, at least 8, doubled four times |
    /// | `canonical_size` at level 4 | 224 | `224/1024 · s`, at least 112 |
    /// | `rpn_batch_per_image` | 256 | `s/4`, 64 to 256 |
    /// | `roi_batch_per_image` | 512 | `s/2`, 32 to 512 |
    /// | `pre_nms_train`, `pre_nms` | 2000, 1000 | `2·s` and `s`, at least 256 and at most that |
    /// | `post_nms_train`, `post_nms` | 1000, 1000 | `s`, at least 128 and at most that |
    #[must_use]
    pub fn new(vit: &VitConfig, num_classes: usize) -> Self {
        let shorter = vit.img_size[0].min(vit.img_size[1]);
        let pixels = shorter as f64;
        let finest = (pixels / 32.0).max(8.0);
        Self {
            img_size: vit.img_size,
            in_chans: vit.in_chans,
            patch_size: vit.patch_size,
            embed_dim: vit.embed_dim,
            depth: vit.depth,
            num_heads: vit.num_heads,
            mlp_ratio: vit.mlp_ratio,
            layer_norm_eps: vit.layer_norm_eps,
            num_classes,
            channels: 64,
            fc_dim: 256,
            mask_head: true,
            box_size: 7,
            mask_size: 14,
            sampling: 2,
            canonical_level: 4,
            canonical_size: (pixels * 224.0 / 1024.0).max(112.0),
            anchor_sizes: [1.0, 2.0, 4.0, 8.0, 16.0].map(|factor| factor * finest).to_vec(),
            anchor_ratios: vec![0.5, 1.0, 2.0],
            anchor_offset: 0.0,
            rpn_thresholds: [0.3, 0.7],
            rpn_batch_per_image: (shorter / 4).clamp(64, 256),
            rpn_positive_fraction: 0.5,
            roi_threshold: 0.5,
            roi_batch_per_image: (shorter / 2).clamp(32, 512),
            roi_positive_fraction: 0.25,
            pre_nms_train: (2 * shorter).clamp(256, 2000),
            post_nms_train: shorter.clamp(128, 1000),
            pre_nms: shorter.clamp(256, 1000),
            post_nms: shorter.clamp(128, 1000),
            rpn_nms: 0.7,
            score_threshold: 0.05,
            box_nms: 0.5,
            max_detections: 100,
        }
    }

    /// The trunk: whatever is true of its sizes and bounds is true of this.
    #[must_use]
    pub fn vit(&self) -> VitConfig {
        VitConfig {
            img_size: self.img_size,
            in_chans: self.in_chans,
            patch_size: self.patch_size,
            embed_dim: self.embed_dim,
            depth: self.depth,
            num_heads: self.num_heads,
            mlp_ratio: self.mlp_ratio,
            layer_norm_eps: self.layer_norm_eps,
        }
    }

    /// Height and width of `p2 … p6`.
    #[must_use]
    pub fn map_sizes(&self) -> [[usize; 2]; MAPS] {
        let [p2, p3, p4, p5] = levels::sizes(self.img_size);
        [p2, p3, p4, p5, p5.map(|side| side.div_ceil(2))]
    }

    /// Pixels of the image from one pixel of a map to the next, of `p2 … p6`.
    #[must_use]
    pub fn strides(&self) -> [usize; MAPS] {
        let [p2, p3, p4, p5] = levels::STRIDES;
        [p2, p3, p4, p5, 2 * p5]
    }

    /// From which map a region is read: one of `p2` to `p5`.
    #[must_use]
    pub fn level_rule(&self) -> LevelRule {
        LevelRule {
            canonical_level: self.canonical_level,
            canonical_size: self.canonical_size,
            min_level: FINEST,
            max_level: FINEST + levels::LEVELS - 1,
        }
    }

    /// The proposals that regions are sampled from in training.
    #[must_use]
    pub fn training_proposals(&self) -> ProposalConfig {
        ProposalConfig { pre_nms: self.pre_nms_train, post_nms: self.post_nms_train, nms: self.rpn_nms }
    }

    /// The proposals that the heads look at in evaluation.
    #[must_use]
    pub fn proposals(&self) -> ProposalConfig {
        ProposalConfig { pre_nms: self.pre_nms, post_nms: self.post_nms, nms: self.rpn_nms }
    }

    /// The detections that are kept.
    #[must_use]
    pub fn detections(&self) -> DetectionConfig {
        DetectionConfig {
            score_threshold: self.score_threshold,
            nms: self.box_nms,
            max_detections: self.max_detections,
        }
    }

    /// Which object each anchor belongs to.
    #[must_use]
    pub fn anchor_matcher(&self) -> Matcher {
        let [negative_below, positive_from] = self.rpn_thresholds;
        Matcher { negative_below, positive_from, low_quality: true }
    }

    /// Which object each region belongs to.
    #[must_use]
    pub fn region_matcher(&self) -> Matcher {
        Matcher { negative_below: self.roi_threshold, positive_from: self.roi_threshold, low_quality: false }
    }

    /// Pixels in a row and in a column of a mask.
    #[must_use]
    pub fn mask_side(&self) -> usize {
        2 * self.mask_size
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.vit().validate()?;
        self.validate_heads()
    }

    /// As [`DetectorConfig::validate`], without the trunk's own rules.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate_heads(&self) -> Result<()> {
        levels::validate(&self.vit())?;
        for (key, found, most) in [
            ("num_classes", self.num_classes, MAX_CLASSES),
            ("channels", self.channels, MAX_WIDTH),
            ("fc_dim", self.fc_dim, MAX_WIDTH),
            ("box_size", self.box_size, MAX_SIDE),
            ("mask_size", self.mask_size, MAX_SIDE),
            ("rpn_batch_per_image", self.rpn_batch_per_image, MAX_REGIONS),
            ("roi_batch_per_image", self.roi_batch_per_image, MAX_REGIONS),
            ("pre_nms_train", self.pre_nms_train, MAX_REGIONS),
            ("post_nms_train", self.post_nms_train, MAX_REGIONS),
            ("pre_nms", self.pre_nms, MAX_REGIONS),
            ("post_nms", self.post_nms, MAX_REGIONS),
            ("max_detections", self.max_detections, MAX_REGIONS),
        ] {
            in_range(format!("model.{key}"), found, most)?;
        }
        if self.sampling > MAX_SAMPLES {
            return Err(Error::setting("model.sampling", format!("0 to {MAX_SAMPLES}"), self.sampling));
        }
        let regions = FINEST..FINEST + levels::LEVELS;
        if !regions.contains(&self.canonical_level) {
            let why = format!("{} to {}, one of the maps p2 to p5", regions.start, regions.end - 1);
            return Err(Error::setting("model.canonical_level", why, self.canonical_level));
        }
        if self.anchor_sizes.len() != MAPS {
            let why = format!("{MAPS} sizes, one for each of the maps p2 to p6");
            return Err(Error::setting("model.anchor_sizes", why, format!("{:?}", self.anchor_sizes)));
        }
        in_range("model.anchor_ratios", self.anchor_ratios.len(), MAX_RATIOS)?;
        self.validate_numbers()?;
        check_parameters(self.parameters())
    }

    fn validate_numbers(&self) -> Result<()> {
        let within = |key: &str, range: RangeInclusive<f64>, found: f64| {
            if range.contains(&found) {
                return Ok(());
            }
            let why = format!("{} to {}", range.start(), range.end());
            Err(Error::setting(format!("model.{key}"), why, found))
        };
        let (pixels, factor, fraction) = (1e-3..=MAX_PIXELS, 1e-3..=1e3, 0.0..=1.0);
        within("canonical_size", pixels.clone(), self.canonical_size)?;
        self.anchor_sizes.iter().try_for_each(|&size| within("anchor_sizes", pixels.clone(), size))?;
        self.anchor_ratios.iter().try_for_each(|&ratio| within("anchor_ratios", factor.clone(), ratio))?;
        for (key, found) in [
            ("anchor_offset", self.anchor_offset),
            ("rpn_thresholds", self.rpn_thresholds[0]),
            ("rpn_thresholds", self.rpn_thresholds[1]),
            ("rpn_positive_fraction", self.rpn_positive_fraction),
            ("roi_threshold", self.roi_threshold),
            ("roi_positive_fraction", self.roi_positive_fraction),
            ("rpn_nms", self.rpn_nms),
            ("score_threshold", self.score_threshold),
            ("box_nms", self.box_nms),
        ] {
            within(key, fraction.clone(), found)?;
        }
        let [background, object] = self.rpn_thresholds;
        if background > object {
            let why = "the background's first, which is not above that of objects";
            return Err(Error::setting("model.rpn_thresholds", why, format!("{:?}", self.rpn_thresholds)));
        }
        Ok(())
    }
}
