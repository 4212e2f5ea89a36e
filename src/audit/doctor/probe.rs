//! One batch of training images sent through the checkpoint: gradients, and what units and heads do.

use super::evidence::Evidence;
use super::yardstick::affordable;
use crate::base::sync::lock;
use crate::exec::Exec;
use crate::exec::probe::Probe;
use crate::models::mae::{Mae, Mask};
use crate::optim::{clip, groups};
use crate::params::Params;
use crate::tasks::mae::step;
use crate::train::WorkerPool;
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

    /// The largest share of all attention that a single place among the tokens gets.
    #[must_use]
    pub fn largest_share(&self) -> f64 {
        self.received.iter().fold(0.0, |most: f64, &sum| most.max(sum / self.rows as f64))
    }
}

/// Measures both, on the images that an epoch begins with.
pub(super) fn measure(
    evidence: &Evidence,
    workers: &WorkerPool<f32, Mae<f32>>,
) -> (Result<Gradients, String>, Result<Activations, String>) {
    let prepared = evidence.saved().and_then(|saved| {
        let data = evidence.data.as_ref().map_err(Clone::clone)?;
        if let Some(name) = clip::first_not_finite(&saved.model) {
            return Err(format!("{name} is not finite, and so is all that follows from it"));
        }
        let config = &evidence.config;
        let count =
            config.optim.batch_size.min(MOST_IMAGES).min(affordable(config, FEWEST_IMAGES) / 3).max(1);
        let epoch = saved.state.epoch;
        let mut batch = data.batch(config, epoch, count).map_err(|error| error.to_string())?;
        let masking = config.masking();
        let mask = |&sample: &u64| masking.mask(saved.state.seed, epoch, sample);
        let masks: Vec<Mask> = batch.samples.iter().map(mask).collect();
        Ok((&saved.model, batch.views.swap_remove(0), masks))
    });
    let (model, images, masks) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => return (Err(why.clone()), Err(why)),
    };
    let micro_batch = evidence.config.optim.micro_batch;
    let (loss, grad) = step::loss_and_gradient(model, images.view(), &masks, micro_batch, workers);
    let groups = groups::pretraining(model, 0.0);
    let trained = grad.tensors().into_iter().zip(&groups).filter(|(_, group)| group.trained);
    let norm = |data: &[f32]| data.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let gradients = Gradients {
        images: masks.len(),
        loss,
        norm: clip::norm(&grad, &groups),
        of_tensor: trained.map(|(t, _)| (t.name, norm(t.data))).collect(),
    };
    let watcher = Watcher::new(evidence);
    let mut cx = Exec::new(evidence.config.run.gemm).split(true).with_probe(watcher.clone());
    for (images, masks) in images.axis_chunks_iter(Axis(0), micro_batch).zip(masks.chunks(micro_batch)) {
        model.infer(images, masks, &mut cx).recycle(&mut cx);
    }
    (Ok(gradients), Ok(watcher.seen()))
}

/// Listens to the forward pass and keeps sums instead of copies.
#[derive(Clone)]
struct Watcher {
    heads: usize,
    decoder_heads: usize,
    seen: Arc<Mutex<Activations>>,
}

impl Watcher {
    fn new(evidence: &Evidence) -> Self {
        let model = &evidence.config.model;
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
