//! Proposals: from an image's objectness and deltas of all anchors to the regions that the heads look at.

use super::boxes::{BBox, RPN_WEIGHTS, clip, decode};
use super::nms::nms;
use super::order::descending;
use crate::base::Real;

/// How many, and how far apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProposalConfig {
    /// Anchors of a level that are looked at, those of the best logits.
    pub pre_nms: usize,
    /// Proposals of an image.
    pub post_nms: usize,
    /// The overlap above which the worse of two goes.
    pub nms: f64,
}

/// A region that may hold an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal<F> {
    /// Inside the image, and not empty.
    pub bbox: BBox<F>,
    /// How sure the network is that it does.
    pub logit: F,
    /// The anchor that it comes from.
    pub anchor: usize,
}

/// The proposals of an image of `size = [H, W]`, the best first. Each level has its `logits: [H_l·W_l·A]` and its
/// `deltas: [H_l·W_l·A·4]`, in the anchors' order; boxes of one level alone suppress each other.
///
/// # Panics
/// If there are not a logit and four deltas for each anchor.
pub fn proposals<F: Real>(
    logits: &[&[F]],
    deltas: &[&[F]],
    anchors: &[BBox<F>],
    size: [usize; 2],
    config: &ProposalConfig,
) -> Vec<Proposal<F>> {
    assert_eq!(logits.iter().map(|level| level.len()).sum::<usize>(), anchors.len(), "a logit an anchor");
    let (mut found, mut levels, mut first) = (Vec::new(), Vec::new(), 0);
    for (level, (logits, deltas)) in logits.iter().zip(deltas).enumerate() {
        let (deltas, rest) = deltas.as_chunks::<4>();
        assert!(deltas.len() == logits.len() && rest.is_empty(), "four deltas for each of {}", logits.len());
        for i in descending(logits).into_iter().take(config.pre_nms) {
            let bbox = clip(decode(deltas[i], anchors[first + i], RPN_WEIGHTS), size);
            let [x1, y1, x2, y2] = bbox;
            if x1 < x2 && y1 < y2 {
                found.push(Proposal { bbox, logit: logits[i], anchor: first + i });
                levels.push(level);
            }
        }
        first += logits.len();
    }
    let boxes: Vec<_> = found.iter().map(|proposal| proposal.bbox).collect();
    let logits: Vec<_> = found.iter().map(|proposal| proposal.logit).collect();
    let kept = nms(&boxes, &logits, Some(&levels), config.nms);
    kept.into_iter().take(config.post_nms).map(|i| found[i]).collect()
}
