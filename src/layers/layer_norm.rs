//! Layer norm: `y = γ ⊙ x̂ + β` with `x̂ = (x − μ) / √(σ² + ε)` over the features of each token.

use crate::base::Real;
use crate::exec::kernel::Kernel;
use crate::exec::{Exec, row_blocks, rows};
use crate::params;
use ndarray::{Array1, Array2, ArrayView2};

params! {
    /// `y = γ ⊙ x̂ + β`, `x̂ = (x − μ) / √(σ² + ε)`; `μ` and `σ²` (divisor D) of each row.
    pub struct LayerNorm {
        tensors {
            /// `γ: [D]`.
            weight: Array1<F> = Norm,
            /// `β: [D]`.
            bias: Array1<F> = Norm,
        }
        plain {
            /// `ε`; the reference uses 1e-6, not the 1e-5 that is common elsewhere.
            eps: f64,
        }
    }
}

/// What [`LayerNorm::backward`] needs: the normalised rows and `1/√(σ² + ε)` of each.
#[must_use]
pub struct LayerNormCache<F> {
    x_hat: Array2<F>,
    inv_std: Array2<F>,
}

impl<F: Real> LayerNormCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.x_hat);
        cx.recycle(self.inv_std);
    }
}

impl<F: Real> LayerNorm<F> {
    /// `γ = β = 0`; [`super::init`] gives the initial values.
    #[must_use]
    pub fn new(width: usize, eps: f64) -> Self {
        Self { weight: Array1::zeros(width), bias: Array1::zeros(width), eps }
    }

    /// `x: [R, D] → y: [R, D]`.
    ///
    /// # Panics
    /// If `x` does not have `D` columns.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, LayerNormCache<F>) {
        let normed = self.forward_of(&x, cx);
        cx.recycle(x);
        normed
    }

    /// As [`LayerNorm::forward`] for an `x` that is needed further, as a block's is.
    ///
    /// # Panics
    /// If `x` does not have `D` columns.
    pub fn forward_of(&self, x: &Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, LayerNormCache<F>) {
        let (r, d) = x.dim();
        let (gamma, beta) = (slice(&self.weight), slice(&self.bias));
        assert_eq!(d, gamma.len(), "layer norm of width {} given {:?}", gamma.len(), x.dim());
        let (mut x_hat, mut y, mut inv_std) = (cx.take(r, d), cx.take(r, d), cx.take(r, 1));
        let blocks = row_blocks::of(x)
            .zip(row_blocks::of_mut(&mut x_hat))
            .zip(row_blocks::of_mut(&mut y))
            .zip(row_blocks::of_mut(&mut inv_std));
        let rows = blocks.map(|(((x, x_hat), y), inv_std)| ForwardRows { x, x_hat, y, inv_std });
        cx.rows(rows, Forward { gamma, beta, eps: F::of(self.eps) });
        (y, LayerNormCache { x_hat, inv_std })
    }

    /// `dγ += Σ_r dy ⊙ x̂`, `dβ += Σ_r dy`; returns
    /// `dx = (dx̂ − mean(dx̂) − x̂ · mean(dx̂ ⊙ x̂)) / √(σ² + ε)` with `dx̂ = dy ⊙ γ`.
    ///
    /// The two means are how `μ` and `σ²` depend on `x`.
    pub fn backward(
        &self,
        cache: LayerNormCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let LayerNormCache { x_hat, inv_std } = cache;
        let (r, d) = x_hat.dim();
        let gamma = slice(&self.weight);
        let mut dx = cx.take(r, d);
        // One row of [dγ, dβ] a row block, added below in the order of the row blocks.
        let mut partials = vec![F::zero(); row_blocks::count(r) * 2 * d];
        let inputs = row_blocks::of(&dy).zip(row_blocks::of(&x_hat)).zip(row_blocks::of(&inv_std));
        let outputs = row_blocks::of_mut(&mut dx).zip(partials.chunks_exact_mut(2 * d));
        let rows = inputs.zip(outputs).map(|(((dy, x_hat), inv_std), (dx, partial))| {
            let (dgamma, dbeta) = partial.split_at_mut(d);
            BackwardRows { dy, x_hat, inv_std, dx, dgamma, dbeta }
        });
        cx.rows(rows, Backward { gamma });
        let (dgamma, dbeta) = (grad.weight.as_slice_mut(), grad.bias.as_slice_mut());
        let (dgamma, dbeta) = (dgamma.expect("contiguous"), dbeta.expect("contiguous"));
        for partial in partials.chunks_exact(2 * d) {
            row_blocks::add_partials(&partial[..d], dgamma);
            row_blocks::add_partials(&partial[d..], dbeta);
        }
        cx.recycle(x_hat);
        cx.recycle(inv_std);
        dx
    }
}

