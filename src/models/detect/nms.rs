//! Non-maximum suppression: of boxes that overlap, only the one with the best score stays.

use super::boxes::{BBox, iou};
use super::order::descending;
use crate::base::Real;

/// The boxes that stay, by descending score, equal scores by ascending position. A box goes if its overlap with one that stays
/// and has a better score is *larger* than the threshold. With `classes` only boxes of the same class suppress each other.
///
/// # Panics
/// If there is not a score, and a class, for each box.
#[must_use]
pub fn nms<F: Real>(
    boxes: &[BBox<F>],
    scores: &[F],
    classes: Option<&[usize]>,
    threshold: f64,
) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "a score for each box");
    assert!(classes.is_none_or(|classes| classes.len() == boxes.len()), "a class for each box");
    let same_class = |a: usize, b: usize| classes.is_none_or(|classes| classes[a] == classes[b]);
    let mut kept: Vec<usize> = Vec::new();
    for candidate in descending(scores) {
        let suppresses = |&better: &usize| {
            same_class(better, candidate) && iou(boxes[better], boxes[candidate]).f64() > threshold
        };
        if !kept.iter().any(suppresses) {
            kept.push(candidate);
        }
    }
    kept
}
