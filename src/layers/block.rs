//! Pre-norm transformer block: `mid = x + Attn(LN₁(x))`, `y = mid + MLP(LN₂(mid))`.

use super::attention::{Attention, AttentionCache};
use super::layer_norm::{LayerNorm, LayerNormCache};
use super::mlp::{Mlp, MlpCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::params;
use ndarray::Array2;

params! {
    /// `mid = x + Attn(LN₁(x))`, `y = mid + MLP(LN₂(mid))`.
    pub struct Block {
        layers {
            /// Before attention.
            norm1: LayerNorm<F>,
            /// Mixes tokens.
            attn: Attention<F>,
            /// Before the MLP.
            norm2: LayerNorm<F>,
            /// Mixes features.
            mlp: Mlp<F>,
        }
    }
}

/// What [`Block::backward`] needs.
#[must_use]
pub struct BlockCache<F> {
    norm1: LayerNormCache<F>,
    attn: AttentionCache<F>,
    norm2: LayerNormCache<F>,
    mlp: MlpCache<F>,
}

impl<F: Real> Block<F> {
    /// All zeros.
    #[must_use]
    pub fn new(width: usize, num_heads: usize, hidden: usize, eps: f64) -> Self {
        Self {
            norm1: LayerNorm::new(width, eps),
            attn: Attention::new(width, num_heads),
            norm2: LayerNorm::new(width, eps),
            mlp: Mlp::new(width, hidden),
        }
    }

    /// `x: [B·N, D] → y: [B·N, D]`, `N = tokens`.
    pub fn forward(&self, x: Array2<F>, tokens: usize, cx: &mut Exec<F>) -> (Array2<F>, BlockCache<F>) {
        let (normed, norm1) = self.norm1.forward(&x, cx);
        cx.saw("norm1", &normed);
        let (mut mid, attn) = cx.inside("attn", |cx| self.attn.forward(normed, tokens, cx));
        cx.saw("attn.out", &mid);
        cx.add_assign(&mut mid, &x);
        cx.saw("mid", &mid);
        cx.recycle(x);

        let (normed, norm2) = self.norm2.forward(&mid, cx);
        cx.saw("norm2", &normed);
        let (mut y, mlp) = cx.inside("mlp", |cx| self.mlp.forward(normed, cx));
        cx.saw("mlp.out", &y);
        cx.add_assign(&mut y, &mid);
        cx.saw("", &y);
        cx.recycle(mid);
        (y, BlockCache { norm1, attn, norm2, mlp })
    }

    /// Each branch's input gradient is added to the gradient that flows past it.
    pub fn backward(
        &self,
        cache: BlockCache<F>,
        tokens: usize,
        dy: Array2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.saw_gradient("", &dy);
        cx.saw_gradient("mlp.out", &dy);
        // y = mid + MLP(LN₂(mid))  ⇒  dmid = dy + LN₂ᵀ(MLPᵀ(dy))
        let dnormed = cx.inside("mlp", |cx| self.mlp.backward(cache.mlp, dy.view(), &mut grad.mlp, cx));
        cx.saw_gradient("norm2", &dnormed);
        let mut dmid = self.norm2.backward(cache.norm2, &dnormed, &mut grad.norm2, cx);
        cx.add_assign(&mut dmid, &dy);
        cx.saw_gradient("mid", &dmid);
        cx.recycle(dnormed);
        cx.recycle(dy);

        // mid = x + Attn(LN₁(x))  ⇒  dx = dmid + LN₁ᵀ(Attnᵀ(dmid))
        cx.saw_gradient("attn.out", &dmid);
        let dnormed =
            cx.inside("attn", |cx| self.attn.backward(cache.attn, tokens, dmid.view(), &mut grad.attn, cx));
        cx.saw_gradient("norm1", &dnormed);
        let mut dx = self.norm1.backward(cache.norm1, &dnormed, &mut grad.norm1, cx);
        cx.add_assign(&mut dx, &dmid);
        cx.recycle(dnormed);
        cx.recycle(dmid);
        dx
    }
}
