//! Stochastic gradient descent with momentum, as PyTorch's `SGD` does it.

use super::groups::{Group, each_trained};
use crate::base::Real;
use crate::params::Params;

/// The momentum of every tensor.
///
/// For a tensor `w` with gradient `g`, learning rate `η`, decay `λ` and momentum `β`:
///
/// ```text
/// μ ← β μ + (g + λ w)
/// w ← w − η μ
/// ```
#[derive(Clone, Debug)]
pub struct Sgd<P> {
    /// `μ`, a value of the model's own type.
    pub mu: P,
    momentum: f64,
}

impl<P> Sgd<P> {
    /// No steps taken yet.
    pub fn new<F: Real>(model: &P, momentum: f64) -> Self
    where
        P: Params<F>,
    {
        Self { mu: model.zeros_like(), momentum }
    }

    /// One step with learning rate `lr`.
    ///
    /// # Panics
    /// If the groups are not those of this model.
    pub fn step<F: Real>(&mut self, model: &mut P, grad: &P, groups: &[Group], lr: f64)
    where
        P: Params<F>,
    {
        each_trained((model, grad, &mut self.mu), groups, |w, g, mu, group| {
            let (momentum, decay) = (F::of(self.momentum), F::of(group.weight_decay));
            let eta = F::of(lr * group.lr_scale);
            for ((w, mu), &g) in w.data.write().iter_mut().zip(mu.data.write()).zip(g.data) {
                *mu = momentum * *mu + (g + decay * *w);
                *w -= eta * *mu;
            }
        });
    }
}
