//! Claim: settings, output folders, masks and checkpoints that cannot be meant are refused by name, with
//! exit code 2 and without a trace.

use crate::common::Place;
use std::fs;

#[test]
fn unknown_and_mistyped_settings_in_a_file_are_named_with_the_file() {
    let place = Place::new();
    for (text, words) in [
        ("[model]\ndepht = 3", &["model", "depht", "depth"][..]),
        ("[modle]\ndepth = 3", &["modle", "model"]),
        ("depth = 3", &["depth"]),
        ("[optim]\nepochs = \"ten\"", &["optim.epochs", "string \"ten\""]),
        ("[optim]\nepochs = -1", &["optim.epochs", "-1"]),
        ("[optim]\nbetas = [0.9]", &["optim.betas"]),
        ("[mask]\nstrategy = \"stripes\"", &["mask.strategy", "stripes", "random"]),
        ("optim = 3", &["optim"]),
        ("[optim]\nepochs = 1\nepochs = 2", &["line 3"]),
        ("[optim]\n\nepochs = = 2", &["line 3"]),
    ] {
        place.write("bad.toml", text);
        place.pretrain_refused(&["--config", "bad.toml"], &[&["bad.toml: settings"], words].concat());
    }
    place.write("bad.toml", b"\xff\xfe");
    place.pretrain_refused(&["--config", "bad.toml"], &["bad.toml", "UTF-8"]);
    place.write("bad.toml", "#".repeat(2 << 20));
    place.pretrain_refused(&["--config", "bad.toml"], &["bad.toml", "at most"]);
}

#[test]
fn nonsense_in_set_is_refused() {
    let place = Place::new();
    for (set, words) in [
        ("nonsense", &["--set", "section.key=value", "nonsense"][..]),
        ("=", &["--set", "section.key=value"]),
        ("epochs=3", &["epochs", "section.key", "no section"]),
        ("optim.epochs=", &["--set", "optim.epochs="]),
        ("optim.epochs=ten", &["--set", "in TOML", "quotes"]),
        ("optim.epochs=3\n[x]", &["--set"]),
        ("optim.epochs=2.5", &["optim.epochs", "2.5"]),
        ("optim.epoch=3", &["optim.epoch", "unknown field", "epochs"]),
        ("optimiser.epochs=3", &["optimiser.epochs", "section `optimiser`", "optim"]),
        ("optim.betas.x=1", &["optim.betas.x", "unknown field"]),
        ("run.gemm=\"blas\"", &["run.gemm", "blas", "matrixmultiply"]),
    ] {
        place.pretrain_refused(&["--set", set], words);
    }
}

#[test]
fn unknown_names_are_refused_with_those_that_exist() {
    let place = Place::new();
    place.pretrain_refused(&["--preset", "vit-giant"], &["--preset", "nano", "vit-huge", "vit-giant"]);
    place.pretrain_refused(
        &["--format", "tar"],
        &["--format", "idx, cifar, npy, webdataset, parquet, scenes, label-maps, coco, voc, folder", "tar"],
    );
    place.pretrain_refused(&["--mask-strategy", "stripes"], &["--mask-strategy", "random", "block"]);
    place.pretrain_refused(&["--gemm", "blas"], &["--gemm", "matrixmultiply"]);
    if !vit_mae::exec::Backend::Amx.is_available() {
        place.pretrain_refused(&["--gemm", "amx"], &["--gemm", "matrix unit"]);
    }
    place.pretrain_refused(&["--epoch", "3"], &["--epoch", "--epochs"]);
    place.refused(&["train"], &["train"]);
}

#[test]
fn a_bench_that_cannot_be_measured_is_refused() {
    let place = Place::new();
    for (flag, value) in [("--secs", "0"), ("--secs", "-1"), ("--secs", "nan"), ("--threads", "0")] {
        place.refused(&["bench", flag, value], &[flag, "expected"]);
    }
    place.refused(&["bench", "--preset", "big"], &["--preset", "nano", "big"]);
    place.refused(&["bench", "--config", "none.toml"], &["cannot read none.toml"]);
    place.refused(&["bench", "--batch-size", "0"], &["optim.batch_size"]);
}

#[test]
fn an_output_folder_that_holds_something_is_refused_and_untouched() {
    let place = Place::new();
    place.write("run/thesis.txt", "years of work");
    place.pretrain_refused(&["--out", "run"], &["--out", "run", "--overwrite"]);
    place.pretrain_refused(&["--out", "tiny.toml"], &["--out", "tiny.toml", "which is a file"]);
    place.pretrain_refused(&["--overwrite"], &["--out"]);
    place.pretrain(&["--out", "run", "--overwrite"]);
    assert_eq!(place.text("run/thesis.txt"), "years of work");
    assert!(place.path("run/report.html").is_file());
    let help = place.done(&["pretrain", "--help"]);
    assert!(help.contains("--overwrite") && help.contains("--out"));
}

