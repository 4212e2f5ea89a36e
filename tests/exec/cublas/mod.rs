//! Claim: what is handed to cuBLAS is the product that was asked for, whatever the views' strides; weights are copied to
//! the device once for every content; a failure is never mistaken for a result. All without a GPU: a fake device
//! executes the calls. What only a real one can show is in `tests/gpu.rs`.

mod fake;
mod run;
mod step;
mod weights;

use fake::offload;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, Axis, s};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vit_mae::Real;
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::bench::Plan;
use vit_mae::bench::offload::{Forecast, measure};
use vit_mae::exec::Backend;
use vit_mae::exec::cublas::cost::{Figures, Work};
use vit_mae::exec::engine::Engine;
use vit_mae::exec::gemm::Gemm;
use vit_mae::tasks::{Config, Pretrain};

/// Numbers in [−1, 1].
fn random<F: Real>(rows: usize, columns: usize, seed: u64) -> Array2<F> {
    let mut noise = rng(seed, Purpose::Synthetic, 0, 0);
    Array2::from_shape_simple_fn((rows, columns), || F::of(2.0 * uniform(&mut noise) - 1.0))
}

/// A view `[rows, columns]` of some larger memory, in one of the ways in which one can lie.
fn view<F: Real>(memory: &Array2<F>, rows: usize, columns: usize, way: usize) -> ArrayView2<'_, F> {
    match way {
        0 => memory.slice(s![..rows, ..columns]),
        1 => memory.slice(s![..columns, ..rows]).reversed_axes(),
        2 => memory.slice(s![1..=rows, 2..columns + 2]),
        3 => memory.slice(s![..rows; -1, ..columns]),
        4 => memory.slice(s![..columns, ..rows; -1]).reversed_axes(),
        5 => memory.slice(s![..2 * rows; 2, ..2 * columns; 2]),
        6 => memory.slice(s![..rows; -1, ..columns; -1]),
        _ => memory.slice(s![..2 * columns; 2, ..rows]).reversed_axes(),
    }
}
const WAYS: usize = 8;

/// `α·A·B + β·C`, as plain loops in f64.
fn expected<F: Real>(
    alpha: f64,
    a: ArrayView2<F>,
    b: ArrayView2<F>,
    beta: f64,
    c: ArrayView2<F>,
) -> Array2<f64> {
    Array2::from_shape_fn(c.dim(), |(i, j)| {
        let sum: f64 = (0..a.ncols()).map(|l| a[[i, l]].f64() * b[[l, j]].f64()).sum();
        alpha * sum + if beta == 0.0 { 0.0 } else { beta * c[[i, j]].f64() }
    })
}

fn agree<F: Real>(found: ArrayView2<F>, expected: &Array2<f64>, tolerance: f64) {
    let largest = expected.fold(1.0f64, |max, x| max.max(x.abs()));
    for (at, &x) in found.indexed_iter() {
        let error = (x.f64() - expected[at]).abs();
        assert!(error <= tolerance * largest, "{at:?}: {x} for {}", expected[at]);
    }
}

fn one_product<F: Real>(shape: [usize; 3], ways: [usize; 3], alpha: f64, beta: f64, tolerance: f64) {
    let [m, k, n] = shape;
    let side = 2 * m.max(k).max(n) + 2;
    let memory = [1, 2, 3].map(|seed| random::<F>(side, side, seed));
    let (a, b) = (view(&memory[0], m, k, ways[0]), view(&memory[1], k, n, ways[1]));
    let mut target = memory[2].clone();
    let untouched = {
        let mut c = view_mut(&mut target, m, n, ways[2]);
        let right = expected(alpha, a, b, beta, c.view());
        if beta == 0.0 {
            c.fill(F::nan()); // what is there must not be read
        }
        let (gemm, device) = offload::<F>(1);
        gemm.gemm(F::of(alpha), a.into(), b.into(), F::of(beta), c.view_mut());
        assert!(device.products.load(Ordering::Relaxed) > 0, "it ran on the device");
        agree(c.view(), &right, tolerance);
        let mut cpu = memory[2].clone();
        let mut on_cpu = view_mut(&mut cpu, m, n, ways[2]);
        Backend::default().build::<F>().gemm(
            F::of(alpha),
            a.into(),
            b.into(),
            F::of(beta),
            on_cpu.view_mut(),
        );
        agree(on_cpu.view(), &right, tolerance);
        c.assign(&on_cpu);
        cpu
    };
    assert_eq!(target, untouched, "nothing outside of C was written");
}

