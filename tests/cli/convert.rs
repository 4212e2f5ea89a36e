//! Claim: `vit-mae convert` takes weights through every layout and back without a bit changed, and what it makes can be used.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use vit_mae::checkpoint::tensors::{self, File};

fn converted(place: &Place, args: &[&str]) -> Value {
    serde_json::from_str(&place.done(&[&["convert", "--json"], args].concat())).unwrap()
}

fn json(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.text(name)).unwrap()
}

fn file(place: &Place, name: &str) -> File {
    File::open(place.path(name)).unwrap()
}

/// Shape and bits of every tensor.
fn bits(place: &Place, name: &str) -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
    let file = file(place, name);
    let one = |name: String| {
        let values = file.read::<f32>(&name).unwrap().into_iter().map(f32::to_bits).collect();
        (name.clone(), (file.shape(&name).unwrap().to_vec(), values))
    };
    file.names().into_iter().map(one).collect()
}

/// Writes a file again under other names, as another program would.
fn rename(place: &Place, from: &str, to: &str, name: impl Fn(&str) -> String) {
    let file = file(place, from);
    let values: Vec<(String, Vec<usize>, Vec<f32>)> = file
        .names()
        .iter()
        .map(|n| (name(n), file.shape(n).unwrap().to_vec(), file.read(n).unwrap()))
        .collect();
    let entries = values.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), values.as_slice()));
    tensors::write(&place.path(to), entries, &BTreeMap::new()).unwrap();
}

const WEIGHTS: &str = "run/checkpoint/model.safetensors";

#[test]
fn a_run_goes_to_hugging_face_and_comes_back_as_a_run_that_can_be_used() {
    let place = Place::trained(&["--epochs", "1"]);
    let report = converted(&place, &["run", "hf", "--to", "hf"]);
    assert_eq!((&report["kind"], &report["to"]), (&"masked autoencoder".into(), &"hf".into()));
    assert_eq!(report["tensors"], file(&place, "hf/model.safetensors").names().len());
    let config = json(&place, "hf/config.json");
    assert_eq!((&config["hidden_size"], &config["image_size"]), (&16.into(), &8.into()));
    let (processor, run) = (json(&place, "hf/preprocessor_config.json"), place.text("run/config.toml"));
    let run: toml::Table = run.parse().unwrap();
    for (theirs, mine) in [("image_mean", "mean"), ("image_std", "std")] {
        let (theirs, mine) =
            (processor[theirs][0].as_f64().unwrap(), run["data"][mine][0].as_float().unwrap());
        assert!((theirs - mine).abs() < 1e-7, "{theirs} and {mine} are one f32");
    }

    converted(&place, &["hf", "back", "--to", "run"]);
    assert_eq!(bits(&place, "back/checkpoint/model.safetensors"), bits(&place, WEIGHTS));
    let inspection: Value = serde_json::from_str(&place.done(&["inspect", "--json", "back"])).unwrap();
    assert_eq!(
        (&inspection["provenance"]["step"], &inspection["architecture"]["encoder"]["heads"]),
        (&0.into(), &2.into())
    );
    place.done(&["inspect", "--verify", "back"]);
    for run in ["run", "back"] {
        let (picture, features) = (format!("{run}.png"), format!("{run}.npy"));
        place.done(&["reconstruct", "--checkpoint", run, "images/03.png", "--out", &picture]);
        place.done(&["features", "--checkpoint", run, "--data", "images", "--out", &features]);
    }
    assert!(
        place.read("run.png") == place.read("back.png") && place.read("run.npy") == place.read("back.npy")
    );
}

/// What a run does otherwise is said, and what a folder says goes on to the next.
#[test]
fn how_a_folder_resizes_is_kept_or_said() {
    let place = Place::trained(&["--epochs", "1"]);
    converted(&place, &["run", "hf", "--to", "hf"]);
    let quiet = place.run(&["convert", "hf", "same", "--to", "run"]);
    assert!(quiet.stderr.is_empty(), "{}", String::from_utf8_lossy(&quiet.stderr));
    let mut processor = json(&place, "hf/preprocessor_config.json");
    processor["resample"] = 2.into();
    processor["size"] = serde_json::json!({"shortest_edge": 9});
    (processor["do_center_crop"], processor["crop_size"]) = (true.into(), 8.into());
    place.write("hf/preprocessor_config.json", processor.to_string());
    let said = place.run(&["convert", "hf", "back", "--to", "run"]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("resample 2") && said.contains("do_center_crop true"), "{said}");
    converted(&place, &["hf", "again", "--to", "hf"]);
    assert_eq!(json(&place, "again/preprocessor_config.json"), processor);
}

