//! The worked examples of masking, unshuffle and the loss, computed by the library.

use crate::example::Example;
use ndarray::{Array2, Array4, arr1, s};
use vit_mae::exec::{Backend, Exec};
use vit_mae::mae::loss::{self, PixelTarget};
use vit_mae::mae::{Decoder, MaeConfig, Mask};
use vit_mae::models::vit::{Positions, Vit};
use vit_mae::params::Params;

/// One image of 2 × 2 patches; tokens are 4 wide, since positions need that, and the examples use two columns.
fn config() -> MaeConfig {
    let config = MaeConfig {
        img_size: [4, 4],
        in_chans: 1,
        patch_size: 2,
        embed_dim: 4,
        depth: 1,
        num_heads: 1,
        decoder_embed_dim: 4,
        decoder_depth: 1,
        decoder_num_heads: 1,
        mlp_ratio: 1.0,
        layer_norm_eps: 1e-6,
        norm_pix_loss: false,
    };
    config.validate().expect("a possible model");
    config
}

fn widened(narrow: &Array2<f64>) -> Array2<f64> {
    let mut wide = Array2::zeros((narrow.nrows(), 4));
    wide.slice_mut(s![.., ..narrow.ncols()]).assign(narrow);
    wide
}

fn narrowed(wide: &Array2<f64>) -> Array2<f64> {
    assert!(wide.slice(s![.., 2..]).iter().all(|&x| x == 0.0));
    wide.slice(s![.., ..2]).to_owned()
}

/// `[K, L]` with a 1 at `(i, ids_keep[i])`.
fn selection(mask: &Mask) -> Array2<f64> {
    let mut g = Array2::zeros((mask.len_keep, mask.ids_shuffle.len()));
    mask.ids_keep().iter().enumerate().for_each(|(i, &patch)| g[[i, patch]] = 1.0);
    g
}

fn numbers(ids: &[usize]) -> ndarray::Array1<f64> {
    ids.iter().map(|&i| i as f64).collect()
}

#[test]
fn masking_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("09-masking.md", "masking");
    let (noise, z) = (e.vector("u"), e.given("z"));
    let mask = Mask::from_noise(noise.as_slice().unwrap(), 2);
    let g = selection(&mask);
    e.check("ids_shuffle", &numbers(&mask.ids_shuffle));
    e.check("ids_keep", &numbers(mask.ids_keep()));
    e.check("ids_restore", &numbers(&mask.ids_restore));
    e.check("m", &(0..4).map(|l| f64::from(u8::from(mask.removes(l)))).collect::<ndarray::Array1<f64>>());
    e.check("G", &g);
    e.check("G Gᵀ", &g.dot(&g.t()));
    e.check("Gᵀ G", &g.t().dot(&g));

    let (mut vit, cx) =
        (Vit::<f64>::new(&config().vit(), Positions::Fixed), &mut Exec::new(Backend::default()));
    vit.cls_token.slice_mut(s![0, 0, ..2]).assign(&e.vector("κ"));
    let masks = [mask];
    e.check("x", &narrowed(&vit.tokens(&widened(&z), |b| masks[b].ids_keep(), cx)));
    let dx = e.given("dx");
    let mut grad = vit.zeros_like();
    let dz = vit.tokens_backward(widened(&dx).view(), |b| masks[b].ids_keep(), &mut grad, cx);
    let dz = narrowed(&dz);
    e.check("dz", &dz);
    e.check("dκ", &grad.cls_token.slice(s![0, 0, ..2]));
    e.check_scalar("⟨G z, dx⟩", (&g.dot(&z) * &dx.slice(s![1.., ..])).sum());
    e.check_scalar("⟨z, Gᵀ dx⟩", (&z * &dz).sum());
    e.done();
}

#[test]
fn unshuffle_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("09-masking.md", "unshuffle");
    let mut masking = Example::read("09-masking.md", "masking");
    let masks = [Mask::from_noise(masking.vector("u").as_slice().unwrap(), 2)];
    let (mut decoder, cx) = (Decoder::<f64>::new(&config()), &mut Exec::new(Backend::default()));
    decoder.mask_token.slice_mut(s![0, 0, ..2]).assign(&e.vector("τ"));
    let (y, dx) = (e.given("y"), e.given("dx"));
    e.check("x", &narrowed(&decoder.unshuffle(&widened(&y), &masks, cx)));
    let mut grad = decoder.zeros_like();
    e.check("dy", &narrowed(&Decoder::unshuffle_backward(&widened(&dx), &masks, &mut grad, cx)));
    e.check("dτ", &grad.mask_token.slice(s![0, 0, ..2]));
    e.done();
}

#[test]
fn the_loss_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("10-loss.md", "loss");
    let (pred, target, m) = (e.given("pred"), e.given("t"), e.vector("m"));
    let removed: Vec<bool> = m.iter().map(|&m| m == 1.0).collect();
    let masks: Vec<Mask> = removed.chunks(2).map(Mask::from_removed).collect();
    let in_batch = masks.iter().map(Mask::removed).sum::<usize>();
    e.check_scalar("M", in_batch as f64);
    let per_patch = loss::loss_per_patch(&pred, &target);
    e.check("ℓ", &per_patch);
    e.check_scalar("loss", loss::masked_sum(&per_patch, &masks) / in_batch as f64);
    let cx = &mut Exec::new(Backend::default());
    e.check("dpred", &loss::backward(&pred, &target, &masks, in_batch, cx));
    e.done();
}

#[test]
fn the_normalised_target_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("10-loss.md", "normalised target");
    let (x, dt) = (e.given("x"), e.given("dt"));
    let image =
        |patch: &Array2<f64>| Array4::from_shape_vec((1, 1, 2, 2), patch.iter().copied().collect()).unwrap();
    let (target, cx) =
        (PixelTarget { patch_size: 2, norm_pix_loss: true }, &mut Exec::new(Backend::default()));
    let t = target.target(image(&x).view(), cx);
    let (mean, deviation) = loss::patch_stats(x.as_slice().unwrap());
    e.check_scalar("mean", mean);
    e.check_scalar("s²", x.mapv(|x| (x - mean).powi(2)).sum() / 3.0);
    e.check("t", &t);
    e.check_scalar("ℓ of predicting 0", loss::loss_per_patch(&Array2::zeros((1, 4)), &t)[0]);
    e.check_scalar("mean(dt)", dt.mean().unwrap());
    e.check_scalar("Σ dt ⊙ t / (P − 1)", (&dt * &t).sum() / 3.0);
    let dx = target.images_gradient(image(&x).view(), dt, cx);
    e.check("dx", &dx);
    e.check("Σ dx", &arr1(&[dx.sum()]));
    assert!(deviation > 0.0);
    e.done();
}
