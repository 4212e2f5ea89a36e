//! Claim: the program does what its help says: a run leaves a complete directory that can be used again,
//! on every kind of data, and a trained model draws any image.

use crate::common::Place;
use serde_json::Value;

/// What a run writes, in the order of names.
const COMPLETE: [&str; 9] = [
    "checkpoint",
    "checkpoint/model.safetensors",
    "checkpoint/optimizer.safetensors",
    "checkpoint/state.bin",
    "config.toml",
    "loss.svg",
    "metrics.jsonl",
    "reconstructions",
    "report.html",
];

fn config(place: &Place, run: &str) -> toml::Table {
    place.text(&format!("{run}/config.toml")).parse().unwrap()
}

fn number(config: &toml::Table, section: &str, key: &str) -> f64 {
    let value = &config[section][key];
    value
        .as_float()
        .or_else(|| value.as_integer().and_then(|n| i32::try_from(n).ok()).map(f64::from))
        .unwrap()
}

/// A well-formed piece of XML: every tag is closed by its own end.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {tag}"));
        let name = |tag: &str| tag.split_whitespace().next().unwrap().to_owned();
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in <{tag}>");
        if let Some(end) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(end), "an end without its start");
        } else if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
            open.push(name(tag));
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[test]
fn pretrain_leaves_a_complete_run_directory() {
    let place = Place::trained(&["--set", "run.pictures_every_epochs=1"]);
    let run = place.path("run");
    let names: Vec<_> = place
        .listing()
        .into_keys()
        .filter_map(|path| Some(path.strip_prefix(&run).ok()?.to_owned()))
        .collect();
    for name in COMPLETE {
        assert!(names.iter().any(|found| found.as_os_str() == name), "no {name} in {names:?}");
    }
    for epoch in ["reconstructions/epoch-0001.png", "reconstructions/epoch-0002.png"] {
        let sheet = image::open(run.join(epoch)).unwrap();
        assert!(sheet.width() > 4 * 8 && sheet.height() > 8 * 8, "8 rows of 4 pictures");
    }
    assert_eq!(names.len(), COMPLETE.len() + 3, "more than expected (run and 2 pictures): {names:?}");
    assert_well_formed(&place.text("run/loss.svg"));
}

#[test]
fn metrics_are_one_strict_json_object_a_line() {
    let place = Place::trained(&[]);
    let text = place.text("run/metrics.jsonl");
    assert!(text.ends_with('\n'));
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = records.iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["step", "step", "epoch", "step", "step", "epoch"]);
    assert_eq!(records[0]["lr"], 0.0, "warm-up starts at 0");
    for record in &records {
        assert!(record.get("loss").or(record.get("train_loss")).unwrap().as_f64().unwrap() > 0.0);
    }
}

#[test]
fn the_report_needs_nothing_from_outside() {
    let place = Place::trained(&[]);
    let html = place.text("run/report.html");
    let namespaces = html.matches("xmlns=\"http").count();
    assert_eq!(html.matches("http").count(), namespaces, "an address that is not a namespace");
    for reference in html.split("src=\"").skip(1) {
        assert!(reference.starts_with("data:image/png;base64,"));
    }
    for foreign in ["<link", "@import", "url(", "<iframe", "href="] {
        assert!(!html.contains(foreign), "{foreign} in the report");
    }
    assert!(html.contains("pretrain --data images --config tiny.toml --out run"), "the command");
}

#[test]
fn a_runs_configuration_makes_the_same_run_again() {
    let place = Place::trained(&["--mask-ratio", "0.5", "--norm-pix-loss", "--seed", "7"]);
    place.done(&["pretrain", "--config", "run/config.toml", "--out", "again"]);
    for file in ["config.toml", "checkpoint/model.safetensors", "checkpoint/optimizer.safetensors"] {
        assert!(place.read(&format!("run/{file}")) == place.read(&format!("again/{file}")), "{file}");
    }
}

#[test]
fn images_of_five_channels_are_trained_on_and_drawn() {
    let place = Place::new();
    let (count, side, channels) = (16u32, 12u32, 5u32);
    let mut idx = vec![0, 0, 8, 4];
    for n in [count, side, side, channels] {
        idx.extend(n.to_be_bytes());
    }
    idx.extend((0..count * side * side * channels).map(|i| (i * 7 % 251) as u8));
    place.write("five/train-images-idx4-ubyte", idx);
    let flags = ["--data", "five", "--in-chans", "5", "--crop", "0.5,1", "--out", "run"];
    place.done(&[&["pretrain", "--config", "tiny.toml"], &flags[..]].concat());
    image::open(place.path("run/reconstructions/epoch-0002.png")).unwrap();
}

