//! Claim: without a GPU that can be used, whoever asks for one gets one sentence that says why and exit code 2, and nothing
//! is begun; `auto` goes on, on the CPU, with the same bits. The same with and without the feature `accel`.

mod common;
#[path = "common/labelled.rs"]
mod labelled;

use common::Place;
use labelled::classes;
use serde_json::Value;

/// Why there is no GPU; none if there is one, and then these tests have nothing to say.
fn no_gpu(place: &Place) -> Option<String> {
    let output = place.run(&["devices", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert!(document["cpu"]["cores"].as_u64() > Some(0), "{document}");
    let why = document["no_gpu"].as_str().map(str::to_owned);
    assert_eq!(why.is_none(), !document["gpus"].as_array().expect("a list").is_empty(), "{document}");
    if let Some(why) = &why {
        let reason = if cfg!(feature = "accel") { "driver" } else { "--features accel" };
        assert!(why.contains(reason), "{why}");
    }
    why
}

/// Labelled images, a pre-trained run and a classifier.
fn place() -> Place {
    let place = Place::new();
    classes(&place, "set/train", &["across", "down"], 8);
    classes(&place, "set/test", &["across", "down"], 2);
    let tiny = ["--config", "tiny.toml", "--data", "set", "--epochs", "1", "--out", "run"];
    assert!(place.run(&[&["pretrain"][..], &tiny].concat()).status.success());
    let tuned = ["finetune", "--checkpoint", "run", "--epochs", "1", "--batch-size", "8", "--out", "tuned"];
    assert!(place.run(&tuned).status.success());
    place
}

#[test]
fn every_command_that_computes_refuses_a_gpu_that_is_not_there() {
    let place = place();
    let Some(why) = no_gpu(&place) else { return };
    let commands: [&[&str]; 9] = [
        &["pretrain", "--config", "tiny.toml", "--data", "set", "--out", "new"],
        &["finetune", "--checkpoint", "run", "--epochs", "1", "--batch-size", "8", "--out", "new"],
        &["reconstruct", "--checkpoint", "run", "images/00.png", "--out", "new.png"],
        &["eval", "--checkpoint", "tuned"],
        &["predict", "--checkpoint", "tuned", "images/00.png"],
        &["probe", "--checkpoint", "run", "--epochs", "2"],
        &["features", "--checkpoint", "run", "--out", "new.npy"],
        &["bench", "--config", "tiny.toml"],
        &["pretrain", "--resume", "run"],
    ];
    for command in commands {
        for device in ["cuda", "cuda:1"] {
            place.refused(&[command, &["--device", device]].concat(), &["--device", "expected a GPU", &why]);
        }
        refused_by_environment(&place, "cuda:0", command, &["a GPU for cuda:0", &why]);
    }
    let audit = ["audit", "gradcheck", "--config", "tiny.toml", "--directions", "1", "--device", "cuda"];
    place.refused(&audit, &["--device", &why]);
}

#[test]
fn an_ablation_asks_for_its_device_before_it_begins() {
    let place = Place::new();
    let Some(why) = no_gpu(&place) else { return };
    classes(&place, "set/train", &["across", "down"], 8);
    let args =
        ["--config", "tiny.toml", "--data", "set", "--no-finetune", "--out", "new", "--device", "cuda"];
    place.refused(&[&["ablate", "--vary", "mask-ratio=0.5,0.75"][..], &args].concat(), &["--device", &why]);
}

/// As [`Place::refused`], for a device that the environment asks for.
fn refused_by_environment(place: &Place, device: &str, args: &[&str], words: &[&str]) {
    let before = place.listing();
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    command.current_dir(place.path("")).env("VIT_MAE_RUN__DEVICE", device);
    let output = command.args(args).output().expect("the program runs");
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(words.iter().all(|word| message.contains(word)), "{args:?}: {message}");
    assert!(place.listing() == before, "{args:?} left something behind");
}

#[test]
fn a_device_that_is_none_is_refused() {
    let place = Place::new();
    for device in ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:99999999999", "cpu:0", "CUDA", ""] {
        let expected = "expected cpu, cuda, cuda:N or auto";
        place.refused(&["bench", "--config", "tiny.toml", "--device", device], &["--device", expected]);
    }
    refused_by_environment(&place, "tpu", &["bench"], &["VIT_MAE_RUN__DEVICE", "cuda:N"]);
}

#[test]
fn auto_trains_on_the_cpu_with_the_same_bits_and_says_so() {
    let place = Place::new();
    if no_gpu(&place).is_none() {
        return;
    }
    let train = |device: &str, out: &str| {
        let args = ["pretrain", "--config", "tiny.toml", "--data", "images", "--epochs", "1"];
        let output = place.run(&[&args[..], &["--device", device, "--out", out]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let (auto, cpu) = (train("auto", "auto"), train("cpu", "cpu"));
    assert!(auto.contains("device   cpu, since "), "{auto}");
    assert!(!cpu.contains("device "), "{cpu}");
    let weights = |out: &str| place.read(&format!("{out}/checkpoint/model.safetensors"));
    assert!(weights("auto") == weights("cpu"), "the same bits");
    assert!(place.text("auto/config.toml").contains("device = \"cpu\""), "what was found is put down");
    let args = ["reconstruct", "--checkpoint", "auto", "images/00.png", "--out", "r.png", "--device", "auto"];
    let output = place.run(&args);
    let note = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success() && note.starts_with("note: on the CPU, since "), "{note}");
}

#[test]
fn a_gpu_is_forecast_without_one() {
    let place = Place::new();
    let bench = |figures: &str| {
        let args = ["bench", "--preset", "vit-base", "--assume-gpu", figures, "--threads", "1"];
        let output = place.run(&[&args[..], &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("one JSON document")
    };
    // A GPU without equal: everything gains. One behind a modem: nothing does.
    let (best, worst) = (bench("1e9,1e9,0.001"), bench("1e9,1e-6,1e9"));
    assert!(best["mixed_secs"].as_f64() < best["cpu_secs"].as_f64(), "{best}");
    assert!(best["gains_from"].as_u64() > Some(0) && worst["gains_from"].is_null(), "{worst}");
    for wrong in ["1", "1,2", "1,2,0", "1,2,-3", "1,2,nan", "1,2,3,4"] {
        place.refused(&["bench", "--assume-gpu", wrong], &["--assume-gpu", "three numbers above 0"]);
    }
}
