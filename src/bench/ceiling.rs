//! What large products reach on this machine: the limit that a step's speed is compared with.

use crate::exec::Backend;
use ndarray::Array2;
use std::time::Instant;

/// GFLOP/s of large square products, one on every thread at the same time; the best of several tries.
pub(super) fn gemm_ceiling(backend: Backend, threads: usize) -> f64 {
    const SIDE: usize = 512;
    const PRODUCTS: usize = 24;
    let backend = backend.build::<f32>();
    let mut best = 0.0f64;
    for _ in 0..6 {
        let start = Instant::now();
        rayon::broadcast(|_| {
            // Numbers that use all their bits: what a processor does with zeros takes less power, and it runs faster.
            let full =
                |by| Array2::from_shape_fn((SIDE, SIDE), |(i, j)| 1.0 / (1.5 + ((i * by + j) % 89) as f32));
            let (a, b) = (full(7), full(5));
            let mut c = Array2::zeros((SIDE, SIDE));
            for _ in 0..PRODUCTS {
                backend.gemm(1.0, a.view().into(), b.view().into(), 0.0, c.view_mut());
            }
            std::hint::black_box(c);
        });
        let flops = 2.0 * (SIDE * SIDE * SIDE * PRODUCTS * threads) as f64;
        best = best.max(flops / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}
