//! Multi-head self-attention: each token asks every token of its image, head by head.
//!
//! `[Q K V] = x Wᵀ_qkv + b`, `P = softmax(Q Kᵀ / √d_h)`, `o = P V`, `y = o Wᵀ_proj + b`.

use super::gather::{gather, scatter};
use super::linear::{Linear, LinearCache};
use crate::base::Real;
use crate::exec::kernel::{self, Kernel};
use crate::exec::{Exec, rows, small};
use crate::params;
use ndarray::{Array2, ArrayBase, ArrayView2, ArrayView3, ArrayViewMut2, Axis, Ix2, Ix3, RawData};

params! {
    /// Multi-head self-attention among the tokens of one image.
    pub struct Attention {
        layers {
            /// `D → 3D`: query, key and value stacked in this order; head `h` owns columns
            /// `h·d_h .. (h+1)·d_h` of each.
            qkv: Linear<F>,
            /// `D → D`.
            proj: Linear<F>,
        }
        plain {
            /// `H`.
            num_heads: usize,
        }
    }
}

// The parts of `qkv`.
const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;

/// What [`Attention::backward`] needs: `Q, K, V`, and the probabilities `P` of every image and head.
#[must_use]
pub struct AttentionCache<F> {
    x: LinearCache<F>,
    context: LinearCache<F>,
    qkv: Array2<F>,
    /// `[B · H · N, N]`: the probabilities of image `b`, head `h` are rows `(b·H + h)·N ..`.
    probabilities: Array2<F>,
    /// Whose output was wanted, if not everybody's.
    rows: Option<Vec<usize>>,
}

impl<F: Real> AttentionCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.x.recycle(cx);
        self.context.recycle(cx);
        cx.recycle(self.qkv);
        cx.recycle(self.probabilities);
    }
}

impl<F: Real> Attention<F> {
    /// All zeros.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    #[must_use]
    pub fn new(width: usize, num_heads: usize) -> Self {
        assert!(width.is_multiple_of(num_heads), "{num_heads} heads do not divide width {width}");
        Self { qkv: Linear::new(width, 3 * width), proj: Linear::new(width, width), num_heads }
    }

    /// `x: [B·N, D] → y: [B·N, D]`, `N = tokens`.
    ///
    /// # Panics
    /// If the rows are not whole images.
    pub fn forward(&self, x: Array2<F>, tokens: usize, cx: &mut Exec<F>) -> (Array2<F>, AttentionCache<F>) {
        self.forward_of(x, tokens, None, cx)
    }

    /// As [`Attention::forward`]; if `rows` are named, their output alone, `y: [M, D]`, which depends on all tokens all the same.
    ///
    /// # Panics
    /// If the rows are not whole images.
    pub fn forward_of(
        &self,
        x: Array2<F>,
        tokens: usize,
        rows: Option<&[usize]>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, AttentionCache<F>) {
        let (r, d) = x.dim();
        assert!(r.is_multiple_of(tokens), "{r} rows are not whole images of {tokens} tokens");
        let (qkv, x) = self.qkv.forward(x, cx);
        cx.trace("qkv", &qkv);

        let scale = self.scale();
        let mut context = cx.take(r, d);
        let mut probabilities = cx.take(r * self.num_heads, tokens);
        let images = qkv
            .axis_chunks_iter(Axis(0), tokens)
            .zip(context.axis_chunks_iter_mut(Axis(0), tokens))
            .zip(probabilities.axis_chunks_iter_mut(Axis(0), self.num_heads * tokens));
        let gemm = cx.backend();
        cx.each(images, |((qkv, context), mut probabilities)| {
            let [q, k, v] = [Q, K, V].map(|part| self.heads(qkv, part));
            // P = softmax(Q Kᵀ / √d_h)
            small::products(gemm, scale, q, transposed(k), by_head(probabilities.view_mut()));
            kernel::widest(&Softmax { n: tokens }, rows_of(&mut probabilities));
            // o = P V
            small::products(gemm, F::one(), by_head(probabilities.view()), v, self.heads(context, 0));
        });
        cx.trace("probabilities", &probabilities);
        cx.trace("context", &context);
        let (y, context) = self.proj.forward(gather(context, rows, cx), cx);
        (y, AttentionCache { x, context, qkv, probabilities, rows: rows.map(<[usize]>::to_vec) })
    }

