//! COCO's evaluation of detections: average precision and recall, exactly as `pycocotools` computes them.
//!
//! Reading order: [`protocol`] (at which overlaps, of which sizes) → `matching` (which detection finds which object) →
//! [`evaluation`] (from matches to precision at each recall, and the twelve figures) → [`choice`] (of some of the images) → [`errors`] (what went wrong where none was
//! found) → [`results`] (detections as a file). Golden: `tests/golden/cocoeval_v.json`.

use crate::data::Instance;
use crate::data::rle::Rle;

pub mod choice;
pub mod errors;
pub mod evaluation;
mod matching;
pub mod protocol;
pub mod results;
mod told;

pub use choice::Matches;
pub use errors::{ErrorCounts, count_errors};
pub use evaluation::{Evaluation, FIGURES, evaluate};
pub use protocol::Protocol;

/// An object that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `[x, y, w, h]`: the upper left corner, width and height, in pixels.
    pub bbox: [f64; 4],
    /// A position in the data's classes.
    pub class: usize,
    /// Its pixels; needed where masks are compared.
    pub mask: Option<Rle>,
    /// Whether it is a crowd: whatever lies in it is neither right nor wrong, and nobody has to find it.
    pub crowd: bool,
    /// As annotated, in pixels; says whether it is small, medium or large.
    pub area: f64,
}

/// An object that a model sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// `[x, y, w, h]`, in pixels.
    pub bbox: [f64; 4],
    /// How sure the model is; higher is surer. Never NaN.
    pub score: f64,
    /// A position in the data's classes.
    pub class: usize,
    /// Its pixels; needed where masks are compared.
    pub mask: Option<Rle>,
}

/// What is there and what a model sees in one image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageResult {
    /// The image's number. Where scores are equal, detections of lower numbers come first.
    pub id: u64,
    /// All objects, in the order of the annotations.
    pub objects: Vec<Object>,
    /// All detections, in any order but for those of equal scores.
    pub detections: Vec<Detection>,
}

/// What has to overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Boxes: COCO's task "bbox".
    Boxes,
    /// Masks: COCO's task "segm".
    Masks,
}

/// `[x, y, w, h]` of `[x1, y1, x2, y2]`.
#[must_use]
pub fn corner_and_size([x1, y1, x2, y2]: [f64; 4]) -> [f64; 4] {
    [x1, y1, x2 - x1, y2 - y1]
}

impl From<&Instance> for Object {
    fn from(object: &Instance) -> Self {
        Self {
            bbox: corner_and_size(object.bbox),
            class: object.class,
            mask: object.mask.clone(),
            crowd: object.crowd,
            area: object.area,
        }
    }
}

impl Overlap {
    /// The box that is compared: as given, or around the mask.
    fn bbox(self, given: [f64; 4], pixels: Option<&Rle>) -> [f64; 4] {
        match self {
            Self::Boxes => given,
            Self::Masks => mask(pixels).bbox(),
        }
    }

    /// A detection's area in pixels.
    fn area(self, detection: &Detection) -> f64 {
        match self {
            Self::Boxes => detection.bbox[2] * detection.bbox[3],
            Self::Masks => mask(detection.mask.as_ref()).area() as f64,
        }
    }
}

fn mask(mask: Option<&Rle>) -> &Rle {
    mask.expect("a mask of each object and detection, where masks are compared")
}
