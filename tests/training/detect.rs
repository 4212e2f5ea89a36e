//! Claim: detection learns; a run of it has the same bits for any number of threads and after any interruption, sampling
//! included; the order of images does not matter to its scores; test images choose nothing.

use crate::common::Place;
use crate::common::run::{StopAfter, log};
use image::{Rgb, RgbImage};
use ndarray::{Array2, Array4};
use serde_json::{Value, json};
use std::fs;
use vit_mae::config::Settings;
use vit_mae::data::Instance;
use vit_mae::data::rle::Rle;
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::DropPath;
use vit_mae::models::detect::{Detector, DetectorConfig};
use vit_mae::params::Params;
use vit_mae::tasks::detect::predictor::{Predictor, fitted};
use vit_mae::tasks::detect::step::{Annotated, loss_and_gradient};
use vit_mae::tasks::transfer::{Start, StepOptions, Transfer, load_best};
use vit_mae::tasks::{Detect, DetectConfig};
use vit_mae::train::{Run, RunDir, WorkerPool};

const HEIGHT: u32 = 40;
const WIDTH: u32 = 36;

/// `[x, y, w, h]` and class of the bright boxes of picture `i`, which do not overlap: one or two.
fn boxes(i: u32) -> Vec<([u32; 4], u32)> {
    let first = ([1 + i * 7 % 8, 2 + i * 5 % 8, 9 + i % 4, 8 + i % 5], i % 2);
    let second = ([19 + i * 3 % 5, 22 + i % 4, 8 + i * 2 % 5, 10 + i % 3], (i + 1) % 2);
    if i.is_multiple_of(3) { vec![first] } else { vec![first, second] }
}

fn picture(i: u32) -> RgbImage {
    let noise = |x: u32, y: u32| u8::try_from((x * 31 + y * 17 + i * 53) % 50).unwrap();
    RgbImage::from_fn(WIDTH, HEIGHT, |px, py| {
        let inside =
            |([x, y, w, h], _): &&([u32; 4], u32)| (*x..x + w).contains(&px) && (*y..y + h).contains(&py);
        match boxes(i).iter().find(inside) {
            None => Rgb([20 + noise(px, py), 30, 60]),
            Some((_, 0)) => Rgb([180 + noise(px, py), 160, 40]),
            Some(_) => Rgb([90, 200, 150 + noise(px, py)]),
        }
    })
}

/// COCO's document of some pictures, in this order; category ids have gaps.
fn document(numbers: &[u32], masks: bool) -> String {
    let images: Vec<Value> = numbers
        .iter()
        .map(|i| json!({"id": 100 + i, "file_name": format!("{i:02}.png"), "height": HEIGHT, "width": WIDTH}))
        .collect();
    let mut annotations = Vec::new();
    for &i in numbers {
        for ([x, y, w, h], class) in boxes(i) {
            let mut annotation = json!({
                "id": annotations.len() + 1, "image_id": 100 + i, "category_id": (if class == 0 { 3 } else { 18 }),
                "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0
            });
            if masks {
                annotation["segmentation"] = json!([[x, y, x + w, y, x + w, y + h, x, y + h]]);
            }
            annotations.push(annotation);
        }
    }
    let categories = json!([{"id": 3, "name": "brick"}, {"id": 18, "name": "leaf"}]);
    json!({"images": images, "annotations": annotations, "categories": categories}).to_string()
}

