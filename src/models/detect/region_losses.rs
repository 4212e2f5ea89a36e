//! The losses of both heads on the sampled regions.

use super::box_head::BoxOutput;
use super::boxes::{BOX_WEIGHTS, encode};
use super::losses::{bce, smooth_l1};
use super::samples::{DetectLosses, RegionObject, RegionSample};
use crate::base::Real;
use crate::exec::Exec;
use crate::models::classify::cross_entropy;
use ndarray::{Array2, s};

/// `Σ` cross-entropy of the regions' classes and `Σ |deltas − target|` of those that have an object, in the four deltas of its
/// class, both over `denominator`, added to `losses`; and the gradient.
pub fn box_losses<F: Real>(
    output: &BoxOutput<F>,
    regions: &[&RegionSample<F>],
    denominator: usize,
    losses: &mut DetectLosses,
    cx: &mut Exec<F>,
) -> BoxOutput<F> {
    let background = output.scores.ncols() - 1;
    let class = |region: &&RegionSample<F>| region.object.as_ref().map_or(background, |object| object.class);
    let classes: Vec<usize> = regions.iter().map(class).collect();
    let targets = cross_entropy::targets(&classes, output.scores.ncols(), 0.0);
    losses.cls += cross_entropy::sum(&output.scores, &targets) / denominator as f64;
    let mut scores = cx.take(output.scores.nrows(), output.scores.ncols());
    scores.assign(&cross_entropy::backward(&output.scores, &targets, denominator));

    let mut deltas = cx.zeros(output.deltas.nrows(), output.deltas.ncols());
    for (r, region) in regions.iter().enumerate() {
        let Some(object) = &region.object else { continue };
        let target = encode(region.bbox, object.bbox, BOX_WEIGHTS);
        let four = s![r, 4 * object.class..4 * object.class + 4];
        let found = output.deltas.slice(four).to_vec();
        let (loss, slopes) = smooth_l1(&found, &target, 0.0, F::of(1.0 / denominator as f64));
        losses.bbox += loss / denominator as f64;
        deltas.slice_mut(four).iter_mut().zip(slopes).for_each(|(d, slope)| *d = slope);
    }
    BoxOutput { scores, deltas }
}

/// `Σ` BCE of the masks `logits: [F·S·S, K]` in the channel of each object's class over `denominator · S·S`, added to `losses`;
/// and the gradient.
pub fn mask_loss<F: Real>(
    logits: &Array2<F>,
    objects: &[&RegionObject<F>],
    denominator: usize,
    losses: &mut DetectLosses,
    cx: &mut Exec<F>,
) -> Array2<F> {
    let mut dlogits = cx.zeros(logits.nrows(), logits.ncols());
    let cells = logits.nrows() / objects.len();
    let scale = 1.0 / (denominator * cells) as f64;
    for (f, object) in objects.iter().enumerate() {
        let channel = s![f * cells..(f + 1) * cells, object.class];
        let target = object.mask.as_slice().expect("in standard layout");
        let (loss, slopes) = bce(&logits.slice(channel).to_vec(), target, F::of(scale));
        losses.mask += scale * loss;
        dlogits.slice_mut(channel).iter_mut().zip(slopes).for_each(|(d, slope)| *d = slope);
    }
    dlogits
}
