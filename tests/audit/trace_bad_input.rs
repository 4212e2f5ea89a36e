//! Claim: whatever is wrong with a model, an image, a flag or the folder, `audit trace` says where and what, exits
//! with 2, and leaves the disk as it was.

use crate::common::Place;
use crate::forge::{MODEL, OPTIMIZER, fill_tensor};

fn refused(place: &Place, args: &[&str], words: &[&str]) {
    place.refused(&[&["audit", "trace"], args].concat(), words);
}

const TINY: [&str; 4] = ["--config", "tiny.toml", "--out", "t"];

#[test]
fn an_image_that_is_none_is_named() {
    let place = Place::new();
    place.write("foreign.png", "GIF89a");
    refused(
        &place,
        &[&TINY[..], &["--images", "foreign.png"]].concat(),
        &["foreign.png", "PNG or JPEG", "47 49"],
    );
    refused(&place, &[&TINY[..], &["--images", "nowhere.png"]].concat(), &["cannot read nowhere.png"]);
    refused(
        &place,
        &[&TINY[..], &["--images", "images"]].concat(),
        &["images", "a regular file", "a folder"],
    );
    let whole = place.read("images/04.png");
    place.write("cut.png", &whole[..whole.len() * 2 / 3]);
    let args = ["--images", "images/00.png", "cut.png"];
    refused(&place, &[&TINY[..], &args].concat(), &["cut.png", "image data"]);
}

#[test]
fn too_many_images_are_refused() {
    let place = Place::new();
    let images = vec!["images/00.png"; 9];
    refused(&place, &[&TINY[..], &["--images"], &images].concat(), &["--images", "at most 8", "found 9"]);
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let place = Place::trained(&[]);
    refused(&place, &["--checkpoint", "images", "--out", "t"], &["images", "a run directory"]);
    refused(&place, &["--checkpoint", "nowhere", "--out", "t"], &["nowhere", "no such folder"]);
    let mut model = place.read("run/checkpoint/model.safetensors");
    let last = model.len() - 1;
    model[last] ^= 1;
    place.write("run/checkpoint/model.safetensors", model);
    refused(&place, &["--checkpoint", "run", "--out", "t"], &["model.safetensors", "checksum"]);
}

#[test]
fn a_weight_or_moment_that_is_not_finite_is_named() {
    let place = Place::trained(&[]);
    fill_tensor(&place, OPTIMIZER, "v.mask_token", f32::INFINITY);
    refused(
        &place,
        &["--checkpoint", "run", "--out", "t"],
        &["optimizer.safetensors", "v.mask_token", "finite"],
    );
    fill_tensor(&place, MODEL, "norm.bias", f32::NAN);
    let words = ["model.safetensors", "norm.bias", "finite"];
    refused(&place, &["--checkpoint", "run", "--out", "t"], &words);
    place.refused(&["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "seen.png"], &words);
    place.refused(&["features", "--checkpoint", "run", "--out", "f.npy"], &words);
}

#[test]
fn a_folder_with_other_files_is_refused_and_an_earlier_trace_is_replaced() {
    let place = Place::new();
    let images = ["--images", "images/00.png"];
    place.write("used/notes.txt", "mine");
    let args = [&["--config", "tiny.toml", "--out", "used"], &images[..]].concat();
    refused(&place, &args, &["--out", "used", "notes.txt"]);
    let args = [&["--config", "tiny.toml", "--out", "tiny.toml"], &images[..]].concat();
    refused(&place, &args, &["--out", "tiny.toml", "a file"]);

    let trace = |seed: &str| {
        let args = [&["audit", "trace", "--seed", seed], &TINY[..], &images[..]].concat();
        place.done(&args);
        place.read("t/trace.safetensors")
    };
    let first = trace("1");
    assert_ne!(trace("2"), first);
    assert_eq!(trace("1"), first);
    assert_eq!(std::fs::read_dir(place.path("t")).unwrap().count(), 2);
}

#[test]
fn a_flag_that_cannot_work_is_refused() {
    let place = Place::new();
    let with = |more: &[&'static str]| [&TINY[..], &["--images", "images/00.png"], more].concat();
    refused(&place, &with(&["--lr", "-1"]), &["--lr", "0 or more", "-1"]);
    refused(&place, &with(&["--lr", "nan"]), &["--lr", "0 or more"]);
    refused(&place, &with(&["--lr", "1e38"]), &["--lr", "finite"]);
    refused(&place, &with(&["--checkpoint", "run"]), &["--checkpoint", "cannot be used with"]);
    refused(&place, &with(&["--preset", "vit-gigantic"]), &["vit-gigantic"]);
    refused(&place, &with(&["--set", "mask.mask_ratio=1.5"]), &["mask.mask_ratio"]);
    refused(&place, &["--config", "tiny.toml", "--set", "data.path='nowhere'", "--out", "t"], &["nowhere"]);
    refused(&place, &["--config", "tiny.toml"], &["--out"]);
}

#[test]
fn a_model_that_does_not_fit_into_memory_is_refused_before_it_is_made() {
    let place = Place::new();
    let huge = ["--preset", "vit-huge", "--set", "model.depth=400", "--out", "t"];
    refused(&place, &huge, &["model", "free memory", "GiB"]);
}