    /// Returns `dx`; per image and head `dV = Pᵀ do`, `dP = do Vᵀ`, `dS = P ⊙ (dP − Σ_j dP ⊙ P)`,
    /// `dQ = dS K / √d_h`, `dK = dSᵀ Q / √d_h`.
    pub fn backward(
        &self,
        cache: AttentionCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let AttentionCache { x, context, qkv, probabilities, rows } = cache;
        let tokens = probabilities.ncols();
        let dcontext = self.proj.backward(context, dy, &mut grad.proj, cx);
        let dcontext = scatter(dcontext, rows.as_deref(), qkv.nrows(), cx);
        cx.trace_gradient("context", &dcontext);

        let scale = self.scale();
        let mut dqkv = cx.take(qkv.nrows(), qkv.ncols());
        let mut dscores = cx.take(probabilities.nrows(), tokens);
        let images = qkv
            .axis_chunks_iter(Axis(0), tokens)
            .zip(dcontext.axis_chunks_iter(Axis(0), tokens))
            .zip(probabilities.axis_chunks_iter(Axis(0), self.num_heads * tokens))
            .zip(dqkv.axis_chunks_iter_mut(Axis(0), tokens))
            .zip(dscores.axis_chunks_iter_mut(Axis(0), self.num_heads * tokens));
        let gemm = cx.backend();
        cx.each(images, |((((qkv, dcontext), probabilities), mut dqkv), mut dscores)| {
            let [q, k, v] = [Q, K, V].map(|part| self.heads(qkv, part));
            let (p, dout) = (by_head(probabilities), self.heads(dcontext, 0));
            let mut into = |part, alpha, a: ArrayView3<F>, b: ArrayView3<F>| {
                small::products(gemm, alpha, a, b, self.heads(dqkv.view_mut(), part));
            };
            // o = P V  ⇒  dV = Pᵀ do,  dP = do Vᵀ
            into(V, F::one(), transposed(p), dout);
            small::products(gemm, F::one(), dout, transposed(v), by_head(dscores.view_mut()));
            // P = softmax(S)  ⇒  dS = P ⊙ (dP − Σ_j dP ⊙ P)
            let p = probabilities.as_slice().expect("probabilities are row-major");
            kernel::widest(&SoftmaxBackward { n: tokens }, (p, rows_of(&mut dscores)));
            // S = Q Kᵀ / √d_h  ⇒  dQ = dS K / √d_h,  dK = dSᵀ Q / √d_h
            let ds = by_head(dscores.view());
            into(Q, scale, ds, k);
            into(K, scale, transposed(ds), q);
        });
        cx.trace_gradient("qkv", &dqkv);
        let dx = self.qkv.backward(x, dqkv.view(), &mut grad.qkv, cx);
        for buffer in [qkv, probabilities, dcontext, dqkv, dscores] {
            cx.recycle(buffer);
        }
        dx
    }

    /// `1/√d_h`.
    fn scale(&self) -> F {
        let head_width = self.proj.bias.len() / self.num_heads;
        F::one() / F::of(head_width as f64).sqrt()
    }

    /// Queries, keys or values of an image (or its context, whose only part is 0), head by head: `[N, 3D] → [H, N, d_h]`,
    /// a strided view, no copy.
    fn heads<S: RawData<Elem = F>>(&self, rows: ArrayBase<S, Ix2>, part: usize) -> ArrayBase<S, Ix3> {
        let ((tokens, columns), width) = (rows.dim(), self.proj.bias.len());
        let shape = (tokens, columns / width, self.num_heads, width / self.num_heads);
        let parts = rows.into_shape_with_order(shape).expect("rows of an image are whole and row-major");
        parts.index_axis_move(Axis(1), part).permuted_axes([1, 0, 2])
    }
}

/// The scores of an image, head by head: `[H·N, N] → [H, N, N]`.
fn by_head<S: RawData>(scores: ArrayBase<S, Ix2>) -> ArrayBase<S, Ix3> {
    let (rows, tokens) = scores.dim();
    scores.into_shape_with_order((rows / tokens, tokens, tokens)).expect("scores are row-major")
}

/// Every head's matrix transposed.
fn transposed<F>(heads: ArrayView3<F>) -> ArrayView3<F> {
    heads.permuted_axes([0, 2, 1])
}

fn rows_of<'a, F>(matrix: &'a mut ArrayViewMut2<F>) -> &'a mut [F] {
    matrix.as_slice_mut().expect("scores are row-major")
}

/// `p_j = e^(s_j − max s) / Σ_j e^(s_j − max s)` in each row of `n` scores.
struct Softmax {
    n: usize,
}

impl<F: Real> Kernel<&mut [F]> for Softmax {
    #[inline(always)]
    fn run(&self, scores: &mut [F]) {
        for row in scores.chunks_exact_mut(self.n) {
            let max = rows::max(row);
            for s in row {
                *s -= max;
            }
        }
        // Over all rows at once: they may be shorter than a vector.
        for s in &mut *scores {
            *s = s.exp_row();
        }
        for row in scores.chunks_exact_mut(self.n) {
            let inverse = F::one() / rows::sum(row);
            for s in row {
                *s *= inverse;
            }
        }
    }
}

/// `ds = p ⊙ (dp − Σ_j dp_j p_j)` in each row of `n`, written over `dp`.
struct SoftmaxBackward {
    n: usize,
}

impl<F: Real> Kernel<(&[F], &mut [F])> for SoftmaxBackward {
    #[inline(always)]
    fn run(&self, (p, dp): (&[F], &mut [F])) {
        for (p, dp) in p.chunks_exact(self.n).zip(dp.chunks_exact_mut(self.n)) {
            let sum = rows::dot(p, dp);
            for (dp, &p) in dp.iter_mut().zip(p) {
                *dp = p * (*dp - sum);
            }
        }
    }
}
