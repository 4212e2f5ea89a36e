//! Parameter groups: what a tensor's role and shape imply for its update. Decided here and nowhere else.

use crate::base::Real;
use crate::params::{Params, Role};

/// How one tensor is updated.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The tensor's name.
    pub name: String,
    /// Whether it is trained at all.
    pub trained: bool,
    /// Weight decay.
    pub weight_decay: f64,
    /// Factor on the learning rate.
    pub lr_scale: f64,
    /// Numbers in the tensor.
    pub len: usize,
}

/// Pre-training's groups, one per tensor in the order of the walk: position tables are fixed; every tensor
/// with more than one dimension in the checkpoint decays, so the class and mask tokens (`[1, 1, D]`) do,
/// while biases and norms do not (the reference's `add_weight_decay`).
pub fn pretraining<F: Real>(model: &impl Params<F>, weight_decay: f64) -> Vec<Group> {
    let group = |t: crate::params::Tensor<F>| Group {
        trained: t.role != Role::Position,
        weight_decay: if t.shape.len() > 1 { weight_decay } else { 0.0 },
        lr_scale: 1.0,
        len: t.data.len(),
        name: t.name,
    };
    model.tensors().into_iter().map(group).collect()
}

/// The groups in a few lines, for the user to see when training starts.
#[must_use]
pub fn summary(groups: &[Group]) -> String {
    let line = |label: &str, keep: &dyn Fn(&Group) -> bool| {
        let (tensors, numbers) = groups
            .iter()
            .filter(|g| keep(g))
            .fold((0, 0), |(tensors, numbers), g| (tensors + 1, numbers + g.len));
        format!("{label}: {tensors} tensors, {numbers} numbers")
    };
    [
        line("decayed", &|g| g.trained && g.weight_decay > 0.0),
        line("not decayed", &|g| g.trained && g.weight_decay == 0.0),
        line("fixed", &|g| !g.trained),
    ]
    .join("; ")
}
