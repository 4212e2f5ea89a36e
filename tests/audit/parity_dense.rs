//! Claim: the kinds `segment`, `segment_linear`, `denseops` and `detect_post` of `audit parity` compare all that is recorded. One
//! number that is off fails its tensor and no other; what is gone is missed; what cannot be is refused with its name.

use crate::common::Place;
use crate::recording::{Recording, path};
use serde_json::{Value, json};
use vit_mae::audit::parity::{Comparison, Row, Verdict, compare};

fn compared(place: &Place, recording: &Recording) -> Comparison {
    place.write("file.safetensors", recording.bytes());
    compare(&place.path("file.safetensors")).unwrap()
}

fn wrong(comparison: &Comparison) -> Vec<&str> {
    let wrong = |row: &&Row| matches!(row.verdict, Verdict::Differs | Verdict::Missing);
    comparison.rows.iter().filter(wrong).map(|row| row.tensor.as_str()).collect()
}

/// Some recorded results in turn get one number that is off.
fn one_wrong_number_fails_its_tensor(name: &str, spoilt: impl Fn(&str) -> bool) {
    let (place, mut recording) = (Place::new(), Recording::open(name));
    let whole = compare(path(name).as_ref()).unwrap();
    let results: Vec<String> = recording.tensors.keys().filter(|tensor| spoilt(tensor)).cloned().collect();
    assert!(results.len() > 10, "{results:?}");
    for tensor in results {
        let row = whole.rows.iter().find(|row| row.tensor == tensor);
        assert_eq!(row.unwrap_or_else(|| panic!("no row for {tensor}")).verdict, Verdict::Ok, "{tensor}");
        let values = recording.values(&tensor);
        let index = values.len() * 2 / 3;
        let largest = values.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let wrong_number = match recording.tensors[&tensor].0.as_str() {
            "F64" => values[index] + 1e-7 * largest.max(1e-3),
            "U8" => 1.0 - values[index],
            _ => values[index] + 1.0,
        };
        recording.set(&tensor, index, wrong_number);
        assert_eq!(wrong(&compared(&place, &recording)), [tensor.as_str()], "{name}");
        recording.set(&tensor, index, values[index]);
    }
}

#[test]
fn a_single_wrong_number_of_a_step_fails_its_tensor_and_no_other() {
    let shown = |tensor: &str| {
        let map = tensor.starts_with("act.") && tensor.ends_with(['0', '3', 'w']);
        map || tensor.starts_with("gact.ppm") || tensor.starts_with("loss") || tensor == "logits"
    };
    one_wrong_number_fails_its_tensor("segment_v.f64", shown);
    one_wrong_number_fails_its_tensor("segment_linear_v.f64", |tensor| {
        ["act.", "gact.", "logits", "loss", "grad.head", "grad_", "adamw1.head"]
            .iter()
            .any(|p| tensor.starts_with(p))
    });
}

#[test]
fn a_single_wrong_number_of_an_operation_fails_its_tensor_and_no_other() {
    one_wrong_number_fails_its_tensor("denseops_v.f64", |tensor| {
        let result = tensor.rsplit('.').next().unwrap();
        let results = ["y", "dx", "dweight", "dbias", "loss", "soft", "keep", "match", "label", "level"];
        results.contains(&result) && !tensor.starts_with("avgpool") && !tensor.starts_with("bilinear")
    });
}

#[test]
fn a_single_wrong_number_of_an_inference_fails_its_tensor_and_no_other() {
    one_wrong_number_fails_its_tensor("detect_post_v.f64", |tensor| {
        ["proposal", "det_", "mask_probs", "masks", "out_"].iter().any(|p| tensor.starts_with(p))
    });
}

/// A list that is one longer or shorter than it should be is a result that differs.
#[test]
fn another_number_of_results_is_reported_as_such() {
    let place = Place::new();
    for (name, gone, row) in [("denseops_v.f64", "nms.a.keep", 8), ("detect_post_v.f64", "det_boxes", 32)] {
        let mut recording = Recording::open(name);
        let (_, shape, bytes) = recording.tensors.get_mut(gone).unwrap();
        shape[0] -= 1;
        bytes.truncate(bytes.len() - row);
        assert_eq!(wrong(&compared(&place, &recording)), [gone]);
    }
}

