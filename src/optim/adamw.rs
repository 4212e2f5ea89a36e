//! AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019), in one pass over each tensor.

use super::groups::Group;
use crate::base::Real;
use crate::exec::kernel::{self, Kernel};
use crate::exec::row_blocks;
use crate::params::{PIECE, Params};

/// First and second moments of every tensor, and the number of steps taken.
///
/// For a tensor `w` with gradient `g`, learning rate `η` and decay `λ`, step `t = 1, 2, …`:
///
/// ```text
/// w ← w − η λ w
/// m ← β₁ m + (1 − β₁) g          m̂ = m / (1 − β₁ᵗ)
/// v ← β₂ v + (1 − β₂) g²         v̂ = v / (1 − β₂ᵗ)
/// w ← w − η m̂ / (√v̂ + ε)
/// ```
#[derive(Clone, Debug)]
pub struct AdamW<P> {
    /// `m`, a value of the model's own type.
    pub m: P,
    /// `v`.
    pub v: P,
    /// `t`, steps taken so far.
    pub steps: u64,
    betas: (f64, f64),
    /// `ε`.
    pub eps: f64,
}

impl<P> AdamW<P> {
    /// No steps taken yet. `ε` is 1e-8.
    pub fn new<F: Real>(model: &P, betas: (f64, f64)) -> Self
    where
        P: Params<F>,
    {
        Self { m: model.zeros_like(), v: model.zeros_like(), steps: 0, betas, eps: 1e-8 }
    }

    /// One step with learning rate `lr`, on rayon's threads.
    ///
    /// # Panics
    /// If the groups are not those of this model.
    pub fn step<F: Real>(&mut self, model: &mut P, grad: &P, groups: &[Group], lr: f64)
    where
        P: Params<F>,
    {
        self.steps += 1;
        let t = self.steps as f64;
        let (beta1, beta2) = self.betas;
        let correction1 = 1.0 - beta1.powf(t);
        let correction2 = 1.0 - beta2.powf(t);

        let (weights, grads) = (model.tensors_mut(), grad.tensors());
        let (ms, vs) = (self.m.tensors_mut(), self.v.tensors_mut());
        assert_eq!(weights.len(), groups.len(), "one group a tensor");
        let mut tasks = Vec::new();
        for ((((w, g), m), v), group) in weights.into_iter().zip(grads).zip(ms).zip(vs).zip(groups) {
            assert_eq!(w.name, group.name, "groups follow the walk");
            if group.trained {
                let eta = lr * group.lr_scale;
                let (keep, rate) = (F::of(1.0 - eta * group.weight_decay), F::of(eta / correction1));
                let pieces = w.data.write().chunks_mut(PIECE).zip(g.data.chunks(PIECE));
                let pieces =
                    pieces.zip(m.data.write().chunks_mut(PIECE)).zip(v.data.write().chunks_mut(PIECE));
                tasks.extend(pieces.map(|(((w, g), m), v)| Piece { w, g, m, v, keep, rate }));
            }
        }

        let kernel = Update {
            betas: [F::of(beta1), F::of(beta2)],
            one_less_betas: [F::of(1.0 - beta1), F::of(1.0 - beta2)],
            root_correction2: F::of(correction2.sqrt()),
            eps: F::of(self.eps),
        };
        row_blocks::each(true, tasks.into_iter(), |task| kernel::widest(&kernel, task));
    }
}

struct Update<F> {
    betas: [F; 2],
    one_less_betas: [F; 2],
    root_correction2: F,
    eps: F,
}

/// A piece of a tensor with its gradient and moments.
struct Piece<'a, F> {
    w: &'a mut [F],
    g: &'a [F],
    m: &'a mut [F],
    v: &'a mut [F],
    /// `1 − η λ`.
    keep: F,
    /// `η / (1 − β₁ᵗ)`.
    rate: F,
}

impl<F: Real> Kernel<Piece<'_, F>> for Update<F> {
    #[inline(always)]
    fn run(&self, Piece { w, g, m, v, keep, rate }: Piece<F>) {
        let ([beta1, beta2], [one_less1, one_less2]) = (self.betas, self.one_less_betas);
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            *m = beta1 * *m + one_less1 * g;
            *v = beta2 * *v + one_less2 * g * g;
            *w = keep * *w - rate * *m / (v.sqrt() / self.root_correction2 + self.eps);
        }
    }
}
