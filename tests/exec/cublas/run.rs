//! Whole runs through the fake device, in f32: the loss follows the CPU's, and a device that fails ends the run with the
//! last checkpoint in its place.

use super::fake::{Device, gpu, offload};
use crate::common::Place;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vit_mae::exec::Backend;
use vit_mae::exec::engine::Engine;
use vit_mae::exec::gemm::Gemm;
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::metrics::{EpochRecord, StepRecord};
use vit_mae::train::{Observer, Run, RunDir, WorkerPool};
use vit_mae::{Error, Result};

/// Collects the losses of steps and of held-out images; lets the device run out of memory after so many steps.
struct Losses {
    all: Vec<f64>,
    fail_after: Option<(u64, Arc<Device>)>,
}

impl Observer for Losses {
    fn step(&mut self, record: &StepRecord, _: u64) {
        self.all.push(record.loss);
        if let Some((steps, device)) = &self.fail_after
            && record.step == *steps
        {
            device.room.store(1, Ordering::Relaxed);
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.all.extend(record.score("loss"));
    }

    fn should_stop(&self) -> Option<u8> {
        None
    }
}

fn place() -> Place {
    let place = Place::new();
    place.images("pictures/train", 12, (8, 8), 1);
    place.images("pictures/validation", 4, (8, 8), 1);
    place
}

fn start(place: &Place, out: &str) -> Run<Pretrain> {
    let data = place.path("pictures");
    let flags = vec![
        ("data.path".to_owned(), toml::Value::from(data.to_str().expect("a path in UTF-8"))),
        ("optim.epochs".to_owned(), 2.into()),
        ("run.checkpoint_every_epochs".to_owned(), 1.into()),
        ("optim.batch_size".to_owned(), 4.into()),
    ];
    let config = Config::resolve("nano", Some(&place.path("tiny.toml")), flags).expect("settings");
    Run::<Pretrain>::new(config, &(), || RunDir::create(Some(place.path(out)), false)).expect("a run")
}

fn onto_device(run: &mut Run<Pretrain>) -> Arc<Device> {
    let (gemm, device) = offload::<f32>(1);
    let gemm: Arc<dyn Gemm<f32>> = Arc::new(gemm);
    run.learner.workers = WorkerPool::new(Engine::on(gpu(), Backend::default(), Some(gemm), None));
    device
}

fn train(run: &mut Run<Pretrain>, fail_after: Option<(u64, Arc<Device>)>) -> (Vec<f64>, Result<()>) {
    let mut losses = Losses { all: Vec::new(), fail_after };
    let outcome = run.train("test", &mut losses).map(drop);
    (losses.all, outcome)
}

#[test]
fn a_runs_losses_follow_the_cpus_and_weights_travel_once_a_step() {
    let place = place();
    let (cpu, outcome) = train(&mut start(&place, "cpu"), None);
    outcome.expect("the CPU's run ends well");
    let mut run = start(&place, "device");
    let device = onto_device(&mut run);
    let (losses, outcome) = train(&mut run, None);
    outcome.expect("the device's run ends well");
    assert_eq!(cpu.len(), 2 * 3 + 2, "two epochs of three steps, each with a held-out loss");
    for (loss, cpu) in losses.iter().zip(&cpu) {
        assert!((loss - cpu).abs() <= 1e-5 * cpu, "{losses:?} for {cpu:?}");
    }
    // Six steps and, after the last of each epoch, the held-out images with the weights that the next step starts with.
    let traffic = run.learner.workers.traffic();
    let matrices = matrices(&run);
    assert!(matrices > 10, "the model's matrices are counted");
    assert_eq!(traffic.weights, (6 + 1) * matrices as u64);
    assert_eq!(device.kept.load(Ordering::Relaxed), 7 * matrices);
}

fn matrices(run: &Run<Pretrain>) -> usize {
    use vit_mae::params::{Params, Role};
    run.learner.model.tensors().iter().filter(|tensor| tensor.role == Role::Weight).count()
}

#[test]
fn memory_that_runs_out_ends_the_run_at_a_checkpoint_from_which_it_goes_on() {
    let place = place();
    let mut run = start(&place, "run");
    let device = onto_device(&mut run);
    let (losses, outcome) = train(&mut run, Some((4, device)));
    let error = outcome.expect_err("the device failed in the fifth step");
    assert_eq!(losses.len(), 4 + 1, "four steps, and the first epoch's held-out loss");
    let text = error.to_string();
    for part in ["cuda:0 failed: CUDA_ERROR_OUT_OF_MEMORY", "--batch-size", "--device cpu", "step 3"] {
        assert!(text.contains(part), "{part} in: {text}");
    }
    assert_eq!(error.exit_code(), 1);
    assert!(matches!(error, Error::Halted { step: 3, .. }), "the checkpoint after the first epoch stands");
    drop(run);
    let mut again =
        Run::<Pretrain>::resume(RunDir::open(place.path("run")).unwrap(), |c| Ok(c.clone())).unwrap();
    let (losses, outcome) = train(&mut again, None);
    outcome.expect("it goes on, on the CPU");
    assert_eq!(losses.len(), 3 + 1);
}
