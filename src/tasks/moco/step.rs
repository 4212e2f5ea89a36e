//! Loss and gradient of one batch: two passes through the trunk, chunk by chunk, and the heads once on all of it.

use crate::base::Real;
use crate::exec::Exec;
use crate::models::moco::step::{Step, step};
use crate::models::moco::{BaseEncoder, Moco, Trunk};
use crate::params::Params;
use crate::train::WorkerPool;
use crate::train::step::{map, sum};
use ndarray::{Array2, ArrayView4, Axis, concatenate, s};
use std::ops::Range;

/// Both crops of a batch, `[B, C, H, W]` each.
#[derive(Clone, Copy)]
pub struct Crops<'a, F> {
    /// Of the same images in the same order.
    pub views: [ArrayView4<'a, F>; 2],
    /// Images in a chunk.
    pub micro_batch: usize,
}

impl<F: Real> Crops<'_, F> {
    fn chunks(&self) -> usize {
        self.views[0].dim().0.div_ceil(self.micro_batch)
    }

    /// The images of a chunk.
    fn rows(&self, chunk: usize) -> Range<usize> {
        let first = chunk * self.micro_batch;
        first..self.views[0].dim().0.min(first + self.micro_batch)
    }

    /// Both crops of them.
    fn chunk(&self, chunk: usize) -> [ArrayView4<'_, F>; 2] {
        let rows = self.rows(chunk);
        self.views.each_ref().map(|view| view.slice(s![rows.clone(), .., .., ..]))
    }

    /// `[B, D]` of each crop: what a trunk makes of them, nothing kept.
    pub fn features(&self, trunk: &Trunk<F>, workers: &WorkerPool<F, Moco<F>>) -> [Array2<F>; 2] {
        let parts = map(self.chunks(), workers, |i, cx: &mut Exec<F>| {
            self.chunk(i).map(|images| trunk.infer(images, cx))
        });
        [0, 1].map(|crop| {
            let parts: Vec<_> = parts.iter().map(|part| part[crop].view()).collect();
            concatenate(Axis(0), &parts).expect("features of one width")
        })
    }
}

/// What a step gives, and the gradient of its loss; `m` is the moving average's coefficient.
pub fn loss_and_gradient<F: Real>(
    model: &Moco<F>,
    encoder: &BaseEncoder<F>,
    m: f64,
    crops: Crops<'_, F>,
    workers: &WorkerPool<F, Moco<F>>,
) -> (Step<F>, Moco<F>) {
    let mut grad = workers.gradient(model);
    let features = |trunk: &Trunk<F>| crops.features(trunk, workers);
    let trunk_gradient = |dfeatures: &[Array2<F>; 2], grad: &mut Moco<F>| {
        let (_, of_trunk) = sum(model, crops.chunks(), workers, |i, grad, cx| {
            let dpatches = model.backward_chunk(crops.chunk(i), dfeatures, crops.rows(i), grad, cx);
            for dpatches in dpatches {
                cx.recycle(dpatches);
            }
            0.0
        });
        grad.accumulate_in_parallel(&of_trunk);
        workers.recycle(of_trunk);
    };
    let step = workers.run(true, |cx| step(model, encoder, m, features, trunk_gradient, &mut grad, cx));
    (step, grad)
}