/// Three splits of such pictures in `boxes`.
fn place_with(masks: bool) -> Place {
    let place = Place::new();
    for (split, numbers) in [("train", 0..12), ("val", 12..16), ("test", 16..20)] {
        let numbers: Vec<u32> = numbers.collect();
        for &i in &numbers {
            let path = place.path(&format!("boxes/images/{split}/{i:02}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture(i).save(path).unwrap();
        }
        place.write(&format!("boxes/annotations/instances_{split}.json"), document(&numbers, masks));
    }
    place
}

pub(crate) fn place() -> Place {
    place_with(true)
}

const SETS: [(&str, &str); 13] = [
    ("model.img_size", "[32, 32]"),
    ("model.embed_dim", "16"),
    ("model.num_heads", "2"),
    ("model.mlp_ratio", "2.0"),
    ("model.channels", "8"),
    ("model.fc_dim", "12"),
    ("model.post_nms_train", "24"),
    ("model.post_nms", "24"),
    ("model.roi_batch_per_image", "16"),
    ("optim.epochs", "3"),
    ("optim.batch_size", "4"),
    ("optim.micro_batch", "3"),
    ("run.digest_every_steps", "2"),
];

pub(crate) fn config(place: &Place, sets: &[(&str, &str)]) -> DetectConfig {
    let set =
        |(key, value): &(&str, &str)| ((*key).to_owned(), value.parse().unwrap_or_else(|_| (*value).into()));
    let data = place.path("boxes").to_str().unwrap().into();
    let flags: Vec<_> =
        [("data.path".to_owned(), data)].into_iter().chain(SETS.iter().chain(sets).map(set)).collect();
    let given = Start::preset("photo").unwrap().given().unwrap();
    Detect::layered("small", (given, ""), None, &flags.into()).unwrap().config
}

pub(crate) fn new(place: &Place, out: &str, sets: &[(&str, &str)]) -> Run<Detect> {
    let start = Start::preset("photo").unwrap();
    Run::new(config(place, sets), &start, || RunDir::create(Some(place.path(out)), false)).unwrap()
}

fn files(place: &Place, out: &str) -> [Vec<u8>; 2] {
    ["model", "optimizer"].map(|file| place.read(&format!("{out}/checkpoint/{file}.safetensors")))
}

#[test]
fn a_run_resumes_to_the_same_bits_after_any_step() {
    let place = place();
    new(&place, "whole", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    for steps in 1..9 {
        let out = format!("after-{steps}");
        drop(new(&place, &out, &[]).train("", &mut StopAfter(steps)).unwrap_err());
        let left = RunDir::open(place.path(&out)).unwrap();
        let mut parts = Run::<Detect>::resume(left, |before| Ok(before.clone())).unwrap();
        parts.train("", &mut StopAfter(u64::MAX)).unwrap();
        assert!(files(&place, &out) == files(&place, "whole"), "after {steps} steps");
        assert_eq!(log(&place, &out), log(&place, "whole"), "after {steps} steps");
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let place = place();
    let run = |threads: usize| {
        let out = format!("on-{threads}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| new(&place, &out, &[]).train("", &mut StopAfter(u64::MAX)).unwrap());
        (files(&place, &out), log(&place, &out))
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

/// In f32, since that is what a task trains in: chunks share neither denominators nor samples.
#[test]
fn chunks_change_no_more_than_rounding() {
    let place = place();
    let config = DetectorConfig { num_classes: 2, ..config(&place, &[]).model };
    let model = Detector::<f32>::initialised(&config, 3);
    let workers = WorkerPool::new(Backend::default());
    let images = Array4::from_shape_fn((5, 3, 32, 32), |(b, c, y, x)| {
        ((b * 7 + c * 5 + y * 3 + x) % 17) as f32 / 8.0 - 1.0
    });
    let instance = |[x1, y1, x2, y2]: [f64; 4], class: usize| Instance {
        bbox: [x1, y1, x2, y2],
        class,
        mask: Some(Rle::of_mask(
            Array2::from_shape_fn((32, 32), |(y, x)| {
                let within = |at: usize, low: f64, high: f64| (low..high).contains(&(at as f64));
                within(x, x1, x2) && within(y, y1, y2)
            })
            .view(),
        )),
        crowd: false,
        area: (x2 - x1) * (y2 - y1),
    };
    // Different numbers of objects, so that a mean of means would be another loss.
    let objects: Vec<Vec<Instance>> = (0..5_u32)
        .map(|b| {
            (0..b)
                .map(|i| {
                    instance(
                        [2.0 + 5.0 * f64::from(i), 3.0, 12.0 + 5.0 * f64::from(i), 20.0],
                        (i % 2) as usize,
                    )
                })
                .collect()
        })
        .collect();
    let step = |micro_batch: usize| {
        let objects = objects.iter().map(Vec::as_slice).collect();
        let batch = Annotated { images: images.view(), objects, samples: &[3, 1, 4, 9, 5] };
        let drop_path = DropPath { rate: 0.2, depth: config.depth };
        let options = StepOptions { seed: 1, epoch: 2, drop_path, tune_blocks: None, micro_batch };
        loss_and_gradient(&model, &batch, &options, &workers)
    };
    let (whole, gradient) = step(5);
    assert!(whole.mask > 0.1 && whole.bbox > 0.0 && whole.rpn_box > 0.0, "{whole:?}");
    for size in [1, 2, 3] {
        let (losses, parts) = step(size);
        assert!((losses.total() - whole.total()).abs() < 1e-4, "{losses:?} and {whole:?}");
        for (a, b) in parts.tensors().iter().zip(gradient.tensors()) {
            let largest = b.data.iter().fold(1e-3_f32, |most, x| most.max(x.abs()));
            let off = a.data.iter().zip(b.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= 1e-3 * largest, "{} with chunks of {size}: {off:e} of {largest:e}", a.name);
        }
    }
}

#[test]
fn the_order_of_images_does_not_matter_to_the_scores() {
    let place = place();
    new(&place, "run", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    let eval = || -> Value {
        serde_json::from_str(&place.done(&["eval", "--checkpoint", "run", "--json"])).unwrap()
    };
    let before = eval();
    place.write("boxes/annotations/instances_test.json", document(&[19, 16, 18, 17], true));
    let after = eval();
    for part in ["boxes", "masks", "errors", "per_class"] {
        assert_eq!(before[part], after[part], "{part}");
    }
    let result: Value = serde_json::from_slice(&place.read("run/result.json")).unwrap();
    assert_eq!(result["test"]["boxes"], before["boxes"]);
}

#[test]
fn other_test_images_change_the_test_scores_and_nothing_else() {
    let place = place();
    let run = |out: &str| {
        new(&place, out, &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
        let result: Value = serde_json::from_slice(&place.read(&format!("{out}/result.json"))).unwrap();
        (files(&place, out), log(&place, out), result["test"].clone(), result["epoch"].clone())
    };
    let before = run("before");
    place.write("boxes/annotations/instances_test.json", document(&[17, 18], true));
    let after = run("after");
    assert!(before.0 == after.0 && before.1 == after.1 && before.3 == after.3);
    assert_ne!(before.2, after.2);
}

/// The first training image is the first that the page about a training step would show.
#[test]
fn an_image_that_cannot_be_read_is_left_out_to_the_end() {
    let place = place();
    place.write("boxes/images/train/00.png", "no image");
    let mut run = new(&place, "run", &[("data.skip_bad_images", "true")]);
    let outcome = run.train("", &mut StopAfter(u64::MAX)).unwrap();
    assert!(
        outcome.run.skipped.iter().all(|line| line.contains("00.png")) && !outcome.run.skipped.is_empty()
    );
}

/// A box without width among the objects.
fn spoilt(numbers: &[u32]) -> String {
    let mut document: Value = serde_json::from_str(&document(numbers, true)).unwrap();
    document["annotations"][0]["bbox"][2] = json!(0);
    document.to_string()
}

#[test]
fn what_judges_is_looked_at_before_training_and_pre_training_needs_no_objects() {
    let place = place();
    place.write("boxes/annotations/instances_test.json", spoilt(&[16, 17]));
    let args = [
        "finetune",
        "--task",
        "detect",
        "--from-scratch",
        "--preset",
        "photo",
        "--data",
        "boxes",
        "--epochs",
        "1",
    ];
    place.refused(
        &[&args[..], &["--batch-size", "4", "--out", "run"]].concat(),
        &["instances_test.json", "bbox"],
    );
    assert!(!place.path("run").exists());
    place.write("boxes/annotations/instances_train.json", spoilt(&[0, 1, 2, 3]));
    let sets = ["model.embed_dim=16", "model.num_heads=2", "model.depth=1", "model.decoder_depth=1"];
    let args = ["pretrain", "--preset", "photo", "--data", "boxes", "--epochs", "1", "--warmup-epochs", "0"];
    let sets: Vec<&str> = sets.iter().flat_map(|&set| ["--set", set]).collect();
    place.done(&[&args[..], &sets, &["--batch-size", "4", "--out", "mae"]].concat());
}

#[test]
fn data_without_masks_gives_a_detector_without_a_mask_head() {
    let place = place_with(false);
    new(&place, "run", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    let (model, config, _) = load_best::<Detect>(&place.path("run")).unwrap();
    assert!(
        !config.model.mask_head && model.tensors().iter().all(|tensor| !tensor.name.starts_with("mask."))
    );
    let json = place.done(&["eval", "--checkpoint", "run", "--json", "--out", "judged"]);
    assert!(serde_json::from_str::<Value>(&json).unwrap().get("masks").is_none());
    assert!(!String::from_utf8(place.read("judged/detections.json")).unwrap().contains("segmentation"));
}

#[test]
fn an_image_of_any_size_is_seen_whole_and_in_proportion() {
    for (image, scale) in
        [((100, 50), (32, 16)), ((8, 16), (16, 32)), ((32, 32), (32, 32)), ((1, 400), (1, 32))]
    {
        let geometry = fitted(image, [32, 32]);
        assert_eq!((geometry.scale, geometry.out, geometry.flip), (scale, (32, 32), false), "{image:?}");
    }
    let place = place();
    let config = config(&place, &[]);
    let model = Detector::<f32>::initialised(&DetectorConfig { score_threshold: 0.0, ..config.model }, 5);
    let mut data = config.data;
    (data.mean, data.std) = (Some(vec![0.4; 3]), Some(vec![0.3; 3]));
    let predictor = Predictor::new(&model, &data, &place.path("nowhere")).unwrap();
    let mut cx = Exec::new(Backend::default());
    for (height, width) in [(75, 50), (20, 90), (9, 7), (32, 32)] {
        let image = vit_mae::data::Image::new(height, width, 3, vec![90; 3 * height * width]);
        let found = predictor.see("made up", &image, &mut cx).unwrap();
        assert!(!found.is_empty());
        for object in found {
            let [x1, y1, x2, y2] = object.bbox;
            assert!(0.0 <= x1 && x1 < x2 && x2 <= width as f64 + 1e-3, "{object:?} in {height} × {width}");
            assert!(0.0 <= y1 && y1 < y2 && y2 <= height as f64 + 1e-3, "{object:?} in {height} × {width}");
            assert_eq!(object.mask.unwrap().size(), [height, width]);
        }
    }
}

#[test]
fn what_cannot_be_detected_is_refused() {
    let place = place();
    let args = ["finetune", "--task", "detect", "--from-scratch", "--preset", "photo", "--out", "run"];
    let refused = |more: &[&str], words: &[&str]| place.refused(&[&args[..], more].concat(), words);
    refused(&["--data", "data/photos"], &["--data", "objects"]);
    refused(&["--data", "boxes", "--img-size", "40"], &["model.img_size", "multiple of 32", "40"]);
    refused(&["--data", "boxes", "--crop", "0.2,1"], &["data.crop", "augment.scale"]);
    refused(&["--data", "boxes", "--head", "linear"], &["model.head"]);
    refused(&["--data", "boxes", "--set", "model.anchor_sizes=[8.0]"], &["model.anchor_sizes", "5 sizes"]);
    refused(&["--data", "boxes", "--set", "model.rpn_nms=1.5"], &["model.rpn_nms", "0 to 1", "1.5"]);
    new(&place, "tuned", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    place.refused(&["eval", "--checkpoint", "tuned", "--slide"], &["--slide"]);
    place.refused(&["probe", "--checkpoint", "tuned"], &["--data"]);
    for (split, number) in [("train", 1), ("val", 12), ("test", 16)] {
        let renamed = document(&[number], true).replace("leaf", "twig");
        place.write(&format!("boxes/annotations/instances_{split}.json"), renamed);
    }
    place.refused(&["eval", "--checkpoint", "tuned"], &["class 1", "twig", "leaf"]);
}

#[test]
fn a_resumed_run_is_found_by_its_task_and_its_trunk_goes_on() {
    let place = place();
    new(&place, "run", &[]).train("", &mut StopAfter(u64::MAX)).unwrap();
    assert_eq!(DetectConfig::TASK, Some("detect"));
    place.done(&["finetune", "--resume", "run", "--epochs", "4"]);
    place.done(&["audit", "replay", "run", "--step", "4"]);
    place.done(&["audit", "doctor", "run"]);
    place.done(&["inspect", "run", "--verify"]);
    let args = ["finetune", "--task", "detect", "--checkpoint", "run", "--data", "boxes", "--epochs", "1"];
    place.done(&[&args[..], &["--batch-size", "4", "--out", "again"]].concat());
    assert!(load_best::<Detect>(&place.path("again")).is_ok());
    let picture = "boxes/images/test/17.png";
    let args = ["predict", "--checkpoint", "run", picture, "--json", "--out", "seen"];
    let seen: Value = serde_json::from_str(&place.done(&args)).unwrap();
    assert_eq!((&seen[0]["height"], &seen[0]["width"]), (&json!(HEIGHT), &json!(WIDTH)));
    let drawn = image::load_from_memory(&place.read("seen/17.png")).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (16 * WIDTH, 16 * HEIGHT));
}
