//! Dot-product tests: `⟨Ax, y⟩ = ⟨x, Aᵀy⟩` for the linear maps that only move elements, to 1e-12.

use super::shapes::{IMAGES, config, filled, masks, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::{Report, Row};
use crate::exec::{Backend, Exec};
use crate::models::mae::patchify::{patchify, unpatchify};
use crate::models::mae::{Decoder, Encoder};
use crate::params::Params;
use ndarray::Array4;

/// Rounding of a sum of products in another order.
const TOLERANCE: f64 = 1e-12;

/// The two sides, relative to the number of terms, each of order 1.
pub(super) fn agree(of: &str, terms: usize, left: f64, right: f64) -> Report {
    let tensor = format!("⟨{of} x, y⟩ = ⟨x, {of}ᵀ y⟩");
    let row =
        Row { tensor, checked: 1, of: 1, largest: left.abs(), error: (left - right).abs() / terms as f64 };
    Report { tolerance: TOLERANCE, step: None, rows: vec![row] }
}

/// A check with other random numbers.
pub(super) fn other(check: &GradCheck, stream: u64) -> GradCheck {
    GradCheck { seed: check.seed.wrapping_mul(7).wrapping_add(stream), ..check.clone() }
}

pub(super) fn patchify_adjoint(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let images: Array4<f64> = random(check, (2, 5, 6, 9));
    let y = random(&other(check, 1), (2 * 6, 45));
    let left = (&patchify(images.view(), 3, cx) * &y).sum();
    let right = (&images * &unpatchify(y.view(), (5, 6, 9), 3)).sum();
    agree("patchify", images.len(), left, right)
}

pub(super) fn tokens(check: &GradCheck) -> Report {
    let (config, masks, cx) = (config(3, false), masks(), &mut Exec::new(Backend::default()));
    let mut vit = filled(check, Encoder::<f64>::new(&config.vit()).vit);
    // Linear in patches and class token once the class token's position, a constant, is 0.
    vit.pos_embed.fill(0.0);
    let patches = random(&other(check, 2), (IMAGES * config.num_patches(), config.embed_dim));
    let y = random(&other(check, 3), (IMAGES * (1 + masks[0].len_keep), config.embed_dim));
    let (mut grad, keep) = (vit.zeros_like(), |b: usize| masks[b].ids_keep());
    let left = (&vit.tokens(&patches, keep, cx) * &y).sum();
    let dpatches = vit.tokens_backward(y.view(), keep, &mut grad, cx);
    let right = (&patches * &dpatches).sum() + (&vit.cls_token * &grad.cls_token).sum();
    agree("keep", y.len(), left, right)
}

pub(super) fn unshuffle(check: &GradCheck) -> Report {
    let (config, masks, cx) = (config(3, false), masks(), &mut Exec::new(Backend::default()));
    let (decoder, width) = (filled(check, Decoder::<f64>::new(&config)), config.decoder_embed_dim);
    let x = random(&other(check, 4), (IMAGES * (1 + masks[0].len_keep), width));
    let y = random(&other(check, 5), (IMAGES * (1 + config.num_patches()), width));
    let mut grad = decoder.zeros_like();
    let left = (&decoder.unshuffle(&x, &masks, cx) * &y).sum();
    let dx = Decoder::unshuffle_backward(&y, &masks, &mut grad, cx);
    let right = (&x * &dx).sum() + (&decoder.mask_token * &grad.mask_token).sum();
    agree("unshuffle", y.len(), left, right)
}
