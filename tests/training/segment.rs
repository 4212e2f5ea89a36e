//! Claim: segmentation learns; a run of it has the same bits for any number of threads and after any interruption; its scores
//! are the recorded ones; one window is the whole image; test images choose nothing.

use crate::common::Place;
use crate::common::run::{BY_HEART, StopAfter, log};
use image::{GrayImage, Luma, Rgb, RgbImage};
use ndarray::Array2;
use serde_json::Value;
use std::fs;
use vit_mae::config::Settings;
use vit_mae::data::load_label_map;
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::DropPath;
use vit_mae::models::segment::{HeadKind, Segmenter, SegmenterConfig};
use vit_mae::params::Params;
use vit_mae::tasks::segment::PixelMetrics;
use vit_mae::tasks::segment::predictor::Predictor;
use vit_mae::tasks::segment::step::{Labelled, loss_and_gradient};
use vit_mae::tasks::transfer::{Start, StepOptions, Transfer, load_best};
use vit_mae::tasks::{Segment, SegmentConfig};
use vit_mae::train::{Run, RunDir, WorkerPool};

/// A picture of 40 × 36 with a bright disc or square on a dark ground, and its map; the last column is ignored.
fn picture(i: u32) -> (RgbImage, GrayImage) {
    let (cx, cy) = (10 + i * 7 % 19, 12 + i * 5 % 15);
    let class = |x: u32, y: u32| {
        let (dx, dy) = (x.abs_diff(cx), y.abs_diff(cy));
        if i.is_multiple_of(2) { u8::from(dx * dx + dy * dy < 60) } else { 2 * u8::from(dx < 7 && dy < 7) }
    };
    let noise = |x: u32, y: u32| u8::try_from((x * 31 + y * 17 + i * 53) % 50).unwrap();
    let image = RgbImage::from_fn(36, 40, |x, y| match class(x, y) {
        0 => Rgb([20 + noise(x, y), 30, 60]),
        1 => Rgb([180 + noise(x, y), 160, 40]),
        _ => Rgb([90, 200, 150 + noise(x, y)]),
    });
    (image, GrayImage::from_fn(36, 40, |x, y| Luma([if x == 35 { 255 } else { class(x, y) }])))
}

