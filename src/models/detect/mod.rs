//! Detection with masks (He et al. 2017, "Mask R-CNN"): the operations on boxes, regions and masks that its networks,
//! losses and inference are made of.

pub mod anchors;
pub mod boxes;
pub mod detections;
pub mod levels;
pub mod losses;
pub mod mask_target;
pub mod matcher;
pub mod nms;
pub mod order;
pub mod paste;
pub mod proposals;
pub mod roi_align;
pub mod sampling;