#[test]
fn what_is_set_by_name_counts_more_than_what_a_folder_says() {
    let place = Place::trained(&["--epochs", "1"]);
    converted(&place, &["run", "hf", "--to", "hf"]);
    converted(
        &place,
        &["hf", "back", "--to", "run", "--set", "data.mean=[0.125]", "--set", "optim.epochs=7"],
    );
    let settings: toml::Table = place.text("back/config.toml").parse().unwrap();
    assert_eq!(settings["data"]["mean"][0].as_float(), Some(0.125));
    assert_eq!(settings["optim"]["epochs"].as_integer(), Some(7));
    let kept = json(&place, "hf/preprocessor_config.json")["image_std"][0].as_f64().unwrap();
    assert!((settings["data"]["std"][0].as_float().unwrap() - kept).abs() < 1e-7);
}

#[test]
fn a_file_needs_its_architecture_only_where_heads_matter() {
    let place = Place::trained(&["--epochs", "1"]);
    converted(&place, &["run", "mae.safetensors", "--to", "reference"]);
    assert_eq!(bits(&place, "mae.safetensors"), bits(&place, WEIGHTS));
    let report =
        converted(&place, &["mae.safetensors", "encoder.safetensors", "--to", "timm", "--encoder-only"]);
    let beside = |name: &&String| name.starts_with("decoder") || *name == "mask_token";
    assert_eq!(
        report["left_out"].as_array().unwrap().len(),
        bits(&place, WEIGHTS).keys().filter(beside).count()
    );

    let args = ["mae.safetensors", "hf", "--to", "hf"];
    place.refused(&[&["convert"], &args[..]].concat(), &["--preset or --config", "heads"]);
    let known = ["--preset", "nano", "--config", "tiny.toml", "--mean", "0.5", "--std", "0.25"];
    converted(&place, &[&args[..], &known[..]].concat());
    converted(&place, &["run", "hf2", "--to", "hf"]);
    assert_eq!(bits(&place, "hf/model.safetensors"), bits(&place, "hf2/model.safetensors"));
    assert_eq!(json(&place, "hf/config.json"), json(&place, "hf2/config.json"));
    assert_eq!(json(&place, "hf/preprocessor_config.json")["image_mean"], serde_json::json!([0.5]));
}

#[test]
fn an_encoder_without_decoder_becomes_a_run_whose_features_are_the_same() {
    let place = Place::trained(&["--epochs", "1"]);
    converted(&place, &["run", "encoder.safetensors", "--to", "timm", "--encoder-only"]);
    let given = ["--preset", "nano", "--config", "run/config.toml"];
    let args = [&["encoder.safetensors", "new", "--to", "run"], &given[..]].concat();
    place.refused(&[&["convert"], &args[..]].concat(), &["--fresh-decoder", "no", "decoder"]);
    converted(&place, &[&args[..], &["--fresh-decoder"]].concat());
    let (old, new) = (bits(&place, WEIGHTS), bits(&place, "new/checkpoint/model.safetensors"));
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    let encoder = |name: &&String| !name.starts_with("decoder") && *name != "mask_token";
    assert!(old.keys().filter(encoder).all(|name| old[name] == new[name]));
    assert!(old["decoder_pred.weight"] != new["decoder_pred.weight"], "drawn anew");
    for run in ["run", "new"] {
        let out = format!("{run}.npy");
        place.done(&["features", "--checkpoint", run, "--data", "images", "--out", &out]);
    }
    assert!(place.read("run.npy") == place.read("new.npy"));
}

#[test]
fn every_spelling_of_transformers_is_read() {
    type Spelling = fn(&str) -> String;
    let place = Place::trained(&["--epochs", "1"]);
    converted(&place, &["run", "hf", "--to", "hf"]);
    let spellings: [(&str, Spelling); 2] = [
        // What `save_pretrained` of transformers 5.24 writes.
        ("saved", |name| name.replace("decoder_layers.", "decoder_encoder.layer.")),
        // What it calls them in memory.
        ("memory", |name| {
            let name = name
                .replace("vit.encoder.layer.", "vit.layers.")
                .replace("attention.output.dense", "attention.o_proj");
            let name = name.replace("intermediate.dense", "mlp.fc1").replace("output.dense", "mlp.fc2");
            let name = name.replace("attention.attention.query", "attention.q_proj");
            name.replace("attention.attention.key", "attention.k_proj")
                .replace("attention.attention.value", "attention.v_proj")
        }),
    ];
    for (folder, spelling) in spellings {
        place.write(&format!("{folder}/config.json"), place.text("hf/config.json"));
        rename(&place, "hf/model.safetensors", &format!("{folder}/model.safetensors"), spelling);
        let out = format!("{folder}.safetensors");
        converted(&place, &[folder, &out, "--to", "reference"]);
        assert_eq!(bits(&place, &out), bits(&place, WEIGHTS), "{folder}");
    }
}

