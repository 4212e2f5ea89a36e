//! The losses of the region proposal network, on the sampled anchors alone.

use super::anchor_table::AnchorTable;
use super::boxes::{RPN_WEIGHTS, encode};
use super::losses::{bce, smooth_l1};
use super::rpn_head::RpnOutput;
use super::samples::{DetectLosses, ImageSamples};
use crate::base::Real;
use crate::exec::Exec;
use ndarray::Array2;

/// `Σ` BCE of the sampled anchors' objectness and `Σ |deltas − target|` of those that have an object, both times `scale`, added to
/// `losses`; and the gradient, 0 for every anchor that was not sampled.
///
/// # Panics
/// If there is no such anchor.
pub fn rpn_losses<F: Real>(
    output: &RpnOutput<F>,
    anchors: &AnchorTable<F>,
    samples: &[ImageSamples<F>],
    scale: f64,
    losses: &mut DetectLosses,
    cx: &mut Exec<F>,
) -> RpnOutput<F> {
    let mut doutput = output.zeros_like(cx);
    for (image, sample) in
        samples.iter().enumerate().flat_map(|(i, of)| of.anchors.iter().map(move |sample| (i, sample)))
    {
        let (map, number) = anchors.place(image, sample.anchor);
        let label = if sample.object.is_some() { F::one() } else { F::zero() };
        let logit = flat(&output.objectness[map])[number];
        let (loss, slope) = bce(&[logit], &[label], F::of(scale));
        losses.rpn_cls += scale * loss;
        flat_mut(&mut doutput.objectness[map])[number] += slope[0];
        let Some(object) = sample.object else { continue };
        let target = encode(anchors.boxes[sample.anchor], object, RPN_WEIGHTS);
        let four = 4 * number..4 * number + 4;
        let deltas = &flat(&output.deltas[map])[four.clone()];
        let (loss, slopes) = smooth_l1(deltas, &target, 0.0, F::of(scale));
        losses.rpn_box += scale * loss;
        let dfour = &mut flat_mut(&mut doutput.deltas[map])[four];
        dfour.iter_mut().zip(slopes).for_each(|(d, slope)| *d += slope);
    }
    doutput
}

fn flat<F>(map: &Array2<F>) -> &[F] {
    map.as_slice().expect("activations are row-major")
}

fn flat_mut<F>(map: &mut Array2<F>) -> &mut [F] {
    map.as_slice_mut().expect("activations are row-major")
}
