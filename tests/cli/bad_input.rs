//! Claim: whatever is wrong with a flag, a setting, a data set or a checkpoint, the program says in one
//! sentence where and what, exits with 2, and leaves the disk as it was.

use crate::common::Place;
use std::fs;

#[test]
fn a_path_that_leads_nowhere_is_named() {
    let place = Place::new();
    place.pretrain_refused(&["--data", "nowhere"], &["cannot read nowhere"]);
    place.pretrain_refused(&["--config", "nowhere.toml"], &["cannot read nowhere.toml"]);
    place.pretrain_refused(&["--config", "images"], &["cannot read images"]);
    place.refused(&["pretrain", "--preset", "cifar"], &["--data", "CIFAR", "found none"]);
}

#[cfg(unix)]
#[test]
fn an_unreadable_path_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let secret = place.path("images/03.png");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&secret).is_err() {
        let output = place.run(&["pretrain", "--data", "images", "--config", "tiny.toml"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("cannot read images/03.png"), "{message}");
    } // else: these tests run as root, who can read everything
}

#[test]
fn a_folder_without_images_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    place.pretrain_refused(&["--data", "empty"], &["empty", "images", "PNG or JPEG", "found none"]);
    place.write("texts/readme.txt", "no image");
    place.pretrain_refused(&["--data", "texts"], &["texts", "PNG or JPEG", "found none"]);
}

#[test]
fn a_file_that_is_no_image_is_named_with_what_it_begins_with() {
    let place = Place::new();
    place.write("images/05.png", "GIF89a");
    place.pretrain_refused(&[], &["images/05.png", "expected PNG or JPEG", "47 49 46 38"]);
    place.write("images/05.png", "");
    place.pretrain_refused(&[], &["images/05.png", "an empty file"]);
    place.pretrain_refused(&["--data", "tiny.toml"], &["tiny.toml", "data format", "--format"]);
}

#[test]
fn a_truncated_image_is_named() {
    let place = Place::new();
    place.image("whole.jpg", 1, (32, 32), 3);
    let whole = place.read("whole.jpg");
    place.write("images/16.jpg", &whole[..whole.len() / 2]);
    place.pretrain_refused(&[], &["images/16.jpg", "FF D9", "cut short"]);
    fs::remove_file(place.path("images/16.jpg")).unwrap();
    let whole = place.read("images/04.png");
    place.write("images/04.png", &whole[..whole.len() * 2 / 3]);
    place.pretrain_refused(&[], &["images/04.png", "image data", "Png"]);
}

#[test]
fn an_image_that_claims_a_giant_size_is_refused_before_memory_is_taken() {
    let place = Place::new();
    let mut png = place.read("images/07.png");
    png[16..20].copy_from_slice(&100_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&100_000u32.to_be_bytes());
    let seal = crc32fast::hash(&png[12..29]);
    png[29..33].copy_from_slice(&seal.to_be_bytes());
    place.write("images/07.png", png);
    place.pretrain_refused(&[], &["images/07.png", "16384", "100000"]);
}

#[test]
fn truncated_idx_files_are_named_also_those_of_the_test_split() {
    let place = Place::new();
    let header = [0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 8];
    let whole = [&header[..], &[7; 9 * 64]].concat();
    let idx = "idx/train-images-idx3-ubyte";
    place.write(idx, &whole[..whole.len() - 1]);
    place.pretrain_refused(&["--data", "idx"], &[idx, "576 bytes", "575", "cut short"]);
    place.write(idx, &whole[..10]);
    place.pretrain_refused(&["--data", "idx"], &[idx, "header", "16 bytes", "found a file of 10"]);
    place.write(idx, [&whole[..], &[0]].concat());
    place.pretrain_refused(&["--data", "idx"], &[idx, "576 bytes", "more"]);
    place.write(idx, &b"text instead"[..]);
    place.pretrain_refused(&["--data", "idx"], &[idx, "magic number", "00 00 08 03"]);
    place.write(idx, &whole);
    place.write("idx/t10k-images-idx3-ubyte", &whole[..50]);
    place.pretrain_refused(&["--data", "idx"], &["t10k-images-idx3-ubyte", "more than the file can hold"]);
    place.write("idx.gz/train-images-idx3-ubyte.gz", b"\x1f\x8b\x08 and no more");
    place.pretrain_refused(&["--data", "idx.gz"], &["gzip"]);
}

#[test]
fn truncated_cifar_files_are_named() {
    let place = Place::new();
    let size = ["--set", "model.in_chans=3", "--img-size", "32", "--patch-size", "8"];
    place.write("batch.bin", vec![1; 3073 * 8 - 1]);
    let words = ["batch.bin", "multiple of 3073", "24583 bytes"];
    place.pretrain_refused(&[&["--data", "batch.bin"], &size[..]].concat(), &words);
    place.write("cifar/data_batch_1.bin", vec![1; 3073]);
    place.pretrain_refused(&[&["--data", "cifar"], &size[..]].concat(), &["data_batch_2.bin"]);
    place.write("batch.bin", vec![10; 3073 * 8]);
    let words = ["batch.bin", "label of image 0", "less than 10", "found 10"];
    place.pretrain_refused(&[&["--data", "batch.bin"], &size[..]].concat(), &words);
}

