//! Claim: a task is what `train::task::Task` asks for and nothing else: one that this crate has never heard of trains, is
//! judged by its own score, and resumes to the same bits, tensors of its own beside the model's included.

use crate::common::Place;
use crate::common::run::{StopAfter, log};
use ndarray::{Array1, Array2, Axis};
use vit_mae::Result;
use vit_mae::checkpoint::verify::verify;
use vit_mae::checkpoint::{Checkpoint, Named};
use vit_mae::data::{Batch, LoaderConfig};
use vit_mae::draw::report::Report;
use vit_mae::optim::{Group, groups};
use vit_mae::params;
use vit_mae::params::{Params, Tensor, TensorMut};
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::memory::StepMemory;
use vit_mae::train::metrics::Record;
use vit_mae::train::source::Source;
use vit_mae::train::step::sum;
use vit_mae::train::task::{
    Architecture, Effort, EvalCx, Findings, Losses, Opened, Outcome, StepCx, StepInfo, Task, Validation,
};
use vit_mae::train::{Run, RunDir, save};

params! {
    /// A pixel value for each column: what an image's columns are, on average.
    pub struct Columns {
        tensors {
            /// `[1, W]`.
            weight: Array2<F> = Weight,
            /// `[1]`, not used.
            bias: Array1<F> = Bias,
        }
    }
}

/// Learns the mean image, column by column; a slow copy of the weights follows them.
struct Average {
    slow: Columns<f32>,
    updates: u64,
}

/// The mean loss of the last epoch.
#[derive(Debug, serde::Serialize)]
struct LastLoss(f64);

impl Outcome for LastLoss {
    fn summary(&self) -> Vec<(String, String)> {
        vec![("loss".to_owned(), self.0.to_string())]
    }

    fn skipped(&self) -> &[String] {
        &[]
    }
}

fn blank(config: &Config) -> Columns<f32> {
    Columns { weight: Array2::zeros((1, config.model.img_size[1])), bias: Array1::zeros(1) }
}

impl Task for Average {
    type Config = Config;
    type Model = Columns<f32>;
    type Start = ();
    type Outcome = LastLoss;
    const LOSS: &'static str = "squared distance from the mean column";
    const NEXT: &'static [&'static str] = &[];

    fn about(&self, _: &Config) -> Vec<(&'static str, String)> {
        vec![("data", "columns".to_owned())]
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn source(config: &Config) -> Result<Source> {
        Source::of(&config.data)
    }

    fn open(source: Source, config: &mut Config) -> Result<Opened<Self>> {
        vit_mae::train::source::measure(&*source.train, &mut config.data, config.model.in_chans)?;
        let task = Self { slow: blank(config), updates: 0 };
        Ok(Opened { task, digest: source.train.digest()?, train: source.train, skipped: Vec::new() })
    }

    fn loader(config: &Config) -> LoaderConfig {
        Pretrain::loader(config)
    }

    fn memory(config: &Config, threads: usize) -> StepMemory {
        config.memory(threads)
    }

    fn architecture(config: &Config) -> Architecture {
        Architecture { kind: "mean column", ..Pretrain::architecture(config) }
    }

    /// Far from what is learnt: the mean of normalised images is about 0.
    fn model(config: &Config, (): &()) -> Result<Columns<f32>> {
        let mut model = blank(config);
        model.weight.fill(1.0);
        Ok(model)
    }

    fn blank(config: &Config) -> Columns<f32> {
        blank(config)
    }

    fn start_again(_: &Config) -> Result<()> {
        Ok(())
    }

    fn groups(_: &Config, model: &Columns<f32>) -> Vec<Group> {
        groups::pretraining(model, 0.0)
    }

    fn loss_and_grad(
        &mut self,
        model: &Columns<f32>,
        batch: Batch,
        cx: &StepCx<'_, Self>,
    ) -> (Losses, Columns<f32>) {
        let means = batch.views[0].mean_axis(Axis(2)).unwrap().mean_axis(Axis(1)).unwrap();
        let count = means.nrows();
        let (total, mut grad) = sum(model, means.nrows(), cx.workers, |i, grad, _| {
            let off = &model.weight.row(0) - &means.row(i);
            grad.weight.row_mut(0).scaled_add(2.0, &off);
            f64::from(off.mapv(|x| x * x).sum())
        });
        grad.scale(1.0 / count as f32);
        let mean = f64::from(model.weight.mean().unwrap());
        (Losses::new(total / count as f64, [("mean_weight", mean)]), grad)
    }

    fn after_update(&mut self, model: &mut Columns<f32>, info: StepInfo) {
        self.slow.weight.zip_mut_with(&model.weight, |slow, &w| *slow = 0.9 * *slow + 0.1 * w);
        self.updates = info.step;
    }

    fn extras(&self) -> Vec<(&'static str, Vec<Tensor<'_, f32>>)> {
        vec![("slow.", self.slow.tensors())]
    }

    fn extras_mut(&mut self) -> Vec<(&'static str, Vec<TensorMut<'_, f32>>)> {
        vec![("slow.", self.slow.tensors_mut())]
    }

    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, _: u64, _: u64) -> Result<Option<Validation>> {
        let largest = cx.model.weight.fold(0.0f32, |most, w| most.max(w.abs()));
        Ok(Some(Validation { scores: Named::scores([("largest", largest.into())]), details: None }))
    }

    fn draw(&self, _: &EvalCx<'_, Self>, _: u64) -> Result<()> {
        Ok(())
    }

    fn conclude(&self, _: &EvalCx<'_, Self>, _: &[Record], effort: Effort) -> Result<Findings<LastLoss>> {
        let report = Report { title: "the mean column".to_owned(), ..Report::default() };
        Ok(Findings { outcome: LastLoss(effort.last.train_loss), references: Vec::new(), report })
    }
}

