//! Loss and gradient of one batch: chunk by chunk, summed along the fixed tree; and what else is counted of predictions.

use super::monitor::Seen;
use crate::base::Real;
use crate::models::beit::{Beit, Tokenizer};
use crate::train::WorkerPool;
use crate::train::step::{map, sum_and_map};
use crate::train::task::Losses;
use ndarray::{ArrayView4, s};

/// Images, and which of their patches are masked.
#[derive(Clone, Copy)]
pub struct Masked<'a, F> {
    /// `[B, C, H, W]`.
    pub images: ArrayView4<'a, F>,
    /// `[B·L]`.
    pub masked: &'a [bool],
}

impl<F: Real> Masked<'_, F> {
    /// Masked patches of all images; 1 if there are none, whose loss is 0.
    #[must_use]
    pub fn denominator(&self) -> usize {
        self.masked.iter().filter(|masked| **masked).count().max(1)
    }

    /// So many images at a time.
    #[must_use]
    pub fn chunks(self, size: usize) -> Vec<Self> {
        let (images, patches) = (self.images.dim().0, self.masked.len() / self.images.dim().0);
        let chunk = |first: usize| {
            let last = (first + size).min(images);
            let masked = &self.masked[first * patches..last * patches];
            Self { images: self.images.slice_move(s![first..last, .., .., ..]), masked }
        };
        (0..images).step_by(size).map(chunk).collect()
    }
}

/// The loss of a batch with its monitors, and its gradient, chunks of `micro_batch` images at a time. The denominator, the
/// number of masked patches, is the whole batch's.
pub fn loss_and_gradient<F: Real>(
    model: &Beit<F>,
    tokenizer: &Tokenizer<F>,
    batch: Masked<'_, F>,
    micro_batch: usize,
    workers: &WorkerPool<F, Beit<F>>,
) -> (Losses, Beit<F>) {
    let (masked_in_batch, chunks) = (batch.denominator(), batch.chunks(micro_batch));
    let (loss_sum, seen, grad) = sum_and_map(model, chunks.len(), workers, |i, grad, cx| {
        let Masked { images, masked } = chunks[i];
        let ids = tokenizer.ids(images, cx);
        let (output, cache) = model.forward(images, masked, &ids, cx);
        let dpatches = model.backward(cache, &output, masked, masked_in_batch, grad, cx);
        cx.recycle(dpatches);
        let seen = Seen::of(&output);
        cx.recycle(output.logits);
        (output.loss_sum, seen)
    });
    let values = Seen::total(seen, model.config.vocab_size).values();
    (Losses::new(loss_sum / masked_in_batch as f64, values), grad)
}

/// What a batch's predictions are like, without a gradient.
pub fn judge<F: Real>(
    model: &Beit<F>,
    tokenizer: &Tokenizer<F>,
    batch: Masked<'_, F>,
    micro_batch: usize,
    workers: &WorkerPool<F, Beit<F>>,
) -> Seen {
    let chunks = batch.chunks(micro_batch);
    let seen = map(chunks.len(), workers, |i, cx| {
        let Masked { images, masked } = chunks[i];
        let ids = tokenizer.ids(images, cx);
        let output = model.infer(images, masked, &ids, cx);
        let seen = Seen::of(&output);
        cx.recycle(output.logits);
        seen
    });
    Seen::total(seen, model.config.vocab_size)
}
