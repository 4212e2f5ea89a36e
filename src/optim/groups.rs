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

/// Fine-tuning's groups: everything is trained, tokens and positions too, which do not decay; nor do biases and
/// norms. Layer-wise decay scales the learning rate by `layer_decay^(depth + 1 − id)`, where `id` is 0 for
/// tokens, positions and patch embedding, `i + 1` for block `i`, and `depth + 1` for what comes after the
/// blocks (the reference's `util/lr_decay.py`).
pub fn finetuning<F: Real>(
    model: &impl Params<F>,
    weight_decay: f64,
    layer_decay: f64,
    depth: usize,
) -> Vec<Group> {
    let group = |t: crate::params::Tensor<F>| {
        let fixed_size = matches!(t.role, Role::Token | Role::Position);
        let id = if fixed_size || t.name.starts_with("patch_embed.") {
            0
        } else {
            block_index(&t.name).map_or(depth + 1, |block| block + 1)
        };
        Group {
            trained: true,
            weight_decay: if t.shape.len() > 1 && !fixed_size { weight_decay } else { 0.0 },
            lr_scale: (id..=depth).fold(1.0, |scale, _| scale * layer_decay),
            len: t.data.len(),
            name: t.name,
        }
    };
    model.tensors().into_iter().map(group).collect()
}

/// `3` of `blocks.3.attn.qkv.weight`.
fn block_index(name: &str) -> Option<usize> {
    name.strip_prefix("blocks.")?.split('.').next()?.parse().ok()
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
