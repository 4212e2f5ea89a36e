//! Claim: how a product is carried out changes no bits. Split over rayon or not, on one thread or four,
//! with fresh or recycled buffers: the same numbers; and they are the right ones, as a triple loop has them.

use ndarray::{Array1, Array2, Array4, ArrayView2, Axis, s};
use vit_mae::Real;
use vit_mae::base::rng::{Purpose, below, rng, uniform};
use vit_mae::exec::{Backend, Exec, row_blocks, rows};
use vit_mae::layers::Block;
use vit_mae::layers::init::init;
use vit_mae::mae::masking::Masking;
use vit_mae::mae::{Mae, MaeConfig, Mask, Strategy};
use vit_mae::params::Params;

const BACKENDS: [Backend; 3] = [Backend::Gemm, Backend::Amx, Backend::Matrixmultiply];

fn random<F: Real>(seed: u64, rows: usize, columns: usize) -> Array2<F> {
    let mut rng = rng(seed, Purpose::Synthetic, 0, 0);
    Array2::from_shape_simple_fn((rows, columns), || F::of(2.0 * uniform(&mut rng) - 1.0))
}

fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(work)
}

/// Bits, so that `-0 ≠ 0` and `NaN = NaN`: `f64` holds every `f32` exactly.
fn bits<'a, F: Real>(values: impl IntoIterator<Item = &'a F>) -> Vec<u64> {
    values.into_iter().map(|x| x.f64().to_bits()).collect()
}

/// The same product `C ← A·B / 8 + β·C`, whole and split, in pools of 1 to 4 threads. Returns whether it
/// is large enough to be split at all.
fn same_bits<F: Real>(a: ArrayView2<F>, b: ArrayView2<F>, beta: f64) -> bool {
    let (m, k, n) = (a.nrows(), a.ncols(), b.ncols());
    for backend in BACKENDS {
        let product = |split| {
            let mut c = random(3, m, n);
            Exec::new(backend).split(split).gemm(F::of(0.125), a, b, F::of(beta), c.view_mut());
            bits(&c)
        };
        let whole = product(false);
        for threads in 1..=4 {
            let split = in_pool(threads, || product(true));
            assert!(split == whole, "{backend:?} {} {m}×{k} · {k}×{n}, {threads} threads", F::NAME);
        }
    }
    row_blocks::product_part(m.max(n), m * n * k) < m.max(n)
}

/// `x Wᵀ`, `dyᵀ x` and `dy W` of a linear layer `[rows, in] → [rows, out]`; how many of them were split.
fn linear_products<F: Real>(rows: usize, d_in: usize, d_out: usize) -> usize {
    let (x, w, dy) = (random::<F>(0, rows, d_in), random::<F>(1, d_out, d_in), random::<F>(2, rows, d_out));
    let forward = same_bits(x.view(), w.t(), 1.0);
    let dw = same_bits(dy.t(), x.view(), 1.0);
    let dx = same_bits(dy.view(), w.view(), 0.0);
    [forward, dw, dx].into_iter().filter(|&split| split).count()
}

#[test]
fn splitting_a_product_changes_no_bits() {
    assert_eq!(linear_products::<f32>(1, 1, 1) + linear_products::<f64>(7, 5, 3), 0);
    assert_eq!(linear_products::<f32>(300, 768, 384), 3);
    // Any shape at all, narrow ones included: what a kernel does at its edges must not depend on the split.
    let mut rng = rng(9, Purpose::Synthetic, 0, 0);
    let mut split = 0;
    for _ in 0..30 {
        let rows = 256 + below(&mut rng, 2000);
        let (d_in, d_out) = (1 + below(&mut rng, 200), 1 + below(&mut rng, 200));
        split += linear_products::<f32>(rows, d_in, d_out) + linear_products::<f64>(rows, d_out, d_in);
    }
    assert!(split > 50, "{split} products were split");
}

#[test]
fn splitting_a_thin_product_changes_no_bits() {
    for thin in 1..=4 {
        let (tall, wide) = (random::<f32>(0, 4096, thin), random::<f32>(1, thin, 1024));
        assert!(same_bits(tall.view(), wide.view(), 0.0), "inner dimension {thin}");
        let (long, columns) = (random::<f32>(2, 2048, 2100), random::<f32>(3, 2100, thin));
        assert!(same_bits(long.view(), columns.view(), 1.0), "{thin} columns");
    }
}

#[test]
fn splitting_the_products_of_vit_base_changes_no_bits() {
    assert_eq!(linear_products::<f32>(400, 768, 3072), 3);
    assert_eq!(linear_products::<f32>(1576, 512, 2048), 3);
}

