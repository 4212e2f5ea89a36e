//! Loss and gradient of a segmentation step.

use crate::base::Real;
use crate::data::target::IGNORED;
use crate::models::segment::{SegmentLosses, Segmenter};
use crate::tasks::transfer::StepOptions;
use crate::train::step::{map, sum_and_map};
use crate::train::workers::WorkerPool;
use ndarray::{ArrayView2, ArrayView4, Axis};

/// Images with their label maps.
pub struct Labelled<'a, F> {
    /// `[B, C, H, W]`.
    pub images: ArrayView4<'a, F>,
    /// `[H, W]` for each image.
    pub maps: Vec<ArrayView2<'a, u8>>,
    /// Each sample's address, which its dropped branches are drawn from.
    pub samples: &'a [u64],
}

/// The mean cross-entropies over the labelled pixels of a batch, and the gradient of `main + aux_weight · auxiliary`; chunks of
/// `micro_batch` images as in pre-training. The denominator is the whole batch's, so that an image with few labelled pixels
/// does not count as much as one with many.
pub fn loss_and_gradient<F: Real>(
    model: &Segmenter<F>,
    batch: &Labelled<F>,
    options: &StepOptions,
    workers: &WorkerPool<F, Segmenter<F>>,
) -> (SegmentLosses, Segmenter<F>) {
    let size = options.micro_batch;
    let parts = batch.images.axis_chunks_iter(Axis(0), size).zip(batch.samples.chunks(size));
    let chunks: Vec<_> = parts.zip(batch.maps.chunks(size)).collect();
    let labelled = |i: usize| chunks[i].1.iter().flatten().filter(|&&label| label != IGNORED).count();
    let labelled: usize = map(chunks.len(), workers, |i, _| labelled(i)).into_iter().sum();
    let (main, auxiliary, grad) = sum_and_map(model, chunks.len(), workers, |i, grad, cx| {
        let ((images, samples), maps) = &chunks[i];
        let branches = options.drop_path.draw(options.seed, options.epoch, samples);
        let o = options.forward(branches.as_ref());
        let losses = model.loss_and_gradient(*images, maps, labelled, &o, grad, cx);
        (losses.main, losses.auxiliary)
    });
    let (n, auxiliary) = (labelled.max(1) as f64, auxiliary.into_iter().sum::<f64>());
    (SegmentLosses { main: main / n, auxiliary: auxiliary / n }, grad)
}
