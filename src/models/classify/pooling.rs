//! From an image's tokens to one row of features: the class token's, or the mean over the patches', and its norm.

use crate::base::Real;
use crate::exec::Exec;
use crate::exec::kernel::Kernel;
use crate::layers::LayerNorm;
use crate::layers::layer_norm::LayerNormCache;
use crate::params::{Params, Tensor, TensorMut};
use ndarray::{Array2, ArrayBase, ArrayView2, Data, Ix2};
use serde::{Deserialize, Serialize};

/// Which of an image's tokens a head sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The class token's row, `y_b = x_{b,0}`.
    Class,
    /// The mean over the patches without the class token, `y_b = 1/L Σ_l x_{b,1+l}`: the reference's `global_pool`.
    Mean,
}

impl Pooling {
    /// The reference's name of the layer norm in front of the head: its global pooling has one of its own, since the
    /// encoder's would have normalised every token before the mean.
    #[must_use]
    pub fn norm_name(self) -> &'static str {
        match self {
            Self::Class => "norm",
            Self::Mean => "fc_norm",
        }
    }

    /// The rows behind `images` images' last block that pooling looks at, `N = tokens` an image, if it can do without the others
    /// and nobody else wants to see them.
    #[must_use]
    pub fn rows<F: Real>(self, images: usize, tokens: usize, cx: &Exec<F>) -> Option<Vec<usize>> {
        let class_alone = self == Self::Class && !cx.is_traced();
        class_alone.then(|| (0..images).map(|image| image * tokens).collect())
    }

    /// `x: [B·N, D] → y: [B, D]`, the class token first, or alone if that is pooled.
    ///
    /// # Panics
    /// If the rows are not those of `images` images.
    pub fn pool<F: Real>(self, x: &Array2<F>, images: usize, cx: &mut Exec<F>) -> Array2<F> {
        let ((r, d), tokens) = (x.dim(), x.nrows() / images);
        let fewest = if self == Self::Class { 1 } else { 2 };
        assert!(r.is_multiple_of(images) && tokens >= fewest, "{r} rows are not those of {images} images");
        let mut y = cx.take(images, d);
        let images = rows_of(x).chunks_exact(tokens * d).zip(rows_of_mut(&mut y).chunks_exact_mut(d));
        match self {
            Self::Class => cx.each(images, |(image, y)| y.copy_from_slice(&image[..d])),
            Self::Mean => cx.rows(images, Mean),
        }
        y
    }

    /// The adjoint: `dx_{b,0} = dy_b` and 0 for patches, or `dx_{b,1+l} = dy_b / L` and 0 for the class token.
    pub fn backward<F: Real>(self, dy: ArrayView2<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
        let (b, d) = dy.dim();
        let mut dx = cx.take(b * tokens, d);
        let images = rows_of_mut(&mut dx).chunks_exact_mut(tokens * d).zip(rows_of(&dy).chunks_exact(d));
        match self {
            Self::Class => cx.each(images, |(image, dy)| {
                let (class, patches) = image.split_at_mut(d);
                class.copy_from_slice(dy);
                patches.fill(F::zero());
            }),
            Self::Mean => cx.rows(images, MeanBackward),
        }
        dx
    }
}

/// Pooling, then layer norm: `features = γ ⊙ x̂ + β` of the pooled row.
///
/// The reference normalises all tokens before it takes the class token's row. Layer norm works row by row, so
/// normalising this row alone is the same.
#[derive(Clone, Debug)]
pub struct PoolNorm<F> {
    /// Which tokens.
    pub pooling: Pooling,
    /// `norm` or `fc_norm` in a checkpoint, see [`Pooling::norm_name`].
    pub norm: LayerNorm<F>,
}

/// What [`PoolNorm::backward`] needs.
#[must_use]
pub struct PoolNormCache<F> {
    norm: LayerNormCache<F>,
    tokens: usize,
}

impl<F: Real> PoolNormCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.norm.recycle(cx);
    }
}

impl<F: Real> PoolNorm<F> {
    /// `x: [B·N, D] → features: [B, D]` of `B = images`.
    pub fn forward(&self, x: Array2<F>, images: usize, cx: &mut Exec<F>) -> (Array2<F>, PoolNormCache<F>) {
        let (pooled, tokens) = (self.pooling.pool(&x, images, cx), x.nrows() / images);
        cx.recycle(x);
        cx.trace("pooled", &pooled);
        let (features, norm) = self.norm.forward(pooled, cx);
        cx.trace("features", &features);
        (features, PoolNormCache { norm, tokens })
    }

    /// Adds the norm's gradient; `dfeatures: [B, D] → dx: [B·N, D]`.
    pub fn backward(
        &self,
        cache: PoolNormCache<F>,
        dfeatures: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.trace_gradient("features", &dfeatures);
        let dpooled = self.norm.backward(cache.norm, dfeatures, &mut grad.norm, cx);
        cx.trace_gradient("pooled", &dpooled);
        let dx = self.pooling.backward(dpooled.view(), cache.tokens, cx);
        cx.recycle(dpooled);
        dx
    }
}

/// The norm's tensors under the name that goes with the pooling.
impl<F: Real> Params<F> for PoolNorm<F> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        self.norm.walk(&format!("{prefix}{}.", self.pooling.norm_name()), out);
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        self.norm.walk_mut(&format!("{prefix}{}.", self.pooling.norm_name()), out);
    }
}

/// The mean over an image's tokens but the first.
struct Mean;

impl<F: Real> Kernel<(&[F], &mut [F])> for Mean {
    #[inline(always)]
    fn run(&self, (image, mean): (&[F], &mut [F])) {
        let d = mean.len();
        let patches = &image[d..];
        mean.fill(F::zero());
        for token in patches.chunks_exact(d) {
            for (sum, &x) in mean.iter_mut().zip(token) {
                *sum += x;
            }
        }
        let count = F::of((patches.len() / d) as f64);
        for sum in mean {
            *sum /= count;
        }
    }
}

/// Each patch's token gets its part, the class token 0.
struct MeanBackward;

impl<F: Real> Kernel<(&mut [F], &[F])> for MeanBackward {
    #[inline(always)]
    fn run(&self, (dimage, dmean): (&mut [F], &[F])) {
        let (dclass, dpatches) = dimage.split_at_mut(dmean.len());
        dclass.fill(F::zero());
        let share = F::one() / F::of((dpatches.len() / dmean.len()) as f64);
        for dtoken in dpatches.chunks_exact_mut(dmean.len()) {
            for (dx, &dy) in dtoken.iter_mut().zip(dmean) {
                *dx = dy * share;
            }
        }
    }
}

fn rows_of<F, S: Data<Elem = F>>(matrix: &ArrayBase<S, Ix2>) -> &[F] {
    matrix.as_slice().expect("activations are row-major")
}

fn rows_of_mut<F>(matrix: &mut Array2<F>) -> &mut [F] {
    matrix.as_slice_mut().expect("activations are row-major")
}