#[test]
fn images_of_mixed_size_are_refused_with_the_advice_to_crop() {
    let place = Place::new();
    place.image("images/11.png", 11, (9, 12), 1);
    let words = ["images/11.png", "image size", "8×8", "--crop", "9×12"];
    place.pretrain_refused(&[], &words);
    fs::create_dir(place.path("mine")).unwrap();
    place.pretrain_refused(&["--out", "mine"], &words);
    place.pretrain_refused(&["--out", "new/and/deep"], &words);
    place.pretrain(&["--crop", "0.2,1"]);
}

#[test]
fn one_bad_image_among_many_stops_the_run_or_is_skipped_and_listed() {
    let place = Place::new();
    place.write("images/03.png", "no image");
    place.write("images/12.png", "nor this");
    place.pretrain_refused(&[], &["images/03.png", "PNG or JPEG"]);
    let printed = place.pretrain(&["--skip-bad-images", "--out", "run"]);
    let report = place.text("run/report.html");
    assert!(printed.contains("skipped: 2 images"), "{printed}");
    for name in ["images/03.png", "images/12.png"] {
        assert_eq!(printed.matches(name).count(), 1, "{printed}");
        assert_eq!(report.matches(&format!("Skipped: {name}")).count(), 1);
    }
    place.images("bad", 2, (8, 8), 1);
    place.write("bad/00.png", "x");
    place.write("bad/01.png", "y");
    let args = ["--data", "bad", "--skip-bad-images", "--batch-size", "2"];
    place.pretrain_refused(&args, &["bad/00.png", "at least one that can be read"]);
}

#[test]
fn mask_ratios_that_keep_or_remove_nothing_are_refused() {
    let place = Place::trained(&[]);
    // 0.001 would remove one patch of 16, as int(16 · 0.999) is 15; 1e-18 removes none.
    for ratio in ["0", "1", "1e-18", "0.999", "NaN", "-1", "inf"] {
        place.pretrain_refused(&["--mask-ratio", ratio], &["mask.mask_ratio", "expected", "found"]);
        let args = ["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "out.png"];
        place.refused(&[&args[..], &["--mask-ratio", ratio]].concat(), &["--mask-ratio: expected"]);
    }
    place.pretrain_refused(&["--mask-ratio", "half"], &["--mask-ratio", "half"]);
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_the_key() {
    let place = Place::new();
    for (set, words) in [
        ("model.patch_size=3", &["model.patch_size", "divisor", "height 8", "found 3"][..]),
        ("model.patch_size=8", &["model.patch_size", "makes 1"]),
        ("model.img_size=[8, 9]", &["model.patch_size", "width 9"]),
        ("model.img_size=[0, 8]", &["model.img_size"]),
        ("model.img_size=[1000000000, 1000000000]", &["model.img_size", "16384"]),
        ("model.in_chans=2", &["model.in_chans", "1 (grey) or 3 (colour)", "found 2"]),
        ("model.in_chans=0", &["model.in_chans", "found 0"]),
        ("model.num_heads=3", &["model.num_heads", "16", "found 3"]),
        ("model.embed_dim=18", &["model.embed_dim", "multiple of 4", "found 18"]),
        ("model.depth=1000000000", &["model.depth", "1024"]),
        ("model.mlp_ratio=nan", &["model.mlp_ratio"]),
        ("data.mean=[0.5, 0.5]", &["data.mean", "1 finite"]),
        ("data.std=[0.0]", &["data.std"]),
    ] {
        place.pretrain_refused(&["--set", set], words);
    }
    let args = ["pretrain", "--preset", "vit-base", "--data", "images", "--in-chans", "1"];
    place.refused(&args, &["data.mean", "one a channel"]);
}

#[test]
fn numbers_out_of_range_are_refused_with_the_key() {
    let place = Place::new();
    let most = "9223372036854775807";
    for (args, words) in [
        (["--batch-size", "17"], &["optim.batch_size", "at most 16", "found 17"][..]),
        (["--batch-size", "0"], &["optim.batch_size", "at least 1"]),
        (["--batch-size", most], &["optim.batch_size", "at most 16", most]),
        (["--accum-iter", "3"], &["optim.accum_iter", "at most 2", "found 3"]),
        (["--accum-iter", most], &["optim.accum_iter"]),
        (["--epochs", "0"], &["optim.epochs", "found 0"]),
        (["--epochs", most], &["optim.epochs"]),
        (["--epochs", "-3"], &["--epochs", "-3"]),
        (["--warmup-epochs", "2"], &["optim.warmup_epochs", "less than the 2 epochs"]),
        (["--blr", "-1"], &["optim.blr", "found -1"]),
        (["--blr", "nan"], &["optim.blr"]),
        (["--clip-grad", "0"], &["optim.clip_grad"]),
        (["--weight-decay", "inf"], &["optim.weight_decay"]),
        (["--crop", "0,1"], &["data.crop", "0 < smallest", "[0, 1]"]),
        (["--crop", "0.5"], &["--crop", "two numbers"]),
        (["--img-size", "8,8,8"], &["--img-size", "one or two"]),
        (["--seed", "18446744073709551615"], &["--seed", "at most"]),
        (["--seed", "-1"], &["--seed", "-1"]),
        (["--threads", "0"], &["--threads", "1 to", "found 0"]),
        (["--threads", "100000"], &["--threads", "found 100000"]),
        (["--set", "data.repeats=0"], &["data.repeats", "at least 1"]),
        (["--set", "data.repeats=1000000000000"], &["data.repeats", "16 images"]),
        (["--set", "optim.betas=[0.9, 1.0]"], &["optim.betas"]),
        (["--set", "run.log_every_steps=0"], &["run.log_every_steps"]),
    ] {
        place.pretrain_refused(&args, words);
    }
}
