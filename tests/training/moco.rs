//! Claim: MoCo v3 learns; a run of it has the same bits for any number of threads and after any interruption, momentum
//! encoder and running statistics included; chunks change no more than rounding; what cannot work is refused.

use crate::common::Place;
use crate::common::run::{StopAfter, log};
use crate::labelled;
use ndarray::Array4;
use vit_mae::Real;
use vit_mae::exec::Backend;
use vit_mae::models::moco::{Moco, MocoConfig, momentum};
use vit_mae::models::vit::VitConfig;
use vit_mae::optim::{AdamW, groups};
use vit_mae::params::{Params, Role};
use vit_mae::tasks::moco::step::{Crops, loss_and_gradient};
use vit_mae::tasks::moco::{MocoV3, MocoV3Config};
use vit_mae::tasks::pretrained::Pretrained;
use vit_mae::train::{Run, RunDir, Task, WorkerPool};

pub(crate) fn config(place: &Place, more: &[(&str, &str)]) -> MocoV3Config {
    let set = |(key, value): &(&str, &str)| ((*key).to_owned(), value.parse().unwrap());
    let data = place.path("pictures").to_str().unwrap().into();
    let flags = [("data.path".to_owned(), data)].into_iter().chain(more.iter().map(set)).collect();
    MocoV3Config::resolve("nano", Some(&place.path("trunk.toml")), flags).unwrap()
}

/// Four classes, three steps an epoch, validation images.
pub(crate) fn place() -> Place {
    let place = Place::new();
    labelled::classes(&place, "pictures/train", &["a", "b", "c", "d"], 6);
    labelled::classes(&place, "pictures/validation", &["a", "b", "c", "d"], 2);
    place
}

const SETS: [(&str, &str); 4] = [
    ("optim.epochs", "3"),
    ("optim.lr", "0.003"),
    ("run.digest_every_steps", "2"),
    ("moco.stop_grad_conv1", "false"),
];

fn new(place: &Place, out: &str, sets: &[(&str, &str)]) -> Run<MocoV3> {
    Run::new(config(place, sets), &(), || RunDir::create(Some(place.path(out)), false)).unwrap()
}

fn files(place: &Place, out: &str) -> [Vec<u8>; 2] {
    ["model", "optimizer"].map(|file| place.read(&format!("{out}/checkpoint/{file}.safetensors")))
}

#[test]
fn a_run_resumes_to_the_same_bits_after_any_step() {
    let place = place();
    let mut whole = new(&place, "whole", &SETS);
    whole.train("", &mut StopAfter(u64::MAX)).unwrap();
    for steps in 1..9 {
        let out = format!("parts-{steps}");
        drop(new(&place, &out, &SETS).train("", &mut StopAfter(steps)).unwrap_err());
        let left = RunDir::open(place.path(&out)).unwrap();
        let mut parts = Run::<MocoV3>::resume(left, |before| Ok(before.clone())).unwrap();
        parts.train("", &mut StopAfter(u64::MAX)).unwrap();
        assert!(files(&place, &out) == files(&place, "whole"), "after {steps} steps");
        assert_eq!(log(&place, &out), log(&place, "whole"), "after {steps} steps");
    }
    // Two crops a step in every batch norm's statistics, online and momentum.
    let (model, encoder) = (&whole.learner.model, &whole.learner.task.encoder);
    assert_eq!(model.base.projector.norm1.norm.num_batches_tracked[()], 18.0);
    assert_eq!(model.predictor.norm2.num_batches_tracked[()], 18.0);
    assert_eq!(encoder.projector.norm3.num_batches_tracked[()], 18.0);
    assert!(*encoder.projector.fc1.weight != *model.base.projector.fc1.weight);
}

