//! Claim: the pictures of what an encoder sees show the probabilities that attention computed and the encoder's output, are
//! the same bytes for the same checkpoints and images, put several checkpoints side by side, and refuse what cannot be drawn.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::fs;
use vit_mae::data::load_image;
use vit_mae::exec::probe::Recorder;
use vit_mae::exec::{Backend, Exec};
use vit_mae::mae::Mask;
use vit_mae::tasks::pretrained::Pretrained;
use vit_mae::tasks::visualise::patch_maps;

/// The softmax of the scores, as plain loops over the queries and keys of a recorded forward pass.
#[test]
fn attention_is_the_softmax_of_the_last_blocks_scores_and_patches_are_the_encoders_output() {
    let place = Place::trained(&["--epochs", "1", "--set", "model.depth=2"]);
    let pretrained = Pretrained::open(&place.path("run")).unwrap();
    let images: Vec<_> = (0..3)
        .map(|i| load_image(place.path(&format!("images/{i:02}.png"))).unwrap())
        .map(|image| pretrained.input().image("test", &image).unwrap())
        .collect();
    let maps = patch_maps(&pretrained.encoder, &images, &Backend::default().into()).unwrap();
    let (tokens, width, heads) = (17, 16, 2);
    let whole = Mask::from_removed(&vec![false; tokens - 1]);
    for (image, maps) in images.iter().zip(&maps) {
        let recorder = Recorder::default();
        let mut cx = Exec::new(Backend::default()).with_probe(recorder.clone());
        let batch = image.view().insert_axis(ndarray::Axis(0));
        let (latent, _) = pretrained.encoder.forward(batch, std::slice::from_ref(&whole), &mut cx);
        assert_eq!(maps.patches, latent.slice(ndarray::s![1.., ..]));
        let qkv = &recorder.tensors()["act.blocks.1.attn.qkv"];
        assert_eq!(maps.attention.dim(), (heads, tokens - 1));
        for head in 0..heads {
            let score = |key: usize| {
                let columns = (0..width / heads).map(|i| head * width / heads + i);
                let dot: f32 = columns.map(|c| qkv[[0, c]] * qkv[[key, width + c]]).sum();
                f64::from(dot) / ((width / heads) as f64).sqrt()
            };
            let total: f64 = (0..tokens).map(|key| score(key).exp()).sum();
            for patch in 0..tokens - 1 {
                let expected = score(1 + patch).exp() / total;
                let found = f64::from(maps.attention[[head, patch]]);
                assert!((found - expected).abs() < 1e-6, "head {head}, patch {patch}: {found} {expected}");
            }
        }
    }
}

#[test]
fn checkpoints_of_any_shape_are_drawn_side_by_side_the_same_each_time() {
    let place = Place::trained(&["--epochs", "1"]);
    place.pretrain(&[
        "--out",
        "wide",
        "--epochs",
        "1",
        "--set",
        "model.num_heads=4",
        "--set",
        "model.patch_size=4",
    ]);
    let draw = |out: &str, threads: &str, checkpoints: &[&str]| {
        let checkpoints = checkpoints.iter().flat_map(|run| ["--checkpoint", run]);
        let args = ["features", "--json", "--threads", threads, "--picture", out];
        let args: Vec<&str> =
            args.into_iter().chain(checkpoints).chain(["images/00.png", "images/01.png"]).collect();
        let document: Value = serde_json::from_str(&place.done(&args)).unwrap();
        (document, image::load_from_memory(&place.read(out)).unwrap().into_rgb8())
    };
    let (document, both) = draw("both.png", "1", &["run", "wide"]);
    let names: Vec<_> = document["checkpoints"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["run", "wide"]);
    assert_eq!(document["checkpoints"][1]["heads"], 4);
    assert_eq!(document["checkpoints"][1]["grid"], serde_json::json!([2, 2]));
    let (_, again) = draw("again.png", "3", &["run", "wide"]);
    assert!(both == again, "other bytes on three threads");
    // Six columns and four rows of tiles of 160 pixels at least; one checkpoint has four columns and two rows.
    assert!(both.width() > 6 * 160 && both.height() > 4 * 160, "{:?}", both.dimensions());
    let (_, one) = draw("one.png", "1", &["run"]);
    assert!((4 * 160..6 * 160).contains(&one.width()), "{:?}", one.dimensions());
    // Heat maps and components have colours where the images are grey.
    assert!(one.pixels().any(|p| p.0[0].abs_diff(p.0[1]) > 60), "no colours");
    // The same run twice: names that would be the same have numbers.
    let (document, _) = draw("twice.png", "1", &["run", "run/checkpoint"]);
    assert_eq!(
        (&document["checkpoints"][0]["name"], &document["checkpoints"][1]["name"]),
        (&"1 run".into(), &"2 run".into())
    );
}

#[test]
fn a_picture_that_cannot_be_drawn_is_refused() {
    let place = Place::trained(&["--epochs", "1"]);
    let refused = |args: &[&str], words: &[&str]| {
        place.refused(&[&["features", "--checkpoint", "run"], args].concat(), words);
    };
    refused(&[], &["--out"]);
    refused(&["--picture", "p.png"], &["IMAGE"]);
    refused(&["images/00.png"], &["--picture"]);
    refused(&["--picture", "p.png", "--out", "f.npy", "images/00.png"], &["--picture", "--out"]);
    refused(&["--picture", "p.png", "--data", "images", "images/00.png"], &["--picture", "--data"]);
    refused(&["--picture", "p.jpg", "images/00.png"], &["--picture", ".png"]);
    refused(&["--picture", "none/p.png", "images/00.png"], &["--picture", "a folder that exists"]);
    refused(&["--picture", "p.png", "images/99.png"], &["images/99.png"]);
    refused(&["--picture", "p.png", "tiny.toml"], &["tiny.toml"]);
    refused(&["--picture", "images/01.png", "images/00.png"], &["--picture", "--overwrite"]);
    refused(
        &["--picture", "images/00.png", "--overwrite", "images/00.png"],
        &["--picture", "not overwritten"],
    );
    refused(&["--checkpoint", "nowhere", "--picture", "p.png", "images/00.png"], &["nowhere"]);
    refused(&["--checkpoint", "run", "--out", "f.npy"], &["--checkpoint", "one for --out", "found 2"]);
}

#[test]
fn a_scatter_shows_every_judged_image_in_the_colour_of_its_class() {
    let place = Place::trained(&["--epochs", "1"]);
    classes(&place, "set/train", &["across", "down"], 10);
    classes(&place, "set/test", &["across", "down"], 6);
    let probe = ["probe", "--checkpoint", "run", "--data", "set", "--epochs", "9", "--scatter", "points.svg"];
    place.done(&probe);
    let svg = place.text("points.svg");
    // One circle an image, and one a class in the legend.
    assert_eq!(svg.matches("<circle").count(), 12 + 2, "{svg}");
    for text in ["across", "down", "component 1, ", "% of the variance", "12 test images", "pooling class"] {
        assert!(svg.contains(text), "no {text:?}");
    }
    place.refused(&probe, &["--scatter", "--overwrite"]);
    place.done(&[&probe[..], &["--overwrite"]].concat());
    assert_eq!(place.text("points.svg"), svg);
    fs::remove_file(place.path("points.svg")).unwrap();
    let png = ["probe", "--checkpoint", "run", "--data", "set", "--scatter", "points.png"];
    place.refused(&png, &["--scatter", ".svg"]);
}
