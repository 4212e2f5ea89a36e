//! Loss and gradient of one labelled batch: chunk by chunk, summed along the fixed tree.

use crate::base::Real;
use crate::exec::tree;
use crate::params::Params;
use crate::tasks::classify::Pass;
use crate::tasks::{Classifier, cross_entropy};
use crate::train::Workers;
use ndarray::{ArrayView2, ArrayView4, Axis};

/// The mean cross-entropy of a batch and its gradient; chunks of `micro_batch` images as in pre-training.
pub fn loss_and_gradient<F: Real>(
    model: &Classifier<F>,
    images: ArrayView4<F>,
    targets: ArrayView2<F>,
    tune_blocks: Option<usize>,
    micro_batch: usize,
    workers: &Workers<F, Classifier<F>>,
) -> (f64, Classifier<F>) {
    let count = images.len_of(Axis(0));
    let chunks = images.axis_chunks_iter(Axis(0), micro_batch);
    let chunks: Vec<_> = chunks.zip(targets.axis_chunks_iter(Axis(0), micro_batch)).collect();
    // With fewer chunks than threads the products themselves spread over the threads.
    let split = chunks.len() < rayon::current_num_threads();
    let chunk = |i: usize| {
        let (images, targets) = &chunks[i];
        let mut grad = workers.gradient(model);
        let loss_sum = workers.run(split, |cx| {
            let pass = Pass { tune_blocks, drop_path: None };
            let (logits, cache) = model.forward(*images, &pass, cx);
            let targets = targets.to_owned();
            let dlogits = cross_entropy::backward(&logits, &targets, count);
            if let Some(dpatches) = model.backward(cache, dlogits.view(), &mut grad, cx) {
                cx.recycle(dpatches);
            }
            cross_entropy::sum(&logits, &targets)
        });
        (loss_sum, grad)
    };
    let add = |(loss, mut grad): (f64, Classifier<F>), (other_loss, other): (f64, Classifier<F>)| {
        grad.accumulate(&other);
        workers.give_back(other);
        (loss + other_loss, grad)
    };
    let (loss_sum, grad) = tree::reduce(chunks.len(), &chunk, &add).expect("a batch has images");
    (loss_sum / count as f64, grad)
}
