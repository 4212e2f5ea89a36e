//! Claim: `vit-mae audit gradcheck` checks every layer, a whole model of any configuration and a trained one; it
//! says what is wrong with exit code 1, and refuses what it cannot check with 2.

use crate::common::Place;
use serde_json::Value;

fn json(place: &Place, args: &[&str]) -> Value {
    let text = place.done(&[&["audit", "gradcheck", "--json"], args].concat());
    serde_json::from_str(&text).expect("one JSON document")
}

/// All rows of all checks agree; how many there are.
fn agree(document: &Value) -> usize {
    assert_eq!(document["passed"], true);
    let checks = document["checks"].as_array().unwrap();
    let rows = checks.iter().flat_map(|check| {
        assert_eq!(check["passed"], true, "{check}");
        check["rows"].as_array().unwrap()
    });
    let rows: Vec<&Value> = rows.collect();
    for row in &rows {
        assert!(row["passed"] == true && row["error"].as_f64().unwrap() <= 1e-6, "{row}");
        assert!(row["checked"].as_u64().unwrap() > 0, "{row}");
    }
    rows.len()
}

#[test]
fn every_layer_is_checked_and_printed() {
    let place = Place::new();
    let table = place.done(&["audit", "gradcheck"]);
    for word in [
        "tensor",
        "checked",
        "error",
        "step",
        "verdict",
        "linear, gradient",
        "attention, formula",
        "qkv.bias, key (≈ 0)",
        "decoder, adjoint",
        "0 tensors wrong",
    ] {
        assert!(table.contains(word), "no {word:?} in {table}");
    }
    assert!(agree(&json(&place, &[])) > 300);
    // A filter, and another seed.
    let document = json(&place, &["--layer", "attention", "--layer", "loss", "--seed", "5"]);
    agree(&document);
    let layers: Vec<&str> =
        document["checks"].as_array().unwrap().iter().map(|c| c["layer"].as_str().unwrap()).collect();
    assert_eq!(layers, ["attention", "attention", "loss", "loss"]);
}

#[test]
fn a_whole_model_is_checked_layer_by_layer() {
    let place = Place::new();
    let document = json(&place, &["--config", "tiny.toml", "--elements", "10"]);
    assert!(agree(&document) > 40);
    let names: Vec<&str> =
        document["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["cls_token", "pos_embed", "patch_embed", "blocks.0"]);
    assert_eq!(*names.last().unwrap(), "input");
    // A part of a layer, a kind, and changes of the configuration.
    let set = ["--set", "model.norm_pix_loss=true", "--set", "model.depth=2", "--set", "mask.mask_ratio=0.5"];
    let document = json(&place, &[&["--config", "tiny.toml", "--layer", "blocks.1.attn"], &set[..]].concat());
    assert_eq!(agree(&document), 6);
    let document = json(&place, &["--config", "tiny.toml", "--layer", "mlp", "--images", "3"]);
    assert_eq!(agree(&document), 8);
    let document = json(&place, &["--config", "tiny.toml", "--layer", "input", "--elements", "1000"]);
    assert_eq!(document["checks"][0]["rows"][0]["checked"], 2 * 64);
}

#[test]
fn a_trained_model_is_checked_at_its_weights() {
    let place = Place::trained(&[]);
    for dir in ["run", "run/checkpoint"] {
        let document = json(&place, &["--checkpoint", dir, "--elements", "3"]);
        assert!(agree(&document) > 40);
        assert!(document["model"].as_str().unwrap().contains("trained"));
    }
    let directions = json(&place, &["--checkpoint", "run", "--directions", "1"]);
    assert_eq!(directions["passed"], true);
    let mut damaged = place.read("run/checkpoint/model.safetensors");
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    place.write("run/checkpoint/model.safetensors", damaged);
    place.refused(&["audit", "gradcheck", "--checkpoint", "run"], &["model.safetensors", "checksum"]);
    place.refused(&["audit", "gradcheck", "--checkpoint", "images"], &["images", "checkpoint"]);
}

#[test]
fn directions_agree_and_remainders_shrink_with_slope_two() {
    let place = Place::new();
    let document = json(&place, &["--config", "tiny.toml", "--directions", "2"]);
    let layers = document["layers"].as_array().unwrap();
    assert!(layers.len() > 8, "{document}");
    for direction in layers.iter().flat_map(|layer| layer["directions"].as_array().unwrap()) {
        let slope = direction["slope"].as_f64();
        assert!(direction["passed"] == true && slope.is_none_or(|s| s > 1.8 && s < 3.5), "{direction}");
        assert!(direction["derivative"].as_f64().unwrap() != 0.0);
    }
    let table =
        place.done(&["audit", "gradcheck", "--config", "tiny.toml", "--directions", "1", "--layer", "norm"]);
    assert!(table.contains("slope") && table.contains("1 directions in 1 layers"), "{table}");
}

#[test]
fn a_model_too_large_for_a_full_check_is_refused_with_advice() {
    let place = Place::new();
    for preset in ["vit-base", "vit-huge"] {
        place
            .refused(&["audit", "gradcheck", "--preset", preset], &["--directions", "--elements", "--layer"]);
    }
}

#[test]
fn nonsense_is_refused() {
    let place = Place::new();
    let refused = |args: &[&str], words: &[&str]| {
        place.refused(&[&["audit", "gradcheck"], args].concat(), words);
    };
    refused(&["--layer", "atention"], &["--layer", "linear", "layer_norm", "attention", "found atention"]);
    refused(
        &["--config", "tiny.toml", "--layer", "blocks.7"],
        &["--layer", "blocks.0", "decoder", "blocks.7"],
    );
    refused(&["--config", "tiny.toml", "--layer", "pos_embed", "--directions", "1"], &["--layer", "trained"]);
    refused(&["--preset", "mega"], &["--preset", "nano"]);
    refused(&["--config", "nowhere.toml"], &["nowhere.toml"]);
    refused(&["--config", "tiny.toml", "--set", "model.embed_dim=18"], &["embed_dim"]);
    refused(&["--elements", "0"], &["--elements"]);
    refused(&["--directions", "0"], &["--directions"]);
    refused(&["--images", "0", "--preset", "nano"], &["--images"]);
    refused(&["--mutants", "--preset", "nano"], &["--mutants"]);
    refused(&["--checkpoint", "nowhere"], &["nowhere"]);
    refused(&["--checkpoint", "run", "--preset", "nano"], &["--checkpoint"]);
}

#[test]
fn the_kill_matrix_is_printed() {
    let place = Place::new();
    let table = place.done(&["audit", "gradcheck", "--mutants", "--layer", "linear"]);
    assert!(table.contains("╭ linear, gradient") && table.contains(" caught, 1 left to other"), "{table}");
    assert!(!table.contains("layers/mlp.rs"), "{table}");
    assert!(!table.contains("SURVIVED"), "{table}");
}
