//! Claim: BEiT-style pre-training learns, resumes to the same bits after any step and on any number of threads, and its codebook
//! is a function of settings and training images.

#![allow(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]

use crate::common::Place;
use crate::common::run::{StopAfter, log};
use ndarray::Array4;
use serde_json::Value;
use std::fs;
use std::ops::ControlFlow;
use vit_mae::Error;
use vit_mae::config::{Overrides, Settings};
use vit_mae::exec::Backend;
use vit_mae::models::beit::kmeans::{first_centroids, fit};
use vit_mae::models::beit::{Beit, BeitConfig, BlockMasking, Codebook, Tokenizer};
use vit_mae::models::mae::loss::PixelTarget;
use vit_mae::models::vit::VitConfig;
use vit_mae::optim::{AdamW, groups};
use vit_mae::params::Params;
use vit_mae::tasks::beit::step::{Masked, judge, loss_and_gradient};
use vit_mae::tasks::beit::{BeitSettings, BeitStyle};
use vit_mae::train::{Run, RunDir, WorkerPool};

const IMAGES: usize = 64;

fn config() -> BeitConfig {
    let vit = VitConfig {
        img_size: [16, 16],
        in_chans: 1,
        patch_size: 4,
        embed_dim: 64,
        depth: 2,
        num_heads: 4,
        mlp_ratio: 4.0,
        layer_norm_eps: 1e-6,
    };
    BeitConfig { vit, vocab_size: 16 }
}

/// Pictures of waves, each with its own frequencies and phase.
fn pictures() -> Array4<f64> {
    Array4::from_shape_fn((IMAGES, 1, 16, 16), |(b, _, y, x)| {
        let (b, y, x) = (b as f64, y as f64, x as f64);
        ((0.2 + 0.013 * b) * x + b).sin() + ((0.5 - 0.007 * b) * y + 2.0 * b).cos()
    })
}

fn tokenizer(images: &Array4<f64>) -> Tokenizer<f64> {
    let patches = PixelTarget { patch_size: 4, norm_pix_loss: false };
    let values = patches.target(images.view(), &mut vit_mae::exec::Exec::new(Backend::default()));
    let go_on = &mut |_: usize, _: &_| ControlFlow::Continue(());
    let first = first_centroids(values.view(), 16, 1);
    Tokenizer { codebook: fit(values.view(), first, 20, &Backend::default().into(), go_on), patches }
}

fn masked() -> Vec<bool> {
    let masking = BlockMasking::of_grid((4, 4), 0.4);
    (0..IMAGES as u64).flat_map(|sample| masking.mask(1, 0, sample).masked).collect()
}

#[test]
fn loss_and_gradient_do_not_depend_on_the_chunks_beyond_rounding() {
    let (images, masked, workers) = (pictures(), masked(), WorkerPool::new(Backend::default()));
    let (tokenizer, model) = (tokenizer(&images), Beit::<f64>::initialised(&config(), 3));
    let batch = Masked { images: images.view(), masked: &masked };
    let (whole, whole_grad) = loss_and_gradient(&model, &tokenizer, batch, IMAGES, &workers);
    for micro_batch in [1, 3, 32] {
        let (found, grad) = loss_and_gradient(&model, &tokenizer, batch, micro_batch, &workers);
        assert!((found.loss - whole.loss).abs() < 1e-12 * whole.loss, "{micro_batch}");
        for ((name, a), (_, b)) in found.values.0.iter().zip(&whole.values.0) {
            assert!((a - b).abs() < 1e-12, "{micro_batch}: {name} {a} and {b}");
        }
        for (a, b) in grad.tensors().iter().zip(whole_grad.tensors()) {
            let largest = b.data.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            let error = a.data.iter().zip(b.data).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(error <= 1e-11 * largest + 1e-16, "{micro_batch}: {} is off by {error:e}", a.name);
        }
    }
}

/// A small grid may leave an image, a chunk or a whole batch without a masked patch.
#[test]
fn without_a_masked_patch_loss_and_gradient_are_0() {
    let (images, workers) = (pictures(), WorkerPool::new(Backend::default()));
    let (tokenizer, model) = (tokenizer(&images), Beit::<f64>::initialised(&config(), 3));
    let batch = Masked { images: images.view(), masked: &[false; IMAGES * 16] };
    let (losses, grad) = loss_and_gradient(&model, &tokenizer, batch, 16, &workers);
    assert!(losses.loss == 0.0 && losses.values.0.iter().all(|(_, value)| *value == 0.0), "{losses:?}");
    assert!(grad.tensors().iter().all(|tensor| tensor.data.iter().all(|x| *x == 0.0)));
}

/// On the same images and masks throughout.
#[test]
fn a_tiny_model_learns_the_tokens_of_64_images_by_heart() {
    let images = pictures();
    let of = tokenizer(&images);
    let codebook = Codebook::new(of.codebook.centroids.mapv(|x| x as f32));
    let (tokenizer, images) = (Tokenizer { codebook, patches: of.patches }, images.mapv(|x| x as f32));
    let (masked, workers) = (masked(), WorkerPool::new(Backend::default()));
    let batch = Masked { images: images.view(), masked: &masked };
    let mut model = Beit::<f32>::initialised(&config(), 3);
    let (groups, mut adamw) = (groups::pretraining(&model, 0.0), AdamW::new(&model, (0.9, 0.98)));
    let first = judge(&model, &tokenizer, batch, 16, &workers);
    let steps = 150;
    for step in 0..steps {
        let (_, grad) = loss_and_gradient(&model, &tokenizer, batch, 16, &workers);
        // Linear warm-up over 10 steps, then linear decay.
        let t = f64::from(step);
        let lr = 3e-3 * (t / 10.0).min(1.0) * (1.0 - t / f64::from(steps));
        adamw.step(&mut model, &grad, &groups, lr);
        workers.recycle(grad);
    }
    let last = judge(&model, &tokenizer, batch, 16, &workers);
    assert!(first.loss() > 2.0, "the start is no feat: {}", first.loss());
    assert!(last.loss() < 0.05 * first.loss(), "from {} only to {}", first.loss(), last.loss());
    assert!(last.values()[0].1 > 0.99, "accuracy {}", last.values()[0].1);
}

