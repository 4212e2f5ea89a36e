//! Matrix products in the shapes of the presets' linear layers, on one thread, per backend.
//!
//! `cargo bench --bench products`; throughput is in floating-point operations per second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use std::hint::black_box;
use vit_mae::exec::Backend;

/// Name, rows of a chunk, input width, output width.
const SHAPES: [(&str, usize, usize, usize); 6] = [
    ("nano qkv", 208, 128, 384),
    ("nano fc1", 208, 128, 512),
    ("nano decoder fc1", 800, 64, 256),
    ("cifar fc1", 204, 192, 768),
    ("vit-base qkv", 400, 768, 2304),
    ("vit-base decoder fc1", 1576, 512, 2048),
];

fn products(c: &mut Criterion) {
    for (name, rows, d_in, d_out) in SHAPES {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(2 * (rows * d_in * d_out) as u64)).sample_size(20);
        let x = Array2::from_shape_fn((rows, d_in), |(i, j)| ((i * 7 + j * 3) % 11) as f32 - 5.0);
        let dy = Array2::from_shape_fn((rows, d_out), |(i, j)| ((i * 5 + j) % 13) as f32 - 6.0);
        let w = Array2::from_shape_fn((d_out, d_in), |(i, j)| ((i + j * 9) % 7) as f32 - 3.0);
        let backends = [Backend::Gemm, Backend::Amx, Backend::Matrixmultiply];
        for backend in backends.into_iter().filter(|backend| backend.is_available()) {
            let gemm = backend.build::<f32>();
            let mut y = Array2::zeros((rows, d_out));
            let mut dx = Array2::zeros((rows, d_in));
            let mut dw = Array2::zeros((d_out, d_in));
            let id = |what: &str| BenchmarkId::new(what, format!("{backend:?}"));
            group.bench_function(id("y = x Wᵀ"), |b| {
                b.iter(|| gemm.gemm(1.0, x.view().into(), w.t().into(), 0.0, black_box(&mut y).view_mut()));
            });
            group.bench_function(id("dx = dy W"), |b| {
                b.iter(|| {
                    gemm.gemm(1.0, dy.view().into(), w.view().into(), 0.0, black_box(&mut dx).view_mut());
                });
            });
            group.bench_function(id("dW += dyᵀ x"), |b| {
                b.iter(|| gemm.gemm(1.0, dy.t().into(), x.view().into(), 1.0, black_box(&mut dw).view_mut()));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
