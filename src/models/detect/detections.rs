//! Detections: from an image's regions, their class logits and their deltas to scored boxes.

use super::boxes::{BBox, BOX_WEIGHTS, clip, decode};
use super::nms::nms;
use crate::base::Real;
use ndarray::{ArrayView1, ArrayView2};

/// Which are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectionConfig {
    /// Those with a larger score.
    pub score_threshold: f64,
    /// The overlap above which the worse of two of one class goes.
    pub nms: f64,
    /// The best of an image.
    pub max_detections: usize,
}

/// An object that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection<F> {
    /// Inside the image.
    pub bbox: BBox<F>,
    /// The class's probability.
    pub score: F,
    /// Below `K`.
    pub class: usize,
    /// The region that it comes from.
    pub region: usize,
}

/// The detections of an image of `size = [H, W]`, the best first, equal ones by region and class.
///
/// `logits: [R, K + 1]`, background last; `deltas: [R, 4K]`, class by class. A region may be detected as several classes.
///
/// # Panics
/// If there are not a row of logits and one of deltas for each region.
pub fn detections<F: Real>(
    regions: &[BBox<F>],
    logits: ArrayView2<F>,
    deltas: ArrayView2<F>,
    size: [usize; 2],
    config: &DetectionConfig,
) -> Vec<Detection<F>> {
    let classes = deltas.ncols() / 4;
    assert_eq!(
        logits.dim(),
        (regions.len(), classes + 1),
        "logits of every region and class, and background"
    );
    assert_eq!(deltas.dim(), (regions.len(), 4 * classes), "deltas of every region and class");
    let mut found = Vec::new();
    for (region, &from) in regions.iter().enumerate() {
        let scores = softmax(logits.row(region));
        for (class, &score) in scores[..classes].iter().enumerate() {
            if score > F::of(config.score_threshold) {
                let moved = [0, 1, 2, 3].map(|i| deltas[(region, 4 * class + i)]);
                let bbox = clip(decode(moved, from, BOX_WEIGHTS), size);
                found.push(Detection { bbox, score, class, region });
            }
        }
    }
    let boxes: Vec<_> = found.iter().map(|detection| detection.bbox).collect();
    let scores: Vec<_> = found.iter().map(|detection| detection.score).collect();
    let of_class: Vec<_> = found.iter().map(|detection| detection.class).collect();
    let kept = nms(&boxes, &scores, Some(&of_class), config.nms);
    kept.into_iter().take(config.max_detections).map(|i| found[i]).collect()
}

/// `e^(z − max z) / Σ`.
fn softmax<F: Real>(logits: ArrayView1<F>) -> Vec<F> {
    let max = logits.fold(F::neg_infinity(), |max, &z| max.max(z));
    let powers: Vec<F> = logits.iter().map(|&z| (z - max).exp()).collect();
    let total: F = powers.iter().copied().sum();
    powers.into_iter().map(|power| power / total).collect()
}
