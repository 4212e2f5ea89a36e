//! The shapes of the checks: small, with no two sizes alike, so that a transposed shape cannot pass.

use crate::audit::gradcheck::GradCheck;
use crate::models::mae::masking::Masking;
use crate::models::mae::{MaeConfig, Mask, Strategy};
use crate::params::{Params, Role};
use ndarray::{Array, Array4, Dimension, ShapeBuilder};

/// Images in a check.
pub(super) const IMAGES: usize = 3;

/// Non-square images of 2 × 3 patches; encoder and decoder differ in width, heads and hidden width.
pub(super) fn config(in_chans: usize, norm_pix_loss: bool) -> MaeConfig {
    let config = MaeConfig {
        img_size: [4, 6],
        in_chans,
        patch_size: 2,
        embed_dim: 12,
        depth: 2,
        num_heads: 3,
        decoder_embed_dim: 8,
        decoder_depth: 2,
        decoder_num_heads: 2,
        mlp_ratio: 1.5,
        layer_norm_eps: 1e-6,
        norm_pix_loss,
    };
    config.validate().expect("a possible model");
    config
}

/// A different random mask for each image.
pub(super) fn masks() -> Vec<Mask> {
    let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.6, grid: (2, 3) };
    (0..IMAGES as u64).map(|sample| masking.mask(5, 1, sample)).collect()
}

pub(super) fn removed(masks: &[Mask]) -> usize {
    masks.iter().map(Mask::removed).sum()
}

pub(super) fn images(check: &GradCheck, c: &MaeConfig) -> Array4<f64> {
    random(check, (IMAGES, c.in_chans, c.img_size[0], c.img_size[1]))
}

/// Position tables are not trained in pre-training.
pub(super) fn positions_fixed(check: &GradCheck) -> GradCheck {
    GradCheck { fixed: &[Role::Position], ..check.clone() }
}

/// For functions that are cheap enough.
pub(super) fn every_element(check: &GradCheck) -> GradCheck {
    GradCheck { elements: usize::MAX, ..check.clone() }
}

pub(super) fn filled<P: Params<f64>>(check: &GradCheck, mut layer: P) -> P {
    check.fill(&mut layer, -1.0..1.0);
    layer
}

pub(super) fn random<D: Dimension>(check: &GradCheck, shape: impl ShapeBuilder<Dim = D>) -> Array<f64, D> {
    let mut array = Array::zeros(shape);
    check.fill_array(&mut array, -1.0..1.0);
    array
}
