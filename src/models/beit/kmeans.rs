//! k-means: a codebook of patches by Lloyd's iterations (Lloyd 1982) from centroids of k-means++ (Arthur & Vassilvitskii
//! 2007).
//!
//! All sums are in f64, over chunks of [`CHUNK`] patches and then along the fixed tree, so that a codebook has the same bits
//! for any number of threads.

use super::codebook::Codebook;
use crate::base::Real;
use crate::base::rng::{Purpose, below, rng, uniform};
use crate::exec::engine::Engine;
use crate::exec::kernel::{Kernel, widest};
use crate::exec::{Exec, row_blocks, rows, tree};
use ndarray::{Array2, ArrayView2, s};
use std::ops::ControlFlow;

/// Patches in a leaf of the tree.
pub const CHUNK: usize = 1024;

/// One of Lloyd's iterations.
#[derive(Clone, Debug)]
pub struct Iteration<F> {
    /// `[n]`: the centroid of each patch, before the update.
    pub ids: Vec<usize>,
    /// `[K]`: patches of each centroid.
    pub counts: Vec<usize>,
    /// `Σ ‖x − c‖²` to these centroids.
    pub inertia: f64,
    /// The updated centroids.
    pub next: Codebook<F>,
}

/// `patches: [n, P]`: assigns each to its nearest centroid and moves each centroid to the mean of its patches. One without
/// patches stays where it is, and may get some later.
#[must_use]
pub fn iterate<F: Real>(patches: ArrayView2<F>, codebook: &Codebook<F>, engine: &Engine) -> Iteration<F> {
    let leaf = |chunk: usize| {
        let rows = patches.slice(s![chunk * CHUNK..((chunk + 1) * CHUNK).min(patches.nrows()), ..]);
        Part::of(rows, codebook, &mut Exec::new(engine))
    };
    let Some(Part { ids, counts, inertia, sums }) =
        tree::reduce(patches.nrows().div_ceil(CHUNK), &leaf, &Part::plus)
    else {
        let (ids, counts) = (Vec::new(), vec![0; codebook.tokens()]);
        return Iteration { ids, counts, inertia: 0.0, next: codebook.clone() };
    };
    let mut centroids = codebook.centroids.clone();
    for ((mut centroid, sum), &count) in centroids.outer_iter_mut().zip(sums.outer_iter()).zip(&counts) {
        if count > 0 {
            centroid.zip_mut_with(&sum, |c, sum| *c = F::of(sum / count as f64));
        }
    }
    Iteration { ids, counts, inertia, next: Codebook::new(centroids) }
}

/// What a chunk of patches adds.
struct Part {
    ids: Vec<usize>,
    counts: Vec<usize>,
    inertia: f64,
    /// `[K, P]`: the sum of each centroid's patches.
    sums: Array2<f64>,
}

impl Part {
    fn of<F: Real>(patches: ArrayView2<F>, codebook: &Codebook<F>, cx: &mut Exec<F>) -> Self {
        let nearest = codebook.nearest(patches, cx);
        let mut counts = vec![0; codebook.tokens()];
        let mut sums = Array2::zeros(codebook.centroids.dim());
        for (patch, &id) in patches.outer_iter().zip(&nearest.ids) {
            counts[id] += 1;
            sums.row_mut(id).zip_mut_with(&patch, |sum: &mut f64, x| *sum += x.f64());
        }
        let inertia = nearest.distance.iter().map(|d| d.f64()).sum();
        Self { ids: nearest.ids, counts, inertia, sums }
    }

    fn plus(mut self, other: Self) -> Self {
        self.ids.extend(other.ids);
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.inertia += other.inertia;
        self.sums += &other.sums;
        self
    }
}

/// Iterates until no patch changes its centroid, at most `most` times, or until `observe` (number of the iteration from 1,
/// and what it found) breaks off.
#[must_use]
pub fn fit<F: Real>(
    patches: ArrayView2<F>,
    mut codebook: Codebook<F>,
    most: usize,
    engine: &Engine,
    observe: &mut dyn FnMut(usize, &Iteration<F>) -> ControlFlow<()>,
) -> Codebook<F> {
    let mut before = Vec::new();
    for number in 1..=most {
        let iteration = iterate(patches, &codebook, engine);
        if observe(number, &iteration).is_break() || iteration.ids == before {
            break;
        }
        (codebook, before) = (iteration.next, iteration.ids);
    }
    codebook
}

/// `tokens` first centroids by k-means++: a patch at random, then each time one with probability in proportion to its squared
/// distance from the nearest chosen so far. So no patch is chosen twice while others differ from all that are chosen.
///
/// # Panics
/// If there are fewer patches than tokens.
#[must_use]
pub fn first_centroids<F: Real>(patches: ArrayView2<F>, tokens: usize, seed: u64) -> Codebook<F> {
    let (n, len) = patches.dim();
    assert!(0 < tokens && tokens <= n, "{tokens} centroids of {n} patches");
    let mut rng = rng(seed, Purpose::Codebook, 0, 0);
    let mut centroids = Array2::zeros((tokens, len));
    let mut distance = vec![F::infinity(); n];
    let mut chosen = below(&mut rng, n);
    for k in 0..tokens {
        centroids.row_mut(k).assign(&patches.row(chosen));
        let centroid = patches.row(chosen);
        let nearer = Nearer { centroid: centroid.as_slice().expect("patches are row-major") };
        let rows = row_blocks::of(&patches).zip(distance.chunks_mut(row_blocks::ROWS));
        row_blocks::each(true, rows, |rows| widest(&nearer, rows));
        let total: f64 = distance.iter().map(|d| d.f64()).sum();
        chosen = if total > 0.0 {
            at(&distance, uniform(&mut rng) * total)
        } else {
            below(&mut rng, n) // every patch is one that was chosen
        };
    }
    Codebook::new(centroids)
}