fn run(place: &Place, out: &str) -> Run<Average> {
    let set = |key: &str, value: &str| (key.to_owned(), value.parse().unwrap());
    let flags = vec![
        ("data.path".to_owned(), place.path("pictures").to_str().unwrap().into()),
        set("optim.epochs", "3"),
        set("optim.batch_size", "4"),
        set("optim.lr", "0.1"),
    ];
    let config = Config::resolve("nano", Some(&place.path("tiny.toml")), flags).unwrap();
    Run::new(config, &(), || RunDir::create(Some(place.path(out)), false)).unwrap()
}

#[test]
fn a_task_of_ones_own_learns_and_resumes_to_the_same_bits() {
    let place = Place::new();
    place.images("pictures/train", 12, (8, 8), 1);
    let mut whole = run(&place, "whole");
    let LastLoss(last) = whole.train("", &mut StopAfter(u64::MAX)).unwrap();
    assert_eq!(whole.learner.task.updates, 9);
    let first = whole.log.history[0].train_loss;
    assert!(last < first, "{last} after {first}");
    assert!(whole.log.history[2].score("largest").unwrap() > 0.0);
    let slow = whole.learner.task.slow.weight.clone();
    assert!(slow != whole.learner.model.weight && slow.iter().any(|&w| w != 0.0));

    drop(run(&place, "parts").train("", &mut StopAfter(5)).unwrap_err());
    let left = RunDir::open(place.path("parts")).unwrap();
    let mut parts = Run::<Average>::resume(left, |before| Ok(before.clone())).unwrap();
    parts.train("", &mut StopAfter(u64::MAX)).unwrap();
    assert_eq!(parts.learner.task.slow.weight, slow);
    assert_eq!(log(&place, "parts"), log(&place, "whole"));
    for file in ["model", "optimizer"] {
        let bytes = |out: &str| place.read(&format!("{out}/checkpoint/{file}.safetensors"));
        assert!(bytes("parts") == bytes("whole"), "{file}");
    }

    let checkpoint = Checkpoint::open(&place.path("whole")).unwrap();
    assert!(verify(&checkpoint.dir).unwrap()[0].is_sound());
    let mut moments = |extras| {
        let adamw = &mut parts.learner.adamw;
        save::load_moments(&checkpoint.optimizer, adamw, None, extras)
    };
    moments(None).unwrap();
    let error = moments(Some(Vec::new())).unwrap_err().to_string();
    assert!(error.contains("unexpected: slow.bias, slow.weight"), "{error}");
}
