//! Claim: a product in f32 on the processor's matrix unit, which multiplies bf16, is as close to the exact one as a product in f32;
//! it writes its target and nothing else, and hides nothing that is not finite.

use ndarray::{Array2, ArrayView2, s};
use vit_mae::Real;
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::exec::{Backend, Exec};

/// Whether this processor has one; every test here is about nothing otherwise.
fn here() -> bool {
    let here = Backend::Amx.is_available();
    if !here {
        eprintln!("skipped: this processor has no matrix unit");
    }
    here
}

/// Numbers of all signs and of `octaves` powers of two.
fn random(seed: u64, rows: usize, columns: usize, octaves: f64) -> Array2<f32> {
    let mut rng = rng(seed, Purpose::Synthetic, 0, 0);
    let mut number = || (2.0 * uniform(&mut rng) - 1.0) * (octaves * (uniform(&mut rng) - 0.5)).exp2();
    Array2::from_shape_simple_fn((rows, columns), || f32::of(number()))
}

fn product(
    backend: Backend,
    alpha: f32,
    a: ArrayView2<f32>,
    b: ArrayView2<f32>,
    beta: f32,
    c: &Array2<f32>,
) -> Array2<f32> {
    let mut c = c.clone();
    Exec::new(backend).gemm(alpha, a, b, beta, c.view_mut());
    c
}

/// Root of the mean square of the differences to the exact product, and the largest.
fn errors(found: &Array2<f32>, exact: &Array2<f64>) -> [f64; 2] {
    let off = found.mapv(f64::from) - exact;
    [off.mapv(|x| x * x).mean().expect("not empty").sqrt(), off.fold(0.0, |max, x| max.max(x.abs()))]
}

#[test]
fn a_product_is_as_close_to_the_exact_one_as_in_f32() {
    if !here() {
        return;
    }
    for (rows, d_in, d_out) in
        [(416, 128, 384), (208, 512, 128), (77, 145, 131), (400, 768, 300), (101, 600, 97)]
    {
        for (alpha, beta, octaves) in [(1.0, 0.0, 0.0), (0.125, 1.0, 8.0), (3.0, -0.5, 30.0)] {
            let (x, w) = (random(0, rows, d_in, octaves), random(1, d_out, d_in, octaves));
            let dy = random(2, rows, d_out, octaves);
            // x Wᵀ, dy W, dyᵀ x: every order of strides that a linear layer has
            for (a, b) in [(x.view(), w.t()), (dy.view(), w.view()), (dy.t(), x.view())] {
                let c = random(3, a.nrows(), b.ncols(), octaves);
                let exact = f64::from(alpha) * a.mapv(f64::from).dot(&b.mapv(f64::from))
                    + f64::from(beta) * c.mapv(f64::from);
                let found = errors(&product(Backend::Amx, alpha, a, b, beta, &c), &exact);
                let in_f32 = errors(&product(Backend::Gemm, alpha, a, b, beta, &c), &exact);
                let message =
                    format!("{:?} · {:?}, α {alpha}, β {beta}: {found:?}, {in_f32:?}", a.dim(), b.dim());
                assert!(found[0] <= in_f32[0] && found[1] <= 1.5 * in_f32[1], "{message}");
            }
        }
    }
}

#[test]
fn whole_numbers_of_few_bits_are_multiplied_without_error() {
    if !here() {
        return;
    }
    let whole = |seed, rows, columns| random(seed, rows, columns, 0.0).mapv(|x| (x * 60.0).round());
    let (a, b) = (whole(0, 130, 300), whole(1, 300, 110));
    let exact = a.mapv(f64::from).dot(&b.mapv(f64::from)).mapv(f32::of);
    assert_eq!(product(Backend::Amx, 1.0, a.view(), b.view(), 0.0, &exact), exact);
}

#[test]
fn all_bits_of_a_number_are_multiplied() {
    if !here() {
        return;
    }
    // By a power of two, so that the product has the number's own bits; from far above to where bits would be lost.
    let x = random(0, 96, 96, 150.0);
    for scale in [1.0, -0.5, 1024.0] {
        let diagonal = Array2::from_diag_elem(96, scale);
        let zeros = Array2::zeros((96, 96));
        assert_eq!(product(Backend::Amx, 1.0, x.view(), diagonal.view(), 0.0, &zeros), &x * scale);
        assert_eq!(product(Backend::Amx, 1.0, diagonal.view(), x.view(), 0.0, &zeros), &x * scale);
    }
}

#[test]
fn what_is_not_finite_is_not_hidden_and_spoils_nothing_else() {
    if !here() {
        return;
    }
    for wrong in
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7fff_ffff), f32::from_bits(0xff80_0001)]
    {
        let (mut a, mut b) = (random(0, 100, 130, 0.0), random(1, 130, 120, 0.0));
        (a[[70, 129]], b[[17, 33]]) = (wrong, wrong);
        let zeros = Array2::zeros((100, 120));
        let [found, crate_s] = [Backend::Amx, Backend::Gemm]
            .map(|backend| product(backend, 1.0, a.view(), b.view(), 0.0, &zeros));
        assert_eq!(found.mapv(f32::is_finite), crate_s.mapv(f32::is_finite), "{wrong}");
        assert!(!found[[70, 0]].is_finite() && !found[[0, 33]].is_finite() && found[[0, 0]].is_finite());
    }
    let (large, ones) = (Array2::from_elem((64, 64), f32::MAX), Array2::ones((64, 64)));
    let sums = product(Backend::Amx, 1.0, large.view(), ones.view(), 0.0, &ones);
    assert!(sums.iter().all(|x| !x.is_finite()), "64 of the largest number are more than it");
}

#[test]
fn a_target_inside_a_matrix_is_written_and_nothing_beside_it() {
    if !here() {
        return;
    }
    let (a, b) = (random(0, 101, 70, 0.0), random(1, 70, 99, 0.0));
    let mut around = Array2::from_elem((110, 120), f32::NAN);
    Exec::new(Backend::Amx).gemm(1.0, a.view(), b.view(), 0.0, around.slice_mut(s![4..105, 7..106]));
    let whole = product(Backend::Amx, 1.0, a.view(), b.view(), 0.0, &Array2::zeros((101, 99)));
    assert_eq!(around.slice(s![4..105, 7..106]), whole);
    assert_eq!(around.iter().filter(|x| x.is_nan()).count(), 110 * 120 - 101 * 99);
}
