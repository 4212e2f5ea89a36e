//! A whole training step through the fake device: loss, gradients and updated weights are the CPU's, to rounding.

use super::fake::{gpu, offload};
use ndarray::Array4;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::exec::Backend;
use vit_mae::exec::engine::Engine;
use vit_mae::exec::gemm::Gemm;
use vit_mae::mae::{Mae, MaeConfig, Mask, Strategy, masking::Masking};
use vit_mae::optim::{AdamW, groups};
use vit_mae::params::Params;
use vit_mae::tasks::mae::step::loss_and_gradient;
use vit_mae::train::workers::WorkerPool;

fn config() -> MaeConfig {
    let text = include_str!("../../../src/tasks/mae/presets/nano.toml");
    let table: toml::Table = text.parse().expect("a preset is TOML");
    let mut config: MaeConfig = table["model"].clone().try_into().expect("it has a model");
    (config.embed_dim, config.depth, config.num_heads) = (16, 2, 2);
    (config.decoder_embed_dim, config.decoder_depth, config.decoder_num_heads) = (8, 1, 2);
    config
}

/// Two steps; loss of the second, its gradient, and the weights after it.
fn train(engine: impl Into<Engine>) -> (f64, Mae<f64>, Mae<f64>) {
    let config = config();
    let ([height, width], grid) = (config.img_size, config.grid());
    let mut model = Mae::<f64>::initialised(config, 1);
    let mut noise = rng(3, Purpose::Synthetic, 0, 0);
    let images = Array4::from_shape_simple_fn((5, 1, height, width), || 2.0 * uniform(&mut noise) - 1.0);
    let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.75, grid };
    let masks: Vec<Mask> = (0..5).map(|i| masking.mask(1, 0, i)).collect();
    let workers = WorkerPool::new(engine);
    let groups = groups::pretraining(&model, 0.05);
    let mut adamw = AdamW::new(&model, (0.9, 0.95));
    let mut last = None;
    for _ in 0..2 {
        let (loss, grad) = workers
            .checked(|| loss_and_gradient(&model, images.view(), &masks, 2, &workers))
            .expect("nothing failed");
        adamw.step(&mut model, &grad, &groups, 1e-3);
        last = Some((loss, grad));
    }
    let (loss, grad) = last.expect("two steps");
    (loss, grad, model)
}

#[test]
fn a_training_step_through_the_device_is_the_cpus_to_rounding() {
    let (gemm, device) = offload::<f64>(1);
    let gemm: Arc<dyn Gemm<f64>> = Arc::new(gemm);
    let (loss, grad, model) = train(Engine::on(gpu(), Backend::default(), None, Some(gemm)));
    let (cpu_loss, cpu_grad, cpu_model) = train(Backend::default());
    assert!((loss - cpu_loss).abs() <= 1e-12 * cpu_loss, "{loss} for {cpu_loss}");
    off_by_at_most(&grad, &cpu_grad, |largest| 1e-12 * largest);
    // AdamW divides a gradient by its own size, or by ε = 1e-8 where there is none, as at the bias of the keys: what
    // is 1e-16 off there moves a weight by up to lr · 1e-16 / ε.
    off_by_at_most(&model, &cpu_model, |_| 1e-10);
    assert!(device.batched.load(Ordering::Relaxed) > 0, "heads went as batches");
    let matrices = model.tensors().iter().filter(|t| t.name.ends_with("weight") && t.shape.len() > 1).count();
    assert_eq!(
        device.kept.load(Ordering::Relaxed),
        2 * matrices,
        "each weight once a step, though chunks are three"
    );
}

fn off_by_at_most(found: &Mae<f64>, right: &Mae<f64>, tolerance: impl Fn(f64) -> f64) {
    for (found, right) in found.tensors().iter().zip(right.tensors()) {
        let largest = right.data.iter().fold(1e-3f64, |max, x| max.max(x.abs()));
        let error = found.data.iter().zip(right.data).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(error <= tolerance(largest), "{}: off by {error:e}", right.name);
    }
}
