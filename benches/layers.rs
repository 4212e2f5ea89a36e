//! Forward and backward of each layer at the sizes of the nano preset, and a whole step.
//!
//! `cargo bench --bench layers`; throughput is in token rows (a whole step: images) per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array2, Array4};
use std::hint::black_box;
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::init::init;
use vit_mae::layers::{Attention, Block, LayerNorm, Linear, Mlp};
use vit_mae::mae::Mae;
use vit_mae::params::Params;
use vit_mae::tasks::Config;
use vit_mae::tasks::mae::{presets, step};
use vit_mae::train::WorkerPool;

const IMAGES: usize = 16;
const TOKENS: usize = 13;
const WIDTH: usize = 128;

fn input() -> Array2<f32> {
    Array2::from_shape_fn((IMAGES * TOKENS, WIDTH), |(i, j)| ((i * 31 + j * 17) % 23) as f32 / 11.0 - 1.0)
}

fn layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward and backward");
    group.throughput(Throughput::Elements((IMAGES * TOKENS) as u64));
    let mut cx = Exec::new(Backend::default());
    let x = input();
    macro_rules! layer {
        ($name:literal, $layer:expr, $pass:expr) => {
            let mut layer = $layer;
            init(&mut layer, 0);
            let mut grad = layer.zeros_like();
            group.bench_function($name, |b| b.iter(|| black_box($pass(&layer, &mut grad, &mut cx))));
        };
    }
    layer!("linear", Linear::new(WIDTH, WIDTH), |layer: &Linear<f32>, grad: &mut _, cx: &mut Exec<f32>| {
        let (y, cache) = layer.forward(x.clone(), cx);
        layer.backward(cache, y.view(), grad, cx)
    });
    layer!("layer norm", LayerNorm::new(WIDTH, 1e-6), |layer: &LayerNorm<f32>, grad: &mut _, cx: &mut _| {
        let (y, cache) = layer.forward(x.clone(), cx);
        layer.backward(cache, y.view(), grad, cx)
    });
    layer!("mlp", Mlp::new(WIDTH, 4 * WIDTH), |layer: &Mlp<f32>, grad: &mut _, cx: &mut _| {
        let (y, cache) = layer.forward(x.clone(), cx);
        layer.backward(cache, y.view(), grad, cx)
    });
    layer!("attention", Attention::new(WIDTH, 4), |layer: &Attention<f32>, grad: &mut _, cx: &mut _| {
        let (y, cache) = layer.forward(x.clone(), TOKENS, cx);
        layer.backward(cache, y.view(), grad, cx)
    });
    layer!("block", Block::new(WIDTH, 4, 4 * WIDTH, 1e-6), |layer: &Block<f32>, grad: &mut _, cx: &mut _| {
        let (y, cache) = layer.forward(x.clone(), TOKENS, cx);
        layer.backward(cache, y.view(), grad, cx)
    });
    group.finish();
}

fn whole_step(c: &mut Criterion) {
    let config = Config::resolve(presets::DEFAULT, None, Vec::new()).expect("the default preset is valid");
    let model = Mae::<f32>::initialised(config.model.clone(), 0);
    let [height, width] = config.model.img_size;
    let batch = config.optim.batch_size;
    let images = Array4::from_shape_fn((batch, config.model.in_chans, height, width), |(b, _, y, x)| {
        ((b * 3 + y * 5 + x * 7) % 17) as f32 / 8.0 - 1.0
    });
    let masks: Vec<_> = (0..batch as u64).map(|i| config.masking().mask(0, 0, i)).collect();
    let workers = WorkerPool::new(config.run.gemm);
    let mut group = c.benchmark_group("step");
    group.throughput(Throughput::Elements(batch as u64)).sample_size(10);
    group.bench_function("loss and gradient, nano", |b| {
        b.iter(|| {
            let micro_batch = config.optim.micro_batch;
            let (loss, grad) = step::loss_and_gradient(&model, images.view(), &masks, micro_batch, &workers);
            workers.recycle(grad);
            loss
        });
    });
    group.finish();
}

criterion_group!(benches, layers, whole_step);
criterion_main!(benches);
