//! Claim: `eval` and `predict` say of a fine-tuned classifier what its logits say, whatever the number of threads, and
//! refuse whatever is not a classifier or not made of its classes.

use crate::common::Place;
use crate::labelled::{classes, idx};
use serde_json::Value;
use std::fs;
use vit_mae::data::{evaluation_image, load_image, normalise};
use vit_mae::exec::{Backend, Exec};
use vit_mae::tasks::Classify;
use vit_mae::tasks::pretrained::Pretrained;
use vit_mae::tasks::transfer::load;

const CLASSES: [&str; 3] = ["across", "down", "slanted"];

/// A pre-trained model in `run`, a classifier of three classes in `tuned`, its images in `set`.
fn place() -> Place {
    let place = Place::trained(&["--epochs", "1"]);
    classes(&place, "set/train", &CLASSES, 16);
    classes(&place, "set/test", &CLASSES, 5);
    let args =
        ["finetune", "--checkpoint", "run", "--data", "set", "--out", "tuned", "--val-fraction", "0.25"];
    place.done(&[&args[..], &["--epochs", "3", "--batch-size", "12"]].concat());
    place
}

fn eval(place: &Place, args: &[&str]) -> Value {
    let text = place.done(&[&["eval", "--checkpoint", "tuned", "--json"], args].concat());
    serde_json::from_str(&text).unwrap()
}

/// `(class, probability)` of each class, from the classifier's logits for one image at a time.
fn probabilities(place: &Place, image: &str) -> Vec<f64> {
    let (model, config, _) = load::<Classify>(&place.path("tuned")).unwrap();
    let view = evaluation_image(&load_image(place.path(image)).unwrap(), 1, 8, 8).unwrap();
    let image = normalise(&view, &config.data.mean.unwrap(), &config.data.std.unwrap());
    let image = image.insert_axis(ndarray::Axis(0));
    let logits = model.logits(image.view(), &mut Exec::new(Backend::default()));
    let odds: Vec<f64> = logits.iter().map(|&z| f64::from(z).exp()).collect();
    odds.iter().map(|x| x / odds.iter().sum::<f64>()).collect()
}

fn class(name: &str) -> usize {
    CLASSES.iter().position(|class| *class == name).unwrap()
}

#[test]
fn figures_are_those_of_the_classifiers_logits() {
    let place = place();
    let report = eval(&place, &[]);
    let mut confusion = vec![vec![0; 3]; 3];
    let mut cross_entropy = 0.0;
    for (label, name) in CLASSES.iter().enumerate() {
        for i in 0..5 {
            let p = probabilities(&place, &format!("set/test/{name}/{i:02}.png"));
            let best = (0..3).fold(0, |best, k| if p[k] > p[best] { k } else { best });
            confusion[label][best] += 1;
            cross_entropy -= p[label].ln() / 15.0;
        }
    }
    assert_eq!(report["images"], 15);
    assert_eq!(report["confusion"], serde_json::json!(confusion));
    let right: i32 = (0..3).map(|k| confusion[k][k]).sum();
    assert!((report["top1"].as_f64().unwrap() - f64::from(right) / 15.0).abs() < 1e-12);
    assert!((report["cross_entropy"].as_f64().unwrap() - cross_entropy).abs() < 1e-5, "{cross_entropy}");
    assert_eq!(report["per_class"][2]["class"], "slanted");
}