#[test]
fn splitting_a_product_of_strided_views_changes_no_bits() {
    let (qkv, other) = (random::<f32>(4, 1200, 3 * 96), random::<f32>(5, 640, 400));
    let columns = qkv.slice(s![.., 96..192]);
    assert!(same_bits(columns, other.slice(s![..192, ..;2]).slice(s![..96, ..]), 1.0));
    assert!(same_bits(qkv.slice(s![..;2, 64..192]), columns.slice(s![..128, ..]), 1.0));
    assert!(same_bits(other.t(), qkv.slice(s![..640, ..96]), 1.0));
    assert!(same_bits(other.slice(s![..;-1, ..128]), qkv.slice(s![..128, 3..;5]), 1.0));
}

#[test]
fn products_are_those_of_a_triple_loop() {
    for (m, k, n) in
        [(1, 1, 1), (3, 5, 7), (64, 64, 64), (65, 33, 17), (130, 1, 9), (9, 300, 2), (50, 129, 200)]
    {
        let (a, bt) = (random::<f64>(0, m, k), random::<f64>(1, n, k));
        let naive =
            Array2::from_shape_fn((m, n), |(i, j)| (0..k).map(|l| a[[i, l]] * bt[[j, l]]).sum::<f64>());
        for backend in BACKENDS {
            for split in [false, true] {
                let mut cx = Exec::new(backend).split(split);
                let product = cx.matmul(a.view(), bt.t());
                let error = (&product - &naive).fold(0.0, |max: f64, x| max.max(x.abs())) / k as f64;
                assert!(error < 1e-12, "{backend:?} {m}×{k}×{n}: {error:e}");
            }
        }
    }
}

/// So the bits are those of any processor that fuses multiplication and addition, however wide its vectors are.
#[test]
#[cfg(target_arch = "x86_64")]
fn an_element_of_a_product_is_one_chain_of_fused_multiply_adds() {
    if !is_x86_feature_detected!("fma") {
        eprintln!("skipped: this processor does not fuse");
        return;
    }
    for (m, k, n) in
        [(1, 7, 1), (1, 300, 5), (8, 128, 10), (16, 512, 16), (3, 40, 100), (40, 128, 50), (90, 33, 70)]
    {
        let (a, w) = (random::<f32>(4, m, k), random::<f32>(5, n, k));
        // Scalar products of contiguous rows and columns, and the same numbers in other strides.
        let columns = w.t().as_standard_layout().into_owned();
        for b in [w.t(), columns.view()] {
            let mut c = Array2::zeros((m, n));
            Exec::new(Backend::Gemm).gemm(1.0, a.view(), b, 0.0, c.view_mut());
            let chain = |(i, j)| (0..k).fold(0.0_f32, |sum, l| a[(i, l)].mul_add(b[(l, j)], sum));
            assert_eq!(bits(&c), bits(&Array2::from_shape_fn((m, n), chain)), "{m}×{k} · {k}×{n}");
        }
    }
}

#[test]
fn a_product_with_beta_zero_does_not_read_its_target() {
    let (a, b) = (random::<f64>(0, 5, 4), random::<f64>(1, 4, 3));
    for backend in BACKENDS {
        let mut c = Array2::from_elem((5, 3), f64::NAN);
        Exec::new(backend).gemm(1.0, a.view(), b.view(), 0.0, c.view_mut());
        assert!(c.iter().all(|x| x.is_finite()), "{backend:?}");
    }
}

#[test]
fn row_sums_are_those_of_a_loop() {
    for n in [0, 1, 2, 15, 16, 17, 31, 33, 197, 768] {
        let (x, y) = (random::<f64>(0, 1, n).into_raw_vec_and_offset().0, random::<f64>(1, 1, n));
        let y = y.as_slice().expect("one row");
        assert!((rows::sum(&x) - x.iter().sum::<f64>()).abs() < 1e-12, "sum of {n}");
        assert!(
            (rows::dot(&x, y) - x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>()).abs() < 1e-12,
            "dot of {n}"
        );
        assert_eq!(rows::max(&x).to_bits(), x.iter().copied().fold(f64::NEG_INFINITY, f64::max).to_bits());
    }
}