/// Nothing is found in no regions, and no masks are pasted into no boxes.
#[test]
fn there_may_be_no_regions_and_no_boxes() {
    let place = Place::new();
    let of_regions =
        ["rois", "class_logits", "box_deltas", "det_boxes", "det_scores", "det_classes", "det_roi"];
    let of_boxes =
        ["mask_boxes", "mask_classes", "mask_logits", "mask_probs", "masks_soft", "masks", "out_boxes"];
    for gone in [&of_regions[..], &[&of_boxes[..], &["out_masks"]].concat()] {
        let mut recording = Recording::open("detect_post_v.f64");
        for &name in gone {
            let (_, shape, bytes) = recording.tensors.get_mut(name).unwrap();
            shape[0] = 0;
            bytes.clear();
        }
        assert!(compared(&place, &recording).passed());
    }
}

#[test]
fn a_tensor_that_is_gone_or_not_known_fails() {
    let place = Place::new();
    for (name, gone) in [
        ("segment_v.f64", "act.ppm.1"),
        ("segment_v.f64", "gact.taps.2"),
        ("segment_v.f64", "act.aux_hidden"),
        ("segment_v.f64", "loss_aux"),
        ("segment_v.f64", "grad.decode.fuse.conv.weight"),
        ("segment_v.f64", "adamw3.adapters.0.up2.bias"),
        ("segment_linear_v.f64", "act.tokens"),
        ("segment_linear_v.f64", "logits"),
        ("denseops_v.f64", "maxpool.tie.dx"),
        ("denseops_v.f64", "conv3x3.a.dbias"),
        ("denseops_v.f64", "anchors.a.y"),
        ("denseops_v.f64", "nms.ties.keep"),
        ("denseops_v.f64", "roialign.s0_7.dx"),
        ("detect_post_v.f64", "proposals"),
        ("detect_post_v.f64", "det_scores"),
        ("detect_post_v.f64", "out_masks"),
    ] {
        let mut recording = Recording::open(name);
        recording.tensors.remove(gone).unwrap();
        let comparison = compared(&place, &recording);
        assert_eq!(wrong(&comparison), [gone]);
        assert_eq!(comparison.count(Verdict::Missing), 1);
    }
    for name in ["segment_v.f64", "segment_linear_v.f64", "denseops_v.f64", "detect_post_v.f64"] {
        let mut recording = Recording::open(name);
        let before = compare(path(name).as_ref()).unwrap().count(Verdict::Unknown);
        recording.tensors.insert("act.surprise".to_owned(), ("F64".to_owned(), vec![1], vec![0; 8]));
        assert_eq!(compared(&place, &recording).count(Verdict::Unknown), before + 1, "{name}");
    }
}

