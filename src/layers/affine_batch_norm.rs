//! Batch norm with scale and shift: `y = γ ⊙ x̂ + β`, `x̂` each feature normalised over the batch.

use super::batch_norm::{BatchNorm, BatchNormCache, Statistics};
use crate::base::Real;
use crate::exec::Exec;
use crate::params;
use ndarray::{Array1, Array2, ArrayView2, Axis};

params! {
    /// `y = γ ⊙ x̂ + β`, `x̂` of [`BatchNorm`] (Ioffe & Szegedy 2015).
    pub struct AffineBatchNorm {
        tensors {
            /// `γ: [D]`.
            weight: Array1<F> = Norm,
            /// `β: [D]`.
            bias: Array1<F> = Norm,
        }
        flat {
            /// Normalises; its buffers stand beside scale and shift in a checkpoint.
            norm: BatchNorm<F>,
        }
    }
}

/// What [`AffineBatchNorm::backward`] needs, and the batch's statistics.
#[must_use]
pub struct AffineBatchNormCache<F>(BatchNormCache<F>);

impl<F> AffineBatchNormCache<F> {
    /// The batch's; none in evaluation.
    pub fn statistics(&self) -> Option<&Statistics<F>> {
        self.0.statistics()
    }
}

impl<F: Real> AffineBatchNorm<F> {
    /// `γ = β = 0`; [`super::init`] gives the initial values.
    #[must_use]
    pub fn new(width: usize, eps: f64) -> Self {
        Self { weight: Array1::zeros(width), bias: Array1::zeros(width), norm: BatchNorm::new(width, eps) }
    }

    /// Training: `x: [N, D] → y: [N, D]` with the statistics of this batch.
    ///
    /// # Panics
    /// If the batch has fewer than two rows: one has no variance.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, AffineBatchNormCache<F>) {
        self.scaled(self.norm.forward(x, cx))
    }

    /// Evaluation: with the running statistics.
    pub fn forward_eval(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, AffineBatchNormCache<F>) {
        self.scaled(self.norm.forward_eval(x, cx))
    }

    fn scaled(&self, (mut y, cache): (Array2<F>, BatchNormCache<F>)) -> (Array2<F>, AffineBatchNormCache<F>) {
        y *= &self.weight;
        y += &self.bias;
        (y, AffineBatchNormCache(cache))
    }

    /// Takes a training batch into the running statistics.
    pub fn track(&mut self, batch: &Statistics<F>) {
        self.norm.track(batch);
    }

    /// `dγ += Σ_n dy ⊙ x̂`, `dβ += Σ_n dy`; returns `dx` of `dx̂ = dy ⊙ γ` ([`BatchNorm::backward`]).
    pub fn backward(
        &self,
        cache: AffineBatchNormCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let AffineBatchNormCache(cache) = cache;
        grad.weight += &(&dy * &cache.x_hat).sum_axis(Axis(0));
        grad.bias += &dy.sum_axis(Axis(0));
        let dx_hat = &dy * &self.weight;
        self.norm.backward(cache, dx_hat.view(), &mut grad.norm, cx)
    }
}
