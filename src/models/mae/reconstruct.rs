//! From a prediction back to an image, which under `norm_pix_loss` needs each patch's mean and spread.

use super::config::MaeConfig;
use super::loss::patch_stats;
use super::masking::Mask;
use super::patchify::unpatchify;
use crate::base::Real;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Where a removed patch's mean and spread come from when the prediction is in normalised units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Stats {
    /// Interpolated from the visible patches: honest, nothing hidden is used.
    #[default]
    Visible,
    /// From the true patch: leaks the answer's colour and contrast into the picture.
    Oracle,
}

/// The images of one reconstruction, in the units of the model's input, `[C, H, W]` each.
pub struct Reconstruction<F> {
    /// The prediction in every patch, visible ones included.
    pub prediction: Array3<F>,
    /// The prediction in the removed patches, the original elsewhere.
    pub pasted: Array3<F>,
}

/// Builds the images of one sample from its prediction and its raw patches, both `[L, P]`.
pub fn reconstruct<F: Real>(
    config: &MaeConfig,
    pred: ArrayView2<F>,
    pixels: ArrayView2<F>,
    mask: &Mask,
    stats: Stats,
) -> Reconstruction<F> {
    let mut prediction = pred.to_owned();
    if config.norm_pix_loss {
        let statistics = patch_statistics(config, pixels, mask, stats);
        for (mut patch, &(mean, std)) in prediction.outer_iter_mut().zip(&statistics) {
            patch.mapv_inplace(|x| x * std + mean);
        }
    }
    let mut pasted = prediction.clone();
    for &l in mask.ids_keep() {
        pasted.row_mut(l).assign(&pixels.row(l));
    }
    let shape = (config.in_chans, config.img_size[0], config.img_size[1]);
    let image = |patches: Array2<F>| -> Array3<F> {
        let image = unpatchify(patches.view(), shape, config.patch_size);
        image.index_axis_move(Axis(0), 0)
    };
    Reconstruction { prediction: image(prediction), pasted: image(pasted) }
}

/// `(mean, √(variance + ε))` of each patch: its own where it is visible or with [`Stats::Oracle`],
/// otherwise the average over the visible patches, weighted by the inverse square of the distance.
fn patch_statistics<F: Real>(
    config: &MaeConfig,
    pixels: ArrayView2<F>,
    mask: &Mask,
    stats: Stats,
) -> Vec<(F, F)> {
    let columns = config.grid().1;
    let own: Vec<(F, F)> = pixels.outer_iter().map(|patch| patch_stats(&patch.to_vec())).collect();
    let interpolated = |l: usize| {
        let (mut mean, mut std, mut total) = (F::zero(), F::zero(), F::zero());
        for &visible in mask.ids_keep() {
            let rows = (l / columns).abs_diff(visible / columns) as f64;
            let across = (l % columns).abs_diff(visible % columns) as f64;
            let weight = F::of(1.0 / (rows * rows + across * across));
            mean += weight * own[visible].0;
            std += weight * own[visible].1;
            total += weight;
        }
        (mean / total, std / total)
    };
    let one = |l: usize| if stats == Stats::Oracle || !mask.removes(l) { own[l] } else { interpolated(l) };
    (0..own.len()).map(one).collect()
}
