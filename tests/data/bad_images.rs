//! Claim: an image that cannot be used, whatever is wrong with it, stops a command with one sentence, and with
//! `--skip-bad-images` is left out and listed by each of them; a decoder that panics is one more kind of bad image.

use crate::common::Place;
use crate::labelled::classes;
use serde_json::Value;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use vit_mae::Result;
use vit_mae::base::guard::{GAVE_UP, guarded};

/// Puts one bad image of each kind into a folder; their names.
fn spoil(place: &Place, folder: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut bad = |name: &str, content: &[u8]| {
        names.push(format!("{folder}/{name}"));
        place.write(names.last().unwrap(), content);
    };
    place.image("sound.png", 1, (8, 8), 1);
    place.image("sound.jpg", 1, (8, 8), 3);
    let (png, jpeg) = (place.read("sound.png"), place.read("sound.jpg"));
    let mut wide = png.clone();
    wide[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    let mut odd = jpeg.clone();
    let frame = jpeg.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    odd[frame + 11] = 0x31; // luma is sampled three times as finely as what libjpeg could scale
    bad("bad-cut.png", &png[..png.len() / 2]);
    bad("bad-cut.jpg", &jpeg[..jpeg.len() - 2]);
    bad("bad-empty.png", b"");
    bad("bad-layout.jpg", &odd);
    bad("bad-text.jpeg", b"not found");
    bad("bad-wide.PNG", &wide);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::os::unix::fs::symlink("nowhere.png", place.path(&format!("{folder}/bad-link.png"))).unwrap();
        names.push(format!("{folder}/bad-link.png"));
        let pipe = format!("{folder}/bad-pipe.png");
        if Command::new("mkfifo").arg(place.path(&pipe)).status().is_ok_and(|status| status.success()) {
            names.push(pipe);
        }
        let secret = format!("{folder}/bad-secret.png");
        place.write(&secret, &png);
        fs::set_permissions(place.path(&secret), fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(place.path(&secret)).is_err() {
            names.push(secret); // who runs the tests as root can read it
        } else {
            fs::remove_file(place.path(&secret)).unwrap();
        }
    }
    fs::create_dir(place.path(&format!("{folder}/folder.png"))).unwrap(); // an empty folder, no image
    names
}

/// A classifier in `tuned`, its encoder in `run`, and labelled images in `set`, then spoilt; the bad ones.
fn spoilt() -> (Place, Vec<String>, Vec<String>) {
    let place = Place::trained(&["--epochs", "1"]);
    classes(&place, "set/train", &["across", "down"], 10);
    classes(&place, "set/test", &["across", "down"], 4);
    let args = ["finetune", "--checkpoint", "run", "--data", "set", "--out", "tuned", "--epochs", "1"];
    place.done(&[&args[..], &["--batch-size", "4"]].concat());
    let (train, test) = (spoil(&place, "set/train/across"), spoil(&place, "set/test/down"));
    (place, train, test)
}

/// That exactly these images are listed as skipped.
fn lists(printed: &str, bad: &[&String]) {
    let list = printed.split("skipped: ").nth(1).unwrap_or_else(|| panic!("no list in: {printed}"));
    let count = format!("{} image{}\n", bad.len(), if bad.len() == 1 { "" } else { "s" });
    assert!(list.starts_with(&count), "{bad:?} and {printed}");
    for name in bad {
        assert_eq!(list.matches(name.as_str()).count(), 1, "{name}: {printed}");
    }
}

#[test]
fn pre_training_skips_and_lists_every_kind_in_both_splits() {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 10);
    classes(&place, "set/test", &["across", "down"], 2);
    let (mut train, test) = (spoil(&place, "set/train/across"), spoil(&place, "set/test/down"));
    let args = ["--data", "set", "--set", "run.held_out_images=100", "--skip-bad-images"];
    // Without crops an image of another size cannot be used either; with crops it can.
    let size = "set/train/down/size.png".to_owned();
    place.image(&size, 3, (9, 12), 1);
    let crops = place.pretrain(&[&args[..], &["--crop", "0.5,1", "--out", "crops"]].concat());
    lists(&crops, &train.iter().chain(&test).collect::<Vec<_>>());
    train.push(size);
    let whole = place.pretrain(&[&args[..], &["--out", "whole"]].concat());
    lists(&whole, &train.iter().chain(&test).collect::<Vec<_>>());
    let report = place.text("whole/report.html");
    for name in train.iter().chain(&test) {
        assert!(report.lines().any(|line| line.contains("Skipped: ") && line.contains(name)), "{name}");
    }
}

