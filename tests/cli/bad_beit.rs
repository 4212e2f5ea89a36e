//! Claim: whatever cannot be a codebook or be predicted with one is refused in one sentence, and nothing is left behind.

use crate::common::Place;

const BEIT: [&str; 7] = ["pretrain", "--method", "beit", "--config", "trunk.toml", "--data", "images"];

fn refused(place: &Place, args: &[&str], words: &[&str]) {
    place.refused(&[&BEIT[..], args].concat(), words);
}

/// A codebook of 8 tokens, for patches of 2 × 2 × 1.
fn place() -> Place {
    let place = Place::new();
    let data = ["tokenizer", "--data", "images", "--img-size", "8", "--patch-size", "2"];
    place.done(&[&data[..], &["--tokens", "8", "--out", "codebook.safetensors"]].concat());
    place
}

#[test]
fn a_codebook_of_other_patches_is_refused() {
    let place = place();
    let given = ["--set", "beit.codebook='codebook.safetensors'"];
    let with = |args: &[&'static str]| [&given[..], args].concat();
    refused(&place, &with(&["--patch-size", "4"]), &["model.patch_size", "2", "codebook.safetensors"]);
    refused(&place, &with(&["--in-chans", "3"]), &["model.in_chans", "1", "codebook.safetensors"]);
    refused(&place, &with(&["--set", "data.mean=[0.1]"]), &["data.mean", "codebook.safetensors"]);
}

#[test]
fn more_tokens_than_patches_are_refused() {
    let place = place();
    // 16 images of 16 patches.
    refused(&place, &["--set", "beit.tokens=257"], &["beit.tokens", "256", "257"]);
    refused(&place, &["--set", "beit.tokens=1"], &["beit.tokens"]);
    refused(&place, &["--set", "beit.kmeans_patches=100"], &["beit.kmeans_patches", "512"]);
    let tokenizer = ["tokenizer", "--data", "images", "--img-size", "8", "--patch-size", "2"];
    place
        .refused(&[&tokenizer[..], &["--tokens", "300", "--out", "a.safetensors"]].concat(), &["256", "300"]);
    place.refused(&[&tokenizer[..], &["--out", "codebook.safetensors"]].concat(), &["--out", "--overwrite"]);
    place.refused(&[&tokenizer[..], &["--out", "codebook.npy"]].concat(), &["safetensors"]);
}

#[test]
fn a_file_that_is_no_codebook_is_refused() {
    let place = place();
    place.write("nothing.safetensors", "nothing");
    let whole = place.read("codebook.safetensors");
    place.write("short.safetensors", &whole[..whole.len() - 4]);
    place.pretrain(&["--epochs", "1", "--out", "run"]);
    for (file, words) in [
        ("nowhere.safetensors", &["nowhere.safetensors"][..]),
        ("nothing.safetensors", &["nothing.safetensors", "header"]),
        ("short.safetensors", &["short.safetensors", "payload"]),
        ("run/checkpoint/model.safetensors", &["model.safetensors", "codebook", "vit-mae tokenizer"]),
    ] {
        refused(&place, &["--set", &format!("beit.codebook='{file}'")], words);
    }
}

#[test]
fn masks_and_settings_that_cannot_be_are_refused() {
    let place = place();
    refused(&place, &["--mask-ratio", "0.01"], &["mask.mask_ratio", "at least one of the 16"]);
    refused(&place, &["--mask-ratio", "1"], &["mask.mask_ratio"]);
    refused(&place, &["--img-size", "2,8"], &["model.patch_size", "2 rows"]);
    refused(&place, &["--mask-strategy", "grid"], &["mask.strategy"]);
    refused(&place, &["--set", "beit.normalised=1"], &["beit.normalised"]);
}
