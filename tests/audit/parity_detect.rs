//! Claim: the kind `detect` of `audit parity` compares all that is recorded. One number that is off fails its tensor and no other;
//! what is gone is missed; what cannot be is refused with its name.

use crate::common::Place;
use crate::recording::Recording;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vit_mae::audit::parity::{Comparison, Verdict, compare};

const NAME: &str = "detect_v.f64";

fn compared(place: &Place, recording: &Recording) -> Comparison {
    place.write("file.safetensors", recording.bytes());
    compare(&place.path("file.safetensors")).unwrap()
}

fn wrong(comparison: &Comparison) -> BTreeSet<&str> {
    let fails = |verdict| matches!(verdict, Verdict::Differs | Verdict::Missing);
    comparison.rows.iter().filter(|row| fails(row.verdict)).map(|row| row.tensor.as_str()).collect()
}

/// What is compared, a choice of every kind.
const RESULTS: [&str; 30] = [
    "anchors",
    "rpn_match_label",
    "rpn_match_gt",
    "rpn_targets",
    "box_targets",
    "mask_targets",
    "roi_level",
    "fg",
    "act.merged.0",
    "act.p6",
    "act.rpn_deltas.5",
    "act.box_rois",
    "act.mask_logits",
    "gact.taps.1",
    "gact.p5",
    "gact.objectness.2",
    "gact.box_fc",
    "gact.mask_rois",
    "loss_rpn_box",
    "loss_mask",
    "grad.rpn.conv.1.bias",
    "grad_norm",
    "grad_input",
    "adamw3.mask.up.bias",
    "adamw_losses",
    "infer.proposal_logits",
    "infer.box_deltas",
    "infer.det_proposal",
    "infer.mask_probs",
    "infer.masks",
];

/// Tensors are compared one by one, so several may be spoilt at once.
#[test]
fn a_single_wrong_number_fails_its_tensor_and_no_other() {
    let (place, mut recording) = (Place::new(), Recording::open(NAME));
    for tensor in RESULTS {
        let values = recording.values(tensor);
        let index = values.len() * 2 / 3;
        let whole = ["I64", "U8"].contains(&recording.tensors[tensor].0.as_str());
        let largest = values.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let off = if whole { 1.0 - 2.0 * values[index].clamp(0.0, 1.0) } else { 1e-7 * largest.max(1e-3) };
        recording.set(tensor, index, values[index] + off);
    }
    assert_eq!(wrong(&compared(&place, &recording)), BTreeSet::from(RESULTS));
}

#[test]
fn tensors_that_are_gone_or_not_known_fail() {
    let (place, mut recording) = (Place::new(), Recording::open(NAME));
    for tensor in RESULTS {
        recording.tensors.remove(tensor).unwrap();
    }
    recording.tensors.insert("act.surprise".to_owned(), ("F64".to_owned(), vec![1], vec![0; 8]));
    let comparison = compared(&place, &recording);
    assert_eq!(wrong(&comparison), BTreeSet::from(RESULTS));
    assert_eq!(comparison.count(Verdict::Missing), RESULTS.len());
    assert_eq!(comparison.count(Verdict::Unknown), 1);
}

/// What the samples are decides on the losses, what the settings are on the results.
#[test]
fn a_wrong_input_is_seen_where_it_matters() {
    let place = Place::new();
    let mut recording = Recording::open(NAME);
    let negative = recording.values("rpn_label").iter().position(|&label| label < 0.5).unwrap();
    let anchor = recording.values("rpn_anchor")[negative];
    recording.set("rpn_anchor", negative, anchor + 1.0);
    assert!(wrong(&compared(&place, &recording)).contains("loss_rpn_cls"));
    for (setting, value, tensor) in [
        ("rpn_batch_per_image", json!(25), "loss_rpn_box"),
        ("canonical_size", json!(28.0), "roi_level"),
        ("rpn_thresholds", json!([0.1, 0.7]), "rpn_match_label"),
        ("anchor_offset", json!(0.5), "anchors"),
        ("sampling", json!(1), "act.box_rois"),
        ("rpn_nms", json!(0.2), "infer.proposals"),
        ("score_threshold", json!(1.0), "infer.det_boxes"),
        ("max_detections", json!(4), "infer.masks"),
    ] {
        let mut recording = Recording::open(NAME);
        recording.golden["config"][setting] = value;
        let comparison = compared(&place, &recording);
        assert!(wrong(&comparison).contains(tensor), "{setting}: {:?}", wrong(&comparison));
    }
}

