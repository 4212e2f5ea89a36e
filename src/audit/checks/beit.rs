//! BEiT-style pre-training: gradients and formulas of the mask token, the head on masked rows and the whole; the adjoint of
//! what replaces.

use super::adjoints;
use super::formulas::{agree, all};
use super::shapes::{IMAGES, config, every_element, filled, images, positions_fixed, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::models::beit::mask_token::MaskToken;
use crate::models::beit::masked_head::{MaskedHead, rows_of_masked};
use crate::models::beit::{Beit, BeitConfig};
use crate::params::Params;
use ndarray::{Array2, Array4};

const VOCABULARY: usize = 7;
const PATCHES: usize = 6;
const TOKENS: usize = 1 + PATCHES;

/// Of the batch that these three images are a part of: they have four.
const MASKED_IN_BATCH: usize = 9;

/// Three patches of the first image, none of the second, the first of the third.
fn masked() -> Vec<bool> {
    [[0, 1, 0, 0, 1, 1], [0; PATCHES], [1, 0, 0, 0, 0, 0]].concat().into_iter().map(|m| m == 1).collect()
}

fn ids() -> Vec<usize> {
    (0..IMAGES * PATCHES).map(|patch| (patch * patch + 2 * patch + 3) % VOCABULARY).collect()
}

fn model(check: &GradCheck) -> Beit<f64> {
    let config = BeitConfig { vit: config(3, false).vit(), vocab_size: VOCABULARY };
    config.validate().expect("a possible model");
    filled(check, Beit::new(&config))
}

pub(super) fn mask_token_gradient(check: &GradCheck) -> Report {
    every_element(check).layer(
        &filled(check, MaskToken::new(5)),
        &random(check, (IMAGES * PATCHES, 5)),
        |mask, x, _| (mask.forward(x.clone(), &masked()), ()),
        |_, (), dy, grad, _| MaskToken::backward(&masked(), dy.clone(), grad),
    )
}

/// `patch · (1 − w) + mask_token · w`.
pub(super) fn mask_token_formula(check: &GradCheck) -> Report {
    let (mask, x) = (filled(check, MaskToken::new(5)), random(check, (IMAGES * PATCHES, 5)));
    let formula = x.indexed_iter().map(|((row, d), x)| {
        let w = f64::from(u8::from(masked()[row]));
        x * (1.0 - w) + mask.mask_token[(0, 0, d)] * w
    });
    agree("patch (1 − w) + mask_token w", &mask.forward(x.clone(), &masked()), formula)
}

/// Linear in patches and mask token.
pub(super) fn mask_token_adjoint(check: &GradCheck) -> Report {
    let mask = filled(check, MaskToken::<f64>::new(5));
    let x: Array2<f64> = random(&adjoints::other(check, 6), (IMAGES * PATCHES, 5));
    let y: Array2<f64> = random(&adjoints::other(check, 7), (IMAGES * PATCHES, 5));
    let mut grad = mask.zeros_like();
    let left = (&mask.forward(x.clone(), &masked()) * &y).sum();
    let dx = MaskToken::backward(&masked(), y.clone(), &mut grad);
    let right = (&x * &dx).sum() + (&mask.mask_token * &grad.mask_token).sum();
    adjoints::agree("replace", y.len(), left, right)
}

pub(super) fn head_gradient(check: &GradCheck) -> Report {
    every_element(check).layer(
        &filled(check, MaskedHead::new(5, VOCABULARY)),
        &random(check, (IMAGES * TOKENS, 5)),
        |head, x, cx| head.forward(x.clone(), Some(&rows_of_masked(&masked(), TOKENS)), cx),
        |head, cache, dy, grad, cx| head.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn head_formula(check: &GradCheck) -> Report {
    let (head, x) = (filled(check, MaskedHead::new(5, VOCABULARY)), random(check, (IMAGES * TOKENS, 5)));
    let rows = rows_of_masked(&masked(), TOKENS);
    let logits = head.forward(x.clone(), Some(&rows), &mut Exec::new(Backend::default())).0;
    agree("W x + b of masked patches", &logits, logits_of(&head, &x))
}

/// Image by image, patch by patch, those that are masked.
fn logits_of(head: &MaskedHead<f64>, x: &Array2<f64>) -> Vec<f64> {
    let mut logits = Vec::new();
    for (image, masked) in masked().chunks(PATCHES).enumerate() {
        for patch in (0..PATCHES).filter(|&patch| masked[patch]) {
            for v in 0..VOCABULARY {
                let products =
                    (0..x.ncols()).map(|d| head.lm_head.weight[(v, d)] * x[(image * TOKENS + 1 + patch, d)]);
                logits.push(head.lm_head.bias[v] + products.sum::<f64>());
            }
        }
    }
    logits
}

/// The whole, a part of a larger batch; and the gradient of the images, of which nothing but visible patches have one.
pub(super) fn gradient(check: &GradCheck) -> Report {
    let (masked, ids) = (masked(), ids());
    positions_fixed(check).loss(
        &model(check),
        &images(check, &config(3, false)),
        |beit, images, cx| {
            let (output, cache) = beit.forward(images.view(), &masked, &ids, cx);
            (output.loss_sum / MASKED_IN_BATCH as f64, (output, cache))
        },
        |beit, (output, cache), grad, cx| {
            let dpatches = beit.backward(cache, &output, &masked, MASKED_IN_BATCH, grad, cx);
            beit.vit.images_gradient(&dpatches, cx)
        },
    )
}

/// Replaced, then class token and positions, blocks, norm, head, `Σ −log softmax` at the masked patches' tokens. Parts have
/// checks of their own.
pub(super) fn formula(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let (beit, images): (_, Array4<f64>) = (model(check), images(check, &config(3, false)));
    let found = beit.forward(images.view(), &masked(), &ids(), cx).0;
    let inferred = beit.infer(images.view(), &masked(), &ids(), cx);
    let patches = beit.vit.patch_embed.forward(images.view(), cx).0;
    let mut x = Array2::from_shape_fn((IMAGES * TOKENS, patches.ncols()), |(row, d)| {
        let token = match (row % TOKENS).checked_sub(1) {
            None => beit.vit.cls_token[(0, 0, d)],
            Some(patch) if masked()[row / TOKENS * PATCHES + patch] => beit.mask.mask_token[(0, 0, d)],
            Some(patch) => patches[(row / TOKENS * PATCHES + patch, d)],
        };
        token + beit.vit.pos_embed[(0, row % TOKENS, d)]
    });
    for block in &beit.vit.blocks {
        x = block.forward(x, TOKENS, cx).0;
    }
    let logits = logits_of(&beit.head, &beit.norm.forward(x, cx).0);
    let labels: Vec<usize> = ids().into_iter().zip(masked()).filter(|(_, m)| *m).map(|(id, _)| id).collect();
    let rows = logits.chunks(VOCABULARY).zip(&labels);
    let loss = rows.map(|(row, &label)| row.iter().map(|z| z.exp()).sum::<f64>().ln() - row[label]).sum();
    all([
        agree("logits", &found.logits, logits.clone()),
        agree("Σ −log p of the tokens", &[found.loss_sum], [loss]),
        agree("logits in evaluation", &inferred.logits, logits),
        agree(
            "labels",
            &found.labels.iter().map(|&l| l as f64).collect::<Vec<_>>(),
            labels.into_iter().map(|l| l as f64),
        ),
    ])
}
