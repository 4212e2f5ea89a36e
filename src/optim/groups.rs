//! Parameter groups: what a tensor's role and shape imply for its update. Decided here and nowhere else.

use crate::base::Real;
use crate::params::{Params, Role, Tensor, TensorMut};

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

/// Hands `update` each tensor that is trained: weights, gradient, the optimiser's state, and its group.
///
/// # Panics
/// If the groups are not those of this model.
pub(super) fn each_trained<F: Real, P: Params<F>>(
    (model, grad, state): (&mut P, &P, &mut P),
    groups: &[Group],
    mut update: impl FnMut(TensorMut<F>, Tensor<F>, TensorMut<F>, &Group),
) {
    let (weights, grads, states) = (model.tensors_mut(), grad.tensors(), state.tensors_mut());
    assert_eq!(weights.len(), groups.len(), "one group a tensor");
    for (((w, g), state), group) in weights.into_iter().zip(grads).zip(states).zip(groups) {
        assert_eq!(w.name, group.name, "groups follow the walk");
        if group.trained {
            update(w, g, state, group);
        }
    }
}

/// Pre-training's groups, one per tensor in the order of the walk: position tables and buffers are fixed; every tensor
/// with more than one dimension in the checkpoint decays, so the class and mask tokens (`[1, 1, D]`) do,
/// while biases and norms do not (the reference's `add_weight_decay`).
pub fn pretraining<F: Real>(model: &impl Params<F>, weight_decay: f64) -> Vec<Group> {
    let group = |t: Tensor<F>| Group {
        trained: !matches!(t.role, Role::Position | Role::Buffer),
        weight_decay: if t.shape.len() > 1 && t.role != Role::Buffer { weight_decay } else { 0.0 },
        lr_scale: 1.0,
        len: t.data.len(),
        name: t.name,
    };
    model.tensors().into_iter().map(group).collect()
}

/// Fine-tuning's groups: everything that [`tunes`] says is trained, tokens and positions too, which do not decay; nor
/// do biases and norms. Buffers are never trained. Layer-wise decay scales the learning rate by
/// `layer_decay^(depth + 1 − id)` with `id` of [`layer_id`].
pub fn finetuning<F: Real>(
    model: &impl Params<F>,
    weight_decay: f64,
    layer_decay: f64,
    depth: usize,
    tune_blocks: Option<usize>,
) -> Vec<Group> {
    let group = |t: Tensor<F>| {
        let fixed_size = matches!(t.role, Role::Token | Role::Position | Role::Buffer);
        let id = layer_id(&t.name, depth).unwrap_or(depth + 1);
        Group {
            trained: t.role != Role::Buffer && tunes(&t.name, depth, tune_blocks),
            weight_decay: if t.shape.len() > 1 && !fixed_size { weight_decay } else { 0.0 },
            lr_scale: (id..=depth).fold(1.0, |scale, _| scale * layer_decay),
            len: t.data.len(),
            name: t.name,
        }
    };
    model.tensors().into_iter().map(group).collect()
}

/// The same groups with every tensor whose name starts with `prefix` fixed: neither trained nor decayed.
#[must_use]
pub fn frozen(mut groups: Vec<Group>, prefix: &str) -> Vec<Group> {
    for group in groups.iter_mut().filter(|group| group.name.starts_with(prefix)) {
        (group.trained, group.weight_decay) = (false, 0.0);
    }
    groups
}

/// Whether fine-tuning trains a tensor: with `Some(k)` the last `k` blocks, the norm behind them and the head; with
/// `Some(0)` the head alone; else everything (He et al. 2022, §4.3, "Partial Fine-tuning").
#[must_use]
pub fn tunes(name: &str, depth: usize, tune_blocks: Option<usize>) -> bool {
    match tune_blocks {
        None => true,
        Some(0) => name.starts_with("head."),
        Some(last) => layer_id(name, depth).is_some_and(|id| id > depth.saturating_sub(last)),
    }
}

/// The layer of a tensor of the encoder where fine-tuning scales the learning rate layer by layer: 0 for the class
/// token, positions and the patch projection, `i + 1` for block `i`, `depth + 1` for what comes after the blocks.
/// None for the decoder, which fine-tuning drops.
///
/// He et al. 2022, code: `get_layer_id_for_vit`.
#[must_use]
pub fn layer_id(name: &str, depth: usize) -> Option<usize> {
    if name == "mask_token" || name.starts_with("decoder_") {
        return None;
    }
    if name == "cls_token" || name == "pos_embed" || name.starts_with("patch_embed.") {
        return Some(0);
    }
    let block = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    Some(block.map_or(depth + 1, |i| i + 1))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's `get_layer_id_for_vit` with its `num_layers = depth + 1`.
    #[test]
    fn layers_are_numbered_as_the_reference_does_it() {
        for (name, id) in [
            ("cls_token", Some(0)),
            ("pos_embed", Some(0)),
            ("patch_embed.proj.bias", Some(0)),
            ("blocks.0.attn.qkv.weight", Some(1)),
            ("blocks.11.norm2.bias", Some(12)),
            ("norm.weight", Some(13)),
            ("head.weight", Some(13)),
            ("decoder_blocks.0.norm1.weight", None),
            ("mask_token", None),
        ] {
            assert_eq!(layer_id(name, 12), id, "{name}");
        }
    }
}