struct Forward<'a, F> {
    gamma: &'a [F],
    beta: &'a [F],
    eps: F,
}

/// A block of rows.
struct ForwardRows<'a, F> {
    x: &'a [F],
    x_hat: &'a mut [F],
    y: &'a mut [F],
    /// `1/√(σ² + ε)` of each row.
    inv_std: &'a mut [F],
}

impl<F: Real> Kernel<ForwardRows<'_, F>> for Forward<'_, F> {
    #[inline(always)]
    fn run(&self, block: ForwardRows<F>) {
        let d = self.gamma.len();
        let n = F::of(d as f64);
        for (r, inv_std) in block.inv_std.iter_mut().enumerate() {
            let row = r * d..(r + 1) * d;
            let (x, x_hat, y) = (&block.x[row.clone()], &mut block.x_hat[row.clone()], &mut block.y[row]);
            let mean = rows::sum(x) / n;
            for (h, &x) in x_hat.iter_mut().zip(x) {
                *h = x - mean;
            }
            *inv_std = F::one() / (rows::dot(x_hat, x_hat) / n + self.eps).sqrt();
            for (((y, h), &g), &b) in y.iter_mut().zip(x_hat).zip(self.gamma).zip(self.beta) {
                *h *= *inv_std;
                *y = *h * g + b;
            }
        }
    }
}

struct Backward<'a, F> {
    gamma: &'a [F],
}

/// A block of rows, and its part of `dγ` and `dβ`.
struct BackwardRows<'a, F> {
    dy: &'a [F],
    x_hat: &'a [F],
    inv_std: &'a [F],
    dx: &'a mut [F],
    dgamma: &'a mut [F],
    dbeta: &'a mut [F],
}

impl<F: Real> Kernel<BackwardRows<'_, F>> for Backward<'_, F> {
    #[inline(always)]
    fn run(&self, block: BackwardRows<F>) {
        let d = self.gamma.len();
        let n = F::of(d as f64);
        for (r, &inv_std) in block.inv_std.iter().enumerate() {
            let (dy, x_hat) = (&block.dy[r * d..][..d], &block.x_hat[r * d..][..d]);
            let dx = &mut block.dx[r * d..][..d];
            for (((dg, db), &dy), &h) in
                block.dgamma.iter_mut().zip(block.dbeta.iter_mut()).zip(dy).zip(x_hat)
            {
                // y = γ ⊙ x̂ + β
                *dg += dy * h;
                *db += dy;
            }
            for ((dx, &dy), &g) in dx.iter_mut().zip(dy).zip(self.gamma) {
                *dx = dy * g;
            }
            let mean = rows::sum(dx) / n;
            let mean_along = rows::dot(dx, x_hat) / n;
            for (dx, &h) in dx.iter_mut().zip(x_hat) {
                *dx = (*dx - mean - h * mean_along) * inv_std;
            }
        }
    }
}

fn slice<F>(vector: &Array1<F>) -> &[F] {
    vector.as_slice().expect("a vector is contiguous")
}
