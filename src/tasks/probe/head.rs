//! Linear probing: a linear classifier trained on the features of a frozen encoder (He et al. 2022, appendix A.1).
//!
//! As the reference's `main_linprobe.py`: batch norm without scale and shift (ε = 1e-6), one linear layer, no weight
//! decay, momentum 0.9, warm-up, half a cosine. One thing differs: the reference draws a new random crop of every
//! image in every epoch and sends it through the encoder; here the features of the whole, unaugmented images are
//! computed once. An encoder costs thousands of times as much as the probe, so this is what makes a probe a matter of
//! seconds.

use crate::base::{Error, Result};
use crate::data::order::epoch_order;
use crate::exec::{Backend, Exec};
use crate::layers::init;
use crate::models::classify::{LinearProbe, cross_entropy};
use crate::optim::{Group, Lars, Schedule, Sgd, clip, groups};
use crate::params::Params;
use crate::tasks::Metrics;
use crate::tasks::metrics::{Judgement, judge};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::Serialize;

/// The reference's `ε` of the batch norm.
const BATCH_NORM_EPS: f64 = 1e-6;
/// Standard deviation of the linear layer's initial weights. (The reference: `trunc_normal_(std=0.01)`, which cuts at
/// ±2, so not at all.)
const HEAD_STD: f64 = 0.01;
const MOMENTUM: f64 = 0.9;
const TRUST_COEFFICIENT: f64 = 0.001;
/// Features that are evaluated at once.
const CHUNK: usize = 1024;

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// The reference's: the step of the weights is scaled to their norm ([`Lars`]).
    Lars,
    /// Plain momentum ([`Sgd`]).
    Sgd,
}

impl Optimizer {
    /// A learning rate per 256 images that suits a few hundred to some ten thousand images.
    ///
    /// A step of LARS moves weights by a thousandth of their norm times the learning rate. The reference's 0.1 is made
    /// for 90 epochs of 1.3 million images; of a few thousand it would leave the weights where they start.
    #[must_use]
    pub fn default_blr(self) -> f64 {
        match self {
            Self::Lars => 10.0,
            Self::Sgd => 0.1,
        }
    }
}

/// How the probe is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProbeConfig {
    /// The update rule.
    pub optimizer: Optimizer,
    /// Passes over the features.
    pub epochs: u64,
    /// Epochs of linear warm-up.
    pub warmup_epochs: f64,
    /// Images in a step; an incomplete last batch is left out, as in the reference.
    pub batch_size: usize,
    /// Learning rate per 256 images.
    pub blr: f64,
    /// Draws the initial weights and the order of the images.
    pub seed: u64,
}

/// Features with their classes.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// `[N, D]`.
    pub features: Array2<f32>,
    /// `[N]`.
    pub labels: Vec<usize>,
}

impl ProbeConfig {
    /// Refuses what cannot be trained on `images` images.
    ///
    /// # Errors
    /// Names the flag.
    pub fn check(&self, images: usize) -> Result<()> {
        let require = |holds: bool, key: &str, expected: String, found: String| {
            if holds { Ok(()) } else { Err(Error::setting(key, expected, found)) }
        };
        let most = "1 to 1000000".to_owned();
        require((1..=1_000_000).contains(&self.epochs), "--epochs", most, self.epochs.to_string())?;
        let warmup = format!("at least 0 and less than the {} epochs", self.epochs);
        let possible = (0.0..self.epochs as f64).contains(&self.warmup_epochs);
        require(possible, "--warmup-epochs", warmup, self.warmup_epochs.to_string())?;
        let possible = self.blr > 0.0 && self.blr.is_finite();
        require(possible, "--blr", "more than 0".to_owned(), self.blr.to_string())?;
        let batch = format!("2 to {images}, the images to train on (batch norm needs two)");
        require((2..=images).contains(&self.batch_size), "--batch-size", batch, self.batch_size.to_string())
    }

    /// Warm-up, then half a cosine to 0.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule {
            lr: Schedule::absolute_lr(self.blr, self.batch_size),
            min_lr: 0.0,
            warmup_epochs: self.warmup_epochs,
            epochs: self.epochs as f64,
        }
    }

    /// Trains a probe. One thread: its bits depend on nothing but the arguments.
    ///
    /// # Errors
    /// If the weights are not finite at the end.
    ///
    /// # Panics
    /// If [`ProbeConfig::check`] refuses the configuration, or a label is not below `classes`.
    pub fn train(&self, data: &Labelled, classes: usize, backend: Backend) -> Result<LinearProbe<f32>> {
        let mut cx = Exec::new(backend);
        let mut probe = LinearProbe::new(data.features.ncols(), classes, BATCH_NORM_EPS);
        let weight = probe.head.weight.as_slice_mut().expect("tensors are stored in row-major order");
        init::normal(weight, "head.weight", HEAD_STD, self.seed);
        let groups = groups::pretraining(&probe, 0.0);
        let mut rule = Rule::new(self.optimizer, &probe);
        let mut grad = probe.zeros_like();
        let schedule = self.schedule();
        let steps = data.labels.len() / self.batch_size;
        for epoch in 0..self.epochs {
            let order = epoch_order(self.seed, epoch, data.labels.len(), 1);
            for (step, batch) in order.chunks_exact(self.batch_size).enumerate() {
                let lr = schedule.lr_at(epoch as f64 + step as f64 / steps as f64);
                grad.clear();
                gradient(&mut probe, data, batch, &mut grad, &mut cx);
                rule.step(&mut probe, &grad, &groups, lr);
            }
        }
        match clip::first_not_finite(&probe) {
            Some(_) => {
                let expected = "a learning rate at which the weights stay finite";
                Err(Error::setting("--blr", expected, self.blr))
            }
            None => Ok(probe),
        }
    }
}

