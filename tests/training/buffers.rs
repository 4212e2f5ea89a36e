//! Claim: a buffer is part of a checkpoint and of nothing else: it is not trained, does not decay, does not count in the
//! gradient's norm, and initial values leave it as it was made.

use vit_mae::layers::init::init;
use vit_mae::layers::{AffineBatchNorm, Linear};
use vit_mae::optim::{AdamW, clip, groups};
use vit_mae::params::{Params, Role};

vit_mae::params! {
    /// A linear layer and batch norm.
    pub struct Normed {
        layers {
            /// First.
            fc: Linear<F>,
            /// Then.
            bn: AffineBatchNorm<F>,
        }
    }
}

fn model() -> Normed<f32> {
    let mut model = Normed { fc: Linear::new(3, 2), bn: AffineBatchNorm::new(2, 1e-5) };
    model.bn.norm.running_mean.fill(0.25);
    model.bn.norm.num_batches_tracked.fill(7.0);
    init(&mut model, 1);
    model
}

/// PyTorch's names and order: a module's own parameters, its own buffers, then the next module.
#[test]
fn buffers_are_walked_under_their_checkpoint_names() {
    let model = model();
    let tensors = model.tensors();
    let buffers: Vec<_> = tensors.iter().filter(|t| t.role == Role::Buffer).map(|t| &t.name[..]).collect();
    assert_eq!(buffers, ["bn.running_mean", "bn.running_var", "bn.num_batches_tracked"]);
    assert_eq!(tensors[2].name, "bn.weight");
    assert_eq!(tensors.last().unwrap().shape, [0; 0]);
    assert_eq!(tensors.last().unwrap().data, [7.0]);
}

#[test]
fn initial_values_leave_buffers_as_they_were_made() {
    let model = model();
    assert!(model.bn.norm.running_mean.iter().all(|&x| x == 0.25));
    assert!(model.bn.norm.running_var.iter().all(|&x| x == 1.0));
    assert!(model.bn.weight.iter().all(|&x| x == 1.0) && model.bn.bias.iter().all(|&x| x == 0.0));
}

#[test]
fn buffers_are_neither_trained_nor_decayed() {
    let mut model = model();
    for groups in [groups::pretraining(&model, 0.1), groups::finetuning(&model, 0.1, 0.5, 2, None)] {
        for (tensor, group) in model.tensors().iter().zip(&groups) {
            let buffer = tensor.role == Role::Buffer;
            assert_eq!(group.trained, !buffer, "{}", group.name);
            assert!(!buffer || group.weight_decay == 0.0, "{}", group.name);
        }
    }
    let groups = groups::pretraining(&model, 0.1);
    let mut grad = model.zeros_like();
    grad.bn.norm.running_var.fill(1e6);
    grad.bn.bias.fill(3.0);
    assert_eq!(clip::norm(&grad, &groups), 18f64.sqrt());
    AdamW::new(&model, (0.9, 0.95)).step(&mut model, &grad, &groups, 0.1);
    assert!(model.bn.norm.running_var.iter().all(|&x| x == 1.0));
    assert!(model.bn.bias.iter().all(|&x| x < 0.0));
}

#[test]
fn frozen_groups_are_neither_trained_nor_decayed() {
    let model = model();
    let groups = groups::frozen(groups::pretraining(&model, 0.1), "fc.");
    let fixed: Vec<&str> = groups.iter().filter(|g| !g.trained).map(|g| &g.name[..]).take(2).collect();
    assert_eq!(fixed, ["fc.weight", "fc.bias"]);
    assert!(groups.iter().all(|g| g.weight_decay == 0.0));
}
