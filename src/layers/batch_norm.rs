//! Batch norm without scale and shift: each feature normalised over the batch.

use crate::base::Real;
use crate::exec::Exec;
use crate::params;
use ndarray::{Array0, Array1, Array2, ArrayView2, Axis};

params! {
    /// `y = (x − μ) / √(σ² + ε)`, `μ` and `σ²` (divisor N) of each feature over the batch.
    ///
    /// The reference puts it in front of the linear probe's head, so that features of any size can be probed with the
    /// same learning rate (He et al. 2022, appendix A.1); MoCo v3 ends both of its heads in it.
    /// [`super::AffineBatchNorm`] has scale and shift.
    pub struct BatchNorm {
        buffers {
            /// `[D]`: the running mean, which evaluation normalises with.
            running_mean: Array1<F>,
            /// `[D]`: the running variance, of divisor N − 1.
            running_var: Array1<F>,
            /// `[]`: batches that went into them. PyTorch keeps a whole number; a float of this type counts exactly up to
            /// 2²⁴ in f32, and nothing depends on it.
            num_batches_tracked: Array0<F>,
        }
        plain {
            /// The fraction of a new batch in the running statistics.
            momentum: f64,
            /// `ε`.
            eps: f64,
        }
    }
}

/// What [`BatchNorm::backward`] needs, and the batch's statistics.
#[must_use]
pub struct BatchNormCache<F> {
    pub(super) x_hat: Array2<F>,
    inv_std: Array1<F>,
    batch: Option<Statistics<F>>,
}

/// Statistics of a training batch, which [`BatchNorm::track`] takes.
#[derive(Clone, Debug)]
pub struct Statistics<F> {
    /// `[D]`.
    pub mean: Array1<F>,
    /// `[D]`: of divisor N − 1.
    pub variance: Array1<F>,
}

impl<F> BatchNormCache<F> {
    /// The batch's; none in evaluation.
    pub fn statistics(&self) -> Option<&Statistics<F>> {
        self.batch.as_ref()
    }
}

impl<F: Real> BatchNorm<F> {
    /// Running mean 0 and variance 1, momentum 0.1.
    #[must_use]
    pub fn new(width: usize, eps: f64) -> Self {
        let (running_mean, running_var) = (Array1::zeros(width), Array1::ones(width));
        Self { running_mean, running_var, num_batches_tracked: Array0::zeros(()), momentum: 0.1, eps }
    }

    /// Training: `x: [N, D] → y: [N, D]` with the statistics of this batch.
    ///
    /// # Panics
    /// If the batch has fewer than two rows: one has no variance.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, BatchNormCache<F>) {
        let n = F::of(x.nrows() as f64);
        assert!(x.nrows() > 1, "batch norm of {:?}: one row has no variance", x.dim());
        let mean = x.sum_axis(Axis(0)) / n;
        let centred = x - &mean;
        let squares = (&centred * &centred).sum_axis(Axis(0));
        let variance = &squares / (n - F::one());
        self.normalise(centred, &(squares / n), Some(Statistics { mean, variance }), cx)
    }

    /// Evaluation: with the running statistics.
    pub fn forward_eval(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, BatchNormCache<F>) {
        self.normalise(x - &self.running_mean, &self.running_var, None, cx)
    }

    fn normalise(
        &self,
        centred: Array2<F>,
        variance: &Array1<F>,
        batch: Option<Statistics<F>>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, BatchNormCache<F>) {
        let inv_std = variance.mapv(|v| F::one() / (v + F::of(self.eps)).sqrt());
        let x_hat = centred * &inv_std;
        (cx.copy(&x_hat), BatchNormCache { x_hat, inv_std, batch })
    }

    /// Takes a training batch into the running statistics: `r ← (1 − momentum) r + momentum · batch`.
    pub fn track(&mut self, batch: &Statistics<F>) {
        let (keep, take) = (F::of(1.0 - self.momentum), F::of(self.momentum));
        self.running_mean.zip_mut_with(&batch.mean, |r, &b| *r = keep * *r + take * b);
        self.running_var.zip_mut_with(&batch.variance, |r, &b| *r = keep * *r + take * b);
        self.num_batches_tracked += F::one();
    }

    /// Training: `dx = (dy − mean(dy) − x̂ · mean(dy ⊙ x̂)) / √(σ² + ε)`, means over the batch: how `μ` and `σ²`
    /// depend on `x`. Evaluation: `dx = dy / √(σ² + ε)`. Nothing is trained, so nothing is added to `grad`.
    pub fn backward(
        &self,
        cache: BatchNormCache<F>,
        dy: ArrayView2<F>,
        _grad: &mut Self,
        _cx: &mut Exec<F>,
    ) -> Array2<F> {
        let BatchNormCache { x_hat, inv_std, batch } = cache;
        if batch.is_none() {
            return &dy * &inv_std;
        }
        let n = F::of(dy.nrows() as f64);
        let mean = dy.sum_axis(Axis(0)) / n;
        let mean_along = (&dy * &x_hat).sum_axis(Axis(0)) / n;
        (&dy - &mean - x_hat * &mean_along) * &inv_std
    }
}
