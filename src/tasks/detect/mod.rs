//! Detection: boxes, classes and masks of the objects in an image.

pub mod coco;