#[test]
fn runs_are_numbered_in_the_current_folder() {
    let place = Place::new();
    assert!(place.pretrain(&[]).contains("runs/0001"));
    assert!(place.pretrain(&[]).contains("runs/0002"));
    for run in ["runs/0001", "runs/0002"] {
        assert!(place.path(run).join("report.html").is_file());
    }
}

#[test]
fn settings_are_layered_preset_then_file_then_flags() {
    let place = Place::new();
    place.pretrain(&["--blr", "0.5", "--set", "optim.epochs=1", "--epochs", "3", "--out", "run"]);
    let config = config(&place, "run");
    assert_eq!(number(&config, "optim", "weight_decay"), 0.05, "the preset's");
    assert_eq!(number(&config, "optim", "batch_size"), 8.0, "the file's");
    assert_eq!(number(&config, "optim", "blr"), 0.5, "the flag's");
    assert_eq!(number(&config, "optim", "epochs"), 3.0, "a named flag goes before --set");
    let mean = config["data"]["mean"].as_array().unwrap();
    assert_eq!(mean.len(), 1, "measured");
}

#[test]
fn a_layer_that_changes_only_the_epochs_keeps_the_share_of_warm_up() {
    let place = Place::new();
    let nano = vit_mae::tasks::Config::resolve("nano", None, Vec::new()).unwrap().optim;
    let share = nano.warmup_epochs / nano.epochs as f64;
    for (i, (file, flags, warmup)) in [
        ("epochs = 10", &[][..], 10.0 * share),
        ("epochs = 10", &["--epochs", "5"], 5.0 * share),
        ("epochs = 10\nwarmup_epochs = 4.0", &[], 4.0),
        ("epochs = 10\nwarmup_epochs = 4.0", &["--epochs", "5"], 2.0),
        ("epochs = 10", &["--epochs", "5", "--warmup-epochs", "4"], 4.0),
        ("epochs = 10", &["--set", "optim.epochs=5", "--set", "optim.warmup_epochs=1"], 1.0),
        ("epochs = 5\nwarmup_epochs = 0", &["--epochs", "6"], 0.0),
    ]
    .into_iter()
    .enumerate()
    {
        let tiny = crate::common::TINY.replace("epochs = 2", file);
        place.write("layer.toml", tiny);
        let out = format!("run-{i}");
        place.pretrain(&[&["--config", "layer.toml", "--out", &out], flags].concat());
        assert_eq!(number(&config(&place, &out), "optim", "warmup_epochs"), warmup, "{file} {flags:?}");
    }
}

#[test]
fn reconstruct_draws_images_of_any_size_and_kind() {
    let place = Place::trained(&[]);
    place.image("wide.png", 1, (20, 55), 3);
    place.image("small.png", 2, (3, 3), 1);
    place.image("photo.jpg", 3, (40, 31), 3);
    image::RgbaImage::from_pixel(9, 9, image::Rgba([9, 8, 7, 100])).save(place.path("alpha.png")).unwrap();
    let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_pixel(9, 9, image::Luma([40_000]));
    deep.save(place.path("deep.png")).unwrap();
    let images = ["wide.png", "small.png", "photo.jpg", "alpha.png", "deep.png"];
    let args = ["reconstruct", "--checkpoint", "run/checkpoint", "--out", "all.png"];
    assert_eq!(place.done(&[&args[..], &images].concat()), "all.png\n");
    place.done(&["reconstruct", "--checkpoint", "run", "--out", "one.png", "wide.png"]);
    let (all, one) =
        (image::open(place.path("all.png")).unwrap(), image::open(place.path("one.png")).unwrap());
    assert_eq!(all.width(), one.width());
    assert!(all.height() > 3 * one.height(), "five rows");
}

#[test]
fn reconstruct_is_a_function_of_its_flags() {
    let place = Place::trained(&[]);
    place.write("removed.json", "[0, 1, 2, 3, 8]\n");
    place.write("removed.txt", "0 1,2\n3\t8");
    let draw = |out: &str, flags: &[&str]| {
        let args = ["reconstruct", "--checkpoint", "run", "images/05.png", "--out", out];
        place.done(&[&args[..], flags].concat());
        place.read(out)
    };
    let plain = draw("a.png", &[]);
    assert!(plain == draw("b.png", &["--threads", "1"]), "the same again");
    assert!(plain == draw("b.png", &["--seed", "0", "--mask-ratio", "0.75"]), "the defaults");
    let seed = draw("b.png", &["--seed", "1"]);
    let ratio = draw("b.png", &["--mask-ratio", "0.25"]);
    let json = draw("b.png", &["--mask-file", "removed.json"]);
    let text = draw("b.png", &["--mask-file", "removed.txt"]);
    assert!(json == text, "a mask is a mask in either form");
    assert!(plain != seed && plain != ratio && plain != json && ratio != json);
}

