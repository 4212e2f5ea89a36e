//! Claim: `vit-mae audit parity` compares every tensor of any recording. What differs, is missing or is unknown
//! fails with 1; what is not a whole recording is refused with 2; neither ever passes, and nothing panics.

use crate::common::Place;
use crate::recording::{Recording, path};
use serde_json::{Value, json};
use vit_mae::audit::parity::{Verdict, compare};

const SMALL: &str = "own/mae_one.f64";

/// Runs the command on a file made of these bytes; exit code, stdout, stderr.
fn run(place: &Place, bytes: &[u8]) -> (i32, String, String) {
    place.write("file.safetensors", bytes);
    let output = place.run(&["audit", "parity", "file.safetensors"]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_recording_of_the_reference_passes_in_one_call() {
    let place = Place::new();
    let names = [
        "beit_v.f32",
        "beit_v.f64",
        "kmeans_v.f32",
        "kmeans_v.f64",
        "linprobe_v.f32",
        "linprobe_v.f64",
        "mae_v1.f32",
        "mae_v1.f64",
        "mae_v2.f32",
        "mae_v2.f64",
        "moco_v.f32",
        "moco_v.f64",
        "optim_adamw_v.f32",
        "optim_adamw_v.f64",
        "optim_lars_v.f32",
        "optim_lars_v.f64",
        "posembed_v.f64",
        "posinterp_v.f32",
        "posinterp_v.f64",
        "twocrop_v",
        "vit_v1.f32",
        "vit_v1.f64",
    ];
    let paths: Vec<String> = names.iter().map(|name| path(name)).collect();
    let mut args = vec!["audit", "parity", "--json"];
    args.extend(paths.iter().map(String::as_str));
    let document: Value = serde_json::from_str(&place.done(&args)).expect("one JSON document");
    assert_eq!(document["passed"], true);
    let files = document["files"].as_array().unwrap();
    assert_eq!(files.len(), names.len());
    for (file, name) in files.iter().zip(names) {
        assert_eq!(file["passed"], true, "{name}");
        let rows = file["rows"].as_array().unwrap();
        let compared = rows.iter().filter(|row| row["verdict"] == "ok").count();
        let inputs = rows.iter().filter(|row| row["verdict"] == "input").count();
        assert!(compared > 1 && compared + inputs == rows.len(), "{name}: {compared} of {}", rows.len());
        let tensors = Recording::open(name).tensors;
        let rows: Vec<&str> = rows.iter().map(|row| row["tensor"].as_str().unwrap()).collect();
        for tensor in tensors.keys() {
            assert!(rows.contains(&tensor.as_str()), "{name}: no row for {tensor}");
        }
    }
}

/// Recorded from other models, by the scripts in `docs/audit.md` and `tests/golden/own`: other widths, heads, depths,
/// channels, ratios; a classifier that pools the class token of images that are not square.
#[test]
fn recordings_of_other_configurations_pass() {
    for (name, compared) in
        [("own/mae_deep.f32", 290), (SMALL, 175), ("own/mae_none_kept.f64", 215), ("own/vit_class.f64", 119)]
    {
        let comparison = compare(path(name).as_ref()).unwrap();
        assert!(comparison.passed() && comparison.count(Verdict::Ok) >= compared, "{comparison:#?}");
    }
}

/// Layer norm of `[D]` rows as plain loops.
fn layer_norm(x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let width = gamma.len();
    let row = |row: &[f64]| -> Vec<f64> {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width as f64;
        let one = |(i, x): (usize, &f64)| gamma[i] * (x - mean) / (variance + 1e-6).sqrt() + beta[i];
        row.iter().enumerate().map(one).collect()
    };
    x.chunks_exact(width).flat_map(row).collect()
}

/// The reference normalises all tokens and then takes the class token's. A hook on its `norm` records all of them, and a
/// gradient that is 0 but for the class token's row.
#[test]
fn the_norm_of_all_tokens_is_compared_in_full_where_only_the_class_token_is_pooled() {
    let place = Place::new();
    let mut recording = Recording::open("own/vit_class.f64");
    let [gamma, beta] = ["weight", "bias"].map(|part| recording.values(&format!("param.norm.{part}")));
    let (x, dfeatures) = (recording.values("act.blocks.1"), recording.values("gact.features"));
    let shape = recording.tensors["act.blocks.1"].1.clone();
    let (tokens, width) = (shape[1], shape[2]);
    let norm = layer_norm(&x, &gamma, &beta);
    let of_image = |dy: &[f64]| [dy, &vec![0.0; (tokens - 1) * width]].concat();
    let dnorm: Vec<f64> = dfeatures.chunks_exact(width).flat_map(of_image).collect();
    for (name, values) in [("act.norm", &norm), ("gact.norm", &dnorm)] {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        recording.tensors.insert(name.to_owned(), ("F64".to_owned(), shape.clone(), bytes));
    }
    let compared = |recording: &Recording| {
        place.write("all.safetensors", recording.bytes());
        compare(&place.path("all.safetensors")).unwrap()
    };
    let differ = |recording: &Recording| -> Vec<String> {
        let rows = compared(recording).rows.into_iter();
        rows.filter(|row| !matches!(row.verdict, Verdict::Ok | Verdict::Input))
            .map(|row| row.tensor)
            .collect()
    };
    let whole = compared(&recording);
    assert!(whole.passed() && whole.count(Verdict::Ok) >= 121, "{whole:#?}");
    // A patch's token, which nothing else sees.
    for (name, values) in [("act.norm", &norm), ("gact.norm", &dnorm)] {
        let last = values.len() - 1;
        recording.set(name, last, values[last] + 1e-7);
        assert_eq!(differ(&recording), [name]);
        recording.set(name, last, values[last]);
    }
    // The class token's rows by themselves are parts of what is there.
    for name in ["act.features", "act.pooled", "gact.features", "gact.pooled"] {
        recording.tensors.remove(name).unwrap();
    }
    assert!(compared(&recording).passed());
    recording.tensors.remove("gact.norm").unwrap();
    assert_eq!(differ(&recording), ["gact.features", "gact.pooled"], "missing again");
}

/// The test of the comparison: each recorded result in turn gets one number that is off.
#[test]
fn a_single_wrong_number_fails_its_tensor_and_no_other() {
    let place = Place::new();
    let whole = compare(path(SMALL).as_ref()).unwrap();
    let mut recording = Recording::open(SMALL);
    let results = whole.rows.iter().filter(|row| row.verdict == Verdict::Ok);
    for row in results.filter(|row| !row.tensor.starts_with("param.")) {
        let values = recording.values(&row.tensor);
        let index = values.len() * 2 / 3;
        let largest = values.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let off = if row.tolerance == Some(0.0) { 1.0 } else { 1e-7 * largest.max(1e-3) };
        recording.set(&row.tensor, index, values[index] + off);
        place.write("spoilt.safetensors", recording.bytes());
        let spoilt = compare(&place.path("spoilt.safetensors")).unwrap();
        let differ: Vec<&str> = spoilt
            .rows
            .iter()
            .filter(|row| !matches!(row.verdict, Verdict::Ok | Verdict::Input))
            .map(|row| row.tensor.as_str())
            .collect();
        assert_eq!(differ, [row.tensor.as_str()]);
        recording.set(&row.tensor, index, values[index]);
    }
}

#[test]
fn a_wrong_weight_is_seen_in_the_results() {
    let place = Place::new();
    let mut recording = Recording::open(SMALL);
    let value = recording.values("param.blocks.0.mlp.fc1.weight")[0];
    recording.set("param.blocks.0.mlp.fc1.weight", 0, value + 1e-3);
    let (code, table, error) = run(&place, &recording.bytes());
    assert_eq!(code, 1, "{error}");
    assert!(
        table.contains("DIFFERS") && error.starts_with("error: not the recorded numbers"),
        "{table}{error}"
    );
}

#[test]
fn a_missing_or_unknown_tensor_fails() {
    let place = Place::new();
    for gone in
        ["gact.latent", "act.blocks.0.attn.qkv", "grad.mask_token", "adamw3.norm.bias", "loss", "mask"]
    {
        let mut recording = Recording::open(SMALL);
        recording.tensors.remove(gone).unwrap();
        let (code, table, _) = run(&place, &recording.bytes());
        let row = table.lines().find(|line| line.starts_with(&format!("{gone} "))).expect(gone);
        assert!(code == 1 && row.contains("MISSING") && table.contains("1 missing"), "{gone}: {row}");
    }
    let mut recording = Recording::open(SMALL);
    recording.tensors.insert("act.surprise".to_owned(), ("F64".to_owned(), vec![1], vec![0; 8]));
    let (code, table, _) = run(&place, &recording.bytes());
    assert!(code == 1 && table.contains("UNKNOWN") && table.contains("1 unknown"), "{table}");
}

#[test]
fn parameter_groups_that_differ_fail() {
    let place = Place::new();
    let mut recording = Recording::open("vit_v1.f64");
    recording.golden["param_groups"][0]["lr_scale"] = json!(0.5);
    let (code, table, _) = run(&place, &recording.bytes());
    assert!(code == 1 && table.contains("metadata param_groups") && table.contains("cls_token"), "{table}");
}

/// Refused: exit code 2, one line that has all `words`.
fn refused(place: &Place, what: &str, bytes: &[u8], words: &[&str]) {
    let (code, table, error) = run(place, bytes);
    assert_eq!(code, 2, "{what}: {table}{error}");
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{what}: {error}");
    for word in words {
        assert!(error.contains(word), "{what}: no {word:?} in: {error}");
    }
}

#[test]
fn a_file_that_is_cut_short_or_something_else_is_refused() {
    let place = Place::new();
    let whole = Recording::open(SMALL).bytes();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        refused(&place, &format!("{length} bytes"), &whole[..length], &["file.safetensors"]);
    }
    refused(&place, "longer", &[whole.as_slice(), b"x"].concat(), &["payload"]);
    refused(&place, "text", b"{\"kind\": \"mae\"}, and so on", &["header"]);
    refused(&place, "a huge header", &[&u64::MAX.to_le_bytes()[..], b"{}"].concat(), &["header length"]);
    let huge = r#"{"images":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#;
    let huge = [&(huge.len() as u64).to_le_bytes()[..], huge.as_bytes(), &[0; 8]].concat();
    refused(&place, "a huge tensor", &huge, &["header"]);
    let output = place.run(&["audit", "parity", "nowhere.safetensors"]);
    assert_eq!(output.status.code(), Some(2));
    place.refused(&["audit", "parity", "images"], &["images"]);
}

#[test]
fn metadata_that_is_missing_or_makes_no_sense_is_refused() {
    let place = Place::new();
    let recording = Recording::open(SMALL);
    refused(
        &place,
        "foreign",
        &recording.with_metadata(&json!({ "format": "pt" })),
        &["metadata", "golden", "none"],
    );
    let broken = recording.with_metadata(&json!({ "golden": "{\"kind\": " }));
    refused(&place, "not JSON", &broken, &["metadata", "golden"]);
    refused(&place, "a list", &recording.with_metadata(&json!({ "golden": "[1]" })), &["dtype"]);
    let cases: &[(&str, Value, &str)] = &[
        ("/kind", json!("vae"), "one of mae, vit"),
        ("/dtype", json!("bf16"), "f32"),
        ("/config/embed_dim", json!(18), "possible model"),
        ("/config/embed_dim", json!("16"), "whole number"),
        ("/config/embed_dim", json!(1u64 << 60), "whole number"),
        ("/config/embed_dim", json!(4096), "param"),
        ("/config/depth", json!(1000), "param"),
        ("/config/num_heads", json!(0), "num_heads"),
        ("/config/img_size", json!(0), "img_size"),
        ("/config/img_size", json!([16]), "a whole number or two"),
        ("/config/img_size", json!([16, 32]), "shape"),
        ("/config/patch_size", json!(0), "patch_size"),
        ("/config/mask_ratio", json!(1.5), "mask_ratio"),
        ("/config/mask_ratio", json!(0.0), "removes a patch"),
        ("/config/mask_ratio", json!(0.5), "ids_keep"),
        ("/config/norm_pix_loss", json!(1), "true or false"),
        ("/config/mlp_ratio", Value::Null, "finite number"),
        ("/config/layer_norm_eps", json!(-1), "layer_norm_eps"),
        ("/config/batch", json!(2), "batch"),
        ("/adamw/betas", json!([0.9]), "betas"),
        ("/adamw/betas", json!([0.9, 2.0]), "betas"),
        ("/adamw", Value::Null, "adamw"),
        ("/config", Value::Null, "config"),
    ];
    for (pointer, value, word) in cases {
        let mut recording = Recording::open(SMALL);
        *recording.golden.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        refused(&place, &format!("{pointer} {value}"), &recording.bytes(), &[word]);
    }
    let mut recording = Recording::open("mae_v1.f64");
    recording.golden["len_keep"] = json!(5);
    refused(&place, "len_keep", &recording.bytes(), &["len_keep", "4, by the configuration", "found 5"]);
}

#[test]
fn tensors_that_cannot_be_are_refused() {
    let place = Place::new();
    for (name, value) in
        [("act.latent", f64::NAN), ("images", f64::INFINITY), ("param.norm.weight", f64::NAN)]
    {
        let mut recording = Recording::open(SMALL);
        recording.set(name, 3, value);
        refused(&place, name, &recording.bytes(), &[name, "finite"]);
    }
    for gone in ["images", "noise", "param.cls_token", "param.pos_embed"] {
        let mut recording = Recording::open(SMALL);
        recording.tensors.remove(gone).unwrap();
        refused(&place, gone, &recording.bytes(), &[gone]);
    }
    for (name, shape) in
        [("pred", vec![16, 1, 48]), ("param.norm.bias", vec![1, 16]), ("grad.cls_token", vec![16])]
    {
        let mut recording = Recording::open(SMALL);
        recording.tensors.get_mut(name).unwrap().1 = shape;
        refused(&place, name, &recording.bytes(), &[name, "shape"]);
    }
    let mut recording = Recording::open(SMALL);
    recording.tensors.insert("b".to_owned(), ("BF16".to_owned(), vec![2], vec![0; 4]));
    refused(&place, "a type that is not known", &recording.bytes(), &["F32 or F64", "BF16"]);
    for label in [-1.0, 10.0] {
        let mut recording = Recording::open("vit_v1.f64");
        recording.set("labels", 1, label);
        refused(&place, "labels", &recording.bytes(), &["labels", "below 10"]);
    }
}

#[test]
fn other_kinds_refuse_what_makes_no_sense_too() {
    let place = Place::new();
    let cases: &[(&str, &str, Value, &str)] = &[
        ("vit_v1.f64", "/config/global_pool", json!(false), "param.norm.weight"),
        ("vit_v1.f64", "/config/num_classes", json!(0), "num_classes"),
        ("vit_v1.f64", "/config/num_classes", json!(11), "labels_or_shape"),
        ("vit_v1.f64", "/label_smoothing", json!(2), "label_smoothing"),
        ("optim_adamw_v.f64", "/config/steps", json!(0), "steps"),
        ("optim_adamw_v.f64", "/config/steps", json!(6), "config.lr"),
        ("optim_lars_v.f64", "/config/steps", json!(4), "grad.4"),
        ("linprobe_v.f64", "/config/batch", json!(1), "batch"),
        ("linprobe_v.f64", "/config/dim", json!(1 << 30), "features"),
        ("posembed_v.f64", "/config/0/dim", json!(30), "divisible by 4"),
        ("posembed_v.f64", "/config/0/grid", json!(1 << 20), "grid"),
        ("posembed_v.f64", "/config", json!({}), "a list"),
        ("posinterp_v.f64", "/config/0/old", json!(13), "grid14_to_24.input"),
        ("posinterp_v.f64", "/config/0/new", json!(23), "grid14_to_24.output"),
        ("twocrop_v", "/dtype", json!("f64"), "`u8`"),
        ("mae_v1.f64", "/dtype", json!("u8"), "`f32` or `f64`"),
        ("twocrop_v", "/ops/0/in", json!("nothing"), "nothing"),
        ("twocrop_v", "/ops/0/op", json!("sharpness"), "an operation and a value"),
        ("twocrop_v", "/ops/0/value", Value::Null, "an operation and a value"),
        ("twocrop_v", "/ops/17/value", json!(-1.0), "an operation and a value"),
        ("twocrop_v", "/views/0/crop", json!([2, 3, 9, 14]), "a crop inside"),
        ("twocrop_v", "/views/0/crop", json!([2, 3, 9]), "a crop inside"),
        ("twocrop_v", "/views/0/size", json!([1u64 << 32, 1u64 << 32]), "view.0"),
        ("twocrop_v", "/views/0/order", json!(["blur"]), "their order"),
        ("twocrop_v", "/views/0/hue", Value::Null, "their order"),
        ("twocrop_v", "/views/0/flip", json!(1), "a crop inside"),
        ("twocrop_v", "/views/0/out", json!(0), "the name of a tensor"),
    ];
    for (name, pointer, value, word) in cases {
        let mut recording = Recording::open(name);
        *recording.golden.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        let word = if *word == "labels_or_shape" { "shape" } else { word };
        refused(&place, &format!("{name} {pointer} {value}"), &recording.bytes(), &[word]);
    }
    // A table that is promised and not there is missing, however large.
    let mut recording = Recording::open("posembed_v.f64");
    recording.golden["config"][0]["grid"] = json!(16_000);
    let (code, table, _) = run(&place, &recording.bytes());
    assert!(code == 1 && table.contains("1 missing") && table.contains("1 unknown"), "{table}");
}

#[test]
fn a_single_byte_that_is_off_by_one_or_was_not_asked_for_fails() {
    let place = Place::new();
    for name in ["16x16.hue.3", "9x13.blur.1", "3x2.flip", "view.1"] {
        let mut recording = Recording::open("twocrop_v");
        recording.tensors.get_mut(name).unwrap().2[5] ^= 1;
        let (code, table, _) = run(&place, &recording.bytes());
        assert!(code == 1 && table.contains("64 agree") && table.contains("1 differ"), "{name}: {table}");
    }
    let mut recording = Recording::open("twocrop_v");
    recording.golden["ops"].as_array_mut().unwrap().pop();
    let (code, table, _) = run(&place, &recording.bytes());
    assert!(code == 1 && table.contains("64 agree") && table.contains("1 unknown"), "{table}");
}

#[test]
fn a_bad_file_does_not_keep_the_others_from_being_compared() {
    let place = Place::new();
    place.write("bad.safetensors", "nothing");
    let good = path("posinterp_v.f64");
    let output = place.run(&["audit", "parity", "bad.safetensors", &good]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(table.contains("2 agree, 2 inputs, 0 differ"), "{table}");
    let output = place.run(&["audit", "parity", "--json", "bad.safetensors", &good]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(document["passed"] == false && document["files"][0]["error"].is_string());
    assert_eq!(document["files"][1]["passed"], true);
}
