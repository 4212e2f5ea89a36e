//! Claim: the whole of it learns: a tiny model learns eight images by heart, and a short run of the program
//! beats whoever predicts the mean on images that it has never seen.

use crate::common::Place;
use ndarray::Array4;
use vit_mae::exec::Backend;
use vit_mae::mae::masking::Masking;
use vit_mae::mae::{Mae, MaeConfig, Mask, Strategy};
use vit_mae::optim::{AdamW, groups};
use vit_mae::params::Params;
use vit_mae::tasks::mae::step::{loss, loss_and_gradient};
use vit_mae::train::WorkerPool;

fn config(norm_pix_loss: bool) -> MaeConfig {
    MaeConfig {
        img_size: [16, 16],
        in_chans: 1,
        patch_size: 4,
        embed_dim: 64,
        depth: 2,
        num_heads: 4,
        decoder_embed_dim: 64,
        decoder_depth: 2,
        decoder_num_heads: 4,
        mlp_ratio: 4.0,
        layer_norm_eps: 1e-6,
        norm_pix_loss,
    }
}

/// Eight pictures of waves, each with its own frequencies and phase, of mean about 0 and variance 1.
fn pictures() -> Array4<f32> {
    Array4::from_shape_fn((8, 1, 16, 16), |(b, _, y, x)| {
        let (b, y, x) = (b as f32, y as f32, x as f32);
        ((0.2 + 0.07 * b) * x + b).sin() + ((0.5 - 0.04 * b) * y + 2.0 * b).cos()
    })
}

/// First loss and last loss, on the same images and masks throughout.
fn overfit(norm_pix_loss: bool, steps: u64, lr: f64) -> (f64, f64) {
    let (images, config) = (pictures(), config(norm_pix_loss));
    let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.5, grid: config.grid() };
    let masks: Vec<Mask> = (0..8).map(|sample| masking.mask(1, 0, sample)).collect();
    let workers = WorkerPool::new(Backend::default());
    let mut model = Mae::<f32>::initialised(config, 3);
    let groups = groups::pretraining(&model, 0.0);
    let mut adamw = AdamW::new(&model, (0.9, 0.95));
    let first = loss(&model, images.view(), &masks, 2, &workers);
    for step in 0..steps {
        let (_, grad) = loss_and_gradient(&model, images.view(), &masks, 2, &workers);
        // Linear warm-up over 20 steps, then linear decay.
        let t = step as f64;
        let lr = lr * (t / 20.0).min(1.0) * (1.0 - t / steps as f64);
        adamw.step(&mut model, &grad, &groups, lr);
        workers.recycle(grad);
    }
    (first, loss(&model, images.view(), &masks, 2, &workers))
}

#[test]
fn loss_and_gradient_do_not_depend_on_the_chunks_beyond_rounding() {
    let (images, config) = (pictures().mapv(f64::from), config(true));
    let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.5, grid: config.grid() };
    let masks: Vec<Mask> = (0..8).map(|sample| masking.mask(1, 0, sample)).collect();
    let workers = WorkerPool::new(Backend::default());
    let model = Mae::<f64>::initialised(config, 3);
    let (whole, whole_grad) = loss_and_gradient(&model, images.view(), &masks, 8, &workers);
    for micro_batch in [1, 3, 4] {
        let (loss, grad) = loss_and_gradient(&model, images.view(), &masks, micro_batch, &workers);
        assert!((loss - whole).abs() < 1e-13 * whole, "{micro_batch}: {loss} and {whole}");
        for (a, b) in grad.tensors().iter().zip(whole_grad.tensors()) {
            let largest = b.data.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            let error = a.data.iter().zip(b.data).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(error <= 1e-12 * largest + 1e-16, "{micro_batch}: {} is off by {error:e}", a.name);
        }
    }
}

#[test]
fn a_tiny_model_learns_the_pixels_of_eight_images_by_heart() {
    let (first, last) = overfit(false, 300, 3e-3);
    assert!(first > 0.5, "the start is no feat: {first}");
    assert!(last < 0.01 * first, "from {first} only to {last}");
}

#[test]
fn a_tiny_model_learns_normalised_patches_of_eight_images_by_heart() {
    let (first, last) = overfit(true, 300, 3e-3);
    assert!(first > 0.5, "the start is no feat: {first}");
    assert!(last < 0.01 * first, "from {first} only to {last}");
}

#[test]
fn a_short_run_beats_predicting_the_mean_on_images_never_seen() {
    let place = Place::new();
    let small =
        "model.embed_dim=64 model.depth=1 model.decoder_embed_dim=32 model.decoder_depth=1 optim.lr=3e-3";
    let sets: Vec<&str> = small.split(' ').flat_map(|set| ["--set", set]).collect();
    let args = ["pretrain", "--epochs", "1", "--batch-size", "32", "--warmup-epochs", "0.1"];
    let printed = place.done(&[&args[..], &sets].concat());
    let of = |name: &str| -> f64 {
        let line = printed.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {printed}"));
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    let (validation, mean) = (of("validation loss"), of("predicting the mean colour"));
    let visible_mean = of("predicting the mean of the visible patches");
    assert!(validation < 0.7 * mean.min(visible_mean), "{validation} against {mean} and {visible_mean}");
}
