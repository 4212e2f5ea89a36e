//! Claim: weights from elsewhere that are not what they say, or say absurd things, are refused in one sentence with exit code
//! 2, before anything large is made, and nothing is written.

use crate::common::Place;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vit_mae::checkpoint::tensors::{self, File};

/// A folder `hf` with a whole masked autoencoder.
fn place() -> Place {
    let place = Place::trained(&["--epochs", "1"]);
    place.done(&["convert", "run", "hf", "--to", "hf"]);
    place
}

const TO_RUN: [&str; 5] = ["convert", "hf", "out", "--to", "run"];

/// Changes a key of `hf/config.json` (or takes it away), expects a refusal, and puts it back.
fn config_refused(place: &Place, key: &str, value: Option<Value>, words: &[&str]) {
    document_refused(place, "hf/config.json", key, value, words);
}

fn document_refused(place: &Place, file: &str, key: &str, value: Option<Value>, words: &[&str]) {
    let before = place.text(file);
    let mut document: Value = serde_json::from_str(&before).unwrap();
    match value {
        Some(value) => document[key] = value,
        None => drop(document.as_object_mut().unwrap().remove(key)),
    }
    place.write(file, document.to_string());
    place.refused(&TO_RUN, &[&[file, key], words].concat());
    place.write(file, before);
}

/// Rewrites a file of weights; `change` sees every tensor and may drop it.
fn rewrite(
    place: &Place,
    name: &str,
    mut change: impl FnMut(String, Vec<usize>, Vec<f32>) -> Option<(String, Vec<usize>, Vec<f32>)>,
) {
    let path = place.path(name);
    let file = File::open(&path).unwrap();
    let all = file.names().into_iter().map(|n| {
        let (shape, values) = (file.shape(&n).unwrap().to_vec(), file.read(&n).unwrap());
        (n, shape, values)
    });
    let kept: Vec<_> = all.filter_map(|(name, shape, values)| change(name, shape, values)).collect();
    let entries = kept.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), values.as_slice()));
    tensors::write(&path, entries, &BTreeMap::new()).unwrap();
}

#[test]
fn a_key_that_is_missing_or_of_the_wrong_kind_is_named() {
    let place = place();
    for key in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "layer_norm_eps",
        "image_size",
        "patch_size",
        "num_channels",
        "decoder_hidden_size",
        "decoder_num_hidden_layers",
        "decoder_num_attention_heads",
        "decoder_intermediate_size",
        "norm_pix_loss",
        "model_type",
    ] {
        config_refused(&place, key, None, &["no such key"]);
        config_refused(&place, key, Some(json!({"a": "list"})), &["list"]);
    }
    config_refused(&place, "hidden_size", Some(json!(-16)), &["a whole number", "-16"]);
    config_refused(&place, "hidden_size", Some(json!(16.5)), &["16.5"]);
    config_refused(&place, "image_size", Some(json!([8, 8, 8])), &["one or two whole numbers"]);
    config_refused(&place, "patch_size", Some(json!([2, 4])), &["a square"]);
    config_refused(&place, "model_type", Some(json!("bert")), &["vit_mae or vit", "bert"]);
}

#[test]
fn sizes_that_no_model_has_are_refused_before_it_is_made() {
    let place = place();
    config_refused(&place, "hidden_size", Some(json!(u64::MAX)), &["found"]);
    config_refused(&place, "hidden_size", Some(json!(0)), &["0"]);
    config_refused(&place, "hidden_size", Some(json!(18)), &["18"]);
    config_refused(&place, "num_hidden_layers", Some(json!(1_000_000_000)), &["1 to"]);
    config_refused(&place, "num_attention_heads", Some(json!(5)), &["a divisor of the width"]);
    config_refused(&place, "image_size", Some(json!(1_u64 << 40)), &["1 to"]);
    config_refused(&place, "patch_size", Some(json!(3)), &["a divisor"]);
    config_refused(&place, "patch_size", Some(json!(0)), &["1 to"]);
    config_refused(&place, "layer_norm_eps", Some(json!(-1e-6)), &["positive"]);
    config_refused(&place, "decoder_intermediate_size", Some(json!(65)), &["the same ratio"]);
    // Within every single bound, but 65536 wide and 1024 deep.
    let mut config: Value = serde_json::from_str(&place.text("hf/config.json")).unwrap();
    for (key, value) in
        [("hidden_size", 1 << 16), ("num_hidden_layers", 1 << 10), ("intermediate_size", 1 << 16)]
    {
        config[key] = json!(value);
    }
    config["decoder_intermediate_size"] = config["decoder_hidden_size"].clone();
    place.write("hf/config.json", config.to_string());
    place.refused(&TO_RUN, &["hf/config.json", "at most", "parameters"]);
    // Few enough numbers for a model, far more than the file holds.
    for (key, value) in [("hidden_size", 4096), ("num_hidden_layers", 32), ("intermediate_size", 4096)] {
        config[key] = json!(value);
    }
    place.write("hf/config.json", config.to_string());
    place.refused(&TO_RUN, &["hf/model.safetensors", "numbers, as the settings say"]);
}

