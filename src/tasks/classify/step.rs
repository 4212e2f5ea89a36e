//! Loss and gradient of one labelled batch: chunk by chunk, summed along the fixed tree.

use crate::base::Real;
use crate::models::classify::{Classifier, cross_entropy};
use crate::tasks::transfer::StepOptions;
use crate::train::WorkerPool;
use crate::train::step::sum;
use ndarray::{ArrayView2, ArrayView4, Axis};

/// What a step sees.
pub struct Labelled<'a, F> {
    /// `[B, C, H, W]`.
    pub images: ArrayView4<'a, F>,
    /// `[B, K]`: for each image a distribution over the classes.
    pub targets: ArrayView2<'a, F>,
    /// Each sample's address, which its dropped branches are drawn from.
    pub samples: &'a [u64],
}

/// The mean cross-entropy of a batch and its gradient; chunks of `micro_batch` images as in pre-training.
pub fn loss_and_gradient<F: Real>(
    model: &Classifier<F>,
    batch: &Labelled<F>,
    options: &StepOptions,
    workers: &WorkerPool<F, Classifier<F>>,
) -> (f64, Classifier<F>) {
    let (count, size) = (batch.samples.len(), options.micro_batch);
    let parts = batch.images.axis_chunks_iter(Axis(0), size).zip(batch.samples.chunks(size));
    let chunks: Vec<_> = parts.zip(batch.targets.axis_chunks_iter(Axis(0), size)).collect();
    let (loss_sum, grad) = sum(model, chunks.len(), workers, |i, grad, cx| {
        let ((images, samples), targets) = &chunks[i];
        let targets = targets.to_owned();
        let branches = options.drop_path.draw(options.seed, options.epoch, samples);
        let o = options.forward(branches.as_ref());
        let (logits, cache) = model.forward(*images, &o, cx);
        let dlogits = cross_entropy::backward(&logits, &targets, count);
        if let Some(dpatches) = model.backward(cache, dlogits.view(), grad, cx) {
            cx.recycle(dpatches);
        }
        cross_entropy::sum(&logits, &targets)
    });
    (loss_sum / count as f64, grad)
}