/// A name, and what a program that wraps the model makes of it.
type Wrap = fn(&str) -> String;

#[test]
fn what_wrappers_put_around_names_is_taken_off_and_said() {
    let wraps: [(&str, Wrap); 9] = [
        ("module.", |name| format!("module.{name}")),
        ("_orig_mod.", |name| format!("_orig_mod.{name}")),
        ("_orig_mod., module.", |name| format!("module._orig_mod.{name}")),
        ("_orig_mod., module.", |name| format!("_orig_mod.module.{name}")),
        ("model.", |name| format!("model.{name}")),
        ("encoder.", |name| format!("encoder.{name}")),
        ("state_dict.model.backbone.", |name| format!("state_dict.model.backbone.{name}")),
        // `torch.compile` of every block by itself.
        ("_orig_mod.", |name| name.replace("blocks.0.", "blocks.0._orig_mod.")),
        ("_fsdp_wrapped_module., ema.", |name| {
            format!("ema.{}", name.replace(".norm1", "._fsdp_wrapped_module.norm1"))
        }),
    ];
    let place = Place::trained(&["--epochs", "1"]);
    converted(&place, &["run", "hf/", "--to", "hf"]);
    let plain = converted(&place, &["run", "plain.safetensors", "--to", "reference"]);
    assert_eq!(plain["wrapping"], Value::Null);
    place.write("wrapped/config.json", place.text("hf/config.json"));
    place.write("wrapped/preprocessor_config.json", place.text("hf/preprocessor_config.json"));
    for (said, wrap) in wraps {
        let to = ["back.safetensors", "--to", "reference", "--overwrite"];
        rename(&place, WEIGHTS, "wrapped.safetensors", wrap);
        let report = converted(&place, &[&["wrapped.safetensors"], &to[..]].concat());
        assert_eq!((&report["wrapping"], &report["from"]), (&said.into(), &"file".into()));
        assert_eq!(bits(&place, "back.safetensors"), bits(&place, WEIGHTS), "{said}");
        let text = place.done(&["inspect", "wrapped.safetensors"]);
        assert!(text.contains(&format!("taken off: {said}\n")), "{text}");
        // The same around Hugging Face's names, whose own `vit.` is none of it.
        rename(&place, "hf/model.safetensors", "wrapped/model.safetensors", wrap);
        let report = converted(&place, &[&["wrapped"], &to[..]].concat());
        assert_eq!(report["from"], "Hugging Face folder");
        assert_eq!(
            bits(&place, "back.safetensors"),
            bits(&place, WEIGHTS),
            "{said} around Hugging Face's names"
        );
    }
}

#[test]
fn two_models_in_a_file_are_refused_by_their_names_and_a_plain_one_is_not_mistaken() {
    let place = Place::trained(&["--epochs", "1"]);
    let twice = |first: &str, second: &str| {
        let file = file(&place, WEIGHTS);
        let values: Vec<(String, Vec<usize>, Vec<f32>)> = [first, second]
            .iter()
            .flat_map(|prefix| file.names().into_iter().map(move |name| (prefix, name)))
            .map(|(prefix, name)| {
                (format!("{prefix}{name}"), file.shape(&name).unwrap().to_vec(), file.read(&name).unwrap())
            })
            .collect();
        let entries =
            values.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), values.as_slice()));
        tensors::write(&place.path("twice.safetensors"), entries, &BTreeMap::new()).unwrap();
    };
    let convert = ["convert", "twice.safetensors", "out.safetensors", "--to", "reference"];
    twice("student.", "teacher.");
    place.refused(&convert, &["twice.safetensors", "one model", "student., teacher."]);
    twice("", "ema.");
    place.refused(&convert, &["twice.safetensors", "unexpected", "ema."]);
}