/// As [`view`], to be written: without repetition.
fn view_mut<F: Real>(
    memory: &mut Array2<F>,
    rows: usize,
    columns: usize,
    way: usize,
) -> ArrayViewMut2<'_, F> {
    match way % 3 {
        0 => memory.slice_mut(s![1..=rows, 2..columns + 2]),
        1 => memory.slice_mut(s![..columns, ..rows]).reversed_axes(),
        _ => memory.slice_mut(s![..2 * rows; -2, ..columns]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_views_of_any_shape_are_multiplied_as_on_the_cpu(
        shape in [1..24usize, 1..24usize, 1..24usize],
        ways in [0..WAYS, 0..WAYS, 0..WAYS],
        alpha in -2.0..2.0f64,
        beta in prop_oneof![Just(0.0), Just(1.0), -1.5..1.5f64],
    ) {
        one_product::<f64>(shape, ways, alpha, beta, 1e-13);
        one_product::<f32>(shape, ways, alpha, beta, 1e-5);
    }
}

#[test]
fn products_that_are_cut_into_pieces_are_whole_along_every_side() {
    // Each is long enough to be cut along its longest side, with a rest that is no whole piece.
    for shape in [[40_001, 13, 17], [17, 13, 40_001], [13, 40_001, 17]] {
        let [m, k, n] = shape;
        let (a, b, c) = (random::<f64>(m, k, 1), random::<f64>(k, n, 2), random::<f64>(m, n, 3));
        let (gemm, device) = offload::<f64>(1);
        let mut found = c.clone();
        gemm.gemm(0.5, a.view().into(), b.view().into(), 2.0, found.view_mut());
        assert!(device.products.load(Ordering::Relaxed) > 1, "{shape:?} is cut");
        agree(found.view(), &expected(0.5, a.view(), b.view(), 2.0, c.view()), 1e-12);
    }
}

#[test]
fn a_row_that_repeats_with_stride_zero_is_multiplied() {
    let (row, b) = (random::<f64>(1, 5, 1), random::<f64>(5, 4, 2));
    let a = row.broadcast((6, 5)).expect("a row repeats");
    assert_eq!(a.strides(), [0, 1]);
    for (a, b) in [(a, b.view()), (b.t(), a.t())] {
        let (gemm, _) = offload::<f64>(1);
        let mut c = Array2::zeros((a.nrows(), b.ncols()));
        gemm.gemm(1.0, a.into(), b.into(), 0.0, c.view_mut());
        agree(c.view(), &expected(1.0, a, b, 0.0, c.view()), 1e-14);
    }
}

#[test]
fn heads_are_one_batched_call() {
    // Queries and keys of three heads side by side in one matrix, as attention has them.
    let (tokens, heads, width) = (7, 3, 4);
    let qkv = random::<f64>(tokens, 3 * heads * width, 1);
    let parts = qkv.view().into_shape_with_order((tokens, 3, heads, width)).expect("side by side");
    let part = |p: usize| parts.index_axis(Axis(1), p).permuted_axes([1, 0, 2]);
    let (q, k) = (part(0), part(1));
    let (gemm, device) = offload::<f64>(1);
    let mut scores = Array3::from_elem((heads, tokens, tokens), f64::NAN);
    assert!(gemm.batch(0.5, q, k.permuted_axes([0, 2, 1]), scores.view_mut()));
    assert_eq!(device.batched.load(Ordering::Relaxed), 1);
    for h in 0..heads {
        let (q, k) = (part(0).index_axis_move(Axis(0), h), part(1).index_axis_move(Axis(0), h));
        agree(
            scores.index_axis(Axis(0), h),
            &expected(0.5, q, k.t(), 0.0, scores.index_axis(Axis(0), h)),
            1e-14,
        );
    }
}

#[test]
fn a_small_product_or_batch_stays_on_the_cpu_with_the_cpus_bits() {
    let (a, b) = (random::<f32>(9, 9, 1), random::<f32>(9, 9, 2));
    let (gemm, device) = offload::<f32>(9 * 9 * 9 + 1);
    let [mut found, mut cpu] = [Array2::zeros((9, 9)), Array2::zeros((9, 9))];
    gemm.gemm(1.0, a.view().into(), b.view().into(), 0.0, found.view_mut());
    Backend::default().build().gemm(1.0, a.view().into(), b.view().into(), 0.0, cpu.view_mut());
    assert_eq!(found, cpu);
    let batch = |x: &Array2<f32>| x.clone().insert_axis(Axis(0));
    let mut c = batch(&found);
    assert!(!gemm.batch(1.0, batch(&a).view(), batch(&b).view(), c.view_mut()));
    assert_eq!(device.products.load(Ordering::Relaxed), 0);
    assert!(gemm.divisible([9, 9, 9]), "on the CPU a product may be split over threads");
    assert!(!gemm.divisible([9, 9, 10]), "on the device it may not: another shape may take another kernel");
}

#[test]
fn memory_that_runs_out_leaves_nan_and_a_reason_and_no_later_product_tries() {
    let (gemm, device) = offload::<f64>(1);
    device.room.store(10, Ordering::Relaxed);
    let (a, b) = (random::<f64>(4, 4, 1), random::<f64>(4, 4, 2));
    let mut c = Array2::zeros((4, 4));
    gemm.gemm(1.0, a.view().into(), b.view().into(), 1.0, c.view_mut());
    assert!(c.iter().all(|x| x.is_nan()));
    let failure = gemm.failure().expect("it is remembered");
    assert_eq!(failure.0, "CUDA_ERROR_OUT_OF_MEMORY");
    device.room.store(0, Ordering::Relaxed);
    let before = device.products.load(Ordering::Relaxed);
    c.fill(0.0);
    gemm.gemm(1.0, a.view().into(), b.view().into(), 0.0, c.view_mut());
    assert!(c.iter().all(|x| x.is_nan()));
    assert_eq!(device.products.load(Ordering::Relaxed), before);
}

#[test]
fn a_steps_products_have_the_operations_that_the_shapes_say() {
    use vit_mae::mae::cost::Cost;
    use vit_mae::tasks::pretraining::Method;
    for (preset, micro_batch, batch) in [("nano", 8, 64), ("cifar", 3, 3), ("vit-tiny", 1, 2)] {
        let set = |key: &str, n: i64| (key.to_owned(), n.into());
        let flags = vec![set("optim.micro_batch", micro_batch), set("optim.batch_size", batch)];
        let config = Config::resolve(preset, None, flags).expect("a preset");
        let len_keep = config.model.num_patches() / 4;
        let right = batch as f64 * Cost { config: &config.model, len_keep }.flops_per_image();
        let (method, name) = (Pretrain::METHOD, preset.to_owned());
        let plan = Plan::<Pretrain> { config, method, name, threads: 1, secs: 0.1 };
        let works = plan.products().expect("memory for a step");
        let flops: f64 = works.iter().map(|work| 2.0 * (work.times * work.multiplications()) as f64).sum();
        assert!((flops - right).abs() <= 1e-9 * right, "{preset}: {flops} for {right}");
    }
}

#[test]
fn a_forecast_is_the_formula_by_hand() {
    let figures = Figures { device_gflops: 1000.0, gbps: 10.0, latency_secs: 1e-4, cpu_gflops: 100.0 };
    let work = |shape, weight| Work { shape, batch: 1, times: 3, weight };
    // 2·10⁹ operations: 2 ms there, 20 ms here. 4 MB up (8 MB where B travels, too), 4 MB down: 0.4 ms (0.8 ms).
    let kept = work([1000, 1000, 1000], true).predict(&figures);
    let close = |found: f64, right: f64| assert!((found - right).abs() < 1e-12, "{found} for {right}");
    close(kept.compute_secs, 2e-3);
    close(kept.transfer_secs, 0.4e-3);
    close(kept.device_secs, 2.1e-3);
    close(kept.cpu_secs, 20e-3);
    close(work([1000, 1000, 1000], false).predict(&figures).transfer_secs, 0.8e-3);
    let forecast =
        Forecast::new(figures, "assumed", 1_000_000, vec![work([1000; 3], true), work([10, 10, 10], true)]);
    close(forecast.cpu_secs, 3.0 * (20e-3 + 2e-8));
    close(forecast.mixed_secs, 3.0 * (2e-3 + 2e-8));
    close(forecast.waiting_share, 0.0);
    assert_eq!(forecast.gains_from, Some(1_000_000_000));
}

#[test]
fn a_device_is_measured_through_its_products() {
    let (gemm, device) = offload::<f32>(1);
    let engine = Engine::on(fake::gpu(), Backend::default(), Some(Arc::new(gemm)), None);
    let figures = measure(&engine, 64, 50.0).expect("nothing fails");
    assert!(figures.device_gflops > 0.0 && figures.gbps > 0.0 && figures.latency_secs > 0.0, "{figures:?}");
    device.room.store(1, Ordering::Relaxed);
    assert!(measure(&engine, 64, 50.0).is_err(), "a device that fails has no figures");
}