#[test]
fn steps_and_epochs_name_what_they_measure() {
    let place = place();
    new(&place, "run", &SETS).train("", &mut StopAfter(u64::MAX)).unwrap();
    let sheet = image::load_from_memory(&place.read("run/reconstructions/epoch-0003.png")).unwrap();
    assert!(sheet.width() > 400 && sheet.height() > 400, "columns for the heads, rows for four images");
    let records = log(&place, "run");
    let fraction = |record: &serde_json::Value, name: &str| {
        let value = record[name].as_f64().unwrap_or_else(|| panic!("no {name} in {record}"));
        assert!((0.0..=1.0).contains(&value), "{name}: {value}");
    };
    for step in records.iter().filter(|record| record["lr"].is_number()) {
        fraction(step, "contrast_accuracy");
        fraction(step, "query_std");
        assert!(step["conv1_grad_norm"].as_f64().unwrap() > 0.0);
    }
    let epochs: Vec<_> = records.iter().filter(|record| record["train_loss"].is_number()).collect();
    assert_eq!(epochs.len(), 3);
    for epoch in epochs {
        fraction(epoch, "held_out_contrast_accuracy");
        fraction(epoch, "held_out_knn_accuracy");
        assert!(epoch["held_out_loss"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn threads_change_no_bit() {
    let place = place();
    for micro_batch in ["optim.micro_batch=1", "optim.micro_batch=3", "optim.micro_batch=8"] {
        let run = |threads: &str| {
            let out = format!("{micro_batch}-{threads}");
            let args = ["--method", "moco-v3", "--config", "trunk.toml", "--data", "pictures", "--out", &out];
            place.pretrain(&[&args[..], &["--set", micro_batch, "--threads", threads]].concat());
            files(&place, &out)
        };
        let one = run("1");
        for threads in ["2", "3"] {
            assert!(run(threads) == one, "{micro_batch}, {threads} threads");
        }
    }
}

/// The patch projection is that which the seed drew, in the momentum encoder to the bit; other tasks take the trunk.
#[test]
fn what_is_frozen_stays_and_the_trunk_goes_on_to_other_tasks() {
    let place = place();
    let mut run = new(&place, "run", &[("optim.epochs", "2"), ("optim.lr", "0.003")]);
    run.train("", &mut StopAfter(u64::MAX)).unwrap();
    let drawn = MocoV3::model(&run.learner.config, &()).unwrap().base.trunk;
    let (model, encoder) = (&run.learner.model.base.trunk, &run.learner.task.encoder.trunk);
    for trunk in [model, encoder] {
        assert_eq!(*trunk.vit.patch_embed.proj.weight, *drawn.vit.patch_embed.proj.weight);
        assert_eq!(trunk.vit.patch_embed.proj.bias, drawn.vit.patch_embed.proj.bias);
        assert_eq!(trunk.vit.pos_embed, drawn.vit.pos_embed);
        assert!(trunk.vit.cls_token != drawn.vit.cls_token);
    }
    let taken = Pretrained::open(&place.path("run")).unwrap();
    assert_eq!(taken.task, "moco-v3");
    assert_eq!(taken.encoder.vit.cls_token, model.vit.cls_token);
    assert_eq!(taken.encoder.norm.weight, model.pool.norm.weight);
    place.done(&["features", "--checkpoint", "run", "--data", "pictures", "--out", "features.npy"]);
}

fn small() -> MocoConfig {
    MocoConfig {
        vit: VitConfig {
            img_size: [8, 8],
            in_chans: 1,
            patch_size: 4,
            embed_dim: 32,
            depth: 2,
            num_heads: 2,
            mlp_ratio: 2.0,
            layer_norm_eps: 1e-6,
        },
        mlp_dim: 64,
        out_dim: 32,
        temperature: 0.2,
        stop_grad_conv1: true,
        batch_norm_eps: 1e-5,
        batch_norm_momentum: 0.1,
    }
}

/// Pictures of waves; the second crops are the first ones' neighbours.
fn crops(images: usize) -> [Array4<f64>; 2] {
    [0.0, 0.6].map(|shift| {
        Array4::from_shape_fn((images, 1, 8, 8), |(b, _, y, x)| {
            let (b, y, x) = (b as f64, y as f64 + shift, x as f64 + shift);
            (0.9 * (1.0 + (0.37 * b).sin()) * x + b).sin() + (0.9 * (1.0 + (0.61 * b).cos()) * y).cos()
        })
    })
}

#[test]
fn the_size_of_chunks_changes_no_more_than_rounding() {
    let (model, images) = (Moco::<f64>::initialised(small(), 1), crops(7));
    let workers = WorkerPool::new(Backend::default());
    let encoder = Moco::<f64>::initialised(small(), 2).base;
    let gradient = |micro_batch: usize| {
        let views = images.each_ref().map(|view| view.view());
        let (step, grad) = loss_and_gradient(&model, &encoder, 0.9, Crops { views, micro_batch }, &workers);
        let elements: Vec<f64> = grad.tensors().iter().flat_map(|t| t.data.to_vec()).collect();
        (step.contrast.loss(), elements)
    };
    let (whole, grad) = gradient(7);
    let largest = grad.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    assert!(largest > 1e-3);
    for micro_batch in [1, 2, 3] {
        let (loss, chunked) = gradient(micro_batch);
        assert!((loss - whole).abs() < 1e-12 * whole);
        let worst = chunked.iter().zip(&grad).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs()));
        assert!(worst < 1e-12 * largest, "chunks of {micro_batch}: {worst}");
    }
}

/// A chance guess is right once in 64 times and costs 4 T ln 64 = 3.3.
#[test]
fn sixty_four_images_are_told_apart() {
    const STEPS: u32 = 150;
    let (mut model, images) = (Moco::<f32>::initialised(small(), 3), crops(64));
    let images = images.map(|view| view.mapv(f32::of));
    let mut encoder = model.base.clone();
    let workers = WorkerPool::new(Backend::default());
    let groups = groups::frozen(groups::pretraining(&model, 0.0), "patch_embed.");
    let mut adamw = AdamW::new(&model, (0.9, 0.999));
    let (mut first, mut last) = (None, None);
    for step in 0..STEPS {
        let t = f64::from(step);
        let m = momentum::coefficient(0.9, t, f64::from(STEPS));
        let views = images.each_ref().map(|view| view.view());
        let (done, grad) = loss_and_gradient(&model, &encoder, m, Crops { views, micro_batch: 16 }, &workers);
        encoder = done.encoder;
        let lr = 2e-3 * (t / 15.0).min(1.0) * (1.0 - t / f64::from(STEPS));
        adamw.step(&mut model, &grad, &groups, lr);
        workers.recycle(grad);
        last = Some((done.contrast.loss(), done.contrast.accuracy(), done.contrast.query_std));
        first = first.or(last);
    }
    let ((before, ..), (loss, accuracy, spread)) = (first.unwrap(), last.unwrap());
    assert!(accuracy > 0.95 && loss < 0.5 * before, "{before} → {loss}, accuracy {accuracy}");
    // Far from collapse: rows in all directions of 32 have 1/√32 = 0.18.
    assert!(spread > 0.1, "{spread}");
    assert!(model.tensors().iter().filter(|t| t.role == Role::Buffer).count() == 15);
}

#[test]
fn what_cannot_work_is_refused() {
    let place = Place::new();
    let refused = |args: &[&str], words: &[&str]| {
        let common = ["--method", "moco-v3", "--config", "trunk.toml"];
        place.pretrain_refused(&[&common[..], args].concat(), words);
    };
    refused(&["--batch-size", "1"], &["optim.batch_size", "2 or more", "tells the images of a batch apart"]);
    refused(&["--accum-iter", "2"], &["optim.accum_iter", "whole batch", "another loss"]);
    refused(&["--set", "moco.temperature=0.0"], &["moco.temperature"]);
    refused(&["--set", "moco.momentum=1.5"], &["moco.momentum", "0 to 1"]);
    refused(&["--set", "moco.mlp_dim=0"], &["moco.mlp_dim"]);
    refused(&["--in-chans", "5"], &["model.in_chans", "1 (grey) or 3"]);
    refused(&["--mask-ratio", "0.5"], &["mask.mask_ratio"]);
}

/// Every preset's trunk, with the published heads and momentum where the trunk is as wide as theirs; narrow ones, which make few
/// steps, have a lower momentum.
#[test]
fn every_preset_becomes_a_recipe() {
    for (preset, heads, momentum) in
        [("nano", (512, 64), 0.9), ("cifar", (768, 96), 0.9), ("vit-base", (4096, 256), 0.99)]
    {
        let config = MocoV3Config::resolve(preset, None, Vec::new()).unwrap();
        assert_eq!((config.moco.mlp_dim, config.moco.out_dim), heads, "{preset}");
        assert_eq!(
            (config.moco.temperature, config.moco.momentum, config.optim.weight_decay),
            (0.2, momentum, 0.1)
        );
        let warmup = config.optim.epochs as f64 * 40.0 / 300.0;
        assert!((config.optim.warmup_epochs - warmup).abs() < 1e-9, "{preset}");
        assert!(config.moco.stop_grad_conv1 && config.optim.accum_iter == 1);
    }
    let base = MocoV3Config::resolve("vit-base", None, Vec::new()).unwrap();
    assert_eq!(base.optim.batch_size, 4096);
    let model = Moco::<f32>::new(MocoV3Config::resolve("nano", None, Vec::new()).unwrap().architecture());
    let weights = model.tensors().into_iter().filter(|t| t.role != Role::Buffer);
    assert_eq!(model.config.parameters(), weights.map(|t| t.data.len()).sum::<usize>());
}
