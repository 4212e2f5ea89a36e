//! A classifier in training, and what one optimiser step does to it: batch, targets, loss and gradient, learning
//! rate, update, moving average.

use super::config::FinetuneConfig;
use super::step::{self, How, Labelled};
use crate::base::Result;
use crate::checkpoint::{Checkpoint, Place, State};
use crate::data::{Batch, Dataset, Loader};
use crate::layers::DropPath;
use crate::optim::{AdamW, Group, groups};
use crate::params::Params;
use crate::tasks::{Classifier, cross_entropy};
use crate::train::run::Learner;
use crate::train::update::{Stepped, Update};
use crate::train::{Workers, save, source};
use std::sync::Arc;

/// Everything that an optimiser step reads or changes. It is a function of the settings, the data and the
/// number of steps done, and of nothing else.
pub struct Finetuner {
    /// Every setting, with the data's statistics filled in.
    pub config: FinetuneConfig,
    /// The model.
    pub model: Classifier<f32>,
    /// The optimiser's moments.
    pub adamw: AdamW<Classifier<f32>>,
    /// How each tensor is updated.
    pub groups: Vec<Group>,
    /// The moving average of the weights, if one is kept.
    pub averaged: Option<Classifier<f32>>,
    /// Where batches come from.
    pub loader: Loader,
    /// Executors and gradients that are used again.
    pub workers: Workers<f32, Classifier<f32>>,
}

impl Finetuner {
    /// A model that is about to be trained on `train`.
    ///
    /// # Errors
    /// If the data cannot be used with these settings.
    pub fn new(mut config: FinetuneConfig, model: Classifier<f32>, train: Arc<dyn Dataset>) -> Result<Self> {
        let shape = (config.model.img_size, config.model.in_chans);
        let (optim, transfer) = (&config.optim, &config.finetune);
        let augment = config.augment.augment(source::crop_area(&config.data), config.data.flip);
        let loader = source::loader(&config.data, augment, shape, optim.batch_size, config.run.seed);
        let loader = source::open_loader(train, loader, optim.accum_iter)?;
        let [beta1, beta2] = optim.betas;
        let engine = config.run.open_engine()?;
        Ok(Self {
            adamw: AdamW::new(&model, (beta1, beta2)),
            groups: groups::finetuning(
                &model,
                optim.weight_decay,
                transfer.layer_decay,
                config.model.depth,
                transfer.tune_blocks,
            ),
            averaged: transfer.ema_decay.map(|_| model.clone()),
            workers: Workers::new(engine),
            config,
            model,
            loader,
        })
    }

    /// The weights that are judged and kept: their moving average, where there is one.
    pub fn judged(&self) -> &Classifier<f32> {
        self.averaged.as_ref().unwrap_or(&self.model)
    }

    /// Takes weights, moments and moving average from a checkpoint.
    ///
    /// # Errors
    /// If they are not those of this model.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        save::restore(checkpoint, &mut self.model, &mut self.adamw, self.averaged.as_mut())
    }

    /// `a ← d a + (1 − d) w` with `d = min(decay, (1 + t) / (10 + t))` after step `t`: short runs are not dragged
    /// down by their first weights (the schedule of TensorFlow's `ExponentialMovingAverage`).
    fn average(&mut self) {
        let (Some(averaged), Some(decay)) = (&mut self.averaged, self.config.finetune.ema_decay) else {
            return;
        };
        let t = self.adamw.steps as f64;
        let keep = decay.min((1.0 + t) / (10.0 + t));
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]
        let (keep, take) = (keep as f32, (1.0 - keep) as f32);
        for (average, weight) in averaged.tensors_mut().into_iter().zip(self.model.tensors()) {
            average.data.iter_mut().zip(weight.data).for_each(|(a, w)| *a = keep * *a + take * w);
        }
    }
}

impl Learner for Finetuner {
    type Settings = FinetuneConfig;
    type Model = Classifier<f32>;

    fn settings(&self) -> &FinetuneConfig {
        &self.config
    }

    fn model(&self) -> &Classifier<f32> {
        &self.model
    }

    fn loader(&self) -> &Loader {
        &self.loader
    }

    fn write_checkpoint(&self, place: Place<'_>, state: State) -> Result<()> {
        save::save(place, state, &self.model, &self.adamw, self.averaged.as_ref())
    }

    fn step(
        &mut self,
        epoch: u64,
        i: u64,
        batches: &mut dyn Iterator<Item = Result<Batch>>,
        call_off: &dyn Fn() -> bool,
    ) -> Result<Stepped> {
        let at = self.at(epoch, i);
        let (config, workers) = (&self.config, &self.workers);
        let (classes, depth) = (config.model.num_classes, config.model.depth);
        let how = How {
            seed: config.run.seed,
            epoch,
            drop_path: DropPath { rate: config.finetune.drop_path, depth },
            tune_blocks: config.finetune.tune_blocks,
            micro_batch: config.optim.micro_batch,
        };
        let (mixing, smoothing) = (config.augment.mixing(), config.augment.smoothing);
        let [height, width] = config.model.img_size;
        let update = Update {
            model: &mut self.model,
            adamw: &mut self.adamw,
            groups: &self.groups,
            workers,
            optim: &config.optim,
            on_nonfinite: config.run.on_nonfinite,
            at,
        };
        let stepped = update.take(batches, call_off, |model, mut batch| {
            let labels: Vec<usize> = batch.labels.iter().map(|label| label.expect("labelled data")).collect();
            let targets = cross_entropy::targets(&labels, classes, smoothing);
            // The first sample's address is as good as a number: no other batch of the epoch begins with it.
            let mix = mixing.draw(height, width, how.seed, epoch, batch.samples[0]);
            mix.images(&mut batch.images);
            let targets = mix.targets(&targets);
            let (images, targets, samples) = (batch.images.view(), targets.view(), &batch.samples[..]);
            step::loss_and_gradient(model, &Labelled { images, targets, samples }, &how, workers)
        })?;
        if matches!(stepped, Stepped::Done(_)) {
            self.average();
        }
        Ok(stepped)
    }
}
