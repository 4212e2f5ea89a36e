//! The auxiliary head: logits from one level in the middle, so that the loss also reaches the trunk on a shorter way. It has
//! no part in predictions.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::conv_norm_relu::ConvNormReluCache;
use crate::layers::conv3x3::{Conv3x3, Conv3x3Cache};
use crate::layers::linear::LinearCache;
use crate::layers::{ConvNormRelu, Linear, Pointwise};
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// `classify(ReLU(LN(conv(x))))`, a 3 × 3 convolution without bias and a 1 × 1 with one.
    pub struct AuxiliaryHead {
        first {
            /// `conv` and `norm`, `D → A`.
            hidden: ConvNormRelu<F, Conv3x3<F>>,
        }
        layers {
            /// `A → K`.
            classify: Pointwise<Linear<F>>,
        }
        plain {
            /// The level's size.
            size: [usize; 2],
        }
    }
}

/// What [`AuxiliaryHead::backward`] needs.
#[must_use]
pub struct AuxiliaryCache<F> {
    hidden: ConvNormReluCache<F, Conv3x3Cache<F>>,
    classify: LinearCache<F>,
}

impl<F: Real> AuxiliaryCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        ConvNormRelu::<_, Conv3x3<_>>::recycle(self.hidden, cx);
        self.classify.recycle(cx);
    }
}

impl<F: Real> AuxiliaryHead<F> {
    /// All zeros; maps of `size = [H, W]` with `width` channels.
    #[must_use]
    pub fn new(width: usize, channels: usize, classes: usize, size: [usize; 2], eps: f64) -> Self {
        let hidden = ConvNormRelu::new(width, channels, eps);
        Self { hidden, classify: Pointwise(Linear::new(channels, classes)), size }
    }

    /// `x: [B·H·W, D] → logits: [B·H·W, K]`.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, AuxiliaryCache<F>) {
        let (x, hidden) = cx.inside("aux_hidden", |cx| {
            let (x, cache) = self.hidden.forward(x, self.size, cx);
            cx.trace("", &x);
            (x, cache)
        });
        let (logits, classify) = self.classify.0.forward(x, cx);
        cx.trace("aux_logits_low", &logits);
        (logits, AuxiliaryCache { hidden, classify })
    }

    /// Adds the head's gradient; returns `dx`.
    pub fn backward(
        &self,
        cache: AuxiliaryCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.trace_gradient("aux_logits_low", &dlogits);
        let dhidden = self.classify.0.backward(cache.classify, dlogits, &mut grad.classify.0, cx);
        cx.trace_gradient("aux_hidden", &dhidden);
        let dx = self.hidden.backward(cache.hidden, dhidden.view(), &mut grad.hidden, cx);
        cx.recycle(dhidden);
        dx
    }
}
