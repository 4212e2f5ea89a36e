//! A model in training, and what one optimiser step does to it: batch, masks, loss and gradient, learning
//! rate, update.

use super::config::Config;
use super::run::Learner;
use super::source::{loader_config, open_loader};
use super::update::Update;
use super::workers::Workers;
use super::{save, step};
use crate::base::Result;
use crate::checkpoint::{Place, State};
use crate::data::{Batch, Dataset, Loader};
use crate::mae::{Mae, Mask};
use crate::optim::{AdamW, Group, groups};
use std::sync::Arc;

pub use super::update::Stepped;

/// Everything that an optimiser step reads or changes. It is a function of the settings, the data and the
/// number of steps done, and of nothing else.
pub struct Trainer {
    /// Every setting, with the data's statistics filled in.
    pub config: Config,
    /// The model.
    pub model: Mae<f32>,
    /// The optimiser's moments.
    pub adamw: AdamW<Mae<f32>>,
    /// How each tensor is updated.
    pub groups: Vec<Group>,
    /// Where batches come from.
    pub loader: Loader,
    /// Executors and gradients that are used again.
    pub workers: Workers<f32, Mae<f32>>,
}

impl Trainer {
    /// A model with its initial weights.
    ///
    /// # Errors
    /// If the data cannot be used with these settings.
    pub fn new(mut config: Config, train: Arc<dyn Dataset>) -> Result<Self> {
        let loader = open_loader(train, loader_config(&config), config.optim.accum_iter)?;
        config.memory(rayon::current_num_threads()).require()?;
        let engine = config.run.open_engine()?;
        let model = Mae::initialised(config.model.clone(), config.run.seed);
        let [beta1, beta2] = config.optim.betas;
        Ok(Self {
            adamw: AdamW::new(&model, (beta1, beta2)),
            groups: groups::pretraining(&model, config.optim.weight_decay),
            workers: Workers::new(engine),
            config,
            model,
            loader,
        })
    }
}

impl Learner for Trainer {
    type Settings = Config;
    type Model = Mae<f32>;

    fn settings(&self) -> &Config {
        &self.config
    }

    fn model(&self) -> &Mae<f32> {
        &self.model
    }

    fn loader(&self) -> &Loader {
        &self.loader
    }

    fn write_checkpoint(&self, place: Place<'_>, state: State) -> Result<()> {
        save::save(place, state, &self.model, &self.adamw, None)
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
        let (masking, micro_batch) = (config.masking(), config.optim.micro_batch);
        let update = Update {
            model: &mut self.model,
            adamw: &mut self.adamw,
            groups: &self.groups,
            workers,
            optim: &config.optim,
            on_nonfinite: config.run.on_nonfinite,
            at,
        };
        update.take(batches, call_off, |model, batch| {
            let mask = |&sample: &u64| masking.mask(config.run.seed, epoch, sample);
            let masks: Vec<Mask> = batch.samples.iter().map(mask).collect();
            step::loss_and_gradient(model, batch.images.view(), &masks, micro_batch, workers)
        })
    }
}
