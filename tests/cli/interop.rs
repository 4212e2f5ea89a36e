//! Claim: weights go from and to Hugging Face's layout without a bit changed, and the model they make computes what
//! `transformers` recorded (`golden/README.md`, `hf_v2`).

use ndarray::{Array2, Array4};
use serde_json::Value;
use std::path::{Path, PathBuf};
use vit_mae::checkpoint::names::{Named, from_hf, to_hf};
use vit_mae::checkpoint::tensors::File;
use vit_mae::exec::{Backend, Exec};
use vit_mae::interop::convert::source::{Model, Source};
use vit_mae::interop::convert::{Conversion, Given, Target, convert};
use vit_mae::mae::{Mae, Mask, masking::len_keep};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ask(source: &Path, destination: &Path, to: Target) -> Conversion {
    let (source, destination) = (source.to_path_buf(), destination.to_path_buf());
    let statistics = |value: f32| matches!(to, Target::Hf | Target::Run).then(|| vec![value; 3]);
    let given = Given { mean: statistics(0.5), std: statistics(0.25), ..Given::default() };
    Conversion { source, destination, to, encoder_only: false, fresh_decoder: false, overwrite: false, given }
}

/// Every tensor of two files under the names that `theirs` gives those of the first: shape and bits.
fn same(mine: &File, other: &File, theirs: impl Fn(&str) -> Option<String>) -> usize {
    let mut compared = 0;
    for name in mine.names() {
        let Some(other_name) = theirs(&name) else { continue };
        assert_eq!(mine.shape(&name).unwrap(), other.shape(&other_name).unwrap(), "{name}");
        let bits = |file: &File, name: &str| -> Vec<u32> {
            file.read::<f32>(name).unwrap().into_iter().map(f32::to_bits).collect()
        };
        assert!(bits(mine, &name) == bits(other, &other_name), "{name} and {other_name} differ");
        compared += 1;
    }
    compared
}

#[test]
fn names_are_those_of_the_recorded_map_both_ways() {
    let map = json(&golden("name_map_v2.json"));
    let pairs = map["names"].as_object().unwrap();
    assert_eq!(pairs.len(), 62);
    for (mine, theirs) in pairs {
        let theirs: Vec<&str> =
            theirs["hf"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        assert_eq!(to_hf(mine, true).unwrap(), theirs);
        for (i, name) in theirs.iter().enumerate() {
            let third = (theirs.len() == 3).then_some(i);
            assert_eq!(from_hf(name), Some(Named { name: mine.clone(), third }));
        }
    }
}

#[test]
fn a_folder_of_hugging_face_becomes_the_references_file_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("mae.safetensors");
    let report = convert(&ask(&golden("hf_v2"), &out, Target::Reference)).unwrap();
    assert_eq!((report.kind, report.left_out.len()), ("masked autoencoder", 0));
    let recorded = File::open(golden("mae_v2.f32.safetensors")).unwrap();
    let compared = same(&File::open(&out).unwrap(), &recorded, |name| Some(format!("param.{name}")));
    let params = recorded.names().iter().filter(|name| name.starts_with("param.")).count();
    assert_eq!((compared, report.tensors), (params, params));
}

#[test]
fn a_folder_comes_back_from_the_references_names_with_the_same_tensors_and_architecture() {
    let dir = tempfile::tempdir().unwrap();
    let (run, folder) = (dir.path().join("run"), dir.path().join("hf"));
    convert(&ask(&golden("hf_v2"), &run, Target::Run)).unwrap();
    let report = convert(&ask(&run, &folder, Target::Hf)).unwrap();
    let mine = File::open(folder.join("model.safetensors")).unwrap();
    let recorded = File::open(golden("hf_v2/model.safetensors")).unwrap();
    assert_eq!(same(&mine, &recorded, |name| Some(name.to_owned())), recorded.names().len());
    assert_eq!(report.tensors, recorded.names().len());
    assert_eq!(mine.metadata(), recorded.metadata());
    assert_eq!(json(&folder.join("config.json")), json(&golden("hf_v2/config.json")));
}

