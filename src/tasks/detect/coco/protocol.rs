//! What COCO's figures are taken over: overlaps, sizes of objects, numbers of detections.

use crate::data::target::{MEDIUM, SMALL};

/// The recalls at which precision is read: 0, 0.01, …, 1.
pub const RECALLS: usize = 101;

/// Sizes in pixels: all, small, medium, large. Both ends belong to a range.
pub const AREA_RANGES: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, SMALL], [SMALL, MEDIUM], [MEDIUM, 1e10]];

/// How detections are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// Overlaps from which on a detection has found an object; COCO's are 0.5, 0.55, …, 0.95.
    pub iou_thresholds: Vec<f64>,
    /// Sizes of objects: all, small, medium, large.
    pub area_ranges: [[f64; 2]; 4],
    /// How many of the surest detections count, for each class of each image, ascending; precision is taken at the last.
    pub max_dets: [usize; 3],
}

impl Default for Protocol {
    /// COCO's own.
    fn default() -> Self {
        Self { iou_thresholds: evenly(0.5, 0.95, 10), area_ranges: AREA_RANGES, max_dets: [1, 10, 100] }
    }
}

/// The recall at each position.
pub(super) fn recalls() -> Vec<f64> {
    evenly(0.0, 1.0, RECALLS)
}

/// As numpy's `linspace`, to the bit: an overlap that is exactly a threshold reaches it.
fn evenly(first: f64, last: f64, number: usize) -> Vec<f64> {
    let step = (last - first) / (number - 1) as f64;
    let mut values: Vec<f64> = (0..number).map(|i| i as f64 * step + first).collect();
    values[number - 1] = last;
    values
}