#[test]
fn the_source_of_statistics_matters_only_if_the_target_was_normalised() {
    for (flags, matters) in [(&[][..], false), (&["--norm-pix-loss"], true)] {
        let place = Place::trained(flags);
        let draw = |stats: &str| {
            let args = ["reconstruct", "--checkpoint", "run", "images/05.png", "--out", "out.png"];
            place.done(&[&args[..], &["--stats", stats]].concat());
            place.read("out.png")
        };
        assert_eq!(draw("visible") != draw("oracle"), matters);
    }
}

#[test]
fn the_reports_command_can_be_pasted_into_a_shell() {
    let place = Place::trained(&["--set", "optim.betas=[0.9, 0.98]"]);
    assert!(place.text("run/report.html").contains("--set &#39;optim.betas=[0.9, 0.98]&#39;"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_is_saved_and_ends_with_130() {
    use std::process::{Command, Stdio};
    let place = Place::new();
    let mut program = Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    program.current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    program.args(["pretrain", "--data", "images", "--config", "tiny.toml", "--out", "run"]);
    let mut child = program.args(["--epochs", "100000"]).spawn().unwrap();
    let logged = || std::fs::metadata(place.path("run/metrics.jsonl")).is_ok_and(|file| file.len() > 0);
    while !logged() {
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    place.done(&["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "out.png"]);
}

#[test]
fn help_shows_examples_and_defaults() {
    let place = Place::new();
    let help = place.done(&["--help"]);
    for word in ["pretrain", "reconstruct", "Examples:", "Exit codes", "--version"] {
        assert!(help.contains(word), "no {word} in {help}");
    }
    let help = place.done(&["pretrain", "--help"]);
    for word in ["Examples:", "vit-mae pretrain --preset photo", "[default: nano]", "runs/0001", "0.75"] {
        assert!(help.contains(word), "no {word} in {help}");
    }
    for (name, _) in vit_mae::tasks::mae::presets::PRESETS {
        assert!(help.contains(name), "preset {name} is not in the help");
    }
    let help = place.done(&["reconstruct", "--help"]);
    for word in ["Examples:", "[default: 0]", "[default: visible]", "leaks", "JSON", "one a core"] {
        assert!(help.contains(word), "no {word} in {help}");
    }
    assert!(place.done(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn cifar_files_are_trained_on() {
    let place = Place::new();
    let record =
        |i: usize| (0..3073).map(move |at| if at == 0 { 3 } else { u8::try_from(at * i % 251).unwrap() });
    for n in 1..=5 {
        let batch: Vec<u8> = (n..n + 4).flat_map(record).collect();
        place.write(&format!("cifar/data_batch_{n}.bin"), batch);
    }
    place.write("cifar/test_batch.bin", (7..10).flat_map(record).collect::<Vec<u8>>());
    let size = ["--data", "cifar", "--img-size", "32", "--in-chans", "3", "--patch-size", "8"];
    let printed = place.pretrain(&size);
    assert!(printed.contains("CIFAR-10, 20 images") && printed.contains("test loss"), "{printed}");
}

#[test]
fn colour_pictures_that_are_not_square_are_trained_on() {
    let place = Place::new();
    place.images("wide/cats", 5, (8, 12), 3);
    place.images("wide/dogs", 4, (8, 12), 3);
    let printed =
        place.pretrain(&["--data", "wide", "--img-size", "8,12", "--in-chans", "3", "--out", "run"]);
    assert!(
        printed.contains("9 image files, 2 classes") && printed.contains("8×12×3 in 24 patches"),
        "{printed}"
    );
    assert_eq!(config(&place, "run")["model"]["img_size"].to_string(), "[8, 12]");
    place.done(&["reconstruct", "--checkpoint", "run", "wide/cats/00.png", "--out", "out.png"]);
}

#[test]
fn the_photo_preset_trains_on_the_photographs_that_come_along() {
    let place = Place::new();
    let tiny = "model.depth=1 model.embed_dim=16 model.num_heads=2 model.decoder_depth=1 data.repeats=2";
    let sets: Vec<&str> = tiny.split(' ').flat_map(|set| ["--set", set]).collect();
    let args = ["pretrain", "--preset", "photo", "--epochs", "1", "--batch-size", "10", "--out", "run"];
    let printed = place.done(&[&args[..], &sets].concat());
    assert!(printed.contains("10 image files") && printed.contains("1 epoch of 2 steps"), "{printed}");
    assert!(printed.contains("no validation loss"), "{printed}");
}

#[test]
fn whoever_stops_listening_does_not_stop_the_run() {
    use std::process::{Command, Stdio};
    let place = Place::new();
    let mut program = Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    program.current_dir(place.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    program.args(["pretrain", "--data", "images", "--config", "tiny.toml", "--out", "run"]);
    let mut child = program.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(place.path("run/report.html").is_file());
}
