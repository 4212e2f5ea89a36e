//! MLP: `y = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂`, with GELU in its exact form `h Φ(h)`.

use super::linear::{Linear, LinearCache};
use crate::base::Real;
use crate::exec::kernel::{Kernel, Multiply};
use crate::exec::{Exec, row_blocks};
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// `y = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂`.
    pub struct Mlp {
        layers {
            /// `D → hidden`.
            fc1: Linear<F>,
            /// `hidden → D`.
            fc2: Linear<F>,
        }
    }
}

/// What [`Mlp::backward`] needs: both inputs and `GELU′(h)`, kept from the forward pass, where one
/// exponential gave both the value and the derivative.
#[must_use]
pub struct MlpCache<F> {
    fc1: LinearCache<F>,
    fc2: LinearCache<F>,
    slope: Array2<F>,
}

impl<F: Real> MlpCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.fc1.recycle(cx);
        self.fc2.recycle(cx);
        cx.recycle(self.slope);
    }
}

impl<F: Real> Mlp<F> {
    /// All zeros.
    #[must_use]
    pub fn new(width: usize, hidden: usize) -> Self {
        Self { fc1: Linear::new(width, hidden), fc2: Linear::new(hidden, width) }
    }

    /// `x: [R, D] → y: [R, D]`.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, MlpCache<F>) {
        let (h, fc1) = self.fc1.forward(x, cx);
        cx.trace("fc1", &h);
        let (a, slope) = gelu(h, cx);
        cx.trace("act", &a);
        let (y, fc2) = self.fc2.forward(a, cx);
        (y, MlpCache { fc1, fc2, slope })
    }

    /// `dh = GELU′(h) ⊙ (dy W₂)`; returns `dx = dh W₁`.
    pub fn backward(
        &self,
        cache: MlpCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let MlpCache { fc1, fc2, slope } = cache;
        let mut dh = self.fc2.backward(fc2, dy, &mut grad.fc2, cx);
        cx.trace_gradient("act", &dh);
        // a = GELU(h)  ⇒  dh = GELU′(h) ⊙ da
        cx.rows(row_blocks::of_mut(&mut dh).zip(row_blocks::of(&slope)), Multiply);
        cx.trace_gradient("fc1", &dh);
        let dx = self.fc1.backward(fc1, dh.view(), &mut grad.fc1, cx);
        cx.recycle(dh);
        cx.recycle(slope);
        dx
    }
}

/// `GELU(h) = h Φ(h)` and, written over `h`, `GELU′(h) = Φ(h) + h φ(h)`; `Φ`, `φ` of the normal distribution.
///
/// The reference uses this exact ("erf") form, not the tanh approximation.
pub fn gelu<F: Real>(mut h: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, Array2<F>) {
    let mut a = cx.take(h.nrows(), h.ncols());
    cx.rows(row_blocks::of_mut(&mut h).zip(row_blocks::of_mut(&mut a)), Gelu);
    (a, h)
}

struct Gelu;

impl<F: Real> Kernel<(&mut [F], &mut [F])> for Gelu {
    #[inline(always)]
    fn run(&self, (h, a): (&mut [F], &mut [F])) {
        for (h, a) in h.iter_mut().zip(a) {
            let (cdf, density) = h.normal();
            *a = *h * cdf;
            *h = cdf + *h * density;
        }
    }
}
