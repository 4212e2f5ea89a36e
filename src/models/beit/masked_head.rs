//! The head: a linear map of the masked patches' rows to the logits of their tokens.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::Linear;
use crate::layers::linear::LinearCache;
use crate::params;
use ndarray::{Array2, ArrayView2};

params! {
    /// `logits_m = W x_row(m) + b`, `row(m)` the token of the `m`-th masked patch. Other rows are not computed.
    pub struct MaskedHead {
        layers {
            /// `D → V`.
            lm_head: Linear<F>,
        }
    }
}

/// What [`MaskedHead::backward`] needs: the masked patches' rows.
#[must_use]
pub struct MaskedHeadCache<F>(LinearCache<F>);

impl<F: Real> MaskedHeadCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.0.recycle(cx);
    }
}

impl<F: Real> MaskedHead<F> {
    /// All zeros.
    #[must_use]
    pub fn new(width: usize, vocab_size: usize) -> Self {
        Self { lm_head: Linear::new(width, vocab_size) }
    }

    /// `x: [B·(1 + L), D] → logits: [M, V]`, the masked patches in row-major order of (image, patch); `masked: [B·L]`.
    pub fn forward(
        &self,
        x: Array2<F>,
        masked: &[bool],
        tokens: usize,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, MaskedHeadCache<F>) {
        let rows = rows_of_masked(masked, tokens, x.nrows());
        let mut gathered = cx.take(rows.len(), x.ncols());
        for (mut to, &row) in gathered.outer_iter_mut().zip(&rows) {
            to.assign(&x.row(row));
        }
        cx.recycle(x);
        let (logits, cache) = self.lm_head.forward(gathered, cx);
        (logits, MaskedHeadCache(cache))
    }

    /// Adds the head's gradient; returns `dx: [B·(1 + L), D]`, 0 for the class tokens and for what is not masked.
    pub fn backward(
        &self,
        cache: MaskedHeadCache<F>,
        masked: &[bool],
        tokens: usize,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let gathered = self.lm_head.backward(cache.0, dlogits, &mut grad.lm_head, cx);
        let mut dx = cx.zeros(masked.len() / (tokens - 1) * tokens, gathered.ncols());
        let rows = rows_of_masked(masked, tokens, dx.nrows());
        for (from, &row) in gathered.outer_iter().zip(&rows) {
            dx.row_mut(row).assign(&from);
        }
        cx.recycle(gathered);
        dx
    }
}

/// The row of each masked patch among `1 + L` tokens an image, of which the class token is the first.
fn rows_of_masked(masked: &[bool], tokens: usize, rows: usize) -> Vec<usize> {
    let patches = tokens - 1;
    assert_eq!(masked.len() * tokens, rows * patches, "a mark for every patch of {tokens} tokens an image");
    let masked = masked.iter().enumerate().filter(|(_, masked)| **masked);
    masked.map(|(patch, _)| patch / patches * tokens + 1 + patch % patches).collect()
}
