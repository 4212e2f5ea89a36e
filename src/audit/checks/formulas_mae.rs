//! Masking, encoder, decoder, target and loss against their definitions, written as plain loops.

use super::formulas::{agree, all};
use super::shapes::{IMAGES, config, filled, images, masks, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::models::mae::loss::{self, PixelTarget};
use crate::models::mae::masking::len_keep;
use crate::models::mae::patchify::patchify;
use crate::models::mae::{Decoder, Encoder, Mask};
use ndarray::{Array1, Array2, Array4, Axis, s};

/// Value `(i, j, c)` of a patch stands at `(i·p + j)·C + c`: the channel is fastest.
pub(super) fn pixel_order(check: &GradCheck) -> Report {
    const P: usize = 2;
    let images: Array4<f64> = random(check, (IMAGES, 3, 4, 6));
    let patches = patchify(images.view(), P, &mut Exec::new(Backend::default()));
    let mut formula = Array2::zeros(patches.dim());
    for ((b, c, row, column), &value) in images.indexed_iter() {
        let (patch, i, j) = (row / P * 3 + column / P, row % P, column % P);
        formula[(b * 6 + patch, (i * P + j) * 3 + c)] = value;
    }
    agree("(row, column, channel)", &patches, formula)
}

/// A patch's place in the shuffled order is the number of patches that come before it, by noise and then by
/// index; the first `K = int(L (1 − ratio))` are kept.
pub(super) fn masking(check: &GradCheck) -> Report {
    const L: usize = 24;
    let mut noise = Array1::<f64>::zeros(L);
    check.fill_array(&mut noise, 0.0..1.0);
    (noise[7], noise[20]) = (noise[3], noise[3]); // ties
    let keep = len_keep(L, 0.7);
    let mask = Mask::from_noise(&noise.to_vec(), keep);
    let place = |l: usize| (0..L).filter(|&o| noise[o] < noise[l] || (noise[o] == noise[l] && o < l)).count();
    let numbers = |ids: &[usize]| ids.iter().map(|&i| i as f64).collect::<Vec<_>>();
    let mut order = vec![0.0; L];
    (0..L).for_each(|l| order[place(l)] = l as f64);
    let flag = |removed: bool| f64::from(u8::from(removed));
    let found: Vec<f64> = (0..L).map(|l| flag(mask.removes(l))).collect();
    all([
        agree("ids_shuffle", &numbers(&mask.ids_shuffle), order.clone()),
        agree("ids_restore", &numbers(&mask.ids_restore), (0..L).map(|l| place(l) as f64)),
        agree("ids_keep", &numbers(mask.ids_keep()), order[..7].iter().copied()),
        agree("mask", &found, (0..L).map(|l| flag(place(l) >= 7))),
        agree("len_keep", &[len_keep(10, 0.9) as f64, len_keep(196, 0.75) as f64], [0.0, 49.0]),
    ])
}

/// Patch embedding, positions, the class token in front of the kept patches in `ids_keep` order, blocks, norm.
pub(super) fn encoder(check: &GradCheck) -> Report {
    let (config, masks, cx) = (config(3, false), masks(), &mut Exec::new(Backend::default()));
    let (encoder, images) = (filled(check, Encoder::new(&config.vit())), images(check, &config));
    let vit = &encoder.vit;
    let latent = encoder.forward(images.view(), &masks, cx).0;
    let (len, keep, width) = (config.num_patches(), masks[0].len_keep, config.embed_dim);
    let patches = vit.patch_embed.forward(images.view(), cx).0;
    let mut x = Array2::from_shape_fn((IMAGES * (1 + keep), width), |(row, d)| {
        let (image, token) = (row / (1 + keep), row % (1 + keep));
        match token.checked_sub(1).map(|i| masks[image].ids_shuffle[i]) {
            None => vit.cls_token[(0, 0, d)] + vit.pos_embed[(0, 0, d)],
            Some(patch) => patches[(image * len + patch, d)] + vit.pos_embed[(0, 1 + patch, d)],
        }
    });
    for block in &vit.blocks {
        x = block.forward(x, 1 + keep, cx).0;
    }
    agree("latent", &latent, encoder.norm.forward(x, cx).0)
}

/// Embedding, every kept patch back in its place and the mask token elsewhere, positions, blocks, norm,
/// prediction without the class row.
pub(super) fn decoder(check: &GradCheck) -> Report {
    let (config, masks, cx) = (config(3, false), masks(), &mut Exec::new(Backend::default()));
    let (len, keep) = (config.num_patches(), masks[0].len_keep);
    let decoder = filled(check, Decoder::new(&config));
    let latent = random(check, (IMAGES * (1 + keep), config.embed_dim));
    let pred = decoder.forward(latent.clone(), &masks, cx).0;
    let embedded = decoder.decoder_embed.forward(latent, cx).0;
    let mut x = Array2::from_shape_fn((IMAGES * (1 + len), config.decoder_embed_dim), |(row, e)| {
        let (image, token) = (row / (1 + len), row % (1 + len));
        let kept = |patch: usize| masks[image].ids_shuffle[..keep].iter().position(|&kept| kept == patch);
        let value = match token.checked_sub(1).map(kept) {
            None => embedded[(image * (1 + keep), e)],
            Some(Some(place)) => embedded[(image * (1 + keep) + 1 + place, e)],
            Some(None) => decoder.mask_token[(0, 0, e)],
        };
        value + decoder.decoder_pos_embed[(0, token, e)]
    });
    for block in &decoder.decoder_blocks {
        x = block.forward(x, 1 + len, cx).0;
    }
    let normed = decoder.decoder_norm.forward(x, cx).0;
    let all_rows = decoder.decoder_pred.forward(normed, cx).0;
    let formula = all_rows
        .axis_chunks_iter(Axis(0), 1 + len)
        .flat_map(|image| image.slice(s![1.., ..]).iter().copied().collect::<Vec<_>>());
    agree("pred", &pred, formula)
}

/// `(x − mean) / √(s² + 1e-6)`, `s²` with divisor `P − 1`; one patch is almost constant, so that the 1e-6 shows.
pub(super) fn target(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let mut images: Array4<f64> = random(check, (IMAGES, 3, 4, 6));
    images.slice_mut(s![0, .., ..2, ..2]).mapv_inplace(|x| 0.3 + 2e-3 * x);
    let pixels = patchify(images.view(), 2, cx);
    let plain = PixelTarget { patch_size: 2, norm_pix_loss: false }.target(images.view(), cx);
    let normalised = PixelTarget { patch_size: 2, norm_pix_loss: true }.target(images.view(), cx);
    let formula = pixels.rows().into_iter().flat_map(|patch| {
        let mean = patch.iter().sum::<f64>() / 12.0;
        let variance = patch.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 11.0;
        patch.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt()).collect::<Vec<_>>()
    });
    all([agree("pixels", &plain, pixels.iter().copied()), agree("normalised pixels", &normalised, formula)])
}

/// `ℓ_l = 1/P Σ_j (pred − target)²`, and the sum of it over removed patches alone.
pub(super) fn masked_loss(check: &GradCheck) -> Report {
    let masks = masks();
    let pred: Array2<f64> = random(check, (IMAGES * 6, 12));
    let target = pred.mapv(|x| (3.0 * x).sin());
    let per_patch = loss::loss_per_patch(&pred, &target);
    let sum = loss::masked_sum(&per_patch, &masks);
    let of_patch = |row: usize| {
        let squares = (0..12).map(|j| (pred[(row, j)] - target[(row, j)]).powi(2));
        squares.sum::<f64>() / 12.0
    };
    let removed = |row: usize| !masks[row / 6].ids_shuffle[..masks[row / 6].len_keep].contains(&(row % 6));
    all([
        agree("loss_per_patch", &per_patch, (0..IMAGES * 6).map(of_patch)),
        agree(
            "Σ over removed patches",
            &[sum],
            [(0..IMAGES * 6).filter(|&row| removed(row)).map(of_patch).sum()],
        ),
    ])
}