/// The first patch up to which the distances add up to more than `sum`; where rounding lets none, the last that counts.
fn at<F: Real>(distance: &[F], sum: f64) -> usize {
    let (mut left, mut last) = (sum, 0);
    for (i, d) in distance.iter().enumerate().filter(|(_, d)| **d > F::zero()) {
        (left, last) = (left - d.f64(), i);
        if left < 0.0 {
            break;
        }
    }
    last
}

/// `d ← min(d, ‖x − c‖²)`.
struct Nearer<'a, F> {
    centroid: &'a [F],
}

impl<F: Real> Kernel<(&[F], &mut [F])> for Nearer<'_, F> {
    #[inline(always)]
    fn run(&self, (patches, distance): (&[F], &mut [F])) {
        for (x, d) in patches.chunks_exact(self.centroid.len()).zip(distance) {
            *d = d.min(rows::sum_of_two(x, self.centroid, |x, c| (x - c) * (x - c)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Backend;

    /// More than two chunks around a few centres, and a run of equal patches.
    fn patches() -> Array2<f32> {
        let mut rng = rng(5, Purpose::Synthetic, 0, 0);
        Array2::from_shape_fn((2 * CHUNK + 77, 6), |(row, j)| {
            let noise = if row % 3 == 0 { 0.0 } else { 0.3 * uniform(&mut rng) };
            f32::of((row % 7 * (j + 2) % 5) as f64 + noise)
        })
    }

    #[test]
    fn a_codebook_has_the_same_bits_for_any_number_of_threads_and_either_product() {
        let patches = patches();
        let fitted = |threads: usize, backend: Backend| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let start = first_centroids(patches.view(), 20, 3);
                fit(patches.view(), start, 6, &backend.into(), &mut |_, _| ControlFlow::Continue(()))
            })
        };
        let one = fitted(1, Backend::Gemm);
        for (threads, backend) in [(2, Backend::Gemm), (3, Backend::Gemm), (1, Backend::Matrixmultiply)] {
            assert_eq!(fitted(threads, backend), one, "{threads} threads, {backend:?}");
        }
    }

    #[test]
    fn chunks_add_up_to_plain_loops() {
        let patches = patches();
        let codebook = first_centroids(patches.view(), 9, 1);
        let found = iterate(patches.view(), &codebook, &Backend::default().into());
        let (mut sums, mut counts, mut inertia) = (Array2::<f64>::zeros((9, 6)), vec![0; 9], 0.0);
        for (x, &id) in patches.outer_iter().zip(&found.ids) {
            let square = |k: usize| {
                let c = codebook.centroids.row(k);
                x.iter().zip(c).map(|(x, c)| (f64::from(*x) - f64::from(*c)).powi(2)).sum::<f64>()
            };
            assert!((0..9).all(|k| square(id) <= square(k) + 1e-6));
            inertia += square(id);
            counts[id] += 1;
            sums.row_mut(id).zip_mut_with(&x, |sum, x| *sum += f64::from(*x));
        }
        assert_eq!(found.counts, counts);
        assert!((found.inertia - inertia).abs() < 1e-5 * inertia);
        for (k, mean) in sums.outer_iter().enumerate() {
            let close = |(c, sum): (&f32, &f64)| (f64::from(*c) - sum / counts[k] as f64).abs() < 1e-6;
            assert!(counts[k] > 0 && found.next.centroids.row(k).iter().zip(mean).all(close));
        }
    }

    #[test]
    fn inertia_never_grows_and_fitting_ends_when_nothing_moves() {
        let (patches, mut all) = (patches(), Vec::new());
        let start = first_centroids(patches.view(), 12, 0);
        let engine = Backend::default().into();
        let fitted = fit(patches.view(), start, 500, &engine, &mut |_, found| {
            all.push(found.inertia);
            ControlFlow::Continue(())
        });
        assert!(all.len() < 500 && all.is_sorted_by(|a, b| *b <= a * (1.0 + 1e-6)), "{all:?}");
        let again = iterate(patches.view(), &fitted, &engine);
        assert_eq!(again.next, fitted);
    }

    #[test]
    fn first_centroids_are_patches_and_differ_while_patches_do() {
        let patches = Array2::from_shape_fn((40, 2), |(row, j)| (row % 8 + j) as f32);
        let codebook = first_centroids(patches.view(), 8, 7);
        let mut firsts: Vec<u32> = codebook.centroids.column(0).iter().map(|x| x.to_bits()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 8, "eight patches differ, eight are chosen");
        assert_eq!(first_centroids(patches.view(), 20, 7).tokens(), 20, "also more than there are");
        assert_ne!(first_centroids(patches.view(), 8, 8), codebook, "another seed");
    }
}
