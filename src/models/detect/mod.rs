//! Detection with masks (He et al. 2017, "Mask R-CNN") on a plain ViT (Li et al. 2022): the operations on boxes, regions and
//! masks, the networks that are made of them, losses and inference.
//!
//! A step has two halves, since what is sampled depends on what the network proposes: [`Detector::forward`] and
//! [`Detector::proposals`], then, with the whole batch's denominators, [`Detector::loss_and_gradient`].

pub mod anchor_table;
pub mod anchors;
pub mod box_head;
pub mod boxes;
pub mod config;
mod cost;
pub mod detections;
mod detector;
pub mod flatten;
pub mod fpn;
mod infer;
pub mod levels;
pub mod losses;
pub mod mask_head;
pub mod mask_target;
pub mod matcher;
pub mod nms;
pub mod order;
pub mod paste;
pub mod proposals;
pub mod region_convs;
pub mod region_heads;
pub mod region_losses;
pub mod region_reader;
pub mod roi_align;
pub mod rpn_head;
pub mod rpn_loss;
pub mod samples;
pub mod sampling;
mod step;

pub use config::DetectorConfig;
pub use detector::{Detector, Forward};
pub use infer::Instance;
pub use samples::{AnchorSample, Denominators, DetectLosses, ImageSamples, RegionObject, RegionSample};
pub use step::LossCache;