/// Three splits of such pictures in `maps`.
pub(crate) fn place() -> Place {
    let place = Place::new();
    for (split, numbers) in [("train", 0..12), ("val", 12..16), ("test", 16..20)] {
        for i in numbers {
            let (image, map) = picture(i);
            for (folder, ending) in [("images", "png"), ("annotations", "png")] {
                let path = place.path(&format!("maps/{folder}/{split}/{i:02}.{ending}"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                if folder == "images" { image.save(path).unwrap() } else { map.save(path).unwrap() }
            }
        }
    }
    place.write("maps/classes.txt", "ground\ndisc\nsquare\n");
    place
}

const SETS: [(&str, &str); 12] = [
    ("model.img_size", "[32, 32]"),
    ("model.embed_dim", "16"),
    ("model.num_heads", "2"),
    ("model.mlp_ratio", "2.0"),
    ("model.channels", "8"),
    ("model.aux_channels", "4"),
    ("optim.epochs", "3"),
    ("optim.batch_size", "4"),
    ("optim.micro_batch", "3"),
    ("run.digest_every_steps", "2"),
    ("run.pictures_every_epochs", "2"),
    ("finetune.ema_decay", "0.9"),
];

pub(crate) fn config(place: &Place, sets: &[(&str, &str)]) -> SegmentConfig {
    let set =
        |(key, value): &(&str, &str)| ((*key).to_owned(), value.parse().unwrap_or_else(|_| (*value).into()));
    let data = place.path("maps").to_str().unwrap().into();
    let flags: Vec<_> =
        [("data.path".to_owned(), data)].into_iter().chain(SETS.iter().chain(sets).map(set)).collect();
    let given = Start::preset("photo").unwrap().given().unwrap();
    Segment::layered("small", (given, ""), None, &flags.into()).unwrap().config
}

fn new(place: &Place, out: &str, sets: &[(&str, &str)]) -> Run<Segment> {
    let start = Start::preset("photo").unwrap();
    Run::new(config(place, sets), &start, || RunDir::create(Some(place.path(out)), false)).unwrap()
}

fn files(place: &Place, out: &str) -> [Vec<u8>; 2] {
    ["model", "optimizer"].map(|file| place.read(&format!("{out}/checkpoint/{file}.safetensors")))
}

#[test]
fn a_run_resumes_to_the_same_bits_after_any_step() {
    let place = place();
    for head in ["upernet", "linear"] {
        let sets = [("model.head", head)];
        let whole = format!("{head}-whole");
        new(&place, &whole, &sets).train("", &mut StopAfter(u64::MAX)).unwrap();
        for steps in 1..9 {
            let out = format!("{head}-{steps}");
            drop(new(&place, &out, &sets).train("", &mut StopAfter(steps)).unwrap_err());
            let left = RunDir::open(place.path(&out)).unwrap();
            let mut parts = Run::<Segment>::resume(left, |before| Ok(before.clone())).unwrap();
            parts.train("", &mut StopAfter(u64::MAX)).unwrap();
            assert!(files(&place, &out) == files(&place, &whole), "{head} after {steps} steps");
            assert_eq!(log(&place, &out), log(&place, &whole), "{head} after {steps} steps");
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let place = place();
    let run = |threads: usize| {
        let out = format!("on-{threads}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| new(&place, &out, &[]).train("", &mut StopAfter(u64::MAX)).unwrap());
        (files(&place, &out), log(&place, &out), place.read(&format!("{out}/confusion.png")))
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn chunks_change_no_more_than_rounding() {
    let place = place();
    let config = SegmenterConfig { num_classes: 3, ..config(&place, &[]).model };
    let model = Segmenter::<f64>::initialised(&config, 3);
    let workers = WorkerPool::new(Backend::default());
    let images = ndarray::Array4::from_shape_fn((5, 3, 32, 32), |(b, c, y, x)| {
        ((b * 7 + c * 5 + y * 3 + x) % 17) as f64 / 8.0 - 1.0
    });
    // The images have different numbers of labelled pixels: a mean of means would be another loss.
    let map = |b: usize| {
        Array2::from_shape_fn(
            (32, 32),
            |(y, x)| if y < 6 * b { 255 } else { u8::try_from((x + y * b) % 3).unwrap() },
        )
    };
    let maps: Vec<_> = (0..5).map(map).collect();
    let step = |micro_batch: usize| {
        let batch = Labelled {
            images: images.view(),
            maps: maps.iter().map(|map| map.view()).collect(),
            samples: &[3, 1, 4, 9, 5],
        };
        let drop_path = DropPath { rate: 0.2, depth: config.depth };
        let options = StepOptions { seed: 1, epoch: 2, drop_path, tune_blocks: None, micro_batch };
        loss_and_gradient(&model, &batch, &options, &workers)
    };
    let (whole, gradient) = step(5);
    for size in [1, 2, 3] {
        let (losses, parts) = step(size);
        assert!(
            (losses.main - whole.main).abs() < 1e-12 && (losses.auxiliary - whole.auxiliary).abs() < 1e-12
        );
        for (a, b) in parts.tensors().iter().zip(gradient.tensors()) {
            let largest = b.data.iter().fold(1e-6, |most: f64, x| most.max(x.abs()));
            let off = a.data.iter().zip(b.data).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off <= 1e-12 * largest.max(1.0), "{} with chunks of {size}: {off:e}", a.name);
        }
    }
}

#[test]
fn eight_images_are_learnt_by_heart() {
    let place = place();
    let own = [("model.aux_channels", "8"), ("finetune.ema_decay", "0.0"), ("optim.lr", "0.006")];
    let sets = [&BY_HEART[..], &own].concat();
    let mut run = new(&place, "by-heart", &sets);
    let train = run.learner.task.images.train.clone();
    assert_eq!(train.len(), 8);
    run.train("", &mut StopAfter(u64::MAX)).unwrap();
    let (model, config, _) = load_best::<Segment>(&place.path("by-heart")).unwrap();
    let folder = place.path("by-heart");
    let predictor = Predictor::new(&model, &config.data, false, &folder);
    let mut metrics = PixelMetrics::new(config.model.num_classes);
    for index in 0..8 {
        let vit_mae::data::Target::LabelMap(truth) = train.target(index).unwrap() else { panic!("no map") };
        let mut cx = Exec::new(Backend::default());
        let seen = predictor.see("picture", &train.image(index).unwrap(), None, &mut cx).unwrap();
        metrics.count(truth.view(), seen.map.view());
    }
    assert!(metrics.miou().unwrap() >= 0.9, "{:?}", metrics.miou());
}

/// Recorded from counts by hand and numpy: tests/golden/README.md.
#[test]
fn scores_are_the_recorded_ones() {
    let text = fs::read_to_string("tests/golden/miou_v.json").unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let cases = recorded["cases"].as_array().unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let classes = usize::try_from(case["classes"].as_u64().unwrap()).unwrap();
        let mut metrics = PixelMetrics::new(classes);
        for pair in case["pairs"].as_array().unwrap() {
            let map = |name: &str| {
                let numbers = |value: &Value| -> Vec<u64> { serde_json::from_value(value.clone()).unwrap() };
                let size = numbers(&pair["size"]);
                let values = numbers(&pair[name]).into_iter().map(|v| u8::try_from(v).unwrap()).collect();
                let side = |i: usize| usize::try_from(size[i]).unwrap();
                Array2::from_shape_vec((side(0), side(1)), values).unwrap()
            };
            metrics.count(map("label").view(), map("pred").view());
        }
        let expect = &case["expect"];
        let same = |found: Option<f64>, expected: &Value| match (found, expected.as_f64()) {
            (Some(found), Some(expected)) => (found - expected).abs() <= 1e-12,
            (found, expected) => found.is_none() && expected.is_none(),
        };
        for class in 0..classes {
            assert!(same(metrics.iou(class), &expect["iou"][class]), "IoU of {class}: {case}");
            assert!(same(metrics.accuracy(class), &expect["acc"][class]), "accuracy of {class}: {case}");
        }
        for (found, name) in [(metrics.miou(), "miou"), (metrics.macc(), "macc"), (metrics.aacc(), "aacc")] {
            assert!(same(found, &expect[name]), "{name}: {found:?} and {}", expect[name]);
        }
    }
}

#[test]
fn one_window_is_the_whole_image_and_several_cover_a_larger_one() {
    let place = place();
    let model = SegmenterConfig { num_classes: 3, ..config(&place, &[]).model };
    let mut data = config(&place, &[]).data;
    (data.mean, data.std) = (Some(vec![0.4; 3]), Some(vec![0.3; 3]));
    for head in [HeadKind::Upernet, HeadKind::Linear] {
        let network = Segmenter::<f32>::initialised(&SegmenterConfig { head, ..model.clone() }, 5);
        let folder = place.path("nowhere");
        let predictor = |slide| Predictor::new(&network, &data, slide, &folder);
        let (whole, windows) = (predictor(false), predictor(true));
        let mut cx = Exec::new(Backend::default());
        let mut see = |predictor: &Predictor, height: u32, width: u32| {
            let pixels = RgbImage::from_fn(width, height, |x, y| {
                Rgb([x * 9 % 251, y * 5 % 241, x * y % 239].map(|v| u8::try_from(v).unwrap()))
            });
            let image = vit_mae::data::Image::new(height as usize, width as usize, 3, pixels.into_raw());
            predictor.see("made up", &image, None, &mut cx).unwrap().map
        };
        assert_eq!(see(&whole, 32, 32), see(&windows, 32, 32));
        for (height, width) in [(75, 50), (20, 90), (9, 7), (33, 32)] {
            assert_eq!(see(&windows, height, width).dim(), (height as usize, width as usize));
            assert_eq!(see(&whole, height, width).dim(), (height as usize, width as usize));
        }
    }
}

#[test]
fn other_test_images_change_the_test_scores_and_nothing_else() {
    let place = place();
    let run = |out: &str| {
        new(&place, out, &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
        let result: Value = serde_json::from_slice(&place.read(&format!("{out}/result.json"))).unwrap();
        (files(&place, out), log(&place, out), result["test"]["confusion"].clone(), result["epoch"].clone())
    };
    let before = run("before");
    for i in 16..20 {
        let (image, map) = picture(i + 1);
        image.save(place.path(&format!("maps/images/test/{i}.png"))).unwrap();
        map.save(place.path(&format!("maps/annotations/test/{i}.png"))).unwrap();
    }
    let after = run("after");
    assert!(before.0 == after.0 && before.1 == after.1 && before.3 == after.3);
    assert_ne!(before.2, after.2);
}

#[test]
fn maps_that_are_written_are_the_maps_that_were_judged() {
    let place = place();
    new(&place, "run", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    let report: Value =
        serde_json::from_str(&place.done(&["eval", "--checkpoint", "run", "--json", "--out", "judged"]))
            .unwrap();
    let mut confusion = vec![vec![0_u64; 3]; 3];
    for i in 16..20 {
        let truth = load_label_map(place.path(&format!("maps/annotations/test/{i}.png"))).unwrap();
        let written = load_label_map(place.path(&format!("judged/predictions/{i}.png"))).unwrap();
        assert_eq!(written.dim(), (40, 36));
        for (&t, &p) in truth.iter().zip(&written).filter(|(t, _)| **t != 255) {
            confusion[usize::from(t)][usize::from(p)] += 1;
        }
    }
    let list = place.text("judged/predictions/images.csv");
    assert!(list.starts_with("file,image\n16.png,") && list.contains("maps/images/test/17.png\n"), "{list}");
    // Nothing else of that folder goes, and no image of the data.
    place.write("judged/predictions/mine.png", "mine");
    let again = ["eval", "--checkpoint", "run", "--split", "validation", "--overwrite", "--out"];
    place.done(&[&again[..], &["judged"]].concat());
    assert_eq!(place.text("judged/predictions/mine.png"), "mine");
    assert!(!place.path("judged/predictions/17.png").exists(), "no image of validation");
    place.write("maps/predictions/mine.png", "mine");
    place.refused(&[&again[..], &["maps"]].concat(), &["--out", "not overwritten", "maps/predictions"]);
    place.done(&["eval", "--checkpoint", "run", "--out", "judged", "--overwrite"]);
    assert_eq!(report["confusion"], serde_json::json!(confusion));
    assert_eq!(report["pixels"], 4 * 40 * 35);
    let result: Value = serde_json::from_slice(&place.read("run/result.json")).unwrap();
    assert_eq!(result["test"]["confusion"], report["confusion"]);
    let picture = "maps/images/test/17.png";
    let seen: Value = serde_json::from_str(&place.done(&[
        "predict",
        "--checkpoint",
        "run",
        picture,
        "--json",
        "--out",
        "seen",
    ]))
    .unwrap();
    assert_eq!(place.read("seen/17.png"), place.read("judged/predictions/17.png"));
    let map = load_label_map(place.path("seen/17.png")).unwrap();
    let first = &seen[0]["classes"][0];
    let class = ["ground", "disc", "square"].iter().position(|name| first["class"] == *name).unwrap();
    let pixels = map.iter().filter(|&&k| usize::from(k) == class).count();
    assert!((first["fraction"].as_f64().unwrap() - pixels as f64 / 1440.0).abs() < 1e-12, "{seen}");
    let over = image::load_from_memory(&place.read("seen/17.overlay.png")).unwrap();
    assert_eq!((over.width(), over.height()), (36, 40));
    place.refused(&["predict", "--checkpoint", "run", picture, "--out", "seen"], &["--out", "--overwrite"]);
    place.refused(&["predict", "--checkpoint", "run", picture, "--top", "3"], &["--top", "a classifier"]);
    place.write("mine/17.png", place.read(picture));
    let over = ["predict", "--checkpoint", "run", "mine/17.png", "--out", "mine", "--overwrite"];
    place.refused(&over, &["--out", "not overwritten", "mine/17.png"]);
}

#[test]
fn what_cannot_be_segmented_is_refused() {
    let place = place();
    let args = ["finetune", "--task", "segment", "--from-scratch", "--preset", "photo", "--out", "run"];
    let refused = |more: &[&str], words: &[&str]| place.refused(&[&args[..], more].concat(), words);
    refused(&["--data", "data/photos"], &["--data", "label maps"]);
    refused(&["--data", "maps", "--img-size", "40"], &["model.img_size", "multiple of 32", "40"]);
    refused(&["--data", "maps", "--crop", "0.2,1"], &["data.crop", "augment.scale"]);
    place.write("other.toml", "task = \"classify\"\n");
    refused(
        &["--data", "maps", "--config", "other.toml"],
        &["other.toml: task", "segment", "classification"],
    );
    refused(&["--data", "maps", "--labels", "0.01"], &["finetune.label_share", "an image to train on"]);
    refused(&["--data", "maps", "--pooling", "mean"], &["model.pooling"]);
    refused(&["--data", "maps", "--set", "augment.scale=[2.0,1.0]"], &["augment.scale", "smallest"]);
    refused(
        &["--data", "maps", "--set", "model.patch_size=6", "--img-size", "36"],
        &["model.patch_size", "4, 8 or 16"],
    );
    let small = ["--data", "maps", "--img-size", "32", "--epochs", "1", "--batch-size", "4"];
    let map = place.read("maps/annotations/train/03.png");
    place.write("maps/annotations/train/03.png", place.read("maps/images/train/03.png"));
    refused(&small, &["annotations/train/03.png"]);
    fs::remove_file(place.path("maps/annotations/train/03.png")).unwrap();
    refused(&small, &["03.png"]);
    place.write("maps/annotations/train/03.png", map);
    new(&place, "tuned", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    place.refused(&["probe", "--checkpoint", "tuned"], &["--data"]);
    place.write("maps/classes.txt", "ground\ndisc\nbox\n");
    place.refused(&["eval", "--checkpoint", "tuned"], &["class 2", "box", "square"]);
}

#[test]
fn a_resumed_run_is_found_by_its_task_and_its_trunk_goes_on() {
    let place = place();
    new(&place, "run", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    assert_eq!(SegmentConfig::TASK, Some("segment"));
    place.done(&["finetune", "--resume", "run", "--epochs", "4"]);
    place.done(&["audit", "replay", "run", "--step", "4"]);
    place.done(&["inspect", "run", "--verify"]);
    let args = ["finetune", "--task", "segment", "--checkpoint", "run", "--data", "maps", "--head", "linear"];
    place.done(&[&args[..], &["--epochs", "1", "--batch-size", "4", "--out", "again"]].concat());
    let (model, ..) = load_best::<Segment>(&place.path("again")).unwrap();
    assert!(model.tensors().iter().any(|tensor| tensor.name == "head.classify.weight"));
}
