//! Claim: on a real GPU, products, gradients and losses are the CPU's, to rounding. Needs one:
//! `cargo test --release --features accel --test gpu -- --ignored --test-threads 1`.
#![cfg(feature = "accel")]

mod common;

use common::Place;
use ndarray::{Array2, Array4};
use std::collections::BTreeSet;
use vit_mae::Real;
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::bench::Plan;
use vit_mae::exec::Backend;
use vit_mae::exec::device::Device;
use vit_mae::exec::engine::{Engine, Offloading};
use vit_mae::mae::{Mae, Mask};
use vit_mae::params::Params;
use vit_mae::tasks::mae::step::loss_and_gradient;
use vit_mae::tasks::pretraining::Method;
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::metrics::{EpochRecord, StepRecord};
use vit_mae::train::{Observer, Run, RunDir, WorkerPool};

const PRESETS: [&str; 7] = ["nano", "cifar", "photo", "vit-tiny", "vit-base", "vit-large", "vit-huge"];

/// Everything on the first GPU, in full f32.
fn gpu() -> Engine {
    let offloading = Offloading { device: Device::Cuda(0), tf32: false, from: Some(1) };
    Engine::open(Backend::default(), offloading).expect("these tests need a GPU")
}

fn random<F: Real>(rows: usize, columns: usize, seed: u64) -> Array2<F> {
    let mut noise = rng(seed, Purpose::Synthetic, 0, 0);
    Array2::from_shape_simple_fn((rows, columns), || F::of(2.0 * uniform(&mut noise) - 1.0))
}

/// The largest difference of a product on the GPU from one in f64 on the CPU, over the largest element.
fn error<F: Real>(engine: &Engine, [m, k, n]: [usize; 3]) -> f64 {
    let (a, b) = (random::<F>(m, k, 1), random::<F>(k, n, 2));
    let (mut found, mut right) = (Array2::zeros((m, n)), Array2::<f64>::zeros((m, n)));
    engine.gemm::<F>().gemm(F::one(), a.view().into(), b.view().into(), F::zero(), found.view_mut());
    let (a, b) = (a.mapv(Real::f64), b.mapv(Real::f64));
    Backend::default().build::<f64>().gemm(1.0, a.view().into(), b.view().into(), 0.0, right.view_mut());
    let largest = right.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    found.iter().zip(&right).map(|(x, y)| (x.f64() - y).abs()).fold(0.0, f64::max) / largest
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn every_product_of_every_preset_is_the_cpus() {
    let engine = gpu();
    let mut shapes = BTreeSet::new();
    for preset in PRESETS {
        let mut config = Config::resolve(preset, None, Vec::new()).expect("a preset");
        config.optim.batch_size = config.optim.micro_batch;
        let (method, name) = (Pretrain::METHOD, preset.to_owned());
        let plan = Plan::<Pretrain> { config, method, name, threads: 1, secs: 0.1 };
        let works = plan.products().expect("memory for a step");
        shapes.extend(works.into_iter().map(|work| work.shape));
    }
    for shape in shapes {
        let (single, double) = (error::<f32>(&engine, shape), error::<f64>(&engine, shape));
        println!("{shape:?}: {single:.1e} in f32, {double:.1e} in f64");
        assert!(single <= 1e-5 && double <= 1e-13, "{shape:?}: {single:e}, {double:e}");
    }
    engine.check().expect("nothing failed");
}

/// Loss and gradient of a batch of made-up images.
fn step<F: Real>(preset: &str, engine: &Engine) -> (f64, Mae<F>) {
    let config = Config::resolve(preset, None, Vec::new()).expect("a preset");
    let ([height, width], channels) = (config.model.img_size, config.model.in_chans);
    let model = Mae::<F>::initialised(config.model.clone(), 1);
    let mut noise = rng(3, Purpose::Synthetic, 0, 0);
    let draw = || F::of(2.0 * uniform(&mut noise) - 1.0);
    let images = Array4::from_shape_simple_fn((4, channels, height, width), draw);
    let masks: Vec<Mask> = (0..4).map(|i| config.masking().mask(1, 0, i)).collect();
    let workers = WorkerPool::new(engine);
    workers.checked(|| loss_and_gradient(&model, images.view(), &masks, 2, &workers)).expect("nothing failed")
}

fn gradients_agree<F: Real>(preset: &str, tolerance: f64) {
    let (loss, grad) = step::<F>(preset, &gpu());
    let (cpu_loss, cpu_grad) = step::<F>(preset, &Backend::default().into());
    assert!((loss - cpu_loss).abs() <= tolerance * cpu_loss, "{preset}: {loss} for {cpu_loss}");
    for (found, right) in grad.tensors().iter().zip(cpu_grad.tensors()) {
        let largest = right.data.iter().fold(0.0f64, |max, x| max.max(x.f64().abs()));
        let pairs = found.data.iter().zip(right.data);
        let error = pairs.map(|(x, y)| (x.f64() - y.f64()).abs()).fold(0.0, f64::max);
        assert!(error <= tolerance * largest, "{preset}, {}: off by {error:e} of {largest:e}", right.name);
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_models_gradients_are_the_cpus() {
    for preset in ["nano", "cifar", "vit-tiny"] {
        gradients_agree::<f32>(preset, 1e-5);
    }
    gradients_agree::<f64>("nano", 1e-11);
}

/// The losses of all steps.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn step(&mut self, record: &StepRecord, _: u64) {
        self.0.push(record.loss);
    }
    fn epoch(&mut self, _: &EpochRecord) {}
    fn should_stop(&self) -> Option<u8> {
        None
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_runs_losses_follow_the_cpus() {
    let place = Place::new();
    place.images("pictures", 64, (28, 28), 1);
    let train = |device: &str| {
        let data = place.path("pictures");
        let flags = vec![
            ("data.path".to_owned(), toml::Value::from(data.to_str().expect("a path in UTF-8"))),
            ("optim.epochs".to_owned(), 10.into()),
            ("optim.batch_size".to_owned(), 16.into()),
            ("run.device".to_owned(), device.into()),
            ("run.offload_from".to_owned(), 1.into()),
        ];
        let config = Config::resolve("nano", None, flags).expect("settings");
        let out = place.path(device);
        let mut run = Run::<Pretrain>::new(config, &(), || RunDir::create(Some(out), false)).expect("a run");
        let mut losses = Losses::default();
        run.train("test", &mut losses).expect("it trains");
        losses.0
    };
    let (gpu, cpu) = (train("cuda:0"), train("cpu"));
    for (step, (gpu, cpu)) in gpu.iter().zip(&cpu).enumerate() {
        assert!((gpu - cpu).abs() <= 1e-3 * cpu, "step {}: {gpu} for {cpu}", step + 1);
    }
}
