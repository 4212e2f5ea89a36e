//! LARS: momentum whose step is scaled to each tensor's norm (You et al. 2017), as the reference's linear probe
//! uses it.

use super::groups::{Group, each_trained};
use crate::base::Real;
use crate::exec::rows;
use crate::params::Params;

/// The momentum of every tensor.
///
/// For a tensor `w` with gradient `g`, learning rate `η`, decay `λ` and trust coefficient `κ`:
///
/// ```text
/// d = g + λ w
/// d ← d · κ ‖w‖ / ‖d‖        if neither norm is 0; d as it is otherwise
/// μ ← β μ + d
/// w ← w − η μ
/// ```
///
/// The first two lines hold for tensors with more than one dimension only: biases and norms take plain
/// momentum steps and do not decay (the reference's `util/lars.py`).
#[derive(Clone, Debug)]
pub struct Lars<P> {
    /// `μ`, a value of the model's own type.
    pub mu: P,
    momentum: f64,
    trust_coefficient: f64,
}

impl<P> Lars<P> {
    /// No steps taken yet. The reference has a momentum of 0.9 and a trust coefficient of 0.001.
    pub fn new<F: Real>(model: &P, momentum: f64, trust_coefficient: f64) -> Self
    where
        P: Params<F>,
    {
        Self { mu: model.zeros_like(), momentum, trust_coefficient }
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
            let mut d = g.data.to_vec();
            let (shape, w, mu) = (w.shape, w.data.write(), mu.data.write());
            if shape.len() > 1 {
                let decay = F::of(group.weight_decay);
                d.iter_mut().zip(&*w).for_each(|(d, &w)| *d += decay * w);
                let (weight_norm, update_norm) = (norm(w), norm(&d));
                if weight_norm > 0.0 && update_norm > 0.0 {
                    let trust = F::of(self.trust_coefficient * weight_norm / update_norm);
                    for d in &mut d {
                        *d *= trust;
                    }
                }
            }
            let (momentum, eta) = (F::of(self.momentum), F::of(lr * group.lr_scale));
            for ((w, mu), d) in w.iter_mut().zip(mu).zip(d) {
                *mu = momentum * *mu + d;
                *w -= eta * *mu;
            }
        });
    }
}

/// `‖x‖₂`, summed as [`super::clip::norm`] sums: pieces in `F`, their sum in f64.
fn norm<F: Real>(x: &[F]) -> f64 {
    const PIECE: usize = 1 << 12;
    x.chunks(PIECE).map(|piece| rows::dot(piece, piece).f64()).sum::<f64>().sqrt()
}
