//! Claim: the kinds `segment`, `segment_linear` and `denseops` of `audit parity` compare all that is recorded. One number that
//! is off fails its tensor and no other; what is gone is missed; what cannot be is refused with its name.

use crate::common::Place;
use crate::recording::{Recording, path};
use serde_json::{Value, json};
use vit_mae::audit::parity::{Comparison, Verdict, compare};

fn compared(place: &Place, recording: &Recording) -> Comparison {
    place.write("file.safetensors", recording.bytes());
    compare(&place.path("file.safetensors")).unwrap()
}

fn wrong(comparison: &Comparison) -> Vec<&str> {
    let rows =
        comparison.rows.iter().filter(|row| matches!(row.verdict, Verdict::Differs | Verdict::Missing));
    rows.filter(|row| row.note.as_deref().is_none_or(|note| !note.ends_with("not compared yet")))
        .map(|row| row.tensor.as_str())
        .collect()
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
        recording.set(&tensor, index, values[index] + 1e-7 * largest.max(1e-3));
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
        let (op, result) = (tensor.split('.').next().unwrap(), tensor.rsplit('.').next().unwrap());
        ["conv3x3", "convt2x2", "maxpool", "bilinear", "avgpool", "pixelce"].contains(&op)
            && ["y", "dx", "dweight", "dbias", "loss"].contains(&result)
    });
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
    ] {
        let mut recording = Recording::open(name);
        recording.tensors.remove(gone).unwrap();
        let comparison = compared(&place, &recording);
        assert_eq!(wrong(&comparison), [gone]);
        assert_eq!(comparison.count(Verdict::Missing), 1);
    }
    for name in ["segment_v.f64", "segment_linear_v.f64", "denseops_v.f64"] {
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