#[test]
fn what_computes_something_else_is_refused() {
    let place = place();
    config_refused(&place, "hidden_act", Some(json!("relu")), &["gelu", "relu"]);
    config_refused(&place, "qkv_bias", Some(json!(false)), &["true"]);
    config_refused(&place, "mask_ratio", Some(json!("most")), &["a number"]);
    let processor = "hf/preprocessor_config.json";
    document_refused(&place, processor, "rescale_factor", Some(json!(1.0 / 127.5)), &["1/255"]);
    document_refused(&place, processor, "do_normalize", Some(json!(false)), &["true"]);
    document_refused(&place, processor, "image_mean", Some(json!(["a"])), &["a list of numbers"]);
    document_refused(&place, processor, "image_std", Some(json!([-1.0])), &["above 0"]);
    place.write(processor, "{}");
    place.refused(&TO_RUN, &["--mean", "1 numbers", "none"]);
    place.refused(&[&TO_RUN[..], &["--mean", "0.1,0.2", "--std", "1"]].concat(), &["--mean", "[0.1, 0.2]"]);
    place.refused(&[&TO_RUN[..], &["--mean", "0.1", "--std", "0"]].concat(), &["--std", "more than 0"]);
    place.write("hf/config.json", "[1, 2");
    place.refused(&TO_RUN, &["hf/config.json", "a JSON object"]);
    place.write("hf/config.json", r#"{"architecture": "vit_base_patch16_224"}"#);
    place.refused(&TO_RUN, &["timm", "model.safetensors"]);
}

#[test]
fn every_tensor_must_find_its_place() {
    let place = place();
    let weights = "hf/model.safetensors";
    let whole = place.read(weights);
    let key = "vit.encoder.layer.0.attention.attention.key.weight";
    rewrite(&place, weights, |n, s, v| (n != key).then_some((n, s, v)));
    place.refused(&TO_RUN, &[weights, "missing", key, "unexpected: none"]);

    place.write(weights, &whole);
    rewrite(&place, weights, |n, s, v| Some((if n == key { "vit.surprise".to_owned() } else { n }, s, v)));
    place.refused(&TO_RUN, &[weights, key, "unexpected: vit.surprise"]);

    place.write(weights, &whole);
    rewrite(&place, weights, |n, s, v| {
        let s = if n == key { vec![8, 32] } else { s };
        Some((n, s, v))
    });
    place.refused(&TO_RUN, &[weights, key, "shape [16, 16]", "shape [8, 32]"]);

    place.write(weights, &whole);
    rewrite(&place, weights, |n, s, v| Some((n.replace("vit.layernorm.weight", "layernorm.weight"), s, v)));
    place.done(&["convert", "hf", "fine.safetensors", "--to", "reference"]); // with or without the prefix

    place.write(weights, &whole);
    let mut twice = Vec::new();
    rewrite(&place, weights, |n, s, v| {
        if n == "vit.layernorm.weight" {
            twice.clone_from(&v);
        }
        let n = if n == "vit.layernorm.bias" { "layernorm.weight".to_owned() } else { n };
        Some((n, s, v))
    });
    place.refused(&TO_RUN, &[weights, "norm.weight", "one tensor of this meaning"]);

    place.write(weights, &whole[..whole.len() - 4]);
    place.refused(&TO_RUN, &[weights, "payload"]);
    std::fs::remove_file(place.path(weights)).unwrap();
    place.refused(&TO_RUN, &["hf", "model.safetensors", "no such file"]);
    place.write("hf/model.safetensors.index.json", "{}");
    place.refused(&TO_RUN, &["one file", "max_shard_size"]);
}

#[test]
fn a_file_that_does_not_fit_the_architecture_given_for_it_is_refused() {
    let place = place();
    place.done(&["convert", "run", "mae.safetensors", "--to", "reference"]);
    let with = |preset: &'static str| ["convert", "mae.safetensors", "out", "--to", "hf", "--preset", preset];
    let grey = ["--mean", "0", "--std", "1"];
    place.refused(&[&with("nano")[..], &grey].concat(), &["mae.safetensors", "missing: blocks.1."]);
    place.refused(&with("nano"), &["--mean", "1 numbers", "none"]);
    place.refused(&with("vit-huge"), &["mae.safetensors", "numbers, as the settings say"]);
    place.refused(&with("none"), &["--preset", "none"]);
    place.refused(
        &["convert", "hf", "out", "--to", "run", "--preset", "nano"],
        &["--preset", "a folder says itself"],
    );
    place.refused(&["convert", "run", "t.safetensors", "--to", "timm"], &["--encoder-only", "no decoder"]);
    let set = ["--set", "model.depth=2"];
    place.refused(&[&TO_RUN[..], &set].concat(), &["--set", "the architecture of the source"]);
    place.refused(&[&["convert", "run", "out", "--to", "hf"][..], &set].concat(), &["--set", "--to hf"]);
    place.refused(&[&TO_RUN[..], &["--fresh-decoder"]].concat(), &["--fresh-decoder", "an encoder alone"]);
    rewrite(&place, "mae.safetensors", |n, s, v| Some((format!("theirs/{n}"), s, v)));
    place.refused(
        &["convert", "mae.safetensors", "t.safetensors", "--to", "reference"],
        &["cls_token", "theirs/"],
    );
    place.refused(
        &["convert", "hf/model.safetensors", "t.safetensors", "--to", "reference"],
        &["Hugging Face", "config.json"],
    );
}

#[test]
fn numbers_too_large_for_f32_are_refused_by_the_name_of_their_tensor() {
    let place = place();
    let file = File::open(place.path("hf/model.safetensors")).unwrap();
    let mut all: Vec<(String, Vec<usize>, Vec<f64>)> = file
        .names()
        .into_iter()
        .map(|name| (name.clone(), file.shape(&name).unwrap().to_vec(), file.read(&name).unwrap()))
        .collect();
    let write = |all: &[(String, Vec<usize>, Vec<f64>)]| {
        let entries =
            all.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), values.as_slice()));
        tensors::write(&place.path("hf/model.safetensors"), entries, &BTreeMap::new()).unwrap();
    };
    let last = all.iter().position(|(name, ..)| name == "vit.layernorm.bias").unwrap();
    all[last].2[1] = 1e200;
    write(&all);
    place.refused(&TO_RUN, &["hf/model.safetensors", "norm.bias", "f32", "found 1000000"]);
    all[last].2[1] = f64::from(f32::MAX);
    write(&all);
    place.done(&TO_RUN);
}

