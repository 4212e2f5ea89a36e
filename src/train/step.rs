//! Loss and gradient of one batch: chunk by chunk, summed along the fixed tree.

use super::workers::Workers;
use crate::base::Real;
use crate::exec::tree;
use crate::mae::{Mae, Mask};
use crate::params::Params;
use ndarray::{ArrayView4, Axis};

/// The loss of a batch and its gradient.
///
/// The batch is cut into chunks of `micro_batch` images. One task carries a chunk through forward and
/// backward with its activations in cache; chunk results are added along a binary tree over the chunk's
/// index. Neither depends on the number of threads, so neither do the bits. The denominator, the number of
/// removed patches, is the whole batch's.
pub fn loss_and_gradient<F: Real>(
    model: &Mae<F>,
    images: ArrayView4<F>,
    masks: &[Mask],
    micro_batch: usize,
    workers: &Workers<F, Mae<F>>,
) -> (f64, Mae<F>) {
    let removed = removed(masks);
    let chunks: Vec<_> =
        images.axis_chunks_iter(Axis(0), micro_batch).zip(masks.chunks(micro_batch)).collect();
    // With fewer chunks than threads the products themselves spread over the threads.
    let split = chunks.len() < rayon::current_num_threads();
    let chunk = |i: usize| {
        let (images, masks) = &chunks[i];
        let mut grad = workers.gradient(model);
        let loss_sum = workers.run(split, |cx| {
            let (output, cache) = model.forward(images.view(), masks, cx);
            let dpatches = model.backward(cache, &output, masks, removed, &mut grad, cx);
            cx.recycle(dpatches);
            output.recycle(cx)
        });
        (loss_sum, grad)
    };
    let add = |(loss, mut grad): (f64, Mae<F>), (other_loss, other): (f64, Mae<F>)| {
        grad.accumulate(&other);
        workers.give_back(other);
        (loss + other_loss, grad)
    };
    let (loss_sum, grad) = tree::reduce(chunks.len(), &chunk, &add).expect("a batch has images");
    (loss_sum / removed as f64, grad)
}

/// The loss of a batch without its gradient.
pub fn loss<F: Real>(
    model: &Mae<F>,
    images: ArrayView4<F>,
    masks: &[Mask],
    micro_batch: usize,
    workers: &Workers<F, Mae<F>>,
) -> f64 {
    let chunks: Vec<_> =
        images.axis_chunks_iter(Axis(0), micro_batch).zip(masks.chunks(micro_batch)).collect();
    let chunk = |i: usize| {
        let (images, masks) = &chunks[i];
        workers.run(false, |cx| model.infer(images.view(), masks, cx).recycle(cx))
    };
    let sum = tree::reduce(chunks.len(), &chunk, &|a, b| a + b).unwrap_or(0.0);
    sum / removed(masks) as f64
}

fn removed(masks: &[Mask]) -> usize {
    masks.iter().map(Mask::removed).sum()
}
