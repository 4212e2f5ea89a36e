//! Claim: `vit-mae inspect` says what a checkpoint holds, number by number, and refuses what is none.

use crate::common::Place;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use vit_mae::checkpoint::tensors;

fn inspected(place: &Place, args: &[&str]) -> Value {
    serde_json::from_str(&place.done(&[&["inspect", "--json"], args].concat())).unwrap()
}

fn tensor<'a>(inspection: &'a Value, name: &str) -> &'a Value {
    let all = inspection["tensors"].as_array().unwrap();
    all.iter().find(|t| t["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_run_is_described_down_to_its_tensors() {
    let place = Place::trained(&["--seed", "7"]);
    let all = inspected(&place, &["run"]);
    let (model, from) = (&all["architecture"], &all["provenance"]);
    assert_eq!((&model["img_size"], &model["num_patches"]), (&serde_json::json!([8, 8]), &16.into()));
    assert_eq!(model["encoder"], serde_json::json!({"width": 16, "depth": 1, "heads": 2, "hidden": 64}));
    let count = |keep: fn(&Value) -> bool| -> u64 {
        let kept = all["tensors"].as_array().unwrap().iter().filter(|t| keep(t));
        kept.map(|t| t["stats"]["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(model["parameters"], count(|_| true));
    assert_eq!(model["trained"], count(|t| t["trained"] == true));
    let mine = |t: &Value| t["layer"].is_u64();
    assert_eq!(model["encoder_parameters"], count(mine));

    // 16 images in batches of 8, twice.
    assert_eq!((&from["step"], &from["epoch"], &from["seed"]), (&4.into(), &2.into(), &7.into()));
    assert_eq!(from["program"], format!("vit-mae {}", env!("CARGO_PKG_VERSION")));
    let config = format!("{:08x}", crc32fast::hash(&place.read("run/config.toml")));
    assert_eq!(from["config_digest"], config);
    let weights = format!("{:08x}", crc32fast::hash(&place.read("run/checkpoint/model.safetensors")));
    assert_eq!(from["weights_checksum"], weights);
    let [link] = from["chain"].as_array().unwrap().as_slice() else { panic!("one checkpoint") };
    assert_eq!((&link["step"], &link["weights_checksum"]), (&4.into(), &weights.into()));

    let expect = |name: &str, role: &str, trained: bool, decayed: bool, layer: Option<u64>| {
        let t = tensor(&all, name);
        let found =
            (t["role"].as_str().unwrap(), t["trained"] == true, t["decayed"] == true, t["layer"].as_u64());
        assert_eq!(found, (role, trained, decayed, layer), "{name}");
        assert_eq!(t["lr_scale"], 1.0);
    };
    expect("cls_token", "token", true, true, Some(0));
    expect("pos_embed", "position", false, false, Some(0));
    expect("patch_embed.proj.weight", "weight", true, true, Some(0));
    expect("blocks.0.norm1.weight", "norm", true, false, Some(1));
    expect("blocks.0.attn.qkv.bias", "bias", true, false, Some(1));
    expect("norm.bias", "norm", true, false, Some(2));
    expect("mask_token", "token", true, true, None);
    assert_eq!(tensor(&all, "patch_embed.proj.weight")["shape"], serde_json::json!([16, 1, 2, 2]));
}

#[test]
fn the_chain_lists_every_checkpoint_that_was_kept() {
    let place =
        Place::trained(&["--epochs", "3", "--set", "run.keep=3", "--set", "run.checkpoint_every_epochs=1"]);
    let steps = |path: &str| -> Vec<u64> {
        let all = inspected(&place, &[path]);
        all["provenance"]["chain"].as_array().unwrap().iter().map(|c| c["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps("run"), [2, 4, 6]);
    assert_eq!(steps("run/checkpoints/step-00000002"), [2, 4, 6]);
    fs::rename(place.path("run/checkpoint"), place.path("mine")).unwrap();
    assert_eq!(steps("mine"), [6]);
}

#[test]
fn a_run_a_checkpoint_and_its_bare_file_hold_the_same_tensors() {
    let place = Place::trained(&[]);
    let run = inspected(&place, &["run"]);
    assert_eq!(run["tensors"], inspected(&place, &["run/checkpoint"])["tensors"]);
    fs::copy(place.path("run/checkpoint/model.safetensors"), place.path("copy.safetensors")).unwrap();
    let bare = inspected(&place, &["copy.safetensors"]);
    assert_eq!(run["tensors"], bare["tensors"]);
    assert_eq!(bare["architecture"]["encoder"]["heads"], Value::Null);
    assert_eq!(bare["architecture"]["img_size"], run["architecture"]["img_size"]);
    assert_eq!(bare["provenance"]["weights_checksum"], run["provenance"]["weights_checksum"]);
    let text = place.done(&["inspect", "copy.safetensors"]);
    for word in ["heads unknown", "step        not recorded", "weights     "] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

#[test]
fn an_encoder_alone_is_known_as_one() {
    let place = Place::trained(&[]);
    let file = tensors::File::open(place.path("run/checkpoint/model.safetensors")).unwrap();
    let encoder: Vec<_> =
        file.names().into_iter().filter(|n| *n != "mask_token" && !n.starts_with("decoder")).collect();
    let values: Vec<Vec<f64>> = encoder.iter().map(|name| file.read(name).unwrap()).collect();
    let entries = encoder
        .iter()
        .zip(&values)
        .map(|(name, values)| (name.clone(), file.shape(name).unwrap().to_vec(), values.as_slice()));
    tensors::write(&place.path("encoder.safetensors"), entries, &BTreeMap::new()).unwrap();
    let encoder = inspected(&place, &["encoder.safetensors"]);
    assert_eq!(encoder["architecture"]["kind"], "encoder of a masked autoencoder");
    assert_eq!(encoder["architecture"]["decoder"], Value::Null);
    assert_eq!(encoder["architecture"]["parameters"], encoder["architecture"]["encoder_parameters"]);
    assert_eq!(encoder["provenance"]["program"], Value::Null);
}

#[test]
fn a_glob_chooses_tensors() {
    let place = Place::trained(&[]);
    let names = |glob: &str| -> Vec<String> {
        let found = inspected(&place, &["run", "--tensor", glob]);
        found["tensors"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("blocks.*.norm?.bias"), ["blocks.0.norm1.bias", "blocks.0.norm2.bias"]);
    assert_eq!(names("*_token"), ["cls_token", "mask_token"]);
    place.refused(&["inspect", "run", "--tensor", "layers.*"], &["--tensor", "one of the 38 tensors"]);
    place.refused(&["inspect", "run", "--tensor", "[a"], &["--tensor", "pattern"]);
}

#[test]
fn the_text_shows_a_line_a_tensor_and_what_is_not_finite() {
    let place = Place::trained(&[]);
    let path = place.path("run/checkpoint/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(place.path("nan.safetensors"), bytes).unwrap();
    let text = place.done(&["inspect", "nan.safetensors"]);
    // Tensors are stored in the order of their names.
    assert!(text.contains("not finite: 1 of 272 values of pos_embed"), "{text}");
    let text = place.done(&["inspect", "run"]);
    let line = text.lines().find(|line| line.starts_with("blocks.0.norm1.weight")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..5], ["norm", "[16]", "no", "1"]);
    assert!(text.contains("chain       step 4, weights "), "{text}");
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let place = Place::trained(&[]);
    place.refused(&["inspect", "nowhere"], &["nowhere", "no such folder"]);
    place.refused(&["inspect", "images"], &["images", "checkpoint"]);
    place.refused(&["inspect", "tiny.toml"], &["tiny.toml"]);
    place.refused(&["inspect", "images/00.png"], &["00.png"]);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/optim_adamw_v.f32.safetensors");
    place.refused(&["inspect", golden], &["the reference's names, among them cls_token"]);

    let good = place.read("run/checkpoint/model.safetensors");
    place.write("cut.safetensors", &good[..good.len() - 1]);
    place.refused(&["inspect", "cut.safetensors"], &["cut.safetensors"]);
    // One tensor less, one too many, another shape: a header of the same length.
    for (from, to) in [
        ("\"norm.weight\"", "\"morn.weight\""),
        ("\"blocks.0.mlp.fc2.bias\"", "\"blocks.9.mlp.fc2.bias\""),
        ("\"shape\":[16,64]", "\"shape\":[64,16]"),
    ] {
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bad = good.clone();
        bad[at..at + to.len()].copy_from_slice(to.as_bytes());
        place.write("bad.safetensors", bad);
        place.refused(&["inspect", "bad.safetensors"], &["bad.safetensors", "expected"]);
    }
    place.refused(&["inspect", "bad.safetensors"], &["bad.safetensors", "mlp.fc2"]);
    place.done(&["convert", "run", "hf", "--to", "hf"]);
    place.refused(&["inspect", "--verify", "hf"], &["hf", "a folder of Hugging Face"]);
    place.refused(&["inspect", "--verify", "cut.safetensors"], &["cut.safetensors", "a file"]);
    place.refused(&["inspect", "run/checkpoint/state.bin"], &["state.bin", "expected"]);
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    place.write("run/checkpoint/model.safetensors", flipped);
    place.refused(&["inspect", "run"], &["model.safetensors", "checksum"]);
}
