//! Drop path (stochastic depth): in training, a residual branch is left out for some of the images.

use crate::base::Real;
use crate::base::rng::{Purpose, rng, uniform};
use crate::exec::Exec;
use crate::exec::kernel::Kernel;
use ndarray::{Array2, ArrayBase, ArrayView2, CowArray, Data, Ix2};

/// How often branches are dropped: `y = x + s_b · f(x)` for image `b`, with `s_b = 0` with probability `p` and
/// `s_b = 1 / (1 − p)` otherwise, so that the branch keeps its mean.
///
/// `p` rises from 0 in the first block to `rate` in the last: `p_i = rate · i / (depth − 1)` (Huang et al. 2016, "Deep
/// Networks with Stochastic Depth"; image by image and branch by branch, as the reference's blocks do it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropPath {
    /// `p` of the last block, at least 0 and below 1.
    pub rate: f64,
    /// Blocks.
    pub depth: usize,
}

impl DropPath {
    /// `p_i` of both branches of block `i`. A single block is never dropped.
    #[must_use]
    pub fn rate_of(&self, block: usize) -> f64 {
        if self.depth > 1 { self.rate * block as f64 / (self.depth - 1) as f64 } else { 0.0 }
    }

    /// The factors `s` of some samples of an epoch; none at a rate of 0, which costs nothing.
    ///
    /// Sample by sample, `2 · depth` uniform numbers of `rng(seed, DropPath, epoch, sample)` belong to the blocks in
    /// turn, attention's before the MLP's; a branch is dropped where its number is below `p_i`. So they depend on
    /// nothing else: not on the batch, the chunk or the threads.
    ///
    /// # Panics
    /// If the rate is not at least 0 and below 1.
    #[must_use]
    pub fn draw<F: Real>(&self, seed: u64, epoch: u64, samples: &[u64]) -> Option<Branches<F>> {
        assert!((0.0..1.0).contains(&self.rate), "a drop path rate of {}", self.rate);
        if self.rate == 0.0 {
            return None;
        }
        let mut branches = vec![Vec::with_capacity(samples.len()); 2 * self.depth];
        for &sample in samples {
            let mut rng = rng(seed, Purpose::DropPath, epoch, sample);
            for (i, branch) in branches.iter_mut().enumerate() {
                let p = self.rate_of(i / 2);
                let dropped = uniform(&mut rng) < p;
                branch.push(if dropped { F::zero() } else { F::of(1.0 / (1.0 - p)) });
            }
        }
        Some(Branches(branches))
    }
}

/// The factors of every branch for the images of a chunk: one `[B]` a branch, block by block, attention's before the
/// MLP's.
#[derive(Clone, Debug, PartialEq)]
pub struct Branches<F>(pub Vec<Vec<F>>);

/// `s: [B]` of one branch; none where every image's is 1.
pub type Factors<'a, F> = Option<&'a [F]>;

impl<F: Real> Branches<F> {
    /// Those of block `i`: attention's and the MLP's.
    #[must_use]
    pub fn of_block(&self, i: usize) -> [Factors<'_, F>; 2] {
        [2 * i, 2 * i + 1].map(|branch| {
            let factors = self.0[branch].as_slice();
            factors.iter().any(|&s| s != F::one()).then_some(factors)
        })
    }
}

/// `x_b ← s_b · x_b` for every image's rows of `x: [B·N, D]`; nothing without factors.
pub fn scale<F: Real>(factors: Factors<F>, x: &mut Array2<F>, cx: &Exec<F>) {
    if let Some(factors) = factors {
        let image = rows_of_an_image(factors, x);
        let x = x.as_slice_mut().expect("activations are row-major");
        cx.rows(x.chunks_exact_mut(image).zip(factors), Scale);
    }
}

/// `s_b · x_b`, which is also the adjoint of [`scale`]; without factors `x` itself, not a copy.
pub fn scaled<'x, F: Real>(
    factors: Factors<F>,
    x: ArrayView2<'x, F>,
    cx: &mut Exec<F>,
) -> CowArray<'x, F, Ix2> {
    let Some(factors) = factors else { return x.into() };
    let image = rows_of_an_image(factors, &x);
    let mut y = cx.take(x.nrows(), x.ncols());
    let x = x.as_slice().expect("activations are row-major").chunks_exact(image);
    let y_rows = y.as_slice_mut().expect("activations are row-major").chunks_exact_mut(image);
    let images = y_rows.zip(x).zip(factors).map(|((y, x), &factor)| ScaledImage { y, x, factor });
    cx.rows(images, Scaled);
    y.into()
}

/// Gives the buffer of [`scaled`] back to the pool, if it took one.
pub fn recycle<F: Real>(scaled: CowArray<F, Ix2>, cx: &mut Exec<F>) {
    if scaled.is_owned() {
        cx.recycle(scaled.into_owned());
    }
}

/// Numbers in an image's rows.
fn rows_of_an_image<F, S: Data<Elem = F>>(factors: &[F], x: &ArrayBase<S, Ix2>) -> usize {
    let images = factors.len();
    assert!(images > 0 && x.nrows().is_multiple_of(images), "factors of {images} images for {:?}", x.dim());
    x.len() / images
}

struct Scale;

impl<F: Real> Kernel<(&mut [F], &F)> for Scale {
    #[inline(always)]
    fn run(&self, (x, &factor): (&mut [F], &F)) {
        for x in x {
            *x *= factor;
        }
    }
}

struct Scaled;

/// An image's rows.
struct ScaledImage<'a, F> {
    y: &'a mut [F],
    x: &'a [F],
    factor: F,
}

impl<F: Real> Kernel<ScaledImage<'_, F>> for Scaled {
    #[inline(always)]
    fn run(&self, ScaledImage { y, x, factor }: ScaledImage<F>) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x * factor;
        }
    }
}