#[test]
fn the_pixels_of_a_preset_that_nobody_named_are_not_taken_for_those_of_the_weights() {
    let place = Place::trained(&["--epochs", "1", "--in-chans", "3"]);
    place.done(&["convert", "run", "w.safetensors", "--to", "reference"]);
    let to_hf = ["convert", "w.safetensors", "out", "--to", "hf", "--config", "tiny.toml"];
    place.refused(&to_hf, &["--mean", "3 numbers", "none"]);
    place.done(&[&to_hf[..], &["--mean", "0.1,0.2,0.3", "--std", "0.4,0.5,0.6"]].concat());
}

#[test]
fn a_file_of_pytorch_is_answered_with_the_two_lines_that_convert_it() {
    let place = place();
    let recipe = ["weights_only=True", "save_file", "w.safetensors", "torch.load"];
    place.write("w.pth", b"PK\x03\x04\x00\x00\x08\x08 and so on, a pickle in a zip");
    place.refused(&["convert", "w.pth", "t.safetensors", "--to", "reference"], &recipe);
    place.refused(&["inspect", "w.pth"], &recipe);
    place.write("w.pth", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.");
    place.refused(&["convert", "w.pth", "t.safetensors", "--to", "reference"], &recipe);
    place.write("hf/pytorch_model.bin", b"PK\x03\x04\x00\x00\x08\x08 and so on");
    std::fs::remove_file(place.path("hf/model.safetensors")).unwrap();
    place.refused(&TO_RUN, &["weights_only=True", "pytorch_model.bin", "hf/model.safetensors"]);
}

#[test]
fn a_folder_that_is_none_is_named_and_one_of_hugging_face_is_not_taken_for_a_run() {
    let place = place();
    place.refused(&["convert", "images", "out", "--to", "run"], &["images", "config.json"]);
    place.refused(&["convert", "nowhere", "out", "--to", "run"], &["nowhere"]);
    place.refused(&["probe", "--checkpoint", "hf"], &["hf", "vit-mae convert", "--to run"]);
    place.refused(&["finetune", "--checkpoint", "hf/model.safetensors"], &["vit-mae convert", "--to run"]);
}

#[test]
fn mean_and_deviation_are_refused_where_there_is_no_place_for_them() {
    let place = place();
    for to in ["reference", "timm"] {
        let command = ["convert", "run", "t.safetensors", "--to", to, "--encoder-only", "--mean", "0.5"];
        place.refused(&command, &["--mean", to, "--to hf"]);
    }
}