/// The gradient of the mean cross-entropy of a batch; the batch goes into the running statistics.
fn gradient(
    probe: &mut LinearProbe<f32>,
    data: &Labelled,
    batch: &[usize],
    grad: &mut LinearProbe<f32>,
    cx: &mut Exec<f32>,
) {
    let labels: Vec<usize> = batch.iter().map(|&i| data.labels[i]).collect();
    let features = data.features.select(Axis(0), batch);
    let targets = cross_entropy::targets(&labels, probe.head.bias.len(), 0.0);
    let (logits, cache) = probe.forward(features, true, cx);
    probe.track(&cache);
    let dlogits = cross_entropy::backward(&logits, &targets, batch.len());
    cx.recycle(logits);
    // Not recycled: it is none of the pool's, which would grow with every step.
    let _dfeatures = probe.backward(cache, dlogits.view(), grad, cx);
}

/// The optimiser's state.
enum Rule {
    Lars(Lars<LinearProbe<f32>>),
    Sgd(Sgd<LinearProbe<f32>>),
}

impl Rule {
    fn new(optimizer: Optimizer, probe: &LinearProbe<f32>) -> Self {
        match optimizer {
            Optimizer::Lars => Self::Lars(Lars::new(probe, MOMENTUM, TRUST_COEFFICIENT)),
            Optimizer::Sgd => Self::Sgd(Sgd::new(probe, MOMENTUM)),
        }
    }

    fn step(&mut self, probe: &mut LinearProbe<f32>, grad: &LinearProbe<f32>, groups: &[Group], lr: f64) {
        match self {
            Self::Lars(lars) => lars.step(probe, grad, groups, lr),
            Self::Sgd(sgd) => sgd.step(probe, grad, groups, lr),
        }
    }
}

/// What a probe makes of labelled features, one by one, with the running statistics of its batch norm.
#[must_use]
pub fn judgements(probe: &LinearProbe<f32>, data: &Labelled, backend: Backend) -> Vec<Judgement> {
    let classes = probe.head.bias.len();
    let mut logits = Array2::zeros((data.labels.len(), classes));
    let features = data.features.axis_chunks_iter(Axis(0), CHUNK);
    let chunks: Vec<_> = features.zip(logits.axis_chunks_iter_mut(Axis(0), CHUNK)).collect();
    chunks.into_par_iter().for_each(|(features, mut logits)| {
        let (chunk, _) = probe.forward(features.to_owned(), false, &mut Exec::new(backend));
        logits.assign(&chunk);
    });
    judge(logits.view(), &data.labels)
}

/// The same, counted.
#[must_use]
pub fn evaluate(probe: &LinearProbe<f32>, data: &Labelled, backend: Backend) -> Metrics {
    Metrics::of(&judgements(probe, data, backend), probe.head.bias.len())
}

/// A learning rate that was tried, and what its probe reached on the validation images.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Trial {
    /// Learning rate per 256 images.
    pub blr: f64,
    /// What it reached; nothing if the weights did not stay finite.
    #[serde(flatten)]
    pub reached: Option<Reached>,
}

/// What a probe reached.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reached {
    /// Share of images that were right.
    pub top1: f64,
    /// Mean of `−log p` of the true class, in nats.
    pub cross_entropy: f64,
}

/// Factors on `blr` that [`sweep`] tries.
pub const SWEEP: [f64; 7] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// Trains a probe at several learning rates and takes the one that is most often right on the validation images; of
/// equally good ones the one with the lowest cross-entropy.
///
/// # Errors
/// If none stays finite.
pub fn sweep(
    config: &ProbeConfig,
    train: &Labelled,
    validation: &Labelled,
    classes: usize,
    backend: Backend,
) -> Result<(ProbeConfig, Vec<Trial>)> {
    let tried: Vec<Trial> = SWEEP
        .into_par_iter()
        .map(|factor| {
            let config = ProbeConfig { blr: three_digits(factor * config.blr), ..*config };
            let probe = config.train(train, classes, backend).ok();
            let metrics = probe.map(|probe| evaluate(&probe, validation, backend));
            let reached = |metrics: Metrics| Reached {
                top1: metrics.top1_share(),
                cross_entropy: metrics.cross_entropy(),
            };
            Trial { blr: config.blr, reached: metrics.map(reached).filter(|r| r.cross_entropy.is_finite()) }
        })
        .collect();
    let finite = tried.iter().filter_map(|trial| Some((trial.blr, trial.reached?)));
    let worse = |a: &Reached, b: &Reached| {
        a.top1.total_cmp(&b.top1).then(b.cross_entropy.total_cmp(&a.cross_entropy))
    };
    let best = finite.max_by(|a, b| worse(&a.1, &b.1));
    let expected = "a learning rate near which the weights stay finite";
    let (blr, _) = best.ok_or_else(|| Error::setting("--blr", expected, config.blr))?;
    Ok((ProbeConfig { blr, ..*config }, tried))
}

/// The number that is printed is the number that is used.
fn three_digits(x: f64) -> f64 {
    format!("{x:.2e}").parse().unwrap_or(x)
}
