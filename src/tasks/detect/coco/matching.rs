//! Which detection finds which object: the surest detection chooses first, and takes the object that it overlaps most.
//!
//! An object that does not count (a crowd, or one of another size) is taken only if no other fits; its detection then counts
//! neither as right nor as wrong. Crowds can be taken many times. Of two objects that are overlapped alike the later is taken.

use ndarray::Array2;

use super::{Detection, ImageResult, Object, Overlap, mask};
use crate::data::rle::box_iou;

/// What one image has of one class.
pub(super) struct Group<'a> {
    pub(super) objects: Vec<&'a Object>,
    /// The surest first, at most so many as count.
    pub(super) detections: Vec<&'a Detection>,
    /// Overlaps `[detections, objects]`.
    pub(super) ious: Array2<f64>,
}

impl<'a> Group<'a> {
    /// With at most `most` detections.
    pub(super) fn new(image: &'a ImageResult, class: usize, overlap: Overlap, most: usize) -> Self {
        let objects: Vec<_> = image.objects.iter().filter(|object| object.class == class).collect();
        let detections = surest(image.detections.iter().filter(|found| found.class == class), most);
        let ious = ious(&detections, &objects, overlap);
        Self { objects, detections, ious }
    }

    /// The object that each detection takes at a threshold, where those marked `ignored` do not count.
    pub(super) fn matched(&self, ignored: &[bool], threshold: f64) -> Vec<Option<usize>> {
        let counting = (0..ignored.len()).filter(|&at| !ignored[at]);
        let order: Vec<usize> = counting.chain((0..ignored.len()).filter(|&at| ignored[at])).collect();
        let mut taken = vec![false; order.len()];
        let match_of = |row: ndarray::ArrayView1<f64>| {
            let (mut best, mut found) = (threshold.min(1.0 - 1e-10), None::<usize>);
            for &at in &order {
                if taken[at] && !self.objects[at].crowd {
                    continue;
                }
                if ignored[at] && found.is_some_and(|found| !ignored[found]) {
                    break;
                }
                if row[at] >= best {
                    (best, found) = (row[at], Some(at));
                }
            }
            found.inspect(|&found| taken[found] = true)
        };
        self.ious.rows().into_iter().map(match_of).collect()
    }
}

/// At most `most` detections, the surest first.
pub(super) fn surest<'a>(all: impl Iterator<Item = &'a Detection>, most: usize) -> Vec<&'a Detection> {
    let mut sorted: Vec<_> = all.collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    sorted.truncate(most);
    sorted
}

/// Overlaps `[detections, objects]`.
pub(super) fn ious(detections: &[&Detection], objects: &[&Object], overlap: Overlap) -> Array2<f64> {
    let found: Vec<[f64; 4]> =
        detections.iter().map(|found| overlap.bbox(found.bbox, found.mask.as_ref())).collect();
    let there: Vec<[f64; 4]> =
        objects.iter().map(|object| overlap.bbox(object.bbox, object.mask.as_ref())).collect();
    Array2::from_shape_fn((found.len(), there.len()), |(d, o)| {
        let of_boxes = box_iou(found[d], there[o], objects[o].crowd);
        match overlap {
            // Masks of boxes that do not meet need not be compared.
            Overlap::Masks if of_boxes > 0.0 => {
                mask(detections[d].mask.as_ref()).iou(mask(objects[o].mask.as_ref()), objects[o].crowd)
            }
            _ => of_boxes,
        }
    })
}
