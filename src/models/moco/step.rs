//! A step's loss and gradient, in the order in which the original computes them.

use super::model::{BaseEncoder, Contrast, Moco};
use super::momentum;
use super::trunk::Trunk;
use crate::base::Real;
use crate::exec::Exec;
use ndarray::Array2;

/// What a step gives. Nothing has changed yet: it is the caller's to put the encoder in the old one's place, to
/// [`Moco::track`] the statistics and to update the weights.
#[derive(Clone, Debug)]
pub struct Step<F> {
    /// Losses, accuracies, statistics.
    pub contrast: Contrast<F>,
    /// The momentum encoder after its moving average, which gave the keys; the batch is in its running statistics.
    pub encoder: BaseEncoder<F>,
}

/// Queries with the online weights; the moving average with the online weights as they are before the update; keys with the
/// averaged weights; loss; and its gradient, which is added to `grad`.
///
/// `features` takes both crops of the whole batch through a trunk, `[B, D]` each. `trunk_gradient` takes the gradient of
/// what it gave for the online trunk, and adds the trunk's to `grad` ([`Moco::backward_chunk`]). How the batch is cut on the
/// way is theirs. The heads' products spread over the threads if `cx` does.
pub fn step<F: Real>(
    model: &Moco<F>,
    before: &BaseEncoder<F>,
    m: f64,
    features: impl Fn(&Trunk<F>) -> [Array2<F>; 2],
    trunk_gradient: impl FnOnce(&[Array2<F>; 2], &mut Moco<F>),
    grad: &mut Moco<F>,
    cx: &mut Exec<F>,
) -> Step<F> {
    let online = features(&model.base.trunk);
    let mut encoder = before.clone();
    momentum::average(&mut encoder, &model.base, m);
    let (keys, statistics) = encoder.keys(features(&encoder.trunk), cx);
    encoder.track(&statistics);
    let (contrast, cache) = model.forward(online, &keys, cx);
    let dfeatures = model.backward(cache, grad, cx);
    trunk_gradient(&dfeatures, grad);
    for matrix in dfeatures.into_iter().chain(keys) {
        cx.recycle(matrix);
    }
    Step { contrast, encoder }
}
