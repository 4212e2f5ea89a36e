//! Pre-norm transformer block: `mid = x + Attn(LN₁(x))`, `y = mid + MLP(LN₂(mid))`.

use super::attention::{Attention, AttentionCache};
use super::drop_path::{Factors, recycle, scale, scaled};
use super::gather::{gather, scatter};
use super::layer_norm::{LayerNorm, LayerNormCache};
use super::mlp::{Mlp, MlpCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::params;
use ndarray::{Array2, ArrayView2};

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
    /// Drop path's factors of the two branches.
    kept: [Option<Vec<F>>; 2],
    /// Whose output was wanted, if not everybody's.
    rows: Option<Vec<usize>>,
}

impl<F: Real> BlockCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.norm1.recycle(cx);
        self.attn.recycle(cx);
        self.norm2.recycle(cx);
        self.mlp.recycle(cx);
    }
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
        self.forward_with(x, tokens, [None; 2], None, cx)
    }

    /// As [`Block::forward`] with drop path: each image's branches have factors `s` ([`super::drop_path`]),
    /// `mid = x + s_attn · Attn(LN₁(x))`, `y = mid + s_mlp · MLP(LN₂(mid))`.
    ///
    /// If `rows` are named, only theirs is computed of all that is behind attention, the one place where tokens see each
    /// other: `y: [M, D]`. Drop path then wants as many of each image.
    pub fn forward_with(
        &self,
        x: Array2<F>,
        tokens: usize,
        [s_attn, s_mlp]: [Factors<F>; 2],
        rows: Option<&[usize]>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, BlockCache<F>) {
        let (normed, norm1) = self.norm1.forward_of(&x, cx);
        cx.trace("norm1", &normed);
        let (mut mid, attn) = cx.inside("attn", |cx| self.attn.forward_of(normed, tokens, rows, cx));
        let x = gather(x, rows, cx);
        cx.trace("attn.out", &mid);
        scale(s_attn, &mut mid, cx);
        cx.add_assign(&mut mid, &x);
        cx.trace("mid", &mid);
        cx.recycle(x);

        let (normed, norm2) = self.norm2.forward_of(&mid, cx);
        cx.trace("norm2", &normed);
        let (mut y, mlp) = cx.inside("mlp", |cx| self.mlp.forward(normed, cx));
        cx.trace("mlp.out", &y);
        scale(s_mlp, &mut y, cx);
        cx.add_assign(&mut y, &mid);
        cx.trace("", &y);
        cx.recycle(mid);
        let kept = [s_attn, s_mlp].map(|s| s.map(<[F]>::to_vec));
        (y, BlockCache { norm1, attn, norm2, mlp, kept, rows: rows.map(<[usize]>::to_vec) })
    }

    /// Each branch's input gradient is added to the gradient that flows past it. (Without drop path all `s` are 1.)
    pub fn backward(
        &self,
        cache: BlockCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let [s_attn, s_mlp] = cache.kept;
        cx.trace_gradient("", &dy);
        let dout = scaled(s_mlp.as_deref(), dy, cx);
        cx.trace_gradient("mlp.out", &dout);
        // y = mid + s · MLP(LN₂(mid))  ⇒  dmid = dy + LN₂ᵀ(MLPᵀ(s · dy))
        let dnormed = cx.inside("mlp", |cx| self.mlp.backward(cache.mlp, dout.view(), &mut grad.mlp, cx));
        cx.trace_gradient("norm2", &dnormed);
        let mut dmid = self.norm2.backward(cache.norm2, dnormed.view(), &mut grad.norm2, cx);
        cx.add_assign(&mut dmid, &dy);
        cx.trace_gradient("mid", &dmid);
        cx.recycle(dnormed);
        recycle(dout, cx);

        let dout = scaled(s_attn.as_deref(), dmid.view(), cx);
        cx.trace_gradient("attn.out", &dout);
        // mid = x + s · Attn(LN₁(x))  ⇒  dx = dmid + LN₁ᵀ(Attnᵀ(s · dmid))
        let dnormed = cx.inside("attn", |cx| self.attn.backward(cache.attn, dout.view(), &mut grad.attn, cx));
        cx.trace_gradient("norm1", &dnormed);
        let mut dx = self.norm1.backward(cache.norm1, dnormed.view(), &mut grad.norm1, cx);
        cx.recycle(dnormed);
        recycle(dout, cx);
        let dmid = scatter(dmid, cache.rows.as_deref(), dx.nrows(), cx);
        cx.add_assign(&mut dx, &dmid);
        cx.recycle(dmid);
        dx
    }
}