#[test]
fn column_sums_are_those_of_a_loop_and_have_the_same_bits_when_split() {
    for (rows, columns) in [(1, 1), (63, 5), (64, 5), (65, 5), (1000, 48)] {
        let x = random::<f64>(6, rows, columns);
        let sums = |split| {
            let mut sums = random::<f64>(7, 1, columns).into_raw_vec_and_offset().0;
            Exec::new(Backend::default()).split(split).add_column_sums(&x.view(), &mut sums);
            sums
        };
        let whole = sums(false);
        for threads in 1..=4 {
            assert_eq!(
                bits(&in_pool(threads, || sums(true))),
                bits(&whole),
                "{rows}×{columns}, {threads} threads"
            );
        }
        let naive = x.sum_axis(Axis(0)) + Array1::from_iter(random::<f64>(7, 1, columns));
        assert!((Array1::from(whole) - naive).iter().all(|d| d.abs() < 1e-12));
    }
}

/// A model with matrices large enough to be split: its loss and all its gradients, as bits.
fn mae_step<F: Real>(mae: &Mae<F>, images: &Array4<F>, masks: &[Mask], cx: &mut Exec<F>) -> Vec<u64> {
    let mut grad = mae.zeros_like();
    let (output, cache) = mae.forward(images.view(), masks, cx);
    let removed = masks.iter().map(Mask::removed).sum();
    let dpatches = mae.backward(cache, &output, masks, removed, &mut grad, cx);
    let mut all = vec![output.loss_sum.to_bits()];
    all.extend(grad.tensors().iter().flat_map(|tensor| bits(tensor.data)));
    all.extend(bits(&dpatches));
    cx.recycle(dpatches);
    output.recycle(cx);
    all
}

fn small_mae<F: Real>() -> (Mae<F>, Array4<F>, Vec<Mask>) {
    let config = MaeConfig {
        img_size: [32, 48],
        in_chans: 3,
        patch_size: 4,
        embed_dim: 96,
        depth: 2,
        num_heads: 3,
        decoder_embed_dim: 64,
        decoder_depth: 1,
        decoder_num_heads: 4,
        mlp_ratio: 4.0,
        layer_norm_eps: 1e-6,
        norm_pix_loss: true,
    };
    let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.75, grid: config.grid() };
    let masks = (0..8).map(|sample| masking.mask(1, 0, sample)).collect();
    let images = random::<F>(8, 8, 3 * 32 * 48).into_shape_with_order((8, 3, 32, 48)).expect("the same size");
    (Mae::initialised(config, 3), images, masks)
}

#[test]
fn splitting_changes_no_bits_of_a_whole_step() {
    let (mae, images, masks) = small_mae::<f32>();
    for backend in BACKENDS {
        let whole = mae_step(&mae, &images, &masks, &mut Exec::new(backend));
        for threads in 1..=4 {
            let split =
                in_pool(threads, || mae_step(&mae, &images, &masks, &mut Exec::new(backend).split(true)));
            assert!(split == whole, "{backend:?}, {threads} threads");
        }
    }
}

#[test]
fn what_a_recycled_buffer_held_does_not_matter() {
    let (mae, images, masks) = small_mae::<f32>();
    let (images, masks) = (images.slice_move(s![..2, .., .., ..]), &masks[..2]);
    let fresh = mae_step(&mae, &images, masks, &mut Exec::new(Backend::default()));
    // A pool full of what is not a number. Powers of two, since a buffer serves down to half its size.
    let mut cx = Exec::new(Backend::default());
    for power in 0..18 {
        for _ in 0..64 {
            cx.recycle(Array2::from_elem((1, 1 << power), f32::NAN));
        }
    }
    assert!(mae_step(&mae, &images, masks, &mut cx) == fresh, "a buffer was read before it was written");
    assert_eq!(cx.pool().allocated(), 0, "every buffer of this step came from the pool");
}

#[test]
fn a_block_allocates_nothing_the_second_time() {
    let mut block = Block::<f32>::new(24, 3, 96, 1e-6);
    init(&mut block, 0);
    let (x, mut grad, mut cx) = (random(0, 4 * 10, 24), block.zeros_like(), Exec::new(Backend::default()));
    let mut step = || {
        let mut input = cx.take(40, 24);
        input.assign(&x);
        let (y, cache) = block.forward(input, 10, &mut cx);
        let dx = block.backward(cache, y.view(), &mut grad, &mut cx);
        cx.recycle(y);
        cx.recycle(dx);
        cx.pool().allocated()
    };
    let first = step();
    assert!(first > 0);
    assert_eq!([step(), step()], [first; 2]);
}

#[test]
fn a_training_step_allocates_nothing_the_second_time() {
    let (mae, images, masks) = small_mae::<f32>();
    let mut cx = Exec::new(Backend::default());
    let mut allocated = || {
        mae_step(&mae, &images, &masks, &mut cx);
        cx.pool().allocated()
    };
    let first = allocated();
    assert!(first > 0);
    assert_eq!([allocated(), allocated()], [first; 2]);
}
