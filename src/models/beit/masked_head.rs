//! The head: a linear map of the masked patches' rows to the logits of their tokens.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::Linear;
use crate::layers::gather::{gather, scatter};
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

/// What [`MaskedHead::backward`] needs: the masked patches' rows, and where they came from.
#[must_use]
pub struct MaskedHeadCache<F> {
    linear: LinearCache<F>,
    rows: Option<Vec<usize>>,
    count: usize,
}

impl<F: Real> MaskedHeadCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.linear.recycle(cx);
    }
}

impl<F: Real> MaskedHead<F> {
    /// All zeros.
    #[must_use]
    pub fn new(width: usize, vocab_size: usize) -> Self {
        Self { lm_head: Linear::new(width, vocab_size) }
    }

    /// `x: [B·(1 + L), D] → logits: [M, V]` of the masked patches' rows, or of an `x` that consists of them.
    pub fn forward(
        &self,
        x: Array2<F>,
        rows: Option<&[usize]>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, MaskedHeadCache<F>) {
        let count = x.nrows();
        let (logits, linear) = self.lm_head.forward(gather(x, rows, cx), cx);
        (logits, MaskedHeadCache { linear, rows: rows.map(<[usize]>::to_vec), count })
    }

    /// Adds the head's gradient; returns `dx`, 0 for the class tokens and for what is not masked.
    pub fn backward(
        &self,
        cache: MaskedHeadCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dgathered = self.lm_head.backward(cache.linear, dlogits, &mut grad.lm_head, cx);
        scatter(dgathered, cache.rows.as_deref(), cache.count, cx)
    }
}

/// The row of each masked patch, in row-major order of (image, patch), among `1 + L = tokens` of an image, of which the class
/// token is the first; `masked: [B·L]`.
///
/// # Panics
/// If the marks are not those of whole images.
#[must_use]
pub fn rows_of_masked(masked: &[bool], tokens: usize) -> Vec<usize> {
    let patches = tokens - 1;
    assert!(masked.len().is_multiple_of(patches), "a mark for every patch of {tokens} tokens an image");
    let masked = masked.iter().enumerate().filter(|(_, masked)| **masked);
    masked.map(|(patch, _)| patch / patches * tokens + 1 + patch % patches).collect()
}