#[test]
fn without_a_test_split_the_validation_split_is_judged_and_that_is_said() {
    let place = place();
    fs::rename(place.path("set/test"), place.path("set/valid")).unwrap();
    let output = place.run(&["eval", "--checkpoint", "tuned", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["images"], 15);
    let said = String::from_utf8(output.stderr).unwrap();
    let why =
        "set: split: expected a sub-folder called test or testing or eval or evaluation or t10k, found none";
    let expected = format!("note: the validation split is judged: there is no test split ({why})\n");
    assert_eq!(said.replace(&format!("{}/", place.path("").display()), ""), expected);
}

#[test]
fn figures_and_files_are_the_same_for_any_number_of_threads() {
    let place = place();
    let run = |threads, out| {
        let report = eval(&place, &["--split", "train", "--threads", threads, "--out", out]);
        assert_eq!(
            serde_json::from_slice::<Value>(&place.read(&format!("{out}/evaluation.json"))).unwrap(),
            report
        );
        (report, place.read(&format!("{out}/confusion.png")))
    };
    let (one, three) = (run("1", "one"), run("3", "three"));
    assert!(one == three);
    assert_eq!(one.0["images"], 48);
}

/// Labels that are all wrong: every image is on the sheet or could be.
#[test]
fn wrong_images_are_drawn() {
    let place = place();
    fs::rename(place.path("set/test/across"), place.path("aside")).unwrap();
    fs::rename(place.path("set/test/down"), place.path("set/test/across")).unwrap();
    fs::rename(place.path("aside"), place.path("set/test/down")).unwrap();
    let report = eval(&place, &["--out", "judged"]);
    assert!(report["top1"].as_f64().unwrap() < 1.0, "{report}");
    let sheet = image::load_from_memory(&place.read("judged/wrong.png")).unwrap();
    assert!(sheet.width() > 160 && sheet.height() > 160);
}

#[test]
fn predictions_are_the_classifiers_probabilities() {
    let place = place();
    let images = ["set/test/down/01.png", "set/test/across/02.png"];
    let args = ["predict", "--checkpoint", "tuned", "--json", "--top", "7"];
    let answers: Value = serde_json::from_str(&place.done(&[&args[..], &images].concat())).unwrap();
    for (answer, image) in answers.as_array().unwrap().iter().zip(images) {
        assert_eq!(answer["image"], image);
        let expected = probabilities(&place, image);
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 3);
        let mut before = 1.0;
        for prediction in predictions {
            let probability = prediction["probability"].as_f64().unwrap();
            let expected = expected[class(prediction["class"].as_str().unwrap())];
            assert!((probability - expected).abs() < 1e-6 && probability <= before, "{answers}");
            before = probability;
        }
    }
    let text = place.done(&["predict", "--checkpoint", "tuned", "--top", "1", images[0]]);
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_checkpoint_of_the_other_kind_is_refused_with_both_kinds_named() {
    let place = place();
    let kinds = ["kind of run", "vit-mae finetune", "vit-mae pretrain"];
    place.refused(&["eval", "--checkpoint", "run", "--data", "set"], &kinds);
    place.refused(&["predict", "--checkpoint", "run", "images/00.png"], &kinds);
}

/// The trunk of a classifier goes on: what is taken from it are its own weights.
#[test]
fn a_classifiers_trunk_is_probed_written_and_fine_tuned_again() {
    let place = place();
    let args =
        ["pretrain", "--method", "supervised", "--config", "trunk.toml", "--data", "set", "--out", "taught"];
    place.done(&[&args[..], &["--epochs", "2", "--batch-size", "12"]].concat());
    for run in ["taught", "tuned"] {
        place.done(&["probe", "--checkpoint", run, "--data", "set", "--epochs", "2"]);
        place.done(&["features", "--checkpoint", run, "--data", "set", "--out", &format!("{run}.npy")]);
        let args = ["finetune", "--checkpoint", run, "--data", "set", "--epochs", "1", "--batch-size", "12"];
        place.done(
            &[
                &args[..],
                &[
                    "--set",
                    "optim.lr=0",
                    "--set",
                    "optim.min_lr=0",
                    "--pooling",
                    "class",
                    "--out",
                    &format!("{run}-on"),
                ],
            ]
            .concat(),
        );
        let trunk = |run: &str| {
            let pretrained = Pretrained::open(&place.path(run)).unwrap();
            pretrained.encoder.vit.blocks[0].attn.qkv.weight.clone()
        };
        assert_eq!(*trunk(run), *trunk(&format!("{run}-on")), "{run}");
    }
    let (classifier, config, _) = load::<Classify>(&place.path("taught")).unwrap();
    let pretrained = Pretrained::open(&place.path("taught")).unwrap();
    assert_eq!((pretrained.task, config.finetune.checkpoint), ("classify", None));
    assert_eq!(pretrained.encoder.norm.weight, classifier.pool.norm.weight);
    let args = ["pretrain", "--method", "supervised", "--config", "trunk.toml", "--data", "images"];
    place.refused(&args, &["labelled images"]);
}

#[test]
fn images_of_some_of_the_classes_are_judged_as_they_are_among_all() {
    let place = place();
    let whole = eval(&place, &[]);
    for image in ["across", "slanted"].map(|class| format!("{class}/03.png")) {
        place.write(&format!("some/{image}"), place.read(&format!("set/test/{image}")));
    }
    for (data, present) in [("some", [1, 0, 1]), ("set", [5, 0, 5])] {
        if data == "set" {
            fs::remove_dir_all(place.path("set/test/down")).unwrap();
        }
        let report = eval(&place, &["--data", data, "--out", &format!("judged-{data}")]);
        for (class, images) in present.into_iter().enumerate() {
            let row: Vec<u64> = serde_json::from_value(report["confusion"][class].clone()).unwrap();
            assert_eq!((row.len(), row.iter().sum::<u64>()), (3, images), "{report}");
            assert_eq!(report["per_class"][class]["class"], CLASSES[class]);
            if images == 5 {
                assert_eq!(report["confusion"][class], whole["confusion"][class]);
            }
        }
        assert_eq!(
            (&report["per_class"][1]["recall"], &report["classes_with_images"]),
            (&Value::Null, &2.into())
        );
    }
}

#[test]
fn other_classes_than_those_learnt_are_refused() {
    let place = place();
    let eval = |data: &'static str| ["eval", "--checkpoint", "tuned", "--data", data];
    classes(&place, "four", &["across", "down", "slanted", "spotted"], 2);
    place.refused(
        &eval("four"),
        &["--data", "the 3 classes that were learnt", "class \"spotted\", which was not"],
    );
    classes(&place, "other", &["across", "apple", "slanted"], 2);
    place.refused(&eval("other"), &["--data", "class \"apple\", which was not", "other"]);
    place.refused(&eval("images"), &["--data", "labelled images", "no labels"]);
    idx(&place, "idx", "t10k", &[0, 1, 2]);
    place.refused(&eval("idx"), &["--data", "class \"0\", which was not"]);
    place.refused(&eval("nowhere"), &["cannot read nowhere"]);
    fs::create_dir(place.path("set/test/apple")).unwrap();
    place.image("set/test/apple/1.png", 1, (8, 8), 1);
    place.refused(&eval("set"), &["set/test", "apple"]);
}

#[test]
fn flags_and_files_that_cannot_be_are_named() {
    let place = place();
    let predict = ["predict", "--checkpoint", "tuned"];
    place.refused(&[&predict[..], &["nowhere.png"]].concat(), &["nowhere.png"]);
    place.refused(&[&predict[..], &["tiny.toml"]].concat(), &["tiny.toml", "PNG or JPEG"]);
    place.refused(&[&predict[..], &["images/00.png", "--top", "0"]].concat(), &["--top", "at least 1"]);
    place.refused(&[&predict[..], &["images/00.png", "--slide"]].concat(), &["--slide", "a model of maps"]);
    place.refused(&predict, &["IMAGE"]);
    place.write("judged/wrong.png", "mine");
    let eval = ["eval", "--checkpoint", "tuned", "--out", "judged"];
    place.refused(&eval, &["--out", "--overwrite", "wrong.png"]);
    place.refused(
        &["eval", "--checkpoint", "tuned", "--data", "images", "--split", "test"],
        &["split", "a sub-folder called test"],
    );
}
