//! One batch of training images sent through the checkpoint: gradients, and what units and heads do.

use super::data::{Data, affordable};
use super::saved::Saved;
use crate::base::sync::lock;
use crate::config::Settings;
use crate::data::Batch;
use crate::exec::Exec;
use crate::exec::probe::Probe;
use crate::models::mae::{MaeConfig, Mask};
use crate::optim::clip;
use crate::params::Params;
use crate::tasks::{Config, Pretrain};
use crate::train::task::{Losses, StepCx, StepInfo};
use crate::train::{Task, WorkerPool};
use ndarray::{ArrayViewD, Axis, Ix2};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Most images of the batch; a mean over so many is steady enough for thresholds a factor of ten wide.
const MOST_IMAGES: usize = 64;
/// Fewest, whatever a step costs.
const FEWEST_IMAGES: usize = 8;

/// The gradient of a batch.
pub struct Gradients {
    /// Images in the batch.
    pub images: usize,
    /// Their loss.
    pub loss: f64,
    /// Norm of the whole gradient.
    pub norm: f64,
    /// Norm of each trained tensor's gradient, by name.
    pub of_tensor: Vec<(String, f64)>,
}

/// What the units of the MLPs and the heads of the attentions do on a batch.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    /// By the name of the MLP, `blocks.0.mlp`.
    pub mlps: BTreeMap<String, Units>,
    /// By the name of the attention, `blocks.0.attn`.
    pub attentions: BTreeMap<String, Vec<Head>>,
}

/// The hidden units of one MLP.
#[derive(Clone, Debug, Default)]
pub struct Units {
    /// Of each unit, the largest input to GELU over all tokens.
    pub highest: Vec<f32>,
    /// The smallest.
    pub lowest: Vec<f32>,
}

/// One head of an attention, summed over `rows` queries.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Queries seen.
    pub rows: usize,
    /// Keys each of them can attend to.
    pub tokens: usize,
    /// `Σ (log N + Σ_j p_j log p_j)`: how far each query is from attending to all tokens alike, in nats.
    pub information: f64,
    /// Per key, the sum of the probabilities that it gets.
    pub received: Vec<f64>,
}

impl Head {
    /// Mean distance from uniform attention, in nats: 0 is uniform, `log N` is one token per query.
    #[must_use]
    pub fn mean_information(&self) -> f64 {
        self.information / self.rows as f64
    }

    /// The largest fraction of all attention that a single place among the tokens gets.
    #[must_use]
    pub fn largest_share(&self) -> f64 {
        self.received.iter().fold(0.0, |most: f64, &sum| most.max(sum / self.rows as f64))
    }
}

/// The images that an epoch begins with, as training sees them.
pub(super) fn batch<T: Task>(config: &T::Config, saved: &Saved<T>, data: &Data) -> Result<Batch, String> {
    if let Some(name) = clip::first_not_finite(saved.trained()) {
        return Err(format!("{name} is not finite, and so is all that follows from it"));
    }
    let affordable = affordable::<T>(config, FEWEST_IMAGES) / 3;
    let count = config.optim().batch_size.min(MOST_IMAGES).min(affordable).max(1);
    data.batch::<T>(config, saved.state.epoch, count).map_err(|error| error.to_string())
}

impl Gradients {
    /// The gradient as training computes it.
    pub(super) fn measure<T: Task>(config: &T::Config, saved: &Saved<T>, task: &mut T, batch: Batch) -> Self {
        let (images, workers) = (batch.samples.len(), &WorkerPool::new(config.run().gemm));
        let epoch = saved.state.epoch;
        let info = StepInfo { step: saved.state.step + 1, epoch: epoch as f64, images };
        let cx = StepCx { config, epoch, info, workers };
        let (Losses { loss, .. }, grad) = task.loss_and_grad(saved.trained(), batch, &cx);
        let groups = T::groups(config, saved.trained());
        let trained = grad.tensors().into_iter().zip(&groups).filter(|(_, group)| group.trained);
        let norm = |data: &[f32]| data.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let of_tensor = trained.map(|(t, _)| (t.name, norm(t.data))).collect();
        Self { images, loss, norm: clip::norm(&grad, &groups), of_tensor }
    }
}

impl Activations {
    /// What a masked autoencoder does.
    pub(super) fn measure(config: &Config, saved: &Saved<Pretrain>, batch: &Batch) -> Self {
        let masking = config.masking();
        let mask = |&sample: &u64| masking.mask(saved.state.seed, saved.state.epoch, sample);
        let masks: Vec<Mask> = batch.samples.iter().map(mask).collect();
        let watcher = Watcher::new(&config.model);
        let mut cx = Exec::new(config.run.gemm).split(true).with_probe(watcher.clone());
        let chunk = config.optim.micro_batch;
        for (images, masks) in batch.views[0].axis_chunks_iter(Axis(0), chunk).zip(masks.chunks(chunk)) {
            saved.model.infer(images, masks, &mut cx).recycle(&mut cx);
        }
        watcher.seen()
    }
}

/// Listens to the forward pass and keeps sums instead of copies.
#[derive(Clone)]
struct Watcher {
    heads: usize,
    decoder_heads: usize,
    seen: Arc<Mutex<Activations>>,
}

impl Watcher {
    fn new(model: &MaeConfig) -> Self {
        Self { heads: model.num_heads, decoder_heads: model.decoder_num_heads, seen: Arc::default() }
    }

    fn seen(&self) -> Activations {
        lock(&self.seen).clone()
    }
}

impl Probe<f32> for Watcher {
    fn record(&mut self, name: &str, value: ArrayViewD<f32>) {
        let Ok(value) = value.into_dimensionality::<Ix2>() else { return };
        let mut seen = lock(&self.seen);
        let part = name.strip_prefix("act.").unwrap_or(name);
        if let Some(mlp) = part.strip_suffix(".fc1") {
            let units = seen.mlps.entry(mlp.to_owned()).or_default();
            units.highest.resize(value.ncols(), f32::NEG_INFINITY);
            units.lowest.resize(value.ncols(), f32::INFINITY);
            for row in value.outer_iter() {
                for ((high, low), &x) in units.highest.iter_mut().zip(&mut units.lowest).zip(row) {
                    *high = high.max(x);
                    *low = low.min(x);
                }
            }
        } else if let Some(attention) = part.strip_suffix(".probabilities") {
            let count = if part.starts_with("decoder") { self.decoder_heads } else { self.heads };
            let tokens = value.ncols();
            let heads = seen.attentions.entry(attention.to_owned()).or_default();
            heads.resize_with(count, Head::default);
            // Rows are images × heads × queries.
            for (i, row) in value.outer_iter().enumerate() {
                let head = &mut heads[i / tokens % count];
                head.rows += 1;
                head.tokens = tokens;
                head.received.resize(tokens, 0.0);
                head.information += (tokens as f64).ln();
                for (received, &p) in head.received.iter_mut().zip(row) {
                    let p = f64::from(p);
                    *received += p;
                    head.information += if p > 0.0 { p * p.ln() } else { 0.0 };
                }
            }
        }
    }
}
