//! Loss and gradient of one batch: chunk by chunk, summed along the fixed tree.

use crate::base::Real;
use crate::exec::tree;
use crate::models::mae::{Mae, Mask};
use crate::train::WorkerPool;
use crate::train::step::{map, sum};
use ndarray::{ArrayView4, Axis};

/// The loss of a batch and its gradient, chunks of `micro_batch` images at a time. The denominator, the number of
/// removed patches, is the whole batch's.
pub fn loss_and_gradient<F: Real>(
    model: &Mae<F>,
    images: ArrayView4<F>,
    masks: &[Mask],
    micro_batch: usize,
    workers: &WorkerPool<F, Mae<F>>,
) -> (f64, Mae<F>) {
    let removed = removed(masks);
    let chunks: Vec<_> =
        images.axis_chunks_iter(Axis(0), micro_batch).zip(masks.chunks(micro_batch)).collect();
    let (loss_sum, grad) = sum(model, chunks.len(), workers, |i, grad, cx| {
        let (images, masks) = &chunks[i];
        let (output, cache) = model.forward(images.view(), masks, cx);
        let dpatches = model.backward(cache, &output, masks, removed, grad, cx);
        cx.recycle(dpatches);
        let loss_sum = output.loss_sum;
        output.recycle(cx);
        loss_sum
    });
    (loss_sum / removed as f64, grad)
}

/// The loss of a batch without its gradient.
pub fn loss<F: Real>(
    model: &Mae<F>,
    images: ArrayView4<F>,
    masks: &[Mask],
    micro_batch: usize,
    workers: &WorkerPool<F, Mae<F>>,
) -> f64 {
    let chunks: Vec<_> =
        images.axis_chunks_iter(Axis(0), micro_batch).zip(masks.chunks(micro_batch)).collect();
    let sums = map(chunks.len(), workers, |i, cx| {
        let (images, masks) = &chunks[i];
        let output = model.infer(images.view(), masks, cx);
        let loss_sum = output.loss_sum;
        output.recycle(cx);
        loss_sum
    });
    let sum = tree::reduce(chunks.len(), &|i| sums[i], &|a, b| a + b).unwrap_or(0.0);
    sum / removed(masks) as f64
}

fn removed(masks: &[Mask]) -> usize {
    masks.iter().map(Mask::removed).sum()
}