#[test]
fn a_missing_checkpoint_is_named() {
    let place = Place::trained(&[]);
    let refused = |checkpoint: &str, words: &[&str]| {
        let args = ["reconstruct", "--checkpoint", checkpoint, "images/00.png", "--out", "out.png"];
        place.refused(&args, words);
    };
    refused("nowhere", &["nowhere", "checkpoint", "no such folder"]);
    refused("images", &["images", "checkpoint", "a folder without one"]);
    for file in ["model.safetensors", "optimizer.safetensors", "state.bin"] {
        let path = format!("run/checkpoint/{file}");
        let whole = place.read(&path);
        fs::remove_file(place.path(&path)).unwrap();
        refused("run", &["run"]);
        place.write(&path, whole);
    }
}

#[test]
fn one_flipped_byte_anywhere_in_a_checkpoint_is_found() {
    let place = Place::trained(&[]);
    for file in ["model.safetensors", "optimizer.safetensors", "state.bin"] {
        let path = format!("run/checkpoint/{file}");
        let whole = place.read(&path);
        for at in [0, 9, 21, whole.len() / 3, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            place.write(&path, damaged);
            let args = ["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "out.png"];
            place.refused(&args, &[&path, "expected", "found"]);
            let output = place.run(&["inspect", "--verify", "run"]);
            let (printed, message) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
            assert_eq!(output.status.code(), Some(1), "{printed}");
            assert!(printed.contains("DAMAGED") && printed.contains(&path), "{printed}");
            assert!(String::from_utf8(message).unwrap().contains("of 3 files are damaged"));
        }
        place.write(&path, &whole[..whole.len() / 2]);
        place.refused(
            &["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "out.png"],
            &[&path, "expected", "found"],
        );
        place.write(&path, whole);
    }
    place.done(&["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "out.png"]);
    assert!(!place.done(&["inspect", "--verify", "run/checkpoint"]).contains("DAMAGED"));
    place.refused(&["inspect", "--verify", "images"], &["images", "a folder without one"]);
}

#[test]
fn a_mask_file_that_is_no_mask_is_refused() {
    let place = Place::trained(&[]);
    let all: Vec<String> = (0..16).map(|i| i.to_string()).collect();
    for (text, words) in [
        ("0 1 16", &["patch", "below 16", "found 16"][..]),
        ("[0, 1, 99999999999999999999]", &["below 16"]),
        ("3 4 3", &["each index once", "3 twice"]),
        ("", &["0 removed", "16 patches"]),
        ("[]", &["0 removed"]),
        (&all.join(" "), &["16 removed", "one kept"]),
        ("1 two 3", &["`two`"]),
        ("1.5", &["`1.5`"]),
        ("-1", &["`-1`"]),
        ("[1, 2", &["JSON"]),
        ("[[1], 2]", &["`[1]`"]),
        ("{\"removed\": [1]}", &["patch indices"]),
    ] {
        place.write("mask.txt", text);
        let args = ["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "out.png"];
        place.refused(&[&args[..], &["--mask-file", "mask.txt"]].concat(), &[&["mask.txt"], words].concat());
    }
    let args = ["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "out.png"];
    place.refused(&[&args[..], &["--mask-file", "none.txt"]].concat(), &["cannot read none.txt"]);
    let both = ["--mask-file", "mask.txt", "--mask-ratio", "0.5"];
    place.refused(&[&args[..], &both].concat(), &["--mask-ratio", "--mask-file"]);
}

#[test]
fn images_that_cannot_be_reconstructed_are_named() {
    let place = Place::trained(&[]);
    let refused = |image: &str, words: &[&str]| {
        let args = ["reconstruct", "--checkpoint", "run", "images/00.png", image, "--out", "out.png"];
        place.refused(&args, words);
    };
    refused("tiny.toml", &["tiny.toml", "PNG or JPEG"]);
    refused("nowhere.png", &["cannot read nowhere.png"]);
    refused("images", &["images", "a regular file", "a folder"]);
    place.image("thread.png", 0, (1, 16_000), 1);
    refused("thread.png", &["thread.png", "image size", "aspect ratio", "1×16000"]);
    place.refused(&["reconstruct", "--checkpoint", "run", "--out", "out.png"], &["IMAGE"]);
}

#[test]
fn a_picture_goes_only_where_it_can_and_never_over_an_image() {
    let place = Place::trained(&[]);
    for (out, words) in [
        ("nowhere/out.png", &["a folder that exists", "nowhere/out.png"][..]),
        ("images", &["--out", "images"]),
        ("out.jpg", &["ends in .png", "out.jpg"]),
        ("images/00.png", &["not overwritten"]),
        ("images/../images/00.png", &["not overwritten"]),
    ] {
        let args = ["reconstruct", "--checkpoint", "run", "images/00.png", "--out", out];
        place.refused(&args, &[&["--out: expected"], words].concat());
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_with_1_and_advice() {
    let place = Place::new();
    let args = ["pretrain", "--data", "images", "--config", "tiny.toml", "--out", "run"];
    let wild = ["--set", "optim.lr=1e30", "--warmup-epochs", "0", "--epochs", "9"];
    let output = place.run(&[&args[..], &wild].concat());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("is not finite")
            && message.contains("--clip-grad")
            && message
                .contains("The checkpoint of step 0 in run is intact, and --resume run goes on from it"),
        "{message}"
    );
    assert!(place.path("run/metrics.jsonl").is_file(), "the curve that led there stays");
}
