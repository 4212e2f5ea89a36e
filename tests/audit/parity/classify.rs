//! Fine-tuning and the linear probe: `vit_v1` and `linprobe_v`, and layer-wise decay at depth 12.

use super::golden::agrees;
use vit_mae::models::classify::{Classifier, ClassifierConfig, Pooling};
use vit_mae::optim::groups;

#[test]
fn fine_tuning_steps_with_layer_wise_decay_are_the_references_in_f64() {
    agrees("vit_v1.f64", 115);
}

#[test]
fn fine_tuning_steps_with_layer_wise_decay_are_the_references_in_f32() {
    agrees("vit_v1.f32", 115);
}

#[test]
fn the_linear_probes_head_is_the_references_in_f64() {
    agrees("linprobe_v.f64", 25);
}

#[test]
fn the_linear_probes_head_is_the_references_in_f32() {
    agrees("linprobe_v.f32", 25);
}

#[test]
fn layer_wise_decay_of_twelve_blocks_is_the_references() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lr_decay_v.json"));
    let all: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    let config = ClassifierConfig {
        img_size: [32, 32],
        in_chans: 3,
        patch_size: 16,
        embed_dim: 8,
        depth: all["config"]["depth"].as_u64().unwrap() as usize,
        num_heads: 2,
        mlp_ratio: 2.0,
        layer_norm_eps: 1e-6,
        pooling: Pooling::Mean,
        num_classes: 5,
    };
    let decay = all["config"]["layer_decay"].as_f64().unwrap();
    let model = Classifier::<f32>::new(&config);
    let ours = groups::finetuning(&model, all["weight_decay"].as_f64().unwrap(), decay, config.depth, None);
    let theirs = all["params"].as_object().unwrap();
    assert_eq!(ours.len(), theirs.len());
    for group in ours {
        let recorded = &theirs[&group.name];
        let scale = recorded["lr_scale"].as_f64().unwrap();
        assert!((group.lr_scale - scale).abs() <= 1e-12 * scale, "{}: {}", group.name, group.lr_scale);
        assert_eq!(Some(group.weight_decay), recorded["weight_decay"].as_f64(), "{}", group.name);
    }
}