#[test]
fn a_classifier_of_the_class_token_goes_everywhere_and_is_judged_the_same() {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 8);
    classes(&place, "set/test", &["across", "down"], 6);
    place.pretrain(&["--data", "set", "--epochs", "1", "--out", "mae"]);
    let quick = ["--epochs", "1", "--batch-size", "4", "--pooling", "class", "--out", "tuned"];
    place.done(&[&["finetune", "--checkpoint", "mae"], &quick[..]].concat());
    let report = converted(&place, &["tuned", "hf", "--to", "hf"]);
    assert_eq!(report["kind"], "classifier");
    let config = json(&place, "hf/config.json");
    assert_eq!(config["architectures"][0], "ViTForImageClassification");
    assert_eq!(config["id2label"], serde_json::json!({"0": "across", "1": "down"}));
    for wrong in [r#"{"0":"across","1":"across"}"#, r#"{"0":"across","1":""}"#] {
        let mut document = config.clone();
        document["id2label"] = serde_json::from_str(wrong).unwrap();
        place.write("hf/config.json", document.to_string());
        place.refused(&["convert", "hf", "wrong", "--to", "run"], &["id2label", "a name of its own"]);
    }
    place.write("hf/config.json", config.to_string());
    converted(&place, &["hf", "head.safetensors", "--to", "reference"]);
    let weights = bits(&place, "tuned/checkpoint/model.safetensors");
    assert_eq!(bits(&place, "head.safetensors"), weights);
    converted(&place, &["head.safetensors", "timm.safetensors", "--to", "timm"]);
    assert_eq!(bits(&place, "timm.safetensors"), weights);

    converted(&place, &["hf", "back", "--to", "run"]);
    let judged = |run: &str| -> Value {
        let args = ["eval", "--checkpoint", run, "--data", "set", "--json"];
        serde_json::from_str(&place.done(&args)).unwrap()
    };
    let (tuned, back) = (judged("tuned"), judged("back"));
    for key in ["top1", "cross_entropy"] {
        assert!(tuned[key].is_number(), "{key} in {tuned}");
        assert_eq!(tuned[key], back[key], "{key}");
    }
}

#[test]
fn a_classifier_of_the_mean_has_no_place_at_hugging_face() {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 8);
    place.pretrain(&["--data", "set", "--epochs", "1", "--out", "mae"]);
    let quick = ["--epochs", "1", "--batch-size", "4", "--pooling", "mean", "--out", "tuned"];
    place.done(&[&["finetune", "--checkpoint", "mae"], &quick[..]].concat());
    place.refused(&["convert", "tuned", "hf", "--to", "hf"], &["--to", "mean over patches", "class token"]);
    place
        .refused(&["convert", "tuned", "hf", "--to", "hf", "--encoder-only"], &["--encoder-only", "fc_norm"]);
    converted(&place, &["tuned", "timm.safetensors", "--to", "timm"]);
    assert!(bits(&place, "timm.safetensors").contains_key("fc_norm.weight"));
}

#[test]
fn nothing_is_replaced_that_a_conversion_did_not_write() {
    let place = Place::trained(&["--epochs", "1"]);
    converted(&place, &["run", "hf", "--to", "hf"]);
    let before = place.listing();
    place.refused(&["convert", "run", "hf", "--to", "hf"], &["DST", "--overwrite"]);
    converted(&place, &["run", "hf", "--to", "hf", "--overwrite"]);
    assert!(place.listing() == before, "the same again, and nothing beside it");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("images", place.path("link")).unwrap();
        place.refused(&["convert", "run", "link", "--to", "hf", "--overwrite"], &["DST", "no link"]);
        fs::remove_file(place.path("link")).unwrap();
    }
    place.write("hf/README.md", "mine");
    place.refused(&["convert", "run", "hf", "--to", "hf", "--overwrite"], &["DST", "README.md"]);
    place.write("w.safetensors", "mine");
    place.refused(&["convert", "run", "w.safetensors", "--to", "reference"], &["DST", "--overwrite"]);
    place.refused(&["convert", "run", "w.bin", "--to", "reference"], &["DST", ".safetensors"]);
    place.refused(
        &["convert", "run", "no/w.safetensors", "--to", "timm", "--encoder-only"],
        &["DST", "a folder that exists"],
    );
    place.refused(&["convert", "run", "images", "--to", "hf", "--overwrite"], &["DST", "images"]);
    place.refused(&["convert", "hf", "images", "--to", "run"], &["DST", "images"]);
    place.refused(&["convert", "run", "again", "--to", "run"], &["--to", "already"]);
    converted(&place, &["run", "w.safetensors", "--to", "reference", "--overwrite"]);
    fs::remove_file(place.path("w.safetensors")).unwrap();
    let before = place.listing();
    for (args, words) in [
        (["hf", "run", "--to", "run"], ["DST", "trained is not replaced"]),
        (["run", "run/checkpoint/model.safetensors", "--to", "reference"], ["DST", "those that are read"]),
        (["run/checkpoint", "run/checkpoint/optimizer.safetensors", "--to", "reference"], ["DST", "read"]),
        (["hf", "hf/model.safetensors", "--to", "reference"], ["DST", "those that are read"]),
        (["hf", "hf", "--to", "hf"], ["DST", "those that are read"]),
    ] {
        place.refused(&[&["convert"], &args[..], &["--overwrite"]].concat(), &words);
    }
    let over = "run/checkpoint/model.safetensors";
    place.refused(
        &["features", "--checkpoint", "run", "--out", over, "--overwrite"],
        &["--out", "checkpoint"],
    );
    assert!(place.listing() == before, "nothing was changed");
    converted(&place, &["hf", "imported", "--to", "run"]);
    converted(&place, &["hf", "imported", "--to", "run", "--overwrite"]);
}