/// What a run consists of, but for measured times.
fn bits(place: &Place, out: &str) -> (Vec<u8>, Vec<u8>, Vec<Value>, Vec<u8>) {
    let file = |name: &str| place.read(&format!("{out}/{name}"));
    let (model, moments) = (file("checkpoint/model.safetensors"), file("checkpoint/optimizer.safetensors"));
    (model, moments, log(place, out), file("codebook.safetensors"))
}

/// 16 images to train on, 5 to validate, 3 epochs of 2 steps.
fn settings(place: &Place) -> BeitSettings {
    place.images("set/train", 16, (8, 8), 1);
    place.images("set/validation", 5, (8, 8), 1);
    let path = place.path("set");
    let flags = [
        ("data.path", path.to_str().unwrap().into()),
        ("beit.tokens", 8.into()),
        ("optim.epochs", 3.into()),
        ("optim.micro_batch", 3.into()),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let file = place.path("trunk.toml");
    BeitSettings::layered("nano", Some(&file), &Overrides::from(flags)).unwrap().config
}

#[test]
fn a_run_interrupted_after_any_step_ends_with_the_same_bits() {
    let place = Place::new();
    let config = settings(&place);
    let begin = |out: &str| {
        let run = RunDir::create(Some(place.path(out)), false).unwrap();
        Run::<BeitStyle>::new(config.clone(), &(), || Ok(run)).unwrap()
    };
    begin("whole").train("", &mut StopAfter(u64::MAX)).unwrap();
    let whole = bits(&place, "whole");
    assert_eq!(whole.2.len(), 6 + 3, "3 epochs of 2 steps and a line each");
    for step in 1..6 {
        let out = format!("after-{step}");
        let error = begin(&out).train("", &mut StopAfter(step)).unwrap_err();
        assert!(matches!(error, Error::Interrupted { step: found, .. } if found == step), "{error}");
        assert!(place.read(&format!("{out}/codebook.safetensors")) == whole.3, "beside the first checkpoint");
        // One that was lost is made again.
        fs::remove_file(place.path(&format!("{out}/codebook.safetensors"))).unwrap();
        let again = RunDir::open(place.path(&out)).unwrap();
        let mut again = Run::<BeitStyle>::resume(again, |before| Ok(before.clone())).unwrap();
        again.train("", &mut StopAfter(u64::MAX)).unwrap();
        drop(again);
        assert!(bits(&place, &out) == whole, "interrupted after step {step}");
    }
}

#[test]
fn threads_change_no_bit() {
    let place = Place::new();
    place.write("beit.toml", settings(&place).to_toml().unwrap());
    let of = |threads: &str| {
        place.done(&[
            "pretrain",
            "--method",
            "beit",
            "--config",
            "beit.toml",
            "--threads",
            threads,
            "--out",
            threads,
        ]);
        bits(&place, threads)
    };
    let one = of("1");
    assert!(of("2") == one && of("3") == one);
    for record in &one.2 {
        let names: &[&str] = if record["kind"] == "epoch" {
            &["held_out_loss", "held_out_accuracy", "held_out_entropy", "held_out_tokens_used"]
        } else {
            &["loss", "accuracy", "entropy", "tokens_used"]
        };
        assert!(names.iter().all(|name| record[name].is_f64()), "{record}");
    }
}

/// One digest whoever makes it, and another for other images or another seed.
#[test]
fn a_codebook_follows_from_settings_and_training_images() {
    let place = Place::new();
    place.write("beit.toml", settings(&place).to_toml().unwrap());
    let tokenizer = ["tokenizer", "--data", "set", "--img-size", "8", "--patch-size", "2", "--tokens", "8"];
    place.done(&[&tokenizer[..], &["--out", "a.safetensors"]].concat());
    place.done(&[&tokenizer[..], &["--out", "b.safetensors", "--threads", "3"]].concat());
    place.done(&[&tokenizer[..], &["--out", "c.safetensors", "--seed", "7"]].concat());
    let file = |name: &str| place.read(name);
    assert!(file("a.safetensors") == file("b.safetensors") && file("a.safetensors") != file("c.safetensors"));
    let pretrain = ["pretrain", "--method", "beit", "--config", "beit.toml"];
    place.done(&[&pretrain[..], &["--out", "own"]].concat());
    assert!(file("own/codebook.safetensors") == file("a.safetensors"), "the run makes the same");
    let given = ["--set", "beit.codebook='c.safetensors'", "--out", "given"];
    let printed = place.done(&[&pretrain[..], &given].concat());
    assert!(
        printed.contains("BEiT-style (k-means tokens)") && printed.contains("c.safetensors"),
        "{printed}"
    );
    assert!(file("given/codebook.safetensors") == file("c.safetensors"));
    assert!(place.path("given/reconstructions/epoch-0003.png").is_file());
    assert!(place.text("given/report.html").contains("BEiT-style (k-means tokens)"));
    // Its trunk goes on to other tasks.
    place.done(&["features", "--checkpoint", "given", "--out", "features.npy"]);
    place.done(&["audit", "replay", "given", "--step", "3"]);
}