#[test]
fn who_judges_skips_and_lists_every_kind_too() {
    let (place, train, test) = spoilt();
    let both: Vec<_> = train.iter().chain(&test).collect();
    let skipping = ["--data", "set", "--skip-bad-images"];
    let done = |args: &[&str]| place.done(&[args, &skipping].concat());
    let eval = done(&["eval", "--checkpoint", "tuned", "--out", "judged"]);
    lists(&eval, &test.iter().collect::<Vec<_>>());
    lists(&done(&["probe", "--checkpoint", "run", "--val-share", "0.2", "--epochs", "3"]), &both);
    let tuned =
        done(&["finetune", "--checkpoint", "run", "--epochs", "2", "--batch-size", "4", "--out", "again"]);
    lists(&tuned, &both);
    let features: Value =
        serde_json::from_str(&done(&["features", "--checkpoint", "run", "--out", "f.npy", "--json"]))
            .unwrap();
    assert_eq!(
        (features["images"].as_u64(), features["skipped"].as_array().map(Vec::len)),
        (Some(20), Some(train.len()))
    );
    for args in
        [&["eval", "--checkpoint", "tuned"][..], &["features", "--checkpoint", "run", "--out", "g.npy"]]
    {
        let output = place.run(&[args, &["--data", "set"]].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && message.contains("bad-cut."), "{args:?}: {message}");
    }
}

#[test]
fn info_counts_and_verify_lists_every_kind() {
    let place = Place::new();
    let bad = spoil(&place, "images");
    let info: Value = serde_json::from_str(&place.done(&["data", "info", "images", "--json"])).unwrap();
    assert_eq!(info["splits"][0]["bad"].as_u64(), Some(bad.len() as u64));
    let output = place.run(&["data", "verify", "images"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for name in &bad {
        assert_eq!(listed.matches(name.as_str()).count(), 1, "{name}: {listed}");
    }
}

#[test]
fn images_of_other_channels_are_named_and_can_be_skipped() {
    let place = Place::new();
    place.image("images/99.png", 1, (8, 8), 3);
    let alpha = image::RgbaImage::from_pixel(8, 8, image::Rgba([1, 2, 3, 4]));
    fs::create_dir(place.path("alpha")).unwrap();
    for i in 0..8 {
        alpha.save(place.path(&format!("alpha/{i}.png"))).unwrap();
    }
    place.image("alpha/9.png", 1, (8, 8), 3);
    let args = ["--data", "alpha", "--in-chans", "4", "--batch-size", "4"];
    place.pretrain_refused(&args, &["alpha/9.png: model.in_chans", "found 4"]);
    lists(&place.pretrain(&[&args[..], &["--skip-bad-images"]].concat()), &[&"alpha/9.png".to_owned()]);
}

/// What a decoder with a bug makes of a file.
fn give_up() -> Result<()> {
    guarded(Path::new("a.jpg"), "image data", || panic!("a panic that is guarded"))
}

#[test]
fn a_guarded_panic_is_silent_on_any_thread_and_others_are_printed() {
    // In a process of its own, whose stderr can be read.
    let name = "bad_images::a_guarded_panic_is_silent_on_any_thread_and_others_are_printed";
    if std::env::var_os("GUARD_TEST").is_some() {
        drop(catch_unwind(|| panic!("a panic before")));
        rayon::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|_| assert!(give_up().unwrap_err().to_string().ends_with(GAVE_UP)));
            }
        });
        let elsewhere = std::thread::spawn(|| panic!("a panic elsewhere"));
        drop(guarded(Path::new("a.jpg"), "image data", || {
            elsewhere.join().map_err(|_| give_up().unwrap_err())
        }));
        drop(catch_unwind(|| panic!("a panic afterwards")));
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env("GUARD_TEST", "1").env("RUST_BACKTRACE", "0");
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}");
    for outside in ["a panic before", "a panic elsewhere", "a panic afterwards"] {
        assert_eq!(printed.matches(outside).count(), 1, "{printed}");
    }
    assert!(!printed.contains("a panic that is guarded"), "{printed}");
}
