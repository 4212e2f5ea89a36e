//! Stochastic gradient descent with momentum, as PyTorch's `SGD` does it.

use super::groups::Group;
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
        let (weights, grads, mus) = (model.tensors_mut(), grad.tensors(), self.mu.tensors_mut());
        assert_eq!(weights.len(), groups.len(), "one group a tensor");
        for (((w, g), mu), group) in weights.into_iter().zip(grads).zip(mus).zip(groups) {
            assert_eq!(w.name, group.name, "groups follow the walk");
            if !group.trained {
                continue;
            }
            let (momentum, decay) = (F::of(self.momentum), F::of(group.weight_decay));
            let eta = F::of(lr * group.lr_scale);
            for ((w, mu), &g) in w.data.iter_mut().zip(mu.data).zip(g.data) {
                *mu = momentum * *mu + (g + decay * *w);
                *w -= eta * *mu;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::groups;
    use ndarray::{Array1, Array2, array};

    crate::params! {
        /// A matrix and an offset.
        pub struct Affine {
            tensors {
                /// Decays.
                weight: Array2<F> = Weight,
                /// Does not.
                bias: Array1<F> = Bias,
            }
        }
    }

    /// Two steps by hand: β = 0.5, η = 0.1, λ = 0.2, w = 1, g = 3. μ₁ = 3 + 0.2 = 3.2, w₁ = 1 − 0.32 = 0.68;
    /// μ₂ = 1.6 + 3 + 0.136 = 4.736, w₂ = 0.68 − 0.4736 = 0.2064. The bias does not decay: μ₂ = 1.5 + 3.
    #[test]
    fn two_steps_are_those_by_hand() {
        let mut model = Affine::<f64> { weight: array![[1.0]], bias: array![0.0] };
        let grad = Affine { weight: array![[3.0]], bias: array![3.0] };
        let groups = groups::pretraining(&model, 0.2);
        let mut sgd = Sgd::new(&model, 0.5);
        for expected in [[0.68, -0.3], [0.2064, -0.75]] {
            sgd.step(&mut model, &grad, &groups, 0.1);
            assert!((model.weight[[0, 0]] - expected[0]).abs() < 1e-15, "{}", model.weight);
            assert!((model.bias[0] - expected[1]).abs() < 1e-15, "{}", model.bias);
        }
    }
}
