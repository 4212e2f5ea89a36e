//! Claim: the kinds `beit` and `kmeans` of `audit parity` compare all that is recorded. One number that is off fails its
//! tensor and no other; what cannot be is refused with its name.

use crate::common::Place;
use crate::recording::{Recording, path};
use serde_json::{Value, json};
use vit_mae::audit::parity::{Comparison, Verdict, compare};

fn compared(place: &Place, recording: &Recording) -> Comparison {
    place.write("file.safetensors", recording.bytes());
    compare(&place.path("file.safetensors")).unwrap()
}

fn wrong(comparison: &Comparison) -> Vec<&str> {
    let rows = comparison.rows.iter().filter(|row| !matches!(row.verdict, Verdict::Ok | Verdict::Input));
    rows.map(|row| row.tensor.as_str()).collect()
}

/// Each recorded result of some kinds in turn gets one number that is off.
fn one_wrong_number_fails_its_tensor(name: &str, spoilt: impl Fn(&str) -> bool) {
    let (place, mut recording) = (Place::new(), Recording::open(name));
    let whole = compare(path(name).as_ref()).unwrap();
    for tensor in recording.tensors.keys().cloned().collect::<Vec<_>>() {
        let row = whole.rows.iter().find(|row| row.tensor == tensor);
        let row = row.unwrap_or_else(|| panic!("{name}: no row for {tensor}"));
        if row.verdict == Verdict::Input || !spoilt(&tensor) {
            continue;
        }
        let values = recording.values(&tensor);
        let index = values.len() * 2 / 3;
        let largest = values.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let off = match tensor.as_str() {
            "accuracy" => 1e-5,
            _ if row.tolerance == Some(0.0) => 1.0,
            _ => 1e-7 * largest.max(1e-3),
        };
        recording.set(&tensor, index, values[index] + off);
        assert_eq!(wrong(&compared(&place, &recording)), [tensor.as_str()], "{name}");
        recording.set(&tensor, index, values[index]);
    }
}

#[test]
fn a_single_wrong_number_of_a_step_fails_its_tensor_and_no_other() {
    // The updated weights have a test of their own: the same rule as for masked autoencoders.
    one_wrong_number_fails_its_tensor("beit_v.f64", |tensor| {
        !tensor.starts_with("param.") && (!tensor.starts_with("adamw") || tensor.contains("_token"))
    });
}

#[test]
fn a_single_wrong_number_of_k_means_fails_its_tensor_and_no_other() {
    one_wrong_number_fails_its_tensor("kmeans_v.f64", |_| true);
}

#[test]
fn a_tensor_that_is_gone_or_not_known_fails() {
    let place = Place::new();
    for (name, gone) in [
        ("beit_v.f64", "act.replaced"),
        ("beit_v.f64", "act.norm"),
        ("beit_v.f64", "gact.replaced"),
        ("beit_v.f64", "gact.logits"),
        ("beit_v.f64", "labels"),
        ("beit_v.f64", "grad.mask_token"),
        ("beit_v.f64", "adamw3.lm_head.weight"),
        ("kmeans_v.f64", "raw.counts.2"),
        ("kmeans_v.f64", "norm.new_patches"),
        ("kmeans_v.f64", "norm.centroids.5"),
        ("kmeans_v.f64", "ties.distance"),
    ] {
        let mut recording = Recording::open(name);
        recording.tensors.remove(gone).unwrap();
        let comparison = compared(&place, &recording);
        assert_eq!(wrong(&comparison), [gone]);
        assert_eq!(comparison.count(Verdict::Missing), 1);
    }
    for name in ["beit_v.f64", "kmeans_v.f64"] {
        let mut recording = Recording::open(name);
        recording.tensors.insert("act.surprise".to_owned(), ("F64".to_owned(), vec![1], vec![0; 8]));
        assert_eq!(compared(&place, &recording).count(Verdict::Unknown), 1, "{name}");
    }
}

/// Other tokens at masked patches are another loss; at visible patches they are nothing at all.
#[test]
fn a_wrong_input_is_seen_where_it_matters() {
    let (place, mut recording) = (Place::new(), Recording::open("beit_v.f64"));
    let (mask, ids) = (recording.values("mask"), recording.values("ids"));
    let at = |masked: f64| mask.iter().position(|&m| m == masked).unwrap();
    for (patch, matters) in [(at(1.0), true), (at(0.0), false)] {
        recording.set("ids", patch, (ids[patch] + 1.0) % 17.0);
        let comparison = compared(&place, &recording);
        assert_eq!(wrong(&comparison).contains(&"loss"), matters, "{patch}");
        assert_eq!(comparison.passed(), !matters);
        recording.set("ids", patch, ids[patch]);
    }
    recording.golden["param_groups"][0]["weight_decay"] = json!(0.05);
    assert_eq!(wrong(&compared(&place, &recording)), ["metadata param_groups"]);
    let mut recording = Recording::open("kmeans_v.f64");
    recording.golden["empty_clusters"]["raw"][0] = json!(3);
    assert_eq!(wrong(&compared(&place, &recording)), ["metadata empty_clusters.raw"]);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let place = Place::new();
    let cases: &[(&str, &str, Value, &str)] = &[
        ("beit_v.f64", "/config/layer_scale", json!(true), "layer_scale"),
        ("beit_v.f64", "/config/rel_pos_bias", json!(true), "rel_pos_bias"),
        ("beit_v.f64", "/config/vocab_size", json!(1), "beit.tokens"),
        ("beit_v.f64", "/config/vocab_size", json!(16), "ids"),
        ("beit_v.f64", "/config/vocab_size", json!(18), "param.lm_head.weight"),
        ("beit_v.f64", "/config/embed_dim", json!(4096), "param"),
        ("beit_v.f64", "/config/batch", json!(3), "images"),
        ("beit_v.f64", "/config/batch", json!(0), "images"),
        ("beit_v.f64", "/config/patch_size", json!(7), "patch_size"),
        ("beit_v.f64", "/num_masked", json!(29), "num_masked"),
        ("beit_v.f64", "/grid", json!([5, 4]), "grid"),
        ("kmeans_v.f64", "/config/clusters", json!(0), "clusters"),
        ("kmeans_v.f64", "/config/clusters", json!(8), "raw.init"),
        ("kmeans_v.f64", "/config/dim", json!(1), "dim"),
        ("kmeans_v.f64", "/config/iterations", json!(1u64 << 31), "raw.inertia"),
        ("kmeans_v.f64", "/config/points", json!(151), "patches"),
    ];
    for (name, pointer, value, word) in cases {
        let mut recording = Recording::open(name);
        *recording.golden.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        place.write("file.safetensors", recording.bytes());
        let error = compare(&place.path("file.safetensors")).expect_err(pointer).to_string();
        assert!(error.contains(word), "{pointer} {value}: {error}");
    }
    let mut recording = Recording::open("beit_v.f64");
    for patch in 0..recording.values("mask").len() {
        recording.set("mask", patch, 0.0);
    }
    recording.golden["num_masked"] = json!(0);
    place.write("file.safetensors", recording.bytes());
    let error = compare(&place.path("file.safetensors")).expect_err("nothing is masked").to_string();
    assert!(error.contains("a masked patch"), "{error}");
}