/// The label of an ignored pixel is nobody's; that of another changes the loss.
#[test]
fn a_wrong_input_is_seen_where_it_matters() {
    let (place, mut recording) = (Place::new(), Recording::open("segment_v.f64"));
    let labels = recording.values("labels");
    let pixel = labels.iter().position(|&label| label < 3.0).unwrap();
    recording.set("labels", pixel, labels[pixel] + 1.0);
    assert!(wrong(&compared(&place, &recording)).contains(&"loss_main"));
    recording.set("labels", pixel, labels[pixel]);
    recording.golden["config"]["aux_weight"] = json!(0.5);
    assert!(wrong(&compared(&place, &recording)).contains(&"loss"));
    let mut recording = Recording::open("segment_v.f64");
    recording.golden["param_groups"][0]["lr_scale"] = json!(0.5);
    assert_eq!(wrong(&compared(&place, &recording)), ["metadata param_groups"]);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let place = Place::new();
    let cases: &[(&str, &str, Value, &str)] = &[
        ("segment_v.f64", "/config/patch_size", json!(32), "model.patch_size"),
        ("segment_v.f64", "/config/pool_scales", json!([]), "model.pool_scales"),
        ("segment_v.f64", "/config/pool_scales", json!([1, -2]), "pool_scales"),
        ("segment_v.f64", "/config/pool_scales", json!([1, 2]), "param.decode.bottleneck.conv.weight"),
        ("segment_v.f64", "/config/channels", json!(1u64 << 20), "model.channels"),
        ("segment_v.f64", "/config/channels", json!(1 << 14), "param"),
        ("segment_v.f64", "/config/ignore_label", json!(254), "ignore_label"),
        ("segment_v.f64", "/config/num_classes", json!(3), "labels"),
        ("segment_v.f64", "/config/num_classes", json!(1), "model.num_classes"),
        ("segment_v.f64", "/config/depth", json!(3), "model.depth"),
        ("segment_v.f64", "/config/batch", json!(3), "images"),
        ("segment_v.f64", "/config/img_size", json!([64, 96]), "images"),
        ("segment_linear_v.f64", "/config/num_classes", json!(6), "param.head.classify.weight"),
        ("segment_linear_v.f64", "/config/batch", json!(0), "images"),
        ("segment_linear_v.f64", "/kind", json!("segment"), "channels"),
        ("denseops_v.f64", "/config", json!({}), "config"),
        ("denseops_v.f64", "/config/conv3x3.a", json!({}), "conv3x3.a"),
        ("denseops_v.f64", "/config/maxpool.k2/size", json!(5), "maxpool.k2"),
        ("denseops_v.f64", "/config/maxpool.k2/size", json!(0), "maxpool.k2"),
        ("denseops_v.f64", "/config/bilinear.2x2_to_4x4/size", json!([4, 1u64 << 31]), "bilinear.2x2_to_4x4"),
        ("denseops_v.f64", "/config/bilinear.2x2_to_4x4/size", json!([4, 5]), "bilinear.2x2_to_4x4.dy"),
        ("denseops_v.f64", "/config/layernorm2d.a/eps", json!("small"), "layernorm2d.a"),
        ("denseops_v.f64", "/config/anchors.a/maps", json!([[2, 3]]), "anchors.a"),
        ("denseops_v.f64", "/config/anchors.a/maps", json!([[2, 3], [1, 3]]), "anchors.a.y"),
        ("denseops_v.f64", "/config/anchors.a/ratios", json!([0.0]), "anchors.a"),
        ("denseops_v.f64", "/config/clip.a/image", json!([48]), "clip.a"),
        ("denseops_v.f64", "/config/encode.rpn/weights", json!([1.0, 1.0, 1.0, -1.0]), "encode.rpn"),
        ("denseops_v.f64", "/config/matcher.rpn/thresholds", json!([0.7, 0.3]), "matcher.rpn"),
        ("denseops_v.f64", "/config/matcher.rpn/labels", json!([0, 1]), "matcher.rpn"),
        ("denseops_v.f64", "/config/nms.a/threshold", json!(-1.0), "nms.a"),
        ("denseops_v.f64", "/config/smoothl1.one/beta", json!(-1.0), "smoothl1.one"),
        ("denseops_v.f64", "/config/roialign.s2_7/scale", json!(1e300), "roialign.s2_7"),
        ("denseops_v.f64", "/config/roialign.s2_7/output", json!(8), "roialign.s2_7.dy"),
        ("denseops_v.f64", "/config/masktarget.a/output", json!(1u64 << 31), "masktarget.a"),
        ("denseops_v.f64", "/config/masktarget.a/output", json!(27), "masktarget.a.soft"),
        ("detect_post_v.f64", "/config/box_weights", json!([1.0, 1.0, 1.0, 1.0]), "box_weights"),
        ("detect_post_v.f64", "/config/mask_threshold", json!(0.4), "mask_threshold"),
        ("detect_post_v.f64", "/config/anchor_sizes", json!(["large"]), "anchor_sizes"),
        ("detect_post_v.f64", "/config/anchor_sizes", json!(vec![1; 70]), "anchor_sizes"),
        ("detect_post_v.f64", "/config/anchor_ratios", json!([1.0]), "objectness.2"),
        ("detect_post_v.f64", "/config/rpn_nms", json!(2.0), "rpn_nms"),
        ("detect_post_v.f64", "/config/num_classes", json!(4), "class_logits"),
        ("detect_post_v.f64", "/config/img_size", json!([96, 129]), "masks_soft"),
        ("detect_post_v.f64", "/config/img_size", json!(0), "img_size"),
        ("detect_post_v.f64", "/config/out_size", json!([1u64 << 31, 1u64 << 31]), "out_masks"),
    ];
    for (name, pointer, value, word) in cases {
        let mut recording = Recording::open(name);
        *recording.golden.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        place.write("file.safetensors", recording.bytes());
        let error = compare(&place.path("file.safetensors")).expect_err(pointer).to_string();
        assert!(error.contains(word), "{pointer} {value}: {error}");
    }
    for (name, labels) in [("segment_v.f64", "labels"), ("denseops_v.f64", "pixelce.a.labels")] {
        let mut recording = Recording::open(name);
        for pixel in 0..recording.values(labels).len() {
            recording.set(labels, pixel, 255.0);
        }
        place.write("file.safetensors", recording.bytes());
        compare(&place.path("file.safetensors")).expect_err("nothing is labelled");
    }
}

/// A region whose samples could not be counted.
#[test]
fn boxes_far_away_are_refused() {
    let place = Place::new();
    for tensor in ["roialign.s0_7.rois", "masktarget.a.boxes"] {
        let mut recording = Recording::open("denseops_v.f64");
        recording.set(tensor, 2, 1e30);
        place.write("file.safetensors", recording.bytes());
        let error = compare(&place.path("file.safetensors")).expect_err(tensor).to_string();
        assert!(error.contains(tensor), "{error}");
    }
}