/// Faster R-CNN: no mask head, and nothing that is recorded of one.
#[test]
fn a_recording_without_a_mask_head_has_another_loss() {
    let (place, mut recording) = (Place::new(), Recording::open(NAME));
    recording.tensors.retain(|name, _| !name.contains("mask") || name == "gt_masks");
    let comparison = compared(&place, &recording);
    let wrong = wrong(&comparison);
    assert!(wrong.contains("loss") && wrong.contains("gact.p3") && !wrong.contains("loss_box"), "{wrong:?}");
    assert!(!wrong.contains("infer.det_boxes") && comparison.count(Verdict::Unknown) == 0);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let place = Place::new();
    let refused = |recording: &Recording, word: &str| {
        place.write("file.safetensors", recording.bytes());
        let error = compare(&place.path("file.safetensors")).expect_err(word).to_string();
        assert!(error.contains(word), "{word}: {error}");
    };
    let cases: &[(&str, Value, &str)] = &[
        ("patch_size", json!(32), "model.patch_size"),
        ("depth", json!(3), "model.depth"),
        ("img_size", json!([64, 96]), "images"),
        ("batch", json!(3), "images"),
        ("batch", json!(0), "images"),
        ("num_classes", json!(2), "classes"),
        ("num_classes", json!(0), "model.num_classes"),
        ("channels", json!(1u64 << 20), "model.channels"),
        ("channels", json!(1 << 14), "param"),
        ("fc_dim", json!(12), "param.box.fc.weight"),
        ("box_size", json!(0), "model.box_size"),
        ("mask_size", json!(-1), "mask_size"),
        ("sampling", json!(1u64 << 31), "model.sampling"),
        ("canonical_level", json!(9), "model.canonical_level"),
        ("canonical_size", json!(0), "model.canonical_size"),
        ("anchor_sizes", json!([12.0, 24.0]), "model.anchor_sizes"),
        ("anchor_sizes", json!("large"), "anchor_sizes"),
        ("anchor_ratios", json!([1.0]), "rpn_anchor"),
        ("anchor_ratios", json!([0.5, 1e300, 2.0]), "model.anchor_ratios"),
        ("rpn_thresholds", json!([0.3]), "rpn_thresholds"),
        ("rpn_weights", json!([1.0, 1.0, 1.0, 2.0]), "rpn_weights"),
        ("box_weights", json!(null), "box_weights"),
        ("pre_nms", json!(1u64 << 40), "pre_nms"),
        ("box_nms", json!(7), "model.box_nms"),
    ];
    for (setting, value, word) in cases {
        let mut recording = Recording::open(NAME);
        recording.golden["config"][*setting] = value.clone();
        refused(&recording, word);
    }
    for (tensor, index, value) in [
        ("gt_image", 0, 2.0),
        ("gt_boxes", 1, 1e9),
        ("gt_classes", 0, 3.0),
        ("gt_masks", 5, 2.0),
        ("rpn_image", 0, 1.0),
        ("rpn_anchor", 0, 1023.0),
        ("rpn_label", 0, -1.0),
        ("rpn_gt", 0, 0.0),
        ("rpn_gt", 3, 5.0),
        ("roi_image", 0, 1.0),
        ("rois", 3, -1e12),
        ("roi_class", 0, 4.0),
        ("roi_class", 1, 0.0),
        ("roi_gt", 0, -2.0),
    ] {
        let mut recording = Recording::open(NAME);
        recording.set(tensor, index, value);
        refused(&recording, if tensor == "roi_gt" || tensor == "rpn_gt" { "_gt" } else { tensor });
    }
}