#[test]
fn an_encoder_alone_has_no_prefix_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file) = (dir.path().join("hf"), dir.path().join("encoder.safetensors"));
    let alone = Conversion { encoder_only: true, ..ask(&golden("hf_v2"), &folder, Target::Hf) };
    let report = convert(&alone).unwrap();
    let recorded = File::open(golden("hf_v2/model.safetensors")).unwrap();
    let decoder = recorded.names().iter().filter(|name| name.starts_with("decoder.")).count();
    assert_eq!((report.kind, report.left_out.len()), ("encoder", decoder));
    let mine = File::open(folder.join("model.safetensors")).unwrap();
    assert_eq!(same(&mine, &recorded, |name| Some(format!("vit.{name}"))), recorded.names().len() - decoder);
    assert_eq!(json(&folder.join("config.json"))["architectures"][0], "ViTMAEModel");
    convert(&ask(&folder, &file, Target::Timm)).unwrap();
    let recorded = File::open(golden("mae_v2.f32.safetensors")).unwrap();
    assert!(same(&File::open(&file).unwrap(), &recorded, |name| Some(format!("param.{name}"))) > 20);
}

fn hf_model() -> Mae<f32> {
    let source = Source::open(&golden("hf_v2"), None).unwrap();
    let Model::Mae(model) = source.model().unwrap() else { panic!("a masked autoencoder") };
    model
}

/// Loss and prediction on the recorded images and masks.
fn forward(model: &Mae<f32>) -> (f64, Array2<f32>) {
    let recorded = File::open(golden("hf_v2/expected.safetensors")).unwrap();
    let config = &model.config;
    let [height, width] = config.img_size;
    let noise: Vec<f64> = recorded.read("noise").unwrap();
    let patches = config.num_patches();
    let masks: Vec<Mask> =
        noise.chunks_exact(patches).map(|noise| Mask::from_noise(noise, len_keep(patches, 0.75))).collect();
    let mask: Vec<f32> = recorded.read("mask").unwrap();
    for (mask, recorded) in masks.iter().zip(mask.chunks_exact(patches)) {
        assert!((0..patches).all(|l| mask.removes(l) == (recorded[l] == 1.0)), "the recorded mask");
    }
    let images: Vec<f32> = recorded.read("images").unwrap();
    let images = Array4::from_shape_vec((masks.len(), config.in_chans, height, width), images).unwrap();
    let (output, _) = model.forward(images.view(), &masks, &mut Exec::new(Backend::default()));
    let removed: usize = masks.iter().map(Mask::removed).sum();
    (output.loss_sum / removed as f64, output.pred)
}

/// The largest difference, relative to the largest recorded number.
fn difference(found: &[f32], recorded: &[f64]) -> f64 {
    assert_eq!(found.len(), recorded.len());
    let largest = recorded.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let worst = found.iter().zip(recorded).map(|(a, b)| (f64::from(*a) - b).abs());
    worst.fold(0.0, |most: f64, x| if x.is_nan() { f64::NAN } else { most.max(x) }) / largest
}

#[test]
fn its_loss_and_prediction_are_those_that_transformers_recorded() {
    let recorded = File::open(golden("hf_v2/expected.safetensors")).unwrap();
    let (loss, pred) = forward(&hf_model());
    for precision in ["f32", "f64"] {
        let expected: Vec<f64> = recorded.read(&format!("{precision}.loss")).unwrap();
        assert!((loss / expected[0] - 1.0).abs() <= 5e-6, "{precision}: {loss} and {}", expected[0]);
        let expected: Vec<f64> = recorded.read(&format!("{precision}.pred")).unwrap();
        let off = difference(pred.as_slice().unwrap(), &expected);
        assert!(off <= 1e-5, "{precision}: {off:e}");
    }
}

#[test]
fn a_wrong_epsilon_is_seen_so_the_folders_own_one_is_used() {
    let recorded = File::open(golden("hf_v2/expected.safetensors")).unwrap();
    let expected: Vec<f64> = recorded.read("f32.pred").unwrap();
    let mut model = hf_model();
    model.encoder.vit.blocks[0].norm1.eps = 1e-12; // the library's default
    assert!(difference(forward(&model).1.as_slice().unwrap(), &expected) > 1e-4);
}
